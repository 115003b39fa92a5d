"""Wrong backward passes of group norm.

The reference's cache is (xhat, ivar, gamma, num_groups), with an ivar of shape (N, G, 1).
"""

import numpy as np

from coursekit.checks.references_conv_norm import group_norm_backward, group_norm_forward
from coursekit.checks.zoo.animal import animal

BACKWARD = "group_norm_backward"


def _channels(a):
    """(C,) as something that broadcasts along axis 1 of (N, C, H, W)."""
    return a[:, None, None]


def _backward(dout, cache, **bugs):
    """The closed form over (N, G, C / G, H, W), with a place for each bug."""
    xhat, ivar, gamma, num_groups = cache
    n, c, h, w = dout.shape
    bug = {
        "dxhat": dout * _channels(gamma),
        "axes": (2, 3, 4),
        "mean": lambda a: a.mean(axis=bug["axes"], keepdims=True),
        "through_mean": 1,
        "through_var": 1,
        "scale": ivar[..., None, None],
        "last": lambda dx: dx,
        "dgamma": (dout * xhat).sum(axis=(0, 2, 3)),
        "dbeta": dout.sum(axis=(0, 2, 3)),
    } | bugs
    shape = n, num_groups, c // num_groups, h, w
    dxhat, grouped = bug["dxhat"].reshape(shape), xhat.reshape(shape)
    through_mean = bug["through_mean"] * bug["mean"](dxhat)
    through_var = bug["through_var"] * grouped * bug["mean"](dxhat * grouped)
    dx = bug["scale"] * (dxhat - through_mean - through_var)
    return bug["last"](dx.reshape(dout.shape)), bug["dgamma"], bug["dbeta"]


@animal(BACKWARD, "right as long as gamma is 1 everywhere")
def gamma_outside_the_means(dout, cache):
    """gamma multiplies at the end, as in batch norm; here it differs within a group's means."""
    return _backward(*(dout, cache), dxhat=dout, last=lambda dx: dx * _channels(cache[2]))


@animal(BACKWARD, "right as long as gamma is 1")
def dx_without_gamma(dout, cache):
    """dx does not contain gamma: dxhat is dout * gamma."""
    return _backward(dout, cache, dxhat=dout)


@animal(BACKWARD, "pictures learn from one another")
def means_over_the_batch_too(dout, cache):
    """the means in dx run over the batch too; every picture was normalised by itself."""
    return _backward(dout, cache, axes=(0, 2, 3, 4))


@animal(BACKWARD, "this is batch norm's backward")
def means_over_the_batch_and_the_pixels(dout, cache):
    """the means in dx run over the batch and the pixels, for each channel, as batch norm's do."""
    return _backward(dout, cache, axes=(0, 3, 4))


@animal(BACKWARD, "this is instance norm's backward")
def means_over_the_pixels_only(dout, cache):
    """the means in dx run over each channel's pixels; they run over the group's channels too."""
    return _backward(dout, cache, axes=(3, 4))


@animal(BACKWARD, "pixels are taken for groups of their own")
def means_over_the_channels_only(dout, cache):
    """the means in dx run over the group's channels at each pixel; they run over the pixels too."""
    return _backward(dout, cache, axes=(2,))


@animal(BACKWARD, "this is layer norm's backward")
def means_over_all_channels(dout, cache):
    """the means in dx run over all channels; each group has its own."""
    return _backward(dout, cache, axes=(1, 2, 3, 4))


@animal(BACKWARD, "gradients that are too large in the means")
def divided_by_the_pixels_only(dout, cache):
    """the means divide by H * W; a group has C / G * H * W numbers."""
    pixels = dout[0, 0].size
    return _backward(*(dout, cache), mean=lambda a: a.sum(axis=(2, 3, 4), keepdims=True) / pixels)


@animal(BACKWARD, "gradients that are too small in the means")
def divided_by_the_whole_picture(dout, cache):
    """the means divide by C * H * W; a group has C / G * H * W numbers."""
    whole = dout[0].size
    return _backward(*(dout, cache), mean=lambda a: a.sum(axis=(2, 3, 4), keepdims=True) / whole)


@animal(BACKWARD, "gradients a little too small")
def over_one_less(dout, cache):
    """the means divide by one less than a group's count; the forward divides by the count."""
    less = dout[0].size // cache[3] - 1
    return _backward(*(dout, cache), mean=lambda a: a.sum(axis=(2, 3, 4), keepdims=True) / less)


@animal(BACKWARD, "mean and variance count as constants")
def constant_statistics(dout, cache):
    """mean and variance are treated as constants: dx = dout * gamma * ivar."""
    return _backward(dout, cache, through_mean=0, through_var=0)


@animal(BACKWARD, "a group's gradients do not sum to 0, as they should")
def mean_term_missing(dout, cache):
    """dx lacks the term through the mean, mean(dxhat)."""
    return _backward(dout, cache, through_mean=0)


@animal(BACKWARD, "a group's scale gets a gradient, though it has no effect")
def variance_term_missing(dout, cache):
    """dx lacks the term through the variance, xhat * mean(dxhat * xhat)."""
    return _backward(dout, cache, through_var=0)


@animal(BACKWARD, "the gradient through the variance has the wrong sign")
def variance_term_added(dout, cache):
    """the term through the variance is added; it is subtracted."""
    return _backward(dout, cache, through_var=-1)


@animal(BACKWARD, "gradients far too large")
def not_divided_by_the_count(dout, cache):
    """m * dxhat - sum(dxhat) - ... is not divided by m, a group's count of numbers."""
    m = dout[0].size // cache[3]
    return _backward(dout, cache, last=lambda dx: m * dx)


@animal(BACKWARD, "right for groups that have deviation 1 already")
def dx_without_ivar(dout, cache):
    """dx is not divided by the standard deviation."""
    return _backward(dout, cache, scale=1)


@animal(BACKWARD, "an error when gamma and beta are updated")
def parameters_summed_over_the_batch_only(dout, cache):
    """dgamma and dbeta are summed over axis 0 only; sum over the pixels too."""
    return _backward(*(dout, cache), dgamma=(dout * cache[0]).sum(axis=0), dbeta=dout.sum(axis=0))


@animal(BACKWARD, "an error when gamma and beta are updated")
def parameters_summed_over_the_pixels_only(dout, cache):
    """dgamma and dbeta are summed over the pixels only; all pictures share them, so sum over axis 0
    too"""
    return _backward(
        *(dout, cache), dgamma=(dout * cache[0]).sum(axis=(2, 3)), dbeta=dout.sum(axis=(2, 3))
    )


@animal(BACKWARD, "gamma and beta learn too slowly")
def parameters_mean(dout, cache):
    """dgamma and dbeta are means; the chain rule sums."""
    return _backward(
        *(dout, cache),
        dgamma=(dout * cache[0]).mean(axis=(0, 2, 3)),
        dbeta=dout.mean(axis=(0, 2, 3)),
    )


@animal(BACKWARD, "gamma learns what beta should")
def dgamma_without_xhat(dout, cache):
    """dgamma does not use xhat: it sums dout alone."""
    return _backward(dout, cache, dgamma=dout.sum(axis=(0, 2, 3)))


@animal(BACKWARD, "gamma learns too fast where it is large")
def dgamma_times_gamma(dout, cache):
    """dgamma is taken from dxhat = dout * gamma; gamma's own gradient does not contain gamma."""
    return _backward(
        *(dout, cache), dgamma=(dout * _channels(cache[2]) * cache[0]).sum(axis=(0, 2, 3))
    )


@animal(BACKWARD, "gamma and beta learn each other's lesson")
def gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dgamma, dbeta)."""
    dx, dgamma, dbeta = group_norm_backward(dout, cache)
    return dx, dbeta, dgamma


@animal(BACKWARD, "the layer after it finds its gradient changed")
def dout_in_place(dout, cache):
    """dout is changed in place (*= gamma)."""
    gradients = group_norm_backward(dout.copy(), cache)
    dout *= _channels(cache[2])
    return gradients


@animal(BACKWARD, "everything before it runs in float64")
def float64_dx(dout, cache):
    """dx becomes float64."""
    dx, dgamma, dbeta = group_norm_backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta


_LAST: dict = {}


def _forward_with_one_cache(*args):
    out, _LAST["cache"] = group_norm_forward(*args)
    return out, _LAST


@animal(
    BACKWARD, "wrong as soon as two layers, or two batches, share a cache", _forward_with_one_cache
)
def cache_of_the_latest_forward(dout, cache):
    """the cache is one object that every forward overwrites; make a new one each time."""
    return group_norm_backward(dout, cache["cache"])
