"""A module or a parameter used twice: the right gradient or one clear error."""

import copy
import pickle

import numpy as np
import pytest

from coursekit import atlas, nn, optim, training
from coursekit.data.dataset import Dataset, Split

F64 = {"dtype": np.float64}


def linear(features_in=4, features_out=4, seed=0):
    return nn.Linear(features_in, features_out, rng=np.random.default_rng(seed), **F64)


def act_at_two_places():
    act = nn.Tanh()
    return nn.Sequential(linear(seed=1), act, linear(seed=2), act, linear(4, 3, seed=3))


def weights_at_three_places():
    layer = linear(seed=1)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Sequential(nn.Sigmoid(), layer))


def block_in_blocks():
    inner = nn.Sequential(linear(seed=1), nn.Tanh())
    outer = nn.Sequential(inner, linear(seed=2), inner)
    return nn.Sequential(outer, inner, nn.LeakyReLU(0.3), outer)


def norms_at_two_places():
    norm, layer_norm = nn.BatchNorm1d(4, **F64), nn.LayerNorm(4, **F64)
    return nn.Sequential(linear(seed=1), norm, layer_norm, linear(seed=2), norm, layer_norm)


def shared_before_the_first_that_learns():
    act = nn.Tanh()
    return nn.Sequential(act, linear(seed=1), act, linear(seed=2))


NETS = [
    act_at_two_places,
    weights_at_three_places,
    block_in_blocks,
    norms_at_two_places,
    shared_before_the_first_that_learns,
]


def unshared(net):
    """The same net with a copy of its own at every place, and the names of each parameter."""
    if not isinstance(net, nn.Sequential):
        return copy.deepcopy(net)
    return nn.Sequential(*map(unshared, net))


def expected_gradients(net, x, dout):
    """Input and parameter gradients, the latter summed over the places of each parameter."""
    places, apart = dict(net._parameters_at()), unshared(net)
    apart(x)
    dx = apart.backward(dout)
    sums: dict[int, np.ndarray] = {}
    for name, p in apart.named_parameters():
        if p.requires_grad:
            key = id(places[name])
            sums[key] = sums.get(key, 0) + p.grad
    return dx, sums


@pytest.mark.parametrize("make", NETS)
def test_a_layer_at_several_places_of_a_sequential_gets_the_sum_of_its_gradients(make, rng):
    net = make()
    x = rng.standard_normal((5, 4))
    dout = rng.standard_normal(net(x).shape)
    dx, sums = expected_gradients(net, x, dout)
    for need_dx in (True, False, True):  # a second backward for the same pass adds the same again
        net.zero_grad()
        got = net.backward(dout, need_dx=need_dx)
        if need_dx:
            np.testing.assert_allclose(got, dx, rtol=0, atol=1e-12)
        for name, p in net.named_parameters():
            np.testing.assert_allclose(p.grad, sums[id(p)], rtol=0, atol=1e-12, err_msg=name)


def test_frozen_parts_and_evaluation_change_nothing_of_that(rng):
    net = norms_at_two_places()
    net(rng.standard_normal((6, 4)))
    net.eval()
    net[0].requires_grad_(False)
    x, dout = rng.standard_normal((2, 5, 4))
    net(x)
    dx, sums = expected_gradients(net, x, dout)
    np.testing.assert_allclose(net.backward(dout), dx, rtol=0, atol=1e-12)
    assert net[0].weight.grad is None
    np.testing.assert_allclose(net[3].weight.grad, sums[id(net[3].weight)], rtol=0, atol=1e-12)


def test_nets_that_share_a_trunk_may_go_back_in_any_order(rng):
    trunk = nn.Sequential(linear(seed=1), nn.Tanh())
    nets = [nn.Sequential(trunk, linear(4, k, seed=k)) for k in (2, 3)]
    x = rng.standard_normal((2, 5, 4))
    douts = [rng.standard_normal((5, k)) for k in (2, 3)]
    expected = [expected_gradients(*each)[0] for each in zip(nets, x, douts, strict=True)]
    for order in ((0, 1), (1, 0)):
        for net, each in zip(nets, x, strict=True):
            net(each)
        for i in order:
            np.testing.assert_allclose(nets[i].backward(douts[i]), expected[i], rtol=0, atol=1e-12)


def test_a_parameter_of_two_layers_is_one_everywhere(rng):
    first, second = linear(seed=1), linear(seed=2)
    second.weight = first.weight
    net = nn.Sequential(first, nn.Tanh(), second)
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.bias"]
    assert net.num_parameters() == 16 + 4 + 4
    assert nn.summary(net, (4,))["parameters"].tolist() == [20, 0, 4, 24]
    x, dout = rng.standard_normal((2, 5, 4))
    net(x)
    _, sums = expected_gradients(net, x, dout)
    net.backward(dout)
    np.testing.assert_allclose(first.weight.grad, sums[id(first.weight)], rtol=0, atol=1e-12)
    expected = first.weight.data - 0.1 * first.weight.grad
    optim.SGD(net.parameters(), 0.1).step()
    np.testing.assert_allclose(second.weight.data, expected, rtol=0, atol=1e-14)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin[0].weight is twin[2].weight


@pytest.mark.parametrize(
    "share",
    [
        lambda a, b: setattr(b.weight, "data", a.weight.data),
        lambda a, b: setattr(b, "weight", nn.Parameter(a.weight.data)),
        lambda a, b: setattr(b.weight, "data", a.weight.data.T),
        lambda a, b: setattr(b.bias, "data", a.weight.data[1]),
    ],
    ids=["the array", "another Parameter", "transposed", "a row"],
)
def test_two_parameters_over_the_same_numbers_are_refused_before_they_are_counted_twice(share):
    net = nn.Sequential(linear(seed=1), linear(seed=2))
    share(net[0], net[1])
    for count in (net.parameters, net.num_parameters, net.zero_grad):
        with pytest.raises(ValueError, match=r"0\.weight, 1\.\w+: got two Parameters over the sam"):
            count()


def test_slices_of_one_array_that_do_not_overlap_are_two_parameters():
    net = nn.Sequential(linear(seed=1), linear(seed=2))
    flat = np.zeros((2, 16))
    net[0].weight.data, net[1].weight.data = (row.reshape(4, 4) for row in flat)
    assert net.num_parameters() == 2 * 16 + 2 * 4


def test_a_state_has_all_names_and_must_not_give_a_shared_parameter_two_values():
    net = weights_at_three_places()
    state = net.state_dict()
    assert sorted(state) == [f"{i}.{n}" for i in ("0", "2", "3.1") for n in ("bias", "weight")]
    before = copy.deepcopy(state)
    state["3.1.weight"] = state["3.1.weight"] + 1
    with pytest.raises(ValueError, match=r"two values for 0.weight and 3.1.weight"):
        net.load_state_dict(state)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    net.load_state_dict(before)


def test_modules_and_layers_are_named_once():
    net = block_in_blocks()
    assert [name for name, _ in net.named_layers()] == [
        "0.0.0.Linear",
        "0.0.1.Tanh",
        "0.1.Linear",
        "2.LeakyReLU",
    ]
    assert len(list(net.modules())) == len(set(map(id, net.modules()))) == 7


def test_the_bill_has_a_row_for_every_call_and_counts_a_parameter_once():
    net = weights_at_three_places()
    table, apart = nn.summary(net, (4,)), nn.summary(unshared(net), (4,))
    assert table["parameters"].tolist() == [20, 0, 0, 0, 0, 20]
    for column in ("output", "MACs", "activation bytes"):
        assert table[column].tolist() == apart[column].tolist()
    assert table["cache bytes"].iloc[:-1].tolist() == apart["cache bytes"].iloc[:-1].tolist()


class TwoBranches(nn.Module):
    """``act(a(x)) + act(b(x))``, its backward from the first branch to the last or in reverse."""

    def __init__(self, act, order):
        super().__init__()
        self.act, self.a, self.b, self.order = act, linear(seed=1), linear(seed=2), order

    def forward(self, x):
        return self.act(self.a(x)) + self.act(self.b(x))

    def backward(self, dout, *, need_dx=True):
        branches = [self.a, self.b][:: self.order]
        return sum(branch.backward(self.act.backward(dout)) for branch in branches)


class Swish(nn.Module):
    """A layer as a learner may write it: it keeps its input under a name of its own."""

    def forward(self, x):
        self.x = x
        return x / (1 + np.exp(-x))

    def backward(self, dout, *, need_dx=True):
        s = 1 / (1 + np.exp(-self.x))
        return dout * (s + self.x * s * (1 - s))


class CachingSwish(Swish):
    """The same, with all it keeps where a shared layer has to keep it."""

    def forward(self, x):
        self._cache = x
        return x / (1 + np.exp(-x))

    def backward(self, dout, *, need_dx=True):
        s = 1 / (1 + np.exp(-self._cache))
        return dout * (s + self._cache * s * (1 - s))


class Skip(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)

    def backward(self, dout, *, need_dx=True):
        return dout + self.body.backward(dout)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("act", [nn.ReLU, lambda: nn.Sequential(nn.Tanh(), nn.ReLU())])
@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: nn.Sequential(linear(), net)])
def test_a_module_of_ones_own_that_calls_a_layer_twice_is_told_so(act, order, wrap, rng):
    net = wrap(TwoBranches(act(), order))
    out = net(rng.standard_normal((5, 4)))  # forward passes alone are as good as ever
    with pytest.raises(RuntimeError, match=r"called more than once in one forward pass.*one layer"):
        net.backward(np.ones_like(out))


def test_a_layer_that_keeps_what_it_needs_elsewhere_cannot_stand_twice(rng):
    x = rng.standard_normal((5, 4))
    swish = Swish()
    for net in (
        nn.Sequential(linear(), swish, linear(), swish),
        TwoBranches(swish, -1),
        nn.Sequential(Skip(swish), swish),
    ):
        with pytest.raises(RuntimeError, match=r"Swish: .*overwrote x of the first; needed one"):
            net(x)
    once = nn.Sequential(linear(), swish)
    assert once.backward(np.ones_like(once(x))).shape == x.shape
    caching = CachingSwish()
    net = nn.Sequential(linear(seed=1), caching, linear(seed=2), caching)
    dout = rng.standard_normal(net(x).shape)
    np.testing.assert_allclose(
        net.backward(dout), expected_gradients(net, x, dout)[0], rtol=0, atol=1e-12
    )


def test_a_block_of_ones_own_at_two_places_is_refused_in_backward(rng):
    block = Skip(nn.Sequential(linear(), nn.Tanh()))
    net = nn.Sequential(block, block)
    out = net(rng.standard_normal((5, 4)))
    with pytest.raises(RuntimeError, match="called more than once in one forward pass"):
        net.backward(np.ones_like(out))
    first, second = nn.Sequential(block), nn.Sequential(block)
    for each in (first, second):
        each(rng.standard_normal((5, 4)))
    second.backward(np.ones_like(out))
    with pytest.raises(RuntimeError, match="called again since the forward pass"):
        first.backward(np.ones_like(out))


@pytest.mark.parametrize(
    "make",
    [lambda: linear(), act_at_two_places, lambda: Skip(linear())],
    ids=["layer", "twice", "skip"],
)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_two_forward_passes_and_two_backward_passes_are_refused(make, mode, rng):
    net = getattr(make(), mode)()
    x = rng.standard_normal((2, 5, 4))
    outs = [net(each) for each in x]
    net.backward(np.ones_like(outs[1]))
    with pytest.raises(RuntimeError, match="only the last forward pass is kept"):
        net.backward(np.ones_like(outs[0]))
    for each in x:  # one after the other they add up
        net.backward(np.ones_like(net(each)))
    net.backward(np.ones_like(outs[0]))  # and the last one again


def test_layers_called_by_hand_are_told_which_backward_is_missing(rng):
    act, first, second = nn.Tanh(), linear(seed=1), linear(seed=2)
    out = act(second(act(first(rng.standard_normal((5, 4))))))
    grad = second.backward(act.backward(np.ones_like(out)))
    with pytest.raises(RuntimeError, match="Tanh.backward: got a second call"):
        act.backward(grad)


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss(), nn.MultiMarginLoss()], ids=repr)
def test_a_loss_asked_twice_goes_back_once(criterion, rng):
    with pytest.raises(RuntimeError, match="needs a value before it"):
        type(criterion)().backward()
    logits, y = rng.standard_normal((2, 5, 3)), np.arange(5) % 3
    for each in logits:
        criterion(each, y)
    last = criterion.backward()
    with pytest.raises(RuntimeError, match="only the last value is kept"):
        criterion.backward()
    criterion(logits[1], y)
    np.testing.assert_array_equal(criterion.backward(), last)
    np.testing.assert_array_equal(criterion.backward(), last)


def test_grad_cam_takes_a_net_that_has_a_layer_twice(rng):
    act = nn.ReLU()
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, rng=rng, **F64), act, nn.Conv2d(4, 4, 3, rng=rng, **F64), act
    )
    net = nn.Sequential(*net, nn.GlobalAvgPool2d(), linear(4, 3), act)
    x = rng.standard_normal((2, 3, 8, 8))
    np.testing.assert_allclose(
        atlas.grad_cam(net, x, 1, 0), atlas.grad_cam(unshared(net), x, 1, 0), rtol=0, atol=1e-12
    )


def test_a_trainer_steps_a_shared_parameter_once(rng):
    def split(n):
        images = rng.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
        return Split(images, rng.integers(0, 4, n))

    data = Dataset("t", split(20), split(4), split(4), tuple("abcd"))
    net = nn.Sequential(nn.Flatten(), linear(48, 4), nn.Tanh(), linear(seed=1), linear(seed=2))
    net[4].weight = net[3].weight
    start = net[3].weight.data.copy()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    trainer = training.Trainer(
        net,
        data,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        batch_size=20,
        progress=False,
    )
    trainer.fit(1)
    np.testing.assert_allclose(start - 0.1 * net[3].weight.grad, net[4].weight.data, atol=1e-14)
