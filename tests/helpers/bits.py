"""Equality to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np


def bits(tree):
    """Every array as bytes, keys included: equal only if the very same bits."""

    def one(a):
        a = jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a
        return np.asarray(a).dtype, np.asarray(a).tobytes()

    return jax.tree.map(one, tree)
