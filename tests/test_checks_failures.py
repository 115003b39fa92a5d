"""Looking into a failed check: its arrays, its picture, and what a learner's function printed."""

import logging
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coursekit import functional as F
from coursekit.checks import CheckFailed, ExerciseError, Failure, check, failures, last_failure, zoo
from coursekit.checks.exercises import EXERCISES, Mismatch, diagnose, find
from coursekit.checks.report import apart


def fail(name, *functions):
    """The failure and the message of a check that fails."""
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    return last_failure(), str(failure.value)


def drawn(fig):
    """The pixels and the texts of a figure."""
    assert isinstance(fig, Figure)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    texts = [t.get_text() for t in fig.findobj(mpl.text.Text) if t.get_text()]
    return bytes(canvas.buffer_rgba()), " | ".join(texts)


def off_by_one(dout, cache):
    dx, dw, db = F.linear_backward(dout, cache)
    dw = dw.copy()
    dw[1, 2] += 1
    return dx, dw, 2 * db


# --- the arrays -------------------------------------------------------------------------------


def test_before_any_failure_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(failures, "_last", None)
    with pytest.raises(LookupError, match="last_failure: no check has failed"):
        last_failure()


def test_inputs_expected_and_got_are_there_as_arrays():
    found, message = fail("linear_backward", F.linear_forward, off_by_one)
    case = find("linear_backward").all_cases(0)[0]
    assert found.exercise == "linear_backward" and found.case == case.description
    assert found.inputs.keys() == case.inputs.keys() == {"x", "w", "b", "dout"}
    for name, value in case.inputs.items():
        assert np.array_equal(found.inputs[name], value)
    dx, dw, db = F.linear_backward(case.inputs["dout"], tuple(case.inputs[k] for k in "xwb"))
    assert {k: v.tolist() for k, v in found.expected.items()} == {
        "dx": dx.tolist(),
        "dw": dw.tolist(),
        "db": db.tolist(),
    }
    wrong = found.got["dw"] - found.expected["dw"]
    assert np.argwhere(wrong).tolist() == [[1, 2]] and wrong[1, 2] == pytest.approx(1)
    assert found.result == "dw"
    assert [(m.result, m.wrong.sum()) for m in found.differs] == [("dw", 1), ("db", 3)]
    assert found.differs[0].worst == (1, 2)
    assert message == (
        f"{found.message}\n  to look closer: from coursekit import checks; "
        "checks.last_failure().plot()"
    )
    assert found.message.startswith("✗ linear_backward: dw[1, 2] should be ")
    told = repr(found)
    assert told.startswith(found.message) and "also: db" in told
    assert ".inputs: x (float64, 4 × 5), w (float64, 3 × 5)" in told


def test_the_last_one_that_failed_stays():
    first, _ = fail("linear_backward", F.linear_forward, off_by_one)
    check("relu_forward", F.relu_forward)
    with pytest.raises(ExerciseError):
        check("adam", lambda *args: next(iter(()), None) or _unwritten())
    assert last_failure() is first
    second, _ = fail("relu_forward", lambda x: (x * 2, x))
    assert last_failure() is second is not first


def _unwritten():
    raise NotImplementedError


def test_what_is_done_to_a_failure_changes_no_answer():
    found, before = fail("linear_backward", F.linear_forward, off_by_one)
    for values in (found.inputs, found.expected, found.got):
        for array in values.values():
            array[...] = 7
    again, after = fail("linear_backward", F.linear_forward, off_by_one)
    assert before == after and not np.any(again.expected["dw"] == 7)


def test_a_later_case_keeps_its_own_inputs_and_layout():
    def only_contiguous(x):
        assert x.flags.c_contiguous, "not contiguous"
        return F.relu_forward(x)

    found, _ = fail("relu_forward", only_contiguous)
    assert not found.inputs["x"].flags.c_contiguous and "strided" in found.case


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x @ np.ones((2, 2)), "raises ValueError"),  # a crash
        (lambda x: None, "should return"),  # something else
    ],
)
def test_without_results_there_is_nothing_to_compare_and_that_is_said(function, text):
    found, message = fail("relu_forward", function)
    assert found.got == {} and found.differs == [] and found.result == ""
    assert text in message and "to look closer" not in message
    assert ".got: empty: the function did not return these results" in repr(found)
    assert text in drawn(found.plot())[1]
    assert "did not return out" in drawn(found.plot("out"))[1]


def test_the_invitation_is_for_arrays_alone():
    _, message = fail("receptive_field", lambda layers: (1, 1))
    assert "to look closer" not in message  # two numbers: all is said
    _, message = fail("relu_forward", lambda x: (x[:1], x))
    assert "to look closer" not in message  # shapes: all is said
    _, message = fail("relu_forward", lambda x: (x, x.copy()))
    assert "to look closer" not in message  # an argument returned: values are right or not there

    def damage(x):
        out = np.maximum(x, 0)
        x[:] = 0
        return out, x

    found, message = fail("relu_forward", damage)
    assert "comes back changed" in message and "to look closer" not in message
    assert "No result differs" in drawn(found.plot())[1]


# --- the picture ------------------------------------------------------------------------------


def made(expected, got, worst=()):
    """A failure of one result."""
    wrong = None
    if not isinstance(got, list | str | None) and np.shape(got) == np.shape(expected):
        wrong = np.not_equal(expected, got) & ~(np.isnan(expected) & np.isnan(got))
    differs = [Mismatch("out", "out should be something else", wrong, worst)]
    return Failure("any", "any", {}, {"out": expected}, {"out": got}, "✗ any: no", differs)


@pytest.mark.parametrize("rank", range(6))
def test_arrays_of_any_rank_are_drawn_the_same_each_time(rank):
    rng = np.random.default_rng(rank)
    expected = rng.standard_normal((2, 3, 4, 2, 3)[:rank])
    got = expected.copy()
    worst = tuple(size - 1 for size in expected.shape)
    got[worst] += 5
    first, texts = drawn(made(expected, got, worst).plot())
    assert first == drawn(made(expected, got, worst).plot())[0]
    if rank == 2:
        assert first != drawn(made(expected, expected + 1, worst).plot())[0]
    if rank:
        assert f"1 of {expected.size} are wrong" in texts
    if rank > 2:  # the matrix in which the worst entry lies
        assert f"out[{', '.join(str(i) for i in worst[:-2])}], got" in texts


@pytest.mark.parametrize(
    ("expected", "got", "text"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "expected: an array of shape (2, 3)"),
        (np.ones((2, 3)), None, "got: None"),
        (np.ones((2, 3)), "abc", "got: a str"),
        (np.ones((2, 3)), [[1], [2, 3]], "got: a list of 2"),
        (np.ones((0, 3)), np.ones((0, 3)), "no entries"),
        (np.float64(2.0), 3.0, "3"),
        (2.0, np.nan, "nan"),
        (np.inf, -np.inf, "-inf"),
        (np.ones((1, 1, 1)), np.zeros((1, 1, 1)), "got"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "nan"),
        (np.array([1.0, np.inf, np.nan]), np.array([1.0, -np.inf, np.nan]), "-inf"),
        (np.array([1.7e308, -1.7e308]), np.array([-1.7e308, 1.7e308]), "got − expected"),
        (np.zeros(300), np.full(300, np.nan), "nan"),
        (np.arange(4), np.arange(4) > 2, "got"),
        (np.zeros((2, 2)), np.full((2, 2), 1e-320), "got"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_results_are_drawn_or_said(expected, got, text):
    entry = (0,) * np.ndim(expected)
    assert text in drawn(made(expected, got, entry).plot())[1]


def test_numbers_are_drawn_as_bars():
    found, _ = fail("receptive_field", lambda layers: (1, 1))
    texts = drawn(found.plot())[1]
    assert "expected" in texts and found.differs[0].sentence in texts


def test_another_result_can_be_drawn_and_a_wrong_name_is_refused():
    found, _ = fail("linear_backward", F.linear_forward, off_by_one)
    assert "0 of 20 are wrong" in drawn(found.plot("dx"))[1]
    assert "3 of 3 are wrong" in drawn(found.plot("db"))[1]
    with pytest.raises(ValueError, match="result: got 'dv'; needed one of dx, dw, db"):
        found.plot("dv")


def test_what_wrong_implementations_do_can_be_drawn():
    find("adam")
    drawings = 0
    for name in sorted(EXERCISES)[::4]:
        for animal in zoo.animals(name)[:1]:
            exercise = EXERCISES[name]
            failure = diagnose(exercise, zoo.functions_of(animal, exercise)).failure
            pixels, texts = drawn(failure.plot())
            assert len(pixels) and texts
            assert repr(failure)
            drawings += bool(failure.differs)
    assert drawings >= 5


def test_rounding_is_not_drawn_as_a_difference():
    def other_order(dout, cache):
        x, w, _ = cache
        dw = dout.T @ x
        dw = dw * (1 + 1e-13)
        dw[0, 0] += 1
        return dout @ w, dw, dout.sum(axis=0)

    found, _ = fail("linear_backward", F.linear_forward, other_order)
    texts = drawn(found.plot())[1]
    assert "1 of 15 are wrong" in texts and "e-1" not in texts


# --- prints -----------------------------------------------------------------------------------


def test_a_right_answer_prints_once(capfd):
    def linear_forward(x, w, b):
        print("shapes", x.shape, w.shape)
        print("careful", file=sys.stderr)
        sys.stdout.write(f"{b.shape}\n")
        return F.linear_forward(x, w, b)

    check("linear_forward", linear_forward)
    out, err = capfd.readouterr()
    *printed, verdict = out.splitlines()
    assert printed == ["shapes (4, 5) (3, 5)", "(3,)"]
    assert verdict.startswith("✓ linear_forward")
    assert err == "careful\n"


def test_of_a_pair_each_function_prints_once(capfd):
    def forward(x):
        print("forward")
        return F.relu_forward(x)

    def backward(dout, cache):
        print("backward")
        return F.relu_backward(dout, cache)

    check("relu_backward", forward, backward)
    assert capfd.readouterr().out.splitlines()[:-1] == ["forward", "backward"]


def test_where_it_fails_later_the_prints_of_that_case_appear_too(capfd):
    def relu_forward(x):
        print("x is", x.shape)
        print("to stderr", file=sys.stderr)
        assert x.ndim < 4
        return F.relu_forward(x)

    with pytest.raises(ExerciseError, match="relu_forward raises AssertionError"):
        check("relu_forward", relu_forward)
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "x is (4, 5)",
        "Printed on x of shape (2, 3, 4, 5):",
        "x is (2, 3, 4, 5)",
    ]
    assert err.splitlines() == ["to stderr", "to stderr"]


def test_where_it_fails_at_once_nothing_is_printed_twice(capfd):
    def relu_forward(x):
        print("here")
        return x * 2, x

    with pytest.raises(ExerciseError):
        check("relu_forward", relu_forward)
    assert capfd.readouterr().out == "here\n"


def test_odd_ways_to_print_are_no_errors(capfd):
    log = logging.getLogger("learner")
    streams = []

    def relu_forward(x):
        streams.append(sys.stdout)
        log.warning("made %s", x.shape)
        print("ü ∂ \udc80".encode("utf-8", "replace").decode(), flush=True)
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.isatty()
        return F.relu_forward(x)

    check("relu_forward", relu_forward)
    print("late", file=streams[-1])  # a logger may keep the stream
    assert "✓ relu_forward" in capfd.readouterr().out


def test_streams_come_back_whatever_happens():
    before = sys.stdout, sys.stderr

    def interrupted(x):
        if x.ndim == 4:
            raise KeyboardInterrupt
        return F.relu_forward(x)

    with pytest.raises(KeyboardInterrupt):
        check("relu_forward", interrupted)
    assert (sys.stdout, sys.stderr) == before


def test_references_and_the_zoo_print_nothing(capfd):
    for animal in zoo.animals()[::100]:
        exercise = find(animal.exercise)
        diagnose(exercise, zoo.functions_of(animal, exercise), seed=3)
    assert capfd.readouterr() == ("", "")


def test_exercise_errors_are_still_failed_checks():
    assert issubclass(ExerciseError, CheckFailed)


def test_a_picture_of_words_is_shown_by_a_notebook_too():
    """IPython draws no figure that has no axes."""
    assert made(np.zeros((2, 3)), np.zeros(3)).plot().axes


@pytest.mark.parametrize(("shape", "written"), [((5, 4), True), ((5, 7), False), ((3,), True)])
def test_numbers_are_written_where_they_fit(shape, written):
    expected = np.arange(np.prod(shape), dtype=float).reshape(shape)
    worst = (0,) * len(shape)
    _, texts = drawn(made(expected, expected + 1000, worst).plot())
    assert ("1e+03" in texts) == written


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        (1.0, 2.0, ("1", "2")),
        (0.00651812076, 0.00651812173, ("0.00651812076", "0.00651812173")),
        (0.25, 0.25 * (1 + 1e-15), ("0.25", "0.25000000000000028")),
        (float("nan"), 1.0, ("nan", "1")),
    ],
)
def test_two_numbers_that_differ_look_different(expected, got, told):
    assert apart(expected, got) == told
