"""Batches made on the device: what each change may do, and that the shares make up the whole."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from coursekit.data import Dataset, Split  # noqa: E402
from coursekit.port.pictures import (  # noqa: E402
    AlternatingFlip,
    Cutout,
    Draw,
    Pictures,
    RandomCrop,
    RandomHorizontalFlip,
)

CHANGES = [
    RandomHorizontalFlip(),
    AlternatingFlip(),
    RandomCrop(2),
    RandomCrop(2, "edge"),
    RandomCrop(2, "constant"),
    Cutout(3),
    Cutout(3, (1, 2, 3)),
]


def make_images(n=6, height=5, width=7):
    """Pictures in which every pixel of a channel has a level of its own, from 1."""
    levels = torch.arange(1, height * width + 1, dtype=torch.uint8).view(1, 1, height, width)
    return levels.repeat(n, 3, 1, 1).contiguous()


def make_draw(n, *, seed=0, epoch=0, rows=slice(None)):
    generator = torch.Generator().manual_seed(seed)
    return Draw(generator, torch.arange(n)[rows], epoch, seed, rows, n)


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_shares_of_a_batch_make_up_the_whole(change):
    images = make_images()
    before = images.clone()
    whole = change(images, make_draw(6))
    parts = [
        change(images[rows], make_draw(6, rows=rows))
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(images, before)
    assert whole.shape == images.shape and whole.dtype == torch.uint8
    assert not torch.equal(whole, images)


@pytest.mark.parametrize("mode", ["reflect", "edge", "constant"])
def test_a_crop_is_numpys_window_of_the_padded_picture(mode):
    images = make_images(200)
    draw = make_draw(200)
    out = RandomCrop(2, mode)(images, draw).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded[0], (5, 7), axis=(1, 2))
    corners = set()
    for picture in out:
        ((y, x),) = np.argwhere((windows == picture[:, None, None]).all(axis=(0, 3, 4)))[:1]
        corners.add((int(y), int(x)))
    assert corners == {(y, x) for y in range(5) for x in range(5)}


def test_a_flip_mirrors_or_keeps():
    images = make_images(400)
    out = RandomHorizontalFlip(0.25)(images, make_draw(400))
    mirrored = (out == images.flip(3)).flatten(1).all(dim=1)
    kept = (out == images).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert 70 < int(mirrored.sum()) < 130


def test_alternating_flips_show_both_sides_in_two_epochs():
    images = make_images(1000)
    first, second, third = (AlternatingFlip()(images, make_draw(1000, epoch=e)) for e in range(3))
    assert torch.equal(first, second.flip(3)) and torch.equal(first, third)
    mirrored = (first == images.flip(3)).flatten(1).all(dim=1)
    assert 430 < int(mirrored.sum()) < 570
    neighbours = int((mirrored[1:] == mirrored[:-1]).sum())
    assert 430 < neighbours < 570
    other = AlternatingFlip()(images, make_draw(1000, seed=1))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_hole_is_a_square_that_may_stick_out(size):
    images = make_images(60)
    holes = (Cutout(size, 0)(images, make_draw(60)) == 0).numpy()
    assert (holes == holes[:, :1]).all()
    for hole in holes[:, 0]:
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        assert (hole == np.outer(rows, columns)).all()
        assert 1 <= rows.sum() <= size and 1 <= columns.sum() <= size
        assert np.ptp(np.flatnonzero(rows)) == rows.sum() - 1
    if size == 50:
        assert holes.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [True, False])
def test_pictures_are_normalised_as_by_the_data_set(rng, dtype, channels_last):
    images = rng.integers(0, 256, (30, 3, 5, 4)).astype(np.uint8)
    images[:, 2] = 7  # a channel that never varies
    split = Split(images, rng.integers(0, 2, 30))
    data = Dataset("toy", split, split, split, ("a", "b"))
    pictures = Pictures(data, torch.device("cpu"), dtype, channels_last=channels_last)
    got = torch.cat(list(pictures.in_order(split, 8)))
    expected = data.normalize(images, str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(got.numpy(), expected)
    assert got.is_contiguous() != channels_last
    weights = [
        w
        for _, _, w in pictures.shuffled(
            split, 8, seed=0, epoch=0, augment=None, rank=1, world_size=4
        )
    ]
    assert weights == [1.0, 1.0, 1.0, 4 / 3]  # two of the last batch's six, for one of four


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(padding_mode="symmetric"), "padding_mode: got 'symmetric'"),
        (lambda: RandomCrop(-1), "padding: got -1"),
        (lambda: RandomCrop(5)(make_images(), make_draw(6)), "padding: got 5; needed less"),
        (lambda: RandomHorizontalFlip(2.0), "p: got 2.0"),
        (lambda: Cutout(0), "size: got 0"),
        (
            lambda: Cutout(2, (1, 2))(make_images(), make_draw(6)),
            "fill: got 2 levels; needed 1 or 3",
        ),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
