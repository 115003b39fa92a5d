"""What every layer, net and loss has in common: parameters, forward, backward.

The surface is PyTorch's, with one difference a from-scratch course cannot hide: there is no
autograd, so a module says itself how gradients flow through it, in ``backward``.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Hook = Callable[["Module", NDArray, NDArray], None]
Call = tuple[object, Any]  # the forward pass in which a module was called, and its cache


class Parameter:
    """An array that is learnt, and its gradient.

    ``grad`` is None until a backward pass has run; further passes add to it until
    ``zero_grad`` sets it to None again, as in PyTorch. With ``requires_grad = False`` it stays
    None, and optimisers leave the parameter as it is.

    Args:
        data: float32 or float64, any shape; not copied if it is a contiguous array.
        requires_grad: whether it learns.

    Raises:
        ValueError: data of another type.
    """

    __slots__ = ("data", "grad", "requires_grad")

    def __init__(self, data: NDArray, requires_grad: bool = True) -> None:
        self.data = np.asarray(data, order="C")
        if self.data.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"data: got {self.data.dtype}; needed float32 or float64, for only those have a "
                "gradient"
            )
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


class _Thread(threading.local):
    """The forward pass that this thread is in; None between passes."""

    forward_pass: object | None = None


_thread = _Thread()


class Module:
    """Base of layers and nets. A subclass writes ``forward`` and ``backward``.

    Attributes that are parameters or modules are found by themselves, in the order in which
    they were set; ``_buffers`` names attributes that belong to the state without being learnt.

    Two layers may share a parameter: ``second.weight = first.weight`` makes it one, counted once
    and updated once, with the sum of both gradients. A ``Sequential`` may hold the same layer at
    several places. A module of your own calls each of its layers once in a forward pass: of more
    calls only the last would be known in ``backward``, which refuses.
    """

    _buffers: tuple[str, ...] = ()

    # What is known of the last call, beside its cache.
    _pass: object | None = None  # the forward pass in which it was made
    _repeated = False  # not the first one in that pass
    _skipped = False  # the call before it has had no backward
    _taken = True  # it has had its backward

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

        Raises:
            RuntimeError: there was no forward pass, or it is not clear which one is meant.
        """
        raise NotImplementedError

    def __call__(self, x: NDArray) -> NDArray:
        """Run ``forward``, then the hooks."""
        inside = _thread.forward_pass  # another module's forward, which calls this one
        if inside is None:
            _thread.forward_pass = object()
            try:
                return self(x)
            finally:
                _thread.forward_pass = None
        self._repeated = self._pass is inside
        self._pass, self._skipped, self._taken = inside, not self._taken, False
        before = vars(self).copy() if self._repeated else None
        out = self.forward(x)
        if before is not None:
            self._check_memory(before)
        for hook in list(self._hooks):
            hook(self, x, out)
        return out

    def _check_memory(self, before: dict[str, Any]) -> None:
        """Raise unless a second call in one pass left what it keeps in ``_cache`` alone."""
        kept = [
            name
            for name, value in vars(self).items()
            if value is not before.get(name) and name not in ("_cache", *self._buffers)
        ]
        if kept:
            raise RuntimeError(
                f"{type(self).__name__}: got a second call in one forward pass, which overwrote "
                f"{', '.join(kept)} of the first; needed one such layer for each place, or all "
                "that backward needs in self._cache"
            )

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, x, out)`` after every forward pass, until the handle removes it."""
        self._hooks.append(hook)
        return HookHandle(self._hooks, hook)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the modules directly inside this one with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator["Module"]:
        """Yield this module and all inside it, each once."""
        return (module for _, module in _each_once(self._places("")))

    def _places(self, prefix: str) -> Iterator[tuple[str, "Module"]]:
        """Yield this module and all inside it, at every place, with ``"1.0."`` for a name."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._places(f"{prefix}{name}.")

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """Yield the innermost modules, in order, as ``("1.Linear", module)``, each once."""
        for name, module in _each_once(self._places(prefix)):
            if not any(True for _ in module.named_children()):
                yield f"{name}{type(module).__name__}", module

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield ``("1.weight", parameter)`` for this module and all inside it, each once.

        Raises:
            ValueError: two parameters lie in the same memory.
        """
        named = list(_each_once(self._parameters_at(prefix)))
        _check_apart(named)
        yield from named

    def _parameters_at(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter under every name that it has."""
        for place, module in self._places(prefix):
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield place + name, value

    def _learns(self) -> bool:
        return any(p.requires_grad for _, p in self._parameters_at())

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
        """Copies of all parameters and buffers by name; what is shared, under each of its names."""
        return {name: array.copy() for name, array in self._state_arrays()}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Copy ``state`` into this module.

        Raises:
            ValueError: it is no dict, a name is missing or unknown, a shape differs, a value is no
                number, or what this module shares has two values; nothing is changed.
        """
        if not isinstance(state, Mapping):
            raise ValueError(f"state: got a {type(state).__name__}; needed arrays by name")
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
            if np.asarray(state[name]).dtype.kind not in "fiub":
                raise ValueError(
                    f"state[{name!r}]: got {np.asarray(state[name]).dtype}; needed real numbers"
                )
        first: dict[int, str] = {}
        for name, array in own.items():
            other = first.setdefault(id(array), name)
            if other != name and not np.array_equal(state[name], state[other], equal_nan=True):
                raise ValueError(
                    f"state: got two values for {other} and {name}, which this net shares; needed "
                    "one, or a net that does not share them"
                )
        for name, array in own.items():
            array[...] = state[name]

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without calls and hooks: a cache weighs gigabytes after a large batch, and
        # hooks belong to whoever looks at the original.
        return vars(self) | {"_cache": None, "_pass": None, "_taken": True, "_hooks": []}

    def _take_cache(self) -> Any:
        """What the last call kept for backward, if no other call can be meant."""
        name = type(self).__name__
        if self._cache is None:
            raise RuntimeError(f"{name}.backward needs a forward pass before it")
        if self._repeated:
            raise RuntimeError(
                f"{name}.backward: got a layer that was called more than once in one forward pass, "
                "and only a Sequential knows which call a gradient is for; needed one layer for "
                "each place (they may share weights: second.weight = first.weight)"
            )
        if self._taken and self._skipped:
            raise RuntimeError(
                f"{name}.backward: got a second call, but only the last forward pass is kept, and "
                "the one before it has had no backward; needed backward right after each forward "
                "pass (gradients add up until zero_grad)"
            )
        self._taken = True
        return self._cache

    def _cache_is_all(self) -> bool:
        """Whether the cache holds what backward needs of the modules inside, too."""
        return not any(True for _ in self.named_children())

    def _backward_at(self, call: Call, dout: Any, *, need_dx: bool) -> NDArray | None:
        """``backward`` for a call that was noted; there may have been others since."""
        forward_pass, cache = call
        if forward_pass is not self._pass and not (cache is not None and self._cache_is_all()):
            raise RuntimeError(
                f"{type(self).__name__}.backward: got a layer that was called again since the "
                "forward pass, and what it kept of that is overwritten; needed backward right "
                "after the forward pass, or one such layer for each net"
            )
        last = self._cache, self._repeated, self._skipped
        self._cache, self._repeated, self._skipped = cache, False, False
        try:
            return self.backward(dout, need_dx=need_dx)
        finally:
            self._cache, self._repeated, self._skipped = last


def _each_once(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Leave out what came before under another name."""
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _check_apart(named: Iterable[tuple[str, Parameter]]) -> None:
    """Raise ``ValueError`` for two parameters over the same numbers."""
    by_owner: dict[int, list[tuple[str, NDArray]]] = {}
    for name, p in named:
        by_owner.setdefault(id(owner_of(p.data)), []).append((name, p.data))
    for views in by_owner.values():
        for (name, a), (other, b) in combinations(views, 2):
            if np.shares_memory(a, b):
                raise ValueError(
                    f"{name}, {other}: got two Parameters over the same numbers, which would be "
                    "counted and updated twice; needed one Parameter, set at both places "
                    "(second.weight = first.weight)"
                )


def owner_of(array: NDArray) -> NDArray:
    """The array whose memory this one looks into: itself, or what it is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Sequential(Module):
    """Modules one after the other; backward runs them in reverse.

    The same module may stand at several places: it is called once for each, and backward takes
    what each call kept.

    Args:
        layers: the modules. ``net[i]``, ``net[1:3]`` and ``len(net)`` work as in PyTorch.
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ValueError(f"layers[{i}] must be a Module, got {type(layer).__name__}")
        self.layers = list(layers)

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, i: int) -> Module: ...

    @overload
    def __getitem__(self, i: slice) -> "Sequential": ...

    def __getitem__(self, i: int | slice) -> Module:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ``("0", layer)``, ``("1", layer)``, ..."""
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def _cache_is_all(self) -> bool:
        return True

    def forward(self, x: NDArray) -> NDArray:
        """Apply the layers from first to last."""
        calls = []
        for layer in self.layers:
            x = layer(x)
            calls.append((layer, (layer._pass, layer._cache)))
        self._cache = calls
        return x

    def backward(self, dout: NDArray, *, need_dx: bool = True) -> NDArray | None:
        """Apply the chain rule from last to first.

        Without ``need_dx`` it stops at the first layer that has something to learn.
        """
        calls = self._take_cache()
        first = 0
        if not need_dx:
            learns = (i for i, (layer, _) in enumerate(calls) if layer._learns())
            first = next(learns, len(calls))
        grad: Any = dout  # an array, until layer `first` may return None
        for i in range(len(calls) - 1, first - 1, -1):
            layer, call = calls[i]
            grad = layer._backward_at(call, grad, need_dx=need_dx or i > first)
        return grad if need_dx else None

    def __repr__(self) -> str:
        inner = "\n".join(f"  ({i}): {layer!r}" for i, layer in enumerate(self.layers))
        return f"{type(self).__name__}(\n{inner}\n)"
