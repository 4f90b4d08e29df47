"""Kaggle's "Digit Recognizer": its tables of digits in, a submission out.

`train.csv` has the header `label,pixel0,...,pixel783` and 42,000 rows, `test.csv` the same without `label` and 28,000
rows; a pixel is a whole number from 0 to 255, row by row from the upper left. The reader takes exactly that. It reads
all bytes of a block of rows at once and, only where a block is not as it should be, cell by cell to name the fault.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from fnnet.datasets.errors import DataError
from fnnet.protocols import Batch

_SIDE = 28
_PIXELS = tuple(f"pixel{i}" for i in range(_SIDE * _SIDE))
_BLOCK = 2**18  # bytes; what is computed of a block stays in the cache
_COMMA, _LINE_END, _ZERO, _NINE = b",\n09"
_CELL = re.compile(rb"[0-9]{1,3}")


def read_kaggle_digits(path: str | os.PathLike[str]) -> Batch:
    """Read `train.csv`: Batch(x=(N, 28, 28) uint8, y=(N,) int32 in 0..9), read-only, in the order of the file.

    Raises `DataError` that names the file and, where the fault is in one cell, its row and column. Rows count from
    1 below the header. Lines may end as on Windows; a pixel is one to three digits and nothing else.
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
    header, body = _content(path)
    _check_header(path, header, names)
    if not body:
        raise DataError(path, "has a header and no rows")
    table = np.empty((body.count(b"\n"), len(names)), np.uint8)
    row = 0
    for block in _blocks(body):
        cells = _cells(block, names)
        if cells is None:
            raise DataError(path, _first_fault(block, names, row))
        table[row : row + len(cells)] = cells
        row += len(cells)
    return table


def _content(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    """(header, the lines below it, each with its end): ends are made alike, a missing last one is added."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error
    if not content:
        raise DataError(path, "is empty")
    header, _, body = content.partition(b"\n")
    if header.endswith(b"\r"):
        header, body = header[:-1], body.replace(b"\r\n", b"\n")
    if body and not body.endswith(b"\n"):
        body += b"\n"
    return header.decode("utf-8", "replace"), body


def _check_header(path: str | os.PathLike[str], header: str, names: tuple[str, ...]) -> None:
    """Raise DataError unless the header's columns are `names`; say which is missing, surplus, double or wrong."""
    found = header.split(",")
    if tuple(found) == names:
        return
    wanted = f"the header to be {','.join(names[:2])},...,{names[-1]}"
    if "label" in names and tuple(found) == _PIXELS:
        raise DataError(path, f"has no column label; expected {wanted}. Is it test.csv? That takes read_kaggle_images")
    if "label" not in names and found == ["label", *_PIXELS]:
        raise DataError(path, f"has labels; expected {wanted}. Is it train.csv? That takes read_kaggle_digits")
    twice = next((name for i, name in enumerate(found) if name in found[:i]), None)
    if twice is not None:
        raise DataError(path, f"has the column {_shown(twice.encode())} twice; expected {wanted}")
    place = next((i for i, (a, b) in enumerate(zip(found, names, strict=False)) if a != b), None)
    if place is None:
        raise DataError(path, f"has {len(found)} columns in its header, not {len(names)}; expected {wanted}")
    raise DataError(
        path, f"column {place + 1} is {_shown(found[place].encode())}, not {names[place]}; expected {wanted}"
    )


def _blocks(body: bytes) -> Iterator[bytes]:
    """Whole lines, `_BLOCK` bytes or a little more at a time."""
    start = 0
    while start < len(body):
        stop = body.find(b"\n", start + _BLOCK) + 1 or len(body)
        yield body[start:stop]
        start = stop


def _cells(block: bytes, names: tuple[str, ...]) -> np.ndarray | None:
    """(rows, columns) uint16 of lines in which all is well, else None.

    The number that ends before a separator at place i is the sum of the digits at i - 1, ten times that at i - 2
    and a hundred times that at i - 3, as far as they belong to it. That is computed at every place, where it costs
    three additions of whole arrays, and read at the separators.
    """
    b = np.frombuffer(b"\n\n\n\n" + block, np.uint8)  # so that the first cells have four places before them too
    ends = b < _ZERO
    digits = np.where(ends, 0, b - np.uint8(_ZERO)).astype(np.uint16)
    tens, hundreds = digits[2:-2], np.where(ends[2:-2], 0, digits[1:-3])
    ended = ends[4:]
    values = (digits[3:-1] + 10 * tens + 100 * hundreds)[ended]
    separators = b[4:][ended]
    is_empty = ended & ends[3:-1]
    is_long = ended & ~(ends[:-4] | ends[1:-3] | ends[2:-2] | ends[3:-1])
    if len(values) % len(names) or b.max() > _NINE or is_empty.any() or is_long.any() or values.max() > 255:
        return None
    values, separators = values.reshape(-1, len(names)), separators.reshape(-1, len(names))
    if (separators[:, :-1] != _COMMA).any() or (separators[:, -1] != _LINE_END).any():
        return None
    return None if "label" in names and values[:, 0].max() > 9 else values


def _first_fault(block: bytes, names: tuple[str, ...], row: int) -> str:
    """What is wrong in the first line of the block that is not as it should be; `row` lines came before it."""
    for number, line in enumerate(block.split(b"\n")[:-1], row + 1):
        where = f"row {number} (line {number + 1})"
        cells = line.split(b",")
        for name, cell in zip(names, cells, strict=False):
            largest = 9 if name == "label" else 255
            if not _CELL.fullmatch(cell) or int(cell) > largest:
                return f"{where}, column {name}: expected a whole number from 0 to {largest}, got {_shown(cell)}"
        if len(cells) != len(names):
            return f"{where}: {len(cells)} columns, not the {len(names)} of the header"
    raise AssertionError("the fast reader refused a block in which nothing is wrong")


def _shown(cell: bytes) -> str:
    """A cell as it may stand in a message: quoted, on one line, not too long."""
    text = repr(cell.decode("utf-8", "replace"))
    return text if len(text) <= 40 else f"{text[:37]}..."
