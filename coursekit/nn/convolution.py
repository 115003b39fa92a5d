"""Convolution as an object: filters that are learnt."""

from math import prod, sqrt

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coursekit import functional as F
from coursekit.functional._validate import check_float
from coursekit.kernels._check import check_pair
from coursekit.nn import init as initializers
from coursekit.nn.init import Init
from coursekit.nn.module import Module, Parameter

Pair = int | tuple[int, int]


class Conv2d(Module):
    """Slide ``out_channels`` filters over a picture; the same weights look everywhere.

    Args:
        in_channels: channels C of the input (N, C, H, W).
        out_channels: filters, which are channels of the output.
        kernel_size: pixels a filter sees, one number or (height, width).
        stride: pixels from one window to the next, likewise.
        padding: rows and columns of zeros on either side, likewise.
        bias: whether to add one number a filter.
        init: as in :class:`Linear`.
        rng: source of the initial weights; a fresh unseeded one if None.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        bias: bool = True,
        *,
        init: Init = "default",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        initializers.check_sizes(in_channels=in_channels, out_channels=out_channels)
        initializers.check_dtype(dtype)
        self.kernel_size = check_pair("kernel_size", kernel_size, 1)
        self.stride = check_pair("stride", stride, 1)
        self.padding = check_pair("padding", padding, 0)
        rng = initializers.source(rng)
        shape = (out_channels, in_channels, *self.kernel_size)
        self.weight = Parameter(initializers.draw(init, shape, rng=rng, dtype=dtype))
        self.bias: Parameter | None = None
        if bias:
            bound = 1 / sqrt(prod(shape[1:])) if init == "default" else 0.0
            self.bias = Parameter(
                initializers.uniform((out_channels,), bound=bound, rng=rng, dtype=dtype)
            )

    def forward(self, x: NDArray) -> NDArray:
        """(N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        check_float("x", x)
        channels = self.weight.data.shape[1]
        if x.ndim == 4 and x.shape[1] != channels == x.shape[3]:
            raise ValueError(
                f"x must have shape (N, {channels}, H, W), got {x.shape}: x.transpose(0, 3, 1, 2)"
            )
        bias = self.bias.data if self.bias is not None else None
        out, self._cache = F.conv2d_forward(
            x, self.weight.data, bias, stride=self.stride, padding=self.padding
        )
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradients of weight and bias; returns (N, in_channels, H, W) or None."""
        dx, dw, db = F.conv2d_backward(dout, self._take_cache(), need_dx=need_dx)
        self.weight.accumulate(dw)
        if self.bias is not None and db is not None:
            self.bias.accumulate(db)
        return dx

    def __repr__(self) -> str:
        out_channels, in_channels, *_ = self.weight.data.shape
        return (
            f"Conv2d({in_channels}, {out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, bias={self.bias is not None})"
        )
