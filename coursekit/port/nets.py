"""Nets of lesson 4 in plain PyTorch."""

from collections.abc import Callable, Sequence

import torch
from torch import nn


class LeNet(nn.Sequential):
    """LeNet-5: {5×5 conv - 2×2 pool - activation} twice, then 120, 84 and 10 units.

    The sizes are those of 1998; the pools take the largest value instead of a scaled mean, and the
    second convolution sees all maps. Pictures of fewer than 32 pixels are padded to 32. For an
    activation that never falls, pooling before it or behind it gives the same numbers; before it
    leaves a quarter of the work to it and to batch norm.

    Args:
        activation: makes the nonlinearity, ``nn.ReLU`` or ``nn.Tanh`` itself.
        in_channels: 1 for grey pictures, 3 for colour.
        size: side of a picture.
        width: factor on all filters and hidden units.
        batchnorm: whether batch norm stands before every activation.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(
        self,
        activation: Callable[[], nn.Module] = nn.ReLU,
        *,
        in_channels: int = 3,
        size: int = 32,
        width: int = 1,
        batchnorm: bool = False,
    ) -> None:
        if not 8 <= size <= 32 or size % 2:
            raise ValueError(f"size must be even and from 8 to 32, got {size}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        channels, units = (6 * width, 16 * width), (120 * width, 84 * width)

        def norm2d(features: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(features)] if batchnorm else []

        def norm1d(features: int) -> list[nn.Module]:
            return [nn.BatchNorm1d(features)] if batchnorm else []

        layers: list[nn.Module] = []
        before, padding = in_channels, (32 - size) // 2
        for features in channels:
            layers += [nn.Conv2d(before, features, 5, padding=padding), nn.MaxPool2d(2)]
            layers += [*norm2d(features), activation()]
            before, padding = features, 0
        layers.append(nn.Flatten())
        before *= 5 * 5
        for features in units:
            layers += [nn.Linear(before, features), *norm1d(features), activation()]
            before = features
        super().__init__(*layers, nn.Linear(before, 10))


class VGG(nn.Sequential):
    """A stack of 3×3 convolutions with batch norm, and a pool behind some of them.

    A pool comes before batch norm and activation, which then have a quarter of the numbers to
    work on. The first filters of a layer hand their input on, so that every layer sees pictures
    from the first step on. The last maps give their largest value each to one linear layer.

    Args:
        whitening: filters (F, 3, kh, kw) of a first convolution that is not learnt, as
            ``coursekit.nn.patch_whitening`` computes them; only its bias is.
        widths: filters of the convolutions.
        activation: makes the nonlinearity.
        pools: numbers, from 0, of the convolutions that a pool stands behind; every other one,
            from the first, if None. Later pools are more work for as many parameters.
        scale: factor on the logits, which begin too large behind batch norm.

    Source: Simonyan & Zisserman, "Very deep convolutional networks", 2014; Page, "How to train
    your ResNet", 2019 (whitening); Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024 (identity).
    """

    def __init__(
        self,
        whitening: torch.Tensor,
        widths: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        *,
        pools: Sequence[int] | None = None,
        scale: float = 0.125,
    ) -> None:
        if not widths:
            raise ValueError("widths must name at least one layer, got none")
        if pools is None:
            pools = range(0, len(widths), 2)
        if not set(pools) <= set(range(len(widths))):
            raise ValueError(
                f"pools must be numbers of layers, 0 to {len(widths) - 1}, got {list(pools)}"
            )
        first = nn.Conv2d(3, len(whitening), whitening.shape[2])
        first.weight = nn.Parameter(whitening.detach().clone(), requires_grad=False)
        layers: list[nn.Module] = [first, activation()]
        before = len(whitening)
        for i, features in enumerate(widths):
            conv = nn.Conv2d(before, features, 3, padding=1, bias=False)
            nn.init.dirac_(conv.weight[: min(before, features)].detach())
            pool = [nn.MaxPool2d(2)] if i in pools else []
            layers += [conv, *pool, nn.BatchNorm2d(features), activation()]
            before = features
        head = nn.Linear(before, 10, bias=False)
        with torch.no_grad():
            head.weight *= scale
        super().__init__(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)
