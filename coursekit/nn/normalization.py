"""Normalising layers as objects."""

from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coursekit import functional as F
from coursekit.nn.module import Module, Parameter


class BatchNorm1d(Module):
    """Standardise each feature over the batch in training, by running statistics in evaluation.

    Args:
        num_features: columns C of the input (N, C) or (N, C, L).
        eps: added to the variance, under the root.
        momentum: weight of the new batch in the running statistics; None averages over all
            batches seen.
        affine: whether to learn a scale ``weight`` and a shift ``bias``.
        track_running_stats: False keeps none, and evaluation uses the batch's own.
        dtype: float32 or float64.
    """

    _ndims: tuple[int, ...] = (2, 3)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        self.running_mean: NDArray | None = None
        self.running_var: NDArray | None = None
        if track_running_stats:
            self._buffers = ("running_mean", "running_var", "num_batches_tracked")
            self.running_mean = np.zeros(num_features, dtype)
            self.running_var = np.ones(num_features, dtype)
            self.num_batches_tracked = np.zeros((), np.int64)

    def forward(self, x: NDArray) -> NDArray:
        """(N, C) or (N, C, L) to the same shape."""
        if x.ndim not in self._ndims:
            axes = " or ".join(map(str, self._ndims))
            raise ValueError(f"x must have {axes} axes, got shape {x.shape}")
        if x.shape[1] != self.num_features:
            raise ValueError(f"x must have {self.num_features} channels, got shape {x.shape}")
        momentum = self.momentum
        tracks = self.running_mean is not None
        if momentum is None:
            momentum = 1 / (int(self.num_batches_tracked) + 1) if tracks else 0.0
        out, self._cache, self.running_mean, self.running_var = F.batch_norm_forward(
            x,
            self.weight.data if self.weight is not None else None,
            self.bias.data if self.bias is not None else None,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=momentum,
            eps=self.eps,
        )
        if self.training and tracks:
            self.num_batches_tracked += 1
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradients of weight and bias; returns that of the input, or None."""
        dx, dweight, dbias = F.batch_norm_backward(dout, self._take_cache(), need_dx=need_dx)
        if self.weight is not None and dweight is not None:
            self.weight.accumulate(dweight)
        if self.bias is not None and dbias is not None:
            self.bias.accumulate(dbias)
        return dx

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum})"
        )


class LayerNorm(Module):
    """Standardise each picture over its own features, the same in training and evaluation.

    Args:
        normalized_shape: shape of the last axes, over which to normalise.
        eps: added to the variance, under the root.
        elementwise_affine: whether to learn a scale ``weight`` and a shift ``bias``.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        if not shape or prod(shape) < 1:
            raise ValueError(f"normalized_shape must name at least one feature, got {shape}")
        self.normalized_shape, self.eps = tuple(shape), eps
        self.weight = Parameter(np.ones(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, dtype)) if elementwise_affine else None

    def forward(self, x: NDArray) -> NDArray:
        """(N, \\*, normalized_shape) to the same shape."""
        ndim = len(self.normalized_shape)
        if x.shape[-ndim:] != self.normalized_shape:
            raise ValueError(f"x must end in the axes {self.normalized_shape}, got shape {x.shape}")
        out, self._cache = F.layer_norm_forward(
            x,
            self.weight.data if self.weight is not None else None,
            self.bias.data if self.bias is not None else None,
            normalized_ndim=ndim,
            eps=self.eps,
        )
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradients of weight and bias; returns that of the input, or None."""
        dx, dweight, dbias = F.layer_norm_backward(dout, self._take_cache(), need_dx=need_dx)
        if self.weight is not None and dweight is not None:
            self.weight.accumulate(dweight)
        if self.bias is not None and dbias is not None:
            self.bias.accumulate(dbias)
        return dx

    def __repr__(self) -> str:
        return f"LayerNorm({self.normalized_shape}, eps={self.eps})"
