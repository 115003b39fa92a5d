"""Central differences with an eye for rounding, kinks and errors that a sample would miss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.gradcheck_result import ArgumentReport

SMALLER = 8.0  # a second, smaller step tells a kink from a wrong gradient
SHRINKS = 3  # as often the step shrinks where slopes still change from one step to the next
LOST = 1e-6  # a step below this part of the array would drown in the rounding of its numbers
ROUNDING = 10 * np.finfo(np.float64).eps  # relative error that a forward pass may carry


class Tolerance(NamedTuple):
    """How far apart an analytic and a numeric slope may be."""

    rtol: float
    atol: float

    def allows(self, a: float, b: float, scale: float, noise: float) -> bool:
        """True if ``a`` and ``b`` agree, for gradients of size ``scale``."""
        return abs(a - b) <= self.rtol * max(abs(a), abs(b)) + self.atol * scale + noise


class Probe:
    """Slopes of ``sum(dout * f(arrays))`` along a direction in one of the arrays.

    Args:
        f: the function, of a dict of arrays; may return one number.
        arrays: where to differentiate, float64.
        dout: what the outputs are weighted with.
        eps: step for arrays of size 1.
    """

    def __init__(self, f: Callable[[dict], Any], arrays: dict, dout: Any, eps: float) -> None:
        self.f, self.arrays, self.dout, self.eps = f, arrays, dout, eps
        self.out = np.array(f(arrays), dtype=np.float64)
        # An output of exactly 0 may be the difference of numbers of size 1, as in a loss.
        self._size = float(np.sum(np.abs(dout * self.out))) or 1.0

    def step(self, k: Any) -> float:
        """The step that suits array ``k``: smaller for small numbers, larger for huge ones."""
        a = self.arrays[k]
        rms = float(np.sqrt(np.mean(a * a))) if a.any() else 1.0
        return self.eps * max(min(max(rms, 1e-2), 1.0), LOST * rms)

    def noise(self, h: float) -> float:
        """Slope that rounding alone can make."""
        return ROUNDING * self._size / h

    def slopes(self, k: Any, where: NDArray, signs: NDArray, h: float) -> tuple[float, float]:
        """Slope to the left and to the right along the unit vector ``signs`` at flat ``where``."""
        here = self.arrays[k].reshape(-1)[where]
        unit = h / np.sqrt(len(where))
        left, right = here - unit * signs, here + unit * signs
        # What was really stepped, after rounding, as a multiple of the unit vector:
        back = float(np.dot(here - left, signs)) / np.sqrt(len(where))
        ahead = float(np.dot(right - here, signs)) / np.sqrt(len(where))
        return -self._rise(k, where, left) / back, self._rise(k, where, right) / ahead

    def central(self, k: Any, where: NDArray, signs: NDArray, h: float) -> float:
        """Central difference along the unit vector."""
        left, right = self.slopes(k, where, signs, h)
        return (left + right) / 2

    def _rise(self, k: Any, where: NDArray, values: NDArray) -> float:
        moved = self.arrays[k].copy()
        moved.reshape(-1)[where] = values
        return float(np.sum(self.dout * (self.moved(k, moved) - self.out)))

    def moved(self, k: Any, values: NDArray) -> NDArray:
        """``f`` with other values in array ``k``, nan where it refuses them."""
        try:
            with np.errstate(all="ignore"):
                return np.array(self.f({**self.arrays, k: values}), dtype=np.float64)
        except (ArithmeticError, ValueError):  # as math.log raises where np.log gives nan
            return np.full(self.out.shape, np.nan)


def compare(
    probe: Probe,
    k: Any,
    name: str,
    analytic: NDArray,
    tolerance: Tolerance,
    max_entries: int,
    rng: np.random.Generator,
) -> ArgumentReport:
    """Check ``analytic``, the gradient of array ``k``, entry by entry."""
    flat = np.asarray(analytic, dtype=np.float64).reshape(-1)
    report = ArgumentReport(name, k, np.shape(analytic), flat)
    if not flat.size:
        return report
    h = probe.step(k)
    chosen = _sample(flat.size, max_entries, rng)
    differences = {int(i): probe.central(k, *_entry(i), h) for i in chosen}
    found = [abs(d) for d in differences.values() if np.isfinite(d)]
    report.scale = max(*found, float(np.max(np.abs(flat))), 0.0)
    if report.scale <= probe.noise(h):
        report.structural_zero = True
    if len(chosen) < flat.size:
        suspect = _suspect(probe, k, flat, report.scale, tolerance, rng)
        if suspect is not None and suspect not in differences:
            differences[suspect] = probe.central(k, *_entry(suspect), h)
    for i, numeric in differences.items():
        verdict, best = _judge(probe, k, i, flat[i], numeric, report.scale, tolerance)
        report.add(i, best, verdict)
    return report


def _judge(
    probe: Probe, k: Any, i: int, a: float, numeric: float, scale: float, tolerance: Tolerance
) -> tuple[str, float]:
    """Return ("right" | "near" | "kink" | "edge" | "wrong", best numeric slope) for one entry."""
    near = probe.step(k)
    if tolerance.allows(a, numeric, scale, probe.noise(near)):
        return "right", numeric
    near_left, near_right = probe.slopes(k, *_entry(i), near)
    closer = (near_left + near_right) / 2
    for shrink in range(SHRINKS):
        near /= SMALLER
        noise = probe.noise(near)
        if shrink and noise > tolerance.rtol * scale:
            return "kink", closer  # rounding would decide
        left, right, numeric = near_left, near_right, closer
        near_left, near_right = probe.slopes(k, *_entry(i), near)
        closer = (near_left + near_right) / 2
        if tolerance.allows(a, closer, scale, noise):
            # A kink, or strong curvature, inside larger steps only.
            return ("near" if shrink else "right"), closer
        if tolerance.allows(numeric, closer, scale, noise):
            break
    # A smooth function has one slope: the same at two steps, and its one-sided slopes close
    # in on each other as fast as the step shrinks. At a kink one of the two fails.
    else:
        return ("kink" if np.isfinite(closer) else "edge"), closer
    gap, near_gap = abs(right - left), abs(near_right - near_left)
    if near_gap > gap / 2 and not tolerance.allows(near_right, near_left, scale, 2 * noise):
        return "kink", closer
    return "wrong", numeric


def _suspect(
    probe: Probe,
    k: Any,
    flat: NDArray,
    scale: float,
    tolerance: Tolerance,
    rng: np.random.Generator,
) -> int | None:
    """Find an entry that is probably wrong by halving a random direction, or None.

    Costs two forward passes if all is well and two per halving if not, for any size.
    """
    signs = rng.choice([-1.0, 1.0], flat.size)
    h = probe.step(k)

    def fits(where: NDArray) -> bool:
        predicted = float(np.dot(flat[where], signs[where])) / np.sqrt(len(where))
        numeric = probe.central(k, where, signs[where], h)
        return tolerance.allows(predicted, numeric, scale, probe.noise(h))

    where = rng.permutation(flat.size)
    if fits(where):
        return None
    while len(where) > 1:
        first, second = np.array_split(where, 2)
        where = second if fits(first) else first
    return int(where[0])


def _entry(i: int) -> tuple[NDArray, NDArray]:
    return np.array([i]), np.ones(1)


def _sample(size: int, max_entries: int, rng: np.random.Generator) -> NDArray:
    """All entries if they are few, else a random sample with the first and the last entry."""
    if size <= max_entries:
        return np.arange(size)
    inside = 1 + rng.choice(size - 2, max(max_entries - 2, 0), replace=False)
    return np.concatenate([[0], np.sort(inside), [size - 1]])
