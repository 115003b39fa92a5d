"""Which patch of which picture excites a unit most (lesson 3, "The filter atlas").

A unit of a convolutional layer sees a rectangle of the picture, its receptive field. The patches
that move it most tell what it looks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit import nn
from coursekit.atlas.chain import chain, check_maps, index_of, outputs
from coursekit.nn.init import check_sizes
from coursekit.nn.module import Module

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Dropout, nn.BatchNorm2d)

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two are just outside
Window = tuple[int, int, int]  # kernel size, stride and padding along one axis


def receptive_box(
    net: Module, layer: int | str, place: tuple[int, int], image_size: tuple[int, int]
) -> Box:
    """The smallest rectangle of pixels that holds all that a unit can see.

    Exact for every chain of convolutions and pools: it walks back from the unit, keeping just the
    places that some window touches, so padding and left-over columns count as they should. A
    layer that mixes all places (group norm, flatten, linear) sees the whole picture.

    Args:
        net: a chain of layers.
        layer: name or place of the unit's layer in ``atlas.chain(net)``.
        place: (row, column) in that layer's map.
        image_size: (height, width) of the pictures.

    Returns:
        (top, left, bottom, right), so that ``image[:, top:bottom, left:right]`` is the patch;
        four zeros for a unit that sees only padding.

    Raises:
        ValueError: no such layer, or ``place`` lies outside its map.
    """
    layers = list(chain(net).values())[: index_of(net, layer) + 1]
    windows = [[_window(each, axis) for each in layers] for axis in (0, 1)]
    sizes = [_sizes(*each) for each in zip(windows, image_size, strict=True)]
    height, width = (each[-1] for each in sizes)
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise ValueError(f"place must lie in a map of {height}×{width}, got {place}")
    rows, columns = (_seen(*each) for each in zip(windows, sizes, place, strict=True))
    if not len(rows) or not len(columns):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _window(layer: Module, axis: int) -> Window | None:
    """What a layer's unit reads along one axis; None for everything there is."""
    if isinstance(layer, WINDOWS):
        return layer.kernel_size[axis], layer.stride[axis], layer.padding[axis]
    if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None:
        return None  # it goes by the statistics of the batch, in evaluation too
    return (1, 1, 0) if isinstance(layer, POINTWISE) else None


def _sizes(windows: Sequence[Window | None], size: int) -> list[int]:
    """Places along one axis of the picture, and of each layer's map."""
    sizes = [size]
    for kernel, stride, padding in (window or (1, 1, 0) for window in windows):
        sizes.append((sizes[-1] + 2 * padding - kernel) // stride + 1)
    return sizes


def _seen(windows: Sequence[Window | None], sizes: Sequence[int], place: int) -> NDArray[np.int64]:
    """Pixels along one axis that reach the unit at ``place`` behind all ``windows``, in order."""
    seen = np.array([place])
    for window, size in zip(reversed(windows), reversed(sizes[:-1]), strict=True):
        if window is None:
            seen = np.arange(size)
            continue
        kernel, stride, padding = window
        seen = np.unique(seen[:, None] * stride - padding + np.arange(kernel))
        seen = seen[(seen >= 0) & (seen < size)]  # the rest is padding, which shows nothing
    return seen


@dataclass(frozen=True)
class TopPatches:
    """What :func:`top_patches` found, a row for each unit, the most exciting picture first.

    Attributes:
        units: channels of the layer, (U,).
        pictures: indices into the pictures, (U, k).
        values: the unit's largest output there, (U, k).
        boxes: top, left, bottom and right of the receptive field there, (U, k, 4).
    """

    units: NDArray[np.int64]
    pictures: NDArray[np.int64]
    values: NDArray
    boxes: NDArray[np.int64]


def top_patches(
    net: Module,
    x: NDArray,
    layer: int | str,
    units: Sequence[int] | NDArray | None = None,
    *,
    k: int = 5,
    batch_size: int = 256,
) -> TopPatches:
    """The k pictures that excite each unit most, and where in them it looks.

    Each picture counts once, at its most exciting place, else one picture would fill the row.

    Args:
        net: a chain of layers.
        x: (N, C, H, W) as the net takes them.
        layer: name or place of a layer that puts out maps.
        units: channels of that layer; None takes all.
        k: pictures a unit; fewer if there are fewer.
        batch_size: pictures at a time; only each map's maximum is kept.

    Raises:
        ValueError: no such layer or unit, no picture, or the layer puts out no maps.
    """
    check_sizes(k=k)
    best, where, width = _maxima(net, x, layer, batch_size)
    chosen = np.arange(best.shape[1]) if units is None else np.asarray(units)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise ValueError(
            f"units: got {chosen.dtype} of shape {chosen.shape}; needed whole numbers (U,)"
        )
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < best.shape[1]:
        raise ValueError(f"units must lie in 0 to {best.shape[1] - 1}, got {chosen.tolist()}")
    pictures = np.argsort(-best[:, chosen], axis=0, kind="stable")[:k].T
    rows, columns = np.divmod(where[pictures, chosen[:, None]], width)
    boxes = [
        [receptive_box(net, layer, place, x.shape[2:]) for place in zip(*unit, strict=True)]
        for unit in zip(rows, columns, strict=True)
    ]
    return TopPatches(chosen, pictures, best[pictures, chosen[:, None]], np.array(boxes))


def _maxima(
    net: Module, x: NDArray, layer: int | str, batch_size: int
) -> tuple[NDArray, NDArray[np.int64], int]:
    """Each map's largest value (N, C), its flat place (N, C), and the width of the maps."""
    values, places, width = [], [], 1
    for out in outputs(net, x, layer, batch_size):
        check_maps(layer, out)
        width = out.shape[3]
        flat = out.reshape(*out.shape[:2], -1)
        places.append(flat.argmax(axis=2))
        values.append(flat.max(axis=2))
    return np.concatenate(values), np.concatenate(places), width
