"""The parts of a sweep one by one: how many runs side by side, which run gets what, and what is read from the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch, sweeps
from fnnet.sweeps import Configuration, Point, _sweep, grid, hosts, put, stack, sweep
from fnnet.sweeps._sweep import _results, mesh_of, place, seeds_of
from fnnet.sweeps.program import Program, Run, Shared, over_runs
from fnnet.sweeps.space import by_structure
from fnnet.training.state import History, Metrics
from fnnet.training.stopping import StoppingMemory

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
BASE = Configuration(fnnet.mlp((3, 2)), fnnet.Sgd(0.1), 23)
RATE = "optimizer.learning_rate"
ORDER = jax.random.key(9)
ARGUMENTS = {"epochs": 2, "seeds": (0, 7), "shuffle": ORDER, "progress": False}


class Placed(Exception):
    """Ends a sweep where it would begin to compute."""


@pytest.mark.parametrize(("asked", "width"), [(1, 1), (2, 2), (50, 10)])
def test_no_more_runs_side_by_side_than_asked(asked, width, monkeypatch):
    def placed(program, stacked, points, seeds, side_by_side):
        raise Placed(points, seeds, side_by_side)

    monkeypatch.setattr(_sweep, "place", placed)
    points = grid(BASE, {RATE: (0.1, 0.2, 0.3, 0.4, 0.5)})
    with pytest.raises(Placed) as caught:
        sweep(points, DATA, runs_per_device=asked, devices=jax.local_devices()[:1], **ARGUMENTS)
    assert caught.value.args == (5, (0, 7), width)
    monkeypatch.setattr(_sweep, "choose", lambda size, runs, *_: (runs, "all"))
    with pytest.raises(Placed) as caught:
        sweep(points, DATA, devices=jax.local_devices()[:1], **ARGUMENTS)
    assert caught.value.args[2] == 10


def program_of(axes, side_by_side=1):
    return Program(axes, mesh_of(jax.local_devices()[:1]), side_by_side, False, False, jnp.dtype("float32"))


def test_runs_are_placed_in_equal_portions_each_with_its_point_and_seed():
    rates = (0.1, 0.2, 0.3)
    stacked = stack([put(BASE, RATE, rate) for rate in rates])
    program, configurations, seeds = place(program_of(stacked.axes), stacked, 3, (5, 7, 11), 4)
    assert program.side_by_side == 3, "nine runs, four at most, are three times three: no copies fill up"
    np.testing.assert_allclose(configurations.optimizer.learning_rate, np.repeat(rates, 3), rtol=1e-6)
    assert seeds.tolist() == [5, 7, 11] * 3


@pytest.mark.parametrize(("side_by_side", "times"), [(2, 3), (1, 6)])
def test_runs_are_computed_so_many_at_a_time(side_by_side, times):
    own, shared = np.arange(6, dtype=np.float32), Shared(DATA, None, None, None)
    spec, axes = stack([fnnet.Sgd(0.1 * (i + 1)) for i in range(6)])
    run = over_runs(lambda optimizer, number, shared: jnp.sin(number), program_of(axes, side_by_side))
    assert f"length={times}" in str(jax.make_jaxpr(run)(spec, own, shared))


def test_a_number_of_seeds_is_a_range():
    assert seeds_of(3) == (0, 1, 2)


def test_a_run_diverges_in_the_epoch_that_spoils_its_parameters_or_its_validation():
    points, large = grid(BASE, {RATE: (1e-4, 3e38)}), DATA._replace(x=100 * DATA.x)
    without = sweep(points, large, **ARGUMENTS)
    assert without.diverged.tolist() == [False, False, True, True]
    assert without.trained.tolist() == [2, 2, 0, 0]
    bad = DATA._replace(x=np.where(np.arange(23)[:, None] == 4, np.nan, DATA.x).astype(np.float32))
    spoiled = sweep(points[:1], DATA, validation=bad, **ARGUMENTS)
    assert spoiled.diverged.all()
    assert spoiled.trained.tolist() == [0, 0]


def test_a_run_that_shuffles_in_its_own_way_folds_its_seed_into_the_key():
    c = put(BASE, "batch_size", 4)
    table = sweep([Point({}, c)], DATA, shuffle_per_run=True, **ARGUMENTS)
    for row, seed in enumerate((0, 7)):
        state = fnnet.init_state(c.model, c.optimizer, jax.random.key(seed))
        _, history = fnnet.train(
            c.model, c.optimizer, state, DATA, epochs=2, batch_size=4, shuffle=jax.random.fold_in(ORDER, seed)
        )
        np.testing.assert_allclose(table.curves["loss"][row], history.training.loss, rtol=1e-5)


# ------------------------------------------------------------------------------------ what is read from the end


def ended(stopping=None):
    """Four runs of two epochs, the last of which diverged in the second."""
    curve = np.arange(8.0).reshape(4, 2)
    curve[3, 1] = np.nan
    metrics = Metrics(curve, None, None)
    runs = Run(
        {"w": np.arange(4.0)}, (), None, None, np.array([True] * 3 + [False]), np.array([False] * 3 + [True]), stopping
    )  # fmt: skip
    return runs, History(metrics, metrics._replace(loss=curve + 10))


def test_results_have_the_numbers_of_their_points_and_the_last_parameters():
    points = [Point({"rate": float(i)}, BASE) for i in range(6)]
    results = _results(points, np.array([4, 1]), (5, 7), *ended(), "loss", True)
    assert (results.point.tolist(), results.seed.tolist()) == ([4, 4, 1, 1], [5, 7, 5, 7])
    assert results.settings == {"rate": (4.0, 4.0, 1.0, 1.0)}
    assert results.score == "validation_loss"
    assert (results.trained.tolist(), results.epoch.tolist()) == ([2, 2, 2, 1], [2, 2, 2, 0])
    assert [float(p["w"]) for p in results.params] == [0, 1, 2, 3]


def test_results_of_runs_that_stop_early_are_those_of_the_best_epoch():
    memory = StoppingMemory({"w": 10 + np.arange(4.0)}, np.zeros(4), np.array([1, 2, 1, 1]), np.zeros(4))
    points = [Point({}, BASE)] * 2
    results = _results(points, np.array([0, 1]), (5, 7), *ended(memory), "loss", True)
    assert results.epoch.tolist() == [1, 2, 1, 0]
    np.testing.assert_array_equal(results.metric("loss"), [0, 3, 4, np.nan])
    assert [float(p["w"]) for p in results.params] == [10, 11, 12, 13]
    plain = _results(points, np.array([0, 1]), (5, 7), ended()[0], ended()[1]._replace(validation=None), "loss", False)
    assert (plain.score, plain.params) == ("loss", None)


def made(points, seeds, scores, **settings):
    """Results of one run per point, after one epoch."""
    count = len(points)
    curves = {"loss": np.array(scores, float)[:, None]}
    return sweeps.Results(
        settings, np.array(points), np.array(seeds), np.zeros(count, bool), np.ones(count, int), np.ones(count, int),
        curves, "loss", tuple(np.array(scores)),
    )  # fmt: skip


def test_points_rank_by_their_numbers_and_one_seed_has_no_deviation():
    results = made([5, 9, 11], [0, 0, 0], [3.0, 1.0, 2.0])
    assert results.ranking().tolist() == [9, 11, 5]
    assert results.best() == 9
    assert np.isnan(results.summary().std["loss"]).all()
    assert "+-" not in str(results)


def test_joined_results_keep_settings_and_parameters_with_their_runs():
    late, early = made([2, 3], [0, 0], [2.0, 3.0], size=(4, 8)), made([0, 1], [1, 1], [0.0, 1.0], rate=(0.5, 0.6))
    joined = sweeps.join([late, early])
    assert joined.point.tolist() == [0, 1, 2, 3]
    assert joined.seed.tolist() == [1, 1, 0, 0]
    assert joined.settings == {"size": (None, None, 4, 8), "rate": (0.5, 0.6, None, None)}
    assert [float(p) for p in joined.params] == joined.curves["loss"][:, 0].tolist() == [0, 1, 2, 3]


# ------------------------------------------------------------------------------------ stacks and digests


def test_a_number_that_differs_anywhere_has_an_axis():
    spec, axes = stack([fnnet.Adam(rate) for rate in (0.1, 0.2, 0.1)])
    assert axes.learning_rate == 0
    np.testing.assert_array_equal(spec.learning_rate, [0.1, 0.2, 0.1])


def test_arrays_of_other_shapes_are_another_structure():
    specs = [fnnet.Sgd(np.ones(n)) for n in (2, 3, 2)]
    assert [rows.tolist() for rows, _ in by_structure(specs)] == [[0, 2], [1]]


def test_an_array_that_all_specs_share_is_picked_whole():
    shared = np.arange(3.0) / 4
    stacked = stack([fnnet.Adam(rate, beta1=shared) for rate in (0.1, 0.2, 0.3)])
    picked = sweeps.pick(stacked, np.array([2, 0]))
    assert picked.spec.learning_rate.tolist() == [0.3, 0.1]
    assert picked.spec.beta1.tolist() == [0, 0.25, 0.5]


def test_a_digest_is_of_the_numbers_and_the_structure_of_specs_and_of_the_source(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("1")
    monkeypatch.setattr(hosts, "_PACKAGE", tmp_path)

    def digest(configuration=BASE, settings=None):
        return hosts._digest([Point(settings or {"a": 1}, configuration)], DATA, 64, "", {})

    digests = [
        digest(),
        digest(put(BASE, RATE, 0.2)),
        digest(put(BASE, "optimizer", fnnet.Lion(0.1))),
        digest(put(BASE, "batch_size", 5)),
        digest(settings={"a": 2}),
    ]
    (tmp_path / "a.py").write_text("2")
    digests.append(digest())
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    digests.append(digest())
    assert len({*digests}) == len(digests)
    assert digest() == digests[-1]
