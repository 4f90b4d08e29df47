"""Formulas of built-in layers and losses are what these compute; a user's own print like them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from experiments import gradient_report
from fnnet.inspection.formulas import Named, equation, read
from fnnet.inspection.trace_text import explain
from tests.inspection.test_trace import check_equations, joined

X = np.float32([[0.5, -1.5, 0.25], [1.5, 0.75, -2.0]])
TARGETS = np.float32([[0, 1, 0], [0.25, 0.5, 0.25]])
OTHERS_FORMULA = "the formula gives other numbers"


def page(layer, loss=fnnet.SquaredError(), x=X, targets=None, row=0, key=None):  # noqa: B008
    model = fnnet.Model(fnnet.Serial((layer,)), loss, x.shape[1:])
    params = fnnet.init(model, jax.random.key(0))
    outputs = fnnet.forward(model, params, x)
    t = fnnet.trace(model, params, x, np.zeros_like(outputs) if targets is None else targets, key=key)
    return explain(t, row)


@fnnet.spec
class Gated:
    """y = (x w) s with s = sigmoid(x v + c): parameters of a dict, and a value in between."""

    gain: fnnet.Number = 2.0
    formulas = (
        "s = 1 / (1 + exp(-(x v + c))); y = gain * (x w) * s",
        "da = gain * dy * s; dg = gain * dy * (x w) * s * (1 - s); "
        "dc = sum_b(dg); dv = x^T dg; dw = x^T da; dx = da w^T + dg v^T",
    )

    def init(self, key, in_shape):
        kw, kv = jax.random.split(key)
        shape = (in_shape[-1], 2)
        return {"w": jax.random.normal(kw, shape), "v": jax.random.normal(kv, shape), "c": jnp.ones(2)}, (2,)

    def forward(self, params, x, *, key=None):
        a, s = x @ params["w"], jax.nn.sigmoid(x @ params["v"] + params["c"][None])
        return self.gain * a * s, (x, a, s)

    def backward(self, params, residuals, dy):
        x, a, s = residuals
        da, dg = self.gain * dy * s, self.gain * dy * a * s * (1 - s)
        grads = {"w": x.T @ da, "v": x.T @ dg, "c": dg.sum(0)}
        return grads, da @ params["w"].T + dg @ params["v"].T


def test_a_layer_of_ones_own_prints_both_formulas_with_its_numbers():
    text = page(Gated())
    assert "0 Gated: s0 = 1 / (1 + exp(-(x v0 + c0))); y0 = gain * (x w0) * s0" in text
    assert "dx = da0 w0^T + dg0\n        v0^T" in text
    assert "  dc0[0] = dg0[0,0] + dg0[1,0] = " in text
    product = "x[0,0] * w0[0,0] + x[0,1] * w0[1,0] + x[0,2] * w0[2,0]"
    assert f"y0[0,0] = gain * ({product}) * s0[0,0] = 2 * (" in " ".join(text.split())
    assert OTHERS_FORMULA not in text
    assert check_equations(text) >= 25


@fnnet.spec
class Sorted:
    """Entries in ascending order, which no arithmetic says."""

    formulas = ("y = x sorted", "dx = dy where it came from")

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        order = x.argsort(-1)
        return jnp.take_along_axis(x, order, -1), order

    def backward(self, params, order, dy):
        return (), jnp.take_along_axis(dy, order.argsort(-1), -1)


def test_a_formula_in_words_stands_with_its_result():
    text = page(Sorted())
    assert "0 Sorted: y0 = x sorted\n  y0[0,0] = -1.5\n  y0[0,1] = 0.25\n  y0[0,2] = 0.5\n" in text
    assert "0 Sorted: dx = dy0 where it came from\n  dx[0,0] = 0.5\n  dx[0,1] = -1.5" in text


@fnnet.spec
class Misprinted:
    """Doubles its input; its formula says something else."""

    formulas = ("y = 3 * x", "dx = 2 * dy")

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        return 2 * x, None

    def backward(self, params, residuals, dy):
        return (), 2 * dy


def test_a_formula_that_gives_other_numbers_is_not_filled_with_them():
    text = page(Misprinted())
    assert f"y0 = 3 * x\n  y0[0,0] = 1\n  y0[0,1] = -3\n  y0[0,2] = 0.5\n  ({OTHERS_FORMULA}" in text
    assert "dx[0,0] = 2 * dy0[0,0] = 2 * 1 = 2" in text
    assert text.count(OTHERS_FORMULA) == 1


@fnnet.spec
class LogCosh:
    """A loss of a user's own."""

    formulas = ("l = sum_o(log((exp(z - t) + exp(t - z)) / 2))", "dz = tanh(z - t) * dl")

    def forward(self, outputs, targets):
        r = outputs - targets
        return jnp.log(jnp.cosh(r)).sum(-1), r

    def backward(self, r, dper_example):
        return jnp.tanh(r) * dper_example[:, None]

    def predict(self, outputs):
        return outputs


@fnnet.spec
class Gate:
    """x times its own sigmoid."""

    formulas = ("y = x * sigmoid(x)", "dx = dy * sigmoid(x) * (1 + x * (1 - sigmoid(x)))")

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        s = jax.nn.sigmoid(x)
        return x * s, (x, s)

    def backward(self, params, residuals, dy):
        x, s = residuals
        return (), dy * s * (1 + x * (1 - s))


def test_a_sigmoid_is_read():
    text = page(Gate())
    assert "sigmoid(x[0,0])" in text
    assert OTHERS_FORMULA not in text
    check_equations(text)


def test_a_loss_of_ones_own_prints_both_formulas_with_its_numbers():
    text = page(fnnet.Identity(), LogCosh(), targets=TARGETS)
    assert "Loss: l = sum_o(log((exp(h0 - t) + exp(t - h0)) / 2))" in text
    assert (
        "Loss: dh0 = tanh(h0 - t) * m\n  dh0[0,0] = tanh(h0[0,0] - t[0,0]) * m[0] = tanh(0.5 - 0) * 0.5 = 0.2311"
        in text
    )
    assert OTHERS_FORMULA not in text
    check_equations(text)


SPECS = [(s.spec, s.in_shape) for s in gradient_report.layers() if not isinstance(s.spec, fnnet.Serial) and s.x is None]
AS_IT_STANDS = (fnnet.Residual(fnnet.Dense(3), fnnet.Dense(3)), fnnet.Parallel((fnnet.Dense(2), fnnet.Tanh())))
LAYERS = [spec for spec, in_shape in SPECS if len(in_shape) == 1 and spec not in AS_IT_STANDS]
OF_IMAGES = [spec for spec, in_shape in SPECS if len(in_shape) == 3]
OF_SEQUENCES = [spec for spec, in_shape in SPECS if len(in_shape) == 2]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_the_formulas_of_every_layer_are_what_it_computes(layer):
    text = page(layer, x=np.hstack([X, X[:, :2] + 1]), key=jax.random.key(1))
    assert OTHERS_FORMULA not in text
    entries = [line for line in joined(text) if re.match(r"  ([hay]0|dx)\[", line)]
    assert len(entries) >= 9
    assert not [line for line in entries if line.count(" = ") < 2]  # symbols, or numbers, are missing
    assert check_equations(text) >= 5


@pytest.mark.parametrize(
    "layer",
    [
        *AS_IT_STANDS,
        *(
            pytest.param(a, marks=pytest.mark.slow if i else ())
            for of in (OF_IMAGES, OF_SEQUENCES)
            for i, a in enumerate(of)
        ),
    ],
    ids=repr,
)
def test_what_no_formula_can_say_is_printed_as_it_stands(layer):
    """Windows, groups and branches: the rule in its own words, forward and backward, and the results below it."""
    in_shape = dict(SPECS)[layer]
    network = fnnet.Serial((layer, fnnet.Flatten(), fnnet.Dense(2)))
    model = fnnet.Model(network, fnnet.SquaredError(), in_shape)
    x = np.random.default_rng(0).normal(size=(1, *in_shape)).astype(np.float32)
    text = explain(fnnet.trace(model, fnnet.init(model, jax.random.key(0)), x, np.ones((1, 2), np.float32)))
    headings = joined(text)
    kind = type(layer).__name__
    assert len([line for line in headings if line.startswith(f"0 {kind}: ")]) == 2
    assert OTHERS_FORMULA not in text


@pytest.mark.parametrize("loss", [s.spec for s in gradient_report.losses() if len(s.in_shape) == 1], ids=repr)
def test_the_formulas_of_every_loss_are_what_it_computes(loss):
    for row in range(2):
        text = page(fnnet.Identity(), loss, targets=TARGETS, row=row)
        assert OTHERS_FORMULA not in text
        assert check_equations(text) >= 4


def test_targets_that_no_formula_covers_are_told():
    text = page(fnnet.Identity(), fnnet.SoftmaxCrossEntropy(), targets=2 * TARGETS)
    assert OTHERS_FORMULA in text.split("BACKWARD")[1]
    assert OTHERS_FORMULA not in text.split("BACKWARD")[0]


def lines(formula, row=0, **arrays):
    known = {name: Named(name, np.asarray(value, float)) for name, value in arrays.items()}
    return [line.strip() for _, each in read(formula, known) for line in each.lines(row)]


ONE = [[2.0]]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y = x - (x - 1)", "y[0] = x[0] - (x[0] - 1) = 2 - (2 - 1) = 1"),
        ("y = x / (x * x)", "y[0] = x[0] / (x[0] * x[0]) = 2 / (2 * 2) = 0.5"),
        ("y = -(x + 1)", "y[0] = -(x[0] + 1) = -(2 + 1) = -3"),
        ("y = (x + 1) * z^2", "y[0] = (x[0] + 1) * z[0]^2 = (2 + 1) * (-3)^2 = 27"),
        ("y = x + z", "y[0] = x[0] + z[0] = 2 + (-3) = -1"),
        ("y = z + x", "y[0] = z[0] + x[0] = -3 + 2 = -1"),
        ("y = 2 x", "y[0] = 2 * x[0] = 2 * 2 = 4"),
        ("y = (x >= 2) * z", "y[0] = (x[0] >= 2) * z[0] = (2 >= 2) * (-3) = -3"),
        ("y = max(z, -1)", "y[0] = max(z[0], -1) = max(-3, -1) = -1"),
    ],
)
def test_parentheses_stand_where_they_must(formula, expected):
    assert lines(formula, x=ONE, z=[[-3.0]]) == [expected]


@pytest.mark.parametrize(
    "formula", ["y = x[0]", "y = sorted(x)", "y = x if x else 0", "y =", "y = q * x", "y = x.real"]
)
def test_what_cannot_be_read_is_left_to_the_result(formula):
    assert lines(formula, x=ONE) == []
    assert lines(formula, x=ONE, y=[[5.0]]) == ["y[0] = 5"]


def test_a_gradient_is_summed_over_the_axes_that_its_parameter_has_not():
    x, dy = np.arange(8.0).reshape(2, 2, 2), np.ones((2, 2, 1))
    known = {"x": Named("x", x), "dy": Named("dy", dy), "dw": Named("dw", x.sum((0, 1))[:, None], rows=False)}
    ((_, each),) = read("dw = x^T dy", known)
    first, _ = each.lines(0)
    assert first.endswith("= 0 * 1 + 2 * 1 + 4 * 1 + 6 * 1 = 12")


def test_long_sums_show_their_first_term():
    (line,) = lines("y = sum_c(x)", x=np.ones((1, 9)))
    assert line == "y[0] = x[0] + ... (9 terms) = 1 + ... = 9"


def test_a_number_that_stands_there_is_not_repeated():
    array = Named("x", np.array([[2.0]]))
    assert equation(array.at(0, 0), array.at(0, 0)) == "  x[0] = x[0] = 2"
