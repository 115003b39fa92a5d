"""Pooling as objects: a map made smaller, without anything to learn."""

from collections.abc import Callable
from typing import ClassVar

from numpy.typing import NDArray

from coursekit import functional as F
from coursekit.kernels._check import check_pair
from coursekit.nn.convolution import Pair
from coursekit.nn.layers import _Elementwise
from coursekit.nn.module import Module


class _Pool2d(Module):
    """A window that slides over every channel on its own: a pair of functions."""

    _forward: ClassVar[Callable[..., tuple[NDArray, object]]]
    _backward: ClassVar[Callable[..., NDArray]]

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size = check_pair("kernel_size", kernel_size, 1)
        self.stride = check_pair("stride", kernel_size if stride is None else stride, 1)
        self.padding = check_pair("padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding must be at most half of kernel_size {self.kernel_size}, "
                f"got {self.padding}"
            )

    def forward(self, x: NDArray) -> NDArray:
        """(N, C, H, W) to (N, C, OH, OW)."""
        out, self._cache = type(self)._forward(
            x, kernel_size=self.kernel_size, stride=self.stride, padding=self.padding
        )
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradient of the input."""
        return type(self)._backward(dout, self._take_cache()) if need_dx else None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding})"
        )


class MaxPool2d(_Pool2d):
    """The largest value of every window; padding is -inf and never wins.

    Args:
        kernel_size: pixels of a window, one number or (height, width).
        stride: pixels from one window to the next, likewise; the window itself if None.
        padding: rows and columns on either side, likewise, at most half the window.
    """

    _forward = staticmethod(F.max_pool2d_forward)
    _backward = staticmethod(F.max_pool2d_backward)


class AvgPool2d(_Pool2d):
    """The mean of every window; zeros of the padding count, as in PyTorch by default.

    Args:
        kernel_size, stride, padding: as in :class:`MaxPool2d`.
    """

    _forward = staticmethod(F.avg_pool2d_forward)
    _backward = staticmethod(F.avg_pool2d_backward)


class GlobalAvgPool2d(_Elementwise):
    """The mean of every channel: (N, C, H, W) to (N, C)."""

    _forward = staticmethod(F.global_avg_pool2d_forward)
    _backward = staticmethod(F.global_avg_pool2d_backward)
