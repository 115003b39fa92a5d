"""What the layers say about pictures (lesson 3, "The filter atlas")."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coursekit.atlas.chain import chain, check_batches, copy_in_eval, index_of, outputs
from coursekit.nn.module import Module


def layer_outputs(net: Module, x: NDArray, layer: int | str, *, batch_size: int = 256) -> NDArray:
    """What one layer puts out for many pictures: logits, or an embedding before the last layer.

    Args:
        net: any module.
        x: (N, C, H, W) as the net takes them.
        layer: its name, such as "1.ReLU", or its place in ``atlas.chain(net)``.
        batch_size: pictures at a time.

    Returns:
        (N, ...).

    Raises:
        ValueError: no such layer, or no picture.
    """
    return np.concatenate(list(outputs(net, x, layer, batch_size)))


def feature_maps(
    net: Module, x: NDArray, layers: Sequence[int | str] | None = None
) -> dict[str, NDArray]:
    """What several layers put out for a few pictures, in one pass through the depth.

    Args:
        net: any module.
        x: (N, C, H, W) as the net takes them; all outputs are kept, so let N be small.
        layers: names or places; None takes every layer.

    Returns:
        (N, ...) by the layer's name, from first to last.

    Raises:
        ValueError: no such layer, or no picture.
    """
    check_batches(x, 1)
    wanted = range(len(chain(net))) if layers is None else [index_of(net, a) for a in layers]
    maps: dict[str, NDArray] = {}
    for i, (name, layer) in enumerate(chain(copy_in_eval(net)).items()):
        x = layer(x)
        if i in wanted:
            maps[name] = x
    return maps
