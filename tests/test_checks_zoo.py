"""The kill matrix: every wrong implementation is caught and named, on any seed."""

import re
import subprocess
import sys

import pytest

from coursekit.checks import ExerciseError, check, zoo
from coursekit.checks.exercises import EXERCISES, find
from coursekit.checks.failures import INVITATION

# Without lesson 4's: they join when coursekit.port is imported, which another test may have done.
ANIMALS = [a for a in zoo.animals() if a.function.__module__.startswith("coursekit.checks.")]


def _id(animal):
    return f"{animal.exercise}-{animal.name}".replace(" ", "_")


@pytest.fixture(scope="module")
def matrix():
    names = {a.exercise for a in ANIMALS}
    rows = zoo.kill_matrix(seed=1)  # the tests below see seed 0
    return [row for row in rows if row["exercise"] in names]


def test_the_collection_is_large_and_covers_every_exercise():
    find("adam")
    names = {k for k, e in EXERCISES.items() if e.run.__module__.startswith("coursekit.checks.")}
    assert len(ANIMALS) >= 750
    assert {a.exercise for a in ANIMALS} == names
    assert all(len(zoo.animals(name)) >= 5 for name in names)
    assert len({_id(a) for a in ANIMALS}) == len(ANIMALS)
    assert all(a.symptom and len(a.looks_like) > len("a few words") for a in ANIMALS)


def test_every_animal_is_caught_and_named(matrix):
    assert [r["animal"] for r in matrix if not r["caught"]] == []
    assert [r["animal"] for r in matrix if not r["named"]] == []


def test_ordinary_inputs_would_not_be_enough(matrix):
    """What the hostile inputs are for: without them more than a fifth would get through."""
    assert sum(r["ordinary"] for r in matrix) < 0.8 * len(ANIMALS)


@pytest.mark.parametrize("animal", ANIMALS, ids=_id)
def test_the_learner_is_told(animal):
    functions = zoo.functions_of(animal, find(animal.exercise))
    with pytest.raises(ExerciseError) as failure:
        check(animal.exercise, *functions)
    lines = str(failure.value).splitlines()
    assert lines[0].startswith(f"✗ {animal.exercise}: ")
    assert lines[1].startswith("  inputs: ")
    assert f"this looks like: {animal.looks_like}" in lines[2]
    assert lines[3:] in ([], [INVITATION])


def test_the_matrix_prints():
    run = subprocess.run(
        [sys.executable, "-m", "coursekit.checks.zoo"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert f"{len(ANIMALS)} of {len(ANIMALS)} caught by the checks" in run.stdout
    assert len(re.findall(r"^\w+  +\w.* yes", run.stdout, re.MULTILINE)) == len(ANIMALS)
