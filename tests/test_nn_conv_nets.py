"""Sandwiches and whole convolutional nets: against PyTorch, up the ladder, and their bill."""

import copy
import pickle

import numpy as np
import pytest

from coursekit import nn, optim
from coursekit.checks import gradcheck_module, sanity_ladder
from coursekit.data.dataset import Dataset, Split
from coursekit.training import Trainer

EXACT = {"rtol": 0, "atol": 1e-10}
WIDE = {"dtype": np.float64}


def small_net(**options):
    return nn.DeepConvNet([4, 5, 6], [0, 1], input_shape=(2, 8, 9), num_classes=3, **options)


def three_layers(**options):
    sizes = {"input_shape": (2, 8, 9), "num_filters": 4, "filter_size": 3, "hidden_size": 7}
    return nn.ThreeLayerConvNet(**sizes | {"num_classes": 3} | options)


def norms_and_averages(dtype):
    options = {"rng": np.random.default_rng(4), "dtype": dtype}
    return nn.Sequential(
        *nn.conv_relu(2, 6, (3, 2), stride=(1, 2), padding=1, **options),
        *(nn.GroupNorm(3, 6, dtype=dtype), nn.AvgPool2d(3, 2, 1)),
        *nn.conv_bn_relu_pool(6, 4, 3, padding=1, pool_size=(1, 2), **options),
        *(nn.GlobalAvgPool2d(), nn.Linear(4, 3, **options)),
    )


NETS = {
    "three layers": lambda dtype: three_layers(dtype=dtype),
    "deep": lambda dtype: small_net(dtype=dtype),
    "deep with batch norm": lambda dtype: small_net(batchnorm=True, dtype=dtype),
    "deep, pooled first": lambda dtype: small_net(batchnorm=True, pool_first=True, dtype=dtype),
    "deep without pools": lambda dtype: nn.DeepConvNet(
        [4, 4], input_shape=(2, 8, 9), num_classes=3, dtype=dtype
    ),
    "thirty convolutions": lambda dtype: nn.DeepConvNet(
        [4] * 30, [3, 9], input_shape=(2, 8, 9), num_classes=3, dtype=dtype
    ),
    "norms and averages": norms_and_averages,
}


@pytest.fixture(params=NETS)
def make(request):
    return NETS[request.param]


def batch(n=6, dtype=np.float64):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, 2, 8, 9)).astype(dtype), rng.integers(0, 3, n)


def torch_twin(torch, net):
    """The same net in PyTorch, with the same weights."""
    makers = {
        nn.Flatten: lambda _: torch.nn.Flatten(),
        nn.ReLU: lambda _: torch.nn.ReLU(),
        nn.Linear: lambda a: torch.nn.Linear(*a.weight.data.shape[::-1]),
        nn.Conv2d: lambda a: torch.nn.Conv2d(
            *a.weight.data.shape[1::-1], a.kernel_size, a.stride, a.padding, bias=a.bias is not None
        ),
        nn.MaxPool2d: lambda a: torch.nn.MaxPool2d(a.kernel_size, a.stride, a.padding),
        nn.AvgPool2d: lambda a: torch.nn.AvgPool2d(a.kernel_size, a.stride, a.padding),
        nn.GlobalAvgPool2d: lambda _: torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ),
        nn.BatchNorm2d: lambda a: torch.nn.BatchNorm2d(a.num_features),
        nn.GroupNorm: lambda a: torch.nn.GroupNorm(a.num_groups, a.num_channels),
    }
    twin = torch.nn.Sequential(*(makers[type(layer)](layer) for layer in net)).double()
    twin.load_state_dict({k: torch.tensor(v) for k, v in net.state_dict().items()})
    return twin


@pytest.mark.parametrize("training", [True, False])
def test_net_agrees_with_torch_and_shares_its_state_dict(make, training, rng):
    torch = pytest.importorskip("torch")
    net = make(np.float64).train(training)
    for p in net.parameters():
        if not np.ptp(p.data):  # biases of 0, scales of 1
            p.data += 0.1 * rng.standard_normal(p.data.shape)
    twin = torch_twin(torch, net).train(training)
    x, _ = batch()
    dout = rng.standard_normal((len(x), 3))
    tensor = torch.tensor(x, requires_grad=True)
    expected = twin(tensor)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(net(x), expected.detach(), **EXACT)
    np.testing.assert_allclose(net.backward(dout), tensor.grad, **EXACT)
    for (name, p), (torch_name, q) in zip(
        net.named_parameters(), twin.named_parameters(), strict=True
    ):
        assert name == torch_name
        np.testing.assert_allclose(p.grad, q.grad, **EXACT)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[name], value, **EXACT)


def test_the_first_convolution_may_skip_the_gradient_of_the_pictures(make):
    net, (x, _) = make(np.float64), batch()
    dout = np.ones_like(net(x))
    assert net.backward(dout).shape == x.shape
    full = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()
    assert net.backward(dout, need_dx=False) is None
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.grad, full[name])


@pytest.mark.parametrize(
    "name", sorted(NETS.keys() - {"thirty convolutions"})
)  # they take their time
def test_gradients_agree_with_central_differences_in_both_modes(name):
    net = NETS[name](np.float32)
    before = net.state_dict()
    for training in (True, False):
        result = gradcheck_module(net.train(training), *batch(), max_entries=6)
        assert result, str(result)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", ["three layers", "deep", "deep with batch norm"])
def test_a_healthy_net_climbs_the_ladder(name, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 2, 8, 9)).astype(np.float32)
    wide = {
        "three layers": lambda: three_layers(num_classes=10, hidden_size=40),
        "deep": lambda: nn.DeepConvNet([16, 24], [0], input_shape=(2, 8, 9)),
        "deep with batch norm": lambda: nn.DeepConvNet([16, 24], [0], True, input_shape=(2, 8, 9)),
    }
    result = sanity_ladder(wide[name](), (x, rng.integers(0, 10, 100)))
    assert result, str(result)
    assert capsys.readouterr().out.count("✓") == 4


# --- training ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    splits = [
        Split(rng.integers(0, 256, (n, 2, 8, 9), dtype=np.uint8), rng.integers(0, 3, n))
        for n in (50, 20, 20)
    ]
    return Dataset("noise", *splits, ("a", "b", "c"))


def trainer_for(net, data):
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    return Trainer(
        net,
        data,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        batch_size=16,
        progress=False,
    )


def test_a_run_saved_and_loaded_goes_on_bit_for_bit(make, data, tmp_path):
    straight = trainer_for(make(np.float32), data)
    straight.fit(2)
    first = trainer_for(make(np.float32), data)
    first.fit(1)
    first.save(tmp_path / "run")
    second = trainer_for(make(np.float32), data)
    second.load(tmp_path / "run")
    second.fit(2)
    for (name, a), b in zip(
        straight.net.state_dict().items(), second.net.state_dict().values(), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_frozen_first_convolution_stays_and_saves_the_gradient(data):
    net = small_net()
    net[0].requires_grad_(False)
    before = net[0].weight.data.copy()
    trainer_for(net, data).fit(1)
    np.testing.assert_array_equal(net[0].weight.data, before)
    assert net[0].weight.grad is None and net[3].weight.grad is not None


# --- construction -----------------------------------------------------------------------------


def kinds(net):
    return " ".join(type(layer).__name__ for layer in net)


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (nn.linear_norm_relu_dropout(4, 5, dropout=0.5), "Linear BatchNorm1d ReLU Dropout"),
        (nn.linear_norm_relu_dropout(4, 5, norm="layer"), "Linear LayerNorm ReLU"),
        (nn.linear_norm_relu_dropout(4, 5, norm=None, activation=nn.Tanh), "Linear Tanh"),
        (nn.conv_relu(3, 4, 3), "Conv2d ReLU"),
        (nn.conv_relu_pool(3, 4, 3), "Conv2d ReLU MaxPool2d"),
        (nn.conv_bn_relu(3, 4, 3), "Conv2d BatchNorm2d ReLU"),
        (nn.conv_bn_relu_pool(3, 4, 3), "Conv2d BatchNorm2d ReLU MaxPool2d"),
        (three_layers(), "Conv2d ReLU MaxPool2d Flatten Linear ReLU Linear"),
        (
            nn.DeepConvNet([4, 5, 6], {1}),
            "Conv2d ReLU Conv2d ReLU MaxPool2d Conv2d ReLU Flatten Linear",
        ),
        (
            nn.DeepConvNet([4, 5], [0], batchnorm=True),
            "Conv2d BatchNorm2d ReLU MaxPool2d Conv2d BatchNorm2d ReLU Flatten Linear",
        ),
        (
            nn.DeepConvNet([4, 5], [0], batchnorm=True, pool_first=True),
            "Conv2d MaxPool2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU Flatten Linear",
        ),
    ],
)
def test_layers_come_in_the_order_of_the_name(net, expected):
    assert isinstance(net, nn.Sequential)
    assert kinds(net) == expected


def test_a_layer_before_batch_norm_has_no_bias_and_others_have():
    for made, bare in [(nn.conv_bn_relu, True), (nn.conv_relu, False)]:
        assert (made(3, 4, 3)[0].bias is None) == bare
    assert nn.linear_norm_relu_dropout(3, 4)[0].bias is None
    assert nn.linear_norm_relu_dropout(3, 4, norm="layer")[0].bias is not None
    assert nn.DeepConvNet([4], batchnorm=True)[0].bias is None
    assert nn.DeepConvNet([4])[0].bias is not None


def test_sandwiches_hand_their_arguments_on():
    options = {"stride": 2, "padding": (1, 0), "init": 0.5, "dtype": np.float64}
    for sandwich in (nn.conv_relu, nn.conv_bn_relu, nn.conv_relu_pool, nn.conv_bn_relu_pool):
        first, again = (sandwich(3, 40, 5, rng=np.random.default_rng(2), **options) for _ in "12")
        conv = first[0]
        assert (conv.kernel_size, conv.stride, conv.padding) == ((5, 5), (2, 2), (1, 0))
        assert conv.weight.data.std() == pytest.approx(0.5, rel=0.05)
        np.testing.assert_array_equal(conv.weight.data, again[0].weight.data)
        assert {p.data.dtype for p in first.parameters()} == {np.dtype(np.float64)}
    assert nn.conv_relu_pool(3, 4, 3, pool_size=(1, 3))[-1].kernel_size == (1, 3)


def test_seeds_repeat_and_scale_sets_the_spread_everywhere():
    a, b, c = (nn.DeepConvNet([8, 9], [0], init=1e-3, seed=s) for s in (1, 1, 2))
    for name, array in a.state_dict().items():
        np.testing.assert_array_equal(array, b.state_dict()[name])
        if name.endswith("weight"):
            assert (array != c.state_dict()[name]).all()
            assert array.std() == pytest.approx(1e-3, rel=0.2)
        else:
            assert not array.any()


def test_kaiming_carries_the_signal_through_thirty_convolutions_and_a_plain_start_does_not(rng):
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    spread = {
        init: nn.DeepConvNet([16] * 30, [], init=init, input_shape=(3, 16, 16))(x).std()
        for init in ("kaiming", 1e-2)
    }
    assert 0.1 < spread["kaiming"] < 10 and spread[1e-2] < 1e-10


# --- the bill ---------------------------------------------------------------------------------


def test_summary_of_a_conv_net_by_hand():
    net = nn.DeepConvNet([4, 6], [0], True, input_shape=(3, 10, 8)).train()
    before = net.state_dict()
    table = nn.summary(net, (3, 10, 8))
    assert list(table.columns) == [
        "output",
        "parameters",
        "MACs",
        "activation bytes",
        "cache bytes",
        "receptive field",
    ]
    assert list(table["output"])[:4] == ["4×10×8", "4×10×8", "4×10×8", "4×5×4"]
    linear = 6 * 5 * 4 * 10
    macs = [4 * 27 * 80, 4 * 80, 0, 0, 6 * 36 * 20, 6 * 20, 0, 0, linear]
    assert list(table["MACs"]) == [*macs, sum(macs)]
    parameters = [4 * 27, 8, 0, 0, 6 * 36, 12, 0, 0, linear + 10]
    assert list(table["parameters"]) == [*parameters, sum(parameters)]
    assert list(table["activation bytes"])[:4] == [1280, 1280, 1280, 320]
    assert table.loc["total", "activation bytes"] == sum(table["activation bytes"][:-1])
    assert list(table["receptive field"]) == [
        *(3 * ["3×3"] + ["4×4"]),
        *(4 * ["8×8"] + ["16×14", ""]),  # a 5×4 map of units two pixels apart
    ]
    assert net.training
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_total_counts_what_two_layers_keep_once():
    net = nn.Sequential(*nn.conv_relu(3, 4, 3, padding=1), *nn.conv_relu(4, 5, 3, padding=1))
    kept = nn.summary(net, (3, 6, 6))["cache bytes"]
    picture, first, second = (4 * c * 36 for c in (3, 4, 5))
    assert list(kept) == [picture, first, first, second, picture + first + second]


def test_summary_counts_float64_twice_and_dropout_masks_once_a_number():
    narrow, wide = (
        nn.summary(nn.mlp([12, 40, 3], dropout=0.5, dtype=dtype), (12,))
        for dtype in (np.float32, np.float64)
    )
    assert list(wide["activation bytes"]) == [2 * n for n in narrow["activation bytes"]]
    assert narrow.loc["3.Dropout", "cache bytes"] == 40
    assert set(narrow["receptive field"]) == {""}


def test_summary_draws_no_masks_and_fires_no_hooks():
    net, seen = nn.mlp([12, 40, 3], norm="batch", dropout=0.5), []
    stream = net[4].rng.bit_generator.state
    net[1].register_forward_hook(lambda *args: seen.append(args))
    nn.summary(net, (12,))
    assert net[4].rng.bit_generator.state == stream
    assert not seen and not net[2].num_batches_tracked


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(3, 2, (3, 5)), nn.Conv2d(2, 2, (2, 1))], ["3×5", "4×5"]),
        (
            [nn.Conv2d(3, 2, 3, 2), nn.Conv2d(2, 2, 3, 2), nn.Conv2d(2, 2, 3)],
            ["3×3", "7×7", "15×15"],
        ),
        ([nn.MaxPool2d(3, 2), nn.ReLU(), nn.AvgPool2d((1, 2))], ["3×3", "3×3", "3×5"]),
        ([nn.Conv2d(3, 4, 3), nn.GlobalAvgPool2d(), nn.Linear(4, 2)], ["3×3", "24×20", "24×20"]),
        ([nn.Flatten(), nn.Linear(3 * 480, 5), nn.Linear(5, 2)], ["1×1", "24×20", "24×20"]),
    ],
)
def test_receptive_fields(layers, expected):
    table = nn.summary(nn.Sequential(*layers), (3, 24, 20))
    assert list(table["receptive field"][:-1]) == expected


def test_a_receptive_field_is_where_a_unit_has_a_gradient():
    """Measured: the pixels that move the unit in the middle of a map."""
    net = nn.Sequential(
        *nn.conv_relu(1, 3, 3, padding=1, stride=2, dtype=np.float64),
        *nn.conv_relu_pool(3, 3, (3, 5), padding=(1, 2), dtype=np.float64),
        *nn.conv_relu(3, 2, 3, padding=1, dtype=np.float64),
    )
    for conv in (net[0], net[2], net[5]):
        conv.weight.data[...] = abs(conv.weight.data)
    x = 1 + np.random.default_rng(0).random((400, 1, 64, 64))
    dout = np.zeros_like(net(x))
    dout[:, :, 8, 8] = 1
    rows, columns = np.nonzero(abs(net.backward(dout)).sum(axis=(0, 1)))
    field = nn.summary(net, (1, 64, 64))["receptive field"].iloc[-2]
    assert f"{np.ptp(rows) + 1}×{np.ptp(columns) + 1}" == field


class Detour(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.inner(2 * x)


def test_a_receptive_field_that_cannot_be_followed_is_left_empty():
    net = nn.Sequential(nn.ReLU(), Detour(), nn.Conv2d(3, 3, 3))
    assert list(nn.summary(net, (3, 9, 9))["receptive field"]) == ["1×1", "", "", ""]


def test_a_layer_norm_over_maps_multiplies_each_number_once():
    table = nn.summary(nn.Sequential(nn.LayerNorm((3, 4, 5))), (3, 4, 5))
    assert table.loc["total", "MACs"] == 60


# --- copies -----------------------------------------------------------------------------------


def test_copies_carry_neither_caches_nor_hooks(make):
    net, (x, _) = make(np.float64), batch()
    seen = []
    net[0].register_forward_hook(lambda *args: seen.append(args))
    out = net.eval()(x)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert len(pickle.dumps(copied)) < 3e5 + sum(a.nbytes for a in net.state_dict().values())
        with pytest.raises(RuntimeError, match="needs a forward pass before it"):
            copied.backward(np.ones_like(out))
        np.testing.assert_array_equal(copied(x), out)
    assert len(seen) == 1
    assert net.backward(np.ones_like(out)).shape == x.shape  # the original keeps its own


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.DeepConvNet([]), "num_filters must name at least one convolution"),
        (lambda: nn.DeepConvNet([4, 5], [2]), r"max_pools must lie in 0\.\.1 .* got \[2\]"),
        (lambda: nn.DeepConvNet([4, 5], [-1]), r"max_pools must lie in 0\.\.1 .* got \[-1\]"),
        (lambda: nn.DeepConvNet([4], pool_first=True), "pool_first needs .*, got batchnorm=False"),
        (lambda: nn.DeepConvNet([4] * 6, range(6)), "sides of at least 64 for 6 pools"),
        (lambda: nn.DeepConvNet([4, 0]), "out_channels must be at least 1, got 0"),
        (lambda: nn.DeepConvNet([4], init="he"), "init must be a callable"),
        (lambda: nn.DeepConvNet([4], input_shape=(3, 32)), r"input_shape must be \(C, H, W\)"),
        (lambda: nn.ThreeLayerConvNet(filter_size=4), "filter_size must be odd, got 4"),
        (lambda: nn.ThreeLayerConvNet((3, 1, 8)), "sides of at least 2 for 1 pools"),
        (lambda: nn.linear_norm_relu_dropout(3, 4, norm="group"), "norm must be None or one of"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
