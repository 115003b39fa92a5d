"""Airplane, automobile, ship and truck: one short function for each view.

All look to the right (u grows forwards, v down); one unit is about a third of the picture.
"""

import numpy as np

from coursekit.data.bundled.canvas import Canvas, palette

METAL = palette("e8eaec d0d4d8 b0b5ba 8a9098 c8c0b0 6a7078 f5f5f5")
PAINT = palette("b02020 c83a2a 2a4a8a 1f1f22 d8d8da f0f0f0 8a8f95 e0b030 3a6a3a 7a2a30 4a6a90 c8a070 5a5a60")
GLASS = palette("1f2a35 3a4a5a 6a8090 8fa5b5 14181c a5b5bf")
TYRE = palette("151515 222222 2a2826")
HUB = palette("9a9a9a c8c8c8 555555 303030")
WHITE = palette("f4f4f2 e5e5e0 d8d8d5 f8f8ff")
LIGHTS = palette("f5e8b0 ffffff d04030 c8a060")


def _pose(c: Canvas, low: float, high: float, tilt: float = 8.0, y: float = 0.0) -> None:
    c.place(c.uniform(low - 2, high + 4), c.uniform(-2 * tilt, 2 * tilt), c.uniform(-4, 4), y + c.uniform(-4, 4),
            c.coin(), c.uniform(0.65, 1.25), c.uniform(0.05, 0.25))


# --- airplane ------------------------------------------------------------------------------------
def airplane_side(c: Canvas) -> None:
    """An airliner: tube, fin, wing towards us, engine, windows."""
    _pose(c, 9.5, 15.5, 22)
    hull, trim = c.pick(METAL), c.pick(np.concatenate([PAINT, METAL]))
    wing = hull * c.uniform(0.6, 0.95)[:, None]
    length, r = c.uniform(0.85, 1.2), c.uniform(0.1, 0.19)
    c.paint(c.limb(0.25, 0, -0.3, c.uniform(-0.6, -0.3), 0.1, 0.05), wing * 0.8)
    c.paint(c.limb(-length, -0.1, -length - 0.15, c.uniform(-0.65, -0.4), 0.14, 0.1), trim)
    c.paint(c.limb(-length, -0.02, length, 0, r * 0.6, r), hull)
    c.paint(c.limb(-0.8, r * 0.3, 0.9, r * 0.3, 0.03, 0.03), trim, c.coin(0.5))
    c.paint(c.limb(-0.5, -r * 0.3, length - 0.2, -r * 0.3, 0.025, 0.025), c.pick(GLASS), c.coin(0.6))
    c.paint(c.ellipse(length - 0.02, -r * 0.4, 0.08, 0.05), c.pick(GLASS), 0.8)
    c.paint(c.limb(0.2, r * 0.5, c.uniform(-0.5, -0.1), c.uniform(0.3, 0.65), 0.14, 0.06), wing)
    c.paint(c.limb(-length + 0.05, 0, -length - 0.2, 0.15, 0.07, 0.04), wing)
    c.paint(c.limb(0.05, r + 0.12, 0.3, r + 0.12, 0.07, 0.09), trim * 0.8, c.coin(0.6))
    for x in (-0.1, 0.7):
        c.paint(c.limb(x, r, x, r + 0.25, 0.03, 0.05), c.pick(TYRE), c.coin(0.4))


def airplane_above(c: Canvas) -> None:
    """Seen from above or below: a cross of body and swept wings, or a delta."""
    c.place(c.uniform(10, 16), c.uniform(0, 360), c.uniform(-3, 3), c.uniform(-3, 3),
            stretch=c.uniform(0.7, 1.15), warp=c.uniform(0, 0.15))
    hull = c.pick(METAL)
    wing = hull * c.uniform(0.7, 1.05)[:, None]
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
    _pose(c, 9.5, 15.5, 15)
    hull = c.pick(np.concatenate([METAL, PAINT]))
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
    _pose(c, 9.5, 14.5, 18)
    hull = c.pick(np.concatenate([PAINT, METAL]))
    c.paint(c.limb(-0.85, -0.1, -1.0, -0.5, 0.12, 0.1), hull * 0.9)
    c.paint(c.limb(-0.9, -0.05, 0.6, 0.05, 0.09, 0.24), hull)
    c.paint(c.limb(-0.05, -0.15, 0.25, -0.15, 0.14, 0.16), c.pick(GLASS))
    for y, there in ((-0.33, c.coin(0.6)), (0.22, c.coin(0.6))):
        c.paint(c.limb(-0.3, y, 0.5, y - 0.03, 0.06, 0.07), hull * 0.75, there)
    c.paint(c.limb(-1.15, -0.1, -0.75, -0.1, 0.05, 0.05), hull * 0.75)
    c.paint(c.limb(0.9, -0.4, 0.88, 0.45, 0.03, 0.03), c.pick(TYRE), 0.7)
    for x in (0.35, -0.8):
        c.paint(c.limb(x, 0.2, x + 0.05, 0.48, 0.03, 0.08), c.pick(TYRE), c.coin(0.7))


# --- automobile and truck ------------------------------------------------------------------------
def _wheel(c: Canvas, x, y, r) -> None:
    c.paint(c.ellipse(x, y, r, r), c.pick(TYRE))
    c.paint(c.ellipse(x, y, r * 0.5, r * 0.5), c.pick(HUB))


def _shadow(c: Canvas, y, half) -> None:
    c.paint(c.ellipse(0, y, half, 0.1), c.pick(TYRE), 0.5)


def automobile_side(c: Canvas) -> None:
    _pose(c, 10, 15.5, y=2.0)
    body, glass = c.pick(PAINT), c.pick(GLASS)
    low, top = c.uniform(0.3, 0.4), c.uniform(-0.5, -0.3)
    _shadow(c, low + 0.2, 1.1)
    back, front = c.uniform(-1.0, -0.5), c.uniform(0.3, 0.6)
    open_top = c.coin(0.12)
    cabin = c.polygon((back + 0.25, top), (front - 0.3, top), (front + 0.1, 0.0), (back - 0.05, 0.0))
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
        _wheel(c, x, low, r)


def automobile_front(c: Canvas) -> None:
    """Front or rear: wide and low, windscreen over bonnet, two lamps, two wheels."""
    _pose(c, 10.5, 16.5, y=1.0)
    body = c.pick(PAINT)
    low, top = 0.5, c.uniform(-0.75, -0.5)
    _shadow(c, low + 0.15, 0.9)
    for x in (-0.62, 0.62):
        c.paint(c.limb(x, low - 0.2, x, low, 0.14, 0.14), c.pick(TYRE))
    half = c.uniform(0.45, 0.55)
    cabin = c.polygon((-half, top), (half, top), (0.72, -0.12), (-0.72, -0.12))
    c.paint(cabin - 0.04, body)
    c.paint(cabin + 0.07, c.pick(GLASS))
    c.paint(c.limb(-0.6, 0.1, 0.6, 0.1, 0.25, 0.25), body)
    c.paint(c.box(-0.8, 0.2, 0.8, 0.42), body * 0.85)
    c.paint(c.box(-0.35, 0.12, 0.35, 0.3), c.pick(np.concatenate([TYRE, HUB])), 0.8)
    lamp = c.pick(LIGHTS)
    for x in (-0.62, 0.62):
        c.paint(c.ellipse(x, 0.1, 0.15, 0.09), lamp)
    c.paint(c.box(-0.18, 0.33, 0.18, 0.41), c.pick(WHITE), 0.8)


def automobile_corner(c: Canvas) -> None:
    """Three quarters: the front face bigger and lower than the side that runs away."""
    _pose(c, 10.5, 15.5, y=1.0)
    body = c.pick(PAINT)
    side, top = body * c.uniform(0.6, 0.85)[:, None], c.uniform(-0.65, -0.45)
    _shadow(c, 0.5, 1.0)
    c.paint(c.polygon((-0.75, top + 0.05), (0.1, top), (0.45, -0.1), (-1.0, -0.08)) - 0.03, body)
    c.paint(c.polygon((-0.7, top + 0.1), (-0.15, top + 0.06), (-0.05, -0.1), (-0.95, -0.1)), c.pick(GLASS))
    c.paint(c.polygon((-0.08, top + 0.06), (0.1, top + 0.06), (0.42, -0.1), (0.05, -0.1)), c.pick(GLASS))
    c.paint(c.polygon((-1.1, -0.1), (0.1, -0.1), (0.1, 0.45), (-1.1, 0.25)), side)
    c.paint(c.polygon((0.05, -0.1), (0.8, -0.08), (1.0, 0.1), (0.95, 0.42), (0.05, 0.46)), body)
    c.paint(c.box(0.35, 0.15, 0.75, 0.3), c.pick(TYRE), 0.7)
    for x in (0.2, 0.88):
        c.paint(c.ellipse(x, 0.14, 0.1, 0.08), c.pick(LIGHTS))
    for x, r in ((-0.75, 0.18), (0.02, 0.22)):
        c.paint(c.ellipse(x, 0.38, r * 0.7, r), c.pick(TYRE))
        c.paint(c.ellipse(x, 0.38, r * 0.35, r * 0.5), c.pick(HUB))


def truck_side(c: Canvas) -> None:
    """Cab in front, a tall box, a tank or an open bed behind, three or more wheels."""
    _pose(c, 9.5, 15, y=1.0)
    cab, load = c.pick(PAINT), c.pick(np.concatenate([PAINT, WHITE]))
    _shadow(c, 0.68, 1.2)
    top = c.uniform(-0.8, -0.3)
    kind = c.uniform(0, 1)
    c.paint(c.box(-1.2, 0.3, 1.0, 0.48), c.pick(TYRE))
    box = c.box(-1.25, top, 0.3, 0.35)
    c.paint(box, load, kind < 0.6)
    c.paint(c.limb(-1.2, -0.05, 0.3, -0.05, 0.02, 0.02), c.pick(PAINT), (kind < 0.3) * 1.0)
    c.paint(c.limb(-1.0, 0.0, 0.1, 0.0, 0.33, 0.33), load, (kind >= 0.6) & (kind < 0.75))
    c.paint(c.polygon((-1.3, -0.25), (0.3, -0.1), (0.25, 0.35), (-1.1, 0.35)), load, kind >= 0.75)
    roof = c.uniform(-0.5, -0.25)
    nose = c.uniform(0.85, 1.15)
    c.paint(c.polygon((0.38, roof), (0.75, roof), (0.9, 0.0), (0.92, 0.4), (0.38, 0.4)), cab)
    c.paint(c.box(0.7, 0.0, nose, 0.42), cab * 0.92)
    c.paint(c.polygon((0.5, roof + 0.08), (0.72, roof + 0.08), (0.83, -0.02), (0.5, -0.02)), c.pick(GLASS))
    c.paint(c.ellipse(nose, 0.22, 0.06, 0.06), c.pick(LIGHTS))
    r = c.uniform(0.16, 0.22)
    for x, there in ((-0.95, 1), (-0.55, c.coin(0.6)), (0.72, 1)):
        c.paint(c.ellipse(x, 0.5, r, r), c.pick(TYRE), there)
        c.paint(c.ellipse(x, 0.5, r * 0.45, r * 0.45), c.pick(HUB), there)


def truck_front(c: Canvas) -> None:
    """Front: tall and upright, big windscreen, grille, the load standing out behind."""
    _pose(c, 9.5, 15.5, y=0.0)
    cab = c.pick(PAINT)
    _shadow(c, 0.85, 0.8)
    for x in (-0.5, 0.5):
        c.paint(c.limb(x, 0.6, x, 0.75, 0.14, 0.14), c.pick(TYRE))
    c.paint(c.box(-0.72, c.uniform(-1.1, -0.7), 0.72, 0.5), c.pick(np.concatenate([PAINT, WHITE])), c.coin(0.5))
    roof = c.uniform(-0.85, -0.6)
    c.paint(c.box(-0.6, roof, 0.6, 0.65) - 0.03, cab)
    c.paint(c.box(-0.5, roof + 0.12, 0.5, roof + 0.5), c.pick(GLASS))
    c.paint(c.box(-0.3, 0.0, 0.3, 0.4), c.pick(np.concatenate([HUB, TYRE])), 0.9)
    for y in (0.12, 0.26):
        c.paint(c.box(-0.28, y, 0.28, y + 0.04), c.pick(HUB), 0.8)
    lamp = c.pick(LIGHTS)
    for x in (-0.48, 0.48):
        c.paint(c.ellipse(x, 0.38, 0.09, 0.09), lamp)
        c.paint(c.limb(x * 1.5, roof + 0.3, x * 1.5, roof + 0.5, 0.05, 0.05), c.pick(TYRE), c.coin(0.6))
    c.paint(c.box(-0.65, 0.52, 0.65, 0.66), c.pick(HUB))


def truck_corner(c: Canvas) -> None:
    """Three quarters: the cab's front, a long box running away behind it."""
    _pose(c, 10, 15, y=0.0)
    cab, load = c.pick(PAINT), c.pick(np.concatenate([PAINT, WHITE]))
    _shadow(c, 0.65, 1.1)
    top = c.uniform(-0.85, -0.4)
    c.paint(c.polygon((-1.2, top + 0.2), (0.2, top), (0.2, 0.5), (-1.2, 0.35)), load * 0.8)
    c.paint(c.polygon((0.15, top), (0.5, top + 0.05), (0.5, 0.4), (0.15, 0.5)), load)
    roof = c.uniform(-0.5, -0.3)
    c.paint(c.polygon((-0.05, roof + 0.03), (0.25, roof), (0.25, 0.6), (-0.05, 0.5)), cab * 0.75)
    c.paint(c.polygon((0.2, roof), (0.9, roof + 0.05), (0.95, 0.55), (0.2, 0.62)), cab)
    c.paint(c.polygon((0.28, roof + 0.1), (0.85, roof + 0.14), (0.86, 0.0), (0.28, 0.0)), c.pick(GLASS))
    c.paint(c.box(0.4, 0.15, 0.78, 0.4), c.pick(np.concatenate([HUB, TYRE])), 0.9)
    for x in (0.27, 0.87):
        c.paint(c.ellipse(x, 0.4, 0.07, 0.08), c.pick(LIGHTS))
    for x, r in ((-0.95, 0.16), (-0.6, 0.17), (0.1, 0.22)):
        c.paint(c.ellipse(x, 0.52, r * 0.7, r), c.pick(TYRE))
        c.paint(c.ellipse(x, 0.52, r * 0.3, r * 0.45), c.pick(HUB))


# --- ship ----------------------------------------------------------------------------------------
def _wake(c: Canvas, y) -> None:
    c.paint(c.limb(-1.4, y, 1.2, y, 0.07, 0.04), c.pick(WHITE), c.uniform(0.1, 0.8))


def ship_side(c: Canvas) -> None:
    """A steamer, ferry or freighter: hull, white decks or containers, funnel, mast."""
    _pose(c, 9.5, 15, 6, 1.0)
    hull, decks = c.pick(np.concatenate([PAINT, WHITE])), c.pick(np.concatenate([WHITE, WHITE, PAINT]))
    rail = c.uniform(-0.1, 0.15)
    level = c.uniform(-0.45, -0.15)
    stern, bow = c.uniform(-0.9, -0.5), c.uniform(0.0, 0.7)
    c.paint(c.limb(bow * 0.5, rail, bow * 0.5 + 0.05, c.uniform(-1.1, -0.5), 0.03, 0.02), c.pick(TYRE), 0.8)
    c.paint(c.limb(stern * 0.5, rail, stern * 0.5 - 0.05, level - 0.3, 0.1, 0.1), c.pick(PAINT), c.coin(0.6))
    c.paint(c.box(stern, level, bow, rail + 0.05), decks)
    c.paint(c.box(stern + 0.15, level - 0.2, stern + 0.55, rail), decks * 0.93, c.coin(0.7))
    for y in (0.3, 0.7):
        row = level + (rail - level) * y
        c.paint(c.limb(stern + 0.1, row, bow - 0.1, row, 0.03, 0.03), c.pick(GLASS), c.coin(0.7) * 0.8)
    low = rail + c.uniform(0.3, 0.45)
    c.paint(c.polygon((-1.05, rail), (c.uniform(1.1, 1.4), rail - 0.08), (0.85, low), (-0.9, low)), hull)
    c.paint(c.limb(-0.85, low - 0.07, 0.8, low - 0.07, 0.04, 0.04), c.pick(PAINT), c.coin(0.5))
    _wake(c, low)


def ship_boat(c: Canvas) -> None:
    """A motor boat: pointed hull, low cabin with a raked windscreen, wake."""
    _pose(c, 10, 15.5, 10, 2.0)
    hull = c.pick(np.concatenate([WHITE, WHITE, PAINT]))
    top = c.uniform(-0.5, -0.2)
    c.paint(c.polygon((-0.6, top), (0.1, top), (0.45, 0.05), (-0.7, 0.05)), c.pick(WHITE), c.coin(0.85))
    c.paint(c.polygon((-0.3, top + 0.1), (0.1, top + 0.08), (0.35, 0.0), (-0.3, 0.0)), c.pick(GLASS))
    c.paint(c.limb(-0.3, top, -0.4, top - 0.4, 0.03, 0.02), c.pick(HUB), c.coin(0.5))
    low = c.uniform(0.3, 0.5)
    c.paint(c.polygon((-1.0, 0.05), (1.25, -0.08), (0.75, low), (-0.95, low)), hull)
    c.paint(c.limb(-0.95, 0.15, 0.95, 0.08, 0.03, 0.03), c.pick(PAINT), c.coin(0.6))
    _wake(c, low)


def ship_sail(c: Canvas) -> None:
    """A yacht: narrow hull, one mast, triangular sails or bare poles."""
    _pose(c, 9.5, 14.5, 8, 2.0)
    sail = c.pick(np.concatenate([WHITE, WHITE, WHITE, PAINT]))
    set_ = c.coin(0.75)
    high = c.uniform(-1.3, -0.8)
    c.paint(c.limb(0.0, 0.4, 0.02, high, 0.035, 0.025), c.pick(HUB))
    c.paint(c.polygon((-0.06, high + 0.1), (-0.06, 0.3), (c.uniform(-0.9, -0.5), 0.3)), sail, set_)
    c.paint(c.polygon((0.08, high + 0.2), (c.uniform(0.5, 0.9), 0.35), (0.08, 0.3)), sail * 0.92, set_)
    c.paint(c.polygon((-0.8, 0.4), (0.95, 0.36), (0.65, 0.65), (-0.7, 0.65)), c.pick(np.concatenate([PAINT, WHITE])))
    _wake(c, 0.67)


def ship_bow(c: Canvas) -> None:
    """Coming at us: a tall bow wedge, the bridge above it, foam below."""
    _pose(c, 9.5, 15.5, 6, 1.0)
    hull = c.pick(np.concatenate([PAINT, WHITE]))
    top = c.uniform(-0.9, -0.5)
    c.paint(c.limb(0, top, 0, top - 0.35, 0.04, 0.02), c.pick(TYRE), 0.8)
    c.paint(c.box(-0.45, top, 0.45, 0.1), c.pick(WHITE))
    c.paint(c.box(-0.36, top + 0.1, 0.36, top + 0.22), c.pick(GLASS), 0.9)
    lean = c.uniform(-0.3, 0.3)
    c.paint(c.polygon((-0.75, -0.2), (lean, -0.2), (lean, 0.7), (-0.35, 0.7)), hull)
    c.paint(c.polygon((lean, -0.2), (0.75, -0.2), (0.35, 0.7), (lean, 0.7)), hull * 0.75)
    _wake(c, 0.7)
