"""Results: who is taken for whom, which class is hard, which settings did well."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from coursekit.plots import _check as check

if TYPE_CHECKING:
    import pandas as pd


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, names: Sequence[str]) -> Figure:
    """True class by row, predicted class by column, in per cent of the true class.

    Args:
        labels: true classes, (N,) integers.
        predictions: predicted classes, (N,) integers.
        names: one word a class.

    Raises:
        ValueError: a class without a name, or another number of predictions than of labels.
    """
    from sklearn.metrics import confusion_matrix as count

    labels = check.classes("labels", labels, len(names))
    predictions = check.classes("predictions", predictions, len(names), len(labels))
    share = 100 * count(labels, predictions, labels=range(len(names)), normalize="true")
    fig, ax = plt.subplots(figsize=(6.4, 5.4))
    picture = ax.imshow(share, cmap="cividis", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        color = "black" if value > 55 else "white"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=8)
    ticks = range(len(names))
    ax.set_xticks(ticks, names, rotation=45, ha="right", fontsize=9)
    ax.set_yticks(ticks, names, fontsize=9)
    ax.set(xlabel="predicted", ylabel="true")
    ax.grid(False)
    fig.colorbar(picture, ax=ax, label="per cent of the true class", shrink=0.85)
    return fig


def bars(
    names: Sequence[str], values: ArrayLike, *, xlabel: str, line_at: float | None = None
) -> Figure:
    """Horizontal bars, one a name, with their values written at the ends.

    Args:
        names: from top to bottom.
        values: one a name.
        xlabel: what was measured.
        line_at: draws a dotted line there.

    Raises:
        ValueError: another number of values than of names, or none.
    """
    values = np.asarray(values, float)
    if values.shape != (len(names),) or not len(names):
        raise ValueError(
            f"values: got shape {values.shape}; needed {len(names)} numbers, one for each name"
        )
    fig, ax = plt.subplots(figsize=(7, 0.32 * len(names) + 0.9))
    drawn = ax.barh(range(len(names)), values, color="C0")
    ax.bar_label(drawn, fmt="%.2f", padding=3, fontsize=9)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    if line_at is not None:
        ax.axvline(line_at, color="black", linestyle=":", marker="")
    ax.set(xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    return fig


def search_scatter(
    frame: "pd.DataFrame", x: str, y: str, *, score: str = "mean", label: str = "accuracy"
) -> Figure:
    """Every candidate of a search as a point over two of its settings, coloured by score.

    Args:
        frame: a search result's table.
        x: setting on the horizontal axis, logarithmic.
        y: setting on the vertical axis, logarithmic.
        score: column that colours the points.
        label: what the score is.

    Raises:
        ValueError: a column is missing, no candidate has a score, or a setting is not positive.
    """
    check.columns(frame, x, y, score)
    table = frame[np.isfinite(frame[score])]
    if not len(table):
        raise ValueError(f"frame: got no finite number in {score!r}; needed at least one")
    for name in (x, y):
        check.positive(name, table[name])
    fig, ax = plt.subplots(figsize=(6.4, 3.8))
    drawn = ax.scatter(table[x], table[y], c=table[score], cmap="cividis", s=90, edgecolor="black")
    best = table.loc[table[score].idxmax()]
    ax.scatter(best[x], best[y], s=260, facecolor="none", edgecolor="C2", linewidth=2, label="best")
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    fig.colorbar(drawn, ax=ax, label=label)
    ax.legend()
    return fig
