"""Convolution in plain Python, for reading and as the oracle: seven loops around one product.

Forward and backward walk over the same pairs of a pixel under a tap. Forward, the product of the
two goes to the output; backward, the output's gradient times the tap goes to the pixel, and times
the pixel to the tap.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Pair = tuple[int, int]


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    *,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``out``; see :func:`coursekit.kernels.conv2d_forward`."""
    for n, o, y, x_ in np.ndindex(*out.shape):
        total = 0.0 if bias is None else float(bias[o])
        for c, i, j, v, u in _taps(x.shape, weight.shape, (y, x_), stride, padding):
            total += float(x[n, c, v, u]) * float(weight[o, c, i, j])
        out[n, o, y, x_] = total


def conv2d_backward_input(
    dout: Array,
    weight: Array,
    dx: Array,
    *,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``dx``; see :func:`coursekit.kernels.conv2d_backward_input`."""
    total = np.zeros(dx.shape)
    for n, o, y, x_ in np.ndindex(*dout.shape):
        gradient = float(dout[n, o, y, x_])
        for c, i, j, v, u in _taps(dx.shape, weight.shape, (y, x_), stride, padding):
            total[n, c, v, u] += gradient * weight[o, c, i, j]
    dx[...] = total


def conv2d_backward_weight(
    dout: Array,
    x: Array,
    dweight: Array,
    dbias: Array,
    *,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``dweight``, ``dbias``; see :func:`coursekit.kernels.conv2d_backward_weight`."""
    dw, db = np.zeros(dweight.shape), np.zeros(dbias.shape)
    for n, o, y, x_ in np.ndindex(*dout.shape):
        gradient = float(dout[n, o, y, x_])
        db[o] += gradient
        for c, i, j, v, u in _taps(x.shape, dw.shape, (y, x_), stride, padding):
            dw[o, c, i, j] += gradient * x[n, c, v, u]
    dweight[...], dbias[:] = dw, db


def _taps(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    window: Pair,
    stride: Pair,
    padding: Pair,
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield tap (c, i, j) of the kernel and the pixel (v, u) under it, padding left out."""
    _, channels, height, width = x_shape
    for c, i, j in np.ndindex(channels, *weight_shape[2:]):
        v = window[0] * stride[0] + i - padding[0]
        u = window[1] * stride[1] + j - padding[1]
        if 0 <= v < height and 0 <= u < width:
            yield c, i, j, v, u
