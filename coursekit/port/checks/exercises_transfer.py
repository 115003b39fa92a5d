"""Lesson 6's exercises on nets: heads, what is frozen, features, and rates a stage."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parameter import is_lazy

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn
from coursekit.checks.properties import count
from coursekit.checks.second import another, labels
from coursekit.port.checks import references_transfer as reference
from coursekit.port.checks.probe import (
    Witness,
    graphs_recorded,
    modes_changed,
    seeded,
    state,
    to_array,
)

WIDE = 5  # numbers that a head is given


# --- heads --------------------------------------------------------------------------------------


class _Like(nn.Module):
    """Parts by the names that ResNet, VGG and Inception v3 have, and little in them."""

    def __init__(self, family: str, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(4, WIDE), nn.BatchNorm1d(WIDE), nn.ReLU())
        if family == "VGG":
            hidden = nn.Linear(WIDE, WIDE + 2), nn.ReLU(), nn.Dropout()
            self.classifier = nn.Sequential(*hidden, nn.Linear(WIDE + 2, classes))
            return
        if family.startswith("Inception"):
            self.AuxLogits = _Aux(classes) if family == "Inception" else None
        self.fc = nn.Linear(WIDE, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the last layers say."""
        x = self.features(x)
        if hasattr(self, "classifier"):
            return (self.classifier(x),)
        aux = getattr(self, "AuxLogits", None)
        return (self.fc(x),) if aux is None else (self.fc(x), aux(x))


class _Aux(nn.Module):
    """Inception's second head: a layer of its own before the last."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Linear(WIDE, WIDE + 1)
        self.fc = nn.Linear(WIDE + 1, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.fc(self.conv(x).relu())


HEADS = {
    "ResNet": ("fc",),
    "VGG": ("classifier.3",),
    "Inception": ("fc", "AuxLogits.fc"),
    "Inception without AuxLogits": ("fc",),
}


def _run_replace_head(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    family, classes = inputs["family"], inputs["classes"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(inputs["seed"])
        net = _Like(family, inputs["before"])
        old = {name: value.clone() for name, value in net.state_dict().items()}
        returned = functions[0](net, classes)
        if returned is net and any(map(is_lazy, net.parameters())):
            _scores(net)  # lazy layers learn their size
    if returned is not net:
        came = "None" if returned is None else f"a {type(returned).__name__} that is another"
        raise BadReturn(f"its result should be the net itself, got {came}")
    results: dict[str, Any] = {}
    for name in HEADS[family]:
        try:
            head: Any = net.get_submodule(name)
        except AttributeError:
            raise BadReturn(f"net.{name} is not there any more") from None
        if not isinstance(head, nn.Linear):
            raise BadReturn(f"net.{name} should be a Linear, got a {type(head).__name__}")
        weight, same = head.weight.detach(), min(classes, inputs["before"])
        results[f"the shape of net.{name}.weight"] = np.array(weight.shape)
        results[f"the number of biases of net.{name}"] = float(
            0 if head.bias is None else head.bias.numel()
        )
        frozen = [not p.requires_grad for p in head.parameters()]
        results[f"parameters of net.{name} that are frozen"] = count(*frozen)
        kept = weight.shape[1:] == old[f"{name}.weight"].shape[1:]
        kept = kept and torch.equal(weight[:same], old[f"{name}.weight"][:same])
        results[f"rows of net.{name}.weight that the old head had already"] = kept * float(same)
    heads = tuple(f"{name}." for name in HEADS[family])
    rest = {name: value for name, value in net.named_parameters() if not name.startswith(heads)}
    results["parameters outside of the heads"] = float(len(rest))
    results["those that can learn"] = float(sum(p.requires_grad for p in rest.values()))
    moved = [n for n, p in rest.items() if n not in old or not torch.equal(p, old[n])]
    results["those that changed"] = float(len(moved))
    scores = _scores(net)
    results |= {f"columns of the scores, head {i}": float(s.shape[1]) for i, s in enumerate(scores)}
    return results


def _scores(net: nn.Module) -> tuple[Tensor, ...]:
    try:
        return net.eval()(torch.zeros(2, 4))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise BadReturn(f"the net cannot be used any more: {error}") from error


def _head_cases(rng: Generator) -> list[Case]:
    def case(family: str, classes: int, before: int = 8) -> Case:
        inputs = {"family": family, "classes": classes, "before": before}
        inputs["seed"] = int(rng.integers(1000))
        return Case(f"a net like {family} of {before} classes, for {classes}", inputs)

    return [
        case("ResNet", 3),
        case("VGG", 3),
        case("Inception", 3),
        case("Inception without AuxLogits", 4),
        case("ResNet", 8),
        case("VGG", 11),
    ]


# --- freezing -----------------------------------------------------------------------------------


class _Body(nn.Module):
    """A body with a block in a block, and a head with a batch norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), block)
        self.head = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.head(self.body(x))


def _run_freeze(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net = seeded(_Body, inputs["seed"])
    x, y = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"])
    with torch.no_grad():
        for _ in range(20):
            net(0.5 * x + 0.3)
    net.train(inputs["training"])
    keep = net.get_submodule(inputs["keep"])
    keep.requires_grad_(not inputs["frozen"])
    names = list(net.state_dict())
    functions[0](net, keep)
    if list(net.state_dict()) != names:
        raise BadReturn("the net has lost parameters or buffers, or has got new ones")
    own = set(keep.parameters())
    outside = [p for p in net.parameters() if p not in own]
    results: dict[str, Any] = {
        "parameters in keep that can learn": float(sum(p.requires_grad for p in own)),
        "parameters elsewhere that can learn": float(sum(p.requires_grad for p in outside)),
    }
    with torch.no_grad():
        results["the scores right after it"] = net(x).numpy()
    for i in range(2):
        net.train()  # as every training loop does
        learnt = [p for p in net.parameters() if p.requires_grad]
        logits = net(x)
        results[f"the scores in training step {i}"] = to_array(logits.detach(), "the scores")
        if learnt:
            cross_entropy(logits, y).backward()
            torch.optim.SGD(learnt, lr=0.5).step()
        net.zero_grad()
    results |= state(net, "after two training steps")
    net.eval()
    with torch.no_grad():
        results["the scores after net.eval()"] = net(x).numpy()
    return results


def _freeze_cases(rng: Generator) -> list[Case]:
    def case(keep: str, training: bool = True, frozen: bool = False) -> Case:
        inputs = {
            "x": 0.5 + 2 * rng.standard_normal((8, 4)),
            "y": rng.integers(0, 3, 8),
            "seed": int(rng.integers(1000)),
            "keep": keep,
            "training": training,
            "frozen": frozen,
        }
        mode = "training" if training else "evaluation"
        told = f"keep is net.{keep}{', frozen before' * frozen}, a net in {mode} mode"
        return Case(told, inputs)

    return [
        case("head"),
        case("head", training=False),
        case("body.3"),
        case("head.3", frozen=True),
        case("body.0"),
    ]


# --- features -----------------------------------------------------------------------------------


class _Functional(nn.Module):
    """Between its layers there are steps that are no modules, as in torchvision's nets."""

    def __init__(self) -> None:
        super().__init__()
        self.witness, self.first, self.norm = Witness(), nn.Linear(4, 6), nn.BatchNorm1d(6)
        self.second, self.drop, self.fc = nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = torch.relu(self.norm(self.first(self.witness(x))))
        return self.fc(self.drop(torch.tanh(self.second(x)).flatten(1)))


def _run_features(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    net: Any = seeded(_Functional, inputs["seed"])
    x = torch.from_numpy(inputs["x"])
    net.drop.p = 0.0
    with torch.no_grad():
        for _ in range(20):
            net(torch.linspace(-3, 2, 32, dtype=x.dtype).reshape(8, 4))
    net.drop.p = 0.5
    net.train(inputs["training"])
    net.witness.graphs.clear()
    head, before = net.fc, {k: v.clone() for k, v in net.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        found = functions[0](net, head, list(x.split(inputs["size"])))
    hooks = [h for m in net.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]
    hooks += [h for h in (*head._forward_hooks, *head._forward_pre_hooks) if net.fc is not head]
    after = net.state_dict()
    changed = [k not in after or not torch.equal(after[k], before[k]) for k in before]
    added = [k not in before for k in after]
    return {
        "its result": to_array(found, "its result"),
        **graphs_recorded(net.witness),
        "heads that are no longer in their place": count(net.fc is not head),
        **modes_changed(net, inputs["training"]),
        "calls that leave gradients switched off": count(not torch.is_grad_enabled()),
        "hooks left behind": float(len(hooks)),
        "parameters and running statistics that have changed": count(*changed, *added),
    }


def _run_features_safely(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    """Who switches gradients off for good must not do so to the next case."""
    enabled = torch.is_grad_enabled()
    try:
        return _run_features(functions, inputs)
    finally:
        torch.set_grad_enabled(enabled)


def _feature_cases(rng: Generator) -> list[Case]:
    def case(count: int, size: int, training: bool = False) -> Case:
        inputs = {
            "x": 2 * rng.standard_normal((count, 4)),
            "seed": int(rng.integers(1000)),
            "size": size,
            "training": training,
        }
        mode = "training" if training else "evaluation"
        return Case(f"{count} rows in batches of {size}, a net in {mode} mode", inputs)

    return [case(6, 6), case(8, 4), case(7, 3, training=True), case(1, 2)]


# --- rates ----------------------------------------------------------------------------------------


def _stages(kinds: list[str]) -> list[nn.Module]:
    """Stages with a block in each; a shared one's first layer is that of the stage before it."""
    stages: list[nn.Module] = []
    for kind in kinds:
        with torch.random.fork_rng(devices=[]):
            block = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
            stage = nn.Sequential(nn.Linear(3, 2), block)
        if kind == "shared":
            stage[0] = stages[-1][0]  # type: ignore[index]
        stages.append(nn.ReLU() if kind == "empty" else stage.requires_grad_(kind != "frozen"))
    return stages


def _run_rates(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    stages = _stages(inputs["stages"])
    groups = functions[0](list(stages), inputs["lr"], inputs["decay"])
    known = list(dict.fromkeys(p for stage in stages for p in stage.parameters()))
    place = {id(p): i for i, p in enumerate(known)}
    times, rates, empty = np.zeros(len(known)), np.zeros(len(known)), 0
    for group in groups if isinstance(groups, list | tuple) else [groups]:
        if not isinstance(group, dict) or not {"params", "lr"} <= group.keys():
            raise BadReturn('its result should be a list of dicts with "params" and "lr"')
        params = [group["params"]] if isinstance(group["params"], Tensor) else group["params"]
        found = [place.get(id(p), -1) for p in params]
        if -1 in found:
            raise BadReturn('"params" should hold parameters of the stages, and nothing else')
        empty += not found
        np.add.at(times, found, 1)
        rates[found] = float(group["lr"])
    return {
        "how often each parameter occurs": times,
        "the rate of each parameter": rates,
        "groups without parameters": float(empty),
    }


def _rate_cases(rng: Generator) -> list[Case]:
    def case(*stages: str) -> Case:
        lr, decay = (float(v) for v in rng.uniform(0.2, 0.8, 2))
        inputs = {"stages": ",".join(stages).split(","), "lr": lr, "decay": decay}
        return Case(f"stages that are {', '.join(stages)}", inputs)

    return [
        case("plain", "plain", "plain"),
        case("plain"),
        case("frozen", "plain", "frozen", "plain"),
        case("plain", "empty", "plain", "plain"),
        case("plain", "shared", "plain"),
    ]


def _register(name: str, run: Callable, cases: Callable, rtol: float = 1e-7) -> None:
    functions = (getattr(reference, name),)
    floats = (np.float64,)
    second = another(y=labels)
    register(
        Exercise(name, (name,), functions, run, cases, rtol=rtol, floats=floats, second=second)
    )


_register("replace_head", _run_replace_head, _head_cases)
_register("freeze", _run_freeze, _freeze_cases, rtol=1e-6)
_register("extract_features", _run_features_safely, _feature_cases, rtol=1e-6)
_register("layerwise_rates", _run_rates, _rate_cases)
