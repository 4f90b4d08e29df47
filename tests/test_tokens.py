"""Sequences of tokens: what counts, what is averaged, and that every way to measure them agrees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

import fnnet
from fnnet import Batch, metrics
from tests.layers.test_gradients import check_model

LOSS = fnnet.SoftmaxCrossEntropy(no_target=-1)
RNG = np.random.default_rng(0)
LENGTHS = np.array([5, 1, 3, 0, 4, 5, 2])
X = RNG.integers(0, 4, (7, 5)).astype(np.uint8)
Y = np.where(np.arange(5) < LENGTHS[:, None], RNG.integers(0, 4, (7, 5)), -1).astype(np.int8)
WEIGHTS = np.float32([1, 2, 0, 1, 0.5, 3, 1])


def network(*layers):
    return fnnet.Serial((fnnet.Embedding(4, 6), *layers, fnnet.Dense(4)))


MODEL = fnnet.Model(network(fnnet.Positions(), fnnet.Attention(2)), LOSS, (5,))


def by_hand(outputs, y, weights):
    """Mean loss and accuracy over tokens, in a loop."""
    loss, right, total = 0.0, 0.0, 0.0
    for row, classes, w in zip(np.asarray(outputs, np.float64), y, weights, strict=True):
        for z, c in zip(row, classes, strict=True):
            if c >= 0:
                loss += w * (np.log(np.exp(z).sum()) - z[c])
                right += w * (z.argmax() == c)
                total += w
    return loss / total, right / total, total


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_mean_is_over_tokens_however_they_are_batched(weights):
    params = fnnet.init(MODEL, jax.random.key(0))
    outputs = fnnet.forward(MODEL, params, X)
    loss, accuracy, total = by_hand(outputs, Y, np.ones(7) if weights is None else weights)
    assert fnnet.loss(MODEL, params, X, Y, weights=weights) == pytest.approx(loss, rel=1e-5)
    for batch_size in (1, 3, 7):
        m = fnnet.evaluate(MODEL, params, Batch(X, Y, weights), batch_size=batch_size)
        np.testing.assert_allclose([m.loss, m.accuracy, m.weight], [loss, accuracy, total], rtol=1e-5)
    p = fnnet.predict(MODEL, params, X)
    assert metrics.log_loss(p, Y, weights, no_target=-1) == pytest.approx(loss, rel=1e-5)
    assert metrics.accuracy(p, Y, weights, no_target=-1) == pytest.approx(accuracy, rel=1e-5)
    assert metrics.top_k_accuracy(p, Y, 4, weights, no_target=-1) == 1
    assert metrics.perplexity(p, Y, weights, no_target=-1) == pytest.approx(np.exp(loss), rel=1e-5)


def test_traced_tokens_are_predicted_too():
    model = fnnet.Model(network(), LOSS, (5,))
    params = fnnet.init(model, jax.random.key(0))
    traced = jax.jit(lambda x: fnnet.predict(model, params, x))(X)
    np.testing.assert_allclose(traced, fnnet.predict(model, params, X), rtol=1e-6)


def test_perplexity_is_scikit_learns_and_that_of_ignorance_the_number_of_classes():
    p = RNG.dirichlet(np.ones(4), 9)
    y = RNG.integers(0, 4, 9)
    assert metrics.perplexity(p, y) == pytest.approx(np.exp(sklearn.metrics.log_loss(y, p, labels=range(4))), rel=1e-5)
    assert metrics.perplexity(np.full((2, 3, 4), 0.25), np.array([[0, 1, 2], [3, 0, 1]])) == pytest.approx(4)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_gradients_of_sequences_with_padding_and_weights(smoothing):
    loss = fnnet.SoftmaxCrossEntropy(smoothing, no_target=-1)
    model = fnnet.Model(fnnet.Serial((fnnet.Positions(), fnnet.Attention(2), fnnet.Dense(4))), loss, (5, 4))
    check_model(model, Batch(np.random.default_rng(1).normal(size=(7, 5, 4)), Y, WEIGHTS.astype(np.float64)))


def test_nothing_to_predict_counts_nothing_even_as_nan():
    logits = jnp.asarray(RNG.normal(size=(2, 3, 4)), jnp.float32).at[0, 1:].set(jnp.nan)
    y = jnp.asarray([[2, -1, -1], [0, 1, -1]], jnp.int32)
    values, residuals = LOSS.forward(logits, y)
    gradient = LOSS.backward(residuals, jnp.ones(2))
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(np.asarray(gradient)[np.asarray(y) < 0], 0)
    assert (np.abs(np.asarray(gradient)[np.asarray(y) >= 0]) > 0).all()
    assert LOSS.count(y).tolist() == [1, 2]
    assert fnnet.SoftmaxCrossEntropy().count(y) is None


def test_without_the_opt_in_rows_count_and_minus_1_is_refused():
    model = dataclasses.replace(MODEL, loss=fnnet.SoftmaxCrossEntropy())
    params, full = fnnet.init(model, jax.random.key(0)), np.abs(Y)
    tokens, rows = fnnet.loss(MODEL, params, X, full), fnnet.loss(model, params, X, full)
    assert rows == pytest.approx(5 * float(tokens), rel=1e-5)
    with pytest.raises(ValueError, match=r"^evaluate: in data, expected classes 0 to 3 .* got -1 to 3"):
        fnnet.evaluate(model, params, Batch(X, Y))
    with pytest.raises(ValueError, match=r"^evaluate: in data, expected classes 0 to 3 .* got -2 to 3"):
        fnnet.evaluate(MODEL, params, Batch(X, np.where(Y == 0, -2, Y)))


def test_what_counts_as_a_target_and_as_right():
    """Classes of few bits; a class that stands for no target; probabilities, each of which is a target."""
    loss = fnnet.SoftmaxCrossEntropy(no_target=2)
    logits = jnp.asarray(np.float32([[[0, 1, 5], [3, 1, 0], [0, 1, 5]], [[9, 1, 0], [0, 0, 1], [0, 7, 1]]]))
    for dtype in ("uint8", "int8", "int32"):
        classes = jnp.array([[2, 0, 1], [1, 2, 1]], dtype)
        assert loss.count(classes).tolist() == [2, 2]
        assert loss.correct(logits, classes).tolist() == [1, 1]
    assert fnnet.SoftmaxCrossEntropy(no_target=-1).count(jnp.array([[2, 0], [255, 1]], "uint8")).tolist() == [2, 2]
    in_squares = logits.reshape(1, 2, 3, 3), jnp.array([[[2, 0, 1], [1, 2, 1]]])
    assert loss.correct(*in_squares).tolist() == [2]
    probabilities = jax.nn.one_hot(jnp.array([[2, 0, 1], [1, 2, 1]]), 3)
    assert loss.count(probabilities).tolist() == [3, 3]
    assert loss.correct(logits, probabilities).tolist() == [2, 2]
    _, (p, t) = loss.forward(logits, jnp.array([[2, 0, 1], [1, 2, 1]]))
    np.testing.assert_array_equal((np.asarray(p) == 0).all(-1), [[True, False, False], [False, True, False]])
    assert not np.asarray(t)[0, 0].any()


def test_a_batch_without_any_target_changes_nothing_and_weighs_nothing():
    model, optimizer = MODEL, fnnet.Sgd(0.1)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    after, m = fnnet.train_step(model, optimizer, state, Batch(X, np.full_like(Y, -1)))
    assert (float(m.loss), float(m.accuracy), float(m.weight)) == (0, 0, 0)
    for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tokens_are_fitted_from_memory_from_disk_and_in_sweeps(tmp_path):
    x = RNG.integers(0, 4, (60, 5)).astype(np.uint8)
    y = np.where(np.arange(5) < RNG.integers(1, 6, 60)[:, None], (x + 1) % 4, -1).astype(np.int8)
    for name, a in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", a)
    on_disk = Batch(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y")))
    optimizer, settings = fnnet.Adam(0.03), {"epochs": 12, "batch_size": 16, "shuffle": jax.random.key(2)}
    ends = []
    for data in (Batch(x, y), on_disk):
        state = fnnet.init_state(MODEL, optimizer, jax.random.key(0))
        state, history = fnnet.fit(MODEL, optimizer, state, data, validation=Batch(x, y), progress=False, **settings)
        ends.append(state.params)
        assert history.validation.accuracy[-1] > 0.95
        assert history.training.weight[-1] == (y >= 0).sum()
    for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_trace_of_tokens_prints_the_loss_of_every_target():
    params = fnnet.init(MODEL, jax.random.key(0))
    text = str(fnnet.trace(MODEL, params, X[:1], Y[:1]))
    assert "Attention" in text
    assert "the formula gives other numbers" not in text
