"""Bird, cat, deer, dog, frog and horse: one short function for each view.

All look to the right (u grows forwards, v down); one unit is about a third of the picture.
"""

import numpy as np

from coursekit.data.bundled.canvas import Canvas, palette

FUR = palette("2a2522 4a3a2c 7a5a3c a87a4a c8a070 8a8580 5a5a5c d8cfc0 ece8e0 b0683a 1a1a1c 9a7a5c")
DEER = palette("8a6540 a57a4a 6a4a30 b08a5a 7a5f48 94552f 5f4a3a c09a6a")
FEATHERS = palette("8a7a6a 5a4a3c 3a3a40 c8c0b0 a06a3a 4a6a9a b04030 d8b040 1f1f24 e8e6e0 6a7a5a")
FROG = palette("5a8a2f 7aa03a 4a6a2a 8a8a3a 6a5a35 8a6a45 3f5a35 9ab04a 5a4a38 a58a55")
BEAK = palette("d89a30 c07a30 3a352f 8a7a60 e0b050")
BLACK = palette("141414")
PINK = palette("c88a85 b06a68 3a2a28 201a1a")
PALE = palette("ece8e0 d8cfc0 c8b8a0 f4f2ee")


def _fur(c: Canvas, shape, coat, p: float = 0.5) -> None:
    """Paint a coat, some of them patched and some striped."""
    c.paint(shape, coat)
    c.paint(np.maximum(shape, 0.15 - c.noise(6)), c.pick(FUR), c.coin(p * 0.6))
    wave = c.u * c.uniform(2.5, 5) + c.uniform(0, 1)
    stripes = np.abs(wave - np.floor(wave) - 0.5) - 0.2
    c.paint(np.maximum(shape, stripes * 0.25), coat * 0.55, c.coin(p * 0.5) * 0.7)


def _legs(c: Canvas, coat, spread: float, length, thick: float) -> None:
    """Four legs; the far pair is darker and drawn first."""
    for dark in (0.65, 0.95):
        for hip in (-spread, spread):
            foot = hip + c.uniform(-0.3, 0.3)
            knee = (hip + foot) * 0.5 + c.uniform(-0.1, 0.1)
            half = 0.1 + length * 0.5
            c.paint(c.limb(hip, 0.1, knee, half, thick * 1.5, thick), coat * dark)
            c.paint(c.limb(knee, half, foot, 0.1 + length, thick, thick * 0.8), coat * dark)


def _walker(c: Canvas, palette_, spread: float, girth: float, length, thick: float):
    """Legs and body of a four-footed animal; returns its coat."""
    coat = c.pick(palette_)
    _legs(c, coat, spread, length, thick)
    girth = girth * c.uniform(0.85, 1.2)
    body = np.minimum(
        c.limb(-spread, 0, spread, c.uniform(-0.06, 0.1), girth, girth),
        c.ellipse(-spread, 0.0, girth * 1.15, girth * 1.2),
    )
    _fur(c, body, coat)
    belly = c.limb(-spread, girth * 0.8, spread, girth * 0.8, 0.06, 0.1)
    c.paint(belly, c.pick(PALE), 0.5 * c.coin(0.5))
    return coat


def _pose(c: Canvas, low: float, high: float, y=0.0, tilt=12.0) -> None:
    """Put an animal somewhere in the picture."""
    c.place(c.uniform(low - 2, high + 4), c.uniform(-2 * tilt, 2 * tilt), c.uniform(-4, 4), y + c.uniform(-4, 4),
            c.coin(), c.uniform(0.65, 1.25), c.uniform(0.05, 0.35))


def _eye(c: Canvas, x, y, r: float, iris=None) -> None:
    if iris is not None:
        c.paint(c.ellipse(x, y, r, r), iris)
        r = r * 0.55
    c.paint(c.ellipse(x, y, r, r), c.pick(BLACK), 0.9)


# --- cat -----------------------------------------------------------------------------------------
EYES = palette("b8b840 7aa050 d8a030 5a90b0 3a2a1a 201a14")


def _cat_head(c: Canvas, coat, x, y, r) -> None:
    """Round face, two pointed ears, small muzzle, whiskers; seen from the front."""
    turn = c.uniform(-0.25, 0.25) * r
    for side in (-1, 1):
        tip = x + side * r * c.uniform(0.75, 1.0)
        root = sorted((side * 0.95, side * 0.15))
        ear = c.polygon((tip, y - r * 1.55), (x + r * root[1], y - r * 0.45), (x + r * root[0], y - r * 0.45))
        c.paint(ear, coat * 0.9)
        c.paint(ear + r * 0.16, c.pick(PINK), 0.6)
    _fur(c, c.ellipse(x, y, r * 1.08, r * 0.92), coat, 0.6)
    c.paint(c.ellipse(x + turn, y + r * 0.4, r * 0.42, r * 0.32), c.pick(PALE), 0.7 * c.coin(0.7))
    iris = c.pick(EYES)
    for side in (-1, 1):
        _eye(c, x + turn + side * r * 0.42, y - r * 0.08, r * 0.2, iris)
        whisker = c.limb(x + turn + side * r * 0.25, y + r * 0.4, x + side * r * 1.3, y + r * 0.3, 0.02, 0.01)
        c.paint(whisker, c.pick(PALE), 0.6)
    c.paint(c.ellipse(x + turn, y + r * 0.27, r * 0.12, r * 0.09), c.pick(PINK))


def cat_face(c: Canvas) -> None:
    _pose(c, 9.5, 16.5, 2.0, 20)
    coat = c.pick(FUR)
    _fur(c, c.ellipse(c.uniform(-0.4, 0.4), 1.4, 1.0, 1.0), coat)
    _cat_head(c, coat, 0, 0, c.uniform(0.7, 0.9))


def cat_sitting(c: Canvas) -> None:
    _pose(c, 8.5, 14.5)
    coat = c.pick(FUR)
    c.paint(c.limb(-0.3, 1.0, c.uniform(-1.2, -0.6), c.uniform(-0.2, 1.0), 0.1, 0.08), coat * 0.85)
    _fur(c, np.minimum(c.ellipse(0, 0.6, 0.5, 0.6), c.ellipse(0.08, 0.1, 0.32, 0.5)), coat)
    for x in (0.05, 0.3):
        c.paint(c.limb(x, 0.4, x + 0.05, 1.1, 0.1, 0.1), coat * 1.05)
    _cat_head(c, coat, c.uniform(0, 0.25), -0.5, 0.38)


def cat_walking(c: Canvas) -> None:
    _pose(c, 9.5, 14.5)
    coat = _walker(c, FUR, 0.5, 0.28, c.uniform(0.25, 0.75), 0.08)
    bend, up = c.uniform(-1.1, -0.8), c.uniform(-0.8, 0.3)
    c.paint(c.limb(-0.65, -0.1, bend, up * 0.5, 0.08, 0.07), coat * 0.9)
    c.paint(c.limb(bend, up * 0.5, bend - 0.1, up, 0.07, 0.05), coat * 0.9)
    _cat_head(c, coat, c.uniform(0.7, 0.85), c.uniform(-0.5, -0.1), 0.3)


# --- dog -----------------------------------------------------------------------------------------
def _dog_head(c: Canvas, coat, x, y, r) -> None:
    """Front view: longer face, hanging ears, big muzzle with a black nose, sometimes a tongue."""
    turn = c.uniform(-0.3, 0.3) * r
    _fur(c, c.ellipse(x, y, r * 0.9, r), coat, 0.5)
    ears = coat * c.uniform(0.5, 1.0)[:, None]
    droop = c.uniform(0.1, 0.9) * r
    for side in (-1, 1):
        c.paint(c.limb(x + side * r * 0.7, y - r * 0.55, x + side * r * 1.05, y + droop, r * 0.2, r * 0.3), ears)
    c.paint(c.ellipse(x + turn, y + r * 0.45, r * 0.5, r * 0.48), c.pick(np.concatenate([PALE, FUR])), 0.75)
    tongue = c.pick(palette("d87a80 c86a70"))
    c.paint(c.limb(x + turn, y + r * 0.75, x + turn, y + r * 1.1, r * 0.18, r * 0.18), tongue, c.coin(0.4))
    c.paint(c.ellipse(x + turn, y + r * 0.28, r * 0.22, r * 0.16), c.pick(BLACK))
    for side in (-1, 1):
        _eye(c, x + turn + side * r * 0.38, y - r * 0.15, r * 0.13)


def dog_face(c: Canvas) -> None:
    _pose(c, 9.5, 16.5, 2.0, 20)
    coat = c.pick(FUR)
    _fur(c, c.ellipse(c.uniform(-0.4, 0.4), 1.4, 1.0, 1.0), coat)
    _dog_head(c, coat, 0, 0, c.uniform(0.7, 0.9))


def dog_sitting(c: Canvas) -> None:
    _pose(c, 8.5, 14.5)
    coat = c.pick(FUR)
    c.paint(c.limb(-0.35, 1.0, -0.8, c.uniform(0.3, 0.8), 0.1, 0.06), coat * 0.85)
    _fur(c, np.minimum(c.ellipse(-0.05, 0.65, 0.5, 0.55), c.ellipse(0.1, 0.15, 0.38, 0.5)), coat)
    for x in (-0.02, 0.32):
        c.paint(c.limb(x, 0.3, x + 0.03, 1.1, 0.12, 0.11), coat * 1.05)
    _dog_head(c, coat, c.uniform(0, 0.25), -0.5, 0.4)


def dog_standing(c: Canvas) -> None:
    _pose(c, 9.5, 14.5)
    coat = _walker(c, FUR, 0.5, 0.3, c.uniform(0.35, 0.85), 0.1)
    c.paint(c.limb(-0.7, -0.15, -0.95, c.uniform(-0.7, 0.2), 0.09, 0.06), coat * 0.9)
    front = c.coin(0.4)
    y = c.uniform(-0.5, -0.2)
    head = np.minimum(
        np.minimum(c.limb(0.5, -0.05, 0.72, y, 0.24, 0.2), c.ellipse(0.78, y, 0.26, 0.24)),
        c.limb(0.8, y + 0.05, c.uniform(1.05, 1.25), y + 0.12, 0.15, 0.11),
    )
    c.paint(head, coat)
    c.paint(c.ellipse(1.22, y + 0.06, 0.08, 0.07), c.pick(BLACK), 1 - front)
    c.paint(c.limb(0.68, y - 0.12, 0.62, y + 0.25, 0.09, 0.12), coat * 0.65)
    _eye(c, 0.88, y - 0.05, 0.05)


# --- deer ----------------------------------------------------------------------------------------
def _antlers(c: Canvas, x, y, size, lean, opacity) -> None:
    colour = c.pick(palette("5a4530 7a6045 a58a65 3a2c20"))
    for side in (-1, 1):
        bend, tip = x + side * size * 0.45 + lean, x + side * size * c.uniform(0.2, 0.7) + lean
        mid, top = y - size * 0.5, y - size
        c.paint(c.limb(x, y, bend, mid, 0.05, 0.04), colour, opacity)
        c.paint(c.limb(bend, mid, tip, top, 0.045, 0.03), colour, opacity)
        c.paint(c.limb(bend, mid, bend + side * size * 0.35, mid - size * 0.35, 0.04, 0.03), colour, opacity)


def deer_standing(c: Canvas) -> None:
    _pose(c, 9, 14)
    coat = _walker(c, DEER, 0.5, 0.25, c.uniform(0.65, 1.0), 0.055)
    c.paint(c.ellipse(-0.78, -0.05, 0.1, 0.16), c.pick(PALE), 0.8)
    x, y = c.uniform(0.7, 1.0), c.uniform(-0.95, -0.3)
    _antlers(c, x, y - 0.1, c.uniform(0.4, 0.75), -0.1, c.coin(0.6))
    c.paint(c.limb(0.5, -0.05, x, y, 0.2, 0.1), coat)
    c.paint(c.limb(x - 0.05, y - 0.05, x - 0.25, y - 0.2, 0.07, 0.04), coat * 0.8)
    c.paint(c.limb(x, y, x + 0.3, y + 0.12, 0.13, 0.07), coat * 0.95)
    _eye(c, x + 0.06, y - 0.03, 0.04)


def deer_head(c: Canvas) -> None:
    _pose(c, 10.5, 16.5, 3.0)
    coat = c.pick(DEER)
    c.paint(c.limb(c.uniform(-0.4, 0.1), 1.5, 0, 0.1, 0.6, 0.28), coat * 0.85)
    _antlers(c, 0, -0.35, c.uniform(0.7, 1.1), 0.0, c.coin(0.7))
    for side in (-1, 1):
        c.paint(c.limb(side * 0.2, -0.2, side * 0.6, -0.35, 0.1, 0.06), coat * 0.8)
    turn = c.uniform(-0.15, 0.25)
    c.paint(c.limb(0, -0.1, turn, 0.5, 0.28, 0.16), coat)
    c.paint(c.ellipse(turn, 0.58, 0.14, 0.1), c.pick(BLACK), 0.8)
    for side in (-1, 1):
        _eye(c, side * 0.2, 0.0, 0.06)


def deer_lying(c: Canvas) -> None:
    _pose(c, 9.5, 14.5)
    coat = c.pick(DEER)
    _fur(c, c.ellipse(-0.2, 0.4, 0.85, 0.36), coat, 0.3)
    c.paint(c.limb(0.1, 0.65, 0.7, 0.7, 0.08, 0.06), coat * 0.7)
    x, y = c.uniform(0.4, 0.7), c.uniform(-0.5, -0.2)
    _antlers(c, x, y - 0.1, c.uniform(0.4, 0.7), -0.1, c.coin(0.5))
    c.paint(c.limb(0.4, 0.3, x, y, 0.2, 0.11), coat)
    c.paint(c.limb(x, y, x - 0.25, y - 0.15, 0.07, 0.04), coat * 0.8)
    c.paint(c.limb(x, y, x + 0.28, y + 0.12, 0.14, 0.08), coat * 0.95)
    _eye(c, x + 0.06, y - 0.02, 0.04)


# --- horse ---------------------------------------------------------------------------------------
def horse_standing(c: Canvas) -> None:
    _pose(c, 9, 14)
    hair = c.pick(FUR)
    swing = c.uniform(-1.1, -0.75)
    c.paint(c.limb(-0.7, -0.1, swing, c.uniform(0.3, 0.9), 0.08, 0.13), hair)
    coat = _walker(c, FUR, 0.5, 0.32, c.uniform(0.6, 0.9), 0.08)
    x, y = c.uniform(0.75, 1.0), c.uniform(-0.8, 0.1)
    c.paint(c.limb(0.5, -0.1, x, y, 0.3, 0.16), coat)
    c.paint(c.limb(0.35, -0.25, x - 0.12, y - 0.12, 0.12, 0.08), hair)
    c.paint(c.limb(x, y, x + 0.3, y + 0.3, 0.16, 0.1), coat * 0.95)
    c.paint(c.limb(x - 0.05, y - 0.1, x - 0.02, y - 0.26, 0.06, 0.03), coat * 0.8)
    _rider(c, c.coin(0.25))


def _rider(c: Canvas, there) -> None:
    c.paint(c.limb(0.05, -0.2, 0.2, 0.4, 0.1, 0.08), c.pick(FUR), there)
    c.paint(c.limb(0.0, -0.85, 0.0, -0.3, 0.16, 0.15), c.pick(FEATHERS), there)
    c.paint(c.ellipse(0.03, -1.12, 0.13, 0.15), c.pick(FUR), there)


def horse_head(c: Canvas) -> None:
    _pose(c, 10.5, 16.5, 2.0)
    coat, hair = c.pick(FUR), c.pick(FUR)
    c.paint(c.limb(c.uniform(-1.0, -0.5), 1.4, 0, -0.3, 0.6, 0.3), coat * 0.9)
    c.paint(c.limb(-0.9, 0.7, -0.15, -0.5, 0.25, 0.18), hair)
    x, y = c.uniform(0.45, 0.75), c.uniform(0.3, 0.7)
    for ear in (-0.12, 0.08):
        c.paint(c.limb(ear, -0.5, ear + 0.02, -0.8, 0.08, 0.03), coat * 0.8)
    c.paint(c.limb(0, -0.3, x, y, 0.32, 0.18), coat)
    c.paint(c.limb(0.1, -0.45, x, y - 0.1, 0.06, 0.05), c.pick(PALE), c.coin(0.4))
    c.paint(c.ellipse(x + 0.08, y + 0.05, 0.05, 0.04), c.pick(BLACK), 0.8)
    _eye(c, 0.15, -0.25, 0.07)


# --- frog ----------------------------------------------------------------------------------------
def frog_side(c: Canvas) -> None:
    _pose(c, 10.5, 16.5, 3.0, 20)
    skin = c.pick(FROG)
    body = np.minimum(c.limb(-0.6, 0.3, 0.35, -0.1, 0.32, 0.38), c.ellipse(0.55, -0.2, 0.38, 0.28))
    _fur(c, body, skin, 0.6)
    c.paint(c.limb(0.1, 0.4, 0.75, 0.2, 0.1, 0.22), c.pick(PALE), 0.6 * c.coin(0.6))
    c.paint(c.limb(-0.75, 0.5, 0.0, 0.2, 0.16, 0.14), skin * 0.75)
    c.paint(c.limb(-0.75, 0.6, c.uniform(-0.3, 0.1), 0.72, 0.1, 0.07), skin * 0.7)
    c.paint(c.limb(0.45, 0.15, c.uniform(0.3, 0.7), 0.7, 0.1, 0.07), skin * 0.8)
    c.paint(c.ellipse(0.5, -0.42, 0.17, 0.16), skin * 1.1)
    _eye(c, 0.52, -0.43, 0.13, c.pick(EYES))
    c.paint(c.limb(0.55, -0.08, 0.9, -0.12, 0.025, 0.02), skin * 0.4)


def frog_front(c: Canvas) -> None:
    _pose(c, 9.5, 16.5, 2.0, 15)
    skin = c.pick(FROG)
    for side in (-1, 1):
        c.paint(c.limb(side * 0.6, 0.5, side * 1.0, c.uniform(0.4, 0.9), 0.26, 0.12), skin * 0.75)
        c.paint(c.limb(side * 0.35, 0.5, side * 0.5, 1.0, 0.12, 0.1), skin * 0.9)
    _fur(c, c.ellipse(0, 0.4, 0.75, 0.55), skin)
    _fur(c, c.ellipse(0, 0, 0.72, 0.42), skin)
    c.paint(c.ellipse(0, 0.55, 0.5, 0.3), c.pick(PALE), 0.6 * c.coin(0.6))
    iris = c.pick(EYES)
    for side in (-1, 1):
        c.paint(c.ellipse(side * 0.45, -0.36, 0.22, 0.2), skin * 1.1)
        _eye(c, side * 0.47, -0.37, 0.15, iris)
    c.paint(c.limb(-0.5, 0.12, 0.5, 0.12, 0.03, 0.03), skin * 0.4)


def frog_top(c: Canvas) -> None:
    c.place(c.uniform(10, 16), c.uniform(0, 360), c.uniform(-3, 3), c.uniform(-3, 3),
            stretch=c.uniform(0.9, 1.1), warp=c.uniform(0, 0.25))
    skin = c.pick(FROG)
    for side in (-1, 1):
        knee, foot = c.uniform(-0.5, 0.1), c.uniform(-1.1, -0.6)
        c.paint(c.limb(-0.45, side * 0.25, knee, side * 0.7, 0.14, 0.12), skin * 0.8)
        c.paint(c.limb(knee, side * 0.7, foot, side * 0.75, 0.11, 0.07), skin * 0.75)
        c.paint(c.limb(0.3, side * 0.25, c.uniform(0.4, 0.7), side * 0.7, 0.1, 0.06), skin * 0.8)
    _fur(c, np.minimum(c.ellipse(-0.1, 0, 0.6, 0.4), c.ellipse(0.4, 0, 0.36, 0.34)), skin, 0.7)
    iris = c.pick(EYES)
    for side in (-1, 1):
        _eye(c, 0.5, side * 0.27, 0.13, iris)


# --- bird ----------------------------------------------------------------------------------------
def bird_perched(c: Canvas) -> None:
    _pose(c, 8.5, 14.5)
    back, belly, beak = c.pick(FEATHERS), c.pick(np.concatenate([FEATHERS, PALE])), c.pick(BEAK)
    ground = c.uniform(0.7, 1.0)
    c.paint(c.limb(-3, ground, 3, ground + c.uniform(-0.3, 0.3), 0.09, 0.06), c.pick(FUR), c.coin(0.5))
    for hip in (-0.1, 0.1):
        c.paint(c.limb(hip, 0.3, hip + c.uniform(-0.1, 0.15), ground, 0.04, 0.03), beak * 0.8)
    slope = c.uniform(0.0, 0.35)
    c.paint(c.limb(-0.4, slope, -1.1, slope * 1.6 + c.uniform(-0.2, 0.2), 0.14, 0.09), back * 0.85)
    body = c.limb(-0.3, slope * 0.6, 0.3, -slope, 0.32, 0.28)
    c.paint(body, back)
    c.paint(np.maximum(body, c.ellipse(0.2, 0.3, 0.6, 0.4)), belly)
    c.paint(c.limb(-0.55, slope, 0.15, -0.1, 0.1, 0.2), back * c.uniform(0.6, 0.9)[:, None])
    y = -0.35 - slope
    c.paint(c.limb(0.42, y + 0.08, 0.42 + c.uniform(0.35, 0.6), y + 0.15, 0.1, 0.02), beak)
    c.paint(c.ellipse(0.35, y, 0.25, 0.23), c.pick(FEATHERS))
    _eye(c, 0.42, y - 0.04, 0.05)


def bird_flying(c: Canvas) -> None:
    c.place(c.uniform(9, 14), c.uniform(-40, 40), c.uniform(-3, 3), c.uniform(-3, 3), c.coin(),
            c.uniform(0.7, 1.1), c.uniform(0, 0.25))
    back = c.pick(FEATHERS)
    dark = back * c.uniform(0.6, 1.1)[:, None]
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
    _pose(c, 8.5, 13.5)
    back = c.pick(FEATHERS)
    wading = c.coin(0.7)
    for hip in (-0.15, 0.1):
        c.paint(c.limb(hip, 0.5, hip + c.uniform(-0.15, 0.15), 1.4, 0.05, 0.035), c.pick(BEAK), wading)
    c.paint(c.ellipse(-0.15, 0.3, 0.62, 0.36), back)
    c.paint(c.limb(-0.5, 0.2, -0.9, c.uniform(0.1, 0.5), 0.2, 0.06), back * 0.8)
    bend, top = c.uniform(0.3, 0.6), c.uniform(-1.0, -0.5)
    neck = c.pick(FEATHERS)
    c.paint(c.limb(0.3, 0.2, bend, top * 0.4, 0.15, 0.09), neck)
    c.paint(c.limb(bend, top * 0.4, 0.45, top, 0.09, 0.08), neck)
    c.paint(c.limb(0.5, top, 0.85, top + 0.08, 0.07, 0.02), c.pick(BEAK))
    c.paint(c.ellipse(0.48, top, 0.15, 0.13), neck)
    _eye(c, 0.52, top - 0.03, 0.04)


def bird_head(c: Canvas) -> None:
    _pose(c, 10.5, 16.5, 3.0)
    plumage = c.pick(FEATHERS)
    c.paint(c.limb(-0.2, 1.4, 0, 0.1, c.uniform(0.35, 0.8), 0.4), plumage * 0.85)
    c.paint(c.limb(0.3, 0.05, c.uniform(0.8, 1.2), c.uniform(0.1, 0.35), 0.2, 0.04), c.pick(BEAK))
    c.paint(c.ellipse(0, 0, 0.5, 0.45), plumage)
    _eye(c, 0.15, -0.1, 0.12, c.pick(EYES))
