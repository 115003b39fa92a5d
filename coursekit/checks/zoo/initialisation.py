"""Wrong first weights: Kaiming's, and those that are scaled by a batch."""

from math import sqrt

import numpy as np

from coursekit.checks.references_dropout import lsuv
from coursekit.checks.zoo.animal import animal

KAIMING, LSUV = "kaiming_normal", "lsuv"


@animal(KAIMING, "activations shrink by a factor of 0.7 a layer")
def without_the_two(fan_in, fan_out, rng):
    """variance 1 / fan_in, which forgets that ReLU halves it; it is 2 / fan_in."""
    return rng.standard_normal((fan_out, fan_in)) / sqrt(fan_in)


@animal(KAIMING, "activations shrink or grow where layers change width")
def fan_out_for_fan_in(fan_in, fan_out, rng):
    """the variance is 2 / fan_out; forward it is fan_in that counts."""
    return rng.standard_normal((fan_out, fan_in)) * sqrt(2 / fan_out)


@animal(KAIMING, "activations vanish")
def variance_as_deviation(fan_in, fan_out, rng):
    """scaled by the variance 2 / fan_in; the standard deviation is its square root."""
    return rng.standard_normal((fan_out, fan_in)) * (2 / fan_in)


@animal(KAIMING, "activations shrink by a factor of 0.6 a layer")
def uniform_of_the_wrong_width(fan_in, fan_out, rng):
    """uniform between plus and minus sqrt(2 / fan_in), whose deviation is only 0.58 of that."""
    return rng.uniform(-sqrt(2 / fan_in), sqrt(2 / fan_in), (fan_out, fan_in))


@animal(KAIMING, "hard to tell: right variance, no tails")
def uniform_of_the_right_width(fan_in, fan_out, rng):
    """Kaiming's uniform form; this exercise asks for the normal one."""
    return rng.uniform(-sqrt(6 / fan_in), sqrt(6 / fan_in), (fan_out, fan_in))


@animal(KAIMING, "activations shrink where layers narrow")
def xavier(fan_in, fan_out, rng):
    """Xavier's variance 2 / (fan_in + fan_out); Kaiming's is 2 / fan_in."""
    return rng.standard_normal((fan_out, fan_in)) * sqrt(2 / (fan_in + fan_out))


@animal(KAIMING, "fine for three layers, dead for twenty")
def fixed_scale(fan_in, fan_out, rng):
    """a fixed scale of 0.01 for every layer."""
    return rng.standard_normal((fan_out, fan_in)) * 0.01


@animal(KAIMING, "an error in the first matrix product")
def shape_transposed(fan_in, fan_out, rng):
    """the shape is (fan_in, fan_out); weights are (fan_out, fan_in)."""
    return rng.standard_normal((fan_in, fan_out)) * sqrt(2 / fan_in)


@animal(KAIMING, "activations are all positive and grow")
def positive_only(fan_in, fan_out, rng):
    """rng.random draws from [0, 1), so that no weight is negative."""
    return rng.random((fan_out, fan_in)) * sqrt(2 / fan_in)


@animal(KAIMING, "activations shrink by a factor of 0.9 a layer")
def cut_off_at_two_deviations(fan_in, fan_out, rng):
    """the normal distribution is cut off: what lies beyond two deviations is drawn again, which
    leaves a deviation of 0.88"""
    w = rng.standard_normal((fan_out, fan_in))
    while np.any(far := np.abs(w) > 2):
        w[far] = rng.standard_normal(far.sum())
    return w * sqrt(2 / fan_in)


@animal(KAIMING, "hard to tell: right variance, no tails")
def cut_off_and_rescaled(fan_in, fan_out, rng):
    """the normal distribution is cut off at two deviations and rescaled; this exercise asks for the
    whole one"""
    return cut_off_at_two_deviations(fan_in, fan_out, rng) / 0.879626


@animal(KAIMING, "activations shrink a little with every layer")
def clipped_at_two_deviations(fan_in, fan_out, rng):
    """the normal distribution is cut off: np.clip puts what lies beyond two deviations there."""
    return np.clip(rng.standard_normal((fan_out, fan_in)), -2, 2) * sqrt(2 / fan_in)


@animal(KAIMING, "layers of one shape start out the same")
def own_generator(fan_in, fan_out, rng):
    """a generator with a fixed seed is made inside, so every call gives the same weights."""
    return np.random.default_rng(0).standard_normal((fan_out, fan_in)) * sqrt(2 / fan_in)


@animal(KAIMING, "two runs with one seed differ")
def rng_ignored(fan_in, fan_out, rng):
    """the weights do not come from rng, so that a seed does not fix them."""
    return np.random.default_rng().standard_normal((fan_out, fan_in)) * sqrt(2 / fan_in)


# --- weights scaled by a batch: (weights, x) -> new weights ---------------------------------


def _rescaled(weights, x, **bugs):
    """LSUV written out, with a place for each bug."""
    bug = {
        "scale": lambda pre: pre.std(),
        "below": lambda pre, scale: pre / scale,
        "activation": lambda pre: np.maximum(pre, 0),
        "last": lambda w, scale: w / scale,
    } | bugs
    result = []
    for i, w in enumerate(weights):
        pre = x @ w.T
        scale = bug["scale"](pre)
        result.append(bug["last"](w, scale) if i == len(weights) - 1 else w / scale)
        x = bug["activation"](bug["below"](pre, scale))
    return result


@animal(LSUV, "only the first layer has deviation 1")
def old_weights_below(weights, x):
    """each layer is measured with the old weights below it; they have been rescaled by then."""
    return _rescaled(weights, x, below=lambda pre, scale: pre)


@animal(LSUV, "deviations near 0.8 from the second layer on")
def no_relu_between(weights, x):
    """there is no ReLU between the layers while they are measured."""
    return _rescaled(weights, x, activation=lambda pre: pre)


@animal(LSUV, "pre-activations of deviation 1.7")
def measured_after_the_relu(weights, x):
    """the deviation is taken after the ReLU; it is the pre-activations' that shall be 1."""
    return _rescaled(weights, x, scale=lambda pre: np.maximum(pre, 0).std())


@animal(LSUV, "the negative half of the pictures is cut off")
def relu_on_the_inputs(weights, x):
    """the ReLU is applied to x itself; it stands between the layers only."""
    return _rescaled(weights, np.maximum(x, 0))


@animal(LSUV, "scores start out too large or too small")
def last_layer_left_out(weights, x):
    """the last layer is left as it is; it is rescaled as well."""
    return _rescaled(weights, x, last=lambda w, scale: w.copy())


@animal(LSUV, "deviations far from 1 wherever they were not 1 already")
def divided_by_pre_variance(weights, x):
    """divided by the variance; it should be the standard deviation."""
    return _rescaled(weights, x, scale=lambda pre: pre.var())


@animal(LSUV, "what is too large gets larger")
def multiplied_by_the_deviation(weights, x):
    """multiplied by the standard deviation; it is divided by it."""
    return _rescaled(weights, x, scale=lambda pre: 1 / pre.std())


@animal(LSUV, "right where the mean is 0")
def root_mean_square_for_deviation(weights, x):
    """the root of the mean square; the standard deviation subtracts the mean first."""
    return _rescaled(weights, x, scale=lambda pre: np.sqrt((pre * pre).mean()))


@animal(LSUV, "every unit has deviation 1, the layer not quite")
def each_unit_by_itself(weights, x):
    """each unit is rescaled by its own deviation; a layer has one, over units and batch."""
    result = []
    for w in weights:
        std = (x @ w.T).std(axis=0)
        result.append(w / std[:, None])
        x = np.maximum(x @ result[-1].T, 0)
    return result


@animal(LSUV, "depends on which picture comes first")
def measured_on_one_row(weights, x):
    """the deviation is that of the first row; it is taken over the whole batch."""
    return _rescaled(weights, x, scale=lambda pre: pre[0].std())


@animal(LSUV, "weights of deviation 1, and activations that explode")
def deviation_of_the_weights(weights, x):
    """the weights' own deviation becomes 1; it is the pre-activations' that shall."""
    return [w / w.std() for w in weights]


@animal(LSUV, "right for a single layer only")
def weights_centred(weights, x):
    """the weights' mean is subtracted as well; they are only rescaled."""
    return _rescaled([w - w.mean() for w in weights], x)


@animal(LSUV, "the net that was given is changed")
def weights_rescaled_in_place(weights, x):
    """the given weights are changed (w /= ..., weights[i] = ... or weights.pop(0)); make a new list
    of new arrays"""
    result = lsuv([w.copy() for w in weights], x)
    for w, new in zip(weights, result, strict=True):
        w[...] = new
    return result


@animal(LSUV, "an error, unless all layers are square")
def lsuv_not_transposed(weights, x):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return [x @ w for w in weights]


@animal(LSUV, "a float64 net")
def float64_weights(weights, x):
    """the weights become float64."""
    return [w.astype(np.float64) for w in lsuv(weights, x)]
