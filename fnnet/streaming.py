"""Data larger than memory: the batches of an epoch from memory-mapped arrays, chunk by chunk, and the same bits.

A chunk is a run of whole batches. While the device works through one, the next is read from the disk: JAX returns
before the work is done. Only what is in the two chunks is in memory.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet.batch import Batch
from fnnet.model import Model
from fnnet.training import Metrics, TrainState, evaluate, mean_metrics, plan, train_batches

CHUNK_BYTES = 2**26
"""What the inputs of a chunk take at most, unless one batch takes more."""


@dataclasses.dataclass(frozen=True)
class Stream:
    """A data set that stays where it is, and which of its rows count as rows 0, 1, ... (None: all, as they stand).

    Rows of weight 0 are read as the first row that counts, as `fnnet.model.masked` has it.
    """

    data: Batch
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data.y) if self.rows is None else len(self.rows)

    def take(self, numbers: np.ndarray) -> Batch:
        """The rows of these numbers, (B,), read in the order in which they lie on the disk."""
        rows = numbers if self.rows is None else self.rows[numbers]
        weights = None if self.data.weights is None else np.asarray(self.data.weights)[rows]
        if weights is not None:
            rows = np.where(weights != 0, rows, self._stand_in())
        sorting = np.argsort(rows, kind="stable")
        back = np.empty_like(sorting)
        back[sorting] = np.arange(len(rows))
        x, y = (np.asarray(a[rows[sorting]])[back] for a in self.data[:2])
        return Batch(x, y, weights)

    def _stand_in(self) -> int:
        weights = np.asarray(self.data.weights)
        counting = np.flatnonzero(weights if self.rows is None else weights[self.rows])
        if counting.size == 0:
            raise ValueError("expected a row with a weight above 0")
        return int(counting[0]) if self.rows is None else int(self.rows[counting[0]])


def is_mapped(data: Batch) -> bool:
    """Whether the inputs lie in a memory-mapped file."""
    return isinstance(data.x, np.memmap)


def batches(
    stream: Stream, order: PRNGKeyArray | None, step: Any, batch_size: int, at_once: int = 1
) -> Iterator[Batch]:
    """The batches of the epoch that `step` lies in, `at_once` of them stacked: every array (at_once, B, ...)."""
    rows, real = jax.tree.map(np.asarray, _plan(order, step, len(stream), batch_size))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        x, y, weights = stream.take(part.ravel())
        if real is not None:
            weights = _only(real[start : start + at_once].ravel(), weights)
        yield jax.tree.map(lambda a, shape=part.shape: a.reshape(*shape, *a.shape[1:]), Batch(x, y, weights))


def stream_epoch(
    model: Model,
    optimizer: Any,
    state: TrainState,
    stream: Stream,
    *,
    batch_size: int,
    order: PRNGKeyArray | None,
    chunk_bytes: int = CHUNK_BYTES,
) -> tuple[TrainState, Metrics]:
    """`train_epoch` over rows that are read as they are needed; the same bits.

    chunk_bytes   of the inputs in a chunk, at most; a chunk is at least one batch
    """
    row = stream.data.x.itemsize * int(np.prod(stream.data.x.shape[1:]))
    at_once = max(1, int(chunk_bytes // max(1, row * min(batch_size, len(stream)))))
    parts = []
    for chunk in batches(stream, order, state.step, batch_size, at_once):
        state, metrics = train_batches(model, optimizer, state, chunk)
        parts.append(metrics)
    return state, mean_metrics(jax.tree.map(lambda *m: jnp.concatenate(m), *parts))


def stream_evaluate(model: Model, params: Any, stream: Stream, *, batch_size: int = 1000, step: Any = None) -> Metrics:
    """`evaluate` over rows that are read as they are needed."""
    n = len(stream)
    size, parts = min(batch_size, n), []
    for first in range(0, n, size):
        start = min(first, n - size)
        x, y, weights = stream.take(np.arange(start, start + size))
        new = np.arange(start, start + size) >= first  # the last slice overlaps: rows already counted weigh 0
        parts.append(evaluate(model, params, Batch(x, y, _only(new, weights)), batch_size=size, step=step))
    return mean_metrics(jax.tree.map(lambda *m: jnp.stack(m), *parts))


def _only(kept: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Weights of rows of which only some count."""
    return kept.astype(np.float32) if weights is None else np.where(kept, weights, np.zeros((), weights.dtype))


@partial(jax.jit, static_argnums=(2, 3))
def _plan(order: PRNGKeyArray | None, step: Any, n: int, batch_size: int) -> Any:
    return plan(order, step, n, batch_size)
