"""The plan of a lesson: how much it computes in which world, decided once.

A world is a data set at a budget. A lesson states its plan at its head as a table, one row for each
size, number of epochs or bar, with one column for each of the four worlds; its cells then say
``plan.epochs`` and know nothing of worlds.
"""

import os
from typing import Any

from coursekit.data import budget
from coursekit.data.dataset import Dataset
from coursekit.lesson.speed import relative_time

WORLDS = (("cifar10", "full"), ("cifar10", "quick"), ("bundled", "full"), ("bundled", "quick"))
"""The columns of a plan, as (name of the data set, budget)."""

_TITLES = {"cifar10": "CIFAR-10", "bundled": "the bundled pictures, drawn by code"}


class Plan:
    """A lesson's sizes, epochs and bars in this world, as attributes.

    ``print(plan)`` says which world this is and how long the lesson will take here.

    Args:
        data: what the lesson loaded; its name and `COURSEKIT_BUDGET` choose the column.
        minutes: how long the lesson takes in each world on the machine its outputs come from.
        rows: for each name its values in the four worlds, in the order of `WORLDS`.

    Raises:
        ValueError: a row has not four values, has a name that is taken, or the data is neither
            CIFAR-10 nor the bundled set.

    Example:
        >>> plan = Plan(ds, minutes=(18, 4, 9, 2), epochs=(30, 6, 30, 6))  # doctest: +SKIP
        >>> plan.epochs  # doctest: +SKIP
        30
    """

    def __init__(
        self, data: Dataset, *, minutes: tuple[float, float, float, float], **rows: tuple
    ) -> None:
        for name, row in {"minutes": minutes, **rows}.items():
            if not isinstance(row, tuple) or len(row) != len(WORLDS):
                raise ValueError(
                    f"{name}: got {row!r}; needed a tuple of {len(WORLDS)} values, for "
                    + ", ".join(map(" ".join, WORLDS))
                )
        world = data.name, budget()
        if world not in WORLDS:
            known = sorted({name for name, _ in WORLDS})
            raise ValueError(f"data: got one named {data.name!r}; needed one of {known}")
        column = WORLDS.index(world)
        self.data_name, self.budget = world
        self.full = self.budget == "full"
        self.minutes = minutes[column]
        self._pictures = len(data.train)
        self._quick_minutes = minutes[WORLDS.index((data.name, "quick"))]
        self._rows = {name: row[column] for name, row in rows.items()}
        for name, value in self._rows.items():
            if hasattr(self, name):
                raise ValueError(f"{name}: a plan has an attribute of that name; choose another")
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Reached for unknown names alone; declared so that type checkers let rows be attributes.
        if name.startswith("_"):  # copy and pickle ask for such before there are any rows
            raise AttributeError(name)
        raise AttributeError(f"the plan has no row {name!r}; there are {sorted(self._rows)}")

    def __repr__(self) -> str:
        asked = os.environ.get("COURSEKIT_DATA")
        why = f", as COURSEKIT_DATA={asked} asks" if asked == self.data_name else ""
        told = [
            f"This lesson runs on {_TITLES[self.data_name]} ({self._pictures:,} for training) at "
            f"the {self.budget} budget{why}.",
            f"On this machine it takes about {_spoken(self.minutes * relative_time())}"
            + (f"; with COURSEKIT_BUDGET=quick, {self._quick()}." if self.full else "."),
        ]
        if (self.data_name, self.budget) != WORLDS[0]:
            told.append(
                "The text reports what was found on CIFAR-10 at the full budget. Your numbers will "
                "differ; the checks below each claim hold here too."
            )
        return "\n".join(told)

    def _quick(self) -> str:
        return _spoken(self._quick_minutes * relative_time())


def _spoken(minutes: float) -> str:
    """Two digits at most: "a minute", "8 minutes", "35 minutes", "1.5 hours"."""
    if minutes < 1.5:
        return "a minute"
    if minutes < 90:
        return f"{minutes:.0f} minutes" if minutes < 10 else f"{round(minutes / 5) * 5} minutes"
    return f"{round(minutes / 30) / 2:g} hours"
