"""Figures of runs and networks, as matplotlib makes them: `learning_curve(history).savefig("curve.png")`.

Needs the extra `experiments`. Nothing here touches pyplot, so no window opens and no figure is left open; a notebook
shows the figure that a cell ends with. The numbers come from elsewhere (`History`, `fnnet.metrics`,
`fnnet.layer_statistics`, `fnnet.landscape`): plots only draw.
"""

from fnnet.plots.classification import confusion_matrix, predictions, reliability, worst_mistakes
from fnnet.plots.networks import layer_statistics, network_diagram, weight_images
from fnnet.plots.runs import learning_curve, learning_curves
from fnnet.plots.spaces import decision_boundaries, decision_boundary, landscape
from fnnet.plots.theme import COLORS, TRAINING, VALIDATION, figure

__all__ = [
    "COLORS",
    "TRAINING",
    "VALIDATION",
    "confusion_matrix",
    "decision_boundaries",
    "decision_boundary",
    "figure",
    "landscape",
    "layer_statistics",
    "learning_curve",
    "learning_curves",
    "network_diagram",
    "predictions",
    "reliability",
    "weight_images",
    "worst_mistakes",
]
