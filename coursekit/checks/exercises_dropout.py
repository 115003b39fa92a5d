"""Lesson 2's exercises on dropout, which may draw their masks as they like.

No mask is compared with another. What is compared are properties of the zeros: how many, how their
number scatters, what stands between them, whether rows and columns have masks of their own, where
they come from. A right answer fails once in 10^11 times.
"""

from functools import partial
from math import lgamma, log, log1p
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_dropout as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import unpack
from coursekit.checks.properties import GlobalDraws, count, like, plausible, share

ROWS = 100  # all inputs can be seen as a matrix of so many rows
CALLS = 7
SMALL = 200  # calls with so few numbers that their zeros can be counted each time
KINDS = 8  # of counts, about equally likely, that those calls are sorted into


def _run_dropout_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x, p, seed = inputs["x"], inputs["p"], inputs["seed"]

    watched = GlobalDraws()

    def out_of(x: NDArray, p: float, training: bool, rng: Generator) -> NDArray:
        returned = unpack(functions[0](x, p, training, rng), "it", "out", "cache")["out"]
        return like(returned, "out", x, "x")

    out = partial(watched, out_of, x)

    rng = np.random.default_rng(seed)
    first = out(p, True, rng)
    kept = first.copy()
    further = [out(p, True, rng) for _ in range(CALLS - 1)]
    some = x[:1] if x.ndim > 1 else x[:ROWS]
    counted = watched(lambda: [int(_zeros(out_of(some, p, True, rng)).sum()) for _ in range(SMALL)])
    again = out(p, True, np.random.default_rng(seed))
    whole, evaluated = out(0.0, True, rng), out(p, False, rng)
    return {
        **_masks(kept),
        "the share of zeros in out": _share_of_zeros(kept, p),
        **_ratios(kept, x, "out / x where out is not 0"),
        **_by_place(kept, p),
        "further calls that draw the same mask": count(
            *(np.array_equal(_zeros(other), _zeros(kept)) for other in further)
        ),
        f"series of {SMALL} calls whose numbers of zeros do not scatter as in independent draws": (
            count(not _scattered(counted, some.size, kept, p))
        ),
        "calls that change the out of the call before": count(not np.array_equal(first, kept)),
        "calls with the same seed that draw another mask": count(not np.array_equal(again, kept)),
        **watched.result(),
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
        "the share of entries where only one of out and dx is 0": share(
            (dx == 0) != dropped, 0.0, 2 * p * (1 - p), p, 1 - p, 0.5
        ),
        "further calls with the same cache that give another dx": count(
            not np.array_equal(again, dx)
        ),
        "the share of zeros in dx after evaluation": _share_of_zeros(evaluated, p),
        **_ratios(evaluated, dout, "dx / dout after evaluation where dx is not 0"),
    }


# --- what is looked at ----------------------------------------------------------------------


def _zeros(out: NDArray) -> NDArray:
    return out == 0


def _share_of_zeros(out: NDArray, p: float) -> float:
    """The share, or the chance that explains it: two samples of one chance shall be equal."""
    return share(_zeros(out), p, 1 - p, 0.5)


def _scattered(counted: list[int], size: int, out: NDArray, p: float) -> bool:
    """Whether numbers of zeros among ``size`` entries may be binomial, as independent draws are.

    A fixed number of zeros does not scatter, one that jumps up and down a little scatters too
    little, and a chance that is drawn anew for each call makes it scatter too much. The chance is
    the one that explains the large mask: whether it is the right one is asked elsewhere.
    """
    chance = _share_of_zeros(out, p)
    if chance not in (p, 1 - p, 0.5):
        chance = float(np.mean(counted)) / size
    if not 0 < chance < 1:
        return True
    whole = np.arange(size + 1)
    log_pmf = [lgamma(size + 1) - lgamma(k + 1) - lgamma(size - k + 1) for k in whole]
    pmf = np.exp(log_pmf + whole * log(chance) + (size - whole) * log1p(-chance))
    kind = np.minimum((pmf.cumsum() - pmf / 2) * KINDS, KINDS - 1).astype(int)
    return plausible(
        np.bincount(kind[counted], minlength=KINDS),
        np.bincount(kind, weights=pmf / pmf.sum(), minlength=KINDS),
    )


def _ratios(out: NDArray, x: NDArray, what: str) -> dict[str, float]:
    """The smallest and the largest ratio, over the entries that are not 0."""
    kept = ~_zeros(out)
    ratios = out[kept] / x[kept] if kept.any() else np.array([np.nan])
    return {f"the smallest {what}": float(ratios.min()), f"the largest {what}": float(ratios.max())}


def _masks(out: NDArray) -> dict[str, float]:
    """Whether entries are dropped independently, or by rows, by columns, or by number."""
    zeros = _zeros(out).reshape(ROWS, -1)
    chance = zeros.mean()
    rows, columns, spread = float(ROWS), float(ROWS), 1.0
    if 0 < chance < 1:  # else there is no mask, and the share of zeros says so
        rows = len(np.unique(zeros, axis=0))
        columns = len(np.unique(zeros[:, :ROWS].T, axis=0))
        spread = zeros.sum(axis=1).std() / np.sqrt(zeros.shape[1] * chance * (1 - chance))
    return {
        f"the number of different masks in {ROWS} rows": rows,
        f"the number of different masks in {ROWS} columns": columns,
        "how far rows differ in their number of zeros (1: as independent draws do)": (
            1.0 if 0.5 < spread < 1.5 else float(np.round(spread))
        ),
    }


def _by_place(out: NDArray, p: float) -> dict[str, float]:
    """Whether p is the chance of every row and of every column."""
    zeros = _zeros(out).reshape(ROWS, -1)
    return {
        "the largest share of zeros in a row": _largest_share(zeros, p),
        "the largest share of zeros in a column": _largest_share(zeros.T, p),
    }


def _largest_share(zeros: NDArray, p: float) -> float:
    """The share of all zeros if all rows may have the same chance, else the largest of a row."""
    rows = zeros.sum(axis=1)
    if plausible(rows, np.full(len(rows), 1 / len(rows))):
        return share(zeros, p, 1 - p, 0.5)
    return round(float(rows.max()) / zeros.shape[1], 1)


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
