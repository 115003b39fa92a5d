"""Wrong losses: softmax cross-entropy and the multiclass hinge."""

import numpy as np

from coursekit.checks.references_fc import multi_margin_loss, softmax_cross_entropy
from coursekit.checks.zoo.animal import animal, named

SOFTMAX = "softmax_cross_entropy"
HINGE = "multi_margin_loss"


def _probabilities(logits, axis=1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _from_probabilities(p, targets):
    rows = np.arange(len(p))
    loss = -np.log(p[rows, targets]).mean()
    dlogits = p.copy()
    dlogits[rows, targets] -= 1
    return loss, dlogits / len(p)


@animal(SOFTMAX, "nan as soon as a logit passes 700 (88 in float32)")
def softmax_unshifted(logits, targets):
    """softmax without subtracting the row's maximum first, so that exp overflows."""
    e = np.exp(logits)
    return _from_probabilities(e / e.sum(axis=1, keepdims=True), targets)


@animal(SOFTMAX, "inf loss when one row's logits lie far below another's")
def shifted_by_the_batch_maximum(logits, targets):
    """the maximum of the whole batch is subtracted, not that of each row."""
    e = np.exp(logits - logits.max())
    return _from_probabilities(e / e.sum(axis=1, keepdims=True), targets)


def _shifted_by_the_batch(logits, targets):
    """log-softmax after the shift, exact but for rows that underflow as a whole."""
    shifted = logits - logits.max()
    e = np.exp(shifted)
    sums = e.sum(axis=1, keepdims=True)
    log_p = shifted - np.log(sums)
    return -log_p[np.arange(len(e)), targets].mean(), log_p, e / sums


def _minus_one_hot(p, targets):
    dlogits = p.copy()
    dlogits[np.arange(len(p)), targets] -= 1
    return dlogits / len(p)


_BATCH_MAXIMUM = """the maximum of the whole batch is subtracted, not that of each row: where a row
    lies far below, log(sum(exp)) is log(0)"""

animal(SOFTMAX, "inf loss when one row's logits lie far below another's")(
    named(
        lambda logits, targets: (
            (parts := _shifted_by_the_batch(logits, targets))[0],
            _minus_one_hot(np.exp(parts[1]), targets),
        ),
        "log sum exp with the batch maximum",
        _BATCH_MAXIMUM,
    )
)
animal(SOFTMAX, "inf loss when one row's logits lie far below another's")(
    named(
        lambda logits, targets: (
            (parts := _shifted_by_the_batch(logits, targets))[0],
            _minus_one_hot(parts[2], targets),
        ),
        "log sum exp with the batch maximum, softmax by division",
        _BATCH_MAXIMUM,
    )
)


@animal(SOFTMAX, "inf loss for a confident mistake")
def log_of_a_softmax(logits, targets):
    """the logarithm is taken of a probability that has become 0: use log-softmax,
    shifted - log(sum(exp(shifted)))"""
    return _from_probabilities(_probabilities(logits), targets)


def _log_of(change):
    """The loss with the logarithm of changed probabilities, the gradient right."""

    def loss(logits, targets):
        p = _probabilities(logits)
        _, dlogits = softmax_cross_entropy(logits, targets)
        return -np.log(change(p)[np.arange(len(p)), targets]).mean(), dlogits

    return loss


def _hides(change, eps, name):
    animal(SOFTMAX, f"a confident mistake costs {-np.log(eps):.0f} at most")(
        named(
            _log_of(change),
            f"{name} {eps:g}",
            f"log(p + {eps:g}), or p clipped at {eps:g}, hides a probability that underflowed; use "
            "log-softmax instead",
        )
    )


for _eps in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-30):
    _hides(lambda p, eps=_eps: p + eps, _eps, "in the logarithm an eps of")
for _eps in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9):  # smaller ones cannot be told from those above
    _hides(lambda p, eps=_eps: np.clip(p, eps, 1 - eps), _eps, "clipped at")


@animal(SOFTMAX, "the rows do not sum to 1; accuracy stays at chance")
def softmax_over_the_batch(logits, targets):
    """softmax over axis 0, the batch, instead of over the classes."""
    return _from_probabilities(_probabilities(logits, axis=0), targets)


@animal(SOFTMAX, "the printed loss grows with the batch size")
def loss_summed(logits, targets):
    """the loss is summed over the batch while its gradient is averaged."""
    loss, dlogits = softmax_cross_entropy(logits, targets)
    return loss * len(logits), dlogits


@animal(SOFTMAX, "the learning rate that works depends on the batch size")
def gradient_summed(logits, targets):
    """the gradient is not divided by N although the loss is a mean."""
    loss, dlogits = softmax_cross_entropy(logits, targets)
    return loss, dlogits * len(logits)


@animal(SOFTMAX, "the learning rate that works depends on the batch size")
def both_summed(logits, targets):
    """loss and gradient are summed over the batch, not averaged."""
    loss, dlogits = softmax_cross_entropy(logits, targets)
    return loss * len(logits), dlogits * len(logits)


@animal(SOFTMAX, "initial loss 0.23 instead of 2.3 for ten classes")
def averaged_over_classes(logits, targets):
    """averaged over all N * C entries instead of over the N rows."""
    loss, dlogits = softmax_cross_entropy(logits, targets)
    return loss / logits.shape[1], dlogits / logits.shape[1]


@animal(SOFTMAX, "the loss climbs")
def one_hot_added(logits, targets):
    """the one-hot target is added to the probabilities instead of subtracted."""
    loss, _ = softmax_cross_entropy(logits, targets)
    dlogits = _probabilities(logits)
    dlogits[np.arange(len(logits)), targets] += 1
    return loss, dlogits / len(logits)


@animal(SOFTMAX, "all logits fall, no class is learnt")
def one_hot_forgotten(logits, targets):
    """the gradient is softmax / N: the one-hot target was not subtracted."""
    loss, _ = softmax_cross_entropy(logits, targets)
    return loss, _probabilities(logits) / len(logits)


@animal(SOFTMAX, "the loss climbs")
def gradient_negated(logits, targets):
    """the gradient has the wrong sign: onehot - softmax instead of softmax - onehot."""
    loss, dlogits = softmax_cross_entropy(logits, targets)
    return loss, -dlogits


@animal(SOFTMAX, "the true classes' columns change in every row")
def column_instead_of_entry(logits, targets):
    """dlogits[:, targets] -= 1 changes whole columns; pair rows with np.arange(N)."""
    loss, _ = softmax_cross_entropy(logits, targets)
    dlogits = _probabilities(logits)
    dlogits[:, targets] -= 1
    return loss, dlogits / len(logits)


_COLUMNS = """p[:, targets] takes whole columns, so that each row is charged for the targets of all
    rows; pair rows with np.arange(N)"""


def _columns(reduce, gradient):
    """The loss over whole columns of log p, with a gradient."""

    def loss(logits, targets):
        log_p = logits - logits.max(axis=1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        return reduce(-log_p[:, targets]), gradient(logits, targets)

    return loss


for _told, _reduce in (("averaged", np.mean), ("summed", lambda a: a.sum() / len(a))):
    for _of, _gradient in (
        ("in the loss", lambda *given: softmax_cross_entropy(*given)[1]),
        ("in loss and gradient", lambda *given: column_instead_of_entry(*given)[1]),
    ):
        animal(SOFTMAX, "the loss ends near log C, whatever is learnt")(
            named(_columns(_reduce, _gradient), f"columns {_of}, {_told}", _COLUMNS)
        )


@animal(SOFTMAX, "learns, but slowly and not far: the loss never nears 0")
def softmax_twice(logits, targets):
    """softmax is applied to probabilities, not to logits."""
    return softmax_cross_entropy(_probabilities(logits), targets)


@animal(SOFTMAX, "everything after it runs in float64, at half the speed")
def widened_by_one_hot(logits, targets):
    """np.eye or np.zeros made a float64 one-hot target, which widens the float32 gradient."""
    loss, _ = softmax_cross_entropy(logits, targets)
    return loss, (_probabilities(logits) - np.eye(logits.shape[1])[targets]) / len(logits)


@animal(SOFTMAX, "whoever uses the logits next finds other numbers")
def logits_shifted_in_place(logits, targets):
    """logits -= ... works in place; write logits = logits - ... instead."""
    logits -= logits.max(axis=1, keepdims=True)
    return softmax_cross_entropy(logits, targets)


@animal(SOFTMAX, "the labels are gone after the first epoch")
def targets_flattened_in_place(logits, targets):
    """targets += ... turns the caller's labels into flat indices in place."""
    result = softmax_cross_entropy(logits, targets.copy())
    targets += logits.shape[1] * np.arange(len(logits))
    return result


def _hinge(logits, targets, margin, power=1):
    rows = np.arange(len(logits))
    slack = np.maximum(margin - logits[rows, targets][:, None] + logits, 0)
    slack[rows, targets] = 0
    return rows, slack**power


@animal(HINGE, "the loss is margin / C too large")
def true_class_counted(logits, targets, margin=1.0):
    """the true class is compared with itself, which adds the margin once a row."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    return loss + margin / logits.shape[1], dlogits


@animal(HINGE, "C times the loss that PyTorch gives")
def not_divided_by_classes(logits, targets, margin=1.0):
    """the sum over the other classes is not divided by C, as PyTorch's loss is."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    return loss * logits.shape[1], dlogits * logits.shape[1]


@animal(HINGE, "a loss slightly above PyTorch's")
def divided_by_the_other_classes(logits, targets, margin=1.0):
    """divided by the C - 1 other classes instead of by C."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    factor = logits.shape[1] / max(logits.shape[1] - 1, 1)
    return loss * factor, dlogits * dlogits.dtype.type(factor)


@animal(HINGE, "one far mistake dominates the batch")
def squared(logits, targets, margin=1.0):
    """the violations are squared."""
    rows, slack = _hinge(logits, targets, margin)
    dlogits = 2 * slack / slack.size
    dlogits[rows, targets] = -dlogits.sum(axis=1)
    return (slack**2).sum() / slack.size, dlogits


@animal(HINGE, "learns slowly with many classes")
def only_the_worst_class(logits, targets, margin=1.0):
    """only the class that violates the margin most is counted, not every one."""
    rows, slack = _hinge(logits, targets, margin)
    worst = slack.argmax(axis=1)
    active = (slack[rows, worst] > 0) / slack.dtype.type(slack.size)
    dlogits = np.zeros_like(logits)
    dlogits[rows, worst] += active
    dlogits[rows, targets] -= active
    return slack.max(axis=1).sum() / slack.size, dlogits


@animal(HINGE, "the true class is pushed too little")
def true_class_pushed_once(logits, targets, margin=1.0):
    """the true class gets -1 where it should get minus the number of violated margins."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    rows = np.arange(len(logits))
    dlogits[rows, targets] = np.maximum(dlogits[rows, targets], -1 / logits.size)
    return loss, dlogits


@animal(HINGE, "the scores fall together; the true class is never raised")
def true_class_not_pushed(logits, targets, margin=1.0):
    """the gradient of the true class's logit is missing."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    dlogits[np.arange(len(logits)), targets] = 0
    return loss, dlogits


@animal(HINGE, "the loss falls while accuracy falls too")
def difference_turned_round(logits, targets, margin=1.0):
    """the difference is true minus other; it must be other minus true, plus the margin."""
    loss, dlogits = multi_margin_loss(-logits, targets, margin)
    return loss, -dlogits


@animal(HINGE, "changing the margin changes nothing")
def margin_of_one(logits, targets, margin=1.0):
    """the margin is always 1, whatever was asked for."""
    return multi_margin_loss(logits, targets, 1.0)


@animal(HINGE, "the learning rate that works depends on the batch size")
def hinge_summed(logits, targets, margin=1.0):
    """loss and gradient are summed over the batch, not averaged."""
    loss, dlogits = multi_margin_loss(logits, targets, margin)
    return loss * len(logits), dlogits * len(logits)


@animal(HINGE, "violations are pushed in proportion to their size")
def gradient_keeps_the_size(logits, targets, margin=1.0):
    """the gradient uses the size of each violation; it is 1 for every violated margin."""
    loss, _ = multi_margin_loss(logits, targets, margin)
    rows, slack = _hinge(logits, targets, margin)
    dlogits = slack / slack.size
    dlogits[rows, targets] = -dlogits.sum(axis=1)
    return loss, dlogits


@animal(HINGE, "classes that keep their distance are pushed on; differs from PyTorch")
def pushed_at_the_margin(logits, targets, margin=1.0):
    """the mask is >= 0: it pushes a class at exactly the margin, where nothing is violated; by
    convention the gradient is 0 there"""
    loss, _ = multi_margin_loss(logits, targets, margin)
    rows = np.arange(len(logits))
    active = margin - logits[rows, targets][:, None] + logits >= 0
    active[rows, targets] = False
    dlogits = active.astype(logits.dtype) / logits.dtype.type(active.size)
    dlogits[rows, targets] = -dlogits.sum(axis=1)
    return loss, dlogits


@animal(HINGE, "a loss that falls below 0")
def not_cut_off(logits, targets, margin=1.0):
    """max(0, ...) is missing: margins that are kept count as negative losses and are pushed on."""
    rows = np.arange(len(logits))
    slack = margin - logits[rows, targets][:, None] + logits
    slack[rows, targets] = 0
    dlogits = np.full_like(logits, 1 / slack.size)
    dlogits[rows, targets] = -(logits.shape[1] - 1) / slack.size
    return slack.sum() / slack.size, dlogits
