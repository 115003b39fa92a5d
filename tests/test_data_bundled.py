"""The bundled set: the same bytes everywhere, kept in the cache, its shapes in their places."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit import data as cdata
from coursekit.data import bundled
from coursekit.data.bundled.canvas import SIZE, Canvas, palette


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The set, drawn anew into an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("COURSEKIT_CACHE", str(folder))
        return folder, bundled.load_arrays()


def test_its_bytes_are_these(drawn):
    train, train_labels, test, test_labels = drawn[1]
    labels = np.concatenate([train_labels, test_labels]).astype(np.uint8)
    pictures = np.concatenate([train, test]).reshape(len(labels), -1)
    records = np.hstack([labels[:, None], pictures]).tobytes()
    assert hashlib.sha256(records).hexdigest() == bundled.SHA256


def test_shapes_and_classes(drawn):
    train, train_labels, test, test_labels = drawn[1]
    for images, labels, count in ((train, train_labels, 10_000), (test, test_labels, 2_000)):
        assert images.shape == (count, 3, 32, 32) and images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert images.flags.c_contiguous and images.flags.writeable
        np.testing.assert_array_equal(np.bincount(labels), [count // 10] * 10)
        assert len(np.unique(labels[:50])) == 10  # shuffled
    assert bundled.CLASS_NAMES[0] == "airplane" and bundled.CLASS_NAMES[9] == "truck"


def test_no_picture_comes_twice(drawn):
    pictures = np.concatenate([drawn[1][0], drawn[1][2]])
    assert len({picture.tobytes() for picture in pictures}) == 12_000


def test_the_second_call_reads_the_cache(drawn, monkeypatch):
    folder, arrays = drawn
    assert [path.suffix for path in folder.iterdir()] == [".bin"]
    monkeypatch.setenv("COURSEKIT_CACHE", str(folder))
    monkeypatch.setattr(bundled, "_drawn", None)
    for again, first in zip(bundled.load_arrays(), arrays, strict=True):
        np.testing.assert_array_equal(again, first)


def test_the_processor_does_not_matter():
    """NumPy rounds the same with and without its AVX, SVE ... code."""
    from numpy._core._multiarray_umath import __cpu_dispatch__

    code = (
        "import zlib; from coursekit.data.bundled import CLASS_NAMES, draw;"
        "print(*(zlib.crc32(draw(name, 8, 0).tobytes()) for name in CLASS_NAMES))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for disabled in ((), __cpu_dispatch__)
    }
    assert len(outputs) == 1


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set that is drawn in no time; gives its cache file and how often it was drawn."""
    records = np.random.default_rng(0).integers(0, 10, 12_000 * 3073, dtype=np.uint8).tobytes()
    calls = []

    def draw(seed):
        calls.append(seed)
        return records

    monkeypatch.setattr(bundled, "_drawn", draw)
    monkeypatch.setattr(bundled, "SHA256", hashlib.sha256(records).hexdigest())
    monkeypatch.setattr(bundled, "_unwritten", {})
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "not" / "there" / "yet"))
    bundled.load_arrays()
    (path,) = (tmp_path / "not" / "there" / "yet").iterdir()
    assert path.read_bytes() == records
    return path, calls


def flip_a_bit(content):
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:-1], flip_a_bit])
def test_a_damaged_file_is_drawn_again(tiny, damage):
    path, calls = tiny
    good = path.read_bytes()
    path.write_bytes(damage(good))
    images, *_ = bundled.load_arrays()
    assert calls == [0, 0]
    assert path.read_bytes() == good and list(path.parent.iterdir()) == [path]
    assert images[0].tobytes() == good[1:3073]


def test_without_a_cache_it_is_drawn_once_and_kept_in_memory(tiny, tmp_path, monkeypatch):
    path, calls = tiny
    good = path.read_bytes()
    monkeypatch.setenv("COURSEKIT_CACHE", str(path / "a file is no folder"))
    with pytest.warns(UserWarning, match="kept in memory") as caught:
        first, again = (cdata.load("bundled") for _ in "12")
    assert calls == [0, 0]  # the first was the fixture's
    np.testing.assert_array_equal(first.train.images, again.train.images)
    (warning,) = caught
    said = str(warning.message)
    assert "found a file on the way to this folder" in said and "Set COURSEKIT_CACHE to" in said
    assert warning.filename == __file__
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "elsewhere"))
    bundled.load_arrays()  # it can be written by now
    (written,) = (tmp_path / "elsewhere").iterdir()
    assert calls == [0, 0] and written.read_bytes() == good and not bundled._unwritten


def test_a_write_that_fails_leaves_nothing(tiny, monkeypatch):
    path, _ = tiny
    path.unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match="the disk is full: found .* needed about 37 MB"):
        bundled.load_arrays()
    assert not list(path.parent.iterdir())


def test_another_seed_is_not_cached(tiny):
    path, calls = tiny
    bundled.load_arrays(seed=7)
    assert calls == [0, 7] and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("n", [1, 2, 7, 401])
def test_draw_counts_and_repeats(n):
    first, again = bundled.draw("cat", n, 3), bundled.draw("cat", n, 3)
    assert first.shape == (n, 3, 32, 32) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != bundled.draw("cat", n, 4)).any()
    assert first.std(axis=(1, 2, 3)).min() > 2  # never a blank sheet


@pytest.mark.parametrize(
    ("arguments", "named"), [(("cow", 3, 0), "cow"), (("cat", 0, 0), "n: got 0")]
)
def test_draw_refuses(arguments, named):
    with pytest.raises(ValueError, match=named):
        bundled.draw(*arguments)


# --- the canvas ----------------------------------------------------------------------------------
def canvas(n=2):
    return Canvas(n, np.random.RandomState(0))


coordinates = st.floats(-10, 10, width=32)
sizes = st.floats(1, 8, width=32)


@given(x=coordinates, y=coordinates, rx=sizes, ry=sizes)
@settings(max_examples=30)
def test_inside_is_negative(x, y, rx, ry):
    c = canvas()
    u, v = np.broadcast_arrays(c.x[0] - x, c.y[0] - y)
    inside = {
        "ellipse": (u / rx) ** 2 + (v / ry) ** 2 < 1,
        "box": (np.abs(u) < rx) & (np.abs(v) < ry),
        "limb": np.hypot(np.maximum(np.abs(u) - rx, 0), v) < ry,
    }
    corners = [(x - rx, y - ry), (x + rx, y - ry), (x + rx, y + ry), (x - rx, y + ry)]
    distance = {
        "ellipse": c.ellipse(x, y, rx, ry),
        "box": c.box(x - rx, y - ry, x + rx, y + ry),
        "limb": c.limb(x - rx, y, x + rx, y, ry, ry),
    }
    for name, truth in inside.items():
        sure = np.abs(distance[name][0]) > 1e-3
        np.testing.assert_array_equal((distance[name][0] < 0)[sure], truth[sure], err_msg=name)
    # float32 corners with a little slack in the edge's length
    np.testing.assert_allclose(c.polygon(*corners), distance["box"], rtol=1e-4, atol=1e-4)


def test_place_moves_turns_and_mirrors():
    c = canvas()
    c.place(px=4.0, x=5.0, y=-3.0)
    row, column = np.argwhere(c.ellipse(1, 0, 0.3, 0.3)[0] < 0).mean(axis=0) + 0.5 - SIZE / 2
    assert (row, column) == pytest.approx((-3, 9), abs=0.5)
    c.place(px=4.0, x=5.0, y=-3.0, flip=1.0)
    _, column = np.argwhere(c.ellipse(1, 0, 0.3, 0.3)[0] < 0).mean(axis=0) + 0.5 - SIZE / 2
    assert column == pytest.approx(1, abs=0.5)
    c.place(px=4.0, angle=90.0)
    row, column = np.argwhere(c.ellipse(1, 0, 0.3, 0.3)[0] < 0).mean(axis=0) + 0.5 - SIZE / 2
    assert (row, column) == pytest.approx((4, 0), abs=0.5)  # right becomes down: clockwise


def test_paint_covers_inside_only():
    c = canvas()
    red = palette("ff0000").reshape(3, 1, 1) + np.zeros((2, 1, 1, 1), np.float32)
    c.paint(c.box(-5, -5, 5, 5), red, np.array([1.0, 0.5], np.float32).reshape(-1, 1, 1))
    assert c.rgb[0, :, 16, 16].tolist() == [1, 0, 0] and c.rgb[1, :, 16, 16].tolist() == [0.5, 0, 0]
    assert not c.rgb[:, :, :9].any() and not c.rgb[..., 23:].any()


def test_chance_stays_in_its_bounds():
    c = canvas(500)
    values = c.uniform(2, 3)
    assert values.shape == (500, 1, 1) and values.dtype == np.float32
    assert 2 <= values.min() < 2.1 and 2.9 < values.max() <= 3
    assert 0.2 < c.coin(0.3).mean() < 0.4
    assert set(c.index(3)) == {0, 1, 2}
    noise = c.noise(5)
    assert noise.dtype == np.float32 and -1 <= noise.min() < -0.8 and 0.8 < noise.max() <= 1
