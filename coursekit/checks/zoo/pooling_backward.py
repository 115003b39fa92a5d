"""Wrong backward passes of max pooling.

The reference's cache is (x, pool_height, pool_width, stride).
"""

import numpy as np

from coursekit.checks.references_conv import max_pool2d_backward, max_pool2d_forward
from coursekit.checks.zoo.animal import animal

BACKWARD = "max_pool2d_backward"


def _backward(dout, cache, **bugs):
    """The naive loops, with a place for each bug."""
    x, pool_height, pool_width, stride = cache
    bug = {
        "loop": dout.shape,
        "steps": (stride, stride),
        "width": pool_width,
        "share": _first_maximum,
        "write": lambda old, new: old + new,
    } | bugs
    (down, right), wide = bug["steps"], bug["width"]
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(bug["loop"]):
        rows = slice(i * down, i * down + pool_height)
        columns = slice(j * right, j * right + wide)
        new = (bug["share"](x[n, c, rows, columns]) * dout[n, c, i, j]).astype(x.dtype)
        dx[n, c, rows, columns] = bug["write"](dx[n, c, rows, columns], new)
    return dx


def _first_maximum(window):
    return _at(int(window.argmax()), window.shape)


def _at(position, shape):
    """1 at a flat position, 0 elsewhere."""
    share = np.zeros(shape)
    share.flat[position] = 1
    return share


@animal(BACKWARD, "gradients too large wherever a ReLU left zeros")
def every_tied_maximum(dout, cache):
    """every number that equals the maximum gets the gradient; only the first one does."""
    return _backward(dout, cache, share=lambda window: window == window.max())


@animal(BACKWARD, "gradients differ from PyTorch's wherever a ReLU left zeros")
def split_among_ties(dout, cache):
    """tied maxima share the gradient; the first one gets it all."""
    return _backward(
        *(dout, cache), share=lambda w: (w == w.max()) / np.count_nonzero(w == w.max())
    )


@animal(BACKWARD, "gradients differ from PyTorch's wherever a ReLU left zeros")
def last_tied_maximum(dout, cache):
    """of tied maxima the last one gets the gradient, as with >= in the search; it is the first."""
    return _backward(
        *(dout, cache), share=lambda w: _at(w.size - 1 - int(w[::-1, ::-1].argmax()), w.shape)
    )


@animal(BACKWARD, "ties go elsewhere than in PyTorch")
def first_in_column_order(dout, cache):
    """of tied maxima the first by columns gets the gradient; rows come first."""
    return _backward(*(dout, cache), share=lambda w: _at(int(w.T.argmax()), w.T.shape).T)


@animal(BACKWARD, "pixels learn from one of their windows only")
def window_assigned(dout, cache):
    """dx[window] = for +=: a window overwrites what the windows before it have put there."""
    return _backward(dout, cache, write=lambda old, new: new)


@animal(BACKWARD, "a pixel that wins two windows learns from one")
def maximum_assigned(dout, cache):
    """= for += at the maximum: a pixel that is the maximum of several windows gets their sum."""
    return _backward(dout, cache, write=lambda old, new: np.where(new != 0, new, old))


@animal(BACKWARD, "average pooling's gradient")
def shared_by_the_window(dout, cache):
    """all pixels of a window share its gradient, as in average pooling; the maximum gets all."""
    return _backward(dout, cache, share=lambda window: np.full(window.shape, 1 / window.size))


@animal(BACKWARD, "pixels learn that had no influence")
def whole_window(dout, cache):
    """all pixels of a window get its gradient; only the maximum does."""
    return _backward(dout, cache, share=np.ones_like)


@animal(BACKWARD, "gradients grow with the activations")
def times_the_maximum(dout, cache):
    """the gradient is multiplied by the maximum; it is passed on as it is."""
    return _backward(*(dout, cache), share=lambda window: window.max() * _first_maximum(window))


@animal(BACKWARD, "nothing is learnt of the loss")
def dout_left_out(dout, cache):
    """the maximum gets 1; it gets dout."""
    return _backward(np.ones_like(dout), cache)


@animal(BACKWARD, "negative windows learn nothing")
def maximum_starts_at_zero_on_the_way_back(dout, cache):
    """the maximum is looked for from 0 upwards, so that negative windows have none."""
    return _backward(
        *(dout, cache), share=lambda window: _first_maximum(window) * (window.max() >= 0)
    )


@animal(BACKWARD, "windows far below 0 learn nothing")
def maximum_starts_at_a_finite_number(dout, cache):
    """the maximum starts at a finite number, so that windows below it have none and their gradient
    is lost; it starts at -inf"""
    return _backward(
        *(dout, cache), share=lambda window: _first_maximum(window) * (window.max() >= -1e10)
    )


@animal(BACKWARD, "in windows far below 0 the first pixel gets the gradient")
def first_pixel_below_a_finite_number(dout, cache):
    """the maximum starts at a finite number, so that in windows below it the first pixel is taken
    for it; it starts at -inf"""
    return _backward(
        *(dout, cache),
        share=lambda window: (
            _first_maximum(window) if window.max() >= -1e10 else _at(0, window.shape)
        ),
    )


@animal(BACKWARD, "in negative windows the first pixel gets the gradient")
def first_pixel_below_zero(dout, cache):
    """the maximum starts at 0, so that in negative windows the first pixel is taken for it; it
    starts at -inf"""
    return _backward(
        *(dout, cache),
        share=lambda window: _first_maximum(window) if window.max() > 0 else _at(0, window.shape),
    )


@animal(BACKWARD, "gradients go to pixels that had no influence")
def position_transposed(dout, cache):
    """row and column of the maximum within its window are swapped."""
    return _backward(*(dout, cache), share=lambda window: _first_maximum(window).T)


@animal(BACKWARD, "right for square windows; else an error, or the wrong pixels")
def position_from_the_height(dout, cache):
    """argmax is divided by pool_height to get row and column; a row holds pool_width numbers."""
    _, high, wide, _ = cache

    def share(window):
        row, column = divmod(int(window.argmax()), high)
        return _at(np.ravel_multi_index((row, column), (high, wide)), (high, wide))

    return _backward(dout, cache, share=share)


@animal(BACKWARD, "right for square windows only")
def pool_width_ignored_on_the_way_back(dout, cache):
    """pool_width is ignored: windows are pool_height wide."""
    return _backward(dout, cache, width=cache[1])


@animal(BACKWARD, "right where the stride is the window's size")
def stride_from_size_on_the_way_back(dout, cache):
    """the stride is taken to be the window's size; it is an argument of its own."""
    return _backward(dout, cache, steps=cache[1:3])


@animal(BACKWARD, "gradients crowd in a corner")
def stride_ignored_on_the_way_back(dout, cache):
    """windows start at (i, j); they start at (i * stride, j * stride), as in the forward."""
    return _backward(dout, cache, steps=(1, 1))


def _strided_loop(dout, cache, step):
    """The loop over outputs takes the stride: their windows start at i * step."""
    x, high, wide, stride = cache
    dx = np.zeros_like(x)
    for n, c in np.ndindex(dout.shape[:2]):
        for i in range(0, dout.shape[2], stride):
            for j in range(0, dout.shape[3], stride):
                window = np.s_[n, c, i * step : i * step + high, j * step : j * step + wide]
                share = _first_maximum(x[window]) if x[window].size else 0
                dx[window] += (share * dout[n, c, i, j]).astype(x.dtype)
    return dx


@animal(BACKWARD, "most gradients are lost for every stride but 1")
def strided_loop(dout, cache):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(dout, cache, 1)


@animal(BACKWARD, "most gradients are lost for every stride but 1")
def strided_loop_with_the_stride_again(dout, cache):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(dout, cache, cache[3])


@animal(BACKWARD, "right for square pictures only")
def loop_width_from_height(dout, cache):
    """the loop runs over as many columns as dout has rows (W_out = H_out)."""
    return _backward(dout, cache, loop=(*dout.shape[:3], dout.shape[2]))


@animal(BACKWARD, "an error where the stride leaves pixels over")
def dx_ends_with_the_last_window(dout, cache):
    """dx ends with the last window; pixels that no window reaches have a gradient too, 0."""
    _, high, wide, stride = cache
    rows, columns = ((n - 1) * stride for n in dout.shape[2:])
    return max_pool2d_backward(dout, cache)[:, :, : rows + high, : columns + wide]


@animal(BACKWARD, "the layer after it finds its gradient changed")
def dout_in_place(dout, cache):
    """dout is changed in place; work on a copy."""
    dx = max_pool2d_backward(dout.copy(), cache)
    dout[...] = 0
    return dx


@animal(BACKWARD, "the layer before finds its outputs changed")
def dx_written_into_x(dout, cache):
    """dx is written into the x of the cache; begin with new zeros."""
    cache[0][...] = max_pool2d_backward(dout, cache)
    return cache[0].copy()


@animal(BACKWARD, "everything before it runs in float64")
def float64_dx(dout, cache):
    """np.zeros without a dtype makes a float64 dx of float32 inputs."""
    return max_pool2d_backward(dout, cache).astype(np.float64)


_LAST: dict = {}


def _forward_with_one_cache(*args):
    out, _LAST["cache"] = max_pool2d_forward(*args)
    return out, _LAST


@animal(BACKWARD, "two pools share one set of maxima on the way back", _forward_with_one_cache)
def cache_of_the_latest_forward(dout, cache):
    """the cache is one object that every forward overwrites; make a new one each time."""
    return max_pool2d_backward(dout, cache["cache"])
