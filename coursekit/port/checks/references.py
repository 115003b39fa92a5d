"""Lesson 4's exercises, solved: what the learner's functions are compared with."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit import functional
from coursekit.training.modes import evaluating

Batches = Iterable[tuple[Tensor, Tensor]]


def pixels_to_tensor(images: NDArray, mean: NDArray, std: NDArray) -> Tensor:
    """uint8 pictures (N, H, W, C) as a float32 tensor (N, C, H, W), scaled and standardised."""
    x = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    shift, scale = (torch.as_tensor(v, dtype=x.dtype)[:, None, None] for v in (mean, std))
    return (x - shift) / scale


def three_layer_forward(x: Tensor, params: list[Tensor]) -> Tensor:
    """conv - ReLU - 2×2 pool - linear - ReLU - linear on bare tensors: logits (N, classes)."""
    w1, b1, w2, b2, w3, b3 = params
    x = nn.functional.conv2d(x, w1, b1, padding=w1.shape[2] // 2).relu()
    x = nn.functional.max_pool2d(x, 2).flatten(start_dim=1)
    return (x @ w2.T + b2).relu() @ w3.T + b3


def training_step(
    net: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer, criterion: Callable
) -> float:
    """One update on one batch; the loss before it, as a number."""
    net.train()
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def evaluate(net: nn.Module, batches: Batches, criterion: Callable) -> tuple[float, float]:
    """Mean loss and accuracy over all pictures; the modes of the net's modules stay."""
    loss, correct, seen = 0.0, 0, 0
    with evaluating(net), torch.no_grad():
        for x, y in batches:
            logits = net(x)
            loss += criterion(logits, y).item() * len(y)
            correct += int((logits.argmax(dim=1) == y).sum())
            seen += len(y)
    return loss / seen, correct / seen


def layer_outputs(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What every innermost layer makes of ``x``, by the layer's name; the net is left as it was.

    The net runs in its own mode: in training mode batch norm notes the batch. Of a layer that runs
    more than once the last output counts.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: Any, out: Tensor) -> None:
            outputs[name] = out.detach().clone()  # a ReLU behind it may work in place

        return hook

    handles = [
        layer.register_forward_hook(keep(name))
        for name, layer in net.named_modules()
        if not list(layer.children())
    ]
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


class Conv2dFunction(torch.autograd.Function):
    """The course's own convolution, of which autograd learns what its backward is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
        """Convolve with NumPy."""
        out, ctx.cache = functional.conv2d_forward(
            x.numpy(), w.numpy(), b.numpy(), stride=stride, padding=padding
        )
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """A gradient for each argument of forward, None where there is none or nobody asks."""
        need_dx = ctx.needs_input_grad[0]
        grads = functional.conv2d_backward(dout.numpy(), ctx.cache, need_dx=need_dx)
        dx, dw, db = (None if g is None else torch.from_numpy(g) for g in grads)
        return dx, dw, db, None, None


def lenet(in_channels: int, size: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """LeNet-5 for square pictures of 32 pixels, or of fewer, which are padded to 32."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5, padding=(32 - size) // 2),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        activation(),
        nn.Linear(120, 84),
        activation(),
        nn.Linear(84, 10),
    )


def train_epochs(
    net: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    epochs: int,
    evaluate: Callable[[nn.Module], float],
) -> list[float]:
    """Train, a step of the schedule an update; what ``evaluate(net)`` says after each epoch."""
    scores = []
    for _ in range(epochs):
        net.train()
        for x, y in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()
        scores.append(evaluate(net))
    return scores


def accumulated_gradients(net: nn.Module, x: Tensor, y: Tensor, size: int) -> float:
    """Leave in ``.grad`` the gradient of the mean loss of the whole batch; the loss itself.

    Only ``size`` pictures at a time go through the net, in the last piece perhaps fewer.
    """
    net.zero_grad()
    total = 0.0
    for piece, labels in zip(x.split(size), y.split(size), strict=True):
        loss = nn.functional.cross_entropy(net(piece), labels, reduction="sum") / len(x)
        loss.backward()
        total += loss.item()
    return total


def check_tensor(x: Tensor) -> None:
    """Raise ``ValueError`` unless ``x`` is a tensor of pictures, of which there is one."""
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point() or not x.numel():
        came = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x: got {came}; needed a tensor of floats (N, C, H, W)")


def two_view_logits(net: nn.Module, x: Tensor) -> Tensor:
    """Mean of the logits of each picture and of its mirror image, (N, classes).

    Raises:
        ValueError: ``x`` is no tensor (N, C, H, W).
    """
    check_tensor(x)
    with evaluating(net), torch.no_grad():
        return (net(x) + net(x.flip(3))) / 2
