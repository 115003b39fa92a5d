"""How a check speaks: one constant line when it passes, one short block when it does not."""

import sys


class CheckFailed(AssertionError):
    """A check did not pass. Jupyter shows the message alone, without a page of traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of the traceback (its hook, hence the name)."""
        return str(self).splitlines()


class ExerciseError(CheckFailed):
    """An exercise's function is missing, crashes, or computes something else."""


class NotAttempted(ExerciseError):
    """An exercise's function, or one that it needs, still raises ``NotImplementedError``."""


def say(line: str) -> None:
    """Print ``line``; a console that cannot show ✓ and ✗ gets OK and FAILED instead."""
    try:
        line.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        for mark, plain in (("✓", "OK"), ("✗", "FAILED"), ("·", "-")):
            line = line.replace(mark, plain)
        line = line.encode("ascii", "replace").decode()
    print(line)


def apart(expected: float, got: float) -> tuple[str, str]:
    """Two numbers that differ, with as many digits as it takes to see that."""
    for digits in (6, 9, 12, 17):
        told = f"{float(expected):.{digits}g}", f"{float(got):.{digits}g}"
        if told[0] != told[1]:
            break
    return told


def number(value: float) -> str:
    """A number as a reader wants it: six digits, and an honest nan or inf."""
    return f"{float(value):.6g}"
