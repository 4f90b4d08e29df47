"""Training as pure functions: one step, one epoch, a whole run; each a single compiled program.

    state, metrics = train_step(model, optimizer, state, batch)
    state, metrics = train_epoch(model, optimizer, state, data, batch_size=128, order=key)
    state, history = train(model, optimizer, state, data, epochs=5, batch_size=128, order=key)

An epoch is a scan over steps and a run a scan over epochs, so nothing leaves the device between them.
Nothing is deleted and nothing is hidden: the same arguments give the same bits.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from fnnet.batch import Batch
from fnnet.layers import absorb
from fnnet.model import Model, init, masked, mean_weights, one_pass, prepare, value_of
from fnnet.randomness import quick
from fnnet.spec import as_numbers, at_least_float32, at_step, parameter_dtype


class TrainState(NamedTuple):
    """What the next step needs, and nothing else.

    params     of the network
    opt_state  of the optimizer
    step       () int32, the number of updates so far
    key        of the run's noise: step t draws from fold_in(key, t)
    """

    params: Any
    opt_state: Any
    step: Any
    key: Any


class Metrics(NamedTuple):
    """What was measured over some rows, each () or one entry an epoch, in float32 or better.

    loss      weighted mean loss plus penalty
    accuracy  weighted share of rows that the loss calls correct; None for losses without `correct`
    weight    sum of the rows' weights (their number, without weights): what it takes to average further
    """

    loss: Any
    accuracy: Any
    weight: Any


class History(NamedTuple):
    """Metrics of every epoch, (epochs,), and what `fit` remembers between epochs.

    training     while training: means over the epoch's batches, each before its update
    validation   on validation data after each epoch; None without
    measured     on training rows after each epoch; None unless `fit` was asked for it
    stopping, plateau   the memories of EarlyStopping and ReduceOnPlateau, from which `fit(..., history=)` goes on
    """

    training: Metrics
    validation: Metrics | None
    measured: Metrics | None = None
    stopping: Any = None
    plateau: Any = None


@partial(jax.jit, static_argnames="dtype")
def init_state(model: Model, optimizer: Any, key: PRNGKeyArray, dtype: Any = jnp.float32) -> TrainState:
    """A fresh TrainState: parameters drawn from one half of key, the other half kept for noise."""
    params_key, noise_key = jax.random.split(quick(key))
    noise_key = jax.random.wrap_key_data(jax.random.key_data(noise_key), impl=jax.random.key_impl(key))
    params = init(model, params_key, dtype)
    return TrainState(params, optimizer.init(_optimized(params)), jnp.zeros((), jnp.int32), noise_key)


@jax.jit
def train_step(model: Model, optimizer: Any, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """One update from one batch, and the batch's metrics before it."""
    dtype = parameter_dtype(state.params, batch.x)
    return _step(model, optimizer, state, masked(prepare(model, batch, dtype)))


@partial(jax.jit, static_argnames=("batch_size", "start", "stop"))
def train_epoch(
    model: Model,
    optimizer: Any,
    state: TrainState,
    data: Batch,
    *,
    batch_size: int,
    order: PRNGKeyArray | None,
    start: int = 0,
    stop: int | None = None,
) -> tuple[TrainState, Metrics]:
    """Every row of data once, in batches; the metrics are means over the epoch's rows as they were met.

    order   key of the shuffling: epoch e goes through the permutation drawn from fold_in(order, e), where
            e = (state.step - start) // (steps an epoch). None keeps the rows as they stand.
    start, stop   only these batches of the epoch; parts one after the other give the same bits as the whole

    The last batch is filled up with rows of weight 0 where batch_size does not divide the rows; a batch_size
    above the rows is all of them. Raises ValueError for parts that do not fit together.
    """
    return _epoch(model, optimizer, state, data, batch_size, order, slice(start, stop))


@jax.jit
def train_batches(model: Model, optimizer: Any, state: TrainState, batches: Batch) -> tuple[TrainState, Metrics]:
    """One update a batch, from batches that are ready: every array (S, B, ...); metrics come one a batch, (S,).

    The same bits as train_epoch where these are the batches of its permutation (see `fnnet.streaming`). Nothing
    is masked: in a row of weight 0 must stand what the network can digest.
    """
    dtype = parameter_dtype(state.params, batches.x)

    def body(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return _step(model, optimizer, state, prepare(model, batch, dtype))

    return jax.lax.scan(body, state, jax.tree.map(jnp.asarray, batches))


@jax.jit
def mean_metrics(metrics: Metrics) -> Metrics:
    """Metrics of parts, (S,), as metrics of the whole, (): each part counts by its weight."""
    return _mean(metrics)


@partial(jax.jit, static_argnames="batch_size")
def evaluate(
    model: Model,
    params: Any,
    data: Batch,
    *,
    batch_size: int = 1000,
    step: Int[Array, ""] | int | None = None,
) -> Metrics:
    """Metrics over every row of data, at fixed parameters, without dropout; batch_size bounds the memory.

    step   what schedules in the model are read at; only needed where there are any
    """
    return _evaluate(model, params, data, batch_size, step)


@partial(jax.jit, static_argnames=("epochs", "batch_size"))
def train(
    model: Model,
    optimizer: Any,
    state: TrainState,
    data: Batch,
    *,
    epochs: int,
    batch_size: int,
    order: PRNGKeyArray | None,
    validation: Batch | None = None,
) -> tuple[TrainState, History]:
    """A whole run as one pure program: jit it, vmap it. Validation data is measured after every epoch."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, History]:
        state, training = _epoch(model, optimizer, state, data, batch_size, order, slice(None))
        if validation is None:
            return state, History(training, None)
        return state, History(training, _evaluate(model, state.params, validation, 1000, state.step))

    return jax.lax.scan(epoch, state, None, length=epochs)


def _step(model: Model, optimizer: Any, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Schedules become numbers, one pass gives the gradients, the optimizer the updates, and these are added.

    batch   prepared; fillers of a ragged last batch are rows of the data like any other and need no mask
    """
    dtype = parameter_dtype(state.params, batch.x)
    model = at_step(model, state.step, dtype)
    optimizer = at_step(optimizer, state.step, at_least_float32(dtype))
    pass_key, update_key = jax.random.split(jax.random.fold_in(quick(state.key), state.step))
    p = one_pass(model, state.params, batch, pass_key)
    grads, wide = _optimized((p.grads, state.params))
    updates, opt_state = optimizer.update(grads, state.opt_state, wide, key=update_key)
    updates = _after_the_way_back(updates, grads)
    params = jax.tree.map(_added, state.params, updates, is_leaf=lambda p: p is None)
    params = absorb(model.network, params, p.residuals)
    return TrainState(params, opt_state, state.step + 1, state.key), _metrics(model, p.value, p.outputs, batch)


def _optimized(tree: Any) -> Any:
    """What an optimizer sees: floating leaves, in float32 or better; None in place of integers.

    In bfloat16, beta2 = 0.999 would be 1 and small updates would not add up.
    """

    def wide(a: Array) -> Array | None:
        return a.astype(at_least_float32(a.dtype)) if jnp.issubdtype(a.dtype, jnp.floating) else None

    return jax.tree.map(wide, tree)


def _after_the_way_back(updates: Any, grads: Any) -> Any:
    """updates as they are; the compiler learns that weights are no longer read when these overwrite them.

    A layer's update hangs on its dw, but its dx = dy w^T reads w too: as long as the compiler cannot tell which comes
    first, it copies every w before the step. The first layer's gradient hangs on every dx, and so do updates that
    look at it. No number is below and above 0, which the compiler does not know before it has placed the copies.
    """
    first_layer = next((g for g in jax.tree.leaves(grads) if g.size), None)
    if first_layer is None:
        return updates
    last = first_layer.ravel()[0]
    never = (last < 0) & (last > 0)
    return jax.tree.map(lambda u: jnp.where(never, 0, u), updates)


def _added(p: Array | None, update: Array | None) -> Array | None:
    return p if p is None or update is None else p + update.astype(p.dtype)


def _metrics(model: Model, value: Array, outputs: Array, batch: Batch) -> Metrics:
    wide = at_least_float32(value.dtype)
    m = mean_weights(batch, wide)
    weight = jnp.full((), batch.x.shape[0], wide) if batch.weights is None else batch.weights.astype(wide).sum()
    accuracy = None
    if hasattr(model.loss, "correct"):
        accuracy = (m * model.loss.correct(outputs, batch.y).astype(wide)).sum()
    return Metrics(value.astype(wide), accuracy, weight)


def _mean(metrics: Metrics) -> Metrics:
    """Metrics of parts, stacked along the first axis, as metrics of the whole; NaN where nothing weighs anything."""
    weight = metrics.weight.sum()
    shares = metrics.weight / jnp.where(weight == 0, 1, weight)
    means = jax.tree.map(lambda part: jnp.where(shares == 0, 0, shares * part).sum(), metrics)
    loss, accuracy, _ = jax.tree.map(lambda mean: jnp.where(weight == 0, jnp.nan, mean), means)
    return Metrics(loss, accuracy, weight)


def _epoch(
    model: Model,
    optimizer: Any,
    state: TrainState,
    data: Batch,
    batch_size: int,
    order: PRNGKeyArray | None,
    part: slice,
) -> tuple[TrainState, Metrics]:
    data = _whole(data)
    dtype = parameter_dtype(state.params, data.x)
    rows, weights = plan(order, state.step - (part.start or 0), data.x.shape[0], batch_size)
    stop = len(rows) if part.stop is None else part.stop
    if not 0 <= (part.start or 0) < stop <= len(rows):
        raise ValueError(
            f"expected 0 <= start < stop <= {len(rows)} batches of an epoch, got {part.start}, {part.stop}"
        )

    def body(state: TrainState, planned: tuple) -> tuple[TrainState, Metrics]:
        return _step(model, optimizer, state, prepare(model, take(data, *planned), dtype))

    state, metrics = jax.lax.scan(body, state, (rows[part], None if weights is None else weights[part]))
    return state, _mean(metrics)


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
    order: PRNGKeyArray | None, step: Int[Array, ""], n: int, batch_size: int
) -> tuple[Int[Array, "S B"], Bool[Array, "S B"] | None]:
    """Row numbers of every batch of the epoch that `step` lies in, and which are no fillers (None: all)."""
    if batch_size < 1 or n < 1:
        raise ValueError(f"expected at least one row and a batch_size above 0, got {n} rows, batch_size {batch_size}")
    size = min(batch_size, n)
    steps = -(-n // size)
    rows = jnp.arange(n, dtype=jnp.int32)
    if order is not None:
        rows = shuffled(jax.random.fold_in(quick(order), step // steps), n)
    if steps * size == n:
        return rows.reshape(steps, size), None
    filled = jnp.concatenate([rows, rows[: steps * size - n]])
    return filled.reshape(steps, size), (jnp.arange(steps * size) < n).reshape(steps, size)


def shuffled(key: PRNGKeyArray, n: int) -> Int[Array, "n"]:
    """0 .. n - 1 in random order: the numbers sorted by 32 random bits each, `argsort(random.bits(key, (n,)))`.

    Equal bits (n^2 / 2^33 pairs are expected) keep their order, a bias of one pair in 2^32. To sort plain integers is
    several times as fast as to sort pairs, so the bits are sorted as digits, lowest first (a radix sort): each pass
    sorts integers that have a digit on top and the place it stood at below, which keeps the passes before.
    """
    bits = jax.random.bits(key, (n,), jnp.uint32)
    place_bits = max(1, (n - 1).bit_length())
    places = rows = jnp.arange(n, dtype=jnp.uint32)
    for done in range(0, 32, 32 - place_bits):
        digits = _at(bits, rows) >> done << place_bits  # what is above the digit falls out
        rows = _at(rows, jnp.sort(digits | places) & ((1 << place_bits) - 1))
    return rows.astype(jnp.int32)


def _at(a: Array, rows: Array) -> Array:
    """a[rows] without code for rows that are not there."""
    return a.at[rows].get(mode="promise_in_bounds")


def take(data: Batch, rows: Int[Array, "B"], real: Bool[Array, "B"] | None) -> Batch:
    """The batch of these rows; fillers weigh 0."""
    x, y, weights = jax.tree.map(lambda a: _at(jnp.asarray(a), rows), data)
    if real is None:
        return Batch(x, y, weights)
    return Batch(x, y, real if weights is None else jnp.where(real, weights, 0))


def _evaluate(model: Model, params: Any, data: Batch, batch_size: int, step: Any) -> Metrics:
    data = _whole(data)
    dtype, n = parameter_dtype(params, data.x), data.x.shape[0]
    if batch_size < 1 or n < 1:
        raise ValueError(f"evaluate: expected rows and a batch_size above 0, got {n} rows, batch_size {batch_size}")
    model = as_numbers(model, dtype, "evaluate") if step is None else at_step(model, step, dtype)
    size = min(batch_size, n)

    def measure(first: Int[Array, ""]) -> Metrics:
        start = jnp.minimum(first, n - size)  # the last slice overlaps: rows already counted weigh 0
        x, y, w = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, size), data)
        new = start + jnp.arange(size, dtype=jnp.int32) >= first
        batch = prepare(model, Batch(x, y, new if w is None else jnp.where(new, w, 0)), dtype)
        outputs, _ = model.network.forward(params, batch.x)
        per_example, _ = model.loss.forward(outputs, batch.y)
        value = value_of(model, params, per_example, mean_weights(batch, dtype))
        return _metrics(model, value, outputs, batch)

    return _mean(jax.lax.map(measure, jnp.arange(0, n, size, dtype=jnp.int32)))
