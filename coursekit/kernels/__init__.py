"""The few loops that decide how fast a net trains, under one signature in three languages.

``loops`` is plain Python, for reading and as the oracle; ``numpy_backend`` is what runs without
a compiler; ``_cython`` is the compiled one. The best that is installed is taken when this package
is imported; ``COURSEKIT_KERNELS=loops|numpy|cython`` in the environment forces one, and
``print(kernels.info())`` says which one runs and why. ``with kernels.use("numpy"):`` switches for a
block.
"""

from coursekit.kernels._backend import KernelInfo, get_num_threads, info, set_num_threads, use
from coursekit.kernels._convolution import (
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from coursekit.kernels._dropout import dropout
from coursekit.kernels._normalization import (
    batch_norm_backward,
    batch_norm_forward,
    layer_norm_backward,
    layer_norm_forward,
)
from coursekit.kernels._optimizer_step import adam_step, sgd_step
from coursekit.kernels._pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)

__all__ = [
    "KernelInfo",
    "adam_step",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "dropout",
    "get_num_threads",
    "info",
    "layer_norm_backward",
    "layer_norm_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "set_num_threads",
    "sgd_step",
    "use",
]
