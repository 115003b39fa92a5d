"""How fast are batch norm, layer norm and dropout, against PyTorch on the same threads?

Forward and backward of each layer in float32, at the size of a hidden layer, (128, 1024), and for
batch norm also at that of a feature map, (128, 64, 32, 32).

What is counted, on both sides, is the call as a training step makes it, from arrays to arrays:

- forward: training mode, with scale and shift, running statistics updated, everything kept that
  the backward needs. PyTorch records its graph, as all three inputs require a gradient.
- backward: from a given dout to the gradients of input, scale and shift; PyTorch's through
  ``torch.autograd.grad`` on a graph that is kept.

Outputs are new arrays on both sides. Their memory comes from NumPy's allocator here and from
PyTorch's there; at (128, 64, 32, 32), 34 MB, fetching it from the operating system is a good part
of PyTorch's time.

PyTorch and the compiled kernels each have a pool of threads, whose idle threads spin for a while:
contestants run in blocks, and the first call of a block is not counted. NumPy has one thread.

The last line is the mean over all rows "both". Dropout, where PyTorch draws its mask slowly, pulls
it down, so the line before gives the mean without it, and the worst of all rows.

    python benchmarks/norm.py
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import medians_ms, print_table, write_result
from numpy.typing import NDArray

from coursekit import functional as F
from coursekit import kernels

HIDDEN, FEATURE_MAP = (128, 1024), (128, 64, 32, 32)
CASES = [
    ("batch norm", HIDDEN),
    ("batch norm", FEATURE_MAP),
    ("layer norm", HIDDEN),
    ("dropout", HIDDEN),
]
BACKENDS = ["cython", "numpy"]
P = 0.5
Run = Callable[[], object]


def arrays(shape: tuple[int, ...]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x, dout, weight and bias."""
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((2, *shape), np.float32)
    weight, bias = rng.standard_normal((2, shape[1]), np.float32)
    return x, dout, weight, bias


def ours(layer: str, shape: tuple[int, ...]) -> tuple[Run, Run]:
    """Forward and backward of ``coursekit.functional``."""
    x, dout, weight, bias = arrays(shape)
    if layer == "batch norm":
        mean, var = np.zeros_like(weight), np.ones_like(weight)

        def forward() -> tuple:
            return F.batch_norm_forward(x, weight, bias, mean, var, training=True)

        cache = forward()[1]
        return forward, lambda: F.batch_norm_backward(dout, cache)
    if layer == "layer norm":
        _, kept = F.layer_norm_forward(x, weight, bias)
        return (
            lambda: F.layer_norm_forward(x, weight, bias),
            lambda: F.layer_norm_backward(dout, kept),
        )
    rng = np.random.default_rng(0)
    _, mask = F.dropout_forward(x, P, training=True, rng=rng)
    return (
        lambda: F.dropout_forward(x, P, training=True, rng=rng),
        lambda: F.dropout_backward(dout, mask),
    )


def torchs(layer: str, shape: tuple[int, ...]) -> tuple[Run, Run]:
    """Forward and backward of ``torch.nn.functional``."""
    import torch
    from torch.nn import functional

    x, dout, weight, bias = map(torch.from_numpy, arrays(shape))
    inputs = (x,) if layer == "dropout" else (x, weight, bias)
    for tensor in inputs:
        tensor.requires_grad_()
    mean, var = torch.zeros(shape[1]), torch.ones(shape[1])

    def forward() -> torch.Tensor:
        if layer == "batch norm":
            return functional.batch_norm(x, mean, var, weight, bias, training=True)
        if layer == "layer norm":
            return functional.layer_norm(x, shape[1:], weight, bias)
        return functional.dropout(x, P)

    out = forward()
    return forward, lambda: torch.autograd.grad(out, inputs, dout, retain_graph=True)


def on(name: str, run: Run) -> Run:
    """``run`` with the kernels of the backend of that name."""

    def switched() -> None:
        with kernels.use(name):
            run()

    return switched


def times(layer: str, shape: tuple[int, ...], threads: int) -> list[dict[str, Any]]:
    """One row for forward, one for backward: milliseconds of each contestant, and ratios."""
    import torch

    torch.set_num_threads(threads)
    kernels.set_num_threads(threads)
    contestants: dict[str, tuple[Run, Run]] = {"torch": torchs(layer, shape)}
    for name in BACKENDS:
        forward, backward = ours(layer, shape)
        contestants[name] = on(name, forward), on(name, backward)
    small = math.prod(shape) < 1_000_000
    settings = {"rounds": 31, "calls": 15} if small else {"rounds": 7, "calls": 3}
    ms = [
        medians_ms({name: runs[i] for name, runs in contestants.items()}, **settings)
        for i in range(2)
    ]
    ms.append({name: ms[0][name] + ms[1][name] for name in contestants})
    label = "x".join(map(str, shape))
    return [
        {"layer": layer, "shape": label, "threads": threads, "pass": which}
        | {f"{name} ms": row[name] for name in (*BACKENDS, "torch")}
        | {f"{name} / torch": row[name] / row["torch"] for name in BACKENDS}
        for which, row in zip(("forward", "backward", "both"), ms, strict=True)
    ]


def geometric_mean(rows: list[dict[str, Any]]) -> float:
    """Geometric mean of the compiled kernels' time over PyTorch's."""
    return math.exp(sum(math.log(row["cython / torch"]) for row in rows) / len(rows))


def main() -> None:
    """Measure, print the table, write the JSON file."""
    try:
        rows = [
            row for threads in (1, 2) for case in CASES for row in times(*case, threads=threads)
        ]
    finally:
        kernels.set_num_threads(1)
    print_table(rows)
    both = [row for row in rows if row["pass"] == "both"]
    mean = geometric_mean(both)
    without = geometric_mean([row for row in both if row["layer"] != "dropout"])
    worst = max(row["cython / torch"] for row in rows)
    summary = {"geometric mean": mean, "without dropout": without, "worst row": worst}
    write_result("norm", {"dropout p": P, **summary, "rows": rows})
    print(f"without dropout: {without:.2f}; worst of all rows: {worst:.2f}")
    print(f"geometric mean, forward + backward, cython / torch: {mean:.2f}")


if __name__ == "__main__":
    main()
