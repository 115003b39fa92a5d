"""Wrong ways to fold batch norm into the linear layer before it."""

import numpy as np

from coursekit.checks.references_norm import fold_batch_norm
from coursekit.checks.zoo.animal import animal

FOLD = "fold_batch_norm"


@animal(FOLD, "the folded net gives other answers")
def gamma_alone(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """the scale is gamma; it is gamma / sqrt(running_var + eps)."""
    return w * gamma[:, None], (b - running_mean) * gamma + beta


@animal(FOLD, "large wherever a unit hardly varies")
def fold_without_eps(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """eps is missing under the root."""
    return fold_batch_norm(w, b, gamma, beta, running_mean, running_var, 0.0)


@animal(FOLD, "the eps that was asked for has no effect")
def fold_with_its_own_eps(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """eps is always 1e-5, whatever was asked for."""
    return fold_batch_norm(w, b, gamma, beta, running_mean, running_var, 1e-5)


@animal(FOLD, "right but for units that hardly vary")
def fold_with_eps_outside(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """eps is added to the standard deviation; it goes inside the root, to the variance."""
    scale = gamma / (np.sqrt(running_var) + eps)
    return w * scale[:, None], (b - running_mean) * scale + beta


@animal(FOLD, "the folded net gives other answers")
def fold_by_the_variance(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """divided by running_var; it should be its square root."""
    scale = gamma / (running_var + eps)
    return w * scale[:, None], (b - running_mean) * scale + beta


@animal(FOLD, "an error, unless the weights are square")
def columns_scaled(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """the columns of w are scaled; a unit's weights are a row."""
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale, (b - running_mean) * scale + beta


@animal(FOLD, "outputs shifted where running means are far from 0")
def fold_without_the_mean(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """running_mean is left out of the bias."""
    return fold_batch_norm(w, b, gamma, beta, 0 * running_mean, running_var, eps)


@animal(FOLD, "outputs shifted wherever the linear layer has a bias")
def old_bias_forgotten(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """the linear layer's own bias b is left out; it is normalised with the rest."""
    return fold_batch_norm(w, 0 * b, gamma, beta, running_mean, running_var, eps)


@animal(FOLD, "outputs shifted wherever the linear layer has a bias")
def old_bias_not_scaled(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """b is added as it is; it passes through the normalisation and is scaled there."""
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale[:, None], b - running_mean * scale + beta


@animal(FOLD, "outputs shifted where running means are far from 0")
def mean_not_scaled(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """running_mean is subtracted after the scaling; it is scaled as well."""
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale[:, None], b * scale - running_mean + beta


@animal(FOLD, "outputs shifted the wrong way")
def mean_added(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """running_mean is added; batch norm subtracts it."""
    return fold_batch_norm(w, b, gamma, beta, -running_mean, running_var, eps)


@animal(FOLD, "shifts come out too large or too small")
def beta_scaled(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """beta is scaled as well; it is added last."""
    scale = gamma / np.sqrt(running_var + eps)
    return w * scale[:, None], (b - running_mean + beta) * scale


@animal(FOLD, "outputs shifted by beta")
def fold_without_beta(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """beta is left out of the bias."""
    return fold_batch_norm(w, b, gamma, 0 * beta, running_mean, running_var, eps)


@animal(FOLD, "the net that was to be kept is changed")
def folded_in_place(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """w is scaled in place (*=); return a new array."""
    folded = fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps)
    w[...] = folded[0]
    return folded
