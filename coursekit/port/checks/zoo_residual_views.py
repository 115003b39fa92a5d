"""Wrong ways to look at a picture six times."""

import torch
from torch.nn import functional as F

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references_residual import six_view_logits

VIEWS = "six_view_logits"


@torch.no_grad()
def _six(net, x, *, mode=False, by=((1, 1), (-1, -1)), border="reflect", **bugs):
    """Six views, with a place for each bug; ``by`` is (up, left) of each shift, in pixels."""
    bug = {
        "flip": lambda v: v.flip(3),
        "weights": (1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8),
        "vote": lambda z: z,
        "shift": lambda v, up, left: _shifted(v, up, left, border),
        "mirror_first": False,
    } | bugs
    before = net.training
    if mode is not None:
        net.train(mode)
    shift, flip = bug["shift"], bug["flip"]
    views = [x, flip(x)]
    for up, left in by:
        last = shift(flip(x), up, left) if bug["mirror_first"] else flip(shift(x, up, left))
        views += [shift(x, up, left), last]
    out = sum(w * bug["vote"](net(v)) for w, v in zip(bug["weights"], views, strict=True))
    net.train(before)
    return out


def _shifted(v, up, left, border):
    height, width = v.shape[2:]
    wide = F.pad(v, (2, 2, 2, 2), mode=border)
    return wide[:, :, 2 + up : 2 + up + height, 2 + left : 2 + left + width]


@animal(VIEWS, "hard to tell: the shifts weigh two thirds")
def all_six_alike(net, x):
    """all six views weigh alike; the unshifted two weigh half of it."""
    return _six(net, x, weights=(1 / 6,) * 6)


@animal(VIEWS, "hard to tell: the shifts weigh little")
def pairs_exchanged(net, x):
    """the weights are exchanged: the unshifted two weigh least."""
    return _six(net, x, weights=(1 / 8, 1 / 8, 3 / 16, 3 / 16, 3 / 16, 3 / 16))


@animal(VIEWS, "scores six times too large")
def added_up(net, x):
    """logits are added up; a mean was asked for."""
    return _six(net, x, weights=(1,) * 6)


@animal(VIEWS, "scores twice too large")
def halves_forgotten(net, x):
    """the two means are added; each weighs one half."""
    return 2 * six_view_logits(net, x)


@animal(VIEWS, "less gained than could be")
def two_views_only(net, x):
    """there are no shifts: it is the mean of a picture and its mirror image."""
    return _six(net, x, weights=(1 / 2, 1 / 2, 0, 0, 0, 0))


@animal(VIEWS, "less gained than could be")
def shifts_only(net, x):
    """the unshifted picture and its mirror image are not looked at."""
    return _six(net, x, weights=(0, 0, 1 / 4, 1 / 4, 1 / 4, 1 / 4))


@animal(VIEWS, "less gained than could be")
def shifts_not_mirrored(net, x):
    """the shifts are looked at without their mirror images."""
    return _six(net, x, weights=(1 / 4, 1 / 4, 1 / 4, 0, 1 / 4, 0))


@animal(VIEWS, "less gained than could be")
def nothing_mirrored(net, x):
    """there are no mirror images."""
    return _six(net, x, weights=(1 / 2, 0, 1 / 4, 0, 1 / 4, 0))


@animal(VIEWS, "hard to tell: other shifts")
def other_diagonal(net, x):
    """shifts go up-right and down-left; up-left and down-right were asked for."""
    return _six(net, x, by=((1, -1), (-1, 1)))


@animal(VIEWS, "hard to tell: other shifts")
def straight_shifts(net, x):
    """shifts go straight up and straight left; diagonal ones were asked for."""
    return _six(net, x, by=((1, 0), (0, 1)))


@animal(VIEWS, "hard to tell: one shift counts twice")
def one_shift_twice(net, x):
    """both shifts go the same way; one goes up-left, the other down-right."""
    return _six(net, x, by=((1, 1), (1, 1)))


@animal(VIEWS, "hard to tell: other shifts")
def mirrored_before_shifted(net, x):
    """the mirror image is shifted; the shifted picture should be mirrored."""
    return _six(net, x, mirror_first=True)


@animal(VIEWS, "less gained than could be")
def two_pixels(net, x):
    """shifts go by two pixels; one was asked for."""
    return _six(net, x, by=((2, 2), (-2, -2)))


@animal(VIEWS, "dark edges")
def zeros_at_the_border(net, x):
    """what comes in at the border is 0; it should be the reflection."""
    return _six(net, x, border="constant")


@animal(VIEWS, "hard to tell: edges are repeated")
def repeated_border(net, x):
    """the border is repeated; a reflection leaves the border itself out."""
    return _six(net, x, border="replicate")


@animal(VIEWS, "a strip of the other side at the edge")
def rolled(net, x):
    """pictures are rolled: what leaves on one side comes in on the other."""
    return _six(net, x, shift=lambda v, up, left: v.roll((-up, -left), dims=(2, 3)))


@animal(VIEWS, "pictures upside down, and less accuracy")
def upside_down(net, x):
    """pictures are turned upside down; a mirror image changes left and right."""
    return _six(net, x, flip=lambda v: v.flip(2))


@animal(VIEWS, "colours in the wrong order, or no change for grey pictures")
def channels_reversed(net, x):
    """the channels are reversed; a mirror image reverses the columns."""
    return _six(net, x, flip=lambda v: v.flip(1))


@animal(VIEWS, "numbers between 0 and 1")
def probabilities(net, x):
    """probabilities are averaged; logits were asked for."""
    return _six(net, x, vote=lambda z: z.softmax(dim=1))


@animal(VIEWS, "an error where logits are needed")
def labels(net, x):
    """the most likely class is returned; logits were asked for."""
    return six_view_logits(net, x).argmax(dim=1)


@animal(VIEWS, "right, unless the net happens to be in training mode")
def mode_not_set(net, x):
    """net.eval() is never called: the mode is left as it is found."""
    return _six(net, x, mode=None)


@animal(VIEWS, "a picture's scores depend on the others in the batch")
def in_training_mode(net, x):
    """the net is in training mode: batch norm uses the batch."""
    return _six(net, x, mode=True)


@animal(VIEWS, "batch norm's statistics stand still from the second epoch on")
def left_in_evaluation_mode(net, x):
    """the net is left in evaluation mode, whatever its mode was."""
    logits = six_view_logits(net, x)
    net.eval()
    return logits


@animal(VIEWS, "dropout and batch statistics wherever the net is used next")
def always_left_in_training_mode(net, x):
    """the net is left in training mode, whatever its mode was."""
    logits = six_view_logits(net, x)
    net.train()
    return logits


@animal(VIEWS, "six times the memory, or out of memory")
def with_gradients(net, x):
    """the graph is recorded; torch.no_grad() spares it."""
    return _six.__wrapped__(net, x)


@animal(VIEWS, "six times the memory, and nothing that says so")
def detached_in_the_end(net, x):
    """the graph is recorded and only then cut off (.detach()); torch.no_grad() spares it."""
    return _six.__wrapped__(net, x).detach()


@animal(VIEWS, "'element 0 of tensors does not require grad' in the next step")
def gradients_switched_off_for_good(net, x):
    """gradients are switched off and never on again."""
    logits = six_view_logits(net, x)
    torch.set_grad_enabled(False)
    return logits


@animal(VIEWS, "the pictures are mirrored from then on")
def pictures_overwritten(net, x):
    """the mirror image is written into x."""
    logits = six_view_logits(net, x)
    x.copy_(x.flip(3))
    return logits
