"""The hand-derived gradients against jax.grad, tensor by tensor, in float64 (1e-12) and float32 (5e-6)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from tests.helpers.cells import assert_close, run_cell

pytestmark = pytest.mark.usefixtures("float64")

ACTIVATIONS = [
    fnnet.Identity(),
    fnnet.Sigmoid(),
    fnnet.HardSigmoid(),
    fnnet.Tanh(),
    fnnet.Relu(),
    fnnet.LeakyRelu(0.1),
    fnnet.Elu(1.3),
    fnnet.Selu(),
    fnnet.Gelu(),
    fnnet.Gelu(approximate=True),
    fnnet.Silu(),
    fnnet.Softplus(),
    fnnet.Exp(),
    fnnet.Softmax(),
]


class Targets(NamedTuple):
    """How a loss's targets are drawn, (B, O)."""

    loss: object
    draw: object


def classes(rng, rows, outputs):
    return rng.integers(0, outputs, rows).astype(np.int32)


def one_hot(rng, rows, outputs):
    return np.eye(outputs)[rng.integers(0, outputs, rows)]


def soft(rng, rows, outputs):
    return rng.dirichlet(np.ones(outputs), rows)


def bits(rng, rows, outputs):
    return rng.integers(0, 2, (rows, outputs)).astype(np.float64)


def values(rng, rows, outputs):
    return rng.normal(size=(rows, outputs))


def counts(rng, rows, outputs):
    return rng.poisson(2.0, (rows, outputs)).astype(np.float64)


LOSSES = [
    Targets(fnnet.SoftmaxCrossEntropy(), classes),
    Targets(fnnet.SigmoidBinaryCrossEntropy(), bits),
    Targets(fnnet.SquaredError(), values),
    Targets(fnnet.AbsoluteError(), values),
    Targets(fnnet.Huber(0.7), values),
    Targets(fnnet.Poisson(), counts),
]
OTHER_TARGETS = [
    Targets(fnnet.SoftmaxCrossEntropy(), one_hot),
    Targets(fnnet.SoftmaxCrossEntropy(), soft),
    Targets(fnnet.SoftmaxCrossEntropy(label_smoothing=0.1), classes),
    Targets(fnnet.SoftmaxCrossEntropy(label_smoothing=0.1), soft),
    Targets(fnnet.SigmoidBinaryCrossEntropy(), lambda rng, *shape: rng.uniform(size=shape)),
    Targets(fnnet.SquaredError(), one_hot),
]


def batch_of(model, draw, rows, outputs, seed=0):
    rng = np.random.default_rng(seed)
    return Batch(rng.normal(size=(rows, *model.input_shape)), draw(rng, rows, outputs))


def params_of(model, seed=7):
    """Parameters in the shapes of `init`, drawn without compiling one program a model."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(partial(fnnet.init, model, dtype=jnp.float64), jax.random.key(0))
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape) / max(1, p.ndim)), shapes)


def check_model(model, batch, key=None):
    """Every parameter's gradient and the input's, from the pass that trains."""
    params = params_of(model)

    def pairs(params, batch):
        p = fnnet.backprop(model, params, batch, key=key)

        def value(params, x):
            return fnnet.loss(model, params, x, batch.y, weights=batch.weights, key=key)

        return (p.grads, p.dx), jax.grad(value, argnums=(0, 1))(params, batch.x)

    run_cell(pairs, params, jax.tree.map(jnp.asarray, batch))


PAIRS = {
    f"{f!r}-{row.loss!r}": (f, row, (i + j) % 3) for i, f in enumerate(ACTIVATIONS) for j, row in enumerate(LOSSES)
}


@pytest.mark.parametrize(
    ("activation", "row"),
    [pytest.param(f, row, marks=pytest.mark.slow if left_out else ()) for f, row, left_out in PAIRS.values()],
    ids=PAIRS,
)
def test_every_activation_under_every_loss(activation, row):
    """By default each activation under two losses, and each loss above four activations or five; the rest is slow."""
    model = fnnet.mlp((3, 5, 4), activation=activation, loss=row.loss)
    check_model(model, batch_of(model, row.draw, 6, 4))


@pytest.mark.parametrize("row", OTHER_TARGETS, ids=lambda row: f"{row.loss!r} {row.draw.__name__}")
def test_every_kind_of_target(row):
    model = fnnet.mlp((3, 5, 4), loss=row.loss)
    check_model(model, batch_of(model, row.draw, 6, 4))


def test_squared_error_on_softmax_has_the_full_jacobian():
    model = fnnet.mlp((3, 5, 4), loss=fnnet.SquaredError(), output=fnnet.Softmax())
    check_model(model, batch_of(model, one_hot, 6, 4))


def test_one_output_and_a_sequence_of_outputs():
    check_model(m := fnnet.mlp((3, 1), loss=fnnet.SigmoidBinaryCrossEntropy()), batch_of(m, bits, 6, 1))
    sequence = fnnet.Model(fnnet.Dense(4), fnnet.SoftmaxCrossEntropy(), (5, 3))
    rng = np.random.default_rng(0)
    check_model(sequence, Batch(rng.normal(size=(6, 5, 3)), rng.integers(0, 4, (6, 5)).astype(np.int32)))


ROWS = [(1,), (7,)]
LAYERS = [
    *((activation, [*ROWS, (2, 3)]) for activation in ACTIVATIONS),
    (fnnet.Dense(1), [*ROWS, (2, 3)]),
    (fnnet.Dense(5), [*ROWS, (2, 3)]),
    (fnnet.Dense(5, biases=None), [*ROWS, (2, 3)]),
    (fnnet.Dense(5, fnnet.GlorotUniform(), fnnet.Uniform(-1, 1)), ROWS),
    (fnnet.Rescale(0.3), [*ROWS, (2, 3)]),
    (fnnet.Standardize(0.3, 2.5), [*ROWS, (2, 3)]),
    (fnnet.Standardize(np.linspace(-1, 1, 7), np.linspace(0.2, 3, 7)), [(7,)]),
    (fnnet.standardize(np.random.default_rng(0).normal(2, 3, (9, 2, 3))), [(2, 3)]),
    (fnnet.Flatten(), [*ROWS, (2, 3), (2, 3, 2)]),
    (fnnet.Dropout(0.4), [*ROWS, (2, 3)]),
    (fnnet.Noise(0.4), [*ROWS, (2, 3)]),
    (fnnet.Mirror(0.4), [(3, 4), (2, 3, 2)]),
    (fnnet.Cutout(2), [(3, 4), (2, 3, 2)]),
    (fnnet.Affine(rotation=30, scale=0.2, shear=0.2, shift=1.5), [(3, 4, 2)]),
    (fnnet.Elastic(20, 2, affine=fnnet.Affine(shift=1)), [(5, 4, 2)]),
    (fnnet.Reshape((3, 2)), [(6,), (2, 3)]),
    (fnnet.Conv(3, (3, 3)), [(5, 6, 1), (4, 5, 2)]),
    (fnnet.Conv(2, (2, 3), stride=(2, 3), padding=((2, 1), (0, 3))), [(7, 8, 4)]),
    (fnnet.Conv(3, (3, 2), stride=2, padding="valid", dilation=(1, 3), biases=None), [(8, 7, 2)]),
    (fnnet.Conv(8, (5, 5), padding="valid"), [(9, 8, 9)]),
    (fnnet.Conv(6, (3, 3), groups=2), [(5, 4, 4)]),
    (fnnet.Conv(6, (3, 3), stride=2, groups=3), [(5, 4, 3)]),
    (fnnet.Conv(3, (3,), dilation=2), [(7, 2)]),
    (fnnet.ConvTranspose(3, (3, 3), stride=2), [(3, 4, 2)]),
    (fnnet.ConvTranspose(4, (2, 3), stride=(3, 1), padding=((1, 0), (1, 2)), groups=2), [(3, 4, 2)]),
    (fnnet.ConvTranspose(2, (3,), stride=3, padding="valid", dilation=2), [(4, 3)]),
    (fnnet.MaxPool((2, 2)), [(4, 6, 2), (5, 7, 3)]),
    (fnnet.MaxPool((3, 2), stride=(2, 1), padding=((1, 2), (0, 1))), [(5, 6, 2)]),
    (fnnet.MaxPool((3,), stride=1, padding="same"), [(5, 2)]),
    (fnnet.MeanPool((2, 2)), [(4, 6, 2), (5, 7, 3)]),
    (fnnet.MeanPool((3, 2), stride=(2, 1), padding=((1, 2), (0, 1))), [(5, 6, 2)]),
    (fnnet.MeanPool((3,), stride=1, padding="same"), [(5, 2)]),
    (fnnet.GlobalMeanPool(), [(3, 4, 2), (5, 2)]),
    (fnnet.GlobalMaxPool(), [(3, 4, 2), (5, 2)]),
    (fnnet.LayerNorm(), [(7,), (2, 5)]),
    (fnnet.RmsNorm(), [(7,), (2, 5)]),
    (fnnet.GroupNorm(2), [(6,), (3, 2, 4)]),
    (fnnet.Recurrent(fnnet.Rnn(4)), [(1, 2), (2, 3)]),
    (fnnet.Recurrent(fnnet.Gru(4)), [(2, 3)]),
    (fnnet.Recurrent(fnnet.Gru(2), biases=None), [(3, 2)]),
    (fnnet.Recurrent(fnnet.Lstm(4)), [(2, 3)]),
    (fnnet.LastStep(), [(1, 2), (3, 2), (3, 2, 2)]),
    (
        fnnet.Parallel((fnnet.Dense(2), fnnet.Serial((fnnet.Dense(3), fnnet.Dropout(0.3))), fnnet.Tanh())),
        [(7,), (4, 3)],
    ),
    (fnnet.Parallel((fnnet.Dense(3), fnnet.Tanh(), fnnet.Dropout(0.5)), join="add"), [(3,), (2, 3)]),
    (fnnet.Residual(fnnet.Serial((fnnet.Dense(4), fnnet.Tanh())), fnnet.Dense(4)), [(7,), (2, 3)]),
    (fnnet.Residual(fnnet.Dense(4), fnnet.Serial((fnnet.Dense(4), fnnet.Sigmoid()))), [(7,)]),
    (fnnet.Embedding(3, 4), [(17,), (2,)]),
    (fnnet.Parallel((fnnet.Embedding(3, 2), fnnet.Embedding(3, 4))), [(2,)]),
    (fnnet.Positions(), [(17, 2), (1, 3)]),
    (fnnet.Attention(2), [(2, 4)]),
    (fnnet.Attention(2, causal=False), [(3, 4)]),
    (fnnet.Attention(2, rotary=True), [(1, 4), (17, 4)]),
    (fnnet.Serial(()), ROWS),
    (fnnet.Serial((fnnet.Dense(5), fnnet.Tanh(), fnnet.Dense(2))), ROWS),
    (fnnet.Residual(fnnet.Tanh()), ROWS),
    (fnnet.Residual(fnnet.Serial((fnnet.Dense(7), fnnet.Sigmoid(), fnnet.Dropout(0.2)))), [(7,)]),
    (fnnet.Serial((fnnet.Flatten(), fnnet.Serial((fnnet.Dense(3), fnnet.Residual(fnnet.Dense(3)))))), [(2, 3)]),
]


MORE_OF_A_KIND = {  # slow: neighbors in the table go through the same code, and PyTorch's references through these
    fnnet.Conv(2, (2, 3), stride=(2, 3), padding=((2, 1), (0, 3))),
    fnnet.Conv(6, (3, 3), stride=2, groups=3),
    fnnet.ConvTranspose(3, (3, 3), stride=2),
    fnnet.ConvTranspose(2, (3,), stride=3, padding="valid", dilation=2),
    fnnet.MaxPool((3,), stride=1, padding="same"),
    fnnet.MeanPool((3,), stride=1, padding="same"),
    fnnet.MeanPool((2, 2)),
    fnnet.Attention(2),
    fnnet.Attention(2, causal=False),
    fnnet.Recurrent(fnnet.Rnn(4)),
    fnnet.Recurrent(fnnet.Gru(2), biases=None),
    fnnet.Parallel((fnnet.Dense(3), fnnet.Tanh(), fnnet.Dropout(0.5)), join="add"),
    fnnet.Residual(fnnet.Dense(4), fnnet.Serial((fnnet.Dense(4), fnnet.Sigmoid()))),
}


@pytest.mark.parametrize(
    ("layer", "in_shapes"),
    [pytest.param(*row, marks=pytest.mark.slow if row[0] in MORE_OF_A_KIND else ()) for row in LAYERS],
    ids=[repr(layer) for layer, _ in LAYERS],
)
def test_every_layer_at_every_shape(layer, in_shapes):
    """A random cotangent through backward and through jax.vjp; the first shape in batches of 1 and 17, too.

    The batch of 3 is also run without a key where the layer uses one.
    """
    key = jax.random.key(3)
    shapes = [(3, *in_shape) for in_shape in in_shapes] + [(rows, *in_shapes[0]) for rows in (1, 17)]
    params = [layer.init(key, shape[1:])[0] for shape in shapes]
    xs = [inputs(layer, jax.random.fold_in(key, i), shape) for i, shape in enumerate(shapes)]

    def pairs(params, xs):
        keys = (None, key) if draws(layer, params[0], xs[0], key) else (None,)
        cases = [(p, x, k) for p, x in zip(params, xs, strict=True) for k in (keys if len(x) == 3 else (key,))]
        return tuple(zip(*(pair(*case) for case in cases), strict=True))

    def pair(params, x, key):
        y, pullback = jax.vjp(lambda params, x: layer.forward(params, x, key=key)[0], params, x)
        dy = 0.3 + jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)  # sums that do not cancel
        _, residuals = layer.forward(params, x, key=key)
        dparams, dx = pullback(dy)
        return layer.backward(params, residuals, dy), (dparams, dx if jnp.issubdtype(x.dtype, jnp.floating) else None)

    run_cell(pairs, params, xs)


def draws(layer, params, x, key):
    """Whether the key is used."""
    jaxpr = jax.make_jaxpr(lambda key: layer.forward(params, x, key=key)[0])(key).jaxpr
    return any(jaxpr.invars[0] in equation.invars for equation in jaxpr.eqns)


def inputs(layer, key, shape):
    """Normal numbers, or tokens of which many are the same."""
    if "Embedding" in repr(layer):
        return jax.random.randint(key, shape, 0, 3)
    return jax.random.normal(key, shape)


def depth(n, *middle):
    layers = [layer for i in range(n - 1) for layer in (fnnet.Dense(6 + i), fnnet.Tanh(), *middle)]
    return fnnet.Serial((*layers, fnnet.Dense(3)))


NETWORKS = {
    "two layers": depth(2),
    "four layers with dropout": depth(4, fnnet.Dropout(0.3)),
    "six layers, residual": fnnet.Serial(
        (
            fnnet.Rescale(0.5),
            fnnet.Dense(8),
            *(fnnet.Residual(fnnet.Serial((f, fnnet.Dense(8)))) for f in ACTIVATIONS[4:8]),
            fnnet.Dense(3),
        )
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_up_to_depth_six(name):
    """With everything at once: weights of rows (a zero among them), penalties, label smoothing, dropout, a key."""
    model = fnnet.Model(NETWORKS[name], fnnet.SoftmaxCrossEntropy(0.1), (5,), fnnet.L2(1e-2, 1e-3))
    batch = batch_of(model, classes, 9, 3)._replace(weights=np.r_[0.0, np.linspace(0.1, 3, 8)])
    check_model(model, batch, key=jax.random.key(5))


@pytest.mark.parametrize("penalty", [fnnet.L1(0.1), fnnet.L2(0.1), fnnet.L1(0.1, 0.2), fnnet.L2(0.1, 0.2)], ids=repr)
def test_penalties(penalty):
    model = fnnet.mlp((3, 4, 2), penalty=penalty)
    check_model(model, batch_of(model, classes, 5, 2))


@pytest.mark.parametrize("weights", [np.array([1.0, 2, 0, 0.5, 3]), np.array([0.0, 0, 4, 0, 0])], ids=str)
def test_row_weights(weights):
    model = fnnet.mlp((3, 4, 2), activation=fnnet.Sigmoid())
    check_model(model, batch_of(model, classes, 5, 2)._replace(weights=weights))


def test_dropout_with_a_fixed_key_uses_one_mask_both_ways():
    model = fnnet.mlp((3, 32, 2), activation=fnnet.Tanh(), dropout=0.5)
    check_model(model, batch_of(model, classes, 5, 2), key=jax.random.key(11))


@pytest.mark.parametrize(("factor", "dtype"), [(1.0001, "float64"), (1.001, "float32"), (1 + 1e-11, "float64")])
def test_a_gradient_scaled_a_little_is_caught(factor, dtype):
    model = fnnet.mlp((3, 4, 2))
    params = fnnet.init(model, jax.random.key(0), dtype)
    _, grads = fnnet.backward(model, params, *batch_of(model, classes, 5, 2)[:2])
    assert_close(grads, grads, dtype)
    for i in range(len(jax.tree.leaves(grads))):
        leaves, tree = jax.tree.flatten(grads)
        leaves[i] = leaves[i] * jnp.asarray(factor, dtype)
        with pytest.raises(AssertionError, match="error"):
            assert_close(tree.unflatten(leaves), grads, dtype)


def test_a_gradient_that_should_be_zero_is_caught():
    zero, one = jnp.zeros(3), jnp.ones(3)
    with pytest.raises(AssertionError, match="expected zero"):
        assert_close((zero + 1e-9, one), (zero, one), "float64")
