"""Wrong confidence bands: values (..., seeds) -> mean, half width."""

from math import sqrt

import numpy as np

from coursekit.checks.references_dropout import confidence_band
from coursekit.checks.zoo.animal import animal

BAND = "confidence_band"


def _band(values, *, level=0.975, df=None, ddof=1, n=None, axis=-1):
    """The interval with a place for each bug."""
    from scipy.special import stdtrit

    count = values.shape[axis]
    t = stdtrit(count - 1 if df is None else df, level)
    half_width = t * values.std(axis=axis, ddof=ddof) / sqrt(count if n is None else n)
    return values.mean(axis=axis), half_width


@animal(BAND, "bands too narrow, most for few seeds")
def normal_quantile(values):
    """1.96 is the normal quantile; few seeds need Student's t with n - 1 degrees of freedom."""
    return _band(values, df=np.inf)


@animal(BAND, "bands too narrow, most for few seeds")
def biased_deviation(values):
    """the deviation divides by n (NumPy's default); estimated from a sample it needs ddof=1."""
    return _band(values, ddof=0)


@animal(BAND, "bands that do not shrink with more seeds")
def not_divided_by_root_n(values):
    """not divided by sqrt(n): this is where one run may fall, not where the mean lies."""
    return _band(values, n=1)


@animal(BAND, "bands too narrow")
def divided_by_n(values):
    """divided by n; it should be its square root."""
    return _band(values, n=values.shape[-1] ** 2)


@animal(BAND, "bands too wide, most for few seeds")
def divided_by_root_n_minus_one(values):
    """divided by sqrt(n - 1), though the deviation has its n - 1 already."""
    return _band(values, n=values.shape[-1] - 1)


@animal(BAND, "bands too narrow, most for few seeds")
def degrees_of_freedom_n(values):
    """Student's t with n degrees of freedom; a deviation from n values has n - 1."""
    return _band(values, df=values.shape[-1])


@animal(BAND, "90 % where 95 % is asked for")
def one_sided_quantile(values):
    """the quantile at 0.95 leaves 5 % on each side; 95 % between them needs 0.975."""
    return _band(values, level=0.95)


@animal(BAND, "bands of 68 %, or less for few seeds")
def standard_error_alone(values):
    """the standard error is not multiplied by Student's t."""
    mean, _ = _band(values)
    return mean, values.std(axis=-1, ddof=1) / sqrt(values.shape[-1])


@animal(BAND, "bands of 68 %")
def standard_deviation_alone(values):
    """the standard deviation; the band is t * deviation / sqrt(n)."""
    mean, _ = _band(values)
    return mean, values.std(axis=-1, ddof=1)


@animal(BAND, "bands that depend on the unit")
def variance_for_deviation(values):
    """the variance takes the place of the standard deviation."""
    mean, half_width = _band(values)
    return mean, half_width * values.std(axis=-1, ddof=1)


@animal(BAND, "one band for each seed, not for each arm")
def over_the_first_axis(values):
    """the statistics run over axis 0, the arms; the seeds are the last axis."""
    return _band(values, axis=0)


@animal(BAND, "one band for all arms")
def over_all_values(values):
    """all values are thrown together; each arm has its own mean and band."""
    return _band(values.ravel())


@animal(BAND, "bands twice too wide where they are drawn as mean ± half width")
def full_width(values):
    """the whole width of the interval; half of it is asked for."""
    mean, half_width = _band(values)
    return mean, 2 * half_width


@animal(BAND, "the lower end is drawn as the mean")
def both_ends(values):
    """the two ends of the interval are returned; mean and half width are asked for."""
    mean, half_width = confidence_band(values)
    return mean - half_width, mean + half_width


@animal(BAND, "a centre that the band does not belong to")
def median_for_mean(values):
    """the median; the band is that of the mean."""
    return np.median(values, axis=-1), _band(values)[1]
