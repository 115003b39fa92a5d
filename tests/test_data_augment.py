"""Augmentation: each result is one of the allowed pictures, and all of them come up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.data.augment import (
    PADDING_MODES,
    ColorJitter,
    Compose,
    Cutout,
    RandomCrop,
    RandomHorizontalFlip,
)

CHANNELS = st.sampled_from([1, 3])
SHAPES = st.tuples(st.integers(0, 6), CHANNELS, st.integers(2, 7), st.integers(2, 7))
SEEDS = st.integers(0, 2**32)
EVERY = [
    RandomHorizontalFlip(),
    RandomCrop(2),
    Cutout(3),
    ColorJitter(),
    Compose([RandomHorizontalFlip(), RandomCrop(1), ColorJitter(0.5), Cutout(2)]),
]


def pictures(shape, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    images.flags.writeable = False  # as the data set hands them out
    return images


@pytest.mark.parametrize("augment", EVERY)
@given(shape=SHAPES, seed=SEEDS)
@settings(max_examples=25)
def test_shape_and_dtype_stay_input_stays_and_a_seed_repeats(augment, shape, seed):
    images = pictures(shape, seed)
    before = images.copy()
    out, again = (augment(images, np.random.default_rng(seed)) for _ in "12")
    assert out.shape == shape and out.dtype == np.uint8
    assert out.flags.writeable and not np.shares_memory(out, images)
    np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(images, before)


@given(shape=SHAPES, seed=SEEDS)
def test_a_flip_is_the_picture_or_its_mirror_image(shape, seed):
    images = pictures(shape, seed)
    out = RandomHorizontalFlip()(images, np.random.default_rng(seed))
    for old, new in zip(images, out, strict=True):
        assert np.array_equal(new, old) or np.array_equal(new, old[:, :, ::-1])


@given(shape=SHAPES, pad=st.integers(0, 3), mode=st.sampled_from(PADDING_MODES), seed=SEEDS)
def test_a_crop_is_a_window_of_the_padded_picture(shape, pad, mode, seed):
    images = pictures(shape, seed)
    out = RandomCrop(pad, mode)(images, np.random.default_rng(seed))
    _, _, height, width = shape
    for old, new in zip(images, out, strict=True):
        padded = np.pad(old, ((0, 0), (pad, pad), (pad, pad)), mode=mode)
        assert any(
            np.array_equal(new, padded[:, y : y + height, x : x + width])
            for y in range(2 * pad + 1)
            for x in range(2 * pad + 1)
        )


def test_flip_chances():
    images = pictures((2000, 1, 1, 2))
    flipped = {
        p: (RandomHorizontalFlip(p)(images, np.random.default_rng(0)) != images).any((1, 2, 3))
        for p in (0, 0.25, 1)
    }
    different = images[:, 0, 0, 0] != images[:, 0, 0, 1]
    assert not flipped[0].any()
    assert flipped[1][different].all()
    assert flipped[0.25][different].mean() == pytest.approx(0.25, abs=0.05)


def test_every_shift_comes_up_equally_often_and_independently_in_y_and_x():
    marked = np.zeros((9000, 1, 5, 6), np.uint8)
    marked[:, :, 2, 3] = 255
    out = RandomCrop(1, "constant")(marked, np.random.default_rng(0))
    _, _, y, x = np.nonzero(out)
    counts = np.histogram2d(y, x, bins=[[1, 2, 3, 4], [2, 3, 4, 5]])[0]
    assert counts.sum() == 9000
    assert (abs(counts - 1000) < 150).all()


# --- cutout -------------------------------------------------------------------------------------


@given(shape=SHAPES, size=st.integers(1, 9), seed=SEEDS)
def test_a_hole_is_one_square_clipped_at_the_border_and_the_rest_stays(shape, size, seed):
    images = pictures(shape, seed) // 2  # below the fill, so that every covered pixel shows
    out = Cutout(size, 200)(images, np.random.default_rng(seed))
    holes = out == 200
    np.testing.assert_array_equal(out[~holes], images[~holes])
    for hole in holes:
        assert (hole == hole[:1]).all()
        rows, columns = hole[0].any(axis=1), hole[0].any(axis=0)
        np.testing.assert_array_equal(hole[0], np.outer(rows, columns))
        for covered in (rows, columns):
            places = np.flatnonzero(covered)
            assert 1 <= len(places) <= size and np.ptp(places) == len(places) - 1
            at_the_border = covered[0] or covered[-1]
            assert len(places) == size or at_the_border


def test_the_middle_of_a_hole_lies_equally_often_on_every_pixel():
    out = Cutout(1, 255)(np.zeros((12000, 1, 3, 4), np.uint8), np.random.default_rng(0))
    counts = (out == 255).sum(axis=(0, 1))
    assert counts.sum() == 12000
    assert (abs(counts - 1000) < 150).all()


def test_a_hole_takes_a_colour_for_every_channel():
    out = Cutout(20, (1, 2, 3))(pictures((5, 3, 4, 6)), np.random.default_rng(0))
    np.testing.assert_array_equal(out, np.broadcast_to([[[1]], [[2]], [[3]]], out.shape))
    with pytest.raises(ValueError, match="^fill: got 3 levels; needed 1 or 2, as channels"):
        Cutout(2, (1, 2, 3))(pictures((5, 2, 4, 6)), np.random.default_rng(0))


# --- colour jitter ------------------------------------------------------------------------------


def grey_of(images):
    return np.tensordot(images, [0.299, 0.587, 0.114], axes=(1, 0))[:, None]


def explained(old, factors):
    """Brightness, contrast and saturation one after the other, in float64."""
    brightness, contrast, saturation = factors
    old = old * brightness
    old = contrast * old + (1 - contrast) * grey_of(old).mean()
    return saturation * old + (1 - saturation) * grey_of(old)


@pytest.mark.parametrize("which", ["brightness", "contrast", "saturation", "all"])
def test_a_jittered_picture_is_a_blend_by_its_own_factors(which):
    names = ["brightness", "contrast", "saturation"]
    strengths = {name: 0.4 if which in (name, "all") else 0.0 for name in names}
    images = (80 + pictures((20, 3, 6, 5)) // 4).astype(np.uint8)  # far from black and white
    out = ColorJitter(**strengths)(images, np.random.default_rng(5))
    used = np.random.default_rng(5).uniform(-1, 1, (3, 20)).T * list(strengths.values()) + 1
    for old, new, factors in zip(images, out, used, strict=True):
        expected = explained(old[None].astype(float), factors)[0]
        assert expected.min() > 0 and expected.max() < 255
        np.testing.assert_allclose(new, expected, atol=0.51)
    assert len(np.unique(used[:, names.index(which) if which in names else 0])) == 20


def test_jitter_of_strength_zero_changes_nothing_and_extremes_are_cut_off():
    images = pictures((30, 3, 6, 5))
    still = ColorJitter(0, 0, 0)(images, np.random.default_rng(0))
    np.testing.assert_array_equal(still, images)
    glaring = ColorJitter(3.0, 0, 0)(images, np.random.default_rng(0))
    assert glaring.max() == 255
    assert ((glaring >= images).all(axis=(1, 2, 3)) | (glaring <= images).all(axis=(1, 2, 3))).all()


def test_brightness_is_drawn_from_the_whole_range():
    images = np.full((4000, 1, 2, 2), 100, np.uint8)
    levels = ColorJitter(0.5, 0, 0)(images, np.random.default_rng(0))[:, 0, 0, 0]
    assert levels.min() == 50 and levels.max() == 150
    assert np.histogram(levels, bins=5)[0].min() > 700


@given(shape=SHAPES, seed=SEEDS)
@settings(max_examples=25)
def test_saturation_leaves_grey_alone_and_a_grey_picture_too(shape, seed):
    images = pictures(shape, seed)
    if shape[1] == 1:
        out = ColorJitter(0, 0, 1.0)(images, np.random.default_rng(seed))
        np.testing.assert_array_equal(out, images)
    else:
        middling = 60 + images // 2  # nothing is cut off
        out = ColorJitter(0, 0, 0.2)(middling, np.random.default_rng(seed))
        np.testing.assert_allclose(grey_of(out), grey_of(middling), atol=0.51)


def test_jitter_is_for_colour_or_grey():
    with pytest.raises(ValueError, match="^images: got 2 channels; needed 3, or 1 if grey"):
        ColorJitter()(pictures((5, 2, 4, 6)), np.random.default_rng(0))


# --- all of them ------------------------------------------------------------------------------


def test_every_picture_gets_a_change_of_its_own():
    same = np.repeat(pictures((1, 3, 16, 16)), 40, axis=0)
    for augment in (RandomCrop(4), Cutout(5), ColorJitter()):
        out = augment(same, np.random.default_rng(0))
        assert len(np.unique(out.reshape(40, -1), axis=0)) > 25


def test_compose_does_the_steps_in_order_with_one_generator():
    images = pictures((4, 3, 5, 4))
    flip, crop = RandomHorizontalFlip(), RandomCrop(2)
    rng = np.random.default_rng(7)
    expected = crop(flip(images, rng), rng)
    out = Compose([flip, crop])(images, np.random.default_rng(7))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(Compose([])(images, rng), images)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: RandomHorizontalFlip(1.5), "p"),
        (lambda: RandomCrop(-1), "padding"),
        (lambda: RandomCrop(2.5), "padding"),
        (lambda: RandomCrop(2, "mirror"), "padding_mode"),
        (lambda: Cutout(0), "size"),
        (lambda: Cutout(1.5), "size"),
        (lambda: Cutout(3, 256), "fill"),
        (lambda: Cutout(3, (0, -1, 0)), "fill"),
        (lambda: Cutout(3, 0.5), "fill"),
        (lambda: Cutout(3, ()), "fill"),
        (lambda: ColorJitter(-0.1), "brightness"),
        (lambda: ColorJitter(0, float("inf")), "contrast"),
        (lambda: ColorJitter(0, 0, float("nan")), "saturation"),
    ],
)
def test_bad_settings_are_named(make, name):
    with pytest.raises(ValueError, match=f"^{name}: got .*; needed"):
        make()
