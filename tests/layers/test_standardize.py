"""`Standardize` and what fits it: mean 0 and deviation 1 on the rows that it was fitted to, and errors in words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Standardize, standardize

RNG = np.random.default_rng(0)
X = RNG.normal([5, -1000, 0.001], [2, 30, 1e-4], (200, 3)).astype(np.float32)


def test_the_rows_it_was_fitted_to_get_mean_0_and_deviation_1(dtype):
    layer = standardize(X)
    y, _ = layer.forward((), jnp.asarray(X, dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-4)


@pytest.mark.parametrize("rows", [3, 7, 1])
def test_constant_columns_become_zero_and_are_not_divided_by_zero(rows, dtype):
    """The sum of three times 0.1, over 3, is not 0.1."""
    x = np.column_stack([np.full(rows, 0.1), np.arange(rows), np.full(rows, 1e-30)])
    layer = standardize(x)
    y, _ = layer.forward((), jnp.asarray(x, dtype))
    np.testing.assert_array_equal(y[:, [0, 2]], 0)
    assert np.asarray(layer.mean)[[0, 2]].tolist() == [0.1, 1e-30]
    assert np.asarray(layer.deviation)[[0, 2]].tolist() == [1, 1]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    "given", [np.asarray, jnp.asarray, np.ndarray.tolist, list], ids=["numpy", "jax", "list", "rows"]
)
def test_whatever_holds_the_numbers_they_are_summed_in_float64(given):
    layer = standardize(given(X))
    np.testing.assert_allclose(layer.mean, X.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(layer.deviation, X.astype(np.float64).std(0), rtol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_integers_take_the_dtype_of_the_mean(dtype):
    layer = fnnet.at_step(Standardize(np.array([1, 2]), np.array([2, 4])), 0, dtype)
    y, _ = layer.forward((), jnp.array([[3, 2], [0, 3]], jnp.uint8))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [[1, 0], [-0.5, 0.25]])


def test_integers_become_numbers_and_have_no_gradient():
    x = RNG.integers(0, 256, (9, 4, 4)).astype(np.uint8)
    model = fnnet.Model(fnnet.Serial((standardize(x), fnnet.Flatten(), fnnet.Dense(2))), fnnet.SquaredError(), (4, 4))
    params = fnnet.init(model, jax.random.key(0))
    assert fnnet.forward(model, params, jnp.asarray(x)).dtype == jnp.float32
    assert fnnet.backprop(model, params, fnnet.Batch(jnp.asarray(x), jnp.zeros((9, 2)))).dx is None


def test_it_travels_with_the_model_through_a_checkpoint(tmp_path):
    model = fnnet.Model(fnnet.Serial((standardize(X), fnnet.Dense(2))), fnnet.SquaredError(), (3,))
    state = fnnet.init_state(model, fnnet.Sgd(0.1), jax.random.key(0))
    saved = fnnet.restore(fnnet.save(tmp_path / "a", model, fnnet.Sgd(0.1), state))
    assert saved.model == model
    expected = fnnet.predict(model, state.params, jnp.asarray(X))
    np.testing.assert_array_equal(fnnet.predict(saved.model, saved.state.params, jnp.asarray(X)), expected)


def test_one_number_serves_rows_of_any_shape():
    y, _ = Standardize(2, 4).forward((), jnp.asarray([[2.0, 6.0]]))
    np.testing.assert_array_equal(y, [[0, 1]])


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.array([[1, 2], [np.nan, 3]]), ValueError, r"x has nan in row 1, entry \(0,\)"),
        (np.array([[1, np.inf]]), ValueError, r"x has inf in row 0, entry \(1,\)"),
        (np.zeros((0, 3)), ValueError, r"expected \(N, ...\) with rows, got \(0, 3\)"),
        (3.0, ValueError, r"expected \(N, ...\) with rows, got \(\)"),
        (np.array([["a"]]), TypeError, "expected real numbers, got <U1"),
        (np.array([[1j]]), TypeError, "expected real numbers, got complex128"),
    ],
)
def test_what_has_no_mean_is_refused(x, error, says):
    with pytest.raises(error, match=f"^standardize: {says}"):
        standardize(x)


def test_a_deviation_of_zero_is_refused():
    with pytest.raises(ValueError, match="Standardize: expected 0 < deviation"):
        Standardize(0, np.array([1, 0]))


def test_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected mean to be a number or of the rows' shape \(4,\)"):
        standardize(X).init(jax.random.key(0), (4,))
