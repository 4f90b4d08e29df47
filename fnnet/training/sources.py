"""Where rows are stored while a network trains: in the device's memory, in a file, or split across many devices.

The code that trains does not depend on it. A source does an epoch of training or a measurement, and gives the same bits
wherever its rows are; only a sum over several devices is taken in another order.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray

from fnnet._jit import Compiled
from fnnet._xla.convolution_options import for_convolutions
from fnnet.layers.convolution import has_convolutions
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer
from fnnet.training.epochs import measured, train_epoch
from fnnet.training.rows import Rows, only, planned, stacked
from fnnet.training.state import Metrics, TrainState
from fnnet.training.steps import mean_metrics, train_batches

CHUNK_BYTES = 2**24
"""What the inputs of a chunk take at most, unless one batch takes more."""


@runtime_checkable
class Source(Protocol):
    """Rows to train on or to measure."""

    def epoch(
        self, model: Model, optimizer: Optimizer, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None
    ) -> tuple[TrainState, Metrics]:
        """What `train_epoch` does: every row once, metrics ()."""
        ...

    def measure(self, model: Model, state: TrainState) -> Metrics:
        """What `evaluate` does, ()."""
        ...

    def batches(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> Iterator[Batch]:
        """The batches of the epoch that `state` begins, one by one, every array (1, B, ...)."""
        ...

    def numbers(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> np.ndarray:
        """(S, B): the row of the data set at each place in these batches."""
        ...


def source_of(rows: Rows, mesh: Mesh | None = None) -> Source:
    """The source of these rows: streamed from their file, split across the mesh, or else held on the device."""
    if mesh is not None:
        return OnMesh(rows.on_host(), mesh=mesh)
    return Streamed(rows) if isinstance(rows.data.x, np.memmap) else in_memory(rows)


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Rows on the device; an epoch is one program."""

    data: Batch
    rows: Rows

    def epoch(
        self, model: Model, optimizer: Optimizer, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None
    ) -> tuple[TrainState, Metrics]:
        train = _program(train_epoch, model, "batch_size")
        return train(model, optimizer, state, self.data, batch_size=batch_size, shuffle=shuffle)

    def measure(self, model: Model, state: TrainState) -> Metrics:
        measure = _program(measured, model, "batch_size")
        return measure(model, state.params, self.data, step=state.step)

    def batches(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> Iterator[Batch]:
        return Streamed(self.rows.on_host()).batches(state, batch_size, shuffle)

    def numbers(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> np.ndarray:
        return Streamed(self.rows).numbers(state, batch_size, shuffle)


def _program(program: Compiled, model: Model, *static: str) -> Compiled:
    """The program, compiled as large convolutions want it where the model has some."""
    return for_convolutions(program, *static) if has_convolutions(model) else program


def in_memory(rows: Rows) -> InMemory:
    """The rows copied to the device, once."""
    if rows.numbers is None:
        return InMemory(jax.tree.map(_owned, rows.data), rows)
    return InMemory(jax.device_put(jax.tree.map(lambda a: np.asarray(a)[rows.numbers], rows.data)), rows)


def _owned(a: np.ndarray | jax.Array) -> jax.Array:
    """a on the device; copied where its owner could write to it, since a CPU may use the memory in place."""
    return jnp.array(a) if isinstance(a, np.ndarray) and a.flags.writeable else jax.device_put(a)


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Rows that are read as they are needed, so that there may be more of them than memory.

    chunk_bytes   of the inputs in a chunk, at most; a chunk is a run of whole batches, one at least

    While the device works through one chunk, the next is read: JAX returns before the work is done. Memory holds these
    two and a copy of one on its way to the device, 100 MB with what compiling takes (a file of 179 MB).
    """

    rows: Rows
    chunk_bytes: int = CHUNK_BYTES

    def epoch(
        self, model: Model, optimizer: Optimizer, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None
    ) -> tuple[TrainState, Metrics]:
        x, parts, train = self.rows.data.x, [], self._program(model)
        row_bytes = max(1, x.itemsize * int(np.prod(x.shape[1:])))
        at_once = max(1, self.chunk_bytes // (row_bytes * max(1, min(batch_size, len(self.rows)))))
        for chunk in self._chunks(state, batch_size, shuffle, at_once):
            state, metrics = train(model, optimizer, state, chunk)
            parts.append(metrics)
            jax.block_until_ready(parts[-2:-1])  # the chunk before: else chunks pile up when the device is slow
        return state, mean_metrics(jax.tree.map(lambda *m: jnp.concatenate(m), *parts))

    def measure(self, model: Model, state: TrainState, batch_size: int = 1000) -> Metrics:
        n, measure = len(self.rows), _program(measured, model, "batch_size")
        size, parts = min(batch_size, n), []
        for first in range(0, n, size):
            start = min(first, n - size)
            x, y, weights = self.rows.take(np.arange(start, start + size))
            new = np.arange(start, start + size) >= first  # the last slice overlaps: rows already counted weigh 0
            part = Batch(x, y, only(new, weights))
            parts.append(measure(model, state.params, part, batch_size=size, step=state.step))
        return mean_metrics(jax.tree.map(lambda *m: jnp.stack(m), *parts))

    def batches(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> Iterator[Batch]:
        return self._chunks(state, batch_size, shuffle, at_once=1)

    def _chunks(
        self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None, at_once: int
    ) -> Iterator[Batch]:
        return stacked(self.rows, *self._plan(state, batch_size, shuffle), at_once)

    def numbers(self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None) -> np.ndarray:
        places, _ = self._plan(state, batch_size, shuffle)
        return self.rows.read_at(places)[0]

    def _plan(
        self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return planned(self.rows, shuffle, state.step, batch_size)

    def _program(self, model: Model) -> Compiled:
        return _program(train_batches, model)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnMesh(Streamed):
    """Rows streamed to many devices: each batch is split across them, (S, B, ...) along B.

    B is the next multiple of the mesh's size, the padding rows weigh 0, and each process reads the rows of its own
    devices only.
    """

    mesh: Mesh

    def _chunks(
        self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None, at_once: int
    ) -> Iterator[Batch]:
        size = -(-min(batch_size, len(self.rows)) // self.mesh.size) * self.mesh.size
        for part in super()._chunks(state, batch_size, shuffle, at_once):
            yield jax.tree.map(lambda a: _split(a, self.mesh, size), part)

    def _plan(
        self, state: TrainState, batch_size: int, shuffle: PRNGKeyArray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        places, real = _padded(*super()._plan(state, batch_size, shuffle), self.mesh.size)
        own = _own_columns(self.mesh, places.shape)
        return places[:, own], None if real is None else real[:, own]

    def _program(self, model: Model) -> Compiled:
        return _on_mesh(self.mesh, has_convolutions(model))


def data_mesh() -> Mesh:
    """All devices of all processes along one axis, for `fit(..., mesh=)`: each takes an equal part of every batch."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(state: TrainState, mesh: Mesh) -> TrainState:
    """The state with a copy on every device of the mesh; what is split across several processes already stays."""

    def copies(a: jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(copies(jax.random.key_data(a)), impl=jax.random.key_impl(a))
        if isinstance(a, jax.Array) and not a.is_fully_addressable:
            return a
        return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec()), np.asarray(a))

    return jax.tree.map(copies, state)


@cache
def _on_mesh(mesh: Mesh, with_convolutions: bool) -> Compiled:
    """train_batches with results on every device. Nothing in it says how: XLA puts the sum over devices where the
    hand-derived backward sums over rows."""
    compiled = for_convolutions if with_convolutions else jax.jit
    return compiled(train_batches, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _padded(places: np.ndarray, real: np.ndarray | None, multiple: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A plan (S, B) with columns of padding rows, so that B is a multiple."""
    more = -places.shape[1] % multiple
    if more == 0:
        return places, real
    real = np.ones(places.shape, bool) if real is None else real
    return np.pad(places, ((0, 0), (0, more)), "edge"), np.pad(real, ((0, 0), (0, more)))


def _own_columns(mesh: Mesh, shape: tuple[int, ...]) -> np.ndarray:
    """Which columns of (S, B) this process's devices work on."""
    slices = _along_rows(mesh).addressable_devices_indices_map(shape).values()
    return np.unique(np.concatenate([np.arange(shape[1])[index[1]] for index in slices if index is not None]))


def _split(a: np.ndarray, mesh: Mesh, size: int) -> jax.Array:
    """A global array (S, size, ...) of which this process has its columns."""
    return jax.make_array_from_process_local_data(_along_rows(mesh), a, (a.shape[0], size, *a.shape[2:]))


def _along_rows(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(None, mesh.axis_names[0]))
