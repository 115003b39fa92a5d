"""Evaluation mode for a while: every module then has the mode again that it had."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def evaluating(net: Any) -> Iterator[None]:
    """Put a net, ours or PyTorch's, in evaluation mode.

    Afterwards, and after an error too, each module inside has its own mode back: batch norm that
    somebody holds in evaluation stays there while the rest trains on.
    """
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
