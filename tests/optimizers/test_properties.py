"""Every optimizer and transformation x what all of them keep to. Add a row and inherit the tests."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.layers import DenseParams
from fnnet.optimizers import (
    AdaDelta,
    AdaGrad,
    Adam,
    AdaMax,
    AdamW,
    AmsGrad,
    Average,
    Chain,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    GradientNoise,
    Lion,
    Lookahead,
    Matrices,
    MaxNorm,
    Muon,
    Nadam,
    Partition,
    RmsProp,
    ScheduleFreeAdam,
    Sgd,
    WeightDecay,
)

pytestmark = pytest.mark.slow  # a minute of compilation; references and recurrences are in the default run

ROWS = [
    Sgd(0.1),
    Sgd(0.1, momentum=0.5),
    Sgd(0.1, momentum=0.5, nesterov=True),
    Lion(0.1),
    AdaGrad(0.1),
    AdaGrad(0.1, initial=0.1),
    RmsProp(0.1),
    RmsProp(0.1, momentum=0.5, centered=True),
    AdaDelta(),
    Adam(0.1),
    AdamW(0.1),
    AmsGrad(0.1),
    Nadam(0.1),
    Nadam(0.1, momentum_decay=0.004),
    AdaMax(0.1),
    ClipByValue(0.5),
    ClipByNorm(0.5),
    ClipByGlobalNorm(0.5),
    GradientNoise(0.5),
    WeightDecay(0.5),
    MaxNorm(0.5),
    Average(0.5),
    ScheduleFreeAdam(0.1),
    ScheduleFreeAdam(0.1, weight_decay=0.1),
    Lookahead(Adam(0.1), steps=2),
    Partition(Matrices(), Muon(0.1), Adam(0.1)),
    Partition(Matrices(), Muon(0.1, nesterov=False, steps=2), Chain((ClipByNorm(0.5), Sgd(0.1)))),
    Chain((ClipByGlobalNorm(1.0), GradientNoise(1e-3), Adam(1e-3), WeightDecay(1e-4), MaxNorm(2.0), Average(0.999))),
]
PARAMS = DenseParams(np.array([[1.0, -2], [0.5, 3]]), np.array([0.25, -0.5]))
GRADS = DenseParams(np.array([[0.5, -1], [2, 0.125]]), np.array([-1.5, 0.0]))
KEY = jax.random.key(3)
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=str)


def cast(tree, dtype):
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), tree)


def two_updates(optimizer):
    """Both updates and the last state, with numbers as a step has them."""
    params, grads = cast((PARAMS, GRADS), "float32")
    optimizer = fnnet.at_step(optimizer, 0, "float32")
    first, state = optimizer.update(grads, optimizer.init(params), params, key=KEY)
    second, state = optimizer.update(jax.tree.map(jnp.negative, grads), state, params, key=KEY)
    return first, second, state


def assert_close(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@EVERY_ROW
def test_jit_is_eager_a_sweep_is_single_runs_and_no_number_compiles_anew(row):
    """A sweep over all numbers at once; the second setting has each a tenth smaller."""
    traces = []

    @jax.jit
    def sweep(stacked):
        traces.append(1)
        return jax.vmap(two_updates)(stacked)

    other = jax.tree.map(lambda number: 0.9 * number, row)
    for pair in ((row, other), (other, row)):
        got = sweep(jax.tree.map(lambda *numbers: jnp.asarray(numbers), *pair))
        for i, single in enumerate(pair):
            assert_close(jax.tree.map(lambda a, i=i: a[i], got), two_updates(single))
    assert len(traces) == 1


@EVERY_ROW
def test_another_number_is_the_same_structure(row):
    assert jax.tree.structure(jax.tree.map(lambda number: 0.5 * number, row)) == jax.tree.structure(row)
    assert all(type(number) is float for number in jax.tree.leaves(row))


def scheduled(spec):
    """The spec with every number a schedule that is at this number in step 5."""
    if isinstance(spec, float):
        return fnnet.LinearSchedule(0, 2 * spec, 10)
    if isinstance(spec, tuple):
        return tuple(map(scheduled, spec))
    if not dataclasses.is_dataclass(spec):
        return spec
    return dataclasses.replace(spec, **{f.name: scheduled(getattr(spec, f.name)) for f in dataclasses.fields(spec)})


@EVERY_ROW
def test_every_number_may_be_a_schedule(row):
    got = fnnet.at_step(scheduled(row), 5, "float32")
    assert jax.tree.structure(got) == jax.tree.structure(row)
    np.testing.assert_allclose(jax.tree.leaves(got), jax.tree.leaves(row), rtol=1e-6)


MODEL = fnnet.Model(fnnet.Dense(2), fnnet.SquaredError(), (2,))


@EVERY_ROW
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_training_step_keeps_every_dtype_and_no_type_is_weak(row, dtype):
    def form(tree):
        leaves, structure = jax.tree.flatten(tree)
        return structure, [(a.shape, a.dtype, a.weak_type) for a in leaves if jnp.issubdtype(a.dtype, jnp.number)]

    with jax.enable_x64(dtype == "float64"):
        batch = fnnet.Batch(jnp.ones((3, 2)), jnp.ones((3, 2)))
        for optimizer in (row, scheduled(row)):
            state = jax.eval_shape(lambda key, o=optimizer: fnnet.init_state(MODEL, o, key, dtype), KEY)
            after, _ = jax.eval_shape(fnnet.train_step, MODEL, optimizer, state, batch)
            assert form(after) == form(state)
    assert {a.dtype for a in jax.tree.leaves(state.params)} == {jnp.dtype(dtype)}
    assert not any(a.weak_type for a in jax.tree.leaves(state.opt_state))


@EVERY_ROW
def test_a_gradient_that_is_nan_is_not_hidden(row):
    grads = DenseParams(jnp.asarray([[jnp.nan, 1], [1, 1]]), jnp.ones(2))
    params = cast(PARAMS, "float32")
    updates, _ = row.update(grads, row.init(params), params, key=KEY)
    assert np.isnan(updates.w[0, 0])


@EVERY_ROW
def test_parameters_of_no_layer_and_of_no_entries_are_fine(row):
    for params in ((), (DenseParams(jnp.zeros((0, 2)), jnp.zeros(0)), ())):
        updates, _ = row.update(params, row.init(params), params, key=KEY)
        assert jax.tree.structure(updates) == jax.tree.structure(params)
