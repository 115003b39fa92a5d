"""A directed graph of a few nodes, drawn in layers: what autograd records."""

from collections.abc import Mapping, Sequence
from functools import cache

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from coursekit.plots.style import COLORS


def graph(nodes: Mapping[str, str], edges: Sequence[tuple[str, str]]) -> Figure:
    """Boxes from left to right, an arrow an edge; every node stands just before it is needed.

    The longest way through the graph is the top row. Nodes that no edge leads to are filled.

    Args:
        nodes: what is written into each node's box, by its name.
        edges: pairs of names (from, to), without a circle.

    Raises:
        ValueError: an edge names a node that is not there, or the graph has a circle.
    """
    into: dict[str, list[str]] = {name: [] for name in nodes}
    out_of: dict[str, list[str]] = {name: [] for name in nodes}
    for start, end in edges:
        for name in (start, end):
            if name not in nodes:
                raise ValueError(f"edges names {name!r}, which is none of {list(nodes)}")
        into[end].append(start)
        out_of[start].append(end)
    before, behind = _longest(into), _longest(out_of)
    width = 1 + max(behind.values(), default=0)
    columns = {name: width - 1 - behind[name] for name in nodes}
    places: dict[str, tuple[float, float]] = {}
    for name in sorted(nodes, key=lambda name: -before[name]):
        row = sum(x == columns[name] for x, _ in places.values())
        places[name] = (float(columns[name]), float(row))
    height = 1 + max((row for _, row in places.values()), default=0)
    fig, ax = plt.subplots(figsize=(1.4 * width, 0.62 * height + 0.2))
    for name, text in nodes.items():
        style = {"boxstyle": "round,pad=0.3", "edgecolor": "0.3"}
        style["facecolor"] = "white" if into[name] else COLORS[0] + "55"
        ax.text(*places[name], text, ha="center", va="center", fontsize=8, bbox=style, zorder=3)
    for start, end in edges:
        arrow = {"arrowstyle": "-|>", "color": "0.4", "shrinkA": 20, "shrinkB": 26}
        ax.annotate("", places[end], places[start], arrowprops=arrow)
    ax.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.5, -0.5))
    ax.set_axis_off()
    return fig


def _longest(neighbours: Mapping[str, list[str]]) -> dict[str, int]:
    """Edges on the longest way from each node along its neighbours."""

    @cache
    def length(name: str) -> int:
        return max((1 + length(other) for other in neighbours[name]), default=0)

    try:
        return {name: length(name) for name in neighbours}
    except RecursionError:
        raise ValueError("edges must not form a circle") from None
