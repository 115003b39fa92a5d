"""What every layer, net and loss has in common: parameters, forward, backward.

The surface is PyTorch's, with one difference a from-scratch course cannot hide: there is no
autograd, so a module says itself how gradients flow through it, in ``backward``.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hook = Callable[["Module", NDArray, NDArray], None]


class Parameter:
    """An array that is learnt, and its gradient.

    ``grad`` is None until a backward pass has run; further passes add to it until
    ``zero_grad`` sets it to None again, as in PyTorch. With ``requires_grad = False`` it stays
    None, and optimisers leave the parameter as it is.
    """

    __slots__ = ("data", "grad", "requires_grad")

    def __init__(self, data: NDArray, requires_grad: bool = True) -> None:
        self.data = np.ascontiguousarray(data)
        self.grad: NDArray | None = None
        self.requires_grad = requires_grad

    def accumulate(self, grad: NDArray) -> None:
        """Add a backward pass's contribution to ``grad``."""
        if self.requires_grad:
            self.grad = grad if self.grad is None else self.grad + grad

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class HookHandle:
    """Takes a hook off again: ``handle.remove()``."""

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


class Module:
    """Base of layers and nets. A subclass writes ``forward`` and ``backward``.

    Attributes that are parameters or modules are found by themselves, in the order in which
    they were set; ``_buffers`` names attributes that belong to the state without being learnt.
    """

    _buffers: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.training = True
        self._hooks: list[Hook] = []
        self._cache: Any = None

    def forward(self, x: NDArray) -> NDArray:
        """Map inputs (N, ...) to outputs (N, ...), keeping what ``backward`` needs."""
        raise NotImplementedError

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Fill the parameters' gradients and return the gradient of the input.

        Args:
            dout: gradient of the loss with respect to the last ``forward``'s output.
            need_dx: False lets the module skip the input's gradient and return None.
        """
        raise NotImplementedError

    def __call__(self, x: NDArray) -> NDArray:
        """Run ``forward``, then the hooks."""
        out = self.forward(x)
        for hook in list(self._hooks):
            hook(self, x, out)
        return out

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, x, out)`` after every forward pass, until the handle removes it."""
        self._hooks.append(hook)
        return HookHandle(self._hooks, hook)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the modules directly inside this one with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """Yield the innermost modules, in order, as ``("1.Linear", module)``."""
        children = list(self.named_children())
        if not children:
            yield f"{prefix}{type(self).__name__}", self
        for name, child in children:
            yield from child.named_layers(f"{prefix}{name}.")

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield ``("1.weight", parameter)`` for this module and all inside it."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> list[Parameter]:
        """All parameters, in the order of :meth:`named_parameters`."""
        return [p for _, p in self.named_parameters()]

    def num_parameters(self) -> int:
        """How many numbers the parameters hold, frozen ones included."""
        return sum(p.data.size for p in self.parameters())

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Freeze all parameters (False) or let them learn again; returns the module."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> "Module":
        """Switch this module and all inside it to training mode."""
        self.training = mode
        for _, child in self.named_children():
            child.train(mode)
        return self

    def eval(self) -> "Module":
        """Switch to evaluation mode."""
        return self.train(False)

    def reseed(self, rng: np.random.Generator | int) -> None:
        """Give every random layer inside this module a stream of its own, drawn from ``rng``.

        A seed, or a generator: it spawns streams and its own numbers stay as they were.
        """
        children = [child for _, child in self.named_children()]
        streams = np.random.default_rng(rng).spawn(len(children))
        for child, stream in zip(children, streams, strict=True):
            child.reseed(stream)

    def _state_arrays(self, prefix: str = "") -> Iterator[tuple[str, NDArray]]:
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value.data
        for name in self._buffers:
            yield prefix + name, getattr(self, name)
        for name, child in self.named_children():
            yield from child._state_arrays(f"{prefix}{name}.")

    def state_dict(self) -> dict[str, NDArray]:
        """Copies of all parameters and buffers by name."""
        return {name: array.copy() for name, array in self._state_arrays()}

    def load_state_dict(self, state: dict[str, NDArray]) -> None:
        """Copy ``state`` into this module.

        Raises:
            ValueError: a name is missing or unknown, or a shape differs; nothing is changed.
        """
        own = dict(self._state_arrays())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ValueError(f"state does not fit this net: missing {missing}, unknown {unknown}")
        for name, array in own.items():
            if np.shape(state[name]) != array.shape:
                raise ValueError(
                    f"state[{name!r}] has shape {np.shape(state[name])}, "
                    f"the net needs {array.shape}"
                )
        for name, array in own.items():
            array[...] = state[name]

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without cache and hooks: one weighs gigabytes after a large batch, the
        # others belong to whoever looks at the original.
        return vars(self) | {"_cache": None, "_hooks": []}

    def _take_cache(self) -> Any:
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass before it")
        return self._cache


class Sequential(Module):
    """Modules one after the other; backward runs them in reverse.

    Args:
        layers: the modules. ``net[i]`` and ``len(net)`` work as in PyTorch.
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ValueError(f"layers[{i}] must be a Module, got {type(layer).__name__}")
        self.layers = list(layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, i: int) -> Module:
        return self.layers[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ``("0", layer)``, ``("1", layer)``, ..."""
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def forward(self, x: NDArray) -> NDArray:
        """Apply the layers from first to last."""
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Apply the chain rule from last to first.

        Without ``need_dx`` it stops at the first layer that has something to learn.
        """
        first = 0
        if not need_dx:
            learns = [
                i
                for i, layer in enumerate(self.layers)
                if any(p.requires_grad for p in layer.parameters())
            ]
            first = learns[0] if learns else len(self.layers)
        grad: Any = dout  # an array, until layer `first` may return None
        for i in range(len(self.layers) - 1, first - 1, -1):
            grad = self.layers[i].backward(grad, need_dx=need_dx or i > first)
        return grad if need_dx else None

    def __repr__(self) -> str:
        inner = "\n".join(f"  ({i}): {layer!r}" for i, layer in enumerate(self.layers))
        return f"{type(self).__name__}(\n{inner}\n)"
