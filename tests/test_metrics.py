"""Metrics against scikit-learn and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from fnnet.metrics import accuracy, confusion_matrix

DRAW = np.random.default_rng(3)
ROWS, COUNT = 500, 7
PROBABILITIES = DRAW.dirichlet(np.ones(COUNT), ROWS).astype(np.float32)
PREDICTED = PROBABILITIES.argmax(1)
CLASSES = np.where(DRAW.random(ROWS) < 0.6, PREDICTED, DRAW.integers(0, COUNT, ROWS))
WEIGHTS = DRAW.integers(0, 5, ROWS).astype(np.float32)

labels = pytest.mark.parametrize("labels", ["uint8", "int8", "int32"])
weighted = pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS.astype(np.int32)], ids=["plain", "float", "int"])
compiled = pytest.mark.parametrize("wrap", [lambda f, **_: f, jax.jit], ids=["eager", "jit"])


def array(a, dtype=None):
    return None if a is None else jnp.asarray(a, dtype)


@labels
@weighted
@compiled
def test_accuracy_is_scikit_learns(labels, weights, wrap):
    got = wrap(accuracy)(array(PROBABILITIES), array(CLASSES, labels), array(weights))
    want = sklearn.metrics.accuracy_score(CLASSES, PREDICTED, sample_weight=weights)
    assert (got.shape, got.dtype) == ((), jnp.float32)
    assert float(got) == pytest.approx(want, rel=1e-6)
    assert 0.3 < want < 0.9


@labels
@weighted
@compiled
def test_the_confusion_matrix_is_scikit_learns(labels, weights, wrap):
    got = wrap(confusion_matrix, static_argnames="count")(
        array(PREDICTED, labels), array(CLASSES, labels), count=COUNT, weights=array(weights)
    )
    want = sklearn.metrics.confusion_matrix(CLASSES, PREDICTED, labels=range(COUNT), sample_weight=weights)
    assert got.dtype == (jnp.int32 if weights is None else weights.dtype)
    np.testing.assert_array_equal(got, want)
    assert not np.array_equal(want, want.T)


@pytest.mark.parametrize(
    ("probabilities", "classes", "weights", "want"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1, 0], None, 0.5),
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1, 0], [1, 2, 3, 4], 0.3),
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1, 0], [1, 1, 0, 0], 1),
        ([[0.5, 0.5], [-1, 4], [3, -1], [0, 9]], [0, 1, 0, 1], None, 1),  # a tie goes to the first; logits do as well
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], [2, 255, -1, 1], None, 0.25),
    ],
)
def test_accuracy_by_hand(probabilities, classes, weights, want):
    weights = array(weights, jnp.float32)
    got = accuracy(jnp.asarray(probabilities, jnp.float32), jnp.asarray(classes, jnp.int32), weights)
    assert float(got) == pytest.approx(want)


def test_rows_of_the_confusion_matrix_are_the_truth_and_columns_the_prediction():
    predicted, classes = jnp.asarray([0, 1, 1, 1, 2]), jnp.asarray([0, 0, 0, 1, 1])
    np.testing.assert_array_equal(confusion_matrix(predicted, classes, 3), [[1, 2, 0], [0, 1, 1], [0, 0, 0]])
    weights = jnp.asarray([1, 0.5, 0.25, 2, 4])
    np.testing.assert_array_equal(
        confusion_matrix(predicted, classes, 3, weights), [[1, 0.75, 0], [0, 2, 4], [0, 0, 0]]
    )


@pytest.mark.parametrize("dtype", ["int32", "int8"])
def test_classes_that_do_not_exist_are_left_out(dtype):
    predicted, classes = jnp.asarray([0, 1, -1, 2, 0, 1], dtype), jnp.asarray([0, -1, 1, 0, 2, 1], dtype)
    np.testing.assert_array_equal(confusion_matrix(predicted, classes, 2), [[1, 0], [0, 1]])


@pytest.mark.parametrize("count", [256, 300])
def test_small_label_types_may_meet_more_classes_than_they_can_name(count):
    predicted, classes = jnp.asarray([255, 3, 255], jnp.uint8), jnp.asarray([255, 255, 4], jnp.uint8)
    matrix = confusion_matrix(predicted, classes, count)
    assert matrix.shape == (count, count)
    assert [int(matrix[255, 255]), int(matrix[255, 3]), int(matrix[4, 255]), int(matrix.sum())] == [1, 1, 1, 3]


def test_metrics_work_with_64_bit_integers_on(float64):
    got = accuracy(jnp.asarray(PROBABILITIES, jnp.float64), jnp.asarray(CLASSES), jnp.asarray(WEIGHTS, jnp.float64))
    want = sklearn.metrics.accuracy_score(CLASSES, PREDICTED, sample_weight=WEIGHTS)
    assert float(got) == pytest.approx(want, rel=1e-6)
    got = confusion_matrix(jnp.asarray(PREDICTED), jnp.asarray(CLASSES, jnp.uint8), COUNT)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, sklearn.metrics.confusion_matrix(CLASSES, PREDICTED))
