"""Pooling: checked here once, computed by the chosen backend."""

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels import _backend
from coursekit.kernels._check import (
    LARGEST,
    check_pair,
    check_picture_gradient,
    check_pictures,
    check_shape,
    windows,
)
from coursekit.kernels._layout import dense, empty_channels_last

Array = NDArray[np.floating]
Pair = int | tuple[int, int]
Geometry = dict[str, tuple[int, int]]


def max_pool2d_forward(
    x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair = 0
) -> tuple[Array, NDArray[np.integer]]:
    """The largest value of every window.

    Args:
        x: (N, C, H, W), float32 or float64, channels first or last in memory.
        kernel_size: height and width of a window.
        stride: pixels from one window to the next, vertically and horizontally.
        padding: rows and columns of -inf on either side, at most half a window.

    Returns:
        out (N, C, OH, OW), channels last in memory; and for the backward pass where in its window
        each maximum was found, as ``i * kw + j``. Of equal values it is the first one, of NaNs the
        last one, as in PyTorch.

    Raises:
        ValueError: x has the wrong type or shape, or no window fits.
    """
    x = check_pictures("x", x)
    geometry, size = _geometry("x", x.shape, kernel_size, stride, padding)
    out = empty_channels_last((*x.shape[:2], *size), x.dtype)
    argmax = empty_channels_last(out.shape, _index_dtype(geometry))
    _backend.backend.max_pool2d_forward(
        x, out, argmax, **geometry, num_threads=_backend.get_num_threads()
    )
    return out, argmax


def max_pool2d_backward(
    dout: Array,
    argmax: NDArray[np.integer],
    x_shape: tuple[int, ...],
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair = 0,
) -> Array:
    """Gradient of :func:`max_pool2d_forward`: each goes to where its maximum was found.

    Args:
        dout: gradient with respect to ``out``, its shape.
        argmax: what the forward pass returned.
        x_shape: shape of what the forward pass got.
        kernel_size: what the forward pass got.
        stride: what the forward pass got.
        padding: what the forward pass got.

    Returns:
        dx of shape ``x_shape`` and the dtype of dout, channels last in memory.

    Raises:
        ValueError: an array has the wrong type or shape.
    """
    x_shape = check_shape("x_shape", x_shape)
    geometry, size = _geometry("x_shape", x_shape, kernel_size, stride, padding)
    shape = (*x_shape[:2], *size)
    dout = check_picture_gradient(check_pictures("dout", dout), shape, dout.dtype)
    if not isinstance(argmax, np.ndarray):
        raise ValueError(f"argmax must be a NumPy array, got {type(argmax).__name__}")
    if argmax.shape != shape or argmax.dtype != _index_dtype(geometry):
        raise ValueError(
            f"argmax must be what the forward pass returned, {_index_dtype(geometry)} of shape "
            f"{shape}, got {argmax.dtype} of shape {argmax.shape}"
        )
    places = geometry["kernel_size"][0] * geometry["kernel_size"][1]
    if argmax.size and not 0 <= argmax.min() <= argmax.max() < places:
        raise ValueError(
            f"argmax must hold places in a window, 0..{places - 1}, "
            f"got {argmax.min()}..{argmax.max()}"
        )
    dx = empty_channels_last(x_shape, dout.dtype)
    _backend.backend.max_pool2d_backward(
        dout, dense(argmax), dx, **geometry, num_threads=_backend.get_num_threads()
    )
    return dx


def avg_pool2d_forward(x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair = 0) -> Array:
    """The mean of every window; padding counts as zeros, as in PyTorch by default.

    Args:
        x: (N, C, H, W), float32 or float64, channels first or last in memory.
        kernel_size: height and width of a window.
        stride: pixels from one window to the next, vertically and horizontally.
        padding: rows and columns of zeros on either side, at most half a window.

    Returns:
        out (N, C, OH, OW), channels last in memory.

    Raises:
        ValueError: x has the wrong type or shape, or no window fits.
    """
    x = check_pictures("x", x)
    geometry, size = _geometry("x", x.shape, kernel_size, stride, padding)
    out = empty_channels_last((*x.shape[:2], *size), x.dtype)
    _backend.backend.avg_pool2d_forward(x, out, **geometry, num_threads=_backend.get_num_threads())
    return out


def avg_pool2d_backward(
    dout: Array, x_shape: tuple[int, ...], *, kernel_size: Pair, stride: Pair, padding: Pair = 0
) -> Array:
    """Gradient of :func:`avg_pool2d_forward`: an equal share to every pixel of the window.

    Args:
        dout: gradient with respect to ``out``, its shape.
        x_shape: shape of what the forward pass got.
        kernel_size: what the forward pass got.
        stride: what the forward pass got.
        padding: what the forward pass got.

    Returns:
        dx of shape ``x_shape`` and the dtype of dout, channels last in memory.

    Raises:
        ValueError: dout has the wrong type or shape.
    """
    x_shape = check_shape("x_shape", x_shape)
    geometry, size = _geometry("x_shape", x_shape, kernel_size, stride, padding)
    dout = check_pictures("dout", dout)
    dout = check_picture_gradient(dout, (*x_shape[:2], *size), dout.dtype)
    dx = empty_channels_last(x_shape, dout.dtype)
    _backend.backend.avg_pool2d_backward(
        dout, dx, **geometry, num_threads=_backend.get_num_threads()
    )
    return dx


def _geometry(
    name: str, shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair
) -> tuple[Geometry, tuple[int, int]]:
    """The three pairs, checked, and height and width of the output."""
    if 0 in shape[2:]:
        raise ValueError(f"{name} must have a height and a width of at least 1, got {shape}")
    kernel_size = check_pair("kernel_size", kernel_size, 1)
    if kernel_size[0] * kernel_size[1] > LARGEST:  # a place in a window is 32 bits
        raise ValueError(f"kernel_size must have at most {LARGEST} pixels, got {kernel_size}")
    stride, padding = check_pair("stride", stride, 1), check_pair("padding", padding, 0)
    if 2 * padding[0] > kernel_size[0] or 2 * padding[1] > kernel_size[1]:
        raise ValueError(
            f"padding must be at most half of kernel_size {kernel_size}, got {padding}"
        )
    size = windows(shape, kernel_size, stride, padding)
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding}, size


def _index_dtype(geometry: Geometry) -> np.dtype:
    """One byte names a place in any window of up to 256 pixels."""
    kh, kw = geometry["kernel_size"]
    return np.dtype(np.uint8 if kh * kw <= 256 else np.int32)
