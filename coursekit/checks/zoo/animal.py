"""What a wrong implementation is, and where the collection keeps them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Animal:
    """A wrong implementation of an exercise.

    Attributes:
        name: short, unique within its exercise.
        exercise: which exercise it gets wrong.
        symptom: what somebody who uses it sees.
        looks_like: the bug, as the check names it to a learner.
        function: the wrong code.
        forward: for an exercise that checks a pair, the forward that goes with it, or None for
            the reference's.
    """

    name: str
    exercise: str
    symptom: str
    looks_like: str
    function: Callable
    forward: Callable | None = None


COLLECTION: list[Animal] = []


def named(function: Callable, name: str, looks_like: str) -> Callable:
    """``function`` under a name and with a docstring, for animals that differ by a number."""
    function.__name__, function.__doc__ = name.replace(" ", "_"), looks_like
    return function


def animal(exercise: str, symptom: str, forward: Callable | None = None) -> Callable:
    """Put a function into the collection; its docstring says what the bug is."""

    def collect(function: Callable) -> Callable:
        name = function.__name__.replace("_", " ")
        looks_like = " ".join((function.__doc__ or name).split()).rstrip(".")
        COLLECTION.append(Animal(name, exercise, symptom, looks_like, function, forward))
        return function

    return collect
