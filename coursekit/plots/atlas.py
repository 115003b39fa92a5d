"""What units and scores respond to: maps through the depth, patches, heat, and mistakes."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check
from coursekit.plots._check import pictures as as_pictures
from coursekit.plots.sheet import Sheet
from coursekit.plots.style import COLORS

FOR, AGAINST = (0.90, 0.40, 0.0), (0.35, 0.15, 0.60)  # orange and purple


def activation_maps(image: NDArray, maps: Mapping[str, NDArray], *, columns: int = 8) -> Figure:
    """One picture through the depth: a row a layer, its strongest channels first.

    Each row has a scale of its own, from black at its smallest value to yellow at its largest;
    every map is drawn equally large, so coarse maps have large squares.

    Args:
        image: (C, H, W) with C 1 or 3, uint8 or floats in [0, 1].
        maps: outputs (channels, height, width) by the layer's name, first layer first.
        columns: channels a row, those with the largest mean; their numbers stand above.

    Raises:
        ValueError: a picture of another kind, or maps that are not finite or have other axes.
    """
    check.some("maps", maps)
    maps = {name: check.numbers(f"maps[{name!r}]", out, 3) for name, out in maps.items()}
    check.at_least_one("columns", columns)
    picture = as_pictures(np.asarray(image)[None], "image")[0]
    left, step = 2.9, 1.3
    sheet = Sheet(left + columns * 1.08, len(maps) * step + 0.4)
    sheet.picture(picture, 0.05, 0.3)
    sheet.text(0.55, 0.27, "picture")
    for row, (name, out) in enumerate(maps.items()):
        y = row * step + 0.3
        low, high = min(float(out.min()), 0), float(out.max())
        strongest = np.argsort(-out.mean(axis=(1, 2)), kind="stable")[:columns]
        words = f"{name}\n{'×'.join(map(str, out.shape))}\n{low:.2g} to {high:.2g}"
        sheet.text(left - 0.12, y + 0.5, words, ha="right", va="center", linespacing=1.3)
        for column, channel in enumerate(strongest):
            x = left + column * 1.08
            sheet.picture(out[channel], x, y, cmap="inferno", vmin=low, vmax=high or 1.0)
            sheet.text(x + 0.5, y - 0.03, str(channel), fontsize=7)
    words = "black is a row's smallest value, yellow its largest; above each map its channel"
    sheet.text(0.05, len(maps) * step + 0.35, words, ha="left")
    return sheet.fig


def top_patches(
    images: NDArray,
    pictures: NDArray,
    boxes: NDArray,
    units: Sequence[int] | NDArray,
    *,
    values: NDArray | None = None,
) -> Figure:
    """What excites each unit most: patches on the left, the pictures they lie in on the right.

    One row a unit, the most exciting patch first. The frame in the picture is the unit's
    receptive field. All patches are enlarged alike; where a field leaves the picture, its patch
    leaves the cell blank on that side.

    Args:
        images: (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1].
        pictures: indices into ``images``, (U, k).
        boxes: top, left, bottom, right of the receptive fields, (U, k, 4).
        units: number of each row's unit, (U,).
        values: the unit's outputs, (U, k), written below the patches.

    Raises:
        ValueError: pictures of another kind, an index of none, or shapes that do not fit.
    """
    images, pictures, boxes = np.asarray(images), np.asarray(pictures), np.asarray(boxes)
    shape = len(units), pictures.shape[-1] if pictures.ndim else 0
    needed = {"pictures": (pictures, shape), "boxes": (boxes, (*shape, 4))}
    if values is not None:
        needed["values"] = np.asarray(values), shape
    for name, (array, fits) in needed.items():
        if array.shape != fits or not array.size:
            raise ValueError(f"{name}: got shape {array.shape}; needed {fits}, a row for each unit")
    if not 0 <= pictures.min() <= pictures.max() < len(images):
        raise ValueError(
            f"pictures: got indices from {pictures.min()} to {pictures.max()}; needed 0 to "
            f"{len(images) - 1}"
        )
    shown = [as_pictures(images[row]) for row in pictures]
    count, k = shape
    # Side of a field inside the picture; 0 only where all units see nothing but padding.
    full = max(1, int((boxes[..., 2:] - boxes[..., :2]).max()))
    step = 1.08 if values is None else 1.3
    left, right = 0.9, 1.3 + k * 1.08
    sheet = Sheet(right + k * 1.08, 0.4 + count * step)
    title = "patches" if values is None else "patches, and the unit's output"
    sheet.text(left + k * 0.54, 0.3, title, fontsize=9)
    sheet.text(right + k * 0.54, 0.3, "where they lie", fontsize=9)
    for row, unit in enumerate(units):
        y = 0.38 + row * step
        sheet.text(left - 0.1, y + 0.5, f"unit {unit}", ha="right", va="center")
        for column, picture in enumerate(shown[row]):
            x, box = left + column * 1.08, boxes[row, column]
            _patch(sheet, picture, box, x, y, full)
            if values is not None:
                sheet.text(x + 0.5, y + 1.02, f"{values[row, column]:.2g}", va="top", fontsize=7)
            _picture_with_box(sheet, picture, box, right + column * 1.08, y)
    return sheet.fig


def _patch(sheet: Sheet, picture: NDArray, box: NDArray, x: float, y: float, full: int) -> None:
    """The boxed part in a cell that ``full`` pixels fill, blank on the side that was cut off."""
    top, left, bottom, right = box
    height, width = (bottom - top) / full, (right - left) / full
    size = max(height, width)  # of the square whose middle the patch takes
    across = 1 - width if left == 0 else 0
    down = 1 - height if top == 0 else 0
    sheet.picture(
        picture[top:bottom, left:right],
        x + across - (size - width) / 2,
        y + down - (size - height) / 2,
        size=size,
    )


def _picture_with_box(sheet: Sheet, picture: NDArray, box: NDArray, x: float, y: float) -> None:
    top, left, bottom, right = box
    height, width = picture.shape[:2]
    scale = 1 / max(height, width)
    x_of, y_of = x + (1 - width * scale) / 2, y + (1 - height * scale) / 2
    sheet.picture(picture, x, y)
    corner = x_of + left * scale, y_of + top * scale
    sheet.frame(*corner, (right - left) * scale, (bottom - top) * scale, COLORS[2])


def heat_overlays(
    images: NDArray, heats: Mapping[str, NDArray], titles: Sequence[str] | None = None
) -> Figure:
    """Pictures beside themselves with heat: what a score rests on, and what holds it down.

    One row a picture, one column a method; every map is scaled by its own largest size. On
    orange the class's score rests, purple holds it down. So that colour is not alone, a solid
    line runs around the strongest orange and a dashed one around the strongest purple: at half
    the largest size, after a blur of a pixel, without which noise would be all islands.

    Args:
        images: (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1].
        heats: (N, H, W) by the method's name; positive is orange.
        titles: a few words to the left of every row.

    Raises:
        ValueError: pictures of another kind, or heat that is not finite or of another shape.
    """
    pictures = as_pictures(images)
    check.some("heats", heats)
    heats = {name: check.numbers(f"heats[{name!r}]", heat, 3) for name, heat in heats.items()}
    for name, heat in heats.items():
        if heat.shape != pictures.shape[:3]:
            raise ValueError(
                f"heats[{name!r}]: got shape {heat.shape}; needed {pictures.shape[:3]} as images"
            )
    if titles is not None:
        check.as_many("titles", titles, len(pictures), "picture")
    left = 0.05 if titles is None else 1.6
    size, step = 1.6, 1.7
    sheet = Sheet(left + (1 + len(heats)) * step, 0.75 + len(pictures) * step)
    for column, name in enumerate(["picture", *heats]):
        sheet.text(left + column * step + size / 2, 0.32, name, fontsize=9)
    for row, picture in enumerate(pictures):
        y = 0.38 + row * step
        if titles is not None:
            sheet.text(left - 0.12, y + size / 2, titles[row], ha="right", va="center", fontsize=9)
        sheet.picture(picture, left, y, size=size)
        for column, heat in enumerate(heats.values(), start=1):
            _overlay(sheet, picture, heat[row], left + column * step, y, size)
    words = "orange, solid line: the score rests on it; purple, dashed: it holds the score down"
    sheet.text(0.05, 0.7 + len(pictures) * step, words, ha="left")
    return sheet.fig


def _overlay(
    sheet: Sheet, picture: NDArray, heat: NDArray, x: float, y: float, size: float
) -> None:
    """A pale grey picture, coloured by the sign of the heat and as strongly as its size."""
    from scipy.ndimage import gaussian_filter

    height, width = heat.shape
    heat = heat / (np.abs(heat).max() or 1.0)
    pale = 0.4 + 0.6 * picture.mean(axis=2, keepdims=True)
    share = np.abs(heat[..., None])
    sheet.picture(
        (1 - share) * pale + share * np.where(heat[..., None] > 0, FOR, AGAINST), x, y, size=size
    )
    scale = size / max(height, width)
    across = x + (size - width * scale) / 2 + (np.arange(width) + 0.5) * scale
    down = y + (size - height * scale) / 2 + (np.arange(height) + 0.5) * scale
    smooth = gaussian_filter(heat, 1)
    level = 0.5 * np.abs(smooth).max()
    for at, line in ((level, "solid"), (-level, "dashed")):
        if smooth.min() < at < smooth.max():
            for thick, edge in ((2.4, "white"), (1.2, "black")):
                sheet.ax.contour(
                    across, down, smooth, [at], colors=edge, linewidths=thick, linestyles=line
                )


def confusion_gallery(
    images: NDArray,
    labels: ArrayLike,
    predictions: ArrayLike,
    names: Sequence[str],
    groups: Sequence[NDArray],
    *,
    confidence: NDArray | None = None,
) -> Figure:
    """A confusion matrix whose largest mistakes carry letters, and the pictures behind each.

    Args:
        images: (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1].
        labels: true classes, (N,).
        predictions: predicted classes, (N,).
        names: one word a class.
        groups: indices of pictures, all of one cell of the matrix in each; lettered A, B, ...
        confidence: the net's probability of its answer, (N,), written below the pictures.

    Raises:
        ValueError: there is no group, an empty one, or one of several cells; a class without a
            name; pictures of another kind; or numbers that do not fit.
    """
    from sklearn.metrics import confusion_matrix

    if not len(groups) or not all(map(len, groups)):
        raise ValueError(f"groups must hold pictures, got sizes {[len(g) for g in groups]}")
    if len(groups) > len(ascii_uppercase):
        raise ValueError(f"groups: got {len(groups)}; needed at most {len(ascii_uppercase)}")
    labels = check.classes("labels", labels, len(names), len(images))
    predictions = check.classes("predictions", predictions, len(names), len(images))
    if confidence is not None:
        check.as_many("confidence", confidence, len(images), "picture")
    for n, group in enumerate(groups):
        if not all(0 <= i < len(images) for i in group):
            raise ValueError(
                f"groups[{n}]: got {list(group)}; needed pictures, 0 to {len(images) - 1}"
            )
        if len({(labels[i], predictions[i]) for i in group}) > 1:
            raise ValueError(f"groups[{n}]: got pictures of several cells; needed one cell's")
    shown = [as_pictures(np.asarray(images)[list(group)]) for group in groups]
    counts = confusion_matrix(labels, predictions, labels=range(len(names)))
    side, left, top, step = 4.6, 1.4, 0.75, 1.55
    gallery, cell = left + side + 0.7, side / len(names)
    wide, tall = max(map(len, groups)) * 1.08, len(groups) * step
    sheet = Sheet(gallery + wide, max(top + side + 2.2, tall + 0.1))
    _matrix(sheet, counts, names, left, top, side)
    words = "letters: the mistakes shown on the right"
    if confidence is not None:
        words += "\nper cent below a picture: how sure the net was"
    sheet.text(0.05, top + side + 1.5, words, ha="left", va="top", linespacing=1.4)
    for n, group in enumerate(groups):
        letter, y = ascii_uppercase[n], 0.3 + n * step
        true, answer = int(labels[group[0]]), int(predictions[group[0]])
        corner = left + answer * cell, top + true * cell
        sheet.frame(*corner, cell, cell, COLORS[2], linewidth=1.4)
        sheet.text(corner[0] + cell / 2, corner[1] + cell / 2, letter, va="center", weight="bold")
        words = f"{letter}  {names[true]} taken for {names[answer]}: "
        words += f"{counts[true, answer]} of {counts[true].sum()}"
        sheet.text(gallery, y - 0.05, words, ha="left", fontsize=9)
        for column, (i, picture) in enumerate(zip(group, shown[n], strict=True)):
            x = gallery + column * 1.08
            sheet.picture(picture, x, y)
            if confidence is not None:
                text = f"{100 * confidence[i]:.0f} %"
                sheet.text(x + 0.5, y + 1.02, text, va="top", fontsize=7)
    return sheet.fig


def _matrix(
    sheet: Sheet, counts: NDArray, names: Sequence[str], x: float, y: float, side: float
) -> None:
    """A confusion matrix in shades of grey, small enough to stand beside pictures."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sheet.picture(share, x, y, size=side, cmap="Greys", vmin=0, vmax=1)
    for c, name in enumerate(names):
        at = (c + 0.5) * side / len(names)
        sheet.text(x - 0.1, y + at, name, ha="right", va="center")
        turned = {"rotation": 45, "ha": "right", "va": "top", "rotation_mode": "anchor"}
        sheet.text(x + at, y + side + 0.1, name, **turned)
    title = "true class by row, answer by column;\ndarker is a larger share of the row"
    sheet.text(x + side / 2, y - 0.08, title, linespacing=1.2)
