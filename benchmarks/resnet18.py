"""How good is ResNet18 on CIFAR-10?

Trained on the validation pictures as well, one view of each test picture: ``python
benchmarks/resnet18.py --data FOLDER --jobs 3`` writes results/resnet18.json and a picture of its
curves, where there is a GPU. Two cores would take days.
"""

import torch
from _torch import all_pictures, measure_and_write, train
from torch import nn

from coursekit import data, port
from coursekit.data.augment import Compose

EPOCHS, BATCH = 64, 500


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train ResNet18 with one seed."""
    torch.manual_seed(seed)
    net = port.ResNet18()
    return train(
        net,
        ds,
        epochs,
        torch.optim.SGD(net.parameters(), 0.4, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=BATCH,
        augment=Compose([port.AlternatingFlip(), port.RandomCrop(4), port.Cutout(12)]),
        precision="bfloat16",
        seed=seed,
    )


def main() -> None:
    """Measure ResNet18."""
    if not torch.cuda.is_available():
        print("left out: this takes a GPU")
        return
    measure_and_write("resnet18", str(__doc__), run, "ResNet18", epochs=EPOCHS, load=all_pictures)


if __name__ == "__main__":
    main()
