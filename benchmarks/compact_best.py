"""How good is the best net of at most 299,018 parameters, after ten epochs and after more?

The recipe of lesson 5's part 6 for a deeper net whose pools come later, on pictures of full size,
trained on the validation pictures as well, one view of each test picture:
``python benchmarks/compact_best.py --data FOLDER --jobs 2`` writes
results/compact_best_10_epochs.json and a picture of its curves, with ``--epochs 35`` others. On a
CPU the course's kernels compute the convolutions.
"""

import torch
from _torch import all_pictures, flips_and_crops, measure_and_write, train
from torch import nn

from coursekit import data, port
from coursekit import nn as our_nn

WIDTHS, POOLS, EPOCHS = [64, 64, 64, 64, 72, 64, 72, 72], [1, 4, 7], 10


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train the net with one seed."""
    filters = our_nn.patch_whitening(ds.normalize(ds.train.images[:5_000]), 2)
    torch.manual_seed(seed)
    net = port.VGG(torch.from_numpy(filters), WIDTHS, nn.SiLU, pools=POOLS)
    learnt = [p for p in net.parameters() if p.requires_grad]
    return train(
        net,
        ds,
        epochs,
        torch.optim.SGD(learnt, 0.5, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=250,
        augment=flips_and_crops(epochs),
        precision="bfloat16" if torch.cuda.is_available() else "float32",
        seed=seed,
    )


def main() -> None:
    """Measure the net."""
    widths = "-".join(f"{width}{'M' * (i in POOLS)}" for i, width in enumerate(WIDTHS))
    model = f"patch whitening, VGG {widths} (M: max pool), batch norm, SiLU"
    name = "compact_best_{epochs}_epochs"
    measure_and_write(name, str(__doc__), run, model, epochs=EPOCHS, load=all_pictures)


if __name__ == "__main__":
    main()
