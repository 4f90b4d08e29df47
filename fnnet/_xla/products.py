"""Matrix products, of factors that are rounded to a shorter dtype where a layer says so.

Works around: on a CPU only a product of bfloat16 whose factors lie in memory row by row uses the machine's instructions
              for it. XLA folds transposes into products, so that nothing is gained by rounding, or, where an
              elementwise function stands between the two, refuses the program ("Unsupported element type for
              DotThunk"). So factors are rounded, then transposed, and laid out in rows before they are multiplied.
Gains:        `python -m experiments.benchmarks.tricks --tricks products`.
Can go:       when products with transposed factors are as fast. The plain version is a^T b of the rounded factors.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

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
    """a or a^T, rounded and laid out for `product`; made once where a scan multiplies by it at every step."""
    if rounded is None:
        return a.swapaxes(-1, -2) if is_transposed else a
    a = a.astype(rounded)
    return _in_rows(materialized(a.swapaxes(-1, -2)) if is_transposed else a)


def _in_rows(a: Factor) -> Factor:
    if jax.default_backend() != "cpu":
        return a
    return with_layout_constraint(a, Layout(tuple(range(a.ndim))))
