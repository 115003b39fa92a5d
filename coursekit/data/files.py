"""Files on disk: their errors, the cache folder, checksums, pickles, unpacking."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import folder_written_whole

QUOTA = getattr(errno, "EDQUOT", errno.ENOSPC)  # Windows has none
DISK_FULL = (errno.ENOSPC, QUOTA)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR)  # from mkdir: a file has the folder's name


class DataError(ValueError):
    """A data file or folder that cannot be used: says which, what was found, needed, and to do."""


def cache_dir() -> Path:
    """Return the folder where downloads are kept: `COURSEKIT_CACHE`, else the system's cache."""
    chosen = os.environ.get("COURSEKIT_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("coursekit"))


def md5_of(path: Path) -> str:
    """Return the md5 of a file in hexadecimal, read in small pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def check_md5(path: Path, expected: str, *, repair: str) -> None:
    """Raise `DataError` unless `path` is a file with this md5; `repair` tells what to do then."""
    if not path.is_file():
        raise DataError(f"{path}: found no such file; needed md5 {expected}. {repair}")
    found = md5_of(path)
    if found != expected:
        size = path.stat().st_size
        raise DataError(
            f"{path}: truncated or altered: found {size:,} bytes with md5 {found}; "
            f"needed md5 {expected}. {repair}"
        )


@contextmanager
def explain_os_errors(
    folder: Path, needed_bytes: int, variable: str = "COURSEKIT_CACHE"
) -> Iterator[None]:
    """Turn a full disk, or a folder that cannot be made or written to, into a `DataError`."""
    try:
        yield
    except OSError as err:
        if err.errno not in (*DISK_FULL, *_READ_ONLY, *_NO_FOLDER):
            raise
        raise DataError(why_not_written(folder, err, needed_bytes, variable)) from err


def why_not_written(folder: Path, err: OSError, needed_bytes: int, variable: str) -> str:
    """Say why nothing could be written to `folder`, and that `variable` names another one."""
    needed = f"needed about {_amount(needed_bytes)}"
    if err.errno == errno.ENOSPC:
        why = f"the disk is full: found {_amount(_free_bytes(folder))} free; {needed}"
    elif err.errno == QUOTA:
        why = f"your quota on this disk is used up; {needed}"
    else:
        if err.errno in _NO_FOLDER:
            why = f"found a file on the way to this folder ({err.filename}); needed a folder"
        elif err.errno in _READ_ONLY:
            why = (
                f"found a folder that cannot be written to ({err.strerror}); needed a writable one"
            )
        else:
            why = f"cannot be written to ({err})"
        return f"{folder}: {why}. Set {variable} to a folder of yours."
    return (
        f"{folder}: {why}. Free some space, or set {variable} to a folder on another disk; "
        "no half-written file was left behind."
    )


def _amount(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def _free_bytes(folder: Path) -> int:
    """Return the free space of the disk that holds `folder` or its nearest existing parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def unpack(archive: Path, members: Sequence[str], target: Path) -> Path:
    """Copy the named files of a tar archive to the folder `target`, which appears whole or not.

    Nothing else in the archive is touched, so no path in it can lead outside `target`.

    Raises:
        DataError: the archive is damaged, lacks a member, or the disk is full.
    """
    with explain_os_errors(target.parent, 200_000_000), folder_written_whole(target) as scratch:
        _copy_members(archive, members, scratch)
    return target


def _copy_members(archive: Path, members: Sequence[str], folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            for member in members:
                source = tar.extractfile(member)
                if source is None:
                    raise KeyError(f"{member} is not a file")
                with source, open(folder / Path(member).name, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (tarfile.TarError, EOFError, KeyError) as err:
        raise DataError(
            f"{archive}: found a damaged or different archive ({err}); needed one that holds "
            f"{members[0]} and {len(members) - 1} more. Delete it and fetch it again."
        ) from err


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can build NumPy arrays, numbers, strings and containers; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _empty_array
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _empty_array(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Do what NumPy's private `_reconstruct` does: an array whose content is set afterwards."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"it asks for an array of type {kind}")
    return np.ndarray(shape, dtype)


def read_pickle(path: Path) -> Any:
    """Read a pickle that may hold arrays, numbers, strings and containers, and runs no code.

    Python 2 strings come back as bytes.

    Raises:
        DataError: the file is damaged or asks for anything else.
    """
    try:
        with open(path, "rb") as file:
            return _ArraysOnly(file, encoding="bytes").load()
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror or err}).") from err
    except Exception as err:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{path}: found a pickle that is damaged or holds more than arrays ({err}); needed "
            "NumPy arrays, lists and names only. Do not open it by other means; fetch it anew."
        ) from err
