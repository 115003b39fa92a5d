"""The notebook that a check runs in, where the course's own functions stand in for unwritten ones.

So "Run All" goes on behind an exercise that nobody has solved yet. A stand-in is lent, never given:
the next check of the same exercise puts the learner's function back and looks at that.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_OUTPUT_CACHE = re.compile(r"_+\d*")  # the names under which IPython keeps what cells returned


@dataclass(frozen=True)
class _Loan:
    """What stands in for what, under which names of the notebook."""

    stand_in: Any
    own: Any
    function: Callable
    names: list[str]


_loans: list[_Loan] = []  # the newest last


def shell() -> Any | None:
    """The running IPython shell, ``None`` outside one; IPython is not imported for the answer."""
    module = sys.modules.get("IPython.core.interactiveshell")
    kind = getattr(module, "InteractiveShell", None)
    return kind.instance() if kind is not None and kind.initialized() else None


def goes_on() -> bool:
    """True if an unwritten exercise may be stood in for: in a notebook that is not being graded.

    The environment variable ``COURSEKIT_UNSOLVED`` says "fail" under pytest and under the grader.
    """
    return shell() is not None and os.environ.get("COURSEKIT_UNSOLVED") != "fail"


def lend(functions: tuple[Callable, ...], references: tuple[Callable, ...]) -> bool:
    """Bind each reference under the names that a learner's function has in the notebook.

    Of a method of a class (a ``torch.autograd.Function``'s apply) the class is what has the names.

    Returns:
        True if each function had a name.
    """
    found = True
    variables = getattr(shell(), "user_ns", {})
    for function, reference in zip(functions, references, strict=True):
        own, stand_in = _owner(function), _owner(reference)
        if (own is function) != (stand_in is reference):
            own, stand_in = function, reference
        names = [
            name
            for name, value in variables.items()
            if value is own and not _OUTPUT_CACHE.fullmatch(name)
        ]
        variables.update(dict.fromkeys(names, stand_in))
        if names:
            _loans.append(_Loan(stand_in, own, function, names))
        found = found and bool(names)
    return found


def take_back(functions: tuple[Callable, ...]) -> tuple[Callable, ...]:
    """The learner's functions for those that are lent; their names are theirs again."""
    return tuple(_taken_back(function) for function in functions)


def _taken_back(function: Callable) -> Callable:
    owner = _owner(function)
    ended = [loan for loan in _loans if loan.stand_in is owner or loan.stand_in is function]
    variables = getattr(shell(), "user_ns", {})
    for loan in reversed(ended):  # a name that was lent twice goes back to its last owner
        for name in loan.names:
            if variables.get(name) is loan.stand_in:
                variables[name] = loan.own
        _loans.remove(loan)
    return ended[-1].function if ended else function


def _owner(function: Callable) -> Any:
    """The class whose method it is, or the function itself."""
    owner = getattr(function, "__self__", None)
    return owner if inspect.isclass(owner) else function
