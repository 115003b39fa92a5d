"""What happens inside a net or on a loss surface: histograms by depth, paths on a valley."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check
from coursekit.plots.style import MARKERS


def activation_histograms(
    activations: Mapping[str, Sequence[NDArray]], *, limits: tuple[float, float] | None = None
) -> Figure:
    """Histogram of every layer's outputs: one row a way to initialise, one column a layer.

    Outputs of exactly 0, half of a ReLU layer's, are left out: one bar of them hides the rest.

    Args:
        activations: for each row's name the outputs of the layers, first to last.
        limits: range of values shown; the same for all panels.

    Raises:
        ValueError: outputs that are not finite, or none.
    """
    check.some("activations", activations)
    activations = {
        name: [check.numbers(f"activations[{name!r}][{i}]", out) for i, out in enumerate(outputs)]
        for name, outputs in activations.items()
    }
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

    Raises:
        ValueError: ``f`` is nowhere positive or not finite, or a path has no two columns.
    """
    x, y = np.meshgrid(np.linspace(*x_range, 200), np.linspace(*y_range, 200))
    z = check.numbers("f", f(x, y), 2)
    if z.max() <= 0:
        raise ValueError(
            f"f: got at most {z.max():g}; needed a function that is positive somewhere"
        )
    fig, ax = plt.subplots(figsize=(7.5, 4))
    levels = np.geomspace(max(z.min(), z.max() * 1e-4), z.max(), 22)
    ax.contour(x, y, z, levels=levels, cmap="Greys_r", linewidths=0.6, alpha=0.7)
    for name, path in paths.items():
        path = np.asarray(path, float)
        if path.ndim != 2 or path.shape[1] != 2:
            raise ValueError(f"paths[{name!r}]: got shape {path.shape}; needed (steps, 2)")
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
        labels: (N,) integers from 0 on.

    Raises:
        ValueError: points or labels of another kind or number, or a classifier's answer.
    """
    check.some("classifiers", classifiers)
    points = check.numbers("points", points, 2)
    if points.shape[1] != 2:
        raise ValueError(f"points: got shape {points.shape}; needed (N, 2)")
    labels = np.asarray(labels)
    labels = check.classes("labels", labels, np.max(labels, initial=0) + 1, len(points))
    limit = 1.1 * np.abs(points).max() or 1.0
    x, y = np.meshgrid(np.linspace(-limit, limit, 200), np.linspace(-limit, limit, 200))
    grid = np.column_stack([x.ravel(), y.ravel()])
    answers = {title: np.asarray(classify(grid)) for title, classify in classifiers.items()}
    for title, answer in answers.items():
        if answer.shape != (len(grid),) or answer.dtype.kind not in "iu":
            raise ValueError(
                f"classifiers[{title!r}]: got {answer.dtype} of shape {answer.shape}; needed a "
                "function that returns classes (N,) for points (N, 2)"
            )
    classes = np.unique(labels)
    count = 1 + max(int(values.max()) for values in (labels, *answers.values()))
    levels = np.arange(count + 1) - 0.5
    colors = [f"C{c}" for c in range(count)]
    fig, axes = plt.subplots(
        1, len(classifiers), figsize=(4 * len(classifiers), 3.8), squeeze=False
    )
    for ax, (title, answer) in zip(axes[0], answers.items(), strict=True):
        regions = answer.reshape(x.shape)
        ax.contourf(x, y, regions, levels=levels, colors=colors, alpha=0.3)
        for i, c in enumerate(classes):
            style = {"marker": MARKERS[i % len(MARKERS)], "color": f"C{c}", "markersize": 3}
            ax.plot(*points[labels == c].T, linestyle="", **style)
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(False)
    return fig
