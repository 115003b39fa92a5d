"""Lesson 4's nets: sizes, starts, and that the course's own side can take LeNet over."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from coursekit import port  # noqa: E402
from coursekit.port.checks import references  # noqa: E402


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (2, 20)])
@pytest.mark.parametrize("batchnorm", [False, True])
def test_lenet_takes_pictures_of_its_size(channels, size, batchnorm):
    net = port.LeNet(nn.Tanh, in_channels=channels, size=size, batchnorm=batchnorm)
    assert net(torch.zeros(2, channels, size, size)).shape == (2, 10)
    assert sum(isinstance(layer, nn.Tanh) for layer in net) == 4


def test_lenet_is_the_exercises():
    net, reference = port.LeNet(nn.ReLU, in_channels=1, size=28), references.lenet(1, 28, nn.ReLU)
    reference.load_state_dict(net.state_dict())
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(net(x), reference(x))
    assert sum(p.numel() for p in net.parameters()) == 61_706


def test_width_multiplies_filters_and_units():
    shapes = [tuple(p.shape) for p in port.LeNet(width=2).parameters() if p.ndim > 1]
    assert shapes == [(12, 3, 5, 5), (32, 12, 5, 5), (240, 800), (168, 240), (10, 168)]


def test_the_course_takes_lenet_over():
    net = port.LeNet(batchnorm=True).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(port.from_torch(net)(x.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize(("options", "named"), [({"size": 33}, "size"), ({"width": 0}, "width")])
def test_lenet_refuses_what_does_not_fit(options, named):
    with pytest.raises(ValueError, match=named):
        port.LeNet(**options)


@pytest.mark.parametrize("widths", [[8, 8], [8, 16, 16, 4], [4, 8, 8, 8, 8, 16]])
def test_vgg_takes_pictures_and_does_not_learn_its_whitening(widths):
    filters = torch.randn(6, 3, 2, 2)
    net = port.VGG(filters, widths)
    net(torch.randn(3, 3, 32, 32)).sum().backward()
    torch.testing.assert_close(net[0].weight.detach(), filters)
    assert net[0].weight.grad is None
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_vgg_takes_another_activation():
    net = port.VGG(torch.randn(6, 3, 2, 2), [4, 8], nn.SiLU)
    kinds = [type(layer) for layer in net]
    assert kinds.count(nn.SiLU) == 3 and nn.ReLU not in kinds


def test_vgg_starts_by_handing_its_input_on():
    convs = [
        layer for layer in port.VGG(torch.randn(6, 3, 2, 2), [4, 8]) if isinstance(layer, nn.Conv2d)
    ]
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(convs[2](x)[:, :4], x)
    assert convs[2].weight[4:].abs().min() > 0  # the others are random


@pytest.mark.parametrize(
    ("pools", "sides"),
    [(None, [15, 15, 7]), ([0, 2], [15, 15, 7]), ([1], [31, 15, 15]), ([], [31] * 3)],
)
def test_vgg_pools_where_it_is_told(pools, sides):
    net = port.VGG(torch.randn(6, 3, 2, 2), [4, 8, 8], pools=pools)
    seen = []
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _layer, _args, out: seen.append(out.shape[2]))
    net(torch.randn(2, 3, 32, 32))
    assert seen == sides


@pytest.mark.parametrize(
    ("widths", "pools", "named"),
    [([], None, "widths"), ([8, 8], [2], "pools"), ([8, 8], [-1], "pools")],
)
def test_vgg_refuses_what_it_has_no_layers_for(widths, pools, named):
    with pytest.raises(ValueError, match=named):
        port.VGG(torch.randn(6, 3, 2, 2), widths, pools=pools)
