"""Lesson 3's exercises on convolution and pooling, solved: readable first, fast never."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Shape4 = tuple[int, int, int, int]


def conv2d_cost(
    c_in: int, c_out: int, kernel_size: tuple[int, int], stride: int, padding: int, h: int, w: int
) -> tuple[tuple[int, int], int, int]:
    """Output size, parameters (with a bias) and multiply-accumulates for one picture (h, w)."""
    kh, kw = kernel_size
    out_h, out_w = out_size(h, kh, stride, padding), out_size(w, kw, stride, padding)
    weights = c_out * c_in * kh * kw  # each is used once for every output pixel
    return (out_h, out_w), weights + c_out, weights * out_h * out_w


def out_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """How many windows fit along one side of a picture."""
    return (size + 2 * padding - kernel) // stride + 1


def im2col(x: NDArray, kh: int, kw: int, stride: int, padding: int) -> NDArray:
    """Every window of ``x`` (N, C, H, W) as a row: (N * OH * OW, C * kh * kw)."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return _windows(padded, kh, kw, stride).transpose(0, 2, 3, 1, 4, 5).reshape(-1, _row(x, kh, kw))


def _windows(x: NDArray, kh: int, kw: int, stride: int) -> NDArray:
    """(N, C, OH, OW, kh, kw), a view."""
    return sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]


def _row(x: NDArray, kh: int, kw: int) -> int:
    return x.shape[1] * kh * kw


def col2im(cols: NDArray, x_shape: Shape4, kh: int, kw: int, stride: int, padding: int) -> NDArray:
    """Add every row back to the pixels it was taken from: the adjoint of ``im2col``."""
    n, c, h, w = x_shape
    oh, ow = out_size(h, kh, stride, padding), out_size(w, kw, stride, padding)
    windows = cols.reshape(n, oh, ow, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    for i in range(kh):
        for j in range(kw):  # a pixel lies in up to kh * kw windows, at another (i, j) in each
            rows, columns = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            padded[:, :, rows, columns] += windows[:, :, i, j]
    return padded[:, :, padding : padding + h, padding : padding + w]


def conv2d_forward(
    x: NDArray, w: NDArray, b: NDArray, stride: int, padding: int
) -> tuple[NDArray, Any]:
    """``out[n, f] = b[f] + sum over c of x[n, c] correlated with w[f, c]``; the cache for it.

    A sum a window, as learners write it: the lesson measures how much faster ``im2col`` is.
    """
    kh, kw = w.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = _windows(padded, kh, kw, stride)
    out = np.empty((len(x), len(w), *windows.shape[2:4]), x.dtype)
    for i, j in np.ndindex(windows.shape[2:4]):
        out[:, :, i, j] = (windows[:, None, :, i, j] * w).sum(axis=(2, 3, 4)) + b
    return out, (x, w, stride, padding)


def conv2d_backward(dout: NDArray, cache: Any) -> tuple[NDArray, NDArray, NDArray]:
    """``(dx, dw, db)``: the linear layer's backward, with windows for rows."""
    x, w, stride, padding = cache
    kh, kw = w.shape[2:]
    rows = dout.transpose(0, 2, 3, 1).reshape(-1, len(w))
    dw = rows.T @ im2col(x, kh, kw, stride, padding)
    dx = col2im(rows @ w.reshape(len(w), -1), x.shape, kh, kw, stride, padding)
    return dx, dw.reshape(w.shape), rows.sum(axis=0)


def max_pool2d_forward(
    x: NDArray, pool_height: int, pool_width: int, stride: int
) -> tuple[NDArray, Any]:
    """The largest number of every window; the cache for it."""
    out = _windows(x, pool_height, pool_width, stride).max(axis=(4, 5))
    return out, (x, pool_height, pool_width, stride)


def max_pool2d_backward(dout: NDArray, cache: Any) -> NDArray:
    """``dx``: each window's gradient goes to its maximum, to the first if there are several."""
    x, pool_height, pool_width, stride = cache
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dout.shape):
        top, left = i * stride, j * stride
        window = x[n, c, top : top + pool_height, left : left + pool_width]
        row, column = divmod(int(window.argmax()), pool_width)
        dx[n, c, top + row, left + column] += dout[n, c, i, j]
    return dx
