"""Wrong ways to write windows as rows, and to add rows back to pixels."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from coursekit.checks.references_conv import col2im, im2col, out_size
from coursekit.checks.zoo.animal import animal, named

IM2COL, COL2IM = "im2col", "col2im"


# --- im2col -----------------------------------------------------------------------------------


def _rows(x, kh, kw, stride, padding, **bugs):
    """Window by window, with a place for each bug."""
    bug = {
        "mode": "constant",
        "size": lambda side, kernel: out_size(side, kernel, stride, padding),
        "sizes": lambda h, w: (bug["size"](h, kh), bug["size"](w, kw)),
        "steps": (stride, stride),
        "row": np.ravel,
    } | bugs
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, sides, mode=bug["mode"])
    down, right = bug["steps"]
    return np.stack(
        [
            bug["row"](padded[n, :, i * down : i * down + kh, j * right : j * right + kw])
            for n, i, j in np.ndindex(len(x), *bug["sizes"](*x.shape[2:]))
        ]
    )


def _sizes(shape, kh, kw, stride, padding):
    return out_size(shape[2], kh, stride, padding), out_size(shape[3], kw, stride, padding)


def _reordered(x, kh, kw, stride, padding, axes):
    """The rows with the axes (n, oh, ow, c, kh, kw) in another order before they are flattened."""
    shape = (len(x), *_sizes(x.shape, kh, kw, stride, padding), x.shape[1], kh, kw)
    cols = im2col(x, kh, kw, stride, padding)
    return cols.reshape(shape).transpose(axes).reshape(cols.shape)


@animal(IM2COL, "an error, or filters where pixels should be")
def windows_as_columns(x, kh, kw, stride, padding):
    """each window is a column; here it is a row."""
    return im2col(x, kh, kw, stride, padding).T.copy()


@animal(IM2COL, "pictures of a batch get mixed up")
def picture_last_in_the_rows(x, kh, kw, stride, padding):
    """rows are ordered (oh, ow, n), pictures fastest; they are ordered (n, oh, ow)."""
    return _reordered(x, kh, kw, stride, padding, (1, 2, 0, 3, 4, 5))


@animal(IM2COL, "outputs lie on their side")
def columns_of_windows_first(x, kh, kw, stride, padding):
    """rows are ordered (n, ow, oh); they are ordered (n, oh, ow)."""
    return _reordered(x, kh, kw, stride, padding, (0, 2, 1, 3, 4, 5))


@animal(IM2COL, "filters meet the wrong pixels")
def channel_last_in_the_columns(x, kh, kw, stride, padding):
    """columns are ordered (kh, kw, c); they are ordered (c, kh, kw), as w.reshape(F, -1) is."""
    return _reordered(x, kh, kw, stride, padding, (0, 1, 2, 4, 5, 3))


@animal(IM2COL, "filters meet transposed windows")
def window_transposed(x, kh, kw, stride, padding):
    """columns are ordered (c, kw, kh); they are ordered (c, kh, kw)."""
    return _reordered(x, kh, kw, stride, padding, (0, 1, 2, 3, 5, 4))


@animal(IM2COL, "channels, windows and pictures in disorder, and no error")
def reshaped_without_moving_axes(x, kh, kw, stride, padding):
    """windows (N, C, OH, OW, kh, kw) are reshaped as they stand; C has to be moved behind OW
    first"""
    n, c = x.shape[:2]
    oh, ow = _sizes(x.shape, kh, kw, stride, padding)
    cols = im2col(x, kh, kw, stride, padding)
    windows = cols.reshape(n, oh, ow, c, kh, kw).transpose(0, 3, 1, 2, 4, 5)
    return windows.reshape(cols.shape)


@animal(IM2COL, "an error in the matrix product, or a batch of products")
def not_flattened(x, kh, kw, stride, padding):
    """there are three axes (N, OH * OW, C * kh * kw); pictures and windows share the first."""
    return im2col(x, kh, kw, stride, padding).reshape(len(x), -1, x.shape[1] * kh * kw)


@animal(IM2COL, "pictures shrink with every layer")
def padding_ignored(x, kh, kw, stride, padding):
    """padding is ignored."""
    return im2col(x, kh, kw, stride, 0)


@animal(IM2COL, "other numbers at the border than PyTorch's")
def border_repeated(x, kh, kw, stride, padding):
    """the padding repeats the border's pixels; it is zeros."""
    return _rows(x, kh, kw, stride, padding, mode="edge")


@animal(IM2COL, "an error, or only a corner of the picture")
def stride_ignored(x, kh, kw, stride, padding):
    """windows start at (i, j); they start at (i * stride, j * stride)."""
    return _rows(x, kh, kw, stride, padding, steps=(1, 1))


@animal(IM2COL, "only the left of the picture is looked at")
def stride_in_one_direction(x, kh, kw, stride, padding):
    """the stride is used along the height only, not along the width."""
    return _rows(x, kh, kw, stride, padding, steps=(stride, 1))


@animal(IM2COL, "right for square pictures only")
def output_width_from_height(x, kh, kw, stride, padding):
    """there are as many windows side by side as one below the other (W_out = H_out)."""
    oh = out_size(x.shape[2], kh, stride, padding)
    return _rows(x, kh, kw, stride, padding, sizes=lambda h, w: (oh, oh))


@animal(IM2COL, "right for square windows only")
def window_width_from_height(x, kh, kw, stride, padding):
    """the window's width is taken to be its height."""
    return im2col(x, kh, kh, stride, padding)


@animal(IM2COL, "the last windows are missing")
def one_window_too_few(x, kh, kw, stride, padding):
    """the number of windows lacks its + 1."""
    return _rows(
        *(x, kh, kw, stride, padding), size=lambda side, k: out_size(side, k, stride, padding) - 1
    )


@animal(IM2COL, "mathematics' convolution, not the nets'")
def windows_flipped(x, kh, kw, stride, padding):
    """each window is flipped; its pixels are read from the left and from above."""
    return _rows(*(x, kh, kw, stride, padding), row=lambda patch: patch[:, ::-1, ::-1].ravel())


@animal(IM2COL, "right without padding, noise with it")
def strides_of_the_unpadded_picture(x, kh, kw, stride, padding):
    """as_strided gets the strides of x; those of the padded array are larger."""
    n, c = x.shape[:2]
    oh, ow = _sizes(x.shape, kh, kw, stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    sn, sc, sh, sw = x.copy().strides  # never larger than the padded array's, so within its memory
    steps = (sn, stride * sh, stride * sw, sc, sh, sw)
    return as_strided(padded, (n, oh, ow, c, kh, kw), steps).reshape(n * oh * ow, c * kh * kw)


@animal(IM2COL, "everything after it runs in float64")
def float64_columns(x, kh, kw, stride, padding):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    return im2col(x, kh, kw, stride, padding).astype(np.float64)


# --- col2im -----------------------------------------------------------------------------------


def _scattered(cols, x_shape, kh, kw, stride, padding, **bugs):
    """Window by window, with a place for each bug."""
    n, c, h, w = x_shape
    oh, ow = _sizes(x_shape, kh, kw, stride, padding)
    bug = {
        "windows": lambda cols: cols.reshape(n, oh, ow, c, kh, kw),
        "add": lambda old, new: old + new,
        "stride": stride,
        "crop": lambda dx: dx[:, :, padding : padding + h, padding : padding + w],
    } | bugs
    windows, step = bug["windows"](cols), bug["stride"]
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    for i, j in np.ndindex(windows.shape[1:3]):
        where = slice(i * step, i * step + kh), slice(j * step, j * step + kw)
        dx[:, :, *where] = bug["add"](dx[:, :, *where], windows[:, i, j])
    return bug["crop"](dx)


def _reread(cols, x_shape, kh, kw, stride, padding, order):
    """Rows read in another order of the axes (n, oh, ow, c, kh, kw)."""
    shape = (x_shape[0], *_sizes(x_shape, kh, kw, stride, padding), x_shape[1], kh, kw)
    read = cols.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    return col2im(read.reshape(cols.shape), x_shape, kh, kw, stride, padding)


@animal(COL2IM, "pixels learn from one of their windows only")
def windows_assigned(cols, x_shape, kh, kw, stride, padding):
    """= for += where windows overlap: a pixel's gradient is the sum over its windows."""
    return _scattered(cols, x_shape, kh, kw, stride, padding, add=lambda old, new: new)


_LAST_ONE = """= for += where windows overlap, window pixel by window pixel, or += with arrays of
    indices: either way a pixel keeps one gradient of several, and it should have their sum"""


def _window_pixels_assigned(cols, x_shape, kh, kw, stride, padding):
    n, c, h, w = x_shape
    oh, ow = _sizes(x_shape, kh, kw, stride, padding)
    windows = cols.reshape(n, oh, ow, c, kh, kw)
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    for i, j in np.ndindex(kh, kw):
        rows, columns = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
        dx[:, :, rows, columns] = windows[..., i, j].transpose(0, 3, 1, 2)
    return dx[:, :, padding : padding + h, padding : padding + w]


def _repeated_indices(cols, x_shape, kh, kw, stride, padding):
    n, c, h, w = x_shape
    oh, ow = _sizes(x_shape, kh, kw, stride, padding)
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    rows = np.arange(kh)[:, None, None, None] + stride * np.arange(oh)[:, None]
    columns = np.arange(kw)[:, None, None] + stride * np.arange(ow)
    dx[:, :, rows, columns] += cols.reshape(n, oh, ow, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    return dx[:, :, padding : padding + h, padding : padding + w]


for _name, _function in (
    ("window pixels assigned", _window_pixels_assigned),
    ("repeated indices", _repeated_indices),
):
    animal(COL2IM, "pixels learn from one of their windows only")(
        named(_function, _name, _LAST_ONE)
    )


@animal(COL2IM, "gradients too small wherever windows overlap")
def mean_over_windows(cols, x_shape, kh, kw, stride, padding):
    """a pixel gets the mean over its windows, which undoes im2col; its gradient is the sum."""
    ones = np.ones_like(cols)
    counts = col2im(ones, x_shape, kh, kw, stride, padding)
    return col2im(cols, x_shape, kh, kw, stride, padding) / np.maximum(counts, 1)


@animal(COL2IM, "an empty dx wherever there is no padding")
def cropped_by_minus_zero(cols, x_shape, kh, kw, stride, padding):
    """dx[:, :, p:-p, p:-p] is empty for p = 0, because -0 is 0; crop by p : p + H."""
    return _scattered(
        *(cols, x_shape, kh, kw, stride, padding),
        crop=lambda dx: dx[:, :, padding:-padding, padding:-padding],
    )


@animal(COL2IM, "an error in the layer before")
def not_cropped(cols, x_shape, kh, kw, stride, padding):
    """dx is that of the padded picture; the padding has to be cut off again."""
    return _scattered(cols, x_shape, kh, kw, stride, padding, crop=lambda dx: dx)


@animal(COL2IM, "gradients moved by the padding")
def cropped_from_the_corner(cols, x_shape, kh, kw, stride, padding):
    """dx[:, :, :H, :W] cuts the padding off at the wrong sides; it begins at p."""
    _, _, h, w = x_shape
    return _scattered(*(cols, x_shape, kh, kw, stride, padding), crop=lambda dx: dx[:, :, :h, :w])


@animal(COL2IM, "an error where the stride leaves pixels over")
def without_the_pixels_left_over(cols, x_shape, kh, kw, stride, padding):
    """dx ends with the last window; its shape is x_shape."""
    dx = col2im(cols, x_shape, kh, kw, stride, padding)
    oh, ow = _sizes(x_shape, kh, kw, stride, padding)
    h, w = ((out - 1) * stride + k - padding for out, k in ((oh, kh), (ow, kw)))
    return dx[:, :, : min(h, x_shape[2]), : min(w, x_shape[3])]


@animal(COL2IM, "right for stride 1 only")
def stride_ignored_on_the_way_back(cols, x_shape, kh, kw, stride, padding):
    """windows start at (i, j); they start at (i * stride, j * stride), as in im2col."""
    return _scattered(cols, x_shape, kh, kw, stride, padding, stride=1)


@animal(COL2IM, "channels in disorder, and no error")
def channel_last_in_the_columns_read(cols, x_shape, kh, kw, stride, padding):
    """columns are read as (kh, kw, c); they are (c, kh, kw)."""
    return _reread(cols, x_shape, kh, kw, stride, padding, (0, 1, 2, 4, 5, 3))


@animal(COL2IM, "windows come back transposed")
def window_read_transposed(cols, x_shape, kh, kw, stride, padding):
    """columns are read as (c, kw, kh); they are (c, kh, kw)."""
    return _reread(cols, x_shape, kh, kw, stride, padding, (0, 1, 2, 3, 5, 4))


@animal(COL2IM, "pictures of a batch get mixed up")
def picture_last_in_the_rows_read(cols, x_shape, kh, kw, stride, padding):
    """rows are read as (oh, ow, n); they are (n, oh, ow)."""
    return _reread(cols, x_shape, kh, kw, stride, padding, (1, 2, 0, 3, 4, 5))


@animal(COL2IM, "right for square pictures only")
def columns_of_windows_first_read(cols, x_shape, kh, kw, stride, padding):
    """rows are read as (n, ow, oh); they are (n, oh, ow)."""
    return _reread(cols, x_shape, kh, kw, stride, padding, (0, 2, 1, 3, 4, 5))


@animal(COL2IM, "channels, windows and pictures in disorder, and no error")
def read_without_moving_axes(cols, x_shape, kh, kw, stride, padding):
    """cols is reshaped to (N, C, OH, OW, kh, kw) as it stands; C comes after OW in it."""
    return _reread(cols, x_shape, kh, kw, stride, padding, (0, 3, 1, 2, 4, 5))


@animal(COL2IM, "an error, unless pictures are square")
def width_of_dx_from_its_height(cols, x_shape, kh, kw, stride, padding):
    """there are as many windows side by side as one below the other (W_out = H_out)."""
    n, c, h, _ = x_shape
    oh = out_size(h, kh, stride, padding)
    return _scattered(
        *(cols, x_shape, kh, kw, stride, padding),
        windows=lambda cols: cols.reshape(n, oh, oh, c, kh, kw),
    )


@animal(COL2IM, "gradients upside down within each window")
def windows_flipped_back(cols, x_shape, kh, kw, stride, padding):
    """each window is flipped; its pixels go back to where they came from."""
    n, c = x_shape[:2]
    oh, ow = _sizes(x_shape, kh, kw, stride, padding)
    return _scattered(
        *(cols, x_shape, kh, kw, stride, padding),
        windows=lambda cols: cols.reshape(n, oh, ow, c, kh, kw)[..., ::-1, ::-1],
    )


@animal(COL2IM, "everything before it runs in float64")
def float64_pictures(cols, x_shape, kh, kw, stride, padding):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    return col2im(cols, x_shape, kh, kw, stride, padding).astype(np.float64)
