"""How fast is one optimiser step over 3.7 million parameters, and on how many threads?

Question 1: the fused step against ``torch.optim`` (its three implementations) and against NumPy,
on the parameters of a 3072-1024-512-10 net in float32, with one and with two threads.

Question 2: in a training loop the step takes turns with matrix products. With the BLAS on one or
on two threads, is a second thread for the step a gain or a loss? The answer is the default of
``coursekit.kernels.set_num_threads``.

    python benchmarks/optimizer_step.py
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from _common import medians_ms, print_table, write_result
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from coursekit import kernels
from coursekit.kernels import numpy_backend

SHAPES = [(1024, 3072), (1024,), (512, 1024), (512,), (10, 512), (10,)]
SGD = {"lr": 1e-6, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
ADAM = {"lr": 1e-6, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
BATCH = 128


def arrays(count: int) -> list[list[NDArray[np.float32]]]:
    """``count`` sets of arrays of the net's shapes."""
    rng = np.random.default_rng(0)
    return [[rng.random(shape, dtype=np.float32) for shape in SHAPES] for _ in range(count)]


def fused(rule: str, sgd_step: Callable, adam_step: Callable) -> Callable[[], None]:
    """One step of ``rule`` over all parameters with the given kernels."""
    w, g, m, v = arrays(4)
    if rule == "sgd":
        return lambda: [sgd_step(*each, **SGD) for each in zip(w, g, v, strict=True)]
    adam = partial(adam_step, step=10, decoupled=False, **ADAM)
    return lambda: [adam(*each) for each in zip(w, g, m, v, strict=True)]


def textbook(rule: str) -> Callable[[], None]:
    """The same in NumPy as a textbook writes it, whole arrays at a time."""
    w, g, m, v = arrays(4)

    def sgd() -> None:
        for i in range(len(w)):
            grad = g[i] + SGD["weight_decay"] * w[i]
            v[i] = SGD["momentum"] * v[i] + grad
            w[i] -= SGD["lr"] * (grad + SGD["momentum"] * v[i])

    def adam() -> None:
        for i in range(len(w)):
            m[i] = ADAM["beta1"] * m[i] + (1 - ADAM["beta1"]) * g[i]
            v[i] = ADAM["beta2"] * v[i] + (1 - ADAM["beta2"]) * g[i] ** 2
            m_hat, v_hat = m[i] / (1 - ADAM["beta1"] ** 10), v[i] / (1 - ADAM["beta2"] ** 10)
            w[i] -= ADAM["lr"] * m_hat / (np.sqrt(v_hat) + ADAM["eps"])

    return sgd if rule == "sgd" else adam


def torch_step(rule: str, **implementation: bool) -> Callable[[], object]:
    """One step of ``torch.optim``; ``foreach=True`` or ``fused=True`` picks how it is done."""
    import torch

    w, g = arrays(2)
    params = [torch.nn.Parameter(torch.from_numpy(each)) for each in w]
    for param, grad in zip(params, g, strict=True):
        param.grad = torch.from_numpy(grad)
    if rule == "sgd":
        return torch.optim.SGD(params, **SGD, **implementation).step
    betas = (ADAM["beta1"], ADAM["beta2"])
    return torch.optim.Adam(params, lr=ADAM["lr"], betas=betas, **implementation).step


def alone(rule: str, threads: int) -> dict[str, float]:
    """Milliseconds a step, all contestants on ``threads`` threads (NumPy has only one)."""
    contestants = {
        f"coursekit ({kernels.info().backend})": fused(rule, kernels.sgd_step, kernels.adam_step),
        "coursekit (numpy)": fused(rule, numpy_backend.sgd_step, numpy_backend.adam_step),
        "NumPy, textbook": textbook(rule),
    }
    try:
        import torch
    except ImportError:
        print("torch is not installed: compared with NumPy only")
    else:
        torch.set_num_threads(threads)
        contestants |= {
            "torch, default": torch_step(rule),
            "torch, foreach": torch_step(rule, foreach=True),
            "torch, fused": torch_step(rule, fused=True),
        }
    kernels.set_num_threads(threads)
    try:
        return medians_ms(contestants)
    finally:
        kernels.set_num_threads(1)


def training_loop(blas_threads: int, step_threads: int) -> float:
    """Milliseconds of a training step: the products of the first layer, then the update."""
    step = fused("sgd", kernels.sgd_step, kernels.adam_step)
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, 3072), dtype=np.float32)
    w = rng.random((1024, 3072), dtype=np.float32)
    dout = rng.random((BATCH, 1024), dtype=np.float32)

    def train() -> None:
        x @ w.T
        dout.T @ x
        dout @ w
        step()

    kernels.set_num_threads(step_threads)
    try:
        with threadpool_limits(blas_threads, user_api="blas"):
            return medians_ms({"train": train}, rounds=25, calls=5)["train"]
    finally:
        kernels.set_num_threads(1)


def main() -> None:
    """Run both questions, print the tables, write the JSON file."""
    rows = []
    for rule in ("sgd", "adam"):
        for threads in (1, 2):
            times = alone(rule, threads)
            ours = next(iter(times.values()))
            rows += [
                {"rule": rule, "threads": threads, "who": who, "ms": ms, "times ours": ms / ours}
                for who, ms in times.items()
            ]
    print_table(rows)
    loop = [
        {"BLAS threads": blas, "step threads": step, "ms": training_loop(blas, step)}
        for blas in (1, 2)
        for step in (1, 2)
    ]
    print("\nthree products of 128 x 3072 x 1024, then the SGD step")
    print_table(loop)
    parameters = sum(int(np.prod(shape)) for shape in SHAPES)
    write_result("optimizer_step", {"parameters": parameters, "alone": rows, "loop": loop})


if __name__ == "__main__":
    main()
