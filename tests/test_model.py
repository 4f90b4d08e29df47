"""The model's functions: values by hand, weights and masks, shapes and errors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._spec import spec, static
from fnnet.layers import DenseParams
from fnnet.model import masked, prepare

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0], np.int32)
MODEL = fnnet.mlp((3, 4, 2))
PARAMS = fnnet.init(MODEL, jax.random.key(0))
ONE = np.ones(1, np.float32)


def numpy_pass(params, x, y):
    """Forward, loss and backward of a ReLU network with one hidden layer, as a textbook writes it."""
    (w1, b1), _, (w2, b2) = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    a = x @ w1 + b1
    h = np.maximum(a, 0)
    z = h @ w2 + b2
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    n = len(x)
    losses = -np.log(p[np.arange(n), y])
    dz = (p - np.eye(z.shape[1])[y]) / n
    da = (dz @ w2.T) * (a > 0)
    grads = (DenseParams(x.T @ da, da.sum(0)), (), DenseParams(h.T @ dz, dz.sum(0)))
    return losses, z, grads, da @ w1.T


def test_one_pass_is_the_textbook():
    losses, z, grads, dx = numpy_pass(PARAMS, X, Y)
    p = fnnet.backprop(MODEL, PARAMS, Batch(X, Y))
    np.testing.assert_allclose(p.value, losses.mean(), rtol=1e-6)
    np.testing.assert_allclose(p.per_example, losses, rtol=1e-5)
    np.testing.assert_allclose(p.outputs, z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(p.dx, dx, rtol=1e-4, atol=1e-7)
    for a, b in zip(jax.tree.leaves(p.grads), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_the_functions_agree_with_the_pass():
    p = fnnet.backprop(MODEL, PARAMS, Batch(X, Y))
    value, grads = fnnet.backward(MODEL, PARAMS, X, Y)
    assert value == p.value == fnnet.loss(MODEL, PARAMS, X, Y)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), grads, p.grads))
    np.testing.assert_array_equal(fnnet.forward(MODEL, PARAMS, X), p.outputs)
    np.testing.assert_allclose(fnnet.predict(MODEL, PARAMS, X), np.asarray(jax.nn.softmax(p.outputs)), rtol=1e-6)


def test_parameters_are_immutable_all_the_way():
    assert isinstance(PARAMS, tuple)
    assert isinstance(PARAMS[0], DenseParams)
    with pytest.raises(AttributeError):
        PARAMS[0].w = 0
    with pytest.raises(TypeError):
        PARAMS[0].w[0] = 0


def test_weights_of_rows_make_a_weighted_mean():
    w = np.array([1, 2, 0, 0.5, 3, 1], np.float32)
    losses, *_ = numpy_pass(PARAMS, X, Y)
    np.testing.assert_allclose(fnnet.loss(MODEL, PARAMS, X, Y, weights=w), (w * losses).sum() / w.sum(), rtol=1e-6)
    twice = fnnet.backward(MODEL, PARAMS, np.r_[X, X[:1]], np.r_[Y, Y[:1]])
    weighted = fnnet.backward(MODEL, PARAMS, X, Y, weights=np.array([2, 1, 1, 1, 1, 1], np.float32))
    for a, b in zip(jax.tree.leaves(twice), jax.tree.leaves(weighted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", [fnnet.SoftmaxCrossEntropy(), fnnet.SquaredError()], ids=repr)
def test_rows_of_weight_zero_change_nothing_even_as_nan(loss):
    model = fnnet.mlp((3, 4, 2), loss=loss)
    y = Y if isinstance(loss, fnnet.SoftmaxCrossEntropy) else X[:, :2]
    w = np.array([1, 2, 0, 1, 3, 0], np.float32)
    bad_x, bad_y = X.copy(), y.copy()
    bad_x[2], bad_x[5] = np.nan, np.inf
    bad_y[2] = np.nan if y.dtype == np.float32 else -1
    good = fnnet.backprop(model, PARAMS, Batch(X, y, w))
    bad = fnnet.backprop(model, PARAMS, Batch(bad_x, bad_y, w))
    assert np.isfinite(good.value)
    assert good.value == bad.value
    for a, b in zip(jax.tree.leaves(good.grads), jax.tree.leaves(bad.grads), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.asarray(bad.dx)[[2, 5]].any()


def test_a_masked_row_is_the_first_row_that_counts():
    w = np.array([0, 2, 0, 1, 1, 0], np.float32)
    batch = masked(Batch(*map(jnp.asarray, (X, Y, w))))
    rows = [1, 1, 1, 3, 4, 1]
    for have, want in zip(batch, (X[rows], Y[rows], w), strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("weights", [[1, 2, 0, 1, 1, 1], np.arange(6), np.arange(6) / 7])
def test_weights_are_arrays_in_the_dtype_of_the_step(weights):
    w = prepare(MODEL, Batch(X, Y, weights), jnp.float32).weights
    assert isinstance(w, jax.Array)
    assert w.dtype == jnp.float32


@pytest.mark.parametrize("weights", [[1, 1, 0, 1, 1, 1], [0] * 6], ids=str)
def test_a_masked_row_has_a_class_that_exists_even_if_there_is_but_one(weights):
    model = fnnet.mlp((3, 1))
    y = np.array([0, 0, 9, 0, 0, 0], np.int32)
    p = fnnet.backprop(model, fnnet.init(model, jax.random.key(0)), Batch(X, y, np.array(weights, np.float32)))
    assert p.value == 0
    assert not any(np.asarray(g).any() for g in jax.tree.leaves(p.grads))


@pytest.mark.parametrize("first", [0.0, np.nan])
def test_rows_all_of_weight_zero_give_zero_and_no_nan(first):
    x = X.copy()
    x[0] = first
    p = fnnet.backprop(MODEL, PARAMS, Batch(x, Y, np.zeros(6, np.float32)))
    assert p.value == 0
    np.testing.assert_allclose(p.outputs, fnnet.forward(MODEL, PARAMS, np.zeros_like(X)), rtol=1e-6)
    assert not any(np.asarray(g).any() for g in jax.tree.leaves(p.grads))


def test_rows_of_weight_zero_do_not_count_even_if_their_loss_is_infinite():
    """e^z is e^1000, which is infinite."""
    model, params = fnnet.Model(fnnet.Dense(1), fnnet.Poisson(), (1,)), DenseParams(np.zeros((1, 1), "f4"), 1e3 * ONE)
    assert fnnet.loss(model, params, np.ones((2, 1)), np.zeros((2, 1)), weights=np.zeros(2)) == 0


def test_a_network_without_parameters_works_in_the_dtype_of_its_inputs(float64):
    model, x = fnnet.Model(fnnet.Rescale(0.5), fnnet.SquaredError(), (3,)), jnp.asarray(X)
    assert fnnet.forward(model, (), x).dtype == fnnet.loss(model, (), x, X).dtype == jnp.float32
    assert fnnet.backprop(model, (), Batch(x, X)).dx.dtype == jnp.float32


def test_a_weight_that_rounds_to_zero_masks_its_rows_too():
    w = np.array([1, 1e-60, 1, 1, 1, 1], np.float64)
    x = X.copy()
    x[1] = np.nan
    assert fnnet.loss(MODEL, PARAMS, x, Y, weights=w) == fnnet.loss(MODEL, PARAMS, X, Y, weights=(w > 0.5) * 1.0)


def test_numpy_goes_in_and_jax_comes_out_even_if_nothing_is_computed():
    nothing = fnnet.Model(fnnet.Identity(), fnnet.SquaredError(), (3,))
    assert isinstance(fnnet.forward(nothing, (), X), jax.Array)


def test_the_loss_includes_the_penalty():
    model = fnnet.mlp((3, 4, 2), penalty=fnnet.L2(0.1))
    squares = sum(float((p.w**2).sum()) for p in PARAMS if p != ())
    plain = fnnet.loss(MODEL, PARAMS, X, Y)
    np.testing.assert_allclose(fnnet.loss(model, PARAMS, X, Y), plain + 0.1 * squares, rtol=1e-6)


def test_images_need_no_preprocessing_of_their_own():
    model = fnnet.mlp((4, 3, 2), input_shape=(2, 2), scale=1 / 255)
    params = fnnet.init(model, jax.random.key(0))
    images = np.arange(20, dtype=np.uint8).reshape(5, 2, 2)
    by_hand = fnnet.mlp((4, 3, 2))
    expected = fnnet.forward(by_hand, params[2:], images.reshape(5, 4).astype(np.float32) / 255)
    np.testing.assert_allclose(fnnet.forward(model, params, images), expected, rtol=1e-5, atol=1e-6)
    assert fnnet.backprop(model, params, Batch(images, Y[:5])).dx is None
    assert fnnet.backprop(model, params, Batch(images.astype(np.float32), Y[:5])).dx.shape == (5, 2, 2)


def test_outputs_that_are_nan_are_never_correct():
    logits = jnp.array([[1, np.nan, 0], [3, 2, 1], [np.nan] * 3, [0, np.inf, 0]])
    correct = fnnet.SoftmaxCrossEntropy().correct(logits, jnp.array([1, 0, 0, 1]))
    np.testing.assert_array_equal(correct, [False, True, False, True])
    logits = jnp.array([[np.nan, -1], [1, -1], [-1, np.nan]])
    correct = fnnet.SigmoidBinaryCrossEntropy().correct(logits, jnp.array([[0, 0], [1, 0], [1, 1]]))
    np.testing.assert_array_equal(correct, [False, True, False])


def test_a_network_of_nothing_trains_nothing():
    model = fnnet.Model(fnnet.Serial(()), fnnet.SquaredError(), (3,))
    p = fnnet.backprop(model, (), Batch(X, X + 1), key=jax.random.key(0))
    np.testing.assert_allclose(p.value, 3, rtol=1e-5)
    assert p.grads == ()


def test_no_gradient_flows_into_integers_but_shapes_stay():
    model = fnnet.Model(fnnet.Serial((fnnet.Dense(2), fnnet.Rescale(0.5))), fnnet.SoftmaxCrossEntropy(), (3,))
    inner = fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(0.5)))
    _, residuals = inner.forward(((), ()), jnp.ones((2, 3), jnp.uint8))
    assert inner.backward(((), ()), residuals, jnp.ones((2, 3))) == (((), ()), None)
    assert fnnet.backprop(model, fnnet.init(model, jax.random.key(0)), Batch(X, Y)).dx is not None


def test_parameters_before_integers_have_gradients_of_0():
    network = fnnet.Serial((Steps(), fnnet.Rescale(0.5)))
    params, _ = network.init(jax.random.key(0), (3,))
    _, residuals = network.forward(params, jnp.ones((2, 3), jnp.uint8))
    (steps, ()), dx = network.backward(params, residuals, jnp.ones((2, 3)))
    assert steps.tolist() == [0, 0]
    assert dx is None


def test_training_is_where_a_key_is():
    model = fnnet.mlp((3, 64, 2), dropout=0.5)
    params = fnnet.init(model, jax.random.key(0))
    calm = fnnet.forward(model, params, X)
    noisy = fnnet.forward(model, params, X, key=jax.random.key(1))
    np.testing.assert_array_equal(calm, fnnet.forward(model, params, X))
    np.testing.assert_array_equal(noisy, fnnet.forward(model, params, X, key=jax.random.key(1)))
    assert np.abs(calm - noisy).max() > 0.01
    assert np.abs(noisy - fnnet.forward(model, params, X, key=jax.random.key(2))).max() > 0.01


def test_dropout_drops_its_rate_and_keeps_the_mean():
    x = jnp.ones((200, 500))
    y, _ = fnnet.Dropout(0.3).forward((), x, key=jax.random.key(0))
    np.testing.assert_allclose((y == 0).mean(), 0.3, atol=0.01)
    np.testing.assert_allclose(y.mean(), 1, atol=0.02)


def test_dropout_drops_a_small_rate_in_bfloat16_too():
    """Its uniform numbers are 1 / 128 apart, so none of them is above 0.996."""
    x, key = jnp.ones(100_000, jnp.bfloat16), jax.random.key(0)
    rates = jnp.asarray([0.004], jnp.bfloat16)
    (m,) = jax.vmap(lambda rate: fnnet.Dropout(rate).forward((), x, key=key)[1])(rates)
    assert m.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.mean(np.asarray(m) == 0), 0.004, rtol=0.15)


def test_dropout_is_the_keys_own_mask_over_the_fraction_kept():
    x, key = jnp.linspace(-2, 3, 40), jax.random.key(6)
    y, m = fnnet.Dropout(0.25).forward((), x, key=key)
    np.testing.assert_array_equal(m, np.where(jax.random.bernoulli(key, 0.75, x.shape), np.float32(1 / 0.75), 0))
    np.testing.assert_array_equal(y, m * x)


@pytest.mark.parametrize("layer", [fnnet.Dropout, fnnet.Rescale])
def test_swept_numbers_of_a_layer_take_the_dtype_of_what_they_meet(layer):
    x, key = jnp.ones((3, 2), jnp.bfloat16), jax.random.key(0)

    def both_ways(number):
        y, residuals = layer(number).forward((), x, key=key)
        return y, layer(number).backward((), residuals, y)[1]

    y, dx = jax.eval_shape(jax.vmap(both_ways), jnp.asarray([0.25, 0.5]))
    assert y.dtype == dx.dtype == jnp.bfloat16


def test_integers_take_the_dtype_of_their_scale(float64):
    x = jnp.ones((3, 2), jnp.uint8)
    y, _ = jax.vmap(lambda scale: fnnet.Rescale(scale).forward((), x))(jnp.asarray([0.25, 0.5], jnp.float32))
    assert y.dtype == jnp.float32


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_layer_draws_from_its_own_key(count):
    x, key = jnp.ones(30), jax.random.key(8)
    _, masks = fnnet.Serial((fnnet.Dropout(0.5),) * count).forward(((),) * count, x, key=key)
    assert len(masks) == count
    for i, mask in enumerate(masks):
        _, want = fnnet.Dropout(0.5).forward((), x, key=jax.random.fold_in(key, i))
        np.testing.assert_array_equal(mask, want)


def test_as_many_parameters_and_residuals_as_layers():
    layers = fnnet.Serial((fnnet.Relu(), fnnet.Tanh()))
    with pytest.raises(ValueError, match="parameters of 2 layers, got 1"):
        layers.forward(((),), jnp.asarray(X))
    with pytest.raises(ValueError, match="zip"):
        layers.backward(((), ()), (jnp.asarray(X),), jnp.asarray(X))


def test_dense_is_three_plain_functions():
    layer = fnnet.Dense(2)
    params, shape = layer.init(jax.random.key(0), (3,))
    y, x = fnnet.Dense.forward(fnnet.Dense(2), params, jnp.asarray(X))
    assert shape == (2,)
    np.testing.assert_allclose(y, X @ params.w + params.b[None], rtol=1e-5, atol=1e-6)
    grads, dx = fnnet.Dense.backward(layer, params, x, jnp.ones((6, 2)))
    np.testing.assert_array_equal(grads.b, [6, 6])
    assert dx.shape == X.shape


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_have_the_dtype_that_init_was_given(dtype):
    params = fnnet.init(MODEL, jax.random.key(0), dtype)
    assert {p.dtype.name for p in jax.tree.leaves(params)} == {dtype}
    assert not any(p.weak_type for p in jax.tree.leaves(params))
    value, grads = fnnet.backward(MODEL, params, X, Y)
    assert {p.dtype.name for p in jax.tree.leaves((value, grads))} == {dtype}


@spec
class Steps:
    """A layer whose parameter is an integer."""

    def init(self, key, in_shape):
        return jnp.full((2,), 300, jnp.int32), in_shape

    def forward(self, params, x, *, key=None):
        return x, None

    def backward(self, params, residuals, dy):
        return jnp.zeros_like(params), dy


def test_parameters_are_those_that_the_layers_draw_and_integers_stay_integers():
    key = jax.random.key(4)
    drawn, _ = MODEL.network.init(key, (3,))
    for got, want in zip(jax.tree.leaves(fnnet.init(MODEL, key)), jax.tree.leaves(drawn), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    steps = fnnet.init(fnnet.Model(Steps(), fnnet.SquaredError(), (3,)), key, jnp.bfloat16)
    assert (steps.dtype, steps.tolist()) == (jnp.int32, [300, 300])


def test_parameters_start_where_a_schedule_starts():
    model = fnnet.Model(fnnet.Dense(2, fnnet.Constant(fnnet.LinearSchedule(3, 1, 2))), fnnet.SquaredError(), (3,))
    np.testing.assert_array_equal(fnnet.init(model, jax.random.key(0)).w, np.full((3, 2), 3))


def test_float64_is_given_or_refused(float64):
    params = fnnet.init(MODEL, jax.random.key(0), "float64")
    value, _ = fnnet.backward(MODEL, params, X, Y)
    assert value.dtype == jnp.float64
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        fnnet.init(MODEL, jax.random.key(0), "float64")


def test_mlp_builds_what_it_says():
    model = fnnet.mlp(
        (4, 3, 2, 1), activation=(fnnet.Tanh(), fnnet.Relu()), output=fnnet.Sigmoid(), dropout=0.1, input_dropout=0.2,
        input_shape=(2, 2), scale=0.5, weights=fnnet.Zeros(), biases=None,
    )  # fmt: skip
    dense = lambda n: fnnet.Dense(n, fnnet.Zeros(), None)  # noqa: E731
    drop = fnnet.Dropout(0.1)
    assert model.network == fnnet.Serial(
        (
            *(fnnet.Flatten(), fnnet.Rescale(0.5), fnnet.Dropout(0.2)),
            *(dense(3), fnnet.Tanh(), drop),
            *(dense(2), fnnet.Relu(), drop),
            *(dense(1), fnnet.Sigmoid()),
        )
    )


def test_preprocessing_stands_before_everything_else():
    first = fnnet.Rescale(2)
    for given in (first, (first,), [first]):
        model = fnnet.mlp((4, 1), input_shape=(2, 2), scale=0.5, preprocessing=given)
        assert model.network == fnnet.Serial((first, fnnet.Flatten(), fnnet.Rescale(0.5), fnnet.Dense(1)))
    assert fnnet.mlp([4, 1]) == fnnet.mlp((4, 1))


TRACED = []


@spec
class Counted:
    """The identity, which writes down every time its forward is run by Python."""

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        TRACED.append(x.shape)
        return x, None

    def backward(self, params, residuals, dy):
        return (), dy


@pytest.mark.parametrize("call", [fnnet.forward, fnnet.predict])
def test_forward_and_predict_are_compiled(call):
    model = fnnet.Model(Counted(), fnnet.SquaredError(), (3,))
    TRACED.clear()
    for x in (X, X + 1, jnp.asarray(X)):
        np.testing.assert_array_equal(call(model, (), x), x)
    assert TRACED == [(6, 3)]


def test_compiled_functions_work_inside_jit_vmap_and_grad():
    for call in (fnnet.forward, fnnet.predict):
        want = call(MODEL, PARAMS, X)
        np.testing.assert_allclose(jax.jit(call)(MODEL, PARAMS, X), want, rtol=1e-6)
        np.testing.assert_allclose(jax.vmap(lambda x: call(MODEL, PARAMS, x[None])[0])(X), want, rtol=1e-5, atol=1e-7)  # noqa: B023
        grads = jax.grad(lambda p: call(MODEL, p, X)[0, 0])(PARAMS)  # noqa: B023
        assert np.abs(grads[0].w).max() > 0


def test_lists_are_arrays_to_predict(untyped):
    np.testing.assert_array_equal(fnnet.predict(MODEL, PARAMS, X.tolist()), fnnet.predict(MODEL, PARAMS, X))
    for call in (fnnet.forward, fnnet.predict):
        with pytest.raises(TypeError, match=f"^{call.__name__}: x: expected an array of numbers, got None"):
            call(MODEL, PARAMS, None)


@spec
class Failing:
    """A layer of somebody's with a mistake in one method."""

    method: str = static()

    def init(self, key, in_shape):
        return self.fail("init", ()), in_shape

    def forward(self, params, x, *, key=None):
        return self.fail("forward", x), None

    def backward(self, params, residuals, dy):
        return (), self.fail("backward", dy)

    def fail(self, method, value):
        return value if method != self.method else {}["no such key"]


@pytest.mark.parametrize("method", ["init", "forward", "backward"])
def test_a_layer_that_fails_is_named_with_its_number(method):
    network = fnnet.Serial((fnnet.Relu(), fnnet.Serial((fnnet.Relu(), fnnet.Relu(), Failing(method)))))
    model = fnnet.Model(network, fnnet.SquaredError(), (3,))
    with pytest.raises(KeyError, match="no such key") as error:
        fnnet.backward(model, fnnet.init(model, jax.random.key(0)), X, X)
    shape = "(3,), the out_shape of Relu.init" if method == "init" else (6, 3)
    assert error.value.__notes__[:2] == [
        f"raised in layer 2 of the Serial, Failing.{method}, given shape {shape}",
        f"raised in layer 1 of the Serial, Serial.{method}, given shape {shape}",
    ]


class NoSpec:
    """A layer but for the decorator."""

    init, forward, backward = Counted.init, Counted.forward, Counted.backward


class Plainer(fnnet.Dense):
    """Inherits from a spec, without the decorator."""


class Transformation(NamedTuple):
    """What optax calls an optimizer."""

    init: object = NoSpec.init
    forward: object = NoSpec.forward
    backward: object = NoSpec.backward


def model_of(network=fnnet.Relu(), loss=fnnet.SquaredError(), penalty=None):  # noqa: B008
    return fnnet.Model(network, loss, (3,), penalty)


def loss_of(loss, y):
    return fnnet.loss(fnnet.mlp((3, 2), loss=loss), fnnet.init(fnnet.mlp((3, 2)), jax.random.key(0)), X, y)


ERRORS = {
    "sizes": (lambda: fnnet.mlp((3,)), ValueError, "mlp: expected sizes"),
    "no sizes": (lambda: fnnet.mlp(()), ValueError, r"mlp: expected sizes to be ints above 0 .*, got \(\)"),
    "one int": (lambda: fnnet.mlp(3), ValueError, "mlp: expected sizes to be ints above 0 .*, got 3"),
    "a size of 0": (lambda: fnnet.mlp((3, 0, 1)), ValueError, "mlp: expected sizes to be ints above 0"),
    "a size of 2.5": (lambda: fnnet.mlp((3, 2.5, 1)), ValueError, "mlp: expected sizes to be ints above 0"),
    "an int for a shape": (lambda: fnnet.mlp((3, 1), input_shape=3), ValueError, "mlp: expected input_shape"),
    "activation by name": (lambda: fnnet.mlp((3, 1), activation="relu"), TypeError, "mlp: expected activation .*Relu"),
    "output by name": (lambda: fnnet.mlp((3, 1), output="softmax"), TypeError, "mlp: expected output to be a layer"),
    "preprocessing": (lambda: fnnet.mlp((3, 1), preprocessing=len), TypeError, "expected preprocessing to be a layer"),
    "loss by name": (lambda: fnnet.mlp((3, 1), loss="mse"), TypeError, "loss such as SquaredError.*got 'mse'"),
    "loss and no name": (lambda: model_of(loss=None), TypeError, "loss such as SquaredError.*got None"),
    "penalty by name": (lambda: model_of(penalty="l2"), TypeError, "penalty such as L2.*got 'l2'"),
    "layer by name": (lambda: model_of("relu"), TypeError, "network to be a layer .*got 'relu', which has no init"),
    "layers by name": (lambda: fnnet.Serial("ab"), TypeError, "tuple of layers, got 'ab'"),
    "inner by name": (lambda: fnnet.Residual("relu"), TypeError, "Residual: expected a layer .*got 'relu'"),
    "weights by name": (lambda: fnnet.Dense(3, "he"), TypeError, "initializer such as HeNormal.*got 'he'"),
    "class for weights": (lambda: fnnet.Dense(3, fnnet.HeNormal), TypeError, r"got the class HeNormal; build it"),
    "a NamedTuple": (lambda: model_of(Transformation()), TypeError, "is a tuple and not a spec"),
    "no decorator": (lambda: fnnet.Serial((NoSpec(),)), TypeError, "write @fnnet.spec above class NoSpec"),
    "no decorator on a subclass": (lambda: Plainer(3), TypeError, "Plainer: write @fnnet.spec above .*as above Dense"),
    "a name in a Chain": (lambda: fnnet.Chain(("adam",)), TypeError, "transformation 0 to be an optimizer .*'adam'"),
    "parameters for a model": (lambda: fnnet.predict(PARAMS, MODEL, X), TypeError, "predict: expected a Model first"),
    "two sigmoids": (
        lambda: fnnet.mlp((2, 1), output=fnnet.Sigmoid(), loss=fnnet.SigmoidBinaryCrossEntropy()),
        ValueError,
        r"takes logits and has a Sigmoid\(\) of its own; leave output out",
    ),
    "words": (lambda: fnnet.predict(MODEL, PARAMS, X.astype(str)), TypeError, "predict: x: expected numbers"),
    "another width": (
        lambda: fnnet.predict(fnnet.mlp((3, 5, 2)), PARAMS, X),
        ValueError,
        r"expected w of shape \(3, 5\), got \(3, 4\); are the parameters from another network",
    ),
    "classes for values": (lambda: loss_of(fnnet.SquaredError(), Y), ValueError, "for classes take SoftmaxCross"),
    "floats for classes": (
        lambda: loss_of(fnnet.SoftmaxCrossEntropy(), Y * 1.0),
        ValueError,
        r"targets to be integer classes of shape \(6,\) .*; write np.asarray\(y\).astype\(int\)",
    ),
    "floats for classes in fit": (
        lambda: fnnet.evaluate(MODEL, PARAMS, Batch(X, Y * 1.0)),
        ValueError,
        r"targets to be integer classes of shape \(6,\) .*; write np.asarray\(y\).astype\(int\)",
    ),
    "a column for classes": (
        lambda: loss_of(fnnet.SoftmaxCrossEntropy(), Y[:, None]),
        ValueError,
        r"got int32 of shape \(6, 1\); write np.asarray\(y\)\[:, 0\]",
    ),
    "one output": (
        lambda: fnnet.loss(fnnet.mlp((3, 1)), fnnet.init(fnnet.mlp((3, 1)), jax.random.key(0)), X, X[:, :1]),
        ValueError,
        "softmax of one output is always 1.*SigmoidBinaryCrossEntropy for targets .*, SquaredError for values",
    ),
    "input shape": (lambda: fnnet.mlp((3, 2), input_shape=(2, 2)), ValueError, "input_shape"),
    "activations": (lambda: fnnet.mlp((3, 4, 2), activation=(fnnet.Relu(),) * 2), ValueError, "1 activations"),
    "features": (lambda: fnnet.Dense(0), ValueError, "Dense: expected features"),
    "features as float": (lambda: fnnet.Dense(2.0), ValueError, "Dense: expected features"),
    "inputs and outputs": (lambda: fnnet.Dense(64, 128), TypeError, r"told its outputs only: Dense\(128\)"),
    "biases as a number": (lambda: fnnet.Dense(64, biases=0), TypeError, "biases to be an initializer"),
    "another depth": (lambda: fnnet.forward(MODEL, PARAMS[:-1], X), ValueError, "parameters of .* layers, got"),
    "a number for a key": (lambda: fnnet.init(MODEL, 0), TypeError, r"a key such as jax.random.key\(0\), got int32"),
    "class for a layer": (lambda: fnnet.Serial((fnnet.Dense(3), fnnet.Relu)), TypeError, "layer 1 .*the class Relu"),
    "class for a network": (lambda: fnnet.Model(fnnet.Relu, fnnet.SquaredError(), (3,)), TypeError, "network"),
    "class for a loss": (lambda: fnnet.Model(fnnet.Relu(), fnnet.SquaredError, (3,)), TypeError, "loss"),
    "no learning rate": (lambda: fnnet.Sgd(None), TypeError, "learning_rate"),
    "no tuple": (lambda: fnnet.Serial(fnnet.Relu()), TypeError, "tuple of layers"),
    "rate": (lambda: fnnet.Dropout(1), ValueError, "0 <= rate < 1"),
    "model shape": (lambda: fnnet.Model(fnnet.Relu(), fnnet.SquaredError(), 3), ValueError, "input_shape"),
    "residual": (
        lambda: fnnet.Residual(fnnet.Dense(2)).init(jax.random.key(0), (3,)),
        ValueError,
        "to give shape",
    ),
    "integers": (
        lambda: fnnet.forward(MODEL, PARAMS, X.astype(np.int32)),
        TypeError,
        r"put Rescale\(1 / 255\)",
    ),
    "wrong columns": (lambda: fnnet.forward(MODEL, PARAMS, X[:, :2]), ValueError, r"\(B, 3\)"),
    "single row": (lambda: fnnet.forward(MODEL, PARAMS, X[0]), ValueError, r"x\[None\]"),
    "no rows": (lambda: fnnet.loss(MODEL, PARAMS, X[:0], Y[:0]), ValueError, "B of 1 or more"),
    "rows and targets": (lambda: fnnet.loss(MODEL, PARAMS, X, Y[:5]), ValueError, "as many targets as rows"),
    "weights": (
        lambda: fnnet.backprop(MODEL, PARAMS, Batch(X, Y, np.ones(5))),
        ValueError,
        "one per row",
    ),
    "wrong params": (
        lambda: fnnet.Dense(2).forward(PARAMS[0], jnp.ones((1, 5))),
        ValueError,
        "expected rows of 3 numbers",
    ),
    "a schedule without a step, backward": (
        lambda: fnnet.backprop(fnnet.mlp((3, 2), scale=fnnet.LinearSchedule(0, 1, 2)), PARAMS, Batch(X, Y)),
        ValueError,
        "backprop: .*at_step",
    ),
    "a schedule without a step": (
        lambda: fnnet.forward(fnnet.mlp((3, 2), scale=fnnet.LinearSchedule(0, 1, 2)), PARAMS, X),
        ValueError,
        "at_step",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_do(name, untyped):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        call()


def test_a_network_learns_xor():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    model = fnnet.mlp((2, 8, 1), activation=fnnet.Tanh(), loss=fnnet.SigmoidBinaryCrossEntropy())
    optimizer = fnnet.Adam(0.05)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    state, history = fnnet.train(model, optimizer, state, Batch(x, y), epochs=300, batch_size=4, shuffle=None)
    assert history.training.accuracy[-1] == 1
    np.testing.assert_allclose(fnnet.predict(model, state.params, x), y, atol=0.05)
