"""Checks for exercises: the learner's function beside the reference, on hostile inputs.

``check("linear_forward", linear_forward)`` prints one line that never changes, or raises
:class:`ExerciseError` with what was wrong, on which inputs, expected and got, and the bug it
looks like. What the exercises are stands in ``exercises_fc_layers`` and its like, how functions
are run and compared in ``outcomes``, and what learners get wrong in ``zoo``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.checks.outcomes import Outcome, agree, execute, mismatch
from coursekit.checks.report import ExerciseError, say

if TYPE_CHECKING:
    from coursekit.checks.zoo.animal import Animal

Functions = tuple[Callable, ...]


@dataclass(frozen=True)
class Case:
    """One set of inputs, by argument name: arrays, lists of arrays, numbers.

    ``layout`` is "plain", "strided" (every second element of a larger array) or "read-only".
    """

    description: str
    inputs: dict[str, Any]
    layout: str = "plain"

    def build(self) -> dict[str, Any]:
        """Fresh copies of the inputs in the case's memory layout."""
        return {name: _lay_out(value, self.layout) for name, value in self.inputs.items()}

    @property
    def has_arrays(self) -> bool:
        """True if there is a memory layout to vary."""
        return any(isinstance(value, np.ndarray | list) for value in self.inputs.values())

    def in_dtype(self, dtype: type) -> "Case":
        """The same inputs with all floating-point arrays in ``dtype``."""
        inputs = {name: _cast(value, dtype) for name, value in self.inputs.items()}
        return replace(self, description=f"{self.description}, in {np.dtype(dtype)}", inputs=inputs)

    def laid_out(self, layout: str) -> "Case":
        """The same inputs in another memory layout."""
        return replace(self, description=f"{self.description}, {layout} arrays", layout=layout)


@dataclass(frozen=True)
class Exercise:
    """A function, or a pair, that a learner writes.

    Attributes:
        name: of the exercise and of its (last) function.
        functions: names of the learner's functions, in the order ``check`` takes them.
        reference: what they are compared with.
        run: ``run(functions, inputs)`` calls them and returns the results by name. Names that
            start with "cache" may share memory with the inputs.
        cases: makes the inputs; the first one is the ordinary case, the others are hostile.
        rtol: how close float64 results must be.
        floats: dtypes to try; if several, results must come in the dtype of the inputs.
        optional: how many leading functions may be left out, for the reference's to be used.
        may_write: True where writing to the inputs and putting things back is the normal way.
    """

    name: str
    functions: tuple[str, ...]
    reference: Functions
    run: Callable[[Functions, dict[str, Any]], dict[str, Any]]
    cases: Callable[[np.random.Generator], list[Case]]
    rtol: float = 1e-7
    floats: tuple[type, ...] = (np.float64, np.float32)
    optional: int = 0
    may_write: bool = False

    @property
    def keeps_dtype(self) -> bool:
        """True if results must have the dtype of the inputs."""
        return len(self.floats) > 1

    def all_cases(self, seed: int) -> list[Case]:
        """The cases, and the first one again in other dtypes, memory layouts and a second time."""
        cases = self.cases(np.random.default_rng(seed))
        first = cases[0]
        cases += [first.in_dtype(dtype) for dtype in self.floats[1:]]
        if first.has_arrays:
            cases.append(first.laid_out("strided"))
        if first.has_arrays and not self.may_write:
            cases.append(first.laid_out("read-only"))
        cases.append(replace(first, description="the first inputs a second time"))
        return cases


EXERCISES: dict[str, Exercise] = {}


def register(exercise: Exercise) -> None:
    """Make an exercise known to ``check`` by its name."""
    EXERCISES[exercise.name] = exercise


def find(name: str) -> Exercise:
    """The exercise called ``name``; ``ValueError`` lists the names there are."""
    from coursekit.checks import (  # noqa: F401  importing fills the collection
        exercises_atlas,
        exercises_conv,
        exercises_conv_norm,
        exercises_conv_training,
        exercises_dropout,
        exercises_fc_layers,
        exercises_fc_training,
        exercises_norm,
        exercises_pool,
        exercises_studies,
    )

    if name not in EXERCISES:
        raise ValueError(f"no exercise is called {name!r}; there are {sorted(EXERCISES)}")
    return EXERCISES[name]


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with functions, over all cases of an exercise.

    Attributes:
        cases: how many there were.
        failed: indices of the cases that failed; case 0 is the ordinary one.
        seen: whether its values alone, of one ordinary batch, would have shown that.
        message: for the learner, "" if nothing failed.
    """

    cases: int
    failed: list[int]
    seen: bool
    message: str


def check(name: str, *functions: Callable, seed: int = 0) -> None:
    """Check a learner's function and print "✓ NAME: N checks passed".

    Args:
        name: of the exercise, for example "linear_forward".
        functions: the learner's function; for a backward, the forward before it.
        seed: draws other inputs of the same kinds.

    Raises:
        ExerciseError: it is not right; the message says how.
        ValueError: there is no such exercise, or it takes other functions.
    """
    exercise = find(name)
    found = diagnose(exercise, _complete(exercise, functions), seed)
    if found.failed:
        raise ExerciseError(found.message)
    say(f"✓ {name}: {found.cases} checks passed")


def diagnose(exercise: Exercise, functions: Functions, seed: int = 0) -> Diagnosis:
    """Run functions on every case of an exercise and put the first failure in words."""
    cases, expected = _cases_and_answers(exercise.name, seed)
    outcomes = [execute(exercise, functions, case) for case in cases]
    problems = [
        outcome.problem or _difference(exercise, answer, outcome)
        for answer, outcome in zip(expected, outcomes, strict=True)
    ]
    failed = [i for i, problem in enumerate(problems) if problem]
    if not failed:
        return Diagnosis(len(cases), [], False, "")
    first = failed[0]
    lines = [f"✗ {exercise.name}: {problems[first]}", f"  inputs: {cases[first].description}"]
    if outcomes[first].kind == "unwritten":
        lines = [problems[first]]
    elif likely := _looks_like(exercise, seed, outcomes, first):
        lines.append(f"  this looks like: {likely}")
    seen = first == 0 and not outcomes[0].side_effect
    return Diagnosis(len(cases), failed, seen, "\n".join(lines))


def _complete(exercise: Exercise, functions: tuple[Callable, ...]) -> Functions:
    missing = len(exercise.functions) - len(functions)
    if not 0 <= missing <= exercise.optional or not all(map(callable, functions)):
        wanted = ", ".join([repr(exercise.name), *exercise.functions])
        raise ValueError(f"call it as check({wanted}), got {len(functions)} functions")
    return exercise.reference[:missing] + functions


@lru_cache(maxsize=64)
def _cases_and_answers(name: str, seed: int) -> tuple[list[Case], list[Outcome]]:
    """The cases of an exercise and what the reference makes of them."""
    exercise = EXERCISES[name]
    cases = exercise.all_cases(seed)
    return cases, [execute(exercise, exercise.reference, case) for case in cases]


def _difference(exercise: Exercise, expected: Outcome, outcome: Outcome) -> str:
    """How the results differ from the reference's, or ""."""
    got, single = outcome.results, outcome.single
    problems = (mismatch(exercise, k, v, got[k], single) for k, v in expected.results.items())
    return next(filter(None, problems), "")


def _looks_like(exercise: Exercise, seed: int, outcomes: list[Outcome], first: int) -> str | None:
    """The wrong implementation that does what the learner's does.

    It has to agree on the first case that failed; of several, the one that agrees most often.
    """
    from coursekit.checks import zoo

    best, most = None, 0
    for animal in zoo.animals(exercise.name):
        if not agree(exercise, outcomes[first], _outcome_of(animal, seed, first)):
            continue
        alike = sum(
            agree(exercise, outcome, _outcome_of(animal, seed, i))
            for i, outcome in enumerate(outcomes)
        )
        if alike > most:
            best, most = animal.looks_like, alike
    return best


@lru_cache(maxsize=1024)  # more than any one exercise has; the kill matrix asks again and again
def _outcome_of(animal: "Animal", seed: int, case: int) -> Outcome:
    """What a wrong implementation makes of one case of its exercise."""
    from coursekit.checks import zoo

    exercise = EXERCISES[animal.exercise]
    cases, _ = _cases_and_answers(exercise.name, seed)
    return execute(exercise, zoo.functions_of(animal, exercise), cases[case])


def _lay_out(value: Any, layout: str) -> Any:
    if isinstance(value, list):
        return [_lay_out(v, layout) for v in value]
    if not isinstance(value, np.ndarray):
        return value
    if layout == "strided" and value.ndim:
        # One column more than twice as many, so that no reshape can see it as one long row.
        wide = np.zeros((*value.shape[:-1], 2 * value.shape[-1] + 1), value.dtype)
        wide[..., 1::2] = value
        return wide[..., 1::2]
    value = value.copy()
    value.flags.writeable = layout != "read-only"
    return value


def _cast(value: Any, dtype: type) -> Any:
    if isinstance(value, list):
        return [_cast(v, dtype) for v in value]
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype) if is_float else value
