"""Random changes to pictures that leave their class as it is: mirror them, shift them.

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
class Compose:
    """Do several changes one after the other."""

    steps: Sequence[Augment]

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the images after all steps."""
        for step in self.steps:
            images = step(images, rng)
        return images
