"""How far two runs of one net are apart, step by step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from coursekit.plots.curves import line

if TYPE_CHECKING:
    import pandas as pd


def twin_differences(frames: Mapping[str, "pd.DataFrame"]) -> Figure:
    """Largest differences between two runs against the step, one panel a table, one scale.

    Args:
        frames: for each panel's title a table by step, one column a kind of difference. An exact
            0 cannot lie on a logarithmic axis and is left out.
    """
    fig, axes = plt.subplots(
        1, len(frames), figsize=(min(3.6 * len(frames) + 1.2, 8.6), 3.2), sharey=True, squeeze=False
    )
    for ax, (title, frame) in zip(axes[0], frames.items(), strict=True):
        for name in frame:
            values = frame[name].to_numpy(float)
            line(ax, frame.index, np.where(values > 0, values, np.nan), str(name))
        ax.set(yscale="log", xlabel="step", title=title)
    axes[0, 0].set_ylabel("largest difference")
    axes[0, -1].legend(fontsize=8)
    return fig
