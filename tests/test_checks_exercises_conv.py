"""Lesson 3's exercise checks: right answers pass however they are written.

What wrong ones are told stands in test_checks_messages_conv, and that the answers they are compared
with are PyTorch's in test_checks_references_conv.
"""

import re
from math import floor, prod, sqrt

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from coursekit import functional as F
from coursekit.checks import check
from coursekit.checks import references_conv as ref
from coursekit.checks.exercises import EXERCISES, diagnose, find

LESSON_3 = ("references_conv", "references_conv_norm", "references_atlas")


def padded(x, p):
    return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])


def channels_last(x):
    """The same numbers, in memory as (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


# --- convolution, written as different learners would -----------------------------------------


def cost_by_counting(c_in, c_out, kernel_size, stride, padding, h, w):
    """Windows counted one after the other; lists for tuples."""
    kh, kw = kernel_size
    oh = len(range(0, h + 2 * padding - kh + 1, stride))
    ow = len(range(0, w + 2 * padding - kw + 1, stride))
    return [[oh, ow], c_out * (c_in * kh * kw + 1), oh * ow * c_in * kh * kw * c_out]


def cost_in_floats(c_in, c_out, kernel_size, stride, padding, h, w):
    """Divided, then rounded down; NumPy's numbers."""
    size = 1 + np.floor((np.array([h, w]) + 2 * padding - np.array(kernel_size)) / stride)
    weights = np.prod((c_out, c_in, *kernel_size))
    return tuple(size), weights + c_out, float(weights) * size.prod()


def conv_loops(x, w, b, stride, padding):
    """Four loops; the cache is all there is."""
    f, _, kh, kw = w.shape
    n, _, height, width = x.shape
    oh = 1 + floor((height + 2 * padding - kh) / stride)
    ow = 1 + (width + 2 * padding - kw) // stride
    xp, out = padded(x, padding), np.zeros((n, f, oh, ow), dtype=x.dtype)
    for i in range(n):
        for j in range(f):
            for r in range(oh):
                for c in range(ow):
                    patch = xp[i, :, r * stride : r * stride + kh, c * stride : c * stride + kw]
                    out[i, j, r, c] = np.sum(patch * w[j]) + b[j]
    return out, (x, w, b, stride, padding)


def conv_backward_loops(dout, cache):
    """The same loops again."""
    x, w, b, stride, padding = cache
    kh, kw = w.shape[2:]
    xp = padded(x, padding)
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for i, j, r, c in np.ndindex(dout.shape):
        window = (i, slice(None), slice(r * stride, r * stride + kh))
        window = (*window, slice(c * stride, c * stride + kw))
        dw[j] += dout[i, j, r, c] * xp[window]
        dxp[window] += dout[i, j, r, c] * w[j]
        db[j] += dout[i, j, r, c]
    height, width = x.shape[2:]
    return dxp[:, :, padding : padding + height, padding : padding + width], dw, db


def conv_einsum(x, w, b, stride, padding):
    """Einstein's sums over a strided view; computed in float64; a channels-last output."""
    xp = padded(x, padding)
    (n, c, height, width), (kh, kw) = xp.shape, w.shape[2:]
    oh, ow = (height - kh) // stride + 1, (width - kw) // stride + 1
    sn, sc, sh, sw = xp.strides
    steps = (sn, sc, sh * stride, sw * stride, sh, sw)
    windows = as_strided(xp, (n, c, oh, ow, kh, kw), steps)
    out = np.einsum("nchwij,fcij->nhwf", windows.astype(np.float64), w) + b
    cache = {"windows": windows, "w": w, "x": x.shape, "stride": stride, "p": padding}
    return out.astype(x.dtype).transpose(0, 3, 1, 2), cache


def conv_backward_einsum(dout, cache):
    """dx by offsets within the window; negative borders in the crop; a list."""
    w, stride, p = cache["w"], cache["stride"], cache["p"]
    (n, c, height, width), (oh, ow) = cache["x"], dout.shape[2:]
    dxp = np.zeros((n, c, height + 2 * p, width + 2 * p), dout.dtype)
    for i, j in np.ndindex(w.shape[2:]):
        rows, columns = slice(i, i + oh * stride, stride), slice(j, j + ow * stride, stride)
        dxp[:, :, rows, columns] += np.einsum("nfhw,fc->nchw", dout, w[:, :, i, j])
    dx = dxp[:, :, p:-p, p:-p] if p > 0 else dxp
    dw = np.einsum("nfhw,nchwij->fcij", dout, cache["windows"])
    return [channels_last(dx), dw, np.einsum("nfhw->f", dout)]


def conv_shifted(x, w, b, stride, padding):
    """A product for each weight's place in the window."""
    xp, (kh, kw) = padded(x, padding), w.shape[2:]
    oh, ow = ((s - k) // stride + 1 for s, k in zip(xp.shape[2:], (kh, kw), strict=True))
    out = 0
    for i in range(kh):
        for j in range(kw):
            seen = xp[:, :, i::stride, j::stride][:, :, :oh, :ow]
            out = out + np.tensordot(w[:, :, i, j], seen, axes=(1, 1))
    return np.moveaxis(out, 0, 1) + b.reshape(1, -1, 1, 1), (xp, w, stride, x.shape, padding)


def conv_backward_transposed(dout, cache):
    """dx as a convolution of the spread-out dout with the flipped kernel; dw likewise."""
    xp, w, stride, (n, c, height, width), p = cache
    f, _, kh, kw = w.shape
    oh, ow = dout.shape[2:]
    spread = np.zeros((n, f, xp.shape[2] - kh + 1, xp.shape[3] - kw + 1), dout.dtype)
    spread[:, :, : oh * stride : stride, : ow * stride : stride] = dout
    around = np.pad(spread, [(0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)])
    flipped = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    dxp, _ = conv_shifted(around, flipped, np.zeros(c, w.dtype), 1, 0)
    dw, _ = conv_shifted(xp.swapaxes(0, 1), spread.swapaxes(0, 1), np.zeros(f, w.dtype), 1, 0)
    dx = np.array(dxp[:, :, p : p + height, p : p + width])
    return dx, dw.swapaxes(0, 1), dout.sum(axis=3).sum(axis=2).sum(axis=0)


def conv_scipy(x, w, b, stride, padding):
    """scipy's correlation, of which the stride keeps a part."""
    signal = pytest.importorskip("scipy.signal")
    whole = [[sum(map(correlated(signal), xn, wf)) for wf in w] for xn in padded(x, padding)]
    return np.array(whole)[:, :, ::stride, ::stride] + b[:, None, None], (x, w, stride, padding)


def correlated(signal):
    return lambda a, kernel: signal.correlate2d(a, kernel, mode="valid")


def conv_of_columns(x, w, b, stride, padding):
    """im2col as CS231n has it: columns, picture last."""
    f, c, kh, kw = w.shape
    n, _, height, width = x.shape
    oh, ow = ((s + 2 * padding - k) // stride + 1 for s, k in ((height, kh), (width, kw)))
    channel = np.repeat(np.arange(c), kh * kw)[:, None]
    row = np.tile(np.repeat(np.arange(kh), kw), c)[:, None] + stride * np.repeat(np.arange(oh), ow)
    column = np.tile(np.arange(kw), kh * c)[:, None] + stride * np.tile(np.arange(ow), oh)
    cols = padded(x, padding)[:, channel, row, column]  # N, C * kh * kw, OH * OW
    cols = cols.transpose(1, 2, 0).reshape(c * kh * kw, -1)
    out = (w.reshape(f, -1) @ cols + b.reshape(-1, 1)).reshape(f, oh, ow, n).transpose(3, 0, 1, 2)
    return out, (cols, (channel, row, column), w, x.shape, padding)


def conv_backward_of_columns(dout, cache):
    """np.add.at on a padded array."""
    cols, index, w, (n, c, height, width), p = cache
    rows = dout.transpose(1, 2, 3, 0).reshape(len(w), -1)
    dcols = (w.reshape(len(w), -1).T @ rows).reshape(len(cols), -1, n).transpose(2, 0, 1)
    dx = np.zeros((n, c, height + 2 * p, width + 2 * p), dout.dtype)
    np.add.at(dx, (slice(None), *index), dcols)
    dw = (rows @ cols.T).reshape(w.shape)
    return dx[:, :, p : height + p, p : width + p].copy(), dw, rows.sum(axis=1)


CONV_PAIRS = [
    (conv_loops, conv_backward_loops),
    (conv_einsum, conv_backward_einsum),
    (conv_shifted, conv_backward_transposed),
    (conv_scipy, ref.conv2d_backward),
    (conv_of_columns, conv_backward_of_columns),
    (F.conv2d_forward, F.conv2d_backward),
]


def im2col_loops(x, kh, kw, stride, padding):
    """Row by row."""
    xp, rows = padded(x, padding), []
    for picture in xp:
        for i in range(0, xp.shape[2] - kh + 1, stride):
            for j in range(0, xp.shape[3] - kw + 1, stride):
                rows.append(picture[:, i : i + kh, j : j + kw].flatten())
    return np.array(rows)


def im2col_fancy(x, kh, kw, stride, padding):
    """One gather from the flat padded array."""
    xp = padded(x, padding)
    height, width = xp.shape[2:]
    oh, ow = (height - kh) // stride + 1, (width - kw) // stride + 1
    place = np.arange(xp.size).reshape(xp.shape)
    corners = place[:, 0, : oh * stride : stride, : ow * stride : stride].reshape(-1, 1)
    return xp.ravel()[corners + place[0, :, :kh, :kw].ravel()]


def im2col_offsets(x, kh, kw, stride, padding):
    """All windows' pixels at one place at a time; a transposed view."""
    xp = padded(x, padding)
    n, c, height, width = xp.shape
    oh, ow = (height - kh) // stride + 1, (width - kw) // stride + 1
    cols = np.empty((c, kh, kw, n, oh, ow), x.dtype)
    for i in range(kh):
        for j in range(kw):
            seen = xp[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
            cols[:, i, j] = seen.swapaxes(0, 1)
    return cols.reshape(c * kh * kw, -1).T


def col2im_loops(cols, x_shape, kh, kw, stride, padding):
    """Row by row."""
    n, c, height, width = x_shape
    dx = np.zeros((n, c, height + 2 * padding, width + 2 * padding), dtype=cols.dtype)
    row = 0
    for k in range(n):
        for i in range(0, dx.shape[2] - kh + 1, stride):
            for j in range(0, dx.shape[3] - kw + 1, stride):
                dx[k, :, i : i + kh, j : j + kw] += cols[row].reshape(c, kh, kw)
                row += 1
    return dx[:, :, padding : height + padding, padding : width + padding]


def col2im_scatter(cols, x_shape, kh, kw, stride, padding):
    """np.add.at where im2col gathers."""
    place = np.arange(prod(x_shape), dtype=np.float64).reshape(x_shape) + 1
    where = im2col_loops(place, kh, kw, stride, padding).astype(int)
    dx = np.zeros(prod(x_shape) + 1, cols.dtype)
    np.add.at(dx, where, cols)
    return dx[1:].reshape(x_shape)


def col2im_bincount(cols, x_shape, kh, kw, stride, padding):
    """np.bincount, which sums in float64."""
    place = np.arange(prod(x_shape), dtype=np.float64).reshape(x_shape) + 1
    where = im2col_offsets(place, kh, kw, stride, padding).astype(int)
    dx = np.bincount(where.ravel(), cols.ravel(), prod(x_shape) + 1)
    return dx[1:].reshape(x_shape).astype(cols.dtype)


# --- max pooling --------------------------------------------------------------------------------


def pool_loops(x, pool_height, pool_width, stride):
    """Two loops, the rest at once."""
    n, c, height, width = x.shape
    oh, ow = (height - pool_height) // stride + 1, (width - pool_width) // stride + 1
    out = np.empty((n, c, oh, ow), x.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + pool_height, left : left + pool_width]
            out[:, :, i, j] = window.max(axis=(2, 3))
    return out, (x, pool_height, pool_width, stride)


def pool_backward_loops(dout, cache):
    """np.unravel_index of each argmax."""
    x, ph, pw, stride = cache
    dx = np.zeros(x.shape, x.dtype)
    for n in range(dout.shape[0]):
        for c in range(dout.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    window = x[n, c, i * stride :, j * stride :][:ph, :pw]
                    r, k = np.unravel_index(np.argmax(window), window.shape)
                    dx[n, c, i * stride + r, j * stride + k] += dout[n, c, i, j]
    return dx


def pool_argmax(x, pool_height, pool_width, stride):
    """argmax of flattened windows; the cache holds indices into the flat x."""
    place = np.arange(x.size).reshape(x.shape)
    size = (pool_height, pool_width)
    windows, places = (
        sliding_window_view(a, size, axis=(2, 3))[:, :, ::stride, ::stride] for a in (x, place)
    )
    flat = windows.reshape(*windows.shape[:4], -1)
    best = flat.argmax(axis=-1)[..., None]
    where = np.take_along_axis(places.reshape(flat.shape), best, axis=-1)[..., 0]
    return x.ravel()[where], (where, x.shape)


def pool_backward_scatter(dout, cache):
    """np.add.at."""
    where, shape = cache
    dx = np.zeros(shape, dout.dtype)
    np.add.at(dx.reshape(-1), where, dout)
    return dx


def pool_running(x, pool_height, pool_width, stride):
    """A running maximum from -inf over the places in a window; a channels-last output."""
    n, c, height, width = x.shape
    oh, ow = (height - pool_height) // stride + 1, (width - pool_width) // stride + 1
    out = np.full((n, c, oh, ow), -np.inf, x.dtype)
    place = np.zeros(out.shape, int)
    for k, (i, j) in enumerate(np.ndindex(pool_height, pool_width)):
        seen = x[:, :, i : i + oh * stride : stride, j : j + ow * stride : stride]
        place[seen > out] = k
        out = np.maximum(out, seen)
    cache = {"place": place, "size": (pool_height, pool_width), "x": x, "s": stride}
    return channels_last(out), cache


def pool_backward_masks(dout, cache):
    """A mask for each place in a window."""
    dx, s, (oh, ow) = np.zeros_like(cache["x"]), cache["s"], dout.shape[2:]
    for k, (i, j) in enumerate(np.ndindex(*cache["size"])):
        dx[:, :, i : i + oh * s : s, j : j + ow * s : s] += dout * (cache["place"] == k)
    return channels_last(dx)


def pool_functional(x, pool_height, pool_width, stride):
    """The package's own."""
    return F.max_pool2d_forward(x, (pool_height, pool_width), stride)


POOL_PAIRS = [
    (pool_loops, pool_backward_loops),
    (pool_argmax, pool_backward_scatter),
    (pool_running, pool_backward_masks),
    (pool_functional, F.max_pool2d_backward),
]

# --- normalisation ------------------------------------------------------------------------------


def bn_axes(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """Means over three axes; running statistics as corrections."""
    axes, shape = (0, 2, 3), (1, -1, 1, 1)
    if not training:
        xhat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
        return xhat * gamma.reshape(shape) + beta.reshape(shape), None, mean.copy(), var.copy()
    mu, sigma2 = x.mean(axis=axes), x.var(axis=axes)
    std = np.sqrt(sigma2 + eps).reshape(shape)
    xhat = (x - mu.reshape(shape)) / std
    mean = mean + momentum * (mu - mean)
    var = var + momentum * (x.var(axis=axes, ddof=1) - var)
    return xhat * gamma.reshape(shape) + beta.reshape(shape), (xhat, std, gamma), mean, var


def bn_backward_axes(dout, cache):
    """Sums over three axes, divided by their count at the end."""
    xhat, std, gamma = cache
    m = dout.size / dout.shape[1]
    dxhat = dout * gamma[:, None, None]
    s1 = dxhat.sum(axis=(0, 2, 3), keepdims=True)
    s2 = (dxhat * xhat).sum(axis=(0, 2, 3), keepdims=True)
    dx = (m * dxhat - s1 - xhat * s2) / (m * std)
    return dx, (dout * xhat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))


def bn_of_rows(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """The functions of lesson 2 on rows."""
    n, c, h, w = x.shape
    rows = np.moveaxis(x, 1, -1).reshape(-1, c)
    out, cache, mean, var = F.batch_norm_forward(
        rows, gamma, beta, mean, var, training=training, momentum=momentum, eps=eps
    )
    return np.moveaxis(out.reshape(n, h, w, c), -1, 1), cache, mean, var


def bn_backward_of_rows(dout, cache):
    """Likewise; a list."""
    n, c, h, w = dout.shape
    rows = np.ascontiguousarray(np.moveaxis(dout, 1, -1)).reshape(-1, c)
    dx, dgamma, dbeta = F.batch_norm_backward(rows, cache)
    return [np.moveaxis(dx.reshape(n, h, w, c), -1, 1), dgamma, dbeta]


def bn_by_channels(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """A loop over the channels."""
    out, mean, var, count = np.empty_like(x), mean.copy(), var.copy(), x[:, 0].size
    cache = []
    for c in range(x.shape[1]):
        m, v = (x[:, c].mean(), x[:, c].var()) if training else (mean[c], var[c])
        xhat = (x[:, c] - m) / np.sqrt(v + eps)
        out[:, c] = gamma[c] * xhat + beta[c]
        cache.append((xhat, gamma[c] / np.sqrt(v + eps)))
        if training:
            mean[c] = (1 - momentum) * mean[c] + momentum * m
            var[c] = (1 - momentum) * var[c] + momentum * v * count / (count - 1)
    return out, cache, mean, var


def bn_backward_by_channels(dout, cache):
    """The closed form, channel by channel."""
    dx, dgamma, dbeta = np.empty_like(dout), [], []
    for c, (xhat, scale) in enumerate(cache):
        d = dout[:, c]
        dgamma.append(np.sum(d * xhat))
        dbeta.append(np.sum(d))
        dx[:, c] = scale * (d - dbeta[-1] / d.size - xhat * dgamma[-1] / d.size)
    return dx, np.stack(dgamma), np.stack(dbeta)


def bn_functional(x, gamma, beta, mean, var, training, momentum=0.1, eps=1e-5):
    """The package's own."""
    return F.batch_norm_forward(
        x, gamma, beta, mean, var, training=training, momentum=momentum, eps=eps
    )


BN_PAIRS = [
    (bn_axes, bn_backward_axes),
    (bn_of_rows, bn_backward_of_rows),
    (bn_by_channels, bn_backward_by_channels),
    (bn_functional, F.batch_norm_backward),
]


def gn_five_axes(x, gamma, beta, num_groups, eps=1e-5):
    """(N, G, C / G, H, W)."""
    n, c, h, w = x.shape
    g = x.reshape(n, num_groups, -1, h, w)
    std = np.sqrt(g.var(axis=(2, 3, 4), keepdims=True) + eps)
    xhat = (g - g.mean(axis=(2, 3, 4), keepdims=True)) / std
    out = xhat.reshape(x.shape) * gamma.reshape(1, c, 1, 1) + beta.reshape(1, c, 1, 1)
    return out, {"xhat": xhat, "std": std, "gamma": gamma}


def gn_backward_five_axes(dout, cache):
    """Sums over three of the five, divided at the end."""
    xhat, axes = cache["xhat"], (2, 3, 4)
    dxhat = (dout * cache["gamma"][:, None, None]).reshape(xhat.shape)
    m = xhat[0, 0].size
    s1, s2 = (a.sum(axis=axes, keepdims=True) for a in (dxhat, dxhat * xhat))
    dx = (m * dxhat - s1 - xhat * s2) / m / cache["std"]
    dgamma = (dout * xhat.reshape(dout.shape)).sum(axis=(0, 2, 3))
    return dx.reshape(dout.shape), dgamma, dout.sum(axis=(0, 2, 3))


def gn_by_groups(x, gamma, beta, num_groups, eps=1e-5):
    """A loop over pictures and groups; np.split."""
    parts = [
        [(g - g.mean()) / np.sqrt(g.var() + eps) for g in np.split(picture, num_groups)]
        for picture in x
    ]
    xhat = np.stack([np.concatenate(p) for p in parts])
    std = [[np.sqrt(g.var() + eps) for g in np.split(picture, num_groups)] for picture in x]
    return gamma[:, None, None] * xhat + beta[:, None, None], (xhat, std, gamma, num_groups)


def gn_backward_by_groups(dout, cache):
    """The closed form, group by group."""
    xhat, std, gamma, num_groups = cache
    dx, size = np.empty_like(dout), dout.shape[1] // num_groups
    for n in range(len(dout)):
        for g in range(num_groups):
            part = slice(g * size, (g + 1) * size)
            d, xh = dout[n, part] * gamma[part, None, None], xhat[n, part]
            dx[n, part] = (d - d.mean() - xh * (d * xh).mean()) / std[n][g]
    return dx, np.einsum("nchw,nchw->c", dout, xhat), np.einsum("nchw->c", dout)


def gn_functional(x, gamma, beta, num_groups, eps=1e-5):
    """The package's own."""
    return F.group_norm_forward(x, num_groups, gamma, beta, eps=eps)


GN_PAIRS = [
    (gn_five_axes, gn_backward_five_axes),
    (gn_by_groups, gn_backward_by_groups),
    (gn_functional, F.group_norm_backward),
]

# --- around the net -----------------------------------------------------------------------------


def crop_loop(images, padding, rng):
    """Picture by picture, column before row."""
    n, _, h, w = images.shape
    out = np.empty_like(images)
    for i in range(n):
        big = np.pad(images[i], ((0, 0), (padding,) * 2, (padding,) * 2), mode="reflect")
        left, top = rng.integers(2 * padding + 1), rng.integers(2 * padding + 1)
        out[i] = big[:, top : top + h, left : left + w]
    return out


def crop_by_indices(images, padding, rng):
    """Indices reflected by arithmetic; one gather."""
    n, _, h, w = images.shape

    def places(size):
        start = rng.integers(-padding, padding + 1, size=n)
        return (size - 1) - np.abs(size - 1 - np.abs(start[:, None] + np.arange(size)))

    rows, columns = places(h), places(w)
    moved = images[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.transpose(0, 3, 1, 2)


def crop_sorted(images, padding, rng):
    """Window by window: all pictures that have drawn it at once."""
    _, _, h, w = images.shape
    sides = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    big, out = np.pad(images, sides, "reflect"), np.zeros_like(images)
    drawn = rng.integers(0, (2 * padding + 1) ** 2, len(images))
    for k in range((2 * padding + 1) ** 2):
        top, left = divmod(k, 2 * padding + 1)
        out[drawn == k] = big[drawn == k, :, top : top + h, left : left + w]
    return out


def field_backwards(layers):
    """From the output to the input."""
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size, prod(stride for _, stride in layers)


def field_of_ends(layers):
    """The first and last pixel of two neighbouring units; a list."""
    ends = [[0, 0], [1, 1]]
    for kernel, stride in layers[::-1]:
        ends = [[first * stride, last * stride + kernel - 1] for first, last in ends]
    (first, last), (beside, _) = ends
    return [last - first + 1, beside - first]


def cam_einsum(activations, gradients):
    """Sums for means, which the division undoes; a guard by the maximum."""
    cam = np.einsum("chw,c->hw", activations, gradients.sum((1, 2))).clip(min=0)
    top = cam.max()
    return cam if top == 0 else cam / top


def cam_loop(activations, gradients):
    """A loop over the channels."""
    cam = np.zeros(activations.shape[1:], activations.dtype)
    for a, g in zip(activations, gradients, strict=True):
        cam += g.mean() * a
    cam[cam < 0] = 0
    if cam.max() > 0:
        cam /= cam.max()
    return cam


def occlusion_in_one_batch(score, image, size, stride, fill):
    """All covered pictures in one batch."""
    _, h, w = image.shape
    tops, lefts = range(0, h - size + 1, stride), range(0, w - size + 1, stride)
    batch = np.repeat(image[None], 1 + len(tops) * len(lefts), axis=0)
    corners = [(top, left) for top in tops for left in lefts]
    for picture, (top, left) in zip(batch[1:], corners, strict=True):
        picture[:, top : top + size, left : left + size] = fill
    scores = score(batch)
    return (scores[0] - scores[1:]).reshape(len(tops), len(lefts))


def occlusion_rows(score, image, size, stride, fill):
    """A mask, np.where, and a list of rows."""
    whole, (_, h, w) = float(score(image[None])[0]), image.shape
    y, x = np.mgrid[:h, :w]
    rows = []
    for top in range(0, h - size + 1, stride):
        rows.append([])
        for left in range(0, w - size + 1, stride):
            inside = (top <= y) & (y < top + size) & (left <= x) & (x < left + size)
            rows[-1].append(whole - score(np.where(inside, fill, image)[np.newaxis])[0])
    return np.array(rows)


RIGHT = {
    "conv2d_cost": [(cost_by_counting,), (cost_in_floats,)],
    "conv2d_forward": [(forward,) for forward, _ in CONV_PAIRS],
    "conv2d_backward": CONV_PAIRS,
    "im2col": [(im2col_loops,), (im2col_fancy,), (im2col_offsets,)],
    "col2im": [(col2im_loops,), (col2im_scatter,), (col2im_bincount,)],
    "max_pool2d_forward": [(forward,) for forward, _ in POOL_PAIRS],
    "max_pool2d_backward": POOL_PAIRS,
    "batch_norm2d_forward": [(forward,) for forward, _ in BN_PAIRS],
    "batch_norm2d_backward": BN_PAIRS,
    "group_norm_forward": [(forward,) for forward, _ in GN_PAIRS],
    "group_norm_backward": GN_PAIRS,
    "kaiming_normal_conv": [
        (lambda shape, rng: rng.normal(0, sqrt(2 / np.prod(shape[1:])), size=shape),),
        (
            lambda shape, rng: (
                rng.standard_normal(shape, np.float32) * np.float32(sqrt(2 / prod(shape[1:])))
            ),
        ),
    ],
    "random_crop": [(crop_loop,), (crop_by_indices,), (crop_sorted,)],
    "receptive_field": [(field_backwards,), (field_of_ends,)],
    "grad_cam": [(cam_einsum,), (cam_loop,)],
    "occlusion_map": [(occlusion_in_one_batch,), (occlusion_rows,)],
}
SEEDS = 10
SLOW = {"kaiming_normal_conv": 4, "random_crop": 2, "conv2d_forward": 4, "conv2d_backward": 4}


def test_every_exercise_has_right_answers():
    find("grad_cam")
    module = {k: str(e.reference[-1].__module__).rpartition(".")[2] for k, e in EXERCISES.items()}
    assert RIGHT.keys() == {name for name in EXERCISES if module[name] in LESSON_3}


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarm(name):
    exercise = find(name)
    for seed in range(SLOW.get(name, SEEDS)):
        for given in [*RIGHT[name], exercise.reference]:
            assert diagnose(exercise, given, seed).message == ""


@pytest.mark.parametrize("name", RIGHT)
def test_success_is_one_line_that_never_changes(name, capsys):
    lines = set()
    for functions in [RIGHT[name][0], find(name).reference]:
        for seed in (0, 1):
            check(name, *functions, seed=seed)
            lines.add(capsys.readouterr().out)
    assert len(lines) == 1
    assert re.fullmatch(rf"✓ {name}: \d+ checks passed\n", lines.pop())
