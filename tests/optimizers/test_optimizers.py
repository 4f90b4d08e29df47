"""Optimizers against plain NumPy recurrences, two steps by hand, and what every transformation has to keep to."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import optimizers
from fnnet._spec import Number, spec
from fnnet.layers import DenseParams

# ------------------------------------------------------------------ two steps by hand
# gradients 1, then 3, of two parameters of which the second has gradient -1, then 0
TWO_STEPS = {
    fnnet.Sgd(0.1): ([-0.1, 0.1], [-0.3, 0]),
    fnnet.Sgd(0.1, momentum=0.9): ([-0.1, 0.1], [-0.39, 0.09]),
    fnnet.Sgd(0.1, momentum=0): ([-0.1, 0.1], [-0.3, 0]),
    fnnet.Sgd(0.1, momentum=0.9, nesterov=True): ([-0.19, 0.19], [-0.651, 0.081]),
    # m' and v' are both 1 at first, then 0.39 / 0.19 and 0.0999 / 0.0199, and -0.09 / 0.19 and 0.0099 / 0.0199
    fnnet.Adam(0.1, 0.9, 0.99, 0): ([-0.1, 0.1], [-0.0916125138, 0.0671580147]),
    # added to the root: 1 / (1 + 1)
    fnnet.Adam(0.1, 0.9, 0.99, 1): ([-0.05, 0.05], [-0.0633419161, 0.0277767233]),
    # no memory: the sign of the gradient
    fnnet.Adam(0.1, 0, 0, 1e-8): ([-0.1, 0.1], [-0.1, 0]),
    # params have no weights here, so there is nothing to decay
    optimizers.AdamW(0.1, 0.9, 0.99, 0, 0.5): ([-0.1, 0.1], [-0.0916125138, 0.0671580147]),
    # the second v, 0.0099, is smaller than the first
    optimizers.AmsGrad(0.1, 0.9, 0.99, 0): ([-0.1, 0.1], [-0.0916125138, 0.4736842105 / math.sqrt(100 / 199) / 10]),
    # 1 + 0.9 0.1 / 0.19; then 0.3 / 0.19 + 0.9 0.39 / 0.271 and -0.9 0.09 / 0.271
    optimizers.Nadam(0.1, 0.9, 0.99, 0): ([-0.1473684211, 0.1473684211], [-0.1282783226, 0.0423764595]),
    optimizers.Nadam(0.1, 0.9, 0.99, 0, 1e4): ([-0.1473684211, 0.1473684211], [-0.1282783226, 0.0423764595]),
    # mu is 0.45 for good: 1 + 0.45 0.1 / 0.7975; then 0.55 3 / 0.7975 + 0.45 0.39 / 0.908875 and -0.45 0.09 / 0.908875
    optimizers.Nadam(0.1, 0.9, 0.99, 0, 0): ([-0.1056426332, 0.1056426332], [-0.1009597296, 0.0063177117]),
    optimizers.AdaMax(0.1, 0.9, 0.99, 0): ([-0.1, 0.1], [-0.39 / 0.19 / 30, 0.09 / 0.19 / 9.9]),
    optimizers.AdaMax(0.1, 0.9, 0.99, 1): ([-0.05, 0.05], [-0.39 / 0.19 / 40, 0.09 / 0.19 / 19.8]),
    optimizers.AdaGrad(0.1, epsilon=0): ([-0.1, 0.1], [-0.3 / math.sqrt(10), 0]),
    optimizers.AdaGrad(0.1, 3, 0): ([-0.05, 0.05], [-0.3 / math.sqrt(13), 0]),
    optimizers.AdaGrad(0.1, 3, 1): ([-0.1 / 3, 0.1 / 3], [-0.3 / (1 + math.sqrt(13)), 0]),
    # v is 0.25, then 0.1875 + 2.25
    optimizers.RmsProp(0.1, 0.75, 0): ([-0.2, 0.2], [-0.3 / math.sqrt(2.4375), 0]),
    optimizers.RmsProp(0.1, 0.75, 1): ([-0.1 / 1.5, 0.1 / 1.5], [-0.3 / (1 + math.sqrt(2.4375)), 0]),
    optimizers.RmsProp(0.1, 0.75, 0, 0.5): ([-0.2, 0.2], [-0.1 - 0.3 / math.sqrt(2.4375), 0.1]),
    # less the squares of the averages, 0.25, then 0.1875 + 0.75
    optimizers.RmsProp(0.1, 0.75, 0, centered=True): (
        [-0.1 / math.sqrt(0.25 - 0.0625), 0.1 / math.sqrt(0.25 - 0.0625)],
        [-0.3 / math.sqrt(2.4375 - 0.9375**2), 0],
    ),
    # the first step is 1 / sqrt(1.25), the average of its square 0.2
    optimizers.AdaDelta(1, 0.75, 1): ([-math.sqrt(0.8), math.sqrt(0.8)], [-3 * math.sqrt(1.2 / 3.4375), 0]),
    optimizers.AdaDelta(0.1, 0.75, 1): ([-math.sqrt(0.008), math.sqrt(0.008)], [-0.3 * math.sqrt(1.2 / 3.4375), 0]),
    # the momentum alone: 0.25 -1
    optimizers.Lion(0.1, 0.5, 0.75): ([-0.1, 0.1], [-0.1, 0.1]),
    optimizers.Lion(0.1, 0, 0.75): ([-0.1, 0.1], [-0.1, 0]),
    optimizers.ClipByValue(2): ([1, -1], [2, 0]),
    optimizers.ClipByNorm(1): ([math.sqrt(0.5), -math.sqrt(0.5)], [1, 0]),
    optimizers.ClipByGlobalNorm(2): ([1, -1], [2, 0]),
    optimizers.WeightDecay(0.5): ([1, -1], [3, 0]),
    optimizers.MaxNorm(0.5): ([1, -1], [3, 0]),
    optimizers.Average(0.5): ([1, -1], [3, 0]),
    optimizers.Lookahead(fnnet.Sgd(0.1, 0.9), 3, 0.5): ([-0.1, 0.1], [-0.39, 0.09]),
}


@pytest.mark.parametrize("optimizer", TWO_STEPS, ids=str)
def test_two_steps_are_those_worked_out_by_hand(optimizer, dtype):
    params = (jnp.asarray([5, 7], dtype),)
    state = optimizer.init(params)
    for g, want in zip(([1, -1], [3, 0]), TWO_STEPS[optimizer], strict=True):
        (update,), state = optimizer.update((jnp.asarray(g, dtype),), state, params)
        assert update.dtype == dtype
        np.testing.assert_allclose(update, want, rtol=2e-6, atol=1e-9)


# ------------------------------------------------------------------ the same recurrences in plain NumPy
def sgd(learning_rate, momentum=None, nesterov=False):
    v = 0.0

    def update(g):
        nonlocal v
        if momentum is None:
            return -learning_rate * g
        v = momentum * v + g
        return -learning_rate * (g + momentum * v if nesterov else v)

    return update


def adam(learning_rate, beta1, beta2, epsilon):
    t, m, v = 0, 0.0, 0.0

    def update(g):
        nonlocal t, m, v
        t += 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        return -learning_rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)

    return update


RECURRENCES = {
    fnnet.Sgd(1e-3): lambda: sgd(1e-3),
    fnnet.Sgd(1e-3, momentum=0.9): lambda: sgd(1e-3, 0.9),
    fnnet.Sgd(1e-3, momentum=0.5, nesterov=True): lambda: sgd(1e-3, 0.5, True),
    fnnet.Adam(): lambda: adam(1e-3, 0.9, 0.999, 1e-8),
    fnnet.Adam(0.05, 0.8, 0.95, 1e-3): lambda: adam(0.05, 0.8, 0.95, 1e-3),
}
CURVATURE = np.array([1e-3, 1.0, 30.0, 1e3])  # of a badly scaled bowl, sum c theta^2 / 2
START = np.array([3.0, -2.0, 0.5, -1.0])


@jax.jit
def walk(optimizer, curvature, start):
    """All 200 places on the way down the bowl; optimizer and parameters as a step has them."""

    def step(carry, t):
        params, state = carry
        grads = jax.tree.map(jnp.multiply, curvature, params)
        now = fnnet.at_step(optimizer, t, start[0].dtype)
        updates, state = now.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), params

    return jax.lax.scan(step, (start, optimizer.init(start)), jnp.arange(200))[1]


@pytest.mark.parametrize("optimizer", RECURRENCES, ids=str)
def test_200_steps_down_a_badly_scaled_bowl_are_those_of_the_recurrence(optimizer, float64):
    halves = [tuple(map(jnp.asarray, (a[:1], a[1:].reshape(3, 1)))) for a in (CURVATURE, START)]
    got = np.concatenate([np.asarray(a).reshape(200, -1) for a in walk(optimizer, *halves)], axis=1)
    theta, update, want = START, RECURRENCES[optimizer](), []
    for _ in range(200):
        theta = theta + update(CURVATURE * theta)
        want.append(theta)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------ what every transformation keeps to
PARAMS = (
    DenseParams(np.array([[1.0, -2], [0.5, 3]]), np.array([0.25, 0])),
    (),
    DenseParams(np.array([[4.0], [-1]]), None),
)
TRANSFORMATIONS = [
    fnnet.Sgd(0.1),
    fnnet.Sgd(0.1, momentum=0.9),
    fnnet.Sgd(0.1, momentum=0.9, nesterov=True),
    fnnet.Adam(),
    optimizers.Lion(),
    optimizers.AdaGrad(),
    optimizers.AdaGrad(initial=0.1),
    optimizers.RmsProp(),
    optimizers.RmsProp(momentum=0.9, centered=True),
    optimizers.AdaDelta(),
    optimizers.AdamW(),
    optimizers.AmsGrad(),
    optimizers.Nadam(),
    optimizers.Nadam(momentum_decay=0.004),
    optimizers.AdaMax(),
    optimizers.ClipByValue(1),
    optimizers.WeightDecay(0.1),
    optimizers.MaxNorm(1),
    fnnet.Chain((fnnet.Sgd(0.1, momentum=0.9), fnnet.Adam(0.1))),
]


def described(tree):
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in leaves]


@pytest.mark.parametrize("resolved", [False, True], ids=["as written", "at a step"])
@pytest.mark.parametrize("params_dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS, ids=str)
def test_updates_are_like_the_parameters_and_the_state_keeps_its_form(transformation, params_dtype, resolved):
    with jax.enable_x64(params_dtype == "float64"):
        params = jax.tree.map(lambda p: jnp.asarray(p, params_dtype), PARAMS)
        transformation = fnnet.at_step(transformation, 0, params_dtype) if resolved else transformation
        state = jax.eval_shape(transformation.init, params)
        updates, new_state = jax.eval_shape(transformation.update, params, state, params)
    assert described(updates) == described(params)
    assert described(new_state) == described(state)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("transformation", TRANSFORMATIONS, ids=str)
def test_states_start_at_zero(transformation):
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(transformation.init(PARAMS)))


def test_plain_descent_keeps_no_velocity():
    assert jax.tree.leaves(fnnet.Sgd(0.1).init(PARAMS)) == []
    assert len(jax.tree.leaves(fnnet.Sgd(0.1, momentum=0.0).init(PARAMS))) == 3


def test_options_that_are_none_leave_no_state():
    assert optimizers.RmsProp().init(PARAMS)[1:] == (None, None)
    assert optimizers.RmsProp(momentum=0).init(PARAMS).m is None
    assert optimizers.RmsProp(centered=True).init(PARAMS).u is None


@pytest.mark.parametrize("transformation", TRANSFORMATIONS, ids=str)
def test_a_gradient_that_is_nan_is_not_hidden(transformation):
    params = (jnp.ones(2),)
    (update,), _ = transformation.update((jnp.asarray([jnp.nan, 1]),), transformation.init(params), params)
    assert np.isnan(update).tolist() == [True, False]


@pytest.mark.parametrize("transformation", [fnnet.Sgd(0.1, momentum=0.9, nesterov=True), fnnet.Adam(0.1)], ids=str)
def test_learning_rates_can_be_swept(transformation):
    def update(transformation):
        params, transformation = (jnp.ones(2),), fnnet.at_step(transformation, 0, "float32")
        return transformation.update((jnp.asarray([1.0, -3]),), transformation.init(params), params)[0][0]

    stacked = jax.tree.map(lambda number: jnp.asarray([number, number]), transformation)
    stacked = jax.tree.unflatten(jax.tree.structure(stacked), [jnp.asarray([0.1, 0.3]), *jax.tree.leaves(stacked)[1:]])
    np.testing.assert_allclose(jax.vmap(update)(stacked), np.outer([1, 3], update(transformation)), rtol=1e-6)


# ------------------------------------------------------------------ learning rates that change
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (fnnet.ConstantSchedule(0.5), [0.5, 0.5, 0.5, 0.5]),
        (fnnet.ExponentialDecay(2, 0.5, 2), [2, math.sqrt(2), 1, 0.5]),
        (fnnet.InverseTimeDecay(6, 1), [6, 3, 2, 1.2]),
        (fnnet.LinearSchedule(0, 1, 2), [0, 0.5, 1, 1]),
        (fnnet.CosineDecay(4, 4), [4, 2 + math.sqrt(2), 2, 0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("optimizer", [fnnet.Sgd, lambda rate: fnnet.Adam(rate, 0, 0, 0)], ids=["Sgd", "Adam"])
def test_a_learning_rate_may_be_any_schedule(optimizer, schedule, rates, dtype):
    params = (jnp.ones(2, dtype),)
    grads = (jnp.asarray([1, -1], dtype),)
    for step, rate in zip((0, 1, 2, 4), rates, strict=True):
        transformation = fnnet.at_step(optimizer(schedule), step, dtype)
        (update,), _ = transformation.update(grads, transformation.init(params), params)
        np.testing.assert_allclose(update, [-rate, rate], rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------ chains
@spec
class Times:
    """A transformation that multiplies, and remembers what it saw."""

    factor: Number

    def init(self, params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, updates: Any, state: Any, params: Any, *, key: Any = None) -> Any:
        return jax.tree.map(lambda u: self.factor * u, updates), updates


@spec
class Draw:
    """A transformation that puts noise in place of the update, and keeps nothing."""

    def init(self, params: Any) -> None:
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: Any = None) -> Any:
        return jax.tree.map(lambda u: u if key is None else jax.random.normal(key, u.shape), updates), None


def test_a_chain_passes_updates_on_and_keeps_a_state_for_each_link():
    chain = fnnet.Chain((Times(2.0), fnnet.Sgd(0.1, momentum=0.5), Times(10.0)))
    params = (jnp.ones(2),)
    state = chain.init(params)
    (update,), state = chain.update((jnp.asarray([1.0, -3]),), state, params)
    np.testing.assert_allclose(update, [-2, 6], rtol=1e-6)
    for (got,), want in zip(state, ([1, -3], [2, -6], [-0.2, 0.6]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    (update,), state = chain.update((jnp.asarray([0.0, 1]),), state, params)
    np.testing.assert_allclose(update, [-1, 1], rtol=1e-6)
    for (got,), want in zip(state, ([0, 1], [1, -1], [-0.1, 0.1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_every_link_draws_from_its_own_key():
    params, key = (jnp.ones(3),), jax.random.key(5)

    def drawn(transformations):
        chain = fnnet.Chain(transformations)
        return np.asarray(chain.update(params, chain.init(params), params, key=key)[0][0])

    keys = [jax.random.fold_in(key, i) for i in range(2)]
    np.testing.assert_array_equal(drawn((Draw(),)), jax.random.normal(keys[0], (3,)))
    np.testing.assert_array_equal(drawn((Draw(), Draw())), jax.random.normal(keys[1], (3,)))
    inner = jax.random.fold_in(keys[1], 0)
    np.testing.assert_array_equal(drawn((Draw(), fnnet.Chain((Draw(),)))), jax.random.normal(inner, (3,)))


def test_without_a_key_no_link_gets_one():
    params = (jnp.ones(3),)
    chain = fnnet.Chain((Draw(), Times(3.0)))
    np.testing.assert_array_equal(chain.update(params, chain.init(params), params)[0][0], [3, 3, 3])


def test_an_empty_chain_is_refused_for_it_would_climb():
    with pytest.raises(TypeError, match="tuple of optimizers"):
        fnnet.Chain(())


def test_a_chain_of_another_length_than_its_state_is_refused():
    params = (jnp.ones(3),)
    one, two = fnnet.Chain((Times(1.0),)), fnnet.Chain((Times(1.0), Times(1.0)))
    with pytest.raises(ValueError, match="zip"):
        two.update(params, one.init(params), params)


# ------------------------------------------------------------------ they do what they are for
@pytest.mark.parametrize(
    "optimizer",
    [
        fnnet.Sgd(0.1),
        fnnet.Sgd(0.05, momentum=0.5),
        fnnet.Sgd(0.05, momentum=0.5, nesterov=True),
        fnnet.Adam(0.1, beta2=0.9),
        optimizers.Lion(fnnet.LinearSchedule(0.1, 0, 200)),
        optimizers.AdaGrad(1.0),
        optimizers.RmsProp(fnnet.LinearSchedule(0.1, 0, 200), decay=0.9),
        optimizers.RmsProp(0.03, 0.9, 0.1, momentum=0.5, centered=True),
        optimizers.AdaDelta(fnnet.LinearSchedule(20, 0, 200)),
        optimizers.AdamW(0.1, beta2=0.9),
        optimizers.AmsGrad(0.1),
        optimizers.Nadam(0.05, beta2=0.9),
        optimizers.AdaMax(0.1, beta2=0.9),
        optimizers.ScheduleFreeAdam(1.0),
        optimizers.Lookahead(fnnet.Adam(0.2, beta2=0.9)),
        fnnet.Chain((Times(0.5), fnnet.Sgd(0.2))),
        fnnet.Adam(fnnet.CosineDecay(0.2, 200)),
    ],
    ids=str,
)
def test_they_find_the_bottom_of_a_bowl(optimizer):
    curvature, start = (jnp.asarray([1.0, 2, 4]),), (jnp.asarray([3, -2, 0.5]),)
    way = np.asarray(walk(optimizer, curvature, start)[0])
    assert np.abs(way[0]).max() > 1
    assert np.abs(way[-1]).max() < 1e-2


@pytest.mark.parametrize(
    "optimizer",
    [
        fnnet.Sgd(0.1),
        fnnet.Sgd(0.1, momentum=0.5),
        fnnet.Adam(0.03),
        fnnet.Chain((optimizers.AmsGrad(0.03), optimizers.WeightDecay(1e-5), optimizers.Average(0.999))),
        optimizers.ScheduleFreeAdam(0.1),
        optimizers.Lookahead(fnnet.Sgd(0.1, 0.5)),
        optimizers.Partition(optimizers.Matrices(), optimizers.Muon(fnnet.LinearSchedule(0.1, 0, 100)), fnnet.Sgd(0.1)),
    ],
    ids=str,
)
def test_models_in_bfloat16_learn_too(optimizer):
    """With beta2 = 0.999, which bfloat16 has as 1."""
    model = fnnet.Model(fnnet.Dense(1), fnnet.SquaredError(), (2,))
    x = jnp.asarray([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    data = fnnet.Batch(x, x @ jnp.asarray([[0.5], [-0.25]]) + 0.5)
    state = fnnet.init_state(model, optimizer, jax.random.key(0), jnp.bfloat16)
    before = float(fnnet.loss(model, state.params, *data[:2]))
    state, _ = fnnet.train(model, optimizer, state, data, epochs=100, batch_size=4, shuffle=None)
    assert before > 0.1
    assert float(fnnet.loss(model, state.params, *data[:2])) < 0.01


COUNTING = [fnnet.Adam(0.1), fnnet.AmsGrad(0.1), fnnet.AdaMax(0.1), fnnet.Lookahead(fnnet.Sgd(0.1), 7)]


@pytest.mark.parametrize("optimizer", COUNTING, ids=str)
def test_a_counter_counts_past_256_in_bfloat16(optimizer):
    """Step 301 of parameters and averages in bfloat16 is that of float32, up to rounding."""

    def late(dtype):
        params, count = jnp.ones(2, dtype), jnp.int32(300)
        start = optimizer.init(params)
        assert {str(a.dtype) for a in jax.tree.leaves(start) if not a.shape} == {"int32"}
        state = jax.tree.map(lambda a: a + 1 if a.shape else count, start)
        grads = jnp.asarray([0.5, -0.25], dtype)
        updates, state = optimizer.update(grads, state, params)
        return updates, [int(a) for a in jax.tree.leaves(state) if not a.shape]

    (half, counts), (full, _) = late(jnp.bfloat16), late(jnp.float32)
    assert counts == [301] * len(counts) != []
    np.testing.assert_allclose(half.astype(jnp.float32), full, rtol=0.03)


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fnnet.Sgd(0.1, nesterov=True), "Sgd: nesterov=True needs a momentum; write momentum=0.9"),
        (lambda: fnnet.Sgd(0.1, momentum=1.5), "Sgd: expected 0 <= momentum <= 1, got 1.5"),
        (lambda: fnnet.Sgd(0.1, momentum=-0.1), "Sgd: expected 0 <= momentum <= 1, got -0.1"),
        (lambda: fnnet.Sgd(0.1, momentum=np.array([0.5, 2])), "Sgd: expected 0 <= momentum <= 1, got "),
        (lambda: fnnet.Adam(-1), "Adam: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.AdamW(-1), "AdamW: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.AmsGrad(-1), "AmsGrad: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.Nadam(-1), "Nadam: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.AdaMax(-1), "AdaMax: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.Lion(-1), "Lion: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.AdaGrad(-1), "AdaGrad: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.RmsProp(-1), "RmsProp: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.AdaDelta(-1), "AdaDelta: expected 0 <= learning_rate, got -1"),
        (lambda: fnnet.Adam(np.array([0.1, -0.1])), "Adam: expected 0 <= learning_rate, got "),
        (lambda: fnnet.Adam(beta1=1), "Adam: expected 0 <= beta1 < 1, got 1"),
        (lambda: fnnet.Adam(beta1=-0.1), "Adam: expected 0 <= beta1 < 1, got -0.1"),
        (lambda: fnnet.Adam(beta2=1), "Adam: expected 0 <= beta2 < 1, got 1"),
        (lambda: fnnet.Adam(beta2=float("nan")), "Adam: expected 0 <= beta2 < 1, got nan"),
        (lambda: fnnet.Adam(epsilon=-1e-8), "Adam: expected 0 <= epsilon, got -1e-08"),
        (lambda: optimizers.AdamW(beta1=1), "AdamW: expected 0 <= beta1 < 1, got 1"),
        (lambda: optimizers.AdamW(weight_decay=-1), "AdamW: expected 0 <= weight_decay, got -1"),
        (lambda: optimizers.AmsGrad(beta2=1), "AmsGrad: expected 0 <= beta2 < 1, got 1"),
        (lambda: optimizers.Nadam(epsilon=-1), "Nadam: expected 0 <= epsilon, got -1"),
        (lambda: optimizers.Nadam(momentum_decay=-1), "Nadam: expected 0 <= momentum_decay, got -1"),
        (lambda: optimizers.Lion(beta1=1), "Lion: expected 0 <= beta1 < 1, got 1"),
        (lambda: optimizers.Lion(beta2=1), "Lion: expected 0 <= beta2 < 1, got 1"),
        (lambda: optimizers.AdaGrad(initial=-1), "AdaGrad: expected 0 <= initial, got -1"),
        (lambda: optimizers.AdaGrad(epsilon=-1), "AdaGrad: expected 0 <= epsilon, got -1"),
        (lambda: optimizers.RmsProp(decay=1), "RmsProp: expected 0 <= decay < 1, got 1"),
        (lambda: optimizers.RmsProp(epsilon=-1), "RmsProp: expected 0 <= epsilon, got -1"),
        (lambda: optimizers.RmsProp(momentum=2), "RmsProp: expected 0 <= momentum <= 1, got 2"),
        (lambda: optimizers.AdaDelta(decay=1), "AdaDelta: expected 0 <= decay < 1, got 1"),
        (lambda: optimizers.AdaDelta(epsilon=0), "AdaDelta: expected 0 < epsilon, got 0"),
        (lambda: optimizers.ClipByValue(0), "ClipByValue: expected 0 < limit, got 0"),
        (lambda: optimizers.ClipByNorm(-1), "ClipByNorm: expected 0 < limit, got -1"),
        (lambda: optimizers.GradientNoise(-1), "GradientNoise: expected 0 <= scale, got -1"),
        (lambda: optimizers.WeightDecay(-1), "WeightDecay: expected 0 <= rate <= 1, got -1"),
        (lambda: optimizers.MaxNorm(0), "MaxNorm: expected 0 < radius, got 0"),
        (lambda: optimizers.Average(1), "Average: expected 0 <= decay < 1, got 1"),
        (lambda: optimizers.ScheduleFreeAdam(-1), "ScheduleFreeAdam: expected 0 <= learning_rate, got -1"),
        (lambda: optimizers.ScheduleFreeAdam(beta1=1), "ScheduleFreeAdam: expected 0 <= beta1 < 1, got 1"),
        (lambda: optimizers.ScheduleFreeAdam(weight_decay=-1), "ScheduleFreeAdam: expected 0 <= weight_decay, got -1"),
        (lambda: optimizers.Lookahead(fnnet.Adam(), rate=1.5), "Lookahead: expected 0 <= rate <= 1, got 1.5"),
        (lambda: optimizers.Lookahead(fnnet.Adam(), 0), "Lookahead: expected steps to be an int of 1 or more, got 0"),
    ],
)
def test_numbers_that_make_no_optimizer_are_refused(build, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fnnet.Sgd("0.1"), "Sgd: expected learning_rate to be a number, got '0.1'"),
        (lambda: fnnet.Sgd(True), "Sgd: expected learning_rate to be a number, got True"),
        (
            lambda: fnnet.Sgd(0.1, momentum=False),
            "Sgd: expected momentum to be a number, got False",
        ),
        (lambda: fnnet.Adam(beta2=b"1"), "Adam: expected beta2 to be a number, got b'1'"),
        (
            lambda: fnnet.Chain(fnnet.Adam()),
            r"Chain: expected a tuple of optimizers, got Adam\(\); write Chain\(\(Adam",
        ),
        (
            lambda: fnnet.Chain((fnnet.Relu(),)),
            r"Chain: expected transformation 0 to be an optimizer .*, got Relu\(\), which has no update",
        ),
        (
            lambda: fnnet.Chain((fnnet.Adam,)),
            "Chain: expected transformation 0 to be an optimizer .*, got the class Adam; build it",
        ),
        (
            lambda: optimizers.Lookahead(0.5),
            "Lookahead: expected inner to be an optimizer such as Adam.*, got 0.5, which has no init",
        ),
    ],
)
def test_things_of_another_kind_are_refused(build, message, untyped):
    with pytest.raises(TypeError, match=f"^{message}"):
        build()


def test_a_list_is_a_chain_too():
    assert fnnet.Chain([fnnet.Sgd(0.1)]) == fnnet.Chain((fnnet.Sgd(0.1),))


@spec
class PlainDescent:
    """Gradient descent as one would write it, without a single option."""

    learning_rate: Number

    def init(self, params):
        return None

    def update(self, grads, opt_state, params, *, key=None):
        return jax.tree.map(lambda g: -self.learning_rate * g, grads), None


def test_plain_descent_compiles_to_the_program_of_descent_without_options():
    model = fnnet.mlp((3, 4, 2))
    batch = fnnet.Batch(np.ones((5, 3), np.float32), np.zeros(5, np.int32))

    def instructions(optimizer):
        state = fnnet.init_state(model, optimizer, jax.random.key(0))
        text = fnnet.train_step.lower(model, optimizer, state, batch).compile().as_text()
        return re.sub(r"metadata=\{.*?\}", "", text[text.index("\n%") :])

    assert instructions(fnnet.Sgd(0.1)) == instructions(PlainDescent(0.1)) != instructions(fnnet.Sgd(0.1, 0.0))
