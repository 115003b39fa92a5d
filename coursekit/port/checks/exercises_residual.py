"""Lesson 5's exercises on nets and layers: a block, a net, a width, a gate, an activation."""

from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn
from coursekit.port.checks import references_residual as reference
from coursekit.port.checks.probe_residual import run_net, with_gradients

# --- ResNet18's block -----------------------------------------------------------------------


def _run_basic_block(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    sizes = inputs["in_channels"], inputs["out_channels"], inputs["stride"]
    return run_net(lambda: functions[0](*sizes), inputs["x"], in_order=False)


def _block_cases(rng: Generator) -> list[Case]:
    def case(n: int, c: int, side: tuple[int, int], out: int, stride: int) -> Case:
        inputs = {
            "in_channels": c,
            "out_channels": out,
            "stride": stride,
            "x": rng.standard_normal((n, c, *side)),
        }
        return Case(f"{c} to {out} channels, stride {stride}, x {(n, c, *side)}", inputs)

    return [
        case(3, 4, (6, 6), 4, 1),
        case(2, 2, (6, 6), 4, 2),
        case(3, 2, (5, 4), 4, 1),
        case(2, 4, (7, 5), 4, 2),
        case(2, 3, (4, 6), 1, 1),
        case(1, 1, (5, 5), 3, 3),
        case(1, 1, (3, 4), 1, 1),
    ]


register(
    Exercise(
        "basic_block",
        ("basic_block",),
        (reference.basic_block,),
        _run_basic_block,
        _block_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)


# --- the compact net ------------------------------------------------------------------------


def _run_compact_net(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    sizes = inputs["width"], inputs["classes"]
    return run_net(lambda: functions[0](*sizes), inputs["x"], in_order=True)


def _compact_cases(rng: Generator) -> list[Case]:
    def case(width: int, classes: int, n: int, *side: int) -> Case:
        x = rng.standard_normal((n, 3, *side))
        told = f"width {width}, {classes} classes, x {x.shape}"
        return Case(told, {"width": width, "classes": classes, "x": x})

    return [
        case(5, 4, 3, 8, 8),
        case(64, 10, 1, 8, 8),
        case(3, 2, 2, 11, 6),
        case(4, 10, 2, 6, 13),
        case(3, 3, 1, 12, 8),
        case(1, 1, 2, 8, 8),
    ]


register(
    Exercise(
        "compact_net",
        ("compact_net",),
        (reference.compact_net,),
        _run_compact_net,
        _compact_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)


# --- as wide as it may be -------------------------------------------------------------------

COUNTS = {
    "72 width² + 64 width + 10": lambda width: 72 * width**2 + 64 * width + 10,
    "width": lambda width: width,
    "7 width + 3": lambda width: 7 * width + 3,
    "100 + width": lambda width: 100 + width,
    "width³ + 5": lambda width: width**3 + 5,
    "2 to the power of width": lambda width: 2 ** min(width, 100),  # enough for any budget here
}
MOST_CALLS = 100


def _run_widest(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    calls = 0

    def count(width: Any) -> int:
        nonlocal calls
        calls += 1
        if isinstance(width, bool) or not isinstance(width, int | np.integer) or width < 1:
            raise ValueError(f"width: got {width!r}, needed a whole number of at least 1")
        if calls > MOST_CALLS:
            raise RuntimeError(f"count is called more than {MOST_CALLS} times, now of {width}")
        return COUNTS[inputs["count"]](int(width))

    width = functions[0](count, inputs["budget"])
    if isinstance(width, bool) or not isinstance(width, int | np.integer):
        raise BadReturn(f"its result should be a whole number, got {width!r}")
    return {"its result": int(width)}


def _widest_cases(rng: Generator) -> list[Case]:
    net = "72 width² + 64 width + 10"

    def case(count: str, budget: int) -> Case:
        return Case(f"count(width) = {count}, budget {budget}", {"count": count, "budget": budget})

    return [
        case(net, 300_000 + int(rng.integers(1000))),
        case(net, 299_018),
        case(net, 299_017),
        case(net, 145),
        case(net, 146),
        case(net, 0),
        case("width", 10**9),
        case("7 width + 3", int(rng.integers(10**6, 10**7))),
        case("100 + width", 5_000),
        case("100 + width", 228),
        case("width³ + 5", 10**9),
        case("width³ + 5", 5 + 64**3),
        case("2 to the power of width", 10**9),
        case("2 to the power of width", 2**17 - 1),
    ]


register(
    Exercise(
        "widest",
        ("widest",),
        (reference.widest,),
        _run_widest,
        _widest_cases,
        floats=(np.float64,),
    )
)


# --- squeeze and excite ---------------------------------------------------------------------


def _run_squeeze_excite(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return with_gradients(functions[0], inputs)


def _squeeze_cases(rng: Generator) -> list[Case]:
    def case(n: int, c: int, side: tuple[int, int], r: int, note: str = "") -> Case:
        inputs = {
            "x": 0.5 + rng.standard_normal((n, c, *side)),
            "w1": rng.standard_normal((r, c)),
            "b1": 0.5 + rng.standard_normal(r),
            "w2": rng.standard_normal((c, r)),
            "b2": rng.standard_normal(c),
        }
        return Case(f"x {(n, c, *side)}, {r} hidden units{note}", inputs)

    return [
        case(3, 6, (4, 4), 4),
        case(2, 4, (5, 3), 2),
        case(1, 5, (3, 4), 3),
        case(3, 1, (3, 3), 2),
        case(2, 3, (4, 2), 1),
        case(3, 3, (3, 3), 3, ", all sizes equal"),
        case(2, 3, (1, 1), 2, ", one position"),
    ]


register(
    Exercise(
        "squeeze_excite",
        ("squeeze_excite",),
        (reference.squeeze_excite,),
        _run_squeeze_excite,
        _squeeze_cases,
    )
)


# --- GELU -----------------------------------------------------------------------------------


def _run_gelu(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return with_gradients(functions[0], inputs, torch.from_numpy(inputs["x"]).dtype)


def _gelu_cases(rng: Generator) -> list[Case]:
    def case(told: str, x: Any) -> Case:
        return Case(told, {"x": np.asarray(x)})

    return [
        case("x (4, 5)", 2 * rng.standard_normal((4, 5))),
        case("x (2, 3, 4, 2)", rng.standard_normal((2, 3, 4, 2))),
        case("x (7,)", rng.standard_normal(7)),
        case("x (), one number", -0.7),
        case("x from -1000 to 1000", [-1000.0, -40, -9, -3, -1e-9, 0, 1e-9, 3, 9, 40, 1000]),
    ]


register(Exercise("gelu", ("gelu",), (reference.gelu,), _run_gelu, _gelu_cases))
