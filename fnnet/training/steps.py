"""One update: the pass gives gradients, the optimizer gives updates, and these are added.

state, metrics = train_step(model, optimizer, state, batch)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet._contracts import correct_rows, update_with
from fnnet._jit import jit
from fnnet._spec import at_step, parameter_dtype
from fnnet._values import at_least_float32
from fnnet._xla.in_place import overwriting
from fnnet._xla.threefry import quick
from fnnet.layers.composition import absorb
from fnnet.model import Model, masked, mean_weights, one_pass, prepare, total_weight
from fnnet.protocols import Batch, Optimizer
from fnnet.training.state import Metrics, TrainState, check_arrays, trainable


@jit()
def train_step(model: Model, optimizer: Optimizer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """One update from one batch, and the batch's metrics before it."""
    check_arrays("train_step", state, batch)
    dtype = parameter_dtype(state.params, batch.x)
    return step(model, optimizer, state, masked(prepare(model, batch, dtype)))


@jit()
def train_batches(model: Model, optimizer: Optimizer, state: TrainState, batches: Batch) -> tuple[TrainState, Metrics]:
    """One update per batch, from stacked batches: every array (S, B, ...); the metrics of each batch, (S,).

    The same bits as train_epoch where these are the batches of its permutation (see `fnnet.training.rows`). Nothing is
    masked: rows of weight 0 must hold what the network can process.
    """
    dtype = parameter_dtype(state.params, batches.x)

    def body(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return step(model, optimizer, state, prepare(model, batch, dtype))

    return jax.lax.scan(body, state, jax.tree.map(jnp.asarray, batches))


@jit()
def mean_metrics(metrics: Metrics) -> Metrics:
    """`mean_of`, compiled."""
    return mean_of(metrics)


def step(model: Model, optimizer: Optimizer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Schedules become numbers, one pass gives the gradients, the optimizer the updates, and these are added.

    batch   prepared; padding rows of a ragged last batch are rows of the data like any other and need no mask
    """
    dtype = parameter_dtype(state.params, batch.x)
    wide = at_least_float32(dtype)
    network, optimizer = at_step((model.network, optimizer), state.step, wide)
    model = at_step(model, state.step, dtype)
    pass_key, update_key = jax.random.split(jax.random.fold_in(quick(state.key), state.step))
    p = one_pass(model, state.params, batch, pass_key)
    grads, learned = trainable((p.grads, state.params))
    updates, opt_state = update_with(optimizer, grads, state.opt_state, learned, update_key)
    updates = overwriting(updates, grads)
    params = jax.tree.map(_added, state.params, updates, is_leaf=lambda p: p is None)
    params = absorb(network, params, p.residuals)
    return TrainState(params, opt_state, state.step + 1, state.key), metrics_of(model, p.value, p.outputs, batch)


def _added(p: Array | None, update: Array | None) -> Array | None:
    return p if p is None or update is None else p + update.astype(p.dtype)


def metrics_of(model: Model, value: Array, outputs: Array, batch: Batch) -> Metrics:
    """Metrics of a batch from what one pass has computed, ()."""
    wide = at_least_float32(value.dtype)
    m, weight = mean_weights(model, batch, wide), total_weight(model, batch, wide)
    weight = jnp.full((), batch.x.shape[0], wide) if weight is None else weight
    accuracy = None
    if hasattr(model.loss, "correct"):
        accuracy = (m * correct_rows(model.loss, outputs, batch.y).astype(wide)).sum()
    return Metrics(value.astype(wide), accuracy, weight)


def mean_of(metrics: Metrics) -> Metrics:
    """Metrics of parts, (S,), as metrics of the whole, (): each counts by its weight. NaN where all weights are 0."""
    weight = metrics.weight.sum()
    fractions = metrics.weight / jnp.where(weight == 0, 1, weight)
    means = jax.tree.map(lambda part: jnp.where(fractions == 0, 0, fractions * part).sum(), metrics)
    loss, accuracy, _ = jax.tree.map(lambda mean: jnp.where(weight == 0, jnp.nan, mean), means)
    return Metrics(loss, accuracy, weight)
