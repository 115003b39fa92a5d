"""The few checks every layer makes of its input, so that all errors read alike."""

import numpy as np
from numpy.typing import NDArray


def check_float(name: str, value: NDArray, ndim: int | None = None) -> None:
    """Raise ``ValueError`` unless ``value`` is a float32 or float64 array of ``ndim`` axes."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        came = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} must be a float32 or float64 array, got {came}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {value.shape}")


def check_shape(name: str, value: NDArray, expected: tuple[int, ...], why: str) -> None:
    """Raise ``ValueError`` unless ``value.shape == expected``; ``why`` names what fixes it."""
    if value.shape != expected:
        raise ValueError(f"{name} must have shape {expected} {why}, got {value.shape}")


def check_targets(targets: NDArray, n: int, num_classes: int) -> NDArray[np.int64]:
    """Return ``targets`` as int64 after checking its shape ``(n,)`` and range."""
    targets = np.asarray(targets)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integer class indices, got dtype {targets.dtype}")
    check_shape("targets", targets, (n,), "to match the rows of logits")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"targets must lie in 0..{num_classes - 1} for {num_classes} columns of logits, "
            f"got values from {low} to {high}"
        )
    return targets.astype(np.int64, copy=False)
