"""The mistakes behind a confusion matrix (lesson 3, "The filter atlas")."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit import functional as F
from coursekit.nn.init import check_sizes


@dataclass(frozen=True)
class Confusion:
    """One cell of a confusion matrix off its diagonal.

    Attributes:
        true: what the pictures show.
        predicted: what the net says.
        count: how many pictures lie in the cell.
        pictures: indices of those it was surest of, surest first.
        confidence: the probability it gave its answer, for each of them.
    """

    true: int
    predicted: int
    count: int
    pictures: NDArray[np.int64]
    confidence: NDArray


def confusions(
    logits: NDArray, labels: ArrayLike, *, cells: int = 6, pictures: int = 6
) -> list[Confusion]:
    """The largest cells off the diagonal, and the surest mistakes in each.

    Args:
        logits: (N, classes).
        labels: true classes, (N,).
        cells: how many to return; fewer if fewer hold a mistake.
        pictures: at most so many mistakes a cell.

    Returns:
        The largest cell first.

    Raises:
        ValueError: ``labels`` is not one class for each row of ``logits``, or those are not finite.
    """
    check_sizes(cells=cells, pictures=pictures)
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or not logits.size or not np.isfinite(logits).all():
        raise ValueError(
            f"logits: got {logits.dtype} of shape {logits.shape}; needed finite numbers "
            "(N, classes)"
        )
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be {len(logits)} whole numbers, one a row of logits; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f"labels: got classes from {labels.min()} to {labels.max()}; needed 0 to "
            f"{logits.shape[1] - 1}, the columns of logits"
        )
    predicted = logits.argmax(axis=1)
    confidence = F.softmax(logits).max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    pairs = np.stack([labels[wrong], predicted[wrong]], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    found = []
    for place in np.argsort(-counts, kind="stable")[:cells]:
        these = wrong[(pairs == kinds[place]).all(axis=1)][:pictures]
        true, answer = (int(c) for c in kinds[place])
        found.append(Confusion(true, answer, int(counts[place]), these, confidence[these]))
    return found
