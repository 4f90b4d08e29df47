"""Recurrent layers: PyTorch's numbers, a plain loop, causality, products outside of the loop, one's own cells."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._contracts import backward_cell
from fnnet.inspection.trace_text import explain
from fnnet.layers import DenseParams, RecurrentParams
from fnnet.sweeps import Configuration, grid, sweep
from tests.helpers.cells import run_cell

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
CELLS = [fnnet.Rnn(4), fnnet.Gru(4), fnnet.Lstm(4)]
FILE = np.load(Path(__file__).parent / "references" / "recurrent.npz", allow_pickle=False)
TORCH = {
    "torch.nn.RNN(3, 4, batch_first=True)": fnnet.Recurrent(fnnet.Rnn(4)),
    "torch.nn.GRU(3, 4, batch_first=True)": fnnet.Recurrent(fnnet.Gru(4)),
    "torch.nn.LSTM(3, 4, batch_first=True)": fnnet.Recurrent(fnnet.Lstm(4)),
    "torch.nn.LSTM(3, 4, bias=False, batch_first=True)": fnnet.Recurrent(fnnet.Lstm(4), biases=None),
}


def close(got, wanted, limit=1e-10):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=limit, atol=limit), got, wanted)


def params_of(layer, in_features, seed=3):
    """Parameters of other values than `init` gives: no biases of 0, nothing orthogonal."""
    rng, params = np.random.default_rng(seed), jax.eval_shape(lambda key: layer.init(key, (2, in_features))[0], KEY)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype) / 2, params)


@pytest.mark.parametrize("row", TORCH)
def test_outputs_and_gradients_are_those_of(float64, row):
    layer, r = TORCH[row], {n.split("|")[1]: jnp.asarray(FILE[n]) for n in FILE.files if n.split("|")[0] == row}
    gru, has_biases = isinstance(layer.cell, fnnet.Gru), layer.biases is not None
    b, b_h = (r["bias_ih"], r["bias_hh"]) if has_biases else (None, None)
    start = b if gru or b is None else b + b_h  # of cells that add the two
    params = RecurrentParams(DenseParams(r["weight_ih"].T, start), DenseParams(r["weight_hh"].T, b_h if gru else None))
    y, residuals = layer.forward(params, r["x"])
    close(y, r["y"])
    dw = DenseParams(r["dweight_ih"].T, r.get("dbias_ih"))
    dw_h = DenseParams(r["dweight_hh"].T, r["dbias_hh"] if gru else None)
    close(layer.backward(params, residuals, r["dy"]), (RecurrentParams(dw, dw_h), r["dx"]))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def looped(cell, params, x):
    """One row after the other, one step after the other, one gate after the other."""
    (w, b), (w_h, b_h) = jax.tree.map(np.asarray, params)
    size, y = cell.features, np.zeros((*x.shape[:2], cell.features))

    def of(a, gate):
        return a[gate * size : (gate + 1) * size]

    for n, row in enumerate(np.asarray(x)):
        h, c = np.zeros(size), np.zeros(size)
        for t, now in enumerate(row):
            u, v = now @ w + b, h @ w_h + (0 if b_h is None else b_h)
            if isinstance(cell, fnnet.Rnn):
                h = np.tanh(u + v)
            elif isinstance(cell, fnnet.Gru):
                r, z = sigmoid(of(u, 0) + of(v, 0)), sigmoid(of(u, 1) + of(v, 1))
                h = (1 - z) * np.tanh(of(u, 2) + r * of(v, 2)) + z * h
            else:
                i, f, o = (sigmoid(of(u + v, gate)) for gate in (0, 1, 3))
                c = f * c + i * np.tanh(of(u + v, 2))
                h = o * np.tanh(c)
            y[n, t] = h
    return y


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_every_step_is_that_of_a_plain_loop(float64, cell, steps):
    layer, x = fnnet.Recurrent(cell), jnp.asarray(RNG.normal(size=(2, steps, 3)))
    params = params_of(layer, 3)
    close(layer.forward(params, x)[0], looped(cell, params, x), 1e-12)


@fnnet.spec
class Leaky:
    """The cell in the docstring of `fnnet.Cell`."""

    features: int = fnnet.static()
    rate: fnnet.Number = 0.1

    gates, states = ("state",), 1

    def forward(self, u, v, state):
        (h,), t = state, jnp.tanh(u + v)
        return (h + self.rate * (t - h),), t

    def backward(self, t, dstate):
        (dh,) = dstate
        da = self.rate * dh * (1 - t * t)
        return da, da, (dh * (1 - self.rate),)


@pytest.mark.parametrize("cell", [*CELLS, Leaky(4)], ids=repr)
def test_gradients_through_seventeen_steps(float64, cell):
    layer = fnnet.Recurrent(cell)

    def pairs(params, x):
        y, pullback = jax.vjp(lambda *given: layer.forward(*given)[0], params, x)
        dy = 0.3 + jnp.cos(jnp.arange(y.size, dtype=x.dtype)).reshape(y.shape)
        return layer.backward(params, layer.forward(params, x)[1], dy), pullback(dy)

    run_cell(pairs, params_of(layer, 3), jnp.asarray(RNG.normal(size=(1, 17, 3))))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_an_output_does_not_depend_on_later_inputs(cell):
    layer, x = fnnet.Recurrent(cell), jnp.asarray(RNG.normal(size=(2, 6, 3)), "float32")
    params = params_of(layer, 3)
    y, residuals = layer.forward(params, x)
    other, _ = layer.forward(params, x.at[:, 4:].set(7.0))
    np.testing.assert_array_equal(other[:, :4], y[:, :4])
    assert (other[:, 4] != y[:, 4]).all()
    _, dx = layer.backward(params, residuals, jnp.zeros_like(y).at[:, 3].set(1.0))
    assert not dx[:, 4:].any()
    assert (dx[:, :4] != 0).all()


@pytest.mark.parametrize(("cell", "same"), [(fnnet.Lstm(4), True), (fnnet.Gru(4), False)], ids=repr)
def test_products_stand_outside_of_the_loop(cell, same):
    """But for the one with recurrent.w; gradients of weights are one product over the rows of all steps."""
    layer, x = fnnet.Recurrent(cell), jnp.zeros((2, 5, 3))
    params = params_of(layer, 3)
    y, residuals = layer.forward(params, x)
    forward, backward = jax.make_jaxpr(layer.forward)(params, x), jax.make_jaxpr(layer.backward)(params, residuals, y)
    width = len(cell.gates) * 4
    assert _products(forward) == ([(5, 2, width)], [(2, width)])
    before, after = _products(backward)
    assert (set(before), after) == ({(3, width), (4, width), (5, 2, 3), *_of_ones(backward)}, [(2, 4)])
    (scan,) = (e for e in backward.eqns if e.primitive.name == "scan")
    gates = [v for v in scan.outvars if v.aval.shape == (5, 2, width)]
    assert len(gates) == (1 if same else 2)  # du is stored only where it is not dv


def _products(jaxpr):
    """Shapes of the matrix products outside and inside of the scan."""
    (scan,) = (e for e in jaxpr.eqns if e.primitive.name == "scan")
    outside, inside = jaxpr.eqns, scan.params["jaxpr"].eqns
    return tuple(
        [e.outvars[0].aval.shape for e in eqns if e.primitive.name == "dot_general"] for eqns in (outside, inside)
    )


def _of_ones(jaxpr):
    """Products that are sums: of a vector with a matrix."""
    dots = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
    return {e.outvars[0].aval.shape for e in dots if e.invars[0].aval.ndim == 1}


def test_gates_are_drawn_one_by_one():
    layer = fnnet.Recurrent(fnnet.Gru(32), biases=fnnet.Uniform(-1, 1))
    params, out_shape = layer.init(KEY, (9, 48))
    assert out_shape == (9, 32)
    assert jax.tree.map(jnp.shape, params) == RecurrentParams(
        DenseParams((48, 96), (96,)), DenseParams((32, 96), (96,))
    )
    gates = jnp.split(params.recurrent.w, 3, -1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, jnp.eye(32), atol=1e-5)
    assert not np.allclose(gates[0], gates[1])
    bound = np.sqrt(6 / (48 + 32))
    assert 0.97 * bound < float(jnp.abs(params.input.w).max()) <= bound
    assert not np.allclose(params.input.b, params.recurrent.b)
    assert len(np.unique(params.input.b)) == 96
    fans = fnnet.Recurrent(fnnet.Rnn(50), fnnet.LecunNormal(), fnnet.LecunNormal(4.0)).init(KEY, (9, 200))[0]
    assert abs(float(fans.input.w.std()) * np.sqrt(200) - 1) < 0.05
    assert abs(float(fans.recurrent.w.std()) * np.sqrt(50) / 2 - 1) < 0.05


def test_only_the_bias_of_the_forget_gate_starts_at_one():
    for cell, start in ((fnnet.Lstm(2), 1), (fnnet.Lstm(2, forget_bias=0.5), 0.5)):
        params, _ = fnnet.Recurrent(cell).init(KEY, (3, 2))
        np.testing.assert_array_equal(params.input.b, [0, 0, start, start, 0, 0, 0, 0])
        assert params.recurrent.b is None
    params, _ = fnnet.Recurrent(fnnet.Lstm(2), biases=fnnet.Constant(2.0)).init(KEY, (3, 2))
    np.testing.assert_array_equal(params.input.b, [2, 2, 3, 3, 2, 2, 2, 2])
    params, _ = fnnet.Recurrent(fnnet.Lstm(2), biases=None).init(KEY, (3, 2))
    assert (params.input.b, params.recurrent.b) == (None, None)


def test_a_cell_may_say_in_ints_where_forget_biases_start(monkeypatch):
    monkeypatch.setattr(fnnet.Rnn, "bias_starts", (1,), raising=False)
    params, _ = fnnet.Recurrent(fnnet.Rnn(2)).init(KEY, (3, 2))
    np.testing.assert_array_equal(params.input.b, np.float32([1, 1]), strict=True)


def test_the_last_step_by_hand():
    x = jnp.arange(12.0).reshape(2, 3, 2)
    y, steps = fnnet.LastStep().forward((), x)
    np.testing.assert_array_equal(y, [[4, 5], [10, 11]])
    _, dx = fnnet.LastStep().backward((), steps, y)
    np.testing.assert_array_equal(dx, jnp.zeros((2, 3, 2)).at[:, 2].set(y))
    assert fnnet.LastStep().init(KEY, (3, 2)) == ((), (2,))


def network(cell):
    return fnnet.Serial((fnnet.Recurrent(cell), fnnet.LastStep(), fnnet.Dense(2)))


ROWS = Batch(RNG.normal(size=(48, 7, 2)).astype(np.float32), np.zeros(48, np.int32))
DATA = ROWS._replace(y=(ROWS.x[:, 0, 0] > 0).astype(np.int32))


@pytest.mark.parametrize(("cell", "dtype"), [(fnnet.Gru(8), "float32"), (fnnet.Lstm(8), "bfloat16")], ids=repr)
def test_the_first_of_seven_steps_is_remembered(cell, dtype):
    model, optimizer = fnnet.Model(network(cell), fnnet.SoftmaxCrossEntropy(), (7, 2)), fnnet.Adam(3e-2)
    state = fnnet.init_state(model, optimizer, KEY, dtype)
    state, history = fnnet.train(model, optimizer, state, DATA, epochs=25, batch_size=16, shuffle=KEY)
    assert history.training.accuracy[-1] > 0.95
    assert {p.dtype.name for p in jax.tree.leaves(state.params)} == {dtype}
    assert state.params[0].input.b.shape == (len(cell.gates) * 8,)


def test_a_cell_of_ones_own_trains():
    model = fnnet.Model(network(Leaky(8, 0.5)), fnnet.SoftmaxCrossEntropy(), (7, 2), fnnet.L2(1e-4))
    state = fnnet.init_state(model, optimizer := fnnet.Adam(3e-2), KEY)
    state, history = fnnet.train(model, optimizer, state, DATA, epochs=15, batch_size=16, shuffle=KEY)
    assert history.training.loss[-1] < 0.5 * history.training.loss[0]


def test_a_cell_may_return_arrays_of_numpy():
    du, dstate = np.ones((3, 2), np.float32), (np.ones((3, 2), np.float32),)
    cell = SimpleNamespace(gates=("one",), features=2, backward=lambda residuals, dstate: (du, du, dstate))
    assert backward_cell(cell, None, dstate)[2] is dstate


def test_recurrence_is_saved_and_swept(tmp_path):
    model = fnnet.Model(network(fnnet.Lstm(3)), fnnet.SoftmaxCrossEntropy(), (7, 2))
    optimizer = fnnet.Sgd(0.0)
    points = grid(Configuration(model, optimizer, batch_size=16), {"model.network[0].cell.forget_bias": (0, 2)})
    results = sweep(points, DATA, epochs=1, seeds=1, shuffle=KEY, keep_params=True, progress=False)
    for params, start in zip(results.params, (0, 2), strict=True):
        np.testing.assert_array_equal(params[0].input.b, [0, 0, 0, *[start] * 3, *[0] * 6])
    state = fnnet.init_state(model, optimizer, KEY)
    fnnet.save(tmp_path / "run", model, optimizer, state)
    restored = fnnet.restore(tmp_path / "run")
    assert restored.model == model
    jax.tree.map(np.testing.assert_array_equal, restored.state.params, state.params)


def test_a_trace_shows_the_recurrence():
    model = fnnet.Model(network(fnnet.Rnn(1)), fnnet.SoftmaxCrossEntropy(), (2, 1))
    params = fnnet.init(model, KEY)
    trace = fnnet.trace(model, params, np.ones((1, 2, 1), np.float32), np.zeros(1, np.int32))
    text = " ".join(explain(trace).split())
    u, h = trace.layers["0 Recurrent"].params.input.w[0, 0], trace.layers["0 Recurrent"].y
    for words in (
        "v_t = h_(t-1) recurrent.w0; h_t = tanh(u_t + v_t); h0 = h_t of every step",
        f"u0[1,0] = x[1,0] * input.w0[0,0] + input.b0[0] = 1 * {'' if u >= 0 else '('}{float(u):.4g}",
        f"h0[1,0] = {float(h[0, 1, 0]):.4g}",
        "dh_t = dh0 at t + dv_(t+1) recurrent.w0^T; du_t = dv_t = dh_t * (1 - h_t^2); dx = du input.w0^T",
        "y1 = last step of h0",
    ):
        assert words in text
    assert "drecurrent.b" not in text


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_the_formulas_of_every_cell_name_what_there_is(cell):
    forward, backward = fnnet.Recurrent(cell).formulas
    assert forward.startswith("u = x input.w + input.b; v_t = h_(t-1) recurrent.w")
    assert forward.endswith("; h = h_t of every step")
    assert ("recurrent.b" in forward) == ("drecurrent.b" in backward) == isinstance(cell, fnnet.Gru)
    assert ".b" not in "".join(fnnet.Recurrent(cell, biases=None).formulas)
    assert "backward of the cell" in fnnet.Recurrent(Leaky(2)).formulas[1]


def of(cell=Leaky, **methods):
    """A layer whose cell has other methods."""
    changed = fnnet.spec(type(cell.__name__, (cell,), methods | {"__annotations__": {}}))
    return fnnet.Recurrent(changed(2))


def backward(*returned):
    return {"backward": lambda self, t, dstate: tuple(f(t, *dstate) for f in returned)}


SAME, NARROW = (lambda t, dh: dh), (lambda t, dh: dh[:, :1])
WRONG = {
    "state": (ValueError, "Leaky.forward: expected state", {"forward": lambda self, u, v, state: (u, u)}),
    "width": (ValueError, "Leaky.forward: expected state", {"forward": lambda self, u, v, state: ((u[:, :1],), u)}),
    "one": (TypeError, "Leaky.forward: expected two values", {"forward": lambda self, u, v, state: (u,)}),
    "two": (TypeError, "Leaky.backward: expected three values, got a tuple of 2", backward(SAME, SAME)),
    "du": (ValueError, r"Leaky.backward: expected du of shape \(3, 2\)", backward(NARROW, SAME, lambda t, dh: (dh,))),
    "dv": (ValueError, r"Leaky.backward: expected dv of shape \(3, 2\)", backward(SAME, NARROW, lambda t, dh: (dh,))),
    "dstate": (ValueError, "Leaky.backward: expected dstate", backward(SAME, SAME, SAME)),
    "dh": (ValueError, "Leaky.backward: expected dstate", backward(SAME, SAME, lambda t, dh: (dh[:, :1],))),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_cell_that_breaks_its_contract_is_refused_by_name(untyped, name):
    error, words, methods = WRONG[name]
    layer = of(**methods)
    params, _ = layer.init(KEY, (4, 2))

    def both_passes():
        _, residuals = layer.forward(params, jnp.ones((3, 4, 2)))
        layer.backward(params, residuals, jnp.ones((3, 4, 2)))

    with pytest.raises(error, match=words):
        both_passes()


def test_errors_say_what_to_write(untyped):
    layer = fnnet.Recurrent(fnnet.Rnn(3))
    params, _ = layer.init(KEY, (4, 2))
    forward = partial(layer.forward, params)
    for error, words, call in (
        (TypeError, r"put Embedding\(vocabulary, features\) before it", lambda: forward(jnp.ones((2, 4), "int32"))),
        (ValueError, r"expected x of shape \(B, T, I\), got \(2, 2\)", lambda: forward(jnp.ones((2, 2)))),
        (
            ValueError,
            r"of shapes \(3, 3\) and \(3, 3\) for x of shape \(2, 4, 3\), got \(2, 3\) and \(3, 3\)",
            lambda: forward(jnp.ones((2, 4, 3))),
        ),
        (ValueError, "another network", lambda: fnnet.Recurrent(fnnet.Rnn(4)).forward(params, jnp.ones((2, 4, 2)))),
        (ValueError, r"expected rows of \(T, I\)", lambda: layer.init(KEY, (4,))),
        (ValueError, r"expected rows of \(T, I\)", lambda: layer.init(KEY, (0, 2))),
        (ValueError, "T above 0", lambda: fnnet.LastStep().init(KEY, ())),
        (ValueError, "T above 0", lambda: fnnet.LastStep().init(KEY, (0, 3))),
        (ValueError, "Gru: expected features to be an int above 0, got 0", lambda: fnnet.Gru(0)),
        (ValueError, "Lstm: expected features", lambda: fnnet.Lstm(True)),
        (ValueError, "Rnn: expected features", lambda: fnnet.Rnn(2.0)),
        (TypeError, "build it with its settings: Lstm", lambda: fnnet.Recurrent(fnnet.Lstm)),
        (TypeError, "has no forward", lambda: fnnet.Recurrent(128)),
        (TypeError, r"got Dense\(features=3\), which has no gates", lambda: fnnet.Recurrent(fnnet.Dense(3))),
        (TypeError, "recurrent to be an initializer", lambda: fnnet.Recurrent(fnnet.Rnn(3), recurrent=0.1)),
        (TypeError, r"got the cell Rnn\(features=3\); write Recurrent\(Rnn", lambda: fnnet.Serial((fnnet.Rnn(3),))),
    ):
        with pytest.raises(error, match=words):
            call()
