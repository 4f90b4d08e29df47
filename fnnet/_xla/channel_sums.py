"""Sums over everything but the channels as a product with ones.

Works around: XLA's CPU backend sums the rows of a tall matrix in several passes.
Gains:        a third of the sum's time, 74,000 rows of 16 channels; of a whole training step, nothing that could be
              measured (`python -m experiments.benchmarks.tricks`).
Can go:       when a reduction of the leading axes is as fast as a matrix product. The plain version is `.sum`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def channel_sums(a: Float[Array, "*rows C"]) -> Float[Array, "C"]:
    """The sum over all axes but the last."""
    rows = a.reshape(-1, a.shape[-1])
    if jax.default_backend() != "cpu" or jnp.finfo(a.dtype).bits < 32:
        return rows.sum(0)
    together = next((n for n in (4, 2) if len(rows) % n == 0), 1) if rows.shape[1] < 64 else 1
    wide = rows.reshape(-1, together * rows.shape[1])
    return (jnp.ones(len(wide), a.dtype) @ wide).reshape(together, -1).sum(0)
