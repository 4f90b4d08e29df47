"""The checker says what its comparisons show nothing of: gradients of zero, and branches that no input took."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.inspection.branches import both_sides
from tests.inspection.test_gradient_checker import Centered, check

KEY = jax.random.key(0)


@fnnet.spec
class Bent:
    """x up to a point and 2 x beyond it, with a backward that may forget the bend."""

    at: Any = fnnet.static()
    factor: Any = fnnet.static()

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        return jnp.where(x > self.at, 2 * x, x), x

    def backward(self, params, x, dy):
        return (), jnp.where(x > self.at, self.factor * dy, dy)


def test_a_branch_that_no_input_takes_fails_the_report():
    report = check(Bent(at=1e9, factor=3))
    assert not report.failed
    (vacuity,) = report.unexpected
    assert vacuity.what == "Bent.forward: where"
    assert "only the first side, at test_vacuity.py:" in vacuity.note
    assert repr(report).endswith("comparisons failed, 1 show nothing)")
    with pytest.raises(AssertionError, match=r"SHOWS NOTHING Bent.forward: where .*expected_one_sided=\{'Bent"):
        report.raise_if_failed()
    expected = check(Bent(at=1e9, factor=3), expected_one_sided={"Bent.forward: where": "x stays below 10"})
    assert "expected Bent.forward: where (prediction): x stays below 10" in str(expected.raise_if_failed())
    assert "x stays below 10" in expected._repr_html_()


def test_wider_draws_reach_a_branch_and_find_what_is_wrong_there():
    check(Bent(at=50, factor=2)).raise_if_failed()
    wrong = check(Bent(at=50, factor=3))
    assert not wrong.unexpected
    assert {(c.tensor, c.against) for c in wrong.failed} == {("x", "wider draws")}
    given = check(Bent(at=50, factor=3), None, x=np.array([[1.0, -2.0], [0.5, 3.0]]))
    assert [v.what for v in given.unexpected] == ["Bent.forward: where"]


def test_a_branch_taken_both_ways_needs_no_wider_draw():
    assert "wider draws" not in {c.against for c in check(fnnet.Relu()).raise_if_failed().checks}


def test_a_gradient_of_zero_fails_unless_it_is_expected():
    network = fnnet.Serial((fnnet.Dense(4), Centered()))
    report = check(network, batch=6)
    assert [v.what for v in report.unexpected] == ["params[0].b"]
    assert "0 in every entry" in str(report)
    check(network, batch=6, expected_zero={"params[0].b": "the mean takes it out"}).raise_if_failed()


def test_what_a_layer_says_itself_is_expected_wherever_it_stands():
    """No input moves the gradient of an attention's key.b, in a network inside of a network either."""
    attention = fnnet.Attention(2)
    inner = fnnet.Serial((fnnet.Tanh(), attention))
    both = fnnet.Parallel((fnnet.Residual(inner), fnnet.Residual(attention, fnnet.Dense(4))), "add")
    for layer, names in (
        (attention, {"params.key.b"}),
        (both, {"params[0][1].key.b", "params[1].inner.key.b"}),
    ):
        report = fnnet.check_gradients(layer, (3, 4), key=jax.random.key(0)).raise_if_failed()
        assert {v.what for v in report.vacuous} == names
    turned = fnnet.check_gradients(fnnet.Attention(2, rotary=True), (3, 4), key=jax.random.key(0)).raise_if_failed()
    assert not turned.vacuous


@fnnet.spec
class Offset:
    """x plus the sum of three biases, which have one gradient in common."""

    def init(self, key, in_shape):
        return jnp.zeros(3), in_shape

    def forward(self, params, x, *, key=None):
        return x + params.sum(), ()

    def backward(self, params, residuals, dy):
        return jnp.full_like(params, dy.sum()), dy


def test_a_gradient_that_is_the_same_everywhere_fails_unless_it_is_expected():
    (vacuity,) = check(Offset()).unexpected
    assert vacuity.what == "params"
    assert vacuity.note.startswith("its gradient is the same in every entry")
    check(Offset(), expected_zero={"params": "only their sum is used"}).raise_if_failed()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"expected_zero": {"params.w": "so I think"}},
            "expected_zero names it, yet it is not 0 ",
        ),
        (
            {"expected_zero": {"params.v": "a typo"}},
            r"SHOWS NOTHING params.v[^\n]*yet there is no such tensor \(known: ",
        ),
        ({"expected_one_sided": {"Dense.forward: where": "none"}}, "expected_one_sided names it, yet"),
    ],
)
def test_a_reason_for_what_is_not_vacuous_fails(arguments, text):
    with pytest.raises(AssertionError, match=text):
        check(fnnet.Dense(3), **arguments).raise_if_failed()


def test_branches_of_fnnets_layers_count_where_the_layer_is_checked_itself():
    """HardSigmoid bends at 3, which inner layers do not reach; a network of them is not held to it."""
    assert "wider draws" in {c.against for c in check(fnnet.HardSigmoid()).raise_if_failed().checks}
    inner = check(fnnet.Serial((fnnet.HardSigmoid(), fnnet.Tanh(), fnnet.HardSigmoid()))).raise_if_failed()
    assert "wider draws" not in {c.against for c in inner.checks}


def test_a_layer_typed_at_a_prompt_has_no_file(monkeypatch):
    monkeypatch.setattr(Bent, "__module__", "a_prompt")
    assert [v.what for v in check(Bent(at=1e9, factor=3)).unexpected] == ["Bent.forward: where"]


def sides(f, *args):
    """{name without the function: the two sides} of every branch, from a compiled run."""
    names = []

    def program(*args):
        branches, taken = both_sides(f, *args)
        names[:] = [branch.name.split(": ")[1] for branch in branches]
        return taken

    return dict(zip(names, [tuple(map(bool, side)) for side in jax.jit(program)(*args)], strict=True))


def looped(x):
    return jax.lax.scan(lambda c, row: (jnp.maximum(c, row), row + c), x[0], x)[1]


X = jnp.array([[0.5, -2.0, 3.0], [1.5, -1.0, -3.0]])
FORMULAS = {
    "where": (lambda x: jnp.where(x > 0, x, 0), {"where": (True, True)}),
    "where, one side": (lambda x: jnp.where(x > 9, x, 0), {"where": (True, False)}),
    "where of both": (lambda x: jnp.where((x > 0) & (x < 9), x, 0), {"where": (True, True)}),
    "maximum": (lambda x: jnp.maximum(x, 0), {"maximum": (True, True)}),
    "maximum, one side": (lambda x: jnp.maximum(x, -9), {"maximum": (True, False)}),
    "minimum": (lambda x: jnp.minimum(x, -9), {"minimum": (True, False)}),
    "neither": (lambda x: jnp.maximum(x, x), {"maximum": (False, False)}),
    "clip": (lambda x: jax.lax.clamp(-9.0, x, 9.0), {"clamp": (True, False)}),
    "abs": (lambda x: jnp.abs(x), {"abs": (True, True)}),
    "sign": (lambda x: jnp.sign(x * x), {"sign": (False, True)}),
    "a condition as a number": (lambda x: (x > 9).astype(x.dtype) * x, {"condition as a number": (True, False)}),
    "relu of JAX": (lambda x: jax.nn.relu(x), {"maximum": (True, True)}),
    "two": (lambda x: abs(abs(x)), {"abs": (True, True), "abs #2": (False, True)}),
    "in a scan": (looped, {"maximum": (True, True)}),
    "cond": (lambda x: jax.lax.cond(x[0, 0] > 9, jnp.sin, jnp.cos, x), {"cond": (True, False)}),
    "within compiled code": (lambda x: jax.jit(lambda a: jnp.maximum(a, -9))(x), {"maximum": (True, False)}),
    "not a number": (lambda x: jnp.where(jnp.isnan(x) | ~jnp.isfinite(x), 0, x), {}),
    "one constant": (lambda x: jnp.where(x == 0, 1, x), {}),
    "NaN on the other side": (lambda x: jnp.where(x < 9, x, jnp.nan), {}),
    "a mask": (lambda x: jnp.where(jnp.arange(3) < 9, x, 0), {}),
    "noise": (
        lambda x: x * jax.random.bernoulli(KEY, 0.5, x.shape).astype(x.dtype),
        {"condition as a number": (True, True)},
    ),
    "integers": (lambda x: x[jnp.where(jnp.arange(2) > 9, 1, 0)], {}),
    "no choice": (lambda x: jnp.exp(x) @ x.T, {}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_a_branch(name):
    f, expected = FORMULAS[name]
    assert sides(f, X) == expected


def test_a_function_gives_the_same_when_its_branches_are_noted():
    """What is run operation by operation is the function itself: its branches are those of its real values."""
    scan = jax.jit(lambda x: both_sides(lambda y: jnp.maximum(looped(y), 4.4), x)[1])(X)
    assert [tuple(map(bool, side)) for side in scan] == [(True, True), (float(looped(X).max()) > 4.4, True)]


def test_branches_are_named_after_the_code_that_asked_for_them():
    (branch,), _ = both_sides(lambda x: fnnet.Relu().forward((), x)[0], X)
    assert branch.name == "Relu.forward: maximum"
    assert branch.file.endswith("activations.py")
    assert branch.line > 0
