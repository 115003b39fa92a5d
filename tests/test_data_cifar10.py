"""Reading CIFAR-10 from files, whole and broken, on a small set made in the same format."""

import errno
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from coursekit import data as cdata
from coursekit.data import DataError, bundled, cifar10, files, loading

NAMES = [*cifar10.TRAIN_MD5, *cifar10.TEST_MD5]


def batch_file(images, labels):
    """Pickle as Python 2 and NumPy 1 did, which is how the real batch files are written."""
    numbers = b"".join(b"J" + struct.pack("<i", n) for n in labels)
    shape = b"J" + struct.pack("<i", len(images)) + b"M" + struct.pack("<H", images.shape[1])
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", images.size) + images.tobytes() + b"tb"
    )
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def write_set(folder, rows=40, width=3072):
    """Write six batch files of random pictures; return the md5 of each."""
    folder.mkdir(parents=True)
    rng, md5 = np.random.default_rng(0), {}
    for name in NAMES:
        images = np.frombuffer(rng.bytes(rows * width), np.uint8).reshape(rows, width)
        content = batch_file(images, rng.permutation(np.arange(rows) % 10))
        (folder / name).write_bytes(content)
        md5[name] = hashlib.md5(content).hexdigest()
    (folder / cifar10.META).write_bytes(b"names of the classes")
    return md5


def trust(monkeypatch, folder):
    """Take the files in `folder` for the published ones."""
    for table in ("TRAIN_MD5", "TEST_MD5"):
        md5 = {name: files.md5_of(folder / name) for name in getattr(cifar10, table)}
        monkeypatch.setattr(cifar10, table, md5)


def pack(folder, archive):
    """Pack a folder of batch files as the published archive is."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=cifar10.FOLDER)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Make a folder with 5 x 40 train and 40 test pictures that counts as the real set."""
    folder = tmp_path / "shelf" / cifar10.FOLDER
    write_set(folder)
    trust(monkeypatch, folder)
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "_failed", None)
    monkeypatch.setattr(loading, "_told", set())
    return folder


# ---------------------------------------------------------------- reading


def test_every_picture_arrives_once_with_its_label(small):
    data = cdata.load(small, val_size=30, seed=1)
    assert (data.name, len(data.train), len(data.val), len(data.test)) == ("cifar10", 170, 30, 40)
    assert data.train.images.shape == (170, 3, 32, 32)
    stored = [pickle.loads((small / n).read_bytes(), encoding="bytes") for n in NAMES]

    def pairs(images, labels):
        return {i.tobytes() + bytes([label]) for i, label in zip(images, labels, strict=True)}

    expected = [pairs(b[b"data"], b[b"labels"]) for b in stored]
    train, val = (pairs(s.images, s.labels) for s in (data.train, data.val))
    assert train | val == set().union(*expected[:5]) and not train & val
    assert pairs(data.test.images, data.test.labels) == expected[5]


def test_train_and_val_are_neighbours_in_one_array(small):
    data = cdata.load(small, val_size=30)
    start = data.train.images.__array_interface__["data"][0]
    assert data.val.images.__array_interface__["data"][0] == start + data.train.images.nbytes
    assert data.train.images.flags.c_contiguous and data.val.images.flags.c_contiguous


def test_train_size_takes_fewer_in_proportion_and_keeps_val(small):
    whole = cdata.load(small, val_size=30)
    part = cdata.load(small, val_size=30, train_size=51)
    assert len(part.train) == 51
    assert set(np.bincount(part.train.labels, minlength=10)) <= {5, 6}
    np.testing.assert_array_equal(part.val.images, whole.val.images)
    known = {image.tobytes() for image in whole.train.images}
    assert all(image.tobytes() in known for image in part.train.images)


def test_the_seed_decides_and_repeats(small):
    first, again, other = (cdata.load(small, val_size=30, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.val.images, again.val.images)
    assert not np.array_equal(first.val.images, other.val.images)


@pytest.mark.parametrize("kind", ["folder", "parent", "archive in folder", "archive itself"])
def test_all_the_places_it_may_lie(small, tmp_path, monkeypatch, kind):
    expected = cdata.load(small, val_size=30)
    place = {"folder": small, "parent": small.parent}.get(kind)
    if place is None:
        shelf = tmp_path / "packed"
        shelf.mkdir()
        archive = shelf / cifar10.ARCHIVE.name
        pack(small, archive)
        monkeypatch.setattr(
            cifar10, "ARCHIVE", cifar10.Remote(archive.name, 0, files.md5_of(archive), ())
        )
        place = archive if kind == "archive itself" else shelf
    data = cdata.load(str(place), val_size=30)
    np.testing.assert_array_equal(data.train.images, expected.train.images)
    np.testing.assert_array_equal(data.test.labels, expected.test.labels)
    if place != small and place != small.parent:
        assert [p.name for p in shelf.iterdir()] == [archive.name]  # written to the cache only
        assert [p.name for p in (tmp_path / "cache").iterdir()] == [cifar10.FOLDER]


MEMORY = """
import sys
from pathlib import Path
from coursekit.data import cifar10, files, loading

def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

folder = Path(sys.argv[1])
for table in (cifar10.TRAIN_MD5, cifar10.TEST_MD5):
    table.update({name: files.md5_of(folder / name) for name in table})
before = kilobytes("VmRSS")
data = loading.load(folder)
data.mean, next(data.batches(data.train, 128))
assert len(data.train) == 45000
print((kilobytes("VmHWM") - before) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_full_size_set_adds_less_than_250_MB_at_its_peak(tmp_path):
    write_set(tmp_path / "full", rows=10_000)
    root = Path(cdata.__file__).parents[2]
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "full")]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    assert float(output) < 250


# ---------------------------------------------------------------- broken files


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
@pytest.mark.parametrize("damage", [alter, truncate, Path.unlink])
def test_a_damaged_file_is_named_with_what_was_found_and_needed(small, name, damage):
    needed = files.md5_of(small / name)
    damage(small / name)
    with pytest.raises(DataError) as caught:
        cdata.load(small, val_size=30)
    message = str(caught.value)
    assert str(small / name) in message and needed in message and "fetch the set again" in message
    if (small / name).exists():
        assert files.md5_of(small / name) in message
        assert f"{(small / name).stat().st_size:,} bytes" in message


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (np.zeros((4, 3072), np.uint8), [0, 1, 10, 2], "found label 10 at position 2"),
        (np.zeros((4, 3072), np.uint8), [0, 1, -1, 2], "found label -1 at position 2"),
        (np.zeros((4, 3071), np.uint8), [0, 1, 2, 3], r"found uint8 \(4, 3071\)"),
        (np.zeros((4, 3072), np.uint8), [0, 1], r"found uint8 \(4, 3072\) .* \(2,\)"),
    ],
)
def test_another_content_is_named(small, monkeypatch, images, labels, found):
    (small / "data_batch_2").write_bytes(batch_file(images, labels))
    trust(monkeypatch, small)
    with pytest.raises(DataError, match=f"data_batch_2: .*{found}"):
        cdata.load(small, val_size=30)


@pytest.mark.parametrize("content", [[1, 2], {b"data": 3, b"labels": [1]}, {b"images": 0}])
def test_a_pickle_of_something_else_is_named(small, monkeypatch, content):
    (small / "data_batch_1").write_bytes(pickle.dumps(content, 3))
    trust(monkeypatch, small)
    with pytest.raises(DataError, match=r"data_batch_1: found another content .* needed uint8"):
        cdata.load(small, val_size=30)


class Attack:
    """Unpickled by the ordinary means, this would make a folder."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "content",
    [
        lambda marker: Attack(os.mkdir, str(marker)),
        lambda marker: Attack(eval, f"__import__('os').mkdir({str(marker)!r})"),
        lambda marker: Attack(getattr, np.ndarray, "tofile"),
        lambda marker: np.array([Attack(os.mkdir, str(marker))], object),
        lambda marker: np.float64,
        lambda marker: np.ma.zeros(3),
    ],
)
def test_a_pickle_can_run_nothing(tmp_path, content):
    marker = tmp_path / "attacked"
    (tmp_path / "batch").write_bytes(pickle.dumps(content(marker), 3))
    with pytest.raises(DataError, match=r"batch: found a pickle .*\(it asks for"):
        files.read_pickle(tmp_path / "batch")
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_of_this_numpy_can_be_read(tmp_path, protocol):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    (tmp_path / "batch").write_bytes(pickle.dumps({"a": array, "b": [1, "x"]}, protocol))
    content = files.read_pickle(tmp_path / "batch")
    np.testing.assert_array_equal(content["a"], array)
    assert content["b"] == [1, "x"]


@pytest.mark.parametrize("content", [b"", b"\x80\x02}(U\x04da", b"<html>not found</html>"])
def test_a_damaged_pickle_is_one_clear_error(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="batch: found a pickle that is damaged"):
        files.read_pickle(tmp_path / "batch")


# ---------------------------------------------------------------- unpacking


def archive_of(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_a_damaged_archive_leaves_nothing(small, tmp_path, monkeypatch):
    shelf = tmp_path / "packed"
    shelf.mkdir()
    pack(small, shelf / cifar10.ARCHIVE.name)
    truncate(shelf / cifar10.ARCHIVE.name)
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: truncated or altered"):
        cdata.load(shelf, val_size=30)
    md5 = files.md5_of(shelf / cifar10.ARCHIVE.name)  # even when the md5 is right
    monkeypatch.setattr(cifar10, "ARCHIVE", cifar10.Remote(cifar10.ARCHIVE.name, 0, md5, ()))
    with pytest.raises(DataError, match="found a damaged or different archive"):
        cdata.load(shelf, val_size=30)
    assert list((tmp_path / "cache").iterdir()) == []


def test_unpacking_takes_the_named_files_and_nothing_else(tmp_path):
    content = {"set/a": b"A", "../outside": b"X", "set/more": b"X", "set/b": b"B"}
    archive_of(tmp_path / "x.tar.gz", content)
    target = files.unpack(tmp_path / "x.tar.gz", ["set/a", "set/b"], tmp_path / "deep" / "set")
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {"a": b"A", "b": b"B"}
    assert not (tmp_path / "outside").exists() and not (tmp_path / "deep" / "outside").exists()
    with pytest.raises(DataError, match=r"found a damaged or different archive .*set/c"):
        files.unpack(tmp_path / "x.tar.gz", ["set/a", "set/c"], tmp_path / "deep" / "other")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["set"]


def test_a_full_disk_while_unpacking_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive_of(tmp_path / "x.tar.gz", {"set/a": b"A"})
    monkeypatch.setattr(files.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"the disk is full: found .* MB free; needed"):
        files.unpack(tmp_path / "x.tar.gz", ["set/a"], tmp_path / "deep" / "set")
    assert list((tmp_path / "deep").iterdir()) == []


# ---------------------------------------------------------------- which data: load()


def test_the_environment_chooses_and_the_argument_wins(small, monkeypatch):
    monkeypatch.setenv("COURSEKIT_DATA", str(small.parent))
    assert cdata.load(val_size=30).name == "cifar10"
    monkeypatch.setenv("COURSEKIT_DATA", "bundled")
    assert cdata.load(small, val_size=30).name == "cifar10"


def test_a_relative_folder_is_looked_up_from_here_and_shown_in_full(small, monkeypatch):
    monkeypatch.chdir(small.parent.parent)
    assert cdata.load("shelf", val_size=30).name == "cifar10"
    monkeypatch.setenv("COURSEKIT_DATA", "../elsewhere")
    with pytest.raises(DataError) as caught:
        cdata.load()
    message = str(caught.value)
    assert "COURSEKIT_DATA: got '../elsewhere'" in message
    assert str(Path("../elsewhere").absolute()) in message and "bundled" in message


def test_a_wrong_folder_shows_what_is_in_it(small, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"^source: found nothing in .*other; needed cifar-10-ba"):
        cdata.load(tmp_path / "other")
    for name in "abcdefg":
        (tmp_path / "other" / name).touch()
    with pytest.raises(DataError, match="found a, b, c, d, e and 2 more in"):
        cdata.load(tmp_path / "other")


def fake_fetch(small, calls, err=None):
    def fetch(remote, folder):
        calls.append(remote.name)
        if err:
            raise DataError(err)
        folder.mkdir(parents=True, exist_ok=True)
        pack(small, folder / remote.name)
        return folder / remote.name

    return fetch


@pytest.mark.parametrize("source", ["auto", "cifar10"])
def test_a_download_is_unpacked_once_and_the_archive_removed(
    small, tmp_path, monkeypatch, source, capsys
):
    calls = []
    monkeypatch.setattr(cifar10, "fetch", fake_fetch(small, calls))
    monkeypatch.setattr(cifar10, "check_md5", lambda *_, **__: None)
    for _ in "12":
        data = cdata.load(source, val_size=30)
        assert data.name == "cifar10" and len(data.train) == 170
    assert calls == [cifar10.ARCHIVE.name]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [cifar10.FOLDER]
    assert capsys.readouterr().out == ""


def test_torchvision_finds_what_was_unpacked(small, tmp_path, monkeypatch):
    assert cdata.cifar10_root(small) == cdata.cifar10_root(small.parent) == small.parent
    archive = tmp_path / "packed" / cifar10.ARCHIVE.name
    archive.parent.mkdir()
    pack(small, archive)
    monkeypatch.setattr(cifar10, "check_md5", lambda *_, **__: None)
    monkeypatch.setenv("COURSEKIT_DATA", str(archive.parent))
    assert cdata.cifar10_root() == tmp_path / "cache"
    assert (tmp_path / "cache" / cifar10.FOLDER / cifar10.META).is_file()


def test_torchvision_gets_no_folder_that_it_cannot_read(small, monkeypatch):
    assert cdata.cifar10_root("bundled") is None
    monkeypatch.setattr(cifar10, "fetch", fake_fetch(small, [], "no network here."))
    assert cdata.cifar10_root("auto") is None
    renamed = small.rename(small.parent / "photographs")
    assert cdata.load(renamed, val_size=30).name == "cifar10"
    assert cdata.cifar10_root(renamed) is None
    (renamed / cifar10.META).unlink()
    assert cdata.cifar10_root(renamed.rename(small)) is None


@pytest.fixture
def drawn(monkeypatch):
    """Spare us the drawing: grey pictures in the bundled set's form."""
    parts = [(np.full((n, 3, 32, 32), 128, np.uint8), np.arange(n) % 10) for n in (10_000, 2_000)]
    monkeypatch.setattr(bundled, "load_arrays", lambda: (*parts[0], *parts[1]))


def test_auto_without_network_takes_the_bundled_set_says_why_and_asks_once(
    small, drawn, monkeypatch, capsys
):
    calls = []
    monkeypatch.setattr(cifar10, "fetch", fake_fetch(small, calls, "no network here."))
    said = (
        "Data: the bundled set, drawn by code; it is not CIFAR-10. no network here. "
        "So it stays until the kernel is restarted.\n"
    )
    for expected in (said, ""):  # a lesson loads several times, and says why once
        assert cdata.load("auto").name == "bundled"
        assert capsys.readouterr().out == expected
    assert len(calls) == 1
    with pytest.raises(DataError, match="no network here"):
        cdata.load("cifar10")
    assert len(calls) == 2  # asked for by name: it tries again


def test_auto_does_not_pass_over_a_damaged_cache(small, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(small.parent))
    assert cdata.load("auto", val_size=30).name == "cifar10"
    alter(small / "data_batch_4")
    with pytest.raises(DataError, match="data_batch_4: truncated or altered"):
        cdata.load("auto", val_size=30)


def test_the_bundled_set_has_the_same_form(drawn):
    data = cdata.load("bundled", train_size=500)
    assert (data.name, len(data.train), len(data.val), len(data.test)) == (
        *("bundled", 500, 1000),
        2000,
    )
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert data.class_names == cifar10.CLASS_NAMES
    assert set(np.bincount(data.train.labels)) == {50} and set(np.bincount(data.val.labels)) == {
        100
    }


@pytest.mark.parametrize(("value", "expected"), [(None, "full"), ("", "full"), ("quick", "quick")])
def test_budget(monkeypatch, value, expected):
    monkeypatch.delenv("COURSEKIT_BUDGET", raising=False)
    if value is not None:
        monkeypatch.setenv("COURSEKIT_BUDGET", value)
    assert cdata.budget() == expected


def test_another_budget_is_refused(monkeypatch):
    monkeypatch.setenv("COURSEKIT_BUDGET", "Fast")
    with pytest.raises(ValueError, match=r"COURSEKIT_BUDGET: got 'Fast'; needed one of .*quick"):
        cdata.budget()


def test_importing_costs_no_download_library():
    code = "import sys, coursekit.data; print({'pooch', 'requests', 'tqdm'} & set(sys.modules))"
    root = Path(cdata.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
