"""What is inside a network: its weights, and what its layers do while it learns."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from fnnet.plots.theme import TRAINING, WRONG, along_epochs, empty_figure, logarithmic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMALLEST = 1e-12


def network_diagram(params: Any, inputs: Sequence[str] = (), outputs: Sequence[str] = (), most: int = 10) -> "Figure":
    """Neurons as circles, and an arrow for every weight: the thicker the larger; red excites, blue inhibits.

    params   of a network, whose arrays w (I, O) of two axes are its layers, or these arrays themselves
    inputs, outputs   what is written beside the first and the last neurons, from the top
    most     neurons drawn of a layer; of a larger one the first and the last, with dots between them

    Where at most 16 weights are drawn, their values stand on the arrows. The thickest arrow is the largest weight of
    its own layer. Raises ValueError where there is no such array, or the output of one is not the input of the next.
    """
    weights = [np.asarray(a, np.float64) for a in jax.tree.leaves(params) if np.ndim(a) == 2]
    if not weights or any(a.shape[1] != b.shape[0] for a, b in itertools.pairwise(weights)):
        raise ValueError(
            f"network_diagram: expected w (I, O) of layers that follow each other, got {[w.shape for w in weights]}"
        )
    if most < 2:
        raise ValueError(f"network_diagram: expected most to be 2 or more, got {most}")
    sizes = [len(weights[0]), *(w.shape[1] for w in weights)]
    shown = [_ends(size, most) for size in sizes]
    fig = empty_figure(1.6 + 1.7 * len(weights), 0.9 + 0.55 * max(map(len, shown)))
    axis = fig.subplots()
    axis.set_axis_off()
    with_values = sum(len(a) * len(b) for a, b in itertools.pairwise(shown)) <= 16
    for layer, w in enumerate(weights):
        _arrows(axis, w, layer, shown, with_values)
    for layer, (size, units) in enumerate(zip(sizes, shown, strict=True)):
        _neurons(axis, layer, size, units)
    for names, layer, x, align in ((inputs, 0, -0.2, "right"), (outputs, len(weights), len(weights) + 0.2, "left")):
        for i, name in enumerate(names[: len(shown[layer])]):
            axis.text(x, _height(i, len(shown[layer])), name, ha=align, va="center", fontsize=10)
    tallest = max(map(len, shown))
    axis.set(xlim=(-0.7, len(weights) + 0.7), ylim=(-0.5 * tallest - 0.5, 0.5 * tallest + 0.3))
    return fig


def _ends(size: int, most: int) -> list[int]:
    """Which neurons of a layer are drawn: all, or the first and the last."""
    return list(range(size)) if size <= most else [*range(most - most // 2), *range(size - most // 2, size)]


def _height(place: int, count: int) -> float:
    """Of the n-th neuron drawn, from the top, around 0."""
    return (count - 1) / 2 - place


def _arrows(axis: Any, w: np.ndarray, layer: int, shown: list[list[int]], with_values: bool) -> None:
    """From every neuron drawn of a layer to every one of the next; values stand where the arrows are farthest apart."""
    before, after = shown[layer], shown[layer + 1]
    largest = np.abs(w[np.ix_(before, after)]).max() or 1.0
    for (i, unit), (o, target) in itertools.product(enumerate(before), enumerate(after)):
        start, end = (layer, _height(i, len(before))), (layer + 1, _height(o, len(after)))
        value = w[unit, target]
        style = {"color": WRONG if value > 0 else TRAINING, "shrinkA": 11, "shrinkB": 11, "alpha": 0.75}
        style |= {"lw": 0.2 + 3 * abs(value) / largest, "arrowstyle": "-|>", "mutation_scale": 7}
        axis.annotate("", end, start, arrowprops=style, zorder=1)
        if with_values:
            at = 0.6 + 0.22 * (i % 2) if len(before) <= len(after) else 0.4 - 0.22 * (o % 2)
            place = start[0] + at, start[1] + at * (end[1] - start[1])
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
            along = {"rotation": np.degrees(np.arctan(end[1] - start[1])), "transform_rotates_text": True}
            axis.text(*place, f"{value:.2f}", ha="center", va="center", fontsize=7.5, bbox=box, zorder=3, **along)


def _neurons(axis: Any, layer: int, size: int, units: list[int]) -> None:
    heights = [_height(i, len(units)) for i in range(len(units))]
    axis.scatter([layer] * len(units), heights, s=330, color="white", edgecolors="#333333", linewidths=1.2, zorder=4)
    if len(units) < size:
        middle = (heights[(len(units) - 1) // 2] + heights[(len(units) - 1) // 2 + 1]) / 2
        axis.text(layer, middle, "⋮", ha="center", va="center", fontsize=12, zorder=5)
    axis.text(layer, heights[-1] - 0.7, f"{size}", ha="center", va="center", fontsize=9, color="#666666")


def weight_images(
    params: Any, shape: tuple[int, ...], columns: int = 16, names: Mapping[int, str] | None = None
) -> "Figure":
    """The weights that lead to each unit of the first layer as an image, all in one scale: red excites, blue inhibits.

    params   of a network, whose first array of two axes is taken, or that array itself, w (I, O)
    shape    (H, W) of an input, H W = I; the order of the images is that of the units
    names    number of a unit -> what stands above it, such as "dead"

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
            axis.set_title((names or {}).get(i, ""), fontsize=7, pad=1)
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
