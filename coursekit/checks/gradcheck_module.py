"""The gradient check of a whole net: every parameter, and the input, through the loss."""

import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coursekit.checks.gradcheck import in_range, no_gradient, precision_problem, told
from coursekit.checks.gradcheck_result import GradCheckResult
from coursekit.checks.probe import Probe, Tolerance, compare


class Criterion(Protocol):
    """A loss: ``loss = criterion(logits, targets)``, then ``dlogits = criterion.backward()``."""

    def __call__(self, logits: NDArray, targets: NDArray) -> float:
        """Mean loss."""

    def backward(self) -> NDArray:
        """Gradient of the last loss with respect to its logits."""


def gradcheck_module(
    net: Any,
    x: NDArray,
    targets: NDArray,
    criterion: Criterion | None = None,
    *,
    eps: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_entries: int = 20,
    seed: int = 0,
) -> GradCheckResult:
    """Compare the gradients that ``net.backward`` leaves behind with central differences.

    Works on a float64 copy: the net that was given is not changed. If the net can be reseeded,
    it is before every forward pass, so that dropout draws the same masks each time; batch norm
    is differentiated in the mode that the net is in. Parameters whose entries are all equal, as
    biases of 0 and scales of 1 are at first, are moved a little: at 0 units sit on kinks, and a
    forgotten scale of 1 would not show.

    Args:
        net: a ``coursekit.nn`` module, or anything with ``named_parameters``, ``zero_grad``, a
            call and ``backward``.
        x: a batch of inputs; a handful is enough.
        targets: (N,) what the criterion compares with; passed through unchanged.
        criterion: the loss; cross-entropy if None.
        eps, rtol, atol, seed: as for :func:`gradcheck`.
        max_entries: entries looked at in each parameter; random directions watch the rest.

    Returns:
        the result, with parameters under their names ("1.weight") and the input as "x".
    """
    in_range(eps, rtol, atol, max_entries)
    net, criterion = copy.deepcopy((net, criterion or _cross_entropy()))
    parameters = dict(net.named_parameters())
    rng = np.random.default_rng(seed)
    for p in parameters.values():
        p.data = p.data.astype(np.float64)
        if p.data.size and np.ptp(p.data) == 0:
            p.data += 0.1 * rng.standard_normal(p.data.shape)
    _widen_buffers(net)
    arrays = {name: p.data for name, p in parameters.items()} | {"x": x.astype(np.float64)}

    def loss_at(values: dict[str, NDArray]) -> float:
        for name, p in parameters.items():
            p.data = values[name]
        if hasattr(net, "reseed"):
            net.reseed(seed)
        return criterion(net(values["x"]), targets)

    net.zero_grad()
    loss = loss_at(arrays)
    if problem := _no_loss(loss):
        return GradCheckResult([problem], [], names=list(arrays))
    if loss != loss_at(arrays):
        problem = (
            "two forward passes differ: switch randomness (dropout) off, or give the net's random "
            "layers a reseed method"
        )
        return GradCheckResult([problem], [], names=list(arrays))
    dx = net.backward(criterion.backward())
    gradients = {name: p.grad for name, p in parameters.items()} | {"x": dx}
    problems = [f"no gradient reached {k}" for k, g in gradients.items() if g is None and k != "x"]
    strange = {k: what for k, g in gradients.items() if g is not None and (what := no_gradient(g))}
    problems += [f"the gradient of {k} should be an array: {what}" for k, what in strange.items()]
    problems += [
        f"the gradient of {k} has shape {np.shape(g)}, {k} itself {arrays[k].shape}"
        for k, g in gradients.items()
        if g is not None and k not in strange and np.shape(g) != arrays[k].shape
    ]
    problems += [
        f"the gradient of {k} has numbers that are not finite"
        for k, g in gradients.items()
        if g is not None and k not in strange and not np.isfinite(g).all()
    ]
    if problems:
        return GradCheckResult(problems, [], names=list(arrays))
    probe = Probe(loss_at, arrays, 1.0, eps)
    reports = [
        compare(probe, k, k, np.array(g), Tolerance(rtol, atol), max_entries, rng)
        for k, g in gradients.items()
        if g is not None
    ]
    if too_coarse := precision_problem(probe, reports):
        return GradCheckResult([too_coarse], [], names=list(arrays))
    return GradCheckResult([], reports, probe=probe)


def _no_loss(loss: Any) -> str:
    """What a loss is that differences cannot be taken of, else ""."""
    if np.ndim(loss) or isinstance(loss, dict | str) or loss is None:
        return f"the criterion should return one number, got {told(loss)}"
    if not np.isfinite(loss):
        return f"the loss is {loss}: check at other inputs, or look for a log of 0"
    return ""


def _widen_buffers(module: Any) -> None:
    """Running statistics as float64 too: a layer takes no mixture of dtypes."""
    for name in getattr(module, "_buffers", ()):
        value = getattr(module, name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            setattr(module, name, value.astype(np.float64))
    for _, child in getattr(module, "named_children", tuple)():
        _widen_buffers(child)


def _cross_entropy() -> Criterion:
    from coursekit import nn

    return nn.CrossEntropyLoss()
