"""Penalties on the size of weights: a value to add to the loss, and its gradient."""

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_not_negative


def l2_penalty(w: NDArray, strength: float) -> tuple[float, NDArray]:
    """``strength / 2 * sum(w**2)`` and its gradient ``strength * w``.

    The half makes ``strength`` the same number as an optimiser's ``weight_decay``.

    Raises:
        ValueError: ``w`` is not float32/float64, or ``strength`` is negative.
    """
    check_float("w", w)
    check_not_negative("strength", strength)
    return float(strength / 2 * np.sum(w * w, dtype=np.float64)), w * w.dtype.type(strength)


def l1_penalty(w: NDArray, strength: float) -> tuple[float, NDArray]:
    """``strength * sum(|w|)`` and its subgradient ``strength * sign(w)``, which is 0 at 0.

    Raises:
        ValueError: ``w`` is not float32/float64, or ``strength`` is negative.
    """
    check_float("w", w)
    check_not_negative("strength", strength)
    return (
        float(strength * np.sum(np.abs(w), dtype=np.float64)),
        np.sign(w) * w.dtype.type(strength),
    )
