"""Wrong answers to how wide a net may be."""

import math

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references_residual import widest

WIDEST = "widest"


def _between(count, budget, fits, too_wide, over=lambda a, b: a > b):
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        fits, too_wide = (fits, middle) if over(count(middle), budget) else (middle, too_wide)
    return fits


@animal(WIDEST, "a net just over the budget")
def one_too_wide(count, budget):
    """it is the first width that does not fit; the one before it was asked for."""
    return widest(count, budget) + 1


@animal(WIDEST, "right, unless a width meets the budget exactly")
def strictly_below(count, budget):
    """a width that meets the budget exactly is left out; it fits."""
    return widest(count, budget - 1)


@animal(WIDEST, "minutes of counting")
def one_after_another(count, budget):
    """widths are tried one after another; doubling and then halving needs a few dozen calls."""
    width = 0
    while count(width + 1) <= budget:
        width += 1
    return width


@animal(WIDEST, "powers of two only")
def never_halved(count, budget):
    """it doubles the width and stops there: the answer may lie between two powers of two."""
    width = 1
    while count(2 * width) <= budget:
        width *= 2
    return width if count(1) <= budget else 0


@animal(WIDEST, "a net over the budget, where even the narrowest is")
def at_least_one(count, budget):
    """it is never 0, though even a width of 1 may not fit."""
    return max(1, widest(count, budget))


@animal(WIDEST, "'got 0, needed a whole number of at least 1'")
def begins_at_zero(count, budget):
    """it asks for the size of a net of width 0; the narrowest has a width of 1."""
    width = 0
    while count(width) <= budget:
        width = 2 * width or 1
    return _between(count, budget, width // 2, width)


@animal(WIDEST, "right for nets of convolutions, roughly")
def square_root_of_the_budget(count, budget):
    """it supposes that the size grows with the square of the width, and takes a root."""
    return math.isqrt(budget // count(1))


@animal(WIDEST, "widths far too small")
def in_proportion(count, budget):
    """it supposes that the size grows in proportion to the width, and divides."""
    return budget // count(1)


@animal(WIDEST, "right up to a width of 1024")
def fixed_upper_end(count, budget):
    """it never looks beyond a width of 1024."""
    return _between(count, budget, 0, 1025)


@animal(WIDEST, "right where the size grows faster than the width")
def upper_end_from_the_first(count, budget):
    """the upper end is budget / count(1); sizes may grow more slowly than in proportion."""
    return _between(count, budget, 0, budget // count(1) + 1)


@animal(WIDEST, "now and then a net over the budget")
def nearest(count, budget):
    """it is the width whose size is nearest to the budget, which may be above it."""
    width = widest(count, budget)
    if width == 0:
        return 0
    return width + (count(width + 1) - budget < budget - count(width))


@animal(WIDEST, "a number in the hundred thousands")
def size_returned(count, budget):
    """it returns the size of the net; the width was asked for."""
    width = widest(count, budget)
    return count(width) if width else 0


@animal(WIDEST, "one too narrow every other time")
def last_step_forgotten(count, budget):
    """halving stops while two widths are left, so that the answer may be one too small."""
    fits, too_wide = 0, 1
    while count(too_wide) <= budget:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 2:
        middle = (fits + too_wide) // 2
        fits, too_wide = (middle, too_wide) if count(middle) <= budget else (fits, middle)
    return fits


@animal(WIDEST, "it never ends")
def never_ends(count, budget):
    """the interval stops shrinking: fits = middle does not move where middle is fits."""
    fits, too_wide = 0, 1
    while count(too_wide) <= budget:
        too_wide *= 2
    while fits < too_wide:
        middle = max(1, (fits + too_wide) // 2)
        fits, too_wide = (middle, too_wide) if count(middle) <= budget else (fits, middle)
    return fits


@animal(WIDEST, "'got 1.5': layers have whole widths")
def divided_with_a_fraction(count, budget):
    """the middle is found with /, which makes a fraction; // stays whole."""
    fits, too_wide = 0, 1
    while count(too_wide) <= budget:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 1:
        middle = (fits + too_wide) / 2
        fits, too_wide = (middle, too_wide) if count(middle) <= budget else (fits, middle)
    return fits
