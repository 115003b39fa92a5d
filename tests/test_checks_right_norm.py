"""Lesson 2's exercises, right in other ways: loops with math, einsum, copies, float64 inside.

Each of them must pass on any seed; COURSEKIT_RIGHT_SEEDS=50 tries so many.
"""

import math
import statistics

import numpy as np
import pytest


def as_float64(*arrays):
    return [a.astype(np.float64) for a in arrays]


# --- batch norm -------------------------------------------------------------------------------


def bn_with_math(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    n, d = x.shape
    out, cache = np.empty_like(x), []
    mean, var = running_mean.copy(), running_var.copy()
    for m in range(d):
        column = [float(v) for v in x[:, m]]
        mu, sigma2 = float(mean[m]), float(var[m])
        if training:
            mu = math.fsum(column) / n
            sigma2 = math.fsum((v - mu) ** 2 for v in column) / n
            mean[m] = (1 - momentum) * mean[m] + momentum * mu
            var[m] = (1 - momentum) * var[m] + momentum * sigma2 * n / (n - 1)
        root = math.sqrt(sigma2 + eps)
        cache.append((mu, root))
        for i in range(n):
            out[i, m] = gamma[m] * (column[i] - mu) / root + beta[m]
    return out, (x, gamma, cache), mean, var


def bn_backward_with_math(dout, cache):
    x, gamma, statistics_of = cache
    n, d = x.shape
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    for m in range(d):
        mu, root = statistics_of[m]
        hat = [(float(v) - mu) / root for v in x[:, m]]
        up = [float(v) for v in dout[:, m]]
        total, along = math.fsum(up), math.fsum(a * b for a, b in zip(up, hat, strict=True))
        dgamma[m], dbeta[m] = along, total
        for i in range(n):
            dx[i, m] = gamma[m] / root * (up[i] - total / n - hat[i] * along / n)
    return dx, dgamma, dbeta


def bn_wide(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    wide, g, b, mean, var = as_float64(x, gamma, beta, running_mean, running_var)
    if training:
        mu, sigma2 = wide.mean(axis=0), wide.var(axis=0)
        new_mean = mean + momentum * (mu - mean)
        new_var = var + momentum * (wide.var(axis=0, ddof=1) - var)
    else:
        mu, sigma2, new_mean, new_var = mean, var, mean, var
    ivar = (sigma2 + eps) ** -0.5
    hat = (wide - mu) * ivar
    out = np.einsum("nd,d->nd", hat, g) + b
    dtype = x.dtype
    return (
        out.astype(dtype),
        {"hat": hat, "scale": g * ivar},
        new_mean.astype(dtype),
        new_var.astype(dtype),
    )


def bn_backward_wide(dout, cache):
    up, hat = dout.astype(np.float64), cache["hat"]
    dbeta, dgamma = np.einsum("nd->d", up), np.einsum("nd,nd->d", up, hat)
    dx = cache["scale"] * (up - (dbeta + hat * dgamma) / len(up))
    return tuple(a.astype(dout.dtype) for a in (dx, dgamma, dbeta))


def bn_in_place(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    hat = x.copy()
    mean, var = running_mean.copy(), running_var.copy()
    if training:
        mu = hat.mean(axis=0)
        hat -= mu
        sigma2 = np.einsum("nd,nd->d", hat, hat) / len(x)
        mean *= 1 - momentum
        mean += momentum * mu
        var *= 1 - momentum
        var += momentum * sigma2 * (len(x) / (len(x) - 1))
    else:
        hat -= mean
        sigma2 = var
    root = np.sqrt(sigma2 + eps)
    hat /= root
    out = hat * gamma
    out += beta
    return out, (hat, root, gamma), mean, var


def bn_backward_in_place(dout, cache):
    hat, root, gamma = cache
    dgamma, dbeta = (dout * hat).sum(axis=0), dout.sum(axis=0)
    dx = dout.copy()
    dx -= dbeta / len(dx)
    dx -= hat * (dgamma / len(dx))
    dx *= gamma
    dx /= root
    return dx, dgamma, dbeta


BN = [(bn_with_math, bn_backward_with_math), (bn_wide, bn_backward_wide)]
BN += [(bn_in_place, bn_backward_in_place)]


def steps_loops(dout, v):
    n, d = dout.shape
    out = {k: np.zeros_like(v["mu"]) for k in ("dbeta", "dgamma", "divar", "dmu")}
    out |= {k: np.zeros_like(dout) for k in ("dxhat", "dsq", "dxmu_xhat", "dxmu_sq", "dxmu", "dx")}
    for i, m in np.ndindex(n, d):
        out["dbeta"][m] += dout[i, m]
        out["dgamma"][m] += dout[i, m] * v["xhat"][i, m]
        out["dxhat"][i, m] = dout[i, m] * v["gamma"][m]
        out["divar"][m] += out["dxhat"][i, m] * v["xmu"][i, m]
    out["dstd"] = -out["divar"] * v["ivar"] ** 2
    out["dvar"] = out["dstd"] * v["ivar"] / 2
    for i, m in np.ndindex(n, d):
        out["dsq"][i, m] = out["dvar"][m] / n
        out["dxmu_xhat"][i, m] = out["dxhat"][i, m] * v["ivar"][m]
        out["dxmu_sq"][i, m] = 2 * v["xmu"][i, m] * out["dsq"][i, m]
        out["dxmu"][i, m] = out["dxmu_xhat"][i, m] + out["dxmu_sq"][i, m]
        out["dmu"][m] -= out["dxmu"][i, m]
    for i, m in np.ndindex(n, d):
        out["dx"][i, m] = out["dxmu"][i, m] + out["dmu"][m] / n
    return out


def steps_with_roots(dout, v):
    """The deviation from the variance, by math.sqrt: no variance may ever be negative."""
    for value in v["var"]:
        math.sqrt(value)
    wide = {k: a.astype(np.float64) for k, a in v.items()}
    up, n = dout.astype(np.float64), len(dout)
    d = {"dbeta": up.sum(0), "dgamma": np.einsum("nd,nd->d", up, wide["xhat"])}
    d["dxhat"] = up * wide["gamma"]
    d["divar"] = np.einsum("nd,nd->d", d["dxhat"], wide["xmu"])
    d["dstd"] = -d["divar"] / np.square(wide["std"])
    d["dvar"] = d["dstd"] * 0.5 / wide["std"]
    d["dsq"] = np.ones_like(up) * d["dvar"] / n
    d["dxmu_xhat"] = d["dxhat"] / wide["std"]
    d["dxmu_sq"] = d["dsq"] * wide["xmu"] * 2
    d["dxmu"] = np.add(d["dxmu_xhat"], d["dxmu_sq"])
    d["dmu"] = -np.ones(n) @ d["dxmu"]
    d["dx"] = d["dxmu"] + d["dmu"] / n
    return {k: a.astype(dout.dtype) for k, a in d.items()}


def fold_with_math(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    new_w, new_b = w.copy(), b.copy()
    for m in range(len(w)):
        scale = float(gamma[m]) / math.sqrt(float(running_var[m]) + eps)
        for d in range(w.shape[1]):
            new_w[m, d] *= scale
        new_b[m] = scale * (b[m] - running_mean[m]) + beta[m]
    return new_w, new_b


def fold_wide(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    w64, b64, g, t, mean, var = as_float64(w, b, gamma, beta, running_mean, running_var)
    scale = g * np.power(var + eps, -0.5)
    folded = np.einsum("m,md->md", scale, w64), scale * b64 + (t - scale * mean)
    return tuple(a.astype(w.dtype) for a in folded)


# --- layer norm -------------------------------------------------------------------------------


def ln_with_math(x, gamma, beta, eps=1e-5):
    n, d = x.shape
    out, hats, roots = np.empty_like(x), np.empty(x.shape), []
    for i in range(n):
        row = [float(v) for v in x[i]]
        mu = math.fsum(row) / d
        root = math.sqrt(statistics.pvariance(row, mu) + eps)
        roots.append(root)
        for m in range(d):
            hats[i, m] = (row[m] - mu) / root
            out[i, m] = hats[i, m] * gamma[m] + beta[m]
    return out, (hats, roots, gamma)


def ln_backward_with_math(dout, cache):
    hats, roots, gamma = cache
    n, d = dout.shape
    dx = np.empty_like(dout)
    for i in range(n):
        up = [float(dout[i, m]) * float(gamma[m]) for m in range(d)]
        mean = math.fsum(up) / d
        along = math.fsum(u * h for u, h in zip(up, hats[i], strict=True)) / d
        for m in range(d):
            dx[i, m] = (up[m] - mean - hats[i, m] * along) / roots[i]
    dgamma = np.array([math.fsum(dout[:, m] * hats[:, m]) for m in range(d)], gamma.dtype)
    dbeta = np.array([math.fsum(dout[:, m]) for m in range(d)], gamma.dtype)
    return dx, dgamma, dbeta


def ln_wide(x, gamma, beta, eps=1e-5):
    wide, g, b = as_float64(x, gamma, beta)
    wide -= wide.mean(axis=1, keepdims=True)
    ivar = 1 / np.sqrt(np.einsum("nd,nd->n", wide, wide) / x.shape[1] + eps)
    wide *= ivar[:, None]
    return (wide * g + b).astype(x.dtype), (wide, ivar, g)


def ln_backward_wide(dout, cache):
    hat, ivar, g = cache
    up, d = dout.astype(np.float64), dout.shape[1]
    dhat = up * g
    projected = np.einsum("nd,nd->n", dhat, hat)[:, None] / d
    dx = ivar[:, None] * (dhat - dhat.mean(axis=1, keepdims=True) - hat * projected)
    both = np.einsum("nd,nd->d", up, hat), up.sum(0)
    return tuple(a.astype(dout.dtype) for a in (dx, *both))


# --- dropout ----------------------------------------------------------------------------------


def drop_one_by_one(x, p, training, rng):
    out = x.copy()
    if not training:
        return out, np.ones(x.shape, bool)
    kept = np.ones(x.shape, bool)
    flat, flags = out.reshape(-1), kept.reshape(-1)
    draws = rng.random(x.size)
    for i, draw in enumerate(draws.tolist()):
        if draw < p:
            flat[i], flags[i] = 0, False
        else:
            flat[i] /= 1 - p
    return out, (kept, p)


def drop_one_by_one_backward(dout, cache):
    if isinstance(cache, np.ndarray):
        return np.where(cache, dout, 0).astype(dout.dtype)
    kept, p = cache
    dx = dout / dout.dtype.type(1 - p)
    dx[~kept] = 0
    return dx


def drop_in_single_precision(x, p, training, rng):
    if not training or p == 0:
        return np.array(x), 1
    mask = (rng.random(x.shape, np.float32) >= np.float32(p)) * x.dtype.type(1 / (1 - p))
    return np.einsum("...,...->...", x, mask), mask


def drop_in_single_precision_backward(dout, cache):
    return (dout * cache).astype(dout.dtype)


def drop_by_waiting(x, p, training, rng):
    """Geometric gaps from one dropped entry to the next."""
    scaled = np.full(x.size, 1 / (1 - p) if training else 1.0)
    place = -1
    while training and p > 0 and (place := place + int(rng.geometric(p))) < x.size:
        scaled[place] = 0
    scaled = scaled.reshape(x.shape).astype(x.dtype)
    return x * scaled, scaled


def drop_by_waiting_backward(dout, scaled):
    return np.multiply(dout, scaled)


# --- around experiments -----------------------------------------------------------------------


def mc_with_math(logits_of, x, samples):
    mean = np.zeros(x.shape)
    for _ in range(samples):
        z = logits_of(x)
        for i in range(len(z)):
            top = max(z[i].tolist())
            e = [math.exp(v - top) for v in z[i].tolist()]
            total = math.fsum(e)
            for j, value in enumerate(e):
                mean[i, j] += value / total / samples
    return mean


def mc_stacked(logits_of, x, samples):
    z = np.stack([logits_of(x.copy()) for _ in range(samples)])
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    return np.einsum("snc,sn->nc", z, 1 / z.sum(axis=-1)) / samples


def ece_with_math(probabilities, labels, bins=10):
    rows = [([], []) for _ in range(bins)]
    for p, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        assert abs(math.fsum(p) - 1) < 1e-6
        confidence = max(p)
        which = min(max(math.ceil(confidence * bins) - 1, 0), bins - 1)
        rows[which][0].append(confidence)
        rows[which][1].append(p.index(confidence) == label)
    n = len(labels)
    return math.fsum(
        len(c) / n * abs(sum(a) / len(c) - math.fsum(c) / len(c)) for c, a in rows if c
    )


def ece_by_masks(probabilities, labels, bins=10):
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, 0]
    confidence = np.take_along_axis(probabilities, top[:, None], 1)[:, 0]
    error = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            gap = np.mean(top[inside] == labels[inside]) - confidence[inside].mean()
            error += inside.mean() * abs(gap)
    return error


def band_with_statistics(values):
    from scipy import stats

    flat = values.reshape(-1, values.shape[-1])
    means = [statistics.fmean(row) for row in flat.tolist()]
    errors = [statistics.stdev(row) / math.sqrt(len(row)) for row in flat.tolist()]
    t = stats.t.ppf(0.975, values.shape[-1] - 1)
    shape = values.shape[:-1]
    return np.reshape(means, shape), t * np.reshape(errors, shape)


def band_of_sums(values):
    from scipy.special import stdtrit

    n = values.shape[-1]
    mean = np.einsum("...n->...", values) / n
    off = values - mean[..., None]
    variance = np.einsum("...n,...n->...", off, off) / (n - 1)
    return mean, -stdtrit(n - 1, 0.025) * np.sqrt(variance / n)


def lsuv_loops(weights, x):
    new, h = [], x.copy()
    for w in weights:
        out = np.array([[float(np.dot(row, unit)) for unit in w] for row in h], x.dtype)
        scale = 1 / statistics.pstdev(out.ravel().tolist())
        new.append((w * scale).astype(w.dtype))
        h = np.where(out > 0, out * x.dtype.type(scale), x.dtype.type(0))
    return new


def lsuv_copies(weights, x):
    new = [w.copy() for w in weights]
    for depth, w in enumerate(new):
        for _ in range(3):
            h = x
            for before in new[:depth]:
                h = np.maximum(h @ before.T, 0)
            w /= np.einsum("nd,md->nm", h, w).std()
    return new


RIGHT = {
    "batch_norm_forward": [forward for forward, _ in BN],
    "batch_norm_backward": BN,
    "batch_norm_backward_steps": [steps_loops, steps_with_roots],
    "fold_batch_norm": [fold_with_math, fold_wide],
    "layer_norm_forward": [ln_with_math, ln_wide],
    "layer_norm_backward": [(ln_with_math, ln_backward_with_math), (ln_wide, ln_backward_wide)],
    "dropout_forward": [drop_one_by_one, drop_in_single_precision, drop_by_waiting],
    "dropout_backward": [
        (drop_one_by_one, drop_one_by_one_backward),
        (drop_in_single_precision, drop_in_single_precision_backward),
        (drop_by_waiting, drop_by_waiting_backward),
    ],
    "mc_dropout": [mc_with_math, mc_stacked],
    "expected_calibration_error": [ece_with_math, ece_by_masks],
    "confidence_band": [band_with_statistics, band_of_sums],
    "lsuv": [lsuv_loops, lsuv_copies],
}
SLOW = {"dropout_forward", "dropout_backward"}
WRITTEN = [(name, f) for name, functions in RIGHT.items() for f in functions]


def _id(value):
    last = value[-1] if isinstance(value, tuple) else value
    return getattr(last, "__name__", str(last))


@pytest.mark.parametrize(("name", "functions"), WRITTEN, ids=_id)
def test_right_answers_pass(name, functions, no_false_alarm):
    no_false_alarm(name, functions, slow=name in SLOW)
