"""Automobiles and trucks: from the side, the front, and a corner."""

from __future__ import annotations

from .canvas import Canvas, palette
from .vehicles import GLASS, HUB, PAINT, TYRE, WHITE, shadow, wheel

LIGHTS = palette("f5e8b0 ffffff d04030 c8a060")


def automobile_side(c: Canvas) -> None:
    """From the side: bonnet, cabin, boot, two wheels; a few without a roof."""
    c.pose(8, 19.5, tilt=16, y=2, warp=0.25)
    body, glass = c.pick(PAINT), c.pick(GLASS)
    low, top = c.uniform(0.3, 0.4), c.uniform(-0.5, -0.3)
    shadow(c, low + 0.2, 1.1)
    back, front = c.uniform(-1.0, -0.5), c.uniform(0.3, 0.6)
    open_top = c.coin(0.12)
    cabin = c.polygon(
        (back + 0.25, top), (front - 0.3, top), (front + 0.1, 0.0), (back - 0.05, 0.0)
    )
    c.paint(cabin - 0.03, body * 0.95, 1 - open_top)
    c.paint(cabin + 0.07, glass, 1 - open_top)
    pillar = c.uniform(-0.2, 0.05)
    c.paint(c.box(pillar - 0.03, top, pillar + 0.03, 0), body * 0.9, 1 - open_top)
    c.paint(c.limb(-0.95, 0.12, 0.95, 0.17, 0.17, 0.14), body)
    c.paint(c.box(-1.08, 0.1, 1.08, low), body * 0.9)
    c.paint(c.limb(-0.9, 0.05, 0.9, 0.1, 0.02, 0.02), c.pick(WHITE), 0.4)
    for x, y in ((1.04, 0.15), (-1.06, 0.12)):
        c.paint(c.ellipse(x, y, 0.07, 0.06), c.pick(LIGHTS))
    r = c.uniform(0.19, 0.26)
    for x in (-0.62, 0.64):
        wheel(c, x, low, r, r)


def automobile_front(c: Canvas) -> None:
    """Front or rear: wide and low, windscreen over bonnet, two lamps, two wheels."""
    c.pose(8.5, 20.5, tilt=16, y=1, warp=0.25)
    body = c.pick(PAINT)
    low, top = 0.5, c.uniform(-0.75, -0.5)
    shadow(c, low + 0.15, 0.9)
    for x in (-0.62, 0.62):
        c.paint(c.limb(x, low - 0.2, x, low, 0.14, 0.14), c.pick(TYRE))
    half = c.uniform(0.45, 0.55)
    cabin = c.polygon((-half, top), (half, top), (0.72, -0.12), (-0.72, -0.12))
    c.paint(cabin - 0.04, body)
    c.paint(cabin + 0.07, c.pick(GLASS))
    c.paint(c.limb(-0.6, 0.1, 0.6, 0.1, 0.25, 0.25), body)
    c.paint(c.box(-0.8, 0.2, 0.8, 0.42), body * 0.85)
    c.paint(c.box(-0.35, 0.12, 0.35, 0.3), c.pick(TYRE, HUB), 0.8)
    lamp = c.pick(LIGHTS)
    for x in (-0.62, 0.62):
        c.paint(c.ellipse(x, 0.1, 0.15, 0.09), lamp)
    c.paint(c.box(-0.18, 0.33, 0.18, 0.41), c.pick(WHITE), 0.8)


def automobile_corner(c: Canvas) -> None:
    """Three quarters: the front face bigger and lower than the side that runs away."""
    c.pose(8.5, 19.5, tilt=16, y=1, warp=0.25)
    body = c.pick(PAINT)
    side, top = c.shade(body, 0.6, 0.85), c.uniform(-0.65, -0.45)
    shadow(c, 0.5, 1.0)
    c.paint(c.polygon((-0.75, top + 0.05), (0.1, top), (0.45, -0.1), (-1.0, -0.08)) - 0.03, body)
    c.paint(
        c.polygon((-0.7, top + 0.1), (-0.15, top + 0.06), (-0.05, -0.1), (-0.95, -0.1)),
        c.pick(GLASS),
    )
    c.paint(
        c.polygon((-0.08, top + 0.06), (0.1, top + 0.06), (0.42, -0.1), (0.05, -0.1)), c.pick(GLASS)
    )
    c.paint(c.polygon((-1.1, -0.1), (0.1, -0.1), (0.1, 0.45), (-1.1, 0.25)), side)
    c.paint(c.polygon((0.05, -0.1), (0.8, -0.08), (1.0, 0.1), (0.95, 0.42), (0.05, 0.46)), body)
    c.paint(c.box(0.35, 0.15, 0.75, 0.3), c.pick(TYRE), 0.7)
    for x in (0.2, 0.88):
        c.paint(c.ellipse(x, 0.14, 0.1, 0.08), c.pick(LIGHTS))
    for x, r in ((-0.75, 0.18), (0.02, 0.22)):
        wheel(c, x, 0.38, r * 0.7, r)


def truck_side(c: Canvas) -> None:
    """Cab in front, a tall box, a tank or an open bed behind, three or more wheels."""
    c.pose(7.5, 19, tilt=16, y=1, warp=0.25)
    cab, load = c.pick(PAINT), c.pick(PAINT, WHITE)
    shadow(c, 0.68, 1.2)
    top = c.uniform(-0.8, -0.3)
    kind = c.uniform(0, 1)
    c.paint(c.box(-1.2, 0.3, 1.0, 0.48), c.pick(TYRE))
    box = c.box(-1.25, top, 0.3, 0.35)
    c.paint(box, load, kind < 0.6)
    c.paint(c.limb(-1.2, -0.05, 0.3, -0.05, 0.02, 0.02), c.pick(PAINT), kind < 0.3)
    c.paint(c.limb(-1.0, 0.0, 0.1, 0.0, 0.33, 0.33), load, (kind >= 0.6) & (kind < 0.75))
    c.paint(c.polygon((-1.3, -0.25), (0.3, -0.1), (0.25, 0.35), (-1.1, 0.35)), load, kind >= 0.75)
    roof = c.uniform(-0.5, -0.25)
    nose = c.uniform(0.85, 1.15)
    c.paint(c.polygon((0.38, roof), (0.75, roof), (0.9, 0.0), (0.92, 0.4), (0.38, 0.4)), cab)
    c.paint(c.box(0.7, 0.0, nose, 0.42), cab * 0.92)
    c.paint(
        c.polygon((0.5, roof + 0.08), (0.72, roof + 0.08), (0.83, -0.02), (0.5, -0.02)),
        c.pick(GLASS),
    )
    c.paint(c.ellipse(nose, 0.22, 0.06, 0.06), c.pick(LIGHTS))
    r = c.uniform(0.16, 0.22)
    for x, there in ((-0.95, 1), (-0.55, c.coin(0.6)), (0.72, 1)):
        wheel(c, x, 0.5, r, r, there)


def truck_front(c: Canvas) -> None:
    """Front: tall and upright, big windscreen, grille, the load standing out behind."""
    c.pose(7.5, 19.5, tilt=16, warp=0.25)
    cab = c.pick(PAINT)
    shadow(c, 0.85, 0.8)
    for x in (-0.5, 0.5):
        c.paint(c.limb(x, 0.6, x, 0.75, 0.14, 0.14), c.pick(TYRE))
    load = c.box(-0.72, c.uniform(-1.1, -0.7), 0.72, 0.5)
    c.paint(load, c.pick(PAINT, WHITE), c.coin(0.5))
    roof = c.uniform(-0.85, -0.6)
    c.paint(c.box(-0.6, roof, 0.6, 0.65) - 0.03, cab)
    c.paint(c.box(-0.5, roof + 0.12, 0.5, roof + 0.5), c.pick(GLASS))
    c.paint(c.box(-0.3, 0.0, 0.3, 0.4), c.pick(HUB, TYRE), 0.9)
    for y in (0.12, 0.26):
        c.paint(c.box(-0.28, y, 0.28, y + 0.04), c.pick(HUB), 0.8)
    lamp = c.pick(LIGHTS)
    for side in (-1, 1):
        c.paint(c.ellipse(side * 0.48, 0.38, 0.09, 0.09), lamp)
        mirror = c.limb(side * 0.72, roof + 0.3, side * 0.72, roof + 0.5, 0.05, 0.05)
        c.paint(mirror, c.pick(TYRE), c.coin(0.6))
    c.paint(c.box(-0.65, 0.52, 0.65, 0.66), c.pick(HUB))


def truck_corner(c: Canvas) -> None:
    """Three quarters: the cab's front, a long box running away behind it."""
    c.pose(8, 19, tilt=16, warp=0.25)
    cab, load = c.pick(PAINT), c.pick(PAINT, WHITE)
    shadow(c, 0.65, 1.1)
    top = c.uniform(-0.85, -0.4)
    c.paint(c.polygon((-1.2, top + 0.2), (0.2, top), (0.2, 0.5), (-1.2, 0.35)), load * 0.8)
    c.paint(c.polygon((0.15, top), (0.5, top + 0.05), (0.5, 0.4), (0.15, 0.5)), load)
    roof = c.uniform(-0.5, -0.3)
    c.paint(c.polygon((-0.05, roof + 0.03), (0.25, roof), (0.25, 0.6), (-0.05, 0.5)), cab * 0.75)
    c.paint(c.polygon((0.2, roof), (0.9, roof + 0.05), (0.95, 0.55), (0.2, 0.62)), cab)
    c.paint(
        c.polygon((0.28, roof + 0.1), (0.85, roof + 0.14), (0.86, 0.0), (0.28, 0.0)), c.pick(GLASS)
    )
    c.paint(c.box(0.4, 0.15, 0.78, 0.4), c.pick(HUB, TYRE), 0.9)
    for x in (0.27, 0.87):
        c.paint(c.ellipse(x, 0.4, 0.07, 0.08), c.pick(LIGHTS))
    for x, r in ((-0.95, 0.16), (-0.6, 0.17), (0.1, 0.22)):
        wheel(c, x, 0.52, r * 0.7, r)


AUTOMOBILES = (automobile_side, automobile_front, automobile_corner)
TRUCKS = (truck_side, truck_front, truck_corner)
