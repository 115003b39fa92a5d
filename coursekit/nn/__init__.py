"""Layers, nets and losses as objects, with PyTorch's names and defaults."""

from coursekit.nn import init
from coursekit.nn.dropout import Dropout
from coursekit.nn.layers import Flatten, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from coursekit.nn.losses import CrossEntropyLoss, MultiMarginLoss
from coursekit.nn.module import Module, Parameter, Sequential
from coursekit.nn.nets import mlp
from coursekit.nn.normalization import BatchNorm1d, LayerNorm
from coursekit.nn.summary import summary

__all__ = [
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Module",
    "MultiMarginLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
    "mlp",
    "summary",
]
