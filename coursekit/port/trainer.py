"""Training of PyTorch nets: the course's Trainer, on any device (lesson 4, "Training at speed")."""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from coursekit.data.dataset import Dataset, Split, check_dataset
from coursekit.optim import LRScheduler, ReduceLROnPlateau
from coursekit.port import distributed
from coursekit.port.checkpoint import read_tensors
from coursekit.port.device import describe_device, explain_out_of_memory, pick_device
from coursekit.port.pictures import Augment, Pictures, check_augment, epoch_seed
from coursekit.training.callbacks import Callback
from coursekit.training.history import History
from coursekit.training.loop import TrainingDivergedError, TrainingLoop
from coursekit.training.modes import evaluating
from coursekit.training.preflight import check_instances, wanted_by
from coursekit.training.run_file import foreign
from coursekit.training.study_hash import describe_data

Precision = Literal["float32", "bfloat16", "float16"]
Loader = Callable[[Any], DataLoader]

EVALUATION_BATCH = 1000


class Trainer(TrainingLoop):
    """The same surface as ``coursekit.training.Trainer``, for a PyTorch net on any device.

    The data set is copied to the device once, as uint8; batches are made there, in the order in
    which the NumPy trainer has them for the same seed. Steps do not wait for the device: on a GPU
    the losses are read every 50 steps, and ``trainer.loss`` is as old as that.

    The same seed gives the same run: order, changes of pictures, and dropout come from seed and
    epoch, so a run that was saved and loaded goes on as if it had never stopped. On the CPU that
    holds bit for bit, for one version of PyTorch and one number of threads. On a GPU some sums are
    added in whatever order threads finish; ``torch.use_deterministic_algorithms(True)`` forbids
    those. Every epoch sets PyTorch's global seed.

    Under ``torchrun``, inside ``with port.process_group():``, the processes share every batch.

    Args:
        net: what to train; it is moved to the device. One that gives a tuple in training, logits
            and auxiliary logits as Inception and GoogLeNet do, learns from all of them.
        data: a ``coursekit.data`` data set. With ``loader`` anything that has ``train`` and
            ``val``, each with a length. Without validation pictures nothing may decide by them.
        optimizer: over ``net.parameters()``, of ``torch.optim``.
        criterion: ``(logits, labels) -> mean loss``, as ``torch.nn.CrossEntropyLoss()``.
        scheduler: one of ``coursekit.optim`` or of ``torch.optim.lr_scheduler``, moved on after
            every update; ``ReduceLROnPlateau`` after every epoch, by the validation loss or, with
            ``mode="max"``, the validation accuracy.
        batch_size: pictures an update, over all processes; the last batch of an epoch may be
            smaller. With ``loader`` it is the loader's.
        augment: ``(uint8 images, draw) -> uint8 images`` on the device, as
            ``coursekit.port.RandomCrop``, applied to training batches.
        clip_grad_norm: bound on the joint norm of all gradients.
        seed: fixes order, augmentation and dropout.
        callbacks: in the order in which they are called.
        keep_best: remember the weights of the epoch with the best validation accuracy, for
            :meth:`restore_best`.
        progress: show a bar (``COURSEKIT_PROGRESS=off`` silences all bars).
        device: "auto", "cpu", "cuda", ...: see ``port.pick_device``.
        precision: "float32" computes in the dtype of the net's parameters; "bfloat16" and
            "float16" let autocast do the large products with half the bits, "float16" with
            gradients scaled so that small ones do not vanish.
        channels_last: lay pictures and filters out pixel by pixel, as fast convolutions read them.
        compile: let ``torch.compile`` fuse the training step; the first step of each batch size
            then takes long. Evaluation is never compiled.
        loader: ``(split) -> DataLoader`` makes the batches instead, ``(float pictures, labels)``
            each; it is called with ``data.train``, ``data.val``, and what ``evaluate`` is given.
            With persistent workers or a ``generator`` of its own a resumed run draws another order
            or other changes of pictures.
        aux_weight: weight of the loss of each auxiliary output; PyTorch's own recipes take 0.4
            for Inception and 0.3 for GoogLeNet.

    Raises:
        ValueError, TypeError: an argument that does not fit; says which and why.
        MemoryError: the data set does not fit on the device.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        data: Dataset | Any,
        *,
        optimizer: torch.optim.Optimizer,
        criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        scheduler: LRScheduler
        | ReduceLROnPlateau
        | torch.optim.lr_scheduler.LRScheduler
        | None = None,
        batch_size: int = 128,
        augment: Augment | None = None,
        clip_grad_norm: float | None = None,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        keep_best: bool = False,
        progress: bool = True,
        device: str | torch.device = "auto",
        precision: Precision = "float32",
        channels_last: bool = True,
        compile: bool = False,
        loader: Loader | None = None,
        aux_weight: float = 0.4,
    ) -> None:
        check_instances(net=net, optimizer=optimizer, criterion=criterion, scheduler=scheduler)
        _check_torch(net, optimizer, criterion)
        if not aux_weight >= 0:
            raise ValueError(f"aux_weight must be at least 0, got {aux_weight}")
        self.aux_weight = aux_weight
        self._loader = loader
        self._loaders: dict[int, tuple[Any, DataLoader]] = {}
        if loader is not None:
            if augment is not None:
                raise ValueError("augment: got one with loader; needed it in the loader's dataset")
            if not callable(loader):
                raise TypeError(
                    f"loader: got {type(loader).__name__}; needed a function of a split, as "
                    "loader=lambda split: DataLoader(split, batch_size=128)"
                )
            _check_sets(data)
            batch_size = self._load(data.train, "training ").batch_size or batch_size
        else:
            check_dataset("data", data)
        check_augment(augment)
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
            progress=progress and distributed.is_main(),
        )
        self.augment = augment
        self.device = pick_device(device)
        self.precision = precision
        self.read_every = 1 if self.device.type == "cpu" else 50
        self._autocast, self._scaler = _mixed_precision(self.device, precision)
        if precision == "float16":
            self.advice += ', or precision="bfloat16", whose numbers reach further'
        self._dtype = next(net.parameters()).dtype
        self._channels_last = channels_last and any(p.ndim == 4 for p in net.parameters())
        self._check_shares()
        self._place()
        self._give_lazy_layers_shapes()
        self._forward = self._wrapped(compile)
        if loader is None and distributed.world_size() == 1:
            self._check_last_batch()

    def _place(self) -> None:
        """Move net, criterion, optimiser and data to the device."""
        self.net.to(self.device)  # in place: the optimiser goes on with the same parameters
        if self._channels_last:
            self.net.to(memory_format=torch.channels_last)
        if isinstance(self.criterion, torch.nn.Module):
            self.criterion.to(self.device)
        if self.optimizer.state:  # averages of an earlier run move to their parameters' device
            self.optimizer.load_state_dict(self.optimizer.state_dict())
        if self._loader is not None:
            return
        with explain_out_of_memory(
            self.device, "while copying the data set there", "loader= keeps it in main memory"
        ):
            self._pictures = Pictures(
                self.data, self.device, self._dtype, channels_last=self._channels_last
            )
            self._pictures.place(self.data.train)

    def _give_lazy_layers_shapes(self) -> None:
        """One picture through the net: what has no shape can be neither saved nor taken back."""
        values = [*self.net.parameters(), *self.net.buffers()]
        if not any(map(torch.nn.parameter.is_lazy, values)):
            return
        if self._loader is None:
            x = self._first_picture(1)
        else:
            x = next(self._pairs(self._load(self.data.train)))[0]
        with evaluating(self.net), torch.no_grad():
            self.net(x)

    def _first_picture(self, count: int) -> torch.Tensor:
        """A batch of ``count`` times the first training picture."""
        train = self.data.train
        split = Split(train.images[[0] * count], train.labels[[0] * count])
        (x,) = self._pictures.in_order(split, count)
        return x

    def _wrapped(self, compile: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        """The net as the training step calls it."""
        forward: Any = self.net
        if distributed.world_size() > 1:
            forward = DistributedDataParallel(
                self.net, device_ids=None if self.device.type == "cpu" else [self.device]
            )
        return torch.compile(forward) if compile else forward

    def _check_shares(self) -> None:
        """Every process must get pictures in every batch, and not those of another."""
        processes = distributed.world_size()
        if processes == 1:
            return
        if self._loader is not None:
            if not isinstance(self._load(self.data.train).sampler, DistributedSampler):
                raise ValueError(
                    f"loader: got one that gives all {processes} processes the same pictures; "
                    "needed sampler=torch.utils.data.DistributedSampler(...) for data.train"
                )
            return
        count = len(self.data.train)
        smallest = min(count, self.batch_size, count % self.batch_size or self.batch_size)
        if smallest < processes:
            raise ValueError(
                f"batch_size: got {self.batch_size}, so the smallest batch has {smallest} pictures "
                f"for {processes} processes; needed at least one for each"
            )

    # --- the run ----------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Updates an epoch."""
        if self._loader is not None:
            return len(self._load(self.data.train))
        return super().steps_per_epoch

    @property
    def lr(self) -> float:
        """Learning rate of the next update; of the first group, where there are several."""
        return float(self.optimizer.param_groups[0]["lr"])

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
                on the CPU in which layer, and what to try.
            ValueError: ``epochs`` is no whole number, or net, data, optimizer and scheduler do not
                belong together.
            MemoryError: a batch of this size does not fit; says what to try.
        """
        less = "" if self.precision == "bfloat16" else ' or precision="bfloat16"'
        with explain_out_of_memory(
            self.device,
            f"with batches of {self.batch_size} pictures",
            f"try batch_size={max(1, self.batch_size // 2)}{less}",
        ):
            return super().fit(epochs)

    def _optimized(self) -> Iterable[torch.nn.Parameter]:
        return (p for group in self.optimizer.param_groups for p in group["params"])

    def _say(self, line: str) -> None:
        if distributed.is_main():
            super()._say(line)

    def _start_epoch(self) -> None:
        # Dropout's masks, and the order and changes of a loader. Each process has masks of its own.
        torch.manual_seed(epoch_seed(self.seed, self.epoch) + distributed.rank())
        self.net.train()

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
        if self._loader is None:
            return self._pictures.shuffled(
                self.data.train,
                self.batch_size,
                seed=self.seed,
                epoch=self.epoch,
                augment=self.augment,
                rank=distributed.rank(),
                world_size=distributed.world_size(),
            )
        loader = self._load(self.data.train)
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(self.epoch)
        return ((x, y, 1.0) for x, y in self._pairs(loader))

    def _update(self, x: torch.Tensor, y: torch.Tensor, weight: float) -> None:  # type: ignore[override]
        """One forward pass, one backward pass, one update."""
        with self._autocast:
            with self._one_picture_explained(len(y)):
                logits, *others = _heads(self._forward(x))
            loss = self.criterion(logits, y)
            for other in others:
                loss = loss + self.aux_weight * self.criterion(other, y)
        if self.read_every == 1:
            self.loss = loss.item()
            if not np.isfinite(self.loss) and distributed.world_size() == 1:
                raise TrainingDivergedError(self._diagnose(x))
        self.optimizer.zero_grad()
        self._scaler.scale(loss * weight).backward()
        self._scaler.unscale_(self.optimizer)
        self._notify("after_backward")
        if self.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip_grad_norm)
        self._note(loss.detach(), (logits.detach().argmax(dim=1) == y).sum(), len(y))
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self._end_step()

    def _fetch(self, rows: list[tuple]) -> list[tuple]:
        """Bring losses and hits over, of all processes together."""
        if not rows:
            return rows
        steps, rates, *device_side, counts = zip(*rows, strict=True)
        losses, hits = map(torch.stack, device_side)
        if distributed.world_size() > 1:
            sizes = torch.tensor(counts, device=self.device, dtype=losses.dtype)
            sums = torch.stack([losses * sizes, hits.to(sizes), sizes])
            loss_sums, hits, sizes = distributed.sum_over_processes(sums)
            losses, counts = loss_sums / sizes, sizes.int().tolist()
        return list(zip(steps, rates, losses.tolist(), hits.int().tolist(), counts, strict=True))

    def _agreed(self, measured: dict[str, float]) -> dict[str, float]:
        """The mean: each process's batch norm is its own, and all must stop or go on together."""
        if distributed.world_size() == 1:
            return measured
        values = torch.tensor(list(measured.values()), dtype=torch.float64, device=self.device)
        mean = distributed.sum_over_processes(values) / distributed.world_size()
        return dict(zip(measured, mean.tolist(), strict=True))

    def _diverged(self, step: int, lr: float, loss: float, where: str = "") -> str:
        if self.read_every > 1:
            where = ', noticed too late to say in which layer; device="cpu" tells'
        return super()._diverged(step, lr, loss, where)

    def named_layers(self) -> Iterable[tuple[str, torch.nn.Module]]:
        """The net's innermost modules, in order, as ``("1.Linear", module)``."""
        for name, module in self.net.named_modules():
            if not any(True for _ in module.children()):
                *outer, _ = f"{name}.".split(".")
                yield ".".join([*filter(None, outer), type(module).__name__]), module

    def to_numpy(self, values: torch.Tensor) -> NDArray:
        """Outputs, weights or gradients of the net as an array; waits for the device."""
        values = values.detach()
        return (values.float() if values.dtype == torch.bfloat16 else values).cpu().numpy()

    def _check_parts(self, *, learns: bool) -> None:
        super()._check_parts(learns=learns)
        if self._loader is not None and len(self.data.val):
            self._load(self.data.val, "validation ")

    @contextmanager
    def _one_picture_explained(self, count: int) -> Iterator[None]:
        """Around the forward pass of a training batch, whose size only a loader knows before."""
        try:
            yield
        except ValueError as error:
            if count > 1 or "more than 1 value per channel" not in str(error):
                raise
            number = self.step % self.steps_per_epoch + 1
            raise ValueError(
                f"batch {number} of {self.steps_per_epoch} has one picture, which this net cannot "
                f"learn from ({error}); {self._two_at_least()}"
            ) from error

    def _take_back(self, *, keep_steps: bool = False) -> None:
        if self._mark is not None:  # a callback may have added groups
            del self.optimizer.param_groups[len(self._mark[1]["optimizer"]["param_groups"]) :]
        super()._take_back(keep_steps=keep_steps)

    def _two_at_least(self) -> str:
        said = super()._two_at_least()
        return said if self._loader is None else f"{said}, or drop_last=True in the DataLoader"

    def _refusal(self, count: int) -> Exception | None:
        x = self._first_picture(count)
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            net = copy.deepcopy(self.net).train()
            for module in net.modules():  # they belong to whoever looks at the original
                module._forward_hooks.clear()
                module._forward_pre_hooks.clear()
            with torch.random.fork_rng(devices), torch.no_grad(), self._autocast:
                net(x)
        except Exception as error:
            return error
        return None

    # --- batches from a loader --------------------------------------------------------------

    def _load(self, split: Any, what: str = "") -> DataLoader:
        """The loader of ``split``, made once; ``what`` says in an error which pictures it holds."""
        if id(split) not in self._loaders:
            assert self._loader is not None
            loader = self._loader(split)
            if not isinstance(loader, DataLoader):
                raise TypeError(
                    f"loader: got a function that returns {type(loader).__name__}; needed one that "
                    "returns a torch.utils.data.DataLoader"
                )
            if len(split) and not len(loader):
                raise ValueError(
                    f"loader: got one that makes no batch of {len(split)} {what}pictures: its "
                    f"batches have {loader.batch_size}, and drop_last leaves out a smaller one; "
                    f"needed batch_size={len(split)} or less, or drop_last=False"
                )
            self._loaders[id(split)] = (split, loader)  # split: its id stays taken
        return self._loaders[id(split)][1]

    def _pairs(self, loader: DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A loader's batches on the device."""
        for batch in loader:
            parts = batch if isinstance(batch, (tuple, list)) else [batch]
            if len(parts) != 2 or not all(isinstance(p, torch.Tensor) and p.ndim for p in parts):
                came = [f"{type(p).__name__}{list(getattr(p, 'shape', ()))}" for p in parts]
                raise TypeError(
                    f"loader: got a batch of {', '.join(came)}; needed two tensors, float pictures "
                    "(N, C, H, W) and labels (N,)"
                )
            yield self._moved(*parts)

    def _moved(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not x.is_floating_point():
            raise ValueError(
                f"loader: got pictures of {x.dtype}; needed floats, for instance through "
                "transforms.v2.ToDtype(torch.float32, scale=True)"
            )
        layout = torch.channels_last if self._channels_last else torch.preserve_format
        x = x.to(self.device, self._dtype, non_blocking=True, memory_format=layout)
        return x, y.to(self.device, non_blocking=True)

    # --- what it has learnt -----------------------------------------------------------------

    def logits(self, split: Split | NDArray[np.uint8] | Any) -> NDArray:
        """The net's outputs for every picture, in order, (N, C).

        Args:
            split: a ``Split``, or uint8 images (N, C, H, W) as the data set has them; with
                ``loader`` what that takes.
        """
        return self._outputs(self._as_split(split))[0].cpu().numpy()

    def _as_split(self, split: Any, *, labelled: bool = False) -> Any:
        if self._loader is None:
            return super()._as_split(split, labelled=labelled)
        if isinstance(split, (np.ndarray, torch.Tensor, tuple)):
            raise TypeError(
                f"split: got {type(split).__name__}; needed what loader takes, as data.val"
            )
        return split

    def _outputs(self, split: Split | Any) -> tuple[torch.Tensor, torch.Tensor]:
        with (
            evaluating(self.net),
            explain_out_of_memory(self.device, "during evaluation", "try a smaller net"),
            torch.no_grad(),
            self._autocast,
        ):
            if self._loader is None:
                labels = self._pictures.place(split)[1]
                parts = self._pictures.in_order(split, EVALUATION_BATCH)
                return torch.cat([_heads(self.net(x))[0] for x in parts]).to(self._dtype), labels
            pairs = list(self._pairs(self._load(split)))
            logits = torch.cat([_heads(self.net(x))[0] for x, _ in pairs]).to(self._dtype)
            return logits, torch.cat([y for _, y in pairs])

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    # --- the run's file ---------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the whole run to one file, atomically; of several processes the first does."""
        if distributed.is_main():
            super().save(path)
        distributed.wait_for_all()

    def _setup(self) -> dict[str, Any]:
        return super()._setup() | {"precision": self.precision}

    @cached_property
    def _data_identity(self) -> dict[str, Any]:
        if self._loader is None:
            return describe_data(self.data)
        # Through a loader pictures may be anything: reading them all would take too long.
        return {
            name: f"{type(split).__name__} of {len(split)}"
            for name, split in (("train", self.data.train), ("val", self.data.val))
        }

    def _states(self) -> dict[str, Any]:
        return super()._states() | {"scaler": self._scaler.state_dict()}

    def _check_states(self, meta: dict[str, Any], states: dict[str, Any]) -> None:
        """What PyTorch's schedules and optimizers would take and fail with at the next update."""
        if self.scheduler is not None:
            missing = sorted(self.scheduler.state_dict().keys() - meta["scheduler"].keys())
            if missing:
                raise ValueError(f"the schedule's state has no {missing}")
        params = list(self._optimized())
        for i, slots in states["optimizer"]["state"].items():
            for name, value in slots.items():
                shape = tuple(np.shape(value))
                needed = tuple(params[i].shape)
                if name in _AVERAGES and value is not None and shape != needed:
                    raise ValueError(
                        f"the optimizer's {name} of parameter {i} has shape {shape}, and the "
                        f"parameter {needed}"
                    )

    def _restore(self, meta: dict[str, Any], states: dict[str, Any]) -> None:
        super()._restore(meta, states)
        self.best = {name: value.to(self.device) for name, value in self.best.items()}
        self._scaler.load_state_dict(states["scaler"])

    def _write(self, file: BinaryIO, meta: dict[str, Any], states: dict[str, Any]) -> None:
        """Tensors and plain values alone, so that reading needs no pickled code."""
        plain = {"optimizer": _plain(states["optimizer"], "optimizer")}
        torch.save({"meta": _plain(meta, "run"), "states": states | plain}, file)

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        ours = "coursekit.port.Trainer"
        try:
            with ZipFile(path) as file:
                if file.testzip() is not None:  # torch.load does not ask
                    raise BadZipFile("checksum")
            content = read_tensors(path)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # a damaged file can raise nearly anything
            why = "a damaged file, or one of another kind"
            raise foreign(path, f"{why} ({type(error).__name__})", ours) from error
        rooms = {"net", "optimizer", "best", "scaler"}
        if not (
            isinstance(content, dict)
            and content.keys() == {"meta", "states"}
            and isinstance(content["meta"], dict)
            and isinstance(content["states"], dict)
            and content["states"].keys() >= rooms
        ):
            raise foreign(path, "no run in it", ours)
        return content["meta"], content["states"]

    def __repr__(self) -> str:
        return (
            f"Trainer({type(self.net).__name__} on {describe_device(self.device)}, "
            f"{self.precision}, batches of {self.batch_size}, epoch {self.epoch})"
        )


_AVERAGES = ("momentum_buffer", "square_avg", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "grad_avg")


def _heads(out: Any) -> list[torch.Tensor]:
    """The logits, and behind them a net's auxiliary ones."""
    parts = [part for part in out if part is not None] if isinstance(out, tuple) else [out]
    shapes = {tuple(part.shape) if isinstance(part, torch.Tensor) else None for part in parts}
    if len(shapes) != 1 or None in shapes:
        raise TypeError(
            f"net: got an output of type {type(out).__name__}; needed logits (N, C), or a tuple "
            "of logits and auxiliary logits of the same shape, as Inception and GoogLeNet give"
        )
    return parts


def _plain(value: Any, where: str) -> Any:
    """Values as ``torch.load(weights_only=True)`` can read them again, or ``TypeError``."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        made = {name: _plain(part, f"{where}.{name}") for name, part in value.items()}
        return type(value)(made) if isinstance(value, Counter) else made
    if isinstance(value, (list, tuple, set)) and not isinstance(value, torch.Size):
        parts = [_plain(part, where) for part in value]
        return type(value)(parts) if type(value) in (list, tuple, set) else parts
    if value is None or isinstance(value, _READABLE):
        return value
    raise TypeError(
        f"save: got a {type(value).__name__} in {where}; needed tensors, numbers, strings, and "
        "lists or dicts of those, which load() can read without running code"
    )


_READABLE = (torch.Tensor, bool, int, float, complex, str, bytes, torch.dtype, torch.Size)


def _check_sets(data: Any) -> None:
    """Raise for what a loader could not make batches of."""
    if not (hasattr(data, "train") and hasattr(data, "val")):
        raise TypeError(
            f"data: got {type(data).__name__}; needed something with train and val, each "
            "as loader takes it"
        )
    for name in ("train", "val"):
        split = getattr(data, name)
        if not hasattr(split, "__len__"):
            raise TypeError(
                f"data.{name}: got {type(split).__name__}, which has no length; needed one that "
                "has, as [] for no validation"
            )
    if not len(data.train):
        raise ValueError("data: got no training pictures; needed at least one")


def _check_torch(net: Any, optimizer: Any, criterion: Any) -> None:
    """Say at once what would fail deep inside a run."""
    for name, value, kind in (
        ("net", net, torch.nn.Module),
        ("optimizer", optimizer, torch.optim.Optimizer),
    ):
        if not isinstance(value, kind):
            came = f"{type(value).__module__}.{type(value).__name__}"
            raise TypeError(
                f"{name}: got {came}; needed a torch {kind.__name__} "
                f"(coursekit.port.to_torch{'' if name == 'net' else '_optimizer'} makes one)"
            )
    if "closure" in wanted_by(type(optimizer).step):  # of the class: schedules wrap the method
        raise TypeError(
            f"optimizer: got {type(optimizer).__name__}, whose step() wants closure; needed one "
            "whose step() wants nothing, as torch.optim.Adam"
        )
    if type(criterion).__module__.startswith("coursekit.nn"):
        raise TypeError(
            f"criterion: got coursekit.nn.{type(criterion).__name__}; needed "
            f"torch.nn.{type(criterion).__name__}"
        )
    if not callable(criterion):
        raise TypeError(f"criterion: got {type(criterion).__name__}; needed a loss to call")
    if (reduction := getattr(criterion, "reduction", "mean")) != "mean":
        raise ValueError(
            f"criterion: got one with reduction={reduction!r}; needed 'mean', the loss of a picture"
        )


def _mixed_precision(
    device: torch.device, precision: str
) -> tuple[torch.autocast, torch.amp.GradScaler]:
    """What computes with fewer bits, and what keeps small gradients of float16 from vanishing."""
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"precision: got {precision!r}; needed 'float32', 'bfloat16' or 'float16'")
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"precision: got 'bfloat16', which {describe_device(device)} cannot; needed 'float16'"
        )
    half = torch.float16 if precision == "float16" else torch.bfloat16
    autocast = torch.autocast(device.type, half, enabled=precision != "float32")
    return autocast, torch.amp.GradScaler(device.type, enabled=precision == "float16")
