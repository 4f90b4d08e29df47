"""Kaggle's "Digit Recognizer": read its tables of digits, write a submission.

`train.csv` has the header `label,pixel0,...,pixel783` and 42,000 rows, `test.csv` the same without `label` and 28,000
rows; a pixel is a whole number from 0 to 255, row by row from the upper left. The reader takes exactly that: NumPy
reads the table, and only where it refuses one, the file is read again cell by cell, to name the row and column.
"""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from fnnet.datasets.data_error import DataError
from fnnet.protocols import Batch

_SIDE = 28
_PIXELS = tuple(f"pixel{i}" for i in range(_SIDE * _SIDE))
_CELL = re.compile(r"[ \t]*\+?([0-9]+)[ \t]*")


def read_kaggle_digits(path: str | os.PathLike[str]) -> Batch:
    """Read `train.csv`: Batch(x=(N, 28, 28) uint8, y=(N,) int32 in 0..9), read-only, in the order of the file.

    Raises `DataError` that names the file and, where the fault is in one cell, its row and column. Rows count from
    1 below the header. Lines may end as on Windows; empty lines are left out.
    """
    table = _table(path, ("label", *_PIXELS))
    y, x = table[:, 0].astype(np.int32), np.ascontiguousarray(table[:, 1:]).reshape(-1, _SIDE, _SIDE)
    for part in (x, y):
        part.setflags(write=False)
    return Batch(x, y)


def read_kaggle_images(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "N 28 28"]:
    """Read `test.csv`, which has no labels: (N, 28, 28) uint8, read-only; errors as in `read_kaggle_digits`."""
    x = _table(path, _PIXELS).reshape(-1, _SIDE, _SIDE)
    x.setflags(write=False)
    return x


def write_submission(path: str | os.PathLike[str], labels: Integer[np.ndarray, "N"]) -> None:
    """Write the answer for `test.csv`: a header `ImageId,Label`, then row i (from 1) with its label, 0 to 9.

    The file appears whole, in the place of an old one, or not at all. Raises ValueError unless labels are (N,)
    integers from 0 to 9, at least one.
    """
    path, labels = Path(path), np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise ValueError(f"write_submission: expected (N,) integer labels, got {labels.dtype} {labels.shape}")
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if wrong.size:
        raise ValueError(f"write_submission: expected labels from 0 to 9, got {labels[wrong[0]]} in row {wrong[0]}")
    lines = ["ImageId,Label", *(f"{i},{label}" for i, label in enumerate(labels.tolist(), 1))]
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        part = Path(scratch) / path.name
        part.write_bytes("\n".join([*lines, ""]).encode())
        os.replace(part, path)


def _table(path: str | os.PathLike[str], names: tuple[str, ...]) -> np.ndarray:
    """(N, len(names)) uint8, writable."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            _check_header(path, file.readline().removesuffix("\n"), names)
            if not any(line.strip() for line in file):
                raise DataError(path, "has a header and no rows")
        table = np.loadtxt(path, np.uint8, delimiter=",", comments=None, skiprows=1, ndmin=2, encoding="utf-8")
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(path, _first_fault(path, names) or str(error)) from error
    if table.shape[1] != len(names) or ("label" in names and table[:, 0].max() > 9):
        raise DataError(path, _first_fault(path, names))
    return table


def _check_header(path: str | os.PathLike[str], header: str, names: tuple[str, ...]) -> None:
    """Raise DataError unless the header's columns are `names`; say which is missing, extra, doubled or wrong."""
    found = header.split(",")
    if tuple(found) == names:
        return
    if not header:
        raise DataError(path, "is empty")
    wanted = f"the header to be {','.join(names[:2])},...,{names[-1]}"
    if "label" in names and tuple(found) == _PIXELS:
        raise DataError(path, f"has no column label; expected {wanted}. Is it test.csv? That takes read_kaggle_images")
    if "label" not in names and found == ["label", *_PIXELS]:
        raise DataError(path, f"has labels; expected {wanted}. Is it train.csv? That takes read_kaggle_digits")
    twice = next((name for i, name in enumerate(found) if name in found[:i]), None)
    if twice is not None:
        raise DataError(path, f"has the column {_shown(twice)} twice; expected {wanted}")
    place = next((i for i, (a, b) in enumerate(zip(found, names, strict=False)) if a != b), None)
    if place is None:
        raise DataError(path, f"has {len(found)} columns in its header, not {len(names)}; expected {wanted}")
    raise DataError(path, f"column {place + 1} is {_shown(found[place])}, not {names[place]}; expected {wanted}")


def _first_fault(path: str | os.PathLike[str], names: tuple[str, ...]) -> str:
    """What is wrong in the first line that is not as it should be; "" if nothing is found."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [(number, line.removesuffix("\n")) for number, line in enumerate(file, 1)][1:]
    for row, (number, line) in enumerate(((number, line) for number, line in lines if line), 1):
        cells, where = line.split(","), f"row {row} (line {number})"
        for name, cell in zip(names, cells, strict=False):
            largest, match = 9 if name == "label" else 255, _CELL.fullmatch(cell)
            if not match or int(match[1]) > largest:
                return f"{where}, column {name}: expected a whole number from 0 to {largest}, got {_shown(cell)}"
        if len(cells) != len(names):
            return f"{where}: {len(cells)} columns, not the {len(names)} of the header"
    return ""


def _shown(cell: str) -> str:
    """A cell as shown in a message: quoted, on one line, not too long."""
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:37]}..."
