"""Take validation and training images out of one labelled set, every class in proportion."""

from __future__ import annotations

import numpy as np


def stratified(
    labels: np.ndarray, val_size: int, train_size: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the positions of the train and of the validation images.

    Both keep the classes in proportion (each class is off by less than one image) and the stored
    order. The validation images depend on the seed and `val_size` alone, so runs with fewer train
    images are judged on the same ones.

    Args:
        labels: (N,).
        val_size: number of validation images, 0 <= val_size < N.
        train_size: number of train images, 1 <= train_size <= N - val_size; None takes the rest.
        seed: whole number >= 0.

    Returns:
        (train, val): sorted positions, disjoint.

    Raises:
        ValueError: a size or seed that does not fit.
    """
    count = len(labels)
    _check_whole("seed", seed, 0, None)
    _check_whole("val_size", val_size, 0, count - 1)
    if train_size is None:
        train_size = count - val_size
    _check_whole("train_size", train_size, 1, count - val_size)

    rng = np.random.default_rng(seed)
    by_class = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    val, rest = _take(by_class, val_size)
    train, _ = _take(rest, train_size)
    return train, val


def _take(groups: list[np.ndarray], size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Take `size` positions from the fronts of the groups, in proportion to their lengths.

    Shares are rounded down, then the largest remainders get one more.
    """
    lengths = np.array([len(group) for group in groups])
    shares, remainders = np.divmod(lengths * size, lengths.sum())
    missing = size - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
    taken = np.sort(np.concatenate([g[:n] for g, n in zip(groups, shares, strict=True)]))
    return taken, [g[n:] for g, n in zip(groups, shares, strict=True)]


def _check_whole(name: str, value: object, low: int, high: int | None) -> None:
    if (
        not isinstance(value, (int, np.integer))
        or isinstance(value, bool)
        or value < low
        or (high is not None and value > high)
    ):
        limits = f">= {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: got {value!r}; needed a whole number {limits}")
