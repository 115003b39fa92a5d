"""Lesson 6's exercise checks: right answers pass however they are written, wrong ones are named."""

import copy
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.decomposition import PCA  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.model_selection import StratifiedShuffleSplit  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from coursekit import port  # noqa: E402
from coursekit.checks import ExerciseError, check, zoo  # noqa: E402
from coursekit.checks.exercises import EXERCISES, diagnose, find  # noqa: E402
from coursekit.checks.failures import INVITATION  # noqa: E402

HOMES = ("coursekit.port.checks.exercises_transfer", "coursekit.port.checks.exercises_features")
LESSON_6 = {name for name, e in EXERCISES.items() if e.run.__module__ in HOMES}
ANIMALS = [a for a in zoo.animals() if a.exercise in LESSON_6]


# --- right answers, written as different learners would ----------------------------------------


def heads_by_class(net, classes):
    """A list of owners; the old head's attributes; returned at the end."""
    owners = [(net, "fc")] if hasattr(net, "fc") else [(net.classifier, "-1")]
    if getattr(net, "AuxLogits", None):
        owners.append((net.AuxLogits, "fc"))
    for owner, name in owners:
        if name == "fc":
            owner.fc = nn.Linear(in_features=owner.fc.weight.shape[1], out_features=classes)
        else:
            last = owner.pop(len(owner) - 1)
            owner.append(nn.Linear(last.in_features, classes))
    return net


def freeze_by_hooks(net, keep):
    """A hook puts each batch norm into evaluation mode before it is used."""
    own = {id(m) for m in keep.modules()}
    learn = {id(p) for p in keep.parameters()}
    for p in net.parameters():
        p.requires_grad = id(p) in learn
    for layer in net.modules():
        if id(layer) not in own and isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.register_forward_pre_hook(lambda m, _: m.eval() and None)


def freeze_by_the_net(net, keep):
    """The net's own train() is wrapped."""
    net.requires_grad_(False)
    for p in keep.parameters():
        p.requires_grad_(True)
    original = net.train

    def train(mode=True):
        original(mode)
        own = set(keep.modules())
        for layer in net.modules():
            if layer is not net and layer not in own and not set(layer.modules()) & own:
                layer.eval()
        return net

    net.train = train
    net.train(net.training)


def prepare_with_transforms(images, size, mean, std):
    """torchvision's own transforms."""
    x = torch.from_numpy(np.array(images)).to(torch.float32).div(255)
    x = v2.functional.resize(x, [size, size], antialias=True)
    return v2.functional.normalize(x, list(mean), list(std))


def prepare_normalising_first(images, size, mean, std):
    """Resizing is linear, and its weights add up to 1: it may come last."""
    mean, std = (np.asarray(v, np.float32).reshape(1, 3, 1, 1) for v in (mean, std))
    x = torch.from_numpy((images.astype(np.float32) / 255 - mean) / std)
    return nn.functional.interpolate(x, size=[size, size], mode="bilinear", antialias=True)


def features_without_the_head(net, head, batches):
    """The head becomes Identity in a copy of the net."""
    body = copy.deepcopy(net).eval()
    (name,) = (n for n, m in net.named_modules() if m is head)
    setattr(body, name, nn.Identity())
    with torch.inference_mode():
        # A witness in the copy is nobody's: the net itself is looked at, and must not be used.
        found = [body(x) for x in batches]
    with torch.no_grad():
        mode = net.training
        net.eval()(batches[0])
        net.train(mode)
    return torch.cat(found)


@torch.no_grad()
def features_by_hook(net, head, batches):
    """A hook after the head that looks at its inputs."""
    found = []
    handle = head.register_forward_hook(lambda m, args, out: found.append(args[0].clone()))
    was = net.training
    net.train(False)
    [net(x) for x in batches]
    net.train(was)
    handle.remove()
    return torch.vstack(found)


def probe_of_sklearn(features, labels, classes, strength):
    """scikit-learn's Ridge."""
    targets = (labels[:, None] == np.arange(classes)).astype(float)
    model = Ridge(alpha=strength, solver="svd").fit(features, targets)
    return model.coef_, model.intercept_


def probe_as_least_squares(features, labels, classes, strength):
    """Penalty as further rows; the ones have none."""
    d = features.shape[1]
    x = np.column_stack([features, np.ones(len(features))])
    x = np.vstack([x, np.sqrt(strength) * np.eye(d, d + 1)])
    y = np.vstack([np.eye(classes)[labels], np.zeros((d, classes))])
    both = np.linalg.lstsq(x, y, rcond=None)[0]
    return both[:-1].T, both[-1]


def rates_from_the_end(stages, lr, decay):
    """Backwards, group by group and parameter by parameter."""
    first = {}
    for i, stage in enumerate(stages):
        for p in stage.parameters():
            first.setdefault(p, i)
    groups = []
    for i in reversed(range(len(stages))):
        own = [p for p, home in first.items() if home == i and p.requires_grad]
        groups += [{"params": iter(own), "lr": lr, "name": i}] if own else []
        lr = lr * decay
    return groups


def rates_a_parameter(stages, lr, decay):
    """A group a parameter."""
    last, found = len(stages) - 1, {}
    for i, stage in enumerate(stages):
        for p in stage.parameters():
            if p.requires_grad:
                found.setdefault(p, lr * decay ** (last - i))
    return [{"params": p, "lr": rate} for p, rate in found.items()]


def subset_by_order(labels, per_class, rng):
    """One permutation, and of each class the first in it."""
    order = rng.permutation(len(labels))
    return np.concatenate([order[labels[order] == c][:per_class] for c in np.unique(labels)])


def subset_of_sklearn(labels, per_class, rng):
    """A shuffled pool of each class, cut to the smallest one's size, stratified."""
    pool = np.concatenate(
        [
            rng.permutation(np.flatnonzero(labels == c))[: np.bincount(labels).max()]
            for c in set(labels.tolist())
        ]
    )
    rng.shuffle(pool)
    smallest = min(np.bincount(labels)[np.unique(labels)])
    pool = np.concatenate([pool[labels[pool] == c][:smallest] for c in np.unique(labels)])
    count = per_class * len(np.unique(labels))
    if count == len(pool):
        return pool
    split = StratifiedShuffleSplit(1, train_size=count, random_state=int(rng.integers(1 << 30)))
    chosen, _ = next(split.split(pool, labels[pool]))
    return pool[chosen]


def pca_of_sklearn(features, k):
    """scikit-learn's."""
    model = PCA(n_components=k, svd_solver="full")
    return model.fit_transform(features), model.explained_variance_ratio_


def pca_of_the_covariance(features, k):
    """eigh, turned round."""
    x = features - features.mean(0, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    order = np.argsort(values)[::-1][:k]
    return x @ vectors[:, order], values[order] / values.sum()


RIGHT = {
    "replace_head": [heads_by_class],
    "freeze": [freeze_by_hooks, freeze_by_the_net],
    "prepare": [prepare_with_transforms, prepare_normalising_first],
    "extract_features": [features_without_the_head, features_by_hook],
    "linear_probe": [probe_of_sklearn, probe_as_least_squares],
    "layerwise_rates": [rates_from_the_end, rates_a_parameter],
    "balanced_subset": [subset_by_order, subset_of_sklearn],
    "pca": [pca_of_sklearn, pca_of_the_covariance],
}
WRITTEN = [
    pytest.param(name, function, id=f"{name}-{function.__name__}")
    for name, functions in RIGHT.items()
    for function in functions
]


def test_every_exercise_has_right_answers_and_wrong_ones():
    assert RIGHT.keys() == LESSON_6
    assert all(len(zoo.animals(name)) >= 8 for name in LESSON_6)
    assert len({(a.exercise, a.name) for a in ANIMALS}) == len(ANIMALS)


@pytest.mark.parametrize(("name", "function"), WRITTEN)
@pytest.mark.parametrize("seed", [0, 7])
def test_right_answers_pass_however_they_are_written(name, function, seed, capsys):
    check(name, function, seed=seed)
    assert f"✓ {name}: " in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(LESSON_6))
def test_what_the_package_offers_is_right(name):
    check(name, getattr(port, name))


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
    """What the hostile inputs are for: some mistakes show on no ordinary one."""
    unseen = {a.name for a in ANIMALS if not diagnose(find(a.exercise), (a.function,)).seen}
    assert {
        "aux forgotten",
        "keep not thawed",
        "no antialias",
        "features without eval",
        "classes from labels",
        "classes by counting",
        "shared to the last",
    } <= unseen


@pytest.mark.parametrize("name", sorted(LESSON_6))
def test_an_unwritten_answer_is_told_so(name):
    def unwritten(*args):
        raise NotImplementedError

    with pytest.raises(ExerciseError, match=f"^{name}: not implemented yet$"):
        check(name, unwritten)


@pytest.mark.parametrize("name", sorted(LESSON_6 - {"freeze"}))
def test_answers_of_another_kind_get_a_sentence(name):
    for nonsense in (None, "text", 3, [1, 2]):
        with pytest.raises(ExerciseError, match=rf"^✗ {name}: "):
            check(name, partial(lambda value, *args: value, nonsense))


def test_checks_draw_nothing_from_torchs_generator():
    before = torch.get_rng_state()
    for name in ("replace_head", "freeze", "extract_features", "layerwise_rates"):
        check(name, getattr(port, name))
    assert torch.equal(torch.get_rng_state(), before)
