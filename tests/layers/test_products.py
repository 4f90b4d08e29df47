"""Products of factors rounded to bfloat16: what is rounded, what is not, and how far the results are from float32's."""

import dataclasses

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._xla.products import product

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


ROUNDABLE = {
    "Dense": fnnet.Dense(6),
    "Attention": fnnet.Attention(2),
    "long Attention": fnnet.Attention(2, causal=False, rotary=False),
    "Rnn": fnnet.Recurrent(fnnet.Rnn(5)),
    "Gru": fnnet.Recurrent(fnnet.Gru(5)),
    "Lstm": fnnet.Recurrent(fnnet.Lstm(5)),
}
"""Layers with the option; a new one needs a line here only."""
STEPS = {"long Attention": 300}


def both_passes(name, dtype="float32", **fields):
    """(a call of forward and backward, its arguments)."""
    layer = dataclasses.replace(ROUNDABLE[name], **fields)
    shape = (STEPS.get(name, 7), 4)
    params = jax.tree.map(lambda p: p.astype(dtype), layer.init(KEY, shape)[0])

    def run(params, x):
        y, residuals = layer.forward(params, x)
        return y, layer.backward(params, residuals, jnp.cos(y))

    return run, (params, jax.random.normal(KEY, (3, *shape), dtype))


@pytest.mark.parametrize("name", ROUNDABLE)
def test_all_factors_of_products_are_rounded_and_sums_are_float32_or_none_is(name):
    """The program has no other product, in its loops neither; and without the option no bfloat16."""
    for products, factors in ({"products": "bfloat16"}, "bfloat16"), ({}, "float32"):
        run, given = both_passes(name, **products)
        program = jax.make_jaxpr(run)(*given)
        dots = [e for e in equations(program.jaxpr) if e.primitive.name == "dot_general"]
        found = [e for e in dots if e.invars[0].aval.ndim > 1]  # sums of rows are products of ones with a matrix
        assert len(found) >= 3
        assert {str(v.aval.dtype) for e in found for v in e.invars} == {factors}
        assert {str(v.aval.dtype) for e in found for v in e.outvars} == {"float32"}
        assert ("bf16" in str(program)) == bool(products)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize("name", ROUNDABLE)
def test_results_are_close_to_those_of_float32(name):
    """Output, gradients and dx within 2 % of float32's, as a whole; rounded they are not the same."""
    versions = (both_passes(name, products=products) for products in ("bfloat16", None))
    ours, plain = (jax.tree.leaves(run(*given)) for run, given in versions)
    for a, b in zip(ours, plain, strict=True):
        if np.linalg.norm(b) > 1e-4:  # the gradient of an attention's key.b is 0
            assert 1e-5 < np.linalg.norm(a - b) / np.linalg.norm(b) < 0.02


@pytest.mark.parametrize("name", ROUNDABLE)
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_results_keep_the_dtype_of_the_parameters(name, dtype):
    with jax.enable_x64(True):
        run, given = both_passes(name, dtype, products="bfloat16")
        assert {str(a.dtype) for a in jax.tree.leaves(jax.eval_shape(run, *given))} == {dtype}


def test_factors_that_come_transposed_from_the_layer_before_are_multiplied_too():
    """XLA refused this program while factors were not laid out in rows."""
    x, w = jax.random.normal(KEY, (64, 96)), jax.random.normal(KEY, (64, 32))
    found = jax.jit(lambda x, w: product(jnp.maximum(x.T, 0), w, "bfloat16"))(x, w)
    np.testing.assert_allclose(found, rounded(np.maximum(x.T, 0)) @ rounded(w), rtol=1e-4, atol=1e-4)


def test_a_gpt_rounds_the_factors_of_all_its_products():
    model = fnnet.gpt(5, layers=1, heads=2, width=4, context=3, products="bfloat16")
    assert str(model).count("products='bfloat16'") == 4


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
    with pytest.raises((ValueError, TypeError), match="products"):
        fnnet.Attention(3, products=wrong)
    with pytest.raises((ValueError, TypeError), match="products"):
        fnnet.Recurrent(fnnet.Rnn(3), products=wrong)
