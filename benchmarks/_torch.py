"""What the benchmarks of PyTorch nets share: recipes of lessons 4 and 5, and the threads."""

from typing import Any

import joblib
import torch
from torch import nn

from coursekit import data, port

THREADS = joblib.cpu_count(only_physical_cores=True)


def train(
    net: nn.Module, ds: data.Dataset, epochs: int, optimizer: torch.optim.Optimizer, **options: Any
) -> port.Trainer:
    """Train with one cycle of the rate up to the optimiser's; on a CPU our kernels convolve."""
    torch.set_num_threads(THREADS)
    port.with_own_kernels(net)
    steps = epochs * -(-len(ds.train) // options["batch_size"])
    rate = optimizer.param_groups[0]["lr"]
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, cycle_momentum=False
    )
    trainer = port.Trainer(net, ds, optimizer=optimizer, scheduler=cycle, **options)
    trainer.fit(epochs)
    return trainer


def sides(epochs: int) -> list[int]:
    """Pixels a side for each epoch: four tenths at 24, three at 28, three at 32."""
    return [(24, 24, 24, 24, 28, 28, 28, 32, 32, 32)[10 * i // epochs] for i in range(epochs)]
