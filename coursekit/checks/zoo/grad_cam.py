"""Wrong Grad-CAMs: where a class finds support."""

import numpy as np

from coursekit.checks.references_atlas import grad_cam
from coursekit.checks.zoo.animal import animal

CAM = "grad_cam"


def _cam(activations, gradients, **bugs):
    """Grad-CAM written out, with a place for each bug."""
    bug = {
        "weights": lambda gradients: gradients.mean(axis=(1, 2), keepdims=True),
        "each": lambda activations, weights: weights * activations,
        "heat": lambda each: np.maximum(each.sum(axis=0), 0),
        "scale": lambda heat: heat / heat.max() if heat.any() else heat,
    } | bugs
    each = bug["each"](activations, bug["weights"](gradients))
    return bug["scale"](bug["heat"](each))


@animal(CAM, "what speaks against the class shows as negative heat")
def relu_forgotten(activations, gradients):
    """there is no ReLU: what speaks against the class is set to 0."""
    return _cam(activations, gradients, heat=lambda each: each.sum(axis=0))


@animal(CAM, "what speaks against the class lights up as well")
def absolute_value(activations, gradients):
    """the absolute value where a ReLU is asked for."""
    return _cam(activations, gradients, heat=lambda each: np.abs(each.sum(axis=0)))


@animal(CAM, "channels that speak against the class are never heard")
def relu_before_the_sum(activations, gradients):
    """the ReLU is applied to every channel; it comes after the sum over them."""
    return _cam(*(activations, gradients), heat=lambda each: np.maximum(each, 0).sum(axis=0))


@animal(CAM, "channels that speak against the class are never heard")
def relu_on_the_weights(activations, gradients):
    """negative weights are set to 0; the ReLU comes after the sum over the channels."""
    return _cam(
        *(activations, gradients),
        weights=lambda g: np.maximum(g.mean(axis=(1, 2), keepdims=True), 0),
    )


@animal(CAM, "channels that speak against the class count for it")
def absolute_weights(activations, gradients):
    """absolute values of the weights; their sign says for or against."""
    return _cam(
        *(activations, gradients), weights=lambda g: np.abs(g.mean(axis=(1, 2), keepdims=True))
    )


@animal(CAM, "another method, and not a bad one")
def gradient_times_activation(activations, gradients):
    """gradients are multiplied pixel by pixel; Grad-CAM first averages a channel's gradient over
    its pixels"""
    return _cam(activations, gradients, weights=lambda gradients: gradients)


@animal(CAM, "weights that belong to pixels")
def gradient_averaged_over_channels(activations, gradients):
    """the gradient is averaged over the channels, axis 0; it is over height and width."""
    return _cam(*(activations, gradients), weights=lambda g: g.mean(axis=0, keepdims=True))


@animal(CAM, "one strong pixel decides for its channel")
def largest_gradient(activations, gradients):
    """a channel's weight is its largest gradient; it is the mean."""
    return _cam(*(activations, gradients), weights=lambda g: g.max(axis=(1, 2), keepdims=True))


@animal(CAM, "channels are weighed by what they see, whatever the class")
def activations_and_gradients_swapped(activations, gradients):
    """the gradients are weighed by the mean activations; it is the other way round."""
    return grad_cam(gradients, activations)


@animal(CAM, "the same map for every class")
def gradients_ignored(activations, gradients):
    """the gradients do not count: all channels weigh the same."""
    return _cam(*(activations, gradients), weights=lambda g: np.ones_like(g[:, :1, :1]))


@animal(CAM, "a map of the net's sensitivity, not of what it found")
def activations_ignored(activations, gradients):
    """the activations do not count: it is the gradients that are summed."""
    return _cam(*(activations, gradients), each=lambda activations, weights: gradients)


@animal(CAM, "one channel's map")
def largest_channel(activations, gradients):
    """the largest of the weighted channels; it should be their sum."""
    return _cam(*(activations, gradients), heat=lambda each: np.maximum(each.max(axis=0), 0))


@animal(CAM, "maps that cannot be compared")
def not_normalised(activations, gradients):
    """the map is not divided by its largest value."""
    return _cam(activations, gradients, scale=lambda heat: heat)


@animal(CAM, "nan wherever nothing speaks for the class")
def zero_divided_by_zero(activations, gradients):
    """0 / 0 where nothing speaks for the class: a map of zeros stays as it is."""
    return _cam(activations, gradients, scale=lambda heat: heat / heat.max())


@animal(CAM, "maps of small gradients stay dark")
def eps_in_the_divisor(activations, gradients):
    """heat / (heat.max() + 1e-8) darkens maps of small gradients; ask whether the maximum is 0."""
    return _cam(*(activations, gradients), scale=lambda heat: heat / (heat.max() + 1e-8))


@animal(CAM, "the coldest spot is always 0")
def stretched_to_the_minimum(activations, gradients):
    """the minimum is subtracted before dividing; after the ReLU 0 means nothing found."""

    def stretch(heat):
        span = heat.max() - heat.min()
        return (heat - heat.min()) / span if span > 0 else heat

    return _cam(activations, gradients, scale=stretch)


@animal(CAM, "heat where everything speaks against the class")
def divided_before_the_relu(activations, gradients):
    """the sum is divided by its maximum before the ReLU; a negative maximum turns the map round."""

    def heat(each):
        total = each.sum(axis=0)
        return np.maximum(total / total.max() if total.any() else total, 0)

    return _cam(activations, gradients, heat=heat, scale=lambda heat: heat)


@animal(CAM, "dark maps wherever something speaks against the class")
def divided_by_the_largest_absolute_value(activations, gradients):
    """divided by the largest absolute value before the ReLU; it is the largest value after it."""

    def heat(each):
        total = each.sum(axis=0)
        return np.maximum(total / np.abs(total).max() if total.any() else total, 0)

    return _cam(activations, gradients, heat=heat, scale=lambda heat: heat)


@animal(CAM, "large maps are darker than small ones")
def divided_by_the_sum(activations, gradients):
    """the map is divided by its sum; its largest value shall be 1."""
    return _cam(*(activations, gradients), scale=lambda h: h / h.sum() if h.any() else h)


@animal(CAM, "heat beside what causes it")
def map_transposed(activations, gradients):
    """the map is (W, H); it should be (H, W)."""
    return grad_cam(activations, gradients).T.copy()


@animal(CAM, "the net's own activations change")
def activations_in_place(activations, gradients):
    """the activations are multiplied in place (*=); work on a copy."""
    heat = grad_cam(activations, gradients)
    activations *= gradients.mean(axis=(1, 2), keepdims=True)
    return heat


@animal(CAM, "float64 maps of a float32 net")
def float64_map(activations, gradients):
    """np.zeros without a dtype makes a float64 map of float32 activations."""
    return grad_cam(activations, gradients).astype(np.float64)
