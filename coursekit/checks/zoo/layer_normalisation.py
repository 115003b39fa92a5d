"""Wrong layer norms, forward and backward."""

import numpy as np

from coursekit.checks.references_norm import layer_norm_backward, layer_norm_forward
from coursekit.checks.zoo.animal import animal

FORWARD, BACKWARD = "layer_norm_forward", "layer_norm_backward"

# --- forward --------------------------------------------------------------------------------


def _layer_norm(x, gamma, beta, eps, **bugs):
    """Layer norm written out, with a place for each bug."""
    bug = {
        "mean": lambda x: x.mean(axis=1, keepdims=True),
        "var": lambda x: x.var(axis=1, keepdims=True),
        "root": lambda var: np.sqrt(var + eps),
        "affine": lambda xhat: gamma * xhat + beta,
    } | bugs
    xhat = (x - bug["mean"](x)) / bug["root"](bug["var"](x))
    return bug["affine"](xhat), xhat


@animal(FORWARD, "every row's output depends on the other rows")
def over_the_batch(x, gamma, beta, eps=1e-5):
    """statistics over axis 0, which is batch norm; layer norm's are over the features."""
    return _layer_norm(x, gamma, beta, eps, mean=lambda x: x.mean(axis=0), var=lambda x: x.var(0))


@animal(FORWARD, "every row's output depends on the other rows")
def over_everything(x, gamma, beta, eps=1e-5):
    """one mean and variance for the whole batch; every row has its own."""
    return _layer_norm(x, gamma, beta, eps, mean=np.mean, var=np.var)


@animal(FORWARD, "an error, or for N equal to D rows that get each other's mean")
def keepdims_forgotten(x, gamma, beta, eps=1e-5):
    """without keepdims the row statistics are taken for those of columns."""
    return _layer_norm(
        *(x, gamma, beta, eps), mean=lambda x: x.mean(axis=1), var=lambda x: x.var(axis=1)
    )


@animal(FORWARD, "outputs a little too small, most for few features")
def unbiased_variance(x, gamma, beta, eps=1e-5):
    """the variance is the unbiased one; layer norm divides by the number of features."""
    return _layer_norm(x, gamma, beta, eps, var=lambda x: x.var(axis=1, ddof=1, keepdims=True))


@animal(FORWARD, "another normalisation, and not a bad one")
def root_mean_square(x, gamma, beta, eps=1e-5):
    """the mean is not subtracted, which is RMSNorm."""
    return _layer_norm(
        *(x, gamma, beta, eps),
        mean=lambda x: x.dtype.type(0),
        var=lambda x: (x * x).mean(axis=1, keepdims=True),
    )


@animal(FORWARD, "outputs are not centred")
def mean_not_subtracted(x, gamma, beta, eps=1e-5):
    """x is divided by its deviation, but its mean is not subtracted."""
    return _layer_norm(x, gamma, beta, eps, mean=lambda x: x.dtype.type(0))


@animal(FORWARD, "outputs far too small wherever means are large")
def layer_mean_square_for_variance(x, gamma, beta, eps=1e-5):
    """the variance is taken of x without its mean subtracted."""
    return _layer_norm(x, gamma, beta, eps, var=lambda x: (x * x).mean(axis=1, keepdims=True))


@animal(FORWARD, "noise or nan where the mean is much larger than the deviation")
def layer_mean_of_squares_minus_square(x, gamma, beta, eps=1e-5):
    """E[x^2] - E[x]^2 subtracts two large numbers; subtract the mean first."""

    def var(x):
        mean = x.mean(axis=1, keepdims=True)
        return (x * x).mean(axis=1, keepdims=True) - mean**2

    return _layer_norm(x, gamma, beta, eps, var=var)


@animal(FORWARD, "outputs depend on the unit of the inputs")
def layer_divided_by_the_variance(x, gamma, beta, eps=1e-5):
    """divided by the variance; it should be its square root."""
    return _layer_norm(x, gamma, beta, eps, root=lambda var: var + eps)


@animal(FORWARD, "right but for rows that hardly vary")
def layer_eps_outside_the_root(x, gamma, beta, eps=1e-5):
    """eps is added to the standard deviation; it goes inside the root, to the variance."""
    return _layer_norm(x, gamma, beta, eps, root=lambda var: np.sqrt(var) + eps)


@animal(FORWARD, "nan for a row of equal numbers")
def layer_eps_forgotten(x, gamma, beta, eps=1e-5):
    """eps is missing."""
    return _layer_norm(x, gamma, beta, eps, root=np.sqrt)


@animal(FORWARD, "the eps that was asked for has no effect")
def layer_eps_ignored(x, gamma, beta, eps=1e-5):
    """eps is always 1e-5, whatever was asked for."""
    return layer_norm_forward(x, gamma, beta, 1e-5)


@animal(FORWARD, "the net cannot undo the normalisation")
def layer_gamma_and_beta_forgotten(x, gamma, beta, eps=1e-5):
    """gamma and beta are not applied."""
    return _layer_norm(x, gamma, beta, eps, affine=lambda xhat: xhat)


@animal(FORWARD, "features that cannot be shifted")
def layer_beta_forgotten(x, gamma, beta, eps=1e-5):
    """beta is not added."""
    return _layer_norm(x, gamma, beta, eps, affine=lambda xhat: gamma * xhat)


@animal(FORWARD, "outputs are all 0 at the start, where beta is 0")
def layer_gamma_and_beta_swapped(x, gamma, beta, eps=1e-5):
    """gamma is added and beta multiplied."""
    return layer_norm_forward(x, beta, gamma, eps)


@animal(FORWARD, "an error, or for N equal to D one scale a row")
def gamma_for_each_row(x, gamma, beta, eps=1e-5):
    """gamma[:, None] gives every row a scale; gamma and beta belong to the features."""
    return _layer_norm(
        *(x, gamma, beta, eps), affine=lambda xhat: gamma[:, None] * xhat + beta[:, None]
    )


@animal(FORWARD, "the layer before finds its outputs changed")
def layer_x_centred_in_place(x, gamma, beta, eps=1e-5):
    """x -= mean changes the caller's array."""
    result = layer_norm_forward(x.copy(), gamma, beta, eps)
    x -= x.mean(axis=1, keepdims=True)
    return result


@animal(FORWARD, "everything after it runs in float64")
def layer_float64(x, gamma, beta, eps=1e-5):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out = np.zeros(x.shape)
    out[:], cache = layer_norm_forward(x, gamma, beta, eps)
    return out, cache


# --- backward; the reference's cache is (xhat, ivar, gamma), ivar of shape (N, 1) --------------


def _backward(dout, cache, **bugs):
    """The closed form with a place for each bug."""
    xhat, ivar, gamma = cache
    bug = {
        "dxhat": dout * gamma,
        "mean": lambda a: a.mean(axis=1, keepdims=True),
        "through_mean": 1,
        "through_var": 1,
        "scale": ivar,
        "dgamma": (dout * xhat).sum(axis=0),
        "dbeta": dout.sum(axis=0),
    } | bugs
    dxhat = bug["dxhat"]
    through_mean = bug["through_mean"] * bug["mean"](dxhat)
    through_var = bug["through_var"] * xhat * bug["mean"](dxhat * xhat)
    return bug["scale"] * (dxhat - through_mean - through_var), bug["dgamma"], bug["dbeta"]


@animal(BACKWARD, "right as long as gamma is 1 everywhere")
def gamma_outside_the_means(dout, cache):
    """gamma multiplies at the end, as in batch norm; here it differs within a row's means."""
    _, ivar, gamma = cache
    return _backward(dout, cache, dxhat=dout, scale=gamma * ivar)


@animal(BACKWARD, "this is batch norm's backward")
def means_over_the_batch(dout, cache):
    """the means in dx run over axis 0; layer norm's run over the features of a row."""
    return _backward(dout, cache, mean=lambda a: a.mean(axis=0))


@animal(BACKWARD, "right as long as gamma is 1")
def layer_dx_without_gamma(dout, cache):
    """dx does not contain gamma: dxhat is dout * gamma."""
    return _backward(dout, cache, dxhat=dout)


@animal(BACKWARD, "mean and variance count as constants")
def layer_constant_statistics(dout, cache):
    """mean and variance are treated as constants: dx = dout * gamma * ivar."""
    return _backward(dout, cache, through_mean=0, through_var=0)


@animal(BACKWARD, "a row's gradients do not sum to 0, as they should")
def layer_mean_term_missing(dout, cache):
    """dx lacks the term through the mean, mean(dxhat)."""
    return _backward(dout, cache, through_mean=0)


@animal(BACKWARD, "a row's scale gets a gradient, though it has no effect")
def layer_variance_term_missing(dout, cache):
    """dx lacks the term through the variance, xhat * mean(dxhat * xhat)."""
    return _backward(dout, cache, through_var=0)


@animal(BACKWARD, "the gradient through the variance has the wrong sign")
def layer_variance_term_added(dout, cache):
    """the term through the variance is added; it is subtracted."""
    return _backward(dout, cache, through_var=-1)


@animal(BACKWARD, "right for square batches only")
def divided_by_the_batch(dout, cache):
    """the means divide by N, the rows; a row's mean divides by D, its features."""
    return _backward(dout, cache, mean=lambda a: a.sum(axis=1, keepdims=True) / len(a))


@animal(BACKWARD, "gradients a little too small")
def layer_over_d_minus_one(dout, cache):
    """the means divide by D - 1; the forward's statistics divide by D."""
    d = dout.shape[1]
    return _backward(dout, cache, mean=lambda a: a.sum(axis=1, keepdims=True) / (d - 1))


@animal(BACKWARD, "gradients D times too large")
def not_divided_by_d(dout, cache):
    """D * dxhat - sum(dxhat) - xhat * sum(dxhat * xhat) is not divided by D."""
    return _backward(dout, cache, scale=cache[1] * dout.shape[1])


@animal(BACKWARD, "right for rows that have deviation 1 already")
def layer_dx_without_ivar(dout, cache):
    """dx is not divided by the standard deviation."""
    return _backward(dout, cache, scale=1)


@animal(BACKWARD, "an error, or for N equal to D parameters that learn from rows")
def parameters_summed_over_features(dout, cache):
    """dgamma and dbeta are summed over the features; all rows share them, so sum over axis 0."""
    return _backward(*(dout, cache), dgamma=(dout * cache[0]).sum(axis=1), dbeta=dout.sum(axis=1))


@animal(BACKWARD, "gamma learns what beta should")
def layer_dgamma_without_xhat(dout, cache):
    """dgamma does not use xhat: it sums dout alone."""
    return _backward(dout, cache, dgamma=dout.sum(axis=0))


@animal(BACKWARD, "gamma learns too fast where it is large")
def layer_dgamma_times_gamma(dout, cache):
    """dgamma is taken from dxhat = dout * gamma; gamma's own gradient does not contain gamma."""
    return _backward(dout, cache, dgamma=(dout * cache[2] * cache[0]).sum(axis=0))


@animal(BACKWARD, "gamma learns N times too slowly")
def layer_dgamma_mean(dout, cache):
    """dgamma is a mean over the batch; the chain rule sums."""
    return _backward(dout, cache, dgamma=(dout * cache[0]).mean(axis=0))


@animal(BACKWARD, "beta learns N times too slowly")
def layer_dbeta_mean(dout, cache):
    """dbeta is the mean of dout over the batch; the chain rule sums."""
    return _backward(dout, cache, dbeta=dout.mean(axis=0))


@animal(BACKWARD, "gamma and beta learn each other's lesson")
def layer_gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dgamma, dbeta)."""
    dx, dgamma, dbeta = layer_norm_backward(dout, cache)
    return dx, dbeta, dgamma


@animal(BACKWARD, "the layer after it finds its gradient changed")
def layer_dout_in_place(dout, cache):
    """dout is changed in place (*= gamma)."""
    gradients = layer_norm_backward(dout.copy(), cache)
    dout *= cache[2]
    return gradients


@animal(BACKWARD, "everything before it runs in float64")
def layer_float64_dx(dout, cache):
    """dx becomes float64."""
    dx, dgamma, dbeta = layer_norm_backward(dout, cache)
    return dx.astype(np.float64), dgamma, dbeta
