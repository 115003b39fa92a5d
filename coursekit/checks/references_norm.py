"""Lesson 2's exercises on normalisation, solved: what the learner's functions are compared with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def batch_norm_forward(
    x: NDArray,
    gamma: NDArray,
    beta: NDArray,
    running_mean: NDArray,
    running_var: NDArray,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[NDArray, Any, NDArray, NDArray]:
    """Batch norm of (N, D): the output, a cache, and the running statistics after it."""
    if not training:
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
        return out, None, running_mean, running_var
    v = batch_norm_graph(x, gamma, beta, eps)
    unbiased = v["var"] * (len(x) / (len(x) - 1))
    running_mean = (1 - momentum) * running_mean + momentum * v["mu"]
    running_var = (1 - momentum) * running_var + momentum * unbiased
    return v["out"], v, running_mean, running_var


def batch_norm_graph(
    x: NDArray, gamma: NDArray, beta: NDArray, eps: float = 1e-5
) -> dict[str, NDArray]:
    """Batch norm of (N, D) in training, step by small step: every value by its name."""
    mu = x.mean(axis=0)  # (D,)
    xmu = x - mu  # (N, D)
    sq = xmu**2  # (N, D)
    var = sq.mean(axis=0)  # (D,)
    std = np.sqrt(var + eps)  # (D,)
    ivar = 1 / std  # (D,)
    xhat = xmu * ivar  # (N, D)
    out = gamma * xhat + beta  # (N, D)
    return {
        "x": x,
        "gamma": gamma,
        "mu": mu,
        "xmu": xmu,
        "sq": sq,
        "var": var,
        "std": std,
        "ivar": ivar,
        "xhat": xhat,
        "out": out,
    }


def batch_norm_backward_steps(dout: NDArray, v: dict[str, NDArray]) -> dict[str, NDArray]:
    """The graph backwards, from ``out`` to ``x``: the gradient of every value in ``v``."""
    n = len(dout)
    d = {"dbeta": dout.sum(axis=0), "dgamma": (dout * v["xhat"]).sum(axis=0)}
    d["dxhat"] = dout * v["gamma"]
    d["divar"] = (d["dxhat"] * v["xmu"]).sum(axis=0)
    d["dstd"] = -d["divar"] / v["std"] ** 2
    d["dvar"] = d["dstd"] / (2 * v["std"])
    d["dsq"] = np.repeat(d["dvar"][None] / n, n, axis=0)
    d["dxmu_xhat"] = d["dxhat"] * v["ivar"]
    d["dxmu_sq"] = 2 * v["xmu"] * d["dsq"]
    d["dxmu"] = d["dxmu_xhat"] + d["dxmu_sq"]
    d["dmu"] = -d["dxmu"].sum(axis=0)
    d["dx"] = d["dxmu"] + d["dmu"] / n
    return d


def batch_norm_backward(dout: NDArray, cache: Any) -> tuple[NDArray, NDArray, NDArray]:
    """The closed form of ``batch_norm_backward_steps``: ``(dx, dgamma, dbeta)``."""
    dbeta, dgamma = dout.sum(axis=0), (dout * cache["xhat"]).sum(axis=0)
    through_statistics = (dbeta + cache["xhat"] * dgamma) / len(dout)
    return cache["gamma"] * cache["ivar"] * (dout - through_statistics), dgamma, dbeta


def fold_batch_norm(
    w: NDArray,
    b: NDArray,
    gamma: NDArray,
    beta: NDArray,
    running_mean: NDArray,
    running_var: NDArray,
    eps: float = 1e-5,
) -> tuple[NDArray, NDArray]:
    """One linear layer (w, b) for a linear layer and the batch norm after it, in evaluation."""
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale[:, None], (b - running_mean) * scale + beta


def layer_norm_forward(
    x: NDArray, gamma: NDArray, beta: NDArray, eps: float = 1e-5
) -> tuple[NDArray, Any]:
    """Layer norm of (N, D): every row by its own mean and variance."""
    xmu = x - x.mean(axis=1, keepdims=True)
    ivar = 1 / np.sqrt((xmu**2).mean(axis=1, keepdims=True) + eps)
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, ivar, gamma)


def layer_norm_backward(dout: NDArray, cache: Any) -> tuple[NDArray, NDArray, NDArray]:
    """``(dx, dgamma, dbeta)``; gamma differs within a row, so it goes inside the means."""
    xhat, ivar, gamma = cache
    dxhat = dout * gamma
    along_the_row = dxhat.mean(axis=1, keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=1, keepdims=True)
    dx = ivar * (dxhat - along_the_row - xhat * along_xhat)
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)
