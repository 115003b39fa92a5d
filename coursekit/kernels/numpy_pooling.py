"""Pooling in NumPy: one pass over all windows at once for every place in a window.

The values that all windows have at place (i, j) are a strided view of the pictures. Padding takes
no memory: windows that stick out at that place are left out of the pass. A picture after the other
is taken, so that all passes find it in the cache.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels._layout import pixels

Array = NDArray[np.floating]
Pair = tuple[int, int]
Slices = tuple[slice, slice]


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
    places = list(_places(x.shape, out.shape, kernel_size, stride, padding))
    first = _first_places(out.shape, kernel_size, stride, padding)
    for picture, out_, argmax_ in zip(pixels(x), pixels(out), pixels(argmax), strict=True):
        out_[...] = -np.inf
        argmax_[...] = first
        for place, windows, seen in places:
            values = picture[seen]
            _mark(values > out_[windows], place, argmax_[windows])
            np.maximum(out_[windows], values, out=out_[windows])  # a NaN stays
        if np.isnan(out_).any():
            for place, windows, seen in places:
                _mark(np.isnan(picture[seen]), place, argmax_[windows])


def _mark(found: NDArray[np.bool_], place: int, argmax: NDArray[np.integer]) -> None:
    """Write ``place`` to ``argmax`` where ``found``; it is larger than all that stand there.

    So this is a maximum, which the processor takes of many bytes at once. Assigning by a mask, it
    would have to guess at every pixel whether a larger value comes.
    """
    np.maximum(argmax, np.multiply(found, place, dtype=argmax.dtype), out=argmax)


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
    places = list(_places(dx.shape, dout.shape, kernel_size, stride, padding))
    for dx_, dout_, argmax_ in zip(pixels(dx), pixels(dout), pixels(argmax), strict=True):
        dx_[...] = 0
        for place, windows, seen in places:
            dx_[seen] += dout_[windows] * (argmax_[windows] == place)


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
    places = list(_places(x.shape, out.shape, kernel_size, stride, padding))
    for picture, out_ in zip(pixels(x), pixels(out), strict=True):
        out_[...] = 0
        for _, windows, seen in places:
            out_[windows] += picture[seen]
        out_ /= kernel_size[0] * kernel_size[1]


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
    places = list(_places(dx.shape, dout.shape, kernel_size, stride, padding))
    for dx_, dout_ in zip(pixels(dx), pixels(dout), strict=True):
        dx_[...] = 0
        share = dout_ / (kernel_size[0] * kernel_size[1])
        for _, windows, seen in places:
            dx_[seen] += share[windows]


def _places(
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
) -> Iterator[tuple[int, Slices, Slices]]:
    """Yield each place in a window, the windows inside the picture there, and what they see."""
    axes = [
        [
            _inside(i, shape[2 + axis], out_shape[2 + axis], stride[axis], padding[axis])
            for i in range(kernel_size[axis])
        ]
        for axis in range(2)
    ]
    for i, (windows_y, seen_y) in enumerate(axes[0]):
        for j, (windows_x, seen_x) in enumerate(axes[1]):
            yield i * kernel_size[1] + j, (windows_y, windows_x), (seen_y, seen_x)


def _inside(i: int, length: int, count: int, stride: int, padding: int) -> Slices:
    """Which of ``count`` windows have their place ``i`` inside the axis, and where it lies."""
    first = max(0, -(-(padding - i) // stride))
    last = min(count - 1, (length - 1 + padding - i) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + i - padding
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


def _first_places(
    out_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair
) -> NDArray[np.integer]:
    """The first place of every window that lies inside the picture, (OH, OW, 1)."""
    y, x = (np.maximum(0, padding[a] - stride[a] * np.arange(out_shape[2 + a])) for a in range(2))
    return (y[:, None] * kernel_size[1] + x)[:, :, None]
