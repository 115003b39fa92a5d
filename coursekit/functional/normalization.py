"""Batch and layer normalisation (lesson 2, "Normalise inside the net")."""

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit import kernels
from coursekit.functional._validate import check_float, check_not_negative, check_shape


class BatchNormCache(NamedTuple):
    """What :func:`batch_norm_backward` needs: the input itself instead of a standardised copy."""

    x: NDArray
    weight: NDArray | None
    bias: NDArray | None
    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    eps: float
    batch_stats: bool


def batch_norm_forward(
    x: NDArray,
    weight: NDArray | None,
    bias: NDArray | None,
    running_mean: NDArray | None,
    running_var: NDArray | None,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[NDArray, BatchNormCache, NDArray | None, NDArray | None]:
    """Standardise every channel over the batch, then scale and shift it.

    ``out = weight * (x - mean) / sqrt(var + eps) + bias``, with the mean and the biased variance
    of the batch in training, and with the running ones in evaluation.

    Args:
        x: inputs, shape (N, C) or (N, C, *).
        weight: scale γ, shape (C,), or None for 1.
        bias: shift β, shape (C,), or None for 0.
        running_mean: running estimate of the mean, shape (C,), or None to keep none and use the
            batch's statistics always.
        running_var: running estimate of the unbiased variance, shape (C,), or None.
        training: whether to use and track the batch's statistics.
        momentum: weight of the new batch in the running statistics (PyTorch's convention).
        eps: added to the variance, under the root.

    Returns:
        out of the shape and memory layout of x; the cache for :func:`batch_norm_backward`; the new
        running mean and variance, the very arrays that came in evaluation.

    Raises:
        ValueError: an array is not float32/float64 or does not fit, ``eps`` is negative,
            ``momentum`` no fraction, or training sees a single value a channel, whose variance
            says nothing.

    Source: Ioffe & Szegedy, "Batch Normalization", 2015.
    """
    check_float("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C) or (N, C, *), got shape {x.shape}")
    check_not_negative("eps", eps)
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must lie in [0, 1], got {momentum}")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must both be arrays or both be None")
    if running_mean is None or running_var is None:
        _check_count(x)
        out, mean, var = kernels.batch_norm_forward(x, weight, bias, eps=eps)
        return out, BatchNormCache(x, weight, bias, mean, var, eps, True), None, None
    why = f"to match the {x.shape[1]} channels of x"
    for name, v in (("running_mean", running_mean), ("running_var", running_var)):
        check_float(name, v)
        check_shape(name, v, x.shape[1:2], why)
    if not training:
        out, mean, var = kernels.batch_norm_forward(
            x, weight, bias, running_mean, running_var, eps=eps
        )
        cache = BatchNormCache(x, weight, bias, mean, var, eps, False)
        return out, cache, running_mean, running_var
    count = _check_count(x)
    out, mean, var = kernels.batch_norm_forward(x, weight, bias, eps=eps)
    return (
        out,
        BatchNormCache(x, weight, bias, mean, var, eps, True),
        _averaged(running_mean, mean, momentum),
        _averaged(running_var, var * (count / (count - 1)), momentum),
    )


def _check_count(x: NDArray) -> int:
    """How many values a channel has: the variance of one says nothing."""
    count = x.shape[0] * prod(x.shape[2:])
    if count < 2:
        raise ValueError(
            "x must hold more than one value a channel when batch statistics are used, "
            f"got shape {x.shape}"
        )
    return count


def _averaged(running: NDArray, batch: NDArray, momentum: float) -> NDArray:
    """``running``, moved towards ``batch`` in float64 and rounded once."""
    wide = running.astype(np.float64)
    wide += momentum * (batch - wide)
    return wide.astype(running.dtype)


def batch_norm_backward(
    dout: NDArray, cache: BatchNormCache, *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Gradients of :func:`batch_norm_forward`; after an evaluation the statistics are constants.

    Args:
        dout: gradient of the loss with respect to ``out``, shape of x.
        cache: what the forward pass returned.
        need_dx: False skips ``dx``.

    Returns:
        dx of the shape of x or None; dweight (C,) and dbias (C,), None where the forward had none.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    dx, dweight, dbias = kernels.batch_norm_backward(
        dout,
        cache.x,
        cache.weight,
        cache.mean,
        cache.var,
        batch_stats=cache.batch_stats,
        eps=cache.eps,
        need_dx=need_dx,
    )
    return (
        dx,
        dweight if cache.weight is not None else None,
        dbias if cache.bias is not None else None,
    )


class LayerNormCache(NamedTuple):
    """What :func:`layer_norm_backward` needs."""

    x: NDArray
    weight: NDArray | None
    bias: NDArray | None
    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    normalized_ndim: int
    eps: float


def layer_norm_forward(
    x: NDArray,
    weight: NDArray | None,
    bias: NDArray | None,
    *,
    normalized_ndim: int = 1,
    eps: float = 1e-5,
) -> tuple[NDArray, LayerNormCache]:
    """Standardise every picture over its own features, then scale and shift.

    Args:
        x: inputs, shape (N, *).
        weight: scale γ, of the shape of the last ``normalized_ndim`` axes of x, or None for 1.
        bias: shift β, of the same shape, or None for 0.
        normalized_ndim: over how many of the last axes to normalise.
        eps: added to the variance, under the root.

    Returns:
        out of the shape of x, and the cache for :func:`layer_norm_backward`.

    Raises:
        ValueError: an array is not float32/float64 or does not fit.

    Source: Ba, Kiros & Hinton, "Layer Normalization", 2016.
    """
    check_not_negative("eps", eps)
    out, mean, var = kernels.layer_norm_forward(
        x, weight, bias, normalized_ndim=normalized_ndim, eps=eps
    )
    return out, LayerNormCache(x, weight, bias, mean, var, normalized_ndim, eps)


def layer_norm_backward(
    dout: NDArray, cache: LayerNormCache, *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Gradients of :func:`layer_norm_forward`.

    Args:
        dout: gradient of the loss with respect to ``out``, shape of x.
        cache: what the forward pass returned.
        need_dx: False skips ``dx``.

    Returns:
        dx of the shape of x or None; dweight and dbias, None where the forward had none.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    dx, dweight, dbias = kernels.layer_norm_backward(
        dout,
        cache.x,
        cache.weight,
        cache.mean,
        cache.var,
        normalized_ndim=cache.normalized_ndim,
        eps=cache.eps,
        need_dx=need_dx,
    )
    return (
        dx,
        dweight if cache.weight is not None else None,
        dbias if cache.bias is not None else None,
    )
