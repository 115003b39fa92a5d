"""Verdicts as a table to read, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coursekit.atomic import written_whole
from coursekit.grading.grade import NOT_ATTEMPTED, PASSED, Verdict

_PLAIN = str.maketrans({"✓": "OK", "✗": "FAILED", "·": "-", "×": "x", "–": "-", "’": "'"})


@dataclass(frozen=True)
class Graded:
    """A notebook's verdicts, or why there are none."""

    notebook: Path
    verdicts: tuple[Verdict, ...] = ()
    error: str = ""

    @property
    def passed(self) -> int:
        """How many exercises passed."""
        return sum(verdict.outcome == PASSED for verdict in self.verdicts)

    @property
    def minutes_left(self) -> int:
        """What the lesson estimates for the exercises that are not passed."""
        return sum(v.minutes or 0 for v in self.verdicts if v.outcome != PASSED)

    @property
    def next(self) -> Verdict | None:
        """The first exercise that is not passed and waits for no other."""
        waiting = [v for v in self.verdicts if v.outcome != PASSED]
        return next((v for v in waiting if not v.needs), waiting[0] if waiting else None)

    def table(self) -> str:
        """Return the text for a terminal: a row for each exercise, what is wrong below it."""
        if self.error:
            return f"{self.notebook}\n  could not be graded: {self.error}"
        width = max(len(verdict.exercise) for verdict in self.verdicts)
        lines = [str(self.notebook)]
        for verdict in self.verdicts:
            row = f"  {verdict.exercise:<{width}}  {verdict.outcome:<13}  {_beside(verdict)}"
            lines.append(row.rstrip())
            if not _untouched(verdict):
                lines += [f"      {line}".rstrip() for line in verdict.message.splitlines()]
        score = f"  {self.passed} of {len(self.verdicts)} exercises passed"
        if self.minutes_left:
            score += f"; about {self.minutes_left} minutes left by the lesson's own estimates"
        lines.append(score)
        if self.next:
            lines.append(f"  next: {self.next.exercise}{_effort(self.next)}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes of this notebook."""
        return {
            "notebook": str(self.notebook),
            "error": self.error or None,
            "passed": self.passed,
            "of": len(self.verdicts),
            "score": self.passed / len(self.verdicts) if self.verdicts else None,
            "minutes_left": self.minutes_left,
            "next": self.next.exercise if self.next else None,
            "exercises": [asdict(verdict) for verdict in self.verdicts],
        }


def write_json(report: Sequence[Graded], path: Path) -> None:
    """Write all verdicts to `path`, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps([graded.as_json() for graded in report], indent=2) + "\n"
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def shown(text: str, encoding: str | None) -> str:
    """Return `text` with what `encoding` cannot hold replaced."""
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def _beside(verdict: Verdict) -> str:
    """What stands right of the outcome: how much is done, else how long it takes."""
    right = sum(part.outcome == PASSED for part in verdict.parts)
    if verdict.outcome == PASSED:
        return ""
    if len(verdict.parts) > 1 and (right or verdict.outcome != NOT_ATTEMPTED):
        return f"{right} of {len(verdict.parts)} parts"
    return (
        f"{verdict.minutes} minutes" if verdict.outcome == NOT_ATTEMPTED and verdict.minutes else ""
    )


def _untouched(verdict: Verdict) -> bool:
    return verdict.outcome == NOT_ATTEMPTED and all(
        part.outcome == NOT_ATTEMPTED for part in verdict.parts
    )


def _effort(verdict: Verdict) -> str:
    if verdict.minutes is None:
        return ""
    return f" (difficulty {verdict.difficulty}/5, {verdict.minutes} minutes)"
