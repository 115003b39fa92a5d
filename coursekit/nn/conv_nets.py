"""The course's convolutional nets, by name (lesson 3)."""

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
from numpy.typing import DTypeLike

from coursekit.nn.init import Init
from coursekit.nn.layers import Flatten, Linear, ReLU
from coursekit.nn.module import Module, Sequential
from coursekit.nn.sandwiches import (
    conv_bn_relu,
    conv_bn_relu_pool,
    conv_relu,
    conv_relu_pool,
)


class ThreeLayerConvNet(Sequential):
    """conv - ReLU - 2×2 pool - linear - ReLU - linear.

    Args:
        input_shape: (C, H, W) of a picture.
        num_filters: filters of the convolution, which keeps the picture's size.
        filter_size: side of a filter; odd, for the padding to be the same all around.
        hidden_size: units of the first linear layer.
        num_classes: outputs.
        init: as in :class:`Linear`.
        seed: fixes the initial weights.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_size: int = 100,
        num_classes: int = 10,
        *,
        init: Init = "kaiming_normal",
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if filter_size < 1 or filter_size % 2 == 0:
            raise ValueError(f"filter_size must be odd, got {filter_size}")
        channels, *sides = _picture(input_shape, pools=1)
        rng = np.random.default_rng(seed)
        features = num_filters * (sides[0] // 2) * (sides[1] // 2)
        super().__init__(
            *conv_relu_pool(
                channels,
                num_filters,
                filter_size,
                padding=filter_size // 2,
                init=init,
                rng=rng,
                dtype=dtype,
            ),
            Flatten(),
            Linear(features, hidden_size, init=init, rng=rng, dtype=dtype),
            ReLU(),
            Linear(hidden_size, num_classes, init=init, rng=rng, dtype=dtype),
        )


class DeepConvNet(Sequential):
    """{3×3 conv - [batch norm] - ReLU - [2×2 pool]} as often as wanted, then one linear layer.

    Args:
        num_filters: filters of every convolution, from first to last.
        max_pools: behind which of them, counted from 0, a pool halves the map.
        batchnorm: whether to normalise; the convolutions are made without a bias then.
        pool_first: whether to pool before batch norm and ReLU, as :func:`conv_bn_relu_pool` says.
        init: as in :class:`Linear`: "kaiming", or the standard deviation of the weights.
        input_shape: (C, H, W) of a picture.
        num_classes: outputs.
        seed: fixes the initial weights.
        dtype: float32 or float64.

    Source: Simonyan & Zisserman, "Very deep convolutional networks", 2014.
    """

    def __init__(
        self,
        num_filters: Sequence[int],
        max_pools: Collection[int] = (),
        batchnorm: bool = False,
        *,
        pool_first: bool = False,
        init: Init = "kaiming",
        input_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not num_filters:
            raise ValueError(f"num_filters must name at least one convolution, got {num_filters}")
        pools = set(max_pools)
        if not pools <= set(range(len(num_filters))):
            raise ValueError(
                f"max_pools must lie in 0..{len(num_filters) - 1} for {len(num_filters)} "
                f"convolutions, got {sorted(pools)}"
            )
        if pool_first and not batchnorm:
            raise ValueError(f"pool_first needs batchnorm=True, got batchnorm={batchnorm}")
        channels, *sides = _picture(input_shape, pools=len(pools))
        rng = np.random.default_rng(seed)
        plain, pooled = (
            (conv_bn_relu, partial(conv_bn_relu_pool, pool_first=pool_first))
            if batchnorm
            else (conv_relu, conv_relu_pool)
        )
        layers: list[Module] = []
        for i, filters in enumerate(num_filters):
            block = pooled if i in pools else plain
            layers += block(channels, filters, 3, padding=1, init=init, rng=rng, dtype=dtype)
            channels = filters
        height, width = (side >> len(pools) for side in sides)
        super().__init__(
            *layers,
            Flatten(),
            Linear(channels * height * width, num_classes, init=init, rng=rng, dtype=dtype),
        )


def _picture(input_shape: tuple[int, int, int], *, pools: int) -> tuple[int, int, int]:
    """The shape itself, if so many 2×2 pools leave at least a pixel of it."""
    if len(input_shape) != 3 or min(input_shape) < 1 or min(input_shape[1:]) >> pools < 1:
        raise ValueError(
            f"input_shape must be (C, H, W) with sides of at least {2**pools} for {pools} pools, "
            f"got {input_shape}"
        )
    return input_shape
