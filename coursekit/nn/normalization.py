"""Normalising layers as objects."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coursekit import functional as F
from coursekit.functional._validate import check_float, check_not_negative
from coursekit.nn.init import check_dtype, check_sizes
from coursekit.nn.module import Module, Parameter


class _Norm(Module):
    """What normalising layers share: a scale and a shift that are learnt, or neither."""

    _backward: ClassVar[Callable[..., tuple[NDArray | None, NDArray | None, NDArray | None]]]

    def __init__(self, shape: int | tuple[int, ...], affine: bool, dtype: DTypeLike) -> None:
        super().__init__()
        check_dtype(dtype)
        self.weight = Parameter(np.ones(shape, dtype)) if affine else None
        self.bias = Parameter(np.zeros(shape, dtype)) if affine else None

    def _affine(self) -> tuple[NDArray | None, NDArray | None]:
        """Scale and shift as arrays."""
        if self.weight is None or self.bias is None:
            return None, None
        return self.weight.data, self.bias.data

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradients of weight and bias; returns that of the input, or None."""
        dx, dweight, dbias = type(self)._backward(dout, self._take_cache(), need_dx=need_dx)
        if self.weight is not None and dweight is not None:
            self.weight.accumulate(dweight)
        if self.bias is not None and dbias is not None:
            self.bias.accumulate(dbias)
        return dx


class _BatchNorm(_Norm):
    """Batch norm whatever the axes behind the channels."""

    _backward = staticmethod(F.batch_norm_backward)
    _ndims: ClassVar[tuple[int, ...]]

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
        check_sizes(num_features=num_features)
        check_not_negative("eps", eps)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be None or lie in [0, 1], got {momentum}")
        super().__init__(num_features, affine, dtype)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.running_mean: NDArray | None = None
        self.running_var: NDArray | None = None
        if track_running_stats:
            self._buffers = ("running_mean", "running_var", "num_batches_tracked")
            self.running_mean = np.zeros(num_features, dtype)
            self.running_var = np.ones(num_features, dtype)
            self.num_batches_tracked = np.zeros((), np.int64)

    def forward(self, x: NDArray) -> NDArray:
        """(N, C) or (N, C, *) to the same shape."""
        check_float("x", x)
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
            *self._affine(),
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=momentum,
            eps=self.eps,
        )
        if self.training and tracks:
            self.num_batches_tracked += 1
        return out

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum})"
        )


class BatchNorm1d(_BatchNorm):
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

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Standardise each channel over the batch and all places of its map: *spatial* batch norm.

    Args:
        num_features: channels C of the input (N, C, H, W).
        eps, momentum, affine, track_running_stats, dtype: as in :class:`BatchNorm1d`.
    """

    _ndims = (4,)


class LayerNorm(_Norm):
    """Standardise each picture over its own features, the same in training and evaluation.

    Args:
        normalized_shape: shape of the last axes, over which to normalise.
        eps: added to the variance, under the root.
        elementwise_affine: whether to learn a scale ``weight`` and a shift ``bias``.
        dtype: float32 or float64.
    """

    _backward = staticmethod(F.layer_norm_backward)

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        alone = isinstance(normalized_shape, int | np.integer)
        shape: Any = (normalized_shape,) if alone else normalized_shape
        if not isinstance(shape, tuple | list) or not shape:
            raise ValueError(f"normalized_shape must name at least one feature, got {shape!r}")
        for size in shape:
            check_sizes(normalized_shape=size)
        check_not_negative("eps", eps)
        super().__init__(tuple(shape), elementwise_affine, dtype)
        self.normalized_shape, self.eps = tuple(shape), eps

    def forward(self, x: NDArray) -> NDArray:
        """(N, \\*, normalized_shape) to the same shape."""
        check_float("x", x)
        ndim = len(self.normalized_shape)
        if x.shape[-ndim:] != self.normalized_shape:
            raise ValueError(f"x must end in the axes {self.normalized_shape}, got shape {x.shape}")
        out, self._cache = F.layer_norm_forward(
            x, *self._affine(), normalized_ndim=ndim, eps=self.eps
        )
        return out

    def __repr__(self) -> str:
        return f"LayerNorm({self.normalized_shape}, eps={self.eps})"


class GroupNorm(_Norm):
    """Standardise each picture over groups of its channels, the same in training and evaluation.

    Args:
        num_groups: into how many equal groups the channels are cut; 1 takes them all together,
            ``num_channels`` each on its own (instance norm).
        num_channels: channels C of the input (N, C, *).
        eps: added to the variance, under the root.
        affine: whether to learn a scale ``weight`` and a shift ``bias`` for every channel.
        dtype: float32 or float64.
    """

    _backward = staticmethod(F.group_norm_backward)

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_sizes(num_channels=num_channels, num_groups=num_groups)
        check_not_negative("eps", eps)
        if num_channels % num_groups:
            raise ValueError(f"num_groups must divide {num_channels} channels, got {num_groups}")
        super().__init__(num_channels, affine, dtype)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps

    def forward(self, x: NDArray) -> NDArray:
        """(N, C, *) to the same shape."""
        check_float("x", x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"x must have {self.num_channels} channels, got shape {x.shape}")
        out, self._cache = F.group_norm_forward(x, self.num_groups, *self._affine(), eps=self.eps)
        return out

    def __repr__(self) -> str:
        return f"GroupNorm({self.num_groups}, {self.num_channels}, eps={self.eps})"
