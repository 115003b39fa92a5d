"""What the PyTorch side's functions take, and that they refuse the rest in one sentence."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from coursekit import port  # noqa: E402

ROWS, LABELS = np.eye(4, 3), np.array([0, 1, 1, 0])
PICTURES = torch.zeros(2, 3, 8, 8)


def rng():
    return np.random.default_rng(0)


def head_twice():
    head = torch.nn.Linear(3, 3)
    return torch.nn.Sequential(head, head), head


REFUSED = [
    (lambda: port.linear_probe(ROWS, LABELS - 1, 2, 0.1), "labels: got values from -1 to 0"),
    (lambda: port.linear_probe(ROWS, LABELS + 1, 2, 0.1), "labels: got values from 1 to 2; needed"),
    (lambda: port.linear_probe(ROWS, LABELS[:3], 2, 0.1), r"labels: got int64 of shape \(3,\)"),
    (lambda: port.linear_probe(ROWS, LABELS * 1.0, 2, 0.1), "labels: got float64"),
    (lambda: port.linear_probe(ROWS.astype(int), LABELS, 2, 0.1), "features: got int64"),
    (lambda: port.linear_probe(ROWS * np.nan, LABELS, 2, 0.1), "features: got nan"),
    (lambda: port.linear_probe(ROWS, LABELS, 2, -1), "strength: got -1"),
    (
        lambda: port.balanced_subset(LABELS, 3, rng()),
        "per_class: got 3; needed 1 to 2, which class",
    ),
    (lambda: port.balanced_subset(LABELS, 0, rng()), "per_class: got 0"),
    (lambda: port.balanced_subset(LABELS[:0], 1, rng()), "labels: got"),
    (lambda: port.pca(ROWS, 4), "k: got 4; needed 1 to 3"),
    (lambda: port.pca(ROWS, 0), "k: got 0"),
    (lambda: port.pca(np.ones((4, 3)), 1), "rows that are all alike"),
    (lambda: port.pca(ROWS.tolist(), 1), "features: got list"),
    (lambda: port.layerwise_rates([torch.nn.Linear(2, 2)], 0.1, np.nan), "decay: got nan"),
    (lambda: port.layerwise_rates([torch.nn.Linear(2, 2)], -0.1, 0.5), "lr: got -0.1"),
    (lambda: port.replace_head(torch.nn.Linear(2, 2), 3), "net: got Linear; needed a ResNet"),
    (lambda: port.replace_head(port.SmallVGG(3), 0), "classes: got 0"),
    (lambda: port.replace_head(port.SmallResNet(3), 2.5), "classes: got 2.5"),
    (lambda: port.extract_features(*head_twice(), [torch.ones(2, 3)]), "ran 2 times for 1 batches"),
    (
        lambda: port.extract_features(torch.nn.ReLU(), torch.nn.ReLU(), [torch.ones(2, 3)]),
        "head: got ReLU, which ran 0 times",
    ),
    (lambda: port.extract_features(*head_twice(), []), "batches: got none"),
    (lambda: port.two_view_logits(torch.nn.Flatten(), PICTURES.numpy()), "x: got ndarray; needed"),
    (lambda: port.two_view_logits(torch.nn.Flatten(), PICTURES[0]), r"x: got torch.float32 \(3, 8"),
    (lambda: port.six_view_logits(torch.nn.Flatten(), PICTURES.byte()), "x: got torch.uint8"),
    (lambda: port.six_view_logits(torch.nn.Flatten(), PICTURES[..., :1]), "sides of at least 2"),
    (
        lambda: port.ProgressiveResize([4])(PICTURES, None),
        "images: got torch.float32; needed uint8",
    ),
]


@pytest.mark.parametrize(("act", "message"), REFUSED)
def test_arguments_that_do_not_fit_are_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
