"""Layers as objects: thin shells that keep parameters and the cache of ``functional``."""

from collections.abc import Callable
from math import isfinite, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coursekit import functional as F
from coursekit.nn import init as initializers
from coursekit.nn.init import Init
from coursekit.nn.module import Module, Parameter


class Linear(Module):
    """``out = x @ weight.T + bias``.

    Args:
        in_features: columns of the input (N, in_features).
        out_features: columns of the output.
        bias: whether to add one.
        init: name of an initialiser in ``nn.init``, a standard deviation or a callable
            ``(shape, *, rng, dtype)``. "default" is PyTorch's, biases included; all others start
            biases at 0.
        rng: source of the initial weights; a fresh unseeded one if None.
        dtype: float32 or float64, of the weights and so of the input.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Init = "default",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        initializers.check_sizes(in_features=in_features, out_features=out_features)
        initializers.check_dtype(dtype)
        rng = initializers.source(rng)
        shape = (out_features, in_features)
        self.weight = Parameter(initializers.draw(init, shape, rng=rng, dtype=dtype))
        self.bias: Parameter | None = None
        if bias:
            bound = 1 / sqrt(in_features) if init == "default" else 0.0
            self.bias = Parameter(
                initializers.uniform((out_features,), bound=bound, rng=rng, dtype=dtype)
            )

    def forward(self, x: NDArray) -> NDArray:
        """(N, in_features) to (N, out_features)."""
        bias = self.bias.data if self.bias is not None else None
        out, self._cache = F.linear_forward(x, self.weight.data, bias)
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradients of weight and bias; returns (N, in_features) or None."""
        dx, dw, db = F.linear_backward(dout, self._take_cache(), need_dx=need_dx)
        self.weight.accumulate(dw)
        if self.bias is not None and db is not None:
            self.bias.accumulate(db)
        return dx

    def __repr__(self) -> str:
        out_features, in_features = self.weight.data.shape
        return f"Linear({in_features}, {out_features}, bias={self.bias is not None})"


class _Elementwise(Module):
    """A layer without parameters: a pair of functions."""

    _forward: ClassVar[Callable[..., tuple[NDArray, object]]]
    _backward: ClassVar[Callable[..., NDArray]]

    def forward(self, x: NDArray) -> NDArray:
        """Apply the function; any shape."""
        out, self._cache = type(self)._forward(x)
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradient of the input."""
        return type(self)._backward(dout, self._take_cache()) if need_dx else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Flatten(_Elementwise):
    """(N, ...) to (N, D)."""

    _forward = staticmethod(F.flatten_forward)
    _backward = staticmethod(F.flatten_backward)


class ReLU(_Elementwise):
    """``max(x, 0)``."""

    _forward = staticmethod(F.relu_forward)
    _backward = staticmethod(F.relu_backward)


class Tanh(_Elementwise):
    """Hyperbolic tangent."""

    _forward = staticmethod(F.tanh_forward)
    _backward = staticmethod(F.tanh_backward)


class Sigmoid(_Elementwise):
    """``1 / (1 + exp(-x))``."""

    _forward = staticmethod(F.sigmoid_forward)
    _backward = staticmethod(F.sigmoid_backward)


class LeakyReLU(_Elementwise):
    """``x`` where positive, ``negative_slope * x`` elsewhere."""

    _backward = staticmethod(F.leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        if not isfinite(negative_slope):
            raise ValueError(f"negative_slope must be a finite number, got {negative_slope}")
        self.negative_slope = negative_slope

    def forward(self, x: NDArray) -> NDArray:
        """Apply the function; any shape."""
        out, self._cache = F.leaky_relu_forward(x, self.negative_slope)
        return out

    def __repr__(self) -> str:
        return f"LeakyReLU(negative_slope={self.negative_slope})"
