"""Lesson 3's exercises around the net, solved: first weights, crops, and looking inside."""

from collections.abc import Callable
from math import prod, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from coursekit.checks.references_conv import out_size


def kaiming_normal_conv(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
    """Weights (out, in) or (out, in, kh, kw) with deviation ``sqrt(2 / fan_in)``."""
    fan_in = prod(shape[1:])  # how many numbers feed one output
    return rng.standard_normal(shape) * sqrt(2 / fan_in)


def random_crop(images: NDArray, padding: int, rng: np.random.Generator) -> NDArray:
    """A random window of every picture (N, C, H, W), which has been reflected at its borders."""
    n, _, h, w = images.shape
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(images, sides, mode="reflect")
    top, left = rng.integers(0, 2 * padding + 1, (2, n))
    return sliding_window_view(padded, (h, w), axis=(2, 3))[np.arange(n), :, top, left]


def receptive_field(layers: list[tuple[int, int]]) -> tuple[int, int]:
    """Side of the square of pixels that one unit sees, and how far apart those squares are.

    ``layers`` holds (kernel, stride) from input to output.
    """
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


def grad_cam(activations: NDArray, gradients: NDArray) -> NDArray:
    """Where in (C, H, W) a class finds support: a map (H, W) from 0 to 1."""
    weights = gradients.mean(axis=(1, 2))
    heat = np.maximum(np.tensordot(weights, activations, axes=1), 0)
    return heat / heat.max() if heat.any() else heat


def occlusion_map(
    score: Callable[[NDArray], NDArray], image: NDArray, size: int, stride: int, fill: float
) -> NDArray:
    """How much of the score is lost where a square of ``image`` (C, H, W) is covered.

    Args:
        score: of a batch (N, C, H, W), one number a picture.
        image: the picture.
        size: side of the square, which is moved by ``stride`` and stays inside the picture.
        stride: see ``size``.
        fill: what covers it.
    """
    _, h, w = image.shape
    lost = np.empty((out_size(h, size, stride), out_size(w, size, stride)))
    for i, j in np.ndindex(lost.shape):
        covered = image.copy()
        covered[:, i * stride : i * stride + size, j * stride : j * stride + size] = fill
        lost[i, j] = score(image[None])[0] - score(covered[None])[0]
    return lost
