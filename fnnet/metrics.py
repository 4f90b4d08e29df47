"""Measures of how good predictions are: over all rows at once, so exact, where a mean over batches would not be.

    probabilities = fnnet.predict(model, params, x)                       # (B, C)
    top_k_accuracy(probabilities, classes, 3)
    scores = class_scores(probabilities.argmax(-1), classes, 10)          # precision, recall, F1, support: (10,) each
    scores.f1[4], scores.macro().f1

Everything is jittable (`k`, `count` and `bins` being static) and computed in float32 or better: in float64 where the
probabilities are. `weights` (B,) make every mean a weighted one. Rows of weight 0 are masked: a NaN there changes
nothing. A NaN in a row that counts is a mistake to the accuracies and NaN to every other measure. Where no row weighs
anything, a mean is NaN. A sigmoid's p (B, 1) is two classes: `jnp.concatenate([1 - p, p], 1)`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Num

from fnnet._spec import at_least_float32

Classes = Integer[Array, "B"]
Weights = Num[Array, "B"] | None


class ClassScores(NamedTuple):
    """How well each class is recognised, (C,) each; () each in an average over classes.

    precision  of the rows that were called this class, the share that are: tp / (tp + fp)
    recall     of the rows that are this class, the share that were called it: tp / (tp + fn)
    f1         harmonic mean of both, 2 tp / (2 tp + fp + fn)
    support    number, or weight, of the rows that are this class: tp + fn
    """

    precision: Any
    recall: Any
    f1: Any
    support: Any

    def macro(self) -> "ClassScores":
        """Means in which every class counts the same. NaN entries (see `undefined`) are left out."""
        return self._average(jnp.ones_like(self.support))

    def weighted(self) -> "ClassScores":
        """Means in which a class counts by its support. NaN entries (see `undefined`) are left out."""
        return self._average(self.support)

    def _average(self, shares: Array) -> "ClassScores":
        def mean(score: Array) -> Array:
            known = jnp.where(jnp.isnan(score), 0, shares)
            return jnp.where(known == 0, 0, known * score).sum() / known.sum()

        return ClassScores(mean(self.precision), mean(self.recall), mean(self.f1), self.support.sum())


class Reliability(NamedTuple):
    """Rows by how sure the network was of its answer, (bins,) each; bin i is (i / bins, (i + 1) / bins].

    confidence  mean of the largest probabilities; NaN in a bin without rows
    accuracy    share of the answers that are right; NaN in a bin without rows
    weight      number, or weight, of the rows in the bin
    """

    confidence: Any
    accuracy: Any
    weight: Any


def accuracy(probabilities: Float[Array, "B C"], classes: Classes, weights: Weights = None) -> Float[Array, ""]:
    """Share of rows whose largest entry (of several, the first) stands at the class, (). Logits do as well."""
    _check("accuracy", "C", probabilities, classes, weights)
    right = _is_right(probabilities, classes)
    return _mean(right.astype(at_least_float32(probabilities.dtype)), weights)


def top_k_accuracy(
    probabilities: Float[Array, "B C"], classes: Classes, k: int, weights: Weights = None
) -> Float[Array, ""]:
    """Share of rows whose class is among the k largest entries, (). Logits do as well; k = 1 is `accuracy`.

    Ties go to the lower class: of equal entries the first is the largest. (scikit-learn's go to the higher.)

    Raises ValueError unless 1 <= k <= C.
    """
    _check("top_k_accuracy", "C", probabilities, classes, weights)
    count = probabilities.shape[1]
    if not isinstance(k, int) or not 1 <= k <= count:
        raise ValueError(f"top_k_accuracy: expected k from 1 to {count}, the number of classes, got {k!r}")
    own, exists = _at_class(probabilities, classes)
    numbers, label = jnp.arange(count, dtype=jnp.int32)[None], classes.astype(jnp.int32)[:, None]
    before = (probabilities > own[:, None]) | ((probabilities == own[:, None]) & (numbers < label))
    right = exists & (before.sum(1) < k) & ~jnp.isnan(probabilities).any(1)
    return _mean(right.astype(at_least_float32(probabilities.dtype)), weights)


def confusion_matrix(
    predicted: Integer[Array, "B"], classes: Integer[Array, "B"], count: int, weights: Num[Array, "B"] | None = None
) -> Num[Array, "C C"]:
    """Rows the true class, columns the predicted one: how many (or what weight of) rows fell there.

    count is the number of classes. Counts are int32; with weights, sums in their dtype. Rows with a class
    outside 0 .. count - 1 raise no error under jit and are left out.
    """
    _check("confusion_matrix", "", predicted, classes, weights)
    predicted, classes = predicted.astype(jnp.int32), classes.astype(jnp.int32)
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

    Rows with a class outside 0 .. count - 1 are left out, as in `confusion_matrix`.
    """
    _check("class_scores", "", predicted, classes, weights)
    wide = jnp.result_type(float) if weights is None else at_least_float32(weights.dtype)
    matrix = confusion_matrix(predicted, classes, count, None if weights is None else weights.astype(wide))
    right, called, support = (a.astype(wide) for a in (jnp.diagonal(matrix), matrix.sum(0), matrix.sum(1)))

    def share(part: Array, whole: Array) -> Array:
        return jnp.where(whole == 0, jnp.asarray(undefined, wide), part / jnp.where(whole == 0, 1, whole))

    return ClassScores(share(right, called), share(right, support), share(2 * right, called + support), support)


def log_loss(probabilities: Float[Array, "B C"], classes: Classes, weights: Weights = None) -> Float[Array, ""]:
    """Mean of -log of the probability given to the class, ().

    The same quantity as the loss of training with `SoftmaxCrossEntropy`, but not the same number: that one comes from
    the logits, so it is finite where a probability has rounded to 0 (here: inf; scikit-learn cuts p at the dtype's
    eps), and it includes label smoothing and the penalty. Rows are taken to sum to 1. A class outside 0 .. C - 1: NaN.
    """
    _check("log_loss", "C", probabilities, classes, weights)
    own, exists = _at_class(probabilities.astype(at_least_float32(probabilities.dtype)), classes)
    return _mean(jnp.where(exists, -jnp.log(own), jnp.nan), weights)


def reliability(
    probabilities: Float[Array, "B C"], classes: Classes, bins: int = 15, weights: Weights = None
) -> Reliability:
    """How often the network is right when it is this sure: a table by confidence, in bins of equal width.

    A row's confidence is its largest probability, and falls into bin i where i / bins < it <= (i + 1) / bins.
    `fnnet.plots.reliability` draws the table. Source: Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599.
    """
    _check("reliability", "C", probabilities, classes, weights)
    _check_bins("reliability", bins)
    confidence, right, w, place = _binned(probabilities, classes, bins, weights)
    sums = jnp.zeros((bins, 3), w.dtype).at[place].add(jnp.stack([w * confidence, w * right, w], 1))
    weight = sums[:, 2]
    means = jnp.where(weight == 0, jnp.nan, sums[:, :2].T / jnp.where(weight == 0, 1, weight)[None])
    return Reliability(means[0], means[1], weight)


def expected_calibration_error(
    probabilities: Float[Array, "B C"], classes: Classes, bins: int = 15, weights: Weights = None
) -> Float[Array, ""]:
    """Mean distance of accuracy from confidence over the bins of `reliability`, each by its weight, ().

        ECE = sum_i W_i / W |accuracy_i - confidence_i|

    It depends on the bins: one bin sees only the difference of the overall means, many bins see noise. Same source.
    """
    _check("expected_calibration_error", "C", probabilities, classes, weights)
    _check_bins("expected_calibration_error", bins)
    confidence, right, w, place = _binned(probabilities, classes, bins, weights)
    return jnp.abs(jnp.zeros(bins, w.dtype).at[place].add(w * (right - confidence))).sum() / w.sum()


def r_squared(
    predicted: Float[Array, "B *outputs"], targets: Num[Array, "B *outputs"], weights: Weights = None
) -> Float[Array, ""]:
    """1 - sum_b w_b (y_b - p_b)^2 / sum_b w_b (y_b - mean)^2, (): the share of the targets' variance explained.

    1 is perfect, 0 no better than the targets' (weighted) mean, below 0 worse. With several outputs: the plain mean
    of their values. An output whose targets are all equal has 1 where it is predicted exactly, else 0.
    """
    _check("r_squared", None, predicted, targets, weights)
    wide = at_least_float32(predicted.dtype)
    w = _weights(weights, predicted.shape[0], wide)
    counts = (w != 0)[:, None]
    p, y = (a.astype(wide).reshape(a.shape[0], -1) for a in (predicted, targets))
    p, y = jnp.where(counts, p, 0), jnp.where(counts, y, y[jnp.argmax(w != 0)][None])
    mean = (w[:, None] * y).sum(0) / w.sum()
    unexplained, total = (w[:, None] * (y - p) ** 2).sum(0), (w[:, None] * (y - mean[None]) ** 2).sum(0)
    constant = (y == y[:1]).all(0)
    of_constant = jnp.where(jnp.isnan(unexplained), jnp.nan, (unexplained == 0).astype(wide))
    values = jnp.where(constant, of_constant, 1 - unexplained / jnp.where(constant, 1, total))
    return jnp.where(w.sum() == 0, jnp.nan, values.mean())


def _weights(weights: Any, rows: int, dtype: Any) -> Array:
    return jnp.ones(rows, dtype) if weights is None else weights.astype(dtype)


def _mean(values: Array, weights: Any) -> Array:
    """sum w v / sum w over the rows that weigh something."""
    w = _weights(weights, len(values), values.dtype)
    return jnp.where(w == 0, 0, w * values).sum() / w.sum()


def _is_right(probabilities: Array, classes: Array) -> Array:
    """(B,) bool; a row with a NaN is not right, whatever argmax makes of it."""
    right = probabilities.argmax(-1).astype(jnp.int32) == classes.astype(jnp.int32)
    return right & ~jnp.isnan(probabilities).any(-1)


def _at_class(probabilities: Array, classes: Array) -> tuple[Array, Array]:
    """((B,) the entry at the class, (B,) whether there is such a class)."""
    label, count = classes.astype(jnp.int32), probabilities.shape[1]
    own = jnp.take_along_axis(probabilities, jnp.clip(label, 0, count - 1)[:, None], 1)[:, 0]
    return own, (label >= 0) & (label < count)


def _binned(probabilities: Array, classes: Array, bins: int, weights: Any) -> tuple[Array, Array, Array, Array]:
    """(confidence, right, weight, number of the bin) of every row, (B,); rows of weight 0 are zeros."""
    wide = at_least_float32(probabilities.dtype)
    w = _weights(weights, probabilities.shape[0], wide)
    confidence = jnp.where(w == 0, 0, probabilities.astype(wide).max(1))
    right = _is_right(probabilities, classes).astype(wide)
    edges = jnp.asarray(np.arange(1, bins) / bins, wide)  # NumPy's: a compiled division may round the other way
    return confidence, right, w, jnp.searchsorted(edges, confidence, side="left")


def _check(caller: str, columns: str | None, predicted: Any, truth: Any, weights: Any) -> None:
    """Raise ValueError where shapes do not fit; columns None asks for two arrays of one shape."""
    expected = predicted.shape if columns is None else predicted.shape[:1]
    if columns == "C" and (predicted.ndim != 2 or 0 in predicted.shape):
        raise ValueError(f"{caller}: expected probabilities of shape (B, C) with rows, got {predicted.shape}")
    if columns == "" and predicted.ndim != 1:
        raise ValueError(f"{caller}: expected predicted classes of shape (B,), got {predicted.shape}")
    if truth.shape != expected or not expected:
        raise ValueError(f"{caller}: expected truth of shape {expected or '(B, ...)'}, got {truth.shape}")
    if weights is not None and weights.shape != expected[:1]:
        raise ValueError(f"{caller}: expected weights of shape {expected[:1]}, one a row, got {weights.shape}")


def _check_bins(caller: str, bins: int) -> None:
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"{caller}: expected bins to be an int of 1 or more, got {bins!r}")
