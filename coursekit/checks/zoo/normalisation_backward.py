"""Wrong backward passes of batch norm in closed form."""

import numpy as np

from coursekit.checks.references_norm import batch_norm_backward, batch_norm_forward
from coursekit.checks.zoo.animal import animal

CLOSED = "batch_norm_backward"


def _closed(dout, cache, dx=None, dgamma=None, dbeta=None):
    """The closed form with some of the gradients replaced."""
    right = batch_norm_backward(dout, cache)
    return tuple(
        r if wrong is None else wrong for r, wrong in zip(right, (dx, dgamma, dbeta), strict=True)
    )


def _means(dout, xhat):
    return dout.mean(axis=0), xhat * (dout * xhat).mean(axis=0)


@animal(CLOSED, "the net trains, badly: rows fight over a mean they share")
def constant_statistics(dout, cache):
    """mean and variance are treated as constants: dx = dout * gamma * ivar."""
    return _closed(dout, cache, dout * cache["gamma"] * cache["ivar"])


@animal(CLOSED, "the gradients of a batch do not sum to 0, as they should")
def mean_term_missing(dout, cache):
    """dx lacks the term through the mean, mean(dout)."""
    _, through_var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] * (dout - through_var))


@animal(CLOSED, "the batch's scale gets a gradient, though it has no effect")
def variance_term_missing(dout, cache):
    """dx lacks the term through the variance, xhat * mean(dout * xhat)."""
    through_mean, _ = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] * (dout - through_mean))


@animal(CLOSED, "the gradient through the variance has the wrong sign")
def variance_term_added(dout, cache):
    """the term through the variance is added; it is subtracted."""
    mean, var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] * (dout - mean + var))


@animal(CLOSED, "one N too many, and gradients explode")
def sums_for_means(dout, cache):
    """the two terms are sums over the batch; they are means."""
    mean, var = _means(dout, cache["xhat"])
    n = len(dout)
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] * (dout - n * mean - n * var))


@animal(CLOSED, "gradients N times too large")
def not_divided_by_n(dout, cache):
    """N * dout - sum(dout) - xhat * sum(dout * xhat) is not divided by N."""
    dx, _, _ = batch_norm_backward(dout, cache)
    return _closed(dout, cache, dx * len(dout))


@animal(CLOSED, "gradients a little too small")
def over_n_minus_one(dout, cache):
    """the means divide by N - 1; the forward's statistics divide by N."""
    mean, var = _means(dout, cache["xhat"])
    factor = len(dout) / (len(dout) - 1)
    scale = cache["gamma"] * cache["ivar"]
    return _closed(dout, cache, scale * (dout - factor * (mean + var)))


@animal(CLOSED, "right as long as gamma is 1")
def dx_without_gamma(dout, cache):
    """dx is not multiplied by gamma."""
    mean, var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["ivar"] * (dout - mean - var))


@animal(CLOSED, "right as long as gamma is 1")
def gamma_twice(dout, cache):
    """dx is multiplied by gamma twice, as part of dxhat and once more."""
    dx, _, _ = batch_norm_backward(dout, cache)
    return _closed(dout, cache, dx * cache["gamma"])


@animal(CLOSED, "right for inputs that have deviation 1 already")
def dx_without_ivar(dout, cache):
    """dx is not divided by the standard deviation."""
    mean, var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * (dout - mean - var))


@animal(CLOSED, "gradients grow with the scale of the inputs, where they should shrink")
def dx_times_the_deviation(dout, cache):
    """dx is multiplied by the standard deviation; it is divided by it."""
    mean, var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * cache["std"] * (dout - mean - var))


@animal(CLOSED, "right for inputs that have deviation 1 already")
def dx_over_the_variance(dout, cache):
    """dx is divided by the variance; it should be the standard deviation."""
    mean, var = _means(dout, cache["xhat"])
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] ** 2 * (dout - mean - var))


@animal(CLOSED, "wrong or nan for features that hardly vary")
def backward_without_eps(dout, cache):
    """the backward divides by sqrt(var) without the forward's eps."""
    mean, var = _means(dout, cache["xhat"])
    scale = cache["gamma"] / np.sqrt(cache["var"])
    return _closed(dout, cache, scale * (dout - mean - var))


@animal(CLOSED, "gradients depend on the unit of the inputs")
def xmu_for_xhat(dout, cache):
    """the terms of dx use x - mean; they use xhat, which is divided by the deviation."""
    mean, var = _means(dout, cache["xmu"])
    return _closed(dout, cache, cache["gamma"] * cache["ivar"] * (dout - mean - var))


@animal(CLOSED, "this is layer norm's backward")
def means_over_features(dout, cache):
    """the means in dx run over axis 1, the features; batch norm's run over the batch."""
    dxhat, xhat = dout * cache["gamma"], cache["xhat"]
    mean = dxhat.mean(axis=1, keepdims=True)
    along = (dxhat * xhat).mean(axis=1, keepdims=True)
    return _closed(dout, cache, cache["ivar"] * (dxhat - mean - xhat * along))


@animal(CLOSED, "gamma learns what beta should")
def closed_dgamma_without_xhat(dout, cache):
    """dgamma does not use xhat: it sums dout alone."""
    return _closed(dout, cache, dgamma=dout.sum(axis=0))


@animal(CLOSED, "gamma's gradient depends on the unit of the inputs")
def closed_dgamma_from_x(dout, cache):
    """dgamma uses x; gamma multiplies xhat."""
    return _closed(dout, cache, dgamma=(dout * cache["x"]).sum(axis=0))


@animal(CLOSED, "gamma's gradient contains beta")
def closed_dgamma_from_out(dout, cache):
    """dgamma uses out; gamma multiplies xhat."""
    return _closed(dout, cache, dgamma=(dout * cache["out"]).sum(axis=0))


@animal(CLOSED, "gamma learns N times too slowly")
def dgamma_mean(dout, cache):
    """dgamma is a mean over the batch; the chain rule sums."""
    return _closed(dout, cache, dgamma=(dout * cache["xhat"]).mean(axis=0))


@animal(CLOSED, "beta learns N times too slowly")
def closed_dbeta_mean(dout, cache):
    """dbeta is the mean of dout over the batch; the chain rule sums."""
    return _closed(dout, cache, dbeta=dout.mean(axis=0))


@animal(CLOSED, "gamma learns too fast where it is large")
def dgamma_times_gamma(dout, cache):
    """dgamma is taken from dxhat = dout * gamma; gamma's own gradient does not contain gamma."""
    return _closed(dout, cache, dgamma=(dout * cache["gamma"] * cache["xhat"]).sum(axis=0))


@animal(CLOSED, "an error, or for N equal to D parameters that learn from rows")
def summed_over_features(dout, cache):
    """dgamma and dbeta are summed over axis 1, the features; the batch is axis 0."""
    dgamma = (dout * cache["xhat"]).sum(axis=1)
    return _closed(dout, cache, dgamma=dgamma, dbeta=dout.sum(axis=1))


@animal(CLOSED, "gamma and beta learn each other's lesson")
def gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dgamma, dbeta)."""
    dx, dgamma, dbeta = batch_norm_backward(dout, cache)
    return dx, dbeta, dgamma


@animal(CLOSED, "everything learns too slowly, more so with depth")
def all_divided_by_n(dout, cache):
    """everything is divided by N although the loss has done that already."""
    return batch_norm_backward(dout / len(dout), cache)


@animal(CLOSED, "the layer after it finds its gradient changed")
def dout_in_place(dout, cache):
    """dout is changed in place (*= gamma)."""
    gradients = batch_norm_backward(dout.copy(), cache)
    dout *= cache["gamma"]
    return gradients


@animal(CLOSED, "everything before it runs in float64")
def float64_dx(dout, cache):
    """dx becomes float64."""
    dx, dgamma, dbeta = batch_norm_backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta


_LAST: dict = {}


def _forward_with_one_cache(*args):
    out, cache, mean, var = batch_norm_forward(*args)
    _LAST.update(cache)
    return out, _LAST, mean, var


@animal(
    CLOSED, "wrong as soon as two layers, or two batches, share a cache", _forward_with_one_cache
)
def cache_of_the_latest_forward(dout, cache):
    """the cache is one object that every forward overwrites; make a new one each time."""
    return batch_norm_backward(dout, cache)
