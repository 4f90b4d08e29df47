"""Functions of two numbers: what a network answers over a plane, and its loss around its parameters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fnnet.model import Model, predict
from fnnet.plots.theme import COLORS, TRAINING, VALIDATION, figure
from fnnet.protocols import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 200
_NETWORK = {"label": "the network", "mfc": "none", "ms": 13, "mew": 1.8, "ls": "", "zorder": 4}
_LOWEST = {"label": "lowest point", "color": VALIDATION, "mec": "white", "mew": 0.6, "ms": 11, "ls": "", "zorder": 5}


def decision_boundary(model: Model, params: Any, data: Batch) -> "Figure":
    """What a network of two inputs answers everywhere, with the rows of data: see `decision_boundaries`."""
    return decision_boundaries(model, {"": params}, data)


def decision_boundaries(model: Model, networks: Mapping[str, Any], data: Batch) -> "Figure":
    """A map of the predicted class for each of several parameters, side by side: how a boundary moved.

    networks   title -> params
    data       x (B, 2), y (B,) classes, (B, 1) of 0 and 1 or (B, C) probabilities, drawn in the colors of their class

    The color is the class of the largest probability (of one sigmoid output: whether it is above 1/2), paler where the
    network is less sure; the line is where two classes are equally probable. Raises ValueError for other inputs or
    outputs.
    """
    x = np.asarray(data.x, np.float64)
    if model.input_shape != (2,) or x.ndim != 2 or not networks:
        raise ValueError(
            f"decision_boundaries: expected a network of two inputs, rows (B, 2) and at least one network, "
            f"got input_shape {model.input_shape}, x of shape {x.shape} and {len(networks)} networks"
        )
    fig, axes = figure(3.4 * len(networks) + (0.9 if len(networks) == 1 else 0.7), 3.5, len(networks))
    low, high = x.min(0), x.max(0)
    margin = 0.15 * np.where(high > low, high - low, 1)
    sides = [np.linspace(a, b, _POINTS) for a, b in zip(low - margin, high + margin, strict=True)]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2).astype(np.asarray(data.x).dtype)
    for axis, (title, params) in zip(axes, networks.items(), strict=True):
        p = _classes(np.asarray(predict(model, params, grid), np.float64))
        _map(axis, sides, p.reshape(_POINTS, _POINTS, -1))
        _points(axis, x, _labels(np.asarray(data.y)), p.shape[1])
        axis.set(title=title, xlabel="input 0", ylabel="input 1" if axis is axes[0] else "")
    _scale(fig, axes, p.shape[1])
    return fig


def landscape(plane: Any, title: str = "") -> "Figure":
    """The loss around a network, as `fnnet.landscape` computed it: contours over a plane, or the curve over a line.

    The legend names the two marks: the network, and the lowest point of the grid (the network itself, once it is in a
    minimum).
    Contours are spaced evenly in the logarithm of the loss (where it is above 0). Where the loss is not finite, nothing
    is drawn. Raises ValueError where it is nowhere finite.
    """
    offsets, loss = np.asarray(plane.offsets, np.float64), np.asarray(plane.loss, np.float64)
    if not np.isfinite(loss).any():
        raise ValueError("landscape: expected finite losses, got none")
    lowest = np.unravel_index(np.nanargmin(np.where(np.isfinite(loss), loss, np.nan)), loss.shape)
    draw = _plane if loss.ndim == 2 else _line
    fig = draw(offsets, np.ma.masked_invalid(loss), lowest)
    fig.axes[0].set_title(title or f"loss {loss[(len(offsets) // 2,) * loss.ndim]:.4g}, lowest {loss[lowest]:.4g}")
    return fig


def _plane(offsets: np.ndarray, loss: np.ndarray, lowest: tuple[Any, ...]) -> "Figure":
    from matplotlib.patheffects import withStroke

    fig, (axis,) = figure(5.6, 4.6)
    levels, norm = _levels(float(loss.min()), float(loss.max()))
    shown = np.ma.clip(loss, levels[0], levels[-1]).T
    filled = axis.contourf(offsets, offsets, shown, levels=levels, norm=norm, cmap="YlGnBu_r")
    lines = axis.contour(offsets, offsets, shown, levels=levels[1::3], colors="black", linewidths=0.5, alpha=0.6)
    halo = [withStroke(linewidth=2, foreground="white")]
    halo_dark = [withStroke(linewidth=3.5, foreground="#333333")]
    for label in axis.clabel(lines, fmt="%.2g", fontsize=7):
        label.set(alpha=1, path_effects=halo)
    bar = fig.colorbar(filled, ax=axis, label="loss", ticks=levels[::4], format="%.2g", shrink=0.9)
    bar.minorticks_off()
    bar.outline.set_visible(False)
    axis.plot(0, 0, "o", **_NETWORK, mec="white", path_effects=halo_dark)
    axis.plot(*(offsets[i] for i in lowest), "*", **_LOWEST)
    axis.legend(loc="upper right", fontsize=8, facecolor="#d9dee8", framealpha=0.9, edgecolor="none")
    axis.locator_params(nbins=5)
    axis.set(xlabel="along direction 0", ylabel="along direction 1", aspect="equal")
    axis.spines[:].set_visible(False)
    return fig


def _line(offsets: np.ndarray, loss: np.ndarray, lowest: tuple[Any, ...]) -> "Figure":
    fig, (axis,) = figure(5, 3.6)
    axis.plot(offsets, loss, color=TRAINING)
    axis.plot(0, loss[len(offsets) // 2], "o", **_NETWORK, mec="black")
    axis.plot(offsets[lowest], loss[lowest], "*", **_LOWEST)
    axis.legend(frameon=False)
    axis.set(xlabel="along the direction", ylabel="loss")
    return fig


def _levels(low: float, high: float) -> tuple[np.ndarray, Any]:
    """(levels of the contours, what makes them evenly colored): over six powers of ten at most."""
    from matplotlib.colors import LogNorm, Normalize

    high = high if high > low else low + 1e-3 * (abs(low) or 1)
    levels = np.geomspace(max(low, 1e-6 * high), high, 25) if low > 0 else np.linspace(low, high, 25)
    return levels, (LogNorm if low > 0 else Normalize)(levels[0], levels[-1])


def _classes(p: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of C classes; (N, 1) of a sigmoid are those of two."""
    if p.ndim != 2:
        raise ValueError(f"decision_boundaries: expected outputs of shape (N, C), got {p.shape}")
    return np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p


def _labels(y: np.ndarray) -> np.ndarray:
    """(B,) class of every row. Raises ValueError for targets that are none."""
    if not (((y >= 0) & (y <= 1)).all() if y.ndim == 2 else y.ndim == 1 and (y % 1 == 0).all()):
        raise ValueError(
            f"decision_boundaries: expected y to be classes (B,), 0 and 1 (B, 1) or probabilities (B, C), got numbers "
            f"from {y.min():g} to {y.max():g} of shape {y.shape}; a regression has no boundary"
        )
    if y.ndim == 1:
        return y.astype(int)
    return (y[:, 0] > 0.5).astype(int) if y.shape[1] == 1 else y.argmax(1)


def _map(axis: Any, sides: list[np.ndarray], p: np.ndarray) -> None:
    """The class in its color, white where all classes are as probable, and lines between the classes."""
    from matplotlib.colors import to_rgb

    count = p.shape[-1]
    colors = np.array([to_rgb(COLORS[c % len(COLORS)]) for c in range(count)])
    sure = 0.75 * np.clip((p.max(-1, keepdims=True) - 1 / count) / (1 - 1 / count), 0, 1)
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    axis.imshow(1 - sure + sure * colors[p.argmax(-1)], origin="lower", extent=extent, aspect="auto")
    for c in range(count if count > 2 else 1):
        lead = p[..., c] - np.delete(p, c, -1).max(-1)
        if lead.min() < 0 < lead.max():
            axis.contour(*sides, lead, levels=[0], colors="#333333", linewidths=1)


def _points(axis: Any, x: np.ndarray, labels: np.ndarray, count: int) -> None:
    size = 60 if len(x) <= 20 else 22 if len(x) <= 500 else 7
    for c in range(count):
        rows = labels == c
        axis.scatter(*x[rows].T, s=size, color=COLORS[c % len(COLORS)], edgecolors="white", linewidths=0.7, zorder=3)


def _scale(fig: Any, axes: list[Any], count: int) -> None:
    """For two classes, what the shades mean; for more, which color is which class."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, to_rgb
    from matplotlib.lines import Line2D

    if count > 2:
        marks = [Line2D([], [], ls="", marker="o", color=COLORS[c % len(COLORS)], label=str(c)) for c in range(count)]
        fig.legend(handles=marks, loc="outside right center", frameon=False, title="class")
        return
    ends = [1 - 0.75 * (1 - np.array(to_rgb(COLORS[c]))) for c in range(2)]
    shades = LinearSegmentedColormap.from_list("", np.array([ends[0], np.ones(3), ends[1]]))
    bar = fig.colorbar(ScalarMappable(cmap=shades), ax=axes, ticks=[0, 0.5, 1], pad=0.02, aspect=25)
    bar.set_label("probability of class 1")
    bar.outline.set_visible(False)
