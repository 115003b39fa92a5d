"""Convolution: checked here once, computed by the chosen backend.

The kernel is not flipped, as everywhere in deep learning: ``out[n, o, y, x]`` is ``bias[o]`` plus
the sum of ``padded[n, c, y * stride + i, x * stride + j] * weight[o, c, i, j]`` over c, i and j.
"""

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels import _backend
from coursekit.kernels._check import (
    check_float,
    check_like,
    check_pair,
    check_picture_gradient,
    check_pictures,
    check_shape,
    windows,
)
from coursekit.kernels._layout import empty_channels_last

Array = NDArray[np.floating]
Pair = int | tuple[int, int]


def conv2d_forward(
    x: Array, weight: Array, bias: Array | None = None, *, stride: Pair = 1, padding: Pair = 0
) -> Array:
    """Slide every filter over every picture.

    Args:
        x: (N, C, H, W), float32 or float64, channels first or last in memory.
        weight: (O, C, kh, kw) of the dtype of x.
        bias: (O,) of the dtype of x, or None for 0.
        stride: pixels from one window to the next, vertically and horizontally.
        padding: rows and columns of zeros on either side.

    Returns:
        out (N, O, OH, OW) of the dtype of x, channels last in memory, where
        ``OH = (H + 2 * padding - kh) // stride + 1``.

    Raises:
        ValueError: an array has the wrong type or shape, or no window fits.
    """
    x = check_pictures("x", x)
    weight = _filters(weight, x)
    if bias is not None:
        bias = check_like("bias", bias, x.dtype, weight.shape[:1], "to match the filters")
    stride, padding = check_pair("stride", stride, 1), check_pair("padding", padding, 0)
    size = windows(x.shape, weight.shape[2:], stride, padding)
    out = empty_channels_last((len(x), len(weight), *size), x.dtype)
    _backend.backend.conv2d_forward(
        x,
        weight,
        bias,
        out,
        stride=stride,
        padding=padding,
        num_threads=_backend.get_num_threads(),
    )
    return out


def conv2d_backward_input(
    dout: Array,
    weight: Array,
    x_shape: tuple[int, ...],
    *,
    stride: Pair = 1,
    padding: Pair = 0,
) -> Array:
    """Gradient of :func:`conv2d_forward` with respect to ``x``.

    Args:
        dout: gradient with respect to ``out``, its shape; converted to the dtype of weight.
        weight: what the forward pass got.
        x_shape: shape of what the forward pass got.
        stride: what the forward pass got.
        padding: what the forward pass got.

    Returns:
        dx of shape ``x_shape``, channels last in memory.

    Raises:
        ValueError: an array has the wrong type or shape, or ``x_shape`` does not fit the filters.
    """
    weight, x_shape = _filters(weight), check_shape("x_shape", x_shape)
    if x_shape[1] != weight.shape[1]:
        raise ValueError(
            f"x_shape must have {weight.shape[1]} channels to match the filters, got {x_shape}"
        )
    stride, padding = check_pair("stride", stride, 1), check_pair("padding", padding, 0)
    size = windows(x_shape, weight.shape[2:], stride, padding)
    dout = check_picture_gradient(dout, (x_shape[0], len(weight), *size), weight.dtype)
    dx = empty_channels_last(x_shape, weight.dtype)
    _backend.backend.conv2d_backward_input(
        dout,
        weight,
        dx,
        stride=stride,
        padding=padding,
        num_threads=_backend.get_num_threads(),
    )
    return dx


def conv2d_backward_weight(
    dout: Array,
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
) -> tuple[Array, Array]:
    """Gradients of :func:`conv2d_forward` with respect to ``weight`` and ``bias``.

    Args:
        dout: gradient with respect to ``out``, its shape; converted to the dtype of x.
        x: what the forward pass got.
        kernel_size: (kh, kw) of the weight.
        stride: what the forward pass got.
        padding: what the forward pass got.

    Returns:
        dweight (O, C, kh, kw) and dbias (O,), also where the forward had none.

    Raises:
        ValueError: an array has the wrong type or shape.
    """
    x = check_pictures("x", x)
    if x.shape[1] == 0:
        raise ValueError(f"x must have at least one channel, got shape {x.shape}")
    kernel_size = check_pair("kernel_size", kernel_size, 1)
    stride, padding = check_pair("stride", stride, 1), check_pair("padding", padding, 0)
    size = windows(x.shape, kernel_size, stride, padding)
    filters = dout.shape[1] if isinstance(dout, np.ndarray) and dout.ndim == 4 else 1
    dout = check_picture_gradient(dout, (len(x), max(1, filters), *size), x.dtype)
    dweight = np.empty((filters, x.shape[1], *kernel_size), x.dtype)
    dbias = np.empty(filters, x.dtype)
    _backend.backend.conv2d_backward_weight(
        dout,
        x,
        dweight,
        dbias,
        stride=stride,
        padding=padding,
        num_threads=_backend.get_num_threads(),
    )
    return dweight, dbias


def _filters(weight: Array, x: Array | None = None) -> Array:
    """``weight``, checked, also against the pictures where there are some."""
    weight = check_float("weight", weight)
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"weight must have shape (O, C, kh, kw), got shape {weight.shape}")
    if x is None:
        return weight
    shape = (len(weight), x.shape[1], *weight.shape[2:])
    return check_like("weight", weight, x.dtype, shape, "to match the channels of x")
