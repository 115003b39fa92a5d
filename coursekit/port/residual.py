"""Residual nets (lesson 5): one of 299,018 parameters, and ResNet18 for small pictures."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class ConvUnit(nn.Sequential):
    """3×3 convolution with bias, ReLU, then batch norm; the size of the maps stays."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(out_channels),
        )


class CompactNet(nn.Module):
    """Nine convolutions of one width with skips that add: 299,018 parameters at width 64.

    Three stages of three units with a 2×2 pool between them; a unit's input is the sum of what the
    stage got and of all units before it. The last maps are averaged for one linear layer.

    Args:
        width: channels of every convolution.
        classes: outputs.
    """

    def __init__(self, width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.units = nn.ModuleList([ConvUnit(width if i else 3, width) for i in range(9)])
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 3, H, W)."""
        unit = self.units
        x1 = unit[0](x)
        x2 = unit[1](x1)
        x3 = unit[2](x1 + x2)
        x4 = max_pool2d(x1 + x2 + x3, 2)
        x5 = unit[3](x4)
        x6 = unit[4](x4 + x5)
        x7 = unit[5](x4 + x5 + x6)
        x8 = max_pool2d(x5 + x6 + x7, 2)
        x9 = unit[6](x8)
        x10 = unit[7](x8 + x9)
        x11 = unit[8](x8 + x9 + x10)
        return self.fc(x11.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, and a shortcut around them that adds.

    Where the block changes the number of channels or halves the maps, the shortcut is a 1×1
    convolution. Names are torchvision's, so that its weights can be loaded.

    Source: He et al., "Deep residual learning for image recognition", 2015.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet18 with a stem for small pictures: a 3×3 convolution and no pool.

    11,173,962 parameters for ten classes. Its state has torchvision's names and shapes but for
    ``conv1`` and ``fc``, so ``load_state_dict`` takes those weights once the two are left out
    (``strict=False``).

    Args:
        classes: outputs.

    Source: He et al., "Deep residual learning for image recognition", 2015.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = [64, 64, 128, 256, 512]
        for i, (before, width) in enumerate(pairwise(widths), start=1):
            blocks = BasicBlock(before, width, 1 if i == 1 else 2), BasicBlock(width, width)
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 3, H, W)."""
        x = relu(self.bn1(self.conv1(x)))
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        return self.fc(x.mean(dim=(2, 3)))
