"""Two files, one of images and one of their labels, as one data set."""

import os

import numpy as np

from fnnet.datasets.errors import DataError
from fnnet.datasets.idx import read_idx
from fnnet.protocols import Batch


def read_idx_pair(images: str | os.PathLike[str], labels: str | os.PathLike[str], *, classes: int = 10) -> Batch:
    """Read N images and their N labels from two IDX files: MNIST's relatives, or a set of your own.

    Returns Batch(x=(N, ...) as stored, y=(N,) int32 in 0..classes-1), read-only. Raises `DataError`
    as `read_idx` does, and if the counts differ or a label is out of range.
    """
    return labelled(read_idx(images), read_idx(labels), images, labels, classes)


def labelled(
    x: np.ndarray,
    y: np.ndarray,
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    classes: int,
) -> Batch:
    """Return Batch(x, y as int32), or raise `DataError`; `images` and `labels` are the files to name."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(labels, f"holds {y.dtype} {y.shape}, not (N,) integer labels")
    if x.ndim == 0:
        raise DataError(images, "holds a single number, not (N, ...) images")
    if len(x) != len(y):
        raise DataError(labels, f"holds {len(y)} labels for the {len(x)} images of {os.fspath(images)}")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if wrong.size:
        raise DataError(labels, f"label {y[wrong[0]]} in row {wrong[0]} is not in 0..{classes - 1}")
    y = y.astype(np.int32)
    y.setflags(write=False)
    return Batch(x, y)
