"""Smaller pictures in the first epochs (lesson 5): most of the learning for a part of the work."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from coursekit.port.pictures import Draw


@dataclass(frozen=True)
class ProgressiveResize:
    """Shrink every picture to the side that its epoch has.

    A convolutional net with a global pool takes pictures of any size, and a picture of 24 pixels
    costs about half of one of 32. Evaluation sees them as they are: let the last epochs do, too.

    Args:
        sides: pixels a side for each epoch; epochs beyond the list have the last.

    Raises:
        ValueError: no side, or one that is not positive.

    Source: Howard, "Training ImageNet in 3 hours for 25 minutes", 2018.
    """

    sides: Sequence[int]

    def __post_init__(self) -> None:
        sides = np.asarray(self.sides)
        if sides.ndim != 1 or not sides.size or sides.dtype.kind not in "iu" or sides.min() < 1:
            raise ValueError(
                f"sides: got {self.sides!r}; needed positive whole numbers, at least one"
            )

    def __call__(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return uint8 images (N, C, side, side); those that have the side already, as they are.

        Raises:
            ValueError: images of another type.
        """
        if images.dtype != torch.uint8:
            raise ValueError(f"images: got {images.dtype}; needed uint8, as the Trainer has them")
        side = self.sides[min(draw.epoch, len(self.sides) - 1)]
        if images.shape[2:] == (side, side):
            return images
        small = torch.nn.functional.interpolate(
            images.float(), (side, side), mode="bilinear", antialias=True
        )
        return small.round().to(torch.uint8)
