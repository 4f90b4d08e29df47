"""Pictures of runs, as matplotlib Figures: `learning_curve(history).savefig("curve.png")`.

Needs the extra `experiments`. Nothing here touches pyplot, so no window opens and no figure is left open.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fnnet.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#4269d0", "#ef5675"


def figure(width: float | int, height: float | int, columns: int = 1) -> "tuple[Figure, list[Any]]":
    """(Figure of that size in inches, its axes from left to right), with the frame lines that say nothing removed."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(width, height), layout="constrained", dpi=120)
    axes = list(np.atleast_1d(picture.subplots(1, columns)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return picture, axes


def learning_curve(history: History, name: str = "validation") -> "Figure":
    """Loss (logarithmic) and, where there is one, error rate in percent, an epoch at a time.

    name   what the second data set is called in the legend
    """
    has_accuracy = history.training.accuracy is not None
    picture, axes = figure(9 if has_accuracy else 5, 3.6, 2 if has_accuracy else 1)
    epochs = np.arange(1, len(history.training.loss) + 1)
    for metrics, label, color in ((history.training, "training", TRAINING), (history.validation, name, VALIDATION)):
        if metrics is None:
            continue
        style = {"label": label, "color": color, "marker": "o", "markersize": 3}
        axes[0].plot(epochs, metrics.loss, **style)
        if has_accuracy:
            axes[1].plot(epochs, 100 * (1 - metrics.accuracy), **style)
    for axis, title in zip(axes, ("loss", "error in %"), strict=False):
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False)
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter("{x:.4g}")
    axes[0].yaxis.set_minor_formatter("{x:.2g}")
    return picture


def confusion_matrix(matrix: Any, class_names: tuple[str, ...]) -> "Figure":
    """Counts (C, C), rows the true class and columns the predicted one; the mistakes colored, the hits in grey.

    Raises ValueError unless there is a name for every class.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names),) * 2:
        raise ValueError(f"confusion_matrix: expected ({len(class_names)}, {len(class_names)}), got {matrix.shape}")
    side = 2.2 + 0.42 * len(class_names)
    picture, (axis,) = figure(side, side)
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
    return picture


def predictions(images: Any, probabilities: Any, classes: Any, class_names: tuple[str, ...]) -> "Figure":
    """Images (N, H, W) in a row with the network's answer, above its class probabilities (N, C); blue: the truth."""
    picture, _ = figure(1.25 * len(images), 2.9)
    picture.clear()
    axes = picture.subplots(2, len(images), height_ratios=(1.2, 1), squeeze=False)
    for image, p, true, top, below in zip(images, probabilities, classes, *axes, strict=True):
        guess = int(np.argmax(p))
        top.imshow(image, cmap="gray_r")
        top.set_axis_off()
        color = "black" if guess == true else "#c1121f"
        top.set_title(f"{class_names[guess]}  {100 * p[guess]:.0f} %", fontsize=9, color=color)
        below.bar(np.arange(len(p)), p, color=[TRAINING if c == true else "#c5cbd6" for c in range(len(p))])
        below.set(ylim=(0, 1), yticks=[])
        below.set_xticks(np.arange(len(p)), [name[:1] for name in class_names], fontsize=6)
        below.tick_params(length=0)
        below.spines[["top", "right", "left"]].set_visible(False)
    return picture
