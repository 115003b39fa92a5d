"""Pictures of pictures: sheets, and weights seen as pictures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


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
    """
    n, _, height, width = images.shape
    rows = -(-n // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles is not None else 0
    gap = max(width // 16, 1)
    head = gap + round(lines * 0.12 * width / size)  # an eighth of an inch for a line of text
    top_left = [
        (row * (height + head) + head, column * (width + gap))
        for row in range(rows)
        for column in range(columns)
    ]
    sheet = np.ones((rows * (height + head), columns * (width + gap) - gap, 3))
    scale = 255 if images.dtype == np.uint8 else 1
    fig, ax = plt.subplots(figsize=(columns * (1 + gap / width) * size, 1))
    for i, (image, (y, x)) in enumerate(zip(images, top_left, strict=False)):
        sheet[y : y + height, x : x + width] = image.transpose(1, 2, 0) / scale
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
    """
    limit = np.percentile(np.abs(weights), 99.5) or 1.0
    images = np.clip(0.5 + weights / (2 * limit), 0, 1).reshape(-1, *image_shape)
    return image_grid(images, columns=columns, titles=titles, size=0.8)
