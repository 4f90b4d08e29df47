"""The gradient checker: passes what is right, catches what is wrong, and says where and what to do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from experiments import gradient_report, own_layer
from experiments.gradient_report import Scaled
from fnnet.inspection import finite_differences
from fnnet.layers import DenseParams
from tests.helpers.log_layer import Log

KEY = jax.random.key(0)


def check(subject, in_shape=(4,), **arguments):
    return fnnet.check_gradients(subject, in_shape, key=KEY, **arguments)


@fnnet.spec
class Broken:
    """A layer with any backward: `wrong` gets (params, x, dy, dparams, dx) of a right one."""

    inner: Any
    wrong: Any = fnnet.static()

    def init(self, key, in_shape):
        return self.inner.init(key, in_shape)

    def forward(self, params, x, *, key=None):
        y, residuals = self.inner.forward(params, x, key=key)
        return y, (residuals, x)

    def backward(self, params, residuals, dy):
        residuals, x = residuals
        return self.wrong(params, x, dy, *self.inner.backward(params, residuals, dy))


def test_a_right_layer_passes_against_everything():
    report = check(fnnet.Dense(3)).raise_if_failed()
    against = {c.against for c in report.checks}
    assert against == {"jax.vjp float64", "jax.vjp float32", "finite differences", "linearity", "rows", "eager"}
    assert {(c.tensor, c.shape) for c in report.checks} == {
        ("params.w", (4, 3)),
        ("params.b", (3,)),
        ("x", (3, 4)),
    }
    text = str(report)
    assert "params.w" in text
    assert "0 of 18 comparisons failed" in text


def test_the_report_is_one_line_and_a_table_in_a_notebook():
    report = check(Broken(fnnet.Tanh(), lambda p, x, dy, g, dx: (g, -dx)))
    assert repr(report) == f"Report({report.subject}: {len(report.failed)} of {len(report.checks)} comparisons failed)"
    html = report._repr_html_()
    assert html.count("<tr>") == 3
    assert "FAILED x against jax.vjp float64" in html
    assert "&lt;lambda&gt;" in html
    assert "<lambda>" not in html


def test_dropout_is_checked_with_and_without_key():
    report = check(fnnet.Dropout(0.5)).raise_if_failed()
    assert {c.mode for c in report.checks} == {"prediction", "training"}


def test_models_losses_and_penalties_are_subjects_too():
    check(fnnet.mlp((3, 4, 2), dropout=0.3, penalty=fnnet.L1(0.1)), None).raise_if_failed()
    check(fnnet.SoftmaxCrossEntropy(0.1), targets=np.array([0, 3, 1])).raise_if_failed()
    check(fnnet.L2(0.1, 0.2), None).raise_if_failed()
    check(fnnet.L2(0.1), None, params=DenseParams(np.ones((2, 2)), None)).raise_if_failed()


def test_numbers_of_a_large_tensor_are_probed_in_random_directions():
    report = check(fnnet.Dense(30)).raise_if_failed()
    assert ("params.w", (4, 30)) in {(c.tensor, c.shape) for c in report.checks if c.against == "finite differences"}
    wrong = check(Broken(fnnet.Dense(30), lambda p, x, dy, g, dx: (g._replace(w=1.00001 * g.w), dx)))
    (failure,) = [c for c in wrong.failed if c.against == "finite differences"]
    assert failure.tensor == "params.w"


@pytest.mark.parametrize("layer", [fnnet.Dense(3), fnnet.Tanh(), fnnet.Dropout(0.5)], ids=repr)
def test_a_gradient_a_ten_thousandth_too_large_is_caught(layer):
    report = check(Scaled(layer, 1.0001))
    assert gradient_report.all_caught(report)
    assert "1.0001 times what it should be" in report.failed[0].note
    with pytest.raises(AssertionError, match="entry"):
        report.raise_if_failed()


@pytest.mark.slow
@pytest.mark.parametrize("subject", gradient_report.layers(), ids=lambda s: s.name)
def test_every_layer_passes_and_its_wrong_gradient_is_caught(subject):
    row = gradient_report.check(subject, KEY)
    assert row.passed
    assert row.caught == "yes"


@fnnet.spec
class Frozen:
    """tanh with the right gradient, which pretends not to depend on x."""

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        y = jnp.tanh(x)
        return y, jax.lax.stop_gradient(y)

    def backward(self, params, y, dy):
        return (), (1 - y * y) * dy


SECOND_ORDER = [
    (fnnet.Gelu(), (4,), {}),
    (fnnet.Residual(fnnet.Dense(3), fnnet.Dense(3)), (4,), {}),
    (fnnet.LayerNorm(), (4,), {}),
    (fnnet.Embedding(5, 3), None, {"x": np.array([[1, 3, 1]])}),
    (fnnet.SoftmaxCrossEntropy(), (4,), {"targets": np.array([0, 3, 1])}),
    (fnnet.mlp((3, 4, 2), activation=fnnet.Tanh(), dropout=0.5, penalty=fnnet.L2(0.1)), None, {}),
]


@pytest.mark.parametrize(
    ("subject", "in_shape", "more"),
    [pytest.param(*row, marks=pytest.mark.slow if i % 2 else ()) for i, row in enumerate(SECOND_ORDER)],
    ids=[type(subject).__name__ for subject, *_ in SECOND_ORDER],
)
def test_the_derivative_of_backward_is_that_of_the_gradient(subject, in_shape, more):
    """The report does it for every layer: `test_every_layer_passes_and_its_wrong_gradient_is_caught`."""
    report = check(subject, in_shape, second_order=True, **more).raise_if_failed()
    assert {c.tensor for c in report.checks if c.against == "second order"} == {c.tensor for c in report.checks}


def test_a_backward_that_cannot_be_differentiated_is_caught():
    check(Frozen()).raise_if_failed()
    report = check(Frozen(), second_order=True)
    assert {(c.tensor, c.against) for c in report.failed} == {("x", "second order")}


def test_the_report_covers_everything_public():
    def kinds(subjects):
        return {type(s.spec).__name__ for s in subjects}

    names = {name: getattr(fnnet, name) for name in fnnet.__all__}
    specs = {
        name: value for name, value in names.items() if isinstance(value, type) and hasattr(value, "__match_args__")
    }
    public_layers = {n for n, v in specs.items() if all(hasattr(v, m) for m in ("init", "forward", "backward"))}
    public_losses = {n for n, v in specs.items() if hasattr(v, "predict") and hasattr(v, "backward")}
    public_penalties = {n for n, v in specs.items() if hasattr(v, "gradient")}
    assert public_layers == kinds(gradient_report.layers())
    assert public_losses == kinds(gradient_report.losses())
    assert public_penalties == kinds(gradient_report.penalties())


WRONG = {
    "sign of dx": (lambda p, x, dy, g, dx: (g, -dx), "x"),
    "transposed dw": (lambda p, x, dy, g, dx: (g._replace(w=g.w.T), dx), "params.w"),
    "bias summed over all axes": (
        lambda p, x, dy, g, dx: (g._replace(b=jnp.full_like(g.b, g.b.sum())), dx),
        "params.b",
    ),
    "one entry": (lambda p, x, dy, g, dx: (g._replace(w=g.w.at[2, 1].add(1e-3)), dx), "params.w"),
    "rows leak": (lambda p, x, dy, g, dx: (g, dx + 1e-3 * dx.mean(0, keepdims=True)), "x"),
    "not linear": (lambda p, x, dy, g, dx: (g, dx * (1 + 1e-3 * dy.sum())), "x"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_caught_and_named(name):
    wrong, tensor = WRONG[name]
    report = check(Broken(fnnet.Dense(4), wrong))
    assert {c.tensor for c in report.failed} == {tensor}
    assert "backward gives" in str(report)


def test_the_failure_shows_the_entry_that_differs_most():
    report = check(Broken(fnnet.Dense(4), lambda p, x, dy, g, dx: (g._replace(w=g.w.at[2, 1].set(7)), dx)))
    (failure,) = [c for c in report.failed if c.against == "jax.vjp float64"]
    assert failure.note.startswith("entry [2, 1]: backward gives 7, jax.vjp float64 gives ")
    (slope,) = [c for c in report.failed if c.against == "finite differences"]
    assert slope.note.startswith("entry [2, 1]: backward gives 7, finite differences give ")
    assert "params.w" in {c.tensor for c in report.failed if c.against == "rows"}


def test_what_row_leaks_and_nonlinearity_are_called():
    leak = check(Broken(fnnet.Dense(4), WRONG["rows leak"][0]))
    assert "rows" in {c.against for c in leak.failed}
    bent = check(Broken(fnnet.Dense(4), WRONG["not linear"][0]))
    assert "linearity" in {c.against for c in bent.failed}


ONLY_SOMETIMES = {
    "nan": (fnnet.Dense(4), lambda p, x, dy, g, dx: (g, dx.at[0, 0].set(jnp.nan))),
    "where a bias is not 0": (fnnet.Dense(4), lambda p, x, dy, g, dx: (g._replace(w=g.w + 0.1 * p.b[None]), dx)),
    "not for a cotangent of ones": (fnnet.Softmax(), lambda p, x, dy, g, dx: (g, 1.01 * dx)),
}


@pytest.mark.parametrize("name", ONLY_SOMETIMES)
def test_what_is_wrong_only_sometimes_is_caught(name):
    """A NaN is no small error, a bias does not start at 0, a cotangent is not all ones; and one failure is enough."""
    report = check(Broken(*ONLY_SOMETIMES[name]))
    assert ("params.w" if "bias" in name else "x") in {c.tensor for c in report.failed}
    assert len(report.failed) < len(report.checks) or name.startswith("not for")
    with pytest.raises(AssertionError, match="FAILED"):
        report.raise_if_failed()


STRUCTURES = {
    "a bare tuple": (lambda p, x, dy, g, dx: ((g.w, g.b), dx), "structure of params"),
    "no dx": (lambda p, x, dy, g, dx: (g, None), "expected dx"),
    "only gradients": (lambda p, x, dy, g, dx: g.w, r"\(dparams, dx\)"),
    "a shape": (
        lambda p, x, dy, g, dx: (g._replace(b=g.b[None]), dx),
        r"float64 of shape \(4,\), got float64 of shape",
    ),
    "rows not summed": (lambda p, x, dy, g, dx: (g._replace(b=dy), dx), r"sum over the rows, .*: \.sum\(0\)"),
    "rows and steps not summed": (
        lambda p, x, dy, g, dx: (g._replace(b=dy[:, None]), dx),
        r"and over the steps of a sequence: \.sum\(\(0, 1\)\)",
    ),
    "a dtype": (lambda p, x, dy, g, dx: (g, dx.astype("float32")), "got float32"),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_wrong_structures_say_what_was_expected(name):
    wrong, text = STRUCTURES[name]
    with pytest.raises(AssertionError, match=text):
        check(Broken(fnnet.Dense(4), wrong)).raise_if_failed()


@fnnet.spec
class Centered:
    """A batch norm without scale: it mixes rows, and a bias before it has a gradient of zero."""

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        n = x - x.mean(0, keepdims=True)
        r = 1 / jnp.sqrt((n * n).mean(0, keepdims=True) + 1e-5)
        return n * r, (n * r, r)

    def backward(self, params, residuals, dy):
        n, r = residuals
        return (), r * (dy - dy.mean(0, keepdims=True) - n * (dy * n).mean(0, keepdims=True))


def test_a_gradient_that_is_truly_zero_passes_and_a_wrong_one_does_not():
    network = fnnet.Serial((fnnet.Dense(4), Centered()))
    report = check(network, batch=6, expected_zero={"params[0].b": "the mean takes it out"}).raise_if_failed()
    assert any("mixes the rows" in text for text in report.left_out)
    wrong = Broken(network, lambda p, x, dy, g, dx: ((g[0]._replace(b=g[0].b + 1e-9), ()), dx))
    assert {c.tensor for c in check(wrong, batch=6).failed} == {"params[0].b"}


@fnnet.spec
class Embedding:
    """Rows of a table, looked up by integers, which have no gradient."""

    def init(self, key, in_shape):
        return jax.random.normal(key, (5, 3)), (*in_shape, 3)

    def forward(self, table, x, *, key=None):
        return table[x], x

    def backward(self, table, x, dy):
        return jnp.zeros_like(table).at[x].add(dy), None


def test_integer_inputs_have_no_gradient():
    report = check(Embedding(), None, x=np.array([[0, 4], [4, 1]])).raise_if_failed()
    assert {c.tensor for c in report.checks} == {"params"}
    with pytest.raises(AssertionError, match="dx to be None, since x is integer"):
        check(Broken(Embedding(), lambda p, x, dy, g, dx: (g, dy)), None, x=np.array([[0, 4]])).raise_if_failed()


def test_points_at_a_kink_are_left_out_and_named():
    x = np.array([[1.0, 0.0, -2.0, 3e-6], [1.0, 2.0, 3.0, 4.0]])
    report = check(fnnet.LeakyRelu(0.1), None, x=x)
    (text,) = report.left_out
    assert "2 of 8 at a kink or too sharp: [0, 1], [0, 3]" in text
    assert not [c for c in report.failed if c.against == "finite differences"]


def test_a_tensor_that_is_all_kinks_is_not_passed_over():
    report = check(fnnet.Relu(), None, x=np.zeros((2, 2)))
    assert "pass x= or params= away from it" in "".join(c.note for c in report.failed)


def kinked_at(distance):
    """|t - distance| along one entry, in units of the step."""
    d = distance * finite_differences.STEP
    return finite_differences.slopes(lambda t: jnp.abs(t[0] - d) + 3 * t[0], [jnp.zeros(1)], [jnp.ones(1)], KEY)[0]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scales_do_not_matter(scale):
    """Inputs large and weights small, or the other way round: right passes, and a thousandth too much does not."""
    params = DenseParams(np.ones((4, 3)) / scale + np.eye(4, 3) / scale, np.zeros(3))
    x = scale * np.arange(1.0, 9).reshape(2, 4)
    check(fnnet.Dense(3), None, x=x, params=params).raise_if_failed()
    wrong = check(Broken(fnnet.Dense(3), lambda p, x, dy, g, dx: (g, 1.001 * dx)), None, x=x, params=params)
    assert {"jax.vjp float64", "jax.vjp float32", "finite differences"} <= {c.against for c in wrong.failed}
    assert {c.tensor for c in wrong.failed} == {"x"}


def test_sharp_curves_pass_too():
    """Pixels that nobody scaled: the loss bends within a hundredth of a weight."""
    params = (DenseParams(np.linspace(-1, 1, 15).reshape(5, 3) / 255, np.zeros(3)), ())
    x = np.linspace(0, 255, 15).reshape(3, 5)
    check(fnnet.Serial((fnnet.Dense(3), fnnet.Sigmoid())), None, x=x, params=params).raise_if_failed()


@fnnet.spec
class Flip:
    """Turns the whole batch's sign now and then, and forgets to in backward."""

    rate: fnnet.Number

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        if key is None:
            return x, None
        return x * jnp.where(jax.random.uniform(key, dtype=x.dtype) < self.rate, -1, 1).astype(x.dtype), None

    def backward(self, params, residuals, dy):
        return (), dy


def test_noise_that_rarely_strikes_is_waited_for():
    assert {c.mode for c in check(Flip(0.2)).failed} == {"training"}


def test_a_model_without_parameters_is_checked():
    check(fnnet.Model(fnnet.Serial((fnnet.Tanh(),)), fnnet.SquaredError(), (3,)), None).raise_if_failed()


def test_kinks_are_seen_wherever_they_lie(float64):
    for distance in (-0.9, -0.5, -1 / 3, -0.1, 0, 0.2, 1 / 3, 0.45, 0.5, 0.7, 0.95):
        assert kinked_at(distance).kinked.all(), distance
    for distance in (-1.1, 1.1, 5):
        assert not kinked_at(distance).kinked.any(), distance


def test_differences_of_a_smooth_function_are_its_slopes(float64):
    t = jnp.linspace(-2, 2, 5)
    (found,) = finite_differences.slopes(lambda t: jnp.sin(3 * t[0]), [t], [3 * jnp.cos(3 * t)], KEY)
    assert not found.kinked.any()
    np.testing.assert_allclose(found.measured, found.mine, rtol=0, atol=1e-9)
    assert found.places == ["[0]", "[1]", "[2]", "[3]", "[4]"]


@fnnet.spec
class Misshapen:
    """An identity that says another shape than it gives."""

    out_shape: Any = fnnet.static()

    def init(self, key, in_shape):
        return (), self.out_shape

    def forward(self, params, x, *, key=None):
        return x, None

    def backward(self, params, residuals, dy):
        return (), dy


MISUSE = {
    "no in_shape": (lambda: check(fnnet.Dense(3), None), ValueError, "needs in_shape"),
    "NaN": (lambda: check(Log()), ValueError, "pass x="),
    "a class": (lambda: check(fnnet.Dense), TypeError, "built with its settings"),
    "no spec": (lambda: check(3), TypeError, "write @fnnet.spec"),
    "no layer": (lambda: check(fnnet.HeNormal()), TypeError, "which has none of these"),
    "in_shape as a number": (lambda: check(fnnet.Dense(3), 5), ValueError, r"write \(5,\)"),
    "a wrong out_shape": (lambda: check(Misshapen((7,))), ValueError, r"out_shape \(7,\) .* but forward gives"),
    "no out_shape": (lambda: check(Misshapen(3)), TypeError, "expected out_shape to be a tuple of ints, got 3"),
    "integers": (
        lambda: check(fnnet.Dense(3), None, x=np.array([[1, 2]])),
        TypeError,
        r"put Rescale\(1 / 255\)",
    ),
    "a schedule": (lambda: check(fnnet.Rescale(fnnet.LinearSchedule(0, 1, 2))), ValueError, "at_step"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_says_what_to_do(name, untyped):
    call, kind, text = MISUSE[name]
    with pytest.raises(kind, match=text):
        call()


def test_a_layer_is_checked_where_it_is_defined():
    check(Log(), None, x=np.array([[1.0, 2.0, 0.5]])).raise_if_failed()


@pytest.mark.slow
def test_the_own_layer_of_the_experiments_learns():
    assert own_layer.main(own_layer.Config(epochs=8, progress=False)) > 0.95
