"""The handles that schedules turn, on an optimiser of PyTorch. Its groups are dicts: no torch here.

So one schedule drives both: ``OneCycleLR(torch.optim.SGD(...), ...)`` works as with our own SGD.
"""

from typing import Any, Protocol


class HasParamGroups(Protocol):
    """Any ``torch.optim.Optimizer``."""

    param_groups: list[dict[str, Any]]


class ParamGroups:
    """``lr`` and ``momentum`` of an optimiser that keeps them in ``param_groups``.

    Setting ``lr`` sets the first group's rate, and the others keep the ratio to it that they had
    at first; for a group added later its rate counts beside the first group's at first, too.
    An Adam's ``momentum`` is its first beta; a rule without momentum has 0 and keeps it.
    """

    def __init__(self, optimizer: HasParamGroups) -> None:
        self.optimizer = optimizer  # not its groups: load_state_dict puts new ones there
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        if any(rates) and not rates[0]:
            raise ValueError(f"lr: got {rates} for the groups; needed the first greater than 0")
        self._first = rates[0]
        self._ratios = [self._ratio(rate) for rate in rates]

    def _ratio(self, rate: float) -> float:
        return rate / self._first if self._first else 1.0

    @property
    def lr(self) -> float:
        """Rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, lr: float) -> None:
        groups = self.optimizer.param_groups
        del self._ratios[len(groups) :]
        self._ratios += [self._ratio(float(group["lr"])) for group in groups[len(self._ratios) :]]
        for group, ratio in zip(groups, self._ratios, strict=True):
            group["lr"] = lr * ratio

    @property
    def momentum(self) -> float:
        """Momentum, or first beta, of the first group."""
        first = self.optimizer.param_groups[0]
        return float(first["betas"][0] if "betas" in first else first.get("momentum", 0.0))

    @momentum.setter
    def momentum(self, momentum: float) -> None:
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif group.get("momentum"):
                group["momentum"] = momentum
