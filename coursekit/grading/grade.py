"""Grade a learner's notebook: run what its exercises need, and say of each how it stands.

Only the statements run on which a check depends (`coursekit.grading.slicing`), in the notebook's
order, in one kernel, on the bundled data at the quick budget; so trainings do not run. A piece of
code that does not end or takes the kernel with it costs its own exercise alone.

With a reference (the notebook as it was handed out) the checks are put back as they were, so that
an altered or deleted one changes nothing, and what they print is compared as well. Grading runs the
learner's code: a stranger's belongs in a container.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coursekit.checks.failures import INVITATION
from coursekit.grading.environment import notebook_environment
from coursekit.grading.kernel import Kernel, Ran, kernel
from coursekit.grading.notebook import Exercise, Part, exercises, lost_checks, read, restore
from coursekit.grading.slicing import Statement, needed

PASSED, WRONG, NOT_ATTEMPTED, COULD_NOT_RUN = "passed", "wrong", "not attempted", "could not run"
_WORST_FIRST = (COULD_NOT_RUN, WRONG, NOT_ATTEMPTED, PASSED)
_STANDING = {
    WRONG: "which is wrong",
    NOT_ATTEMPTED: "which is not written yet",
    COULD_NOT_RUN: "which could not run",
}


@dataclass(frozen=True)
class PartVerdict:
    """What became of one part of an exercise."""

    name: str
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of an exercise.

    Attributes:
        exercise: its name.
        outcome: "passed"; "wrong": its check found a mistake; "not attempted": the stub is
            untouched; or "could not run".
        message: the whole text of what is wrong, or "".
        parts: a verdict for each thing that its check cell checks.
        needs: the exercises that it uses and that are not passed.
        minutes, difficulty, importance: what the lesson says of it, or None.
    """

    exercise: str
    outcome: str
    message: str = ""
    parts: tuple[PartVerdict, ...] = ()
    needs: tuple[str, ...] = ()
    minutes: int | None = None
    difficulty: int | None = None
    importance: int | None = None


def grade(path: Path, reference: Path | None = None, *, cell_seconds: float = 60) -> list[Verdict]:
    """Return a verdict for each exercise that `reference` (else the notebook itself) declares.

    `cell_seconds` is how long any one statement or check may take.

    Raises:
        ValueError: a file is no notebook, or no exercise is declared.
        RuntimeError: no kernel starts.
    """
    cells, handed_out = read(path), read(reference) if reference else None
    lost = [] if handed_out else lost_checks(cells)
    if handed_out:
        cells = restore(cells, handed_out)
    asked, others = exercises(cells, handed_out)
    if not asked and not lost:
        raise ValueError(f"{reference or path}: no cell is tagged exercise:NAME; nothing to grade")
    grading = _Grading(asked, others)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        grading.run(Path(folder), path.resolve().parent, cell_seconds)
    gone = "its check cell is gone: copy it from the notebook as handed out, or give --reference"
    return grading.verdicts() + [Verdict(name, COULD_NOT_RUN, gone) for name in lost]


@dataclass(frozen=True)
class _Attempt:
    """A part to be tried below the first `position` statements."""

    exercise: Exercise
    part: Part
    position: int
    again: bool
    runs: frozenset[int]
    names: frozenset[str]


class _Grading:
    """The state of one notebook's grading."""

    def __init__(self, asked: Sequence[Exercise], others: Sequence[Statement]) -> None:
        self._asked, self._others = asked, others
        self._failed = {i: s.problem for i, s in enumerate(others) if s.problem}
        self._lost = set(self._failed)  # statements that cannot be run, or not again
        self._found: dict[tuple[str, Part], tuple[PartVerdict, _Attempt, str]] = {}
        self._hung: set[str] = set()  # names of exercises whose check did not come to an end

    def run(self, folder: Path, home: Path, seconds: float) -> None:
        """Try every part; a new kernel takes over where one was lost."""
        settings = notebook_environment(budget="quick", data="bundled", base={})
        settings.pop("PYTHONPATH", None)
        environment = notebook_environment(budget="quick", data="bundled") | settings
        environment["IPYTHONDIR"] = str(folder / "ipython")  # nobody's start-up files
        work = folder / "work"
        work.mkdir()
        waiting = self._attempts()
        while waiting:
            with kernel(environment, work, seconds) as running:
                # Last on the path: modules beside the notebook can be imported, and hide nothing.
                running.run(f"import sys; sys.path.append({str(home)!r}); del sys")
                waiting = self._session(running, waiting)

    def verdicts(self) -> list[Verdict]:
        """What became of each exercise."""
        alone = {exercise.name: self._alone(exercise) for exercise in self._asked}
        return [self._with_needs(exercise, alone) for exercise in self._asked]

    def _attempts(self) -> list[_Attempt]:
        """Every part at its place, and again below a definition that comes after it."""
        found = []
        for exercise in self._asked:
            below = [i + 1 for i, s in enumerate(self._others) if s.defines & exercise.own]
            for part in exercise.parts:
                for place in sorted({part.position, *below[-1:]}):
                    if place >= part.position:
                        runs, names = needed(self._others[:place], part.uses)
                        again = place > part.position
                        found.append(
                            _Attempt(
                                exercise, part, place, again, frozenset(runs), frozenset(names)
                            )
                        )
        return sorted(found, key=lambda attempt: attempt.position)

    def _session(self, running: Kernel, waiting: list[_Attempt]) -> list[_Attempt]:
        """Try parts until none is left or the kernel is lost; return those that are left."""
        ahead = sorted(set().union(*(attempt.runs for attempt in waiting)) - self._lost)
        for number, attempt in enumerate(waiting):
            if self._skip(attempt):
                continue
            while ahead and ahead[0] < attempt.position:
                index = ahead.pop(0)
                statement = self._others[index]
                ran = running.run(statement.code, statement.line)
                self._failed.pop(index, None)
                if ran.error:
                    self._failed[index] = _told(ran, statement)
                if ran.fatal:
                    self._lost.add(index)
                    return waiting[number:]
            ran = running.run(attempt.part.code, attempt.part.line)
            self._note(attempt, *_judged(attempt.part, ran), ran.printed)
            if ran.fatal:
                self._hung.add(attempt.exercise.name)
                return waiting[number + 1 :]
        return []

    def _skip(self, attempt: _Attempt) -> bool:
        """Settle a part without running it, where that can be done."""
        key = attempt.exercise.name, attempt.part
        if attempt.again and self._found[key][0].outcome == PASSED:
            return True
        if attempt.part.problem:
            self._note(attempt, COULD_NOT_RUN, attempt.part.problem)
            return True
        if hung := [e.name for e in self._uses(attempt) if e.name in self._hung]:
            self._note(
                attempt, COULD_NOT_RUN, f"not tried: it uses {hung[0]}, which did not finish"
            )
            return True
        return False

    def _note(self, attempt: _Attempt, outcome: str, message: str, printed: str = "") -> None:
        if outcome != PASSED and (cause := self._cause(attempt, outcome)):
            outcome, message = COULD_NOT_RUN, cause
        found = PartVerdict(attempt.part.name, outcome, message)
        self._found[attempt.exercise.name, attempt.part] = found, attempt, printed

    def _cause(self, attempt: _Attempt, outcome: str) -> str:
        """Why a name that a part depends on is missing or out of date, or ""."""
        last = self._last(attempt)
        broken = {i for name, i in last.items() if name in attempt.names and i in self._failed}
        if not broken and outcome == COULD_NOT_RUN:  # an import may do more than bind a name
            imports = (i for i in attempt.runs if self._others[i].imports)
            broken = {i for i in imports if i in self._failed}
        return self._failed[min(broken)] if broken else ""

    def _last(self, attempt: _Attempt) -> dict[str, int]:
        """Where each name is bound last of what runs before a part."""
        return {name: i for i in sorted(attempt.runs) for name in self._others[i].binds}

    def _uses(self, attempt: _Attempt) -> list[Exercise]:
        others = (e for e in self._asked if e.name != attempt.exercise.name)
        return [e for e in others if e.own & attempt.names - attempt.exercise.own]

    def _unfinished(self, attempt: _Attempt) -> bool:
        """Whether what the exercise asks for still raises NotImplementedError."""
        last = self._last(attempt)
        own = attempt.exercise.own & last.keys()
        return any(self._others[last[name]].unfinished for name in own)

    def _alone(self, exercise: Exercise) -> Verdict:
        """The verdict by the exercise's own parts."""
        found = [self._found[exercise.name, part] for part in exercise.parts]
        parts = [verdict for verdict, _, _ in found]
        outcome = min((part.outcome for part in parts), key=_WORST_FIRST.index)
        message = "\n".join(part.message for part in parts if part.message)
        printed = {line for _, _, text in found for line in text.splitlines()}
        if outcome == PASSED and not printed.issuperset(exercise.lines):
            outcome, message = WRONG, "the check printed something other than the reference"
        elif outcome == PASSED and any(attempt.again for _, attempt, _ in found):
            message = "with the definition below its check; move it above, so that Run All passes"
        return Verdict(
            exercise.name,
            outcome,
            message,
            tuple(parts),
            minutes=exercise.minutes,
            difficulty=exercise.difficulty,
            importance=exercise.importance,
        )

    def _with_needs(self, exercise: Exercise, alone: dict[str, Verdict]) -> Verdict:
        """Add which unfinished exercises it uses, and put right what that explains."""
        verdict = alone[exercise.name]
        attempts = [self._found[exercise.name, part][1] for part in exercise.parts]
        used = {e.name: alone[e.name] for attempt in attempts for e in self._uses(attempt)}
        open_ones = [v for v in used.values() if v.outcome != PASSED]
        if verdict.outcome == PASSED or not open_ones:
            return verdict
        uses = "; ".join(f"it uses {v.exercise}, {_STANDING[v.outcome]}" for v in open_ones)
        outcome, message = verdict.outcome, verdict.message
        if any(map(self._unfinished, attempts)):
            outcome = NOT_ATTEMPTED if outcome == COULD_NOT_RUN else outcome
        elif outcome == NOT_ATTEMPTED:
            outcome, message = COULD_NOT_RUN, uses
        else:
            message = f"{message}\n{uses}: fix that first"
        needs = tuple(v.exercise for v in open_ones)
        return replace(verdict, outcome=outcome, message=message, needs=needs)


def _judged(part: Part, ran: Ran) -> tuple[str, str]:
    """Outcome and message of a part that was run."""
    if not ran.error:
        if part.proof and not re.search(part.proof, ran.printed, re.MULTILINE):
            return COULD_NOT_RUN, "`check` is no longer the course's: the notebook redefines it"
        return PASSED, ""
    unwritten = ran.error in ("NotAttempted", "NotImplementedError")
    if unwritten or (ran.error == "ExerciseError" and "not implemented yet" in ran.message):
        return NOT_ATTEMPTED, ran.message
    if ran.error in ("ExerciseError", "CheckFailed"):
        return WRONG, ran.message.removesuffix(f"\n{INVITATION}")  # its session is over
    return (WRONG if ran.error == "AssertionError" else COULD_NOT_RUN), _told(ran, part)


def _told(ran: Ran, piece: Statement | Part) -> str:
    """An error as a learner reads it: what, where in the cell, and the line itself."""
    lines = dict(enumerate(piece.code.split("\n"), piece.line))
    if ran.line not in lines:
        return f"{ran.error}: {ran.message}".removesuffix(": ")
    where = f"{ran.error}: line {ran.line} of the cell: {ran.message}".removesuffix(": ")
    return f"{where}\n    {lines[ran.line].strip()}"
