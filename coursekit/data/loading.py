"""Decide which data a lesson gets, and get it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from . import cifar10, mnist
from .dataset import Dataset, Split
from .files import DataError
from .split import stratified

NAMES = ("auto", "cifar10", "bundled")
BUDGETS = ("full", "quick")

_told: set[str] = set()  # the reasons already printed
_failed: str | None = None  # why the download did not work: "auto" tries it once in a process


def budget() -> str:
    """Return how much a lesson may compute: "full" or "quick", from `COURSEKIT_BUDGET`."""
    chosen = os.environ.get("COURSEKIT_BUDGET") or "full"
    if chosen not in BUDGETS:
        raise ValueError(f"COURSEKIT_BUDGET: got {chosen!r}; needed one of {BUDGETS}")
    return chosen


def load(
    source: str | os.PathLike[str] | None = None,
    *,
    val_size: int | None = None,
    train_size: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load CIFAR-10 or the bundled set.

    Args:
        source: "auto": CIFAR-10 from the cache or the net, else the bundled set, and a printed line
            says why. "cifar10": CIFAR-10 or an error. "bundled": pictures drawn by code, no
            download. Or a folder that is or holds `cifar-10-batches-py`, or holds
            `cifar-10-python.tar.gz`. None reads `COURSEKIT_DATA`, default "auto".
        val_size: images held out of the train images for validation, every class in proportion;
            default 5000 for CIFAR-10, 1000 for the bundled set.
        train_size: use only so many train images, every class in proportion; default all the rest.
        seed: decides which images are held out.

    Raises:
        DataError: data that is missing, damaged or cannot be fetched.
        ValueError: sizes or seed that do not fit.
    """
    found = _cifar10_or_reason(source)
    if isinstance(found, Path):
        return cifar10.read(found, _default(val_size, 5000), train_size, seed)
    if found and found not in _told:
        _told.add(found)  # once: a lesson loads several times
        print(
            f"Data: the bundled set, drawn by code; it is not CIFAR-10. {found} So it stays until "
            "the kernel is restarted."
        )
    return _bundled(_default(val_size, 1000), train_size, seed)


def cifar10_root(source: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder to give to `torchvision.datasets.CIFAR10(root)`.

    Args:
        source: as in `load`.

    Returns:
        the folder that holds `cifar-10-batches-py`, or None where `load` gives the bundled set or
        not all is there that torchvision reads.

    Raises:
        DataError: as in `load`.
    """
    found = _cifar10_or_reason(source)
    if not isinstance(found, Path) or found.name != cifar10.FOLDER:
        return None
    return found.parent if (found / cifar10.META).is_file() else None


def load_mnist(
    source: str | os.PathLike[str] | None = None,
    *,
    val_size: int = 5000,
    train_size: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load MNIST: 60,000 train and 10,000 test digits of (1, 28, 28).

    Args:
        source: a folder that holds the four idx files, gzipped or not, or holds them in
            `MNIST/raw` as torchvision does. None looks in the folder that `COURSEKIT_DATA` names,
            if it names one, then in the cache, then on the net.
        val_size, train_size, seed: as in `load`.

    Raises:
        DataError: data that is missing, damaged or cannot be fetched; MNIST has no bundled twin.
        ValueError: sizes or seed that do not fit.
    """
    if source is not None:
        place = _existing(source, "source")
        folder = mnist.locate(place)
        if folder is None:
            needed = f"the idx files ({next(iter(mnist.FILES))}.gz ...), there or in MNIST/raw"
            raise DataError(f"source: found {_content(place)} in {place}; needed {needed}.")
    else:
        chosen = os.environ.get("COURSEKIT_DATA") or "auto"
        folder = None if chosen in NAMES else mnist.locate(_existing(chosen, "COURSEKIT_DATA"))
        folder = folder or _fetched_mnist()
    return mnist.read(folder, val_size, train_size, seed)


def _fetched_mnist() -> Path:
    try:
        return mnist.from_cache_or_net()
    except DataError as err:
        raise DataError(f"{err} MNIST has no bundled twin that could stand in.") from err


def _default(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _cifar10_or_reason(source: str | os.PathLike[str] | None) -> Path | str:
    """Return the folder of CIFAR-10, or why there is none: "" if the bundled set was asked for."""
    chosen = source if source is not None else os.environ.get("COURSEKIT_DATA") or "auto"
    if chosen == "auto":
        return _cached_or_reason()
    if chosen == "cifar10":
        return cifar10.from_cache_or_net()
    if chosen == "bundled":
        return ""
    return _folder(chosen, "source" if source is not None else "COURSEKIT_DATA")


def _cached_or_reason() -> Path | str:
    """Return the folder of CIFAR-10 in the cache, or why it could not be fetched; ask once."""
    global _failed
    if _failed is None:
        try:
            return cifar10.from_cache_or_net()
        except DataError as err:
            _failed = str(err)
    return _failed


def _folder(chosen: str | os.PathLike[str], asked_by: str) -> Path:
    place = _existing(chosen, asked_by)
    folder = cifar10.locate(place)
    if folder is None:
        raise DataError(
            f"{asked_by}: found {_content(place)} in {place}; needed {cifar10.FOLDER}/ (the "
            f"'python version') or {cifar10.ARCHIVE.name} in it. Pictures of your own: "
            "data.from_folder(path)."
        )
    return folder


def _existing(chosen: str | os.PathLike[str], asked_by: str) -> Path:
    place = Path(chosen).expanduser().absolute()
    if not place.exists():
        raise DataError(
            f"{asked_by}: got {os.fspath(chosen)!r}, but found nothing at {place}; needed a folder "
            "that exists, or for CIFAR-10 one of " + ", ".join(NAMES) + "."
        )
    return place


def _content(place: Path) -> str:
    names = sorted(entry.name for entry in place.iterdir()) if place.is_dir() else [place.name]
    if not names:
        return "nothing"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _bundled(val_size: int, train_size: int | None, seed: int) -> Dataset:
    from . import bundled

    images, labels, test_images, test_labels = bundled.load_arrays()
    train, val = stratified(labels, val_size, train_size, seed)
    order, cut = np.concatenate([train, val]), len(train)
    images, labels = images[order], labels[order]
    return Dataset(
        name="bundled",
        train=Split(images[:cut], labels[:cut]),
        val=Split(images[cut:], labels[cut:]),
        test=Split(test_images, test_labels),
        class_names=tuple(bundled.CLASS_NAMES),
    )
