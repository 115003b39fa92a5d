"""What a training run is, whatever computes it (lesson 1, "The training loop").

Epochs, history, callbacks, the best weights, the file a run is saved in: this is written once. The
``Trainer`` for NumPy nets and the one for PyTorch's (``coursekit.port``) say how batches are made
and what an update does.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import as_split
from coursekit.training.callbacks import Callback, Progress
from coursekit.training.history import History
from coursekit.training.interrupts import explain_interrupt
from coursekit.training.preflight import (
    check_callbacks,
    check_optimizer,
    check_scheduler,
    warn_of_schedule,
    whole_epochs,
)


class TrainingDivergedError(FloatingPointError):
    """The loss is no longer a finite number."""


class TrainingLoop:
    """Base of the trainers, whose docstrings describe the arguments.

    A subclass writes ``_start_epoch``, ``_batches``, ``_update``, ``_outputs``, ``logits``,
    ``named_layers``, ``to_numpy``, what the optimizer holds, and how a file is written and read.
    """

    read_every = 1  # steps between two looks at the loss; on a GPU a look means waiting
    advice = "try a smaller one, or set clip_grad_norm"

    def __init__(
        self,
        net: Any,
        data: Any,
        *,
        optimizer: Any,
        criterion: Any,
        scheduler: Any,
        batch_size: int,
        clip_grad_norm: float | None,
        seed: int,
        callbacks: Iterable[Callback],
        keep_best: bool,
        progress: bool,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.net, self.data = net, data
        self.optimizer, self.criterion, self.scheduler = optimizer, criterion, scheduler
        self.batch_size, self.clip_grad_norm, self.seed = batch_size, clip_grad_norm, seed
        self._check_parts(learns=False)
        self.callbacks = [*check_callbacks(callbacks), *([Progress()] if progress else [])]
        self.keep_best = keep_best
        self.history = History()
        self.epoch = self.step = self.total_steps = 0
        self.loss = float("nan")
        self.should_stop = False
        self.best: dict[str, Any] = {}
        self.best_accuracy = -1.0
        self._unread: list[tuple] = []  # steps whose loss nobody has looked at
        self._losses, self._correct, self._seen = 0.0, 0, 0  # sums over an epoch's pictures

    @property
    def steps_per_epoch(self) -> int:
        """Updates an epoch."""
        return -(-len(self.data.train) // self.batch_size)

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        return self.optimizer.lr

    # --- the run ----------------------------------------------------------------------------

    def fit(self, epochs: int) -> History:
        """Train until ``epochs`` epochs have been done in all, this call's and earlier ones.

        When they have been, it trains nothing and prints a line that says so.

        An interrupt ends it after the update under way: the history and the best weights so far
        are kept, and the ``KeyboardInterrupt`` goes on with a note that is shown in place of a
        traceback: what was kept and how to go on.

        Raises:
            TrainingDivergedError: the loss became nan or infinite; the message says at which step,
                in which layer, and what to try.
            ValueError: ``epochs`` is no whole number, or net, data, optimizer and scheduler do not
                belong together.
        """
        epochs = whole_epochs(epochs)
        self._check_parts(learns=True)
        if epochs <= self.epoch:
            self._say(self._nothing_to_do(epochs))
            self.net.eval()
            return self.history
        if self.scheduler is not None:
            warn_of_schedule(self.scheduler, epochs - self.epoch, self.steps_per_epoch)
        self.total_steps = epochs * self.steps_per_epoch
        self.should_stop = False
        self._notify("on_fit_start")
        try:
            while self.epoch < epochs and not self.should_stop:
                self._train_one_epoch()
        except KeyboardInterrupt as interrupt:
            self._read_steps(interrupted=True)
            explain_interrupt(interrupt, self._what_is_kept(epochs))
            raise
        finally:
            self._notify("on_fit_end")
            self.net.eval()
        return self.history

    def _check_parts(self, *, learns: bool) -> None:
        """Raise unless net, optimizer and scheduler belong together, and for a fit the data."""
        check_optimizer(self.net, self._optimized(), learns=learns)
        check_scheduler(self.scheduler, self.optimizer)
        if learns and not self.steps_per_epoch:
            raise ValueError("data: got no training pictures; needed at least one")

    def _optimized(self) -> Iterable[Any]:
        """The parameters that the optimizer holds."""
        raise NotImplementedError

    def _say(self, line: str) -> None:
        print(line)

    def _notify(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _nothing_to_do(self, epochs: int) -> str:
        more = max(epochs, 1)
        return (
            f"fit({epochs}) trained nothing: it counts all epochs, and {self.epoch} are done "
            f"already; fit({self.epoch + more}) trains {more} more."
        )

    def _what_is_kept(self, epochs: int) -> str:
        said = (
            f"interrupted in epoch {self.epoch + 1} after {self.step} updates: {self.epoch} of "
            f"{epochs} epochs are done; weights and history are kept as they are now.\n"
            f"fit({epochs}) goes on, from the start of epoch {self.epoch + 1}"
        )
        if self.best:
            said += f"; restore_best() has the weights of {self.best_accuracy:.2%} on val"
        return said

    def _train_one_epoch(self) -> None:
        started = time.perf_counter()
        self._losses, self._correct, self._seen = 0.0, 0, 0
        self._unread.clear()  # what an epoch left that broke off
        self._start_epoch()
        self._notify("on_epoch_start")
        for batch in self._batches():
            self._update(*batch)
        self._read_steps()
        row: dict[str, float] = {"epoch": self.epoch + 1, "step": self.step}
        row["train_loss"] = self._losses / self._seen
        row["train_accuracy"] = self._correct / self._seen
        self.epoch += 1
        row |= {f"val_{name}": value for name, value in self.evaluate(self.data.val).items()}
        row["seconds"] = time.perf_counter() - started
        self.history.epochs.append(row)
        if self.keep_best and row["val_accuracy"] > self.best_accuracy:
            self.best_accuracy = row["val_accuracy"]
            self.best = self._weights()
        self._notify("on_epoch_end")

    def _start_epoch(self) -> None:
        """Switch the net to training and fix what is random in this epoch."""
        raise NotImplementedError

    def _batches(self) -> Iterator[tuple]:
        """Yield the epoch's batches, each the arguments of one ``_update``."""
        raise NotImplementedError

    def _update(self, *batch: Any) -> None:
        """One forward pass, one backward pass, one update, with ``_note`` and ``_end_step``."""
        raise NotImplementedError

    def _note(self, loss: Any, correct: Any, count: int) -> None:
        """Keep what a step gave, before its update: mean loss, hits and number of pictures."""
        self._unread.append((self.step, self.lr, loss, correct, count))
        if len(self._unread) >= self.read_every:
            self._read_steps()

    def _end_step(self) -> None:
        """Move schedule and counter on, after an update."""
        if self.scheduler is not None:
            self.scheduler.step()
        self.step += 1
        self._notify("on_step_end")

    def _read_steps(self, *, interrupted: bool = False) -> None:
        """Take the steps that nobody looked at into the history and the epoch's sums."""
        rows, self._unread = self._unread, []
        for step, lr, loss, correct, count in self._fetch(rows, interrupted):
            if not (isfinite(loss) or interrupted):
                raise TrainingDivergedError(self._diverged(step, lr, loss))
            self.loss = loss
            self.history.steps.append({"step": step, "loss": loss, "lr": lr})
            self._losses += loss * count
            self._correct += correct
            self._seen += count

    def _fetch(self, rows: list[tuple], interrupted: bool) -> list[tuple]:
        """Return the rows of ``_note`` as plain numbers."""
        return rows

    # --- when it breaks ---------------------------------------------------------------------

    def _diverged(self, step: int, lr: float, loss: float, where: str = "") -> str:
        return (
            f"the loss is {loss} at step {step} (epoch {self.epoch + 1}){where}. "
            f"The learning rate is {lr:g}; {self.advice}"
        )

    def _diagnose(self, x: Any) -> str:
        """Say where the first value that is not finite came up."""
        where = "in the loss itself"
        bad: list[str] = []

        def note(name: str, _module: Any, _x: Any, out: Any) -> None:
            if not np.isfinite(self.to_numpy(out)).all():
                bad.append(name)

        layers = dict(self.named_layers())
        handles = [
            layer.register_forward_hook(partial(note, name)) for name, layer in layers.items()
        ]
        self.net(x)
        for handle in handles:
            handle.remove()
        if bad:
            where = f"in the output of layer {bad[0]}"
            weights = [np.abs(self.to_numpy(p.data)).max() for p in layers[bad[0]].parameters()]
            if weights:
                where += f", whose weights reach {max(map(float, weights)):.3g}"
        return self._diverged(
            self.step, self.lr, self.loss, f": the first values that are not finite are {where}"
        )

    def named_layers(self) -> Iterable[tuple[str, Any]]:
        """The net's innermost modules, in order, as ``("1.Linear", module)``."""
        raise NotImplementedError

    def to_numpy(self, values: Any) -> NDArray:
        """Outputs, weights or gradients of the net as an array."""
        raise NotImplementedError

    # --- what it has learnt -----------------------------------------------------------------

    def logits(self, split: Any) -> NDArray:
        """The net's outputs for every picture, in order, (N, C).

        Args:
            split: a ``Split``, or uint8 images (N, C, H, W) as the data set has them.
        """
        raise NotImplementedError

    def _as_split(self, split: Any, *, labelled: bool = False) -> Any:
        """What batches are made of: a split as it is, images (with their labels) as one."""
        split = as_split(split, labelled=labelled)
        channels, needed = (s.images.shape[1] for s in (split, self.data.train))
        if channels != needed:
            raise ValueError(f"split: got {channels} channels; needed {needed} as in train")
        return split

    def _outputs(self, split: Any) -> tuple[Any, Any]:
        """Logits and labels of ``split``, where the criterion wants them."""
        raise NotImplementedError

    def predict(self, split: Any) -> NDArray[np.int64]:
        """The likeliest class of every picture, (N,); ``split`` as in :meth:`logits`."""
        return self.logits(split).argmax(axis=1)

    def evaluate(self, split: Any) -> dict[str, float]:
        """Loss and accuracy in evaluation mode; nan without pictures.

        Args:
            split: a ``Split``, or a pair ``(images, labels)`` as one is made of.
        """
        split = self._as_split(split, labelled=True)
        if not len(split):
            return {"loss": float("nan"), "accuracy": float("nan")}
        logits, labels = self._outputs(split)
        correct = int((logits.argmax(axis=1) == labels).sum())
        return {"loss": float(self.criterion(logits, labels)), "accuracy": correct / len(labels)}

    def _weights(self) -> dict[str, Any]:
        """Copies of the net's parameters and buffers."""
        return self.net.state_dict()

    def restore_best(self) -> None:
        """Put back the weights of the epoch with the best validation accuracy."""
        if not self.best:
            raise RuntimeError("restore_best needs keep_best=True and at least one epoch")
        self.net.load_state_dict(self.best)

    # --- the run's file ---------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the whole run to one file, atomically: the old file or the new one."""
        path = Path(path)
        meta = {
            "epoch": self.epoch,
            "step": self.step,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "best_accuracy": self.best_accuracy,
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "history": self.history.to_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        try:
            with os.fdopen(handle, "wb") as file:
                self._write(file, meta, self._states())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def load(self, path: str | Path) -> None:
        """Continue the run saved at ``path``, with a trainer set up in the same way.

        Raises:
            ValueError: seed, batch size, net or optimiser are not the saved run's.
        """
        meta, states = self._read(Path(path))
        for name in ("seed", "batch_size"):
            if meta[name] != getattr(self, name):
                raise ValueError(
                    f"{name} of the run saved in {path} is {meta[name]}, "
                    f"this trainer has {getattr(self, name)}"
                )
        if (meta["scheduler"] is None) != (self.scheduler is None):
            raise ValueError(f"scheduler: either the run saved in {path} or this one has none")
        self._load_states(states)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(meta["scheduler"])
        self.best_accuracy = meta["best_accuracy"]
        self.epoch, self.step = meta["epoch"], meta["step"]
        self.history = History(**meta["history"])

    def _states(self) -> dict[str, Any]:
        """What else is to be kept: net, optimiser and best weights, each by name."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def _load_states(self, states: dict[str, Any]) -> None:
        self.net.load_state_dict(states["net"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.best = states["best"]

    def _write(self, file: BinaryIO, meta: dict[str, Any], states: dict[str, Any]) -> None:
        raise NotImplementedError

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        raise NotImplementedError
