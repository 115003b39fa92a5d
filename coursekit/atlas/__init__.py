"""An atlas of a trained convolutional net: what its filters, units and scores respond to.

Everything looks from outside and leaves the net as it was: parameters, buffers, gradients, modes.
"""

from coursekit.atlas.attribution import grad_cam, occlusion, pixel_gradient, saliency
from coursekit.atlas.chain import chain
from coursekit.atlas.features import feature_maps, layer_outputs
from coursekit.atlas.filters import WeightSnapshots, duplicate_filters, firing_rates
from coursekit.atlas.mistakes import Confusion, confusions
from coursekit.atlas.patches import TopPatches, receptive_box, top_patches

__all__ = [
    "Confusion",
    "TopPatches",
    "WeightSnapshots",
    "chain",
    "confusions",
    "duplicate_filters",
    "feature_maps",
    "firing_rates",
    "grad_cam",
    "layer_outputs",
    "occlusion",
    "pixel_gradient",
    "receptive_box",
    "saliency",
    "top_patches",
]
