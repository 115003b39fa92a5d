"""Wrong backward passes of batch norm for pictures.

The reference's cache holds the values of the forward as rows (N * H * W, C).
"""

import numpy as np

from coursekit.checks.references_conv_norm import batch_norm2d_backward, batch_norm2d_forward
from coursekit.checks.zoo.animal import animal

BACKWARD = "batch_norm2d_backward"


def _channels(a):
    """(C,) as something that broadcasts along axis 1 of (N, C, H, W)."""
    return a[:, None, None]


def _backward(dout, cache, **bugs):
    """The closed form on pictures, with a place for each bug."""
    n, c, h, w = dout.shape
    xhat = cache["xhat"].reshape(n, h, w, c).transpose(0, 3, 1, 2)
    bug = {
        "mean": lambda a: a.mean(axis=(0, 2, 3), keepdims=True),
        "through_mean": 1,
        "through_var": 1,
        "scale": _channels(cache["gamma"] * cache["ivar"]),
        "dgamma": lambda dout, xhat: (dout * xhat).sum(axis=(0, 2, 3)),
        "dbeta": lambda dout: dout.sum(axis=(0, 2, 3)),
    } | bugs
    through_mean = bug["through_mean"] * bug["mean"](dout)
    through_var = bug["through_var"] * xhat * bug["mean"](dout * xhat)
    dx = bug["scale"] * (dout - through_mean - through_var)
    return dx, bug["dgamma"](dout, xhat), bug["dbeta"](dout)


@animal(BACKWARD, "gradients H * W times too large in the means")
def means_divided_by_the_batch_size(dout, cache):
    """the means in dx divide by N; a channel has N * H * W numbers."""
    n = len(dout)
    return _backward(*(dout, cache), mean=lambda a: a.sum(axis=(0, 2, 3), keepdims=True) / n)


@animal(BACKWARD, "every pixel is taken for a feature of its own")
def means_over_the_batch_only(dout, cache):
    """the means in dx run over axis 0 only; they run over the pixels too."""
    return _backward(dout, cache, mean=lambda a: a.mean(axis=0))


@animal(BACKWARD, "this is instance norm's backward")
def means_over_the_pixels_only(dout, cache):
    """the means in dx run over each picture's pixels; they run over the batch too."""
    return _backward(dout, cache, mean=lambda a: a.mean(axis=(2, 3), keepdims=True))


@animal(BACKWARD, "channels learn from one another")
def means_over_everything(dout, cache):
    """the means in dx run over the whole array; every channel has its own."""
    return _backward(dout, cache, mean=np.mean)


@animal(BACKWARD, "gradients a little too small")
def over_one_less(dout, cache):
    """the means divide by N * H * W - 1; the forward's statistics divide by N * H * W."""
    count = dout.size // dout.shape[1]
    return _backward(*(dout, cache), mean=lambda a: a.sum((0, 2, 3), keepdims=True) / (count - 1))


@animal(BACKWARD, "gradients explode")
def sums_for_means(dout, cache):
    """the two terms are sums; they are means."""
    return _backward(dout, cache, mean=lambda a: a.sum(axis=(0, 2, 3), keepdims=True))


@animal(BACKWARD, "gradients N * H * W times too large")
def not_divided_by_the_count(dout, cache):
    """the terms N * H * W * dout - sum(dout) - ... are not divided by N * H * W."""
    count = dout.size // dout.shape[1]
    return _backward(dout, cache, scale=_channels(cache["gamma"] * cache["ivar"] * count))


@animal(BACKWARD, "the net trains, badly: pixels fight over a mean they share")
def constant_statistics(dout, cache):
    """mean and variance are treated as constants: dx = dout * gamma * ivar."""
    return _backward(dout, cache, through_mean=0, through_var=0)


@animal(BACKWARD, "a channel's gradients do not sum to 0, as they should")
def mean_term_missing(dout, cache):
    """dx lacks the term through the mean, mean(dout)."""
    return _backward(dout, cache, through_mean=0)


@animal(BACKWARD, "a channel's scale gets a gradient, though it has no effect")
def variance_term_missing(dout, cache):
    """dx lacks the term through the variance, xhat * mean(dout * xhat)."""
    return _backward(dout, cache, through_var=0)


@animal(BACKWARD, "the gradient through the variance has the wrong sign")
def variance_term_added(dout, cache):
    """the term through the variance is added; it is subtracted."""
    return _backward(dout, cache, through_var=-1)


@animal(BACKWARD, "right as long as gamma is 1")
def dx_without_gamma(dout, cache):
    """dx is not multiplied by gamma."""
    return _backward(dout, cache, scale=_channels(cache["ivar"]))


@animal(BACKWARD, "right for inputs that have deviation 1 already")
def dx_without_ivar(dout, cache):
    """dx is not divided by the standard deviation."""
    return _backward(dout, cache, scale=_channels(cache["gamma"]))


@animal(BACKWARD, "an error, or for W equal to C columns that learn at different rates")
def gamma_along_the_width_on_the_way_back(dout, cache):
    """gamma without [:, None, None] scales columns; it is channels that have gammas."""
    return _backward(dout, cache, scale=_channels(cache["ivar"]) * cache["gamma"])


@animal(BACKWARD, "channels, rows and columns in disorder, and no error")
def dout_reshaped_without_moving_axes(dout, cache):
    """dout.reshape(-1, C) as it stands mixes the channels; they have to be moved to the end."""
    n, c, h, w = dout.shape
    mixed = dout.reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return batch_norm2d_backward(mixed, cache)


@animal(BACKWARD, "the layers before it learn from the wrong channels")
def dx_not_moved_back(dout, cache):
    """the rows of dx are reshaped to (N, C, H, W) as they stand; it is to (N, H, W, C), then C is
    moved forward"""
    dx, dgamma, dbeta = batch_norm2d_backward(dout, cache)
    return np.array(dx.transpose(0, 2, 3, 1)).reshape(dx.shape), dgamma, dbeta


@animal(BACKWARD, "an error when gamma and beta are updated")
def parameters_summed_over_the_batch_only(dout, cache):
    """dgamma and dbeta are summed over axis 0 only; sum over the pixels too."""
    return _backward(
        *(dout, cache),
        dgamma=lambda dout, xhat: (dout * xhat).sum(axis=0),
        dbeta=lambda dout: dout.sum(axis=0),
    )


@animal(BACKWARD, "an error, or for W equal to C parameters that learn from columns")
def parameters_summed_over_the_channels(dout, cache):
    """dgamma and dbeta are summed over axes 0, 1 and 2; the channels are axis 1."""
    return _backward(
        *(dout, cache),
        dgamma=lambda dout, xhat: (dout * xhat).sum(axis=(0, 1, 2)),
        dbeta=lambda dout: dout.sum(axis=(0, 1, 2)),
    )


@animal(BACKWARD, "gamma and beta learn too slowly")
def parameters_mean(dout, cache):
    """dgamma and dbeta are means; the chain rule sums."""
    return _backward(
        *(dout, cache),
        dgamma=lambda dout, xhat: (dout * xhat).mean(axis=(0, 2, 3)),
        dbeta=lambda dout: dout.mean(axis=(0, 2, 3)),
    )


@animal(BACKWARD, "gamma learns what beta should")
def dgamma_without_xhat(dout, cache):
    """dgamma does not use xhat: it sums dout alone."""
    return _backward(dout, cache, dgamma=lambda dout, xhat: dout.sum(axis=(0, 2, 3)))


@animal(BACKWARD, "gamma and beta learn each other's lesson")
def gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dgamma, dbeta)."""
    dx, dgamma, dbeta = batch_norm2d_backward(dout, cache)
    return dx, dbeta, dgamma


@animal(BACKWARD, "the layer after it finds its gradient changed")
def dout_in_place(dout, cache):
    """dout is changed in place (*= gamma)."""
    gradients = batch_norm2d_backward(dout.copy(), cache)
    dout *= _channels(cache["gamma"])
    return gradients


@animal(BACKWARD, "everything before it runs in float64")
def float64_dx(dout, cache):
    """dx becomes float64."""
    dx, dgamma, dbeta = batch_norm2d_backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta


_LAST: dict = {}


def _forward_with_one_cache(*args):
    out, cache, mean, var = batch_norm2d_forward(*args)
    _LAST.update(cache)
    return out, _LAST, mean, var


@animal(
    BACKWARD, "wrong as soon as two layers, or two batches, share a cache", _forward_with_one_cache
)
def cache_of_the_latest_forward(dout, cache):
    """the cache is one object that every forward overwrites; make a new one each time."""
    return batch_norm2d_backward(dout, cache)
