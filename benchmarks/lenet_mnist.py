"""How good is LeNet on MNIST, and how long does it train on a CPU?

The recipe of lesson 4: batch norm, one cycle of AdamW, a little label smoothing, digits moved by up
to two pixels. ``python benchmarks/lenet_mnist.py --data FOLDER --seeds 5`` writes
results/lenet_mnist.json.
"""

import torch
from _torch import measure_and_write, train
from torch import nn

from coursekit import data, port

EPOCHS = 10


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train lesson 4's LeNet with one seed."""
    torch.manual_seed(seed)
    net = port.LeNet(in_channels=1, size=28, batchnorm=True)
    return train(
        net,
        ds,
        epochs,
        torch.optim.AdamW(net.parameters(), lr=0.02),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.05),
        batch_size=256,
        augment=port.RandomCrop(2, padding_mode="constant"),
        seed=seed,
    )


def main() -> None:
    """Measure LeNet on MNIST."""
    model = "LeNet, ReLU, batch norm"
    load = data.load_mnist
    measure_and_write("lenet_mnist", str(__doc__), run, model, epochs=EPOCHS, load=load)


if __name__ == "__main__":
    main()
