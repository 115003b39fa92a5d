"""Element-wise nonlinearities, any shape in, the same shape and layout out (lesson 1, "Any depth").

Every ``*_forward`` returns ``(out, cache)``; every ``*_backward(dout, cache)`` returns ``dx``.
A forward raises ``ValueError`` for anything but a float32 or float64 array, a backward for a
``dout`` without the shape of ``out``.
"""

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_gradient

LeakyCache = tuple[NDArray[np.bool_], float]


def relu_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """``max(x, 0)``. The cache is the output: it is positive just where the gradient passes."""
    check_float("x", x)
    out = np.maximum(x, 0)
    return out, out


def relu_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """Pass the gradient where the input was positive; at exactly 0 it is 0, as in PyTorch."""
    dout = check_gradient(dout, cache.shape, cache.dtype)
    return dout * (cache > 0)


def leaky_relu_forward(x: NDArray, negative_slope: float = 0.01) -> tuple[NDArray, LeakyCache]:
    """``x`` where positive, ``negative_slope * x`` elsewhere; the cache says where, a byte each."""
    check_float("x", x)
    if not isfinite(negative_slope):
        raise ValueError(f"negative_slope must be a finite number, got {negative_slope}")
    out = np.multiply(x, negative_slope, out=np.empty_like(x))
    # The upper of two lines through 0 is the one this asks for, or from slope 1 on the lower.
    pick = np.maximum if negative_slope <= 1 else np.minimum
    return pick(x, out, out=out), (x > 0, negative_slope)


def leaky_relu_backward(dout: NDArray, cache: LeakyCache) -> NDArray:
    """Gradient 1 where the input was positive, ``negative_slope`` elsewhere."""
    positive, negative_slope = cache
    dout = check_gradient(dout, positive.shape)
    # Not np.where: it has to guess the next sign, and where signs are random it is often wrong.
    passed = dout * positive
    dx = dout - passed
    dx *= negative_slope
    dx += passed
    return dx


def tanh_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """Hyperbolic tangent; the cache is the output, as ``tanh' = 1 - tanh**2``."""
    check_float("x", x)
    out = np.tanh(x)
    return out, out


def tanh_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """``dout * (1 - out**2)``."""
    dout = check_gradient(dout, cache.shape, cache.dtype)
    dx = np.multiply(cache, cache, out=np.empty_like(cache))
    np.subtract(1, dx, out=dx)
    dx *= dout
    return dx


def sigmoid_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """``1 / (1 + exp(-x))`` without overflow at either end; the cache is the output.

    Written as ``exp(min(x, 0)) / (1 + exp(-|x|))``, no exponent is ever positive.
    """
    check_float("x", x)
    out = np.exp(np.minimum(x, 0), out=np.empty_like(x))
    below = np.abs(x, out=np.empty_like(x))
    np.negative(below, out=below)
    np.exp(below, out=below)
    below += 1
    out /= below
    return out, out


def sigmoid_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """``dout * out * (1 - out)``."""
    dout = check_gradient(dout, cache.shape, cache.dtype)
    dx = np.subtract(1, cache, out=np.empty_like(cache))
    dx *= cache
    dx *= dout
    return dx
