"""An array that is computed before anything reads it.

Works around: XLA fuses the elementwise layers before a transpose into it. It computes them a second time then, entry by
              entry in the order of the transpose, which is slow in memory.
Gains:        a tenth to a fifth of a training step of residual blocks with batch norm
              (`python -m experiments.benchmarks.tricks`).
Can go:       when XLA no longer does so, or respects `lax.optimization_barrier` on a CPU. The plain version is x.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def materialized(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x as it is. No number is below and above 0, which the compiler does not know: it has to choose between arrays."""
    if jax.default_backend() != "cpu":
        return x
    first = x.ravel()[0]
    never = (first < 0) & (first > 0)
    return lax.cond(never, jnp.zeros_like, lambda x: x, x)
