"""Learning curves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fnnet.plots.theme import COLORS, TRAINING, VALIDATION, along_epochs, figure, logarithmic
from fnnet.training.state import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curve(history: History, name: str = "validation", scales: tuple[str, ...] = ("log",)) -> "Figure":
    """Loss and, where there is an accuracy, error rate in percent, epoch by epoch.

    name    what the second data set is called in the legend
    scales  of the loss, one panel each: ("log",), ("linear",) or both

    Raises ValueError for other scales.
    """
    fig, losses, error = _panels("learning_curve", scales, history.training.accuracy is not None)
    epochs = np.arange(1, len(history.training.loss) + 1)
    drawn = (
        (history.training, "training", {"color": TRAINING}),
        (history.measured, "training, after the epoch", {"color": TRAINING, "ls": "--", "lw": 1}),
        (history.validation, name, {"color": VALIDATION}),
    )
    for metrics, label, style in drawn:
        if metrics is None:
            continue
        style = {"label": label, "marker": "o" if len(epochs) <= 50 else "", "markersize": 3} | style
        for axis in losses:
            axis.plot(epochs, metrics.loss, **style)
        if error is not None:
            error.plot(epochs, 100 * (1 - metrics.accuracy), **style)
    _finish(losses, error, scales)
    return fig


def learning_curves(
    runs: Mapping[str, History], name: str = "validation", scales: tuple[str, ...] = ("log",)
) -> "Figure":
    """Several settings in one figure, each over its seeds: the mean as a line, the spread as a band.

    runs    what a setting is called -> its History, (epochs,) from one seed or (seeds, epochs) from several
    name, scales   as in `learning_curve`

    Solid and with a band: the second data set. Dotted: training; solid where there is no second. The band is mean +-
    standard deviation (n - 1), but nowhere wider than the runs themselves. Raises ValueError without runs.
    """
    if not runs:
        raise ValueError("learning_curves: expected at least one run, got none")
    has_accuracy = all(history.training.accuracy is not None for history in runs.values())
    fig, losses, error = _panels("learning_curves", scales, has_accuracy)
    for i, (label, history) in enumerate(runs.items()):
        color, training = COLORS[i % len(COLORS)], history.training
        watched = training if history.validation is None else history.validation
        for axis in losses:
            _band(axis, watched.loss, color, label)
        if error is not None:
            _band(error, 100 * (1 - np.asarray(watched.accuracy)), color, label)
        if history.validation is None:
            continue
        for axis in losses:
            _dotted(axis, training.loss, color)
        if error is not None:
            _dotted(error, 100 * (1 - np.asarray(training.accuracy)), color)
    _finish(losses, error, scales)
    if any(history.validation is not None for history in runs.values()):
        losses[0].plot([], [], color="#888888", label=name)
        losses[0].plot([], [], color="#888888", ls=":", label="training")
    handles, labels = losses[0].get_legend_handles_labels()
    for axis in fig.axes:
        if (legend := axis.get_legend()) is not None:
            legend.remove()
    fig.legend(handles, labels, loc="outside right center", frameon=False)
    return fig


def _panels(caller: str, scales: tuple[str, ...], has_accuracy: bool) -> "tuple[Figure, list[Any], Any]":
    """(figure, an axis for the loss in every scale, one for the error or None)."""
    if not scales or not set(scales) <= {"log", "linear"}:
        raise ValueError(f"{caller}: expected scales such as ('log',) or ('linear', 'log'), got {scales!r}")
    columns = len(scales) + has_accuracy
    fig, axes = figure(5 if columns == 1 else 4.5 * columns, 3.6, columns)
    return fig, axes[: len(scales)], axes[-1] if has_accuracy else None


def _finish(losses: list[Any], error: Any, scales: tuple[str, ...]) -> None:
    for axis, scale in zip(losses, scales, strict=True):
        axis.set_title("loss" if len(scales) == 1 else f"loss, {scale}")
        if scale == "log":
            logarithmic(axis)
        else:
            axis.set_ylim(bottom=min(0, axis.dataLim.y0))
    if error is not None:
        error.set_title("error in %")
    for axis in losses if error is None else [*losses, error]:
        along_epochs(axis)
        axis.legend(frameon=False)


def _band(axis: Any, values: Any, color: str, label: str) -> None:
    values = np.atleast_2d(np.asarray(values, np.float64))
    epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
    axis.plot(epochs, mean, color=color, label=label, lw=1.8)
    if len(values) > 1:
        spread, low, high = values.std(0, ddof=1), values.min(0), values.max(0)
        axis.fill_between(
            epochs, np.maximum(mean - spread, low), np.minimum(mean + spread, high), color=color, alpha=0.15, lw=0
        )


def _dotted(axis: Any, values: Any, color: str) -> None:
    mean = np.atleast_2d(np.asarray(values, np.float64)).mean(0)
    axis.plot(np.arange(1, len(mean) + 1), mean, color=color, ls=":", lw=1)
