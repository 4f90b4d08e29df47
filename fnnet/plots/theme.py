"""What all figures share: colors, and axes without needless frame lines."""

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#4269d0", "#ef5675"
RIGHT, WRONG, QUIET = "black", "#c1121f", "#c5cbd6"
COLORS = (
    TRAINING, VALIDATION, "#3ca951", "#efb118", "#a463f2",
    "#17a2b8", "#9c6b4e", "#ff8a3d", "#6b7280", "#d14fb4",
)  # fmt: skip
"""One per class or run; the eleventh is the first again."""


def figure(width: float | int, height: float | int, columns: int = 1) -> "tuple[Figure, list[Any]]":
    """(Figure of that size in inches, its axes from left to right). Raises ImportError without matplotlib."""
    fig = empty_figure(width, height)
    axes = list(np.atleast_1d(fig.subplots(1, columns)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return fig, axes


def empty_figure(width: float | int, height: float | int) -> "Figure":
    """A figure of that size in inches, to be filled. Raises ImportError without matplotlib."""
    return _shown_in_notebooks()(figsize=(width, height), layout="constrained", dpi=120)


@functools.cache
def _shown_in_notebooks() -> "type[Figure]":
    """A Figure that notebooks show by themselves, which otherwise only those made by pyplot do."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("fnnet.plots needs matplotlib: pip install 'fnnet[experiments]'") from error

    class ShownFigure(Figure):
        """A Figure with the image that notebooks ask for."""

        def _repr_png_(self) -> bytes:
            image = io.BytesIO()
            self.savefig(image, format="png")
            return image.getvalue()

    return ShownFigure


def logarithmic(axis: Any) -> None:
    """A logarithmic y axis with plain numbers: 0.02, not 2 x 10^-2; enough of them on a short axis."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if high < 10 * low:
        axis.yaxis.set_major_locator(MaxNLocator(5))
    elif high < 300 * low:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:.4g}")
    axis.yaxis.set_minor_formatter("")


def along_epochs(axis: Any) -> None:
    """Epochs along x, as whole numbers."""
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
