"""The course's nets, by name."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from coursekit.nn.init import Initializer
from coursekit.nn.layers import Flatten, Linear, ReLU
from coursekit.nn.module import Module, Sequential


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], Module] = ReLU,
    init: str | Initializer = "kaiming_normal",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """A fully connected net: flatten, then linear layers with an activation between them.

    Args:
        sizes: width of the input, of every hidden layer and of the output, for example
            ``[3072, 512, 10]``; two sizes make a linear classifier.
        activation: makes the nonlinearity.
        init: as in :class:`Linear`.
        seed: fixes the initial weights.
        dtype: float32 or float64.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least input and output, got {list(sizes)}")
    rng = np.random.default_rng(seed)
    layers: list[Module] = [Flatten()]
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if i:
            layers.append(activation())
        layers.append(Linear(fan_in, fan_out, init=init, rng=rng, dtype=dtype))
    return Sequential(*layers)
