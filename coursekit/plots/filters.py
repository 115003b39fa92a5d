"""Filters as pictures: which of them work, and how they changed over training."""

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.plots import _check as check
from coursekit.plots._check import pictures as as_pictures
from coursekit.plots.sheet import Sheet
from coursekit.plots.style import COLORS


def filter_sheet(
    weight: NDArray,
    *,
    dead: Collection[int] = (),
    duplicates: Sequence[tuple[int, int, float]] = (),
    columns: int = 8,
) -> Figure:
    """First-layer filters on one colour scale, the idle ones framed and signed.

    One scale for all keeps a filter that fell asleep visibly grey; a scale for each would blow
    its noise up to full colour. Above every filter stands its number; "× dead" and a dashed
    frame mark one that never fires, "≈ 3 +1" and a solid frame one that repeats filter 3, which
    it is most like, and one more.

    Args:
        weight: (F, C, kh, kw) with C 1 or 3.
        dead: numbers of the filters that never fire.
        duplicates: pairs (i, j, cosine), as ``atlas.duplicate_filters`` finds them.
        columns: filters a row.

    Raises:
        ValueError: weights that are not finite or of another shape, or a number of no filter.
    """
    weight = check.numbers("weight", weight, 4)
    check.at_least_one("columns", columns)
    _check_numbers("dead", dead, len(weight))
    _check_numbers("duplicates", [i for pair in duplicates for i in pair[:2]], len(weight))
    pictures, limit = _on_one_scale(weight)
    twins: dict[int, list[int]] = {}
    for i, j, *_ in duplicates:
        twins.setdefault(i, []).append(j)
        twins.setdefault(j, []).append(i)
    rows = -(-len(weight) // columns)
    sheet = Sheet(columns * 1.12, rows * 1.36 + 0.3, cell=0.76)
    for i, picture in enumerate(pictures):
        x, y = (i % columns) * 1.12 + 0.06, (i // columns) * 1.36 + 0.3
        sheet.picture(picture, x, y)
        words = str(i)
        if i in twins:
            words += f" ≈ {twins[i][0]}" + (f" +{len(twins[i]) - 1}" if len(twins[i]) > 1 else "")
            sheet.frame(x, y, 1, 1, COLORS[0], linewidth=2.5)
        if i in dead:
            words += " × dead"
            sheet.frame(x, y, 1, 1, COLORS[2], linestyle="--", linewidth=2.5)
        sheet.text(x + 0.5, y - 0.05, words, weight="bold" if " " in words else "normal")
    _tell_scale(sheet, limit, rows * 1.36 + 0.25)
    return sheet.fig


def filters_over_training(
    weights: Sequence[NDArray],
    epochs: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
) -> Figure:
    """The same filters after each epoch, one a row, on one colour scale for the whole sheet.

    Args:
        weights: for each epoch (F, C, kh, kw) with C 1 or 3.
        epochs: how many epochs each was trained for.
        filters: numbers of those shown, from top to bottom; None shows all.

    Raises:
        ValueError: weights that are not finite or differ in shape, another number of epochs, or a
            number of no filter.
    """
    check.some("weights", weights)
    every = check.numbers("weights", _stacked(weights), 5)
    check.as_many("epochs", epochs, len(every), "array of weights")
    if filters is not None:
        _check_numbers("filters", filters, every.shape[1])
    shown = range(every.shape[1]) if filters is None else filters
    stacked = np.stack([w[i] for i in shown for w in every])
    pictures, limit = _on_one_scale(stacked)
    sheet = Sheet(len(epochs) * 1.08 + 1.1, len(shown) * 1.08 + 0.75, cell=0.7)
    for column, epoch in enumerate(epochs):
        x = 1.1 + column * 1.08
        sheet.text(x + 0.5, 0.32, f"epoch {epoch}" if column == 0 else str(epoch))
        for row in range(len(shown)):
            sheet.picture(pictures[row * len(epochs) + column], x, 0.38 + row * 1.08)
    for row, i in enumerate(shown):
        sheet.text(1.0, 0.88 + row * 1.08, f"filter {i}", ha="right", va="center")
    _tell_scale(sheet, limit, 0.66 + len(shown) * 1.08)
    return sheet.fig


def _stacked(weights: Sequence[NDArray]) -> NDArray:
    shapes = {np.shape(w) for w in weights}
    if len(shapes) > 1:
        raise ValueError(f"weights: got shapes {sorted(shapes)}; needed one shape for all epochs")
    return np.stack(weights)


def _check_numbers(name: str, filters: Collection[int], count: int) -> None:
    """Raise ``ValueError`` for the number of a filter that is not there."""
    check.whole(name, list(filters))
    wrong = [int(i) for i in filters if not 0 <= i < count]
    if wrong:
        raise ValueError(f"{name}: got {wrong}; needed numbers of filters, 0 to {count - 1}")


def _on_one_scale(weight: NDArray) -> tuple[NDArray, float]:
    """Grey for 0, full colour for the limit that all but one in 200 weights stay inside."""
    limit = float(np.percentile(np.abs(weight), 99.5)) or 1.0
    return as_pictures(np.clip(0.5 + weight / (2 * limit), 0, 1), "weight"), limit


def _tell_scale(sheet: Sheet, limit: float, y: float) -> None:
    words = f"one scale for all: grey is 0, full colour is ±{limit:.2g}"
    sheet.text(0.06, y, words, ha="left")
