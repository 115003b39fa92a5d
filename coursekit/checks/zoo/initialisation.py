"""Wrong Kaiming initialisations."""

from math import sqrt

import numpy as np

from coursekit.checks.zoo.animal import animal

KAIMING = "kaiming_normal"


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


@animal(KAIMING, "layers of one shape start out the same")
def own_generator(fan_in, fan_out, rng):
    """a generator with a fixed seed is made inside, so every call gives the same weights."""
    return np.random.default_rng(0).standard_normal((fan_out, fan_in)) * sqrt(2 / fan_in)


@animal(KAIMING, "two runs with one seed differ")
def rng_ignored(fan_in, fan_out, rng):
    """the weights do not come from rng, so that a seed does not fix them."""
    return np.random.default_rng().standard_normal((fan_out, fan_in)) * sqrt(2 / fan_in)
