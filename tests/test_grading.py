"""Exercises under pytest and under the grader: who fails, what is skipped, and what it says."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

from coursekit.grading import __main__ as cli
from coursekit.grading.environment import notebook_environment
from coursekit.grading.grade import Verdict, grade
from coursekit.grading.plugin import headline

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
    """Also: a check that passes, but prints something else than the stored one, fails."""
    edits = {
        "def-double-x": "def double(x):\n    return x + x",
        "check-square": "print('square: fine')",
    }
    verdicts, text = run_nbval(sample, edited(unsolved, sample / "half" / "l.ipynb", edits))
    assert names(verdicts, "failed") == ["square"], text
    assert names(verdicts, "skipped") == []
    assert "the check printed something else than the reference" in text.splitlines()


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
        ("Cell 3: Cell outputs differ", [], "the check printed something else than the reference"),
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


# -------------------------------------------------------------------------------- the grader


def test_grader_on_the_unsolved_notebook(unsolved):
    assert grade(unsolved) == [
        Verdict("double", "failed", "ExerciseError: double: not implemented yet"),
        Verdict("square", "failed", "ExerciseError: square: not implemented yet"),
    ]


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
    assert entry["score"] == 0 and entry["of"] == 2
    outcomes = {e["exercise"]: (e["outcome"], e["message"]) for e in entry["exercises"]}
    assert outcomes["double"] == ("not attempted", "its check is gone")
    assert outcomes["square"] == ("failed", "ExerciseError: square: expected 9, got 6")


def test_grader_passes_right_answers(sample, unsolved):
    """The solved notebook, judged by the checks of the one handed out."""
    verdicts = grade(sample / "notebooks" / "sample_lesson.ipynb", unsolved)
    assert verdicts == [Verdict("double", "passed"), Verdict("square", "passed")]


def test_grader_says_what_it_cannot_read(tmp_path, capsys):
    (tmp_path / "a.ipynb").write_text("{", encoding="utf-8")
    assert cli.main([str(tmp_path / "a.ipynb")]) == 2
    assert cli.main([str(tmp_path / "nowhere.ipynb")]) == 2
    assert capsys.readouterr().err.count("not a readable notebook") == 2
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "b.ipynb")
    assert cli.main([str(tmp_path / "b.ipynb")]) == 2
    assert "no cell is tagged exercise:NAME" in capsys.readouterr().err
