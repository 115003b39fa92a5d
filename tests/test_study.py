"""Studies: unfair ones are refused, interrupted ones go on, every way to run gives one table."""

import errno
import inspect
import json
import linecache
import os
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from coursekit.data import Dataset, Split
from coursekit.training import StudyError, TrainingDivergedError, study
from coursekit.training import study_store as store
from coursekit.training.study_audit import WatchedSettings
from coursekit.training.study_hash import describe_code, describe_data, hash_of

CLASSES = 3
BASE = {"lr": 0.1, "hidden": 8, "batch_size": 16, "epochs": 1, "train_size": 97, "log": ""}


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


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of results of its own for every test, and nothing shipped."""
    monkeypatch.setenv("COURSEKIT_STUDIES", str(tmp_path / "studies"))
    monkeypatch.delenv("COURSEKIT_RECOMPUTE", raising=False)
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(store, "_unwritten", {})
    return tmp_path / "studies"


def make_run():
    """A real run, for workers that cannot import this module: it names no global."""

    def run(settings, data, seed):
        from dataclasses import replace

        from coursekit import nn, optim
        from coursekit.data import Split
        from coursekit.training import Trainer

        if settings["log"]:
            with open(settings["log"], "a", encoding="utf-8") as file:
                file.write(f"{settings['lr']} {seed}\n")
        n = settings["train_size"]
        data = replace(data, train=Split(data.train.images[:n], data.train.labels[:n]))
        net = nn.mlp([72, settings["hidden"], 3], seed=seed)
        trainer = Trainer(
            net,
            data,
            optimizer=optim.SGD(net.parameters(), lr=settings["lr"]),
            criterion=nn.CrossEntropyLoss(),
            batch_size=settings["batch_size"],
            seed=seed,
            progress=False,
        )
        last = trainer.fit(settings["epochs"]).epochs[-1]
        trainer.evaluate(data.train)  # draws in the stored order: no training
        return {"val_accuracy": last["val_accuracy"], "train_loss": last["train_loss"]}

    return run


run = make_run()


def quick(settings, data, seed):
    """A run that takes no time."""
    return {"val_accuracy": settings["lr"] + seed / 100}


def same(result, other):
    """Assert that two results hold one table; the time that runs took may differ."""
    a, b = (r.frame().drop(columns="seconds") for r in (result, other))
    pd.testing.assert_frame_equal(a, b)


# ---------------------------------------------------------------- the table


def test_table_of_a_factorial(data):
    result = study(
        run, data, base=BASE, factors={"lr": [0.1, 0.01], "hidden": (4, 8)}, seeds=3, n_jobs=1
    )
    table = result.frame()
    assert list(table.columns) == [
        *("lr", "hidden", "seed", "train_loss", "val_accuracy"),
        *("diverged", "pictures", "seconds"),
    ]
    assert list(table["lr"]) == [0.1] * 6 + [0.01] * 6
    assert list(table["hidden"]) == [4, 4, 4, 8, 8, 8] * 2
    assert list(table["seed"]) == [0, 1, 2] * 4
    assert not table["diverged"].any() and (table["pictures"] == 97).all()
    assert result.source == "computed" and "4 arms x 3 seeds" in repr(result)
    assert result.arms["lr=0.01, hidden=4"] == {**BASE, "lr": 0.01, "hidden": 4}


def test_table_of_named_arms_and_seeds_by_name(data):
    arms = {"small": {"hidden": 2}, "base": {}, "both": {"hidden": 16, "lr": 0.01}}
    options = {"base": BASE, "arms": arms, "varies": ("hidden", "lr"), "n_jobs": 1}
    table = study(run, data, **options, seeds=[7, 3]).frame()
    assert list(table.columns[:4]) == ["arm", "hidden", "lr", "seed"]
    assert list(table["arm"]) == ["small", "small", "base", "base", "both", "both"]
    assert list(table["seed"]) == [7, 3] * 3
    assert list(table["hidden"]) == [2, 2, 8, 8, 16, 16]


def test_summary_is_mean_and_t_interval(data):
    def noise(settings, data, seed):
        return {"score": settings["lr"] * np.random.default_rng(seed).normal()}

    result = study(noise, data, base=BASE, factors={"lr": [1.0, 2.0]}, seeds=4, n_jobs=1)
    table = result.summary("score")
    assert list(table.columns) == ["lr", "mean", "sd", "n", "band", "diverged"]
    for row, (_, runs) in zip(table.itertuples(), result.frame().groupby("lr"), strict=True):
        low, high = stats.t.interval(0.95, 3, runs["score"].mean(), stats.sem(runs["score"]))
        assert (row.mean, row.n, row.diverged) == (runs["score"].mean(), 4, 0)
        np.testing.assert_allclose([row.mean - row.band, row.mean + row.band], [low, high])
    with pytest.raises(StudyError, match=r"metric: got 'lr'; needed one of \['score'\]"):
        result.summary("lr")


def test_one_seed_has_no_band(data):
    result = study(quick, data, base=BASE, factors={"lr": [0.1, 0.2]}, seeds=1, n_jobs=1)
    assert result.summary()["band"].isna().all() and list(result.summary()["mean"]) == [0.1, 0.2]


def test_none_and_lists_survive_as_settings(data):
    def look(settings, data, seed):
        assert isinstance(settings["widths"], (list, tuple))
        return {"score": len(settings["widths"]) + (settings["norm"] is None)}

    base = {"norm": None, "widths": [1, 2]}
    factors = {"norm": [None, "batch"], "widths": [[1, 2], (3,)]}
    for _ in range(2):  # computed, then read
        result = study(look, data, base=base, factors=factors, seeds=1, name="a", n_jobs=1)
        table = result.frame()
        assert [v is None for v in table["norm"]] == [True, True, False, False]
        assert list(table["widths"]) == [(1, 2), (3,)] * 2
        assert list(table["score"]) == [3, 2, 2, 1]
    assert result.source == "4 of 4 runs from your a.json"


def test_a_run_cannot_change_the_settings_of_others(data):
    def greedy(settings, data, seed):
        settings["widths"].append(1)
        settings["lr"] += 1
        return {"n": len(settings["widths"])}

    base = {"widths": [5], "lr": 0.1}
    result = study(greedy, data, base=base, factors={"lr": [0.1, 0.2]}, seeds=3, n_jobs=1)
    assert set(result.frame()["n"]) == {2} and base["widths"] == [5]


def test_diverged_runs_are_results(data):
    options = {"base": BASE, "factors": {"lr": [0.1, 1e20]}, "seeds": 3, "n_jobs": 1}
    for _ in range(2):  # computed, then read
        result = study(run, data, **options, name="wild")
        table = result.frame()
        assert list(table["diverged"]) == [False] * 3 + [True] * 3
        assert list(table["val_accuracy"].isna()) == list(table["diverged"])
        summary = result.summary()
        assert list(summary["n"]) == [3, 0] and list(summary["diverged"]) == [0, 3]
        scored = table.fillna({"val_accuracy": 0.1})
        assert (scored["val_accuracy"][3:] == 0.1).all()


def test_numbers_that_json_lacks_come_back(data, folder):
    def odd(settings, data, seed):
        lr = settings["lr"]
        return {"d": np.int64(lr), "a": np.float32("nan"), "b": -np.inf, "c": lr / 3}

    options = {"base": BASE, "factors": {"lr": [1, 2]}, "seeds": 1, "name": "odd", "n_jobs": 1}
    computed, read = (study(odd, data, **options) for _ in range(2))
    assert read.source == "2 of 2 runs from your odd.json"
    same(computed, read)
    first = read.frame().iloc[0]
    assert np.isnan(first["a"]) and first["b"] == -np.inf and first["c"] == 0.333333

    def refuse(constant):
        raise AssertionError(f"{constant} is not json")

    json.loads((folder / "odd.json").read_text(encoding="utf-8"), parse_constant=refuse)


# ---------------------------------------------------------------- unfair by declaration

BAD = [
    ({"arms": {"a": {}, "b": {"lr": 1}}}, r"arm 'b' sets 'lr' to 1, base has 0.1.*not declared"),
    ({"arms": {"a": {}, "b": {"hiden": 1}}, "varies": ["hidden"]}, r"arm 'b' sets 'hiden', which"),
    ({"arms": {"a": {}, "b": {"x": 1}}, "varies": ["x"]}, "'x' is declared to vary but base"),
    ({"factors": {"lrr": [1, 2]}}, "'lrr' is declared to vary but base has no such setting"),
    ({"factors": {"lr": [1, 2], "hidden": [8]}}, "'hidden' is declared to vary but is 8 in every"),
    (
        {"arms": {"a": {}, "b": {"lr": 1}}, "varies": ["lr", "hidden"]},
        "'hidden' is declared to vary but is 8 in every arm",
    ),
    ({"factors": {"lr": [0.1, 0.2, 0.1]}}, r"factors\['lr'\]: the level 0.1 comes more than once"),
    ({"factors": {"lr": [0.1, 0.1 + 1e-17]}}, "comes more than once"),
    (
        {"arms": {"a": {"lr": 1}, "b": {"lr": 0.1}, "c": {}}, "varies": ["lr"]},
        "arms 'b' and 'c' have the same settings",
    ),
    ({"arms": {"a": {"lr": 1}}, "varies": ["lr"]}, "at least two arms"),
    ({"factors": {"lr": "0.1"}}, r"factors\['lr'\]: got '0.1'; needed a list"),
    ({"factors": {"lr": [1, 2]}, "varies": ["lr"]}, "varies: got names with factors"),
    ({"factors": {"lr": [1, 2]}, "arms": {"a": {}}}, "got both"),
    ({}, "got neither"),
    ({"arms": {"a": {}, "b": {"lr": 1}}, "varies": "lr"}, r"varies: got the string 'lr'"),
    ({"factors": {"lr": [1, np.ones(2)]}}, r"factors\['lr'\]: got a ndarray"),
    ({"base": {**BASE, "f": len}, "factors": {"lr": [1, 2]}}, r"base\['f'\]: got a builtin"),
    ({"base": {**BASE, "seed": 1}, "factors": {"lr": [1, 2]}}, "the setting 'seed'"),
    ({"factors": {"lr": [1, 2]}, "data_factors": ["hidden"]}, "data_factors: 'hidden' is not"),
    ({"factors": {"lr": [1, 2]}, "seeds": 0}, "seeds: got 0"),
    ({"factors": {"lr": [1, 2]}, "seeds": [1, 1]}, r"seeds: got \[1, 1\]"),
    ({"factors": {"lr": [1, 2]}, "name": "a/b"}, "name: got 'a/b'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_study_that_is_not_controlled_does_not_start(data, options, message):
    def never(settings, data, seed):
        raise AssertionError("it started")

    with pytest.raises(StudyError, match=message):
        study(never, data, **{"base": BASE, "n_jobs": 1, **options})


def test_an_override_that_repeats_base_is_no_difference(data):
    arms = {"a": {"hidden": 8}, "b": {"lr": 1}}
    result = study(quick, data, base=BASE, arms=arms, varies=("lr",), seeds=1, n_jobs=1)
    assert list(result.frame().columns[:2]) == ["arm", "lr"]


@pytest.mark.parametrize("wrong", [5, {"seed": 1.0}, {"lr": 1.0}, {"a": "x"}, {"a": None}])
def test_what_run_returns_is_checked(data, wrong):
    def bad(settings, data, seed):
        return wrong

    with pytest.raises(StudyError, match="run: "):
        study(bad, data, base=BASE, factors={"lr": [1, 2]}, seeds=1, n_jobs=1)


# ---------------------------------------------------------------- unfair when measured


def test_the_same_pictures_in_another_order_are_caught(data):
    def shuffles(settings, data, seed):
        rng = np.random.default_rng(seed + (settings["hidden"] == 4))
        for _ in data.batches(data.train, settings["batch_size"], rng=rng):
            pass
        return {"a": 1.0}

    with pytest.raises(StudyError) as caught:
        study(shuffles, data, base=BASE, factors={"hidden": [8, 4]}, seeds=2, n_jobs=1)
    message = str(caught.value)
    assert "arms 'hidden=8' and 'hidden=4', seed 0" in message and "another order" in message


def test_another_budget_is_caught_unless_it_is_declared(data, folder):
    options = {"base": BASE, "factors": {"epochs": [1, 2]}, "seeds": 2, "n_jobs": 1, "name": "b"}
    with pytest.raises(StudyError, match="'epochs=1' and 'epochs=2', seed 0: drew 97 and 194"):
        study(run, data, **options)
    table = study(run, data, **options, data_factors=["epochs"]).frame()
    assert list(table["pictures"]) == [97, 97, 194, 194]


def test_fewer_pictures_are_caught_in_a_copy_too(data):
    options = {"base": BASE, "factors": {"train_size": [97, 50]}, "seeds": 1, "n_jobs": 1}
    with pytest.raises(StudyError, match="drew 97 and 50 training pictures"):
        study(run, data, **options)


def test_within_a_data_factor_the_stream_must_still_be_one(data):
    def secretly(settings, data, seed):
        repeats = settings["epochs"] + (settings["lr"] == 2 and settings["epochs"] == 3)
        for _ in range(repeats):
            list(data.batches(data.train, 10, rng=np.random.default_rng(seed)))
        return {"a": 1.0}

    factors = {"epochs": [1, 3], "lr": [1, 2]}
    with pytest.raises(StudyError, match="epochs=3, lr=1' and 'epochs=3, lr=2', seed 0"):
        study(secretly, data, base=BASE, factors=factors, seeds=1, n_jobs=1,
              data_factors=["epochs"])  # fmt: skip


def test_batch_size_does_not_change_the_stream(data):
    table = study(run, data, base=BASE, factors={"batch_size": [7, 97]}, seeds=2, n_jobs=1).frame()
    assert (table["pictures"] == 97).all()


def test_seeds_have_streams_of_their_own(data, folder):
    study(run, data, base=BASE, factors={"lr": [0.1, 0.2]}, seeds=3, n_jobs=1, name="s")
    runs = json.loads((folder / "s.json").read_text(encoding="utf-8"))["runs"]
    streams = {(row["seed"], row["stream"]) for row in runs}
    assert len(streams) == 3 == len({stream for _, stream in streams})


def test_an_unfair_study_stays_unfair_when_read(data):
    """The stored runs of one arm, and a new run of the other that draws more."""
    options = {"base": BASE, "factors": {"epochs": [1, 2]}, "seeds": 1, "n_jobs": 1, "name": "u"}
    for _ in range(2):
        with pytest.raises(StudyError, match="drew 97 and 194"):
            study(run, data, **options)


def test_a_declared_setting_that_is_never_read_is_caught(data):
    options = {"base": BASE, "factors": {"lr": [1, 2], "hidden": [1, 2]}, "seeds": 1, "n_jobs": 1}
    for _ in range(2):  # computed, then read
        with pytest.raises(StudyError, match=r"run never reads settings\['hidden'\]"):
            study(quick, data, **options, name="unread")


def test_a_setting_read_by_one_arm_only_is_read(data):
    def sometimes(settings, data, seed):
        return {"a": settings["lr"] if settings["hidden"] == 1 else 0.0}

    factors = {"lr": [1, 2], "hidden": [1, 2]}
    assert len(study(sometimes, data, base=BASE, factors=factors, seeds=1, n_jobs=1).frame()) == 4


@pytest.mark.parametrize(
    ("read", "left"),
    [
        (lambda s: s["a"], {"b"}),
        (lambda s: s.get("a", 0), {"b"}),
        (lambda s: s.pop("a"), {"b"}),
        (lambda s: (lambda a, b: a)(**s), set()),
        (lambda s: dict(s), set()),
        (lambda s: {**s}, set()),
        (lambda s: s | {}, set()),
        (lambda s: s.copy(), set()),
        (lambda s: list(s.values()), set()),
        (lambda s: json.dumps(s), set()),
        (lambda s: "a" in s, {"a", "b"}),
    ],
)
def test_reading_settings_is_noticed_however_it_is_done(read, left):
    watched = WatchedSettings({"a": 1, "b": 2})
    read(watched)
    assert watched.unread == left


def test_runs_must_measure_the_same(data):
    def moody(settings, data, seed):
        return {"a": 1.0} if settings["lr"] == 1 else {"b": 1.0}

    with pytest.raises(StudyError, match=r"measured \['a'\] and \['b'\]"):
        study(moody, data, base=BASE, factors={"lr": [1, 2]}, seeds=1, n_jobs=1)


# ---------------------------------------------------------------- many ways to run, one table

GRID = {"base": BASE, "factors": {"lr": [0.01, 0.1, 1e20], "batch_size": [10, 97]}, "seeds": 2}


def test_two_processes_give_the_table_of_one(data, folder):
    here = study(run, data, **GRID, n_jobs=1, name="here")
    there = study(run, data, **GRID, n_jobs=2, name="there")
    same(here, there)

    def stored(name):
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return [{**row, "seconds": 0} for row in content["runs"]], content["hash"]

    assert stored("here") == stored("there")  # in one order too, whichever run ended first


@pytest.mark.parametrize("processes", [True, False])
def test_a_dask_cluster_gives_the_same_table(data, processes):
    distributed = pytest.importorskip("distributed")
    from joblib import parallel_config

    here = study(run, data, **GRID, n_jobs=1)
    with (
        distributed.LocalCluster(
            2, threads_per_worker=1, processes=processes, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        parallel_config(backend="dask"),
    ):
        there = study(run, data, **GRID)
    same(here, there)


@pytest.mark.filterwarnings("ignore:.*have been cancelled")  # joblib's, true and harmless
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_a_run_ends_the_study_and_keeps_what_is_done(data, folder, n_jobs):
    def breaks(settings, data, seed):
        if settings["lr"] == 3 and seed == 1:
            raise ZeroDivisionError("in the run")
        return {"a": settings["lr"]}

    options = {"base": BASE, "factors": {"lr": [1, 2, 3]}, "n_jobs": n_jobs, "name": "e"}
    with pytest.raises(ZeroDivisionError, match="in the run") as caught:
        study(breaks, data, **options, seeds=2)
    notes = getattr(caught.value, "__notes__", [])
    assert any("in breaks" in note for note in notes) == (n_jobs == 2)  # where, in the process
    kept = json.loads((folder / "e.json").read_text(encoding="utf-8"))["runs"]
    assert len(kept) >= 6 - n_jobs  # all but the one that broke and those under way beside it
    assert study(breaks, data, **options, seeds=1).source.endswith("of 3 runs from your e.json")


# ---------------------------------------------------------------- kept results


def counted(tmp_path):
    """Options of a study that logs its runs, and the log."""
    log = tmp_path / "log"
    log.touch()
    options = {"base": {**BASE, "log": str(log)}, "factors": {"lr": [0.1, 0.01]}, "n_jobs": 1}
    return options, lambda: len(log.read_text(encoding="utf-8").splitlines())


def test_finished_runs_are_not_run_again(data, tmp_path):
    options, runs = counted(tmp_path)
    first = study(run, data, **options, seeds=2, name="kept")
    again = study(run, data, **options, seeds=2, name="kept")
    assert runs() == 4 and again.source == "4 of 4 runs from your kept.json"
    same(first, again)
    pd.testing.assert_frame_equal(first.frame(), again.frame())
    more = study(run, data, **options, seeds=3, name="kept")
    assert runs() == 6 and more.source == "4 of 6 runs from your kept.json"
    fewer = study(run, data, **options, seeds=[2], name="kept")
    assert runs() == 6 and list(fewer.frame()["seed"]) == [2, 2]


def test_without_a_name_nothing_is_kept(data, tmp_path, folder):
    options, runs = counted(tmp_path)
    for n in (2, 4):
        assert study(run, data, **options, seeds=1).source == "computed"
        assert runs() == n
    assert not folder.exists()


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_recompute(data, tmp_path, monkeypatch, how):
    options, runs = counted(tmp_path)
    study(run, data, **options, seeds=1, name="r")
    if how == "environment":
        monkeypatch.setenv("COURSEKIT_RECOMPUTE", "1")
    again = study(run, data, **options, seeds=1, name="r", recompute=how == "argument")
    assert runs() == 4 and again.source == "computed"


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_results_of_other_code_are_taken_where_nothing_may_be_recomputed(data, monkeypatch, how):
    options = {"factors": {"lr": [1, 2]}, "n_jobs": 1, "name": "n"}
    first = study(quick, data, base=BASE, seeds=2, **options)
    changed = {**BASE, "hidden": 9}
    if how == "environment":
        monkeypatch.setenv("COURSEKIT_RECOMPUTE", "never")
    asked = {} if how == "environment" else {"recompute": "never"}
    other = study(quick, data, base=changed, seeds=2, **options, **asked)
    same(first, other)
    assert other.source == "4 of 4 runs from n.json, of other code, settings or data"
    if how == "argument":
        with pytest.raises(StudyError, match="no stored result has arm 'lr=1' with seed 2"):
            study(quick, data, base=changed, seeds=3, **options, **asked)
    # Nothing was written over: the results still fit the study they are of.
    assert study(quick, data, base=BASE, seeds=2, **options).source.endswith("from your n.json")


def test_what_is_not_stored_is_computed_where_the_environment_says_never(data, monkeypatch):
    """So lessons whose studies keep nothing, or have nothing stored, still run."""
    monkeypatch.setenv("COURSEKIT_RECOMPUTE", "never")
    options = {"base": BASE, "factors": {"lr": [1, 2]}, "n_jobs": 1}
    assert study(quick, data, **options, seeds=1).source == "computed"
    assert study(quick, data, **options, seeds=1, name="v").source == "computed"
    more = study(quick, data, **options | {"base": {**BASE, "hidden": 9}}, seeds=2, name="v")
    assert more.source == "2 of 4 runs from v.json, of other code, settings or data"


def test_an_interrupted_recomputation_leaves_the_stored_results_as_they_were(data, folder):
    options = {"factors": {"lr": [1, 2]}, "seeds": 2, "n_jobs": 1, "name": "i"}
    first = study(quick, data, base=BASE, **options)

    def stops(settings, data, seed):
        if settings["lr"] == 2:
            raise KeyboardInterrupt
        return {"val_accuracy": settings["lr"]}

    with pytest.raises(KeyboardInterrupt):
        study(stops, data, base=BASE, **options)
    assert len(json.loads((folder / "i.json").read_text(encoding="utf-8"))["runs"]) == 1
    same(first, study(stops, data, base=BASE, **options, recompute="never"))
    again = study(quick, data, base=BASE, **options)  # the code is as it was
    assert again.source.startswith("4 of 4 runs from your i.") and again.source != "computed"
    same(first, again)


@pytest.mark.parametrize("wrong", ["no", 1, 0, None])
def test_recompute_is_one_of_three(data, wrong):
    with pytest.raises(StudyError, match=f"recompute: got {wrong!r}; needed True, False or 'nev"):
        study(quick, data, base=BASE, factors={"lr": [1, 2]}, recompute=wrong)


@pytest.mark.parametrize("wrong", ["no", "NEVER", "false"])
def test_the_variable_is_one_of_three(data, monkeypatch, wrong):
    monkeypatch.setenv("COURSEKIT_RECOMPUTE", wrong)
    with pytest.raises(StudyError, match=f"COURSEKIT_RECOMPUTE: got '{wrong}'; needed 0, 1 or"):
        study(quick, data, base=BASE, factors={"lr": [1, 2]})


def test_a_long_recomputation_is_announced(data, folder, capsys):
    options = {"base": BASE, "factors": {"lr": [1, 2]}, "seeds": 2, "n_jobs": 1, "name": "long"}
    study(quick, data, **options)
    options["base"] = {**BASE, "hidden": 9}
    study(quick, data, **options)
    assert capsys.readouterr().out == ""  # a matter of seconds
    stored = json.loads((folder / "long.json").read_text(encoding="utf-8"))
    for row in stored["runs"]:
        row["seconds"] = 600.0
    (folder / "long.json").write_text(json.dumps(stored), encoding="utf-8")
    study(quick, data, **options)
    assert capsys.readouterr().out == ""  # nothing to compute
    study(quick, data, **{**options, "base": {**BASE, "hidden": 10}})
    said = capsys.readouterr().out
    assert said.startswith("Study long: computing 4 runs, about 40 minutes by")
    assert "COURSEKIT_RECOMPUTE=never" in said and 'recompute="never"' in said


def test_another_study_of_the_name_starts_afresh(data, folder):
    options = {"factors": {"lr": [1, 2]}, "seeds": 2, "n_jobs": 1, "name": "n"}
    study(quick, data, base=BASE, **options)
    other = study(quick, data, base={**BASE, "hidden": 9}, **options)
    assert other.source == "computed"
    assert study(quick, data, base={**BASE, "hidden": 9}, **options).source != "computed"
    other_data = replace(data, train=make_split(97, 5))
    assert study(quick, other_data, base={**BASE, "hidden": 9}, **options).source == "computed"
    assert len(json.loads((folder / "n.json").read_text(encoding="utf-8"))["runs"]) == 4


def test_shipped_results_are_read_and_never_written(data, tmp_path, folder, monkeypatch):
    options = {"base": BASE, "factors": {"lr": [1, 2]}, "n_jobs": 1, "name": "s"}
    monkeypatch.setenv("COURSEKIT_STUDIES", str(store.SHIPPED))
    study(quick, data, **options, seeds=2)
    shipped = (store.SHIPPED / "s.json").read_bytes()
    monkeypatch.setenv("COURSEKIT_STUDIES", str(folder))
    assert study(quick, data, **options, seeds=2).source == "4 of 4 runs from the package's s.json"
    assert not folder.exists()
    more = study(quick, data, **options, seeds=3)
    assert more.source == "4 of 6 runs from the package's s.json"
    assert study(quick, data, **options, seeds=3).source == "6 of 6 runs from your s.json"
    other = study(quick, data, **{**options, "base": {**BASE, "hidden": 9}}, seeds=2)
    assert other.source == "computed"
    assert (store.SHIPPED / "s.json").read_bytes() == shipped


def test_results_lie_in_the_cache_unless_told_otherwise(data, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSEKIT_STUDIES")
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    study(quick, data, base=BASE, factors={"lr": [1, 2]}, seeds=1, n_jobs=1, name="c")
    assert [p.name for p in (tmp_path / "cache" / "studies").iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"[1]",
        lambda text: b"\xff",
        lambda text: text.replace(b'"seed"', b'"sed"'),
        lambda text: b"[" * 100_000,
        lambda text: b'{"schema": 1, "hash": "", "runs": [{"metrics": []}]}',
        lambda text: b'{"schema": 1, "hash": "", "runs": [{"metrics": {"a": 1%s}}]}' % (b"0" * 400),
    ],
)
def test_a_damaged_file_is_not_used_and_is_replaced(data, folder, damage):
    options = {"base": BASE, "factors": {"lr": [1, 2]}, "seeds": 2, "n_jobs": 1, "name": "d"}
    first = study(quick, data, **options)
    path = folder / "d.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"d\.json: found a damaged file"):
        again = study(quick, data, **options)
    assert again.source == "computed"
    same(first, again)
    assert study(quick, data, **options).source == "4 of 4 runs from your d.json"


def test_a_linked_file_of_another_study_is_kept(data, folder, tmp_path):
    options = {"factors": {"lr": [1, 2]}, "seeds": 1, "n_jobs": 1, "name": "l"}
    folder.mkdir()
    (folder / "l.json").symlink_to(tmp_path / "elsewhere.json")
    study(quick, data, base=BASE, **options)
    before = (tmp_path / "elsewhere.json").read_bytes()
    study(quick, data, base={**BASE, "hidden": 9}, **options)
    (kept,) = folder.glob("l.*.json")
    assert kept.read_bytes() == before and not kept.is_symlink()
    assert (folder / "l.json").is_symlink()
    for base in (BASE, {**BASE, "hidden": 9}):
        assert study(quick, data, base=base, **options).source.startswith(
            "2 of 2 runs from your l."
        )


# ---------------------------------------------------------------- where nothing can be written

FEW = {"base": BASE, "factors": {"lr": [1, 2]}, "n_jobs": 1, "name": "w"}


def disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def quota_used_up(*args, **kwargs):
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


def read_only(*args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system")


def broken(*args, **kwargs):
    raise OSError(errno.EIO, "Input/output error")


def a_file(folder, monkeypatch):
    folder.write_text("a file", encoding="utf-8")


def below_a_file(folder, monkeypatch):
    folder.write_text("a file", encoding="utf-8")
    monkeypatch.setenv("COURSEKIT_STUDIES", str(folder / "below"))


def a_folder_of_that_name(folder, monkeypatch):
    (folder / "w.json").mkdir(parents=True)


def when(method, error):
    """Make a way to break every call of one method or function that writing needs."""

    def break_it(folder, monkeypatch):
        monkeypatch.setattr(*method, error)

    return break_it


WAYS = {
    "folder": (when((os, "mkdir"), read_only), "cannot be written to .Read-only"),
    "open": (when((Path, "write_bytes"), disk_full), "the disk is full: found .* MB free; needed"),
    "replace": (when((os, "replace"), disk_full), "the disk is full"),
    "quota": (when((os, "replace"), quota_used_up), "your quota on this disk is used up"),
    "disk": (when((os, "replace"), broken), "Input/output error"),
    "file": (a_file, "found a file on the way to this folder"),
    "below a file": (below_a_file, "found a file on the way to this folder"),
    "folder of that name": (a_folder_of_that_name, "cannot be written to .*w.json"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_written_stays_in_memory(data, folder, monkeypatch, way):
    break_it, said = WAYS[way]
    break_it(folder, monkeypatch)
    with pytest.warns(UserWarning) as caught:
        first = study(quick, data, **FEW, seeds=2)
        again = study(quick, data, **FEW, seeds=2)
        more = study(quick, data, **FEW, seeds=3)
    (told,) = [str(w.message) for w in caught if "are kept in memory" in str(w.message)]
    assert re.search(said, told) and "COURSEKIT_STUDIES" in told and "'w'" in told
    assert {w.filename for w in caught} == {__file__}
    assert first.source == "computed"
    assert again.source == "4 of 4 runs from memory (w.json could not be written)"
    assert more.source == "4 of 6 runs from memory (w.json could not be written)"
    same(first, again)
    assert list(more.frame()["seed"]) == [0, 1, 2] * 2
    assert not folder.is_dir() or [p.name for p in folder.iterdir() if p.is_file()] == []


def test_a_failed_write_leaves_the_old_file(data, folder, monkeypatch):
    study(quick, data, **FEW, seeds=1)
    before = (folder / "w.json").read_bytes()
    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.warns(UserWarning, match="the disk is full"):
        study(quick, data, **FEW, seeds=2)
    assert (folder / "w.json").read_bytes() == before
    assert [p.name for p in folder.iterdir()] == ["w.json"]
    again = study(quick, data, **FEW, seeds=2)
    assert again.source == "4 of 4 runs from memory (w.json could not be written)"


def test_a_disk_that_fills_midway_costs_no_run(data, folder, monkeypatch):
    """Two runs are on disk, the third cannot be written, the fourth breaks: three are kept."""
    replace_file, written = os.replace, []

    def fills_up(*paths):
        if len(written) == 2:
            disk_full()
        written.append(paths)
        replace_file(*paths)

    def breaks(settings, data, seed):
        if settings["stop"] and (settings["lr"], seed) == (2, 1):
            raise ZeroDivisionError
        return {"a": settings["lr"]}

    monkeypatch.setattr(os, "replace", fills_up)
    options = {**FEW, "base": {**BASE, "stop": True}}
    with pytest.warns(UserWarning, match="the disk is full"), pytest.raises(ZeroDivisionError):
        study(breaks, data, **options, seeds=2)
    kept = study(breaks, data, **{**options, "seeds": [0]})
    assert kept.source.startswith("2 of 2 runs from")
    (rows,) = store._unwritten.values()
    assert sorted(rows) == [("lr=1", 0), ("lr=1", 1), ("lr=2", 0)]
    assert [p.name for p in folder.iterdir()] == ["w.json"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_is_written_once_it_can_be(data, folder, monkeypatch, tmp_path, elsewhere):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", disk_full)
        with pytest.warns(UserWarning, match="kept in memory"):
            first = study(quick, data, **FEW, seeds=2)
    if elsewhere:
        folder = tmp_path / "elsewhere"
        monkeypatch.setenv("COURSEKIT_STUDIES", str(folder))
    same(first, study(quick, data, **FEW, seeds=2))
    assert study(quick, data, **FEW, seeds=2).source == "4 of 4 runs from your w.json"
    assert [p.name for p in folder.iterdir()] == ["w.json"]


def test_another_study_of_the_name_does_not_get_what_is_in_memory(data, monkeypatch):
    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.warns(UserWarning) as caught:
        study(quick, data, **FEW, seeds=1)
        other = study(quick, data, **{**FEW, "base": {**BASE, "hidden": 9}}, seeds=1)
    assert other.source == "computed" and len(caught) == 2
    assert study(quick, data, **FEW, seeds=1, recompute=True).source == "computed"
    assert study(quick, data, **FEW, seeds=1).source.startswith("2 of 2 runs from memory")


def test_equal_content_is_equal_bytes(data, folder, monkeypatch):
    def both(settings, data, seed):
        return {"b": settings["lr"] / 3, "a": settings["hidden"]}

    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    texts = []
    for base, levels in ((BASE, [1, 2]), (dict(reversed(BASE.items())), [2, 1])):
        factors = {"lr": levels, "hidden": levels}
        study(both, data, base=base, factors=factors, seeds=2, n_jobs=1, name="b", recompute=True)
        texts.append((folder / "b.json").read_bytes())
    assert texts[0] == texts[1]
    lines = texts[0].decode().splitlines(keepends=True)
    assert sum('"seed"' in line for line in lines) == 8  # one run a line: readable differences
    assert all(line.endswith("\n") and "\r" not in line for line in lines)


KILLED = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from coursekit.data import Dataset, Split
    from coursekit.training import study

    def run(settings, data, seed):
        with open(settings["log"], "a", encoding="utf-8") as file:
            file.write(f"{settings['lr']} {seed}\\n")
        while seed == 1 and settings["lr"] == 2 and not Path(settings["go"]).exists():
            time.sleep(0.01)
        rng = np.random.default_rng(seed)
        drawn = [y.sum() for _, y in data.batches(data.train, 8, rng=rng)]
        return {"score": settings["lr"] / 3 + drawn[0]}

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 255, (20, 3, 2, 2)).astype(np.uint8), rng.integers(3, size=20))
    data = Dataset("toy", split, split, split, tuple("abc"))
    base = {"lr": 0, "log": sys.argv[1], "go": sys.argv[2]}
    result = study(run, data, base=base, factors={"lr": [1, 2, 3]}, seeds=3, name="k", n_jobs=1)
    print(result.source)
    print(result.frame().drop(columns="seconds").to_csv())
"""


def test_a_killed_study_goes_on_and_gives_the_same_table(tmp_path, folder):
    script, log, go = (tmp_path / name for name in ("script.py", "log", "go"))
    script.write_text(textwrap.dedent(KILLED), encoding="utf-8")
    command = [sys.executable, str(script), str(log), str(go)]
    root = str(Path(__file__).resolve().parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}

    def finished():
        path = folder / "k.json"
        return len(json.loads(path.read_text(encoding="utf-8"))["runs"]) if path.exists() else 0

    process = subprocess.Popen(command, env=env)
    while finished() < 4:  # the fifth waits for a file that is not there
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    go.touch()

    def finish():
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout.split("\n", 1)

    source, table = finish()
    assert source == "4 of 9 runs from your k.json"
    started = log.read_text(encoding="utf-8").splitlines()
    assert len(started) <= 9 + 1  # nothing is run twice but what was under way
    (folder / "k.json").unlink()
    source, undisturbed = finish()
    assert source == "computed" and undisturbed == table


# ---------------------------------------------------------------- the hash

SOURCE = '''
    import numpy as np
    from coursekit import nn

    SCALE = 2.0
    NAMES = ("a", ["b", None])

    class Layer(nn.Module):
        """Doc."""

        slope = 0.1

        def forward(self, x):
            """Doc."""
            return np.maximum(x, self.slope * x)

    def inner(x, *, power=3):
        return x**power

    def helper(x: float) -> float:
        # a comment
        return inner(x) * SCALE

    def run(settings, data, seed, epochs=6 if SCALE > 1 else 2):
        """Train."""
        make = lambda: Layer()
        values = [helper(v) for v in (1, 2.5, -3)]
        text = f"{settings['lr']:.3g} of {len(values)!r}" "joined"
        with np.errstate(all="ignore"):
            return {"a": sum(values), NAMES[0]: make is not None and text != b"x"}
'''


def compiled(source):
    """The function ``run`` of a module made from text, whose source can be read, as in a cell."""
    source = textwrap.dedent(source)
    name = f"<cell {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = {"__name__": "notebook"}
    exec(compile(source, name, "exec"), scope)
    return scope["run"]


def code_hash(source):
    return hash_of(describe_code(compiled(source)))


def test_the_hash_is_the_same_on_every_python_and_machine(data):
    """The suite runs on every Python we support, and this number is one."""
    assert code_hash(SOURCE) == "d44b71bfa632000f"
    assert describe_data(data) == {
        "name": "toy",
        "train": 97,
        "val": 40,
        "test": 40,
        "checksum": "82e953d6",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""Train."""', '"""Train more."""'),
        ('        """Train."""\n', ""),
        ("return inner(x) * SCALE", "return (inner(x)\n\n            * SCALE)"),
        (
            'f"{settings[\'lr\']:.3g} of {len(values)!r}" "joined"',
            "f\"{settings['lr']:.3g} of {len(values)!r}joined\"",
        ),
        ("SCALE = 2.0", "SCALE = 1.0 + 1.0; UNUSED = 3"),
        ("return x**power", "return x ** power  # cubed"),
    ],
)
def test_the_hash_does_not_see_how_code_is_written(old, new):
    assert old in SOURCE
    assert code_hash(SOURCE.replace(old, new)) == code_hash(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2.0", "SCALE = 2.5"),
        ('["b", None]', '["b", 0]'),
        ("power=3", "power=4"),
        ("return x**power", "return x**power + 1"),
        ("(1, 2.5, -3)", "(1, 2.5, 3)"),
        ("slope = 0.1", "slope = 0.2"),
        ("np.maximum(x", "np.minimum(x"),
        ("* SCALE", "/ SCALE"),
        ("epochs=6 if", "epochs=7 if"),
        ("nn.Module", "nn.Linear"),
        ("import numpy as np", "import math as np"),
        ("1 else 2", "3 else 2"),
        ('b"x"', '"x"'),
        (":.3g}", ":.4g}"),
    ],
)
def test_the_hash_sees_a_change(old, new):
    assert old in SOURCE
    text = SOURCE.replace(old, new)
    try:
        assert code_hash(text) != code_hash(SOURCE)
    finally:
        linecache.clearcache()


def test_a_default_counts_with_its_value():
    """``epochs=6 if FULL else 2`` reads the same at both budgets."""
    text = SOURCE.replace("6 if SCALE > 1 else 2", "LONG").replace(
        "SCALE =", "LONG = 1\n    SCALE ="
    )
    assert code_hash(text) != code_hash(text.replace("LONG = 1", "LONG = 2"))


def test_functions_that_call_each_other_end(data):
    text = """
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    def run(settings, data, seed):
        return {"a": even(settings["lr"]), "b": run is None}
    """
    assert code_hash(text) != code_hash(text.replace("n != 0", "n > 0"))


def test_a_function_inside_a_function_is_followed_through_its_closure():
    def make(
        scale,
        text="""
not indented
""",
    ):
        def helper(x):
            return scale * x

        def run(settings, data, seed):
            """Doc
            at the margin."""
            return {"a": helper(settings["lr"]), "b": len(text)}

        return run

    one, two, again = (hash_of(describe_code(make(scale))) for scale in (1, 2, 1))
    assert one == again != two


def test_a_local_name_is_not_taken_for_a_global_one_that_is_spelt_alike():
    text = """
    scale = object()

    def run(settings, data, seed):
        scale = settings["lr"]
        return {"a": sum(scale * i for i in range(3))}
    """
    assert code_hash(text) == code_hash(text.replace("object()", "1"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("np.ones(3)", "names 'THING', a ndarray defined outside"),
        ("object()", "names 'THING', a object defined outside"),
        ("eval('lambda: 1')", "the source of <lambda> cannot be read"),
    ],
)
def test_what_a_hash_cannot_see_is_refused(data, value, message):
    text = f"""
    import numpy as np
    THING = {value}

    def run(settings, data, seed):
        return {{"a": settings["lr"] + (THING is None)}}
    """
    hidden = compiled(text)
    options = {"base": BASE, "factors": {"lr": [1, 2]}, "seeds": 1, "n_jobs": 1}
    with pytest.raises(StudyError, match=message):
        study(hidden, data, **options, name="hidden")
    assert len(study(hidden, data, **options).frame()) == 2  # nothing kept, nothing to hash


def test_a_run_without_source_is_refused(data):
    with pytest.raises(StudyError, match="run: got .*lambda.*needed a function made with def"):
        study(lambda s, d, n: {"a": s["lr"]}, data, base=BASE, factors={"lr": [1, 2]}, name="l")
    scope = {"__name__": "nowhere"}
    exec("def run(settings, data, seed):\n    return {'a': settings['lr']}", scope)
    with pytest.raises(OSError):
        inspect.getsource(scope["run"])
    with pytest.raises(StudyError, match="source of run cannot be read"):
        study(scope["run"], data, base=BASE, factors={"lr": [1, 2]}, name="x")


def test_settings_that_differ_in_the_last_digit_are_one_study(data):
    """``np.geomspace`` does not give the same last bits on every machine."""
    options = {"base": BASE, "seeds": 1, "n_jobs": 1, "name": "ulp"}
    levels = np.geomspace(0.001, 1, 4)
    study(quick, data, **options, factors={"lr": levels})
    again = study(quick, data, **options, factors={"lr": np.nextafter(levels, 9)})
    assert again.source == "4 of 4 runs from your ulp.json"


def test_diverged_error_of_ones_own(data):
    def gives_up(settings, data, seed):
        if settings["lr"] == 2:
            raise TrainingDivergedError("my own loop blew up")
        return {"a": 1.0}

    table = study(gives_up, data, base=BASE, factors={"lr": [1, 2]}, seeds=1, n_jobs=1).frame()
    assert list(table["diverged"]) == [False, True]
