"""Nets, losses and optimisers in PyTorch, and nets back: the same numbers, nothing shared."""

import numpy as np
import pytest

from coursekit import nn, optim

torch = pytest.importorskip("torch")

from coursekit import port  # noqa: E402

EXACT = {"rtol": 0, "atol": 1e-10}
F64 = {"dtype": np.float64}

# Layers, and the shape of an input.
LAYERS = {
    "Linear": (lambda: nn.Linear(5, 3, **F64), (4, 5)),
    "Linear without bias": (lambda: nn.Linear(1, 2, bias=False, **F64), (1, 1)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3, **F64), (2, 3, 5, 7)),
    "Conv2d with all options": (
        lambda: nn.Conv2d(2, 1, (1, 4), (2, 1), (0, 3), bias=False, **F64),
        (1, 2, 5, 4),
    ),
    "MaxPool2d": (lambda: nn.MaxPool2d((3, 2), (2, 1), (1, 0)), (2, 3, 6, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 1, 1), (2, 3, 6, 5)),
    "GlobalAvgPool2d": (lambda: nn.GlobalAvgPool2d(), (2, 3, 4, 7)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3, 1e-3, 0.3, **F64), (4, 3)),
    "BatchNorm1d on sequences": (lambda: nn.BatchNorm1d(3, **F64), (2, 3, 5)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, **F64), (2, 3, 4, 7)),
    "BatchNorm2d that averages": (lambda: nn.BatchNorm2d(3, momentum=None, **F64), (2, 3, 4, 7)),
    "BatchNorm2d without affine": (lambda: nn.BatchNorm2d(3, affine=False, **F64), (2, 3, 4, 7)),
    "BatchNorm2d without statistics": (
        lambda: nn.BatchNorm2d(3, track_running_stats=False, **F64),
        (2, 3, 4, 7),
    ),
    "LayerNorm": (lambda: nn.LayerNorm((4, 7), 1e-3, **F64), (2, 3, 4, 7)),
    "LayerNorm without affine": (lambda: nn.LayerNorm(5, 1e-5, False), (2, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 6, 1e-3, **F64), (2, 6, 4, 5)),
    "GroupNorm without affine": (lambda: nn.GroupNorm(1, 4, affine=False), (1, 4, 3)),
    "Dropout": (lambda: nn.Dropout(0.0), (3, 4)),
    "Flatten": (nn.Flatten, (3, 2, 4, 1)),
    "ReLU": (nn.ReLU, (3, 4)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.3), (3, 4)),
    "Tanh": (nn.Tanh, (3, 4)),
    "Sigmoid": (nn.Sigmoid, (3, 4)),
    "ThreeLayerConvNet": (lambda: nn.ThreeLayerConvNet((2, 6, 9), 3, 5, 4, **F64), (2, 2, 6, 9)),
    "DeepConvNet": (
        lambda: nn.DeepConvNet([3, 4], [1], True, input_shape=(1, 5, 6), **F64),
        (3, 1, 5, 6),
    ),
    "mlp": (lambda: nn.mlp([6, 5, 3], norm="layer", activation=nn.Tanh, **F64), (4, 2, 3)),
    "nested": (
        lambda: nn.Sequential(
            nn.conv_bn_relu(2, 3, 3, **F64),
            nn.Sequential(nn.conv_relu_pool(3, 4, 2, **F64), nn.Sequential()),
            nn.GlobalAvgPool2d(),
            nn.Linear(4, 2, **F64),
        ),
        (3, 2, 9, 8),
    ),
}


@pytest.fixture(params=LAYERS)
def case(request, rng):
    """A layer with a state of its own, what it becomes in PyTorch, and an input."""
    make, shape = LAYERS[request.param]
    layer = make()
    for p in layer.parameters():
        p.data[...] = rng.standard_normal(p.data.shape)
    layer(rng.standard_normal(shape))  # moves the running statistics
    return layer, port.to_torch(layer), rng.standard_normal(shape)


def run_torch(module, x, dout):
    tensor = torch.tensor(x, requires_grad=True)
    out = module(tensor)
    out.backward(torch.from_numpy(dout))
    return [out.detach(), tensor.grad, *(p.grad for p in module.parameters())]


def assert_states_equal(state, expected):
    assert list(state) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value)
        assert np.asarray(state[name]).dtype == np.asarray(value).dtype


def test_every_layer_of_the_course_is_among_the_cases():
    layers = {
        value
        for value in vars(nn).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value is not nn.Module
    }
    assert layers <= {type(make()) for make, _ in LAYERS.values()}


@pytest.mark.parametrize("training", [True, False])
def test_both_sides_compute_the_same(case, training, rng):
    layer, module, x = case
    layer.train(training)
    module.train(training)
    out = layer(x)
    dout = rng.standard_normal(out.shape)
    results = [out, layer.backward(dout), *(p.grad for p in layer.parameters())]
    for ours, theirs in zip(results, run_torch(module, x, dout), strict=True):
        np.testing.assert_allclose(ours, theirs, **EXACT)
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(layer.state_dict()[name], value, **EXACT)


def test_there_and_back_is_the_same_net(case, rng):
    layer, module, x = case
    back = port.from_torch(module)
    assert_states_equal(back.state_dict(), layer.state_dict())
    assert [repr(m) for _, m in back.named_layers()] == [repr(m) for _, m in layer.named_layers()]
    np.testing.assert_array_equal(back(x), layer(x))
    for name, value in back.state_dict().items():
        np.testing.assert_array_equal(value, layer.state_dict()[name])


def test_the_two_sides_share_no_memory(case):
    layer, module, _ = case
    before = layer.state_dict()
    back = port.from_torch(module)
    with torch.no_grad():
        for value in module.state_dict().values():
            value += 1
    assert_states_equal(layer.state_dict(), before)
    assert_states_equal(back.state_dict(), before)


def test_names_of_the_state_are_those_of_torch_sequential(case):
    layer, module, _ = case
    assert list(module.state_dict()) == list(layer.state_dict())
    assert [n for n, _ in module.named_parameters()] == [n for n, _ in layer.named_parameters()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_comes_along(dtype):
    net = nn.DeepConvNet([2], [0], True, input_shape=(1, 4, 4), dtype=dtype)
    module = port.to_torch(net)
    for state in (module.state_dict(), port.from_torch(module).state_dict()):
        kinds = {np.asarray(v).dtype for v in state.values()}
        assert kinds == {np.dtype(dtype), np.dtype(np.int64)}


def test_what_is_frozen_and_what_evaluates_comes_along():
    net = nn.Sequential(nn.conv_bn_relu(1, 2, 3), nn.Dropout(0.3), nn.BatchNorm2d(2), nn.Flatten())
    net[0][0].requires_grad_(False)
    net[0][1].eval()
    net[1].eval()
    module = port.to_torch(net)
    back = port.from_torch(module)
    assert [p.requires_grad for p in module.parameters()] == [False, True, True, True, True]
    assert [p.requires_grad for p in back.parameters()] == [False, True, True, True, True]
    modes = [True, True, True, False, True, False, True, True]  # a net before what is inside it
    assert [m.training for m in module.modules()] == modes
    flat = [back, back[0], *back[0], *list(back)[1:]]
    assert [m.training for m in flat] == modes
    assert back[1].p == module[1].p == 0.3


def test_converting_draws_no_random_numbers_of_torch():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    port.to_torch(nn.ThreeLayerConvNet((1, 4, 4), 2, 3, 4))
    assert torch.rand(1) == expected


def test_a_net_written_in_torch_becomes_ours(rng):
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, (3, 5), padding="same"),
        torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(3, 4, 2, padding="valid"),
        torch.nn.AdaptiveAvgPool2d((1, 1)),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).double()
    net = port.from_torch(module)
    assert list(net.state_dict()) == list(module.state_dict())
    assert net[0].padding == (1, 2)
    x = rng.standard_normal((2, 2, 6, 7))
    out = net(x)
    dout = rng.standard_normal(out.shape)
    expected, dx, *_ = run_torch(module, x, dout)
    np.testing.assert_allclose(out, expected, **EXACT)
    np.testing.assert_allclose(net.backward(dout), dx, **EXACT)


def test_named_modules_are_numbered_and_a_relu_used_twice_stays_one(rng):
    relu = torch.nn.ReLU()
    layers = {
        "fc": torch.nn.Linear(3, 4),
        "relu": relu,
        "out": torch.nn.Linear(4, 2),
        "again": relu,
    }
    module = torch.nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    net = port.from_torch(module.double())
    assert len(net) == 4 and net[1] is net[3]
    x = rng.standard_normal((5, 3))
    np.testing.assert_allclose(net(x), module(torch.from_numpy(x)).detach(), **EXACT)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Backwards(nn.Sequential):
    def forward(self, x):
        return super().forward(-x)


class TorchBackwards(torch.nn.Sequential):
    def forward(self, x):
        return super().forward(-x)


@pytest.mark.parametrize(
    "convert, net, message",
    [
        ("to_torch", nn.Sequential(nn.ReLU(), nn.Sequential(Doubled())), r"net\[1\]\[0\].*Doubled"),
        ("to_torch", Backwards(nn.ReLU()), "net must be one of .*Sequential.* got .*Backwards"),
        ("to_torch", torch.nn.ReLU(), "net must be a coursekit.nn.Module, got torch's ReLU"),
        ("from_torch", nn.ReLU(), "module must be a torch.nn.Module, got coursekit's ReLU"),
        ("from_torch", torch.nn.Sequential(torch.nn.GELU()), r"module\[0\].*Conv2d.*got.*GELU"),
        ("from_torch", TorchBackwards(torch.nn.ReLU()), "TorchBackwards"),
    ],
)
def test_what_has_no_counterpart_is_named(convert, net, message):
    with pytest.raises(TypeError, match=f"(?s){message}"):
        getattr(port, convert)(net)


@pytest.mark.parametrize(
    "module, message",
    [
        ("Conv2d(2, 4, 3, dilation=2)", r"dilation=\(2, 2\).*only dilation=\(1, 1\)"),
        ("Conv2d(2, 4, 3, groups=2)", "groups=2"),
        ("Conv2d(2, 4, 3, padding=1, padding_mode='reflect')", "padding_mode='reflect'"),
        ("Conv2d(2, 4, 2, padding='same')", "odd kernel_size"),
        ("MaxPool2d(2, ceil_mode=True)", "ceil_mode=True"),
        ("MaxPool2d(2, dilation=2)", "dilation=2"),
        ("MaxPool2d(2, return_indices=True)", "return_indices=True"),
        ("AvgPool2d(2, ceil_mode=True)", "ceil_mode=True"),
        ("AvgPool2d(2, count_include_pad=False)", "count_include_pad=False"),
        ("AvgPool2d(2, divisor_override=3)", "divisor_override=3"),
        ("Flatten(0)", "start_dim=0"),
        ("LayerNorm(4, bias=False)", "weight or a bias alone"),
        ("Linear(2, 3, dtype=torch.bfloat16)", r"weight must be float32 or float64.*bfloat16"),
        ("Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())", "output_size=2"),
        ("Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.ReLU())", "must have a Flatten"),
        ("Sequential(torch.nn.AdaptiveAvgPool2d(1))", r"module\[0\].* must have a Flatten"),
        ("AdaptiveAvgPool2d(1)", "must have a Flatten"),
    ],
)
def test_an_option_that_ours_does_not_have_is_named_with_its_value(module, message):
    with pytest.raises(ValueError, match=message):
        port.from_torch(eval(f"torch.nn.{module}", {"torch": torch}))


def shared_nets():
    """Nets in which a layer stands twice, or two layers have one parameter."""
    act, linear, norm = nn.Tanh(), nn.Linear(4, 4, **F64), nn.BatchNorm1d(4, **F64)
    block = nn.Sequential(nn.Linear(4, 4, **F64), act, norm)
    tied = nn.Linear(4, 4, **F64)
    tied.weight = linear.weight
    yield nn.Sequential(linear, act, linear, nn.Sequential(act, linear))
    yield nn.Sequential(block, nn.Linear(4, 4, **F64), block, norm)
    yield nn.Sequential(linear, act, nn.Sequential(tied, nn.ReLU()))


def identities(modules, parameters):
    """Which places hold the same thing: for each the place where it first stands."""
    first: dict[int, str] = {}
    named = [*modules, *parameters]
    return {name: first.setdefault(id(value), name) for name, value in named}


def named_in(net):
    if isinstance(net, torch.nn.Module):
        modules = [(f"{n}." if n else "", m) for n, m in net.named_modules(remove_duplicate=False)]
        return modules, list(net.named_parameters(remove_duplicate=False))
    return list(net._places("")), list(net._parameters_at())


@pytest.mark.parametrize("which", range(3))
def test_what_is_shared_stays_shared_both_ways_and_trains_alike(which, rng):
    net = list(shared_nets())[which]
    twin = port.to_torch(net)
    back = port.from_torch(twin)
    expected = identities(*named_in(net))
    assert len(set(expected.values())) < len(expected)
    assert identities(*named_in(twin)) == expected == identities(*named_in(back))
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]
    ours = optim.SGD(net.parameters(), 0.1, momentum=0.9)
    theirs = port.to_torch_optimizer(ours, twin)
    for _ in range(3):
        x, dout = rng.standard_normal((2, 5, 4))
        for each in (ours, theirs):
            each.zero_grad()
        out = twin(torch.from_numpy(x))
        np.testing.assert_allclose(net(x), out.detach(), **EXACT)
        net.backward(dout)
        out.backward(torch.from_numpy(dout))
        for (name, p), q in zip(net.named_parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad, **EXACT, err_msg=name)
        for each in (ours, theirs):
            each.step()
    state = twin.state_dict()
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(array, state[name], **EXACT, err_msg=name)


def test_two_parameters_over_the_same_numbers_are_refused_either_way():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight.data = first.weight.data
    with pytest.raises(ValueError, match=r"0.weight, 1.weight: got two Parameters"):
        port.to_torch(nn.Sequential(first, second))
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight.data = first.weight.data
    with pytest.raises(ValueError, match=r"0.weight, 1.weight: got two Parameters"):
        port.from_torch(torch.nn.Sequential(first, second))


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(0.2),
        nn.MultiMarginLoss(),
        nn.MultiMarginLoss(0.5),
    ],
    ids=repr,
)
def test_losses_agree(criterion, rng):
    logits, targets = rng.standard_normal((5, 3)), rng.integers(3, size=5)
    theirs = port.to_torch_loss(criterion)(torch.from_numpy(logits), torch.from_numpy(targets))
    assert criterion(logits, targets) == pytest.approx(theirs.item(), abs=1e-14)


RULES = {
    "SGD": lambda p: optim.SGD(p, 0.05, weight_decay=0.01),
    "momentum": lambda p: optim.SGD(p, 0.05, momentum=0.9),
    "Nesterov": lambda p: optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, 1e-3, 0.9, 1e-3, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, 0.01, (0.8, 0.99), 1e-4, weight_decay=0.01),
    "AdamW": lambda p: optim.AdamW(p, 0.01, (0.5, 0.9), weight_decay=0.1),
}


def draw_gradients(net, rng):
    """New gradients for all but the first bias, which is frozen."""
    for p in net.parameters():
        p.grad = rng.standard_normal(p.data.shape) if p.requires_grad else None


@pytest.mark.parametrize("steps_before", [0, 3])
@pytest.mark.parametrize("rule", RULES)
def test_an_optimizer_goes_on_as_ours(rule, steps_before, rng):
    net = nn.Sequential(nn.Linear(3, 4, **F64), nn.Linear(4, 2, **F64))
    net[0].bias.requires_grad = False
    ours = RULES[rule](net.parameters())
    for _ in range(steps_before):
        draw_gradients(net, rng)
        ours.step()
    module = port.to_torch(net)
    theirs = port.to_torch_optimizer(ours, module)
    saved = ours.state_dict()
    for _ in range(4):
        draw_gradients(net, rng)
        for p, q in zip(net.parameters(), module.parameters(), strict=True):
            q.grad = None if p.grad is None else torch.tensor(p.grad)
        theirs.step()
        assert_states_equal(ours.state_dict(), saved)  # theirs moved, ours did not
        ours.step()
        saved = ours.state_dict()
        for p, q in zip(net.parameters(), module.parameters(), strict=True):
            np.testing.assert_allclose(p.data, q.detach(), **EXACT)


def test_an_optimizer_keeps_the_rate_it_has_come_to():
    net = nn.Linear(3, 2)
    ours = optim.SGD(net.parameters(), 0.1)
    ours.lr = np.float64(0.025)
    theirs = port.to_torch_optimizer(ours, port.to_torch(net))
    assert type(theirs.param_groups[0]["lr"]) is float and theirs.param_groups[0]["lr"] == 0.025


class Signs(optim.SGD):
    pass


def test_optimizers_and_losses_without_counterpart_are_refused():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    module = port.to_torch(net)
    with pytest.raises(TypeError, match="optimizer must be one of SGD.*got .*Signs"):
        port.to_torch_optimizer(Signs(net.parameters()), module)
    with pytest.raises(ValueError, match="all parameters of module"):
        port.to_torch_optimizer(optim.SGD(net[1].parameters()), module)
    with pytest.raises(TypeError, match="criterion must be .*got torch's CrossEntropyLoss"):
        port.to_torch_loss(torch.nn.CrossEntropyLoss())
