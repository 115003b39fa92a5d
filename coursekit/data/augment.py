"""Random changes to pictures that leave their class as it is: mirror, shift, cover, recolour.

Each is a callable `(images, rng) -> images` on uint8 (N, C, H, W); the input is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .dataset import Augment

PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]
PADDING_MODES = get_args(PaddingMode)

# How bright red, green and blue look (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror each picture left to right with chance `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p: got {self.p!r}; needed a chance from 0 to 1")

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images of the same shape, some mirrored."""
        mirrored = rng.random(len(images)) < self.p
        out = images.copy()
        out[mirrored] = images[mirrored, ..., ::-1]
        return out


@dataclass(frozen=True)
class RandomCrop:
    """Widen each picture by `padding` pixels on all sides, then cut its old size out anywhere.

    So a picture is shifted by up to `padding` pixels each way, each of the (2 padding + 1)^2 shifts
    equally likely. `padding_mode` says what comes in at the border, in the names of
    `torchvision.transforms.RandomCrop`: "constant" (black), "edge", "reflect" or "symmetric".
    """

    padding: int = 4
    padding_mode: PaddingMode = "reflect"

    def __post_init__(self) -> None:
        if not isinstance(self.padding, int) or self.padding < 0:
            raise ValueError(f"padding: got {self.padding!r}; needed a whole number >= 0")
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode: got {self.padding_mode!r}; needed one of {PADDING_MODES}"
            )

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images of the same shape, each shifted."""
        count, _, height, width = images.shape
        pad = self.padding
        padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=self.padding_mode)
        # windows[n, :, y, x] is the crop of picture n whose corner is at (y, x): a view, no copy
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        y, x = rng.integers(0, 2 * pad + 1, (2, count))
        return windows[np.arange(count), :, y, x]


@dataclass(frozen=True)
class Cutout:
    """Cover a square of each picture, with its middle on any pixel: no part may be relied upon.

    What sticks out of the picture is lost, so near the border less is covered. `fill` is one level
    for all channels or a tuple of one each; the default, mid-grey, is close to the mean of
    photographs, which normalising turns into 0.

    Source: DeVries & Taylor, "Improved regularization of convolutional neural networks with
    cutout", 2017.
    """

    size: int = 8
    fill: int | tuple[int, ...] = 128

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size: got {self.size!r}; needed a whole number >= 1")
        levels = np.ravel(self.fill)
        if levels.dtype.kind != "i" or not len(levels) or levels.min() < 0 or levels.max() > 255:
            raise ValueError(f"fill: got {self.fill!r}; needed whole numbers from 0 to 255")

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images of the same shape, each with a hole."""
        count, channels, height, width = images.shape
        fill = np.ravel(self.fill).astype(np.uint8)
        if len(fill) not in (1, channels):
            raise ValueError(f"fill: got {len(fill)} levels; needed 1 or {channels}, as channels")
        y, x = rng.integers(0, [[height], [width]], (2, count))
        hole = self._covered(y, height)[:, :, None] & self._covered(x, width)[:, None, :]
        out = images.copy()
        np.copyto(out, fill[:, None, None], where=hole[:, None])
        return out

    def _covered(self, middle: np.ndarray, side: int) -> np.ndarray:
        """Which of the rows or columns 0 .. side - 1 the square takes: bool (N, side)."""
        place = np.arange(side) - (middle - self.size // 2)[:, None]
        return (place >= 0) & (place < self.size)


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast and saturation of each picture by factors of its own.

    A strength s draws its factor from [max(0, 1 - s), 1 + s], as in
    `torchvision.transforms.ColorJitter`:

    - brightness b multiplies all levels;
    - contrast c moves them from the picture's mean grey, or towards it;
    - saturation s moves each pixel from its own grey, or towards it.

    They are done in this order and rounded once, at the end; torchvision shuffles the order and
    cuts to whole levels in between.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            strength = getattr(self, name)
            if not 0 <= strength < np.inf:
                raise ValueError(f"{name}: got {strength!r}; needed a strength >= 0")

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images of the same shape, (N, 3, H, W) or, grey, (N, 1, H, W)."""
        if images.shape[1] not in (1, 3):
            raise ValueError(f"images: got {images.shape[1]} channels; needed 3, or 1 if grey")
        strengths = np.array([[self.brightness], [self.contrast], [self.saturation]])
        low = np.maximum(0, 1 - strengths)
        factors = rng.uniform(low, 1 + strengths, (3, len(images)))
        b, c, s = factors.astype(np.float32)[:, :, None, None, None]
        x = images.astype(np.float32)
        luma = _LUMA if images.shape[1] == 3 else np.ones(1, np.float32)
        grey = np.einsum("nchw,c->nhw", x, luma)[:, None]
        # All three at once. Behind brightness and contrast a level is c * b * x + rest, and a
        # pixel's grey is c * b * grey + rest; saturation mixes the two.
        rest = (1 - c) * b * grey.mean(axis=(1, 2, 3), keepdims=True)
        x *= c * b * s
        x += c * b * (1 - s) * grey + rest
        return np.rint(x, out=x).clip(0, 255, out=x).astype(np.uint8)


@dataclass(frozen=True)
class Compose:
    """Do several changes one after the other."""

    steps: Sequence[Augment]

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the images after all steps."""
        for step in self.steps:
            images = step(images, rng)
        return images
