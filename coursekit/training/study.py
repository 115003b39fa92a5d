"""Controlled comparisons: arms × seeds under one base configuration (lesson 2).

What makes them controlled stands in ``study_guard.py`` (what is declared) and ``study_audit.py``
(what is measured), what is kept of them in ``study_store.py``, and when that is no longer valid
in ``study_hash.py``.
"""

import copy
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from joblib import effective_n_jobs

import coursekit
from coursekit.data.dataset import Dataset
from coursekit.training.parallel import run_jobs
from coursekit.training.study_audit import (
    AuditedDataset,
    StreamGuard,
    WatchedSettings,
    check_read,
)
from coursekit.training.study_guard import TAKEN, Settings, StudyError, arms_of, canonical
from coursekit.training.study_hash import describe_code, describe_data, hash_of
from coursekit.training.study_store import Row, RunKey, Store, rounded
from coursekit.training.trainer import TrainingDivergedError

if TYPE_CHECKING:
    import pandas as pd

Run = Callable[[Settings, Dataset, int], Mapping[str, float]]

_AFTER = ("diverged", "pictures", "seconds")  # columns of the table after the metrics


@dataclass(frozen=True, repr=False)
class StudyResult:
    """What every run of a study measured.

    Attributes:
        arms: for each arm's name the complete settings its runs were given.
        varies: the settings that differ between arms.
        seeds: one run of each arm for each of them.
        named: whether the arms have names of their own, or are combinations of levels.
        source: where the numbers are from: "computed", or "12 of 20 runs from ...".
    """

    arms: Mapping[str, Settings]
    varies: tuple[str, ...]
    seeds: tuple[int, ...]
    named: bool
    source: str
    _rows: tuple[Row, ...]

    def __repr__(self) -> str:
        what = ", ".join(self.varies)
        return (
            f"StudyResult: {what}; {len(self.arms)} arms x {len(self.seeds)} seeds, {self.source}"
        )

    def frame(self) -> "pd.DataFrame":
        """One row a run, arm by arm: what varies, seed, metrics, and how the run went.

        Named arms have their name in a column ``arm``. A run that diverged has ``diverged`` true
        and nan for every metric; ``frame().fillna({"val_accuracy": 0.1})`` scores it as chance.
        ``pictures`` counts the training pictures the run drew, ``seconds`` is what it took.
        """
        import pandas as pd

        measured = pd.DataFrame(
            [{"seed": r["seed"], **r["metrics"], **{k: r[k] for k in _AFTER}} for r in self._rows]
        )
        order = [name for name in measured if name not in _AFTER] + list(_AFTER)
        return pd.concat(
            [self._settings(row["arm"] for row in self._rows), measured[order]], axis=1
        )

    def summary(self, metric: str = "val_accuracy") -> "pd.DataFrame":
        """One row an arm: what varies; mean, sd and number of its runs; band; how many diverged.

        ``band`` is half the width of the 95 % interval of Student's t for the mean, in which
        the mean of many more seeds would lie for 95 of 100 such studies. A run that diverged, or
        whose metric is no finite number, has no value and counts in ``diverged`` alone.
        """
        import pandas as pd
        from scipy import stats

        frame = self.frame()
        settings = self._settings(self.arms)
        measured = [n for n in frame if n not in settings and n not in ("seed", *_AFTER)]
        if not measured:  # every run diverged, so no name of a metric is known
            frame[metric] = np.nan
        elif metric not in measured:
            raise StudyError(f"metric: got {metric!r}; needed one of {measured}")
        frame[metric] = frame[metric].where(np.isfinite(frame[metric]))
        frame["diverged"] |= frame[metric].isna()
        # Rows come arm by arm, so a run's arm is known from its place.
        groups = frame.groupby(np.arange(len(frame)) // len(self.seeds))
        table = groups[metric].agg(mean="mean", sd="std", n="count")
        freedom = (table["n"] - 1).where(table["n"] > 1)
        table["band"] = stats.t.ppf(0.975, freedom) * groups[metric].sem()
        return pd.concat([settings, table, groups["diverged"].sum()], axis=1)

    def _settings(self, arms: Iterable[str]) -> "pd.DataFrame":
        """What varies, one row for each of ``arms``."""
        import pandas as pd

        arms = list(arms)
        columns = {n: [_hashable(self.arms[arm][n]) for arm in arms] for n in self.varies}
        if self.named:
            columns = {"arm": arms, **columns}
        # As an object None stays None; pandas would make it nan.
        return pd.DataFrame(
            {n: pd.Series(v, dtype=object if None in v else None) for n, v in columns.items()}
        )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # a list cannot be grouped by


def study(
    run: Run,
    data: Dataset,
    *,
    base: Mapping[str, Any],
    factors: Mapping[str, Iterable] | None = None,
    arms: Mapping[str, Mapping[str, Any]] | None = None,
    varies: Collection[str] = (),
    seeds: int | Iterable[int] = 5,
    name: str | None = None,
    n_jobs: int = -1,
    data_factors: Collection[str] = (),
    recompute: bool | Literal["never"] = False,
) -> StudyResult:
    """Run every arm with every seed, and refuse a comparison that would not be fair.

    Arms differ from ``base`` in nothing but what is declared, and this is checked before anything
    runs. Arms of one seed must draw the same training pictures in the same order, and this is
    measured: every shuffled batch that ``data.batches`` hands out, or that ``port.Trainer`` makes
    on its device, is noted. (A run that shuffles ``data.train.images`` itself, or whose pictures
    come through ``port.Trainer(loader=...)``, is not seen; its ``pictures`` in the table are 0.)
    And a setting that is declared to vary must be one that some run reads.

    Runs go over all cores, or over a cluster inside
    ``with joblib.parallel_config(backend="dask")`` (or "ray"), each on one thread. Every finished
    run is saved, so an interrupted study goes on where it was: ``<name>.json`` in the folder
    ``COURSEKIT_STUDIES``, else in the user's cache. Where it cannot be written, a warning says why,
    and the runs stay in memory: the same study finds them again in this process, and writes them
    once it can. Results that come with the package are used where they fit. They fit if a hash
    says so, of ``base``, the arms, the data, and the code of ``run`` with all functions, classes
    and constants of its own module or notebook that it uses; comments, docstrings and layout do
    not count. The hash does not see other modules: after a change in coursekit or another package
    ask for ``recompute``.

    Args:
        run: ``run(settings, data, seed)`` trains and returns numbers by name. It may run in
            another process. :class:`TrainingDivergedError` counts as a result; any other error
            ends the study.
        data: what every run gets.
        base: all settings; numbers, strings, booleans, None, or lists of those.
        factors: for each setting that varies its levels; the arms are all combinations.
        arms: instead of ``factors``, for each arm's name what it changes.
        varies: with ``arms``, the settings they may change.
        seeds: how many, counted from 0, or which.
        name: of the file of results; None keeps nothing.
        n_jobs: processes; -1 uses every core.
        data_factors: settings that are meant to change which pictures are drawn.
        recompute: True runs everything anew, as ``COURSEKIT_RECOMPUTE=1`` does. "never" takes the
            stored results even where code, settings or data have changed since, and
            `StudyResult.source` says so; a run that is not stored is an error.
            ``COURSEKIT_RECOMPUTE=never`` does the same and computes what is not stored.

    Raises:
        StudyError: arms that cannot be compared, or settings or code that cannot be kept; the
            message names arm and setting.
    """
    changes, declared = arms_of(base, factors, arms, varies)
    settings = {arm: {**base, **new} for arm, new in changes.items()}
    seeds = _seeds(seeds)
    for factor in data_factors:
        if factor not in declared:
            raise StudyError(f"data_factors: {factor!r} is not among what varies, {list(declared)}")
    header = _header(run, data, base, changes) if name is not None else {}
    asked = _asked_to_recompute(recompute)
    store = Store(name, header, recompute=asked is True)
    wanted = [(arm, seed) for arm in settings for seed in seeds]
    if asked == "never":
        store.take_others(wanted)
        if recompute == "never":
            _check_complete(store, wanted)
    guard = StreamGuard(data_factors)
    for arm, seed in wanted:
        if (arm, seed) in store.rows:
            guard.check(store.rows[arm, seed], settings[arm])
    source = _source(store, wanted)
    # Seed by seed, so that an unfair comparison comes out early.
    missing = [(arm, seed) for seed in seeds for arm in settings if (arm, seed) not in store.rows]
    if missing:
        _tell_how_long(store, missing, n_jobs)
        prototype = AuditedDataset.of(data)
        jobs = [(run, arm, settings[arm], prototype, seed) for arm, seed in missing]
        done, total = len(wanted) - len(missing), len(wanted)
        # Closed at once where something is wrong: else the other runs would go on.
        with closing(
            run_jobs(_run_one, jobs, total=total, done=done, n_jobs=n_jobs, order="finished")
        ) as finished:
            for row in finished:
                guard.check(row, settings[row["arm"]])
                store.add(row)
    rows = tuple(store.rows[key] for key in wanted)
    check_read(declared, rows)
    return StudyResult(settings, declared, seeds, arms is not None, source, rows)


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    chosen = tuple(range(seeds)) if isinstance(seeds, (int, np.integer)) else tuple(seeds)
    whole = all(isinstance(s, (int, np.integer)) and s >= 0 for s in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen):
        raise StudyError(
            f"seeds: got {seeds!r}; needed how many (at least 1), or different whole numbers >= 0"
        )
    return tuple(int(s) for s in chosen)


def _asked_to_recompute(recompute: bool | Literal["never"]) -> bool | Literal["never"]:
    """What the argument says, else the environment."""
    if recompute == "never" or isinstance(recompute, (bool, np.bool_)):
        if recompute:
            return "never" if recompute == "never" else True
    else:
        raise StudyError(f"recompute: got {recompute!r}; needed True, False or 'never'")
    chosen = os.environ.get("COURSEKIT_RECOMPUTE") or "0"
    if chosen not in ("0", "1", "never"):
        raise StudyError(f"COURSEKIT_RECOMPUTE: got {chosen!r}; needed 0, 1 or never")
    return "never" if chosen == "never" else chosen == "1"


def _check_complete(store: Store, wanted: list[RunKey]) -> None:
    for arm, seed in wanted:
        if (arm, seed) not in store.rows:
            raise StudyError(
                f"recompute: got 'never', but no stored result has arm {arm!r} with seed {seed}; "
                "leave it out to compute what is missing"
            )


def _tell_how_long(store: Store, missing: list[RunKey], n_jobs: int) -> None:
    """Say before minutes are spent on what is stored for other code, settings or data."""
    if any(key not in store.others for key in missing):
        return
    seconds = sum(store.others[key]["seconds"] for key in missing)
    minutes = seconds / min(effective_n_jobs(n_jobs), len(missing)) / 60
    if minutes >= 1:
        print(
            f"Study {store.header['name']}: computing {len(missing)} runs, about {minutes:.0f} "
            "minutes by the stored runs' times, because code, settings or data differ from theirs. "
            'To take the stored results instead, interrupt and pass recompute="never", or set '
            "COURSEKIT_RECOMPUTE=never."
        )


def _header(
    run: Run, data: Dataset, base: Mapping[str, Any], changes: Mapping[str, Settings]
) -> dict[str, Any]:
    """What a file of results says of its study; equal everywhere for an equal study."""

    def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: canonical(name, value) for name, value in settings.items()}

    header = {
        "arms": {arm: plain(new) for arm, new in changes.items()},
        "base": plain(base),
        "code": hash_of(describe_code(run)),
        "data": describe_data(data),
    }
    return {**header, "hash": hash_of(header), "version": coursekit.__version__}


def _source(store: Store, wanted: list[RunKey]) -> str:
    counts = Counter(store.origin[key] for key in wanted if key in store.origin)
    if not counts:
        return "computed"
    return ", ".join(f"{n} of {len(wanted)} runs from {file}" for file, n in counts.items())


def _run_one(run: Run, arm: str, settings: Settings, data: AuditedDataset, seed: int) -> Row:
    """One run: what it measured and what it drew."""
    data = AuditedDataset.of(data)  # an audit of its own: threads share the one they are given
    watched = WatchedSettings(copy.deepcopy(settings))
    started = time.perf_counter()
    try:
        with np.errstate(all="ignore"):  # numbers that run away end in the error below
            metrics = _checked(run(watched, data, seed), arm, settings)
        diverged = False
    except TrainingDivergedError:
        metrics, diverged = {}, True
    return {
        "arm": arm,
        "seed": seed,
        "diverged": diverged,
        "metrics": metrics,
        "pictures": data.audit.pictures,
        "stream": f"{data.audit.checksum:08x}",
        "unread": sorted(watched.unread),
        "seconds": float(f"{time.perf_counter() - started:.3g}"),
    }


def _checked(metrics: Mapping[str, float], arm: str, settings: Settings) -> dict[str, float]:
    try:
        numbers = {name: rounded(float(metrics[name])) for name in sorted(metrics)}
    except (TypeError, ValueError, IndexError) as error:
        raise StudyError(
            f"run: arm {arm!r} returned {metrics!r}; needed numbers by name, "
            'as {"val_accuracy": 0.5}'
        ) from error
    for name in numbers:
        if name in TAKEN or name in settings:
            raise StudyError(f"run: the metric {name!r} has the name of another column")
    return numbers
