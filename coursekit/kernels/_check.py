"""The checks that front doors share: the compiled code behind them trusts its arrays."""

import numpy as np
from numpy.typing import NDArray

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_float(name: str, v: NDArray) -> NDArray:
    """Return ``v``, C-contiguous and aligned, if it is a float32 or float64 array."""
    if not isinstance(v, np.ndarray) or v.dtype not in DTYPES:
        came = v.dtype if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be a float32 or float64 array, got {came}")
    return contiguous(v)


def check_like(name: str, v: NDArray, dtype: np.dtype, shape: tuple[int, ...], why: str) -> NDArray:
    """Return ``v``, C-contiguous and aligned, if it has this dtype and shape."""
    if not isinstance(v, np.ndarray) or v.dtype != dtype:
        came = v.dtype if isinstance(v, np.ndarray) else type(v).__name__
        raise ValueError(f"{name} must be a {dtype} array, got {came}")
    if v.shape != shape:
        raise ValueError(f"{name} must have shape {shape} {why}, got {v.shape}")
    return contiguous(v)


def check_gradient(dout: NDArray, x: NDArray) -> NDArray:
    """Return ``dout`` as an array like ``x``; its dtype is converted, its shape must fit."""
    if not isinstance(dout, np.ndarray):
        raise ValueError(f"dout must be a NumPy array, got {type(dout).__name__}")
    if dout.shape != x.shape:
        raise ValueError(f"dout must have shape {x.shape} to match out, got {dout.shape}")
    return contiguous(dout if dout.dtype == x.dtype else dout.astype(x.dtype))


def contiguous(v: NDArray) -> NDArray:
    """``v`` itself, or a copy that is C-contiguous and aligned."""
    flags = v.flags
    return v if flags.c_contiguous and flags.aligned else v.copy()
