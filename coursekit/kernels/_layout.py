"""How pictures lie in memory: logically (N, C, H, W), in one of two orders.

*Channels first* is that very order. *Channels last* has the C values of a pixel side by side,
(N, H, W, C), seen through a transpose, as PyTorch's ``channels_last`` has it. A convolution sums
over the channels of neighbouring pixels: channels last, it reads memory as it comes.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray


def pixels(v: NDArray) -> NDArray:
    """The (N, H, W, C) view of pictures (N, C, H, W), whatever their memory."""
    return v.transpose(0, 2, 3, 1)


def is_channels_last(v: NDArray) -> bool:
    """Whether ``v`` is (N, C, H, W) and its memory dense, with the channels last."""
    return v.ndim == 4 and pixels(v).flags.c_contiguous


def empty_channels_last(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """An array of the logical shape (N, C, H, W) whose memory has the channels last."""
    n, c, h, w = shape
    return np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def contiguous(v: NDArray) -> NDArray:
    """``v`` itself, or a copy that is C-contiguous and aligned."""
    flags = v.flags
    return v if flags.c_contiguous and flags.aligned else v.copy()


def dense(v: NDArray) -> NDArray:
    """``v`` itself if it is aligned and C-contiguous or channels last, or a copy that is."""
    return ordered_like(v, v)


def ordered_like(v: NDArray, like: NDArray) -> NDArray:
    """``v`` itself, or a copy: channels last if ``like`` is, else C-contiguous; and aligned."""
    if is_channels_last(like) and not like.flags.c_contiguous:
        return contiguous(pixels(v)).transpose(0, 3, 1, 2)
    return contiguous(v)
