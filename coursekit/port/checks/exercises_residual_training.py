"""Lesson 5's exercises on training: a softer target, what is punished, and six views."""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import nn

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn
from coursekit.checks.properties import count
from coursekit.checks.second import another, labels
from coursekit.port.checks import references_residual as reference
from coursekit.port.checks.probe import (
    Witness,
    graphs_recorded,
    modes_changed,
    seeded,
    state,
    to_array,
)
from coursekit.port.checks.probe_residual import backward, told, with_gradients

# --- label smoothing ------------------------------------------------------------------------


def _run_smoothed(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    logits, y = inputs["logits"], torch.from_numpy(inputs["y"])
    return with_gradients(
        lambda z: functions[0](z, y, inputs["smoothing"]),
        {"logits": logits},
        torch.from_numpy(logits).dtype,
    )


def _smoothed_cases(rng: Generator) -> list[Case]:
    def case(n: int, classes: int, smoothing: float, scale: float = 2, note: str = "") -> Case:
        inputs = {
            "logits": scale * rng.standard_normal((n, classes)),
            "y": rng.integers(0, classes, n),
            "smoothing": smoothing,
        }
        return Case(f"logits {(n, classes)}, smoothing {smoothing:g}{note}", inputs)

    far = case(4, 3, 0.2, note=", rows around 1000 and -1000")
    far.inputs["logits"] += np.array([[1e3], [-1e3], [1e3], [-1e3]])
    return [
        case(6, 10, 0.1),
        case(3, 4, 0.4),
        case(4, 4, 0.0),
        case(5, 3, 1.0),
        case(1, 5, 0.2),
        case(3, 2, 0.3),
        case(4, 4, 0.25, 700, ", up to 1000 and more"),
        case(4, 4, 0.0, 700, ", up to 1000 and more"),
        far,
    ]


register(
    Exercise(
        "smoothed_cross_entropy",
        ("smoothed_cross_entropy",),
        (reference.smoothed_cross_entropy,),
        _run_smoothed,
        _smoothed_cases,
        rtol=1e-6,  # F.one_hot(y) * (1 - s) is float32, whatever the logits are
        second=another(y=labels),
    )
)


# --- nets to be punished --------------------------------------------------------------------


def _convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)),
    )


def _other_norms() -> nn.Module:
    return nn.Sequential(
        *(nn.Embedding(5, 4), nn.LayerNorm(4), nn.PReLU(4), nn.Linear(4, 4), nn.GroupNorm(2, 4)),
    )


def _no_biases() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 3, 2, bias=False), nn.Linear(3, 2, bias=False))


def _frozen() -> nn.Module:
    net = _convolutional()
    net[0].requires_grad_(False)  # type: ignore[index]
    net[1].requires_grad_(False)  # type: ignore[index]
    return net


def _partly_frozen() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3))
    net[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    net[2].weight.requires_grad_(False)
    return net


def _tied() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2))
    net[2].weight, net[2].bias = net[0].weight, net[0].bias
    return net


def _named() -> nn.Module:
    net = nn.Sequential()
    for name, layer in (("conv", nn.Conv2d(1, 2, 3)), ("bn", nn.BatchNorm2d(2))):
        net.add_module(name, layer)
    return net


NETS = {
    "convolution, batch norm, linear layer": _convolutional,
    "embedding, layer norm, PReLU, group norm": _other_norms,
    "layers without biases": _no_biases,
    "a frozen convolution and batch norm": _frozen,
    "single frozen parameters": _partly_frozen,
    "two linear layers that share weight and bias": _tied,
    "layers called conv and bn": _named,
}


def _net_cases(key: str, rng: Generator) -> list[Case]:
    numbers = [0.01, 0.5, 0.003, 2.0, 0.1, 1.0, 0.05]
    return [
        Case(f"{net}, {key} {number}", {"net": net, key: number, "seed": int(rng.integers(1000))})
        for net, number in zip(NETS, numbers, strict=True)
    ]


# --- L1 -------------------------------------------------------------------------------------


def _run_l1(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(NETS[inputs["net"]], inputs["seed"])
    with torch.no_grad():
        for p in net.parameters():
            p.flatten()[:1] = 0.0  # where |w| has a corner
    penalty = functions[0](net, inputs["strength"])
    if not isinstance(penalty, torch.Tensor) or penalty.shape != ():
        came = (
            f"one of shape {tuple(penalty.shape)}"
            if isinstance(penalty, torch.Tensor)
            else f"a {type(penalty).__name__}"
        )
        raise BadReturn(f"its result should be a tensor of one number, got {came}")
    backward(penalty, "its result")
    return {
        "its result": to_array(penalty.detach(), "its result"),
        **{
            f"the gradient of {name}": np.zeros(p.shape) if p.grad is None else p.grad.numpy()
            for name, p in net.named_parameters()
        },
        **state(net, "afterwards"),
    }


register(
    Exercise(
        "l1_penalty",
        ("l1_penalty",),
        (reference.l1_penalty,),
        _run_l1,
        partial(_net_cases, "strength"),
        floats=(np.float64,),
    )
)


# --- who decays -----------------------------------------------------------------------------

DEFAULT = 0.7  # what an optimiser gives to a group that says nothing


def _run_decay_groups(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(NETS[inputs["net"]], inputs["seed"])
    asked = {name: p.requires_grad for name, p in net.named_parameters()}
    groups = functions[0](net, inputs["weight_decay"])
    if (
        not isinstance(groups, list | tuple)
        or len(groups) != 2
        or not all(isinstance(g, dict) and "params" in g for g in groups)
    ):
        raise BadReturn('its result should be a list of two dicts with the key "params"')
    try:
        ready = torch.optim.SGD([dict(g) for g in groups], lr=0.1, weight_decay=DEFAULT)
    except Exception as error:
        raise BadReturn(f"an optimiser refuses the groups: {told(error)}") from error
    names = {id(p): name for name, p in net.named_parameters()}
    where: dict[str, list[int]] = {name: [] for name in asked}
    for i, group in enumerate(ready.param_groups):
        for p in group["params"]:
            if id(p) not in names:
                raise BadReturn("a group holds a tensor that is none of the net's parameters")
            where[names[id(p)]].append(i)
    results: dict[str, Any] = {
        f"the weight decay of groups[{i}]": float(group["weight_decay"])
        for i, group in enumerate(ready.param_groups)
    }
    for name, found in where.items():
        results[f"how often {name} is in groups[0]"] = float(found.count(0))
        results[f"how often {name} is in groups[1]"] = float(found.count(1))
    changed = [p.requires_grad != asked[name] for name, p in net.named_parameters()]
    return {**results, "parameters that the call freezes or thaws": count(*changed)}


register(
    Exercise(
        "decay_groups",
        ("decay_groups",),
        (reference.decay_groups,),
        _run_decay_groups,
        partial(_net_cases, "weight_decay"),
        floats=(np.float64,),
    )
)


# --- six views of a picture -----------------------------------------------------------------


def _classifier(channels: int, height: int, width: int) -> nn.Module:
    """Scores that depend on where things are."""
    return nn.Sequential(
        *(Witness(), nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(4 * height * width, 3)),
    )


def _run_six_views(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x = torch.from_numpy(inputs["x"])
    net = seeded(partial(_classifier, *x.shape[1:]), inputs["seed"])
    with torch.no_grad():
        for _ in range(20):  # running statistics that are not those of a batch, nor of a new net
            net(0.5 * x + 0.3)
    net.train(inputs["training"])
    witness = next(layer for layer in net.modules() if isinstance(layer, Witness))
    witness.graphs.clear()
    enabled = torch.is_grad_enabled()
    try:
        logits = functions[0](net, x)
        still = torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(enabled)
    return {
        "its result": to_array(logits, "its result"),
        **graphs_recorded(witness),
        "calls that leave gradients switched off": count(not still),
        **modes_changed(net, inputs["training"]),
        **state(net, "afterwards"),
    }


def _six_view_cases(rng: Generator) -> list[Case]:
    def case(*shape: int, training: bool = False) -> Case:
        inputs = {
            "x": 2 * rng.standard_normal(shape),
            "seed": int(rng.integers(1000)),
            "training": training,
        }
        mode = "training" if training else "evaluation"
        return Case(f"x {shape}, a net in {mode} mode", inputs)

    return [
        case(5, 2, 6, 6),
        case(3, 3, 6, 4, training=True),
        case(2, 1, 3, 5),
        case(1, 2, 4, 4),
    ]


register(
    Exercise(
        "six_view_logits",
        ("six_view_logits",),
        (reference.six_view_logits,),
        _run_six_views,
        _six_view_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)
