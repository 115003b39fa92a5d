"""The bundled set: 32x32 pictures of CIFAR-10's ten classes, drawn by code.

It needs no download and raises no licence question, and it is made to teach what CIFAR-10 teaches:
`benchmarks/bundled_vs_cifar10.py` trains the same nets on both. It is not CIFAR-10, and nothing may
pass it off as CIFAR-10.

How a picture comes about: a background, some clutter, the object in a random pose, something in
front of it, then light, blur and grain. `canvas` has the shapes, `scenery` what all pictures share,
the other files the objects: each class is seen in three or four views, a short function each.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...atomic import written_whole
from ..files import cache_dir, why_not_written
from .birds_frogs import BIRDS, FROGS
from .canvas import SIZE, Canvas
from .cars_trucks import AUTOMOBILES, TRUCKS
from .cats_dogs import CATS, DOGS
from .deer_horses import DEER, HORSES
from .planes_ships import AIRPLANES, SHIPS
from .scenery import background, clutter, develop, foreground

RECIPES = {  # class: (views, each as often as the next; scenes, the common ones named repeatedly)
    "airplane": (AIRPLANES, "sky sky sky sky sky hills runway runway plain meadow"),
    "automobile": (AUTOMOBILES, "street street avenue avenue plain desert runway night meadow"),
    "bird": (BIRDS, "sky leaves leaves pond wood meadow lawn ground shore plain"),
    "cat": (CATS, "room room sofa sofa plain night ground lawn"),
    "deer": (DEER, "meadow clearing wood wood wood leaves snow lawn"),
    "dog": (DOGS, "room sofa lawn plain meadow snow ground clearing"),
    "frog": (FROGS, "leaves leaves ground ground lawn pond plain wood night"),
    "horse": (HORSES, "meadow meadow clearing desert desert wood lawn plain"),
    "ship": (SHIPS, "sea sea sea sea sea shore pond plain"),
    "truck": (TRUCKS, "street street runway runway desert avenue plain hills"),
}
CLASS_NAMES = tuple(RECIPES)
TRAIN_SIZE, TEST_SIZE = 10_000, 2_000
SHA256 = "b27dec7e5d12f22ed59b1774bf78948506347668d844701a1990033a8d321cca"
"""Of the set with seed 0, as records: a byte for the label, then 3072 for the picture."""

_SHEET = 100  # pictures drawn at a time: their arrays fit in a core's cache
_unwritten: dict[str, bytes] = {}
"""By its hash, the set that could not be written to the cache."""
_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def load_arrays(seed: int = 0) -> _Arrays:
    """Return the bundled set, its classes equally often in both parts.

    Seed 0, the set that lessons use, is kept in the cache folder and checked when read; a damaged
    file is drawn again. Where the folder cannot be written, a warning says why, and the set is
    kept in memory. Other seeds give other pictures of the same kind, drawn at every call.

    Returns:
        Train images, uint8 (10000, 3, 32, 32), train labels, int64 (10000,), test images
        (2000, 3, 32, 32) and test labels (2000,).
    """
    records = _cached() if seed == 0 else _drawn(seed)
    table = np.frombuffer(records, np.uint8).reshape(TRAIN_SIZE + TEST_SIZE, -1)
    images = np.ascontiguousarray(table[:, 1:]).reshape(-1, 3, SIZE, SIZE)
    labels = table[:, 0].astype(np.int64)
    return images[:TRAIN_SIZE], labels[:TRAIN_SIZE], images[TRAIN_SIZE:], labels[TRAIN_SIZE:]


def draw(name: str, n: int, seed: int | Sequence[int]) -> np.ndarray:
    """Draw `n` pictures of the class called `name`, as uint8 (n, 3, 32, 32), view after view.

    Raises:
        ValueError: a name that is not in `CLASS_NAMES`, or n < 1.
    """
    if name not in RECIPES:
        raise ValueError(f"name: got {name!r}; needed one of {', '.join(CLASS_NAMES)}")
    if n < 1:
        raise ValueError(f"n: got {n}; needed at least 1")
    views, scenes = RECIPES[name]
    sheets = []
    for k, view in enumerate(views):
        start, stop = n * k // len(views), n * (k + 1) // len(views)
        for first in range(start, stop, _SHEET):
            random = np.random.RandomState([*np.atleast_1d(seed), k, first])
            canvas = Canvas(min(_SHEET, stop - first), random)
            background(canvas, scenes)
            clutter(canvas)
            view(canvas)
            foreground(canvas)
            sheets.append(develop(canvas))
    return np.concatenate(sheets)


def _drawn(seed: int) -> bytes:
    """Draw a whole set: records of a label and its picture, as in CIFAR-10's binary files."""
    per_class = (TRAIN_SIZE + TEST_SIZE) // len(CLASS_NAMES)
    with ThreadPoolExecutor() as pool:  # NumPy lets go of the interpreter lock inside its loops
        pictures = list(
            pool.map(lambda k: draw(CLASS_NAMES[k], per_class, [seed, k]), range(len(CLASS_NAMES)))
        )
    labels = np.repeat(np.arange(len(CLASS_NAMES), dtype=np.uint8), per_class)
    table = np.hstack([labels[:, None], np.concatenate(pictures).reshape(len(labels), -1)])
    # Shuffle each class by itself, cut off its test part, then shuffle the two parts.
    random = np.random.RandomState(seed)
    key = random.random_sample(len(labels))
    test_share = TEST_SIZE // len(CLASS_NAMES)
    ranks = np.argsort(np.argsort(key.reshape(-1, per_class), axis=1), axis=1).ravel()
    order = np.lexsort((random.random_sample(len(labels)), ranks < test_share))
    return table[order].tobytes()


def _cached() -> bytes:
    """Return the records of seed 0 from the cache, after drawing them if need be."""
    path = cache_dir() / f"bundled-{SHA256[:12]}.bin"
    with contextlib.suppress(OSError):
        records = path.read_bytes()
        if hashlib.sha256(records).hexdigest() == SHA256:
            return records
    kept = _unwritten.get(SHA256)
    records = kept or _drawn(0)
    try:
        with written_whole(path) as part:
            part.write_bytes(records)
    except OSError as err:
        if kept is None:
            why = why_not_written(path.parent, err, len(records), "COURSEKIT_CACHE")
            warnings.warn(
                f"{why} Until this process ends, the bundled pictures are kept in memory.",
                stacklevel=5,  # the caller of coursekit.data.load
            )
        _unwritten[SHA256] = records
    else:
        _unwritten.clear()
    return records
