"""A random permutation as a radix sort.

Works around: XLA's sort on CPUs takes several times as long for pairs (what `argsort` needs) as for plain integers.
Gains:        a permutation of 60,000 rows in about a third of the time (`python -m experiments.benchmarks.tricks`).
Can go:       when `jnp.argsort(jax.random.bits(key, (n,)))` takes no longer; that is the plain version, to the bit.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


def shuffled(key: PRNGKeyArray, n: int) -> Int[Array, "n"]:
    """0 .. n - 1 in random order: the numbers sorted by 32 random bits each, `argsort(random.bits(key, (n,)))`.

    Equal bits (n^2 / 2^33 pairs are expected) keep their order, a bias of one pair in 2^32. The bits are sorted as
    digits, lowest first: each pass sorts integers with a digit in the high bits and its position in the low bits, which
    keeps the order of the passes before.
    """
    bits = jax.random.bits(key, (n,), jnp.uint32)
    place_bits = max(1, (n - 1).bit_length())
    places = rows = jnp.arange(n, dtype=jnp.uint32)
    for done in range(0, 32, 32 - place_bits):
        digits = at(bits, rows) >> done << place_bits  # what is above the digit is shifted out
        rows = at(rows, jnp.sort(digits | places) & ((1 << place_bits) - 1))
    return rows.astype(jnp.int32)


def at(a: Array, rows: Array) -> Array:
    """a[rows], without the code for rows that do not exist."""
    return a.at[rows].get(mode="promise_in_bounds")
