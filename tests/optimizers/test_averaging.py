"""What is evaluated elsewhere than where it trains: ScheduleFreeAdam, Lookahead, and plain means (RunningMean)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import LinearSchedule, RunningMean, Warmup
from fnnet.layers import DenseParams
from fnnet.optimizers import Adam, Average, Chain, GradientNoise, Lookahead, ScheduleFreeAdam, Sgd, averaged

KEY = jax.random.key(2)
RNG = np.random.default_rng(8)


def places(optimizer, gradients, start, key=None):
    """(theta, averaged or None) after every update; schedules read as training does."""
    dtype = start.dtype
    params, found = {"w": jnp.asarray(start)}, []
    state = optimizer.init(params)
    for t, g in enumerate(gradients):
        now = fnnet.at_step(optimizer, t, dtype)
        updates, state = now.update({"w": jnp.asarray(g)}, state, params, key=key)
        params = {"w": params["w"] + updates["w"]}
        try:
            mean = np.asarray(averaged(state, params)["w"])
        except ValueError:
            mean = None
        found.append((np.asarray(params["w"]), mean))
    return [np.array(each) if each[0] is not None else None for each in zip(*found, strict=True)]


# ------------------------------------------------------------------ a plain mean from a step on
@pytest.mark.parametrize("start", [0, 1, 7])
def test_the_average_is_the_mean_of_all_parameters_since(start, float64):
    thetas, means = places(Chain((Sgd(0.1), Average(RunningMean(start)))), RNG.normal(size=(30, 4)), np.zeros(4))
    np.testing.assert_array_equal(means[:start], thetas[:start])
    wanted = [thetas[start : t + 1].mean(0) for t in range(start, 30)]
    np.testing.assert_allclose(means[start:], wanted, rtol=1e-13, atol=1e-14)


def test_in_float32_all_weights_are_the_same_to_a_thousandth():
    """Of 10,000 parameters, each a one in its own place: the mean shows the weight of each."""
    average, n = Average(RunningMean()), 10_000

    def step(state, t):
        theta = jnp.zeros(n).at[t].set(1)
        return fnnet.at_step(average, t, "float32").update(0 * theta, state, theta)[1], None

    state, _ = jax.jit(lambda: jax.lax.scan(step, average.init(jnp.zeros(n)), jnp.arange(n)))()
    np.testing.assert_allclose(n * state.mean, 1, atol=1e-3)


# ------------------------------------------------------------------ schedule-free
def test_the_average_is_that_of_all_z_weighted_with_squared_rates(float64):
    """Through a warm-up, with and without decay: z as Adam without momentum would go with gradients at theta."""
    gradients, start = RNG.normal(size=(6, 3)), RNG.normal(size=3)
    rates = 0.1 * np.minimum(np.arange(1, 7) / 4, 1)
    for decay in (None, 0.3):
        thetas, means = places(ScheduleFreeAdam(Warmup(0.1, 4), 0.8, 0.9, 1e-3, decay), gradients, start)
        z, v, before, zs = start, 0, start, []
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            v = 0.9 * v + 0.1 * g**2
            z = z - rate * (g / (np.sqrt(v / (1 - 0.9**t)) + 1e-3) + (decay or 0) * before)
            zs.append(z)
            before = thetas[t - 1]
            x = np.average(zs, axis=0, weights=rates[:t] ** 2)
            np.testing.assert_allclose(means[t - 1], x, rtol=1e-12)
            np.testing.assert_allclose(thetas[t - 1], 0.8 * x + 0.2 * z, rtol=1e-12)


def test_two_steps_are_those_worked_out_by_hand(float64):
    """z is -0.1, then 0.3 / sqrt(0.0999 / 0.0199) further; x is its mean, theta a quarter of the way from x to z."""
    z = -0.1 - 0.3 / np.sqrt(0.0999 / 0.0199)
    thetas, means = places(ScheduleFreeAdam(0.1, 0.75, 0.99, 0), np.array([[1.0], [3.0]]), np.zeros(1))
    np.testing.assert_allclose(means[:, 0], [-0.1, (z - 0.1) / 2], rtol=1e-12)
    np.testing.assert_allclose(thetas[:, 0], [-0.1, (5 * z - 0.3) / 8], rtol=1e-12)


def test_decay_is_of_weights_only():
    params = DenseParams(jnp.ones((2, 2)), jnp.ones(2))
    zero, optimizer = jax.tree.map(jnp.zeros_like, params), ScheduleFreeAdam(0.1, weight_decay=0.5)
    updates, _ = optimizer.update(zero, optimizer.init(params), params)
    np.testing.assert_allclose(updates.w, -0.05, rtol=1e-5)
    assert np.all(np.asarray(updates.b) == 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_updates_are_counted_in_integers(dtype):
    """bfloat16 stops counting at 256."""
    params = {"w": jnp.ones(2, dtype)}
    state = ScheduleFreeAdam().init(params)
    assert (state.t.dtype, state.average.c.dtype) == ("int32", dtype)
    assert ScheduleFreeAdam().update(params, state, params)[1].t.dtype == "int32"


def test_names_are_asked_for_only_where_there_is_decay():
    assert ScheduleFreeAdam().acts_on() == ()
    assert ScheduleFreeAdam(weight_decay=0.0).acts_on() == ("w",)


def test_a_rate_that_begins_at_zero_moves_nothing_and_hides_nothing():
    thetas, means = places(ScheduleFreeAdam(LinearSchedule(0, 0.1, 2)), np.ones((4, 3), "f"), np.ones(3, "f"))
    np.testing.assert_array_equal(thetas[0], 1)
    np.testing.assert_array_equal(means[0], 1)
    assert np.all(np.diff(means[1:], axis=0) < 0)


def test_before_the_first_update_the_average_is_the_parameters():
    params = {"w": jnp.asarray([3.0, 4])}
    np.testing.assert_array_equal(averaged(ScheduleFreeAdam().init(params), params)["w"], params["w"])


def test_parameters_in_bfloat16_do_not_drift():
    """theta is rounded in every step; z and x are not, and theta stays where they say."""
    model = fnnet.Model(fnnet.Dense(2), fnnet.SquaredError(), (3,))
    data = fnnet.Batch(jnp.asarray(RNG.normal(size=(4, 3)), "float32"), jnp.ones((4, 2)))
    optimizer = ScheduleFreeAdam(0.003)
    state = fnnet.init_state(model, optimizer, KEY, jnp.bfloat16)
    state, _ = fnnet.train(model, optimizer, state, data, epochs=300, batch_size=4, shuffle=None)
    z, x = state.opt_state.z.w, state.opt_state.average.mean.w
    assert (z.dtype, x.dtype, state.params.w.dtype) == ("float32", "float32", "bfloat16")
    np.testing.assert_allclose(state.params.w.astype("float32"), 0.9 * x + 0.1 * z, rtol=2**-7)
    np.testing.assert_array_equal(averaged(state.opt_state, state.params).w, x.astype(jnp.bfloat16))


def test_it_needs_no_schedule_where_adam_does():
    """Noisy gradients: x is nearer to the bottom than Adam with the same constant rate."""
    curvature, noise = np.geomspace(0.5, 1, 8).astype("f"), RNG.normal(size=(3000, 8)).astype("f")

    @jax.jit
    def distances(optimizer):
        def step(carry, n):
            theta, state = carry
            updates, state = optimizer.update(curvature * theta + n, state, theta)
            return (theta + updates, state), None

        start = jnp.ones(8)
        (theta, state), _ = jax.lax.scan(step, (start, optimizer.init(start)), noise)
        return jnp.linalg.norm(theta), state

    adam, _ = distances(Adam(0.1))
    _, state = distances(ScheduleFreeAdam(0.1))
    assert float(jnp.linalg.norm(state.average.mean)) < 0.5 * float(adam)


def test_with_an_average_around_it_there_are_two_to_read():
    params = {"w": jnp.ones(2)}
    optimizer = Chain((ScheduleFreeAdam(), Average(0.9)))
    with pytest.raises(ValueError, match=r"got 2 of them; .* or ScheduleFreeAdam.. without an Average$"):
        averaged(optimizer.init(params), params)


# ------------------------------------------------------------------ lookahead
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_the_way_back_is_a_part_of_the_way_there(steps, float64):
    """The inner optimizer, momentum and all, sees only gradients; its steps are added up between two returns."""
    gradients, start = RNG.normal(size=(12, 3)), RNG.normal(size=3)
    thetas, _ = places(Lookahead(Sgd(0.1, 0.9), steps, 0.25), gradients, start)
    alone, _ = places(Sgd(0.1, 0.9), gradients, start)
    moves = np.diff(alone, axis=0, prepend=start[None])
    slow = theta = start
    for t in range(12):
        theta = theta + moves[t]
        if (t + 1) % steps == 0:
            slow = theta = slow + 0.25 * (theta - slow)
        np.testing.assert_allclose(thetas[t], theta, rtol=1e-12)


def test_all_of_the_way_is_the_inner_optimizer_and_none_of_it_the_start():
    gradients, start = RNG.normal(size=(6, 3)).astype("f"), np.ones(3, "f")
    alone, _ = places(Adam(0.1), gradients, start)
    np.testing.assert_allclose(places(Lookahead(Adam(0.1), 3, 1), gradients, start)[0], alone, rtol=1e-6)
    still, _ = places(Lookahead(Adam(0.1), 3, 0), gradients, start)
    np.testing.assert_allclose(still[[2, 5]], 1, rtol=1e-6)
    assert np.all(still[[0, 1, 3, 4]] != 1)


def test_the_key_is_the_inner_optimizers():
    params = {"w": jnp.zeros(3)}
    inner = GradientNoise(1.0)
    got, _ = Lookahead(inner).update(params, Lookahead(inner).init(params), params, key=KEY)
    np.testing.assert_array_equal(got["w"], inner.update(params, None, params, key=KEY)[0]["w"])


def test_an_average_inside_is_read_through_it():
    thetas, means = places(Lookahead(Chain((Sgd(0.1), Average(0)))), np.ones((4, 2), "f"), np.ones(2, "f"))
    np.testing.assert_allclose(thetas, means, rtol=1e-6)
    with pytest.raises(ValueError, match="got 0 of them"):
        averaged(Lookahead(Adam()).init({"w": jnp.ones(2)}), {"w": jnp.ones(2)})


# ------------------------------------------------------------------ in training
@pytest.mark.parametrize(
    "optimizer",
    [
        ScheduleFreeAdam(Warmup(0.05, 5)),
        pytest.param(Chain((Lookahead(Adam(0.05)), Average(RunningMean(10)))), marks=pytest.mark.slow),
        Lookahead(Chain((Adam(0.05), GradientNoise(1e-3))), 3),
    ],
    ids=str,
)
def test_training_cut_anywhere_and_saved_is_the_same(optimizer, tmp_path):
    model = fnnet.mlp((3, 4, 2))
    data = fnnet.Batch(RNG.normal(size=(12, 3)).astype("f"), np.arange(12, dtype="i") % 2)
    settings = {"batch_size": 4, "shuffle": KEY}
    state = fnnet.init_state(model, optimizer, KEY)
    whole, history = fnnet.train(model, optimizer, state, data, epochs=8, **settings)
    assert history.training.loss[-1] < history.training.loss[0]
    half, _ = fnnet.train(model, optimizer, state, data, epochs=4, **settings)
    fnnet.save(tmp_path / "half.safetensors", model, optimizer, half)
    saved = fnnet.restore(tmp_path / "half.safetensors")
    assert saved.optimizer == optimizer
    rest, _ = fnnet.train(saved.model, saved.optimizer, saved.state, data, epochs=4, **settings)
    for a, b in zip(jax.tree.leaves(rest._replace(key=0)), jax.tree.leaves(whole._replace(key=0)), strict=True):
        np.testing.assert_array_equal(a, b)
