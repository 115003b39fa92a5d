"""Batch and layer normalisation: checked here once, computed by the chosen backend.

Statistics come out in float64 whatever the arrays are: a mean of 1000 rounded to float32 would be
wrong in the fifth digit of values that vary by 1.
"""

import operator
from math import prod

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels import _backend
from coursekit.kernels._check import (
    check_dense,
    check_float,
    check_gradient,
    check_like,
    check_number,
)
from coursekit.kernels._layout import pixels

FLOAT64 = np.dtype(np.float64)
Vector = NDArray[np.float64]


def batch_norm_forward(
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    mean: NDArray[np.floating] | None = None,
    var: NDArray[np.floating] | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[NDArray[np.floating], Vector, Vector]:
    """``weight * (x - mean) / sqrt(var + eps) + bias`` for every channel.

    Args:
        x: (N, C, *), float32 or float64.
        weight: (C,) of the dtype of x, or None for 1.
        bias: (C,) of the dtype of x, or None for 0.
        mean: (C,), float32 or float64; None for the batch's own.
        var: (C,), float32 or float64; None, like ``mean``, for the batch's own, biased.
        eps: added to the variance, under the root.

    Returns:
        out of the shape, dtype and memory layout of x; mean and variance that were used, (C,) in
        float64.

    Raises:
        ValueError: an array has the wrong type or shape, or there are no values to take a mean of.
    """
    x, eps = _check_channels(x), check_number("eps", eps, 0)
    weight, bias = _per_channel("weight", weight, x), _per_channel("bias", bias, x)
    if (mean is None) != (var is None):
        raise ValueError("mean and var must both be arrays or both be None")
    if mean is None or var is None:
        if x.size == 0:
            raise ValueError(f"x must hold values to take a mean of, got shape {x.shape}")
        batch_stats, used_mean, used_var = True, np.empty(x.shape[1]), np.empty(x.shape[1])
    else:
        batch_stats, used_mean, used_var = False, _widened("mean", mean, x), _widened("var", var, x)
    out = np.empty_like(x)
    if x.size == 0:
        return out, used_mean, used_var
    _backend.backend.batch_norm_forward(
        _as_3d(x),
        weight,
        bias,
        used_mean,
        used_var,
        _as_3d(out),
        eps=eps,
        batch_stats=batch_stats,
        num_threads=_backend.get_num_threads(),
    )
    return out, used_mean, used_var


def batch_norm_backward(
    dout: NDArray[np.floating],
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    mean: Vector,
    var: Vector,
    *,
    batch_stats: bool,
    eps: float = 1e-5,
    need_dx: bool = True,
) -> tuple[NDArray[np.floating] | None, NDArray[np.floating], NDArray[np.floating]]:
    """Gradients of :func:`batch_norm_forward`.

    Args:
        dout: gradient with respect to ``out``, shape of x; converted to its dtype.
        x: what the forward pass got.
        weight: what the forward pass got.
        mean: what the forward pass returned.
        var: what the forward pass returned.
        batch_stats: whether they were the batch's own; else they count as constants.
        eps: what the forward pass got.
        need_dx: False skips ``dx``.

    Returns:
        dx like x or None; dweight and dbias (C,), also where the forward had none.

    Raises:
        ValueError: an array has the wrong type or shape.
    """
    x, eps = _check_channels(x), check_number("eps", eps, 0)
    dout = check_gradient(dout, x)
    weight = _per_channel("weight", weight, x)
    mean, var = _statistics(mean, var, x.shape[1:2], "to match the channels of x")
    dx = np.empty_like(x) if need_dx else None
    dweight, dbias = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    if x.size == 0:
        return dx, dweight, dbias
    _backend.backend.batch_norm_backward(
        _as_3d(dout),
        _as_3d(x),
        weight,
        mean,
        var,
        _as_3d(dx) if dx is not None else None,
        dweight,
        dbias,
        eps=eps,
        batch_stats=bool(batch_stats),
        num_threads=_backend.get_num_threads(),
    )
    return dx, dweight, dbias


def layer_norm_forward(
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    *,
    normalized_ndim: int = 1,
    eps: float = 1e-5,
) -> tuple[NDArray[np.floating], Vector, Vector]:
    """``weight * (x - mean) / sqrt(var + eps) + bias`` over the last axes.

    Args:
        x: (*, D...), float32 or float64.
        weight: shape of the last ``normalized_ndim`` axes, dtype of x, or None for 1.
        bias: shape of the last ``normalized_ndim`` axes, dtype of x, or None for 0.
        normalized_ndim: how many of the last axes one mean is taken over.
        eps: added to the variance, under the root.

    Returns:
        out of the shape and dtype of x; mean and biased variance of each row, flat, in float64.

    Raises:
        ValueError: an array has the wrong type or shape, or there are no values to take a mean of.
    """
    x, eps = check_float("x", x), check_number("eps", eps, 0)
    rows, size, features = _as_2d(x, normalized_ndim)
    weight = _per_feature("weight", weight, x, features)
    bias = _per_feature("bias", bias, x, features)
    out = np.empty(x.shape, x.dtype)
    mean, var = np.empty(rows), np.empty(rows)
    if rows == 0:
        return out, mean, var
    _backend.backend.layer_norm_forward(
        x.reshape(rows, size),
        weight,
        bias,
        mean,
        var,
        out.reshape(rows, size),
        eps=eps,
        num_threads=_backend.get_num_threads(),
    )
    return out, mean, var


def layer_norm_backward(
    dout: NDArray[np.floating],
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    mean: Vector,
    var: Vector,
    *,
    normalized_ndim: int = 1,
    eps: float = 1e-5,
    need_dx: bool = True,
) -> tuple[NDArray[np.floating] | None, NDArray[np.floating], NDArray[np.floating]]:
    """Gradients of :func:`layer_norm_forward`.

    Args:
        dout: gradient with respect to ``out``, shape of x; converted to its dtype.
        x: what the forward pass got.
        weight: what the forward pass got.
        mean: what the forward pass returned.
        var: what the forward pass returned.
        normalized_ndim: what the forward pass got.
        eps: what the forward pass got.
        need_dx: False skips ``dx``.

    Returns:
        dx of the shape of x or None; dweight and dbias, also where the forward had none.

    Raises:
        ValueError: an array has the wrong type or shape.
    """
    x, eps = check_float("x", x), check_number("eps", eps, 0)
    dout = check_gradient(dout, x)
    rows, size, features = _as_2d(x, normalized_ndim)
    weight = _per_feature("weight", weight, x, features)
    mean, var = _statistics(mean, var, (rows,), "to match the rows of x")
    dx = np.empty(x.shape, x.dtype) if need_dx else None
    dweight, dbias = np.zeros(size), np.zeros(size)
    _backend.backend.layer_norm_backward(
        dout.reshape(rows, size),
        x.reshape(rows, size),
        weight,
        mean,
        var,
        dx.reshape(rows, size) if dx is not None else None,
        dweight,
        dbias,
        eps=eps,
        num_threads=_backend.get_num_threads(),
    )
    return (
        dx,
        dweight.astype(x.dtype).reshape(features),
        dbias.astype(x.dtype).reshape(features),
    )


def _per_channel(name: str, v: NDArray | None, x: NDArray) -> NDArray | None:
    """``v``, checked, if there is one."""
    if v is None:
        return None
    return check_like(name, v, x.dtype, x.shape[1:2], "to match the channels of x")


def _statistics(
    mean: NDArray, var: NDArray, shape: tuple[int, ...], why: str
) -> tuple[Vector, Vector]:
    """What a forward pass returned, checked."""
    return (
        check_like("mean", mean, FLOAT64, shape, why),
        check_like("var", var, FLOAT64, shape, why),
    )


def _widened(name: str, v: NDArray, x: NDArray) -> Vector:
    """A copy of ``v``, checked, in float64."""
    v = check_float(name, v)
    return check_like(name, v, v.dtype, x.shape[1:2], "to match the channels of x").astype(FLOAT64)


def _check_channels(x: NDArray) -> NDArray:
    """``x``, dense, if it is (N, C, *)."""
    x = check_dense("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C) or (N, C, *), got shape {x.shape}")
    return x


def _as_3d(x: NDArray) -> NDArray:
    """A view of (N, C, *) as (N, C, S); where the channels are last, as rows: (N * S, C, 1)."""
    if x.flags.c_contiguous:
        return x.reshape(x.shape[0], x.shape[1], prod(x.shape[2:]))
    return pixels(x).reshape(-1, x.shape[1], 1)


def _per_feature(
    name: str, v: NDArray | None, x: NDArray, features: tuple[int, ...]
) -> NDArray | None:
    """``v``, checked and flat, if there is one."""
    if v is None:
        return None
    return check_like(name, v, x.dtype, features, "to match the last axes of x").reshape(-1)


def _as_2d(x: NDArray, normalized_ndim: int) -> tuple[int, int, tuple[int, ...]]:
    """Rows and values in a row of (*, D...), and the shape D of these."""
    try:
        ndim = operator.index(normalized_ndim)
    except TypeError:
        ndim = 0
    if not 1 <= ndim <= x.ndim:
        raise ValueError(
            f"normalized_ndim must lie in 1..{x.ndim} for x of shape {x.shape}, "
            f"got {normalized_ndim!r}"
        )
    features = x.shape[x.ndim - ndim :]
    size = prod(features)
    if size == 0:
        raise ValueError(f"x must hold values to take a mean of, got shape {x.shape}")
    return x.size // size, size, features
