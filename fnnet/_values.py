"""User input as arrays of numbers: lists, DataFrames and Series are converted, everything else is refused. And a dtype.

`fit`, `sweep`, `evaluate` and `predict` call this before anything compiled. A Batch itself converts nothing:
it is a pytree.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype
from jax.typing import DTypeLike


def as_array(caller: str, name: str, value: Any) -> Any:
    """value as an array of numbers that JAX keeps as they are; tracers, JAX arrays and memory maps pass."""
    if isinstance(value, jax.Array):
        return value
    where = f"{caller}: {name}"
    if value is None:
        raise TypeError(f"{where}: expected an array of numbers, got None")
    if hasattr(value, "to_numpy") and not hasattr(value, "iloc"):  # not pandas: polars, xarray
        value = value.to_numpy()
    if hasattr(value, "iloc"):
        value = _from_frame(where, value) if hasattr(value, "columns") else _from_column(where, value.name, value)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise ValueError(f"{where}: expected no masked entries, got {np.ma.count_masked(value)}; fill or drop them")
        value = value.data
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise ValueError(f"{where}: expected rows of one shape, got {error}") from None
    return narrowed(where, _numbers(where, array))


def check_key(caller: str, key: Any, name: str = "key") -> None:
    """Raise TypeError for what is no key; the uint32 arrays that keys once were pass."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or (np.ndim(key) == 0 and not jnp.issubdtype(dtype, jax.dtypes.prng_key)):
        shown = repr(key) if dtype is None else dtype
        raise TypeError(f"{caller}: expected {name} to be a key such as jax.random.key(0), got {shown}")


def narrowed(where: str, array: np.ndarray) -> np.ndarray:
    """64-bit integers as JAX computes with them: in 32 bits, unless 64-bit types are enabled.

    Raises ValueError for one that does not fit. A memory map is left alone: its rows are narrowed as they are read.
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or canonicalize_dtype(array.dtype) == array.dtype:
        return array
    if isinstance(array, np.memmap):
        return array
    narrow = np.dtype(f"{array.dtype.kind}4")
    limits = np.iinfo(narrow)
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise ValueError(
            f"{where}: expected integers from {limits.min} to {limits.max}, got {array.min()} to {array.max()}; pass "
            f"floating numbers, or enable 64-bit types first: jax.config.update('jax_enable_x64', True)"
        )
    return array.astype(narrow)


def _numbers(where: str, array: np.ndarray) -> np.ndarray:
    """The array in the machine's byte order. Raises TypeError for anything but real numbers of at most 64 bits."""
    if array.dtype.kind in "OUSMm":
        found = next((type(entry).__name__ for entry in array.ravel() if not isinstance(entry, float | int)), "objects")
        raise TypeError(
            f"{where}: expected numbers, got {array.dtype} (such as {found}); encode categories as numbers first "
            f"(fnnet.datasets.table does), or convert with .astype(float)"
        )
    if array.dtype.kind == "c" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        raise TypeError(f"{where}: expected real numbers of at most 64 bits, got {array.dtype}; convert with .astype")
    if array.dtype == np.float64 and canonicalize_dtype(np.float64) == np.float32 and not isinstance(array, np.memmap):
        _check_float32(where, array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _check_float32(where: str, array: np.ndarray) -> None:
    """Raise ValueError for a finite number that float32 cannot hold: it would silently become infinite."""
    wrong = np.argwhere(np.isfinite(array) & (np.abs(array) > np.finfo(np.float32).max))
    if wrong.size:
        place = tuple(map(int, wrong[0]))
        raise ValueError(
            f"{where}: expected numbers that float32 can hold, got {array[place]:g} at {place}; rescale them"
        )


def _from_frame(where: str, frame: Any) -> np.ndarray:
    """A DataFrame, (rows, columns)."""
    columns = [_from_column(where, name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _from_column(where: str, name: Any, column: Any) -> np.ndarray:
    """A Series, (rows,)."""
    missing = np.flatnonzero(np.asarray(column.isna()))
    if missing.size:
        raise ValueError(
            f"{where}: expected a number in every row of column {name!r}, got a missing value in row {missing[0]} "
            f"({missing.size} in all); fill or drop them"
        )
    array = column.to_numpy()
    if array.dtype.kind == "O":  # what pandas makes of its own nullable numbers
        numeric = all(isinstance(entry, int | float | np.number) for entry in array)
        array = array.astype(float) if numeric else array
    if array.dtype.kind in "OUSMm":
        raise TypeError(
            f"{where}: expected numbers in column {name!r}, got {column.dtype} such as {array.ravel()[0]!r}; drop the "
            f"column, or encode it (fnnet.datasets.table does)"
        )
    return array


def at_least_float32(dtype: DTypeLike) -> DTypeLike:
    """float64 for float64, else float32: the dtype of means, counts and schedules."""
    return jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
