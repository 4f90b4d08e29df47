"""Losses: how wrong the outputs are, as one number per example, and its gradient.

    loss.forward(outputs, targets)         -> (per_example, residuals)     per_example: (B,)
    loss.backward(residuals, dper_example) -> doutputs
    loss.predict(outputs)                  -> probabilities or values      the loss knows its output function
    loss.correct(outputs, targets)         -> (B,) bool                    optional: what accuracy counts
    loss.count(targets)                    -> (B,) or None                 optional: how many targets a row has
    loss.check_targets(targets, shape)                                     optional: raises for wrong targets

A loss is the sum over an example's outputs; the mean over examples is taken in `fnnet.backprop`, so dper_example holds
their weights w_b / sum(w n), n_b being 1 or the row's count. Losses of probabilities take logits (the numbers before
sigmoid or softmax): they stay finite where probabilities round to 0 or 1. `0 * inf` counts as 0: an output whose target
is 0 adds nothing, even if its logarithm is infinite.

In the formulas z are the outputs, t the targets, l the loss of a row, and dl its gradient, dper_example.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Num

from fnnet._spec import check_range, spec, static
from fnnet.layers.activations import below_largest, softmax, softplus
from fnnet.protocols import Number

__all__ = ["AbsoluteError", "Huber", "Poisson", "SigmoidBinaryCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"]

_ONE_OUTPUT = (
    "the softmax of one output is always 1, so that nothing is learned; use SigmoidBinaryCrossEntropy for targets "
    "(B, 1) of 0 and 1, SquaredError for values"
)
Outputs = Float[Array, "B *outputs"]
PerExample = Float[Array, "B"]


@spec
class SoftmaxCrossEntropy:
    """-log of the probability that softmax gives to the right class: one of C classes is true.

    outputs   (B, C) logits
    targets   (B,) integer classes 0 .. C - 1, or (B, C) probabilities (one-hot or soft)
    label_smoothing  s in [0, 1]: targets become (1 - s) t + s / C. Source: Szegedy et al. 2015, 1512.00567
    no_target        a class that means "nothing to predict here", -1, say: such targets count nothing, in the loss, in
                     its gradient and in accuracy

    Axes between B and C (time, say) are summed: the loss of a row is that of all its targets. Where `no_target` is
    set, the value of a batch is the mean over targets, not over rows, and accuracy the fraction of them that is right.
    An integer outside 0 .. C - 1, other than `no_target`, makes its row NaN.
    """

    label_smoothing: Number = None
    no_target: int | None = static(default=None)

    def check(self) -> None:
        check_range(self, "label_smoothing", low=0, high=1)
        if self.no_target is not None and (isinstance(self.no_target, bool) or not isinstance(self.no_target, int)):
            raise TypeError(f"SoftmaxCrossEntropy: expected no_target to be an int or None, got {self.no_target!r}")

    @property
    def formulas(self) -> tuple[str, str]:
        p = "p = exp(z) / sum_c(exp(z))"
        total = "p" if self.no_target is None else "p * sum_c(t)"
        if self.label_smoothing is None:
            return f"{p}; l = -sum_o(t * log(p))", f"dz = ({total} - t) * dl"
        s = "label_smoothing / C" if self.no_target is None else "label_smoothing * sum_c(t) / C"
        q = f"q = (1 - label_smoothing) * t + {s}"
        return f"{p}; {q}; l = -sum_o(q * log(p))", f"dz = ({total} - q) * dl"

    def check_targets(self, targets: np.ndarray, shape: tuple[int, ...]) -> None:
        """Raise ValueError for a class without an output or a wrong probability; shape is that of a row's outputs."""
        if shape == (1,):
            raise ValueError(_ONE_OUTPUT)
        if targets.dtype.kind in "iu":
            last = shape[-1] - 1
            targets = targets if self.no_target is None else targets[targets != self.no_target]
            if not targets.size:
                return
            _check_within(targets, 0, last, f"classes 0 to {last} for the network's {shape[-1]} outputs")
        elif targets.shape[1:] == shape:  # `forward` says what to do about others
            _check_within(targets, 0, 1, "probabilities from 0 to 1")
            _check_sums(targets)

    def forward(
        self, logits: Float[Array, "B *rest C"], targets: Num[Array, "B *rest_or_classes"]
    ) -> tuple[PerExample, tuple[Float[Array, "B *rest C"], Float[Array, "B *rest C"]]]:
        """l = -sum_c t_c log p_c, with log p_c = z_c - m - log sum_k e^(z_k - m), m the largest logit.

        Keeps p and t, which are 0 where there is no target.
        """
        shifted = below_largest(logits)
        e = jnp.exp(shifted)
        total = e.sum(-1, keepdims=True)
        p, t = e / total, self._probabilities(logits, targets)
        if self.no_target is not None:
            p = jnp.where(self._is_target(targets)[..., None], p, 0)
        return -_sum_outputs(_times(t, shifted - jnp.log(total))), (p, t)

    def backward(
        self, residuals: tuple[Float[Array, "B *rest C"], Float[Array, "B *rest C"]], dper_example: PerExample
    ) -> Float[Array, "B *rest C"]:
        """dz = (p sum_k t_k - t) dl, which is (p - t) dl for targets that sum to 1.

        log p_c = z_c - log sum_k e^z_k has ∂log p_c/∂z_j = [c = j] - p_j, so

            ∂l/∂z_j = -sum_c t_c ([c = j] - p_j) = p_j sum_c t_c - t_j
        """
        p, t = residuals
        return (p * t.sum(-1, keepdims=True) - t) * _spread(dper_example, p)

    def predict(self, logits: Float[Array, "B *rest C"]) -> Float[Array, "B *rest C"]:
        """Probabilities of the classes, softmax(z)."""
        return softmax(logits)

    def correct(
        self, logits: Float[Array, "B *rest C"], targets: Num[Array, "B *rest_or_classes"]
    ) -> Bool[Array, "B"] | Int[Array, "B"]:
        """Whether the largest logit is at the class (or largest target): at every one, where a row has several.

        With `no_target`: at how many of those that count.
        """
        classes = targets if targets.ndim < logits.ndim else targets.argmax(-1)
        right = jnp.argmax(logits, -1).astype(jnp.int32) == classes.astype(jnp.int32)
        is_number = ~jnp.isnan(logits.max(-1))  # argmax of a row with NaN is a class like any other
        right = (right & is_number).reshape(logits.shape[0], -1)
        if self.no_target is None:
            return right.all(-1)
        return (right & self._is_target(targets).reshape(right.shape)).sum(-1, dtype=jnp.int32)

    def count(self, targets: Num[Array, "B *rest_or_classes"]) -> Int[Array, "B"] | None:
        """How many targets a row has, in a loss with `no_target`. None in one without: rows count, whatever they hold.

        Probabilities (B, ..., C) are a target each.
        """
        if self.no_target is None:
            return None
        return self._is_target(targets).reshape(targets.shape[0], -1).sum(-1, dtype=jnp.int32)

    def _is_target(self, targets: Array) -> Array:
        """(B, ...) bool."""
        if jnp.issubdtype(targets.dtype, jnp.integer):
            return targets.astype(jnp.int32) != self.no_target
        return jnp.ones(targets.shape[:-1], bool)

    def _probabilities(self, logits: Array, targets: Array) -> Array:
        """t (B, ..., C), from classes or probabilities, smoothed where asked."""
        classes, is_class = logits.shape[-1], jnp.issubdtype(targets.dtype, jnp.integer)
        if targets.shape != (logits.shape[:-1] if is_class else logits.shape):
            _check_flat("SoftmaxCrossEntropy", logits, targets)
            raise ValueError(
                f"SoftmaxCrossEntropy: for outputs of shape {logits.shape} expected targets to be integer classes of "
                f"shape {logits.shape[:-1]} or probabilities of shape {logits.shape}, "
                f"got {targets.dtype} of shape {targets.shape}{_class_hint(logits, targets)}"
            )
        if classes == 1 and not is_class:
            raise ValueError(f"SoftmaxCrossEntropy: {_ONE_OUTPUT}")
        t = one_hot(targets, classes, logits.dtype) if is_class else targets.astype(logits.dtype)
        s = self.label_smoothing
        t = t if s is None else (1 - s) * t + s / classes
        return t if self.no_target is None else jnp.where(self._is_target(targets)[..., None], t, 0)


@spec
class SigmoidBinaryCrossEntropy:
    """-log of the probability that the sigmoid gives to the truth, for each output on its own.

    outputs   (B, O) logits
    targets   (B, O) of 0 and 1, or probabilities between them
    """

    formulas = (
        "p = 1 / (1 + exp(-z)); l = -sum_o(t * log(p) + (1 - t) * log(1 - p))",
        "dz = (p - t) * dl",
    )

    def check_targets(self, targets: np.ndarray, shape: tuple[int, ...]) -> None:
        """Raise ValueError for what is not a probability: labels -1 and 1, say, would drive the loss below 0."""
        _check_within(targets, 0, 1, "targets from 0 to 1 (labels 0 and 1, or probabilities)")

    def forward(self, logits: Outputs, targets: Num[Array, "B *outputs"]) -> tuple[PerExample, tuple[Outputs, Outputs]]:
        """l = sum_o t log(1 + e^-z) + (1 - t) log(1 + e^z).

        With p = 1 / (1 + e^-z), log p = -log(1 + e^-z) and log(1 - p) = -log(1 + e^z). Keeps z and t.
        """
        t = _like("SigmoidBinaryCrossEntropy", logits, targets)
        return _sum_outputs(_times(t, softplus(-logits)) + _times(1 - t, softplus(logits))), (logits, t)

    def backward(self, residuals: tuple[Outputs, Outputs], dper_example: PerExample) -> Outputs:
        """dz = (p - t) dl.

        ∂/∂z log(1 + e^-z) = -(1 - p) and ∂/∂z log(1 + e^z) = p, so ∂l/∂z = -t (1 - p) + (1 - t) p = p - t,
        at z = 0 as anywhere: 1/2 - t.
        """
        logits, t = residuals
        return (jax.lax.logistic(logits) - t) * _spread(dper_example, logits)

    def predict(self, logits: Outputs) -> Outputs:
        """Probabilities, sigmoid(z)."""
        return jax.lax.logistic(logits)

    def correct(self, logits: Outputs, targets: Num[Array, "B *outputs"]) -> Bool[Array, "B"]:
        """Whether every output is on its target's side of 1/2.

        For several labels per row that is the exact match (subset accuracy): a row with one wrong label is wrong.
        `fnnet.metrics.label_accuracy` counts the labels one by one.
        """
        right = ((logits > 0) == (targets.astype(logits.dtype) > 0.5)) & ~jnp.isnan(logits)
        return right.reshape(logits.shape[0], -1).all(-1)


class _Direct:
    """Losses whose outputs are the prediction."""

    def predict(self, outputs: Outputs) -> Outputs:
        return outputs


@spec
class SquaredError(_Direct):
    """l = sum_o (z_o - t_o)^2, summed over outputs, without a half. outputs and targets (B, O)."""

    formulas = ("l = sum_o((z - t)^2)", "dz = 2 * (z - t) * dl")

    def forward(self, outputs: Outputs, targets: Num[Array, "B *outputs"]) -> tuple[PerExample, Outputs]:
        """l = sum_o r_o^2, r = z - t. Keeps r."""
        r = outputs - _like("SquaredError", outputs, targets)
        return _sum_outputs(r * r), r

    def backward(self, r: Outputs, dper_example: PerExample) -> Outputs:
        """dz = 2 r dl."""
        return 2 * r * _spread(dper_example, r)


@spec
class AbsoluteError(_Direct):
    """l = sum_o |z_o - t_o|. outputs and targets (B, O)."""

    formulas = ("l = sum_o(abs(z - t))", "dz = sign(z - t) * dl")

    def forward(self, outputs: Outputs, targets: Num[Array, "B *outputs"]) -> tuple[PerExample, Outputs]:
        """l = sum_o |r_o|, r = z - t. Keeps r."""
        r = outputs - _like("AbsoluteError", outputs, targets)
        return _sum_outputs(jnp.abs(r)), r

    def backward(self, r: Outputs, dper_example: PerExample) -> Outputs:
        """dz = sign(r) dl; at the kink, r = 0, the gradient is 0."""
        return jnp.sign(r) * _spread(dper_example, r)


@spec
class Huber(_Direct):
    """Half the squared error up to delta from the target, linear beyond. outputs and targets (B, O).

    Source: Huber 1964, Robust estimation of a location parameter.
    """

    delta: Number = 1.0

    formulas = (
        "r = z - t; l = sum_o(where(abs(r) <= delta, r^2 / 2, delta * (abs(r) - delta / 2)))",
        "dz = min(max(r, -delta), delta) * dl",
    )

    def check(self) -> None:
        check_range(self, "delta", low=0, low_open=True)

    def forward(self, outputs: Outputs, targets: Num[Array, "B *outputs"]) -> tuple[PerExample, Outputs]:
        """l = sum_o (r_o^2 / 2 where |r_o| <= delta, else delta (|r_o| - delta / 2)), r = z - t. Keeps r."""
        r = outputs - _like("Huber", outputs, targets)
        size = jnp.abs(r)
        return _sum_outputs(jnp.where(size <= self.delta, 0.5 * r * r, self.delta * (size - 0.5 * self.delta))), r

    def backward(self, r: Outputs, dper_example: PerExample) -> Outputs:
        """dz = r where |r| <= delta, else delta sign(r), times dl: r clipped. The pieces meet smoothly."""
        return jnp.clip(r, -self.delta, self.delta) * _spread(dper_example, r)


@spec
class Poisson:
    """-log likelihood of counts t at rates e^z, without the constant log t!: l = sum_o e^z_o - t_o z_o.

    outputs (B, O) are log rates, targets (B, O) counts.
    """

    formulas = ("l = sum_o(exp(z) - t * z)", "dz = (exp(z) - t) * dl")

    def check_targets(self, targets: np.ndarray, shape: tuple[int, ...]) -> None:
        """Raise ValueError for a count below 0."""
        _check_within(targets, 0, np.inf, "counts of 0 or more")

    def forward(
        self, log_rates: Outputs, targets: Num[Array, "B *outputs"]
    ) -> tuple[PerExample, tuple[Outputs, Outputs]]:
        """l = sum_o e^z_o - t_o z_o. Keeps the rates e^z and t."""
        t, rates = _like("Poisson", log_rates, targets), jnp.exp(log_rates)
        finite = jnp.minimum(log_rates, 800)  # e^800 is inf in float64, and inf - inf would be NaN
        return _sum_outputs(rates - _times(t, finite)), (rates, t)

    def backward(self, residuals: tuple[Outputs, Outputs], dper_example: PerExample) -> Outputs:
        """dz = (e^z - t) dl."""
        rates, t = residuals
        return (rates - t) * _spread(dper_example, rates)

    def predict(self, log_rates: Outputs) -> Outputs:
        """Rates, e^z."""
        return jnp.exp(log_rates)


def _sum_outputs(terms: Array) -> Array:
    """(B, ...) -> (B,)."""
    return terms.reshape(terms.shape[0], -1).sum(-1)


def _spread(dper_example: Array, outputs: Array) -> Array:
    """(B,) -> (B, 1, ...), to multiply every output of an example."""
    return dper_example.reshape((-1,) + (1,) * (outputs.ndim - 1))


def _times(weight: Array, value: Array) -> Array:
    """weight * value, where a weight of 0 takes even an infinite value out."""
    return jnp.where(weight == 0, 0, weight * value)


def one_hot(classes: Array, count: int, dtype: DTypeLike) -> Array:
    """One-hot rows; NaN in the row of a class that does not exist."""
    classes = classes.astype(jnp.int32)[..., None]
    each = jnp.arange(count, dtype=jnp.int32).reshape((1,) * (classes.ndim - 1) + (-1,))
    return jnp.where((classes >= 0) & (classes < count), (classes == each).astype(dtype), jnp.nan)


def _class_hint(logits: Array, targets: Array) -> str:
    """What to do about targets that are neither classes nor probabilities, where their shape tells."""
    if targets.shape == logits.shape[:-1]:
        return "; write np.asarray(y).astype(int) for classes, or use SquaredError for values"
    is_column = targets.shape == (logits.shape[0], 1)
    return "; write np.asarray(y)[:, 0].astype(int) for classes" if is_column else ""


def _like(loss: str, outputs: Array, targets: Array) -> Array:
    """Targets in the outputs' dtype. Raises ValueError unless the shapes agree: (B,) would broadcast wrongly."""
    if targets.shape != outputs.shape:
        _check_flat(loss, outputs, targets)
        hint = ""
        if targets.shape == outputs.shape[:-1]:
            count = outputs.shape[-1]
            classes = f"; for classes take SoftmaxCrossEntropy, or targets jax.nn.one_hot(y, {count})"
            hint = "; write np.asarray(y)[..., None]" if count == 1 else classes
        raise ValueError(f"{loss}: expected targets of shape {outputs.shape}, got {targets.shape}{hint}")
    return targets.astype(outputs.dtype)


def _check_flat(loss: str, outputs: Array, targets: Array) -> None:
    """Raise ValueError where targets are right, (B,) or (B, O), and outputs have axes too many."""
    rows, last = outputs.shape[0], outputs.shape[-1]
    if outputs.ndim > 2 and targets.shape in ((rows,), (rows, last), (rows, 1)):
        raise ValueError(
            f"{loss}: expected outputs of shape ({rows}, {last}) for targets of shape {targets.shape}, got "
            f"{outputs.shape}; put Flatten() before the first Dense, or LastStep() after a Recurrent"
        )


def _check_within(targets: np.ndarray, low: float | int, high: float | int, expected: str) -> None:
    """NaN passes: `fit` names its row once the loss is NaN."""
    if ((targets < low) | (targets > high)).any():
        raise ValueError(f"expected {expected}, got {np.nanmin(targets)} to {np.nanmax(targets)}")


def _check_sums(targets: np.ndarray) -> None:
    """Rows of probabilities sum to 1, within a thousandth; NaN passes here, too."""
    totals = targets.sum(-1, dtype=np.float64)
    if (np.abs(totals - 1) > 1e-3).any():
        raise ValueError(
            f"expected probabilities that sum to 1 in every row, got sums from {np.nanmin(totals):g} to "
            f"{np.nanmax(totals):g}; where several labels may be true at once, use SigmoidBinaryCrossEntropy"
        )
