"""What the benchmarks of PyTorch nets share: recipes of lessons 4 and 5, threads, the measuring."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import torch
from _accuracy import measure
from _common import write_result
from torch import nn

from coursekit import data, port
from coursekit.data import Split
from coursekit.data.augment import Compose

THREADS = joblib.cpu_count(only_physical_cores=True)


def train(
    net: nn.Module, ds: data.Dataset, epochs: int, optimizer: torch.optim.Optimizer, **options: Any
) -> port.Trainer:
    """Train with one cycle of the rate up to the optimiser's; on a CPU our kernels convolve.

    Runs side by side have fewer threads each: joblib sees to that.
    """
    torch.set_num_threads(min(THREADS, torch.get_num_threads()))
    torch.backends.cudnn.benchmark = True  # a GPU tries ways to convolve, and keeps the fastest
    port.with_own_kernels(net)
    steps = epochs * -(-len(ds.train) // options["batch_size"])
    rate = optimizer.param_groups[0]["lr"]
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, cycle_momentum=False
    )
    trainer = port.Trainer(net, ds, optimizer=optimizer, scheduler=cycle, **options)
    trainer.fit(epochs)
    return trainer


def all_pictures(source: str | None) -> data.Dataset:
    """Train on the validation pictures, too; the curves are those of 2,000 test pictures.

    For settings that were chosen on the validation pictures before.
    """
    ds = data.load(source)
    both = [(s.images, s.labels) for s in (ds.train, ds.val)]
    train = Split(*(np.concatenate(parts) for parts in zip(*both, strict=True)))
    return replace(ds, train=train, val=Split(ds.test.images[:2_000], ds.test.labels[:2_000]))


def measure_and_write(
    name: str,
    description: str,
    run: Callable[[data.Dataset, int, int], port.Trainer],
    model: str,
    **options: Any,
) -> None:
    """Measure a net as `_accuracy.measure` does, and write results/NAME.json with the device."""
    result = measure(name, description, run, model, threads=THREADS, **options)
    torch.set_num_threads(result["budget"]["threads"])  # what each run had, side by side or not
    device = port.describe_device(port.pick_device("auto"))
    write_result(name.format(epochs=result["budget"]["epochs"]), {"device": device, **result})


def flips_and_crops(epochs: int, sides: Sequence[int] = (32,)) -> Compose:
    """Flips, crops, and pictures of each of the sides for an equal part of the epochs.

    Crops reach further in a long run, which sees every picture often.
    """
    by_epoch = [sides[len(sides) * i // epochs] for i in range(epochs)]
    crop = port.RandomCrop(2 if epochs < 30 else 4)
    return Compose([port.AlternatingFlip(), crop, port.ProgressiveResize(by_epoch)])
