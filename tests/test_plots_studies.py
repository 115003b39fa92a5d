"""Pictures of studies: what is drawn is what was measured, and a diverged run is never hidden."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from coursekit import plots


@pytest.fixture
def table():
    """Two settings by three, five seeds; one run of one pair diverged."""
    rng = np.random.default_rng(0)
    rows = [
        {"norm": norm, "lr": lr, "depth": depth, "score": lr + rng.normal()}
        for norm in (None, "batch")
        for lr in (0.1, 0.01, 1.0)
        for depth in (2, 3)
        for _ in range(5)
    ]
    frame = pd.DataFrame(rows).assign(norm=lambda t: t["norm"].astype(object))
    frame.loc[(frame["norm"] == "batch") & (frame["lr"] == 1.0), "score"] = np.nan
    return frame


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


LABELS = {None: "plain", "batch": "batch norm"}


def test_curves_are_means_and_bands_are_t_intervals(table):
    deep = table[table["depth"] == 3]
    fig = plots.study(deep, x="lr", y="score", lines="norm", labels=LABELS, log_x=True, chance=0.1)
    (ax,) = fig.axes
    plain, batch = (line for line in ax.lines if line.get_label() in LABELS.values())
    group = deep[deep["norm"].isna()].groupby("lr")["score"]
    np.testing.assert_array_equal(plain.get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(plain.get_ydata(), group.mean())
    assert list(np.isnan(batch.get_ydata())) == [False, False, True]  # not a mean of survivors
    low, high = stats.t.interval(0.95, 4, group.mean(), group.sem())
    edges = ax.collections[0].get_paths()[0].vertices
    for x, a, b in zip([0.01, 0.1, 1.0], low, high, strict=True):
        at = edges[edges[:, 0] == x, 1]
        np.testing.assert_allclose([at.min(), at.max()], [a, b])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["plain", "batch norm", "chance", "a run diverged"]
    crosses = [line for line in ax.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in crosses if line.get_color() == "C1"] == [[1.0]]


def test_words_become_points_with_every_run(table):
    fig = plots.study(table[table["lr"] == 0.1], x="norm", y="score", lines="depth", labels=LABELS)
    (ax,) = fig.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["plain", "batch norm"]
    dots = [line for line in ax.lines if line.get_marker() == "."]
    assert sum(len(line.get_xdata()) for line in dots) == 20
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["depth = 2", "depth = 3"]
    first = table[(table["lr"] == 0.1) & table["norm"].isna() & (table["depth"] == 2)]["score"]
    drawn = ax.containers[0].lines[0].get_ydata()[0]
    np.testing.assert_allclose(drawn, first.mean())


def test_panels_share_a_scale_and_a_legend(table):
    fig = plots.study(table, x="lr", y="score", lines="norm", panels="depth", ylabel="score in %")
    assert [ax.get_title() for ax in fig.axes] == ["depth = 2", "depth = 3"]
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()
    assert fig.axes[0].get_ylabel() == "score in %" and len(fig.legends) == 1
    texts = [text.get_text() for text in fig.legends[0].get_texts()]
    assert texts == ["norm = None", "batch", "a run diverged"]


def test_one_line_and_one_seed_need_no_legend_and_no_band():
    frame = pd.DataFrame({"lr": [1, 2], "a": [0.5, 0.6]})
    (ax,) = plots.study(frame, x="lr", y="a").axes
    assert ax.get_legend() is None
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.5, 0.6])
    edges = ax.collections[0].get_paths()[0].vertices
    assert set(edges[:, 1]) <= {0.5, 0.6}


def test_heat_map_writes_means_where_they_belong(table):
    fig = plots.heat_map(table, x="lr", y="norm", value="score", labels=LABELS)
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "0.01", "1"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["plain", "batch norm"]
    written = {text.get_position(): text.get_text() for text in ax.texts}
    mean = table[table["norm"].isna()].groupby("lr")["score"].mean()
    for column, lr in enumerate([0.1, 0.01, 1.0]):
        assert written[column, 0] == f"{mean[lr]:.2f}"
    assert written[2, 1] == "×"


def test_reliability_leaves_empty_bins_out():
    confidence = np.array([np.nan, 0.3, 0.5, 0.9])
    fig = plots.reliability({"net": (confidence, [np.nan, 0.2, 0.5, 0.7], [0, 1, 1, 2])})
    top, bottom = fig.axes
    (net,) = (line for line in top.lines if line.get_label() == "net")
    np.testing.assert_array_equal(net.get_xdata(), confidence[1:])
    np.testing.assert_array_equal(bottom.patches[0].get_data().values, [0, 25, 25, 50])
