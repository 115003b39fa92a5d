"""Layers that go together, in the order in which they go: functions that return a Sequential.

``Sequential(*conv_relu(3, 32, 3), *conv_relu_pool(32, 32, 3))`` lays several flat into one net.
"""

from collections.abc import Callable
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import DTypeLike

from coursekit.nn.convolution import Conv2d, Pair
from coursekit.nn.dropout import Dropout
from coursekit.nn.init import Init
from coursekit.nn.layers import Linear, ReLU
from coursekit.nn.module import Module, Sequential
from coursekit.nn.normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from coursekit.nn.pooling import MaxPool2d

NORMS: dict[str, Callable[..., Module]] = {"batch": BatchNorm1d, "layer": LayerNorm}


def linear_norm_relu_dropout(
    in_features: int,
    out_features: int,
    *,
    norm: str | None = "batch",
    activation: Callable[[], Module] = ReLU,
    dropout: float = 0.0,
    init: Init = "default",
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """A hidden layer of a fully connected net.

    Args:
        in_features: columns of the input (N, in_features).
        out_features: columns of the output.
        norm: "batch", "layer" or None; batch norm takes the bias of the linear layer before it
            away, so that one is made without.
        activation: makes the nonlinearity.
        dropout: chance to drop a unit; 0 leaves the layer out.
        init: as in :class:`Linear`.
        rng: source of the initial weights; a fresh unseeded one if None.
        dtype: float32 or float64.
    """
    if norm is not None and norm not in NORMS:
        raise ValueError(f"norm must be None or one of {sorted(NORMS)}, got {norm!r}")
    bias = norm != "batch"
    layers: list[Module] = [
        Linear(in_features, out_features, bias, init=init, rng=rng, dtype=dtype)
    ]
    if norm is not None:
        layers.append(NORMS[norm](out_features, dtype=dtype))
    layers.append(activation())
    if dropout:
        layers.append(Dropout(dropout))
    return Sequential(*layers)


class ConvOptions(TypedDict, total=False):
    """What every sandwich hands on to its :class:`Conv2d`."""

    stride: Pair
    padding: Pair
    init: Init
    rng: np.random.Generator | None
    dtype: DTypeLike


def conv_relu(
    in_channels: int, out_channels: int, kernel_size: Pair, **conv: Unpack[ConvOptions]
) -> Sequential:
    """Convolution and ReLU; all arguments are those of :class:`Conv2d`."""
    return Sequential(Conv2d(in_channels, out_channels, kernel_size, **conv), ReLU())


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: Pair, **conv: Unpack[ConvOptions]
) -> Sequential:
    """Convolution without a bias, which batch norm would take away, batch norm and ReLU."""
    return Sequential(
        Conv2d(in_channels, out_channels, kernel_size, bias=False, **conv),
        BatchNorm2d(out_channels, dtype=conv.get("dtype", np.float32)),
        ReLU(),
    )


def conv_relu_pool(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    *,
    pool_size: Pair = 2,
    **conv: Unpack[ConvOptions],
) -> Sequential:
    """:func:`conv_relu`, then the maximum of every window of ``pool_size``, side by side."""
    return Sequential(
        *conv_relu(in_channels, out_channels, kernel_size, **conv), MaxPool2d(pool_size)
    )


def conv_bn_relu_pool(
    in_channels: int,
    out_channels: int,
    kernel_size: Pair,
    *,
    pool_size: Pair = 2,
    pool_first: bool = False,
    **conv: Unpack[ConvOptions],
) -> Sequential:
    """:func:`conv_bn_relu`, then the maximum of every window of ``pool_size``, side by side.

    With ``pool_first`` the pool stands right behind the convolution: the maximum and ReLU may
    change places, and batch norm has only the values to normalise that go on.
    """
    layers = list(conv_bn_relu(in_channels, out_channels, kernel_size, **conv))
    layers.insert(1 if pool_first else len(layers), MaxPool2d(pool_size))
    return Sequential(*layers)
