"""Random and grid search with k-fold cross-validation (lesson 1, "Let the machine search").

scikit-learn draws the candidates and the folds, joblib runs them: over the cores of one machine,
or on a cluster inside ``with joblib.parallel_config(backend="dask")`` (or "ray").
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit.data.dataset import Dataset, Split, check_dataset
from coursekit.training.loop import TrainingDivergedError
from coursekit.training.parallel import run_jobs

if TYPE_CHECKING:
    import pandas as pd

Params = dict[str, Any]
SHOWN = 5  # rows of a result at the end of a cell
Score = Callable[[Params, Dataset, int], float]


@dataclass(frozen=True, repr=False)
class SearchResult:
    """Candidates and their scores; shown at the end of a cell as a table of the best.

    Attributes:
        candidates: the settings tried, in the order in which they were drawn.
        scores: array (candidates, folds). A run that diverged, or whose score is no finite
            number, has minus infinity, and its candidate ranks last.
    """

    candidates: list[Params]
    scores: np.ndarray

    @property
    def best(self) -> Params:
        """The settings with the highest mean score.

        Raises:
            ValueError: every candidate diverged in some fold.
        """
        if not np.isfinite(self.scores).all(axis=1).any():
            raise ValueError(
                f"best: got {len(self.candidates)} candidates that all diverged; needed one that "
                "trains in every fold, perhaps with a smaller learning rate"
            )
        return self.candidates[int(self.scores.mean(axis=1).argmax())]

    def __repr__(self) -> str:
        return f"{self._counts()}\n{self.frame().head(SHOWN).to_string()}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return f"<p>{self._counts()}</p>{self.frame().head(SHOWN).to_html()}"

    def _counts(self) -> str:
        candidates, folds = self.scores.shape
        return f"SearchResult: {candidates:,} candidates in {folds} folds, best first"

    def frame(self) -> "pd.DataFrame":
        """One row a candidate, best first: its settings, mean and sd over the folds."""
        import pandas as pd

        table = pd.DataFrame(self.candidates)
        table["mean"] = self.scores.mean(axis=1)
        with np.errstate(invalid="ignore"):  # nan where a run diverged
            table["sd"] = self.scores.std(axis=1, ddof=1)
        return table.sort_values("mean", ascending=False, ignore_index=True, kind="stable")


def random_search(
    score: Score,
    distributions: Mapping[str, Any],
    data: Dataset,
    *,
    n_iter: int = 10,
    folds: int = 3,
    seed: int = 0,
    n_jobs: int = -1,
) -> SearchResult:
    """Score ``n_iter`` random settings by cross-validation.

    Args:
        score: ``score(params, fold, seed)`` trains on ``fold.train`` and returns a number for
            ``fold.val``, higher is better. It may run in another process.
            :class:`TrainingDivergedError` counts as the worst score; any other error ends the
            search.
        distributions: for each name a list or anything with ``rvs``, such as
            ``scipy.stats.loguniform``.
        data: its train pictures are dealt into folds; val and test stay out of sight.
        n_iter: how many settings.
        folds: how many parts; every setting is scored once with each part held out.
        seed: fixes settings and folds.
        n_jobs: processes; -1 uses every core. More than one limits BLAS to one thread in each.
    """
    from sklearn.model_selection import ParameterSampler

    candidates = list(ParameterSampler(distributions, n_iter, random_state=seed))
    return cross_validate(score, candidates, data, folds=folds, seed=seed, n_jobs=n_jobs)


def grid_search(
    score: Score,
    grid: Mapping[str, Iterable],
    data: Dataset,
    *,
    folds: int = 3,
    seed: int = 0,
    n_jobs: int = -1,
) -> SearchResult:
    """Score every combination of a grid; arguments as in :func:`random_search`."""
    from sklearn.model_selection import ParameterGrid

    return cross_validate(
        score, list(ParameterGrid(grid)), data, folds=folds, seed=seed, n_jobs=n_jobs
    )


def cross_validate(
    score: Score,
    candidates: list[Params],
    data: Dataset,
    *,
    folds: int = 3,
    seed: int = 0,
    n_jobs: int = -1,
) -> SearchResult:
    """Score given settings on the same stratified folds."""
    from sklearn.model_selection import StratifiedKFold

    check_dataset("data", data)
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    if not candidates:
        raise ValueError("candidates must hold at least one setting, got none")
    labels = data.train.labels
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    parts = [_fold(data, train, held) for train, held in splitter.split(labels, labels)]
    jobs = [(score, params, part, seed) for params in candidates for part in parts]
    scores = list(
        run_jobs(
            _score_one,
            jobs,
            total=len(jobs),
            n_jobs=n_jobs,
            one_thread=n_jobs != 1,
            kept="; an unfinished search keeps none of them",
        )
    )
    return SearchResult(candidates, np.array(scores).reshape(len(candidates), folds))


def _fold(data: Dataset, train: np.ndarray, held: np.ndarray) -> Dataset:
    """A data set whose train and val are parts of ``data.train``, and whose test is empty."""
    images, labels = data.train.images, data.train.labels
    return replace(
        data,
        train=Split(images[train], labels[train]),
        val=Split(images[held], labels[held]),
        test=Split(images[:0], labels[:0]),
    )


def _score_one(score: Score, params: Params, part: Dataset, seed: int) -> float:
    # A run that blew up is the worst there is, not a reason to lose the others.
    try:
        with np.errstate(all="ignore"):  # numbers that run away end in the error below
            value = score(copy.deepcopy(params), part, seed)  # it may pop what it has used
    except TrainingDivergedError:
        return -np.inf
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"score: got {type(value).__name__} for {params}; needed a number, higher is better"
        ) from error
    return number if np.isfinite(number) else -np.inf
