"""Wrong ways to prepare pictures, and to draw subsets."""

import numpy as np
import torch
from torch.nn import functional

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks import references_transfer as right

PREPARE, SUBSET = "prepare", "balanced_subset"


# --- pictures ---------------------------------------------------------------------------------


def _resized(x, size, **options):
    options = {"mode": "bilinear", "antialias": True} | options
    return functional.interpolate(x, (size, size), **options)


def _standard(x, mean, std):
    shift, scale = (torch.tensor(v).float()[:, None, None] for v in (mean, std))
    return (x - shift) / scale


def _scaled(images):
    return torch.tensor(images).float() / 255


@animal(PREPARE, "numbers of some hundreds: a net that answers the same for every picture")
def not_scaled(images, size, mean, std):
    """pixels are not divided by 255 before mean and std are applied."""
    return _standard(_resized(torch.tensor(images).float(), size), mean, std)


@animal(PREPARE, "pictures that are nearly grey to the net")
def scaled_last(images, size, mean, std):
    """mean and std are applied to 0..255 and the result is divided by 255; first scale."""
    return _standard(_resized(torch.tensor(images).float(), size), mean, std) / 255


@animal(PREPARE, "features of another kind than those the head was trained on")
def not_standardised(images, size, mean, std):
    """mean and std are not applied."""
    return _resized(_scaled(images), size)


@animal(PREPARE, "contrast that is too low")
def std_forgotten(images, size, mean, std):
    """std is not divided by."""
    return _standard(_resized(_scaled(images), size), mean, np.ones(3))


@animal(PREPARE, "pictures too bright or too dark by a constant")
def mean_after_std(images, size, mean, std):
    """the mean is subtracted after the division by std; it comes first."""
    return _standard(_resized(_scaled(images), size), mean * std, std)


@animal(PREPARE, "each batch looks different, a lone picture most of all")
def own_statistics(images, size, mean, std):
    """the pictures' own mean and std are used; the net was trained with those it is given."""
    x = _resized(_scaled(images), size)
    return _standard(x, x.mean((0, 2, 3)).numpy(), x.std((0, 2, 3)).numpy())


@animal(PREPARE, "staircases at every edge, which filters take for edges")
def nearest(images, size, mean, std):
    """pictures are enlarged by repeating pixels (mode='nearest'); bilinear was asked for."""
    return _standard(_resized(_scaled(images), size, mode="nearest", antialias=False), mean, std)


@animal(PREPARE, "halos beside edges")
def bicubic(images, size, mean, std):
    """pictures are resized with mode='bicubic'; bilinear was asked for."""
    return _standard(_resized(_scaled(images), size, mode="bicubic"), mean, std)


@animal(PREPARE, "patterns that are not in the picture, when it is made smaller")
def no_antialias(images, size, mean, std):
    """antialias is off: a smaller picture is made of single pixels."""
    return _standard(_resized(_scaled(images), size, antialias=False), mean, std)


@animal(PREPARE, "pictures stretched by part of a pixel")
def corners_aligned(images, size, mean, std):
    """align_corners is True: corners' middles are matched, and all pixels shift a little."""
    x = _resized(_scaled(images), size, align_corners=True, antialias=False)
    return _standard(x, mean, std)


@animal(PREPARE, "hard to tell: steps of 1/255")
def resized_as_bytes(images, size, mean, std):
    """pictures are resized as whole numbers, and rounded; make floats of them first."""
    x = _resized(torch.tensor(images).float(), size).round() / 255
    return _standard(x, mean, std)


@animal(PREPARE, "blue where red was")
def channels_reversed(images, size, mean, std):
    """the channels are reversed (BGR)."""
    return _standard(_resized(_scaled(images), size).flip(1), mean, std)


@animal(PREPARE, "an error in the first layer: a weight of another dtype")
def double_precision(images, size, mean, std):
    """the result is float64: NumPy's mean is, and makes everything so."""
    shift, scale = (torch.tensor(v)[:, None, None] for v in (mean, std))
    return (_resized(_scaled(images), size) - shift) / scale


@animal(PREPARE, "small pictures in a large grey frame")
def padded(images, size, mean, std):
    """pictures are padded with zeros to the size, or cut; they should be resized."""
    x = _scaled(images)
    height, width = (size - side for side in x.shape[2:])
    return _standard(functional.pad(x, (0, width, 0, height)), mean, std)


# --- subsets ----------------------------------------------------------------------------------


def _subset(labels, per_class, choose):
    return np.concatenate(
        [choose(np.flatnonzero(labels == c), per_class) for c in np.unique(labels)]
    )


@animal(SUBSET, "the same pictures for every seed: bands that are too narrow")
def first_of_each_class(labels, per_class, rng):
    """the first pictures of each class are taken; nothing is drawn."""
    return _subset(labels, per_class, lambda own, n: own[:n])


@animal(SUBSET, "fewer pictures than one thinks")
def with_replacement(labels, per_class, rng):
    """pictures are drawn with replacement, so that some come twice."""
    return _subset(labels, per_class, lambda own, n: rng.choice(own, n))


@animal(SUBSET, "classes of which there is next to nothing")
def not_balanced(labels, per_class, rng):
    """pictures are drawn from all alike, so that classes have different numbers."""
    return rng.choice(len(labels), per_class * len(np.unique(labels)), replace=False)


@animal(SUBSET, "other pictures each time the notebook runs")
def global_generator(labels, per_class, rng):
    """np.random draws, and not the rng that is given."""
    legacy = np.random
    return _subset(labels, per_class, lambda own, n: legacy.permutation(own)[:n])


@animal(SUBSET, "the same pictures for every seed, though they look random")
def seed_of_its_own(labels, per_class, rng):
    """a generator of its own is made, with a fixed seed; the rng that is given should draw."""
    fixed = np.random.default_rng(0)
    return _subset(labels, per_class, lambda own, n: fixed.choice(own, n, replace=False))


@animal(SUBSET, "pictures of the first class only, and wrong labels")
def places_within_the_class(labels, per_class, rng):
    """what is returned are places within each class; it should be places in labels."""
    return _subset(labels, per_class, lambda own, n: rng.choice(len(own), n, replace=False))


@animal(SUBSET, "labels where indices were expected")
def labels_returned(labels, per_class, rng):
    """the labels of the chosen pictures are returned; indices were asked for."""
    return labels[right.balanced_subset(labels, per_class, rng)]


@animal(SUBSET, "an error, or a class too many")
def classes_by_counting(labels, per_class, rng):
    """classes are taken to be 0, 1, 2, ...; use those that occur."""
    count = len(np.unique(labels))
    parts = [np.flatnonzero(labels == c) for c in range(count)]
    return np.concatenate([rng.choice(own, per_class, replace=False) for own in parts])


@animal(SUBSET, "an array of True and False as long as the data set")
def mask_returned(labels, per_class, rng):
    """a mask is returned; indices were asked for."""
    mask = np.zeros(len(labels), bool)
    mask[right.balanced_subset(labels, per_class, rng)] = True
    return mask


@animal(SUBSET, "a few pictures in all")
def per_class_taken_for_all(labels, per_class, rng):
    """per_class is taken for the number of all classes together."""
    return right.balanced_subset(labels, per_class, rng)[:per_class]


@animal(SUBSET, "one picture too few of each class")
def one_too_few(labels, per_class, rng):
    """the last picture of each class is lost."""
    return _subset(labels, per_class, lambda own, n: rng.choice(own, n, replace=False)[: n - 1])


@animal(SUBSET, "pictures that are never chosen")
def from_a_window(labels, per_class, rng):
    """a run of neighbours in the stored order is taken, which begins at a random place."""

    def window(own, n):
        start = rng.integers(max(1, len(own) // 2 - n + 1))
        return own[start : start + n]

    return _subset(labels, per_class, window)


@animal(SUBSET, "pictures that stand together in the data set are chosen together")
def from_a_ring(labels, per_class, rng):
    """a run of neighbours in the stored order is taken, around the end to the beginning: all
    pictures are equally likely, but distant ones never come together"""
    return _subset(labels, per_class, lambda own, n: np.roll(own, rng.integers(len(own)))[:n])


@animal(SUBSET, "pictures at the beginning of the data set are chosen more often")
def sorted_and_cut(labels, per_class, rng):
    """more pictures than needed are drawn, sorted by np.unique, and cut: the first of a class are
    likelier than its last"""

    def cut(own, n):
        drawn = rng.choice(own, 2 * n)
        while len(np.unique(drawn)) < n:
            drawn = np.append(drawn, rng.choice(own))
        return np.unique(drawn)[:n]

    return _subset(labels, per_class, cut)
