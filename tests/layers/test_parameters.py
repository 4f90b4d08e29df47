"""Every layer that draws parameters: what it passes to its initializers, and that what these give is what it has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.layers import DenseParams

KEY = jax.random.key(0)


@fnnet.spec
class Fans:
    """An initializer whose numbers say what it was asked for: fan_in + 1000 fan_out, plus its mark in millions."""

    mark: fnnet.Number = 0.0

    def __call__(self, key, shape, dtype, fan_in, fan_out):
        return jnp.full(shape, fan_in + 1000 * fan_out + 1e6 * self.mark, dtype)


W, B = Fans(), Fans(1.0)
DENSE, OUT = DenseParams(4004.0, 1004004.0), DenseParams(2004004.0, 1004004.0)
ROWS = {
    "Dense": (fnnet.Dense(3, W, B), (5,), [3005.0, 1003005.0]),
    "Conv": (fnnet.Conv(6, (3, 2), weights=W, biases=B, groups=2), (5, 5, 4), [18012.0, 1018012.0]),
    "Conv without biases": (fnnet.Conv(6, (3,), weights=W, biases=None), (5, 4), [18012.0]),
    "ConvTranspose": (fnnet.ConvTranspose(6, (4, 3), stride=2, weights=W, biases=B), (5, 5, 4), [72012.0, 1072012.0]),
    "ConvTranspose, stride above its kernel": (
        fnnet.ConvTranspose(3, (1,), stride=2, weights=W),
        (5, 4),
        [3004.0, 0.0],
    ),
    "Embedding": (fnnet.Embedding(7, 3, W), (4,), [3007.0]),
    "Positions": (fnnet.Positions(W), (5, 3), [3005.0]),
    "Rnn": (fnnet.Recurrent(fnnet.Rnn(3), W, Fans(2.0), B), (4, 5), [3005.0, 1003005.0, 2003003.0]),
    "Gru": (fnnet.Recurrent(fnnet.Gru(3), W, Fans(2.0), B), (4, 5), [3005.0, 1003005.0, 2003003.0, 1003003.0]),
    "LayerNorm": (fnnet.LayerNorm(), (4, 5), [1.0, 0.0]),
    "GroupNorm": (fnnet.GroupNorm(2), (4, 6), [1.0, 0.0]),
    "RmsNorm": (fnnet.RmsNorm(), (4, 5), [1.0]),
    "BatchNorm": (fnnet.BatchNorm(), (4, 5), [1.0, 0.0, 0.0, 1.0]),
    "Attention": (fnnet.Attention(2, weights=W, biases=B), (5, 4), [*DENSE, *DENSE, *DENSE, *DENSE]),
    "Attention, output by itself": (
        fnnet.Attention(2, weights=W, out_weights=Fans(2.0), biases=B),
        (5, 4),
        [*DENSE, *DENSE, *DENSE, *OUT],
    ),
}


@pytest.mark.parametrize(("layer", "in_shape", "want"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initializers_are_told_the_fans_and_give_the_parameters(layer, in_shape, want, dtype):
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.leaves(layer.init(KEY, in_shape)[0])
    assert [np.unique(p).tolist() for p in params] == [[number] for number in want]
    assert {str(p.dtype) for p in params} == {dtype}


def test_every_tensor_of_a_recurrence_has_a_draw_of_its_own():
    """Draws from one key agree where their places do, so a bias would be the first row of a weight."""
    normal = fnnet.Normal(1.0)
    params, _ = fnnet.Recurrent(fnnet.Gru(4), normal, normal, normal).init(KEY, (3, 4))
    first = [np.asarray(p).reshape(-1, 12)[0] for p in jax.tree.leaves(params)]
    assert len(first) == 4
    assert len({number for row in first for number in row.tolist()}) == 48


def test_pooling_says_the_shape_of_its_outputs():
    for layer, in_shape, out_shape in (
        (fnnet.GlobalMeanPool(), (4, 5, 3), (3,)),
        (fnnet.GlobalMaxPool(), (7, 3), (3,)),
        (fnnet.MaxPool((2, 2)), (4, 6, 3), (2, 3, 3)),
        (fnnet.MeanPool((2,)), (6, 3), (3, 3)),
    ):
        assert layer.init(KEY, in_shape) == ((), out_shape)
        assert layer.forward((), jnp.ones((2, *in_shape)))[0].shape == (2, *out_shape)


NORMS = (fnnet.LayerNorm(), fnnet.RmsNorm(), fnnet.GroupNorm(2), fnnet.BatchNorm())
EVERY_NORM = pytest.mark.parametrize("layer", NORMS, ids=repr)


@EVERY_NORM
def test_a_norm_in_bfloat16_computes_in_float32_and_rounds_its_results(layer):
    """Sums of a thousand entries, which bfloat16 could not hold."""
    shape = (1000, 2) if isinstance(layer, fnnet.BatchNorm) else (2, 1000)
    x = (3 + jax.random.normal(KEY, shape)).astype(jnp.bfloat16)
    dy = jax.random.normal(jax.random.key(1), shape).astype(jnp.bfloat16)

    def both(dtype):
        params = layer.init(KEY, shape[1:])[0]
        params = params._replace(**{n: getattr(params, n).astype(dtype) for n in params._fields if n != "statistics"})
        y, residuals = layer.forward(params, x.astype(dtype), key=KEY)
        grads, dx = layer.backward(params, residuals, dy.astype(dtype))
        return [y, dx, grads.scale, *([grads.shift] if hasattr(grads, "shift") else [])]

    for rounded, exact in zip(both("bfloat16"), both("float32"), strict=True):
        assert rounded.dtype == "bfloat16"
        np.testing.assert_allclose(rounded.astype("float32"), exact, rtol=2**-8, atol=1e-4)


@EVERY_NORM
def test_a_norm_refuses_other_channels_by_name(untyped, layer):
    params, _ = layer.init(KEY, (4,))
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"^{name}\.forward: expected rows of 4 channels, got x of shape \(2, 6\)"):
        layer.forward(params, jnp.ones((2, 6)), key=KEY)
    with pytest.raises(TypeError, match=rf"^{name}\.forward: expected floating numbers, got int32"):
        layer.forward(params, jnp.ones((2, 4), int), key=KEY)


@pytest.mark.usefixtures("float64")
def test_a_sequence_is_an_image_of_height_one():
    """Convolutions of one axis and of two, forward and backward, with strides, dilation and groups."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 7, 4)))
    for kind in (fnnet.Conv, fnnet.ConvTranspose):
        line = kind(6, (4,), stride=2, dilation=2, groups=2)
        area = kind(6, (1, 4), stride=(1, 2), dilation=(1, 2), groups=2)
        params, _ = line.init(KEY, (7, 4))
        y, residuals = line.forward(params, x)
        dy = jnp.asarray(rng.normal(size=y.shape))
        wide = params._replace(w=params.w[None])
        y2, residuals2 = area.forward(wide, x[:, None])
        np.testing.assert_allclose(y, y2[:, 0], rtol=1e-12, atol=1e-13)
        (dw, db), dx = line.backward(params, residuals, dy)
        (dw2, db2), dx2 = area.backward(wide, residuals2, dy[:, None])
        for one, two in ((dw, dw2[0]), (db, db2), (dx, dx2[:, 0])):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("kernel", "stride", "ends"), [(3, 1, (1, 1)), (4, 1, (1, 2)), (5, 2, (1, 2)), (2, 2, (0, 0))])
def test_same_padding_of_a_transposed_convolution_cuts_both_ends(kernel, stride, ends):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3)), "float32")
    same, cut = (fnnet.ConvTranspose(2, (kernel,), stride, padding=p) for p in ("same", (ends,)))
    params, (steps, _) = same.init(KEY, (6, 3))
    y, _ = same.forward(params, x)
    assert y.shape == (2, 6 * stride, 2) == (2, steps, 2)
    np.testing.assert_array_equal(y, cut.forward(params, x)[0])


def test_attention_without_biases_is_attention_with_biases_of_zero():
    x = jax.random.normal(KEY, (2, 5, 4))
    plain, zero = fnnet.Attention(2, biases=None), fnnet.Attention(2)
    params, _ = plain.init(KEY, (5, 4))
    zeros = type(params)(*(DenseParams(each.w, jnp.zeros(4)) for each in params))
    (y, residuals), (y0, residuals0) = plain.forward(params, x), zero.forward(zeros, x)
    np.testing.assert_allclose(y, y0, rtol=1e-6)
    (grads, dx), (grads0, dx0) = plain.backward(params, residuals, y), zero.backward(zeros, residuals0, y)
    np.testing.assert_allclose(dx, dx0, rtol=1e-5, atol=1e-7)
    for each, each0 in zip(grads, grads0, strict=True):
        assert each.b is None
        np.testing.assert_allclose(each.w, each0.w, rtol=1e-5, atol=1e-6)


def test_attention_in_bfloat16_sums_in_float32():
    """A thousand equal weights: counted in bfloat16, their sum stops at 256."""
    layer = fnnet.Attention(1, causal=False)
    params, _ = layer.init(KEY, (1000, 2))
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    x = jnp.ones((1, 1000, 2), jnp.bfloat16)
    y, residuals = layer.forward(params, x)
    one, _ = layer.forward(params, x[:, :1])
    np.testing.assert_allclose(*(np.asarray(a, float) for a in (y[:, :1], one)), rtol=0.02)
    assert residuals.lse.dtype == "float32"
    grads, dx = layer.backward(params, residuals, y)
    assert {str(a.dtype) for a in jax.tree.leaves((grads, dx))} == {"bfloat16"}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_tokens_of_few_bits_count_in_a_large_vocabulary(dtype):
    layer = fnnet.Embedding(300, 2)
    params, _ = layer.init(KEY, (2,))
    x = jnp.array([[5, 100]], dtype)
    y, residuals = layer.forward(params, x)
    np.testing.assert_array_equal(y, params.w[np.array([[5, 100]])])
    (dw,), _ = layer.backward(params, residuals, jnp.ones_like(y))
    assert np.flatnonzero(np.asarray(dw).any(-1)).tolist() == [5, 100]


def test_tokens_that_do_not_exist_get_no_gradient():
    layer = fnnet.Embedding(3, 2)
    params, _ = layer.init(KEY, (3,))
    (dw,), _ = layer.backward(params, jnp.array([[-1, 1, 3]]), jnp.ones((1, 3, 2)))
    np.testing.assert_array_equal(dw, [[0, 0], [1, 1], [0, 0]])


def test_wrong_channels_and_parameters_of_another_layer_are_refused():
    for kind in (fnnet.Conv, fnnet.ConvTranspose):
        params, _ = kind(2, (3,)).init(KEY, (5, 4))
        with pytest.raises(ValueError, match=rf"^{kind.__name__}.forward: expected w of shape \(3, 3, 2\)"):
            kind(2, (3,)).forward(params, jnp.ones((1, 5, 3)))


def test_whether_a_model_has_convolutions():
    for layer, has in ((fnnet.Conv(2, (3,)), True), (fnnet.ConvTranspose(2, (3,)), True), (fnnet.Dense(2), False)):
        model = fnnet.Model(fnnet.Serial((fnnet.Residual(fnnet.Serial((layer,))),)), fnnet.SquaredError(), (4, 2))
        assert bool(fnnet.layers.convolution.has_convolutions(model)) is has


def test_running_statistics_keep_their_dtype():
    layer = fnnet.BatchNorm()
    params, _ = layer.init(KEY, (2,))
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
        _, residuals = layer.forward(jax.tree.map(lambda p: p.astype("float64"), params), x, key=KEY)
        after = layer.absorb(params, residuals)
    assert {str(a.dtype) for a in jax.tree.leaves(after)} == {"float32"}


def test_parameters_of_a_serial_may_be_a_list():
    layer = fnnet.Serial((fnnet.Dense(2), fnnet.Tanh()))
    params, _ = layer.init(KEY, (3,))
    x = jnp.ones((1, 3))
    np.testing.assert_array_equal(layer.forward(list(params), x)[0], layer.forward(params, x)[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_starts_with_the_statistics_of_its_layers(dtype):
    model = fnnet.Model(fnnet.Serial((fnnet.BatchNorm(),)), fnnet.SquaredError(), (2,))
    (params,) = fnnet.init(model, KEY, dtype)
    assert params.scale.dtype == dtype
    for a, number in zip(params.statistics, (0, 1), strict=True):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, number)


@pytest.mark.parametrize(
    "layer",
    [fnnet.MaxPool((2,)), fnnet.MeanPool((2,)), fnnet.GlobalMaxPool(), fnnet.GlobalMeanPool(), fnnet.Dropout(0.2)],
    ids=repr,
)
def test_integers_are_refused_where_they_would_wrap_around(untyped, layer):
    """The sum of four bytes of 200 is 32 in a byte."""
    with pytest.raises(TypeError, match=rf"^{type(layer).__name__}\.forward: expected floating numbers, got uint8"):
        layer.forward((), jnp.full((2, 4, 3), 200, jnp.uint8), key=KEY)
