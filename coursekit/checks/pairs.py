"""How layers are called: a forward alone, or a backward with the cache of its own forward."""

from collections.abc import Callable
from typing import Any

from numpy.random import Generator

from coursekit.checks.exercises import Case, Functions
from coursekit.checks.outcomes import BadReturn, unpack
from coursekit.checks.second import Second, another, between

Run = Callable[[Functions, dict[str, Any]], dict[str, Any]]
Cases = Callable[[Generator], list[Case]]
ANYTHING = another()


def run_forward(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    """A forward that returns (out, cache)."""
    return {"out": unpack(functions[0](*inputs.values()), "it", "out", "cache")["out"]}


def run_backward(*names: str, second: Second = ANYTHING) -> Run:
    """Forward, another forward that must not get in between, backward with those results.

    Args:
        names: of the gradients.
        second: makes the inputs of the forward in between.
    """

    def run(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
        forward, backward = functions
        args = [v for name, v in inputs.items() if name != "dout"]
        returned = forward(*args)
        with between():
            forward(*[v for name, v in second(inputs).items() if name != "dout"])
        if not isinstance(returned, tuple | list) or len(returned) < 2:
            what = "out, the cache and what its exercise asks for"
            raise BadReturn(f"the forward should return {what}")
        gradients = backward(inputs["dout"], returned[1])
        return {names[0]: gradients} if len(names) == 1 else unpack(gradients, "it", *names)

    return run


def with_dout(cases: Cases, forward: Callable) -> Cases:
    """The forward's cases with an upstream gradient, which is not all ones, for the backward."""

    def make(rng: Generator) -> list[Case]:
        made = []
        for c in cases(rng):
            shape = forward(*c.inputs.values())[0].shape
            made.append(Case(c.description, c.inputs | {"dout": 0.5 + rng.standard_normal(shape)}))
        return made

    return make
