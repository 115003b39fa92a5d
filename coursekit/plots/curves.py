"""Lines: learning curves, sweeps with their bands, and what diagnostics recorded."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check

if TYPE_CHECKING:
    import pandas as pd

    from coursekit.training.history import History


def markers_every(n: int) -> int:
    """A distance between markers that leaves about eight on a curve of ``n`` points."""
    return max(n // 8, 1)


def smooth(values: ArrayLike, window: int) -> NDArray:
    """Running mean over the last ``window`` values; the first ones average what there is.

    A mean over a value that is nan or infinite is nan; the others are as ever.

    Raises:
        ValueError: values with more than one axis, or a window below 1.
    """
    values = np.asarray(values, float)
    if values.ndim != 1:
        raise ValueError(f"values: got shape {values.shape}; needed (N,)")
    check.at_least_one("window", window)
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    finite = np.isfinite(values)

    def sums(v: NDArray) -> NDArray:
        total = np.cumsum(np.concatenate([[0.0], v]))
        return total[end] - total[start]

    mean = sums(np.where(finite, values, 0)) / (end - start)
    return np.where(sums(~finite) > 0, np.nan, mean)


def line(ax: Axes, x: ArrayLike, y: ArrayLike, label: str | None = None, **style) -> None:
    """One curve with sparse markers."""
    ax.plot(x, y, label=label, markevery=markers_every(np.size(y)), **style)


def learning_curves(histories: Mapping[str, "History"], *, window: int | None = None) -> Figure:
    """Loss by step on the left; training and validation accuracy by epoch on the right.

    Args:
        histories: runs by name; an empty name for a single one.
        window: steps in the running mean of the loss; about a fortieth of the run if None.

    Raises:
        ValueError: no history, or a window below 1.
    """
    check.some("histories", histories)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    for i, (name, history) in enumerate(histories.items()):
        loss = [row["loss"] for row in history.steps]
        k = max(len(loss) // 40, 1) if window is None else window
        style = {"color": f"C{i}", "marker": ("o", "s", "^", "D", "v", "X")[i % 6]}
        line(left, np.arange(len(loss)), smooth(loss, k), name or None, linestyle="-", **style)
        epochs = [row["epoch"] for row in history.epochs]
        for part, dash in (("train", "--"), ("val", "-")):
            accuracy = [row[f"{part}_accuracy"] for row in history.epochs]
            if not np.isnan(accuracy).all():
                label = part if i == 0 else None  # the names stand in the left panel
                line(right, epochs, accuracy, label, linestyle=dash, **style)
    left.set(xlabel="step", ylabel="training loss (running mean)")
    right.set(xlabel="epoch", ylabel="accuracy")
    right.legend()
    if len(histories) > 1:
        left.legend()
    return fig


def sweep(
    x: Sequence[float],
    results: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = True,
    log_y: bool = False,
    chance: float | None = None,
) -> Figure:
    """Mean over seeds against one setting, with a band of two standard errors.

    Args:
        x: the settings.
        results: for each curve an array (settings, seeds); one seed draws no band.
        xlabel: name and unit of the setting.
        ylabel: what was measured.
        log_x: logarithmic setting.
        log_y: logarithmic measure.
        chance: draws a dotted line there.

    Raises:
        ValueError: results of another shape, or numbers that a logarithmic axis cannot show.
    """
    check.some("results", results)
    for name, runs in results.items():
        shape = np.shape(runs)
        if len(shape) != 2 or shape[0] != len(x) or 0 in shape:
            raise ValueError(
                f"results[{name!r}]: got shape {shape}; needed ({len(x)}, seeds), a row for each x"
            )
        if log_y:
            check.positive(f"results[{name!r}]", runs)
    if log_x:
        check.positive("x", x)
    fig, ax = plt.subplots(figsize=(7, 3.6))
    for name, values in results.items():
        values = np.asarray(values, float)
        mean = values.mean(axis=1)
        line(ax, x, mean, name or None)
        if values.shape[1] > 1:
            band = 2 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
            ax.fill_between(x, mean - band, mean + band, alpha=0.2, color=ax.lines[-1].get_color())
    if chance is not None:
        ax.axhline(chance, color="black", linestyle=":", marker="", linewidth=1, label="chance")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log_x:
        ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return fig


def by_layer(
    frame: "pd.DataFrame",
    columns: Mapping[str, str],
    *,
    log: bool = False,
    guide: float | None = None,
) -> Figure:
    """What a diagnostic recorded: one panel a column, one curve a layer, against the step.

    Args:
        frame: table with ``step``, ``layer`` and the columns.
        columns: column name to axis label.
        log: logarithmic measure.
        guide: draws a dotted line there.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    check.some("columns", columns)
    check.columns(frame, "step", "layer", *columns)
    fig, axes = plt.subplots(
        1, len(columns), figsize=(min(3.4 * len(columns) + 1.2, 8.6), 3.0), squeeze=False
    )
    for ax, (column, label) in zip(axes[0], columns.items(), strict=True):
        for layer, rows in frame.groupby("layer", sort=False):
            line(ax, rows["step"], rows[column], str(layer))
        if guide is not None:
            ax.axhline(guide, color="black", linestyle=":", marker="", linewidth=1)
        ax.set(xlabel="step", ylabel=label)
        if log:
            ax.set_yscale("log")
    axes[0, -1].legend(fontsize=8)
    return fig


def schedules(rates: Mapping[str, Sequence[float]]) -> Figure:
    """Learning rate against step for several schedules."""
    fig, ax = plt.subplots(figsize=(7, 3))
    for name, values in rates.items():
        line(ax, np.arange(len(values)), values, name)
    ax.set(xlabel="step", ylabel="learning rate")
    ax.legend()
    return fig
