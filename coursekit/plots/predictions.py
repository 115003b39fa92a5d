"""What a net says about pictures, and how saturated its units are."""

from collections.abc import Mapping, Sequence
from math import inf

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check
from coursekit.plots._check import pictures as as_pictures
from coursekit.plots.style import COLORS


def predictions(
    images: NDArray,
    probabilities: NDArray,
    names: Sequence[str],
    labels: ArrayLike | None = None,
    *,
    top: int = 3,
    columns: int = 6,
) -> Figure:
    """Pictures, and below each its likeliest classes as bars.

    Args:
        images: (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1].
        probabilities: (N, classes), rows that sum to 1.
        names: one word a class.
        labels: true classes (N,), whose bars are filled and marked with a star; none if None.
        top: classes a picture.
        columns: pictures a row.

    Raises:
        ValueError: pictures of another kind, rows that are no probabilities of these classes, or a
            number that does not fit.
    """
    pictures, count = as_pictures(images), len(names)
    probabilities = check.numbers("probabilities", probabilities, 2)
    if probabilities.shape != (len(pictures), count):
        raise ValueError(
            f"probabilities: got shape {probabilities.shape}; needed ({len(pictures)}, {count}), "
            "a row for each picture and a column for each name"
        )
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 0.01:
        raise ValueError(
            "probabilities: got rows that are no distribution; needed numbers from 0 that sum to 1 "
            "(functional.softmax makes them of logits)"
        )
    if labels is not None:
        labels = check.classes("labels", labels, count, len(pictures))
    check.at_least_one("columns", columns)
    check.at_least_one("top", top)
    top = min(top, count)
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(1.35 * columns, rows * (1.35 + 0.2 * top)),
        height_ratios=[1.2, 0.18 * top] * rows,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        axes[2 * row, column].imshow(picture)
        ax = axes[2 * row + 1, column]
        best = np.argsort(-probabilities[i], kind="stable")[:top]
        true = best == labels[i] if labels is not None else np.zeros(top, bool)
        colors = [COLORS[0] if right else "0.82" for right in true]
        ax.barh(range(top), probabilities[i, best], color=colors)
        for place, c in enumerate(best):
            star = " *" if true[place] else ""
            text = f"{names[c]} {100 * probabilities[i, c]:.0f} %{star}"
            ax.text(0.02, place, text, va="center", fontsize=7)
        ax.set(xlim=(0, 1), ylim=(top - 0.4, -0.6))
    return fig


def saturation_maps(outputs: Mapping[str, NDArray], *, limit: float) -> Figure:
    """Which units are at the end of their range, for which pictures: dark where they are.

    One panel an entry, a row a picture, a column a unit. A column that is dark from top to bottom
    is a unit that no picture can move.

    Args:
        outputs: for each panel's title the outputs (pictures, units).
        limit: an output is saturated where its absolute value is above that.

    Raises:
        ValueError: outputs that are not finite or have other axes, or none.
    """
    check.some("outputs", outputs)
    if not 0 <= limit < inf:
        raise ValueError(f"limit: got {limit}; needed a finite number of at least 0")
    outputs = {name: check.numbers(f"outputs[{name!r}]", out, 2) for name, out in outputs.items()}
    fig, axes = plt.subplots(
        1, len(outputs), figsize=(min(2.6 * len(outputs) + 0.6, 9), 2.7), squeeze=False
    )
    for ax, (title, out) in zip(axes[0], outputs.items(), strict=True):
        saturated = np.abs(out) > limit
        ax.imshow(saturated, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        ax.set_title(f"{title}\n{100 * saturated.mean():.0f} % saturated", fontsize=9)
        ax.set_xlabel("unit", fontsize=9)
        ax.tick_params(labelsize=7)
        ax.grid(False)
    axes[0, 0].set_ylabel("picture", fontsize=9)
    return fig
