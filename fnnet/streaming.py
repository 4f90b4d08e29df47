"""Data larger than memory: the batches of an epoch from memory-mapped arrays, chunk by chunk, and the same bits.

A chunk is a run of whole batches. While the device works through one, the next is read from the disk: JAX returns
before the work is done. Only what is in the two chunks is in memory.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
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

    def on_host(self) -> "Stream":
        """The same rows as NumPy arrays; memory-mapped ones stay mapped."""
        return dataclasses.replace(self, data=jax.tree.map(np.asanyarray, self.data))

    def take(self, numbers: np.ndarray) -> Batch:
        """The rows of these numbers, (B,), read in the order in which they lie on the disk."""
        rows = numbers if self.rows is None else self.rows[numbers]
        weights = None if self.data.weights is None else np.asarray(self.data.weights)[rows]
        if weights is not None:
            rows = np.where(weights != 0, rows, self._stand_in)
        sorting = np.argsort(rows, kind="stable")
        back = np.empty_like(sorting)
        back[sorting] = np.arange(len(rows))
        x, y = (np.asarray(a[rows[sorting]])[back] for a in self.data[:2])
        return Batch(x, y, weights)

    @cached_property
    def _stand_in(self) -> int:
        """The first row that counts, looked for once."""
        weights = np.asarray(self.data.weights)
        counting = np.flatnonzero(weights if self.rows is None else weights[self.rows])
        if counting.size == 0:
            raise ValueError("expected a row with a weight above 0")
        return int(counting[0]) if self.rows is None else int(self.rows[counting[0]])


def is_mapped(data: Batch) -> bool:
    """Whether the inputs lie in a memory-mapped file."""
    return isinstance(data.x, np.memmap)


def batches(
    stream: Stream, order: PRNGKeyArray | None, step: Any, batch_size: int, at_once: int = 1, mesh: Mesh | None = None
) -> Iterator[Batch]:
    """The batches of the epoch that `step` lies in, `at_once` of them stacked: every array (at_once, B, ...).

    With a mesh, B is the next multiple of its size, the rows more weigh 0, and the arrays lie spread over its
    devices along B; each process reads the rows of its own devices only.
    """
    rows, real = jax.tree.map(np.asarray, _plan(order, step, len(stream), batch_size))
    own = slice(None)
    if mesh is not None:
        rows, real = _padded(rows, real, -rows.shape[1] % mesh.size)
        own = _own_columns(mesh, rows.shape)
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once, own]
        x, y, weights = stream.take(part.ravel())
        if real is not None:
            weights = _only(real[start : start + at_once, own].ravel(), weights)
        batch = jax.tree.map(lambda a, shape=part.shape: a.reshape(*shape, *a.shape[1:]), Batch(x, y, weights))
        yield batch if mesh is None else _spread(batch, mesh, rows.shape[1])


def stream_epoch(
    model: Model,
    optimizer: Any,
    state: TrainState,
    stream: Stream,
    *,
    batch_size: int,
    order: PRNGKeyArray | None,
    chunk_bytes: int = CHUNK_BYTES,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """`train_epoch` over rows that are read as they are needed; the same bits.

    chunk_bytes   of the inputs in a chunk, at most; a chunk is at least one batch
    mesh          of devices that share every batch (see `data_mesh`): sums over rows become sums over devices, so
                  the bits differ as the order of summing does
    """
    row = stream.data.x.itemsize * int(np.prod(stream.data.x.shape[1:]))
    at_once = max(1, int(chunk_bytes // max(1, row * min(batch_size, len(stream)))))
    parts = []
    work = train_batches if mesh is None else _on_mesh(mesh)
    for chunk in batches(stream, order, state.step, batch_size, at_once, mesh):
        state, metrics = work(model, optimizer, state, chunk)
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


def data_mesh() -> Mesh:
    """All devices of all processes in one row, for `fit(..., mesh=)`: each takes an equal part of every batch."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(tree: Any, mesh: Mesh) -> Any:
    """The arrays with a copy on every device of the mesh; what is spread over several processes already stays."""

    def copies(a: Any) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(copies(jax.random.key_data(a)), impl=jax.random.key_impl(a))
        if isinstance(a, jax.Array) and not a.is_fully_addressable:
            return a
        return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec()), np.asarray(a))

    return jax.tree.map(copies, tree)


@cache
def _on_mesh(mesh: Mesh) -> Any:
    """train_batches with results on every device. Nothing in it says how: XLA puts the sum over devices where the
    hand-derived backward sums over rows."""
    return jax.jit(train_batches, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _padded(rows: np.ndarray, real: np.ndarray | None, more: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Plans (S, B) with so many columns more, whose rows do not count."""
    if more == 0:
        return rows, real
    real = np.ones(rows.shape, bool) if real is None else real
    return np.pad(rows, ((0, 0), (0, more)), "edge"), np.pad(real, ((0, 0), (0, more)))


def _own_columns(mesh: Mesh, shape: tuple[int, ...]) -> np.ndarray:
    """Which columns of (S, B) this process's devices work on."""
    slices = _along_rows(mesh).addressable_devices_indices_map(shape).values()
    return np.unique(np.concatenate([np.arange(shape[1])[index[1]] for index in slices if index is not None]))


def _spread(batch: Batch, mesh: Mesh, size: int) -> Batch:
    """Global arrays (S, size, ...) of which this process has its columns."""

    def spread(a: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(_along_rows(mesh), a, (a.shape[0], size, *a.shape[2:]))

    return jax.tree.map(spread, batch)


def _along_rows(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(None, mesh.axis_names[0]))


def _only(kept: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Weights of rows of which only some count."""
    return kept.astype(np.float32) if weights is None else np.where(kept, weights, np.zeros((), weights.dtype))


@partial(jax.jit, static_argnums=(2, 3))
def _plan(order: PRNGKeyArray | None, step: Any, n: int, batch_size: int) -> Any:
    return plan(order, step, n, batch_size)
