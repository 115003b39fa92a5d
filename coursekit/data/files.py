"""Files on disk: the error they raise, the cache folder, checksums, a pickle reader, unpacking."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


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
def explain_os_errors(folder: Path, needed_bytes: int) -> Iterator[None]:
    """Turn a full disk or a folder without write permission into a `DataError`."""
    try:
        yield
    except OSError as err:
        if err.errno in DISK_FULL:
            free = _free_bytes(folder)
            raise DataError(
                f"{folder}: the disk is full: found {free / 1e6:,.0f} MB free; needed about "
                f"{needed_bytes / 1e6:,.0f} MB. Free some space, or set COURSEKIT_CACHE to a "
                "folder on another disk; nothing half written was left."
            ) from err
        if isinstance(err, PermissionError) or err.errno == errno.EROFS:
            raise DataError(
                f"{folder}: found a folder that cannot be written to ({err.strerror or err}); "
                "needed a writable one. Set COURSEKIT_CACHE to a folder of yours."
            ) from err
        raise


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
    with explain_os_errors(target.parent, 200_000_000):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
        try:
            _copy_members(archive, members, scratch)
            try:
                os.replace(scratch, target)
            except OSError:
                if not target.is_dir():  # else another process was quicker: use what it unpacked
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
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
