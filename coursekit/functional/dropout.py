"""Dropout (lesson 2, "Drop half of the net")."""

from math import prod

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit import kernels
from coursekit.functional._validate import check_float, check_gradient

Cache = tuple[NDArray[np.bool_] | None, float, tuple[int, ...]]


def dropout_forward(
    x: NDArray, p: float = 0.5, *, training: bool, rng: Generator | None = None
) -> tuple[NDArray, Cache]:
    """In training, set each entry to 0 with chance ``p`` and divide the others by ``1 - p``.

    So the expected output is the input, and evaluation has nothing to do.

    Args:
        x: inputs, any shape.
        p: chance to drop an entry, 0 to 1.
        training: whether to drop at all.
        rng: draws the mask; needed where one is drawn.

    Returns:
        out of the shape and memory layout of x, and the cache for :func:`dropout_backward`.

    Raises:
        ValueError: ``x`` is not float32/float64, ``p`` is no probability, or there is no ``rng``.

    Source: Srivastava et al., "Dropout", 2014.
    """
    check_float("x", x)
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    if not training or p == 0:
        return x.copy(order="K"), (None, 1.0, x.shape)
    if not isinstance(rng, Generator):
        raise ValueError(
            f"rng must be a numpy.random.Generator to draw a mask, got {type(rng).__name__}"
        )
    keep = _draw(x.shape, 1 - p, rng)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return kernels.dropout(x, keep, scale=scale), (keep, scale, x.shape)


def _draw(shape: tuple[int, ...], q: float, rng: Generator) -> NDArray[np.bool_]:
    """A mask that is True with chance ``q``, at the price of one random byte an entry.

    A byte below ``256 q`` says yes, one above says no. Where it ties with the whole part, a fine
    draw decides by the rest: one entry in 256, and no chance is rounded.
    """
    size = prod(shape)
    words = rng.integers(2**64, size=-(-size // 8), dtype=np.uint64)
    coarse = words.astype("<u8", copy=False).view(np.uint8)[:size]
    whole, rest = divmod(256 * q, 1)
    keep = coarse < int(whole)
    if rest:
        ties = np.flatnonzero(coarse == int(whole))
        keep[ties] = rng.random(len(ties)) < rest
    return keep.reshape(shape)


def dropout_backward(dout: NDArray, cache: Cache) -> NDArray:
    """Gradient of :func:`dropout_forward`: through the same mask, with the same scale.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    keep, scale, shape = cache
    dout = check_gradient(dout, shape)
    if keep is None:
        return dout
    return kernels.dropout(dout, keep, scale=scale)
