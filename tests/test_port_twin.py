"""Our net and PyTorch's side by side: the proof itself, and that it would notice a difference."""

import numpy as np
import pytest

from coursekit import nn, optim
from coursekit.data import augment
from coursekit.data.dataset import Dataset, Split
from coursekit.training import Trainer

torch = pytest.importorskip("torch")

from coursekit import port  # noqa: E402
from coursekit.port import convert, twin  # noqa: E402

SHAPE = (2, 6, 5)


def momentum(params):
    return optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=1e-3)


def pictures(count, rng):
    labels = rng.integers(3, size=count)
    images = rng.integers(0, 160, (count, *SHAPE)) + 30 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels)


@pytest.fixture
def data(rng):
    """Small pictures, their brightness a hint at the class; 45 of them, so 8 do not divide them."""
    return Dataset("tiny", *(pictures(n, rng) for n in (45, 10, 0)), ("dark", "grey", "light"))


def conv_net(dtype=np.float64, **options):
    options = {"batchnorm": True, "input_shape": SHAPE, "num_classes": 3} | options
    return nn.DeepConvNet([4, 5], [0], **options, dtype=dtype)


def run(net, data, steps=5, **options):
    options = {
        "optimizer": momentum,
        "criterion": nn.CrossEntropyLoss(),
        "batch_size": 8,
    } | options
    return port.twin_run(net, data, steps, **options)


def test_hundred_steps_of_a_conv_net_with_batch_norm_and_momentum_agree(data):
    result = run(conv_net(), data, 100)
    assert max(result.worst().values()) <= 1e-10
    assert result.worst()["parameters"] > 0  # rounding differs: these are two programs
    assert len(result.frame()) == len(result.losses["torch"]) == 100
    assert np.mean(result.losses["coursekit"][-10:]) < 0.5 * result.losses["coursekit"][0]


@pytest.mark.parametrize(
    "options",
    [
        {"criterion": nn.MultiMarginLoss()},
        {"criterion": nn.CrossEntropyLoss(0.1), "optimizer": lambda p: optim.AdamW(p, 0.01)},
        {"augment": augment.Compose([augment.RandomHorizontalFlip(), augment.RandomCrop(1)])},
    ],
    ids=["hinge", "AdamW", "augmented"],
)
def test_other_recipes_agree_too(options, data):
    result = run(nn.ThreeLayerConvNet(SHAPE, 3, 3, 6, 3, dtype=np.float64), data, 12, **options)
    assert max(result.worst().values()) <= 1e-10


def test_a_frozen_layer_and_one_with_dropout_of_nothing_pass(data):
    net = nn.Sequential(*conv_net(), nn.Dropout(0.0), nn.GroupNorm(1, 3, dtype=np.float64))
    net[0].requires_grad_(False)
    result = run(net, data)
    assert max(result.worst().values()) <= 1e-10
    np.testing.assert_array_equal(result.net[0].weight.data, net[0].weight.data)


def test_float32_differs_by_its_own_rounding(data):
    worst = run(conv_net(np.float32), data, 3).worst()
    assert 1e-9 < max(worst.values()) < 1e-3


def test_it_is_the_run_a_trainer_makes(data):
    flip = augment.RandomHorizontalFlip()
    net = conv_net()
    start = net.state_dict()
    result = run(net, data, 2 * 6, seed=3, augment=flip)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, start[name])
    criterion = nn.CrossEntropyLoss()
    trainer = Trainer(
        net,
        data,
        optimizer=momentum(net.parameters()),
        criterion=criterion,
        batch_size=8,
        augment=flip,
        seed=3,
        progress=False,
    )
    trainer.fit(2)
    assert [row["loss"] for row in trainer.history.steps] == result.losses["coursekit"]
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, result.net.state_dict()[name])
        np.testing.assert_allclose(value, result.module.state_dict()[name], rtol=0, atol=1e-10)


def test_the_nets_that_come_back_keep_no_hooks(data):
    result = run(conv_net(), data, 1)
    assert not any(layer._hooks for _, layer in result.net.named_layers())
    assert not any(m._forward_hooks for m in result.module.modules())


@pytest.mark.parametrize(
    "layer, change",
    [
        (nn.BatchNorm2d, {"eps": 2e-5}),
        (nn.BatchNorm2d, {"momentum": 0.11}),
        (nn.MaxPool2d, {"kernel_size": (2, 1)}),
        (nn.LeakyReLU, {"negative_slope": 0.02}),
    ],
    ids=str,
)
def test_a_wrong_conversion_is_seen(layer, change, data, monkeypatch):
    right = convert._TO_TORCH[layer]

    def wrong(m):
        module = right(m)
        for name, value in change.items():
            setattr(module, name, value)
        return module

    monkeypatch.setitem(convert._TO_TORCH, layer, wrong)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, dtype=np.float64),
        nn.BatchNorm2d(3, dtype=np.float64),
        nn.LeakyReLU(),
        nn.MaxPool2d(2, (6, 5)),
        nn.Flatten(),
        nn.Linear(3, 3, dtype=np.float64),
    )
    assert max(run(net, data, 2).worst().values()) > 1e-8


def test_each_kind_of_difference_has_its_column(data, monkeypatch):
    def disturbed(criterion):
        loss = torch.nn.CrossEntropyLoss()
        return lambda logits, targets: loss(logits, targets) + 0.5

    monkeypatch.setattr(twin, "to_torch_loss", disturbed)
    worst = run(conv_net(), data, 2).worst()
    assert worst["loss"] == pytest.approx(0.5)
    assert max(worst[name] for name in ("activations", "gradients", "parameters")) <= 1e-10


def test_running_statistics_count_as_parameters(data, monkeypatch):
    def forgetful(module, *arguments):
        loss = step(module, *arguments)
        module[1].running_var.fill_(1)
        return loss

    step = twin._torch_step
    monkeypatch.setattr(twin, "_torch_step", forgetful)
    frame = run(conv_net(), data, 3).frame()
    assert (frame["parameters"] > 1e-3).all() and (frame["activations"] <= 1e-10).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_never_counts_as_agreement(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(60, 3, dtype=np.float64))
    net[1].weight.data[...] = np.inf
    assert np.isnan(run(net, data, 2).worst()["loss"])


def test_a_gradient_that_only_one_side_has_is_an_infinite_difference(data, monkeypatch):
    monkeypatch.setattr(twin, "to_torch", lambda net: port.to_torch(net).requires_grad_(False))

    def without_backward(module, optimizer, criterion, x, y):
        return criterion(module(torch.from_numpy(x)), torch.from_numpy(y)).item()

    monkeypatch.setattr(twin, "_torch_step", without_backward)
    assert run(conv_net(), data, 1).worst()["gradients"] == np.inf


def test_the_repr_is_one_line_with_the_four_maxima(data):
    result = run(conv_net(), data, 2)
    text = repr(result)
    assert "\n" not in text and text.startswith("TwinRun(2 steps")
    for name, value in result.worst().items():
        assert f"{name} {value:.1e}" in text
    assert list(result.frame()) == list(result.worst())
    assert (result.frame().max() == list(result.worst().values())).all()


def test_active_dropout_is_refused_by_place(data):
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Dropout(0.5)), nn.Linear(60, 3)).eval()
    with pytest.raises(ValueError, match=r"1\.0\.Dropout with p=0\.5"):
        run(net, data)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"optimizer": momentum(conv_net().parameters())}, TypeError, "optimizer must be a func"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"criterion": torch.nn.CrossEntropyLoss()}, TypeError, "criterion must be"),
    ],
)
def test_arguments_that_do_not_fit(options, error, message, data):
    with pytest.raises(error, match=message):
        run(conv_net(), data, **options)


def test_no_pictures_are_no_run(data, rng):
    empty = Dataset("empty", pictures(0, rng), data.val, data.test, data.class_names)
    with pytest.raises(ValueError, match="train pictures"):
        run(conv_net(), empty)
