"""What a notebook holds for the grader: its exercises, their checks, and everything else.

Nothing is run here. A notebook is read leniently: whatever a learner's editor made of ids, tags or
line ends, the code cells count.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import nbformat.reader

from coursekit.grading.slicing import Statement, statements
from coursekit.grading.tags import named_tags

_ESTIMATE = re.compile(
    r"Difficulty\s+(\d)/5\s*·\s*importance\s+(\d)/5\s*·\s*(\d+)\s+minutes", re.IGNORECASE
)
_HEADING = re.compile(r"^#+\s*Exercise:\s*(\w+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """What counts of a cell; `printed` is the stored text of its outputs."""

    kind: str
    source: str
    exercises: tuple[str, ...] = ()
    printed: str = ""


@dataclass(frozen=True)
class Part:
    """One thing that a check cell checks: a call of ``check``, or the whole cell.

    Attributes:
        name: what is checked, for example "linear_backward".
        code: what to run.
        line: where it begins in its cell.
        position: how many of the notebook's other statements stand above it.
        functions: the global names that are handed to the check.
        uses: all global names in its code.
        proof: pattern of the line that a passed check prints, or "".
        problem: why it cannot be run, or "".
    """

    name: str
    code: str
    position: int
    functions: frozenset[str]
    uses: frozenset[str]
    proof: str = ""
    problem: str = ""
    line: int = 1


@dataclass(frozen=True)
class Exercise:
    """An exercise, its parts, and what its text says of it.

    Attributes:
        own: the names that are first checked here, so those that the exercise asks for.
        lines: what its check printed where that is stored, to be found again.
        difficulty, importance: of 5, or None where the text does not say.
        minutes: the lesson's own estimate, or None.
    """

    name: str
    parts: tuple[Part, ...]
    own: frozenset[str]
    lines: tuple[str, ...] = ()
    difficulty: int | None = None
    importance: int | None = None
    minutes: int | None = None


def read(path: Path) -> list[Cell]:
    """Return the cells of the notebook `path`, of whatever version.

    Raises:
        ValueError: it cannot be read; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return [_cell(cell) for cell in nbformat.convert(nbformat.reader.reads(text), 4).cells]
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
        nbformat.ValidationError,
    ) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: not a readable notebook: {reason[0]}") from None


def restore(cells: Sequence[Cell], reference: Sequence[Cell]) -> list[Cell]:
    """Return `cells` with the reference's checks in place of their own.

    A check that is gone is put back below the last definition of what it checks.
    """
    checks = {name: cell for cell in reversed(reference) for name in cell.exercises}
    found = [checks[known[0]] if (known := _known(cell, checks)) else cell for cell in cells]
    present = {name for cell in found for name in cell.exercises}
    for name in dict.fromkeys(name for cell in reference for name in cell.exercises):
        if name not in present:
            found.insert(_below_definitions(found, checks[name]), checks[name])
    return found


def exercises(
    cells: Sequence[Cell], reference: Sequence[Cell] | None = None
) -> tuple[list[Exercise], list[Statement]]:
    """Return the exercises of a notebook, and its statements without their checks.

    `reference`, the notebook as handed out, says which there are, what their checks print and how
    long they take; without it, the notebook itself does.
    """
    told = cells if reference is None else reference
    everything = statements((i, cell.source) for i, cell in enumerate(cells) if cell.kind == "code")
    trusted = any(
        map(_imports_check, statements(enumerate(c.source for c in told if c.kind == "code")))
    )
    parts: dict[str, dict[str, Part]] = {name: {} for cell in told for name in cell.exercises}
    others: list[Statement] = []
    for index, cell in enumerate(cells):
        here = [s for s in everything if s.cell == index]
        if cell.exercises:
            made, here = _parts(cell, here, len(others), trusted)
            for name in cell.exercises:
                for part in made if name in parts else ():
                    parts[name].pop(part.code, None)  # of a copy, the last one counts
                    parts[name][part.code] = part
        others += here
    found, known = [], frozenset[str]()
    for name, checked in parts.items():
        functions = frozenset[str]().union(*(part.functions for part in checked.values()))
        exercise = Exercise(name, tuple(checked.values()), functions - known or functions)
        known |= functions
        found.append(_with_estimates(exercise, told, stored=reference is not None))
    return found, others


def lost_checks(cells: Sequence[Cell]) -> list[str]:
    """Return the exercises whose text is there and whose check is not."""
    checked = {name for cell in cells for name in cell.exercises}
    told = [c.source for c in cells if c.kind == "markdown" and _ESTIMATE.search(c.source)]
    return [name for text in told for name in _HEADING.findall(text) if name not in checked]


def _cell(cell: Any) -> Cell:
    source = cell.get("source")
    source = source if isinstance(source, str) else ""
    metadata = cell.get("metadata") or {}
    outputs = [o for o in cell.get("outputs") or [] if o.get("name") == "stdout"]
    return Cell(
        kind=cell.get("cell_type", ""),
        source=source.replace("\r\n", "\n").replace("\r", "\n"),
        exercises=tuple(named_tags(metadata.get("tags"), "exercise")),
        printed="".join(o["text"] for o in outputs if isinstance(o.get("text"), str)),
    )


def _known(cell: Cell, checks: dict[str, Cell]) -> list[str]:
    return [name for name in cell.exercises if name in checks]


def _below_definitions(cells: Sequence[Cell], check: Cell) -> int:
    """The place below the last cell that defines what `check` checks; else the end."""
    parts, _ = _parts(check, statements([(0, check.source)]), 0, False)
    names = "|".join(map(re.escape, sorted({name for part in parts for name in part.functions})))
    defines = re.compile(rf"^\s*(?:async\s+)?(?:def|class)\s+(?:{names})\b", re.MULTILINE)
    below = [i + 1 for i, c in enumerate(cells) if c.kind == "code" and defines.search(c.source)]
    return max(below, default=len(cells))


def _imports_check(statement: Statement) -> bool:
    node = statement.node
    if not isinstance(node, ast.ImportFrom) or node.module != "coursekit.checks":
        return False
    return any((alias.asname or alias.name) == "check" for alias in node.names)


def _parts(
    cell: Cell, here: list[Statement], position: int, trusted: bool
) -> tuple[list[Part], list[Statement]]:
    """The parts of a check cell, and its statements that are none."""
    parts: list[Part] = []
    others: list[Statement] = []
    for statement in here:
        if call := _check_call(statement.node):
            first = call.args[0] if call.args else None
            given = first.value if isinstance(first, ast.Constant) else None
            named = isinstance(given, str)
            name = given if isinstance(given, str) else cell.exercises[0]
            functions = {
                n.id for arg in call.args for n in ast.walk(arg) if isinstance(n, ast.Name)
            }
            proof = rf"^(?:✓|OK) {re.escape(name)}: \d+ checks passed$" if trusted and named else ""
            part = Part(
                name, statement.code, position + len(others), frozenset(functions), statement.uses
            )
            parts.append(replace(part, proof=proof, line=statement.line))
        else:
            others.append(statement)
    if parts:
        return parts, others
    # No call of check: the cell as a whole, by whatever means it checks.
    code = "\n".join(s.code for s in here)
    problem = "; ".join(s.problem for s in here if s.problem)
    if not code and not problem:
        problem = "its check cell is empty"
    uses = frozenset[str]().union(*(s.uses - s.binds for s in here))
    return [Part(cell.exercises[0], code, position, uses, uses, problem=problem)], []


def _check_call(node: ast.stmt | None) -> ast.Call | None:
    """The call of ``check`` in a statement, wherever it stands in it."""
    for call in ast.walk(node) if node else ():
        if isinstance(call, ast.Call):
            called = call.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name == "check":
                return call
    return None


def _with_estimates(exercise: Exercise, told: Sequence[Cell], *, stored: bool) -> Exercise:
    """Add what the text above the check says, and, if `stored` counts, what the check printed."""
    at = next(i for i, cell in enumerate(told) if exercise.name in cell.exercises)
    # A proof is found whatever the number of checks, which grows with the package.
    proofs = [re.compile(part.proof) for part in exercise.parts if part.proof]
    lines = tuple(
        line
        for line in (told[at].printed.splitlines() if stored else ())
        if line.strip() and not any(proof.match(line) for proof in proofs)
    )
    for cell in reversed(told[:at]):
        if cell.exercises:
            break
        if cell.kind == "markdown" and (said := _ESTIMATE.findall(cell.source)):
            difficulty, importance, minutes = map(int, said[-1])
            return replace(
                exercise,
                lines=lines,
                difficulty=difficulty,
                importance=importance,
                minutes=minutes,
            )
    return replace(exercise, lines=lines)
