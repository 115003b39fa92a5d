"""Lesson 2's exercises around its experiments: first weights from data, probabilities one can
trust, and means one can compare."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_dropout as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import unpack, unpack_list
from coursekit.checks.second import another, labels, probabilities

# --- first weights from a batch -------------------------------------------------------------


def _run_lsuv(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    depth = len(inputs["weights"])
    return unpack_list(functions[0](inputs["weights"], inputs["x"]), "weights", depth)


def _lsuv_cases(rng: Generator) -> list[Case]:
    def case(n: int, *sizes: int, scale: float = 1.0, shift: float = 0.0, note: str = "") -> Case:
        weights = [scale * (rng.standard_normal((o, i)) + shift) for i, o in pairwise(sizes)]
        x = rng.standard_normal((n, sizes[0])) + shift
        return Case(
            f"{n} rows through {' - '.join(map(str, sizes))}{note}", {"weights": weights, "x": x}
        )

    return [
        case(64, 20, 50, 40, 30, scale=0.05),
        case(64, 40, 40, 40, 40, 40, note=", weights far too large", scale=10.0),
        case(64, 20, 50, 30, 40, shift=1.0, note=", means that are not 0"),
        case(200, 10, 8, note=", a single layer"),
    ]


register(
    Exercise(
        "lsuv",
        ("lsuv",),
        (reference.lsuv,),
        _run_lsuv,
        _lsuv_cases,
        rtol=2e-3,  # an unbiased deviation, or one iterated to a tolerance of 0.1 %, will do
    )
)


# --- probabilities from a random net --------------------------------------------------------


def _run_mc_dropout(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    table, x, samples = inputs["logits"], inputs["x"], inputs["samples"]
    calls = 0

    def logits_of(given: NDArray) -> NDArray:
        """The next logits of the table; x is in them, so that it cannot be left out."""
        nonlocal calls
        if np.shape(given) != x.shape:
            raise ValueError(f"logits_of was called with shape {np.shape(given)}, x is {x.shape}")
        calls += 1
        return table[calls % len(table)] + given

    probabilities = functions[0](logits_of, x, samples)
    return {"the number of calls of logits_of": calls, "probabilities": probabilities}


def _mc_dropout_cases(rng: Generator) -> list[Case]:
    def case(n: int, c: int, samples: int, size: float = 2.0) -> Case:
        inputs = {
            "logits": size * rng.standard_normal((samples + 3, n, c)),
            "x": rng.standard_normal((n, c)),
            "samples": samples,
        }
        near = "" if size == 2.0 else f", logits near {size:g}"
        return Case(f"{samples} samples of logits {n, c}{near}", inputs)

    return [case(4, 5, 8), case(3, 3, 3), case(1, 4, 5), case(4, 3, 1), case(5, 4, 6, 1000.0)]


register(
    Exercise(
        "mc_dropout",
        ("mc_dropout",),
        (reference.mc_dropout,),
        _run_mc_dropout,
        _mc_dropout_cases,
        floats=(np.float64,),
    )
)


# --- calibration ----------------------------------------------------------------------------


def _run_calibration(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"the error": functions[0](*inputs.values())}


def _calibration_cases(rng: Generator) -> list[Case]:
    def case(n: int, c: int, bins: int, size: float = 2.0) -> Case:
        e = np.exp(size * rng.standard_normal((n, c)))
        p = e / e.sum(axis=1, keepdims=True)
        # Labels drawn from the probabilities, then half of them at random: overconfident.
        drawn = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=c - 1)
        labels = np.where(rng.random(n) < 0.5, drawn, rng.integers(0, c, n))
        return _calibration_case(f"{n} rows, {c} classes, {bins} bins", p, labels, bins)

    return [
        case(60, 5, 10),
        case(40, 4, 4),
        case(30, 3, 25),
        case(50, 6, 1),
        case(1, 4, 10),
        _on_the_edges(rng),
    ]


def _calibration_case(description: str, p: NDArray, labels: NDArray, bins: int) -> Case:
    return Case(description, {"probabilities": p, "labels": labels, "bins": bins})


def _on_the_edges(rng: Generator) -> Case:
    """Confidences of exactly 0.5, 0.75 and 1, each with an accuracy far from it."""
    rows = np.repeat(
        [[0.5, 0.25, 0.25], [0.625, 0.25, 0.125], [0.75, 0.125, 0.125], [1, 0, 0]], 4, 0
    )
    right = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0], bool)
    chosen = rng.permutation([0, 1, 4, 5, 6, 7, 8, 12, 13, 14])
    first = rng.integers(0, 3, len(chosen))  # which class gets the largest
    p = np.stack([np.roll(rows[i], k) for i, k in zip(chosen, first, strict=True)])
    labels = np.where(right[chosen], first, (first + 1) % 3)
    return _calibration_case("confidences on the edges of 4 bins", p, labels, 4)


register(
    Exercise(
        "expected_calibration_error",
        ("expected_calibration_error",),
        (reference.expected_calibration_error,),
        _run_calibration,
        _calibration_cases,
        second=another(probabilities=probabilities, labels=labels),
        floats=(np.float64,),
    )
)


# --- several seeds --------------------------------------------------------------------------


def _run_band(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return unpack(functions[0](*inputs.values()), "it", "mean", "half_width")


def _band_cases(rng: Generator) -> list[Case]:
    def case(*shape: int, mean: float = 0.0) -> Case:
        spread = rng.uniform(0.5, 2.0, (*shape[:-1], 1))
        values = mean + rng.standard_normal((*shape[:-1], 1)) + spread * rng.standard_normal(shape)
        return Case(
            f"values of shape {shape}" + (f" near {mean:g}" if mean else ""), {"values": values}
        )

    equal = case(3, 5)
    equal.inputs["values"][1] = 0.5
    return [
        case(4, 5),
        case(5, 5),
        case(7),
        case(3, 2),
        case(2, 3, 6),
        case(3, 40, mean=1000.0),
        Case("values of shape (3, 5), one arm with equal values", equal.inputs),
    ]


register(
    Exercise(
        "confidence_band",
        ("confidence_band",),
        (reference.confidence_band,),
        _run_band,
        _band_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)
