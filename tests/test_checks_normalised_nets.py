"""Nets with batch norm, layer norm and dropout before ``gradcheck_module`` and the ladder."""

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import nn
from coursekit.checks import gradcheck_module, sanity_ladder

RUNGS = [
    "✓ initial loss is near log 10",
    "✓ regularisation raises the loss",
    "✓ gradients agree with central differences",
    "✓ 50 pictures are learnt by heart",
]


def _batch(seed=0, n=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2, 3)).astype(np.float32), rng.integers(0, 3, n)


def _same_state(net, before):
    return all(np.array_equal(before[k], v) for k, v in net.state_dict().items())


# --- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_right_nets_pass_in_both_modes(norm, dropout):
    for seed in range(4):
        net = nn.mlp([6, 9, 8, 3], norm=norm, dropout=dropout, seed=seed)
        before = net.state_dict()
        for training in (True, False):
            result = gradcheck_module(net.train(training), *_batch(seed), seed=seed)
            assert result, str(result)
        assert _same_state(net, before)
        assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("n", [4, 32])
def test_a_bias_before_batch_norm_is_a_structural_zero(n):
    net = nn.Sequential(
        *(nn.Flatten(), nn.Linear(6, 7), nn.BatchNorm1d(7), nn.ReLU()),
        *(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
    )
    result = gradcheck_module(net, *_batch(n=n))
    assert result, str(result)
    zeros = [row["argument"] for row in result.table() if row["structural zero"]]
    assert zeros == ["1.bias", "4.bias"]
    # In evaluation the mean is a constant, and the bias has an effect.
    result = gradcheck_module(net.eval(), *_batch(n=n))
    assert result, str(result)
    assert not any(row["structural zero"] for row in result.table())


class _ConstantStatistics(nn.BatchNorm1d):
    def backward(self, dout, *, need_dx=True):
        x, weight, _, inv_std = self._cache_parts
        self.weight.accumulate((dout * (x - x.mean(axis=0)) * inv_std).sum(axis=0))
        self.bias.accumulate(dout.sum(axis=0))
        return self._dx(dout, x, weight, inv_std)

    def forward(self, x):
        out = super().forward(x)
        inv_std = 1 / np.sqrt(x.var(axis=0) + self.eps)
        self._cache_parts = x, self.weight.data, self.bias.data, inv_std
        return out

    def _dx(self, dout, x, weight, inv_std):
        return dout * weight * inv_std


class _WithoutGamma(_ConstantStatistics):
    def _dx(self, dout, x, weight, inv_std):
        xhat = (x - x.mean(axis=0)) * inv_std
        return inv_std * (dout - dout.mean(axis=0) - xhat * (dout * xhat).mean(axis=0))


@pytest.mark.parametrize("layer", [_ConstantStatistics, _WithoutGamma])
def test_a_wrong_batch_norm_spoils_the_layer_before_it(layer):
    """That gamma is 1 in a net just made does not hide that it was forgotten."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5, bias=False), layer(5), nn.Tanh(), nn.Linear(5, 3)
    )
    wrong = [r.name for r in gradcheck_module(net, *_batch()).arguments if r.wrong]
    assert wrong == ["1.weight", "x"]


class _FreshMask(nn.Dropout):
    def backward(self, dout, *, need_dx=True):
        return F.dropout_forward(dout, self.p, training=True, rng=self.rng)[0]


def test_a_mask_drawn_again_in_the_backward_is_found():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 20), _FreshMask(0.5), nn.Linear(20, 3))
    result = gradcheck_module(net, *_batch())
    assert "the gradient of 1.weight is wrong" in str(result)


class _OwnNoise(nn.Dropout):
    def reseed(self, rng):
        pass


def test_what_cannot_be_reseeded_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 20), _OwnNoise(0.5), nn.Linear(20, 3))
    assert "two forward passes differ" in str(gradcheck_module(net, *_batch()))
    assert gradcheck_module(net.eval(), *_batch())


# --- the ladder -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3, 8, 8)).astype(np.float32)
    return x, rng.integers(0, 10, 300)


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_healthy_net_reaches_the_top(data, norm, dropout, capsys):
    net = nn.mlp([192, 80, 80, 80, 10], norm=norm, dropout=dropout)
    before = net.state_dict()
    result = sanity_ladder(net, data)
    assert result, str(result)
    assert capsys.readouterr().out.splitlines() == RUNGS
    assert _same_state(net, before)
    assert [layer.p for _, layer in net.named_layers() if isinstance(layer, nn.Dropout)] == (
        3 * [0.5] if dropout else []
    )


def test_dropout_that_keeps_almost_nothing_is_no_reason_to_fail(data, capsys):
    """It is off where scores and memory are looked at, and on where the gradients are."""
    assert sanity_ladder(nn.mlp([192, 80, 80, 10], dropout=0.95), data)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 80), _FreshMask(0.5), nn.Linear(80, 10))
    assert len(sanity_ladder(net, data).rungs) == 3
    capsys.readouterr()
