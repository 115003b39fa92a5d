"""Dropout (lesson 2, "Drop half of the net")."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_shape

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
        out of the shape of x, and the cache for :func:`dropout_backward`.

    Raises:
        ValueError: ``x`` is not float32/float64, ``p`` is no probability, or there is no ``rng``.

    Source: Srivastava et al., "Dropout", 2014.
    """
    check_float("x", x)
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    if not training or p == 0:
        return x.copy(), (None, 1.0, x.shape)
    if rng is None:
        raise ValueError("rng must be a numpy.random.Generator to draw a mask, got None")
    keep = rng.random(x.shape, np.float32) >= p
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0)), (keep, scale, x.shape)


def dropout_backward(dout: NDArray, cache: Cache) -> NDArray:
    """Gradient of :func:`dropout_forward`: through the same mask, with the same scale.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    keep, scale, shape = cache
    check_shape("dout", dout, shape, "to match out")
    if keep is None:
        return dout
    return np.where(keep, dout * dout.dtype.type(scale), dout.dtype.type(0))
