"""Natural mistakes, written as learners write them: each is caught, and named by what it is.

None of these functions is taken from the zoo. They are why some of its animals are there.
"""

import re

import numpy as np
import pytest

from coursekit.checks import ExerciseError, check
from coursekit.checks import references_conv as conv_ref
from coursekit.checks import references_dropout as dropout_ref
from coursekit.checks import references_fc as ref

# --- losses -----------------------------------------------------------------------------------


def probabilities(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def gradient_of(p, targets):
    d = p.copy()
    d[np.arange(len(p)), targets] -= 1
    return d / len(p)


def columns_in_the_loss(logits, targets):
    p = probabilities(logits)
    return -np.log(p[:, targets]).mean(), gradient_of(p, targets)


def columns_in_the_loss_summed(logits, targets):
    p = probabilities(logits)
    return -np.log(p[:, targets]).sum() / len(p), gradient_of(p, targets)


def columns_in_loss_and_gradient(logits, targets):
    p = probabilities(logits)
    d = p.copy()
    d[:, targets] -= 1
    return -np.log(p[:, targets]).mean(), d / len(p)


def columns_of_log_softmax(logits, targets):
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[:, targets].mean(), gradient_of(np.exp(log_p), targets)


def eps_added(eps):
    def loss(logits, targets):
        p = probabilities(logits)
        rows = np.arange(len(p))
        return -np.sum(np.log(p[rows, targets] + eps)) / len(p), gradient_of(p, targets)

    return loss


def clipped(eps):
    def loss(logits, targets):
        p = probabilities(logits)
        picked = np.clip(p, eps, 1 - eps)[range(len(p)), targets]
        return -np.log(picked).mean(), gradient_of(p, targets)

    return loss


def global_maximum(logits, targets):
    z = logits - logits.max()
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(z)), targets].mean()
    return loss, gradient_of(np.exp(log_p), targets)


def global_maximum_added_back(logits, targets):
    m = np.max(logits)
    e = np.exp(logits - m)
    lse = m + np.log(e.sum(axis=1))
    n = len(logits)
    loss = np.mean(lse - logits[np.arange(n), targets])
    return loss, gradient_of(e / e.sum(axis=1, keepdims=True), targets)


def hinge_at_the_margin(logits, targets, margin=1.0):
    n, c = logits.shape
    rows = np.arange(n)
    violation = margin - logits[rows, targets][:, None] + logits
    violation[rows, targets] = -1
    active = (violation >= 0).astype(logits.dtype)
    loss = (violation * active).sum() / (n * c)
    d = active
    d[rows, targets] = -active.sum(axis=1)
    return loss, d / logits.dtype.type(n * c)


# --- layers and nets --------------------------------------------------------------------------


def forward_not_transposed(x, w, b):
    return x @ w + b, (x, w, b)


def forward_dot(x, w, b):
    return np.dot(x, w) + b, (x, w, b)


def dx_transposed(dout, cache):
    x, w, _ = cache
    return dout @ w.T, dout.T @ x, dout.sum(axis=0)


def dw_of_dout_and_x(dout, cache):
    x, w, _ = cache
    return dout @ w, dout @ x, dout.sum(axis=0)


def two_layers(x, y, w1, b1, w2, b2, weight_decay, *, last=False, on_w1=True, on_w2=True):
    pre = x @ w1.T + b1
    hidden = np.maximum(pre, 0)
    raw = hidden @ w2.T + b2
    scores = np.maximum(raw, 0) if last else raw
    loss, d = ref.softmax_cross_entropy(scores, y)
    if last:
        d = d * (raw > 0)
    loss += 0.5 * weight_decay * (np.sum(w1**2) + np.sum(w2**2))
    dh = (d @ w2) * (hidden > 0)
    return loss, {
        "w1": dh.T @ x + on_w1 * weight_decay * w1,
        "b1": dh.sum(axis=0),
        "w2": d.T @ hidden + on_w2 * weight_decay * w2,
        "b2": d.sum(axis=0),
    }


def two_layers_relu_last(*args):
    return two_layers(*args, last=True)


def two_layers_no_penalty_on_w2(*args):
    return two_layers(*args, on_w2=False)


def two_layers_no_penalty_on_w1(*args):
    return two_layers(*args, on_w1=False)


def two_layers_not_transposed(x, y, w1, b1, w2, b2, weight_decay):
    hidden = np.maximum(x @ w1 + b1, 0)
    return ref.softmax_cross_entropy(hidden @ w2 + b2, y)[0], {}


def deep(x, y, weights, biases, *, mask=np.greater, last=False, of=0, forward=np.dot):
    """A loop over the layers; ``of`` 0: masks from before the ReLU, 1: from after it."""
    inputs, pres = [x], []
    for i in range(len(weights)):
        pre = inputs[-1] @ weights[i].T + biases[i]
        pres.append(pre)
        inputs.append(np.maximum(pre, 0) if last or i < len(weights) - 1 else pre)
    loss, d = ref.softmax_cross_entropy(inputs[-1], y)
    dw, db = [], []
    for i in range(len(weights) - 1, -1, -1):
        if last or i < len(weights) - 1:
            d = d * mask(inputs[i + 1] if of else pres[i], 0)
        dw.insert(0, d.T @ inputs[i])
        db.insert(0, d.sum(axis=0))
        d = d @ weights[i]
    return loss, dw, db


def deep_mask_at_zero(*args):
    return deep(*args, mask=np.greater_equal)


def deep_mask_at_zero_after_the_relu(*args):
    return deep(*args, mask=np.greater_equal, of=1)


def deep_relu_last(*args):
    return deep(*args, last=True)


def deep_not_transposed(x, y, weights, biases):
    h = x
    for w, b in zip(weights, biases, strict=True):
        h = np.maximum(h @ w + b, 0)
    return ref.softmax_cross_entropy(h, y)[0], [], []


def deep_pop(x, y, weights, biases):
    given = list(weights), list(biases)
    weights.pop(0)
    return ref.mlp_loss(x, y, *given)


def deep_append(x, y, weights, biases):
    result = ref.mlp_loss(x, y, list(weights), list(biases))
    biases.append(0)
    return result


def lsuv_pop(weights, x):
    result = dropout_ref.lsuv(list(weights), x)
    weights.pop(0)
    return result


def lsuv_list_assigned(weights, x):
    for i, w in enumerate(dropout_ref.lsuv(list(weights), x)):
        weights[i] = w
    return weights


def lsuv_not_transposed(weights, x):
    done = []
    for w in weights:
        pre = x @ w
        done.append(w / pre.std())
        x = np.maximum(pre / pre.std(), 0)
    return done


# --- update rules -----------------------------------------------------------------------------


def momentum_ignored(w, g, v, lr, momentum):
    return w - lr * g, g


def momentum_ignored_v_kept(w, g, v, lr, momentum):
    return w - lr * g, v


def momentum_left_out_of_v(w, g, v, lr, momentum):
    v = v + g
    return w - lr * v, v


def rmsprop_eps_squared(w, g, s, lr, alpha, eps):
    s = alpha * s + (1 - alpha) * g**2
    return w - lr * g / np.sqrt(s + eps**2), s


def adam_with(w, g, m, v, t, lr, beta1, beta2, eps, correct, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return w - lr * correct(m, beta1) / root(correct(v, beta2), eps), m, v


def adam_power_outside(w, g, m, v, t, lr, beta1, beta2, eps):
    return adam_with(
        *(w, g, m, v, t, lr, beta1, beta2, eps),
        lambda a, beta: a / (1 - beta) ** t,
        lambda v, eps: np.sqrt(v) + eps,
    )


def adam_times_t(w, g, m, v, t, lr, beta1, beta2, eps):
    return adam_with(
        *(w, g, m, v, t, lr, beta1, beta2, eps),
        lambda a, beta: a / (1 - beta * t),
        lambda v, eps: np.sqrt(v) + eps,
    )


def adam_eps_squared(w, g, m, v, t, lr, beta1, beta2, eps):
    return adam_with(
        *(w, g, m, v, t, lr, beta1, beta2, eps),
        lambda a, beta: a / (1 - beta**t),
        lambda v, eps: np.sqrt(v + eps**2),
    )


# --- convolution and pooling ------------------------------------------------------------------


def padded(x, p):
    return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])


def cost_kernel_swapped(c_in, c_out, kernel_size, stride, padding, h, w):
    kw, kh = kernel_size
    oh = (h + 2 * padding - kh) // stride + 1
    ow = (w + 2 * padding - kw) // stride + 1
    weights = c_in * c_out * kh * kw
    return (oh, ow), weights + c_out, weights * oh * ow


def conv_range(step_window, place):
    def forward(x, w, b, stride, padding):
        (n, _, h, wide), (f, _, kh, kw) = x.shape, w.shape
        oh, ow = (h + 2 * padding - kh) // stride + 1, (wide + 2 * padding - kw) // stride + 1
        xp, out = padded(x, padding), np.zeros((n, f, oh, ow), x.dtype)
        for i in range(0, oh, stride):
            for j in range(0, ow, stride):
                top, left = step_window(i, stride), step_window(j, stride)
                window = xp[:, :, top : top + kh, left : left + kw]
                out[:, :, place(i, stride), place(j, stride)] = (
                    np.einsum("nchw,fchw->nf", window, w) + b
                )
        return out, None

    return forward


def pool_range(step_window, place):
    def forward(x, pool_height, pool_width, stride):
        n, c, h, w = x.shape
        oh, ow = (h - pool_height) // stride + 1, (w - pool_width) // stride + 1
        out = np.zeros((n, c, oh, ow), x.dtype)
        for i in range(0, oh, stride):
            for j in range(0, ow, stride):
                top, left = step_window(i, stride), step_window(j, stride)
                window = x[:, :, top : top + pool_height, left : left + pool_width]
                out[:, :, place(i, stride), place(j, stride)] = window.max(axis=(2, 3))
        return out, None

    return forward


def stays(i, stride):
    return i


def times(i, stride):
    return i * stride


def divided(i, stride):
    return i // stride


def conv_backward_vectorized(dx_add=True, dw_add=True, step=1):
    def backward(dout, cache):
        x, w, stride, p = cache
        (_, _, h, wide), (_, _, kh, kw) = x.shape, w.shape
        xp = padded(x, p)
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for i in range(0, dout.shape[2], stride if step != 1 else 1):
            for j in range(0, dout.shape[3], stride if step != 1 else 1):
                top, left = i * stride, j * stride
                if step == "i":
                    top, left = i, j
                window = np.s_[:, :, top : top + kh, left : left + kw]
                new = np.einsum("nf,fchw->nchw", dout[:, :, i, j], w)
                dxp[window] = dxp[window] + new if dx_add else new
                new = np.einsum("nf,nchw->fchw", dout[:, :, i, j], xp[window])
                dw = dw + new if dw_add else new
        return dxp[:, :, p : p + h, p : p + wide], dw, dout.sum(axis=(0, 2, 3))

    return backward


def conv_backward_by_offsets(dout, cache):
    x, w, s, p = cache
    (oh, ow), (kh, kw) = dout.shape[2:], w.shape[2:]
    _, dw, db = conv_ref.conv2d_backward(dout, cache)
    dxp = np.zeros_like(padded(x, p))
    for i in range(kh):
        for j in range(kw):
            new = np.einsum("nfyx,fc->ncyx", dout, w[:, :, i, j])
            dxp[:, :, i : i + s * oh : s, j : j + s * ow : s] = new
    return dxp[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw, db


def col2im_by_offsets(cols, x_shape, kh, kw, stride, padding):
    n, c, h, w = x_shape
    oh, ow = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
    windows = cols.reshape(n, oh, ow, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    dxp = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    for i in range(kh):
        for j in range(kw):
            rows, columns = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            dxp[:, :, rows, columns] = windows[:, :, i, j]
    return dxp[:, :, padding : padding + h, padding : padding + w]


def pool_from(start):
    def forward(x, pool_height, pool_width, stride):
        n, c, h, w = x.shape
        out_shape = (n, c, (h - pool_height) // stride + 1, (w - pool_width) // stride + 1)
        out = np.zeros(out_shape, x.dtype)
        for m, k, i, j in np.ndindex(out_shape):
            best = start
            for a in range(pool_height):
                for b in range(pool_width):
                    best = max(best, x[m, k, i * stride + a, j * stride + b])
            out[m, k, i, j] = best
        return out, (x, pool_height, pool_width, stride)

    return forward


def pool_backward_from(start, place):
    def backward(dout, cache):
        x, high, wide, s = cache
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(dout.shape):
            best, where = start, place
            for a in range(high):
                for b in range(wide):
                    if x[n, c, i * s + a, j * s + b] > best:
                        best, where = x[n, c, i * s + a, j * s + b], (a, b)
            if where is not None:
                dx[n, c, i * s + where[0], j * s + where[1]] += dout[n, c, i, j]
        return dx

    return backward


def pool_backward_range(step_window):
    def backward(dout, cache):
        x, high, wide, s = cache
        dx = np.zeros_like(x)
        for n, c in np.ndindex(dout.shape[:2]):
            for i in range(0, dout.shape[2], s):
                for j in range(0, dout.shape[3], s):
                    top, left = step_window(i, s), step_window(j, s)
                    window = x[n, c, top : top + high, left : left + wide]
                    a, b = np.unravel_index(window.argmax(), window.shape)
                    dx[n, c, top + a, left + b] += dout[n, c, i, j]
        return dx

    return backward


# --- what is drawn ----------------------------------------------------------------------------


def crop_at(draw):
    def random_crop(images, padding, rng):
        n, _, h, w = images.shape
        big = np.pad(images, [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2], "reflect")
        out = np.empty_like(images)
        for i in range(n):
            top, left = draw(rng, padding), draw(rng, padding)
            out[i] = big[i, :, top : top + h, left : left + w]
        return out

    return random_crop


def rounded(rng, padding):
    return int(np.round(rng.random() * 2 * padding))


def rounded_both_ways(rng, padding):
    return padding + int(np.round(rng.uniform(-padding, padding)))


def two_dice(rng, padding):
    return rng.integers(0, padding + 1) + rng.integers(0, padding + 1)


def coins(rng, padding):
    return rng.binomial(2 * padding, 0.5)


def bell(rng, padding):
    return int(np.clip(np.round(rng.normal(padding, padding / 2)), 0, 2 * padding))


def cut_off(rng, padding):
    return padding + int(np.clip(rng.integers(-2 * padding, 2 * padding + 1), -padding, padding))


def row_follows_column(images, padding, rng):
    """Both uniform; half of the time the row is the column."""
    n, _, h, w = images.shape
    big = np.pad(images, [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2], "reflect")
    top, left = rng.integers(0, 2 * padding + 1, (2, n))
    top = np.where(rng.random(n) < 0.5, left, top)
    places = zip(big, top, left, strict=True)
    return np.stack([x[:, i : i + h, j : j + w] for x, i, j in places])


def dropout_exactly(x, p, training, rng):
    """As many zeros as p says, not one more."""
    if not training:
        return x.copy(), None
    mask = np.full(x.size, 1 / (1 - p), x.dtype)
    mask[rng.permutation(x.size)[: round(p * x.size)]] = 0
    return x * mask.reshape(x.shape), mask.reshape(x.shape)


def dropout_by_units(x, p, training, rng):
    """Units have chances of their own, p on average."""
    if not training or p == 0:
        return x.copy(), None
    rows = x.reshape(100, -1)
    spread = min(p, 1 - p) * np.linspace(-1, 1, rows.shape[1])
    mask = (rng.random(rows.shape) >= p + spread).reshape(x.shape) / x.dtype.type(1 - p)
    return (x * mask).astype(x.dtype), mask


def kaiming_truncated(fan_in, fan_out, rng):
    w = rng.standard_normal((fan_out, fan_in))
    while np.any(np.abs(w) > 2):
        w = np.where(np.abs(w) > 2, rng.standard_normal(w.shape), w)
    return w * np.sqrt(2 / fan_in)


def kaiming_clipped(fan_in, fan_out, rng):
    w = np.clip(rng.standard_normal((fan_out, fan_in)), -2, 2)
    return w * np.sqrt(2 / fan_in)


def kaiming_laplace(fan_in, fan_out, rng):
    return rng.laplace(0, np.sqrt(1 / fan_in), (fan_out, fan_in))


RARE = "the first and last places are too rare"

MISTAKES = [
    ("softmax_cross_entropy", columns_in_the_loss, "p[:, targets] takes whole columns"),
    ("softmax_cross_entropy", columns_in_the_loss_summed, "p[:, targets] takes whole columns"),
    ("softmax_cross_entropy", columns_in_loss_and_gradient, "p[:, targets] takes whole columns"),
    ("softmax_cross_entropy", columns_of_log_softmax, "p[:, targets] takes whole columns"),
    *(
        ("softmax_cross_entropy", change(eps), f"log(p + {eps:g}), or p clipped at {eps:g}")
        for change in (eps_added, clipped)
        for eps in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)
    ),
    ("softmax_cross_entropy", global_maximum, "the maximum of the whole batch is subtracted"),
    (
        "softmax_cross_entropy",
        global_maximum_added_back,
        "the maximum of the whole batch is subtracted",
    ),
    ("multi_margin_loss", hinge_at_the_margin, "the mask is >= 0: it pushes a class at exactly"),
    ("linear_forward", forward_not_transposed, "x @ w multiplies by the weights as they are"),
    ("linear_forward", forward_dot, "x @ w multiplies by the weights as they are"),
    ("linear_backward", dx_transposed, "dx multiplies by w.T"),
    ("linear_backward", dw_of_dout_and_x, "dw is dout @ x"),
    ("two_layer_loss", two_layers_relu_last, "a ReLU after the second layer as well"),
    ("two_layer_loss", two_layers_no_penalty_on_w2, "no penalty in the gradient of w2"),
    ("two_layer_loss", two_layers_no_penalty_on_w1, "no penalty in the gradient of w1"),
    ("two_layer_loss", two_layers_not_transposed, "x @ w multiplies by the weights as they are"),
    ("mlp_loss", deep_mask_at_zero, "the mask is pre >= 0"),
    ("mlp_loss", deep_mask_at_zero_after_the_relu, "backward does not go through the ReLUs"),
    ("mlp_loss", deep_relu_last, "a ReLU after the last layer as well"),
    ("mlp_loss", deep_not_transposed, "x @ w multiplies by the weights as they are"),
    ("mlp_loss", deep_pop, "pop"),
    ("mlp_loss", deep_append, "append"),
    ("lsuv", lsuv_pop, "pop"),
    ("lsuv", lsuv_list_assigned, "weights[i] ="),
    ("lsuv", lsuv_not_transposed, "x @ w multiplies by the weights as they are"),
    ("sgd_momentum", momentum_ignored, "momentum is ignored"),
    ("sgd_momentum", momentum_ignored_v_kept, "momentum is ignored"),
    ("sgd_momentum", momentum_left_out_of_v, "v = v + g, without momentum"),
    ("rmsprop", rmsprop_eps_squared, "eps is squared inside the square root"),
    ("adam", adam_power_outside, "(1 - beta)**t"),
    ("adam", adam_times_t, "1 - beta * t"),
    ("adam", adam_eps_squared, "eps is squared inside the square root"),
    ("conv2d_cost", cost_kernel_swapped, "kernel_size is read as (width, height)"),
    ("conv2d_forward", conv_range(stays, stays), "range(0, H_out, stride)"),
    ("conv2d_forward", conv_range(times, stays), "range(0, H_out, stride)"),
    ("conv2d_forward", conv_range(stays, divided), "range(0, H_out, stride)"),
    ("max_pool2d_forward", pool_range(stays, stays), "range(0, H_out, stride)"),
    ("max_pool2d_forward", pool_range(times, stays), "range(0, H_out, stride)"),
    ("max_pool2d_forward", pool_range(stays, divided), "range(0, H_out, stride)"),
    *(
        ("max_pool2d_forward", pool_from(start), f"the maximum starts at {start:g}, so that")
        for start in (-1, -10, -100, -999, -1000, -1e4, -1e5, -1e6, -1e9)
    ),
    ("col2im", col2im_by_offsets, "= for += where windows overlap"),
    *(("random_crop", crop_at(draw), RARE) for draw in (rounded, rounded_both_ways)),
    ("random_crop", crop_at(two_dice), RARE),
    ("random_crop", crop_at(coins), RARE),
    ("random_crop", crop_at(bell), RARE),
    ("random_crop", crop_at(cut_off), "the middle places are too rare"),
    ("random_crop", row_follows_column, "row and column are not independent"),
    ("dropout_forward", dropout_exactly, "exactly p of the entries are dropped"),
    ("dropout_forward", dropout_by_units, "units have chances of their own"),
    ("kaiming_normal", kaiming_truncated, "the normal distribution is cut off"),
    ("kaiming_normal", kaiming_clipped, "the normal distribution is cut off"),
    ("kaiming_normal", kaiming_laplace, ""),
]
BACKWARD = [
    ("conv2d_backward", conv_backward_vectorized(dx_add=False), "dx[window] = for +="),
    ("conv2d_backward", conv_backward_vectorized(dw_add=False), "dw = for +="),
    ("conv2d_backward", conv_backward_by_offsets, "dx[window] = for +="),
    ("conv2d_backward", conv_backward_vectorized(step="i"), "range(0, H_out, stride)"),
    ("conv2d_backward", conv_backward_vectorized(step="i * s"), "range(0, H_out, stride)"),
    ("max_pool2d_backward", pool_backward_range(stays), "range(0, H_out, stride)"),
    ("max_pool2d_backward", pool_backward_range(times), "range(0, H_out, stride)"),
    *(
        ("max_pool2d_backward", pool_backward_from(start, place), "starts at a finite number")
        for start in (-10, -1e9)
        for place in ((0, 0), None)
    ),
]
FORWARDS = {
    "conv2d_backward": conv_ref.conv2d_forward,
    "max_pool2d_backward": conv_ref.max_pool2d_forward,
}
ALL = [(name, (f,), told) for name, f, told in MISTAKES]
ALL += [(name, (FORWARDS[name], f), told) for name, f, told in BACKWARD]


def _id(value):
    if isinstance(value, tuple):
        return value[-1].__qualname__.partition(".")[0]
    return value if value.isidentifier() else ""


@pytest.mark.parametrize(("name", "functions", "told"), ALL, ids=_id)
def test_the_mistake_is_caught_and_named(name, functions, told):
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    text = str(failure.value)
    named = re.search("this (?:looks like|may be): (.*)", text)
    assert told in named[1] if named else not told, text
