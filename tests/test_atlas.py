"""The atlas: exact boxes, gradients that are gradients, and a net left as it was."""

import numpy as np
import pytest

from coursekit import atlas, nn
from coursekit.atlas.attribution import enlarge
from coursekit.training.callbacks import Callback


def small_net(seed=0, dtype=np.float64):
    """Conv, batch norm, pool and dropout; sides that differ; running statistics of their own."""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, rng=rng, dtype=dtype),
            nn.BatchNorm2d(4, dtype=dtype),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        nn.Dropout(0.5, seed=0),
        nn.Conv2d(4, 5, (3, 2), rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 2 * 4, 6, rng=rng, dtype=dtype),
    )
    net(rng.standard_normal((16, 3, 9, 11)).astype(dtype))
    return net


@pytest.fixture
def net():
    return small_net()


@pytest.fixture
def x(rng):
    return rng.standard_normal((7, 3, 9, 11))


LOOKS = {
    "layer_outputs": lambda net, x: atlas.layer_outputs(net, x, -2),
    "feature_maps": lambda net, x: atlas.feature_maps(net, x),
    "top_patches": lambda net, x: atlas.top_patches(net, x, "3.ReLU"),
    "firing_rates": lambda net, x: atlas.firing_rates(net, x, "0.2.ReLU"),
    "pixel_gradient": lambda net, x: atlas.pixel_gradient(net, x, 1),
    "saliency": lambda net, x: atlas.saliency(net, x, 1),
    "grad_cam": lambda net, x: atlas.grad_cam(net, x, 1, "3.ReLU"),
    "occlusion": lambda net, x: atlas.occlusion(net, x[:2], 1, size=3),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_looking_leaves_no_trace(net, x, look):
    """Not on parameters, gradients, buffers or modes, nor on a backward pass still to come."""
    dout = np.ones((len(x), 6))

    def learn(net):
        net.train()
        net.layers[2].eval()  # a mode that is not the whole net's
        net.layers[0].layers[0].requires_grad_(False)
        net.reseed(0)
        net(x)

    def gradients(net):
        net.backward(dout)
        return [p.grad for p in net.parameters()]

    expected = small_net()
    for each in (net, expected):
        learn(each)
    before = [p.grad for p in net.parameters()]
    kept = x.copy()
    look(net, x)
    np.testing.assert_array_equal(x, kept)
    assert all(p.grad is g for p, g in zip(net.parameters(), before, strict=True))
    for name, array in expected.state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], array)
    modes = [module.training for _, module in net.named_layers()]
    assert modes == [module.training for _, module in expected.named_layers()]
    assert net.training and net.layers[0].training and False in modes
    for ours, theirs in zip(gradients(net), gradients(expected), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "look",
    [
        lambda net, x, n: atlas.layer_outputs(net, x, "3.ReLU", batch_size=n),
        lambda net, x, n: atlas.top_patches(net, x, "3.ReLU", k=3, batch_size=n).values,
        lambda net, x, n: atlas.top_patches(net, x, "3.ReLU", k=3, batch_size=n).pictures,
        lambda net, x, n: atlas.firing_rates(net, x, "3.ReLU", batch_size=n),
        lambda net, x, n: atlas.saliency(net, x, [0, 1, 2, 3, 4, 5, 0], batch_size=n),
        lambda net, x, n: atlas.grad_cam(net, x, [0, 1, 2, 3, 4, 5, 0], 2, batch_size=n),
        lambda net, x, n: atlas.occlusion(net, x[:2], [5, 1], size=3, batch_size=n),
    ],
)
def test_batches_are_bounded_and_change_nothing(net, x, look, monkeypatch):
    np.testing.assert_allclose(look(net, x, 3), look(net, x, 100), rtol=1e-12, atol=1e-12)
    counts, forward = [], nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda conv, x: counts.append(len(x)) or forward(conv, x)
    )
    look(net, x, 2)
    assert max(counts) == 2


# ---------------------------------------------------------------------------------- the chain


def test_chain_opens_sandwiches_and_keeps_the_names_of_the_net(net):
    assert list(atlas.chain(net).items()) == list(net.named_layers())
    assert list(atlas.chain(nn.ReLU())) == ["ReLU"]


def test_chain_keeps_a_module_of_ones_own_whole(x):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ReLU()

        def forward(self, x):
            return x + self.inner(x)

    net = nn.Sequential(nn.Conv2d(3, 2, 3, dtype=np.float64), Twice())
    assert list(atlas.chain(net)) == ["0.Conv2d", "1.Twice"]
    np.testing.assert_array_equal(atlas.layer_outputs(net, x, 1), net(x))
    # What it does is unknown, so the box holds all it might see.
    assert atlas.receptive_box(net, 1, (0, 0), (9, 11)) == (0, 0, 9, 11)


def test_layers_go_by_name_or_place(net, x):
    names = list(atlas.chain(net))
    maps = atlas.feature_maps(net, x, [-1, "0.2.ReLU", 0])
    assert list(maps) == ["0.0.Conv2d", "0.2.ReLU", names[-1]]
    assert list(atlas.feature_maps(net, x)) == names
    net.eval()
    np.testing.assert_array_equal(maps[names[-1]], net(x))
    np.testing.assert_array_equal(maps["0.2.ReLU"], atlas.layer_outputs(net, x, 2))
    np.testing.assert_array_equal(maps["0.2.ReLU"], atlas.layer_outputs(net, x, np.int64(2)))
    for wrong in ("ReLU", 9, -10, 1.0):
        with pytest.raises(ValueError, match=r"layer must be one of \['0.0.Conv2d'"):
            atlas.layer_outputs(net, x, wrong)


# ---------------------------------------------------------------------------- receptive fields

CHAINS = {
    "one": [nn.Conv2d(2, 3, 3)],
    "padded": [nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 5, padding=2)],
    "strides": [nn.Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0)), nn.AvgPool2d(2)],
    "pool leaves a row over": [nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1)],
    "overlap": [nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 2, 3, stride=2), nn.AvgPool2d(2, 1)],
    "stride beyond kernel": [nn.Conv2d(2, 2, 1, stride=2, padding=1), nn.Conv2d(2, 2, 2)],
    "only padding at the rim": [nn.Conv2d(2, 2, 1, padding=1)],
    "mean of all": [nn.Conv2d(2, 2, 3), nn.GlobalAvgPool2d()],
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
def test_the_box_is_the_smallest_that_holds_all_a_linear_unit_sees(layers, rng):
    """The gradient of a linear unit shows where it looks: positive weights cannot cancel."""
    net = nn.Sequential(*layers)
    for p in net.parameters():
        p.data = rng.uniform(0.5, 1.5, p.data.shape)
    x = rng.standard_normal((1, 2, 10, 13))
    out = net(x)
    for place in np.ndindex(out.shape[2:] or (1, 1)):
        dout = np.zeros_like(out)
        dout[(0, 0, *place) if out.ndim == 4 else (0, 0)] = 1
        rows, columns = np.nonzero(net.backward(dout)[0].any(axis=0))
        box = (0, 0, 0, 0)
        if len(rows):
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert atlas.receptive_box(net, -1, place, (10, 13)) == box


@pytest.mark.parametrize("padding", [0, 1])
def test_no_pixel_outside_the_box_changes_a_unit(rng, padding):
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=padding, rng=rng, dtype=np.float64),
        nn.BatchNorm2d(3, dtype=np.float64),
        nn.LeakyReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Dropout(0.5),
        nn.Conv2d(3, 4, 2, stride=2, padding=padding, rng=rng, dtype=np.float64),
        nn.ReLU(),
    ).eval()
    x = rng.standard_normal((1, 2, 12, 9))
    out = net(x)
    for place in np.ndindex(out.shape[2:]):
        top, left, bottom, right = atlas.receptive_box(net, -1, place, (12, 9))
        other = rng.standard_normal(x.shape)
        other[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right]
        np.testing.assert_array_equal(net(other)[0, :, *place], out[0, :, *place])


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False)], ids=repr
)
def test_a_norm_over_places_sees_the_whole_picture(norm):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU())
    assert atlas.receptive_box(net, 0, (0, 0), (8, 8)) == (0, 0, 3, 3)
    assert atlas.receptive_box(net, 2, (0, 0), (8, 8)) == (0, 0, 8, 8)


def test_a_place_outside_the_map_is_refused(net):
    with pytest.raises(ValueError, match=r"place must lie in a map of 9×11, got \(3, 11\)"):
        atlas.receptive_box(net, 0, (3, 11), (9, 11))


# ---------------------------------------------------------------------------------- top patches


@pytest.mark.parametrize("layer", ["0.0.Conv2d", "0.3.MaxPool2d", "3.ReLU"])
def test_the_patch_alone_excites_the_unit_as_much(net, x, layer):
    """Everything outside the box replaced by noise: the value written beside it stays."""
    found = atlas.top_patches(net, x, layer, k=3)
    noise = np.random.default_rng(1).standard_normal(x.shape)
    outputs = atlas.layer_outputs(net, x, layer)
    for i, unit in enumerate(found.units):
        best = outputs[:, unit].max(axis=(1, 2))
        np.testing.assert_array_equal(found.values[i], np.sort(best)[::-1][:3])
        for picture, value, (top, left, bottom, right) in zip(
            found.pictures[i], found.values[i], found.boxes[i], strict=True
        ):
            assert best[picture] == value
            other = noise[:1].copy()
            other[0, :, top:bottom, left:right] = x[picture, :, top:bottom, left:right]
            close = np.isclose(atlas.layer_outputs(net, other, layer)[0, unit], value, rtol=1e-12)
            assert close.any()


def test_units_are_chosen_and_k_is_no_more_than_there_are(net, x):
    found, every = (atlas.top_patches(net, x, 6, units, k=50) for units in ([4, 1], None))
    assert found.boxes.shape == (2, len(x), 4) and every.boxes.shape == (5, len(x), 4)
    np.testing.assert_array_equal(found.pictures, every.pictures[[4, 1]])
    with pytest.raises(ValueError, match=r"units must lie in 0 to 4, got \[5\]"):
        atlas.top_patches(net, x, 6, [5])
    with pytest.raises(ValueError, match="layer must put out maps"):
        atlas.top_patches(net, x, "4.Flatten")


# ---------------------------------------------------------------------------------- attribution


def test_pixel_gradient_is_the_finite_difference(net, x):
    classes = np.array([0, 1, 2, 3, 4, 5, 0])
    gradient = atlas.pixel_gradient(net, x, classes)
    net.eval()
    h = 1e-6
    for c, i, j in [(0, 0, 0), (2, 8, 10), (1, 4, 5), (0, 3, 7)]:
        step = np.zeros_like(x)
        step[:, c, i, j] = h
        slope = (net(x + step) - net(x - step))[np.arange(7), classes] / (2 * h)
        np.testing.assert_allclose(gradient[:, c, i, j], slope, rtol=1e-6, atol=1e-9)
    saliency = atlas.saliency(net, x, classes)
    np.testing.assert_array_equal(saliency, np.abs(gradient).max(axis=1))


def torch_scores(net, x, layer_at):
    """The small net's maps behind ``layer_at`` and its logits, in PyTorch."""
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in net.state_dict().items()}
    F = torch.nn.functional
    out = F.conv2d(torch.tensor(x), state["0.0.weight"], state["0.0.bias"], padding=1)
    norm = [state[f"0.1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    steps = [
        lambda out: F.batch_norm(out, *norm),
        F.relu,
        lambda out: F.max_pool2d(out, 2),
        lambda out: F.conv2d(out, state["2.weight"], state["2.bias"]),
        F.relu,
        lambda out: F.linear(out.flatten(1), state["5.weight"], state["5.bias"]),
    ]
    for step in steps[:layer_at]:
        out = step(out)
    maps = out.detach().requires_grad_()
    out = maps
    for step in steps[layer_at:]:
        out = step(out)
    return torch, maps, out


@pytest.mark.parametrize(
    ("layer", "at"), [(0, 0), ("0.2.ReLU", 2), ("0.3.MaxPool2d", 3), ("3.ReLU", 5)]
)
def test_grad_cam_agrees_with_pytorch(net, x, layer, at):
    torch, maps, logits = torch_scores(net, x, at)
    (gradient,) = torch.autograd.grad(logits[:, 4].sum(), maps)
    heat = torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
    heat = torch.nn.functional.interpolate(heat, (9, 11), mode="bilinear", align_corners=False)
    heat = heat[:, 0].detach().numpy()
    largest = heat.max(axis=(1, 2), keepdims=True)
    assert (largest > 0).any()
    expected = np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)
    np.testing.assert_allclose(atlas.grad_cam(net, x, 4, layer), expected, rtol=1e-10, atol=1e-10)


def test_grad_cam_is_zero_where_nothing_speaks_for_the_class(x):
    net = nn.Sequential(
        nn.Conv2d(3, 2, 1, dtype=np.float64),
        nn.ReLU(),
        nn.GlobalAvgPool2d(),
        nn.Linear(2, 2, dtype=np.float64),
    )
    net[3].weight.data = np.array([[1.0, 1.0], [-1.0, -1.0]])
    heat = atlas.grad_cam(net, x, 0, "1.ReLU")
    np.testing.assert_allclose(heat.max(axis=(1, 2)), 1)
    np.testing.assert_array_equal(atlas.grad_cam(net, x, 1, "1.ReLU"), 0)


@pytest.mark.parametrize(
    ("small", "large"), [((2, 3), (9, 11)), ((1, 1), (4, 5)), ((6, 5), (6, 5))]
)
def test_enlarge_is_bilinear(small, large, rng):
    torch = pytest.importorskip("torch")
    maps = rng.standard_normal((3, *small))
    expected = torch.nn.functional.interpolate(
        torch.tensor(maps)[:, None], large, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(enlarge(maps, large), expected[:, 0].numpy(), rtol=1e-12)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 2), (4, 4), (9, 5)])
def test_occlusion_of_a_linear_score_is_the_mean_of_what_was_hidden(rng, size, stride):
    """For ``w . x`` a hidden square costs its own sum, wherever else the others lie."""
    height, width = 9, 11
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 2, rng=rng, dtype=np.float64))
    x = rng.standard_normal((2, 3, height, width))
    worth = [(net[1].weight.data[c].reshape(x.shape[1:]) * x[c]).sum(axis=0) for c in (0, 1)]
    heat = atlas.occlusion(net, x, [0, 1], size=size, stride=stride)
    down, across = (
        sorted({*range(0, side - size + 1, stride), side - size}) for side in (height, width)
    )
    for c in (0, 1):
        for i, j in [(0, 0), (8, 10), (4, 5), (8, 0)]:
            sums = [
                worth[c][top : top + size, left : left + size].sum()
                for top in down
                for left in across
                if top <= i < top + size and left <= j < left + size
            ]
            np.testing.assert_allclose(heat[c, i, j], np.mean(sums), rtol=1e-10, atol=1e-12)


def test_occlusion_fills_with_what_it_is_told(rng):
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, rng=rng, dtype=np.float64))
    x = np.full((1, 3, 4, 4), 0.7)
    np.testing.assert_allclose(atlas.occlusion(net, x, 0, size=2, fill=0.7), 0, atol=1e-12)
    assert np.abs(atlas.occlusion(net, x, 0, size=2)).min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": [0, 1]}, "classes must be a whole number or 7 of them"),
        ({"classes": 1.0}, "classes must be a whole number or 7 of them"),
        ({"classes": 6}, "classes must lie in 0 to 5, got values from 6 to 6"),
        ({"classes": [0, 1, 2, -1, 0, 0, 0]}, "classes must lie in 0 to 5"),
        ({"classes": 0, "size": 10}, "size must lie in 1 to 9, got 10"),
        ({"classes": 0, "size": 3, "stride": 4}, "stride must lie in 1 to size = 3, got 4"),
        ({"classes": 0, "size": 3, "batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_occlusion_refuses(net, x, arguments, message):
    with pytest.raises(ValueError, match=message):
        atlas.occlusion(net, x, **{"size": 3} | arguments)


def test_refusals(net, x):
    with pytest.raises(ValueError, match="classes must lie in 0 to 5, got values from 0 to 9"):
        atlas.saliency(net, x, [0, 1, 2, 9, 0, 0, 0])
    with pytest.raises(ValueError, match="x must hold at least one picture"):
        atlas.layer_outputs(net, x[:0], 0)
    with pytest.raises(ValueError, match="x must hold at least one picture"):
        atlas.feature_maps(net, x[:0])
    with pytest.raises(ValueError, match=r"layer must put out maps .* \(7, 40\)"):
        atlas.grad_cam(net, x, 0, "4.Flatten")
    with pytest.raises(ValueError, match="net must put out logits"):
        atlas.saliency(nn.Sequential(net[0]), x, 0)


# ---------------------------------------------------------------------------------- filters


def test_firing_rates_count_places_and_pictures(x):
    net = nn.Sequential(nn.Conv2d(3, 3, 1, dtype=np.float64), nn.ReLU())
    net[0].weight.data[:] = 0
    net[0].weight.data[2, 1] = 1
    net[0].bias.data[:] = [-1, 1, 0]
    rates = atlas.firing_rates(net, x, 1, batch_size=2)
    np.testing.assert_allclose(rates, [0, 1, (x[:, 1] > 0).mean()])
    np.testing.assert_array_equal(rates, atlas.firing_rates(net, x, 0))
    with pytest.raises(ValueError, match="layer must put out maps"):
        atlas.firing_rates(nn.Sequential(nn.Flatten()), x, 0)


def test_duplicates_are_parallel_not_opposite(rng):
    weight = rng.standard_normal((6, 3, 5, 5)).astype(np.float32)
    weight[4] = 3 * weight[1]
    weight[5] = weight[0] + 0.3 * rng.standard_normal((3, 5, 5))
    weight[3] = -weight[2]
    pairs = atlas.duplicate_filters(weight)
    assert [pair[:2] for pair in pairs] == [(1, 4), (0, 5)]
    assert pairs[0][2] == pytest.approx(1) and 0.9 <= pairs[1][2] < 0.99
    assert [pair[:2] for pair in atlas.duplicate_filters(weight, threshold=0.99)] == [(1, 4)]
    weight[:] = 0  # filters at rest point nowhere
    assert atlas.duplicate_filters(weight) == []


class _FakeTrainer:
    def __init__(self, net):
        self.net, self.epoch = net, 0


def test_snapshots_are_copies_and_survive_a_fit_that_goes_on(net):
    keep, trainer = atlas.WeightSnapshots("2.Conv2d"), _FakeTrainer(net)
    assert isinstance(keep, Callback)
    first = net[2].weight.data.copy()
    for _ in range(2):  # fit(1), then fit(2) on the same trainer
        keep.on_fit_start(trainer)
        net[2].weight.data += 1
        trainer.epoch += 1
        keep.on_epoch_end(trainer)
    assert keep.epochs == [0, 1, 2]
    for epoch, weight in enumerate(keep.weights):
        np.testing.assert_allclose(weight, first + epoch)
    with pytest.raises(ValueError, match=r"layer must have weights, got '3.ReLU'"):
        atlas.WeightSnapshots("3.ReLU").on_fit_start(trainer)


# ---------------------------------------------------------------------------------- mistakes


def test_confusions_are_the_largest_cells_with_the_surest_mistakes_first():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    answers = np.array([1, 1, 0, 1, 1, 2, 0, 2, 0])
    sureness = np.array([1.0, 3.0, 9.0, 2.0, 9.0, 1.0, 1.0, 9.0, 2.0])
    logits = np.zeros((9, 3))
    logits[np.arange(9), answers] = sureness
    found = atlas.confusions(logits, labels, cells=2, pictures=2)
    assert [(c.true, c.predicted, c.count) for c in found] == [(0, 1, 3), (2, 0, 2)]
    assert [c.pictures.tolist() for c in found] == [[1, 3], [8, 6]]
    expected = np.exp(3) / (np.exp(3) + 2)
    assert found[0].confidence[0] == pytest.approx(expected)
    assert len(atlas.confusions(logits, labels)) == 3
    assert atlas.confusions(logits, answers) == []
    with pytest.raises(ValueError, match="labels must be 9 whole numbers"):
        atlas.confusions(logits, labels[:4])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: atlas.confusions(np.eye(3), [0, 1, 3]), "labels: got classes from 0 to 3; needed"),
        (lambda: atlas.confusions(np.eye(3), [-1, 1, 2]), "labels: got classes from -1"),
        (lambda: atlas.confusions(np.eye(3) * np.nan, [0, 1, 2]), "logits: got .* needed finite"),
        (lambda: atlas.confusions(np.ones((0, 3)), []), "logits: got"),
        (lambda: atlas.duplicate_filters(np.full((4, 3, 2, 2), np.nan)), "weight: got .* finite"),
    ],
)
def test_values_that_would_be_counted_wrongly_are_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("look", [atlas.firing_rates, atlas.top_patches])
def test_a_layer_that_puts_out_nan_is_not_called_dead(look, rng):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[0].weight.data[1] = np.nan
    with pytest.raises(ValueError, match=r"layer: got '1.ReLU', whose outputs are nan"):
        look(net, rng.standard_normal((2, 3, 8, 8)).astype(np.float32), "1.ReLU")


LOOKS = {
    "saliency": lambda net, x: atlas.saliency(net, x, 0),
    "grad_cam": lambda net, x: atlas.grad_cam(net, x, 0, 1),
    "occlusion": lambda net, x: atlas.occlusion(net, x, 0, size=4),
    "layer_outputs": lambda net, x: atlas.layer_outputs(net, x, 0),
    "feature_maps": lambda net, x: atlas.feature_maps(net, x),
    "firing_rates": lambda net, x: atlas.firing_rates(net, x, 1),
    "top_patches": lambda net, x: atlas.top_patches(net, x, 1),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: np.where(x == x[0, 0, 0, 0], np.nan, x), "x: got 1 values that are nan"),
        (lambda x: np.where(x == x[0, 0, 0, 0], np.inf, x), "x: got 1 values that are nan"),
        (lambda x: x.tolist(), "x must be a float32 or float64 array, got list"),
        (lambda x: x.astype(np.int64), "x must be a float32 or float64 array, got int64"),
        (lambda x: None, "x must be a float32 or float64 array, got NoneType"),
    ],
    ids=["nan", "inf", "list", "int64", "None"],
)
def test_pictures_that_are_no_finite_arrays_are_refused(look, spoil, message, net, x):
    with pytest.raises(ValueError, match=message):
        look(net, spoil(x))


@pytest.mark.parametrize("look", [LOOKS["saliency"], LOOKS["occlusion"]])
def test_scores_that_are_nan_have_no_map(look, net, x):
    net.parameters()[-1].data[0] = np.nan
    with pytest.raises(ValueError, match="net: got scores that are nan"):
        look(net, x)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda net, x: atlas.top_patches(net, x, 1, k=-1), "k must be at least 1, got -1"),
        (lambda net, x: atlas.top_patches(net, x, 1, k=2.5), "k must be at least 1, got 2.5"),
        (lambda net, x: atlas.top_patches(net, x, 1, [0.5]), "units: got float64"),
        (lambda net, x: atlas.top_patches(net, x, 1, [True]), "units: got bool"),
        (lambda net, x: atlas.saliency(net, x, 0, batch_size=2.5), "batch_size must be .*2.5"),
        (lambda net, x: atlas.occlusion(net, x, 0, size=2.5), "size must be at least 1, got 2.5"),
        (lambda net, x: atlas.occlusion(net, x, 0, size=4, fill=np.nan), "fill: got nan"),
        (lambda net, x: atlas.confusions(np.eye(3), [1, 2, 0], cells=-1), "cells must be"),
        (lambda net, x: atlas.confusions(np.eye(3), [1, 2, 0], pictures=-1), "pictures must be"),
    ],
)
def test_numbers_that_would_cut_a_row_off_are_refused(act, message, net, x):
    with pytest.raises(ValueError, match=message):
        act(net, x)
