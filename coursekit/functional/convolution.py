"""Convolution (lesson 3, "Convolution by hand")."""

from typing import NamedTuple

from numpy.typing import NDArray

from coursekit import kernels
from coursekit.functional._validate import check_float, check_shape

Pair = int | tuple[int, int]


class ConvCache(NamedTuple):
    """What :func:`conv2d_backward` needs."""

    x: NDArray
    w: NDArray
    b: NDArray | None
    stride: Pair
    padding: Pair
    out_shape: tuple[int, ...]


def conv2d_forward(
    x: NDArray, w: NDArray, b: NDArray | None, stride: Pair = 1, padding: Pair = 0
) -> tuple[NDArray, ConvCache]:
    """Slide every filter over every picture; the kernel is not flipped, as in PyTorch.

    Args:
        x: inputs, shape (N, C, H, W), channels first or last in memory.
        w: filters, shape (O, C, kh, kw).
        b: biases, shape (O,), or None for filters without.
        stride: pixels from one window to the next; one number or (vertical, horizontal).
        padding: rows and columns of zeros on either side; one number or (vertical, horizontal).

    Returns:
        out of shape (N, O, OH, OW), channels last in memory, with
        ``OH = (H + 2 * padding - kh) // stride + 1``; and the cache for :func:`conv2d_backward`.

    Raises:
        ValueError: an array is not float32/float64 or does not fit, or no window fits.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """
    out = kernels.conv2d_forward(x, w, b, stride=stride, padding=padding)
    return out, ConvCache(x, w, b, stride, padding, out.shape)


def conv2d_backward(
    dout: NDArray, cache: ConvCache, need_dx: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """Gradients of :func:`conv2d_forward`.

    Args:
        dout: gradient of the loss with respect to ``out``, shape (N, O, OH, OW).
        cache: what the forward pass returned.
        need_dx: False skips ``dx``: nobody asks for the gradient of the pictures.

    Returns:
        dx (N, C, H, W), channels last in memory, or None; dw (O, C, kh, kw); db (O,) or None.

    Raises:
        ValueError: ``dout`` is not float32/float64 or does not have the shape of ``out``.
    """
    x, w, b, stride, padding, out_shape = cache
    check_float("dout", dout)
    check_shape("dout", dout, out_shape, "to match out")
    dw, db = kernels.conv2d_backward_weight(dout, x, w.shape[2:], stride=stride, padding=padding)
    dx = None
    if need_dx:
        dx = kernels.conv2d_backward_input(dout, w, x.shape, stride=stride, padding=padding)
    return dx, dw, db if b is not None else None
