"""Lesson 1's exercises, solved: what the learner's functions are compared with."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from coursekit import functional as F


def softmax_cross_entropy(logits: NDArray, targets: NDArray) -> tuple[float, NDArray]:
    """Mean loss over the rows of ``logits`` and its gradient."""
    loss, cache = F.cross_entropy_forward(logits, targets)
    return loss, F.cross_entropy_backward(cache)


def multi_margin_loss(
    logits: NDArray, targets: NDArray, margin: float = 1.0
) -> tuple[float, NDArray]:
    """Mean hinge loss, divided by the number of classes, and its gradient."""
    loss, cache = F.multi_margin_loss_forward(logits, targets, margin)
    return loss, F.multi_margin_loss_backward(cache)


def numerical_gradient(f: Callable[[NDArray], float], x: NDArray, h: float = 1e-5) -> NDArray:
    """Central differences of ``f`` at ``x``, one entry after the other."""
    gradient = np.zeros(x.shape, x.dtype)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape, x.dtype)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


def two_layer_loss(
    x: NDArray,
    y: NDArray,
    w1: NDArray,
    b1: NDArray,
    w2: NDArray,
    b2: NDArray,
    weight_decay: float,
) -> tuple[float, dict[str, NDArray]]:
    """Loss and gradients of linear, ReLU, linear, softmax, with an L2 penalty on the weights."""
    loss, (dw1, dw2), (db1, db2) = mlp_loss(x, y, [w1, w2], [b1, b2])
    loss += weight_decay / 2 * float((w1 * w1).sum() + (w2 * w2).sum())
    dw1, dw2 = dw1 + weight_decay * w1, dw2 + weight_decay * w2
    return loss, {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def mlp_loss(
    x: NDArray, y: NDArray, weights: list[NDArray], biases: list[NDArray]
) -> tuple[float, list[NDArray], list[NDArray]]:
    """Loss and gradients of a net of any depth, ReLU between its linear layers."""
    inputs = [x]
    for w, b in zip(weights, biases, strict=True):
        out, _ = F.linear_forward(inputs[-1], w, b)
        inputs.append(np.maximum(out, 0))
    loss, dout = softmax_cross_entropy(out, y)
    dweights: list[NDArray] = []
    dbiases: list[NDArray] = []
    for i in reversed(range(len(weights))):
        dx, dw, db = F.linear_backward(dout, (inputs[i], weights[i], biases[i]))
        assert dx is not None and db is not None  # dx was not declined, and there is a bias
        dweights.insert(0, dw)
        dbiases.insert(0, db)
        dout = dx * (inputs[i] > 0)
    return loss, dweights, dbiases


def kaiming_normal(fan_in: int, fan_out: int, rng: np.random.Generator) -> NDArray:
    """Weights (fan_out, fan_in) with standard deviation ``sqrt(2 / fan_in)``."""
    return rng.standard_normal((fan_out, fan_in)) * sqrt(2 / fan_in)


def sgd_momentum(
    w: NDArray, g: NDArray, v: NDArray, lr: float, momentum: float
) -> tuple[NDArray, NDArray]:
    """One step of SGD with momentum, PyTorch's form: the new ``(w, v)``."""
    v = momentum * v + g
    return w - lr * v, v


def rmsprop(
    w: NDArray, g: NDArray, s: NDArray, lr: float, alpha: float, eps: float
) -> tuple[NDArray, NDArray]:
    """One step of RMSProp: the new ``(w, s)``."""
    s = alpha * s + (1 - alpha) * g * g
    return w - lr * g / (np.sqrt(s) + eps), s


def adam(
    w: NDArray,
    g: NDArray,
    m: NDArray,
    v: NDArray,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[NDArray, NDArray, NDArray]:
    """Step number ``t`` (the first is 1) of Adam: the new ``(w, m, v)``."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
