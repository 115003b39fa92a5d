"""The notebook builder: two notebooks from one lesson, in equal bytes, or one clear error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import build
import sources

TESTS = Path(__file__).resolve().parent
EXERCISE = """\
# %% [markdown]
# # A title
#
# ## Exercise: one
# Difficulty 1/5 · importance 1/5 · 1 minutes
# %%
def one():
    ### BEGIN SOLUTION
    return 1
    ### END SOLUTION
# %% tags=["exercise:one"]
assert one() == 1
# %% [markdown]
# <details><summary>Hint</summary></details>
"""


def read(path):
    """The stored notebook, and its cells by id."""
    notebook = nbformat.read(path, as_version=4)
    return notebook, {cell.id: cell for cell in notebook.cells}


def lesson(tmp_path, text):
    """Write a lesson; return its path."""
    path = tmp_path / "01_lesson.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_solved_notebook_has_solutions_and_no_markers(sample):
    text = (sample / "notebooks" / "sample_lesson.ipynb").read_text(encoding="utf-8")
    _, cells = read(sample / "notebooks" / "sample_lesson.ipynb")
    assert cells["def-double-x"].source.endswith('"""Return 2 * x."""\n    return 2 * x')
    assert "SOLUTION" not in text and "Solution" not in text and "{{" not in text


def test_exercises_have_stubs_and_a_folded_solution_after_the_hint(sample):
    notebook, cells = read(sample / "exercises" / "sample_lesson.ipynb")
    assert cells["def-double-x"].source == (
        'def double(x):\n    """Return 2 * x."""\n'
        '    raise NotImplementedError("double: your code goes here")'
    )
    # What follows the solution's lines in the function is the learner's to keep.
    assert cells["def-square-x"].source.endswith('goes here")\n    return result')
    order = [cell.id for cell in notebook.cells]
    at = order.index("check-double")
    assert order[at - 1] == "def-double-x" and order[at + 2] == "solution-double"
    assert notebook.cells[at + 1].source.startswith("<details><summary>Hint")
    assert "```python\ndef double(x):" in cells["solution-double"].source
    assert order.count("solution-double") == order.count("solution-square") == 1


def test_exercises_keep_outputs_and_ids_but_promise_nothing_unsolved(sample):
    _, solved = read(sample / "notebooks" / "sample_lesson.ipynb")
    _, exercises = read(sample / "exercises" / "sample_lesson.ipynb")
    assert exercises.keys() - solved.keys() == {"solution-double", "solution-square"}
    for name, cell in solved.items():
        if cell.cell_type != "code":
            continue
        if any(
            tag.partition(":")[0] in ("exercise", "needs") for tag in cell.metadata.get("tags", [])
        ):
            assert cell.outputs and not exercises[name].outputs
            assert exercises[name].execution_count is None
        else:
            assert exercises[name].outputs == cell.outputs
            assert exercises[name].execution_count == cell.execution_count
    assert solved["check-double"].outputs[0].text == "double: all good\n"


def test_the_solution_stands_between_the_hints_and_what_follows_them(tmp_path):
    hints = "# <details><summary>Hint</summary>a</details>\n#\n# <details>b</details>\n"
    text = EXERCISE.replace("# <details><summary>Hint</summary></details>\n", hints)
    parsed = sources.read_lesson(lesson(tmp_path, text + "#\n# ## Next\n# More.\n"))
    solved = sources.solved_notebook(parsed, "01_lesson")
    exercises = sources.exercise_notebook(parsed, solved, "01_lesson")
    assert [cell.id for cell in solved.cells[2:]] == ["check-one", "hint-one", "next"]
    assert [cell.id for cell in exercises.cells[2:]] == [
        *("check-one", "hint-one", "solution-one", "next"),
    ]
    assert solved.cells[3].source.endswith("<details>b</details>")
    assert solved.cells[4].source == "## Next\nMore."


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("import torch.nn as nn", 'lesson.require("torch", "torchvision")'),
        ("import numpy\nfrom torchvision import v2", 'lesson.require("torch", "torchvision")'),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", None),
    ],
)
def test_setup_asks_for_the_packages_that_the_lesson_imports(tmp_path, code, asked):
    text = f"# %% [markdown]\n# # T\n# %%\n# {{{{setup}}}}\n# %%\n{code}\n"
    parsed = sources.read_lesson(lesson(tmp_path, text))
    setup = sources.solved_notebook(parsed, "01_lesson").cells[1].source
    assert (asked in setup.splitlines()) if asked else ("require" not in setup)


def test_badge_and_setup_come_from_the_project_url(sample):
    url = sources.repository_url()
    for folder in ("notebooks", "exercises"):
        notebook, _ = read(sample / folder / "sample_lesson.ipynb")
        address = f"{url.removeprefix('https://github.com/')}/blob/main/{folder}/sample_lesson"
        assert address in notebook.cells[0].source
        setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
        assert f'"{sources.project()["name"]} @ git+{url}"' in setup.source


def test_nothing_of_the_run_is_left_in_the_metadata(sample):
    notebook, cells = read(sample / "notebooks" / "sample_lesson.ipynb")
    assert notebook.metadata == sources.METADATA
    assert {key for cell in cells.values() for key in cell.metadata} == {"tags"}
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_live_figure_is_stored_once_with_its_last_picture(sample):
    _, cells = read(sample / "notebooks" / "sample_lesson.ipynb")
    (output,) = cells["live-none"].outputs
    assert output.data["text/plain"] == "[figure] A line that became longer."
    assert output.data["text/html"].startswith('<img alt="A line that became longer."')


def test_executing_again_gives_the_same_bytes(sample):
    stored = sample / "notebooks" / "sample_lesson.ipynb"
    files = build.build(TESTS / "sample_lesson.py", sample, run=True)
    # The sample prints the time on purpose; nothing else may differ.
    clock = re.compile(r"epoch: [\d.]+")
    assert clock.sub("", files[stored]) == clock.sub("", stored.read_text(encoding="utf-8"))


def test_check_passes_on_what_was_built_and_names_what_changed(sample, tmp_path, capsys):
    arguments = ["sample_lesson", "--lessons", str(TESTS), "--check", "--out"]
    assert build.main([*arguments, str(sample)]) == 0
    for folder in ("notebooks", "exercises"):
        out = tmp_path / folder
        for name in ("notebooks", "exercises"):
            text = (sample / name / "sample_lesson.ipynb").read_text(encoding="utf-8")
            if name == folder:
                text = text.replace("Add it to itself.", "Look it up.")
            build.write(out / name / "sample_lesson.ipynb", text)
        assert build.main([*arguments, str(out)]) == 1
        error = capsys.readouterr().err
        assert f"{folder}/sample_lesson.ipynb is not what" in error.replace("\\", "/")
        assert "first at cell 'hint-double'" in error
    (tmp_path / "notebooks" / "exercises" / "sample_lesson.ipynb").unlink()
    assert build.main([*arguments, str(tmp_path / "notebooks")]) == 1
    assert "is missing" in capsys.readouterr().err


def test_no_execute_takes_new_text_and_refuses_new_code(sample, tmp_path, capsys):
    text = (TESTS / "sample_lesson.py").read_text(encoding="utf-8")
    for name in ("notebooks", "exercises"):
        file = f"{name}/sample_lesson.ipynb"
        build.write(tmp_path / file, (sample / file).read_text(encoding="utf-8"))
    source = tmp_path / "sample_lesson.py"
    arguments = ["sample_lesson", "--no-execute", "--lessons", str(tmp_path)]
    source.write_text(text.replace("Add it to itself.", "Look it up."), encoding="utf-8")
    assert build.main([*arguments, "--out", str(tmp_path)]) == 0
    stored = (tmp_path / "exercises" / "sample_lesson.ipynb").read_text(encoding="utf-8")
    assert "Look it up." in stored and "double: all good" not in stored
    solved = (tmp_path / "notebooks" / "sample_lesson.ipynb").read_text(encoding="utf-8")
    assert "Look it up." in solved and "double: all good" in solved
    source.write_text(text.replace('double", double, 3, 6', 'double", double, 4, 8'), "utf-8")
    assert build.main([*arguments, "--out", str(tmp_path)]) == 1
    assert "the code or the tags of cell 'check-double' changed" in capsys.readouterr().err
    assert (tmp_path / "exercises" / "sample_lesson.ipynb").read_text("utf-8") == stored


PLAN = "plan = lesson.Plan(ds, minutes=(9, 8, 7, 6), epochs=(1, 2, 3, 4))\nprint(plan)"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("(1, 2, 3, 4)", "(1, 2, 30, 40)", True),
        ("(1, 2, 3, 4)", "(10, 2, 3, 4)", False),
        ("(9, 8, 7, 6)", "(9, 80, 7, 6)", False),
        ("(9, 8, 7, 6)", "(9, 8, 70, 60)", True),
        ("(1, 2, 3, 4)", "(1,)", False),
        ("(1, 2, 3, 4)", "(1, 2, 3, 4, 5)", False),
        ("(9, 8, 7, 6)", "(9, 8)", False),
        ("epochs=", "steps=", False),
        ("print(plan)", "print(ds)", False),
    ],
)
def test_a_bar_for_another_world_needs_no_new_run(old, new, same):
    changed = PLAN.replace(old, new)
    assert changed != PLAN
    assert (build.code_that_ran(changed) == build.code_that_ran(PLAN)) == same


def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path, capsys):
    lesson(tmp_path, "# %% [markdown]\n# # T\n# %%\n1 / 0\n")
    arguments = ["--lessons", str(tmp_path), "--out", str(tmp_path / "out"), "--allow-bundled"]
    assert build.main(arguments) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.ipynb*"))


def test_bundled_outputs_are_refused(tmp_path, monkeypatch, capsys):
    data = pytest.importorskip("coursekit.data")
    monkeypatch.setattr(data, "load", lambda: type("Dataset", (), {"name": "bundled"}))
    monkeypatch.setenv("COURSEKIT_DATA", "auto")
    lesson(tmp_path, "# %% [markdown]\n# # T\n")
    assert build.main(["--lessons", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "COURSEKIT_DATA=auto gives the bundled set" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ipynb"))


def test_html_pages_keep_the_alt_texts(sample, tmp_path):
    pytest.importorskip("nbconvert")
    path = sample / "notebooks" / "sample_lesson.ipynb"
    build.write_html(path, path.read_text(encoding="utf-8"), tmp_path)
    page = (tmp_path / "notebooks" / "sample_lesson.html").read_text(encoding="utf-8")
    assert 'alt="A parabola: the growth grows."' in page
    assert "No description" not in page


def test_ids_do_not_move_when_another_cell_changes(tmp_path):
    before = sources.read_lesson(lesson(tmp_path, EXERCISE))
    more = EXERCISE + "# %%\nprint(2)\n# %%\nprint(2)\n"
    after = sources.read_lesson(lesson(tmp_path, more.replace("# # A", "# # Quite another")))
    assert [cell.id for cell in before.cells[1:]] == [cell.id for cell in after.cells[1:4]]
    assert [cell.id for cell in after.cells[4:]] == ["print-2", "print-2-2"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n", "", "do not come in pairs"),
        ("### END SOLUTION", "### END SOLUTIONS", "do not come in pairs"),
        ("def one():\n    ### BEGIN", "### BEGIN", "outside any function"),
        ('tags=["exercise:one"]', "", "must be its check"),
        ("# %% tags", "# %%\nprint(1)\n# %% tags", "must be its check"),
        ("    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION", "    return 1", "must hold"),
        ("Difficulty", "Effort", "must give difficulty, importance, minutes"),
        ("<summary>Hint", "<summary>Tip", "come its hints"),
        ('"exercise:one"', '"exercise:one", "needs:one"', "names no exercise before"),
        ("# <details>", '# x\n# %% tags=["needs:two"]\nprint(2)', "come its hints"),
    ],
)
def test_broken_conventions_are_named(tmp_path, old, new, message):
    assert old in EXERCISE
    with pytest.raises(sources.LessonError, match=message):
        sources.read_lesson(lesson(tmp_path, EXERCISE.replace(old, new, 1)))


def test_names_come_once_and_checks_need_nobody(tmp_path):
    again = EXERCISE.replace("# # A title\n#\n", "")
    with pytest.raises(sources.LessonError, match="a second exercise is called 'one'"):
        sources.read_lesson(lesson(tmp_path, EXERCISE + again))
    two = again.replace('"exercise:one"', '"exercise:two", "needs:one"')
    with pytest.raises(sources.LessonError, match="a check must fail by itself"):
        sources.read_lesson(lesson(tmp_path, EXERCISE + two))
    with pytest.raises(sources.LessonError, match="needs:two names no exercise"):
        sources.read_lesson(lesson(tmp_path, EXERCISE + '# %% tags=["needs:two"]\nprint(2)\n'))


USES = '# %% tags=["needs:one"]\nseen = one()\nprint(seen)\n'


@pytest.mark.parametrize(
    "later",
    [
        '# %% tags=["needs:one"]\nprint(seen)\n',
        "# %%\nseen = 2\nprint(seen)\n# %%\nprint(seen)\n",
        "# %%\ndef f(seen):\n    other = seen\n    return [other for other in [other]]\n",
        "# %%\nfrom math import pi as seen\nprint(seen)\n",
    ],
)
def test_a_cell_may_use_what_is_there_without_a_skipped_one(tmp_path, later):
    sources.read_lesson(lesson(tmp_path, EXERCISE + USES + later))
    sources.read_lesson(lesson(tmp_path, EXERCISE + "# %%\nseen = 0\n" + USES + later))


@pytest.mark.parametrize(
    "later",
    [
        "# %%\nprint(seen)\n",
        "# %%\ndef f():\n    return [seen for _ in range(2)]\n",
        "# %%\nf = lambda: seen\nclass A:\n    seen = 1\n",
    ],
)
def test_a_cell_must_not_use_what_a_skipped_one_makes(tmp_path, later):
    with pytest.raises(sources.LessonError, match="uses seen, which is missing without exercise"):
        sources.read_lesson(lesson(tmp_path, EXERCISE + USES + later))
    sources.read_lesson(lesson(tmp_path, EXERCISE + "# %%\nseen = 0\n" + USES + later))


@pytest.mark.parametrize("code", ["print(", "# %timeit print(1)"])  # a magic, as jupytext has it
def test_a_cell_that_is_not_python_is_named(tmp_path, code):
    with pytest.raises(sources.LessonError, match="is not plain Python"):
        sources.read_lesson(lesson(tmp_path, EXERCISE + f"# %%\n{code}\n"))


def test_missing_lesson_is_named(tmp_path, capsys):
    assert build.main(["nowhere", "--check", "--lessons", str(tmp_path)]) == 1
    assert "there is no lesson" in capsys.readouterr().err


def test_files_are_in_the_notebook_format(sample):
    for folder in ("notebooks", "exercises"):
        text = (sample / folder / "sample_lesson.ipynb").read_text(encoding="utf-8")
        nbformat.validate(json.loads(text))
        assert text.endswith("}\n")


SETUP = """
import subprocess, sys
asked = []
subprocess.check_call = lambda command: asked.append(command) or sys.path.insert(0, {installed!r})
sys.path.insert(0, {before!r})
exec({setup!r})
print(coursekit.__version__ if "coursekit" in globals() else "unseen", plots.MARK, *asked[:1])
"""


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ({}, "unseen new"),
        ({"coursekit/notes.txt": ""}, "unseen new"),  # a folder of that name, e.g. the repository
        ({"coursekit/__init__.py": "__version__ = '0.1.9'", "coursekit/lesson/a": ""}, "0.1.9 new"),
        (
            {
                "coursekit/__init__.py": "__version__ = '10.0.1rc1'",
                "coursekit/lesson/a": "",
                "coursekit/plots.py": "MARK = 'kept'\ndef use_style(): pass",
            },
            "10.0.1rc1 kept",
        ),
        ({"coursekit/__init__.py": "__version__ = '7.0'"}, "another package called coursekit"),
        ({"coursekit.py": "__version__ = '7.0'"}, "another package called coursekit"),
        (
            {
                "coursekit/__init__.py": "__version__ = '99.0.0'",
                "coursekit/lesson/a": "",
                "coursekit-0.1.0.dist-info/METADATA": "Name: coursekit\nVersion: 0.1.0",
            },
            "another package called coursekit",
        ),
    ],
    ids=["missing", "folder", "old", "newer", "foreign", "foreign-module", "foreign-over-ours"],
)
def test_setup_installs_what_is_missing_or_old_and_refuses_another_coursekit(
    tmp_path, before, says
):
    new = {
        "coursekit/__init__.py": "__version__ = '99.0.0'",
        "coursekit/lesson/__init__.py": "",
        "coursekit/plots.py": "MARK = 'new'\ndef use_style(): pass",
    }
    for folder, files in (("before", before), ("new", new)):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    text = "# %% [markdown]\n# # T\n# %%\n# {{setup}}\n"
    parsed = sources.read_lesson(lesson(tmp_path, text))
    setup = sources.solved_notebook(parsed, "01_lesson").cells[1].source
    code = SETUP.format(
        installed=str(tmp_path / "new"), before=str(tmp_path / "before"), setup=setup
    )
    # -S: without the environment's packages, where this course's own is.
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert says in run.stdout + run.stderr
    source = f"{sources.project()['name']} @ git+{sources.repository_url()}"
    assert (f"'--upgrade', '{source}'" in run.stdout) == ("new" in says)
