"""With the plain versions in place of every trick for the compiler, the same networks come out."""

import importlib
import pkgutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._xla import (
    channel_sums,
    compile_once,
    convolution_options,
    convolutions,
    in_place,
    interleaving,
    materialized,
    one_row,
    products,
    shuffling,
    threefry,
)
from tests._xla import plain_convolutions

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
MODEL = fnnet.mlp((3, 8, 8, 2), dropout=0.2)
IMAGES = Batch(RNG.integers(0, 256, (9, 6, 6)).astype(np.uint8), RNG.integers(0, 2, 9).astype(np.int32))
CNN = fnnet.cnn((6, 6), (3, 4), (2,), normalization=fnnet.BatchNorm(), scale=1 / 255)


def sum_of_placed(parts, window, image):
    return sum(window.placed(part, where, image) for part, where in zip(parts, window.positions(), strict=True))


def largest_of_seen(padded, window, outputs):
    return jnp.stack([window.seen(padded, where, outputs) for where in window.positions()]).max(0)


def factor(a, rounded, *, is_transposed):
    return (a.swapaxes(-1, -2) if is_transposed else a).astype(rounded or a.dtype)


def product(a, b, rounded, transposed=None):
    left, right = (factor(m, rounded, is_transposed=transposed == name) for name, m in (("a", a), ("b", b)))
    return jnp.matmul(left, right, preferred_element_type=a.dtype)


PLAIN = {
    channel_sums.channel_sums: lambda a: a.sum(tuple(range(a.ndim - 1))),
    convolution_options.for_convolutions: lambda program, *static: program,
    convolutions.convolved: plain_convolutions.convolved,
    convolutions.kernel_gradient: plain_convolutions.kernel_gradient,
    convolutions.input_gradient: plain_convolutions.input_gradient,
    interleaving.summed: sum_of_placed,
    interleaving.largest: largest_of_seen,
    threefry.quick: lambda key: key,
    shuffling.shuffled: lambda key, n: jnp.argsort(jax.random.bits(key, (n,), jnp.uint32)).astype(jnp.int32),
    in_place.overwriting: lambda updates, grads: updates,
    compile_once.jit_once: jax.jit,
    materialized.materialized: lambda x: x,
    products.factor: factor,
    products.product: product,
    one_row.drawn: lambda distribution, key, shape, dtype, **settings: distribution(key, shape, dtype, **settings),
}
NO_TRICKS = {shuffling.at}
"""What others use of the room that has no plainer version."""


def trained(model, data):
    """By `fit`, so that what only `fit` compiles with is in it."""
    optimizer = fnnet.Adam(0.01)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    start = jax.tree.leaves(state.params)
    state, history = fnnet.fit(
        model, optimizer, state, data, epochs=3, batch_size=4, shuffle=jax.random.key(1), validation=data,
        progress=False,
    )  # fmt: skip
    return start, jax.tree.leaves((state.params, history))


@pytest.fixture
def emptied(monkeypatch):
    """Every name in fnnet that means a trick means its plain version."""
    replaced = 0
    for name, module in list(sys.modules.items()):
        if not name.startswith("fnnet.") or name.startswith("fnnet._xla"):
            continue
        for attribute, value in list(vars(module).items()):
            if getattr(value, "__module__", "").startswith("fnnet._xla") and value not in NO_TRICKS:
                monkeypatch.setattr(module, attribute, PLAIN[value])
                replaced += 1
    assert replaced >= len(PLAIN)
    jax.clear_caches()
    yield
    jax.clear_caches()


CASES = {"dense": (MODEL, DATA), "convolutional": (CNN, IMAGES)}


@pytest.fixture
def with_tricks(optimized, name):
    """Optimized, since XLA's quick compilation gives batch norm in a scan other numbers."""
    return trained(*CASES[name])


@pytest.mark.parametrize("name", ["dense", pytest.param("convolutional", marks=pytest.mark.slow)])
def test_the_same_start_and_the_same_end(with_tricks, emptied, name):
    (start, end), (wanted_start, wanted_end) = trained(*CASES[name]), with_tricks
    for have, want in zip(start, wanted_start, strict=True):
        np.testing.assert_array_equal(have, want)
    for have, want in zip(end, wanted_end, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-4 if name == "convolutional" else 1e-6)


def test_the_checker_checks(emptied):
    fnnet.check_gradients(fnnet.Dense(2), in_shape=(3,), key=jax.random.key(0)).raise_if_failed()


@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(fnnet._xla.__path__)])
def test_every_trick_says_when_it_can_go(module):
    text = importlib.import_module(f"fnnet._xla.{module}").__doc__
    assert [word for word in ("Works around:", "Gains:", "Can go:") if word in text] == [
        "Works around:",
        "Gains:",
        "Can go:",
    ]
