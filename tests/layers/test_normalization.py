"""Normalization: what h is, what the running statistics do, and what a large mean must not break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch, Statistics
from fnnet._xla.compile_once import jit_once
from tests.helpers.cells import run_cell

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
BLOCK = fnnet.Serial(
    (fnnet.Dense(6), fnnet.BatchNorm(0.8), fnnet.Relu(), fnnet.Residual(fnnet.BatchNorm()), fnnet.Dense(3))
)
MODEL = fnnet.Model(BLOCK, fnnet.SoftmaxCrossEntropy(), (4,), fnnet.L2(1e-2))
DATA = Batch(RNG.normal(1, 2, (24, 4)).astype(np.float32), RNG.integers(0, 3, 24).astype(np.int32))


@pytest.mark.parametrize("in_shape", [(5,), (3, 2, 5)], ids=str)
def test_batch_norm_against_jax_grad_in_both_modes(float64, in_shape):
    layer = fnnet.BatchNorm(epsilon=1e-3)
    x, dy = (jnp.asarray(RNG.normal(size=(7, *in_shape))) for _ in range(2))
    learned = [jnp.asarray(RNG.normal(size=5)) for _ in range(2)]
    running = [jnp.asarray(a) for a in (RNG.normal(size=5), RNG.uniform(0.5, 2, 5))]

    def pairs(learned, running, x, dy):
        found = []
        for key in (None, KEY):

            def forward(learned, x, key=key):
                return layer.forward(fnnet.layers.BatchNormParams(*learned, Statistics(*running)), x, key=key)

            params = fnnet.layers.BatchNormParams(*learned, Statistics(*running))
            grads, dx = layer.backward(params, forward(learned, x)[1], dy)
            _, pullback = jax.vjp(lambda learned, x, f=forward: f(learned, x)[0], learned, x)
            zeros = jax.tree.map(jnp.zeros_like, grads.statistics)
            found.append(((([grads.scale, grads.shift], dx), grads.statistics), (pullback(dy), zeros)))
        return tuple(zip(*found, strict=True))

    run_cell(pairs, learned, running, x, dy)


def test_a_network_with_batch_norm_against_jax_grad(float64):
    """Every learned parameter, in training, through the pass that trains; statistics get zeros."""
    model = MODEL
    params = fnnet.init(model, KEY, "float64")
    batch = jax.tree.map(lambda a: jnp.asarray(a, "float64") if a.dtype == np.float32 else jnp.asarray(a), DATA)

    def both(params, batch):
        grads = fnnet.backprop(model, params, batch, key=KEY).grads
        return grads, jax.grad(lambda p: fnnet.loss(model, p, batch.x, batch.y, key=KEY))(params)

    grads, wanted = jit_once(both)(params, batch)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        if "statistics" in name:
            assert not g.any()
    np.testing.assert_allclose(grads[0].w, wanted[0].w, rtol=1e-10)
    np.testing.assert_allclose(grads[1].scale, wanted[1].scale, rtol=1e-10)
    np.testing.assert_allclose(grads[4].w, wanted[4].w, rtol=1e-10)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (fnnet.BatchNorm(epsilon=1e-12), (0, 1, 2)),
        (fnnet.LayerNorm(1e-12), (3,)),
        (fnnet.GroupNorm(1, 1e-12), (1, 2, 3)),
        (fnnet.GroupNorm(4, 1e-12), (1, 2)),
    ],
    ids=repr,
)
def test_entries_taken_together_have_mean_0_and_variance_1(float64, layer, axes):
    """At a mean of 1e6 too, where E[x^2] - E[x]^2 would have no digit left."""
    x = jnp.asarray(RNG.normal(1e6, 1, (6, 3, 2, 4)))
    params, _ = layer.init(KEY, x.shape[1:])
    y, _ = layer.forward(params, x, key=KEY)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-8)
    np.testing.assert_allclose(y.var(axes), 1, rtol=1e-6)


def test_a_large_mean_does_no_harm_in_float32():
    x = jnp.asarray(RNG.normal(1e4, 1, (64, 3)), "float32")
    y, _ = fnnet.LayerNorm().forward(fnnet.layers.NormParams(jnp.ones(3), jnp.zeros(3)), x)
    assert abs(float(y.var(1).mean()) - 1) < 0.01
    params, _ = fnnet.BatchNorm().init(KEY, (3,))
    y, _ = fnnet.BatchNorm().forward(params, x, key=KEY)
    np.testing.assert_allclose(y.var(0), 1, rtol=1e-2)


def test_rms_norm_has_mean_square_1(float64):
    x = jnp.asarray(RNG.normal(3, 1, (5, 7)))
    y, _ = fnnet.RmsNorm(1e-12).forward(fnnet.RmsNorm().init(KEY, (7,))[0], x)
    np.testing.assert_allclose((y**2).mean(1), 1, rtol=1e-9)


def trained(dtype="float32", optimizer=fnnet.Adam(1e-2), epochs=3):  # noqa: B008  specs are immutable
    state = fnnet.init_state(MODEL, optimizer, KEY, dtype)
    return fnnet.train(MODEL, optimizer, state, DATA, epochs=epochs, batch_size=7, shuffle=KEY, validation=DATA)


def test_running_statistics_follow_the_batches_by_hand():
    """decay^n of the start and the rest of the batches, each with the parameters of its step."""
    optimizer = fnnet.Sgd(0.05)
    state = fnnet.init_state(MODEL, optimizer, KEY)
    mean, variance = np.zeros(6), np.ones(6)
    for rows in (slice(0, 8), slice(8, 16), slice(16, 24)):
        batch = Batch(DATA.x[rows], DATA.y[rows])
        a = np.asarray(batch.x @ state.params[0].w + state.params[0].b[None], np.float64)
        mean, variance = 0.8 * mean + 0.2 * a.mean(0), 0.8 * variance + 0.2 * a.var(0)
        state, _ = fnnet.train_step(MODEL, optimizer, state, batch)
    np.testing.assert_allclose(state.params[1].statistics.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(state.params[1].statistics.variance, variance, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        fnnet.AdamW(1e-2, weight_decay=0.1),
        fnnet.Chain((fnnet.ClipByGlobalNorm(1.0), fnnet.GradientNoise(1e-2), fnnet.Sgd(0.1, 0.9), fnnet.Average(0.9))),
    ],
    ids=repr,
)
def test_no_optimizer_moves_the_statistics(optimizer):
    """The same statistics with any optimizer, in the first step: they depend on the batch alone."""
    start = fnnet.init_state(MODEL, optimizer, KEY)
    assert all(
        "statistics" not in jax.tree_util.keystr(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(start.opt_state)
    )
    batch = Batch(DATA.x[:8], DATA.y[:8])
    state, _ = fnnet.train_step(MODEL, optimizer, start, batch)
    plain = fnnet.Sgd(0.0)
    wanted, _ = fnnet.train_step(MODEL, plain, fnnet.init_state(MODEL, plain, KEY), batch)
    for got, want in zip(state.params[1].statistics, wanted.params[1].statistics, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_statistics_stay_float32(dtype):
    state, history = trained(dtype)
    assert state.params[0].w.dtype == dtype
    assert {a.dtype for a in state.params[1].statistics} == {jnp.dtype("float32")}
    assert np.isfinite(history.validation.loss).all()


def test_in_bfloat16_a_decay_close_to_1_still_moves():
    model = fnnet.Model(fnnet.Serial((fnnet.BatchNorm(decay=0.999), fnnet.Dense(3))), fnnet.SoftmaxCrossEntropy(), (4,))
    optimizer = fnnet.Sgd(0.0)
    state = fnnet.init_state(model, optimizer, KEY, "bfloat16")
    after, _ = fnnet.train_step(model, optimizer, state, DATA)
    np.testing.assert_allclose(after.params[0].statistics.mean, 0.001 * DATA.x.mean(0), rtol=0.02)


def test_a_prediction_sees_the_running_statistics_only():
    state, _ = trained()
    alone = fnnet.predict(MODEL, state.params, DATA.x[:1])
    np.testing.assert_allclose(alone, fnnet.predict(MODEL, state.params, DATA.x)[:1], rtol=1e-5)


def test_a_run_with_statistics_comes_back_from_a_file(tmp_path):
    optimizer = fnnet.Adam(1e-2)
    state, _ = trained()
    fnnet.save(tmp_path / "run", model=MODEL, optimizer=optimizer, state=state)
    restored = fnnet.restore(tmp_path / "run")
    for got, want in zip(jax.tree.leaves(restored.state.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(got, want)
    assert isinstance(restored.state.params[1].statistics, Statistics)


def test_a_constant_channel_gives_0_and_no_gradient():
    x = jnp.concatenate([jnp.full((5, 1), 3.0), jnp.asarray(RNG.normal(size=(5, 1)), "float32")], 1)
    params, _ = fnnet.BatchNorm().init(KEY, (2,))
    y, residuals = fnnet.BatchNorm().forward(params, x, key=KEY)
    assert not y[:, 0].any()
    _, dx = fnnet.BatchNorm().backward(params, residuals, jnp.asarray(RNG.normal(size=(5, 2)), "float32"))
    assert np.isfinite(dx).all()


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: fnnet.BatchNorm(decay=1.5), ValueError, "decay"),
        (lambda: fnnet.LayerNorm(0.0), ValueError, "epsilon"),
        (lambda: fnnet.GroupNorm(0), ValueError, "groups"),
        (lambda: fnnet.GroupNorm(3).init(KEY, (2, 2, 4)), ValueError, "divisible by groups=3, got 4"),
        (lambda: fnnet.LayerNorm().init(KEY, ()), ValueError, "at least one number"),
        (
            lambda: fnnet.BatchNorm().forward(fnnet.BatchNorm().init(KEY, (3,))[0], jnp.ones((2, 4))),
            ValueError,
            "3 channels",
        ),
        (
            lambda: fnnet.LayerNorm().forward(fnnet.LayerNorm().init(KEY, (3,))[0], jnp.ones((2, 3), "int32")),
            TypeError,
            "Rescale",
        ),
    ],
)
def test_errors(untyped, build, error, words):
    with pytest.raises(error, match=words):
        build()
