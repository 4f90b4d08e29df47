"""Measures of how good predictions are, over all rows, exact."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Num


def accuracy(
    probabilities: Float[Array, "B C"], classes: Integer[Array, "B"], weights: Num[Array, "B"] | None = None
) -> Float[Array, ""]:
    """Share of rows whose largest entry stands at the class, (), weighted where weights are given."""
    right = (probabilities.argmax(-1).astype(jnp.int32) == classes.astype(jnp.int32)).astype(jnp.float32)
    w = jnp.ones_like(right) if weights is None else weights.astype(jnp.float32)
    return (w * right).sum() / w.sum()


def confusion_matrix(
    predicted: Integer[Array, "B"], classes: Integer[Array, "B"], count: int, weights: Num[Array, "B"] | None = None
) -> Num[Array, "C C"]:
    """Rows the true class, columns the predicted one: how many (or what weight of) rows fell there.

    count is the number of classes. Counts are int32; with weights, sums in their dtype. Rows with a class
    outside 0 .. count - 1 raise no error under jit and are left out.
    """
    predicted, classes = predicted.astype(jnp.int32), classes.astype(jnp.int32)
    ones = jnp.ones(classes.shape, jnp.int32) if weights is None else weights
    inside = (predicted >= 0) & (predicted < count) & (classes >= 0) & (classes < count)
    flat = jnp.where(inside, classes * count + predicted, count * count)
    return jnp.zeros(count * count, ones.dtype).at[flat].add(ones, mode="drop").reshape(count, count)
