"""Pictures of pictures: sheets, and weights seen as pictures."""

from collections.abc import Sequence
from math import prod

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.plots import _check as check


def image_grid(
    images: NDArray,
    *,
    columns: int,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    size: float = 0.62,
) -> Figure:
    """A sheet of pictures, row by row, drawn as one image: a hundred axes would take seconds.

    Args:
        images: (N, C, H, W) with C 1 or 3; uint8, or floats in [0, 1].
        columns: pictures a row.
        titles: a few words above every picture.
        row_labels: a word to the left of every row.
        size: width of a picture in inches.

    Raises:
        ValueError: pictures of another kind or shape, none, or another number of words.
    """
    pictures = check.pictures(images)
    check.at_least_one("columns", columns)
    n, height, width, _ = pictures.shape
    rows = -(-n // columns)
    if titles is not None:
        check.as_many("titles", titles, n, "picture")
    if row_labels is not None:
        check.as_many("row_labels", row_labels, rows, "row")
    if not size > 0:
        raise ValueError(f"size: got {size}; needed a number of inches greater than 0")
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles is not None else 0
    gap = max(width // 16, 1)
    head = gap + round(lines * 0.12 * width / size)  # an eighth of an inch for a line of text
    top_left = [
        (row * (height + head) + head, column * (width + gap))
        for row in range(rows)
        for column in range(columns)
    ]
    sheet = np.ones((rows * (height + head), columns * (width + gap) - gap, 3))
    fig, ax = plt.subplots(figsize=(columns * (1 + gap / width) * size, 1))
    for i, (picture, (y, x)) in enumerate(zip(pictures, top_left, strict=False)):
        sheet[y : y + height, x : x + width] = picture
        if titles is not None:
            ax.text(x + width / 2, y - 1, titles[i], ha="center", va="bottom", fontsize=7)
    for label, (y, _) in zip(row_labels or [], top_left[::columns], strict=False):
        ax.text(-gap, y + height / 2, label, ha="right", va="center", fontsize=9)
    ax.imshow(sheet)
    ax.set_axis_off()
    fig.set_figheight(fig.get_figwidth() * sheet.shape[0] / sheet.shape[1])
    return fig


def weight_images(
    weights: NDArray,
    image_shape: tuple[int, int, int],
    *,
    columns: int = 10,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Rows of a weight matrix as pictures, all on one scale, grey where a weight is 0.

    A scale shared by all rows keeps a dead unit visibly grey beside a busy one.

    Args:
        weights: (M, C*H*W).
        image_shape: (C, H, W) with C 1 or 3.
        columns: pictures a row.
        titles: a few words above every picture.

    Raises:
        ValueError: weights that are not finite, or whose rows are no pictures of that shape.
    """
    weights = check.numbers("weights", weights, 2)
    if len(image_shape) != 3 or prod(image_shape) != weights.shape[1]:
        raise ValueError(
            f"image_shape: got {tuple(image_shape)} for rows of {weights.shape[1]} weights; needed "
            "(C, H, W) with as many values"
        )
    limit = np.percentile(np.abs(weights), 99.5) or 1.0
    images = np.clip(0.5 + weights / (2 * limit), 0, 1).reshape(-1, *image_shape)
    return image_grid(images, columns=columns, titles=titles, size=0.8)
