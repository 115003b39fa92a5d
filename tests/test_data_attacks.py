"""Files made to do harm, their checksums right: one `DataError`, little memory, no code."""

import gzip
import hashlib
import inspect
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coursekit import data as cdata
from coursekit.data import DataError, cifar10, files, mnist

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="links, pipes, memory limits")
GOOD = np.zeros((4, 3072), np.uint8)
GOOD_BYTES = GOOD.tobytes()
MB = 1_000_000


# --- pickles --------------------------------------------------------------------------------------


def reconstruct(shape=b"K\x00\x85", kind=b"cnumpy\nndarray\n"):
    return b"cnumpy.core.multiarray\n_reconstruct\n" + kind + shape + b"U\x01b\x87R"


def dtype(name=b"u1", state=b"U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"):
    return (
        b"cnumpy\ndtype\nU" + bytes([len(name)]) + name + b"K\x00K\x01\x87R(K\x03" + state + b"tb"
    )


def array(shape=(4, 3072), content=GOOD_BYTES, kind=None):
    sizes = b"".join(b"J" + struct.pack("<i", n) for n in shape)
    head = reconstruct() + b"(K\x01(" + sizes + b"t" + (kind or dtype()) + b"\x89"
    return head + b"T" + struct.pack("<i", len(content)) + content + b"tb"


def batch(images, labels=b"](K\x00K\x01K\x02K\x03e"):
    return b"\x80\x02}(U\x04data" + images + b"U\x06labels" + labels + b"u."


NOWHERE = {
    "shape without content, by ndarray()": batch(b"cnumpy\nndarray\n(K\x04M\x00\x0ct\x85R"),
    "shape without content, by _reconstruct": batch(reconstruct(b"K\x04M\x00\x0c\x86")),
    "more shape than content": batch(array((1000, 3072))),
    "more shape than memory": batch(array((2**31 - 1, 2**31 - 1, 2**31 - 1))),
    "less shape than content": batch(array((2, 3072))),
    "negative sizes": batch(array((-4, -3072))),
    "objects": batch(array(kind=dtype(b"O8"))),
    "records": batch(array(kind=dtype(b"V9"))),
    "a changed dtype": batch(array(kind=dtype(state=b"U\x01?NNNK\x09K\x09K\x3f"))),
    "content that is no bytes": batch(array()[:-12295] + b"]tb"),
    "another class for the array": batch(reconstruct(kind=b"cnumpy\ndtype\n")),
    "a changed class": batch(b"cnumpy\nndarray\n}U\x05valueK\x01sb"),
    "a changed function": batch(b"cnumpy.core.multiarray\n_reconstruct\nN}U\x01aK\x01s\x86b"),
    "more memo than memory": b"\x80\x02]r\xff\xff\xff\xffR.",
    "more bytes than memory": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "text": b"<html>",
    "a loop": batch(b"]q\x00h\x00a"),
    "a bare array": b"\x80\x02" + array() + b".",
    "a bare list": pickle.dumps([1, 2], 2),
    "a number": pickle.dumps(3, 2),
    "no labels": b"\x80\x02}U\x04data" + array() + b"s.",
    "ragged labels": batch(array(), pickle.dumps([0, [1, 2], 3], 2)[2:-1]),
    "labels of labels": batch(array(), b"](" + b"](" * 30 + b"K\x01" + b"e" * 31),
    "labels in words": batch(array(), pickle.dumps(["a", "b", "c", "d"], 2)[2:-1]),
    "labels of any size": batch(array(), pickle.dumps([0, 1, 2, 10**30], 2)[2:-1]),
    "labels in fractions": batch(array(), pickle.dumps([0, 1, 2, 0.5], 2)[2:-1]),
    "true labels": batch(array(), pickle.dumps([True, False, True, True], 2)[2:-1]),
    "an array for labels": batch(array(), array()),
    "few labels": batch(array(), pickle.dumps([1], 2)[2:-1]),
    "wide pictures": batch(array((2, 6144))),
    "pictures in floats": batch(array(kind=dtype(b"f4"), shape=(1, 3072))),
}


@contextmanager
def little_memory():
    """Sixty megabytes more than there are now; the bombs are larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + 60 * MB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("case", NOWHERE)
def test_a_batch_file_with_a_right_checksum_and_a_wrong_content(tmp_path, monkeypatch, case):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    md5 = {}
    for name in (*cifar10.TRAIN_MD5, *cifar10.TEST_MD5):
        content = NOWHERE[case] if name == "data_batch_2" else batch(array())
        (tmp_path / name).write_bytes(content)
        md5[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "TRAIN_MD5", {n: md5[n] for n in cifar10.TRAIN_MD5})
    monkeypatch.setattr(cifar10, "TEST_MD5", {n: md5[n] for n in cifar10.TEST_MD5})
    wanted = pytest.raises(DataError, match=r"data_batch_2: .*load\('cifar10'\)")
    with wanted as caught, little_memory():
        cdata.load(tmp_path, val_size=4)
    assert " ();" not in str(caught.value)  # it says why
    fresh = files.read_pickle(tmp_path / "data_batch_1")  # nothing of it stays behind
    np.testing.assert_array_equal(fresh[b"data"], GOOD)


def test_arrays_of_every_kind_are_as_numpy_reads_them(tmp_path, rng):
    arrays = {
        f"{order}{name}": (rng.standard_normal((3, 4)) * 50).astype(order + name)
        for name in files._Dtype._KNOWN
        for order in "<>"
    }
    arrays |= {"columns": np.asfortranarray(arrays["<f4"]), "none": np.zeros((0, 3), "u1")}
    for protocol in (3, 4):
        (tmp_path / "a").write_bytes(pickle.dumps(arrays, protocol))
        read = files.read_pickle(tmp_path / "a")
        for name, expected in arrays.items():
            assert read[name].dtype == expected.dtype
            np.testing.assert_array_equal(read[name], expected)


def test_a_pickle_far_too_large_is_not_read(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(files.MOST_PICKLED + 1)
    with pytest.raises(DataError, match="it asks for 64 MB"):
        files.read_pickle(tmp_path / "a")


# --- archives -------------------------------------------------------------------------------------


def member(name="set/a", kind=tarfile.REGTYPE, size=0, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def zeros(size):
    """A stream of so many zeros, none of them in memory."""

    class Zeros(io.RawIOBase):
        left = size

        def read(self, count=-1):
            count = min(count, self.left)
            self.left -= count
            return bytes(count)

    return Zeros()


ARCHIVES = {
    "a link in a loop": [(member(kind=tarfile.SYMTYPE, linkname="a"), None)],
    "two links in a loop": [
        (member(kind=tarfile.SYMTYPE, linkname="b"), None),
        (member("set/b", tarfile.SYMTYPE, linkname="a"), None),
    ],
    "a hard link in a loop": [(member(kind=tarfile.LNKTYPE, linkname="set/a"), None)],
    "a link to the outside": [(member(kind=tarfile.SYMTYPE, linkname="/etc/passwd"), None)],
    "a device": [(member(kind=tarfile.CHRTYPE, devmajor=1, devminor=5), None)],
    "a pipe": [(member(kind=tarfile.FIFOTYPE), None)],
    "a folder": [(member(kind=tarfile.DIRTYPE), None)],
    "a bomb": [(member(size=100 * MB), zeros(100 * MB))],
    "a bomb beside it": [(member("set/b", size=100 * MB), zeros(100 * MB)), (member(), None)],
    "a name as long as a bomb": [(member("set/" + "b" * 100 * MB), None), (member(), None)],
    "nothing": [],
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_made_to_do_harm(tmp_path, monkeypatch, case):
    monkeypatch.setattr(files, "MOST_UNPACKED", 30 * MB)
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
        for info, content in ARCHIVES[case]:
            if getattr(content, "left", None) is not None:
                content.left = info.size
            tar.addfile(info, content)
    with pytest.raises(
        DataError, match=r"x.tar.gz: found a damaged or different archive \("
    ) as got:
        files.unpack(archive, ["set/a"], tmp_path / "cache" / "set", repair="Repair it so.")
    assert str(got.value).endswith("Repair it so.")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("spot", [0, 3, 30, 100, -9, -5, -1])
def test_an_archive_with_one_wrong_byte(tmp_path, spot):
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(member(size=5000), io.BytesIO(np.random.default_rng(0).bytes(5000)))
    content = bytearray(archive.read_bytes())
    content[spot] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match="found a damaged or different archive"):
        files.unpack(archive, ["set/a"], tmp_path / "cache" / "set")
    assert list((tmp_path / "cache").iterdir()) == []


# --- MNIST ----------------------------------------------------------------------------------------


def idx(*shape, content=None):
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    return head + (bytes(int(np.prod(shape))) if content is None else content)


def bomb(head, size):
    """A small gzip file that unpacks to so much."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(size // MB):
            file.write(bytes(MB))
    return out.getvalue()


IDX = {
    "a bomb of no shape": lambda: bomb(b"", 200 * MB),
    "a bomb behind pictures": lambda: bomb(idx(60, 28, 28), 200 * MB),
    "a bomb of its own shape": lambda: bomb(idx(5_478_275, 28, 28, content=b""), 200 * MB),
    "a shape of all there is": lambda: bomb(idx(2**32 - 1, 2**32 - 1, 2**32 - 1, content=b""), 0),
    "pictures of one pixel": lambda: gzip.compress(idx(60, 1, 1)),
    "no pictures": lambda: gzip.compress(idx(0, 28, 28)),
    "no pictures of all there is": lambda: bomb(idx(0, 2**32 - 1, 2**32 - 1, content=b""), 0),
    "half a head": lambda: gzip.compress(idx(60, 28, 28)[:9]),
    "gzip of gzip": lambda: gzip.compress(gzip.compress(idx(60, 28, 28))),
    "nothing": lambda: b"",
    "nothing, compressed": lambda: gzip.compress(b""),
}


@pytest.fixture
def mnist_folder(tmp_path, monkeypatch):
    """A cache with a small MNIST in it, and a net that brings the files of it again."""
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSEKIT_DATA", raising=False)
    monkeypatch.setattr(mnist, "_warn_unless_published", lambda *_: None)
    folder = tmp_path / "cache" / "MNIST" / "raw"
    content = {}
    for part, count in (("train", 60), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        content[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(count, 28, 28))
        content[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(count, content=labels))

    def fetch(remote, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / remote.name).write_bytes(content[remote.name])
        return folder / remote.name

    monkeypatch.setattr(mnist, "fetch", fetch)
    mnist.from_cache_or_net()
    return folder


@pytest.mark.parametrize("case", IDX)
def test_an_idx_file_made_to_do_harm(mnist_folder, case):
    (mnist_folder / "train-images-idx3-ubyte.gz").write_bytes(IDX[case]())
    wanted = pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: .*load_mnist\(\)")
    with wanted, little_memory():
        cdata.load_mnist(val_size=20)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_a_set_of_no_pictures_and_no_labels_is_named(mnist_folder, part):
    for name, shape in (("images-idx3", (0, 28, 28)), ("labels-idx1", (0,))):
        (mnist_folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(idx(*shape)))
    with pytest.raises(DataError, match=rf"{part}-images.*\(0, 28, 28\); needed 1 to"):
        cdata.load_mnist(val_size=20)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("form", ["", ".gz"])
@pytest.mark.parametrize("content", [b"<html>", b"", idx(3, content=b"\0\1\x0a"), idx(1, 9, 9)])
@pytest.mark.parametrize("elsewhere", ["", "source", "COURSEKIT_DATA"])
def test_who_does_what_the_error_says_gets_the_digits(
    mnist_folder, tmp_path, monkeypatch, name, form, content, elsewhere
):
    folder, source = mnist_folder, None
    if elsewhere:
        folder = mnist_folder.rename(tmp_path / "shelf")
        mnist.from_cache_or_net()
        source = folder if elsewhere == "source" else None
    if elsewhere == "COURSEKIT_DATA":
        monkeypatch.setenv(elsewhere, str(folder))
    (folder / f"{name}{form}").write_bytes(gzip.compress(content) if form else content)
    with pytest.raises(DataError) as caught:
        cdata.load_mnist(source, val_size=20)
    told = str(caught.value)
    # The first way: delete and, elsewhere, put what is named there.
    deleted = told.split("Delete ")[1].split(", then ")[0].split(" and ")
    kept = {file: (folder / file).read_bytes() for file in deleted}
    for file in deleted:
        (folder / file).unlink()
    if elsewhere:
        for url in told.split("put ")[1].split(" there")[0].split(" and "):
            assert url.startswith(mnist.MIRRORS[0])
            file = url.rpartition("/")[2]
            (folder / file).write_bytes((mnist_folder / file).read_bytes())
    assert len(cdata.load_mnist(source, val_size=20).train) == 40
    if elsewhere:  # and the second
        for file, damaged in kept.items():
            (folder / file).write_bytes(damaged)
        monkeypatch.delenv("COURSEKIT_DATA", raising=False)
        assert "call load_mnist() without source and with COURSEKIT_DATA unset" in told
        assert len(cdata.load_mnist(val_size=20).train) == 40


def test_a_missing_file_is_asked_for_and_nothing_deleted(mnist_folder, tmp_path):
    shelf = mnist_folder.rename(tmp_path / "shelf")
    (shelf / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        cdata.load_mnist(shelf, val_size=20)
    assert "To repair it, put " in str(caught.value) and "Delete" not in str(caught.value)
    assert len(cdata.load_mnist(val_size=20).train) == 40


# --- CIFAR-10: doing what the errors say ----------------------------------------------------------


@pytest.fixture
def cifar_cache(tmp_path, monkeypatch):
    """A cache folder, and a net that brings a small CIFAR-10."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("COURSEKIT_CACHE", str(cache))
    monkeypatch.delenv("COURSEKIT_DATA", raising=False)
    content = batch(array())
    md5 = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "TRAIN_MD5", dict.fromkeys(cifar10.TRAIN_MD5, md5))
    monkeypatch.setattr(cifar10, "TEST_MD5", dict.fromkeys(cifar10.TEST_MD5, md5))
    archive = tmp_path / cifar10.ARCHIVE.name
    with tarfile.open(archive, "w:gz") as tar:
        for name in (*cifar10.TRAIN_MD5, *cifar10.TEST_MD5, cifar10.META):
            tar.addfile(member(f"{cifar10.FOLDER}/{name}", size=len(content)), io.BytesIO(content))
    remote = cifar10.Remote(archive.name, 0, files.md5_of(archive), ())
    monkeypatch.setattr(cifar10, "ARCHIVE", remote)

    def fetch(remote, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / remote.name).write_bytes(archive.read_bytes())
        return folder / remote.name

    monkeypatch.setattr(cifar10, "fetch", fetch)
    return cache


@pytest.mark.parametrize("place", ["cache", "elsewhere"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_who_does_what_the_error_says_gets_the_pictures(cifar_cache, tmp_path, place, damage):
    cdata.load("cifar10", val_size=4)
    folder, source = cifar_cache / cifar10.FOLDER, "cifar10"
    if place == "elsewhere":
        folder = source = folder.rename(tmp_path / "shelf")
    damage(folder / "data_batch_3")
    with pytest.raises(DataError) as caught:
        cdata.load(source, val_size=4)
    told = str(caught.value)
    if place == "cache":
        assert f"Delete {folder} and fetch the set again (load('cifar10'))." in told
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    else:
        assert f"or fetch the set again (load('cifar10')), which is kept in {cifar_cache}." in told
        assert "Delete" not in told  # there may be more in that folder
    assert len(cdata.load("cifar10", val_size=4).train) == 16


def test_a_damaged_archive_says_how_to_go_on(cifar_cache):
    cifar_cache.mkdir()
    archive = cifar_cache / cifar10.ARCHIVE.name
    archive.write_bytes(b"x")
    with pytest.raises(DataError, match=r"Delete it and fetch the set again \(load\('cifar10'\)"):
        cdata.load("cifar10", val_size=4)
    archive.unlink()
    assert len(cdata.load("cifar10", val_size=4).train) == 16


# --- pictures of one's own ------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path):
    """Two classes of ten pictures."""
    for name in ("cat", "dog"):
        (tmp_path / "shelf" / name).mkdir(parents=True)
        for k in range(10):
            Image.new("RGB", (4, 4)).save(tmp_path / "shelf" / name / f"{k}.png")
    return tmp_path / "shelf"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to(path.name), "a link that leads nowhere"),
        (lambda path: path.symlink_to("gone.png"), "a link that leads nowhere"),
        (os.mkfifo, "not a file"),
        (lambda path: path.write_bytes(b""), "not a picture"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 99), "not a picture"),
    ],
)
def test_what_is_no_picture_is_named(shelf, make, why):
    make(shelf / "cat" / "x.png")
    with pytest.raises(DataError, match=f"found 1 of 21 pictures .*: cat/x.png .*{why}"):
        cdata.from_folder(shelf, size=4)


def test_a_picture_of_billions_of_pixels_is_named(shelf):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") * 2
    (shelf / "cat" / "x.png").write_bytes(content)
    with pytest.raises(DataError, match="cat/x.png .*exceeds limit"):
        cdata.from_folder(shelf, size=4)


def chunk(kind, content):
    from zlib import crc32

    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))
    )


def test_folders_in_folders_beyond_the_stack(shelf):
    (shelf / "cat" / Path(*"d" * 200)).mkdir(parents=True)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        data = cdata.from_folder(shelf, size=4, val_size=2, test_size=2)
    finally:
        sys.setrecursionlimit(limit)
    assert len(data.train) == 16


def test_ragged_labels_are_named():
    pictures = np.zeros((4, 3, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="^labels: got rows of different lengths"):
        cdata.from_arrays(pictures, [0, [1, 2], 1, 0])


# --- a kill while an archive is unpacked ----------------------------------------------------------

UNPACK = """
import sys, time
from pathlib import Path
from coursekit.data import files
files.shutil.copyfileobj = lambda *_: (print("half", flush=True), time.sleep(60))
files.unpack(Path(sys.argv[1]), ["set/a"], Path(sys.argv[2]))
"""


def test_what_a_killed_process_unpacked_is_removed(tmp_path):
    archive, target = tmp_path / "x.tar.gz", tmp_path / "cache" / "set"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(member(size=1), io.BytesIO(b"A"))
    command = [sys.executable, "-c", UNPACK, str(archive), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert len(list(target.parent.iterdir())) == 1 and not target.exists()
    files.unpack(archive, ["set/a"], target)
    assert [path.name for path in target.parent.iterdir()] == ["set"]
    assert (target / "a").read_bytes() == b"A"
