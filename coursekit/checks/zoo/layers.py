"""Wrong layers: the linear map and ReLU, forward and backward."""

import numpy as np

from coursekit import functional as F
from coursekit.checks.zoo.animal import animal

# --- linear forward: x (N, D), w (M, D), b (M,) -> out (N, M) --------------------------------


@animal("linear_forward", "the net cannot shift its scores")
def bias_forgotten(x, w, b):
    """the bias is not added."""
    return x @ w.T, (x, w, b)


@animal("linear_forward", "an error, unless the weights are square")
def not_transposed(x, w, b):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return x @ w + b, (x, w, b)


@animal("linear_forward", "an error, unless the weights are square")
def not_transposed_in_dot(x, w, b):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return np.dot(x, w) + b, (x, w, b)


@animal("linear_forward", "right for every shape but square weights")
def transposed_only_if_it_must_be(x, w, b):
    """x @ w where shapes allow it: the weights are (out, in), so it is x @ w.T always."""
    product = x @ w if x.shape[1] == w.shape[0] else x @ w.T
    return product + b, (x, w, b)


@animal("linear_forward", "an error, or for N equal to M a net that learns nonsense")
def bias_along_the_batch(x, w, b):
    """b[:, None] adds one bias a row; it is one bias a column."""
    return x @ w.T + b[:, None], (x, w, b)


@animal("linear_forward", "everything after it runs in float64, at half the speed")
def float64_buffer(x, w, b):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    out = np.zeros((len(x), len(w)))
    out[:] = x @ w.T + b
    return out, (x, w, b)


@animal("linear_forward", "an error later, for a batch of one or a single output")
def squeezed(x, w, b):
    """np.squeeze drops the batch axis when N is 1."""
    return np.squeeze(x @ w.T + b), (x, w, b)


@animal("linear_forward", "results of the last batch change under one's hands")
def shared_buffer(x, w, b):
    """the result is written into one buffer that every call uses again."""
    key = (len(x), len(w), x.dtype)
    out = _BUFFERS.setdefault(key, np.empty(key[:2], x.dtype))
    np.matmul(x, w.T, out=out)
    out += b
    return out, (x, w, b)


_BUFFERS: dict = {}


@animal("linear_forward", "backward computes gradients from outputs")
def out_in_the_cache(x, w, b):
    """the cache holds out where backward needs x."""
    out = x @ w.T + b
    return out, (out, w, b)


@animal("linear_forward", "backward mistakes weights for inputs")
def cache_in_another_order(x, w, b):
    """the cache is not (x, w, b) in this order."""
    return x @ w.T + b, (w, x, b)


# --- linear backward: dout (N, M) -> dx (N, D), dw (M, D), db (M,) ---------------------------


@animal("linear_backward", "biases learn N times too slowly")
def db_mean(dout, cache):
    """db is the mean of dout over the batch; the chain rule sums."""
    dx, dw, _ = F.linear_backward(dout, cache)
    return dx, dw, dout.mean(axis=0)


@animal("linear_backward", "weights learn N times too slowly")
def dw_divided_by_n(dout, cache):
    """dw is divided by N although the loss has done that already."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dx, dw / len(dout), db


@animal("linear_backward", "everything learns too slowly, more so with depth")
def all_divided_by_n(dout, cache):
    """everything is divided by N although the loss has done that already."""
    return F.linear_backward(dout / len(dout), cache)


@animal("linear_backward", "right for every shape but square weights")
def dx_through_the_transpose(dout, cache):
    """dx multiplies with w.T where shapes allow it; it is dout @ w always."""
    _, w, _ = cache
    dx, dw, db = F.linear_backward(dout, cache)
    return (dout @ w.T if dout.shape[1] == w.shape[1] else dx), dw, db


@animal("linear_backward", "an error, unless the weights are square")
def dx_transposed(dout, cache):
    """dx multiplies by w.T; the forward has done so, and the way back is dout @ w."""
    x, w, _ = cache
    return dout @ w.T, dout.T @ x, dout.sum(axis=0)


@animal("linear_backward", "an error, unless there are as many rows as outputs")
def dw_without_a_transpose(dout, cache):
    """dw is dout @ x; the sum runs over the batch, so it is dout.T @ x."""
    x, w, _ = cache
    return dout @ w, dout @ x, dout.sum(axis=0)


@animal("linear_backward", "an error when the weights are updated, unless they are square")
def dw_transposed(dout, cache):
    """dw is x.T @ dout, which has the shape of w.T; it is dout.T @ x."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dx, np.ascontiguousarray(dw.T), db


@animal("linear_backward", "biases become a matrix")
def db_not_summed(dout, cache):
    """db is dout itself; sum it over the batch."""
    dx, dw, _ = F.linear_backward(dout, cache)
    return dx, dw, dout.copy()


@animal("linear_backward", "an error, or for N equal to M wrong biases")
def db_summed_over_outputs(dout, cache):
    """db is summed over axis 1, the outputs; the batch is axis 0."""
    dx, dw, _ = F.linear_backward(dout, cache)
    return dx, dw, dout.sum(axis=1)


@animal("linear_backward", "biases gain an axis at the first update")
def db_keeps_an_axis(dout, cache):
    """keepdims leaves db with shape (1, M)."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dx, dw, db[None]


@animal("linear_backward", "an error, or nonsense where shapes happen to fit")
def gradients_in_another_order(dout, cache):
    """the gradients are not returned as (dx, dw, db)."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dw, dx, db


@animal("linear_backward", "only the last picture of a batch teaches")
def dw_overwritten_by_each_row(dout, cache):
    """a loop over the batch assigns dw = where it should add, dw +=."""
    dx, dw, db = F.linear_backward(dout, cache)
    for row, x_row in zip(dout, cache[0], strict=True):
        dw = np.outer(row, x_row)
    return dx, dw, db


@animal("linear_backward", "gradients do not depend on the loss")
def dout_forgotten_in_dw(dout, cache):
    """dw does not use dout: it sums x alone."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dx, np.zeros_like(dw) + cache[0].sum(axis=0), db


@animal("linear_backward", "the layer before sees another gradient than it should")
def dout_scaled_in_place(dout, cache):
    """dout is changed in place."""
    gradients = F.linear_backward(dout.copy(), cache)
    dout /= len(dout)
    return gradients


@animal("linear_backward", "the training pictures are overwritten")
def dx_written_into_x(dout, cache):
    """dx is written into x, which belongs to the caller."""
    x, _, _ = cache
    dx, dw, db = F.linear_backward(dout, cache)
    x[...] = dx
    return dx, dw, db


@animal("linear_backward", "everything before it runs in float64")
def float64_db(dout, cache):
    """db is added up in a float64 buffer and stays float64."""
    dx, dw, _ = F.linear_backward(dout, cache)
    db = np.zeros(dout.shape[1])
    for row in dout:
        db += row
    return dx, dw, db


# --- ReLU forward ---------------------------------------------------------------------------


@animal("relu_forward", "large negative inputs come out large")
def absolute_value(x):
    """the absolute value instead of max(x, 0)."""
    return np.abs(x), x


@animal("relu_forward", "whoever uses x next finds its negatives gone")
def negatives_erased_in_place(x):
    """x[x < 0] = 0 changes the caller's array."""
    x[x < 0] = 0
    return x.copy(), x


@animal("relu_forward", "units never die, and never quite switch off")
def leaky(x):
    """negative inputs leak through with a small slope."""
    return np.where(x > 0, x, x * x.dtype.type(0.01)), x


@animal("relu_forward", "activations never pass 1")
def clipped_at_one(x):
    """np.clip(x, 0, 1) also cuts what is above 1."""
    return np.clip(x, 0, 1), x


@animal("relu_forward", "outputs are never positive")
def minimum_for_maximum(x):
    """np.minimum where np.maximum is meant."""
    return np.minimum(x, 0), x


@animal("relu_forward", "all activations equal the largest one")
def largest_entry(x):
    """max over the array instead of the entrywise np.maximum(x, 0)."""
    return np.full_like(x, max(x.max(), 0)), x


@animal("relu_forward", "everything after it runs in float64")
def float64_relu(x):
    """np.zeros without a dtype makes a float64 result of float32 inputs."""
    return np.maximum(x, np.zeros(x.shape)), x


# --- ReLU backward; the cache is x ----------------------------------------------------------


def _keep_x(x):
    return np.maximum(x, 0), x


@animal("relu_backward", "units at exactly 0 wake up; differs from PyTorch", _keep_x)
def one_at_zero(dout, x):
    """the gradient at x = 0 is 1 (x >= 0); by convention it is 0 there."""
    return dout * (x >= 0)


@animal("relu_backward", "differs from PyTorch wherever x is exactly 0", _keep_x)
def half_at_zero(dout, x):
    """the gradient at x = 0 is 0.5; by convention it is 0 there."""
    return dout * ((np.sign(x) + 1) / 2)


@animal("relu_backward", "negative gradients vanish and units learn one way only", _keep_x)
def mask_from_dout(dout, x):
    """the mask asks where dout is positive; it must ask where x was."""
    return dout * (dout > 0)


@animal("relu_backward", "the forward cuts, the backward does not", _keep_x)
def mask_forgotten(dout, x):
    """dout is passed on without a mask."""
    return dout.copy()


@animal("relu_backward", "the loss's gradient never reaches the layers before", _keep_x)
def mask_alone(dout, x):
    """the mask itself is returned, without dout."""
    return (x > 0).astype(x.dtype)


@animal("relu_backward", "gradients grow with the activations", _keep_x)
def times_x(dout, x):
    """dout is multiplied with the activation; it is only masked."""
    return dout * np.maximum(x, 0)


@animal("relu_backward", "dead units receive reversed gradients", _keep_x)
def sign_for_mask(dout, x):
    """np.sign is -1 for negative x; the mask is 0 there."""
    return dout * np.sign(x)


@animal("relu_backward", "the backward of another function than the forward", _keep_x)
def leaky_backward(dout, x):
    """a small slope is left for negative x, as in leaky ReLU."""
    return np.where(x > 0, dout, dout * dout.dtype.type(0.01))


@animal("relu_backward", "the caller's gradient is changed", _keep_x)
def dout_masked_in_place(dout, x):
    """dout[x <= 0] = 0 changes the caller's array; work on a new one."""
    dout[x <= 0] = 0
    return dout.copy()


@animal("relu_backward", "everything before it runs in float64", _keep_x)
def float64_mask(dout, x):
    """a float64 mask widens float32 gradients; a mask of booleans does not."""
    return dout * (x > 0).astype(np.float64)


_LAST: dict = {}


def _remember_x(x):
    _LAST["x"] = x
    return np.maximum(x, 0), None


@animal("relu_backward", "wrong as soon as a net has two ReLUs", _remember_x)
def last_call_remembered(dout, cache):
    """x is kept in a global, so a second forward overwrites it; put it into the cache."""
    return dout * (_LAST["x"] > 0)
