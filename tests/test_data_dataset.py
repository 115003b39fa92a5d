"""Splits, normalising and batches: `coursekit.data.Dataset` on small made-up pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.data import Dataset, Split
from coursekit.data.split import stratified


def some_split(count, shape=(3, 5, 4), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return Split(images, np.arange(count) % classes)


def some_data(count=20, shape=(3, 5, 4), name="bundled"):
    parts = [some_split(n, shape, seed=n) for n in (count, 6, 7)]
    return Dataset(name, *parts, class_names=("a", "b", "c"))


# ---------------------------------------------------------------- stratified


@st.composite
def labels_and_sizes(draw):
    labels = np.array(draw(st.lists(st.integers(0, 4), min_size=2, max_size=80)))
    val_size = draw(st.integers(0, len(labels) - 1))
    train_size = draw(st.integers(1, len(labels) - val_size) | st.none())
    return labels, val_size, train_size, draw(st.integers(0, 2**40))


@given(labels_and_sizes())
def test_splits_are_disjoint_complete_and_in_proportion(case):
    labels, val_size, train_size, seed = case
    train, val = stratified(labels, val_size, train_size, seed)
    assert len(val) == val_size
    assert len(train) == (len(labels) - val_size if train_size is None else train_size)
    assert len(set(train) | set(val)) == len(train) + len(val)
    for chosen, pool in ((val, labels), (train, np.delete(labels, val))):
        assert (np.diff(chosen) > 0).all()
        for label in np.unique(pool):
            share = len(chosen) * np.mean(pool == label)
            assert abs(np.sum(labels[chosen] == label) - share) < 1


@given(labels_and_sizes())
def test_a_split_depends_on_the_seed_alone_and_val_not_on_train_size(case):
    labels, val_size, train_size, seed = case
    train, val = stratified(labels, val_size, train_size, seed)
    again, same_val = stratified(labels, val_size, train_size, seed)
    _, other_val = stratified(labels, val_size, None, seed)
    np.testing.assert_array_equal(train, again)
    np.testing.assert_array_equal(val, same_val)
    np.testing.assert_array_equal(val, other_val)


def test_another_seed_holds_out_other_images():
    labels = np.arange(1000) % 10
    (_, first), (_, second) = (stratified(labels, 100, None, seed) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("val_size", v) for v in (-1, 10, 2.0, True)),
        *(("train_size", v) for v in (0, 9, "all")),
        *(("seed", v) for v in (-1, None)),
    ],
)
def test_sizes_that_do_not_fit_are_named(argument, value):
    arguments = {"val_size": 2, "train_size": None, "seed": 0} | {argument: value}
    with pytest.raises(ValueError, match=f"^{argument}: got .*{value!r}; needed"):
        stratified(np.arange(10) % 2, **arguments)


# ---------------------------------------------------------------- normalising


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 7, 2), (4, 1, 1)])
def test_moments_are_those_of_the_scaled_train_images(shape):
    data = some_data(shape=shape)
    scaled = data.train.images / 255
    np.testing.assert_allclose(data.mean, scaled.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, scaled.std((0, 2, 3)), rtol=1e-6)
    assert data.mean.dtype == data.std.dtype == np.float32


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_normalize_is_the_formula(dtype, tolerance):
    data = some_data()
    mean, std = (v.astype(np.float64)[:, None, None] for v in (data.mean, data.std))
    out = data.normalize(data.test.images, dtype)
    assert out.dtype == dtype
    np.testing.assert_allclose(
        out, (data.test.images / 255 - mean) / std, rtol=tolerance, atol=tolerance
    )
    assert data.normalize(data.test.images[:0]).shape == (0, 3, 5, 4)


def test_a_channel_that_never_varies_stays_finite():
    flat = Split(np.full((4, 1, 2, 2), 51, np.uint8), np.zeros(4, int))
    data = Dataset("bundled", flat, flat, flat, class_names=("a",))
    np.testing.assert_allclose(data.normalize(flat.images), 0, atol=1e-6)


def test_normalize_names_what_does_not_fit():
    data = some_data()
    with pytest.raises(ValueError, match=r"^images: got float64 .*needed uint8"):
        data.normalize(np.zeros((2, 3, 5, 4)))
    with pytest.raises(ValueError, match=r"^images: got 1 channels; needed 3"):
        data.normalize(np.zeros((2, 1, 5, 4), np.uint8))


@pytest.mark.parametrize(
    ("shape", "dtype", "repair"),
    [
        ((2, 32, 32, 3), np.uint8, "images.transpose(0, 3, 1, 2)"),
        ((2, 28, 28, 1), np.uint8, "images.transpose(0, 3, 1, 2)"),
        ((2, 5, 7, 4), np.uint8, "images.transpose(0, 3, 1, 2)"),
        ((2, 32, 32, 3), np.float32, "images.transpose(0, 3, 1, 2)"),
        ((28, 27, 26), np.uint8, "images[:, None]"),
        ((3, 32, 32), np.uint8, "images[None]"),
        ((32, 31, 3), np.uint8, "images.transpose(2, 0, 1)[None]"),
    ],
)
def test_pictures_in_another_layout_are_refused_with_what_repairs_it(shape, dtype, repair):
    images = np.zeros(shape, dtype)
    labels = np.zeros(len(images), int)
    mended = eval(repair)  # the message's own words
    channels = mended.shape[1]
    data = some_data(shape=(channels, 4, 4))
    for take in (lambda images: Split(images, labels), data.normalize):
        with pytest.raises(ValueError) as caught:
            take(images)
        assert f"images: got {images.dtype} {shape}; needed uint8 of shape" in str(caught.value)
        assert f"(N, C, H, W): {repair}" in str(caught.value)
    assert channels in (1, 3, 4)
    assert data.normalize(mended.astype(np.uint8)).shape == mended.shape


@pytest.mark.parametrize("shape", [(3, 9, 3), (1, 28, 1), (4, 4, 3), (2, 5, 3), (9, 8, 7)])
def test_narrow_pictures_and_other_channels_are_pictures_too(shape):
    assert some_data(shape=shape).normalize(np.zeros((2, *shape), np.uint8)).shape == (2, *shape)


def test_changing_the_returned_mean_changes_nothing():
    data = some_data()
    before = data.normalize(data.test.images)
    data.mean[:] = 9
    np.testing.assert_array_equal(data.normalize(data.test.images), before)


# ---------------------------------------------------------------- batches


@settings(max_examples=40)
@given(st.integers(1, 25), st.integers(1, 30), st.booleans(), st.integers(0, 2**32))
def test_an_epoch_holds_every_image_once(count, batch_size, drop_last, seed):
    data, split = some_data(), some_split(count)
    numbered = Split(split.images, np.arange(count))
    rng = np.random.default_rng(seed)
    drawn = list(data.batches(numbered, batch_size, rng=rng, drop_last=drop_last))
    sizes = [len(y) for _, y in drawn]
    rest = count % batch_size
    assert sizes == [batch_size] * (count // batch_size) + [rest] * (rest > 0 and not drop_last)
    seen = np.concatenate([y for _, y in drawn]) if drawn else np.array([], int)
    assert len(np.unique(seen)) == len(seen)
    for x, y in drawn:
        np.testing.assert_array_equal(x, data.normalize(split.images[y]))


def test_without_rng_the_order_is_the_stored_one_and_with_a_seed_it_repeats():
    data = some_data()
    in_order = np.concatenate([y for _, y in data.batches(data.train, 6)])
    np.testing.assert_array_equal(in_order, data.train.labels)
    first, again, other = (
        [x for x, _ in data.batches(data.train, 6, rng=np.random.default_rng(seed))]
        for seed in (3, 3, 4)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_one_generator_shuffles_each_epoch_anew():
    data, rng = some_data(), np.random.default_rng(0)
    numbered = Split(data.train.images, np.arange(20))
    epochs = [np.concatenate([y for _, y in data.batches(numbered, 7, rng=rng)]) for _ in "12"]
    assert not np.array_equal(*epochs)


def test_augment_sees_uint8_and_the_generator_and_its_result_is_normalised():
    data, rng, seen = some_data(), np.random.default_rng(0), []

    def invert(images, given_rng):
        seen.append((images.dtype, given_rng))
        return 255 - images

    batches = list(data.batches(data.val, 4, rng=rng, augment=invert))
    assert seen == [(np.uint8, rng)] * 2
    drawn = np.concatenate([y for _, y in batches])
    assert sorted(drawn) == sorted(data.val.labels)
    total = sum(x.sum(dtype=np.float64) for x, _ in batches)
    expected = data.normalize(255 - data.val.images).sum(dtype=np.float64)
    assert total == pytest.approx(expected, rel=1e-5)


def test_batches_do_not_share_memory_with_the_data_and_take_the_dtype():
    data = some_data()
    for rng in (None, np.random.default_rng(0)):
        for x, y in data.batches(data.train, 8, rng=rng, dtype=np.float64):
            assert x.dtype == np.float64 and y.dtype == np.int64
            assert not np.shares_memory(y, data.train.labels)
            y[:] = 0
    assert data.train.labels.any()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("split", np.zeros((2, 3, 5, 4), np.uint8)),
        ("batch_size", 0),
        ("batch_size", 2.0),
        ("rng", 0),
        ("dtype", np.int32),
        ("augment", lambda images, rng: images),
    ],
)
def test_bad_arguments_are_named_before_the_first_batch(argument, value):
    data = some_data()
    arguments = {"split": data.train, "batch_size": 4} | {argument: value}
    with pytest.raises(ValueError, match="^rng" if argument == "augment" else f"^{argument}"):
        data.batches(**arguments)


# ---------------------------------------------------------------- what a Dataset is


def test_images_cannot_be_changed_by_accident_but_the_callers_array_can():
    images = np.zeros((2, 1, 3, 3), np.uint8)
    split = Split(images, [0, 1])
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1
    images[0] = 1


def test_repr_gives_the_sizes_and_the_shape():
    data = some_data(name="cifar10")
    assert repr(data) == (
        "Dataset cifar10: 20 train, 6 val, 7 test images, 3 x 5 x 4 uint8, 3 classes"
    )
    assert repr(data.val) == "Split(6 images of 3 x 5 x 4)"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 4, 4)), [0, 1], "^images: got float64"),
        (np.zeros((2, 3, 4), np.uint8), [0, 1], r"^images: got uint8 \(2, 3, 4\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), [0, 1, 2], r"^labels: got int64 \(3,\); .*\(2,\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), [0.0, 1.0], "^labels: got float64"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Split(images, labels)


def test_labels_out_of_range_and_other_shapes_are_refused():
    good, wrong = some_split(4), Split(some_split(3).images, [0, 3, -1])
    with pytest.raises(ValueError, match=r"^val: found label 3 at position 1 and 1 more .* 0 to 2"):
        Dataset("bundled", good, wrong, good, class_names=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"^test: got images of \(1, 5, 4\); needed \(3, 5, 4\)"):
        Dataset("bundled", good, good, some_split(4, (1, 5, 4)), class_names=("a", "b", "c"))
