"""Reading MNIST's idx files, whole and broken, on a small set made in the same format."""

import gzip
import struct

import numpy as np
import pytest

from coursekit import data as cdata
from coursekit.data import DataError, mnist


def idx(array):
    """Write an array of bytes in the idx format."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_set(folder, zipped, side=28):
    """Write four idx files: 60 train and 20 test pictures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 60), ("t10k", 20)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, side, side))
        arrays[f"{part}-labels-idx1-ubyte"] = rng.permutation(np.arange(count) % 10)
    for name, array in arrays.items():
        content = idx(array)
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return arrays


@pytest.fixture(autouse=True)
def no_network_no_cache(tmp_path, monkeypatch):
    """Keep every test on its own files."""

    def refuse(remote, folder):
        raise DataError(f"{remote.name}: no network.")

    monkeypatch.setattr(mnist, "fetch", refuse)
    monkeypatch.setattr(mnist, "_warn_unless_published", lambda *_: None)
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", ["", "MNIST/raw", "raw"])
def test_both_forms_in_each_layout(tmp_path, zipped, inside):
    arrays = write_set(tmp_path / "shelf" / inside, zipped)
    data = cdata.load_mnist(tmp_path / "shelf", val_size=20)
    assert (data.name, len(data.train), len(data.val), len(data.test)) == ("mnist", 40, 20, 20)
    assert data.train.images.shape == (40, 1, 28, 28) and data.class_names[3] == "3"
    np.testing.assert_array_equal(data.test.images[:, 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(data.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert set(np.bincount(data.train.labels)) == {4} and set(np.bincount(data.val.labels)) == {2}
    stored = {
        image.astype(np.uint8).tobytes() + bytes([label])
        for image, label in zip(
            arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"], strict=True
        )
    }
    for split in (data.train, data.val):
        for image, label in zip(split.images, split.labels, strict=True):
            assert image.tobytes() + bytes([label]) in stored


def test_the_environments_folder_then_the_cache_then_the_net(tmp_path, monkeypatch):
    (tmp_path / "cifar only").mkdir()
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "cifar only"))
    with pytest.raises(DataError, match=r"no network\. MNIST has no bundled twin"):
        cdata.load_mnist(val_size=20)
    write_set(tmp_path / "cache" / "MNIST" / "raw", zipped=True)
    assert len(cdata.load_mnist(val_size=20).train) == 40
    monkeypatch.setenv("COURSEKIT_DATA", "bundled")
    assert len(cdata.load_mnist(val_size=20).train) == 40


def test_only_the_missing_files_are_fetched_and_from_both_mirrors(tmp_path, monkeypatch):
    asked, folder = [], tmp_path / "cache" / "MNIST" / "raw"
    write_set(folder, zipped=True)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(mnist, "fetch", lambda remote, folder: asked.append(remote))
    mnist.from_cache_or_net()
    assert [remote.name for remote in asked] == ["t10k-labels-idx1-ubyte.gz"]
    assert len(asked[0].urls) == 2
    assert all(url.endswith("/mnist/t10k-labels-idx1-ubyte.gz") for url in asked[0].urls)


def cut(content):
    return content[:-5]


@pytest.mark.parametrize(
    ("name", "damage", "found"),
    [
        ("train-images-idx3-ubyte", cut, "found 47,035 bytes of data; needed 47,040"),
        ("train-labels-idx1-ubyte", lambda c: b"<html>", "begins with 3c68746d; needed 00000801"),
        ("t10k-images-idx3-ubyte", lambda c: b"", "begins with nothing; needed 00000803"),
        ("t10k-labels-idx1-ubyte", lambda c: c[:-1] + b"\x0a", "found label 10 at position 19"),
        ("t10k-labels-idx1-ubyte", lambda c: idx(np.zeros(19)), r"\(20, 28, 28\) beside 19 labels"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, damage, found):
    folder = tmp_path / "shelf"
    write_set(folder, zipped=False)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    stem = name.split("-")[0]
    with pytest.raises(DataError, match=f"{stem}-.*ubyte: .*{found}"):
        cdata.load_mnist(folder, val_size=20)


@pytest.mark.parametrize("damage", [cut, lambda c: c[:60] + b"?" + c[61:], lambda c: b"plain"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    write_set(tmp_path / "shelf", zipped=True)
    path = tmp_path / "shelf" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: truncated or damaged"):
        cdata.load_mnist(tmp_path / "shelf", val_size=20)


def test_a_missing_file_another_size_and_a_wrong_folder_are_named(tmp_path):
    write_set(tmp_path / "shelf", zipped=True)
    (tmp_path / "shelf" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte: found no such file, nor"):
        cdata.load_mnist(tmp_path / "shelf", val_size=20)
    write_set(tmp_path / "large", zipped=True, side=32)
    with pytest.raises(DataError, match=r"found images \(60, 32, 32\) .* needed \(60, 28, 28\)"):
        cdata.load_mnist(tmp_path / "large", val_size=20)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"^source: found nothing in .*empty; needed the idx files"):
        cdata.load_mnist(tmp_path / "empty")


def test_sound_files_that_are_not_the_published_ones_are_mentioned(tmp_path, monkeypatch):
    monkeypatch.undo()
    write_set(tmp_path / "shelf", zipped=True)
    with pytest.warns(UserWarning, match=r"not the published MNIST file \(content md5") as caught:
        cdata.load_mnist(tmp_path / "shelf", val_size=20)
    assert len(caught) == 4 and caught[0].filename == __file__
