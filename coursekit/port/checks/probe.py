"""Between NumPy and the learner's torch: what came back, and nets that notice how they are used."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from coursekit.checks.outcomes import BadReturn


def to_array(value: Any, name: str, dtype: torch.dtype | None = None) -> NDArray:
    """A returned tensor as an array; ``BadReturn`` if it is none, drags its graph along, or is
    not of ``dtype``."""
    if not isinstance(value, torch.Tensor):
        raise BadReturn(f"{name} should be a tensor, got {_told(value)}")
    if value.requires_grad:
        raise BadReturn(f"{name} still hangs on the graph that made it (its requires_grad is True)")
    if dtype is not None and value.dtype != dtype:
        raise BadReturn(f"{name} should be {_short(dtype)}, got {_short(value.dtype)}")
    return value.numpy()


def to_float(value: Any, name: str) -> float:
    """A returned Python number, or ``BadReturn``: a tensor may keep its whole graph alive."""
    if isinstance(value, torch.Tensor):
        raise BadReturn(f"{name} should be a Python number, got a tensor: .item() makes one of it")
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise BadReturn(f"{name} should be a Python number, got {_told(value)}")
    return float(value)


def _told(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``make()`` in float64, with weights that are fixed by ``seed`` and none of which is 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make().double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.01)
    return net


class Witness(nn.Module):
    """Hands its input on, and notes in which mode and with or without a graph that happened."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []
        self.graphs: list[bool] = []
        self.sizes: list[int] = []

    def __deepcopy__(self, memo: dict) -> "Witness":
        """Make a copy that notes in the same lists: a learner may ask a copy of the net."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        memo |= {id(notes): notes for notes in (self.modes, self.graphs, self.sizes)}
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` itself."""
        self.modes.append(self.training)
        self.graphs.append(torch.is_grad_enabled())
        self.sizes.append(len(x))
        return x


def graphs_recorded(witness: Witness) -> dict[str, float]:
    """How many passes through a net recorded a graph; ``BadReturn`` if there was none."""
    if not witness.graphs:
        raise BadReturn("nothing is ever passed through the net that is given")
    return {"passes through the net that record a graph": float(sum(witness.graphs))}


def modes_changed(net: nn.Module, training: bool) -> dict[str, float]:
    """How many of a net's modules are not in the mode they all were in."""
    changed = sum(module.training != training for module in net.modules())
    mode = "training" if training else "evaluation"
    return {f"modules of the net that are no longer in {mode} mode": float(changed)}


def gradients(net: nn.Module) -> dict[str, Any]:
    """The gradient of every parameter by name, ``BadReturn`` where there is none."""
    found = {}
    for name, p in net.named_parameters():
        if p.grad is None:
            raise BadReturn(f"{name} has no gradient (its .grad is None)")
        found[f"the gradient of {name}"] = p.grad.numpy().copy()
    return found


def state(net: nn.Module, when: str) -> dict[str, Any]:
    """Copies of all parameters and buffers."""
    return {
        f"{name} {when}": value.detach().numpy().copy()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
