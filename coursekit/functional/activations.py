"""Element-wise nonlinearities, any shape in, the same shape out (lesson 1, "Any depth").

Every ``*_forward`` returns ``(out, cache)``; every ``*_backward(dout, cache)`` returns ``dx``.
All raise ``ValueError`` for arrays that are not float32 or float64.
"""

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_shape


def relu_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """``max(x, 0)``. The cache is the output: it is positive just where the gradient passes."""
    check_float("x", x)
    out = np.maximum(x, 0)
    return out, out


def relu_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """Pass the gradient where the input was positive; at exactly 0 it is 0, as in PyTorch."""
    check_shape("dout", dout, cache.shape, "to match out")
    return dout * (cache > 0)


def leaky_relu_forward(
    x: NDArray, negative_slope: float = 0.01
) -> tuple[NDArray, tuple[NDArray, float]]:
    """``x`` where positive, ``negative_slope * x`` elsewhere."""
    check_float("x", x)
    return np.where(x > 0, x, x * x.dtype.type(negative_slope)), (x, negative_slope)


def leaky_relu_backward(dout: NDArray, cache: tuple[NDArray, float]) -> NDArray:
    """Gradient 1 where the input was positive, ``negative_slope`` elsewhere."""
    x, negative_slope = cache
    check_shape("dout", dout, x.shape, "to match out")
    return np.where(x > 0, dout, dout * dout.dtype.type(negative_slope))


def tanh_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """Hyperbolic tangent; the cache is the output, as ``tanh' = 1 - tanh**2``."""
    check_float("x", x)
    out = np.tanh(x)
    return out, out


def tanh_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """``dout * (1 - out**2)``."""
    check_shape("dout", dout, cache.shape, "to match out")
    return dout * (1 - cache * cache)


def sigmoid_forward(x: NDArray) -> tuple[NDArray, NDArray]:
    """``1 / (1 + exp(-x))`` without overflow at either end; the cache is the output.

    ``exp(-|x|)`` never overflows, and both branches of the sigmoid can be written with it.
    """
    check_float("x", x)
    z = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1, z) / (1 + z)
    return out, out


def sigmoid_backward(dout: NDArray, cache: NDArray) -> NDArray:
    """``dout * out * (1 - out)``."""
    check_shape("dout", dout, cache.shape, "to match out")
    return dout * cache * (1 - cache)
