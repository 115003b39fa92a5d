"""Files that appear whole or not at all: the one way in which this project writes to a disk.

    with written_whole("results.json") as part:
        part.write_text(text)

``part`` is a scratch file in the same folder. At the end of the block it takes the place of the
file in one step, so whoever reads finds the old content or the new, even if the disk is full or
the process is killed. What a killed process left is removed by the next one that writes there.
"""

import errno
import itertools
import os
import platform
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SCRATCH = re.compile(r"\.unfinished-([0-9a-f]{8})-(\d+)-")  # host, process
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_DAY = 24 * 3600.0
_number = itertools.count()
_mine: set[str] = set()  # names of the scratch files that this process is writing


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a scratch path whose file takes the place of ``path`` if the block raises no error.

    As with ``open``, missing permissions are an error, those of an existing file stay, a link leads
    to its file, and a pipe or device is written to directly. A missing folder is made.

    Args:
        path: of the file to write.

    Yields:
        a path in the same folder with the same ending. It is an empty file at first.

    Raises:
        OSError: the file cannot be written; the old one, if any, is as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        yield path
        return
    path = Path(os.path.realpath(path))
    old = path.stat() if path.exists() else None
    if old and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    with _scratch(path) as part:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield part
        _store(part)
        if old:
            _give_rights(part, old)
        os.replace(part, path)


@contextmanager
def folder_written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a scratch folder that becomes the folder ``path`` if the block raises no error.

    Where another process has made ``path`` meanwhile, its folder stays.

    Raises:
        OSError: the folder cannot be made.
    """
    path = Path(path)
    with _scratch(path) as part:
        part.mkdir()
        yield part
        try:
            os.replace(part, path)
        except OSError:
            if not path.is_dir():
                raise


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Give an unused path beside ``path``; what is there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    # The end of the name, as a name has at most 255 bytes, and some writers go by the ending.
    name = f".unfinished-{_HOST}-{os.getpid()}-{next(_number)}-{path.name[-40:]}"
    part = path.with_name(name)
    _mine.add(name)
    try:
        yield part
    finally:
        _remove(part)
        _mine.discard(name)


def _store(part: Path) -> None:
    """Wait until the content is on the disk: a power cut could leave a new name for nothing."""
    handle = os.open(part, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _give_rights(part: Path, old: os.stat_result) -> None:
    with suppress(OSError):  # some file systems know no rights, and only root gives files away
        os.chmod(part, old.st_mode & 0o7777)
        if hasattr(os, "chown"):
            os.chown(part, old.st_uid, old.st_gid)


def _remove_leftovers(folder: Path) -> None:
    """Remove the scratch files in a folder whose processes are gone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            found = _SCRATCH.match(entry.name)
            if found and _is_left_over(entry, found[1], int(found[2])):
                _remove(Path(entry.path))


def _is_left_over(entry: os.DirEntry[str], host: str, process: int) -> bool:
    if host == _HOST and process == os.getpid():
        return entry.name not in _mine
    if entry.stat(follow_symlinks=False).st_mtime < time.time() - _DAY:
        return True
    if host != _HOST or os.name == "nt":  # on Windows, os.kill kills
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # it lives, and is somebody else's
    return False


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
        return
    with suppress(OSError):
        part.unlink()
