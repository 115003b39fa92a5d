"""Pictures of one's own: folders and arrays become a `Dataset`, or one error says what to mend."""

import inspect
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coursekit import data, nn, optim
from coursekit.data import DataError, Split, from_arrays, from_folder, own
from coursekit.training import Trainer

COLORS = {"bird": (200, 30, 30), "cat": (30, 200, 30), "dog": (30, 30, 200)}


def paint(path, color, size=(12, 10), **options):
    """Write a picture of one color, size = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


def fill(folder, count=10, suffix=".png"):
    """Make a folder for each class, each picture a little brighter than the one before."""
    for name, color in COLORS.items():
        for k in range(count):
            paint(folder / name / f"{k:03d}{suffix}", tuple(c + k for c in color))
    return folder


def arrays(count=30, classes=3):
    """Pictures whose mean color tells the class, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 120, (count, 3, 6, 8))
    images[np.arange(count), labels] += 100
    return images.astype(np.uint8), labels


def refusal(function, *args, kind=ValueError, **options):
    with pytest.raises(kind) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- folders: what comes out ---------------------------------------------------------------------


def test_a_folder_for_each_class(tmp_path):
    ds = from_folder(fill(tmp_path / "pets"), size=(6, 8))
    assert ds.name == "pets" and ds.class_names == ("bird", "cat", "dog")
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [18, 6, 6]
    seen = []
    for split in (ds.train, ds.val, ds.test):
        assert split.images.shape[1:] == (3, 6, 8) and split.images.dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(split.labels), [len(split) // 3] * 3)
        for image, label in zip(split.images, split.labels, strict=True):
            assert (image == image[:, :1, :1]).all()  # one color, the class's, a little brighter
            (k,) = set(image[:, 0, 0].astype(int) - list(COLORS.values())[label])
            seen.append((label, k))
    assert sorted(seen) == [(label, k) for label in range(3) for k in range(10)]


def test_the_order_is_that_of_the_paths_and_the_seed_decides_what_is_held_out(tmp_path):
    fill(tmp_path)

    def order(split):  # brightness tells the file's number
        return (split.images.astype(int).sum(axis=(1, 2, 3)) + 1000 * split.labels).tolist()

    first, again, other = (from_folder(tmp_path, size=4, seed=s) for s in (0, 0, 1))
    for split in ("train", "val", "test"):
        assert order(getattr(first, split)) == order(getattr(again, split))
        for label in range(3):
            chosen = getattr(first, split)
            bright = chosen.images[chosen.labels == label].astype(int).sum(axis=(1, 2, 3))
            assert (np.diff(bright) > 0).all()
    assert order(first.val) != order(other.val) and order(first.test) != order(other.test)


def test_the_order_does_not_depend_on_that_of_the_file_system(tmp_path, monkeypatch):
    fill(tmp_path)
    expected = from_folder(tmp_path, size=4)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    got = from_folder(tmp_path, size=4)
    assert got.class_names == expected.class_names
    for split in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(got, split).images, getattr(expected, split).images)


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_train_val_and_test_folders(tmp_path, val):
    for part, count in (("train", 5), (val, 2), ("test", 3)):
        fill(tmp_path / part, count)
    ds = from_folder(tmp_path, size=4)
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [15, 6, 9]
    assert ds.test.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert ds.val.images[0, :, 0, 0].tolist() == [200, 30, 30]


def test_what_has_no_folder_is_held_out_of_train(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "val", 4)
    ds = from_folder(tmp_path, size=4, test_size=6)
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [24, 12, 6]
    assert len(from_folder(tmp_path, size=4, test_size=0).test) == 0
    said = refusal(from_folder, tmp_path, val_size=0.1)
    assert said == "val_size: got 0.1 along with val pictures; needed one or the other"


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "plane", "car"):
        for k in range(5):
            paint(tmp_path / name / f"{k}.png", (1, 2, 3))
    assert from_folder(tmp_path, size=4).class_names == ("car", "plane", "train")


def test_folders_in_a_class_and_links_belong_to_it(tmp_path):
    fill(tmp_path / "set", 5)
    for k in range(5):
        paint(tmp_path / "elsewhere" / "deep" / f"{k}.jpeg", (250, 250, 250))
    try:
        (tmp_path / "set" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("no links here")
    ds = from_folder(tmp_path / "set", size=4, val_size=0, test_size=0)
    assert np.bincount(ds.train.labels).tolist() == [5, 10, 5]


def test_hidden_files_and_others_are_skipped_and_counted_in_one_line(tmp_path):
    fill(tmp_path, 5)
    for name in (".DS_Store", "cat/.hidden.png", "cat/notes.txt", "dog/Thumbs.db", "dog/more.txt"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "loose.png").write_bytes(b"?")
    for folder in (".ipynb_checkpoints", "__MACOSX"):
        paint(tmp_path / folder / "copy.png", (1, 1, 1))
    with pytest.warns(UserWarning) as caught:
        ds = from_folder(tmp_path, size=4)
    assert ds.class_names == ("bird", "cat", "dog") and len(ds.train) == 9
    (warning,) = caught
    assert str(warning.message) == (
        f"{tmp_path}: skipped 4 hidden, 1 of another kind (.db), 2 of another kind (.txt), "
        "1 pictures outside the classes' folders"
    )
    assert warning.filename == __file__


# --- folders: every kind of picture --------------------------------------------------------------


def one(tmp_path, image, suffix=".png", *, size=(4, 4), grayscale=False, **options):
    """Read one picture back, through a whole data set."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
        image.save(tmp_path / name / f"x{suffix}", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = from_folder(tmp_path, size=size, grayscale=grayscale, val_size=0, test_size=0)
    return ds.train.images[0]


def half_and_half(mode, left, right):
    image = Image.new(mode, (8, 8), left)
    image.paste(right, (4, 0, 8, 8))
    return image


def palette():
    image = half_and_half("P", 0, 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    return image


def sixteen_bits():
    values = np.zeros((8, 8), np.uint16)
    values[:, :4], values[:, 4:] = 65535, 32768
    return Image.fromarray(values)


RED, BLUE, WHITE, BLACK, GRAY = (
    *([255, 0, 0], [0, 0, 255], [255, 255, 255]),
    *([0, 0, 0], [128, 128, 128]),
)
KINDS = {
    "RGB": (half_and_half("RGB", (255, 0, 0), (0, 0, 255)), {}, RED, BLUE),
    "gray": (half_and_half("L", 255, 128), {}, WHITE, GRAY),
    "1 bit": (half_and_half("1", 1, 0), {}, WHITE, BLACK),
    "palette": (palette(), {}, RED, BLUE),
    "palette, transparent": (palette(), {"transparency": 1}, RED, WHITE),
    "RGBA": (half_and_half("RGBA", (255, 0, 0, 255), (0, 0, 255, 0)), {}, RED, WHITE),
    "RGB with a transparent color": (
        half_and_half("RGB", (255, 0, 0), (0, 0, 255)),
        {"transparency": (0, 0, 255)},
        RED,
        WHITE,
    ),
    "gray, alpha": (half_and_half("LA", (0, 255), (0, 0)), {}, BLACK, WHITE),
    "16 bits": (sixteen_bits(), {}, WHITE, GRAY),
    "16 bits in a TIFF": (sixteen_bits(), {"suffix": ".tif"}, WHITE, GRAY),
    "CMYK": (
        half_and_half("CMYK", (0, 255, 255, 0), (255, 255, 0, 0)),
        {"suffix": ".tiff"},
        RED,
        BLUE,
    ),
    "animation": (
        palette(),
        {"suffix": ".gif", "save_all": True, "append_images": [Image.new("P", (8, 8), 1)]},
        RED,
        BLUE,
    ),
    "upper case": (half_and_half("RGB", (255, 0, 0), (0, 0, 255)), {"suffix": ".PNG"}, RED, BLUE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb(tmp_path, kind):
    image, options, left, right = KINDS[kind]
    got = one(tmp_path, image, **options)
    assert got.shape == (3, 4, 4)
    assert got[:, 1, 0].tolist() == left and got[:, 1, 3].tolist() == right


@pytest.mark.parametrize("kind", ["RGB", "palette", "RGBA", "16 bits", "gray"])
def test_grayscale_is_one_channel_of_the_same_brightness(tmp_path, kind):
    image, options, left, right = KINDS[kind]
    got = one(tmp_path, image, grayscale=True, **options)
    assert got.shape == (1, 4, 4)
    for value, color in ((got[0, 1, 0], left), (got[0, 1, 3], right)):
        assert int(value) == pytest.approx(np.dot(color, [0.299, 0.587, 0.114]), abs=1)


def test_cmyk_as_jpeg(tmp_path):
    got = one(tmp_path, KINDS["CMYK"][0].resize((64, 64)), ".jpg", quality=95).astype(int)
    assert abs(got[:, 1, 0] - RED).max() < 12 and abs(got[:, 1, 3] - BLUE).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation, suffix):
    """A red quarter lies at the top left once the camera's position is undone."""
    back = {
        **{2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"},
        **{6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"},
    }
    upright = Image.new("RGB", (64, 64), "blue")
    upright.paste((255, 0, 0), (0, 0, 32, 32))
    if orientation in back:
        upright = upright.transpose(Image.Transpose[back[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = one(tmp_path, upright, suffix, exif=exif).astype(int)
    assert abs(got[:, 0, 0] - RED).max() < 12
    for row, column in ((0, 3), (3, 0), (3, 3)):
        assert abs(got[:, row, column] - BLUE).max() < 12


def test_the_middle_is_cut_out_in_the_wanted_proportions(tmp_path):
    wide = Image.new("RGB", (40, 10), "red")
    wide.paste((0, 0, 255), (10, 0, 30, 10))  # exactly the middle that (5, 10) wants
    blue = np.array(BLUE).reshape(3, 1, 1)
    got = one(tmp_path, wide, size=(5, 10)).astype(int)
    assert (got[:, :, 1:-1] == blue).all() and abs(got - blue).max() < 40  # red meets the edge
    got = one(tmp_path, wide.transpose(Image.Transpose.ROTATE_90), size=(10, 5)).astype(int)
    assert (got[:, 1:-1] == blue).all() and abs(got - blue).max() < 40
    assert (one(tmp_path, wide, size=(5, 4)) == blue).all()
    assert abs(one(tmp_path, wide, size=(5, 20))[:, :, 0] - np.array(RED)[:, None]).max() == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_resizing_averages_and_does_not_pick(tmp_path, suffix):
    """A fine checkerboard becomes gray; every eighth pixel of it would be black."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    got = one(tmp_path, Image.fromarray(board), suffix, size=(8, 8)).astype(int)
    assert abs(got - 127).max() < 4


def test_resizing_is_torchvisions(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (50, 50, 3), dtype=np.uint8))
    got = one(tmp_path, picture, size=(16, 16))
    expected = np.asarray(transforms.Resize((16, 16))(picture)).transpose(2, 0, 1)
    np.testing.assert_array_equal(got, expected)


def test_small_pictures_are_enlarged(tmp_path):
    assert one(tmp_path, Image.new("RGB", (1, 1), "red"), size=(5, 7)).shape == (3, 5, 7)


# --- folders: what is refused --------------------------------------------------------------------


def test_broken_pictures_are_named_in_one_error(tmp_path):
    fill(tmp_path, 5)
    whole = (tmp_path / "cat" / "000.png").read_bytes()
    for k, content in enumerate((b"", b"no picture", whole[: len(whole) // 2])):
        (tmp_path / "cat" / f"00{k}.png").write_bytes(content)
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found 3 of 15 pictures that cannot be read: " in said
    assert all(f"cat/00{k}.png (" in said for k in range(3)) and "cat/003" not in said


def test_many_broken_pictures_are_counted(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(20):
            (tmp_path / name / f"{k}.jpg").write_bytes(b"?")
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found 40 of 40" in said and said.count(".jpg") == 5 and "and 35 more" in said


def test_a_picture_of_32_bits_is_named(tmp_path):
    fill(tmp_path, 5)
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "cat" / "x.tif")
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "cat/x.tif (its pixels have 32 bits and no known range; needed 8 or 16 bits)" in said


def test_a_folder_that_is_not_there_or_is_a_file(tmp_path):
    assert "found nothing at" in refusal(from_folder, tmp_path / "no", kind=DataError)
    (tmp_path / "file").touch()
    said = refusal(from_folder, tmp_path / "file", kind=DataError)
    assert "found a file at" in said and "needed a folder of pictures for each class" in said


def test_no_class_or_one(tmp_path):
    assert "found no folder; needed" in refusal(from_folder, tmp_path, kind=DataError)
    for k in range(3):
        paint(tmp_path / f"{k}.png", (1, 1, 1))
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found no folder, and 3 pictures in no folder; needed" in said
    fill(tmp_path / "pets", 3)
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found one class, 'pets' (it holds folders: 'bird', 'cat', 'dog')" in said


def test_an_empty_class(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "fish").mkdir()
    (tmp_path / "fish" / "a.heic").touch()
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found no pictures of 'fish' (bird: 3, cat: 3, dog: 3, fish: 0)" in said
    assert ".jpg" in said


def test_splits_with_other_classes(tmp_path):
    fill(tmp_path / "train", 3)
    fill(tmp_path / "test", 3)
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cats")
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert str(tmp_path / "test") in said
    assert "found no folder for 'cat' and 'cats', which train does not have" in said


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("training_set", "test_set"), ("TRAIN", "testing")]
)
def test_folders_of_splits_by_other_names(tmp_path, train, test):
    fill(tmp_path / train, 5)
    fill(tmp_path / test, 3)
    ds = from_folder(tmp_path, size=4, val_size=0)
    assert ds.class_names == ("bird", "cat", "dog")
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [15, 0, 9]


def test_folders_of_splits_without_train_are_not_classes(tmp_path):
    fill(tmp_path / "val", 3)
    fill(tmp_path / "test", 3)
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert "found 'val', 'test' without train; needed train as well" in said


def test_a_share_of_less_than_one_picture_is_refused():
    said = refusal(from_arrays, *arrays(), val_size=0.001)
    assert "val_size: got 0.001, which is less than one of" in said


def test_another_folder_beside_train(tmp_path):
    fill(tmp_path / "train", 3)
    fill(tmp_path / "extra", 3)
    assert "found 'extra' beside 'train'; needed" in refusal(from_folder, tmp_path, kind=DataError)


def test_val_under_two_names(tmp_path):
    for part in ("train", "val", "valid"):
        fill(tmp_path / part, 3)
    assert "found 'val', 'valid'; needed one" in refusal(from_folder, tmp_path, kind=DataError)


def test_too_few_pictures_for_the_splits(tmp_path):
    fill(tmp_path, 10)
    for k in range(1, 10):
        (tmp_path / "cat" / f"00{k}.png").unlink()
    said = refusal(from_folder, tmp_path)
    assert " gets none of 'cat'; needed" in said and "(bird: 10, cat: 1, dog: 10)" in said
    ds = from_folder(tmp_path, size=4, val_size=0, test_size=0)
    assert np.bincount(ds.train.labels).tolist() == [10, 1, 10]


def test_nothing_is_read_before_the_sizes_are_known_to_fit(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "cat" / "000.png").write_bytes(b"broken")
    assert "val_size and test_size" in refusal(from_folder, tmp_path, val_size=5, test_size=4)


@pytest.mark.parametrize("size", [0, (4,), (4, 0), 4.0, "4", (4, True), True])
def test_a_size_that_does_not_fit(tmp_path, size):
    assert "size: got" in refusal(from_folder, fill(tmp_path, 3), size=size)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    fill(tmp_path, 3)
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    said = refusal(from_folder, tmp_path, kind=DataError)
    assert f"{tmp_path / 'cat'}: cannot be read (Permission denied)" in said


# --- arrays --------------------------------------------------------------------------------------


def test_arrays_are_split_in_proportion():
    images, labels = arrays(60)
    ds = from_arrays(images, labels, name="mine")
    assert ds.name == "mine" and ds.class_names == ("0", "1", "2")
    pictures = [s.images for s in (ds.train, ds.val, ds.test)]
    assert [len(p) for p in pictures] == [36, 12, 12]
    rows = {p.tobytes(): k for k, p in enumerate(images)}
    places = [[rows[p.tobytes()] for p in part] for part in pictures]
    assert sorted(place for part in places for place in part) == list(range(60))
    for split, place in zip((ds.train, ds.val, ds.test), places, strict=True):
        assert place == sorted(place)
        np.testing.assert_array_equal(split.labels, labels[place])
        assert len(set(np.bincount(split.labels))) == 1


def test_the_test_split_depends_on_seed_and_its_size_alone():
    images, labels = arrays(60)
    tests = [
        from_arrays(images, labels, val_size=v, test_size=t, seed=s).test.images.tobytes()
        for v, t, s in ((0.2, 12, 0), (6, 12, 0), (0, 0.2, 0), (0.2, 12, 1))
    ]
    assert tests[0] == tests[1] == tests[2] != tests[3]


def test_splits_of_ones_own():
    images, labels = arrays(60)
    pair = (images[:9], labels[:9])
    ds = from_arrays(images, labels, val=pair, test=pair)
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [60, 9, 9]
    np.testing.assert_array_equal(ds.train.images, images)
    ds = from_arrays(images, labels, test=pair)
    assert [len(s) for s in (ds.train, ds.val, ds.test)] == [48, 12, 9]


def test_names_as_labels_are_sorted():
    images, labels = arrays(30)
    names = np.array(["dog", "cat", "bird"])[labels]
    for given in (names, names.tolist(), names.astype(object)):
        ds = from_arrays(images, given, val_size=0, test_size=(0))
        assert ds.class_names == ("bird", "cat", "dog")
        np.testing.assert_array_equal(ds.train.labels, 2 - labels)
    order = ("dog", "cat", "bird")
    ds = from_arrays(images, names, class_names=order, val=(images, names))
    assert ds.class_names == order
    np.testing.assert_array_equal(ds.val.labels, labels)


def test_pandas_labels_and_torch_pictures():
    pd, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    images, labels = arrays(30)
    names = pd.Series(np.array(["a", "b", "c"])[labels])
    ds = from_arrays(torch.from_numpy(images), names, val_size=0, test_size=0)
    np.testing.assert_array_equal(ds.train.images, images)
    np.testing.assert_array_equal(ds.train.labels, labels)


REMEDIED = {
    "0 to 1": lambda x: x.astype(np.float32) / 255,
    "-1 to 1": lambda x: x / 127.5 - 1,
    "0 to 255": lambda x: x.astype(np.float64),
    "whole numbers": lambda x: x.astype(np.int64),
    "16 bits": lambda x: x.astype(np.uint16) * 257,
}


@pytest.mark.parametrize("kind", REMEDIED)
def test_other_types_are_refused_with_what_repairs_them(kind):
    images, labels = arrays()
    given = REMEDIED[kind](images)
    said = refusal(from_arrays, given, labels)
    assert f"images: got {given.dtype} (30, 3, 6, 8); needed uint8" in said
    code = said.split(": ")[-1].split(", if")[0]
    np.testing.assert_array_equal(eval(code, {"images": given, "np": np}), images)


@pytest.mark.parametrize("values", [np.nan, 1e9])
def test_a_range_that_nobody_knows_gets_no_remedy(values):
    images, labels = arrays()
    said = refusal(from_arrays, np.full(images.shape, values), labels)
    assert said.endswith("needed uint8, 0 black and 255 full")


def test_channels_last_are_refused_with_the_transpose():
    images, labels = arrays()
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    said = refusal(from_arrays, last, labels)
    assert "(30, 6, 8, 3)" in said and "images.transpose(0, 3, 1, 2)" in said
    said = refusal(from_arrays, images, labels, test=(last, labels))
    assert said.startswith("test: images: got uint8") and "images.transpose(0, 3, 1, 2)" in said


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(30) % 3 + 1, "labels: found 1, 2, 3; needed 0, 1, 2, ... without a gap: np.uni"),
        (np.arange(30) % 3 - 1, "labels: found -1, 0, 1; needed 0, 1, 2"),
        (np.arange(30) % 3 * 10**12, "labels: found 0, 1000000000000, 2000000000000"),
        (np.zeros(30, int), "labels: found one class, '0'; needed at least 2"),
        (np.arange(29) % 3, r"labels: got int64 (29,); needed whole numbers of shape (30,)"),
        (np.arange(30) % 2 == 0, "labels: got bool (30,); needed whole numbers or names"),
        (np.arange(30) % 3 + 0.5, "labels: got float64 (30,); needed whole numbers or names"),
        (["a", None] * 15, "labels: got object (30,); needed whole numbers or names"),
    ],
)
def test_labels_that_do_not_fit(labels, said):
    assert refusal(from_arrays, arrays()[0], labels).startswith(said)


REPAIRED = [
    (lambda y: y.astype(float), "labels.astype(int)"),
    (lambda y: y[:, None], "labels.ravel()"),
    (lambda y: np.eye(3)[y], "labels.argmax(axis=1)"),
    (lambda y: np.array([b"a", b"b", b"c"])[y], "labels.astype(str)"),
    (lambda y: y + 5, "np.unique(labels, return_inverse=True)[1]"),
]


@pytest.mark.parametrize(("make", "code"), REPAIRED)
def test_labels_are_refused_with_what_repairs_them(make, code):
    images, labels = arrays()
    given = make(labels)
    assert f": {code}" in refusal(from_arrays, images, given)
    repaired = eval(code, {"labels": given, "np": np})
    ds = from_arrays(images, repaired, val_size=0, test_size=0)
    np.testing.assert_array_equal(ds.train.labels, labels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"class_names": "abc"}, "class_names: got 'abc'"),
        ({"class_names": ["a", "a", "b"]}, "class_names: got ['a', 'a', 'b']"),
        ({"class_names": ["a", "b"]}, "labels: found label 2 at position 2"),
        ({"class_names": ["a"]}, "labels: found one class, 'a'"),
        ({"class_names": list("abcd")}, "labels: found no picture of 'd'; needed some of every"),
        ({"val_size": 1.0}, "val_size: got 1.0; needed a number of pictures, or a share below 1"),
        ({"test_size": -1}, "test_size: got -1"),
        ({"test_size": "6"}, "test_size: got '6'"),
        ({"val_size": True}, "val_size: got True"),
        ({"val_size": 15, "test_size": 15}, "val_size and test_size: got 15 for val, 15 for test"),
        ({"val_size": 2}, "val_size and test_size: with 2 for val, 6 for test of 30 pictures, val"),
        ({"seed": -1}, "seed: got -1"),
        ({"val": arrays()[0]}, "val: got ndarray; needed a pair (images, labels)"),
        ({"val": arrays(), "val_size": 3}, "val_size: got 3 along with val pictures"),
        ({"val": (arrays()[0], ["x"] * 30)}, "val: labels: found 'x'; needed one of '0', '1', '2'"),
        ({"test": (arrays()[0], arrays()[1] + 1)}, "test: labels: found label 3 at position 2"),
        ({"test": (arrays()[0][:, :1], arrays()[1])}, "test: got images of (1, 6, 8); needed (3,"),
    ],
)
def test_options_that_do_not_fit(options, said):
    assert refusal(from_arrays, *arrays(), **options).startswith(said)


def test_no_pictures_and_pictures_of_different_shapes():
    images, labels = arrays()
    assert "images: got no picture" in refusal(from_arrays, images[:0], labels[:0])
    several = [images[0], images[1, :, :3]]
    assert "pictures of different shapes" in refusal(from_arrays, several, [0, 1])


# --- with the trainers ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["folder", "folder, gray", "arrays"])
@pytest.mark.parametrize("side", ["numpy", "torch"])
def test_both_trainers_take_it(tmp_path, make, side):
    if make == "arrays":
        ds = from_arrays(*arrays(60))
    else:
        ds = from_folder(fill(tmp_path, 20), size=(6, 8), grayscale="gray" in make)
    channels = 1 if "gray" in make else 3
    options = {"batch_size": 8, "progress": False}
    if side == "numpy":
        net = nn.mlp([channels * 48, 8, 3], seed=0)
        optimizer = optim.SGD(net.parameters(), lr=0.05)
        criterion = nn.CrossEntropyLoss()
        trainer = Trainer(net, ds, optimizer=optimizer, criterion=criterion, **options)
    else:
        torch = pytest.importorskip("torch")
        from coursekit import port

        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * 48, 3))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        criterion = torch.nn.CrossEntropyLoss()
        trainer = port.Trainer(net, ds, optimizer=optimizer, criterion=criterion, **options)
    history = trainer.fit(1)
    assert len(history.epochs) == 1 and np.isfinite(history.epochs[0]["val_loss"])
    predicted = trainer.predict(ds.test)
    assert predicted.shape == (len(ds.test),) and set(predicted) <= {0, 1, 2}
    assert trainer.evaluate(ds.test)["accuracy"] > 0.5 or "gray" in make


def test_it_is_a_dataset_as_load_gives_one(tmp_path):
    ds = from_folder(fill(tmp_path, 5), size=4)
    assert isinstance(ds, data.Dataset) and isinstance(ds.train, Split)
    assert not ds.train.images.flags.writeable and ds.train.labels.dtype == np.int64
    x, y = next(ds.batches(ds.train, 4, rng=np.random.default_rng(0)))
    assert x.shape == (4, 3, 4, 4) and x.dtype == np.float32 and y.shape == (4,)


# --- docs/own_data.md ----------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_data.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("k", range(len(BLOCKS)))
def test_the_pages_examples_run_as_written(tmp_path, monkeypatch, capsys, k):
    if "import torch" in BLOCKS[k]:
        pytest.importorskip("torch")
    fill(tmp_path / "pets", 10, ".jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    exec(compile(BLOCKS[k], f"{PAGE.name}, example {k + 1}", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out.startswith(("Dataset pets: 18 train", "Dataset own: ", "{'loss"))
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_the_page_shows_each_function_and_its_names_are_real():
    text = PAGE.read_text(encoding="utf-8")
    assert len(BLOCKS) == 3
    for name in ("from_folder", "from_arrays"):
        assert any(f"data.{name}(" in block for block in BLOCKS)
        options = inspect.signature(getattr(data, name)).parameters
        told = re.findall(rf"data\.{name}\((.*?)\)", text)
        assert {o for call in told for o in re.findall(r"(\w+)=", call)} <= set(options)
    assert {"size", "grayscale", "val_size", "test_size", "seed"} <= set(
        inspect.signature(from_folder).parameters
    )
    for name in re.findall(r"`data\.(\w+)", text):
        assert hasattr(data, name)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links and all((PAGE.parent / link).is_file() for link in links)
    kinds = {".jpg", ".png", ".webp", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"}
    assert kinds == set(own.ENDINGS) - {".jpeg", ".tif"}
