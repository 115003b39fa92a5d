"""One training script on several GPUs or machines: ``torchrun`` starts it once for each.

    # train.py
    from coursekit import port

    with port.process_group():
        trainer = port.Trainer(net, data, optimizer=..., criterion=..., batch_size=512)
        trainer.fit(10)
        if port.is_main():
            port.save_weights(trainer.net, "net.pt")

``python train.py`` runs it in one process, ``torchrun --nproc_per_node=2 train.py`` in two that
share every batch: the same pictures in the same order, half of each batch to either, gradients
averaged by DistributedDataParallel. ``batch_size`` stays the size of the whole batch, so the
learning rate needs no other value. Batch norm sees its own process's part only, as always with
DistributedDataParallel; ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` changes that on GPUs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def process_group(backend: str | None = None) -> Iterator[None]:
    """Join the processes that ``torchrun`` started; alone, do nothing.

    Args:
        backend: None takes "nccl" where there is a GPU for each process of this machine, else
            "gloo".
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if backend is None:
        enough = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        backend = "nccl" if enough and dist.is_nccl_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(local_rank())
    dist.init_process_group(backend)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if _joined() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _joined() else 1


def local_rank() -> int:
    """This process's number on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _joined() else 0


def is_main() -> bool:
    """Whether this is the one process that shows bars and writes files."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if _joined():
        dist.barrier()


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Add up each process's ``values``, in place."""
    if _joined():
        dist.all_reduce(values)
    return values
