"""The program of a sweep: one run over some epochs, and the same over thousands of runs on many devices.

    runs = start(program, mesh, shared, swept, seeds)
    runs, history = advance(program, mesh, shared, swept, runs, first, count)     # again and again

A run is `train_epoch` and `evaluate` as ever. One that diverged or stopped early is computed on, but what it shows is
masked: its curves from there on, and its parameters where somebody wants them. Numbers in which the runs differ have an
axis (runs, ...); everything else, the order of the data and the step included, has none, so that each batch is gathered
once for all runs.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from fnnet._spec import at_least_float32, parameter_dtype
from fnnet.protocols import Batch
from fnnet.sweeps.space import Configuration
from fnnet.training.epochs import measured, train_epoch
from fnnet.training.state import History, Metrics, TrainState, all_finite, init_state
from fnnet.training.stopping import EarlyStopping


class Program(NamedTuple):
    """What is compiled in.

    tree       structure of the configurations
    swept      for each of their leaves, whether it differs from run to run
    width      how many runs are computed side by side on a device: 1 is one after another
    buffer     epochs that one call can do at most
    shuffle_per_run  every run shuffles the data its own way
    keep       parameters are wanted in the end: those of the best epoch with early stopping, else of the last good one
    dtype      of the parameters
    """

    tree: Any
    swept: tuple[bool, ...]
    width: int
    buffer: int
    shuffle_per_run: bool
    keep: bool
    dtype: Any


class Shared(NamedTuple):
    """What all runs share: leaves that are not swept, data, the order's key, when to stop early (None: never)."""

    fixed: tuple
    data: Batch
    validation: Batch | None
    shuffle: PRNGKeyArray | None
    early_stopping: EarlyStopping | None


class Run(NamedTuple):
    """A run between two epochs.

    params, opt_state, key   as in a TrainState, whose step all runs share
    seed                     () uint32
    running                  () bool: neither diverged nor stopped early
    diverged                 () bool: the loss or a parameter became NaN or infinite
    stopping                 StoppingMemory with the best parameters (None where they are not kept), or None without
    """

    params: Any
    opt_state: Any
    key: Any
    seed: Any
    running: Any
    diverged: Any
    stopping: Any


@partial(jax.jit, static_argnames=("program", "mesh"))
def start(program: Program, mesh: Any, shared: Shared, swept: tuple, seeds: UInt32[Array, "runs"]) -> Run:
    """Every run before its first epoch, (runs, ...): what `init_state` makes of jax.random.key(seed)."""

    def one(shared: Shared, own: tuple) -> Run:
        swept, seed = own
        c = configuration(program, shared.fixed, swept)
        state = init_state(c.model, c.optimizer, jax.random.key(seed), program.dtype)
        wide = at_least_float32(parameter_dtype(state.params))
        params = state.params if program.keep else None
        waiting = None if shared.early_stopping is None else shared.early_stopping.start(params, wide)
        return Run(state.params, state.opt_state, state.key, seed, jnp.bool_(True), jnp.bool_(False), waiting)

    return over_runs(one, mesh, program.width)(shared, (swept, seeds))


@partial(jax.jit, static_argnames=("program", "mesh"))
def advance(
    program: Program,
    mesh: Any,
    shared: Shared,
    swept: tuple,
    runs: Run,
    first: Int[Array, ""],
    count: Int[Array, ""],
) -> tuple[Run, History]:
    """`count` epochs further, from epoch `first` (0 to begin with); how many is no part of the program.

    The History is (runs, buffer), without weights. It is NaN behind `count`, from the epoch on in which a run
    diverged, and behind the one in which it stopped.
    """

    def one(shared: Shared, own: tuple) -> tuple[Run, History]:
        swept, run = own
        return _epochs(program, shared, swept, run, first, count)

    return over_runs(one, mesh, program.width)(shared, (swept, runs))


def over_runs(one: Any, mesh: Any, width: int) -> Any:
    """one(shared, own) for all runs: (shared, (runs, ...)) -> (runs, ...).

    Each device of the mesh has its equal share of the runs and takes `width` of them at a time; nothing passes between
    devices.
    """

    def share(shared: Any, own: Any) -> Any:
        runs = jax.tree.leaves(own)[0].shape[0]
        if 1 < width >= runs:
            return jax.vmap(partial(one, shared))(own)
        return jax.lax.map(partial(one, shared), own, batch_size=None if width == 1 else width)

    by_run = PartitionSpec("runs")
    return jax.shard_map(share, mesh=mesh, in_specs=(PartitionSpec(), by_run), out_specs=by_run, check_vma=False)


def configuration(program: Program, fixed: tuple, swept: tuple) -> Configuration:
    """One run's specs, put together from what it shares and what is its own."""
    fixed_leaves, swept_leaves = iter(fixed), iter(swept)
    return program.tree.unflatten([next(swept_leaves if own else fixed_leaves) for own in program.swept])


def _epochs(program: Program, shared: Shared, swept: tuple, run: Run, first: Any, count: Any) -> tuple[Run, History]:
    c = configuration(program, shared.fixed, swept)
    rows = shared.data.x.shape[0]
    steps = -(-rows // min(c.batch_size, rows))
    shuffle = shared.shuffle
    if program.shuffle_per_run and shuffle is not None:
        shuffle = jax.random.fold_in(shuffle, run.seed)

    def epoch(i: Any, carry: tuple[Run, History]) -> tuple[Run, History]:
        run, history = carry
        state = TrainState(run.params, run.opt_state, (first + i) * steps, run.key)
        state, training = train_epoch(
            c.model, c.optimizer, state, shared.data, batch_size=c.batch_size, shuffle=shuffle
        )
        validation = None
        if shared.validation is not None:
            validation = measured(c.model, state.params, shared.validation, step=state.step)
        figures = History(training._replace(weight=None), validation and validation._replace(weight=None))
        good = run.running & all_finite((state.params, figures))
        run = _after(program, run, state, good)
        if shared.early_stopping is not None:
            shown = jax.tree.map(lambda m: jnp.where(good, m, jnp.nan), figures.validation)
            kept = run.params if program.keep else None
            stopping = shared.early_stopping.after(run.stopping, kept, shown, first + i + 1)
            run = run._replace(running=run.running & ~shared.early_stopping.is_over(stopping), stopping=stopping)
        return run, jax.tree.map(lambda curve, now: curve.at[i].set(jnp.where(good, now, jnp.nan)), history, figures)

    unknown = jnp.full((program.buffer,), jnp.nan, at_least_float32(parameter_dtype(run.params)))
    metrics = Metrics(unknown, unknown if hasattr(c.model.loss, "correct") else None, None)
    nothing = History(metrics, None if shared.validation is None else metrics)
    return jax.lax.fori_loop(jnp.int32(0), count, epoch, (run, nothing))


def _after(program: Program, run: Run, state: TrainState, good: Any) -> Run:
    """The run behind an epoch, no longer running where that was not good.

    Its parameters are then those of the epoch before, where these are wanted. Elsewhere nobody will look at them, and
    to choose would cost a copy of the old ones: for a large network alone a tenth of an epoch of 100 steps.
    """
    params = state.params
    if program.keep and run.stopping is None:
        params = jax.tree.map(partial(jnp.where, good), params, run.params)
    diverged = run.diverged | (run.running & ~good)
    return run._replace(params=params, opt_state=state.opt_state, running=good, diverged=diverged)
