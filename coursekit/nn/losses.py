"""Losses as objects: call one for the value, then ``backward()`` for the logits' gradient."""

from math import isfinite
from typing import Any

from numpy.typing import NDArray

from coursekit import functional as F


class Loss:
    """Base of losses: ``loss = criterion(logits, targets)``, ``dlogits = criterion.backward()``.

    ``backward`` is for the last value; it raises ``RuntimeError`` if there is none, or if it is
    called again while the value before the last has had no backward.
    """

    _cache: Any = None
    _skipped = False  # the value before the last has had no backward
    _taken = True  # the last value has had its backward

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss of logits (N, C) for targets (N,)."""
        raise NotImplementedError

    def backward(self) -> NDArray:
        """Gradient of the last value with respect to its logits, (N, C)."""
        raise NotImplementedError

    def _keep(self, cache: Any) -> None:
        self._skipped, self._taken, self._cache = not self._taken, False, cache

    def _take_cache(self) -> Any:
        name = type(self).__name__
        if self._cache is None:
            raise RuntimeError(f"{name}.backward needs a value before it: criterion(logits, y)")
        if self._taken and self._skipped:
            raise RuntimeError(
                f"{name}.backward: got a second call, but only the last value is kept, and the one "
                "before it has had no backward; needed backward right after each value"
            )
        self._taken = True
        return self._cache


class CrossEntropyLoss(Loss):
    """Softmax cross-entropy with optional label smoothing."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss in nats."""
        loss, cache = F.cross_entropy_forward(logits, targets, self.label_smoothing)
        self._keep(cache)
        return loss

    def backward(self) -> NDArray:
        """``(softmax - target distribution) / N``."""
        return F.cross_entropy_backward(self._take_cache())

    def __repr__(self) -> str:
        return f"CrossEntropyLoss(label_smoothing={self.label_smoothing})"


class MultiMarginLoss(Loss):
    """Multiclass hinge loss, divided by the number of classes as in PyTorch."""

    def __init__(self, margin: float = 1.0) -> None:
        if not isfinite(margin):
            raise ValueError(f"margin must be a finite number, got {margin}")
        self.margin = margin

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss."""
        loss, cache = F.multi_margin_loss_forward(logits, targets, self.margin)
        self._keep(cache)
        return loss

    def backward(self) -> NDArray:
        """Subgradient: every violated margin counts once."""
        return F.multi_margin_loss_backward(self._take_cache())

    def __repr__(self) -> str:
        return f"MultiMarginLoss(margin={self.margin})"
