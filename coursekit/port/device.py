"""Where a net runs: which device to take, its name, and what to say when its memory is full."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from coursekit.port import distributed

# What PyTorch writes when memory runs out, on GPUs and on the CPU.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device to train on, after checking that it is there.

    Args:
        name: "auto" takes a CUDA GPU (under ``torchrun`` each process its own), else Apple's MPS,
            else the CPU; or "cpu", "cuda", "cuda:1", "mps", "xpu".

    Raises:
        ValueError: no such device on this machine; says why, and what there is.
    """
    there = _devices()
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "xpu", "cpu") if there.get(kind))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device: got {name!r}; needed 'auto' or one of {_listed(there)}"
        ) from error
    index = device.index or 0
    if index >= there.get(device.type, 0):
        raise ValueError(
            f"device: got {str(name)!r}, but {_why_missing(device, there)}; here there is "
            f"{_listed(there)}, and 'auto' takes the best"
        )
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", distributed.local_rank() % there["cuda"])
    return device


def _devices() -> dict[str, int]:
    """How many there are of each kind."""
    return {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count() if torch.xpu.is_available() else 0,
    }


def _listed(there: dict[str, int]) -> str:
    return ", ".join(
        f"'{kind}'" if count == 1 else f"'{kind}:0' to '{kind}:{count - 1}'"
        for kind, count in there.items()
        if count
    )


def _why_missing(device: torch.device, there: dict[str, int]) -> str:
    if there.get(device.type):
        return f"this machine has only {there[device.type]} of that kind"
    if device.type == "cuda" and torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} was built without CUDA"
    return f"PyTorch {torch.__version__} sees no {device.type} device"


def describe_device(device: torch.device | str) -> str:
    """One line for a table or a plot: "NVIDIA A100-SXM4-40GB, 39 GiB" or "CPU, 2 threads"."""
    device = torch.device(device)
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' if threads != 1 else ''}"
    return "Apple GPU (MPS)" if device.type == "mps" else f"{device.type} device"


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done all it was given; before and after anything that is timed."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


@contextmanager
def explain_out_of_memory(device: torch.device, doing: str, advice: str) -> Iterator[None]:
    """Turn PyTorch's page-long report into one ``MemoryError`` that says what to try."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _OUT_OF_MEMORY):
            raise
        raise MemoryError(f"{describe_device(device)}: out of memory {doing}; {advice}") from error
