"""Wrong convolutions, forward: borders, strides, axes."""

import numpy as np

from coursekit.checks.references_conv import conv2d_forward, im2col, out_size
from coursekit.checks.zoo.animal import animal

FORWARD = "conv2d_forward"


def _conv(x, w, b, stride, padding, **bugs):
    """The naive loops, with a place for each bug."""
    bug = {
        "pad": _zeros_around,
        "size": lambda side, kernel: out_size(side, kernel, stride, padding),
        "sizes": lambda h, w, kh, kw: (bug["size"](h, kh), bug["size"](w, kw)),
        "rows": lambda i, kh: slice(i * stride, i * stride + kh),
        "columns": lambda j, kw: slice(j * stride, j * stride + kw),
        "value": lambda patch, w, b: np.sum(patch * w) + b,
    } | bugs
    padded = bug["pad"](x, padding)
    kh, kw = w.shape[2:]
    out = np.zeros((len(x), len(w), *bug["sizes"](*x.shape[2:], kh, kw)), x.dtype)
    for n, f, i, j in np.ndindex(out.shape):
        patch = padded[n, :, bug["rows"](i, kh), bug["columns"](j, kw)]
        out[n, f, i, j] = bug["value"](patch, w[f], b[f])
    return out, None


def _around(x, before, after, mode="constant"):
    return np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)), mode=mode)


def _zeros_around(x, padding):
    return _around(x, padding, padding)


# --- the border -------------------------------------------------------------------------------


@animal(FORWARD, "pictures shrink with every layer")
def padding_ignored(x, w, b, stride, padding):
    """padding is ignored."""
    return conv2d_forward(x, w, b, stride, 0)


@animal(FORWARD, "the last rows and columns are missing")
def padding_ignored_in_the_size(x, w, b, stride, padding):
    """the output size is computed without the padding."""
    return _conv(x, w, b, stride, padding, size=lambda side, k: out_size(side, k, stride))


@animal(FORWARD, "the last rows and columns are missing")
def padding_counted_once(x, w, b, stride, padding):
    """the output size counts the padding once; there are two borders."""
    return _conv(
        *(x, w, b, stride, padding), size=lambda side, k: out_size(side + padding, k, stride)
    )


@animal(FORWARD, "everything moves towards a corner")
def picture_in_the_corner(x, w, b, stride, padding):
    """the picture is put into a corner of the padded array; it belongs in the middle, from p on."""
    return _conv(*(x, w, b, stride, padding), pad=lambda x, p: _around(x, 0, 2 * p))


@animal(FORWARD, "other numbers at the border than PyTorch's")
def border_repeated(x, w, b, stride, padding):
    """the padding repeats the border's pixels; it is zeros."""
    return _conv(*(x, w, b, stride, padding), pad=lambda x, p: _around(x, p, p, "edge"))


@animal(FORWARD, "other numbers at the border than PyTorch's")
def border_reflected(x, w, b, stride, padding):
    """the padding reflects the picture; it is zeros."""
    return _conv(*(x, w, b, stride, padding), pad=lambda x, p: _around(x, p, p, "reflect"))


@animal(FORWARD, "an error: pictures with too many channels")
def all_axes_padded(x, w, b, stride, padding):
    """np.pad(x, padding) pads pictures and channels too; only height and width are padded."""
    return _conv(*(x, w, b, stride, padding), pad=np.pad)


# --- sizes and strides --------------------------------------------------------------------------


@animal(FORWARD, "an error, unless the kernel is square")
def kernel_width_from_height(x, w, b, stride, padding):
    """the kernel's width is taken to be its height (WW = HH)."""
    kh = w.shape[2]
    return _conv(
        *(x, w, b, stride, padding),
        sizes=lambda h, w, *_: (out_size(h, kh, stride, padding), out_size(w, kh, stride, padding)),
        columns=lambda j, _: slice(j * stride, j * stride + kh),
    )


@animal(FORWARD, "right for square pictures only")
def output_width_from_height(x, w, b, stride, padding):
    """the output's width is taken to be its height (W_out = H_out)."""
    return _conv(
        *(x, w, b, stride, padding),
        sizes=lambda h, w, kh, kw: (out_size(h, kh, stride, padding),) * 2,
    )


@animal(FORWARD, "right for square pictures only")
def output_size_swapped(x, w, b, stride, padding):
    """the output's height and width are swapped."""
    return _conv(
        *(x, w, b, stride, padding),
        sizes=lambda h, w, kh, kw: (
            *(out_size(w, kw, stride, padding), out_size(h, kh, stride, padding)),
        ),
    )


@animal(FORWARD, "the last row and column are missing")
def one_window_too_few(x, w, b, stride, padding):
    """the output size lacks its + 1."""
    return _conv(
        *(x, w, b, stride, padding), size=lambda side, k: out_size(side, k, stride, padding) - 1
    )


@animal(FORWARD, "a row and a column too many where the stride leaves pixels over")
def size_rounded_up(x, w, b, stride, padding):
    """the output size is rounded up; a window that does not fit is left out."""
    return _conv(
        *(x, w, b, stride, padding),
        size=lambda side, k: -((k - side - 2 * padding) // stride) + 1,
        value=lambda patch, w, b: np.sum(patch * w[:, : patch.shape[1], : patch.shape[2]]) + b,
    )


@animal(FORWARD, "only a corner of the picture is looked at")
def stride_ignored(x, w, b, stride, padding):
    """windows start at (i, j); they start at (i * stride, j * stride)."""
    return _conv(
        *(x, w, b, stride, padding),
        rows=lambda i, kh: slice(i, i + kh),
        columns=lambda j, kw: slice(j, j + kw),
    )


@animal(FORWARD, "only the left of the picture is looked at")
def stride_in_one_direction(x, w, b, stride, padding):
    """the stride is used along the height only, not along the width."""
    return _conv(*(x, w, b, stride, padding), columns=lambda j, kw: slice(j, j + kw))


def _strided_loop(x, w, b, stride, padding, step, place):
    """The loop over outputs takes the stride: windows start at i * step, and go to i // place."""
    whole, cache = conv2d_forward(x, w, b, stride, padding)
    padded = _zeros_around(x, padding)
    out, (kh, kw) = np.zeros_like(whole), w.shape[2:]
    for i in range(0, out.shape[2], stride):
        for j in range(0, out.shape[3], stride):
            top, left = i * step, j * step
            windows = padded[:, :, top : top + kh, left : left + kw]
            value = np.tensordot(windows, w[:, :, : windows.shape[2], : windows.shape[3]], _CHW)
            out[:, :, i // place, j // place] = value + b
    return out, cache


_CHW = ((1, 2, 3), (1, 2, 3))


@animal(FORWARD, "holes of zeros for every stride but 1")
def strided_loop(x, w, b, stride, padding):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, w, b, stride, padding, 1, 1)


@animal(FORWARD, "holes of zeros for every stride but 1")
def strided_loop_with_the_stride_again(x, w, b, stride, padding):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, w, b, stride, padding, stride, 1)


@animal(FORWARD, "zeros below and on the right for every stride but 1")
def strided_loop_over_outputs(x, w, b, stride, padding):
    """range(0, H_out, stride) leaves outputs out; loop over range(H_out), start at i * stride."""
    return _strided_loop(x, w, b, stride, padding, 1, stride)


@animal(FORWARD, "right for stride 1; else an error, or holes in the windows")
def stride_inside_the_window(x, w, b, stride, padding):
    """the stride is taken inside the window as well, which is dilation."""
    return _conv(
        *(x, w, b, stride, padding),
        rows=lambda i, kh: slice(i * stride, i * stride + kh, stride),
        columns=lambda j, kw: slice(j * stride, j * stride + kw, stride),
    )


@animal(FORWARD, "the output lies on its side")
def window_transposed(x, w, b, stride, padding):
    """the row index moves the window along the width, and the column index along the height."""
    padded = _zeros_around(x, padding).swapaxes(2, 3)
    out, cache = _conv(padded, w.swapaxes(2, 3), b, stride, 0)
    sizes = [out_size(s, k, stride, padding) for s, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    return out[:, :, : sizes[0], : sizes[1]], cache


# --- the sum over a window ----------------------------------------------------------------------


@animal(FORWARD, "edges are found, on the wrong side; PyTorch disagrees")
def kernel_flipped(x, w, b, stride, padding):
    """the kernel is flipped, as in mathematics; nets correlate and do not flip."""
    return conv2d_forward(x, w[:, :, ::-1, ::-1], b, stride, padding)


@animal(FORWARD, "an error, unless the kernel is square")
def kernel_transposed(x, w, b, stride, padding):
    """the kernel's height and width are swapped."""
    return _conv(
        *(x, w, b, stride, padding), value=lambda patch, w, b: np.sum(patch * w.swapaxes(1, 2)) + b
    )


@animal(FORWARD, "an error, unless there are as many filters as channels")
def filters_and_channels_swapped(x, w, b, stride, padding):
    """weights are read as (in, out, kh, kw); they are (out, in, kh, kw)."""
    return _conv(x, w.swapaxes(0, 1), b, stride, padding)


@animal(FORWARD, "the net is nearly colour-blind")
def first_channel_only(x, w, b, stride, padding):
    """only the first channel is looked at; sum over all of them."""
    return conv2d_forward(x[:, :1], w[:, :1], b, stride, padding)


@animal(FORWARD, "the net is nearly colour-blind")
def channels_assigned(x, w, b, stride, padding):
    """= for += in the loop over channels: only the last one is left."""
    return conv2d_forward(x[:, -1:], w[:, -1:], b, stride, padding)


@animal(FORWARD, "outputs too small, the more so the larger the kernel")
def mean_for_sum(x, w, b, stride, padding):
    """the mean over the window; it should be the sum."""
    return _conv(*(x, w, b, stride, padding), value=lambda patch, w, b: np.mean(patch * w) + b)


@animal(FORWARD, "all feature maps are the same but for the bias")
def first_filter_for_all(x, w, b, stride, padding):
    """w[0] is used for every filter."""
    return conv2d_forward(x, np.repeat(w[:1], len(w), axis=0), b, stride, padding)


@animal(FORWARD, "every picture of a batch gets the same output")
def first_picture_for_all(x, w, b, stride, padding):
    """x[0] is used for every picture of the batch."""
    return conv2d_forward(np.repeat(x[:1], len(x), axis=0), w, b, stride, padding)


# --- the bias ---------------------------------------------------------------------------------


@animal(FORWARD, "a net without biases")
def bias_forgotten(x, w, b, stride, padding):
    """b is not added."""
    return conv2d_forward(x, w, 0 * b, stride, padding)


@animal(FORWARD, "biases weigh three times as much on colour pictures")
def bias_for_each_channel(x, w, b, stride, padding):
    """b is added once for every input channel; it is added once."""
    return conv2d_forward(x, w, x.shape[1] * b, stride, padding)


@animal(FORWARD, "biases weigh more the larger the kernel")
def bias_for_each_weight(x, w, b, stride, padding):
    """b is added inside the sum over the window, once for every weight; it is added once."""
    return conv2d_forward(x, w, w[0].size * b, stride, padding)


@animal(FORWARD, "all filters share a bias")
def first_bias_for_all(x, w, b, stride, padding):
    """b[0] is added to every filter's output."""
    return conv2d_forward(x, w, np.repeat(b[:1], len(b)), stride, padding)


@animal(FORWARD, "an error, or a bias for each column of the output")
def bias_along_the_width(x, w, b, stride, padding):
    """out + b adds b along the last axis, the width; it belongs to axis 1."""
    out, cache = conv2d_forward(x, w, 0 * b, stride, padding)
    return out + b, cache


# --- as a matrix product ------------------------------------------------------------------------


@animal(FORWARD, "pixels and filters in disorder, and no error")
def product_not_transposed(x, w, b, stride, padding):
    """rows @ w.T is reshaped to (N, F, OH, OW) as it stands; its axes are (N, OH, OW, F) and have
    to be moved"""
    out, cache = conv2d_forward(x, w, b, stride, padding)
    return np.array(out.transpose(0, 2, 3, 1)).reshape(out.shape), cache


@animal(FORWARD, "filters in disorder, and no error")
def weights_reshaped_to_columns(x, w, b, stride, padding):
    """w.reshape(-1, F) cuts filters to pieces; it is w.reshape(F, -1).T."""
    n, f = len(x), len(w)
    sizes = [out_size(s, k, stride, padding) for s, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    out = im2col(x, *w.shape[2:], stride, padding) @ w.reshape(-1, f) + b
    return out.reshape(n, *sizes, f).transpose(0, 3, 1, 2), None


@animal(FORWARD, "an error in the layer after it")
def channels_last(x, w, b, stride, padding):
    """the output is (N, OH, OW, F); it should be (N, F, OH, OW)."""
    out, cache = conv2d_forward(x, w, b, stride, padding)
    return out.transpose(0, 2, 3, 1), cache


@animal(FORWARD, "everything after it runs in float64")
def float64_output(x, w, b, stride, padding):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out, cache = conv2d_forward(x, w, b, stride, padding)
    return out.astype(np.float64), cache
