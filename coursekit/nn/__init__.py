"""Layers, nets and losses as objects, with PyTorch's names and defaults."""

from coursekit.nn import init
from coursekit.nn.conv_nets import DeepConvNet, ThreeLayerConvNet
from coursekit.nn.convolution import Conv2d
from coursekit.nn.dropout import Dropout
from coursekit.nn.layers import Flatten, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from coursekit.nn.losses import CrossEntropyLoss, MultiMarginLoss
from coursekit.nn.module import Module, Parameter, Sequential
from coursekit.nn.nets import mlp
from coursekit.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from coursekit.nn.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from coursekit.nn.sandwiches import (
    conv_bn_relu,
    conv_bn_relu_pool,
    conv_relu,
    conv_relu_pool,
    linear_norm_relu_dropout,
)
from coursekit.nn.summary import summary
from coursekit.nn.whitening import patch_whitening

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "DeepConvNet",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GroupNorm",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "MultiMarginLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "ThreeLayerConvNet",
    "conv_bn_relu",
    "conv_bn_relu_pool",
    "conv_relu",
    "conv_relu_pool",
    "init",
    "linear_norm_relu_dropout",
    "mlp",
    "patch_whitening",
    "summary",
]
