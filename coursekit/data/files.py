"""Files on disk: their errors, the cache folder, checksums, pickles, unpacking."""

from __future__ import annotations

import errno
import gzip
import hashlib
import math
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


def _reason(err: Exception) -> str:
    return str(err) or type(err).__name__


def _amount(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def _free_bytes(folder: Path) -> int:
    """Return the free space of the disk that holds `folder` or its nearest existing parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


MOST_UNPACKED = 400_000_000
"""Bytes that an archive may hold: twice what CIFAR-10's does."""
MOST_PICKLED = 64_000_000
"""Bytes of a pickle: twice the largest of CIFAR-10."""


def unpack(
    archive: Path,
    members: Sequence[str],
    target: Path,
    *,
    repair: str = "Delete it and fetch it again.",
) -> Path:
    """Copy the named files of a tar.gz archive to the folder `target`, which appears whole or not.

    Nothing else in the archive is touched, so no path in it can lead outside `target`.

    Raises:
        DataError: the archive is damaged, lacks a member or is far too large, or the disk is full;
            `repair` tells what to do about the archive.
    """
    with explain_os_errors(target.parent, 200_000_000), folder_written_whole(target) as scratch:
        try:
            _copy_members(archive, members, scratch)
        except Exception as err:  # a damaged archive can raise nearly anything
            if isinstance(err, OSError) and err.errno is not None:
                raise  # the disk's, not the archive's
            raise DataError(
                f"{archive}: found a damaged or different archive ({_reason(err)}); needed one "
                f"that holds {members[0]} and {len(members) - 1} more. {repair}"
            ) from err
    return target


def _copy_members(archive: Path, members: Sequence[str], folder: Path) -> None:
    missing = set(members)
    with gzip.open(archive) as raw:
        content: Any = _AtMost(raw, MOST_UNPACKED)
        # As a stream: what a header says about sizes and places is never believed in advance.
        with tarfile.open(fileobj=content, mode="r|") as tar:
            for info in tar:
                if info.name not in missing:
                    continue
                source = tar.extractfile(info) if info.isreg() else None
                if source is None or info.size > MOST_UNPACKED:
                    raise tarfile.ReadError(f"{info.name} is not a file of its own")
                with source, open(folder / Path(info.name).name, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                missing.remove(info.name)
        while content.read(1 << 20):  # to the checksum at the end
            pass
    if missing:
        raise tarfile.ReadError(f"it lacks {min(missing)}")


class _AtMost:
    """A file to read from, which ends with an error after `most` bytes."""

    def __init__(self, file: Any, most: int):
        self.file, self.most, self.left = file, most, most

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError(f"it holds more than {_amount(self.most)}")
        return content


# --- pickles --------------------------------------------------------------------------------------
#
# Nothing in a pickle is called or believed. Where it asks for NumPy's own functions it gets the
# three classes below, which keep what they are told; an array is made of it once it all fits. (Each
# has a `__setstate__` of an instance, so that a pickle cannot set attributes of the class.)


class _Dtype:
    """Stands for `numpy.dtype` in a pickle: numbers of a fixed size."""

    _KNOWN = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")

    def __init__(self, name: Any, align: Any = None, copy: Any = None):
        self.name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        if self.name not in self._KNOWN:
            raise pickle.UnpicklingError(f"it asks for an array of {self.name!r}")
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("|", "<", ">", "="):
            raise pickle.UnpicklingError(f"it asks for the byte order {order!r}")
        self.order = order


class _Array:
    """Stands for `numpy.ndarray` in a pickle, and for an array whose content is set afterwards."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        shape, dtype, by_columns, content = state[-4:]
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it asks for an array of something else than numbers")
        kind = np.dtype(dtype.order + dtype.name)
        if any(type(n) is not int or n < 0 for n in shape) or (
            math.prod(shape) * kind.itemsize != len(content)
        ):
            raise pickle.UnpicklingError(
                f"it asks for an array of shape {shape} with {len(content):,} bytes of content"
            )
        array = np.frombuffer(content, kind) if content else np.empty(0, kind)
        self.value = array.reshape(shape, order="F" if by_columns else "C")

    def array(self) -> np.ndarray:
        """Return what was set."""
        if self.value is None:
            raise pickle.UnpicklingError("it asks for an array without content")
        return self.value


class _Reconstruct:
    """Stands for the private function by which NumPy begins an array: an empty one of no shape."""

    def __new__(cls, kind: Any, shape: Any, dtype: Any) -> Any:
        if kind is not _Array:
            raise pickle.UnpicklingError(f"it asks for an array of type {kind}")
        return _Array()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it asks for NumPy's own functions to be changed")


class _ArraysOnly(pickle._Unpickler):  # the C one allocates what a file says before it reads it
    """An unpickler that can build arrays, numbers, strings and containers; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Reconstruct
        if (module, name) == ("numpy", "ndarray"):
            return _Array
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_pickle(
    path: Path, *, repair: str = "Do not open it by other means; fetch it anew."
) -> Any:
    """Read a pickle of an array, or of a dictionary with arrays in it, without running code.

    It may also hold numbers, strings and containers. Arrays are of numbers and read-only; Python 2
    strings come back as bytes.

    Raises:
        DataError: the file is damaged, too large or asks for anything else; `repair` tells what to
            do then.
    """
    try:
        size = path.stat().st_size
        if size > MOST_PICKLED:
            raise pickle.UnpicklingError(f"it asks for {_amount(size)}")
        with open(path, "rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        if isinstance(content, _Array):
            return content.array()
        if not isinstance(content, dict):
            return content
        return {k: v.array() if isinstance(v, _Array) else v for k, v in content.items()}
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror or err}).") from err
    except Exception as err:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{path}: found a pickle that is damaged or holds more than arrays ({_reason(err)}); "
            f"needed NumPy arrays, lists and names only. {repair}"
        ) from err
