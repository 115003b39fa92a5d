"""Whether a function computes in float64, which differences need: asked where they disagree."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.gradcheck_result import ArgumentReport
from coursekit.checks.probe import Probe
from coursekit.checks.report import number

STEPS = (1e-10, 4e-9, 1e-8)  # below what float32 tells apart, and near it; for size 1
POINTS = 16  # to either side
WIDE = (1e-5, 1e-3)  # where the slope is measured that an increment is compared with
ENTRIES = 2  # of an argument


def coarse(probe: Probe, report: ArgumentReport) -> str | None:
    """A sentence if the function does not follow an argument as closely as float64 can.

    A smooth function, or one with kinks, changes over a tiny step by no more than its slope allows.
    One that rounds in between, as float32 does, stands still and then jumps.
    """
    suspects = [*report.wrong, *report.kinks, *report.near]
    for i in sorted(suspects, key=report.error, reverse=True)[:ENTRIES]:
        for step in STEPS:
            if (jump := _jump(probe, report.key, i, step)) is not None:
                cause = "forward does not compute in float64"
                if jump.startswith("jumps"):
                    cause += ", or has a step there (sign, floor, a comparison)"
                where = [int(j) for j in np.unravel_index(i, report.shape)]
                name = report.name + (f"[{', '.join(map(str, where))}]" if where else "")
                return (
                    f"{cause}: its result {jump} {name} changes smoothly; look for float32 in it "
                    "(astype, the dtype of a new array), for rounding, or for an iteration that "
                    "stops early"
                )
    return None


def _jump(probe: Probe, k: Any, i: int, step: float) -> str | None:
    size = probe.step(k) / probe.eps

    def at(offset: float) -> NDArray:
        moved = probe.arrays[k].copy()
        moved.reshape(-1)[i] += offset
        return probe.moved(k, moved)

    def slope(offset: float) -> NDArray:
        return np.abs(at(offset) - probe.out) / abs(offset)

    left, right = (np.max([slope(sign * h * size) for h in WIDE], axis=0) for sign in (-1, 1))
    path = np.stack([at(n * step * size) for n in range(-POINTS, POINTS + 1)])
    rises = np.abs(np.diff(path, axis=0))
    floor = 1e3 * np.finfo(np.float64).eps * max(float(np.max(np.abs(probe.out))), 1e-300)
    largest = float(rises.max())
    if np.any(rises > 4 * np.maximum(left, right) * step * size + floor):
        return f"jumps (by {number(largest)}) where"
    stands_still = (rises == 0).all(axis=0)
    moves = np.minimum(left, right) * 2 * POINTS * step * size > floor
    return "stands still where" if np.any(stands_still & moves) else None
