"""Convolution and pooling: by hand, at ties, at edges, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.inspection.trace_text import explain
from fnnet.sweeps import Configuration, grid, sweep

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def test_a_convolution_by_hand():
    """One row of a 3 x 3 image and a 2 x 2 kernel, written out."""
    layer = fnnet.Conv(1, (2, 2), padding="valid")
    x = jnp.asarray([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).reshape(1, 3, 3, 1)
    params = fnnet.layers.ConvParams(jnp.asarray([[1.0, 10], [100, 1000]]).reshape(2, 2, 1, 1), jnp.asarray([0.5]))
    y, residuals = layer.forward(params, x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5421.5, 6532.5], [8754.5, 9865.5]])
    grads, dx = layer.backward(params, residuals, jnp.asarray([[1.0, 0], [0, 2]]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(grads.w[:, :, 0, 0], [[1 + 2 * 5, 2 + 2 * 6], [4 + 2 * 8, 5 + 2 * 9]])
    np.testing.assert_array_equal(grads.b, [3.0])
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 10, 0], [100, 1002, 20], [0, 200, 2000]])


def test_transposed_doubles_the_size_by_hand():
    layer = fnnet.ConvTranspose(1, (2, 2), stride=2)
    params = fnnet.layers.ConvParams(jnp.asarray([[1.0, 2], [3, 4]]).reshape(2, 2, 1, 1), jnp.zeros(1))
    y, _ = layer.forward(params, jnp.asarray([[1.0, 10]]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(y[0, :, :, 0], [[1, 2, 10, 20], [3, 4, 30, 40]])


@pytest.mark.parametrize("seed", range(3))
def test_transposed_is_the_transpose(float64, seed):
    """<ConvTranspose(x), y> = <x, Conv(y)> with the same weights, channels exchanged."""
    rng = np.random.default_rng(seed)
    w = jnp.asarray(rng.normal(size=(3, 2, 4, 5)))
    up = fnnet.ConvTranspose(5, (3, 2), stride=(2, 3), padding="valid", biases=None)
    down = fnnet.Conv(4, (3, 2), stride=(2, 3), padding="valid", biases=None)
    x = jnp.asarray(rng.normal(size=(2, 3, 4, 4)))
    large, _ = up.forward(fnnet.layers.ConvParams(w, None), x)
    y = jnp.asarray(rng.normal(size=large.shape))
    small, _ = down.forward(fnnet.layers.ConvParams(w.swapaxes(2, 3), None), y)
    assert abs(float((large * y).sum() - (x * small).sum())) < 1e-11


@pytest.mark.parametrize("layer", [fnnet.Conv, fnnet.ConvTranspose])
def test_weights_are_drawn_for_the_inputs_of_an_output(layer):
    """HeNormal: variance 2 / fan_in, fan_in the products in one output; biases 0."""
    spec = layer(64, (3, 3), stride=3, groups=2)
    params, out_shape = spec.init(KEY, (6, 9, 32))
    assert params.w.shape == (3, 3, 16, 64)
    fan_in = 9 * 16 if layer is fnnet.Conv else 16
    assert abs(float(params.w.var()) * fan_in / 2 - 1) < 0.1
    assert not params.b.any()
    assert out_shape == ((2, 3, 64) if layer is fnnet.Conv else (18, 27, 64))
    uniform = layer(64, (3,), weights=fnnet.GlorotUniform(), biases=fnnet.Constant(2.0))
    params, _ = uniform.init(KEY, (9, 32))
    bound = np.sqrt(6 / (3 * 32 + 3 * 64))
    assert bound * 0.98 < float(jnp.abs(params.w).max()) <= bound
    assert (params.b == 2).all()
    assert layer(3, (2,), biases=None).init(KEY, (9, 2))[0].b is None


def test_branches_absorb_their_statistics():
    """BatchNorm inside of Parallel and on both sides of a Residual follows its batches."""
    norm = fnnet.BatchNorm(0.5)
    network = fnnet.Serial(
        (fnnet.Parallel((norm, fnnet.Serial((norm,)))), fnnet.Residual(norm, norm), fnnet.Residual(norm))
    )
    params, _ = network.init(KEY, (3,))
    x = jnp.asarray(RNG.normal(3, 2, (64, 3)), "float32")
    _, residuals = network.forward(params, x, key=KEY)
    after = network.absorb(params, residuals)
    half = 0.5 * x.mean(0)
    np.testing.assert_allclose(after[0][0].statistics.mean, half, rtol=1e-5)
    np.testing.assert_allclose(after[0][1][0].statistics.mean, half, rtol=1e-5)
    for statistics in (after[1].inner.statistics, after[1].shortcut.statistics, after[2].statistics):
        np.testing.assert_allclose(statistics.mean, 0, atol=1e-5)
        assert (statistics.variance != 1).all()


TRACED = fnnet.Serial(
    (
        fnnet.Conv(2, (3, 3)),
        fnnet.MaxPool((2, 2)),
        fnnet.BatchNorm(),
        fnnet.Residual(fnnet.Conv(4, (1, 1)), fnnet.Conv(4, (1, 1))),
        fnnet.GlobalMaxPool(),
    )
)


@pytest.mark.slow
def test_a_trace_shows_every_layer_by_its_formulas():
    model = fnnet.Model(TRACED, fnnet.SoftmaxCrossEntropy(), (4, 4, 1))
    state = fnnet.init_state(model, fnnet.Adam(1e-3), KEY)
    x, y = np.asarray(RNG.normal(size=(2, 4, 4, 1)), np.float32), np.array([0, 1], np.int32)
    trace = fnnet.trace(model, state.params, x, y, key=KEY, optimizer=fnnet.Adam(1e-3), opt_state=state.opt_state)
    assert [name.split()[1] for name in trace.layers] == [type(layer).__name__ for layer in TRACED.layers]
    text = explain(trace)
    for words in ("a0 = conv(x, w0) + b0", "largest a0 in the window", "y3 = inner(y2) + shortcut(y2)", "dscale2"):
        assert words in text
    assert trace.layers["2 BatchNorm"].updates.statistics == fnnet.Statistics(None, None)
    assert "MaxPool" in str(trace)


TIES = [
    fnnet.MaxPool((2, 2)),
    fnnet.MaxPool((3, 3), stride=2, padding=((1, 1), (1, 1))),
    fnnet.GlobalMaxPool(),
]


@pytest.mark.parametrize("layer", TIES, ids=repr)
def test_of_equals_the_first_takes_the_whole_gradient(layer):
    """On a constant image nothing is counted twice, and the sum of the gradients is that of dy."""
    x = jnp.zeros((2, 5, 5, 3))
    y, residuals = layer.forward((), x)
    dy = jnp.asarray(RNG.normal(size=y.shape), "float32")
    _, dx = layer.backward((), residuals, dy)
    np.testing.assert_allclose(dx.sum((1, 2)), dy.reshape(2, -1, 3).sum(1), rtol=1e-5)
    if isinstance(layer, fnnet.GlobalMaxPool):
        np.testing.assert_array_equal(dx[:, 0, 0], dy)
    elif layer.stride is None:
        np.testing.assert_array_equal(dx[:, :4:2, :4:2], dy)
        assert not dx[:, 1::2].any()


@pytest.mark.parametrize("layer", TIES, ids=repr)
def test_nan_in_gives_nan_out(layer):
    y, _ = layer.forward((), jnp.zeros((1, 4, 4, 2)).at[0, 1, 1, 0].set(jnp.nan))
    assert jnp.isnan(y[0, ..., 0]).any()
    assert not jnp.isnan(y[0, ..., 1]).any()


def test_padding_never_wins_and_never_counts():
    x = jnp.full((1, 4, 4, 1), -5.0)
    for layer in (fnnet.MaxPool((3, 3), stride=2, padding="same"), fnnet.MeanPool((3, 3), stride=2, padding="same")):
        y, _ = layer.forward((), x)
        np.testing.assert_allclose(y, jnp.full_like(y, -5.0), rtol=1e-6)


@pytest.mark.parametrize("activation", [fnnet.Relu(), fnnet.Tanh(), fnnet.Sigmoid()], ids=repr)
def test_a_pool_before_an_increasing_activation_changes_nothing(activation):
    """`cnn` puts the pool first: outputs and gradients as with the activation first."""
    early, late = (
        fnnet.Serial((fnnet.Conv(3, (3, 3)), *pair))
        for pair in ((fnnet.MaxPool((2, 2)), activation), (activation, fnnet.MaxPool((2, 2))))
    )
    x = jnp.asarray(RNG.normal(size=(4, 6, 6, 2)), "float32")
    params, _ = early.init(KEY, (6, 6, 2))
    found = []
    for network in (early, late):
        y, residuals = network.forward(params, x)
        dy = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        found.append((y, network.backward(params, residuals, dy)))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


DATA = Batch(RNG.integers(0, 256, (20, 8, 8)).astype(np.uint8), RNG.integers(0, 3, 20).astype(np.int32))


def test_cnn_is_printed_as_its_architecture():
    model = fnnet.cnn((8, 8), ((4, 4), 8), (16, 3), normalization=fnnet.BatchNorm(), dropout=0.5, scale=1 / 255)
    names = [type(layer).__name__ for layer in model.network.layers]
    block = ["Conv", "BatchNorm"]
    assert names == [
        "Rescale", "Reshape", *block, "Relu", *block, "MaxPool", "Relu", *block, "MaxPool", "Relu",
        "Flatten", "Dense", "Relu", "Dropout", "Dense",
    ]  # fmt: skip
    assert "Conv(features=8, kernel=(3, 3), biases=None)" in repr(model)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cnn_learns_its_rows(dtype):
    model = fnnet.cnn((8, 8), (4, 8), (3,), normalization=fnnet.BatchNorm(), scale=1 / 255)
    optimizer = fnnet.Adam(1e-2)
    state = fnnet.init_state(model, optimizer, KEY, dtype)
    state, history = fnnet.train(model, optimizer, state, DATA, epochs=12, batch_size=8, shuffle=KEY)
    assert history.training.loss[-1] < 0.5 * history.training.loss[0]
    assert state.params[2].w.dtype == dtype


def test_fit_trains_convolutions_wherever_the_rows_lie(tmp_path):
    """In memory, in a file, on a mesh: what `train` gives up to rounding, since `fit` compiles with another option."""
    model, optimizer = fnnet.cnn((8, 8), (2,), (3,), normalization=fnnet.BatchNorm(), scale=1 / 255), fnnet.Adam(1e-2)
    settings = {"epochs": 2, "batch_size": 10, "shuffle": KEY}

    def start():
        return fnnet.init_state(model, optimizer, jax.random.key(0))

    wanted, _ = fnnet.train(model, optimizer, start(), DATA, **settings)
    np.save(tmp_path / "x.npy", DATA.x)
    in_file = DATA._replace(x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    for data, mesh in ((DATA, None), (in_file, None), (DATA, fnnet.data_mesh())):
        state, _ = fnnet.fit(model, optimizer, start(), data, mesh=mesh, progress=False, **settings)
        for got, want in zip(jax.tree.leaves(state.params), jax.tree.leaves(wanted.params), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_convolutions_are_swept_and_saved(tmp_path):
    model, optimizer = fnnet.cnn((8, 8), (2,), (3,), scale=1 / 255), fnnet.Adam(1e-2)
    points = grid(Configuration(model, optimizer, batch_size=8), {"optimizer.learning_rate": (1e-2, 1e-3)})
    results = sweep(points, DATA, epochs=2, seeds=2, shuffle=KEY, progress=False)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    alone, history = fnnet.train(model, optimizer, state, DATA, epochs=2, batch_size=8, shuffle=KEY)
    np.testing.assert_allclose(results.curves["loss"][0], history.training.loss, rtol=1e-4)
    fnnet.save(tmp_path / "run", model, optimizer, alone)
    restored = fnnet.restore(tmp_path / "run")
    assert restored.model == model
    np.testing.assert_array_equal(
        fnnet.predict(model, restored.state.params, DATA.x), fnnet.predict(model, alone.params, DATA.x)
    )


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: fnnet.Conv(0, (3, 3)), ValueError, "features"),
        (lambda: fnnet.Conv(4, 3), ValueError, "kernel"),
        (lambda: fnnet.Conv(4, (3, 3, 3)), ValueError, "kernel"),
        (lambda: fnnet.Conv(4, (3, 3), stride=0), ValueError, "stride"),
        (lambda: fnnet.Conv(4, (3, 3), padding="full"), ValueError, "same"),
        (lambda: fnnet.Conv(4, (3, 3), padding=1), ValueError, "pair"),
        (lambda: fnnet.Conv(4, (3, 3), groups=3), ValueError, "groups"),
        (lambda: fnnet.Conv(4, (3, 3), weights=0.1), TypeError, "initializer"),
        (lambda: fnnet.Conv(4, (3, 3)).init(KEY, (28, 28)), ValueError, "Reshape"),
        (lambda: fnnet.Conv(4, (3, 3), groups=2).init(KEY, (8, 8, 3)), ValueError, "2 equal groups"),
        (lambda: fnnet.Conv(4, (9, 9), padding="valid").init(KEY, (8, 8, 3)), ValueError, "does not fit"),
        (lambda: fnnet.ConvTranspose(4, (3, 3), padding=((9, 9), (0, 0))).init(KEY, (4, 4, 2)), ValueError, "nothing"),
        (lambda: fnnet.MaxPool(2), ValueError, "size"),
        (lambda: fnnet.MaxPool((2, 2), padding=((2, 0), (0, 0))).init(KEY, (8, 8, 3)), ValueError, "smaller"),
        (lambda: fnnet.MaxPool((9, 9)).init(KEY, (8, 8, 3)), ValueError, "does not fit"),
        (lambda: fnnet.GlobalMeanPool().init(KEY, (5,)), ValueError, "before Flatten"),
        (lambda: fnnet.Reshape((3, 3)).init(KEY, (8,)), ValueError, "9 numbers"),
        (lambda: fnnet.Parallel(()), TypeError, "tuple of layers"),
        (lambda: fnnet.Parallel((fnnet.Relu(),), join="stack"), ValueError, "join"),
        (lambda: fnnet.Parallel((fnnet.Dense(2), fnnet.Dense(3)), join="add").init(KEY, (4,)), ValueError, "one shape"),
        (lambda: fnnet.Residual(fnnet.Dense(3)).init(KEY, (4,)), ValueError, "shortcut"),
        (lambda: fnnet.cnn((8,), (4,), (3,)), ValueError, "input_shape"),
        (
            lambda: fnnet.Conv(4, (3, 3)).forward(
                fnnet.Conv(4, (3, 3)).init(KEY, (8, 8, 3))[0], jnp.ones((2, 8, 8, 2))
            ),
            ValueError,
            "another network",
        ),
        (
            lambda: fnnet.Conv(4, (3, 3)).forward(
                fnnet.Conv(4, (3, 3)).init(KEY, (8, 8, 1))[0], jnp.ones((2, 8, 8, 1), "uint8")
            ),
            TypeError,
            "Rescale",
        ),
    ],
)
def test_errors(untyped, build, error, words):
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize("name", ["kernel", "stride", "dilation"])
@pytest.mark.parametrize("value", [(2, "2"), (True, 2), True, (2, 0), (2, 2, 2), 2.0], ids=str)
def test_sizes_are_ints_one_for_every_axis(name, value, untyped):
    settings = {"kernel": (3, 3)} | {name: value}
    with pytest.raises((TypeError, ValueError), match=rf"^Conv: expected {name} to be "):
        fnnet.Conv(4, **settings)


@pytest.mark.parametrize(
    "pair", [(1.5, 0), (-1, 0), (True, 0), (1, 2, 3), "ab", 3, ("1", "2")], ids=lambda pair: repr(pair)
)
def test_paddings_are_pairs_of_ints_of_0_or_more(pair, untyped):
    with pytest.raises(ValueError, match=r'^Conv: expected padding to be "same", "valid" or a pair'):
        fnnet.Conv(4, (3, 3), padding=((0, 0), pair))
