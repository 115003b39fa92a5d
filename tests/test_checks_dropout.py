"""Dropout's check: how the number of zeros scatters, whatever draws them."""

import math

import numpy as np
import pytest

from coursekit.checks import ExerciseError, check


def by(number_of_zeros):
    """A dropout that drops a chosen number of entries, at places of a permutation."""

    def dropout(x, p, training, rng):
        if not training or p == 0:
            return x.copy(), None
        number = int(np.clip(number_of_zeros(x.size, p, rng), 0, x.size))
        mask = np.ones(x.size, x.dtype)
        mask[rng.permutation(x.size)[:number]] = 0
        mask = mask.reshape(x.shape) / x.dtype.type(1 - p)
        return x * mask, mask

    return dropout


def exactly(n, p, rng):
    return round(n * p)


def cut_off(n, p, rng):
    return int(n * p)


def rounded_at_random(n, p, rng):
    return int(n * p + rng.random())


def one_more_or_less(n, p, rng):
    return round(n * p) + rng.integers(-1, 2)


def a_quarter_of_the_scatter(n, p, rng):
    return round(n * p + math.sqrt(n * p * (1 - p)) / 4 * rng.standard_normal())


def twice_the_scatter(n, p, rng):
    return round(n * p + 2.5 * math.sqrt(n * p * (1 - p)) * rng.standard_normal())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "number",
    [
        *(exactly, cut_off, rounded_at_random, one_more_or_less),
        *(a_quarter_of_the_scatter, twice_the_scatter),
    ],
    ids=lambda f: f.__name__,
)
def test_a_number_of_zeros_that_does_not_scatter_as_it_should_is_refused(number, seed):
    with pytest.raises(ExerciseError, match="numbers of zeros do not scatter|rows differ"):
        check("dropout_forward", by(number), seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_binomial_number_of_zeros_is_as_right_as_a_draw_for_every_entry(seed):
    check("dropout_forward", by(lambda n, p, rng: rng.binomial(n, p)), seed=seed)
