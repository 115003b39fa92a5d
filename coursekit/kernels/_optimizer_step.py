"""The optimiser step: checked here once, computed by the chosen backend in one pass over memory."""

import operator

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels import _backend
from coursekit.kernels._check import DTYPES, check_number


def sgd_step(
    w: NDArray[np.floating],
    g: NDArray[np.floating],
    v: NDArray[np.floating] | None,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One step of SGD as ``torch.optim.SGD`` takes it, in place on ``w`` and ``v``.

    ``g' = g + weight_decay * w``, ``v = momentum * v + g'``, and ``w -= lr * v``, or
    ``w -= lr * (g' + momentum * v)`` with Nesterov. ``v`` starts as zeros.

    Args:
        w: parameters, any shape, C-contiguous float32 or float64.
        g: their gradient, same shape and dtype; only read.
        v: velocity, same shape and dtype, or None if and only if ``momentum`` is 0.
        lr: learning rate.
        momentum: share of the old velocity that stays.
        nesterov: look ahead along the new velocity; needs ``momentum``.
        weight_decay: strength of the L2 penalty.

    Raises:
        ValueError: an array has the wrong type, shape, layout or is read-only, or ``v`` and
            ``nesterov`` do not fit ``momentum``.

    Source: Sutskever et al., "On the importance of initialization and momentum", 2013.
    """
    lr, momentum = check_number("lr", lr), check_number("momentum", momentum)
    weight_decay = check_number("weight_decay", weight_decay)
    w, g, *state = _plain_arrays(w, g, {} if v is None else {"v": v})
    velocity = state[0] if state else None
    if (v is None) != (momentum == 0):
        needed = "None, as momentum is 0" if momentum == 0 else f"an array for {momentum=}"
        raise ValueError(f"v must be {needed}, got {'None' if v is None else 'an array'}")
    if nesterov and momentum == 0:
        raise ValueError("nesterov needs momentum > 0, got momentum=0")
    _backend.backend.sgd_step(
        w,
        g,
        velocity,
        lr=lr,
        momentum=momentum,
        nesterov=bool(nesterov),
        weight_decay=weight_decay,
        num_threads=_backend.get_num_threads(),
    )


def adam_step(
    w: NDArray[np.floating],
    g: NDArray[np.floating],
    m: NDArray[np.floating],
    v: NDArray[np.floating],
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """One step of Adam or AdamW as torch takes it, in place on ``w``, ``m`` and ``v``.

    ``m`` and ``v`` are running means of ``g`` and ``g**2``; both start as zeros and are divided
    by ``1 - beta**step`` to make up for that. ``w -= lr * m_hat / (sqrt(v_hat) + eps)``.

    Args:
        w: parameters, any shape, C-contiguous float32 or float64.
        g: their gradient, same shape and dtype; only read.
        m: running mean of the gradient, same shape and dtype.
        v: running mean of its square, same shape and dtype.
        step: number of this step, from 1.
        lr: learning rate.
        beta1: share of the old ``m`` that stays.
        beta2: share of the old ``v`` that stays.
        eps: added to the root.
        weight_decay: strength of the decay.
        decoupled: shrink ``w`` by ``lr * weight_decay`` (AdamW) instead of adding to ``g``.

    Raises:
        ValueError: an array has the wrong type, shape, layout or is read-only, ``step`` < 1, or
            ``beta1`` or ``beta2`` does not lie in [0, 1).

    Source: Kingma & Ba 2015; Loshchilov & Hutter 2019 for ``decoupled``.
    """
    lr, eps = check_number("lr", lr), check_number("eps", eps)
    beta1, beta2 = check_number("beta1", beta1), check_number("beta2", beta2)
    weight_decay = check_number("weight_decay", weight_decay)
    w, g, m, v = _plain_arrays(w, g, {"m": m, "v": v})
    if not _is_whole(step) or operator.index(step) < 1:
        raise ValueError(f"step must be at least 1, got {step!r}")
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= beta < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {beta!r}")
    _backend.backend.adam_step(
        w,
        g,
        m,
        v,
        step=operator.index(step),
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=bool(decoupled),
        num_threads=_backend.get_num_threads(),
    )


def _is_whole(value: object) -> bool:
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _plain_arrays(w: NDArray, g: NDArray, state: dict[str, NDArray]) -> list[NDArray]:
    """All arrays, if they have the shape and dtype of ``w`` and all but ``g`` can be written."""
    for name, array in {"w": w, "g": g, **state}.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} must be a NumPy array, got {type(array).__name__}")
        if array.dtype not in DTYPES:
            raise ValueError(f"{name} must be float32 or float64, got {array.dtype}")
        if array.dtype != w.dtype:
            raise ValueError(f"{name} must be {w.dtype} like w, got {array.dtype}")
        if array.shape != w.shape:
            raise ValueError(f"{name} must have the shape {w.shape} of w, got {array.shape}")
        if not (array.flags.c_contiguous and array.flags.aligned):
            raise ValueError(
                f"{name} must be C-contiguous and aligned, got shape {array.shape} with "
                f"strides {array.strides}; np.ascontiguousarray copies it into that form"
            )
        if name != "g" and not array.flags.writeable:
            raise ValueError(f"{name} must be writeable, as it is updated in place; got read-only")
    return [np.asarray(array) for array in (w, g, *state.values())]  # no subclass: see _check.py
