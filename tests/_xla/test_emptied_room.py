"""With the plain versions in place of every trick for the compiler, the same networks come out."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._xla import compile_once, in_place, one_row, shuffling, threefry

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
MODEL = fnnet.mlp((3, 8, 8, 2), dropout=0.2)
PLAIN = {
    threefry.quick: lambda key: key,
    shuffling.shuffled: lambda key, n: jnp.argsort(jax.random.bits(key, (n,), jnp.uint32)).astype(jnp.int32),
    in_place.overwriting: lambda updates, grads: updates,
    compile_once.jit_once: jax.jit,
    one_row.drawn: lambda distribution, key, shape, dtype, **settings: distribution(key, shape, dtype, **settings),
}


def trained():
    optimizer = fnnet.Adam(0.01)
    state = fnnet.init_state(MODEL, optimizer, jax.random.key(0))
    start = jax.tree.leaves(state.params)
    state, history = fnnet.train(
        MODEL, optimizer, state, DATA, epochs=3, batch_size=4, shuffle=jax.random.key(1), validation=DATA
    )
    return start, jax.tree.leaves((state.params, history))


@pytest.fixture
def emptied(monkeypatch):
    """Every name in fnnet that means a trick means its plain version."""
    replaced = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith("fnnet.") or name.startswith("fnnet._xla"):
            continue
        for attribute, value in list(vars(module).items()):
            if callable(value) and any(value is trick for trick in PLAIN):
                monkeypatch.setattr(module, attribute, PLAIN[value])
                replaced += 1
    assert replaced >= len(PLAIN)
    jax.clear_caches()
    yield
    jax.clear_caches()


START, END = trained()


def test_the_same_start_and_the_same_end(emptied):
    start, end = trained()
    for have, want in zip(start, START, strict=True):
        np.testing.assert_array_equal(have, want)
    for have, want in zip(end, END, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_the_checker_checks(emptied):
    fnnet.check_gradients(fnnet.Dense(2), in_shape=(3,), key=jax.random.key(0)).raise_if_failed()


@pytest.mark.parametrize("trick", PLAIN, ids=lambda trick: trick.__name__)
def test_every_trick_says_when_it_can_go(trick):
    text = sys.modules[trick.__module__].__doc__
    assert [word for word in ("Works around:", "Gains:", "Can go:") if word in text] == [
        "Works around:",
        "Gains:",
        "Can go:",
    ]
