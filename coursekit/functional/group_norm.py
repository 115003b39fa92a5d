"""Group normalisation: between layer norm, which is one group, and one group a channel."""

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import (
    check_float,
    check_gradient,
    check_like,
    check_not_negative,
    check_shape,
)


class GroupNormCache(NamedTuple):
    """What :func:`group_norm_backward` needs: ``x_hat`` is x, standardised."""

    x_hat: NDArray
    inv_std: NDArray
    weight: NDArray | None
    bias: NDArray | None
    num_groups: int


def group_norm_forward(
    x: NDArray,
    num_groups: int,
    weight: NDArray | None,
    bias: NDArray | None,
    *,
    eps: float = 1e-5,
) -> tuple[NDArray, GroupNormCache]:
    """Standardise every group of channels of every picture, then scale and shift each channel.

    ``out = weight * (x - mean) / sqrt(var + eps) + bias``; a group is ``C / num_groups`` channels
    that follow one another. No picture sees another one, so training and evaluation are the same.

    Args:
        x: inputs, shape (N, C) or (N, C, *).
        num_groups: how many groups; divides C.
        weight: scale γ, shape (C,), dtype of x, or None for 1.
        bias: shift β, shape (C,), likewise, or None for 0.
        eps: added to the variance, under the root.

    Returns:
        out of the shape and memory layout of x, and the cache for :func:`group_norm_backward`.

    Raises:
        ValueError: an array is not float32/float64 or does not fit, dtypes differ, C is no
            multiple of ``num_groups``, or ``eps`` is negative.

    Source: Wu & He, "Group Normalization", 2018.
    """
    check_float("x", x)
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(f"x must be (N, C) or (N, C, *) and hold values, got shape {x.shape}")
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"num_groups must divide the {channels} channels of x, got {num_groups}")
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None:
            check_like(name, v, x)
            check_shape(name, v, (channels,), "to match the channels of x")
    check_not_negative("eps", eps)
    x_hat = x - _mean(x, num_groups)
    x_hat -= _mean(x_hat, num_groups)  # next to a large mean, float32 has few digits: what it lost
    inv_std = (1 / np.sqrt(_mean(x_hat * x_hat, num_groups) + eps)).astype(x.dtype)
    x_hat *= inv_std
    out = x_hat.copy(order="K") if weight is None else x_hat * _per_channel(weight, x)
    if bias is not None:
        out += _per_channel(bias, x)
    return out, GroupNormCache(x_hat, inv_std, weight, bias, num_groups)


def group_norm_backward(
    dout: NDArray, cache: GroupNormCache, *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Gradients of :func:`group_norm_forward`.

    Args:
        dout: gradient of the loss with respect to ``out``, shape of x.
        cache: what the forward pass returned.
        need_dx: False skips ``dx``.

    Returns:
        dx of the shape and memory layout of x or None; dweight (C,) and dbias (C,), None where the
        forward had none.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    x_hat, inv_std, weight, bias, num_groups = cache
    dout = check_gradient(dout, x_hat.shape, x_hat.dtype)
    dbias = None if bias is None else _channel_sums(dout)
    dweight = None if weight is None else _channel_sums(dout * x_hat)
    if not need_dx:
        return None, dweight, dbias
    scale = np.ones((), x_hat.dtype) if weight is None else _per_channel(weight, x_hat)
    g = np.multiply(dout, scale, out=np.empty_like(x_hat))
    # dx = inv_std * (g - mean(g) - x_hat * mean(g * x_hat)), in the memory of g.
    mean, slope = _mean(g, num_groups), _mean(g * x_hat, num_groups)
    g -= x_hat * slope
    g -= mean
    g *= inv_std
    return g, dweight, dbias


def _picture_sums(v: NDArray) -> NDArray:
    """Sums over the pixels of each picture, (N, C, *) to (N, C): long in either layout."""
    return v.sum(axis=tuple(range(2, v.ndim)))


def _channel_sums(v: NDArray) -> NDArray:
    """Sums over pixels and pictures, (N, C, *) to (C,)."""
    return _picture_sums(v).sum(axis=0, dtype=np.float64).astype(v.dtype)


def _mean(v: NDArray, num_groups: int) -> NDArray:
    """For every channel of (N, C, *) the mean of its group, (N, C, 1, ...)."""
    n, channels, *others = v.shape
    sums = _picture_sums(v).reshape(n, num_groups, -1)
    means = sums.mean(axis=2, dtype=np.float64) / prod(others)
    each = np.repeat(means, channels // num_groups, axis=1).astype(v.dtype)
    return each.reshape(n, channels, *[1] * len(others))


def _per_channel(v: NDArray, x: NDArray) -> NDArray:
    """(C,) in the shape that multiplies (N, C, *)."""
    return v.reshape(-1, *[1] * (x.ndim - 2))
