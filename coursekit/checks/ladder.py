"""The sanity ladder: four cheap questions to ask of a net before it is trained in earnest.

Each rung takes seconds, and stands on those below: there is no point in training on fifty
pictures with wrong gradients. The order is the same in every lesson.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import nn
from coursekit.checks.gradcheck_module import Criterion, gradcheck_module
from coursekit.checks.report import CheckFailed, number, say
from coursekit.functional import l2_penalty
from coursekit.optim import Adam

BATCH = 256  # pictures for the initial loss
TINY = 5  # pictures for the gradient check


@dataclass(frozen=True)
class Rung:
    """One question: its claim, whether it held, the numbers, and what a failure usually means."""

    claim: str
    passed: bool
    detail: str
    meaning: str = ""

    def __str__(self) -> str:
        if self.passed:
            return f"✓ {self.claim}"
        return f"✗ {self.claim}: {self.detail}\n  this usually means: {self.meaning}"


@dataclass
class LadderResult:
    """The rungs that were climbed; true if all held."""

    rungs: list[Rung] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if no rung failed."""
        return all(rung.passed for rung in self.rungs)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join(map(str, self.rungs))

    def _ipython_display_(self) -> None:
        """Show nothing at the end of a cell: the lines are printed already."""

    def raise_if_failed(self) -> None:
        """Raise :class:`CheckFailed` with the failed rung's message."""
        if not self.passed:
            raise CheckFailed(str(self.rungs[-1]))


def sanity_ladder(
    net: Any,
    data: Any,
    criterion: Criterion | None = None,
    *,
    penalty: Callable[[Any], float] | None = None,
    optimizer: Callable[[list], Any] = Adam,
    pictures: int = 50,
    steps: int = 500,
    seed: int = 0,
) -> LadderResult:
    """Climb from the initial loss to fifty pictures learnt by heart; stop where a rung fails.

    Prints one line a rung that does not change with the digits; those are in the result's
    ``rungs``. Works on copies: the net is not changed.

    Batch norm works in the net's own mode, which is that of training for a net just made.
    Dropout is off on every rung but the gradients', where its masks are held still: it exists to
    keep a net from learning by heart, and makes the scores of an untrained one larger. Neither
    says that something is wrong.

    Args:
        net: a net as it will be trained, before training.
        data: a ``Dataset``, or a pair ``(x, y)`` of normalised pictures (N, ...) and labels (N,).
        criterion: the loss; cross-entropy if None.
        penalty: value of the regularisation term for a net; if None, an L2 penalty of strength
            0.01 on all parameters with two axes or more.
        optimizer: makes an optimiser from a list of parameters, for the last rung.
        pictures: how many to learn by heart.
        steps: steps it may take.
        seed: picks the pictures.

    Returns:
        a result that is true if every rung held.
    """
    criterion = criterion or nn.CrossEntropyLoss()
    x, y = _pictures(data, max(BATCH, pictures), np.random.default_rng(seed))
    climb = _climb(net, x, y, criterion, penalty or _l2, optimizer, pictures, steps, seed)
    result = LadderResult()
    with np.errstate(all="ignore"):  # a sick net overflows; the rung says so in words
        for rung in climb:
            say(str(rung))
            result.rungs.append(rung)
            if not rung.passed:
                break
    return result


def _climb(
    net: Any,
    x: NDArray,
    y: NDArray,
    criterion: Criterion,
    penalty: Callable[[Any], float],
    optimizer: Callable[[list], Any],
    pictures: int,
    steps: int,
    seed: int,
) -> Iterator[Rung]:
    """Rung by rung, each on a copy of its own and only when the last one was asked for."""
    still = _without_dropout(net)
    yield _initial_loss(*copy.deepcopy((still, criterion)), x[:BATCH], y[:BATCH])
    yield _regularisation(*copy.deepcopy((still, criterion)), x[:BATCH], y[:BATCH], penalty)
    yield _gradients(*copy.deepcopy((net, criterion)), x[:TINY], y[:TINY], seed)
    yield _by_heart(
        *copy.deepcopy((still, criterion)), x[:pictures], y[:pictures], optimizer, steps
    )


def _without_dropout(net: Any) -> Any:
    """A copy of the net whose dropout layers let everything through."""
    net = copy.deepcopy(net)
    layers = net.named_layers() if hasattr(net, "named_layers") else ()
    for _, layer in layers:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return net


def _initial_loss(net: Any, criterion: Criterion, x: NDArray, y: NDArray) -> Rung:
    logits = net(x)
    loss, classes = float(criterion(logits, y)), logits.shape[1]
    if isinstance(criterion, nn.MultiMarginLoss):
        expected, name = float(criterion(np.zeros_like(logits), y)), "that of equal scores"
    else:
        expected, name = log(classes), f"log {classes}"
    detail = f"it is {number(loss)} where {number(expected)} is what guessing costs"
    # Kaiming's weights in the last layer make scores of variance 2, which costs half as much again.
    if loss > 1.8 * expected:
        meaning = (
            "the net starts out sure of wrong answers. Are the pictures normalised, the first "
            "weights small enough, and the loss a mean over the batch?"
        )
    elif loss < 0.9 * expected:
        meaning = (
            "the loss knows more than an untrained net can. Is it averaged over the batch once, "
            "and are the labels those of these pictures? Or was the net trained before?"
        )
    else:
        meaning = "inputs or weights hold nan or inf" if not isfinite(loss) else ""
    return Rung(f"initial loss is near {name}", not meaning, detail, meaning)


def _regularisation(
    net: Any, criterion: Criterion, x: NDArray, y: NDArray, penalty: Callable[[Any], float]
) -> Rung:
    loss, extra = float(criterion(net(x), y)), float(penalty(net))
    raised = isfinite(extra) and loss + extra > loss
    return Rung(
        "regularisation raises the loss",
        raised,
        f"from {number(loss)} to {number(loss + extra)}",
        "" if raised else "all weights are 0, or the penalty does not see the net's parameters.",
    )


def _gradients(net: Any, criterion: Criterion, x: NDArray, y: NDArray, seed: int) -> Rung:
    result = gradcheck_module(net, x, y, criterion, max_entries=6, seed=seed)
    # An error spoils all that lies before it, so the last parameter is nearest to the cause.
    wrong = [r.problem() for r in result.arguments if r.name != "x" and r.problem()]
    meaning = (
        "the backward of that layer is wrong, or of what stands between it and the next one "
        "with parameters (the loss, for the last): check each alone with gradcheck."
    )
    return Rung(
        "gradients agree with central differences",
        result.passed,
        str((wrong or result.problems or [""])[-1]),
        "" if result.passed else meaning,
    )


def _by_heart(
    net: Any,
    criterion: Criterion,
    x: NDArray,
    y: NDArray,
    optimizer: Callable[[list], Any],
    steps: int,
) -> Rung:
    losses, share, step = [], 0.0, 0
    rule = optimizer(net.parameters())
    for step in range(steps + 1):
        logits = net(x)
        losses.append(float(criterion(logits, y)))
        share = float((logits.argmax(axis=1) == y).mean())
        if share == 1 or not isfinite(losses[-1]) or step == steps:
            break
        net.zero_grad()
        net.backward(criterion.backward())
        rule.step()
    detail = (
        f"after {step} steps {share:.0%} are right and the loss went from "
        f"{number(losses[0])} to {number(losses[-1])}"
    )
    if not isfinite(losses[-1]):
        meaning = "the steps are too long: lower the learning rate."
    elif losses[-1] > 0.95 * losses[0]:
        meaning = (
            "nothing is learnt. Does the optimiser hold this net's parameters, has its step the "
            "right sign, is the learning rate large enough, and do units still fire?"
        )
    else:
        meaning = (
            "it learns, but cannot even memorise. Is the net too small or regularised too hard, "
            "the learning rate off, or do equal pictures have different labels?"
        )
    claim = f"{len(x)} pictures are learnt by heart"
    return Rung(claim, share == 1, detail, "" if share == 1 else meaning)


def _pictures(data: Any, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Up to ``n`` random pictures, ready for the net, and their labels."""
    if hasattr(data, "train"):
        chosen = np.sort(rng.permutation(len(data.train))[:n])
        x, y = data.normalize(data.train.images[chosen]), data.train.labels[chosen]
    else:
        x, y = data
        if len(x) != len(y):
            raise ValueError(f"data must be a Dataset or (x, y), got {len(x)} x and {len(y)} y")
        chosen = np.sort(rng.permutation(len(x))[:n])
        x, y = x[chosen], y[chosen]
    order = rng.permutation(len(x))
    return x[order], y[order]


def _l2(net: Any) -> float:
    return float(sum(l2_penalty(p.data, 0.01)[0] for p in net.parameters() if p.data.ndim > 1))
