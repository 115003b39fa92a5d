"""What is looked at where a function may draw as it likes: properties, not numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks.outcomes import BadReturn


def yes(value: Any) -> float:
    """1 for yes, 0 for no: a number that a check can compare."""
    return float(bool(value))


def like(value: Any, name: str, model: NDArray, model_name: str) -> NDArray:
    """``value`` if it has the shape and dtype of ``model``, else :class:`BadReturn`."""
    if not isinstance(value, np.ndarray) or value.shape != model.shape:
        came = value.shape if isinstance(value, np.ndarray) else type(value).__name__
        raise BadReturn(f"{name} should have the shape of {model_name}, {model.shape}, got {came}")
    if value.dtype != model.dtype:
        raise BadReturn(f"{name} should be {model.dtype} like {model_name}, got {value.dtype}")
    return value


def same_state(a: Any, b: Any) -> bool:
    """Two states of the global ``np.random``: name, 624 words, position, ..."""
    return bool(a[2] == b[2] and np.array_equal(a[1], b[1]))


def weights_for_relu(
    draw: Callable[[Generator], Any], shape: tuple[int, ...], told: str, fan_in: int, seed: int
) -> dict[str, float]:
    """What there is to say about weights that should be Kaiming's: their distribution.

    Args:
        draw: draws the weights from a generator.
        shape: what their shape should be.
        told: ``shape`` in words.
        fan_in: how many numbers feed one output.
        seed: of the generators.
    """
    rng = np.random.default_rng(seed)
    w, second = (np.asarray(draw(rng)) for _ in range(2))
    again = np.asarray(draw(np.random.default_rng(seed)))
    if w.dtype.kind != "f" or w.shape != shape:
        raise BadReturn(
            f"weights should be floats of shape {told}, got shape {w.shape} of {w.dtype}"
        )
    std = float(w.std())
    return {
        "the standard deviation times sqrt(fan_in)": std * np.sqrt(fan_in),
        "1 + the mean over the standard deviation": 1 + float(w.mean()) / (std or 1.0),
        "1 + the share beyond two standard deviations": 1 + float(np.mean(np.abs(w) > 2 * std)),
        "the same rng seed gives the same weights (1 is yes)": yes(np.array_equal(w, again)),
        "a second call gives new weights (1 is yes)": yes(not np.array_equal(w, second)),
    }
