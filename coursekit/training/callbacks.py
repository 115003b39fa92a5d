"""What watches or steers a training run from outside its loop.

The trainer calls every method with itself at the moment its name says; a callback writes those
it needs. ``trainer.net``, ``.optimizer``, ``.step`` (updates done), ``.epoch`` (epochs done),
``.loss`` (of the last batch), ``.history`` and ``.should_stop`` are there to use.
"""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.optim.lr_scheduler import whole

if TYPE_CHECKING:
    from coursekit.training.trainer import Trainer


class Callback:
    """Base: does nothing at any moment.

    Attributes:
        needs_validation: whether a trainer without validation pictures is to refuse it.
    """

    needs_validation = False

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch of a ``fit``."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before an epoch's first batch."""

    def after_backward(self, trainer: "Trainer") -> None:
        """Gradients are there, the update is not done; they may be changed."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """After an update."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After an epoch's row was added to the history."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also when training stopped early or failed."""


def progress_is_on() -> bool:
    """False when ``COURSEKIT_PROGRESS=off``, which keeps bars out of stored notebooks."""
    return os.environ.get("COURSEKIT_PROGRESS", "on") != "off"


class Progress(Callback):
    """A tqdm bar over the steps, with the latest loss and accuracies."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Open the bar."""
        from tqdm.auto import tqdm

        self._bar = tqdm(
            total=trainer.total_steps,
            initial=trainer.step,
            unit="step",
            disable=not progress_is_on(),
        )
        self._last: dict[str, str] = {}

    def on_step_end(self, trainer: "Trainer") -> None:
        """Move on by one."""
        self._bar.set_postfix({"loss": f"{trainer.loss:.3f}", **self._last}, refresh=False)
        self._bar.update()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Show the epoch's accuracies."""
        row = trainer.history.epochs[-1]
        self._last = {k[:-9]: f"{row[k]:.3f}" for k in ("train_accuracy", "val_accuracy")}

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Close the bar."""
        self._bar.close()


class LivePlot(Callback):
    """Redraws the learning curves after every epoch; one static picture remains.

    Args:
        alt: what the picture shows, for those who cannot see it.
    """

    def __init__(self, alt: str) -> None:
        self.alt = alt
        self._handle: Any = None

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Draw the curves so far."""
        from coursekit import plots

        fig = plots.learning_curves({"": trainer.history})
        self._handle = plots.show(fig, self.alt, update=self._handle)


class EarlyStopping(Callback):
    """Stop when the validation loss has not improved for ``patience`` epochs.

    A loss that is nan is no improvement.
    """

    needs_validation = True

    def __init__(self, patience: int = 5) -> None:
        self.patience = whole("patience", patience)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Compare the latest epochs with the best before them."""
        losses = np.array([row["val_loss"] for row in trainer.history.epochs], dtype=float)
        losses[np.isnan(losses)] = np.inf  # argmin would take nan for the smallest
        if len(losses) - 1 - int(np.argmin(losses)) >= self.patience:
            trainer.should_stop = True


class Checkpoint(Callback):
    """Save the whole run to ``path`` every ``every`` epochs; ``Trainer.load`` continues it.

    Where it cannot be written, one warning says why and the run goes on; the file, if there is one,
    stays that of the last epoch that could be saved.
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        self.path, self.every = Path(path), whole("every", every)

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Forget what went wrong in an earlier ``fit``."""
        self._warned = False

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Write, atomically."""
        if trainer.epoch % self.every:
            return
        try:
            trainer.save(self.path)
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"Checkpoint: {self.path} cannot be written after epoch {trainer.epoch} "
                    f"({error}). The run goes on; free some space, or trainer.save() it elsewhere "
                    "when it is done",
                    stacklevel=2,
                )


class L1Penalty(Callback):
    """Add the gradient of ``strength * sum(|w|)`` over weights (not biases) before each update."""

    def __init__(self, strength: float) -> None:
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.strength = strength

    def after_backward(self, trainer: "Trainer") -> None:
        """Push every weight towards zero by the same amount."""
        from coursekit.functional import l1_penalty

        for p in trainer.net.parameters():
            if p.data.ndim > 1 and p.grad is not None:
                p.grad += l1_penalty(p.data, self.strength)[1]


class TensorBoard(Callback):
    """Write losses, accuracies and the learning rate as TensorBoard events.

    Needs the package tensorboardX; look at the events with ``tensorboard --logdir DIR``.
    """

    def __init__(self, log_dir: str | Path) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install tensorboardX") from error
        self._module, self.log_dir = tensorboardX, str(log_dir)

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Open a file of events for this fit; it hides those of an epoch that broke off."""
        suffix = f".from-step-{trainer.step}"
        self._writer = self._module.SummaryWriter(
            self.log_dir, filename_suffix=suffix, purge_step=trainer.step + 1
        )
        self._logged = len(trainer.history.steps)

    def on_step_end(self, trainer: "Trainer") -> None:
        """Log the steps that are new in the history; on a GPU they come there in handfuls."""
        for row in trainer.history.steps[self._logged :]:
            self._writer.add_scalar("step/loss", row["loss"], int(row["step"]) + 1)
            self._writer.add_scalar("step/lr", row["lr"], int(row["step"]) + 1)
        self._logged = len(trainer.history.steps)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Log the epoch."""
        self.on_step_end(trainer)
        row = trainer.history.epochs[-1]
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            self._writer.add_scalar(f"epoch/{name}", row[name], trainer.step)

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Write what is left and close the file; a flush would leave some in the queue."""
        self._writer.close()
