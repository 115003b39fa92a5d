"""Wrong gates for channels, and wrong activations."""

import math

import torch
from torch.nn import functional as F

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references_residual import gelu, squeeze_excite

SQUEEZE, GELU = "squeeze_excite", "gelu"


# --- squeeze and excite ---------------------------------------------------------------------


def _gate(x, w1, b1, w2, b2, **bugs):
    """The layer, with a place for each bug."""
    bug = {
        "squeeze": lambda x: x.mean(dim=(2, 3)),
        "hidden": torch.relu,
        "gate": torch.sigmoid,
        "use": lambda x, gate: x * gate[:, :, None, None],
    } | bugs
    hidden = bug["hidden"](F.linear(bug["squeeze"](x), w1, b1))
    return bug["use"](x, bug["gate"](F.linear(hidden, w2, b2)))


@animal(SQUEEZE, "gates that are all 0 or 1")
def sum_over_positions(x, w1, b1, w2, b2):
    """positions are added up; they should be averaged."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.sum(dim=(2, 3)))


@animal(SQUEEZE, "other numbers than everybody's")
def largest_position(x, w1, b1, w2, b2):
    """the largest over positions is taken; it should be the mean."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.amax(dim=(2, 3)))


@animal(SQUEEZE, "a picture's gates depend on the others in the batch")
def mean_over_the_batch(x, w1, b1, w2, b2):
    """the mean is taken over the batch as well; every picture has gates of its own."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.mean((0, 2, 3)).expand(x.shape[:2]))


@animal(SQUEEZE, "gates that follow one row")
def mean_over_one_axis(x, w1, b1, w2, b2):
    """the mean is taken over one axis of the map, the first row of the rest; it has two."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.mean(dim=3)[:, :, 0])


@animal(SQUEEZE, "an error about shapes")
def mean_over_channels(x, w1, b1, w2, b2):
    """the mean is taken over channels; it should be over positions."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.mean(dim=1).flatten(1))


@animal(SQUEEZE, "two linear layers that are one")
def no_relu(x, w1, b1, w2, b2):
    """there is no ReLU between the linear layers."""
    return _gate(x, w1, b1, w2, b2, hidden=lambda h: h)


@animal(SQUEEZE, "other numbers than everybody's")
def sigmoid_twice(x, w1, b1, w2, b2):
    """sigmoid stands behind both linear layers; behind the first it is ReLU."""
    return _gate(x, w1, b1, w2, b2, hidden=torch.sigmoid)


@animal(SQUEEZE, "channels that change their sign or explode")
def no_sigmoid(x, w1, b1, w2, b2):
    """there is no sigmoid, so the gate may be any number."""
    return _gate(x, w1, b1, w2, b2, gate=lambda z: z)


@animal(SQUEEZE, "half of all channels shut for good")
def relu_for_sigmoid(x, w1, b1, w2, b2):
    """the gate is a ReLU; sigmoid keeps it between 0 and 1."""
    return _gate(x, w1, b1, w2, b2, gate=torch.relu)


@animal(SQUEEZE, "channels that change their sign")
def tanh_for_sigmoid(x, w1, b1, w2, b2):
    """the gate is a tanh, which may be negative; sigmoid is not."""
    return _gate(x, w1, b1, w2, b2, gate=torch.tanh)


@animal(SQUEEZE, "channels compete, and maps get small")
def softmax_for_sigmoid(x, w1, b1, w2, b2):
    """the gates are a softmax over channels; each is a sigmoid of its own."""
    return _gate(x, w1, b1, w2, b2, gate=lambda z: z.softmax(dim=1))


@animal(SQUEEZE, "gates that cannot shift")
def biases_forgotten(x, w1, b1, w2, b2):
    """the biases are not added."""
    return squeeze_excite(x, w1, 0 * b1, w2, 0 * b2)


@animal(SQUEEZE, "an error about shapes, or right numbers for the wrong weights")
def weights_not_transposed(x, w1, b1, w2, b2):
    """weights are (out, in), as PyTorch keeps them; they are used as (in, out)."""
    return squeeze_excite(x, w1.T, b1, w2.T, b2)


@animal(SQUEEZE, "maps shifted where they should be scaled")
def gate_added(x, w1, b1, w2, b2):
    """the gate is added to x; x is multiplied by it."""
    return _gate(x, w1, b1, w2, b2, use=lambda x, gate: x + gate[:, :, None, None])


@animal(SQUEEZE, "maps between one and two times their size")
def x_added_as_well(x, w1, b1, w2, b2):
    """x is added to what the gate lets through; the gate alone decides."""
    return _gate(x, w1, b1, w2, b2, use=lambda x, gate: x + x * gate[:, :, None, None])


@animal(SQUEEZE, "an error about shapes in the next layer")
def gate_alone(x, w1, b1, w2, b2):
    """the gate is returned; x times the gate was asked for."""
    return _gate(x, w1, b1, w2, b2, use=lambda x, gate: gate)


@animal(SQUEEZE, "the gates never learn")
def gate_detached(x, w1, b1, w2, b2):
    """the gate is taken off the graph, so that its weights cannot learn."""
    return _gate(x, w1, b1, w2, b2, use=lambda x, gate: x * gate.detach()[:, :, None, None])


@animal(SQUEEZE, "x does not learn what its own gates want")
def squeeze_detached(x, w1, b1, w2, b2):
    """the mean is taken off the graph: a part of the gradient of x is missing."""
    return _gate(x, w1, b1, w2, b2, squeeze=lambda x: x.detach().mean(dim=(2, 3)))


@animal(SQUEEZE, "'modified by an inplace operation'")
def in_place(x, w1, b1, w2, b2):
    """x is overwritten; a new tensor was asked for."""
    return _gate(x, w1, b1, w2, b2, use=lambda x, gate: x.mul_(gate[:, :, None, None]))


@animal(SQUEEZE, "right until a map has one channel or a batch one picture")
def squeezed_too_much(x, w1, b1, w2, b2):
    """squeeze() takes away every axis of length 1, that of the batch or of the channels too."""
    squeezed = x.mean(dim=(2, 3), keepdim=True).squeeze()
    gate = F.linear(F.linear(squeezed, w1, b1).relu(), w2, b2).sigmoid()
    return x * gate[:, :, None, None]


# --- GELU -----------------------------------------------------------------------------------


@animal(GELU, "0.0005 off at the most")
def tanh_approximation(x):
    """it is the approximation with tanh; the exact one has erf."""
    return F.gelu(x, approximate="tanh")


@animal(GELU, "0.02 off at the most")
def sigmoid_approximation(x):
    """it is x sigmoid(1.702 x), an approximation; the exact one has erf."""
    return x * torch.sigmoid(1.702 * x)


@animal(GELU, "a wider dip")
def silu(x):
    """it is SiLU, x sigmoid(x); that is another function."""
    return F.silu(x)


@animal(GELU, "no dip")
def relu(x):
    """it is ReLU, which jumps where GELU is smooth."""
    return F.relu(x)


@animal(GELU, "a narrower dip")
def root_of_two_forgotten(x):
    """erf is taken of x; the distribution function has x / sqrt(2) there."""
    return x * 0.5 * (1 + torch.erf(x))


@animal(GELU, "a narrower dip")
def divided_by_two(x):
    """erf is taken of x / 2; the distribution function has x / sqrt(2) there."""
    return x * 0.5 * (1 + torch.erf(x / 2))


@animal(GELU, "a narrow dip")
def times_the_root(x):
    """erf is taken of x sqrt(2); it is x / sqrt(2)."""
    return x * 0.5 * (1 + torch.erf(x * math.sqrt(2)))


@animal(GELU, "twice too large")
def half_forgotten(x):
    """the 1/2 is missing: 1 + erf goes from 0 to 2."""
    return x * (1 + torch.erf(x / math.sqrt(2)))


@animal(GELU, "even: -2 gives what 2 gives")
def one_forgotten(x):
    """the 1 is missing: erf goes from -1 to 1, a distribution function from 0 to 1."""
    return x * 0.5 * torch.erf(x / math.sqrt(2))


@animal(GELU, "numbers from 0 to 1")
def distribution_function_alone(x):
    """it is the distribution function; x times that was asked for."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


@animal(GELU, "a small wave that dies away on both sides")
def density(x):
    """x is multiplied by the normal's density; its distribution function was asked for."""
    return x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


@animal(GELU, "a dip on the wrong side")
def complement(x):
    """x is multiplied by the chance of a larger number; that of a smaller one was asked for."""
    return x * 0.5 * torch.erfc(x / math.sqrt(2))


@animal(GELU, "'expected Double but found Float'")
def always_float32(x):
    """the result is always float32; it should have the dtype of x."""
    return gelu(x.float())


@animal(GELU, "a gradient that is the distribution function alone")
def distribution_function_detached(x):
    """the distribution function is taken off the graph: a part of the gradient is missing."""
    return x * (0.5 * (1 + torch.erf(x / math.sqrt(2)))).detach()


@animal(GELU, "'does not require grad' in the backward pass")
def number_by_number(x):
    """it takes numbers out of the tensor and makes a new one, which has no graph."""
    new = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.flatten().tolist()]
    return torch.tensor(new, dtype=x.dtype).reshape(x.shape)


@animal(GELU, "'a leaf Variable that requires grad is being used in an in-place operation'")
def x_overwritten(x):
    """x is overwritten; a new tensor was asked for."""
    return x.mul_(0.5 * (1 + torch.erf(x / math.sqrt(2))))
