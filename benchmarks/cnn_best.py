"""How good is the best net of lesson 3, from scratch on a CPU, over several seeds?

The recipe is that of the lesson's part 9, here with a run for every seed on all cores:
``python benchmarks/cnn_best.py --data FOLDER`` writes results/cnn_best.json and a picture of its
curves. Nothing else should run: ``seconds`` is part of the answer.
"""

import joblib
import numpy as np
from _accuracy import measure
from _common import write_result

from coursekit import data, nn, optim, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

WIDTHS = [32, 32, 96, 96, 96, 96]
POOLS = [0, 2, 4]
EPOCHS = 15
BATCH_SIZE = 256
LR = 0.5


def identity_first(shape, *, rng, dtype=np.float32):
    """Small random filters, the first of which hand a channel on unchanged."""
    weight = nn.init.torch_default(shape, rng=rng, dtype=dtype)
    if len(shape) == 4:  # a convolution
        same = min(shape[:2])
        weight[:same] = nn.init.dirac((same, *shape[1:]), dtype=dtype)
    return weight


def whitened_net(ds: data.Dataset, seed: int) -> nn.Module:
    """A convolution that whitens patches, of which only the bias is learnt, and a DeepConvNet."""
    whiten = nn.Conv2d(3, 24, 2, init=0.0)
    whiten.weight.data[...] = nn.patch_whitening(ds.normalize(ds.train.images[:5_000]), 2)
    whiten.weight.requires_grad = False
    net = nn.DeepConvNet(
        WIDTHS,
        POOLS,
        batchnorm=True,
        pool_first=True,
        init=identity_first,
        input_shape=(24, 31, 31),
        seed=seed,
    )
    return nn.Sequential(whiten, nn.ReLU(), *net)


def run(ds: data.Dataset, seed: int, epochs: int) -> training.Trainer:
    """Train lesson 3's net with one seed."""
    net = whitened_net(ds, seed)
    optimizer = optim.SGD(net.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
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


def main() -> None:
    """Measure lesson 3's net."""
    model = "patch whitening, DeepConvNet " + "-".join(map(str, WIDTHS)) + ", batch norm"
    cores = joblib.cpu_count(only_physical_cores=True)
    result = measure("cnn_best", str(__doc__), run, model, epochs=EPOCHS, threads=cores)
    write_result("cnn_best", result)


if __name__ == "__main__":
    main()
