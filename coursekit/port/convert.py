"""The course's nets, losses and optimisers as PyTorch's, and nets back (lesson 4, "The twin").

Names, defaults and conventions are the same on both sides, so a conversion renames nothing: it
carries weights, running statistics, dtype, what is frozen and what is in training mode. What one
side shares, a layer at two places or a parameter of two layers, the other shares too. All is
copied; the two sides share no memory.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch

from coursekit import nn, optim
from coursekit.port.own_kernels import OwnConv2d

# How to build each layer in PyTorch. Weights come afterwards, from the layer's state.
_TO_TORCH: dict[type[nn.Module], Callable[[Any], torch.nn.Module]] = {
    nn.Linear: lambda m: torch.nn.Linear(*_features(m), bias=m.bias is not None),
    nn.Conv2d: lambda m: torch.nn.Conv2d(
        *_features(m), m.kernel_size, m.stride, m.padding, bias=m.bias is not None
    ),
    nn.MaxPool2d: lambda m: torch.nn.MaxPool2d(m.kernel_size, m.stride, m.padding),
    nn.AvgPool2d: lambda m: torch.nn.AvgPool2d(m.kernel_size, m.stride, m.padding),
    nn.GlobalAvgPool2d: lambda m: torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    ),
    nn.BatchNorm1d: lambda m: torch.nn.BatchNorm1d(*_batch_norm(m)),
    nn.BatchNorm2d: lambda m: torch.nn.BatchNorm2d(*_batch_norm(m)),
    nn.LayerNorm: lambda m: torch.nn.LayerNorm(m.normalized_shape, m.eps, m.weight is not None),
    nn.GroupNorm: lambda m: torch.nn.GroupNorm(
        m.num_groups, m.num_channels, m.eps, m.weight is not None
    ),
    nn.Dropout: lambda m: torch.nn.Dropout(m.p),
    nn.Flatten: lambda m: torch.nn.Flatten(),
    nn.ReLU: lambda m: torch.nn.ReLU(),
    nn.LeakyReLU: lambda m: torch.nn.LeakyReLU(m.negative_slope),
    nn.Tanh: lambda m: torch.nn.Tanh(),
    nn.Sigmoid: lambda m: torch.nn.Sigmoid(),
}

# And how to build each of PyTorch's here, in a dtype.
_FROM_TORCH: dict[type[torch.nn.Module], Callable[[Any, np.dtype], nn.Module]] = {
    torch.nn.Linear: lambda m, dtype: nn.Linear(
        m.in_features, m.out_features, m.bias is not None, dtype=dtype
    ),
    torch.nn.Conv2d: lambda m, dtype: nn.Conv2d(
        m.in_channels,
        m.out_channels,
        m.kernel_size,
        m.stride,
        _padding(m),
        m.bias is not None,
        dtype=dtype,
    ),
    torch.nn.MaxPool2d: lambda m, _: nn.MaxPool2d(m.kernel_size, m.stride, m.padding),
    torch.nn.AvgPool2d: lambda m, _: nn.AvgPool2d(m.kernel_size, m.stride, m.padding),
    torch.nn.BatchNorm1d: lambda m, dtype: nn.BatchNorm1d(*_batch_norm(m), dtype=dtype),
    torch.nn.BatchNorm2d: lambda m, dtype: nn.BatchNorm2d(*_batch_norm(m), dtype=dtype),
    torch.nn.LayerNorm: lambda m, dtype: nn.LayerNorm(
        m.normalized_shape, m.eps, m.weight is not None, dtype=dtype
    ),
    torch.nn.GroupNorm: lambda m, dtype: nn.GroupNorm(
        m.num_groups, m.num_channels, m.eps, m.weight is not None, dtype=dtype
    ),
    torch.nn.Dropout: lambda m, _: nn.Dropout(m.p),
    torch.nn.Flatten: lambda m, _: nn.Flatten(),
    torch.nn.ReLU: lambda m, _: nn.ReLU(),
    torch.nn.LeakyReLU: lambda m, _: nn.LeakyReLU(m.negative_slope),
    torch.nn.Tanh: lambda m, _: nn.Tanh(),
    torch.nn.Sigmoid: lambda m, _: nn.Sigmoid(),
}

# Options that only PyTorch's layers have, with the values that say what ours do.
_NEEDED: dict[type[torch.nn.Module], dict[str, tuple[Any, ...]]] = {
    torch.nn.Conv2d: {"dilation": ((1, 1),), "groups": (1,), "padding_mode": ("zeros",)},
    torch.nn.MaxPool2d: {
        "dilation": (1, (1, 1)),
        "ceil_mode": (False,),
        "return_indices": (False,),
    },
    torch.nn.AvgPool2d: {
        "ceil_mode": (False,),
        "count_include_pad": (True,),
        "divisor_override": (None,),
    },
    torch.nn.AdaptiveAvgPool2d: {"output_size": (1, (1, 1))},
    torch.nn.Flatten: {"start_dim": (1,), "end_dim": (-1,)},
}

Made = dict[int, Any]  # what was made so far, by the id of the layer or parameter it was made of

_DTYPES: dict[torch.dtype, np.dtype] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}

# Each optimiser of ours, PyTorch's, and the options that both have besides lr and weight_decay.
_OPTIMIZERS: dict[type[optim.Optimizer], tuple[Callable[..., Any], tuple[str, ...]]] = {
    optim.SGD: (torch.optim.SGD, ("momentum", "nesterov")),
    optim.RMSprop: (torch.optim.RMSprop, ("alpha", "eps")),
    optim.Adam: (torch.optim.Adam, ("betas", "eps")),
    optim.AdamW: (torch.optim.AdamW, ("betas", "eps")),
}


def to_torch(net: nn.Module) -> torch.nn.Module:
    """The same net in PyTorch, on the CPU: ``to_torch(net)(torch.from_numpy(x))`` is ``net(x)``.

    A ``Sequential``, and so every named net, becomes ``torch.nn.Sequential``, and the names in
    ``state_dict`` stay. ``GlobalAvgPool2d`` becomes an ``AdaptiveAvgPool2d(1)`` and a ``Flatten``.

    Raises:
        TypeError: ``net`` is no ``coursekit.nn.Module``, or a layer has no counterpart.
        ValueError: two parameters lie in the same memory.
    """
    if not isinstance(net, nn.Module):
        raise TypeError(f"net must be a coursekit.nn.Module, got {_name(net)}")
    net.parameters()  # raises for two in the same memory
    return _to_torch(net, "net", {})


def from_torch(module: torch.nn.Module) -> nn.Module:
    """The same net in NumPy: the inverse of :func:`to_torch`.

    Layers are numbered from 0, as in ``torch.nn.Sequential(...)``. ``inplace`` saves PyTorch memory
    and changes no value; it is dropped. The padding "same" becomes its number of pixels.

    Raises:
        TypeError: ``module`` is no ``torch.nn.Module``, or a layer has no counterpart; a module
            with a ``forward`` of its own has none.
        ValueError: an option that our layers do not have, a dtype other than float32 and float64,
            or two parameters begin at the same place in memory.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {_name(module)}")
    _check_apart(module)
    return _from_torch(module, "module", {})


def to_torch_loss(criterion: nn.CrossEntropyLoss | nn.MultiMarginLoss) -> torch.nn.Module:
    """The same loss in PyTorch.

    Raises:
        TypeError: another loss.
    """
    if type(criterion) is nn.CrossEntropyLoss:
        return torch.nn.CrossEntropyLoss(label_smoothing=criterion.label_smoothing)
    if type(criterion) is nn.MultiMarginLoss:
        return torch.nn.MultiMarginLoss(margin=criterion.margin)
    raise TypeError(
        f"criterion must be a coursekit CrossEntropyLoss or MultiMarginLoss, got {_name(criterion)}"
    )


def to_torch_optimizer(
    optimizer: optim.Optimizer, module: torch.nn.Module
) -> torch.optim.Optimizer:
    """The same update rule over ``module``'s parameters, with the running averages so far.

    Args:
        optimizer: over all parameters of a net, in their order.
        module: what :func:`to_torch` made of that net, on any device.

    Raises:
        TypeError: an optimiser that PyTorch does not have.
        ValueError: the parameters' shapes are not those of ``module``.
    """
    if type(optimizer) not in _OPTIMIZERS:
        raise TypeError(
            f"optimizer must be one of {_names(_OPTIMIZERS)} of coursekit, got {_name(optimizer)}"
        )
    shapes = [p.data.shape for p in optimizer.params]
    needed = [tuple(p.shape) for p in module.parameters()]
    if shapes != needed:
        raise ValueError(
            f"optimizer must be over all parameters of module, of shapes {needed}, got {shapes}"
        )
    rule, options = _OPTIMIZERS[type(optimizer)]
    theirs = rule(
        module.parameters(),
        lr=float(optimizer.lr),
        weight_decay=float(optimizer.weight_decay),
        **{name: getattr(optimizer, name) for name in options},
    )
    groups = theirs.state_dict()["param_groups"]
    theirs.load_state_dict({"state": _optimizer_state(optimizer), "param_groups": groups})
    return cast(torch.optim.Optimizer, theirs)


def _optimizer_state(optimizer: optim.Optimizer) -> dict[int, dict[str, torch.Tensor]]:
    """Step count and running averages of each parameter that was updated, as PyTorch has them."""
    saved = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in saved.items():
        i, _, name = key.partition(".")
        if not name or not saved[f"{i}.step"]:  # a setting, or PyTorch has nothing for it yet
            continue
        slots = state.setdefault(int(i), {})
        if name != "step":
            slots["momentum_buffer" if name == "velocity" else name] = torch.tensor(array)
        elif not isinstance(optimizer, optim.SGD):
            slots["step"] = torch.tensor(float(array))
    return state


def _to_torch(layer: nn.Module, where: str, made: Made) -> torch.nn.Module:
    """One layer and all inside it; ``where`` is its place in the net, for errors."""
    if id(layer) not in made:
        made[id(layer)] = _new_in_torch(layer, where, made)
    return made[id(layer)]


def _new_in_torch(layer: nn.Module, where: str, made: Made) -> torch.nn.Module:
    if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
        inner = [_to_torch(m, f"{where}[{i}]", made) for i, m in enumerate(layer)]
        net = torch.nn.Sequential(*inner)
        net.training = layer.training
        return net
    if type(layer) not in _TO_TORCH:
        raise _unsupported(layer, where, [nn.Sequential, *_TO_TORCH])
    with torch.device("meta"):  # shapes only: no initial weights, no numbers drawn from torch's rng
        module = _TO_TORCH[type(layer)](layer)
    # assign: the module takes the tensors as they are, so dtypes come along.
    module.load_state_dict(
        {name: torch.from_numpy(array) for name, array in layer.state_dict().items()}, assign=True
    )
    for name, p in layer.named_parameters():
        theirs = made.setdefault(id(p), module.get_parameter(name))
        setattr(module, name, theirs.requires_grad_(p.requires_grad))
    return module.train(layer.training)


def _from_torch(module: torch.nn.Module, where: str, made: Made) -> nn.Module:
    """The inverse of :func:`_to_torch`."""
    if id(module) not in made:
        made[id(module)] = _new_from_torch(module, where, made)
    return made[id(module)]


def _new_from_torch(module: torch.nn.Module, where: str, made: Made) -> nn.Module:
    if isinstance(module, torch.nn.Sequential):
        if type(module).forward is torch.nn.Sequential.forward:
            return _sequential_from_torch(module, where, made)
    elif _kind(module) in _FROM_TORCH:
        return _layer_from_torch(module, where, made)
    elif type(module) is torch.nn.AdaptiveAvgPool2d:
        raise ValueError(
            f"{where}, AdaptiveAvgPool2d, must have a Flatten right behind it in its Sequential: "
            "coursekit's GlobalAvgPool2d returns (N, C)"
        )
    raise _unsupported(
        module, where, [torch.nn.Sequential, torch.nn.AdaptiveAvgPool2d, *_FROM_TORCH]
    )


def _sequential_from_torch(net: torch.nn.Sequential, where: str, made: Made) -> nn.Module:
    """Module by module; our global average also flattens, and a second Flatten changes nothing."""
    modules = list(net)
    layers: list[nn.Module] = []
    for i, m in enumerate(modules):
        place = f"{where}[{i}]"
        if _is_global_average(modules[i : i + 2]):
            _check_options(m, place)
            layers.append(nn.GlobalAvgPool2d())
        else:
            layers.append(_from_torch(m, place, made))
    alone = _is_global_average(modules)  # what to_torch makes of ours
    ours = layers[0] if alone else nn.Sequential(*layers)
    ours.training = net.training
    return ours


def _is_global_average(modules: list[torch.nn.Module]) -> bool:
    return [type(m) for m in modules] == [torch.nn.AdaptiveAvgPool2d, torch.nn.Flatten]


def _kind(module: torch.nn.Module) -> type[torch.nn.Module]:
    return torch.nn.Conv2d if type(module) is OwnConv2d else type(module)


def _layer_from_torch(module: torch.nn.Module, where: str, made: Made) -> nn.Module:
    """One layer with its state."""
    _check_options(module, where)
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.dtype not in _DTYPES:
            raise ValueError(
                f"{where}.{name} must be float32 or float64, got {tensor.dtype}; "
                "module.float() converts a net"
            )
    dtypes = [_DTYPES[t.dtype] for t in state.values() if t.is_floating_point()]
    layer = _FROM_TORCH[_kind(module)](module, dtypes[0] if dtypes else np.dtype(np.float32))
    layer.load_state_dict({name: tensor.cpu().numpy() for name, tensor in state.items()})
    for name, p in layer.named_parameters():
        theirs = module.get_parameter(name)
        p.requires_grad = theirs.requires_grad
        setattr(layer, name, made.setdefault(id(theirs), p))
    return layer.train(module.training)


def _check_options(module: torch.nn.Module, where: str) -> None:
    """Refuse what our layer of this name does not do."""
    for name, allowed in _NEEDED.get(_kind(module), {}).items():
        value = getattr(module, name)
        if value not in allowed:
            raise ValueError(
                f"{where}, {type(module).__name__}, has {name}={value!r}; "
                f"coursekit has only {name}={allowed[0]!r}"
            )
    if "Norm" in type(module).__name__ and (module.weight is None) != (module.bias is None):
        raise ValueError(
            f"{where}, {type(module).__name__}, has a weight or a bias alone; coursekit has both "
            "or neither"
        )


def _features(layer: nn.Linear | nn.Conv2d) -> tuple[int, int]:
    """Features or channels that go in and come out."""
    out, into, *_ = layer.weight.data.shape
    return into, out


def _padding(conv: torch.nn.Conv2d) -> tuple[int, int]:
    """Pixels on either side, of "valid" and "same" too."""
    if not isinstance(conv.padding, str):
        return cast(tuple[int, int], conv.padding)
    if conv.padding == "valid":
        return 0, 0
    if any(k % 2 == 0 for k in conv.kernel_size):
        raise ValueError(
            f"padding='same' needs an odd kernel_size here, got {conv.kernel_size}: "
            "coursekit pads both sides alike"
        )
    return conv.kernel_size[0] // 2, conv.kernel_size[1] // 2


def _batch_norm(m: Any) -> tuple[int, float, float | None, bool, bool]:
    """The arguments of batch norm on either side."""
    tracks = m.running_mean is not None
    return m.num_features, m.eps, m.momentum, m.weight is not None, tracks


def _check_apart(module: torch.nn.Module) -> None:
    """Raise for two parameters over the same numbers: copies of them would be two."""
    names: dict[int, str] = {}
    for name, p in module.named_parameters():
        if p.is_meta or isinstance(p, torch.nn.UninitializedParameter) or not p.numel():
            continue  # it has no numbers yet
        place = p.data_ptr()
        if place in names:
            raise ValueError(
                f"{names[place]}, {name}: got two Parameters over the same numbers; needed one "
                "Parameter, set at both places (second.weight = first.weight)"
            )
        names[place] = name


def _unsupported(module: object, where: str, supported: Iterable[type]) -> TypeError:
    return TypeError(f"{where} must be one of {_names(supported)}, got {_name(module)}")


def _name(value: object) -> str:
    """Class and where it is from: both sides have a Linear."""
    return f"{type(value).__module__.partition('.')[0]}'s {type(value).__qualname__}"


def _names(types: Iterable[type]) -> str:
    return ", ".join(t.__name__ for t in types)
