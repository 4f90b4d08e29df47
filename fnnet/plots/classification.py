"""What a classifier gets right and wrong, and how sure it is."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fnnet.plots.theme import QUIET, RIGHT, TRAINING, WRONG, empty_figure, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(matrix: Any, class_names: tuple[str, ...]) -> "Figure":
    """Counts (C, C), one row per true class and one column per predicted class; mistakes in color, hits in gray.

    Raises ValueError unless there is a name for every class.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names),) * 2:
        raise ValueError(f"confusion_matrix: expected ({len(class_names)}, {len(class_names)}), got {matrix.shape}")
    side = 2.2 + 0.42 * len(class_names)
    fig, (axis,) = figure(side, side)
    mistakes = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    axis.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, 1.3 * mistakes.max()))
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "#777777" if row == column else "white" if count > 0.7 * mistakes.max() else "black"
            axis.text(column, row, f"{count:g}", ha="center", va="center", fontsize=8, color=color)
    ticks = np.arange(len(class_names))
    turned = 90 if max(map(len, class_names)) > 2 else 0
    axis.set_xticks(ticks, class_names, rotation=turned)
    axis.set_yticks(ticks, class_names)
    axis.tick_params(length=0)
    axis.set(xlabel="predicted", ylabel="true", title=f"{int(mistakes.sum()):,} of {int(matrix.sum()):,} wrong")
    return fig


def predictions(
    images: Any, probabilities: Any, classes: Any, class_names: tuple[str, ...], columns: int = 10
) -> "Figure":
    """Images (N, H, W) with the network's answer, above its class probabilities (N, C); the true class (N,) in blue.

    columns   images side by side; more are wrapped into rows

    Raises ValueError without images, and where the rows do not fit each other.
    """
    images, p, classes = _checked("predictions", images, probabilities, classes, class_names)
    if len(images) == 0 or columns < 1:
        raise ValueError(f"predictions: expected images and columns above 0, got {len(images)} and {columns}")
    taller = _taller(class_names)
    fig, pairs = _pairs(len(images), columns, (1.25, 2.4 + taller), (1.2, 1.0))
    for image, row, true, (top, below) in zip(images, p, classes, pairs, strict=True):
        guess = int(np.argmax(row))
        is_right = guess == true
        said = f"{class_names[guess]}  {100 * row[guess]:.0f} %" + (
            "" if is_right else f"\nis {class_names[int(true)]}"
        )
        _answer(top, image, said, RIGHT if is_right else WRONG)
        _bars(below, row, int(true), class_names)
    return fig


def worst_mistakes(
    images: Any, probabilities: Any, classes: Any, class_names: tuple[str, ...], count: int = 12, columns: int = 6
) -> "Figure":
    """The wrong answers with the highest losses (-log of the probability of the truth), worst first.

    images          (N, H, W)
    probabilities   (N, C), below each image as bars; blue: the truth
    classes         (N,) the truth
    count           how many at most

    Above each what the network says, below it what it is, with the probabilities given to both. Raises ValueError where
    nothing is wrong, or where the rows do not fit each other.
    """
    images, p, classes = _checked("worst_mistakes", images, probabilities, classes, class_names)
    wrong = np.flatnonzero(p.argmax(1) != classes)
    if len(wrong) == 0 or count < 1:
        raise ValueError(f"worst_mistakes: expected mistakes and a count above 0, got {len(wrong)} and {count}")
    rows = wrong[np.argsort(p[wrong, classes[wrong]], kind="stable")][:count]
    fig, pairs = _pairs(len(rows), columns, (1.65, 2.7 + _taller(class_names)), (1.5, 1.0))
    for row, (top, below) in zip(rows, pairs, strict=True):
        guess, true = int(p[row].argmax()), int(classes[row])
        _answer(top, images[row], f"says {class_names[guess]}, {_percent(p[row, guess])}", WRONG)
        _bars(below, p[row], true, class_names)
        below.set_title(f"is {class_names[true]}, {_percent(p[row, true])}", fontsize=9, color=TRAINING)
    return fig


def reliability(table: Any) -> "Figure":
    """How often a network is right when it is this sure, as `fnnet.metrics.reliability` counted it.

    A bar is as high as the fraction that is right. Where it ends at the mean confidence (about the diagonal), the
    network's probabilities can be trusted. Red: it was too sure. Pale: it was not sure enough. The lower panel shows
    how many rows each bar stands for. Raises ValueError for a table without rows.
    """
    confidence, accuracy, weight = (np.asarray(column, np.float64) for column in table)
    if not np.any(weight > 0):
        raise ValueError("reliability: expected a table with rows, got none")
    bins = len(weight)
    fig = empty_figure(4.4, 5)
    top, below = fig.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    filled, width = weight > 0, 0.92 / bins
    x, sure, right = ((np.arange(bins) + 0.5) / bins)[filled], confidence[filled], accuracy[filled]
    top.bar(x, np.minimum(right, sure), width, color=TRAINING, label="right")
    top.bar(x, np.maximum(sure - right, 0), width, right, color=WRONG, alpha=0.3, label="too sure")
    top.bar(x, np.maximum(right - sure, 0), width, sure, color=TRAINING, alpha=0.4, label="not sure enough")
    top.plot([0, 1], [0, 1], color="#333333", lw=1, ls="--")
    error = float((weight[filled] * np.abs(right - sure)).sum() / weight.sum())
    top.set(ylim=(0, 1), ylabel="fraction right", title=f"expected calibration error {100 * error:.2f} %")
    top.legend(loc="upper left", edgecolor="none", framealpha=0.85)
    below.bar(x, weight[filled], width, color=QUIET)
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="rows")
    below.set_yscale("log")
    for axis in (top, below):
        axis.spines[["top", "right"]].set_visible(False)
    return fig


def _checked(
    caller: str, images: Any, probabilities: Any, classes: Any, class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All three as arrays. Raises ValueError unless they have the same rows, and the probabilities a name each."""
    images, p, classes = np.asarray(images), np.asarray(probabilities, np.float64), np.asarray(classes)
    if images.ndim != 3 or p.shape != (len(images), len(class_names)) or classes.shape != (len(images),):
        raise ValueError(
            f"{caller}: expected images (N, H, W), probabilities (N, {len(class_names)}) and classes (N,), "
            f"got {images.shape}, {p.shape} and {classes.shape}"
        )
    return images, p, classes


def _pairs(
    count: int, columns: int, size: tuple[float, float], heights: tuple[float, float]
) -> "tuple[Figure, np.ndarray]":
    """(Figure, (count, 2) axes): for each item an axis above another, in rows of so many; size of a pair in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    fig = empty_figure(size[0] * columns, size[1] * rows)
    axes = fig.subplots(2 * rows, columns, height_ratios=heights * rows, squeeze=False)
    pairs = axes.reshape(rows, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    for axis in pairs[count:].ravel():
        axis.set_axis_off()
    return fig, pairs[:count]


def _taller(class_names: tuple[str, ...]) -> float:
    """Inches that the longest name takes, upright below its bar; names of one or two letters lie."""
    longest = max(map(len, class_names))
    return 0.05 * longest if longest > 2 else 0.0


def _answer(axis: Any, image: Any, title: str, color: str) -> None:
    axis.imshow(image, cmap="gray_r")
    axis.set_axis_off()
    axis.set_title(title, fontsize=9, color=color)


def _bars(axis: Any, p: Any, true: int, class_names: tuple[str, ...]) -> None:
    axis.bar(np.arange(len(p)), p, color=[TRAINING if c == true else QUIET for c in range(len(p))])
    axis.set(ylim=(0, 1), yticks=[])
    is_long = max(map(len, class_names)) > 2
    axis.set_xticks(np.arange(len(p)), class_names, fontsize=6 if is_long else 7, rotation=90 if is_long else 0)
    axis.tick_params(length=0)
    axis.get_xticklabels()[int(true)].set(color=TRAINING, fontweight="bold")
    axis.spines[["top", "right", "left"]].set_visible(False)


def _percent(p: float) -> str:
    """`99.8 %`, `98 %`, `0.02 %`, `1e-07 %`."""
    percent = 100 * p
    return f"{percent:.3g} %" if percent >= 99 else f"{percent:.0f} %" if percent >= 9.5 else f"{percent:.1g} %"
