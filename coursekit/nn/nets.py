"""The course's nets, by name."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from coursekit.nn.init import Init
from coursekit.nn.layers import Flatten, Linear, ReLU
from coursekit.nn.module import Module, Sequential
from coursekit.nn.sandwiches import NORMS, linear_norm_relu_dropout


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], Module] = ReLU,
    norm: str | None = None,
    dropout: float = 0.0,
    init: Init = "kaiming_normal",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """A fully connected net: flatten, then Linear-Norm-activation-Dropout blocks and a Linear.

    Args:
        sizes: width of the input, of every hidden layer and of the output, for example
            ``[3072, 512, 10]``; two sizes make a linear classifier.
        activation: makes the nonlinearity.
        norm: "batch", "layer" or None.
        dropout: chance to drop a hidden unit; 0 leaves the layer out.
        init: as in :class:`Linear`.
        seed: fixes the initial weights.
        dtype: float32 or float64.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least input and output, got {list(sizes)}")
    if norm is not None and norm not in NORMS:
        raise ValueError(f"norm must be None or one of {sorted(NORMS)}, got {norm!r}")
    rng = np.random.default_rng(seed)
    layers: list[Module] = [Flatten()]
    *hidden, last = pairwise(sizes)
    for fan_in, fan_out in hidden:
        layers += linear_norm_relu_dropout(
            fan_in,
            fan_out,
            norm=norm,
            activation=activation,
            dropout=dropout,
            init=init,
            rng=rng,
            dtype=dtype,
        )
    layers.append(Linear(*last, init=init, rng=rng, dtype=dtype))
    return Sequential(*layers)
