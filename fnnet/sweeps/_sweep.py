"""`sweep`: every point from every seed, one program a structure, and a table of what came of them."""

import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray

from fnnet.model import init
from fnnet.protocols import Batch
from fnnet.sweeps.devices import Way, choose, fastest, worthwhile
from fnnet.sweeps.program import Program, Run, Shared, advance, start
from fnnet.sweeps.results import Results, join
from fnnet.sweeps.space import Alike, Configuration, Point, by_structure, differ
from fnnet.training.checks import checked_batch
from fnnet.training.progress import epochs_bar
from fnnet.training.state import History
from fnnet.training.stopping import EarlyStopping

BUFFER = 64
"""Epochs that one call of the program does at most: how far Python may be from what happens."""


class Options(NamedTuple):
    """What `sweep` was asked for beside points and data; see there."""

    epochs: int
    seeds: tuple[int, ...]
    shuffle_per_run: bool
    early_stopping: EarlyStopping | None
    rank_by: str
    keep_params: bool
    dtype: Any
    progress: bool


class Group(NamedTuple):
    """Runs of one structure, ready for the program.

    program, mesh, shared, swept, seeds   its arguments, filled up with copies of the last run to equal shares
    count                                 of the runs without these
    """

    program: Program
    mesh: Mesh
    shared: Shared
    swept: tuple
    seeds: Any
    count: int


def sweep(
    points: Sequence[Point],
    data: Batch,
    *,
    epochs: int,
    seeds: Iterable[int],
    shuffle: PRNGKeyArray | None,
    validation: Batch | None = None,
    shuffle_per_run: bool = False,
    early_stopping: EarlyStopping | None = None,
    rank_by: str = "loss",
    runs_per_device: int | None = None,
    measure: bool = False,
    devices: Sequence[Any] | None = None,
    keep_params: bool = False,
    progress: bool = True,
    dtype: Any = jnp.float32,
) -> Results:
    """Train every point from every seed, thousands of runs at once, and return the Table of them.

        points = grid(Configuration(model, fnnet.Adam(1e-3), batch_size=128), {"optimizer.learning_rate": (1e-3, 1e-2)})
        table = sweep(points, train, epochs=5, seeds=range(5), shuffle=jax.random.key(1), validation=validation)
        print(table)
        points[table.best()].configuration

    points       of `grid`, `sample`, or made by hand: Point({"name": value}, Configuration(...))
    seeds        a run starts as `init_state(model, optimizer, jax.random.key(seed))`
    shuffle      as in `train`, shared by all runs, so that every batch is gathered once; with shuffle_per_run a run's
                 key is fold_in(shuffle, seed), which costs more
    early_stopping   stops each run by itself, as in `fit`; its best epoch counts then
    rank_by      the figure to rank by: "loss" or "accuracy", of the validation data if there is some
    runs_per_device  how many runs to compute side by side on a device; None: chosen by a table (`devices`), or
                 measured on this machine with `measure`, which takes some compilations
    devices      None: all of this process, or as many as `devices` says: networks too large for a CPU's cache take one.
                 Runs are dealt out evenly; nothing passes between devices.
    keep_params  put the parameters of every run into the table, as they were at the epoch that counts
    progress     say what is chosen and show a bar; needs the extra `experiments`

    Points that differ in static fields are compiled apart. A run whose loss or parameters are no longer finite is
    diverged: its figures are NaN, its parameters those of the epoch before, it ranks last, and no other run notices.
    Runs side by side give the figures of `train` up to rounding, not to the bit.

    Raises ValueError or TypeError, before anything is computed, for what cannot be swept.
    """
    options = Options(
        epochs, tuple(seeds), shuffle_per_run, early_stopping, rank_by, keep_params, jnp.dtype(dtype), progress
    )
    _check(points, validation, shuffle, options)
    if runs_per_device is not None and (runs_per_device < 1 or measure):
        raise ValueError(
            f"sweep: expected runs_per_device of 1 or more, or measure=True, got {runs_per_device}, measure={measure}"
        )
    groups = by_structure([point.configuration for point in points])
    for alike in groups:
        _check_classes(alike, data, validation, options)
    tables = []
    shared_on = cache(lambda mesh: shared_by(mesh, data, validation, shuffle, early_stopping))  # carried there once
    for number, alike in enumerate(groups, 1):
        weights = _weights(alike, options)
        mesh = mesh_of(worthwhile(weights, jax.local_devices()) if devices is None else devices)
        shared = shared_on(mesh)
        way = _way(alike, shared, mesh, options, runs_per_device, measure, weights)
        label = f"program {number} of {len(groups)}"
        if progress:
            print(f"sweep, {label}: {_words(len(alike.rows), options, mesh)}; {way.why}", flush=True)
        group = grouped(alike, shared, mesh, options, way.width)
        tables.append(_table([points[i] for i in alike.rows], alike.rows, *_run(group, options, label), options))
    return join(tables)


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """The devices in a row along the axis of runs."""
    return Mesh(np.array(devices), ("runs",), axis_types=(AxisType.Auto,))


def shared_by(
    mesh: Mesh, data: Batch, validation: Batch | None, shuffle: Any, early_stopping: EarlyStopping | None
) -> Shared:
    """What all runs share, on every device; the leaves that are not swept are still missing."""
    data, validation, shuffle = jax.device_put((data, validation, shuffle), NamedSharding(mesh, PartitionSpec()))
    return Shared((), data, validation, shuffle, early_stopping)


def _check(points: Sequence[Point], validation: Batch | None, shuffle: Any, options: Options) -> None:
    wrong = [p for p in points if not isinstance(getattr(p, "configuration", None), Configuration)]
    if wrong or not points:
        raise TypeError(
            f"sweep: expected points of Configurations, such as grid(Configuration(model, optimizer, batch_size=128), "
            f"{{...}}), got {wrong[0] if wrong else 'none'!r}"
        )
    epochs, seeds, shuffle_per_run, early_stopping, rank_by, *_ = options
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"sweep: expected epochs to be an int of 1 or more, got {epochs!r}")
    whole = all(isinstance(seed, int | np.integer) and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not whole or len({*seeds}) != len(seeds):
        raise ValueError(f"sweep: expected seeds from 0 to 2**32 - 1, each once, got {seeds}")
    if shuffle_per_run and shuffle is None:
        raise ValueError("sweep: shuffle_per_run needs a key to fold the seeds into, got shuffle=None")
    if early_stopping is not None and validation is None:
        raise ValueError("sweep: early_stopping watches the validation data; pass validation=")
    if rank_by not in ("loss", "accuracy"):
        raise ValueError(f"sweep: expected rank_by to be 'loss' or 'accuracy', got {rank_by!r}")
    if rank_by == "accuracy" or (early_stopping is not None and early_stopping.monitor == "accuracy"):
        without = [p.configuration.model.loss for p in points if not hasattr(p.configuration.model.loss, "correct")]
        if without:
            raise ValueError(f"sweep: {without[0]!r} knows no accuracy; go by the loss")


def _first(alike: Alike, options: Options) -> tuple[Configuration, Any]:
    """The first configuration of a structure, and its parameters as shapes."""
    c = alike.tree.unflatten([column[0] for column in alike.columns])
    return c, jax.eval_shape(lambda: init(c.model, jax.random.key(0), options.dtype))


def _weights(alike: Alike, options: Options) -> int:
    """Bytes of one run's parameters."""
    return sum(p.size * p.dtype.itemsize for p in jax.tree.leaves(_first(alike, options)[1]))


def _check_classes(alike: Alike, data: Batch, validation: Batch | None, options: Options) -> None:
    c, shapes = _first(alike, options)
    params = jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), shapes)
    for name, rows in (("data", data), ("validation", validation)):
        if rows is not None:
            checked_batch("sweep", c.model, params, rows, name)


def _words(points: int, options: Options, mesh: Mesh) -> str:
    """`12 points x 5 seeds on 2 devices`."""
    devices = "" if mesh.size == 1 else f" on {mesh.size} devices"
    return f"{points:,} point{'s' * (points > 1)} x {len(options.seeds)} seed{'s' * (len(options.seeds) > 1)}{devices}"


def _way(
    alike: Alike, shared: Shared, mesh: Mesh, options: Options, width: int | None, measure: bool, weights: int
) -> Way:
    share = -(-len(alike.rows) * len(options.seeds) // mesh.size)
    if width is not None:
        return Way(min(width, share), f"{min(width, share)} side by side, as asked")
    if measure:
        return fastest(share, lambda width: _seconds(grouped(alike, shared, mesh, options, width)))
    return choose(weights, share, mesh.devices.flat[0])


def grouped(alike: Alike, shared: Shared, mesh: Mesh, options: Options, width: int) -> Group:
    """Specs of one structure x seeds, dealt out over the devices in portions of `width` or, evenly, a little less."""
    seeds, swept = np.array(options.seeds, np.uint32), tuple(map(differ, alike.columns))
    count = len(alike.rows) * len(seeds)
    share = -(-count // mesh.size)
    portions = -(-share // width)
    width = -(-share // portions)
    rows = np.minimum(np.arange(mesh.size * portions * width), count - 1)
    program = Program(alike.tree, swept, width, BUFFER, options.shuffle_per_run, options.keep_params, options.dtype)
    own = tuple(c[rows // len(seeds)] for c, differs in zip(alike.columns, swept, strict=True) if differs)
    fixed = tuple(
        c[:1].tolist()[0] if c.ndim == 1 else c[0] for c, own in zip(alike.columns, swept, strict=True) if not own
    )
    own, seeds = jax.device_put((own, seeds[rows % len(seeds)]), NamedSharding(mesh, PartitionSpec("runs")))
    return Group(program, mesh, shared._replace(fixed=fixed), own, seeds, count)


def _seconds(group: Group) -> float:
    """How long a few batches take for all runs of a group, at best of three, without the compilation."""
    size = jax.tree.unflatten(group.program.tree, [0.0] * len(group.program.swept)).batch_size
    few = jax.tree.map(lambda a: a[: 8 * size], group.shared.data)
    shared = group.shared._replace(data=few, validation=None, early_stopping=None)
    group = group._replace(program=group.program._replace(keep=False), shared=shared)
    runs, times = start(*group[:-1]), []
    for _ in range(4):
        begin = time.perf_counter()
        jax.block_until_ready(advance(*group[:-2], runs, jnp.int32(0), jnp.int32(1)))
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def _run(group: Group, options: Options, label: str) -> tuple[Run, History]:
    """All epochs of a group, about a second of them a call; the History is (runs, epochs) in NumPy."""
    runs, count = start(*group[:-1]), group.count
    history: Any = None
    done, now = 0, 1
    with epochs_bar("sweep", options.epochs, options.progress, label) as bar:
        while done < options.epochs:
            begin = time.perf_counter()
            runs, part = advance(*group[:-2], runs, jnp.int32(done), jnp.int32(now))
            if history is None:
                history = jax.tree.map(lambda _: np.full((count, options.epochs), np.nan), part)
            for curve, new in zip(*map(jax.tree.leaves, (history, part)), strict=True):
                curve[:, done : done + now] = np.asarray(new)[:count, :now]
            done += now
            running, diverged = (np.asarray(flag)[:count].sum() for flag in (runs.running, runs.diverged))
            bar.set_postfix_str(f"{running:,} running, {diverged:,} diverged", refresh=False)
            bar.update(now)
            if not running:
                break
            seconds = time.perf_counter() - begin
            now = max(1, now // 2) if seconds > 2 else min(2 * now, BUFFER) if seconds < 0.5 else now
            now = min(now, options.epochs - done)
    return runs, history


def _table(points: list[Point], rows: np.ndarray, runs: Run, history: Any, options: Options) -> Results:
    """The table of a group, whose points have the numbers `rows` among all."""
    curves = {"loss": history.training.loss, "accuracy": history.training.accuracy}
    if history.validation is not None:
        curves |= {"validation_loss": history.validation.loss, "validation_accuracy": history.validation.accuracy}
    curves = {name: curve for name, curve in curves.items() if curve is not None}
    score = options.rank_by if history.validation is None else f"validation_{options.rank_by}"
    count = len(curves["loss"])
    diverged = np.asarray(runs.diverged)[:count]
    trained = np.isfinite(curves["loss"]).sum(axis=1)
    epoch = trained if runs.stopping is None else np.asarray(runs.stopping.epoch)[:count]
    params = None
    if options.keep_params:
        best = jax.tree.map(np.asarray, runs.params if runs.stopping is None else runs.stopping.best)
        params = tuple(jax.tree.map(lambda p: p[i], best) for i in range(count))  # noqa: B023
    names = dict.fromkeys(name for point in points for name in point.settings)
    return Results(
        {name: tuple(p.settings.get(name) for p in points for _ in options.seeds) for name in names},
        np.repeat(rows, len(options.seeds)),
        np.tile(np.array(options.seeds), len(rows)),
        diverged,
        trained,
        np.where(diverged, 0, epoch),
        curves,
        score,
        params,
    )
