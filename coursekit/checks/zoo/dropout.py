"""Wrong dropouts, forward and backward."""

import numpy as np

from coursekit.checks.references_dropout import dropout_backward, dropout_forward
from coursekit.checks.zoo.animal import animal

FORWARD, BACKWARD = "dropout_forward", "dropout_backward"


def _mask(x, p, draws):
    """The scaled mask that keeps where ``draws`` reach p."""
    return (draws >= p).astype(x.dtype) / (1 - p)


def _dropped(x, mask):
    return x * mask, mask


# --- forward --------------------------------------------------------------------------------


@animal(FORWARD, "p = 0.2 drops 80 %")
def keep_and_drop_swapped(x, p, training, rng):
    """p is taken for the chance to keep; here, as in PyTorch, it is the chance to drop."""
    return dropout_forward(x, 1 - p, training and p > 0, rng)


@animal(FORWARD, "p = 0.2 drops 80 %, and what is left is scaled for 20 %")
def comparison_reversed(x, p, training, rng):
    """rng.random() < p keeps with chance p; an entry is kept where it is p or more."""
    if not training or p == 0:
        return x.copy(), None
    return _dropped(x, (rng.random(x.shape) < p).astype(x.dtype) / (1 - p))


@animal(FORWARD, "evaluation sees larger activations than training did")
def no_inverse_scaling(x, p, training, rng):
    """what is kept is not divided by 1 - p."""
    if not training:
        return x.copy(), None
    return _dropped(x, (rng.random(x.shape) >= p).astype(x.dtype))


@animal(FORWARD, "right for p = 0.5 only")
def divided_by_p(x, p, training, rng):
    """what is kept is divided by p; the chance to be kept is 1 - p."""
    if not training or p == 0:
        return x.copy(), None
    return _dropped(x, (rng.random(x.shape) >= p).astype(x.dtype) / p)


@animal(FORWARD, "activations shrink twice over")
def multiplied_by_the_chance_to_keep(x, p, training, rng):
    """what is kept is multiplied by 1 - p; it is divided."""
    if not training:
        return x.copy(), None
    return _dropped(x, (rng.random(x.shape) >= p).astype(x.dtype) * (1 - p))


@animal(FORWARD, "the older form: evaluation is slower and differs by a factor")
def scaled_in_evaluation(x, p, training, rng):
    """training does not scale and evaluation multiplies by 1 - p; inverted dropout leaves
    evaluation alone"""
    if not training:
        return x * x.dtype.type(1 - p), None
    return _dropped(x, (rng.random(x.shape) >= p).astype(x.dtype))


@animal(FORWARD, "evaluation sees smaller activations than training did")
def scaled_in_both(x, p, training, rng):
    """evaluation multiplies by 1 - p although training has divided by it already."""
    if not training:
        return x * x.dtype.type(1 - p), None
    return dropout_forward(x, p, True, rng)


@animal(FORWARD, "evaluation sees larger activations than training did")
def divided_in_evaluation(x, p, training, rng):
    """evaluation divides by 1 - p; only what survives a mask grows."""
    if not training:
        return x / x.dtype.type(1 - p), None
    return dropout_forward(x, p, True, rng)


@animal(FORWARD, "tests are noisy, and worse than they should be")
def dropout_in_evaluation(x, p, training, rng):
    """the flag is ignored: evaluation drops as well."""
    return dropout_forward(x, p, True, rng)


@animal(FORWARD, "no regularisation, and noisy tests")
def dropout_flag_reversed(x, p, training, rng):
    """training and evaluation are swapped."""
    return dropout_forward(x, p, not training, rng)


@animal(FORWARD, "no regularisation at all")
def never_dropped(x, p, training, rng):
    """nothing is ever dropped."""
    return x.copy(), None


@animal(FORWARD, "a batch trains one subnet at a time")
def one_mask_per_feature(x, p, training, rng):
    """one mask for all rows; every entry of the batch has its own draw."""
    if not training:
        return x.copy(), None
    return _dropped(x, np.repeat(_mask(x, p, rng.random((1, *x.shape[1:]))), len(x), 0))


@animal(FORWARD, "whole pictures vanish from a batch")
def one_draw_per_row(x, p, training, rng):
    """one draw for each row, which drops it as a whole; every entry has its own draw."""
    if not training:
        return x.copy(), None
    draws = rng.random(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return _dropped(x, _mask(x, p, np.broadcast_to(draws, x.shape)))


@animal(FORWARD, "now and then a batch is all zeros")
def one_draw_for_all(x, p, training, rng):
    """a single draw keeps or drops the whole batch; every entry has its own draw."""
    if not training:
        return x.copy(), None
    rng.random()
    return np.zeros_like(x), 0


@animal(FORWARD, "units are never dropped together")
def a_fixed_number_per_row(x, p, training, rng):
    """each row drops a fixed number of entries; dropout draws for every entry by itself."""
    if not training:
        return x.copy(), None
    if x.ndim == 1:
        return dropout_forward(x, p, True, rng)
    ranks = rng.permuted(np.tile(np.arange(x[0].size), (len(x), 1)), axis=1)
    return _dropped(x, _mask(x, p, ranks.reshape(x.shape) / x[0].size))


@animal(FORWARD, "hard to tell: units are a little too seldom dropped together")
def a_fixed_number_in_all(x, p, training, rng):
    """exactly p of the entries are dropped, as by a permutation, or hardly more or fewer; dropout
    draws for every entry by itself"""
    if not training:
        return x.copy(), None
    return _dropped(x, _mask(x, p, rng.permutation(x.size).reshape(x.shape) / x.size))


@animal(FORWARD, "hard to tell: units are a little too seldom dropped together")
def nearly_a_fixed_number(x, p, training, rng):
    """exactly p of the entries are dropped, as by a permutation, or hardly more or fewer; dropout
    draws for every entry by itself"""
    if not training or p == 0:
        return dropout_forward(x, p, training, rng)
    number = int(np.clip(p * x.size + rng.integers(-1, 3), 0, x.size))
    ranks = rng.permutation(x.size).reshape(x.shape)
    return _dropped(x, _mask(x, p, np.where(ranks < number, 0.0, 1.0)))


@animal(FORWARD, "units are dropped together too often")
def a_chance_for_each_call(x, p, training, rng):
    """each call has a chance of its own, p only on average; p is the same for every call."""
    if not training or p == 0:
        return dropout_forward(x, p, training, rng)
    own = p + min(p, 1 - p) * rng.uniform(-1, 1)
    return _dropped(x, _mask(x, p, np.where(rng.random(x.shape) < own, 0.0, 1.0)))


@animal(FORWARD, "some units are nearly always there, others nearly never")
def chances_of_their_own(x, p, training, rng):
    """units have chances of their own, p only on average; p is the same for every entry."""
    if not training or p == 0:
        return x.copy(), None
    rows = x.reshape(100, -1)
    spread = min(p, 1 - p) * np.linspace(-1, 1, rows.shape[1])
    return _dropped(x, _mask(x, p, (rng.random(rows.shape) - spread).reshape(x.shape)))


@animal(FORWARD, "p = 0.5 drops 69 %")
def normal_draws(x, p, training, rng):
    """the draws are normal; compared with p they must be uniform on [0, 1)."""
    if not training or p == 0:
        return x.copy(), None
    return _dropped(x, _mask(x, p, rng.standard_normal(x.shape)))


@animal(FORWARD, "the p that was asked for has no effect on the mask")
def always_half(x, p, training, rng):
    """half of the entries are dropped, whatever p is."""
    if not training or p == 0:
        return x.copy(), None
    return _dropped(x, rng.integers(0, 2, x.shape).astype(x.dtype) / x.dtype.type(1 - p))


@animal(FORWARD, "noise, but no zeros")
def multiplied_by_the_draws(x, p, training, rng):
    """x is multiplied by the uniform draws themselves; compare them with p first."""
    if not training or p == 0:
        return x.copy(), None
    return _dropped(x, rng.random(x.shape).astype(x.dtype))


@animal(FORWARD, "two runs with one seed differ")
def global_generator(x, p, training, rng):
    """the mask comes from np.random, not from rng, so that a seed does not fix it."""
    if not training:
        return x.copy(), None
    return _dropped(x, _mask(x, p, np.random.rand(*x.shape)))  # noqa: NPY002


@animal(FORWARD, "two runs with one seed differ")
def unseeded_generator(x, p, training, rng):
    """a new generator is made inside, so that rng's seed does not fix the mask."""
    return dropout_forward(x, p, training, np.random.default_rng())


@animal(FORWARD, "the same units are dropped in every step")
def seeded_generator(x, p, training, rng):
    """a generator with a fixed seed is made inside, so that every call draws the same mask."""
    return dropout_forward(x, p, training, np.random.default_rng(0))


@animal(FORWARD, "a unit that is dropped once never comes back; the caller's array is changed")
def dropped_in_place(x, p, training, rng):
    """x *= mask changes the caller's array."""
    out, mask = dropout_forward(x, p, training, rng)
    x[...] = out
    return x.copy(), mask


@animal(FORWARD, "everything after it runs in float64")
def float64_mask(x, p, training, rng):
    """a float64 mask makes a float64 result of float32 inputs."""
    if not training:
        return x.copy(), None
    return _dropped(x, (rng.random(x.shape) >= p) / (np.ones(x.shape) * (1 - p)))


# --- backward; the reference's cache is the scaled mask, or None after evaluation --------------


@animal(BACKWARD, "units that were off learn, and those that were on too little")
def gradient_not_masked(dout, cache):
    """dx is dout: the mask is left out."""
    return dout.copy()


@animal(BACKWARD, "gradients too small by the factor 1 - p")
def backward_not_scaled(dout, cache):
    """dx goes through the mask but is not divided by 1 - p."""
    return dropout_backward(dout, None if cache is None else (cache > 0).astype(dout.dtype))


@animal(BACKWARD, "units that were off learn, and those that were on too little")
def scaled_but_not_masked(dout, cache):
    """dx is dout / (1 - p) everywhere: the mask is left out."""
    return dout.copy() if cache is None else dout * cache.max()


@animal(BACKWARD, "gradients grow with every dropout on the way back")
def scaled_twice(dout, cache):
    """dx is divided by 1 - p twice, once in the mask and once more."""
    return dropout_backward(dout, None if cache is None else cache * cache)


@animal(BACKWARD, "gradients go where no activation went")
def mask_inverted(dout, cache):
    """dx goes through the entries that were dropped, not through those that were kept."""
    return dropout_backward(dout, None if cache is None else cache.max() - cache)


@animal(BACKWARD, "units that were off learn from other units' mistakes")
def fresh_mask(dout, cache):
    """the backward draws a mask of its own; it is the forward's that counts."""
    if cache is None:
        return dout.copy()
    return dout * np.random.default_rng().permutation(cache.ravel()).reshape(cache.shape)


def _with_out(x, p, training, rng):
    """A forward that keeps its output too, for those who take the mask from there."""
    out, mask = dropout_forward(x, p, training, rng)
    return out, (mask, out, x)


@animal(BACKWARD, "negative activations learn nothing", _with_out)
def mask_from_positive_outputs(dout, cache):
    """the mask is taken to be out > 0, which loses kept entries that are negative."""
    mask, out, _ = cache
    return dout.copy() if mask is None else dout * mask * (out > 0)


@animal(BACKWARD, "gradients grow with the activations", _with_out)
def times_the_output(dout, cache):
    """dout is multiplied by out; it is multiplied by the mask."""
    mask, out, _ = cache
    return dout.copy() if mask is None else dout * out


@animal(BACKWARD, "gradients after evaluation are off by a factor")
def scaled_after_evaluation(dout, cache):
    """dx is scaled after an evaluation forward as well, where dropout does nothing."""
    return 2 * dout if cache is None else dout * cache


@animal(BACKWARD, "an error, or no gradients at all, after evaluation")
def zero_after_evaluation(dout, cache):
    """after an evaluation forward dx is 0; dropout does nothing there, so dx is dout."""
    return np.zeros_like(dout) if cache is None else dout * cache


_LATEST: dict = {}


def _forward_with_one_mask(x, p, training, rng):
    out, _LATEST["mask"] = dropout_forward(x, p, training, rng)
    return out, _LATEST


@animal(BACKWARD, "two dropout layers share one mask on the way back", _forward_with_one_mask)
def mask_of_the_latest_forward(dout, cache):
    """the mask is kept in one place that every forward overwrites; put it into the cache."""
    return dropout_backward(dout, cache["mask"])


@animal(BACKWARD, "the layer after it finds its gradient changed")
def dropout_dout_in_place(dout, cache):
    """dout *= mask changes the caller's array."""
    dx = dropout_backward(dout.copy(), cache)
    dout[...] = dx
    return dx


@animal(BACKWARD, "everything before it runs in float64")
def dropout_float64_dx(dout, cache):
    """dx becomes float64."""
    return dropout_backward(dout, cache).astype(np.float64)
