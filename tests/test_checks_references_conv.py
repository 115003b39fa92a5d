"""What lesson 3's exercises are compared with: PyTorch's numbers, and what they promise."""

import numpy as np
import pytest

from coursekit.checks import references_atlas as atlas_ref
from coursekit.checks import references_conv as ref
from coursekit.checks import references_conv_norm as norm_ref
from coursekit.checks.exercises import find


def _inputs(name):
    """The float64 cases of a forward, as lists of arguments."""
    return [list(case.inputs.values()) for case in find(name).cases(np.random.default_rng(3))]


def _close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_convolution_is_pytorchs():
    torch = pytest.importorskip("torch")
    for *arrays, stride, padding in _inputs("conv2d_forward"):
        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        theirs = torch.nn.functional.conv2d(*tensors, stride=stride, padding=padding)
        out, cache = ref.conv2d_forward(*arrays, stride, padding)
        dout = np.random.default_rng(0).standard_normal(out.shape)
        theirs.backward(torch.tensor(dout))
        _close(
            (out, *ref.conv2d_backward(dout, cache)),
            (theirs.detach(), *(t.grad for t in tensors)),
        )


def test_max_pooling_is_pytorchs_ties_too():
    torch = pytest.importorskip("torch")
    for x, high, wide, stride in _inputs("max_pool2d_forward"):
        tensor = torch.tensor(x, requires_grad=True)
        theirs = torch.nn.functional.max_pool2d(tensor, (high, wide), stride)
        out, cache = ref.max_pool2d_forward(x, high, wide, stride)
        dout = np.random.default_rng(0).standard_normal(out.shape)
        theirs.backward(torch.tensor(dout))
        _close((out, ref.max_pool2d_backward(dout, cache)), (theirs.detach(), tensor.grad))


def test_group_norm_is_pytorchs():
    torch = pytest.importorskip("torch")
    for x, gamma, beta, num_groups, eps in _inputs("group_norm_forward")[:-1]:
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
        theirs = torch.nn.functional.group_norm(tensors[0], num_groups, *tensors[1:], eps)
        out, cache = norm_ref.group_norm_forward(x, gamma, beta, num_groups, eps)
        dout = np.random.default_rng(0).standard_normal(out.shape)
        theirs.backward(torch.tensor(dout))
        _close(
            (out, *norm_ref.group_norm_backward(dout, cache)),
            (theirs.detach(), *(t.grad for t in tensors)),
        )


def test_batch_norm_of_pictures_is_pytorchs():
    torch = pytest.importorskip("torch")
    for x, gamma, beta, mean, var, training, momentum, eps in _inputs("batch_norm2d_forward"):
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
        running = [torch.tensor(mean), torch.tensor(var)]
        theirs = torch.nn.functional.batch_norm(
            tensors[0], *running, *tensors[1:], training, momentum, eps
        )
        out, cache, *ours = norm_ref.batch_norm2d_forward(
            x, gamma, beta, mean, var, training, momentum, eps
        )
        np.testing.assert_allclose(out, theirs.detach(), rtol=1e-7, atol=1e-8)  # means of 3e5
        _close(ours, running)
        if training and abs(x).max() < 1e3:
            dout = np.random.default_rng(0).standard_normal(out.shape)
            theirs.backward(torch.tensor(dout))
            grads = norm_ref.batch_norm2d_backward(dout, cache)
            _close(grads, [t.grad for t in tensors])


def test_col2im_is_the_adjoint_of_im2col():
    rng = np.random.default_rng(0)
    for x, *window in _inputs("im2col"):
        cols = ref.im2col(x, *window)
        other = rng.standard_normal(cols.shape)
        back = ref.col2im(other, x.shape, *window)
        assert np.vdot(cols, other) == pytest.approx(np.vdot(x, back), rel=1e-12)


def test_macs_are_those_of_the_loops():
    size, parameters, macs = ref.conv2d_cost(3, 4, (3, 2), 2, 1, 5, 6)
    w = np.ones((4, 3, 3, 2))
    out, _ = ref.conv2d_forward(np.ones((1, 3, 5, 6)), w, np.ones(4), 2, 1)
    assert out.shape[2:] == size
    assert parameters == w.size + 4
    assert macs == out.size * w[0].size


def test_the_receptive_field_is_where_gradients_arrive():
    layers = [(3, 1), (2, 2), (3, 2), (3, 1)]
    size, jump = atlas_ref.receptive_field(layers)
    grid, caches = np.ones((1, 1, 40, 40)), []
    for kernel, stride in layers:
        w = np.ones((1, 1, kernel, kernel))
        grid, cache = ref.conv2d_forward(grid, w, np.zeros(1), stride, 0)
        caches.append(cache)
    tops = []
    for unit in (0, 1):
        d = np.zeros_like(grid)
        d[0, 0, unit, 0] = 1
        for cache in reversed(caches):
            d, _, _ = ref.conv2d_backward(d, cache)
        rows = np.flatnonzero(d[0, 0].any(axis=1))
        assert rows[-1] - rows[0] + 1 == size
        tops.append(rows[0])
    assert tops[1] - tops[0] == jump
