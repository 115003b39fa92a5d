"""The loop: learns, repeats, resumes bit for bit, and says why when it breaks."""

import json

import numpy as np
import pytest

from coursekit import nn, optim
from coursekit.data import Dataset, Split
from coursekit.data.augment import RandomHorizontalFlip
from coursekit.training import (
    ActivationStats,
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNorm,
    L1Penalty,
    LivePlot,
    TensorBoard,
    Trainer,
    TrainingDivergedError,
    UpdateRatio,
    grid_search,
    random_search,
)

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


def make_trainer(data, *, rule=optim.SGD, seed=0, total=None, hidden=8, **options):
    """A small net and everything it needs."""
    net = nn.mlp([72, hidden, CLASSES], seed=seed)
    optimizer = rule(net.parameters(), lr=0.05)
    scheduler = optim.CosineAnnealingLR(optimizer, total) if total else None
    options = {"batch_size": 16, "progress": False, "seed": seed} | options
    return Trainer(
        net,
        data,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        scheduler=scheduler,
        **options,
    )


def weights(trainer):
    """All parameters as one vector."""
    return np.concatenate([p.data.ravel() for p in trainer.net.parameters()])


def test_it_learns_and_records(data):
    trainer = make_trainer(data)
    before = trainer.evaluate(data.test)
    history = trainer.fit(6)
    after = trainer.evaluate(data.test)
    assert after["accuracy"] > 0.9 > before["accuracy"] and after["loss"] < before["loss"]
    assert len(history.steps) == 6 * 7 and len(history.epochs) == 6
    table = history.frame()
    assert list(table.index) == [1, 2, 3, 4, 5, 6]
    assert table["val_accuracy"].iloc[-1] == trainer.evaluate(data.val)["accuracy"]
    assert list(history.step_frame()["step"]) == list(range(42))
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()
    np.testing.assert_array_equal(
        trainer.predict(data.test), trainer.logits(data.test).argmax(axis=1)
    )


def test_every_picture_comes_once_an_epoch_in_a_new_order(data):
    seen = []

    class Watch(Callback):
        def on_epoch_start(self, trainer):
            seen.append([])

    trainer = make_trainer(data, callbacks=[Watch()])
    trainer.net[0].register_forward_hook(
        lambda m, x, out: seen[-1].extend(x.sum(axis=(1, 2, 3))) if m.training else None
    )
    trainer.fit(2)
    first, second = map(np.array, seen)
    assert len(first) == len(data.train)
    np.testing.assert_allclose(np.sort(first), np.sort(second), rtol=1e-5, atol=1e-4)
    assert not np.allclose(first, second)


def test_the_same_seed_repeats_and_another_does_not(data):
    a, b, c = (make_trainer(data, seed=s, augment=RandomHorizontalFlip()) for s in (1, 1, 2))
    for trainer in (a, b, c):
        trainer.fit(2)
    np.testing.assert_array_equal(weights(a), weights(b))
    assert not np.allclose(weights(a), weights(c))


@pytest.mark.parametrize("rule", [optim.SGD, optim.RMSprop, optim.AdamW])
def test_a_saved_run_continues_bit_for_bit(data, rule, tmp_path):
    options = {"rule": rule, "total": 28, "augment": RandomHorizontalFlip(), "keep_best": True}
    whole = make_trainer(data, **options)
    whole.fit(4)
    path = tmp_path / "deep" / "run.npz"
    interrupted = make_trainer(data, **options, callbacks=[Checkpoint(path)])
    interrupted.fit(2)
    resumed = make_trainer(data, **options)
    resumed.load(path)
    resumed.fit(4)
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert [r["loss"] for r in resumed.history.steps] == [r["loss"] for r in whole.history.steps]
    assert resumed.best_accuracy == whole.best_accuracy
    for name in whole.best:
        np.testing.assert_array_equal(resumed.best[name], whole.best[name])
    assert [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(data, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    trainer = make_trainer(data, callbacks=[Checkpoint(path)])
    trainer.fit(1)
    before, save = path.read_bytes(), np.savez

    def disk_full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", disk_full)
    with pytest.warns(UserWarning) as caught:
        history = trainer.fit(4)
    assert len(history.epochs) == 4
    (said,) = [str(w.message) for w in caught]
    assert str(path) in said and "after epoch 2" in said and "No space left" in said
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["run.npz"]
    monkeypatch.setattr(np, "savez", save)
    trainer.fit(5)
    resumed = make_trainer(data)
    resumed.load(path)
    assert resumed.epoch == 5


def test_a_failed_save_leaves_the_old_file(data, tmp_path, monkeypatch):
    trainer = make_trainer(data)
    path = tmp_path / "run.npz"
    trainer.save(path)
    before = path.read_bytes()

    def disk_full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", disk_full)
    with pytest.raises(OSError, match="No space left"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 5}, "seed of the run saved in .* is 0, this trainer has 5"),
        ({"batch_size": 8}, "batch_size of the run saved in .* is 16, this trainer has 8"),
        ({"total": 10}, "scheduler"),
        ({"hidden": 9}, "has shape"),
        ({"rule": optim.Adam}, "state does not fit Adam"),
    ],
)
def test_loading_into_another_setup_is_an_error(data, tmp_path, options, message):
    make_trainer(data).save(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=message):
        make_trainer(data, **options).load(tmp_path / "run.npz")


def test_a_loss_that_is_not_finite_says_step_and_layer(data):
    trainer = make_trainer(data)
    trainer.optimizer.lr = 1e25
    with np.errstate(all="ignore"), pytest.raises(TrainingDivergedError) as caught:
        trainer.fit(3)
    message = str(caught.value)
    assert "at step" in message and "Linear" in message and "learning rate is 1e+25" in message
    assert trainer.step < 5

    trainer = make_trainer(data)

    class Poison(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 9:
                trainer.net[3].weight.data[0, 0] = np.nan

    trainer.callbacks.append(Poison())
    with pytest.raises(TrainingDivergedError, match=r"nan at step 9 \(epoch 2\).*3\.Linear"):
        trainer.fit(3)


def test_best_weights_are_kept_and_put_back(data):
    trainer = make_trainer(data, keep_best=True)

    class Spoil(Callback):
        def on_epoch_start(self, trainer):
            if trainer.epoch == 3:
                trainer.optimizer.lr = 0.0
                trainer.net[3].weight.data *= -1

    trainer.callbacks.append(Spoil())
    history = trainer.fit(4)
    best = max(row["val_accuracy"] for row in history.epochs)
    assert trainer.evaluate(data.val)["accuracy"] < best
    trainer.restore_best()
    assert trainer.evaluate(data.val)["accuracy"] == best == trainer.best_accuracy
    with pytest.raises(RuntimeError, match="keep_best"):
        make_trainer(data).restore_best()


def test_training_without_validation_pictures(data):
    bare = Dataset(
        "toy", data.train, Split(data.val.images[:0], data.val.labels[:0]), data.test, tuple("abc")
    )
    row = make_trainer(bare).fit(1).epochs[-1]
    assert np.isnan(row["val_loss"]) and np.isnan(row["val_accuracy"])


def test_early_stopping_and_clipping(data):
    trainer = make_trainer(data, callbacks=[EarlyStopping(patience=2)])
    trainer.optimizer.lr = 0.0
    assert len(trainer.fit(50).epochs) == 3
    norms = []

    class Watch(Callback):
        def on_step_end(self, trainer):
            norms.append(np.sqrt(sum(np.sum(p.grad**2) for p in trainer.optimizer.params)))

    make_trainer(data, clip_grad_norm=0.1, callbacks=[Watch()]).fit(1)
    assert max(norms) <= 0.1 + 1e-5


def test_l1_makes_weights_smaller_than_without(data):
    plain, sparse = make_trainer(data), make_trainer(data, callbacks=[L1Penalty(0.05)])
    for trainer in (plain, sparse):
        trainer.fit(5)
    sizes = [np.abs(t.net[1].weight.data).sum() for t in (plain, sparse)]
    assert sizes[1] < 0.8 * sizes[0]


def test_diagnostics_see_every_layer_and_go_away(data):
    stats, norms, ratios = ActivationStats(every=3), GradientNorm(every=3), UpdateRatio(every=3)
    trainer = make_trainer(data, callbacks=[stats, norms, ratios])
    trainer.fit(1)
    recorded = stats.frame()
    assert set(recorded["layer"]) == {"0.Flatten", "1.Linear", "2.ReLU", "3.Linear"}
    assert sorted(set(recorded["step"])) == [0, 3, 6]
    assert recorded["dead"].between(0, 1).all()
    assert set(norms.frame()["layer"]) == {"1.weight", "3.weight"}
    assert (norms.frame()["norm"] > 0).all() and (ratios.frame()["ratio"] > 0).all()
    assert sorted(set(ratios.frame()["step"])) == [0, 3, 6]
    count = len(stats.rows)
    trainer.net.train()(np.zeros((2, 3, 4, 6), np.float32))
    assert len(stats.rows) == count


def test_dead_units_are_counted(data):
    stats = ActivationStats(every=1)
    trainer = make_trainer(data, hidden=4, callbacks=[stats])
    trainer.optimizer.lr = 0.0
    trainer.net[1].weight.data[:3] = 0
    trainer.net[1].bias.data[:3] = -1
    trainer.fit(1)
    relu = stats.frame().query("layer == '2.ReLU'")
    assert (relu["dead"] >= 0.75).all()


def test_live_plot_leaves_one_picture(data, capsys):
    make_trainer(data, callbacks=[LivePlot("Accuracy rises.")]).fit(3)
    assert capsys.readouterr().out.count("[figure] Accuracy rises.") == 1


def test_tensorboard_writes_every_step_and_epoch(data, tmp_path):
    pytest.importorskip("tensorboardX")
    trainer = make_trainer(data, callbacks=[TensorBoard(tmp_path)])
    for epochs in (1, 2):  # events are on disk after every fit, also after a second one
        trainer.fit(epochs)
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert written.count(b"step/loss") == trainer.step
        assert written.count(b"epoch/val_accuracy") == epochs


def make_score():
    """Validation accuracy after two epochs, for workers that cannot import this module.

    A function inside a function travels by value, as a notebook's does, so it names no global.
    """

    def score(params, fold, seed):
        from coursekit import nn, optim
        from coursekit.training import Trainer

        net = nn.mlp([72, params["hidden"], 3], seed=seed)
        trainer = Trainer(
            net,
            fold,
            optimizer=optim.SGD(net.parameters(), lr=params["lr"]),
            criterion=nn.CrossEntropyLoss(),
            batch_size=16,
            progress=False,
        )
        trainer.fit(2)
        return trainer.evaluate(fold.val)["accuracy"]

    return score


score = make_score()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_search_finds_the_rate_that_learns(data, n_jobs):
    result = grid_search(score, {"lr": [1e-7, 0.05], "hidden": [8]}, data, n_jobs=n_jobs)
    assert result.scores.shape == (2, 3)
    assert result.best == {"lr": 0.05, "hidden": 8}
    table = result.frame()
    assert list(table.columns) == ["hidden", "lr", "mean", "sd"]
    assert table["mean"].is_monotonic_decreasing
    other = grid_search(score, {"lr": [1e-7, 0.05], "hidden": [8]}, data, n_jobs=1)
    np.testing.assert_array_equal(result.scores, other.scores)


def test_folds_are_disjoint_cover_the_train_pictures_and_hide_the_rest(data):
    held = []

    def look(params, fold, seed):
        assert len(fold.train) + len(fold.val) == len(data.train) and len(fold.test) == 0
        held.append(fold.val.images.reshape(len(fold.val), -1))
        return 0.5

    random_search(look, {"a": [1]}, data, n_iter=1, folds=4, n_jobs=1)
    rows = np.unique(np.concatenate(held), axis=0)
    expected = np.unique(data.train.images.reshape(len(data.train), -1), axis=0)
    np.testing.assert_array_equal(rows, expected)


def test_a_run_that_blows_up_is_the_worst_not_the_end(data):
    result = grid_search(
        lambda params, fold, seed: float(params["value"]), {"value": [0.1, np.nan]}, data, n_jobs=1
    )
    assert result.best == {"value": 0.1}
    assert np.isneginf(result.scores[1]).all()


def test_search_runs_on_a_dask_cluster(data):
    distributed = pytest.importorskip("distributed")
    from joblib import parallel_config

    here = grid_search(score, {"lr": [0.01, 0.05], "hidden": [4]}, data, n_jobs=1)
    with (
        distributed.LocalCluster(
            2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        parallel_config(backend="dask"),
    ):
        there = grid_search(score, {"lr": [0.01, 0.05], "hidden": [4]}, data)
    np.testing.assert_array_equal(here.scores, there.scores)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: make_trainer(d, batch_size=0), "batch_size must be at least 1"),
        (lambda d: EarlyStopping(0), "patience must be at least 1"),
        (lambda d: UpdateRatio(0), "every must be at least 1"),
        (lambda d: grid_search(score, {"lr": [1]}, d, folds=1), "folds must be at least 2"),
        (lambda d: grid_search(score, [], d), "candidates must hold"),
    ],
)
def test_bad_arguments_are_named(data, call, message):
    with pytest.raises(ValueError, match=message):
        call(data)
