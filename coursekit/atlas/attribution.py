"""Which pixels spoke for a class: three answers (lesson 3, "The filter atlas").

Hide a patch and watch the score (occlusion); ask how the score changes with each pixel
(saliency); ask where a layer's maps that matter are active (Grad-CAM). The score is the class's
logit, before the softmax, which would mix in what the other classes do.
"""

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit.atlas.chain import chain, check_batches, check_maps, copy_in_eval, index_of, through
from coursekit.nn.init import check_sizes
from coursekit.nn.module import Module, Sequential


def pixel_gradient(
    net: Module, x: NDArray, classes: ArrayLike, *, batch_size: int = 100
) -> NDArray:
    """How the score of a class changes with each value of the picture.

    Args:
        net: maps pictures to logits.
        x: (N, C, H, W) as the net takes them.
        classes: one class for all pictures, or one for each, (N,).
        batch_size: pictures at a time.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: no picture, or ``classes`` fits neither pictures nor logits.
    """
    check_batches(x, batch_size)
    classes = _one_each(classes, len(x))
    gradient = np.empty(x.shape, x.dtype)
    net = copy_in_eval(net)
    for part in _parts(len(x), batch_size):
        logits = net(x[part])
        gradient[part] = net.backward(_pick(logits, classes[part]))
    return gradient


def saliency(net: Module, x: NDArray, classes: ArrayLike, *, batch_size: int = 100) -> NDArray:
    """The largest size of :func:`pixel_gradient` over the channels, (N, H, W), at least 0.

    Source: Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2014.
    """
    return np.abs(pixel_gradient(net, x, classes, batch_size=batch_size)).max(axis=1)


def grad_cam(
    net: Module,
    x: NDArray,
    classes: ArrayLike,
    layer: int | str,
    *,
    batch_size: int = 100,
) -> NDArray:
    """Where the maps that raise a class's score are active.

    ``relu(sum_c w_c A_c)``, with ``A_c`` the maps of ``layer`` and ``w_c`` the mean over a map of
    the score's gradient; enlarged to the picture and scaled to a largest value of 1.

    Args:
        net: a chain of layers from pictures to logits.
        x: (N, C, H, W) as the net takes them.
        classes: one class for all pictures, or one for each, (N,).
        layer: name or place of a layer that puts out maps, such as the last ReLU or pool.
        batch_size: pictures at a time.

    Returns:
        (N, H, W) in [0, 1]; zeros for a picture in which nothing speaks for the class.

    Raises:
        ValueError: no such layer, it puts out no maps, no picture, or ``classes`` does not fit.

    Source: Selvaraju et al., "Grad-CAM", 2017.
    """
    check_batches(x, batch_size)
    classes = _one_each(classes, len(x))
    layers, cut = list(chain(copy_in_eval(net)).values()), index_of(net, layer) + 1
    behind = Sequential(*layers[cut:])
    heat = np.empty((len(x), *x.shape[2:]), x.dtype)
    for part in _parts(len(x), batch_size):
        maps = through(layers[:cut], x[part])
        check_maps(layer, maps)
        gradient: Any = behind.backward(_pick(behind(maps), classes[part]))
        weights = gradient.mean(axis=(2, 3))
        coarse = np.maximum(np.einsum("nc,nchw->nhw", weights, maps), 0)
        heat[part] = enlarge(coarse, x.shape[2:])
    largest = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, largest, out=heat, where=largest > 0)


def enlarge(maps: NDArray, size: tuple[int, int]) -> NDArray:
    """Maps (N, h, w) drawn at another size, linearly between the centres of their cells.

    As PyTorch's ``interpolate(mode="bilinear", align_corners=False)``.
    """

    def weights(small: int, large: int) -> NDArray:
        centres = (np.arange(large) + 0.5) * small / large - 0.5
        each = [np.interp(centres, np.arange(small), unit) for unit in np.eye(small)]
        return np.array(each, maps.dtype)

    return weights(maps.shape[1], size[0]).T @ maps @ weights(maps.shape[2], size[1])


def occlusion(
    net: Module,
    x: NDArray,
    classes: ArrayLike,
    *,
    size: int = 8,
    stride: int = 2,
    fill: float = 0.0,
    batch_size: int = 100,
) -> NDArray:
    """How far the score of a class falls while a square hides a pixel.

    The square goes over the picture in steps of ``stride`` and always reaches the far edges.
    A pixel gets the mean over all squares that hid it.

    Args:
        net: maps pictures to logits.
        x: (N, C, H, W) as the net takes them.
        classes: one class for all pictures, or one for each, (N,).
        size: side of the square in pixels.
        stride: pixels from one square to the next, at most ``size``.
        fill: what the square is filled with; 0 is the data's mean colour after standardising.
        batch_size: hidden pictures at a time.

    Returns:
        (N, H, W); negative where hiding raises the score.

    Raises:
        ValueError: no picture, ``classes`` does not fit, or ``size`` or ``stride`` does not.

    Source: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    check_batches(x, batch_size)
    classes = _one_each(classes, len(x))
    if x.ndim != 4:
        raise ValueError(f"x must have shape (N, C, H, W), got {x.shape}")
    height, width = x.shape[2:]
    check_sizes(size=size, stride=stride)
    if not isfinite(fill):
        raise ValueError(f"fill: got {fill}; needed a finite number")
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size must lie in 1 to {min(height, width)}, got {size}")
    if not 1 <= stride <= size:
        raise ValueError(f"stride must lie in 1 to size = {size}, got {stride}")
    squares = [
        (slice(top, top + size), slice(left, left + size))
        for top in _starts(height, size, stride)
        for left in _starts(width, size, stride)
    ]
    heat = np.zeros((len(x), height, width), x.dtype)
    times_hidden = np.zeros((height, width), x.dtype)
    for square in squares:
        times_hidden[square] += 1
    net = copy_in_eval(net)
    for i, c in enumerate(classes):
        score = _score(net(x[i : i + 1]), c)
        for part in _parts(len(squares), batch_size):
            hidden = np.repeat(x[i : i + 1], len(squares[part]), axis=0)
            for picture, (rows, columns) in zip(hidden, squares[part], strict=True):
                picture[:, rows, columns] = fill
            for square, fall in zip(squares[part], score - _score(net(hidden), c), strict=True):
                heat[i][square] += fall
    return heat / times_hidden


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where windows begin; the last one ends flush with the edge."""
    return [*range(0, length - size, stride), length - size]


def _parts(count: int, batch_size: int) -> list[slice]:
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def _one_each(classes: ArrayLike, count: int) -> NDArray[np.int64]:
    given = np.asarray(classes)
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise ValueError(
            f"classes must be a whole number or {count} of them, one a picture; "
            f"got {given.dtype} of shape {given.shape}"
        )
    return np.broadcast_to(given, (count,)).astype(np.int64)


def _pick(logits: NDArray, classes: NDArray[np.int64]) -> NDArray:
    """The gradient of each picture's own class score with respect to the logits."""
    _check_classes(logits, classes.min(), classes.max())
    one_hot = np.zeros_like(logits)
    one_hot[np.arange(len(logits)), classes] = 1
    return one_hot


def _score(logits: NDArray, c: int) -> NDArray:
    _check_classes(logits, c, c)
    return logits[:, c]


def _check_classes(logits: NDArray, low: int, high: int) -> None:
    if logits.ndim != 2:
        raise ValueError(f"net must put out logits (N, classes), got shape {logits.shape}")
    if not 0 <= low <= high < logits.shape[1]:
        raise ValueError(
            f"classes must lie in 0 to {logits.shape[1] - 1}, got values from {low} to {high}"
        )
    if not np.isfinite(logits).all():
        raise ValueError(
            "net: got scores that are nan or infinite for some picture; needed finite ones"
        )
