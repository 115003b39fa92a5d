"""What happens inside a net or on a loss surface: histograms by depth, paths on a valley."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray


def activation_histograms(
    activations: Mapping[str, Sequence[NDArray]], *, limits: tuple[float, float] | None = None
) -> Figure:
    """Histogram of every layer's outputs: one row a way to initialise, one column a layer.

    Outputs of exactly 0, half of a ReLU layer's, are left out: one bar of them hides the rest.

    Args:
        activations: for each row's name the outputs of the layers, first to last.
        limits: range of values shown; the same for all panels.
    """
    rows, columns = len(activations), max(len(v) for v in activations.values())
    fig, axes = plt.subplots(
        rows, columns, figsize=(8, 1.5 * rows + 0.3), sharex=limits is not None, squeeze=False
    )
    for row, (name, outputs) in zip(axes, activations.items(), strict=True):
        for depth, (ax, out) in enumerate(zip(row, outputs, strict=False), start=1):
            ax.hist(out[out != 0], bins=40, range=limits, color="C0")
            ax.set(yticks=[])
            ax.tick_params(labelsize=7)
            ax.grid(False)
            ax.set_title(f"layer {depth}: sd {np.std(out):.2g}", fontsize=8)
        row[0].set_ylabel(name, fontsize=9)
    return fig


def descent_paths(
    f: Callable[[NDArray, NDArray], NDArray],
    paths: Mapping[str, ArrayLike],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    minimum: tuple[float, float] | None = None,
) -> Figure:
    """Level lines of a function of two numbers, and the way each update rule takes over them.

    Args:
        f: the function, element-wise on two arrays.
        paths: for each rule an array (steps, 2).
        x_range: left and right edge.
        y_range: lower and upper edge.
        minimum: marked with a cross.
    """
    x, y = np.meshgrid(np.linspace(*x_range, 200), np.linspace(*y_range, 200))
    z = f(x, y)
    fig, ax = plt.subplots(figsize=(7.5, 4))
    levels = np.geomspace(max(z.min(), z.max() * 1e-4), z.max(), 22)
    ax.contour(x, y, z, levels=levels, cmap="Greys_r", linewidths=0.6, alpha=0.7)
    for name, path in paths.items():
        path = np.asarray(path)
        ax.plot(
            path[:, 0], path[:, 1], label=name, markevery=max(len(path) // 20, 1), linewidth=1.4
        )
    if minimum is not None:
        ax.plot(*minimum, "k+", markersize=12, linestyle="", label="minimum")
    ax.set(xlim=x_range, ylim=y_range, xlabel="first weight", ylabel="second weight")
    ax.grid(False)
    ax.legend(fontsize=8)
    return fig


def decision_regions(
    classifiers: Mapping[str, Callable[[NDArray], NDArray]], points: NDArray, labels: NDArray
) -> Figure:
    """Labelled points in the plane over the class each classifier would give their surroundings.

    Args:
        classifiers: for each panel's title a function from points (N, 2) to classes (N,).
        points: (N, 2).
        labels: (N,) integers.
    """
    limit = 1.1 * np.abs(points).max()
    x, y = np.meshgrid(np.linspace(-limit, limit, 200), np.linspace(-limit, limit, 200))
    grid = np.column_stack([x.ravel(), y.ravel()])
    classes = np.unique(labels)
    levels = np.append(classes, classes[-1] + 1) - 0.5
    colors = [f"C{c}" for c in classes]
    fig, axes = plt.subplots(
        1, len(classifiers), figsize=(4 * len(classifiers), 3.8), squeeze=False
    )
    for ax, (title, classify) in zip(axes[0], classifiers.items(), strict=True):
        regions = classify(grid).reshape(x.shape)
        ax.contourf(x, y, regions, levels=levels, colors=colors, alpha=0.3)
        for c, marker in zip(classes, "os^", strict=False):
            ax.plot(
                *points[labels == c].T, linestyle="", marker=marker, color=f"C{c}", markersize=3
            )
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(False)
    return fig
