"""Lesson 4's exercises on training with torch: steps, epochs, evaluation, and what lies around.

Each gets a small net in float64 that notices how it is used.
"""

from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import nn
from torch.nn.functional import cross_entropy

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack, unpack_list
from coursekit.checks.properties import count
from coursekit.checks.second import another, labels
from coursekit.port.checks import references as reference
from coursekit.port.checks.probe import (
    Witness,
    gradients,
    graphs_recorded,
    modes_changed,
    seeded,
    state,
    to_array,
    to_float,
)


def _normed() -> nn.Module:
    return nn.Sequential(Witness(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def _plain() -> nn.Module:
    return nn.Sequential(Witness(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def _witness(net: nn.Module) -> Witness:
    return next(layer for layer in net.modules() if isinstance(layer, Witness))


def _batches(inputs: dict[str, Any]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    x, y = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"])
    return list(zip(x.split(inputs["size"]), y.split(inputs["size"]), strict=True))


def _rows(rng: Generator, count: int) -> dict[str, Any]:
    return {
        "x": 0.5 + 2 * rng.standard_normal((count, 4)),
        "y": rng.integers(0, 3, count),
        "seed": int(rng.integers(1000)),
    }


# --- one step -----------------------------------------------------------------------------------


def _run_training_step(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(_normed, inputs["seed"])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=inputs["momentum"])
    if inputs["stale"]:  # as after an evaluation, and after a backward pass of somebody else
        net(torch.from_numpy(1 - inputs["x"])).square().sum().backward()
        net.eval()
    results: dict[str, Any] = {}
    for i, (x, y) in enumerate(_batches(inputs)):
        loss = functions[0](net, x, y, optimizer, cross_entropy)
        results |= {f"the loss of step {i}": to_float(loss, "its result")}
        results |= state(net, f"after step {i}")
    return results


def _step_cases(rng: Generator) -> list[Case]:
    def case(count: int, size: int, momentum: float, stale: bool, told: str) -> Case:
        inputs = {**_rows(rng, count), "size": size, "momentum": momentum, "stale": stale}
        return Case(f"{count // size} batches of {size}, momentum {momentum:g}, {told}", inputs)

    return [
        case(8, 8, 0.0, False, "a new net"),
        case(15, 5, 0.0, False, "a new net"),
        case(8, 8, 0.0, True, "a net in evaluation mode with old gradients in it"),
        case(12, 6, 0.9, True, "a net in evaluation mode with old gradients in it"),
    ]


register(
    Exercise(
        "training_step",
        ("training_step",),
        (reference.training_step,),
        _run_training_step,
        _step_cases,
        second=another(y=labels),
        floats=(np.float64,),
    )
)


# --- evaluation ---------------------------------------------------------------------------------


def _run_evaluate(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(_normed, inputs["seed"])
    with torch.no_grad():
        for _ in range(20):  # running statistics that are not those of a batch, nor of a new net
            net(torch.from_numpy(0.7 * inputs["x"] - 0.4))
    net.train(inputs["training"])
    _witness(net).graphs.clear()
    returned = unpack(functions[0](net, _batches(inputs), cross_entropy), "it", "loss", "accuracy")
    return {
        "the loss": to_float(returned["loss"], "the loss"),
        "the accuracy": to_float(returned["accuracy"], "the accuracy"),
        **graphs_recorded(_witness(net)),
        **modes_changed(net, inputs["training"]),
        "calls that leave gradients switched off": count(not torch.is_grad_enabled()),
        **state(net, "afterwards"),
    }


def _evaluate_cases(rng: Generator) -> list[Case]:
    def case(count: int, size: int, training: bool) -> Case:
        mode = "training" if training else "evaluation"
        inputs = {**_rows(rng, count), "size": size, "training": training}
        return Case(f"{count} rows in batches of {size}, a net in {mode} mode", inputs)

    return [case(12, 12, False), case(12, 4, True), case(11, 4, True), case(9, 8, False)]


def _run_evaluate_safely(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    """One who switches gradients off for good must not do so to the next case."""
    enabled = torch.is_grad_enabled()
    try:
        return _run_evaluate(functions, inputs)
    finally:
        torch.set_grad_enabled(enabled)


register(
    Exercise(
        "evaluate",
        ("evaluate",),
        (reference.evaluate,),
        _run_evaluate_safely,
        _evaluate_cases,
        second=another(y=labels),
        floats=(np.float64,),
    )
)


# --- epochs and a schedule ----------------------------------------------------------------------


class _Rates(torch.optim.SGD):
    """SGD that notes the rate of every update."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.rates: list[float] = []

    def step(self, closure: Any = None) -> Any:
        """Note the rate and update."""
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


def _run_train_epochs(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net, batches, epochs = seeded(_normed, inputs["seed"]), _batches(inputs), inputs["epochs"]
    optimizer = _Rates(net.parameters(), lr=0.1)
    steps = epochs * len(batches)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (steps + 1))

    def score(asked: nn.Module) -> float:
        asked.eval()  # and leaves it there, as many do
        with torch.no_grad():
            x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
            return float((asked(x).argmax(dim=1) == y).double().mean() + asked(x).mean())

    net.eval()  # as the evaluation before it left it
    scores = functions[0](net, batches, optimizer, scheduler, epochs, score)
    results: dict[str, Any] = {"the number of updates": float(len(optimizer.rates))}
    if len(optimizer.rates) == steps:
        results["the rates of the updates"] = np.array(optimizer.rates)
    named = unpack_list(scores, "its result", epochs)
    results |= {name: to_float(value, name) for name, value in named.items()}
    return results | state(net, "at the end")


def _epoch_cases(rng: Generator) -> list[Case]:
    def case(count: int, size: int, epochs: int) -> Case:
        inputs = {**_rows(rng, count), "size": size, "epochs": epochs}
        return Case(f"{epochs} epochs of {-(-count // size)} batches", inputs)

    return [case(8, 8, 1), case(12, 4, 1), case(6, 6, 3), case(15, 5, 3)]


register(
    Exercise(
        "train_epochs",
        ("train_epochs",),
        (reference.train_epochs,),
        _run_train_epochs,
        _epoch_cases,
        rtol=1e-6,
        second=another(y=labels),
        floats=(np.float64,),
    )
)


# --- a batch in pieces --------------------------------------------------------------------------


def _run_accumulated(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(_plain, inputs["seed"])
    x, y = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"])
    if inputs["stale"]:
        net(1 - x).square().sum().backward()
    _witness(net).sizes.clear()
    loss = functions[0](net, x, y, inputs["size"])
    return {
        "its result": to_float(loss, "its result"),
        **gradients(net),
        "pictures in the largest piece": float(max(_witness(net).sizes, default=0)),
    }


def _accumulated_cases(rng: Generator) -> list[Case]:
    def case(count: int, size: int, stale: bool = False) -> Case:
        told = f"{count} pictures, {size} at a time" + ", old gradients in the net" * stale
        return Case(told, {**_rows(rng, count), "size": size, "stale": stale})

    return [case(8, 8), case(12, 4), case(11, 4), case(3, 5), case(10, 3, stale=True)]


register(
    Exercise(
        "accumulated_gradients",
        ("accumulated_gradients",),
        (reference.accumulated_gradients,),
        _run_accumulated,
        _accumulated_cases,
        rtol=1e-6,
        second=another(y=labels),
        floats=(np.float64,),
    )
)


# --- two views of a picture ---------------------------------------------------------------------


def _pictures() -> nn.Module:
    return nn.Sequential(
        *(Witness(), nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        nn.Linear(4 * 4 * 4, 3),
    )


def _run_two_views(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net, x = seeded(_pictures, inputs["seed"]), torch.from_numpy(inputs["x"])
    with torch.no_grad():
        for _ in range(20):
            net(0.5 * x + 0.3)
    net.train(inputs["training"])
    _witness(net).graphs.clear()
    logits = functions[0](net, x)
    if isinstance(logits, torch.Tensor) and logits.shape != (len(x), 3):
        raise BadReturn(f"its result should have shape {(len(x), 3)}, got {tuple(logits.shape)}")
    return {
        "its result": to_array(logits, "its result"),
        **graphs_recorded(_witness(net)),
        **modes_changed(net, inputs["training"]),
    }


def _view_cases(rng: Generator) -> list[Case]:
    def case(n: int, training: bool = False) -> Case:
        inputs = {
            "x": 2 * rng.standard_normal((n, 2, 4, 4)),
            "seed": int(rng.integers(1000)),
            "training": training,
        }
        mode = "training" if training else "evaluation"
        return Case(f"{n} pictures of 2 × 4 × 4, a net in {mode} mode", inputs)

    return [case(5), case(2), case(3, training=True), case(1)]


register(
    Exercise(
        "two_view_logits",
        ("two_view_logits",),
        (reference.two_view_logits,),
        _run_two_views,
        _view_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)
