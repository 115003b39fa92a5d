"""A batch of 32x32 canvases, and the few shapes that the bundled pictures are made of.

Every method works on `n` pictures at once. A shape is a *signed distance*: an array (n, 32, 32),
negative inside, zero on the edge, positive outside, in the units of the current `place`. `paint`
turns it into coverage, so that edges come out smooth without supersampling.

The pictures must be the same bytes on every machine. So: only operations that IEEE 754 rounds in
one way (+ - * / sqrt and comparisons, each an array operation of its own), no sums over an axis,
no array sines; random numbers from `RandomState.random_sample`, whose stream is frozen for good.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

SIZE = 32
_ANGLES = 720  # steps of half a degree; the sines are rounded to 1/1024, see above
_SIN = np.array(
    [round(1024 * math.sin(2 * math.pi * i / _ANGLES)) / 1024 for i in range(_ANGLES)], np.float32
)

Number = float | np.ndarray  # one value for all pictures, or (n, 1, 1)


def palette(hexes: str) -> np.ndarray:
    """Colours written as "ff8800 00ff00" -> float32 (k, 3) in [0, 1]."""
    return np.array([list(bytes.fromhex(h)) for h in hexes.split()], np.float32) / np.float32(255)


class Canvas:
    """`n` pictures being drawn; `rgb` is float32 (n, 3, 32, 32) with values near [0, 1]."""

    def __init__(self, n: int, random: np.random.RandomState):
        self.n, self.random = n, random
        self.rgb = np.zeros((n, 3, SIZE, SIZE), np.float32)
        self.softness = self.uniform(0.7, 1.3)  # width of an edge in pixels
        steps = np.arange(SIZE, dtype=np.float32) + np.float32(0.5 - SIZE / 2)
        self.y, self.x = steps[None, :, None], steps[None, None, :]  # pixels from the centre
        self.place()

    # --- chance: one value a picture -------------------------------------------------------------
    def uniform(self, low: Number, high: Number) -> np.ndarray:
        """(n, 1, 1) float32, uniform in [low, high)."""
        r = self.random.random_sample(self.n).astype(np.float32).reshape(-1, 1, 1)
        return low + (high - low) * r

    def coin(self, p: Number = 0.5) -> np.ndarray:
        """(n, 1, 1) float32: 1 with probability p, else 0."""
        return (self.uniform(0, 1) < p).astype(np.float32)

    def index(self, k: int | np.ndarray) -> np.ndarray:
        """(n,) integers in [0, k); `k` may be one for each picture."""
        return (self.random.random_sample(self.n) * k).astype(np.int64)

    def pick(self, *palettes: np.ndarray) -> np.ndarray:
        """(n, 3, 1, 1): one of the colours for each picture, brighter or darker, a little off."""
        colours = np.concatenate(palettes)
        chosen = colours[self.index(len(colours))].reshape(-1, 3, 1, 1)
        return self.shade(chosen, 0.75, 1.2) + self.tint()

    def tint(self, most: float = 0.05) -> np.ndarray:
        """(n, 3, 1, 1): a small change of colour, each channel within +-`most`."""
        return (2 * self.random.random_sample((self.n, 3, 1, 1)) - 1).astype(np.float32) * most

    def shade(self, colour: np.ndarray, low: float, high: float) -> np.ndarray:
        """`colour` made darker or brighter by a random factor."""
        return colour * self.uniform(low, high)[:, None]

    def noise(self, cells: int) -> np.ndarray:
        """(n, 32, 32) in [-1, 1]: a random grid of `cells` x `cells`, interpolated."""
        grid = self.random.random_sample((self.n, cells + 1, cells + 1)).astype(np.float32) * 2 - 1
        at = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / SIZE)
        i = at.astype(np.int64)
        t = (at - i).astype(np.float32)
        rows = grid[:, i] * (1 - t)[:, None] + grid[:, i + 1] * t[:, None]
        return rows[:, :, i] * (1 - t) + rows[:, :, i + 1] * t

    def texture(self) -> np.ndarray:
        """(n, 32, 32): rough noise with as much of every size, as surfaces in photographs have."""
        return self.noise(4) + 0.8 * self.noise(8) + 0.7 * self.noise(16) + 0.6 * self.noise(31)

    # --- pose ------------------------------------------------------------------------------------
    def place(
        self,
        px: Number = 1.0,
        angle: Number = 0.0,
        x: Number = 0.0,
        y: Number = 0.0,
        flip: Number = 0.0,
        stretch: Number = 1.0,
        warp: Number = 0.0,
    ) -> None:
        """Set the coordinates (u right, v down) in which the next shapes are given.

        The origin lies `x`, `y` pixels from the centre; one unit is `px` pixels, along u `stretch`
        times as many; `angle`, in degrees, turns clockwise; where `flip` is 1 the object looks
        left; `warp`, in units, bends everything by smooth noise.
        """
        step = (np.asarray(angle, np.float32) * np.float32(_ANGLES / 360)).astype(np.int64)
        s, c = _SIN[step % _ANGLES], _SIN[(step + _ANGLES // 4) % _ANGLES]
        dx, dy = self.x - x, self.y - y
        self.u = (c * dx + s * dy) * (1 - 2 * np.asarray(flip, np.float32)) / (px * stretch)
        self.v = (c * dy - s * dx) / px
        if np.ndim(warp) or warp:
            self.u = self.u + warp * self.noise(3)
            self.v = self.v + warp * self.noise(3)
        self.px = px

    def pose(
        self, low: float, high: float, *, tilt: float = 24.0, y: float = 0.0, warp: float = 0.35
    ) -> None:
        """`place` an object by chance, near the centre, `low` to `high` pixels a unit."""
        self.place(
            self.uniform(low, high),
            self.uniform(-tilt, tilt),
            self.uniform(-4, 4),
            self.uniform(-4, 4) + y,
            self.coin(),
            self.uniform(0.65, 1.25),
            self.uniform(0.05, warp),
        )

    # --- shapes: signed distances (n, 32, 32) ----------------------------------------------------
    def ellipse(self, x: Number, y: Number, rx: Number, ry: Number) -> np.ndarray:
        """Axis-parallel ellipse round (x, y)."""
        a, b = (self.u - x) / rx, (self.v - y) / ry
        return (np.sqrt(a * a + b * b) - 1) * np.minimum(rx, ry)

    def limb(
        self, x0: Number, y0: Number, x1: Number, y1: Number, r0: Number, r1: Number
    ) -> np.ndarray:
        """A thick line from (x0, y0) to (x1, y1), radius r0 at its start and r1 at its end."""
        dx, dy = x1 - x0, y1 - y0
        u, v = self.u - x0, self.v - y0
        t = np.minimum(np.maximum((u * dx + v * dy) / (dx * dx + dy * dy + 1e-6), 0), 1)
        u, v = u - t * dx, v - t * dy
        return np.sqrt(u * u + v * v) - (r0 + (r1 - r0) * t)

    def box(self, x0: Number, y0: Number, x1: Number, y1: Number) -> np.ndarray:
        """Axis-parallel rectangle."""
        return np.maximum(
            np.maximum(x0 - self.u, self.u - x1), np.maximum(y0 - self.v, self.v - y1)
        )

    def polygon(self, *points: tuple[Number, Number]) -> np.ndarray:
        """Convex polygon, corners clockwise as seen on the screen."""
        edges = []
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            dx, dy = x1 - x0, y1 - y0
            length = np.sqrt(dx * dx + dy * dy + 1e-6)
            edges.append(((self.u - x0) * dy - (self.v - y0) * dx) / length)
        return reduce(np.maximum, edges)

    # --- paint -----------------------------------------------------------------------------------
    def paint(self, distance: np.ndarray, colour: np.ndarray, opacity: Number = 1.0) -> None:
        """Lay `colour`, (n, 3, 1, 1), over the pictures where `distance` is negative."""
        cover = np.minimum(np.maximum(0.5 - distance * (self.px / self.softness), 0), 1) * opacity
        change = colour - self.rgb
        change *= cover[:, None]
        self.rgb += change
