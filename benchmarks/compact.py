"""How good is the residual net of exactly 299,018 parameters, after ten epochs and after many?

Trained properly, on the validation pictures as well, the first epochs on small pictures; one view
of each test picture. ``python benchmarks/compact.py --data FOLDER --jobs 2`` writes
results/compact_10_epochs.json and a picture of its curves; with ``--epochs 200`` the long run,
compact_200_epochs. On a CPU the course's kernels compute the convolutions.
"""

import torch
from _torch import all_pictures, flips_and_crops, measure_and_write, train
from torch import nn

from coursekit import data, port

EPOCHS = 10
SIDES = 16, 16, 16, 20, 20, 24, 24, 28, 32, 32  # pixels, for a tenth of the epochs each


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train the compact net with one seed."""
    torch.manual_seed(seed)
    net = port.CompactNet()
    return train(
        net,
        ds,
        epochs,
        torch.optim.SGD(net.parameters(), 0.2, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=128,
        augment=flips_and_crops(epochs, SIDES),
        precision="bfloat16" if torch.cuda.is_available() else "float32",
        seed=seed,
    )


def main() -> None:
    """Measure the compact net."""
    name, model = "compact_{epochs}_epochs", "compact residual net of 64 channels"
    measure_and_write(name, str(__doc__), run, model, epochs=EPOCHS, load=all_pictures)


if __name__ == "__main__":
    main()
