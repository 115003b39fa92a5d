"""Wrong update rules."""

import numpy as np

from coursekit.checks.references_fc import adam, rmsprop, sgd_momentum
from coursekit.checks.zoo.animal import animal

MOMENTUM, RMSPROP, ADAM = "sgd_momentum", "rmsprop", "adam"


@animal(MOMENTUM, "the right path, but v is not what PyTorch stores")
def lr_inside_with_a_minus(w, g, v, lr, momentum):
    """the older form v = momentum * v - lr * g; here v = momentum * v + g, then w - lr * v."""
    v = momentum * v - lr * g
    return w + v, v


@animal(MOMENTUM, "the right path until the learning rate changes")
def lr_inside(w, g, v, lr, momentum):
    """the learning rate is folded into v; a schedule then reaches old gradients too late."""
    v = momentum * v + lr * g
    return w - v, v


@animal(MOMENTUM, "ten times too slow for momentum 0.9")
def damped(w, g, v, lr, momentum):
    """the gradient is damped with 1 - momentum, as in an average; SGD adds it whole."""
    return sgd_momentum(w, (1 - momentum) * g, v, lr, momentum)


@animal(MOMENTUM, "hardly any momentum")
def momentum_swapped(w, g, v, lr, momentum):
    """momentum and 1 - momentum swapped."""
    v = (1 - momentum) * v + momentum * g
    return w - lr * v, v


@animal(MOMENTUM, "another optimiser, and not a bad one")
def nesterov(w, g, v, lr, momentum):
    """this is Nesterov's step, g + momentum * v."""
    v = momentum * v + g
    return w - lr * (g + momentum * v), v


@animal(MOMENTUM, "one step behind; unstable at high rates")
def old_v_used(w, g, v, lr, momentum):
    """the step uses v from before its update."""
    return w - lr * v, momentum * v + g


@animal(MOMENTUM, "plain SGD")
def momentum_ignored(w, g, v, lr, momentum):
    """momentum is ignored: this is plain SGD, w - lr * g; v = momentum * v + g remembers."""
    return w - lr * g, g.copy()


@animal(MOMENTUM, "plain SGD")
def momentum_ignored_and_g_returned(w, g, v, lr, momentum):
    """momentum is ignored: this is plain SGD with g itself for v; v = momentum * v + g."""
    return w - lr * g, g


@animal(MOMENTUM, "plain SGD")
def momentum_ignored_and_v_kept(w, g, v, lr, momentum):
    """momentum is ignored: this is plain SGD, and v is handed on; v = momentum * v + g."""
    return w - lr * g, v


@animal(MOMENTUM, "plain SGD")
def momentum_ignored_and_v_copied(w, g, v, lr, momentum):
    """momentum is ignored: this is plain SGD, and v stays as it was; v = momentum * v + g."""
    return w - lr * g, v.copy()


@animal(MOMENTUM, "velocity grows without bound")
def momentum_of_one(w, g, v, lr, momentum):
    """v = v + g, without momentum: nothing is ever forgotten."""
    return w - lr * (v + g), v + g


@animal(MOMENTUM, "a step along old gradients only")
def gradient_left_out(w, g, v, lr, momentum):
    """v = momentum * v, without g: the gradient never gets in."""
    return w - lr * momentum * v, momentum * v


@animal(MOMENTUM, "plain SGD, with a velocity nobody uses")
def momentum_unused(w, g, v, lr, momentum):
    """the step uses g instead of v, which is plain SGD."""
    return w - lr * g, momentum * v + g


@animal(MOMENTUM, "the loss climbs")
def uphill(w, g, v, lr, momentum):
    """the step goes up the gradient: a sign is wrong."""
    v = momentum * v + g
    return w + lr * v, v


@animal(MOMENTUM, "velocity takes the weights' place")
def returned_in_another_order(w, g, v, lr, momentum):
    """(v, w) is returned where (w, v) is asked for."""
    return sgd_momentum(w, g, v, lr, momentum)[::-1]


@animal(MOMENTUM, "saved copies of v change with it")
def v_in_place(w, g, v, lr, momentum):
    """v is changed in place; return a new array."""
    new_w, new_v = sgd_momentum(w, g, v, lr, momentum)
    v[...] = new_v
    return new_w, new_v


@animal(MOMENTUM, "the best weights you kept are the latest weights")
def w_in_place(w, g, v, lr, momentum):
    """w is changed in place (w -= ...); return a new array."""
    v = momentum * v + g
    w -= lr * v
    return w, v


@animal(RMSPROP, "steps too small wherever gradients are small")
def eps_inside_the_root(w, g, s, lr, alpha, eps):
    """eps stands inside the square root; PyTorch has it outside."""
    s = alpha * s + (1 - alpha) * g * g
    return w - lr * g / np.sqrt(s + eps), s


@animal(RMSPROP, "steps too large wherever gradients are tiny")
def eps_squared_inside_the_root(w, g, s, lr, alpha, eps):
    """eps is squared inside the square root, sqrt(s + eps**2); PyTorch has sqrt(s) + eps."""
    s = alpha * s + (1 - alpha) * g * g
    return w - lr * g / np.sqrt(s + eps**2), s


@animal(RMSPROP, "steps follow the last gradient only")
def alpha_swapped(w, g, s, lr, alpha, eps):
    """alpha and 1 - alpha swapped: alpha weighs the old average."""
    return rmsprop(w, g, s, lr, 1 - alpha, eps)


@animal(RMSPROP, "explodes where gradients are small")
def no_square_root(w, g, s, lr, alpha, eps):
    """the gradient is divided by s; it should be its square root."""
    s = alpha * s + (1 - alpha) * g * g
    return w - lr * g / (s + eps), s


@animal(RMSPROP, "steps shrink until nothing moves")
def adagrad(w, g, s, lr, alpha, eps):
    """the squares are added up without forgetting, which is AdaGrad."""
    s = s + g * g
    return w - lr * g / (np.sqrt(s) + eps), s


@animal(RMSPROP, "every step has the same length")
def sign_only(w, g, s, lr, alpha, eps):
    """the gradient is divided by its own size; s is kept but not used."""
    s = alpha * s + (1 - alpha) * g * g
    return w - lr * g / (np.abs(g) + eps), s


@animal(RMSPROP, "a huge first step")
def old_s_used(w, g, s, lr, alpha, eps):
    """the step uses s from before its update."""
    return w - lr * g / (np.sqrt(s) + eps), alpha * s + (1 - alpha) * g * g


@animal(RMSPROP, "nan as soon as s is negative")
def gradient_not_squared(w, g, s, lr, alpha, eps):
    """s averages the gradient; it should be its square."""
    s = alpha * s + (1 - alpha) * g
    return w - lr * g / (np.sqrt(s) + eps), s


@animal(RMSPROP, "nan for weights that never had a gradient")
def eps_forgotten(w, g, s, lr, alpha, eps):
    """eps is missing: 0 / 0 where gradients are 0."""
    return rmsprop(w, g, s, lr, alpha, 0.0)


@animal(RMSPROP, "the loss climbs")
def rmsprop_uphill(w, g, s, lr, alpha, eps):
    """the step goes up the gradient: a sign is wrong."""
    return rmsprop(w, g, s, -lr, alpha, eps)


@animal(RMSPROP, "saved copies of s change with it")
def s_in_place(w, g, s, lr, alpha, eps):
    """s is changed in place; return a new array."""
    new_w, new_s = rmsprop(w, g, s, lr, alpha, eps)
    s[...] = new_s
    return new_w, new_s


def _adam_averages(g, m, v, beta1, beta2):
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g


@animal(ADAM, "first steps too large or too small")
def no_bias_correction(w, g, m, v, t, lr, beta1, beta2, eps):
    """the bias correction, division by 1 - beta**t, is missing."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (np.sqrt(v) + eps), m, v


@animal(ADAM, "nan or inf at the first step")
def t_from_zero(w, g, m, v, t, lr, beta1, beta2, eps):
    """the correction uses t - 1, which divides by 0 at the first step."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    m_hat, v_hat = (a / np.float64(1 - b ** (t - 1)) for a, b in ((m, beta1), (v, beta2)))
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


@animal(ADAM, "the first steps are off, later ones right")
def t_incremented_again(w, g, m, v, t, lr, beta1, beta2, eps):
    """the correction uses t + 1; the first step is t = 1."""
    new_w, m, v = adam(w, g, m, v, t + 1, lr, beta1, beta2, eps)
    return new_w, m, v


@animal(ADAM, "the first steps are too small by up to 30 times")
def only_m_corrected(w, g, m, v, t, lr, beta1, beta2, eps):
    """only m is corrected for its start at 0; v needs it as well."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (1 - beta1**t) / (np.sqrt(v) + eps), m, v


@animal(ADAM, "the first steps are too small")
def only_v_corrected(w, g, m, v, t, lr, beta1, beta2, eps):
    """only v is corrected for its start at 0; m needs it as well."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


@animal(ADAM, "every step is as large as the first")
def t_frozen(w, g, m, v, t, lr, beta1, beta2, eps):
    """t is always taken to be 1, or forgotten: 1 - beta for 1 - beta**t."""
    return adam(w, g, m, v, 1, lr, beta1, beta2, eps)


@animal(ADAM, "averages grow with every step")
def corrected_averages_kept(w, g, m, v, t, lr, beta1, beta2, eps):
    """the corrected averages are returned; the plain ones go into the next step."""
    new_w, m, v = adam(w, g, m, v, t, lr, beta1, beta2, eps)
    return new_w, m / (1 - beta1**t), v / (1 - beta2**t)


@animal(ADAM, "steps too small wherever gradients are small")
def adam_eps_inside_the_root(w, g, m, v, t, lr, beta1, beta2, eps):
    """eps stands inside the square root; PyTorch has it outside."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + eps), m, v


@animal(ADAM, "steps too large wherever gradients are tiny")
def adam_eps_squared_inside_the_root(w, g, m, v, t, lr, beta1, beta2, eps):
    """eps is squared inside the square root, sqrt(v + eps**2); PyTorch has sqrt(v) + eps."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + eps**2), m, v


def _corrected_by(w, g, m, v, lr, beta1, beta2, eps, by):
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * (m / by(beta1)) / (np.sqrt(v / by(beta2)) + eps), m, v


@animal(ADAM, "steps that explode, or vanish, as training goes on")
def power_outside_the_bracket(w, g, m, v, t, lr, beta1, beta2, eps):
    """the correction is (1 - beta)**t; only beta is raised to the power, 1 - beta**t."""
    return _corrected_by(w, g, m, v, lr, beta1, beta2, eps, lambda beta: (1 - beta) ** t)


@animal(ADAM, "nan after a few steps")
def beta_times_t(w, g, m, v, t, lr, beta1, beta2, eps):
    """the correction is 1 - beta * t; beta is raised to the power t, 1 - beta**t."""
    return _corrected_by(w, g, m, v, lr, beta1, beta2, eps, lambda beta: 1 - beta * t)


@animal(ADAM, "steps that explode as training goes on")
def divided_by_the_power(w, g, m, v, t, lr, beta1, beta2, eps):
    """divided by beta**t; it is 1 - beta**t."""
    return _corrected_by(w, g, m, v, lr, beta1, beta2, eps, lambda beta: beta**t)


@animal(ADAM, "differs from PyTorch while t is small and gradients are tiny")
def eps_before_the_correction(w, g, m, v, t, lr, beta1, beta2, eps):
    """eps is added to the root of the uncorrected v, as TensorFlow does; add it after."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - float(rate) * m / (np.sqrt(v) + eps), m, v


@animal(ADAM, "a jumpy direction with a slow scale")
def betas_swapped(w, g, m, v, t, lr, beta1, beta2, eps):
    """beta1 and beta2 swapped: beta1 belongs to m."""
    return adam(w, g, m, v, t, lr, beta2, beta1, eps)


@animal(ADAM, "all weights fall, whatever the gradient's sign")
def m_of_squares(w, g, m, v, t, lr, beta1, beta2, eps):
    """m averages the squared gradient; it should be the gradient."""
    m, v = beta1 * m + (1 - beta1) * g * g, beta2 * v + (1 - beta2) * g * g
    return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


@animal(ADAM, "nan as soon as v is negative")
def v_not_squared(w, g, m, v, t, lr, beta1, beta2, eps):
    """v averages the gradient; it should be its square."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g
    return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


@animal(ADAM, "explodes where gradients are small")
def adam_no_square_root(w, g, m, v, t, lr, beta1, beta2, eps):
    """m is divided by v; it should be its square root."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * m / (1 - beta1**t) / (v / (1 - beta2**t) + eps), m, v


@animal(ADAM, "RMSProp with a correction")
def g_for_m(w, g, m, v, t, lr, beta1, beta2, eps):
    """the step uses g instead of the average m."""
    m, v = _adam_averages(g, m, v, beta1, beta2)
    return w - lr * g / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


@animal(ADAM, "nan for weights that never had a gradient")
def adam_eps_forgotten(w, g, m, v, t, lr, beta1, beta2, eps):
    """eps is missing: 0 / 0 where gradients are 0."""
    return adam(w, g, m, v, t, lr, beta1, beta2, 0.0)


@animal(ADAM, "the best weights you kept are the latest weights")
def adam_w_in_place(w, g, m, v, t, lr, beta1, beta2, eps):
    """w is changed in place (w -= ...); return a new array."""
    new_w, m, v = adam(w, g, m, v, t, lr, beta1, beta2, eps)
    w[...] = new_w
    return new_w, m, v


@animal(ADAM, "saved copies of m change with it")
def m_in_place(w, g, m, v, t, lr, beta1, beta2, eps):
    """m is changed in place (m *= ...); return a new array."""
    new_w, new_m, new_v = adam(w, g, m, v, t, lr, beta1, beta2, eps)
    m[...] = new_m
    return new_w, new_m, new_v
