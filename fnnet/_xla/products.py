"""Matrix products, of factors that are rounded to a shorter dtype where a layer says so.

Works around: XLA folds a transpose into the product, and on a CPU a product of bfloat16 with a transposed factor does
              not use the machine's instructions for it, so that nothing is gained by rounding. Here a factor is
              rounded, then transposed, and then multiplied.
Gains:        `python -m experiments.benchmarks.tricks --tricks products`.
Can go:       when products with transposed factors are as fast. The plain version is a^T b of the rounded factors.
"""

from typing import Any, Literal

import jax.numpy as jnp

from fnnet._values import at_least_float32
from fnnet._xla.materialized import materialized

Factor = Any  # an array; in the proofs of gradients, symbols


def product(a: Factor, b: Factor, rounded: str | None, transposed: Literal["a", "b"] | None = None) -> Factor:
    """a b, or a^T b, or a b^T, over the last two axes.

    Where a dtype is named, both factors are rounded to it first and the sums are taken in float32 or better.
    """
    left = factor(a, rounded, is_transposed=transposed == "a")
    right = factor(b, rounded, is_transposed=transposed == "b")
    if rounded is None:
        return left @ right
    return jnp.matmul(left, right, preferred_element_type=at_least_float32(a.dtype)).astype(a.dtype)


def factor(a: Factor, rounded: str | None, *, is_transposed: bool) -> Factor:
    """What `product` multiplies, for many products with the same factor (as in a scan): it is left as it is then."""
    a = a if rounded is None else a.astype(rounded)
    if not is_transposed:
        return a
    return a.swapaxes(-1, -2) if rounded is None else materialized(a.swapaxes(-1, -2))
