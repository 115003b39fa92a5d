"""Wrong groups for an optimiser: who decays and who does not."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references_residual import decay_groups

GROUPS = "decay_groups"


def _split(net, weight_decay, decays, of=None):
    """Two groups; ``decays(name, parameter)`` says who is in the first."""
    named = [(n, p) for n, p in net.named_parameters() if p.requires_grad] if of is None else of
    return [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]


@animal(GROUPS, "no difference: all decay")
def all_decay(net, weight_decay):
    """all parameters are in the first group."""
    return _split(net, weight_decay, lambda n, p: True)


@animal(GROUPS, "biases and norms shrink, weights do not")
def groups_exchanged(net, weight_decay):
    """the groups are exchanged: biases decay and weights do not."""
    return _split(net, weight_decay, lambda n, p: p.ndim < 2)


@animal(GROUPS, "the right groups in the wrong order")
def plain_group_first(net, weight_decay):
    """the group without decay comes first; it was asked for second."""
    return decay_groups(net, weight_decay)[::-1]


@animal(GROUPS, "batch norm's scales shrink")
def norms_decay(net, weight_decay):
    """only biases are spared; norms' scales have one axis as well."""
    return _split(net, weight_decay, lambda n, p: "bias" not in n)


@animal(GROUPS, "batch norm's scales shrink wherever its name is another")
def spared_by_name(net, weight_decay):
    """batch norm is recognised by the name bn, which it need not have."""
    return _split(
        net, weight_decay, lambda n, p: p.ndim >= 2 or ("bias" not in n and "bn" not in n)
    )


@animal(GROUPS, "right until a net has another norm than batch norm")
def only_batch_norm_spared(net, weight_decay):
    """of the norms only batch norm is spared; layer norm, group norm and PReLU decay."""
    spared = {id(p) for m in net.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    return _split(net, weight_decay, lambda n, p: id(p) not in spared and "bias" not in n)


@animal(GROUPS, "right until a net has an embedding")
def linear_and_convolution_only(net, weight_decay):
    """only weights of linear layers and convolutions decay; an embedding has two axes as well."""
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    chosen = {id(m.weight) for m in net.modules() if isinstance(m, kinds)}
    return _split(net, weight_decay, lambda n, p: id(p) in chosen)


@animal(GROUPS, "linear layers never decay")
def filters_only(net, weight_decay):
    """only weights of more than two axes decay; two are enough."""
    return _split(net, weight_decay, lambda n, p: p.ndim > 2)


@animal(GROUPS, "frozen layers shrink, or the optimiser keeps averages of nothing")
def frozen_too(net, weight_decay):
    """frozen parameters are in the groups; they belong in neither."""
    return _split(net, weight_decay, lambda n, p: p.ndim >= 2, list(net.named_parameters()))


@animal(GROUPS, "frozen biases in the optimiser")
def frozen_in_the_second_group(net, weight_decay):
    """frozen parameters are put with those that do not decay; they belong in neither."""
    return _split(
        net,
        weight_decay,
        lambda n, p: p.ndim >= 2 and p.requires_grad,
        list(net.named_parameters()),
    )


@animal(GROUPS, "biases that never learn")
def others_left_out(net, weight_decay):
    """parameters that do not decay are in no group, so that they never learn."""
    return [decay_groups(net, weight_decay)[0], {"params": [], "weight_decay": 0.0}]


@animal(GROUPS, "norms that never learn")
def norms_left_out(net, weight_decay):
    """the second group has the biases only: norms' scales are in neither and never learn."""
    first, second = decay_groups(net, weight_decay)
    biases = {id(p) for n, p in net.named_parameters() if "bias" in n}
    return [first, {**second, "params": [p for p in second["params"] if id(p) in biases]}]


@animal(GROUPS, "weights that are shared are updated twice a step")
def shared_twice(net, weight_decay):
    """a parameter that two layers share is there twice; net.parameters() has it once."""
    every = [(n, p) for m in net.modules() for n, p in m._parameters.items() if p is not None]
    learning = [(n, p) for n, p in every if p.requires_grad]
    return _split(net, weight_decay, lambda n, p: p.ndim >= 2, learning)


@animal(GROUPS, "AdamW decays the second group by its default, 0.01")
def no_zero_in_the_second(net, weight_decay):
    """the second group says nothing of weight decay, so the optimiser's default holds."""
    first, second = decay_groups(net, weight_decay)
    return [first, {"params": second["params"]}]


@animal(GROUPS, "no effect of the argument")
def no_decay_in_the_first(net, weight_decay):
    """the first group says nothing of weight decay, so the optimiser's default holds."""
    first, second = decay_groups(net, weight_decay)
    return [{"params": first["params"]}, second]


@animal(GROUPS, "no effect of the argument")
def always_the_same_decay(net, weight_decay):
    """the decay is always 0.0005, whatever was asked for."""
    return decay_groups(net, 5e-4)


@animal(GROUPS, "'optimizer can only optimize Tensors'")
def names_for_parameters(net, weight_decay):
    """the groups hold names; they should hold the parameters."""
    names = {id(p): n for n, p in net.named_parameters()}
    return [
        {**g, "params": [names[id(p)] for p in g["params"]]}
        for g in decay_groups(net, weight_decay)
    ]


@animal(GROUPS, "an optimiser that moves nothing of the net")
def copies(net, weight_decay):
    """the groups hold tensors of their own (.data, .detach() or a copy), not the parameters."""
    groups = decay_groups(net, weight_decay)
    return [{**g, "params": [p.detach() for p in g["params"]]} for g in groups]


@animal(GROUPS, "frozen layers begin to move")
def thawed(net, weight_decay):
    """frozen parameters are made to learn again."""
    groups = decay_groups(net, weight_decay)
    net.requires_grad_(True)
    return groups
