"""Wrong ways to fit a probe, and to find principal components."""

import numpy as np

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks import references_transfer as right

PROBE, PCA = "linear_probe", "pca"


# --- a probe ----------------------------------------------------------------------------------


def _solved(x, y, strength):
    return np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y).T


def _centred(features, labels, classes, strength, targets=None):
    y = np.eye(classes)[labels] if targets is None else targets
    centre, middle = features.mean(axis=0), y.mean(axis=0)
    weight = _solved(features - centre, y - middle, strength)
    return weight, middle - weight @ centre


@animal(PROBE, "hard to tell: answers drawn towards 0, the more the fewer pictures")
def bias_penalised(features, labels, classes, strength):
    """a column of ones is added and penalised with the rest; the bias should be free."""
    x = np.column_stack([features, np.ones(len(features))])
    both = _solved(x, np.eye(classes)[labels], strength)
    return both[:, :-1], both[:, -1]


@animal(PROBE, "a probe that must pass through 0")
def probe_without_bias(features, labels, classes, strength):
    """there is no bias: it is 0."""
    return _solved(features, np.eye(classes)[labels], strength), np.zeros(classes)


@animal(PROBE, "the best strength changes with the number of pictures")
def strength_times_pictures(features, labels, classes, strength):
    """the penalty is multiplied by the number of pictures; the squares are summed, not averaged."""
    return _centred(features, labels, classes, strength * len(features))


@animal(PROBE, "a penalty that is next to nothing")
def strength_over_pictures(features, labels, classes, strength):
    """the penalty is divided by the number of pictures."""
    return _centred(features, labels, classes, strength / len(features))


@animal(PROBE, "no penalty: an error, or huge weights, where features outnumber pictures")
def no_penalty(features, labels, classes, strength):
    """strength is not used."""
    return _centred(features, labels, classes, 1e-12)


@animal(PROBE, "scores from -1 to 1: the same answers, other numbers")
def targets_of_plus_and_minus(features, labels, classes, strength):
    """targets are -1 and 1; they should be 0 and 1."""
    targets = 2 * np.eye(classes)[labels] - 1
    return _centred(features, labels, classes, strength, targets)


@animal(PROBE, "scores shifted by a constant for each class")
def bias_without_the_centre(features, labels, classes, strength):
    """the bias is the targets' mean; the features' centre belongs to it as well."""
    weight, _ = _centred(features, labels, classes, strength)
    return weight, np.eye(classes)[labels].mean(axis=0)


@animal(PROBE, "scores that lack each class's share")
def targets_mean_forgotten(features, labels, classes, strength):
    """the targets' mean is missing from the bias."""
    weight, _ = _centred(features, labels, classes, strength)
    return weight, -weight @ features.mean(axis=0)


@animal(PROBE, "weights that explain the features' mean")
def not_centred(features, labels, classes, strength):
    """features and targets are not centred before they are solved for; the bias comes after."""
    y = np.eye(classes)[labels]
    weight = _solved(features, y, strength)
    return weight, y.mean(axis=0) - weight @ features.mean(axis=0)


@animal(PROBE, "'shapes not aligned' where the probe is used")
def weight_transposed(features, labels, classes, strength):
    """the weight is (D, classes); it should be (classes, D), as nn.Linear has it."""
    weight, bias = _centred(features, labels, classes, strength)
    return weight.T, bias


@animal(PROBE, "an error as soon as the last class does not occur")
def classes_from_labels(features, labels, classes, strength):
    """the number of classes is taken from the labels; classes may not occur."""
    return _centred(features, labels, int(labels.max()) + 1, strength)


@animal(PROBE, "a penalty that grows too fast")
def strength_squared(features, labels, classes, strength):
    """strength is squared."""
    return _centred(features, labels, classes, strength**2)


@animal(PROBE, "a probe that fits other features than those it is given")
def standardised(features, labels, classes, strength):
    """features are divided by their standard deviation, and the weight is not put right for it."""
    std = features.std(axis=0)
    std[std == 0] = 1
    weight, _ = _centred(features / std, labels, classes, strength)
    middle = np.eye(classes)[labels].mean(axis=0)
    return weight, middle - weight @ features.mean(axis=0)


# --- principal components -----------------------------------------------------------------------


def _decomposed(x):
    return np.linalg.svd(x, full_matrices=False)


@animal(PCA, "a first component that points to the mean")
def pca_not_centred(features, k):
    """features are not centred."""
    u, s, _ = _decomposed(features)
    return u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()


@animal(PCA, "each picture's mean is taken away, and not each feature's")
def rows_centred(features, k):
    """rows are centred (axis=1); columns should be."""
    u, s, _ = _decomposed(features - features.mean(axis=1, keepdims=True))
    return u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()


@animal(PCA, "features that hardly vary count as much as the rest")
def features_standardised(features, k):
    """features are divided by their standard deviation; only the mean should go."""
    return right.pca(features / features.std(axis=0), k)


@animal(PCA, "a picture of noise: the directions of least variance")
def smallest_first(features, k):
    """the directions of smallest variance are taken: eigh sorts upwards."""
    x = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    return x @ vectors[:, :k], values[:k] / values.sum()


@animal(PCA, "a picture that is mirrored at its diagonal")
def upwards(features, k):
    """the k directions are right and in the wrong order: the largest comes last."""
    coordinates, shares = right.pca(features, k)
    return coordinates[:, ::-1], shares[::-1]


@animal(PCA, "a round cloud, whatever the data")
def whitened(features, k):
    """coordinates are divided by the singular values, so that all directions look alike."""
    u, s, _ = _decomposed(features - features.mean(axis=0))
    return u[:, :k], s[:k] ** 2 / (s**2).sum()


@animal(PCA, "shares that are too equal")
def shares_of_singular_values(features, k):
    """shares are those of the singular values; variance is their square."""
    coordinates, _ = right.pca(features, k)
    s = _decomposed(features - features.mean(axis=0))[1]
    return coordinates, s[:k] / s.sum()


@animal(PCA, "k components that claim to explain everything")
def shares_among_k(features, k):
    """shares are of the k components together; they should be of all variance."""
    coordinates, shares = right.pca(features, k)
    return coordinates, shares / shares.sum()


@animal(PCA, "shares that rise")
def shares_added_up(features, k):
    """shares are added up; each component's own was asked for."""
    coordinates, shares = right.pca(features, k)
    return coordinates, np.cumsum(shares)


@animal(PCA, "variances where shares were expected")
def variances(features, k):
    """variances are returned; they should be divided by their sum."""
    coordinates, _ = right.pca(features, k)
    return coordinates, coordinates.var(axis=0)


@animal(PCA, "directions where coordinates were expected")
def directions(features, k):
    """the directions are returned; pictures' coordinates along them were asked for."""
    _, shares = right.pca(features, k)
    return _decomposed(features - features.mean(axis=0))[2][:k].T, shares


@animal(PCA, "a cloud that mixes all components")
def columns_for_rows(features, k):
    """columns of svd's third result are taken; directions are its rows."""
    x = features - features.mean(axis=0)
    _, s, vt = _decomposed(x)
    return x @ vt[: x.shape[1], :k] if len(vt) == x.shape[1] else x[:, :k], s[:k] ** 2 / (
        s**2
    ).sum()


@animal(PCA, "coordinates that lie beside the origin")
def centre_left_in(features, k):
    """directions come from centred features, coordinates from features as they are."""
    x = features - features.mean(axis=0)
    _, s, vt = _decomposed(x)
    return features @ vt[:k].T, s[:k] ** 2 / (s**2).sum()
