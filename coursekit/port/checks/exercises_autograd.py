"""Lesson 4's exercises on autograd: looking into it, and teaching it something."""

from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import nn

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn
from coursekit.checks.properties import count
from coursekit.checks.second import between
from coursekit.port.checks import references as reference
from coursekit.port.checks.probe import seeded, to_array

# --- outputs of all layers ----------------------------------------------------------------------


def _flat() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(4), nn.Tanh()
    )


def _nested() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    return nn.Sequential(block, nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), nn.LazyLinear(3))


NETS = {"a plain Sequential": _flat, "blocks in blocks": _nested}


def _run_layer_outputs(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x = torch.from_numpy(inputs["x"])
    make = NETS[inputs["net"]]

    def ready() -> nn.Module:
        net = make()
        net(torch.zeros_like(x, dtype=torch.float32))  # lazy layers learn their size
        return net

    net = seeded(ready, inputs["seed"]).eval()
    outputs = functions[0](net, x)
    wanted = [name for name, layer in net.named_modules() if not list(layer.children())]
    if not isinstance(outputs, dict) or list(outputs) != wanted:
        came = list(outputs) if isinstance(outputs, dict) else type(outputs).__name__
        raise BadReturn(f"its result should be a dict with the keys {wanted}, got {came}")
    results = {f'outputs["{k}"]': to_array(v, f'outputs["{k}"]') for k, v in outputs.items()}
    left = sum(len(layer._forward_hooks) for layer in net.modules())
    return {**results, "hooks that are left on the net": float(left)}


def _layer_output_cases(rng: Generator) -> list[Case]:
    return [
        Case(
            f"{told}, x (2, 2, 6, 4)",
            {"net": told, "x": rng.standard_normal((2, 2, 6, 4)), "seed": int(rng.integers(1000))},
        )
        for told in NETS
    ]


register(
    Exercise(
        "layer_outputs",
        ("layer_outputs",),
        (reference.layer_outputs,),
        _run_layer_outputs,
        _layer_output_cases,
        floats=(np.float64,),
    )
)


# --- a function of one's own --------------------------------------------------------------------


def _run_function(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x, w, b = (torch.from_numpy(inputs[name]).clone() for name in "xwb")
    for name, tensor in (("x", x), ("w", w), ("b", b)):
        tensor.requires_grad_(name in inputs["learns"])
    out = functions[0](x, w, b, inputs["stride"], inputs["padding"])
    if not isinstance(out, torch.Tensor) or out.grad_fn is None:
        raise BadReturn("its result does not hang on a graph: call the Function by its apply")
    with between():  # whose leftovers must not get in between
        functions[0](1 - x, 2 * w, b, inputs["stride"], inputs["padding"])
    dout = torch.from_numpy(inputs["dout"])
    results: dict[str, Any] = {"out": out.detach().numpy()}
    results |= _asked(out, dout, inputs["learns"])
    try:
        out.backward(dout)
    except Exception as error:
        raise BadReturn(f"the backward pass raises {type(error).__name__}: {error}") from error
    for name, tensor in (("x", x), ("w", w), ("b", b)):
        if name in inputs["learns"]:
            if tensor.grad is None:
                raise BadReturn(f"no gradient reaches {name}")
            results[f"d{name}"] = tensor.grad.numpy()
    return results


def _asked(out: torch.Tensor, dout: torch.Tensor, learns: str) -> dict[str, float]:
    """Whether backward leaves out the dearest of its gradients where nobody needs it."""
    if "x" in learns:
        return {}
    node: Any = out.grad_fn
    if not hasattr(node, "_forward_cls"):
        raise BadReturn("its result was not made by a torch.autograd.Function of your own")
    try:
        with torch.no_grad():  # as autograd calls it
            grads = node._forward_cls.backward(node, dout)
    except Exception as error:
        raise BadReturn(f"the backward pass raises {type(error).__name__}: {error}") from error
    first = grads[0] if isinstance(grads, tuple | list) and grads else grads
    return {"gradients computed for an x that needs none": count(first is not None)}


def _function_cases(rng: Generator) -> list[Case]:
    def case(shape: tuple, filters: tuple, stride: int, padding: int, learns: str = "xwb") -> Case:
        x, w = (
            rng.standard_normal(shape),
            rng.standard_normal((*filters[:1], shape[1], *filters[1:])),
        )
        sides = [
            (s + 2 * padding - k) // stride + 1 for s, k in zip(shape[2:], filters[1:], strict=True)
        ]
        inputs = {
            "x": x,
            "w": w,
            "b": rng.standard_normal(filters[0]),
            "stride": stride,
            "padding": padding,
            "dout": 0.5 + rng.standard_normal((shape[0], filters[0], *sides)),
            "learns": learns,
        }
        told = f"x {shape}, w {w.shape}, stride {stride}, padding {padding}"
        what = "" if learns == "xwb" else f", gradients needed of {', '.join(learns)} only"
        return Case(told + what, inputs)

    return [
        case((2, 3, 6, 6), (4, 3, 3), 1, 1),
        case((2, 3, 5, 7), (3, 3, 2), 2, 0),
        case((3, 3, 4, 4), (3, 3, 3), 1, 1),
        case((2, 2, 4, 4), (3, 3, 3), 1, 1, "wb"),
        case((2, 2, 4, 4), (3, 3, 3), 1, 1, "x"),
    ]


register(
    Exercise(
        "conv2d_function",
        ("conv2d_function",),
        (reference.Conv2dFunction.apply,),
        _run_function,
        _function_cases,
        rtol=1e-6,
    )
)
