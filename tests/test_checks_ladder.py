"""The sanity ladder: healthy nets reach the top, sick ones stop at the rung that shows it."""

import numpy as np
import pytest

from coursekit import nn, optim
from coursekit.checks import CheckFailed, sanity_ladder
from coursekit.data import Dataset, Split

RUNGS = [
    "✓ initial loss is near log 10",
    "✓ regularisation raises the loss",
    "✓ gradients agree with central differences",
    "✓ 50 pictures are learnt by heart",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3, 8, 8)).astype(np.float32)
    return x, rng.integers(0, 10, 300)


def _net():
    return nn.mlp([192, 40, 10], init="default")


@pytest.mark.parametrize("sizes", [[192, 10], [192, 64, 10], [192, 80, 80, 80, 10]])
@pytest.mark.parametrize("init", ["default", "kaiming_normal", "xavier_uniform"])
def test_a_healthy_net_reaches_the_top(data, sizes, init, capsys):
    for seed in range(2):
        result = sanity_ladder(nn.mlp(sizes, init=init, seed=seed), data, seed=seed)
        assert result, str(result)
        assert capsys.readouterr().out.splitlines() == RUNGS
    result.raise_if_failed()


def test_a_dataset_will_do_and_nothing_is_changed(capsys):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 3, 8, 8), np.uint8), rng.integers(0, 10, 80)
    split = Split(images, labels)
    data = Dataset("noise", split, split, split, tuple("abcdefghij"))
    net = _net()
    before = net.state_dict()
    assert sanity_ladder(net, data)
    assert capsys.readouterr().out.splitlines() == RUNGS
    assert all(np.array_equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_other_losses(data, capsys):
    assert sanity_ladder(_net(), data, nn.CrossEntropyLoss(label_smoothing=0.1))
    assert sanity_ladder(_net(), data, nn.MultiMarginLoss())
    assert "✓ initial loss is near that of equal scores" in capsys.readouterr().out


def _fails(number, meaning, capsys, *args, **options):
    """The ladder stops at that rung, says why, and what was printed is what is raised."""
    result = sanity_ladder(*args, **options)
    assert not result
    assert len(result.rungs) == number
    assert all(r.passed for r in result.rungs[:-1])
    assert meaning in result.rungs[-1].meaning
    with pytest.raises(CheckFailed) as failure:
        result.raise_if_failed()
    printed = capsys.readouterr().out
    assert printed.endswith(str(failure.value) + "\n")
    assert f"✗ {result.rungs[-1].claim}: " in printed
    assert "this usually means: " in printed
    return result.rungs[-1]


def test_pictures_that_are_not_normalised(data, capsys):
    x, y = data
    rung = _fails(1, "Are the pictures normalised", capsys, _net(), (100 * x, y))
    assert "2.30259 is what guessing costs" in rung.detail


def test_a_net_trained_before(data, capsys):
    x, y = data
    net, criterion = _net(), nn.CrossEntropyLoss()
    rule = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(30):
        criterion(net(x), y)
        net.zero_grad()
        net.backward(criterion.backward())
        rule.step()
    _fails(1, "was the net trained before", capsys, net, data)


class _PerClass(nn.CrossEntropyLoss):
    def __call__(self, logits, targets):
        return super().__call__(logits, targets) / 10


class _Sum(nn.CrossEntropyLoss):
    def __call__(self, logits, targets):
        return super().__call__(logits, targets) * len(logits)


def test_a_loss_averaged_over_too_much_or_too_little(data, capsys):
    _fails(1, "averaged over the batch once", capsys, _net(), data, _PerClass())
    _fails(1, "the loss a mean over the batch", capsys, _net(), data, _Sum())


def test_nan(data, capsys):
    net = _net()
    net.parameters()[0].data[0, 0] = np.nan
    _fails(1, "nan or inf", capsys, net, data)


def test_weights_that_are_all_zero(data, capsys):
    net = _net()
    for p in net.parameters():
        p.data[:] = 0
    _fails(2, "all weights are 0", capsys, net, data)


def test_a_penalty_that_does_not_see_the_net(data, capsys):
    _fails(2, "does not see the net", capsys, _net(), data, penalty=lambda net: 0.0)
    _fails(2, "does not see the net", capsys, _net(), data, penalty=lambda net: -1.0)


class _Doubled(nn.Linear):
    def backward(self, dout, *, need_dx=True):
        return super().backward(2 * dout, need_dx=need_dx)


def test_wrong_gradients_name_the_layer_nearest_to_the_cause(data, capsys):
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 30), nn.ReLU(), _Doubled(30, 20), nn.ReLU(), nn.Linear(20, 10)
    )
    rung = _fails(3, "the backward of that layer", capsys, net, data)
    assert "the gradient of 3.bias is wrong" in rung.detail
    assert "each 2 times the right value" in rung.detail


class _Forgetful(nn.Linear):
    def backward(self, dout, *, need_dx=True):
        return dout @ self.weight.data


def test_gradients_that_are_missing(data, capsys):
    net = nn.Sequential(nn.Flatten(), _Forgetful(192, 10))
    assert "no gradient reached" in _fails(3, "check each alone", capsys, net, data).detail


def _sgd(lr):
    return lambda parameters: optim.SGD(parameters, lr=lr)


def test_nothing_is_learnt(data, capsys):
    _fails(4, "nothing is learnt", capsys, _net(), data, optimizer=_sgd(1e-9))


def test_steps_too_long(data, capsys):
    rule = lambda p: optim.SGD(p, lr=1e30)  # noqa: E731
    _fails(4, "lower the learning rate", capsys, _net(), data, optimizer=rule)


def test_labels_that_contradict_each_other(data, capsys):
    x, y = data
    rung = _fails(4, "equal pictures", capsys, _net(), (np.repeat(x[:30], 10, axis=0), y))
    assert "after 500 steps" in rung.detail


def test_data_that_does_not_fit(data):
    with pytest.raises(ValueError, match="got 300 x and 299 y"):
        sanity_ladder(_net(), (data[0], data[1][1:]))
