"""Lesson 1's exercises on losses and layers: how each is called, and on which inputs.

The inputs are those that tell right from nearly right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit import functional as F
from coursekit.checks import references_fc as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack
from coursekit.checks.second import another, between, labels


def _labels(rng: Generator, n: int, num_classes: int) -> NDArray:
    return rng.integers(0, num_classes, n)


# --- losses -------------------------------------------------------------------------------


def _run_loss(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return unpack(functions[0](*inputs.values()), "it", "loss", "dlogits")


def _loss_cases(rng: Generator) -> list[Case]:
    def case(description: str, logits: NDArray) -> Case:
        return Case(description, {"logits": logits, "targets": _labels(rng, *logits.shape)})

    far_apart = rng.standard_normal((4, 3)) + np.array([[0.0], [1000.0], [-1e6], [2000.0]])
    return [
        case("logits of shape (5, 7)", rng.standard_normal((5, 7))),
        case("logits of shape (4, 4)", 3 * rng.standard_normal((4, 4))),
        case("a single row, logits of shape (1, 6)", rng.standard_normal((1, 6))),
        case("two classes, logits of shape (6, 2)", rng.standard_normal((6, 2))),
        case("all logits equal", np.zeros((3, 10))),
        case("rows of very different height", far_apart),
    ]


def _softmax_cases(rng: Generator) -> list[Case]:
    huge = rng.choice([-1000.0, 0.0, 1000.0], (8, 5))
    huge[0] = [1000, -1000, 0, 0, 0]
    targets = _labels(rng, 8, 5)
    targets[0] = 1  # as wrong as can be: the loss is 2000 there
    return [*_loss_cases(rng), Case("logits of ±1000", {"logits": huge, "targets": targets})]


def _margin_cases(rng: Generator) -> list[Case]:
    cases = [Case(c.description, c.inputs | {"margin": 1.0}) for c in _loss_cases(rng)]
    # Some of these differences are below the margin and some above, none equal to it.
    logits = rng.permuted(np.tile([0.0, 0.3, -0.2, 4.0, -4.0, 0.1], (9, 1)), axis=1)
    for margin in (0.35, 2.6):
        inputs = {"logits": logits, "targets": _labels(rng, 9, 6), "margin": margin}
        cases.append(Case(f"margin {margin}", inputs))
    # Whole numbers, so that their differences are exact in any order. At the exact margin the
    # gradient is 0, as in PyTorch.
    whole = rng.permuted(np.tile([-1.0, 0.0, 1.0, 2.0], (8, 1)), axis=1)
    inputs = {"logits": whole, "targets": np.arange(8) % 4, "margin": 1.0}
    return [*cases, Case("whole numbers, margins met exactly", inputs)]


register(
    Exercise(
        "softmax_cross_entropy",
        ("softmax_cross_entropy",),
        (reference.softmax_cross_entropy,),
        _run_loss,
        _softmax_cases,
        second=another(targets=labels),
    )
)
register(
    Exercise(
        "multi_margin_loss",
        ("multi_margin_loss",),
        (reference.multi_margin_loss,),
        _run_loss,
        _margin_cases,
        second=another(targets=labels),
    )
)


# --- layers: a forward, and a backward that is given the learner's own cache ---------------


def _run_linear_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    returned = unpack(functions[0](*inputs.values()), "it", "out", "cache")
    cache = returned["cache"]
    if not isinstance(cache, tuple) or len(cache) != 3:
        raise BadReturn("the cache should be the tuple (x, w, b)")
    parts = zip(("cache x", "cache w", "cache b"), cache, strict=True)
    return {"out": returned["out"], **dict(parts)}


def _run_linear_backward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return _run_pair(functions, inputs, "dx", "dw", "db")


def _run_relu_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"out": unpack(functions[0](*inputs.values()), "it", "out", "cache")["out"]}


def _run_relu_backward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return _run_pair(functions, inputs, "dx")


def _run_pair(functions: Functions, inputs: dict[str, Any], *names: str) -> dict[str, Any]:
    """Forward, another forward that must not get in between, backward."""
    forward, backward = functions
    dout, args = inputs["dout"], [v for name, v in inputs.items() if name != "dout"]
    cache = unpack(forward(*args), "the forward", "out", "cache")["cache"]
    with between():
        forward(*(v for name, v in another()(inputs).items() if name != "dout"))
    gradients = backward(dout, cache)
    if len(names) == 1:
        return {names[0]: gradients}
    return unpack(gradients, "it", *names)


def _linear_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, m: int, size: float = 1.0) -> Case:
        shapes = f"x {n, d}, w {m, d}, b {(m,)}" + (f", numbers near {size:g}" if size != 1 else "")
        x, w, b = (size * rng.standard_normal(s) for s in ((n, d), (m, d), m))
        return Case(shapes, {"x": x, "w": w, "b": b})

    return [
        case(4, 5, 3),
        case(6, 4, 4),  # square weights: a missing transpose goes unnoticed but for the values
        case(3, 3, 3),  # everything square
        case(1, 5, 3),
        case(4, 1, 3),
        case(4, 5, 1),
        case(1, 1, 1),
        case(5, 3, 2, 1000.0),
    ]


def _relu_cases(rng: Generator) -> list[Case]:
    whole = rng.integers(-2, 3, (6, 5)).astype(np.float64)
    whole[0, :3] = 0
    return [
        Case("x of shape (4, 5)", {"x": rng.standard_normal((4, 5))}),
        Case("whole numbers, zero among them", {"x": whole}),
        Case("x of shape (3,)", {"x": np.array([-1.5, 0.5, 2.5])}),
        Case("x of shape (2, 3, 4, 5)", {"x": rng.standard_normal((2, 3, 4, 5))}),
        Case("all x negative", {"x": -1 - rng.random((3, 4))}),
        Case("numbers near 1000", {"x": 1000 * rng.standard_normal((2, 7))}),
    ]


def _with_dout(
    cases: Callable[[Generator], list[Case]], shape_of: Callable[[dict], tuple[int, ...]]
) -> Callable[[Generator], list[Case]]:
    """The forward's cases with an upstream gradient for the backward."""

    def make(rng: Generator) -> list[Case]:
        return [
            Case(c.description, c.inputs | {"dout": rng.standard_normal(shape_of(c.inputs))})
            for c in cases(rng)
        ]

    return make


def _linear_out(inputs: dict[str, Any]) -> tuple[int, ...]:
    return len(inputs["x"]), len(inputs["w"])


def _relu_out(inputs: dict[str, Any]) -> tuple[int, ...]:
    return inputs["x"].shape


register(
    Exercise(
        "linear_forward",
        ("linear_forward",),
        (F.linear_forward,),
        _run_linear_forward,
        _linear_cases,
    )
)
register(
    Exercise(
        "linear_backward",
        ("linear_forward", "linear_backward"),
        (F.linear_forward, F.linear_backward),
        _run_linear_backward,
        _with_dout(_linear_cases, _linear_out),
        optional=1,
    )
)
register(
    Exercise("relu_forward", ("relu_forward",), (F.relu_forward,), _run_relu_forward, _relu_cases)
)
register(
    Exercise(
        "relu_backward",
        ("relu_forward", "relu_backward"),
        (F.relu_forward, F.relu_backward),
        _run_relu_backward,
        _with_dout(_relu_cases, _relu_out),
    )
)


# --- the numerical gradient ---------------------------------------------------------------


def _run_numerical_gradient(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"gradient": functions[0](*inputs.values())}


def _numerical_cases(rng: Generator) -> list[Case]:
    def cubic(coefficients: NDArray) -> Callable[[NDArray], float]:
        """``sum of c x^3 + x``: with a large step, every way to take the difference shows."""

        def f(x: NDArray) -> float:
            if np.shape(x) != coefficients.shape:
                raise ValueError(f"f was called with shape {np.shape(x)} for x of another shape")
            return float((coefficients * x**3 + x).sum())

        return f

    def case(shape: tuple[int, ...], h: float) -> Case:
        f, x = cubic(rng.standard_normal(shape) + 3), np.array(rng.standard_normal(shape))
        return Case(f"x of shape {shape}, h = {h:g}", {"f": f, "x": x, "h": h})

    still = Case("x = 0", {"f": cubic(np.ones((2, 3))), "x": np.zeros((2, 3)), "h": 1e-5})
    shapes = [(3, 4), (5,), (2, 3, 2), (), (1, 1), (4, 1)]
    return [*(case(s, 1e-5) for s in shapes), case((2, 5), 0.1), case((2, 5), 1e-3), still]


register(
    Exercise(
        "numerical_gradient",
        ("numerical_gradient",),
        (reference.numerical_gradient,),
        _run_numerical_gradient,
        _numerical_cases,
        rtol=1e-7,
        floats=(np.float64,),
        may_write=True,
    )
)
