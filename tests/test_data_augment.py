"""Augmentation: each result is one of the allowed pictures, and all of them come up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.data.augment import PADDING_MODES, Compose, RandomCrop, RandomHorizontalFlip

SHAPES = st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(2, 7), st.integers(2, 7))
SEEDS = st.integers(0, 2**32)
EVERY = [RandomHorizontalFlip(), RandomCrop(2), Compose([RandomHorizontalFlip(), RandomCrop(1)])]


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
    ],
)
def test_bad_settings_are_named(make, name):
    with pytest.raises(ValueError, match=f"^{name}: got .*; needed"):
        make()
