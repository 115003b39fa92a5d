"""The course's own convolution inside PyTorch's nets: on a CPU the faster one (lesson 5).

PyTorch records what happens and the kernels of lesson 3 do the work, as in lesson 4's
``OurConv2d``. A 3×3 convolution needs a fraction of the multiplications there
(``coursekit/kernels/_conv_tile.h``).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import coursekit
from coursekit import kernels
from coursekit.functional.convolution import ConvCache, conv2d_backward, conv2d_forward

Pair = tuple[int, int]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        ctx.save_for_backward(x, w, b)  # and not the cache: autograd notices what is overwritten
        ctx.options = stride, padding
        out, _ = conv2d_forward(*_arrays(x, w, b), stride, padding)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        arrays = _arrays(*ctx.saved_tensors)
        stride, padding = ctx.options
        cache = ConvCache(*arrays, stride, padding, tuple(dout.shape))
        gradients = conv2d_backward(dout.numpy(), cache, need_dx=ctx.needs_input_grad[0])
        return *(None if g is None else torch.from_numpy(g) for g in gradients), None, None


def _arrays(*tensors: Tensor | None) -> tuple[Any, Any, Any]:
    x, w, b = (None if t is None else t.detach().numpy() for t in tensors)
    return x, w, b


class OwnConv2d(nn.Conv2d):
    """``torch.nn.Conv2d``, computed by ``coursekit.kernels`` where those can.

    They can on the CPU, in float32 or float64, outside autocast and compilers, with zeros at the
    border, without groups and dilation. Everywhere else this is PyTorch's own layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve pictures (N, C, H, W)."""
        ours = (
            input.device.type == "cpu"
            and input.ndim == 4
            and input.dtype == self.weight.dtype
            and input.dtype in (torch.float32, torch.float64)
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
            and not isinstance(self.padding, str)
            and self.padding_mode == "zeros"
            and self.groups == 1
            and self.dilation == (1, 1)
        )
        if not ours:
            return super().forward(input)
        return _Convolution.apply(input, self.weight, self.bias, self.stride, self.padding)


def with_own_kernels(net: nn.Module) -> nn.Module:
    """Let the course's kernels compute the convolutions of ``net`` on the CPU.

    Every ``torch.nn.Conv2d`` inside becomes an :class:`OwnConv2d` with the same parameters, under
    the same name, so that optimisers and saved weights go on as before. The kernels get as many
    threads as PyTorch has at this moment. Without compiled kernels, which alone are faster, the
    net stays as it is.

    Args:
        net: changed in place.

    Returns:
        ``net``.
    """
    if kernels.info().backend == "cython":
        coursekit.set_num_threads(torch.get_num_threads())
        for module in net.modules():
            if type(module) is nn.Conv2d:
                module.__class__ = OwnConv2d
    return net
