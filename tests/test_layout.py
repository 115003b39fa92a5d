"""Channels first or last in memory: the same values, the layout stays, and nothing is copied."""

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import kernels
from coursekit.kernels import _backend, _layout

SHAPES = [(3, 5, 4, 7), (2, 1, 3, 4), (4, 3, 1, 1), (1, 6, 2, 5)]
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid"]


@pytest.fixture(params=list(_backend.MODULES))
def backend(request):
    """Every backend in turn, or a skip where it was not compiled."""
    if request.param == "cython":
        pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    with kernels.use(request.param):
        yield request.param


def draw(rng, shape, dtype=np.float64):
    """The same random values channels first and channels last, which nobody may write to."""
    first = (3 + 2 * rng.standard_normal(shape)).astype(dtype)
    last = np.ascontiguousarray(first.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first.flags.writeable = last.flags.writeable = False
    return first, last


def is_last(v):
    return v.transpose(0, 2, 3, 1).flags.c_contiguous


def test_an_array_can_be_made_channels_last():
    v = _layout.empty_channels_last((2, 3, 4, 5), np.float32)
    assert v.shape == (2, 3, 4, 5) and v.dtype == np.float32
    assert _layout.is_channels_last(v) and not v.flags.c_contiguous
    assert not _layout.is_channels_last(np.ones((2, 3, 4, 5)))
    assert not _layout.is_channels_last(np.ones((3, 4, 5)))


def test_dense_copies_only_what_is_not(rng):
    first, last = draw(rng, (2, 3, 4, 5))
    assert _layout.dense(first) is first
    assert np.shares_memory(_layout.dense(last), last)
    for odd in (first[:, ::2], last[:, :, ::2], np.asfortranarray(first), first[:, :, :, 0]):
        np.testing.assert_array_equal(_layout.dense(odd), odd)
        assert not np.shares_memory(_layout.dense(odd), odd)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-11), (np.float32, 2e-5)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(backend, shape, dtype, tolerance, training, rng):
    (first, last), (dout, dout_last) = draw(rng, shape, dtype), draw(rng, shape, dtype)
    weight, bias, mean, var = rng.uniform(1, 2, (4, shape[1])).astype(dtype)
    arrays = weight, bias, mean, var
    out, cache, *stats = F.batch_norm_forward(first, *arrays, training=training)
    expected = [out, *F.batch_norm_backward(dout, cache), *stats]
    out, cache, *stats = F.batch_norm_forward(last, *arrays, training=training)
    for form in (dout, dout_last, np.asfortranarray(dout)):
        results = [out, *F.batch_norm_backward(form, cache), *stats]
        assert is_last(results[0]) and is_last(results[1])
        for our, true in zip(results, expected, strict=True):
            assert our.dtype == dtype
            scale = max(1, abs(true).max())
            np.testing.assert_allclose(our, true, rtol=0, atol=tolerance * scale)
    assert expected[0].flags.c_contiguous and expected[1].flags.c_contiguous


def test_batch_norm_reads_and_writes_channels_last_without_a_copy(rng, monkeypatch):
    seen = []

    class Spy:
        HAS_OPENMP = False

        @staticmethod
        def batch_norm_forward(x, weight, bias, mean, var, out, **_):
            seen.extend([x, out])

        @staticmethod
        def batch_norm_backward(dout, x, weight, mean, var, dx, *_, **__):
            seen.extend([dout, x, dx])

    monkeypatch.setattr(_backend, "backend", Spy)
    (_, x), (_, dout) = draw(rng, (2, 3, 4, 5)), draw(rng, (2, 3, 4, 5))
    out, mean, var = kernels.batch_norm_forward(x, None, None)
    dx, *_ = kernels.batch_norm_backward(dout, x, None, mean, var, batch_stats=True)
    for view, array in zip(seen, [x, out, dout, x, dx], strict=True):
        assert np.shares_memory(view, array) and view.shape == (2 * 4 * 5, 3, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norm(backend, shape, rng):
    (first, last), (dout, dout_last) = draw(rng, shape), draw(rng, shape)
    out, cache = F.layer_norm_forward(first, None, None, normalized_ndim=3)
    other, other_cache = F.layer_norm_forward(last, None, None, normalized_ndim=3)
    np.testing.assert_array_equal(other, out)
    np.testing.assert_array_equal(
        F.layer_norm_backward(dout_last, other_cache)[0], F.layer_norm_backward(dout, cache)[0]
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dropout_has_the_same_mask_in_either_layout(backend, shape, training, rng):
    (first, last), (dout, dout_last) = draw(rng, shape), draw(rng, shape)
    out, cache = F.dropout_forward(first, training=training, rng=np.random.default_rng(1))
    other, other_cache = F.dropout_forward(last, training=training, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(other, out)
    dx = F.dropout_backward(dout_last, other_cache)
    np.testing.assert_array_equal(dx, F.dropout_backward(dout, cache))
    assert is_last(other) and is_last(dx)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_activations(name, shape, rng):
    forward, backward = getattr(F, f"{name}_forward"), getattr(F, f"{name}_backward")
    (first, last), (dout, dout_last) = draw(rng, shape), draw(rng, shape)
    first, last = 3 - first, 3 - last
    (out, cache), (other, other_cache) = forward(first), forward(last)
    dx, other_dx = backward(dout, cache), backward(dout_last, other_cache)
    np.testing.assert_array_equal(other, out)
    np.testing.assert_array_equal(other_dx, dx)
    assert is_last(other) and is_last(other_dx)
    assert out.flags.c_contiguous and dx.flags.c_contiguous


def test_the_cache_of_an_activation_takes_no_memory_or_a_byte_an_entry(rng):
    x = rng.standard_normal((3, 4))
    for name in ("relu", "tanh", "sigmoid"):
        out, cache = getattr(F, f"{name}_forward")(x)
        assert cache is out
    assert F.leaky_relu_forward(x)[1][0].nbytes == x.size


@pytest.mark.parametrize("negative_slope", [-0.5, 0, 0.2, 1, 2.5])
def test_leaky_relu_takes_any_slope(negative_slope, rng):
    x, dout = rng.standard_normal((2, 5, 7))
    x[0] = 0
    out, cache = F.leaky_relu_forward(x, negative_slope)
    np.testing.assert_array_equal(out, np.where(x > 0, x, negative_slope * x))
    np.testing.assert_array_equal(
        F.leaky_relu_backward(dout, cache), np.where(x > 0, dout, negative_slope * dout)
    )


def test_flatten_has_the_logical_order(rng):
    first, last = draw(rng, (3, 5, 4, 7))
    flat, shape = F.flatten_forward(last)
    np.testing.assert_array_equal(flat, first.reshape(3, -1))
    np.testing.assert_array_equal(F.flatten_backward(flat, shape), first)
    out, _ = F.linear_forward(flat, np.ones((2, 140)), None)
    np.testing.assert_allclose(out[:, 0], first.sum(axis=(1, 2, 3)))
