"""A layer, loss, penalty or optimizer of one's own that breaks its contract is refused by name, with what to write."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


@fnnet.spec
class Scale:
    """y = w x."""

    def init(self, key, in_shape):
        return {"w": jnp.ones(in_shape)}, in_shape

    def forward(self, params, x, *, key=None):
        return x * params["w"][None], x

    def backward(self, params, x, dy):
        return {"w": (x * dy).sum(0)}, dy * params["w"][None]


@fnnet.spec
class Squared:
    """The sum of squares."""

    def forward(self, outputs, targets):
        return ((outputs - targets) ** 2).sum(-1), outputs - targets

    def backward(self, residuals, dper_example):
        return 2 * residuals * dper_example[:, None]

    def predict(self, outputs):
        return outputs

    def correct(self, outputs, targets):
        return (jnp.abs(outputs - targets) < 0.5).all(-1)


@fnnet.spec
class Descent:
    """theta - g / 10."""

    def init(self, params):
        return None

    def update(self, grads, opt_state, params, *, key=None):
        return jax.tree.map(lambda g: -0.1 * g, grads), opt_state


@fnnet.spec
class Sum:
    """The sum of all parameters."""

    def value(self, params):
        return sum(p.sum() for p in jax.tree.leaves(params))

    def gradient(self, params):
        return jax.tree.map(jnp.ones_like, params)


def stepped(layer=Scale, loss=Squared, optimizer=Descent, penalty=Sum, wrap=lambda layer: layer):
    """One step with a network of which every part is one's own."""
    network = wrap(fnnet.Serial((fnnet.Dense(3), layer(), fnnet.Relu())))
    model = fnnet.Model(network, loss(), input_shape=(3,), penalty=penalty())
    state = fnnet.init_state(model, optimizer(), jax.random.key(0))
    return fnnet.train_step(model, optimizer(), state, fnnet.Batch(X, X))


def traced(**parts):
    """As `stepped`, without compiling anything: contracts are checked while a program is traced."""
    return jax.eval_shape(lambda: stepped(**parts))


def test_what_keeps_its_contract_trains():
    state, metrics = stepped()
    assert state.step == 1
    assert np.isfinite(metrics.loss)


TWO = "expected two values, got"
NO_NUMBERS = r"expected nothing but jax.numpy .*; write jnp.tanh for np.tanh"
LAYERS = {
    "init one value": ("init", lambda s, k, shape: {"w": jnp.ones(shape)}, f"{TWO} a dict of 1; .*return params, out"),
    "init a number": ("init", lambda s, k, shape: ({}, 3), "expected out_shape to be a tuple of ints, got 3"),
    "forward one value": ("forward", lambda s, p, x, *, key=None: x, f"{TWO} an array of shape .*`return y, residuals"),
    "forward no key": ("forward", lambda s, p, x: (x, x), r"expected `def forward\(self, params, x, \*, key=None\)`"),
    "forward no rows": ("forward", lambda s, p, x, *, key=None: (x.sum(), x), r"expected y of shape \(8, ...\), got"),
    "forward no array": ("forward", lambda s, p, x, *, key=None: (p, x), r"y of shape \(8, ...\), got a dict of 1"),
    "forward NumPy": ("forward", lambda s, p, x, *, key=None: (np.tanh(x), x), NO_NUMBERS),
    "forward float": ("forward", lambda s, p, x, *, key=None: (x * float(x[0, 0]), x), NO_NUMBERS),
    "forward if": ("forward", lambda s, p, x, *, key=None: (x if x.sum() > 0 else -x, x), NO_NUMBERS),
    "forward mask": ("forward", lambda s, p, x, *, key=None: (x[x[:, 0] > 0], x), NO_NUMBERS),
    "forward int": ("forward", lambda s, p, x, *, key=None: (x + range(9)[x[0, 0].astype(int)], x), NO_NUMBERS),
    "backward dx": ("backward", lambda s, p, x, dy: dy, f"{TWO} an array .*; end it with `return dparams, dx`"),
    "backward nothing": ("backward", lambda s, p, x, dy: None, f"{TWO} NoneType"),
    "backward swapped": ("backward", lambda s, p, x, dy: (dy, {"w": dy.sum(0)}), "dparams in the structure of params"),
    "backward a name": ("backward", lambda s, p, x, dy: ({"v": dy.sum(0)}, dy), "of params, .*'w'.*got .*'v'"),
    "backward per row": ("backward", lambda s, p, x, dy: ({"w": dy}, dy), r"'w'\] of shape \(3,\), got \(8, 3\)"),
    "backward a sum": ("backward", lambda s, p, x, dy: ({"w": dy.sum()}, dy), r"of shape \(3,\), got \(\)"),
    "backward dx a sum": ("backward", lambda s, p, x, dy: ({"w": dy.sum(0)}, dy.sum()), r"dx of shape \(8, ...\)"),
}  # fmt: skip
LOSSES = {
    "forward one value": ("forward", lambda s, z, t: (z - t).sum(-1), f"{TWO} an array .*`return per_example, res"),
    "forward a mean": ("forward", lambda s, z, t: ((z - t).mean(), z), r"one loss per row, of shape \(8,\), got"),
    "forward no sum": ("forward", lambda s, z, t: (z - t, z), r"of shape \(8,\), got an array of shape \(8, 3\)"),
    "backward nothing": ("backward", lambda s, r, d: None, r"expected doutputs of shape \(8, 3\), got NoneType"),
    "backward per row": ("backward", lambda s, r, d: d, r"expected doutputs of shape \(8, 3\), got .*\(8,\)"),
    "correct a mean": ("correct", lambda s, z, t: (z > t).mean(), r"one bool or number per row, of shape \(8,\)"),
}  # fmt: skip
PENALTIES = {
    "value per output": ("value", lambda s, p: p[0].b, r"expected one number of shape \(\), got .*\(3,\)"),
    "gradient a number": ("gradient", lambda s, p: 2.0, "expected the gradient in the structure of params"),
    "gradient sums": (
        "gradient",
        lambda s, p: jax.tree.map(jnp.sum, p),
        r"gradient\[0\].w of shape \(3, 3\), got \(\)",
    ),
}
OPTIMIZERS = {
    "update one value": ("update", lambda s, g, o, p, *, key=None: g, f"{TWO} a tuple .* `return updates, opt_state`"),
    "update no key": ("update", lambda s, g, o, p: (g, o), "expected `def update"),
    "update swapped": ("update", lambda s, g, o, p, *, key=None: (o, g), "expected updates in the structure of params"),
    "update a sum": (
        "update", lambda s, g, o, p, *, key=None: (jax.tree.map(jnp.sum, g), o), r"updates\[0\].w of shape \(3, 3\)"
    ),
    "update another state": ("update", lambda s, g, o, p, *, key=None: (g, g), "structure of the opt_state before"),
}  # fmt: skip


def broken(part, method, function):
    """A class like another, one method being another."""
    return fnnet.spec(type("Broken", (part,), {method: function}))


@pytest.mark.parametrize("wrap", [lambda layer: layer, fnnet.Residual], ids=["Serial", "Residual"])
@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_that_breaks_its_contract_is_named(case, wrap):
    method, function, message = LAYERS[case]
    with pytest.raises((TypeError, ValueError), match=rf"^Broken.{method}: .*{message}"):
        traced(layer=broken(Scale, method, function), wrap=wrap)


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_that_breaks_its_contract_is_named(case):
    method, function, message = LOSSES[case]
    with pytest.raises((TypeError, ValueError), match=rf"^Broken.{method}: .*{message}"):
        traced(loss=broken(Squared, method, function))


@pytest.mark.parametrize("case", PENALTIES)
def test_a_penalty_that_breaks_its_contract_is_named(case):
    method, function, message = PENALTIES[case]
    with pytest.raises(ValueError, match=rf"^Broken.{method}: .*{message}"):
        traced(penalty=broken(Sum, method, function))


@pytest.mark.parametrize("chained", [False, True], ids=["alone", "in a Chain"])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_that_breaks_its_contract_is_named(case, chained):
    method, function, message = OPTIMIZERS[case]
    own = broken(Descent, method, function)
    with pytest.raises((TypeError, ValueError), match=rf"^Broken.{method}: .*{message}"):
        traced(optimizer=lambda: fnnet.Chain((fnnet.Sgd(0.1), own())) if chained else own())


def test_a_mistake_inside_a_method_is_shown_as_it_is():
    with pytest.raises(TypeError, match=r"^unsupported operand"):
        traced(layer=broken(Scale, "forward", lambda s, p, x, *, key=None: (1 + "2", x)))
