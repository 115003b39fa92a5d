"""A convolution by hand: the window, the products, the sum, place after place."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check
from coursekit.plots.sheet import Sheet
from coursekit.plots.style import COLORS

TITLES = ("picture", "patch", "kernel", "products", "output")
SIGNS = ("→", "×", "=", "sum\n→")  # between one grid and the next
GAP, HEAD = 1.3, 1.0  # in cells, like everything below


def sliding_window(
    image: ArrayLike,
    kernel: ArrayLike,
    places: Sequence[tuple[int, int]],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Figure:
    """Where the window lies, what it covers, times the kernel, summed.

    One row a place, read from left to right: the picture with the window on it, the patch under
    the window, times the kernel, the products, and the output as far as it is done.

    Args:
        image: (H, W); small whole numbers are easiest to follow.
        kernel: (kh, kw).
        places: (row, column) of the outputs shown; those before each count as done.
        stride: pixels from one window to the next.
        padding: zeros around the picture, drawn grey and slanted.

    Raises:
        ValueError: a place lies outside the output, there is none, the kernel is larger than the
            picture, or an argument is no grid of numbers.
    """
    image, kernel = (
        check.numbers(name, grid, 2).astype(float)
        for name, grid in (("image", image), ("kernel", kernel))
    )
    check.at_least_one("stride", stride)
    check.whole("padding", padding)
    if padding < 0:
        raise ValueError(f"padding: got {padding}; needed at least 0")
    check.some("places", places)
    check.whole("places", places)
    padded = np.pad(image, padding)
    if any(k > side for k, side in zip(kernel.shape, padded.shape, strict=True)):
        raise ValueError(
            f"kernel: got shape {kernel.shape}; needed at most that of the padded picture, "
            f"{padded.shape}"
        )
    windows = sliding_window_view(padded, kernel.shape)[::stride, ::stride]
    out = np.einsum("hwij,ij->hw", windows, kernel)
    for row, column in places:
        if not (0 <= row < out.shape[0] and 0 <= column < out.shape[1]):
            raise ValueError(
                f"places must lie in the output, {out.shape[0]}×{out.shape[1]}, "
                f"got ({row}, {column})"
            )
    drawn = np.pad(np.ones(np.shape(image), bool), padding)  # False where padding was put on
    widths = [padded.shape[1], *[kernel.shape[1]] * 3, out.shape[1]]
    lefts = np.cumsum([0.1, *[width + GAP for width in widths[:-1]]])
    tall = max(padded.shape[0], out.shape[0], kernel.shape[0])
    step = tall + 1.0
    sheet = Sheet(lefts[-1] + widths[-1] + 0.1, HEAD + step * len(places) - 0.9, cell=0.31)
    for title, left, width in zip(TITLES, lefts, widths, strict=True):
        sheet.text(left + width / 2, HEAD - 0.25, title, fontsize=10)
    for n, (row, column) in enumerate(places):
        middle = HEAD + n * step + tall / 2
        patch = windows[row, column]
        done = np.arange(out.size).reshape(out.shape) <= row * out.shape[1] + column
        grids = [padded, patch, kernel, patch * kernel, np.where(done, out, np.nan)]
        limits = [np.abs(each).max() for each in (padded, padded, kernel, windows * kernel, out)]
        tops = [middle - len(grid) / 2 for grid in grids]
        for grid, left, top, limit in zip(grids, lefts, tops, limits, strict=True):
            _numbers(sheet, grid, left, top, limit, faint=~drawn if grid is padded else None)
        for sign, left, width in zip(SIGNS, lefts, widths, strict=False):
            sheet.text(left + width + GAP / 2, middle, sign, va="center", fontsize=9)
        tall_window, wide_window = kernel.shape
        for x, y, color, line in (
            (lefts[0] + column * stride, tops[0] + row * stride, COLORS[2], "-"),
            (lefts[1], tops[1], COLORS[2], "-"),
            (lefts[2], tops[2], COLORS[0], "--"),
        ):
            sheet.frame(x, y, wide_window, tall_window, color, linewidth=2.2, linestyle=line)
        sheet.frame(lefts[4] + column, tops[4] + row, 1, 1, "black", linewidth=2.2)
    return sheet.fig


def _numbers(
    sheet: Sheet, grid: NDArray, x: float, y: float, limit: float, faint: NDArray | None
) -> None:
    """A grid of numbers, cells darker for larger sizes and empty for nan."""
    height, width = grid.shape
    sheet.ax.pcolormesh(
        x + np.arange(width + 1),
        y + np.arange(height + 1),
        np.nan_to_num(np.abs(grid)),
        cmap="Greys",
        vmin=0,
        vmax=2.5 * (limit or 1.0),  # light enough for black numbers
        edgecolor="0.6",
        linewidth=0.6,
    )
    for (row, column), value in np.ndenumerate(grid):
        if np.isnan(value):
            continue
        weak = faint is not None and faint[row, column]
        sheet.text(
            x + column + 0.5,
            y + row + 0.52,
            f"{value + 0.0:.3g}".replace("-", "−"),  # -0.0 + 0.0 is 0.0
            va="center",
            style="italic" if weak else "normal",
            color="0.4" if weak else "black",
        )
