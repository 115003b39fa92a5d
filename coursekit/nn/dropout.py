"""Dropout as an object, with a random stream of its own."""

import numpy as np
from numpy.typing import NDArray

from coursekit import functional as F
from coursekit.nn.module import Module


class Dropout(Module):
    """In training, set each entry to 0 with chance ``p`` and divide the others by ``1 - p``.

    Args:
        p: chance to drop.
        seed: fixes the masks; unseeded if None. A ``Trainer`` reseeds all dropout layers at every
            epoch from its own seed.
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p = p
        self.rng = np.random.default_rng(seed)

    def reseed(self, rng: np.random.Generator | int) -> None:
        """Draw the masks to come from ``rng``."""
        self.rng = np.random.default_rng(rng)

    def forward(self, x: NDArray) -> NDArray:
        """Any shape."""
        out, self._cache = F.dropout_forward(x, self.p, training=self.training, rng=self.rng)
        return out

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Gradient of the input."""
        return F.dropout_backward(dout, self._take_cache()) if need_dx else None

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"
