"""Wrong numerical gradients. All are called as ``(f, x, h)``."""

import numpy as np

from coursekit.checks.zoo.animal import animal

NUMERICAL = "numerical_gradient"


def _per_entry(x, slope):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = 1
        gradient[index] = slope(step)
    return gradient


@animal(NUMERICAL, "errors of the size of h where h squared is possible")
def forward_difference(f, x, h=1e-5):
    """a one-sided difference, (f(x + h) - f(x)) / h, instead of a central one."""
    return _per_entry(x, lambda step: (f(x + h * step) - f(x)) / h)


@animal(NUMERICAL, "errors of the size of h where h squared is possible")
def backward_difference(f, x, h=1e-5):
    """a one-sided difference, (f(x) - f(x - h)) / h, instead of a central one."""
    return _per_entry(x, lambda step: (f(x) - f(x - h * step)) / h)


@animal(NUMERICAL, "every gradient twice too large")
def divided_by_h(f, x, h=1e-5):
    """the two points lie 2 h apart; the difference is divided by h."""
    return _per_entry(x, lambda step: (f(x + h * step) - f(x - h * step)) / h)


@animal(NUMERICAL, "every gradient half as large as it is")
def half_steps_over_two_h(f, x, h=1e-5):
    """steps of h / 2 to both sides, but divided by 2 h."""
    return _per_entry(x, lambda step: (f(x + h / 2 * step) - f(x - h / 2 * step)) / (2 * h))


@animal(NUMERICAL, "every gradient has the wrong sign")
def difference_reversed(f, x, h=1e-5):
    """f(x - h) - f(x + h): the difference is the wrong way round."""
    return _per_entry(x, lambda step: (f(x - h * step) - f(x + h * step)) / (2 * h))


@animal(NUMERICAL, "the step that was asked for has no effect")
def h_ignored(f, x, h=1e-5):
    """the step is always 1e-5, whatever h was asked for."""
    return _per_entry(x, lambda step: (f(x + 1e-5 * step) - f(x - 1e-5 * step)) / 2e-5)


@animal(NUMERICAL, "pure noise: f(x + h) and f(x - h) are equal in nearly all digits")
def step_too_small(f, x, h=1e-5):
    """the step is so small that rounding drowns the difference."""
    return _per_entry(x, lambda step: (f(x + h**3 * step) - f(x - h**3 * step)) / (2 * h**3))


@animal(NUMERICAL, "nan or an error wherever an entry is 0")
def step_in_proportion_to_x(f, x, h=1e-5):
    """the step is h * x, which is 0 for x = 0."""
    tiny = h * np.abs(x)
    return _per_entry(
        x, lambda step: (f(x + tiny * step) - f(x - tiny * step)) / (2 * (tiny * step).sum())
    )


@animal(NUMERICAL, "the weights are different after the check")
def x_left_moved(f, x, h=1e-5):
    """entries of x are moved and not put back, so later differences start elsewhere."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        up = f(x)
        x[index] -= 2 * h
        gradient[index] = (up - f(x)) / (2 * h)
    return gradient


@animal(NUMERICAL, "weights drift by rounding with every check")
def x_put_back_nearly(f, x, h=1e-5):
    """x += h, -= 2 h, += h does not restore every last bit; keep the old value."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        up = f(x)
        x[index] -= 2 * h
        down = f(x)
        x[index] += h
        gradient[index] = (up - down) / (2 * h)
    return gradient


@animal(NUMERICAL, "an error for biases, and for anything that is no matrix")
def matrices_only(f, x, h=1e-5):
    """two nested loops take x for a matrix; np.ndindex(x.shape) takes any shape."""
    gradient = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            step = np.zeros(x.shape)
            step[i, j] = h
            gradient[i, j] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


@animal(NUMERICAL, "zeros for a transposed or sliced array")
def steps_in_a_flat_copy(f, x, h=1e-5):
    """reshape(-1) or ravel() copies an array that is not contiguous; the steps never reach x."""
    gradient, flat = np.zeros(x.size), x.reshape(-1)
    for i in range(x.size):
        old = flat[i]
        flat[i] = old + h
        up = f(x)
        flat[i] = old - h
        down = f(x)
        flat[i] = old
        gradient[i] = (up - down) / (2 * h)
    return gradient.reshape(x.shape)


@animal(NUMERICAL, "a vector where a matrix of gradients is needed")
def flat_result(f, x, h=1e-5):
    """the gradient comes back flat; it should have the shape of x."""
    right = _per_entry(x, lambda step: (f(x + h * step) - f(x - h * step)) / (2 * h))
    return right.reshape(-1)


@animal(NUMERICAL, "one number, the sum of all gradients, everywhere")
def all_entries_at_once(f, x, h=1e-5):
    """all entries are moved at once, so that the sum of the gradients comes out."""
    return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))


@animal(NUMERICAL, "three right digits")
def in_float32(f, x, h=1e-5):
    """the differences are taken in float32, where a step of 1e-5 is mostly rounding."""
    x = x.astype(np.float32)
    return _per_entry(
        x,
        lambda step: (
            (f(x + np.float32(h) * step.astype("f")) - f(x - h * step.astype("f"))) / 2 / h
        ),
    )
