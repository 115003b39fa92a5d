"""How good is the best fully connected net of lesson 2, with batch norm, over several seeds?

The recipe is that of the lesson's part 13, here with a run for every seed, and compared with lesson
1's net as ``fc_best.py`` left it: ``python benchmarks/fc_norm_best.py --data FOLDER`` writes
results/fc_norm_best.json and a picture of its curves.
"""

import json

from _accuracy import measure
from _common import RESULTS, write_result
from fc_best import DIRECTIONS, EPOCHS, WIDTHS, pca_layer
from scipy import stats

from coursekit import data, nn, optim, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

BATCH_SIZE = 128
LR = 3e-3


def run(ds: data.Dataset, seed: int, epochs: int) -> training.Trainer:
    """Train lesson 2's net with one seed."""
    layers = nn.mlp([DIRECTIONS, *WIDTHS], norm="batch", seed=seed)
    net = nn.Sequential(nn.Flatten(), pca_layer(ds, whiten=False), *layers)
    optimizer = optim.AdamW(net.parameters(), lr=LR, weight_decay=0.1)
    steps = epochs * -(-len(ds.train) // BATCH_SIZE)
    trainer = training.Trainer(
        net,
        ds,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        scheduler=optim.OneCycleLR(optimizer, LR, steps, cycle_momentum=False),
        batch_size=BATCH_SIZE,
        augment=Compose([RandomHorizontalFlip(), RandomCrop(padding=4)]),
        seed=seed,
    )
    trainer.fit(epochs)
    return trainer


def task(result: dict) -> tuple[str, int, int]:
    """What two results must share to be compared: data, epochs, training pictures."""
    budget = result["budget"]
    return result["data"], budget["epochs"], budget["train_pictures"]


def gain_over(before: list[dict], after: list[dict]) -> dict[str, float]:
    """Difference of the mean test accuracies, with its 95 % interval (Welch's t)."""
    old, new = ([row["test_accuracy"] for row in rows] for rows in (before, after))
    band = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    return {"mean": sum(new) / len(new) - sum(old) / len(old), "low": band.low, "high": band.high}


def main() -> None:
    """Measure lesson 2's net, and what it gained."""
    model = f"3072-PCA {DIRECTIONS}, not whitened-" + "-".join(map(str, WIDTHS)) + ", batch norm"
    result = measure("fc_norm_best", str(__doc__), run, model, epochs=EPOCHS)
    before = json.loads((RESULTS / "fc_best.json").read_text(encoding="utf-8"))
    # A gain over other pictures or a shorter training would say nothing.
    if task(result) == task(before) and len(result["runs"]) > 1:
        result["baseline"] = {key: before[key] for key in ("model", "mean", "sd", "runs")}
        result["gain_over_fc_best"] = gain = gain_over(before["runs"], result["runs"])
        print("gain over lesson 1: {mean:.4f}, 95 % {low:.4f} to {high:.4f}".format(**gain))
    write_result("fc_norm_best", result)


if __name__ == "__main__":
    main()
