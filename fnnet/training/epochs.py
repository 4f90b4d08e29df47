"""Whole epochs and whole runs as pure functions, each a single compiled program.

    state, metrics = train_epoch(model, optimizer, state, data, batch_size=128, shuffle=key)
    state, history = train(model, optimizer, state, data, epochs=5, batch_size=128, shuffle=key)

An epoch is a scan over steps and a run a scan over epochs, so nothing leaves the device between them.
Nothing is deleted and nothing is hidden: the same arguments give the same bits.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from fnnet._contracts import forward_layer, forward_loss
from fnnet._jit import jit
from fnnet._spec import as_numbers, at_step, parameter_dtype
from fnnet._xla.shuffling import at, shuffled
from fnnet._xla.threefry import quick
from fnnet.model import Model, masked, mean_weights, prepare, value_of
from fnnet.protocols import Batch, Optimizer, Params
from fnnet.training.checks import checked_batch
from fnnet.training.state import History, Metrics, TrainState, check_arrays, check_epochs
from fnnet.training.steps import mean_of, metrics_of, step


@jit("batch_size", "start", "stop")
def train_epoch(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    data: Batch,
    *,
    batch_size: int,
    shuffle: PRNGKeyArray | None,
    start: int = 0,
    stop: int | None = None,
) -> tuple[TrainState, Metrics]:
    """Every row of data once, in batches; the metrics are means over its batches, each before its update.

    shuffle   key of the shuffling: epoch e goes through the permutation drawn from fold_in(shuffle, e), where
            e = (state.step - start) // (steps per epoch). None keeps the rows in order.
    start, stop   only these batches of the epoch; parts one after the other give the same bits as the whole

    The last batch is filled up with rows of weight 0 where batch_size does not divide the rows; a batch_size
    above the rows is all of them. Raises ValueError for parts that do not fit together.
    """
    check_arrays("train_epoch", state, data)
    return _epoch(model, optimizer, state, data, batch_size, shuffle, slice(start, stop))


def evaluate(
    model: Model,
    params: Params,
    data: Batch,
    *,
    batch_size: int = 1000,
    step: Int[Array, ""] | int | None = None,
) -> Metrics:
    """Metrics over every row of data, at fixed parameters, without dropout; batch_size bounds the memory.

    data   a Batch; lists, DataFrames and Series in it are converted
    step   the step at which schedules in the model are evaluated; only needed where there are any

    Raises ValueError for targets that the loss cannot use, and for invalid weights; under the user's own `jit` only
    shapes are checked.
    """
    return measured(model, params, checked_batch("evaluate", model, params, data), batch_size=batch_size, step=step)


@jit("batch_size")
def measured(model: Model, params: Params, data: Batch, *, batch_size: int = 1000, step: Any = None) -> Metrics:
    """`evaluate`, compiled, of data that has been checked."""
    return _evaluate(model, params, data, batch_size, step)


@jit("epochs", "batch_size")
def train(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    data: Batch,
    *,
    epochs: int,
    batch_size: int,
    shuffle: PRNGKeyArray | None,
    validation: Batch | None = None,
) -> tuple[TrainState, History]:
    """A whole run as one pure program: jit it, vmap it. Validation data is measured after every epoch.

    Shapes are checked, values are not: `fit` refuses invalid targets and weights, this does not.
    """
    check_arrays("train", state, data)
    check_epochs("train", epochs)
    if validation is not None and not isinstance(validation, Batch):
        raise TypeError(
            f"train: expected validation to be a Batch, got {type(validation).__name__}; `fit` holds out a fraction"
        )

    def epoch(state: TrainState, _: None) -> tuple[TrainState, History]:
        state, training = _epoch(model, optimizer, state, data, batch_size, shuffle, slice(None))
        if validation is None:
            return state, History(training, None)
        return state, History(training, _evaluate(model, state.params, validation, 1000, state.step))

    return jax.lax.scan(epoch, state, None, length=epochs)


def _epoch(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    data: Batch,
    batch_size: int,
    shuffle: PRNGKeyArray | None,
    part: slice,
) -> tuple[TrainState, Metrics]:
    data = _whole(data)
    dtype = parameter_dtype(state.params, data.x)
    rows, weights = plan(shuffle, state.step - (part.start or 0), data.x.shape[0], batch_size)
    stop = len(rows) if part.stop is None else part.stop
    if not 0 <= (part.start or 0) < stop <= len(rows):
        raise ValueError(
            f"expected 0 <= start < stop <= {len(rows)} batches of an epoch, got {part.start}, {part.stop}"
        )

    def body(state: TrainState, planned: tuple) -> tuple[TrainState, Metrics]:
        return step(model, optimizer, state, prepare(model, take(data, *planned), dtype))

    state, metrics = jax.lax.scan(body, state, (rows[part], None if weights is None else weights[part]))
    return state, mean_of(metrics)


def _whole(data: Batch) -> Batch:
    """The data as arrays, rows of weight 0 masked once and for all.

    Raises ValueError unless x, y and weights have as many rows as each other.
    """
    data = Batch(*jax.tree.map(jnp.asarray, tuple(data)))
    check_rows(data)
    return masked(data)


def check_rows(data: Batch) -> None:
    """Raise ValueError unless x, y and weights have as many rows as each other."""
    rows = {name: np.shape(a)[:1] for name, a in data._asdict().items() if a is not None}
    if len(set(rows.values())) > 1:
        raise ValueError(f"expected as many targets (and weights) as rows of x, got {rows}")


def plan(
    shuffle: PRNGKeyArray | None, step: Int[Array, ""], n: int, batch_size: int
) -> tuple[Int[Array, "S B"], Bool[Array, "S B"] | None]:
    """Row numbers of every batch of the epoch that `step` lies in, and which of these are not padding (None: all)."""
    if not isinstance(batch_size, int | np.integer) or batch_size < 1 or n < 1:
        raise ValueError(f"expected rows and an int above 0 as batch_size, got {n} rows, batch_size {batch_size!r}")
    size = min(batch_size, n)
    steps = -(-n // size)
    rows = jnp.arange(n, dtype=jnp.int32)
    if shuffle is not None:
        rows = shuffled(jax.random.fold_in(quick(shuffle), step // steps), n)
    if steps * size == n:
        return rows.reshape(steps, size), None
    filled = jnp.concatenate([rows, rows[: steps * size - n]])
    return filled.reshape(steps, size), (jnp.arange(steps * size) < n).reshape(steps, size)


def take(data: Batch, rows: Int[Array, "B"], real: Bool[Array, "B"] | None) -> Batch:
    """The batch of these rows; padding rows weigh 0."""
    x, y, weights = jax.tree.map(lambda a: at(jnp.asarray(a), rows), data)
    if real is None:
        return Batch(x, y, weights)
    return Batch(x, y, real if weights is None else jnp.where(real, weights, 0))


def _evaluate(model: Model, params: Params, data: Batch, batch_size: int, step: Any) -> Metrics:
    data = _whole(data)
    dtype, n = parameter_dtype(params, data.x), data.x.shape[0]
    if not isinstance(batch_size, int | np.integer) or batch_size < 1 or n < 1:
        raise ValueError(
            f"evaluate: expected rows and an int above 0 as batch_size, got {n} rows, batch_size {batch_size!r}"
        )
    model = as_numbers(model, dtype, "evaluate") if step is None else at_step(model, step, dtype)
    size = min(batch_size, n)

    def measure(first: Int[Array, ""]) -> Metrics:
        start = jnp.minimum(first, n - size)  # the last slice overlaps: rows already counted weigh 0
        x, y, w = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, size), data)
        new = start + jnp.arange(size, dtype=jnp.int32) >= first
        batch = prepare(model, Batch(x, y, new if w is None else jnp.where(new, w, 0)), dtype)
        outputs, _ = forward_layer(model.network, params, batch.x)
        per_example, _ = forward_loss(model.loss, outputs, batch.y)
        value = value_of(model, params, per_example, mean_weights(model, batch, dtype))
        return metrics_of(model, value, outputs, batch)

    return mean_of(jax.lax.map(measure, jnp.arange(0, n, size, dtype=jnp.int32)))
