"""Mistakes of the PyTorch lessons that used to be told by the name of another."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

import coursekit.port  # noqa: E402, F401  makes the exercises known
from coursekit.checks import ExerciseError, check  # noqa: E402
from coursekit.port.checks import references as ref  # noqa: E402
from coursekit.port.checks import references_transfer as transfer  # noqa: E402


def l1_of_two_kinds(net, strength):
    total = torch.zeros(())
    for m in net.modules():
        if isinstance(m, nn.Linear | nn.Conv2d):
            total = total + m.weight.abs().sum()
    return strength * total


def l1_of_two_kinds_that_learn(net, strength):
    found = {
        m.weight
        for m in net.modules()
        if isinstance(m, (nn.Linear, nn.Conv2d)) and m.weight.requires_grad
    }
    return strength * sum((w.abs().sum() for w in found), torch.zeros((), requires_grad=True))


def number_of_hits(net, batches, criterion):
    loss, accuracy = ref.evaluate(net, batches, criterion)
    return loss, accuracy * sum(len(y) for _, y in batches)


def statistics_not_tracked(net, keep):
    kept = set(keep.modules())
    net.requires_grad_(False)
    keep.requires_grad_(True)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d) and layer not in kept:
            layer.track_running_stats = False


def divided_by_size(net, x, y, size):
    net.zero_grad()
    total = 0.0
    for piece, labels in zip(x.split(size), y.split(size), strict=True):
        loss = cross_entropy(net(piece), labels, reduction="sum") / size
        loss.backward()
        total += loss.item()
    return total


def only_pictures_norms(net, keep):
    kept = set(keep.modules())
    net.requires_grad_(False)
    keep.requires_grad_(True)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer not in kept:
            layer.eval()
            layer.train = lambda mode=True, layer=layer: layer


def every_width(count, budget):
    return max((w for w in range(1, 1000) if count(w) <= budget), default=0)


@pytest.mark.parametrize(
    ("name", "function", "line", "never"),
    [
        ("l1_penalty", l1_of_two_kinds, "only weights of Linear and Conv2d", "only linear layers"),
        ("l1_penalty", l1_of_two_kinds_that_learn, "only weights of Linear and Conv2d", "frozen"),
        ("evaluate", number_of_hits, "the number of hits is returned", "batches"),
        ("freeze", statistics_not_tracked, "track_running_stats = False", "momentum is 0"),
        ("freeze", only_pictures_norms, "nn.BatchNorm1d is one as well", "momentum"),
        ("accumulated_gradients", divided_by_size, "is divided by size", "number of pieces"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_is_told_by_its_own_name(name, function, line, never):
    with pytest.raises(ExerciseError) as failure:
        check(name, function)
    found = str(failure.value).partition("this looks like: ")[2].splitlines()[0]
    assert line in found and never not in found


def test_widths_tried_one_after_another_are_no_interval_that_stands_still():
    with pytest.raises(ExerciseError, match="more than 100 times, now of 101") as failure:
        check("widest", every_width)
    assert "interval" not in str(failure.value)


def test_a_momentum_of_zero_is_told_by_what_it_does():
    def still(net, keep):
        statistics_not_tracked(net, keep)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d) and not layer.track_running_stats:
                layer.track_running_stats, layer.momentum = True, 0.0

    with pytest.raises(ExerciseError, match="this looks like: frozen batch norms use the batch's"):
        check("freeze", still)
    check("freeze", transfer.freeze)
