"""What a gradient check found: a verdict in words, and a picture of where the error is."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.report import CheckFailed, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from coursekit.checks.probe import Probe


@dataclass
class ArgumentReport:
    """The gradient of one argument: what backward gave, what the differences say."""

    name: str
    key: Any
    shape: tuple[int, ...]
    analytic: NDArray  # flat
    scale: float = 0.0  # largest gradient seen
    structural_zero: bool = False
    numeric: dict[int, float] = field(default_factory=dict)  # by flat index
    wrong: list[int] = field(default_factory=list)
    kinks: list[int] = field(default_factory=list)
    near: list[int] = field(default_factory=list)  # right, but over tiny steps only
    edges: list[int] = field(default_factory=list)  # beside them the function is not finite

    def add(self, i: int, numeric: float, verdict: str) -> None:
        """Record one entry."""
        self.numeric[i] = numeric
        if verdict == "wrong":
            self.wrong.append(i)
        elif verdict == "kink":
            self.kinks.append(i)
        elif verdict == "near":
            self.near.append(i)
        elif verdict == "edge":
            self.edges.append(i)

    @property
    def too_many_kinks(self) -> bool:
        """True if more than half of what was looked at says nothing."""
        return 2 * len(self.kinks) > len(self.numeric)

    def error(self, i: int) -> float:
        """Error of entry ``i`` as a fraction of the argument's largest gradient."""
        return float(abs(self.analytic[i] - self.numeric[i]) / (self.scale or 1.0))

    def problem(self) -> str | None:
        """The worst entry in words, or None."""
        if self.wrong:
            worst = max(self.wrong, key=self.error)
            index = tuple(int(j) for j in np.unravel_index(worst, self.shape))
            return (
                f"the gradient of {self.name} is wrong at index {index}: "
                f"expected {number(self.numeric[worst])}, got {number(self.analytic[worst])} "
                f"({len(self.wrong)} of {len(self.numeric)} entries checked are wrong"
                f"{self._pattern()})"
            )
        if self.edges:
            index = tuple(int(j) for j in np.unravel_index(self.edges[0], self.shape))
            share = f"{len(self.edges)} of {len(self.numeric)} entries checked"
            return (
                f"forward gives numbers at {self.name}, but none where {self.name} is moved a "
                f"little at index {index} ({share}): the inputs lie at the edge of what it takes, "
                "so check at other inputs"
            )
        if self.too_many_kinks:
            return (
                f"{len(self.kinks)} of {len(self.numeric)} entries of {self.name} lie on a kink, "
                "where there is no gradient to compare with: check at other inputs"
            )
        return None

    def _pattern(self) -> str:
        """Say so if every wrong entry is off by the same factor."""
        if len(self.wrong) < 2:
            return ""
        got = self.analytic[self.wrong]
        expected = np.array([self.numeric[i] for i in self.wrong])
        big = np.abs(expected) > 1e-3 * self.scale
        ratios = got[big] / expected[big]
        if len(ratios) < 2 or np.ptp(ratios) > 1e-3 * np.max(np.abs(ratios)):
            return ""
        return f", each {number(float(np.round(np.median(ratios), 6)))} times the right value"


class GradCheckResult:
    """Verdict of a gradient check. True if it passed.

    Attributes:
        problems: one sentence for each thing that is wrong; empty if it passed.
        arguments: an :class:`ArgumentReport` for each argument compared.
    """

    def __init__(
        self,
        problems: list[str],
        arguments: list[ArgumentReport],
        *,
        names: list[str] | None = None,
        probe: "Probe | None" = None,
    ) -> None:
        found = [r.problem() for r in arguments]
        self.problems = problems + [p for p in found if p]
        self.arguments = arguments
        self._names = names or [r.name for r in arguments]
        self._probe = probe

    @property
    def passed(self) -> bool:
        """True if nothing was found."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        if self.passed:
            names = ", ".join(self._names)
            return f"PASS gradcheck: the gradient of {names} agrees with central differences"
        return "\n  ".join(["FAIL gradcheck", *self.problems])

    __repr__ = __str__

    def raise_if_failed(self) -> None:
        """Raise :class:`CheckFailed` with all problems unless the check passed."""
        if not self.passed:
            raise CheckFailed(str(self))

    def table(self) -> list[dict[str, Any]]:
        """One row an argument: entries, how many were checked, kinks, largest error."""
        return [
            {
                "argument": r.name,
                "entries": r.analytic.size,
                "checked": len(r.numeric),
                "wrong": len(r.wrong),
                "kinks": len(r.kinks),
                "structural zero": r.structural_zero,
                "largest error": max(
                    (r.error(i) for i in r.numeric if i not in (*r.kinks, *r.edges)), default=0.0
                ),
            }
            for r in self.arguments
        ]

    def plot(self) -> "Figure":
        """Where the error is, and how it depends on the step; see ``gradcheck_plot``."""
        from coursekit.checks.gradcheck_plot import plot

        if self._probe is None or not self.arguments:
            raise CheckFailed(f"there is nothing to draw: no numbers were compared\n{self}")
        return plot(self.arguments, self._probe)
