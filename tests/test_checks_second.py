"""The second call of a check: other numbers, as legal as the first ones, and told as they are."""

import math

import numpy as np
import pytest

from coursekit.checks import ExerciseError, check, last_failure, second
from coursekit.checks import references_dropout as dropout_ref
from coursekit.checks import references_fc as ref
from coursekit.checks import references_norm as norm_ref
from coursekit.checks.exercises import EXERCISES, find

# Positive in every case, though any sign would be legal.
ANY_SIGN = {("sgd_momentum", "v"), ("adam", "m"), ("dropout_backward", "dout")}


def registered():
    find("adam")
    return [e for e in EXERCISES.values() if e.run.__module__.startswith("coursekit.checks.")]


def arrays(inputs):
    for name, value in inputs.items():
        for array in value if isinstance(value, list) else [value]:
            if isinstance(array, np.ndarray):
                yield name, array


def traits(array):
    """What may be a condition on the values of an argument."""
    yield "at least 0", bool(np.all(array >= 0))
    yield "above 0", bool(np.all(array > 0))
    sums = array.sum(axis=-1) if array.ndim > 1 else np.zeros(1)
    yield "rows with the sum 1", bool(np.allclose(sums, 1))


def illegal(exercise, seeds):
    """What holds for an argument in all first calls and not in all second ones."""
    first, later = {}, {}
    for seed in seeds:
        for case in exercise.all_cases(seed):
            inputs = case.build()
            for found, values in ((first, inputs), (later, exercise.second(case.build()))):
                for name, array in arrays(values):
                    for trait, holds in traits(array):
                        key = name, trait
                        found[key] = found.get(key, True) and holds
    return [
        key
        for key, held in first.items()
        if held and not later[key] and (exercise.name, key[0]) not in ANY_SIGN
    ]


@pytest.mark.parametrize("exercise", registered(), ids=lambda e: e.name)
def test_second_inputs_are_as_legal_as_the_first(exercise):
    assert illegal(exercise, range(8)) == []


@pytest.mark.parametrize("exercise", registered(), ids=lambda e: e.name)
def test_second_inputs_keep_shapes_and_dtypes_and_classes(exercise):
    for case in exercise.all_cases(3):
        first, later = case.build(), exercise.second(case.build())
        assert first.keys() == later.keys()
        for (_, a), (name, b) in zip(arrays(first), arrays(later), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            if a.dtype.kind == "i":
                assert set(b.ravel()) == set(a.ravel()), name


def test_so_are_those_of_the_torch_lessons():
    pytest.importorskip("coursekit.port", exc_type=ImportError)
    find("adam")
    port = [e for e in EXERCISES.values() if e.run.__module__.startswith("coursekit.port.")]
    assert len(port) > 20
    assert [(e.name, found) for e in port if (found := illegal(e, range(4)))] == []


def test_second_inputs_differ():
    """Else nothing that a first call leaves behind would show."""
    for exercise in registered():
        case = exercise.all_cases(0)[0]
        if any(a.dtype.kind == "f" for _, a in arrays(case.inputs)):
            later = exercise.second(case.build())
            both = zip(arrays(case.inputs), arrays(later), strict=True)
            assert any(not np.array_equal(a, b) for (_, a), (_, b) in both), exercise.name


def test_a_graph_hangs_together_in_the_second_call():
    exercise = find("batch_norm_backward_steps")
    for case in exercise.all_cases(0)[:3]:
        v = exercise.second(case.build())
        np.testing.assert_allclose(v["xmu"], v["x"] - v["x"].mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(v["ivar"], 1 / v["std"])
        np.testing.assert_allclose(v["xhat"], v["xmu"] * v["ivar"])


# --- right code that takes the square root of what cannot be negative -------------------------


def batch_norm_with_math(x, gamma, beta, running_mean, running_var, training, momentum, eps):
    if training:
        return norm_ref.batch_norm_forward(
            x, gamma, beta, running_mean, running_var, training, momentum, eps
        )
    out = np.empty_like(x)
    for i, m in np.ndindex(x.shape):
        centred = (x[i, m] - running_mean[m]) / math.sqrt(running_var[m] + eps)
        out[i, m] = gamma[m] * centred + beta[m]
    for m in range(x.shape[1]):
        math.sqrt(running_var[m] + eps)
    return out, None, running_mean, running_var


def fold_with_math(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    new_w, new_b = np.empty_like(w), np.empty_like(b)
    for m in range(len(w)):
        scale = gamma[m] / math.sqrt(running_var[m] + eps)
        new_w[m], new_b[m] = w[m] * scale, (b[m] - running_mean[m]) * scale + beta[m]
    return new_w, new_b


def rmsprop_with_math(w, g, s, lr, alpha, eps):
    s = alpha * s + (1 - alpha) * g**2
    step = np.array([math.sqrt(v) for v in s.ravel()], s.dtype).reshape(s.shape)
    return w - lr * g / (step + s.dtype.type(eps)), s


def adam_with_math(w, g, m, v, t, lr, beta1, beta2, eps):
    _, m, v = ref.adam(w, g, m, v, t, lr, beta1, beta2, eps)
    root = np.array([math.sqrt(e / (1 - beta2**t)) for e in v.ravel()], v.dtype).reshape(v.shape)
    return (w - lr * m / (1 - beta1**t) / (root + eps)).astype(w.dtype), m, v


def calibration_that_looks_at_its_rows(probabilities, labels, bins=10):
    assert np.allclose(probabilities.sum(axis=1), 1)
    return dropout_ref.expected_calibration_error(probabilities, labels, bins)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("batch_norm_forward", batch_norm_with_math),
        ("fold_batch_norm", fold_with_math),
        ("rmsprop", rmsprop_with_math),
        ("adam", adam_with_math),
        ("expected_calibration_error", calibration_that_looks_at_its_rows),
    ],
)
def test_a_legal_condition_on_the_inputs_is_met_in_every_call(name, function, capsys):
    for seed in range(5):
        check(name, function, seed=seed)


# --- what went wrong in a second call is told as such -----------------------------------------


def test_a_crash_in_the_second_call_shows_the_second_inputs():
    seen = []

    def adds_up(x, w, b):
        seen.append(x)
        if len(seen) % 2 == 0:
            raise KeyError("left over")
        return x @ w.T + b, (x, w, b)

    with pytest.raises(ExerciseError) as failure:
        check("linear_forward", adds_up)
    lines = str(failure.value).splitlines()
    assert "raises KeyError" in lines[0]
    assert lines[1].endswith(", then a second call with other numbers")
    np.testing.assert_array_equal(last_failure().inputs["x"], seen[1])


def test_a_crash_in_a_forward_in_between_says_so():
    calls = []

    def forward(x):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("twice")
        return np.maximum(x, 0), x

    with pytest.raises(ExerciseError, match="then a second call with other numbers"):
        check("relu_backward", forward, lambda dout, x: dout * (x > 0))


def test_a_crash_in_the_first_call_is_none_of_the_second():
    def fails(x):
        raise RuntimeError("at once")

    with pytest.raises(ExerciseError) as failure:
        check("relu_forward", fails)
    assert "second call" not in str(failure.value)


def test_kinds():
    one_hot = np.eye(3)[[0, 2]]
    assert np.array_equal(second.probabilities(one_hot).sum(axis=1), [1, 1])
    assert second.positive(np.zeros(2)).min() > 0
    pixels = np.array([[0, 255, 7]], np.uint8)
    assert second.pictures(pixels).tolist() == [[255, 0, 248]]
    unit = np.array([0.25, 1.0])
    assert second.pictures(unit).tolist() == [1.0, 0.25]
    assert sorted(second.labels(np.array([4, 0, 1]))) == [0, 1, 4]
    made = second.another(v=second.positive)({"v": [np.zeros(1)], "w": np.ones(1), "n": 3})
    assert made == {"v": [np.ones(1)], "w": np.zeros(1), "n": 3}
