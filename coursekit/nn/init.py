"""Initial weights (lesson 1, "Where to start").

Each function takes the shape of a weight, ``(out, in)`` or ``(out, in, kh, kw)``, and returns a
new array. Glorot & Bengio 2010 keep the variance of activations and gradients even through
linear layers; He et al. 2015 count the half that a ReLU cuts away.
"""

from collections.abc import Callable
from functools import partial
from math import inf, prod, sqrt

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coursekit.functional._validate import check_not_negative

Shape = tuple[int, ...]
Initializer = Callable[..., NDArray]
Init = str | float | Initializer  # what `get` takes


def calculate_fan(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out): numbers feeding one output, and fed by one input."""
    if len(shape) < 2:
        raise ValueError(f"shape must be (out, in, ...) to have a fan-in, got {shape}")
    window = prod(shape[2:])
    return shape[1] * window, shape[0] * window


def calculate_gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """The factor that makes up for what a nonlinearity takes from the signal (PyTorch's table)."""
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": sqrt(2.0),
        "leaky_relu": sqrt(2 / (1 + negative_slope**2)),
    }
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity must be one of {sorted(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def normal(
    shape: Shape, *, std: float, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> NDArray:
    """Gaussian with mean 0 and the given standard deviation."""
    check_not_negative("std", std)
    return (rng.standard_normal(shape) * std).astype(dtype)


def uniform(
    shape: Shape, *, bound: float, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> NDArray:
    """Uniform in ``[-bound, bound)``; its standard deviation is ``bound / sqrt(3)``."""
    check_not_negative("bound", bound)
    return rng.uniform(-bound, bound, shape).astype(dtype)


def _xavier_std(shape: Shape, gain: float) -> float:
    return gain * sqrt(2 / sum(calculate_fan(shape)))


def _kaiming_std(shape: Shape, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity) / sqrt(calculate_fan(shape)[0])


def xavier_normal(
    shape: Shape,
    *,
    rng: np.random.Generator,
    gain: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> NDArray:
    """Gaussian with variance ``gain**2 * 2 / (fan_in + fan_out)``."""
    return normal(shape, std=_xavier_std(shape, gain), rng=rng, dtype=dtype)


def xavier_uniform(
    shape: Shape,
    *,
    rng: np.random.Generator,
    gain: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> NDArray:
    """Uniform with the variance of :func:`xavier_normal`."""
    return uniform(shape, bound=sqrt(3) * _xavier_std(shape, gain), rng=rng, dtype=dtype)


def kaiming_normal(
    shape: Shape,
    *,
    rng: np.random.Generator,
    nonlinearity: str = "relu",
    dtype: DTypeLike = np.float32,
) -> NDArray:
    """Gaussian with variance ``gain**2 / fan_in``."""
    return normal(shape, std=_kaiming_std(shape, nonlinearity), rng=rng, dtype=dtype)


def kaiming_uniform(
    shape: Shape,
    *,
    rng: np.random.Generator,
    nonlinearity: str = "relu",
    dtype: DTypeLike = np.float32,
) -> NDArray:
    """Uniform with the variance of :func:`kaiming_normal`."""
    return uniform(shape, bound=sqrt(3) * _kaiming_std(shape, nonlinearity), rng=rng, dtype=dtype)


def torch_default(
    shape: Shape, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> NDArray:
    """What ``torch.nn.Linear`` and ``Conv2d`` start from: uniform in ``±1 / sqrt(fan_in)``."""
    return uniform(shape, bound=1 / sqrt(calculate_fan(shape)[0]), rng=rng, dtype=dtype)


def dirac(
    shape: Shape, *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32
) -> NDArray:
    """Filters that hand the picture on: output channel i is input channel i.

    Of shape (out, in, kh, kw); channels beyond min(out, in) give or get nothing. Nothing is drawn
    from ``rng``. The sides of the kernel should be odd and the padding half of them, or else the
    picture moves.
    """
    if len(shape) != 4:
        raise ValueError(f"shape must be (out, in, kh, kw), got {shape}")
    weight = np.zeros(shape, dtype)
    channel = np.arange(min(shape[:2]))
    weight[channel, channel, shape[2] // 2, shape[3] // 2] = 1
    return weight


def draw(
    init: "Init", shape: Shape, *, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> NDArray:
    """Initial weights of this shape and dtype; ``init`` as in :func:`get`.

    Raises:
        ValueError: no such initialiser, or a callable that returned anything else.
    """
    weight = get(init)(shape, rng=rng, dtype=dtype)
    if not isinstance(weight, np.ndarray) or (weight.shape, weight.dtype) != (shape, dtype):
        came = (
            f"{weight.dtype} of shape {weight.shape}"
            if isinstance(weight, np.ndarray)
            else type(weight).__name__
        )
        raise ValueError(
            f"init: got a function that returned {came}; needed {np.dtype(dtype)} of shape {shape}"
        )
    return weight


def source(rng: np.random.Generator | None) -> np.random.Generator:
    """``rng`` itself, or a fresh unseeded generator for None.

    Raises:
        ValueError: it is no generator.
    """
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng: got {type(rng).__name__}; needed np.random.default_rng(seed)")
    return rng


def check_sizes(**sizes: int) -> None:
    """Raise ``ValueError`` for a number of features or channels that is not whole or below 1."""
    for name, size in sizes.items():
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or size < 1:
            raise ValueError(f"{name} must be at least 1, got {size!r}; needed a whole number")


def check_dtype(dtype: DTypeLike) -> None:
    """Raise ``ValueError`` for a dtype that layers do not compute in."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype: got {np.dtype(dtype)}; needed float32 or float64")


BY_NAME: dict[str, Initializer] = {
    "default": torch_default,
    "dirac": dirac,
    "kaiming": kaiming_normal,  # as the papers on conv nets say it
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
}


def get(init: Init) -> Initializer:
    """Look an initialiser up.

    Args:
        init: a name; or a number, the standard deviation of a Gaussian; or a callable
            ``(shape, *, rng, dtype)``, which is returned as is.
    """
    if callable(init):
        return init
    if (
        isinstance(init, int | float | np.floating)
        and not isinstance(init, bool)
        and 0 <= init < inf
    ):
        return partial(normal, std=float(init))
    if not isinstance(init, str) or init not in BY_NAME:
        raise ValueError(
            f"init must be a callable, a standard deviation or one of {sorted(BY_NAME)}, "
            f"got {init!r}"
        )
    return BY_NAME[init]
