"""Runs that break off and go on, and files that are not the run: nothing is ever half done."""

import json
import re
import zipfile

import numpy as np
import pytest

from coursekit import nn, optim, training
from coursekit.data import Dataset, Split
from coursekit.training import Callback

CLASSES, EPOCHS, STEPS = 3, 5, 7


def make_split(n, seed):
    """Pictures whose mean color tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    images = rng.integers(0, 120, (n, 3, 4, 5))
    images[np.arange(n), labels] += 100
    return Split(images.astype(np.uint8), labels)


def make_data(n=97, val=40, seed=0):
    """A set of that many pictures."""
    return Dataset(
        "toy", make_split(n, seed), make_split(val, seed + 1), make_split(9, 2), tuple("abc")
    )


@pytest.fixture(scope="module")
def data():
    """97 pictures, so that the last of 7 batches has one; 40 to validate."""
    return make_data()


class Numpy:
    """What a learner of lessons 1 to 3 writes."""

    ending = ".npz"

    def __init__(self):
        self.trainer_class, self.rules, self.schedules = training.Trainer, optim, optim
        self.criterion = nn.CrossEntropyLoss
        self.options = {}

    def net(self, seed=0, hidden=8, dtype=np.float32, activation="ReLU"):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(60, hidden, dtype=dtype, rng=np.random.default_rng(seed)),
            getattr(nn, activation)(),
            nn.Dropout(0.2),
            nn.Linear(hidden, CLASSES, dtype=dtype, rng=np.random.default_rng(seed)),
        )


class Torch:
    """What a learner of lessons 4 to 6 writes."""

    ending = ".pt"

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        from coursekit import port

        self.trainer_class, self.rules = port.Trainer, self.torch.optim
        self.schedules = self.torch.optim.lr_scheduler
        self.criterion = self.torch.nn.CrossEntropyLoss
        self.options = {"device": "cpu"}

    def net(self, seed=0, hidden=8, dtype=np.float32, activation="ReLU"):
        self.torch.manual_seed(seed)
        layer = self.torch.nn
        return layer.Sequential(
            layer.Flatten(),
            layer.Linear(60, hidden),
            getattr(layer, activation)(),
            layer.Dropout(0.2),
            layer.Linear(hidden, CLASSES),
        ).to(self.torch.float64 if dtype == np.float64 else self.torch.float32)


@pytest.fixture(params=[Numpy, Torch])
def side(request):
    """Either side of the course."""
    return request.param()


def make_trainer(side, data, *, rule="SGD", schedule=None, net=None, lr=0.05, **options):
    """A trainer as the lessons make it; ``schedule`` is a name and its options."""
    net = side.net() if net is None else net
    optimizer = getattr(side.rules, rule)(
        net.parameters(), lr=lr, **({"momentum": 0.9} if rule == "SGD" else {})
    )
    if schedule is not None:
        name, arguments = schedule
        options["scheduler"] = getattr(side.schedules, name)(optimizer, **arguments)
    options = {"batch_size": 16, "progress": False, "criterion": side.criterion()} | options
    return side.trainer_class(net, data, optimizer=optimizer, **side.options | options)


SCHEDULES = {
    "none": None,
    "cycle": ("OneCycleLR", {"max_lr": 0.1, "total_steps": EPOCHS * STEPS}),
    "cosine": ("CosineAnnealingLR", {"T_max": EPOCHS * STEPS}),
    "plateau": ("ReduceLROnPlateau", {"patience": 0, "threshold": 0.5, "factor": 0.5}),
}


def state(trainer):
    """All of a run that a file holds or a learner sees, as plain values."""

    def plain(value):
        if isinstance(value, dict):
            return {str(name): plain(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return np.asarray(value).tolist() if hasattr(value, "shape") else value

    history = trainer.history.to_dict()
    for row in history["epochs"]:
        del row["seconds"]
    scheduler = trainer.scheduler
    return plain(
        {
            "net": trainer.net.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "best": trainer.best,
            "numbers": [trainer.epoch, trainer.step, trainer.best_accuracy, trainer.lr],
            "history": history,
        }
    )


def assert_together(trainer):
    """Epoch, step, history and the schedule tell the same."""
    history = trainer.history
    assert len(history.epochs) == trainer.epoch
    assert len(history.steps) == trainer.step == trainer.epoch * STEPS
    place = getattr(trainer.scheduler, "last_step", getattr(trainer.scheduler, "last_epoch", None))
    if place is not None:
        assert place in (trainer.step, trainer.epoch)


class Break(Callback):
    """Raise once, when something has happened so many times."""

    def __init__(self, where, times, error=KeyboardInterrupt):
        self.where, self.times, self.error = where, times, error

    def count(self, where):
        """One more time."""
        if where == self.where:
            self.times -= 1
            if self.times == 0:
                raise self.error

    def on_epoch_start(self, trainer):
        self.count("epoch start")

    def after_backward(self, trainer):
        self.count("backward")

    def on_step_end(self, trainer):
        self.count("step")

    def on_epoch_end(self, trainer):
        self.count("epoch end")

    def watch(self, trainer):
        """Break in places that no callback sees."""
        for owner, name, where, before in (
            (trainer, "evaluate", "evaluation", True),
            (trainer, "evaluate", "evaluated", False),
            (trainer.optimizer, "step", "update", False),
            (trainer, "_weights", "best", False),
        ):
            inner = getattr(owner, name)

            def outer(*args, inner=inner, where=where, before=before, **options):
                if before:
                    self.count(where)
                result = inner(*args, **options)
                if not before:
                    self.count(where)
                return result

            setattr(owner, name, outer)


PLACES = [
    ("epoch start", 3),
    ("epoch start", 1),
    ("backward", 16),
    ("update", 17),
    ("step", 1),
    ("step", 17),
    ("step", 21),
    ("evaluation", 3),
    ("evaluated", 3),
    ("best", 1),
    ("epoch end", 3),
    ("epoch end", 5),
]


def whole_run(side, data, schedule, **options):
    """The run that nothing breaks."""
    trainer = make_trainer(side, data, schedule=SCHEDULES[schedule], keep_best=True, **options)
    trainer.fit(EPOCHS)
    return trainer


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("where", "times"), PLACES)
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(
    side, data, schedule, where, times, tmp_path
):
    options = {"schedule": SCHEDULES[schedule], "keep_best": True}
    whole = state(whole_run(side, data, schedule))
    stop = Break(where, times)
    trainer = make_trainer(side, data, callbacks=[stop], **options)
    stop.watch(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(EPOCHS)
    assert_together(trainer)
    done = trainer.epoch
    assert done == {"epoch end": times, "best": 0}.get(where, 2 if times > 2 else 0)
    path = tmp_path / f"run{side.ending}"
    trainer.save(path)
    trainer.fit(EPOCHS)
    assert state(trainer) == whole
    resumed = make_trainer(side, data, net=side.net(seed=9), **options)
    resumed.load(path)
    assert_together(resumed)
    assert resumed.epoch == done
    resumed.fit(EPOCHS)
    assert state(resumed) == whole


def test_two_interrupts_and_more_of_them(side, data):
    """The second comes while the first is being dealt with."""
    whole = state(whole_run(side, data, "cycle"))
    trainer = make_trainer(
        side, data, schedule=SCHEDULES["cycle"], keep_best=True, callbacks=[Break("step", 10)]
    )
    load, calls = trainer.optimizer.load_state_dict, []

    def impatient(saved):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        load(saved)

    trainer.optimizer.load_state_dict = impatient
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(EPOCHS)
    for epoch in (2, 3):
        trainer.callbacks = [Break("step", 10)]
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(EPOCHS)
        assert trainer.epoch == epoch
        assert_together(trainer)
    trainer.callbacks = []
    trainer.fit(EPOCHS)
    assert state(trainer) == whole and len(calls) == 4


def test_fewer_epochs_after_an_interrupt_are_done_already(side, data, capsys):
    trainer = make_trainer(side, data, callbacks=[Break("step", 17)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(EPOCHS)
    trainer.fit(1)
    assert "2 are done already" in capsys.readouterr().out
    assert_together(trainer)


def test_an_error_takes_the_run_back_too(side, data):
    whole = state(whole_run(side, data, "cosine"))
    trainer = make_trainer(
        side,
        data,
        schedule=SCHEDULES["cosine"],
        keep_best=True,
        callbacks=[Break("step", 17, RuntimeError("my callback is wrong"))],
    )
    with pytest.raises(RuntimeError, match="my callback is wrong"):
        trainer.fit(EPOCHS)
    assert_together(trainer)
    trainer.fit(EPOCHS)
    assert state(trainer) == whole


class Thaw(Callback):
    """Give the optimizer another group before the third epoch."""

    def on_epoch_start(self, trainer):
        if trainer.epoch == 2:
            trainer.optimizer.add_param_group({"params": trainer.net[1].parameters()})


def test_a_group_added_in_the_broken_epoch_goes_too(data):
    side, runs = Torch(), []
    for callbacks in ([Thaw()], [Thaw(), Break("step", 17)]):
        net = side.net()
        runs.append(
            side.trainer_class(
                net,
                data,
                optimizer=side.rules.SGD(net[4].parameters(), lr=0.05, momentum=0.9),
                criterion=side.criterion(),
                batch_size=16,
                progress=False,
                device="cpu",
                callbacks=callbacks,
            )
        )
    whole, broken = runs
    whole.fit(EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(EPOCHS)
    assert len(broken.optimizer.param_groups) == 1
    broken.fit(EPOCHS)
    assert state(broken) == state(whole)


def test_what_cannot_be_taken_back_says_so_beside_the_error(side, data):
    class Rebuild(Callback):
        def on_step_end(self, trainer):
            trainer.net = side.net(hidden=3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        make_trainer(side, data, callbacks=[Rebuild()]).fit(1)
    assert caught.value.__notes__[0].startswith("epoch 1 could not be taken back: ")


class Spoil(Callback):
    """Put nan into a weight after an epoch or before a step, once."""

    def __init__(self, side, step):
        self.side, self.step = side, step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            self.step = None
            weight = trainer.net[1].weight
            weight.data[0, 0] = np.nan


def test_a_run_that_diverged_keeps_the_way_there_until_it_goes_on(side, data, tmp_path):
    trainer = make_trainer(side, data, callbacks=[Spoil(side, 17)])
    with pytest.raises(training.TrainingDivergedError, match="step 17"):
        trainer.fit(EPOCHS)
    assert (trainer.epoch, trainer.step) == (2, 14)
    assert [row["step"] for row in trainer.history.steps] == list(range(17))
    assert np.isfinite(trainer.evaluate(data.val)["loss"])  # the weights of epoch 2
    trainer.save(tmp_path / "run")
    other = make_trainer(side, data)
    other.load(tmp_path / "run")
    assert_together(other)
    for one in (trainer, other):
        one.fit(EPOCHS)
        assert_together(one)
    assert state(trainer) == state(other)


def test_a_run_saved_within_an_epoch_is_that_of_the_epoch_before(side, data, tmp_path):
    path = tmp_path / f"run{side.ending}"

    class SaveOften(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 17:
                trainer.save(path)

    options = {"schedule": SCHEDULES["cycle"], "keep_best": True}
    whole = make_trainer(side, data, callbacks=[SaveOften()], **options)
    whole.fit(EPOCHS)
    resumed = make_trainer(side, data, net=side.net(seed=9), **options)
    resumed.load(path)
    assert resumed.epoch == 2
    assert_together(resumed)
    resumed.fit(EPOCHS)
    assert state(resumed) == state(whole)


# ------------------------------------------------------------------------------ nan in comparisons


def scored(side, data, losses, **options):
    """A run whose evaluations are prescribed."""
    trainer = make_trainer(side, data, **options)
    rows = iter(losses)

    def evaluate(split):
        loss = next(rows)
        return {"loss": loss, "accuracy": 0.9 if np.isnan(loss) else 0.5}

    trainer.evaluate = evaluate
    trainer.fit(len(losses))
    return trainer


NAN = float("nan")


@pytest.mark.parametrize(
    ("losses", "stops_after"),
    [
        ([NAN, 3, 2, 1, 0.5, 0.4], 6),
        ([3, NAN, 2, 1, 0.5, 0.4], 6),
        ([3, NAN, NAN, 1, 1, 1], 3),
        ([NAN, NAN, NAN, 1, 1], 3),
        ([3, 2, 2.5, NAN, 1, 1], 4),
    ],
)
def test_early_stopping_takes_nan_for_no_improvement(side, data, losses, stops_after):
    trainer = scored(side, data, losses, callbacks=[training.EarlyStopping(patience=2)])
    assert len(trainer.history.epochs) == stops_after


def test_an_epoch_whose_loss_is_nan_is_never_the_best(side, data):
    trainer = scored(side, data, [NAN, 1.0, NAN], keep_best=True)
    assert trainer.best_accuracy == 0.5
    trainer.restore_best()
    broken = scored(side, data, [NAN, NAN], keep_best=True)
    with pytest.raises(RuntimeError, match="at least one epoch with a finite validation loss"):
        broken.restore_best()


def test_nan_is_no_right_answer(side, data):
    trainer = make_trainer(side, data)
    Spoil(side, 0).on_step_end(trainer)
    trainer.net[4].bias.data[...] = np.nan
    measured = trainer.evaluate(data.val)
    assert np.isnan(measured["loss"]) and measured["accuracy"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"callbacks": [Callback(), training.EarlyStopping()]},
            r"callbacks\[1\]: got EarlyStopping",
        ),
        ({"keep_best": True}, "keep_best: got True"),
        ({"schedule": SCHEDULES["plateau"]}, "scheduler: got ReduceLROnPlateau"),
    ],
)
def test_what_decides_by_validation_needs_pictures(side, options, message):
    with pytest.raises(ValueError, match=f"^{message}, which decides by the validation pictures"):
        make_trainer(side, make_data(val=0), **options)
    trainer = make_trainer(side, make_data(val=0))
    trainer.callbacks.append(training.EarlyStopping())
    with pytest.raises(ValueError, match=r"^callbacks\[0\]: got EarlyStopping, which decides"):
        trainer.fit(1)


def make_run():
    """A score and a study's run, by value for workers that cannot import this module."""

    def score(params, fold, seed):
        net = nn.mlp([60, 4, 3], seed=seed)
        rule = optim.SGD(net.parameters(), lr=params["lr"])
        trainer = training.Trainer(
            net, fold, optimizer=rule, criterion=nn.CrossEntropyLoss(), progress=False
        )
        trainer.fit(2)
        return trainer.evaluate(fold.val)["accuracy"]

    return score


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_ranks_what_diverged_last(data, n_jobs):
    rates = [1e30, 0.05, 1e-7]
    result = training.grid_search(make_run(), {"lr": rates}, data, n_jobs=n_jobs)
    assert result.best == {"lr": 0.05}
    table = result.frame()
    assert table["lr"].iloc[-1] == 1e30 and np.isneginf(result.scores[0]).all()
    assert table["mean"].iloc[0] > table["mean"].iloc[1] > 0


def test_a_candidate_that_diverged_in_one_fold_ranks_last(data):
    calls = []

    def score(params, fold, seed):
        calls.append(1)
        if len(calls) == 2:
            raise training.TrainingDivergedError("here")
        return 0.9 if params["lr"] == 1 else 0.2

    result = training.cross_validate(score, [{"lr": 1}, {"lr": 2}], data, n_jobs=1)
    assert result.best == {"lr": 2} and list(result.frame()["lr"]) == [2, 1]


def test_a_search_in_which_all_diverged_says_so(data):
    result = training.grid_search(lambda *a: np.nan, {"lr": [1, 2]}, data, n_jobs=1)
    assert len(result.frame()) == 2 and repr(result)
    with pytest.raises(ValueError, match="^best: got 2 candidates that all diverged"):
        _ = result.best


@pytest.mark.parametrize("value", [None, "good", [1, 2], {}])
def test_a_score_that_is_no_number_is_named(data, value):
    with pytest.raises(TypeError, match=rf"^score: got {type(value).__name__} for .'lr': 1"):
        training.grid_search(lambda *a: value, {"lr": [1]}, data, n_jobs=1)


def test_a_study_counts_a_metric_that_is_nan_as_diverged(data):
    def run(settings, data, seed):
        if settings["lr"] == 3:
            raise training.TrainingDivergedError("here")
        return {"val_accuracy": {1: 0.5, 2: NAN}[settings["lr"]] if seed else 0.4}

    table = training.study(
        run, data, base={"lr": 0}, factors={"lr": [1, 2, 3]}, seeds=3, n_jobs=1
    ).summary()
    assert list(table["n"]) == [3, 1, 0] and list(table["diverged"]) == [0, 2, 3]
    assert table["mean"].iloc[1] == 0.4


# ------------------------------------------------------------------------------ files


def test_settings_and_place_come_back(side, data, tmp_path):
    """A run that goes on has the saved rate, momentum and schedule, whatever it was set up with."""
    path = tmp_path / f"run{side.ending}"
    saved = make_trainer(side, data, schedule=("StepLR", {"step_size": 3, "gamma": 0.5}))
    saved.fit(2)
    saved.save(path)
    other = make_trainer(side, data, schedule=("StepLR", {"step_size": 5, "gamma": 0.1}), lr=1.0)
    other.load(path)
    assert other.scheduler.step_size == 3
    for trainer in (saved, other):
        trainer.fit(3)
    assert state(saved) == state(other)


OTHERS = [
    ({"seed": 5}, "seed of the run saved in run.* is 0, this trainer has 5"),
    ({"batch_size": 8}, "batch_size of the run saved in run.* is 16, this trainer has 8"),
    ({"rule": "AdamW"}, "does not fit AdamW: the run was saved with SGD"),
    ({"rule": "RMSprop"}, "does not fit RMSprop: the run was saved with SGD"),
    ({"schedule": None}, "scheduler: either the run saved in run.* or this trainer has none"),
    ({"schedule": ("StepLR", {"step_size": 5})}, r"scheduler of .*OneCycleLR, .*StepLR"),
    ({"schedule": SCHEDULES["plateau"]}, r"scheduler of .*OneCycleLR, .*ReduceLROnPlateau"),
    ({"data": make_data(seed=7)}, r"data of the run .*checksum \w+, this trainer has .*checksum"),
    ({"data": make_data(n=81)}, r"data of the run .*train 97, .* has .*train 81"),
    ({"hidden": 9}, r"net\['1.weight'\] has shape \(8, 60\); needed \(9, 60\) as in this net"),
    ({"dtype": np.float64}, r"net\['1.weight'\] has dtype .*float32; needed .*float64"),
    ({"activation": "LeakyReLU"}, r"net of .* is 2.ReLU, this trainer has 2.LeakyReLU; needed net"),
]


@pytest.mark.parametrize(("changes", "message"), OTHERS)
def test_another_run_is_refused_and_nothing_changes(side, data, tmp_path, changes, message):
    path = tmp_path / f"run{side.ending}"
    options = {"schedule": SCHEDULES["cycle"]}
    saved = make_trainer(side, data, **options)
    saved.fit(2)
    saved.save(path)
    of_net = {"hidden", "dtype", "activation"}
    parts = {name: changes[name] for name in changes.keys() & of_net}
    options |= {name: changes[name] for name in changes.keys() - {*of_net, "data"}}
    if options.get("rule") == "RMSprop":
        options["schedule"] = None
    trainer = make_trainer(
        side, changes.get("data", data), net=side.net(seed=3, **parts), **options
    )
    trainer.fit(1)
    before = state(trainer)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}") as caught:
        trainer.load(path)
    assert "Nothing was changed: " in str(caught.value)
    assert state(trainer) == before
    trainer.fit(2)  # and it goes on
    assert len(trainer.history.epochs) == 2


def damaged_files(side, data, folder):
    """Files that are no run, by what is wrong with them."""
    good = folder / f"good{side.ending}"
    make_trainer(side, data).save(good)
    content = good.read_bytes()
    yield "empty", b""
    yield "text", b"accuracy,0.9\n" * 20
    yield "half", content[: len(content) // 2]
    flipped = bytearray(content)
    for i in range(len(content) // 3, len(content) // 2):
        flipped[i] ^= 0xFF
    yield "flipped", bytes(flipped)
    yield "a pickle", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07PRINTED\x94."
    np.save(folder / "array.npy", np.ones(3))
    yield "an array", (folder / "array.npy").read_bytes()
    np.save(folder / "objects.npy", np.array([{}], dtype=object))
    yield "objects", (folder / "objects.npy").read_bytes()
    np.savez(folder / "arrays.npz", a=np.ones(3))
    yield "arrays", (folder / "arrays.npz").read_bytes()
    np.savez(folder / "meta.npz", meta=np.array("[1, 2]"))
    yield "another meta", (folder / "meta.npz").read_bytes()
    np.savez(folder / "text.npz", meta=np.array("not json"))
    yield "no json", (folder / "text.npz").read_bytes()
    with zipfile.ZipFile(folder / "some.zip", "w") as file:
        file.writestr("a.txt", "text")
    yield "a zip", (folder / "some.zip").read_bytes()
    other = Torch() if isinstance(side, Numpy) else Numpy()
    make_trainer(other, data).save(folder / "other")
    yield "the other trainer's", (folder / "other").read_bytes()


def test_a_damaged_or_foreign_file_gets_one_error(side, data, tmp_path):
    pytest.importorskip("torch")
    trainer = make_trainer(side, data)
    trainer.fit(1)
    before = state(trainer)
    for what, content in damaged_files(side, data, tmp_path):
        path = tmp_path / f"{what}{side.ending}"
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            trainer.load(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: found "), what
        assert "; needed " in text and "Nothing was changed: load another file" in text, what
        assert "allow_pickle" not in text and "weights_only" not in text and len(text) < 400, text
        assert state(trainer) == before
    with pytest.raises(FileNotFoundError):
        trainer.load(tmp_path / "missing")


def rewrite(side, path, change):
    """Write a run again with something in it changed."""
    if isinstance(side, Torch):
        content = side.torch.load(path, weights_only=True)
        change(content["meta"], content["states"])
        side.torch.save(content, path)
        return
    with np.load(path) as file:
        arrays = dict(file)
    meta, states = json.loads(str(arrays.pop("meta"))), {"net": {}, "optimizer": {}, "best": {}}
    for entry, array in arrays.items():
        room, _, name = entry.partition("/")
        states[room][name] = array
    change(meta, states)
    flat = {f"{room}/{name}": a for room, part in states.items() for name, a in part.items()}
    np.savez(path.open("wb"), meta=np.array(json.dumps(meta)), **flat)


def cut_momentum(meta, states):
    """One average of the optimizer gets another shape."""
    if "state" in states["optimizer"]:
        slots = states["optimizer"]["state"][0]
        slots["momentum_buffer"] = slots["momentum_buffer"][:2]
    else:
        states["optimizer"]["0.velocity"] = states["optimizer"]["0.velocity"][:2]


@pytest.mark.parametrize(
    "change",
    [
        lambda meta, states: meta.pop("epoch"),
        lambda meta, states: meta.update(step="many"),
        lambda meta, states: meta.update(format=1),
        lambda meta, states: meta.pop("setup"),
        lambda meta, states: meta["history"].pop("steps"),
        lambda meta, states: meta["history"]["epochs"].append({"epoch": None}),
        lambda meta, states: meta["scheduler"].clear(),
        lambda meta, states: states["net"].pop("1.weight"),
        lambda meta, states: states["optimizer"].clear(),
        lambda meta, states: states["best"].pop("1.weight"),
        cut_momentum,
    ],
)
def test_a_run_that_is_damaged_inside_changes_nothing(side, data, tmp_path, change):
    path = tmp_path / f"run{side.ending}"
    options = {"schedule": SCHEDULES["cycle"], "keep_best": True}
    saved = make_trainer(side, data, **options)
    saved.fit(2)
    saved.save(path)
    rewrite(side, path, change)
    trainer = make_trainer(side, data, net=side.net(seed=3), **options)
    trainer.fit(1)
    before = state(trainer)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: ") as caught:
        trainer.load(path)
    assert "Nothing was changed" in str(caught.value)
    assert state(trainer) == before


def test_a_place_beyond_the_schedule_changes_nothing(data, tmp_path):
    side, path = Numpy(), tmp_path / "run.npz"
    make_trainer(side, data, schedule=SCHEDULES["cycle"]).save(path)
    rewrite(side, path, lambda meta, states: meta["scheduler"].update(last_step=99))
    trainer = make_trainer(side, data, schedule=SCHEDULES["cycle"])
    with pytest.raises(ValueError, match=r"run.npz: state does not fit OneCycleLR: step must"):
        trainer.load(path)
    assert trainer.scheduler.last_step == 0


class Growing(optim.LRScheduler):
    """A learner's own schedule that gets an attribute on its way."""

    def lr_at(self, step):
        self.seen = step
        return 0.05 / (1 + step)

    def step(self):
        super().step()
        self.steps_made = getattr(self, "steps_made", 0) + 1


def test_a_schedule_of_ones_own_is_taken_back_saved_and_loaded(side, data, tmp_path):
    side.schedules = type("Own", (), {"Growing": Growing})
    options = {"schedule": ("Growing", {})}
    whole, broken, resumed = (make_trainer(side, data, **options) for _ in range(3))
    whole.fit(EPOCHS)
    broken.callbacks = [Break("step", 17)]
    with pytest.raises(KeyboardInterrupt):
        broken.fit(EPOCHS)
    broken.save(tmp_path / "run")
    resumed.load(tmp_path / "run")
    for trainer in (broken, resumed):
        trainer.fit(EPOCHS)
        assert state(trainer) == state(whole)


def test_numpys_numbers_in_settings_can_be_saved_and_read(side, data, tmp_path):
    path = tmp_path / f"run{side.ending}"
    schedule = ("StepLR", {"step_size": np.int64(3), "gamma": np.float32(0.5)})
    options = {"lr": np.float64(0.05), "schedule": schedule, "seed": np.int64(0)}
    saved, other = (make_trainer(side, data, **options) for _ in range(2))
    saved.fit(2)
    saved.save(path)
    other.load(path)
    assert other.epoch == 2 and other.lr == pytest.approx(saved.lr)


# ------------------------------------------------------------------------------ refused at once


def normalized(side):
    """A net whose batch norm sees one value of a picture."""
    if isinstance(side, Numpy):
        return nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    layer = side.torch.nn
    return layer.Sequential(
        layer.Flatten(), layer.Linear(60, 8), layer.BatchNorm1d(8), layer.Linear(8, 3)
    )


def test_a_last_batch_of_one_under_batch_norm_is_refused(side, data):
    net = normalized(side)
    before = {name: np.asarray(value.tolist()) for name, value in net.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        make_trainer(side, data, net=net)
    text = str(caught.value)
    assert text.startswith("batch_size: got 16, so the last batch (7 of 7) has one picture, which")
    assert text.endswith("needed two pictures or more in each batch, as with batch_size=17")
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(np.asarray(value.tolist()), before[name])
    assert len(make_trainer(side, data, net=net, batch_size=17).fit(1).epochs) == 1
    assert len(make_trainer(side, data).fit(1).epochs) == 1  # without batch norm it is all right


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 2.5}, "batch_size must be at least 1 and a whole number, got 2.5"),
        ({"batch_size": True}, "batch_size must be"),
        ({"seed": -1}, "seed must be at least 0 and a whole number, got -1"),
        ({"seed": 0.5}, "seed must be"),
        ({"clip_grad_norm": 0}, "clip_grad_norm must be greater than 0, got 0"),
        ({"clip_grad_norm": NAN}, "clip_grad_norm must be greater than 0, got nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused_at_once(side, data, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make_trainer(side, data, **options)


@pytest.mark.parametrize("every", [0, -1, 1.5, None, True])
def test_callbacks_refuse_what_they_cannot_count_with(every, tmp_path):
    for make in (
        lambda: training.Checkpoint(tmp_path / "run", every=every),
        lambda: training.ActivationStats(every=every),
        lambda: training.GradientNorm(every),
        lambda: training.EarlyStopping(every),
    ):
        with pytest.raises(ValueError, match=r"^(every|patience) must be at least 1"):
            make()
    for strength in (-1, NAN):
        with pytest.raises(ValueError, match="^strength must be at least 0"):
            training.L1Penalty(strength)


def test_a_net_sent_to_workers_can_be_trained(data):
    """joblib turns arrays of a megabyte and more into read-only maps of a file."""
    joblib = pytest.importorskip("joblib")

    def train(net, data, criterion):
        optimizer = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.01)
        trainer = training.Trainer(
            net, data, optimizer=optimizer, criterion=criterion, progress=False, batch_size=32
        )
        trainer.fit(1)
        return trainer.history.epochs[-1]["val_accuracy"]

    def score(params, fold, seed, net):
        return train(net, fold, nn.CrossEntropyLoss())

    data = make_data(n=64)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(60, 5000), nn.BatchNorm1d(5000), nn.ReLU(), nn.Linear(5000, 3)
    )
    net[4].requires_grad_(False)
    from functools import partial

    found = training.grid_search(partial(score, net=net), {"lr": [1]}, data, folds=2, n_jobs=2)
    assert np.isfinite(found.scores).all()
    jobs = [joblib.delayed(train)(net, data, nn.CrossEntropyLoss()) for _ in range(2)]
    one, two = joblib.Parallel(n_jobs=2, max_nbytes=1000)(jobs)
    assert one == two


# ------------------------------------------------------------------------------ PyTorch alone


def test_a_plateau_moves_the_rate_by_what_it_watches(side, data):
    for mode in ("min", "max"):
        schedule = ("ReduceLROnPlateau", {"mode": mode, "patience": 0, "factor": 0.5})
        trainer = make_trainer(side, data, schedule=schedule)
        rows = iter([1.0, 2.0, 0.5, 0.5, 3.0])

        def evaluate(split, rows=rows):
            value = next(rows)
            return {"loss": value, "accuracy": 1 / (1 + value)}

        trainer.evaluate = evaluate
        history = trainer.fit(5)
        rates = [row["lr"] for row in history.steps[::STEPS]]
        assert rates == pytest.approx([0.05, 0.05, 0.025, 0.025, 0.0125])


@pytest.fixture
def torch_side():
    """The PyTorch side."""
    return Torch()


def test_auxiliary_outputs_are_learnt_from(torch_side, data):
    torch = torch_side.torch

    class Inception(torch.nn.Module):
        """Two heads in training, one in evaluation."""

        def __init__(self, aux=True):
            super().__init__()
            self.body, self.head, self.aux = (
                torch.nn.Linear(*s) for s in ((60, 8), (8, 3), (8, 3))
            )
            self.gives_aux = aux

        def forward(self, x):
            x = self.body(x.flatten(1)).relu()
            if not self.training:
                return self.head(x)
            return self.head(x), self.aux(x), None

    torch.manual_seed(0)
    net = Inception()
    twin = Inception()
    twin.load_state_dict(net.state_dict())
    trainer = make_trainer(torch_side, data, net=net, aux_weight=0.3)
    rule = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    images, losses = torch.tensor(data.normalize(data.train.images)), []
    order = np.random.default_rng([0, 0]).permutation(97)
    for start in range(0, 97, 16):
        part = order[start : start + 16]
        x, y = images[part], torch.tensor(data.train.labels[part])
        logits, aux, _ = twin(x)
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss = loss + 0.3 * torch.nn.functional.cross_entropy(aux, y)
        rule.zero_grad()
        loss.backward()
        rule.step()
        losses.append(loss.item())
    history = trainer.fit(1)
    assert [row["loss"] for row in history.steps] == pytest.approx(losses, rel=1e-5)
    assert trainer.logits(data.test).shape == (9, 3)


@pytest.mark.parametrize("out", ["dict", "list", "shapes"])
def test_other_outputs_are_named_before_anything_is_learnt(torch_side, data, out):
    torch = torch_side.torch

    class Odd(torch.nn.Linear):
        def forward(self, x):
            x = super().forward(x.flatten(1))
            return {"dict": {"out": x}, "list": [x], "shapes": (x, x[:, :2])}[out]

    trainer = make_trainer(torch_side, data, net=Odd(60, 3))
    before = state(trainer)
    with pytest.raises(
        TypeError, match="^net: got an output of type (dict|list|tuple); needed log"
    ):
        trainer.fit(1)
    assert state(trainer) == before


def test_loaders_without_batches_are_refused(torch_side):
    from types import SimpleNamespace

    tools = torch_side.torch.utils.data
    torch = torch_side.torch

    def pairs(n):
        return tools.TensorDataset(torch.rand(n, 3, 4, 5), torch.zeros(n).long())

    def loader(split, **options):
        return tools.DataLoader(split, batch_size=16, **options)

    sets = SimpleNamespace(train=pairs(5), val=pairs(5))
    with pytest.raises(ValueError, match="^loader: got one that makes no batch of 5 training pic"):
        make_trainer(torch_side, sets, loader=lambda s: loader(s, drop_last=True))
    with pytest.raises(ValueError, match="^data: got no training pictures"):
        empty = SimpleNamespace(train=pairs(0), val=pairs(5))
        make_trainer(torch_side, empty, loader=lambda s: loader(s, shuffle=True))
    with pytest.raises(TypeError, match="^loader: got DataLoader; needed a function"):
        make_trainer(torch_side, sets, loader=loader(sets.train))
    with pytest.raises(TypeError, match="^data.val: got NoneType, which has no length"):
        make_trainer(torch_side, SimpleNamespace(train=pairs(5), val=None), loader=loader)
    for options in ({"keep_best": True}, {"callbacks": [training.EarlyStopping()]}):
        with pytest.raises(ValueError, match="which decides by the validation pictures"):
            bare = SimpleNamespace(train=pairs(5), val=[])
            make_trainer(torch_side, bare, loader=loader, **options)
    odd = SimpleNamespace(train=pairs(17), val=pairs(5))
    trainer = make_trainer(torch_side, odd, net=normalized(torch_side), loader=loader)
    before = state(trainer)
    with pytest.raises(ValueError, match=r"^batch 2 of 2 has one picture, .*drop_last=True in"):
        trainer.fit(1)
    assert state(trainer) == before


def test_a_loss_that_is_no_mean_is_refused(torch_side, data):
    loss = torch_side.torch.nn.CrossEntropyLoss
    for reduction in ("sum", "none"):
        with pytest.raises(ValueError, match=f"^criterion: got one with reduction='{reduction}'"):
            make_trainer(torch_side, data, criterion=loss(reduction=reduction))
    with pytest.raises(TypeError, match="^criterion: got NoneType"):
        make_trainer(torch_side, data, criterion=None)


def test_the_precision_belongs_to_the_run(torch_side, data, tmp_path):
    make_trainer(torch_side, data).save(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="precision of the run saved in run.pt is float32, this"):
        make_trainer(torch_side, data, precision="float16").load(tmp_path / "run.pt")


def test_schedules_inside_a_schedule_belong_to_the_run(torch_side, data, tmp_path):
    s = torch_side.schedules

    def trainer_with(second):
        net = torch_side.net()
        rule = torch_side.rules.SGD(net.parameters(), lr=0.1)
        row = s.SequentialLR(rule, [s.LinearLR(rule), second(rule)], milestones=[5])
        return torch_side.trainer_class(
            net,
            data,
            optimizer=rule,
            scheduler=row,
            criterion=torch_side.criterion(),
            batch_size=16,
            progress=False,
            device="cpu",
        )

    saved = trainer_with(lambda rule: s.CosineAnnealingLR(rule, 90))
    saved.fit(1)
    saved.save(tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"LinearLR, torch.CosineAnn.*LinearLR, torch.StepLR"):
        trainer_with(lambda rule: s.StepLR(rule, 90)).load(tmp_path / "run.pt")
    other = trainer_with(lambda rule: s.CosineAnnealingLR(rule, 90))
    other.load(tmp_path / "run.pt")
    for trainer in (saved, other):
        trainer.fit(2)
    assert state(saved)["net"] == state(other)["net"]


def test_a_loader_is_asked_for_batches_of_two_tensors_and_for_validation_too(torch_side):
    from types import SimpleNamespace

    torch = torch_side.torch
    tools = torch.utils.data

    def pairs(n):
        return tools.TensorDataset(torch.rand(n, 3, 4, 5), torch.zeros(n).long())

    def make(train, val, **options):
        sets = SimpleNamespace(train=train, val=val)
        return make_trainer(torch_side, sets, loader=lambda s: tools.DataLoader(s, **options))

    few = "^loader: got one that makes no batch of 5 {}pictures: its batches have 16"
    with pytest.raises(ValueError, match=few.format("validation ")):
        make(pairs(20), pairs(5), batch_size=16, drop_last=True)
    trainer = make(pairs(20), pairs(16), batch_size=16, drop_last=True)
    with pytest.raises(ValueError, match=few.format("")):
        trainer.evaluate(pairs(5))
    with pytest.raises(TypeError, match="^loader: got a function that returns list; needed one"):
        sets = SimpleNamespace(train=pairs(5), val=[])
        make_trainer(torch_side, sets, loader=lambda s: [1])
    picture, label = torch.rand(3, 4, 5), torch.tensor(1)
    for item, options, came in (
        ({"x": picture, "y": label}, {"batch_size": 4}, r"dict\[\]"),
        ((picture, label, label), {"batch_size": 4}, r"Tensor\[4, 3, 4, 5\], Tensor\[4\], Tensor"),
        ((picture, label), {"batch_size": None}, r"Tensor\[3, 4, 5\], Tensor\[\]"),
    ):
        with pytest.raises(TypeError, match=f"^loader: got a batch of {came}.*; needed two tens"):
            make([item] * 8, [], **options).fit(1)


@pytest.mark.parametrize("loads", [False, True])
def test_a_lazy_net_is_taken_back_and_continued_like_another(torch_side, data, tmp_path, loads):
    from types import SimpleNamespace

    torch = torch_side.torch
    tools = torch.utils.data
    options = {"loader": lambda s: tools.DataLoader(s, batch_size=16)} if loads else {}
    if loads:
        splits = [
            (torch.tensor(data.normalize(s.images)), s.labels) for s in (data.train, data.val)
        ]
        sets = [tools.TensorDataset(x, torch.tensor(y)) for x, y in splits]
        data = SimpleNamespace(train=sets[0], val=sets[1])

    def make(seed, *callbacks):
        layer = torch.nn
        torch.manual_seed(seed)
        net = layer.Sequential(
            layer.LazyConv2d(4, 3), layer.LazyBatchNorm2d(), layer.Flatten(), layer.LazyLinear(3)
        )
        return make_trainer(torch_side, data, net=net, callbacks=callbacks, **options)

    whole, broken, resumed = make(0), make(0, Break("step", 3)), make(1)
    whole.fit(2)
    with pytest.raises(KeyboardInterrupt) as caught:
        broken.fit(2)
    assert "could not be taken back" not in str(caught.value.__notes__)
    broken.save(tmp_path / "run")
    resumed.load(tmp_path / "run")
    for trainer in (broken, resumed):
        trainer.fit(2)
        assert state(trainer) == state(whole)


def test_an_optimizer_that_wants_a_closure_is_refused(torch_side, data):
    net = torch_side.net()
    optimizer = torch_side.torch.optim.LBFGS(net.parameters())
    with pytest.raises(TypeError, match=r"^optimizer: got LBFGS, whose step\(\) wants closure"):
        torch_side.trainer_class(net, data, optimizer=optimizer, criterion=torch_side.criterion())


@pytest.mark.parametrize(("added", "ratio"), [({}, 1), ({"lr": 0.005}, 0.1)])
def test_our_schedules_move_a_group_that_was_added_late(torch_side, added, ratio):
    net = torch_side.net()
    rule = torch_side.torch.optim.SGD(net[4].parameters(), lr=0.05, momentum=0.9)
    schedule = optim.OneCycleLR(rule, max_lr=0.1, total_steps=10)
    schedule.step()
    rule.add_param_group({"params": net[1].parameters(), **added})
    for _ in range(5):
        schedule.step()
        first, second = (group["lr"] for group in rule.param_groups)
        assert second == pytest.approx(ratio * first)
    del rule.param_groups[1]  # as where a run is taken back
    schedule.step()
    rule.add_param_group({"params": net[1].parameters(), "lr": 0.025})
    schedule.step()
    assert rule.param_groups[1]["lr"] == pytest.approx(0.5 * rule.param_groups[0]["lr"])


# ------------------------------------------------------------------------------ callbacks


def test_recorders_forget_the_epoch_that_broke_off(side, data):
    def record(*callbacks):
        kinds = (training.ActivationStats, training.GradientNorm, training.UpdateRatio)
        recorders = [kind(every=1) for kind in kinds]
        trainer = make_trainer(side, data, callbacks=[*recorders, *callbacks])
        return trainer, recorders

    whole, expected = record()
    whole.fit(EPOCHS)
    broken, found = record(Break("step", 17))
    with pytest.raises(KeyboardInterrupt):
        broken.fit(EPOCHS)
    broken.fit(EPOCHS)
    for one, other in zip(found, expected, strict=True):
        assert one.rows == other.rows and one.rows


@pytest.mark.parametrize("moment", ["on_fit_start", "on_fit_end"])
def test_every_callback_that_began_ends(side, data, moment):
    class Fail(Callback):
        pass

    def fail(trainer):
        raise KeyboardInterrupt

    setattr(Fail, moment, staticmethod(fail))
    ended = []

    class Ends(Callback):
        def on_fit_end(self, trainer):
            ended.append(self)

    before, after = Ends(), Ends()
    trainer = make_trainer(side, data, callbacks=[before, Fail(), after])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(1)
    assert ended == {"on_fit_start": [before], "on_fit_end": [before, after]}[moment]
    assert not trainer.net.training
    trainer = make_trainer(side, data, callbacks=[Break("step", 1, ZeroDivisionError), Fail()])
    if moment == "on_fit_end":
        with pytest.raises(KeyboardInterrupt) as caught:
            trainer.fit(1)
        assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_tensorboard_hides_the_events_of_an_epoch_that_broke_off(side, data, monkeypatch, tmp_path):
    made = []

    class Writer:
        def __init__(self, folder, **options):
            made.append(options["purge_step"])

        def add_scalar(self, name, value, step):
            assert step >= made[-1] and np.isfinite(value)

        def close(self):
            pass

    module = type("tensorboardX", (), {"SummaryWriter": Writer})
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", module)
    trainer = make_trainer(
        side, data, callbacks=[training.TensorBoard(tmp_path), Break("step", 17)]
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(EPOCHS)
    trainer.fit(EPOCHS)
    assert made == [1, 2 * STEPS + 1]


def test_a_score_may_use_up_its_settings(data):
    def score(params, fold, seed):
        return params.pop("lr")

    candidates = [{"lr": 1}, {"lr": 2}]
    result = training.cross_validate(score, candidates, data, n_jobs=1)
    assert result.best == {"lr": 2} and candidates == [{"lr": 1}, {"lr": 2}]
    assert result.scores.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_a_study_in_which_all_diverged_has_a_summary(data):
    def run(settings, data, seed):
        raise training.TrainingDivergedError(f"with {settings['lr']}")

    table = training.study(
        run, data, base={"lr": 0}, factors={"lr": [1, 2]}, seeds=3, n_jobs=1
    ).summary()
    assert list(table["n"]) == [0, 0] and list(table["diverged"]) == [3, 3]
    assert table["mean"].isna().all()
