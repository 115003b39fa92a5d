"""Batch and layer norm against PyTorch, step by step, on hard data and at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit import functional as F
from coursekit import nn

BATCH_SHAPES = [(2, 1), (7, 5), (13, 3, 1), (5, 3, 11), (2, 3, 1, 1), (1, 3, 5, 2), (3, 2, 4, 5)]
LAYER_SHAPES = [((1, 1), 1), ((7, 5), 1), ((5, 3, 11), 1), ((3, 2, 4, 5), 3), ((13,), 1)]
EXACT = {"rtol": 0, "atol": 1e-10}


def draw(rng, *shape, dtype=np.float64):
    """Random values, off the centre, whose memory nobody may write to."""
    array = (3 + 2 * rng.standard_normal(shape)).astype(dtype)
    array.flags.writeable = False
    return array


def close(ours, tensor, **tolerance):
    np.testing.assert_allclose(ours, tensor.detach().numpy(), **tolerance)


def torch_leaves(*arrays):
    torch = pytest.importorskip("torch")
    return [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]


# --- batch norm ---------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("shape", [(7, 5), (5, 3, 11)])
def test_batch_norm_equals_torch_over_100_steps_and_then_in_evaluation(shape, momentum, rng):
    torch = pytest.importorskip("torch")
    ours = nn.BatchNorm1d(shape[1], momentum=momentum, dtype=np.float64)
    theirs = torch.nn.BatchNorm1d(shape[1], momentum=momentum, dtype=torch.float64)
    ours.weight.data[:] = rng.standard_normal(shape[1])
    ours.bias.data[:] = rng.standard_normal(shape[1])
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    for step in range(102):
        if step == 100:
            ours.eval()
            theirs.eval()
        x, dout = draw(rng, *shape) * (1 + step), draw(rng, *shape)
        (tensor,) = torch_leaves(x)
        ours.zero_grad()
        theirs.zero_grad()
        out = theirs(tensor)
        close(ours(x), out, **EXACT)
        out.backward(torch.tensor(dout))
        close(ours.backward(dout), tensor.grad, **EXACT)
        close(ours.weight.grad, theirs.weight.grad, **EXACT)
        close(ours.bias.grad, theirs.bias.grad, **EXACT)
        state = ours.state_dict()
        assert list(state) == list(theirs.state_dict())
        for name, tensor in theirs.state_dict().items():
            close(state[name], tensor, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", BATCH_SHAPES, ids=str)
def test_batch_norm_agrees_with_torch(shape, training, affine, rng):
    torch = pytest.importorskip("torch")
    x, dout = draw(rng, *shape), draw(rng, *shape)
    weight, bias = (draw(rng, shape[1]), draw(rng, shape[1])) if affine else (None, None)
    mean, var = draw(rng, shape[1]), draw(rng, shape[1]) ** 2
    out, cache, new_mean, new_var = F.batch_norm_forward(
        x, weight, bias, mean, var, training=training, momentum=0.3
    )
    leaves = torch_leaves(x, weight, bias)
    their_mean, their_var = torch.tensor(mean), torch.tensor(var)
    expected = torch.nn.functional.batch_norm(
        leaves[0], their_mean, their_var, leaves[1], leaves[2], training, 0.3
    )
    expected.backward(torch.tensor(dout))
    close(out, expected, **EXACT)
    close(new_mean, their_mean, **EXACT)
    close(new_var, their_var, **EXACT)
    for ours, leaf in zip(F.batch_norm_backward(dout, cache), leaves, strict=True):
        if leaf is None:
            assert ours is None
        else:
            close(ours, leaf.grad, **EXACT)
    assert F.batch_norm_backward(dout, cache, need_dx=False)[0] is None


def test_batch_norm_without_running_statistics_uses_the_batch_in_evaluation_too(rng):
    x = draw(rng, 7, 5)
    trained, *_ = F.batch_norm_forward(x, None, None, None, None, training=True)
    evaluated, _, mean, var = F.batch_norm_forward(x, None, None, None, None, training=False)
    np.testing.assert_array_equal(trained, evaluated)
    assert mean is None and var is None
    layer = nn.BatchNorm1d(5, affine=False, track_running_stats=False, dtype=np.float64).eval()
    np.testing.assert_array_equal(layer(x), trained)
    assert layer.state_dict() == {}


def test_evaluation_hands_back_the_very_statistics(rng):
    mean, var = draw(rng, 5), draw(rng, 5) ** 2
    _, _, new_mean, new_var = F.batch_norm_forward(
        draw(rng, 7, 5), None, None, mean, var, training=False
    )
    assert new_mean is mean and new_var is var


def test_training_makes_new_statistics_and_leaves_the_old_ones(rng):
    layer = nn.BatchNorm1d(5)
    mean, var = layer.running_mean, layer.running_var
    layer(draw(rng, 7, 5, dtype=np.float32))
    assert not mean.any() and (var == 1).all()
    assert layer.running_mean.all() and layer.running_mean.dtype == np.float32
    assert layer.running_var.dtype == np.float32 and layer.num_batches_tracked == 1


def test_batch_norm_of_one_value_a_channel_is_refused_in_training_only(rng):
    layer = nn.BatchNorm1d(5)
    for shape in [(1, 5), (1, 5, 1)]:
        x = draw(rng, *shape, dtype=np.float32)
        with pytest.raises(ValueError, match="x must hold more than one value a channel"):
            layer.train()(x)
        assert layer.num_batches_tracked == 0 and not layer.running_mean.any()
        assert np.isfinite(layer.eval()(x)).all()
    assert layer.train()(draw(rng, 1, 5, 2, dtype=np.float32)).shape == (1, 5, 2)


def test_batch_norm_state_makes_a_round_trip(rng):
    trained, fresh = nn.BatchNorm1d(5, dtype=np.float64), nn.BatchNorm1d(5, dtype=np.float64)
    for _ in range(3):
        trained(draw(rng, 7, 5))
    fresh(draw(rng, 7, 5))
    state = trained.state_dict()
    fresh.load_state_dict(state)
    x = draw(rng, 7, 5)
    for train in (False, True):
        np.testing.assert_array_equal(fresh.train(train)(x), trained.train(train)(x))
    assert fresh.num_batches_tracked == 4 and state["num_batches_tracked"] == 3
    assert state["num_batches_tracked"].dtype == np.int64
    assert state["num_batches_tracked"].shape == ()


def test_backward_belongs_to_its_own_forward(rng):
    """Two forwards before a backward: a cache holds all it needs."""
    first, second, dout = draw(rng, 7, 5), draw(rng, 9, 5), draw(rng, 7, 5)
    mean, var = np.zeros(5), np.ones(5)
    expected = F.batch_norm_backward(
        dout, F.batch_norm_forward(first, None, None, mean, var, training=True)[1]
    )
    _, cache, mean, var = F.batch_norm_forward(first, None, None, mean, var, training=True)
    F.batch_norm_forward(second, None, None, mean, var, training=True)
    np.testing.assert_array_equal(F.batch_norm_backward(dout, cache)[0], expected[0])


def test_backward_after_evaluation_outlives_the_statistics(rng):
    """Statistics loaded into the layer between forward and backward do not reach its cache."""
    layer = nn.BatchNorm1d(5, dtype=np.float64).eval()
    x, dout = draw(rng, 7, 5), draw(rng, 7, 5)
    layer(x)
    before = layer.backward(dout)
    layer(x)
    layer.load_state_dict(layer.state_dict() | {"running_var": np.full(5, 100.0)})
    np.testing.assert_array_equal(layer.backward(dout), before)


@pytest.mark.parametrize("shape", [(128, 3), (8, 3, 64), (4099, 2)])
@pytest.mark.parametrize("mean, sd", [(0, 1), (1000, 1), (-1e4, 0.1), (0, 1e-3), (1e6, 1e3)])
def test_float32_is_at_least_as_exact_as_torch(shape, mean, sd, rng):
    """Hard data: next to a large mean, float32 has few digits left for the differences."""
    torch = pytest.importorskip("torch")
    x = (mean + sd * rng.standard_normal(shape)).astype(np.float32)
    dout = rng.standard_normal(shape).astype(np.float32)
    wide, cache, *_ = F.batch_norm_forward(
        x.astype(np.float64), None, None, None, None, training=True
    )
    wide_dx, *_ = F.batch_norm_backward(dout.astype(np.float64), cache)
    ours, cache, *_ = F.batch_norm_forward(x, None, None, None, None, training=True)
    our_dx, *_ = F.batch_norm_backward(dout, cache)
    assert ours.dtype == our_dx.dtype == np.float32
    (leaf,) = torch_leaves(x)
    theirs = torch.nn.functional.batch_norm(leaf, None, None, training=True)
    theirs.backward(torch.tensor(dout))
    for our, their, true in [
        (ours, theirs.detach().numpy(), wide),
        (our_dx, leaf.grad.numpy(), wide_dx),
    ]:
        # Both may differ from the truth by the rounding of the result itself, a few times.
        rounding = 4 * np.finfo(np.float32).eps * abs(true).max()
        assert abs(our - true).max() <= max(abs(their - true).max(), rounding)


def test_sorted_data_with_outliers_has_an_exact_variance(rng):
    """A guess at the mean from a few values can be far off; the result may not depend on it."""
    x = rng.standard_normal((4096, 7)).astype(np.float32)
    x[:: 4096 // 7] = 3e4  # more than a handful of places from which one may guess
    x[:, 0] = np.sort(x[:, 0])
    for data in (x, np.ascontiguousarray(x.T)[None]):
        axis = tuple(i for i in range(data.ndim) if i != 1)
        _, cache, *_ = F.batch_norm_forward(data, None, None, None, None, training=True)
        np.testing.assert_allclose(cache.var, data.var(axis=axis, dtype=np.float64), rtol=1e-5)
        np.testing.assert_allclose(
            cache.mean, data.mean(axis=axis, dtype=np.float64), rtol=1e-5, atol=1e-5
        )


def test_a_constant_channel_becomes_the_bias(rng):
    x = np.full((9, 2), 1000.1, np.float32)
    bias = np.array([2, -3], np.float32)
    out, cache, *_ = F.batch_norm_forward(x, None, bias, None, None, training=True)
    np.testing.assert_allclose(out, np.broadcast_to(bias, x.shape), atol=1e-6)
    dx, dweight, dbias = F.batch_norm_backward(np.ones_like(x), cache)
    np.testing.assert_allclose(dx, 0, atol=1e-3)
    assert dweight is None
    np.testing.assert_array_equal(dbias, [9, 9])


@given(
    n=st.integers(1, 20),
    c=st.integers(1, 20),
    s=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_batch_norm_output_is_standard_and_gradient_is_orthogonal(n, c, s, seed):
    """Mean 0 and variance 1 out; nothing flows back along a shift or a scaling of the batch."""
    if n * s < 3:
        return
    rng = np.random.default_rng(seed)
    x, dout = draw(rng, n, c, s), draw(rng, n, c, s)
    out, cache, *_ = F.batch_norm_forward(x, None, None, None, None, training=True, eps=0)
    np.testing.assert_allclose(out.mean(axis=(0, 2)), 0, atol=1e-9)
    np.testing.assert_allclose(out.var(axis=(0, 2)), 1, atol=1e-9)
    dx = F.batch_norm_backward(dout, cache)[0] * x.std(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(dx.sum(axis=(0, 2)), 0, atol=1e-7)
    np.testing.assert_allclose((dx * out).sum(axis=(0, 2)), 0, atol=1e-7)


# --- layer norm ---------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape, ndim", LAYER_SHAPES, ids=str)
def test_layer_norm_agrees_with_torch(shape, ndim, affine, rng):
    torch = pytest.importorskip("torch")
    x, dout, features = draw(rng, *shape), draw(rng, *shape), shape[-ndim:]
    weight, bias = (draw(rng, *features), draw(rng, *features)) if affine else (None, None)
    out, cache = F.layer_norm_forward(x, weight, bias, normalized_ndim=ndim)
    leaves = torch_leaves(x, weight, bias)
    expected = torch.nn.functional.layer_norm(leaves[0], features, *leaves[1:])
    expected.backward(torch.tensor(dout))
    close(out, expected, **EXACT)
    for ours, leaf in zip(F.layer_norm_backward(dout, cache), leaves, strict=True):
        if leaf is None:
            assert ours is None
        else:
            close(ours, leaf.grad, **EXACT)
    assert F.layer_norm_backward(dout, cache, need_dx=False)[0] is None


@pytest.mark.parametrize("mean, sd", [(0, 1), (1000, 1), (-1e4, 0.1), (0, 1e-3)])
def test_float32_layer_norm_is_at_least_as_exact_as_torch(mean, sd, rng):
    torch = pytest.importorskip("torch")
    x = (mean + sd * rng.standard_normal((17, 211))).astype(np.float32)
    dout, weight, bias = rng.standard_normal((3, 17, 211)).astype(np.float32)
    weight, bias = weight[0], bias[0]
    wide = [a.astype(np.float64) for a in (x, weight, bias, dout)]
    true, cache = F.layer_norm_forward(*wide[:3])
    true = [true, *F.layer_norm_backward(wide[3], cache)]
    out, cache = F.layer_norm_forward(x, weight, bias)
    ours = [out, *F.layer_norm_backward(dout, cache)]
    leaves = torch_leaves(x, weight, bias)
    theirs = torch.nn.functional.layer_norm(leaves[0], (211,), *leaves[1:])
    theirs.backward(torch.tensor(dout))
    theirs = [theirs.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]
    for our, their, exact in zip(ours, theirs, true, strict=True):
        assert our.dtype == np.float32
        rounding = 8 * np.finfo(np.float32).eps * abs(exact).max()
        assert abs(our - exact).max() <= max(abs(their - exact).max(), rounding)


def test_layer_norm_module_agrees_with_torch_and_with_itself_in_evaluation(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.LayerNorm((3, 4)), torch.nn.LayerNorm((3, 4))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = draw(rng, 5, 3, 4, dtype=np.float32)
    close(ours(x), theirs(torch.tensor(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ours.eval()(x), ours.train()(x))


def test_layer_norm_of_a_row_does_not_see_the_others(rng):
    x = draw(rng, 9, 13)
    whole, _ = F.layer_norm_forward(x, None, None)
    np.testing.assert_array_equal(F.layer_norm_forward(x[4:5], None, None)[0], whole[4:5])


# --- both ---------------------------------------------------------------------------------------


def batch_norm(x, dout):
    out, cache, *_ = F.batch_norm_forward(x, None, None, None, None, training=True)
    return out, F.batch_norm_backward(dout, cache)[0]


def layer_norm(x, dout):
    out, cache = F.layer_norm_forward(x, None, None)
    return out, F.layer_norm_backward(dout, cache)[0]


@pytest.mark.parametrize("norm", [batch_norm, layer_norm])
def test_memory_layout_does_not_matter(norm, rng):
    x, dout = draw(rng, 4, 6, 8), draw(rng, 4, 6, 8)
    expected = norm(x, dout)
    for form in (
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[::-1, :, ::-1].copy()[::-1, :, ::-1],
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    ):
        for ours, true in zip(norm(form(x), form(dout)), expected, strict=True):
            np.testing.assert_array_equal(ours, true)


@pytest.mark.parametrize("norm", [batch_norm, layer_norm])
def test_float32_stays_float32_whatever_comes_back(norm, rng):
    x, dout = draw(rng, 4, 6, dtype=np.float32), draw(rng, 4, 6)
    assert [a.dtype for a in norm(x, dout)] == [np.float32, np.float32]


@pytest.mark.parametrize("norm", [batch_norm, layer_norm])
def test_nan_stays_where_it_belongs(norm):
    x = np.arange(12, dtype=np.float64).reshape(4, 3)
    x[1, 2] = np.nan
    out, _ = norm(x, np.ones_like(x))
    bad = np.isnan(out)
    assert bad[1, 2] and bad.sum() == (4 if norm is batch_norm else 3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": np.zeros((4, 3), int)}, "x must be a float32 or float64 array, got int64"),
        ({"x": np.zeros(3)}, r"x must have shape \(N, C\) or \(N, C, \*\), got shape \(3,\)"),
        ({"weight": np.ones(4)}, r"weight must have shape \(3,\) to match .* got \(4,\)"),
        ({"bias": np.ones(3, np.float32)}, "bias must be a float64 array, got float32"),
        ({"running_mean": np.ones(4)}, r"running_mean must have shape \(3,\)"),
        ({"running_var": [1.0, 1, 1]}, "running_var must be a float32 or float64 array"),
        ({"running_var": None}, "running_mean and running_var must both be"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_names_what_does_not_fit(change, message, training):
    good = {"x": np.zeros((4, 3)), "weight": np.ones(3), "bias": np.zeros(3)}
    good |= {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    with pytest.raises(ValueError, match=message):
        F.batch_norm_forward(**good | change, training=training)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": [[1.0]]}, "x must be a float32 or float64 array, got list"),
        ({"weight": np.ones(4)}, r"weight must have shape \(3,\) to match the last axes of x"),
        ({"normalized_ndim": 0}, r"normalized_ndim must lie in 1\.\.2"),
        ({"normalized_ndim": 3}, r"normalized_ndim must lie in 1\.\.2"),
        ({"x": np.ones((4, 0)), "weight": None}, "x must hold values to take a mean of"),
    ],
)
def test_layer_norm_names_what_does_not_fit(change, message):
    good = {"x": np.zeros((4, 3)), "weight": np.ones(3), "bias": None}
    with pytest.raises(ValueError, match=message):
        F.layer_norm_forward(**good | change)


def test_dout_of_another_shape_is_refused():
    x = np.arange(12.0).reshape(4, 3)
    for norm in (batch_norm, layer_norm):
        with pytest.raises(ValueError, match=r"dout must have shape \(4, 3\) to match out"):
            norm(x, np.ones((3, 4)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.BatchNorm1d(0), "num_features must be at least 1, got 0"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 5), np.float32)), "x must have 3 channels"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 3, 2, 2), np.float32)), "x must have 2 or 3 axes"),
        (lambda: nn.LayerNorm(()), "normalized_shape must name at least one feature"),
        (lambda: nn.LayerNorm(3)(np.ones((4, 5), np.float32)), r"x must end in the axes \(3,\)"),
    ],
)
def test_layers_name_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()
