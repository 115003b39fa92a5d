"""What the PyTorch lessons' checks say of draws and of nets: in words, and what was counted."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import coursekit.port  # noqa: E402, F401  makes the exercises known
from coursekit.checks import ExerciseError, check  # noqa: E402
from coursekit.checks.exercises import EXERCISES, find  # noqa: E402
from coursekit.port.checks import references as ref  # noqa: E402
from coursekit.port.checks import references_residual as residual  # noqa: E402
from coursekit.port.checks import references_transfer as transfer  # noqa: E402


def on_another_net(net, batches, criterion):
    return ref.evaluate(torch.nn.LazyLinear(3).double(), batches, criterion)


def left_in_evaluation_mode(net, batches, criterion):
    result = ref.evaluate(net, batches, criterion)
    net.eval()
    return result


def with_graphs(net, x):
    mode = net.training
    net.eval()
    logits = (net(x) + net(x.flip(3))) / 2
    net.train(mode)
    return logits.detach()


def gradients_off_for_good(net, x):
    torch.set_grad_enabled(False)
    return residual.six_view_logits(net, x)


def frozen_biases(net, weight_decay):
    groups = residual.decay_groups(net, weight_decay)
    for p in groups[1]["params"]:
        p.requires_grad_(False)
    return groups


def head_without_bias(net, classes):
    net = transfer.replace_head(net, classes)
    if hasattr(net, "fc"):
        net.fc = torch.nn.Linear(net.fc.in_features, classes, bias=False)
    return net


def head_left_off(net, head, batches):
    found = transfer.extract_features(net, head, batches)
    net.fc = torch.nn.Identity()
    return found


def ring(labels, per_class, rng):
    chosen = []
    for c in np.unique(labels):
        own = np.where(labels == c)[0]
        start = rng.integers(0, len(own))
        chosen.extend(own[(start + np.arange(per_class)) % len(own)])
    return rng.permutation(np.array(chosen))


def smallest_of_more(labels, per_class, rng):
    chosen = []
    for c in np.unique(labels):
        own = np.where(labels == c)[0]
        some = set()
        while len(some) < min(2 * per_class, len(own)):
            some.add(int(rng.integers(len(own))))
        chosen.extend(own[sorted(some)[:per_class]])
    return np.array(chosen)


@pytest.mark.parametrize(
    ("name", "function", "told"),
    [
        ("evaluate", on_another_net, "nothing is ever passed through the net that is given"),
        (
            "evaluate",
            left_in_evaluation_mode,
            "modules of the net that are no longer in training mode should be 0, got 6",
        ),
        (
            "two_view_logits",
            with_graphs,
            "passes through the net that record a graph should be 0, got 2",
        ),
        (
            "six_view_logits",
            gradients_off_for_good,
            "calls that leave gradients switched off should be 0, got 1",
        ),
        (
            "decay_groups",
            frozen_biases,
            "parameters that the call freezes or thaws should be 0, got 4",
        ),
        ("replace_head", head_without_bias, "the number of biases of net.fc should be 3, got 0"),
        (
            "extract_features",
            head_left_off,
            "heads that are no longer in their place should be 0, got 1",
        ),
        ("balanced_subset", ring, "this looks like: a run of neighbours in the stored order"),
        ("balanced_subset", smallest_of_more, "pictures that are chosen in 400 draws should be 36"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_is_told_what_was_counted(name, function, told):
    with pytest.raises(ExerciseError) as failure:
        check(name, function)
    assert told in str(failure.value)


def test_no_result_is_a_question_with_a_number_for_its_answer():
    find("adam")
    for exercise in EXERCISES.values():
        case = exercise.all_cases(0)[0]
        names = exercise.run(exercise.reference, case.build())
        assert not [name for name in names if "is yes" in name]


def test_right_subsets_pass_whatever_draws_them():
    """A class of six, one of which is chosen: forty draws used to leave one out now and then."""

    def by_keys(labels, per_class, rng):
        keys = rng.random(len(labels))
        parts = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        return np.concatenate([own[np.argsort(keys[own])[:per_class]] for own in parts])

    def by_swaps(labels, per_class, rng):
        parts = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        for own in parts:
            for i in range(per_class):
                j = rng.integers(i, len(own))
                own[[i, j]] = own[[j, i]]
        return np.concatenate([own[:per_class] for own in parts])

    for function in (by_keys, by_swaps):
        for seed in range(3):
            check("balanced_subset", function, seed=seed)
