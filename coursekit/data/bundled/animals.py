"""What the animals share: coats, eyes, four legs.

As in all drawings here, right is forwards (u), v grows downwards, and one unit is about a third of
the picture.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Number, palette

FUR = palette("2a2522 4a3a2c 7a5a3c a87a4a c8a070 8a8580 5a5a5c d8cfc0 ece8e0 b0683a 1a1a1c 9a7a5c")
FEATHERS = palette("8a7a6a 5a4a3c 3a3a40 c8c0b0 a06a3a 4a6a9a b04030 d8b040 1f1f24 e8e6e0 6a7a5a")
BLACK = palette("141414")
PALE = palette("ece8e0 d8cfc0 c8b8a0 f4f2ee")
EYES = palette("b8b840 7aa050 d8a030 5a90b0 3a2a1a 201a14")


def fur(c: Canvas, shape: np.ndarray, coat: np.ndarray, p: float = 0.5) -> None:
    """Paint `shape` in the colour `coat`; the higher `p`, the more often patched or striped."""
    c.paint(shape, coat)
    c.paint(np.maximum(shape, 0.15 - c.noise(6)), c.pick(FUR), c.coin(p * 0.6))
    wave = c.u * c.uniform(2.5, 5) + c.uniform(0, 1)
    stripes = np.abs(wave - np.floor(wave) - 0.5) - 0.2
    c.paint(np.maximum(shape, stripes * 0.25), coat * 0.55, c.coin(p * 0.5) * 0.7)


def _legs(c: Canvas, coat: np.ndarray, spread: float, length: Number, thick: float) -> None:
    """Four legs; the far pair is darker and drawn first."""
    for dark in (0.65, 0.95):
        for hip in (-spread, spread):
            foot = hip + c.uniform(-0.3, 0.3)
            knee = (hip + foot) * 0.5 + c.uniform(-0.1, 0.1)
            half = 0.1 + length * 0.5
            c.paint(c.limb(hip, 0.1, knee, half, thick * 1.5, thick), coat * dark)
            c.paint(c.limb(knee, half, foot, 0.1 + length, thick, thick * 0.8), coat * dark)


def walker(
    c: Canvas, colours: np.ndarray, spread: float, girth: float, length: Number, thick: float
) -> np.ndarray:
    """Paint legs and body of a four-footed animal; return its coat."""
    coat = c.pick(colours)
    _legs(c, coat, spread, length, thick)
    thickness = girth * c.uniform(0.85, 1.2)
    body = np.minimum(
        c.limb(-spread, 0, spread, c.uniform(-0.06, 0.1), thickness, thickness),
        c.ellipse(-spread, 0.0, thickness * 1.15, thickness * 1.2),
    )
    fur(c, body, coat)
    belly = c.limb(-spread, thickness * 0.8, spread, thickness * 0.8, 0.06, 0.1)
    c.paint(belly, c.pick(PALE), 0.5 * c.coin(0.5))
    return coat


def eye(c: Canvas, x: Number, y: Number, r: Number, iris: np.ndarray | None = None) -> None:
    """Paint an eye of radius r, black, or with an iris round a black pupil."""
    if iris is not None:
        c.paint(c.ellipse(x, y, r, r), iris)
        r = r * 0.55
    c.paint(c.ellipse(x, y, r, r), c.pick(BLACK), 0.9)
