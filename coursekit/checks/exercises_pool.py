"""Lesson 3's exercises on max pooling: negative pictures, ties, windows that overlap."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_conv as reference
from coursekit.checks.exercises import Case, Exercise, register
from coursekit.checks.pairs import run_backward, run_forward, with_dout


def _pool_cases(rng: Generator) -> list[Case]:
    def case(x: NDArray, height: int, width: int, stride: int, note: str = "") -> Case:
        inputs: dict[str, Any] = {"x": x, "pool_height": height, "pool_width": width}
        told = f"x {x.shape}, windows {height, width}, stride {stride}{note}"
        return Case(told, inputs | {"stride": stride})

    def normal(*shape: int) -> NDArray:
        return rng.standard_normal(shape)

    def whole(*shape: int) -> NDArray:
        """As after a ReLU: many zeros, so that windows have several largest numbers."""
        return np.maximum(rng.integers(-2, 3, shape), 0).astype(np.float64)

    return [
        case(1 + normal(2, 3, 6, 6), 2, 2, 2),
        case(-1 - rng.random((2, 2, 6, 6)), 2, 2, 2, ", all x negative"),
        case(whole(2, 2, 6, 4), 2, 2, 2, ", whole numbers with ties"),
        case(normal(2, 3, 4, 8), 2, 2, 2, ", wider than high"),
        case(normal(2, 3, 8, 4), 2, 2, 2, ", higher than wide"),
        case(normal(2, 2, 6, 9), 2, 3, 2, ", windows wider than high"),
        case(normal(2, 2, 7, 5), 3, 2, 1, ", windows higher than wide"),
        case(normal(2, 3, 7, 7), 3, 3, 2, ", windows that overlap"),
        case(whole(2, 2, 5, 6), 3, 3, 1, ", windows that overlap, ties"),
        case(normal(2, 2, 5, 7), 2, 2, 2, ", a row and a column left over"),
        case(normal(2, 2, 8, 5), 2, 1, 3, ", pixels that no window sees"),
        case(normal(2, 2, 3, 4), 3, 4, 1, ", one window"),
        case(np.full((1, 1, 4, 6), -2.0), 2, 2, 1, ", one picture of equal numbers"),
        case(-1e40 * (1 + rng.random((2, 2, 4, 5))), 2, 2, 1, ", all x below -1e40"),
    ]


register(
    Exercise(
        "max_pool2d_forward",
        ("max_pool2d_forward",),
        (reference.max_pool2d_forward,),
        run_forward,
        _pool_cases,
    )
)
register(
    Exercise(
        "max_pool2d_backward",
        ("max_pool2d_forward", "max_pool2d_backward"),
        (reference.max_pool2d_forward, reference.max_pool2d_backward),
        run_backward("dx"),
        with_dout(_pool_cases, reference.max_pool2d_forward),
    )
)
