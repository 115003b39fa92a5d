"""Exercise checks: right answers pass however they are written, failures say what is wrong.

The right answers are lesson 1's; those of lessons 2 and 3 stand in test_checks_exercises_norm and
test_checks_exercises_conv.
"""

import re
from math import sqrt

import numpy as np
import pytest

from coursekit import functional as F
from coursekit.checks import ExerciseError, check
from coursekit.checks import references_fc as ref
from coursekit.checks.exercises import EXERCISES, diagnose, find

# --- right answers, written as different learners would -------------------------------------


def softmax_one_hot(logits, targets):
    """One-hot targets and a mask."""
    n, c = logits.shape
    z = logits - np.max(logits, axis=-1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
    one_hot = np.zeros((n, c), dtype=logits.dtype)
    one_hot[np.arange(n), targets] = 1
    loss = -np.sum((z - log_sum) * one_hot) / n
    return loss, (np.exp(z - log_sum) - one_hot) / n


def softmax_row_by_row(logits, targets):
    """A loop over the batch; the loss as a NumPy scalar."""
    total, rows = 0.0, []
    for row, target in zip(logits, targets, strict=True):
        row = row - row.max()
        e = np.exp(row)
        total += np.log(e.sum()) - row[target]
        g = e / e.sum()
        g[target] -= 1
        rows.append(g / len(logits))
    return total / len(logits), np.stack(rows)


def softmax_logaddexp(logits, targets):
    """The log of the sum by np.logaddexp."""
    log_p = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
    g = np.exp(log_p)
    np.subtract.at(g, (np.arange(len(g)), targets), 1)
    return np.array(-log_p[np.arange(len(g)), targets].mean()), g / len(g)


def softmax_python_float(logits, targets):
    """The loss as a Python float, rounded to float32 on the way."""
    loss, dlogits = softmax_logaddexp(logits, targets)
    return float(loss), dlogits


def hinge_loops(logits, targets, margin=1.0):
    """Three nested thoughts, as on paper."""
    n, c = logits.shape
    loss, dlogits = 0.0, np.zeros_like(logits)
    for i in range(n):
        for j in range(c):
            violation = margin - logits[i, targets[i]] + logits[i, j]
            if j != targets[i] and violation > 0:
                loss += violation / (n * c)
                dlogits[i, j] += 1 / (n * c)
                dlogits[i, targets[i]] -= 1 / (n * c)
    return loss, dlogits


def hinge_mask(logits, targets, margin=1.0):
    """A mask that leaves out the true class."""
    n, c = logits.shape
    other = np.arange(c) != targets[:, None]
    true = np.take_along_axis(logits, targets[:, None], axis=1)
    active = other & (logits - true + margin > 0)
    loss = ((logits - true + margin) * active).sum() / logits.size
    d = active.astype(logits.dtype)
    d = d - (~other) * d.sum(axis=1, keepdims=True)
    return loss, d / logits.dtype.type(n * c)


def linear_einsum(x, w, b):
    """Einstein's sums."""
    return np.einsum("nd,md->nm", x, w) + b, (x, w, b)


def linear_dot(x, w, b):
    """np.dot and np.add."""
    return np.add(np.dot(x, w.transpose()), b.reshape(1, -1)), (x, w, b)


def linear_backward_einsum(dout, cache):
    """Einstein's sums."""
    x, w, _ = cache
    return (
        np.einsum("nm,md->nd", dout, w),
        np.einsum("nm,nd->md", dout, x),
        np.einsum("nm->m", dout),
    )


def linear_backward_transposed(dout, cache):
    """The products the other way round, and ones for the sum."""
    x, w, _ = cache
    ones = np.ones((1, len(x)), dtype=x.dtype)
    return (w.T @ dout.T).T, (x.T @ dout).T, (ones @ dout).ravel()


def linear_forward_dict(x, w, b):
    """A cache of the learner's own making."""
    return x @ w.T + b, {"x": x, "w": w}


def linear_backward_dict(dout, cache):
    """The backward that goes with it; a list instead of a tuple."""
    return [dout @ cache["w"], dout.T @ cache["x"], np.sum(dout, axis=0)]


def relu_where(x):
    """np.where; the cache is x."""
    return np.where(x > 0, x, 0), x


def relu_times_mask(x):
    """Times a mask; the cache is the mask."""
    mask = x > 0
    return x * mask, mask


def relu_copy(x):
    """Indexing into a copy; no cache but a tuple."""
    out = x.copy()
    out[out < 0] = 0
    return out, (out,)


def relu_half(x):
    """The half of x and its size."""
    return (x + np.abs(x)) / 2, x


def relu_backward_copy(dout, x):
    """Indexing into a copy."""
    dx = np.array(dout)
    dx[x <= 0] = 0
    return dx


RELU_PAIRS = [
    (relu_where, relu_backward_copy),
    (relu_where, lambda dout, x: dout * (x > 0)),
    (relu_times_mask, lambda dout, mask: mask * dout),
    (relu_copy, lambda dout, cache: np.where(cache[0] > 0, dout, 0)),
    (relu_half, lambda dout, x: dout * np.heaviside(x, 0)),
]


def numerical_nditer(f, x, h=1e-5):
    """In place with the old value put back, by np.nditer."""
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        i = it.multi_index
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        down = f(x)
        x[i] = old
        grad[i] = (up - down) / (2 * h)
        it.iternext()
    return grad


def numerical_copies(f, x, h=1e-5):
    """A copy for every point, filled by flat index."""
    slopes = []
    for i in range(x.size):
        up, down = x.copy(), x.copy()
        up.flat[i] += h
        down.flat[i] -= h
        slopes.append((f(up) - f(down)) / (2 * h))
    return np.array(slopes).reshape(x.shape)


def numerical_basis(f, x, h=1e-5):
    """Steps along the rows of the unit matrix."""
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    slopes = [0.5 / h * (f(x + s) - f(x - s)) for s in steps]
    return np.reshape(slopes, x.shape)


def two_layer_plain(x, y, w1, b1, w2, b2, weight_decay):
    """Everything written out."""
    n = x.shape[0]
    pre = x.dot(w1.T) + b1
    h = np.maximum(0, pre)
    s = h.dot(w2.T) + b2
    s = s - s.max(axis=1, keepdims=True)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    loss = -np.log(p[range(n), y]).mean()
    loss += 0.5 * weight_decay * (np.sum(w1**2) + np.sum(w2**2))
    p[range(n), y] -= 1
    p /= n
    dh = p.dot(w2)
    dh[pre <= 0] = 0
    return loss, {
        "b1": dh.sum(0),
        "b2": p.sum(0),
        "w1": dh.T.dot(x) + weight_decay * w1,
        "w2": p.T.dot(h) + weight_decay * w2,
    }


def two_layer_of_layers(x, y, w1, b1, w2, b2, weight_decay):
    """Put together from the functions of the exercises before."""
    h, cache1 = F.linear_forward(x, w1, b1)
    a, mask = F.relu_forward(h)
    scores, cache2 = F.linear_forward(a, w2, b2)
    loss, dout = ref.softmax_cross_entropy(scores, y)
    da, dw2, db2 = F.linear_backward(dout, cache2)
    _, dw1, db1 = F.linear_backward(F.relu_backward(da, mask), cache1)
    for w, dw in ((w1, dw1), (w2, dw2)):
        value, gradient = F.l2_penalty(w, weight_decay)
        loss = loss + value
        dw += gradient
    return loss, {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def mlp_caches(x, y, weights, biases):
    """A list of caches, popped on the way back."""
    caches, depth = [], len(weights)
    for i in range(depth):
        x, cache = F.linear_forward(x, weights[i], biases[i])
        mask = None
        if i + 1 < depth:
            x, mask = F.relu_forward(x)
        caches.append((cache, mask))
    loss, d = ref.softmax_cross_entropy(x, y)
    dws, dbs = [], []
    while caches:
        cache, mask = caches.pop()
        d = d if mask is None else F.relu_backward(d, mask)
        d, dw, db = F.linear_backward(d, cache)
        dws.append(dw)
        dbs.append(db)
    return loss, dws[::-1], dbs[::-1]


def mlp_recursive(x, y, weights, biases):
    """The first layer, and a shorter net on top of it."""

    def descend(x, i):
        out = x @ weights[i].T + biases[i]
        if i == len(weights) - 1:
            loss, dout = softmax_one_hot(out, y)
            dws, dbs = (), ()
        else:
            loss, dhidden, dws, dbs = descend(np.maximum(out, 0), i + 1)
            dout = dhidden * (out > 0)
        return loss, dout @ weights[i], (dout.T @ x, *dws), (dout.sum(0), *dbs)

    loss, _, dws, dbs = descend(x, 0)
    return loss, list(dws), list(dbs)


def momentum_lines(w, g, v, lr, momentum):
    """Copies, then in place."""
    v = v.copy()
    v *= momentum
    v += g
    w = w.copy()
    w -= lr * v
    return w, v


def rmsprop_lines(w, g, s, lr, alpha, eps):
    """The average as a correction."""
    s = s + (1 - alpha) * (np.square(g) - s)
    return w - lr / (s**0.5 + eps) * g, s


def adam_folded(w, g, m, v, t, lr, beta1, beta2, eps):
    """Corrections folded into rate and root, as PyTorch's code has them."""
    m = m * beta1 + g * (1 - beta1)
    v = v * beta2 + g**2 * (1 - beta2)
    denominator = np.sqrt(v) / sqrt(1 - beta2**t) + eps
    return w - (lr / (1 - beta1**t)) * (m / denominator), m, v


def adam_lerp(w, g, m, v, t, lr, beta1, beta2, eps):
    """The averages as corrections; a list is returned."""
    m = m + (g - m) * (1 - beta1)
    v = v + (np.square(g) - v) * (1 - beta2)
    return [w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v]


RIGHT = {
    "softmax_cross_entropy": [
        (softmax_one_hot,),
        (softmax_row_by_row,),
        (softmax_logaddexp,),
        (softmax_python_float,),
    ],
    "multi_margin_loss": [(hinge_loops,), (hinge_mask,)],
    "linear_forward": [(linear_einsum,), (linear_dot,)],
    "linear_backward": [
        (F.linear_forward, linear_backward_einsum),
        (linear_backward_transposed,),
        (linear_forward_dict, linear_backward_dict),
    ],
    "relu_forward": [(relu_where,), (relu_times_mask,), (relu_copy,), (relu_half,)],
    "relu_backward": RELU_PAIRS,
    "numerical_gradient": [(numerical_nditer,), (numerical_copies,), (numerical_basis,)],
    "two_layer_loss": [(two_layer_plain,), (two_layer_of_layers,)],
    "mlp_loss": [(mlp_caches,), (mlp_recursive,)],
    "kaiming_normal": [
        (lambda fan_in, fan_out, rng: rng.normal(0, sqrt(2 / fan_in), (fan_out, fan_in)),),
        (
            lambda fan_in, fan_out, rng: (
                (rng.standard_normal((fan_in, fan_out)) * sqrt(2 / fan_in)).T
            ),
        ),
        (
            lambda fan_in, fan_out, rng: (
                rng.standard_normal((fan_out, fan_in), np.float32) * np.float32(sqrt(2 / fan_in))
            ),
        ),
    ],
    "sgd_momentum": [(momentum_lines,)],
    "rmsprop": [(rmsprop_lines,)],
    "adam": [(adam_folded,), (adam_lerp,)],
}
SEEDS = 60
SLOW = {"kaiming_normal": 15, "numerical_gradient": 20}


def test_every_exercise_has_right_answers():
    find("adam")
    module = {name: e.run.__module__.rpartition(".")[2] for name, e in EXERCISES.items()}
    lesson_1 = ("exercises_fc_layers", "exercises_fc_training")
    assert RIGHT.keys() == {name for name in EXERCISES if module[name] in lesson_1}


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarm(name):
    exercise = find(name)
    for seed in range(SLOW.get(name, SEEDS)):
        for given in RIGHT[name]:
            functions = exercise.reference[: len(exercise.functions) - len(given)] + given
            assert diagnose(exercise, functions, seed).message == ""


@pytest.mark.parametrize("name", RIGHT)
def test_success_is_one_line_that_never_changes(name, capsys):
    lines = set()
    for functions in [*RIGHT[name], find(name).reference]:
        for seed in (0, 1):
            check(name, *functions, seed=seed)
            lines.add(capsys.readouterr().out)
    assert len(lines) == 1
    assert re.fullmatch(rf"✓ {name}: \d+ checks passed\n", lines.pop())


RIGHT_LOSS = object()

# --- failures ---------------------------------------------------------------------------------


def _message(name, *functions):
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    return str(failure.value)


def test_an_exercise_not_done_yet():
    def linear_forward(x, w, b):
        raise NotImplementedError

    def linear_backward(dout, cache):
        raise NotImplementedError

    assert _message("linear_forward", linear_forward) == "linear_forward: not implemented yet"
    assert _message("linear_backward", linear_backward) == "linear_backward: not implemented yet"
    assert _message("linear_backward", linear_forward, linear_backward) == (
        "linear_forward: not implemented yet (linear_backward needs it)"
    )


def test_a_crash_names_the_error_and_the_line():
    def linear_forward(x, w, b):
        return x @ w + b, (x, w, b)

    first, inputs = _message("linear_forward", linear_forward).splitlines()[:2]
    assert first.startswith("✗ linear_forward: linear_forward raises ValueError: matmul")
    assert first.endswith("in the line: return x @ w + b, (x, w, b)")
    assert inputs == "  inputs: x (4, 5), w (3, 5), b (3,)"


def test_wrong_arguments():
    assert "raises TypeError" in _message("linear_forward", lambda x: x)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (("1.5", np.ones((5, 7))), "loss should be one number, got a str"),
        (None, "it should return (loss, dlogits), got None"),
        (1.0, "it should return (loss, dlogits), got a float"),
        ((1.0, 2.0, 3.0), "it should return (loss, dlogits), got a tuple of 3"),
        ((np.ones(3), np.ones((5, 7))), "loss should be one number, got an array of shape (3,)"),
        (
            (RIGHT_LOSS, (i for i in range(3))),
            "should be an array of shape (5, 7), got a generator",
        ),
        ((RIGHT_LOSS, None), "dlogits should be an array of shape (5, 7), got None"),
        ((RIGHT_LOSS, [[1], [2, 3]]), "got a ragged list"),
    ],
)
def test_wrong_return_values(returned, text):
    def wrong(logits, targets):
        loss, _ = ref.softmax_cross_entropy(logits, targets)
        if isinstance(returned, tuple) and returned[0] is RIGHT_LOSS:
            return loss, returned[1]
        return returned

    assert text in _message("softmax_cross_entropy", wrong)


def test_wrong_grads_of_the_two_layer_net():
    def missing_key(*args):
        loss, grads = ref.two_layer_loss(*args)
        return loss, {"W1": grads["w1"]}

    assert "keys ['b1', 'b2', 'w1', 'w2'], got ['W1']" in _message("two_layer_loss", missing_key)


def test_wrong_number_of_gradients():
    def one_short(*args):
        loss, dweights, dbiases = ref.mlp_loss(*args)
        return loss, dweights[1:], dbiases

    text = _message("mlp_loss", one_short)
    assert "dweights should be a list of 2 arrays, got a list of 1" in text


def test_a_wrong_value_tells_index_expected_and_got():
    def wrong(x):
        out, cache = F.relu_forward(x)
        out = out.copy()
        out[1, 2] = -7
        return out, cache

    x = find("relu_forward").all_cases(0)[0].inputs["x"]
    assert _message("relu_forward", wrong).splitlines() == [
        f"✗ relu_forward: out[1, 2] should be {max(x[1, 2], 0):.6g}, got -7",
        "  inputs: x of shape (4, 5)",
        "  to look closer: from coursekit import checks; checks.last_failure().plot()",
    ]


def test_a_bug_that_no_animal_has_is_not_given_a_name():
    def odd(logits, targets):
        loss, dlogits = ref.softmax_cross_entropy(logits, targets)
        return loss + 0.125, dlogits

    assert "looks like" not in _message("softmax_cross_entropy", odd)


def test_the_likely_bug_is_named_though_written_in_other_words():
    def bare(logits, targets):
        p = np.exp(logits)
        p = p / p.sum(1)[:, None]
        n = len(p)
        loss = -np.sum(np.log(p[range(n), targets])) / n
        p[range(n), targets] -= 1
        return loss, p / n

    text = _message("softmax_cross_entropy", bare)
    assert "this looks like: softmax without subtracting the row's maximum" in text
    assert "logits of ±1000" in text or "rows of very different height" in text

    def momentum(w, g, v, lr, momentum):
        v = momentum * g + v - momentum * v
        return w - v * lr, v

    assert "this looks like: momentum and 1 - momentum swapped" in _message(
        "sgd_momentum", momentum
    )


def test_two_bugs_at_once_still_fail():
    def both(logits, targets):
        loss, dlogits = ref.softmax_cross_entropy(logits, targets)
        return 2 * loss, -dlogits

    assert "loss should be" in _message("softmax_cross_entropy", both)


def test_damage_is_told_by_argument():
    def in_place(x):
        x[x < 0] = 0
        return x.copy(), x

    assert "its argument x comes back changed" in _message("relu_forward", in_place)

    def velocity_in_place(w, g, v, lr, momentum):
        v[:] = momentum * v + g
        return w - lr * v, v.copy()

    assert "its argument v comes back changed" in _message("sgd_momentum", velocity_in_place)

    def writes_and_puts_back(x):
        old = x.copy()
        x[:] = 0
        x[:] = old
        return np.maximum(x, 0), None

    text = _message("relu_forward", writes_and_puts_back)
    assert "relu_forward writes into one of its arguments, in the line: x[:] = 0" in text
    assert "read-only arrays" in text


def test_a_result_that_is_an_input():
    def in_disguise(w, g, v, lr, momentum):
        new_w, new_v = ref.sgd_momentum(w, g, v, lr, momentum)
        return new_w, new_v if momentum else g

    text = _message("sgd_momentum", in_disguise)
    assert "v shares memory with the argument g: return a new array" in text


def test_a_result_that_the_next_call_overwrites():
    buffers = {}

    def reuses(x):
        out = buffers.setdefault((x.shape, x.dtype), np.empty_like(x))
        return np.maximum(x, 0, out=out), None

    text = _message("relu_forward", reuses)
    assert "out of the first call changes when the function is called again" in text


def test_a_result_wider_than_its_inputs():
    def wide(x):
        return np.maximum(x, np.zeros(x.shape)), None

    text = _message("relu_forward", wide)
    assert "out should be float32 like the inputs, got float64" in text
    assert "in float32" in text


def test_warnings_of_hostile_inputs_do_not_reach_the_learner(recwarn):
    _message("softmax_cross_entropy", lambda logits, targets: (np.exp(logits).sum(), logits / 0))
    assert not recwarn.list


def test_misuse_is_an_error():
    with pytest.raises(ValueError, match=r"no exercise is called 'linear'; there are .*'adam"):
        check("linear", F.linear_forward)
    with pytest.raises(
        ValueError, match=r"check\('relu_backward', relu_forward, relu_backward\), got 1 functions"
    ):
        check("relu_backward", F.relu_backward)
    with pytest.raises(ValueError, match="call it as check"):
        check("relu_forward", None)
