"""The kernels in plain Python: one element after the other, for reading and as the oracle.

Arrays are trusted here; ``coursekit.kernels`` checks them first.
"""

import math

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels.loops_convolution import (  # noqa: F401
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from coursekit.kernels.loops_pooling import (  # noqa: F401
    avg_pool2d_backward,
    avg_pool2d_forward,
    exact_sum,
    max_pool2d_backward,
    max_pool2d_forward,
)

HAS_OPENMP = False


def simd_path() -> str:
    """Which vector instructions run: none, this is Python."""
    return "none"


def sgd_step(
    w: NDArray[np.floating],
    g: NDArray[np.floating],
    v: NDArray[np.floating] | None,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    num_threads: int = 1,
) -> None:
    """``w`` and ``v`` after one step; see :func:`coursekit.kernels.sgd_step`."""
    # reshape(-1) of a contiguous array is a view: writing to it writes to the caller's array.
    w, g = w.reshape(-1), g.reshape(-1)
    v = None if v is None else v.reshape(-1)
    for i in range(w.size):
        update = g[i] + weight_decay * w[i]
        if v is not None:
            v[i] = momentum * v[i] + update
            update = update + momentum * v[i] if nesterov else v[i]
        w[i] -= lr * update


def adam_step(
    w: NDArray[np.floating],
    g: NDArray[np.floating],
    m: NDArray[np.floating],
    v: NDArray[np.floating],
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    num_threads: int = 1,
) -> None:
    """``w``, ``m`` and ``v`` after one step; see :func:`coursekit.kernels.adam_step`."""
    w, g, m, v = w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    step_size = lr / (1 - beta1**step)
    root_correction = math.sqrt(1 - beta2**step)
    for i in range(w.size):
        if decoupled:
            w[i] -= lr * weight_decay * w[i]
            grad = g[i]
        else:
            grad = g[i] + weight_decay * w[i]
        m[i] += (1 - beta1) * (grad - m[i])
        v[i] = beta2 * v[i] + (1 - beta2) * grad * grad
        w[i] -= step_size * m[i] / (np.sqrt(v[i]) / root_correction + eps)


def batch_norm_forward(
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    out: NDArray[np.floating],
    *,
    eps: float,
    batch_stats: bool,
    num_threads: int = 1,
) -> None:
    """``out``, with ``batch_stats`` also ``mean`` and ``var``; x is (N, C, S)."""
    for c in range(x.shape[1]):
        channel = x[:, c].reshape(-1).tolist()
        if batch_stats:
            mean[c], var[c] = _mean_and_var(channel)
        gain = (1 if weight is None else float(weight[c])) / np.sqrt(var[c] + eps)
        shift = 0 if bias is None else float(bias[c])
        values = [gain * (value - mean[c]) + shift for value in channel]
        out[:, c] = np.reshape(values, out[:, c].shape)


def batch_norm_backward(
    dout: NDArray[np.floating],
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    dx: NDArray[np.floating] | None,
    dweight: NDArray[np.floating],
    dbias: NDArray[np.floating],
    *,
    eps: float,
    batch_stats: bool,
    num_threads: int = 1,
) -> None:
    """``dx``, ``dweight`` and ``dbias``; x is (N, C, S)."""
    for c in range(x.shape[1]):
        inv_std = 1 / np.sqrt(var[c] + eps)
        gradient = dout[:, c].reshape(-1).tolist()
        x_hat = [(value - mean[c]) * inv_std for value in x[:, c].reshape(-1).tolist()]
        db = exact_sum(gradient)
        dw = exact_sum([g * h for g, h in zip(gradient, x_hat, strict=True)])
        dweight[c], dbias[c] = dw, db
        if dx is not None:
            gain = inv_std if weight is None else float(weight[c]) * inv_std
            n = len(gradient) if batch_stats else math.inf  # constants take no part of it back
            pairs = zip(gradient, x_hat, strict=True)
            values = [gain * (g - db / n - h * dw / n) for g, h in pairs]
            dx[:, c] = np.reshape(values, dx[:, c].shape)


def layer_norm_forward(
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    bias: NDArray[np.floating] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    out: NDArray[np.floating],
    *,
    eps: float,
    num_threads: int = 1,
) -> None:
    """``out``, ``mean`` and ``var``; x is (N, D)."""
    for n, row in enumerate(x.tolist()):
        mean[n], var[n] = _mean_and_var(row)
        for j, value in enumerate(row):
            x_hat = (value - mean[n]) / np.sqrt(var[n] + eps)
            scaled = x_hat if weight is None else x_hat * float(weight[j])
            out[n, j] = scaled if bias is None else scaled + float(bias[j])


def layer_norm_backward(
    dout: NDArray[np.floating],
    x: NDArray[np.floating],
    weight: NDArray[np.floating] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    dx: NDArray[np.floating] | None,
    dweight: NDArray[np.float64] | None,
    dbias: NDArray[np.float64] | None,
    *,
    eps: float,
    num_threads: int = 1,
) -> None:
    """``dx``; and the rows' parts are added to ``dweight`` and ``dbias``; x is (N, D)."""
    features = range(x.shape[1])
    for n, (gradient, row) in enumerate(zip(dout.tolist(), x.tolist(), strict=True)):
        inv_std = 1 / np.sqrt(var[n] + eps)
        x_hat = [(value - mean[n]) * inv_std for value in row]
        if dweight is not None and dbias is not None:
            for j in features:
                dweight[j] += gradient[j] * x_hat[j]
                dbias[j] += gradient[j]
        if dx is not None:
            g = [gradient[j] * (1 if weight is None else float(weight[j])) for j in features]
            mean_g = exact_sum(g) / len(g)
            mean_gx = exact_sum([g[j] * x_hat[j] for j in features]) / len(g)
            for j in features:
                dx[n, j] = inv_std * (g[j] - mean_g - x_hat[j] * mean_gx)


def _mean_and_var(values: list[float]) -> tuple[float, float]:
    """Mean and biased variance."""
    mean = exact_sum(values) / len(values)
    return mean, exact_sum([(value - mean) * (value - mean) for value in values]) / len(values)


def dropout(
    x: NDArray[np.floating],
    keep: NDArray[np.bool_],
    out: NDArray[np.floating],
    *,
    scale: float,
    num_threads: int = 1,
) -> None:
    """``out = x * keep * scale``; see :func:`coursekit.kernels.dropout`."""
    x, keep, out = x.reshape(-1), keep.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] = x[i] * (keep[i] * scale)
