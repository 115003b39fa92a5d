"""Pure functions: a forward and its backward side by side, one family a file.

``out, cache = f_forward(inputs...)`` and ``gradients = f_backward(dout, cache)``. No input is
changed, no state is kept, float32 stays float32 and float64 stays float64.
"""

from coursekit.functional.activations import (
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from coursekit.functional.convolution import conv2d_backward, conv2d_forward
from coursekit.functional.dropout import dropout_backward, dropout_forward
from coursekit.functional.group_norm import group_norm_backward, group_norm_forward
from coursekit.functional.linear import (
    flatten_backward,
    flatten_forward,
    linear_backward,
    linear_forward,
)
from coursekit.functional.losses import (
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax,
    multi_margin_loss_backward,
    multi_margin_loss_forward,
    softmax,
)
from coursekit.functional.normalization import (
    batch_norm_backward,
    batch_norm_forward,
    layer_norm_backward,
    layer_norm_forward,
)
from coursekit.functional.penalties import l1_penalty, l2_penalty
from coursekit.functional.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    global_avg_pool2d_backward,
    global_avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)

__all__ = [
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "conv2d_backward",
    "conv2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "flatten_backward",
    "flatten_forward",
    "global_avg_pool2d_backward",
    "global_avg_pool2d_forward",
    "group_norm_backward",
    "group_norm_forward",
    "l1_penalty",
    "l2_penalty",
    "layer_norm_backward",
    "layer_norm_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward",
    "linear_forward",
    "log_softmax",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "multi_margin_loss_backward",
    "multi_margin_loss_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax",
    "tanh_backward",
    "tanh_forward",
]
