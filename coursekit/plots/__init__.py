"""Every picture the lessons show. Takes arrays and histories, returns matplotlib figures."""

from coursekit.plots.atlas import (
    activation_maps,
    confusion_gallery,
    heat_overlays,
    top_patches,
)
from coursekit.plots.convolution import sliding_window
from coursekit.plots.curves import by_layer, learning_curves, schedules, smooth, sweep
from coursekit.plots.filters import filter_sheet, filters_over_training
from coursekit.plots.graph import graph
from coursekit.plots.images import image_grid, weight_images
from coursekit.plots.insides import activation_histograms, decision_regions, descent_paths
from coursekit.plots.predictions import predictions, saturation_maps
from coursekit.plots.reports import bars, confusion_matrix, search_scatter
from coursekit.plots.show import LiveFigure, show
from coursekit.plots.studies import heat_map, reliability, study
from coursekit.plots.style import use_style
from coursekit.plots.twin import twin_differences

__all__ = [
    "LiveFigure",
    "activation_histograms",
    "activation_maps",
    "bars",
    "by_layer",
    "confusion_gallery",
    "confusion_matrix",
    "decision_regions",
    "descent_paths",
    "filter_sheet",
    "filters_over_training",
    "graph",
    "heat_map",
    "heat_overlays",
    "image_grid",
    "learning_curves",
    "predictions",
    "reliability",
    "saturation_maps",
    "schedules",
    "search_scatter",
    "show",
    "sliding_window",
    "smooth",
    "study",
    "sweep",
    "top_patches",
    "twin_differences",
    "use_style",
    "weight_images",
]
