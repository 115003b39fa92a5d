"""How good is the best fully connected net of lesson 1, over several seeds?

The recipe is that of the lesson's part 12, here with a run for every seed:
``python benchmarks/fc_best.py --data FOLDER`` writes results/fc_best.json and a picture of it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from _common import RESULTS, print_table, write_result
from joblib import Parallel, delayed
from sklearn.decomposition import PCA

from coursekit import data, nn, optim, plots, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip
from coursekit.training import History

DIRECTIONS = 512
WIDTHS = [2048, 1024, 10]
EPOCHS = 30
BATCH_SIZE = 128
LR = 0.05

Run = Callable[[data.Dataset, int, int], training.Trainer]


def pca_layer(ds: data.Dataset, *, whiten: bool = True) -> nn.Module:
    """A frozen linear layer that turns flat pictures into principal components."""
    pictures = ds.normalize(ds.train.images[:10_000])
    flat = pictures.reshape(len(pictures), -1)
    pca = PCA(DIRECTIONS, random_state=0).fit(flat)
    scale = pca.components_
    if whiten:
        scale = scale / np.sqrt(pca.explained_variance_)[:, None]
    layer = nn.Linear(*scale.shape[::-1])
    layer.weight.data[...] = scale
    layer.bias.data[...] = -scale @ pca.mean_
    return layer.requires_grad_(False)


def run(ds: data.Dataset, seed: int, epochs: int) -> training.Trainer:
    """Train lesson 1's net with one seed."""
    layers = nn.mlp([DIRECTIONS, *WIDTHS], seed=seed)
    net = nn.Sequential(nn.Flatten(), pca_layer(ds), *layers)
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
    return trainer


def timed(run_one: Run, ds: data.Dataset, seed: int, epochs: int) -> tuple[dict, History, int]:
    """Train with one seed: the row of the table, the curves, the number of parameters."""
    started = time.perf_counter()
    trainer = run_one(ds, seed, epochs)
    row = {
        "seed": seed,
        "val_accuracy": trainer.history.epochs[-1]["val_accuracy"],
        "test_accuracy": trainer.evaluate(ds.test)["accuracy"],
        "seconds": round(time.perf_counter() - started, 1),
    }
    return row, trainer.history, trainer.net.num_parameters()


def measure(name: str, description: str, run_one: Run, model: str) -> dict:
    """Run every seed, print the table, write the result with its curves, and return it."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", default=None, help="as COURSEKIT_DATA")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    args = parser.parse_args()
    ds = data.load(args.data)
    print(ds)
    jobs = (delayed(timed)(run_one, ds, seed, args.epochs) for seed in range(args.seeds))
    rows, histories, parameters = zip(*Parallel(args.jobs)(jobs), strict=True)
    print_table(list(rows))
    accuracies = np.array([row["test_accuracy"] for row in rows])
    mean, sd = float(accuracies.mean()), float(accuracies.std(ddof=1)) if len(rows) > 1 else 0.0
    print(f"{ds.name}, {args.epochs} epochs: test accuracy {mean:.4f} ± {sd:.4f} (sd)")
    plots.use_style()
    fig = plots.learning_curves({f"seed {s}": h for s, h in enumerate(histories)})
    fig.savefig(RESULTS / f"{name}.png", metadata={"Software": None})
    return {
        "model": model,
        "parameters": parameters[0],
        "data": ds.name,
        "budget": {"epochs": args.epochs, "train_pictures": len(ds.train), "jobs": args.jobs},
        "runs": rows,
        "mean": mean,
        "sd": sd,
        "seconds": float(np.median([row["seconds"] for row in rows])),
    }


def main() -> None:
    """Measure lesson 1's net."""
    model = f"3072-PCA {DIRECTIONS}-" + "-".join(map(str, WIDTHS))
    write_result("fc_best", measure("fc_best", str(__doc__), run, model))


if __name__ == "__main__":
    main()
