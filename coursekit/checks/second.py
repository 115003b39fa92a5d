"""Other inputs of the same kind, for a call that comes between a result and its use.

What a function leaves behind outside its results shows when it is called again with other numbers.
Those have to be as legal as the first ones: a variance stays positive and a row of probabilities
keeps its sum of 1. An exercise says once what its arguments are, ``another(running_var=positive)``.
"""

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Callable[[NDArray], NDArray]
Second = Callable[[dict[str, Any]], dict[str, Any]]


def number(value: NDArray) -> NDArray:
    """Any real numbers."""
    return 1 - value


def positive(value: NDArray) -> NDArray:
    """Numbers of at least 0: variances, means of squares, standard deviations."""
    return 1 + value


def probabilities(value: NDArray) -> NDArray:
    """Rows of at least 0 with the sum 1, one-hot rows among them."""
    return np.roll(value, 1, axis=-1)


def labels(value: NDArray) -> NDArray:
    """Classes, indices: the same ones in another order."""
    return np.roll(value[::-1], 1, axis=0)


def pictures(value: NDArray) -> NDArray:
    """Pixels, uint8 or floats: the negatives, inside the same range."""
    if value.dtype == np.uint8:
        return 255 - value
    return value.max() + value.min() - value


def fixed(value: NDArray) -> NDArray:
    """An array that says how a function works and not on what."""
    return value


def another(**kinds: Kind) -> Second:
    """What makes second inputs of first ones.

    Args:
        kinds: by argument name. Where nothing is said, floating-point arrays hold any real number,
            and everything else stays as it is. A list's entries are all of one kind.
    """

    def make(inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: _changed(value, kinds.get(name)) for name, value in inputs.items()}

    return make


def _changed(value: Any, kind: Kind | None) -> Any:
    if isinstance(value, list):
        return [_changed(v, kind) for v in value]
    if not isinstance(value, np.ndarray):
        return value
    kind = kind or (number if value.dtype.kind == "f" else fixed)
    return np.array(kind(value), value.dtype)


@contextmanager
def between() -> "Iterator[None]":
    """Calls with second inputs: an error inside says that it comes from one of those."""
    try:
        yield
    except Exception as error:
        error.again = True  # type: ignore[attr-defined]
        raise


def came_between(error: BaseException) -> bool:
    """True if an error was raised inside :func:`between`."""
    return getattr(error, "again", False)
