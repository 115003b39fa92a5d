"""Running a learner's function on a case, and comparing what came of it."""

import dis
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.prints import Kept, kept
from coursekit.checks.report import apart
from coursekit.checks.second import between, came_between

if TYPE_CHECKING:
    from coursekit.checks.exercises import Case, Exercise, Functions


class BadReturn(Exception):
    """What a learner's function returned does not have the parts it should have."""


@dataclass(frozen=True)
class Outcome:
    """What running functions on a case led to.

    Attributes:
        results: by name; empty if there are none.
        problem: a sentence about what went wrong besides the values, or "".
        kind: the problem in a form to compare outcomes by.
        side_effect: True if the results are there and something else was damaged.
        single: True if the inputs were float32.
        unwritten: the function that is still to be written, "" if there is none.
        half_written: what tells that only a part of it is missing, else "".
        printed: what the functions printed in their first calls, unless that was let through.
        again: True if the problem came up in a call with second inputs.
    """

    results: dict[str, Any]
    problem: str = ""
    kind: str = ""
    side_effect: bool = False
    single: bool = False
    unwritten: str = ""
    half_written: str = ""
    printed: Kept | None = None
    again: bool = False


def execute(
    exercise: "Exercise", functions: "Functions", case: "Case", *, aloud: bool = False
) -> Outcome:
    """Run functions on fresh inputs of a case; see what became of the inputs, and of the
    results once the functions are called again.

    ``aloud``: what the functions print in their first calls is seen at once.
    """
    inputs, before = case.build(), case.build()
    single = any(array.dtype == np.float32 for _, array in _arrays(inputs))
    tagged = tuple(map(_tag, exercise.functions, functions))
    printed = None
    try:
        with nullcontext() if aloud else kept() as printed:
            live = _quietly(exercise.run, tagged, inputs)
        results = {name: snapshot(value) for name, value in live.items()}
        problem = _damage(inputs, before, live)
        if not problem and case.has_arrays:
            with kept(), between():
                _quietly(exercise.run, tagged, exercise.second(case.build()))
            problem = _overwritten(live, results)
    except BadReturn as error:
        told, unwritten = str(error), _unwritten(exercise.name, error.__cause__)
        half = told if unwritten else ""
        again = came_between(error)
        return Outcome(
            {}, told, told, unwritten=unwritten, half_written=half, printed=printed, again=again
        )
    except _Crash as crash:
        sentence, unwritten = crash.sentence(), _unwritten(crash.function, crash.error)
        again = came_between(crash)
        return Outcome(
            {}, sentence, crash.kind(), unwritten=unwritten, printed=printed, again=again
        )
    return Outcome(results, problem, problem, bool(problem), single, printed=printed)


def _quietly(run: Callable, functions: "Functions", inputs: dict[str, Any]) -> dict[str, Any]:
    """Hostile inputs make NumPy warn; the check says more than the warning would."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(functions, inputs)


def _damage(inputs: dict[str, Any], before: dict[str, Any], results: dict[str, Any]) -> str:
    """An input that comes back changed, or a result that is an input in disguise."""
    for name, value in inputs.items():
        if not identical(value, before[name]):
            return f"its argument {name} comes back changed"
    for result, value in results.items():
        for name, array in _arrays(inputs):
            if not result.startswith("cache") and _overlap(value, array):
                return f"{result} shares memory with the argument {name}: return a new array"
    return ""


def _overwritten(live: dict[str, Any], results: dict[str, Any]) -> str:
    """Results must survive the next call."""
    for name, value in live.items():
        if not identical(value, results[name]):
            return f"{name} of the first call changes when the function is called again"
    return ""


def agree(exercise: "Exercise", learner: Outcome, animal: Outcome) -> bool:
    """True if two outcomes of the same case are the same, right or wrong.

    The learner's may hold anything; the animal's is known to hold numbers and arrays.
    """
    a, b = learner.results, animal.results
    if learner.kind != animal.kind or a.keys() != b.keys():
        return False
    return all(not mismatch(exercise, name, b[name], a[name], learner.single) for name in b)


@dataclass(frozen=True, eq=False)
class Mismatch:
    """How a result differs from what it should be.

    Attributes:
        result: its name.
        sentence: for the learner.
        wrong: which entries of an array have wrong values; ``None`` if they were not compared, for
            shape or dtype is wrong.
        worst: index of the entry that is most wrong, () for a number.
    """

    result: str
    sentence: str
    wrong: NDArray | None = None
    worst: tuple[int, ...] = ()


def mismatch(
    exercise: "Exercise", name: str, expected: Any, got: Any, single: bool
) -> Mismatch | None:
    """Shape, dtype, then values: the first that differs, ``None`` if all agree."""
    try:
        found = np.asarray(got)
    except ValueError:
        return Mismatch(name, f"{name} should be an array, got a ragged list")
    expected = np.asarray(expected)
    if found.dtype.kind not in "fiub" or found.shape != expected.shape:
        what = f"an array of shape {expected.shape}" if expected.shape else "one number"
        return Mismatch(name, f"{name} should be {what}, got {describe(got)}")
    if exercise.keeps_dtype and expected.shape and found.dtype != expected.dtype:
        told = f"{name} should be {expected.dtype} like the inputs, got {found.dtype}"
        return Mismatch(name, told)
    rtol, floor = (1e-3, 1e-6) if single else (exercise.rtol, 1e-24)
    off = _error(expected, found.astype(np.float64), rtol, floor)
    if not np.any(off > 1):
        return None
    worst = tuple(map(int, np.unravel_index(np.argmax(off), off.shape)))
    where = f"[{', '.join(map(str, worst))}]" if worst else ""
    right, came = apart(expected[worst], found[worst])
    told = f"{name}{where} should be {right}, got {came}"
    return Mismatch(name, told, off > 1, worst)


def _error(expected: NDArray, found: NDArray, rtol: float, floor: float) -> NDArray:
    """Error of each entry in units of what is allowed; nan agrees with nan alone."""
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max()) if finite.size else 0.0
    allowed = rtol * (np.abs(np.nan_to_num(expected)) + 0.01 * scale) + floor
    with np.errstate(invalid="ignore"):
        off = np.abs(expected - found) / allowed
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    return np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))


class _Crash(Exception):
    """An exception in a learner's function, with the function's name."""

    def __init__(self, function: str, error: Exception) -> None:
        super().__init__(function)
        self.function, self.error = function, error

    def kind(self) -> str:
        """What sort of crash it was."""
        return f"{type(self.error).__name__}: {self.error}"

    def sentence(self) -> str:
        """For the learner: what was raised, and in which of their lines."""
        if "read-only" in str(self.error):
            what = "writes into one of its arguments"
        else:
            what = f"raises {type(self.error).__name__}: {self.error}"
        frames = traceback.extract_tb(self.error.__traceback__)[1:]  # [0] is our own call
        line = f", in the line: {frames[0].line}" if frames and frames[0].line else ""
        return f"{self.function} {what}{line}"


def _tag(name: str, function: Callable) -> Callable:
    """The function, which prints in its first call only and whose errors tell its name."""
    called = False

    def call(*args: Any) -> Any:
        nonlocal called
        first, called = not called, True
        try:
            with nullcontext() if first else kept():
                return function(*args)
        except Exception as error:
            raise _Crash(name, error) from error

    return call


_LIBRARIES = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib"))


def _unwritten(function: str, error: BaseException | None) -> str:
    """The function to blame for a ``NotImplementedError`` that a learner's line raises, else "".

    It is the exercise's function that raises it, or ``function`` if it is none.
    """
    from coursekit.checks.exercises import EXERCISES

    if not isinstance(error, NotImplementedError):
        return ""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return function
    code = tb.tb_frame.f_code
    # A library's own complaint ("not implemented for 'Half'") is an error like any other.
    raises = code.co_code[tb.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    if not raises or code.co_filename.startswith(_LIBRARIES):
        return ""
    known = {name for exercise in EXERCISES.values() for name in exercise.functions}
    return code.co_name if code.co_name in known else function


def unpack(value: Any, function: str, *names: str) -> dict[str, Any]:
    """Name the parts of a returned tuple, or raise :class:`BadReturn`."""
    if not isinstance(value, tuple | list) or len(value) != len(names):
        raise BadReturn(f"{function} should return ({', '.join(names)}), got {describe(value)}")
    return dict(zip(names, value, strict=True))


def unpack_list(value: Any, name: str, length: int) -> dict[str, Any]:
    """Name the entries of a returned list ``name[0]``, ``name[1]`` ..., or raise."""
    if not isinstance(value, list | tuple) or len(value) != length:
        raise BadReturn(f"{name} should be a list of {length} arrays, got {describe(value)}")
    return {f"{name}[{i}]": entry for i, entry in enumerate(value)}


def describe(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def snapshot(value: Any) -> Any:
    """A copy of an array; anything else as it is."""
    return value.copy() if isinstance(value, np.ndarray) else value


def _arrays(inputs: dict[str, Any]) -> Iterator[tuple[str, NDArray]]:
    for name, value in inputs.items():
        for array in value if isinstance(value, list) else [value]:
            if isinstance(array, np.ndarray):
                yield name, array


def identical(a: Any, b: Any) -> bool:
    """Equal to the last bit, nan included; lists entry by entry."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.shape == b.shape and a.tobytes() == np.asarray(b).tobytes()
    return True


def _overlap(a: Any, b: NDArray) -> bool:
    return isinstance(a, np.ndarray) and np.may_share_memory(a, b)
