"""Batch and layer normalisation (lesson 2, "Normalise inside the net")."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_shape


def _per_channel(v: NDArray, ndim: int) -> NDArray:
    """Shape a vector over channels so that it broadcasts against (N, C, *)."""
    return v.reshape(1, -1, *(1,) * (ndim - 2))


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
) -> tuple[NDArray, Any, NDArray | None, NDArray | None]:
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
        out of the shape of x; the cache for :func:`batch_norm_backward`; the new running mean
        and variance, the very arrays that came in evaluation.

    Raises:
        ValueError: an array is not float32/float64 or does not fit, or training sees a single
            value a channel, whose variance says nothing.

    Source: Ioffe & Szegedy, "Batch Normalization", 2015.
    """
    check_float("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C) or (N, C, *), got shape {x.shape}")
    channels, count = (x.shape[1],), x.size // x.shape[1]
    vectors = {"weight": weight, "bias": bias}
    for name, v in (vectors | {"running_mean": running_mean, "running_var": running_var}).items():
        if v is not None:
            check_float(name, v)
            check_shape(name, v, channels, f"to match the {x.shape[1]} channels of x")
    use_batch = training or running_mean is None or running_var is None
    if use_batch:
        if count < 2:
            raise ValueError(
                "x must hold more than one value a channel when batch statistics are used, "
                f"got shape {x.shape}"
            )
        axes = (0, *range(2, x.ndim))
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        if training and running_mean is not None and running_var is not None:
            keep, add = running_mean.dtype.type(1 - momentum), running_mean.dtype.type(momentum)
            running_mean = keep * running_mean + add * mean
            running_var = keep * running_var + add * var * x.dtype.type(count / (count - 1))
    else:
        mean, var = running_mean, running_var
    inv_std = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = (x - _per_channel(mean, x.ndim)) * _per_channel(inv_std, x.ndim)
    out = x_hat if weight is None else x_hat * _per_channel(weight, x.ndim)
    if bias is not None:
        out = out + _per_channel(bias, x.ndim)
    return out, (x, weight, mean, inv_std, use_batch), running_mean, running_var


def batch_norm_backward(
    dout: NDArray, cache: Any, *, need_dx: bool = True
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
    x, weight, mean, inv_std, use_batch = cache
    check_shape("dout", dout, x.shape, "to match out")
    axes = (0, *range(2, x.ndim))
    x_hat = (x - _per_channel(mean, x.ndim)) * _per_channel(inv_std, x.ndim)
    dbias = dout.sum(axis=axes)
    dweight = (dout * x_hat).sum(axis=axes)
    dx = None
    if need_dx:
        scale = inv_std if weight is None else weight * inv_std
        dx = dout
        if use_batch:
            n = x.dtype.type(x.size // x.shape[1])
            dx = dout - _per_channel(dbias / n, x.ndim) - x_hat * _per_channel(dweight / n, x.ndim)
        dx = dx * _per_channel(scale, x.ndim)
    return (dx, None, None) if weight is None else (dx, dweight, dbias)


def layer_norm_forward(
    x: NDArray,
    weight: NDArray | None,
    bias: NDArray | None,
    *,
    normalized_ndim: int = 1,
    eps: float = 1e-5,
) -> tuple[NDArray, Any]:
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
    check_float("x", x)
    if not 1 <= normalized_ndim <= x.ndim:
        raise ValueError(f"normalized_ndim must lie in 1..{x.ndim}, got {normalized_ndim}")
    shape = x.shape[-normalized_ndim:]
    for name, v in {"weight": weight, "bias": bias}.items():
        if v is not None:
            check_float(name, v)
            check_shape(name, v, shape, "to match the last axes of x")
    axes = tuple(range(-normalized_ndim, 0))
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    inv_std = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = (x - mean) * inv_std
    out = x_hat if weight is None else x_hat * weight
    if bias is not None:
        out = out + bias
    return out, (x, weight, mean, inv_std, axes)


def layer_norm_backward(
    dout: NDArray, cache: Any, *, need_dx: bool = True
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
    x, weight, mean, inv_std, axes = cache
    check_shape("dout", dout, x.shape, "to match out")
    batch = tuple(range(x.ndim - len(axes)))
    x_hat = (x - mean) * inv_std
    dx = None
    if need_dx:
        g = dout if weight is None else dout * weight
        mean_g = g.mean(axis=axes, keepdims=True)
        mean_gx = (g * x_hat).mean(axis=axes, keepdims=True)
        dx = (g - mean_g - x_hat * mean_gx) * inv_std
    if weight is None:
        return dx, None, None
    return dx, (dout * x_hat).sum(axis=batch), dout.sum(axis=batch)
