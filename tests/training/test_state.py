"""What is asked of a state: its floating leaves, by name, and whether every number in it is finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.training.state import all_finite, floating_leaves

GOOD = np.arange(3, dtype=np.float32)
BAD = np.array([1, np.nan, 2], np.float32)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ((), True),
        ({"count": jnp.int32(3), "key": jax.random.key(0)}, True),
        ((GOOD, 1.0, GOOD.astype(np.float64)), True),
        ((GOOD, BAD), False),
        ((BAD, GOOD), False),
        ((GOOD, -np.inf), False),
        ((jnp.asarray(GOOD, jnp.bfloat16), jnp.asarray(BAD, jnp.bfloat16)), False),
    ],
    ids=["nothing", "no floats", "finite", "nan at the end", "nan at the start", "infinite", "bfloat16"],
)
@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["plain", "compiled"])
def test_a_tree_is_finite_where_every_floating_number_is(tree, expected, run):
    got = run(all_finite)(tree)
    assert isinstance(got, jax.Array)
    assert (got.dtype, got.shape, bool(got)) == (jnp.bool_, (), expected)


def test_floating_leaves_are_named_as_python_writes_them():
    params = fnnet.init(fnnet.mlp((2, 1)), jax.random.key(0))
    tree = ({"net": params, "seen": jnp.int32(3)}, 0.5, jax.random.key(0))
    found = floating_leaves(tree)
    assert list(found) == ["[0]['net'][0].w", "[0]['net'][0].b", "[1]"]
    assert [*found.values()] == [params[0].w, params[0].b, 0.5]
