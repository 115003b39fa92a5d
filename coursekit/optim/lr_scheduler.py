"""Learning rates that change with the step (lesson 1, "The learning rate").

Each schedule knows its closed form, ``lr_at(step)``, which is pure and good for plots;
``step()`` moves the optimiser one step along it. Whether a step is a batch or an epoch is the
caller's choice; :class:`coursekit.training.Trainer` steps after every batch.
``ReduceLROnPlateau`` alone has no such form: it waits for a number from every epoch.
"""

from collections.abc import Callable
from math import ceil, cos, inf, isnan, log, pi
from numbers import Integral, Real
from typing import Any, Literal

from coursekit.optim.optimizers import SGD, Adam, Optimizer, _fraction, _positive
from coursekit.optim.param_groups import HasParamGroups, ParamGroups

Steered = Optimizer | HasParamGroups


def _handles(optimizer: Steered) -> Optimizer | ParamGroups:
    """What has an ``lr`` to turn."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"optimizer: got {type(optimizer).__name__}; needed an optimizer, for example "
            "SGD(net.parameters())"
        )
    return ParamGroups(optimizer)


def whole(name: str, value: int, least: int = 1) -> int:
    """Return ``value`` as an int, or raise ``ValueError``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be at least {least} and a whole number, got {value!r}")
    return int(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, Real))


class LRScheduler:
    """Base of the schedules; setting one up moves the optimiser, ours or PyTorch's, to step 0."""

    def __init__(self, optimizer: Steered) -> None:
        self.optimizer = _handles(optimizer)
        self.base_lr = self.optimizer.lr
        self.last_step = 0
        self._apply()

    def lr_at(self, step: int) -> float:
        """Learning rate for the update number ``step``, counted from 0."""
        raise NotImplementedError

    def step(self) -> None:
        """Move on by one step."""
        self.lr_at(self.last_step + 1)  # where the schedule has ended, nothing is changed
        self.last_step += 1
        self._apply()

    def _apply(self) -> None:
        self.optimizer.lr = self.lr_at(self.last_step)

    def state_dict(self) -> dict[str, Any]:
        """Where on the schedule this is, and its settings: all attributes that are plain values."""
        return {name: value for name, value in vars(self).items() if _is_plain(value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved place of the same schedule; as in PyTorch its settings become the saved.

        Raises:
            ValueError: ``state`` is another schedule's; nothing is changed.
        """
        before = self.state_dict()
        vars(self).update(_fitting(self, state))
        try:
            self._apply()
        except Exception as error:
            vars(self).update(before)
            raise ValueError(f"state does not fit {type(self).__name__}: {error}") from error


def _fitting(scheduler: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return ``state`` if ``scheduler`` can take it, else raise ``ValueError``."""
    own, kind = scheduler.state_dict(), type(scheduler)
    # A learner's own schedule may get an attribute on its way.
    if kind.__module__ == __name__ and own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise ValueError(f"state does not fit {kind.__name__}: names that differ {odd}")
    for name in own.keys() & state.keys():
        value, came = own[name], state[name]
        alike = (
            isinstance(came, type(value))
            or value is None
            or came is None
            or any(isinstance(value, k) and isinstance(came, k) for k in (Real, (list, tuple)))
        )
        if not (alike and _is_plain(came)):
            raise ValueError(f"state[{name!r}]: got {came!r}; needed one like {value!r}")
    # A file of json has lists for tuples.
    return {n: tuple(v) if isinstance(own.get(n), tuple) and v else v for n, v in state.items()}


class ConstantLR(LRScheduler):
    """The base rate times ``factor`` for the first ``total_iters`` steps, then the base rate."""

    def __init__(self, optimizer: Steered, factor: float = 1 / 3, total_iters: int = 5) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must lie in [0, 1], got {factor}")
        self.factor, self.total_iters = factor, whole("total_iters", total_iters)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``."""
        return self.base_lr * (self.factor if step < self.total_iters else 1.0)


class StepLR(LRScheduler):
    """The base rate times ``gamma`` once for every ``step_size`` steps done."""

    def __init__(self, optimizer: Steered, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = whole("step_size", step_size), gamma
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``."""
        return self.base_lr * self.gamma ** (step // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to ``eta_min`` in ``T_max`` steps (SGDR, 2017)."""

    def __init__(self, optimizer: Steered, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = whole("T_max", T_max), eta_min
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``."""
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + cos(pi * step / self.T_max)) / 2


class OneCycleLR(LRScheduler):
    """Warm up along a cosine to ``max_lr``, then anneal to almost nothing (Smith & Topin 2019).

    Args:
        optimizer: whose rate to move; its own rate is not used.
        max_lr: the peak.
        total_steps: length of the cycle.
        pct_start: share of the steps spent rising.
        cycle_momentum: move momentum (Adam: the first beta) the other way, between
            ``max_momentum`` at both ends and ``base_momentum`` at the peak. Needs an SGD with
            momentum or an Adam.
        base_momentum: momentum at the peak.
        max_momentum: momentum at both ends.
        div_factor: the start is ``max_lr / div_factor``.
        final_div_factor: the end is the start divided by this.
    """

    def __init__(
        self,
        optimizer: Steered,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        total_steps = whole("total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must lie in [0, 1], got {pct_start}")
        handles = _handles(optimizer)
        has_momentum = isinstance(handles, Adam) or getattr(handles, "momentum", 0) > 0
        if cycle_momentum and not has_momentum:
            raise ValueError("cycle_momentum needs an optimizer with momentum, got one without")
        self.max_lr, self.total_steps = _positive("max_lr", max_lr, zero=True), total_steps
        self.start_lr = max_lr / _positive("div_factor", div_factor)
        self.end_lr = self.start_lr / _positive("final_div_factor", final_div_factor)
        self.peak = pct_start * total_steps - 1
        self.cycle_momentum = cycle_momentum
        self.base_momentum = _fraction("base_momentum", base_momentum)
        self.max_momentum = _fraction("max_momentum", max_momentum)
        super().__init__(optimizer)

    def _anneal(self, step: int, start: float, peak: float, end: float) -> float:
        # As in PyTorch the step after the last update is still allowed: training loops take it.
        if not 0 <= step <= self.total_steps:
            raise ValueError(f"step must lie in 0..{self.total_steps}, got {step}")
        rises = step <= self.peak
        a, b = (start, peak) if rises else (peak, end)
        done, length = step if rises else step - self.peak, self.peak
        if not rises:
            length = self.total_steps - 1 - self.peak
        # A phase without length has one step: the first one starts, the second has ended. PyTorch
        # divides by zero there.
        share = done / length if length else float(done > 0)
        return b + (a - b) * (1 + cos(pi * share)) / 2

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``, which the cycle's end bounds: 0 <= step <= total_steps."""
        return self._anneal(step, self.start_lr, self.max_lr, self.end_lr)

    def momentum_at(self, step: int) -> float:
        """Momentum at ``step``."""
        return self._anneal(step, self.max_momentum, self.base_momentum, self.max_momentum)

    def _apply(self) -> None:
        super()._apply()
        if not self.cycle_momentum:
            return
        momentum = self.momentum_at(self.last_step)
        if isinstance(self.optimizer, Adam):
            self.optimizer.betas = (momentum, self.optimizer.betas[1])
        elif isinstance(self.optimizer, (SGD, ParamGroups)):
            self.optimizer.momentum = momentum


class ReduceLROnPlateau:
    """Multiply the rate by ``factor`` when a metric has not improved for ``patience`` epochs.

    A ``Trainer`` gives it the validation loss after every epoch or, with ``mode="max"``, the
    validation accuracy. A metric that is nan is no improvement.

    Args:
        optimizer: whose rate to move, ours or PyTorch's.
        mode: "min" for a loss, "max" for an accuracy.
        factor: below 1.
        patience: epochs without improvement that are let pass.
        threshold: what counts as an improvement.
        threshold_mode: "rel", a share of the best so far, or "abs".
        cooldown: epochs after a reduction in which none is counted.
        min_lr: the rate stays above.
        eps: a reduction by less is left out.
    """

    def __init__(
        self,
        optimizer: Steered,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        for name, value, choice in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in choice:
                raise ValueError(f"{name}: got {value!r}; needed one of {choice}")
        self.optimizer = _handles(optimizer)
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = _fraction("factor", factor)
        self.patience = whole("patience", patience, 0)
        self.threshold = _positive("threshold", threshold, zero=True)
        self.cooldown = whole("cooldown", cooldown, 0)
        self.min_lr = _positive("min_lr", min_lr, zero=True)
        self.eps = _positive("eps", eps, zero=True)
        self.best = inf if mode == "min" else -inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: float) -> None:
        """Look at an epoch's metric, and lower the rate where it is time to."""
        metric = float(metrics)
        self.last_epoch += 1
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lower = max(self.optimizer.lr * self.factor, self.min_lr)
            if self.optimizer.lr - lower > self.eps:
                self.optimizer.lr = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, metric: float) -> bool:
        if isnan(metric):
            return False
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * metric > sign * self.best * (1 + sign * self.threshold)
        return sign * metric > sign * self.best + self.threshold

    def state_dict(self) -> dict[str, Any]:
        """Settings and counters."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`; the rate is the optimizer's to keep.

        Raises:
            ValueError: ``state`` is another schedule's; nothing is changed.
        """
        vars(self).update(_fitting(self, state))


def waits_for_metric(scheduler: Any) -> bool:
    """Whether a schedule, ours or PyTorch's, is moved on by an epoch's metric."""
    return any(
        kind.__name__ == "ReduceLROnPlateau"
        and kind.__module__ in (__name__, "torch.optim.lr_scheduler")
        for kind in type(scheduler).__mro__
    )


# Where each schedule has done its work: the argument that decides it, and the step. A warm-up
# (ConstantLR, a rising LinearLR) ends early by design, and a restart begins anew: neither is here.
_ENDS: dict[str, tuple[str, Callable[[Any], float]]] = {
    "CosineAnnealingLR": ("T_max", lambda s: s.T_max),
    "OneCycleLR": ("total_steps", lambda s: s.total_steps),
    "StepLR": ("step_size", lambda s: s.step_size * _cuts(s.gamma)),
    "MultiStepLR": ("milestones", lambda s: max(s.milestones, default=inf)),
    "ExponentialLR": ("gamma", lambda s: _cuts(s.gamma)),
    "PolynomialLR": ("total_iters", lambda s: s.total_iters),
    "LinearLR": (
        "total_iters",
        lambda s: s.total_iters if s.end_factor < s.start_factor else inf,
    ),
    "SequentialLR": (
        "milestones",
        lambda s: s._milestones[-1] + schedule_end(s._schedulers[-1])[0],
    ),
    "ChainedScheduler": (
        "schedulers",
        lambda s: min(schedule_end(one)[0] for one in s._schedulers),
    ),
}


def _cuts(gamma: float) -> float:
    """How many factors ``gamma`` leave a thousandth of the rate."""
    return ceil(round(log(1e-3) / log(gamma), 9)) if 0 < gamma < 1 else inf


def schedule_end(scheduler: Any) -> tuple[float, str]:
    """Say where a schedule, ours or PyTorch's, has done its work.

    That is its last step or, for one that multiplies on and on, the step at which a thousandth of
    the rate is left.

    Returns:
        the step, infinity for a schedule without an end, and the name of the argument behind it.
    """
    for kind in type(scheduler).__mro__:
        known = kind.__module__ in (__name__, "torch.optim.lr_scheduler")
        if known and kind.__name__ in _ENDS:
            argument, end = _ENDS[kind.__name__]
            return end(scheduler), argument
    return inf, ""
