"""A sheet: one plane of square cells on which pictures, frames and words are put."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib import patheffects
from matplotlib.patches import Rectangle
from numpy.typing import NDArray


class Sheet:
    """One axes, measured in cells from its top left corner; hundreds of axes would take seconds.

    Args:
        columns: width in cells.
        rows: height in cells.
        cell: side of a cell in inches; 0.64 shows a pixel of a 32x32 picture as 2x2 dots.
    """

    def __init__(self, columns: float, rows: float, *, cell: float = 0.64) -> None:
        self.fig = plt.figure(figsize=(columns * cell, rows * cell), layout="none")
        self.ax = self.fig.add_axes((0, 0, 1, 1), xlim=(0, columns), ylim=(rows, 0))
        self.ax.set_axis_off()

    def picture(
        self, image: NDArray, x: float, y: float, *, size: float = 1, **colors: Any
    ) -> None:
        """Draw (H, W, 3), or (H, W) with a colour map, as large as fits a square of ``size``."""
        height, width = image.shape[:2]
        scale = size / max(height, width)
        left, top = x + (size - width * scale) / 2, y + (size - height * scale) / 2
        extent = (left, left + width * scale, top + height * scale, top)
        # aspect="auto": the cells are square already, and imshow would rescale the axes
        self.ax.imshow(image, extent=extent, aspect="auto", **colors)
        edge = Rectangle((left, top), width * scale, height * scale, fill=False)
        edge.set(edgecolor="0.6", linewidth=0.5)  # a picture may be as white as the sheet
        self.ax.add_patch(edge)
        self.ax.set(xlim=self.ax.get_xlim(), ylim=self.ax.get_ylim(), autoscale_on=False)

    def frame(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: str,
        *,
        linewidth: float = 1.6,
        linestyle: str = "-",
    ) -> None:
        """A frame with a white edge on both sides, so that it shows on any picture."""
        frame = Rectangle((x, y), width, height, fill=False, edgecolor=color)
        outline = patheffects.withStroke(linewidth=linewidth + 1.4, foreground="white")
        frame.set(linewidth=linewidth, linestyle=linestyle, path_effects=[outline])
        self.ax.add_patch(frame)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Words at (x, y), by default centred on it."""
        usual: dict[str, Any] = {"ha": "center", "va": "baseline", "fontsize": 8}
        self.ax.text(x, y, text, **usual | {"linespacing": 1.0} | style)
