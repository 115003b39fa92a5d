#!/usr/bin/env python
"""Build notebooks/NAME.ipynb and exercises/NAME.ipynb from lessons/NAME.py.

    python lessons/build.py                      all lessons, executed: real data, full budget
    python lessons/build.py 01_fc_nets           one lesson
    python lessons/build.py --no-execute         text changed, code did not: keep stored outputs
    python lessons/build.py --check              is what is stored what lessons/ builds?
    python lessons/build.py --no-execute --html DIR      and HTML pages to look at
    COURSEKIT_BUDGET=quick COURSEKIT_DATA=bundled python lessons/build.py NAME \\
        --allow-bundled --out DIR                a draft, elsewhere

Equal lessons and equal outputs give the same bytes.

A lesson is a percent-format Python file. Its conventions:

- The first cell is markdown: ``# Title``, then ``{{badge}}`` where the Colab badge goes. The first
  code cell is the one line ``# {{setup}}``. Both are filled in from pyproject's project.urls; the
  set-up also asks for PyTorch where the lesson imports it.
- The next cells import, load the data, and state the lesson's plan (`coursekit.lesson.Plan`): all
  sizes, epochs and bars that differ between data sets and budgets. No other cell asks for these.
- An exercise is four cells in a row:
  1. markdown, a heading and a line such as ``Difficulty 2/5 · importance 4/5 · 15 minutes``;
  2. code that only defines; the lines between ``### BEGIN SOLUTION`` and ``### END SOLUTION``, each
     on its own line inside a function, are what the learner writes;
  3. its check, tagged ``exercise:NAME`` (``# %% tags=["exercise:linear_forward"]``), which raises
     `coursekit.checks.ExerciseError` or prints one line that is the same for everybody;
  4. markdown that begins with ``<details><summary>Hint</summary>``, with a blank line after it.
     Text after the hints becomes a cell of its own.
  The builder adds the folded solution behind the hints, to exercises/ only, where the check and the
  cells that need it store no output.
- A later cell that calls what the learner wrote carries ``needs:NAME`` for each, and is skipped,
  not failed, until it is there. So does a cell that uses what such a cell makes. A check itself
  never does.
- A cell whose output depends on data, budget or machine carries ``nbval-ignore-output``; the next
  cell asserts what it claims, with a line that never changes (`coursekit.checks.expect`).
- Figures go through `coursekit.plots.show(fig, alt)`. No cell ends in a semicolon.
"""

import argparse
import ast
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sources import (
    METADATA,
    ROOT,
    SETUP_LINE,
    LessonError,
    exercise_notebook,
    read_lesson,
    solved_notebook,
)

if find_spec("coursekit") is None:  # not installed: use this folder's
    sys.path.insert(0, str(ROOT))

CELL_SECONDS = 3600


def lesson_files(names: list[str], folder: Path = ROOT / "lessons") -> list[Path]:
    """Return the sources of the named lessons, or of all: those whose name begins with a digit."""
    if names:
        return [folder / f"{Path(name).stem}.py" for name in names]
    return sorted(folder.glob("[0-9]*.py"))


def to_text(notebook: NotebookNode) -> str:
    """Return the file's text: validated, keys sorted, so that equal notebooks are equal bytes."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell in `folder` with this very Python, and keep the outputs in `notebook`.

    Raises:
        LessonError: a cell raised an error.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    class ThisPython(KernelSpecManager):
        """Hands out the kernel of this environment, whatever a stored kernel's name points to."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            from ipykernel.kernelspec import RESOURCES, get_kernel_dict

            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
        timeout=CELL_SECONDS,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # not its remarks on sockets
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise LessonError(str(error)) from None
    tidy_outputs(notebook)


def tidy_outputs(notebook: NotebookNode) -> None:
    """Number the cells 1, 2, ..., and drop what the run left in the metadata."""
    number = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key == "tags"}
        )
        if cell.cell_type != "code":
            continue
        number += 1
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    notebook.metadata = nbformat.from_dict(METADATA)


def keep_outputs(notebook: NotebookNode, stored: Path) -> None:
    """Copy into `notebook` the outputs of the file `stored`, whose code must be the same.

    Raises:
        LessonError: there is no such file, or a code cell differs.
    """
    if not stored.is_file():
        raise LessonError(f"{stored} does not exist; build it (without --no-execute or --check)")
    old = [cell for cell in nbformat.read(stored, as_version=4).cells if cell.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for before, now in zip(old, new, strict=False):
        same = code_that_ran(before.source) == code_that_ran(now.source)
        if not same or before.metadata != now.metadata:
            raise LessonError(f"{stored}: the code or the tags of cell {now.id!r} changed; rebuild")
    if len(old) != len(new):
        raise LessonError(f"{stored} has {len(old)} code cells, the lesson has {len(new)}; rebuild")
    for before, now in zip(old, new, strict=True):
        now.outputs, now.execution_count = before.outputs, before.execution_count


def code_that_ran(source: str) -> str:
    """Return a cell's source without what no stored output depends on.

    That is the set-up, which prints nothing, and a plan's other columns. Of the minutes two columns
    stay: at the full budget the plan prints those of the quick one, too.
    """
    if source.startswith(SETUP_LINE):
        return SETUP_LINE
    if "lesson.Plan(" not in source:
        return source
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lesson.Plan":
            for row in node.keywords:
                if isinstance(row.value, ast.Tuple) and len(row.value.elts) == 4:
                    # The first column is CIFAR-10 at the full budget.
                    row.value.elts[2 if row.arg == "minutes" else 1 :] = [ast.Constant(...)]
    return ast.unparse(tree)


def build(source: Path, out: Path, *, run: bool) -> dict[Path, str]:
    """Return the text of each file that the lesson `source` makes under `out`, and write none.

    With `run` the cells are executed, else the outputs stored under `out` are kept.
    """
    name = source.stem
    lesson = read_lesson(source)
    solved = solved_notebook(lesson, name)
    stored = out / "notebooks" / f"{name}.ipynb"
    if run:
        stored.parent.mkdir(parents=True, exist_ok=True)
        execute(solved, stored.parent)
    else:
        keep_outputs(solved, stored)
    exercises = exercise_notebook(lesson, solved, name)
    return {stored: to_text(solved), out / "exercises" / f"{name}.ipynb": to_text(exercises)}


def differences(files: dict[Path, str]) -> list[str]:
    """Say of each file whether and where what is stored is not `files`' text."""
    found = []
    for path, text in files.items():
        if not path.is_file():
            found.append(f"{path} is missing")
        elif path.read_text(encoding="utf-8") != text:
            cells = nbformat.reads(text, as_version=4).cells
            stored = nbformat.read(path, as_version=4).cells
            changed = [new.id for new, old in zip(cells, stored, strict=False) if new != old]
            where = f"first at cell {changed[0]!r}" if changed else "in its length or its metadata"
            found.append(f"{path} is not what its lesson builds, {where}")
    return found


def write(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    from coursekit.atomic import written_whole

    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_html(path: Path, text: str, folder: Path) -> None:
    """Write the notebook as a page."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(nbformat.reads(text, as_version=4))
    write(folder / path.parent.name / f"{path.stem}.html", page)


def refuse_bundled() -> None:
    """Stop before outputs of the drawn data set are stored as if they were CIFAR-10's."""
    from coursekit import data

    if data.load().name == "bundled":
        raise LessonError(
            "stored outputs come from real CIFAR-10, and COURSEKIT_DATA="
            f"{os.environ['COURSEKIT_DATA']} gives the bundled set; set it to cifar10 or to the "
            "folder that holds cifar-10-batches-py/, or draft with --allow-bundled"
        )


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return 0, or 1 with the reasons on stderr."""
    summary, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    parser.add_argument("--no-execute", action="store_true", help="keep the stored outputs")
    parser.add_argument("--allow-bundled", action="store_true", help="store bundled-set outputs")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write HTML pages there as well")
    parser.add_argument("--lessons", type=Path, default=ROOT / "lessons", help="sources' folder")
    parser.add_argument("--out", type=Path, default=ROOT, help="holds notebooks/ and exercises/")
    args = parser.parse_args(arguments)
    from coursekit.grading.environment import notebook_environment
    from guards import problems

    run = not (args.check or args.no_execute)
    try:
        if run:
            os.environ.update(notebook_environment(budget="full", data="cifar10"))
            if not args.allow_bundled:
                refuse_bundled()
                # The lessons' studies are stored with the package, which ships them.
                shipped = ROOT / "coursekit" / "training" / "studies"
                os.environ.setdefault("COURSEKIT_STUDIES", str(shipped))
        failures = []
        for source in lesson_files(args.names, args.lessons):
            files = build(source, args.out, run=run)
            if args.check:
                failures += differences(files)
            for path, text in {} if args.check else files.items():
                write(path, text)
                if path.parent.name == "notebooks":
                    failures += [f"{path}: {problem}" for problem in problems(path)]
            for path, text in files.items() if args.html else ():
                write_html(path, text, args.html)
    except LessonError as error:
        failures = [str(error)]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
