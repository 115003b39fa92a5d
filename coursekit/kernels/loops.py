"""The kernels in plain Python: one element after the other, for reading and as the oracle.

Arrays are trusted here; ``coursekit.kernels`` checks them first.
"""

import math

import numpy as np
from numpy.typing import NDArray

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
