"""Wrong residual blocks."""

import torch
from torch import nn

from coursekit.checks.zoo.animal import animal
from coursekit.port.residual import BasicBlock

BLOCK = "basic_block"


class _Block(BasicBlock):
    """The block, with a place for each bug: layers instead of the right ones, another forward."""

    def __init__(self, in_channels, out_channels, stride, forward=None, **layers):
        super().__init__(in_channels, out_channels, stride)
        self.shortcut, self.downsample = self.downsample or nn.Identity(), None
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.way = forward

    def main(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))

    def forward(self, x):
        if self.way is not None:
            return self.way(self, x)
        return (self.main(x) + self.shortcut(x)).relu()


def _projection(i, o, stride, *, k=1, bias=False):
    conv = nn.Conv2d(i, o, k, stride, padding=k // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(o))


@animal(BLOCK, "a plain net of twenty layers that learns worse than one of ten")
def shortcut_never_added(i, o, stride):
    """the shortcut is there but never added."""
    return _Block(i, o, stride, lambda b, x: b.main(x).relu())


@animal(BLOCK, "a plain net, and no parameters of shortcuts")
def no_shortcut(i, o, stride):
    """there is no shortcut."""
    return _Block(i, o, stride, lambda b, x: b.main(x).relu(), shortcut=nn.Identity())


@animal(BLOCK, "what a block adds can never be negative, so maps only grow")
def relu_before_the_sum(i, o, stride):
    """the second ReLU stands before the sum; it comes after it."""
    return _Block(i, o, stride, lambda b, x: b.main(x).relu() + b.shortcut(x))


@animal(BLOCK, "what a block adds can never be negative")
def relu_before_and_after_the_sum(i, o, stride):
    """there is a ReLU before the sum, too."""
    return _Block(i, o, stride, lambda b, x: (b.main(x).relu() + b.shortcut(x)).relu())


@animal(BLOCK, "negative maps between blocks")
def no_relu_after_the_sum(i, o, stride):
    """there is no ReLU after the sum."""
    return _Block(i, o, stride, lambda b, x: b.main(x) + b.shortcut(x))


@animal(BLOCK, "two convolutions that are one linear map")
def no_relu_between(i, o, stride):
    """there is no ReLU between the two convolutions."""
    return _Block(
        i, o, stride, lambda b, x: (b.bn2(b.conv2(b.bn1(b.conv1(x)))) + b.shortcut(x)).relu()
    )


@animal(BLOCK, "other numbers than everybody's")
def relu_before_batch_norm(i, o, stride):
    """in the main branch ReLU comes before batch norm; it comes after it."""
    return _Block(
        i, o, stride, lambda b, x: (b.bn2(b.conv2(b.bn1(b.conv1(x).relu()))) + b.shortcut(x)).relu()
    )


@animal(BLOCK, "whatever is negative is lost on the short way")
def relu_on_the_shortcut(i, o, stride):
    """the shortcut has a ReLU of its own before the sum."""
    return _Block(i, o, stride, lambda b, x: (b.main(x) + b.shortcut(x).relu()).relu())


@animal(BLOCK, "pre-activation: another net, of 2016")
def activation_first(i, o, stride):
    """it is the block of 2016, with batch norm and ReLU before each convolution."""

    def forward(b, x):
        return b.conv2(b.bn2(b.conv1(b.bn1(x).relu())).relu()) + b.shortcut(x)

    return _Block(i, o, stride, forward, bn1=nn.BatchNorm2d(i))


@animal(BLOCK, "a size error where the stride is not 1")
def stride_in_both_convolutions(i, o, stride):
    """both convolutions have the stride; the second has none."""
    return _Block(i, o, stride, conv2=nn.Conv2d(o, o, 3, stride, 1, bias=False))


@animal(BLOCK, "twice the work")
def stride_in_the_second_convolution(i, o, stride):
    """the second convolution has the stride; the first should have it."""
    return _Block(
        i,
        o,
        stride,
        conv1=nn.Conv2d(i, o, 3, padding=1, bias=False),
        conv2=nn.Conv2d(o, o, 3, stride, 1, bias=False),
    )


@animal(BLOCK, "a size error where the stride is not 1")
def shortcut_without_stride(i, o, stride):
    """the convolution of the shortcut lacks the stride."""
    return _Block(i, o, stride, shortcut=_projection(i, o, 1))


@animal(BLOCK, "a size error where channels change and the stride is 1")
def projection_only_with_a_stride(i, o, stride):
    """the shortcut has a convolution only if the stride is not 1; channels may change as well."""
    short = nn.Identity() if stride == 1 else _projection(i, o, stride)
    return _Block(i, o, stride, shortcut=short)


@animal(BLOCK, "a size error where the stride is 2 and the channels stay")
def projection_only_with_new_channels(i, o, stride):
    """the shortcut has a convolution only if channels change; a stride needs one as well."""
    short = nn.Identity() if i == o else _projection(i, o, stride)
    return _Block(i, o, stride, shortcut=short)


@animal(BLOCK, "more parameters than ResNet18 has, and no clear way for the gradient")
def always_a_projection(i, o, stride):
    """the shortcut always has a convolution; with equal sizes it is x itself."""
    return _Block(i, o, stride, shortcut=_projection(i, o, stride))


@animal(BLOCK, "fewer parameters than ResNet18 has")
def shortcut_without_batch_norm(i, o, stride):
    """there is no batch norm behind the shortcut's convolution."""
    block = _Block(i, o, stride)
    if isinstance(block.shortcut, nn.Sequential):
        block.shortcut = block.shortcut[0]
    return block


@animal(BLOCK, "more parameters than ResNet18 has")
def shortcut_of_three_by_three(i, o, stride):
    """the shortcut's convolution is 3 × 3; it is 1 × 1."""
    same = stride == 1 and i == o
    return _Block(i, o, stride, shortcut=nn.Identity() if same else _projection(i, o, stride, k=3))


@animal(BLOCK, "more parameters than ResNet18 has, which batch norm takes out again")
def convolutions_with_bias(i, o, stride):
    """the convolutions have biases; batch norm behind them has one already."""
    return _Block(
        i, o, stride, conv1=nn.Conv2d(i, o, 3, stride, 1), conv2=nn.Conv2d(o, o, 3, padding=1)
    )


@animal(BLOCK, "more parameters than ResNet18 has, in the shortcuts only")
def shortcut_with_bias(i, o, stride):
    """the shortcut's convolution has a bias; batch norm behind it has one already."""
    same = stride == 1 and i == o
    short = nn.Identity() if same else _projection(i, o, stride, bias=True)
    return _Block(i, o, stride, shortcut=short)


@animal(BLOCK, "running statistics that fit neither place")
def one_batch_norm_twice(i, o, stride):
    """one batch norm serves behind both convolutions, the other is never used."""
    return _Block(
        i,
        o,
        stride,
        lambda b, x: (b.bn1(b.conv2(b.bn1(b.conv1(x)).relu())) + b.shortcut(x)).relu(),
    )


@animal(BLOCK, "half the parameters never move")
def first_convolution_twice(i, o, stride):
    """the first convolution is used twice where it fits, the second never."""
    return _Block(i, o, stride, **({} if i != o or stride != 1 else {"forward": _twice}))


def _twice(b, x):
    return (b.bn2(b.conv1(b.bn1(b.conv1(x)).relu())) + b.shortcut(x)).relu()


@animal(BLOCK, "no batch norm where it was meant")
def no_batch_norm(i, o, stride):
    """there is no batch norm behind the convolutions."""
    return _Block(i, o, stride, bn1=nn.Identity(), bn2=nn.Identity())


@animal(BLOCK, "a loss in evaluation that depends on the batch")
def statistics_of_the_batch_always(i, o, stride):
    """batch norm keeps no running statistics, so evaluation uses those of the batch."""
    return _Block(
        i,
        o,
        stride,
        bn1=nn.BatchNorm2d(o, track_running_stats=False),
        bn2=nn.BatchNorm2d(o, track_running_stats=False),
    )


@animal(BLOCK, "a size error: maps shrink by two pixels a convolution")
def no_padding(i, o, stride):
    """the 3 × 3 convolutions have no padding."""
    return _Block(
        i,
        o,
        stride,
        conv1=nn.Conv2d(i, o, 3, stride, bias=False),
        conv2=nn.Conv2d(o, o, 3, bias=False),
    )


@animal(BLOCK, "twice as many channels behind every block")
def concatenated(i, o, stride):
    """the two ways are concatenated; they are added."""
    return _Block(i, o, stride, lambda b, x: torch.cat([b.main(x), b.shortcut(x)], 1).relu())


@animal(BLOCK, "whoever looks at the block's input afterwards sees other numbers")
def input_overwritten(i, o, stride):
    """the sum is written into x, which belongs to the caller."""

    def forward(b, x):
        main, short = b.main(x), b.shortcut(x)
        return short.add_(main).relu_()

    return _Block(i, o, stride, forward)


@animal(BLOCK, "no gradient on the short way, which was the point of it")
def shortcut_detached(i, o, stride):
    """the shortcut is taken off the graph."""
    return _Block(i, o, stride, lambda b, x: (b.main(x) + b.shortcut(x).detach()).relu())
