"""A permutation by radix sort: the plain sort of random bits, and uniform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet._xla.shuffling import shuffled


@pytest.mark.parametrize("n", [1, 2, 23, 1000])
def test_shuffled_is_a_permutation_that_depends_on_its_key(n):
    rows = np.asarray(shuffled(jax.random.key(0), n))
    np.testing.assert_array_equal(np.sort(rows), np.arange(n))
    if n > 2:
        assert (rows != np.asarray(shuffled(jax.random.key(1), n))).any()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 23, 2**16, 2**16 + 1])
def test_shuffled_is_the_plain_sort_of_random_bits(n):
    expected = jnp.argsort(jax.random.bits(jax.random.key(7), (n,), jnp.uint32))
    rows = shuffled(jax.random.key(7), n)
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == jnp.int32


def test_shuffled_is_uniform():
    """All 24 orders of four things, 24,000 times: chi squared with 23 degrees of freedom under its 1e-6 quantile."""
    rows = np.asarray(jax.vmap(lambda k: shuffled(k, 4))(jax.random.split(jax.random.key(0), 24_000)))
    counts = np.unique(rows @ np.array([64, 16, 4, 1]), return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 71.5
