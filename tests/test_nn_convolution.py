"""Convolution, pooling and their normalisations as objects, against PyTorch; initial filters."""

import numpy as np
import pytest

from coursekit import nn
from coursekit.checks import gradcheck_module

EXACT = {"rtol": 0, "atol": 1e-10}


def conv(*args, **options):
    return nn.Conv2d(*args, **options, rng=np.random.default_rng(1), dtype=np.float64)


# A layer of ours, the same in PyTorch, and the shape of an input.
PAIRS = [
    (lambda: conv(3, 4, 3), "Conv2d(3, 4, 3)", (2, 3, 5, 7)),
    (lambda: conv(3, 4, 3, bias=False), "Conv2d(3, 4, 3, bias=False)", (2, 3, 7, 5)),
    (lambda: conv(1, 5, 4, 3, 2), "Conv2d(1, 5, 4, 3, 2)", (3, 1, 9, 6)),
    (
        lambda: conv(2, 1, (1, 4), (2, 1), (0, 3)),
        "Conv2d(2, 1, (1, 4), (2, 1), (0, 3))",
        (1, 2, 5, 4),
    ),
    (lambda: conv(6, 5, 1), "Conv2d(6, 5, 1)", (2, 6, 1, 1)),
    (lambda: nn.MaxPool2d(2), "MaxPool2d(2)", (2, 3, 6, 5)),
    (lambda: nn.MaxPool2d(3, 2, 1), "MaxPool2d(3, 2, 1)", (2, 3, 6, 5)),
    (lambda: nn.MaxPool2d((1, 3), (2, 1)), "MaxPool2d((1, 3), (2, 1))", (1, 2, 5, 4)),
    (lambda: nn.AvgPool2d(2), "AvgPool2d(2)", (2, 3, 5, 6)),
    (lambda: nn.AvgPool2d(3, 1, 1), "AvgPool2d(3, 1, 1)", (2, 3, 6, 5)),
    (
        lambda: nn.GlobalAvgPool2d(),
        "Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())",
        (2, 3, 4, 7),
    ),
    (lambda: nn.BatchNorm2d(3, dtype=np.float64), "BatchNorm2d(3)", (2, 3, 4, 7)),
    (
        lambda: nn.BatchNorm2d(3, 1e-3, None, False, dtype=np.float64),
        "BatchNorm2d(3, 1e-3, None, False)",
        (2, 3, 4, 7),
    ),
    (lambda: nn.GroupNorm(2, 6, dtype=np.float64), "GroupNorm(2, 6)", (2, 6, 4, 5)),
    (lambda: nn.GroupNorm(1, 6, dtype=np.float64), "GroupNorm(1, 6)", (1, 6, 4, 5)),
    (
        lambda: nn.GroupNorm(6, 6, 1e-3, False, dtype=np.float64),
        "GroupNorm(6, 6, 1e-3, False)",
        (2, 6, 4, 5),
    ),
    (lambda: nn.GroupNorm(2, 4, dtype=np.float64), "GroupNorm(2, 4)", (5, 4)),
]
NAMES = [name for _, name, _ in PAIRS]
LAYERS = [(make, shape) for make, _, shape in PAIRS]


def channels_last(x):
    """The same picture, its channels side by side in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def own_affine(layer, rng):
    """Give scale and shift of a normalising layer values that show."""
    for p in layer.parameters():
        p.data[...] = rng.standard_normal(p.data.shape)


@pytest.mark.parametrize("make, twin, shape", PAIRS, ids=NAMES)
def test_layers_agree_with_torch_and_share_their_state(make, twin, shape, rng):
    torch = pytest.importorskip("torch")
    ours = make()
    theirs = eval(f"torch.nn.{twin}", {"torch": torch}).double()
    own_affine(ours, rng)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    for training in (True, False):
        ours.train(training).zero_grad()
        theirs.train(training).zero_grad()
        x = rng.standard_normal(shape)
        tensor = torch.tensor(x, requires_grad=True)
        out, expected = ours(x), theirs(tensor)
        dout = rng.standard_normal(out.shape)
        expected.backward(torch.tensor(dout))
        np.testing.assert_allclose(out, expected.detach(), **EXACT)
        np.testing.assert_allclose(ours.backward(dout), tensor.grad, **EXACT)
        for p, (_, q) in zip(ours.parameters(), theirs.named_parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad, **EXACT)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value, **EXACT)


@pytest.mark.parametrize("make, shape", LAYERS, ids=NAMES)
def test_values_do_not_depend_on_the_layout_in_memory(make, shape, rng):
    if len(shape) != 4:
        return
    first, last = make(), make()
    x = rng.standard_normal(shape)
    out = first(x)
    dout = rng.standard_normal(out.shape)
    np.testing.assert_allclose(last(channels_last(x)), out, **EXACT)
    dx = first.backward(dout)
    if dout.ndim == 4:
        dout = channels_last(dout)
    np.testing.assert_allclose(last.backward(dout), dx, **EXACT)
    for p, q in zip(first.parameters(), last.parameters(), strict=True):
        np.testing.assert_allclose(q.grad, p.grad, **EXACT)


@pytest.mark.parametrize("make, shape", LAYERS, ids=NAMES)
def test_skipping_the_input_gradient_changes_no_other(make, shape, rng):
    layer = make()
    dout = rng.standard_normal(layer(rng.standard_normal(shape)).shape)
    assert layer.backward(dout).shape == shape
    full = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    assert layer.backward(dout, need_dx=False) is None
    for p, g in zip(layer.parameters(), full, strict=True):
        np.testing.assert_array_equal(p.grad, g)


@pytest.mark.parametrize("make, shape", LAYERS, ids=NAMES)
def test_gradients_agree_with_central_differences(make, shape, rng):
    layer = make()
    x = rng.standard_normal(shape)
    features = layer(x)[0].size
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(features, 3, dtype=np.float64))
    result = gradcheck_module(net, x, rng.integers(0, 3, len(x)))
    assert result, str(result)


@pytest.mark.parametrize("make, shape", LAYERS, ids=NAMES)
def test_float32_stays_float32(make, shape, rng):
    layer = make()
    for p in layer.parameters():
        p.data = p.data.astype(np.float32)
    for name in layer._buffers[:2]:
        setattr(layer, name, getattr(layer, name).astype(np.float32))
    out = layer(rng.standard_normal(shape).astype(np.float32))
    dx = layer.backward(np.ones_like(out))
    assert {a.dtype for a in (out, dx, *(p.grad for p in layer.parameters()))} == {
        np.dtype(np.float32)
    }


def test_batch_norm_2d_follows_torch_through_many_steps(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm2d(3, dtype=np.float64), torch.nn.BatchNorm2d(3).double()
    for step in range(20):
        x = (1 + step) * rng.standard_normal((4, 3, 2, 5)) + step
        np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), **EXACT)
    x = rng.standard_normal((1, 3, 1, 1))
    expected = theirs.eval()(torch.tensor(x)).detach()
    np.testing.assert_allclose(ours.eval()(x), expected, **EXACT)
    assert ours.num_batches_tracked == 20


def test_two_forwards_leave_the_last_one_to_backward(rng):
    layer, again = conv(2, 3, 3), conv(2, 3, 3)
    x, dout = rng.standard_normal((2, 2, 5, 5)), rng.standard_normal((2, 3, 3, 3))
    layer(rng.standard_normal((4, 2, 6, 4)))
    layer(x)
    again(x)
    np.testing.assert_array_equal(layer.backward(dout), again.backward(dout))
    np.testing.assert_array_equal(layer.weight.grad, again.weight.grad)


def test_backward_before_forward_is_an_error():
    for layer in (conv(1, 1, 1), nn.MaxPool2d(2), nn.GlobalAvgPool2d(), nn.BatchNorm2d(2)):
        with pytest.raises(RuntimeError, match=f"{type(layer).__name__}.backward needs a forward"):
            layer.backward(np.ones((1, 1, 1, 1)))


# --- initial filters ----------------------------------------------------------------------------


def test_default_filters_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Conv2d(20, 300, (3, 5), rng=rng), torch.nn.Conv2d(20, 300, (3, 5))
    for p, q in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert p.data.std() == pytest.approx(q.std().item(), rel=0.1)
        assert np.abs(p.data).max() == pytest.approx(q.abs().max().item(), rel=0.03)


def test_kaiming_filters_count_every_pixel_of_the_window(rng):
    layer = nn.Conv2d(16, 200, (3, 5), init="kaiming", rng=rng)
    assert layer.weight.data.std() == pytest.approx(np.sqrt(2 / (16 * 3 * 5)), rel=0.01)
    assert not layer.bias.data.any()


def test_a_number_is_the_spread_of_the_weights():
    for layer in (
        nn.Conv2d(50, 50, 5, init=1e-2, rng=np.random.default_rng(0)),
        nn.Linear(300, 200, init=1e-2, rng=np.random.default_rng(0)),
    ):
        assert layer.weight.data.std() == pytest.approx(1e-2, rel=0.01)
        assert layer.weight.data.dtype == np.float32 and not layer.bias.data.any()
    assert not nn.Linear(3, 2, init=0).weight.data.any()


@pytest.mark.parametrize("shape", [(3, 3, 3, 3), (5, 2, 3, 5), (2, 5, 1, 4), (4, 4, 2, 2)], ids=str)
def test_dirac_filters_are_those_of_torch(shape):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.dirac_(torch.empty(shape)).numpy()
    np.testing.assert_array_equal(nn.init.dirac(shape), expected)


def test_a_dirac_convolution_hands_the_picture_on(rng):
    x = rng.standard_normal((2, 3, 6, 5))
    layer = nn.Conv2d(3, 5, (3, 5), padding=(1, 2), bias=False, init="dirac", dtype=np.float64)
    out = layer(x)
    np.testing.assert_array_equal(out[:, :3], x)
    assert not out[:, 3:].any()


# --- patch whitening ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels, size", [(3, 2), (1, 3), (2, 1)])
def test_whitened_patches_are_uncorrelated_with_variance_one(channels, size, rng):
    smooth = rng.standard_normal((40, channels, 12, 10)).cumsum(axis=2)
    smooth += smooth[:, ::-1]  # channels that go together
    dims = channels * size**2
    weight = nn.patch_whitening(smooth, size, eps=0.0 if channels == 1 else 1e-12)
    assert weight.shape == (2 * dims, channels, size, size)
    np.testing.assert_array_equal(weight[dims:], -weight[:dims])
    layer = nn.Conv2d(channels, 2 * dims, size, bias=False, dtype=np.float64)
    layer.weight.data[...] = weight
    rows = layer(smooth)[:, :dims].transpose(0, 2, 3, 1).reshape(-1, dims)
    moments = rows.T @ rows / len(rows)
    rank = np.linalg.matrix_rank(moments, tol=1e-3)
    expected = np.diag((np.arange(dims) < rank).astype(float))
    np.testing.assert_allclose(moments, expected, atol=1e-3)


def test_patch_filters_come_by_falling_variance_and_eps_tames_the_last(rng):
    images = rng.standard_normal((30, 3, 8, 8)).cumsum(axis=3).astype(np.float32)
    images -= images.mean()
    free, tamed = (nn.patch_whitening(images, 3, eps=eps) for eps in (0.0, 10.0))
    assert free.dtype == np.float32
    lengths = [np.linalg.norm(w[:27].reshape(27, -1), axis=1) for w in (free, tamed)]
    assert (np.diff(lengths[0]) >= 0).all()  # 1 / standard deviation
    assert lengths[0][-1] > 3 * lengths[1][-1]
    np.testing.assert_allclose(lengths[1] ** -2, lengths[0] ** -2 + 10, rtol=1e-3)


def test_patch_whitening_of_many_pictures_is_that_of_the_whole(monkeypatch, rng):
    images = rng.standard_normal((23, 2, 6, 5))
    whole = nn.patch_whitening(images, 2)
    monkeypatch.setattr("coursekit.nn.whitening._PICTURES", 7)
    np.testing.assert_allclose(abs(nn.patch_whitening(images, 2)), abs(whole), atol=1e-10)


# --- bad arguments ------------------------------------------------------------------------------

PICTURES = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Conv2d(0, 3, 3), "in_channels must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 0, 3), "out_channels must be at least 1, got 0"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size must be an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, 0), "stride must be an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), "padding must be an integer of at least 0"),
        (lambda: nn.Conv2d(3, 4, 3, init="he"), "init must be a callable, a standard deviation or"),
        (lambda: nn.Conv2d(3, 4, 3, init=-1.0), r"init must be .*, got -1\.0"),
        (lambda: nn.Conv2d(4, 4, 3)(PICTURES), "weight must have shape .* channels of x"),
        (lambda: nn.Conv2d(3, 4, 9)(PICTURES), "kernel_size must fit into the padded pictures"),
        (lambda: nn.MaxPool2d(0), "kernel_size must be an integer of at least 1"),
        (lambda: nn.MaxPool2d(3, padding=2), "padding must be at most half of kernel_size"),
        (lambda: nn.AvgPool2d(2, stride=0), "stride must be an integer of at least 1"),
        (lambda: nn.BatchNorm2d(3)(PICTURES[0]), r"x must have 4 axes, got shape \(3, 8, 8\)"),
        (lambda: nn.BatchNorm2d(4)(PICTURES), "x must have 4 channels"),
        (lambda: nn.GroupNorm(2, 3), "num_groups must divide 3 channels, got 2"),
        (lambda: nn.GroupNorm(1, 0), "num_channels must be at least 1, got 0"),
        (lambda: nn.GroupNorm(2, 4)(PICTURES), "x must have 4 channels"),
        (lambda: nn.init.dirac((3, 4)), r"shape must be \(out, in, kh, kw\)"),
        (lambda: nn.patch_whitening(PICTURES[0], 3), "images must have 4 axes"),
        (lambda: nn.patch_whitening(PICTURES[:0], 3), "images must hold at least one picture"),
        (lambda: nn.patch_whitening(PICTURES, 9), r"kernel_size must lie in 1\.\.8, got 9"),
        (lambda: nn.patch_whitening(PICTURES, 3, eps=-1), "eps must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pictures_with_channels_last_are_named_with_the_repair():
    layer = nn.Conv2d(3, 4, 3)
    pictures = np.zeros((2, 8, 8, 3), np.float32)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(2, 8, 8, 3\): x\.transpose\(0, 3"):
        layer(pictures)
    assert layer(pictures.transpose(0, 3, 1, 2)).shape == (2, 4, 6, 6)
    assert layer(np.zeros((2, 3, 8, 3), np.float32)).shape == (2, 4, 6, 1)  # a narrow picture
