"""Callbacks that look inside a net while it learns (lesson 1, "Inside the net").

Each keeps tidy rows, one a recorded step and layer, and hands them out as a table. They look
through the trainer's ``named_layers`` and ``to_numpy``, so a PyTorch net will do as well.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.optim.lr_scheduler import whole
from coursekit.training.callbacks import Callback

if TYPE_CHECKING:
    import pandas as pd

    from coursekit.training.trainer import Trainer


class _Recorder(Callback):
    """Base: collects rows at every ``every``-th step.

    As in the history, the rows of an epoch that broke off go when training goes on.
    """

    def __init__(self, every: int = 10) -> None:
        self.every = whole("every", every)
        self.rows: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Leave the rows of steps that count."""
        self.rows = [row for row in self.rows if row["step"] < trainer.step]

    def due(self, trainer: "Trainer") -> bool:
        """Whether the step under way is to be recorded."""
        return trainer.step % self.every == 0

    def frame(self) -> "pd.DataFrame":
        """All rows as a table."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def _weights(trainer: "Trainer"):
    """Weights that learn, by name; biases are too few to matter for these pictures."""
    named = trainer.net.named_parameters()
    return [(name, p) for name, p in named if p.data.ndim > 1 and p.requires_grad]


class ActivationStats(_Recorder):
    """Mean, standard deviation and dead share of every layer's output.

    An output is dead in a batch when it is exactly 0 for all pictures; ``dead`` is the share of
    a layer's outputs that are.
    """

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Hook every layer."""
        super().on_fit_start(trainer)

        def watch(name: str):
            def hook(module, _, out) -> None:
                if module.training and self.due(trainer):
                    out = trainer.to_numpy(out)
                    self.rows.append(
                        {
                            "step": trainer.step,
                            "layer": name,
                            "mean": float(out.mean()),
                            "std": float(out.std()),
                            "dead": float((out == 0).all(axis=0).mean()),
                        }
                    )

            return hook

        self._handles = [
            layer.register_forward_hook(watch(name)) for name, layer in trainer.named_layers()
        ]

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


class GradientNorm(_Recorder):
    """2-norm of each weight's gradient."""

    def after_backward(self, trainer: "Trainer") -> None:
        """Record the norms."""
        if self.due(trainer):
            for name, p in _weights(trainer):
                if p.grad is None:  # the loss does not depend on it
                    continue
                norm = float(np.linalg.norm(trainer.to_numpy(p.grad)))
                self.rows.append({"step": trainer.step, "layer": name, "norm": norm})


class UpdateRatio(_Recorder):
    """Standard deviation of each weight's update over that of the weight.

    About 1e-3 is healthy; Karpathy's rule of thumb draws the line there.
    """

    def after_backward(self, trainer: "Trainer") -> None:
        """Keep the weights as they were."""
        self._before = (
            {name: trainer.to_numpy(p.data).copy() for name, p in _weights(trainer)}
            if self.due(trainer)
            else {}
        )

    def on_step_end(self, trainer: "Trainer") -> None:
        """Compare."""
        for name, p in _weights(trainer):
            if name in self._before:
                before = self._before[name]
                ratio = float((trainer.to_numpy(p.data) - before).std() / before.std())
                self.rows.append({"step": trainer.step - 1, "layer": name, "ratio": ratio})
