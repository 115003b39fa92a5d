"""What one unit of a map sees of the picture (lesson 3)."""

from typing import NamedTuple

from numpy.typing import NDArray

from coursekit.nn.layers import Linear
from coursekit.nn.module import Module
from coursekit.nn.pooling import GlobalAvgPool2d

Sides = tuple[int, int]


class Field(NamedTuple):
    """How the units of one map see the picture; heights first, all in pixels of the picture.

    Attributes:
        size: sides of the patch that one unit sees.
        jump: from its patch to that of the next unit.
        units: sides of the map.
    """

    size: Sides
    jump: Sides
    units: Sides


def start(height: int, width: int) -> Field:
    """The picture itself: every pixel sees itself."""
    return Field((1, 1), (1, 1), (height, width))


def behind(field: Field, layer: Module, out: NDArray) -> Field:
    """The field behind a layer whose output is ``out``.

    A window of k units sees k - 1 jumps more than one unit does, and windows that lie ``stride``
    units apart jump that much further. What has no window leaves all as it is.
    """
    if isinstance(layer, Linear | GlobalAvgPool2d):
        window, stride, units = field.units, (1, 1), (1, 1)
    elif hasattr(layer, "kernel_size") and hasattr(layer, "stride"):
        window, stride, units = layer.kernel_size, layer.stride, out.shape[2:]
    else:
        return field
    (height, width), (down, across) = field.size, field.jump
    return Field(
        (height + (window[0] - 1) * down, width + (window[1] - 1) * across),
        (down * stride[0], across * stride[1]),
        (units[0], units[1]),
    )
