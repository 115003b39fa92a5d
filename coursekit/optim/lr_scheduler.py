"""Learning rates that change with the step (lesson 1, "The learning rate").

Each schedule knows its closed form, ``lr_at(step)``, which is pure and good for plots;
``step()`` moves the optimiser one step along it. Whether a step is a batch or an epoch is the
caller's choice; :class:`coursekit.training.Trainer` steps after every batch.
"""

from collections.abc import Callable
from math import ceil, cos, inf, log, pi
from typing import Any

from coursekit.optim.optimizers import SGD, Adam, Optimizer
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
        self.last_step += 1
        self._apply()

    def _apply(self) -> None:
        self.optimizer.lr = self.lr_at(self.last_step)

    def state_dict(self) -> dict[str, int]:
        """Where on the schedule this is."""
        return {"last_step": self.last_step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved place of the schedule."""
        self.last_step = int(state["last_step"])
        self._apply()


class ConstantLR(LRScheduler):
    """The base rate times ``factor`` for the first ``total_iters`` steps, then the base rate."""

    def __init__(self, optimizer: Steered, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``."""
        return self.base_lr * (self.factor if step < self.total_iters else 1.0)


class StepLR(LRScheduler):
    """The base rate times ``gamma`` once for every ``step_size`` steps done."""

    def __init__(self, optimizer: Steered, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate at ``step``."""
        return self.base_lr * self.gamma ** (step // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate to ``eta_min`` in ``T_max`` steps (SGDR, 2017)."""

    def __init__(self, optimizer: Steered, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
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
        if total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must lie in [0, 1], got {pct_start}")
        handles = _handles(optimizer)
        has_momentum = isinstance(handles, Adam) or getattr(handles, "momentum", 0) > 0
        if cycle_momentum and not has_momentum:
            raise ValueError("cycle_momentum needs an optimizer with momentum, got one without")
        self.max_lr, self.total_steps = max_lr, total_steps
        self.start_lr = max_lr / div_factor
        self.end_lr = self.start_lr / final_div_factor
        self.peak = pct_start * total_steps - 1
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        super().__init__(optimizer)

    def _anneal(self, step: int, start: float, peak: float, end: float) -> float:
        # As in PyTorch the step after the last update is still allowed: training loops take it.
        if not 0 <= step <= self.total_steps:
            raise ValueError(f"step must lie in 0..{self.total_steps}, got {step}")
        if step <= self.peak:
            a, b, share = start, peak, step / max(self.peak, 1)
        else:
            a, b = peak, end
            share = (step - self.peak) / max(self.total_steps - 1 - self.peak, 1)
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
