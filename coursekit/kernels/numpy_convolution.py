"""Convolution in NumPy: windows are laid out as rows, so that one matrix product does the sums.

The rows of all windows together are ``kh * kw`` times as large as the pictures. So they are made a
block at a time, a few megabytes that are still in the cache when the product reads them.
Channels last, a row is gathered in runs of ``kw * C`` neighbours.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from coursekit.kernels._layout import pixels

Array = NDArray[np.floating]
Pair = tuple[int, int]
BLOCK_BYTES = 2 << 20  # of rows: products large enough for the BLAS, small enough for the cache


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
    matrix = _as_matrix(weight)
    for part, rows in _im2row(x, weight.shape[2:], out.shape[2:], stride, padding):
        _multiply(rows, matrix, pixels(out)[part])
        if bias is not None:
            pixels(out)[part] += bias


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
    filters, channels, kh, kw = dweight.shape
    matrix = np.zeros((kh * kw * channels, filters), x.dtype)
    db = np.zeros(filters)
    for part, rows in _im2row(x, (kh, kw), dout.shape[2:], stride, padding):
        dout_ = pixels(dout)[part].reshape(len(rows), -1)
        matrix += rows.T @ dout_
        db += dout_.sum(axis=0)
    dweight[...] = matrix.reshape(kh, kw, channels, filters).transpose(3, 2, 0, 1)
    dbias[:] = db


def conv2d_backward_input(
    dout: Array,
    weight: Array,
    dx: Array,
    *,
    stride: Pair,
    padding: Pair,
    num_threads: int = 1,
) -> None:
    """``dx``; see :func:`coursekit.kernels.conv2d_backward_input`.

    Nothing is scattered. Row ``y`` of the padded input meets the kernel's rows ``i`` with
    ``i = y (mod stride)`` only, so for each of the ``stride * stride`` phases dx is a convolution
    of stride 1: of dout with every ``stride``-th tap, flipped, inputs and outputs exchanged.
    """
    for y in range(stride[0]):
        for x in range(stride[1]):
            taps = weight[:, :, y :: stride[0], x :: stride[1]]
            _phase(dout, taps, dx, (y, x), stride, padding)


def _phase(dout: Array, taps: Array, dx: Array, phase: Pair, stride: Pair, padding: Pair) -> None:
    """``dx`` at the pixels of one phase."""
    starts, fronts = [0, 0], [0, 0]
    for axis in range(2):
        # The first pixel of this phase, and how far before dout begins the window that it sees.
        starts[axis] = (phase[axis] - padding[axis]) % stride[axis]
        last_window = (starts[axis] + padding[axis]) // stride[axis]
        fronts[axis] = taps.shape[2 + axis] - 1 - last_window
    target = pixels(dx)[:, starts[0] :: stride[0], starts[1] :: stride[1]]
    if 0 in taps.shape:  # windows so far apart that they leave these pixels out
        target[...] = 0
        return
    matrix = _as_matrix(taps[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    for part, rows in _im2row(dout, taps.shape[2:], target.shape[1:3], (1, 1), fronts):
        _multiply(rows, matrix, target[part])


def _as_matrix(weight: Array) -> Array:
    """(O, C, kh, kw) as (kh * kw * C, O), the order of the rows."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def _multiply(rows: Array, matrix: Array, out: Array) -> None:
    """The product, without a copy where ``out`` (..., O) is dense."""
    if out.flags.c_contiguous:
        np.matmul(rows, matrix, out=out.reshape(len(rows), -1))
    else:
        out[...] = (rows @ matrix).reshape(out.shape)


def _im2row(
    x: Array, kernel_size: Sequence[int], size: Sequence[int], stride: Pair, front: Sequence[int]
) -> Iterator[tuple[tuple[slice, slice], Array]]:
    """Yield which (pictures, lines) of the output come next, and their windows as rows.

    Window (y, x) of a picture starts at pixel (y * stride - front); zeros lie around the picture.
    """
    n, channels = x.shape[:2]
    reach = [(size[a] - 1) * stride[a] + kernel_size[a] for a in range(2)]
    row = kernel_size[0] * kernel_size[1] * channels
    if 0 in (n, *size):
        return
    lines = min(size[0], max(1, BLOCK_BYTES // (size[1] * row * x.itemsize)))
    pictures = min(n, max(1, BLOCK_BYTES // (size[0] * size[1] * row * x.itemsize)))
    buffer = np.empty((pictures, lines, size[1], *kernel_size, channels), x.dtype)
    padded = np.zeros((pictures, *reach, channels), x.dtype)
    down, right = (_overlap(x.shape[2 + a], front[a], reach[a]) for a in range(2))
    for start in range(0, n, pictures):
        some = slice(start, min(n, start + pictures))
        count = some.stop - start
        padded[:count, down[1], right[1]] = pixels(x)[some, down[0], right[0]]
        windows = sliding_window_view(padded[:count], tuple(kernel_size), axis=(1, 2))
        windows = windows[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
        for top in range(0, size[0], lines):
            band = slice(top, min(size[0], top + lines))
            rows = buffer[:count, : band.stop - top]
            np.copyto(rows, windows[:, band])
            yield (some, band), rows.reshape(-1, row)


def _overlap(length: int, front: int, reach: int) -> tuple[slice, slice]:
    """The part of an axis that windows see: where it lies in the picture, and where among zeros."""
    start = max(0, -front)
    stop = max(start, min(length, reach - front))
    return slice(start, stop), slice(start + front, stop + front)
