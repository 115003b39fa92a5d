"""Wrong evaluations, and wrong ways to look at a picture twice."""

import torch
from torch.nn.functional import one_hot

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references import evaluate

EVALUATE, VIEWS = "evaluate", "two_view_logits"


# --- evaluation -------------------------------------------------------------------------------


def _evaluate(net, batches, criterion, *, mode=False, hits=None, logits=None):
    """Loss and hits of every batch, and its size; ``mode`` None leaves the net's as it is."""
    hits = hits or (lambda z, y: int((z.argmax(dim=1) == y).sum()))
    logits = logits or net
    before = net.training
    if mode is not None:
        net.train(mode)
    rows = [(criterion(z, y).item(), hits(z, y), len(y)) for x, y in batches for z in [logits(x)]]
    net.train(before)
    return torch.tensor(rows, dtype=torch.float64).unbind(dim=1)


def _means(losses, hits, sizes):
    return float((losses * sizes).sum() / sizes.sum()), float(hits.sum() / sizes.sum())


@animal(EVALUATE, "accuracy that depends on the batch, and running statistics that move")
@torch.no_grad()
def in_training_mode(net, batches, criterion):
    """the net is in training mode: batch norm uses the batch, and dropout drops."""
    return _means(*_evaluate(net, batches, criterion, mode=True))


@animal(EVALUATE, "right, unless the net happens to be in training mode")
@torch.no_grad()
def eval_without_a_call(net, batches, criterion):
    """net.eval() is never called: the mode is left as it is found."""
    return _means(*_evaluate(net, batches, criterion, mode=None))


@animal(EVALUATE, "twice the memory, or out of memory")
def with_gradients(net, batches, criterion):
    """the graph is recorded; torch.no_grad() spares it."""
    return _means(*_evaluate(net, batches, criterion))


@animal(EVALUATE, "'element 0 of tensors does not require grad' in the next step")
def gradients_switched_off_for_good(net, batches, criterion):
    """gradients are switched off and never on again."""
    result = evaluate(net, batches, criterion)
    torch.set_grad_enabled(False)
    return result


@animal(EVALUATE, "batch norm's statistics stand still from the second epoch on")
def left_in_evaluation_mode(net, batches, criterion):
    """the net is left in evaluation mode, whatever its mode was."""
    result = evaluate(net, batches, criterion)
    net.eval()
    return result


@animal(EVALUATE, "dropout and batch statistics wherever the net is used next")
def always_left_in_training_mode(net, batches, criterion):
    """the net is left in training mode, whatever its mode was."""
    result = evaluate(net, batches, criterion)
    net.train()
    return result


@animal(EVALUATE, "a smaller last batch counts too much")
@torch.no_grad()
def mean_of_means(net, batches, criterion):
    """batches count alike; the last may be smaller, so pictures must count alike."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return float(losses.mean()), float((hits / sizes).mean())


@animal(EVALUATE, "a loss that is a little off, beside a right accuracy")
@torch.no_grad()
def mean_of_mean_losses(net, batches, criterion):
    """the loss is the mean of the batches' means; the last batch may be smaller."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return float(losses.mean()), float(hits.sum() / sizes.sum())


@animal(EVALUATE, "a loss that grows with the test set")
@torch.no_grad()
def sum_of_losses(net, batches, criterion):
    """the loss is a sum over batches; it should be the mean over pictures."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return float(losses.sum()), float(hits.sum() / sizes.sum())


@animal(EVALUATE, "a number that jumps about")
@torch.no_grad()
def last_batch_only(net, batches, criterion):
    """only the last batch counts."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return float(losses[-1]), float(hits[-1] / sizes[-1])


@animal(EVALUATE, "accuracies of several hundred per cent, or of hundredths")
@torch.no_grad()
def hits_a_batch(net, batches, criterion):
    """hits are divided by the number of batches; it should be that of pictures."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return _means(losses, hits, sizes)[0], float(hits.sum() / len(hits))


@animal(EVALUATE, "an accuracy of several thousand")
@torch.no_grad()
def hits_not_divided(net, batches, criterion):
    """the number of hits is returned; the accuracy is their share of all pictures."""
    losses, hits, sizes = _evaluate(net, batches, criterion)
    return _means(losses, hits, sizes)[0], float(hits.sum())


@animal(EVALUATE, "accuracy in per cent where a share was meant")
def per_cent(net, batches, criterion):
    """the accuracy is in per cent; it should be a share from 0 to 1."""
    loss, accuracy = evaluate(net, batches, criterion)
    return loss, 100 * accuracy


@animal(EVALUATE, "a loss far too high for the accuracy")
@torch.no_grad()
def softmax_before_the_loss(net, batches, criterion):
    """softmax is applied before the criterion; cross-entropy does that itself."""
    return _means(*_evaluate(net, batches, criterion, logits=lambda x: net(x).softmax(dim=1)))


@animal(EVALUATE, "numbers that keep a graph, or an error in a plot")
@torch.no_grad()
def tensors_returned(net, batches, criterion):
    """what is returned are tensors."""
    return tuple(torch.tensor(v) for v in evaluate(net, batches, criterion))


# --- two views of a picture -------------------------------------------------------------------


@torch.no_grad()
def _views(net, x, *, mode=False, flip=lambda x: x.flip(3), mix=lambda a, b: (a + b) / 2):
    """Two views, with a place for each bug."""
    before = net.training
    if mode is not None:
        net.train(mode)
    out = mix(net(x), net(flip(x)))
    net.train(before)
    return out


def _votes(logits):
    return one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)


@animal(VIEWS, "hardly better than one view: ties, and no degrees")
def classes_averaged(net, x):
    """each view's class is taken first, and classes are averaged; average the logits."""
    return _views(net, x, mix=lambda a, b: (_votes(a) + _votes(b)) / 2)


@animal(VIEWS, "other numbers: probabilities where logits are asked for")
def probabilities_averaged(net, x):
    """probabilities are averaged; here it is the logits."""
    return _views(net, x, mix=lambda a, b: (a.softmax(1) + b.softmax(1)) / 2)


@animal(VIEWS, "overconfident: every logit twice as large")
def summed_views(net, x):
    """the two views are added and not halved."""
    return _views(net, x, mix=torch.add)


@animal(VIEWS, "over-confident: always the surer view")
def larger_view(net, x):
    """the larger logit of the two views is taken; it is the mean."""
    return _views(net, x, mix=torch.maximum)


@animal(VIEWS, "worse than one view: cars on their roofs")
def upside_down(net, x):
    """pictures are turned upside down (axis 2); left and right are axis 3."""
    return _views(net, x, flip=lambda x: x.flip(2))


@animal(VIEWS, "worse than one view: pictures turned by half")
def both_axes(net, x):
    """pictures are flipped along both axes; only left and right."""
    return _views(net, x, flip=lambda x: x.flip(2, 3))


@animal(VIEWS, "worse than one view: blue where red was")
def channels_flipped(net, x):
    """the channels are flipped (axis 1); left and right are axis 3."""
    return _views(net, x, flip=lambda x: x.flip(1))


@animal(VIEWS, "pictures vote on each other's class")
def batch_flipped(net, x):
    """the batch is reversed (axis 0), so that pictures are mixed."""
    return _views(net, x, flip=lambda x: x.flip(0))


@animal(VIEWS, "no gain at all")
def same_view_twice(net, x):
    """both views are the picture itself: flip returns a new tensor, x stays as it is."""
    return _views(net, x, flip=lambda x: x)


@animal(VIEWS, "no gain at all")
def mirror_only(net, x):
    """only the mirror image is looked at."""
    return _views(net, x, mix=lambda a, b: b)


@animal(VIEWS, "an answer that depends on the other pictures of the batch")
def views_in_training_mode(net, x):
    """the net is in training mode: batch norm uses the batch."""
    return _views(net, x, mode=True)


@animal(VIEWS, "right, unless the net happens to be in training mode")
def views_without_eval(net, x):
    """net.eval() is not called: the mode is left as it is found."""
    return _views(net, x, mode=None)


@animal(VIEWS, "batch norm's statistics stand still in the training that follows")
def views_leave_evaluation_mode(net, x):
    """the net is left in evaluation mode, whatever its mode was."""
    out = _views(net, x)
    net.eval()
    return out


@animal(VIEWS, "a graph for every prediction")
def with_a_graph(net, x):
    """the graph is recorded and only then cut off; torch.no_grad() spares it."""
    mode = net.training
    net.eval()
    out = (net(x) + net(x.flip(3))) / 2
    net.train(mode)
    return out.detach()
