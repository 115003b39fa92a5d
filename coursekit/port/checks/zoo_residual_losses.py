"""Wrong soft targets, and wrong punishments."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from coursekit.checks.zoo.animal import animal, named
from coursekit.port.checks.references_residual import l1_penalty, smoothed_cross_entropy

SMOOTH, L1 = "smoothed_cross_entropy", "l1_penalty"


# --- label smoothing ------------------------------------------------------------------------


def _loss(logits, y, targets, log_p=lambda z: z.log_softmax(dim=1)):
    return -(targets * log_p(logits)).sum(dim=1).mean()


def _targets(logits, y, right, others):
    hot = F.one_hot(y, logits.shape[1]).to(logits)
    return hot * right + (1 - hot) * others


@animal(SMOOTH, "other losses than PyTorch's, by a little")
def shared_among_the_others(logits, y, s):
    """s is shared among the wrong classes, s / (classes - 1); every class gets s / classes."""
    return _loss(logits, y, _targets(logits, y, 1 - s, s / max(1, logits.shape[1] - 1)))


@animal(SMOOTH, "targets that do not sum to 1")
def nothing_more_for_the_right_class(logits, y, s):
    """the right class gets 1 - s alone; s / classes comes on top, as for every class."""
    return _loss(logits, y, _targets(logits, y, 1 - s, s / logits.shape[1]))


@animal(SMOOTH, "targets that sum to more than 1")
def right_class_keeps_one(logits, y, s):
    """the right class keeps 1 and gets s / classes; it should give s away first."""
    return _loss(logits, y, _targets(logits, y, 1 + s / logits.shape[1], s / logits.shape[1]))


@animal(SMOOTH, "targets that sum to more than 1, by far")
def not_divided_by_the_classes(logits, y, s):
    """every class gets s, or s times a sum over classes; it should get s / classes."""
    return _loss(logits, y, _targets(logits, y, 1, s))


@animal(SMOOTH, "losses that depend on the batch size")
def divided_by_the_batch(logits, y, s):
    """s is divided by the number of rows; it should be by that of classes."""
    n = len(y)
    return _loss(logits, y, _targets(logits, y, 1 - s + s / n, s / n))


@animal(SMOOTH, "a net that learns next to nothing")
def weights_exchanged(logits, y, s):
    """s and 1 - s are exchanged."""
    return smoothed_cross_entropy(logits, y, 1 - s)


@animal(SMOOTH, "no effect")
def smoothing_ignored(logits, y, s):
    """the smoothing is not used."""
    return F.cross_entropy(logits, y)


@animal(SMOOTH, "no effect of the argument")
def always_a_tenth(logits, y, s):
    """the smoothing is always 0.1, whatever was asked for."""
    return F.cross_entropy(logits, y, label_smoothing=0.1)


@animal(SMOOTH, "steps that grow with the batch")
def summed(logits, y, s):
    """losses are added up over the batch; their mean was asked for."""
    return smoothed_cross_entropy(logits, y, s) * len(y)


@animal(SMOOTH, "'grad can be implicitly created only for scalar outputs'")
def one_for_each_row(logits, y, s):
    """there is a loss for each row; their mean was asked for."""
    return F.cross_entropy(logits, y, label_smoothing=s, reduction="none")


@animal(SMOOTH, "a loss ten times too small, and learning as slow")
def mean_over_classes_too(logits, y, s):
    """the mean is taken over classes, too; they should be added up."""
    return smoothed_cross_entropy(logits, y, s) / logits.shape[1]


@animal(SMOOTH, "a reward for certainty where a punishment was meant")
def even_part_with_the_wrong_sign(logits, y, s):
    """the even part has the wrong sign."""
    log_p = logits.log_softmax(dim=1)
    return (1 - s) * F.nll_loss(log_p, y) + s * log_p.mean()


@animal(SMOOTH, "other losses than PyTorch's, with the same gradients")
def divergence(logits, y, s):
    """the entropy of the target is subtracted (a KL divergence); cross-entropy keeps it."""
    even = s / logits.shape[1]
    targets = _targets(logits, y, 1 - s + even, even)
    return _loss(logits, y, targets) - torch.special.entr(targets).sum(dim=1).mean()


@animal(SMOOTH, "nan or inf once the net is sure")
def logarithm_of_a_softmax(logits, y, s):
    """the logarithm is taken of softmax, which is 0 for small logits; log_softmax is stable."""
    even = s / logits.shape[1]
    targets = _targets(logits, y, 1 - s + even, even)
    return _loss(logits, y, targets, lambda z: z.softmax(dim=1).log())


@animal(SMOOTH, "losses that are capped once the net is sure of the wrong class")
def logarithm_kept_from_zero(logits, y, s):
    """a small number is added inside the logarithm; log_softmax needs none and stays right."""
    even = s / logits.shape[1]
    targets = _targets(logits, y, 1 - s + even, even)
    return _loss(logits, y, targets, lambda z: (z.softmax(dim=1) + 1e-8).log())


@animal(SMOOTH, "nan for logits beyond 700")
def exponential_without_shift(logits, y, s):
    """exp is taken of the logits as they are, which overflows."""
    even = s / logits.shape[1]
    targets = _targets(logits, y, 1 - s + even, even)
    return _loss(logits, y, targets, lambda z: z - z.exp().sum(dim=1, keepdim=True).log())


@animal(SMOOTH, "inf for rows far below the largest")
def shifted_by_the_largest_of_all(logits, y, s):
    """the largest of the whole batch is subtracted; each row needs its own."""

    def log_p(z):
        z = z - z.max()
        return z - z.exp().sum(dim=1, keepdim=True).log()

    even = s / logits.shape[1]
    return _loss(logits, y, _targets(logits, y, 1 - s + even, even), log_p)


@animal(SMOOTH, "learning that stops early")
def softmax_before_the_loss(logits, y, s):
    """softmax is applied before a loss that does that itself."""
    return F.cross_entropy(logits.softmax(dim=1), y, label_smoothing=s)


@animal(SMOOTH, "rows compete where classes should")
def softmax_over_the_batch(logits, y, s):
    """softmax goes over the rows; it should go over the classes."""
    even = s / logits.shape[1]
    targets = _targets(logits, y, 1 - s + even, even)
    return _loss(logits, y, targets, lambda z: z.log_softmax(dim=0))


@animal(SMOOTH, "'does not require grad' in the backward pass")
def detached(logits, y, s):
    """the loss is taken off the graph."""
    return smoothed_cross_entropy(logits, y, s).detach()


# --- L1 -------------------------------------------------------------------------------------


def _weights(net):
    return [p for p in net.parameters() if p.requires_grad and p.ndim >= 2]


def _penalty(weights, strength, size=lambda w: w.abs().sum()):
    return strength * torch.stack([size(w) for w in weights]).sum()


@animal(L1, "weights that get small and never 0")
def squares(net, strength):
    """it is a sum of squares, L2; L1 has absolute values."""
    return _penalty(_weights(net), strength, lambda w: w.square().sum())


@animal(L1, "filters that vanish as a whole")
def lengths(net, strength):
    """it is a sum of lengths (norms without a 1); L1 has absolute values."""
    return _penalty(_weights(net), strength, lambda w: w.norm())


@animal(L1, "half the punishment")
def halved(net, strength):
    """there is a factor 1/2, as L2 has it by custom; L1 has none."""
    return l1_penalty(net, strength / 2)


@animal(L1, "no effect of the argument")
def strength_forgotten(net, strength):
    """strength is not used."""
    return l1_penalty(net, 1.0)


@animal(L1, "next to no effect, least on large layers")
def means(net, strength):
    """it takes the mean of each weight's entries; it should add them up."""
    return _penalty(_weights(net), strength, lambda w: w.abs().mean())


@animal(L1, "a loss below zero")
def sum_without_absolute_values(net, strength):
    """weights are added up as they are; absolute values were asked for."""
    return _penalty(_weights(net), strength, torch.sum)


@animal(L1, "next to no effect: positive and negative weights cancel")
def absolute_value_of_the_sum(net, strength):
    """the absolute value is taken of sums; it should be taken of every weight."""
    return _penalty(_weights(net), strength, lambda w: w.sum().abs())


@animal(L1, "nan in every parameter, once a weight is 0")
def root_of_the_square(net, strength):
    """|w| is computed as a root of w², whose gradient at 0 is nan."""
    return _penalty(_weights(net), strength, lambda w: w.square().sqrt().sum())


@animal(L1, "batch norm's scales shrink, and biases")
def all_parameters(net, strength):
    """biases and norms' scales are punished too."""
    return _penalty([p for p in net.parameters() if p.requires_grad], strength)


@animal(L1, "batch norm's scales shrink")
def norms_too(net, strength):
    """all but biases are punished, and so are norms' scales; they have one axis."""
    named = [p for n, p in net.named_parameters() if p.requires_grad and "bias" not in n]
    return _penalty(named, strength)


@animal(L1, "right until a net has another norm than batch norm")
def all_norms_but_batch_norm(net, strength):
    """batch norm is left out by its type; other norms and PReLU have one axis as well."""
    layers = [m for m in net.modules() if not isinstance(m, _BatchNorm)]
    chosen = [w for m in layers if isinstance(w := getattr(m, "weight", None), nn.Parameter)]
    return _penalty({w: 0 for w in chosen if w.requires_grad}, strength)


@animal(L1, "convolutions that are never punished")
def linear_layers_only(net, strength):
    """only linear layers are punished."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    chosen = {m.weight: 0 for m in layers if m.weight.requires_grad}
    return _penalty(chosen, strength) if chosen else l1_penalty(net, strength) * 0


def _of_two_kinds(net, strength, *, frozen, twice):
    """Linear and Conv2d by their type, with places for two more bugs."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    chosen = [m.weight for m in layers if frozen or m.weight.requires_grad]
    chosen = chosen if twice else list(dict.fromkeys(chosen))
    return _penalty(chosen, strength) if chosen else l1_penalty(net, strength) * 0


_BY_TYPE = "only weights of Linear and Conv2d are punished; other layers have some of two axes too"
for _name, _more, _frozen, _twice in (
    ("", "", False, False),
    (" frozen too", "; and frozen ones are, which cannot change", True, False),
    (" shared twice", "; and one that two layers share counts twice", False, True),
    (" all of them", "; and frozen ones are, and shared ones twice", True, True),
):

    def _two_kinds(net, strength, frozen=_frozen, twice=_twice):
        return _of_two_kinds(net, strength, frozen=frozen, twice=twice)

    animal(L1, "embeddings and sequences that are never punished")(
        named(_two_kinds, f"linear and conv2d{_name}", _BY_TYPE + _more)
    )


@animal(L1, "linear layers that are never punished")
def filters_only(net, strength):
    """only weights of more than two axes are punished; two are enough."""
    chosen = [p for p in _weights(net) if p.ndim > 2]
    return _penalty(chosen, strength) if chosen else l1_penalty(net, strength) * 0


@animal(L1, "a number that does not move while the net learns")
def frozen_too(net, strength):
    """frozen parameters count; they cannot change, so they are left out."""
    return _penalty([p for p in net.parameters() if p.ndim >= 2], strength)


@animal(L1, "weights that are shared are punished twice")
def shared_twice(net, strength):
    """a weight that two layers share counts twice; net.parameters() has it once."""
    layers = [m._parameters.values() for m in net.modules()]
    every = [p for values in layers for p in values if p is not None]
    return _penalty([p for p in every if p.requires_grad and p.ndim >= 2], strength)


@animal(L1, "no effect: the loss is larger and the gradient the same")
def data_of_the_weights(net, strength):
    """it is computed of .data, off the graph: nothing can learn from it."""
    return _penalty(_weights(net), strength, lambda w: w.data.abs().sum())


@animal(L1, "no effect: the loss is larger and the gradient the same")
def a_number(net, strength):
    """it is a Python number (.item()), off the graph: nothing can learn from it."""
    return l1_penalty(net, strength).item()


@animal(L1, "weights that are all positive after one step")
def weights_overwritten(net, strength):
    """absolute values are written into the weights (abs_)."""
    with torch.no_grad():
        for w in _weights(net):
            w.abs_()
    return l1_penalty(net, strength)


@animal(L1, "'grad can be implicitly created only for scalar outputs'")
def one_for_each_weight(net, strength):
    """there is one number for each weight; their sum was asked for."""
    return strength * torch.stack([w.abs().sum() for w in _weights(net)])
