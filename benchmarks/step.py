"""How long does a training step take, against PyTorch in eager mode on the same threads?

A step is what a training loop does with a batch: forward, loss, backward, and the update of all
weights by SGD with Nesterov momentum and weight decay. Two nets of lesson 3, on batches of 256
pictures in float32: the three-layer one, and the deep one that the lesson trains best, behind its
whitening convolution. ``port.to_torch`` hands the same net to PyTorch, which is timed channels
first and channels last; the faster counts.

Each library has a process of its own, so that no pool of threads spins beside another; they take
turns, and each is judged by its median.

    python benchmarks/step.py
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context

import cnn_best
import numpy as np
from _common import print_table, write_result

import coursekit
from coursekit import data, nn, optim

THREADS = 2
BATCH_SIZE = 256
ROUNDS, CALLS = 7, 4
CONTESTANTS = {"coursekit": None, "channels first": False, "channels last": True}
NETS: dict[str, Callable[[data.Dataset], nn.Module]] = {
    "ThreeLayerConvNet": lambda _: nn.ThreeLayerConvNet(hidden_size=500),
    "DeepConvNet": lambda ds: cnn_best.whitened_net(ds, seed=0),
}
SGD = {"lr": 1e-3, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}


# --- in the contestant's own process --------------------------------------------------------------


def our_step(net: nn.Module, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """A step of the from-scratch net."""
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(net.parameters(), **SGD)

    def step() -> None:
        optimizer.zero_grad()
        criterion(net(x), y)
        net.backward(criterion.backward(), need_dx=False)
        optimizer.step()

    return step


def torch_step(
    net: nn.Module, x: np.ndarray, y: np.ndarray, *, channels_last: bool
) -> Callable[[], None]:
    """A step of the same net in PyTorch."""
    import torch

    from coursekit import port

    order = torch.channels_last if channels_last else torch.contiguous_format
    module = port.to_torch(net).to(memory_format=order)
    images, labels = torch.from_numpy(x).contiguous(memory_format=order), torch.from_numpy(y)
    learnt = [p for p in module.parameters() if p.requires_grad]
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(learnt, **SGD)

    def step() -> None:
        optimizer.zero_grad()
        criterion(module(images), labels).backward()
        optimizer.step()

    return step


def start(library: str) -> None:
    """Give the threads to whoever computes in this process."""
    if library == "coursekit":
        coursekit.set_num_threads(THREADS)
    else:
        import torch

        torch.set_num_threads(THREADS)


def seconds(name: str, channels_last: bool | None) -> list[float]:
    """Times of some steps in a row; the first two are not counted."""
    ds = data.load("bundled")
    x, y = ds.normalize(ds.train.images[:BATCH_SIZE]), ds.train.labels[:BATCH_SIZE]
    net = NETS[name](ds).train()
    ours = channels_last is None
    step = our_step(net, x, y) if ours else torch_step(net, x, y, channels_last=channels_last)
    times = []
    for _ in range(2 + CALLS):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return times[2:]


# --- in the main process --------------------------------------------------------------------------


def medians(pools: dict[str, ProcessPoolExecutor], name: str) -> dict[str, float]:
    """Milliseconds a step of each contestant, who take turns."""
    times: dict[str, list[float]] = {who: [] for who in CONTESTANTS}
    for _ in range(ROUNDS):
        for who, order in CONTESTANTS.items():
            pool = pools["coursekit" if order is None else "torch"]
            times[who] += pool.submit(seconds, name, order).result()
    return {who: 1e3 * statistics.median(t) for who, t in times.items()}


def main() -> None:
    """Measure, print the table, write the JSON file."""
    with ExitStack() as stack:
        pools = {
            library: stack.enter_context(
                ProcessPoolExecutor(1, get_context("spawn"), start, (library,))
            )
            for library in ("coursekit", "torch")
        }
        rows = []
        for name in NETS:
            ms = medians(pools, name)
            ratio = ms["coursekit"] / min(ms["channels first"], ms["channels last"])
            torchs = {f"torch {who} ms": t for who, t in ms.items() if who != "coursekit"}
            rows.append(
                {"net": name, "coursekit ms": ms["coursekit"], **torchs, "coursekit / torch": ratio}
            )
    print_table(rows)
    worst = max(row["coursekit / torch"] for row in rows)
    write_result("step", {"threads": THREADS, "batch_size": BATCH_SIZE, "rows": rows})
    print(f"time per step, coursekit / torch: {worst:.2f}")


if __name__ == "__main__":
    main()
