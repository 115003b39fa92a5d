"""Wrong group norms, forward."""

import numpy as np

from coursekit.checks.references_conv_norm import group_norm_forward
from coursekit.checks.zoo.animal import animal

FORWARD = "group_norm_forward"


def _channels(a):
    """(C,) as something that broadcasts along axis 1 of (N, C, H, W)."""
    return a[:, None, None]


def _group_norm(x, gamma, beta, num_groups, eps, **bugs):
    """Group norm over (N, G, C / G, H, W), with a place for each bug."""
    bug = {
        "axes": (2, 3, 4),
        "mean": lambda g: g.mean(axis=bug["axes"], keepdims=True),
        "var": lambda g: g.var(axis=bug["axes"], keepdims=True),
        "root": lambda var: np.sqrt(var + eps),
        "affine": lambda xhat: _channels(gamma) * xhat + _channels(beta),
    } | bugs
    n, c, h, w = x.shape
    grouped = x.reshape(n, num_groups, c // num_groups, h, w)
    xhat = (grouped - bug["mean"](grouped)) / bug["root"](bug["var"](grouped))
    return bug["affine"](xhat.reshape(x.shape)), None


@animal(FORWARD, "a picture's output depends on the other pictures")
def over_the_batch_too(x, gamma, beta, num_groups, eps=1e-5):
    """statistics run over the batch too; every picture is normalised by itself."""
    return _group_norm(x, gamma, beta, num_groups, eps, axes=(0, 2, 3, 4))


@animal(FORWARD, "this is batch norm")
def over_the_batch_and_the_pixels(x, gamma, beta, num_groups, eps=1e-5):
    """statistics over the batch and the pixels, for each channel, which is batch norm."""
    return _group_norm(x, gamma, beta, num_groups, eps, axes=(0, 3, 4))


@animal(FORWARD, "num_groups has no effect")
def one_group(x, gamma, beta, num_groups, eps=1e-5):
    """num_groups is ignored: statistics run over all channels, which is layer norm."""
    return group_norm_forward(x, gamma, beta, 1, eps)


@animal(FORWARD, "num_groups has no effect")
def over_the_pixels_only(x, gamma, beta, num_groups, eps=1e-5):
    """statistics run over the pixels of each channel, which is instance norm; a group's run over
    its channels too"""
    return _group_norm(x, gamma, beta, num_groups, eps, axes=(3, 4))


@animal(FORWARD, "light and shadow disappear")
def over_the_channels_only(x, gamma, beta, num_groups, eps=1e-5):
    """statistics run over a group's channels at each pixel; they run over the pixels too."""
    return _group_norm(x, gamma, beta, num_groups, eps, axes=(2,))


@animal(FORWARD, "rows of a picture are normalised by themselves")
def over_channels_and_columns(x, gamma, beta, num_groups, eps=1e-5):
    """the rows are left out of the statistics: they run over axes 2, 3 and 4 of (N, G, C / G, H,
    W)"""
    return _group_norm(x, gamma, beta, num_groups, eps, axes=(2, 4))


@animal(FORWARD, "right only where there are as many groups as channels in each")
def groups_for_channels_in_a_group(x, gamma, beta, num_groups, eps=1e-5):
    """num_groups is taken for the channels in a group; it is the number of groups."""
    return group_norm_forward(x, gamma, beta, x.shape[1] // num_groups, eps)


@animal(FORWARD, "other groups than PyTorch's")
def every_other_channel(x, gamma, beta, num_groups, eps=1e-5):
    """channel c is put into group c % num_groups; a group holds channels side by side."""
    n, c, h, w = x.shape
    one, zero = np.ones(c, x.dtype), np.zeros(c, x.dtype)
    moved = x.reshape(n, c // num_groups, num_groups, h, w).swapaxes(1, 2).reshape(x.shape)
    xhat, _ = group_norm_forward(moved, one, zero, num_groups, eps)
    back = xhat.reshape(n, num_groups, c // num_groups, h, w).swapaxes(1, 2).reshape(x.shape)
    return _channels(gamma) * back + _channels(beta), None


@animal(FORWARD, "pictures share groups; right for one picture")
def batch_forgotten_in_the_shape(x, gamma, beta, num_groups, eps=1e-5):
    """x.reshape(G, -1) forgets the batch; the groups are x.reshape(N, G, -1)."""
    groups = x.reshape(num_groups, -1)
    mean, var = groups.mean(axis=1, keepdims=True), groups.var(axis=1, keepdims=True)
    xhat = ((groups - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return _channels(gamma) * xhat + _channels(beta), None


@animal(FORWARD, "an error, or for W equal to C one scale a column")
def gamma_along_the_width(x, gamma, beta, num_groups, eps=1e-5):
    """gamma * xhat without gamma[:, None, None] scales columns; it is channels that have gammas."""
    return _group_norm(*(x, gamma, beta, num_groups, eps), affine=lambda xhat: gamma * xhat + beta)


@animal(FORWARD, "channels of a group cannot differ in scale")
def gamma_for_each_group(x, gamma, beta, num_groups, eps=1e-5):
    """gamma[g] and beta[g] are used for all channels of group g; each channel has its own."""
    of = np.repeat(np.arange(num_groups), x.shape[1] // num_groups)
    return group_norm_forward(x, gamma[of], beta[of], num_groups, eps)


@animal(FORWARD, "the net cannot undo the normalisation")
def gamma_and_beta_forgotten(x, gamma, beta, num_groups, eps=1e-5):
    """gamma and beta are not applied."""
    return _group_norm(x, gamma, beta, num_groups, eps, affine=lambda xhat: xhat)


@animal(FORWARD, "channels that cannot be shifted")
def beta_forgotten(x, gamma, beta, num_groups, eps=1e-5):
    """beta is not added."""
    return group_norm_forward(x, gamma, 0 * beta, num_groups, eps)


@animal(FORWARD, "outputs are all 0 at the start, where beta is 0")
def gamma_and_beta_swapped(x, gamma, beta, num_groups, eps=1e-5):
    """gamma is added and beta multiplied."""
    return group_norm_forward(x, beta, gamma, num_groups, eps)


@animal(FORWARD, "outputs a little too small")
def unbiased_variance(x, gamma, beta, num_groups, eps=1e-5):
    """the variance is the unbiased one; group norm divides by the group's count of numbers."""
    return _group_norm(
        *(x, gamma, beta, num_groups, eps),
        var=lambda g: g.var(axis=(2, 3, 4), ddof=1, keepdims=True),
    )


@animal(FORWARD, "outputs are not centred")
def mean_not_subtracted(x, gamma, beta, num_groups, eps=1e-5):
    """x is divided by its deviation, but its mean is not subtracted."""
    return _group_norm(*(x, gamma, beta, num_groups, eps), mean=lambda g: g.dtype.type(0))


@animal(FORWARD, "outputs far too small wherever means are large")
def mean_square_for_variance(x, gamma, beta, num_groups, eps=1e-5):
    """the variance is taken of x without its mean subtracted."""
    return _group_norm(
        *(x, gamma, beta, num_groups, eps),
        var=lambda g: (g * g).mean(axis=(2, 3, 4), keepdims=True),
    )


@animal(FORWARD, "noise or nan where the mean is much larger than the deviation")
def mean_of_squares_minus_square(x, gamma, beta, num_groups, eps=1e-5):
    """E[x^2] - E[x]^2 subtracts two large numbers; subtract the mean first."""

    def var(g):
        mean = g.mean(axis=(2, 3, 4), keepdims=True)
        return (g * g).mean(axis=(2, 3, 4), keepdims=True) - mean**2

    return _group_norm(x, gamma, beta, num_groups, eps, var=var)


@animal(FORWARD, "outputs depend on the unit of the inputs")
def divided_by_the_variance(x, gamma, beta, num_groups, eps=1e-5):
    """divided by the variance; it should be its square root."""
    return _group_norm(x, gamma, beta, num_groups, eps, root=lambda var: var + eps)


@animal(FORWARD, "right but for groups that hardly vary")
def eps_outside_the_root(x, gamma, beta, num_groups, eps=1e-5):
    """eps is added to the standard deviation; it goes inside the root, to the variance."""
    return _group_norm(x, gamma, beta, num_groups, eps, root=lambda var: np.sqrt(var) + eps)


@animal(FORWARD, "nan for a group of equal numbers")
def eps_forgotten(x, gamma, beta, num_groups, eps=1e-5):
    """eps is missing."""
    return _group_norm(x, gamma, beta, num_groups, eps, root=np.sqrt)


@animal(FORWARD, "the eps that was asked for has no effect")
def eps_ignored(x, gamma, beta, num_groups, eps=1e-5):
    """eps is always 1e-5, whatever was asked for."""
    return group_norm_forward(x, gamma, beta, num_groups, 1e-5)


@animal(FORWARD, "the layer before finds its outputs changed")
def x_centred_in_place(x, gamma, beta, num_groups, eps=1e-5):
    """x -= mean changes the caller's array."""
    result = group_norm_forward(x.copy(), gamma, beta, num_groups, eps)
    x -= x.mean(axis=(1, 2, 3), keepdims=True)
    return result


@animal(FORWARD, "everything after it runs in float64")
def float64_output(x, gamma, beta, num_groups, eps=1e-5):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out, cache = group_norm_forward(x, gamma, beta, num_groups, eps)
    return out.astype(np.float64), cache
