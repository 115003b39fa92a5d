"""Lesson 4's exercises on tensors and on nets made of them."""

from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn
from coursekit.checks.second import another, pictures, positive
from coursekit.port.checks import references as reference
from coursekit.port.checks.probe import to_array
from coursekit.port.checks.probe_residual import call, fill, warm_up

# --- pixels ---------------------------------------------------------------------------------


def _run_pixels(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x = functions[0](inputs["images"], inputs["mean"], inputs["std"])
    return {"its result": to_array(x, "its result", torch.float32)}


def _pixel_cases(rng: Generator) -> list[Case]:
    def case(*shape: int, note: str = "", high: int = 256) -> Case:
        inputs = {
            "images": rng.integers(0, high, shape).astype(np.uint8),
            "mean": rng.uniform(0.3, 0.6, shape[-1]),
            "std": rng.uniform(0.2, 0.3, shape[-1]),
        }
        return Case(f"images {shape}{note}", inputs)

    bright = case(2, 3, 5, 3, note=", all white")
    bright.inputs["images"][...] = 255
    return [
        case(4, 6, 6, 3),
        case(2, 5, 3, 3, note=", higher than wide"),
        case(3, 3, 3, 3, note=", all sizes equal"),
        case(3, 4, 6, 1, note=", grey"),
        case(1, 2, 2, 3, note=", one picture without a bright pixel", high=40),
        bright,
    ]


register(
    Exercise(
        "pixels_to_tensor",
        ("pixels_to_tensor",),
        (reference.pixels_to_tensor,),
        _run_pixels,
        _pixel_cases,
        second=another(images=pictures, mean=pictures, std=positive),
        rtol=1e-4,  # the result is float32
        floats=(np.float64,),
    )
)


# --- a net of bare tensors --------------------------------------------------------------------


def _run_three_layer(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x, params = torch.from_numpy(inputs["x"]), list(map(torch.from_numpy, inputs["params"]))
    for p in params:
        p.requires_grad_()
    logits = functions[0](x, params)
    if not isinstance(logits, torch.Tensor) or not logits.requires_grad:
        what = "has lost its graph" if isinstance(logits, torch.Tensor) else "is no tensor"
        raise BadReturn(f"its result {what}: no gradient would reach the parameters")
    logits.square().sum().backward()
    return {
        "its result": to_array(logits.detach(), "its result"),
        "parameters that a gradient reaches": float(sum(p.grad is not None for p in params)),
    }


def _three_layer_cases(rng: Generator) -> list[Case]:
    def case(n: int, c: int, side: tuple[int, int], k: int, filters: int, note: str = "") -> Case:
        features, hidden, classes = filters * (side[0] // 2) * (side[1] // 2), 5, 4

        def normal(*shape: int) -> NDArray:
            return rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))

        inputs = {
            "x": rng.standard_normal((n, c, *side)),
            "params": [
                *(normal(filters, c, k, k), rng.standard_normal(filters)),
                *(normal(hidden, features), rng.standard_normal(hidden)),
                *(normal(classes, hidden), rng.standard_normal(classes)),
            ],
        }
        told = f"{n} of {c} × {side[0]} × {side[1]}, {filters} filters of {k} × {k}"
        return Case(told + note, inputs)

    return [
        case(3, 3, (6, 6), 3, 4),
        case(2, 3, (6, 4), 5, 3, ", higher than wide"),
        case(4, 2, (4, 8), 1, 3),
        case(2, 1, (6, 6), 7, 2),
        case(1, 3, (4, 4), 3, 3, ", one picture"),
    ]


register(
    Exercise(
        "three_layer_forward",
        ("three_layer_forward",),
        (reference.three_layer_forward,),
        _run_three_layer,
        _three_layer_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)


# --- LeNet ------------------------------------------------------------------------------------

ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}


def _run_lenet(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    sizes = inputs["in_channels"], inputs["size"]
    net = functions[0](*sizes, ACTIVATIONS[inputs["activation"]])
    if not isinstance(net, nn.Module):
        raise BadReturn(f"lenet should return a module, got a {type(net).__name__}")
    x = torch.from_numpy(inputs["x"])
    with torch.no_grad():
        warm_up(net.double(), x)
        shapes = [tuple(p.shape) for p in net.parameters()]
        wanted = [tuple(p.shape) for p in reference.lenet(*sizes, nn.ReLU).parameters()]
        if sorted(shapes) != sorted(wanted):  # in whatever order the layers were made
            raise BadReturn(f"the net's parameters should have shapes {wanted}, got {shapes}")
        fill(net)
        logits = call(net.eval(), x)
    return {"the logits": to_array(logits, "the logits")}


def _lenet_cases(rng: Generator) -> list[Case]:
    return [
        Case(
            f"{n} of {c} × {size} × {size}, {activation}",
            {
                "in_channels": c,
                "size": size,
                "activation": activation,
                "x": rng.standard_normal((n, c, size, size)),
            },
        )
        for n, c, size, activation in ((3, 3, 32, "ReLU"), (2, 1, 28, "tanh"), (1, 3, 32, "tanh"))
    ]


register(
    Exercise(
        "lenet",
        ("lenet",),
        (reference.lenet,),
        _run_lenet,
        _lenet_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)
