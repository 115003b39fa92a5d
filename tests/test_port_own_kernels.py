"""The course's convolution inside a PyTorch net: the same numbers, the same net, no trap."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import coursekit  # noqa: E402
from coursekit import kernels, port  # noqa: E402


@pytest.fixture(autouse=True)
def compiled_and_one_thread():
    if kernels.info().backend != "cython":
        pytest.skip("needs the compiled kernels")
    before = coursekit.get_num_threads()
    yield
    coursekit.set_num_threads(before)


def both(conv, x):
    """Outputs and all gradients of the layer, by PyTorch and by ours."""
    results = []
    for layer in (conv, port.with_own_kernels(copy.deepcopy(conv))):
        inputs = x.clone().requires_grad_()
        out = layer(inputs)
        out.square().sum().backward()
        found = [out.detach(), inputs.grad, *(p.grad for p in layer.parameters())]
        results.append(found)
    assert type(layer) is port.OwnConv2d
    return results


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "size, options",
    [
        ((3, 2, 8, 8), {"kernel_size": 3, "padding": 1}),
        ((1, 3, 7, 5), {"kernel_size": (3, 1), "padding": (0, 2), "stride": (2, 1)}),
        ((2, 1, 6, 9), {"kernel_size": 1, "stride": 2}),
        ((2, 4, 9, 12), {"kernel_size": 5}),
        ((2, 4, 6, 6), {"kernel_size": 3, "padding": "same"}),  # the rest is PyTorch's
        ((2, 4, 6, 6), {"kernel_size": 3, "groups": 2}),
        ((2, 4, 6, 6), {"kernel_size": 3, "dilation": 2}),
        ((2, 4, 6, 6), {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}),
    ],
)
def test_outputs_and_gradients_are_pytorchs(size, options, layout, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(size[1], 6, bias=bias, **options).double()
    x = torch.randn(size, dtype=torch.float64).to(memory_format=layout)
    for theirs, mine in zip(*both(conv, x), strict=True):
        assert theirs.shape == mine.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_float32_stays_and_channels_last_comes_out():
    x = torch.randn(2, 8, 12, 8).to(memory_format=torch.channels_last)
    out = port.with_own_kernels(nn.Conv2d(8, 8, 3, padding=1))(x)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_it_is_our_kernel_that_runs(monkeypatch):
    calls = []
    whole = kernels.conv2d_forward
    monkeypatch.setattr(
        kernels, "conv2d_forward", lambda *a, **k: calls.append(1) or whole(*a, **k)
    )
    conv, x = port.with_own_kernels(nn.Conv2d(2, 3, 3)), torch.randn(1, 2, 5, 5)
    conv(x)
    assert len(calls) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
    assert len(calls) == 1


def test_parameters_names_and_mode_stay():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU())).eval()
    before = dict(net.named_parameters())
    assert port.with_own_kernels(net) is net
    after = dict(net.named_parameters())
    assert before.keys() == after.keys() and all(after[k] is before[k] for k in before)
    assert not net[0].training and type(net[1][0]) is port.OwnConv2d


def test_a_layer_used_twice_stays_one():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    net = port.with_own_kernels(nn.Sequential(conv, nn.ReLU(), conv))
    assert net[0] is net[2] and type(net[2]) is port.OwnConv2d


def test_subclasses_are_left_alone():
    class Special(nn.Conv2d):
        pass

    assert type(port.with_own_kernels(Special(1, 1, 3))) is Special


def test_without_compiled_kernels_nothing_changes():
    with kernels.use("numpy"):
        assert type(port.with_own_kernels(nn.Conv2d(1, 1, 3))) is nn.Conv2d


def test_kernels_get_pytorchs_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        port.with_own_kernels(nn.Conv2d(1, 1, 3))
        assert coursekit.get_num_threads() == (2 if kernels.info().openmp else 1)
    finally:
        torch.set_num_threads(threads)


def test_no_gradient_for_pictures_and_for_frozen_filters():
    net = port.with_own_kernels(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)))
    net[0].weight.requires_grad_(False)
    net(torch.randn(2, 1, 7, 7)).sum().backward()
    assert net[0].weight.grad is None and net[0].bias.grad is not None


def test_an_input_that_is_overwritten_is_noticed():
    conv, x = port.with_own_kernels(nn.Conv2d(1, 1, 3)), torch.ones(1, 1, 5, 5)
    out = conv(x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_second_derivative_is_refused():
    conv, x = port.with_own_kernels(nn.Conv2d(1, 1, 3)), torch.ones(1, 1, 5, 5, requires_grad=True)
    (grad,) = torch.autograd.grad(conv(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_a_net_goes_back_to_coursekit():
    net = port.with_own_kernels(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()))
    x = torch.randn(2, 3, 6, 6)
    ours = port.from_torch(net)(x.numpy())
    torch.testing.assert_close(torch.from_numpy(ours), net(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_net_is_exported_as_pytorchs(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = port.with_own_kernels(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()))
    assert port.export_onnx(net, tmp_path / "net.onnx", (3, 8, 8)) < 1e-5
