"""Distortions: what they compute, how their draws are distributed, and what they refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.layers.augmentation import Affine, Cutout, Elastic, Mirror, Noise

pytestmark = pytest.mark.usefixtures("float64")

KEY = jax.random.key(3)
MANY = 4000
LAYERS = [
    Affine(rotation=10, scale=0.1, shear=0.1, shift=1.5),
    Elastic(30, 3),
    Elastic(30, 3, affine=Affine(shift=2)),
    Mirror(),
    Cutout(3),
    Noise(0.3),
]
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS, ids=repr)


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 1, shape)


@partial(jax.jit, static_argnums=(1, 2))
def _places(layer, count, size, key):
    return layer.places(key, (count, *size), "float64")


def places(layer, count=MANY, size=(5, 7), key=KEY):
    return np.asarray(_places(layer, count, size, key))


@jax.jit
def forward(layer, x, key=KEY):
    return layer.forward((), x, key=key)


def distorted(layer, x, key=KEY):
    return np.asarray(forward(layer, jnp.asarray(x), key)[0])


def maps(layer, count=MANY):
    """The matrix (count, 2, 2) and the offset (count, 2) of every draw, read off a pixel and its two neighbors."""
    at = places(layer, count, (3, 3)) - 1
    center = at[:, :, 1, 1]
    return np.stack([at[:, :, 2, 1] - center, at[:, :, 1, 2] - center], -1).swapaxes(0, 1), center.T


def assert_even(draws, limit):
    """Drawn evenly from -limit .. limit, as far as mean, spread and ends say so."""
    assert np.abs(draws).max() <= limit
    assert np.ptp(draws) > 1.98 * limit
    assert abs(draws.mean()) < 4 * limit / np.sqrt(3 * draws.size)
    assert draws.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("layer", [Affine(rotation=180, shift=4), Elastic(90, 2)], ids=repr)
def test_pixels_are_interpolated_as_the_formula_says(layer):
    """The sum over all pixels, of which four count; many places lie outside of the image, where it is 0."""
    x = images(9, 6, 7, 2)
    y, where = forward(layer, jnp.asarray(x))
    r, s = np.asarray(where)
    rows, columns = (np.maximum(0, 1 - np.abs(p[..., None] - np.arange(n))) for p, n in ((r, 6), (s, 7)))
    np.testing.assert_allclose(y, np.einsum("bijk,bijl,bklc->bijc", rows, columns, x), rtol=1e-13, atol=1e-15)
    outside = (r < -1) | (r > 6) | (s < -1) | (s > 7)
    assert outside.sum() > 20
    assert not np.asarray(y)[outside].any()


def test_an_affine_map_rotates_what_is_scaled_and_sheared():
    """No range changes the draws of another, so that the parts show what the whole is made of."""
    ranges = {"rotation": 30.0, "scale": 0.4, "shear": 0.3, "shift": 2.0}
    matrix, offset = maps(Affine(**ranges), 50)
    turn, scaled, sheared, moved = (maps(Affine(**{name: limit}), 50) for name, limit in ranges.items())
    np.testing.assert_allclose(matrix, turn[0] @ (scaled[0] + sheared[0] - np.eye(2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(offset, moved[1], rtol=1e-12, atol=1e-12)
    centered = np.stack(np.meshgrid(np.arange(5) - 2, np.arange(7) - 3, indexing="ij"))
    want = np.einsum("bkl,lij->kbij", matrix, centered) + offset.T[:, :, None, None] + np.reshape([2, 3], (2, 1, 1, 1))
    np.testing.assert_allclose(places(Affine(**ranges), 50), want, rtol=1e-12, atol=1e-12)


def test_affine_draws_evenly_from_its_ranges():
    turn = maps(Affine(rotation=30))[0]
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(2), turn.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1, rtol=1e-12)
    assert_even(np.degrees(np.arcsin(turn[:, 1, 0])), 30)
    scaled = maps(Affine(scale=0.4))[0] - np.eye(2)
    assert not scaled[:, [0, 1], [1, 0]].any()
    assert_even(scaled[:, 0, 0], 0.4)
    assert_even(scaled[:, 1, 1], 0.4)
    assert abs(np.corrcoef(scaled[:, 0, 0], scaled[:, 1, 1])[0, 1]) < 0.06
    sheared = maps(Affine(shear=0.3))[0] - np.eye(2)
    assert_even(sheared[:, 1, 0], 0.3)
    assert np.abs(np.delete(sheared.reshape(-1, 4), 2, axis=1)).max() < 1e-12
    offset = maps(Affine(shift=2))[1]
    assert_even(offset[:, 0], 2)
    assert_even(offset[:, 1], 2)
    assert abs(np.corrcoef(offset.T)[0, 1]) < 0.06


def displacements(alpha, sigma, size=(12, 15), count=MANY):
    i, j = np.arange(size[0])[:, None], np.arange(size[1])
    return places(Elastic(alpha, sigma), count, size) - np.stack(np.broadcast_arrays(i, j))[:, None]


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0])
def test_displacements_are_as_large_as_alpha_and_sigma_say_at_every_pixel(sigma):
    field = displacements(9, sigma)
    want = 9 / (np.sqrt(12 * np.pi) * sigma)
    np.testing.assert_allclose(field.std(axis=1), np.full((2, 12, 15), want), rtol=0.06)
    assert np.abs(field.mean(axis=1)).max() < 5 * want / np.sqrt(MANY)
    assert np.abs(np.corrcoef(field[0, :, 4, 5], field[1, :, 4, 5])[0, 1]) < 0.06


def test_displacements_are_those_of_a_field_smoothed_on_a_grid_of_every_pixel():
    """A Gaussian over even numbers for every pixel of a large image: correlation falls as exp(-d^2 / (4 sigma^2))."""
    sigma, size = 3.0, 29
    rng, distance = np.random.default_rng(0), np.arange(size)[:, None] - np.arange(size)
    g = np.exp(-(distance**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
    plain = 20 * np.einsum("im,bmn,jn->bij", g[10:19], rng.uniform(-1, 1, (MANY, size, size)), g[10:19])
    field = displacements(20, sigma, (size, size))[0][:, 10:19, 10:19]
    assert field.std() == pytest.approx(plain.std(), rel=0.03)
    for d in (1, 3, 6):
        want = np.exp(-(d**2) / (4 * sigma**2))
        for f in (plain, field):
            assert np.corrcoef(f[:, 1, 2], f[:, 1 + d, 2])[0, 1] == pytest.approx(want, abs=0.06)
            assert np.corrcoef(f[:, 2, 1], f[:, 2, 1 + d])[0, 1] == pytest.approx(want, abs=0.06)


def test_scales_and_noise_are_what_the_formulas_make_of_their_draws():
    draws = np.asarray(jax.random.uniform(KEY, (6, 50, 1, 1), "float64", -1, 1))[:, :, 0, 0]
    matrix, offset = maps(Affine(scale=0.4, shear=0.3, shift=2), 50)
    np.testing.assert_allclose(matrix[:, 0, 0], 1 + 0.4 * draws[1], rtol=1e-12)
    np.testing.assert_allclose(matrix[:, 1, 1], 1 + 0.4 * draws[2], rtol=1e-12)
    np.testing.assert_allclose(matrix[:, 1, 0], 0.3 * draws[3], rtol=1e-10)
    np.testing.assert_allclose(offset, 2 * draws[4:].T, rtol=1e-10)
    np.testing.assert_allclose(np.degrees(np.arcsin(maps(Affine(rotation=30), 50)[0][:, 1, 0])), 30 * draws[0])
    n = forward(Noise(0.3), jnp.ones((5, 4)))[1]
    np.testing.assert_allclose(n, 0.3 * jax.random.normal(KEY, (5, 4), "float64"), rtol=1e-12)


def test_rates_keep_their_digits_for_images_of_bfloat16():
    """0.998 is 1 in bfloat16."""
    mirrored = forward(Mirror(0.998), jnp.zeros((MANY, 1, 2), jnp.bfloat16))[1]
    assert 0 < (~mirrored).sum() < 30


def test_a_field_is_what_the_formula_makes_of_its_draws():
    """Of an odd size, whose last grid point has no second pixel."""
    found = displacements(9, 2, (5, 7), 3)
    u = np.asarray(jax.random.uniform(jax.random.split(KEY)[0], (2, 3, 3, 4), "float64", -1, 1))
    g = [np.exp(-((np.arange(n)[:, None] - (2 * np.arange(-(-n // 2)) + 0.5)) ** 2) / 8) for n in (5, 7)]
    rows, columns = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in g)
    want = 9 / (2 * np.sqrt(np.pi) * 2) * np.einsum("im,abmn,jn->abij", rows, u, columns)
    np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-12)


def test_an_affine_map_inside_elastic_adds_to_the_field():
    affine, elastic = Affine(rotation=40, shift=3), Elastic(20, 2)
    both = places(Elastic(20, 2, affine=affine), 20)
    i, j = np.arange(5)[:, None], np.arange(7)
    here = np.stack(np.broadcast_arrays(i, j))[:, None]
    of_affine = places(affine, 20, key=jax.random.split(KEY)[1])
    np.testing.assert_allclose(both - of_affine, places(elastic, 20) - here, rtol=1e-10, atol=1e-12)


def test_mirror_exchanges_left_and_right_of_some_images():
    x = images(MANY, 2, 3)
    y = distorted(Mirror(0.3), x)
    mirrored = (y == x[:, :, ::-1]).all(axis=(1, 2))
    assert (mirrored | (y == x).all(axis=(1, 2))).all()
    assert mirrored.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(distorted(Mirror(1), x), x[:, :, ::-1])
    np.testing.assert_array_equal(distorted(Mirror(0), x), x)


def test_cutout_covers_a_square_at_an_even_place():
    x = np.ones((MANY, 9, 6, 2))
    y = distorted(Cutout(3), x)
    assert set(np.unique(y)) == {0, 1}
    covered = y == 0
    np.testing.assert_array_equal(covered[..., 0], covered[..., 1])
    covered = covered[..., 0]
    height, width = covered.any(axis=2).sum(axis=1), covered.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(covered.sum(axis=(1, 2)), height * width)
    assert set(height) == set(width) == {2, 3}
    inner = covered[:, 2:-2, 2:-2]  # a pixel there is covered by 3 x 3 of 9 x 6 centers
    np.testing.assert_allclose(inner.mean(axis=0), np.full((5, 2), 9 / 54), atol=0.03)
    assert (distorted(Cutout(0), x) == 1).all()


def test_noise_has_the_deviation_that_it_names():
    y, n = forward(Noise(0.3), jnp.ones((200, 100)))
    np.testing.assert_array_equal(y, 1 + np.asarray(n))
    assert n.std() == pytest.approx(0.3, rel=0.02)
    assert abs(n.mean()) < 0.01


@EVERY_LAYER
def test_every_image_is_distorted_by_a_draw_of_its_own_and_without_a_key_none_is(layer):
    x = jnp.broadcast_to(images(1, 6, 8), (5, 6, 8))
    y, again, other = (distorted(layer, x, k) for k in (KEY, KEY, jax.random.key(8)))
    np.testing.assert_array_equal(y, again)
    assert (y != other).any()
    assert len({image.tobytes() for image in y}) > 1
    assert layer.forward((), x) == (x, None)
    assert layer.backward((), None, x)[1] is x


@EVERY_LAYER
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_images_keep_shape_and_dtype(layer, dtype):
    """With numbers in that dtype, as a training step has them; draws do not lose digits for it."""
    x = jnp.asarray(images(7, 6, 8, 2), dtype)
    layer = fnnet.at_step(layer, 0, dtype)
    y, residuals = jax.eval_shape(lambda x: layer.forward((), x, key=KEY), x)
    dx = jax.eval_shape(lambda residuals, y: layer.backward((), residuals, y)[1], residuals, y)
    assert y.shape == dx.shape == x.shape
    assert y.dtype == dx.dtype == x.dtype
    if isinstance(layer, Affine | Elastic):
        assert residuals.dtype == "float32"


@pytest.mark.parametrize("layer", [row for row in LAYERS if not isinstance(row, Noise)], ids=repr)
def test_channels_move_together(layer):
    x = images(9, 6, 8)
    y, both = distorted(layer, x), distorted(layer, np.stack([x, 2 * x], -1))
    np.testing.assert_allclose(both, np.stack([y, 2 * y], -1), rtol=1e-12)


def test_strengths_of_zero_change_nothing():
    x = jnp.asarray(images(4, 6, 8))
    for layer in (Affine(0, 0, 0, 0), Elastic(0, 2), Elastic(0, 2, affine=Affine(shift=0)), Noise(0)):
        np.testing.assert_allclose(distorted(layer, x), x, rtol=1e-12)


def test_strengths_are_swept_and_scheduled():
    x = jnp.asarray(images(4, 6, 8))

    def both(alpha):
        return Elastic(alpha, 2, affine=Affine(rotation=alpha))

    bent = distorted(both(9.0), x)
    swept = jax.vmap(lambda alpha: forward(both(alpha), x)[0])(jnp.array([0.0, 9.0]))
    np.testing.assert_allclose(swept, [x, bent], rtol=1e-10)
    scheduled = fnnet.at_step(both(fnnet.LinearSchedule(0.0, 18.0, 4)), 2, "float64")
    np.testing.assert_allclose(distorted(scheduled, x), bent, rtol=1e-10)


ERRORS = [
    (lambda: Affine(), ValueError, "at least one range, such as Affine"),
    (lambda: Affine(rotation=181), ValueError, "0 <= rotation <= 180"),
    (lambda: Affine(scale=1), ValueError, "0 <= scale < 1"),
    (lambda: Affine(shear=-0.1), ValueError, "0 <= shear"),
    (lambda: Affine(shift=-1), ValueError, "0 <= shift"),
    (lambda: Elastic(-1, 2), ValueError, "0 <= alpha"),
    (lambda: Elastic(1, 0.5), ValueError, "1 <= sigma"),
    (lambda: Elastic(1, 2, affine=Mirror()), TypeError, "affine"),
    (lambda: Mirror(1.1), ValueError, "0 <= rate <= 1"),
    (lambda: Cutout(-1), ValueError, "0 <= size"),
    (lambda: Noise(-1), ValueError, "0 <= deviation"),
    (
        lambda: Mirror().init(KEY, (784,)),
        ValueError,
        r"Mirror.init: expected images .* got \(784,\).*before Flatten",
    ),
    (lambda: Cutout(3).init(KEY, (1, 2, 3, 4)), ValueError, "Cutout.init: expected images"),
]


@pytest.mark.parametrize(("make", "error", "match"), ERRORS, ids=[match for *_, match in ERRORS])
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


@EVERY_LAYER
@pytest.mark.parametrize("key", [None, KEY], ids=["prediction", "training"])
def test_integers_are_refused(layer, key):
    with pytest.raises(TypeError, match=r"got uint8; put Rescale\(1 / 255\) before it"):
        layer.forward((), jnp.ones((2, 4, 4), jnp.uint8), key=key)


def test_a_network_with_distortions_trains_on_bytes_and_predicts_without_them():
    layers = (fnnet.Rescale(1 / 255), Mirror(), Elastic(9, 2, affine=Affine(rotation=9)), Cutout(2), Noise(0.1))
    plain = (fnnet.Flatten(), fnnet.Dense(4))
    distorted, same = (
        fnnet.Model(fnnet.Serial(network), fnnet.SoftmaxCrossEntropy(), (6, 6))
        for network in ((*layers, *plain), (layers[0], *plain))
    )
    data = fnnet.Batch(np.random.default_rng(0).integers(0, 256, (12, 6, 6)).astype(np.uint8), np.arange(12) % 4)
    state = fnnet.init_state(distorted, fnnet.Sgd(0.1), KEY)
    state, _ = fnnet.train_epoch(distorted, fnnet.Sgd(0.1), state, data, batch_size=6, shuffle=KEY)
    params = (state.params[0], *state.params[-2:])
    np.testing.assert_allclose(
        fnnet.predict(distorted, state.params, data.x), fnnet.predict(same, params, data.x), rtol=1e-12
    )


def test_noise_is_normal_in_bfloat16_too():
    noise, _ = fnnet.Noise(1.0).forward((), jnp.zeros(200_000, jnp.bfloat16), key=jax.random.key(0))
    noise = np.asarray(noise, np.float64)
    assert abs(noise.mean()) < 0.006
    assert abs(noise).max() > 3.5
