"""Our net and PyTorch's, trained side by side: the proof that the port changed nothing (lesson 4).

Both start from the same weights and get the same batches. What differs in the end is rounding, and
in float64 rounding stays far below anything that a wrong formula does.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from coursekit import nn
from coursekit.data.dataset import Augment, Dataset
from coursekit.optim import Optimizer
from coursekit.port.convert import to_torch, to_torch_loss, to_torch_optimizer

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("loss", "activations", "gradients", "parameters")


@dataclass(repr=False)
class TwinRun:
    """What :func:`twin_run` saw.

    Attributes:
        net: ours, trained; a copy of the one that came.
        module: PyTorch's, trained.
        losses: the loss at every step, under "coursekit" and "torch".
        differences: for every step a row of the largest absolute differences, of the loss, of any
            layer's output, of any parameter's gradient, and of any parameter or buffer behind the
            update.
    """

    net: nn.Module
    module: torch.nn.Module
    losses: dict[str, list[float]]
    differences: list[dict[str, float]]

    def frame(self) -> "pd.DataFrame":
        """The differences as a table by step."""
        import pandas as pd

        return pd.DataFrame(self.differences).rename_axis("step")

    def worst(self) -> dict[str, float]:
        """The largest difference of each kind over all steps; nan if one ever was."""
        return {name: _largest(row[name] for row in self.differences) for name in COLUMNS}

    def __repr__(self) -> str:
        worst = ", ".join(f"{name} {value:.1e}" for name, value in self.worst().items())
        return f"TwinRun({len(self.differences)} steps; largest differences: {worst})"


def twin_run(
    net: nn.Module,
    data: Dataset,
    steps: int,
    *,
    optimizer: Callable[[list[nn.Parameter]], Optimizer],
    criterion: nn.CrossEntropyLoss | nn.MultiMarginLoss,
    batch_size: int,
    seed: int = 0,
    augment: Augment | None = None,
) -> TwinRun:
    """Train a copy of ``net`` and its twin in PyTorch, on the CPU, and compare them at every step.

    Args:
        net: where both start; it stays as it is. Its dtype is that of the run.
        data: its train split is drawn as the ``Trainer`` does it, again and again.
        steps: updates.
        optimizer: makes ours from a net's parameters, for example
            ``lambda params: optim.SGD(params, lr=0.1, momentum=0.9)``; PyTorch's follows from it.
        criterion: the loss.
        batch_size: pictures an update.
        seed: fixes order and augmentation.
        augment: ``(uint8 images, rng) -> uint8 images``; both nets get the same result.

    Raises:
        TypeError: a layer, the loss or the optimiser has no counterpart in PyTorch.
        ValueError: a dropout layer would drop anything, since the two libraries draw different
            masks; or an argument does not fit.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not callable(optimizer):
        raise TypeError(
            "optimizer must be a function of net.parameters(), as lambda params: "
            f"optim.SGD(params, lr=0.1), got {type(optimizer).__name__}"
        )
    if not len(data.train):
        raise ValueError("data must have train pictures, got none")
    module, net = to_torch(net).train(), copy.deepcopy(net).train()
    _refuse_dropout(net)
    ours = optimizer(net.parameters())
    theirs = to_torch_optimizer(ours, module)
    torch_criterion = to_torch_loss(criterion)
    batches = _batches(data, batch_size, seed, augment, ours.params[0].data.dtype)
    run = TwinRun(net, module, {"coursekit": [], "torch": []}, [])
    with _recorded(net, module) as (outputs, torch_outputs):
        for x, y in islice(batches, steps):
            loss = _step(net, ours, criterion, x, y)
            torch_loss = _torch_step(module, theirs, torch_criterion, x, y)
            run.losses["coursekit"].append(loss)
            run.losses["torch"].append(torch_loss)
            run.differences.append(
                {
                    "loss": abs(loss - torch_loss),
                    "activations": _difference(outputs, torch_outputs),
                    "gradients": _difference(
                        {name: p.grad for name, p in net.named_parameters()},
                        {name: p.grad for name, p in module.named_parameters()},
                    ),
                    "parameters": _difference(net.state_dict(), module.state_dict()),
                }
            )
    return run


def _step(
    net: nn.Module, optimizer: Optimizer, criterion: nn.losses.Loss, x: NDArray, y: NDArray
) -> float:
    """One update of ours; returns the loss."""
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    net.backward(criterion.backward(), need_dx=False)
    optimizer.step()
    return loss


def _torch_step(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: torch.nn.Module,
    x: NDArray,
    y: NDArray,
) -> float:
    """The same update of PyTorch's."""
    loss = criterion(module(torch.from_numpy(x)), torch.from_numpy(y))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _batches(
    data: Dataset, batch_size: int, seed: int, augment: Augment | None, dtype: np.dtype
) -> Iterator[tuple[NDArray, NDArray]]:
    """Epoch after epoch, without end, in the order in which a ``Trainer`` of this seed goes."""
    for epoch in count():
        rng = np.random.default_rng([seed, epoch])
        yield from data.batches(data.train, batch_size, rng=rng, augment=augment, dtype=dtype)


@contextmanager
def _recorded(
    net: nn.Module, module: torch.nn.Module
) -> Iterator[tuple[dict[str, NDArray], dict[str, torch.Tensor]]]:
    """Two dicts that hold, behind a forward pass, what each innermost layer gave, by its place."""
    outputs: dict[str, NDArray] = {}
    torch_outputs: dict[str, torch.Tensor] = {}
    handles: list[Any] = []
    for name, layer in net.named_layers():
        place = name.rpartition(".")[0]  # "1.0.Conv2d" stands at "1.0" on both sides
        twin = module.get_submodule(place)
        for m, kept in ((layer, outputs), (twin, torch_outputs)):
            handles.append(m.register_forward_hook(partial(_keep, kept, place)))
    try:
        yield outputs, torch_outputs
    finally:
        for handle in handles:
            handle.remove()


def _keep(kept: dict[str, Any], place: str, _module: Any, _x: Any, out: Any) -> None:
    kept[place] = out


def _difference(
    ours: Mapping[str, NDArray | None], theirs: Mapping[str, torch.Tensor | None]
) -> float:
    """The largest absolute difference of arrays of the same name; infinite if only one is there."""
    return _largest(_distance(ours[name], theirs[name]) for name in ours)


def _distance(a: NDArray | None, b: torch.Tensor | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else inf
    with np.errstate(invalid="ignore"):  # inf - inf: nan is the answer
        return float(np.max(np.abs(a - b.detach().numpy()), initial=0.0))


def _largest(values: Iterable[float]) -> float:
    """The maximum, nan if one value is: Python's ``max`` may overlook it."""
    return float(np.max(list(values), initial=0.0))


def _refuse_dropout(net: nn.Module) -> None:
    """Dropout with p = 0 drops nothing and may stay."""
    for name, layer in net.named_layers():
        if isinstance(layer, nn.Dropout) and layer.p > 0:
            raise ValueError(
                f"net must not drop anything, got {name} with p={layer.p}: the two libraries draw "
                "different masks; set p = 0 for the comparison"
            )
