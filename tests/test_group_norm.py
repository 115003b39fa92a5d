"""Group norm against PyTorch, against its two special cases, on hard data, in either layout."""

import numpy as np
import pytest

from coursekit import functional as F
from coursekit.checks import gradcheck

# shape, num_groups
CASES = [
    ((1, 1, 1, 2), 1),
    ((3, 4), 2),
    ((2, 6, 5), 3),
    ((2, 6, 4, 5), 1),
    ((2, 6, 4, 5), 2),
    ((1, 6, 5, 3), 6),
    ((2, 4, 3, 2, 3), 2),
]
EXACT = {"rtol": 0, "atol": 1e-10}


def draw(rng, *shape, dtype=np.float64):
    """Random values, off the centre, whose memory nobody may write to."""
    array = (3 + 2 * rng.standard_normal(shape)).astype(dtype)
    array.flags.writeable = False
    return array


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def torch_group_norm(num_groups, *arrays):
    """The output of PyTorch and the leaves it came from."""
    torch = pytest.importorskip("torch")
    leaves = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    return torch.nn.functional.group_norm(leaves[0], num_groups, *leaves[1:]), leaves


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape, num_groups", CASES, ids=str)
def test_agrees_with_torch(shape, num_groups, affine, rng):
    torch = pytest.importorskip("torch")
    x, dout = draw(rng, *shape), draw(rng, *shape)
    weight, bias = (draw(rng, shape[1]), draw(rng, shape[1])) if affine else (None, None)
    out, cache = F.group_norm_forward(x, num_groups, weight, bias)
    expected, leaves = torch_group_norm(num_groups, x, weight, bias)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, expected.detach(), **EXACT)
    for our, leaf in zip(F.group_norm_backward(dout, cache), leaves, strict=True):
        if leaf is None:
            assert our is None
        else:
            np.testing.assert_allclose(our, leaf.grad, **EXACT)
    assert F.group_norm_backward(dout, cache, need_dx=False)[0] is None


def test_one_group_is_layer_norm(rng):
    x = draw(rng, 3, 6, 4, 5)
    out, _ = F.group_norm_forward(x, 1, None, None)
    np.testing.assert_allclose(
        out, F.layer_norm_forward(x, None, None, normalized_ndim=3)[0], rtol=0, atol=1e-12
    )


def test_one_group_a_channel_standardises_every_channel_of_every_picture(rng):
    out, _ = F.group_norm_forward(draw(rng, 3, 6, 4, 5), 6, None, None, eps=0)
    np.testing.assert_allclose(out.mean(axis=(2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.var(axis=(2, 3)), 1, rtol=1e-12)


def test_a_picture_does_not_see_the_others(rng):
    x = draw(rng, 5, 6, 4, 5)
    whole, _ = F.group_norm_forward(x, 2, None, None)
    np.testing.assert_array_equal(F.group_norm_forward(x[2:3], 2, None, None)[0], whole[2:3])


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_layout_stays_and_does_not_matter(dtype, tolerance, rng):
    x, dout = draw(rng, 3, 6, 7, 5, dtype=dtype), draw(rng, 3, 6, 7, 5, dtype=dtype)
    weight, bias = draw(rng, 6, dtype=dtype), draw(rng, 6, dtype=dtype)
    out, cache = F.group_norm_forward(x, 2, weight, bias)
    expected = out, *F.group_norm_backward(dout, cache)
    last, cache = F.group_norm_forward(channels_last(x), 2, weight, bias)
    for form in (channels_last, np.ascontiguousarray):
        results = last, *F.group_norm_backward(form(dout), cache)
        for our, true in zip(results, expected, strict=True):
            assert our.dtype == dtype
            np.testing.assert_allclose(our, true, rtol=0, atol=tolerance * abs(true).max())
        assert all(v.transpose(0, 2, 3, 1).flags.c_contiguous for v in results[:2])
    assert expected[0].flags.c_contiguous and expected[1].flags.c_contiguous


@pytest.mark.parametrize("form", [np.ascontiguousarray, channels_last])
@pytest.mark.parametrize("mean, sd", [(0, 1), (1000, 1), (-1e4, 0.1), (0, 1e-3), (1e6, 1e3)])
def test_float32_is_at_least_as_exact_as_torch(mean, sd, form, rng):
    """Hard data: next to a large mean, float32 has few digits left for the differences."""
    torch = pytest.importorskip("torch")
    x = form((mean + sd * rng.standard_normal((4, 6, 17, 19))).astype(np.float32))
    dout = rng.standard_normal(x.shape).astype(np.float32)
    true, cache = F.group_norm_forward(x.astype(np.float64), 2, None, None)
    true_dx, *_ = F.group_norm_backward(dout.astype(np.float64), cache)
    ours, cache = F.group_norm_forward(x, 2, None, None)
    our_dx, *_ = F.group_norm_backward(dout, cache)
    theirs, (leaf, *_) = torch_group_norm(2, np.ascontiguousarray(x), None, None)
    theirs.backward(torch.tensor(dout))
    for our, their, exact in [
        (ours, theirs.detach().numpy(), true),
        (our_dx, leaf.grad.numpy(), true_dx),
    ]:
        assert our.dtype == np.float32
        rounding = 4 * np.finfo(np.float32).eps * abs(exact).max()
        assert abs(our - exact).max() <= max(abs(their - exact).max(), rounding)


def test_a_gradient_of_another_precision_is_converted(rng):
    x = draw(rng, 2, 4, 3, 3, dtype=np.float32)
    weight, bias = draw(rng, 4, dtype=np.float32), draw(rng, 4, dtype=np.float32)
    _, cache = F.group_norm_forward(x, 2, weight, bias)
    assert {g.dtype for g in F.group_norm_backward(draw(rng, *x.shape), cache)} == {x.dtype}


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3, 2)])
def test_gradcheck(shape, rng):
    arrays = draw(rng, *shape), 2, draw(rng, 4), draw(rng, 4)
    gradcheck(F.group_norm_forward, F.group_norm_backward, *arrays).raise_if_failed()


def test_nan_stays_in_its_group(rng):
    x = rng.standard_normal((2, 6, 3, 3))
    x[1, 3, 0, 0] = np.nan
    out, _ = F.group_norm_forward(x, 3, None, None)
    expected = np.zeros(x.shape, bool)
    expected[1, 2:4] = True
    np.testing.assert_array_equal(np.isnan(out), expected)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": np.ones((4, 6), int)}, "x must be a float32 or float64 array, got int64"),
        ({"x": np.ones(6)}, r"x must be \(N, C\) or \(N, C, \*\) and hold values, got .*\(6,\)"),
        ({"x": np.ones((4, 6, 0))}, r"and hold values, got shape \(4, 6, 0\)"),
        ({"num_groups": 4}, "num_groups must divide the 6 channels of x, got 4"),
        ({"num_groups": 0}, "num_groups must divide the 6 channels of x, got 0"),
        ({"weight": np.ones(5)}, r"weight must have shape \(6,\) to match the channels of x"),
        ({"bias": [1.0]}, "bias must be a float32 or float64 array, got list"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    good = {"x": np.ones((4, 6)), "num_groups": 3, "weight": np.ones(6), "bias": np.zeros(6)}
    with pytest.raises(ValueError, match=message):
        F.group_norm_forward(**good | change)


def test_a_gradient_of_another_shape_is_refused():
    _, cache = F.group_norm_forward(np.ones((4, 6)), 3, None, None)
    with pytest.raises(ValueError, match=r"dout must have shape \(4, 6\) to match out"):
        F.group_norm_backward(np.ones((6, 4)), cache)
