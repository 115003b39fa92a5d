"""Exercises that nobody has written yet: a notebook goes on with the course's own, grading stops.

What happens in a notebook is tried in a process of its own that has an IPython shell: no other test
should run in one.
"""

import asyncio
import datetime
import os
import subprocess
import sys
import textwrap

import nbformat
import pytest

from coursekit.checks import ExerciseError, NotAttempted, check
from coursekit.checks.exercises import find
from coursekit.grading.environment import notebook_environment

pytest.importorskip("IPython")

# What a notebook holds at first, and `run`, which runs a cell and returns what it printed.
SHELL = """
import contextlib, io
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from coursekit import functional as F
from coursekit.checks import ExerciseError, NotAttempted, check
from coursekit.checks.exercises import EXERCISES, diagnose, find
shell = InteractiveShell.instance()
space = shell.user_ns
shell.push({"np": np, "check": check})

def run(cell):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = shell.run_cell(cell)
    if result.error_in_exec:
        raise result.error_in_exec
    return printed.getvalue()

def stub(name, arguments="*args"):
    return f"def {name}({arguments}):\\n    raise NotImplementedError('your code goes here')\\n"
"""
RELU_FORWARD = """def relu_forward(x):
    return np.maximum(x, 0), {"positive": x > 0}
"""
RELU_BACKWARD = """def relu_backward(dout, cache):
    return dout * cache["positive"]
"""


def in_notebook(script, unsolved=None):
    """Run a script below ``SHELL``; its prints."""
    env = {k: v for k, v in os.environ.items() if k != "COURSEKIT_UNSOLVED"}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    if unsolved is not None:
        env["COURSEKIT_UNSOLVED"] = unsolved
    texts = {"RELU_FORWARD": RELU_FORWARD, "RELU_BACKWARD": RELU_BACKWARD}
    head = SHELL + "".join(f"{name} = {text!r}\n" for name, text in texts.items())
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)],
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- every exercise ---------------------------------------------------------------------------

EVERY = """
find("adam")
mine = {n: e for n, e in EXERCISES.items() if (".port." in e.run.__module__) == torch_lessons}
for name, exercise in mine.items():
    for function in exercise.functions:
        run(stub(function))
    run(f"another_name = {name}")
    if name == "conv2d_function":  # checked as a class's apply, as lesson 4 does
        run("class Ours(torch.autograd.Function):\\n"
            "    @staticmethod\\n"
            "    def forward(ctx, x, w, b, stride, padding):\\n"
            "        raise NotImplementedError('your code goes here')\\n")
        line = run("check('conv2d_function', Ours.apply)")
        run("conv2d_function = another_name = Ours.apply")
    else:
        line = run(f"check({name!r}, {', '.join(exercise.functions)})")
    assert line.count("\\n") == 1 and line.startswith(f"· {name}: "), line
    assert "not written yet" in line and "the course's own" in line, line
    functions = tuple(space[function] for function in exercise.functions)
    assert functions == exercise.reference, (name, functions)
    assert space["another_name"] == exercise.reference[-1]
    assert diagnose(exercise, functions).message == ""
print(len(mine))
"""


def test_every_exercise_of_the_numpy_lessons_goes_on():
    assert int(in_notebook("torch_lessons = False\n" + EVERY)) >= 40


def test_every_exercise_of_the_torch_lessons_goes_on():
    pytest.importorskip("torch")
    start = "import torch, coursekit.port\nspace['torch'] = torch\ntorch_lessons = True\n"
    assert int(in_notebook(start + EVERY)) >= 27


# --- one notebook -----------------------------------------------------------------------------


def test_one_quiet_line_and_later_cells_work():
    out = in_notebook(
        """
        run(stub("relu_forward") + stub("relu_backward"))
        print(run("check('relu_forward', relu_forward)"), end="")
        print(run("check('relu_backward', relu_forward, relu_backward)"), end="")
        print(run("print(relu_backward(np.ones(3), relu_forward(np.arange(-1.0, 2.0))[1]))"))
        """
    )
    assert out.splitlines()[:3] == [
        "· relu_forward: not written yet; the lesson goes on with the course's own",
        "· relu_backward: needs relu_forward, which is not written yet; "
        "the lesson goes on with the course's own relu_forward and relu_backward",
        "[0. 0. 1.]",
    ]


def test_of_a_pair_both_are_replaced_and_both_come_back():
    in_notebook(
        """
        run(RELU_FORWARD + stub("relu_backward") + "mine = relu_forward")
        assert run("check('relu_forward', relu_forward)").startswith("✓")
        line = run("check('relu_backward', relu_forward, relu_backward)")
        assert line == (
            "· relu_backward: not written yet; the lesson goes on with the course's own "
            "relu_forward and relu_backward\\n"
        )
        assert space["relu_forward"] is space["mine"] is F.relu_forward
        assert space["relu_backward"] is F.relu_backward
        # Written now, and only this cell is run again: its forward is the learner's, not ours.
        run(RELU_BACKWARD)
        assert run("check('relu_backward', relu_forward, relu_backward)").startswith("✓")
        assert space["relu_forward"] is space["mine"] is not F.relu_forward
        assert space["relu_backward"] is not F.relu_backward
        """
    )


def test_a_stand_in_never_passes_for_the_learners_work():
    in_notebook(
        """
        run(stub("kaiming_normal"))
        first = run("check('kaiming_normal', kaiming_normal)")
        again = run("check('kaiming_normal', kaiming_normal)")
        assert first == again and first.startswith("· kaiming_normal: not written yet")
        run("def kaiming_normal(fan_in, fan_out, rng):\\n"
            "    return rng.standard_normal((fan_out, fan_in)) * np.sqrt(2 / fan_in)\\n")
        assert run("check('kaiming_normal', kaiming_normal)").startswith("✓")
        # Wrong is wrong, and what is bound stays bound.
        run("def kaiming_normal(fan_in, fan_out, rng):\\n"
            "    return rng.standard_normal((fan_out, fan_in))\\n"
            "mine = kaiming_normal\\n")
        try:
            run("check('kaiming_normal', kaiming_normal)")
        except NotAttempted:
            raise AssertionError("it is written") from None
        except ExerciseError as error:
            assert str(error).startswith("✗ kaiming_normal")
        else:
            raise AssertionError("it is wrong")
        assert space["kaiming_normal"] is space["mine"]
        """
    )


def test_a_dependency_that_is_unwritten_is_named_and_the_notebook_goes_on():
    in_notebook(
        """
        run(stub("linear_forward") + "def mlp_loss(x, y, weights, biases):\\n"
            "    return linear_forward(x, weights[0], biases[0])\\n")
        line = run("check('mlp_loss', mlp_loss)")
        assert line == (
            "· mlp_loss: needs linear_forward, which is not written yet; "
            "the lesson goes on with the course's own\\n"
        ), line
        assert diagnose(find("mlp_loss"), (space["mlp_loss"],)).message == ""
        """
    )


def test_calls_by_global_name_reach_the_stand_in():
    in_notebook(
        """
        run(stub("rmsprop") + "def later():\\n"
            "    return rmsprop(np.ones(2), np.ones(2), np.zeros(2), 0.1, 0.9, 1e-8)\\n")
        run("check('rmsprop', rmsprop)")
        assert len(run("print(later())")) > 5
        """
    )


def test_what_no_variable_holds_cannot_be_replaced_and_that_is_said():
    in_notebook(
        """
        run(stub("inner"))
        line = run("check('rmsprop', lambda *args: inner(*args))")
        assert line == (
            "· rmsprop: not written yet; no variable holds it, so nothing can take its place\\n"
        ), line
        """
    )


def test_outputs_that_ipython_keeps_are_left_alone():
    in_notebook(
        """
        run(stub("rmsprop"))
        space["_"] = space["_7"] = space["rmsprop"]
        run("check('rmsprop', rmsprop)")
        assert space["_"] is space["_7"] is not space["rmsprop"]
        """
    )


def test_in_a_notebook_that_is_graded_it_raises():
    script = """
        run(stub("rmsprop"))
        before = space["rmsprop"]
        try:
            run("check('rmsprop', rmsprop)")
        except NotAttempted as error:
            assert str(error) == "rmsprop: not implemented yet"
            assert space["rmsprop"] is before
            print("raised")
        """
    assert in_notebook(script, unsolved="fail") == "raised\n"
    assert in_notebook(script, unsolved="lend") == ""


def test_a_torch_function_half_written_counts_as_unwritten():
    pytest.importorskip("torch")
    in_notebook(
        """
        import torch, coursekit.port
        space["torch"], space["F"] = torch, F
        half = '''
        class OurConv2d(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, w, b, stride, padding):
                return torch.tensor(F.conv2d_forward(x.numpy(), w.numpy(), b.numpy(), stride,
                                                     padding)[0])
            @staticmethod
            def backward(ctx, dout):
                raise NotImplementedError("your code goes here")
        '''
        import textwrap
        run(textwrap.dedent(half))
        own = space["OurConv2d"]
        assert run("check('conv2d_function', OurConv2d.apply)").startswith("· conv2d_function")
        assert space["OurConv2d"] is not own
        run("check('conv2d_function', OurConv2d.apply)")
        x = torch.ones(1, 1, 3, 3, requires_grad=True)
        space["OurConv2d"].apply(x, x.detach(), torch.zeros(1), 1, 0).backward()
        assert x.grad is not None
        """
    )


# --- scripts, pytest, the grader ----------------------------------------------------------------


def unwritten(*args):
    raise NotImplementedError("your code goes here")


def test_in_a_script_it_raises_a_kind_of_its_own(monkeypatch):
    monkeypatch.delenv("COURSEKIT_UNSOLVED")
    with pytest.raises(NotAttempted, match="^adam: not implemented yet$") as failure:
        check("adam", unwritten)
    assert isinstance(failure.value, ExerciseError)


def test_a_script_does_not_import_ipython_for_it():
    code = (
        "import sys\nfrom coursekit.checks import check\nfrom coursekit.checks import references_fc"
    )
    code += "\ncheck('adam', references_fc.adam)\nassert 'IPython' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_is_wrong_is_not_called_unwritten():
    """Only the ordinary case says that nothing is there yet; and a library's complaint is none."""

    def only_training(*args):
        if not args[5]:
            raise NotImplementedError
        return find("batch_norm_forward").reference[0](*args)

    def asks_c_code(x):
        return datetime.tzinfo().utcoffset(None), x

    def asks_a_library(x):
        return asyncio.AbstractEventLoop().is_running(), x

    for name, function, text in (
        ("batch_norm_forward", only_training, "batch_norm_forward raises NotImplementedError"),
        ("relu_forward", asks_c_code, "relu_forward raises NotImplementedError: a tzinfo"),
        ("relu_forward", asks_a_library, "relu_forward raises NotImplementedError"),
    ):
        with pytest.raises(ExerciseError) as failure:
            check(name, function)
        assert not isinstance(failure.value, NotAttempted)
        assert text in str(failure.value)


def test_pytest_and_the_grader_say_that_unwritten_is_a_failure(tmp_path):
    assert notebook_environment(budget="quick", data="bundled", base={})["COURSEKIT_UNSOLVED"] == (
        "fail"
    )
    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell(
        "from coursekit.checks import check\n"
        "def adam(*args):\n    raise NotImplementedError\n"
        "check('adam', adam)"
    )
    cell.metadata.tags = ["exercise:adam"]
    notebook.cells = [cell]
    nbformat.write(notebook, tmp_path / "one.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "COURSEKIT_UNSOLVED"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"),
            *("-p", "coursekit.grading.plugin", "-p", "no:cacheprovider", "one.ipynb"),
        ],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NotAttempted: adam: not implemented yet" in done.stdout
