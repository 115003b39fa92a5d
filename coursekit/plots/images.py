"""Pictures of pictures: sheets, and weights seen as pictures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def _to_hwc(image: NDArray) -> NDArray:
    """(C, H, W) to what matplotlib draws: (H, W, 3), or (H, W) for one channel."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def image_grid(
    images: NDArray,
    *,
    columns: int,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    size: float = 0.62,
) -> Figure:
    """A sheet of pictures, row by row.

    Args:
        images: (N, C, H, W) with C 1 or 3; uint8, or floats in [0, 1].
        columns: pictures a row.
        titles: a line above every picture.
        row_labels: a word to the left of every row.
        size: width of a picture in inches.
    """
    rows = -(-len(images) // columns)
    height = size * (1.45 if titles is not None else 1.0)
    fig, axes = plt.subplots(
        rows, columns, figsize=(columns * size + 0.9, rows * height), squeeze=False
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.grid(False)
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(_to_hwc(image), cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        if titles is not None:
            ax.set_title(titles[i], fontsize=7, pad=2)
    for ax, label in zip(axes[:, 0], row_labels or [], strict=False):
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
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
        titles: a line above every picture.
    """
    limit = np.percentile(np.abs(weights), 99.5) or 1.0
    images = np.clip(0.5 + weights / (2 * limit), 0, 1).reshape(-1, *image_shape)
    return image_grid(images, columns=columns, titles=titles)
