"""Filters over training, and which of them do no work (lesson 3, "The filter atlas")."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coursekit.atlas.chain import chain, check_maps, index_of, outputs
from coursekit.nn.module import Module
from coursekit.training.callbacks import Callback

if TYPE_CHECKING:
    from coursekit.training.trainer import Trainer


def firing_rates(
    net: Module, x: NDArray, layer: int | str, *, batch_size: int = 256
) -> NDArray[np.float64]:
    """Share of places and pictures at which each unit puts out more than 0.

    A unit at 0 is dead on these pictures: no gradient passes its ReLU, so it cannot recover. One
    at 1 is a ReLU that does nothing.

    Args:
        net: any module.
        x: (N, C, H, W) as the net takes them.
        layer: name or place of a layer that puts out maps; a filter's ReLU.
        batch_size: pictures at a time.

    Returns:
        One share a channel of that layer.

    Raises:
        ValueError: no such layer, it puts out no maps, or no picture.
    """
    fired, places = np.zeros(1, np.int64), 0
    for out in outputs(net, x, layer, batch_size):
        check_maps(layer, out)
        fired = fired + np.count_nonzero(out > 0, axis=(0, 2, 3))
        places += out.size // out.shape[1]
    return fired / places


def duplicate_filters(weight: NDArray, *, threshold: float = 0.9) -> list[tuple[int, int, float]]:
    """Pairs of filters that point the same way, and so answer alike.

    Args:
        weight: (F, C, kh, kw).
        threshold: least cosine of the angle between two of a pair. Opposites, of cosine -1, are
            no duplicates: their ReLUs fire on different pictures.

    Returns:
        (i, j, cosine) with i < j, the most alike first.

    Raises:
        ValueError: weights that are not finite, or no filters.
    """
    weight = np.asarray(weight)
    if weight.ndim < 2 or not weight.size or not np.isfinite(weight).all():
        raise ValueError(
            f"weight: got {weight.dtype} of shape {weight.shape}; needed finite numbers "
            "(F, C, kh, kw)"
        )
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    cosine = np.triu(flat @ flat.T, k=1)
    pairs = [(int(i), int(j), float(cosine[i, j])) for i, j in np.argwhere(cosine >= threshold)]
    return sorted(pairs, key=lambda pair: -pair[2])


class WeightSnapshots(Callback):
    """Keeps a layer's weights before training and after every epoch.

    Args:
        layer: name or place of a layer with weights in ``atlas.chain(trainer.net)``.

    Attributes:
        epochs: 0, 1, ... as many as snapshots.
        weights: copies of the weights, one an epoch.
    """

    def __init__(self, layer: int | str = 0) -> None:
        self.layer = layer
        self.epochs: list[int] = []
        self.weights: list[NDArray] = []

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Keep the weights as drawn; a fit that goes on has them already."""
        if not self.epochs:
            self._keep(trainer)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Keep the weights as they are now."""
        self._keep(trainer)

    def _keep(self, trainer: "Trainer") -> None:
        layer = list(chain(trainer.net).values())[index_of(trainer.net, self.layer)]
        weight = getattr(layer, "weight", None)
        if weight is None:
            raise ValueError(f"layer must have weights, got {self.layer!r}, which is {layer!r}")
        self.epochs.append(trainer.epoch)
        self.weights.append(weight.data.copy())
