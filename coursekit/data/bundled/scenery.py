"""What pictures of all classes share: backgrounds, clutter, light, blur and grain."""

from __future__ import annotations

import numpy as np

from .canvas import SIZE, Canvas, palette

SKY = palette("7fb2e5 5a8fd0 a9c9e8 c3d4e0 d8dde2 8f9fb5 e8c8a0 49659a f0f0f4")
WATER = palette("3f6f9f 2a5578 5a8a9a 7796a8 35606a 8aa5b5 4a6a8a")
GRASS = palette("5f9040 79a04a 4a7a35 8f9a50 a59a5a 6a8a3a b0a070")
LEAVES = palette("2f5a2a 46702f 1f3a20 5f7a3a 3a4a25 6f8f45 57482f")
EARTH = palette("8a6f4f 6f5538 a58a65 5a4530 b59f80 7f7060")
ROAD = palette("7f7f82 5f6065 9a9a9a 4a4a50 a5a09a b5b5b8")
WALL = palette("c8b89f a08f80 d8d0c5 8f7560 b5a0a0 6a6f85 e5e0d5 7a4a3a 506a5a")
FLOOR = palette("9f7a55 b8a58f 7a5a45 c5b5a5 8a3a35 5a6580 d5cfc5 4a4040")
PLAIN = palette("ffffff f5f5f5 e8e8ea d0d0d5 fafafa")
SNOW = palette("e8edf2 d5dde8 c5d0dd f5f7fa")
DARK = palette("1a1a20 252528 30302f 151a25 3a302a")
ANY = np.concatenate([SKY, GRASS, LEAVES, EARTH, ROAD, WALL, FLOOR, DARK])

# name: (upper colours, texture, lower colours, texture, horizon from .. to in pixels from the top)
_SCENES = {
    "sky": (SKY, 0.6, SKY, 0.6, 40, 41),
    "hills": (SKY, 0.5, LEAVES, 0.8, 20, 31),
    "runway": (SKY, 0.4, ROAD, 0.4, 14, 26),
    "meadow": (SKY, 0.4, GRASS, 0.7, 5, 22),
    "clearing": (LEAVES, 1.0, GRASS, 0.7, 5, 24),
    "wood": (LEAVES, 1.2, EARTH, 0.9, 10, 28),
    "leaves": (LEAVES, 1.2, LEAVES, 1.2, 40, 41),
    "lawn": (GRASS, 0.8, GRASS, 0.8, 40, 41),
    "ground": (EARTH, 1.0, EARTH, 1.0, 40, 41),
    "sea": (SKY, 0.5, WATER, 0.6, 6, 22),
    "shore": (LEAVES, 0.8, WATER, 0.6, 5, 18),
    "pond": (WATER, 0.7, WATER, 0.7, 40, 41),
    "street": (WALL, 0.9, ROAD, 0.4, 8, 26),
    "avenue": (LEAVES, 1.0, ROAD, 0.4, 8, 26),
    "desert": (SKY, 0.4, EARTH, 0.6, 8, 24),
    "room": (WALL, 0.6, FLOOR, 0.6, 10, 30),
    "sofa": (FLOOR, 0.8, WALL, 0.8, 8, 30),
    "plain": (PLAIN, 0.3, PLAIN, 0.3, 20, 41),
    "snow": (SKY, 0.4, SNOW, 0.4, 5, 20),
    "night": (DARK, 0.8, DARK, 0.8, 15, 41),
}


def background(c: Canvas, scenes: str) -> None:
    """Fill the canvases with one of the named scenes each ("sea sea pond": sea twice as often)."""
    rows = [_SCENES[name] for name in scenes.split()]
    which = c.index(len(rows))
    low, high, *textures = (
        np.array([row[k] for row in rows], np.float32)[which].reshape(-1, 1, 1)
        for k in (4, 5, 1, 3)
    )
    horizon = c.uniform(low, high) - SIZE // 2 + c.uniform(-0.1, 0.1) * c.x
    lower = np.minimum(np.maximum((c.y - horizon) / c.softness + 0.5, 0), 1)
    halves = []
    for half, texture in zip((0, 2), textures, strict=True):
        palettes: list = [row[half] for row in rows]
        first, second = (_pick_from(c, palettes, which) for _ in range(2))
        mix = c.texture() * texture * 0.6 + 0.4
        halves.append(first + (second - first) * mix[:, None])
    c.rgb[:] = halves[0] + (halves[1] - halves[0]) * lower[:, None]


def _pick_from(c: Canvas, palettes: list[np.ndarray], which: np.ndarray) -> np.ndarray:
    """(n, 3, 1, 1): a colour for each picture, out of the palette that `which` names."""
    lengths = np.array([len(p) for p in palettes])
    table = np.stack([np.resize(p, (lengths.max(), 3)) for p in palettes])
    chosen = table[which, c.index(lengths[which])]
    return chosen.reshape(-1, 3, 1, 1) + c.tint()


def clutter(c: Canvas, chance: float = 0.4) -> None:
    """Things behind the object: a blob, a post and a box of any colour."""
    for shape in (
        lambda: c.ellipse(0, 0, c.uniform(0.4, 1.4), c.uniform(0.4, 1.2)),
        lambda: c.limb(0, -1, c.uniform(-1, 1), 3, 0.12, c.uniform(0.05, 0.3)),
        lambda: c.box(c.uniform(-1.5, -0.3), c.uniform(-1.5, 0), c.uniform(0.3, 1.5), 2.5),
    ):
        x, y = c.uniform(-16, 16), c.uniform(-14, 14)
        c.place(c.uniform(3, 9), c.uniform(-20, 20), x, y, warp=0.2)
        c.paint(shape(), c.pick(ANY), c.coin(chance) * c.uniform(0.5, 1))


def foreground(c: Canvas, chance: float = 0.15) -> None:
    """Things in front of the object: stalks, and a blob from the edge of the picture."""
    for _ in range(2):
        c.place(1.0, 0.0, c.uniform(-15, 15), 16.0)
        stalk = c.limb(0, 0, c.uniform(-9, 9), c.uniform(-26, -6), c.uniform(0.6, 1.4), 0.3)
        c.paint(stalk, c.pick(GRASS, LEAVES, EARTH, ROAD), c.coin(chance))
    c.place(1.0, c.uniform(0, 360), 0.0, 0.0, warp=2.0)
    blob = c.ellipse(c.uniform(14, 19), 0, c.uniform(3, 8), c.uniform(4, 10))
    c.paint(blob, c.pick(ANY), c.coin(chance))


def develop(c: Canvas) -> np.ndarray:
    """Light, colour cast, exposure, blur and grain; then uint8 (n, 3, 32, 32)."""
    rgb = c.rgb
    grey = (rgb[:, :1] + rgb[:, 1:2] + rgb[:, 2:]) * np.float32(1 / 3)
    rgb = grey + c.shade(rgb - grey, 0.3, 1.0)
    rgb = rgb * (c.uniform(0.77, 1.22)[:, None] + c.tint())
    slope = c.uniform(-0.3, 0.3) * c.x / 16 + c.uniform(-0.3, 0.3) * c.y / 16
    rgb = rgb * (1 + slope + c.uniform(0.0, 0.15) * c.texture())[:, None]
    level = _level(rgb)
    exposure = 0.5 + 0.65 * (level - 0.5) + c.uniform(-0.08, 0.08)[:, None]
    rgb = exposure + c.shade(rgb - level, 0.9, 1.6)
    rgb = _blur(rgb, c.uniform(0, 0.35)[:, None])
    grain = (c.random.random_sample(rgb.shape) - 0.5).astype(np.float32)
    rgb = rgb + c.shade(grain, 0.0, 0.07)
    return np.floor(np.minimum(np.maximum(rgb, 0), 1) * 255 + 0.5).astype(np.uint8)


def _level(rgb: np.ndarray) -> np.ndarray:
    """(n, 1, 1, 1): mean brightness, added up in an order that is the same on every machine."""
    total = rgb[:, :1] + rgb[:, 1:2] + rgb[:, 2:]
    for half in (16, 8, 4, 2, 1):
        total = total[:, :, :half] + total[:, :, half:]
        total = total[:, :, :, :half] + total[:, :, :, half:]
    return total / np.float32(3 * SIZE * SIZE)


def _blur(rgb: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Mix every pixel with its neighbours above and below, left and right."""
    p = np.pad(rgb, ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    rgb = rgb + amount * ((p[:, :, 2:] + p[:, :, :-2]) * 0.5 - rgb)
    p = np.pad(rgb, ((0, 0), (0, 0), (0, 0), (1, 1)), "edge")
    return rgb + amount * ((p[:, :, :, 2:] + p[:, :, :, :-2]) * 0.5 - rgb)
