"""Whoever evaluates a net gives every layer its own mode back, also after an error."""

import numpy as np
import pytest

from coursekit import nn, optim, training
from coursekit.data.dataset import Dataset, Split


def dataset(rng):
    def split(n):
        images = rng.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
        return Split(images, rng.integers(0, 4, n))

    return Dataset("t", split(20), split(8), split(4), tuple("abcd"))


def modes(net):
    return [module.training for module in net.modules()]


def check_modes(net, frozen, broken, act):
    """``act`` leaves every mode: with one layer frozen, in evaluation, and when a layer fails."""
    for root in (True, False):
        net.train(root)
        frozen.eval()
        if not root:
            broken.train()
        before = modes(net)
        assert len(set(before)) == 2
        act()
        assert modes(net) == before
    forward = broken.forward
    broken.forward = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        act()
    broken.forward = forward
    assert modes(net) == before


@pytest.mark.parametrize(
    "act",
    [
        lambda trainer, data: trainer.evaluate(data.val),
        lambda trainer, data: trainer.logits(data.val),
        lambda trainer, data: trainer.predict(data.val.images),
    ],
    ids=["evaluate", "logits", "predict"],
)
def test_the_numpy_trainer_leaves_all_modes(act, rng):
    data = dataset(rng)
    norm, last = nn.BatchNorm1d(6), nn.Linear(6, 4)
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(192, 6), norm), nn.Dropout(), last)
    trainer = training.Trainer(
        net,
        data,
        optimizer=optim.SGD(net.parameters(), 0.1),
        criterion=nn.CrossEntropyLoss(),
        progress=False,
    )
    check_modes(net, norm, last, lambda: act(trainer, data))


def torch_net(torch):
    net = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)),
        torch.nn.Dropout(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 4),
    )
    return net, net[0][1], net[4]


def torch_functions():
    def evaluate(_port, net, x):
        from coursekit.port.checks import references

        batches = [(x, x.new_zeros(len(x)).long())]
        return references.evaluate(net, batches, lambda logits, y: logits.mean())

    return {
        "two_view_logits": lambda port, net, x: port.two_view_logits(net, x),
        "six_view_logits": lambda port, net, x: port.six_view_logits(net, x),
        "summary": lambda port, net, x: port.summary(net, (3, 8, 8)),
        "extract_features": lambda port, net, x: port.extract_features(net, net[4], [x]),
        "the lesson's evaluate": evaluate,
    }


@pytest.mark.parametrize("name", torch_functions())
def test_torch_functions_leave_all_modes(name):
    torch = pytest.importorskip("torch")
    from coursekit import port

    net, norm, last = torch_net(torch)
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    statistics = norm.running_mean.clone()
    check_modes(net, norm, last, lambda: torch_functions()[name](port, net, x))
    assert torch.equal(norm.running_mean, statistics)


def test_the_torch_trainer_leaves_all_modes(rng):
    torch = pytest.importorskip("torch")
    from coursekit import port

    data = dataset(rng)
    net, norm, last = torch_net(torch)
    trainer = port.Trainer(
        net,
        data,
        optimizer=torch.optim.SGD(net.parameters(), 0.1),
        criterion=torch.nn.CrossEntropyLoss(),
        device="cpu",
        progress=False,
    )
    for act in (trainer.evaluate, trainer.logits, trainer.predict):
        check_modes(net, norm, last, lambda act=act: act(data.val))


def freezable(torch):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer2 = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
            self.layer3 = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
            self.fc = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.layer3(self.layer2(x)))

    return Net()


@pytest.mark.parametrize("training_mode", [True, False])
def test_freezing_another_part_lets_go_of_the_first(training_mode):
    torch = pytest.importorskip("torch")
    from coursekit import port

    net = freezable(torch).train(training_mode)
    port.freeze(net, net.fc)
    port.freeze(net, net.layer3)
    assert all(m.training == training_mode for m in net.layer3.modules())
    net.train()
    assert all(m.training for m in net.layer3.modules())
    assert not net.layer2[1].training and not net.fc.training
    learns = [name for name, p in net.named_parameters() if p.requires_grad]
    assert learns == [f"layer3.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]
    net.eval()
    assert not any(modes(net))
    port.freeze(net.train(), net.layer3[1])  # and a part of a part
    assert modes(net.layer3) == [True, False, True]
    port.thaw(net)
    assert all(modes(net)) and all(p.requires_grad for p in net.parameters())


def test_only_a_part_of_the_net_can_be_kept():
    torch = pytest.importorskip("torch")
    from coursekit import port

    net, other = freezable(torch), freezable(torch)
    with pytest.raises(ValueError, match=r"keep: got Linear with 2 parameters that Net does not"):
        port.freeze(net, other.fc)
    assert all(p.requires_grad for p in net.parameters()) and all(modes(net))
    port.freeze(net, torch.nn.ModuleList([net.layer3, net.fc]))
    assert not net.layer2[0].weight.requires_grad and net.fc.weight.requires_grad
