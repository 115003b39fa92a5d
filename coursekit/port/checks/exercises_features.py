"""Lesson 6's exercises on arrays: pictures prepared, subsets, a probe, and principal components."""

from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack
from coursekit.checks.properties import GlobalDraws, count, plausible
from coursekit.checks.second import another, labels, pictures, positive
from coursekit.port.checks import references_transfer as reference
from coursekit.port.checks.probe import to_array


def _array(value: Any, name: str, shape: tuple[int, ...]) -> NDArray:
    if isinstance(value, torch.Tensor):
        raise BadReturn(f"{name} should be a NumPy array, got a tensor")
    if not isinstance(value, np.ndarray) or value.shape != shape:
        came = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadReturn(f"{name} should be an array of shape {shape}, got {came}")
    return value


# --- pictures -----------------------------------------------------------------------------------


def _run_prepare(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    x = functions[0](inputs["images"], inputs["size"], inputs["mean"], inputs["std"])
    return {"its result": to_array(x, "its result", torch.float32)}


def _picture_cases(rng: Generator) -> list[Case]:
    def case(n: int, height: int, width: int, size: int) -> Case:
        inputs = {
            "images": rng.integers(0, 256, (n, 3, height, width), np.uint8),
            "size": size,
            "mean": rng.uniform(0.3, 0.6, 3),
            "std": rng.uniform(0.1, 0.4, 3),
        }
        return Case(f"{n} pictures of 3 × {height} × {width}, size {size}", inputs)

    return [case(4, 8, 8, 12), case(2, 16, 16, 5), case(3, 6, 10, 8), case(1, 7, 7, 7)]


register(
    Exercise(
        "prepare",
        ("prepare",),
        (reference.prepare,),
        _run_prepare,
        _picture_cases,
        second=another(images=pictures, mean=pictures, std=positive),
        rtol=1e-4,
        floats=(np.float64,),
    )
)


# --- subsets ------------------------------------------------------------------------------------


DRAWS = 400  # after which a pair of pictures is missing once in 10^10 times


def _run_subset(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    labels, per_class = inputs["labels"], inputs["per_class"]
    there = np.unique(labels)
    classes = [np.flatnonzero(labels == c) for c in there]
    watched = GlobalDraws()

    def draw(seed: int) -> NDArray:
        chosen = functions[0](labels, per_class, np.random.default_rng(seed))
        return _array(chosen, "its result", (per_class * len(there),))

    draws = np.stack(watched(list, map(draw, range(DRAWS))))
    if draws.dtype.kind not in "iu":
        raise BadReturn(f"its result should hold whole numbers, got {draws.dtype}")
    if draws.min() < 0 or draws.max() >= len(labels):
        raise BadReturn(f"its result should hold indices from 0 to {len(labels) - 1}")
    first = np.concatenate([own[:per_class] for own in classes])
    always_first = (np.sort(draws) == np.sort(first)).all() and len(first) < len(labels)
    chosen = np.zeros((DRAWS, len(labels)))
    chosen[np.arange(DRAWS)[:, None], draws] = 1
    together = chosen.T @ chosen  # how often each pair of pictures is chosen
    return {
        "pictures of each class": np.array([np.sum(labels[draws[0]] == c) for c in there]),
        "different pictures": float(len(np.unique(draws[0]))),
        "calls with the same rng seed that choose others": count(
            not np.array_equal(draws[0], draw(0))
        ),
        "draws that take the first of each class and leave nothing to chance": float(
            DRAWS * always_first
        ),
        f"pictures that are chosen in {DRAWS} draws": float(len(np.unique(draws))),
        f"pairs of a class that are never chosen together in {DRAWS} draws": float(
            sum(np.sum(together[np.ix_(own, own)] == 0) for own in classes) / 2
            if per_class > 1
            else 0
        ),
        "classes of which some pictures are chosen more often than others": count(
            *(
                not plausible(together.diagonal()[own], np.full(len(own), 1 / len(own)))
                for own in classes
            )
        ),
        f"series of {DRAWS} draws that use the global np.random": watched.calls,
    }


def _subset_cases(rng: Generator) -> list[Case]:
    def case(counts: dict[int, int], per_class: int) -> Case:
        labels = rng.permutation(np.repeat(list(counts), list(counts.values())))
        told = ", ".join(f"{n} of class {c}" for c, n in counts.items())
        return Case(f"{told}; {per_class} a class", {"labels": labels, "per_class": per_class})

    return [
        case({0: 12, 1: 12, 2: 12}, 4),
        case({0: 5, 1: 20, 2: 11}, 5),
        case({2: 9, 5: 8, 9: 10}, 3),
        case({0: 6, 1: 6}, 1),
    ]


register(
    Exercise(
        "balanced_subset",
        ("balanced_subset",),
        (reference.balanced_subset,),
        _run_subset,
        _subset_cases,
        second=another(labels=labels),
        floats=(np.float64,),
    )
)


# --- a probe ------------------------------------------------------------------------------------


def _run_probe(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    features, classes = inputs["features"], inputs["classes"]
    returned = functions[0](features, inputs["labels"], classes, inputs["strength"])
    parts = unpack(returned, "it", "weight", "bias")
    return {
        "the weight": _array(parts["weight"], "the weight", (classes, features.shape[1])),
        "the bias": _array(parts["bias"], "the bias", (classes,)),
    }


def _probe_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, classes: int, strength: float, offset: float = 1.0) -> Case:
        labels = rng.integers(0, classes, n)
        features = offset + rng.standard_normal((n, d)) + rng.standard_normal((classes, d))[labels]
        if offset > 1:
            labels = np.minimum(labels, classes - 2)  # the last class does not occur
            features[:, 0] = offset
        inputs = {"features": features, "labels": labels, "classes": classes, "strength": strength}
        told = ", one of them constant, and a class that does not occur" * (offset > 1)
        return Case(f"{n} pictures, {d} features{told}, {classes} classes, {strength:g}", inputs)

    return [
        case(30, 5, 3, 2.0),
        case(8, 20, 3, 0.5),
        case(40, 4, 4, 3.0, offset=20.0),
        case(12, 3, 2, 100.0),
        case(25, 4, 2, 0.01),
    ]


register(
    Exercise(
        "linear_probe",
        ("linear_probe",),
        (reference.linear_probe,),
        _run_probe,
        _probe_cases,
        second=another(labels=labels),
        rtol=1e-6,
        floats=(np.float64,),
    )
)


# --- principal components -------------------------------------------------------------------------


def _run_pca(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    features, k = inputs["features"], inputs["k"]
    parts = unpack(functions[0](features, k), "it", "coordinates", "shares")
    coordinates = _array(parts["coordinates"], "coordinates", (len(features), k)).copy()
    for column in coordinates.T:  # the sign of a direction is nobody's choice
        column *= np.sign(column[np.argmax(np.abs(column))]) or 1
    return {
        "the coordinates, up to signs": coordinates,
        "the shares": _array(parts["shares"], "the shares", (k,)),
    }


def _pca_cases(rng: Generator) -> list[Case]:
    def case(n: int, d: int, k: int, offset: float = 1.0) -> Case:
        spread = np.sort(rng.uniform(0.3, 1, d)) ** 2 * np.linspace(0.5, 3, d)
        mixed = np.linalg.qr(rng.standard_normal((d, d)))[0]
        features = (rng.standard_normal((n, d)) * spread) @ mixed + offset * np.arange(d)
        told = f"{n} pictures, {d} features, k = {k}" + ", far from 0" * (offset > 1)
        return Case(told, {"features": features, "k": k})

    return [case(30, 6, 2), case(7, 12, 3), case(20, 4, 4, offset=50.0), case(15, 5, 1)]


register(
    Exercise(
        "pca",
        ("pca",),
        (reference.pca,),
        _run_pca,
        _pca_cases,
        rtol=1e-6,
        floats=(np.float64,),
    )
)
