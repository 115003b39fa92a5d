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
    """Give a ResNet, a VGG or an Inception v3 new last layers for ``classes``, in place."""
    parts: Any = net
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
    """What the layer ``head`` is given for every picture, (N, D); the net is left as it was."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0].detach().clone())

    handle = head.register_forward_pre_hook(keep)
    try:
        with evaluating(net), torch.no_grad():
            for x in batches:
                net(x)
    finally:
        handle.remove()
    return torch.cat(found)


def linear_probe(
    features: NDArray, labels: NDArray, classes: int, strength: float
) -> tuple[NDArray, NDArray]:
    """Ridge regression on one-hot targets: weight (classes, D) and bias (classes,).

    Minimises the sum of squares of ``features @ weight.T + bias - one_hot`` plus ``strength`` times
    the sum of squares of ``weight``; the bias is free.
    """
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
    """
    seen: set[nn.Parameter] = set()
    groups = []
    for i, stage in enumerate(stages):
        own = [p for p in stage.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "lr": lr * decay ** (len(stages) - 1 - i)})
    return groups


def balanced_subset(labels: NDArray, per_class: int, rng: np.random.Generator) -> NDArray:
    """Indices of ``per_class`` pictures of every class that occurs, drawn without replacement."""
    chosen = [
        rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)
    ]
    return rng.permutation(np.concatenate(chosen))


def pca(features: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """Coordinates (N, k) along the ``k`` directions of largest variance, and its shares (k,)."""
    x = features - features.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()
