"""The kernels in NumPy: what runs where there is no compiler.

Written as whole-array expressions, each operation would stream the arrays through the processor
once more. So they are taken in blocks that stay in the cache while all operations pass over them.
Arrays are trusted here; ``coursekit.kernels`` checks them first.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

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
