"""Which named mistake a failing check tells: the one that agrees on every case, or "may be"."""

import numpy as np
import pytest

from coursekit.checks import ExerciseError, check, zoo
from coursekit.checks import references_conv as conv_ref
from coursekit.checks import references_fc as ref
from coursekit.checks.exercises import EXERCISES, diagnose, find


def told(name, *functions):
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    lines = str(failure.value).splitlines()
    return [line.strip() for line in lines if line.startswith("  this ")]


# --- what was told wrongly --------------------------------------------------------------------


def cost_with_the_one_inside(c_in, c_out, kernel_size, stride, padding, h, w):
    kh, kw = kernel_size
    oh, ow = ((s + 2 * padding - k + 1) // stride for s, k in ((h, kh), (w, kw)))
    weights = c_out * c_in * kh * kw
    return (oh, ow), weights + c_out, weights * oh * ow


def test_a_plus_one_inside_the_division_is_no_missing_padding():
    (line,) = told("conv2d_cost", cost_with_the_one_inside)
    assert line.startswith("this looks like: the + 1 of the output size stands inside the division")


def col2im_slices_assigned(cols, x_shape, kh, kw, stride, padding):
    n, c, h, w = x_shape
    oh = conv_ref.out_size(h, kh, stride, padding)
    ow = conv_ref.out_size(w, kw, stride, padding)
    big = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    windows = cols.reshape(n, oh, ow, c, kh, kw)
    for i in range(kh):
        for j in range(kw):
            piece = windows[:, :, :, :, i, j].transpose(0, 3, 1, 2)
            big[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] = piece
    return big[:, :, padding : padding + h, padding : padding + w]


def test_slices_that_are_assigned_are_told_without_a_function_that_is_not_there():
    (line,) = told("col2im", col2im_slices_assigned)
    assert line.startswith("this looks like: = for += where windows overlap")
    assert "np.add.at" not in line


# --- how a mistake is chosen ------------------------------------------------------------------


def test_a_mistake_that_fails_where_the_learner_is_right_is_not_named():
    """The padding is left out for one stride only; who forgets it for all fails more."""

    def cost(c_in, c_out, kernel_size, stride, padding, h, w):
        padding = 0 if stride == 2 else padding
        return conv_ref.conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)

    assert told("conv2d_cost", cost) == []


def test_one_mistake_beside_another_may_be_it():
    def adam(w, g, m, v, t, lr, beta1, beta2, eps):
        new_w, new_m, new_v = ref.adam(w, g, m, v, t, lr, beta1, beta2, eps)
        if t == 1000:
            return new_w - 1, new_m, new_v
        corrected = new_w + lr * new_m / (1 - beta1**t) / (np.sqrt(new_v / (1 - beta2**t)) + eps)
        return corrected - lr * new_m / (np.sqrt(new_v) + eps), new_m, new_v

    (line,) = told("adam", adam)
    assert line.startswith("this may be: ")
    assert "correct" in line


def test_agreement_on_few_of_the_failing_cases_is_no_evidence():
    """The ordinary case and its variants count once."""

    def linear(x, w, b):
        if x.shape == (4, 5) and len(w) == 3:
            return x @ w.T, (x, w, b)  # b forgotten
        return x @ w.T + b + 1 + np.arange(len(b), dtype=x.dtype), (x, w, b)

    assert told("linear_forward", linear) == []


def test_every_mistake_in_the_collection_is_told_without_a_may_be():
    for animal in zoo.animals("conv2d_cost") + zoo.animals("softmax_cross_entropy"):
        exercise = find(animal.exercise)
        message = diagnose(exercise, zoo.functions_of(animal, exercise)).message
        assert f"this looks like: {animal.looks_like}" in message


def test_a_named_mistake_never_fails_what_the_learner_passes():
    """Each wrong version beside all others of its exercise: whoever is named fails no more."""
    find("adam")
    for name in ("multi_margin_loss", "sgd_momentum", "receptive_field", "grad_cam"):
        exercise = EXERCISES[name]
        failed = {
            animal.looks_like: set(diagnose(exercise, zoo.functions_of(animal, exercise)).failed)
            for animal in zoo.animals(name)
        }
        for animal in zoo.animals(name):
            functions = zoo.functions_of(animal, exercise)

            def half(*args, f=functions[-1], right=exercise.reference[-1], seen=[0]):  # noqa: B006
                seen[0] += 1
                return f(*args) if seen[0] % 3 else right(*args)

            found = diagnose(exercise, (*functions[:-1], half))
            line = next((x for x in found.message.splitlines() if x.startswith("  this ")), "")
            if line:
                assert failed[line.split(": ", 1)[1]] <= set(found.failed)


def test_a_size_rounded_to_the_nearest_is_not_told_as_rounded_up():
    def cost(c_in, c_out, kernel_size, stride, padding, h, w):
        sides = zip((h, w), kernel_size, strict=True)
        oh, ow = (round((s + 2 * padding - k) / stride) + 1 for s, k in sides)
        weights = c_in * c_out * kernel_size[0] * kernel_size[1]
        return (oh, ow), weights + c_out, weights * oh * ow

    assert told("conv2d_cost", cost) == []
