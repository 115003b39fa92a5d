"""Deer and horses: standing, lying, and their heads."""

from __future__ import annotations

from .animals import BLACK, FEATHERS, FUR, PALE, eye, fur, walker
from .canvas import Canvas, Number, palette

ANTLERS = palette("5a4530 7a6045 a58a65 3a2c20")
HIDES = palette("8a6540 a57a4a 6a4a30 b08a5a 7a5f48 94552f 5f4a3a c09a6a")


def _antlers(c: Canvas, x: Number, y: Number, size: Number, lean: float, opacity: Number) -> None:
    """Paint two forked antlers that grow from (x, y)."""
    colour = c.pick(ANTLERS)
    for side in (-1, 1):
        bend, tip = x + side * size * 0.45 + lean, x + side * size * c.uniform(0.2, 0.7) + lean
        mid, top = y - size * 0.5, y - size
        c.paint(c.limb(x, y, bend, mid, 0.05, 0.04), colour, opacity)
        c.paint(c.limb(bend, mid, tip, top, 0.045, 0.03), colour, opacity)
        fork = side * size * 0.35
        c.paint(c.limb(bend, mid, bend + fork, mid - size * 0.35, 0.04, 0.03), colour, opacity)


def deer_standing(c: Canvas) -> None:
    """From the side: slim legs, high neck, antlers more often than not."""
    c.pose(7, 18)
    coat = walker(c, HIDES, 0.5, 0.25, c.uniform(0.65, 1.0), 0.055)
    c.paint(c.ellipse(-0.78, -0.05, 0.1, 0.16), c.pick(PALE), 0.8)
    x, y = c.uniform(0.7, 1.0), c.uniform(-0.95, -0.3)
    _antlers(c, x, y - 0.1, c.uniform(0.4, 0.75), -0.1, c.coin(0.6))
    c.paint(c.limb(0.5, -0.05, x, y, 0.2, 0.1), coat)
    c.paint(c.limb(x - 0.05, y - 0.05, x - 0.25, y - 0.2, 0.07, 0.04), coat * 0.8)
    c.paint(c.limb(x, y, x + 0.3, y + 0.12, 0.13, 0.07), coat * 0.95)
    eye(c, x + 0.06, y - 0.03, 0.04)


def deer_head(c: Canvas) -> None:
    """Head and neck from the front, under antlers."""
    c.pose(8.5, 20.5, y=3)
    coat = c.pick(HIDES)
    c.paint(c.limb(c.uniform(-0.4, 0.1), 1.5, 0, 0.1, 0.6, 0.28), coat * 0.85)
    _antlers(c, 0, -0.35, c.uniform(0.7, 1.1), 0.0, c.coin(0.7))
    for side in (-1, 1):
        c.paint(c.limb(side * 0.2, -0.2, side * 0.6, -0.35, 0.1, 0.06), coat * 0.8)
    turn = c.uniform(-0.15, 0.25)
    c.paint(c.limb(0, -0.1, turn, 0.5, 0.28, 0.16), coat)
    c.paint(c.ellipse(turn, 0.58, 0.14, 0.1), c.pick(BLACK), 0.8)
    for side in (-1, 1):
        eye(c, side * 0.2, 0.0, 0.06)


def deer_lying(c: Canvas) -> None:
    """Lying down, the head up."""
    c.pose(7.5, 18.5)
    coat = c.pick(HIDES)
    fur(c, c.ellipse(-0.2, 0.4, 0.85, 0.36), coat, 0.3)
    c.paint(c.limb(0.1, 0.65, 0.7, 0.7, 0.08, 0.06), coat * 0.7)
    x, y = c.uniform(0.4, 0.7), c.uniform(-0.5, -0.2)
    _antlers(c, x, y - 0.1, c.uniform(0.4, 0.7), -0.1, c.coin(0.5))
    c.paint(c.limb(0.4, 0.3, x, y, 0.2, 0.11), coat)
    c.paint(c.limb(x, y, x - 0.25, y - 0.15, 0.07, 0.04), coat * 0.8)
    c.paint(c.limb(x, y, x + 0.28, y + 0.12, 0.14, 0.08), coat * 0.95)
    eye(c, x + 0.06, y - 0.02, 0.04)


def horse_standing(c: Canvas) -> None:
    """From the side: mane, long tail, the head high or low, a rider now and then."""
    c.pose(7, 18)
    hair = c.pick(FUR)
    swing = c.uniform(-1.1, -0.75)
    c.paint(c.limb(-0.7, -0.1, swing, c.uniform(0.3, 0.9), 0.08, 0.13), hair)
    coat = walker(c, FUR, 0.5, 0.32, c.uniform(0.6, 0.9), 0.08)
    x, y = c.uniform(0.75, 1.0), c.uniform(-0.8, 0.1)
    c.paint(c.limb(0.5, -0.1, x, y, 0.3, 0.16), coat)
    c.paint(c.limb(0.35, -0.25, x - 0.12, y - 0.12, 0.12, 0.08), hair)
    c.paint(c.limb(x, y, x + 0.3, y + 0.3, 0.16, 0.1), coat * 0.95)
    c.paint(c.limb(x - 0.05, y - 0.1, x - 0.02, y - 0.26, 0.06, 0.03), coat * 0.8)
    _rider(c, c.coin(0.25))


def _rider(c: Canvas, there: Number) -> None:
    c.paint(c.limb(0.05, -0.2, 0.2, 0.4, 0.1, 0.08), c.pick(FUR), there)
    c.paint(c.limb(0.0, -0.85, 0.0, -0.3, 0.16, 0.15), c.pick(FEATHERS), there)
    c.paint(c.ellipse(0.03, -1.12, 0.13, 0.15), c.pick(FUR), there)


def horse_head(c: Canvas) -> None:
    """Head and neck in profile, with a mane."""
    c.pose(8.5, 20.5, y=2)
    coat, hair = c.pick(FUR), c.pick(FUR)
    c.paint(c.limb(c.uniform(-1.0, -0.5), 1.4, 0, -0.3, 0.6, 0.3), coat * 0.9)
    c.paint(c.limb(-0.9, 0.7, -0.15, -0.5, 0.25, 0.18), hair)
    x, y = c.uniform(0.45, 0.75), c.uniform(0.3, 0.7)
    for ear in (-0.12, 0.08):
        c.paint(c.limb(ear, -0.5, ear + 0.02, -0.8, 0.08, 0.03), coat * 0.8)
    c.paint(c.limb(0, -0.3, x, y, 0.32, 0.18), coat)
    c.paint(c.limb(0.1, -0.45, x, y - 0.1, 0.06, 0.05), c.pick(PALE), c.coin(0.4))
    c.paint(c.ellipse(x + 0.08, y + 0.05, 0.05, 0.04), c.pick(BLACK), 0.8)
    eye(c, 0.15, -0.25, 0.07)


DEER = (deer_standing, deer_standing, deer_head, deer_lying)  # the antlers show best
HORSES = (horse_standing, horse_standing, horse_head)
