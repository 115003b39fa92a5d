"""Checks for exercises: the learner's function beside the reference, on hostile inputs.

``check("linear_forward", linear_forward)`` prints one line that never changes, or raises
:class:`ExerciseError` with what was wrong, on which inputs, expected and got, and the bug it
looks like. What the exercises are stands in ``exercises_fc_layers`` and its like, how functions
are run and compared in ``outcomes``, and what learners get wrong in ``zoo``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.checks import notebook
from coursekit.checks.failures import Failure, remember
from coursekit.checks.outcomes import Mismatch, Outcome, agree, execute, mismatch, snapshot
from coursekit.checks.prints import Kept
from coursekit.checks.report import ExerciseError, NotAttempted, say
from coursekit.checks.second import Second, another

if TYPE_CHECKING:
    from coursekit.checks.zoo.animal import Animal

Functions = tuple[Callable, ...]


@dataclass(frozen=True)
class Case:
    """One set of inputs, by argument name: arrays, lists of arrays, numbers.

    ``layout`` is "plain", "strided" (every second element of a larger array) or "read-only".
    ``variant`` is True for the ordinary inputs in another dtype or layout, or a second time.
    """

    description: str
    inputs: dict[str, Any]
    layout: str = "plain"
    variant: bool = False

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
        told = f"{self.description}, in {np.dtype(dtype)}"
        return replace(self, description=told, inputs=inputs, variant=True)

    def laid_out(self, layout: str) -> "Case":
        """The same inputs in another memory layout."""
        told = f"{self.description}, {layout} arrays"
        return replace(self, description=told, layout=layout, variant=True)

    def again(self) -> "Case":
        """The same inputs once more."""
        return replace(self, description="the first inputs a second time", variant=True)


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
        second: makes the inputs of a second call, other numbers that are legal for the exercise.
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
    second: Second = field(default_factory=another)

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
        return [*cases, first.again()]


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
        unwritten: the function that is still to be written, "" if there is none; then no other
            case than the ordinary one was looked at.
        failure: the first case that failed, to look into; ``None`` if there is none.
        printed: what the functions printed there, unless that was let through at once.
    """

    cases: int
    failed: list[int]
    seen: bool
    message: str
    unwritten: str = ""
    failure: Failure | None = None
    printed: Kept | None = None


def check(name: str, *functions: Callable, seed: int = 0) -> None:
    """Check a learner's function and print "✓ NAME: N checks passed".

    What the function prints in its first call on the ordinary inputs is seen, and on those that
    fail; what it prints in all other calls is not.

    In a notebook a function that is still to be written is no error: one line says so, and the
    course's own takes its place in the notebook (a forward and its backward both, since their
    caches belong together) until the check is called again. With the environment variable
    ``COURSEKIT_UNSOLVED=fail``, which pytest and the grader set, and in a script it raises.

    Args:
        name: of the exercise, for example "linear_forward".
        functions: the learner's function; for a backward, the forward before it.
        seed: draws other inputs of the same kinds.

    Raises:
        NotAttempted: it, or a function that it needs, still raises ``NotImplementedError``.
        ExerciseError: it is not right; the message says how, :func:`last_failure` holds the arrays.
        ValueError: there is no such exercise, or it takes other functions.
    """
    exercise = find(name)
    _complete(exercise, functions)  # before anything is put back
    own = notebook.take_back(functions)
    found = diagnose(exercise, _complete(exercise, own), seed, aloud=True)
    if found.unwritten:
        if not notebook.goes_on():
            raise NotAttempted(found.message)
        say(_go_on(exercise, own, found.unwritten))
        return
    if found.failure is not None:
        remember(found.failure)
        if found.printed:
            say(f"Printed on {found.failure.case}:")
            found.printed.show()
        raise ExerciseError(found.message + found.failure.invitation())
    say(f"✓ {name}: {found.cases} checks passed")


def _go_on(exercise: Exercise, functions: tuple[Callable, ...], unwritten: str) -> str:
    """Lend the reference in the place of a learner's functions, and say so."""
    count = len(functions)
    lent = notebook.lend(functions, exercise.reference[-count:])
    what = "not written yet"
    if unwritten != exercise.name:
        what = f"needs {unwritten}, which is not written yet"
    if not lent:
        return f"· {exercise.name}: {what}; no variable holds it, so nothing can take its place"
    pair = f" {' and '.join(exercise.functions)}" if count > 1 else ""
    return f"· {exercise.name}: {what}; the lesson goes on with the course's own{pair}"


def diagnose(
    exercise: Exercise, functions: Functions, seed: int = 0, *, aloud: bool = False
) -> Diagnosis:
    """Run functions on every case of an exercise and put the first failure in words.

    ``aloud``: what they print in their first calls on the ordinary case is seen at once.
    """
    cases = _cases(exercise.name, seed)
    outcomes = [execute(exercise, functions, cases[0], aloud=aloud)]
    if unwritten := outcomes[0].unwritten:
        why = f"{exercise.name} needs it" if unwritten != exercise.name else ""
        why = outcomes[0].half_written or why
        message = f"{unwritten}: not implemented yet" + (f" ({why})" if why else "")
        return Diagnosis(len(cases), [0], True, message, unwritten)
    answers = _answers(exercise.name, seed)
    outcomes += [execute(exercise, functions, case) for case in cases[1:]]
    differences = [
        [] if outcome.problem else _differences(exercise, answer, outcome)
        for answer, outcome in zip(answers, outcomes, strict=True)
    ]
    failed = [i for i, found in enumerate(differences) if found or outcomes[i].problem]
    if not failed:
        return Diagnosis(len(cases), [], False, "")
    first = failed[0]
    outcome, differs = outcomes[first], differences[first]
    problem = outcome.problem or differs[0].sentence
    told, inputs = cases[first].description, cases[first].build()
    if outcome.again:
        told, inputs = f"{told}, then a second call with other numbers", exercise.second(inputs)
    lines = [f"✗ {exercise.name}: {problem}", f"  inputs: {told}"]
    if likely := _looks_like(exercise, seed, outcomes, failed):
        lines.append(f"  {likely}")
    message = "\n".join(lines)
    failure = Failure(
        exercise=exercise.name,
        case=told,
        inputs=inputs,
        expected={k: snapshot(value) for k, value in answers[first].results.items()},
        got=outcome.results,
        message=message,
        differs=differs,
    )
    seen = first == 0 and not outcome.side_effect
    return Diagnosis(len(cases), failed, seen, message, "", failure, outcome.printed)


def _complete(exercise: Exercise, functions: tuple[Callable, ...]) -> Functions:
    missing = len(exercise.functions) - len(functions)
    if not 0 <= missing <= exercise.optional or not all(map(callable, functions)):
        wanted = ", ".join([repr(exercise.name), *exercise.functions])
        raise ValueError(f"call it as check({wanted}), got {len(functions)} functions")
    return exercise.reference[:missing] + functions


@lru_cache(maxsize=64)
def _cases(name: str, seed: int) -> list[Case]:
    return EXERCISES[name].all_cases(seed)


@lru_cache(maxsize=64)
def _answers(name: str, seed: int) -> list[Outcome]:
    """What the reference makes of the cases of an exercise."""
    exercise = EXERCISES[name]
    return [execute(exercise, exercise.reference, case) for case in _cases(name, seed)]


def _differences(exercise: Exercise, expected: Outcome, outcome: Outcome) -> list[Mismatch]:
    """Where the results differ from the reference's, in the order of the results."""
    got, single = outcome.results, outcome.single
    found = (mismatch(exercise, k, v, got[k], single) for k, v in expected.results.items())
    return [difference for difference in found if difference is not None]


def _looks_like(
    exercise: Exercise, seed: int, outcomes: list[Outcome], failed: list[int]
) -> str | None:
    """The named mistake that explains best what was seen, in a line; ``None`` if none does.

    It does what the learner's function does on the first case that failed, and it is right wherever
    that is right. Of several it is the one that agrees on the most cases; if it does not on all,
    the line says so, and there is none if it agrees on no more than half of those that failed.
    """
    from coursekit.checks import zoo

    cases, answers = _cases(exercise.name, seed), _answers(exercise.name, seed)
    passed = [i for i in range(len(cases)) if i not in failed]

    def alike(animal: "Animal", i: int) -> bool:
        return agree(exercise, outcomes[i], _outcome_of(animal, seed, i))

    def right(animal: "Animal", i: int) -> bool:
        outcome = _outcome_of(animal, seed, i)
        return not (outcome.problem or _differences(exercise, answers[i], outcome))

    best, least = None, _kinds(cases, failed) / 2
    for animal in zoo.animals(exercise.name):
        if not alike(animal, failed[0]) or not all(right(animal, i) for i in passed):
            continue
        other = _kinds(cases, [i for i in failed if not alike(animal, i)])
        if other < least:
            best, least = animal.looks_like, other
    if best is None:
        return None
    return f"this looks like: {best}" if not least else f"this may be: {best}"


def _kinds(cases: list[Case], indices: list[int]) -> int:
    """How many cases these are, the ordinary one in all its variants counted once."""
    return len({0 if cases[i].variant else i for i in indices})


@lru_cache(maxsize=1024)  # more than any one exercise has; the kill matrix asks again and again
def _outcome_of(animal: "Animal", seed: int, case: int) -> Outcome:
    """What a wrong implementation makes of one case of its exercise."""
    from coursekit.checks import zoo

    exercise = EXERCISES[animal.exercise]
    functions = zoo.functions_of(animal, exercise)
    return execute(exercise, functions, _cases(exercise.name, seed)[case])


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
