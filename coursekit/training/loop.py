"""What a training run is, whatever computes it (lesson 1, "The training loop").

Epochs, history, callbacks, the best weights, the file a run is saved in: this is written once. The
``Trainer`` for NumPy nets and the one for PyTorch's (``coursekit.port``) say how batches are made
and what an update does.
"""

import copy
import time
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from math import isfinite, nan
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from coursekit.atomic import written_whole
from coursekit.data.dataset import as_split
from coursekit.optim.lr_scheduler import waits_for_metric, whole
from coursekit.training.callbacks import Callback, Progress
from coursekit.training.history import History
from coursekit.training.interrupts import explain_interrupt
from coursekit.training.preflight import (
    check_callbacks,
    check_optimizer,
    check_scheduler,
    check_validation,
    warn_of_schedule,
    whole_epochs,
)
from coursekit.training.run_file import FORMAT, check_run, kind_of, refused
from coursekit.training.study_hash import describe_data


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
        self.batch_size, self.seed = whole("batch_size", batch_size), whole("seed", seed, 0)
        if clip_grad_norm is not None and not clip_grad_norm > 0:
            raise ValueError(f"clip_grad_norm must be greater than 0, got {clip_grad_norm}")
        self.net, self.data = net, data
        self.optimizer, self.criterion, self.scheduler = optimizer, criterion, scheduler
        self.clip_grad_norm, self.keep_best = clip_grad_norm, keep_best
        self.callbacks = [*check_callbacks(callbacks), *([Progress()] if progress else [])]
        self._check_parts(learns=False)
        self.history = History()
        self.epoch = self.step = self.total_steps = 0
        self.loss = float("nan")
        self.should_stop = False
        self.best: dict[str, Any] = {}
        self.best_accuracy = -1.0
        # The run as it stood before the epoch under way; None between two epochs.
        self._mark: tuple[dict[str, Any], dict[str, Any]] | None = None
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

        An epoch counts when it is whole. Where it breaks off, by an interrupt or by an error, the
        run is taken back to the end of the epoch before: weights, optimizer, schedule, history
        and best weights. The same ``fit`` then goes on from there and comes out bit for bit as if
        nothing had happened. (After a divergence the history keeps the steps that led to it, until
        training goes on.) A ``KeyboardInterrupt`` goes on with a note that is shown in place of a
        traceback: what was kept and how to go on.

        Raises:
            TrainingDivergedError: the loss became nan or infinite; the message says at which step,
                in which layer, and what to try.
            ValueError: ``epochs`` is no whole number, or net, data, optimizer and scheduler do not
                belong together.
        """
        epochs = whole_epochs(epochs)
        self._check_parts(learns=True)
        self._take_back()  # what a second interrupt may have left
        if epochs <= self.epoch:
            self._say(self._nothing_to_do(epochs))
            self.net.eval()
            return self.history
        if self.scheduler is not None:
            warn_of_schedule(self.scheduler, epochs - self.epoch, self.steps_per_epoch)
        self._cut_history()
        self.total_steps = epochs * self.steps_per_epoch
        self.should_stop = False
        started: list[Any] = []
        try:
            for callback in self.callbacks:
                callback.on_fit_start(self)
                started.append(callback)
            while self.epoch < epochs and not self.should_stop:
                self._train_one_epoch()
        except BaseException as error:
            broken = self._mark is not None
            try:
                self._take_back(keep_steps=isinstance(error, TrainingDivergedError))
            except Exception as other:  # a callback made another net or optimizer of it
                self._mark = None
                error.add_note(f"epoch {self.epoch + 1} could not be taken back: {other}")
            if isinstance(error, KeyboardInterrupt):
                explain_interrupt(error, self._what_is_kept(epochs, broken))
            raise
        finally:
            self._end(started)
        return self.history

    def _end(self, started: list[Any]) -> None:
        """Call every ``on_fit_end``, even where one of them raises; then evaluation mode."""
        if not started:
            self.net.eval()
            return
        try:
            started[0].on_fit_end(self)
        finally:
            self._end(started[1:])

    def _check_parts(self, *, learns: bool) -> None:
        """Raise unless all parts belong together and, for a fit, something can learn."""
        check_optimizer(self.net, self._optimized(), learns=learns)
        check_scheduler(self.scheduler, self.optimizer)
        if not len(self.data.train):
            raise ValueError("data: got no training pictures; needed at least one")
        check_validation(self.data, self.callbacks, self.keep_best, self.scheduler)

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

    def _what_is_kept(self, epochs: int, broken: bool) -> str:
        since = f"after epoch {self.epoch}" if self.epoch else "before the first"
        said = (
            f"interrupted: {self.epoch} of {epochs} epochs are done; weights, schedule and history "
            f"are as they were {since}.\n"
        )
        if self.epoch >= epochs:
            said += "nothing was left to train"
        else:
            again = f"repeats epoch {self.epoch + 1} and " if broken else ""
            said += f"fit({epochs}) {again}goes on as if it had not been interrupted"
        if self.best:
            said += f"; restore_best() has the weights of {self.best_accuracy:.2%} on val"
        return said

    def _train_one_epoch(self) -> None:
        started = time.perf_counter()
        self._mark = self._standing()
        self._losses, self._correct, self._seen = 0.0, 0, 0
        self._unread.clear()  # what an epoch left that broke off
        self._start_epoch()
        self._notify("on_epoch_start")
        for batch in self._batches():
            self._update(*batch)
        self._read_steps()
        if not self._seen:
            raise ValueError(
                f"data: got no batch in epoch {self.epoch + 1}, though {self.steps_per_epoch} were "
                "announced; needed at least one"
            )
        row: dict[str, float] = {"epoch": self.epoch + 1, "step": self.step}
        row["train_loss"] = self._losses / self._seen
        row["train_accuracy"] = self._correct / self._seen
        self.epoch += 1
        measured = self._agreed(self.evaluate(self.data.val))
        row |= {f"val_{name}": value for name, value in measured.items()}
        row["seconds"] = time.perf_counter() - started
        if waits_for_metric(self.scheduler):
            watched = "val_loss" if self.scheduler.mode == "min" else "val_accuracy"
            self.scheduler.step(row[watched])
        # An accuracy beside a loss that is not finite comes from a net that is broken.
        better = row["val_accuracy"] > self.best_accuracy and isfinite(row["val_loss"])
        if self.keep_best and better:
            self.best_accuracy, self.best = row["val_accuracy"], self._weights()
        self.history.epochs.append(row)
        self._mark = None  # from here on the epoch counts
        self._notify("on_epoch_end")

    def _agreed(self, measured: dict[str, float]) -> dict[str, float]:
        """What all processes of a run take for the validation's result."""
        return measured

    def _take_back(self, *, keep_steps: bool = False) -> None:
        """Return to the end of the last whole epoch, if one was begun since.

        If it breaks off itself it can be called again.
        """
        if self._mark is None:
            return
        self._restore(*self._mark)
        self._unread.clear()
        if not keep_steps:
            self._cut_history()
        self._mark = None

    def _cut_history(self) -> None:
        """Leave the rows of whole epochs."""
        self.history.steps[:] = [row for row in self.history.steps if row["step"] < self.step]
        self.history.epochs[:] = [row for row in self.history.epochs if row["epoch"] <= self.epoch]
        self.loss = self.history.steps[-1]["loss"] if self.history.steps else nan

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
        if self.scheduler is not None and not waits_for_metric(self.scheduler):
            self.scheduler.step()
        self.step += 1
        self._notify("on_step_end")

    def _read_steps(self) -> None:
        """Take the steps that nobody looked at into the history and the epoch's sums."""
        rows, self._unread = self._unread, []
        for step, lr, loss, correct, count in self._fetch(rows):
            if not isfinite(loss):
                raise TrainingDivergedError(self._diverged(step, lr, loss))
            self.loss = loss
            self.history.steps.append({"step": step, "loss": loss, "lr": lr})
            self._losses += loss * count
            self._correct += correct
            self._seen += count

    def _fetch(self, rows: list[tuple]) -> list[tuple]:
        """Return the rows of ``_note`` as plain numbers."""
        return rows

    def _check_last_batch(self) -> None:
        """Raise ``ValueError`` if the last batch has one picture and the net needs more.

        Batch norm does: one value has no variance. Whether it sees one value of a single picture
        depends on the net, so a copy of the net tries.
        """
        if len(self.data.train) % self.batch_size != 1 % self.batch_size:
            return
        one, two = map(self._refusal, (1, 2))
        if isinstance(one, ValueError) and two is None:
            raise ValueError(
                f"batch_size: got {self.batch_size}, so the last batch ({self.steps_per_epoch} of "
                f"{self.steps_per_epoch}) has one picture, which this net cannot learn from "
                f"({one}); {self._two_at_least()}"
            )

    def _two_at_least(self) -> str:
        count = len(self.data.train)
        sizes = (n for n in range(self.batch_size + 1, count + 1) if count % n != 1)
        how = f"as with batch_size={next(sizes)}" if count > 1 else "and more training pictures"
        return f"needed two pictures or more in each batch, {how}"

    def _refusal(self, count: int) -> Exception | None:
        """The error, if any, of a training pass of a copy of the net over ``count`` pictures."""
        raise NotImplementedError

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
        # nan is no answer, though argmax finds a class in it
        hits = (logits.argmax(axis=1) == labels) & (logits == logits).all(axis=1)
        loss = float(self.criterion(logits, labels))
        return {"loss": loss, "accuracy": int(hits.sum()) / len(labels)}

    def _weights(self) -> dict[str, Any]:
        """Copies of the net's parameters and buffers."""
        return self.net.state_dict()

    def restore_best(self) -> None:
        """Put back the weights of the epoch with the best validation accuracy."""
        if not self.best:
            raise RuntimeError(
                "restore_best needs keep_best=True and at least one epoch with a finite "
                "validation loss"
            )
        self.net.load_state_dict(self.best)

    # --- the run's file ---------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the whole run to one file, atomically: the old file or the new one.

        Within an epoch it writes the run as it stood before that epoch.
        """
        meta, states = self._mark or (self._meta(), self._states())
        rows = self.history.to_dict()
        meta = {
            "format": FORMAT,
            **meta,
            "setup": self._setup(),
            "history": {
                "steps": [row for row in rows["steps"] if row["step"] < meta["step"]],
                "epochs": [row for row in rows["epochs"] if row["epoch"] <= meta["epoch"]],
            },
        }
        with written_whole(path) as part, part.open("wb") as file:
            self._write(file, meta, states)

    def load(self, path: str | Path) -> None:
        """Continue the run saved at ``path``, with a trainer set up in the same way.

        Settings of the optimizer and the schedule, such as the rate, become the saved ones.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is damaged or holds no such run; or seed, batch size, data, or the
                kind of a layer, optimizer, schedule or loss are not the saved run's. The message
                says what was found, what was needed and what to do; nothing is changed.
        """
        path = Path(path)
        meta, states = self._read(path)
        own = self._states()
        check_run(path, meta, states, self._setup(), own["net"])
        before = self._standing()
        try:
            self._check_states(meta, states)
            self._restore(meta, states)
        except BaseException as error:
            self._restore(*before)
            if isinstance(error, Exception):
                raise refused(path, str(error)) from error
            raise
        self._mark = None
        self.history = History(**meta["history"])
        self._cut_history()

    def _setup(self) -> dict[str, Any]:
        """What a run and a trainer that continues it must have in common."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "optimizer": type(self.optimizer).__name__,
            "scheduler": kind_of(self.scheduler),
            "criterion": type(self.criterion).__name__,
            "data": self._data_identity,
            "net": [name for name, _ in self.named_layers()],
        }

    @cached_property
    def _data_identity(self) -> dict[str, Any]:
        return describe_data(self.data)

    def _meta(self) -> dict[str, Any]:
        """Where the run stands, in plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "best_accuracy": self.best_accuracy,
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def _states(self) -> dict[str, Any]:
        """What else is to be kept: net, optimiser and best weights, each by name."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def _standing(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A copy of where the run stands; the best weights are never written to, so no copy."""
        states = self._states()
        best = states.pop("best")
        meta, states = copy.deepcopy((self._meta(), states))
        return meta, {**states, "best": best}

    def _check_states(self, meta: dict[str, Any], states: dict[str, Any]) -> None:
        """Raise ``ValueError`` for what the parts would not notice themselves."""

    def _restore(self, meta: dict[str, Any], states: dict[str, Any]) -> None:
        """Go to where a run stood; the history is left to the caller."""
        self.net.load_state_dict(states["net"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(meta["scheduler"])
        self.optimizer.load_state_dict(states["optimizer"])  # last: a schedule moves its rate
        self.best, self.best_accuracy = states["best"], meta["best_accuracy"]
        self.epoch, self.step = meta["epoch"], meta["step"]

    def _write(self, file: BinaryIO, meta: dict[str, Any], states: dict[str, Any]) -> None:
        raise NotImplementedError

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        raise NotImplementedError
