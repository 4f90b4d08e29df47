"""Sweeps: many runs as one program are the runs of `train`, whatever their neighbours do; and tables that add up."""

import csv
import dataclasses
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch, sweeps
from fnnet.sweeps import (
    Between,
    Configuration,
    Point,
    collect,
    grid,
    pick,
    put,
    sample,
    stack,
    sweep,
    sweep_shard,
)
from fnnet.sweeps import hosts as hosts_module
from fnnet.sweeps._sweep import mesh_of, place
from fnnet.sweeps.devices import choose, choose_devices, fastest
from fnnet.sweeps.program import Program, Shared, advance, start
from fnnet.sweeps.space import label_of

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
BASE = Configuration(fnnet.mlp((3, 5, 2), dropout=0.2, penalty=fnnet.L2(1e-3)), fnnet.Sgd(0.1, 0.9), 4)
RATE = "optimizer.learning_rate"
ORDER = jax.random.key(9)
ARGUMENTS = {"epochs": 3, "seeds": (0, 7), "shuffle": ORDER, "validation": OTHER, "progress": False}


def alone(configuration, seed, shuffle=ORDER, epochs=12):
    """The run as `train` does it; longer than the sweeps here, so that all share one program."""
    model, optimizer, size = configuration.model, configuration.optimizer, configuration.batch_size
    state = fnnet.init_state(model, optimizer, jax.random.key(seed))
    return fnnet.train(
        model, optimizer, state, DATA, epochs=epochs, batch_size=size, shuffle=shuffle, validation=OTHER
    )  # fmt: skip


@pytest.mark.parametrize("part", ["data to train on", "validation data"])
def test_a_sweep_needs_a_row_that_counts(part):
    nothing = Batch(OTHER.x, OTHER.y, np.zeros(11, np.float32))
    data, validation = (nothing, OTHER) if part == "data to train on" else (DATA, nothing)
    with pytest.raises(ValueError, match=f"^sweep: expected a row of the {part} with a weight above 0"):
        sweep([Point({}, BASE)], data, **ARGUMENTS | {"validation": validation})


def curves_of(history):
    return {
        "loss": history.training.loss,
        "accuracy": history.training.accuracy,
        "validation_loss": history.validation.loss,
        "validation_accuracy": history.validation.accuracy,
    }


def assert_is_train(table, points, shuffle_per_run=False):
    for row, (point, seed) in enumerate(zip(table.point, table.seed, strict=True)):
        shuffle = jax.random.fold_in(ORDER, seed) if shuffle_per_run else ORDER
        _, history = alone(points[point].configuration, seed, shuffle)
        for name, curve in curves_of(history).items():
            np.testing.assert_allclose(table.curves[name][row], curve[:3], rtol=2e-5, err_msg=f"run {row}, {name}")


@pytest.mark.slow
def test_runs_of_two_programs_are_the_runs_of_train():
    """Numbers and static fields, dropout's noise, a ragged last batch, schedules beside numbers, two programs."""
    schedule = fnnet.CosineDecay(0.1, 20)
    points = grid(BASE, {RATE: (0.05, 0.3), "model.network[2].rate": (0.2, 0.5)})
    points += grid(BASE, {RATE: {"cosine": schedule}, "batch_size": (5,)})
    table = sweep(points, DATA, **ARGUMENTS)
    assert_is_train(table, points)
    assert table.settings[RATE] == (0.05,) * 4 + (0.3,) * 4 + ("cosine",) * 2
    assert table.settings["batch_size"] == (None,) * 8 + (5,) * 2
    assert table.seed.tolist() == [0, 7] * 5
    assert table.trained.tolist() == table.epoch.tolist() == [3] * 10


STOPPING = {**ARGUMENTS, "epochs": 12, "early_stopping": fnnet.EarlyStopping(2)}


@pytest.fixture(scope="module")
def swept():
    """Two points that learn beside one whose every run diverges, with early stopping."""
    points = grid(BASE, {RATE: (0.3, 0.6, 1e30)})
    return points, sweep(points, DATA, **STOPPING)


def test_a_diverged_run_freezes_ranks_last_and_poisons_nothing(swept):
    _, table = swept
    assert table.diverged.tolist() == [False] * 4 + [True] * 2
    for name in table.curves:
        assert np.isnan(table.metric(name)).tolist() == table.diverged.tolist()
        assert np.isnan(table.curves[name][4:, table.trained[4:].max() :]).all()
    assert table.ranking()[-1] == 2
    assert table.best() != 2


def stopped_by_hand(state, validation, rule):
    """(epochs trained, best epoch), from 1, of the loop in `fit`."""
    memory, epochs = rule.start(state, jnp.float32), len(validation.loss)
    for epoch in range(1, epochs + 1):
        measured = validation._replace(loss=validation.loss[epoch - 1], accuracy=validation.accuracy[epoch - 1])
        memory = rule.after(memory, state, measured, epoch)
        if rule.is_over(memory):
            return epoch, int(memory.epoch)
    return epochs, int(memory.epoch)


def test_every_run_is_the_run_of_train_stopped_as_a_loop_would_stop_it(swept):
    """Dropout's noise and a ragged last batch included."""
    points, table = swept
    stops = set()
    for row in np.flatnonzero(~table.diverged):
        state, history = alone(points[table.point[row]].configuration, table.seed[row])
        stop, best = stopped_by_hand(state, history.validation, STOPPING["early_stopping"])
        assert (table.trained[row], table.epoch[row]) == (stop, best)
        for name, curve in curves_of(history).items():
            np.testing.assert_allclose(table.curves[name][row, :stop], curve[:stop], rtol=1e-4, err_msg=name)
            assert np.isnan(table.curves[name][row, stop:]).all()
        stops.add(stop)
    assert min(stops) < 12, "a test of early stopping in which nothing stops"


@pytest.mark.slow
def test_with_early_stopping_the_best_parameters_are_kept(swept):
    points, table = swept
    kept = sweep(points, DATA, keep_params=True, **STOPPING)
    assert same(kept, table)
    for row, params in enumerate(kept.params):
        assert all(np.isfinite(p).all() for p in jax.tree.leaves(params))
        if not table.diverged[row]:
            loss = fnnet.evaluate(BASE.model, params, OTHER).loss
            np.testing.assert_allclose(table.metric("validation_loss")[row], loss, rtol=1e-4)


@pytest.mark.slow
def test_a_run_that_diverges_late_keeps_the_state_of_the_epoch_before():
    """A linear network, whose error grows by the same factor in each step."""
    base = Configuration(fnnet.mlp((3, 2), loss=fnnet.SquaredError()), fnnet.Sgd(0.1), 4)
    points, data = grid(base, {RATE: (2.0, 4.0)}), Batch(DATA.x, DATA.x[:, :2])
    table = sweep(points, data, keep_params=True, **{**ARGUMENTS, "epochs": 12, "validation": None})
    assert table.diverged.all()
    assert 0 < table.trained.min() <= table.trained.max() < 12
    for row, (point, seed) in enumerate(zip(table.point, table.seed, strict=True)):
        model, optimizer, size = (
            getattr(points[point].configuration, name) for name in ("model", "optimizer", "batch_size")
        )
        before = fnnet.init_state(model, optimizer, jax.random.key(seed))
        epochs = int(table.trained[row])
        before, _ = fnnet.train(model, optimizer, before, data, epochs=epochs, batch_size=size, shuffle=ORDER)
        for kept, p in zip(*map(jax.tree.leaves, (table.params[row], before.params)), strict=True):
            np.testing.assert_allclose(kept, p, rtol=1e-3)


def _rows(table, which):
    fields = {
        name: getattr(table, name)[which] for name in ("point", "seed", "diverged", "trained", "epoch")
    } | {"curves": {name: curve[which] for name, curve in table.curves.items()}}  # fmt: skip
    settings = {n: tuple(np.array(v, object)[which]) for n, v in table.settings.items()}
    return dataclasses.replace(table, **fields, settings=settings, params=None)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 3])
def test_side_by_side_or_one_after_another_is_the_same(width, swept):
    points, table = swept
    other = sweep(points, DATA, runs_per_device=width, **STOPPING)
    for name, curve in table.curves.items():
        np.testing.assert_allclose(other.curves[name], curve, rtol=2e-5)


@pytest.mark.slow
def test_every_run_may_shuffle_in_its_own_way():
    points = grid(BASE, {RATE: (0.05, 0.3)})
    table = sweep(points, DATA, shuffle_per_run=True, **ARGUMENTS)
    assert_is_train(table, points, shuffle_per_run=True)


@pytest.mark.parametrize(("shuffle_per_run", "axes"), [(False, set()), (True, {"sort", "gather"})])
def test_shared_things_have_no_axis(shuffle_per_run, axes):
    """The data is shuffled and gathered once for all runs, and a number that does not differ stays a number."""
    runs, mesh = 13, mesh_of(jax.local_devices())  # no other size in the program
    specs = [put(BASE, RATE, 0.01 * (i + 1)) for i in range(runs)]
    stacked, shared = stack(specs), Shared(DATA, None, ORDER, None)
    program = Program(stacked.axes, mesh, runs, shuffle_per_run, False, jnp.dtype("float32"))
    program, configurations, seeds = place(program, stacked, runs, (0,), runs)
    assert configurations.optimizer.learning_rate.shape == (runs,)
    assert configurations.optimizer.momentum == 0.9
    states = jax.eval_shape(start, program, configurations, seeds, shared)
    traced = jax.make_jaxpr(advance, static_argnums=0)(program, configurations, states, shared, *map(jnp.int32, (0, 1)))
    lines = str(traced).split("\n")
    used = {name: [line for line in lines if f" {name}[" in line] for name in ("sort", "gather")}
    assert all(used.values())
    assert {name for name, found in used.items() if any(f"[{runs}," in line for line in found)} == axes


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_a_sweep_lowers_for_every_platform(platform):
    mesh = mesh_of(jax.local_devices())
    stacked, shared = stack([put(BASE, RATE, rate) for rate in (0.1, 0.2)]), Shared(DATA, None, ORDER, None)
    program = Program(stacked.axes, mesh, 2, False, False, jnp.dtype("float32"))
    program, configurations, seeds = place(program, stacked, 2, (0,), 2)
    states = jax.eval_shape(start, program, configurations, seeds, shared)
    traced = advance.trace(program, configurations, states, shared, jnp.int32(0), jnp.int32(1))
    assert "stablehlo" in traced.lower(lowering_platforms=(platform,)).as_text()


class Device(NamedTuple):
    """What `choose` asks a device for."""

    platform: str
    memory: int | None = None

    def memory_stats(self):
        return None if self.memory is None else {"bytes_limit": self.memory}


MIB = 2**20


@pytest.mark.parametrize(
    ("weights", "runs", "device", "side_by_side"),
    [
        (68, 10_000, Device("cpu"), 10_000),
        (103_000, 32, Device("cpu"), 20),
        (437_000, 32, Device("cpu"), 4),
        (2 * MIB, 32, Device("cpu"), 1),
        (7 * MIB, 32, Device("cpu"), 1),
        (MIB, 1000, Device("gpu", 8000 * MIB), 500),
        (MIB, 100, Device("gpu", 8000 * MIB), 100),
        (MIB, 1000, Device("tpu"), 1000),
        (2**40, 10, Device("gpu", 8000 * MIB), 1),
    ],
)
def test_runs_side_by_side_are_chosen_by_the_size_of_the_weights(weights, runs, device, side_by_side):
    chosen, why = choose(weights, runs, device, has_convolutions=False)
    assert chosen == side_by_side
    assert ("one after another" in why) == (side_by_side == 1)


def test_runs_with_convolutions_follow_each_other_on_a_cpu():
    assert choose(68, 10_000, Device("cpu"), has_convolutions=True)[0] == 1
    assert choose(68, 10_000, Device("gpu"), has_convolutions=True)[0] == 10_000


@pytest.mark.parametrize(
    ("weights", "platform", "cores", "count"),
    [
        (68, "cpu", 8, 8),
        (2 * MIB, "cpu", 8, 8),
        (4 * MIB, "cpu", 8, 4),
        (7 * MIB, "cpu", 2, 1),
        (2**40, "cpu", 8, 1),
        (2**40, "gpu", 2, 8),
    ],
)
def test_large_networks_use_fewer_devices_of_a_cpu(weights, platform, cores, count, monkeypatch):
    monkeypatch.setattr("fnnet.sweeps.devices._cores", lambda: cores)
    assert len(choose_devices(weights, [Device(platform)] * 8)) == count


def test_the_fastest_measured_number_side_by_side_is_taken():
    measured = {1: 3.0, 4: 1.0, 16: 2.0, 50: 2.5}
    assert fastest(50, measured.__getitem__)[0] == 4
    assert fastest(3, {1: 0.1, 3: 0.2}.__getitem__)[0] == 1


@pytest.mark.slow
def test_measuring_changes_how_runs_are_computed_and_not_their_metrics(swept, capsys):
    points, table = swept
    measured = sweep(points, DATA, measure=True, **{**STOPPING, "progress": True})
    assert "measured on a few batches (1: " in capsys.readouterr().out
    for name, curve in table.curves.items():
        np.testing.assert_allclose(measured.curves[name], curve, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float64", "bfloat16"])
def test_other_dtypes(kind):
    with jax.enable_x64(kind == "float64"):
        points = grid(BASE, {RATE: (0.1, 0.3)})
        table = sweep(points, DATA, keep_params=True, dtype=kind, **ARGUMENTS)
        assert {str(p.dtype) for run in table.params for p in jax.tree.leaves(run)} == {kind}
        state = fnnet.init_state(BASE.model, BASE.optimizer, jax.random.key(7), jnp.dtype(kind))
        c = points[1].configuration
        _, history = fnnet.train(c.model, c.optimizer, state, DATA, epochs=3, batch_size=4, shuffle=ORDER)
        rtol = 1e-10 if kind == "float64" else 0.05
        np.testing.assert_allclose(table.curves["loss"][3], np.asarray(history.training.loss), rtol=rtol)


def test_new_numbers_use_the_same_program(swept):
    before = advance._cache_size()
    other = {
        **STOPPING,
        "epochs": 5,
        "seeds": (3, 4),
        "early_stopping": fnnet.EarlyStopping(4, 1e-3),
        "shuffle": jax.random.key(2),
    }
    sweep(grid(BASE, {RATE: (0.5, 0.7, 0.9)}), DATA, **other)
    assert advance._cache_size() == before


# Points


PATHS = [
    ("optimizer.learning_rate", 0.5, lambda c: c.optimizer.learning_rate),
    ("model.penalty.weights", 0.5, lambda c: c.model.penalty.weights),
    ("model.network[2].rate", 0.5, lambda c: c.model.network.layers[2].rate),
    ("model.network.layers[-1].features", 3, lambda c: c.model.network.layers[3].features),
    ("model.network[1]", fnnet.Tanh(), lambda c: c.model.network.layers[1]),
    ("batch_size", 7, lambda c: c.batch_size),
    ("model.network[0, -1].features", 9, lambda c: c.model.network.layers[0].features),
    ("model.network[-1,0].features", 9, lambda c: c.model.network.layers[3].features),
]


@pytest.mark.parametrize(("path", "value", "get"), PATHS, ids=[p[0] for p in PATHS])
def test_a_path_changes_what_it_leads_to_and_nothing_else(path, value, get):
    changed = put(BASE, path, value)
    assert get(changed) == value != get(BASE)
    assert put(changed, path, get(BASE)) == BASE or "," in path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("optimizer.rate", "no rate in Sgd.*it has learning_rate, momentum, nesterov"),
        ("model.network[9].rate", r"no \[9\]"),
        ("model.network.layers.rate", "it is not a spec"),
        ("optimizer.learning_rate.start", "set it to a whole spec"),
        ("optimizer[0]", r"'optimizer\[0\]' leads nowhere: expected one field with a tuple"),
        ("optimizer..learning_rate", "expected a path"),
        ("", "expected a path"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path, text):
    with pytest.raises(ValueError, match=text):
        put(BASE, path, 0.1)


@fnnet.spec
class Scaled:
    """Layers and a number."""

    layers: tuple
    scale: fnnet.Number = 2.0


def test_a_path_goes_into_the_one_tuple_of_a_spec_that_has_numbers_too():
    changed = put(Scaled((fnnet.Dropout(0.1), fnnet.Dropout(0.2))), "[1].rate", 0.5)
    assert changed == Scaled((fnnet.Dropout(0.1), fnnet.Dropout(0.5)))


def test_a_value_out_of_range_is_the_specs_own_error():
    with pytest.raises(ValueError, match="Dropout"):
        grid(BASE, {"model.network[2].rate": (0.1, 1.5)})


def test_a_grid_is_every_combination_with_the_last_fastest():
    points = grid(BASE, {"batch_size": (2, 4), "model.network[1]": (fnnet.Tanh(), fnnet.Relu())})
    assert [tuple(p.settings.values()) for p in points] == [(2, "Tanh()"), (2, "Relu()"), (4, "Tanh()"), (4, "Relu()")]
    assert [p.configuration.batch_size for p in points] == [2, 2, 4, 4]
    assert grid(fnnet.Sgd(1.0), {"learning_rate": np.array([0.5])})[0] == Point(
        {"learning_rate": 0.5}, fnnet.Sgd(0.5)
    )  # fmt: skip


@pytest.mark.parametrize("log", [False, True])
def test_draws_stay_in_their_intervals(log):
    points = sample(BASE, {RATE: Between(1.0, 1.0005, log=log)}, count=50, seed=0)
    assert all(1 <= p.settings[RATE] <= 1.0005 for p in points)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (np.float32(0.5), 0.5), (np.array(2), 2), (jnp.float32(0.25), 0.25), (np.bool_(True), True), (None, None),
        ("slow", "slow"), (fnnet.Relu(), "Relu()"), ((1, 2), "(1, 2)"),
    ],
    ids=str,
)  # fmt: skip
def test_a_grid_labels_its_values(value, label):
    (point,) = grid(Scaled(()), {"scale": {label: 1.0}})
    assert point.settings == {"scale": label}
    assert (label_of(value), type(label_of(value))) == (label, type(label))


def test_draws_fill_their_intervals_and_a_longer_one_begins_as_a_shorter():
    space = {RATE: Between(1e-4, 1.0, log=True), "optimizer.momentum": Between(0.2, 0.8), "batch_size": (2, 4)}
    points = sample(BASE, space, count=400, seed=5)
    assert points[:30] == sample(BASE, space, count=30, seed=5)
    assert points != sample(BASE, space, count=400, seed=6)
    rates, momenta, sizes = (np.array([p.settings[name] for p in points]) for name in space)
    np.testing.assert_allclose(np.quantile(np.log10(rates), [0, 0.5, 1]), [-4, -2, 0], atol=0.3)
    np.testing.assert_allclose(np.quantile(momenta, [0, 0.5, 1]), [0.2, 0.5, 0.8], atol=0.05)
    assert 150 < (sizes == 2).sum() < 250
    assert abs(np.corrcoef(np.log(rates), momenta)[0, 1]) < 0.15
    assert all(p.configuration.optimizer.learning_rate == p.settings[RATE] for p in points)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sample(BASE, {RATE: Between(0, 1, log=True)}, count=2, seed=0), "0 < low < high"),
        (lambda: sample(BASE, {RATE: Between(1, 1)}, count=2, seed=0), "low < high"),
        (lambda: sample(BASE, {RATE: (0.1,)}, count=0, seed=0), "count of 1"),
        (lambda: grid(BASE, {RATE: ()}), "at least one value"),
        (lambda: grid(BASE, {RATE: 0.1}), "expected values such as"),
        (lambda: stack([fnnet.Sgd(0.1), fnnet.Adam(0.1)]), "2 structures"),
        (lambda: stack([]), "0 structures"),
        (lambda: Configuration(BASE.model, BASE.optimizer, 0), "batch_size"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **{**ARGUMENTS, "epochs": 0}), "epochs"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **{**ARGUMENTS, "seeds": (1, 1)}), "each once"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **{**ARGUMENTS, "seeds": (-1,)}), "2\\*\\*32"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **{**STOPPING, "validation": None}), "validation data"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA._replace(y=DATA.y + 1), **ARGUMENTS), "expected classes 0"),
        (
            lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **{**ARGUMENTS, "shuffle": None}, shuffle_per_run=True),
            "shuffle_per_run",
        ),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **ARGUMENTS, rank_by="f1"), "'loss' or 'accuracy'"),
        (lambda: sweep(grid(BASE, {RATE: (0.1,)}), DATA, **ARGUMENTS, runs_per_device=0), "runs_per_device"),
        (
            lambda: sweep(
                grid(BASE, {"model.loss": (fnnet.SquaredError(),)}), DATA, **ARGUMENTS, rank_by="accuracy"
            ),
            "no accuracy",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused(call, text, untyped):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("points", [[], [BASE], grid(fnnet.Sgd(0.1), {"learning_rate": (1.0,)})], ids=str)
def test_points_are_points_of_configurations(points, untyped):
    with pytest.raises(TypeError, match="expected points of Configurations"):
        sweep(points, DATA, **ARGUMENTS)


def test_stacked_specs_have_an_axis_where_they_differ():
    spec, axes = stack([fnnet.Adam(0.1), fnnet.Adam(0.2), fnnet.Adam(0.3)])
    np.testing.assert_array_equal(spec.learning_rate, [0.1, 0.2, 0.3])
    assert (spec.beta1, axes.learning_rate, axes.beta1) == (0.9, 0, None)
    assert type(spec.beta1) is float  # prints as it was written
    doubled = jax.vmap(lambda o, x: o.learning_rate * o.beta1 * x, in_axes=(axes, None))(spec, 2.0)
    np.testing.assert_allclose(doubled, [0.18, 0.36, 0.54], rtol=1e-6)
    picked = pick(stack([fnnet.Adam(0.1), fnnet.Adam(0.2), fnnet.Adam(0.3)]), np.array([2, 0]))
    assert picked.spec.learning_rate.tolist() == [0.3, 0.1]
    assert picked.spec.beta1 == 0.9


# Tables


def made(scores, diverged=(), accuracy=None):
    """A table of points x seeds from its scores after two epochs."""
    scores = np.asarray(scores, float)
    points, seeds = scores.shape
    flags = np.zeros((points, seeds), bool)
    for cell in diverged:
        flags[cell] = True
    curve = np.stack([np.full(scores.size, 9.0), scores.ravel()], axis=1)
    curves = {"validation_loss" if accuracy is None else "validation_accuracy": curve, "loss": curve}
    return sweeps.Results(
        {"rate": tuple(np.repeat(0.1 * np.arange(points), seeds).tolist())},
        np.repeat(np.arange(points), seeds), np.tile(np.arange(seeds), points), flags.ravel(),
        np.full(scores.size, 2), np.where(flags.ravel(), 0, 2), curves, next(iter(curves)),
    )  # fmt: skip


def test_mean_and_deviation_are_over_the_seeds_that_did_not_diverge():
    scores = RNG.normal(size=(3, 4))
    summary = made(scores, diverged=[(1, 2), (2, 0), (2, 1), (2, 2), (2, 3)]).summary()
    np.testing.assert_allclose(summary.mean["loss"][:2], [scores[0].mean(), np.delete(scores[1], 2).mean()])
    np.testing.assert_allclose(summary.std["loss"][:2], [scores[0].std(ddof=1), np.delete(scores[1], 2).std(ddof=1)])
    assert np.isnan([summary.mean["loss"][2], summary.std["loss"][2]]).all()
    assert summary.diverged.tolist() == [0, 1, 4]
    assert summary.seeds.tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("table", "ranking"),
    [
        (made([[3.0], [1.0], [2.0]]), [1, 2, 0]),
        (made([[3.0], [1.0], [2.0]], accuracy=True), [0, 2, 1]),
        (made([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]], diverged=[(1, 0)]), [2, 0, 1]),
        (made([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]], diverged=[(0, 0), (0, 1), (1, 0)]), [2, 1, 0]),
        (made([[np.nan], [1.0]]), [1, 0]),
        (made([[np.nan], [1.0]], accuracy=True), [1, 0]),
    ],
)
def test_ranking(table, ranking):
    assert table.ranking().tolist() == ranking
    assert table.best() == ranking[0]


def same(a, b):
    """Whether two tables say the same to the last bit, parameters aside."""
    arrays = ("point", "seed", "diverged", "trained", "epoch")
    return (
        (a.settings, a.score, {*a.curves}) == (b.settings, b.score, {*b.curves})
        and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)
        and all(np.array_equal(a.curves[n], b.curves[n], equal_nan=True) for n in a.curves)
    )


def test_tables_survive_files_to_the_bit_and_files_may_be_put_together(swept, tmp_path):
    _, table = swept
    whole, parts = tmp_path / "whole.jsonl", [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    table.to_jsonl(whole)
    assert same(sweeps.read(whole), table)
    for point, path in enumerate(parts):
        _rows(table, table.point // 2 == point).to_jsonl(path)
    assert same(sweeps.read(parts[::-1]), table)
    assert b"".join(p.read_bytes() for p in parts) == whole.read_bytes()
    assert same(sweeps.join([_rows(table, table.point // 2 == half) for half in (1, 0)]), table)
    with pytest.raises(ValueError, match="every run once"):
        sweeps.read([whole, parts[0]])
    with pytest.raises(ValueError, match="expected every run once"):
        sweeps.read([whole, whole])


def test_files_of_losses_with_and_without_accuracy_go_together(tmp_path):
    losses = (fnnet.SquaredError(), fnnet.SigmoidBinaryCrossEntropy())
    points = sweeps.grid(Configuration(fnnet.mlp((2, 4, 1), loss=losses[0]), fnnet.Adam(), 4), {"model.loss": losses})
    table = sweeps.sweep(points, fnnet.datasets.xor(), epochs=1, seeds=1, shuffle=None, progress=False)
    paths = [tmp_path / f"{point}.jsonl" for point in range(2)]
    for point, path in enumerate(paths):
        part = sweeps.sweep(points[point : point + 1], fnnet.datasets.xor(), epochs=1, seeds=1, shuffle=None,
                            progress=False)  # fmt: skip
        dataclasses.replace(part, point=np.array([point])).to_jsonl(path)
    assert same(sweeps.read(paths), table)
    assert np.isnan(table.curves["accuracy"][0]).all()


def test_csv_has_a_line_a_run(swept, tmp_path):
    _, table = swept
    table.to_csv(tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [float(r[RATE]) for r in rows] == [0.3, 0.3, 0.6, 0.6, 1e30, 1e30]
    assert [int(r["seed"]) for r in rows] == [0, 7] * 3
    np.testing.assert_array_equal([float(r["validation_loss"]) for r in rows], table.metric("validation_loss"))
    records = table.records()
    assert records[0] == {**records[0], "point": 0, RATE: 0.3, "seed": 0, "diverged": False, "epoch": table.epoch[0]}
    assert json.loads(table.lines().splitlines()[5])["curves"]["loss"][-1] is None


def test_a_printed_table_has_the_best_on_top(swept):
    lines = str(swept[1]).splitlines()
    assert lines[0] == "6 runs of 3 points, the best 3 by mean validation_loss"
    assert lines[2].split()[0] == str(swept[1].best())
    assert lines[4].split()[:2] == ["2", "1e+30"]
    assert lines[4].endswith("2 of 2")


# Chunks in files

FEW = grid(BASE, {RATE: (0.3, 0.6, 1e30, 0.2, 0.4, 1e38)})
MIXED = grid(BASE, {"batch_size": (4, 5), RATE: (0.1, 0.2, 0.3)}) + grid(BASE, {RATE: (0.4,)})
SHARED = {**STOPPING, "chunk": 3}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with two chunks of the same program."""
    return sweep_shard(FEW, DATA, folder=tmp_path_factory.mktemp("shared"), **SHARED)


def test_chunks_put_together_are_the_sweep(shared):
    """Equal to the bit to the sweeps of their points, which have the same shapes."""
    assert sorted(f.name for f in shared.iterdir()) == ["00000-of-00002.jsonl", "00001-of-00002.jsonl"]
    halves = [sweep(FEW[:3], DATA, **STOPPING), sweep(FEW[3:], DATA, **STOPPING)]
    halves[1] = dataclasses.replace(halves[1], point=halves[1].point + 3)
    assert same(collect(shared), sweeps.join(halves))


def test_chunks_that_were_cut_are_no_table(shared, tmp_path):
    first, second = (f.read_bytes() for f in sorted(shared.iterdir()))
    whole = {f.name: f.read_bytes() for f in shared.iterdir()}
    name, last = sorted(whole)

    def collected(**contents):
        for file, content in (whole | contents).items():
            (tmp_path / file).write_bytes(content)
        return collect(tmp_path)

    assert same(collected(), collect(shared))
    with pytest.raises(ValueError, match="3 points lack runs, the first is point 0"):
        collected(**{name: first.splitlines(keepends=True)[0]})
    with pytest.raises(ValueError, match=r"chunks without runs: .*00001"):
        collected(**{last: b""})
    with pytest.raises(ValueError, match=r"line 6 of .*00001-of-00002.jsonl is not a run .*cut off"):
        collected(**{last: second[:-20]})


def test_what_is_there_is_skipped_and_what_is_missing_is_made_again(shared, tmp_path, monkeypatch):
    _, second = sorted(shared.iterdir())
    made = []
    monkeypatch.setattr(hosts_module, "chunk_lines", lambda points, rows, *_: made.append(rows.tolist()) or b"again\n")
    assert sweep_shard(FEW, DATA, folder=shared.parent, **SHARED) == shared
    assert made == []
    content = second.read_bytes()
    second.unlink()
    second.with_name(second.name + ".tmp").write_bytes(content[:100])  # killed while writing
    with pytest.raises(ValueError, match=r"lacks 1 of 2 chunks: \[1\]"):
        collect(shared)
    sweep_shard(FEW, DATA, folder=shared.parent, **SHARED)
    assert made == [[3, 4, 5]]
    assert second.read_bytes() == b"again\n"
    second.write_bytes(content)
    assert not second.with_name(second.name + ".tmp").exists()


def test_hosts_share_the_chunks_between_them(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(hosts_module, "chunk_lines", lambda points, rows, *_: made.append(rows.tolist()) or b"\n")
    paths = []
    for host in range(3):
        paths.append(sweep_shard(MIXED, DATA, folder=tmp_path / "a", host=host, hosts=3, chunk=2, **ARGUMENTS))
        made.append("|")
    assert made == [[0, 1], [5], "|", [2, 6], "|", [3, 4], "|"]
    assert len({*paths}) == 1


OTHERS = [
    {"points": FEW[:5]},
    {"points": (FEW[0]._replace(settings={"other": 1}), *FEW[1:])},
    {"data": DATA._replace(y=1 - DATA.y)},
    {"validation": DATA},
    {"seeds": (0, 8)},
    {"shuffle": jax.random.key(8)},
    {"epochs": 11},
    {"chunk": 2},
    {"early_stopping": fnnet.EarlyStopping(3)},
    {"rank_by": "accuracy"},
    {"shuffle_per_run": True},
    {"version": "0f1e"},
]


def test_another_sweep_has_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts_module, "chunk_lines", lambda *_: b"\n")

    def folder(**changes):
        arguments = {"points": FEW, "data": DATA, **SHARED, **changes}
        return sweep_shard(arguments.pop("points"), arguments.pop("data"), folder=tmp_path, **arguments)

    paths = [folder(), *(folder(**change) for change in OTHERS)]
    monkeypatch.setattr(jax, "__version__", "1.0")
    paths.append(folder())
    assert len({*paths}) == len(OTHERS) + 2
    for same_result in ({"runs_per_device": 2}, {"measure": True}, {"seeds": [0, 7]}):
        assert folder(**same_result) == paths[-1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"host": 2, "hosts": 2}, "host"), ({"chunk": 0}, "chunk"), ({"keep_params": True}, "no parameters")],
)
def test_a_share_that_makes_no_sense_is_refused(changes, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        sweep_shard(FEW, DATA, folder=tmp_path, **{**SHARED, **changes})
    assert not list(tmp_path.iterdir())


# What a sweep in files must not mix up


def copy_of(folder, path, **changed):
    """A copy of a sweep's folder, under the same name, some of its files replaced or added."""
    path = path / folder.name
    path.mkdir()
    for name, content in ({f.name: f.read_bytes() for f in folder.iterdir()} | changed).items():
        (path / name).write_bytes(content)
    return path


def edited(line, **changes):
    return json.dumps(json.loads(line) | changes).encode() + b"\n"


def test_a_file_of_another_sweep_is_refused(shared, tmp_path):
    """Same points, same file names, other data: nothing but the digest tells them apart."""
    other = DATA._replace(y=1 - DATA.y)
    stranger = sweep_shard(FEW, other, folder=tmp_path / "other", **SHARED) / "00001-of-00002.jsonl"
    mixed = copy_of(shared, tmp_path, **{stranger.name: stranger.read_bytes()})
    with pytest.raises(ValueError, match=r"expected runs of sweep .* in line 1 of .*00001-of-00002.jsonl"):
        collect(mixed)
    with pytest.raises(ValueError, match="belong to different sweeps"):
        sweeps.read([*shared.iterdir(), stranger])


def test_files_may_be_concatenated(shared, tmp_path):
    (tmp_path / "all.jsonl").write_bytes(b"".join(f.read_bytes() for f in sorted(shared.iterdir())))
    assert same(sweeps.read(tmp_path / "all.jsonl"), collect(shared))


@pytest.mark.parametrize("name", ["foo-of-bar.jsonl", "00007-of-00002.jsonl", "00000-of-00002 (1).jsonl", "x.jsonl"])
def test_files_that_are_not_chunks_are_named(shared, tmp_path, name):
    with pytest.raises(ValueError, match=r"expected files such as 00000-of-00002.jsonl"):
        collect(copy_of(shared, tmp_path, **{name: b""}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"point": 10**12}, "point to be from 0 to 6 - 1"),
        ({"point": -1}, "point to be from 0"),
        ({"point": 10**12, "points": 10**13}, "different sweeps"),
        ({"point": True}, "point to be int"),
        ({"seed": 2**32}, "seed to be from 0"),
        ({"epoch": 13}, "epoch to be from 0"),
        ({"settings": {RATE: [1]}}, "settings to be numbers"),
        ({"curves": {"loss": [1.0, "x"]}}, "curves of equal length"),
        ({"curves": {}}, "curves of equal length"),
        ({"score": "f1"}, "curves of equal length"),
        ({"settings": None}, "settings to be dict"),
    ],
)
def test_a_line_that_is_not_a_run_is_named(shared, tmp_path, changes, text):
    """At once: a point number allocates nothing."""
    lines = sorted(shared.iterdir())[0].read_bytes().splitlines()
    content = b"\n".join([lines[0], edited(lines[1], **changes).strip(), *lines[2:]]) + b"\n"
    with pytest.raises(ValueError, match=rf"line 2 of .*00000-of-00002.jsonl.*{text}|line 2 of .* {text}"):
        collect(copy_of(shared, tmp_path, **{"00000-of-00002.jsonl": content}))


@pytest.mark.parametrize("line", [b"[1]", b'"run"', b"NaN", b"{}", b"[" * 100_000, b"\xff", b""], ids=repr)
def test_what_is_not_json_of_a_run_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=r"line 1 of .*a\.jsonl is not a run"):
        sweeps.read(tmp_path / "a.jsonl")


def test_infinite_values_survive_files(tmp_path):
    """A rate of inf is swept, written as strict JSON, and read as the same float; the word "inf" stays a word."""
    points = grid(BASE, {RATE: (0.1, float("inf"))}) + grid(BASE, {RATE: {"inf": 0.2}})
    path = sweep_shard(points, DATA, folder=tmp_path, **ARGUMENTS)
    assert collect(path).settings[RATE] == (0.1, 0.1, float("inf"), float("inf"), "inf", "inf")
    (file,) = path.iterdir()
    for line in file.read_bytes().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    unknown = dataclasses.replace(made([[1.0]]), settings={"rate": (float("nan"),)})
    unknown.to_jsonl(tmp_path / "nan.jsonl")
    assert np.isnan(sweeps.read(tmp_path / "nan.jsonl").settings["rate"][0])


# What `fit` accepts


def test_a_fraction_holds_out_the_rows_that_fit_holds_out():
    points = grid(BASE, {RATE: (0.1,)})
    swept = sweep(points, DATA, **{**ARGUMENTS, "validation": 0.2, "seeds": 1})
    state = fnnet.init_state(BASE.model, BASE.optimizer, jax.random.key(0))
    _, history = fnnet.fit(BASE.model, BASE.optimizer, state, DATA, epochs=3, batch_size=4, shuffle=ORDER,
                           validation=0.2, progress=False)  # fmt: skip
    np.testing.assert_allclose(swept.curves["loss"][0], history.training.loss, rtol=2e-5)
    np.testing.assert_allclose(swept.curves["validation_loss"][0], history.validation.loss, rtol=2e-5)


def test_numbers_of_numpy_count():
    points = grid(BASE, {RATE: (0.1,)})
    results = sweep(points, DATA, **{**ARGUMENTS, "epochs": np.int64(3), "seeds": 2})
    assert results.seed.tolist() == [0, 1]
    assert results.curves["loss"].shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"validation": 1.5}, "sweep: expected validation to be a fraction"),
        ({"validation": 0.2, "shuffle": None}, "sweep: rows to hold out"),
        ({"seeds": 0}, "sweep: expected seeds"),
        ({"epochs": True}, "epochs"),
        ({"epochs": 2.0}, "epochs"),
        ({"data": Batch(DATA.x[:0], DATA.y[:0])}, "sweep: expected rows in data, got none"),
        ({"validation": Batch(DATA.x[:0], DATA.y[:0])}, "sweep: expected rows in validation, got none"),
        ({"data": Batch(DATA.x, DATA.y[:5])}, "as many targets"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, text, untyped):
    arguments = {"data": DATA, **ARGUMENTS, **changes}
    with pytest.raises(ValueError, match=text):
        sweep(grid(BASE, {RATE: (0.1,)}), arguments.pop("data"), **arguments)


@pytest.mark.parametrize(
    "changes", [{"seeds": 1.5}, {"seeds": "12"}, {"validation": (DATA.x, DATA.y)}, {"data": DATA.x}]
)
def test_arguments_of_another_kind_are_refused(changes, untyped):
    arguments = {"data": DATA, **ARGUMENTS, **changes}
    with pytest.raises(TypeError, match="sweep: expected"):
        sweep(grid(BASE, {RATE: (0.1,)}), arguments.pop("data"), **arguments)


@pytest.mark.parametrize("size", [4.0, np.float32(4), True, 0])
def test_batch_sizes_are_whole(size, untyped):
    with pytest.raises(ValueError, match="batch_size to be an int of 1 or more"):
        grid(BASE, {"batch_size": (size,)})


def test_early_stopping_by_an_accuracy_that_the_loss_has_not_is_refused(untyped):
    with pytest.raises(ValueError, match=r"sweep: EarlyStopping.* has no accuracy"):
        sweep(grid(BASE, {"model.loss": (fnnet.SquaredError(),)}), DATA, **ARGUMENTS,
              early_stopping=fnnet.EarlyStopping(monitor="accuracy"))  # fmt: skip


def test_arguments_of_a_shard_are_checked_before_anything_is_computed(tmp_path):
    with pytest.raises(TypeError, match="seeds"):
        sweep_shard(FEW, DATA, folder=tmp_path, epochs=1, shuffle=ORDER)
    assert not list(tmp_path.iterdir())


def test_a_validation_loss_of_nan_ranks_last_and_says_so():
    unknown = OTHER._replace(x=np.full_like(OTHER.x, np.nan))
    results = sweep(grid(BASE, {RATE: (0.1, 0.2)}), DATA, **{**ARGUMENTS, "validation": unknown})
    assert results.diverged.all()
    assert str(results).splitlines()[0] == "4 runs of 2 points, all of which diverged"
    with pytest.raises(ValueError, match="NaN in the data, validation data included"):
        results.best()


def test_results_show_themselves_in_a_notebook():
    results = dataclasses.replace(made([[3.0, 4.0], [1.0, 2.0]]), settings={"<b>": ("a&b", "a&b", 1e-5, 1e-5)})
    assert repr(results) == str(results)
    page = results._repr_html_()
    assert page.count("<tr>") == 3
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "a&amp;b" in page
    assert "1.5000 +- 0.7071" in repr(results.summary())
    assert results.summary()._repr_html_().count("<tr>") == 3


def test_specs_whose_arrays_lie_in_different_places_are_different_structures():
    """One number here and three there, the other way round: not the same shapes."""
    one, other = np.full(3, 0.5), 0.5
    specs = [fnnet.Sgd(one, other), fnnet.Sgd(other, one)]
    with pytest.raises(ValueError, match="2 structures"):
        stack(specs)
