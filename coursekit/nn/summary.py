"""A net's bill: what each layer puts out, learns, computes, keeps and sees."""

import copy
from collections.abc import Iterator
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.nn import receptive_field
from coursekit.nn.module import Module, owner_of
from coursekit.nn.normalization import LayerNorm

if TYPE_CHECKING:
    import pandas as pd

_TOTALS = ["parameters", "MACs", "activation bytes"]


def summary(net: Module, input_shape: tuple[int, ...]) -> "pd.DataFrame":
    """One row for each call of a layer, and a total; all numbers are for one picture.

    - output: its shape.
    - parameters: how many numbers are learnt, or frozen; what is shared counts where it is first.
    - MACs: multiply-accumulates of the forward pass.
    - activation bytes: memory of the output; 0 if it is the input's, seen in another shape.
    - cache bytes: what the layer keeps in training for its backward pass. A ReLU may keep as its
      output what the convolution behind it keeps as its input: the total counts that once.
    - receptive field: height×width, in pixels of the input, of what one unit sees. It goes on
      growing where windows stick out of the picture, and the statistics of normalising layers
      do not count. Empty where the input is no picture, or where what a module of your own does
      between its layers hides the way.

    Args:
        net: any module.
        input_shape: shape of one input, such as ``(3, 32, 32)``.

    Raises:
        ValueError: ``input_shape`` is no shape, or does not fit the net.
    """
    import pandas as pd

    shape = input_shape if isinstance(input_shape, tuple | list) else ()
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise ValueError(
            f"input_shape: got {input_shape!r}; needed the shape of one input, as (3, 32, 32)"
        )
    # In training, where batch norm wants two pictures. What two more add is the price of two:
    # some things are kept once a batch.
    rows, kept = _trace(net, (2, *input_shape))
    _, kept_of_four = _trace(net, (4, *input_shape))
    *price, total = ((four - two) // 2 for two, four in zip(kept, kept_of_four, strict=True))
    for row, each in zip(rows, price, strict=True):
        row["cache bytes"] = each
    table = pd.DataFrame(rows).set_index("layer")
    table.loc["total"] = {
        "output": "",
        **table[_TOTALS].sum(),
        "cache bytes": total,
        "receptive field": "",
    }
    return table


def _trace(net: Module, shape: tuple[int, ...]) -> tuple[list[dict], list[int]]:
    """A row for every layer a batch passes; and the bytes that each one keeps, and all together."""
    net = copy.deepcopy(net).train()
    layers = dict(net.named_layers())
    parameters = net.parameters()
    x = np.zeros(shape, parameters[0].data.dtype if parameters else np.float32)
    fields = {id(x): receptive_field.start(*shape[2:])} if len(shape) == 4 else {}
    rows: list[dict] = []
    caches: list[Any] = []
    counted: set[int] = set()  # parameters
    seen = [x]  # an id is an array's own only while the array lives

    def record(name: str, layer: Module, x: NDArray, out: NDArray) -> None:
        field = fields.get(id(x))
        if field is not None:
            field = fields[id(out)] = receptive_field.behind(field, layer, out)
        seen.append(out)
        caches.append(layer._cache)
        new = [p for p in layer.parameters() if id(p) not in counted]
        counted.update(map(id, new))
        rows.append(
            {
                "layer": name,
                "output": "×".join(map(str, out.shape[1:])),
                "parameters": sum(p.data.size for p in new),
                "MACs": _macs(layer, out),
                "activation bytes": 0 if np.may_share_memory(x, out) else out.nbytes // len(out),
                "cache bytes": 0,  # known when all layers are through
                "receptive field": "×".join(map(str, field.size)) if field else "",
            }
        )

    for name, layer in layers.items():
        layer.register_forward_hook(partial(record, name))
    net(x)
    return rows, [*map(_kept, caches), _kept(caches)]


def _macs(layer: Module, out: NDArray) -> int:
    """A weight is used once for every place of the output map; a linear layer has one place."""
    weight = getattr(layer, "weight", None)
    if weight is None:
        return 0
    places = 1 if isinstance(layer, LayerNorm) else prod(out.shape[2:])
    return weight.data.size * places


def _kept(cache: Any) -> int:
    """Bytes of the memory behind all arrays in a cache, each piece counted once."""
    owners = [owner_of(array) for array in _arrays(cache)]
    return sum({id(owner): owner.nbytes for owner in owners}.values())


def _arrays(cache: Any) -> Iterator[NDArray]:
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, tuple | list):
        for part in cache:
            yield from _arrays(part)
