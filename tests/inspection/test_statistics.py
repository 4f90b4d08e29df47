"""Layer statistics against NumPy on the outputs, `backprop`'s gradients, and what `train_step` really does."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.protocols import Statistics

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
WEIGHTS = np.float32([1, 2, 0, 0.5, 3, 0])
Y = np.array([0, 1, 1, 0, 1, 0], np.int32)
DATA = Batch(X, Y, WEIGHTS)
MODEL = fnnet.mlp((3, 5, 4, 2), activation=(fnnet.Relu(), fnnet.Sigmoid()), penalty=fnnet.L2(0.01))
OPTIMIZER = fnnet.Sgd(fnnet.ExponentialDecay(0.5, 0.5, 1), momentum=0.9)


@pytest.fixture(scope="module")
def state():
    """Two steps in, with one ReLU switched off for good."""
    state = fnnet.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    first = state.params[0]._replace(b=state.params[0].b.at[2].set(-100))
    state = state._replace(params=(first, *state.params[1:]))
    for _ in range(2):
        state, _ = fnnet.train_step(MODEL, OPTIMIZER, state, DATA)
    return state


def norm(tree):
    return np.sqrt(sum((np.asarray(a, np.float64) ** 2).sum() for a in jax.tree.leaves(tree)))


def test_statistics_are_those_of_the_next_step(state):
    statistics = fnnet.layer_statistics(MODEL, OPTIMIZER, state, DATA)
    assert list(statistics) == ["0 Dense", "1 Relu", "2 Dense", "3 Sigmoid", "4 Dense"]
    grads = jax.jit(fnnet.backward)(MODEL, state.params, *DATA[:2], weights=WEIGHTS)[1]
    after, _ = fnnet.train_step(MODEL, OPTIMIZER, state, DATA)
    h = X[WEIGHTS > 0]
    for i, (name, s) in enumerate(statistics.items()):
        p, moved = (jax.tree.map(np.asarray, params[i]) for params in (state.params, after.params))
        h = h @ p.w + p.b if p else np.maximum(h, 0) if "Relu" in name else 1 / (1 + np.exp(-h))
        np.testing.assert_allclose([s.mean, s.std, s.zeros], [h.mean(), h.std(), (h == 0).mean()], rtol=1e-5, atol=1e-6)
        if not p:
            assert s.gradient_norm is s.update_ratio is None
            continue
        np.testing.assert_allclose(s.gradient_norm, norm(grads[i]), rtol=1e-5)
        np.testing.assert_allclose(s.update_ratio, norm(jax.tree.map(np.subtract, moved, p)) / norm(p), rtol=2e-4)
    assert 0.2 <= float(statistics["1 Relu"].dead) <= float(statistics["1 Relu"].zeros) < 1
    assert float(statistics["3 Sigmoid"].saturated) == 0
    assert statistics["3 Sigmoid"].dead is statistics["1 Relu"].saturated is None


def test_rows_of_weight_zero_do_not_count(state):
    spoilt = DATA._replace(x=np.where(WEIGHTS[:, None] == 0, np.float32(np.nan), X))
    got, want = (fnnet.layer_statistics(MODEL, OPTIMIZER, state, data) for data in (spoilt, DATA))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a)


class Counting(NamedTuple):
    """A parameter, and a count, which is an integer."""

    scale: Any
    count: Any


@fnnet.spec
class Counter:
    """x times a scale."""

    def init(self, key, in_shape):
        return Counting(jnp.ones(in_shape), jnp.full((), 7, jnp.int32)), in_shape

    def forward(self, params, x, *, key=None):
        return x * params.scale[None].astype(x.dtype), x

    def backward(self, params, x, dy):
        scale = params.scale.astype(dy.dtype)
        return Counting((x * dy).sum(0).astype(params.scale.dtype), jnp.zeros_like(params.count)), dy * scale[None]


@pytest.mark.parametrize(
    "parameters",
    ["bfloat16", "float64", pytest.param("float32", marks=pytest.mark.slow)],
)
def test_images_nested_layers_and_integer_parameters_have_statistics(parameters, float64):
    """Without weights, every row counts once; numbers are of the parameters' dtype, in float32 or better."""
    inner = fnnet.Serial((fnnet.Dense(6), fnnet.Tanh()))
    layers = (fnnet.Rescale(0.5), Counter(), fnnet.Flatten(), fnnet.Residual(inner), fnnet.Dense(2))
    model, optimizer = fnnet.Model(fnnet.Serial(layers), fnnet.SoftmaxCrossEntropy(), (2, 3)), fnnet.Sgd(0.1)
    state = fnnet.init_state(model, optimizer, jax.random.key(0), parameters)
    x = np.maximum(np.random.default_rng(1).normal(size=(6, 2, 3)), 0).astype(parameters)
    statistics = fnnet.layer_statistics(model, optimizer, state, Batch(x, Y))
    weighted = fnnet.layer_statistics(model, optimizer, state, Batch(x, Y, np.full(6, 3, np.float32)))
    grads = fnnet.backward(model, state.params, x, Y)[1]
    for (name, s), other, i in zip(statistics.items(), weighted.values(), (0, 1, 2, 3, 3, 3, 4), strict=True):
        assert all(a.dtype == ("float64" if parameters == "float64" else "float32") for a in jax.tree.leaves(s))
        rtol = 1e-2 if parameters == "bfloat16" else 1e-5
        jax.tree.map(lambda a, b, rtol=rtol: np.testing.assert_allclose(a, b, rtol=rtol), s, other)
        if name in ("1 Counter", "3 Residual", "4 Dense"):
            floating = [a for a in jax.tree.leaves(grads[i]) if jnp.issubdtype(a.dtype, jnp.floating)]
            np.testing.assert_allclose(s.gradient_norm, norm(floating), rtol=rtol)
    zeros = (x == 0).mean()
    assert 0.3 < zeros < 0.7
    np.testing.assert_allclose([statistics[name].zeros for name in ("0 Rescale", "2 Flatten")], zeros, rtol=1e-6)


def test_records_stack_over_time(state):
    records = []
    for _ in range(3):
        state, _ = fnnet.train_step(MODEL, OPTIMIZER, state, DATA)
        records.append(fnnet.layer_statistics(MODEL, OPTIMIZER, state, DATA))
    stacked = fnnet.over_time(records)
    assert list(stacked) == list(records[0])
    assert stacked["4 Dense"].std.shape == (3,)
    assert stacked["4 Dense"].dead is None
    assert [float(r["4 Dense"].gradient_norm) for r in records] == stacked["4 Dense"].gradient_norm.tolist()
    assert len(set(stacked["4 Dense"].update_ratio.tolist())) == 3


def test_there_must_be_a_record():
    with pytest.raises(ValueError, match="at least one record"):
        fnnet.over_time([])


@fnnet.spec
class Watching:
    """A layer with statistics and nothing to learn."""

    def init(self, key, in_shape):
        return Statistics(jnp.zeros(3), jnp.ones(3)), in_shape

    def forward(self, params, x, *, key=None):
        return x, ()

    def backward(self, params, residuals, dy):
        return jax.tree.map(jnp.zeros_like, params), dy


def test_running_statistics_are_no_part_of_the_ratio():
    """Neither above the line, as no update moves them, nor below."""
    network = fnnet.Serial((fnnet.Dense(4), fnnet.BatchNorm(), Watching(), fnnet.Dense(2)))
    model, optimizer = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,)), fnnet.Sgd(1.0)
    state, data = fnnet.init_state(model, optimizer, jax.random.key(0)), Batch(X, np.arange(len(X)) % 2)
    found = fnnet.layer_statistics(model, optimizer, state, data)
    layer = fnnet.trace(model, state.params, *data[:2], optimizer=optimizer).layers["1 BatchNorm"]
    learned = [layer.params.scale, layer.params.shift]
    assert float(found["1 BatchNorm"].update_ratio) == pytest.approx(norm(layer.updates) / norm(learned), rel=1e-5)
    assert found["2 Watching"].update_ratio is found["2 Watching"].gradient_norm is None
