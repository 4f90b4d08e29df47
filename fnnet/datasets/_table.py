"""Your own tables, csv files and DataFrames, as numbers: categories become one-hot columns.

    data, columns = fnnet.datasets.table("cars.csv", target="price", categories=("fuel", "gearbox"))
    train, test = fnnet.datasets.split(data, test_fraction=0.2, seed=0)
    ...
    x = columns.encode({"power": [75], "fuel": ["diesel"], "gearbox": ["manual"]})      # a new row, the same way

The numbers are not scaled: `fnnet.standardize(train.x)` makes the layer that does so, as part of the model.
`fnnet.save(..., columns=columns)` saves the columns with it.
"""

import csv
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float32

from fnnet._spec import spec, static
from fnnet.datasets.data_error import DataError
from fnnet.protocols import Batch

_MISSING = {"", "?", "<na>", "n/a", "na", "nan", "nat", "none", "null"}
_LARGEST = float(np.finfo(np.float32).max)


@runtime_checkable
class Frame(Protocol):
    """A DataFrame, of pandas or another library: `frame.columns` are names, `frame[name].to_numpy()` is a column."""

    @property
    def columns(self) -> Iterable[Any]: ...

    def __getitem__(self, name: Any, /) -> Any: ...


Cells: TypeAlias = Sequence[Any] | np.ndarray
Name: TypeAlias = str | int
TableLike: TypeAlias = str | os.PathLike[str] | Mapping[Any, Cells] | Frame


@spec
class Columns:
    """How the rows of a table become numbers, so that new rows become numbers in the same way.

    inputs      names of the columns that make x, in order
    targets     names of the columns that make y
    categories  (column, its categories in order), for each column that does not hold numbers
    delimiter   the character between the cells of a csv file
    """

    inputs: Sequence[str] = static()
    targets: Sequence[str] = static()
    categories: Sequence[Any] = static(default=())
    delimiter: str = static(default=",")

    def check(self) -> None:
        names = (*self.inputs, *self.targets)
        if len(set(names)) < len(names) or not self.inputs:
            raise ValueError(f"Columns: expected inputs, and each column once, got {self.inputs} and {self.targets}")
        for name, categories in self.categories:
            if name not in names:
                raise ValueError(f"Columns: expected categories of inputs or targets, got {name!r}")
            if name in self.targets and len(self.targets) > 1:
                raise ValueError(f"Columns: expected target {name!r} of categories to be the only target")
            if len(set(categories)) < max(1, len(categories)):
                raise ValueError(f"Columns: expected different categories of {name!r}, got {categories}")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of x's columns: `power`, `fuel=diesel`, `fuel=petrol`."""
        orders = dict(self.categories)
        named = [[f"{name}={c}" for c in orders[name]] if name in orders else [name] for name in self.inputs]
        return tuple(feature for names in named for feature in names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 0, 1, .. where the target is a category; else ()."""
        return next((categories for name, categories in self.categories if name in self.targets), ())

    def encode(self, source: TableLike) -> Float32[np.ndarray, "N I"]:
        """x of a table, (N, I) float32, read-only; targets and other columns may be there or not.

        Raises `DataError` as `table` does, and for a category that is not one of those known.
        """
        return _inputs(self, _read(source, self.delimiter))

    def batch(self, source: TableLike) -> Batch:
        """x and y of a table, such as a test set; errors as in `encode`."""
        rows = _read(source, self.delimiter)
        return Batch(_inputs(self, rows), _targets(self, rows))


def table(
    source: TableLike,
    *,
    target: Name | Sequence[Name],
    categories: Name | Sequence[Name] | Mapping[Any, Sequence[Any]] = (),
    ignore: Name | Sequence[Name] = (),
    delimiter: str = ",",
) -> tuple[Batch, Columns]:
    """Read a table with named columns: `data, columns = table("wine.csv", target="class", categories=("class",))`.

    source      a csv file in UTF-8 with a header, a DataFrame, or a dict of columns
    target      the column that is to be predicted, or several
    categories  the columns that hold categories, not numbers: {"size": ("S", "M", "L")} with their order, or only the
                names, for numerical or alphabetical order
    ignore      columns that are left out, such as a row's identifier; one without a name has to be (pandas' index)
    delimiter   between the cells of a csv file

    Returns Batch(x=(N, I) float32, y), read-only, and the `Columns` that encode new rows in the same way. x has the
    numbers as they are, and one column of 0 and 1 for each category. y is (N,) int32 where the target is a category,
    else (N, number of targets) float32.

    Raises `DataError` with row and column for cells that are missing (empty, NA, NaN, null, ?) or not numbers. Rows
    count from 0, as in the Batch; for a file the line is named too.
    """
    rows = _read(source, delimiter)
    targets, ignored = _names(target), _names(ignore)
    orders = dict.fromkeys(_names(categories))
    if isinstance(categories, Mapping):
        orders = {str(name): order for name, order in categories.items()}
    for name in (*targets, *orders, *ignored):
        _column(rows, name)
    inputs = tuple(name for name in rows.columns if name not in {*targets, *ignored})
    _check_named(rows.name, inputs)
    columns = Columns(
        inputs=inputs,
        targets=targets,
        categories=tuple((name, _order(rows, name, given)) for name, given in orders.items()),
        delimiter=delimiter,
    )
    return Batch(_inputs(columns, rows), _targets(columns, rows)), columns


def _names(given: Name | Iterable[Name]) -> tuple[str, ...]:
    """One name or several, as text: a DataFrame's column 1 is "1"."""
    return (str(given),) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(map(str, given))


def _check_named(table: str, inputs: Sequence[str]) -> None:
    """Raise DataError for a column without a name, or with the one that pandas gives to such."""
    nameless = next((name for name in inputs if not name or name.startswith("Unnamed: ")), None)
    if nameless is not None:
        raise DataError(
            table,
            f"has a column without a name ({nameless!r}), as where pandas writes its index: leave it out with "
            f"ignore=({nameless!r},), or name it",
        )


class _Rows(NamedTuple):
    """A table as it was given: its name in errors, its columns, and the lines of a file in which its rows end."""

    name: str
    columns: Mapping[str, Cells]
    lines: Sequence[int] | None = None

    def fault(self, row: int, column: str, fault: str) -> DataError:
        line = f" (line {self.lines[row]})" if self.lines else ""
        return DataError(self.name, f"row {row}{line}, column {column}: {fault}")


def _read(source: TableLike, delimiter: str) -> _Rows:
    if isinstance(source, str | os.PathLike):
        rows = _from_csv(source, delimiter)
    elif isinstance(source, Mapping):
        rows = _from_columns("table", [(str(name), cells) for name, cells in source.items()])
    elif isinstance(source, Frame):
        rows = _from_columns(type(source).__name__, [(str(name), source[name].to_numpy()) for name in source.columns])
    else:
        raise TypeError(f"table: expected a csv file, a DataFrame or a dict of columns, got {type(source).__name__}")
    if len(next(iter(rows.columns.values()), ())) == 0:
        raise DataError(rows.name, "has no rows")
    return rows


def _from_csv(path: str | os.PathLike[str], delimiter: str) -> _Rows:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"is not text in UTF-8 ({error.reason}): save it as csv in UTF-8") from error
    except csv.Error as error:
        raise DataError(path, f"line {reader.line_num}: {error}") from error
    for row, (line, cells) in enumerate(lines):
        if len(cells) != len(header):
            raise DataError(path, f"row {row} (line {line}): {len(cells)} cells, not the {len(header)} of the header")
    if len(header) == 1 and any(other in header[0] for other in ",;\t"):
        raise DataError(path, f"has one column, {header[0]!r:.60}: are its cells separated otherwise? delimiter=';'")
    _check_distinct(os.fspath(path), header)
    columns = zip(*(cells for _, cells in lines), strict=True) if lines else [()] * len(header)
    return _Rows(os.fspath(path), dict(zip(header, columns, strict=True)), [line for line, _ in lines])


def _from_columns(name: str, columns: Sequence[tuple[str, Any]]) -> _Rows:
    _check_distinct(name, [column for column, _ in columns])
    for column, cells in columns:
        if np.ndim(cells) == 0:
            raise DataError(
                name, f"column {column}: expected one cell per row, got {cells!r:.60}; for one row: [{cells!r:.60}]"
            )
        if np.ndim(cells) != 1 or getattr(getattr(cells, "dtype", None), "kind", "O") in "cmM":
            raise DataError(name, f"column {column}: expected numbers or categories, got {cells!r:.60}; convert it")
        if len(cells) != len(columns[0][1]):
            raise DataError(name, f"column {column} has {len(cells)} rows, {columns[0][0]} has {len(columns[0][1])}")
        if np.ma.is_masked(cells):
            raise DataError(name, f"column {column} has masked entries; fill them, or leave their rows out")
    return _Rows(name, dict(columns))


def _check_distinct(name: str, columns: Sequence[str]) -> None:
    twice = next((column for i, column in enumerate(columns) if column in columns[:i]), None)
    if twice is not None:
        raise DataError(name, f"has the column {twice!r} twice; rename one")


def _column(rows: _Rows, name: str) -> Cells:
    if name not in rows.columns:
        raise DataError(rows.name, f"has no column {name!r}; it has {', '.join(map(repr, rows.columns))}")
    return rows.columns[name]


def _inputs(columns: Columns, rows: _Rows) -> np.ndarray:
    orders = dict(columns.categories)
    parts = [_one_hot(rows, name, orders[name]) if name in orders else _numbers(rows, name) for name in columns.inputs]
    return _read_only(np.column_stack(parts))


def _targets(columns: Columns, rows: _Rows) -> np.ndarray:
    """(N,) int32 classes, or (N, number of targets) float32."""
    if columns.classes:
        return _read_only(_codes(rows, columns.targets[0], columns.classes).astype(np.int32))
    return _read_only(np.column_stack([_numbers(rows, name) for name in columns.targets]))


def _numbers(rows: _Rows, name: str) -> np.ndarray:
    """(N,) float32 of a column in which every cell is a finite number."""
    cells = _column(rows, name)
    try:
        with np.errstate(over="ignore"):
            numbers = np.array([_number(cell) for cell in cells]).astype(np.float32)
    except (TypeError, ValueError):
        numbers = np.full(len(cells), np.nan)
    if not np.isfinite(numbers).all():
        raise _first_fault(rows, name)
    return numbers


def _number(cell: Any) -> float:
    if isinstance(cell, str) and "_" in cell:  # Python reads 1_000 as a number, which no table means
        raise ValueError
    return float(cell)


def _first_fault(rows: _Rows, name: str) -> DataError:
    """The error for the first cell of a column that is not a finite number in float32."""
    for row, cell in enumerate(_column(rows, name)):
        if _is_missing(cell):
            return rows.fault(row, name, "is missing; fill it in, or leave the row out")
        try:
            number = _number(cell)
        except (TypeError, ValueError):
            return rows.fault(
                row,
                name,
                f"expected a number, got {_shown(cell)}; if the column holds categories: categories=({name!r},)",
            )
        if not abs(number) <= _LARGEST:
            return rows.fault(row, name, f"expected a number that float32 can hold, got {_shown(cell)}")
    raise AssertionError("a column was refused in which nothing is wrong")


def _shown(cell: Any) -> str:
    """A cell as shown in a message, not too long."""
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _is_missing(cell: Any) -> bool:
    return str(cell).strip().lower() in _MISSING


def _order(rows: _Rows, name: str, given: Sequence[Any] | None) -> tuple[str, ...]:
    """The categories of a column: as given, else in numerical order if all are numbers, else in alphabetical order."""
    if given is not None:
        return tuple(map(_text, given))
    for row, cell in enumerate(_column(rows, name)):
        if _is_missing(cell):
            fault = "is missing; fill it in, leave the row out, or name it as a category: categories={column: (..)}"
            raise rows.fault(row, name, fault)
    found = {_text(cell) for cell in _column(rows, name)}
    try:
        return tuple(sorted(found, key=lambda text: (_number(text), text)))
    except ValueError:
        return tuple(sorted(found))


def _text(cell: Any) -> str:
    """A category's name: 1 and 1.0 are the same one, as one file has it and another."""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return text.partition(".")[0] if re.fullmatch(r"[+-]?\d+\.0*", text) else text


def _one_hot(rows: _Rows, name: str, categories: tuple[str, ...]) -> np.ndarray:
    """(N, C): 1 in the column of the row's category, 0 elsewhere."""
    return np.eye(len(categories), dtype=np.float32)[_codes(rows, name, categories)]


def _codes(rows: _Rows, name: str, categories: tuple[str, ...]) -> np.ndarray:
    """(N,) places of a column's cells among the categories."""
    place = {category: i for i, category in enumerate(categories)}
    texts = [*map(_text, _column(rows, name))]
    unknown = next((row for row, text in enumerate(texts) if text not in place), None)
    if unknown is not None:
        known = ", ".join(map(repr, categories[:20])) + (", ..." if len(categories) > 20 else "")
        raise rows.fault(unknown, name, f"expected one of the categories {known}, got {_shown(texts[unknown])}")
    return np.array([place[text] for text in texts])


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
