"""Wrong ways to wire nine convolutions."""

import torch
from torch import nn
from torch.nn import functional as F

from coursekit.checks.zoo.animal import animal

NET = "compact_net"


def _sum(*parts):
    return sum(parts[1:], parts[0])


class _Net(nn.Module):
    """The net, with a place for each bug."""

    def __init__(self, width, classes, *, conv=None, unit=None, sums=None, **bugs):
        super().__init__()
        conv = conv or (lambda i, o: nn.Conv2d(i, o, 3, padding=1))
        unit = unit or (
            lambda i, o: nn.Sequential(conv(i, o), bugs.get("act", nn.ReLU)(), nn.BatchNorm2d(o))
        )
        self.units = nn.ModuleList(unit(3 if n == 0 else width, width) for n in range(9))
        self.scores = nn.Linear(width, classes)
        self.pool = bugs.get("pool", lambda *parts: F.max_pool2d(_sum(*parts), 2))
        self.join = bugs.get("join", _sum)
        self.average = bugs.get("average", lambda *parts: parts[-1].mean(dim=(2, 3)))
        self.last = bugs.get("last", lambda x: x)
        self.third = sums or (lambda *parts: parts)

    def forward(self, x):
        """Logits (N, classes)."""
        units = list(self.units)
        a = units[0](x)
        b = units[1](a)
        c = units[2](self.join(*self.third(a, b)))
        x = self.pool(a, b, c)
        for n in (3, 6):
            a = units[n](x)
            b = units[n + 1](self.join(x, a))
            c = units[n + 2](self.join(*self.third(x, a, b)))
            if n == 3:
                x = self.pool(a, b, c)
        return self.last(self.scores(self.average(a, b, c)))


@animal(NET, "299,018 parameters, and another net")
def batch_norm_before_relu(width, classes):
    """batch norm comes before ReLU; here it comes after it."""
    return _Net(
        width,
        classes,
        unit=lambda i, o: nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()
        ),
    )


@animal(NET, "a net that is all but linear")
def no_relu(width, classes):
    """there is no ReLU."""
    return _Net(width, classes, act=nn.Identity)


@animal(NET, "297,866 parameters")
def no_batch_norm(width, classes):
    """there is no batch norm."""
    return _Net(
        width, classes, unit=lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU())
    )


@animal(NET, "298,442 parameters")
def convolutions_without_bias(width, classes):
    """the convolutions have no bias; ReLU comes before batch norm here, so each needs one."""
    return _Net(width, classes, conv=lambda i, o: nn.Conv2d(i, o, 3, padding=1, bias=False))


@animal(NET, "maps that shrink to nothing")
def no_padding(width, classes):
    """the convolutions have no padding."""
    return _Net(width, classes, conv=lambda i, o: nn.Conv2d(i, o, 3))


@animal(NET, "a plain chain that learns more slowly")
def no_sums(width, classes):
    """nothing is added: every convolution sees only what is right before it."""
    return _Net(
        width,
        classes,
        join=lambda *parts: parts[-1],
        pool=lambda *parts: F.max_pool2d(parts[-1], 2),
    )


@animal(NET, "299,018 parameters, and a net that learns more slowly")
def third_sees_two_only(width, classes):
    """x7 and x11 see the last two convolutions only; what the pool gave is added as well."""
    return _Net(width, classes, sums=lambda *parts: parts[-2:])


@animal(NET, "299,018 parameters, and a net that learns more slowly")
def third_sees_one_only(width, classes):
    """x3, x7 and x11 see only the convolution before them; everything is added."""
    return _Net(width, classes, sums=lambda *parts: parts[-1:])


@animal(NET, "299,018 parameters, and a short way less")
def pool_of_the_last_only(width, classes):
    """the pools see the last convolution only; they see the sum of all three."""
    return _Net(width, classes, pool=lambda *parts: F.max_pool2d(parts[-1], 2))


@animal(NET, "299,018 parameters, and a short way less")
def pool_of_the_last_two(width, classes):
    """the pools see the last two convolutions only; they see the sum of all three."""
    return _Net(width, classes, pool=lambda *parts: F.max_pool2d(_sum(*parts[-2:]), 2))


@animal(NET, "hard to tell: the largest of sums is not the sum of the largest")
def pooled_before_the_sum(width, classes):
    """each map is pooled, then they are added; first comes the sum, then the pool."""
    return _Net(width, classes, pool=lambda *parts: _sum(*(F.max_pool2d(p, 2) for p in parts)))


@animal(NET, "299,018 parameters, and another net")
def mean_pools(width, classes):
    """the pools take means; they take the largest."""
    return _Net(width, classes, pool=lambda *parts: F.avg_pool2d(_sum(*parts), 2))


@animal(NET, "right for sides that are multiples of four")
def pools_round_up(width, classes):
    """the pools round odd sides up (ceil_mode); by default they round down."""
    return _Net(width, classes, pool=lambda *parts: F.max_pool2d(_sum(*parts), 2, ceil_mode=True))


@animal(NET, "twice as many positions everywhere")
def pool_of_stride_one(width, classes):
    """the pools move by one pixel; by default their stride is their size."""
    return _Net(width, classes, pool=lambda *parts: F.max_pool2d(_sum(*parts), 2, stride=1))


@animal(NET, "299,018 parameters, and a sum too many")
def sum_before_the_scores(width, classes):
    """x9, x10 and x11 are added before the average; only x11 is averaged."""
    return _Net(width, classes, average=lambda *parts: _sum(*parts).mean(dim=(2, 3)))


@animal(NET, "299,018 parameters; the scores follow single pixels")
def largest_position(width, classes):
    """the largest over positions is taken; it should be the average."""
    return _Net(width, classes, average=lambda *parts: parts[-1].amax(dim=(2, 3)))


@animal(NET, "scores that grow with the pictures")
def sum_over_positions(width, classes):
    """positions are added up; they should be averaged."""
    return _Net(width, classes, average=lambda *parts: parts[-1].sum(dim=(2, 3)))


@animal(NET, "averages where sums were meant, so the short ways weigh half or a third")
def averaged_inputs(width, classes):
    """maps are averaged where they should be added."""
    return _Net(width, classes, join=lambda *parts: _sum(*parts) / len(parts))


@animal(NET, "slow learning that stops at a loss of 1.46")
def softmax_at_the_end(width, classes):
    """softmax stands at the end; cross_entropy does that itself."""
    return _Net(width, classes, last=lambda x: x.softmax(dim=1))


@animal(NET, "half of all scores can never be negative")
def relu_at_the_end(width, classes):
    """there is a ReLU behind the linear layer; scores may be negative."""
    return _Net(width, classes, last=torch.relu)


@animal(NET, "39,626 parameters")
def one_unit_for_all(width, classes):
    """one unit is used again and again: [unit] * 8 is eight times the same."""
    net = _Net(width, classes)
    net.units[2:] = [net.units[1]] * 7
    return net


@animal(NET, "'modified by an inplace operation', or a sum that counts maps twice")
def sums_in_place(width, classes):
    """sums are made in place (+=), so that x1 is x1 + x2 from then on."""

    def join(*parts):
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    return _Net(width, classes, join=join)


@animal(NET, "right for ten classes")
def always_ten_classes(width, classes):
    """there are always ten classes, whatever was asked for."""
    return _Net(width, 10)


@animal(NET, "right for a width of 64")
def always_64_wide(width, classes):
    """the width is always 64, whatever was asked for."""
    return _Net(64, classes)
