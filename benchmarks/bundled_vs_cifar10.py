"""Does the bundled set teach what CIFAR-10 teaches, with as many pictures?

``python benchmarks/bundled_vs_cifar10.py --cifar10 FOLDER`` trains the same four nets on both, with
and without flips and crops, over several seeds, and writes results/bundled_vs_cifar10.json.
Without a folder (``COURSEKIT_DATA`` may name one too) only the bundled set is measured. The two
fully connected nets are this package's; the two convolutional ones need torch.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from _common import print_table, write_result
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from torch import nn as tnn
from torch.nn import functional as F

from coursekit import data, nn, optim, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

TRAIN_SIZE = 10_000
BATCH_SIZE = 128
AUGMENT = Compose([RandomHorizontalFlip(), RandomCrop(padding=4)])
# net: epochs, peak learning rate of one cycle
BUDGETS = {
    "linear": (15, 0.003),
    "two-layer": (15, 0.02),
    "small CNN": (12, 0.05),
    "residual net": (12, 0.2),
}
SGD = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
Predict = Callable[[np.ndarray], np.ndarray]


def fully_connected(name: str, ds: data.Dataset, augment, seed: int) -> Predict:
    """Train one of this package's nets."""
    epochs, lr = BUDGETS[name]
    net = nn.mlp([3072, 10] if name == "linear" else [3072, 512, 10], seed=seed)
    optimizer = optim.SGD(net.parameters(), lr=lr, **SGD)
    steps = epochs * -(-len(ds.train) // BATCH_SIZE)
    scheduler = optim.OneCycleLR(optimizer, lr, steps, cycle_momentum=False)
    trainer = training.Trainer(
        net,
        ds,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        scheduler=scheduler,
        batch_size=BATCH_SIZE,
        augment=augment,
        seed=seed,
        progress=False,
    )
    trainer.fit(epochs)
    return lambda images: net(ds.normalize(images)).argmax(axis=1)


def convolutional(name: str, ds: data.Dataset, augment, seed: int) -> Predict:
    """Train one of the torch nets."""
    torch.manual_seed(seed)
    epochs, lr = BUDGETS[name]
    net = small_cnn() if name == "small CNN" else residual_net()
    net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, **SGD)
    steps = epochs * -(-len(ds.train) // BATCH_SIZE)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, cycle_momentum=False)
    for epoch in range(epochs):
        net.train()
        rng = np.random.default_rng([seed, epoch])
        for x, y in ds.batches(ds.train, BATCH_SIZE, rng=rng, augment=augment):
            loss = F.cross_entropy(net(_channels_last(x)), torch.from_numpy(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    net.eval()

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        return net(_channels_last(ds.normalize(images))).argmax(1).numpy()

    return predict


def _channels_last(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)


def small_cnn() -> tnn.Sequential:
    """Two convolutions, two fully connected layers, as in many a first lesson: 0.55 M weights."""
    return tnn.Sequential(
        *(tnn.Conv2d(3, 32, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Conv2d(32, 64, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Flatten(), tnn.Linear(64 * 8 * 8, 128), tnn.ReLU(), tnn.Linear(128, 10)),
    )


class Residual(tnn.Module):
    """Two 3x3 convolutions beside a 1x1 shortcut."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.branch = tnn.Sequential(*_conv(i, o, 3), tnn.ReLU(), *_conv(o, o, 3))
        self.shortcut = tnn.Sequential(*_conv(i, o, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, i, H, W) -> (N, o, H, W)."""
        return F.relu(self.branch(x) + self.shortcut(x))


def _conv(i: int, o: int, size: int) -> tuple[tnn.Module, tnn.Module]:
    return tnn.Conv2d(i, o, size, padding=size // 2, bias=False), tnn.BatchNorm2d(o)


def residual_net() -> tnn.Sequential:
    """Three residual blocks, 8 layers deep, 0.3 M weights: slight enough for two cores."""
    return tnn.Sequential(
        *(*_conv(3, 16, 3), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(Residual(16, 32), tnn.MaxPool2d(2), Residual(32, 64), tnn.MaxPool2d(2)),
        *(Residual(64, 128), tnn.AdaptiveAvgPool2d(1), tnn.Flatten(), tnn.Linear(128, 10)),
    )


def accuracy(predict: Predict, split: data.Split) -> float:
    """Percent right, in pieces that fit in memory."""
    right = sum(
        int((predict(split.images[i : i + 500]) == split.labels[i : i + 500]).sum())
        for i in range(0, len(split), 500)
    )
    return 100 * right / len(split)


def nearest_neighbour(ds: data.Dataset) -> Predict:
    """The label of the train picture at the smallest distance, pixel by pixel."""
    train = ds.normalize(ds.train.images).reshape(len(ds.train), -1)
    norms = (train * train).sum(axis=1)
    return lambda images: ds.train.labels[
        (norms - 2 * ds.normalize(images).reshape(len(images), -1) @ train.T).argmin(axis=1)
    ]


def measure(name: str, augment, ds: data.Dataset, seeds: int) -> dict[str, object]:
    """Train `seeds` times on one thread; return percents right and seconds."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        return _measure(name, augment, ds, seeds)


def _measure(name: str, augment, ds: data.Dataset, seeds: int) -> dict[str, object]:
    train_net = fully_connected if name in ("linear", "two-layer") else convolutional
    test, train, started = [], [], time.perf_counter()
    for seed in range(seeds):
        predict = train_net(name, ds, augment, seed)
        test.append(accuracy(predict, ds.test))
        train.append(accuracy(predict, ds.train))
    return {
        "test": [round(a, 2) for a in test],
        "test_mean": round(float(np.mean(test)), 2),
        "test_sd": round(float(np.std(test, ddof=1)), 2) if seeds > 1 else 0.0,
        "train_mean": round(float(np.mean(train)), 2),
        "seconds_per_run": round((time.perf_counter() - started) / seeds, 1),
    }


def main() -> None:
    """Measure every net on every set, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", default=os.environ.get("COURSEKIT_DATA"), metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=-1, help="at a time, a thread each; -1: cores")
    args = parser.parse_args()
    sets = {"bundled": data.load("bundled", val_size=0)}
    if args.cifar10 not in (None, "auto", "bundled"):
        sets["CIFAR-10"] = data.load(args.cifar10, val_size=0, train_size=TRAIN_SIZE)

    neighbours = {s: round(accuracy(nearest_neighbour(ds), ds.test), 2) for s, ds in sets.items()}
    # Largest nets first, so that no core is left with one of them at the end.
    arms = [(name, flips, s) for name in BUDGETS for flips in (False, True) for s in sets][::-1]
    jobs = (
        delayed(measure)(name, AUGMENT if flips else None, sets[s], args.seeds)
        for name, flips, s in arms
    )
    found = {}
    for arm, result in zip(arms, Parallel(args.jobs, return_as="generator")(jobs), strict=True):
        found[arm] = result
        print(*arm, result, flush=True)  # it takes a while
    runs, table = [], []
    for name, (epochs, lr) in BUDGETS.items():
        for flips in (False, True):
            both = {s: found[name, flips, s] for s in sets}
            runs.append({"net": name, "augment": flips, "epochs": epochs, "lr": lr, **both})
            row = {"net": name, "flips, crops": "yes" if flips else "no"}
            for s, r in both.items():
                row[f"{s} test %"] = f"{r['test_mean']:.1f} ± {r['test_sd']:.1f}"
                row[f"{s} train %"] = f"{r['train_mean']:.1f}"
            table.append(row)
    print_table(table)
    print("nearest neighbour, test %:", neighbours)
    write_result(
        "bundled_vs_cifar10",
        {
            "train_pictures": TRAIN_SIZE,
            "test_pictures": {s: len(ds.test) for s, ds in sets.items()},
            "batch_size": BATCH_SIZE,
            "augmentation": "horizontal flips, crops with 4 pixels of padding",
            "threads_per_run": 1,
            "seeds": args.seeds,
            "nearest_neighbour_test": neighbours,
            "runs": runs,
        },
    )


if __name__ == "__main__":
    main()
