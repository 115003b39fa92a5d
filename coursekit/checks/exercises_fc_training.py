"""Lesson 1's exercises on nets, first weights and update rules."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_fc as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack, unpack_list
from coursekit.checks.properties import weights_for_relu
from coursekit.checks.second import another, labels, positive


def _labels(rng: Generator, n: int, num_classes: int) -> NDArray:
    return rng.integers(0, num_classes, n)


# --- nets ---------------------------------------------------------------------------------


def _run_two_layer_loss(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    returned = unpack(functions[0](*inputs.values()), "it", "loss", "grads")
    grads, names = returned["grads"], {"w1", "b1", "w2", "b2"}
    if not isinstance(grads, dict) or grads.keys() != names:
        came = sorted(grads) if isinstance(grads, dict) else type(grads).__name__
        raise BadReturn(f"grads should be a dict with the keys {sorted(names)}, got {came}")
    return {"loss": returned["loss"]} | {f'grads["{k}"]': g for k, g in grads.items()}


def _run_mlp_loss(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    depth = len(inputs["weights"])
    parts = unpack(functions[0](*inputs.values()), "it", "loss", "dweights", "dbiases")
    return (
        {"loss": parts["loss"]}
        | unpack_list(parts["dweights"], "dweights", depth)
        | unpack_list(parts["dbiases"], "dbiases", depth)
    )


def _two_layer_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, h: int, c: int, weight_decay: float) -> Case:
        description = f"{n} rows of {d}, {h} hidden, {c} classes, weight decay {weight_decay:g}"
        inputs = {
            "x": rng.standard_normal((n, d)),
            "y": _labels(rng, n, c),
            "w1": rng.standard_normal((h, d)),
            "b1": rng.standard_normal(h),
            "w2": rng.standard_normal((c, h)),
            "b2": rng.standard_normal(c),
            "weight_decay": weight_decay,
        }
        return Case(description, inputs)

    at_the_kink = case(4, 3, 5, 3, 0.0)
    at_the_kink.inputs["x"][:2] = 0
    at_the_kink.inputs["b1"][:] = 0
    named = Case("two rows of zeros without bias: hidden units exactly at 0", at_the_kink.inputs)
    shapes = [(5, 4, 6, 3, 0.0), (5, 4, 6, 3, 0.5), (4, 4, 4, 4, 0.1), (1, 3, 5, 2, 0.1)]
    return [*(case(*s) for s in shapes), named]


def _mlp_cases(rng: Generator) -> list[Case]:
    def case(n: int, *sizes: int) -> Case:
        pairs = list(pairwise(sizes))
        inputs = {
            "x": rng.standard_normal((n, sizes[0])),
            "y": _labels(rng, n, sizes[-1]),
            "weights": [rng.standard_normal((o, i)) / np.sqrt(i) for i, o in pairs],
            "biases": [0.5 + 0.1 * rng.standard_normal(o) for _, o in pairs],
        }
        return Case(f"{n} rows through {' - '.join(map(str, sizes))}", inputs)

    cases = [
        case(5, 4, 6, 3),
        case(5, 4, 3),
        case(6, 3, 7, 5, 4),
        case(4, 5, 5, 5, 5, 5),
        case(1, 3, 4, 5, 4, 3, 2),
    ]
    kink = case(6, 3, 5, 4, 3).inputs
    kink["x"][:2] = 0
    for b in kink["biases"][:-1]:
        b[:] = 0
    return [*cases, Case("two rows of zeros without biases: hidden units exactly at 0", kink)]


register(
    Exercise(
        "two_layer_loss",
        ("two_layer_loss",),
        (reference.two_layer_loss,),
        _run_two_layer_loss,
        _two_layer_cases,
        second=another(y=labels),
    )
)
register(
    Exercise(
        "mlp_loss",
        ("mlp_loss",),
        (reference.mlp_loss,),
        _run_mlp_loss,
        _mlp_cases,
        second=another(y=labels),
    )
)


# --- initialisation: what is compared is the distribution, not the numbers -----------------


def _run_kaiming(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    fan_in, fan_out = inputs["fan_in"], inputs["fan_out"]
    return weights_for_relu(
        lambda rng: functions[0](fan_in, fan_out, rng),
        (fan_out, fan_in),
        f"(fan_out, fan_in), here {fan_out, fan_in}",
        fan_in,
        inputs["seed"],
    )


def _kaiming_cases(rng: Generator) -> list[Case]:
    return [
        Case(
            f"fan_in {fan_in}, fan_out {fan_out}",
            {"fan_in": fan_in, "fan_out": fan_out, "seed": int(rng.integers(1 << 32))},
        )
        for fan_in, fan_out in ((400, 150), (100, 600))
    ]


register(
    Exercise(
        "kaiming_normal",
        ("kaiming_normal",),
        (reference.kaiming_normal,),
        _run_kaiming,
        _kaiming_cases,
        rtol=0.03,
        floats=(np.float64,),
    )
)


# --- update rules -------------------------------------------------------------------------


def _run_rule(*names: str) -> Callable[[Functions, dict[str, Any]], dict[str, Any]]:
    def run(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
        return unpack(functions[0](*inputs.values()), "it", *names)

    return run


def _rule_cases(
    state: tuple[str, ...], settings: list[dict[str, float]]
) -> Callable[[Generator], list[Case]]:
    """Cases for a rule with the given running averages and the settings to try it with."""

    def make(rng: Generator) -> list[Case]:
        def case(
            description: str, shape: tuple[int, ...], g_size: float, s: dict, old: float
        ) -> Case:
            w, g = rng.standard_normal(shape), g_size * rng.standard_normal(shape)
            # 0.2 keeps away from 0; v and s of Adam and RMSProp are means of squares
            averages = {k: old * (0.2 + rng.random(shape)) for k in state}
            told = ", ".join(f"{k} = {v:g}" for k, v in s.items())
            return Case(f"{description}, {told}", {"w": w, "g": g, **averages, **s})

        usual, *others = settings
        return [
            case("in the middle of training", (3, 4), 1.0, usual, 1.0),
            *(case("in the middle of training", (5,), 1.0, s, 1.0) for s in others),
            case("the first step, averages still 0", (4, 2), 1.0, _at_start(usual), 0.0),
            case("gradients of 1e-7", (6,), 1e-7, usual, 1e-14),
            case("gradients of 0 and averages of 0", (2, 2), 0.0, _at_start(usual), 0.0),
            case("gradients of 1000", (1, 3), 1000.0, usual, 1.0),
        ]

    return make


def _at_start(setting: dict[str, float]) -> dict[str, float]:
    return setting | {"t": 1} if "t" in setting else setting


_ADAM = {"t": 3, "lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6}

register(
    Exercise(
        "sgd_momentum",
        ("sgd_momentum",),
        (reference.sgd_momentum,),
        _run_rule("w", "v"),
        _rule_cases(("v",), [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.5, "momentum": 0.0}]),
    )
)
register(
    Exercise(
        "rmsprop",
        ("rmsprop",),
        (reference.rmsprop,),
        _run_rule("w", "s"),
        _rule_cases(
            ("s",),
            [{"lr": 0.1, "alpha": 0.9, "eps": 1e-6}, {"lr": 0.02, "alpha": 0.5, "eps": 0.1}],
        ),
        second=another(s=positive),
    )
)
register(
    Exercise(
        "adam",
        ("adam",),
        (reference.adam,),
        _run_rule("w", "m", "v"),
        _rule_cases(
            ("m", "v"),
            [_ADAM, _ADAM | {"t": 1, "eps": 0.1}, _ADAM | {"t": 1000, "beta2": 0.999, "eps": 0.1}],
        ),
        second=another(v=positive),
    )
)
