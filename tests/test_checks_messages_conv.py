"""What lesson 3's exercise checks tell: the likely bug by its name, though in other words."""

from math import prod

import numpy as np
import pytest

from coursekit.checks import ExerciseError, check
from coursekit.checks import references_atlas as atlas_ref
from coursekit.checks import references_conv as ref


def padded(x, p):
    return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])


def _message(name, *functions):
    with pytest.raises(ExerciseError) as failure:
        check(name, *functions)
    return str(failure.value)


def test_a_true_convolution_is_told_from_a_correlation():
    signal = pytest.importorskip("scipy.signal")

    def two_dimensional(channel, kernel):
        return signal.convolve2d(channel, kernel, mode="valid")

    def convolve(x, w, b, stride, padding):
        whole = np.zeros(
            (len(x), len(w), *np.array(padded(x, padding).shape[2:]) - w.shape[2:] + 1)
        )
        for n, f, c in np.ndindex(len(x), *w.shape[:2]):
            whole[n, f] += signal.convolve2d(padded(x, padding)[n, c], w[f, c], mode="valid")
        return (whole[:, :, ::stride, ::stride] + b[:, None, None]).astype(x.dtype), None

    text = _message("conv2d_forward", convolve)
    assert "this looks like: the kernel is flipped" in text


def conv_with(window, size=None, pad=padded):
    """A learner's loops with another window."""

    def forward(x, w, b, stride, padding):
        f, _, kh, kw = w.shape
        xp = pad(x, padding)
        oh, ow = (size or two_sizes)(xp.shape, (kh, kw), stride)
        out = np.zeros((len(x), f, oh, ow), x.dtype)
        for n, k, i, j in np.ndindex(out.shape):
            out[n, k, i, j] = np.sum(window(xp[n], i, j, kh, kw, stride) * w[k]) + b[k]
        return out, None

    return forward


def two_sizes(shape, kernel, stride):
    return [(s - k) // stride + 1 for s, k in zip(shape[2:], kernel, strict=True)]


def plain(a, i, j, kh, kw, s):
    return a[:, i * s : i * s + kh, j * s : j * s + kw]


def test_likely_bugs_of_a_convolution_are_named():
    check("conv2d_forward", conv_with(plain))
    for wrong, name in [
        (conv_with(lambda a, i, j, kh, kw, s: a[:, i : i + kh, j : j + kw]), "windows start at"),
        (
            conv_with(lambda a, i, j, kh, kw, s: plain(a, i, j, kh, kh, s)),
            "the kernel's width is taken to be its height",
        ),
        (
            conv_with(plain, lambda *args: [two_sizes(*args)[0]] * 2),
            "the output's width is taken to be its height",
        ),
        (conv_with(plain, pad=lambda x, p: x), "padding is ignored"),
        (
            conv_with(plain, pad=lambda x, p: np.pad(x, [(0, 0), (0, 0), (0, 2 * p), (0, 2 * p)])),
            "the picture is put into a corner",
        ),
    ]:
        assert f"this looks like: {name}" in _message("conv2d_forward", wrong)


def conv_backward_with(crop, add):
    def backward(dout, cache):
        x, w, s, p = cache
        dxp, dw = np.zeros_like(padded(x, p)), np.zeros_like(w)
        for n, f, i, j in np.ndindex(dout.shape):
            window = np.s_[n, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]]
            dxp[window] = add(dxp[window], dout[n, f, i, j] * w[f])
            dw[f] += dout[n, f, i, j] * padded(x, p)[window]
        return crop(dxp, p, x.shape), dw, dout.sum(axis=(0, 2, 3))

    return backward


def test_likely_bugs_of_its_backward_are_named():
    def right(dx, p, shape):
        return dx[:, :, p : p + shape[2], p : p + shape[3]]

    for crop, add, name in [
        (right, np.add, None),
        (lambda dx, p, _: dx[:, :, p:-p, p:-p], np.add, "dx[:, :, p:-p, p:-p] is empty for p = 0"),
        (right, lambda old, new: new, "dx = for +="),
    ]:
        functions = ref.conv2d_forward, conv_backward_with(crop, add)
        if name is None:
            check("conv2d_backward", *functions)
        else:
            assert f"this looks like: {name}" in _message("conv2d_backward", *functions)


def test_a_changed_upstream_gradient_is_told():
    def scaled(dout, cache):
        dout *= 0.5
        dx, dw, db = ref.conv2d_backward(dout, cache)
        return 2 * dx, 2 * dw, 2 * db

    text = _message("conv2d_backward", ref.conv2d_forward, scaled)
    assert "its argument dout comes back changed" in text


def test_one_forward_may_not_lose_the_cache_of_another():
    last = {}

    def forward(*args):
        out, last["cache"] = ref.conv2d_forward(*args)
        return out, None

    def backward(dout, cache):
        return ref.conv2d_backward(dout, last["cache"])

    text = _message("conv2d_backward", forward, backward)
    assert "this looks like: the cache is one object that every forward overwrites" in text


def test_a_maximum_that_starts_at_zero_is_named():
    def from_zeros(x, pool_height, pool_width, stride):
        (n, c, h, w), s = x.shape, stride
        out = np.zeros((n, c, (h - pool_height) // s + 1, (w - pool_width) // s + 1), x.dtype)
        for i, j in np.ndindex(pool_height, pool_width):
            seen = x[:, :, i::s, j::s][:, :, : out.shape[2], : out.shape[3]]
            out = np.maximum(out, seen)
        return out, None

    text = _message("max_pool2d_forward", from_zeros)
    assert "this looks like: the maximum starts at 0, so that negative windows give 0" in text


@pytest.mark.parametrize(
    ("share", "name"),
    [
        (lambda tied: tied, "every number that equals the maximum gets the gradient"),
        (lambda tied: tied / tied.sum(axis=(2, 3), keepdims=True), "tied maxima share"),
    ],
)
def test_ties_in_a_pool_are_named(share, name):
    def backward(dout, cache):
        x, ph, pw, s = cache
        dx = np.zeros_like(x)
        for i, j in np.ndindex(dout.shape[2:]):
            window = np.s_[:, :, i * s : i * s + ph, j * s : j * s + pw]
            top = x[window].max(axis=(2, 3), keepdims=True)
            dx[window] += share(x[window] == top) * dout[:, :, i, j, None, None]
        return dx

    text = _message("max_pool2d_backward", ref.max_pool2d_forward, backward)
    assert "whole numbers with ties" in text
    assert f"this looks like: {name}" in text


def test_columns_that_overlap_are_added():
    def assigned(cols, x_shape, kh, kw, stride, padding):
        place = np.arange(prod(x_shape), dtype=np.float64).reshape(x_shape) + 1
        dx = np.zeros(prod(x_shape) + 1, cols.dtype)
        dx[ref.im2col(place, kh, kw, stride, padding).astype(int)] += cols
        return dx[1:].reshape(x_shape)

    assert "this looks like: = for += where windows overlap" in _message("col2im", assigned)


def test_group_norm_over_the_wrong_axes_is_named():
    def wrong(x, gamma, beta, num_groups, eps=1e-5):
        n, c, h, w = x.shape
        g = x.reshape(n, c // num_groups, num_groups, h, w)
        xhat = (g - g.mean((1, 3, 4), keepdims=True)) / np.sqrt(
            g.var((1, 3, 4), keepdims=True) + eps
        )
        return xhat.reshape(x.shape) * gamma[:, None, None] + beta[:, None, None], None

    text = _message("group_norm_forward", wrong)
    assert "this looks like: channel c is put into group c % num_groups" in text


def test_a_cost_in_the_wrong_shape():
    text = _message("conv2d_cost", lambda *args: ref.conv2d_cost(*args)[1:])
    assert "it should return ((out_h, out_w), parameters, macs), got a tuple of 2" in text
    text = _message("conv2d_cost", lambda *args: (5, *ref.conv2d_cost(*args)[1:]))
    assert "the first thing that it returns should be (out_h, out_w), got int" in text


def test_layers_may_not_be_used_up():
    def popped(layers):
        size, jump = 1, 1
        while layers:
            kernel, stride = layers.pop(0)
            size, jump = size + (kernel - 1) * jump, jump * stride
        return size, jump

    assert "its argument layers comes back changed" in _message("receptive_field", popped)


def test_crops_speak_of_windows():
    def first_for_all(images, padding, rng):
        return atlas_ref.random_crop(images[:1].repeat(len(images), axis=0), padding, rng)

    text = _message("random_crop", first_for_all)
    told = "windows of a picture that is reflected at its border should be 1, got 0"
    assert f"the share of crops that are {told}" in text

    def never_the_last(images, padding, rng):
        _, _, h, w = images.shape
        sides = [(0, 0), (padding, padding), (padding, padding)]
        starts = rng.integers(0, 2 * padding, (len(images), 2))
        big = [np.pad(x, sides, "reflect") for x in images]
        return np.stack([x[:, i : i + h, j : j + w] for x, (i, j) in zip(big, starts, strict=True)])

    text = _message("random_crop", never_the_last)
    assert "the number of rows at which windows start should be 3, got 2" in text
    assert "rng.integers(0, 2 * padding) never draws its upper end" in text


def test_the_global_random_state_is_put_back():
    def from_the_global_state(images, padding, rng):
        np.random.rand()  # noqa: NPY002
        return atlas_ref.random_crop(images, padding, rng)

    before = np.random.get_state()  # noqa: NPY002
    text = _message("random_crop", from_the_global_state)
    assert "calls that draw from the global np.random should be 0, got 6" in text
    after = np.random.get_state()  # noqa: NPY002
    assert before[2] == after[2] and np.array_equal(before[1], after[1])


def test_a_score_takes_batches():
    def one_picture(score, image, size, stride, fill):
        return score(image)

    text = _message("occlusion_map", one_picture)
    assert "score was called with shape (3, 6, 6), not (N, 3, 6, 6)" in text


def test_a_map_of_nothing_stays_zero():
    def divided(activations, gradients):
        cam = np.maximum(np.tensordot(gradients.mean(axis=(1, 2)), activations, 1), 0)
        return cam / cam.max()

    text = _message("grad_cam", divided)
    assert "should be 0, got nan" in text and "everything speaks against the class" in text
    assert "this looks like: 0 / 0 where nothing speaks for the class" in text
