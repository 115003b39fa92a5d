"""The few checks that plots make of what they are to show, so that all errors read alike."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def numbers(name: str, values: ArrayLike, ndim: int | None = None) -> NDArray:
    """Return ``values`` as an array if they are finite real numbers with so many axes."""
    array = np.asarray(values)
    if (
        array.dtype.kind not in "biuf"
        or (ndim is not None and array.ndim != ndim)
        or not array.size
    ):
        axes = "" if ndim is None else f" with {ndim} axes"
        raise ValueError(
            f"{name}: got {array.dtype} of shape {array.shape}; needed numbers{axes}, at least one"
        )
    wrong = array.size - np.count_nonzero(np.isfinite(array))
    if wrong:
        raise ValueError(
            f"{name}: got {wrong} values that are nan or infinite; needed finite numbers"
        )
    return array


def pictures(images: ArrayLike, name: str = "images") -> NDArray:
    """Return pictures (N, C, H, W) with C 1 or 3 as (N, H, W, 3) floats in [0, 1].

    Raises:
        ValueError: they are neither uint8 nor floats in [0, 1], or of another shape, or none.
    """
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        last = array.ndim == 4 and array.shape[3] in (1, 3)
        repair = f": {name}.transpose(0, 3, 1, 2)" if last else ""
        raise ValueError(f"{name} must have shape (N, 1 or 3, H, W), got {array.shape}{repair}")
    if array.dtype == np.uint8:
        array = array / 255
    elif array.dtype.kind != "f":
        raise ValueError(
            f"{name}: got {array.dtype}; needed uint8, the levels 0 to 255, or floats from 0 to 1"
        )
    elif not (array.min() > -0.01 and array.max() < 1.01):  # nan fails, too; rounding passes
        raise ValueError(
            f"{name}: got floats from {array.min():.3g} to {array.max():.3g}; needed floats from "
            "0 to 1, or uint8: before anything is normalized"
        )
    shown = np.clip(array.transpose(0, 2, 3, 1), 0, 1)
    return np.broadcast_to(shown, (*shown.shape[:3], 3))


def classes(name: str, values: ArrayLike, count: int, needed: int | None = None) -> NDArray:
    """Return class numbers (N,) if all lie in 0 .. count - 1.

    Args:
        name: of the argument.
        values: whole numbers.
        count: how many classes there are.
        needed: N, if it is known.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(
            f"{name}: got {array.dtype} of shape {array.shape}; needed whole numbers (N,), at "
            "least one"
        )
    if needed is not None and len(array) != needed:
        raise ValueError(f"{name}: got {len(array)}; needed {needed}, one for each picture")
    wrong = np.flatnonzero((array < 0) | (array >= count))
    if len(wrong):
        raise ValueError(
            f"{name}: got class {array[wrong[0]]} at position {wrong[0]}; needed 0 to {count - 1}, "
            f"as there are {count} names"
        )
    return array


def as_many(name: str, values: Sized, needed: int, what: str) -> None:
    """Raise ``ValueError`` unless there is one value for each of ``what``."""
    if len(values) != needed:
        raise ValueError(f"{name}: got {len(values)}; needed {needed}, one for each {what}")


def whole(name: str, values: ArrayLike) -> None:
    """Raise ``ValueError`` unless all values are whole numbers."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name}: got {values!r}; needed whole numbers")


def at_least_one(name: str, value: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a whole number from 1 on."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}: got {value!r}; needed a whole number of at least 1")


def columns(frame: Any, *names: str | None) -> None:
    """Raise ``ValueError`` unless the table has rows and these columns; None is none."""
    missing = [name for name in names if name is not None and name not in frame.columns]
    if missing or not len(frame):
        raise ValueError(
            f"frame: got {len(frame)} rows with the columns {list(map(str, frame.columns))}; "
            f"needed rows, and the columns {[name for name in names if name is not None]}"
        )


def positive(name: str, values: ArrayLike) -> None:
    """Raise ``ValueError`` for what cannot lie on a logarithmic axis; nan is left out there."""
    array = np.asarray(values, float)
    if (array <= 0).any():
        raise ValueError(
            f"{name}: got {array[array <= 0].max():g}; needed numbers greater than 0 for a "
            "logarithmic axis"
        )


def some(name: str, values: Mapping[str, Any] | Sequence[Any]) -> None:
    """Raise ``ValueError`` where there is nothing to draw."""
    if not len(values):
        raise ValueError(f"{name}: got none; needed at least one")
