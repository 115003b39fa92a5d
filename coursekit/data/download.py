"""Downloads that survive a bad network: several mirrors, resume, a speed floor, a checksum.

pooch keeps the cache, checks the md5 and renames the finished file; what it lacks is here: a
`.part` file that the next attempt continues (HTTP `Range`), and a list of mirrors to walk.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from .files import DISK_FULL, DataError, explain_os_errors

CONNECT_SECONDS = 3.0
"""How long a mirror may take to accept a connection, and how long we look for any mirror."""
READ_SECONDS = 15.0
"""How long a mirror may stay silent in the middle of a file."""
SLOW_BYTES_PER_SECOND = 300_000
"""Below this speed the next mirror gets its chance."""
SPEED_WINDOW_SECONDS = 5.0
"""The speed is judged over periods of this length."""
TRIES_PER_MIRROR = 4
"""How often a mirror that breaks off, but gets further each time, is asked to go on."""
CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True)
class Remote:
    """A file on the net: its name, exact size in bytes, md5, and where it lies, best first."""

    name: str
    size: int
    md5: str
    urls: tuple[str, ...]


class _TooSlow(Exception):
    def __init__(self, speed: float):
        super().__init__(f"only {speed / 1000:,.0f} kB/s")
        self.speed = speed


class _OtherFile(Exception):
    """The mirror offers something of another size: a login page, say."""


def fetch(remote: Remote, folder: Path) -> Path:
    """Return the path of `remote` in `folder`, downloaded unless it is there with the right md5.

    The file appears under its name only when whole and checked. An interrupted download is kept
    as `NAME.part` and continued by the next call, from whichever mirror answers.

    Raises:
        DataError: no mirror answers, every mirror fails, or the disk is full.
    """
    part = folder / f"{remote.name}.part"
    with explain_os_errors(folder, remote.size):
        folder.mkdir(parents=True, exist_ok=True)
        return _walk_mirrors(remote, folder, part)


def _walk_mirrors(remote: Remote, folder: Path, part: Path) -> Path:
    urls = _reachable(remote.urls)
    if not urls:
        raise DataError(
            f"{remote.name}: no network: none of its {len(remote.urls)} mirrors answers. Connect "
            f"and try again, or copy the file to {folder} (needed md5 {remote.md5})."
        )
    failures: dict[str, str] = {}
    slow: dict[str, float] = {}
    for url in urls:
        try:
            return _from_mirror(remote, url, folder, part, SLOW_BYTES_PER_SECOND)
        except _TooSlow as err:
            slow[url] = err.speed
        except _failures() as err:
            failures[url] = _reason(err)
    if slow:  # every mirror is slow or broken, so the network is: stay with the fastest
        url = max(slow, key=slow.__getitem__)
        try:
            return _from_mirror(remote, url, folder, part, 0)
        except _failures() as err:
            failures[url] = _reason(err)
    listed = "; ".join(f"{urlsplit(url).netloc}: {why}" for url, why in failures.items())
    raise DataError(
        f"{remote.name}: no mirror delivered it ({listed}); needed {remote.size:,} bytes with md5 "
        f"{remote.md5}. Try again later (what arrived is kept), or copy the file to {folder}."
    )


def _failures() -> tuple[type[Exception], ...]:
    """Return what a mirror can do to us; pooch reports a wrong md5 as a ValueError."""
    import requests

    return requests.RequestException, _OtherFile, ValueError, FileNotFoundError


def _reason(err: Exception) -> str:
    """Return the failure in one short line: requests' own texts run over several."""
    import requests

    if isinstance(err, requests.HTTPError) and err.response is not None:
        return f"HTTP {err.response.status_code}"
    if isinstance(err, requests.RequestException):
        return type(err).__name__
    return "wrong md5" if isinstance(err, ValueError) else str(err)


def _reachable(urls: tuple[str, ...]) -> list[str]:
    """Return those urls whose server says anything within `CONNECT_SECONDS`, in the same order.

    All are asked at once and in daemon threads, because looking up a name can hang for much longer
    than any timeout that we may set.
    """
    import requests

    answers: SimpleQueue[str | None] = SimpleQueue()

    def ask(url: str) -> None:
        try:
            requests.head(url, timeout=CONNECT_SECONDS, allow_redirects=False)
            answers.put(url)
        except Exception:  # whatever went wrong, this one does not answer
            answers.put(None)

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    deadline = time.monotonic() + CONNECT_SECONDS
    heard: set[str | None] = set()
    for _ in urls:
        try:
            heard.add(answers.get(timeout=max(0.0, deadline - time.monotonic())))
        except Empty:
            break
    return [url for url in urls if url in heard]


def _from_mirror(remote: Remote, url: str, folder: Path, part: Path, floor: float) -> Path:
    """Fetch from one mirror, asking again as long as each try gets further."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # the bar already says what goes on
    for remaining in reversed(range(TRIES_PER_MIRROR)):
        before = _size(part)
        try:
            done = pooch.retrieve(
                url,
                known_hash=f"md5:{remote.md5}",
                fname=remote.name,
                path=folder,
                downloader=_Resume(remote, part, floor),
            )
            return Path(done)
        except requests.RequestException:
            if not remaining or _size(part) <= before:
                raise
        except ValueError:  # wrong md5: if the first bytes came from elsewhere, they may be why
            if not remaining or before == 0:
                raise
    raise AssertionError("unreachable")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Resume:
    """A downloader for pooch that continues the `.part` file, then moves it where pooch wants it.

    Every byte goes to its own place in the file, so two processes that download at the same time
    write the same thing to the same places.
    """

    def __init__(self, remote: Remote, part: Path, floor: float):
        self.remote, self.part, self.floor = remote, part, floor

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        if _size(self.part) > self.remote.size:
            self.part.unlink()
        if _size(self.part) < self.remote.size:
            self._complete(url)
        os.replace(self.part, output_file)

    def _complete(self, url: str) -> None:
        import requests

        have = _size(self.part)
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as reply:
            reply.raise_for_status()
            start = have if reply.status_code == 206 else 0
            self._check_offer(reply, start)
            try:
                with open(self.part, "r+b" if have else "wb") as file:
                    file.seek(start)
                    self._copy(reply, file, start)
            except OSError as err:
                if err.errno in DISK_FULL:
                    self.part.unlink()  # it only takes the space that is missing
                raise
        if _size(self.part) != self.remote.size:
            raise requests.ConnectionError("the connection closed early")

    def _check_offer(self, reply, start: int) -> None:
        """Refuse another file (a login page, say) before it costs us the bytes that we have."""
        offered = start + int(reply.headers.get("Content-Length", self.remote.size - start))
        span = reply.headers.get("Content-Range", f"bytes {start}-")
        if offered != self.remote.size or not span.startswith(f"bytes {start}-"):
            raise _OtherFile(f"offers {offered:,} bytes")

    def _copy(self, reply, file, start: int) -> None:
        from tqdm.auto import tqdm

        bar = tqdm(
            desc=f"{self.remote.name} from {urlsplit(reply.url).netloc}",
            total=self.remote.size,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=os.environ.get("COURSEKIT_PROGRESS") == "off",
        )
        with bar:
            since, received = time.monotonic(), 0
            for chunk in reply.iter_content(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
                received += len(chunk)
                elapsed = time.monotonic() - since
                if elapsed > SPEED_WINDOW_SECONDS:
                    if received / elapsed < self.floor:
                        raise _TooSlow(received / elapsed)
                    since, received = time.monotonic(), 0
