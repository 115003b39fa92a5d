"""What makes a comparison fair, by declaration: arms differ in nothing but what was announced."""

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np

Settings = dict[str, Any]
TAKEN = ("arm", "seed", "diverged", "pictures", "seconds")  # columns of a study's table


class StudyError(ValueError):
    """A study whose arms would not be comparable, or that cannot be kept; says which and why."""


def canonical(name: str, value: Any) -> Any:
    """Return a setting as json can keep it: the same on every machine.

    NumPy's numbers become Python's, tuples become lists, and floats are rounded to 12 digits: the
    last ones of ``np.geomspace`` differ between machines.

    Raises:
        StudyError: anything but numbers, strings, booleans, None, and lists or tuples of those.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.12g}") if np.isfinite(value) else repr(value)
    if isinstance(value, (list, tuple)):
        return [canonical(name, item) for item in value]
    raise StudyError(
        f"{name}: got a {type(value).__name__}; needed a number, a string, a boolean, None, or a "
        "list of those, which the study's json file can hold"
    )


def key(value: Any) -> str:
    """Text that is equal for equal settings only: True is not 1, nor is (1,) the string '[1]'."""
    return json.dumps(canonical("value", value), sort_keys=True)


def arms_of(
    base: Mapping[str, Any],
    factors: Mapping[str, Iterable] | None,
    arms: Mapping[str, Mapping[str, Any]] | None,
    varies: Collection[str],
) -> tuple[dict[str, Settings], tuple[str, ...]]:
    """Return what each arm changes of ``base``, by name, and the settings declared to vary.

    Raises:
        StudyError: an arm changes what was not declared, or what ``base`` does not have; a setting
            declared to vary does not; two arms are the same.
    """
    if factors is not None and arms is not None:
        raise StudyError("factors, arms: got both; needed one of the two")
    if isinstance(varies, str):
        raise StudyError(f"varies: got the string {varies!r}; needed a tuple, ({varies!r},)")
    for name, value in base.items():
        canonical(f"base[{name!r}]", value)
    if factors is not None:
        if varies:
            raise StudyError("varies: got names with factors, which declare themselves what varies")
        declared, named = tuple(factors), _factorial(factors)
    elif arms is not None:
        declared, named = tuple(varies), {name: dict(new) for name, new in arms.items()}
    else:
        raise StudyError("factors, arms: got neither; needed one of the two")
    _check_names(declared, base)
    for arm, changes in named.items():
        _check_changes(arm, changes, base, declared)
    _check_arms_differ(named, base, declared)
    return named, declared


def _factorial(factors: Mapping[str, Iterable]) -> dict[str, Settings]:
    """Every combination of the levels; an arm's name spells its own out."""
    levels = {}
    for name, values in factors.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise StudyError(f"factors[{name!r}]: got {values!r}; needed a list of levels")
        levels[name] = list(values)
        texts = [key(canonical(f"factors[{name!r}]", value)) for value in levels[name]]
        for text in texts:
            if texts.count(text) > 1:
                raise StudyError(f"factors[{name!r}]: the level {text} comes more than once")
    combinations = (dict(zip(levels, c, strict=True)) for c in product(*levels.values()))
    return {_spelt(c): c for c in combinations}


def _spelt(changes: Settings) -> str:
    return ", ".join(f"{name}={canonical(name, value)}" for name, value in changes.items())


def _check_names(declared: tuple[str, ...], base: Mapping[str, Any]) -> None:
    for name in declared:
        if name not in base:
            raise StudyError(
                f"{name!r} is declared to vary but base has no such setting; "
                f"needed one of {sorted(base)} (a misspelt one would change nothing)"
            )
    for name in base:
        if not isinstance(name, str) or name in TAKEN:
            raise StudyError(f"base: the setting {name!r} must be a string other than {TAKEN}")


def _check_changes(
    arm: str, changes: Settings, base: Mapping[str, Any], declared: tuple[str, ...]
) -> None:
    for name, value in changes.items():
        if name not in base:
            raise StudyError(
                f"arm {arm!r} sets {name!r}, which base does not have; it has {sorted(base)}"
            )
        same = key(canonical(f"arm {arm!r}, {name!r}", value)) == key(base[name])
        if name not in declared and not same:
            raise StudyError(
                f"arm {arm!r} sets {name!r} to {value!r}, base has {base[name]!r}, and "
                f"{name!r} is not declared to vary: declared are {list(declared)}. Two arms that "
                "differ in more than was meant cannot be compared"
            )


def _check_arms_differ(
    named: dict[str, Settings], base: Mapping[str, Any], declared: tuple[str, ...]
) -> None:
    if len(named) < 2:
        raise StudyError(f"needed at least two arms, got {list(named)}")
    values = {arm: [key({**base, **new}[name]) for name in declared] for arm, new in named.items()}
    for name, column in zip(declared, zip(*values.values(), strict=True), strict=True):
        if len(set(column)) == 1:
            raise StudyError(f"{name!r} is declared to vary but is {column[0]} in every arm")
    seen: dict[tuple, str] = {}
    for arm, row in values.items():
        if tuple(row) in seen:
            raise StudyError(f"arms {seen[tuple(row)]!r} and {arm!r} have the same settings")
        seen[tuple(row)] = arm
