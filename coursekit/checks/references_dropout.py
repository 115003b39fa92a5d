"""Lesson 2's exercises on dropout and on experiments, solved."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dropout_forward(
    x: NDArray, p: float, training: bool, rng: np.random.Generator
) -> tuple[NDArray, Any]:
    """Inverted dropout: an entry is 0 with probability ``p``, and grows by 1 / (1 - p) if not."""
    if not training:
        return x.copy(), None
    scaled_mask = (rng.random(x.shape) >= p).astype(x.dtype) / (1 - p)
    return x * scaled_mask, scaled_mask


def dropout_backward(dout: NDArray, cache: Any) -> NDArray:
    """The gradient goes the way the activations went."""
    return dout.copy() if cache is None else dout * cache


def mc_dropout(logits_of: Callable[[NDArray], NDArray], x: NDArray, samples: int) -> NDArray:
    """Mean of the probabilities (N, C) of ``samples`` passes through a random net."""
    return np.mean([_softmax(logits_of(x)) for _ in range(samples)], axis=0)


def _softmax(logits: NDArray) -> NDArray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def expected_calibration_error(probabilities: NDArray, labels: NDArray, bins: int = 10) -> float:
    """Gap between confidence and accuracy, averaged over ``bins`` right-closed bins of (0, 1].

    A bin's weight is its share of the rows, so that its count cancels: what is left of
    ``count / N * |accuracy - confidence|`` is a sum over its rows.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.ceil(confidence * bins).astype(int) - 1
    return float(np.abs(np.bincount(bin_of, weights=right - confidence)).sum() / len(labels))


def confidence_band(values: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and half width of Student's 95 % interval for it, over the last axis."""
    from scipy.special import stdtrit  # the quantile of t; scipy.stats takes long to import

    n = values.shape[-1]
    half_width = stdtrit(n - 1, 0.975) * values.std(axis=-1, ddof=1) / sqrt(n)
    return values.mean(axis=-1), half_width


def lsuv(weights: list[NDArray], x: NDArray) -> list[NDArray]:
    """Rescale the weights of a ReLU net so that all pre-activations of ``x`` have deviation 1."""
    rescaled = []
    for w in weights:
        pre = x @ w.T
        std = pre.std()
        rescaled.append(w / std)
        x = np.maximum(pre / std, 0)
    return rescaled
