"""The check that failed last, kept with its arrays, so that one can look closer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.checks.outcomes import Mismatch, describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


INVITATION = "  to look closer: from coursekit import checks; checks.last_failure().plot()"


@dataclass(frozen=True, eq=False, repr=False)
class Failure:
    """The first case on which a learner's function failed.

    Attributes:
        exercise: its name.
        case: the inputs in words.
        inputs: by argument name, as the function got them.
        expected: the reference's results by name, arrays and numbers.
        got: the learner's; empty if the function raised an error or returned something else.
        message: what :func:`check` said.
        differs: every result whose shape, dtype or values are wrong, the one in the message first;
            empty if the values are right and something else is not, or if ``got`` is empty.
    """

    exercise: str
    case: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    got: dict[str, Any]
    message: str
    differs: list[Mismatch]

    @property
    def result(self) -> str:
        """The name of the first result that differs, "" if none does."""
        return self.differs[0].result if self.differs else ""

    def __repr__(self) -> str:
        lines = [self.message]
        lines += [f"  also: {found.sentence}" for found in self.differs[1:]]
        for title, values in (("inputs", self.inputs), ("expected", self.expected)):
            lines.append(f"  .{title}: {_listed(values)}")
        nothing = "empty: the function did not return these results"
        lines.append(f"  .got: {_listed(self.got) if self.got else nothing}")
        if self.differs:
            lines.append("  .plot() draws where they differ")
        return "\n".join(lines)

    def invitation(self) -> str:
        """A line for the end of the message if there are arrays worth a look, else ""."""
        worth = self.differs and self.differs[0].wrong is not None and self.differs[0].worst
        return f"\n{INVITATION}" if worth else ""

    def plot(self, result: str = "") -> "Figure":
        """Draw expected, got and their difference.

        Of arrays with more than two axes the last two are drawn, at the entry that is most wrong.

        Args:
            result: which one, by name; the first that differs if it is left out.

        Returns:
            a figure; it holds words where there is nothing to draw.

        Raises:
            ValueError: there is no result of that name.
        """
        from coursekit.checks.failure_plot import plot

        if result and result not in self.expected:
            names = ", ".join(self.expected)
            raise ValueError(f"result: got {result!r}; needed one of {names}")
        return plot(self, result or self.result)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({_told(value)})" for name, value in values.items()) or "none"


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.dtype}, {' × '.join(map(str, value.shape))}"
    if isinstance(value, bool | int | float | np.number | np.ndarray | str):
        return f"{value}"
    return describe(value)


_last: Failure | None = None


def remember(failure: Failure) -> None:
    """Make it what :func:`last_failure` returns."""
    global _last
    _last = failure


def last_failure() -> Failure:
    """The :class:`Failure` of the last ``check`` that failed in this session.

    Raises:
        LookupError: none has.
    """
    if _last is None:
        raise LookupError("last_failure: no check has failed in this session yet")
    return _last
