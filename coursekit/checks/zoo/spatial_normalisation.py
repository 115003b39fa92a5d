"""Wrong batch norms of pictures, forward."""

import numpy as np

from coursekit.checks.references_conv_norm import batch_norm2d_forward
from coursekit.checks.zoo.animal import animal

FORWARD = "batch_norm2d_forward"


def _batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps, **bugs):
    """Batch norm of pictures written out, with a place for each bug."""
    count = x.size // x.shape[1]
    bug = {
        "stats": lambda x: _over(x, (0, 2, 3)),
        "track": lambda var: var * (count / (count - 1)),
        "tracked": lambda stat: stat.reshape(-1),
        "average": lambda old, new: (1 - momentum) * old + momentum * new,
        "root": lambda var: np.sqrt(var + eps),
        "affine": lambda xhat: _channels(gamma) * xhat + _channels(beta),
        "uses_batch": training,
        "updates": training,
    } | bugs
    mean, var = bug["stats"](x)
    new_mean, new_var = running_mean, running_var
    if bug["updates"]:
        new_mean = bug["average"](running_mean, bug["tracked"](mean))
        new_var = bug["average"](running_var, bug["tracked"](bug["track"](var)))
    if not bug["uses_batch"]:
        mean, var = _channels(running_mean), _channels(running_var)
    xhat = (x - mean) / bug["root"](var)
    return bug["affine"](xhat), None, new_mean, new_var


def _channels(a):
    """(C,) as something that broadcasts along axis 1 of (N, C, H, W)."""
    return a[:, None, None]


def _over(x, axes, ddof=0):
    return x.mean(axis=axes, keepdims=True), x.var(axis=axes, ddof=ddof, keepdims=True)


# --- what is averaged over ----------------------------------------------------------------------


@animal(FORWARD, "an error, or a mean and a variance for every pixel")
def over_the_batch_only(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """statistics over axis 0 only; a channel's are over the pictures and their pixels."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean(axis=0), x.var(axis=0)),
        tracked=lambda stat: stat,
    )


@animal(FORWARD, "instance norm in training, something else in evaluation")
def over_the_pixels_only(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """statistics over axes 2 and 3, each picture by itself; a channel's run over axis 0 too."""
    result = batch_norm2d_forward(x, g, b, mean, var, training, momentum, eps)
    if not training:
        return result
    alone, _, _, _ = _batch_norm(
        *(x, g, b, mean, var, True, momentum, eps), stats=lambda x: _over(x, (2, 3)), updates=False
    )
    return alone, *result[1:]


@animal(FORWARD, "layer norm in training, something else in evaluation")
def over_a_picture(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """every picture is normalised over all its channels, which is layer norm."""
    result = batch_norm2d_forward(x, g, b, mean, var, training, momentum, eps)
    if not training:
        return result
    alone, _, _, _ = _batch_norm(
        *(x, g, b, mean, var, True, momentum, eps),
        stats=lambda x: _over(x, (1, 2, 3)),
        updates=False,
    )
    return alone, *result[1:]


@animal(FORWARD, "dark and bright channels stay dark and bright")
def over_everything(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """one mean and variance for the whole array; every channel has its own."""
    one = np.ones((x.shape[1], 1, 1), x.dtype)
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: (x.mean() * one, x.var() * one),
    )


@animal(FORWARD, "an error, or for W equal to C statistics of columns")
def last_axis_for_the_channels(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """statistics over axes 0, 1 and 2, for every column; the channels are axis 1."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), stats=lambda x: _over(x, (0, 1, 2))
    )


@animal(FORWARD, "channels, rows and columns in disorder, and no error")
def reshaped_without_moving_axes(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """x.reshape(-1, C) as it stands mixes the channels; they have to be moved to the end first."""
    n, c, h, w = x.shape
    rows = x.reshape(-1, c).reshape(n, h, w, c).transpose(0, 3, 1, 2)
    out, cache, mean, var = batch_norm2d_forward(rows, g, b, mean, var, training, momentum, eps)
    return out.transpose(0, 2, 3, 1).reshape(x.shape), cache, mean, var


@animal(FORWARD, "normalised pictures with channels in disorder")
def not_moved_back(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the rows (N * H * W, C) are reshaped to (N, C, H, W) as they stand; it is to (N, H, W, C),
    then C is moved forward"""
    out, cache, mean, var = batch_norm2d_forward(x, g, b, mean, var, training, momentum, eps)
    return np.array(out.transpose(0, 2, 3, 1)).reshape(x.shape), cache, mean, var


# --- gamma and beta -----------------------------------------------------------------------------


@animal(FORWARD, "an error, or for W equal to C one scale a column")
def gamma_along_the_width(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma * xhat without gamma[:, None, None] scales columns; it is channels that have gammas."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: g * xhat + b
    )


@animal(FORWARD, "the net cannot undo the normalisation")
def gamma_and_beta_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma and beta are not applied."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), affine=lambda xhat: xhat)


@animal(FORWARD, "half of the inputs of each ReLU are negative for ever")
def beta_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """beta is not added."""
    return batch_norm2d_forward(x, g, 0 * b, mean, var, training, momentum, eps)


@animal(FORWARD, "outputs are all 0 at the start, where beta is 0")
def gamma_and_beta_swapped(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """gamma is added and beta multiplied."""
    return batch_norm2d_forward(x, b, g, mean, var, training, momentum, eps)


# --- training, evaluation, running statistics -----------------------------------------------------


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


@animal(FORWARD, "running statistics hardly remember anything")
def momentum_swapped(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """momentum and 1 - momentum swapped: here, as in PyTorch, momentum weighs the new batch."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        average=lambda old, new: momentum * old + (1 - momentum) * new,
    )


@animal(FORWARD, "evaluation uses zeros and ones for ever")
def never_updated(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running statistics are never updated."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, updates=False)


@animal(FORWARD, "evaluation differs a little from PyTorch's")
def biased_running_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """running_var averages the biased variance; PyTorch keeps the unbiased one, over NHW - 1."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), track=lambda var: var)


@animal(FORWARD, "running variances too large, infinite for a single picture")
def unbiased_by_the_batch_size(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running variance is made unbiased with N / (N - 1); a channel has N * H * W numbers."""
    n = np.float64(len(x))
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        track=lambda var: (var * (n / (n - 1))).astype(var.dtype),
    )


@animal(FORWARD, "outputs a little too small")
def normalised_by_the_unbiased_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the batch is normalised by the unbiased variance; it is the biased one, over N * H * W."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps),
        stats=lambda x: _over(x, (0, 2, 3), ddof=1),
        track=lambda var: var,
    )


@animal(FORWARD, "saved copies of the statistics change with them")
def statistics_in_place(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """the running statistics are changed in place (*=, +=); return new arrays."""
    out, cache, new_mean, new_var = batch_norm2d_forward(
        x, g, b, mean, var, training, momentum, eps
    )
    if training:
        mean[...], var[...] = new_mean, new_var
    return out, cache, mean, var


@animal(FORWARD, "running variances wait for a mean that has moved on")
def returned_in_another_order(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """(running_var, running_mean) is returned where (running_mean, running_var) is asked for."""
    out, cache, mean, var = batch_norm2d_forward(x, g, b, mean, var, training, momentum, eps)
    return out, cache, var, mean


# --- numbers ----------------------------------------------------------------------------------


@animal(FORWARD, "right but for channels that hardly vary")
def eps_outside_the_root(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is added to the standard deviation; it goes inside the root, to the variance."""
    return _batch_norm(
        *(x, g, b, mean, var, training, momentum, eps), root=lambda var: np.sqrt(var) + eps
    )


@animal(FORWARD, "nan for a channel that never changes")
def eps_forgotten(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is missing, in training and in evaluation."""
    return _batch_norm(x, g, b, mean, var, training, momentum, eps, root=np.sqrt)


@animal(FORWARD, "the eps that was asked for has no effect")
def eps_ignored(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """eps is always 1e-5, whatever was asked for."""
    return batch_norm2d_forward(x, g, b, mean, var, training, momentum, 1e-5)


@animal(FORWARD, "outputs depend on the unit of the inputs")
def divided_by_the_variance(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """divided by the variance; it should be its square root."""
    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), root=lambda var: var + eps)


@animal(FORWARD, "noise or nan where the mean is much larger than the deviation")
def mean_of_squares_minus_square(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """E[x^2] - E[x]^2 subtracts two large numbers; subtract the mean first."""

    def stats(x):
        mean = x.mean(axis=(0, 2, 3), keepdims=True)
        return mean, (x * x).mean(axis=(0, 2, 3), keepdims=True) - mean**2

    return _batch_norm(*(x, g, b, mean, var, training, momentum, eps), stats=stats)


@animal(FORWARD, "the layer before finds its outputs changed")
def x_centred_in_place(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """x -= mean changes the caller's array."""
    result = batch_norm2d_forward(x.copy(), g, b, mean, var, training, momentum, eps)
    x -= x.mean(axis=(0, 2, 3), keepdims=True) if training else _channels(mean)
    return result


@animal(FORWARD, "everything after it runs in float64")
def float64_output(x, g, b, mean, var, training, momentum=0.1, eps=1e-5):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out, *rest = batch_norm2d_forward(x, g, b, mean, var, training, momentum, eps)
    return out.astype(np.float64), *rest
