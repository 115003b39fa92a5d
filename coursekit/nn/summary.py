"""A net's bill: what each layer puts out, learns and computes."""

from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coursekit.nn.module import Module

if TYPE_CHECKING:
    import pandas as pd


def summary(net: Module, input_shape: tuple[int, ...]) -> "pd.DataFrame":
    """One row a layer and a total: output shape, parameters, multiply-accumulates a picture.

    Args:
        net: any module.
        input_shape: shape of one input, such as ``(3, 32, 32)``.
    """
    import pandas as pd

    rows: list[dict] = []

    def record(name: str, layer: Module, _x: NDArray, out: NDArray) -> None:
        # A weight is used once for every place of the output map; a linear layer has one place.
        weight = getattr(layer, "weight", None)
        macs = weight.data.size * prod(out.shape[2:]) if weight is not None else 0
        shape = "×".join(map(str, out.shape[1:]))
        rows.append(
            {"layer": name, "output": shape, "parameters": layer.num_parameters(), "MACs": macs}
        )

    handles = [
        layer.register_forward_hook(partial(record, name)) for name, layer in net.named_layers()
    ]
    mode = net.training
    parameters = net.parameters()
    dtype = parameters[0].data.dtype if parameters else np.float32
    try:
        net.eval()
        net(np.zeros((1, *input_shape), dtype))
    finally:
        net.train(mode)
        for handle in handles:
            handle.remove()
    table = pd.DataFrame(rows).set_index("layer")
    table.loc["total"] = {"output": "", **table[["parameters", "MACs"]].sum()}
    return table
