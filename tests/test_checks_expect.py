"""``expect``: constant lines when a claim holds, the number and its bounds when it does not."""

import io
import sys

import numpy as np
import pytest

from coursekit.checks import CheckFailed, expect


@pytest.mark.parametrize(
    ("bounds", "line"),
    [
        ((0.3, 0.6), "✓ validation accuracy is between 0.30 and 0.60"),
        ((0.3, None), "✓ validation accuracy is at least 0.30"),
        ((None, 0.6), "✓ validation accuracy is at most 0.60"),
        ((0, 10), "✓ validation accuracy is between 0 and 10"),
        ((1e-10, 0.4321), "✓ validation accuracy is between 1e-10 and 0.4321"),
        ((-0.25, 1234567.0), "✓ validation accuracy is between -0.25 and 1234567.0"),
        ((float("-inf"), float("inf")), "✓ validation accuracy is between -inf and inf"),
    ],
)
def test_the_line_names_the_bounds_and_hides_the_digits(capsys, bounds, line):
    for value in (0.41, np.float32(0.4123), np.array(0.399)):
        expect("validation accuracy", value, *bounds)
        assert capsys.readouterr().out == line + "\n"


def test_bounds_belong_to_the_range():
    expect("x", 0.3, 0.3, 0.6)
    expect("x", 0.6, 0.3, 0.6)


@pytest.mark.parametrize("value", [0.29, 0.61, float("nan"), float("inf"), -float("inf")])
def test_a_failure_tells_name_value_and_bounds(value):
    with pytest.raises(CheckFailed) as failure:
        expect("validation accuracy", value, 0.3, 0.6)
    assert str(failure.value) == (
        f"✗ validation accuracy is {value:g}, expected it between 0.30 and 0.60"
    )


@pytest.mark.parametrize("bounds", [(0.3, None), (None, 0.6)])
def test_nan_fails_with_one_bound_too(bounds):
    with pytest.raises(CheckFailed, match="is nan"):
        expect("x", float("nan"), *bounds)


def test_a_near_miss_shows_all_its_digits():
    with pytest.raises(CheckFailed, match=r"is 0\.29999999999, expected it at least 0\.30"):
        expect("x", 0.29999999999, 0.3)


def test_bounds_that_make_no_sense_are_an_error():
    with pytest.raises(ValueError, match="needs low, high or both"):
        expect("x", 1.0)
    with pytest.raises(ValueError, match=r"low=2\.0 and high=1\.0"):
        expect("x", 1.0, 2, 1)
    with pytest.raises(ValueError, match="low must not be above high"):
        expect("x", 1.0, float("nan"), 1)
    with pytest.raises(TypeError):
        expect("x", np.zeros(3), 0, 1)


def test_a_console_without_tick_marks_gets_words(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    expect("x", 1, 0, 2)
    stream.flush()
    assert stream.buffer.getvalue().split() == b"OK x is between 0 and 2".split()


def test_jupyter_shows_the_message_alone():
    failure = CheckFailed("first line\n  second line")
    assert failure._render_traceback_() == ["first line", "  second line"]
