"""The checks that front doors share: the compiled code behind them trusts its arrays."""

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels._layout import contiguous, dense, ordered_like

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST = 2**31 - 1  # stride, padding or window: their products with a shape stay within 64 bits


def check_float(name: str, v: NDArray) -> NDArray:
    """Return ``v``, C-contiguous and aligned, if it is a float32 or float64 array."""
    return contiguous(_check_dtype(name, v))


def check_dense(name: str, v: NDArray) -> NDArray:
    """Return ``v``, C-contiguous or channels last, if it is a float32 or float64 array."""
    return dense(_check_dtype(name, v))


def check_pictures(name: str, v: NDArray) -> NDArray:
    """Return ``v``, C-contiguous or channels last, if it is a float array (N, C, H, W)."""
    v = _check_dtype(name, v)
    if v.ndim != 4:
        raise ValueError(f"{name} must have shape (N, C, H, W), got shape {v.shape}")
    return dense(v)


def _check_dtype(name: str, v: NDArray) -> NDArray:
    if not isinstance(v, np.ndarray) or v.dtype not in DTYPES:
        came = v.dtype if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be a float32 or float64 array, got {came}")
    return np.asarray(v)  # a np.matrix would keep two axes whatever it is reshaped to


def check_number(name: str, value: float, smallest: float | None = None) -> float:
    """Return ``value`` as a Python number: a NumPy float64 would widen float32 arithmetic."""
    try:
        number = None if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (smallest is not None and not number >= smallest):
        least = "" if smallest is None else f" of at least {smallest}"
        raise ValueError(f"{name} must be a number{least}, got {value!r}")
    return number


def check_shape(name: str, shape: object) -> tuple[int, int, int, int]:
    """Return ``shape`` as four integers if it can be that of pictures (N, C, H, W)."""
    try:
        n, c, h, w = map(operator.index, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        n = c = h = w = -1
    if min(n, c, h, w) < 0:
        raise ValueError(f"{name} must be the shape (N, C, H, W) of pictures, got {shape!r}")
    return n, c, h, w


def check_like(name: str, v: NDArray, dtype: np.dtype, shape: tuple[int, ...], why: str) -> NDArray:
    """Return ``v``, C-contiguous and aligned, if it has this dtype and shape."""
    if not isinstance(v, np.ndarray) or v.dtype != dtype:
        came = v.dtype if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be a {dtype} array, got {came}")
    if v.shape != shape:
        raise ValueError(f"{name} must have shape {shape} {why}, got {v.shape}")
    return contiguous(np.asarray(v))


def check_gradient(dout: NDArray, x: NDArray) -> NDArray:
    """Return ``dout`` as an array like ``x``: dtype and layout are converted, the shape fits."""
    return ordered_like(_check_dout(dout, x.shape, x.dtype), x)


def check_picture_gradient(dout: NDArray, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Return ``dout``, C-contiguous or channels last and of this dtype, if it has this shape."""
    return dense(_check_dout(dout, shape, dtype))


def _check_dout(dout: NDArray, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    if not isinstance(dout, np.ndarray):
        raise ValueError(f"dout must be a NumPy array, got {type(dout).__name__}")
    if dout.dtype.kind not in "fiu":
        raise ValueError(f"dout must be an array of real numbers, got {dout.dtype}")
    if dout.shape != shape:
        raise ValueError(f"dout must have shape {shape} to match out, got {dout.shape}")
    return np.asarray(dout).astype(dtype, copy=False)


def check_pair(name: str, value: int | tuple[int, int], smallest: int) -> tuple[int, int]:
    """Return ``value``, an integer for both or a pair (vertical, horizontal), as a pair."""
    try:
        vertical, horizontal = value if isinstance(value, Sequence) else (value, value)
        pair = operator.index(vertical), operator.index(horizontal)
    except (TypeError, ValueError):
        pair = (smallest - 1, smallest - 1)
    if min(pair) < smallest:
        raise ValueError(
            f"{name} must be an integer of at least {smallest} or a pair of them, got {value!r}"
        )
    if max(pair) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST}, got {value!r}")
    return pair


def windows(
    shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> tuple[int, int]:
    """Height and width of what windows over pictures (N, C, H, W) give; the last may not stick out.

    Raises:
        ValueError: not even one window fits.
    """
    padded = shape[2] + 2 * padding[0], shape[3] + 2 * padding[1]
    if padded[0] < kernel_size[0] or padded[1] < kernel_size[1]:
        raise ValueError(
            f"kernel_size must fit into the padded pictures, {padded[0]} x {padded[1]}, "
            f"got {kernel_size}"
        )
    return (
        (padded[0] - kernel_size[0]) // stride[0] + 1,
        (padded[1] - kernel_size[1]) // stride[1] + 1,
    )
