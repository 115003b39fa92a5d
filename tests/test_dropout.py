"""Dropout: how many stay, by how much they grow, and that backward sees the forward's mask."""

import copy

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import nn
from coursekit.functional.dropout import _draw


def forward(x, p, seed=0):
    return F.dropout_forward(x, p, training=True, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("p", [0.001, 0.1, 0.25, 0.3, 0.5, 0.9, 0.9999])
def test_share_that_stays_is_what_was_asked_for(p, rng):
    """Within five standard deviations of a binomial: a p rounded to 1/256 fails for most."""
    n = 2_000_003  # no multiple of eight: the last random word is used in part
    kept = _draw((n,), 1 - p, rng).sum()
    assert abs(kept - n * (1 - p)) < 5 * np.sqrt(n * p * (1 - p))


def test_entries_are_dropped_independently(rng):
    keep = _draw((4096, 64), 0.7, rng).astype(np.float64)
    neighbours = np.corrcoef(keep.reshape(-1)[:-1], keep.reshape(-1)[1:])[0, 1]
    columns = np.corrcoef(keep.T) - np.eye(64)
    assert abs(neighbours) < 5 / np.sqrt(keep.size)
    assert abs(columns).max() < 6 / np.sqrt(4096)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (7, 5), (3, 2, 4, 5), (0, 3), ()])
def test_kept_entries_grow_and_the_backward_has_the_same_mask(shape, dtype, rng):
    x = np.array(rng.standard_normal(shape) + 10, dtype)
    x.flags.writeable = False
    out, cache = forward(x, 0.25)
    assert out.dtype == dtype and out.shape == shape
    kept = out != 0
    np.testing.assert_allclose(out, np.where(kept, x / 0.75, 0), rtol=1e-6)
    dx = F.dropout_backward(np.ones_like(x), cache)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, np.where(kept, 1 / 0.75, 0), rtol=1e-6)


def test_expectation_is_the_input(rng):
    x = np.ones((200_000,), np.float32)
    out, _ = forward(x, 0.3)
    assert out.mean(dtype=np.float64) == pytest.approx(1, abs=5 * np.sqrt(0.3 / 0.7 / len(x)))


@pytest.mark.parametrize("training, p", [(True, 0.0), (False, 0.5), (False, 1.0)])
def test_nothing_to_drop_is_the_identity(training, p, rng):
    x = rng.standard_normal((7, 5))
    out, cache = F.dropout_forward(x, p, training=training)  # and needs no generator
    np.testing.assert_array_equal(out, x)
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(F.dropout_backward(x, cache), x)


def test_dropping_all_gives_zeros(rng):
    x = rng.standard_normal((7, 5)).astype(np.float32)
    out, cache = forward(x, 1.0)
    assert not out.any() and out.dtype == np.float32
    assert not F.dropout_backward(x, cache).any()


def test_the_seed_fixes_the_mask():
    x = np.ones((50, 50), np.float32)
    same, other = forward(x, 0.5, seed=1)[0], forward(x, 0.5, seed=2)[0]
    np.testing.assert_array_equal(forward(x, 0.5, seed=1)[0], same)
    assert (same != other).any()
    layer = nn.Dropout(seed=1)
    np.testing.assert_array_equal(layer(x), same)
    assert (layer(x) != same).any()  # a new mask every time


def test_the_mask_takes_a_byte_an_entry():
    x = np.ones((128, 64), np.float64)
    _, cache = forward(x, 0.3)
    arrays = [part for part in cache if isinstance(part, np.ndarray)]
    assert sum(a.nbytes for a in arrays) <= x.size


def test_memory_layout_does_not_matter():
    x = np.arange(1.0, 25).reshape(4, 6)
    out, cache = forward(x, 0.5)
    odd, _ = forward(np.asfortranarray(x), 0.5)
    np.testing.assert_array_equal(odd, out)
    dx = F.dropout_backward(np.asfortranarray(x), cache)
    np.testing.assert_array_equal(dx, out)


def test_module_agrees_with_torch_where_nothing_is_random(rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((7, 5)).astype(np.float32)
    for p, training in [(0.0, True), (1.0, True), (0.5, False)]:
        ours, theirs = nn.Dropout(p).train(training), torch.nn.Dropout(p).train(training)
        np.testing.assert_array_equal(ours(x), theirs(torch.tensor(x)).numpy())


def test_reseeding_a_net_gives_every_layer_its_own_stream():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()), nn.Dropout())
    x = np.ones((9, 11), np.float32)
    outs = []
    for _ in range(2):
        net.reseed(3)
        layers = [layer for _, layer in net.named_layers()]
        outs.append([layer(x) for layer in layers])
    np.testing.assert_array_equal(outs[0], outs[1])
    first, second, third = outs[0]
    assert (first != second).any() and (second != third).any() and (first != third).any()


def test_a_copy_goes_on_with_the_same_masks():
    layer = nn.Dropout(seed=0)
    x = np.ones((9, 11), np.float32)
    layer(x)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(twin(x), layer(x))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_that_is_no_chance_is_refused(p, rng):
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        F.dropout_forward(np.ones(3), p, training=True, rng=rng)
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        nn.Dropout(p)


def test_what_does_not_fit_is_named(rng):
    with pytest.raises(ValueError, match="x must be a float32 or float64 array, got int64"):
        F.dropout_forward(np.ones(3, np.int64), training=True, rng=rng)
    with pytest.raises(ValueError, match=r"rng must be a numpy\.random\.Generator"):
        F.dropout_forward(np.ones(3), training=True, rng=None)
    _, cache = forward(np.ones((4, 3)), 0.5)
    with pytest.raises(ValueError, match=r"dout must have shape \(4, 3\) to match out"):
        F.dropout_backward(np.ones((3, 4)), cache)
