"""Wrong counts of what a convolution costs."""

from math import ceil

from coursekit.checks.references_conv import conv2d_cost, out_size
from coursekit.checks.zoo.animal import animal

COST = "conv2d_cost"


def _cost(c_in, c_out, kernel_size, stride, padding, h, w, **bugs):
    """The count written out, with a place for each bug."""
    kh, kw = kernel_size
    bug = {"size": lambda side, k: out_size(side, k, stride, padding)} | bugs
    oh, ow = bug.get("out", (bug["size"](h, kh), bug["size"](w, kw)))
    weights = bug.get("weights", c_out * c_in * kh * kw)
    biases = bug.get("biases", c_out)
    return (oh, ow), weights + biases, weights * oh * ow


def _weights(c_in, c_out, kernel_size):
    return c_out * c_in * kernel_size[0] * kernel_size[1]


# --- the output's size ------------------------------------------------------------------------


@animal(COST, "an error in the layer after it")
def padding_ignored(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size is computed without the padding."""
    return conv2d_cost(c_in, c_out, kernel_size, stride, 0, h, w)


@animal(COST, "an error in the layer after it")
def padding_counted_once(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size counts the padding once; there are two borders."""
    return conv2d_cost(c_in, c_out, kernel_size, stride, 0, h + padding, w + padding)


@animal(COST, "a costly layer, on paper")
def stride_ignored(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size is computed without the stride."""
    return conv2d_cost(c_in, c_out, kernel_size, 1, padding, h, w)


@animal(COST, "the last row and column are missing")
def one_window_too_few(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size lacks its + 1."""
    return _cost(
        *(c_in, c_out, kernel_size, stride, padding, h, w),
        size=lambda side, k: out_size(side, k, stride, padding) - 1,
    )


@animal(COST, "the last row is missing where the stride is larger than 1")
def one_inside_the_division(c_in, c_out, kernel_size, stride, padding, h, w):
    """the + 1 of the output size stands inside the division; it comes after it."""
    return _cost(
        *(c_in, c_out, kernel_size, stride, padding, h, w),
        size=lambda side, k: (side + 2 * padding - k + 1) // stride,
    )


@animal(COST, "one row too many where the stride leaves pixels over")
def size_rounded_up(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size is rounded up; a window that does not fit is left out."""
    return _cost(
        *(c_in, c_out, kernel_size, stride, padding, h, w),
        size=lambda side, k: ceil((side + 2 * padding - k) / stride) + 1,
    )


@animal(COST, "half a pixel")
def size_not_rounded(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size is not rounded: / for //."""
    return _cost(
        *(c_in, c_out, kernel_size, stride, padding, h, w),
        size=lambda side, k: (side + 2 * padding - k) / stride + 1,
    )


@animal(COST, "right for square pictures only")
def output_width_from_height(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output's width is taken to be its height (W_out = H_out)."""
    oh = out_size(h, kernel_size[0], stride, padding)
    return _cost(*(c_in, c_out, kernel_size, stride, padding, h, w), out=(oh, oh))


@animal(COST, "right for square pictures only")
def width_before_height(c_in, c_out, kernel_size, stride, padding, h, w):
    """the output size is (width, height); it should be (height, width)."""
    (oh, ow), parameters, macs = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return (ow, oh), parameters, macs


@animal(COST, "right for square kernels only")
def kernel_width_first(c_in, c_out, kernel_size, stride, padding, h, w):
    """kernel_size is read as (width, height); it is (height, width)."""
    return conv2d_cost(c_in, c_out, kernel_size[::-1], stride, padding, h, w)


# --- parameters ---------------------------------------------------------------------------------


@animal(COST, "a few parameters too few")
def bias_forgotten(c_in, c_out, kernel_size, stride, padding, h, w):
    """the biases are not counted."""
    return _cost(c_in, c_out, kernel_size, stride, padding, h, w, biases=0)


@animal(COST, "a few parameters too few, or too many")
def bias_for_each_input(c_in, c_out, kernel_size, stride, padding, h, w):
    """a bias is counted for each input channel; each output channel has one."""
    return _cost(c_in, c_out, kernel_size, stride, padding, h, w, biases=c_in)


@animal(COST, "too many parameters")
def bias_for_each_kernel(c_in, c_out, kernel_size, stride, padding, h, w):
    """a bias is counted for each pair of input and output channel; each output channel has one."""
    return _cost(c_in, c_out, kernel_size, stride, padding, h, w, biases=c_in * c_out)


@animal(COST, "right for square kernels only")
def square_kernel(c_in, c_out, kernel_size, stride, padding, h, w):
    """the kernel's width is taken to be its height (WW = HH)."""
    return conv2d_cost(c_in, c_out, (kernel_size[0],) * 2, stride, padding, h, w)


@animal(COST, "far too few parameters")
def input_channels_forgotten(c_in, c_out, kernel_size, stride, padding, h, w):
    """a filter is taken to have one channel; it has as many as its input."""
    return _cost(
        *(c_in, c_out, kernel_size, stride, padding, h, w), weights=_weights(1, c_out, kernel_size)
    )


@animal(COST, "millions of parameters, as a linear layer would have")
def weights_for_every_pixel(c_in, c_out, kernel_size, stride, padding, h, w):
    """weights are counted anew for every output pixel; all pixels share them."""
    size, _, macs = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, macs + c_out, macs


# --- multiply-accumulates -------------------------------------------------------------------------


@animal(COST, "layers with a stride look too costly")
def macs_of_the_input(c_in, c_out, kernel_size, stride, padding, h, w):
    """multiply-accumulates are counted for every input pixel; it is the output pixels."""
    size, parameters, _ = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, parameters, _weights(c_in, c_out, kernel_size) * h * w


@animal(COST, "layers look cheaper than they are")
def macs_without_the_input_channels(c_in, c_out, kernel_size, stride, padding, h, w):
    """multiply-accumulates lack the input channels: every output pixel sums over all of them."""
    size, parameters, macs = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, parameters, macs // c_in


@animal(COST, "twice the number of the tables")
def operations_for_macs(c_in, c_out, kernel_size, stride, padding, h, w):
    """additions and multiplications are counted apart; a multiply-accumulate is both in one."""
    size, parameters, macs = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, parameters, 2 * macs


@animal(COST, "a little more than the tables say")
def macs_with_the_bias(c_in, c_out, kernel_size, stride, padding, h, w):
    """adding the bias is counted as a multiply-accumulate; nothing is multiplied there."""
    size, parameters, _ = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, parameters, parameters * size[0] * size[1]


@animal(COST, "a single pixel's work")
def macs_of_one_pixel(c_in, c_out, kernel_size, stride, padding, h, w):
    """multiply-accumulates of one output pixel; count them for all."""
    size, parameters, _ = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, parameters, _weights(c_in, c_out, kernel_size)


@animal(COST, "tables with two columns exchanged")
def parameters_and_macs_swapped(c_in, c_out, kernel_size, stride, padding, h, w):
    """multiply-accumulates are returned before the parameters; the parameters come first."""
    size, parameters, macs = conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w)
    return size, macs, parameters
