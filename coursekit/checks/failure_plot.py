"""The picture of a failed check: expected, got, and where they differ."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from coursekit.checks.outcomes import describe
from coursekit.checks.report import number

if TYPE_CHECKING:
    from coursekit.checks.failures import Failure

WRITTEN = 4, 10  # columns and rows up to which the numbers fit into a panel
MOST = 1e300  # what lies further out is drawn as this, so that differences do not overflow


def plot(failure: "Failure", result: str) -> Figure:
    """Draw one result of a failure, "" if it has none that differs.

    Args:
        failure: what failed.
        result: the name of the result.
    """
    headline = failure.message.splitlines()[0]
    if not result:
        if not failure.got:
            return _words(f"{headline}\n\nThere are no results to compare.")
        return _words(f"{headline}\n\nNo result differs in shape or values.")
    expected = np.asarray(failure.expected[result])
    if result not in failure.got:
        return _words(f"{headline}\n\nThe function did not return {result}: nothing to compare.")
    got = _numbers(failure.got[result])
    if got is None or got.shape != expected.shape:
        came = describe(failure.got[result])
        return _words(f"{result}\n\nexpected: {describe(expected)}\ngot: {came}")
    if not expected.size:
        return _words(f"{result}\n\nexpected and got: {describe(expected)}, which has no entries")
    found = next((m for m in failure.differs if m.result == result), None)
    wide = expected.astype(np.float64), got.astype(np.float64)
    title = f"{failure.exercise}: {found.sentence if found else result + ' agrees'}"
    if expected.size == 1:
        return _bars(title, *(float(a.reshape(())) for a in wide))
    wrong = np.zeros(expected.shape, bool)
    if found is not None and found.wrong is not None:
        wrong = found.wrong
    return _maps(title, result, *wide, wrong, found.worst if found else ())


def _numbers(value: Any) -> NDArray | None:
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    return array if array.dtype.kind in "fiub" else None


def _words(text: str) -> Figure:
    fig = Figure(figsize=(6, 2.4), layout="constrained")
    lines = [textwrap.fill(line, 72) for line in text.splitlines()]
    ax = fig.subplots()  # a figure without axes is shown by no notebook
    ax.set_axis_off()
    ax.text(0, 0.5, "\n".join(lines), va="center", parse_math=False, transform=ax.transAxes)
    return fig


def _bars(title: str, expected: float, got: float) -> Figure:
    fig = Figure(figsize=(5, 2.4), layout="constrained")
    ax = fig.subplots()
    values = [expected, got]
    bars = ax.barh(["expected", "got"], [_drawn(np.array(v)).item() for v in values], color="0.6")
    ax.bar_label(bars, [number(v) for v in values], padding=4)
    ax.margins(x=0.25)
    ax.axvline(0, color="0.3", lw=1)
    ax.invert_yaxis()
    fig.suptitle(title, fontsize="medium", parse_math=False, wrap=True)
    return fig


def _maps(
    title: str,
    name: str,
    expected: NDArray,
    got: NDArray,
    wrong: NDArray,
    worst: tuple[int, ...],
) -> Figure:
    """Three heat maps of the matrix that holds the entry ``worst``; rounding is not drawn."""
    slice_ = (worst or (0,) * expected.ndim)[:-2]
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(wrong, got - expected, 0.0)
    panels = [np.atleast_2d(a[slice_]) for a in (expected, got, difference)]
    if slice_:
        name = f"{name}[{', '.join(map(str, slice_))}]"
    fig = Figure(figsize=(10, 3.4), layout="constrained")
    scale = _scale(panels[0]) or _scale(panels[1]) or (0.0, 1.0)
    reach = float(np.max(np.abs(_drawn(panels[2])))) or 1.0
    looks = [
        (f"{name}, expected", scale, "viridis"),
        (f"{name}, got", scale, "viridis"),
        (f"got − expected: {wrong.sum()} of {wrong.size} are wrong", (-reach, reach), "RdBu_r"),
    ]
    for ax, panel, (told, limits, colours) in zip(fig.subplots(1, 3), panels, looks, strict=True):
        _map(fig, ax, panel, limits, colours)
        ax.set_title(told, fontsize="small", parse_math=False)
    fig.suptitle(title, fontsize="medium", parse_math=False, wrap=True)
    return fig


def _map(fig: Figure, ax: Axes, panel: NDArray, limits: tuple[float, float], colours: str) -> None:
    finite = np.isfinite(panel)
    image = ax.imshow(
        np.ma.masked_array(_drawn(panel), ~finite),
        cmap=colormaps[colours].with_extremes(bad="0.8"),
        vmin=limits[0],
        vmax=limits[1],
        aspect="auto",
    )
    fig.colorbar(image, ax=ax, extend="both")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    if len(panel) == 1:
        ax.set_yticks([])
    columns, rows = WRITTEN
    fits = panel.shape[1] <= columns and len(panel) <= rows
    for i, j in np.argwhere(~finite | fits)[: columns * rows].tolist():
        ax.text(
            *(j, i, f"{panel[i, j]:.3g}"),
            ha="center",
            va="center",
            fontsize="x-small",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )


def _scale(panel: NDArray) -> tuple[float, float] | None:
    """Smallest and largest finite number, ``None`` if there are not two."""
    drawn = _drawn(panel)[np.isfinite(panel)]
    low, high = (float(drawn.min()), float(drawn.max())) if drawn.size else (0.0, 0.0)
    return (low, high) if low < high else None


def _drawn(panel: NDArray) -> NDArray:
    """The numbers as they are drawn; nan, which is marked, as 0."""
    return np.clip(np.nan_to_num(panel, posinf=0.0, neginf=0.0), -MOST, MOST)
