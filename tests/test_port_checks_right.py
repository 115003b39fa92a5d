"""The PyTorch lessons' exercises, right in other ways: Sequential, functional, lazy, by class.

Each of them must pass on any seed; COURSEKIT_RIGHT_SEEDS=50 tries so many.
"""

import math
from collections import OrderedDict
from copy import deepcopy
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import coursekit.port  # noqa: E402, F401  makes the exercises known
from coursekit.checks import check  # noqa: E402
from coursekit.checks.exercises import EXERCISES, find  # noqa: E402

# --- tensors ----------------------------------------------------------------------------------


def pixels_one_by_one(images, mean, std):
    n, h, w, c = images.shape
    x = torch.empty(n, c, h, w)
    for k in range(c):
        channel = torch.tensor(images[..., k], dtype=torch.float64) / 255
        x[:, k] = (channel - float(mean[k])) / float(std[k])
    return x


def pixels_wide(images, mean, std):
    x = torch.from_numpy(images.astype(np.float64) / 255)
    x = (x - torch.from_numpy(mean)) / torch.from_numpy(std)
    return x.permute(0, 3, 1, 2).to(torch.float32)


def three_layers_in_a_module(x, params):
    class Net(nn.Module):
        def forward(self, x):
            w1, b1, w2, b2, w3, b3 = params
            x = F.relu(F.conv2d(x, w1, b1, stride=1, padding=w1.shape[-1] // 2))
            x = torch.flatten(F.max_pool2d(x, kernel_size=2), 1)
            return F.linear(F.relu(F.linear(x, w2, b2)), w3, b3)

    return Net()(x)


def three_layers_einsum(x, params):
    w1, b1, w2, b2, w3, b3 = params
    k = w1.shape[-1]
    n, _, h, w = x.shape
    columns = F.unfold(x, k, padding=k // 2)
    maps = torch.einsum("fk,nkl->nfl", w1.flatten(1), columns) + b1[:, None]
    maps = torch.relu(maps).view(n, -1, h // 2, 2, w // 2, 2).amax(dim=(3, 5))
    hidden = torch.relu(torch.einsum("nd,hd->nh", maps.reshape(n, -1), w2) + b2)
    return torch.einsum("nh,ch->nc", hidden, w3) + b3


# --- LeNet ------------------------------------------------------------------------------------


def lenet_lazy(in_channels, size, activation):
    return nn.Sequential(
        nn.LazyConv2d(6, 5, padding=(32 - size) // 2),
        *(activation(), nn.MaxPool2d(2), nn.LazyConv2d(16, 5), activation(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.LazyLinear(120), activation()),
        *(nn.LazyLinear(84), activation(), nn.LazyLinear(10)),
    )


def lenet_of_parts(in_channels, size, activation):
    def stage(i, o, padding=0):
        return nn.Sequential(nn.Conv2d(i, o, 5, 1, padding), activation(), nn.MaxPool2d(2, 2))

    class LeNet(nn.Sequential):
        def __init__(self):
            maps = nn.Sequential(stage(in_channels, 6, (32 - size) // 2), stage(6, 16))
            head = OrderedDict(a=nn.LazyLinear(120), f=activation(), b=nn.Linear(120, 84))
            head |= {"g": activation(), "c": nn.Linear(84, 10)}
            super().__init__(OrderedDict(maps=maps, flat=nn.Flatten(1), head=nn.Sequential(head)))

    return LeNet()


class LenetBackToFront(nn.Module):
    """The last layer is made first."""

    def __init__(self, in_channels, size, activation):
        super().__init__()
        self.fc3, self.fc2, self.fc1 = nn.Linear(84, 10), nn.Linear(120, 84), nn.Linear(400, 120)
        self.conv2, self.conv1 = nn.Conv2d(6, 16, 5), nn.Conv2d(in_channels, 6, 5)
        self.pad, self.activation = (32 - size) // 2, activation()

    def forward(self, x):
        f, pool = self.activation, partial(F.max_pool2d, kernel_size=2)
        x = F.conv2d(x, self.conv1.weight, self.conv1.bias, padding=self.pad)
        x = pool(f(F.conv2d(pool(f(x)), self.conv2.weight, self.conv2.bias)))
        for layer in (self.fc1, self.fc2):
            x = f(layer(x.flatten(1)))
        return self.fc3(x)


class LenetOfParameters(nn.Module):
    """No layers at all."""

    def __init__(self, in_channels, size, activation):
        super().__init__()
        shapes = [(6, in_channels, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
        self.w = nn.ParameterList(torch.randn(shape) * 0.1 for shape in shapes)
        self.b = nn.ParameterList(torch.zeros(shape[0]) for shape in shapes)
        self.pad, self.activation = (32 - size) // 2, activation()

    def forward(self, x):
        for i, padding in enumerate((self.pad, 0)):
            x = self.activation(F.conv2d(x, self.w[i], self.b[i], padding=padding))
            x = F.max_pool2d(x, 2)
        x = x.flatten(1)
        for i in (2, 3):
            x = self.activation(F.linear(x, self.w[i], self.b[i]))
        return F.linear(x, self.w[4], self.b[4])


# --- training ---------------------------------------------------------------------------------


def step_on_the_net(net, x, y, optimizer, criterion):
    for p in net.parameters():
        p.grad = None
    net.train()
    with torch.enable_grad():
        loss = criterion(net.forward(x), y)
        loss.backward()
    optimizer.step()
    return loss.detach().numpy().item()


def step_with_a_closure(net, x, y, optimizer, criterion):
    net.train()

    def closure():
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        return loss

    return optimizer.step(closure).item()


def step_by_autograd(net, x, y, optimizer, criterion):
    net.train()
    loss = criterion(net(x), y)
    params = list(net.parameters())
    for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
        p.grad = g
    optimizer.step()
    return float(loss)


def evaluate_by_hand(net, batches, criterion):
    modes = {m: m.training for m in net.modules()}
    net.eval()
    losses, hits, n = [], 0, 0
    for x, y in batches:
        with torch.no_grad():
            z = net(x)
            losses += [criterion(z[i : i + 1], y[i : i + 1]).item() for i in range(len(y))]
            hits += sum(int(row.argmax()) == int(label) for row, label in zip(z, y, strict=True))
        n += len(y)
    for m, mode in modes.items():
        m.training = mode
    return math.fsum(losses) / n, hits / n


def evaluate_with_finally(net, batches, criterion):
    was, net = net.training, net.train(False)
    total = torch.zeros(3, dtype=torch.float64)
    try:
        with torch.inference_mode():
            for x, y in batches:
                z = net(x)
                right = z.topk(1).indices.squeeze(1).eq(y).sum()
                total += torch.stack([criterion(z, y) * len(y), right, torch.tensor(len(y))])
    finally:
        net.train(was)
    loss, right, seen = total.tolist()
    return loss / seen, right / seen


def epochs_by_hand(net, batches, optimizer, scheduler, epochs, evaluate):
    scores = [None] * epochs
    for epoch in range(epochs):
        for x, y in batches:
            net.train()
            optimizer.zero_grad()
            log_p = F.log_softmax(net(x), dim=1)
            (-log_p[torch.arange(len(y)), y].mean()).backward()
            optimizer.step()
            scheduler.step()
        scores[epoch] = evaluate(net)
    return scores


def epochs_of_steps(net, batches, optimizer, scheduler, epochs, evaluate):
    criterion, scores = nn.CrossEntropyLoss(), []
    for i in range(epochs * len(batches)):
        x, y = batches[i % len(batches)]
        step_on_the_net(net, x, y, optimizer, criterion)
        scheduler.step()
        if (i + 1) % len(batches) == 0:
            scores.append(float(evaluate(net)))
    return scores


def accumulate_by_autograd(net, x, y, size):
    params = list(net.parameters())
    total = [torch.zeros_like(p) for p in params]
    loss = 0.0
    for start in range(0, len(x), size):
        end = min(start + size, len(x))
        part = F.cross_entropy(net(x[start:end]), y[start:end], reduction="none").sum() / len(x)
        for t, g in zip(total, torch.autograd.grad(part, params), strict=True):
            t += g
        loss += float(part)
    for p, t in zip(params, total, strict=True):
        p.grad = t
    return loss


def accumulate_and_divide(net, x, y, size):
    net.zero_grad(set_to_none=False)
    losses = []
    for piece in torch.arange(len(x)).split(size):
        loss = F.nll_loss(net(x[piece]).log_softmax(-1), y[piece], reduction="sum")
        loss.backward()
        losses.append(loss.detach().double())
    for p in net.parameters():
        p.grad.div_(len(x))
    return torch.stack(losses).sum().item() / len(x)


def two_views_one_by_one(net, x):
    modes = [(m, m.training) for m in net.modules()]
    net.eval()
    with torch.inference_mode():
        rows = [net(torch.stack([p, p[..., range(p.shape[-1] - 1, -1, -1)]])) for p in x]
        result = torch.stack([row.mean(dim=0) for row in rows])
    for m, mode in modes:
        m.training = mode
    return result.clone()


@torch.no_grad()
def two_views_in_place(net, x):
    was = net.training
    net.eval()
    logits = net(x).clone()
    logits += net(torch.flip(x, (-1,)))
    logits *= 0.5
    net.train(was)
    return logits


# --- autograd ---------------------------------------------------------------------------------


def outputs_all_at_once(net, x):
    leaves = OrderedDict((n, m) for n, m in net.named_modules() if len(list(m.children())) == 0)
    names, found = {m: n for n, m in leaves.items()}, {}

    def hook(module, _, out):
        found[names[module]] = out.detach().numpy().copy()

    handles = [m.register_forward_hook(hook) for m in leaves.values()]
    with torch.no_grad():
        net(x)
    while handles:
        handles.pop().remove()
    return {name: torch.from_numpy(found[name]) for name in leaves}


def outputs_of_a_copy(net, x):
    twin, found = deepcopy(net), OrderedDict()
    for name, layer in twin.named_modules():
        if not any(True for _ in layer.children()):
            layer.register_forward_hook(
                lambda _m, _i, out, name=name: found.__setitem__(name, out.data.clone())
            )
    twin(x)
    return found


class ByTorch(torch.autograd.Function):
    """Tensor loops of its own; the cache in saved tensors."""

    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        ctx.save_for_backward(x, w)
        ctx.stride, ctx.padding = stride, padding
        columns = F.unfold(x, w.shape[2:], padding=padding, stride=stride)
        size = [(s + 2 * padding - k) // stride + 1 for s, k in zip(x.shape[2:], w.shape[2:])]  # noqa: B905
        return (torch.einsum("fk,nkl->nfl", w.flatten(1), columns) + b[:, None]).unflatten(2, size)

    @staticmethod
    def backward(ctx, dout):
        x, w = ctx.saved_tensors
        options = {"padding": ctx.padding, "stride": ctx.stride}
        flat, dx, dw, db = dout.flatten(2), None, None, None
        if ctx.needs_input_grad[0]:
            spread = torch.einsum("fk,nfl->nkl", w.flatten(1), flat)
            dx = F.fold(spread, x.shape[2:], w.shape[2:], **options)
        if ctx.needs_input_grad[1]:
            columns = F.unfold(x, w.shape[2:], **options)
            dw = torch.einsum("nfl,nkl->fk", flat, columns).view_as(w)
        if ctx.needs_input_grad[2]:
            db = flat.sum(dim=(0, 2))
        return dx, dw, db, None, None


class ByGrads(torch.autograd.Function):
    """With torch's own helpers for the gradients of a convolution."""

    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        ctx.x, ctx.w, ctx.more = x.clone(), w.clone(), (stride, padding)
        return F.conv2d(x, w, b, stride, padding)

    @staticmethod
    def backward(ctx, dout):
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.nn.grad.conv2d_input(ctx.x.shape, ctx.w, dout, *ctx.more)
        dw = torch.nn.grad.conv2d_weight(ctx.x, ctx.w.shape, dout, *ctx.more)
        return dx, dw, dout.sum((0, 2, 3)), None, None


# --- residual nets ----------------------------------------------------------------------------


def lazy_block(in_channels, out_channels, stride):
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            three = {"kernel_size": 3, "padding": 1, "bias": False}
            self.body = nn.Sequential(
                *(nn.LazyConv2d(out_channels, stride=stride, **three), nn.LazyBatchNorm2d()),
                *(nn.ReLU(), nn.LazyConv2d(out_channels, **three), nn.LazyBatchNorm2d()),
            )
            same = stride == 1 and in_channels == out_channels
            short = nn.LazyConv2d(out_channels, 1, stride=stride, bias=False), nn.LazyBatchNorm2d()
            self.short = nn.Identity() if same else nn.Sequential(*short)

        def forward(self, x):
            return torch.relu(self.body(x) + self.short(x))

    return Lazy()


class FunctionalBlock(nn.Module):
    """Weights in a dict, convolved by functions."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.w = nn.ParameterDict({"one": torch.randn(o, i, 3, 3), "two": torch.randn(o, o, 3, 3)})
        self.n1, self.n2 = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
        if stride != 1 or i != o:
            self.w["short"] = torch.randn(o, i, 1, 1)
            self.n3 = nn.BatchNorm2d(o)

    def forward(self, x):
        out = self.n1(F.conv2d(x, self.w["one"], stride=self.stride, padding=1)).relu_()
        out = self.n2(F.conv2d(out, self.w["two"], padding=1))
        if "short" in self.w:
            x = self.n3(F.conv2d(x, self.w["short"], stride=self.stride))
        return F.relu(torch.add(out, x))


class BareBlock(nn.Module):
    """Batch norm by its function, with parameters and buffers of the block's own."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.w1, self.w2 = (
            nn.Parameter(torch.randn(o, i, 3, 3)),
            nn.Parameter(torch.randn(o, o, 3, 3)),
        )
        self.w3 = nn.Parameter(torch.randn(o, i, 1, 1)) if stride > 1 or i != o else None
        for k in range(2 + (self.w3 is not None)):
            self.register_parameter(f"gamma{k}", nn.Parameter(torch.ones(o)))
            self.register_parameter(f"beta{k}", nn.Parameter(torch.zeros(o)))
            self.register_buffer(f"mean{k}", torch.zeros(o))
            self.register_buffer(f"var{k}", torch.ones(o))

    def norm(self, k, x):
        parts = (getattr(self, f"{name}{k}") for name in ("mean", "var", "gamma", "beta"))
        return F.batch_norm(x, *parts, self.training)

    def forward(self, x):
        out = F.relu(self.norm(0, F.conv2d(x, self.w1, None, self.stride, 1)))
        out = self.norm(1, F.conv2d(out, self.w2, padding=1))
        if self.w3 is not None:
            x = self.norm(2, F.conv2d(x, self.w3, stride=self.stride))
        return F.relu(out + x)


class CompactOfStages(nn.Module):
    """Stages of their own, made from the last to the first."""

    class Stage(nn.Module):
        def __init__(self, width):
            super().__init__()
            units = [
                nn.Sequential(nn.LazyConv2d(width, 3, padding=1), nn.ReLU(), nn.LazyBatchNorm2d())
                for _ in range(3)
            ]
            self.third, self.second, self.first = units

        def forward(self, x, first=False):
            kept = [] if first else [x]
            for unit in (self.first, self.second, self.third):
                kept.append(unit(sum(kept) if kept else x))
            return kept if first else kept[1:]

    def __init__(self, width, classes):
        super().__init__()
        self.fc = nn.LazyLinear(classes)
        self.three, self.two, self.one = (self.Stage(width) for _ in range(3))

    def forward(self, x):
        x = F.max_pool2d(sum(self.one(x, first=True)), 2)
        x = F.max_pool2d(sum(self.two(x)), 2)
        return self.fc(self.three(x)[-1].mean((2, 3)))


def compact_as_a_dict(width, classes):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({"head": nn.Linear(width, classes)})
            for i in range(8, -1, -1):
                self.layers[f"norm{i}"] = nn.BatchNorm2d(width)
                self.layers[f"conv{i}"] = nn.Conv2d(width if i else 3, width, 3, padding="same")

        def unit(self, i, x):
            return self.layers[f"norm{i}"](torch.relu(self.layers[f"conv{i}"](x)))

        def forward(self, x):
            total, start = self.unit(0, x), 0
            for i in range(1, 9):
                out = self.unit(i, total)
                total = total + out
                if i in (2, 5):
                    total = F.max_pool2d(total - start, 2)
                    start = total
            return self.layers["head"](F.adaptive_avg_pool2d(out, 1)[:, :, 0, 0])

    return Net()


def widest_with_a_bound(count, budget):
    low, high = 1, 1
    while count(high) <= budget:
        high *= 4
    while low < high:
        middle = (low + high) // 2
        if count(middle) > budget:
            high = middle
        else:
            low = middle + 1
    return low - 1


def widest_as_numpy(count, budget):
    width, step = 0, 1 << 40
    while step:
        if count(width + step) <= budget:
            width += step
        step >>= 1
    return np.int64(width)


# --- layers and losses ------------------------------------------------------------------------


def excite_channel_by_channel(x, w1, b1, w2, b2):
    n, c, h, w = x.shape
    pooled = torch.stack([x[:, k].reshape(n, -1).sum(1) / (h * w) for k in range(c)], dim=1)
    gate = torch.sigmoid(torch.relu(pooled @ w1.T + b1) @ w2.T + b2)
    return torch.stack([x[:, k] * gate[:, k].view(n, 1, 1) for k in range(c)], dim=1)


def excite_in_a_sequential(x, w1, b1, w2, b2):
    class Dense(nn.Module):
        def __init__(self, w, b):
            super().__init__()
            self.given = (w, b)

        def forward(self, x):
            return F.linear(x, *self.given)

    gate = nn.Sequential(
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Dense(w1, b1), nn.ReLU(), Dense(w2, b2)),
        nn.Sigmoid(),
    )
    return gate(x)[..., None, None].expand_as(x) * x


def excite_wide(x, w1, b1, w2, b2):
    wide = [t.double() for t in (x, w1, b1, w2, b2)]
    return excite_channel_by_channel(*wide).to(x.dtype)


def gelu_functional(x):
    return F.gelu(x)


def gelu_wide(x):
    wide = x.to(torch.float64)
    return (wide * torch.special.ndtr(wide)).type_as(x)


def smoothed_functional(logits, y, smoothing):
    return F.cross_entropy(logits, y, label_smoothing=smoothing)


def smoothed_row_by_row(logits, y, smoothing):
    c, losses = logits.shape[1], []
    for row, label in zip(logits, y.tolist(), strict=True):
        log_p = row - torch.logsumexp(row, 0)
        losses.append(-(1 - smoothing) * log_p[label] - smoothing / c * log_p.sum())
    return torch.stack(losses).mean()


# --- what is punished -------------------------------------------------------------------------


def l1_by_names(net, strength):
    total = torch.zeros((), dtype=next(net.parameters()).dtype, requires_grad=True) * 1
    for _, p in net.named_parameters():
        if p.requires_grad and p.dim() > 1:
            total += p.abs().sum()
    return total * strength


def l1_of_vectors(net, strength):
    weights = [w.reshape(-1) for w in net.parameters() if len(w.shape) >= 2 and w.requires_grad]
    return torch.linalg.vector_norm(torch.cat(weights), 1).mul(strength)


def groups_by_shape(net, weight_decay):
    decay, rest = OrderedDict(), OrderedDict()
    for module in net.modules():
        for p in module.parameters(recurse=False):
            if p.requires_grad:
                (decay if p.dim() > 1 else rest)[p] = True
    return [
        dict(params=list(decay), weight_decay=weight_decay),
        dict(params=list(rest), weight_decay=0),
    ]


def groups_filtered(net, weight_decay):
    def some(wide):
        return list(filter(lambda p: p.requires_grad and (p.ndim > 1) == wide, net.parameters()))

    return (
        {"weight_decay": weight_decay, "params": some(True)},
        {"weight_decay": 0.0, "params": some(False)},
    )


def six_views_with_roll(net, x):
    n, c, h, w = x.shape
    wide = nn.ReflectionPad2d(1)(x)
    views = [(x, 1 / 4), (wide[..., 2:, 2:], 1 / 8), (wide[..., :-2, :-2], 1 / 8)]
    modes = [(m, m.training) for m in net.modules()]
    net.eval()
    total = 0
    with torch.inference_mode():
        for view, share in views:
            for v in (view, view.flip(-1)):
                total = total + share * net(v.reshape(n, c, h, w))
    for m, mode in modes:
        m.training = mode
    return total.clone()


@torch.no_grad()
def six_views_as_one(net, x):
    was = net.training
    wide = F.pad(x, [1] * 4, mode="reflect")
    views = torch.stack([x, wide[:, :, 2:, 2:], wide[:, :, :-2, :-2]])
    views = torch.cat([views, views.flip(4)])
    net.train(mode=False)
    logits = torch.stack([net(v) for v in views])
    net.train(mode=was)
    return torch.einsum("v,vnc->nc", logits.new_tensor([2, 1, 1, 2, 1, 1]) / 8, logits)


# --- transfer ---------------------------------------------------------------------------------


def head_lazy(net, classes):
    if hasattr(net, "classifier"):
        net.classifier[len(net.classifier) - 1] = nn.LazyLinear(classes)
    else:
        net.fc = nn.LazyLinear(out_features=classes)
    if getattr(net, "AuxLogits", None) is not None:
        net.AuxLogits.fc = nn.LazyLinear(classes)
    return net


def head_by_name(net, classes):
    for name in ("fc", "classifier.3", "AuxLogits.fc"):
        try:
            old = net.get_submodule(name)
        except AttributeError:
            continue
        owner, _, last = name.rpartition(".")
        setattr(net.get_submodule(owner), last, nn.Linear(old.weight.shape[1], classes))
    return net


def freeze_by_parameters(net, keep):
    own = {id(p) for p in keep.parameters()}
    for p in net.parameters():
        p.requires_grad = id(p) in own
    inside = {id(m) for m in keep.modules()}
    for m in net.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and id(m) not in inside:
            m.eval()
            m.train = lambda mode=True, m=m: m


def freeze_with_a_hook(net, keep):
    for p in net.parameters():
        p.requires_grad_(False)
    for p in keep.parameters():
        p.requires_grad_(True)
    kept = list(keep.modules())

    def still(module, _inputs):
        module.training = False

    for m in net.modules():
        if not any(m is k for k in kept) and isinstance(m, nn.BatchNorm1d):
            m.register_forward_pre_hook(still)


def prepare_with_numpy(images, size, mean, std):
    x = torch.from_numpy(np.array(images, dtype=np.float32)) / 255.0
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
    mean, std = (np.asarray(v, np.float32).reshape(1, 3, 1, 1) for v in (mean, std))
    return torch.from_numpy((x.numpy() - mean) / std)


def prepare_one_by_one(images, size, mean, std):
    pictures = []
    for image in images:
        x = torch.as_tensor(image.copy())[None].double() / 255
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)[0]
        for k in range(3):
            x[k] = (x[k] - mean[k]) / std[k]
        pictures.append(x.float())
    return torch.stack(pictures)


@torch.inference_mode()
def features_by_forward_hook(net, head, batches):
    modes, rows = {m: m.training for m in net.modules()}, []
    handle = head.register_forward_hook(lambda _m, given, _out: rows.append(given[0].clone()))
    net.eval()
    for x in batches:
        net(x)
    handle.remove()
    for m, mode in modes.items():
        m.training = mode
    return torch.cat(rows).clone()


def features_in_place_of_the_head(net, head, batches):
    """The head hands on what it gets, for as long as it takes."""
    modes, rows = {m: m.training for m in net.modules()}, []
    head.forward = lambda x: x
    try:
        with torch.no_grad():
            net.eval()
            for x in batches:
                rows.extend(net(x))
    finally:
        del head.forward
        for m, mode in modes.items():
            m.training = mode
    return torch.stack(rows)


def probe_by_lstsq(features, labels, classes, strength):
    n, d = features.shape
    y = (labels[:, None] == np.arange(classes)).astype(features.dtype)
    x = np.hstack([features - features.mean(0), np.ones((n, 1))])
    ridge = np.hstack([math.sqrt(strength) * np.eye(d), np.zeros((d, 1))])
    both = np.linalg.lstsq(
        np.vstack([x, ridge]), np.vstack([y, np.zeros((d, classes))]), rcond=None
    )
    weight, bias = both[0][:-1].T.copy(), both[0][-1]
    return weight, bias - weight @ features.mean(0)


def probe_in_the_dual(features, labels, classes, strength):
    y = np.zeros((len(labels), classes))
    y[np.arange(len(labels)), labels] = 1
    x = features - np.mean(features, axis=0)
    target = y - y.mean(axis=0)
    alpha = np.linalg.solve(x @ x.T + strength * np.eye(len(x)), target)
    weight = np.einsum("nc,nd->cd", alpha, x)
    return weight, y.mean(axis=0) - np.einsum("cd,d->c", weight, features.mean(axis=0))


def rates_forwards(stages, lr, decay):
    groups, seen, rate = [], [], lr * math.pow(decay, len(stages) - 1)
    for stage in stages:
        own = []
        for p in stage.parameters():
            if p.requires_grad and not any(p is q for q in seen):
                own.append(p)
                seen.append(p)
        if own:
            groups.append({"lr": rate, "params": own})
        rate /= decay
    return groups


def rates_by_dict(stages, lr, decay):
    first = {}
    for i, stage in enumerate(stages):
        for p in filter(lambda p: p.requires_grad, stage.parameters()):
            first.setdefault(p, i)
    last = len(stages) - 1
    return [
        {"params": [p for p in first if first[p] == i], "lr": lr * decay ** (last - i)}
        for i in sorted(set(first.values()))
    ]


def subset_shuffled(labels, per_class, rng):
    order = np.arange(len(labels))
    rng.shuffle(order)
    taken, chosen = dict.fromkeys(labels.tolist(), 0), []
    for i in order.tolist():
        if taken[int(labels[i])] < per_class:
            taken[int(labels[i])] += 1
            chosen.append(i)
    return np.array(chosen)


def subset_by_rejection(labels, per_class, rng):
    chosen = []
    for c in sorted(set(labels.tolist())):
        own, some = np.nonzero(labels == c)[0], []
        while len(some) < per_class:
            i = int(own[int(rng.random() * len(own))])
            if i not in some:
                some.append(i)
        chosen += some
    return np.asarray(chosen, np.int32)


def pca_by_eigenvectors(features, k):
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.einsum("nd,ne->de", centred, centred) / len(features))
    order = np.argsort(values)[::-1][:k]
    return centred @ vectors[:, order], values[order] / values.sum()


def pca_of_torch(features, k):
    x = torch.tensor(features)
    x = x - x.mean(0, keepdim=True)
    _, s, v = torch.linalg.svd(x, full_matrices=False)
    return (x @ v[:k].T).numpy(), (s[:k] ** 2 / (x**2).sum()).numpy()


RIGHT = {
    "pixels_to_tensor": [pixels_one_by_one, pixels_wide],
    "three_layer_forward": [three_layers_in_a_module, three_layers_einsum],
    "lenet": [lenet_lazy, lenet_of_parts, LenetBackToFront, LenetOfParameters],
    "training_step": [step_on_the_net, step_with_a_closure, step_by_autograd],
    "evaluate": [evaluate_by_hand, evaluate_with_finally],
    "train_epochs": [epochs_by_hand, epochs_of_steps],
    "accumulated_gradients": [accumulate_by_autograd, accumulate_and_divide],
    "two_view_logits": [two_views_one_by_one, two_views_in_place],
    "layer_outputs": [outputs_all_at_once, outputs_of_a_copy],
    "conv2d_function": [ByTorch.apply, ByGrads.apply],
    "basic_block": [lazy_block, FunctionalBlock, BareBlock],
    "compact_net": [CompactOfStages, compact_as_a_dict],
    "widest": [widest_with_a_bound, widest_as_numpy],
    "squeeze_excite": [excite_channel_by_channel, excite_in_a_sequential, excite_wide],
    "gelu": [gelu_functional, gelu_wide],
    "smoothed_cross_entropy": [smoothed_functional, smoothed_row_by_row],
    "l1_penalty": [l1_by_names, l1_of_vectors],
    "decay_groups": [groups_by_shape, groups_filtered],
    "six_view_logits": [six_views_with_roll, six_views_as_one],
    "replace_head": [head_lazy, head_by_name],
    "freeze": [freeze_by_parameters, freeze_with_a_hook],
    "prepare": [prepare_with_numpy, prepare_one_by_one],
    "extract_features": [features_by_forward_hook, features_in_place_of_the_head],
    "linear_probe": [probe_by_lstsq, probe_in_the_dual],
    "layerwise_rates": [rates_forwards, rates_by_dict],
    "balanced_subset": [subset_shuffled, subset_by_rejection],
    "pca": [pca_by_eigenvectors, pca_of_torch],
}
SLOW = {"balanced_subset", "compact_net"}
WRITTEN = [(name, f) for name, functions in RIGHT.items() for f in functions]


def test_every_exercise_has_right_answers():
    find("adam")
    port = {name for name, e in EXERCISES.items() if e.run.__module__.startswith("coursekit.port.")}
    assert port == RIGHT.keys()


@pytest.mark.parametrize(("name", "function"), WRITTEN, ids=lambda v: getattr(v, "__qualname__", v))
def test_right_answers_pass(name, function, no_false_alarm):
    no_false_alarm(name, function, slow=name in SLOW)


def test_a_copy_of_the_net_may_be_asked():
    """What goes through a deep copy is noticed as what goes through the net itself."""

    def evaluate(net, batches, criterion):
        net = deepcopy(net).eval()
        loss = hits = seen = 0
        with torch.no_grad():
            for x, y in batches:
                logits = net(x)
                loss += criterion(logits, y).item() * len(y)
                hits += (logits.argmax(dim=1) == y).sum().item()
                seen += len(y)
        return loss / seen, hits / seen

    def two_view_logits(net, x):
        net = deepcopy(net).eval()
        with torch.no_grad():
            return (net(x) + net(x.flip(3))) / 2

    check("evaluate", evaluate)
    check("two_view_logits", two_view_logits)


def test_soft_targets_may_be_float32():
    def smoothed_cross_entropy(logits, y, smoothing):
        right = F.one_hot(y, logits.shape[1])
        return F.cross_entropy(logits, right * (1 - smoothing) + smoothing / logits.shape[1])

    check("smoothed_cross_entropy", smoothed_cross_entropy)
