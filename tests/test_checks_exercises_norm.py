"""Lesson 2's exercise checks: right answers pass however they are written, messages are clear."""

import re
from itertools import pairwise

import numpy as np
import pytest

from coursekit import functional as F
from coursekit.checks import ExerciseError, check
from coursekit.checks import references_dropout as dropout_ref
from coursekit.checks import references_norm as ref
from coursekit.checks.exercises import EXERCISES, diagnose, find
from coursekit.checks.exercises_norm import STEPS

# --- batch norm, written as different learners would ------------------------------------------


def bn_as_corrections(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """Running statistics as corrections; NumPy's variances; copies in evaluation."""
    if not training:
        return (x - mean) * (var + eps) ** -0.5 * gamma + beta, None, mean.copy(), var.copy()
    mu, sigma2 = np.mean(x, axis=0), np.var(x, axis=0)
    xhat = (x - mu) / np.sqrt(sigma2 + eps)
    mean = mean + momentum * (mu - mean)
    var = var + momentum * (np.var(x, axis=0, ddof=1) - var)
    return gamma * xhat + beta, {"xhat": xhat, "sigma2": sigma2, "g": gamma, "eps": eps}, mean, var


def bn_backward_dxhat(dout, cache):
    """The closed form of dxhat, divided by N at the end; a list."""
    xhat, n = cache["xhat"], len(dout)
    dxhat = dout * cache["g"]
    dx = n * dxhat - np.sum(dxhat, axis=0) - xhat * np.sum(dxhat * xhat, axis=0)
    return [dx / (n * np.sqrt(cache["sigma2"] + cache["eps"])), (dout * xhat).sum(0), dout.sum(0)]


def bn_scale_and_shift(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """One scale and one shift a column; running arrays made by copy and in place."""
    mu, sigma2 = mean, var
    if training:
        n = x.shape[0]
        mu = x.sum(axis=0) / n
        sigma2 = np.square(x - mu).sum(axis=0) / n
        mean, var = mean.copy(), var.copy()
        mean *= 1 - momentum
        mean += momentum * mu
        var *= 1 - momentum
        var += momentum * sigma2 * n / (n - 1)
    scale = gamma / np.sqrt(sigma2 + eps)
    return x * scale + (beta - mu * scale), (x, gamma, mu, sigma2, eps), mean, var


def bn_backward_projection(dout, cache):
    """Column by column: what is orthogonal to ones and, but for eps, to xhat."""
    x, gamma, mu, sigma2, eps = cache
    n = len(x)
    ivar = 1 / np.sqrt(sigma2 + eps)
    xhat = (x - mu) * ivar
    dx = np.empty_like(x)
    for j in range(x.shape[1]):
        through = np.eye(n, dtype=x.dtype) - 1 / n - np.outer(xhat[:, j], xhat[:, j]) / n
        dx[:, j] = gamma[j] * ivar[j] * (through @ dout[:, j])
    return dx, np.einsum("nd,nd->d", dout, xhat), np.einsum("nd->d", dout)


def bn_by_columns(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """A loop over the features."""
    out, mean, var = np.empty_like(x), np.array(mean), np.array(var)
    for j in range(x.shape[1]):
        column = x[:, j]
        m, v = (column.mean(), column.var()) if training else (mean[j], var[j])
        out[:, j] = gamma[j] * (column - m) / np.sqrt(v + eps) + beta[j]
        if training:
            mean[j] = (1 - momentum) * mean[j] + momentum * m
            var[j] = (1 - momentum) * var[j] + momentum * v * len(x) / (len(x) - 1)
    return out, (x, gamma, x.mean(axis=0), x.var(axis=0), eps), mean, var


def bn_backward_longhand(dout, cache):
    """The original paper's equations."""
    x, gamma, mu, var, eps = cache
    n = len(x)
    dxhat = dout * gamma
    dvar = (dxhat * (x - mu)).sum(axis=0) * -0.5 * (var + eps) ** -1.5
    dmu = -dxhat.sum(axis=0) / np.sqrt(var + eps) + dvar * (-2 * (x - mu)).mean(axis=0)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * (x - mu) / n + dmu / n
    return dx, (dout * (x - mu) / np.sqrt(var + eps)).sum(axis=0), dout.sum(axis=0)


def bn_functional(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """The package's own."""
    return F.batch_norm_forward(
        x, gamma, beta, mean, var, training=training, momentum=momentum, eps=eps
    )


def bn_backward_on_the_graph(dout, cache):
    """The steps of the exercise before."""
    d = ref.batch_norm_backward_steps(dout, cache)
    return d["dx"], d["dgamma"], d["dbeta"]


BN_PAIRS = [
    (bn_as_corrections, bn_backward_dxhat),
    (bn_scale_and_shift, bn_backward_projection),
    (bn_by_columns, bn_backward_longhand),
    (bn_functional, F.batch_norm_backward),
    (ref.batch_norm_forward, bn_backward_on_the_graph),
]


def steps_other_algebra(dout, v):
    """Powers of ivar, broadcast views, both parts of dmu apart; more keys than asked for."""
    n, ones = v["x"].shape[0], np.ones_like(v["x"])
    d = {"dgamma_part": dout * v["xhat"], "dbeta": ones[:, 0] @ dout}
    d["dgamma"] = np.sum(d["dgamma_part"], axis=0)
    d["dxhat"] = v["gamma"] * dout
    d["divar"] = np.einsum("nd,nd->d", d["dxhat"], v["xmu"])
    d["dstd"] = -d["divar"] * v["ivar"] * v["ivar"]
    d["dvar"] = 0.5 * d["dstd"] * v["ivar"]
    d["dsq"] = np.broadcast_to(d["dvar"] / n, v["sq"].shape)
    d["dxmu_xhat"] = d["dxhat"] / v["std"]
    d["dxmu_sq"] = d["dsq"] * (v["xmu"] + v["xmu"])
    d["dxmu"] = sum((d["dxmu_xhat"], d["dxmu_sq"]))
    d["dmu"] = -1 * (d["dxmu_xhat"].sum(axis=0) + d["dxmu_sq"].sum(axis=0))
    d["dx"] = d["dxmu"] + ones * d["dmu"] / n
    return d


def fold_by_a_diagonal(w, b, gamma, beta, mean, var, eps=1e-5):
    """A diagonal matrix; the bias as the output for x = 0."""
    ivar = 1 / np.sqrt(var + eps)
    return np.diag(gamma * ivar) @ w, gamma * (b - mean) * ivar + beta


def fold_by_division(w, b, gamma, beta, mean, var, eps=1e-5):
    """Divided row by row; a list."""
    std = np.sqrt(var + eps)
    rows = [gamma[i] * w[i] / std[i] for i in range(len(w))]
    return [np.stack(rows), beta + gamma / std * b - gamma / std * mean]


# --- layer norm -------------------------------------------------------------------------------


def ln_transposed(x, gamma, beta, eps=1e-5):
    """Batch norm's lines on the transposed batch."""
    xt = x.T
    mu, var = xt.mean(axis=0), xt.var(axis=0)
    xhat = ((xt - mu) / np.sqrt(var + eps)).T
    return gamma * xhat + beta, {"xhat": xhat, "std": np.sqrt(var + eps), "gamma": gamma}


def ln_backward_transposed(dout, cache):
    """The closed form with sums, divided by D at the end."""
    xhat, d = cache["xhat"].T, dout.shape[1]
    dxhat = (dout * cache["gamma"]).T
    dx = (d * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0)) / d / cache["std"]
    return dx.T, (dout * cache["xhat"]).sum(axis=0), dout.sum(axis=0)


def ln_row_by_row(x, gamma, beta, eps=1e-5):
    """A loop over the rows."""
    out = np.stack([gamma * (row - row.mean()) / np.sqrt(row.var() + eps) + beta for row in x])
    return out, (x, gamma, eps)


def ln_backward_row_by_row(dout, cache):
    """Each row by the graph of batch norm, as a batch of its features."""
    x, gamma, eps = cache
    one = np.ones(1, x.dtype)
    dx = []
    for row, drow in zip(x, dout, strict=True):
        v = ref.batch_norm_graph(row[:, None], one, 0 * one, eps)
        dx.append(ref.batch_norm_backward_steps((drow * gamma)[:, None], v)["dx"][:, 0])
    xhat = ln_row_by_row(x, np.ones_like(gamma), np.zeros_like(gamma), eps)[0]
    return np.stack(dx), np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def ln_functional(x, gamma, beta, eps=1e-5):
    """The package's own."""
    return F.layer_norm_forward(x, gamma, beta, eps=eps)


LN_PAIRS = [
    (ln_transposed, ln_backward_transposed),
    (ln_row_by_row, ln_backward_row_by_row),
    (ln_functional, F.layer_norm_backward),
]

# --- dropout ------------------------------------------------------------------------------------


def drop_binomial(x, p, training, rng):
    """rng.binomial; the cache holds the 0-1 mask and p."""
    mask = rng.binomial(1, 1 - p, size=x.shape).astype(x.dtype) if training else None
    return (x * mask / (1 - p) if training else x), (mask, p)


def drop_binomial_backward(dout, cache):
    """Two ways out."""
    mask, p = cache
    return dout if mask is None else dout * mask / (1 - p)


def drop_choice(x, p, training, rng):
    """rng.choice of False and True; early returns; the cache holds a boolean mask."""
    if not training or p == 0:
        return x, (None, 1.0)
    keep = rng.choice([False, True], x.shape, p=[p, 1 - p])
    return np.where(keep, x / (1 - p), 0).astype(x.dtype), (keep, 1 / (1 - p))


def drop_choice_backward(dout, cache):
    """Indexing into a copy."""
    keep, scale = cache
    dx = dout * scale
    if keep is not None:
        dx[~keep] = 0
    return dx


def drop_uniform(x, p, training, rng):
    """rng.uniform below the chance to keep; a mask of ones in evaluation, drawn all the same."""
    mask = (rng.uniform(size=x.shape) < 1 - p) / (1 - p)
    mask = (mask if training else np.ones(x.shape)).astype(x.dtype)
    return np.multiply(x, mask), mask


def drop_copy(x, p, training, rng):
    """float32 draws; zeros written into a copy; a dict for a cache."""
    cache = {"training": training}
    out = x.copy()
    if training:
        cache["dropped"] = rng.random(x.shape, dtype=np.float32) < p
        cache["scale"] = x.dtype.type(1 / (1 - p))
        out *= cache["scale"]
        out[cache["dropped"]] = 0
    return out, cache


def drop_copy_backward(dout, cache):
    """The same lines again."""
    dx = dout.copy()
    if cache["training"]:
        dx *= cache["scale"]
        dx[cache["dropped"]] = 0
    return dx


def drop_functional(x, p, training, rng):
    """The package's own."""
    return F.dropout_forward(x, p, training=training, rng=rng)


DROPOUT_PAIRS = [
    (drop_binomial, drop_binomial_backward),
    (drop_choice, drop_choice_backward),
    (drop_uniform, lambda dout, mask: mask * dout),
    (drop_copy, drop_copy_backward),
    (drop_functional, F.dropout_backward),
]

# --- around the experiments -----------------------------------------------------------------


def mc_running_sum(logits_of, x, samples):
    """A running sum; the logits are overwritten, which are nobody else's."""
    total = 0.0
    for _ in range(samples):
        z = logits_of(x)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        total = total + z / z.sum(axis=1)[:, None]
    return total / samples


def mc_logaddexp(logits_of, x, samples):
    """All at once, by way of log-probabilities."""
    z = np.stack([logits_of(x) for _ in range(samples)])
    return np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True)).mean(axis=0)


def ece_loop(probabilities, labels, bins=10):
    """A loop over the edges."""
    confidence, guess = np.max(probabilities, axis=1), np.argmax(probabilities, axis=1)
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if np.sum(inside) > 0:
            accuracy = np.mean(guess[inside] == labels[inside])
            error += np.sum(inside) / len(labels) * abs(np.mean(confidence[inside]) - accuracy)
    return error


def ece_digitize(probabilities, labels, bins=10):
    """np.digitize and sums by bin."""
    confidence = probabilities.max(axis=-1)
    right = (probabilities.argmax(axis=-1) == labels).astype(float)
    of = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    count, sums, hits = (np.bincount(of, w, bins + 1) for w in (None, confidence, right))
    full = count > 0
    return np.average(np.abs(hits - sums)[full] / count[full], weights=count[full])


def band_scipy(values):
    """scipy's interval."""
    stats = pytest.importorskip("scipy.stats")
    mean = values.mean(axis=-1)
    n = values.shape[-1]
    return mean, stats.t.ppf(0.975, n - 1) * stats.sem(values, axis=-1)


def band_longhand(values):
    """The sum of squares by hand."""
    special = pytest.importorskip("scipy.special")
    n = values.shape[-1]
    mean = values.sum(-1) / n
    variance = ((values - mean[..., None]) ** 2).sum(-1) / (n - 1)
    return [mean, -special.stdtrit(n - 1, 0.025) * (variance / n) ** 0.5]


def lsuv_until_it_fits(weights, x):
    """The paper's loop, with the unbiased deviation."""
    weights = [w.copy() for w in weights]
    for i in range(len(weights)):
        h = x
        for w in weights[:i]:
            h = np.maximum(h @ w.T, 0)
        while abs((h @ weights[i].T).std(ddof=1) - 1) > 1e-4:
            weights[i] /= (h @ weights[i].T).std(ddof=1)
    return weights


def lsuv_recursive(weights, x):
    """The first layer, then the rest on top of it; a tuple."""
    if not weights:
        return ()
    first = weights[0] / np.std(x @ weights[0].T)
    return (first, *lsuv_recursive(weights[1:], np.maximum(x @ first.T, 0)))


RIGHT = {
    "batch_norm_forward": [(forward,) for forward, _ in BN_PAIRS],
    "batch_norm_backward_steps": [(steps_other_algebra,)],
    "batch_norm_backward": BN_PAIRS,
    "fold_batch_norm": [(fold_by_a_diagonal,), (fold_by_division,)],
    "layer_norm_forward": [(forward,) for forward, _ in LN_PAIRS],
    "layer_norm_backward": LN_PAIRS,
    "dropout_forward": [(forward,) for forward, _ in DROPOUT_PAIRS],
    "dropout_backward": DROPOUT_PAIRS,
    "mc_dropout": [(mc_running_sum,), (mc_logaddexp,)],
    "expected_calibration_error": [(ece_loop,), (ece_digitize,)],
    "confidence_band": [(band_scipy,), (band_longhand,)],
    "lsuv": [(lsuv_until_it_fits,), (lsuv_recursive,)],
}
SEEDS = 20
SLOW = {"dropout_forward": 4, "dropout_backward": 4}
LESSON_2 = ("references_norm", "references_dropout")


def test_every_exercise_has_right_answers():
    find("lsuv")
    module = {k: str(e.reference[-1].__module__).rpartition(".")[2] for k, e in EXERCISES.items()}
    assert RIGHT.keys() == {name for name in EXERCISES if module[name] in LESSON_2}


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarm(name):
    exercise = find(name)
    for seed in range(SLOW.get(name, SEEDS)):
        for given in [*RIGHT[name], exercise.reference]:
            assert diagnose(exercise, given, seed).message == ""


@pytest.mark.parametrize("name", RIGHT)
def test_success_is_one_line_that_never_changes(name, capsys):
    lines = set()
    for functions in [*RIGHT[name], find(name).reference]:
        for seed in (0, 1):
            check(name, *functions, seed=seed)
            lines.add(capsys.readouterr().out)
    assert len(lines) == 1
    assert re.fullmatch(rf"✓ {name}: \d+ checks passed\n", lines.pop())


# --- failures ---------------------------------------------------------------------------------


def _message(name, *functions):
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    return str(failure.value)


@pytest.mark.parametrize("step", STEPS)
def test_the_first_wrong_step_is_told(step):
    """From ``step`` on all gradients are wrong, as they are when one follows from the other."""

    def wrong(dout, v):
        d = ref.batch_norm_backward_steps(dout, v)
        return {k: d[k] * 1.5 if k in STEPS[STEPS.index(step) :] else d[k] for k in d}

    first = _message("batch_norm_backward_steps", wrong).splitlines()[0]
    assert re.match(rf"✗ batch_norm_backward_steps: {step}\[[\d, ]+\] should be ", first)


def test_steps_may_be_written_one_after_the_other():
    def half_done(dout, v):
        d = ref.batch_norm_backward_steps(dout, v)
        return {name: d[name] for name in ("dbeta", "dgamma", "dxhat")}

    text = _message("batch_norm_backward_steps", half_done)
    assert "divar should be an array of shape (5,), got None" in text
    assert "it should return a dict of gradients by name, got a tuple" in _message(
        "batch_norm_backward_steps", lambda dout, v: (dout, dout)
    )


def test_forwards_that_return_too_little():
    text = _message("batch_norm_forward", lambda x, *rest: (x.copy(), None))
    assert "it should return (out, cache, running_mean, running_var), got a tuple of 2" in text
    text = _message("batch_norm_backward", lambda *args: None, ref.batch_norm_backward)
    assert "the forward should return out, the cache" in text


def test_running_statistics_may_not_be_swapped_for_the_arguments():
    def in_place(x, gamma, beta, mean, var, training, momentum, eps):
        out, cache, new_mean, new_var = ref.batch_norm_forward(
            x, gamma, beta, mean, var, training, momentum, eps
        )
        mean[:] = new_mean
        return out, cache, mean, new_var

    text = _message("batch_norm_forward", in_place)
    assert "its argument running_mean comes back changed" in text


def test_dropout_speaks_of_properties():
    def right(x, p, training, rng):
        return drop_copy(x, p, training, rng)

    def shared_by_rows(x, p, training, rng):
        mask = np.repeat(rng.random((1, *x.shape[1:])) >= p, len(x), axis=0) / (1 - p)
        return (x * mask.astype(x.dtype) if training else x), mask

    def unscaled(x, p, training, rng):
        return np.where(rng.random(x.shape) < p * training, 0, x), None

    check("dropout_forward", right)
    assert "the number of different masks in 100 rows should be 100, got 1" in _message(
        "dropout_forward", shared_by_rows
    )
    text = _message("dropout_forward", unscaled)
    assert "the smallest out / x where out is not 0 should be 2, got 1" in text
    assert "this looks like: what is kept is not divided by 1 - p" in text
    text = _message("dropout_forward", lambda x, p, training, rng: (x[:1], None))
    assert "out should have the shape of x, (100, 120), got (1, 120)" in text


def test_dropout_is_named_whatever_draws_the_mask():
    def swapped(x, p, training, rng):
        if not training or p == 0:
            return x, None
        return x * rng.binomial(1, p, x.shape).astype(x.dtype) / x.dtype.type(p), None

    text = _message("dropout_forward", swapped)
    assert "the share of zeros in out should be 0.2, got 0.8" in text
    assert "p is taken for the chance to keep" in text


def test_the_global_random_state_is_used_by_nobody():
    def from_the_global_state(x, p, training, rng):
        if not training:
            np.random.rand()  # noqa: NPY002
        return drop_uniform(x, p, training, rng)

    before = np.random.get_state()  # noqa: NPY002
    text = _message("dropout_forward", from_the_global_state)
    assert "calls that draw from the global np.random should be 0, got " in text
    after = np.random.get_state()  # noqa: NPY002
    assert before[2] == after[2] and np.array_equal(before[1], after[1])


def test_dropout_backward_needs_the_mask_of_its_own_forward():
    def forward(x, p, training, rng):
        out, cache = dropout_ref.dropout_forward(x, p, training, rng)
        return out, (cache, rng, p)

    def fresh(dout, cache):
        mask, rng, p = cache
        return dout if mask is None else dropout_ref.dropout_forward(dout, p, True, rng)[0]

    text = _message("dropout_backward", forward, fresh)
    assert "the largest |dx / dout| where out is 0 should be 0, got 2" in text
    assert "the backward draws a mask of its own" in text


def test_logits_of_gets_x_as_it_is():
    text = _message("mc_dropout", lambda logits_of, x, samples: logits_of(x[:1]))
    assert "logits_of was called with shape (1, 5), x is (4, 5)" in text


def test_the_number_of_samples_is_told():
    text = _message("mc_dropout", lambda logits_of, x, samples: mc_logaddexp(logits_of, x, 1))
    assert "the number of calls of logits_of should be 8, got 1" in text
