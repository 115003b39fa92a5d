"""Wrong receptive fields: how much of a picture a unit sees."""

from coursekit.checks.references_atlas import receptive_field
from coursekit.checks.zoo.animal import animal

FIELD = "receptive_field"


def _field(layers, size=1, grow=None, leap=lambda jump, stride: jump * stride):
    """From input to output, with a place for each bug."""
    jump = 1
    for kernel, stride in layers:
        size = grow(size, jump, kernel, stride) if grow else size + (kernel - 1) * jump
        jump = leap(jump, stride)
    return size, jump


@animal(FIELD, "fields too small behind every pool")
def jumps_forgotten(layers):
    """each layer adds kernel - 1; behind a stride those are steps of several pixels."""
    return _field(layers, grow=lambda size, jump, kernel, stride: size + kernel - 1)


@animal(FIELD, "fields too large at every stride")
def own_stride_counted(layers):
    """the jump is multiplied by a layer's stride before its kernel is counted; it is after it."""
    return _field(
        layers, grow=lambda size, jump, kernel, stride: size + (kernel - 1) * jump * stride
    )


@animal(FIELD, "fields too small from the second stride on")
def stride_before_only(layers):
    """a kernel's steps are those of the layer before; all strides before it multiply."""
    size, step = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * step
        step = stride
    return size, receptive_field(layers)[1]


@animal(FIELD, "fields too large, by a jump a layer")
def kernel_for_kernel_minus_one(layers):
    """each layer adds kernel * jump; one of its pixels was there already: (kernel - 1) * jump."""
    return _field(layers, grow=lambda size, jump, kernel, stride: size + kernel * jump)


@animal(FIELD, "fields one pixel too small")
def starts_at_zero(layers):
    """the size starts at 0; a pixel sees itself, so it starts at 1."""
    return _field(layers, size=0)


@animal(FIELD, "fields of thousands of pixels")
def kernels_multiplied(layers):
    """the kernels are multiplied; each adds (kernel - 1) * jump."""
    return _field(layers, grow=lambda size, jump, kernel, stride: size * kernel)


@animal(FIELD, "a 3x3 layer seems to see 3 pixels wherever it stands")
def last_layer_only(layers):
    """the size is that of the last layer alone."""
    return _field(layers, grow=lambda size, jump, kernel, stride: kernel)


@animal(FIELD, "right where kernels and strides follow the same order both ways")
def recursion_from_the_wrong_end(layers):
    """size = (size - 1) * stride + kernel goes from output to input; here the layers run from input
    to output"""
    size = 1
    for kernel, stride in layers:
        size = (size - 1) * stride + kernel
    return size, receptive_field(layers)[1]


@animal(FIELD, "fields too small in nets with pools")
def pools_left_out(layers):
    """layers with a stride do not widen the field; their kernels count like all others."""
    return _field(
        layers,
        grow=lambda size, jump, kernel, stride: size + (kernel - 1) * jump * (stride == 1),
    )


@animal(FIELD, "half of a field")
def one_side_only(layers):
    """each layer adds kernel // 2 steps, one side's; both sides make kernel - 1."""
    return _field(layers, grow=lambda size, jump, kernel, stride: size + kernel // 2 * jump)


@animal(FIELD, "fields too large in nets with pools")
def stride_for_the_kernel(layers):
    """(stride, kernel) is read where (kernel, stride) stands."""
    return receptive_field([(stride, kernel) for kernel, stride in layers])


@animal(FIELD, "jumps too small from the second stride on")
def strides_added(layers):
    """the strides are added up; they multiply."""
    return _field(layers, leap=lambda jump, stride: jump + stride - 1)


@animal(FIELD, "jumps too small from the second stride on")
def jump_of_the_last_layer(layers):
    """the jump is the last layer's stride; it is the product of all."""
    return receptive_field(layers)[0], layers[-1][1] if layers else 1


@animal(FIELD, "boxes too close to one another")
def last_stride_left_out(layers):
    """the jump lacks the last layer's stride."""
    size, _ = receptive_field(layers)
    return size, receptive_field(layers[:-1])[1]


@animal(FIELD, "a number of pixels where a side is asked for")
def area_for_side(layers):
    """the size is the number of pixels; it should be the side of the square."""
    size, jump = receptive_field(layers)
    return size * size, jump


@animal(FIELD, "boxes of the wrong size in the wrong places")
def jump_before_size(layers):
    """(jump, size) is returned where (size, jump) is asked for."""
    return receptive_field(layers)[::-1]


@animal(FIELD, "right the first time, wrong the second")
def layers_reversed_in_place(layers):
    """layers.reverse() or pop() changes the caller's list; use reversed(layers)."""
    result = receptive_field(layers)
    layers.reverse()
    layers.pop() if layers else None
    return result
