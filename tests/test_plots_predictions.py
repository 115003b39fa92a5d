"""Lesson 4's pictures: predictions, saturation, differences of twins, graphs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from coursekit import plots

NAMES = [f"class {i}" for i in range(5)]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(fig):
    return [t.get_text() for ax in fig.axes for t in ax.texts]


@pytest.mark.parametrize(("n", "channels", "columns"), [(1, 3, 1), (7, 1, 3), (4, 3, 6)])
def test_predictions_name_the_likeliest_classes_in_order(n, channels, columns, rng):
    p = rng.dirichlet(np.ones(5), n)
    images = rng.integers(0, 256, (n, channels, 8, 6)).astype(np.uint8)
    fig = plots.predictions(images, p, NAMES, top=2, columns=columns)
    expected = [f"class {c} {100 * row[c]:.0f} %" for row in p for c in np.argsort(-row)[:2]]
    assert sorted(texts(fig)) == sorted(expected)


def test_predictions_mark_the_truth(rng):
    p = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    fig = plots.predictions(rng.random((2, 3, 4, 4)), p, NAMES[:3], [1, 2], top=2, columns=2)
    assert [t for t in texts(fig) if "*" in t] == ["class 1 70 % *"]  # 2 is not among the best two


def test_saturation_maps_tell_the_share():
    out = np.array([[0.99, 0.0], [-0.99, 0.5]])
    fig = plots.saturation_maps({"one": out, "two": 0 * out}, limit=0.97)
    assert [ax.get_title() for ax in fig.axes] == ["one\n50 % saturated", "two\n0 % saturated"]
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), [[1, 0], [1, 0]])


def test_twin_differences_share_a_scale_and_leave_zeros_out():
    frame = pd.DataFrame({"loss": [0.0, 1e-12, 1e-11], "gradients": [1e-9, 1e-9, 1e-8]})
    fig = plots.twin_differences({"float64": frame, "float32": 1e6 * frame})
    left, right = fig.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_yscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [np.nan, 1e-12, 1e-11])


def test_graph_puts_a_node_right_of_what_leads_to_it():
    nodes = {"a": "A", "b": "B", "c": "C", "d": "D"}
    edges = [("a", "b"), ("b", "c"), ("d", "c")]
    fig = plots.graph(nodes, edges)
    at = {t.get_text(): t.get_position() for t in fig.axes[0].texts if t.get_text()}
    assert at["A"][0] < at["B"][0] < at["C"][0]
    assert at["D"][0] == at["B"][0]  # a source stands beside what needs it
    assert at["D"][1] != at["B"][1]


@pytest.mark.parametrize(
    ("edges", "told"), [([("a", "x")], "'x'"), ([("a", "b"), ("b", "a")], "circle")]
)
def test_graph_refuses_edges_that_do_not_fit(edges, told):
    with pytest.raises(ValueError, match=told):
        plots.graph({"a": "A", "b": "B"}, edges)
