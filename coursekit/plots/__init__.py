"""Every picture the lessons show. Takes arrays and histories, returns matplotlib figures."""

from coursekit.plots.curves import by_layer, learning_curves, schedules, smooth, sweep
from coursekit.plots.images import image_grid, weight_images
from coursekit.plots.insides import activation_histograms, decision_regions, descent_paths
from coursekit.plots.reports import bars, confusion_matrix, search_scatter
from coursekit.plots.show import LiveFigure, show
from coursekit.plots.studies import heat_map, reliability, study
from coursekit.plots.style import use_style

__all__ = [
    "LiveFigure",
    "activation_histograms",
    "bars",
    "by_layer",
    "confusion_matrix",
    "decision_regions",
    "descent_paths",
    "heat_map",
    "image_grid",
    "learning_curves",
    "reliability",
    "schedules",
    "search_scatter",
    "show",
    "smooth",
    "study",
    "sweep",
    "use_style",
    "weight_images",
]
