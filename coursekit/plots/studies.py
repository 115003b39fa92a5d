"""Controlled comparisons: mean and band over seeds, grids of two settings, and calibration."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit.plots import _check as check
from coursekit.plots.style import LINE_STYLES, MARKERS

if TYPE_CHECKING:
    import pandas as pd

Labels = Mapping[Any, str]

CHANCE, DIVERGED = "chance", "a run diverged"  # as the legend says it


def study(
    frame: "pd.DataFrame",
    x: str,
    y: str = "val_accuracy",
    *,
    lines: str | None = None,
    panels: str | None = None,
    labels: Labels | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    chance: float | None = None,
) -> Figure:
    """Mean over seeds with its 95 % interval (Student's t), against one setting of a study.

    A setting of numbers gives curves with bands; one of words gives points with error bars and a
    small dot for every run. Where a run has no value, because it diverged, no mean is drawn but a
    cross at the bottom: a mean over the survivors would flatter.

    Args:
        frame: one row a run, as ``training.study(...).frame()``.
        x: setting on the horizontal axis.
        y: what was measured.
        lines: one curve for each value of this setting.
        panels: one panel for each value of this setting, with one scale.
        labels: text for values of settings, as ``{None: "plain", "batch": "batch norm"}``.
        xlabel: name and unit of the setting; ``x`` if None.
        ylabel: what was measured; ``y`` if None.
        log_x: logarithmic setting.
        log_y: logarithmic measure.
        chance: draws a dotted line there.

    Raises:
        ValueError: a column is missing, there are no rows, or a logarithmic ``x`` is not positive.
    """
    check.columns(frame, x, y, lines, panels)
    panel_values, line_values = _values(frame, panels), _values(frame, lines)
    count = len(panel_values)
    size = (7.0, 3.6) if count == 1 else (min(3.4 * count + 1.2, 10), 3.3)
    fig, axes = plt.subplots(
        1, count, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, panel in zip(axes[0], panel_values, strict=True):
        shown = _where(frame, panels, panel)
        if panels is not None:
            ax.set_title(_text(panel, labels, panels), fontsize=11)
        for i, value in enumerate(line_values):
            label = None if lines is None else _text(value, labels, lines)
            style = {"color": f"C{i % 6}", "marker": MARKERS[i % 6], "label": label}
            rows = _where(shown, lines, value)
            if _is_numeric(frame[x]):
                _curve(ax, rows, x, y, linestyle=LINE_STYLES[i % 6], **style)
            else:
                shift = 0.16 * (i - (len(line_values) - 1) / 2)
                _points(ax, rows, _values(frame, x), x, y, shift, **style)
        if not _is_numeric(frame[x]):
            names = [_text(value, labels) for value in _values(frame, x)]
            ax.set_xticks(range(len(names)), names)
            ax.set_xlim(-0.5, len(names) - 0.5)
        if chance is not None:
            ax.axhline(chance, color="black", linestyle=":", marker="", linewidth=1, label=CHANCE)
        ax.set_xlabel(x if xlabel is None else xlabel)
        if log_x:
            _log_axis(ax, frame[x])
        if log_y:
            ax.set_yscale("log")
    axes[0, 0].set_ylabel(y if ylabel is None else ylabel)
    _legend(fig, diverged=bool(frame[y].isna().any()))
    return fig


def _log_axis(ax: Axes, values: "pd.Series") -> None:
    """A logarithmic axis, marked at the levels themselves where they lie close together."""
    check.positive(str(values.name), values)
    ax.set_xscale("log")
    levels = np.unique(values)
    if levels[-1] < 1000 * levels[0]:
        ax.set_xticks(levels, [f"{level:g}" for level in levels])
        ax.xaxis.set_minor_locator(NullLocator())


def heat_map(
    frame: "pd.DataFrame",
    x: str,
    y: str,
    value: str = "val_accuracy",
    *,
    labels: Labels | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    label: str | None = None,
    digits: int = 2,
) -> Figure:
    """Mean over seeds for every pair of two settings, by colour and as a number.

    Args:
        frame: one row a run, as ``training.study(...).frame()``.
        x: setting by column, in the order of the table.
        y: setting by row, from the bottom upwards.
        value: what was measured; a pair of which a run diverged stays grey.
        labels: text for values of settings.
        xlabel: name and unit of ``x``.
        ylabel: name and unit of ``y``.
        label: what was measured; ``value`` if None.
        digits: after the point.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    check.columns(frame, x, y, value)
    columns, rows = _values(frame, x), _values(frame, y)
    mean = np.array(
        [
            [_where(_where(frame, x, c), y, r)[value].mean(skipna=False) for c in columns]
            for r in rows
        ]
    )
    fig, ax = plt.subplots(figsize=(0.62 * len(columns) + 2.6, 0.46 * len(rows) + 1.2))
    ax.set_facecolor("0.85")
    picture = ax.imshow(mean, cmap="cividis", origin="lower", aspect="auto")
    shade = np.asarray(picture.norm(mean))
    for (row, column), number in np.ndenumerate(mean):
        text = f"{number:.{digits}f}" if np.isfinite(number) else "×"
        color = "white" if shade[row, column] < 0.55 else "black"  # black on grey too
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    ax.set_xticks(range(len(columns)), [_text(c, labels) for c in columns])
    ax.set_yticks(range(len(rows)), [_text(r, labels) for r in rows])
    ax.set(xlabel=x if xlabel is None else xlabel, ylabel=y if ylabel is None else ylabel)
    ax.grid(False)
    fig.colorbar(picture, ax=ax, label=value if label is None else label)
    return fig


def reliability(bins: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]) -> Figure:
    """How often a net is right where it says how sure it is; below, how often it says so.

    On the diagonal a net is as good as its word; under it, too sure of itself.

    Args:
        bins: for each net's name ``(confidence, accuracy, count)``: arrays (bins,) of equal-width
            bins over [0, 1]. Where ``count`` is 0 the first two are not looked at.

    Raises:
        ValueError: arrays of different shapes, no picture in any bin, or shares outside [0, 1].
    """
    check.some("bins", bins)
    for name, values in bins.items():
        _check_bins(name, *(np.asarray(v, float) for v in values))
    fig, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.4, 5.2), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    top.plot([0, 1], [0, 1], color="black", linestyle=":", marker="", label="as good as its word")
    for i, (name, values) in enumerate(bins.items()):
        confidence, accuracy, count = (np.asarray(v, float) for v in values)
        style = {"color": f"C{i % 6}", "linestyle": LINE_STYLES[i % 6]}
        used = count > 0
        top.plot(confidence[used], accuracy[used], marker=MARKERS[i % 6], label=name, **style)
        share = 100 * count / count.sum()
        bottom.stairs(share, np.linspace(0, 1, len(count) + 1), linewidth=1.6, **style)
    top.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    bottom.set(xlabel="confidence: probability of the predicted class", ylabel="% of pictures")
    bottom.set_ylim(bottom=0)
    top.legend(fontsize=9)
    return fig


def _check_bins(name: str, confidence: NDArray, accuracy: NDArray, count: NDArray) -> None:
    shapes = [v.shape for v in (confidence, accuracy, count)]
    if count.ndim != 1 or len(set(shapes)) > 1 or not 0 < count.sum() < np.inf or count.min() < 0:
        raise ValueError(
            f"bins[{name!r}]: got shapes {shapes} and {count.sum():g} pictures; needed three "
            "arrays (bins,), and at least one picture"
        )
    for what, share in (("confidence", confidence), ("accuracy", accuracy)):
        share = share[count > 0]
        if not (share.min() >= 0 and share.max() <= 1):
            raise ValueError(
                f"bins[{name!r}]: got {what} from {share.min():g} to {share.max():g}; needed "
                "shares from 0 to 1"
            )


def _curve(ax: Axes, rows: "pd.DataFrame", x: str, y: str, **style: Any) -> None:
    groups = rows.groupby(x)[y]
    mean, band = groups.mean(), groups.agg(_half_width)
    mean[groups.count() < groups.size()] = np.nan
    ax.plot(mean.index, mean, **style)
    ax.fill_between(mean.index, mean - band, mean + band, alpha=0.2, color=style["color"])
    _crosses(ax, mean.index[mean.isna()], style["color"])


def _points(
    ax: Axes, rows: "pd.DataFrame", places: list, x: str, y: str, shift: float, **style: Any
) -> None:
    runs = [_where(rows, x, value)[y].to_numpy(float) for value in places]
    at = np.arange(len(places)) + shift
    for place, values in zip(at, runs, strict=True):
        spread = place + np.linspace(-0.045, 0.045, len(values))
        ax.plot(spread, values, color=style["color"], linestyle="", marker=".", alpha=0.45)
    mean = np.array([v.mean() if len(v) else np.nan for v in runs])
    half = np.array([_half_width(v) for v in runs])
    ax.errorbar(
        at, mean, yerr=half, linestyle="", capsize=4, markersize=7, markeredgecolor="black", **style
    )
    _crosses(ax, [a for a, v in zip(at, runs, strict=True) if np.isnan(v).any()], style["color"])


def _crosses(ax: Axes, places: Sequence[float] | NDArray, color: str) -> None:
    """Mark at the bottom where a run diverged."""
    bottom = ax.get_xaxis_transform()  # x as the data, y from 0 to 1 over the panel
    at = np.full(len(places), 0.03)
    ax.plot(places, at, color=color, linestyle="", marker="x", markersize=7, transform=bottom)


def _legend(fig: Figure, diverged: bool) -> None:
    """Curves first, then what explains the rest; beside several panels, not in one of them."""
    ax = fig.axes[0]
    if diverged:
        ax.plot([], [], color="0.3", linestyle="", marker="x", markersize=7, label=DIVERGED)
    named = list(zip(*ax.get_legend_handles_labels(), strict=True))
    named.sort(key=lambda entry: entry[1] in (CHANCE, DIVERGED))
    if not named:
        return
    handles, texts = zip(*named, strict=True)
    if len(fig.axes) == 1:
        ax.legend(handles, texts, fontsize=9)
    else:
        fig.legend(handles, texts, fontsize=9, loc="outside upper center", ncols=len(texts))


def _half_width(values: ArrayLike) -> float:
    """Half of the 95 % interval of Student's t for the mean; 0 of a single value."""
    from scipy import stats

    values = np.asarray(values, float)
    if len(values) < 2:
        return 0.0
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def _values(frame: "pd.DataFrame", column: str | None) -> list:
    """Different values of a column in the order of the table; None for "no such setting" too."""
    if column is None:
        return [None]
    return list(dict.fromkeys(_plain(value) for value in frame[column]))


def _where(frame: "pd.DataFrame", column: str | None, value: Any) -> "pd.DataFrame":
    if column is None:
        return frame
    return frame[[_plain(v) == value for v in frame[column]]]


def _plain(value: Any) -> Any:
    """Return None for what pandas may have made of it."""
    return None if value != value else value


def _is_numeric(column: "pd.Series") -> bool:
    return all(isinstance(v, Real) and not isinstance(v, (bool, np.bool_)) for v in column)


def _text(value: Any, labels: Labels | None, setting: str | None = None) -> str:
    """What the caller calls a value, else the value, after the setting's name if it is no word."""
    if labels is not None and value in labels:
        return labels[value]
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if setting is None or isinstance(value, str) else f"{setting} = {text}"
