"""Pooling (lesson 3, "Pooling")."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit import kernels
from coursekit.functional._validate import check_float, check_gradient

Pair = int | tuple[int, int]


class MaxPoolCache(NamedTuple):
    """What :func:`max_pool2d_backward` needs: of the input only its shape."""

    argmax: NDArray[np.integer]
    x_shape: tuple[int, ...]
    kernel_size: Pair
    stride: Pair
    padding: Pair


class AvgPoolCache(NamedTuple):
    """What :func:`avg_pool2d_backward` needs: shapes."""

    x_shape: tuple[int, ...]
    kernel_size: Pair
    stride: Pair
    padding: Pair


def max_pool2d_forward(
    x: NDArray, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[NDArray, MaxPoolCache]:
    """The largest value of every window.

    Args:
        x: inputs, shape (N, C, H, W), channels first or last in memory.
        kernel_size: height and width of a window; one number or a pair.
        stride: pixels from one window to the next; None for ``kernel_size``.
        padding: rows and columns of -inf on either side, at most half a window.

    Returns:
        out of shape (N, C, OH, OW), channels last in memory, with
        ``OH = (H + 2 * padding - kh) // stride + 1``; and the cache for
        :func:`max_pool2d_backward`: one byte a window.

    Raises:
        ValueError: ``x`` is not float32/float64 of four axes, or no window fits.
    """
    stride = kernel_size if stride is None else stride
    out, argmax = kernels.max_pool2d_forward(
        x, kernel_size=kernel_size, stride=stride, padding=padding
    )
    return out, MaxPoolCache(argmax, x.shape, kernel_size, stride, padding)


def max_pool2d_backward(dout: NDArray, cache: MaxPoolCache) -> NDArray:
    """Gradient of :func:`max_pool2d_forward`: to the first of the largest values of a window.

    Where windows overlap, a pixel may be the largest of several: its gradients add up.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    return kernels.max_pool2d_backward(
        dout,
        cache.argmax,
        cache.x_shape,
        kernel_size=cache.kernel_size,
        stride=cache.stride,
        padding=cache.padding,
    )


def avg_pool2d_forward(
    x: NDArray, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[NDArray, AvgPoolCache]:
    """The mean of every window; padding counts as zeros, as in PyTorch by default.

    Args:
        x: inputs, shape (N, C, H, W), channels first or last in memory.
        kernel_size: height and width of a window; one number or a pair.
        stride: pixels from one window to the next; None for ``kernel_size``.
        padding: rows and columns of zeros on either side, at most half a window.

    Returns:
        out of shape (N, C, OH, OW), channels last in memory; and the cache for
        :func:`avg_pool2d_backward`.

    Raises:
        ValueError: ``x`` is not float32/float64 of four axes, or no window fits.
    """
    stride = kernel_size if stride is None else stride
    out = kernels.avg_pool2d_forward(x, kernel_size=kernel_size, stride=stride, padding=padding)
    return out, AvgPoolCache(x.shape, kernel_size, stride, padding)


def avg_pool2d_backward(dout: NDArray, cache: AvgPoolCache) -> NDArray:
    """Gradient of :func:`avg_pool2d_forward`: an equal share to every pixel of a window.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    return kernels.avg_pool2d_backward(
        dout,
        cache.x_shape,
        kernel_size=cache.kernel_size,
        stride=cache.stride,
        padding=cache.padding,
    )


def global_avg_pool2d_forward(x: NDArray) -> tuple[NDArray, tuple[int, ...]]:
    """The mean of every channel of a picture, (N, C, H, W) to (N, C); the cache is the shape of x.

    Raises:
        ValueError: ``x`` is not float32/float64 of four axes, or holds no pixels.

    Source: Lin, Chen & Yan, "Network In Network", 2014.
    """
    check_float("x", x, 4)
    if 0 in x.shape[2:]:
        raise ValueError(f"x must hold pixels to take a mean of, got shape {x.shape}")
    return x.mean(axis=(2, 3)), x.shape


def global_avg_pool2d_backward(dout: NDArray, cache: tuple[int, ...]) -> NDArray:
    """Gradient of :func:`global_avg_pool2d_forward`: an equal share to every pixel.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    n, c, h, w = cache
    dout = check_gradient(dout, (n, c))
    share = (dout / (h * w))[:, None, None, :]
    return np.broadcast_to(share, (n, h, w, c)).copy().transpose(0, 3, 1, 2)
