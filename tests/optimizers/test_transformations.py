"""Gradient transformations that are no optimizers: what they clip, add, project and average, by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._spec import spec, static
from fnnet.layers import DenseParams
from fnnet.optimizers import (
    Adam,
    AdamW,
    Average,
    Chain,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    GradientNoise,
    MaxNorm,
    Sgd,
    WeightDecay,
    averaged,
)

KEY = jax.random.key(1)


def dense(w, b):
    return DenseParams(jnp.asarray(w, "float32"), jnp.asarray(b, "float32"))


def passed(transformation, updates, params=None, key=None):
    """What comes out of a transformation that keeps no state."""
    params = jax.tree.map(jnp.zeros_like, updates) if params is None else params
    assert transformation.init(params) is None
    out, state = transformation.update(updates, None, params, key=key)
    assert state is None
    return out


def assert_is(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------ clipping
UPDATES = dense([[3.0, 0], [0, 4]], [0, -12.0])  # norms 5 and 12, together 13


@pytest.mark.parametrize(
    ("transformation", "want"),
    [
        (ClipByValue(3.5), dense([[3.0, 0], [0, 3.5]], [0, -3.5])),
        (ClipByNorm(6), dense([[3.0, 0], [0, 4]], [0, -6.0])),
        (ClipByNorm(2.5), dense([[1.5, 0], [0, 2]], [0, -2.5])),
        (ClipByGlobalNorm(14), UPDATES),
        (ClipByGlobalNorm(13), UPDATES),
        (ClipByGlobalNorm(1.3), dense([[0.3, 0], [0, 0.4]], [0, -1.2])),
    ],
    ids=str,
)
def test_clipped(transformation, want):
    assert_is(passed(transformation, UPDATES), want)


@pytest.mark.parametrize("transformation", [ClipByValue(1), ClipByNorm(1), ClipByGlobalNorm(1)], ids=str)
@pytest.mark.parametrize("size", [0, 1e-37, 1e-20, 1e4, 1e30, 1e37])
def test_clipping_neither_over_nor_underflows(transformation, size):
    for sign in (1, -1):
        (got,) = passed(transformation, (jnp.asarray([sign * size, 0], "float32"),))
        np.testing.assert_allclose(got, [sign * min(size, 1), 0], rtol=1e-6)


def test_the_largest_numbers_are_clipped_too():
    """The factor is too small for float32, so what is left of them is nothing."""
    for transformation in (ClipByNorm(1), ClipByGlobalNorm(1)):
        (got,) = passed(transformation, (jnp.full(3, 3e38, "float32"),))
        assert np.all(np.abs(got) <= 1)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_without_a_norm_nothing_is_a_number(bad):
    got = passed(ClipByGlobalNorm(1), (jnp.asarray([bad, 1.0]), jnp.ones(2)))
    assert np.isnan(jax.tree.leaves(got)[0][0])
    assert not np.any(np.asarray(got[1]) == 1)


# ------------------------------------------------------------------ noise
def test_noise_is_drawn_from_the_key_for_every_array():
    updates = (jnp.ones(3), jnp.ones((2, 2)))
    got = passed(GradientNoise(0.5), updates, key=KEY)
    want = [1 + 0.5 * jax.random.normal(jax.random.fold_in(KEY, i), u.shape) for i, u in enumerate(updates)]
    assert_is(got, want)
    assert_is(passed(GradientNoise(0), updates, key=KEY), updates)


def test_noise_has_its_scale():
    (noise,) = passed(GradientNoise(3), (jnp.zeros(20_000),), key=KEY)
    assert float(noise.mean()) == pytest.approx(0, abs=0.1)
    assert float(noise.std()) == pytest.approx(3, rel=0.03)


def test_noise_without_a_key_says_what_to_write():
    message = r"^GradientNoise.update: expected a key, got None; write update\(\.\.\., key=jax.random.key\(0\)\)$"
    with pytest.raises(ValueError, match=message):
        passed(GradientNoise(1), (jnp.ones(2),))


def test_training_hands_it_another_key_every_step():
    model = fnnet.Model(fnnet.Dense(1), fnnet.SquaredError(), (1,))
    batch = fnnet.Batch(jnp.zeros((2, 1)), jnp.zeros((2, 1)))  # gradients are 0, so updates are noise
    states = [fnnet.init_state(model, Chain((GradientNoise(1),)), KEY)]
    for _ in range(2):
        states.append(fnnet.train_step(model, Chain((GradientNoise(1),)), states[-1], batch)[0])
    first, second = (float((b.params.w - a.params.w)[0, 0]) for a, b in itertools.pairwise(states))
    assert 0 != first != second != 0


# ------------------------------------------------------------------ weights
PARAMS = dense([[3.0, 0.6], [4.0, 0.8]], [10.0, 20.0])


def test_decay_takes_its_fraction_off_weights_only():
    got = passed(WeightDecay(0.1), dense([[1.0, 1], [1, 1]], [1, 1]), PARAMS)
    assert_is(got, dense([[0.7, 0.94], [0.6, 0.92]], [1, 1]))


def test_decay_finds_weights_however_deep_and_leaves_bare_arrays_alone():
    params = ((PARAMS, ()), jnp.ones(2), {"w": jnp.ones(2), "b": jnp.ones(2)})
    got = passed(WeightDecay(1), jax.tree.map(jnp.zeros_like, params), params)
    assert_is(got, ((dense(-PARAMS.w, [0, 0]), ()), jnp.zeros(2), {"w": -jnp.ones(2), "b": jnp.zeros(2)}))
    assert_is(passed(WeightDecay(1), jnp.ones(2), jnp.ones(2)), jnp.ones(2))


@pytest.mark.parametrize("eta", [0.25, fnnet.LinearSchedule(0.5, 0, 4)], ids=str)
def test_adamw_is_adam_with_decay_of_eta_lambda(eta):
    scaled = 0.05 if isinstance(eta, float) else fnnet.LinearSchedule(0.1, 0, 4)
    both = AdamW(eta, weight_decay=0.2), Chain((Adam(eta), WeightDecay(scaled)))
    updates = []
    for transformation in both:
        transformation = fnnet.at_step(transformation, 1, "float32")
        updates.append(transformation.update(UPDATES, transformation.init(PARAMS), PARAMS)[0])
    assert_is(*updates)


def test_max_norm_projects_columns_of_weights_that_leave_the_ball():
    zero, out = dense(np.zeros((2, 2)), [1, 1]), dense([[0.0, 0.6], [0, 0.8]], [1, 1])
    assert_is(passed(MaxNorm(2.5), zero, PARAMS), dense([[-1.5, 0], [-2, 0]], [1, 1]))
    assert_is(passed(MaxNorm(5), out, PARAMS), out)
    assert_is(passed(MaxNorm(1), out, PARAMS), dense([[-2.4, 0], [-3.2, 0]], [1, 1]))


def test_max_norm_leaves_updates_inside_bit_for_bit():
    updates = dense([[1e-9, 1e-3], [3e-9, 7e-5]], [1, 1])
    got = passed(MaxNorm(6), updates, PARAMS)
    np.testing.assert_array_equal(got.w, updates.w)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 2, 3, 4)])
def test_max_norm_goes_over_all_axes_but_the_last(shape):
    w = jax.random.normal(KEY, shape)
    got = passed(MaxNorm(0.1), dense(jnp.zeros(shape), []), dense(w, []))
    norms = np.sqrt(np.square(w + got.w).reshape(-1, 4).sum(0))
    np.testing.assert_allclose(norms, np.minimum(0.1, np.sqrt(np.square(w).reshape(-1, 4).sum(0))), rtol=1e-5)


@spec
class Named:
    """y = x w, whose weight is called as the test says; without parameters where that is ""."""

    name: str = static()

    def init(self, key, in_shape):
        return {self.name: jnp.ones((in_shape[-1], 1))} if self.name else (), (1,)

    def forward(self, params, x, *, key=None):
        return x, x

    def backward(self, params, x, dy):
        return jax.tree.map(jnp.zeros_like, params), dy


ON_WEIGHTS = {
    "L1": (fnnet.L1(0.1), Sgd(0.1)),
    "L2": (fnnet.L2(0.1), Sgd(0.1)),
    "WeightDecay": (None, Chain((Adam(), Chain((WeightDecay(0.1),))))),
    "MaxNorm": (None, Chain((Adam(), MaxNorm(1)))),
    "AdamW": (None, AdamW()),
}


@pytest.mark.parametrize("kind", ON_WEIGHTS)
def test_what_acts_on_weights_is_refused_where_there_are_none(kind):
    penalty, optimizer = ON_WEIGHTS[kind]
    for name in ("w", ""):
        fnnet.init_state(fnnet.Model(Named(name), fnnet.SquaredError(), (2,), penalty), optimizer, KEY)
    message = f"init_state: {kind} acts on parameters named w only, and finds none among params\\['kernel'\\]; name"
    with pytest.raises(ValueError, match=message):
        fnnet.init_state(fnnet.Model(Named("kernel"), fnnet.SquaredError(), (2,), penalty), optimizer, KEY)


def test_a_penalty_is_content_with_either_of_its_names():
    network = fnnet.Dense(1, biases=None)
    fnnet.init_state(fnnet.Model(network, fnnet.SquaredError(), (2,), fnnet.L2(0.1, 0.1)), Sgd(0.1), KEY)
    with pytest.raises(ValueError, match=r"L2 acts on parameters named b only, and finds none among params\.w"):
        fnnet.init_state(fnnet.Model(network, fnnet.SquaredError(), (2,), fnnet.L2(None, 0.1)), Sgd(0.1), KEY)


# ------------------------------------------------------------------ the running average
def walk(transformation, steps):
    """Parameters and their averages after every update by -1."""
    params, places = (jnp.asarray([10.0]),), []
    state = transformation.init(params)
    for _ in range(steps):
        (update,), state = transformation.update((jnp.ones(1),), state, params)
        params = (params[0] + update,)
        places.append((float(params[0][0]), float(averaged(state, params)[0][0])))
    return places


def test_the_average_is_corrected_and_forgets():
    # 9; (0.5 9 + 8) / 1.5; (0.25 9 + 0.5 8 + 7) / 1.75
    places, means = zip(*walk(Chain((Sgd(1.0), Average(0.5))), 3), strict=True)
    assert places == (9, 8, 7)
    np.testing.assert_allclose(means, [9, 12.5 / 1.5, 13.25 / 1.75], rtol=1e-6)


def test_an_average_that_forgets_all_is_the_parameters():
    assert all(place == mean for place, mean in walk(Chain((Sgd(1.0), Average(0))), 3))


def test_before_the_first_update_it_is_the_parameters():
    params = (jnp.asarray([3.0, 4.0]),)
    for optimizer in (Average(0.9), Chain((Sgd(1.0), Chain((Average(0.9),))))):
        assert_is(averaged(optimizer.init(params), params), params)


def test_a_decay_that_changes_keeps_the_average_an_average():
    """Of parameters that stay, it is these."""
    params, state = (jnp.asarray([3.0]),), Average(0.5).init((jnp.asarray([100.0]),))
    for decay in (0.5, 0.99, 0.1):
        _, state = Average(decay).update((jnp.zeros(1),), state, params)
        assert_is(averaged(state, params), params)


def test_averages_are_like_the_parameters_in_bfloat16_too():
    params = DenseParams(jnp.ones((2, 2), jnp.bfloat16), jnp.ones(2, jnp.bfloat16))
    got = averaged(Average(0.9).init(jax.tree.map(lambda p: p.astype("float32"), params)), params)
    assert jax.tree.structure(got) == jax.tree.structure(params)
    assert {a.dtype for a in got} == {jnp.dtype("bfloat16")}


def test_what_no_optimizer_moves_comes_from_the_parameters():
    """Training shows optimizers None in the place of integers."""
    state = Average(0.9).init((jnp.ones(2), None))
    assert_is(averaged(state, (jnp.zeros(2), jnp.int32(7))), (jnp.ones(2), jnp.int32(7)))


@pytest.mark.parametrize("number", [0, 2])
def test_without_one_average_there_is_nothing_to_read(number):
    params = (jnp.ones(2),)
    optimizer = Chain((Sgd(1.0), *[Average(0.9)] * number))
    message = f"^averaged: expected the state of an optimizer with one Average, got {number} of them; write Chain"
    with pytest.raises(ValueError, match=message):
        averaged(optimizer.init(params), params)


# ------------------------------------------------------------------ all together
def test_the_whole_chain_trains():
    chain = Chain(
        (ClipByGlobalNorm(1.0), GradientNoise(1e-3), Adam(0.05), WeightDecay(1e-4), MaxNorm(2.0), Average(0.9))
    )
    model = fnnet.mlp((2, 8, 2), activation=fnnet.Tanh())
    x = jax.random.normal(KEY, (64, 2))
    data = fnnet.Batch(x, (x[:, 0] > x[:, 1]).astype("int32"))
    state = fnnet.init_state(model, chain, KEY)
    state, history = fnnet.train(model, chain, state, data, epochs=20, batch_size=16, shuffle=KEY)
    assert history.training.loss[-1] < 0.3 * history.training.loss[0]
    weights = [p.w for p in state.params if isinstance(p, DenseParams)]
    assert max(float(jnp.linalg.norm(w, axis=0).max()) for w in weights) < 2.0001
    mean = averaged(state.opt_state, state.params)
    assert float(fnnet.loss(model, mean, *data[:2])) < 0.3 * float(history.training.loss[0])
    assert len(state) == 4


def test_every_transformation_of_a_chain_draws_from_a_key_of_its_own():
    noise, params, key = GradientNoise(0.5), {"w": jnp.zeros(3)}, jax.random.key(5)
    chain = Chain((noise, Sgd(-1.0), noise))
    updates, _ = chain.update(params, chain.init(params), params, key=key)
    first, second = (noise.update(params, None, params, key=jax.random.fold_in(key, i))[0]["w"] for i in (0, 2))
    np.testing.assert_allclose(updates["w"], first + second, rtol=1e-6)
    assert (np.asarray(first) != np.asarray(second)).all()
