"""Losses over a batch of logits, averaged over the batch (lesson 1, "A linear classifier").

``loss, cache = *_forward(logits, targets, ...)`` with logits (N, C) and targets (N,) of
integers in 0..C-1; ``dlogits = *_backward(cache)``. The loss is a Python float. All raise
``ValueError`` naming the argument whose type, shape or range does not fit.
"""

from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_targets


def _check_logits(logits: NDArray) -> None:
    check_float("logits", logits, 2)
    if 0 in logits.shape:
        raise ValueError(f"logits must have at least one row and column, got {logits.shape}")


def log_softmax(logits: NDArray) -> NDArray:
    """Logarithm of the softmax of each row, (N, C).

    Subtracting the row's maximum changes nothing in exact arithmetic and keeps ``exp`` from
    overflowing: logits of 1e3, or of 1e38 in float32, are as good as any.
    """
    _check_logits(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: NDArray) -> NDArray:
    """Each row of logits as a probability distribution, (N, C)."""
    return np.exp(log_softmax(logits))


class CrossEntropyCache(NamedTuple):
    """What :func:`cross_entropy_backward` needs."""

    log_probs: NDArray
    targets: NDArray[np.int64]
    label_smoothing: float


def cross_entropy_forward(
    logits: NDArray, targets: NDArray, label_smoothing: float = 0.0
) -> tuple[float, CrossEntropyCache]:
    """Softmax cross-entropy, the mean over the batch.

    Label smoothing (Szegedy et al. 2016) mixes the one-hot target with the uniform
    distribution: ``q = (1 - label_smoothing) * onehot + label_smoothing / C``.

    Args:
        logits: (N, C).
        targets: (N,) integers in 0..C-1.
        label_smoothing: share of the uniform distribution, in [0, 1].

    Returns:
        the loss in nats, and the cache.
    """
    log_probs = log_softmax(logits)
    n, c = logits.shape
    targets = check_targets(targets, n, c)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
    nll = -log_probs[np.arange(n), targets].mean(dtype=np.float64)
    loss = nll
    if label_smoothing:
        uniform = -log_probs.mean(dtype=np.float64)
        loss = (1 - label_smoothing) * nll + label_smoothing * uniform
    return float(loss), CrossEntropyCache(log_probs, targets, label_smoothing)


def cross_entropy_backward(cache: CrossEntropyCache) -> NDArray:
    """Gradient with respect to the logits: ``(softmax(logits) - q) / N``, shape (N, C)."""
    log_probs, targets, eps = cache
    n, c = log_probs.shape
    dlogits = np.exp(log_probs)
    if eps:
        dlogits -= eps / c
    dlogits[np.arange(n), targets] -= 1 - eps
    dlogits /= n
    return dlogits


def multi_margin_loss_forward(
    logits: NDArray, targets: NDArray, margin: float = 1.0
) -> tuple[float, tuple[NDArray, NDArray[np.int64]]]:
    """Multiclass hinge loss (Crammer & Singer's sum form, as PyTorch defines it).

    ``sum over j != y of max(0, margin - logits[y] + logits[j]) / C``, the mean over the batch.
    Courses that do not divide by C have a loss and gradient C times as large.
    """
    _check_logits(logits)
    if not isfinite(margin):
        raise ValueError(f"margin must be a finite number, got {margin}")
    n, c = logits.shape
    targets = check_targets(targets, n, c)
    rows = np.arange(n)
    slack = np.maximum(margin - logits[rows, targets][:, None] + logits, 0)
    slack[rows, targets] = 0
    return float(slack.sum(dtype=np.float64) / (n * c)), (slack, targets)


def multi_margin_loss_backward(cache: tuple[NDArray, NDArray[np.int64]]) -> NDArray:
    """Gradient with respect to the logits: each violated margin pushes its pair apart."""
    slack, targets = cache
    n, c = slack.shape
    dlogits = (slack > 0).astype(slack.dtype)
    dlogits[np.arange(n), targets] = -dlogits.sum(axis=1)
    dlogits /= n * c
    return dlogits
