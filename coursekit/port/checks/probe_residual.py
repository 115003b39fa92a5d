"""How lesson 5's checks run nets and functions of which they know neither names nor order."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from coursekit.checks.outcomes import BadReturn
from coursekit.checks.prints import kept
from coursekit.port.checks.probe import to_array


def fill(net: nn.Module, order: Iterable[nn.Module] | None = None) -> None:
    """Put numbers into all parameters that depend on role and shape, not on names.

    A role is to be the weight of a batch norm, its bias, or anything else. A batch norm may be a
    layer, or parameters of ones and of zeros beside the buffers of its statistics.

    Args:
        net: any; it gets float64.
        order: in which its layers are used, if equal roles of equal shape shall differ by it.
    """
    seen: Counter = Counter()
    for module in dict.fromkeys([*(order or ()), *net.modules()]):
        for name, p in module.named_parameters(recurse=False):
            norm = _of_a_norm(module, name, p)
            role = norm, tuple(p.shape)
            key = [*map(ord, norm), *p.shape, seen[role] if order is not None else 0]
            seen[role] += 1
            draw = np.random.default_rng(list(map(int, key))).standard_normal(p.shape)
            if p.ndim > 1:
                draw *= np.sqrt(2 / max(1, p[0].numel()))
            else:
                draw = (norm == "weight") + 0.3 * draw
            p.data = torch.from_numpy(draw)


def _of_a_norm(module: nn.Module, name: str, p: nn.Parameter) -> str:
    """Whether a parameter is the "weight" or the "bias" of a batch norm, else ""."""
    if isinstance(module, _BatchNorm):
        return name
    statistics = any(buffer.shape == p.shape for buffer in module.buffers(recurse=False))
    if p.ndim != 1 or not statistics or (p != p[0]).any() or p[0] not in (0, 1):
        return ""
    return "weight" if p[0] == 1 else "bias"


def run_net(make: Callable[[], Any], x: NDArray, *, in_order: bool) -> dict[str, Any]:
    """What a net that ``make`` makes, filled, does with pictures x (N, C, H, W) in both modes."""
    pictures = torch.from_numpy(x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make()
        if not isinstance(net, nn.Module):
            raise BadReturn(f"its result should be a module, got a {type(net).__name__}")
        net.double()
        with torch.no_grad():
            order = warm_up(net, pictures)
            fill(net, order if in_order else None)
            training = to_array(call(net.train(), pictures), "its output in training mode")
            evaluation = to_array(call(net.eval(), pictures), "its output in evaluation mode")
        leaf = pictures.clone().requires_grad_()
        # Not in training mode: batch norm, then a mean over one picture, is the same for any x.
        out = call(net.eval(), leaf)
        backward(out, "the net's output")
    grads = [p.grad for p in net.parameters()]
    return {
        "the number of parameters": float(sum(p.numel() for p in net.parameters())),
        "the output in training mode": training,
        "the output in evaluation mode, after a batch of training": evaluation,
        "the number of parameters that a gradient reaches": float(
            sum(g.numel() for g in grads if g is not None)
        ),
        "the gradient of x": gradient(leaf, "x"),
        "the sum of all parameters' squared gradients": float(
            sum(g.square().sum() for g in grads if g is not None)
        ),
    }


def warm_up(net: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    """A first pass in evaluation mode, in which lazy layers learn their size.

    Returns:
        the layers in the order in which they are used, which is the same however they were made.
    """
    order: list[nn.Module] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: order.append(layer))
        for layer in net.modules()
    ]
    try:
        call(net.eval(), x, first=True)
    finally:
        for hook in hooks:
            hook.remove()
    return order


def call(net: nn.Module, x: torch.Tensor, *, first: bool = False) -> Any:
    """The net's output; what a learner's ``forward`` prints is seen in its first call only."""
    try:
        with nullcontext() if first else kept():
            return net(x)
    except Exception as error:
        raise BadReturn(
            f"the net cannot take x of shape {tuple(x.shape)}: {told(error)}"
        ) from error


def told(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def backward(out: Any, name: str) -> None:
    """A backward pass from a weighted sum of ``out``, or ``BadReturn`` that says why not."""
    if not isinstance(out, torch.Tensor) or not out.requires_grad:
        raise BadReturn(f"{name} does not hang on a graph: no gradient would reach anything")
    weights = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
    try:
        (out * weights).sum().backward()
    except Exception as error:
        raise BadReturn(f"the backward pass raises {told(error)}") from error


def gradient(leaf: torch.Tensor, name: str) -> NDArray:
    """The gradient that arrived at a leaf, ``BadReturn`` if none did."""
    if leaf.grad is None:
        raise BadReturn(f"no gradient reaches {name}")
    return leaf.grad.numpy()


def with_gradients(
    function: Callable[..., Any], arrays: dict[str, NDArray], dtype: torch.dtype | None = None
) -> dict[str, Any]:
    """What a function makes of tensors, and the gradients that reach each of them."""
    out = function(*map(torch.from_numpy, arrays.values()))
    results = {"its result": to_array(out, "its result", dtype)}
    leaves = {name: torch.tensor(a).requires_grad_() for name, a in arrays.items()}
    backward(function(*leaves.values()), "its result")
    return results | {f"d{name}": gradient(leaf, name) for name, leaf in leaves.items()}
