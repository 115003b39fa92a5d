"""Wrong hooks, and wrong functions for autograd."""

import numpy as np
import torch

from coursekit.checks.zoo.animal import animal
from coursekit.functional import conv2d_backward, conv2d_forward
from coursekit.port.checks.references import layer_outputs

OUTPUTS, FUNCTION = "layer_outputs", "conv2d_function"


# --- outputs of all layers ----------------------------------------------------------------------


def _hooked(net, x, *, keep=None, leaf=True, named=None, remove=True, grad=True):
    """Hooks on the layers, with a place for each bug."""
    keep = keep or (lambda out: out.detach().clone())
    layers = named or dict(net.named_modules())
    if leaf:
        layers = {name: layer for name, layer in layers.items() if not list(layer.children())}
    outputs, handles = {}, []
    for name, layer in layers.items():
        handles.append(
            layer.register_forward_hook(
                lambda _m, _in, out, name=name: outputs.update({name: keep(out)})
            )
        )
    net(x)
    if remove:
        for handle in handles:
            handle.remove()
    return outputs


@animal(OUTPUTS, "every later forward pass is slower, and memory fills")
def hooks_left_on(net, x):
    """the hooks are never removed."""
    return _hooked(net, x, remove=False)


@animal(OUTPUTS, "one layer in the dictionary")
def closure_over_the_loop(net, x):
    """every hook uses the loop's variable, which is the last name by the time it is called."""
    outputs, handles = {}, []
    for name, layer in net.named_modules():
        if not list(layer.children()):
            handles.append(
                layer.register_forward_hook(
                    lambda _m, _in, out: outputs.update({name: out.detach().clone()})  # noqa: B023
                )
            )
    net(x)
    for handle in handles:
        handle.remove()
    return outputs


@animal(OUTPUTS, "a whole graph stays in memory")
def graph_kept(net, x):
    """the outputs keep their graph; detach() takes them off it."""
    return _hooked(net, x, keep=torch.clone)


@animal(OUTPUTS, "convolutions that seem to have no negative outputs")
def overwritten_in_place(net, x):
    """outputs are kept without a copy, and a ReLU behind them works in place."""
    return _hooked(net, x, keep=torch.detach)


@animal(OUTPUTS, "blocks beside their own layers")
def containers_too(net, x):
    """blocks are recorded as well; only layers without children count."""
    return _hooked(net, x, leaf=False)


@animal(OUTPUTS, "layers inside blocks are missing")
def children_only(net, x):
    """only the net's own children are looked at, not what lies in its blocks."""
    return _hooked(net, x, leaf=False, named=dict(net.named_children()))


@animal(OUTPUTS, "every layer shows what the one before it did")
def inputs_for_outputs(net, x):
    """the hook keeps its layer's input; asked for is the output."""
    outputs, handles = {}, []
    for name, layer in net.named_modules():
        if not list(layer.children()):

            def hook(_module, inputs, _out, name=name):
                outputs[name] = inputs[0].detach().clone()

            handles.append(layer.register_forward_hook(hook))
    net(x)
    for handle in handles:
        handle.remove()
    return outputs


@animal(OUTPUTS, "two ReLUs share one entry")
def named_by_type(net, x):
    """the keys are the layers' types; they are their names."""
    outputs = layer_outputs(net, x)
    return {type(net.get_submodule(name)).__name__: out for name, out in outputs.items()}


@animal(OUTPUTS, "numbers of another net: batch norm of this batch")
def in_training_mode(net, x):
    """the net is switched to training mode first."""
    return layer_outputs(net.train(), x)


@animal(OUTPUTS, "an error where an array is made into an array")
def arrays_for_tensors(net, x):
    """the outputs are NumPy arrays; here they are tensors."""
    return {name: out.numpy() for name, out in layer_outputs(net, x).items()}


# --- a function of one's own --------------------------------------------------------------------


def _function(backward=None, forward=None):
    """The function, with one half replaced."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, b, stride, padding):
            if forward is not None:
                return forward(ctx, x, w, b, stride, padding)
            return _forward(ctx, x, w, b, stride, padding)

        @staticmethod
        def backward(ctx, dout):
            return (backward or _backward)(ctx, dout)

    return Function.apply


def _forward(ctx, x, w, b, stride, padding):
    out, ctx.cache = conv2d_forward(x.numpy(), w.numpy(), b.numpy(), stride=stride, padding=padding)
    return torch.from_numpy(out)


def _three(ctx, dout):
    return [torch.from_numpy(g) for g in conv2d_backward(dout.numpy(), ctx.cache)]


def _backward(ctx, dout):
    dx, dw, db = _three(ctx, dout)
    return dx if ctx.needs_input_grad[0] else None, dw, db, None, None


@animal(FUNCTION, "an error about shapes, or weights that learn from the wrong gradient")
def weights_before_input(x, w, b, stride, padding):
    """backward returns (dw, dx, db); its order is that of forward's arguments."""

    def backward(ctx, dout):
        dx, dw, db, *rest = _backward(ctx, dout)
        return dw, dx, db, *rest

    return _function(backward)(x, w, b, stride, padding)


@animal(FUNCTION, "an error: 'returned an incorrect number of gradients'")
def nones_forgotten(x, w, b, stride, padding):
    """backward returns three gradients; forward has five arguments, so two Nones are missing."""
    return _function(lambda ctx, dout: _backward(ctx, dout)[:3])(x, w, b, stride, padding)


@animal(FUNCTION, "the first layer costs half as much again")
def needs_input_grad_ignored(x, w, b, stride, padding):
    """dx is computed though nobody needs it; ctx.needs_input_grad[0] tells."""
    return _function(lambda ctx, dout: (*_three(ctx, dout), None, None))(x, w, b, stride, padding)


@animal(FUNCTION, "'None' where a gradient is expected")
def dx_never_computed(x, w, b, stride, padding):
    """dx is never computed; layers before this one learn nothing."""

    def backward(ctx, dout):
        return None, *_backward(ctx, dout)[1:]

    return _function(backward)(x, w, b, stride, padding)


_LAST: dict = {}


@animal(FUNCTION, "right with one layer, wrong with two")
def kept_outside_ctx(x, w, b, stride, padding):
    """the cache is kept outside ctx, where the next call overwrites it."""

    def forward(ctx, x, w, b, stride, padding):
        out = _forward(ctx, x, w, b, stride, padding)
        _LAST["cache"] = ctx.cache
        return out

    def backward(ctx, dout):
        ctx.cache = _LAST["cache"]
        return _backward(ctx, dout)

    return _function(backward, forward)(x, w, b, stride, padding)


@animal(FUNCTION, "right only if this is the last operation before a sum")
def upstream_ignored(x, w, b, stride, padding):
    """dout is ignored, as if it were all ones."""
    return _function(lambda ctx, dout: _backward(ctx, torch.ones_like(dout)))(
        x, w, b, stride, padding
    )


@animal(FUNCTION, "gradients smaller the larger the batch")
def averaged_again(x, w, b, stride, padding):
    """gradients are divided by the batch size; the loss has done that."""
    return _function(lambda ctx, dout: _backward(ctx, dout / len(dout)))(x, w, b, stride, padding)


@animal(FUNCTION, "a gradient that belongs to other weights")
def saved_and_then_changed(x, w, b, stride, padding):
    """what backward needs is changed after it was saved: forward works on x in place."""

    def forward(ctx, x, w, b, stride, padding):
        out = _forward(ctx, x, w, b, stride, padding)
        ctx.cache[0][...] *= 0.5
        return out

    return _function(None, forward)(x, w, b, stride, padding)


@animal(FUNCTION, "the graph ends here, and no layer before it learns")
def numpy_without_a_function(x, w, b, stride, padding):
    """the call goes past autograd: the Function's apply is not used."""
    arrays = (t.detach().numpy() for t in (x, w, b))
    return torch.from_numpy(conv2d_forward(*arrays, stride=stride, padding=padding)[0])


@animal(FUNCTION, "right for square strides only: pictures shrink as they should not")
def stride_ignored(x, w, b, stride, padding):
    """the stride does not arrive: it is always 1."""
    return _function()(x, w, b, 1, padding)


@animal(FUNCTION, "pictures shrink")
def padding_ignored(x, w, b, stride, padding):
    """the padding does not arrive: it is always 0."""
    return _function()(x, w, b, stride, 0)


@animal(FUNCTION, "the net runs at half the speed from here on")
def double_precision(x, w, b, stride, padding):
    """the result is float64 whatever came."""

    def forward(ctx, x, w, b, stride, padding):
        return _forward(ctx, x, w, b, stride, padding).double()

    def backward(ctx, dout):
        return _backward(ctx, dout.to(torch.from_numpy(np.empty(0, ctx.cache[0].dtype)).dtype))

    return _function(backward, forward)(x, w, b, stride, padding)
