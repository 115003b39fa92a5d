"""The PyTorch side: nets carried over and back, the same Trainer at speed (lesson 4).

It needs ``pip install torch torchvision``; the other rooms do without.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("coursekit.port needs PyTorch: pip install torch torchvision") from error

from coursekit.port import checks as _checks  # noqa: F401  makes the PyTorch lessons' checks known
from coursekit.port.checkpoint import load_weights, save_weights
from coursekit.port.checks.references import layer_outputs, two_view_logits
from coursekit.port.checks.references_residual import six_view_logits
from coursekit.port.checks.references_transfer import (
    balanced_subset,
    extract_features,
    freeze,
    layerwise_rates,
    linear_probe,
    pca,
    prepare,
    replace_head,
    thaw,
)
from coursekit.port.convert import from_torch, to_torch, to_torch_loss, to_torch_optimizer
from coursekit.port.device import describe_device, pick_device, synchronize
from coursekit.port.distributed import is_main, process_group, rank, world_size
from coursekit.port.fast_layers import FastConv, FastMaxPool
from coursekit.port.nets import VGG, LeNet
from coursekit.port.onnx import export_onnx
from coursekit.port.own_kernels import OwnConv2d, with_own_kernels
from coursekit.port.pictures import AlternatingFlip, Cutout, RandomCrop, RandomHorizontalFlip
from coursekit.port.pretrained import WeightsError, pretrained, published
from coursekit.port.residual import BasicBlock, CompactNet, ResNet18
from coursekit.port.resizing import ProgressiveResize
from coursekit.port.summary import summary
from coursekit.port.trainer import Trainer
from coursekit.port.transfer import (
    SmallResNet,
    SmallVGG,
    cached_features,
    head_of,
    stage_features,
    stages,
)
from coursekit.port.twin import TwinRun, twin_run

__all__ = [
    "VGG",
    "AlternatingFlip",
    "BasicBlock",
    "CompactNet",
    "Cutout",
    "FastConv",
    "FastMaxPool",
    "LeNet",
    "OwnConv2d",
    "ProgressiveResize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "ResNet18",
    "SmallResNet",
    "SmallVGG",
    "Trainer",
    "TwinRun",
    "WeightsError",
    "balanced_subset",
    "cached_features",
    "describe_device",
    "export_onnx",
    "extract_features",
    "freeze",
    "from_torch",
    "head_of",
    "is_main",
    "layer_outputs",
    "layerwise_rates",
    "linear_probe",
    "load_weights",
    "pca",
    "pick_device",
    "prepare",
    "pretrained",
    "process_group",
    "published",
    "rank",
    "replace_head",
    "save_weights",
    "six_view_logits",
    "stage_features",
    "stages",
    "summary",
    "synchronize",
    "thaw",
    "to_torch",
    "to_torch_loss",
    "to_torch_optimizer",
    "twin_run",
    "two_view_logits",
    "with_own_kernels",
    "world_size",
]
