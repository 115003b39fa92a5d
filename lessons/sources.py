"""A lesson's source, and the two notebooks it stands for before anything is run.

The conventions of a lesson are told at the top of build.py.
"""

import ast
import re
import symtable
import tomllib
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import coursekit

ROOT = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_SOLUTION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION\n(?P<body>.*?)^[ \t]*### END SOLUTION[ \t]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_DETAILS = re.compile(r"\s*<details>.*?</details>[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADER_WORDS = ("difficulty", "importance", "minutes")
SETUP_LINE = "# Run this cell first."
_SETUP = (
    SETUP_LINE
    + """ Where the course package is missing or too old, as in Colab, it installs it.
import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

spec = find_spec("coursekit")
here = spec.origin if spec else None  # the package's __init__.py
foreign = any(distributions(name="coursekit"))  # this course's is {distribution}
if foreign or (here and not Path(here).with_name("lesson").is_dir()):
    raise ImportError(
        f"{{here}}: another package called coursekit is installed. Run `%pip uninstall -y "
        "coursekit {distribution}` (or rename your own file), restart the "
        "kernel, and run this cell again."
    )
if here:
    import coursekit
if not here or tuple(map(int, coursekit.__version__.split(".")[:2])) < {version}:
    package = "{distribution} @ git+{url}"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "--upgrade", package])
    sys.modules.pop("coursekit", None)

from coursekit import {names}

{needs}plots.use_style()"""
)
_BEYOND = ("torch", "torchvision")  # packages that a lesson may need and coursekit does not


class LessonError(Exception):
    """A lesson that breaks a convention or cannot be built; the message says where and how."""


def project() -> dict:
    """Return pyproject.toml's table of the project."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]


def repository_url() -> str:
    """Return the repository's public address, which stands in pyproject.toml and nowhere else."""
    return project()["urls"]["Repository"].removesuffix("/")


def badge(folder: str, name: str) -> str:
    """Return the markdown that opens `folder`/`name`.ipynb in Colab."""
    path = (
        repository_url().removeprefix("https://github.com/") + f"/blob/main/{folder}/{name}.ipynb"
    )
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})](https://colab.research.google.com/github/{path})"


def tags_of(cell: NotebookNode, kind: str) -> list[str]:
    """Return the names in a cell's tags ``kind:NAME``."""
    tags = cell.metadata.get("tags", [])
    return [tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:")]


def depends_on_learner(cell: dict) -> bool:
    """True for a check, a cell that needs one, and the plan: what they give is the learner's."""
    tags = cell["metadata"].get("tags", [])
    source = cell["source"]  # the file format stores its lines
    text = source if isinstance(source, str) else "".join(source)
    return any(tag.partition(":")[0] in ("exercise", "needs") for tag in tags) or (
        "lesson.Plan(" in text
    )


def read_lesson(path: Path) -> NotebookNode:
    """Read `path` and check that its exercises keep to the conventions.

    Returns the lesson as a notebook with solution markers, stable cell ids and no outputs.

    Raises:
        LessonError: the file is missing, or breaks a convention.
    """
    if not path.is_file():
        raise LessonError(f"there is no lesson {path}")
    lesson = jupytext.read(path, fmt="py:percent")
    lesson.nbformat, lesson.nbformat_minor = 4, 5
    lesson.metadata = nbformat.from_dict(METADATA)
    _split_hints(lesson)
    for cell in lesson.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    _set_ids(lesson)
    _check_exercises(lesson, path.name)
    _check_needs(lesson, path.name)
    return lesson


def solved_notebook(lesson: NotebookNode, name: str) -> NotebookNode:
    """Return the notebook with the solutions in place and no trace of their markers."""
    return _derive(lesson, "notebooks", name, lambda source, exercise: without_markers(source))


def exercise_notebook(lesson: NotebookNode, solved: NotebookNode, name: str) -> NotebookNode:
    """Return the learner's notebook: stubs, a folded solution behind the hint, `solved`'s outputs.

    The outputs stay because they are what a learner should see, and `pytest --nbval` compares them;
    except below a check or a cell that needs one, where they would claim what is not yet true, and
    below the plan, which tells of the learner's own machine and data.
    """
    notebook = _derive(lesson, "exercises", name, stub)
    outputs = {cell.id: cell for cell in solved.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not depends_on_learner(cell):
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    folds = {exercise: _solution_fold(cell, exercise) for cell, exercise in _solutions(lesson)}
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        # The hints come right after the check, alone in their cell; the solution comes after them.
        before = cells[-2] if len(cells) > 1 else cell
        cells += [folds[exercise] for exercise in tags_of(before, "exercise")]
    notebook.cells = cells
    return notebook


def without_markers(source: str) -> str:
    """Return `source` with the solution and without the lines that mark it."""
    return _SOLUTION.sub(lambda region: region["body"], source).rstrip("\n")


def stub(source: str, exercise: str) -> str:
    """Return `source` with each solution replaced by an error that says what is to be written."""

    def todo(region: re.Match) -> str:
        return f'{region["indent"]}raise NotImplementedError("{exercise}: your code goes here")\n'

    return _SOLUTION.sub(todo, source).rstrip("\n")


def _solutions(lesson: NotebookNode) -> list[tuple[NotebookNode, str]]:
    """Return each cell that holds a solution, with the name of its exercise."""
    pairs = pairwise(lesson.cells)
    return [(cell, name) for cell, check in pairs for name in tags_of(check, "exercise")]


def _derive(lesson: NotebookNode, folder: str, name: str, code) -> NotebookNode:
    """Copy the lesson for `folder`: markdown and set-up filled in, `code` applied to solutions."""
    exercises = {cell.id: exercise for cell, exercise in _solutions(lesson)}
    cells = []
    for cell in lesson.cells:
        cell = nbformat.from_dict(cell)
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("{{badge}}", badge(folder, name))
        elif cell.source.strip() == "# {{setup}}":
            cell.source = _setup(lesson)
        elif cell.id in exercises:
            cell.source = code(cell.source, exercises[cell.id])
        cells.append(cell)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))
    notebook.nbformat_minor = 5
    return notebook


def _setup(lesson: NotebookNode) -> str:
    """Return the first code cell, which asks for the packages that the lesson itself imports."""
    code = (cell.source for cell in lesson.cells if cell.cell_type == "code")
    imported = set().union(*map(_imported, code))
    # torchvision even where only torch is imported: parts of coursekit.port use it.
    needed = ", ".join(f'"{name}"' for name in _BEYOND) if imported & set(_BEYOND) else ""
    return _SETUP.format(
        url=repository_url(),
        distribution=project()["name"],
        version=tuple(map(int, coursekit.__version__.split(".")[:2])),
        names="lesson, plots" if needed else "plots",
        needs=f"lesson.require({needed})\n" if needed else "",
    )


def _imported(source: str) -> set[str]:
    """Return the top-level packages that a cell cannot do without: not those it tries to import."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def _solution_fold(cell: NotebookNode, exercise: str) -> NotebookNode:
    code = without_markers(cell.source)
    text = f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"
    return nbformat.v4.new_markdown_cell(text, id=f"solution-{_slug(exercise)}")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-")


def _split_hints(lesson: NotebookNode) -> None:
    """Give what follows an exercise's hints its own cell, so that the solution goes in between."""
    cells: list[NotebookNode] = []
    for cell in lesson.cells:
        cells.append(cell)
        hints = len(cells) > 1 and tags_of(cells[-2], "exercise") and cell.cell_type == "markdown"
        end = 0
        while hints and (fold := _DETAILS.match(cell.source, end)):
            end = fold.end()
        if end and cell.source[end:].strip():
            cells.append(nbformat.v4.new_markdown_cell(cell.source[end:].strip("\n")))
            cell.source = cell.source[:end].rstrip("\n")
    lesson.cells = cells


def _set_ids(lesson: NotebookNode) -> None:
    """Name each cell after its exercise, heading or first line: an edit elsewhere changes no id."""
    seen: dict[str, int] = {}
    hinted: list[str] = []
    for cell in lesson.cells:
        checked = tags_of(cell, "exercise")
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        if checked or hinted:
            words = " ".join(["check", *checked] if checked else ["hint", *hinted])
        else:
            words = re.sub(r"<[^>]+>|[{}]", " ", first)
        slug = _slug(words) or cell.cell_type
        seen[slug] = seen.get(slug, 0) + 1
        cell.id = slug if seen[slug] == 1 else f"{slug}-{seen[slug]}"
        hinted = checked  # the hints come right after the check


def _check_exercises(lesson: NotebookNode, file: str) -> None:
    """Raise LessonError for the first exercise, tag or marker that breaks a convention."""
    names: list[str] = []
    for number, cell in enumerate(lesson.cells):

        def require(met: bool, what: str, cell: NotebookNode = cell) -> None:
            if not met:
                raise LessonError(f"{file}: cell {cell.id!r}: {what}")

        regions = list(_SOLUTION.finditer(cell.source))
        markers = len(re.findall(r"###\s*(?:BEGIN|END)\s*SOLUTION", cell.source))
        require(markers == 2 * len(regions), "solution markers do not come in pairs")
        require(
            all(region["indent"] for region in regions),
            "a solution stands outside any function; the learner's cell must run before it is "
            "solved, so put it into a function",
        )
        here = tags_of(cell, "exercise")
        for name in tags_of(cell, "needs"):
            require(name in names, f"needs:{name} names no exercise before it")
            require(not here, "a check must fail by itself, so it cannot carry a needs: tag")
        if regions:
            after = lesson.cells[number + 1 : number + 2]
            require(
                bool(after) and len(tags_of(after[0], "exercise")) == 1,
                "the cell after a solution must be its check, with one tag exercise:NAME",
            )
        if here:
            _check_anatomy(lesson.cells, number, require)
            require(here[0] not in names, f"a second exercise is called {here[0]!r}")
            names += here


def _check_needs(lesson: NotebookNode, file: str) -> None:
    """Raise LessonError where a cell uses what only a cell makes that may be skipped."""
    made: dict[str, set[str]] = {}  # by global name: the exercises without which it is missing
    for cell in lesson.cells:
        if cell.cell_type != "code":
            continue
        needs = set(tags_of(cell, "needs"))
        try:
            table = symtable.symtable(cell.source, cell.id, "exec")
        except SyntaxError as error:
            raise LessonError(f"{file}: cell {cell.id!r}: is not plain Python: {error}") from None
        assigned, used = _globals(table)
        for name in sorted(used - assigned):
            if missing := made.get(name, set()) - needs:
                raise LessonError(
                    f"{file}: cell {cell.id!r}: uses {name}, which is missing without exercise "
                    f"{min(missing)}; tag it needs:{min(missing)}, or define {name} before"
                )
        for name in assigned:
            made[name] = made.get(name, needs) & needs


def _globals(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Return the global names that a piece of code assigns, and those that it uses."""
    symbols, module = table.get_symbols(), table.get_type() == "module"
    assigned = {s.get_name() for s in symbols if module and (s.is_assigned() or s.is_imported())}
    used = {s.get_name() for s in symbols if s.is_referenced() and (module or s.is_global())}
    for child in table.get_children():
        used |= _globals(child)[1]
    return assigned, used


def _check_anatomy(cells: list[NotebookNode], number: int, require) -> None:
    """The cells around a check: heading, solution, (check), hints."""
    before = cells[max(0, number - 2) : number]
    require(
        len(before) == 2 and bool(_SOLUTION.search(before[1].source)),
        "the cell before a check must hold the solution",
    )
    heading = before[0].source.lower()
    require(
        before[0].cell_type == "markdown" and all(word in heading for word in _HEADER_WORDS),
        "the exercise's text, right before its code, must give " + ", ".join(_HEADER_WORDS),
    )
    after = cells[number + 1 : number + 2]
    require(
        bool(after) and after[0].source.lstrip().startswith("<details><summary>Hint"),
        "after a check come its hints, a cell that begins with <details><summary>Hint",
    )
