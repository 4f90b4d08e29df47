"""The program of a sweep: one run over some epochs, and the same over thousands of runs on many devices.

    runs = start(program, configurations, seeds, shared)
    runs, history = advance(program, configurations, runs, shared, first, count)     # again and again

A run uses `train_epoch` and `evaluate`, as elsewhere. One that diverged or stopped early is still computed, but its
results are masked: its curves from there on, and its parameters where they are wanted. Numbers in which the runs differ
have an axis (runs, ...); everything else, the shuffled order of the data and the step included, has none, so that each
batch is gathered once for all runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Int, PRNGKeyArray, UInt32

from fnnet._jit import jit
from fnnet._spec import parameter_dtype
from fnnet._values import at_least_float32
from fnnet.protocols import Batch, Params
from fnnet.sweeps.space import Configuration
from fnnet.training.epochs import measured, train_epoch
from fnnet.training.state import History, Metrics, TrainState, all_finite, init_state
from fnnet.training.stopping import EarlyStopping, StoppingMemory

EPOCHS_PER_CALL = 64
"""Epochs in one call of the program at most: how rarely Python may see what happens."""


class Program(NamedTuple):
    """What is compiled in.

    axes             of the configurations: 0 for a number that differs from run to run, None for one that all share
    mesh             the devices, along one axis "runs"
    side_by_side     runs that each device computes at a time: 1 is one after another
    shuffle_per_run  every run shuffles the data in its own way
    keep_params      parameters are wanted in the end: of the best epoch with early stopping, else of the last good one
    dtype            of the parameters
    """

    axes: Any
    mesh: Mesh
    side_by_side: int
    shuffle_per_run: bool
    keep_params: bool
    dtype: Any


class Shared(NamedTuple):
    """What all runs share: the data, the key that shuffles it, and when to stop early (None: never)."""

    data: Batch
    validation: Batch | None
    shuffle: PRNGKeyArray | None
    early_stopping: EarlyStopping | None


class Run(NamedTuple):
    """A run between two epochs.

    params, opt_state, key   as in a TrainState, whose step all runs share
    seed                     () uint32
    running                  () bool: neither diverged nor stopped early
    diverged                 () bool: a loss or a parameter became NaN or infinite
    stopping                 StoppingMemory with the best parameters (None where they are not kept), or None without
    """

    params: Params
    opt_state: Any
    key: PRNGKeyArray
    seed: Any
    running: Any
    diverged: Any
    stopping: StoppingMemory | None


@jit("program")
def start(program: Program, configurations: Any, seeds: UInt32[Array, "runs"], shared: Shared) -> Run:
    """Every run before its first epoch, (runs, ...): what `init_state` makes of jax.random.key(seed)."""

    def one(c: Configuration, seed: UInt32[Array, ""], shared: Shared) -> Run:
        state = init_state(c.model, c.optimizer, jax.random.key(seed), program.dtype)
        dtype = at_least_float32(parameter_dtype(state.params))
        kept = state.params if program.keep_params else None
        stopping = None if shared.early_stopping is None else shared.early_stopping.start(kept, dtype)
        return Run(state.params, state.opt_state, state.key, seed, jnp.bool_(True), jnp.bool_(False), stopping)

    return over_runs(one, program)(configurations, seeds, shared)


@jit("program")
def advance(
    program: Program,
    configurations: Any,
    runs: Run,
    shared: Shared,
    first: Int[Array, ""],
    count: Int[Array, ""],
) -> tuple[Run, History]:
    """`count` epochs further, from epoch `first` (0 to begin with); neither number is compiled in.

    The History is (runs, EPOCHS_PER_CALL), without weights. It is NaN after `count` epochs, from the epoch in which a
    run diverged, and after the one in which it stopped.
    """

    def one(c: Configuration, run: Run, shared: Shared) -> tuple[Run, History]:
        rule = shared.early_stopping
        if program.shuffle_per_run and shared.shuffle is not None:
            shared = shared._replace(shuffle=jax.random.fold_in(shared.shuffle, run.seed))

        def epoch(i: Int[Array, ""], carry: tuple[Run, History]) -> tuple[Run, History]:
            run, history = carry
            state, metrics = _epoch(c, run, shared, first + i)
            good = run.running & all_finite((state.params, metrics))
            metrics = jax.tree.map(lambda m: jnp.where(good, m, jnp.nan), metrics)
            run = _after(program, run, state, good)
            if rule is not None and run.stopping is not None:
                kept = run.params if program.keep_params else None
                stopping = rule.after(run.stopping, kept, metrics.validation, first + i + 1)
                run = run._replace(running=run.running & ~rule.is_over(stopping), stopping=stopping)
            return run, jax.tree.map(lambda curve, now: curve.at[i].set(now), history, metrics)

        return jax.lax.fori_loop(jnp.int32(0), count, epoch, (run, _no_epochs(c, run, shared.validation)))

    return over_runs(one, program)(configurations, runs, shared)


def over_runs(one: Callable[[Any, Any, Shared], Any], program: Program) -> Callable[[Any, Any, Shared], Any]:
    """one(configuration, own, shared) for all runs: (configurations, (runs, ...), shared) -> (runs, ...).

    The runs are split evenly across the devices, each of which takes `side_by_side` of them at a time; nothing passes
    between devices.
    """
    by_axis = partial(jax.tree.map, is_leaf=lambda axis: axis is None)
    by_run = PartitionSpec("runs")

    def on_device(configurations: Any, own: Any, shared: Shared) -> Any:
        runs = jax.tree.leaves(own)[0].shape[0]
        if 1 < program.side_by_side >= runs:
            return jax.vmap(one, (program.axes, 0, None))(configurations, own, shared)
        swept = by_axis(lambda axis, leaf: None if axis is None else leaf, program.axes, configurations)

        def of_one(swept_and_own: tuple[Any, Any]) -> Any:
            swept, own = swept_and_own
            whole = by_axis(
                lambda axis, leaf, mine: leaf if axis is None else mine, program.axes, configurations, swept
            )
            return one(whole, own, shared)

        batch_size = None if program.side_by_side == 1 else program.side_by_side
        return jax.lax.map(of_one, (swept, own), batch_size=batch_size)

    specs = by_axis(lambda axis: PartitionSpec() if axis is None else by_run, program.axes)
    in_specs = (specs, by_run, PartitionSpec())
    return jax.shard_map(on_device, mesh=program.mesh, in_specs=in_specs, out_specs=by_run, check_vma=False)


def _epoch(c: Configuration, run: Run, shared: Shared, number: Int[Array, ""]) -> tuple[TrainState, History]:
    """The state after an epoch, and its metrics without weights."""
    data, validation, shuffle, _ = shared
    rows = data.x.shape[0]
    steps = -(-rows // min(c.batch_size, rows))
    state = TrainState(run.params, run.opt_state, number * steps, run.key)
    state, training = train_epoch(c.model, c.optimizer, state, data, batch_size=c.batch_size, shuffle=shuffle)
    after = None
    if validation is not None:
        after = measured(c.model, state.params, validation, step=state.step)._replace(weight=None)
    return state, History(training._replace(weight=None), after)


def _no_epochs(c: Configuration, run: Run, validation: Batch | None) -> History:
    unknown = jnp.full((EPOCHS_PER_CALL,), jnp.nan, at_least_float32(parameter_dtype(run.params)))
    metrics = Metrics(unknown, unknown if hasattr(c.model.loss, "correct") else None, None)
    return History(metrics, None if validation is None else metrics)


def _after(program: Program, run: Run, state: TrainState, good: Bool[Array, ""]) -> Run:
    """The run after an epoch, no longer running where that was not good.

    Its parameters are then those of the epoch before, where these are wanted. Otherwise nothing reads them, and
    selecting would cost a copy of the old ones: for one large network a tenth of an epoch of 100 steps.
    """
    params = state.params
    if program.keep_params and run.stopping is None:
        params = jax.tree.map(partial(jnp.where, good), params, run.params)
    diverged = run.diverged | (run.running & ~good)
    return run._replace(params=params, opt_state=state.opt_state, running=good, diverged=diverged)
