"""Wrong ways to take features, and to give each stage its rate."""

import torch
from torch import nn

from coursekit.checks.zoo.animal import animal

FEATURES, RATES = "extract_features", "layerwise_rates"


# --- features ---------------------------------------------------------------------------------


@torch.no_grad()
def _features(net, head, batches, *, mode=False, take="inputs", finish=torch.cat, leave=None):
    """Features through a hook, with a place for each bug."""
    found = []
    before = net.training
    if mode is not None:
        net.train(mode)
    handle = head.register_forward_hook(
        lambda _m, inputs, out: found.append((inputs[0] if take == "inputs" else out).detach())
    )
    for x in batches:
        net(x)
    if leave != "hook":
        handle.remove()
    if leave != "mode":
        net.train(before)
    return finish(found)


@animal(FEATURES, "features that depend on the batch, and statistics that move")
def features_in_training_mode(net, head, batches):
    """the net is in training mode: batch norm uses the batch, and dropout drops."""
    return _features(net, head, batches, mode=True)


@animal(FEATURES, "right, unless the net happens to be in training mode")
def features_without_eval(net, head, batches):
    """net.eval() is not called: the mode is left as it is found."""
    return _features(net, head, batches, mode=None)


@animal(FEATURES, "batch norm's statistics stand still in the training that follows")
def features_leave_evaluation_mode(net, head, batches):
    """the net is left in evaluation mode, whatever its mode was."""
    return _features(net, head, batches, leave="mode")


@animal(FEATURES, "out of memory after some hundred batches")
def features_with_a_graph(net, head, batches):
    """the graph is recorded and only then cut off; torch.no_grad() spares it."""
    with torch.enable_grad():
        return _features.__wrapped__(net, head, batches)


@animal(FEATURES, "as many features as classes, and a probe on old answers")
def scores_of_the_head(net, head, batches):
    """the head's output is taken; its input are the features."""
    return _features(net, head, batches, take="outputs")


@animal(FEATURES, "a net that gets slower and fuller with every call")
def hook_left_behind(net, head, batches):
    """the hook stays on the head after the call."""
    return _features(net, head, batches, leave="hook")


@animal(FEATURES, "a net without a head")
@torch.no_grad()
def head_not_put_back(net, head, batches):
    """the head is replaced by nn.Identity and not put back."""
    mode = net.training
    net.eval()
    net.fc = nn.Identity()
    found = torch.cat([net(x) for x in batches])
    net.train(mode)
    return found


@animal(FEATURES, "features for the last batch only")
def last_features_only(net, head, batches):
    """only the last batch's features are kept."""
    return _features(net, head, batches, finish=lambda found: found[-1])


@animal(FEATURES, "features without relu, flatten and whatever else is no module")
@torch.no_grad()
def children_chained(net, head, batches):
    """the net's children are chained, without the steps between them that are no modules."""
    mode = net.training
    net.eval()
    body = nn.Sequential(*[layer for layer in net.children() if layer is not head])
    found = torch.cat([body(x) for x in batches])
    net.train(mode)
    return found


@animal(FEATURES, "features of length 1: another probe, often a better one, and not what was asked")
def features_normalised(net, head, batches):
    """each picture's features are divided by their length."""
    return nn.functional.normalize(_features(net, head, batches), dim=1)


@animal(FEATURES, "one row for the whole data set")
def features_averaged(net, head, batches):
    """each batch is averaged to one row."""
    return _features(
        net, head, batches, finish=lambda found: torch.stack([f.mean(dim=0) for f in found])
    )


@animal(FEATURES, "'element 0 of tensors does not require grad' in the next step")
def features_switch_gradients_off(net, head, batches):
    """gradients are switched off and never on again."""
    found = _features(net, head, batches)
    torch.set_grad_enabled(False)
    return found


# --- rates ------------------------------------------------------------------------------------


def _groups(stages, rate, *, frozen=False, first=True, params=None):
    """Groups of stages; ``rate(i, n)`` says how fast stage i of n learns."""
    params = params or (lambda stage: list(stage.parameters()))
    seen, groups = set(), []
    order = range(len(stages)) if first else reversed(range(len(stages)))
    for i in order:
        own = [p for p in params(stages[i]) if (p.requires_grad or frozen) and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "lr": rate(i, len(stages))})
    return groups


@animal(RATES, "the first layers are torn up, the head hardly learns")
def rates_reversed(stages, lr, decay):
    """the rates are the wrong way round: the first stage learns fastest."""
    return _groups(stages, lambda i, n: lr * decay**i)


@animal(RATES, "the plain fine-tuning that was to be gentler")
def one_rate(stages, lr, decay):
    """every stage has the same rate."""
    return _groups(stages, lambda i, n: lr)


@animal(RATES, "every rate too small by one decay")
def last_decayed_too(stages, lr, decay):
    """the last stage's rate is decayed, too; it should be lr."""
    return _groups(stages, lambda i, n: lr * decay ** (n - i))


@animal(RATES, "rates that fall in steps of equal size, and below 0 for long nets")
def linear_decay(stages, lr, decay):
    """the rate falls by the same amount a stage; it should by the same factor."""
    return _groups(stages, lambda i, n: lr * (1 - (1 - decay) * (n - 1 - i)))


@animal(RATES, "the head does not learn at all")
def multiplied_by_depth(stages, lr, decay):
    """decay is multiplied by the depth; it should be raised to it."""
    return _groups(stages, lambda i, n: lr * decay * (n - 1 - i))


@animal(RATES, "rates that do not fall where they should")
def only_one_decay(stages, lr, decay):
    """all stages before the last one get lr times decay, once."""
    return _groups(stages, lambda i, n: lr if i == n - 1 else lr * decay)


@animal(RATES, "frozen parameters that weight decay shrinks")
def frozen_included(stages, lr, decay):
    """frozen parameters are in the groups; they should be left out."""
    return _groups(stages, lambda i, n: lr * decay ** (n - 1 - i), frozen=True)


@animal(RATES, "'some parameters appear in more than one parameter group'")
def shared_twice(stages, lr, decay):
    """a parameter that two stages share is in both groups."""
    n = len(stages)
    groups = [
        {"params": [p for p in s.parameters() if p.requires_grad], "lr": lr * decay ** (n - 1 - i)}
        for i, s in enumerate(stages)
    ]
    return [group for group in groups if group["params"]]


@animal(RATES, "hard to tell: a shared layer learns faster than its first user")
def shared_to_the_last(stages, lr, decay):
    """a parameter that two stages share is in the last one's group; it should be in the first's."""
    return _groups(stages, lambda i, n: lr * decay ** (n - 1 - i), first=False)


@animal(RATES, "biases and batch norm that never learn")
def weights_alone(stages, lr, decay):
    """only weights of two or more axes are in the groups."""
    return _groups(
        stages,
        lambda i, n: lr * decay ** (n - 1 - i),
        params=lambda stage: [p for p in stage.parameters() if p.ndim > 1],
    )


@animal(RATES, "a stem that never learns")
def first_stage_forgotten(stages, lr, decay):
    """the first stage is left out."""
    return _groups(stages[1:], lambda i, n: lr * decay ** (n - 1 - i))


@animal(RATES, "blocks within stages that never learn")
def own_parameters_only(stages, lr, decay):
    """parameters of blocks within a stage's blocks are left out."""
    return _groups(
        stages,
        lambda i, n: lr * decay ** (n - 1 - i),
        params=lambda stage: [p for c in stage.children() for p in c.parameters(recurse=False)],
    )


@animal(RATES, "rates that depend on what happens to be frozen")
def counts_groups(stages, lr, decay):
    """the depth counts only stages that learn; all stages count."""
    learning = [s for s in stages if any(p.requires_grad for p in s.parameters())]
    return _groups(learning, lambda i, n: lr * decay ** (n - 1 - i))


@animal(RATES, "groups of nothing, of which some optimisers complain")
def empty_groups(stages, lr, decay):
    """a stage without parameters that learn has a group, an empty one."""
    seen, groups = set(), []
    for i, stage in enumerate(stages):
        own = [p for p in stage.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        groups.append({"params": own, "lr": lr * decay ** (len(stages) - 1 - i)})
    return groups
