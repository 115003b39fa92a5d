"""Convolution and pooling behind the course's interface, with PyTorch doing the work (lesson 4).

``out, cache = FastConv.forward(...)``, then ``gradients = FastConv.backward(dout, cache)``, on any
device. The backward pass is autograd's: the cache keeps the graph of the forward pass, which serves
one backward pass. On an NVIDIA GPU float32 convolutions round to TF32's 10 bits unless
``torch.backends.cudnn.allow_tf32 = False``.
"""

import numpy as np
import torch
import torch.nn.functional as F

from coursekit.kernels._check import check_pair, windows

Pair = int | tuple[int, int]


class GraphCache:
    """What a backward pass needs: the output with its graph, and the inputs it leads to."""

    def __init__(self, out: torch.Tensor, inputs: list[torch.Tensor]) -> None:
        self._out, self._inputs = out, inputs
        self._used = False

    def gradients(self, dout: torch.Tensor) -> list[torch.Tensor]:
        """Gradients of the inputs, once.

        Raises:
            TypeError: ``dout`` is no tensor.
            ValueError: ``dout`` has not the shape, dtype and device of the output.
            RuntimeError: there is no graph, or it was used before.
        """
        if not self._out.requires_grad:
            raise RuntimeError(
                "cache must come from a forward pass that records a graph, got one made under "
                "torch.no_grad() or torch.inference_mode()"
            )
        if self._used:
            raise RuntimeError(
                "cache must be new, got one that a backward pass has used up: run forward again"
            )
        _check_like("dout", dout, self._out, "out")
        if dout.shape != self._out.shape:
            raise ValueError(
                f"dout must have shape {tuple(self._out.shape)} to match out, "
                f"got {tuple(dout.shape)}"
            )
        gradients = torch.autograd.grad(self._out, self._inputs, dout)
        self._used = True
        return list(gradients)


class FastConv:
    """``coursekit.functional``'s convolution on tensors."""

    @staticmethod
    def forward(
        x: torch.Tensor,
        w: torch.Tensor,
        b: torch.Tensor | None,
        stride: Pair = 1,
        padding: Pair = 0,
    ) -> tuple[torch.Tensor, GraphCache]:
        """Slide every filter over every picture.

        Args:
            x: inputs, shape (N, C, H, W), of a floating dtype.
            w: filters, shape (O, C, kh, kw), dtype and device of x.
            b: biases, shape (O,), likewise, or None for filters without.
            stride: pixels from one window to the next; one number or (vertical, horizontal).
            padding: rows and columns of zeros on either side; one number or a pair.

        Returns:
            out of shape (N, O, OH, OW) with ``OH = (H + 2 * padding - kh) // stride + 1``, cut off
            from the graph; and the cache for :meth:`backward`.

        Raises:
            TypeError: an array is no ``torch.Tensor``.
            ValueError: a tensor or an option does not fit, or no window fits.
        """
        _check_pictures(x)
        _check_like("w", w, x)
        if w.ndim != 4 or w.shape[1] != x.shape[1] or 0 in w.shape:
            raise ValueError(
                f"w must have shape (O, {x.shape[1]}, kh, kw) to match x, got {tuple(w.shape)}"
            )
        if b is not None:
            _check_like("b", b, x)
            if b.shape != w.shape[:1]:
                raise ValueError(
                    f"b must have shape {tuple(w.shape[:1])} to match w, got {tuple(b.shape)}"
                )
        pairs = check_pair("stride", stride, 1), check_pair("padding", padding, 0)
        windows(tuple(x.shape), (w.shape[2], w.shape[3]), *pairs)
        x, w, b = _leaf(x), _leaf(w), None if b is None else _leaf(b)
        out = F.conv2d(x, w, b, *pairs)
        return out.detach(), GraphCache(out, [x, w] if b is None else [x, w, b])

    @staticmethod
    def backward(
        dout: torch.Tensor, cache: GraphCache
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Gradients of :meth:`forward`.

        Args:
            dout: gradient of the loss with respect to ``out``: its shape, dtype and device.
            cache: what the forward pass returned; it serves once.

        Returns:
            dx (N, C, H, W), dw (O, C, kh, kw) and db (O,), None where the forward had no bias.

        Raises:
            TypeError: ``dout`` is no tensor.
            ValueError: ``dout`` does not fit ``out``.
            RuntimeError: the cache was used before, or was made without a graph.
        """
        dx, dw, *db = cache.gradients(dout)
        return dx, dw, db[0] if db else None


class FastMaxPool:
    """``coursekit.functional``'s max pooling on tensors."""

    @staticmethod
    def forward(
        x: torch.Tensor, pool_height: int, pool_width: int, stride: Pair
    ) -> tuple[torch.Tensor, GraphCache]:
        """The largest value of every window.

        Args:
            x: inputs, shape (N, C, H, W), of a floating dtype.
            pool_height: rows of a window.
            pool_width: columns of a window.
            stride: pixels from one window to the next; one number or (vertical, horizontal).

        Returns:
            out of shape (N, C, OH, OW) with ``OH = (H - pool_height) // stride + 1``, cut off from
            the graph; and the cache for :meth:`backward`.

        Raises:
            TypeError: ``x`` is no ``torch.Tensor``.
            ValueError: ``x`` or an option does not fit, or no window fits.
        """
        _check_pictures(x)
        size = check_pair("pool_height, pool_width", (pool_height, pool_width), 1)
        step = check_pair("stride", stride, 1)
        windows(tuple(x.shape), size, step, (0, 0))
        leaf = _leaf(x)
        out = F.max_pool2d(leaf, size, step)
        return out.detach(), GraphCache(out, [leaf])

    @staticmethod
    def backward(dout: torch.Tensor, cache: GraphCache) -> torch.Tensor:
        """Gradient of :meth:`forward`: dx of shape (N, C, H, W).

        Args:
            dout: gradient of the loss with respect to ``out``: its shape, dtype and device.
            cache: what the forward pass returned; it serves once.

        Raises:
            TypeError: ``dout`` is no tensor.
            ValueError: ``dout`` does not fit ``out``.
            RuntimeError: the cache was used before, or was made without a graph.
        """
        (dx,) = cache.gradients(dout)
        return dx


def _leaf(v: torch.Tensor) -> torch.Tensor:
    """The same numbers as the start of a graph of their own."""
    return v.detach().requires_grad_()


def _check_tensor(name: str, v: torch.Tensor) -> None:
    if isinstance(v, np.ndarray):
        raise TypeError(
            f"{name} must be a torch.Tensor, got a NumPy array: torch.from_numpy(...) makes it "
            "one, and coursekit.functional takes arrays"
        )
    if not isinstance(v, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(v).__name__}")


def _check_pictures(x: torch.Tensor) -> None:
    _check_tensor("x", x)
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"x must be of a floating dtype and shape (N, C, H, W), got {x.dtype} {tuple(x.shape)}"
        )


def _check_like(name: str, v: torch.Tensor, model: torch.Tensor, model_name: str = "x") -> None:
    """Raise unless ``v`` is a tensor of the model's dtype on its device."""
    _check_tensor(name, v)
    if (v.dtype, v.device) != (model.dtype, model.device):
        raise ValueError(
            f"{name} must be {model.dtype} on {model.device} as {model_name} is, "
            f"got {v.dtype} on {v.device}"
        )
