"""The kernels in NumPy: what runs where there is no compiler.

Written as whole-array expressions, each operation would stream the arrays through the processor
once more. So they are taken in blocks that stay in the cache while all operations pass over them.
Arrays are trusted here; ``coursekit.kernels`` checks them first.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels.numpy_convolution import (  # noqa: F401
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from coursekit.kernels.numpy_pooling import (  # noqa: F401
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)

HAS_OPENMP = False
BLOCK = 8192  # elements; five float64 blocks are 320 KiB, which a level-2 cache holds


def simd_path() -> str:
    """Which vector instructions run: NumPy chooses for itself."""
    return "NumPy's own"


def _blocks(*arrays: NDArray) -> Iterator[tuple[NDArray, ...]]:
    """Walk flat views of all arrays together, one block at a time."""
    flat = [a.reshape(-1) for a in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(a[start : start + BLOCK] for a in flat)


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
    for w_, g_, *rest in _blocks(w, g) if v is None else _blocks(w, g, v):
        update = g_ + weight_decay * w_ if weight_decay else g_
        if rest:
            (v_,) = rest
            v_ *= momentum
            v_ += update
            update = update + momentum * v_ if nesterov else v_
        w_ -= lr * update


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
    step_size = lr / (1 - beta1**step)
    root_correction = math.sqrt(1 - beta2**step)
    for w_, grad, m_, v_ in _blocks(w, g, m, v):
        if decoupled:
            w_ *= 1 - lr * weight_decay
        elif weight_decay:
            grad = grad + weight_decay * w_
        m_ += (1 - beta1) * (grad - m_)
        v_ *= beta2
        v_ += (1 - beta2) * grad * grad
        denominator = np.sqrt(v_)
        denominator /= root_correction
        denominator += eps
        np.divide(m_, denominator, out=denominator)
        denominator *= step_size
        w_ -= denominator


# --- normalisation ------------------------------------------------------------------------------
# Sums are taken about a point near the mean, so that a large mean does not swallow the differences:
# along the last axis in the array's own type, where NumPy adds pairwise, and over the rest in
# double. A point is rounded to the array's type; what is left of the mean goes into the constant.


def _slices(x: NDArray) -> Iterator[slice]:
    """Cut the first axis of x into parts that stay in the cache."""
    step = max(1, 4 * BLOCK // max(1, x[:1].size))
    return (slice(start, start + step) for start in range(0, len(x), step))


def _channel_sum(a: NDArray) -> NDArray[np.float64]:
    """Sum of (N, C, S) over N and S."""
    rows = a[:, :, 0] if a.shape[2] == 1 else a.sum(axis=2)
    return rows.sum(axis=0, dtype=np.float64)


def _channel_moments(x: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and biased variance of (N, C, S) over N and S: the sums again about a first mean."""
    n = x.shape[0] * x.shape[2]
    rough = sum(_channel_sum(x[part]) for part in _slices(x)) / n
    point = rough.astype(x.dtype)[:, None]
    first, second = np.zeros((2, x.shape[1]))
    for part in _slices(x):
        d = x[part] - point
        first += _channel_sum(d)
        d *= d
        second += _channel_sum(d)
    offset = first / n
    return point[:, 0] + offset, np.maximum(second / n - offset * offset, 0)


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
    if batch_stats:
        mean[:], var[:] = _channel_moments(x)
    point = mean.astype(x.dtype)
    a = (1 if weight is None else weight) / np.sqrt(var + eps)
    b = (0 if bias is None else bias) - a * (mean - point)
    a, b = a.astype(x.dtype)[:, None], b.astype(x.dtype)[:, None]
    for part in _slices(x):
        out_ = np.subtract(x[part], point[:, None], out=out[part])
        out_ *= a
        out_ += b


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
    point = mean.astype(x.dtype)
    inv_std = 1 / np.sqrt(var + eps)
    db, dw = np.zeros((2, x.shape[1]))
    for part in _slices(x):
        d = x[part] - point[:, None]
        d *= dout[part]
        db += _channel_sum(dout[part])
        dw += _channel_sum(d)
    dw = (dw - (mean - point) * db) * inv_std
    dweight[:], dbias[:] = dw, db
    if dx is None:
        return
    c = inv_std if weight is None else weight * inv_std
    c_ = c.astype(x.dtype)[:, None]
    if not batch_stats:
        np.multiply(dout, c_, out=dx)
        return
    n = x.shape[0] * x.shape[2]
    a = -c * inv_std * dw / n
    b = -c * db / n - a * (mean - point)
    a, b = a.astype(x.dtype)[:, None], b.astype(x.dtype)[:, None]
    for part in _slices(x):
        dx_ = np.subtract(x[part], point[:, None], out=dx[part])
        dx_ *= a
        dx_ += b
        dx_ += c_ * dout[part]


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
    size = x.shape[1]
    for part in _slices(x):
        point = x[part].mean(axis=1, keepdims=True)
        d = np.subtract(x[part], point, out=out[part])
        offset = d.sum(axis=1, keepdims=True).astype(np.float64) / size
        squares = (d * d).sum(axis=1, keepdims=True).astype(np.float64) / size
        mean[part] = (point + offset)[:, 0]
        var[part] = np.maximum(squares - offset * offset, 0)[:, 0]
        inv_std = 1 / np.sqrt(var[part, None] + eps)
        d -= offset.astype(x.dtype)
        d *= inv_std.astype(x.dtype)
        if weight is not None:
            d *= weight
        if bias is not None:
            d += bias


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
    for part in _slices(x):
        g = dout[part]
        point = mean[part, None].astype(x.dtype)
        inv_std = (1 / np.sqrt(var[part, None] + eps)).astype(x.dtype)
        x_hat = x[part] - point
        x_hat -= (mean[part, None] - point).astype(x.dtype)
        x_hat *= inv_std
        if dweight is not None and dbias is not None:
            dweight += (g * x_hat).sum(axis=0, dtype=np.float64)
            dbias += g.sum(axis=0, dtype=np.float64)
        if dx is not None:
            gw = g if weight is None else g * weight
            mean_g = gw.mean(axis=1, keepdims=True)
            mean_gx = (gw * x_hat).mean(axis=1, keepdims=True)
            x_hat *= mean_gx
            dx_ = np.subtract(gw, x_hat, out=dx[part])
            dx_ -= mean_g
            dx_ *= inv_std


def dropout(
    x: NDArray[np.floating],
    keep: NDArray[np.bool_],
    out: NDArray[np.floating],
    *,
    scale: float,
    num_threads: int = 1,
) -> None:
    """``out = x * keep * scale``; see :func:`coursekit.kernels.dropout`."""
    np.multiply(x, keep, out=out)
    out *= scale
