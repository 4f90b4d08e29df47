"""The program of a sweep, part by part: runs over devices, epochs cut anywhere, and what becomes of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.sweeps import Configuration, put, stack
from fnnet.sweeps._sweep import mesh_of, place
from fnnet.sweeps.program import EPOCHS_PER_CALL, Program, Run, Shared, _after, _no_epochs, advance, over_runs, start
from fnnet.training.state import TrainState
from tests.helpers.bits import bits

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
BASE = Configuration(fnnet.mlp((3, 4, 2), dropout=0.2), fnnet.Sgd(0.1), 4)
ORDER = jax.random.key(9)
STOPPING = fnnet.EarlyStopping(2)


def program_of(axes=None, *, side_by_side=1, keep_params=False):
    mesh = mesh_of(jax.local_devices()[:1])
    return Program(axes, mesh, side_by_side, False, keep_params, jnp.dtype("float32"))


@pytest.mark.parametrize("side_by_side", [1, 2, 6, 7, 50])
def test_every_run_has_its_own_numbers_and_the_shared_ones(side_by_side):
    spec, axes = stack([fnnet.Adam(0.1 * (i + 1), 0.5) for i in range(7)])
    own, shared = np.arange(7, dtype=np.float32), Shared(DATA, None, None, STOPPING)

    def one(optimizer, number, shared):
        return optimizer.learning_rate, optimizer.beta1 * number, shared.early_stopping.patience * number, shared.data.x

    got = jax.jit(over_runs(one, program_of(axes, side_by_side=side_by_side)))(spec, own, shared)
    for a, b in zip(got, (spec.learning_rate, 0.5 * own, 2 * own, np.stack([DATA.x] * 7)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("stopping", [STOPPING, None], ids=["stopping", "to the end"])
def test_epochs_can_be_cut_anywhere(stopping):
    """Five epochs in one call, in two, and one by one: the same bits."""
    stacked = stack([put(BASE, "optimizer.learning_rate", rate) for rate in (0.3, 0.6, 1e30)])
    shared = Shared(DATA, OTHER, ORDER, stopping)
    program, configurations, seeds = place(program_of(stacked.axes, keep_params=True), stacked, 3, (0, 7), 3)
    ends, histories, whole = [], [], None
    for cuts in ((5,), (2, 3), (1, 1, 1, 1, 1)):
        runs, done, parts = start(program, configurations, seeds, shared), 0, []
        for count in cuts:
            runs, part = advance(program, configurations, runs, shared, jnp.int32(done), jnp.int32(count))
            assert not np.any(runs.running & runs.diverged)
            assert all(a.shape == (6, EPOCHS_PER_CALL) for a in jax.tree.leaves(part))
            assert all(np.isnan(a[:, count:]).all() for a in jax.tree.leaves(part))
            parts.append(jax.tree.map(lambda a, count=count: np.asarray(a)[:, :count], part))
            done += count
        ends.append(bits(runs))
        whole = jax.tree.map(lambda *a: np.concatenate(a, 1), *parts)
        histories.append(bits(whole))
    assert ends[0] == ends[1] == ends[2]
    assert histories[0] == histories[1] == histories[2]
    assert runs.diverged.tolist() == [False] * 4 + [True] * 2
    if stopping is not None:
        best = 1 + np.nanargmin(whole.validation.loss[:4], axis=1)
        assert runs.stopping.epoch[:4].tolist() == best.tolist()
        assert len({*best}) > 1


def test_a_run_of_one_is_the_run_of_train():
    """Dropout's noise and a schedule included, which depend on the step."""
    c = put(BASE, "optimizer.learning_rate", fnnet.ExponentialDecay(0.3, 0.5, 6))
    stacked = stack([c])
    program, configurations, seeds = place(program_of(stacked.axes), stacked, 1, (7,), 1)
    shared = Shared(DATA, OTHER, ORDER, None)
    runs = start(program, configurations, seeds, shared)
    _, history = advance(program, configurations, runs, shared, jnp.int32(0), jnp.int32(3))
    state = fnnet.init_state(c.model, c.optimizer, jax.random.key(7))
    data = {"batch_size": c.batch_size, "shuffle": ORDER, "validation": OTHER}
    _, expected = fnnet.train(c.model, c.optimizer, state, DATA, epochs=3, **data)
    for name in ("training", "validation"):
        curve, alone = (getattr(h, name).loss for h in (history, expected))
        np.testing.assert_allclose(curve[0, :3], alone, rtol=2e-5)


@pytest.mark.parametrize("keep_params", [False, True])
@pytest.mark.parametrize("stopping", [None, "memory"])
@pytest.mark.parametrize(("running", "good"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("diverged", [False, True])
def test_a_run_after_an_epoch(keep_params, stopping, running, good, diverged):
    run = Run(jnp.float32(1), jnp.float32(2), ORDER, jnp.uint32(3), jnp.bool_(running), jnp.bool_(diverged), stopping)
    state = TrainState(jnp.float32(10), jnp.float32(20), jnp.int32(5), ORDER)
    after = _after(program_of(keep_params=keep_params), run, state, jnp.bool_(good))
    is_kept = keep_params and stopping is None and not good
    assert (float(after.params), float(after.opt_state)) == (1 if is_kept else 10, 20)
    assert (bool(after.running), bool(after.diverged)) == (good, diverged or (running and not good))
    assert (after.key, int(after.seed), after.stopping) == (ORDER, 3, stopping)


@pytest.mark.parametrize("validation", [None, OTHER])
@pytest.mark.parametrize("loss", [fnnet.SoftmaxCrossEntropy(), fnnet.SquaredError()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_curves_begin_as_nan(validation, loss, dtype):
    configuration = Configuration(fnnet.mlp((3, 2), loss=loss), fnnet.Sgd(0.1), 4)
    run = Run(fnnet.init(configuration.model, ORDER, dtype), (), ORDER, 0, True, False, None)
    history = _no_epochs(configuration, run, validation)
    for metrics in (history.training, history.validation)[: 1 + (validation is not None)]:
        assert metrics.weight is None
        assert (metrics.accuracy is None) == isinstance(loss, fnnet.SquaredError)
        for curve in jax.tree.leaves(metrics):
            assert (curve.dtype, curve.shape, bool(jnp.isnan(curve).all())) == ("float32", (EPOCHS_PER_CALL,), True)
    assert (history.validation is None) == (validation is None)
