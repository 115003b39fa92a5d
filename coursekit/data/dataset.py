"""What a lesson gets from `coursekit.data.load`: three splits, and batches drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels; read-only, so that no step of a lesson can spoil the next.

    Attributes:
        images: uint8 (N, C, H, W), 0 is black and 255 is full.
        labels: int64 (N,), counted from 0.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        _check_images("images", images)
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels: got {labels.dtype} {labels.shape}; needed whole numbers of shape "
                f"({len(images)},), one for each image"
            )
        for name, array in (("images", images), ("labels", labels.astype(np.int64, copy=False))):
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        return f"Split({len(self):,} images of {shape})"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A labelled set of pictures, split in three; pictures stay uint8 until a batch is drawn.

    Attributes:
        name: "cifar10", "bundled" or "mnist".
        train, val, test: the three `Split`s.
        class_names: the name of each label.
    """

    name: str
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise ValueError(
                    f"{name}: got images of {split.images.shape[1:]}; needed "
                    f"{self.train.images.shape[1:]} as in train"
                )
            check_labels(name, split.labels, len(self.class_names))

    def __repr__(self) -> str:
        channels, height, width = self.train.images.shape[1:]
        counts = ", ".join(f"{len(getattr(self, n)):,} {n}" for n in ("train", "val", "test"))
        return (
            f"Dataset {self.name}: {counts} images, {channels} x {height} x {width} uint8, "
            f"{len(self.class_names)} classes"
        )

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel, from exact counts of the 256 levels."""
        images = self.train.images
        counts = np.zeros((images.shape[1], 256), np.int64)
        for start in range(0, len(images), 500):  # small pieces: bincount widens to 8 bytes
            for channel, row in enumerate(counts):
                row += np.bincount(images[start : start + 500, channel].ravel(), minlength=256)
        levels = np.arange(256) / 255
        weights = counts / max(1, counts[0].sum())
        mean = weights @ levels
        variance = (weights * (levels - mean[:, None]) ** 2).sum(axis=1)
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel over the train images scaled to [0, 1]: float32 (C,)."""
        return self._moments[0].copy()

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel, likewise: float32 (C,)."""
        return self._moments[1].copy()

    def normalize(self, images: ArrayLike, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return `(images / 255 - mean) / std` as floats, channel by channel.

        A channel that never varies in the train images is only shifted.

        Args:
            images: uint8 (N, C, H, W).
            dtype: float32 or float64.

        Raises:
            ValueError: images of another type or number of channels.
        """
        images = np.asarray(images)
        _check_images("images", images)
        mean, std = (values.astype(np.float64) for values in self._moments)
        if images.shape[1] != len(mean):
            raise ValueError(
                f"images: got {images.shape[1]} channels; needed {len(mean)} as in train"
            )
        std[std == 0] = 1
        scale = (1 / (255 * std)).astype(dtype)[:, None, None]
        shift = (-mean / std).astype(dtype)[:, None, None]
        out = np.multiply(images, scale, dtype=dtype)
        out += shift
        return out

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        rng: np.random.Generator | None = None,
        augment: Augment | None = None,
        drop_last: bool = False,
        dtype: DTypeLike = np.float32,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Go once through a split: yield `(x, y)`, normalised floats and int64 labels.

        With `rng` every image comes exactly once in a random order, without it in the stored
        order. The last batch may be smaller, unless `drop_last`.

        Args:
            split: `data.train`, `data.val`, `data.test`, or a `Split` of your own.
            batch_size: images in a batch, at least 1.
            rng: shuffles, and is handed to `augment`.
            augment: `(images, rng) -> images` on uint8 (N, C, H, W), before normalising.
            drop_last: leave out a smaller last batch.
            dtype: float32 or float64.

        Raises:
            ValueError: an argument that does not fit; at once, not at the first batch.
        """
        if not isinstance(split, Split):
            raise ValueError(f"split: got {type(split).__name__}; needed a Split, as data.train")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size!r}; needed a whole number >= 1")
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng: got {type(rng).__name__}; needed np.random.default_rng(seed)")
        if augment is not None and rng is None:
            raise ValueError("rng: got None with augment; needed np.random.default_rng(seed)")
        if np.dtype(dtype).kind != "f":
            raise ValueError(f"dtype: got {np.dtype(dtype)}; needed a float type")
        return self._draw(split, int(batch_size), rng, augment, drop_last, dtype)

    def _draw(self, split, batch_size, rng, augment, drop_last, dtype):
        count = len(split)
        order = np.arange(count) if rng is None else rng.permutation(count)
        stop = count - count % batch_size if drop_last else count
        for start in range(0, stop, batch_size):
            chosen = order[start : start + batch_size]
            images = split.images[chosen]
            if augment is not None:
                images = augment(images, rng)
            labels = split.labels[chosen]
            if rng is not None:
                self.note_drawn(labels)
            yield self.normalize(images, dtype), labels

    def note_drawn(self, labels: np.ndarray) -> None:
        """Called with the labels (N,) of every shuffled batch, in the order drawn; does nothing.

        Whoever wants to see what a training run is fed overrides it, as a study does; whoever
        makes batches of a `Dataset` in a way of its own calls it, as the PyTorch side does.
        """


CHANNELS = (1, 3, 4)  # of the pictures people have: gray, color, color with transparency


def _check_images(name: str, images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or _channels_come_last(images):
        raise ValueError(
            f"{name}: got {images.dtype} {images.shape}; needed uint8 of shape (N, C, H, W)"
            f"{_repair(name, images)}"
        )


def _channels_come_last(images: np.ndarray) -> bool:
    """Whether these can only be (N, H, W, C), as files and matplotlib have pictures."""
    return images.shape[3] in CHANNELS and images.shape[1] > max(CHANNELS)


def _repair(name: str, images: np.ndarray) -> str:
    if images.ndim == 4 and _channels_come_last(images):
        return f": {name}.transpose(0, 3, 1, 2)"
    if images.ndim == 3 and images.dtype == np.uint8:
        if images.shape[0] in CHANNELS:
            return f": {name}[None] for a single picture"
        if images.shape[2] in CHANNELS:
            return f": {name}.transpose(2, 0, 1)[None] for a single picture"
        return f": {name}[:, None] for gray pictures"
    if images.dtype.kind == "f":
        return ": the levels 0 to 255, before anything is normalized"
    return ""


def as_split(split: Any, *, labelled: bool) -> Split:
    """Return ``split`` itself, or a `Split` of the pictures in it.

    Args:
        split: a `Split`; or, with `labelled`, a pair `(images, labels)`; or, without, uint8
            images (N, C, H, W), which get the label 0.
        labelled: whether the labels matter.

    Raises:
        TypeError: something else.
        ValueError: images or labels that do not fit.
    """
    if isinstance(split, Split):
        return split
    if labelled and isinstance(split, tuple) and len(split) == 2:
        return Split(*split)
    if not labelled and hasattr(split, "__array__"):
        images = np.asarray(split)
        return Split(images, np.zeros(images.shape[:1], np.int64))
    other = "(images, labels)" if labelled else "uint8 images (N, C, H, W)"
    raise TypeError(f"split: got {type(split).__name__}; needed a Split, as data.test, or {other}")


def check_dataset(name: str, data: Any) -> None:
    """Raise `TypeError` naming `name` unless `data` is a `Dataset`."""
    if not isinstance(data, Dataset):
        raise TypeError(
            f"{name}: got {type(data).__name__}; needed a Dataset, for example "
            "data.from_arrays(images, labels)"
        )


def check_labels(name: str, labels: np.ndarray, classes: int) -> None:
    """Raise `ValueError` naming `name` unless all labels lie in 0 .. classes - 1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise ValueError(
            f"{name}: found label {labels[wrong[0]]} at position {wrong[0]}"
            f"{f' and {len(wrong) - 1} more out of range' if len(wrong) > 1 else ''}; "
            f"needed 0 to {classes - 1}"
        )
