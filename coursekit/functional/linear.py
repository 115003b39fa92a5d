"""The matrix product every net is made of (lesson 1, "Two layers")."""

from math import prod

from numpy.typing import NDArray

from coursekit.functional._validate import check_float, check_gradient, check_like, check_shape

Cache = tuple[NDArray, NDArray, NDArray | None]


def linear_forward(x: NDArray, w: NDArray, b: NDArray | None) -> tuple[NDArray, Cache]:
    """Affine map ``out = x @ w.T + b``.

    Args:
        x: inputs, shape (N, D), N >= 1.
        w: weights, shape (M, D), dtype of x: one row per output, as PyTorch stores them.
        b: biases, shape (M,), likewise, or None for a map without.

    Returns:
        out of shape (N, M), and the cache ``(x, w, b)`` for :func:`linear_backward`.

    Raises:
        ValueError: an array is not float32/float64, dtypes differ, or a shape does not fit.
    """
    check_float("x", x, 2)
    check_float("w", w, 2)
    check_like("w", w, x)
    check_shape("w", w, (w.shape[0], x.shape[1]), f"to take the {x.shape[1]} columns of x")
    out = x @ w.T
    if b is not None:
        check_like("b", b, x)
        check_shape("b", b, (w.shape[0],), "to match the rows of w")
        out += b
    return out, (x, w, b)


def linear_backward(
    dout: NDArray, cache: Cache, *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """Gradients of :func:`linear_forward`.

    Args:
        dout: gradient of the loss with respect to ``out``, shape (N, M).
        cache: what the forward pass returned.
        need_dx: False skips ``dx``. A first layer saves a third of its work, as nobody
            asks for the gradient of the pictures.

    Returns:
        dx (N, D) or None, dw (M, D), db (M,) or None.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    x, w, b = cache
    dout = check_gradient(dout, (x.shape[0], w.shape[0]), x.dtype)
    dx = dout @ w if need_dx else None
    dw = dout.T @ x
    db = dout.sum(axis=0, dtype=dout.dtype) if b is not None else None
    return dx, dw, db


def flatten_forward(x: NDArray) -> tuple[NDArray, tuple[int, ...]]:
    """Turn (N, ...) into (N, D); the cache is the shape that came."""
    check_float("x", x)
    if x.ndim < 1:
        raise ValueError(f"x must have shape (N, ...), got shape {x.shape}")
    return x.reshape(len(x), prod(x.shape[1:])), x.shape


def flatten_backward(dout: NDArray, cache: tuple[int, ...]) -> NDArray:
    """Give the gradient the shape the input had.

    Raises:
        ValueError: ``dout`` does not have the shape of ``out``.
    """
    return check_gradient(dout, (cache[0], prod(cache[1:]))).reshape(cache)
