"""Layers made of layers: the shapes that they give, and where their parts draw from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet

KEY = jax.random.key(3)
COMPOSITES = [
    fnnet.Parallel((fnnet.Dense(2), fnnet.Dense(3), fnnet.Tanh())),
    fnnet.Parallel((fnnet.Dense(5), fnnet.Tanh()), join="add"),
    fnnet.Parallel((fnnet.Tanh(),)),
    fnnet.Parallel((fnnet.Tanh(),), join="add"),
    fnnet.Residual(fnnet.Dense(5)),
    fnnet.Residual(fnnet.Dense(4), fnnet.Dense(4)),
]


@pytest.mark.parametrize("in_shape", [(5,), (3, 5), (2, 4, 5)], ids=str)
@pytest.mark.parametrize("layer", COMPOSITES, ids=repr)
def test_init_gives_the_shape_that_forward_gives(layer, in_shape):
    params, out_shape = layer.init(KEY, in_shape)
    y, _ = layer.forward(params, jnp.ones((7, *in_shape)))
    assert y.shape == (7, *out_shape)


def test_outputs_are_joined_along_the_last_axis():
    layer, x = fnnet.Parallel((fnnet.Identity(), fnnet.Rescale(2.0))), jnp.arange(12.0).reshape(2, 3, 2)
    y, _ = layer.forward(((), ()), x)
    np.testing.assert_array_equal(y, np.concatenate([x, 2 * x], axis=2))


def test_every_part_draws_from_a_key_of_its_own():
    """The same in every version: seeds name starts."""
    dense = fnnet.Dense(3)
    drawn = [dense.init(jax.random.fold_in(KEY, i), (5,))[0].w for i in range(3)]
    for layer in (fnnet.Parallel((dense, dense, dense)), fnnet.Serial((dense, dense, dense))):
        params, _ = layer.init(KEY, (5,) if isinstance(layer, fnnet.Parallel) else (3,))
        if isinstance(layer, fnnet.Parallel):
            np.testing.assert_array_equal([p.w for p in params], drawn)
        assert len({float(p.w[0, 0]) for p in params}) == 3
    params, _ = fnnet.Residual(dense, dense).init(KEY, (5,))
    np.testing.assert_array_equal([params.inner.w, params.shortcut.w], drawn[:2])


def test_every_part_drops_by_a_key_of_its_own():
    """The first part by fold_in(key, 0), the second by fold_in(key, 1)."""
    noise, x = fnnet.Dropout(0.5), jnp.ones((4, 32))
    kept = [noise.forward((), x, key=jax.random.fold_in(KEY, i))[0] for i in range(2)]
    side_by_side, _ = fnnet.Parallel((noise, noise)).forward(((), ()), x, key=KEY)
    np.testing.assert_array_equal(side_by_side, np.concatenate(kept, axis=1))
    silent = fnnet.Serial((noise, fnnet.Rescale(3.0)))
    layer = fnnet.Residual(noise, silent)
    params = layer.init(KEY, (32,))[0]
    y, _ = layer.forward(params, x, key=KEY)
    inner, _ = noise.forward((), x, key=jax.random.fold_in(KEY, 0))
    other, _ = silent.forward(params.shortcut, x, key=jax.random.fold_in(KEY, 1))
    np.testing.assert_array_equal(y, inner + other)


def test_parameters_of_a_serial_may_be_a_list(untyped):
    """As they come from what keeps lists, such as JSON."""
    layer, x = fnnet.Serial((fnnet.Dense(3), fnnet.Tanh())), jnp.ones((2, 5))
    params, _ = layer.init(KEY, (5,))
    np.testing.assert_array_equal(layer.forward([*params], x)[0], layer.forward(params, x)[0])


@pytest.mark.parametrize("join", ["add", "concatenate"])
def test_parts_of_two_dtypes_are_not_joined(untyped, join):
    """Bytes beside floats would become floats without a word, and only one of the two has a gradient."""
    layer = fnnet.Parallel((fnnet.Identity(), fnnet.Rescale(1 / 255)), join=join)
    with pytest.raises(
        TypeError, match=f"^Parallel.forward: expected outputs of one dtype to {join}, got uint8 and flo"
    ):
        layer.forward(((), ()), jnp.ones((2, 3), jnp.uint8))
