"""What ``gradcheck`` asks before it compares: each thing that is missing has its own message."""

import math
import random

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import nn
from coursekit.checks import gradcheck, gradcheck_module

X = np.random.default_rng(1).standard_normal((4, 5))


def only(result):
    """The one problem that was found."""
    assert not result
    (problem,) = result.problems
    return problem


def square_backward(dout, x):
    return 2 * dout * x


# --- float64 ----------------------------------------------------------------------------------


def in_float32(x):
    return (x.astype(np.float32) ** 2).astype(x.dtype), x


def buffer_in_float32(x):
    out = np.zeros(x.shape, np.float32)
    out[...] = x**2
    return out, x


def one_term_in_float32(x):
    return x**2 + (x.astype(np.float32) ** 2).astype(x.dtype), x


def sum_in_float32(x):
    return float(np.sum(x.astype(np.float32) ** 2)), x


def far_from_zero_in_float32(x):
    return ((x + 100).astype(np.float32) ** 2).astype(x.dtype), x


def half_precision(x):
    return (x.astype(np.float16) ** 2).astype(x.dtype), x


def stops_early(x):
    """The square root of x⁴ by Newton's steps, left at an error near 1e-8."""
    y = np.round(x**4, 8) + 0.5
    for _ in range(40):
        y = np.round((y + (x**4 + 1e-30) / y) / 2, 8)
    return y, x


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (in_float32, square_backward),
        (one_term_in_float32, lambda dout, x: 4 * dout * x),
        (sum_in_float32, square_backward),
        (far_from_zero_in_float32, lambda dout, x: 2 * dout * (x + 100)),
        (half_precision, square_backward),
        (stops_early, square_backward),
    ],
)
@pytest.mark.parametrize("shape", [(4, 5), (30, 20), (3,), ()])
def test_a_forward_that_rounds_is_told_so(forward, backward, shape):
    x = np.array(1.5 + np.random.default_rng(2).random(shape))
    problem = only(gradcheck(forward, backward, x))
    assert "forward does not compute in float64" in problem
    assert "kink" not in problem


def test_a_float32_result_is_told_at_once():
    problem = only(gradcheck(buffer_in_float32, square_backward, X))
    assert "forward of float64 arguments returns out as float32" in problem


def test_a_wrong_gradient_in_float64_is_no_question_of_precision():
    for factor in (1.0, 3.0):
        result = gradcheck(lambda x: (x**2, x), lambda d, x, f=factor: f * d * x, X)
        assert "is wrong at index" in only(result)


@pytest.mark.parametrize("distance", [1e-10, 3e-9, 1e-7, 1e-6, 3e-5])
@pytest.mark.parametrize("side", [-1, 1])
def test_kinks_are_no_question_of_precision(distance, side):
    x = side * distance * np.ones((2, 3))
    for slope in (0.0, 0.25):

        def leaky(x, slope=slope):
            return np.where(x > 0, x, x.dtype.type(slope) * x), x > 0

        wrong = gradcheck(leaky, lambda dout, mask: dout * 3, x)
        assert "float64" not in str(wrong)


# --- one function -----------------------------------------------------------------------------


def test_a_random_forward_is_told_so():
    def forward(x):
        return x + np.random.default_rng().standard_normal(x.shape), None

    problem = only(gradcheck(forward, lambda dout, cache: dout.copy(), X))
    assert "forward gives another result for the same arguments" in problem


def test_a_forward_that_counts_its_calls_is_told_so():
    calls = []

    def forward(x):
        calls.append(1)
        return x * x.dtype.type(len(calls)), None

    problem = only(gradcheck(forward, lambda dout, cache: dout.copy(), X))
    assert "keeps something between calls" in problem


@pytest.mark.parametrize(
    "make", [np.random.default_rng, np.random.RandomState, random.Random], ids=lambda m: m.__name__
)
def test_a_generator_among_the_arguments_draws_the_same_each_time(make):
    def forward(x, rng):
        mask = np.array([[rng.random() < 0.5 for _ in row] for row in x], x.dtype)
        return x * mask, mask

    rng = make(3)
    assert gradcheck(forward, lambda dout, mask: dout * mask, X, rng)
    assert rng.random() == make(3).random()  # nobody has drawn from it


def test_the_courses_dropout_can_be_checked():
    rng = np.random.default_rng(0)
    forward, backward = F.dropout_forward, F.dropout_backward
    seeded = gradcheck(lambda x, g: forward(x, 0.5, training=True, rng=g), backward, X, rng)
    assert seeded, str(seeded)


# --- gradients that are arrays ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda g: {"x": g}, "got a dict with the keys x"),
        (lambda g: {}, "got a dict with the keys none"),
        (lambda g: "dx", "got str"),
        (lambda g: g.tolist(), "got a list of 5"),
        (lambda g: g.astype(complex), "got an array of complex128"),
        (lambda g: g.astype(object), "got an array of object"),
        (lambda g: g > 0, "got an array of bool"),
        (lambda g: None, "backward returns None"),
        (lambda g: (), "backward returns None"),
    ],
)
def test_what_is_no_gradient_is_told_by_what_it_is(returned, told):
    problem = only(gradcheck(lambda x: (x**2, x), lambda d, x: returned(2 * d * x), X))
    assert told in problem
    assert "shape ()" not in problem


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda out: {"out": out}, "got a dict with the keys out"),
        (lambda out: (out, out), "got a tuple of 2"),
        (lambda out: out.tolist(), "got a list of 4"),
        (lambda out: None, "got NoneType"),
        (lambda out: "out", "got str"),
        (lambda out: out.astype(int), "returns out as int64"),
        (lambda out: out.astype(complex), "returns out as complex128"),
    ],
)
def test_what_is_no_output_is_told_by_what_it_is(returned, told):
    result = gradcheck(lambda x: (returned(x**2), x), square_backward, X)
    assert told in only(result)


# --- arguments and settings -------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_argument_that_is_not_finite_is_refused(bad):
    x = X.copy()
    x[1, 2] = bad
    with pytest.raises(ValueError, match=r"^x: got (nan|inf) at index \(1, 2\); needed finite"):
        gradcheck(lambda x: (x**2, x), square_backward, x)


def test_arguments_without_entries_are_refused():
    with pytest.raises(ValueError, match="^x: got no entries; needed at least one"):
        gradcheck(lambda x: (x**2, x), square_backward, np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("eps", bad) for bad in (0.0, -1e-5, np.nan)),
        *(("rtol", bad) for bad in (-1.0, np.nan)),
        *(("atol", 2.0), ("max_entries", 0)),
    ],
)
def test_settings_that_compare_nothing_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"^{setting}: got "):
        gradcheck(lambda x: (x**2, x), square_backward, X, **{setting: value})
    with pytest.raises(ValueError, match=f"^{setting}: got "):
        gradcheck_module(nn.mlp([5, 3]), X, np.zeros(4, int), **{setting: value})


def test_a_tolerance_of_zero_is_a_tolerance():
    result = gradcheck(lambda x: (2 * x, x), lambda d, x: 2 * d, X, atol=0.0)
    assert result, str(result)


# --- nets -------------------------------------------------------------------------------------


class InFloat32(nn.Linear):
    def forward(self, x):
        return super().forward(x.astype(np.float32).astype(x.dtype))


class Rounded(nn.ReLU):
    def forward(self, x):
        return super().forward(x).astype(np.float32).astype(x.dtype)


@pytest.mark.parametrize("layer", [lambda: InFloat32(5, 6), lambda: Rounded()])
def test_a_net_that_rounds_is_told_so(layer):
    net = nn.Sequential(nn.Linear(5, 5), layer(), nn.Tanh())
    net = nn.Sequential(*net, nn.Linear(6 if isinstance(net[1], nn.Linear) else 5, 3))
    problem = only(gradcheck_module(net, X, np.array([0, 1, 2, 0])))
    assert "forward does not compute in float64" in problem


def test_a_loss_that_is_not_finite_is_not_called_random():
    class Logarithm(nn.CrossEntropyLoss):
        def __call__(self, logits, targets):
            return super().__call__(logits, targets) * np.nan

    problem = only(gradcheck_module(nn.mlp([5, 3]), X, np.zeros(4, int), Logarithm()))
    assert problem.startswith("the loss is nan")


def test_a_dict_of_gradients_of_a_net_is_told_by_what_it_is():
    class Dict(nn.Linear):
        def backward(self, dout, *, need_dx=True):
            return {"dx": super().backward(dout)}

    problem = only(gradcheck_module(nn.Sequential(Dict(5, 3)), X, np.zeros(4, int)))
    assert problem == "the gradient of x should be an array: got a dict with the keys dx"


# --- inputs and numbers at the end of what float64 and float32 hold ----------------------------


@pytest.mark.parametrize("size", [1e6, 1e9, 1e12, 1e100, 1e150])
def test_huge_inputs_lie_on_no_kink(size):
    x = size * X
    assert gradcheck(lambda x: (x * 1e-3 * x, x), lambda dout, x: 2e-3 * dout * x, x)
    problem = only(gradcheck(lambda x: (x * 1e-3 * x, x), lambda dout, x: 1e-3 * dout * x, x))
    assert "is wrong at index" in problem


@pytest.mark.parametrize("value", [700.0, 300.0, -700.0])
def test_what_float32_cannot_hold_is_no_fault_of_a_float64_gradient(value):
    pair = (lambda x: (np.exp(x), x)), (lambda dout, x: dout * np.exp(x))
    assert gradcheck(*pair, np.array([value, value / 2]))


def test_strong_curvature_is_no_kink():
    x = np.full(3, 1e-6)
    assert gradcheck(lambda x: (np.log(x), x), lambda dout, x: dout / x, x)
    problem = only(gradcheck(lambda x: (np.log(x), x), lambda dout, x: 2 * dout / x, x))
    assert "each 2 times the right value" in problem


def test_the_edge_of_a_domain_is_no_kink():
    def backward(dout, x):
        return dout / x

    x = np.array([1e-15, 1.0, 2.0])
    for log in (np.log, lambda x: np.array([math.log(v) for v in x], x.dtype)):
        problem = only(gradcheck(lambda x, log=log: (log(x), x), backward, x))
        assert "numbers at x, but none where x is moved a little at index (0,)" in problem


@pytest.mark.parametrize("x", [[-0.1, -0.15], [-0.1], [1.5, 2.0], [3.0]])
def test_the_second_call_stays_inside_the_domain(x):
    """Between numbers that a function takes lie others that it takes as well."""

    def forward(x):
        if x[0] < 0:
            return np.array([math.sqrt(-v) for v in x], x.dtype), x
        return np.array([math.acosh(v) for v in x[x > 2.9]] or [0.0], x.dtype), x

    def backward(dout, x):
        if x[0] < 0:
            return -dout / (2 * np.sqrt(-x))
        return np.where(x > 2.9, dout / np.sqrt(x * x - 1), 0).astype(x.dtype)

    assert gradcheck(forward, backward, np.array(x))


def test_a_step_is_called_one():
    x = np.zeros(3)
    problem = only(gradcheck(lambda x: (np.sign(x), x), lambda dout, x: 0 * dout, x))
    assert "has a step there (sign, floor, a comparison)" in problem
    assert "kink" not in problem


def test_a_forward_that_changes_after_some_calls_is_no_question_of_precision():
    calls = []

    def forward(x):
        calls.append(1)
        return x * x + (1e-3 * len(calls) if len(calls) > 3 else 0.0), x

    problem = only(gradcheck(forward, square_backward, X))
    assert "forward gives another result for the same arguments" in problem


def test_a_float32_gradient_of_float64_arguments_is_told():
    def backward(dout, x):
        return (2 * dout * x).astype(np.float32)

    problem = only(gradcheck(lambda x: (x * x, x), backward, X))
    assert problem == "the gradient of x is float32 for float64 arguments"


@pytest.mark.parametrize("scale", [1.0, 4.0, 30.0])
def test_zeros_are_no_gradient_of_a_forward_that_stands_still_in_float32(scale):
    problem = only(gradcheck(in_float32, lambda dout, x: 0 * dout, scale * X))
    assert "forward does not compute in float64" in problem
