"""Attention, embedding and positions: against PyTorch, block by block, and what tokens may be."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.layers import AttentionParams, DenseParams, EmbeddingParams, attention

FILE = np.load(Path(__file__).parent / "references" / "attention.npz", allow_pickle=False)


def stored(row):
    return {name.split("|")[1]: jnp.asarray(FILE[name]) for name in FILE.files if name.split("|")[0] == row}


def of_torch(a, prefix=""):
    """The parameters, or with the prefix d their gradients, as fnnet has them: weights transposed."""
    w, b = jnp.split(a[f"{prefix}in_proj_weight"], 3), jnp.split(a[f"{prefix}in_proj_bias"], 3)
    out = a[f"{prefix}out_proj.weight"].T, a[f"{prefix}out_proj.bias"]
    return AttentionParams(*(DenseParams(w.T, b) for w, b in zip(w, b, strict=True)), DenseParams(*out))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("row", ["causal", "not causal", "one step", "two"])
@pytest.mark.parametrize("block", [256, 5])
def test_attention_is_pytorchs(row, block, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", block)
    a = stored(f"attention, {row}")
    layer, params = fnnet.Attention(2, causal=row != "not causal"), of_torch(a)
    y, residuals = layer.forward(params, a["x"])
    grads, dx = layer.backward(params, residuals, a["dy"])
    np.testing.assert_allclose(y, a["y"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, a["dx"], rtol=1e-10, atol=1e-12)
    for mine, torchs in zip(jax.tree.leaves(grads), jax.tree.leaves(of_torch(a, "d")), strict=True):
        np.testing.assert_allclose(mine, torchs, rtol=1e-10, atol=1e-11)
    assert row == "one step" or all(np.linalg.norm(g) > 1e-3 for g in jax.tree.leaves(dx))


@pytest.mark.usefixtures("float64")
def test_embedding_is_pytorchs_and_repeated_tokens_add_up():
    a = stored("embedding")
    tokens = a["x"].astype(jnp.uint8)
    layer, params = fnnet.Embedding(5, 3), EmbeddingParams(a["weight"])
    y, residuals = layer.forward(params, tokens)
    grads, dx = layer.backward(params, residuals, a["dy"])
    assert dx is None
    np.testing.assert_array_equal(y, a["y"])
    np.testing.assert_allclose(grads.w, a["dweight"], rtol=1e-10)
    assert np.bincount(np.asarray(tokens).ravel(), minlength=5).tolist()[-1] == 0
    np.testing.assert_array_equal(grads.w[4], 0)


@pytest.mark.parametrize("setting", [{}, {"causal": False}, {"rotary": True}], ids=str)
def test_a_causal_layer_sees_no_later_steps_and_its_gradient_no_earlier_ones(setting):
    layer = fnnet.Attention(2, **setting)
    params, _ = layer.init(jax.random.key(0), (6, 4))
    x = jax.random.normal(jax.random.key(1), (1, 6, 4))
    y, residuals = layer.forward(params, x)
    moved, _ = layer.forward(params, x.at[:, 4:].add(1))
    _, dx = layer.backward(params, residuals, jnp.zeros_like(y).at[:, 3].set(1))
    if layer.causal:
        np.testing.assert_array_equal(moved[:, :4], y[:, :4])
        np.testing.assert_array_equal(dx[:, 4:], 0)
    else:
        assert np.abs(moved - y)[:, :4].min() > 0
        assert np.abs(dx).min() > 0
    assert np.abs(moved - y)[:, 4:].min() > 0


def test_rotary_scores_depend_on_distances_only():
    """The same query and key, moved three steps on, give the same score."""
    q = jnp.broadcast_to(jax.random.normal(jax.random.key(0), (1, 1, 1, 8)), (1, 1, 9, 8))
    k = jnp.broadcast_to(jax.random.normal(jax.random.key(1), (1, 1, 1, 8)), (1, 1, 9, 8))
    s = np.asarray(attention.rotated(q) @ attention.rotated(k).swapaxes(-1, -2))[0, 0]
    np.testing.assert_allclose(s[3:, 3:], s[:-3, :-3], rtol=1e-5)
    assert np.ptp(s[0]) > 0.1
    np.testing.assert_allclose(attention.rotated(attention.rotated(q), -1), q, rtol=1e-5, atol=1e-6)


def test_scores_of_ten_thousand_are_finite():
    layer = fnnet.Attention(1, weights=fnnet.Normal(100.0))
    params, _ = layer.init(jax.random.key(0), (5, 4))
    x = jax.random.normal(jax.random.key(1), (2, 5, 4))
    y, residuals = layer.forward(params, x)
    grads, dx = layer.backward(params, residuals, jnp.ones_like(y))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((y, grads, dx)))


@pytest.mark.usefixtures("optimized")
def test_memory_grows_with_the_length_and_not_with_its_square():
    layer = fnnet.Attention(1)

    def memory(steps):
        params, _ = layer.init(jax.random.key(0), (steps, 4))
        x = jnp.zeros((1, steps, 4))

        def both(params, x):
            y, residuals = layer.forward(params, x)
            return y, layer.backward(params, residuals, y)

        return jax.jit(both).lower(params, x).compile().memory_analysis().temp_size_in_bytes

    assert memory(8192) <= 2.2 * memory(4096)


def test_a_token_that_does_not_exist_is_refused_or_nan():
    model = fnnet.Model(
        fnnet.Serial((fnnet.Embedding(5, 3), fnnet.Dense(5))), fnnet.SoftmaxCrossEntropy(no_target=-1), (2,)
    )
    params = fnnet.init(model, jax.random.key(0))
    for x in (np.array([[0, 5]]), np.array([[-1, 2]])):
        with pytest.raises(
            ValueError, match=r"^predict: in x, Embedding: expected tokens from 0 to 4, got (5|-1) at \(0, "
        ):
            fnnet.predict(model, params, x)
        with pytest.raises(ValueError, match=r"^evaluate: in data\.x, Embedding: expected tokens from 0 to 4"):
            fnnet.evaluate(model, params, fnnet.Batch(x, np.zeros((1, 2), int)))
    outputs = np.asarray(fnnet.forward(model, params, np.array([[4, 5], [-1, 0]])))
    assert np.isnan(outputs).all(-1).tolist() == np.isnan(outputs).any(-1).tolist() == [[False, True], [True, False]]
    with pytest.raises(
        TypeError, match=r"^predict: in x, Embedding: expected tokens, integers from 0 to 4, got float32"
    ):
        fnnet.predict(model, params, np.zeros((1, 2), np.float32))
    _, grads = fnnet.backward(model, params, np.array([[1, -1]]), np.array([[1, -1]]))
    assert np.isfinite(np.asarray(grads[0].w)[[0, 2, 3, 4]]).all()


def test_shorter_sequences_take_the_first_positions():
    layer = fnnet.Positions()
    params, _ = layer.init(jax.random.key(0), (6, 2))
    y, residuals = layer.forward(params, jnp.zeros((3, 4, 2)))
    grads, dx = layer.backward(params, residuals, jnp.ones_like(y))
    np.testing.assert_array_equal(y, np.broadcast_to(params.w[:4], y.shape))
    np.testing.assert_array_equal(grads.w, np.repeat([3.0, 0.0], [4, 2])[:, None] * np.ones(2))
    np.testing.assert_array_equal(dx, 1)


REFUSED = {
    "heads": (lambda: fnnet.Attention(0), "expected heads to be an int above 0, got 0"),
    "causal": (lambda: fnnet.Attention(2, causal=1), "expected causal to be True or False, got 1"),
    "features": (lambda: fnnet.Attention(4).init(jax.random.key(0), (3, 6)), "expected a multiple of 4 features"),
    "rotary": (lambda: fnnet.Attention(3, rotary=True).init(jax.random.key(0), (3, 9)), "a multiple of 6 features"),
    "steps": (lambda: fnnet.Attention(3).init(jax.random.key(0), (9,)), r"in_shape \(T, F\), got \(9,\)"),
    "weights": (lambda: fnnet.Attention(2, weights=fnnet.Normal), "expected weights to be an initializer"),
    "vocabulary": (lambda: fnnet.Embedding(0, 3), "expected vocabulary to be an int above 0, got 0"),
    "embedding weights": (lambda: fnnet.Embedding(4, 3, 0.1), "expected weights to be an initializer"),
    "positions": (lambda: fnnet.Positions().init(jax.random.key(0), (3,)), "put Embedding before it"),
    "long": (
        lambda: fnnet.Positions().forward(fnnet.Positions().init(jax.random.key(0), (3, 2))[0], jnp.zeros((1, 4, 2))),
        r"expected \(B, T, 2\), T up to 3, got \(1, 4, 2\)",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused(name):
    build, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        build()
