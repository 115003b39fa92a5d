"""Lesson 5's exercise checks: right answers pass however they are written, wrong ones are named."""

import bisect
import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as tF  # noqa: E402

from coursekit.checks import ExerciseError, check, zoo  # noqa: E402
from coursekit.checks.exercises import EXERCISES, diagnose, find  # noqa: E402
from coursekit.checks.failures import INVITATION  # noqa: E402
from coursekit.port.checks import references_residual as ref  # noqa: E402

LESSON_5 = {
    name
    for name, e in EXERCISES.items()
    if e.run.__module__.startswith("coursekit.port.checks.exercises_residual")
}
ANIMALS = [a for a in zoo.animals() if a.exercise in LESSON_5]


# --- right answers, written as different learners would ----------------------------------------


class BlockOfSequentials(nn.Module):
    """The short way is made first, and everything is a Sequential."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.short = nn.Sequential()
        if (i, 1) != (o, stride):
            self.short = nn.Sequential(
                nn.Conv2d(i, o, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(o)
            )
        self.body = nn.Sequential(
            *(nn.Conv2d(i, o, 3, stride, padding=1, bias=False), nn.BatchNorm2d(o)),
            nn.ReLU(inplace=True),
            *(nn.Conv2d(o, o, 3, padding="same", bias=False), nn.BatchNorm2d(o)),
        )

    def forward(self, x):
        return tF.relu(self.short(x) + self.body(x), inplace=True)


class BlockBackToFront(nn.Module):
    """Layers made in the wrong order; rows and columns left out by slicing; lazy layers."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.norms = nn.ModuleList(nn.LazyBatchNorm2d() for _ in range(2))
        self.b = nn.Conv2d(o, o, (3, 3), padding=(1, 1), bias=False)
        self.a = nn.LazyConv2d(o, 3, stride, 1, bias=False)
        self.project = None
        if stride > 1 or i != o:
            self.norms.append(nn.BatchNorm2d(o))
            self.project = nn.Conv2d(i, o, 1, bias=False)

    def forward(self, x):
        out = self.a(x)
        out = self.norms[0](out).clamp(min=0)
        out = self.norms[1](self.b(out))
        if self.project is not None:
            x = self.norms[2](self.project(x[:, :, :: self.stride, :: self.stride]))
        out += x
        return nn.ReLU()(out)


class Written(nn.Module):
    """The compact net, line by line, with a class for the unit."""

    class Unit(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(i, o, 3, padding="same"), nn.BatchNorm2d(o)

        def forward(self, x):
            return self.bn(tF.relu(self.conv(x)))

    def __init__(self, width, classes):
        super().__init__()
        for n in range(1, 10):
            setattr(self, f"conv{n}", self.Unit(3 if n == 1 else width, width))
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x1 = self.conv1(x)
        x2 = self.conv2(x1)
        x3 = self.conv3(x1 + x2)
        x4 = tF.max_pool2d(x1 + x2 + x3, 2)
        x5 = self.conv4(x4)
        x6 = self.conv5(x4 + x5)
        x7 = self.conv6(x4 + x5 + x6)
        x8 = tF.max_pool2d(x5 + x6 + x7, 2)
        x9 = self.conv7(x8)
        x10 = self.conv8(x8 + x9)
        x11 = self.conv9(x8 + x9 + x10)
        return self.fc(tF.adaptive_avg_pool2d(x11, 1).flatten(1))


class ConvolutionsFirst(nn.Module):
    """All convolutions in one list, all norms in another, running sums."""

    def __init__(self, width, classes):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, width, 3, 1, 1)])
        self.convs.extend(nn.Conv2d(width, width, 3, 1, 1) for _ in range(8))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(9))
        self.scores = nn.LazyLinear(classes)

    def forward(self, x):
        total, pooled = x, 0
        for n, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(total).relu())
            total = x if n == 0 else total + x
            if n in (2, 5):  # without what the pool before it gave, which is in the sum
                total = pooled = nn.MaxPool2d(2)(total - pooled)
        return self.scores(x.flatten(2).mean(-1))


def widest_by_bits(count, budget):
    """Bit after bit, from the largest that fits."""
    bit = 1
    while count(bit) <= budget:
        bit *= 2
    width = 0
    while bit := bit // 2:
        if count(width + bit) <= budget:
            width += bit
    return width


def widest_by_bisect(count, budget):
    """The library's bisection, over a range that nobody makes."""
    high = 1
    while count(high) <= budget:
        high *= 2
    return bisect.bisect_right(range(1, high), budget, key=count)


def widest_by_recursion(count, budget):
    """Recursion, which remembers what it asked."""

    def between(low, high):
        if high - low == 1:
            return low
        middle = low + (high - low) // 2
        return between(middle, high) if not count(middle) > budget else between(low, middle)

    high = 64
    while not count(high) > budget:
        high *= 4
    return between(0, high)


def excite_as_matrices(x, w1, b1, w2, b2):
    """Matrix products, and views for the broadcast."""
    n, c = x.shape[:2]
    h = torch.clamp(x.reshape(n, c, -1).mean(-1) @ w1.t() + b1, min=0)
    return torch.sigmoid(h @ w2.t() + b2).view(n, c, 1, 1) * x


def excite_as_convolutions(x, w1, b1, w2, b2):
    """1 × 1 convolutions of a 1 × 1 map."""
    z = tF.adaptive_avg_pool2d(x, 1)
    z = tF.conv2d(z, w1[..., None, None], b1).relu()
    return x * tF.conv2d(z, w2[..., None, None], b2).sigmoid()


def excite_by_einsum(x, w1, b1, w2, b2):
    """einsum throughout."""
    h = torch.relu(torch.einsum("nchw,rc->nr", x / (x.shape[2] * x.shape[3]), w1) + b1)
    z = torch.einsum("nr,cr->nc", h, w2) + b2
    return torch.einsum("nchw,nc->nchw", x, 1 / (1 + torch.exp(-z)))


def gelu_of_a_distribution(x):
    """The distribution's own cdf."""
    return x * torch.distributions.Normal(0.0, 1.0).cdf(x)


def gelu_by_erfc(x):
    """From the other side."""
    return 0.5 * x * torch.special.erfc(-x * math.sqrt(0.5))


def smoothed_by_targets(logits, y, smoothing):
    """Soft targets in full."""
    classes = logits.shape[-1]
    targets = torch.full_like(logits, smoothing / classes)
    targets[torch.arange(len(y)), y] += 1 - smoothing
    return -(targets * tF.log_softmax(logits, dim=-1)).sum() / len(logits)


def smoothed_by_mixture(logits, y, smoothing):
    """A mixture of two losses, with logsumexp."""
    log_z = torch.logsumexp(logits, 1)
    hard = log_z - logits[range(len(y)), y]
    return ((1 - smoothing) * hard + smoothing * (log_z - logits.mean(1))).mean()


def l1_by_loop(net, strength):
    """A loop that adds up, by names."""
    total = torch.zeros(())
    for name, p in net.named_parameters():
        if not p.requires_grad or "bias" in name or p.dim() == 1:
            continue
        total = total + p.abs().sum()
    return total * strength


def l1_by_norm(net, strength):
    """Norms; signs for absolute values would do as well."""
    return sum(
        strength * torch.linalg.vector_norm(p, ord=1)
        for p in net.parameters()
        if p.requires_grad and p.ndim > 1
    )


def l1_by_signs(net, strength):
    """w times its sign."""
    weights = [p.flatten() for p in net.parameters() if p.ndim != 1 and p.requires_grad]
    weights = torch.cat(weights)
    return (strength * weights * weights.detach().sign()).sum()


def groups_by_loop(net, weight_decay):
    """One loop, two lists; tuples for lists."""
    decayed, others = [], []
    for _, p in net.named_parameters():
        if p.requires_grad:
            (decayed if p.dim() > 1 else others).append(p)
    return (
        {"weight_decay": weight_decay, "params": tuple(decayed)},
        {"weight_decay": 0, "params": others},
    )


def groups_by_module(net, weight_decay):
    """From module to module, with a memory for what is shared."""
    groups = [
        {"params": [], "weight_decay": weight_decay},
        {"params": [], "weight_decay": 0.0, "lr": 0.2},
    ]
    seen = set()
    for module in net.modules():
        for p in module.parameters(recurse=False):
            if p.requires_grad and p not in seen:
                seen.add(p)
                groups[len(p.shape) < 2]["params"].append(p)
    return groups


def groups_of_generators(net, weight_decay):
    """Generators, which an optimiser takes as well."""
    return [
        {"params": (p for p in net.parameters() if p.requires_grad and p.ndim > 1)}
        | {"weight_decay": weight_decay},
        {"params": filter(lambda p: p.requires_grad and p.ndim <= 1, net.parameters())}
        | {"weight_decay": 0.0},
    ]


@torch.inference_mode()
def six_views_as_one_batch(net, x):
    """All views in one batch, weights as a tensor."""
    was = net.training
    net.eval()
    padded = nn.ReflectionPad2d(1)(x)
    views = torch.stack([x, padded[..., 2:, 2:], padded[..., :-2, :-2]])
    views = torch.cat([views, views.flip(-1)])
    logits = net(views.flatten(0, 1)).unflatten(0, views.shape[:2])
    net.train(was)
    weights = torch.tensor([2, 1, 1] * 2).to(x) / 8
    return torch.einsum("v,vnc->nc", weights, logits)


def six_views_by_index(net, x):
    """Shifts by index, a function for the mirrored mean; the mode put back whatever happens."""

    def both(v):
        return 0.5 * net(v) + 0.5 * net(torch.fliplr(v.permute(2, 3, 0, 1)).permute(2, 3, 0, 1))

    was, (h, w) = net.training, x.shape[-2:]
    up, down = [*range(1, h), h - 2], [1, *range(h - 1)]
    left, right = [*range(1, w), w - 2], [1, *range(w - 1)]
    try:
        net.train(False)
        with torch.no_grad():
            moved = (both(x[:, :, up][..., left]) + both(x[:, :, down][..., right])) / 2
            return (both(x) + moved) / 2
    finally:
        net.train(was)


RIGHT = {
    "basic_block": [BlockOfSequentials, BlockBackToFront],
    "compact_net": [Written, ConvolutionsFirst],
    "widest": [widest_by_bits, widest_by_bisect, widest_by_recursion],
    "squeeze_excite": [excite_as_matrices, excite_as_convolutions, excite_by_einsum],
    "gelu": [gelu_of_a_distribution, gelu_by_erfc, tF.gelu],
    "smoothed_cross_entropy": [
        smoothed_by_targets,
        smoothed_by_mixture,
        lambda z, y, s: tF.cross_entropy(z, y, label_smoothing=s),
    ],
    "l1_penalty": [l1_by_loop, l1_by_norm, l1_by_signs],
    "decay_groups": [groups_by_loop, groups_by_module, groups_of_generators],
    "six_view_logits": [six_views_as_one_batch, six_views_by_index],
}
WRITTEN = [
    pytest.param(name, function, id=f"{name}-{i}")
    for name, functions in RIGHT.items()
    for i, function in enumerate(functions)
]


def test_every_exercise_has_right_answers_and_wrong_ones():
    assert RIGHT.keys() == LESSON_5
    assert {name: len(zoo.animals(name)) for name in LESSON_5 if len(zoo.animals(name)) < 12} == {}
    assert len({(a.exercise, a.name) for a in ANIMALS}) == len(ANIMALS)


@pytest.mark.parametrize(("name", "function"), WRITTEN)
@pytest.mark.parametrize("seed", [0, 7])
def test_right_answers_pass_however_they_are_written(name, function, seed, capsys):
    check(name, function, seed=seed)
    assert f"✓ {name}: " in capsys.readouterr().out


@pytest.mark.parametrize("animal", ANIMALS, ids=lambda a: f"{a.exercise}-{a.name}")
def test_wrong_answers_are_caught_and_named(animal):
    with pytest.raises(ExerciseError) as failure:
        check(animal.exercise, animal.function)
    first, inputs, named, *closer = str(failure.value).splitlines()
    assert closer in ([], [INVITATION])
    assert first.startswith(f"✗ {animal.exercise}: ")
    assert inputs.startswith("  inputs: ")
    assert named == f"  this looks like: {animal.looks_like}"


def test_ordinary_inputs_would_not_be_enough():
    """What the hostile inputs are for: some mistakes show on no ordinary batch."""
    hidden = {
        *("projection only with a stride", "pools round up", "strictly below", "shared twice"),
        *("squeezed too much", "logarithm of a softmax", "mode not set"),
    }
    chosen = [a for a in ANIMALS if a.name in hidden]
    seen = {a.name for a in chosen if diagnose(find(a.exercise), (a.function,)).seen}
    assert len(chosen) > len(hidden)  # two exercises have one that is called "shared twice"
    assert seen == set()


@pytest.mark.parametrize("name", sorted(LESSON_5))
def test_an_unwritten_answer_is_told_so(name):
    def unwritten(*args):
        raise NotImplementedError

    with pytest.raises(ExerciseError, match=f"^{name}: not implemented yet$"):
        check(name, unwritten)


@pytest.mark.parametrize("name", sorted(LESSON_5))
def test_answers_of_another_kind_get_a_sentence(name):
    for nonsense in (None, "text", 3, 2.5, True, [1, 2], [{}, {}], torch.ones(2), nn.Identity()):
        with pytest.raises(ExerciseError, match=rf"^✗ {name}: "):
            check(name, partial(lambda value, *args: value, nonsense))


@pytest.mark.parametrize("name", sorted(LESSON_5))
def test_checks_draw_nothing_from_torchs_generator_and_leave_gradients_on(name):
    before = torch.get_rng_state()
    check(name, getattr(ref, name))
    for animal in zoo.animals(name)[-3:]:
        with pytest.raises(ExerciseError):
            check(name, animal.function)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


# --- the references ----------------------------------------------------------------------------


def test_the_compact_net_has_the_number_of_parameters_that_is_told():
    count = sum(p.numel() for p in ref.compact_net(64, 10).parameters())
    assert count == 299_018
    assert ref.widest(lambda w: sum(p.numel() for p in ref.compact_net(w, 10).parameters()), count)


@pytest.mark.parametrize(("i", "o", "stride"), [(4, 4, 1), (4, 8, 1), (4, 4, 2), (4, 8, 2)])
def test_the_block_is_torchvisions(i, o, stride):
    """Same state by name, same numbers, in both modes."""
    resnet = pytest.importorskip("torchvision.models.resnet")
    torch.manual_seed(0)
    short = None
    if stride != 1 or i != o:
        short = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
    theirs = resnet.BasicBlock(i, o, stride, short).double()
    ours = ref.basic_block(i, o, stride).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, i, 7, 6, dtype=torch.float64)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(x), theirs.train(mode)(x))


def test_the_references_are_pytorchs():
    torch.manual_seed(0)
    x, y = 3 * torch.randn(50, 7, dtype=torch.float64), torch.arange(50) % 7
    torch.testing.assert_close(ref.gelu(x), tF.gelu(x))
    for s in (0.0, 0.1, 1.0):
        ours = ref.smoothed_cross_entropy(x, y, s)
        torch.testing.assert_close(ours, tF.cross_entropy(x, y, label_smoothing=s))
    conv = nn.Conv2d(1, 1, 2, bias=False)
    optimizer = torch.optim.SGD(ref.decay_groups(conv, 0.5), lr=0.1)
    before = conv.weight.detach().clone()
    conv.weight.grad = torch.zeros_like(conv.weight)
    optimizer.step()
    torch.testing.assert_close(conv.weight.detach(), 0.95 * before)


def test_a_width_costs_a_few_dozen_questions():
    asked = []
    assert ref.widest(lambda w: asked.append(w) or w, 10**9) == 10**9
    assert len(asked) <= 60


def test_a_block_that_cannot_run_is_told_on_what():
    with pytest.raises(ExerciseError, match=r"cannot take x of shape \(3, 4, 6, 6\): RuntimeError"):
        check("basic_block", lambda i, o, stride: nn.Conv2d(i + 1, o, 3))
    with pytest.raises(ExerciseError, match="the number of parameters should be 304, got 148"):
        check("basic_block", lambda i, o, stride: nn.Conv2d(i, o, 3, stride, 1))
