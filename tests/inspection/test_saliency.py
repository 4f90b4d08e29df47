"""Saliency against finite differences of a logit and of a loss, row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import saliency

X = np.random.default_rng(0).normal(size=(4, 3))
CLASSES = np.array([2, 0, 1, 1], np.int32)
MODEL = fnnet.mlp((3, 5, 3), activation=fnnet.Tanh(), penalty=fnnet.L2(0.1), dropout=0.5)
STEP = 1e-5


@pytest.fixture(scope="module")
def params():
    with jax.enable_x64(True):
        return fnnet.init(MODEL, jax.random.key(0), "float64")


def slopes(of_rows):
    """(B, I): of_rows(x), one number per row, by central differences along every input."""
    moves = STEP * np.eye(3)[:, None]
    return np.stack([(of_rows(X + move) - of_rows(X - move)) / (2 * STEP) for move in moves], 1)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("given", [True, False])
def test_the_gradient_of_a_logit(params, given):
    outputs = jax.jit(lambda x: fnnet.forward(MODEL, params, x))
    classes = CLASSES if given else np.asarray(outputs(X)).argmax(1)
    found = jax.jit(saliency)(MODEL, params, X, CLASSES if given else None)
    np.testing.assert_allclose(found, slopes(lambda x: np.asarray(outputs(x))[np.arange(4), classes]), atol=1e-9)
    assert np.abs(found).min(1).max() > 1e-3


@pytest.mark.usefixtures("float64")
def test_the_gradient_of_each_rows_own_loss(params):
    @jax.jit
    def losses(x):
        return fnnet.backprop(MODEL, params, fnnet.Batch(x, CLASSES)).per_example

    found = jax.jit(saliency)(MODEL, params, X, of_loss=CLASSES)
    np.testing.assert_allclose(found, slopes(lambda x: np.asarray(losses(x))), atol=1e-9)


@pytest.mark.usefixtures("float64", "untyped")
def test_classes_may_be_a_list(params):
    expected = saliency(MODEL, params, X, CLASSES)
    np.testing.assert_array_equal(saliency(MODEL, params, X.tolist(), CLASSES.tolist()), expected)


def test_pixels_as_bytes_have_a_saliency():
    model = fnnet.mlp((4, 2), input_shape=(2, 2), scale=1 / 255)
    params = (*[()] * 2, fnnet.layers.DenseParams(jnp.arange(8.0).reshape(4, 2), jnp.zeros(2)))
    dx = saliency(model, params, np.zeros((1, 2, 2), np.uint8), np.array([1]))
    np.testing.assert_allclose(dx, np.array([[[1, 3], [5, 7]]]) / 255, rtol=1e-6)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": np.zeros(3, int)}, r"integer classes of shape \(4,\)"),
        ({"classes": np.zeros(4)}, "integer classes"),
        ({"classes": CLASSES + 1}, "saliency: expected classes from 0 to 2, got 3 in row 0"),
        ({"classes": CLASSES - 1}, "expected classes from 0 to 2, got -1 in row 1"),
        ({"classes": CLASSES, "of_loss": CLASSES}, "got both"),
    ],
)
def test_what_does_not_fit_is_an_error(params, arguments, message):
    with jax.enable_x64(True), pytest.raises(ValueError, match=message):
        saliency(MODEL, params, X, **arguments)


@pytest.mark.usefixtures("float64")
def test_a_class_that_does_not_exist_is_nan_while_compiled(params):
    dx = jax.jit(saliency)(MODEL, params, X, np.array([2, 3, -1, 1]))
    np.testing.assert_array_equal(np.isnan(dx).all(1), [False, True, True, False])
    assert np.isfinite(dx[np.array([0, 3])]).all()


def test_tokens_have_none():
    network = fnnet.Serial((fnnet.Embedding(5, 3), fnnet.LastStep(), fnnet.Dense(2)))
    model = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (4,))
    with pytest.raises(ValueError, match="tokens have no gradient; explain the network after its Embedding"):
        saliency(model, fnnet.init(model, jax.random.key(0)), np.zeros((2, 4), int))


def test_a_logit_needs_classes():
    model = fnnet.Model(fnnet.Identity(), fnnet.SquaredError(), (2, 2))
    with pytest.raises(ValueError, match=r"expected outputs of shape \(B, C\).*pass of_loss=targets"):
        saliency(model, (), np.zeros((1, 2, 2), np.float32))
