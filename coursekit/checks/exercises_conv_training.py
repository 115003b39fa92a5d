"""Lesson 3's exercises on what a net starts from: its first weights, and pictures cut at random.

Crops may be drawn as one likes. What is compared is which windows they are: of the picture with
which border, how many different ones, one for all channels or several.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_atlas as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.properties import like, same_state, weights_for_relu, yes

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


def _run_random_crop(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    images, padding = inputs["images"], inputs["padding"]

    def crops(rng: Generator) -> NDArray:
        return like(functions[0](images, padding, rng), "its result", images, "images")

    rng = np.random.default_rng(inputs["seed"])
    before = np.random.get_state()  # noqa: NPY002  that of np.random.rand
    first = crops(rng)
    kept = first.copy()
    second = crops(rng)
    again = crops(np.random.default_rng(inputs["seed"]))
    after = np.random.get_state()  # noqa: NPY002
    np.random.set_state(before)  # noqa: NPY002
    return {
        **_windows(kept, images, padding),
        "a second call draws other windows (1 is yes)": yes(np.any(second != kept)),
        "a second call leaves the first crops alone (1 is yes)": yes(np.array_equal(first, kept)),
        "the same seed draws the same windows (1 is yes)": yes(np.array_equal(again, kept)),
        "the global np.random is not used (1 is yes)": yes(same_state(before, after)),
    }


def _windows(crops: NDArray, images: NDArray, padding: int) -> dict[str, float]:
    """Which windows of which picture the crops are."""
    border, same = _found(crops, images, padding)
    flat = same[:, 0].reshape(len(same), -1).argmax(axis=1)
    start = np.stack(np.unravel_index(flat, same.shape[2:]), axis=1)  # row, column
    different = float(len(np.unique(start, axis=0)))
    return {
        **{
            f"the first channel of every crop is a window of a picture {told} (1 is yes)": yes(
                border == mode
            )
            for mode, told in BORDERS.items()
        },
        "a crop's channels come from one window (1 is yes)": yes(
            np.all(np.any(same.all(axis=1), axis=(1, 2)))
        ),
        "the number of rows at which windows start": float(len(np.unique(start[:, 0]))),
        "the number of columns at which windows start": float(len(np.unique(start[:, 1]))),
        "the number of different windows": different,
        # Of one window for all, chance says whether it is the middle one: that is not asked.
        "clearly more than half of the pictures are moved (1 is yes)": yes(
            different == 1 or np.mean(np.any(start != padding, axis=1)) > 0.55
        ),
    }


def _found(crops: NDArray, images: NDArray, padding: int) -> tuple[str, NDArray]:
    """The border for which all crops are windows, and where (N, C, row, column) they are."""
    size = images.shape[2:]
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    for border in BORDERS:
        padded = np.pad(images, sides, mode=border)  # type: ignore[call-overload]
        windows = sliding_window_view(padded, size, axis=(2, 3))
        same = (windows == crops[:, :, None, None]).all(axis=(4, 5))
        if np.all(np.any(same[:, 0], axis=(1, 2))):
            return border, same
    return "none of them", np.zeros_like(same)


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
    )
)
