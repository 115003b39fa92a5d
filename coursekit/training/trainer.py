"""The training loop, written once (lesson 1, "The training loop")."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import Dataset, Split
from coursekit.nn.losses import Loss
from coursekit.nn.module import Module
from coursekit.optim import LRScheduler, Optimizer, clip_grad_norm
from coursekit.training.callbacks import Callback, Progress
from coursekit.training.history import History

Augment = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]


class TrainingDivergedError(FloatingPointError):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains a net on a data set: shuffled batches, backward, update, validation.

    The same seed gives the same run. Every epoch draws its order, augmentation and dropout from a
    generator of its own, made from seed and epoch, so a run that was saved and loaded goes on
    bit for bit as if it had never stopped.

    Args:
        net: what to train.
        data: a ``coursekit.data`` data set; an empty ``val`` switches validation off.
        optimizer: over ``net.parameters()``.
        criterion: the loss.
        scheduler: moved on after every update, if given.
        batch_size: pictures an update; the last batch of an epoch may be smaller.
        augment: ``(uint8 images, rng) -> uint8 images``, applied to training batches.
        clip_grad_norm: bound on the joint norm of all gradients.
        seed: fixes order and augmentation (a net has its own seed).
        callbacks: in the order in which they are called.
        keep_best: remember the weights of the epoch with the best validation accuracy, for
            :meth:`restore_best`.
        progress: show a bar (``COURSEKIT_PROGRESS=off`` silences all bars).
    """

    def __init__(
        self,
        net: Module,
        data: Dataset,
        *,
        optimizer: Optimizer,
        criterion: Loss,
        scheduler: LRScheduler | None = None,
        batch_size: int = 128,
        augment: Augment | None = None,
        clip_grad_norm: float | None = None,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        keep_best: bool = False,
        progress: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.net, self.data = net, data
        self.optimizer, self.criterion, self.scheduler = optimizer, criterion, scheduler
        self.batch_size, self.augment, self.seed = batch_size, augment, seed
        self.clip_grad_norm = clip_grad_norm
        self.callbacks = [*callbacks, *([Progress()] if progress else [])]
        self.keep_best = keep_best
        self.history = History()
        self.epoch = self.step = self.total_steps = 0
        self.loss = float("nan")
        self.should_stop = False
        self.best: dict[str, NDArray] = {}
        self.best_accuracy = -1.0

    @property
    def steps_per_epoch(self) -> int:
        """Updates an epoch."""
        return -(-len(self.data.train) // self.batch_size)

    def fit(self, epochs: int) -> History:
        """Train until ``epochs`` epochs have been done in all, this call's and earlier ones.

        Raises:
            TrainingDivergedError: the loss became nan or infinite; the message says at which step,
                in which layer, and what to try.
        """
        self.total_steps = epochs * self.steps_per_epoch
        self.should_stop = False
        self._notify("on_fit_start")
        try:
            while self.epoch < epochs and not self.should_stop:
                self._train_one_epoch()
        finally:
            self._notify("on_fit_end")
            self.net.eval()
        return self.history

    def _notify(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _train_one_epoch(self) -> None:
        started = time.perf_counter()
        rng = np.random.default_rng([self.seed, self.epoch])
        self.net.train()
        self.net.reseed(rng)  # dropout's masks; rng's own numbers stay as they were
        self._notify("on_epoch_start")
        losses, correct, seen = 0.0, 0, 0
        for x, y in self.data.batches(
            self.data.train, self.batch_size, rng=rng, augment=self.augment, dtype=self._dtype
        ):
            logits = self._update(x, y)
            seen += len(y)
            losses += self.loss * len(y)
            correct += int((logits.argmax(axis=1) == y).sum())
        row: dict[str, float] = {"epoch": self.epoch + 1, "step": self.step}
        row |= {"train_loss": losses / seen, "train_accuracy": correct / seen}
        self.epoch += 1
        row |= {f"val_{name}": value for name, value in self.evaluate(self.data.val).items()}
        row["seconds"] = time.perf_counter() - started
        self.history.epochs.append(row)
        if self.keep_best and row["val_accuracy"] > self.best_accuracy:
            self.best_accuracy = row["val_accuracy"]
            self.best = self.net.state_dict()
        self._notify("on_epoch_end")

    @property
    def _dtype(self) -> np.dtype:
        return self.optimizer.params[0].data.dtype

    def _update(self, x: NDArray, y: NDArray) -> NDArray:
        """One forward pass, one backward pass, one update; returns the logits."""
        logits = self.net(x)
        self.loss = self.criterion(logits, y)
        if not np.isfinite(self.loss):
            raise TrainingDivergedError(self._diagnose(x))
        self.optimizer.zero_grad()
        self.net.backward(self.criterion.backward(), need_dx=False)
        self._notify("after_backward")
        if self.clip_grad_norm is not None:
            clip_grad_norm(self.optimizer.params, self.clip_grad_norm)
        self.history.steps.append({"step": self.step, "loss": self.loss, "lr": self.optimizer.lr})
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.step += 1
        self._notify("on_step_end")
        return logits

    def _diagnose(self, x: NDArray) -> str:
        """Say where the first value that is not finite came up."""
        where = "in the loss itself"
        bad: list[str] = []

        def note(name: str, _module: Module, _x: NDArray, out: NDArray) -> None:
            if not np.isfinite(out).all():
                bad.append(name)

        handles = [
            layer.register_forward_hook(partial(note, name))
            for name, layer in self.net.named_layers()
        ]
        self.net(x)
        for handle in handles:
            handle.remove()
        if bad:
            layer = dict(self.net.named_layers())[bad[0]]
            largest = max((float(np.abs(p.data).max()) for p in layer.parameters()), default=0.0)
            where = f"in the output of layer {bad[0]}"
            if layer.parameters():
                where += f", whose weights reach {largest:.3g}"
        return (
            f"the loss is {self.loss} at step {self.step} (epoch {self.epoch + 1}): the first "
            f"values that are not finite are {where}. The learning rate is "
            f"{self.optimizer.lr:g}; try a smaller one, or set clip_grad_norm"
        )

    def logits(self, split: Split) -> NDArray:
        """The net's outputs for every picture of ``split``, in order, (N, C)."""
        mode = self.net.training
        self.net.eval()
        try:
            batches = self.data.batches(split, 1000, dtype=self._dtype)
            return np.concatenate([self.net(x) for x, _ in batches])
        finally:
            self.net.train(mode)

    def predict(self, split: Split) -> NDArray[np.int64]:
        """The likeliest class of every picture of ``split``, (N,)."""
        return self.logits(split).argmax(axis=1)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Loss and accuracy on ``split``, in evaluation mode; nan for an empty one."""
        if not len(split):
            return {"loss": float("nan"), "accuracy": float("nan")}
        logits = self.logits(split)
        accuracy = float((logits.argmax(axis=1) == split.labels).mean())
        return {"loss": self.criterion(logits, split.labels), "accuracy": accuracy}

    def restore_best(self) -> None:
        """Put back the weights of the epoch with the best validation accuracy."""
        if not self.best:
            raise RuntimeError("restore_best needs keep_best=True and at least one epoch")
        self.net.load_state_dict(self.best)

    def save(self, path: str | Path) -> None:
        """Write the whole run to one ``.npz`` file, atomically: the old file or the new one."""
        path = Path(path)
        arrays: dict[str, Any] = {}  # not NDArray: a name might be savez's own allow_pickle
        for room, state in (
            ("net", self.net.state_dict()),
            ("optimizer", self.optimizer.state_dict()),
            ("best", self.best),
        ):
            arrays |= {f"{room}/{name}": array for name, array in state.items()}
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
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, meta=np.array(json.dumps(meta)), **arrays)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def load(self, path: str | Path) -> None:
        """Continue the run saved at ``path``, with a trainer set up in the same way.

        Raises:
            ValueError: seed, batch size, net or optimiser are not the saved run's.
        """
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            arrays = {name: file[name] for name in file.files if name != "meta"}
        for name in ("seed", "batch_size"):
            if meta[name] != getattr(self, name):
                raise ValueError(
                    f"{name} of the run saved in {path} is {meta[name]}, "
                    f"this trainer has {getattr(self, name)}"
                )
        if (meta["scheduler"] is None) != (self.scheduler is None):
            raise ValueError(f"scheduler: either the run saved in {path} or this one has none")

        def room(prefix: str) -> dict[str, NDArray]:
            return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}

        self.net.load_state_dict(room("net/"))
        self.optimizer.load_state_dict(room("optimizer/"))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(meta["scheduler"])
        self.best, self.best_accuracy = room("best/"), meta["best_accuracy"]
        self.epoch, self.step = meta["epoch"], meta["step"]
        self.history = History(**meta["history"])
