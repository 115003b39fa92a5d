"""Lesson 2's exercises on batch norm and layer norm: how each is called, on which inputs."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks import references_norm as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack
from coursekit.checks.pairs import run_backward, run_forward, with_dout
from coursekit.checks.second import another, positive

NORM = another(gamma=positive, running_var=positive)
FAR = 3e5  # a mean at which E[x^2] - E[x]^2 has no right digit left, but x - mean has ten


def affine(rng: Generator, d: int) -> dict[str, NDArray]:
    """Scale and shift, far from the 1 and 0 that would hide what is done with them."""
    return {"gamma": rng.uniform(0.5, 3.0, d), "beta": 2 * rng.standard_normal(d)}


def _features(rng: Generator, n: int, d: int) -> NDArray:
    """Columns with means and deviations of their own."""
    return rng.uniform(0.5, 3.0, d) * rng.standard_normal((n, d)) + 2 * rng.standard_normal(d)


# --- batch norm, forward ------------------------------------------------------------------


def run_batch_norm_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    """A forward that returns its output, a cache and the new running statistics."""
    names = ("out", "cache", "running_mean", "running_var")
    parts = unpack(functions[0](*inputs.values()), "it", *names)
    del parts["cache"]
    for name in names[2:]:  # in evaluation they may be the very arrays that came in
        parts[name] = _detached(parts[name], inputs[name])
    return parts


def _detached(value: Any, argument: NDArray) -> Any:
    """A copy if ``value`` is the argument itself."""
    same = isinstance(value, np.ndarray) and np.may_share_memory(value, argument)
    return value.copy() if same else value


def _batch_norm_case(
    rng: Generator,
    n: int,
    d: int,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    x: NDArray | None = None,
    running: tuple[NDArray, NDArray] | None = None,
    note: str = "",
) -> Case:
    """``running`` statistics are as after some epochs, if they are not given."""
    mean, var = running or (3 * rng.standard_normal(d), rng.uniform(0.5, 4.0, d))
    inputs = {
        "x": _features(rng, n, d) if x is None else x,
        **affine(rng, d),
        "running_mean": mean,
        "running_var": var,
        "training": training,
        "momentum": momentum,
        "eps": eps,
    }
    mode = f"training, momentum {momentum:g}" if training else "evaluation"
    return Case(f"x {n, d}, {mode}, eps {eps:g}{note}", inputs)


def _training_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, **options: Any) -> Case:
        return _batch_norm_case(rng, n, d, **options)

    still = _features(rng, 6, 4)
    still[:, 1] = 2.0
    return [
        case(8, 5, running=(np.zeros(5), np.ones(5)), note=", the first step"),
        case(7, 4, momentum=0.3, eps=0.1),
        case(5, 5, momentum=0.3, eps=0.1, note=", as many rows as features"),
        case(2, 3, eps=0.1, note=", the smallest batch"),
        case(6, 1),
        case(6, 4, x=still, note=", a feature that never changes"),
        case(16, 3, x=_features(rng, 16, 3) + FAR, note=f", numbers near {FAR:g}"),
    ]


def _evaluation_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, **options: Any) -> Case:
        return _batch_norm_case(rng, n, d, training=False, **options)

    quiet = (rng.standard_normal(4), np.array([1e-3, 0.0, 0.05, 2.0]))
    return [
        case(6, 4),
        case(5, 5, eps=0.1, note=", as many rows as features"),
        case(1, 4, note=", a single row"),
        case(6, 4, eps=0.1, running=quiet, note=", small running variances"),
    ]


def _forward_cases(rng: Generator) -> list[Case]:
    return _training_cases(rng) + _evaluation_cases(rng)


register(
    Exercise(
        "batch_norm_forward",
        ("batch_norm_forward",),
        (reference.batch_norm_forward,),
        run_batch_norm_forward,
        _forward_cases,
        second=NORM,
    )
)


# --- batch norm, backward -----------------------------------------------------------------

GRAPH = ("x", "gamma", "mu", "xmu", "sq", "var", "std", "ivar", "xhat", "out")
STEPS = (
    *("dbeta", "dgamma", "dxhat", "divar", "dstd", "dvar", "dsq"),
    *("dxmu_xhat", "dxmu_sq", "dxmu", "dmu", "dx"),
)


def _run_steps(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    returned = functions[0](inputs["dout"], {name: inputs[name] for name in GRAPH})
    if not isinstance(returned, dict):
        came = type(returned).__name__
        raise BadReturn(f"it should return a dict of gradients by name, got a {came}")
    # In the order of the derivation: the first that is wrong, or not there yet, is told.
    return {name: returned.get(name) for name in STEPS}


def _another_graph(inputs: dict[str, Any]) -> dict[str, Any]:
    """The values of a forward pass hang together, so another pass has to make them."""
    x, gamma = 1 - inputs["x"], inputs["gamma"] + 1
    eps = np.mean(inputs["std"] ** 2 - inputs["var"], dtype=x.dtype)
    beta = np.mean(inputs["out"] - inputs["gamma"] * inputs["xhat"], axis=0)
    values = reference.batch_norm_graph(x, gamma, beta, eps)
    return {"dout": 1 - inputs["dout"], **values}


def _steps_cases(rng: Generator) -> list[Case]:
    cases = []
    for c in _training_cases(rng):
        x, gamma, beta, eps = (c.inputs[k] for k in ("x", "gamma", "beta", "eps"))
        dout = rng.standard_normal(x.shape)
        v = reference.batch_norm_graph(x, gamma, beta, eps)
        cases.append(Case(f"x {x.shape}, eps {eps:g}", {"dout": dout, **v}))
    return cases


register(
    Exercise(
        "batch_norm_backward_steps",
        ("batch_norm_backward_steps",),
        (reference.batch_norm_backward_steps,),
        _run_steps,
        _steps_cases,
        second=_another_graph,
    )
)
register(
    Exercise(
        "batch_norm_backward",
        ("batch_norm_forward", "batch_norm_backward"),
        (reference.batch_norm_forward, reference.batch_norm_backward),
        run_backward("dx", "dgamma", "dbeta", second=NORM),
        with_dout(_training_cases, reference.batch_norm_forward),
        second=NORM,
    )
)


# --- a linear layer and the batch norm after it, made one ----------------------------------


def _run_fold(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return unpack(functions[0](*inputs.values()), "it", "w", "b")


def _fold_cases(rng: Generator) -> list[Case]:
    def case(m: int, d: int, eps: float) -> Case:
        inputs = {
            "w": rng.standard_normal((m, d)),
            "b": 1 + rng.standard_normal(m),
            **affine(rng, m),
            "running_mean": 2 * rng.standard_normal(m),
            "running_var": rng.uniform(0.05, 4.0, m),
            "eps": eps,
        }
        return Case(f"w {m, d}, b {(m,)}, eps {eps:g}", inputs)

    return [case(4, 3, 1e-5), case(3, 5, 0.1), case(4, 4, 0.1), case(1, 3, 1e-3)]


register(
    Exercise(
        "fold_batch_norm",
        ("fold_batch_norm",),
        (reference.fold_batch_norm,),
        _run_fold,
        _fold_cases,
        second=NORM,
    )
)


# --- layer norm ---------------------------------------------------------------------------


def _layer_norm_cases(rng: Generator) -> list[Case]:
    def case(x: NDArray, eps: float, note: str = "") -> Case:
        inputs = {"x": x, **affine(rng, x.shape[1]), "eps": eps}
        return Case(f"x {x.shape}, eps {eps:g}{note}", inputs)

    still = _features(rng, 4, 6)
    still[2] = 2.0
    return [
        case(_features(rng, 4, 6), 1e-5),
        case(_features(rng, 7, 3), 0.1),
        case(_features(rng, 5, 5), 0.1, ", as many rows as features"),
        case(_features(rng, 1, 6), 1e-5, ", a single row"),
        case(_features(rng, 5, 2), 0.1, ", two features"),
        case(still, 1e-5, ", a row of equal numbers"),
        case(_features(rng, 3, 16) + FAR, 1e-5, f", numbers near {FAR:g}"),
    ]


register(
    Exercise(
        "layer_norm_forward",
        ("layer_norm_forward",),
        (reference.layer_norm_forward,),
        run_forward,
        _layer_norm_cases,
        second=NORM,
    )
)
register(
    Exercise(
        "layer_norm_backward",
        ("layer_norm_forward", "layer_norm_backward"),
        (reference.layer_norm_forward, reference.layer_norm_backward),
        run_backward("dx", "dgamma", "dbeta", second=NORM),
        with_dout(_layer_norm_cases, reference.layer_norm_forward),
        second=NORM,
    )
)
