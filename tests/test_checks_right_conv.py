"""Lesson 3's exercises, right in other ways: loops with math, einsum, copies, float64 inside.

Each of them must pass on any seed; COURSEKIT_RIGHT_SEEDS=50 tries so many.
"""

import math
from itertools import product

import numpy as np
import pytest


def places(size, kernel, stride, padding=0):
    """Where windows start, in the padded picture."""
    return range(0, size + 2 * padding - kernel + 1, stride)


def framed(x, padding, value=0.0):
    n, c, h, w = x.shape
    big = np.full((n, c, h + 2 * padding, w + 2 * padding), value, x.dtype)
    big[:, :, padding : padding + h, padding : padding + w] = x
    return big


# --- what a convolution costs -----------------------------------------------------------------


def cost_by_ranges(c_in, c_out, kernel_size, stride, padding, h, w):
    kh, kw = kernel_size
    size = len(places(h, kh, stride, padding)), len(places(w, kw, stride, padding))
    filters = math.prod((c_in, kh, kw))
    return size, c_out * (filters + 1), math.prod((filters, c_out, *size))


def cost_as_lists(c_in, c_out, kernel_size, stride, padding, h, w):
    size = [math.floor((s - k + 2 * padding) / stride + 1) for s, k in zip((h, w), kernel_size)]  # noqa: B905
    weights = np.empty((c_out, c_in, *kernel_size)).size
    return [size, weights + c_out, weights * size[0] * size[1]]


# --- convolution ------------------------------------------------------------------------------


def conv_with_math(x, w, b, stride, padding):
    big = framed(x, padding)
    rows = places(x.shape[2], w.shape[2], stride, padding)
    columns = places(x.shape[3], w.shape[3], stride, padding)
    out = np.empty((len(x), len(w), len(rows), len(columns)), x.dtype)
    for n, f, i, j in np.ndindex(out.shape):
        window = big[n, :, rows[i] : rows[i] + w.shape[2], columns[j] : columns[j] + w.shape[3]]
        out[n, f, i, j] = math.fsum((window * w[f]).ravel().tolist()) + float(b[f])
    return out, (x.copy(), w.copy(), stride, padding)


def conv_backward_with_adding(dout, cache):
    x, w, stride, padding = cache
    big, (high, wide) = framed(x, padding), w.shape[2:]
    dbig, dw, db = np.zeros_like(big), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for n, f, i, j in np.ndindex(dout.shape):
        here = (n, slice(None), slice(i * stride, i * stride + high))
        here += (slice(j * stride, j * stride + wide),)
        dbig[here] += dout[n, f, i, j] * w[f]
        dw[f] += dout[n, f, i, j] * big[here]
        db[f] += dout[n, f, i, j]
    height, width = x.shape[2:]
    dx = dbig[:, :, padding : padding + height, padding : padding + width].copy()
    return dx, dw, db


def conv_wide(x, w, b, stride, padding):
    big = framed(x.astype(np.float64), padding)
    windows = np.lib.stride_tricks.sliding_window_view(big, w.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    out = np.einsum("ncijkl,fckl->nfij", windows, w.astype(np.float64))
    out += b[:, None, None]
    cache = {"windows": windows.copy(), "w": w.astype(np.float64), "x": x.shape}
    return out.astype(x.dtype), cache | {"stride": stride, "padding": padding}


def conv_backward_wide(dout, cache):
    up, w, stride, padding = dout.astype(np.float64), cache["w"], cache["stride"], cache["padding"]
    n, c, height, width = cache["x"]
    dw = np.einsum("nfij,ncijkl->fckl", up, cache["windows"])
    dbig = np.zeros((n, c, height + 2 * padding, width + 2 * padding))
    for k, m in product(range(w.shape[2]), range(w.shape[3])):
        reach = (
            slice(k, k + stride * up.shape[2], stride),
            slice(m, m + stride * up.shape[3], stride),
        )
        dbig[:, :, *reach] += np.einsum("nfij,fc->ncij", up, w[:, :, k, m])
    dx = dbig[:, :, padding : padding + height, padding : padding + width]
    return tuple(a.astype(dout.dtype) for a in (dx, dw, np.einsum("nfij->f", up)))


CONV = [(conv_with_math, conv_backward_with_adding), (conv_wide, conv_backward_wide)]


def im2col_appended(x, kh, kw, stride, padding):
    big, rows = framed(x, padding), []
    for picture in big:
        for i in places(x.shape[2], kh, stride, padding):
            for j in places(x.shape[3], kw, stride, padding):
                rows.append(picture[:, i : i + kh, j : j + kw].ravel())
    return np.array(rows)


def im2col_strided(x, kh, kw, stride, padding):
    big = np.ascontiguousarray(framed(x, padding))
    n, c, s, t = big.strides
    oh = len(places(x.shape[2], kh, stride, padding))
    ow = len(places(x.shape[3], kw, stride, padding))
    windows = np.lib.stride_tricks.as_strided(
        big, (len(x), oh, ow, x.shape[1], kh, kw), (n, s * stride, t * stride, c, s, t)
    )
    return windows.reshape(len(x) * oh * ow, -1).copy()


def col2im_popped(cols, x_shape, kh, kw, stride, padding):
    _, c, h, w = x_shape
    big = framed(np.zeros(x_shape, cols.dtype), padding)
    rows = iter(cols.copy())
    for picture in big:
        for i in places(h, kh, stride, padding):
            for j in places(w, kw, stride, padding):
                picture[:, i : i + kh, j : j + kw] += next(rows).reshape(c, kh, kw)
    return np.ascontiguousarray(big[:, :, padding : padding + h, padding : padding + w])


def col2im_wide(cols, x_shape, kh, kw, stride, padding):
    """The adjoint, from im2col itself: each basis picture's columns, weighted."""
    size = math.prod(x_shape[1:])
    basis = np.eye(size).reshape(size, *x_shape[1:])
    adjoint = im2col_appended(basis, kh, kw, stride, padding).reshape(size, -1)
    return (cols.reshape(x_shape[0], -1) @ adjoint.T).reshape(x_shape).astype(cols.dtype)


# --- max pooling ------------------------------------------------------------------------------


def pool_with_max(x, pool_height, pool_width, stride):
    rows, columns = (
        places(s, k, stride) for s, k in zip(x.shape[2:], (pool_height, pool_width), strict=True)
    )
    out = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    won = {}
    for n, c, i, j in np.ndindex(out.shape):
        inside = product(
            range(rows[i], rows[i] + pool_height), range(columns[j], columns[j] + pool_width)
        )
        won[n, c, i, j] = max(inside, key=lambda place: x[n, c, *place])
        out[n, c, i, j] = x[n, c, *won[n, c, i, j]]
    return out, (won, x.shape)


def pool_backward_of_winners(dout, cache):
    won, shape = cache
    dx = np.zeros(shape, dout.dtype)
    for (n, c, i, j), place in won.items():
        dx[n, c, *place] += dout[n, c, i, j]
    return dx


def pool_flat(x, pool_height, pool_width, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (pool_height, pool_width), axis=(2, 3))
    flat = windows[:, :, ::stride, ::stride].reshape(*x.shape[:2], -1, pool_height * pool_width)
    first = flat.argmax(axis=-1)
    out = np.take_along_axis(flat, first[..., None], axis=-1)[..., 0]
    oh, ow = (
        len(places(s, k, stride)) for s, k in ((x.shape[2], pool_height), (x.shape[3], pool_width))
    )
    return out.reshape(*x.shape[:2], oh, ow).copy(), (first, x.shape, pool_width, stride)


def pool_backward_flat(dout, cache):
    first, shape, pool_width, stride = cache
    n, c, oh, ow = dout.shape
    first = first.reshape(dout.shape)
    rows = first // pool_width + stride * np.arange(oh)[:, None]
    columns = first % pool_width + stride * np.arange(ow)
    flat = rows * shape[3] + columns
    dx = np.zeros((n, c, shape[2] * shape[3]), np.float64)
    for a, b in np.ndindex(n, c):
        dx[a, b] = np.bincount(
            flat[a, b].ravel(), dout[a, b].ravel().astype(np.float64), shape[2] * shape[3]
        )
    return dx.reshape(shape).astype(dout.dtype)


POOL = [(pool_with_max, pool_backward_of_winners), (pool_flat, pool_backward_flat)]


# --- norms ------------------------------------------------------------------------------------


def bn2d_with_math(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    n, c, h, w = x.shape
    count = n * h * w
    out, mean, var, roots = np.empty_like(x), running_mean.copy(), running_var.copy(), []
    hat = np.empty(x.shape)
    for k in range(c):
        values = x[:, k].astype(np.float64).ravel().tolist()
        mu, sigma2 = float(mean[k]), float(var[k])
        if training:
            mu = math.fsum(values) / count
            sigma2 = math.fsum((v - mu) ** 2 for v in values) / count
            mean[k] += momentum * (mu - mean[k])
            var[k] += momentum * (sigma2 * count / (count - 1) - var[k])
        roots.append(math.sqrt(sigma2 + eps))
        hat[:, k] = (x[:, k].astype(np.float64) - mu) / roots[k]
        out[:, k] = gamma[k] * hat[:, k] + beta[k]
    return out, (hat, roots, gamma), mean, var


def bn2d_backward_with_math(dout, cache):
    hat, roots, gamma = cache
    dx, dgamma, dbeta = np.empty_like(dout), np.empty_like(gamma), np.empty_like(gamma)
    for k, root in enumerate(roots):
        up = dout[:, k].astype(np.float64)
        dgamma[k] = math.fsum((up * hat[:, k]).ravel().tolist())
        dbeta[k] = math.fsum(up.ravel().tolist())
        rest = up - up.mean() - hat[:, k] * np.mean(up * hat[:, k])
        dx[:, k] = float(gamma[k]) / root * rest
    return dx, dgamma, dbeta


def bn2d_einsum(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    count = x.size // x.shape[1]
    hat, mean, var = x.copy(), running_mean.copy(), running_var.copy()
    if training:
        mu = np.einsum("nchw->c", x) / x.dtype.type(count)
        hat -= mu[:, None, None]
        again = hat.mean(axis=(0, 2, 3))  # what the first sum has lost
        hat -= again[:, None, None]
        sigma2 = np.einsum("nchw,nchw->c", hat, hat) / x.dtype.type(count)
        mean = (1 - momentum) * mean + momentum * (mu + again)
        var = (1 - momentum) * var + momentum * sigma2 * (count / (count - 1))
    else:
        hat -= mean[:, None, None]
        sigma2 = var
    ivar = 1 / np.sqrt(sigma2 + eps)
    hat *= ivar[:, None, None]
    out = np.einsum("nchw,c->nchw", hat, gamma) + beta[None, :, None, None]
    return out, (hat, ivar, gamma), mean, var


def bn2d_backward_einsum(dout, cache):
    hat, ivar, gamma = cache
    count = dout.dtype.type(dout.size // dout.shape[1])
    dbeta, dgamma = np.einsum("nchw->c", dout), np.einsum("nchw,nchw->c", dout, hat)
    dx = dout - (dbeta / count)[:, None, None]
    dx -= hat * (dgamma / count)[:, None, None]
    dx *= (gamma * ivar)[:, None, None]
    return dx, dgamma, dbeta


BN = [(bn2d_with_math, bn2d_backward_with_math), (bn2d_einsum, bn2d_backward_einsum)]


def gn_with_math(x, gamma, beta, num_groups, eps=1e-5):
    size = x.shape[1] // num_groups
    out, hat, roots = np.empty_like(x), np.empty(x.shape), np.empty((len(x), num_groups))
    for n, g in np.ndindex(len(x), num_groups):
        own = slice(g * size, (g + 1) * size)
        values = x[n, own].astype(np.float64)
        mu = math.fsum(values.ravel().tolist()) / values.size
        variance = math.fsum(((values - mu) ** 2).ravel().tolist()) / values.size
        roots[n, g] = math.sqrt(variance + eps)
        hat[n, own] = (values - mu) / roots[n, g]
    for c in range(x.shape[1]):
        out[:, c] = gamma[c] * hat[:, c] + beta[c]
    return out, (hat, roots, gamma)


def gn_backward_with_math(dout, cache):
    hat, roots, gamma = cache
    up = dout.astype(np.float64)
    dx = np.empty_like(dout)
    size = dout.shape[1] // roots.shape[1]
    for n, g in np.ndindex(roots.shape):
        own = slice(g * size, (g + 1) * size)
        d = up[n, own] * gamma[own, None, None]
        dx[n, own] = (d - d.mean() - hat[n, own] * (d * hat[n, own]).mean()) / roots[n, g]
    both = np.einsum("nchw,nchw->c", up, hat), np.einsum("nchw->c", up)
    return dx, *(a.astype(dout.dtype) for a in both)


def gn_wide(x, gamma, beta, num_groups, eps=1e-5):
    n, c, h, w = x.shape
    hat = x.astype(np.float64).reshape(n, num_groups, c // num_groups, h * w)
    hat -= hat.mean(axis=(2, 3), keepdims=True)
    ivar = 1 / np.sqrt(np.einsum("ngck,ngck->ng", hat, hat) * num_groups / (c * h * w) + eps)
    hat *= ivar[:, :, None, None]
    out = hat.reshape(x.shape) * gamma.reshape(1, c, 1, 1) + beta.reshape(1, c, 1, 1)
    return out.astype(x.dtype), {"hat": hat, "ivar": ivar, "gamma": gamma}


def gn_backward_wide(dout, cache):
    hat, ivar = cache["hat"], cache["ivar"][:, :, None, None]
    up = dout.astype(np.float64).reshape(hat.shape)
    d = up * cache["gamma"].astype(np.float64).reshape(hat.shape[1:3])[None, :, :, None]
    count = hat.shape[2] * hat.shape[3]
    along = np.einsum("ngck,ngck->ng", d, hat)[:, :, None, None] / count
    dx = ivar * (d - d.sum(axis=(2, 3), keepdims=True) / count - hat * along)
    both = (up * hat).sum(axis=(0, 3)).ravel(), up.sum(axis=(0, 3)).ravel()
    return tuple(a.reshape(s).astype(dout.dtype) for a, s in zip((dx, *both), (dout.shape, -1, -1)))  # noqa: B905


GN = [(gn_with_math, gn_backward_with_math), (gn_wide, gn_backward_wide)]


# --- what is drawn ----------------------------------------------------------------------------


def kaiming_call(shape, rng):
    return rng.normal(scale=math.sqrt(2 / math.prod(shape[1:])), size=shape)


def kaiming_by_filters(shape, rng):
    fan_in = np.zeros(shape[1:]).size
    filters = [rng.standard_normal(shape[1:]) for _ in range(shape[0])]
    return np.stack(filters) * (2 / fan_in) ** 0.5


def crop_slices(images, padding, rng):
    n, _, h, w = images.shape
    out = images.copy()
    for k in range(n):
        big = np.pad(images[k], ((0, 0), (padding,) * 2, (padding,) * 2), mode="reflect")
        i, j = int(rng.integers(2 * padding + 1)), math.floor(rng.random() * (2 * padding + 1))
        out[k] = big[:, i : i + h, j : j + w]
    return out


def crop_mirrored_indices(images, padding, rng):
    n, _, h, w = images.shape
    which = rng.integers(0, (2 * padding + 1) ** 2, n)

    def reflected(index, size):
        index = np.abs(index)
        return np.where(index >= size, 2 * (size - 1) - index, index)

    rows = reflected(which[:, None] // (2 * padding + 1) - padding + np.arange(h), h)
    columns = reflected(which[:, None] % (2 * padding + 1) - padding + np.arange(w), w)
    k = np.arange(n)[:, None, None]
    moved = images.transpose(0, 2, 3, 1)[k, rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))


# --- looking inside ---------------------------------------------------------------------------


def field_by_marking(layers):
    """From the last unit back: which pixels it and its neighbour see."""
    starts = [{0}, {1}]
    for kernel, stride in list(layers)[::-1]:
        starts = [{s * stride + k for s in seen for k in range(kernel)} for seen in starts]
    spans = [max(seen) - min(seen) + 1 for seen in starts]
    return spans[0], min(starts[1]) - min(starts[0])


def field_by_products(layers):
    layers = tuple(layers)
    jumps = [math.prod(s for _, s in layers[:i]) for i in range(len(layers) + 1)]
    return 1 + sum((k - 1) * jump for (k, _), jump in zip(layers, jumps)), jumps[-1]  # noqa: B905


def cam_loops(activations, gradients):
    c, h, w = activations.shape
    weights = [math.fsum(gradients[k].ravel().tolist()) / (h * w) for k in range(c)]
    heat = np.zeros((h, w), activations.dtype)
    for i, j in np.ndindex(h, w):
        value = math.fsum(weights[k] * float(activations[k, i, j]) for k in range(c))
        heat[i, j] = max(value, 0.0)
    top = max(heat.ravel().tolist())
    if top > 0:
        heat /= heat.dtype.type(top)
    return heat


def cam_wide(activations, gradients):
    a, g = activations.astype(np.float64), gradients.astype(np.float64)
    heat = np.einsum("chw,cxy->hw", a, g) / g[0].size
    heat *= heat > 0
    top = heat.max()
    return (heat / top if top > 0 else np.zeros_like(heat)).astype(activations.dtype)


def occlusion_masks(score, image, size, stride, fill):
    _, h, w = image.shape
    rows, columns = places(h, size, stride), places(w, size, stride)
    whole = float(score(image.copy()[np.newaxis])[0])
    result = [[0.0] * len(columns) for _ in rows]
    for (i, top), (j, left) in product(enumerate(rows), enumerate(columns)):
        mask = np.zeros((h, w), bool)
        mask[top : top + size, left : left + size] = True
        result[i][j] = whole - float(score(np.where(mask, fill, image)[None]).item())
    return np.array(result)


def occlusion_put_back(score, image, size, stride, fill):
    _, h, w = image.shape
    work, before = image[None].copy(), score(image[None])
    out = np.zeros((len(places(h, size, stride)), len(places(w, size, stride))))
    for i, j in np.ndindex(out.shape):
        where = np.s_[0, :, i * stride : i * stride + size, j * stride : j * stride + size]
        kept = work[where].copy()
        work[where] = fill
        out[i, j] = (before - score(work))[0]
        work[where] = kept
    return out


RIGHT = {
    "conv2d_cost": [cost_by_ranges, cost_as_lists],
    "conv2d_forward": [forward for forward, _ in CONV],
    "conv2d_backward": CONV,
    "im2col": [im2col_appended, im2col_strided],
    "col2im": [col2im_popped, col2im_wide],
    "max_pool2d_forward": [forward for forward, _ in POOL],
    "max_pool2d_backward": POOL,
    "batch_norm2d_forward": [forward for forward, _ in BN],
    "batch_norm2d_backward": BN,
    "group_norm_forward": [forward for forward, _ in GN],
    "group_norm_backward": GN,
    "kaiming_normal_conv": [kaiming_call, kaiming_by_filters],
    "random_crop": [crop_slices, crop_mirrored_indices],
    "receptive_field": [field_by_marking, field_by_products],
    "grad_cam": [cam_loops, cam_wide],
    "occlusion_map": [occlusion_masks, occlusion_put_back],
}
SLOW = {"conv2d_forward", "conv2d_backward", "random_crop"}
WRITTEN = [(name, f) for name, functions in RIGHT.items() for f in functions]


def _id(value):
    last = value[-1] if isinstance(value, tuple) else value
    return getattr(last, "__name__", str(last))


@pytest.mark.parametrize(("name", "functions"), WRITTEN, ids=_id)
def test_right_answers_pass(name, functions, no_false_alarm):
    no_false_alarm(name, functions, slow=name in SLOW)
