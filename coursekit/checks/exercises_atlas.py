"""Lesson 3's exercises on looking into a net: what a unit sees, and what a class looks at."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_atlas as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack

# --- the receptive field ----------------------------------------------------------------------


def _run_receptive_field(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    layers = list(inputs["layers"])
    returned = functions[0](layers)
    if layers != list(inputs["layers"]):
        raise BadReturn("its argument layers comes back changed")
    return unpack(returned, "it", "size", "jump")


def _receptive_field_cases(rng: Generator) -> list[Case]:
    def case(*layers: tuple[int, int]) -> Case:
        told = ", ".join(map(str, layers)) or "no layer at all"
        return Case(f"(kernel, stride): {told}", {"layers": layers})

    drawn = [(int(rng.integers(1, 6)), int(rng.integers(1, 4))) for _ in range(6)]
    return [
        case((3, 1), (3, 1), (2, 2), (3, 1), (3, 1), (2, 2)),
        case((3, 1)),
        case((5, 1), (3, 1)),
        case((2, 2), (2, 2), (2, 2)),
        case((7, 2), (3, 2), (1, 1), (3, 1)),
        case((3, 2), (1, 2), (3, 1)),
        case(*drawn),
        case(),
    ]


register(
    Exercise(
        "receptive_field",
        ("receptive_field",),
        (reference.receptive_field,),
        _run_receptive_field,
        _receptive_field_cases,
        floats=(np.float64,),
    )
)


# --- Grad-CAM -----------------------------------------------------------------------------------


def _run_grad_cam(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"the map": functions[0](*inputs.values())}


def _grad_cam_cases(rng: Generator) -> list[Case]:
    def normal(*shape: int) -> NDArray:
        return rng.standard_normal(shape)

    def case(activations: NDArray, gradients: NDArray, note: str = "") -> Case:
        return Case(
            f"activations and gradients {activations.shape}{note}",
            {"activations": activations, "gradients": gradients},
        )

    after_relu = np.maximum(normal(6, 4, 5), 0)
    return [
        case(normal(5, 4, 4), normal(5, 4, 4)),
        case(np.maximum(normal(4, 3, 7), 0), normal(4, 3, 7), ", after a ReLU"),
        case(normal(4, 6, 3), 0.2 + normal(4, 6, 3)),
        case(normal(4, 4, 4), normal(4, 4, 4), ", all sizes equal"),
        case(normal(1, 3, 5), rng.random((1, 3, 5)), ", one channel"),
        case(1 + after_relu, after_relu + 0.1, ", everything speaks for the class"),
        case(after_relu, -after_relu - 0.1, ", everything speaks against the class"),
        case(np.zeros((3, 2, 4)), normal(3, 2, 4), ", a dead layer"),
        case(normal(5, 4, 3), 1e-9 * normal(5, 4, 3), ", gradients near 1e-9"),
    ]


register(
    Exercise(
        "grad_cam",
        ("grad_cam",),
        (reference.grad_cam,),
        _run_grad_cam,
        _grad_cam_cases,
    )
)


# --- occlusion ----------------------------------------------------------------------------------


def _run_occlusion_map(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"the map": functions[0](*inputs.values())}


def _score(linear: NDArray, square: NDArray) -> Callable[[NDArray], NDArray]:
    """A score in which every pixel counts, and not in proportion."""

    def score(batch: NDArray) -> NDArray:
        if np.ndim(batch) != 4 or batch.shape[1:] != linear.shape:
            wanted = ", ".join(map(str, linear.shape))
            raise ValueError(f"score was called with shape {np.shape(batch)}, not (N, {wanted})")
        return 10 + (linear * batch + square * batch**2).sum(axis=(1, 2, 3))

    return score


def _occlusion_cases(rng: Generator) -> list[Case]:
    def case(shape: tuple[int, ...], size: int, stride: int, fill: float, note: str = "") -> Case:
        inputs = {
            "score": _score(rng.standard_normal(shape), rng.standard_normal(shape)),
            "image": 1 + rng.standard_normal(shape),
            "size": size,
            "stride": stride,
            "fill": fill,
        }
        return Case(f"image {shape}, size {size}, stride {stride}, fill {fill:g}{note}", inputs)

    return [
        case((3, 6, 6), 2, 2, 0.0),
        case((3, 4, 8), 2, 2, 0.5, ", wider than high"),
        case((2, 7, 5), 3, 1, -1.0, ", higher than wide, squares that overlap"),
        case((3, 5, 5), 2, 2, 0.5, ", a row and a column left over"),
        case((1, 8, 6), 2, 3, 0.25, ", pixels that are never covered"),
        case((2, 4, 4), 4, 1, 0.5, ", a square as large as the image"),
    ]


register(
    Exercise(
        "occlusion_map",
        ("occlusion_map",),
        (reference.occlusion_map,),
        _run_occlusion_map,
        _occlusion_cases,
        floats=(np.float64,),
    )
)
