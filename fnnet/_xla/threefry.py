"""JAX's random bits written out: the same numbers, from programs that compile in a third of the time.

Works around: on CPUs JAX writes its generator as a loop, which XLA turns into ten kernels for every tensor drawn.
Gains:        2 to 8 % of the compile time of a first network's parameters (`python -m experiments.benchmarks.tricks`),
              once half of the time until it trained.
Can go:       when `jax.random.normal` compiles as fast; the plain version is the key itself, to the bit.
"""

import math
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def quick(key: PRNGKeyArray) -> PRNGKeyArray:
    """A key from which `jax.random` draws what it draws from `key`, by a program that compiles faster.

    For use inside a program; what leaves it (a state's key) stays as it was. Keys of another generator than
    threefry, or with its old numbering (jax_threefry_partitionable=False), come back as they are. Raises TypeError for
    a number.
    """
    if jnp.ndim(key) == 0 and not jnp.issubdtype(jnp.result_type(key), jax.dtypes.prng_key):
        raise TypeError(f"expected a key such as jax.random.key(0), got {jnp.result_type(key)}")
    is_known = jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and str(jax.random.key_impl(key)) == "threefry2x32"
    if not is_known or not jax.config.jax_threefry_partitionable:  # pyright: ignore[reportAttributeAccessIssue]
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_IMPLEMENTATION)


def threefry(key: UInt32[Array, "2"], high: Any, low: Any) -> tuple[Any, Any]:
    """Two random uint32 for two counters: 20 rounds of add, rotate, xor, and a key added after every fourth.

    Source: Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3 (Threefry-2x32-20).
    """
    key = jax.lax.optimization_barrier(key)  # else the drawing of the key is compiled into every draw from it
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    high, low = high + keys[0], low + keys[1]
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            high = high + low
            low = high ^ (low << jnp.uint32(rotation) | low >> jnp.uint32(32 - rotation))
        high = high + keys[(block + 1) % 3]
        low = low + keys[(block + 2) % 3] + jnp.uint32(block + 1)
    return high, low


def _numbered(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """`threefry` of 0, 1, 2, ... in the shape asked for."""
    count = math.prod(shape)
    if count >= 2**32:
        raise ValueError(f"expected fewer than 2^32 random numbers at once, got shape {shape}; draw them in parts")
    low = jnp.arange(count, dtype=jnp.uint32).reshape(shape)
    return threefry(key, jnp.zeros_like(low), low)


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = _numbered(key, shape)
    if width == 64:
        return high.astype(jnp.uint64) << jnp.uint64(32) | low.astype(jnp.uint64)
    return (high ^ low).astype(f"uint{width}")


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_numbered(key, shape), axis=-1)


def _fold_in(key: Array, data: Any) -> Array:
    return jnp.stack(threefry(key, jnp.uint32(0), jnp.asarray(data, jnp.uint32)))


def _seed(seed: Any) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


_IMPLEMENTATION = jax.extend.random.define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in, name="threefry_written_out", tag="q"
)
