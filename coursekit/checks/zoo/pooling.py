"""Wrong max pools, forward: where the windows lie, and what is taken from them."""

import numpy as np

from coursekit.checks.references_conv import max_pool2d_forward, out_size
from coursekit.checks.zoo.animal import animal, named

FORWARD = "max_pool2d_forward"
F32 = float(np.finfo(np.float32).min)


def _pool(x, pool_height, pool_width, stride, **bugs):
    """The naive loops, with a place for each bug."""
    bug = {
        "size": lambda side, pool: out_size(side, pool, stride),
        "sizes": lambda h, w: (bug["size"](h, pool_height), bug["size"](w, pool_width)),
        "steps": (stride, stride),
        "window": (pool_height, pool_width),
        "value": np.max,
    } | bugs
    (down, right), (high, wide) = bug["steps"], bug["window"]
    out = np.zeros((*x.shape[:2], *bug["sizes"](*x.shape[2:])), x.dtype)
    for n, c, i, j in np.ndindex(out.shape):
        window = x[n, c, i * down : i * down + high, j * right : j * right + wide]
        out[n, c, i, j] = bug["value"](window)
    return out, None


@animal(FORWARD, "a ReLU where none was asked for")
def maximum_starts_at_zero(x, pool_height, pool_width, stride):
    """the maximum starts at 0, so that negative windows give 0; it starts at -inf."""
    return _pool(x, pool_height, pool_width, stride, value=lambda window: max(0, window.max()))


for _start in (-1, -10, -100, -255, -999, -1000, -1e4, -1e5, -1e6, -1e9, -1e10, -(2.0**63), F32):
    animal(FORWARD, "right until all of a window lies below a number")(
        named(
            lambda x, *given, start=_start: _pool(
                *(x, *given), value=lambda window: max(start, window.max())
            ),
            f"maximum starts at {_start:g}",
            f"the maximum starts at {_start:g}, so that windows below give {_start:g}; it starts "
            "at -inf, or at the window's first number",
        )
    )


@animal(FORWARD, "one bright pixel floods all that comes after it")
def maximum_never_reset(x, pool_height, pool_width, stride):
    """the maximum is carried over to the next window; each window starts anew."""
    out, cache = max_pool2d_forward(x, pool_height, pool_width, stride)
    return np.maximum.accumulate(out.ravel()).reshape(out.shape), cache


@animal(FORWARD, "blurred pictures")
def mean_for_maximum(x, pool_height, pool_width, stride):
    """the mean of each window, which is average pooling."""
    return _pool(x, pool_height, pool_width, stride, value=np.mean)


@animal(FORWARD, "activations grow with every pool")
def sum_for_maximum(x, pool_height, pool_width, stride):
    """the sum of each window; it should be the maximum."""
    return _pool(x, pool_height, pool_width, stride, value=np.sum)


@animal(FORWARD, "what was found is thrown away")
def minimum_for_maximum(x, pool_height, pool_width, stride):
    """the minimum of each window."""
    return _pool(x, pool_height, pool_width, stride, value=np.min)


@animal(FORWARD, "what speaks against a feature counts as much as what speaks for it")
def largest_absolute_value(x, pool_height, pool_width, stride):
    """the largest absolute value; it should be the largest number."""
    return max_pool2d_forward(np.abs(x), pool_height, pool_width, stride)


@animal(FORWARD, "all channels become the same")
def maximum_over_channels(x, pool_height, pool_width, stride):
    """the maximum is taken over the channels as well; every channel is pooled by itself."""
    shared = np.repeat(x.max(axis=1, keepdims=True), x.shape[1], axis=1)
    return max_pool2d_forward(shared, pool_height, pool_width, stride)


@animal(FORWARD, "right for square windows only")
def pool_width_ignored(x, pool_height, pool_width, stride):
    """pool_width is ignored: windows are pool_height wide."""
    return max_pool2d_forward(x, pool_height, pool_height, stride)


@animal(FORWARD, "right for square windows only")
def window_on_its_side(x, pool_height, pool_width, stride):
    """pool_height and pool_width are swapped."""
    return max_pool2d_forward(x, pool_width, pool_height, stride)


@animal(FORWARD, "right where the stride is the window's size")
def stride_from_size(x, pool_height, pool_width, stride):
    """the stride is taken to be the window's size; it is an argument of its own."""
    return _pool(
        *(x, pool_height, pool_width, stride),
        size=lambda side, pool: out_size(side, pool, pool),
        steps=(pool_height, pool_width),
    )


@animal(FORWARD, "an error, unless windows tile the picture")
def reshaped_into_windows(x, pool_height, pool_width, stride):
    """x.reshape(N, C, H // ph, ph, W // pw, pw) works only where windows tile the picture."""
    n, c, h, w = x.shape
    tiles = (n, c, h // pool_height, pool_height, w // pool_width, pool_width)
    return x.reshape(tiles).max(axis=(3, 5)), None


@animal(FORWARD, "right where the stride is the window's size; else too small or too large")
def size_divided_by_the_window(x, pool_height, pool_width, stride):
    """the output size is H // pool_height; it is (H - pool_height) // stride + 1."""
    return _pool(
        *(x, pool_height, pool_width, stride),
        size=lambda side, pool: side // pool,
        value=lambda window: window.max(initial=-np.inf),
    )


@animal(FORWARD, "right for windows that tile the picture")
def size_divided_by_the_stride(x, pool_height, pool_width, stride):
    """the output size is H // stride; it is (H - pool_height) // stride + 1."""
    return _pool(
        *(x, pool_height, pool_width, stride),
        size=lambda side, pool: side // stride,
        value=lambda window: window.max(initial=-np.inf),
    )


@animal(FORWARD, "the last row and column are missing")
def one_window_too_few(x, pool_height, pool_width, stride):
    """the output size lacks its + 1."""
    return _pool(
        *(x, pool_height, pool_width, stride),
        size=lambda side, pool: out_size(side, pool, stride) - 1,
    )


@animal(FORWARD, "a row and a column too many where the stride leaves pixels over")
def size_rounded_up(x, pool_height, pool_width, stride):
    """the output size is rounded up; a window that does not fit is left out."""
    return _pool(
        *(x, pool_height, pool_width, stride),
        size=lambda side, pool: -((pool - side) // stride) + 1,
        value=lambda window: window.max(initial=-np.inf),
    )


@animal(FORWARD, "right for square pictures only")
def output_width_from_height(x, pool_height, pool_width, stride):
    """the output's width is taken to be its height (W_out = H_out)."""
    out_height = out_size(x.shape[2], pool_height, stride)
    return _pool(
        *(x, pool_height, pool_width, stride),
        sizes=lambda h, w: (out_height, out_height),
        value=lambda window: window.max(initial=-np.inf),
    )


@animal(FORWARD, "only a corner of the picture is looked at")
def stride_ignored(x, pool_height, pool_width, stride):
    """windows start at (i, j); they start at (i * stride, j * stride)."""
    return _pool(x, pool_height, pool_width, stride, steps=(1, 1))


def _strided_loop(x, pool_height, pool_width, stride, step, place):
    """The loop over outputs takes the stride: windows start at i * step, and go to i // place."""
    whole, cache = max_pool2d_forward(x, pool_height, pool_width, stride)
    out = np.zeros_like(whole)
    for i in range(0, out.shape[2], stride):
        for j in range(0, out.shape[3], stride):
            top, left = i * step, j * step
            windows = x[:, :, top : top + pool_height, left : left + pool_width]
            out[:, :, i // place, j // place] = windows.max(axis=(2, 3), initial=-np.inf)
    return out, cache


@animal(FORWARD, "holes of zeros for every stride but 1")
def strided_loop(x, pool_height, pool_width, stride):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, pool_height, pool_width, stride, 1, 1)


@animal(FORWARD, "holes of zeros for every stride but 1")
def strided_loop_with_the_stride_again(x, pool_height, pool_width, stride):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, pool_height, pool_width, stride, stride, 1)


@animal(FORWARD, "zeros below and on the right for every stride but 1")
def strided_loop_over_outputs(x, pool_height, pool_width, stride):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, pool_height, pool_width, stride, 1, stride)


@animal(FORWARD, "only the left of the picture is looked at")
def stride_in_one_direction(x, pool_height, pool_width, stride):
    """the stride is used along the height only, not along the width."""
    return _pool(x, pool_height, pool_width, stride, steps=(stride, 1))


@animal(FORWARD, "features spread by a pixel with every pool")
def window_one_too_large(x, pool_height, pool_width, stride):
    """windows are one row and one column too large; a slice ends before its second number."""
    return _pool(x, pool_height, pool_width, stride, window=(pool_height + 1, pool_width + 1))


@animal(FORWARD, "every window lacks a row and a column")
def window_one_too_small(x, pool_height, pool_width, stride):
    """windows lack their last row and column; a slice ends before its second number already."""
    return _pool(x, pool_height, pool_width, stride, window=(pool_height - 1, pool_width - 1))


@animal(FORWARD, "everything after it runs in float64")
def float64_output(x, pool_height, pool_width, stride):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out, cache = max_pool2d_forward(x, pool_height, pool_width, stride)
    return out.astype(np.float64), cache
