"""Draw the README's picture of the bundled set: ``python docs/pictures.py``."""

from pathlib import Path

import numpy as np

from coursekit import data, plots

COLUMNS = 14

ds = data.load("bundled")
chosen = [np.flatnonzero(ds.train.labels == c)[:COLUMNS] for c in range(len(ds.class_names))]
plots.use_style()
fig = plots.image_grid(
    ds.train.images[np.concatenate(chosen)], columns=COLUMNS, row_labels=ds.class_names
)
fig.savefig(
    Path(__file__).with_name("bundled.jpg"),
    bbox_inches="tight",
    pil_kwargs={"quality": 88},
)
