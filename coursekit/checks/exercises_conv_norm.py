"""Lesson 3's exercises on batch norm for pictures, and on group norm."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_conv_norm as reference
from coursekit.checks.exercises import Case, Exercise, register
from coursekit.checks.exercises_norm import FAR, NORM, affine, run_batch_norm_forward
from coursekit.checks.pairs import run_backward, run_forward, with_dout


def _pictures(rng: Generator, *shape: int) -> NDArray:
    """Channels, rows and columns with means and deviations of their own."""
    n, c, h, w = shape
    x = rng.uniform(0.5, 3.0, (c, 1, 1)) * rng.standard_normal(shape)
    for size in ((c, 1, 1), (h, 1), (w,), (n, 1, 1, 1)):
        x += rng.standard_normal(size)
    return x


# --- batch norm -----------------------------------------------------------------------------


def _batch_norm2d_case(
    rng: Generator,
    x: NDArray,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    first: bool = False,
    note: str = "",
) -> Case:
    """``first``: running statistics are those of a new net, not those after some epochs."""
    c = x.shape[1]
    inputs = {
        "x": x,
        **affine(rng, c),
        "running_mean": np.zeros(c) if first else 3 * rng.standard_normal(c),
        "running_var": np.ones(c) if first else rng.uniform(0.05, 4.0, c),
        "training": training,
        "momentum": momentum,
        "eps": eps,
    }
    mode = f"training, momentum {momentum:g}" if training else "evaluation"
    return Case(f"x {x.shape}, {mode}, eps {eps:g}{note}", inputs)


def _training_cases(rng: Generator) -> list[Case]:
    def case(*shape: int, shift: float = 0.0, **options: Any) -> Case:
        return _batch_norm2d_case(rng, shift + _pictures(rng, *shape), **options)

    still = _pictures(rng, 2, 3, 4, 3)
    still[:, 1] = 2.0
    return [
        case(4, 3, 5, 5, first=True, note=", the first step"),
        case(3, 4, 2, 5, momentum=0.3, eps=0.1),
        case(2, 3, 4, 3, momentum=0.3, eps=0.1, note=", as many columns as channels"),
        case(3, 3, 3, 3, momentum=0.3, eps=0.1, note=", all sizes equal"),
        case(1, 3, 4, 2, note=", one picture"),
        case(5, 2, 1, 1, eps=0.1, note=", pictures of one pixel"),
        case(2, 1, 3, 4, note=", one channel"),
        _batch_norm2d_case(rng, still, note=", a channel that never changes"),
        case(3, 2, 3, 4, shift=FAR, note=f", numbers near {FAR:g}"),
    ]


def _forward_cases(rng: Generator) -> list[Case]:
    def case(*shape: int, **options: Any) -> Case:
        return _batch_norm2d_case(rng, _pictures(rng, *shape), training=False, **options)

    evaluation = [
        case(2, 4, 3, 5),
        case(3, 3, 3, 3, eps=0.1, note=", all sizes equal"),
        case(1, 2, 4, 3, eps=0.1, note=", one picture"),
    ]
    return _training_cases(rng) + evaluation


register(
    Exercise(
        "batch_norm2d_forward",
        ("batch_norm2d_forward",),
        (reference.batch_norm2d_forward,),
        run_batch_norm_forward,
        _forward_cases,
        second=NORM,
    )
)
register(
    Exercise(
        "batch_norm2d_backward",
        ("batch_norm2d_forward", "batch_norm2d_backward"),
        (reference.batch_norm2d_forward, reference.batch_norm2d_backward),
        run_backward("dx", "dgamma", "dbeta", second=NORM),
        with_dout(_training_cases, reference.batch_norm2d_forward),
        second=NORM,
    )
)


# --- group norm -----------------------------------------------------------------------------


def _group_norm_cases(rng: Generator) -> list[Case]:
    def case(x: NDArray, num_groups: int, eps: float = 1e-5, note: str = "") -> Case:
        inputs = {"x": x, **affine(rng, x.shape[1]), "num_groups": num_groups, "eps": eps}
        return Case(f"x {x.shape}, num_groups {num_groups}, eps {eps:g}{note}", inputs)

    def pictures(*shape: int) -> NDArray:
        return _pictures(rng, *shape)

    still = pictures(2, 4, 3, 2)
    still[1, 2:] = 2.0
    return [
        case(pictures(3, 6, 4, 4), 2),
        case(pictures(2, 6, 3, 5), 3, 0.1),
        case(pictures(2, 4, 5, 4), 2, 0.1, ", as many columns as channels"),
        case(pictures(4, 4, 4, 4), 2, 0.1, ", all sizes equal"),
        case(pictures(2, 4, 3, 2), 1, 0.1, ", one group, which is layer norm"),
        case(pictures(2, 4, 3, 2), 4, 0.1, ", a group for each channel, which is instance norm"),
        case(pictures(1, 4, 2, 3), 2, note=", one picture"),
        case(still, 2, note=", a group of equal numbers"),
        case(FAR + pictures(2, 4, 3, 4), 2, note=f", numbers near {FAR:g}"),
    ]


register(
    Exercise(
        "group_norm_forward",
        ("group_norm_forward",),
        (reference.group_norm_forward,),
        run_forward,
        _group_norm_cases,
        second=NORM,
    )
)
register(
    Exercise(
        "group_norm_backward",
        ("group_norm_forward", "group_norm_backward"),
        (reference.group_norm_forward, reference.group_norm_backward),
        run_backward("dx", "dgamma", "dbeta", second=NORM),
        with_dout(_group_norm_cases, reference.group_norm_forward),
        second=NORM,
    )
)
