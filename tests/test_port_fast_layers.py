"""The course's convolution and pooling on tensors: the same numbers, and no silent wrong ones."""

import numpy as np
import pytest

from coursekit import functional as F

torch = pytest.importorskip("torch")

from coursekit.port import FastConv, FastMaxPool  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EXACT = {"rtol": 0, "atol": 1e-10}

# Shapes of pictures and filters, stride, padding.
CONVS = [
    ((2, 3, 5, 7), (4, 3, 3, 3), 1, 1),
    ((1, 1, 4, 4), (1, 1, 4, 4), 1, 0),
    ((3, 2, 6, 5), (5, 2, 2, 3), (2, 1), (0, 2)),
    ((2, 4, 1, 1), (3, 4, 1, 1), 3, 0),
]
# Shape of pictures, window, stride; the windows overlap, leave gaps, or leave pixels over.
POOLS = [
    ((2, 3, 4, 6), (2, 2), 2),
    ((1, 2, 5, 7), (3, 2), 1),
    ((3, 1, 7, 5), (1, 2), (3, 2)),
    ((2, 2, 3, 3), (3, 3), 5),
]


def tensors(*arrays, device="cpu"):
    return [None if a is None else torch.tensor(a, device=device) for a in arrays]


def assert_all_close(results, expected):
    for ours, theirs in zip(results, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            assert not ours.requires_grad
            np.testing.assert_allclose(ours.cpu(), theirs, **EXACT)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("x_shape, w_shape, stride, padding", CONVS)
def test_conv_is_the_functional_one(x_shape, w_shape, stride, padding, bias, device, rng):
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    b = rng.standard_normal(w_shape[0]) if bias else None
    out, cache = F.conv2d_forward(x, w, b, stride, padding)
    dout = rng.standard_normal(out.shape)
    fast_out, fast_cache = FastConv.forward(*tensors(x, w, b, device=device), stride, padding)
    gradients = FastConv.backward(*tensors(dout, device=device), fast_cache)
    assert_all_close([fast_out, *gradients], [out, *F.conv2d_backward(dout, cache)])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape, size, stride", POOLS)
def test_pool_is_the_functional_one(shape, size, stride, device, rng):
    x = rng.integers(0, 4, shape).astype(np.float64)  # ties: the first of the largest gets it all
    out, cache = F.max_pool2d_forward(x, size, stride)
    dout = rng.standard_normal(out.shape)
    fast_out, fast_cache = FastMaxPool.forward(*tensors(x, device=device), *size, stride)
    dx = FastMaxPool.backward(*tensors(dout, device=device), fast_cache)
    assert_all_close([fast_out, dx], [out, F.max_pool2d_backward(dout, cache)])


def test_layers_chain_by_hand_as_the_course_does(rng):
    x, w = tensors(rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3)))
    maps, conv_cache = FastConv.forward(x, w, None, 1, 1)
    out, pool_cache = FastMaxPool.forward(maps, 2, 2, 2)
    dout = torch.ones_like(out)
    dx, dw, _ = FastConv.backward(FastMaxPool.backward(dout, pool_cache), conv_cache)
    x, w = x.requires_grad_(), w.requires_grad_()
    torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(x, w, padding=1), 2).sum().backward()
    np.testing.assert_allclose(dx, x.grad, **EXACT)
    np.testing.assert_allclose(dw, w.grad, **EXACT)


CALLS = {
    "conv": (lambda x: FastConv.forward(x, torch.ones(4, 3, 2, 2), None), FastConv.backward),
    "pool": (lambda x: FastMaxPool.forward(x, 2, 2, 1), FastMaxPool.backward),
}


@pytest.fixture(params=CALLS)
def layer(request):
    """Forward on pictures of three channels, and backward."""
    return CALLS[request.param]


def test_what_comes_in_stays_as_it_is(layer):
    forward, backward = layer
    leaf = torch.rand(2, 3, 4, 4, requires_grad=True)
    x = leaf * 1  # part of somebody else's graph
    before = x.detach().clone()
    out, cache = forward(x)
    dout = torch.ones_like(out)
    backward(dout, cache)
    assert torch.equal(x, before) and torch.equal(dout, torch.ones_like(out))
    assert leaf.grad is None and not out.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_and_the_layout_in_memory_may_be_any(dtype):
    x = torch.rand(2, 3, 4, 5, dtype=dtype)
    w, b = torch.rand(4, 3, 3, 3, dtype=dtype), torch.rand(4, dtype=dtype)
    out, cache = FastConv.forward(x, w, b)
    last, last_cache = FastConv.forward(x.to(memory_format=torch.channels_last), w, b)
    torch.testing.assert_close(last, out)
    for first, second in zip(
        FastConv.backward(torch.ones_like(out), cache),
        FastConv.backward(torch.ones_like(out), last_cache),
        strict=True,
    ):
        assert first.dtype == second.dtype == dtype
        torch.testing.assert_close(first, second)


def test_a_cache_serves_once(layer):
    forward, backward = layer
    out, cache = forward(torch.rand(2, 3, 4, 4))
    backward(torch.ones_like(out), cache)
    with pytest.raises(RuntimeError, match="used up: run forward again"):
        backward(torch.ones_like(out), cache)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_cache_without_a_graph_is_refused(layer, mode):
    forward, backward = layer
    x = torch.rand(2, 3, 4, 4)
    with mode():
        out, cache = forward(x)
    with pytest.raises(RuntimeError, match=r"torch\.no_grad"):
        backward(torch.ones(out.shape), cache)


def test_backward_itself_may_run_without_recording(layer):
    forward, backward = layer
    out, cache = forward(torch.rand(2, 3, 4, 4))
    with torch.no_grad():
        result = backward(torch.ones_like(out), cache)
    assert any(g.abs().sum() > 0 for g in result if g is not None)


@pytest.mark.parametrize(
    "dout, error, message",
    [
        (lambda out: out[:1], ValueError, r"dout must have shape \(2, \d, 3, 3\) to match out"),
        (lambda out: out.double(), ValueError, "dout must be torch.float32 on cpu as out is"),
        (lambda out: out.to("meta"), ValueError, "dout must be .* on cpu .* got .* on meta"),
        (lambda out: out.numpy(), TypeError, "dout must be a torch.Tensor, got a NumPy array"),
        (lambda out: 1.0, TypeError, "dout must be a torch.Tensor, got float"),
    ],
    ids=["shape", "dtype", "device", "array", "number"],
)
def test_a_wrong_dout_is_refused_and_the_cache_stays_good(layer, dout, error, message):
    forward, backward = layer
    out, cache = forward(torch.rand(2, 3, 4, 4))
    with pytest.raises(error, match=message):
        backward(dout(out), cache)
    backward(torch.ones_like(out), cache)


def test_an_input_changed_behind_the_back_of_the_graph_is_refused(layer):
    forward, backward = layer
    x = torch.rand(2, 3, 4, 4)
    out, cache = forward(x)
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        backward(torch.ones_like(out), cache)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"x": np.ones((2, 3, 5, 5))}, TypeError, "x must be a torch.Tensor, got a NumPy array"),
        ({"w": np.ones((4, 3, 3, 3))}, TypeError, "w must be a torch.Tensor, got a NumPy array"),
        ({"b": np.ones(4)}, TypeError, "b must be a torch.Tensor, got a NumPy array"),
        ({"b": 0}, TypeError, "b must be a torch.Tensor, got int"),
        ({"x": torch.ones(3, 5, 5)}, ValueError, r"\(N, C, H, W\), got torch.float32 \(3, 5, 5\)"),
        ({"x": torch.ones(2, 3, 5, 5).int()}, ValueError, "floating dtype.*torch.int32"),
        ({"w": torch.ones(4, 2, 3, 3)}, ValueError, r"w must have shape \(O, 3, kh, kw\)"),
        ({"w": torch.ones(4, 3, 3)}, ValueError, r"w must have shape \(O, 3, kh, kw\)"),
        ({"w": torch.ones(4, 3, 3, 3).double()}, ValueError, "w must be torch.float32 on cpu"),
        ({"w": torch.ones(4, 3, 3, 3, device="meta")}, ValueError, "w must be .* got .* on meta"),
        ({"b": torch.ones(3)}, ValueError, r"b must have shape \(4,\) to match w, got \(3,\)"),
        ({"w": torch.ones(4, 3, 6, 3)}, ValueError, "must fit into the padded pictures, 5 x 5"),
        ({"stride": 0}, ValueError, "stride must be an integer of at least 1"),
        ({"padding": -1}, ValueError, "padding must be an integer of at least 0"),
    ],
)
def test_conv_names_the_argument_that_does_not_fit(changes, error, message):
    arguments = {
        "x": torch.ones(2, 3, 5, 5),
        "w": torch.ones(4, 3, 3, 3),
        "b": torch.ones(4),
        "stride": 1,
        "padding": 0,
    }
    with pytest.raises(error, match=message):
        FastConv.forward(**arguments | changes)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"x": np.ones((2, 3, 4, 4))}, TypeError, "x must be a torch.Tensor, got a NumPy array"),
        ({"x": torch.ones(4, 4)}, ValueError, r"\(N, C, H, W\), got torch.float32 \(4, 4\)"),
        ({"pool_height": 0}, ValueError, "pool_height, pool_width must be"),
        ({"pool_width": 5}, ValueError, "must fit into the padded pictures"),
        ({"stride": (1, 0)}, ValueError, "stride must be"),
    ],
)
def test_pool_names_the_argument_that_does_not_fit(changes, error, message):
    arguments = {"x": torch.ones(2, 3, 4, 4), "pool_height": 2, "pool_width": 2, "stride": 2}
    with pytest.raises(error, match=message):
        FastMaxPool.forward(**arguments | changes)
