"""The landscape against `fnnet.loss` in a loop, and its directions against the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch, landscape, random_direction
from fnnet.inspection._landscape import _moved
from fnnet.layers import DenseParams

DRAW = np.random.default_rng(0)
DATA = Batch(DRAW.normal(size=(7, 3)), DRAW.integers(0, 2, 7).astype(np.int32))
SIZES = ((3, 4), (4, 2))
MODEL = fnnet.mlp((3, 4, 2), penalty=fnnet.L2(0.1))


def network(seed, dtype="float64"):
    draw = np.random.default_rng(seed)
    first, last = ((draw.normal(size=(i, o)).astype(dtype), draw.normal(size=o).astype(dtype)) for i, o in SIZES)
    return DenseParams(*first), (), DenseParams(*last)


def drawn(dtype="float64"):
    params = network(0, dtype)
    return params, tuple(jax.jit(random_direction)(params, jax.random.key(i)) for i in (1, 2))


@jax.jit
def by_hand(params, directions, places):
    moved = jax.tree.map(lambda p, *d: p + sum(a * b for a, b in zip(places, d, strict=True)), params, *directions)
    return fnnet.loss(MODEL, moved, *DATA[:2])


def test_every_filter_of_a_direction_is_as_long_as_the_networks():
    params, (first, second) = jax.tree.map(np.asarray, drawn("float32"))
    for layer in (0, 2):
        lengths = [np.linalg.norm(p[layer].w, axis=0) for p in (params, first, second)]
        np.testing.assert_allclose(lengths, [lengths[0]] * 3, rtol=1e-5)
        assert not np.any(first[layer].b)
        cosines = (first[layer].w * second[layer].w).sum(0) / lengths[0] ** 2
        assert np.abs(cosines).max() < 0.99
        assert first[layer].w.dtype == np.float32
    assert len({round(float(w), 6) for w in jax.tree.leaves(first)[0].ravel()}) == 12


def test_filters_end_in_the_last_axis_and_what_does_not_learn_stays():
    kernel = np.ones((3, 3, 2, 4), np.float32) * np.arange(4, dtype=np.float32)
    params = {"kernel": kernel, "scale": np.ones(4, np.float32), "count": np.ones((2, 2), np.int32)}
    direction = jax.jit(random_direction)(params, jax.random.key(0))
    np.testing.assert_allclose(
        np.linalg.norm(np.asarray(direction["kernel"]).reshape(18, 4), axis=0), np.sqrt(18) * np.arange(4), rtol=1e-5
    )
    assert not np.any(direction["scale"])
    assert not np.any(direction["count"])


def test_layers_of_one_shape_have_directions_of_their_own():
    d = random_direction({"a": jnp.ones((4, 3)), "b": jnp.ones((4, 3))}, jax.random.key(0))
    assert np.abs(d["a"] - d["b"]).min() > 1e-3


def test_directions_are_normally_distributed():
    d = np.asarray(random_direction({"w": jnp.ones((200, 100))}, jax.random.key(0))["w"])
    np.testing.assert_allclose([d.mean(), (d**2).mean(), (d**4).mean()], [0, 1, 3], atol=0.1)


def test_every_parameter_moves_in_its_own_dtype():
    params = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2), "count": jnp.int32(3)}
    directions = ({"a": jnp.full(2, 4.0), "b": jnp.full(2, 2.0, jnp.bfloat16), "count": jnp.int32(1)},) * 2
    moved = _moved(params, directions, jnp.array([0.5, 0.25]))
    assert {name: (a.dtype, np.asarray(a, float).tolist()) for name, a in moved.items()} == {
        "a": ("bfloat16", [4, 4]), "b": ("float32", [2.5, 2.5]), "count": ("int32", 3)
    }  # fmt: skip


@pytest.mark.usefixtures("float64")
def test_a_plane_is_the_loss_in_a_loop():
    params, directions = drawn()
    plane = landscape(MODEL, params, DATA, directions, reach=0.5, points=5)
    offsets = np.array([-0.5, -0.25, 0, 0.25, 0.5])
    np.testing.assert_array_equal(plane.offsets, offsets)
    want = [[by_hand(params, directions, (a, b)) for b in offsets] for a in offsets]
    np.testing.assert_allclose(plane.loss, want, rtol=1e-12)
    together = landscape(MODEL, params, DATA, directions, reach=0.5, points=5, at_once=10)
    np.testing.assert_allclose(together.loss, want, rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_a_line_leads_from_one_network_to_another():
    params, _ = drawn()
    other = network(5)
    line = landscape(MODEL, params, DATA, (jax.tree.map(np.subtract, other, params),), points=3)
    assert line.loss.shape == (3,)
    ends = [by_hand(p, (params,), (np.float64(0),)) for p in (params, other)]
    np.testing.assert_allclose(line.loss[1:], ends, rtol=1e-12)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("directions", "settings", "message"),
    [
        ((), {}, "one or two trees"),
        (lambda d: d * 2, {}, "one or two trees"),
        (lambda d: (d[0][:1],), {}, "trees like params"),
        (lambda d: (jax.tree.map(lambda a: a[..., :1], d[0]),), {}, r"shape \(3, 4\), got \(3, 1\)"),
        (lambda d: d, {"points": 4}, "odd"),
        (lambda d: d, {"points": 1}, "odd"),
        (lambda d: d, {"at_once": 0}, "at_once"),
    ],
)
def test_what_does_not_fit_is_an_error(directions, settings, message):
    params, drawn_directions = drawn("float32")
    directions = directions(drawn_directions) if callable(directions) else directions
    with pytest.raises(ValueError, match=message):
        landscape(MODEL, params, DATA, directions, **settings)
