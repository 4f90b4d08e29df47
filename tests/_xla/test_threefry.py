"""The generator written out gives JAX's own numbers, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet._xla.threefry import quick, threefry

KEY = jax.random.key(12)
DRAWS = {
    "uint8": lambda key: jax.random.bits(key, (3, 5), jnp.uint8),
    "uint16": lambda key: jax.random.bits(key, (7,), jnp.uint16),
    "uint32": lambda key: jax.random.bits(key, (4, 3, 2), jnp.uint32),
    "none": lambda key: jax.random.bits(key, (0, 3)),
    "one": lambda key: jax.random.bits(key),
    "normal": lambda key: jax.random.normal(key, (9, 10), jnp.float32),
    "bfloat16": lambda key: jax.random.normal(key, (9, 10), jnp.bfloat16),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (100,)),
    "permutation": lambda key: jax.random.permutation(key, 50),
    "split": lambda key: jax.random.normal(jax.random.split(key, 3)[2], (4,)),
    "split in two axes": lambda key: jax.random.normal(jax.random.split(key, (2, 3))[1, 2], (4,)),
    "fold_in": lambda key: jax.random.normal(jax.random.fold_in(key, 2**32 - 1), (4,)),
    "many keys": lambda key: jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (4,)))(jnp.arange(3)),
}


@pytest.mark.parametrize(
    ("key", "counters", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_the_numbers_are_those_of_its_authors(key, counters, expected):
    """The known answers that the authors publish with their code, Random123."""
    assert tuple(map(int, threefry(jnp.array(key, jnp.uint32), *map(jnp.uint32, counters)))) == expected


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_are_those_of_jax(name):
    np.testing.assert_array_equal(DRAWS[name](quick(KEY)), DRAWS[name](KEY))


def test_float64_too():
    with jax.enable_x64(True):
        np.testing.assert_array_equal(
            jax.random.normal(quick(KEY), (5,), jnp.float64), jax.random.normal(KEY, (5,), jnp.float64)
        )


def test_keys_of_another_generator_come_back_as_they_are():
    key = jax.random.key(0, impl="rbg")
    assert quick(key) is key
    assert quick(quick(KEY)).dtype == quick(KEY).dtype
    raw = jax.random.key_data(KEY)
    assert quick(raw) is raw


def test_keys_of_the_old_numbering_come_back_as_they_are():
    with jax.threefry_partitionable(False):
        assert quick(KEY) is KEY


def test_a_key_may_be_made_from_a_seed():
    made = jax.random.key(2**32 + 5, impl=jax.random.key_impl(quick(KEY)))
    np.testing.assert_array_equal(jax.random.key_data(made), jax.random.key_data(jax.random.key(2**32 + 5)))


def test_more_numbers_than_can_be_counted_are_refused():
    with pytest.raises(ValueError, match="fewer than"):
        jax.jit(lambda key: jax.random.bits(key, (2**16, 2**16))).lower(quick(KEY))
