"""How good is the best fully connected net of lesson 1, over several seeds?

The recipe is that of the lesson's part 12, here with a run for every seed:
``python benchmarks/fc_best.py --data FOLDER`` writes results/fc_best.json and a picture of it.
"""

import numpy as np
from _accuracy import measure
from _common import write_result
from sklearn.decomposition import PCA

from coursekit import data, nn, optim, training
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

DIRECTIONS = 512
WIDTHS = [2048, 1024, 10]
EPOCHS = 30
BATCH_SIZE = 128
LR = 0.05


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


def main() -> None:
    """Measure lesson 1's net."""
    model = f"3072-PCA {DIRECTIONS}-" + "-".join(map(str, WIDTHS))
    write_result("fc_best", measure("fc_best", str(__doc__), run, model, epochs=EPOCHS))


if __name__ == "__main__":
    main()
