"""Wrong first weights of convolutions, and wrong random crops."""

from math import prod, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from coursekit.checks.references_atlas import random_crop
from coursekit.checks.zoo.animal import animal

KAIMING, CROP = "kaiming_normal_conv", "random_crop"


# --- first weights --------------------------------------------------------------------------


def _normal(shape, rng, fan_in):
    return rng.standard_normal(shape) * sqrt(2 / fan_in)


@animal(KAIMING, "activations three times too large with every 3x3 layer")
def window_forgotten(shape, rng):
    """fan_in is the number of input channels; a window of each feeds an output: times kh * kw."""
    return _normal(shape, rng, shape[1])


@animal(KAIMING, "activations explode")
def channels_forgotten(shape, rng):
    """fan_in is kh * kw; a window of every input channel feeds an output."""
    return _normal(shape, rng, prod(shape[2:]))


@animal(KAIMING, "activations shrink or grow where layers change width")
def fan_out_for_fan_in(shape, rng):
    """fan_in is counted from the output channels; it is the input's that feed an output."""
    return _normal(shape, rng, shape[0] * prod(shape[2:]))


@animal(KAIMING, "activations vanish")
def all_numbers_for_fan_in(shape, rng):
    """fan_in is the number of all weights; an output is fed by one filter's."""
    return _normal(shape, rng, prod(shape))


@animal(KAIMING, "right for square kernels only")
def square_kernel(shape, rng):
    """fan_in counts kh * kh; the window is kh * kw."""
    return _normal(shape, rng, shape[1] * prod(shape[2:3]) ** 2)


@animal(KAIMING, "right for linear layers only")
def last_axis_for_fan_in(shape, rng):
    """fan_in is the last number of the shape; it is the product of all but the first."""
    return _normal(shape, rng, shape[-1])


@animal(KAIMING, "activations shrink by a factor of 0.7 a layer")
def without_the_two(shape, rng):
    """variance 1 / fan_in, which forgets that ReLU halves it; it is 2 / fan_in."""
    return _normal(shape, rng, 2 * prod(shape[1:]))


@animal(KAIMING, "activations grow by a factor of 1.4 a layer")
def gain_of_two(shape, rng):
    """a gain of 2; it is sqrt(2), whose square is the 2 in 2 / fan_in."""
    return _normal(shape, rng, prod(shape[1:]) / 2)


@animal(KAIMING, "activations vanish")
def variance_as_deviation(shape, rng):
    """scaled by the variance 2 / fan_in; the standard deviation is its square root."""
    return rng.standard_normal(shape) * (2 / prod(shape[1:]))


@animal(KAIMING, "activations shrink or grow where layers change width")
def xavier(shape, rng):
    """Xavier's variance 2 / (fan_in + fan_out); Kaiming's is 2 / fan_in."""
    return _normal(shape, rng, (shape[0] + shape[1]) * prod(shape[2:]))


@animal(KAIMING, "hard to tell: right variance, no tails")
def uniform_of_the_right_width(shape, rng):
    """Kaiming's uniform form; this exercise asks for the normal one."""
    bound = sqrt(6 / prod(shape[1:]))
    return rng.uniform(-bound, bound, shape)


@animal(KAIMING, "activations shrink by a factor of 0.6 a layer")
def uniform_of_the_wrong_width(shape, rng):
    """uniform between plus and minus sqrt(2 / fan_in), whose deviation is only 0.58 of that."""
    bound = sqrt(2 / prod(shape[1:]))
    return rng.uniform(-bound, bound, shape)


@animal(KAIMING, "fine for three layers, dead for thirty")
def fixed_scale(shape, rng):
    """a fixed scale of 0.01 for every layer."""
    return rng.standard_normal(shape) * 0.01


@animal(KAIMING, "activations shrink by a factor of 0.9 a layer")
def cut_off_at_two_deviations(shape, rng):
    """the normal distribution is cut off: what lies beyond two deviations is drawn again, which
    leaves a deviation of 0.88"""
    w = rng.standard_normal(shape)
    while np.any(far := np.abs(w) > 2):
        w[far] = rng.standard_normal(far.sum())
    return w * sqrt(2 / prod(shape[1:]))


@animal(KAIMING, "hard to tell: right variance, no tails")
def cut_off_and_rescaled(shape, rng):
    """the normal distribution is cut off at two deviations and rescaled; this exercise asks for the
    whole one"""
    return cut_off_at_two_deviations(shape, rng) / 0.879626


@animal(KAIMING, "activations shrink a little with every layer")
def clipped_at_two_deviations(shape, rng):
    """the normal distribution is cut off: np.clip puts what lies beyond two deviations there."""
    return np.clip(rng.standard_normal(shape), -2, 2) * sqrt(2 / prod(shape[1:]))


@animal(KAIMING, "layers of one shape start out the same")
def own_generator(shape, rng):
    """a generator with a fixed seed is made inside, so every call gives the same weights."""
    return _normal(shape, np.random.default_rng(0), prod(shape[1:]))


@animal(KAIMING, "two runs with one seed differ")
def rng_ignored(shape, rng):
    """the weights do not come from rng, so that a seed does not fix them."""
    return _normal(shape, np.random.default_rng(), prod(shape[1:]))


# --- random crops ---------------------------------------------------------------------------


def _crop(images, padding, rng, mode="reflect", start=None):
    """Crops with a border and with rows and columns (2, N), drawn or given."""
    n, _, h, w = images.shape
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    windows = sliding_window_view(np.pad(images, sides, mode=mode), (h, w), axis=(2, 3))
    top, left = rng.integers(0, 2 * padding + 1, (2, n)) if start is None else start
    return windows[np.arange(n), :, top, left]


@animal(CROP, "black borders, which no test picture has")
def zeros_around(images, padding, rng):
    """the border is zeros; it is the reflected picture."""
    return _crop(images, padding, rng, mode="constant")


@animal(CROP, "smeared borders")
def border_repeated(images, padding, rng):
    """the border pixels are repeated; the picture is reflected."""
    return _crop(images, padding, rng, mode="edge")


@animal(CROP, "borders one pixel off")
def border_doubled(images, padding, rng):
    """the border pixel itself is doubled ("symmetric"); "reflect" leaves it single."""
    return _crop(images, padding, rng, mode="symmetric")


@animal(CROP, "the right edge appears on the left")
def rolled(images, padding, rng):
    """np.roll brings pixels back on the other side; the border is the reflected picture."""
    return _crop(images, padding, rng, mode="wrap")


@animal(CROP, "hardly more pictures than there were")
def one_window_for_the_batch(images, padding, rng):
    """one window is drawn for the whole batch; every picture has its own."""
    start = np.repeat(rng.integers(0, 2 * padding + 1, (2, 1)), len(images), axis=1)
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures move along the diagonal only")
def one_number_for_both(images, padding, rng):
    """one number is drawn for row and column; they are independent."""
    start = rng.integers(0, 2 * padding + 1, len(images))
    return _crop(images, padding, rng, start=(start, start))


@animal(CROP, "pictures never move as far up and left as they do down and right")
def upper_end_left_out(images, padding, rng):
    """rng.integers(0, 2 * padding) never draws its upper end; there are 2 * padding + 1 places."""
    start = rng.integers(0, 2 * padding, (2, len(images)))
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures hardly move as far as they should")
def rounded_places(images, padding, rng):
    """the first and last places are too rare: np.round gives them half an interval, a sum of draws
    or a normal one prefers the middle; all are equally likely, rng.integers(0, 2 * padding + 1)"""
    start = np.round(rng.random((2, len(images))) * 2 * padding).astype(int)
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures hardly move as far as they should")
def sum_of_two_draws(images, padding, rng):
    """the first and last places are too rare: np.round gives them half an interval, a sum of draws
    or a normal one prefers the middle; all are equally likely, rng.integers(0, 2 * padding + 1)"""
    start = rng.integers(0, padding + 1, (2, 2, len(images))).sum(axis=0)
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures move as far as they can, and seldom less")
def clipped_places(images, padding, rng):
    """the middle places are too rare: np.clip puts what is drawn too far to the ends; all are
    equally likely, rng.integers(0, 2 * padding + 1)"""
    start = rng.integers(-padding, 3 * padding + 1, (2, len(images))).clip(0, 2 * padding)
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures move along the diagonal more often than across it")
def row_follows_column(images, padding, rng):
    """row and column are not independent: each is fair, and some pairs are rarer than others."""
    top, left = rng.integers(0, 2 * padding + 1, (2, len(images)))
    return _crop(
        images, padding, rng, start=(np.where(rng.random(len(top)) < 0.5, left, top), left)
    )


@animal(CROP, "pictures move in one direction only")
def half_of_the_places(images, padding, rng):
    """windows start at 0 to padding; they start at 0 to 2 * padding."""
    start = rng.integers(0, padding + 1, (2, len(images)))
    return _crop(images, padding, rng, start=start)


@animal(CROP, "pictures move up and down only")
def rows_only(images, padding, rng):
    """pictures are moved along the height only, not along the width."""
    top = rng.integers(0, 2 * padding + 1, len(images))
    return _crop(images, padding, rng, start=(top, np.full_like(top, padding)))


@animal(CROP, "pictures move from side to side only")
def columns_only(images, padding, rng):
    """pictures are moved along the width only, not along the height."""
    left = rng.integers(0, 2 * padding + 1, len(images))
    return _crop(images, padding, rng, start=(np.full_like(left, padding), left))


@animal(CROP, "no augmentation at all")
def never_moved(images, padding, rng):
    """the window is always the middle one, which is the picture itself."""
    return images.copy()


@animal(CROP, "half of the pictures are those of the epoch before")
def half_of_the_pictures(images, padding, rng):
    """only half of the pictures are moved; all are."""
    chosen = rng.random(len(images)) < 0.5
    return np.where(chosen[:, None, None, None], random_crop(images, padding, rng), images)


@animal(CROP, "coloured fringes")
def one_window_for_each_channel(images, padding, rng):
    """every channel is moved by itself; a picture's channels are moved together."""
    channels = images.reshape(-1, 1, *images.shape[2:])
    return random_crop(channels, padding, rng).reshape(images.shape)


@animal(CROP, "an error in the first linear layer")
def not_cut(images, padding, rng):
    """the padded pictures are returned whole; cut them to H x W."""
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return np.pad(images, sides, mode="reflect")


@animal(CROP, "an error in the first linear layer")
def smaller_pictures(images, padding, rng):
    """windows are cut from the pictures without a border, so that they are too small."""
    h, w = (side - padding for side in images.shape[2:])
    return random_crop(images, padding, rng)[:, :, :h, :w].copy()


@animal(CROP, "two runs with one seed differ")
def global_generator(images, padding, rng):
    """the windows come from np.random, not from rng, so that a seed does not fix them."""
    start = np.random.randint(0, 2 * padding + 1, (2, len(images)))  # noqa: NPY002
    return _crop(images, padding, rng, start=start)


@animal(CROP, "two runs with one seed differ")
def unseeded_generator(images, padding, rng):
    """a new generator is made inside, so that rng's seed does not fix the windows."""
    return random_crop(images, padding, np.random.default_rng())


@animal(CROP, "every epoch sees the same crops")
def seeded_generator(images, padding, rng):
    """a generator with a fixed seed is made inside, so that every call draws the same windows."""
    return random_crop(images, padding, np.random.default_rng(0))


@animal(CROP, "the training set itself wanders off")
def cropped_in_place(images, padding, rng):
    """the crops are written into images; return a new array."""
    images[...] = random_crop(images, padding, rng)
    return images.copy()


@animal(CROP, "everything after it runs in float64")
def float64_crops(images, padding, rng):
    """np.zeros without a dtype makes a float64 result of float32 pictures."""
    return random_crop(images, padding, rng).astype(np.float64)
