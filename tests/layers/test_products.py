"""Products of factors rounded to bfloat16: what is rounded, what is not, and how far the results are from float32's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet

KEY = jax.random.key(0)
ROUNDED, PLAIN = fnnet.Dense(30, products="bfloat16"), fnnet.Dense(30)


def rounded(a):
    return np.asarray(jnp.asarray(a, jnp.bfloat16), np.float64)


def three_products(layer, x, dy):
    """[(what the layer gives, left factor, right factor)] of forward and backward, biases being 0."""
    params, _ = layer.init(KEY, x.shape[-1:])
    y, residuals = layer.forward(params, x)
    (dw, db), dx = layer.backward(params, residuals, dy)
    np.testing.assert_allclose(db, dy.reshape(-1, 30).sum(0), rtol=1e-5)
    rows, drows, w = np.asarray(x).reshape(-1, x.shape[-1]), np.asarray(dy).reshape(-1, 30), np.asarray(params.w)
    return [(y.reshape(-1, 30), rows, w), (dw, rows.T, drows), (dx.reshape(rows.shape), drows, w.T)]


@pytest.mark.parametrize("shape", [(40,), (3, 20)], ids=str)
def test_the_factors_are_rounded_and_nothing_else(shape):
    """Each product is that of the rounded factors, exactly but for float32's sums; and so within 2^-8 of |a| |b|."""
    kx, ky = jax.random.split(KEY)
    x, dy = jax.random.normal(kx, (50, *shape)), jax.random.normal(ky, (50, *shape[:-1], 30))
    for found, a, b in three_products(ROUNDED, x, dy):
        size = np.abs(a) @ np.abs(b)
        assert found.dtype == "float32"
        assert (np.abs(found - rounded(a) @ rounded(b)) <= 1e-6 * size).all()
        error = np.abs(found - a.astype(np.float64) @ b.astype(np.float64)) / size
        assert 1e-5 < error.max() <= 2**-8 * 1.01
    for found, a, b in three_products(PLAIN, x, dy):
        assert (np.abs(found - a.astype(np.float64) @ b) <= 1e-6 * np.abs(a) @ np.abs(b)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_are_float32(dtype):
    """Eight thousand ones: in bfloat16 their sum would stop at 256."""
    layer = fnnet.Dense(1, fnnet.Constant(1.0), products="bfloat16")
    params = jax.tree.map(lambda p: p.astype(dtype), layer.init(KEY, (8192,))[0])
    assert layer.forward(params, jnp.ones((1, 8192), dtype))[0] == 8192


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_results_keep_the_dtype_of_the_parameters(dtype):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(dtype), ROUNDED.init(KEY, (4,))[0])
        y, residuals = ROUNDED.forward(params, jnp.ones((2, 4), dtype))
        assert {str(a.dtype) for a in jax.tree.leaves((y, ROUNDED.backward(params, residuals, y)))} == {dtype}


def test_without_the_option_no_bfloat16_is_in_the_program():
    x, params = jnp.ones((2, 4)), PLAIN.init(KEY, (4,))[0]

    def both(layer):
        def run(params, x):
            y, residuals = layer.forward(params, x)
            return y, layer.backward(params, residuals, y)

        return str(jax.make_jaxpr(run)(params, x))

    assert "bf16" not in both(PLAIN)
    assert both(ROUNDED).count("bf16") >= 6


def test_a_network_learns_the_same_with_rounded_products():
    """Two moons, 300 steps: parameters stay float32, and the loss ends within 2 % of float32's."""
    data = fnnet.datasets.two_moons(400, noise=0.2, seed=0)
    losses = {}
    for products in (None, "bfloat16"):
        model = fnnet.mlp((2, 32, 16, 2), products=products)
        assert {layer.products for layer in model.network.layers if isinstance(layer, fnnet.Dense)} == {products}
        state = fnnet.init_state(model, fnnet.Adam(1e-2), KEY)
        state, _ = fnnet.train(
            model, fnnet.Adam(1e-2), state, data, epochs=30, batch_size=40, shuffle=jax.random.key(1)
        )
        assert {str(p.dtype) for p in jax.tree.leaves(state.params)} == {"float32"}
        losses[products] = float(fnnet.evaluate(model, state.params, data).loss)
    assert losses["bfloat16"] != losses[None]
    assert losses["bfloat16"] == pytest.approx(losses[None], rel=0.02, abs=0.005)


def test_a_trace_says_that_factors_are_rounded():
    model = fnnet.mlp((2, 3, 2), products="bfloat16")
    t = fnnet.trace(model, fnnet.init(model, KEY), np.ones((1, 2), np.float32), np.array([1]))
    assert "a0 = x w0 + b0, of factors rounded to bfloat16" in str(t)
    assert "other numbers" not in str(t)


@pytest.mark.parametrize("wrong", ["float16", "float32", 16, True])
def test_only_bfloat16_is_offered(wrong):
    with pytest.raises((ValueError, TypeError), match="products"):
        fnnet.Dense(3, products=wrong)
