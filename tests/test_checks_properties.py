"""What is said of draws: right ones are never refused, skewed ones are."""

import numpy as np
import pytest

from coursekit.checks.properties import GlobalDraws, plausible, rarer, share


@pytest.mark.parametrize("draws", [3, 40, 2000])
@pytest.mark.parametrize("places", [2, 5, 25])
def test_right_draws_are_plausible(draws, places):
    rng = np.random.default_rng(0)
    fair = np.full(places, 1 / places)
    assert all(plausible(rng.multinomial(draws, fair), fair) for _ in range(300))


@pytest.mark.parametrize(("draws", "chance"), [(30, 0.5), (400, 1 / 9), (700, 0.04)])
def test_right_draws_are_refused_less_often_than_once_in_a_billion(draws, chance):
    """Exact, where seven standard deviations would refuse one in 10^8."""
    stats = pytest.importorskip("scipy.stats")
    refused = [k for k in range(draws + 1) if not plausible([k, draws - k], [chance, 1 - chance])]
    assert sum(stats.binom.pmf(refused, draws, chance)) < 1e-11


def test_skewed_draws_are_refused():
    fair = np.full(5, 0.2)
    for skewed in ([1, 2, 2, 2, 1], [1, 2, 3, 2, 1], [3, 1, 1, 1, 3]):
        counts = 3500 * np.array(skewed) / sum(skewed)
        assert not plausible(counts, fair)
    assert rarer(437.5 * np.array([1, 2, 2, 2, 1])) == 2
    assert rarer([700, 690, 710, 720, 680]) == 0
    assert not plausible([5, 5, 1], [0.5, 0.5, 0.0]), "what has no chance was drawn"


def test_a_share_is_put_to_the_chance_that_explains_it():
    rng = np.random.default_rng(0)
    assert {share(rng.random(10_000) < 0.2, 0.2, 0.8) for _ in range(20)} == {0.2}
    assert share(rng.random(10_000) < 0.8, 0.2, 0.8) == 0.8
    assert share(rng.random(10_000) < 0.61, 0.2, 0.8) == 0.6


def test_calls_that_draw_from_the_global_generator_are_counted_and_undone():
    watched, before = GlobalDraws(), np.random.get_state()  # noqa: NPY002
    watched(np.random.rand)
    watched(np.random.default_rng(0).random)
    with pytest.raises(ZeroDivisionError):
        watched(lambda: np.random.rand() / 0)  # noqa: NPY002
    after = np.random.get_state()  # noqa: NPY002
    assert watched.calls == 2
    assert before[2] == after[2] and np.array_equal(before[1], after[1])
