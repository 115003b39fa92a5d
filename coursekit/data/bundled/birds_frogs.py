"""Birds and frogs."""

from __future__ import annotations

import numpy as np

from .animals import EYES, FEATHERS, FUR, PALE, eye, fur
from .canvas import Canvas, palette

FROG = palette("5a8a2f 7aa03a 4a6a2a 8a8a3a 6a5a35 8a6a45 3f5a35 9ab04a 5a4a38 a58a55")
BEAK = palette("d89a30 c07a30 3a352f 8a7a60 e0b050")


def bird_perched(c: Canvas) -> None:
    """On a branch or the ground."""
    c.pose(6.5, 18.5)
    back, belly, beak = c.pick(FEATHERS), c.pick(FEATHERS, PALE), c.pick(BEAK)
    ground = c.uniform(0.7, 1.0)
    c.paint(
        c.limb(-3, ground, 3, ground + c.uniform(-0.3, 0.3), 0.09, 0.06), c.pick(FUR), c.coin(0.5)
    )
    for hip in (-0.1, 0.1):
        c.paint(c.limb(hip, 0.3, hip + c.uniform(-0.1, 0.15), ground, 0.04, 0.03), beak * 0.8)
    slope = c.uniform(0.0, 0.35)
    c.paint(c.limb(-0.4, slope, -1.1, slope * 1.6 + c.uniform(-0.2, 0.2), 0.14, 0.09), back * 0.85)
    body = c.limb(-0.3, slope * 0.6, 0.3, -slope, 0.32, 0.28)
    c.paint(body, back)
    c.paint(np.maximum(body, c.ellipse(0.2, 0.3, 0.6, 0.4)), belly)
    c.paint(c.limb(-0.55, slope, 0.15, -0.1, 0.1, 0.2), c.shade(back, 0.6, 0.9))
    y = -0.35 - slope
    c.paint(c.limb(0.42, y + 0.08, 0.42 + c.uniform(0.35, 0.6), y + 0.15, 0.1, 0.02), beak)
    c.paint(c.ellipse(0.35, y, 0.25, 0.23), c.pick(FEATHERS))
    eye(c, 0.42, y - 0.04, 0.05)


def bird_flying(c: Canvas) -> None:
    """Wings spread, from above or below."""
    c.pose(7.5, 17, tilt=40, warp=0.3)
    back = c.pick(FEATHERS)
    dark = c.shade(back, 0.6, 1.1)
    for side in (-1, 1):
        lift = side * c.uniform(0.5, 1.0)
        elbow, tip = c.uniform(-0.2, 0.3), c.uniform(-0.8, 0.1)
        c.paint(c.limb(0.1, 0, elbow, lift * 0.6, 0.24, 0.2), dark)
        c.paint(c.limb(elbow, lift * 0.6, tip, lift * 1.25, 0.2, 0.05), dark * 0.85)
    c.paint(c.limb(-0.3, 0, -0.9, 0, 0.1, 0.18), back * 0.8)
    c.paint(c.limb(-0.4, 0, 0.5, 0, 0.14, 0.18), back)
    c.paint(c.limb(0.6, 0, 0.95, 0.05, 0.08, 0.02), c.pick(BEAK))
    c.paint(c.ellipse(0.55, -0.02, 0.18, 0.16), back * 1.1)


def bird_tall(c: Canvas) -> None:
    """Ostriches, herons, swans: a long neck; the swans have no legs to see."""
    c.pose(6.5, 17.5)
    back = c.pick(FEATHERS)
    wading = c.coin(0.7)
    for hip in (-0.15, 0.1):
        c.paint(
            c.limb(hip, 0.5, hip + c.uniform(-0.15, 0.15), 1.4, 0.05, 0.035), c.pick(BEAK), wading
        )
    c.paint(c.ellipse(-0.15, 0.3, 0.62, 0.36), back)
    c.paint(c.limb(-0.5, 0.2, -0.9, c.uniform(0.1, 0.5), 0.2, 0.06), back * 0.8)
    bend, top = c.uniform(0.3, 0.6), c.uniform(-1.0, -0.5)
    neck = c.pick(FEATHERS)
    c.paint(c.limb(0.3, 0.2, bend, top * 0.4, 0.15, 0.09), neck)
    c.paint(c.limb(bend, top * 0.4, 0.45, top, 0.09, 0.08), neck)
    c.paint(c.limb(0.5, top, 0.85, top + 0.08, 0.07, 0.02), c.pick(BEAK))
    c.paint(c.ellipse(0.48, top, 0.15, 0.13), neck)
    eye(c, 0.52, top - 0.03, 0.04)


def bird_head(c: Canvas) -> None:
    """Head and beak, close by."""
    c.pose(8.5, 20.5, y=3)
    plumage = c.pick(FEATHERS)
    c.paint(c.limb(-0.2, 1.4, 0, 0.1, c.uniform(0.35, 0.8), 0.4), plumage * 0.85)
    c.paint(c.limb(0.3, 0.05, c.uniform(0.8, 1.2), c.uniform(0.1, 0.35), 0.2, 0.04), c.pick(BEAK))
    c.paint(c.ellipse(0, 0, 0.5, 0.45), plumage)
    eye(c, 0.15, -0.1, 0.12, c.pick(EYES))


def frog_side(c: Canvas) -> None:
    """Crouching, from the side."""
    c.pose(8.5, 20.5, tilt=40, y=3)
    skin = c.pick(FROG)
    body = np.minimum(c.limb(-0.6, 0.3, 0.35, -0.1, 0.32, 0.38), c.ellipse(0.55, -0.2, 0.38, 0.28))
    fur(c, body, skin, 0.6)
    c.paint(c.limb(0.1, 0.4, 0.75, 0.2, 0.1, 0.22), c.pick(PALE), 0.6 * c.coin(0.6))
    c.paint(c.limb(-0.75, 0.5, 0.0, 0.2, 0.16, 0.14), skin * 0.75)
    c.paint(c.limb(-0.75, 0.6, c.uniform(-0.3, 0.1), 0.72, 0.1, 0.07), skin * 0.7)
    c.paint(c.limb(0.45, 0.15, c.uniform(0.3, 0.7), 0.7, 0.1, 0.07), skin * 0.8)
    c.paint(c.ellipse(0.5, -0.42, 0.17, 0.16), skin * 1.1)
    eye(c, 0.52, -0.43, 0.13, c.pick(EYES))
    c.paint(c.limb(0.55, -0.08, 0.9, -0.12, 0.025, 0.02), skin * 0.4)


def frog_front(c: Canvas) -> None:
    """A wide face, the eyes on top."""
    c.pose(7.5, 20.5, tilt=30, y=2)
    skin = c.pick(FROG)
    for side in (-1, 1):
        c.paint(c.limb(side * 0.6, 0.5, side * 1.0, c.uniform(0.4, 0.9), 0.26, 0.12), skin * 0.75)
        c.paint(c.limb(side * 0.35, 0.5, side * 0.5, 1.0, 0.12, 0.1), skin * 0.9)
    fur(c, c.ellipse(0, 0.4, 0.75, 0.55), skin)
    fur(c, c.ellipse(0, 0, 0.72, 0.42), skin)
    c.paint(c.ellipse(0, 0.55, 0.5, 0.3), c.pick(PALE), 0.6 * c.coin(0.6))
    iris = c.pick(EYES)
    for side in (-1, 1):
        c.paint(c.ellipse(side * 0.45, -0.36, 0.22, 0.2), skin * 1.1)
        eye(c, side * 0.47, -0.37, 0.15, iris)
    c.paint(c.limb(-0.5, 0.12, 0.5, 0.12, 0.03, 0.03), skin * 0.4)


def frog_top(c: Canvas) -> None:
    """From above, the legs spread."""
    c.pose(8, 18, tilt=180, warp=0.3)
    skin = c.pick(FROG)
    for side in (-1, 1):
        knee, foot = c.uniform(-0.5, 0.1), c.uniform(-1.1, -0.6)
        c.paint(c.limb(-0.45, side * 0.25, knee, side * 0.7, 0.14, 0.12), skin * 0.8)
        c.paint(c.limb(knee, side * 0.7, foot, side * 0.75, 0.11, 0.07), skin * 0.75)
        c.paint(c.limb(0.3, side * 0.25, c.uniform(0.4, 0.7), side * 0.7, 0.1, 0.06), skin * 0.8)
    fur(c, np.minimum(c.ellipse(-0.1, 0, 0.6, 0.4), c.ellipse(0.4, 0, 0.36, 0.34)), skin, 0.7)
    iris = c.pick(EYES)
    for side in (-1, 1):
        eye(c, 0.5, side * 0.27, 0.13, iris)


BIRDS = (bird_perched, bird_flying, bird_tall, bird_head)
FROGS = (frog_side, frog_front, frog_top)
