"""Dropout's product: checked here once, computed by the chosen backend in one pass over memory."""

import numpy as np
from numpy.typing import NDArray

from coursekit.kernels import _backend
from coursekit.kernels._check import check_dense, check_number
from coursekit.kernels._layout import ordered_like, pixels


def dropout(
    x: NDArray[np.floating], keep: NDArray[np.bool_], *, scale: float
) -> NDArray[np.floating]:
    """``x * keep * scale``, for the forward and the backward pass alike.

    As in PyTorch, what is dropped is multiplied by 0: a NaN or an infinity shows as NaN.

    Args:
        x: any shape, float32 or float64.
        keep: which entries stay, bool, shape of x.
        scale: by how much to multiply those.

    Returns:
        a new array of the shape, dtype and memory layout of x.

    Raises:
        ValueError: an array has the wrong type or shape, or ``scale`` is no number.
    """
    x, scale = check_dense("x", x), check_number("scale", scale)
    if not isinstance(keep, np.ndarray) or keep.dtype != np.bool_:
        came = keep.dtype if isinstance(keep, np.ndarray) else type(keep).__name__
        raise ValueError(f"keep must be a bool array, got {came}")
    if keep.shape != x.shape:
        raise ValueError(f"keep must have shape {x.shape} to match x, got {keep.shape}")
    out = np.empty_like(x)
    arrays = [x, ordered_like(np.asarray(keep), x), out]
    if not x.flags.c_contiguous:  # channels last
        arrays = [pixels(v) for v in arrays]
    _backend.backend.dropout(*arrays, scale=scale, num_threads=_backend.get_num_threads())
    return out
