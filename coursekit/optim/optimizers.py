"""Update rules, in place on the parameters (lesson 1, "Four ways downhill").

All follow PyTorch's conventions: ``weight_decay`` adds ``weight_decay * w`` to the gradient
(AdamW shrinks the weight itself instead), momentum is not damped, ``eps`` stands outside the
root, and a parameter without a gradient is left alone.
"""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import kernels
from coursekit.nn.module import Module, Parameter


def _positive(name: str, value: float, *, zero: bool = False) -> float:
    if not isinstance(value, Real) or not (value >= 0 if zero else value > 0):
        least = "at least" if zero else "greater than"
        raise ValueError(f"{name} must be {least} 0, got {value!r}")
    return value


def _fraction(name: str, value: float) -> float:
    if not isinstance(value, Real) or not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
    return value


def _as_parameters(params: Any) -> list[Parameter]:
    """Return ``params`` as a list, each once, or say what to hand over instead."""
    came = type(params).__name__
    if isinstance(params, Module):
        raise TypeError(f"params: got a net ({came}); needed its parameters: net.parameters()")
    if isinstance(params, Parameter):
        raise TypeError("params: got one Parameter; needed a list: [parameter]")
    if isinstance(params, (str, bytes, np.ndarray, Mapping)) or not isinstance(params, Iterable):
        raise TypeError(f"params: got {came}; needed Parameters, for example net.parameters()")
    params = list(params)
    for i, p in enumerate(params):
        if not isinstance(p, Parameter):
            kind = f"{type(p).__module__}.{type(p).__qualname__}".removeprefix("builtins.")
            raise TypeError(
                f"params[{i}]: got {kind}; needed a Parameter, for example from net.parameters()"
            )
    return list(dict.fromkeys(params))


class Optimizer:
    """Base of the update rules.

    A subclass names its running averages in ``_slots`` and its settings in ``_settings``, and
    updates one parameter in ``_update(w, g, step, *slots)``, in place. ``step`` counts that
    parameter's own updates from 1. ``lr`` may be changed at any time.

    A parameter that comes more than once in ``params`` is held once.
    """

    _slots: tuple[str, ...] = ()
    _settings: tuple[str, ...] = ("lr", "weight_decay")

    def __init__(self, params: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.params = _as_parameters(params)
        if not self.params:
            raise ValueError(
                "params must hold at least one Parameter, got none: the net has none, or a "
                "generator was used up before"
            )
        self.lr = _positive("lr", lr, zero=True)
        self.weight_decay = _positive("weight_decay", weight_decay, zero=True)
        for p in self.params:
            if not p.data.flags.writeable:  # joblib sends large arrays as read-only maps of a file
                p.data = p.data.copy()
        self._steps = [0] * len(self.params)
        self._state = [tuple(np.zeros_like(p.data) for _ in self._slots) for p in self.params]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            ValueError: a gradient has not its parameter's shape and dtype; nothing is changed.
        """
        for i, p in enumerate(self.params):
            g, w = p.grad, p.data
            if g is not None and (g.dtype, g.shape) != (w.dtype, w.shape):
                raise ValueError(
                    f"params[{i}].grad: got {g.dtype} {g.shape}; needed {w.dtype} {w.shape} as its "
                    "data"
                )
        for i, (p, slots) in enumerate(zip(self.params, self._state, strict=True)):
            if p.grad is not None:
                self._steps[i] += 1
                self._update(p.data, np.asarray(p.grad, order="C"), self._steps[i], *slots)

    def _update(self, w: NDArray, g: NDArray, step: int, *slots: NDArray) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, NDArray]:
        """Copies of the settings and, by parameter, of step counts and averages: "3.exp_avg"."""
        state = {name: np.array(getattr(self, name)) for name in self._settings}
        for i, slots in enumerate(self._state):
            state[f"{i}.step"] = np.array(self._steps[i])
            for name, array in zip(self._slots, slots, strict=True):
                state[f"{i}.{name}"] = array.copy()
        return state

    def load_state_dict(self, state: dict[str, NDArray]) -> None:
        """Continue from a :meth:`state_dict` of the same rule over parameters of the same shapes.

        As in PyTorch the settings, such as ``lr``, become the saved ones.

        Raises:
            ValueError: names, shapes or types do not fit; nothing is changed.
        """
        own = self.state_dict()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())
            raise ValueError(f"state does not fit {type(self).__name__}: names that differ {odd}")
        for name, array in own.items():
            came = np.asarray(state[name])
            if came.shape != array.shape:
                raise ValueError(f"state[{name!r}] has shape {came.shape}, needed {array.shape}")
            if came.dtype.kind not in "fiub":
                raise ValueError(f"state[{name!r}]: got {came.dtype}; needed real numbers")
        for name in self._settings:
            value = np.asarray(state[name]).tolist()
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self._steps = [int(state[f"{i}.step"]) for i in range(len(self.params))]
        for i, slots in enumerate(self._state):
            for name, array in zip(self._slots, slots, strict=True):
                array[...] = state[f"{i}.{name}"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever 2013).

    ``v = momentum * v + g`` and ``w -= lr * v``; Nesterov's form steps along
    ``g + momentum * v`` instead.
    """

    _slots: tuple[str, ...] = ("velocity",)  # none without momentum
    _settings = ("lr", "weight_decay", "momentum", "nesterov")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.momentum = _fraction("momentum", momentum)
        if nesterov and not momentum:
            raise ValueError("nesterov needs momentum > 0, got momentum=0")
        self.nesterov = nesterov
        if not momentum:
            self._slots = ()
        super().__init__(params, lr, weight_decay)

    def _update(self, w: NDArray, g: NDArray, step: int, *slots: NDArray) -> None:
        kernels.sgd_step(
            w,
            g,
            slots[0] if slots else None,
            lr=self.lr,
            momentum=self.momentum if slots else 0.0,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


class RMSprop(Optimizer):
    """Divide by a running root mean square of the gradient (Hinton's lecture 6e, 2012).

    ``s = alpha * s + (1 - alpha) * g**2`` and ``w -= lr * g / (sqrt(s) + eps)``.
    """

    _slots = ("square_avg",)
    _settings = ("lr", "weight_decay", "alpha", "eps")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.alpha = _fraction("alpha", alpha)
        self.eps = _positive("eps", eps, zero=True)
        super().__init__(params, lr, weight_decay)

    def _update(self, w: NDArray, g: NDArray, step: int, *slots: NDArray) -> None:
        (square_avg,) = slots
        if self.weight_decay:
            g = g + self.weight_decay * w
        square_avg *= self.alpha
        square_avg += (1 - self.alpha) * g * g
        w -= self.lr * g / (np.sqrt(square_avg) + self.eps)


class Adam(Optimizer):
    """Momentum and RMSprop together, both corrected for starting at zero (Kingma & Ba 2015)."""

    _slots = ("exp_avg", "exp_avg_sq")
    _settings = ("lr", "weight_decay", "betas", "eps")
    _decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas: got {betas!r}; needed two numbers, as (0.9, 0.999)")
        self.betas = (_fraction("betas[0]", betas[0]), _fraction("betas[1]", betas[1]))
        self.eps = _positive("eps", eps, zero=True)
        super().__init__(params, lr, weight_decay)

    def _update(self, w: NDArray, g: NDArray, step: int, *slots: NDArray) -> None:
        exp_avg, exp_avg_sq = slots
        kernels.adam_step(
            w,
            g,
            exp_avg,
            exp_avg_sq,
            step=step,
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self._decoupled,
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the weight itself (Loshchilov & Hutter 2019)."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm(params: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients so that their joint 2-norm is at most ``max_norm``.

    Returns:
        the norm before clipping, as ``torch.nn.utils.clip_grad_norm_`` does.
    """
    _positive("max_norm", max_norm)
    grads = [p.grad for p in _as_parameters(params) if p.grad is not None]
    norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in grads)))
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for g in grads:
            g *= scale
    return norm
