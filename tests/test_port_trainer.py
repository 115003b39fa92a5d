"""The Trainer for PyTorch nets: the NumPy trainer's run, resumable, honest when it breaks."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from coursekit import nn, optim, training  # noqa: E402
from coursekit.data import Dataset, Split  # noqa: E402
from coursekit.data import augment as numpy_augment  # noqa: E402
from coursekit.port import convert  # noqa: E402
from coursekit.port.device import describe_device, pick_device  # noqa: E402
from coursekit.port.pictures import Compose, RandomCrop, RandomHorizontalFlip  # noqa: E402
from coursekit.port.trainer import Trainer  # noqa: E402
from coursekit.training.study_audit import AuditedDataset  # noqa: E402

CLASSES = 3


def make_split(n, seed):
    """Pictures whose mean colour tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    images = rng.integers(0, 120, (n, 3, 4, 6))
    images[np.arange(n), labels] += 100
    return Split(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data():
    """An easy set of 97 (no multiple of any batch), 40 and 40 pictures."""
    return Dataset("toy", make_split(97, 0), make_split(40, 1), make_split(40, 2), tuple("abc"))


def make_net(seed=0, dropout=0.0):
    """A conv net with batch norm, whose start the seed fixes."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1),
        torch.nn.BatchNorm2d(6),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(6 * 24, CLASSES),
    )


def make_trainer(data, *, net=None, rule=torch.optim.SGD, schedule=None, lr=0.02, **options):
    """A small net and everything it needs."""
    net = make_net(dropout=0.2) if net is None else net
    optimizer = rule(net.parameters(), lr=lr)
    scheduler = schedule(optimizer) if schedule else None
    options = {"batch_size": 16, "progress": False, "device": "cpu"} | options
    return Trainer(
        net,
        data,
        optimizer=optimizer,
        criterion=torch.nn.CrossEntropyLoss(),
        scheduler=scheduler,
        **options,
    )


def weights(trainer):
    """All parameters and buffers, by name."""
    return {name: value.clone() for name, value in trainer.net.state_dict().items()}


def assert_equal(a, b):
    """Two states are the same bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("channels_last", [True, False])
def test_it_repeats_the_numpy_trainers_run(data, channels_last):
    """The same pictures in the same order, seen through every row of the history, in float64."""
    ours = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, dtype=np.float64),
        nn.BatchNorm2d(6, dtype=np.float64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 24, CLASSES, dtype=np.float64),
    )
    theirs = convert.to_torch(ours)
    runs = []
    for net, kind, sgd, criterion, options in (
        (ours, training.Trainer, optim.SGD, nn.CrossEntropyLoss(label_smoothing=0.1), {}),
        (
            theirs,
            Trainer,
            torch.optim.SGD,
            torch.nn.CrossEntropyLoss(label_smoothing=0.1),
            {"device": "cpu", "channels_last": channels_last},
        ),
    ):
        optimizer = sgd(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        runs.append(
            kind(
                net,
                data,
                optimizer=optimizer,
                criterion=criterion,
                scheduler=optim.OneCycleLR(optimizer, 0.05, total_steps=21),
                batch_size=16,
                clip_grad_norm=1.0,
                seed=3,
                progress=False,
                **options,
            )
        )
        runs[-1].fit(3)
    a, b = runs
    np.testing.assert_allclose(a.history.step_frame(), b.history.step_frame(), rtol=1e-8)
    drop = {"columns": "seconds"}
    np.testing.assert_allclose(
        a.history.frame().drop(**drop), b.history.frame().drop(**drop), rtol=1e-8
    )
    np.testing.assert_allclose(a.logits(data.test), b.logits(data.test), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(a.predict(data.test), b.predict(data.test))


def audited(trainer_of, data, **options):
    """What a study's data set notes of two epochs of a run."""
    seen = AuditedDataset.of(data)
    trainer = trainer_of(seen, **options)
    trainer.fit(2)
    trainer.evaluate(seen.train)  # in the stored order: no training
    return seen.audit


def numpy_trainer(data, **options):
    """A NumPy run on the same pictures."""
    net = nn.mlp([72, 4, CLASSES], seed=0)
    rule = optim.SGD(net.parameters(), lr=0.02)
    options = {"criterion": nn.CrossEntropyLoss(), "progress": False} | options
    return training.Trainer(net, data, optimizer=rule, **options)


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("batch_size", [7, 16, 200])
def test_an_audit_sees_the_stream_that_numpy_draws(data, changed, batch_size):
    options = {"batch_size": batch_size, "seed": 3}
    flips = (numpy_augment.RandomHorizontalFlip(), RandomHorizontalFlip())
    ours, theirs = ({"augment": flip} if changed else {} for flip in flips)
    noted = audited(make_trainer, data, **options, **theirs)
    assert noted == audited(numpy_trainer, data, **options, **ours)
    assert noted == audited(make_trainer, data, batch_size=16, seed=3)  # whatever the batch
    assert noted.pictures == 2 * 97
    assert noted != audited(make_trainer, data, batch_size=batch_size, seed=4)


def test_a_study_refuses_torch_arms_that_see_other_orders(data):
    def run(settings, data, seed):
        net = make_net(seed)
        order = seed + (settings["lr"] == 0.1 and settings["secretly"])
        trainer = make_trainer(data, net=net, lr=settings["lr"], seed=order)
        return {"val_accuracy": trainer.fit(1).epochs[-1]["val_accuracy"]}

    options = {"factors": {"lr": [0.02, 0.1]}, "seeds": 2, "n_jobs": 1}
    fair = training.study(run, data, base={"lr": 0.1, "secretly": False}, **options).frame()
    assert (fair["pictures"] == 97).all()
    with pytest.raises(training.StudyError, match="seed 0: drew the same number .*another order"):
        training.study(run, data, base={"lr": 0.1, "secretly": True}, **options)


def test_a_loaders_pictures_are_not_seen(data):
    seen = AuditedDataset.of(data)
    pairs = {id(getattr(seen, n)): as_tensors(getattr(seen, n)) for n in ("train", "val")}
    make_trainer(seen, loader=lambda split: DataLoader(pairs[id(split)], batch_size=16)).fit(1)
    assert seen.audit.pictures == 0


def test_it_learns_and_the_history_is_plain(data):
    trainer = make_trainer(data, keep_best=True)
    before = trainer.evaluate(data.test)
    history = trainer.fit(5)
    after = trainer.evaluate(data.test)
    assert after["accuracy"] > 0.9 > before["accuracy"] and after["loss"] < before["loss"]
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()
    assert [row["step"] for row in history.steps] == list(range(35))
    assert not trainer.net.training
    assert "CPU" in repr(trainer) and "epoch 5" in repr(trainer)


@pytest.mark.parametrize("read_every", [1, 4, 50])
def test_losses_read_later_are_the_same(data, read_every):
    """On a GPU the losses come over in handfuls; none is lost or counted twice."""
    rows = []
    for every in (1, read_every):
        trainer = make_trainer(data)
        trainer.read_every = every
        trainer.fit(2)
        epochs = [{k: v for k, v in r.items() if k != "seconds"} for r in trainer.history.epochs]
        rows.append((trainer.history.steps, epochs))
    assert rows[0] == rows[1]


SCHEDULES = {
    "ours": lambda optimizer: optim.CosineAnnealingLR(optimizer, 28),
    "torch": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [9, 18], 0.5),
}


@pytest.mark.parametrize("rule", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_saved_run_continues_bit_for_bit(data, rule, schedule, precision, tmp_path):
    options = {
        "rule": rule,
        "schedule": SCHEDULES[schedule],
        "precision": precision,
        "augment": Compose([RandomCrop(1), RandomHorizontalFlip()]),
        "keep_best": True,
    }
    whole = make_trainer(data, **options)
    whole.fit(4)
    path = tmp_path / "deep" / "run.pt"
    interrupted = make_trainer(data, **options, callbacks=[training.Checkpoint(path)])
    interrupted.fit(2)
    torch.manual_seed(99)  # what happens in between does not matter
    resumed = make_trainer(data, **options, net=make_net(seed=7, dropout=0.2))
    resumed.load(path)
    resumed.fit(4)
    assert_equal(weights(resumed), weights(whole))
    assert resumed.history.steps == whole.history.steps
    assert resumed.best_accuracy == whole.best_accuracy
    assert_equal(resumed.best, whole.best)
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]


def test_another_seed_is_another_run(data):
    runs = [make_trainer(data, net=make_net(), seed=seed) for seed in (0, 0, 1)]
    losses = [[row["loss"] for row in run.fit(1).steps] for run in runs]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 5}, "seed of the run saved in .* is 0, this trainer has 5"),
        ({"schedule": SCHEDULES["ours"]}, "scheduler: either"),
        ({"rule": torch.optim.Adam}, "state does not fit Adam: the run was saved with SGD"),
        ({"net": torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3))}, "state does not fit this net"),
    ],
)
def test_loading_into_another_setup_is_an_error(data, tmp_path, options, message):
    make_trainer(data).save(tmp_path / "run.pt")
    with pytest.raises(ValueError, match=message):
        make_trainer(data, **options).load(tmp_path / "run.pt")


def test_a_file_of_weights_alone_is_no_run(data, tmp_path):
    torch.save(make_net().state_dict(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match="found no run"):
        make_trainer(data).load(tmp_path / "net.pt")


# --- when it breaks -----------------------------------------------------------------------------


class At(training.Callback):
    """Do something once, after a step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            self.action(trainer)


def interrupt(trainer):
    """What Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("read_every", [1, 50])
def test_an_interrupt_keeps_history_and_best_weights(data, read_every):
    trainer = make_trainer(data, keep_best=True, callbacks=[At(17, interrupt)])
    trainer.read_every = read_every
    with pytest.raises(KeyboardInterrupt) as caught:
        trainer.fit(5)
    assert len(trainer.history.epochs) == 2
    assert [row["step"] for row in trainer.history.steps] == list(range(14))
    assert "interrupted: 2 of 5 epochs are done" in caught.value.__notes__[0]
    assert not trainer.net.training
    trainer.restore_best()
    assert trainer.evaluate(data.val)["accuracy"] == trainer.best_accuracy


def poison(trainer):
    """Break a weight."""
    with torch.no_grad():
        trainer.net[5].weight[0, 0] = torch.nan


def test_a_loss_that_is_not_finite_says_step_and_layer(data):
    trainer = make_trainer(data, callbacks=[At(9, poison)])
    with pytest.raises(training.TrainingDivergedError, match=r"nan at step 9 \(epoch 2\).*5\.Lin"):
        trainer.fit(3)


def test_a_loss_read_later_still_says_the_step(data):
    trainer = make_trainer(data, callbacks=[At(9, poison)])
    trainer.read_every = 5
    with pytest.raises(training.TrainingDivergedError, match=r"nan at step 9 \(epoch 2\), notic"):
        trainer.fit(3)
    assert [row["step"] for row in trainer.history.steps] == list(range(9))


class Hungry(torch.nn.Module):
    """Asks for more memory than there is."""

    def forward(self, x):
        torch.empty(2**60, dtype=torch.uint8)
        return x


def test_out_of_memory_names_the_batch_size(data):
    trainer = make_trainer(data, net=torch.nn.Sequential(Hungry(), *make_net()))
    with pytest.raises(MemoryError, match=r"batches of 16 pictures; try batch_size=8 or precision"):
        trainer.fit(1)


def test_other_errors_pass_as_they_are(data):
    trainer = make_trainer(data, net=torch.nn.Sequential(torch.nn.Linear(7, 3)))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trainer.fit(1)


# --- devices, precision, compilation ------------------------------------------------------------


def test_devices_are_checked_and_named(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    assert describe_device("cpu").startswith("CPU, ")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto").type in ("cpu", "xpu")
    with pytest.raises(ValueError, match="device: got 'cuda', but PyTorch"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="device: got 'gpu'; needed 'auto' or one of 'cpu'"):
        pick_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"only 2 of that kind; .* 'cuda:0' to 'cuda:1'"):
        pick_device("cuda:2")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_close(data, precision):
    kinds = []
    # A batch of one picture has a gradient of 1.0: times the first scale, 65,536, the largest that
    # float16 holds or just more, and then the update is left out.
    full, half = (
        make_trainer(data, net=make_net(), precision=p, batch_size=14)
        for p in ("float32", precision)
    )
    half.net[0].register_forward_hook(lambda module, x, out: kinds.append(out.dtype))
    for trainer in (full, half):
        trainer.fit(2)
    assert set(kinds) == {getattr(torch, precision)}
    losses = [[row["loss"] for row in t.history.steps] for t in (full, half)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], atol=0.05)
    assert half.logits(data.test).dtype == np.float32
    assert all(p.dtype == torch.float32 for p in half.net.parameters())


def test_compiling_changes_the_calls_not_the_run(data, monkeypatch):
    """The compiler is replaced: it takes a minute, and torch tests it."""
    compiled = []

    def fake(module):
        def call(x):
            compiled.append(len(x))
            return module(x)

        return call

    monkeypatch.setattr(torch, "compile", fake)
    plain, other = (make_trainer(data, compile=c) for c in (False, True))
    assert plain.fit(1).steps == other.fit(1).steps
    assert compiled == [16] * 6 + [1]


# --- loaders, schedules, callbacks --------------------------------------------------------------


def make_loader(shuffle_of=None, **options):
    """A loader in the ordinary way: floats, made in the dataset."""

    def loader(split):
        return DataLoader(split, batch_size=16, shuffle=split is shuffle_of, **options)

    return loader


def as_tensors(split):
    """What torchvision's data sets give: pictures as floats, and labels."""
    images = torch.from_numpy(split.images.copy()).float() / 255
    return TensorDataset(images, torch.from_numpy(split.labels.copy()))


def test_the_ordinary_road_learns_and_resumes(data, tmp_path):
    sets = SimpleNamespace(**{n: as_tensors(getattr(data, n)) for n in ("train", "val", "test")})
    loader = make_loader(sets.train)
    whole = make_trainer(sets, loader=loader)
    whole.fit(4)
    assert whole.evaluate(sets.test)["accuracy"] > 0.9
    assert whole.steps_per_epoch == 7 and whole.history.epochs[-1]["step"] == 28
    assert whole.logits(sets.test).shape == (40, CLASSES)
    first = make_trainer(sets, loader=loader)
    first.fit(2)
    first.save(tmp_path / "run.pt")
    second = make_trainer(sets, loader=loader)
    second.load(tmp_path / "run.pt")
    second.fit(4)
    assert_equal(weights(whole), weights(second))


def test_every_schedule_of_ours_drives_torch(data):
    net = make_net()
    groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[5].parameters()}]
    ours = torch.optim.SGD(groups, lr=0.02, momentum=0.9)
    single = torch.optim.Adam(net.parameters(), lr=0.1)
    theirs = torch.optim.Adam(net.parameters(), lr=0.1)
    schedule = optim.CosineAnnealingLR(ours, 10)
    cycle = optim.OneCycleLR(single, 0.3, 10)
    reference = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.3, 10)
    for step in range(9):
        rates = [group["lr"] for group in ours.param_groups]
        assert rates == pytest.approx([schedule.lr_at(step), schedule.lr_at(step) / 5])
        a, b = single.param_groups[0], theirs.param_groups[0]
        assert a["lr"] == pytest.approx(b["lr"]) and a["betas"] == pytest.approx(b["betas"])
        for thing in (ours, single, theirs, schedule, cycle, reference):
            thing.step()
    with pytest.raises(ValueError, match="cycle_momentum needs an optimizer with momentum"):
        optim.OneCycleLR(torch.optim.SGD(net.parameters(), lr=0.1), 0.3, 10)


def test_callbacks_of_the_course_look_into_torch_nets(data):
    watchers = [
        kind(every=3)
        for kind in (training.ActivationStats, training.GradientNorm, training.UpdateRatio)
    ]
    trainer = make_trainer(data, callbacks=[*watchers, training.EarlyStopping(2)], lr=0.01)
    trainer.fit(1)
    stats, norms, ratios = (watcher.frame() for watcher in watchers)
    assert set(stats["layer"]) >= {"0.Conv2d", "1.BatchNorm2d", "5.Linear"}
    assert sorted(set(stats["step"])) == sorted(set(ratios["step"])) == [0, 3, 6]
    assert set(norms["layer"]) == {"0.weight", "5.weight"}
    assert (norms["norm"] > 0).all() and (ratios["ratio"] > 0).all()


def test_tensorboard_gets_every_loss_though_they_come_late(data, tmp_path):
    pytest.importorskip("tensorboardX")
    trainer = make_trainer(data, callbacks=[training.TensorBoard(tmp_path)])
    trainer.read_every = 5
    trainer.fit(2)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert written.count(b"step/loss") == trainer.step == 14


# --- arguments ----------------------------------------------------------------------------------


def ours_for(what):
    """Arguments of the NumPy world."""
    net = nn.mlp([72, CLASSES])
    return {
        "net": net,
        "optimizer": optim.SGD(net.parameters()),
        "criterion": nn.CrossEntropyLoss(),
    }[what]


@pytest.mark.parametrize("what", ["net", "optimizer", "criterion"])
def test_numpy_arguments_are_refused_by_name(data, what):
    net = make_net()
    arguments = {
        "net": net,
        "optimizer": torch.optim.SGD(net.parameters()),
        "criterion": torch.nn.CrossEntropyLoss(),
    }
    arguments[what] = ours_for(what)
    with pytest.raises(TypeError, match=f"^{what}: got coursekit"):
        Trainer(arguments.pop("net"), data, **arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "half"}, ValueError, "precision: got 'half'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"augment": numpy_augment.RandomCrop()}, TypeError, "augment: got coursekit.data's Rand"),
        (
            {"augment": Compose([RandomCrop(), Compose([numpy_augment.Cutout()])])},
            TypeError,
            "augment: got coursekit.data's Cutout",
        ),
    ],
)
def test_bad_arguments_are_named(data, options, error, message):
    with pytest.raises(error, match=message):
        make_trainer(data, **options)


def test_an_optimiser_of_another_net_is_refused(data):
    with pytest.raises(ValueError, match="parameters of another net"):
        make_trainer(data, rule=lambda params, lr: torch.optim.SGD(make_net().parameters(), lr))


def test_a_loader_that_does_not_fit_is_named(data):
    raw = SimpleNamespace(
        train=TensorDataset(torch.zeros(8, 3, 4, 6, dtype=torch.uint8), torch.zeros(8).long()),
        val=[],
    )
    with pytest.raises(ValueError, match=r"loader: got pictures of torch.uint8"):
        make_trainer(raw, loader=make_loader()).fit(1)
    with pytest.raises(ValueError, match="augment: got one with loader"):
        make_trainer(raw, loader=make_loader(), augment=RandomCrop())


def test_training_without_validation_pictures(data):
    bare = replace(data, val=Split(data.val.images[:0], data.val.labels[:0]))
    row = make_trainer(bare).fit(1).epochs[-1]
    assert np.isnan(row["val_loss"]) and np.isnan(row["val_accuracy"])
