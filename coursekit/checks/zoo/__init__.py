"""The bug zoo: wrong implementations that learners really write, each with a name.

They serve three times. The tests prove that the exercise checks catch every one of them (a
check that has never failed proves nothing). A failing check compares the learner's function
with them and names the likely bug. And reading them is a lesson of its own.
"""

from typing import Any

from coursekit.checks.exercises import Exercise, Functions, diagnose, find
from coursekit.checks.zoo import (  # noqa: F401  importing fills the collection
    bands,
    calibration,
    columns,
    conv_training,
    convolution,
    convolution_backward,
    convolution_cost,
    dropout,
    folding,
    grad_cam,
    group_normalisation,
    group_normalisation_backward,
    initialisation,
    layer_normalisation,
    layers,
    losses,
    nets,
    normalisation,
    normalisation_backward,
    normalisation_graph,
    numerical,
    occlusion,
    optimisers,
    pooling,
    pooling_backward,
    receptive_field,
    spatial_normalisation,
    spatial_normalisation_backward,
)
from coursekit.checks.zoo.animal import COLLECTION, Animal

__all__ = ["Animal", "animals", "functions_of", "kill_matrix"]


def animals(exercise: str | None = None) -> list[Animal]:
    """All animals, or those of one exercise."""
    return [a for a in COLLECTION if exercise in (None, a.exercise)]


def functions_of(animal: Animal, exercise: Exercise) -> Functions:
    """The functions that ``check`` would get: the animal, and the forward before it if any."""
    if len(exercise.functions) == 1:
        return (animal.function,)
    return (animal.forward or exercise.reference[0], animal.function)


def kill_matrix(seed: int = 0) -> list[dict[str, Any]]:
    """Put every animal before its exercise's check.

    Args:
        seed: draws the inputs.

    Returns:
        one row an animal: ``exercise``, ``animal``, ``caught``; ``ordinary``, whether comparing
        the values of one ordinary float64 batch would have caught it; ``cases``, how many of
        the check's cases it fails; ``named``, whether the message names the bug; ``message``.
    """
    rows = []
    for animal in animals():
        exercise = find(animal.exercise)
        found = diagnose(exercise, functions_of(animal, exercise), seed)
        rows.append(
            {
                "exercise": animal.exercise,
                "animal": animal.name,
                "caught": bool(found.failed),
                "ordinary": found.seen,
                "cases": len(found.failed),
                "named": animal.looks_like in found.message,
                "message": found.message,
            }
        )
    return rows
