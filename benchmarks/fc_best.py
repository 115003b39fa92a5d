"""How good is the best fully connected net of lesson 1, over several seeds?

The recipe is that of the lesson's part 12, here with a run for every seed:
``python benchmarks/fc_best.py --data FOLDER`` writes results/fc_best.json and a picture of it.
"""

import argparse
import time

import numpy as np
from _common import RESULTS, print_table, write_result
from sklearn.decomposition import PCA

from coursekit import data, nn, optim, plots, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

DIRECTIONS = 512
WIDTHS = [2048, 1024, 10]
EPOCHS = 30
BATCH_SIZE = 128
LR = 0.05


def whitening_layer(ds: data.Dataset) -> nn.Module:
    """A frozen linear layer that turns flat pictures into whitened principal components."""
    flat = ds.normalize(ds.train.images[:10_000]).reshape(10_000, -1)
    pca = PCA(DIRECTIONS, whiten=True, random_state=0).fit(flat)
    scale = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
    layer = nn.Linear(*scale.shape[::-1])
    layer.weight.data[...] = scale
    layer.bias.data[...] = -scale @ pca.mean_
    return layer.requires_grad_(False)


def run(ds: data.Dataset, seed: int, epochs: int) -> tuple[training.Trainer, dict]:
    """Train with one seed; return the trainer and the row of the table."""
    started = time.perf_counter()
    layers = nn.mlp([DIRECTIONS, *WIDTHS], seed=seed)
    net = nn.Sequential(nn.Flatten(), whitening_layer(ds), *layers)
    optimizer = optim.SGD(net.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=1e-3)
    steps = epochs * -(-len(ds.train) // BATCH_SIZE)
    trainer = training.Trainer(
        net,
        ds,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        scheduler=optim.OneCycleLR(optimizer, LR, steps, cycle_momentum=False),
        batch_size=BATCH_SIZE,
        augment=Compose([RandomHorizontalFlip(), RandomCrop(padding=2)]),
        seed=seed,
    )
    trainer.fit(epochs)
    seconds = time.perf_counter() - started
    return trainer, {
        "seed": seed,
        "val_accuracy": trainer.history.epochs[-1]["val_accuracy"],
        "test_accuracy": trainer.evaluate(ds.test)["accuracy"],
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Run every seed, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None, help="as COURSEKIT_DATA")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    ds = data.load(args.data)
    print(ds)
    trainers, rows = zip(*(run(ds, seed, args.epochs) for seed in range(args.seeds)), strict=True)
    print_table(list(rows))
    accuracies = np.array([row["test_accuracy"] for row in rows])
    mean, sd = float(accuracies.mean()), float(accuracies.std(ddof=1)) if len(rows) > 1 else 0.0
    print(f"{ds.name}, {args.epochs} epochs: test accuracy {mean:.4f} ± {sd:.4f} (sd)")
    write_result(
        "fc_best",
        {
            "model": f"3072-PCA {DIRECTIONS}-" + "-".join(map(str, WIDTHS)),
            "parameters": trainers[0].net.num_parameters(),
            "data": ds.name,
            "budget": {"epochs": args.epochs, "train_pictures": len(ds.train)},
            "runs": rows,
            "mean": mean,
            "sd": sd,
            "seconds": float(np.median([row["seconds"] for row in rows])),
        },
    )
    plots.use_style()
    fig = plots.learning_curves({f"seed {s}": t.history for s, t in enumerate(trainers)})
    fig.savefig(RESULTS / "fc_best.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
