"""Borrowed nets: their parts, small ones to lend, and features that are kept (lesson 6).

Three families are known by their parts: ResNet (``conv1 ... layerN, fc``), VGG (``features,
classifier``) and Inception v3. torchvision's nets and the small ones here have the same parts, so
the same code takes off their heads.
"""

import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from coursekit.atomic import written_whole
from coursekit.data.files import why_not_written
from coursekit.port.checks.references_transfer import check_pictures, extract_features, prepare
from coursekit.port.feature_key import key_of
from coursekit.port.residual import BasicBlock

Stages = dict[str, list[nn.Module]]
_PROBES = 4  # pictures whose kept features are compared with the net at hand


class SmallResNet(nn.Module):
    """A ResNet for 32-pixel pictures: a convolution, a pool, and a basic block a stage.

    Its parts have the names of torchvision's ResNet; pictures may have any size from 16 on.

    Args:
        classes: outputs of the head.
        widths: channels of the stages, each at half the resolution of the one before.

    Source: He et al., "Deep residual learning for image recognition", 2015.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        before = widths[0]
        for i, width in enumerate(widths):
            self.add_module(f"layer{i + 1}", BasicBlock(before, width, 1 if i == 0 else 2))
            before = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, classes)
        _start(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, classes) of pictures (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name, layer in self.named_children():
            if name.startswith("layer"):
                x = layer(x)
        return self.fc(self.avgpool(x).flatten(1))


class SmallVGG(nn.Module):
    """A VGG with batch norm for 32-pixel pictures: a convolution and a pool a stage.

    Its parts have the names of torchvision's VGG; pictures may have any size from 16 on.

    Args:
        classes: outputs of the last layer.
        widths: channels of the convolutions.

    Source: Simonyan & Zisserman, "Very deep convolutional networks", 2014.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (24, 48, 96, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            before = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(before, before), nn.ReLU(inplace=True), nn.Linear(before, classes)
        )
        _start(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, classes) of pictures (N, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _start(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def head_of(net: nn.Module) -> nn.Linear:
    """The last linear layer, which is replaced for other classes.

    Raises:
        ValueError: the net is of none of the three families.
    """
    head: Any = getattr(net, "fc", None)
    chain = getattr(net, "classifier", None)
    if head is None and isinstance(chain, nn.Sequential):
        head = chain[-1]
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"net: got {type(net).__name__}; needed a ResNet or an Inception (fc), or a VGG "
            "(classifier), whose last layer is linear"
        )
    return head


def stages(net: nn.Module) -> Stages:
    """The net's parts by name, from the pictures on; the last one is the head.

    Every parameter belongs to exactly one stage. A stage ends where its last module does.

    Raises:
        ValueError: the net is of none of the three families.
    """
    head_of(net)
    parts: Any = net
    if hasattr(net, "features"):
        found: Stages = {"block 1": []}
        for layer in parts.features:
            found[f"block {len(found)}"].append(layer)
            if isinstance(layer, nn.MaxPool2d):
                found[f"block {len(found) + 1}"] = []
        found = {name: layers for name, layers in found.items() if layers}
        return found | {"head": list(parts.classifier)}
    if hasattr(net, "layer1"):
        stem = [parts.conv1, parts.bn1, parts.relu, parts.maxpool]
        blocks = {n: [m] for n, m in net.named_children() if n.startswith("layer")}
        return {"stem": stem, **blocks, "head": [parts.fc]}
    named = {name: m for name, m in net.named_children() if any(True for _ in m.parameters())}
    tail = [named.pop("fc")]
    if "AuxLogits" in named:
        tail.insert(0, named.pop("AuxLogits"))
    found = {}
    for name, module in named.items():  # Conv2d_1a_3x3 ..., Mixed_5b, ..., Mixed_7c
        family = name[:7] if name.startswith("Mixed") else "stem"
        found.setdefault(family, []).append(module)
    return found | {"head": tail}


def stage_features(net: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, NDArray]:
    """What each stage but the head makes of pictures, averaged over positions.

    Args:
        net: one whose :func:`stages` are known; it is left as it was.
        batches: pictures (N, 3, H, W) each.

    Returns:
        for each stage's name float arrays (pictures, channels).
    """
    kept: dict[str, list[torch.Tensor]] = {}
    handles = []
    for name, layers in stages(net).items():
        if name == "head":
            continue
        kept[name] = []

        def keep(_module: nn.Module, _inputs: object, out: torch.Tensor, name: str = name) -> None:
            kept[name].append(out.mean(dim=(2, 3)).cpu())

        handles.append(layers[-1].register_forward_hook(keep))
    try:
        extract_features(net, head_of(net), batches)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts).numpy() for name, parts in kept.items()}


def cached_features(
    net: nn.Module,
    images: NDArray,
    size: int,
    mean: Sequence[float] | NDArray,
    std: Sequence[float] | NDArray,
    *,
    folder: str | os.PathLike[str],
    batch_size: int = 250,
) -> NDArray:
    """What the head of ``net`` is given for each picture, computed once and kept in a file.

    The file's name is a hash of what the features depend on: the net's weights, settings and code,
    the pictures, and how they are prepared. A hash cannot follow all that code may look up, so the
    features of a few pictures are computed each time, and all of them where those differ. A damaged
    file is computed anew; where none can be written, a warning says why.

    Args:
        net: one of the three families; it is left as it was, on the device where it is.
        images: uint8 (N, 3, H, W).
        size: side of the square to which pictures are resized.
        mean, std: three numbers each, of pictures in [0, 1].
        folder: where the file lies; made if it is missing.
        batch_size: pictures at a time.

    Returns:
        float32 (N, D).

    Raises:
        ValueError: an argument that does not fit; :func:`prepare` and :func:`head_of` say which.
    """
    images = np.asarray(images)
    told = [np.asarray(values, np.float64) for values in (mean, std)]
    check_pictures(images, size, *told)
    if batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}; needed at least 1")
    head = head_of(net)
    key = key_of(net, head, images, int(size), told)
    path = Path(folder) / f"features-{key}.npz"

    def compute(pictures: NDArray) -> NDArray:
        device = next(net.parameters()).device
        parts = (pictures[i : i + batch_size] for i in range(0, len(pictures), batch_size))
        batches = (prepare(part, size, mean, std).to(device) for part in parts)
        return extract_features(net, head, batches).float().cpu().numpy()

    kept = _kept_features(path, (len(images), head.in_features))
    if kept is not None:
        few = slice(None, None, -(-len(images) // _PROBES))
        if _nearly_equal(kept[few], compute(images[few])):
            return kept
    features = compute(images)
    try:
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, features=features)
    except OSError as error:
        why = why_not_written(path.parent, error, features.nbytes, "folder")
        warnings.warn(f"{why} The next call computes the features again.", stacklevel=2)
    return features


def _kept_features(path: Path, shape: tuple[int, int]) -> NDArray | None:
    """What the file holds; None where it is missing, damaged or of another shape."""
    try:
        with np.load(path) as kept:
            features = kept["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if features.shape == shape else None


def _nearly_equal(kept: NDArray, computed: NDArray) -> bool:
    """Whether all that differs is rounding, which goes by the size of a batch."""
    scale = np.abs(computed).max(initial=0)
    return np.allclose(kept, computed, rtol=0, atol=float(1e-2 * scale), equal_nan=True)
