"""What the benchmarks of a net's accuracy share: a run for every seed, a table, curves."""

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
from _common import RESULTS, print_table
from joblib import Parallel, delayed

import coursekit
from coursekit import data, plots
from coursekit.atomic import written_whole
from coursekit.training.history import History
from coursekit.training.loop import TrainingLoop

Run = Callable[[data.Dataset, int, int], TrainingLoop]  # of data, seed and epochs


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
    shapes = (getattr(p, "data", p).shape for p in trainer.net.parameters())
    return row, trainer.history, sum(math.prod(shape) for shape in shapes)


def measure(
    name: str,
    description: str,
    run_one: Run,
    model: str,
    *,
    epochs: int,
    threads: int = 1,
    load: Callable[[str | None], data.Dataset] = data.load,
) -> dict:
    """Run every seed, print the table, draw the curves, and return what is to be written.

    Curves go to results/NAME.png, where ``{epochs}`` in ``name`` stands for how many there are.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", default=None, help="as COURSEKIT_DATA")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    args = parser.parse_args()
    coursekit.set_num_threads(threads)
    ds = load(args.data)
    print(ds)
    jobs = (delayed(timed)(run_one, ds, seed, args.epochs) for seed in range(args.seeds))
    rows, histories, parameters = zip(*Parallel(args.jobs)(jobs), strict=True)
    print_table(list(rows))
    accuracies = np.array([row["test_accuracy"] for row in rows])
    mean, sd = float(accuracies.mean()), float(accuracies.std(ddof=1)) if len(rows) > 1 else 0.0
    print(f"{ds.name}, {args.epochs} epochs: test accuracy {mean:.4f} ± {sd:.4f} (sd)")
    plots.use_style()
    fig = plots.learning_curves({f"seed {s}": h for s, h in enumerate(histories)})
    with written_whole(RESULTS / f"{name.format(epochs=args.epochs)}.png") as part:
        fig.savefig(part, metadata={"Software": None})
    return {
        "model": model,
        "parameters": parameters[0],
        "data": ds.name,
        "budget": {
            "epochs": args.epochs,
            "train_pictures": len(ds.train),
            "jobs": args.jobs,
            "threads": max(1, threads // args.jobs),
        },
        "runs": rows,
        "mean": mean,
        "sd": sd,
        "seconds": float(np.median([row["seconds"] for row in rows])),
    }
