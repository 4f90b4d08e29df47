"""`sweep`: from the search space to the rows of the results, top down.

by_structure      points whose programs are the same, as one stacked configuration
choose, fastest   how many runs each device computes side by side
place             the program of a group, and one configuration and one seed per run, on the devices
_train            all epochs of all runs
_results          their metrics, as Results
"""

import time
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray

from fnnet._jit import Compiled
from fnnet._values import check_key
from fnnet._xla.convolution_options import for_convolutions
from fnnet.layers.convolution import has_convolutions
from fnnet.model import init
from fnnet.protocols import Batch
from fnnet.sweeps.devices import Device, choose, choose_devices, fastest
from fnnet.sweeps.program import EPOCHS_PER_CALL, Program, Run, Shared, advance, start
from fnnet.sweeps.results import Results, join
from fnnet.sweeps.space import Configuration, Point, Stacked, by_structure, label_of
from fnnet.training.checks import checked_batch, converted_batch
from fnnet.training.progress import epochs_bar
from fnnet.training.rows import check_any_counts, split_off
from fnnet.training.sources import in_memory
from fnnet.training.state import History, check_epochs
from fnnet.training.stopping import EarlyStopping, check_monitor

Placed: TypeAlias = tuple[Program, Any, jax.Array]
"""A program, and the configurations and seeds of its runs, (runs, ...) on its mesh."""


def sweep(
    points: Sequence[Point],
    data: Batch,
    *,
    epochs: int | np.integer,
    seeds: Iterable[int] | int,
    shuffle: PRNGKeyArray | None,
    validation: Batch | float | None = None,
    shuffle_per_run: bool = False,
    early_stopping: EarlyStopping | None = None,
    rank_by: str = "loss",
    runs_per_device: int | None = None,
    measure: bool = False,
    devices: Sequence[Device] | None = None,
    keep_params: bool = False,
    progress: bool = True,
    dtype: Any = jnp.float32,
) -> Results:
    """Train every point from every seed, thousands of runs at once.

        points = grid(Configuration(model, fnnet.Adam(1e-3), batch_size=128), {"optimizer.learning_rate": (1e-3, 1e-2)})
        results = sweep(points, train, epochs=5, seeds=5, shuffle=jax.random.key(1), validation=0.1)
        print(results)
        points[results.best()].configuration

    points       from `grid` or `sample`, or made by hand: Point({"name": value}, Configuration(...))
    seeds        a run starts as `init_state(model, optimizer, jax.random.key(seed))`; a number n means range(n)
    shuffle      as in `train`, shared by all runs, so that every batch is gathered once; with shuffle_per_run a run's
                 key is fold_in(shuffle, seed), which costs more
    validation   as in `fit`: data, or the fraction of `data` to hold out; the same `shuffle` holds out the same rows
    early_stopping   stops each run by itself, as in `fit`; its best epoch counts then
    rank_by      the metric to rank by: "loss" or "accuracy", of the validation data if there is some
    runs_per_device  how many runs to compute side by side on each device; None: chosen by a rule (see `devices.py`), or
                 measured on this machine with `measure`, at the cost of some compilations
    devices      None: all of this process, or fewer where networks are too large for a CPU's cache (see `devices.py`).
                 Runs are split evenly across devices; nothing passes between them.
    keep_params  keep the parameters of every run in the results, as they were at the epoch that counts
    progress     print what is chosen and show a bar; needs the extra `experiments`

    Points that differ in static fields are compiled separately. A run has diverged when its loss, its validation loss
    or a parameter is not finite: its metrics are NaN, its parameters those of the epoch before, it ranks last, and no
    other run is affected. Runs side by side give the metrics of `train` up to rounding, not to the bit.

    Raises ValueError or TypeError, before anything is computed, for what cannot be swept.
    """
    seeds = seeds_of(seeds)
    _check_settings(epochs, seeds, shuffle, validation, shuffle_per_run, early_stopping, rank_by)
    if runs_per_device is not None and (runs_per_device < 1 or measure):
        raise ValueError(
            f"sweep: expected runs_per_device of 1 or more, or measure=True, got {runs_per_device}, measure={measure}"
        )
    _check_points(points, early_stopping, rank_by)
    data, validation = _held_out(data, validation, shuffle)
    groups = by_structure([point.configuration for point in points])
    sizes = [_check_rows(points[numbers[0]].configuration, data, validation, dtype) for numbers, _ in groups]
    everywhere, own = PartitionSpec(), Shared(data, validation, shuffle, None)
    shared_on = cache(lambda mesh: jax.device_put(own, NamedSharding(mesh, everywhere)))
    parts = []
    for group, ((numbers, stacked), size) in enumerate(zip(groups, sizes, strict=True), 1):
        mesh = mesh_of(choose_devices(size, jax.local_devices()) if devices is None else devices)
        shared = shared_on(mesh)._replace(early_stopping=early_stopping)
        most = -(-len(numbers) * len(seeds) // mesh.size)
        program = Program(stacked.axes, mesh, most, shuffle_per_run, keep_params, jnp.dtype(dtype))
        if runs_per_device is not None:
            chosen, why = min(runs_per_device, most), f"{min(runs_per_device, most)} side by side, as asked"
        elif measure:
            chosen, why = fastest(most, partial(_seconds, program, stacked, len(numbers), seeds, shared))
        else:
            chosen, why = choose(size, most, mesh.devices.flat[0], has_convolutions(stacked))
        label = f"program {group} of {len(groups)}"
        if progress:
            print(f"sweep, {label}: {_described(len(numbers), len(seeds), mesh)}; {why}", flush=True)
        placed = place(program, stacked, len(numbers), seeds, chosen)
        with epochs_bar("sweep", int(epochs), progress, label) as bar:
            runs, history = _train(placed, shared, int(epochs), len(numbers) * len(seeds), bar)
        parts.append(_results(points, numbers, seeds, runs, history, rank_by, keep_params))
    return join(parts)


def seeds_of(seeds: Iterable[int] | int) -> tuple[int, ...]:
    """The seeds that a caller asked for; a number n means 0, 1, ..., n - 1."""
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        return tuple(range(seeds))
    if not isinstance(seeds, Iterable) or isinstance(seeds, str):
        raise TypeError(f"sweep: expected seeds such as range(5) or (0, 7), or a number of them, got {seeds!r}")
    return tuple(seeds)


def mesh_of(devices: Sequence[Device]) -> Mesh:
    """The devices along one axis, across which runs are split."""
    return Mesh(np.array(devices), ("runs",), axis_types=(AxisType.Auto,))


def place(program: Program, stacked: Stacked, points: int, seeds: tuple[int, ...], side_by_side: int) -> Placed:
    """The program and, for every run, its configuration and its seed: every point from every seed, on the mesh.

    Each device computes its runs in equal portions of `side_by_side` runs or a few less; copies of the last run fill up
    the last portions.
    """
    count = points * len(seeds)
    per_device = -(-count // program.mesh.size)
    portions = -(-per_device // side_by_side)
    side_by_side = -(-per_device // portions)
    runs = np.minimum(np.arange(program.mesh.size * portions * side_by_side), count - 1)
    by_run = NamedSharding(program.mesh, PartitionSpec("runs"))
    configurations = jax.tree.map(
        lambda axis, leaf: leaf if axis is None else jax.device_put(leaf[runs // len(seeds)], by_run),
        *reversed(stacked),
        is_leaf=lambda axis: axis is None,
    )
    own_seeds = jax.device_put(np.array(seeds, np.uint32)[runs % len(seeds)], by_run)
    return program._replace(side_by_side=side_by_side), configurations, own_seeds


def _train(placed: Placed, shared: Shared, epochs: int, count: int, bar: Any) -> tuple[Run, History]:
    """All epochs of the first `count` runs, about a second of them per call; the History is (runs, epochs) in NumPy."""
    program, configurations, seeds = placed
    runs, further = start(program, configurations, seeds, shared), _advance(configurations)
    history: Any = None
    done, now = 0, 1
    while done < epochs:
        begin = time.perf_counter()
        runs, part = further(program, configurations, runs, shared, jnp.int32(done), jnp.int32(now))
        if history is None:
            history = jax.tree.map(lambda _: np.full((count, epochs), np.nan), part)
        for curve, new in zip(*map(jax.tree.leaves, (history, part)), strict=True):
            curve[:, done : done + now] = np.asarray(new)[:count, :now]
        done += now
        running, diverged = (np.asarray(flag)[:count].sum() for flag in (runs.running, runs.diverged))
        bar.set_postfix_str(f"{running:,} running, {diverged:,} diverged", refresh=False)
        bar.update(now)
        if not running:
            break
        seconds = time.perf_counter() - begin
        now = max(1, now // 2) if seconds > 2 else min(2 * now, EPOCHS_PER_CALL) if seconds < 0.5 else now
        now = min(now, epochs - done)
    return runs, history


def _advance(configurations: Any) -> Compiled:
    return for_convolutions(advance, "program") if has_convolutions(configurations) else advance


def _results(
    points: Sequence[Point],
    numbers: np.ndarray,
    seeds: tuple[int, ...],
    runs: Run,
    history: History,
    rank_by: str,
    keep_params: bool,
) -> Results:
    """The results of the points with these numbers."""
    curves = {"loss": history.training.loss, "accuracy": history.training.accuracy}
    if history.validation is not None:
        curves |= {"validation_loss": history.validation.loss, "validation_accuracy": history.validation.accuracy}
    curves = {name: curve for name, curve in curves.items() if curve is not None}
    count = len(curves["loss"])
    diverged = np.asarray(runs.diverged)[:count]
    trained = np.isfinite(curves["loss"]).sum(axis=1)
    epoch = trained if runs.stopping is None else np.asarray(runs.stopping.epoch)[:count]
    params = None
    if keep_params:
        kept = jax.tree.map(np.asarray, runs.params if runs.stopping is None else runs.stopping.best)
        params = tuple(jax.tree.map(lambda p: p[i], kept) for i in range(count))  # noqa: B023
    names = dict.fromkeys(name for number in numbers for name in points[number].settings)
    settings = [points[number].settings for number in numbers for _ in seeds]
    return Results(
        settings={name: tuple(label_of(s.get(name)) for s in settings) for name in names},
        point=np.repeat(numbers, len(seeds)),
        seed=np.tile(np.array(seeds), len(numbers)),
        diverged=diverged,
        trained=trained,
        epoch=np.where(diverged, 0, epoch),
        curves=curves,
        score=rank_by if history.validation is None else f"validation_{rank_by}",
        params=params,
    )


def _seconds(
    program: Program, stacked: Stacked, points: int, seeds: tuple[int, ...], shared: Shared, side_by_side: int
) -> float:
    """How long eight batches take for all runs of a group, the best of three, without the compilation."""
    program, configurations, own_seeds = place(
        program._replace(keep_params=False), stacked, points, seeds, side_by_side
    )
    few = jax.tree.map(lambda a: a[: 8 * configurations.batch_size], shared.data)
    shared = Shared(few, None, shared.shuffle, None)
    runs, times, further = start(program, configurations, own_seeds, shared), [], _advance(configurations)
    for _ in range(4):
        begin = time.perf_counter()
        jax.block_until_ready(further(program, configurations, runs, shared, jnp.int32(0), jnp.int32(1)))
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def _held_out(
    data: Batch, validation: Batch | float | None, shuffle: PRNGKeyArray | None
) -> tuple[Batch, Batch | None]:
    """(data to train on, data to validate on), on the device."""
    data = converted_batch("sweep", data, "data")
    if validation is not None and not isinstance(validation, int | float):
        validation = converted_batch("sweep", validation, "validation")
    rows, held_out = split_off(data, validation, shuffle, "sweep")
    check_any_counts("sweep", {"data to train on": rows, "validation data": held_out})
    return in_memory(rows).data, None if held_out is None else in_memory(held_out).data


def _check_settings(
    epochs: int | np.integer,
    seeds: tuple[int, ...],
    shuffle: PRNGKeyArray | None,
    validation: Batch | float | None,
    shuffle_per_run: bool,
    early_stopping: EarlyStopping | None,
    rank_by: str,
) -> None:
    check_epochs("sweep", epochs)
    if shuffle is not None:
        check_key("sweep", shuffle, "shuffle")
    whole = all(isinstance(seed, int | np.integer) and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not whole or len({*seeds}) != len(seeds):
        raise ValueError(f"sweep: expected seeds from 0 to 2**32 - 1, each once, got {seeds}")
    if shuffle_per_run and shuffle is None:
        raise ValueError("sweep: shuffle_per_run needs a key to fold the seeds into, got shuffle=None")
    if early_stopping is not None and validation is None:
        raise ValueError("sweep: early_stopping watches the validation data; pass validation=")
    if rank_by not in ("loss", "accuracy"):
        raise ValueError(f"sweep: expected rank_by to be 'loss' or 'accuracy', got {rank_by!r}")


def _check_points(points: Sequence[Point], early_stopping: EarlyStopping | None, rank_by: str) -> None:
    wrong = [p for p in points if not isinstance(getattr(p, "configuration", None), Configuration)]
    if wrong or not points:
        raise TypeError(
            f"sweep: expected points of Configurations, such as grid(Configuration(model, optimizer, batch_size=128), "
            f"{{...}}), got {wrong[0] if wrong else 'none'!r}"
        )
    for loss in (point.configuration.model.loss for point in points):
        if early_stopping is not None:
            check_monitor("sweep", early_stopping, loss)
        if rank_by == "accuracy" and not hasattr(loss, "correct"):
            raise ValueError(f"sweep: rank_by='accuracy', and {loss!r} has no accuracy; rank by 'loss'")


def _check_rows(c: Configuration, data: Batch, validation: Batch | None, dtype: Any) -> int:
    """Raise ValueError for classes without an output; return the bytes of a run's parameters."""
    shapes = jax.eval_shape(lambda: init(c.model, jax.random.key(0), jnp.dtype(dtype)))
    params = jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), shapes)
    for name, rows in (("data", data), ("validation", validation)):
        if rows is not None:
            checked_batch("sweep", c.model, params, rows, name)
    return sum(p.nbytes for p in jax.tree.leaves(params))


def _described(points: int, seeds: int, mesh: Mesh) -> str:
    """`12 points x 5 seeds on 2 devices`."""
    devices = "" if mesh.size == 1 else f" on {mesh.size} devices"
    return f"{points:,} point{'s' * (points > 1)} x {seeds} seed{'s' * (seeds > 1)}{devices}"
