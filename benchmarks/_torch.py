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


def up_and_down(step: int, total: int, top: float = 0.23) -> float:
    """Factor on the rate: straight from 0.2 up to 1, then straight down to 0.07."""
    if step < top * total:
        return 0.2 + 0.8 * step / (top * total)
    return 1 - 0.93 * (step - top * total) / ((1 - top) * total)


def fast_biases(net: nn.Module, lr: float, decay: float, factor: float = 64) -> list[dict]:
    """Parameter groups in which batch norm's biases move faster, and its scales not at all."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.requires_grad_(False)
    biases = [norm.bias for norm in norms]
    fast = {id(p) for p in biases}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in fast]
    return [
        {"params": rest, "lr": lr, "weight_decay": decay},
        {"params": biases, "lr": factor * lr, "weight_decay": decay / factor},
    ]


def sides(epochs: int) -> list[int]:
    """Pixels a side for each epoch: three tenths at 20, three at 24, two at 28, two at 32."""
    return [(20, 20, 20, 24, 24, 24, 28, 28, 32, 32)[10 * i // epochs] for i in range(epochs)]
