"""Measures of how good predictions are: over all rows at once, so exact, where a mean over batches would not be.

    probabilities = fnnet.predict(model, params, x)                       # (B, C)
    top_k_accuracy(probabilities, classes, 3)
    scores = class_scores(probabilities.argmax(-1), classes, 10)          # precision, recall, F1, support: (10,) each
    scores.f1[4], scores.macro().f1

Two classes: what `fnnet.predict` gives for one sigmoid output, (B, 1), is the probability of class 1, and targets may
have the loss's shape, (B, 1), of 0 and 1. Several labels per row, (B, L): `label_scores`, `label_accuracy` and
`exact_match`. How well scores rank, whatever the threshold: `roc_curve` and `roc_auc`.

Sequences: `accuracy`, `top_k_accuracy`, `log_loss` and `perplexity` also take probabilities (B, T, C) with classes
(B, T), and count every step by the weight of its row; steps whose class is `no_target` (-1, say) count nothing.

Everything is jittable (`k`, `count` and `bins` being static) and computed in float32 or better: in float64 where the
probabilities are and JAX has it enabled. Lists, Series and DataFrames are accepted, too. `weights` (B,), finite
and of 0 or more, make every mean a weighted one. Rows of weight 0 are masked: a NaN there changes nothing. A NaN in a
row that counts is a mistake in the accuracies and in `label_scores`, and makes every other measure NaN. Where all
weights are 0, a mean is NaN. Wrong shapes and dtypes are refused anywhere, wrong values only outside of `jit`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Integer, Num

from fnnet._values import as_array, at_least_float32

Probabilities = Float[ArrayLike, "B *steps C"]
Scores = Float[ArrayLike, "B *one"]
Classes = Integer[ArrayLike, "B"]
# (B,) classes, or (B, T) of sequences; for two classes also (B, 1), as for the loss
Truth = Num[ArrayLike, "B *one"] | Bool[ArrayLike, "B *one"]
LabelProbabilities = Float[ArrayLike, "B L"]
Labels = Num[ArrayLike, "B L"] | Bool[ArrayLike, "B L"]
Weights = Num[ArrayLike, "B"] | Bool[ArrayLike, "B"] | None


class ClassScores(NamedTuple):
    """How well each class or label is recognized, (C,) each; () each in an average over classes.

    precision  of the rows that were called this class, the fraction that are: tp / (tp + fp)
    recall     of the rows that are this class, the fraction that were called it: tp / (tp + fn)
    f1         harmonic mean of both, 2 tp / (2 tp + fp + fn)
    support    number, or weight, of the rows that are this class: tp + fn
    """

    precision: Array
    recall: Array
    f1: Array
    support: Array

    def macro(self) -> "ClassScores":
        """Means in which every class counts the same. NaN entries (see `undefined`) are left out."""
        return self._average(jnp.ones_like(self.support))

    def weighted(self) -> "ClassScores":
        """Means in which a class counts by its support. NaN entries (see `undefined`) are left out."""
        return self._average(self.support)

    def _average(self, weights: Array) -> "ClassScores":
        def mean(score: Array) -> Array:
            known = jnp.where(jnp.isnan(score), 0, weights)
            return jnp.where(known == 0, 0, known * score).sum() / known.sum()

        return ClassScores(mean(self.precision), mean(self.recall), mean(self.f1), self.support.sum())


class Reliability(NamedTuple):
    """Rows by how sure the network was of its answer, (bins,) each; bin i is (i / bins, (i + 1) / bins].

    confidence  mean of the largest probabilities; NaN in a bin without rows
    accuracy    fraction of the answers that are right; NaN in a bin without rows
    weight      number, or weight, of the rows in the bin
    """

    confidence: Array
    accuracy: Array
    weight: Array


class RocCurve(NamedTuple):
    """The rates where rows with a score of at least `threshold` are called positive, (B + 1,) each, from none to all.

    false_positive_rate  of the rows of class 0, the fraction that is called positive
    true_positive_rate   of the rows of class 1, the fraction that is called positive
    threshold            falling, infinite at first. Rows of one score share one point, repeated for each.
    """

    false_positive_rate: Array
    true_positive_rate: Array
    threshold: Array


def accuracy(
    probabilities: Probabilities, classes: Truth, weights: Weights = None, no_target: int | None = None
) -> Float[Array, ""]:
    """Fraction of rows whose largest entry (of several, the first) is at the class, ().

    Logits (B, C) work, too; a single column (B, 1) must hold the probability of class 1, and 1/2 is class 0. Several
    labels per row are refused: there are two accuracies of them, `label_accuracy` and `exact_match`. A class outside
    0 .. C - 1 raises ValueError; under jit, where nothing can be raised, its row is wrong.
    """
    probabilities, classes, weights = _check_classes("accuracy", probabilities, classes, weights, no_target)
    right = _is_right(probabilities, classes)
    return _mean(right.astype(at_least_float32(probabilities.dtype)), weights)


def top_k_accuracy(
    probabilities: Probabilities, classes: Truth, k: int, weights: Weights = None, no_target: int | None = None
) -> Float[Array, ""]:
    """Fraction of rows whose class is among the k largest entries, (). Logits work, too; k = 1 is `accuracy`.

    Ties go to the lower class: of equal entries the first is the largest. (scikit-learn's go to the higher.)

    Raises ValueError unless 1 <= k <= C.
    """
    probabilities, classes, weights = _check_classes("top_k_accuracy", probabilities, classes, weights, no_target)
    count = probabilities.shape[1]
    if not isinstance(k, int) or not 1 <= k <= count:
        raise ValueError(f"top_k_accuracy: expected k from 1 to {count}, the number of classes, got {k!r}")
    own, exists = _at_class(probabilities, classes)
    numbers, label = jnp.arange(count, dtype=jnp.int32)[None], classes[:, None]
    before = (probabilities > own[:, None]) | ((probabilities == own[:, None]) & (numbers < label))
    right = exists & (before.sum(1) < k) & ~jnp.isnan(probabilities).any(1)
    return _mean(right.astype(at_least_float32(probabilities.dtype)), weights)


def confusion_matrix(predicted: Classes, classes: Classes, count: int, weights: Weights = None) -> Num[Array, "C C"]:
    """Rows the true class, columns the predicted one: how many (or what weight of) rows fell there.

    count is the number of classes. Counts are int32; with weights, sums in their dtype. A class outside 0 .. count - 1
    raises ValueError; under jit, where nothing can be raised, its row is left out.
    """
    return _confusion(*_check_predicted("confusion_matrix", predicted, classes, count, weights), count)


def _confusion(predicted: Array, classes: Array, weights: Array | None, count: int) -> Array:
    predicted, classes = _int32(predicted), _int32(classes)
    ones = jnp.ones(classes.shape, jnp.int32) if weights is None else weights
    inside = (predicted >= 0) & (predicted < count) & (classes >= 0) & (classes < count)
    flat = jnp.where(inside, classes * count + predicted, count * count)
    return jnp.zeros(count * count, ones.dtype).at[flat].add(ones, mode="drop").reshape(count, count)


def class_scores(
    predicted: Classes, classes: Classes, count: int, weights: Weights = None, undefined: float | int = 0.0
) -> ClassScores:
    """Precision, recall and F1 of every class, (count,) each: `class_scores(...).macro().f1` is their mean.

    undefined   what 0 / 0 is: the precision of a class that was never predicted, the recall of one that has no row,
                the F1 of one that has neither (scikit-learn's zero_division). With NaN the averages leave it out.

    A class outside 0 .. count - 1 raises ValueError; under jit its row is left out, as in `confusion_matrix`.
    """
    predicted, classes, weights = _check_predicted("class_scores", predicted, classes, count, weights)
    wide = jnp.result_type(float) if weights is None else at_least_float32(weights.dtype)
    matrix = _confusion(predicted, classes, None if weights is None else weights.astype(wide), count)
    right, called, support = (a.astype(wide) for a in (jnp.diagonal(matrix), matrix.sum(0), matrix.sum(1)))
    return _scores(right, called, support, undefined)


def label_scores(
    probabilities: LabelProbabilities, targets: Labels, weights: Weights = None, undefined: float | int = 0.0
) -> ClassScores:
    """Precision, recall and F1 of every label of a multi-label problem, (L,) each; support counts rows that have it.

    A label is predicted where its probability is above 1/2; targets are 0 and 1. `undefined` is as in `class_scores`.
    Rows with a NaN count as a label missed or wrongly predicted.
    """
    called, truth, w = _check_labels("label_scores", probabilities, targets, weights)
    right, predicted, support = (jnp.where(there, w, 0).sum(0) for there in (called & truth, called, truth))
    return _scores(right, predicted, support, undefined)


def label_accuracy(probabilities: LabelProbabilities, targets: Labels, weights: Weights = None) -> Float[Array, ""]:
    """Fraction of single labels that are right, each on its side of 1/2, (): the mean over labels, not over rows."""
    called, truth, w = _check_labels("label_accuracy", probabilities, targets, weights)
    return jnp.where(called == truth, w, 0).sum() / (w.sum() * truth.shape[1])


def exact_match(probabilities: LabelProbabilities, targets: Labels, weights: Weights = None) -> Float[Array, ""]:
    """Fraction of rows whose labels are all right at once, (); also called subset accuracy.

    This is the accuracy that training with `SigmoidBinaryCrossEntropy` reports; it falls with the number of labels.
    """
    called, truth, w = _check_labels("exact_match", probabilities, targets, weights)
    return jnp.where((called == truth).all(1), w[:, 0], 0).sum() / w.sum()


def roc_curve(scores: Scores, classes: Truth, weights: Weights = None) -> RocCurve:
    """Receiver operating characteristic (ROC): true and false positive rates of two classes at every threshold.

    scores   (B,), or (B, 1) as `fnnet.predict` gives them; only their order matters, so logits work, too
    classes  of 0 and 1, (B,) or (B, 1)

    One of several classes or labels against the rest: `roc_curve(p[:, c], y == c)`. NaN where a class has no row.
    The points are scikit-learn's with `drop_intermediate=False`.
    """
    return _roc("roc_curve", scores, classes, weights)


def _roc(caller: str, scores: Any, classes: Any, weights: Any) -> RocCurve:
    scores, classes, weights = _arrays(caller, weights, scores=scores, classes=classes)
    scores, classes = _check_binary(caller, _floating(scores), classes, weights)
    wide = at_least_float32(scores.dtype)
    w = _weights(weights, scores.shape[0], wide)
    lowest = jnp.where(w == 0, jnp.inf, scores).min()  # rows of weight 0 join the last point
    order = jnp.argsort(-jnp.where(w == 0, lowest, scores.astype(wide)))
    s, w, positive = jnp.where(w == 0, lowest, scores.astype(wide))[order], w[order], classes[order] == 1
    last = jnp.searchsorted(-s, -s, side="right") - 1  # of the rows with this score
    false_rate, true_rate = (_rate(jnp.where(which, w, 0), last) for which in (~positive, positive))
    unknown = jnp.isnan(s).any() | ((w != 0) & (classes[order] < 0)).any()
    threshold = jnp.concatenate([jnp.full(1, jnp.inf, wide), s])
    return RocCurve(jnp.where(unknown, jnp.nan, false_rate), jnp.where(unknown, jnp.nan, true_rate), threshold)


def roc_auc(scores: Scores, classes: Truth, weights: Weights = None) -> Float[Array, ""]:
    """Area under the `roc_curve`, (): how often a row of class 1 scores above a row of class 0, ties counting half."""
    x, y, _ = _roc("roc_auc", scores, classes, weights)
    return ((x[1:] - x[:-1]) * (y[1:] + y[:-1])).sum() / 2


def log_loss(
    probabilities: Probabilities, classes: Truth, weights: Weights = None, no_target: int | None = None
) -> Float[Array, ""]:
    """Mean of -log of the probability given to the class, ().

    The same quantity as the loss of training with `SoftmaxCrossEntropy`, but not the same number: that one comes from
    the logits, so it is finite where a probability has rounded to 0 (here: inf; scikit-learn cuts p at the dtype's
    eps), and it includes label smoothing and the penalty. Rows are taken to sum to 1.

    Raises ValueError for a class outside 0 .. C - 1 and for probabilities outside [0, 1]; under jit, such a class has
    NaN.
    """
    return _log_loss("log_loss", probabilities, classes, weights, no_target)


def perplexity(
    probabilities: Probabilities, classes: Truth, weights: Weights = None, no_target: int | None = None
) -> Float[Array, ""]:
    """e^log_loss, (): among how many equally likely classes the network is as unsure, from 1 to any number.

    C for one that knows nothing of C classes. Raises as `log_loss` does.
    """
    return jnp.exp(_log_loss("perplexity", probabilities, classes, weights, no_target))


def _log_loss(caller: str, probabilities: Any, classes: Any, weights: Any, no_target: int | None) -> Array:
    probabilities, classes, weights = _check_classes(caller, probabilities, classes, weights, no_target)
    _check_probabilities(caller, probabilities, weights)
    own, exists = _at_class(probabilities.astype(at_least_float32(probabilities.dtype)), classes)
    return _mean(jnp.where(exists, -jnp.log(own), jnp.nan), weights)


def reliability(probabilities: Probabilities, classes: Truth, bins: int = 15, weights: Weights = None) -> Reliability:
    """How often the network is right when it is this sure: a table by confidence, in bins of equal width.

    A row's confidence is its largest probability, and falls into bin i where i / bins < it <= (i + 1) / bins. For a
    single column p, the probability of class 1, that is max(p, 1 - p).
    `fnnet.plots.reliability` draws the table. Source: Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599.
    """
    probabilities, classes, weights = _check_classes("reliability", probabilities, classes, weights)
    _check_bins("reliability", bins)
    confidence, right, w, place = _binned(probabilities, classes, bins, weights)
    sums = jnp.zeros((bins, 3), w.dtype).at[place].add(jnp.stack([w * confidence, w * right, w], 1))
    weight = sums[:, 2]
    means = jnp.where(weight == 0, jnp.nan, sums[:, :2].T / jnp.where(weight == 0, 1, weight)[None])
    return Reliability(means[0], means[1], weight)


def expected_calibration_error(
    probabilities: Probabilities, classes: Truth, bins: int = 15, weights: Weights = None
) -> Float[Array, ""]:
    """Mean distance of accuracy from confidence over the bins of `reliability`, each by its weight, ().

        ECE = sum_i W_i / W |accuracy_i - confidence_i|

    It depends on the bins: one bin sees only the difference of the overall means, many bins see noise. Same source.
    """
    probabilities, classes, weights = _check_classes("expected_calibration_error", probabilities, classes, weights)
    _check_bins("expected_calibration_error", bins)
    confidence, right, w, place = _binned(probabilities, classes, bins, weights)
    return jnp.abs(jnp.zeros(bins, w.dtype).at[place].add(w * (right - confidence))).sum() / w.sum()


def r_squared(
    predicted: Float[ArrayLike, "B *outputs"], targets: Num[ArrayLike, "B *outputs"], weights: Weights = None
) -> Float[Array, ""]:
    """1 - sum_b w_b (y_b - p_b)^2 / sum_b w_b (y_b - mean)^2, (): the fraction of variance explained.

    1 is perfect, 0 no better than the targets' (weighted) mean, below 0 worse. With several outputs: the plain mean
    of their values. An output whose targets are all equal has 1 where it is predicted exactly, else 0.
    """
    p, y, w = _arrays("r_squared", weights, predicted=predicted, targets=targets)
    p = _floating(p)
    if y.shape != p.shape or not p.shape:
        raise ValueError(f"r_squared: expected targets of shape {p.shape or '(B, ...)'} like predicted, got {y.shape}")
    _check_weights("r_squared", p, w)
    wide = at_least_float32(p.dtype)
    w = _weights(w, p.shape[0], wide)
    counts = (w != 0)[:, None]
    p, y = (a.astype(wide).reshape(a.shape[0], -1) for a in (p, y))
    p, y = jnp.where(counts, p, 0), jnp.where(counts, y, y[jnp.argmax(w != 0)][None])
    mean = (w[:, None] * y).sum(0) / w.sum()
    unexplained, total = (w[:, None] * (y - p) ** 2).sum(0), (w[:, None] * (y - mean[None]) ** 2).sum(0)
    constant = (y == y[:1]).all(0)
    of_constant = jnp.where(jnp.isnan(unexplained), jnp.nan, (unexplained == 0).astype(wide))
    values = jnp.where(constant, of_constant, 1 - unexplained / jnp.where(constant, 1, total))
    return jnp.where(w.sum() == 0, jnp.nan, values.mean())


def _weights(weights: Array | None, rows: int, dtype: DTypeLike) -> Array:
    return jnp.ones(rows, dtype) if weights is None else weights.astype(dtype)


def _scores(right: Array, called: Array, support: Array, undefined: float | int) -> ClassScores:
    def fraction(part: Array, whole: Array) -> Array:
        return jnp.where(whole == 0, jnp.asarray(undefined, whole.dtype), part / jnp.where(whole == 0, 1, whole))

    return ClassScores(
        fraction(right, called), fraction(right, support), fraction(2 * right, called + support), support
    )


def _rate(weights: Array, last: Array) -> Array:
    """The fraction of the total weight up to each point; the first point is before any row."""
    total = jnp.cumsum(weights)
    return jnp.concatenate([jnp.zeros(1, total.dtype), total[last] / total[-1]])


def _mean(values: Array, weights: Array | None) -> Array:
    """sum w v / sum w over the rows of weight above 0."""
    w = _weights(weights, len(values), values.dtype)
    return jnp.where(w == 0, 0, w * values).sum() / w.sum()


def _is_right(probabilities: Array, classes: Array) -> Array:
    """(B,) bool; a row with a NaN is not right, whatever argmax makes of it."""
    right = probabilities.argmax(-1).astype(jnp.int32) == classes
    return right & ~jnp.isnan(probabilities).any(-1)


def _at_class(probabilities: Array, classes: Array) -> tuple[Array, Array]:
    """((B,) the entry at the class, (B,) whether there is such a class)."""
    count = probabilities.shape[1]
    own = jnp.take_along_axis(probabilities, jnp.clip(classes, 0, count - 1)[:, None], 1)[:, 0]
    return own, (classes >= 0) & (classes < count)


def _binned(
    probabilities: Array, classes: Array, bins: int, weights: Array | None
) -> tuple[Array, Array, Array, Array]:
    """(confidence, right, weight, number of the bin) of every row, (B,); rows of weight 0 are zeros."""
    wide = at_least_float32(probabilities.dtype)
    w = _weights(weights, probabilities.shape[0], wide)
    confidence = jnp.where(w == 0, 0, probabilities.astype(wide).max(1))
    right = _is_right(probabilities, classes).astype(wide)
    edges = jnp.asarray(np.arange(1, bins) / bins, wide)  # NumPy's: a compiled division may round the other way
    return confidence, right, w, jnp.searchsorted(edges, confidence, side="left")


def _arrays(caller: str, weights: Any, **values: Any) -> list[Any]:
    """The values and then the weights as JAX arrays; None stays. TypeError or ValueError for anything but numbers."""
    given = {**values, "weights": weights}.items()
    *arrays, w = (None if value is None else jnp.asarray(as_array(caller, name, value)) for name, value in given)
    return [*arrays, None if w is None else _number(w)]


def _floating(values: Array) -> Array:
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)


def _check_classes(
    caller: str, probabilities: Any, classes: Any, weights: Any, no_target: int | None = None
) -> tuple[Array, Array, Array | None]:
    """(probabilities (B, C) of two classes or more, int32 classes (B,), weights); ValueError where they do not fit.

    Steps of sequences become rows of their own.
    """
    probabilities, classes, weights = _arrays(caller, weights, probabilities=probabilities, classes=classes)
    probabilities = _floating(probabilities)
    if probabilities.ndim == 3 and probabilities.shape[:2] == classes.shape and 0 not in probabilities.shape:
        _check_weights(caller, probabilities, weights)
        weights = None if weights is None else jnp.repeat(weights, classes.shape[1])
        probabilities, classes = probabilities.reshape(-1, probabilities.shape[-1]), classes.reshape(-1)
    if probabilities.shape[1:] == (1,) == classes.shape[1:]:
        classes = classes[:, 0]
    if no_target is not None:
        counts = (classes != no_target).astype(jnp.int32 if weights is None else weights.dtype)
        weights = counts if weights is None else weights * counts
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"{caller}: expected probabilities of shape (B, C), or (B, 1) for two classes, with rows, "
            f"got {probabilities.shape} for classes {classes.shape}"
        )
    if probabilities.shape[1] == 1:
        p, classes = _check_binary(caller, probabilities, classes, weights)
        p = jnp.where((p >= 0) & (p <= 1), p, jnp.nan)
        return jnp.stack([1 - p, p], 1), classes, weights
    if classes.shape == probabilities.shape:
        raise ValueError(
            f"{caller}: expected classes of shape {probabilities.shape[:1]}, got {classes.shape}; write "
            f"y.argmax(1) if they are one-hot; several labels per row have label_scores, label_accuracy, exact_match"
        )
    if classes.shape != probabilities.shape[:1] or not jnp.issubdtype(classes.dtype, jnp.integer):
        raise ValueError(
            f"{caller}: expected integer classes of shape {probabilities.shape[:1]}, "
            f"got {classes.dtype} of shape {classes.shape}"
        )
    _check_weights(caller, probabilities, weights)
    _check_exist(caller, "classes", classes, probabilities.shape[1], weights)
    return probabilities, _int32(classes), weights


def _check_binary(caller: str, scores: Array, classes: Array, weights: Array | None) -> tuple[Array, Array]:
    """(scores (B,), int32 classes (B,)), a class that is neither 0 nor 1 being -1; ValueError where shapes do not fit.

    Where values are known (not while a program is compiled), classes other than 0 and 1 are refused, too, and so are
    probabilities outside [0, 1].
    """
    if scores.shape not in (scores.shape[:1], (*scores.shape[:1], 1)) or scores.size == 0:
        raise ValueError(f"{caller}: expected scores of class 1, (B,) or (B, 1), with rows, got {scores.shape}")
    if classes.shape not in (scores.shape[:1], (scores.shape[0], 1)):
        raise ValueError(f"{caller}: expected classes of shape ({scores.shape[0]},), got {classes.shape}")
    _check_weights(caller, scores, weights)
    scores, classes = scores.reshape(-1), _number(classes.reshape(-1))
    _check_values(caller, scores, classes, weights)
    return scores, jnp.where(classes == 1, 1, jnp.where(classes == 0, 0, -1)).astype(jnp.int32)


def _check_values(caller: str, scores: Array, classes: Array, weights: Array | None) -> None:
    """Raise ValueError for binary classes other than 0 and 1, and for probabilities outside [0, 1], where known."""
    if any(isinstance(a, Tracer) for a in (scores, classes, weights)):
        return
    counts = _counting(weights, len(scores))
    y, p = np.asarray(classes)[counts], np.asarray(scores, np.float64)[counts]
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"{caller}: expected classes of 0 and 1 for one output, got {y[~np.isin(y, (0, 1))][0]:g}")
    if not caller.startswith("roc") and ((p < 0) | (p > 1)).any():
        raise ValueError(
            f"{caller}: expected probabilities from 0 to 1, got {p[(p < 0) | (p > 1)][0]:g}; "
            f"pass what fnnet.predict gives, not logits"
        )


def _check_probabilities(caller: str, probabilities: Array, weights: Array | None) -> None:
    """Raise ValueError for numbers outside [0, 1] in rows that count, where known; 1 may be missed by rounding."""
    if any(isinstance(a, Tracer) for a in (probabilities, weights)):
        return
    p, most = np.asarray(probabilities, np.float64), 1 + 4 * float(jnp.finfo(probabilities.dtype).eps)
    wrong = ((p < 0) | (p > most)) & _counting(weights, len(p))[:, None]
    if wrong.any():
        row = np.flatnonzero(wrong.any(1))[0]
        raise ValueError(
            f"{caller}: expected probabilities from 0 to 1, got {p[row][wrong[row]][0]:g} in row {row}; "
            f"pass what fnnet.predict gives, not logits"
        )


def _counting(weights: Array | None, rows: int) -> np.ndarray:
    """(rows,) bool: which rows have a weight above 0."""
    return np.ones(rows, bool) if weights is None else np.asarray(weights) != 0


def _check_labels(caller: str, probabilities: Any, targets: Any, weights: Any) -> tuple[Array, Array, Array]:
    """(labels predicted, labels there, weights (B, 1)); a NaN is predicted where it is not there, and the reverse."""
    probabilities, targets, weights = _arrays(caller, weights, probabilities=probabilities, targets=targets)
    probabilities = _floating(probabilities)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(f"{caller}: expected probabilities of shape (B, L) with rows, got {probabilities.shape}")
    if targets.shape != probabilities.shape:
        raise ValueError(f"{caller}: expected targets of shape {probabilities.shape}, got {targets.shape}")
    _check_weights(caller, probabilities, weights)
    _check_values(caller, probabilities.reshape(-1), targets.reshape(-1), _per_label(weights, probabilities))
    truth = _number(targets) == 1
    called = jnp.where(jnp.isnan(probabilities), ~truth, probabilities > 0.5)
    return called, truth, _weights(weights, len(truth), at_least_float32(probabilities.dtype))[:, None]


def _number(truth: Array) -> Array:
    return truth.astype(jnp.int32) if truth.dtype == bool else truth


def _per_label(weights: Array | None, probabilities: Array) -> Array | None:
    return None if weights is None else jnp.repeat(weights, probabilities.shape[1])


def _check_predicted(
    caller: str, predicted: Any, classes: Any, count: int, weights: Any
) -> tuple[Array, Array, Array | None]:
    """(predicted, classes, weights), once both are (B,), classes and not probabilities, and known ones 0 .. count - 1.

    Raises ValueError otherwise.
    """
    predicted, classes, weights = _arrays(caller, weights, predicted=predicted, classes=classes)
    if predicted.ndim != 1:
        hint = "; write p.argmax(1), or (p[:, 0] > 0.5).astype(int) for two classes" if predicted.ndim == 2 else ""
        raise ValueError(f"{caller}: expected predicted classes of shape (B,), got {predicted.shape}{hint}")
    if classes.shape != predicted.shape:
        raise ValueError(f"{caller}: expected classes of shape {predicted.shape} like predicted, got {classes.shape}")
    _check_weights(caller, predicted, weights)
    for name, numbers in (("predicted classes", predicted), ("classes", classes)):
        _check_exist(caller, name, numbers, count, weights)
    return predicted, classes, weights


def _check_exist(caller: str, name: str, classes: Array, count: int, weights: Array | None) -> None:
    """Raise ValueError for a class other than 0 .. count - 1 in a row that counts, where known."""
    if any(isinstance(a, Tracer) for a in (classes, weights)):
        return
    y = np.asarray(classes)
    wrong = np.flatnonzero(~((y >= 0) & (y < count) & (y % 1 == 0)) & _counting(weights, len(y)))
    if wrong.size:
        raise ValueError(
            f"{caller}: expected {name} to be integers from 0 to {count - 1}, got {y[wrong[0]]} in row {wrong[0]}"
        )


def _check_weights(caller: str, rows: Array, weights: Array | None) -> None:
    """Raise ValueError unless there is one weight per row and, where known, each is finite and of 0 or more."""
    if weights is not None and weights.shape != rows.shape[:1]:
        raise ValueError(f"{caller}: expected weights of shape {rows.shape[:1]}, one per row, got {weights.shape}")
    if weights is None or isinstance(weights, Tracer):
        return
    w = np.asarray(weights)
    wrong = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if wrong.size:
        raise ValueError(
            f"{caller}: expected weights to be finite numbers of 0 or more, got {w[wrong[0]]} in row {wrong[0]}"
        )


def _int32(classes: Array) -> Array:
    """As int32; a class beyond its range stays out of range, where a plain cast would wrap around to another class."""
    if classes.dtype.itemsize == 8:
        here, there = jnp.iinfo(classes.dtype), jnp.iinfo(jnp.int32)
        classes = classes.clip(max(here.min, there.min), there.max)
    return jnp.asarray(classes).astype(jnp.int32)


def _check_bins(caller: str, bins: int) -> None:
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"{caller}: expected bins to be an int of 1 or more, got {bins!r}")
