"""Wrong batch norms: the forward pass, in training and in evaluation."""

import numpy as np

from coursekit.checks.references_norm import batch_norm_forward
from coursekit.checks.zoo.animal import animal

FORWARD = "batch_norm_forward"


def _batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps, **bugs):
    """Batch norm written out, with a place for each bug."""
    bug = {
        "stats": lambda x: (x.mean(axis=0), x.var(axis=0)),
        "track": lambda var, n: var * (n / (n - 1)),
        "average": lambda old, new: (1 - momentum) * old + momentum * new,
        "root": lambda var: np.sqrt(var + eps),
        "root_in_evaluation": None,
        "affine": lambda xhat: gamma * xhat + beta,
        "uses_batch": training,
        "updates": training,
    } | bugs
    mean, var = bug["stats"](x)
    new_mean, new_var = running_mean, running_var
    if bug["updates"]:
        new_mean = bug["average"](running_mean, mean)
        new_var = bug["average"](running_var, bug["track"](var, len(x)))
    root = bug["root"]
    if not bug["uses_batch"]:
        mean, var = running_mean, running_var
        root = bug["root_in_evaluation"] or root
    xhat = (x - mean) / root(var)
    return bug["affine"](xhat), xhat, new_mean, new_var


# --- training and evaluation ----------------------------------------------------------------


@animal(FORWARD, "accuracy depends on which pictures share a batch")
def evaluation_uses_the_batch(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """evaluation normalises with the batch's statistics; it is what the running ones are for."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, uses_batch=True)


@animal(FORWARD, "the net changes while it is being tested")
def evaluation_updates(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """evaluation updates the running statistics."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, updates=True)


@animal(FORWARD, "training ignores its flag; tests are not repeatable")
def always_training(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the flag is ignored: evaluation does all that training does."""
    return _batch_norm(x, g, b, mean, var, True, momentum, eps)


@animal(FORWARD, "fine in training, noise in evaluation")
def flag_reversed(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """training and evaluation are swapped."""
    return _batch_norm(x, g, b, mean, var, not training, momentum, eps)


@animal(FORWARD, "activations explode: what normalises lags behind")
def training_uses_the_running_statistics(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """training normalises with the running statistics; there it is the batch's own."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, uses_batch=False)


@animal(FORWARD, "gradients do not know how the statistics came about")
def training_uses_the_updated_statistics(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """training normalises with the running statistics it has just updated."""
    if training:
        _, _, mean, var = batch_norm_forward(x, g, b, mean, var, True, momentum, eps)
    return batch_norm_forward(x, g, b, mean, var, False, momentum, eps)


# --- running statistics -----------------------------------------------------------------------


@animal(FORWARD, "running statistics hardly remember anything")
def momentum_swapped(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """momentum and 1 - momentum swapped: here, as in PyTorch, momentum weighs the new batch."""
    out, cache, _, _ = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    _, _, mean, var = batch_norm_forward(x, g, b, mean, var, training, 1 - momentum, eps)
    return out, cache, mean, var


@animal(FORWARD, "evaluation knows the last batch only")
def replaced_not_averaged(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the batch's statistics replace the running ones; they should be averaged in."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), average=lambda old, new: new)


@animal(FORWARD, "running statistics grow with every step")
def added_without_forgetting(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """momentum * new is added and nothing forgotten: the old value weighs 1 - momentum."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        average=lambda old, new: old + momentum * new,
    )


@animal(FORWARD, "evaluation uses zeros and ones for ever")
def never_updated(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running statistics are never updated."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, updates=False)


@animal(FORWARD, "the momentum that was asked for has no effect")
def momentum_ignored(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """momentum is always 0.1, whatever was asked for."""
    return batch_norm_forward(x, g, b, mean, var, training, 0.1, eps)


@animal(FORWARD, "evaluation differs from PyTorch's, most for small batches")
def biased_running_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """running_var averages the biased variance; PyTorch keeps the unbiased one, over N - 1."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), track=lambda var, n: var)


@animal(FORWARD, "outputs too small by a factor of sqrt((N - 1) / N)")
def normalised_by_the_unbiased_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the batch is normalised by the unbiased variance; it is the biased one, over N."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=0), x.var(axis=0, ddof=1)),
        track=lambda var, n: var,
    )


@animal(FORWARD, "both variances are off, in opposite directions")
def biased_and_unbiased_swapped(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """normalised by the unbiased variance and tracking the biased one: the wrong way round."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=0), x.var(axis=0, ddof=1)),
        track=lambda var, n: var * ((n - 1) / n),
    )


@animal(FORWARD, "evaluation divides by a fourth root")
def running_deviation_kept(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """running_var averages the standard deviation; it should be the variance."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        track=lambda var, n: np.sqrt(var * (n / (n - 1))),
    )


@animal(FORWARD, "evaluation counts eps twice")
def eps_in_the_running_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """running_var averages var + eps; eps is added where the root is taken, only there."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        track=lambda var, n: var * (n / (n - 1)) + eps,
    )


@animal(FORWARD, "running variances wait for a mean that has moved on")
def returned_in_another_order(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """(running_var, running_mean) is returned where (running_mean, running_var) is asked for."""
    out, cache, mean, var = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    return out, cache, var, mean


@animal(FORWARD, "saved copies of the statistics change with them")
def statistics_in_place(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running statistics are changed in place (*=, +=); return new arrays."""
    out, cache, new_mean, new_var = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    if training:
        mean[...], var[...] = new_mean, new_var
    return out, cache, mean, var


@animal(FORWARD, "float32 nets carry float64 statistics")
def float64_statistics(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running statistics become float64."""
    out, cache, mean, var = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    return out, cache, mean.astype(np.float64), var.astype(np.float64)


# --- eps --------------------------------------------------------------------------------------


@animal(FORWARD, "right but for features that hardly vary")
def eps_outside_the_root(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is added to the standard deviation; it goes inside the root, to the variance."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), root=lambda var: np.sqrt(var) + eps
    )


@animal(FORWARD, "nan for a feature that never changes")
def eps_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is missing, in training and in evaluation."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, root=np.sqrt)


@animal(FORWARD, "nan in evaluation for a feature that never changes")
def eps_forgotten_in_evaluation(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """evaluation divides by sqrt(running_var) without eps."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, root_in_evaluation=np.sqrt)


@animal(FORWARD, "evaluation differs from training, though the statistics are right")
def eps_outside_the_root_in_evaluation(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """evaluation adds eps to the root; training adds it to the variance."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        root_in_evaluation=lambda var: np.sqrt(var) + eps,
    )


@animal(FORWARD, "the eps that was asked for has no effect")
def eps_ignored(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is always 1e-5, whatever was asked for."""
    return batch_norm_forward(x, g, b, mean, var, training, momentum, 1e-5)


# --- the formula ------------------------------------------------------------------------------


@animal(FORWARD, "outputs depend on the unit of the inputs")
def divided_by_the_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """divided by the variance; it should be its square root."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), root=lambda var: var + eps)


@animal(FORWARD, "outputs far too small wherever means are large")
def mean_square_for_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the variance is taken of x without its mean subtracted."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=0), (x * x).mean(axis=0)),
    )


@animal(FORWARD, "noise or nan where the mean is much larger than the deviation")
def mean_of_squares_minus_square(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """E[x^2] - E[x]^2 subtracts two large numbers; subtract the mean first."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=0), (x * x).mean(axis=0) - x.mean(axis=0) ** 2),
    )


@animal(FORWARD, "all features share one mean, large ones drown small ones")
def one_mean_for_all(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """mean and variance of the whole array; every feature has its own, over axis 0."""
    one = np.ones(x.shape[1], x.dtype)
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean() * one, x.var() * one),
    )


@animal(FORWARD, "an error, or for N equal to D statistics of rows")
def statistics_over_features(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """statistics over axis 1, the features; a feature's are over axis 0, the batch."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=1), x.var(axis=1)),
    )


@animal(FORWARD, "layer norm in training, nonsense in evaluation")
def rows_normalised(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """training normalises every row by its own statistics, which is layer norm."""
    out, cache, mean, var = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    if training:
        centred = x - x.mean(axis=1, keepdims=True)
        out = g * centred / np.sqrt(x.var(axis=1, keepdims=True) + eps) + b
    return out, cache, mean, var


@animal(FORWARD, "the net cannot undo the normalisation")
def gamma_and_beta_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma and beta are not applied."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: xhat)


@animal(FORWARD, "half of the inputs of each ReLU are negative for ever")
def beta_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """beta is not added."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: g * xhat)


@animal(FORWARD, "every unit has the same variance for ever")
def gamma_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """xhat is not multiplied by gamma."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: xhat + b)


@animal(FORWARD, "outputs are all 0 at the start, where beta is 0")
def gamma_and_beta_swapped(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma is added and beta multiplied."""
    return batch_norm_forward(x, b, g, mean, var, training, momentum, eps)


@animal(FORWARD, "beta acts only through gamma")
def beta_inside_the_bracket(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma * (xhat + beta): beta is added after the multiplication."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: g * (xhat + b)
    )


@animal(FORWARD, "an error, or for N equal to D one scale a row")
def gamma_along_the_batch(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma[:, None] gives every row a scale; it is every column that has one."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: g[:, None] * xhat + b
    )


@animal(FORWARD, "features are mixed, and an axis is lost")
def gamma_in_a_matrix_product(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """xhat @ gamma sums over the features; gamma multiplies entry by entry."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: (xhat @ g)[:, None] + b
    )


@animal(FORWARD, "the layer before finds its outputs changed")
def x_centred_in_place(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """x -= mean changes the caller's array."""
    result = batch_norm_forward(x.copy(), g, b, mean, var, training, momentum, eps)
    x -= x.mean(axis=0) if training else mean
    return result


@animal(FORWARD, "everything after it runs in float64")
def float64_out(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the output becomes float64."""
    out, *rest = batch_norm_forward(x, g, b, mean, var, training, momentum, eps)
    return out.astype(np.float64), *rest
