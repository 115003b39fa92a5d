"""Airplanes and ships."""

from __future__ import annotations

from .canvas import Canvas, Number, palette
from .vehicles import GLASS, HUB, PAINT, TYRE, WHITE

METAL = palette("e8eaec d0d4d8 b0b5ba 8a9098 c8c0b0 6a7078 f5f5f5")


def airplane_side(c: Canvas) -> None:
    """An airliner: tube, fin, wing towards us, engine, windows."""
    c.pose(7.5, 19.5, tilt=44, warp=0.25)
    hull, trim = c.pick(METAL), c.pick(PAINT, METAL)
    wing = c.shade(hull, 0.6, 0.95)
    length, r = c.uniform(0.85, 1.2), c.uniform(0.1, 0.19)
    c.paint(c.limb(0.25, 0, -0.3, c.uniform(-0.6, -0.3), 0.1, 0.05), wing * 0.8)
    c.paint(c.limb(-length, -0.1, -length - 0.15, c.uniform(-0.65, -0.4), 0.14, 0.1), trim)
    c.paint(c.limb(-length, -0.02, length, 0, r * 0.6, r), hull)
    c.paint(c.limb(-0.8, r * 0.3, 0.9, r * 0.3, 0.03, 0.03), trim, c.coin(0.5))
    windows = c.limb(-0.5, -r * 0.3, length - 0.2, -r * 0.3, 0.025, 0.025)
    c.paint(windows, c.pick(GLASS), c.coin(0.6))
    c.paint(c.ellipse(length - 0.02, -r * 0.4, 0.08, 0.05), c.pick(GLASS), 0.8)
    c.paint(c.limb(0.2, r * 0.5, c.uniform(-0.5, -0.1), c.uniform(0.3, 0.65), 0.14, 0.06), wing)
    c.paint(c.limb(-length + 0.05, 0, -length - 0.2, 0.15, 0.07, 0.04), wing)
    c.paint(c.limb(0.05, r + 0.12, 0.3, r + 0.12, 0.07, 0.09), trim * 0.8, c.coin(0.6))
    for x in (-0.1, 0.7):
        c.paint(c.limb(x, r, x, r + 0.25, 0.03, 0.05), c.pick(TYRE), c.coin(0.4))


def airplane_above(c: Canvas) -> None:
    """Seen from above or below: a cross of body and swept wings, or a delta."""
    c.pose(8, 18, tilt=180, warp=0.2)
    hull = c.pick(METAL)
    wing = c.shade(hull, 0.7, 1.05)
    sweep, span = c.uniform(-0.9, 0.05), c.uniform(0.6, 1.1)
    root = c.uniform(0.12, 0.35)
    for side in (-1, 1):
        c.paint(c.limb(0.1, side * 0.1, sweep, side * span, root, 0.06), wing)
        c.paint(c.limb(-0.85, 0, -1.05, side * 0.4, 0.1, 0.05), wing * 0.9)
        c.paint(c.limb(-0.1, side * 0.4, 0.2, side * 0.4, 0.07, 0.07), hull * 0.6, c.coin(0.5))
    c.paint(c.limb(-0.95, 0, 0.95, 0, 0.1, c.uniform(0.08, 0.16)), hull)
    c.paint(c.limb(-0.7, 0, -1.0, 0, 0.03, 0.05), c.pick(PAINT), 0.7)
    c.paint(c.ellipse(0.75, 0, 0.12, 0.06), c.pick(GLASS), 0.8)


def airplane_front(c: Canvas) -> None:
    """Coming at us: round nose, long thin wings, engines or a propeller, wheels."""
    c.pose(7.5, 19.5, tilt=30, warp=0.25)
    hull = c.pick(METAL, PAINT)
    rise = c.uniform(-0.3, 0.2)
    for side in (-1, 1):
        c.paint(c.limb(0, 0.08, side * 1.25, 0.08 + rise, 0.1, 0.04), hull * 0.8)
        c.paint(c.limb(0, 0, side * 0.45, -0.15, 0.05, 0.03), hull * 0.75)
        c.paint(c.ellipse(side * 0.55, 0.17 + rise * 0.4, 0.13, 0.13), hull * 0.5, c.coin(0.5))
        c.paint(c.limb(side * 0.3, 0.1, side * 0.32, 0.5, 0.03, 0.07), c.pick(TYRE), c.coin(0.6))
    c.paint(c.limb(0, 0, 0, -0.65, 0.06, 0.04), hull * 0.9)
    c.paint(c.ellipse(0, 0, 0.26, 0.27), hull)
    c.paint(c.box(-0.15, -0.17, 0.15, -0.06), c.pick(GLASS), 0.9)
    c.paint(c.limb(-0.45, 0.25, 0.45, -0.15, 0.03, 0.03), c.pick(TYRE), c.coin(0.4))


def airplane_propeller(c: Canvas) -> None:
    """A small plane from the side: stubby body, high or low wing, propeller, wheels."""
    c.pose(7.5, 18.5, tilt=36, warp=0.25)
    hull = c.pick(PAINT, METAL)
    c.paint(c.limb(-0.85, -0.1, -1.0, -0.5, 0.12, 0.1), hull * 0.9)
    c.paint(c.limb(-0.9, -0.05, 0.6, 0.05, 0.09, 0.24), hull)
    c.paint(c.limb(-0.05, -0.15, 0.25, -0.15, 0.14, 0.16), c.pick(GLASS))
    for y, there in ((-0.33, c.coin(0.6)), (0.22, c.coin(0.6))):
        c.paint(c.limb(-0.3, y, 0.5, y - 0.03, 0.06, 0.07), hull * 0.75, there)
    c.paint(c.limb(-1.15, -0.1, -0.75, -0.1, 0.05, 0.05), hull * 0.75)
    c.paint(c.limb(0.9, -0.4, 0.88, 0.45, 0.03, 0.03), c.pick(TYRE), 0.7)
    for x in (0.35, -0.8):
        c.paint(c.limb(x, 0.2, x + 0.05, 0.48, 0.03, 0.08), c.pick(TYRE), c.coin(0.7))


def _wake(c: Canvas, y: Number) -> None:
    """Paint foam along the waterline."""
    c.paint(c.limb(-1.4, y, 1.2, y, 0.07, 0.04), c.pick(WHITE), c.uniform(0.1, 0.8))


def ship_side(c: Canvas) -> None:
    """A steamer, ferry or freighter: hull, white decks or containers, funnel, mast."""
    c.pose(7.5, 19, tilt=12, y=1, warp=0.25)
    hull, decks = c.pick(PAINT, WHITE), c.pick(WHITE, WHITE, PAINT)
    rail = c.uniform(-0.1, 0.15)
    level = c.uniform(-0.45, -0.15)
    stern, bow = c.uniform(-0.9, -0.5), c.uniform(0.0, 0.7)
    c.paint(
        c.limb(bow * 0.5, rail, bow * 0.5 + 0.05, c.uniform(-1.1, -0.5), 0.03, 0.02),
        c.pick(TYRE),
        0.8,
    )
    c.paint(
        c.limb(stern * 0.5, rail, stern * 0.5 - 0.05, level - 0.3, 0.1, 0.1),
        c.pick(PAINT),
        c.coin(0.6),
    )
    c.paint(c.box(stern, level, bow, rail + 0.05), decks)
    c.paint(c.box(stern + 0.15, level - 0.2, stern + 0.55, rail), decks * 0.93, c.coin(0.7))
    for y in (0.3, 0.7):
        row = level + (rail - level) * y
        c.paint(
            c.limb(stern + 0.1, row, bow - 0.1, row, 0.03, 0.03), c.pick(GLASS), c.coin(0.7) * 0.8
        )
    low = rail + c.uniform(0.3, 0.45)
    c.paint(
        c.polygon((-1.05, rail), (c.uniform(1.1, 1.4), rail - 0.08), (0.85, low), (-0.9, low)), hull
    )
    c.paint(c.limb(-0.85, low - 0.07, 0.8, low - 0.07, 0.04, 0.04), c.pick(PAINT), c.coin(0.5))
    _wake(c, low)


def ship_boat(c: Canvas) -> None:
    """A motor boat: pointed hull, low cabin with a raked windscreen, wake."""
    c.pose(8, 19.5, tilt=20, y=2, warp=0.25)
    hull = c.pick(WHITE, WHITE, PAINT)
    top = c.uniform(-0.5, -0.2)
    c.paint(
        c.polygon((-0.6, top), (0.1, top), (0.45, 0.05), (-0.7, 0.05)), c.pick(WHITE), c.coin(0.85)
    )
    c.paint(
        c.polygon((-0.3, top + 0.1), (0.1, top + 0.08), (0.35, 0.0), (-0.3, 0.0)), c.pick(GLASS)
    )
    c.paint(c.limb(-0.3, top, -0.4, top - 0.4, 0.03, 0.02), c.pick(HUB), c.coin(0.5))
    low = c.uniform(0.3, 0.5)
    c.paint(c.polygon((-1.0, 0.05), (1.25, -0.08), (0.75, low), (-0.95, low)), hull)
    c.paint(c.limb(-0.95, 0.15, 0.95, 0.08, 0.03, 0.03), c.pick(PAINT), c.coin(0.6))
    _wake(c, low)


def ship_sail(c: Canvas) -> None:
    """A yacht: narrow hull, one mast, triangular sails or bare poles."""
    c.pose(7.5, 18.5, tilt=16, y=2, warp=0.25)
    sail = c.pick(WHITE, WHITE, WHITE, PAINT)
    set_ = c.coin(0.75)
    high = c.uniform(-1.3, -0.8)
    c.paint(c.limb(0.0, 0.4, 0.02, high, 0.035, 0.025), c.pick(HUB))
    c.paint(c.polygon((-0.06, high + 0.1), (-0.06, 0.3), (c.uniform(-0.9, -0.5), 0.3)), sail, set_)
    c.paint(
        c.polygon((0.08, high + 0.2), (c.uniform(0.5, 0.9), 0.35), (0.08, 0.3)), sail * 0.92, set_
    )
    c.paint(
        c.polygon((-0.8, 0.4), (0.95, 0.36), (0.65, 0.65), (-0.7, 0.65)),
        c.pick(PAINT, WHITE),
    )
    _wake(c, 0.67)


def ship_bow(c: Canvas) -> None:
    """Coming at us: a tall bow wedge, the bridge above it, foam below."""
    c.pose(7.5, 19.5, tilt=12, y=1, warp=0.25)
    hull = c.pick(PAINT, WHITE)
    top = c.uniform(-0.9, -0.5)
    c.paint(c.limb(0, top, 0, top - 0.35, 0.04, 0.02), c.pick(TYRE), 0.8)
    c.paint(c.box(-0.45, top, 0.45, 0.1), c.pick(WHITE))
    c.paint(c.box(-0.36, top + 0.1, 0.36, top + 0.22), c.pick(GLASS), 0.9)
    lean = c.uniform(-0.3, 0.3)
    c.paint(c.polygon((-0.75, -0.2), (lean, -0.2), (lean, 0.7), (-0.35, 0.7)), hull)
    c.paint(c.polygon((lean, -0.2), (0.75, -0.2), (0.35, 0.7), (lean, 0.7)), hull * 0.75)
    _wake(c, 0.7)


AIRPLANES = (airplane_side, airplane_above, airplane_front, airplane_propeller)
SHIPS = (ship_side, ship_boat, ship_sail, ship_bow)
