"""Wrong backward passes of batch norm on the graph: one step wrong at a time.

An early mistake spoils what comes after it, as it would for a learner; the check names the first.
"""

import numpy as np

from coursekit.checks.zoo.animal import animal

STEPS = "batch_norm_backward_steps"

RIGHT_STEPS = {
    "dbeta": lambda d, v: d["dout"].sum(axis=0),
    "dgamma": lambda d, v: (d["dout"] * v["xhat"]).sum(axis=0),
    "dxhat": lambda d, v: d["dout"] * v["gamma"],
    "divar": lambda d, v: (d["dxhat"] * v["xmu"]).sum(axis=0),
    "dstd": lambda d, v: -d["divar"] / v["std"] ** 2,
    "dvar": lambda d, v: d["dstd"] * 0.5 / v["std"],
    "dsq": lambda d, v: np.ones_like(v["sq"]) * d["dvar"] / len(v["sq"]),
    "dxmu_xhat": lambda d, v: d["dxhat"] * v["ivar"],
    "dxmu_sq": lambda d, v: 2 * v["xmu"] * d["dsq"],
    "dxmu": lambda d, v: d["dxmu_xhat"] + d["dxmu_sq"],
    "dmu": lambda d, v: -d["dxmu"].sum(axis=0),
    "dx": lambda d, v: d["dxmu"] + d["dmu"] / len(v["x"]),
}


def _steps(dout, v, **bugs):
    """The steps in order, some of them replaced."""
    d = {"dout": dout}
    for name, step in (RIGHT_STEPS | bugs).items():
        d[name] = step(d, v)
    del d["dout"]
    return d


@animal(STEPS, "biases learn N times too slowly")
def dbeta_averaged(dout, v):
    """dbeta is the mean of dout over the batch; the chain rule sums."""
    return _steps(dout, v, dbeta=lambda d, v: dout.mean(axis=0))


@animal(STEPS, "gamma learns what beta should")
def dgamma_without_xhat(dout, v):
    """dgamma does not use xhat: it sums dout alone."""
    return _steps(dout, v, dgamma=lambda d, v: dout.sum(axis=0))


@animal(STEPS, "gamma's gradient depends on the unit of the inputs")
def dgamma_from_x(dout, v):
    """dgamma uses x; gamma multiplies xhat."""
    return _steps(dout, v, dgamma=lambda d, v: (dout * v["x"]).sum(axis=0))


@animal(STEPS, "gamma's gradient contains beta")
def dgamma_from_out(dout, v):
    """dgamma uses out; gamma multiplies xhat."""
    return _steps(dout, v, dgamma=lambda d, v: (dout * v["out"]).sum(axis=0))


@animal(STEPS, "gamma becomes a matrix at the first update")
def dgamma_not_summed(dout, v):
    """dgamma is not summed over the batch."""
    return _steps(dout, v, dgamma=lambda d, v: dout * v["xhat"])


@animal(STEPS, "right as long as gamma is 1")
def dxhat_without_gamma(dout, v):
    """dxhat is dout; it is dout * gamma."""
    return _steps(dout, v, dxhat=lambda d, v: dout.copy())


@animal(STEPS, "the gradient through the deviation is wrong")
def divar_from_xhat(dout, v):
    """divar uses xhat; xhat is xmu * ivar, so its derivative is xmu."""
    return _steps(dout, v, divar=lambda d, v: (d["dxhat"] * v["xhat"]).sum(axis=0))


@animal(STEPS, "one deviation a row instead of one a feature")
def divar_not_summed(dout, v):
    """divar is not summed over the batch, though all rows share one ivar."""
    return _steps(
        *(dout, v),
        divar=lambda d, v: d["dxhat"] * v["xmu"],
        dsq=lambda d, v: d["dvar"] / len(v["sq"]),
    )


@animal(STEPS, "the variance is pushed the wrong way")
def dstd_without_the_minus(dout, v):
    """the derivative of 1 / std is -1 / std^2: the minus is missing."""
    return _steps(dout, v, dstd=lambda d, v: d["divar"] / v["std"] ** 2)


@animal(STEPS, "right as long as std is 1")
def dstd_not_squared(dout, v):
    """the derivative of 1 / std is -1 / std^2: the square is missing."""
    return _steps(dout, v, dstd=lambda d, v: -d["divar"] / v["std"])


@animal(STEPS, "right but for features that hardly vary")
def dstd_without_eps(dout, v):
    """dstd divides by var; std^2 is var + eps."""
    return _steps(dout, v, dstd=lambda d, v: -d["divar"] / v["var"])


@animal(STEPS, "the gradient through the variance is twice too large")
def dvar_without_the_half(dout, v):
    """the derivative of the root is 1 / (2 std): the 2 is missing."""
    return _steps(dout, v, dvar=lambda d, v: d["dstd"] / v["std"])


@animal(STEPS, "right as long as var is 1")
def dvar_over_the_variance(dout, v):
    """dvar divides by 2 (var + eps); the derivative of the root is 1 / (2 std)."""
    return _steps(dout, v, dvar=lambda d, v: d["dstd"] * 0.5 / v["std"] ** 2)


@animal(STEPS, "right but for features that hardly vary")
def dvar_without_eps(dout, v):
    """dvar divides by 2 sqrt(var); the eps under the root is missing."""
    return _steps(dout, v, dvar=lambda d, v: d["dstd"] * 0.5 / np.sqrt(v["var"]))


@animal(STEPS, "the gradient through the variance is N times too large")
def dsq_not_divided(dout, v):
    """var is a mean: each entry of sq gets dvar / N, not dvar."""
    return _steps(dout, v, dsq=lambda d, v: np.ones_like(v["sq"]) * d["dvar"])


@animal(STEPS, "off by N / (N - 1)")
def dsq_over_n_minus_one(dout, v):
    """dsq divides by N - 1; the variance in the graph is the biased one, over N."""
    return _steps(dout, v, dsq=lambda d, v: np.ones_like(v["sq"]) * d["dvar"] / (len(v["sq"]) - 1))


@animal(STEPS, "works by broadcasting until somebody sums it")
def dsq_one_row(dout, v):
    """dsq has the shape of var; it is the gradient of sq, one entry for each of its entries."""
    return _steps(dout, v, dsq=lambda d, v: d["dvar"] / len(v["sq"]))


@animal(STEPS, "gradients grow where they should shrink")
def dxmu_by_the_deviation(dout, v):
    """dxmu_xhat multiplies with std; xhat is xmu * ivar."""
    return _steps(dout, v, dxmu_xhat=lambda d, v: d["dxhat"] * v["std"])


@animal(STEPS, "half of the gradient through the variance is missing")
def dxmu_without_the_two(dout, v):
    """the derivative of xmu^2 is 2 xmu: the 2 is missing."""
    return _steps(dout, v, dxmu_sq=lambda d, v: v["xmu"] * d["dsq"])


@animal(STEPS, "gradients depend on where zero is")
def dxmu_sq_from_x(dout, v):
    """dxmu_sq uses x; sq is the square of xmu."""
    return _steps(dout, v, dxmu_sq=lambda d, v: 2 * v["x"] * d["dsq"])


@animal(STEPS, "the variance counts as a constant")
def dxmu_overwritten(dout, v):
    """xmu is used twice, so its two gradients add up; only the one through xhat is kept."""
    return _steps(dout, v, dxmu=lambda d, v: d["dxmu_xhat"] * 1)


@animal(STEPS, "most of the gradient is missing")
def dxmu_overwritten_by_the_second(dout, v):
    """xmu is used twice, so its two gradients add up; only the one through sq is kept."""
    return _steps(dout, v, dxmu=lambda d, v: d["dxmu_sq"] * 1)


@animal(STEPS, "an earlier gradient changes behind one's back")
def dxmu_added_in_place(dout, v):
    """dxmu = dxmu_xhat, then dxmu += dxmu_sq changes dxmu_xhat as well: both are one array."""
    d = _steps(dout, v)
    d["dxmu_xhat"][...] = d["dxmu"]
    return d


@animal(STEPS, "the mean's gradient has the wrong sign")
def dmu_without_the_minus(dout, v):
    """xmu is x - mu: the minus is missing in dmu."""
    return _steps(dout, v, dmu=lambda d, v: d["dxmu"].sum(axis=0))


@animal(STEPS, "the mean's gradient is N times too small")
def dmu_mean(dout, v):
    """dmu is a mean over the batch; all rows subtract one mu, so their gradients add up."""
    return _steps(dout, v, dmu=lambda d, v: -d["dxmu"].mean(axis=0))


@animal(STEPS, "the mean counts as a constant")
def dx_without_the_mean(dout, v):
    """x reaches the output through mu as well: dx lacks dmu / N."""
    return _steps(dout, v, dx=lambda d, v: d["dxmu"] * 1)


@animal(STEPS, "the mean's gradient counts N times")
def dx_with_the_whole_dmu(dout, v):
    """mu is a mean: each row gets dmu / N, not dmu."""
    return _steps(dout, v, dx=lambda d, v: d["dxmu"] + d["dmu"])


@animal(STEPS, "the mean's part of the gradient has the wrong sign")
def dx_minus_dmu(dout, v):
    """dx subtracts dmu / N, but dmu holds its minus already."""
    return _steps(dout, v, dx=lambda d, v: d["dxmu"] - d["dmu"] / len(v["x"]))


@animal(STEPS, "the layer after it finds its gradient changed")
def steps_in_place(dout, v):
    """dout is changed in place (*= gamma)."""
    d = _steps(dout.copy(), v)
    dout *= v["gamma"]
    return d


@animal(STEPS, "everything before it runs in float64")
def float64_steps(dout, v):
    """np.ones without a dtype makes dsq, and all that follows, float64."""
    ones = np.ones(dout.shape)
    return _steps(dout, v, dsq=lambda d, v: ones * d["dvar"] / len(v["sq"]))
