"""What is looked at where a function may draw as it likes: properties, not numbers.

A property is a count of what is wrong, so that a message reads "calls that draw from the global
np.random should be 0, got 3", or a share that is put to its cause: whatever order an implementation
draws in, the same chances give the same number.
"""

from collections.abc import Callable
from math import erfc, exp, log, sqrt
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from coursekit.checks.outcomes import BadReturn

ALARM = 1e-12  # how often, at most, independent draws with the right chances are refused


def plausible(counts: ArrayLike, chances: ArrayLike) -> bool:
    """Whether independent draws with these chances may have given these counts.

    Refuses right ones less often than ``ALARM``, for any number of draws: the bound on the relative
    entropy is exact (Agrawal 2020, "Finite-sample concentration of the multinomial in relative
    entropy"), where the usual quantiles of chi-square hold for many draws only.

    Args:
        counts: how often each of k results was drawn, (k,).
        chances: of the results, (k,); their sum is 1.
    """
    seen, expected = np.asarray(counts, float), np.asarray(chances, float) * np.sum(counts)
    drawn, free = seen > 0, len(seen) - 1
    if np.any(expected[drawn] == 0):
        return False
    surprise = float((seen[drawn] * np.log(seen[drawn] / expected[drawn])).sum())
    return surprise <= free or free * (1 + log(surprise / free)) - surprise > log(ALARM)


def rarer(counts: ArrayLike) -> int:
    """How many of k results are clearly rarer than others, 0 if all may be equally likely."""
    shares = np.asarray(counts, float) / max(np.sum(counts), 1)
    fair = 1 / len(shares)
    if plausible(counts, np.full(len(shares), fair)):
        return 0
    return int(np.sum(shares < 0.85 * fair))


def share(flags: NDArray, *chances: float, digits: int = 1) -> float:
    """The share of True, or the first of the chances that explains it; else the share rounded."""
    hits = np.array([np.sum(flags), np.sum(~flags)])
    for chance in chances:
        if plausible(hits, [chance, 1 - chance]):
            return chance
    return round(float(flags.mean()), digits)


def count(*faults: Any) -> float:
    """How many of the faults there are."""
    return float(sum(map(bool, faults)))


class GlobalDraws:
    """Calls functions, and counts those calls that draw from the global ``np.random``."""

    def __init__(self) -> None:
        self.calls = 0.0

    def __call__(self, function: Callable, *args: Any) -> Any:
        """``function(*args)``; the global state is put back."""
        before: Any = np.random.get_state()  # noqa: NPY002
        try:
            return function(*args)
        finally:
            after: Any = np.random.get_state()  # noqa: NPY002
            if before[2] != after[2] or not np.array_equal(before[1], after[1]):
                self.calls += 1
                np.random.set_state(before)  # noqa: NPY002

    def result(self) -> dict[str, float]:
        """The count by its name."""
        return {"calls that draw from the global np.random": self.calls}


def like(value: Any, name: str, model: NDArray, model_name: str) -> NDArray:
    """``value`` if it has the shape and dtype of ``model``, else :class:`BadReturn`."""
    if not isinstance(value, np.ndarray) or value.shape != model.shape:
        came = value.shape if isinstance(value, np.ndarray) else type(value).__name__
        raise BadReturn(f"{name} should have the shape of {model_name}, {model.shape}, got {came}")
    if value.dtype != model.dtype:
        raise BadReturn(f"{name} should be {model.dtype} like {model_name}, got {value.dtype}")
    return value


# The chance of a number beyond one and beyond two standard deviations: the normal distribution's,
# and those of others that are taken for it.
BEYOND = {
    "normal": (erfc(1 / sqrt(2)), erfc(2 / sqrt(2))),
    "uniform": (1 - 1 / sqrt(3), 0.0),
    "normal, drawn again beyond 2": (0.34946, 0.03461),
    "normal, clipped at 2": (0.33733, 0.05500),
    "Laplace's": (exp(-sqrt(2)), exp(-2 * sqrt(2))),
}


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
    std, seven = float(w.std()), 7 / sqrt(w.size)  # standard deviations of a mean
    size, mean = std * sqrt(fan_in), float(w.mean()) / (std or 1.0)
    one, two = zip(*BEYOND.values(), strict=True)
    return {
        "the standard deviation times sqrt(fan_in)": (
            sqrt(2) if abs(size / sqrt(2) - 1) < seven else size
        ),
        "the mean of the weights, in standard deviations": (
            0.0 if abs(mean) < seven else round(mean, 1)
        ),
        "the share of weights beyond one standard deviation": share(np.abs(w) > std, *one),
        "the share of weights beyond two standard deviations": share(np.abs(w) > 2 * std, *two),
        "calls with the same seed that draw other weights": count(not np.array_equal(w, again)),
        "further calls that draw the same weights": count(np.array_equal(w, second)),
    }
