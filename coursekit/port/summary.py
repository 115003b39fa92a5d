"""A PyTorch net's bill (lesson 5): what each layer puts out, learns and computes."""

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from coursekit.training.modes import evaluating

if TYPE_CHECKING:
    import pandas as pd


def summary(net: nn.Module, input_shape: tuple[int, ...]) -> "pd.DataFrame":
    """One row for each innermost layer, in the order in which they run, and a total.

    All numbers are for one picture.

    - kind: the layer's class.
    - output: its shape.
    - parameters: how many numbers are learnt, or frozen; a layer that runs twice counts once.
    - MACs: multiply-accumulates of convolutions and linear layers in the forward pass.

    Args:
        net: any module; it runs once, in evaluation mode, and is left as it was.
        input_shape: shape of one input, such as ``(3, 32, 32)``.
    """
    import pandas as pd

    names = {module: name for name, module in net.named_modules()}
    rows: list[dict[str, Any]] = []
    seen: set[nn.Parameter] = set()

    def note(module: nn.Module, _inputs: tuple, out: torch.Tensor) -> None:
        new = {*module.parameters(recurse=False)} - seen
        seen.update(new)
        rows.append(
            {
                "layer": names[module] or type(module).__name__,
                "kind": _kind(module),
                "output": "×".join(map(str, out.shape[1:])),
                "parameters": sum(p.numel() for p in new),
                "MACs": _macs(module, out),
            }
        )

    innermost = [m for m in net.modules() if not any(True for _ in m.children())]
    handles = [m.register_forward_hook(note) for m in innermost]
    like = next(net.parameters(), torch.empty(0))
    try:
        with evaluating(net), torch.no_grad():
            net(torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device))
    finally:
        for handle in handles:
            handle.remove()
    table = pd.DataFrame(rows).set_index("layer")
    table.loc["total"] = {"kind": "", "output": "", **table[["parameters", "MACs"]].sum()}
    return table


def _kind(module: nn.Module) -> str:
    """The name that a reader knows: a layer computed by our kernels is still a ``Conv2d``."""
    return type(module).__name__.removeprefix("Own")


def _macs(module: nn.Module, out: torch.Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        window = prod(module.kernel_size) * module.in_channels // module.groups
        return out[0].numel() * window
    return out[0].numel() * module.in_features if isinstance(module, nn.Linear) else 0
