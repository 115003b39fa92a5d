"""The picture of a gradient check: a map of the error, and the V of error against step size.

A right gradient makes a V: to the right the curve climbs with the square of the step (what a
central difference leaves out), to the left with its inverse (rounding). A wrong one makes a
flat line at the size of its error, which no step will improve.
"""

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from coursekit.checks.gradcheck_result import ArgumentReport
from coursekit.checks.probe import Probe

STEPS = np.logspace(-1, -11, 21)
STYLES = [
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", ":"),
    ("#CC79A7", "D", "-."),
]
ENTRIES = 6  # entries of an argument whose error makes a point of its V


def plot(arguments: list[ArgumentReport], probe: Probe) -> Figure:
    """Draw the map of the worst argument beside the V of every argument.

    Args:
        arguments: the reports of a result.
        probe: what took the differences.
    """
    fig = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = fig.subplots(1, 2)
    _map(fig, left, max(arguments, key=lambda r: (len(r.wrong), _largest(r))))
    for report, (colour, marker, dash) in zip(arguments, cycle(STYLES), strict=False):
        steps = STEPS * probe.step(report.key) / probe.eps
        errors = [_error_at(probe, report, h) for h in steps]
        right.loglog(steps, errors, dash, marker=marker, ms=4, color=colour, label=report.name)
    right.axvline(probe.eps, color="0.6", lw=1, zorder=0, label="step of the check")
    right.set(xlabel="step h", ylabel="relative error", title="error against step size")
    right.legend(fontsize="small")
    return fig


def _map(fig: Figure, ax: Axes, report: ArgumentReport) -> None:
    grid = _grid(report)
    image = ax.imshow(
        np.log10(np.maximum(grid, 1e-16)), vmin=-12, vmax=0, cmap="viridis", aspect="auto"
    )
    ax.set_facecolor("0.85")  # not checked, or a kink
    ax.set(title=f"error of the gradient of {report.name}", xlabel="column", ylabel="row")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    if len(grid) == 1:
        ax.set(yticks=[], ylabel="")
    fig.colorbar(image, ax=ax, label="log10 of error / largest gradient")


def _grid(report: ArgumentReport) -> NDArray:
    """Errors as a matrix, nan where nothing was compared."""
    flat = np.full(report.analytic.size, np.nan)
    for i in report.numeric:
        if i not in report.kinks:
            flat[i] = report.error(i)
    return flat.reshape(report.shape[0] if len(report.shape) > 1 else 1, -1)


def _largest(report: ArgumentReport) -> float:
    return max((report.error(i) for i in report.numeric), default=0.0)


def _error_at(probe: Probe, report: ArgumentReport, h: float) -> float:
    """Relative error over the worst few entries that are no kinks."""
    fair = [i for i in report.numeric if i not in report.kinks]
    entries = sorted(fair, key=report.error, reverse=True)[:ENTRIES]
    numeric = np.array([probe.central(report.key, np.array([i]), np.ones(1), h) for i in entries])
    analytic = report.analytic[entries]
    size = np.linalg.norm(numeric) + np.linalg.norm(analytic)
    return float(np.linalg.norm(numeric - analytic) / size) if size else 1e-17
