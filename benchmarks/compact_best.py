"""How good is the best net of at most 299,018 parameters after ten epochs?

The recipe of lesson 5's part 6, trained on the validation pictures as well, one view of each test
picture: ``python benchmarks/compact_best.py --data FOLDER --jobs 2`` writes
results/compact_best_10_epochs.json and a picture of its curves. On a CPU the course's kernels
compute the convolutions.
"""

import torch
from _accuracy import measure
from _common import write_result
from _torch import THREADS, all_pictures, growing_pictures, train
from torch import nn

from coursekit import data, port
from coursekit import nn as our_nn

WIDTHS, EPOCHS = [48, 48, 88, 88, 88, 88], 10
SIDES = 24, 24, 24, 28, 28, 28, 32, 32, 32, 32  # pixels, for a tenth of the epochs each


def run(ds: data.Dataset, seed: int, epochs: int) -> port.Trainer:
    """Train lesson 5's best net with one seed."""
    filters = our_nn.patch_whitening(ds.normalize(ds.train.images[:5_000]), 2)
    torch.manual_seed(seed)
    net = port.VGG(torch.from_numpy(filters), WIDTHS, nn.SiLU)
    learnt = [p for p in net.parameters() if p.requires_grad]
    return train(
        net,
        ds,
        epochs,
        torch.optim.SGD(learnt, 0.5, momentum=0.9, nesterov=True, weight_decay=5e-4),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=256,
        augment=growing_pictures(SIDES, epochs),
        precision="bfloat16" if torch.cuda.is_available() else "float32",
        seed=seed,
    )


def main() -> None:
    """Measure lesson 5's best net."""
    model = "patch whitening, VGG " + "-".join(map(str, WIDTHS)) + ", batch norm, SiLU"
    name = "compact_best_{epochs}_epochs"
    result = measure(
        name, str(__doc__), run, model, epochs=EPOCHS, threads=THREADS, load=all_pictures
    )
    device = port.describe_device(port.pick_device("auto"))
    write_result(name.format(epochs=result["budget"]["epochs"]), {"device": device, **result})


if __name__ == "__main__":
    main()
