"""``gradcheck``: right pairs pass whatever the shape, wrong ones are named down to the index."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coursekit import functional as F
from coursekit import nn
from coursekit.checks import CheckFailed, gradcheck, gradcheck_module

sizes = st.integers(1, 6)
seeds = st.integers(0, 10_000)
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid"]


def _linear(n, d, m, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return [scale * rng.standard_normal(shape) for shape in ((n, d), (m, d), (m,))]


def _pair(name):
    return getattr(F, f"{name}_forward"), getattr(F, f"{name}_backward")


# --- what is right passes -------------------------------------------------------------------


@settings(max_examples=40)
@given(n=sizes, d=sizes, m=sizes, seed=seeds, scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_right_linear_map_passes(n, d, m, seed, scale):
    assert gradcheck(*_pair("linear"), *_linear(n, d, m, seed, scale), seed=seed)


@settings(max_examples=40)
@given(
    name=st.sampled_from(ACTIVATIONS),
    shape=st.lists(sizes, min_size=1, max_size=4),
    seed=seeds,
    scale=st.sampled_from([1e-2, 1.0, 30.0]),
)
def test_right_activations_pass(name, shape, seed, scale):
    x = scale * np.random.default_rng(seed).standard_normal(shape)
    assert gradcheck(*_pair(name), x, seed=seed)


@settings(max_examples=40)
@example(name="cross_entropy", n=1, c=2, seed=0, scale=1e3)  # a loss of 0, a gradient of 1e-112
@given(
    name=st.sampled_from(["cross_entropy", "multi_margin_loss"]),
    n=sizes,
    c=sizes,
    seed=seeds,
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_right_losses_pass_without_a_dout(name, n, c, seed, scale):
    rng = np.random.default_rng(seed)
    logits, targets = scale * rng.standard_normal((n, c)), rng.integers(0, c, n)
    assert gradcheck(*_pair(name), logits, targets, seed=seed)


def test_the_pass_line_has_no_digits():
    results = [gradcheck(*_pair("linear"), *_linear(2, 3, 4, seed)) for seed in range(3)]
    assert {str(r) for r in results} == {
        "PASS gradcheck: the gradient of x, w, b agrees with central differences"
    }
    results[0].raise_if_failed()


def test_none_arguments_and_none_gradients_are_left_out():
    x, w, _ = _linear(2, 3, 4, 0)
    assert str(gradcheck(*_pair("linear"), x, w, None)).startswith(
        "PASS gradcheck: the gradient of x, w"
    )


# --- what is wrong fails, and is told -------------------------------------------------------


@settings(max_examples=40)
@given(n=sizes, d=sizes, m=sizes, seed=seeds, data=st.data())
def test_one_wrong_entry_is_found_and_named(n, d, m, seed, data):
    which = data.draw(st.integers(0, 2))
    args = _linear(n, d, m, seed)
    index = tuple(data.draw(st.integers(0, s - 1)) for s in args[which].shape)
    size = data.draw(st.sampled_from([-1.0, 1e-3, 100.0]))

    def backward(dout, cache):
        gradients = [g.copy() for g in F.linear_backward(dout, cache)]
        gradients[which][index] += gradients[which].dtype.type(size)
        return tuple(gradients)

    result = gradcheck(F.linear_forward, backward, *args, seed=seed)
    assert not result
    assert len(result.problems) == 1
    assert f"gradient of {'xwb'[which]} is wrong at index {index}" in str(result)
    assert "1 of " in str(result)


def test_the_failure_tells_expected_and_got():
    def backward(dout, cache):
        return 2 * dout * cache

    def square(x):
        return x * x, x

    x = np.array([[3.0, -1.0]])
    assert gradcheck(square, backward, x)

    def halved(dout, cache):
        return dout * cache

    result = gradcheck(square, halved, x, names=["pixels"])
    dout = np.random.default_rng(0).standard_normal(x.shape)
    assert str(result) == (
        "FAIL gradcheck\n  the gradient of pixels is wrong at index (0, 0): "
        f"expected {6 * dout[0, 0]:.6g}, got {3 * dout[0, 0]:.6g} "
        "(2 of 2 entries checked are wrong, each 0.5 times the right value)"
    )
    with pytest.raises(CheckFailed, match="FAIL gradcheck"):
        result.raise_if_failed()


def test_an_all_ones_upstream_gradient_would_hide_this():
    """A mean subtracted from dout vanishes for dout = 1; the check draws dout at random."""

    def forward(x):
        return x - x.mean(), None

    def backward(dout, cache):
        return dout - dout.mean()

    def wrong(dout, cache):
        return np.zeros_like(dout)

    x = np.arange(6.0).reshape(2, 3)
    assert gradcheck(forward, backward, x)
    assert not gradcheck(forward, wrong, x)


def test_a_loss_that_ignores_dout_is_wrong():
    def forward(logits, targets):
        return F.cross_entropy_forward(logits, targets)

    def scaled(dout, cache):
        return dout * F.cross_entropy_backward(cache)

    def ignores(dout, cache):
        return F.cross_entropy_backward(cache)

    logits, targets = np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1])
    assert gradcheck(forward, scaled, logits, targets)
    assert not gradcheck(forward, ignores, logits, targets)


def test_small_gradients_are_not_lost_in_an_absolute_tolerance():
    def forward(x):
        return 1e-9 * x**2, x

    x = np.array([1.0, 2.0, 3.0])
    assert gradcheck(forward, lambda dout, x: 2e-9 * x.dtype.type(1) * x * dout, x)
    assert not gradcheck(forward, lambda dout, x: 3e-9 * x * dout, x)


def test_a_single_wrong_entry_among_many_is_found_by_halving():
    x, w, b = _linear(3, 80, 60, 0)

    def backward(dout, cache):
        dx, dw, db = F.linear_backward(dout, cache)
        dw[41, 67] += 0.5
        return dx, dw, db

    result = gradcheck(F.linear_forward, backward, x, w, b, max_entries=10)
    assert "gradient of w is wrong at index (41, 67)" in str(result)
    assert [r["checked"] for r in result.table()] == [10, 11, 10]


# --- structural zeros and kinks -------------------------------------------------------------


def _shift_free(x, b):
    """A bias before a mean subtraction has no effect: its gradient is zero by structure."""
    centred = (x + b) - (x + b).mean(axis=0)
    return centred**2, centred


def _shift_free_backward(dout, centred):
    d = 2 * dout * centred
    dx = d - d.mean(axis=0)
    return dx, dx.sum(axis=0)


def test_a_gradient_that_is_zero_by_structure_passes():
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((8, 3)), rng.standard_normal(3)
    result = gradcheck(_shift_free, _shift_free_backward, x, b)
    assert result, str(result)
    assert [r["structural zero"] for r in result.table()] == [False, True]

    def wrong(dout, centred):
        dx, db = _shift_free_backward(dout, centred)
        return dx, db + centred.dtype.type(1e-4)

    assert not gradcheck(_shift_free, wrong, x, b)


def test_kinks_are_left_out_and_counted():
    x = np.array([[0.0, 1.0, -2.0], [3.0, -1.0, 2.0]])
    result = gradcheck(*_pair("relu"), x)
    assert result
    assert result.table()[0]["kinks"] == 1

    def one_at_zero(dout, out):
        return dout * (out >= 0)

    # At a kink any slope between the two goes; everywhere else it does not.
    result = gradcheck(F.relu_forward, one_at_zero, x)
    assert result.table()[0]["wrong"] == 2
    assert result.table()[0]["kinks"] == 1


@pytest.mark.parametrize("distance", [1e-9, 1e-7, 3e-6])
def test_a_kink_inside_the_step_is_no_error(distance):
    x = np.array([distance, -distance, 1.0, -1.0, 2.0])
    assert gradcheck(*_pair("relu"), x)


def test_a_wrong_gradient_is_not_excused_as_a_kink():
    x = np.array([1e-7, 1.0, -1.0, 2.0])
    assert not gradcheck(F.relu_forward, lambda dout, out: 3 * dout * (out > 0), x)


def test_nothing_but_kinks_is_not_a_pass():
    result = gradcheck(*_pair("relu"), np.zeros((3, 2)))
    assert not result
    assert "6 of 6 entries of x lie on a kink" in str(result)


# --- what central differences cannot see ----------------------------------------------------


def _scale(x):
    return 2 * x, x.shape


def _scale_backward(dout, cache):
    return 2 * dout


def _failure(forward, backward, x=None, **options):
    result = gradcheck(
        forward, backward, np.arange(1.0, 7).reshape(2, 3) if x is None else x, **options
    )
    assert not result
    return str(result)


def test_shape():
    assert "the gradient of x has shape (3, 2), x itself (2, 3)" in _failure(
        _scale, lambda dout, cache: 2 * dout.T.copy()
    )


def test_number_of_gradients():
    assert "backward returns 2 gradients, but forward has only 1" in _failure(
        _scale, lambda dout, cache: (2 * dout, dout)
    )


def test_forward_without_a_cache():
    assert "forward must return the pair (out, cache)" in _failure(lambda x: 2 * x, _scale_backward)


def test_dtype():
    wide = np.ones((2, 3))
    assert "the gradient of x is float64 for float32 arguments" in _failure(
        _scale, lambda dout, cache: 2 * dout * wide
    )
    assert "forward of float32 arguments returns float64" in _failure(
        lambda x: (2 * x * wide, None), _scale_backward
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_of_either_dtype_are_left_alone(dtype):
    x, w, b = (a.astype(dtype) for a in _linear(2, 3, 4, 0))
    before = [a.copy() for a in (x, w, b)]
    assert gradcheck(*_pair("linear"), x, w, b)
    for now, then in zip((x, w, b), before, strict=True):
        np.testing.assert_array_equal(now, then)
        assert now.dtype == dtype


def test_inputs_changed_in_place():
    def forward(x):
        x *= 2
        return x.copy(), None

    assert "forward changes its argument x in place" in _failure(forward, _scale_backward)

    def backward(dout, cache):
        dout *= 2
        return dout.copy()

    assert "backward changes its argument dout in place" in _failure(_scale, backward)

    def writes_and_restores(x):
        x *= 2
        out = x.copy()
        x /= 2
        return out, None

    assert "forward writes into an array it was given" in _failure(
        writes_and_restores, _scale_backward
    )


def test_integer_arguments_changed_in_place():
    def forward(logits, targets):
        result = F.cross_entropy_forward(logits, targets)
        targets[0] = 0
        return result

    result = gradcheck(forward, F.cross_entropy_backward, np.ones((2, 3)), np.array([1, 2]))
    assert "forward changes its argument targets in place" in str(result)


def test_views():
    x = np.arange(6.0).reshape(2, 3)
    text = _failure(*_pair("flatten"), x)
    assert "out shares memory with x" in text
    assert "the gradient of x shares memory with dout" in text
    assert gradcheck(*_pair("flatten"), x, allow_views=True)


def test_a_buffer_that_is_used_again():
    buffer = np.empty((2, 3))

    def forward(x):
        if x.dtype == np.float32:
            return _scale(x)
        return np.multiply(x, 2, out=buffer), None

    assert "a second call of forward changes the result of the first one" in _failure(
        forward, _scale_backward
    )


def test_a_cache_that_a_second_call_overwrites():
    last = {}

    def forward(x):
        last["x"] = x
        return x * x, None

    assert "backward after a second forward gives another gradient of x" in _failure(
        forward, lambda dout, cache: 2 * dout * last["x"].astype(dout.dtype)
    )


def test_a_cache_that_backward_uses_up():
    def backward(dout, cache):
        cache *= 2
        return dout * cache

    def forward(x):
        return x * x, x.copy()

    assert "backward called a second time gives another gradient of x" in _failure(
        forward, backward
    )


def test_numbers_that_are_not_finite():
    text = _failure(lambda x: (np.log(x - 1), x), lambda dout, x: dout / (x - 1))
    assert "forward gives a number that is not finite: out at index (0, 0) is -inf" in text
    text = _failure(lambda x: (2 * x, x), lambda dout, x: dout / (x - 6))
    assert "the gradient of x at index (1, 2) is" in text


@pytest.fixture(autouse=True)
def _no_division_warnings():
    with np.errstate(all="ignore"):
        yield


def test_misuse_is_an_error():
    with pytest.raises(ValueError, match=r"floating-point array among \['x'\]"):
        gradcheck(*_pair("relu"), np.arange(3))
    with pytest.raises(ValueError, match="names must name all 1 arguments"):
        gradcheck(*_pair("relu"), np.ones(3), names=["x", "y"])


# --- pictures -------------------------------------------------------------------------------


def _v_curve(result):
    line = result.plot().axes[1].lines[0]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_the_error_of_a_right_gradient_makes_a_v():
    x = np.random.default_rng(0).standard_normal((3, 4))
    steps, errors = _v_curve(gradcheck(*_pair("tanh"), x))
    best = np.argmin(errors)
    assert 1e-7 < steps[best] < 1e-3
    assert errors[best] < 1e-9
    assert errors[0] > 1e3 * errors[best]
    assert errors[-1] > 1e3 * errors[best]


def test_the_error_of_a_wrong_gradient_is_flat():
    x = np.random.default_rng(0).standard_normal((3, 4))
    _, errors = _v_curve(gradcheck(F.tanh_forward, lambda dout, out: 2 * dout * (1 - out * out), x))
    assert errors.min() > 0.1


def test_the_map_shows_where_the_error_is():
    x, w, b = _linear(4, 5, 3, 0)

    def backward(dout, cache):
        dx, dw, db = F.linear_backward(dout, cache)
        dw[2, 1] += 1
        return dx, dw, db

    left = gradcheck(F.linear_forward, backward, x, w, b).plot().axes[0]
    assert left.get_title() == "error of the gradient of w"
    picture = left.images[0].get_array()
    assert picture.shape == (3, 5)
    assert np.unravel_index(picture.argmax(), picture.shape) == (2, 1)


@pytest.mark.parametrize("x", [np.array(2.0), np.ones(3), np.ones((2, 1, 3)), np.zeros((2, 2))])
def test_any_shape_can_be_drawn(x):
    assert gradcheck(lambda x: (np.tanh(x), np.tanh(x)), F.tanh_backward, x).plot().axes


def test_nothing_to_draw():
    with pytest.raises(CheckFailed, match="nothing to draw"):
        gradcheck(lambda x: 2 * x, _scale_backward, np.ones(3)).plot()


# --- nets -----------------------------------------------------------------------------------


def _batch(seed=0, n=4, shape=(2, 3)):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, 3, n)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU])
@pytest.mark.parametrize("criterion", [None, nn.CrossEntropyLoss(0.1), nn.MultiMarginLoss()])
def test_right_nets_pass(activation, criterion):
    net = nn.mlp([6, 7, 5, 3], activation=activation)
    before = net.state_dict()
    result = gradcheck_module(net, *_batch(), criterion)
    assert str(result) == (
        "PASS gradcheck: the gradient of 1.weight, 1.bias, 3.weight, 3.bias, 5.weight, 5.bias, x "
        "agrees with central differences"
    )
    assert all(np.array_equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


class _WrongLinear(nn.Linear):
    def backward(self, dout, *, need_dx=True):
        dx = super().backward(dout, need_dx=need_dx)
        self.weight.grad = self.weight.grad.copy()
        self.weight.grad[1, 2] += 0.01
        return dx


def test_a_wrong_layer_is_named():
    net = nn.Sequential(nn.Flatten(), _WrongLinear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    result = gradcheck_module(net, *_batch())
    assert len(result.problems) == 1
    assert "the gradient of 1.weight is wrong at index (1, 2)" in str(result)


class _Forgetful(nn.Linear):
    def backward(self, dout, *, need_dx=True):
        return dout @ self.weight.data


def test_a_layer_without_gradients_is_named():
    result = gradcheck_module(nn.Sequential(nn.Flatten(), _Forgetful(6, 3)), *_batch())
    assert result.problems == ["no gradient reached 1.weight", "no gradient reached 1.bias"]


class _Noise(nn.ReLU):
    def forward(self, x):
        return super().forward(x + np.random.default_rng().standard_normal(x.shape))


def test_a_random_net_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), _Noise())
    assert "two forward passes differ" in str(gradcheck_module(net, *_batch()))
