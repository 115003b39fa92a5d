"""Lesson 5's exercises, solved: what the learner's functions are compared with."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.port.checks.references import check_tensor
from coursekit.port.residual import BasicBlock, CompactNet
from coursekit.training.modes import evaluating

# --- nets -----------------------------------------------------------------------------------


def basic_block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The block of ResNet18."""
    return BasicBlock(in_channels, out_channels, stride)


def compact_net(width: int, classes: int) -> nn.Module:
    """The net; 299,018 parameters for a width of 64 and ten classes."""
    return CompactNet(width, classes)


def widest(count: Callable[[int], int], budget: int) -> int:
    """The largest width whose ``count`` is at most ``budget``, 0 if there is none."""
    fits, too_wide = 0, 1
    while count(too_wide) <= budget:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        if count(middle) <= budget:
            fits = middle
        else:
            too_wide = middle
    return fits


# --- layers and losses ----------------------------------------------------------------------


def squeeze_excite(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """x (N, C, H, W), every channel times a gate between 0 and 1 that the whole map decides."""
    gate = F.linear(F.linear(x.mean(dim=(2, 3)), w1, b1).relu(), w2, b2).sigmoid()
    return x * gate[:, :, None, None]


def gelu(x: Tensor) -> Tensor:
    """x times the standard normal's distribution function of x."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def smoothed_cross_entropy(logits: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy with ``smoothing`` of the target spread evenly over all classes."""
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.mean()


# --- what is punished -----------------------------------------------------------------------


def l1_penalty(net: nn.Module, strength: float) -> Tensor:
    """``strength`` times the sum of |w| over all weights that learn and have two axes or more."""
    weights = [p for p in net.parameters() if p.requires_grad and p.ndim >= 2]
    return strength * torch.stack([w.abs().sum() for w in weights]).sum()


def decay_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: weights of two axes or more decay, all others do not."""
    learning = [p for p in net.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]


# --- six views of a picture -----------------------------------------------------------------


def six_view_logits(net: nn.Module, x: Tensor) -> Tensor:
    """Mean of the logits of x (half), and of two diagonal shifts (half), each also mirrored.

    Raises:
        ValueError: ``x`` is no tensor (N, C, H, W), or has a side of one pixel.
    """
    check_tensor(x)
    if min(x.shape[2:]) < 2:
        raise ValueError(f"x: got {tuple(x.shape)}; needed sides of at least 2 pixels")
    height, width = x.shape[2:]
    wide = F.pad(x, (1, 1, 1, 1), mode="reflect")
    up_left, down_right = wide[:, :, 2:, 2:], wide[:, :, :height, :width]
    with evaluating(net), torch.no_grad():
        straight, *shifted = (net(v) + net(v.flip(3)) for v in (x, up_left, down_right))
    return straight / 4 + sum(shifted) / 8
