"""The trace: the same bits as `backprop`, numbers checked by hand, and text whose sums are right."""

import itertools
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.inspection._trace import trace
from fnnet.inspection.recording import per_example_gradients
from fnnet.inspection.trace_text import WIDTH, explain, table
from fnnet.layers import DenseParams

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0], np.int32)
WEIGHTS = np.array([1, 2, 0, 0.5, 3, 1], np.float32)

XOR_MODEL = fnnet.mlp((2, 2, 1), activation=fnnet.Sigmoid(), loss=fnnet.SigmoidBinaryCrossEntropy())
XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)
XOR_PARAMS = (
    DenseParams(jnp.array([[0.3, -0.5], [0.8, 0.4]]), jnp.array([0.1, -0.2])),
    (),
    DenseParams(jnp.array([[0.7], [-0.6]]), jnp.array([0.05])),
)


def nested(dropout=0.3):
    inner = fnnet.Serial((fnnet.Dense(4), fnnet.Dropout(dropout), fnnet.Tanh()))
    layers = (
        *(fnnet.Dense(4), fnnet.Relu(), fnnet.Residual(inner), fnnet.Residual(fnnet.Residual(fnnet.Dense(4)))),
        *(fnnet.Serial((fnnet.Sigmoid(), fnnet.Dense(2))), fnnet.Serial(())),
    )
    return fnnet.Model(fnnet.Serial(layers), fnnet.SoftmaxCrossEntropy(0.1), (3,), fnnet.L2(0.01))


@fnnet.spec
class Doubled:
    """A layer of a user's own, made of another layer: the trace does not look inside."""

    inner: Any

    def init(self, key, in_shape):
        return self.inner.init(key, in_shape)

    def forward(self, params, x, *, key=None):
        y, residuals = self.inner.forward(params, x, key=key)
        return 2 * y, residuals

    def backward(self, params, residuals, dy):
        return self.inner.backward(params, residuals, 2 * dy)


MODELS = {
    "mlp": fnnet.mlp((3, 4, 4, 2), activation=(fnnet.Relu(), fnnet.Tanh()), penalty=fnnet.L1(0.1)),
    "nested": nested(),
    "no Serial": fnnet.Model(fnnet.Dense(2), fnnet.SoftmaxCrossEntropy(), (3,)),
    "a Residual alone": fnnet.Model(fnnet.Residual(fnnet.Serial((fnnet.Dense(3),))), fnnet.SoftmaxCrossEntropy(), (3,)),
    "nothing": fnnet.Model(fnnet.Serial(()), fnnet.SoftmaxCrossEntropy(), (3,)),
    "a box": fnnet.Model(
        fnnet.Serial((Doubled(fnnet.Dense(4)), fnnet.Gelu(), fnnet.Dense(2), fnnet.Softmax())),
        fnnet.SoftmaxCrossEntropy(),
        (3,),
    ),
}


def assert_same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, **({"rtol": 0} | tolerance))


@pytest.mark.parametrize(
    ("name", "noisy"),
    [
        *(pytest.param(name, False, marks=pytest.mark.slow if i % 2 else ()) for i, name in enumerate(MODELS)),
        ("mlp", True),
        ("nested", True),
        ("nothing", True),
    ],
)
def test_the_trace_is_the_pass_to_the_last_bit(name, noisy):
    model, key, weights = MODELS[name], jax.random.key(3) if noisy else None, WEIGHTS if noisy else None
    params = fnnet.init(model, jax.random.key(0))
    t = trace(model, params, X, Y, weights=weights, key=key)
    p = fnnet.backprop(model, params, Batch(X, Y, weights), key=key)
    assert_same(t.result, p)
    assert not any("_Probe" in type(leaf).__name__ for leaf in jax.tree.leaves(t))


def test_in_float64_and_bfloat16_too(float64):
    model = fnnet.mlp((3, 4, 2))
    for dtype in ("float64", "bfloat16"):
        params = fnnet.init(model, jax.random.key(0), dtype)
        t = jax.jit(trace)(model, params, X.astype(np.float64), Y, optimizer=fnnet.Sgd(0.1))
        p = jax.jit(fnnet.backprop)(model, params, Batch(X.astype(np.float64), Y))
        assert_same(t.result, p, rtol=1e-12 if dtype == "float64" else 0.05)
        wide = "float64" if dtype == "float64" else "float32"
        assert {a.dtype.name for a in jax.tree.leaves(t.layers["0 Dense"].update_ratios)} == {wide}
        assert "0 Dense" in table(t)


def test_layers_are_named_by_their_place_in_params():
    model = nested()
    params = fnnet.init(model, jax.random.key(0))
    t = trace(model, params, X, Y)
    assert list(t.layers) == [
        *("0 Dense", "1 Relu", "2 Residual / 0 Dense", "2 Residual / 1 Dropout", "2 Residual / 2 Tanh", "2 Residual"),
        *("3 Residual / Residual / Dense", "3 Residual / Residual", "3 Residual", "4 Serial / 0 Sigmoid"),
        "4 Serial / 1 Dense",
    ]
    inner = t.layers["2 Residual / 0 Dense"]
    assert inner.layer == fnnet.Dense(4)
    assert inner.params is params[2][0]
    assert t.layers["3 Residual"].grads is t.layers["3 Residual / Residual / Dense"].grads
    assert t.layers["2 Residual"].layer == model.network.layers[2]


def test_each_layer_gets_what_its_neighbor_gives():
    t = trace(nested(), fnnet.init(nested(), jax.random.key(0)), X, Y, key=jax.random.key(1))
    flat = [layer for name, layer in t.layers.items() if name.count(" / ") == 0 or name.startswith("4 Serial")]
    for before, after in itertools.pairwise(flat):
        assert_same((before.y, before.dy), (after.x, after.dx))
    residual, first, last = (t.layers[f"2 Residual{part}"] for part in ("", " / 0 Dense", " / 2 Tanh"))
    assert_same(residual.y, residual.x + last.y)
    assert_same(residual.dx, residual.dy + first.dx)
    assert_same(residual.dy, last.dy)
    assert_same(flat[0].dx, t.result.dx)
    assert_same(flat[-1].dy, t.doutputs)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_two_two_one_by_hand():
    """Row (1, 0), target 1, every number of the pass written out."""
    t = trace(XOR_MODEL, XOR_PARAMS, XOR_X[2:3], XOR_Y[2:3])
    h = [sigmoid(1 * 0.3 + 0 * 0.8 + 0.1), sigmoid(1 * -0.5 + 0 * 0.4 - 0.2)]
    z = 0.7 * h[0] - 0.6 * h[1] + 0.05
    dz = sigmoid(z) - 1
    da = [dz * 0.7 * h[0] * (1 - h[0]), dz * -0.6 * h[1] * (1 - h[1])]
    expected = {
        "0 Dense": ([0.4, -0.7], da, [[da[0], da[1]], [0, 0]], da),
        "2 Dense": ([z], [dz], [[dz * h[0]], [dz * h[1]]], [dz]),
    }
    for name, (y, dy, dw, db) in expected.items():
        layer = t.layers[name]
        np.testing.assert_allclose(layer.y[0], y, rtol=1e-6)
        np.testing.assert_allclose(layer.dy[0], dy, rtol=1e-6)
        np.testing.assert_allclose(layer.grads.w, dw, rtol=1e-6)
        np.testing.assert_allclose(layer.grads.b, db, rtol=1e-6)
    np.testing.assert_allclose(t.layers["1 Sigmoid"].dy[0], [dz * 0.7, dz * -0.6], rtol=1e-6)
    np.testing.assert_allclose(t.result.value, -math.log(sigmoid(z)), rtol=1e-6)
    np.testing.assert_allclose(t.result.dx[0], [0.3 * da[0] - 0.5 * da[1], 0.8 * da[0] + 0.4 * da[1]], rtol=1e-6)


def test_norms_and_ratios():
    t = trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y, optimizer=fnnet.Sgd(0.5))
    dense = t.layers["0 Dense"]
    np.testing.assert_allclose(dense.grad_norms.w, np.linalg.norm(dense.grads.w), rtol=1e-6)
    np.testing.assert_allclose(dense.updates.w, -0.5 * dense.grads.w)
    np.testing.assert_allclose(
        dense.update_ratios.w, 0.5 * dense.grad_norms.w / math.sqrt(0.09 + 0.25 + 0.64 + 0.16), rtol=1e-6
    )
    assert float(dense.update_ratio) == pytest.approx(0.5 * norm(dense.grads) / norm(dense.params), rel=1e-6)
    zero = trace(XOR_MODEL, jax.tree.map(jnp.zeros_like, XOR_PARAMS), XOR_X[:1], XOR_Y[:1], optimizer=fnnet.Sgd(0.5))
    assert zero.layers["2 Dense"].update_ratios.w == np.inf
    without = trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y).layers["0 Dense"]
    assert without.updates is without.update_ratios is without.update_ratio is None


def norm(tree):
    return math.sqrt(sum(float((a * a).sum()) for a in jax.tree.leaves(tree)))


def test_updates_are_those_of_the_training_step():
    model, optimizer = fnnet.mlp((3, 4, 2)), fnnet.Adam(1e-2)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    state, _ = fnnet.train_step(model, optimizer, state, Batch(X, Y))
    t = trace(model, state.params, X, Y, optimizer=optimizer, opt_state=state.opt_state)
    after, _ = fnnet.train_step(model, optimizer, state, Batch(X, Y))
    updates = tuple(layer.updates for layer in t.layers.values())
    assert_same(jax.tree.map(jnp.add, state.params, updates), after.params, rtol=1e-5, atol=1e-7)


def test_an_optimizer_with_a_state_is_asked_for_it():
    optimizer = fnnet.Adam(1e-2)
    with pytest.raises(ValueError, match=r"trace: expected opt_state.*Adam.*pass opt_state=state\.opt_state"):
        trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y, optimizer=optimizer)
    first = trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y, optimizer=optimizer, opt_state=optimizer.init(XOR_PARAMS))
    np.testing.assert_allclose(np.abs(first.layers["0 Dense"].updates.b), 1e-2, rtol=1e-3)


def test_the_penalty_is_told_apart():
    model = fnnet.mlp((3, 4, 2), penalty=fnnet.L2(0.1))
    params = fnnet.init(model, jax.random.key(0))
    dense = trace(model, params, X, Y).layers["0 Dense"]
    np.testing.assert_allclose(dense.grads.w - dense.loss_grads.w, 0.2 * params[0].w, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(dense.grads.b, dense.loss_grads.b)


def traced(layer, x, weights=None):
    """The trace of one activation alone, under a loss that any outputs suit."""
    x = jnp.asarray(x, jnp.float32)
    model = fnnet.Model(layer, fnnet.SquaredError(), x.shape[1:])
    return trace(model, (), x, jnp.zeros_like(x), weights=weights).layers[type(layer).__name__]


def test_a_unit_is_dead_when_no_row_wakes_it():
    x = [[-1, -1, 2, 0], [-3, 1, 2, 0]]
    assert traced(fnnet.Relu(), x).dead == 0.5
    assert traced(fnnet.Relu(), x, np.array([1, 0], np.float32)).dead == 0.75
    assert traced(fnnet.Relu(), [[np.nan, -1]]).dead == 0.5
    assert traced(fnnet.LeakyRelu(), x).dead is None
    assert traced(fnnet.Relu(), x).saturated is None


def test_rows_of_weight_zero_wake_no_unit_in_training_either():
    """There they are copies of a row that counts, each with a dropout mask of its own."""
    model = fnnet.Model(fnnet.Serial((fnnet.Dropout(0.5), fnnet.Relu())), fnnet.SquaredError(), (4,))
    x, weights = np.ones((8, 4), np.float32), np.eye(8, dtype=np.float32)[0]
    t = fnnet.trace(model, ((), ()), x, x, weights=weights, key=jax.random.key(0))
    silent = np.asarray(t.layers["1 Relu"].y) == 0
    assert silent.all(0).mean() < silent[0].mean()
    assert t.layers["1 Relu"].dead == silent[0].mean()


@pytest.mark.parametrize(
    ("layer", "x", "fraction"),
    [
        (fnnet.Sigmoid(), [[-7, 0, 5.9, 6.1]], 0.5),
        (fnnet.Tanh(), [[-3.1, 0, 2.9, 3.1]], 0.5),
        (fnnet.HardSigmoid(), [[-3, -2.9, 0, 3]], 0.5),
        (fnnet.Softmax(), [[10, 0, 0], [0, 0, 0]], 0.5),
        (fnnet.Softmax(), [[0, 20], [20, 0]], 1),
        (fnnet.Relu(), [[-1, 1]], None),
    ],
    ids=repr,
)
def test_saturation_is_a_slope_of_nearly_nothing(layer, x, fraction):
    assert traced(layer, x).saturated == fraction


def test_rows_of_weight_zero_are_not_counted_as_saturated():
    assert traced(fnnet.Tanh(), [[9, 9], [0, 9]], np.array([0, 2], np.float32)).saturated == 0.5


def test_no_gradient_comes_where_the_input_is_integer():
    model = fnnet.mlp((4, 3, 2), input_shape=(2, 2), scale=1 / 255)
    params = fnnet.init(model, jax.random.key(0))
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    t = trace(model, params, images, Y)
    assert t.result.dx is t.layers["1 Rescale"].dx is t.layers["0 Flatten"].dy is None
    assert t.layers["0 Flatten"].x.dtype == "uint8"
    assert "0 Flatten: no gradient" in explain(t)
    assert table(t)


def test_the_trace_is_pure_and_jits():
    model, optimizer = nested(), fnnet.Sgd(0.1)
    params, key = fnnet.init(model, jax.random.key(0)), jax.random.key(1)
    eager = trace(model, params, X, Y, key=key, optimizer=optimizer)
    jitted = jax.jit(trace)(model, params, X, Y, key=key, optimizer=optimizer)
    assert list(jitted.layers) == list(eager.layers)
    assert_same(jitted.result, eager.result, rtol=1e-5, atol=1e-6)
    for name, layer in eager.layers.items():
        parts = layer._replace(layer=None, updates=None, update_ratios=None)
        assert_same(
            jitted.layers[name]._replace(layer=None, updates=None, update_ratios=None), parts, rtol=1e-4, atol=1e-6
        )
    assert str(jitted)


def joined(text):
    """Lines as they were before folding."""
    return re.sub(r"\n {6,}", " ", text).splitlines()


def check_equations(text):
    """Every line fits, and on every line the numbers make what stands at its end. Counts what was checked."""
    assert all(len(line) <= WIDTH for line in text.splitlines())
    checked = 0
    for line in joined(text):
        sides = line.strip().split(" = ")
        if not line.startswith("  ") or len(sides) != 4 or "..." in sides[2]:
            continue
        arithmetic = sides[2].replace("^", "**")
        names = {name: getattr(math, name) for name in ("exp", "log", "tanh", "erf", "sqrt")}
        names |= {"max": max, "min": min, "abs": abs, "sign": np.sign, "where": lambda c, a, b: a if c else b}
        names["sigmoid"] = lambda x: 1 / (1 + math.exp(-x))
        result = eval(arithmetic, {"__builtins__": {}}, names)
        assert result == pytest.approx(float(sides[3]), rel=5e-3, abs=1.1e-3), line
        checked += 1
    return checked


def test_two_two_one_fits_a_page():
    text = str(trace(XOR_MODEL, XOR_PARAMS, XOR_X[2:3], XOR_Y[2:3]))
    assert len(text.splitlines()) <= 48
    assert "  da2[0] = p[0] - t[0] = 0.5671 - 1 = -0.4329" in text
    assert "  dw2[0,0] = h1[0] * da2[0] = 0.5987 * (-0.4329) = -0.2592" in text
    assert "1 Sigmoid: da0 = dh1 * h1 * (1 - h1)" in text
    assert "  x = (1, 0)" in text.replace("input  x", "x")
    assert check_equations(text) == 20


def small(network, loss, in_shape=(2,), penalty=None):
    return fnnet.Model(fnnet.Serial(network), loss, in_shape, penalty)


PAGES = {
    "batch and penalty": (
        small((fnnet.Dense(2), fnnet.Tanh(), fnnet.Dense(1)), fnnet.SigmoidBinaryCrossEntropy(), penalty=fnnet.L2(0.1)),
        XOR_Y,
    ),
    "classes": (
        small((fnnet.Dense(2), fnnet.Relu(), fnnet.Dense(3)), fnnet.SoftmaxCrossEntropy()),
        XOR_Y[:, 0].astype(int),
    ),
    "smoothed": (small((fnnet.Dense(2),), fnnet.SoftmaxCrossEntropy(0.1)), XOR_Y[:, 0].astype(int)),
    "squares": (small((fnnet.Dense(2, biases=None), fnnet.Softmax()), fnnet.SquaredError()), XOR_X),
    "residual": (
        small((fnnet.Residual(fnnet.Serial((fnnet.Dense(2), fnnet.Exp()))), fnnet.Softplus()), fnnet.SquaredError()),
        XOR_X,
    ),
    "noise": (small((fnnet.Rescale(0.5), fnnet.Dropout(0.5), fnnet.Identity(), fnnet.Dense(2)), fnnet.Huber()), XOR_X),
    "own slopes": (small((fnnet.Dense(2), fnnet.Gelu(), fnnet.Elu(0.5)), fnnet.AbsoluteError()), XOR_X),
    "a box": (small((Doubled(fnnet.Dense(2)),), fnnet.Poisson()), XOR_X),
}


@pytest.mark.parametrize(("name", "rows"), [*((name, 2) for name in PAGES), ("residual", 1), ("squares", 1)])
def test_printed_sums_are_right(name, rows):
    model, y = PAGES[name]
    params = fnnet.init(model, jax.random.key(2))
    t = trace(model, params, XOR_X[-rows:] + np.float32(0.5), y[-rows:], key=jax.random.key(0))
    for row in range(rows):
        check_equations(explain(t, row))
    assert str(t).startswith("FORWARD")


def test_a_weight_of_zero_is_left_out_of_the_sum():
    t = trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y, weights=np.array([1, 0, 1, 2], np.float32))
    assert "L = l[0] * m[0] + l[2] * m[2] + l[3] * m[3]" in str(t)


def test_both_paths_through_a_residual_are_told_apart():
    model = small((fnnet.Dense(2), fnnet.Residual(fnnet.Dense(2))), fnnet.SquaredError())
    text = str(trace(model, fnnet.init(model, jax.random.key(0)), XOR_X[1:2], XOR_X[1:2]))
    assert "1 Residual: da1.r = dy1; da0 = dy1 + da0'" in text
    assert "da0'[0] = da1.r[0] * w1.r[0,0] + da1.r[1] * w1.r[0,1]" in text
    assert "y1[0] = a0[0] + a1.r[0]" in text
    check_equations(text)
    twice = small(
        (fnnet.Residual(fnnet.Residual(fnnet.Tanh())), fnnet.Residual(fnnet.Serial(()))), fnnet.SquaredError()
    )
    text = str(trace(twice, ((), ()), XOR_X[1:2], XOR_X[3:]))
    assert "dx[0] = dy0[0] + dx'[0]" in text
    assert "dx'[0] = dy0.r[0] + dx''[0]" in text
    assert "dy0[0] = dy1[0] + dy1[0]" in text
    check_equations(text)


def test_a_larger_network_is_a_table():
    model = fnnet.mlp((64, 32, 10), input_shape=(8, 8), scale=1 / 16, dropout=0.1)
    params = fnnet.init(model, jax.random.key(0))
    x = np.random.default_rng(0).integers(0, 17, size=(20, 8, 8)).astype(np.uint8)
    text = str(jax.jit(trace)(model, params, x, np.arange(20) % 10, optimizer=fnnet.Sgd(0.1)))
    lines = text.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("loss ")
    assert "2,410 parameters" in lines[0]
    assert [line.split()[1] for line in lines[3:]] == [layer.__class__.__name__ for layer in model.network.layers]
    assert lines[6].endswith("% dead")


def test_columns_stay_apart_and_every_layer_has_its_update():
    """Small negative means beside small deviations; parameters that are not called w."""
    model = fnnet.gpt(7, layers=1, heads=2, width=4, context=5)
    tokens, optimizer = np.arange(10).reshape(2, 5) % 7, fnnet.Sgd(0.1)
    t = trace(model, fnnet.init(model, jax.random.key(0)), tokens, tokens, optimizer=optimizer)
    learning = {name.split(" / ")[-1] for name, layer in t.layers.items() if jax.tree.leaves(layer.params)}
    for line in str(t).splitlines()[3:]:
        place, kind, *cells = line.split()
        assert len(cells) == 4 + 2 * (f"{place} {kind}" in learning), line


def test_a_trace_says_what_it_is_in_one_line_and_in_a_notebook():
    t = trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y)
    assert repr(t) == "Trace(4 rows through 0 Dense, 1 Sigmoid, 2 Dense)"
    assert repr(jax.jit(trace)(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y)) == repr(t)
    html = t._repr_html_()
    assert html.count("<tr>") == 4
    assert "<th style='text-align:left'>|grad|</th>" in html
    assert ">0% sat.</td>" in html
    evil = t._replace(layers={"<b>": t.layers["0 Dense"]})._repr_html_()
    assert "&lt;b&gt;" in evil
    assert "<b>" not in evil


def test_a_row_that_is_not_there():
    with pytest.raises(IndexError, match="expected a row from 0 to 3, got 4"):
        explain(trace(XOR_MODEL, XOR_PARAMS, XOR_X, XOR_Y), row=4)


def test_schedules_need_a_step():
    model = fnnet.mlp((3, 2), scale=fnnet.LinearSchedule(0, 1, 2))
    for function in (trace, per_example_gradients):
        with pytest.raises(ValueError, match=function.__name__):
            function(model, fnnet.init(model, jax.random.key(0)), X, Y)


def test_per_example_gradients_make_the_gradient_of_the_batch(dtype):
    model = MODELS["mlp"]
    params, x = fnnet.init(model, jax.random.key(0), dtype), X.astype(dtype)
    each = jax.jit(per_example_gradients)(model, params, x, Y)
    _, whole = jax.jit(fnnet.backward)(model, params, x, Y, weights=WEIGHTS)
    weights = WEIGHTS.astype(dtype)
    weights_of_rows = jnp.asarray(weights / weights.sum())
    mean = jax.tree.map(lambda g: jnp.tensordot(weights_of_rows, g, 1), each)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-14}
    assert_same(mean, whole, **tolerance)
    assert jax.tree.leaves(each)[0].shape == (6, *jax.tree.leaves(params)[0].shape)


def test_each_example_is_its_own_batch():
    model = fnnet.mlp((3, 4, 2), penalty=fnnet.L2(0.1))
    params = fnnet.init(model, jax.random.key(0))
    each = jax.jit(per_example_gradients)(model, params, X, Y)
    for row in range(len(X)):
        _, alone = jax.jit(fnnet.backward)(model, params, X[row : row + 1], Y[row : row + 1])
        assert_same(jax.tree.map(lambda g, row=row: g[row], each), alone, rtol=1e-4, atol=1e-6)


def test_noise_differs_from_row_to_row():
    model = fnnet.mlp((3, 4, 2), dropout=0.5)
    params, same = fnnet.init(model, jax.random.key(0)), np.repeat(X[:1], 2, 0)
    key = jax.random.key(1)
    calm = jax.jit(per_example_gradients)(model, params, same, Y[[0, 0]])[0].w
    noisy = jax.jit(per_example_gradients)(model, params, same, Y[[0, 0]], key=key)[0].w
    np.testing.assert_array_equal(calm[0], calm[1])
    assert np.abs(noisy[0] - noisy[1]).max() > 0
    _, alone = jax.jit(fnnet.backward)(model, params, same[1:], Y[:1], key=jax.random.split(key, 2)[1])
    np.testing.assert_allclose(noisy[1], alone[0].w, rtol=1e-5, atol=1e-7)
