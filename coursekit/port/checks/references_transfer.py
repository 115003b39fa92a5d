"""Lesson 6's exercises, solved: what the learner's functions are compared with."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from coursekit.training.modes import evaluating


def replace_head(net: nn.Module, classes: int) -> nn.Module:
    """Give a ResNet, a VGG or an Inception v3 new last layers for ``classes``, in place.

    Raises:
        ValueError: a net without such a last layer, or a number of classes below 1.
    """
    parts: Any = net
    chain = getattr(net, "classifier", None)
    head = (
        chain[-1] if isinstance(chain, nn.Sequential) and len(chain) else getattr(net, "fc", None)
    )
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"net: got {type(net).__name__}; needed a ResNet or an Inception (fc), or a VGG "
            "(classifier), whose last layer is linear"
        )
    if not isinstance(classes, int | np.integer) or classes < 1:
        raise ValueError(f"classes: got {classes!r}; needed a whole number of at least 1")
    if hasattr(net, "classifier"):
        parts.classifier[-1] = nn.Linear(parts.classifier[-1].in_features, classes)
        return net
    parts.fc = nn.Linear(parts.fc.in_features, classes)
    if getattr(net, "AuxLogits", None) is not None:
        parts.AuxLogits.fc = nn.Linear(parts.AuxLogits.fc.in_features, classes)
    return net


def _stays(layer: nn.Module, mode: bool = True) -> nn.Module:
    """What ``layer.train`` is as long as ``layer`` is frozen."""
    return layer


def freeze(net: nn.Module, keep: nn.Module) -> None:
    """Let nothing of ``net`` learn but its part ``keep``.

    Frozen layers stay in evaluation mode, whatever ``net.train()`` says: else batch norm's running
    statistics would go on moving. What an earlier call froze of ``keep`` learns again and is in the
    mode of ``net``. :func:`thaw` undoes it all.

    Raises:
        ValueError: ``keep`` has a parameter that is not in ``net``.
    """
    foreign = len(set(keep.parameters()) - set(net.parameters()))
    if foreign:
        raise ValueError(
            f"keep: got {type(keep).__name__} with {foreign} parameters that {type(net).__name__} "
            "does not have; needed a part of net, as net.fc"
        )
    kept = set(keep.modules())
    net.requires_grad_(False)
    keep.requires_grad_(True)
    for layer in net.modules():
        if layer in kept:
            if vars(layer).pop("train", None):
                layer.training = net.training
        elif not list(layer.children()):
            layer.eval()
            layer.train = partial(_stays, layer)  # type: ignore[method-assign]


def thaw(net: nn.Module) -> None:
    """Let all of a net learn again that :func:`freeze` froze; it is left in training mode."""
    net.requires_grad_(True)
    for layer in net.modules():
        vars(layer).pop("train", None)
    net.train()


def check_pictures(images: NDArray, size: int, mean: ArrayLike, std: ArrayLike) -> None:
    """Raise ``ValueError`` for what :func:`prepare` does not take."""
    came = f"{images.dtype} of shape {images.shape}"
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images: got {came}; needed uint8 (N, C, H, W), the levels 0 to 255 as they are stored"
        )
    if size < 1 or size != int(size):
        raise ValueError(f"size: got {size}; needed a number of pixels, at least 1")
    channels = images.shape[1]
    for name, values in (("mean", np.asarray(mean, float)), ("std", np.asarray(std, float))):
        fits = values.shape in ((channels,), (1,)) and np.isfinite(values).all()
        if not fits or (name == "std" and values.min() <= 0):
            above = " greater than 0" if name == "std" else ""
            raise ValueError(
                f"{name}: got {values.tolist()}; needed {channels} numbers{above}, one a channel "
                f"of images ({came})"
            )


def prepare(images: NDArray, size: int, mean: ArrayLike, std: ArrayLike) -> Tensor:
    """uint8 pictures (N, 3, H, W) as a net was trained to see them: float32 (N, 3, size, size).

    Args:
        images: uint8 (N, C, H, W), 0 is black and 255 is full.
        size: side of the square to which they are resized.
        mean, std: a number for each channel, of pictures in [0, 1].

    Raises:
        ValueError: pictures of another type, as floats in [0, 1], or an argument that does not fit.
    """
    images = np.asarray(images)
    check_pictures(images, size, mean, std)
    x = torch.tensor(np.ascontiguousarray(images)).float() / 255
    if x.shape[2:] != (size, size):
        x = nn.functional.interpolate(
            x, (size, size), mode="bilinear", align_corners=False, antialias=True
        )
    shift, scale = (torch.tensor(np.asarray(v), dtype=x.dtype)[:, None, None] for v in (mean, std))
    return (x - shift) / scale


def extract_features(net: nn.Module, head: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """What the layer ``head`` is given for every picture, (N, D); the net is left as it was.

    Raises:
        ValueError: there are no pictures, or ``head`` does not run once for each batch.
    """
    found: list[Tensor] = []
    counts: list[int] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0].detach().clone())

    handle = head.register_forward_pre_hook(keep)
    try:
        with evaluating(net), torch.no_grad():
            for x in batches:
                net(x)
                counts.append(len(x))
    finally:
        handle.remove()
    if not counts:
        raise ValueError("batches: got none; needed pictures (N, C, H, W)")
    if [len(rows) for rows in found] != counts:
        raise ValueError(
            f"head: got {type(head).__name__}, which ran {len(found)} times for {len(counts)} "
            "batches; needed a layer of net that each picture passes once"
        )
    return torch.cat(found)


def _check_rows(name: str, rows: NDArray) -> None:
    """Raise ``ValueError`` unless ``rows`` are finite floats (N, D)."""
    if (
        not isinstance(rows, np.ndarray)
        or rows.dtype not in (np.float32, np.float64)
        or rows.ndim != 2
        or not rows.size
    ):
        came = (
            f"{rows.dtype} of shape {rows.shape}"
            if isinstance(rows, np.ndarray)
            else type(rows).__name__
        )
        raise ValueError(f"{name}: got {came}; needed float32 or float64 (N, D)")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name}: got nan or infinite values; needed finite ones")


def _check_labels(labels: NDArray, needed: int | None = None) -> None:
    """Raise ``ValueError`` unless ``labels`` are whole numbers (N,)."""
    count = len(labels) if needed is None else needed
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != (count,) or not count:
        raise ValueError(
            f"labels: got {array.dtype} of shape {array.shape}; needed whole numbers "
            f"({'N' if needed is None else needed},)"
        )


def linear_probe(
    features: NDArray, labels: NDArray, classes: int, strength: float
) -> tuple[NDArray, NDArray]:
    """Ridge regression on one-hot targets: weight (classes, D) and bias (classes,).

    Minimises the sum of squares of ``features @ weight.T + bias - one_hot`` plus ``strength`` times
    the sum of squares of ``weight``; the bias is free.

    Args:
        features: float32 or float64 (N, D).
        labels: whole numbers (N,) in 0 .. classes - 1.
        classes: how many there are.
        strength: greater than 0, or 0 where the features are independent.

    Raises:
        ValueError: an argument that does not fit.
    """
    _check_rows("features", features)
    _check_labels(labels, len(features))
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"labels: got values from {labels.min()} to {labels.max()}; needed 0 to {classes - 1}"
        )
    if not 0 <= strength < np.inf:
        raise ValueError(f"strength: got {strength}; needed a number of at least 0")
    targets = np.eye(classes, dtype=features.dtype)[labels]
    centre, middle = features.mean(axis=0), targets.mean(axis=0)
    x, y = features - centre, targets - middle
    gram = x.T @ x + strength * np.eye(x.shape[1], dtype=x.dtype)
    weight = np.linalg.solve(gram, x.T @ y).T
    return weight, middle - weight @ centre


def layerwise_rates(stages: Sequence[nn.Module], lr: float, decay: float) -> list[dict[str, Any]]:
    """Parameter groups of stages, from the pictures on: the last learns at ``lr``, each one before
    it at ``decay`` times the rate of the next.

    What is frozen is left out, and so is a stage that has nothing else. What two stages share
    belongs to the first of them.

    Raises:
        ValueError: ``lr`` or ``decay`` is no positive number.
    """
    for name, value in (("lr", lr), ("decay", decay)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: got {value}; needed a number greater than 0")
    seen: set[nn.Parameter] = set()
    groups = []
    for i, stage in enumerate(stages):
        own = [p for p in stage.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "lr": lr * decay ** (len(stages) - 1 - i)})
    return groups


def balanced_subset(labels: NDArray, per_class: int, rng: np.random.Generator) -> NDArray:
    """Indices of ``per_class`` pictures of every class that occurs, drawn without replacement.

    Raises:
        ValueError: a class has fewer, or an argument does not fit.
    """
    _check_labels(labels)
    found, counts = np.unique(labels, return_counts=True)
    if not 1 <= per_class <= counts.min():
        raise ValueError(
            f"per_class: got {per_class}; needed 1 to {counts.min()}, which class "
            f"{found[counts.argmin()]} has"
        )
    chosen = [
        rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)
    ]
    return rng.permutation(np.concatenate(chosen))


def pca(features: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """Coordinates (N, k) along the ``k`` directions of largest variance, and its shares (k,).

    Raises:
        ValueError: ``features`` are no finite floats (N, D) or all alike, or have no ``k``
            directions.
    """
    _check_rows("features", features)
    if not 1 <= k <= min(features.shape):
        raise ValueError(f"k: got {k}; needed 1 to {min(features.shape)}, for {features.shape}")
    x = features - features.mean(axis=0)
    if not x.any():
        raise ValueError(f"features: got {len(x)} rows that are all alike; needed some variance")
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()
