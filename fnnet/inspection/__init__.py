"""Everything that looks at a network from outside; nothing here moves a parameter.

    check_gradients        every hand-derived gradient against automatic differentiation and finite differences
    trace                  one pass, layer by layer; printed, it is the chain rule with its numbers
    per_example_gradients  the gradient of every row on its own
    saliency               which inputs an answer depends on
    layer_statistics       what every layer does, in a few numbers, while a network learns
    landscape              the loss on a line or a plane through the parameters

`gradient_checker` is the one file of fnnet that differentiates automatically.
"""

from fnnet.inspection._landscape import Landscape, landscape, random_direction
from fnnet.inspection._saliency import saliency
from fnnet.inspection._trace import Trace, trace
from fnnet.inspection.gradient_checker import check_gradients
from fnnet.inspection.recording import LayerTrace, per_example_gradients
from fnnet.inspection.statistics import LayerStatistics, layer_statistics, over_time

__all__ = [
    "Landscape",
    "LayerStatistics",
    "LayerTrace",
    "Trace",
    "check_gradients",
    "landscape",
    "layer_statistics",
    "over_time",
    "per_example_gradients",
    "random_direction",
    "saliency",
    "trace",
]
