"""What a trainer asks before it starts: do the parts it was given belong together?"""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable
from math import nan
from numbers import Real
from types import FrameType
from typing import Any

from coursekit.optim.lr_scheduler import schedule_end, waits_for_metric


def check_instances(**arguments: Any) -> None:
    """Raise ``TypeError`` for a class where an object is needed: parentheses forgotten."""
    for name, value in arguments.items():
        if isinstance(value, type):
            kind = value.__name__
            raise TypeError(f"{name}: got the class {kind}; needed an instance, {kind}(...)")


def check_callbacks(callbacks: Any) -> list[Any]:
    """Return the callbacks as a list; raise ``TypeError`` for one alone or for a class."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: got {type(callbacks).__name__}; needed a list of callbacks")
    callbacks = list(callbacks)
    check_instances(**{f"callbacks[{i}]": callback for i, callback in enumerate(callbacks)})
    return callbacks


def check_optimizer(net: Any, params: Iterable[Any], *, learns: bool) -> None:
    """Raise ``ValueError`` unless an optimizer can train ``net``.

    Args:
        net: ours or PyTorch's.
        params: what the optimizer holds.
        learns: whether a net that is frozen as a whole is an error too, as it is in a ``fit``.
    """
    trainable = {id(p) for p in net.parameters() if p.requires_grad}
    if not trainable and learns:
        raise ValueError(
            "net: got one without a trainable parameter; needed at least one "
            "(net.requires_grad_() unfreezes them all)"
        )
    held = {id(p) for p in params}
    if held.isdisjoint(id(p) for p in net.parameters()):
        raise ValueError(
            "optimizer: got one over the parameters of another net, so this one would learn "
            "nothing; needed one over this net's parameters. Whenever you make a net anew, make "
            "its optimizer and its trainer anew too"
        )
    if trainable and held.isdisjoint(trainable):
        raise ValueError(
            "optimizer: got one over frozen parameters alone, so the net would learn nothing; "
            "needed one that holds those with requires_grad=True too"
        )


def check_scheduler(scheduler: Any, optimizer: Any) -> None:
    """Raise unless ``scheduler`` is None or a schedule that a trainer can move over ``optimizer``.

    Raises:
        TypeError: no schedule, or one whose ``step`` wants more than a trainer has for it.
        ValueError: it moves the rate of another optimizer.
    """
    if scheduler is None:
        return
    kind = type(scheduler).__name__
    methods = ("step", "state_dict", "load_state_dict")
    missing = [name for name in methods if not callable(getattr(scheduler, name, None))]
    if missing or hasattr(scheduler, "zero_grad"):
        came = f"which has no {missing[0]}()" if missing else "an optimizer"
        raise TypeError(
            f"scheduler: got {kind}, {came}; needed a schedule of coursekit.optim or "
            "torch.optim.lr_scheduler"
        )
    wanted = wanted_by(scheduler.step)
    if wanted and not waits_for_metric(scheduler):
        raise TypeError(
            f"scheduler: got {kind}, whose step() wants {', '.join(wanted)}; needed one whose "
            "step() wants nothing, or ReduceLROnPlateau"
        )
    steered = getattr(scheduler, "optimizer", optimizer)
    steered = getattr(steered, "optimizer", steered)  # PyTorch's lies behind our ParamGroups
    if steered is not optimizer:
        raise ValueError(
            "scheduler: got one that moves the rate of another optimizer, so this one's would "
            "stay as it is; needed one made after the optimizer, over it"
        )


def wanted_by(method: Callable[..., Any]) -> list[str]:
    """Names of the arguments that ``method`` cannot do without."""
    return [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def check_validation(data: Any, callbacks: list[Any], keep_best: bool, scheduler: Any) -> None:
    """Raise ``ValueError`` if something decides by the validation pictures and there are none."""
    if len(data.val):
        return
    deciders = [
        f"callbacks[{i}]: got {type(callback).__name__}"
        for i, callback in enumerate(callbacks)
        if getattr(callback, "needs_validation", False)
    ]
    if keep_best:
        deciders.append("keep_best: got True")
    if waits_for_metric(scheduler):
        deciders.append(f"scheduler: got {type(scheduler).__name__}")
    for decider in deciders:
        raise ValueError(
            f"{decider}, which decides by the validation pictures, but data.val has none; needed "
            "some there, as data.load(val_size=...) keeps aside"
        )


def whole_epochs(epochs: Any) -> int:
    """Return ``epochs`` as an int; raise ``ValueError`` unless it is a whole number >= 0."""
    number = float(epochs) if isinstance(epochs, Real) else nan
    if not (number >= 0 and number.is_integer()):
        raise ValueError(f"epochs: got {epochs!r}; needed a whole number >= 0")
    return int(number)


def warn_of_schedule(scheduler: Any, epochs: int, steps_per_epoch: int) -> None:
    """Warn of a schedule that ends early, most likely because it was counted in epochs.

    Args:
        scheduler: ours or PyTorch's.
        epochs: epochs still to come.
        steps_per_epoch: updates per epoch.
    """
    end, argument = schedule_end(scheduler)
    done = getattr(scheduler, "last_step", getattr(scheduler, "last_epoch", 0))
    last = done + epochs * steps_per_epoch
    stuck = argument == "total_steps" and end < last  # one cycle refuses to go on after its end
    if not (stuck or end < last / 10):
        return
    fate = ", and one more step is an error" if stuck else ""
    text = (
        f"scheduler: {type(scheduler).__name__} is over after {end:,} steps ({argument}){fate}; "
        f"this run takes it to {last:,}. Schedules count updates, not epochs: "
        f"{epochs} epochs of {steps_per_epoch} updates are {epochs * steps_per_epoch:,} steps"
    )
    warnings.warn(text, UserWarning, stacklevel=_first_outside())


def _first_outside() -> int:
    """The stacklevel of the nearest caller outside the package: the learner's line."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("coursekit."):
        level, frame = level + 1, frame.f_back
    return level
