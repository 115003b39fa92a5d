"""A first convolution that is computed, not learnt: patches turned onto their principal components.

Lesson 1 whitened whole pictures; a convolution can whiten every patch with the same few filters.
"""

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_not_negative

_PICTURES = 500  # at a time, for their patches take kernel_size**2 times their memory


def patch_whitening(images: NDArray, kernel_size: int, *, eps: float = 1e-3) -> NDArray:
    """Filters whose outputs are uncorrelated over ``images``, with variance 1 where it is large.

    The patches' covariance is ``V diag(variance) V.T``; filter i is ``V[:, i]``, divided by
    ``sqrt(variance[i] + eps)``. The covariance is taken about 0, as the convolution needs no bias
    then: standardise the pictures first. Behind the filters stand their negatives, so that a ReLU
    loses nothing. With D = C * kernel_size**2 use them as

        conv = nn.Conv2d(C, 2 * D, kernel_size, bias=False)
        conv.weight.data[...] = nn.patch_whitening(images, kernel_size)
        conv.requires_grad_(False)

    Args:
        images: pictures as the net gets them, (N, C, H, W), float32 or float64; some thousands
            do.
        kernel_size: side of a patch.
        eps: added to the variances, so that directions which hardly vary are not blown up.

    Returns:
        (2 * D, C, kernel_size, kernel_size) of the dtype of images: D filters by falling
        variance, then their negatives.

    Raises:
        ValueError: ``images`` are no such array or there are none, or no patch fits.

    Source: Page, "How to train your ResNet", 2019; Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024.
    """
    check_float("images", images, 4)
    n, channels, height, width = images.shape
    if not n:
        raise ValueError(f"images must hold at least one picture, got shape {images.shape}")
    if not 1 <= kernel_size <= min(height, width):
        raise ValueError(f"kernel_size must lie in 1..{min(height, width)}, got {kernel_size}")
    check_not_negative("eps", eps)
    if not np.isfinite(images).all():
        raise ValueError("images must be finite, got nan or infinity among them")
    size = channels * kernel_size**2
    moments = np.zeros((size, size))
    for start in range(0, n, _PICTURES):
        patches = np.lib.stride_tricks.sliding_window_view(
            images[start : start + _PICTURES], (kernel_size, kernel_size), axis=(2, 3)
        )
        rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, size)
        moments += rows.T @ rows
    moments /= n * (height - kernel_size + 1) * (width - kernel_size + 1)
    variance, directions = np.linalg.eigh(moments)
    filters = (directions / np.sqrt(variance.clip(0) + eps)).T[::-1]
    weight = np.concatenate([filters, -filters])
    return weight.reshape(-1, channels, kernel_size, kernel_size).astype(images.dtype)
