"""Wrong nets: the two-layer loss and the net of any depth."""

import numpy as np

from coursekit.checks.references_fc import mlp_loss, softmax_cross_entropy, two_layer_loss
from coursekit.checks.zoo.animal import animal

TWO = "two_layer_loss"
DEEP = "mlp_loss"


def _two_layers(x, y, w1, b1, w2, b2, weight_decay, **bugs):
    """Two layers written out, with a place for each bug."""
    bug = {
        "relu": lambda pre: np.maximum(pre, 0),
        "mask": lambda pre: pre > 0,
        "scores": lambda scores: scores,
        "dscores": lambda scores, d: d,
        "loss_decay": weight_decay / 2,
        "decay": weight_decay,
        "decay1": 1,
        "decay2": 1,
        "times": lambda x, w: x @ w.T,
        "input2": lambda pre, hidden: hidden,
    } | bugs
    pre = bug["times"](x, w1) + b1
    hidden = bug["relu"](pre)
    raw = bug["times"](hidden, w2) + b2
    loss, dscores = softmax_cross_entropy(bug["scores"](raw), y)
    dscores = bug["dscores"](raw, dscores)
    dhidden = (dscores @ w2) * bug["mask"](pre)
    grads = {
        "w1": dhidden.T @ x + bug["decay1"] * bug["decay"] * w1,
        "b1": dhidden.sum(axis=0),
        "w2": dscores.T @ bug["input2"](pre, hidden) + bug["decay2"] * bug["decay"] * w2,
        "b2": dscores.sum(axis=0),
    }
    return loss + bug["loss_decay"] * ((w1 * w1).sum() + (w2 * w2).sum()), grads


@animal(TWO, "the first layer learns what its dead units cannot use")
def relu_mask_forgotten(x, y, w1, b1, w2, b2, weight_decay):
    """backward does not go through the ReLU: dhidden is not masked where hidden is 0."""
    one = x.dtype.type(1)
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, mask=lambda pre: one)


@animal(TWO, "no better than a linear classifier")
def no_relu(x, y, w1, b1, w2, b2, weight_decay):
    """there is no ReLU between the layers, which makes the net linear."""
    one = x.dtype.type(1)
    return _two_layers(
        x, y, w1, b1, w2, b2, weight_decay, relu=lambda pre: pre, mask=lambda pre: one
    )


@animal(TWO, "scores cannot be negative; training stalls")
def relu_on_the_scores(x, y, w1, b1, w2, b2, weight_decay):
    """a ReLU after the second layer as well; scores go to the softmax as they are."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, scores=lambda s: np.maximum(s, 0))


@animal(TWO, "scores cannot be negative; training stalls")
def relu_on_the_scores_both_ways(x, y, w1, b1, w2, b2, weight_decay):
    """a ReLU after the second layer as well, forward and backward; scores go to the softmax as they
    are"""
    return _two_layers(
        *(x, y, w1, b1, w2, b2, weight_decay),
        scores=lambda s: np.maximum(s, 0),
        dscores=lambda s, d: d * (s > 0),
    )


@animal(TWO, "an error, unless all layers are square")
def two_layers_not_transposed(x, y, w1, b1, w2, b2, weight_decay):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, times=np.matmul)


@animal(TWO, "an error, unless all layers are square")
def two_layers_not_transposed_in_dot(x, y, w1, b1, w2, b2, weight_decay):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, times=np.dot)


@animal(TWO, "units at exactly 0 get a gradient")
def mask_at_zero(x, y, w1, b1, w2, b2, weight_decay):
    """the mask is pre >= 0; at exactly 0 the gradient is 0 by convention."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, mask=lambda pre: pre >= 0)


@animal(TWO, "the second layer learns from numbers it never saw")
def w2_from_before_the_relu(x, y, w1, b1, w2, b2, weight_decay):
    """the gradient of w2 uses the numbers before the ReLU; w2 was fed those after it."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, input2=lambda pre, hidden: pre)


@animal(TWO, "a gradient check that fails by a factor near 2, with weight decay only")
def decay_not_halved_in_the_loss(x, y, w1, b1, w2, b2, weight_decay):
    """the loss has weight_decay * sum(w**2) where the gradient weight_decay * w belongs to half
    of it"""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, loss_decay=weight_decay)


@animal(TWO, "twice the weight decay that was asked for")
def decay_doubled_in_the_gradient(x, y, w1, b1, w2, b2, weight_decay):
    """the gradient has 2 * weight_decay * w; the penalty is weight_decay / 2 * sum(w**2)."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, decay=2 * weight_decay)


@animal(TWO, "twice the weight decay that PyTorch has")
def decay_without_the_half(x, y, w1, b1, w2, b2, weight_decay):
    """the penalty is weight_decay * sum(w**2), without the half, in loss and gradient alike."""
    return _two_layers(
        x, y, w1, b1, w2, b2, weight_decay, loss_decay=weight_decay, decay=2 * weight_decay
    )


@animal(TWO, "weight decay shows in the loss and does nothing")
def decay_forgotten_in_the_gradient(x, y, w1, b1, w2, b2, weight_decay):
    """the penalty is in the loss and its gradient is missing."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, decay=0)


@animal(TWO, "weight decay works and does not show in the loss")
def decay_forgotten_in_the_loss(x, y, w1, b1, w2, b2, weight_decay):
    """weight decay is in the gradient, but the penalty is missing from the loss."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, loss_decay=0)


@animal(TWO, "weight decay gets weaker as batches get larger")
def decay_divided_by_n(x, y, w1, b1, w2, b2, weight_decay):
    """the penalty is divided by N; it does not depend on the batch."""
    return two_layer_loss(x, y, w1, b1, w2, b2, weight_decay / len(x))


@animal(TWO, "biases are pulled to 0")
def biases_decayed(x, y, w1, b1, w2, b2, weight_decay):
    """the biases are penalised as well; the exercise regularises weights only."""
    loss, grads = two_layer_loss(x, y, w1, b1, w2, b2, weight_decay)
    loss += weight_decay / 2 * ((b1 * b1).sum() + (b2 * b2).sum())
    return loss, grads | {
        "b1": grads["b1"] + weight_decay * b1,
        "b2": grads["b2"] + weight_decay * b2,
    }


@animal(TWO, "the second layer's weights grow without bound")
def only_w1_decayed(x, y, w1, b1, w2, b2, weight_decay):
    """the penalty covers w1 only; w2 is a weight too."""
    loss, grads = two_layer_loss(x, y, w1, b1, w2, b2, weight_decay)
    loss -= weight_decay / 2 * (w2 * w2).sum()
    return loss, grads | {"w2": grads["w2"] - weight_decay * w2}


@animal(TWO, "the first layer's weights grow without bound")
def only_w2_decayed(x, y, w1, b1, w2, b2, weight_decay):
    """the penalty covers w2 only; w1 is a weight too."""
    loss, grads = two_layer_loss(x, y, w1, b1, w2, b2, weight_decay)
    loss -= weight_decay / 2 * (w1 * w1).sum()
    return loss, grads | {"w1": grads["w1"] - weight_decay * w1}


@animal(TWO, "a gradient check that fails for w2, with weight decay only")
def no_penalty_gradient_for_w2(x, y, w1, b1, w2, b2, weight_decay):
    """there is no penalty in the gradient of w2, though the loss has it: + weight_decay * w2."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, decay2=0)


@animal(TWO, "a gradient check that fails for w1, with weight decay only")
def no_penalty_gradient_for_w1(x, y, w1, b1, w2, b2, weight_decay):
    """there is no penalty in the gradient of w1, though the loss has it: + weight_decay * w1."""
    return _two_layers(x, y, w1, b1, w2, b2, weight_decay, decay1=0)


@animal(TWO, "the first bias learns from dead units")
def b1_before_the_mask(x, y, w1, b1, w2, b2, weight_decay):
    """db1 is summed before the ReLU mask is applied."""
    loss, grads = two_layer_loss(x, y, w1, b1, w2, b2, weight_decay)
    scores = np.maximum(x @ w1.T + b1, 0) @ w2.T + b2
    _, dscores = softmax_cross_entropy(scores, y)
    return loss, grads | {"b1": (dscores @ w2).sum(axis=0)}


@animal(TWO, "the net trains, but other weights than it should")
def weights_updated_in_place(x, y, w1, b1, w2, b2, weight_decay):
    """the weights are changed inside the loss function."""
    result = two_layer_loss(x, y, w1, b1, w2, b2, weight_decay)
    w1 -= 0.01 * result[1]["w1"]
    return result


def _deep(
    x,
    y,
    weights,
    biases,
    relu_last=False,
    mask_last=False,
    relu=True,
    input_of=0,
    mask_of=0,
    mask=np.greater,
    times=lambda x, w: x @ w.T,
):
    """A net of any depth, with a place for each bug."""
    last, inputs, outs = len(weights) - 1, [x], []
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        out = times(inputs[-1], w) + b
        outs.append(out)
        inputs.append(np.maximum(out, 0) if relu and (i < last or relu_last) else out)
    loss, dout = softmax_cross_entropy(inputs[-1], y)
    dout = dout * (outs[-1] > 0) if mask_last else dout
    dweights, dbiases = [None] * len(weights), [None] * len(weights)
    for i in reversed(range(len(weights))):
        dweights[i], dbiases[i] = dout.T @ inputs[i + input_of], dout.sum(axis=0)
        if i:
            dout = dout @ weights[i]
            dout = dout * mask(outs[i - 1 + mask_of], 0) if mask_of is not None else dout
    return loss, dweights, dbiases


@animal(DEEP, "scores cannot be negative; training stalls")
def relu_after_the_last_layer(x, y, weights, biases):
    """a ReLU after the last layer as well; scores go to the softmax as they are."""
    return _deep(x, y, weights, biases, relu_last=True)


@animal(DEEP, "scores cannot be negative; training stalls")
def relu_after_the_last_layer_both_ways(x, y, weights, biases):
    """a ReLU after the last layer as well, forward and backward; scores go to the softmax as they
    are"""
    return _deep(x, y, weights, biases, relu_last=True, mask_last=True)


@animal(DEEP, "units at exactly 0 get a gradient")
def deep_mask_at_zero(x, y, weights, biases):
    """the mask is pre >= 0; at exactly 0 the gradient is 0 by convention."""
    return _deep(x, y, weights, biases, mask=np.greater_equal)


@animal(DEEP, "an error, unless all layers are square")
def layers_not_transposed(x, y, weights, biases):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return _deep(x, y, weights, biases, times=np.matmul)


@animal(DEEP, "an error, unless all layers are square")
def layers_not_transposed_in_dot(x, y, weights, biases):
    """x @ w multiplies by the weights as they are; a row is an output, so it is x @ w.T."""
    return _deep(x, y, weights, biases, times=np.dot)


@animal(DEEP, "no better than a linear classifier, at any depth")
def relu_nowhere(x, y, weights, biases):
    """there is no ReLU between the layers, which makes the net linear."""
    return _deep(x, y, weights, biases, relu=False, mask_of=None)


@animal(DEEP, "the error grows with depth")
def masks_forgotten(x, y, weights, biases):
    """backward does not go through the ReLUs."""
    return _deep(x, y, weights, biases, mask_of=None)


@animal(DEEP, "an error, or wrong gradients where widths are equal")
def mask_of_the_next_layer(x, y, weights, biases):
    """each gradient is masked with the ReLU of the next layer: an index is off by one."""
    return _deep(x, y, weights, biases, mask_of=1)


@animal(DEEP, "an error, or wrong gradients where widths are equal")
def inputs_of_the_next_layer(x, y, weights, biases):
    """dw uses the layer's output where it needs its input: an index is off by one."""
    return _deep(x, y, weights, biases, input_of=1)


@animal(DEEP, "the last layer is updated with the first one's gradient")
def gradients_from_last_to_first(x, y, weights, biases):
    """the gradients are listed in the order of the backward pass, last layer first."""
    loss, dweights, dbiases = mlp_loss(x, y, weights, biases)
    return loss, dweights[::-1], dbiases[::-1]


@animal(DEEP, "the first layer keeps its random weights")
def first_layer_skipped(x, y, weights, biases):
    """the loop ends before the first layer, whose gradient stays 0."""
    loss, dweights, dbiases = mlp_loss(x, y, weights, biases)
    return (
        loss,
        [np.zeros_like(weights[0]), *dweights[1:]],
        [
            np.zeros_like(biases[0]),
            *dbiases[1:],
        ],
    )


@animal(DEEP, "right for two layers, wrong for more")
def two_layers_at_most(x, y, weights, biases):
    """only the last two layers get a gradient; the code does not loop over the depth."""
    loss, dweights, dbiases = mlp_loss(x, y, weights, biases)
    for i in range(len(weights) - 2):
        dweights[i], dbiases[i] = np.zeros_like(weights[i]), np.zeros_like(biases[i])
    return loss, dweights, dbiases


@animal(DEEP, "the net is upside down at the second step")
def weights_changed_in_place(x, y, weights, biases):
    """the caller's list weights is changed (pop, reverse, append); work on list(weights), or
    iterate over reversed(weights)"""
    result = mlp_loss(x, y, list(weights), list(biases))
    weights.reverse()
    return result


@animal(DEEP, "biases are missing at the second step")
def biases_changed_in_place(x, y, weights, biases):
    """the caller's list biases is changed (pop, reverse, append); work on list(biases), or
    iterate over reversed(biases)"""
    result = mlp_loss(x, y, list(weights), list(biases))
    biases.reverse()
    return result


@animal(DEEP, "gradients fade with depth")
def divided_by_n_in_each_layer(x, y, weights, biases):
    """each layer divides by N; the loss has done that once and for all."""
    loss, dweights, dbiases = mlp_loss(x, y, weights, biases)
    depth = len(weights)
    n = [len(x) ** (depth - i) for i in range(depth)]
    return (
        loss,
        [dw / k for dw, k in zip(dweights, n, strict=True)],
        [db / k for db, k in zip(dbiases, n, strict=True)],
    )
