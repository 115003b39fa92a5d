"""``gradcheck``: is this backward the derivative of this forward? A verdict, not a number to read.

What differences need comes first: a forward that is one function, computed in float64, and a
backward that returns arrays. Besides the comparison with central differences it looks for what
those cannot see: gradients of the wrong shape or dtype, inputs changed in place, results that share
memory with inputs, and caches that a second call overwrites.
"""

import copy
import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.gradcheck_result import ArgumentReport, GradCheckResult
from coursekit.checks.precision import coarse
from coursekit.checks.probe import Probe, Tolerance, compare


def gradcheck(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    *args: Any,
    names: Sequence[str] | None = None,
    eps: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_entries: int = 100,
    allow_views: bool = False,
    seed: int = 0,
) -> GradCheckResult:
    """Compare ``backward`` with central differences of ``forward``, in float64.

    Args:
        forward: ``out, cache = forward(*args)``; ``out`` is one array or one number.
        backward: ``gradients = backward(dout, cache)``, one gradient or a tuple of them for the
            leading floating-point arrays of ``args`` in order (None for one left out). A loss's
            ``backward(cache)``, without ``dout``, will do as well.
        args: arguments of ``forward``. Floating-point arrays are copied to float64. A random
            generator is copied for each call, so that all of them draw the same. Everything else
            (integer targets, a stride) goes through as it is.
        names: names of ``args`` for the messages; read off ``forward``'s signature if None.
        eps: step of the differences, for arguments of size 1; smaller ones get a smaller step.
        rtol: how far a gradient may be off, as a fraction of itself.
        atol: the same as a fraction of the largest gradient of its argument. Rounding of the
            difference itself is allowed for on top, so that a gradient that is exactly zero in
            theory and 1e-17 in practice agrees with a difference of 1e-11.
        max_entries: arguments with more entries than this are checked at a seeded sample, and
            along random directions that would show an error anywhere else.
        allow_views: True for functions like flatten whose result is a view of its input.
        seed: fixes the upstream gradient and the sample.

    Returns:
        the result: true if all is well; ``print`` it, ``.plot()`` it or ``.raise_if_failed()``.

    Raises:
        ValueError: no argument is a floating-point array with entries, one holds a number that is
            not finite, ``names`` does not fit, or a setting is out of range.
    """
    args = tuple(_as_float64(a) for a in args)
    names = _names(forward, args, names)
    _usable(args, names)
    in_range(eps, rtol, atol, max_entries)
    rng = np.random.default_rng(seed)
    pair = _Pair(forward, backward, args, names, rng, allow_views)
    try:
        gradients = pair.examine()
    except _Broken as broken:
        return GradCheckResult([*pair.problems, str(broken)], [], names=list(names))
    tolerance = Tolerance(rtol, atol)
    probe = Probe(pair.value_at, pair.arrays(), pair.dout, eps)
    reports = [
        compare(probe, k, names[k], gradient, tolerance, max_entries, rng)
        for k, gradient in gradients.items()
    ]
    if too_coarse := precision_problem(probe, reports):
        return GradCheckResult([*pair.problems, too_coarse], [], names=list(names))
    return GradCheckResult(pair.problems, reports, probe=probe)


def in_range(eps: float, rtol: float, atol: float, max_entries: int) -> None:
    """Refuse settings with which nothing would be compared."""
    for name, value, least in (("eps", eps, 0), ("rtol", rtol, -1), ("atol", atol, -1)):
        if not least < value < 1 and not value == 0 > least:
            low = "above 0" if least == 0 else "at least 0"
            raise ValueError(f"{name}: got {value}; needed a number {low} and below 1")
    if max_entries < 1:
        raise ValueError(f"max_entries: got {max_entries}; needed at least 1")


def precision_problem(probe: Probe, reports: list[ArgumentReport]) -> str | None:
    """Why differences mean nothing where a gradient does not follow them, or None."""
    suspects = [r for r in reports if r.near or r.problem()]
    if suspects and not _same(probe.f(probe.arrays), probe.out):
        return UNSTEADY
    found = (coarse(probe, r) for r in suspects)
    return next((sentence for sentence in found if sentence), None)


UNSTEADY = (
    "forward gives another result for the same arguments: it draws at random, or keeps something "
    "between calls; let it draw from a generator that is one of its arguments, or make one inside "
    "of it (np.random.default_rng(0))"
)


class _Broken(Exception):
    """The pair is so wrong that comparing numbers would make no sense."""


class _Pair:
    """A forward and a backward under examination, with everything they must leave alone."""

    def __init__(
        self,
        forward: Callable,
        backward: Callable,
        args: tuple,
        names: Sequence[str],
        rng: np.random.Generator,
        allow_views: bool,
    ) -> None:
        self.forward, self.backward = forward, backward
        self.args, self.names = args, names
        self.rng, self.allow_views = rng, allow_views
        self.floats = [i for i, a in enumerate(args) if _is_float_array(a)]
        self.takes_dout = _takes_dout(backward)
        self.dout: Any = None
        self.problems: list[str] = []

    def arrays(self) -> dict[int, NDArray]:
        """The arguments that are differentiated, by position."""
        return {i: self.args[i] for i in self.floats}

    def value_at(self, arrays: dict[int, NDArray]) -> Any:
        """``out`` with the floating-point arguments replaced; what the differences call."""
        args = tuple(_frozen(arrays.get(i, _copy(a))) for i, a in enumerate(self.args))
        return self._run(self.forward, args)[0]

    def examine(self) -> dict[int, NDArray]:
        """Run every check but the numbers; return the analytic gradients by position."""
        out, gradients = self._first_call()
        self._second_call(out, gradients)
        self._float32_call()
        return gradients

    def _first_call(self) -> tuple[Any, dict[int, NDArray]]:
        given = [_copy(a) for a in self.args]
        out, cache = self._run(self.forward, given)
        self._unchanged("forward", given, self.args, self.names)
        _a_float64("forward", "out", out)
        _finite("forward", "out", out)
        self.dout = self._upstream(out)
        dout = _copy(self.dout)
        gradients = self._gradients(self._backward(dout, cache))
        self._unchanged("backward", [*given, dout], [*self.args, self.dout], [*self.names, "dout"])
        self._views(out, gradients, given, dout)
        self.problems += [
            f"the gradient of {self.names[i]} is {g.dtype} for float64 arguments"
            for i, g in gradients.items()
            if g.dtype.kind == "f" and g.dtype != np.float64
        ]
        return _copy(out), {i: np.array(g) for i, g in gradients.items()}

    def _second_call(self, out: Any, gradients: dict[int, NDArray]) -> None:
        """Run forward on other inputs between a forward and its backward, then backward twice."""
        first, cache = self._run(self.forward, [_frozen(_copy(a)) for a in self.args])
        if not _same(first, out):
            raise _Broken(UNSTEADY)
        others = [_other(a) if _is_float_array(a) else _copy(a) for a in self.args]
        self._run(self.forward, [_frozen(np.asarray(a) if _is_array(a) else a) for a in others])
        if not _same(first, out):
            self.problems.append("a second call of forward changes the result of the first one")
        for when in ("after a second forward", "called a second time"):
            again = self._gradients(self._backward(_frozen(_copy(self.dout)), cache))
            wrong = [self.names[i] for i, g in gradients.items() if not _same(again[i], g)]
            if wrong:
                self.problems.append(
                    f"backward {when} gives another gradient of {', '.join(wrong)}: "
                    "something outside of this call's cache was used or drawn, or the cache changed"
                )
                return

    def _float32_call(self) -> None:
        """Only dtypes are compared: what float32 cannot hold says nothing about the pair."""
        with np.errstate(over="ignore", under="ignore"):
            args = [a.astype(np.float32) if _is_float_array(a) else _copy(a) for a in self.args]
        if any(_out_of_range(self.args[i], args[i]) for i in self.floats):
            return
        dout = self.dout.astype(np.float32)
        with np.errstate(all="ignore"):
            out, cache = self._run(self.forward, [_frozen(a) for a in args])
            returned = self._backward(_frozen(dout), cache)
        if np.ndim(out) and out.dtype != np.float32:
            self.problems.append(f"forward of float32 arguments returns {out.dtype}, not float32")
        for i, g in self._gradients(returned, finite=False).items():
            if g.dtype != np.float32:
                self.problems.append(
                    f"the gradient of {self.names[i]} is {g.dtype} for float32 arguments"
                )

    def _run(self, function: Callable, args: Sequence[Any]) -> tuple[Any, Any]:
        result = _guard_read_only(function, "forward", args)
        if not isinstance(result, tuple) or len(result) != 2:
            raise _Broken(f"forward must return the pair (out, cache), got {_describe(result)}")
        return result

    def _backward(self, dout: Any, cache: Any) -> Any:
        args = (dout, cache) if self.takes_dout else (cache,)
        return _guard_read_only(self.backward, "backward", args)

    def _upstream(self, out: Any) -> Any:
        """A random gradient: all ones would hide every error that a sum cancels."""
        if not self.takes_dout:
            if np.ndim(out):
                raise _Broken(f"backward(cache) takes no dout, but out has shape {np.shape(out)}")
            return np.float64(1)
        dout = self.rng.standard_normal(np.shape(out))
        return dout if np.ndim(out) else np.array(1.5 + abs(dout))

    def _gradients(self, returned: Any, finite: bool = True) -> dict[int, NDArray]:
        """Match what backward returned with the leading floating-point arguments."""
        several = list(returned) if isinstance(returned, tuple | list) else [returned]
        several = [_gradient(g) for g in several]
        if any(g is not None for g in several[len(self.floats) :]):
            raise _Broken(
                f"backward returns {len(several)} gradients, but forward has only "
                f"{len(self.floats)} floating-point arrays"
            )
        gradients = {i: g for i, g in zip(self.floats, several, strict=False) if g is not None}
        if not gradients:
            raise _Broken("backward returns None: it has to return the gradients")
        for i, g in gradients.items():
            if g.shape != self.args[i].shape:
                raise _Broken(
                    f"the gradient of {self.names[i]} has shape {g.shape}, "
                    f"{self.names[i]} itself {self.args[i].shape}"
                )
            if finite:
                _finite("backward", f"the gradient of {self.names[i]}", g)
        return gradients

    def _unchanged(
        self, which: str, after: Sequence[Any], before: Sequence[Any], names: Sequence[str]
    ) -> None:
        for name, now, then in zip(names, after, before, strict=True):
            if _is_array(now) and not _same(now, then):
                raise _Broken(f"{which} changes its argument {name} in place")

    def _views(self, out: Any, gradients: dict, given: Sequence[Any], dout: Any) -> None:
        if self.allow_views:
            return
        results = {"out": out} | {
            f"the gradient of {self.names[i]}": g for i, g in gradients.items()
        }
        inputs = dict(zip(self.names, given, strict=True)) | {"dout": dout}
        for what, result in results.items():
            for name, array in inputs.items():
                if _overlap(result, array):
                    self.problems.append(
                        f"{what} shares memory with {name}: changing one later corrupts the other"
                    )


def _names(forward: Callable, args: tuple, names: Sequence[str] | None) -> Sequence[str]:
    if names is not None:
        if len(names) != len(args):
            raise ValueError(f"names must name all {len(args)} arguments, got {list(names)}")
        return names
    try:
        positional = [
            p.name
            for p in inspect.signature(forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # some built-ins have no signature
        positional = []
    return [positional[i] if i < len(positional) else f"argument {i}" for i in range(len(args))]


def _takes_dout(backward: Callable) -> bool:
    """False for a loss's ``backward(cache)``."""
    try:
        parameters = inspect.signature(backward).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) != 1


def _guard_read_only(function: Callable, which: str, args: Sequence[Any]) -> Any:
    """Call ``function``; arrays come in read-only, and writing to them is a finding."""
    try:
        return function(*args)
    except ValueError as error:
        if "read-only" in str(error):
            raise _Broken(f"{which} writes into an array it was given ({error})") from error
        raise


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _is_float_array(value: Any) -> bool:
    return _is_array(value) and value.dtype.kind == "f"


def _as_float64(value: Any) -> Any:
    return value.astype(np.float64) if _is_float_array(value) else value


def _copy(value: Any) -> Any:
    if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
        return copy.deepcopy(value)
    return value.copy() if _is_array(value) else value


def _other(a: NDArray) -> NDArray:
    """Other numbers between those of ``a``, so that a domain such as x < 0 is not left."""
    if not a.size or np.ptp(a) > 0:
        return 0.5 * a + 0.5 * np.mean(a)
    return 0.75 * a if a.any() else a + 0.1


def _out_of_range(wide: NDArray, single: NDArray) -> bool:
    """True if float32 makes infinities or zeros of the numbers."""
    return bool(np.any(~np.isfinite(single) | ((single == 0) & (wide != 0))))


def _frozen(value: Any) -> Any:
    """A read-only view."""
    if _is_array(value):
        value = value.view()
        value.flags.writeable = False
    return value


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def _overlap(a: Any, b: Any) -> bool:
    return _is_array(a) and _is_array(b) and np.may_share_memory(a, b)


def _finite(which: str, what: str, value: Any) -> None:
    bad = np.argwhere(~np.isfinite(np.asarray(value, dtype=np.float64)))
    if len(bad):
        where = f" at index {tuple(map(int, bad[0]))}" if np.ndim(value) else ""
        found = np.asarray(value)[tuple(bad[0])]
        raise _Broken(f"{which} gives a number that is not finite: {what}{where} is {found}")


def _usable(args: Sequence[Any], names: Sequence[str]) -> None:
    floats = {name: a for name, a in zip(names, args, strict=True) if _is_float_array(a)}
    if not floats:
        raise ValueError(f"gradcheck needs a floating-point array among {list(names)}, got none")
    if not any(a.size for a in floats.values()):
        raise ValueError(f"{', '.join(floats)}: got no entries; needed at least one")
    for name, a in floats.items():
        if not np.isfinite(a).all():
            where = tuple(map(int, np.argwhere(~np.isfinite(a))[0]))
            raise ValueError(f"{name}: got {a[where]} at index {where}; needed finite numbers")


def _a_float64(which: str, what: str, value: Any) -> None:
    """An array of float64, or a number, or a sentence about what it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return
    if not isinstance(value, np.ndarray | np.floating):
        raise _Broken(f"{which} must return {what} as one array or one number, got {told(value)}")
    if value.dtype != np.float64:
        raise _Broken(
            f"{which} of float64 arguments returns {what} as {value.dtype}: differences need "
            "float64, so compute in the dtype of the arguments"
        )


def _gradient(value: Any) -> NDArray | None:
    """A gradient as an array; :class:`_Broken` for what is none."""
    if value is None:
        return None
    if sentence := no_gradient(value):
        raise _Broken(f"backward must return one array, or a tuple of them: {sentence}")
    return np.asarray(value)


def no_gradient(value: Any) -> str:
    """What a value is that is no array of real numbers, else ""."""
    if not isinstance(value, np.ndarray | np.generic | int | float):
        return f"got {told(value)}"
    kind = np.asarray(value).dtype
    return "" if kind.kind in "fiu" else f"got an array of {kind}"


def told(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value)) or 'none'}"
    return _describe(value)


def _describe(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an array of shape {value.shape}" if _is_array(value) else type(value).__name__
