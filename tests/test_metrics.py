"""Metrics against scikit-learn and by hand."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnet
from fnnet import metrics
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
def test_classes_that_do_not_exist_are_left_out_while_compiled(dtype):
    predicted, classes = jnp.asarray([0, 1, -1, 2, 0, 1], dtype), jnp.asarray([0, -1, 1, 0, 2, 1], dtype)
    matrix = jax.jit(confusion_matrix, static_argnames="count")
    np.testing.assert_array_equal(matrix(predicted, classes, count=2), [[1, 0], [0, 1]])
    counted = confusion_matrix(predicted, classes, 2, jnp.asarray([2, 0, 0, 0, 0, 3]))  # rows of weight 0 are masked
    np.testing.assert_array_equal(counted, [[2, 0], [0, 3]])


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


class Table:
    """Random rows in float64, with ties, absent classes and weights: what the referee is asked about."""

    def __init__(self, seed, rows, count, weighted):
        draw = np.random.default_rng(seed)
        self.count = count
        self.probabilities = np.round(draw.dirichlet(np.ones(count), rows), draw.integers(1, 4)) + 1e-3
        self.probabilities /= self.probabilities.sum(1, keepdims=True)
        self.predicted = self.probabilities.argmax(1)
        self.classes = np.where(draw.random(rows) < 0.5, self.predicted, draw.integers(0, count, rows))
        self.weights = draw.uniform(0.1, 3, rows) * (draw.random(rows) < 0.7) if weighted else np.ones(rows)
        self.weights[:2] = 1
        self.values, self.targets = draw.normal(size=(2, rows, 2))
        self.targets[:, -1] += 2 * self.values[:, -1] + 5


TABLES = given(st.builds(Table, st.integers(0, 10**6), st.just(24), st.sampled_from([2, 6]), st.booleans()))
quick = settings(max_examples=30, deadline=None, derandomize=True)


@functools.partial(jax.jit, static_argnames=("count", "undefined"))
def measured(p, y, w, values, targets, count, undefined):
    """Everything that scikit-learn is asked about, in one program."""
    scores = [metrics.class_scores(p.argmax(-1), y, count, w, u) for u in undefined]
    return {
        "accuracy": accuracy(p, y, w),
        "log loss": metrics.log_loss(p, y, w),
        "top k": [metrics.top_k_accuracy(p, y, k, w) for k in range(1, count + 1)],
        "scores": [(s, s.macro(), s.weighted()) for s in scores],
        "R^2": metrics.r_squared(values, targets, w),
    }


@functools.partial(jax.jit, static_argnames="bins")
def calibrated(p, y, w, bins):
    return [(metrics.reliability(p, y, b, w), metrics.expected_calibration_error(p, y, b, w)) for b in bins]


def agree(got, want):
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def loops_calibration(t, bins):
    """One bin after the other: (confidence, accuracy, weight) of each, and the error."""
    weights, table, error = t.weights, [], 0
    sure = [max(row) for row in t.probabilities]
    for i in range(bins):
        inside = [b for b in range(len(sure)) if i / bins < sure[b] <= (i + 1) / bins]
        weight = sum(weights[b] for b in inside)
        if weight == 0:
            table.append((np.nan, np.nan, 0))
            continue
        confidence = sum(weights[b] * sure[b] for b in inside) / weight
        right = sum(weights[b] for b in inside if t.predicted[b] == t.classes[b]) / weight
        table.append((confidence, right, weight))
        error += weight / sum(weights) * abs(right - confidence)
    return np.array(table).T, error


@quick
@TABLES
def test_metrics_are_scikit_learns(t):
    labels, weights, undefined = range(t.count), {"sample_weight": t.weights}, (1.0, np.nan)
    with jax.enable_x64(True):
        rows = map(array, (t.probabilities, t.classes, t.weights, t.values, t.targets))
        got = measured(*rows, count=t.count, undefined=undefined)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.UndefinedMetricWarning)
        agree(got["accuracy"], sklearn.metrics.accuracy_score(t.classes, t.predicted, **weights))
        agree(got["log loss"], sklearn.metrics.log_loss(t.classes, t.probabilities, labels=labels, **weights))
        agree(got["top k"][0], got["accuracy"])
        agree(got["top k"][-1], 1)
        for k in range(2, t.count):
            mirrored = t.count - 1 - t.classes, t.probabilities[:, ::-1]  # since there ties go to the higher class
            want = sklearn.metrics.top_k_accuracy_score(*mirrored, k=k, labels=labels, **weights)
            agree(got["top k"][k - 1], want)
        for scores, zero_division in zip(got["scores"], undefined, strict=True):
            for mine, average in zip(scores, (None, "macro", "weighted"), strict=True):
                want = sklearn.metrics.precision_recall_fscore_support(
                    t.classes, t.predicted, labels=labels, average=average, zero_division=zero_division, **weights
                )
                support = want[3] if average is None else t.weights.sum()
                for a, b in zip(mine, (*want[:3], support), strict=True):
                    agree(a, b)
        agree(got["R^2"], sklearn.metrics.r2_score(t.targets, t.values, **weights))


@quick
@TABLES
def test_calibration_is_a_loop_over_bins(t):
    bins = (1, 10, 15)
    with jax.enable_x64(True):
        got = calibrated(*map(array, (t.probabilities, t.classes, t.weights)), bins=bins)
    for (mine, error), count in zip(got, bins, strict=True):
        table, want = loops_calibration(t, count)
        for a, b in zip(mine, table, strict=True):
            agree(a, b)
        agree(error, want)


MEASURES = {
    "accuracy": lambda p, y, w: accuracy(p, y, w),
    "top 2": lambda p, y, w: metrics.top_k_accuracy(p, y, 2, w),
    "log loss": lambda p, y, w: metrics.log_loss(p, y, w),
    "reliability": lambda p, y, w: metrics.reliability(p, y, 5, w),
    "ECE": lambda p, y, w: metrics.expected_calibration_error(p, y, 5, w),
    "R^2": lambda p, y, w: metrics.r_squared(p, jnp.where(jnp.isnan(p), p, jax.nn.one_hot(y, 3, dtype=p.dtype)), w),
    "scores": lambda p, y, w: metrics.class_scores(p.argmax(-1), y, 3, w),
}
P = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.5, 0.1, 0.4], [0.1, 0.1, 0.8]], np.float32)
Y = np.array([0, 1, 2, 2], np.uint8)


@jax.jit
def everything(p, y, w):
    return {name: f(p, y, w) for name, f in MEASURES.items()}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0])
def test_a_row_of_weight_zero_changes_nothing(bad):
    weights = np.float32([1, 2, 3, 1, 0, 0])
    spoilt, classes = np.r_[P, [[bad] * 3], P[:1]].astype(np.float32), np.r_[Y, np.uint8([2, 2])]
    want = everything(jnp.asarray(P), jnp.asarray(Y), jnp.asarray(weights[:4]))
    got = everything(jnp.asarray(spoilt), jnp.asarray(classes), jnp.asarray(weights))
    for name in MEASURES:
        for a, b in zip(jax.tree.leaves(got[name]), jax.tree.leaves(want[name]), strict=True):
            assert a.dtype == jnp.float32
            np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=name)
    assert all(np.isfinite(jax.tree.leaves(want[name])[-1]).all() for name in MEASURES)


def test_a_nan_in_a_row_that_counts_is_seen():
    spoilt = np.where(np.arange(4)[:, None] == 0, np.float32(np.nan), P)  # row 0, class 0: argmax of NaN is 0
    got = everything(jnp.asarray(spoilt), jnp.asarray(Y), jnp.ones(4))
    assert (float(got["accuracy"]), float(got["top 2"])) == (0.5, 0.75)
    assert all(np.isnan(got[name]) for name in ("log loss", "ECE", "R^2"))
    assert np.isnan(got["reliability"].confidence).any()


def test_without_any_weight_a_mean_is_nan():
    got = everything(jnp.asarray(P), jnp.asarray(Y), jnp.zeros(4))
    assert all(np.isnan(got[name]) for name in ("accuracy", "top 2", "log loss", "ECE", "R^2"))
    assert np.isnan(got["reliability"].accuracy).all()
    assert not np.any(got["scores"].support)


@jax.jit
def by_hand():
    p, y = jnp.asarray(P), jnp.asarray(Y)
    predicted, classes = jnp.asarray([0, 0, 1, 1]), jnp.asarray([0, 1, 1, 2])
    return {
        "top": [metrics.top_k_accuracy(p, y, k) for k in (1, 2)],
        "log loss": metrics.log_loss(p, y),
        "table": metrics.reliability(p, y, 2),  # 0.5 stands in the lower bin
        "error": metrics.expected_calibration_error(p, y, 2),
        "scores": metrics.class_scores(predicted, classes, 4),
        "R^2": metrics.r_squared(jnp.asarray([1.0, 2, 4]), jnp.asarray([1, 2, 3])),
        "ties": [metrics.top_k_accuracy(jnp.full((1, 3), 1 / 3), jnp.asarray([c]), 2) for c in (0, 1, 2)],
    }


def test_metrics_by_hand():
    got = jax.tree.map(np.asarray, by_hand())
    assert got["top"] == [0.75, 1]
    assert got["ties"] == [1, 1, 0]  # of equal probabilities the first classes are on top
    assert got["R^2"] == 0.5
    np.testing.assert_allclose(got["log loss"], -np.log([0.7, 0.5, 0.4, 0.8]).mean(), rtol=1e-6)
    np.testing.assert_allclose(got["table"], [[0.5, 0.75], [0.5, 1], [2, 2]], rtol=1e-6)
    np.testing.assert_allclose(got["error"], 0.125, rtol=1e-6)
    np.testing.assert_allclose(got["scores"].precision, [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(got["scores"].recall, [1, 0.5, 0, 0])
    np.testing.assert_allclose(got["scores"].f1, [2 / 3, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(got["scores"].support, [1, 2, 1, 0])


@pytest.mark.parametrize(("label", "top", "loss"), [(-1, 0, np.nan), (3, 0, np.nan), (255, 0, np.nan), (2, 1, 0.5)])
def test_a_class_that_does_not_exist_is_wrong_and_has_no_loss_while_compiled(label, top, loss):
    p = np.array([[0.2, 0.2, np.exp(-0.5)], *[[np.nan] * 3] * 3], np.float32)
    given = p, np.array([label, 0, 0, 0]), np.float32([1, 0, 0, 0])
    assert jax.jit(accuracy)(*given) == top
    assert jax.jit(lambda p, y, w: metrics.top_k_accuracy(p, y, 2, w))(*given) == top
    np.testing.assert_allclose(jax.jit(metrics.log_loss)(*given), loss, rtol=1e-6)


@pytest.mark.parametrize(("predicted", "want"), [([[2.0, 1], [2, 3]], 1), ([[2.0, 1], [2.1, 3]], 0.5)])
def test_r_squared_of_targets_that_do_not_change(predicted, want):
    targets = np.array([[2.0, 1], [2, 3]])
    assert jax.jit(metrics.r_squared)(np.float32(predicted), np.float32(targets)) == want
    assert sklearn.metrics.r2_score(targets, predicted) == want


def test_log_loss_is_the_training_loss_until_a_probability_rounds_to_zero():
    @jax.jit
    def both(logits, y):
        loss = fnnet.SoftmaxCrossEntropy()
        return metrics.log_loss(loss.predict(logits), y), loss.forward(logits, y)[0].mean()

    logits, y = np.float32([[3, -1, 0], [0, 2, 1]]), np.array([0, 2])
    np.testing.assert_allclose(*both(logits, y), rtol=1e-6)
    mine, training = both(1000 * logits, y)
    assert np.isinf(mine)
    assert np.isfinite(training)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_small_dtypes_are_measured_in_float32(dtype):
    p, y = jnp.asarray(P, dtype), jnp.asarray(Y)
    for measure in ("accuracy", "top 2", "log loss", "ECE"):
        assert jax.eval_shape(MEASURES[measure], p, y, jnp.ones(4, jnp.uint8)).dtype == jnp.float32


class Binary:
    """Two classes with tied scores, three labels per row, and weights of which some are 0."""

    def __init__(self, seed):
        draw = np.random.default_rng(seed)
        self.logits = np.round(draw.normal(size=(60, 1)), 1)
        self.p = np.round(1 / (1 + np.exp(-self.logits)), 2)
        self.y = (draw.random((60, 1)) < self.p).astype(np.float64)
        self.weights = draw.uniform(0.1, 3, 60) * (draw.random(60) < 0.7)
        self.labels = np.round(draw.random((60, 3)), 2)
        self.targets = (draw.random((60, 3)) < self.labels).astype(np.float64)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("shape", [(-1, 1), (-1,)], ids=["column", "row"])
def test_one_sigmoid_output_is_two_classes(shape, weighted, float64):
    t = Binary(5)
    y, w = t.y.reshape(shape), t.weights if weighted else None
    both, classes = np.concatenate([1 - t.p, t.p], 1), t.y[:, 0].astype(int)
    got = jax.jit(lambda p, y, w: (accuracy(p, y, w), metrics.log_loss(p, y, w)))(t.p, y, w)
    agree(got[0], sklearn.metrics.accuracy_score(classes, t.p[:, 0] > 0.5, sample_weight=w))
    agree(got[1], sklearn.metrics.log_loss(classes, both, sample_weight=w))
    assert 0.5 < got[0] < 0.9
    for measure in (metrics.expected_calibration_error, metrics.reliability, accuracy, metrics.log_loss):
        for a, b in zip(
            *(jax.tree.leaves(measure(*map(array, row), weights=array(w))) for row in ((t.p, y), (both, classes))),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_accuracy_of_one_output_is_that_of_evaluate():
    model, t = fnnet.mlp((2, 1), loss=fnnet.SigmoidBinaryCrossEntropy()), Binary(6)
    params, x = fnnet.init(model, jax.random.key(0)), np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    y = t.y.astype(np.float32)
    want = fnnet.evaluate(model, params, fnnet.Batch(x, y))
    got = accuracy(fnnet.predict(model, params, x), array(y))
    assert 0.2 < got < 0.8
    assert got == want.accuracy
    np.testing.assert_allclose(metrics.log_loss(fnnet.predict(model, params, x), array(y)), want.loss, rtol=1e-5)


def test_what_is_no_probability_is_wrong_while_compiled():
    p, y = np.float32([[-2.0], [0.9], [3]]), np.array([0, 1, 1])
    assert jax.jit(accuracy)(p, y) == np.float32(1 / 3)
    assert np.isnan(jax.jit(metrics.log_loss)(p, y))
    assert jax.jit(accuracy)(p[1:2], np.array([-1])) == 0


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_roc_curve_is_scikit_learns(weighted, float64):
    t = Binary(7)
    w = t.weights if weighted else None
    got, area = jax.jit(lambda *a: (metrics.roc_curve(*a), metrics.roc_auc(*a)))(t.logits, t.y, w)
    *rates, thresholds = sklearn.metrics.roc_curve(t.y[:, 0], t.logits[:, 0], sample_weight=w, drop_intermediate=False)
    assert got.threshold.shape == (61,)
    assert len(thresholds) < 50
    first = np.unique(-np.asarray(got.threshold), return_index=True)[1]  # of the points that tied rows share
    np.testing.assert_array_equal(got.threshold[first], thresholds)
    for mine, want in zip(got, rates, strict=False):
        np.testing.assert_allclose(mine[first], want, rtol=1e-12, atol=1e-12)
        assert (mine[0], mine[-1]) == (0, 1)
    agree(area, sklearn.metrics.roc_auc_score(t.y[:, 0], t.logits[:, 0], sample_weight=w))
    assert 0.55 < area < 0.95, "neither chance nor certainty"


def test_roc_by_hand():
    scores, y = np.float32([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    curve = metrics.roc_curve(array(scores), array(y))
    np.testing.assert_array_equal(curve.false_positive_rate, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_array_equal(curve.true_positive_rate, [0, 0.5, 1, 1, 1])
    assert metrics.roc_auc(array(scores), array(y)) == 0.875  # 3 pairs in order, one tie, of 4
    assert metrics.roc_auc(array(scores), array(~y)) == 0.125
    assert np.isnan(metrics.roc_auc(array(scores), jnp.ones(4)))
    spoilt, weights = np.float32([np.nan, *scores]), np.float32([0, 1, 1, 1, 1])
    assert metrics.roc_auc(array(spoilt), array(np.r_[True, y]), array(weights)) == 0.875
    assert np.isnan(metrics.roc_auc(array(spoilt), array(np.r_[True, y])))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_scores_of_several_labels_are_scikit_learns(weighted, float64):
    t = Binary(8)
    w = t.weights if weighted else None
    called = t.labels > 0.5
    got = jax.jit(lambda *a: [f(*a) for f in (metrics.label_scores, metrics.label_accuracy, metrics.exact_match)])(
        t.labels, t.targets, w
    )
    want = sklearn.metrics.precision_recall_fscore_support(t.targets, called, average=None, sample_weight=w)
    for mine, theirs in zip(got[0][:3], want, strict=False):
        agree(mine, theirs)
    agree(got[0].support, np.average(t.targets, axis=0, weights=w) * (60 if w is None else w.sum()))
    agree(got[1], np.average(called == t.targets, axis=0, weights=w).mean())
    agree(got[2], sklearn.metrics.accuracy_score(t.targets, called, sample_weight=w))
    assert got[1] > got[2] + 0.2


def test_labels_of_rows_of_weight_zero_are_not_looked_at():
    p, y = np.float32([[0.9, 0.2], [7, -1]]), np.array([[1, 0], [5, 5]])
    assert metrics.label_accuracy(p, y, np.float32([2, 0])) == 1
    with pytest.raises(ValueError, match=r"^label_accuracy: expected classes of 0 and 1"):
        metrics.label_accuracy(p, y, np.float32([2, 1]))


def test_a_nan_is_a_label_that_is_wrong():
    p, y = jnp.asarray([[jnp.nan, 0.9], [0.2, jnp.nan]]), jnp.asarray([[1, 1], [0, 0]])
    assert metrics.label_accuracy(p, y) == 0.5
    np.testing.assert_array_equal(metrics.label_scores(p, y).recall, [0, 1])


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_classes_of_64_bits_are_those_of_32(dtype, float64):
    y = jnp.asarray(Y, dtype)
    assert (y == 0).any()
    assert accuracy(jnp.asarray(P), y) == accuracy(jnp.asarray(P), jnp.asarray(Y, "int32"))


@pytest.mark.parametrize("shift", [2**32, -(2**32)])
def test_classes_of_64_bits_do_not_wrap_around(shift, float64):
    y = jnp.asarray(Y, jnp.int64) + shift
    assert jax.jit(accuracy)(jnp.asarray(P), y) == 0
    assert jax.jit(confusion_matrix, static_argnames="count")(y, y, count=3).sum() == 0


WRONG = {
    "rows": (accuracy, (P, Y[:3]), r"accuracy: expected integer classes of shape \(4,\), got uint8 of shape \(3,\)"),
    "one row": (accuracy, (P[0], Y[:1]), r"probabilities of shape \(B, C\)"),
    "no rows": (metrics.log_loss, (P[:0], Y[:0]), r"with rows"),
    "columns": (
        metrics.log_loss,
        (P, P),
        r"log_loss: expected classes of shape \(4,\), got \(4, 3\); write y.argmax\(1\) .* exact_match",
    ),
    "weights": (metrics.log_loss, (P, Y, np.ones(3)), r"weights of shape \(4,\)"),
    "k = 0": (metrics.top_k_accuracy, (P, Y, 0), "k from 1 to 3"),
    "k = 4": (metrics.top_k_accuracy, (P, Y, 4), "k from 1 to 3"),
    "bins": (metrics.reliability, (P, Y, 0), "bins to be an int"),
    "no bins": (metrics.expected_calibration_error, (P, Y, 2.5), "bins to be an int"),
    "predicted": (metrics.class_scores, (P, Y, 3), r"class_scores: expected predicted classes of shape \(B,\)"),
    "matrix": (confusion_matrix, (Y, Y[:2], 3), r"confusion_matrix: expected classes of shape \(4,\)"),
    "outputs": (metrics.r_squared, (P, P[:, :2]), r"expected targets of shape \(4, 3\) like predicted, got \(4, 2\)"),
    "binary rows": (accuracy, (P[:, :1], Y[:3]), r"accuracy: expected classes of shape \(4,\), got \(3,\)"),
    "binary classes": (accuracy, (P[:, :1], Y), "accuracy: expected classes of 0 and 1 for one output, got 2"),
    "minus one": (metrics.roc_auc, (P[:, 0], 2 * (Y > 1) - 1), "classes of 0 and 1 for one output, got -1"),
    "logits": (metrics.log_loss, (P[:, :1] * 9, Y > 1), "probabilities from 0 to 1, got 6.3; pass what fnnet.predict"),
    "logits of several": (
        metrics.log_loss,
        (P * 2, Y),
        "log_loss: expected probabilities from 0 to 1, got 1.4 in row 0; pass what fnnet.predict",
    ),
    "below 0": (metrics.log_loss, (P - 0.15, Y), "from 0 to 1, got -0.05 in row 0"),
    "signs": (
        metrics.class_scores,
        (np.array([1, 1, 0]), np.array([1, -1, 0]), 2),
        "class_scores: expected classes to be integers from 0 to 1, got -1 in row 1",
    ),
    "beyond": (
        confusion_matrix,
        (np.array([0, 1, 2]), np.array([1, 1, 0]), 2),
        "confusion_matrix: expected predicted classes to be integers from 0 to 1, got 2 in row 2",
    ),
    "a class too many": (accuracy, (P, Y + 1), "accuracy: expected classes to be integers from 0 to 2, got 3 in row"),
    "a class below 0": (metrics.top_k_accuracy, (P, Y.astype(int) - 1, 1), "integers from 0 to 2, got -1 in row"),
    "no such class": (metrics.log_loss, (P, Y + 1), "log_loss: expected classes to be integers from 0 to 2"),
    "fractions": (confusion_matrix, (Y, Y / np.float32(2), 3), "expected classes to be integers .* got 0.5 in row 1"),
    "two scores": (
        metrics.roc_curve,
        (P[:, :2], Y > 1),
        r"expected scores of class 1, \(B,\) or \(B, 1\), .* \(4, 2\)",
    ),
    "one label too few": (metrics.label_scores, (P, P[:, :2]), r"expected targets of shape \(4, 3\), got \(4, 2\)"),
    "classes for labels": (metrics.label_accuracy, (P, Y), r"label_accuracy: expected targets of shape \(4, 3\)"),
    "labels": (metrics.exact_match, (P, P.round(1)), "exact_match: expected classes of 0 and 1 .*, got 0.7"),
    "a scalar": (metrics.r_squared, (P.sum(), P.sum()), r"expected targets of shape \(B, ...\)"),
}


BINARY, LABELS = [[0.9], [0.2], [0.6], [0.3]], [[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]]
PUBLIC = {  # (function, its arguments but the weights, their names)
    "accuracy": (accuracy, (P.tolist(), Y.tolist()), ("probabilities", "classes")),
    "accuracy, binary": (accuracy, (BINARY, [1, 0, 0, 1]), ("probabilities", "classes")),
    "top_k_accuracy": (
        lambda p, y, w: metrics.top_k_accuracy(p, y, 2, w),
        (P.tolist(), Y.tolist()),
        ("probabilities",),
    ),
    "confusion_matrix": (lambda p, y, w: confusion_matrix(p, y, 3, w), ([0, 1, 1, 2], Y.tolist()), ("predicted",)),
    "class_scores": (lambda p, y, w: metrics.class_scores(p, y, 3, w), ([0, 1, 1, 2], Y.tolist()), ("predicted",)),
    "label_scores": (metrics.label_scores, (P.tolist(), LABELS), ("probabilities", "targets")),
    "label_accuracy": (metrics.label_accuracy, (P.tolist(), LABELS), ("probabilities", "targets")),
    "exact_match": (metrics.exact_match, (P.tolist(), LABELS), ("probabilities", "targets")),
    "roc_curve": (metrics.roc_curve, (P[:, 0].tolist(), [1, 0, 0, 1]), ("scores", "classes")),
    "roc_auc": (metrics.roc_auc, (P[:, 0].tolist(), [1, 0, 0, 1]), ("scores", "classes")),
    "log_loss": (metrics.log_loss, (P.tolist(), Y.tolist()), ("probabilities", "classes")),
    "perplexity": (metrics.perplexity, (P.tolist(), Y.tolist()), ("probabilities", "classes")),
    "reliability": (lambda p, y, w: metrics.reliability(p, y, 5, w), (P.tolist(), Y.tolist()), ("probabilities",)),
    "expected_calibration_error": (
        lambda p, y, w: metrics.expected_calibration_error(p, y, 5, w),
        (P.tolist(), Y.tolist()),
        ("probabilities",),
    ),
    "r_squared": (metrics.r_squared, (P.tolist(), LABELS), ("predicted", "targets")),
}


class Column:
    """As much of a pandas Series as is asked of one."""

    name = "a"

    def __init__(self, values):
        self.values = np.asarray(values)

    def isna(self):
        return np.isnan(self.values)

    def to_numpy(self):
        return self.values


class Frame(Column):
    """As much of a pandas DataFrame."""

    columns = property(lambda self: range(self.values.shape[1]))
    iloc = property(lambda self: self)

    def __getitem__(self, key):
        return Column(self.values[key])


def frame(a):
    return Column(a) if np.ndim(a) == 1 else Frame(a)


def test_every_metric_is_held_to_what_a_person_hands_over():
    names = {n for n, f in vars(metrics).items() if getattr(f, "__module__", "") == metrics.__name__ and n.islower()}
    assert {n.split(",")[0] for n in PUBLIC} == {n for n in names if not n.startswith("_")}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("case", PUBLIC)
def test_what_a_person_hands_over_is_converted_and_checked(case):
    f, arguments, names = PUBLIC[case]
    caller, weights = case.split(",")[0], [1.0, 2.0, 0.0, 0.5]
    jitted = jax.jit(f)
    want = jax.tree.leaves(jitted(*map(jnp.asarray, arguments), jnp.asarray(weights)))
    for convert in (list, np.asarray, frame, np.ma.asarray, jnp.asarray):
        got = jax.tree.leaves(f(*map(convert, arguments), convert(weights)))
        for a, b in zip(got, want, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-6)
    for i, name in enumerate((*names, "weights")):
        spoilt = [*arguments, weights]
        spoilt[i if name != "weights" else 2] = np.ma.masked_equal(np.ones(4), 1)
        with pytest.raises(ValueError, match=f"^{caller}: {name}: expected no masked entries, got 4"):
            f(*spoilt)
    for bad in (-1.0, np.nan, np.inf):
        wrong = [1.0, 2.0, bad, 0.5]
        with pytest.raises(ValueError, match=rf"^{caller}: expected weights to be finite .* got {bad} in row 2$"):
            f(*arguments, wrong)
        jitted(*map(jnp.asarray, arguments), jnp.asarray(wrong))
    for shape in ((3,), (4, 1)):
        with pytest.raises(ValueError, match=rf"^{caller}: expected weights of shape \(4,\), one per row"):
            f(*arguments, np.ones(shape))
    rows = jax.vmap(f, (None, None, 0))(*map(jnp.asarray, arguments), jnp.asarray([weights, weights]))
    for a, b in zip(jax.tree.leaves(rows), want, strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-6)


@pytest.mark.usefixtures("float64", "untyped")
@pytest.mark.parametrize(("given", "dtype"), [("int32", "float64"), ("float32", "float32")])
def test_measures_are_in_the_dtype_of_the_predictions(given, dtype):
    """In JAX's default where these are integers."""
    p = np.array([[1, 0], [0, 1], [1, 0]], given)
    y = np.array([0, 1, 1], np.int32)
    found = [
        metrics.accuracy(p, y), metrics.top_k_accuracy(p, y, 1), metrics.log_loss(p, y), metrics.roc_auc(p[:, 1], y),
        metrics.r_squared(p[:, 1], y), metrics.label_accuracy(p, p), metrics.reliability(p, y).weight,
    ]  # fmt: skip
    assert [a.dtype for a in found] == [dtype] * 7
    np.testing.assert_allclose([found[0], found[3], found[4], found[5]], [2 / 3, 0.75, -0.5, 1], rtol=1e-6)


def test_a_mask_of_rows_is_weights():
    mask = np.array([True, False, True, True])
    np.testing.assert_array_equal(confusion_matrix(Y, Y, 3, mask), confusion_matrix(Y[mask], Y[mask], 3))


def test_probabilities_of_log_loss_may_miss_one_by_rounding():
    p = np.float32([[1.0000001, 0], [0, 1]])
    np.testing.assert_allclose(metrics.log_loss(p, np.array([0, 1])), 0, atol=1e-6)
    logits, y = np.float32([[0.5, 0.5], [3, -2]]), np.array([0, 1])
    assert np.isfinite(metrics.log_loss(logits, y, np.float32([1, 0])))
    assert np.isnan(jax.jit(metrics.log_loss)(logits, y))
    assert np.isnan(metrics.log_loss(np.float32([[np.nan, 0.5]]), np.array([0])))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_an_error(case):
    f, arguments, message = WRONG[case]
    arguments = [jnp.asarray(a) if isinstance(a, np.ndarray | np.generic) else a for a in arguments]
    with pytest.raises(ValueError, match=message):
        f(*arguments)


def test_steps_without_a_target_may_stand_in_a_column():
    probabilities, column = np.array([[0.2], [0.8], [0.9]]), np.array([[0], [-1], [0]])
    assert accuracy(probabilities, column, no_target=-1) == 0.5
    assert accuracy(probabilities, column, no_target=-1, weights=np.array([3.0, 1.0, 1.0])) == 0.75
