"""Lesson 1's exercises, right in other ways: loops with math, einsum, copies, float64 inside.

Each of them must pass on any seed; COURSEKIT_RIGHT_SEEDS=50 tries so many.
"""

import math

import numpy as np
import pytest


def wide(function):
    """The same in float64 whatever comes; results in the dtype that came."""

    def back(value, dtype):
        if isinstance(value, np.ndarray):
            return value.astype(dtype)
        if isinstance(value, tuple | list):
            return type(value)(back(v, dtype) for v in value)
        if isinstance(value, dict):
            return {k: back(v, dtype) for k, v in value.items()}
        return value

    def widened(value):
        if isinstance(value, list):
            return [widened(v) for v in value]
        is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value.astype(np.float64) if is_float else value

    def call(*args):
        dtype = next(
            a.dtype
            for arg in args
            for a in (arg if isinstance(arg, list) else [arg])
            if isinstance(a, np.ndarray) and a.dtype.kind == "f"
        )
        return back(function(*map(widened, args)), dtype)

    return call


# --- losses -----------------------------------------------------------------------------------


def softmax_with_math(logits, targets):
    n, c = logits.shape
    loss, d = 0.0, np.zeros_like(logits)
    for i in range(n):
        top = max(float(z) for z in logits[i])
        e = [math.exp(float(z) - top) for z in logits[i]]
        total = math.fsum(e)
        loss += math.log(total) - (float(logits[i, targets[i]]) - top)
        for j in range(c):
            d[i, j] = (e[j] / total - (j == targets[i])) / n
    return loss / n, d


def softmax_in_place_on_a_copy(logits, targets):
    z = logits.copy()
    z -= z.max(axis=1, keepdims=True)
    picked = np.take_along_axis(z, targets[:, None], axis=1).copy()
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total) - picked)
    z /= total
    z[np.arange(len(z)), targets] -= 1
    z /= len(z)
    return loss, z


@wide
def softmax_einsum(logits, targets):
    one_hot = np.eye(logits.shape[1])[targets]
    z = logits - np.max(logits, axis=-1)[:, None]
    log_p = z - np.log(np.einsum("nc->n", np.exp(z)))[:, None]
    loss = -np.einsum("nc,nc->", one_hot, log_p) / len(z)
    return float(loss), (np.exp(log_p) - one_hot) / len(z)


def softmax_with_scipy(logits, targets):
    from scipy.special import log_softmax, softmax

    rows = np.arange(len(logits))
    d = softmax(logits, axis=1)
    d[rows, targets] -= 1
    return -log_softmax(logits, axis=1)[rows, targets].mean(), d / len(logits)


def hinge_with_sums(logits, targets, margin=1.0):
    n, c = logits.shape
    total, d = 0.0, np.zeros(logits.shape, logits.dtype)
    for i, t in enumerate(targets):
        for j in (j for j in range(c) if j != t):
            gap = margin - (logits[i, t] - logits[i, j])
            if gap > 0:
                total += float(gap)
                d[i, j] += 1
                d[i, t] -= 1
    return total / (n * c), d / logits.dtype.type(n * c)


@wide
def hinge_einsum(logits, targets, margin=1.0):
    one_hot = np.eye(logits.shape[1])[targets]
    right = np.einsum("nc,nc->n", logits, one_hot)
    gaps = np.clip(margin - right[:, None] + logits, 0, None) * (1 - one_hot)
    active = np.sign(gaps)
    d = active - one_hot * active.sum(axis=1, keepdims=True)
    return float(gaps.mean()), d / logits.size


def hinge_in_place_on_a_copy(logits, targets, margin=1.0):
    gaps, rows = logits.copy(), np.arange(len(logits))
    gaps -= logits[rows, targets, None]
    gaps += logits.dtype.type(margin)
    gaps[rows, targets] = 0
    np.maximum(gaps, 0, out=gaps)
    d = np.where(gaps > 0, logits.dtype.type(1), logits.dtype.type(0))
    np.subtract.at(d, (rows, targets), d.sum(axis=1))
    d /= d.size
    return gaps.sum() / gaps.size, d


# --- layers -----------------------------------------------------------------------------------


def linear_loops(x, w, b):
    out = np.empty((len(x), len(w)), x.dtype)
    for n in range(len(x)):
        for m in range(len(w)):
            products = (float(x[n, d]) * float(w[m, d]) for d in range(x.shape[1]))
            out[n, m] = math.fsum(products) + float(b[m])
    return out, (x, w, b)


def linear_backward_loops(dout, cache):
    x, w, b = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n, m in np.ndindex(dout.shape):
        for d in range(x.shape[1]):
            dx[n, d] += dout[n, m] * w[m, d]
            dw[m, d] += dout[n, m] * x[n, d]
        db[m] += dout[n, m]
    return dx, dw, db


def linear_of_a_copy(x, w, b):
    out = np.tile(b, (len(x), 1))
    out += np.tensordot(x, w, axes=(1, 1))
    return out, (x, w, b)


@wide
def linear_backward_wide(dout, cache):
    x, w, _ = cache
    return (
        np.einsum("nm,md->nd", dout, w),
        np.einsum("nm,nd->md", dout, x),
        np.einsum("nm->m", dout),
    )


def linear_backward_wide_cache(dout, cache):
    wide_cache = tuple(a.astype(np.float64) for a in cache)
    return tuple(g.astype(dout.dtype) for g in linear_backward_wide(dout, wide_cache))


def linear_homogeneous(x, w, b):
    ones = np.ones((len(x), 1), x.dtype)
    return np.hstack([x, ones]) @ np.vstack([w.T, b]), (x, w, b)


def linear_backward_homogeneous(dout, cache):
    x, w, _ = cache
    both = dout.T @ np.hstack([x, np.ones((len(x), 1), x.dtype)])
    return dout @ w, both[:, :-1].copy(), both[:, -1].copy()


def relu_loops(x):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        if x[index] > 0:
            out[index] = x[index]
    return out, x


def relu_backward_loops(dout, x):
    dx = np.zeros_like(dout)
    for index in np.ndindex(x.shape):
        dx[index] = dout[index] if x[index] > 0 else 0
    return dx


def relu_clip(x):
    return np.clip(x, 0, None), np.heaviside(x, 0) > 0


def relu_backward_choose(dout, positive):
    return np.select([positive], [dout], 0).astype(dout.dtype)


def relu_keep_mask(x):
    mask = (x > 0).astype(x.dtype)
    return np.multiply(x, mask), (mask,)


def relu_backward_keep_mask(dout, cache):
    return np.einsum("...,...->...", dout, cache[0])


# --- numerical gradient -----------------------------------------------------------------------


def numerical_flat(f, x, h=1e-5):
    flat, gradient = x.reshape(-1).copy(), np.zeros(x.size)
    for i in range(x.size):
        values = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[i] += sign * h
            values.append(f(moved.reshape(x.shape)))
        gradient[i] = (values[0] - values[1]) / (2 * h)
    return gradient.reshape(x.shape)


def numerical_in_place(f, x, h=1e-5):
    x = x.copy()
    gradient = np.empty_like(x)
    for index, value in np.ndenumerate(x):
        x[index] = value + h
        above = f(x)
        x[index] = value - h
        below = f(x)
        x[index] = value
        gradient[index] = (above - below) / 2 / h
    return gradient


# --- nets -------------------------------------------------------------------------------------


def two_layers_loops(x, y, w1, b1, w2, b2, weight_decay):
    hidden, _ = linear_loops(x, w1, b1)
    active = relu_loops(hidden)[0]
    loss, d = softmax_with_math(linear_loops(active, w2, b2)[0], y)
    dactive, dw2, db2 = linear_backward_loops(d, (active, w2, b2))
    _, dw1, db1 = linear_backward_loops(relu_backward_loops(dactive, hidden), (x, w1, b1))
    penalty = math.fsum(float(v) ** 2 for w in (w1, w2) for v in w.ravel())
    dw1 += weight_decay * w1
    dw2 += weight_decay * w2
    grads = {"b2": db2, "w2": dw2, "b1": db1, "w1": dw1}
    return loss + 0.5 * weight_decay * penalty, grads


@wide
def two_layers_wide(x, y, w1, b1, w2, b2, weight_decay):
    pre = np.einsum("nd,hd->nh", x, w1) + b1
    active = pre * (pre > 0)
    loss, d = softmax_einsum(np.einsum("nh,ch->nc", active, w2) + b2, y)
    da = np.einsum("nc,ch->nh", d, w2) * (pre > 0)
    loss += weight_decay * (np.linalg.norm(w1) ** 2 + np.linalg.norm(w2) ** 2) / 2
    return loss, {
        "w1": np.einsum("nh,nd->hd", da, x) + weight_decay * w1,
        "b1": da.sum(0),
        "w2": np.einsum("nc,nh->ch", d, active) + weight_decay * w2,
        "b2": d.sum(0),
    }


def net_of_lists(x, y, weights, biases):
    caches, out = [], x
    for depth, (w, b) in enumerate(zip(weights, biases, strict=True)):
        out, cache = linear_loops(out, w, b)
        caches.append((cache, out))
        if depth + 1 < len(weights):
            out = relu_loops(out)[0]
    loss, d = softmax_with_math(out, y)
    dweights, dbiases = [None] * len(weights), [None] * len(weights)
    for depth in reversed(range(len(weights))):
        if depth + 1 < len(weights):
            d = relu_backward_loops(d, caches[depth][1])
        d, dweights[depth], dbiases[depth] = linear_backward_loops(d, caches[depth][0])
    return loss, dweights, dbiases


@wide
def net_wide(x, y, weights, biases):
    acts = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        acts.append(np.maximum(0.0, np.einsum("nd,md->nm", acts[-1], w) + b))
    loss, d = softmax_einsum(acts[-1] @ weights[-1].T + biases[-1], y)
    grads = []
    for w, a in zip(weights[::-1], acts[::-1], strict=True):
        grads.append((d.T @ a, d.sum(axis=0)))
        d = (d @ w) * (a > 0)
    dweights, dbiases = zip(*grads[::-1], strict=True)
    return loss, list(dweights), list(dbiases)


# --- first weights ----------------------------------------------------------------------------


def kaiming_normal_call(fan_in, fan_out, rng):
    return rng.normal(0.0, (2.0 / fan_in) ** 0.5, size=(fan_out, fan_in))


def kaiming_box_muller(fan_in, fan_out, rng):
    radius = np.sqrt(-2 * np.log(1 - rng.random((fan_out, fan_in))))
    angle = 2 * math.pi * rng.random((fan_out, fan_in))
    return radius * np.cos(angle) * math.sqrt(2 / fan_in)


def kaiming_one_by_one(fan_in, fan_out, rng):
    w = np.zeros((fan_out, fan_in))
    for row in w:
        row[:] = [rng.standard_normal() for _ in range(fan_in)]
    w *= np.sqrt(2 / fan_in)
    return w


def kaiming_transposed(fan_in, fan_out, rng):
    w = rng.standard_normal((fan_in, fan_out), np.float32).T
    return w * np.float32(math.sqrt(2 / fan_in))


# --- update rules -----------------------------------------------------------------------------


def each(function):
    """A rule for single numbers, applied to every entry."""

    def rule(w, g, *more):
        arrays = [a for a in more if isinstance(a, np.ndarray)]
        settings = [a for a in more if not isinstance(a, np.ndarray)]
        results = [np.empty_like(w) for _ in range(1 + len(arrays))]
        for index in np.ndindex(w.shape):
            given = (float(a[index]) for a in (w, g, *arrays))
            for result, value in zip(results, function(*given, *settings), strict=True):
                result[index] = value
        return tuple(results)

    return rule


def copies(function):
    """A rule that writes into its arrays, given copies of them."""

    def rule(*args):
        copied = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        return function(*copied)

    return rule


@each
def momentum_entry(w, g, v, lr, momentum):
    v = momentum * v + g
    return w - lr * v, v


@copies
def momentum_in_place(w, g, v, lr, momentum):
    v *= momentum
    v += g
    w -= lr * v
    return w, v


def momentum_one_line(w, g, v, lr, momentum):
    return w - lr * g - lr * momentum * v, momentum * v + g


@each
def rmsprop_entry(w, g, s, lr, alpha, eps):
    s = alpha * s + (1 - alpha) * g**2
    return w - lr * g / (math.sqrt(s) + eps), s


@copies
def rmsprop_in_place(w, g, s, lr, alpha, eps):
    s *= alpha
    s += (1 - alpha) * np.square(g)
    g *= lr
    g /= np.sqrt(s) + eps
    w -= g
    return w, s


@wide
def rmsprop_wide(w, g, s, lr, alpha, eps):
    s = s + (1 - alpha) * (g * g - s)
    return w - np.divide(lr * g, np.power(s, 0.5) + eps), s


@each
def adam_entry(w, g, m, v, t, lr, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    step = math.sqrt(v / (1 - math.pow(beta2, t))) + eps
    return w - lr * (m / (1 - math.pow(beta1, t))) / step, m, v


@copies
def adam_in_place(w, g, m, v, t, lr, beta1, beta2, eps):
    m *= beta1
    m += (1 - beta1) * g
    g *= g
    v *= beta2
    v += (1 - beta2) * g
    w -= lr / (1 - beta1**t) * m / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w, m, v


@wide
def adam_wide(w, g, m, v, t, lr, beta1, beta2, eps):
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
    root = math.sqrt(1 - beta2**t)
    return w - lr * root / (1 - beta1**t) * m / (np.sqrt(v) + eps * root), m, v


RIGHT = {
    "softmax_cross_entropy": [
        *(softmax_with_math, softmax_in_place_on_a_copy, softmax_einsum, softmax_with_scipy)
    ],
    "multi_margin_loss": [hinge_with_sums, hinge_einsum, hinge_in_place_on_a_copy],
    "linear_forward": [linear_loops, linear_of_a_copy, wide(linear_of_a_copy), linear_homogeneous],
    "linear_backward": [
        (linear_loops, linear_backward_loops),
        (linear_of_a_copy, linear_backward_wide_cache),
        (linear_homogeneous, linear_backward_homogeneous),
        linear_backward_loops,
    ],
    "relu_forward": [relu_loops, relu_clip, relu_keep_mask, wide(relu_loops)],
    "relu_backward": [
        (relu_loops, relu_backward_loops),
        (relu_clip, relu_backward_choose),
        (relu_keep_mask, relu_backward_keep_mask),
    ],
    "numerical_gradient": [numerical_flat, numerical_in_place],
    "two_layer_loss": [two_layers_loops, two_layers_wide],
    "mlp_loss": [net_of_lists, net_wide],
    "kaiming_normal": [
        *(kaiming_normal_call, kaiming_box_muller, kaiming_one_by_one, kaiming_transposed)
    ],
    "sgd_momentum": [momentum_entry, momentum_in_place, momentum_one_line, wide(momentum_one_line)],
    "rmsprop": [rmsprop_entry, rmsprop_in_place, rmsprop_wide],
    "adam": [adam_entry, adam_in_place, adam_wide],
}
WRITTEN = [(name, f) for name, functions in RIGHT.items() for f in functions]


def _id(value):
    last = value[-1] if isinstance(value, tuple) else value
    return getattr(last, "__qualname__", str(last)).replace(".<locals>.", "-")


@pytest.mark.parametrize(("name", "functions"), WRITTEN, ids=_id)
def test_right_answers_pass(name, functions, no_false_alarm):
    no_false_alarm(name, functions)
