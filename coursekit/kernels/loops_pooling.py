"""Pooling in plain Python, for reading and as the oracle: one window after the other."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Pair = tuple[int, int]


def max_pool2d_forward(
    x: Array,
    out: Array,
    argmax: NDArray[np.integer],
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``out``, ``argmax``; see :func:`coursekit.kernels.max_pool2d_forward`."""
    for n, c, y, x_ in np.ndindex(*out.shape):
        best, where = -math.inf, -1
        for place, v, u in _window(x.shape, (y, x_), kernel_size, stride, padding):
            value = float(x[n, c, v, u])
            # Not >=: of equal values the first one stays. A window of -inf has a first one, too.
            if value > best or math.isnan(value) or where < 0:
                best, where = value, place
        out[n, c, y, x_], argmax[n, c, y, x_] = best, where


def max_pool2d_backward(
    dout: Array,
    argmax: NDArray[np.integer],
    dx: Array,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``dx``; see :func:`coursekit.kernels.max_pool2d_backward`."""
    dx[...] = 0
    for n, c, y, x_ in np.ndindex(*dout.shape):
        for place, v, u in _window(dx.shape, (y, x_), kernel_size, stride, padding):
            if place == argmax[n, c, y, x_]:
                dx[n, c, v, u] += dout[n, c, y, x_]  # added: windows may overlap


def avg_pool2d_forward(
    x: Array,
    out: Array,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``out``; see :func:`coursekit.kernels.avg_pool2d_forward`."""
    for n, c, y, x_ in np.ndindex(*out.shape):
        window = _window(x.shape, (y, x_), kernel_size, stride, padding)
        total = exact_sum([float(x[n, c, v, u]) for _, v, u in window])
        out[n, c, y, x_] = total / (kernel_size[0] * kernel_size[1])


def avg_pool2d_backward(
    dout: Array,
    dx: Array,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``dx``; see :func:`coursekit.kernels.avg_pool2d_backward`."""
    dx[...] = 0
    for n, c, y, x_ in np.ndindex(*dout.shape):
        for _, v, u in _window(dx.shape, (y, x_), kernel_size, stride, padding):
            dx[n, c, v, u] += dout[n, c, y, x_] / (kernel_size[0] * kernel_size[1])


def _window(
    x_shape: tuple[int, ...], window: Pair, kernel_size: Pair, stride: Pair, padding: Pair
) -> Iterator[tuple[int, int, int]]:
    """Yield the place ``i * kw + j`` in the window and its pixel (v, u), padding left out."""
    for place, (i, j) in enumerate(np.ndindex(*kernel_size)):
        v = window[0] * stride[0] + i - padding[0]
        u = window[1] * stride[1] + j - padding[1]
        if 0 <= v < x_shape[2] and 0 <= u < x_shape[3]:
            yield place, v, u


def exact_sum(values: list[float]) -> float:
    """The sum to the last bit; nan or an infinity where there is none, as NumPy has it."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond the largest number; inf - inf
        return sum(values)
