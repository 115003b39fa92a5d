"""How fast are convolution, pooling and spatial batch norm, against PyTorch on the same threads?

Forward and backward of each layer in float32 on two threads: seven convolutions, from the first
layer of a small net to the last of a deep one, max pooling, and batch norm over (64, 64, 32, 32).

What is counted, on both sides, is the call from arrays to arrays, new outputs included:

- forward: of batch norm in training mode, with scale and shift and running statistics.
- backward: from a given dout to the gradients of input, weight and bias.

PyTorch's operators are called without its autograd. It is timed with channels first and channels
last, and the faster of the two counts. Ours is timed in both as well, x and dout alike, and the
time includes turning the one into the other. The summary is of channels first: what plain NumPy
arrays are, and the slower of the two. Layers of a net hand each other channels last.

Every contestant sits in a process of its own, so that no two pools of threads spin side by side,
and they take turns, round after round. The NumPy backend leaves its threads to the BLAS. The loops
would take an hour: they get one picture of 4 x 4 pixels, and a table of their own.

GFLOP/s count two operations for each weight that meets a pixel. Winograd's way, which the compiled
3 x 3 kernels take, does with fewer, so that "of peak" can be more than 100 %. The peak is the
fastest float32 matrix product, 2048 x 2048, of PyTorch and NumPy on as many threads.

    python benchmarks/conv.py
"""

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from _common import print_table, write_result
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import coursekit
from coursekit import functional as F
from coursekit import kernels

THREADS = 2
ROUNDS, CALLS = 5, 5


class Case(NamedTuple):
    """One layer on one shape."""

    layer: str
    shape: tuple[int, int, int, int]
    filters: int = 0
    kernel: int = 0
    stride: int = 1
    padding: int = 0

    def __str__(self) -> str:
        form = f"{self.layer} {self.kernel}x{self.kernel}" if self.kernel else self.layer
        return form + (f"/{self.stride}" if self.stride > 1 else "")

    def out_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output."""
        n, c, *size = self.shape
        if not self.kernel:
            return self.shape
        h, w = ((s + 2 * self.padding - self.kernel) // self.stride + 1 for s in size)
        return n, self.filters or c, h, w

    def flops(self) -> int:
        """Floating-point operations of a forward pass, 0 where they are not what takes the time."""
        return 2 * math.prod(self.out_shape()) * self.shape[1] * self.kernel**2 * bool(self.filters)


CONVOLUTIONS = [
    Case("conv", (100, 3, 31, 31), 25, 3, stride=2),
    Case("conv", (50, 3, 32, 32), 32, 7, padding=3),
    Case("conv", (64, 3, 32, 32), 64, 3, padding=1),
    Case("conv", (64, 64, 32, 32), 64, 3, padding=1),
    Case("conv", (64, 64, 16, 16), 128, 3, padding=1),
    Case("conv", (64, 128, 8, 8), 256, 3, padding=1),
    Case("conv", (128, 32, 32, 32), 64, 3, padding=1),
]
OTHERS = [
    Case("max pool", (64, 64, 32, 32), 0, 2, stride=2),
    Case("max pool", (64, 64, 32, 32), 0, 3, stride=2),
    Case("batch norm", (64, 64, 32, 32)),
]
CASES = CONVOLUTIONS + OTHERS
FIRST, LAST = "channels first", "channels last"
ORDERS = {"torch": (FIRST, LAST), "cython": (FIRST, LAST), "numpy": (FIRST,)}
Run = Callable[[], object]


# --- in the contestant's own process --------------------------------------------------------------


def arrays(case: Case) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x, dout, weight and bias."""
    rng = np.random.default_rng(0)
    channels = case.shape[1]
    weight = (case.filters, channels, case.kernel, case.kernel) if case.filters else (channels,)
    shapes = case.shape, case.out_shape(), weight, weight[:1]
    x, dout, w, b = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, dout, w, b


def ours(case: Case, order: str) -> tuple[Run, Run]:
    """Forward and backward of ``coursekit.functional``."""
    x, dout, weight, bias = arrays(case)
    if order == LAST:
        x, dout = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, dout))
        x, dout = (a.transpose(0, 3, 1, 2) for a in (x, dout))
    size = case.kernel, case.stride, case.padding
    if case.layer == "conv":
        cache = F.conv2d_forward(x, weight, bias, *size[1:])[1]
        return (
            lambda: F.conv2d_forward(x, weight, bias, *size[1:]),
            lambda: F.conv2d_backward(dout, cache),
        )
    if case.layer == "max pool":
        kept = F.max_pool2d_forward(x, *size)[1]
        return lambda: F.max_pool2d_forward(x, *size), lambda: F.max_pool2d_backward(dout, kept)
    mean, var = np.zeros_like(weight), np.ones_like(weight)

    def forward() -> tuple:
        return F.batch_norm_forward(x, weight, bias, mean, var, training=True)

    stats = forward()[1]
    return forward, lambda: F.batch_norm_backward(dout, stats)


def torchs(case: Case, order: str) -> tuple[Run, Run]:
    """Forward and backward of PyTorch's operators."""
    import torch

    def tensor(array: NDArray) -> torch.Tensor:
        t = torch.from_numpy(array)
        return t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 and last else t

    last = order == LAST
    op = torch.ops.aten
    x, dout, weight, bias = map(tensor, arrays(case))
    kernel, stride, padding = ([n] * 2 for n in (case.kernel, case.stride, case.padding))
    if case.layer == "conv":
        shape = stride, padding, [1, 1], False, [0, 0], 1
        return (
            lambda: op.convolution(x, weight, bias, *shape),
            lambda: op.convolution_backward(dout, x, weight, [len(bias)], *shape, [True] * 3),
        )
    if case.layer == "max pool":
        pool = kernel, stride, padding, [1, 1], False
        index = op.max_pool2d_with_indices(x, *pool)[1]
        return (
            lambda: op.max_pool2d_with_indices(x, *pool),
            lambda: op.max_pool2d_with_indices_backward(dout, x, *pool, index),
        )
    mean, var = torch.zeros_like(bias), torch.ones_like(bias)

    def forward() -> tuple:
        return op.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5)

    stats = forward()[1:]
    return forward, lambda: op.native_batch_norm_backward(
        dout, x, weight, mean, var, *stats, True, 1e-5, [True] * 3
    )


def start(library: str) -> None:
    """Give the threads to whoever computes in this process."""
    if library == "torch":
        import torch

        torch.set_num_threads(THREADS)
        torch.set_grad_enabled(False)
    elif library == "cython":
        coursekit.set_num_threads(THREADS)
    else:
        threadpool_limits(THREADS, user_api="blas")


def seconds(case: Case, library: str, order: str, calls: int) -> list[list[float]]:
    """Times of calls of forward, and of backward; a first one is not counted."""
    times: list[list[float]] = []
    with nullcontext() if library == "torch" else kernels.use(library):
        for run in (torchs if library == "torch" else ours)(case, order):
            run()
            times.append([])
            for _ in range(calls):
                begin = time.perf_counter()
                run()
                times[-1].append(time.perf_counter() - begin)
    return times


def product_gflops(library: str) -> float:
    """Speed of the best of some matrix products."""
    n = 2048
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    if library == "torch":
        import torch

        a = torch.from_numpy(a)
    times = []
    for _ in range(1 + CALLS):
        begin = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begin)
    return 2e-9 * n**3 / min(times)


# --- in the main process --------------------------------------------------------------------------


def medians(
    pools: dict[str, ProcessPoolExecutor], case: Case
) -> dict[tuple[str, str], list[float]]:
    """Milliseconds forward and backward of each library and order; they take turns."""
    times: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(ROUNDS):
        for library, orders in ORDERS.items():
            for order in orders:
                new = pools[library].submit(seconds, case, library, order, CALLS).result()
                kept = times.setdefault((library, order), [[], []])
                for passed, more in zip(kept, new, strict=True):
                    passed.extend(more)
    return {who: [1e3 * statistics.median(t) for t in both] for who, both in times.items()}


def rows(pools: dict[str, ProcessPoolExecutor], case: Case, peak: float) -> list[dict[str, Any]]:
    """One row for forward, one for backward, one for both."""
    ms = {who: [*both, sum(both)] for who, both in medians(pools, case).items()}
    passes = zip(("forward", "backward", "both"), (1, 2, 3), strict=True)
    return [
        _row(case, name, {who: t[i] for who, t in ms.items()}, share * case.flops(), peak)
        for i, (name, share) in enumerate(passes)
    ]


def _row(
    case: Case, name: str, ms: dict[tuple[str, str], float], flops: int, peak: float
) -> dict[str, Any]:
    torch_ms = min(ms["torch", order] for order in ORDERS["torch"])
    speed = 1e-6 * flops / ms["cython", FIRST]
    return {
        "layer": str(case),
        "shape": "x".join(map(str, case.shape)) + (f" to {case.filters}" if case.filters else ""),
        "pass": name,
        "cython ms": ms["cython", FIRST],
        "channels last ms": ms["cython", LAST],
        "numpy ms": ms["numpy", FIRST],
        "torch ms": torch_ms,
        "GFLOP/s": speed if flops else None,
        "of peak": speed / peak if flops else None,
        "torch GFLOP/s": 1e-6 * flops / torch_ms if flops else None,
        "cython / torch": ms["cython", FIRST] / torch_ms,
        "channels last / torch": ms["cython", LAST] / torch_ms,
    }


def loops(pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """The plain Python loops, on one small picture each."""
    table = []
    for case in CASES:
        small = case._replace(shape=(1, case.shape[1], 4, 4))
        forward, backward = (t[0] for t in pool.submit(seconds, small, "loops", FIRST, 1).result())
        table.append(
            {
                "loops": str(small),
                "shape": "x".join(map(str, small.shape)),
                "forward ms": 1e3 * forward,
                "backward ms": 1e3 * backward,
                "MFLOP/s": 3e-6 * small.flops() / (forward + backward) if small.flops() else None,
            }
        )
    return table


def geometric_mean(table: list[dict[str, Any]], column: str) -> float:
    """Geometric mean of a column of ratios."""
    return math.exp(statistics.fmean(math.log(row[column]) for row in table))


def main() -> None:
    """Measure, print the tables, write the JSON file."""
    with ExitStack() as stack:
        pools = {
            library: stack.enter_context(
                ProcessPoolExecutor(1, get_context("spawn"), start, (library,))
            )
            for library in ORDERS
        }
        peaks = {
            name: pools[name].submit(product_gflops, name).result() for name in ("torch", "numpy")
        }
        table = [row for case in CASES for row in rows(pools, case, max(peaks.values()))]
        slow = loops(pools["numpy"])
    print_table(table)
    print_table(slow)
    both = [row for row in table if row["pass"] == "both"]
    convolutions, others = both[: len(CONVOLUTIONS)], both[len(CONVOLUTIONS) :]
    first = geometric_mean(convolutions, "cython / torch")
    last = geometric_mean(convolutions, "channels last / torch")
    worst = max(row["cython / torch"] for row in convolutions)
    summary = {"geometric mean": first, "channels last": last, "worst": worst}
    write_result(
        "conv",
        {"threads": THREADS, "GFLOP/s of products": peaks, **summary, "rows": table, "loops": slow},
    )
    for row in others:
        ratios = row["channels last / torch"], row["cython / torch"]
        print("{}: {:.2f} channels last, {:.2f} channels first".format(row["layer"], *ratios))
    print(f"convolutions: {last:.2f} channels last, {worst:.2f} the worst channels first")
    print(f"geometric mean, forward + backward, cython / torch: {first:.2f}")


if __name__ == "__main__":
    main()
