"""Wrong ways to replace heads, and to freeze."""

import torch
from torch import nn

from coursekit.checks.zoo.animal import animal, named
from coursekit.port.checks import references_transfer as right

HEADS, FREEZE = "replace_head", "freeze"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


# --- heads ------------------------------------------------------------------------------------


def _heads(net):
    """The modules that hold a last layer, and its name in each."""
    if hasattr(net, "classifier"):
        return [(net.classifier, str(len(net.classifier) - 1))]
    aux = getattr(net, "AuxLogits", None)
    return [(net, "fc")] + ([] if aux is None else [(aux, "fc")])


def _replaced(net, make):
    """The net with ``make(old)`` for each of its last layers."""
    for owner, name in _heads(net):
        setattr(owner, name, make(getattr(owner, name)))
    return net


@animal(HEADS, "an error in training, or a loss over two kinds of classes")
def aux_forgotten(net, classes):
    """Inception's second head, AuxLogits.fc, keeps its old classes."""
    aux = getattr(net, "AuxLogits", None)
    old = None if aux is None else aux.fc
    right.replace_head(net, classes)
    if aux is not None:
        aux.fc = old
    return net


@animal(HEADS, "scores for a thousand classes, whatever the layer's repr says")
def out_features_only(net, classes):
    """only the attribute out_features is set; the weight stays as it was."""
    for owner, name in _heads(net):
        getattr(owner, name).out_features = classes
    return net


@animal(HEADS, "a new layer that must find ten classes in a thousand scores")
def layer_appended(net, classes):
    """a layer is put behind the old head; it should take the head's place."""
    return _replaced(net, lambda old: nn.Sequential(old, nn.Linear(old.out_features, classes)))


@animal(HEADS, "VGG loses the layers before its last one")
def whole_classifier_replaced(net, classes):
    """VGG's whole classifier is replaced; only its last layer should be."""
    if not hasattr(net, "classifier"):
        return right.replace_head(net, classes)
    net.classifier = nn.Linear(net.classifier[-1].in_features, classes)
    return net


@animal(HEADS, "'mat1 and mat2 shapes cannot be multiplied' for VGG")
def inputs_of_the_first_layer(net, classes):
    """the new head has the inputs of VGG's first linear layer, classifier[0]; it is the last."""
    if not hasattr(net, "classifier"):
        return right.replace_head(net, classes)
    net.classifier[-1] = nn.Linear(net.classifier[0].in_features, classes)
    return net


@animal(HEADS, "classes that cannot be told apart when features are far from 0")
def no_bias(net, classes):
    """the new head has no bias."""
    return _replaced(net, lambda old: nn.Linear(old.in_features, classes, bias=False))


@animal(HEADS, "a head that begins by knowing other classes")
@torch.no_grad()
def old_rows_kept(net, classes):
    """the new head begins with rows of the old one, which belong to other classes."""

    def cut(old):
        new = nn.Linear(old.in_features, classes)
        rows = min(classes, old.out_features)
        new.weight[:rows] = old.weight[:rows]
        return new

    return _replaced(net, cut)


@animal(HEADS, "right until the number of classes happens to be the same")
def left_alone_if_it_fits(net, classes):
    """the head is left alone where its number of classes fits; it knows other classes."""
    fits = lambda old: old.out_features == classes  # noqa: E731
    return _replaced(net, lambda old: old if fits(old) else nn.Linear(old.in_features, classes))


@animal(HEADS, "nothing learns at all")
def head_frozen(net, classes):
    """the new head is frozen (requires_grad is False)."""
    return _replaced(net, lambda old: nn.Linear(old.in_features, classes).requires_grad_(False))


@animal(HEADS, "fine-tuning that changes nothing but the head")
def rest_frozen(net, classes):
    """everything but the head is frozen; that is another function's business."""
    net.requires_grad_(False)
    return right.replace_head(net, classes)


@animal(HEADS, "Inception without its second loss")
def aux_removed(net, classes):
    """AuxLogits is removed; its head should be replaced."""
    if getattr(net, "AuxLogits", None) is not None:
        net.AuxLogits = None
    return right.replace_head(net, classes)


@animal(HEADS, "'mat1 and mat2 shapes cannot be multiplied' in Inception's training")
def aux_as_wide_as_the_head(net, classes):
    """AuxLogits.fc gets as many inputs as the main head; it has its own."""
    aux = getattr(net, "AuxLogits", None)
    right.replace_head(net, classes)
    if aux is not None:
        aux.fc = nn.Linear(net.fc.in_features, classes)
    return net


@animal(HEADS, "a layer where a net was expected")
def head_returned(net, classes):
    """the new head is returned; the net should be."""
    right.replace_head(net, classes)
    return net.classifier[-1] if hasattr(net, "classifier") else net.fc


@animal(HEADS, "a net that is fc alone, with VGG's classifier as it was")
def fc_for_every_net(net, classes):
    """net.fc is set for every net; VGG has a classifier, and never looks at fc."""
    if hasattr(net, "classifier"):
        net.fc = nn.Linear(net.classifier[-1].in_features, classes)
        return net
    return right.replace_head(net, classes)


# --- freezing ---------------------------------------------------------------------------------


def _stay(layer):
    layer.eval()
    layer.train = lambda mode=True: layer


def _frozen(net, keep, *, params=True, norms=_stay, learn=True):
    """Frozen, with a place for each bug."""
    kept = set(keep.modules())
    if params:
        net.requires_grad_(False)
    if learn:
        keep.requires_grad_(True)
    for layer in net.modules():
        if isinstance(layer, NORMS) and layer not in kept:
            norms(layer)


@animal(FREEZE, "frozen features that drift: batch norm's statistics follow the new pictures")
def gradients_only(net, keep):
    """batch norm's running statistics go on moving: only requires_grad is set, or not all of its
    layers are found (nn.BatchNorm1d is one as well)."""
    _frozen(net, keep, norms=lambda layer: None)


@animal(FREEZE, "right until the training loop calls net.train()")
def eval_once(net, keep):
    """batch norm is put into evaluation mode once, and net.train() undoes that."""
    _frozen(net, keep, norms=lambda layer: layer.eval())


_BATCH_ALL_THE_SAME = """frozen batch norms use the batch's statistics in training mode: a momentum
    of 0, or track_running_stats = False, keeps their own from moving and is no evaluation mode"""

for _name, _attribute, _value in (
    ("momentum of zero", "momentum", 0.0),
    ("statistics not tracked", "track_running_stats", False),
):

    def _still(net, keep, attribute=_attribute, value=_value):
        _frozen(net, keep, norms=lambda layer: setattr(layer, attribute, value))

    animal(FREEZE, "features that depend on the batch, beside statistics that stand still")(
        named(_still, _name, _BATCH_ALL_THE_SAME)
    )


@animal(FREEZE, "a loss that does not move")
def all_frozen(net, keep):
    """everything is frozen, also what was to be kept."""
    _frozen(net, keep, learn=False)
    keep.requires_grad_(False)


@animal(FREEZE, "a head whose own batch norm never learns its statistics")
def keep_in_evaluation_mode(net, keep):
    """the whole net stays in evaluation mode, also batch norm in what is kept."""
    _frozen(net, keep)
    for layer in keep.modules():
        if isinstance(layer, NORMS):
            _stay(layer)


@animal(FREEZE, "a body that drifts slowly: scales and shifts learn")
def norms_go_on_learning(net, keep):
    """batch norm's weight and bias are left learnable outside of keep."""
    _frozen(net, keep, norms=lambda layer: (_stay(layer), layer.requires_grad_(True)))


@animal(FREEZE, "a body that is trained after all, without an error")
def attribute_of_the_module(net, keep):
    """requires_grad is set on modules, where it means nothing; it belongs to parameters."""
    _frozen(net, keep, params=False)
    for layer in net.children():
        layer.requires_grad = False


@animal(FREEZE, "a body whose biases are trained")
def weights_only(net, keep):
    """only weights are frozen; biases go on learning."""
    own = {id(p) for p in keep.parameters()}
    _frozen(net, keep)
    for name, p in net.named_parameters():
        if id(p) not in own and name.endswith("bias"):
            p.requires_grad_(True)


@animal(FREEZE, "a loss that does not move the second time")
def keep_not_thawed(net, keep):
    """what is kept may have been frozen before, and is not made learnable."""
    own = [(p, p.requires_grad) for p in keep.parameters()]
    _frozen(net, keep)
    for p, before in own:
        p.requires_grad_(before)


@animal(FREEZE, "batch norms deeper inside go on moving")
def direct_layers_only(net, keep):
    """only batch norms in the first level of blocks stand still; those within blocks move."""
    kept = set(keep.modules())
    _frozen(net, keep, norms=lambda layer: None)
    for block in net.children():
        for layer in block.children():
            if isinstance(layer, NORMS) and layer not in kept:
                _stay(layer)


@animal(FREEZE, "only the head learns, wherever one asked to begin")
def always_the_last_part(net, keep):
    """the last part is kept, whatever keep is."""
    *_, last = net.children()
    _frozen(net, last)
