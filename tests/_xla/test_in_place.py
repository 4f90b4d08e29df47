"""Updates ordered after the backward pass are the same updates."""

import jax.numpy as jnp
import numpy as np
import pytest

from fnnet._xla.in_place import overwriting
from tests.helpers.bits import bits


@pytest.mark.parametrize("gradient", [-2.0, -0.5, 0.0, 0.5, 2.0, np.inf, np.nan])
def test_updates_do_not_depend_on_the_gradient_they_wait_for(gradient):
    updates = (jnp.array([1.0, 2.0]), jnp.array([[np.nan]]))
    for first in ((), (jnp.zeros((0, 3)),)):
        grads = (*first, jnp.array([gradient, 0.0]), jnp.ones((1, 1)))
        assert bits(overwriting(updates, grads)) == bits(updates)
