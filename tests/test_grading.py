"""Exercises under pytest and under the grader: who fails, what is skipped, and what it says."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

from coursekit.grading import __main__ as cli
from coursekit.grading.environment import notebook_environment
from coursekit.grading.grade import grade
from coursekit.grading.plugin import headline
from coursekit.grading.report import shown
from coursekit.grading.slicing import needed, statements

ROOT = Path(__file__).resolve().parents[1]


def run_nbval(project, notebook, *options):
    """Run a plain `pytest --nbval` in `project`; return [(test, verdict, properties)] and the text.

    A verdict is "passed", "failed", "error" or "skipped".
    """
    report = project / f"{notebook.parent.name}.xml"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider"),
            *(str(notebook), f"--junitxml={report}", *options),
        ],
        cwd=project,
        env=notebook_environment(budget="quick", data="bundled") | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    verdicts = []
    for case in ET.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        verdict = {"failure": "failed"}.get(kinds[0], kinds[0]) if kinds else "passed"
        properties = [(p.get("name"), p.get("value")) for p in case.iter("property")]
        verdicts.append((case.get("name"), verdict, properties))
    return verdicts, run.stdout


def names(verdicts, wanted):
    """The exercises whose tests ended as `wanted`."""
    return [name.partition(" exercise ")[2] for name, v, _ in verdicts if v == wanted]


def edited(source, target, edits):
    """Copy the notebook `source` to `target` with ``edits[cell id]`` applied; None deletes."""
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [c for c in notebook.cells if edits.get(c.id, "") is not None]
    for cell in notebook.cells:
        cell.source = edits.get(cell.id, cell.source)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    return target


@pytest.fixture(scope="session")
def unsolved(sample):
    """The handed-out notebook."""
    return sample / "exercises" / "sample_lesson.ipynb"


@pytest.fixture(scope="session")
def run_of_unsolved(sample, unsolved):
    """What a plain run makes of it."""
    return run_nbval(sample, unsolved)


# -------------------------------------------------------------------------------- under pytest


def test_solved_notebook_passes_strictly(sample):
    verdicts, text = run_nbval(sample, sample / "notebooks" / "sample_lesson.ipynb")
    assert {verdict for _, verdict, _ in verdicts} == {"passed"}, text
    assert len(verdicts) == 11


def test_unsolved_notebook_fails_once_an_exercise_and_nowhere_else(run_of_unsolved):
    verdicts, text = run_of_unsolved
    assert names(verdicts, "failed") == ["double", "square"], text
    assert len(names(verdicts, "skipped")) == 1
    assert len(names(verdicts, "passed")) == 8


def test_failures_and_skips_say_why(run_of_unsolved):
    _, text = run_of_unsolved
    summary = [line for line in text.splitlines() if line.startswith("FAILED")]
    assert len(summary) == 2
    assert "exercise double" in summary[0]
    lines = text.splitlines()
    for name in ("double", "square"):
        assert f"ExerciseError: {name}: not implemented yet" in lines  # first in its report
    if pytest.version_tuple >= (9,):  # older ones leave the message out of their summary
        assert summary[0].endswith("- ExerciseError: double: not implemented yet")


def test_junit_names_the_exercise(run_of_unsolved):
    verdicts, _ = run_of_unsolved
    properties = [pair for _, _, pairs in verdicts for pair in pairs]
    assert properties == [("exercise", "double"), ("exercise", "square")]


def test_half_solved_runs_what_needs_the_solved_half(sample, unsolved):
    """Also: a print in a right answer is no failure, a check that lacks its stored line is one."""
    edits = {
        "def-double-x": "def double(x):\n    print('called')\n    return x + x\n\n\nprint('done')",
        "check-square": "print('square: fine')",
    }
    half = edited(unsolved, sample / "half" / "l.ipynb", edits)
    notebook = nbformat.read(half, 4)
    for cell in notebook.cells:
        cell.execution_count = 1 if cell.cell_type == "code" else None
        if cell.id in ("check-double", "check-square"):
            line = f"{cell.id.removeprefix('check-')}: all good\n"
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=line)]
        elif "needs:double" in cell.metadata.get("tags", []):
            cell.outputs = []  # as in the exercise edition, whatever the sample was built with
        if cell.cell_type == "markdown":
            del cell["execution_count"]
    nbformat.write(notebook, half)
    verdicts, text = run_nbval(sample, half)
    assert names(verdicts, "failed") == ["square"], text
    assert names(verdicts, "skipped") == []
    assert "the check printed something other than the reference" in text.splitlines()
    assert "not printed: square: all good" in text


@pytest.mark.slow
def test_workers_keep_a_notebook_together(sample, unsolved):
    pytest.importorskip("xdist")
    verdicts, text = run_nbval(sample, unsolved, "-n", "2")
    assert sorted(names(verdicts, "failed")) == ["double", "square"], text
    assert len(names(verdicts, "skipped")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "exercises").glob("*.ipynb")))
def test_unsolved_exercises_fail_exactly_where_declared(name, sample):
    """Solved, they are notebooks/'s cells (tests/test_notebooks.py), which nbval runs."""
    path = ROOT / "exercises" / name
    copy = edited(path, sample / path.stem / path.name, {})
    verdicts, text = run_nbval(sample, copy)
    tags = [tag for cell in nbformat.read(path, 4).cells for tag in cell.metadata.get("tags", [])]
    declared = [tag.partition(":")[2] for tag in tags if tag.startswith("exercise:")]
    assert names(verdicts, "failed") == declared, text
    assert names(verdicts, "error") == [], text


def error(name, value):
    """An error as a kernel reports it."""
    return nbformat.v4.new_output("error", ename=name, evalue=value, traceback=[])


RAISED = "\x1b[91mNotebook cell execution failed\x1b[0m\nCell 3: Cell execution caused an exception"


@pytest.mark.parametrize(
    ("text", "outputs", "line"),
    [
        (RAISED, [error("ExerciseError", "relu: no\n  at x = 1")], "ExerciseError: relu: no"),
        (RAISED, [error("AssertionError", "")], "AssertionError"),
        ("Cell 3: Cell outputs differ", [], "the check printed something other than the reference"),
        (
            "Cell 3: Timeout of 3 seconds exceeded executing cell",
            [error("KeyboardInterrupt", "")],
            "Timeout of 3 seconds exceeded executing cell",
        ),
        ("pytest plugin exception: Kernel dead", None, "pytest plugin exception: Kernel dead"),
        ("", None, "failed"),
    ],
)
def test_headline_is_the_line_that_matters(text, outputs, line):
    assert headline(text, outputs) == line


# -------------------------------------------------------------------------------- environment


def test_environment_is_set_where_it_is_not_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = notebook_environment(budget="quick", data="bundled", base={"OMP_NUM_THREADS": "2"})
    assert env["COURSEKIT_BUDGET"] == "quick" and env["COURSEKIT_DATA"] == "bundled"
    assert env["COURSEKIT_PROGRESS"] == "off"
    assert env["OMP_NUM_THREADS"] == "2" and env["OPENBLAS_NUM_THREADS"] == "1"
    given = {"COURSEKIT_DATA": "my data", "COURSEKIT_BUDGET": "full"}
    env = notebook_environment(budget="quick", data="bundled", base=given)
    # Kernels run in the notebook's folder, where a relative path would mean another place.
    assert env["COURSEKIT_DATA"] == os.path.join(os.getcwd(), "my data")
    assert env["COURSEKIT_BUDGET"] == "full"
    env = notebook_environment(budget="quick", data="bundled", base={"COURSEKIT_DATA": ""})
    assert env["COURSEKIT_DATA"] == "bundled"


def test_every_data_set_that_has_a_name_keeps_it():
    """A name that the environment does not know would be taken for a folder."""
    from coursekit.data import loading

    for name in loading.NAMES:
        env = notebook_environment(budget="quick", data=name, base={})
        assert env["COURSEKIT_DATA"] == name


def test_kernels_import_the_coursekit_of_the_tests(tmp_path):
    """Here the tree's or an installed one, in both the same."""
    import coursekit

    where = "import coursekit; print(coursekit.__file__)"
    env = notebook_environment(budget="quick", data="bundled")
    run = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert run.stdout.strip() == coursekit.__file__, run.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("import no_such_module", "No module named 'no_such_module'"), ("", "no tests ran")],
)
def test_a_file_without_tests_is_reported_as_without_the_plugin(tmp_path, text, says):
    (tmp_path / "test_it.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert says in run.stdout
    assert "INTERNALERROR" not in run.stdout


# -------------------------------------------------------------------------------- the grader

HEAD = """\
import numpy as np

from coursekit.checks import check"""
TEXT = "### Exercise: {name}\nDifficulty 2/5 · importance 5/5 · {minutes} minutes"
FORWARD = "def relu_forward(x):\n    return np.maximum(x, 0), x"
BACKWARD = "def relu_backward(dout, x):\n    return dout * (x > 0)"
STUB = 'def {name}({arguments}):\n    raise NotImplementedError("{name}: your code goes here")'
MOMENTUM = (
    "def sgd_momentum(w, g, v, lr, momentum):\n    v = momentum * v + g\n    return w - lr * v, v"
)
CHECK_FORWARD = 'check("relu_forward", relu_forward)'
CHECK_BACKWARD = 'check("relu_backward", relu_forward, relu_backward)'
CHECK_MOMENTUM = 'check("sgd_momentum", sgd_momentum)'


def written(path, *cells):
    """Write a notebook: text begins with #, a pair (code, exercise) is a check, else it is code."""
    made = []
    for cell in cells:
        if isinstance(cell, tuple):
            tags = {"tags": [f"exercise:{cell[1]}"]}
            made.append(nbformat.v4.new_code_cell(cell[0], metadata=tags))
        elif cell.startswith("#"):
            made.append(nbformat.v4.new_markdown_cell(cell))
        else:
            made.append(nbformat.v4.new_code_cell(cell))
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def outcomes(verdicts):
    return {verdict.exercise: verdict.outcome for verdict in verdicts}


def test_grader_on_the_unsolved_notebook(unsolved):
    verdicts = grade(unsolved)
    assert outcomes(verdicts) == {"double": "not attempted", "square": "not attempted"}
    assert verdicts[0].message == "double: not implemented yet"
    assert (verdicts[1].difficulty, verdicts[1].importance, verdicts[1].minutes) == (1, 4, 2)


def test_grader_with_a_reference_trusts_only_its_checks(unsolved, tmp_path, capsys):
    """A check that is gone, and a wrong answer, from a module, whose check was made to pass."""
    edits = {
        "check-double": None,
        "def-square-x": "from mine import square",
        "check-square": "print('square: all good')",
    }
    learner = edited(unsolved, tmp_path / "mine.ipynb", edits)
    (tmp_path / "mine.py").write_text("def square(x):\n    return x + x\n", encoding="utf-8")
    report = tmp_path / "report.json"
    arguments = [str(learner), "--reference", str(unsolved), "--json", str(report)]
    assert cli.main(arguments) == 1
    assert "0 of 2 exercises passed" in capsys.readouterr().out
    (entry,) = json.loads(report.read_text(encoding="utf-8"))
    assert entry["score"] == 0 and entry["of"] == 2 and entry["next"] == "double"
    outcomes = {e["exercise"]: (e["outcome"], e["message"]) for e in entry["exercises"]}
    assert outcomes["double"] == ("not attempted", "double: not implemented yet")
    assert outcomes["square"] == ("wrong", "square: expected 9, got 6")


def test_grader_passes_right_answers(sample, unsolved):
    """The solved notebook, judged by the checks of the one handed out."""
    verdicts = grade(sample / "notebooks" / "sample_lesson.ipynb", unsolved)
    assert outcomes(verdicts) == {"double": "passed", "square": "passed"}


def test_grader_compares_what_the_checks_print(unsolved, tmp_path):
    """Where the reference stores it: one's own function in the place of check earns nothing."""
    reference = nbformat.read(unsolved, 4)
    for cell in reference.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("exercise:"):
                text = f"{tag.partition(':')[2]}: all good\n"
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    nbformat.write(reference, tmp_path / "handed out.ipynb")
    edits = {
        "def-double-x": "def double(x):\n    print('here')\n    return 2 * x",
        "def-square-x": "def square(x): ...\n\n\ndef check(*_): print('fine')",
    }
    mine = edited(unsolved, tmp_path / "mine.ipynb", edits)
    verdicts = grade(mine, tmp_path / "handed out.ipynb")
    assert outcomes(verdicts) == {"double": "passed", "square": "wrong"}
    assert verdicts[1].message == "the check printed something other than the reference"


def test_each_way_to_fail_has_its_own_word(tmp_path, capsys):
    """In one notebook: its table, its parts, its minutes, what depends on what."""
    path = written(
        tmp_path / "a.ipynb",
        HEAD,
        TEXT.format(name="relu", minutes=5),
        FORWARD + "\n\n\n" + BACKWARD.replace("x > 0", "x >= 0"),
        (CHECK_FORWARD + "\n" + CHECK_BACKWARD, "relu"),
        TEXT.format(name="softmax", minutes=15),
        STUB.format(name="softmax_cross_entropy", arguments="logits, targets"),
        ('check("softmax_cross_entropy", softmax_cross_entropy)', "softmax"),
        TEXT.format(name="two_layer", minutes=25),
        "def two_layer_loss(x, y, w1, b1, w2, b2, weight_decay):\n"
        "    return softmax_cross_entropy(x @ w1.T @ w2.T, y)",
        ('check("two_layer_loss", two_layer_loss)', "two_layer"),
        TEXT.format(name="momentum", minutes=7),
        "rate = 1\n\ndef sgd_momentum(w, g, v, lr, momentum:\n    return w, v",
        (CHECK_MOMENTUM, "momentum"),
        TEXT.format(name="adam", minutes=9),
        ('check("adam", adam)', "adam"),
        "from nowhere_to_be_found import rmsprop",
        ('check("rmsprop", rmsprop)', "rmsprop"),
        "import sys\nsys.path.append('.')\nbroken = 1 / 0\n\n\ndef lsuv(weights, x):\n"
        "    return [w / broken for w in weights]",
        ('check("lsuv", lsuv)', "lsuv"),
    )
    assert cli.main([str(path), "--json", str(tmp_path / "a.json")]) == 1
    (entry,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    found = {e["exercise"]: e for e in entry["exercises"]}
    assert {name: e["outcome"] for name, e in found.items()} == {
        "relu": "wrong",
        "softmax": "not attempted",
        "two_layer": "could not run",
        "momentum": "could not run",
        "adam": "could not run",
        "rmsprop": "could not run",
        "lsuv": "could not run",
    }
    assert [part["outcome"] for part in found["relu"]["parts"]] == ["passed", "wrong"]
    assert "  this looks like: " in found["relu"]["message"]
    assert found["two_layer"]["message"] == "it uses softmax, which is not written yet"
    assert found["two_layer"]["needs"] == ["softmax"]
    says = found["momentum"]["message"]
    assert says.startswith("SyntaxError: line 3 of the cell: '(' was never closed\n"), says
    assert found["adam"]["message"].startswith("NameError: ")
    assert "name 'adam' is not defined" in found["adam"]["message"]
    assert "ModuleNotFoundError" in found["rmsprop"]["message"]
    assert found["lsuv"]["message"].startswith("ZeroDivisionError: line 3 of the cell: ")
    assert entry["minutes_left"] == 61 and entry["next"] == "relu"
    text = capsys.readouterr().out
    assert "  relu       wrong          1 of 2 parts\n      ✗ relu_backward: " in text
    assert "\n        this looks like: " in text
    assert "  softmax    not attempted  15 minutes\n  two_layer " in text
    assert "0 of 7 exercises passed; about 61 minutes left by the lesson's own estimates" in text
    assert "next: relu (difficulty 2/5, 5 minutes)" in text
    assert "\x1b" not in text


def test_only_what_a_check_depends_on_runs(tmp_path):
    """Not trainings, questions or trials; but helpers, modules, magics and state that it needs."""
    (tmp_path / "mine.py").write_text(BACKWARD.replace("relu_", "my_") + "\n", encoding="utf-8")
    (tmp_path / "random.py").write_text("raise SystemExit\n", encoding="utf-8")
    path = written(
        tmp_path / "a.ipynb",
        HEAD,
        "while True: pass",
        "name = input('who? ')",
        "%timeit -n 1 while True: pass",
        "!sleep 100",
        "%%bash\nsleep 100",
        "%%time\nlimits = {}",
        "def register(function):\n    limits['low'] = 0\n    return function",
        "limits['low'] = 5\nimport sys; sys.exit('enough')",
        "@register\ndef relu_forward(x):\n    for _ in range(100):\n        print('x' * 1_000)\n"
        "    return np.maximum(x, limits['low']), x\n\nwhile True:\n    relu_forward(np.ones(3))",
        "from mine import my_backward as relu_backward",
        (CHECK_FORWARD + "\n" + CHECK_BACKWARD, "relu"),
        "from mine import nothing",
        "await forever()",
        "limits['low'] = 7",
        "def sgd_momentum(:",
        "momentum_of_mine = lambda *a: a",
        MOMENTUM,
        (CHECK_MOMENTUM, "momentum"),
        "import os\nos._exit(1)",
    )
    clock = time.perf_counter()
    assert outcomes(grade(path, cell_seconds=40)) == {"relu": "passed", "momentum": "passed"}
    assert time.perf_counter() - clock < 40


def test_what_runs_away_costs_its_own_exercise_alone(tmp_path):
    path = written(
        tmp_path / "a.ipynb",
        HEAD,
        "def sgd_momentum(w, g, v, lr, momentum):\n    while True: pass",
        (CHECK_MOMENTUM, "momentum"),
        "def adam(*given):\n    return sgd_momentum(*given)",
        ('check("adam", adam)', "adam"),
        "import os, sys\n\n\ndef rmsprop(w, g, s, lr, alpha, eps):\n    os._exit(3)",
        ('check("rmsprop", rmsprop)', "rmsprop"),
        "def lsuv(weights, x):\n    sys.exit()",
        ('check("lsuv", lsuv)', "lsuv"),
        "SIZE = int(input())\n\n\ndef kaiming_normal(fan_in, fan_out, rng):\n    return SIZE",
        ('check("kaiming_normal", kaiming_normal)', "kaiming_normal"),
        "table = [quit()]\n\n\ndef im2col(*given):\n    return table",
        ('check("im2col", im2col)', "im2col"),
        FORWARD,
        (CHECK_FORWARD, "relu"),
    )
    found = {v.exercise: v for v in grade(path, cell_seconds=8)}
    assert found["relu"].outcome == "passed"
    assert {v.outcome for v in found.values()} == {"passed", "could not run"}
    assert found["momentum"].message.startswith("Timeout: not finished after 8 seconds")
    assert found["adam"].message.startswith("not tried: it uses momentum, which did not finish")
    assert found["rmsprop"].message.startswith("KernelDied: ")
    assert found["lsuv"].message.startswith("SystemExit")
    assert found["kaiming_normal"].message.startswith(
        "StdinNotImplementedError: line 1 of the cell"
    )
    assert found["im2col"].message.startswith("KernelDied: ")


def test_the_last_definition_counts_even_below_the_check(tmp_path):
    """As in Jupyter, where the check is simply run again."""
    stub = STUB.format(name="relu_forward", arguments="x")
    path = written(
        tmp_path / "a.ipynb",
        HEAD,
        "def sgd_momentum(*given): ...",
        MOMENTUM,
        (CHECK_MOMENTUM, "momentum"),
        stub,
        (CHECK_FORWARD, "relu"),
        FORWARD.replace("maximum", "minimum"),
        "# and the check once more, copied with its tag",
        FORWARD,
        (CHECK_FORWARD, "relu"),
        'def rmsprop(*given):\n    raise NotImplementedError("rmsprop: your code goes here")',
        ('check("rmsprop", rmsprop)', "rmsprop"),
        "def rmsprop(w, g, s, lr, alpha, eps):\n    s = alpha * s + (1 - alpha) * g**2\n"
        "    return w - lr * g / (np.sqrt(s) + eps), s",
    )
    verdicts = grade(path)
    assert {v.outcome for v in verdicts} == {"passed"}, verdicts
    assert [len(v.parts) for v in verdicts] == [1, 1, 1]
    assert [v.message.partition(";")[0] for v in verdicts] == [
        *("", "", "with the definition below its check")
    ]


def test_a_check_that_no_longer_checks_passes_nobody(tmp_path):
    """Its name taken by a helper, its cell emptied, broken or gone: each is said."""
    path = written(
        tmp_path / "a.ipynb",
        HEAD,
        "def check(a, b):\n    return True",
        "def relu_forward(x): ...",
        (CHECK_FORWARD, "relu"),
        ("", "empty"),
        ("check('adam', adam", "broken"),
        ("assert 1 + 1 == 3", "plain"),
        TEXT.format(name="sgd_momentum", minutes=5),
        MOMENTUM,
    )
    found = {v.exercise: v for v in grade(path)}
    assert "redefines" in found["relu"].message
    assert found["empty"].message == "its check cell is empty"
    assert found["broken"].message.startswith("SyntaxError: line 1 of the cell: '(' was never")
    assert "its check cell is gone" in found["sgd_momentum"].message
    assert found["plain"].outcome == "wrong"
    assert {v.outcome for v in found.values()} == {"could not run", "wrong"}


def test_with_a_reference_a_lost_check_is_put_back_where_it_belongs(tmp_path):
    """Below the answer, and above a later use of the name for something else."""
    cells = [HEAD, FORWARD, (CHECK_FORWARD, "relu"), MOMENTUM, (CHECK_MOMENTUM, "momentum")]
    handed_out = written(tmp_path / "a.ipynb", *cells)
    mine = written(tmp_path / "b.ipynb", HEAD, FORWARD, MOMENTUM, "relu_forward = sgd_momentum = 0")
    verdicts = grade(mine, handed_out)
    assert outcomes(verdicts) == {"relu": "passed", "momentum": "passed"}


def test_damaged_and_foreign_notebooks_end_only_themselves(tmp_path, capsys):
    """And versions, marks and metadata that are merely unusual are read."""
    texts = {
        "damaged": "{",
        "empty": "",
        "nothing": "{}",
        "list": "[]",
        "future": '{"nbformat": 9, "nbformat_minor": 0, "cells": [], "metadata": {}}',
        "cell-less": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        "odd-cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}',
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.ipynb").write_text(text, encoding="utf-8")
    (tmp_path / "bytes.ipynb").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.ipynb").mkdir()
    written(tmp_path / "foreign.ipynb", "# Text alone")
    bad = [*texts, "bytes", "folder", "nowhere", "foreign"]
    old = {
        **{"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}},
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": text,
                        "language": "python",
                        "outputs": [],
                        **more,
                    }
                    for text, more in [
                        ("(" * 5000 + ")" * 5000, {}),
                        ("'\ud800' + '\x00'", {}),
                        (HEAD, {"metadata": {"tags": None}}),
                        (FORWARD, {}),
                        (CHECK_FORWARD, {"metadata": {"tags": [7, "exercise:relu"]}}),
                    ]
                ]
            }
        ],
    }
    (tmp_path / "old.ipynb").write_text(
        "\ufeff" + json.dumps(old, indent=1).replace("\n", "\r\n"), encoding="utf-8"
    )
    paths = [str(tmp_path / f"{name}.ipynb") for name in [*bad[:3], "old", *bad[3:]]]
    assert cli.main([*paths, "--json", str(tmp_path / "all.json")]) == 2
    text = capsys.readouterr().out
    assert text.count("could not be graded: ") == len(bad)
    assert text.count("not a readable notebook") == len(bad) - 1, text
    assert text.count("no cell is tagged exercise:NAME") == 1
    assert "old.ipynb\n  relu  passed\n  1 of 1 exercises passed" in text
    entries = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [bool(e["error"]) for e in entries] == [True] * 3 + [False] + [True] * (len(bad) - 3)


def run_cli(*arguments, setup="", **environment):
    """Run the grader as a program, behind some lines of Python."""
    program = f"import sys\n{setup}\nfrom coursekit.grading.__main__ import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=notebook_environment(budget="quick", data="bundled") | environment,
        capture_output=True,
    )


def test_no_terminal_and_no_pytest_is_too_poor(tmp_path):
    wrong = written(
        tmp_path / "größe.ipynb", HEAD, FORWARD.replace("0)", "1)"), (CHECK_FORWARD, "relu")
    )
    setup = "sys.modules['pytest'] = sys.modules['nbval'] = None"
    run = run_cli(wrong, setup=setup, PYTHONIOENCODING="ascii")
    assert run.returncode == 1, run.stderr.decode()
    assert b"      FAILED relu_forward: " in run.stdout and b"gr??e.ipynb" in run.stdout
    assert b"\x1b" not in run.stdout and not run.stderr


def test_what_is_missing_is_said_in_one_line(tmp_path):
    setup = "sys.modules['nbclient'] = sys.modules['ipykernel'] = None"
    run = run_cli(tmp_path / "a.ipynb", setup=setup)
    assert run.returncode == 2 and not run.stdout
    (line,) = run.stderr.decode().splitlines()
    assert line.endswith("python -m pip install nbclient ipykernel")


def test_help_shows_how(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and "exit code: 0 if" in text
    assert text.count("\n  python -m coursekit.grading ") == 2


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_itself_is_a_notebook_that_cannot_be_read(tmp_path):
    loop, report = tmp_path / "loop.ipynb", tmp_path / "report.json"
    loop.symlink_to(loop)
    assert cli.main([str(loop), "--json", str(report)]) == 2
    assert "not a readable notebook" in json.loads(report.read_text(encoding="utf-8"))[0]["error"]


@pytest.mark.parametrize("name", ["a.ipynb", "handed_out.ipynb", "nowhere/report.json"])
def test_a_report_overwrites_no_notebook_and_needs_a_folder(tmp_path, name, capsys):
    notebook, reference = str(tmp_path / "a.ipynb"), str(tmp_path / "handed_out.ipynb")
    with pytest.raises(SystemExit) as end:
        cli.main([notebook, "--reference", reference, "--json", str(tmp_path / name)])
    assert end.value.code == 2 and "--json: got " in capsys.readouterr().err


def test_a_report_is_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.json").write_text("before", encoding="utf-8")
    arguments = [str(tmp_path / "nowhere.ipynb"), "--json", str(tmp_path / "a.json")]
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError("no space left")

        patch.setattr(os, "replace", full)
        assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert "could not be written: no space left" in told.err and "nowhere.ipynb" in told.out
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "before"
    # Written before anything is printed, so that no trouble with the output costs it.
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(AttributeError):
        cli.main(arguments)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))[0]["error"]


def test_shown_replaces_what_an_encoding_lacks():
    assert shown("✓ größer · 3 × 3", "utf-8") == "✓ größer · 3 × 3"
    assert shown("✗ größer · 3 × 3 …", "ascii") == "FAILED gr??er - 3 x 3 ?"
    assert shown("✓ größer", "cp1252") == "OK größer"


EXERCISES = sorted(p.name for p in (ROOT / "exercises").glob("*.ipynb"))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name[:2] != "01")) for name in EXERCISES],
)
def test_the_lessons_are_graded_unsolved_and_solved(name):
    """Unsolved nothing is attempted; solved, with the checks as handed out, everything passes."""
    if name[:2] in ("04", "05", "06"):
        pytest.importorskip("torch")
    handed_out = ROOT / "exercises" / name
    unsolved, solved = grade(handed_out), grade(ROOT / "notebooks" / name, handed_out)
    assert {v.outcome for v in unsolved} == {"not attempted"}, unsolved
    assert {v.outcome for v in solved} == {"passed"}, solved
    assert [v.exercise for v in unsolved] == [v.exercise for v in solved]
    assert all(v.minutes and v.difficulty and v.importance for v in unsolved)


# -------------------------------------------------------------------------------- slicing


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        ("helper = 3", True),
        ("def unrelated(): helper", False),
        ("for i in range(3):\n    helper = i", True),
        ("helper.append(3)", True),
        ("helper['low'] = 3", True),
        ("fill(second)", True),
        ("fill(helper)", False),
        ("helper(second)", True),
        ("answer(3)", False),
        ("print(helper)", False),
        ("total = train(helper)", False),
        ("second = 1", True),
        ("np.random.seed(3)", True),
        ("np.seterr(all='raise')", True),
        ("np.show(figure)", False),
        ("sys.path.insert(0, place)", True),
        ("exec('helper = 3')", True),
        ("%run helpers.py", True),
        ("%load_ext autoreload", True),
        ("%time helper = 3", True),
        ("%%time\nhelper = 3", True),
        ("%timeit helper", False),
        ("%%html\n<b>", False),
        ("files = !ls", False),
        ("helper = await something()", True),
        ("%%writefile mine.py\ndef helper(): ...", True),
        ("import pandas", True),
        ("helper: int = 3", True),
        ("(helper := 3)", True),
        ("def helper(:", True),
        ("def other(:", False),
    ],
)
def test_what_is_needed_of_a_cell(source, taken):
    """By a check of `answer`, which uses `helper`, which uses `second`."""
    around = "import sys\nimport numpy as np\ndef answer(): return helper\n"
    cells = statements([(0, around + "def helper(): return second"), (1, source)])
    runs, names = needed(cells, {"answer"})
    assert any(cells[i].cell == 1 for i in runs) == taken
    assert {"answer", "helper", "second"} <= names


def test_errors_name_the_line_of_the_cell():
    """Whatever stands above it in the cell, a magic included."""
    for source in ("\n\n%time x\ny = (1,\n", "# a remark\n\nx = 1\nf(1", "a = 1\n\n\nreturn a"):
        (*_, last) = statements([(0, source)])
        assert last.problem.startswith("SyntaxError: line 4 of the cell: "), last.problem
    (_, second, third) = statements([(0, "a = 'é'; b = 2\n@f\n@g\ndef c(): ...")])
    assert (second.line, second.code) == (1, "b = 2")
    assert (third.line, third.code) == (2, "@f\n@g\ndef c(): ...")
