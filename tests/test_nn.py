"""Modules: their surface, their initial weights, and whole nets against PyTorch."""

import numpy as np
import pytest

from coursekit import nn

LAYERS = [
    lambda: nn.Linear(4, 3, dtype=np.float64, rng=np.random.default_rng(1)),
    lambda: nn.Linear(4, 3, bias=False, dtype=np.float64, rng=np.random.default_rng(1)),
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Flatten,
    lambda: nn.mlp([4, 5, 3], dtype=np.float64),
    lambda: nn.Sequential(nn.Linear(4, 2, dtype=np.float64), nn.mlp([2, 3], dtype=np.float64)),
]


def torch_twin(torch, net):
    """The same net in PyTorch, with the same weights."""
    modules = {
        nn.Flatten: torch.nn.Flatten,
        nn.ReLU: torch.nn.ReLU,
        nn.Tanh: torch.nn.Tanh,
        nn.Sigmoid: torch.nn.Sigmoid,
        nn.LeakyReLU: torch.nn.LeakyReLU,
    }
    layers = []
    for layer in net.layers:
        if isinstance(layer, nn.Linear):
            out_features, in_features = layer.weight.data.shape
            layers.append(torch.nn.Linear(in_features, out_features, dtype=torch.float64))
        else:
            layers.append(modules[type(layer)]())
    twin = torch.nn.Sequential(*layers)
    twin.load_state_dict({k: torch.tensor(v) for k, v in net.state_dict().items()})
    return twin


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("sizes", [[12, 3], [12, 1, 4], [12, 9, 8, 7, 5]])
def test_net_agrees_with_torch_and_shares_its_state_dict(activation, sizes, rng):
    torch = pytest.importorskip("torch")
    net = nn.mlp(sizes, activation=activation, dtype=np.float64, seed=3)
    twin = torch_twin(torch, net)
    x, dout = rng.standard_normal((6, 3, 2, 2)), rng.standard_normal((6, sizes[-1]))
    tensor = torch.tensor(x, requires_grad=True)
    expected = twin(tensor)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(net(x), expected.detach(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(net.backward(dout), tensor.grad, rtol=0, atol=1e-10)
    for (name, p), (torch_name, q) in zip(
        net.named_parameters(), twin.named_parameters(), strict=True
    ):
        assert name == torch_name
        np.testing.assert_allclose(p.grad, q.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("n", [1, 5])
def test_backward_is_the_derivative_of_forward(make, n, rng):
    layer = make()
    x, h = rng.standard_normal((n, 4)), 1e-6
    dout = rng.standard_normal(layer(x).shape)
    dx = layer.backward(dout)
    for array, grad in [(x, dx), *((p.data, p.grad.copy()) for p in layer.parameters())]:
        for i in np.ndindex(array.shape):
            keep = array[i]
            array[i] = keep + h
            up = np.sum(layer(x) * dout)
            array[i] = keep - h
            down = np.sum(layer(x) * dout)
            array[i] = keep
            assert (up - down) / (2 * h) == pytest.approx(grad[i], abs=1e-6)


@pytest.mark.parametrize("make", LAYERS)
def test_skipping_the_input_gradient_changes_no_other(make, rng):
    layer = make()
    x = rng.standard_normal((3, 4))
    dout = np.ones_like(layer(x))
    layer.backward(dout)
    full = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    assert layer.backward(dout, need_dx=False) is None
    for p, g in zip(layer.parameters(), full, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_gradients_add_up_until_zero_grad(rng):
    net = nn.mlp([4, 3, 2], dtype=np.float64)
    out = net(rng.standard_normal((5, 4)))
    net.backward(np.ones_like(out))
    once = [p.grad.copy() for p in net.parameters()]
    net.backward(np.ones_like(out))
    for p, g in zip(net.parameters(), once, strict=True):
        np.testing.assert_allclose(p.grad, 2 * g)
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_frozen_layers_get_no_gradient_and_change_no_other(rng):
    net = nn.mlp([4, 5, 6, 3], dtype=np.float64)
    x = rng.standard_normal((2, 4))
    dout = np.ones_like(net(x))
    net.backward(dout)
    free = {name: p.grad for name, p in net.named_parameters()}
    frozen = {"1.weight", "1.bias", "5.weight", "5.bias"}
    for layer in (net[1], net[5]):
        layer.requires_grad_(False)
    for need_dx in (True, False):
        net.zero_grad()
        net.backward(dout, need_dx=need_dx)
        for name, p in net.named_parameters():
            if name in frozen:
                assert p.grad is None
            else:
                np.testing.assert_array_equal(p.grad, free[name])
    assert net.requires_grad_().num_parameters() == 4 * 5 + 5 + 5 * 6 + 6 + 6 * 3 + 3


def test_backward_before_forward_is_an_error():
    with pytest.raises(RuntimeError, match=r"Linear.backward needs a forward pass"):
        nn.Linear(2, 2).backward(np.ones((1, 2), np.float32))


def test_names_modes_and_hooks(rng):
    net = nn.Sequential(nn.mlp([4, 3, 2]), nn.Tanh())
    assert [name for name, _ in net.named_layers()] == [
        "0.0.Flatten",
        "0.1.Linear",
        "0.2.ReLU",
        "0.3.Linear",
        "1.Tanh",
    ]
    assert [name for name, _ in net.named_parameters()] == [
        "0.1.weight",
        "0.1.bias",
        "0.3.weight",
        "0.3.bias",
    ]
    assert not net.eval().training and not net[0][2].training
    assert net.train()[0][2].training
    seen = []
    handle = net[1].register_forward_hook(lambda module, x, out: seen.append((module, x, out)))
    x = rng.standard_normal((2, 4)).astype(np.float32)
    out = net(x)
    handle.remove()
    handle.remove()
    net(x)
    assert len(seen) == 1 and seen[0][0] is net[1] and seen[0][2] is out


def test_state_dict_is_a_copy_and_loads_all_or_nothing():
    net, other = nn.mlp([4, 3, 2], seed=1), nn.mlp([4, 3, 2], seed=2)
    state = net.state_dict()
    state["1.weight"][0, 0] += 1
    assert net[1].weight.data[0, 0] != state["1.weight"][0, 0]
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other[3].weight.data, net[3].weight.data)
    before = net.state_dict()
    for broken, message in [
        ({**state, "9.weight": state["1.weight"]}, r"unknown \['9.weight'\]"),
        ({k: v for k, v in state.items() if k != "3.bias"}, r"missing \['3.bias'\]"),
        ({**state, "3.bias": np.zeros(7)}, r"'3.bias'\] has shape \(7,\), the net needs \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            net.load_state_dict(broken)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("shape", [(300, 500), (40, 30, 5, 3)])
@pytest.mark.parametrize("name", ["kaiming", "xavier"])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_initial_weights_have_the_spread_of_torch(name, kind, shape, rng):
    torch = pytest.importorskip("torch")
    ours = getattr(nn.init, f"{name}_{kind}")(shape, rng=rng)
    theirs = torch.empty(shape)
    torch.manual_seed(0)
    options = {"nonlinearity": "relu"} if name == "kaiming" else {}
    getattr(torch.nn.init, f"{name}_{kind}_")(theirs, **options)
    assert ours.dtype == np.float32
    assert ours.std() == pytest.approx(theirs.std().item(), rel=0.02)
    assert abs(ours.mean()) < 0.02 * ours.std()
    if kind == "uniform":
        assert np.abs(ours).max() == pytest.approx(theirs.abs().max().item(), rel=0.01)


def test_default_initial_weights_and_gains_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(400, 300, rng=rng), torch.nn.Linear(400, 300)
    assert ours.weight.data.std() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert ours.bias.data.std() == pytest.approx(theirs.bias.std().item(), rel=0.2)
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))


def test_other_initialisers_start_biases_at_zero_and_seeds_repeat():
    a, b = nn.mlp([4, 3, 2], seed=5), nn.mlp([4, 3, 2], seed=5)
    assert not a[1].bias.data.any()
    np.testing.assert_array_equal(a[3].weight.data, b[3].weight.data)
    assert (a[3].weight.data != nn.mlp([4, 3, 2], seed=6)[3].weight.data).all()
    zeros = nn.Linear(3, 2, init=lambda shape, *, rng, dtype: np.zeros(shape, dtype))
    assert not zeros.weight.data.any()


def test_summary_counts_parameters_and_multiplications():
    net = nn.mlp([3072, 1024, 10]).train()
    table = nn.summary(net, (3, 32, 32))
    assert table.loc["total", "parameters"] == 3072 * 1024 + 1024 + 1024 * 10 + 10
    assert table.loc["total", "MACs"] == 3072 * 1024 + 1024 * 10
    assert table.loc["1.Linear", "output"] == "1024"
    assert net.training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Linear(0, 3), "in_features must be at least 1, got 0"),
        (
            lambda: nn.Linear(3, 2, init="he"),
            "init must be a callable, a standard deviation or one of",
        ),
        (lambda: nn.mlp([10]), "sizes must name at least input and output"),
        (lambda: nn.Sequential(nn.ReLU), r"layers\[0\] must be a Module"),
        (lambda: nn.CrossEntropyLoss(2), "label_smoothing must lie"),
        (lambda: nn.init.calculate_gain("swish"), "nonlinearity must be one of"),
        (lambda: nn.init.calculate_fan((3,)), r"shape must be \(out, in, ...\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
