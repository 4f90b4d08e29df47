"""The rows of a data set that a run trains on: which of them, and with what weights."""

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet._jit import jit
from fnnet._values import narrowed
from fnnet.datasets._split import split_rows
from fnnet.protocols import Batch
from fnnet.training.epochs import plan

PART_BYTES = 2**20
"""How much is read from a file at a time."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """A data set that stays where it is, in memory or in a file, and which of its rows count as rows 0, 1, ...

    data     NumPy arrays, memory-mapped ones included, or JAX's
    numbers  of the rows in data; None: all, in order

    Rows of weight 0 are read as the first row that counts, as `fnnet.model.masked` has it.
    """

    data: Batch
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data.y) if self.numbers is None else len(self.numbers)

    @property
    def any_counts(self) -> bool:
        """Whether a row has a weight above 0."""
        if self.data.weights is None:
            return True
        weights = np.asarray(self.data.weights)
        return bool(np.any(weights if self.numbers is None else weights[self.numbers]))

    def first(self, count: int) -> "Rows":
        """The first `count` of them."""
        numbers = np.arange(len(self)) if self.numbers is None else self.numbers
        return Rows(self.data, numbers[:count])

    def on_host(self) -> "Rows":
        """The same rows as NumPy arrays; memory-mapped ones stay mapped."""
        return dataclasses.replace(self, data=jax.tree.map(np.asanyarray, self.data))

    def read_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(numbers in data of the rows that are read for these places, weights of the rows there)."""
        numbers = places if self.numbers is None else self.numbers[places]
        if self.data.weights is None:
            return numbers, None
        weights = np.asarray(self.data.weights)[numbers]
        return np.where(weights != 0, numbers, self._stand_in), weights

    def take(self, places: np.ndarray) -> Batch:
        """The rows in these places, (B,), read in the order in which they are stored."""
        numbers, weights = self.read_at(places)
        return Batch(_read(self.data.x, numbers, "x"), _read(self.data.y, numbers, "y"), weights)

    @cached_property
    def _stand_in(self) -> int:
        """The first row that counts; found once, then kept."""
        weights = np.asarray(self.data.weights)
        counting = np.flatnonzero(weights if self.numbers is None else weights[self.numbers])
        if counting.size == 0:
            raise ValueError("expected a row with a weight above 0")
        return int(counting[0]) if self.numbers is None else int(self.numbers[counting[0]])


def _read(array: np.ndarray, numbers: np.ndarray, name: str) -> np.ndarray:
    """array[numbers], read in parts and in the order of storage, so that nothing is held twice."""
    rows = np.empty((len(numbers), *array.shape[1:]), array.dtype.newbyteorder("="))
    sorting = np.argsort(numbers, kind="stable")
    at_once = max(1, PART_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(numbers), at_once):
        part = sorting[start : start + at_once]
        rows[part] = array[numbers[part]]
    return narrowed(f"fit: {name}", rows)


def planned(
    rows: Rows, shuffle: PRNGKeyArray | None, step: Any, batch_size: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """`plan` on the host: the places of every batch, (S, B), of the epoch that `step` lies in, and which are real."""
    return jax.tree.map(np.asarray, _plan(shuffle, step, len(rows), batch_size))


@jit("n", "batch_size")
def _plan(shuffle: PRNGKeyArray | None, step: Any, n: int, batch_size: int) -> Any:
    return plan(shuffle, step, n, batch_size)


def stacked(rows: Rows, places: np.ndarray, real: np.ndarray | None, at_once: int) -> Iterator[Batch]:
    """The batches of a plan, `at_once` of them stacked: every array (at_once, B, ...). Padding rows weigh 0."""
    for start in range(0, len(places), at_once):
        part = places[start : start + at_once]
        x, y, weights = rows.take(part.ravel())
        if real is not None:
            weights = only(real[start : start + at_once].ravel(), weights)
        yield jax.tree.map(lambda a, shape=part.shape: a.reshape(*shape, *a.shape[1:]), Batch(x, y, weights))


def only(kept: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The weights, 0 for all rows but those kept."""
    return kept.astype(np.float32) if weights is None else np.where(kept, weights, np.zeros((), weights.dtype))


def split_off(
    data: Batch, validation: Batch | float | None, shuffle: PRNGKeyArray | None, caller: str = "fit"
) -> tuple[Rows, Rows | None]:
    """(rows to train on, rows to validate on): the latter given, or a fraction of every class, drawn."""
    if validation is None or isinstance(validation, Batch):
        return Rows(data), None if validation is None else Rows(validation)
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise ValueError(
            f"{caller}: expected validation to be a fraction between 0 and 1, or a Batch, got {validation!r}"
        )
    if shuffle is None:
        raise ValueError(
            f"{caller}: rows to hold out are drawn with a key made from shuffle; pass one, or a Batch to validate"
        )
    seed = int(jax.random.bits(jax.random.fold_in(shuffle, 2**32 - 1)))
    numbers, held_out = split_rows(_classes(np.asarray(data.y)), validation, seed)
    if not 0 < len(held_out) < len(data.y):
        raise ValueError(f"{caller}: validation={validation} of {len(data.y)} rows leaves a part empty")
    return Rows(data, numbers), Rows(data, held_out)


def check_any_counts(caller: str, parts: dict[str, Rows | None]) -> None:
    """Raise ValueError for a part, named, whose rows all have the weight 0: its mean would be one over nothing."""
    for what, part in parts.items():
        if part is not None and not part.any_counts:
            raise ValueError(f"{caller}: expected a row of the {what} with a weight above 0, got none")


def with_class_weights(rows: Rows, class_weights: Any) -> Rows:
    """Weights of rows times the weights of their classes."""
    w, y = np.asarray(class_weights, np.float32), np.asarray(rows.data.y)
    if rows.data.weights is not None:  # what stands in a row of weight 0 changes nothing
        counting = np.asarray(rows.data.weights).reshape(-1, *(1,) * (y.ndim - 1)) != 0
        y = np.where(counting, y, np.zeros((), y.dtype))
    y = _classes(y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"fit: class_weights need integer classes (N,), or (N, 1) of 0 and 1, got targets of {y.dtype} {y.shape}"
        )
    if w.ndim != 1 or not np.all(np.isfinite(w) & (w >= 0)):
        raise ValueError(f"fit: expected class_weights to be (C,) finite numbers of 0 or more, got {class_weights!r}")
    if y.size and not 0 <= y.min() <= y.max() < len(w):
        raise ValueError(f"fit: expected a class weight for classes {y.min()} to {y.max()}, got {len(w)} weights")
    weights = w[y] if rows.data.weights is None else w[y] * np.asarray(rows.data.weights, np.float32)
    return dataclasses.replace(rows, data=rows.data._replace(weights=weights))


def _classes(y: np.ndarray) -> np.ndarray:
    """(N,) integers where y is a column of 0 and 1, what a sigmoid has for two classes; others as they are."""
    is_binary = y.shape[1:] == (1,) and bool(np.isin(y, (0, 1)).all())
    return y[:, 0].astype(np.int32) if is_binary else y
