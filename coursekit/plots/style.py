"""The look of every picture in the course: told apart without colour, readable at dpi 100.

Colours are the six of Petroff, "Accessible Color Sequences for Data Visualization"
(arXiv:2107.02270), also matplotlib's ``petroff6`` from version 3.11 on. They stay distinct under
the common colour deficiencies; line styles and markers differ as well, so a curve can be named in
print and over the phone.
"""

from typing import Any

import matplotlib as mpl
from cycler import cycler

COLORS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")

_RC: dict[Any, Any] = {  # the type of its keys differs between versions of matplotlib
    "axes.prop_cycle": cycler(color=COLORS, linestyle=LINE_STYLES, marker=MARKERS),
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "figure.dpi": 100,
    "figure.figsize": (7.0, 4.0),
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "grid.alpha": 0.3,
    "image.cmap": "viridis",
    "image.interpolation": "nearest",  # a CIFAR picture is 32x32 pixels: show them, do not blur
    "legend.fontsize": 10,
    "legend.framealpha": 0.9,
    "lines.markersize": 4,
    "savefig.dpi": 100,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


def use_style() -> None:
    """Set the course's look for all figures made from now on in this process.

    The set-up cell of every lesson calls it. A curve of many points wants ``markevery`` (or
    ``marker=""``), else its markers run together; for a picture turn the grid off with
    ``ax.set_axis_off()``.
    """
    mpl.rcParams.update(_RC)
