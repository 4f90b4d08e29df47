"""Initializers: shape, dtype, distribution, repeatability, and the fans that scale them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._spec import spec

KEY = jax.random.key(7)
SHAPE, FAN_IN, FAN_OUT = (200, 300), 150, 250  # fans that are not the shape, so that one cannot stand for the other
NORMAL, UNIFORM = 3.0, 1.8  # fourth moment over squared variance: tells the two apart

DRAWN = {  # spec, mean, variance, kurtosis
    "HeNormal": (fnnet.HeNormal(), 0, 2 / 150, NORMAL),
    "HeNormal(0.5)": (fnnet.HeNormal(0.5), 0, 0.5 / 150, NORMAL),
    "HeUniform": (fnnet.HeUniform(), 0, 2 / 150, UNIFORM),
    "HeUniform(0.5)": (fnnet.HeUniform(0.5), 0, 0.5 / 150, UNIFORM),
    "GlorotNormal": (fnnet.GlorotNormal(), 0, 1 / 200, NORMAL),
    "GlorotNormal(3)": (fnnet.GlorotNormal(3), 0, 3 / 200, NORMAL),
    "GlorotUniform": (fnnet.GlorotUniform(), 0, 1 / 200, UNIFORM),
    "GlorotUniform(3)": (fnnet.GlorotUniform(3), 0, 3 / 200, UNIFORM),
    "LecunNormal": (fnnet.LecunNormal(), 0, 1 / 150, NORMAL),
    "LecunNormal(3)": (fnnet.LecunNormal(3), 0, 3 / 150, NORMAL),
    "LecunUniform": (fnnet.LecunUniform(), 0, 1 / 150, UNIFORM),
    "LecunUniform(3)": (fnnet.LecunUniform(3), 0, 3 / 150, UNIFORM),
    "Normal": (fnnet.Normal(), 0, 1, NORMAL),
    "Normal(0.5, -2)": (fnnet.Normal(0.5, -2), -2, 0.25, NORMAL),
    "Uniform": (fnnet.Uniform(), 0.5, 1 / 12, UNIFORM),
    "Uniform(-1, 0.5)": (fnnet.Uniform(-1, 0.5), -0.25, 1.5**2 / 12, UNIFORM),
}
FIXED = {
    "Zeros": (fnnet.Zeros(), 0),
    "Constant(0.1)": (fnnet.Constant(0.1), 0.1),
    "Constant(-3)": (fnnet.Constant(-3), -3),
}
BOUNDED = {name: row for name, row in DRAWN.items() if row[3] == UNIFORM}
SPECS = {name: row[0] for name, row in (DRAWN | FIXED).items()} | {"Orthogonal": fnnet.Orthogonal()}


@functools.cache
def draw(name, dtype, *, seed=7, shape=SHAPE):
    shape = (6, 5) if name == "Orthogonal" else shape
    return SPECS[name](jax.random.key(seed), shape, dtype, FAN_IN, FAN_OUT)


@pytest.fixture(params=["float32", "float64", "bfloat16"])
def any_dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("name", SPECS)
def test_arrays_have_the_shape_and_exactly_the_dtype(name, any_dtype):
    array = draw(name, any_dtype)
    assert (array.shape, array.dtype, array.weak_type) == ((6, 5) if name == "Orthogonal" else SHAPE, any_dtype, False)


@pytest.mark.parametrize("name", DRAWN)
def test_mean_variance_and_form_are_those_of_the_distribution(name, any_dtype):
    _, mean, variance, kurtosis = DRAWN[name]
    a = np.asarray(draw(name, any_dtype)).astype(np.float64).ravel()
    five_sigma = 5 / math.sqrt(a.size)
    rounding = 0.01 if any_dtype == "bfloat16" else 0
    assert abs(a.mean() - mean) < five_sigma * math.sqrt(variance) + rounding * abs(mean)
    assert a.var() == pytest.approx(variance, rel=five_sigma * math.sqrt(kurtosis - 1) + rounding)
    assert ((a - a.mean()) ** 4).mean() / a.var() ** 2 == pytest.approx(kurtosis, abs=0.15)


@pytest.mark.parametrize("name", DRAWN)
def test_the_numbers_are_those_of_the_key_shifted_and_scaled(name, dtype):
    """To the bit, nearly: a factor of 1.001 would not show among random numbers, and seeds promise the same ones."""
    _, mean, variance, kurtosis = DRAWN[name]
    standard = jax.random.normal if kurtosis == NORMAL else functools.partial(jax.random.uniform, minval=-1, maxval=1)
    scale = math.sqrt(variance if kurtosis == NORMAL else 3 * variance)
    want = mean + scale * np.asarray(standard(KEY, (6, 5), dtype), np.float64)
    np.testing.assert_allclose(SPECS[name](KEY, (6, 5), dtype, FAN_IN, FAN_OUT), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", BOUNDED)
def test_uniform_ones_fill_their_bounds_and_stay_inside(name, any_dtype):
    _, mean, variance, _ = BOUNDED[name]
    a = np.asarray(draw(name, any_dtype)).astype(np.float64)
    half, rounding = math.sqrt(3 * variance), 0.01 if any_dtype == "bfloat16" else 1e-6  # bfloat16 has 128 steps
    assert mean - half * (1 + rounding) <= a.min() < mean - 0.99 * half
    assert mean + 0.97 * half < a.max() <= mean + half * (1 + rounding)


@pytest.mark.parametrize("name", FIXED)
def test_fixed_ones_are_the_same_everywhere(name, any_dtype):
    np.testing.assert_array_equal(draw(name, any_dtype), np.full(SHAPE, FIXED[name][1]).astype(any_dtype))


@pytest.mark.parametrize("name", [*DRAWN, "Orthogonal"])
def test_the_same_key_gives_the_same_bits_and_another_key_others(name):
    draw.cache_clear()
    one, other = (np.asarray(draw(name, "float32", seed=seed)) for seed in (7, 8))
    draw.cache_clear()
    same = np.asarray(draw(name, "float32", seed=7))
    assert one.tobytes() == same.tobytes()
    assert np.mean(one == other) < 0.01


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 3)])
@pytest.mark.parametrize("name", [name for name in SPECS if "(" not in name and name != "Orthogonal"])
def test_any_shape_can_be_drawn(name, shape):
    assert jax.eval_shape(lambda key: SPECS[name](key, shape, "float32", 3, 4), KEY).shape == shape


@pytest.mark.parametrize("shape", [(6, 5), (5, 6), (5, 5), (2, 3, 5), (5, 1, 6)])
def test_orthogonal_has_orthonormal_rows_or_columns_whichever_are_fewer(shape, dtype):
    array = fnnet.Orthogonal(3)(KEY, shape, dtype, 1, 1)
    assert (array.shape, array.dtype) == (shape, dtype)
    q = np.asarray(array, np.float64).reshape(-1, shape[-1]) / 3
    q = q if q.shape[0] >= q.shape[1] else q.T
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=20 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("shape", [(6, 4), (5, 5)])
def test_orthogonal_is_the_q_of_the_keys_numbers_whose_r_has_a_diagonal_above_0(shape):
    r = np.asarray(fnnet.Orthogonal()(KEY, shape, "float32", 1, 1)).T @ np.asarray(jax.random.normal(KEY, shape))
    np.testing.assert_allclose(r, np.triu(r), atol=1e-5)
    assert (np.diagonal(r) > 0).all()


def test_orthogonal_matrices_are_uniform_so_that_their_diagonal_has_both_signs():
    signs = [float(jnp.sign(fnnet.Orthogonal()(jax.random.key(k), (1, 1), "float32", 1, 1)[0, 0])) for k in range(20)]
    assert set(signs) == {-1, 1}


def test_a_batch_of_orthogonal_matrices_is_decomposed_one_by_one():
    """QR of a batch waits for the threads that it occupies: a sweep on as many CPU devices as cores would never end."""
    keys = jax.random.split(KEY, 3)
    draw = jax.vmap(lambda key: fnnet.Orthogonal()(key, (6, 5), "float32", 1, 1))
    np.testing.assert_array_equal(draw(keys), [fnnet.Orthogonal()(key, (6, 5), "float32", 1, 1) for key in keys])
    lines = [line for line in jax.jit(draw).lower(keys).as_text().splitlines() if "geqrf" in line or "@qr(" in line]
    assert lines
    assert not [line for line in lines if "tensor<3x6x5xf32>" in line]


@pytest.mark.parametrize("shape", [(), (4,)])
def test_orthogonal_needs_two_axes(shape):
    with pytest.raises(
        ValueError, match=r"^Orthogonal: expected two axes or more, got shape \(.*\); use it for weights$"
    ):
        fnnet.Orthogonal()(KEY, shape, "float32", 1, 1)


GAINED = ["HeNormal", "HeUniform", "GlorotNormal", "GlorotUniform", "LecunNormal", "LecunUniform", "Orthogonal"]
DEFAULT = {"HeNormal": 2, "HeUniform": 2}


def swept(spec, dtype="float32"):
    return jax.vmap(lambda spec: spec(KEY, (6, 5), dtype, 6, 5))(spec)


@pytest.mark.parametrize("name", GAINED)
def test_a_sweep_over_gains_draws_the_same_numbers_at_every_scale(name):
    got = swept(getattr(fnnet, name)(jnp.asarray([0.0, 1, 4])))
    scales = [0, 1, 4] if name == "Orthogonal" else [0, 1, 2]  # of the matrix itself, and of a variance
    one = getattr(fnnet, name)()(KEY, (6, 5), "float32", 6, 5) / DEFAULT.get(name, 1) ** 0.5
    np.testing.assert_allclose(got, np.multiply.outer(scales, np.asarray(one)), rtol=1e-5, atol=1e-6)


SWEPT = {
    **{name: lambda n, name=name: getattr(fnnet, name)(n) for name in GAINED},
    "Constant": lambda n: fnnet.Constant(n),
    "Normal": lambda n: fnnet.Normal(0 * n, n),
    "Uniform": lambda n: fnnet.Uniform(n, n),
}


@pytest.mark.parametrize("name", SWEPT)
def test_a_sweep_has_the_dtype_asked_for_whatever_its_own(name, any_dtype):
    array = jax.eval_shape(functools.partial(swept, dtype=any_dtype), SWEPT[name](jnp.asarray([0, 1, 4], "float32")))
    assert (array.shape, array.dtype, array.weak_type) == ((3, 6, 5), any_dtype, False)


@pytest.mark.parametrize("name", ["Constant", "Normal", "Uniform"])
def test_every_other_number_can_be_swept_too(name):
    got = swept(SWEPT[name](jnp.asarray([0.0, 1, 4])))
    np.testing.assert_array_equal(got, np.broadcast_to(np.reshape([0, 1, 4], (3, 1, 1)), (3, 6, 5)))


def test_a_dense_layer_asks_with_its_own_fans():
    layer = fnnet.Dense(300, weights=fnnet.GlorotNormal(), biases=fnnet.LecunUniform())
    params, _ = layer.init(KEY, (200,))
    assert float(params.w.var()) == pytest.approx(2 / 500, rel=0.05)
    assert float(jnp.abs(params.b).max()) == pytest.approx(math.sqrt(3 / 200), rel=0.05)


def test_a_dense_layer_draws_weights_from_one_half_of_its_key_and_biases_from_the_other():
    weights, biases = fnnet.GlorotNormal(), fnnet.LecunUniform()
    params, out_shape = fnnet.Dense(3, weights, biases).init(KEY, (4, 5))
    one, other = jax.random.split(KEY)
    np.testing.assert_array_equal(params.w, weights(one, (5, 3), jnp.float32, 5, 3))
    np.testing.assert_array_equal(params.b, biases(other, (3,), jnp.float32, 5, 3))
    assert out_shape == (4, 3)


@spec
class Asked:
    """Every entry says which fans it was asked with."""

    def __call__(self, key, shape, dtype, fan_in, fan_out):
        return jnp.full(shape, 100 * fan_in + fan_out, dtype)


def test_a_dense_layer_says_both_fans_to_weights_and_to_biases():
    params, _ = fnnet.Dense(3, Asked(), Asked()).init(KEY, (4, 5))
    np.testing.assert_array_equal(params.w, np.full((5, 3), 503))
    np.testing.assert_array_equal(params.b, np.full(3, 503))


@pytest.mark.parametrize("name", GAINED[:-1])
@pytest.mark.parametrize("gain", [-1, float("nan"), [1, -1]])
def test_a_gain_below_0_is_refused(name, gain):
    gain = np.array(gain) if isinstance(gain, list) else gain
    with pytest.raises(ValueError, match=f"^{name}: expected 0 <= gain, got "):
        getattr(fnnet, name)(gain)


def test_a_deviation_below_0_is_refused():
    with pytest.raises(ValueError, match=r"^Normal: expected 0 <= deviation, got -0\.5$"):
        fnnet.Normal(-0.5)


@pytest.mark.parametrize("number", ["2", True, np.True_])
@pytest.mark.parametrize("name", [*GAINED, "Constant", "Normal", "Uniform"])
def test_strings_and_bools_are_not_numbers(name, number):
    with pytest.raises(TypeError, match=f"^{name}: expected .* to be a number, got "):
        getattr(fnnet, name)(number)


@pytest.mark.parametrize("shape", [(), (3,), (4, 10), (2, 3, 5)])
def test_numbers_drawn_as_one_row_are_those_drawn_in_shape(shape):
    key = jax.random.key(0)
    normal, uniform = (
        fnnet.Normal(deviation=2.0, mean=1.0)(key, shape, "float32", 1, 1),
        fnnet.Uniform(-1, 3)(key, shape, "float32", 1, 1),
    )
    np.testing.assert_allclose(normal, 1 + 2 * jax.random.normal(key, shape), rtol=1e-6)
    np.testing.assert_allclose(uniform, -1 + 4 * jax.random.uniform(key, shape), rtol=1e-6, atol=1e-6)
