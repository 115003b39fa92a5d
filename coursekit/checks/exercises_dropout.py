"""Lesson 2's exercises on dropout, which may draw their masks as they like.

No mask is compared with another. What is compared are properties of the zeros: how many, what
stands between them, whether rows and columns have masks of their own, where they come from.
Every band is seven standard deviations wide, so a right answer fails once in 10^11 times.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_dropout as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import unpack
from coursekit.checks.properties import like, same_state, yes

ROWS = 100  # all inputs can be seen as a matrix of so many rows
BAND = 7.0  # standard deviations


def _run_dropout_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x, p, seed = inputs["x"], inputs["p"], inputs["seed"]

    def out(p: float, training: bool, rng: Generator) -> NDArray:
        returned = unpack(functions[0](x, p, training, rng), "it", "out", "cache")["out"]
        return like(returned, "out", x, "x")

    rng = np.random.default_rng(seed)
    before = np.random.get_state()  # noqa: NPY002  that of np.random.rand
    first = out(p, True, rng)
    kept = first.copy()
    second = out(p, True, rng)
    again = out(p, True, np.random.default_rng(seed))
    whole, evaluated = out(0.0, True, rng), out(p, False, rng)
    after = np.random.get_state()  # noqa: NPY002
    np.random.set_state(before)  # noqa: NPY002
    return {
        **_masks(kept),
        "the share of zeros in out": _share_of_zeros(kept, p),
        **_ratios(kept, x, "out / x where out is not 0"),
        "a second call draws another mask (1 is yes)": yes(np.any(_zeros(second) != _zeros(kept))),
        "a second call leaves the first out alone (1 is yes)": yes(np.array_equal(first, kept)),
        "the same seed draws the same mask (1 is yes)": yes(np.array_equal(again, kept)),
        "the global np.random is not used (1 is yes)": yes(same_state(before, after)),
        "the share of zeros for p = 0": float(_zeros(whole).mean()),
        **_ratios(whole, x, "out / x for p = 0"),
        "the share of zeros in evaluation": _share_of_zeros(evaluated, p),
        **_ratios(evaluated, x, "out / x in evaluation where out is not 0"),
    }


def _run_dropout_backward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    forward, backward = functions
    x, p, dout = inputs["x"], inputs["p"], inputs["dout"]
    rng = np.random.default_rng(inputs["seed"])

    def through(training: bool) -> tuple[NDArray, Any]:
        parts = unpack(forward(x, p, training, rng), "the forward", "out", "cache")
        return like(parts["out"], "out", x, "x").copy(), parts["cache"]

    out, cache = through(True)
    through(True)  # another mask, which must not get in between
    dx = like(backward(dout, cache), "dx", dout, "dout")
    ratio, dropped = np.abs(dx / dout), out == 0
    again = backward(dout, cache)
    _, cache = through(False)
    evaluated = like(backward(dout, cache), "dx", dout, "dout")
    return {
        "the largest |dx / dout| where out is 0": float(np.max(ratio[dropped], initial=0)),
        "the share of zeros in dx": _share_of_zeros(dx, p),
        **_ratios(dx, dout, "dx / dout where dx is not 0"),
        "dx is 0 where out is, and only there (1 is yes)": yes(np.array_equal(dx == 0, dropped)),
        "a second backward gives the same dx (1 is yes)": yes(np.array_equal(again, dx)),
        "the share of zeros in dx after evaluation": _share_of_zeros(evaluated, p),
        **_ratios(evaluated, dout, "dx / dout after evaluation where dx is not 0"),
    }


# --- what is looked at ----------------------------------------------------------------------


def _zeros(out: NDArray) -> NDArray:
    return out == 0


def _share_of_zeros(out: NDArray, p: float) -> float:
    """The share, or the chance that explains it: two samples of one chance shall be equal."""
    share = float(_zeros(out).mean())
    for chance in (p, 1 - p, 0.5):
        if abs(share - chance) < BAND * np.sqrt(chance * (1 - chance) / out.size):
            return chance
    return round(share, 1)


def _ratios(out: NDArray, x: NDArray, what: str) -> dict[str, float]:
    """The smallest and the largest ratio, over the entries that are not 0."""
    kept = ~_zeros(out)
    ratios = out[kept] / x[kept] if kept.any() else np.array([np.nan])
    return {f"the smallest {what}": float(ratios.min()), f"the largest {what}": float(ratios.max())}


def _masks(out: NDArray) -> dict[str, float]:
    """Whether entries are dropped independently, or by rows, by columns, or by number."""
    zeros = _zeros(out).reshape(ROWS, -1)
    share = zeros.mean()
    rows, columns, spread = float(ROWS), float(ROWS), 1.0
    if 0 < share < 1:  # else there is no mask, and the share of zeros says so
        rows = len(np.unique(zeros, axis=0))
        columns = len(np.unique(zeros[:, :ROWS].T, axis=0))
        spread = zeros.sum(axis=1).std() / np.sqrt(zeros.shape[1] * share * (1 - share))
    return {
        f"the number of different masks in {ROWS} rows": rows,
        f"the number of different masks in {ROWS} columns": columns,
        "how far rows differ in their number of zeros (1: as independent draws do)": (
            1.0 if 0.5 < spread < 1.5 else float(np.round(spread))
        ),
    }


# --- on which inputs ------------------------------------------------------------------------


def _dropout_cases(rng: Generator) -> list[Case]:
    def numbers(shape: tuple[int, ...]) -> NDArray:
        """Of both signs and away from 0, so that every 0 has been dropped."""
        return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 2.0, shape)

    def case(p: float, *shape: int) -> Case:
        inputs = {"x": numbers(shape), "p": p, "seed": int(rng.integers(1 << 32))}
        return Case(f"x of shape {shape}, p = {p:g}", inputs)

    return [
        case(0.5, 100, 120),
        case(0.2, 100, 100),
        case(0.8, 100, 100),
        case(0.2, 100, 4, 6, 5),
        case(0.2, 10_000),
    ]


def _backward_cases(rng: Generator) -> list[Case]:
    cases = _dropout_cases(rng)
    return [
        Case(c.description, c.inputs | {"dout": 0.5 + rng.random(c.inputs["x"].shape)})
        for c in cases
    ]


register(
    Exercise(
        "dropout_forward",
        ("dropout_forward",),
        (reference.dropout_forward,),
        _run_dropout_forward,
        _dropout_cases,
    )
)
register(
    Exercise(
        "dropout_backward",
        ("dropout_forward", "dropout_backward"),
        (reference.dropout_forward, reference.dropout_backward),
        _run_dropout_backward,
        _backward_cases,
    )
)
