"""The few checks every layer makes of its input, so that all errors read alike."""

from math import inf
from numbers import Real

import numpy as np
from numpy.typing import DTypeLike, NDArray


def check_float(name: str, value: NDArray, ndim: int | None = None) -> None:
    """Raise ``ValueError`` unless ``value`` is a float32 or float64 array of ``ndim`` axes."""
    plain = isinstance(value, np.ndarray) and not isinstance(value, np.matrix | np.ma.MaskedArray)
    if not plain or value.dtype not in (np.float32, np.float64):
        came = value.dtype if plain else type(value).__name__
        raise ValueError(f"{name} must be a float32 or float64 array, got {came}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {value.shape}")


def check_shape(name: str, value: NDArray, expected: tuple[int, ...], why: str) -> None:
    """Raise ``ValueError`` unless ``value.shape == expected``; ``why`` names what fixes it."""
    if value.shape != expected:
        raise ValueError(f"{name} must have shape {expected} {why}, got {value.shape}")


def check_like(name: str, value: NDArray, x: NDArray) -> None:
    """Raise ``ValueError`` unless ``value`` is a float array of the dtype of ``x``."""
    check_float(name, value)
    if value.dtype != x.dtype:
        raise ValueError(f"{name} must be a {x.dtype} array as x is, got {value.dtype}")


def check_gradient(
    dout: NDArray, shape: tuple[int, ...], dtype: DTypeLike | None = None
) -> NDArray:
    """Return ``dout``, in the dtype of the forward pass if that is known.

    Raises:
        ValueError: ``dout`` is no array of numbers, or does not have the shape of ``out``.
    """
    number = np.ndarray | np.generic  # the latter is what an operation on a 0-d array gives
    if not isinstance(dout, number) or isinstance(dout, np.matrix | np.ma.MaskedArray):
        raise ValueError(f"dout must be a NumPy array, got {type(dout).__name__}")
    check_shape("dout", dout, shape, "to match out")
    if dtype is None:
        check_float("dout", np.asanyarray(dout))
        return dout
    return dout.astype(dtype, copy=False)


def check_not_negative(name: str, value: float) -> None:
    """Raise ``ValueError`` for a negative number, nan or infinity."""
    if not isinstance(value, Real) or not 0 <= value < inf:
        raise ValueError(f"{name} must be at least 0, got {value!r}; needed a finite number")


def check_targets(targets: NDArray, n: int, num_classes: int) -> NDArray[np.int64]:
    """Return ``targets`` as int64 after checking its shape ``(n,)`` and range."""
    targets = np.asarray(targets)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integer class indices, got dtype {targets.dtype}")
    check_shape("targets", targets, (n,), "to match the rows of logits")
    if not n:
        raise ValueError("targets must hold at least one class index, got none")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"targets must lie in 0..{num_classes - 1} for {num_classes} columns of logits, "
            f"got values from {low} to {high}"
        )
    return targets.astype(np.int64, copy=False)
