"""Guards on what is stored in notebooks/ and exercises/, and proof that each guard can fail."""

import copy
import json
from itertools import pairwise
from pathlib import Path

import pytest

import build
import guards
import sources

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted(path.stem for path in (ROOT / "exercises").glob("*.ipynb"))
LESSONS = [path.stem for path in build.lesson_files([])]


def test_every_stored_notebook_has_a_lesson():
    assert NOTEBOOKS == EXERCISES == LESSONS


@pytest.mark.parametrize("folder", ["notebooks", "exercises"])
@pytest.mark.parametrize("name", LESSONS)
def test_stored_notebook_passes_every_guard(folder, name):
    found = guards.problems(ROOT / folder / f"{name}.ipynb")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", LESSONS)
def test_stored_notebooks_are_what_the_lesson_builds(name):
    found = build.differences(build.build(ROOT / "lessons" / f"{name}.py", ROOT, run=False))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", LESSONS)
def test_filled_in_exercises_are_the_solved_notebook(name):
    """So `pytest --nbval notebooks` also says that solved exercises pass."""
    assert_filled_in_is_solved(
        ROOT / "exercises" / f"{name}.ipynb", ROOT / "notebooks" / f"{name}.ipynb"
    )


def assert_filled_in_is_solved(exercises, notebook):
    """The folded solutions, pasted over the stubs, give the code that notebooks/ runs."""
    cells = json.loads(exercises.read_text(encoding="utf-8"))["cells"]
    solved = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    folds = {cell["id"]: "".join(cell["source"]) for cell in cells}
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for cell, check in pairwise(code):
        for name in checks_of(check):
            fold = folds[f"solution-{name.replace('_', '-')}"]
            cell["source"] = fold.partition("```python\n")[2].rpartition("\n```")[0]
    for cell, wanted in zip(
        code, [cell for cell in solved if cell["cell_type"] == "code"], strict=True
    ):
        assert "".join(cell["source"]) == "".join(wanted["source"]), cell["id"]


def checks_of(cell):
    """Names of the exercises that a cell checks."""
    tags = cell["metadata"].get("tags", [])
    return [tag.partition(":")[2] for tag in tags if tag.startswith("exercise:")]


# ---------------------------------------------------------------- the guards, on broken notebooks


def test_the_sample_is_without_fault(sample):
    for folder in ("notebooks", "exercises"):
        path = sample / folder / "sample_lesson.ipynb"
        assert guards.problems(path) == []
    assert_filled_in_is_solved(path, sample / "notebooks" / path.name)


def cell(notebook, name):
    """The cell with the id `name`."""
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def output(notebook, name):
    """That cell's first output."""
    return cell(notebook, name)["outputs"][0]


PICTURE = "fig-ax-plt-subplots"
CODE, TEXT, LINE = "print-this-cell-needs-nobody", "hint-double", "check-double"
BREAKS = [
    # (what is broken, how, what the guard says)
    ("unrun", lambda n: cell(n, CODE).update(execution_count=None), "execution count None, not"),
    ("out of order", lambda n: cell(n, CODE).update(execution_count=99), "execution count 99"),
    (
        "error",
        lambda n: cell(n, CODE)["outputs"].append(
            {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": []}
        ),
        "ended in KeyError",
    ),
    ("warning", lambda n: output(n, LINE).update(name="stderr"), "wrote to stderr"),
    ("semicolon", lambda n: cell(n, CODE).update(source=["a = 1\n", "a; \n"]), "semicolon"),
    (
        "no alt",
        lambda n: output(n, PICTURE)["data"].update({"text/html": ["<p>Look:\n", "<img src=''>"]}),
        "picture without alt text",
    ),
    (
        "empty alt",
        lambda n: output(n, PICTURE)["data"].update(
            {"text/html": "<img alt='' src=''>", "text/plain": "[figure] "}
        ),
        "picture without alt text",
    ),
    (
        "picture that is not HTML",
        lambda n: output(n, PICTURE).update(
            data={"image/png": "iVBO", "text/plain": "[figure] It rises."},
            metadata={"image/png": {"alt": "It rises."}},
        ),
        "picture without alt text",
    ),
    (
        "alt is not the text",
        lambda n: output(n, PICTURE)["data"].update({"text/plain": "<Figure>"}),
        "picture without alt text",
    ),
    (
        "svg",
        lambda n: output(n, PICTURE)["data"].update({"image/svg+xml": "<svg/>"}),
        "shows an SVG",
    ),
    ("no id", lambda n: cell(n, TEXT).pop("id"), "a markdown cell has the id ''"),
    ("random id", lambda n: cell(n, TEXT).update(id="A_1"), "the id 'A_1'"),
    ("same id", lambda n: cell(n, TEXT).update(id=CODE), "two cells have the id"),
    (
        "misspelt tag",
        lambda n: cell(n, CODE)["metadata"].update(tags=["nbval-ignore-outputs"]),
        "unknown tag 'nbval-ignore-outputs'",
    ),
    ("comment", lambda n: cell(n, CODE).update(source="# NBVAL_SKIP\n1"), "by a comment"),
    ("widgets", lambda n: n["metadata"].update(widgets={}), "metadata holds more"),
    ("timing", lambda n: cell(n, CODE)["metadata"].update(execution={}), "['execution']"),
    (
        "bar",
        lambda n: output(n, PICTURE)["data"].update({guards._WIDGET: {}}),
        "stores a widget",
    ),
    (
        "check ignored",
        lambda n: cell(n, LINE)["metadata"]["tags"].append("nbval-ignore-output"),
        "its output is ignored",
    ),
    ("check silent", lambda n: cell(n, LINE).update(outputs=[]), "without a word"),
    (
        "bound of one world",
        lambda n: cell(n, LINE).update(source="expect('a', 1, low=-plan.least)"),
        "belongs into expect's value",
    ),
    (
        "name of one world",
        lambda n: cell(n, LINE).update(source="expect(f'{plan.epochs} epochs', 1, 0)"),
        "belongs into expect's value",
    ),
    (
        "two checks",
        lambda n: cell(n, CODE)["metadata"].update(tags=["exercise:double"]),
        "second check of exercise:double",
    ),
    (
        "half ignored",
        lambda n: [
            c["metadata"].update(tags=["nbval-ignore-output"])
            for c in n["cells"][:9]
            if c["cell_type"] == "code"
        ],
        "code cells carry nbval-ignore-output",
    ),
    ("path", lambda n: output(n, LINE).update(text=["in /home/me/x.py\n"]), "'/home/me/x.py'"),
    (
        "path beside a picture",
        lambda n: output(n, PICTURE)["data"].update(
            {"text/html": "<img src='data:image/png;base64,/9j/4AAQ/'> from /home/me/x.py"}
        ),
        "'/home/me/x.py'",
    ),
    ("drive", lambda n: output(n, LINE).update(text=["C:\\Users\\me"]), "prints the path"),
    ("heading skipped", lambda n: cell(n, TEXT).update(source="#### Deep"), "levels down"),
    ("two titles", lambda n: cell(n, TEXT).update(source="# Title"), "second title"),
    ("no title", lambda n: n["cells"][0].update(source="{{badge}}"), "with the title"),
    ("no badge", lambda n: n["cells"][0].update(source="# A sample lesson"), "lacks the Colab"),
    ("large", lambda n: cell(n, TEXT).update(source="x" * guards.MAX_BYTES), "at most"),
]


BREAKS_OF_EXERCISES = [
    (
        "promise",
        lambda n: output_of_unsolved(n, LINE, "double: all good\n"),
        "only the learner's own run can give",
    ),
    (
        "solution after the text",
        lambda n: n["cells"].insert(position(n, TEXT) + 2, n["cells"].pop(position(n, TEXT) + 1)),
        "solution does not stand right after",
    ),
    (
        "text in the hint",
        lambda n: cell(n, TEXT).update(source=cell(n, TEXT)["source"] + ["\n\nAnd so on."]),
        "more than hints",
    ),
    (
        "hint elsewhere",
        lambda n: n["cells"].insert(
            position(n, TEXT) + 2, {**cell(n, TEXT), "id": "hint-2", "metadata": {}}
        ),
        "hints stand right behind a check",
    ),
    (
        "fold left open",
        lambda n: cell(n, TEXT).update(source=["<details><summary>Hint</summary>"]),
        "do not come in pairs",
    ),
    ("check at the end", lambda n: n["cells"].append(n["cells"].pop(position(n, LINE))), "or none"),
]


def position(notebook, name):
    """Where the cell with the id `name` stands."""
    return notebook["cells"].index(cell(notebook, name))


def output_of_unsolved(notebook, name, text):
    """Store an output below a check that the learner has yet to pass."""
    stream = {"output_type": "stream", "name": "stdout", "text": [text]}
    cell(notebook, name)["outputs"].append(stream)


@pytest.mark.parametrize(
    ("how", "message"),
    [b[1:] for b in BREAKS_OF_EXERCISES],
    ids=[b[0] for b in BREAKS_OF_EXERCISES],
)
def test_each_guard_on_exercises_notices(sample, tmp_path, how, message):
    notebook = json.loads((sample / "exercises" / "sample_lesson.ipynb").read_text("utf-8"))
    how(notebook)
    broken = tmp_path / "exercises" / "sample_lesson.ipynb"
    broken.parent.mkdir()
    broken.write_text(json.dumps(notebook), encoding="utf-8")
    found = guards.problems(broken)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(("how", "message"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_each_guard_notices(sample, tmp_path, how, message):
    notebook = json.loads((sample / "notebooks" / "sample_lesson.ipynb").read_text("utf-8"))
    how(notebook)
    broken = tmp_path / "notebooks" / "sample_lesson.ipynb"
    broken.parent.mkdir()
    broken.write_text(json.dumps(notebook), encoding="utf-8")
    found = guards.problems(broken)
    assert any(message in problem for problem in found), found


def test_every_guard_has_a_broken_notebook(sample):
    """No guard may stand without a case above that makes it speak."""
    silent = {guard.__name__ for guard in guards.GUARDS}
    for folder, breaks in {"notebooks": BREAKS, "exercises": BREAKS_OF_EXERCISES}.items():
        whole = json.loads((sample / folder / "sample_lesson.ipynb").read_text("utf-8"))
        for _, how, _ in breaks:
            notebook = copy.deepcopy(whole)
            how(notebook)
            silent -= {guard.__name__ for guard in guards.GUARDS if list(guard(notebook))}
    assert not silent


def test_badge_of_another_notebook_is_noticed(sample, tmp_path):
    """A notebook copied under a new name still points at the old one."""
    other = tmp_path / "notebooks" / "other.ipynb"
    other.parent.mkdir()
    other.write_bytes((sample / "notebooks" / "sample_lesson.ipynb").read_bytes())
    assert any("lacks the Colab badge" in problem for problem in guards.problems(other))


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("see https://www.cs.toronto.edu/~kriz/cifar.html", False),
        ("3/4 of all; images/s; a/b/c", False),
        ("<td>1</td></tr>", False),
        ("File /usr/lib/python3/x.py", True),
        ("'/tmp/cache'", True),
        ("D:\\data", True),
    ],
)
def test_what_counts_as_a_machine_path(text, is_path):
    assert bool(guards._PATH.search(text)) == is_path


def test_address_stands_in_pyproject_only():
    owner = sources.repository_url().removeprefix("https://")
    for path in [*(ROOT / "lessons").rglob("*.py"), *(ROOT / "coursekit").rglob("*.py")]:
        assert owner not in path.read_text(encoding="utf-8"), path
