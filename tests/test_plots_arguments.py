"""What plots take: they refuse the rest in one sentence and never show a wrong value."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from coursekit import plots
from coursekit.training import History

U8 = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
NAMES = ["cat", "dog"]
FRAME = pd.DataFrame({"lr": [0.1, 1.0], "wd": [0.0, 0.1], "mean": [0.5, np.nan]})


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def sheet_of(images):
    fig = plots.image_grid(images, columns=len(images))
    return np.asarray(fig.axes[0].images[0].get_array())


# Everything that shows pictures.
SHOWN = {
    "image_grid": lambda images: plots.image_grid(images, columns=2),
    "predictions": lambda images: plots.predictions(images, np.full((2, 2), 0.5), NAMES),
    "activation_maps": lambda images: plots.activation_maps(images[0], {"a": np.ones((2, 3, 3))}),
    "top_patches": lambda images: plots.top_patches(images, [[0, 1]], [[[0, 0, 2, 2]] * 2], [7]),
    "heat_overlays": lambda images: plots.heat_overlays(images, {"a": np.ones((2, 4, 4))}),
    "confusion_gallery": lambda images: plots.confusion_gallery(
        images, [0, 1], [1, 0], NAMES, [[0], [1]]
    ),
}

PICTURES = {
    "int64": (U8.astype(np.int64), "got int64; needed uint8"),
    "bool": (U8 > 9, "got bool; needed uint8"),
    "levels as floats": (U8.astype(np.float32), "got floats from .*; needed floats from 0 to 1"),
    "standardised": (U8 / 96.0 - 0.6, "got floats from -0.6"),
    "nan": (np.where(U8 == 5, np.nan, U8 / 255), "got floats from nan"),
    "two channels": (U8[:, :2], "must have shape"),
    "channels last": (np.zeros((2, 4, 4, 3), np.uint8), r"must have shape|transpose\(0, 3, 1, 2\)"),
    "words": (np.full((2, 3, 4, 4), "a"), "got <U1; needed uint8"),
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", SHOWN)
def test_pictures_of_another_kind_are_refused(name, kind):
    images, message = PICTURES[kind]
    with pytest.raises(ValueError, match=message):
        SHOWN[name](images)
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", SHOWN)
def test_levels_and_shares_are_the_same_picture(name):
    for images in (U8, U8 / 255, (U8 / 255).astype(np.float32), U8[:, :1]):
        SHOWN[name](images)


def test_a_grid_shows_the_values_that_came():
    np.testing.assert_allclose(sheet_of(U8), sheet_of(U8 / 255), atol=1e-12)
    got = sheet_of(U8)[-4:, :4]
    np.testing.assert_allclose(got, U8[0].transpose(1, 2, 0) / 255)


def test_a_confusion_matrix_counts_every_picture():
    with pytest.raises(ValueError, match="predictions: got class 7 at position 1; needed 0 to 1"):
        plots.confusion_matrix([0, 0, 0, 0, 1], [0, 7, 7, 7, 1], NAMES)
    fig = plots.confusion_matrix([0, 0, 0, 0, 1], [0, 1, 1, 1, 1], NAMES)
    assert [t.get_text() for t in fig.axes[0].texts] == ["25", "75", "0", "100"]
    fig = plots.confusion_matrix([0, 0], [0, 1], NAMES)  # no dog at all
    assert [t.get_text() for t in fig.axes[0].texts] == ["50", "50", "0", "0"]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "predictions: got 1; needed 2"),
        ([-1, 1], [0, 1], "labels: got class -1 at position 0"),
        ([0.0, 1.0], [0, 1], "labels: got float64"),
        ([], [], "labels: got .*; needed whole numbers"),
        ([[0], [1]], [0, 1], r"labels: got int64 of shape \(2, 1\)"),
        (["cat", "dog"], [0, 1], "labels: got <U3"),
        ([True, False], [0, 1], "labels: got bool"),
    ],
)
def test_classes_of_another_kind_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(labels, predictions, NAMES)
    images = np.resize(U8, (max(len(labels), 1), 3, 4, 4))
    with pytest.raises(ValueError):
        plots.confusion_gallery(images, labels, predictions, NAMES, [[0]])


REFUSED = [
    (lambda: plots.image_grid(U8[:0], columns=2), r"images must have shape .*got \(0,"),
    (lambda: plots.image_grid(U8, columns=0), "columns: got 0; needed a whole number"),
    (lambda: plots.image_grid(U8, columns=2, titles=["a"]), "titles: got 1; needed 2"),
    (lambda: plots.image_grid(U8, columns=2, row_labels=["a", "b"]), "row_labels: got 2; needed 1"),
    (lambda: plots.weight_images(np.ones((4, 24)), (3, 2, 2)), r"image_shape: got \(3, 2, 2\) for"),
    (lambda: plots.weight_images(np.full((2, 12), np.nan), (3, 2, 2)), "weights: got 24 values"),
    (lambda: plots.predictions(U8, np.ones((2, 2)), NAMES), "no distribution.*softmax"),
    (lambda: plots.predictions(U8, np.eye(2), ["cat"]), r"needed \(2, 1\)"),
    (lambda: plots.predictions(U8, np.eye(2), NAMES, [0, 2]), "labels: got class 2"),
    (lambda: plots.predictions(U8, np.eye(2), NAMES, top=0), "top: got 0"),
    (lambda: plots.saturation_maps({"a": [[np.nan]]}, limit=1), r"outputs\['a'\]: got 1 values"),
    (lambda: plots.saturation_maps({}, limit=1), "outputs: got none"),
    (lambda: plots.saturation_maps({"a": [[0.5]]}, limit=np.nan), "limit: got nan"),
    (lambda: plots.saturation_maps({"a": [[0.5]]}, limit=-1), "limit: got -1"),
    (
        lambda: plots.filter_sheet(np.ones((4, 3, 2, 2)), dead=[1.5]),
        r"dead: got \[1.5\]; needed whole",
    ),
    (
        lambda: plots.sliding_window(np.ones((4, 4)), np.ones((2, 2)), [(0.5, 0)]),
        "places: got .*needed whole numbers",
    ),
    (
        lambda: plots.sliding_window(np.ones((4, 4)), np.ones((2, 2)), [(0, 0)], padding=0.5),
        "padding: got 0.5; needed whole numbers",
    ),
    (lambda: plots.reliability({"a": ([0.5], [0.5], [np.inf])}), "got shapes .* and inf pictures"),
    (lambda: plots.bars(NAMES, [1.0], xlabel=""), r"values: got shape \(1,\); needed 2 numbers"),
    (
        lambda: plots.search_scatter(FRAME, "lr", "depth"),
        r"needed rows, and the columns \['lr', 'd",
    ),
    (lambda: plots.search_scatter(FRAME, "lr", "wd"), "wd: got 0; needed numbers greater than 0"),
    (
        lambda: plots.search_scatter(FRAME[1:], "lr", "wd"),
        "frame: got no finite number in 'mean'",
    ),
    (lambda: plots.learning_curves({}), "histories: got none"),
    (lambda: plots.learning_curves({"": History()}, window=0), "window: got 0"),
    (lambda: plots.smooth([1.0, 2.0], 0), "window: got 0; needed a whole number"),
    (lambda: plots.smooth(np.ones((2, 2)), 1), r"values: got shape \(2, 2\)"),
    (lambda: plots.sweep([1, 2], {"a": [1, 2]}, xlabel="", ylabel=""), r"needed \(2, seeds\)"),
    (lambda: plots.sweep([0, 1], {"a": np.ones((2, 1))}, xlabel="", ylabel=""), "x: got 0; needed"),
    (lambda: plots.by_layer(FRAME, {"std": ""}), "frame: got 2 rows with the columns"),
    (lambda: plots.filter_sheet(np.ones((4, 3, 2, 2)), dead=[4]), r"dead: got \[4\]"),
    (lambda: plots.filter_sheet(np.ones((4, 3, 2, 2)), duplicates=[(0, -1, 1.0)]), "duplicates"),
    (lambda: plots.filter_sheet(np.full((4, 3, 2, 2), np.inf)), "weight: got 48 values"),
    (
        lambda: plots.filters_over_training([np.ones((4, 3, 2, 2))], [0, 1]),
        "epochs: got 2; needed 1",
    ),
    (
        lambda: plots.filters_over_training([np.ones((4, 3, 2, 2))], [0], filters=[-1]),
        r"filters: got \[-1\]; needed numbers of filters, 0 to 3",
    ),
    (
        lambda: plots.activation_histograms({"a": [[np.nan, 1.0]]}),
        r"activations\['a'\]\[0\]: got 1",
    ),
    (lambda: plots.activation_maps(U8[0], {"a": np.full((2, 3, 3), np.nan)}), r"maps\['a'\]: got"),
    (lambda: plots.top_patches(U8, [[0, 2]], [[[0, 0, 2, 2]] * 2], [7]), "indices from 0 to 2"),
    (lambda: plots.top_patches(U8, [[0, 1]], [[[0, 0, 2, 2]] * 2], [7, 8]), r"needed \(2, 2\)"),
    (lambda: plots.heat_overlays(U8, {"a": np.ones((2, 3, 4))}), r"heats\['a'\]: got shape"),
    (lambda: plots.heat_overlays(U8, {"a": np.full((2, 4, 4), np.nan)}), "needed finite numbers"),
    (
        lambda: plots.confusion_gallery(U8, [0, 1], [1, 0], NAMES, [[0, 1]]),
        r"groups\[0\]: got pictures of several cells",
    ),
    (
        lambda: plots.confusion_gallery(U8, [0, 1], [1, 0], NAMES, [[2]]),
        r"groups\[0\]: got \[2\]; needed pictures, 0 to 1",
    ),
    (
        lambda: plots.sliding_window(np.ones((2, 2)), np.ones((3, 3)), [(0, 0)]),
        r"kernel: got shape \(3, 3\); needed at most",
    ),
    (lambda: plots.sliding_window(np.ones((4, 4)), np.ones((2, 2)), []), "places: got none"),
    (
        lambda: plots.descent_paths(lambda x, y: -(x**2) - 1, {}, x_range=(0, 1), y_range=(0, 1)),
        "f: got at most -1; needed a function that is positive",
    ),
    (
        lambda: plots.decision_regions({"a": lambda p: p}, np.ones((2, 2)), [0, 1]),
        r"classifiers\['a'\]: got float64 of shape",
    ),
    (lambda: plots.heat_map(FRAME, "lr", "depth", "mean"), "frame: got 2 rows"),
    (lambda: plots.study(FRAME, "lr", "accuracy"), "frame: got 2 rows"),
    (lambda: plots.study(FRAME, "wd", "mean", log_x=True), "wd: got 0; needed numbers greater"),
    (
        lambda: plots.reliability({"a": ([0.5, 0.9], [0.5, 1.1], [3, 4])}),
        r"bins\['a'\]: got accuracy from 0.5 to 1.1",
    ),
    (lambda: plots.reliability({"a": ([0.5], [0.5], [0])}), "needed three arrays"),
]


@pytest.mark.parametrize(("act", "message"), REFUSED)
def test_arguments_that_do_not_fit_are_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("format", ["svg", "jpg", "PNG", None])
def test_a_picture_is_stored_as_what_it_is_called_or_not_at_all(format):
    with pytest.raises(ValueError, match=f"format: got {format!r}; needed 'png' or 'jpeg'"):
        plots.show(plt.figure(), "An empty figure.", format=format)
    with pytest.raises(TypeError, match="alt: got int"):
        plots.show(plt.figure(), 3)


def test_one_nan_does_not_spoil_the_running_mean_of_the_rest(rng):
    values = rng.standard_normal(30)
    values[[4, 17]] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        windows = [values[max(0, i - 4) : i + 1].mean() for i in range(30)]
    expected = np.where(np.isfinite(windows), windows, np.nan)
    np.testing.assert_allclose(plots.smooth(values, 5), expected, atol=1e-12)
    assert np.isfinite(plots.smooth(values, 5)).sum() == 20


def test_every_class_has_its_points_and_its_regions(rng):
    points = rng.standard_normal((50, 2))
    labels = np.repeat([0, 1, 3, 4, 7], 10)
    fig = plots.decision_regions({"all 2": lambda p: np.full(len(p), 2)}, points, labels)
    shown = [line.get_xydata() for line in fig.axes[0].lines]
    assert sum(map(len, shown)) == 50 and len(shown) == 5
    assert len({line.get_marker() for line in fig.axes[0].lines}) == 5
    (contours,) = fig.axes[0].collections
    filled = [i for i, path in enumerate(contours.get_paths()) if len(path.vertices)]
    assert filled == [2]  # in the colour of class 2, which has no point
