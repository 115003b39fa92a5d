"""How good does LeNet get on CIFAR-10, in its old size?

The recipe of lesson 4: batch norm, one cycle of AdamW, flips and crops, a little label smoothing.
``python benchmarks/lenet_cifar10.py --data FOLDER`` writes results/lenet_cifar10.json.
"""

import torch
from _torch import measure_and_write, train
from torch import nn

from coursekit import data, port
from coursekit.data.augment import Compose

EPOCHS = 40


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train lesson 4's LeNet with one seed."""
    torch.manual_seed(seed)
    net = port.LeNet(batchnorm=True)
    return train(
        net,
        ds,
        epochs,
        torch.optim.AdamW(net.parameters(), lr=5e-3),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.05),
        batch_size=128,
        augment=Compose([port.RandomHorizontalFlip(), port.RandomCrop(3)]),
        seed=seed,
    )


def main() -> None:
    """Measure LeNet on CIFAR-10."""
    model = "LeNet, ReLU, batch norm"
    measure_and_write("lenet_cifar10", str(__doc__), run, model, epochs=EPOCHS)


if __name__ == "__main__":
    main()
