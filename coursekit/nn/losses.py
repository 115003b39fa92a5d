"""Losses as objects: call one for the value, then ``backward()`` for the logits' gradient."""

from typing import Any

from numpy.typing import NDArray

from coursekit import functional as F


class Loss:
    """Base of losses: ``loss = criterion(logits, targets)``, ``dlogits = criterion.backward()``."""

    _cache: Any = None

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss of logits (N, C) for targets (N,)."""
        raise NotImplementedError

    def backward(self) -> NDArray:
        """Gradient of the last value with respect to its logits, (N, C)."""
        raise NotImplementedError


class CrossEntropyLoss(Loss):
    """Softmax cross-entropy with optional label smoothing."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss in nats."""
        loss, self._cache = F.cross_entropy_forward(logits, targets, self.label_smoothing)
        return loss

    def backward(self) -> NDArray:
        """``(softmax - target distribution) / N``."""
        return F.cross_entropy_backward(self._cache)

    def __repr__(self) -> str:
        return f"CrossEntropyLoss(label_smoothing={self.label_smoothing})"


class MultiMarginLoss(Loss):
    """Multiclass hinge loss, divided by the number of classes as in PyTorch."""

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = margin

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss."""
        loss, self._cache = F.multi_margin_loss_forward(logits, targets, self.margin)
        return loss

    def backward(self) -> NDArray:
        """Subgradient: every violated margin counts once."""
        return F.multi_margin_loss_backward(self._cache)

    def __repr__(self) -> str:
        return f"MultiMarginLoss(margin={self.margin})"
