"""What the vehicles share: colours, wheels, shadows.

As in all drawings here, right is forwards (u), v grows downwards, and one unit is about a third of
the picture.
"""

from __future__ import annotations

from .canvas import Canvas, Number, palette

PAINT = palette(
    "b02020 c83a2a 2a4a8a 1f1f22 d8d8da f0f0f0 8a8f95 e0b030 3a6a3a 7a2a30 4a6a90 c8a070 5a5a60"
)
GLASS = palette("1f2a35 3a4a5a 6a8090 8fa5b5 14181c a5b5bf")
TYRE = palette("151515 222222 2a2826")
HUB = palette("9a9a9a c8c8c8 555555 303030")
WHITE = palette("f4f4f2 e5e5e0 d8d8d5 f8f8ff")


def wheel(c: Canvas, x: Number, y: Number, rx: Number, ry: Number, opacity: Number = 1.0) -> None:
    """Paint a tyre with half-axes rx, ry, and its hub."""
    c.paint(c.ellipse(x, y, rx, ry), c.pick(TYRE), opacity)
    c.paint(c.ellipse(x, y, rx * 0.5, ry * 0.5), c.pick(HUB), opacity)


def shadow(c: Canvas, y: Number, half: float) -> None:
    """Paint the shadow on the ground under something 2 * `half` wide."""
    c.paint(c.ellipse(0, y, half, 0.1), c.pick(TYRE), 0.5)
