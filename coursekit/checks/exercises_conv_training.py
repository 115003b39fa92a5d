"""Lesson 3's exercises on what a net starts from: its first weights, and pictures cut at random.

Crops may be drawn as one likes. What is compared is which windows they are: of the picture with
which border, how many different ones, whether all are equally likely, one for all channels or
several.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_atlas as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.properties import (
    GlobalDraws,
    count,
    like,
    plausible,
    rarer,
    share,
    weights_for_relu,
)
from coursekit.checks.second import another, pictures

# --- first weights --------------------------------------------------------------------------


def _run_kaiming(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    shape = inputs["shape"]
    fan_in = int(np.prod(shape[1:]))
    return weights_for_relu(
        lambda rng: functions[0](shape, rng), shape, f"{shape}", fan_in, inputs["seed"]
    )


def _kaiming_cases(rng: Generator) -> list[Case]:
    return [
        Case(f"shape {shape}", {"shape": shape, "seed": int(rng.integers(1 << 32))})
        for shape in ((128, 64, 3, 3), (600, 100), (200, 20, 3, 5), (150, 8, 7, 5))
    ]


register(
    Exercise(
        "kaiming_normal_conv",
        ("kaiming_normal_conv",),
        (reference.kaiming_normal_conv,),
        _run_kaiming,
        _kaiming_cases,
        rtol=0.03,
        floats=(np.float64,),
    )
)


# --- random crops ---------------------------------------------------------------------------

BORDERS = {
    "reflect": "that is reflected at its border",
    "constant": "with zeros around it",
    "edge": "whose border pixels are repeated",
    "symmetric": "that is reflected with its border pixels doubled",
    "wrap": "that is continued on the other side",
}


CALLS = 5  # 2,000 and 3,500 crops in all


def _run_random_crop(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    images, padding = inputs["images"], inputs["padding"]
    watched = GlobalDraws()

    def crops(rng: Generator) -> NDArray:
        made = watched(functions[0], images, padding, rng)
        return like(made, "its result", images, "images")

    rng = np.random.default_rng(inputs["seed"])
    first = crops(rng)
    kept = [first.copy(), *(crops(rng) for _ in range(CALLS - 1))]
    again = crops(np.random.default_rng(inputs["seed"]))
    return {
        **_windows(kept, images, padding),
        "further calls that draw the same windows": count(
            *(np.array_equal(crop, kept[0]) for crop in kept[1:])
        ),
        "calls that change the crops of the call before": count(not np.array_equal(first, kept[0])),
        "calls with the same seed that draw other windows": count(
            not np.array_equal(again, kept[0])
        ),
        **watched.result(),
    }


def _windows(crops: list[NDArray], images: NDArray, padding: int) -> dict[str, float]:
    """Which windows of which picture the crops of several calls are."""
    places = 2 * padding + 1
    border, same, reflected = _border(crops[0], images, padding)
    start = _starts(same)
    different = len(np.unique(start, axis=0))
    chances = [0.0] * 3
    if different > 1 and border:  # of one window for all, its place is not asked
        # A corner of four pixels tells the windows of a reflected picture apart.
        others = [_starts(_found(c[:, :1], images[:, :1], padding, border, 2)) for c in crops[1:]]
        chances = _unequal(np.concatenate([start, *others]), places)
    return {
        # In the middle window no border is seen.
        f"the share of crops that are windows of a picture {BORDERS['reflect']}": share(
            reflected, 1.0, 1 / places**2, 0.0
        ),
        **{
            f"the share of crops that must be windows of a picture {told}": float(border == mode)
            for mode, told in BORDERS.items()
            if mode != "reflect"
        },
        "the share of crops whose channels come from one window": share(
            np.any(same.all(axis=1), axis=(1, 2)), 1.0, 1 / places**2, 0.0
        ),
        "the number of rows at which windows start": float(len(np.unique(start[:, 0]))),
        "the number of columns at which windows start": float(len(np.unique(start[:, 1]))),
        "the number of different windows": float(different),
        "rows at which clearly fewer windows start than at others": chances[0],
        "columns at which clearly fewer windows start than at others": chances[1],
        "pairs of row and column that are clearly rarer than others": chances[2],
    }


def _unequal(start: NDArray, places: int) -> list[float]:
    """How many rows, columns and, if there are none, pairs of them are rarer than others."""
    rows, columns = (np.bincount(axis, minlength=places) for axis in start.T)
    pairs = np.bincount(start[:, 0] * places + start[:, 1], minlength=places**2)
    alone = [float(rarer(rows)), float(rarer(columns))]
    fair = all(plausible(c, np.full(places, 1 / places)) for c in (rows, columns))
    return [*alone, float(rarer(pairs)) if fair else 0.0]


def _starts(same: NDArray) -> NDArray:
    """Row and column, (N, 2), of the first window that the first channel is."""
    flat = same[:, 0].reshape(len(same), -1).argmax(axis=1)
    return np.stack(np.unravel_index(flat, same.shape[2:]), axis=1)


def _border(crops: NDArray, images: NDArray, padding: int) -> tuple[str, NDArray, NDArray]:
    """The border for which all crops are windows, "" if there is none, where they are, and which
    of them (N,) are windows of the reflected pictures."""
    reflected = _found(crops, images, padding, "reflect")
    fits = np.any(reflected[:, 0], axis=(1, 2))
    for border in BORDERS:
        same = reflected if border == "reflect" else _found(crops, images, padding, border)
        if np.any(same[:, 0], axis=(1, 2)).all():
            return border, same, fits
    return "", reflected, fits


def _found(
    crops: NDArray, images: NDArray, padding: int, border: str, corner: int | None = None
) -> NDArray:
    """Where (N, C, row, column) the crops, or only a corner of them, are windows of the pictures
    with a border."""
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(images, sides, mode=border)  # type: ignore[call-overload]
    windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    corners = (..., slice(corner), slice(corner))
    return (windows[corners] == crops[:, :, None, None][corners]).all(axis=(4, 5))


def _crop_cases(rng: Generator) -> list[Case]:
    # So many pictures that a window is missing once in 10^11 times. A side has at least
    # padding + 2 pixels: in a smaller picture two windows would be the same.
    def case(padding: int, *shape: int) -> Case:
        inputs = {"images": 1 + rng.random(shape), "padding": padding}
        told = f"images {shape}, padding {padding}"
        return Case(told, inputs | {"seed": int(rng.integers(1 << 32))})

    return [case(1, 400, 3, 5, 5), case(2, 700, 2, 4, 6)]


register(
    Exercise(
        "random_crop",
        ("random_crop",),
        (reference.random_crop,),
        _run_random_crop,
        _crop_cases,
        second=another(images=pictures),
    )
)
