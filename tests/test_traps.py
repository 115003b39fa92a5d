"""Traps of everyday use, with both trainers: each is refused, made right or told."""

import copy
import pickle
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from coursekit import nn, optim, training
from coursekit.data import Dataset, Split
from coursekit.optim.lr_scheduler import schedule_end
from coursekit.training import Callback, History

CLASSES = 3
STEPS = 7  # per epoch


def make_split(n, seed):
    """Pictures whose mean color tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    images = rng.integers(0, 120, (n, 3, 6, 5))
    images[np.arange(n), labels] += 100
    return Split(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data():
    """An easy set of 97, 40 and 40 pictures."""
    return Dataset("toy", make_split(97, 0), make_split(40, 1), make_split(40, 2), tuple("abc"))


class Numpy:
    """What a learner of lessons 1 to 3 writes."""

    def __init__(self):
        self.trainer_class, self.rules, self.schedules = training.Trainer, optim, optim
        self.criterion = nn.CrossEntropyLoss
        self.options = {}

    def net(self, seed=0):
        return nn.mlp([90, 8, CLASSES], seed=seed)


class Torch:
    """What a learner of lessons 4 to 6 writes."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        from coursekit import port

        self.trainer_class, self.rules = port.Trainer, self.torch.optim
        self.schedules = self.torch.optim.lr_scheduler
        self.criterion = self.torch.nn.CrossEntropyLoss
        self.options = {"device": "cpu"}

    def net(self, seed=0):
        self.torch.manual_seed(seed)
        layer = self.torch.nn
        return layer.Sequential(
            layer.Flatten(), layer.Linear(90, 8), layer.ReLU(), layer.Linear(8, CLASSES)
        )


@pytest.fixture(params=[Numpy, Torch])
def side(request):
    """Either side of the course."""
    return request.param()


def make_trainer(side, data, *, net=None, optimizer=None, schedule=None, **options):
    """A trainer as the lessons make it."""
    net = side.net() if net is None else net
    optimizer = side.rules.SGD(net.parameters(), lr=0.05) if optimizer is None else optimizer
    options = {"batch_size": 16, "progress": False, "criterion": side.criterion()} | options
    if schedule:
        options["scheduler"] = schedule(optimizer)
    return side.trainer_class(net, data, optimizer=optimizer, **side.options | options)


# ------------------------------------------------------------------------------ parts that belong


def test_an_optimizer_of_another_net_is_refused(side, data):
    optimizer = side.rules.SGD(side.net().parameters(), lr=0.05)
    with pytest.raises(ValueError, match="^optimizer: got one over the parameters of another net"):
        make_trainer(side, data, optimizer=optimizer)
    trainer = make_trainer(side, data)
    trainer.net = side.net(seed=1)  # the cell that makes the net was run again
    with pytest.raises(ValueError, match="make its optimizer and its trainer anew too"):
        trainer.fit(1)
    assert trainer.epoch == 0 and not trainer.history.steps


def test_an_optimizer_of_frozen_parameters_alone_is_refused(side, data):
    net = side.net()
    optimizer = side.rules.SGD(net[1].parameters(), lr=0.05)
    trainer = make_trainer(side, data, net=net, optimizer=optimizer)
    net[1].requires_grad_(False)
    for build in (
        lambda: trainer.fit(1),
        lambda: make_trainer(side, data, net=net, optimizer=optimizer),
    ):
        with pytest.raises(ValueError, match="^optimizer: got one over frozen parameters alone"):
            build()


def test_a_frozen_net_may_be_looked_at_but_not_trained(side, data):
    net = side.net()
    net.requires_grad_(False)
    trainer = make_trainer(side, data, net=net)
    assert 0 <= trainer.evaluate(data.test)["accuracy"] <= 1
    with pytest.raises(ValueError, match="^net: got one without a trainable parameter"):
        trainer.fit(1)
    net.requires_grad_(True)
    assert len(trainer.fit(1).epochs) == 1


def test_copied_and_partly_frozen_nets_train(side, data):
    net = copy.deepcopy(side.net())
    net[1].requires_grad_(False)
    for parameters in (net.parameters(), net[3].parameters()):
        trainer = make_trainer(side, data, net=net, optimizer=side.rules.SGD(parameters, lr=0.05))
        before = trainer.evaluate(data.train)["loss"]
        assert trainer.fit(1) is trainer.history
        assert trainer.evaluate(data.train)["loss"] < before
    both = copy.deepcopy(trainer)
    assert len(both.fit(2).epochs) == 2 and len(trainer.history.epochs) == 1


def test_param_groups_train(data):
    side = Torch()
    net = side.net()
    groups = [{"params": net[1].parameters(), "lr": 0.01}, {"params": net[3].parameters()}]
    optimizer = side.rules.SGD(groups, lr=0.05)
    assert len(make_trainer(side, data, net=net, optimizer=optimizer).fit(1).epochs) == 1


def test_a_schedule_of_another_optimizer_is_refused(side, data):
    net = side.net()
    old, new = (side.rules.SGD(net.parameters(), lr=0.05) for _ in range(2))
    for module in (side.schedules, optim):  # ours moves PyTorch's optimizers too
        schedule = module.CosineAnnealingLR(old, STEPS)
        with pytest.raises(ValueError, match="^scheduler: got one that moves the rate of another"):
            make_trainer(side, data, net=net, optimizer=new, scheduler=schedule)
        make_trainer(side, data, net=net, optimizer=old, scheduler=schedule)


class Hungry(optim.LRScheduler):
    """A learner's own, which nobody feeds."""

    def lr_at(self, step):
        return 0.05

    def step(self, metric):
        self.metric = metric


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Hungry, r"scheduler: got Hungry, whose step\(\) wants metric; needed one whose"),
        (lambda o: 0.05, r"scheduler: got float, which has no step\(\); needed a schedule of"),
        (lambda o: o, r"scheduler: got SGD, an optimizer; needed a schedule of"),
    ],
)
def test_what_is_no_schedule_is_refused_at_once(side, data, schedule, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        make_trainer(side, data, schedule=schedule)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda side: {"criterion": side.criterion}, "criterion: got the class CrossEntropyLoss"),
        (lambda side: {"net": type(side.net())}, "net: got the class Sequential; needed an inst"),
        (lambda side: {"callbacks": Callback()}, "callbacks: got Callback; needed a list"),
        (lambda side: {"callbacks": [Callback]}, r"callbacks\[0\]: got the class Callback"),
    ],
)
def test_forgotten_parentheses_and_brackets_are_named(side, data, options, message):
    net = side.net()
    parts = {"net": net, "optimizer": side.rules.SGD(net.parameters(), lr=0.05)}
    with pytest.raises(TypeError, match=f"^{message}"):
        make_trainer(side, data, **parts | options(side))


def test_pytorchs_parts_are_named_in_the_numpy_trainer(data):
    side, other = Numpy(), Torch()
    foreign = other.net()
    for part in (
        {"net": foreign, "optimizer": optim.SGD(side.net().parameters())},
        {"optimizer": other.rules.SGD(foreign.parameters(), lr=0.1)},
        {"criterion": other.criterion()},
    ):
        name = next(iter(part))
        with pytest.raises(TypeError, match=rf"^{name}: got torch\..*coursekit\.port\.Trainer"):
            make_trainer(side, data, **part)


# ------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("as_data", [lambda d: (d.train.images, d.train.labels), lambda d: d.train])
def test_data_that_is_no_data_set_is_refused(side, data, as_data):
    needed = r"needed a Dataset, for example data\.from_arrays\(images, labels\)"
    with pytest.raises(TypeError, match=f"^data: got (tuple|Split); {needed}"):
        make_trainer(side, as_data(data))
    with pytest.raises(TypeError, match=f"^data: got (tuple|Split); {needed}"):
        training.random_search(None, {"lr": [1]}, as_data(data), n_iter=1)


def test_a_run_without_training_pictures_is_refused(side, data):
    empty = Split(data.train.images[:0], data.train.labels[:0])
    with pytest.raises(ValueError, match="^data: got no training pictures"):
        make_trainer(side, Dataset("toy", empty, data.val, data.test, tuple("abc")))


def test_pictures_are_as_good_as_a_split_of_them(side, data):
    trainer = make_trainer(side, data)
    trainer.fit(1)
    images, labels = np.array(data.test.images), list(data.test.labels)
    np.testing.assert_array_equal(trainer.logits(images), trainer.logits(data.test))
    np.testing.assert_array_equal(trainer.predict(images[:7]), trainer.predict(data.test)[:7])
    assert trainer.evaluate((images, labels)) == trainer.evaluate(data.test)


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        (lambda d: d.normalize(d.test.images), ValueError, "images: got float32 .*normalized$"),
        (lambda d: d.test.images[0], ValueError, r"images: got uint8 .*images\[None\] for a sin"),
        (
            lambda d: d.test.images.transpose(0, 2, 3, 1),
            ValueError,
            r"images: got uint8 \(40, 6, 5, 3\); .*: images.transpose\(0, 3, 1, 2\)$",
        ),
        (lambda d: d.test.images[:, :2], ValueError, "split: got 2 channels; needed 3 as in train"),
        (lambda d: d, TypeError, r"split: got Dataset; needed a Split, as data\.test, or uint8"),
        (lambda d: list(d.test.images), TypeError, "split: got list; needed a Split"),
        (lambda d: (d.test.images, d.test.labels), TypeError, "split: got tuple; needed a Split"),
    ],
)
def test_other_pictures_are_refused_with_the_repair(side, data, pictures, error, message):
    trainer = make_trainer(side, data)
    for look in (trainer.predict, trainer.logits):
        with pytest.raises(error, match=f"^{message}"):
            look(pictures(data))
    assert trainer.net.training


@pytest.mark.parametrize("pictures", [lambda d: d.test.images, lambda d: d])
def test_an_evaluation_needs_labels(side, data, pictures):
    with pytest.raises(
        TypeError, match=r"^split: got (ndarray|Dataset); .* or \(images, labels\)$"
    ):
        make_trainer(side, data).evaluate(pictures(data))


def test_a_loader_gets_what_it_takes(data):
    side = Torch()
    tools = side.torch.utils.data
    parts = {
        name: tools.TensorDataset(
            side.torch.tensor(split.images) / 255, side.torch.tensor(split.labels)
        )
        for name, split in (("train", data.train), ("val", data.val))
    }
    sets = type("Sets", (), parts)
    trainer = make_trainer(side, sets, loader=lambda split: tools.DataLoader(split, batch_size=16))
    assert trainer.predict(sets.val).shape == (40,)
    with pytest.raises(
        TypeError, match="^data: got TensorDataset; needed something with train and"
    ):
        make_trainer(side, sets.train, loader=tools.DataLoader)
    for pictures in (data.val.images, side.torch.tensor(data.val.images)):
        with pytest.raises(TypeError, match=r"^split: got \w+; needed what loader takes"):
            trainer.predict(pictures)
    with pytest.raises(TypeError, match=r"^split: got tuple; needed what loader takes"):
        trainer.evaluate((data.val.images, data.val.labels))


# ------------------------------------------------------------------------------ schedules

TENTH = 14  # epochs, so that a tenth of the steps is 9.8
SHORT = [
    ("CosineAnnealingLR", {"T_max": 9}, 9, "T_max"),
    ("StepLR", {"step_size": 3}, 9, "step_size"),
    ("StepLR", {"step_size": 1, "gamma": 0.5}, 10, "step_size"),
    ("MultiStepLR", {"milestones": [5, 9]}, 9, "milestones"),
    ("ExponentialLR", {"gamma": 0.4}, 8, "gamma"),
    ("PolynomialLR", {"total_iters": 9}, 9, "total_iters"),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 9}, 9, "total_iters"),
]
LONG = [
    ("CosineAnnealingLR", {"T_max": 10}),
    ("StepLR", {"step_size": 4}),
    ("ConstantLR", {"total_iters": 3}),
    ("MultiStepLR", {"milestones": [5, 10]}),
    ("MultiStepLR", {"milestones": []}),
    ("ExponentialLR", {"gamma": 0.6}),
    ("ExponentialLR", {"gamma": 1.0}),
    ("LinearLR", {"total_iters": 5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("LambdaLR", {"lr_lambda": lambda step: 0.99**step}),
]


def scheduled(side, data, name, options):
    """A trainer with the schedule of that name."""
    if not hasattr(side.schedules, name):
        pytest.skip("PyTorch alone has it")
    return make_trainer(side, data, schedule=lambda o: getattr(side.schedules, name)(o, **options))


@pytest.mark.parametrize(("name", "options", "end", "argument"), SHORT)
def test_a_schedule_counted_in_epochs_is_told_once(side, data, name, options, end, argument):
    trainer = scheduled(side, data, name, options)
    epochs = -(-10 * end // STEPS) + 1
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.fit(epochs)
    ours = [w for w in told if "scheduler" in str(w.message)]
    assert len(ours) == 1 and Path(ours[0].filename) == Path(__file__)
    text = str(ours[0].message)
    assert text.startswith(f"scheduler: {name} is over after {end} steps ({argument}); this run")
    assert text.endswith(
        f"takes it to {STEPS * epochs}. Schedules count updates, not epochs: {epochs} epochs of "
        f"{STEPS} updates are {STEPS * epochs} steps"
    )


@pytest.mark.parametrize(("name", "options"), LONG)
def test_other_schedules_say_nothing(side, data, name, options, capsys):
    trainer = scheduled(side, data, name, options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(TENTH)
    assert capsys.readouterr() == ("", "")


def test_schedules_in_a_row_end_with_the_last(data):
    side = Torch()
    rule = side.rules.SGD(side.net().parameters(), lr=0.1)
    s = side.schedules
    row = [s.LinearLR(rule, total_iters=5), s.CosineAnnealingLR(rule, T_max=20)]
    assert schedule_end(s.SequentialLR(rule, row, milestones=[5])) == (25, "milestones")
    assert schedule_end(s.ChainedScheduler(row))[0] == 20


class Mine(optim.LRScheduler):
    """A learner's own, of whose end nothing is known."""

    T_max = 1

    def lr_at(self, step):
        return 0.05


def test_a_schedule_of_ones_own_is_left_alone(side, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_trainer(side, data, schedule=Mine).fit(TENTH)


def test_a_cycle_that_will_break_off_is_told_before(side, data):
    def trainer_for(total):
        cycle = side.schedules.OneCycleLR
        return make_trainer(
            side, data, schedule=lambda o: cycle(o, 0.1, total_steps=total, cycle_momentum=False)
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = trainer_for(4 * STEPS)
        whole.fit(2)
        whole.fit(4)
    with (
        pytest.warns(UserWarning, match=r"over after 27 steps .*one more step is an error;.* 28\."),
        pytest.raises(ValueError, match="28|27"),
    ):
        trainer_for(4 * STEPS - 1).fit(4)


# ------------------------------------------------------------------------------ fit


@pytest.mark.parametrize("again", [1, 3])
def test_a_fit_with_nothing_to_do_says_so_and_shows_no_bar(side, data, again, capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROGRESS", "on")
    trainer = make_trainer(side, data, progress=True)
    trainer.fit(3)
    assert capsys.readouterr().out == ""
    state = copy.deepcopy(trainer.net.state_dict())
    assert trainer.fit(again) is trainer.history
    told = capsys.readouterr()
    assert told.out == (
        f"fit({again}) trained nothing: it counts all epochs, and 3 are done already; "
        f"fit({3 + again}) trains {again} more.\n"
    )
    assert told.err == "" and len(trainer.history.epochs) == 3
    for name, value in trainer.net.state_dict().items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(state[name]))
    trainer.fit(3 + again)  # as it said
    assert len(trainer.history.epochs) == 3 + again


@pytest.mark.parametrize("epochs", [-1, 2.5, "3", None, float("nan"), float("inf"), [2]])
def test_epochs_that_are_no_number_are_refused(side, data, epochs):
    trainer = make_trainer(side, data)
    with pytest.raises(ValueError, match=r"^epochs: got .*; needed a whole number >= 0"):
        trainer.fit(epochs)


@pytest.mark.parametrize("epochs", [2, 2.0, np.int64(2), np.float32(2)])
def test_whole_numbers_of_all_kinds_are_epochs(side, data, epochs):
    trainer = make_trainer(side, data)
    assert len(trainer.fit(epochs).epochs) == 2
    assert trainer.total_steps == 2 * STEPS


# ------------------------------------------------------------------------------ history


def test_a_long_history_is_shown_as_a_few_rows(side, data):
    history = make_trainer(side, data).fit(8)
    lines = repr(history).splitlines()
    assert lines[0] == f"History: 8 epochs, {8 * STEPS} steps"
    assert lines[1].split()[:2] == ["step", "train_loss"] and "val_accuracy" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == ["1", "2", "...", "7", "8"]
    page = history._repr_html_()
    assert page.count("<tr>") + page.count("<tr ") <= 7 and "History: 8 epochs" in page
    assert History() == History() and repr(History()) == "History: 0 epochs, 0 steps"
    assert "0 epochs" in History()._repr_html_()
    twin = pickle.loads(pickle.dumps(history))
    assert twin == history and twin != History() and History(**history.to_dict()) == history


def test_a_search_is_shown_as_its_best_rows(data):
    result = training.grid_search(
        lambda params, fold, seed: float(params["a"]), {"a": list(range(40))}, data, n_jobs=1
    )
    lines = repr(result).splitlines()
    assert lines[0] == "SearchResult: 40 candidates in 3 folds, best first"
    assert [line.split()[1] for line in lines[2:]] == ["39", "38", "37", "36", "35"]
    assert result._repr_html_().count("<tr>") == 5


# ------------------------------------------------------------------------------ interrupts

LESSON = """
import os, signal, threading, time
import numpy as np
import joblib, sklearn.model_selection, tqdm.auto
from coursekit import nn, optim, training
from coursekit.data import Dataset, Split

rng = np.random.default_rng(0)
splits = [Split(rng.integers(0, 255, (n, 3, 4, 4), np.uint8), np.arange(n) % 3) for n in (48, 9, 9)]
toy = Dataset("toy", *splits, tuple("abc"))

class Say(training.Callback):
    def on_epoch_end(self, trainer):
        if trainer.epoch == 2:
            print("started", flush=True)

net = nn.mlp([48, 4, 3], seed=0)
rule = optim.SGD(net.parameters(), lr=0.01)
trainer = training.Trainer(net, toy, optimizer=rule, criterion=nn.CrossEntropyLoss(),
                           keep_best=True, callbacks=[Say()], progress=False)

def slow(params, fold, seed):
    if params["a"] == 1:
        print("started", flush=True)
    time.sleep(30 * params["a"])
    return 0.5
"""
KEPT = (
    r"interrupted: \d+ of 1000000 epochs are done; weights, schedule and history are as they were "
    r"after epoch \d+\.\n"
    r"fit\(1000000\) (repeats epoch \d+ and )?goes on as if it had not been interrupted; "
    r"restore_best\(\) has the weights of [\d.]+% on val"
)


@pytest.fixture(scope="module")
def kernel():
    """A notebook's kernel with a lesson in it; a function that runs a cell and interrupts it."""
    manager_module = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_module.start_new_kernel(kernel_name="python3")

    def outputs(request):
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if content.get("execution_state") == "idle":
                return
            if message["msg_type"] in ("stream", "error"):
                yield message["msg_type"], content

    def interrupted(cell):
        """The error of a cell that is interrupted, and what the next one, queued, put out."""
        request, after = client.execute(cell), client.execute("print('went on')")
        errors = []
        for kind, content in outputs(request):
            if "started" in content.get("text", ""):
                manager.interrupt_kernel()
            elif kind == "error":
                errors.append(content)
        assert len(errors) == 1
        return errors[0], list(outputs(after))

    try:
        assert list(outputs(client.execute(LESSON))) == []
        yield interrupted
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
def test_an_interrupted_cell_shows_two_lines_and_stops_run_all(kernel):
    error, after = kernel("trainer.fit(1000000)")
    assert error["ename"] == "KeyboardInterrupt"
    assert len(error["traceback"]) == 2
    assert_matches(KEPT, "\n".join(error["traceback"]))
    assert after == []  # Run All went no further
    error, after = kernel("training.grid_search(slow, {'a': [0, 1]}, toy, n_jobs=1)")
    assert error["traceback"] == [
        "interrupted after 3 of 6 runs; an unfinished search keeps none of them"
    ]
    assert after == []


def assert_matches(pattern, text):
    """The whole of ``text`` is as ``pattern`` says."""
    assert re.fullmatch(pattern, text), text


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.parametrize(
    "hook", ["", "import sys; sys.excepthook = lambda *a: print('hook', a[0])"]
)
def test_an_interrupted_script_says_it_in_two_lines(hook):
    code = f"{LESSON}\n{hook}\ntrainer.fit(1000000)"
    script = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert script.stdout.readline() == "started\n"
    script.send_signal(signal.SIGINT)
    out, err = script.communicate(timeout=60)
    assert script.returncode == -signal.SIGINT  # a shell's loop stops too
    if hook:
        assert (out, err) == ("hook <class 'KeyboardInterrupt'>\n", "")
    else:
        assert_matches(KEPT, err.rstrip("\n"))


def test_errors_after_an_interrupt_are_shown_in_full():
    code = (
        "from coursekit.training.interrupts import explain_interrupt\n"
        "explain_interrupt(KeyboardInterrupt(), 'kept')\n"
        "1 / 0"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Traceback" in run.stderr and "ZeroDivisionError" in run.stderr


class Interrupt(Callback):
    """What Ctrl-C does, once."""

    step = 17

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            self.step = None
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_as_it_says(side, data, capsys):
    trainer = make_trainer(side, data, callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt) as caught:
        trainer.fit(6)
    assert type(caught.value) is KeyboardInterrupt
    shown = caught.value._render_traceback_()
    assert (
        shown
        == caught.value.__notes__[0].splitlines()
        == [
            "interrupted: 2 of 6 epochs are done; weights, schedule and history are as they were "
            "after epoch 2.",
            "fit(6) repeats epoch 3 and goes on as if it had not been interrupted",
        ]
    )
    trainer.fit(2)  # the question: what does fewer mean now?
    assert "2 are done already; fit(4) trains 2 more" in capsys.readouterr().out
    assert [row["epoch"] for row in trainer.fit(6).epochs] == [1, 2, 3, 4, 5, 6]
