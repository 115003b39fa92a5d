"""A net as a chain: which layers a picture passes, and how to look at them without a trace."""

from collections.abc import Iterable, Iterator
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float
from coursekit.nn.init import check_sizes
from coursekit.nn.module import Module, Sequential


def chain(net: Module, prefix: str = "") -> dict[str, Module]:
    """The layers a picture passes from first to last, by the names of ``net.named_layers()``.

    A Sequential inside another is opened; any other module counts as one layer.
    """
    if not isinstance(net, Sequential):
        return {f"{prefix}{type(net).__name__}": net}
    layers: dict[str, Module] = {}
    for name, child in net.named_children():
        layers |= chain(child, f"{prefix}{name}.")
    return layers


def index_of(net: Module, layer: int | str) -> int:
    """Where in the chain a layer sits, from 0.

    Args:
        net: any module.
        layer: a name, such as "1.ReLU", or a place, counted from the end if negative.

    Raises:
        ValueError: the net has no such layer; the message lists those it has.
    """
    names = list(chain(net))
    if isinstance(layer, str) and layer in names:
        return names.index(layer)
    if isinstance(layer, int | np.integer) and -len(names) <= layer < len(names):
        return int(layer) % len(names)
    raise ValueError(
        f"layer must be one of {names} or a place in that list, got {layer!r} "
        "(atlas.chain(net) shows the layers)"
    )


def copy_in_eval(net: Module) -> Module:
    """A copy in evaluation mode: whatever is done with it, the net stays as it was.

    Parameters, gradients, buffers, modes, and the caches of a backward pass still to come are out
    of reach, also when something fails halfway. Beside a batch of maps the copy is small.
    """
    return deepcopy(net).eval()


def outputs(net: Module, x: NDArray, layer: int | str, batch_size: int) -> Iterator[NDArray]:
    """What ``layer`` puts out, batch after batch; the layers behind it are not run.

    Args:
        net: any module.
        x: (N, ...) as the net takes them.
        layer: as in :func:`index_of`.
        batch_size: pictures at a time.

    Raises:
        ValueError: no such layer, no picture, one that is not finite, or a batch size below 1.
    """
    check_batches(x, batch_size)
    layers = list(chain(copy_in_eval(net)).values())[: index_of(net, layer) + 1]
    for start in range(0, len(x), batch_size):
        yield through(layers, x[start : start + batch_size])


def through(layers: Iterable[Module], x: NDArray) -> NDArray:
    """What comes out behind ``layers``, one after the other."""
    for layer in layers:
        x = layer(x)
    return x


def check_batches(x: NDArray, batch_size: int) -> None:
    """Raise ``ValueError`` unless there are finite pictures to draw batches from."""
    check_float("x", x)
    if not x.ndim or not len(x):
        raise ValueError(f"x must hold at least one picture, got shape {x.shape}")
    wrong = x.size - np.count_nonzero(np.isfinite(x))
    if wrong:
        raise ValueError(f"x: got {wrong} values that are nan or infinite; needed finite numbers")
    check_sizes(batch_size=batch_size)


def check_maps(layer: int | str, out: NDArray) -> None:
    """Raise ``ValueError`` unless ``out`` are maps: one finite number a picture, channel, place."""
    if out.ndim != 4:
        raise ValueError(
            f"layer must put out maps (N, C, H, W), got {layer!r} with outputs of shape "
            f"{out.shape}; name a layer before the pictures are flattened"
        )
    if not np.isfinite(out).all():
        raise ValueError(
            f"layer: got {layer!r}, whose outputs are nan or infinite for some picture; needed "
            "finite ones"
        )
