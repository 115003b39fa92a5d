"""MNIST: 70,000 handwritten digits of 28 x 28 (Y. LeCun, C. Cortes, C. Burges, 1998), idx files."""

from __future__ import annotations

import gzip
import hashlib
import math
import warnings
import zlib
from pathlib import Path

import numpy as np

from .dataset import Dataset, Split, check_labels
from .download import Remote, fetch
from .files import DataError, cache_dir
from .split import stratified

CLASS_NAMES = tuple("0123456789")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# name: size and md5 of the published NAME.gz (those that torchvision checks), md5 of NAME itself
FILES = {
    "train-images-idx3-ubyte": (
        *(9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    "train-labels-idx1-ubyte": (
        *(28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        "a25bea736e30d166cdddb491f175f624",
    ),
    "t10k-images-idx3-ubyte": (
        *(1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        "2646ac647ad5339dbf082846283269ea",
    ),
    "t10k-labels-idx1-ubyte": (
        *(4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        "27ae3e4e09519cfbb04c329615203637",
    ),
}
SIDE = 28
MOST_PICTURES = 250_000
"""In one file: a file that announces more, or unpacks to more, is not read."""


def locate(place: Path) -> Path | None:
    """Return the folder that holds the idx files: `place`, or `MNIST/raw` in it; else None."""
    for folder in (place, place / "MNIST" / "raw", place / "raw"):
        if any(_variants(folder, name) for name in FILES):
            return folder
    return None


def _variants(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def from_cache_or_net() -> Path:
    """Return the folder of idx files in the cache, downloaded where needed."""
    folder = cache_dir() / "MNIST" / "raw"
    for name, (size, md5, _) in FILES.items():
        if not _variants(folder, name):
            urls = tuple(f"{mirror}{name}.gz" for mirror in MIRRORS)
            fetch(Remote(f"{name}.gz", size, md5, urls), folder)
    return folder


def read(folder: Path, val_size: int, train_size: int | None, seed: int) -> Dataset:
    """Read the four idx files, gzipped or not.

    Raises:
        DataError: a file is missing, damaged or of another shape.
        ValueError: sizes or seed that do not fit.
    """
    images, labels = _read_pair(folder, "train")
    train, val = stratified(labels, val_size, train_size, seed)
    order, cut = np.concatenate([train, val]), len(train)
    images, labels = images[order], labels[order]
    return Dataset(
        name="mnist",
        train=Split(images[:cut], labels[:cut]),
        val=Split(images[cut:], labels[cut:]),
        test=Split(*_read_pair(folder, "t10k")),
        class_names=CLASS_NAMES,
    )


def _read_pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, path = _read_idx(folder, f"{part}-images-idx3-ubyte", 3)
    labels, labels_path = _read_idx(folder, f"{part}-labels-idx1-ubyte", 1)
    if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels):
        raise DataError(
            f"{path}: found images {images.shape} beside {len(labels):,} labels; needed "
            f"({len(labels)}, {SIDE}, {SIDE}). {_repair(path, labels_path)}"
        )
    try:
        check_labels("labels", labels, len(CLASS_NAMES))
    except ValueError as err:
        raise DataError(f"{labels_path}: {err}. {_repair(labels_path)}") from err
    return images[:, None], labels.astype(np.int64)


def _repair(*paths: Path) -> str:
    """What to do about files that are missing or damaged."""
    names = " and ".join(path.name for path in paths)
    first = f"Delete {names}, then" if paths[0].exists() else "To repair it,"
    if paths[0].parent == cache_dir() / "MNIST" / "raw":
        return f"{first} call load_mnist() again, which fetches what is missing."
    urls = " and ".join(f"{MIRRORS[0]}{path.name.removesuffix('.gz')}.gz" for path in paths)
    return (
        f"{first} put {urls} there, or call load_mnist() without source and with COURSEKIT_DATA "
        "unset, which fetches the set to a folder of its own."
    )


def _read_idx(folder: Path, name: str, dimensions: int) -> tuple[np.ndarray, Path]:
    """Read one idx file of bytes: 0, 0, 8, dimensions, then each size as 4 bytes, then the data."""
    paths = _variants(folder, name)
    if not paths:
        raise DataError(
            f"{folder / name}: found no such file, nor {name}.gz; needed all of "
            f"{', '.join(FILES)}. {_repair(folder / name)}"
        )
    path = paths[0]
    start = 4 + 4 * dimensions
    most = MOST_PICTURES * SIDE ** (2 * (dimensions == 3))
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(start)
            if len(head) < start or head[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(
                    f"{path}: found a file that begins with {head[:4].hex() or 'nothing'}; needed "
                    f"0000080{dimensions}, the mark of idx bytes in {dimensions} dimensions. "
                    f"{_repair(path)}"
                )
            shape = tuple(int(n) for n in np.frombuffer(head, ">u4", dimensions, 4))
            size = math.prod(shape)
            if not 0 < size <= most:
                raise DataError(
                    f"{path}: found the shape {shape}; needed 1 to {most:,} numbers. "
                    f"{_repair(path)}"
                )
            content = head + file.read(size + 1)  # one more, to see whether it ends there
    except (OSError, EOFError, zlib.error) as err:
        raise DataError(f"{path}: truncated or damaged ({err}). {_repair(path)}") from err
    found = len(content) - start
    if found != size:
        raise DataError(
            f"{path}: found {f'more than {size:,}' if found > size else f'{found:,}'} bytes of "
            f"data; needed {size:,} for its shape {shape}. {_repair(path)}"
        )
    _warn_unless_published(path, content, FILES[name][2])
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape), path


def _warn_unless_published(path: Path, content: bytes, md5: str) -> None:
    """Say so when a sound file is not the published one: Fashion-MNIST uses the same names."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        warnings.warn(
            f"{path}: not the published MNIST file (content md5 {found}, published {md5}); "
            "results will not compare with others'.",
            stacklevel=6,  # the caller of load_mnist
        )
