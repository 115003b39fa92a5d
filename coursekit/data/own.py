"""Pictures of your own as a `Dataset`: from arrays, or from a folder of pictures for each class."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .dataset import Dataset, Split, check_labels
from .files import DataError
from .split import stratified

if TYPE_CHECKING:
    from PIL import Image

SHARE = 0.2
"""Of the pictures that go to val, and to test, unless told otherwise."""
ENDINGS = (  # torchvision's, and .gif
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp"),
    *(".pgm", ".tif", ".tiff", ".webp", ".gif"),
)
_PARTS = {  # what folders of splits are called, in upper or lower case
    "train": ("train", "training", "train_set", "training_set"),
    "val": ("val", "valid", "validation", "val_set", "validation_set"),
    "test": ("test", "testing", "test_set", "testing_set"),
}
_OUTSIDE = "pictures outside the classes' folders"
_NEEDED = "needed a folder of pictures for each class, or such folders in train/, val/ and test/"

Pair = tuple[ArrayLike, ArrayLike]
_Classes = dict[str, list[Path]]  # for each class its pictures, in order


def from_arrays(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    val_size: int | float | None = None,
    test_size: int | float | None = None,
    val: Pair | None = None,
    test: Pair | None = None,
    seed: int = 0,
    name: str = "own",
) -> Dataset:
    """Make a data set of arrays, which are copied where they are split.

    Args:
        images: uint8 (N, C, H, W), 0 is black and 255 is full.
        labels: (N,) whole numbers counted from 0, or names.
        class_names: the name of each label; default the names in `labels`, sorted, or for numbers
            "0", "1", ...
        val_size, test_size: how many of the pictures are held out, every class in proportion: a
            number of pictures, or a share below 1; default 0.2 each. 0 leaves a split empty.
        val, test: a split of your own, `(images, labels)`, in place of one that is held out.
        seed: decides which pictures are held out.
        name: of the data set.

    Raises:
        ValueError: arrays, names or sizes that do not fit, or a split that would lack a class; the
            message says what to do.
    """
    pictures, values = _pictures("images", images), _labels("labels", labels)
    names = _class_names(class_names, values)
    whole = _split(pictures, values, names)
    given = {
        n: _given(n, pair, names) for n, pair in (("val", val), ("test", test)) if pair is not None
    }
    places = _deal(whole.labels, names, {"val": val_size, "test": test_size}, [*given], seed)
    for part, place in places.items():
        if part not in given:  # in one piece where nothing is held out
            all_of_it = len(place) == len(whole)
            given[part] = whole if all_of_it else Split(whole.images[place], whole.labels[place])
    return Dataset(name=name, class_names=names, **given)


def from_folder(
    path: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] = (32, 32),
    grayscale: bool = False,
    val_size: int | float | None = None,
    test_size: int | float | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Dataset:
    """Make a data set of a folder that holds a folder of pictures for each class.

    The classes are the sorted names of the folders, as in torchvision's `ImageFolder`, and may lie
    in `path` (`path/cat/001.jpg`) or in its folders `train`, `val` (or `valid`, `validation`) and
    `test` (`path/train/cat/001.jpg`). A split that has no folder is held out of train. Pictures
    come class by class, in the order of their paths.

    A picture is turned as its EXIF data says, laid on white where it is transparent, and brought
    to 8 bits; of an animation the first frame counts. Then the largest piece in the middle that
    has the proportions of `size` is resized to it, bilinear with antialiasing. Hidden files and
    files that are no pictures (by their ending) are skipped, and a warning counts them.

    Args:
        path: the folder.
        size: (height, width) of all pictures in the data set, or one number for both.
        grayscale: one channel in place of three.
        val_size, test_size: as in `from_arrays`, of the pictures in train.
        seed: decides which pictures are held out.
        name: of the data set; default that of the folder.

    Raises:
        DataError: no class, a class without pictures, or pictures that cannot be read; the message
            names them.
        ValueError: sizes that do not fit, or a split that would lack a class.
    """
    shape = _size(size)
    root = Path(path).expanduser().absolute()
    parts = _scan(root)
    names = tuple(parts["train"])
    every = {
        part: [(file, label) for label, n in enumerate(names) for file in classes[n]]
        for part, classes in parts.items()
    }
    labels = np.array([label for _, label in every["train"]])
    places = _deal(
        labels,
        names,
        {"val": val_size, "test": test_size},
        [p for p in parts if p != "train"],
        seed,
    )
    chosen = {
        part: [every["train"][k] for k in places[part]] if part in places else every[part]
        for part in _PARTS
    }
    files = [file for rows in chosen.values() for file, _ in rows]
    images = _read(root, files, shape, grayscale)
    splits, start = {}, 0
    for part, rows in chosen.items():
        stop = start + len(rows)
        splits[part] = Split(images[start:stop], np.array([n for _, n in rows], np.int64))
        start = stop
    return Dataset(name=name or root.name, class_names=names, **splits)


# --- arrays --------------------------------------------------------------------------------------


def _pictures(name: str, images: ArrayLike) -> np.ndarray:
    """Return an array that `Split` judges; other types than uint8 are refused with the remedy."""
    try:
        array = np.asarray(images)
    except ValueError as err:
        raise ValueError(
            f"{name}: got pictures of different shapes; needed one array, uint8 (N, C, H, W)"
        ) from err
    if array.dtype != np.uint8:
        remedy = _remedy(name, array)
        raise ValueError(
            f"{name}: got {array.dtype} {array.shape}; needed uint8, 0 black and 255 full{remedy}"
        )
    if not len(array):
        raise ValueError(f"{name}: got no picture; needed uint8 (N, C, H, W) with N > 0")
    return array


def _remedy(name: str, array: np.ndarray) -> str:
    """What makes uint8 of this array, by the range of its values."""
    if array.dtype.kind not in "iufb" or not array.size or not np.isfinite(array).all():
        return ""
    low, high = float(array.min()), float(array.max())
    scaled = {
        (0, 1): f"({name} * 255).round()",
        (-1, 1): f"(({name} + 1) * 127.5).round()",
        (0, 255): f"{name}.round()" if array.dtype.kind == "f" else name,
        (0, 65535): f"({name} // 257)",
    }
    for (least, most), code in scaled.items():
        if least <= low and high <= most:
            return f": {code}.astype(np.uint8), if its values go from {least} to {most}"
    return ""


def _labels(name: str, labels: ArrayLike) -> np.ndarray:
    """Return labels (N,) as whole numbers or strings."""
    try:
        values = np.asarray(labels)
    except (ValueError, OverflowError) as err:
        raise ValueError(
            f"{name}: got rows of different lengths; needed one label for each picture, (N,)"
        ) from err
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.ravel()):
        values = values.astype(str)
    if values.ndim == 1 and values.dtype.kind in "iuU":
        return values
    remedy = ""
    if values.ndim == 2 and values.dtype.kind in "iufb":
        remedy = ".ravel()" if values.shape[1] == 1 else ".argmax(axis=1), if it is one-hot"
    elif values.ndim == 1 and (
        values.dtype.kind == "b" or (values.dtype.kind == "f" and (values == np.rint(values)).all())
    ):
        remedy = ".astype(int)"
    elif values.dtype.kind == "S":
        remedy = ".astype(str)"
    raise ValueError(
        f"{name}: got {values.dtype} {values.shape}; needed whole numbers or names of shape (N,)"
        f"{f': {name}{remedy}' if remedy else ''}"
    )


def _class_names(class_names: Sequence[str] | None, labels: np.ndarray) -> tuple[str, ...]:
    if class_names is None:
        found = np.unique(labels)
        if labels.dtype.kind != "U" and not np.array_equal(found, np.arange(len(found))):
            raise ValueError(
                f"labels: found {_some([str(n) for n in found], quote=False)}; needed 0, 1, 2, ... "
                "without a gap: np.unique(labels, return_inverse=True)[1], or class_names"
            )
        names = tuple(map(str, found))
    else:
        names = () if isinstance(class_names, str) else tuple(class_names)
        if not all(isinstance(n, str) for n in names) or len(set(names)) < len(names) or not names:
            raise ValueError(
                f"class_names: got {class_names!r}; needed a list of different strings"
            )
    if len(names) < 2:
        raise ValueError(f"labels: found one class, {names[0]!r}; needed at least 2")
    return names


def _split(
    images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], which: str = "labels"
) -> Split:
    """Return pictures with labels, names turned into numbers, all of them checked."""
    if labels.dtype.kind == "U":
        number = {n: k for k, n in enumerate(names)}
        unknown = sorted(set(labels.tolist()) - number.keys())
        if unknown:
            raise ValueError(f"{which}: found {_some(unknown)}; needed one of {_some(names)}")
        labels = np.array([number[n] for n in labels.tolist()], np.int64)
    split = Split(images, labels)
    check_labels(which, split.labels, len(names))
    return split


def _given(which: str, pair: Any, names: tuple[str, ...]) -> Split:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{which}: got {type(pair).__name__}; needed a pair (images, labels)")
    try:
        return _split(_pictures("images", pair[0]), _labels("labels", pair[1]), names)
    except ValueError as err:
        raise ValueError(f"{which}: {err}") from err


# --- splits --------------------------------------------------------------------------------------


def _deal(
    labels: np.ndarray,
    names: tuple[str, ...],
    sizes: dict[str, int | float | None],
    given: list[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """Choose the positions of train, and of val and test unless they are given.

    The test pictures depend on seed and test_size alone.
    """
    found = np.bincount(labels, minlength=len(names))
    if not found.all():
        empty = [names[k] for k in np.flatnonzero(found == 0)]
        raise ValueError(
            f"labels: found no picture of {_some(empty)}; needed some of every class "
            f"({_counts(names, found)}). Labels count from 0"
        )
    counts = {part: _count(part, size, len(labels), part in given) for part, size in sizes.items()}
    asked = ", ".join(f"{n} for {part}" for part, n in counts.items() if n)
    if sum(counts.values()) >= len(labels):
        raise ValueError(
            f"val_size and test_size: got {asked} of {len(labels)} pictures; needed some for train"
        )
    rest, test = stratified(labels, counts["test"], None, seed)
    train, val = stratified(labels[rest], counts["val"], None, seed)
    places = {"train": rest[train], "val": rest[val], "test": test}
    for part, place in places.items():
        held = np.bincount(labels[place], minlength=len(names))
        if len(place) and not held.all():
            lacking = [names[k] for k in np.flatnonzero(held == 0)]
            raise ValueError(
                f"val_size and test_size: with {asked} of {len(labels)} pictures, {part} "
                f"gets none of {_some(lacking)}; needed some of every class "
                f"({_counts(names, found)}). Add pictures, choose other sizes (0 leaves a split "
                "empty), or give splits of your own"
            )
    return {part: place for part, place in places.items() if part not in given}


def _count(part: str, size: int | float | None, total: int, given: bool) -> int:
    if given:
        if size is not None:
            raise ValueError(
                f"{part}_size: got {size!r} along with {part} pictures; needed one or the other"
            )
        return 0
    size = SHARE if size is None else size
    if isinstance(size, (float, np.floating)) and 0 <= size < 1:
        count = round(float(size) * total)
        if size and not count:
            raise ValueError(
                f"{part}_size: got {size!r}, which is less than one of {total} pictures; needed a "
                "larger share, or 0 for an empty split"
            )
        return count
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0:
        return int(size)
    raise ValueError(f"{part}_size: got {size!r}; needed a number of pictures, or a share below 1")


def _counts(names: Sequence[str], found: Iterable[int]) -> str:
    return _some([f"{name}: {n}" for name, n in zip(names, found, strict=True)], quote=False)


def _some(names: Sequence[str], most: int = 10, *, quote: bool = True) -> str:
    """A few of the names, and how many more there are."""
    said = ", ".join(repr(n) if quote else n for n in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


# --- folders -------------------------------------------------------------------------------------


def _scan(root: Path) -> dict[str, _Classes]:
    """Return for train, and for val and test if they have folders, each class's pictures."""
    if not root.is_dir():
        raise DataError(
            f"path: found {'a file' if root.exists() else 'nothing'} at {root}; {_NEEDED}"
        )
    skipped: Counter[str] = Counter()
    folders = {"train": root}
    inside, _ = _visible(root, Counter())
    found = {
        part: sorted(name for name in inside if name.lower() in aliases)
        for part, aliases in _PARTS.items()
    }
    splits = [name for names in found.values() for name in names]
    # A class may be called "train", too; but only a split's folder holds folders.
    if any(_visible(root / name, Counter())[0] for name in found["train"] or splits):
        _skip(_visible(root, skipped)[1], skipped, _OUTSIDE)
        for several in found.values():
            if len(several) > 1:
                raise DataError(f"{root}: found {_some(several)}; needed one of them")
        other = sorted(set(inside) - set(splits))
        if other:
            raise DataError(
                f"{root}: found {_some(other)} beside {_some(splits)}; needed train, val and test"
            )
        if not found["train"]:
            raise DataError(f"{root}: found {_some(splits)} without train; needed train as well")
        folders = {part: root / present[0] for part, present in found.items() if present}
    parts = {part: _classes(folder, skipped) for part, folder in folders.items()}
    names = parts["train"].keys()
    for part, classes in parts.items():
        if classes.keys() != names:
            missing, new = sorted(names - classes.keys()), sorted(classes.keys() - names)
            lacks = [f"no folder for {_some(missing)}"] if missing else []
            has = [f"{_some(new)}, which train does not have"] if new else []
            raise DataError(
                f"{folders[part]}: found {' and '.join(lacks + has)}; needed the classes of train"
            )
    if skipped:
        said = ", ".join(f"{count} {why}" for why, count in sorted(skipped.items()))
        warnings.warn(f"{root}: skipped {said}", stacklevel=3)
    return parts


def _classes(folder: Path, skipped: Counter[str]) -> _Classes:
    """Return for each class in a folder its pictures, in the order of their paths."""
    names, files = _visible(folder, skipped)
    loose = [name for name in files if _is_picture(name)]
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no folder"
        if names and (below := _visible(folder / names[0], Counter())[0]):
            found += f" (it holds folders: {_some(below)})"
        if loose:
            found += f", and {len(loose)} pictures in no folder"
        raise DataError(f"{folder}: found {found}; {_NEEDED}, and at least 2 classes")
    _skip(files, skipped, _OUTSIDE)
    classes = {name: sorted(_walk(folder / name, skipped)) for name in names}
    empty = [name for name, pictures in classes.items() if not pictures]
    if empty:
        found = _counts(names, map(len, classes.values()))
        raise DataError(
            f"{folder}: found no pictures of {_some(empty)} ({found}); needed files that end in "
            f"{', '.join(ENDINGS)}. Add some, or remove the folder"
        )
    return {name: [folder / name / file for file in files] for name, files in classes.items()}


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[str]:
    """Yield the pictures in a folder and below, as paths from there with forward slashes."""
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        real = os.path.realpath(folder / prefix)
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        folders, files = _visible(folder / prefix, skipped)
        _skip(files, skipped, None)
        yield from (prefix + name for name in files if _is_picture(name))
        waiting += (f"{prefix}{name}/" for name in folders)


def _visible(folder: Path, skipped: Counter[str]) -> tuple[list[str], list[str]]:
    """Return the sorted names of folders and files, without hidden ones, which are counted."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as err:
        raise DataError(f"{folder}: cannot be read ({err.strerror or err})") from err
    shown = [e for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"]
    if len(shown) < len(entries):
        skipped["hidden"] += len(entries) - len(shown)
    folders = {entry.name for entry in shown if os.path.isdir(entry.path)}  # a link to itself: no
    return sorted(folders), [entry.name for entry in shown if entry.name not in folders]


def _skip(files: list[str], skipped: Counter[str], pictures: str | None) -> None:
    """Count what is no picture, and under the name `pictures` what is one."""
    for name in files:
        if not _is_picture(name):
            skipped[f"of another kind ({Path(name).suffix or 'no ending'})"] += 1
        elif pictures:
            skipped[pictures] += 1


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


# --- pictures ------------------------------------------------------------------------------------


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    whole = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not whole or any(
        not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1 for n in pair
    ):
        raise ValueError(f"size: got {size!r}; needed (height, width) in pixels, or one number")
    return int(pair[0]), int(pair[1])


def _read(root: Path, files: list[Path], size: tuple[int, int], grayscale: bool) -> np.ndarray:
    """Return the pictures, uint8 (N, C, H, W).

    Raises:
        DataError: naming all that cannot be read.
    """
    from PIL import UnidentifiedImageError
    from tqdm.auto import tqdm

    images = np.empty((len(files), 1 if grayscale else 3, *size), np.uint8)

    def read(k: int) -> str:
        try:
            images[k] = _picture(files[k], size, grayscale)
        except UnidentifiedImageError:
            why = "not a picture, or one of an unknown kind"
        except Exception as err:  # a damaged picture can raise nearly anything
            why = str(err) or type(err).__name__
        else:
            return ""
        return f"{files[k].relative_to(root).as_posix()} ({why})"

    quiet = os.environ.get("COURSEKIT_PROGRESS") == "off"
    with ThreadPoolExecutor() as pool:  # Pillow lets go of the interpreter lock
        results = pool.map(read, range(len(files)))
        broken = [b for b in tqdm(results, total=len(files), delay=2, disable=quiet) if b]
    if broken:
        said = _some(broken, 5, quote=False)
        raise DataError(
            f"{root}: found {len(broken)} of {len(files)} pictures that cannot be read: {said}. "
            "Repair or remove them"
        )
    return images


def _picture(path: Path, size: tuple[int, int], grayscale: bool) -> np.ndarray:
    """Return one picture, uint8 (C, H, W)."""
    from PIL import Image, ImageOps

    height, width = size
    if not path.is_file():
        raise ValueError("not a file, or a link that leads nowhere")
    with Image.open(path) as image:
        side = 4 * max(size)
        image.draft(None, (side, side))  # photographs: decode no more of a JPEG than is needed
        turned = _eight_bits(ImageOps.exif_transpose(image), image.format)
    picture = _without_alpha(turned).convert("L" if grayscale else "RGB")
    small = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(small).reshape(height, width, -1).transpose(2, 0, 1)


def _eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """Scale 16 bits to 8; Pillow's own conversion cuts them off at 255."""
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and file_format not in ("PNG", "PPM")):
        raise ValueError("its pixels have 32 bits and no known range; needed 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    scaled = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    scaled.info = image.info
    return scaled


def _without_alpha(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white; others stay as they are."""
    from PIL import Image

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))
