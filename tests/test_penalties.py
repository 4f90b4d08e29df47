"""Penalties by hand: value, gradient, what they leave alone, and how they enter the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.layers import DenseParams


def params_of(dtype):
    """Two Dense layers, one without biases, and a layer without parameters between them."""
    first = DenseParams(jnp.asarray([[1, -2], [0, 0.5]], dtype), jnp.asarray([3, -1], dtype))
    return first, (), DenseParams(jnp.asarray([[-4], [0.25]], dtype), None)


NOTHING = (np.zeros((2, 2)), np.zeros(2), np.zeros((2, 1)))
# penalty: value, gradient of the first w, the b and the second w.
# sum |w| = 3.5 + 4.25, sum w^2 = 5.25 + 16.0625, sum |b| = 4, sum b^2 = 10
BY_HAND = {
    fnnet.L1(0.1): (0.775, [[0.1, -0.1], [0, 0.1]], [0, 0], [[-0.1], [0.1]]),
    fnnet.L1(0.1, 0.5): (2.775, [[0.1, -0.1], [0, 0.1]], [0.5, -0.5], [[-0.1], [0.1]]),
    fnnet.L1(None, 0.5): (2, NOTHING[0], [0.5, -0.5], NOTHING[2]),
    fnnet.L1(None): (0, *NOTHING),
    fnnet.L1(0, 0): (0, *NOTHING),
    fnnet.L2(0.1): (2.13125, [[0.2, -0.4], [0, 0.1]], [0, 0], [[-0.8], [0.05]]),
    fnnet.L2(0.1, 0.5): (7.13125, [[0.2, -0.4], [0, 0.1]], [3, -1], [[-0.8], [0.05]]),
    fnnet.L2(None, 0.5): (5, NOTHING[0], [3, -1], NOTHING[2]),
    fnnet.L2(None): (0, *NOTHING),
    fnnet.L2(0, 0): (0, *NOTHING),
}


@pytest.mark.parametrize("penalty", BY_HAND, ids=str)
def test_value_and_gradient_are_those_worked_out_by_hand(penalty, dtype):
    value, first_w, b, second_w = BY_HAND[penalty]
    params = params_of(dtype)
    got = penalty.value(params)
    assert (got.shape, got.dtype, got.weak_type) == ((), dtype, False)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    gradient = penalty.gradient(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    for g, p, want in zip(jax.tree.leaves(gradient), jax.tree.leaves(params), (first_w, b, second_w), strict=True):
        assert (g.shape, g.dtype, g.weak_type) == (p.shape, p.dtype, False)
        np.testing.assert_allclose(g, want, rtol=1e-6)


@pytest.mark.parametrize("penalty", [fnnet.L1(0.1, 0.5), fnnet.L2(0.1, 0.5)], ids=str)
def test_numbers_of_the_parameters_dtype_pass_too(penalty):
    params = params_of("bfloat16")
    resolved = fnnet.at_step(penalty, 0, "bfloat16")
    assert resolved.value(params).dtype == jnp.bfloat16
    assert {g.dtype for g in jax.tree.leaves(resolved.gradient(params))} == {jnp.dtype("bfloat16")}
    np.testing.assert_allclose(float(resolved.value(params)), BY_HAND[penalty][0], rtol=0.02)


@pytest.mark.parametrize("penalty", [fnnet.L1(0.1, 0.5), fnnet.L2(0.1, 0.5)], ids=str)
def test_keys_of_a_dict_are_names_like_fields(penalty, dtype):
    first, _, second = params_of(dtype)
    params = [first._asdict(), {"w": second.w}]
    value, first_w, b, second_w = BY_HAND[penalty]
    np.testing.assert_allclose(penalty.value(params), value, rtol=1e-6)
    got = penalty.gradient(params)
    for mine, want in zip((got[0]["w"], got[0]["b"], got[1]["w"]), (first_w, b, second_w), strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-6)


def test_parameters_of_other_names_are_left_alone():
    for params in (({"kernel": jnp.ones(3), "scale": jnp.ones(3)}, [jnp.ones(3)]), jnp.ones(3)):
        assert float(fnnet.L2(1, 1).value(params)) == 0
        assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(fnnet.L2(1, 1).gradient(params)))


@pytest.mark.parametrize("penalty", [fnnet.L1, fnnet.L2])
def test_a_nan_in_a_weight_is_not_hidden(penalty):
    params = DenseParams(jnp.asarray([[jnp.nan, 1]]), jnp.zeros(2))
    assert np.isnan(penalty(0.1).value(params))
    assert np.isnan(penalty(0.1).gradient(params).w).tolist() == [[True, False]]


X, Y = jnp.asarray([[1.0, 2], [0, -1]]), jnp.asarray([[1.0], [0]])


def model_with(penalty):
    return fnnet.Model(fnnet.Serial((fnnet.Dense(1),)), fnnet.SquaredError(), (2,), penalty)


# y = x w + b with w = (2, -1), b = 3: outputs 3, 4; residuals 2, 4; loss (4 + 16) / 2
# dL/dw = sum_b (2 r_b / 2) x_b = (2, 0), dL/db = 6
PARAMS = (DenseParams(jnp.asarray([[2.0], [-1]]), jnp.asarray([3.0])),)


@pytest.mark.parametrize(
    ("penalty", "value", "dw", "db"),
    [
        (None, 10, [2, 0], 6),
        (fnnet.L1(0.5), 11.5, [2.5, -0.5], 6),
        (fnnet.L1(0.5, 0.25), 12.25, [2.5, -0.5], 6.25),
        (fnnet.L2(0.5), 12.5, [4, -1], 6),
        (fnnet.L2(0.5, 0.25), 14.75, [4, -1], 7.5),
        (fnnet.L2(None, 0.25), 12.25, [2, 0], 7.5),
    ],
)
def test_the_penalty_is_part_of_the_loss_and_of_its_gradient(penalty, value, dw, db):
    model = model_with(penalty)
    assert float(fnnet.loss(model, PARAMS, X, Y)) == value
    got, (grads,) = fnnet.backward(model, PARAMS, X, Y)
    assert float(got) == value
    np.testing.assert_array_equal(grads.w[:, 0], dw)
    np.testing.assert_array_equal(grads.b, [db])


@pytest.mark.parametrize("kind", [fnnet.L1, fnnet.L2])
def test_a_penalty_acts_on_what_it_has_a_strength_for(kind):
    assert kind(0.1).acts_on() == ("w",)
    assert kind(0.1, biases=0.2).acts_on() == ("w", "b")
    assert kind(None, biases=0.2).acts_on() == ("b",)


def test_the_penalty_does_not_depend_on_the_weights_of_the_rows():
    model, weights = model_with(fnnet.L2(0.5)), jnp.asarray([3.0, 1])
    assert float(fnnet.loss(model, PARAMS, X, Y, weights=weights)) == (3 * 4 + 16) / 4 + 2.5
    assert float(fnnet.loss(model, PARAMS, X, Y, weights=jnp.zeros(2))) == 2.5


def test_the_loss_of_a_row_is_without_penalty():
    model = model_with(fnnet.L2(0.5))
    np.testing.assert_array_equal(fnnet.backprop(model, PARAMS, fnnet.Batch(X, Y)).per_example, [4, 16])


@pytest.mark.parametrize("penalty", [fnnet.L1, fnnet.L2])
def test_strengths_can_be_swept(penalty):
    params = params_of("float32")
    swept = jax.vmap(lambda p: p.value(params))(penalty(jnp.asarray([0, 0.1, 0.2]), jnp.asarray([0, 0.5, 0])))
    one = [BY_HAND[penalty(0.1, 0.5)][0], 2 * BY_HAND[penalty(0.1)][0]]
    np.testing.assert_allclose(swept, [0, *one], rtol=1e-6)


@pytest.mark.parametrize("penalty", [fnnet.L1, fnnet.L2])
@pytest.mark.parametrize("strengths", [(-1,), (0.1, -1), (float("nan"),), (np.array([1, -1]),)], ids=str)
def test_a_strength_below_0_is_refused(penalty, strengths):
    name = "weights" if len(strengths) == 1 else "biases"
    with pytest.raises(ValueError, match=f"^{penalty.__name__}: expected 0 <= {name}, got "):
        penalty(*strengths)


@pytest.mark.parametrize("penalty", [fnnet.L1, fnnet.L2])
@pytest.mark.parametrize("strength", ["0.1", True])
def test_strings_and_bools_are_not_strengths(penalty, strength):
    with pytest.raises(TypeError, match=f"^{penalty.__name__}: expected weights to be a number, got {strength!r}"):
        penalty(strength)
