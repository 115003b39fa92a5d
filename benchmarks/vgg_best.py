"""How good is lesson 4's net of VGG's kind, over several seeds?

The recipe of the lesson's part 6, one view of each test picture: ``python benchmarks/vgg_best.py
--data FOLDER`` writes results/vgg_best.json and a picture of its curves. On a GPU the net is wider;
on a CPU the course's kernels compute its convolutions.
"""

import torch
from _torch import measure_and_write, train
from torch import nn

from coursekit import data, port
from coursekit import nn as our_nn
from coursekit.data.augment import Compose

GPU = torch.cuda.is_available()
WIDTHS = [128, 128, 256, 256, 512, 512] if GPU else [32, 32, 96, 96, 96, 96]
EPOCHS = 30 if GPU else 15


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train lesson 4's net with one seed."""
    filters = our_nn.patch_whitening(ds.normalize(ds.train.images[:5_000]), 2)
    torch.manual_seed(seed)
    net = port.VGG(torch.from_numpy(filters), WIDTHS)
    learnt = [p for p in net.parameters() if p.requires_grad]
    return train(
        net,
        ds,
        epochs,
        torch.optim.SGD(learnt, lr=0.5, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=256,
        augment=Compose([port.AlternatingFlip(), port.RandomCrop(2)]),
        precision="bfloat16" if GPU else "float32",
        seed=seed,
    )


def main() -> None:
    """Measure lesson 4's net."""
    model = "patch whitening, VGG " + "-".join(map(str, WIDTHS)) + ", batch norm"
    measure_and_write("vgg_best", str(__doc__), run, model, epochs=EPOCHS)


if __name__ == "__main__":
    main()
