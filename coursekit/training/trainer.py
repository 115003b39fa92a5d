"""Training of NumPy nets: how a batch is made and what an update does."""

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import Dataset, Split, check_dataset
from coursekit.nn.losses import Loss
from coursekit.nn.module import Module, Parameter
from coursekit.optim import LRScheduler, Optimizer, ReduceLROnPlateau, clip_grad_norm
from coursekit.training.callbacks import Callback
from coursekit.training.loop import TrainingDivergedError, TrainingLoop
from coursekit.training.modes import evaluating
from coursekit.training.preflight import check_instances
from coursekit.training.run_file import foreign

Augment = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]


class Trainer(TrainingLoop):
    """Trains a net on a data set: shuffled batches, backward, update, validation.

    The same seed gives the same run. Every epoch draws its order, augmentation and dropout from a
    generator of its own, made from seed and epoch, so a run that was saved and loaded goes on
    bit for bit as if it had never stopped.

    Args:
        net: what to train.
        data: a ``coursekit.data`` data set; an empty ``val`` switches validation off, and then
            nothing may decide by it.
        optimizer: over ``net.parameters()``.
        criterion: the loss.
        scheduler: moved on after every update; ``ReduceLROnPlateau`` after every epoch, by the
            validation loss or, with ``mode="max"``, the validation accuracy.
        batch_size: pictures an update; the last batch of an epoch may be smaller.
        augment: ``(uint8 images, rng) -> uint8 images``, applied to training batches.
        clip_grad_norm: bound on the joint norm of all gradients.
        seed: fixes order and augmentation (a net has its own seed).
        callbacks: in the order in which they are called.
        keep_best: remember the weights of the epoch with the best validation accuracy, for
            :meth:`restore_best`.
        progress: show a bar (``COURSEKIT_PROGRESS=off`` silences all bars).

    Raises:
        ValueError, TypeError: arguments that do not fit, by themselves or together.
    """

    def __init__(
        self,
        net: Module,
        data: Dataset,
        *,
        optimizer: Optimizer,
        criterion: Loss,
        scheduler: LRScheduler | ReduceLROnPlateau | None = None,
        batch_size: int = 128,
        augment: Augment | None = None,
        clip_grad_norm: float | None = None,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        keep_best: bool = False,
        progress: bool = True,
    ) -> None:
        check_instances(net=net, optimizer=optimizer, criterion=criterion, scheduler=scheduler)
        _check_ours(net, optimizer, criterion)
        check_dataset("data", data)
        super().__init__(
            net,
            data,
            optimizer=optimizer,
            criterion=criterion,
            scheduler=scheduler,
            batch_size=batch_size,
            clip_grad_norm=clip_grad_norm,
            seed=seed,
            callbacks=callbacks,
            keep_best=keep_best,
            progress=progress,
        )
        self.augment = augment
        _make_writable(net)
        self._check_last_batch()

    def _start_epoch(self) -> None:
        self._rng = np.random.default_rng([self.seed, self.epoch])
        self.net.train()
        self.net.reseed(self._rng)  # dropout's masks; the rng's own numbers stay as they were

    def _batches(self) -> Iterator[tuple[NDArray, NDArray]]:
        return self.data.batches(
            self.data.train,
            self.batch_size,
            rng=self._rng,
            augment=self.augment,
            dtype=self._dtype,
        )

    @property
    def _dtype(self) -> np.dtype:
        return self.optimizer.params[0].data.dtype

    def _optimized(self) -> Iterable[Parameter]:
        return self.optimizer.params

    def _update(self, x: NDArray, y: NDArray) -> None:  # type: ignore[override]
        """One forward pass, one backward pass, one update."""
        logits = self.net(x)
        self.loss = self.criterion(logits, y)
        if not np.isfinite(self.loss):
            raise TrainingDivergedError(self._diagnose(x))
        self.optimizer.zero_grad()
        self.net.backward(self.criterion.backward(), need_dx=False)
        self._notify("after_backward")
        if self.clip_grad_norm is not None:
            clip_grad_norm(self.optimizer.params, self.clip_grad_norm)
        self._note(self.loss, int((logits.argmax(axis=1) == y).sum()), len(y))
        self.optimizer.step()
        self._end_step()

    def named_layers(self) -> Iterable[tuple[str, Module]]:
        """The net's innermost modules, in order, as ``("1.Linear", module)``."""
        return self.net.named_layers()

    def to_numpy(self, values: NDArray) -> NDArray:
        """Outputs, weights or gradients as they are: arrays."""
        return values

    def logits(self, split: Split | NDArray[np.uint8]) -> NDArray:
        """The net's outputs for every picture, in order, (N, C).

        Args:
            split: a ``Split``, or uint8 images (N, C, H, W) as the data set has them.
        """
        split = self._as_split(split)
        if not len(split):
            raise ValueError("split: got no pictures; needed at least one")
        with evaluating(self.net):
            batches = self.data.batches(split, 1000, dtype=self._dtype)
            return np.concatenate([self.net(x) for x, _ in batches])

    def _outputs(self, split: Split) -> tuple[NDArray, NDArray]:
        return self.logits(split), split.labels

    def _write(self, file: BinaryIO, meta: dict[str, Any], states: dict[str, Any]) -> None:
        """As ``.npz``: an array each, and the rest as json."""
        arrays: dict[str, Any] = {}  # not NDArray: a name might be savez's own allow_pickle
        for room, state in states.items():
            arrays |= {f"{room}/{name}": array for name, array in state.items()}
        text = json.dumps(meta, default=np.generic.item)  # NumPy's numbers as Python's
        np.savez(file, meta=np.array(text), **arrays)

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        ours = "coursekit.training.Trainer"
        states: dict[str, Any] = {"net": {}, "optimizer": {}, "best": {}}
        try:
            with np.load(path, allow_pickle=False) as file:
                if "meta" not in file.files:
                    raise foreign(path, _what_else(file.files), ours)
                meta = json.loads(str(file["meta"]))
                for entry in file.files:
                    room, _, name = entry.partition("/")
                    if name:
                        states[room][name] = file[entry]
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # a damaged file can raise nearly anything
            if str(error).startswith(f"{path}: found"):
                raise
            kind = type(error).__name__
            raise foreign(path, f"a damaged file, or one of another kind ({kind})", ours) from error
        if not isinstance(meta, dict):
            raise foreign(path, f"a file whose 'meta' is a {type(meta).__name__}", ours)
        return meta, states

    def _refusal(self, count: int) -> Exception | None:
        split = Split(self.data.train.images[[0] * count], self.data.train.labels[[0] * count])
        ((x, _),) = self.data.batches(split, count, dtype=self._dtype)
        try:
            copy.deepcopy(self.net).train()(x)
        except Exception as error:
            return error
        return None


def _what_else(names: list[str]) -> str:
    if any(name.endswith("data.pkl") for name in names):
        return "what torch.save wrote, perhaps a run of coursekit.port.Trainer"
    return f"arrays that are no run, {sorted(names)[:5]}"


def _make_writable(net: Module) -> None:
    """Copy what is read-only: joblib sends large arrays to its workers as maps of a file."""
    for module in net.modules():
        for name, value in vars(module).items():
            if isinstance(value, Parameter) and not value.data.flags.writeable:
                value.data = value.data.copy()
            elif name in module._buffers and not value.flags.writeable:
                setattr(module, name, value.copy())


def _check_ours(net: Any, optimizer: Any, criterion: Any) -> None:
    """Raise ``TypeError`` for parts that are PyTorch's, or that are nothing to train with."""
    for name, value, needed, surface in (
        ("net", net, "coursekit.nn Module", "backward"),
        ("optimizer", optimizer, "coursekit.optim Optimizer", "params"),
        ("criterion", criterion, "coursekit.nn Loss", "backward"),
    ):
        if not hasattr(value, surface):
            kind = type(value)
            torch = any(base.__module__.startswith("torch.") for base in kind.__mro__)
            instead = "; coursekit.port.Trainer trains PyTorch nets" if torch else ""
            raise TypeError(
                f"{name}: got {kind.__module__}.{kind.__qualname__}; needed a {needed}{instead}"
            )
