"""Cats and dogs: faces, sitting, on four legs."""

from __future__ import annotations

import numpy as np

from .animals import BLACK, EYES, FUR, PALE, eye, fur, walker
from .canvas import Canvas, Number, palette

PINK = palette("c88a85 b06a68 3a2a28 201a1a")
TONGUE = palette("d87a80 c86a70")


def _cat_head(c: Canvas, coat: np.ndarray, x: Number, y: Number, r: Number) -> None:
    """Round face, two pointed ears, small muzzle, whiskers; seen from the front."""
    turn = c.uniform(-0.25, 0.25) * r
    for side in (-1, 1):
        middle, base = x + side * r * 0.55, y - r * 0.45
        tip = (x + side * r * c.uniform(0.75, 1.0), y - r * 1.55)
        ear = c.polygon(tip, (middle + r * 0.4, base), (middle - r * 0.4, base))
        c.paint(ear, coat * 0.9)
        c.paint(ear + r * 0.16, c.pick(PINK), 0.6)
    fur(c, c.ellipse(x, y, r * 1.08, r * 0.92), coat, 0.6)
    c.paint(c.ellipse(x + turn, y + r * 0.4, r * 0.42, r * 0.32), c.pick(PALE), 0.7 * c.coin(0.7))
    iris = c.pick(EYES)
    for side in (-1, 1):
        eye(c, x + turn + side * r * 0.42, y - r * 0.08, r * 0.2, iris)
        root, end = x + turn + side * r * 0.25, x + side * r * 1.3
        c.paint(c.limb(root, y + r * 0.4, end, y + r * 0.3, 0.02, 0.01), c.pick(PALE), 0.6)
    c.paint(c.ellipse(x + turn, y + r * 0.27, r * 0.12, r * 0.09), c.pick(PINK))


def cat_face(c: Canvas) -> None:
    """The face, close by."""
    c.pose(7.5, 20.5, tilt=40, y=2)
    coat = c.pick(FUR)
    fur(c, c.ellipse(c.uniform(-0.4, 0.4), 1.4, 1.0, 1.0), coat)
    _cat_head(c, coat, 0, 0, c.uniform(0.7, 0.9))


def cat_sitting(c: Canvas) -> None:
    """Sitting up, the tail beside it."""
    c.pose(6.5, 18.5)
    coat = c.pick(FUR)
    c.paint(c.limb(-0.3, 1.0, c.uniform(-1.2, -0.6), c.uniform(-0.2, 1.0), 0.1, 0.08), coat * 0.85)
    fur(c, np.minimum(c.ellipse(0, 0.6, 0.5, 0.6), c.ellipse(0.08, 0.1, 0.32, 0.5)), coat)
    for x in (0.05, 0.3):
        c.paint(c.limb(x, 0.4, x + 0.05, 1.1, 0.1, 0.1), coat * 1.05)
    _cat_head(c, coat, c.uniform(0, 0.25), -0.5, 0.38)


def cat_walking(c: Canvas) -> None:
    """From the side, tail out, face towards us."""
    c.pose(7.5, 18.5)
    coat = walker(c, FUR, 0.5, 0.28, c.uniform(0.25, 0.75), 0.08)
    bend, up = c.uniform(-1.1, -0.8), c.uniform(-0.8, 0.3)
    c.paint(c.limb(-0.65, -0.1, bend, up * 0.5, 0.08, 0.07), coat * 0.9)
    c.paint(c.limb(bend, up * 0.5, bend - 0.1, up, 0.07, 0.05), coat * 0.9)
    _cat_head(c, coat, c.uniform(0.7, 0.85), c.uniform(-0.5, -0.1), 0.3)


def _dog_head(c: Canvas, coat: np.ndarray, x: Number, y: Number, r: Number) -> None:
    """Front view: longer face, hanging ears, big muzzle with a black nose, sometimes a tongue."""
    turn = c.uniform(-0.3, 0.3) * r
    fur(c, c.ellipse(x, y, r * 0.9, r), coat, 0.5)
    ears = c.shade(coat, 0.5, 1.0)
    top, tip = y - r * 0.55, y + r * c.uniform(0.1, 0.9)
    for side in (-r, r):
        c.paint(c.limb(x + side * 0.7, top, x + side * 1.05, tip, r * 0.2, r * 0.3), ears)
    c.paint(c.ellipse(x + turn, y + r * 0.45, r * 0.5, r * 0.48), c.pick(PALE, FUR), 0.75)
    tongue = c.limb(x + turn, y + r * 0.75, x + turn, y + r * 1.1, r * 0.18, r * 0.18)
    c.paint(tongue, c.pick(TONGUE), c.coin(0.4))
    c.paint(c.ellipse(x + turn, y + r * 0.28, r * 0.22, r * 0.16), c.pick(BLACK))
    for side in (-1, 1):
        eye(c, x + turn + side * r * 0.38, y - r * 0.15, r * 0.13)


def dog_face(c: Canvas) -> None:
    """The face, close by."""
    c.pose(7.5, 20.5, tilt=40, y=2)
    coat = c.pick(FUR)
    fur(c, c.ellipse(c.uniform(-0.4, 0.4), 1.4, 1.0, 1.0), coat)
    _dog_head(c, coat, 0, 0, c.uniform(0.7, 0.9))


def dog_sitting(c: Canvas) -> None:
    """Sitting up."""
    c.pose(6.5, 18.5)
    coat = c.pick(FUR)
    c.paint(c.limb(-0.35, 1.0, -0.8, c.uniform(0.3, 0.8), 0.1, 0.06), coat * 0.85)
    fur(c, np.minimum(c.ellipse(-0.05, 0.65, 0.5, 0.55), c.ellipse(0.1, 0.15, 0.38, 0.5)), coat)
    for x in (-0.02, 0.32):
        c.paint(c.limb(x, 0.3, x + 0.03, 1.1, 0.12, 0.11), coat * 1.05)
    _dog_head(c, coat, c.uniform(0, 0.25), -0.5, 0.4)


def dog_standing(c: Canvas) -> None:
    """From the side, the head in profile."""
    c.pose(7.5, 18.5)
    coat = walker(c, FUR, 0.5, 0.3, c.uniform(0.35, 0.85), 0.1)
    c.paint(c.limb(-0.7, -0.15, -0.95, c.uniform(-0.7, 0.2), 0.09, 0.06), coat * 0.9)
    y = c.uniform(-0.5, -0.2)
    head = np.minimum(
        np.minimum(c.limb(0.5, -0.05, 0.72, y, 0.24, 0.2), c.ellipse(0.78, y, 0.26, 0.24)),
        c.limb(0.8, y + 0.05, c.uniform(1.05, 1.25), y + 0.12, 0.15, 0.11),
    )
    c.paint(head, coat)
    c.paint(c.ellipse(1.22, y + 0.06, 0.08, 0.07), c.pick(BLACK), c.coin(0.6))
    c.paint(c.limb(0.68, y - 0.12, 0.62, y + 0.25, 0.09, 0.12), coat * 0.65)
    eye(c, 0.88, y - 0.05, 0.05)


CATS = (cat_face, cat_sitting, cat_walking)
DOGS = (dog_face, dog_sitting, dog_standing)
