"""Lesson 4's exercise checks: right answers pass however they are written, wrong ones are named."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as tF  # noqa: E402

from coursekit import functional  # noqa: E402
from coursekit.checks import ExerciseError, check, zoo  # noqa: E402
from coursekit.checks.exercises import EXERCISES, diagnose, find  # noqa: E402
from coursekit.checks.failures import INVITATION  # noqa: E402
from coursekit.port.checks import references as ref  # noqa: E402

MODULES = {f"coursekit.port.checks.exercises_{m}" for m in ("tensors", "autograd", "training")}
LESSON_4 = {name for name, e in EXERCISES.items() if e.run.__module__ in MODULES}
ANIMALS = [a for a in zoo.animals() if a.exercise in LESSON_4]


# --- right answers, written as different learners would ----------------------------------------


def pixels_with_numpy(images, mean, std):
    """In NumPy, and a tensor at the very end."""
    x = (images.astype(np.float32) / 255 - mean.astype(np.float32)) / std.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def pixels_in_place(images, mean, std):
    """In place, on a copy; einsum for permute."""
    x = torch.einsum("nhwc->nchw", torch.from_numpy(images).to(torch.float32)).contiguous()
    mean, std = (torch.from_numpy(v).float().view(1, -1, 1, 1) for v in (mean, std))
    return x.div_(255).sub_(mean).div_(std)


def forward_of_modules(x, params):
    """Modules around functional_call-free tensors; reshape for flatten."""
    w1, b1, w2, b2, w3, b3 = params
    x = nn.ReLU()(tF.conv2d(x, w1, b1, padding="same"))
    x = nn.MaxPool2d(2, 2)(x).reshape(x.shape[0], -1)
    x = torch.addmm(b2, x, w2.t()).clamp(min=0)
    return tF.linear(x, w3, b3)


def pool_before_relu(x, params):
    """ReLU keeps the order of numbers, so it may come second."""
    w1, b1, w2, b2, w3, b3 = params
    x = tF.max_pool2d(tF.conv2d(x, w1, b1, padding=(w1.shape[3] - 1) // 2), 2).relu()
    return tF.linear(tF.linear(x.flatten(1), w2, b2).relu(), w3, b3)


class LeNet(nn.Module):
    """A class of its own, with the padding by hand."""

    def __init__(self, in_channels, size, activation):
        super().__init__()
        self.pad, self.act = nn.ZeroPad2d((32 - size) // 2), activation()
        self.conv1, self.conv2 = nn.Conv2d(in_channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = tF.max_pool2d(self.act(self.conv1(self.pad(x))), 2)
        x = tF.max_pool2d(self.act(self.conv2(x)), 2).view(len(x), -1)
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))


def step_with_closure(net, x, y, optimizer, criterion):
    """Gradients cleared on the net, at the end as well."""
    net.train(True)
    net.zero_grad(set_to_none=False)
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


@torch.inference_mode()
def evaluate_all(net, batches, criterion):
    """Everything put together first; a decorator."""
    was = net.training
    net.eval()
    logits, labels = zip(*((net(x), y) for x, y in batches), strict=True)
    logits, labels = torch.cat(logits), torch.cat(labels)
    net.train(was)
    return criterion(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


def outputs_of_closures(net, x):
    """A closure a layer, a default argument for the name; under no_grad."""
    found, handles = {}, []
    leaves = [(n, m) for n, m in net.named_modules() if next(m.children(), None) is None]
    for name, layer in leaves:

        def hook(_m, _i, out, name=name):
            found[name] = out.clone()

        handles.append(layer.register_forward_hook(hook))
    with torch.no_grad():
        net(x)
    [h.remove() for h in handles]
    return {name: found[name] for name, _ in leaves}


class Saved(torch.autograd.Function):
    """Tensors kept by save_for_backward, the forward computed again; every need looked at."""

    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        ctx.save_for_backward(x, w, b)
        ctx.options = stride, padding
        return torch.tensor(functional.conv2d_forward(*map(np.asarray, (x, w, b)), *ctx.options)[0])

    @staticmethod
    def backward(ctx, dout):
        arrays = [t.numpy() for t in ctx.saved_tensors]
        _, cache = functional.conv2d_forward(*arrays, *ctx.options)
        grads = functional.conv2d_backward(dout.numpy(), cache)
        asked = zip(grads, ctx.needs_input_grad, strict=False)
        return *(torch.tensor(g) if need else None for g, need in asked), None, None


def accumulate_means(net, x, y, size):
    """Means, weighted by the share of the piece."""
    for p in net.parameters():
        p.grad = None
    total = torch.zeros((), dtype=x.dtype)
    for i in range(0, len(x), size):
        part = tF.cross_entropy(net(x[i : i + size]), y[i : i + size])
        part = part * len(x[i : i + size]) / len(x)
        part.backward()
        total += part.detach()
    return total.item()


def views_as_one_batch(net, x):
    """Both views in one batch."""
    was = net.training
    net.train(False)
    with torch.no_grad():
        logits = net(torch.cat([x, torch.flip(x, dims=[-1])]))
    net.train(was)
    return torch.stack(logits.chunk(2)).mean(0)


def epochs_with_steps(net, batches, optimizer, scheduler, epochs, evaluate):
    """A step as a function."""

    def step(x, y):
        net.train()
        loss = tF.nll_loss(net(x).log_softmax(1), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    optimizer.zero_grad()
    scores = []
    while len(scores) < epochs:
        [step(x, y) for x, y in batches]
        scores.append(evaluate(net))
    return tuple(scores)


RIGHT = {
    "pixels_to_tensor": [pixels_with_numpy, pixels_in_place],
    "three_layer_forward": [forward_of_modules, pool_before_relu],
    "lenet": [LeNet],
    "training_step": [step_with_closure],
    "evaluate": [evaluate_all],
    "layer_outputs": [outputs_of_closures],
    "conv2d_function": [Saved.apply],
    "accumulated_gradients": [accumulate_means],
    "two_view_logits": [views_as_one_batch],
    "train_epochs": [epochs_with_steps],
}
WRITTEN = [
    pytest.param(name, function, id=f"{name}-{i}")
    for name, functions in RIGHT.items()
    for i, function in enumerate(functions)
]


def test_every_exercise_has_right_answers_and_wrong_ones():
    assert RIGHT.keys() == LESSON_4
    assert all(len(zoo.animals(name)) >= 9 for name in LESSON_4)
    assert len({(a.exercise, a.name) for a in ANIMALS}) == len(ANIMALS)
    assert {a.exercise for a in ANIMALS} == LESSON_4


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
    unseen = {a.name for a in ANIMALS if not diagnose(find(a.exercise), (a.function,)).seen}
    assert {"mean of means", "mode not set", "pieces count alike", "padding of three by three"} <= (
        unseen
    )


@pytest.mark.parametrize("name", sorted(LESSON_4))
def test_an_unwritten_answer_is_told_so(name):
    def unwritten(*args):
        raise NotImplementedError

    with pytest.raises(ExerciseError, match=f"^{name}: not implemented yet$"):
        check(name, unwritten)


@pytest.mark.parametrize("name", sorted(LESSON_4))
def test_answers_of_another_kind_get_a_sentence(name):
    for nonsense in (None, "text", 3, [1, 2]):
        with pytest.raises(ExerciseError, match=rf"^✗ {name}: "):
            check(name, partial(lambda value, *args: value, nonsense))


def test_a_failed_check_leaves_gradients_switched_on():
    off = next(a for a in ANIMALS if a.name == "gradients switched off for good")
    with pytest.raises(ExerciseError):
        check("evaluate", off.function)
    assert torch.is_grad_enabled()


def test_checks_draw_nothing_from_torchs_generator():
    before = torch.get_rng_state()
    check("training_step", ref.training_step)
    check("two_view_logits", ref.two_view_logits)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_half_written_function_is_told_which_half_raises():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, b, stride, padding):
            return torch.tensor(
                functional.conv2d_forward(x.numpy(), w.numpy(), b.numpy(), stride, padding)[0]
            )

        @staticmethod
        def backward(ctx, dout):
            raise NotImplementedError("your code goes here")

    with pytest.raises(ExerciseError, match="backward pass raises NotImplementedError"):
        check("conv2d_function", Half.apply)
