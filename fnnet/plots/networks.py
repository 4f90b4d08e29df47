"""What is inside a network: its weights, and what its layers do while it learns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from fnnet.plots.theme import along_epochs, empty_figure, logarithmic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMALLEST = 1e-12


def weight_images(params: Any, shape: tuple[int, ...], columns: int = 16) -> "Figure":
    """The weights that lead to each unit of the first layer as an image, all in one scale: red excites, blue inhibits.

    params   of a network, whose first array of two axes is taken, or that array itself, w (I, O)
    shape    (H, W) of an input, H W = I; the order of the images is that of the units

    The colors end at the size that 99.5 % of the weights stay under; the few larger ones have the last color.
    Raises ValueError where there is no such array or its rows do not make images of that shape.
    """
    found = [a for a in jax.tree.leaves(params) if np.ndim(a) == 2]
    if not found or len(shape) != 2 or found[0].shape[0] != shape[0] * shape[1]:
        got = f"w of shape {found[0].shape}" if found else "no array of two axes"
        raise ValueError(f"weight_images: expected w of shape (H W, O) for images (H, W) = {shape}, got {got}")
    w = np.asarray(found[0], np.float64)
    units = w.shape[1]
    columns = min(columns, units)
    rows = -(-units // columns)
    fig = empty_figure(0.62 * columns + 0.9, 0.62 * rows + 0.35)
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    size = float(np.quantile(np.abs(w), 0.995)) or 1.0
    for i, axis in enumerate(np.atleast_1d(fig.subplots(rows, columns)).ravel()):
        axis.set_axis_off()
        if i < units:
            shown = axis.imshow(w[:, i].reshape(shape), cmap="RdBu_r", vmin=-size, vmax=size, interpolation="nearest")
    shrink = min(1, 2.5 / (0.62 * rows))
    bar = fig.colorbar(shown, ax=fig.axes, shrink=shrink, aspect=18, pad=0.015, extend="both")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    return fig


def layer_statistics(statistics: Mapping[str, Any], epochs: Any = None) -> "Figure":
    """Four panels over time, one line per layer: outputs, zeros and dead units, gradients, size of the updates.

    statistics   name -> LayerStatistics of (T,), as `fnnet.over_time` stacks them
    epochs       (T,) the epochs along x; None: 1, 2, ...

    The darker, the closer to the input. Layers before the first that learns (`Flatten`, `Rescale`) only pass the data
    on and are left out. Layers without parameters have no gradient, and no line there.
    """
    learns = [s.gradient_norm is not None for s in statistics.values()]
    first = learns.index(True) if any(learns) else 0
    statistics = dict(list(statistics.items())[first:])
    fig = empty_figure(10, 6.4)
    outputs, zeros, gradients, updates = fig.subplots(2, 2).ravel()
    for axis in fig.axes:
        axis.spines[["top", "right"]].set_visible(False)
    from matplotlib import colormaps

    colors = colormaps["viridis"](np.linspace(0, 0.88, len(statistics)))
    handles = []
    for color, s in zip(colors, statistics.values(), strict=True):
        x = np.arange(1, len(s.mean) + 1) if epochs is None else np.asarray(epochs)
        style = {"color": color, "marker": "o" if len(x) <= 30 else "", "markersize": 2.5, "lw": 1.5}
        handles += outputs.plot(x, s.std, **style)
        outputs.plot(x, s.mean, **(style | {"marker": "", "ls": ":"}))
        zeros.plot(x, 100 * s.zeros, **style)
        for fraction in (s.dead, s.saturated):
            if fraction is not None:
                zeros.plot(x, 100 * fraction, **(style | {"marker": "", "ls": ":"}))
        if s.gradient_norm is not None:
            gradients.plot(x, np.maximum(s.gradient_norm, _SMALLEST), **style)
            updates.plot(x, np.maximum(s.update_ratio, _SMALLEST), **style)
    updates.axhline(1e-3, color="#999999", lw=0.8, ls="--", zorder=0)
    outputs.set_title("outputs: standard deviation (dotted: mean)")
    zeros.set(title="zeros in % (dotted: dead or saturated)", ylim=(-2, 102))
    gradients.set_title("norm of the gradient")
    updates.set_title("update / parameters (dashed: 1e-3)")
    for axis in (gradients, updates):
        logarithmic(axis)
    for axis in fig.axes:
        along_epochs(axis)
    fig.legend(handles, list(statistics), loc="outside right center", frameon=False)
    return fig
