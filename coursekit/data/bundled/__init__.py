"""The bundled set: 32x32 pictures of CIFAR-10's ten classes, drawn by code.

It needs no download and has no licence question, and it is made so that it teaches what CIFAR-10
teaches. It is not CIFAR-10 and must never be passed off as it.
"""

import numpy as np

from coursekit.data.bundled import animals, vehicles
from coursekit.data.bundled.canvas import Canvas
from coursekit.data.bundled.scenery import background, clutter, develop, foreground

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# class -> (views, the scenes it is seen in)
RECIPES = {
    "airplane": ((vehicles.airplane_side, vehicles.airplane_above, vehicles.airplane_front, vehicles.airplane_propeller),
                 "sky sky sky sky hills runway runway plain meadow sea"),
    "automobile": ((vehicles.automobile_side, vehicles.automobile_front, vehicles.automobile_corner),
                   "street street avenue plain desert meadow runway night clearing"),
    "bird": ((animals.bird_perched, animals.bird_flying, animals.bird_tall, animals.bird_head),
             "sky leaves lawn pond wood meadow ground plain shore"),
    "cat": ((animals.cat_face, animals.cat_sitting, animals.cat_walking),
            "room sofa sofa plain lawn night ground clearing leaves"),
    "deer": ((animals.deer_standing, animals.deer_standing, animals.deer_head, animals.deer_lying),
             "meadow clearing wood wood lawn leaves snow ground"),
    "dog": ((animals.dog_face, animals.dog_sitting, animals.dog_standing),
            "room sofa lawn plain meadow snow ground clearing night"),
    "frog": ((animals.frog_side, animals.frog_front, animals.frog_top),
             "leaves ground ground lawn pond plain wood sofa night"),
    "horse": ((animals.horse_standing, animals.horse_standing, animals.horse_head),
              "meadow meadow clearing desert wood lawn street plain"),
    "ship": ((vehicles.ship_side, vehicles.ship_boat, vehicles.ship_sail, vehicles.ship_bow),
             "sea sea sea sea shore pond sky plain"),
    "truck": ((vehicles.truck_side, vehicles.truck_front, vehicles.truck_corner),
              "street street avenue runway desert meadow plain hills"),
}


def draw(name: str, n: int, seed) -> np.ndarray:
    """`n` pictures of one class: uint8 (n, 3, 32, 32); `seed` is an int or a list of ints."""
    views, scenes = RECIPES[name]
    parts = []
    for k, view in enumerate(views):
        count = n * (k + 1) // len(views) - n * k // len(views)
        c = Canvas(count, np.random.RandomState([*np.atleast_1d(seed), k]))
        background(c, scenes)
        clutter(c, 3)
        view(c)
        foreground(c)
        parts.append(develop(c))
    return np.concatenate(parts)


def load_arrays(seed: int = 0):
    order = np.random.RandomState(seed)
    sets = {"train": ([], []), "test": ([], [])}
    for label, name in enumerate(CLASS_NAMES):
        pics = draw(name, 1200, [seed, label])
        pics = pics[np.argsort(order.random_sample(1200), kind="stable")]
        for s, sl in (("train", slice(0, 1000)), ("test", slice(1000, 1200))):
            sets[s][0].append(pics[sl])
            sets[s][1].append(np.full(len(pics[sl]), label, np.int64))
    out = []
    for s in ("train", "test"):
        x, y = np.concatenate(sets[s][0]), np.concatenate(sets[s][1])
        p = np.argsort(order.random_sample(len(y)), kind="stable")
        out += [x[p], y[p]]
    return tuple(out)
