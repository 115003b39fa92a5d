"""Wrong backward passes of a convolution; the reference's cache is (x, w, stride, padding)."""

import numpy as np

from coursekit.checks.references_conv import conv2d_backward, conv2d_forward
from coursekit.checks.zoo.animal import animal

BACKWARD = "conv2d_backward"


def _backward(dout, cache, **bugs):
    """The naive loops, with a place for each bug."""
    x, w, stride, padding = cache
    bug = {
        "loop": dout.shape,
        "x": np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))),
        "stride": stride,
        "width": w.shape[3],
        "to_dx": lambda d, patch, w: d * w,
        "to_dw": lambda d, patch, w: d * patch,
        "add_dx": lambda old, new: old + new,
        "add_dw": lambda old, new: old + new,
        "crop": _cropped,
        "dout": lambda n, f, i, j: dout[n, f, i, j],
    } | bugs
    padded, kh, step = bug["x"], w.shape[2], bug["stride"]
    h, width = (side + 2 * padding for side in x.shape[2:])
    dx, dw = np.zeros((*x.shape[:2], h, width), x.dtype), np.zeros_like(w)
    for n, f, i, j in np.ndindex(bug["loop"]):
        window = (slice(i * step, i * step + kh), slice(j * step, j * step + bug["width"]))
        d, patch = bug["dout"](n, f, i, j), padded[n, :, *window]
        dx[n, :, *window] = bug["add_dx"](dx[n, :, *window], bug["to_dx"](d, patch, w[f]))
        dw[f] = bug["add_dw"](dw[f], bug["to_dw"](d, patch, w[f]))
    return bug["crop"](dx, padding, *x.shape[2:]), dw, dout.sum(axis=(0, 2, 3))


def _cropped(dx, padding, h, w):
    return dx[:, :, padding : padding + h, padding : padding + w]


def _but(dout, cache, dx=None, dw=None, db=None):
    """The right gradients with some of them replaced."""
    right = conv2d_backward(dout, cache)
    return tuple(
        r if wrong is None else wrong for r, wrong in zip(right, (dx, dw, db), strict=True)
    )


# --- dx ---------------------------------------------------------------------------------------


@animal(BACKWARD, "an empty dx wherever there is no padding")
def cropped_by_minus_zero(dout, cache):
    """dx[:, :, p:-p, p:-p] is empty for p = 0, because -0 is 0; crop by p : p + H."""
    return _backward(dout, cache, crop=lambda dx, p, *_: dx[:, :, p:-p, p:-p])


@animal(BACKWARD, "an error in the layer before")
def dx_not_cropped(dout, cache):
    """dx is that of the padded picture; the padding has to be cut off again."""
    return _backward(dout, cache, crop=lambda dx, *_: dx)


@animal(BACKWARD, "gradients moved by the padding")
def dx_cropped_from_the_corner(dout, cache):
    """dx[:, :, :H, :W] cuts the padding off at the wrong sides; it begins at p."""
    return _backward(dout, cache, crop=lambda dx, _, h, w: dx[:, :, :h, :w])


@animal(BACKWARD, "an error where the stride leaves pixels over")
def dx_without_the_pixels_left_over(dout, cache):
    """dx ends with the last window; pixels that no window reaches have a gradient too, 0."""
    (x, w, stride, padding), (oh, ow) = cache, dout.shape[2:]
    dx, _, _ = conv2d_backward(dout, cache)
    rows, columns = (
        (out - 1) * stride + k - padding for out, k in zip((oh, ow), w.shape[2:], strict=True)
    )
    return _but(dout, cache, dx=dx[:, :, : min(rows, x.shape[2]), : min(columns, x.shape[3])])


@animal(BACKWARD, "pixels learn from one of their windows only")
def dx_assigned(dout, cache):
    """dx = for +=: a pixel lies in many windows, and each adds to its gradient."""
    return _backward(dout, cache, add_dx=lambda old, new: new)


def _window_by_window(dout, cache, add_dx=True, add_dw=True, loop=1, step=None):
    """The loops over windows only, for all pictures and filters at once."""
    x, w, stride, padding = cache
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    dx, dw, (kh, kw) = np.zeros_like(padded), np.zeros_like(w), w.shape[2:]
    step = stride if step is None else step
    for i in range(0, dout.shape[2], loop):
        for j in range(0, dout.shape[3], loop):
            window = np.s_[:, :, i * step : i * step + kh, j * step : j * step + kw]
            d, patch = dout[:, :, i, j], padded[window]
            new = np.tensordot(d, w, 1)[:, :, : patch.shape[2], : patch.shape[3]]
            dx[window] = dx[window] + new if add_dx else new
            new = np.zeros_like(w)
            new[:, :, : patch.shape[2], : patch.shape[3]] = np.tensordot(d.T, patch, 1)
            dw = dw + new if add_dw else new
    return _cropped(dx, padding, *x.shape[2:]), dw, dout.sum(axis=(0, 2, 3))


@animal(BACKWARD, "pixels learn from one of their windows only")
def windows_of_dx_assigned(dout, cache):
    """dx[window] = for +=: a window overwrites what the windows before it have put there."""
    return _window_by_window(dout, cache, add_dx=False)


@animal(BACKWARD, "pixels learn from one of their windows only")
def kernel_pixels_of_dx_assigned(dout, cache):
    """dx[window] = for += in the loop over the kernel's pixels: each overwrites what the pixels
    before it have put there"""
    x, w, stride, padding = cache
    (oh, ow), (kh, kw) = dout.shape[2:], w.shape[2:]
    dx = np.zeros((*x.shape[:2], *(side + 2 * padding for side in x.shape[2:])), x.dtype)
    for i, j in np.ndindex(kh, kw):
        rows, columns = (slice(k, k + stride * o, stride) for k, o in ((i, oh), (j, ow)))
        dx[:, :, rows, columns] = np.einsum("nfyx,fc->ncyx", dout, w[:, :, i, j])
    return _but(dout, cache, dx=_cropped(dx, padding, *x.shape[2:]))


@animal(BACKWARD, "filters learn from the last window only")
def dw_of_the_last_window(dout, cache):
    """dw = for += in the loop over the windows: only the last one is left."""
    return _window_by_window(dout, cache, add_dw=False)


@animal(BACKWARD, "most gradients are lost for every stride but 1")
def strided_loop(dout, cache):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _window_by_window(dout, cache, loop=cache[2], step=1)


@animal(BACKWARD, "most gradients are lost for every stride but 1")
def strided_loop_with_the_stride_again(dout, cache):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _window_by_window(dout, cache, loop=cache[2])


@animal(BACKWARD, "pixels learn from one of the filters only")
def dx_of_the_last_filter(dout, cache):
    """dx holds the last filter's gradient only; sum over the filters."""
    dx, _, _ = conv2d_backward(dout[:, -1:], (cache[0], cache[1][-1:], *cache[2:]))
    return _but(dout, cache, dx=dx)


@animal(BACKWARD, "the layers before it learn something else")
def dx_with_the_kernel_flipped(dout, cache):
    """dx adds the flipped kernel; each window's gradient is dout times the kernel as it is."""
    return _backward(dout, cache, to_dx=lambda d, patch, w: d * w[:, ::-1, ::-1])


@animal(BACKWARD, "an error, unless the kernel is square")
def dx_with_the_kernel_transposed(dout, cache):
    """dx adds the kernel with its height and width swapped."""
    return _backward(dout, cache, to_dx=lambda d, patch, w: d * w.swapaxes(1, 2))


@animal(BACKWARD, "right for stride 1; else a dx that is too small")
def dx_without_gaps(dout, cache):
    """dx is the full convolution of dout, right for stride 1 only: a larger stride spreads dout out
    with zeros between"""
    x, w, _, padding = cache
    sides = zip(dout.shape[2:], w.shape[2:], strict=True)
    h, width = (out + k - 1 - 2 * padding for out, k in sides)
    small = np.zeros((*x.shape[:2], h, width), x.dtype)
    return _but(dout, cache, dx=conv2d_backward(dout, (small, w, 1, padding))[0])


@animal(BACKWARD, "nothing learns what it should")
def x_and_w_swapped(dout, cache):
    """dx is made of the windows of x and dw of w: it is the other way round."""
    return _backward(
        *(dout, cache), to_dx=lambda d, patch, w: d * patch, to_dw=lambda d, patch, w: d * w
    )


# --- dw ---------------------------------------------------------------------------------------


@animal(BACKWARD, "filters learn from the last window only")
def dw_assigned(dout, cache):
    """dw = for +=: every window of every picture adds to a filter's gradient."""
    return _backward(dout, cache, add_dw=lambda old, new: new)


@animal(BACKWARD, "filters learn from the last picture only")
def dw_of_the_last_picture(dout, cache):
    """dw is that of the last picture; sum over the batch."""
    _, dw, _ = conv2d_backward(dout[-1:], (cache[0][-1:], *cache[1:]))
    return _but(dout, cache, dw=dw)


@animal(BACKWARD, "filters learn N times too slowly")
def dw_mean(dout, cache):
    """dw is a mean over the batch; the chain rule sums."""
    return _but(dout, cache, dw=conv2d_backward(dout, cache)[1] / len(dout))


@animal(BACKWARD, "filters learn too slowly, most in the first layers")
def dw_mean_over_windows(dout, cache):
    """dw is divided by the number of windows; the chain rule sums over them."""
    return _but(dout, cache, dw=conv2d_backward(dout, cache)[1] / dout[0, 0].size)


@animal(BACKWARD, "filters learn to be upside down")
def dw_flipped(dout, cache):
    """dw is flipped; the forward does not flip the kernel, so the backward does not either."""
    return _but(dout, cache, dw=conv2d_backward(dout, cache)[1][:, :, ::-1, ::-1])


@animal(BACKWARD, "an error, or without padding none at all")
def dw_from_the_unpadded_picture(dout, cache):
    """dw is made of windows of x; they are windows of the padded x."""
    return _backward(dout, cache, x=cache[0])


# --- db ---------------------------------------------------------------------------------------


@animal(BACKWARD, "biases learn N times too slowly")
def db_mean(dout, cache):
    """db is a mean over the batch; the chain rule sums."""
    return _but(dout, cache, db=dout.sum(axis=(0, 2, 3)) / len(dout))


@animal(BACKWARD, "biases hardly learn")
def db_mean_over_windows(dout, cache):
    """db is a mean over batch, height and width; the chain rule sums."""
    return _but(dout, cache, db=dout.mean(axis=(0, 2, 3)))


@animal(BACKWARD, "an error when the biases are updated")
def db_over_the_batch_only(dout, cache):
    """db is summed over the batch only; a bias is used at every pixel, so sum over those too."""
    return _but(dout, cache, db=dout.sum(axis=0))


@animal(BACKWARD, "an error, or biases that learn from columns")
def db_over_the_wrong_axes(dout, cache):
    """db is summed over axes 0, 1 and 2; the filters are axis 1, so sum over 0, 2 and 3."""
    return _but(dout, cache, db=dout.sum(axis=(0, 1, 2)))


# --- all of them ------------------------------------------------------------------------------


@animal(BACKWARD, "right for stride 1 only")
def stride_ignored(dout, cache):
    """windows start at (i, j); they start at (i * stride, j * stride), as in the forward."""
    return _backward(dout, cache, stride=1)


@animal(BACKWARD, "an error, unless the kernel is square")
def kernel_width_from_height(dout, cache):
    """the kernel's width is taken to be its height (WW = HH)."""
    return _backward(dout, cache, width=cache[1].shape[2])


@animal(BACKWARD, "right for square pictures only")
def output_width_from_height(dout, cache):
    """the loop runs over as many columns as dout has rows (W_out = H_out)."""
    return _backward(dout, cache, loop=(*dout.shape[:3], dout.shape[2]))


@animal(BACKWARD, "an error, unless pictures are square; then noise")
def dout_transposed(dout, cache):
    """dout[n, f, j, i] where it should be dout[n, f, i, j]."""
    return _backward(dout, cache, dout=lambda n, f, i, j: dout[n, f, j, i])


@animal(BACKWARD, "everything learns too slowly, more so with depth")
def all_divided_by_n(dout, cache):
    """everything is divided by N although the loss has done that already."""
    return conv2d_backward(dout / len(dout), cache)


@animal(BACKWARD, "an error, or weights that learn from pictures")
def gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dw, db)."""
    dx, dw, db = conv2d_backward(dout, cache)
    return dw, dx, db


@animal(BACKWARD, "the layer after it finds its gradient changed")
def dout_in_place(dout, cache):
    """dout is changed in place; work on a copy."""
    gradients = conv2d_backward(dout.copy(), cache)
    dout /= len(dout)
    return gradients


@animal(BACKWARD, "weights change before the optimiser has seen them")
def dw_collected_in_w(dout, cache):
    """dw is collected in w itself; begin with new zeros."""
    gradients = conv2d_backward(dout, cache)
    cache[1][...] += gradients[1]
    return gradients


@animal(BACKWARD, "everything before it runs in float64")
def float64_dx(dout, cache):
    """np.zeros without a dtype makes a float64 dx of float32 inputs."""
    return _but(dout, cache, dx=conv2d_backward(dout, cache)[0].astype(np.float64))


_LAST: dict = {}


def _forward_with_one_cache(*args):
    out, _LAST["cache"] = conv2d_forward(*args)
    return out, _LAST


@animal(
    BACKWARD, "wrong as soon as two layers, or two batches, share a cache", _forward_with_one_cache
)
def cache_of_the_latest_forward(dout, cache):
    """the cache is one object that every forward overwrites; make a new one each time."""
    return conv2d_backward(dout, cache["cache"])
