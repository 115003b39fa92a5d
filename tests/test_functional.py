"""Layers and losses against PyTorch, against finite differences of the definition, and at edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit import functional as F

SHAPES = [(1, 1, 1), (1, 5, 3), (7, 1, 4), (13, 6, 10)]
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid"]
DTYPES = [np.float32, np.float64]


def draw(rng, *shape, dtype=np.float64):
    """Random values whose memory nobody may write to."""
    array = rng.standard_normal(shape).astype(dtype)
    array.flags.writeable = False
    return array


def forward_backward(name, *args):
    """The pair of functions of a family."""
    out, cache = getattr(F, f"{name}_forward")(*args)
    return out, cache, getattr(F, f"{name}_backward")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_agrees_with_torch(shape, bias, rng):
    torch = pytest.importorskip("torch")
    n, d, m = shape
    x, w, dout = draw(rng, n, d), draw(rng, m, d), draw(rng, n, m)
    b = draw(rng, m) if bias else None
    out, cache = F.linear_forward(x, w, b)
    ours = F.linear_backward(dout, cache)
    tensors = [torch.tensor(a, requires_grad=True) if a is not None else None for a in (x, w, b)]
    expected = torch.nn.functional.linear(*tensors)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, expected.detach(), rtol=0, atol=1e-10)
    for got, tensor in zip(ours, tensors, strict=True):
        if tensor is None:
            assert got is None
        else:
            np.testing.assert_allclose(got, tensor.grad, rtol=0, atol=1e-10)


def test_linear_backward_can_skip_the_input(rng):
    _, cache = F.linear_forward(draw(rng, 4, 3), draw(rng, 2, 3), draw(rng, 2))
    full = F.linear_backward(np.ones((4, 2)), cache)
    dx, dw, db = F.linear_backward(np.ones((4, 2)), cache, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(dw, full[1])
    np.testing.assert_array_equal(db, full[2])


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1,), (3, 4), (2, 3, 5, 4)])
def test_activation_agrees_with_torch(name, shape, rng):
    torch = pytest.importorskip("torch")
    x = np.concatenate([draw(rng, *shape).ravel() * 5, [0.0, -0.0, 50.0, -800.0, 800.0]])
    dout = draw(rng, x.size)
    out, cache, backward = forward_backward(name, x)
    tensor = torch.tensor(x, requires_grad=True)
    functions = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}
    expected = functions.get(name, getattr(torch.nn.functional, name))(tensor)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, expected.detach(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(backward(dout, cache), tensor.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("n", "c", "scale"), [(1, 1, 1), (1, 7, 1), (9, 10, 1), (5, 3, 1e3)])
def test_cross_entropy_agrees_with_torch(n, c, scale, smoothing, rng):
    torch = pytest.importorskip("torch")
    logits, targets = draw(rng, n, c) * scale, rng.integers(c, size=n)
    loss, cache = F.cross_entropy_forward(logits, targets, smoothing)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        tensor, torch.tensor(targets), label_smoothing=smoothing
    )
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(F.cross_entropy_backward(cache), tensor.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("margin", [1.0, 0.25])
@pytest.mark.parametrize(("n", "c", "scale"), [(1, 2, 1), (9, 10, 1), (5, 3, 1e3)])
def test_multi_margin_loss_agrees_with_torch(n, c, scale, margin, rng):
    torch = pytest.importorskip("torch")
    logits, targets = draw(rng, n, c) * scale, rng.integers(c, size=n)
    loss, cache = F.multi_margin_loss_forward(logits, targets, margin)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.multi_margin_loss(tensor, torch.tensor(targets), margin=margin)
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(F.multi_margin_loss_backward(cache), tensor.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_survives_the_largest_logits(dtype):
    top = np.finfo(dtype).max / 4
    logits = np.array([[top, -top, 0], [1e3, 1e3, -1e3]], dtype)
    p = F.softmax(logits)
    np.testing.assert_allclose(p, [[1, 0, 0], [0.5, 0.5, 0]], atol=1e-6)
    loss, cache = F.cross_entropy_forward(logits[1:], np.array([2]))
    assert np.isfinite(loss) and loss > 1e3
    assert np.isfinite(F.cross_entropy_backward(cache)).all()


@given(st.integers(1, 6), st.integers(1, 6), st.floats(-50, 50), st.integers(0, 2**16))
def test_softmax_does_not_see_a_shift_and_sums_to_one(n, c, shift, seed):
    logits = np.random.default_rng(seed).standard_normal((n, c))
    p = F.softmax(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(p, F.softmax(logits + shift), rtol=1e-9, atol=1e-12)


@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 2**16))
def test_loss_gradients_sum_to_zero_over_classes(n, c, seed):
    # Adding the same number to all logits of a picture changes neither loss.
    rng = np.random.default_rng(seed)
    logits, targets = rng.standard_normal((n, c)), rng.integers(c, size=n)
    for name in ("cross_entropy", "multi_margin_loss"):
        _, cache, backward = forward_backward(name, logits, targets)
        np.testing.assert_allclose(backward(cache).sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_penalties_are_their_own_derivative(strength, rng):
    w, h = draw(rng, 3, 4), 1e-6
    for penalty in (F.l1_penalty, F.l2_penalty):
        _, grad = penalty(w, strength)
        for i in np.ndindex(w.shape):
            up, down = w.copy(), w.copy()
            up[i] += h
            down[i] -= h
            slope = (penalty(up, strength)[0] - penalty(down, strength)[0]) / (2 * h)
            assert slope == pytest.approx(grad[i], abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_kept_and_inputs_are_not_changed(dtype, rng):
    x, w, b = (draw(rng, *s, dtype=dtype) for s in [(4, 3), (2, 3), (2,)])
    dout = draw(rng, 4, 2, dtype=dtype)
    out, cache = F.linear_forward(x, w, b)
    assert {a.dtype for a in (out, *F.linear_backward(dout, cache))} == {np.dtype(dtype)}
    for name in ACTIVATIONS:
        out, cache, backward = forward_backward(name, x)
        assert out.dtype == backward(x, cache).dtype == dtype
    for name in ("cross_entropy", "multi_margin_loss"):
        loss, cache, backward = forward_backward(name, x, np.array([0, 1, 2, 0]))
        assert isinstance(loss, float) and backward(cache).dtype == dtype
    for penalty in (F.l1_penalty, F.l2_penalty):
        assert penalty(w, 0.1)[1].dtype == dtype
    assert F.softmax(x).dtype == dtype


def test_a_second_call_does_not_disturb_the_first(rng):
    x1, x2, w, b = draw(rng, 4, 3), draw(rng, 5, 3), draw(rng, 2, 3), draw(rng, 2)
    dout = draw(rng, 4, 2)
    _, first = F.linear_forward(x1, w, b)
    expected = F.linear_backward(dout, first)
    F.linear_forward(x2, w, b)
    for a, e in zip(F.linear_backward(dout, first), expected, strict=True):
        np.testing.assert_array_equal(a, e)


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.linear_forward(ONES, np.ones((4, 2)), None), r"w must have shape \(4, 3\)"),
        (lambda: F.linear_forward(ONES, np.ones((4, 3)), np.ones(3)), r"b must have shape \(4,\)"),
        (lambda: F.linear_forward(np.ones(3), ONES, None), "x must have 2 axes"),
        (lambda: F.linear_forward(ONES.astype(int), ONES, None), "x must be a float32 or float64"),
        (lambda: F.linear_backward(ONES, (ONES, ONES, None)), r"dout must have shape \(2, 2\)"),
        (lambda: F.relu_forward([1.0]), "x must be a float32 or float64 array, got list"),
        (lambda: F.relu_backward(ONES, np.ones((3, 2))), r"dout must have shape \(3, 2\)"),
        (lambda: F.cross_entropy_forward(ONES, np.array([0, 3])), "targets must lie in 0..2"),
        (lambda: F.cross_entropy_forward(ONES, np.array([0, -1])), "targets must lie in 0..2"),
        (lambda: F.cross_entropy_forward(ONES, np.array([0])), r"targets must have shape \(2,\)"),
        (lambda: F.cross_entropy_forward(ONES, np.zeros(2)), "integer class indices"),
        (lambda: F.cross_entropy_forward(ONES, np.array([0, 1]), 1.5), "label_smoothing must lie"),
        (lambda: F.multi_margin_loss_forward(ONES, np.array([0, 9])), "targets must lie in 0..2"),
        (lambda: F.cross_entropy_forward(ONES[:0], np.array([], int)), "logits must have at least"),
    ],
)
def test_bad_input_gets_an_error_that_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
