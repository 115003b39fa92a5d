"""Wrong occlusion maps: what is lost where a square of the picture is covered."""

from math import ceil

import numpy as np

from coursekit.checks.references_atlas import occlusion_map
from coursekit.checks.references_conv import out_size
from coursekit.checks.zoo.animal import animal

OCCLUSION = "occlusion_map"


def _occlude(score, image, size, stride, fill, **bugs):
    """Square by square, with a place for each bug."""
    _, h, w = image.shape
    bug = {
        "count": lambda side: out_size(side, size, stride),
        "counts": lambda h, w: (bug["count"](h), bug["count"](w)),
        "step": stride,
        "side": size,
        "back": 0,
        "cover": _fill,
        "base": score(image[None])[0],
        "value": lambda base, covered: base - covered,
    } | bugs
    lost = np.empty(bug["counts"](h, w))
    for i, j in np.ndindex(lost.shape):
        top, left = (k * bug["step"] - bug["back"] for k in (i, j))
        square = (
            slice(max(top, 0), max(top + bug["side"], 0)),
            slice(max(left, 0), max(left + bug["side"], 0)),
        )
        covered = bug["cover"](image, square, fill)
        lost[i, j] = bug["value"](bug["base"], score(covered[None])[0])
    return lost


def _fill(image, square, fill):
    covered = image.copy()
    covered[:, *square] = fill
    return covered


@animal(OCCLUSION, "what matters is dark and what does not is bright")
def sign_reversed(score, image, size, stride, fill):
    """score(occluded) - score(original): the loss is the other way round."""
    return -occlusion_map(score, image, size, stride, fill)


@animal(OCCLUSION, "a map with another zero")
def score_of_the_occluded(score, image, size, stride, fill):
    """the score of the occluded picture itself; subtract it from the original's."""
    return _occlude(*(score, image, size, stride, fill), value=lambda base, covered: covered)


@animal(OCCLUSION, "what confuses the net looks like what helps it")
def absolute_difference(score, image, size, stride, fill):
    """the absolute difference; its sign says whether the square helped."""
    return np.abs(occlusion_map(score, image, size, stride, fill))


@animal(OCCLUSION, "what confuses the net is not seen")
def positive_part(score, image, size, stride, fill):
    """negative differences are set to 0; they say which squares confused the net."""
    return np.maximum(occlusion_map(score, image, size, stride, fill), 0)


@animal(OCCLUSION, "maps that depend on the score's zero")
def relative_difference(score, image, size, stride, fill):
    """the difference is divided by the original's score."""
    return occlusion_map(score, image, size, stride, fill) / score(image[None])[0]


@animal(OCCLUSION, "the map grows from the first corner to the last")
def squares_pile_up(score, image, size, stride, fill):
    """the picture is copied once and squares pile up on it; copy it for every square."""
    canvas = image.copy()

    def cover(image, square, fill):
        canvas[:, *square] = fill
        return canvas

    return _occlude(score, image, size, stride, fill, cover=cover)


@animal(OCCLUSION, "the picture itself is covered in the end")
def image_covered_in_place(score, image, size, stride, fill):
    """the squares are put on image itself; copy it for every square."""
    lost = occlusion_map(score, image, size, stride, fill)
    image[:, :size, :size] = fill
    return lost


@animal(OCCLUSION, "only one colour is covered")
def first_channel_covered(score, image, size, stride, fill):
    """only the first channel is covered; all of them are."""

    def cover(image, square, fill):
        covered = image.copy()
        covered[0][square] = fill
        return covered

    return _occlude(score, image, size, stride, fill, cover=cover)


@animal(OCCLUSION, "what is left shows, not what is missing")
def all_but_the_square_covered(score, image, size, stride, fill):
    """everything but the square is covered; it is the square that is."""

    def cover(image, square, fill):
        covered = np.full_like(image, fill)
        covered[:, *square] = image[:, *square]
        return covered

    return _occlude(score, image, size, stride, fill, cover=cover)


@animal(OCCLUSION, "squares that are brightened, not covered")
def fill_added(score, image, size, stride, fill):
    """fill is added to the square's pixels; it replaces them."""

    def cover(image, square, fill):
        covered = image.copy()
        covered[:, *square] += fill
        return covered

    return _occlude(score, image, size, stride, fill, cover=cover)


@animal(OCCLUSION, "the fill that was asked for has no effect")
def always_zeros(score, image, size, stride, fill):
    """squares are filled with 0, whatever fill is."""
    return occlusion_map(score, image, size, stride, 0.0)


@animal(OCCLUSION, "the fill that was asked for has no effect")
def always_the_mean(score, image, size, stride, fill):
    """squares are filled with the picture's mean, whatever fill is."""
    return occlusion_map(score, image, size, stride, image.mean())


@animal(OCCLUSION, "a difference from a picture that nobody gave")
def compared_with_all_covered(score, image, size, stride, fill):
    """compared with a picture covered all over; it is the original that is compared with."""
    base = score(np.full_like(image, fill)[None])[0]
    return _occlude(score, image, size, stride, fill, base=base)


@animal(OCCLUSION, "a map of the picture's first corner")
def stride_ignored(score, image, size, stride, fill):
    """squares start at (i, j); they start at (i * stride, j * stride)."""
    return _occlude(score, image, size, stride, fill, step=1)


@animal(OCCLUSION, "right where the stride is the size")
def stride_from_size(score, image, size, stride, fill):
    """squares are moved by their size; the stride is an argument of its own."""
    return occlusion_map(score, image, size, size, fill)


@animal(OCCLUSION, "right where the stride is the size")
def size_and_stride_swapped(score, image, size, stride, fill):
    """size and stride are swapped."""
    return occlusion_map(score, image, stride, size, fill)


@animal(OCCLUSION, "the map's edge is missing")
def one_square_too_few(score, image, size, stride, fill):
    """the number of squares lacks its + 1."""
    return _occlude(
        *(score, image, size, stride, fill), count=lambda side: out_size(side, size, stride) - 1
    )


@animal(OCCLUSION, "squares that hang over the edge")
def squares_over_the_edge(score, image, size, stride, fill):
    """the number of squares is rounded up; a square that does not fit is left out."""
    return _occlude(
        *(score, image, size, stride, fill), count=lambda side: ceil((side - size) / stride) + 1
    )


@animal(OCCLUSION, "one number for every pixel, at a price")
def one_square_for_every_step(score, image, size, stride, fill):
    """there are H // stride squares, some over the edge; (H - size) // stride + 1 fit."""
    return _occlude(*(score, image, size, stride, fill), count=lambda side: ceil(side / stride))


@animal(OCCLUSION, "right for square pictures only")
def columns_from_rows(score, image, size, stride, fill):
    """there are as many squares side by side as one below the other."""
    rows = out_size(image.shape[1], size, stride)
    return _occlude(*(score, image, size, stride, fill), counts=lambda h, w: (rows, rows))


@animal(OCCLUSION, "a map that lies on its side")
def map_transposed_on_return(score, image, size, stride, fill):
    """the map is (columns, rows); it should be (rows, columns)."""
    return occlusion_map(score, image, size, stride, fill).T.copy()


@animal(OCCLUSION, "a map moved by half a square")
def squares_centred(score, image, size, stride, fill):
    """squares are centred on (i * stride, j * stride); they start there."""
    return _occlude(score, image, size, stride, fill, back=size // 2)


@animal(OCCLUSION, "every map has a 1 somewhere")
def divided_by_the_largest(score, image, size, stride, fill):
    """the map is divided by its largest value; it is asked for in units of the score."""
    lost = occlusion_map(score, image, size, stride, fill)
    return lost / np.abs(lost).max()
