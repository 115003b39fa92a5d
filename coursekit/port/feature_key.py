"""A hash of everything that decides what a net makes of pictures: of code and settings, too."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

# What every module has: bookkeeping, and what is looked at by itself.
_SAME_FOR_ALL = {*vars(nn.Module()), "train"}


def key_of(net: nn.Module, leave_out: nn.Module, *others: Any) -> str:
    """16 hexadecimal digits for ``net`` in evaluation and for ``others``.

    Parameters and buffers count with their bits; so does every other attribute of every module
    (``eps``, an activation, a flag), the code of its class, its hooks, the device and the precision
    of matrix products.

    Args:
        net: any module.
        leave_out: a module inside whose own content does not matter.
        others: arrays, numbers, words and containers of them.
    """
    digest = hashlib.sha256()
    device = next((p.device.type for p in net.parameters()), "cpu")
    setting = [device, torch.get_float32_matmul_precision(), torch.is_autocast_enabled(device)]
    if torch.is_autocast_enabled(device):
        setting.append(str(torch.get_autocast_dtype(device)))
    for part in (*_net(net, leave_out), *_Speller().spell([setting, others])):
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _net(
    net: nn.Module, leave_out: nn.Module | None, speller: "_Speller | None" = None
) -> Iterator[str | bytes]:
    seen: dict[int, str] = {}  # at a second place of a module its first name is enough
    for name, module in net.named_modules(remove_duplicate=False):
        yield f"{name}: {seen.setdefault(id(module), name)}"
        if module is leave_out or seen[id(module)] != name:
            continue
        own = {name: value for name, value in vars(module).items() if name not in _SAME_FOR_ALL}
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        each = speller or _Speller()
        yield from each.spell([type(module), own, hooks, module._parameters, module._buffers])


class _Speller:
    """Texts and bytes that are equal for equal values, whatever a value is."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # with the values, so that no id is given away again

    def spell(self, value: Any) -> Iterator[str | bytes]:
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu().contiguous()
            yield f"tensor {tensor.dtype} {tuple(tensor.shape)}"
            yield tensor.flatten().view(torch.uint8).numpy().tobytes()
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            yield f"array {value.dtype} {value.shape}"
            yield np.ascontiguousarray(value).tobytes()
        elif value is None or isinstance(value, str | bytes | int | float | complex | np.generic):
            yield f"{type(value).__name__} {value!r}"
        elif id(value) in self._seen:
            yield f"number {list(self._seen).index(id(value))}"
        else:
            self._seen[id(value)] = value
            yield f"{type(value).__module__}.{type(value).__qualname__}"
            for part in self._inside(value):
                yield from self.spell(part) if not isinstance(part, bytes) else (part,)

    def _inside(self, value: Any) -> Iterator[Any]:
        """What a value is made of."""
        if isinstance(value, Mapping):
            yield from (part for item in value.items() for part in item)
        elif isinstance(value, list | tuple):
            yield len(value)
            yield from value
        elif isinstance(value, set | frozenset):
            yield from sorted(map(repr, value))
        elif isinstance(value, type):
            yield from _class(value)
        elif isinstance(value, partial):
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, MethodType):
            yield from (value.__func__, value.__self__)
        elif isinstance(value, FunctionType):
            yield from (value.__qualname__, value.__code__, value.__defaults__)
            yield value.__kwdefaults__
            yield [cell.cell_contents for cell in value.__closure__ or ()]
        elif isinstance(value, CodeType):
            yield from (value.co_code, value.co_names, value.co_consts)
        elif isinstance(value, nn.Module):
            yield list(_net(value, None, self))
        elif hasattr(value, "__dict__"):
            yield vars(value)
        else:
            yield getattr(value, "__qualname__", repr(value))  # a function in C, or anything


def _class(kind: type) -> Iterator[Any]:
    """Names and code; what PyTorch itself brings counts by name."""
    for base in kind.__mro__:
        yield f"{base.__module__}.{base.__qualname__}"
        if base.__module__.partition(".")[0] in ("builtins", "torch", "torchvision", "numpy"):
            continue
        for name, member in vars(base).items():
            if isinstance(member, FunctionType | staticmethod | classmethod):
                yield from (name, getattr(member, "__func__", member))
            elif isinstance(member, str | int | float | tuple) and not name.startswith("__"):
                yield from (name, member)  # a setting that all of the class have
