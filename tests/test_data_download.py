"""Downloads from mirrors that misbehave in every way, served from this machine."""

import builtins
import contextlib
import errno
import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from coursekit.data import DataError, download

CONTENT = np.random.default_rng(0).bytes(400_000)
HALF = len(CONTENT) // 2


class Mirror(BaseHTTPRequestHandler):
    """One path a behaviour; every GET is noted as (path, Range header)."""

    log: list[tuple[str, str | None]]

    def do_HEAD(self):
        self.send_response(405)
        self.end_headers()

    def do_GET(self):
        self.log.append((self.path, self.headers.get("Range")))
        with contextlib.suppress(ConnectionError):
            getattr(self, self.path.strip("/"))()

    def answer(self, content, *, ranges=True, stop=None):
        asked = self.headers.get("Range") if ranges else None
        start = int(asked.split("=")[1].rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:stop])

    def good(self):
        self.answer(CONTENT)

    def no_ranges(self):
        self.answer(CONTENT, ranges=False)

    def dies_halfway(self):
        self.answer(CONTENT, stop=HALF)

    def dies_halfway_without_ranges(self):
        self.answer(CONTENT, ranges=False, stop=HALF)

    def gives_a_little_each_time(self):
        asked = self.headers.get("Range") or "bytes=0-"
        self.answer(CONTENT, stop=int(asked[6:-1]) + len(CONTENT) // 3)

    def altered(self):
        self.answer(CONTENT[:-1] + b"?")

    def altered_and_dies_halfway(self):
        self.answer(bytes(HALF) + CONTENT[HALF:], stop=HALF)

    def login_page(self):
        self.answer(b"<html>please sign in</html>", ranges=False)

    def missing(self):
        self.send_error(404)

    def wrong_range(self):
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def slow(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        for start in range(0, len(CONTENT), 20_000):
            self.wfile.write(CONTENT[start : start + 20_000])
            time.sleep(0.05)

    def slower(self):
        time.sleep(0.05)
        self.slow()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """Serve the mirrors; `server.remote("good", ...)` is a file on the named ones."""
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = type("Handler", (Mirror,), {"log": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.log = handler.log
        server.remote = lambda *names: remote(f"http://127.0.0.1:{server.server_port}/", *names)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def remote(base, *names):
    md5 = hashlib.md5(CONTENT).hexdigest()
    return download.Remote("set.bin", len(CONTENT), md5, tuple(base + name for name in names))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fetch_and_check(remote, folder):
    path = download.fetch(remote, folder)
    assert path == folder / "set.bin" and path.read_bytes() == CONTENT
    assert files_in(folder) == ["set.bin"]


@pytest.mark.parametrize(
    "mirrors",
    [
        ["good"],
        ["no_ranges"],
        ["missing", "good"],
        ["login_page", "good"],
        ["altered", "good"],
        ["dies_halfway", "good"],
        ["gives_a_little_each_time"],
        ["altered_and_dies_halfway", "good"],
        ["dies_halfway_without_ranges", "good"],
        ["dies_halfway_without_ranges", "no_ranges"],
        ["dies_halfway_without_ranges", "wrong_range", "good"],
        ["missing", "altered", "login_page", "dies_halfway_without_ranges", "no_ranges"],
    ],
    ids=", ".join,
)
def test_the_right_file_arrives_whatever_some_mirrors_do(server, tmp_path, mirrors):
    fetch_and_check(server.remote(*mirrors), tmp_path / "new" / "folder")


def test_what_arrived_is_kept_and_the_next_mirror_goes_on_from_there(server, tmp_path):
    fetch_and_check(server.remote("dies_halfway_without_ranges", "good"), tmp_path)
    path, asked = server.log[-1]
    assert path == "/good"
    assert HALF - download.CHUNK_BYTES < int(asked[6:-1]) <= HALF  # whole chunks are kept


def test_an_interrupted_download_is_continued_by_the_next_call(server, tmp_path, monkeypatch):
    from tqdm import auto

    class Interrupted(auto.tqdm):
        def update(self, n=1):
            if self.n > HALF:
                raise KeyboardInterrupt
            return super().update(n)

    with monkeypatch.context() as patch:
        patch.setattr(auto, "tqdm", Interrupted)
        patch.delenv("COURSEKIT_PROGRESS")
        with pytest.raises(KeyboardInterrupt):
            download.fetch(server.remote("good"), tmp_path)
    assert files_in(tmp_path) == ["set.bin.part"]
    kept = (tmp_path / "set.bin.part").stat().st_size
    assert HALF < kept < len(CONTENT)
    fetch_and_check(server.remote("good"), tmp_path)
    assert server.log[-1] == ("/good", f"bytes={kept}-")


@pytest.mark.parametrize("kept", [CONTENT, CONTENT + b"more", b"?" * len(CONTENT), b""])
def test_any_part_file_left_behind_is_dealt_with(server, tmp_path, kept):
    (tmp_path / "set.bin.part").write_bytes(kept)
    fetch_and_check(server.remote("good"), tmp_path)
    assert len(server.log) == (kept != CONTENT)  # a whole one needs no request


def test_a_file_that_is_there_is_not_fetched_and_a_damaged_one_is(server, tmp_path):
    (tmp_path / "set.bin").write_bytes(CONTENT)
    fetch_and_check(server.remote("good"), tmp_path)
    assert server.log == []
    (tmp_path / "set.bin").write_bytes(CONTENT[:-1])
    fetch_and_check(server.remote("good"), tmp_path)
    assert server.log == [("/good", None)]


def test_a_slow_mirror_is_left_for_the_next_one_with_its_bytes(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SPEED_WINDOW_SECONDS", 0.1)
    monkeypatch.setattr(download, "SLOW_BYTES_PER_SECOND", 1_000_000)
    fetch_and_check(server.remote("slow", "good"), tmp_path)
    (first, _), (second, asked) = server.log
    assert (first, second) == ("/slow", "/good") and int(asked[6:-1]) > 0


def test_when_all_are_slow_the_fastest_delivers(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SPEED_WINDOW_SECONDS", 0.1)
    monkeypatch.setattr(download, "SLOW_BYTES_PER_SECOND", 1e9)
    fetch_and_check(server.remote("missing", "slow"), tmp_path)
    assert [path for path, _ in server.log] == ["/missing", "/slow", "/slow"]


def test_when_no_mirror_delivers_each_failure_is_told(server, tmp_path):
    with pytest.raises(DataError) as caught:
        download.fetch(server.remote("missing", "altered", "login_page", "dies_halfway"), tmp_path)
    message = str(caught.value)
    for said in ("404", "wrong md5", "offers 27 bytes", "400,000 bytes", server.remote().md5):
        assert said in message
    assert str(tmp_path) in message and "\n" not in message
    assert set(files_in(tmp_path)) <= {"set.bin.part"}  # only what the next call can go on from


def test_without_network_it_says_so_at_once_and_leaves_nothing(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"^set.bin: no network: none of its 2 mirrors answers"):
            download.fetch(remote(base, "a", "b"), tmp_path)
    assert files_in(tmp_path) == []


def test_a_network_that_swallows_everything_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.2)
    with socket.socket() as silent:  # accepts, then says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DataError, match="no network"):
            download.fetch(remote(base, "a", "b"), tmp_path)


def test_a_name_lookup_that_hangs_does_not_hang_us(server, tmp_path, monkeypatch):
    import requests

    release, head = threading.Event(), requests.head

    def hang(url, **options):
        if url.endswith("hangs"):
            release.wait(60)
        return head(url, **options)

    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(requests, "head", hang)
    fetch_and_check(server.remote("hangs", "good"), tmp_path)
    assert not release.is_set() and server.log == [("/good", None)]
    release.set()


class FullDisk:
    """A file on a disk that takes 100,000 bytes."""

    def __init__(self, file):
        self.file, self.written = file, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, chunk):
        self.written += len(chunk)
        if self.written > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(chunk)


def test_a_full_disk_is_one_clear_error_and_nothing_stays(server, tmp_path, monkeypatch):
    def open_on_full_disk(*arguments):
        return FullDisk(builtins.open(*arguments))

    monkeypatch.setattr(download, "open", open_on_full_disk, raising=False)
    with pytest.raises(DataError) as caught:
        download.fetch(server.remote("good", "no_ranges"), tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message and "the disk is full: found" in message
    assert "COURSEKIT_CACHE" in message
    assert files_in(tmp_path) == [] and len(server.log) == 1


def test_a_folder_without_write_permission_is_named(server, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(download, "open", refuse, raising=False)
    with pytest.raises(DataError, match="found a folder that cannot be written to .Permission"):
        download.fetch(server.remote("good"), tmp_path)


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_in_place_of_the_folder_is_named(server, tmp_path, below):
    place = tmp_path / "file"
    place.write_bytes(b"mine")
    with pytest.raises(DataError, match="found a file on the way to this folder") as caught:
        download.fetch(server.remote("good"), place / below)
    assert str(place) in str(caught.value) and "COURSEKIT_CACHE" in str(caught.value)
    assert place.read_bytes() == b"mine" and server.log == []


def test_the_bar_counts_what_was_there_and_can_be_switched_off(
    server, tmp_path, monkeypatch, capfd
):
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:HALF])
    monkeypatch.delenv("COURSEKIT_PROGRESS")
    fetch_and_check(server.remote("good"), tmp_path)
    assert "100%" in capfd.readouterr().err
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    (tmp_path / "set.bin").unlink()
    fetch_and_check(server.remote("good"), tmp_path)
    assert capfd.readouterr().err == ""
