"""The nets of lesson 5, their bill, and pictures that grow."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from coursekit import port  # noqa: E402
from coursekit.port.pictures import Draw  # noqa: E402


def size(net):
    return sum(p.numel() for p in net.parameters())


# --- nets -------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_field():
    assert size(port.CompactNet()) == 299_018
    assert size(port.ResNet18()) == 11_173_962


@pytest.mark.parametrize("width, classes", [(1, 2), (7, 3), (16, 10)])
def test_the_compact_nets_size_follows_from_its_width(width, classes):
    convolutions = width * 3 * 9 + width + 8 * (width * width * 9 + width)
    expected = convolutions + 9 * 2 * width + width * classes + classes
    assert size(port.CompactNet(width, classes)) == expected


@pytest.mark.parametrize("make", [port.CompactNet, port.ResNet18])
@pytest.mark.parametrize("side", [32, 24, 20])
def test_nets_take_pictures_of_any_size(make, side):
    assert make().eval()(torch.zeros(2, 3, side, side + 4)).shape == (2, 10)


def test_skips_carry_the_picture_past_units_that_do_nothing():
    """With all units after a stage's first silent, that first one's output reaches the end."""
    net = port.CompactNet(4).eval()
    for unit in (net.units[i] for i in (1, 2)):
        unit[0].weight.data.zero_()
        unit[0].bias.data.zero_()
    with torch.no_grad():
        x = torch.randn(1, 3, 8, 8)
        first = net.units[0](x)
        reached = {}
        net.units[3].register_forward_pre_hook(lambda _m, inputs: reached.update(x=inputs[0]))
        net(x)
    torch.testing.assert_close(reached["x"], nn.functional.max_pool2d(first, 2))


@pytest.mark.parametrize("in_channels, stride", [(4, 1), (3, 1), (4, 2), (2, 2)])
def test_the_block_is_torchvisions(in_channels, stride):
    resnet = pytest.importorskip("torchvision.models.resnet")
    change = stride != 1 or in_channels != 4
    shortcut = nn.Sequential(nn.Conv2d(in_channels, 4, 1, stride, bias=False), nn.BatchNorm2d(4))
    theirs = resnet.BasicBlock(in_channels, 4, stride, shortcut if change else None)
    ours = port.BasicBlock(in_channels, 4, stride)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, in_channels, 6, 8)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_resnet18_takes_torchvisions_weights():
    models = pytest.importorskip("torchvision.models")
    state = models.resnet18().state_dict()
    body = {k: v for k, v in state.items() if not k.startswith(("conv1.", "fc."))}
    missing, unexpected = port.ResNet18().load_state_dict(body, strict=False)
    assert set(missing) == {"conv1.weight", "fc.weight", "fc.bias"} and not unexpected
    with pytest.raises(RuntimeError, match=r"conv1\.weight"):
        port.ResNet18().load_state_dict(state)


def test_resnet18_computes_what_torchvisions_does():
    models = pytest.importorskip("torchvision.models")
    theirs = models.resnet18(num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = port.ResNet18()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


# --- the bill ---------------------------------------------------------------------------------


def test_the_summary_adds_up():
    net = port.CompactNet()
    table = port.summary(net, (3, 32, 32))
    assert table.loc["total", "parameters"] == size(net)
    # 9 · C · 64 products a pixel, at 32, 16 and 8 pixels a side, and the linear layer.
    pixels = 9 * 64 * (32**2 * (3 + 64 + 64) + 3 * 64 * (16**2 + 8**2))
    assert table.loc["total", "MACs"] == pixels + 640
    assert table.loc["units.0.0", "output"] == "64×32×32"


def test_the_summary_leaves_the_net_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2).eval(), nn.Dropout())
    port.summary(net, (1, 8, 8))
    assert [m.training for m in net] == [True, False, True] and net.training
    assert net[1].num_batches_tracked == 0
    assert not net[0]._forward_hooks


def test_a_shared_layer_counts_once_and_works_twice():
    conv = nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False)
    table = port.summary(nn.Sequential(conv, conv), (2, 4, 4))
    assert table["parameters"].tolist() == [18, 0, 18]
    assert table["MACs"].tolist() == [288, 288, 576]


# --- pictures that grow -----------------------------------------------------------------------


def draw(epoch):
    generator = torch.Generator().manual_seed(0)
    return Draw(generator, torch.arange(2), epoch, 0, slice(0, 2), 2)


def test_every_epoch_has_its_side_and_the_last_one_stays():
    resize = port.ProgressiveResize([8, 12, 16])
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    sides = [resize(images, draw(epoch)).shape[2:] for epoch in range(5)]
    assert sides == [(8, 8), (12, 12), (16, 16), (16, 16), (16, 16)]
    assert resize(images, draw(2)) is images


def test_shrinking_averages_and_keeps_the_dtype():
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    images[:, :, ::2] = 200
    small = port.ProgressiveResize([4])(images, draw(0))
    assert small.dtype == torch.uint8
    inner = small[:, :, 1:-1].numpy().astype(int)  # away from the border
    assert np.abs(inner - 100).max() <= 1


@pytest.mark.parametrize("sides", [[], [16, 0], [-1], [16.5], [np.nan], [None], 16])
def test_sides_must_be_positive(sides):
    with pytest.raises(ValueError, match="sides: got"):
        port.ProgressiveResize(sides)
