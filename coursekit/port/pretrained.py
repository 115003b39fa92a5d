"""torchvision's nets with their published weights, or one clear error (lesson 6)."""

import hashlib
import io
import os
import pickle
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

SILENCE = 20.0  # seconds without a byte after which a download is given up


class WeightsError(ValueError):
    """Published weights that cannot be had, or a file that is not what was published."""


@dataclass(frozen=True)
class Published:
    """A net of torchvision's, and where its weights lie.

    Attributes:
        build: makes the net, with random weights and a thousand classes.
        url: of the weights; the end of its name is the beginning of the file's sha256.
        size: side of the pictures it was trained on.
        mean, std: what those were normalised with, after scaling to [0, 1].
    """

    build: Callable[[], nn.Module]
    url: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def published(name: str) -> Published:
    """What torchvision publishes under this name.

    Raises:
        ValueError: it is not "resnet18", "vgg16_bn" or "inception_v3".
    """
    from torchvision import models  # here: the rest of the room does without

    if name == "resnet18":
        build, weights = models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1
    elif name == "vgg16_bn":
        build, weights = models.vgg16_bn, models.VGG16_BN_Weights.IMAGENET1K_V1
    elif name == "inception_v3":
        # Its weights want pictures normalised in another way, which it sees to by itself.
        build = partial(models.inception_v3, transform_input=True, init_weights=False)
        weights = models.Inception_V3_Weights.IMAGENET1K_V1
    else:
        raise ValueError(f"name: got {name!r}; needed 'resnet18', 'vgg16_bn' or 'inception_v3'")
    shown = weights.transforms()
    return Published(build, weights.url, shown.crop_size[0], tuple(shown.mean), tuple(shown.std))


def pretrained(name: str, *, progress: bool = False) -> nn.Module:
    """A net of torchvision's, trained on ImageNet.

    The weights come from torchvision's cache (``torch.hub.get_dir()``), else from its server. The
    file's hash is compared each time, not only after the download, and no code in it is run.
    With ``COURSEKIT_WEIGHTS=offline`` nothing is downloaded.

    Args:
        name: "resnet18", "vgg16_bn" or "inception_v3".
        progress: show a bar of the download.

    Returns:
        the net with its head for a thousand classes, in evaluation mode.

    Raises:
        WeightsError: there is no network, or the file is missing or damaged. Nothing half-written
            is left behind.
        ValueError: no net has this name.
    """
    wanted = published(name)
    net = wanted.build()
    state = _state(wanted.url, progress)
    path = _place(wanted.url)
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"{path}: found weights of another net; needed {name}'s") from error
    return net.eval()


def _place(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _state(url: str, progress: bool) -> Any:
    """The tensors in the file, which is fetched if it is missing."""
    path = _place(url)
    begin = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if begin is None:
        raise ValueError(f"url: got {url}; needed a file's name that ends in its sha256")
    if path.is_file():
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if not found.startswith(begin[1]):
            raise WeightsError(
                f"{path}: found a damaged file, {path.stat().st_size:,} bytes of sha256 "
                f"{found[:8]}...; needed {begin[1]}... Delete it, and it is fetched anew"
            )
    elif _download_is_forbidden():
        raise WeightsError(
            f"{path}: found no such file, and COURSEKIT_WEIGHTS=offline forbids to fetch it; "
            f"needed the file from {url}"
        )
    try:
        # What is printed names a folder of this machine, and would be stored in a notebook.
        with _no_longer_than(SILENCE), redirect_stdout(io.StringIO()):
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=progress, check_hash=True, weights_only=True
            )
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: found more than tensors, which is not loaded") from error
    except (OSError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: found no such file, and it could not be fetched ({reason}); needed a "
            f"network, or the file from {url} put there by hand"
        ) from error


def _download_is_forbidden() -> bool:
    chosen = os.environ.get("COURSEKIT_WEIGHTS") or "auto"
    if chosen not in ("auto", "offline"):
        raise ValueError(f"COURSEKIT_WEIGHTS: got {chosen!r}; needed 'auto' or 'offline'")
    return chosen == "offline"


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """A server that says nothing must not stop a lesson for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
