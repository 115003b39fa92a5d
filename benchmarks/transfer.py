"""How far do published nets get on CIFAR-10: heads alone, and trained as a whole?

ResNet18, VGG16-bn and Inception v3 with the weights of ImageNet, as lesson 6 uses its small ones:
``python benchmarks/transfer.py --data FOLDER`` fetches the weights (or finds them in torchvision's
cache) and, where there is a GPU, writes results/transfer.json, what was measured beside the bars.
``--dry-run`` goes the same way with random weights, few small pictures and one epoch, and writes
nothing: its accuracies mean nothing.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import print_table, write_result
from torch import nn

from coursekit import data, port
from coursekit.data.augment import Compose

BARS = {
    ("resnet18", "head"): 0.87,
    ("vgg16_bn", "head"): 0.86,
    ("inception_v3", "head"): 0.89,
    ("resnet18", "whole"): 0.96,
}
STRENGTHS = (1e-1, 1e0, 1e1, 1e2, 1e3)


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    names: tuple[str, ...] = ("resnet18", "vgg16_bn", "inception_v3")
    sizes: tuple[int, ...] = (32, 64, 128, 224)
    epochs: int = 8
    seeds: int = 3
    batch_size: int = 128
    published: bool = True

    def net(self, name: str) -> nn.Module:
        """A net with published weights, or with random ones."""
        return port.pretrained(name) if self.published else port.published(name).build()

    def sizes_of(self, name: str) -> list[int]:
        """Sides of pictures; Inception v3 needs 75 pixels, and was trained on 299."""
        if name != "inception_v3":
            return list(self.sizes)
        return [*sorted({max(96, size) for size in self.sizes if size < 224}), 299]


class Seen(nn.Module):
    """A net, and before it what turns a batch of the data set into pictures as it was taught."""

    def __init__(self, net: nn.Module, ds: data.Dataset, name: str, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size
        asked = port.published(name)
        for key, values in (
            ("mean", ds.mean), ("std", ds.std), ("own_mean", asked.mean), ("own_std", asked.std)
        ):  # fmt: skip
            shaped = torch.tensor(np.asarray(values), dtype=torch.float32)[:, None, None]
            self.register_buffer(key, shaped, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of pictures that are normalised as the data set's."""
        x = (x * self.std + self.mean - self.own_mean) / self.own_std
        side = (self.size, self.size)
        return self.net(nn.functional.interpolate(x, side, mode="bilinear", antialias=True))


def head(name: str, size: int, ds: data.Dataset, plan: Plan, folder: Path) -> dict[str, Any]:
    """A linear layer on features that are computed once; its strength is chosen in validation."""
    net, asked = plan.net(name).to(port.pick_device("auto")), port.published(name)
    splits = (ds.train, ds.val, ds.test)
    features = [
        port.cached_features(net, split.images, size, asked.mean, asked.std, folder=folder)
        for split in splits
    ]
    scale, classes = features[0].std(), len(ds.class_names)
    features = [part.astype(np.float64) / scale for part in features]

    def accuracy(probe: tuple, which: int) -> float:
        scores = features[which] @ probe[0].T + probe[1]
        return float((scores.argmax(axis=1) == splits[which].labels).mean())

    probes = [port.linear_probe(features[0], ds.train.labels, classes, s) for s in STRENGTHS]
    best = max(probes, key=lambda probe: accuracy(probe, 1))
    return {"net": name, "way": "head", "size": size, "test_accuracy": accuracy(best, 2)}


def _spend(
    net: nn.Module, ds: data.Dataset, epochs: int, groups: list[dict], seed: int, plan: Plan
) -> port.Trainer:
    """One cycle of the rate over ``epochs`` epochs."""
    rule = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        rule,
        [group["lr"] for group in rule.param_groups],
        total_steps=epochs * -(-len(ds.train) // plan.batch_size),
        cycle_momentum=False,
    )
    trainer = port.Trainer(
        net,
        ds,
        optimizer=rule,
        scheduler=cycle,
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=plan.batch_size,
        augment=Compose([port.AlternatingFlip(), port.RandomCrop(3)]),
        precision="bfloat16" if torch.cuda.is_available() else "float32",
        seed=seed,
        progress=plan.published,
    )
    trainer.fit(epochs)
    return trainer


def whole(
    name: str, way: str, size: int, ds: data.Dataset, plan: Plan, seed: int
) -> dict[str, Any]:
    """Everything learns: at once, or after its head and with a rate for each stage."""
    torch.manual_seed(seed)
    net: Any = plan.net(name)
    if name == "inception_v3":  # one loss for all three nets: the second head is left out
        net.aux_logits, net.AuxLogits = False, None
    port.replace_head(net, len(ds.class_names))
    seen, parts = Seen(net, ds, name, size), list(port.stages(net).values())
    first = 1 if way == "staged" else 0
    if first:
        port.freeze(net, port.head_of(net))
        learnt = [p for p in net.parameters() if p.requires_grad]
        _spend(seen, ds, first, [{"params": learnt, "lr": 0.05}], seed, plan)
        port.thaw(net)
    decay = 0.7 if first else 1.0
    groups = port.layerwise_rates([nn.ModuleList(part) for part in parts], 0.02, decay)
    trainer = _spend(seen, ds, plan.epochs - first, groups, seed, plan)
    accuracy = trainer.evaluate(ds.test)["accuracy"]
    return {"net": name, "way": way, "size": size, "seed": seed, "test_accuracy": accuracy}


def measure(ds: data.Dataset, plan: Plan) -> list[dict[str, Any]]:
    """All runs, one row each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in plan.names:
            sizes = plan.sizes_of(name)
            rows += [head(name, size, ds, plan, Path(folder)) for size in sizes]
            for way in ("whole", "staged"):
                rows += [whole(name, way, sizes[-1], ds, plan, seed) for seed in range(plan.seeds)]
    return rows


def against_bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was to be reached, at each net's largest size, and what was: the mean over seeds."""
    table = []
    for (name, way), bar in BARS.items():
        own = [row for row in rows if (row["net"], row["way"]) == (name, way)]
        if own:
            largest = max(row["size"] for row in own)
            reached = np.mean([row["test_accuracy"] for row in own if row["size"] == largest])
            told = {"net": name, "way": way, "size": largest, "bar": bar}
            table.append({**told, "test_accuracy": float(reached), "reached": bool(reached >= bar)})
    return table


def tiny(ds: data.Dataset) -> data.Dataset:
    """Sixty pictures to train on, thirty for each of the rest."""
    parts = [data.Split(s.images[:n], s.labels[:n])
             for s, n in ((ds.train, 60), (ds.val, 30), (ds.test, 30))]  # fmt: skip
    return replace(ds, train=parts[0], val=parts[1], test=parts[2])


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", help="folder of CIFAR-10; default: as COURSEKIT_DATA says")
    parser.add_argument("--dry-run", action="store_true", help="random weights, few pictures")
    parser.add_argument("--nets", nargs="+", default=list(Plan.names), choices=Plan.names)
    args = parser.parse_args(arguments)
    if args.dry_run:
        plan = Plan(tuple(args.nets), (32, 64), 2, 1, 20, published=False)
        rows = measure(tiny(data.load("bundled")), plan)
        print_table([{k: v for k, v in row.items() if k != "seed"} for row in rows])
        print("a dry run: random weights, sixty pictures; nothing was measured")
        return
    if not torch.cuda.is_available():
        print("left out: this takes a GPU; --dry-run does without")
        return
    ds = data.load(args.data or "cifar10")
    rows = measure(ds, Plan(tuple(args.nets)))
    bars = against_bars(rows)
    print_table(bars)
    device = port.describe_device(port.pick_device("auto"))
    write_result("transfer", {"device": device, "bars": bars, "runs": rows})


if __name__ == "__main__":
    main()
