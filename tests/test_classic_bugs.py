"""The classic bugs of hand-written back-propagation, each put into the library and shown to be noticed.

Every test states one bug, as somebody once wrote it, puts it in place of the right function, and runs one of the
project's own tests: it passes before, and fails with the bug.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
import tests.layers.test_activations as activation_tables
import tests.layers.test_gradients as gradients
import tests.optimizers.test_optimizers as optimizers
import tests.test_losses as loss_tables
from fnnet import losses
from fnnet.layers import DenseParams
from tests import test_model as models
from tests import test_penalties as penalties

KEY = jax.random.key(3)


@pytest.fixture
def is_noticed(monkeypatch):
    """is_noticed(owner, name, bug, test, *arguments): the test passes, and fails once owner.name is the bug."""

    def check(owner, name, bug, test, *arguments):
        with jax.enable_x64(True):
            forget()
            test(*arguments)
            monkeypatch.setattr(owner, name, bug)
            forget()
            with pytest.raises(AssertionError):
                test(*arguments)
        monkeypatch.undo()

    yield check
    forget()


def forget():
    """What the tables compiled with or without the bug; the other tests compile anew each time."""
    activation_tables.value_and_derivative.clear_cache()
    loss_tables.value_and_gradient.clear_cache()


def one_layer(layer, in_shape, key=None):
    """The cell of the gradient tests for a network of one layer: its parameters' gradients and its input's."""
    model = fnnet.Model(layer, fnnet.SquaredError(), in_shape)
    gradients.check_model(model, gradients.batch_of(model, gradients.values, 6, *layer.init(KEY, in_shape)[1]), key)


def one_model(model, draw):
    """The cell of the gradient tests for a model of four outputs."""
    gradients.check_model(model, gradients.batch_of(model, draw, 6, 4))


def test_softmax_gradient_of_the_diagonal_only(is_noticed):
    def backward(self, params, y, dy):
        return (), dy * y * (1 - y)

    is_noticed(fnnet.Softmax, "backward", backward, gradients.test_squared_error_on_softmax_has_the_full_jacobian)


def test_adam_without_the_time_step(is_noticed):
    def forgotten(beta, t, average):
        return jnp.asarray(1 - beta, jnp.float32)

    test = optimizers.test_two_steps_are_those_worked_out_by_hand
    home = sys.modules[fnnet.Adam.__module__]
    is_noticed(home, "_forgotten", forgotten, test, fnnet.Adam(0.1, 0.9, 0.99, 0), "float32")


def test_a_gradient_n_outputs_times_too_large(is_noticed):
    def backward(self, r, dper_example):
        return r.shape[-1] * 2 * r * dper_example[:, None]

    is_noticed(fnnet.SquaredError, "backward", backward, one_layer, fnnet.Dense(4), (3,))


def test_a_missing_input_gradient_of_the_very_first_layer(is_noticed):
    right = fnnet.Dense.backward

    def backward(self, params, x, dy):
        return right(self, params, x, dy)[0], jnp.zeros_like(x)

    is_noticed(fnnet.Dense, "backward", backward, one_layer, fnnet.Dense(4), (3,))


def test_relu_with_a_slope_at_0(is_noticed):
    def backward(self, params, y, dy):
        return (), jnp.where(y >= 0, dy, y)

    test = activation_tables.test_values_and_derivatives_are_those_of_the_table
    is_noticed(fnnet.Relu, "backward", backward, test, "Relu", "float32")


def test_a_bias_gradient_summed_over_all_axes(is_noticed):
    right = fnnet.Dense.backward

    def backward(self, params, x, dy):
        grads, dx = right(self, params, x, dy)
        return DenseParams(grads.w, jnp.full_like(params.b, grads.b.sum())), dx

    is_noticed(fnnet.Dense, "backward", backward, one_layer, fnnet.Dense(4), (3,))


def test_a_transposed_weight_gradient_of_a_square_layer(is_noticed):
    right = fnnet.Dense.backward

    def backward(self, params, x, dy):
        grads, dx = right(self, params, x, dy)
        return DenseParams(grads.w.T, grads.b), dx

    is_noticed(fnnet.Dense, "backward", backward, one_layer, fnnet.Dense(4), (4,))


def test_a_gradient_without_1_over_b(is_noticed):
    right = fnnet.SoftmaxCrossEntropy.backward

    def backward(self, residuals, dper_example):
        return right(self, residuals, jnp.ones_like(dper_example))

    model = fnnet.mlp((3, 4))
    is_noticed(fnnet.SoftmaxCrossEntropy, "backward", backward, one_model, model, gradients.classes)


def test_a_loss_and_a_gradient_both_without_1_over_b(is_noticed, monkeypatch):
    """Wrong together, they agree with each other: no gradient check sees it, the textbook does."""

    def mean_weights(model, batch, dtype):
        return jnp.ones(batch.x.shape[0], dtype)

    is_noticed(fnnet.model, "mean_weights", mean_weights, models.test_one_pass_is_the_textbook)
    monkeypatch.setattr(fnnet.model, "mean_weights", mean_weights)
    with jax.enable_x64(True):
        one_model(fnnet.mlp((3, 4)), gradients.classes)


def test_l2_on_the_biases_instead_of_the_weights(is_noticed):
    """Value and gradient are wrong together here, too."""

    def strength(penalty, path):
        return {"w": penalty.biases, "b": penalty.weights}.get(getattr(path[-1], "name", "")) if path else None

    test = penalties.test_value_and_gradient_are_those_worked_out_by_hand
    is_noticed(fnnet.penalties, "_strength", strength, test, fnnet.L2(0.1), "float32")


def test_l2_on_every_tensor(is_noticed):
    test = penalties.test_the_penalty_is_part_of_the_loss_and_of_its_gradient
    row = fnnet.L2(0.5), 12.5, [4, -1], 6
    is_noticed(fnnet.penalties, "_strength", lambda penalty, path: penalty.weights, test, *row)


def test_a_dropout_mask_drawn_anew_in_the_backward_pass(is_noticed):
    def backward(self, params, m, dy):
        if m is None:
            return (), dy
        return (), dy * jnp.where(jax.random.bernoulli(jax.random.key(1), 0.5, m.shape), 2, 0).astype(dy.dtype)

    is_noticed(fnnet.Dropout, "backward", backward, gradients.test_dropout_with_a_fixed_key_uses_one_mask_both_ways)


def test_a_dropout_mask_forgotten_in_the_backward_pass(is_noticed):
    def backward(self, params, m, dy):
        return (), dy

    layer = fnnet.Serial((fnnet.Dense(4), fnnet.Dropout(0.4)))
    is_noticed(fnnet.Dropout, "backward", backward, one_layer, layer, (7,), KEY)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_binary_cross_entropy_with_one_side_of_the_kink_at_0(is_noticed, slope):
    """max(z, 0) - t z + log(1 + e^-|z|), its terms differentiated one by one, with sign(0) = 0."""

    def backward(self, residuals, dper_example):
        z, t = residuals
        positive = jnp.where(z > 0, 1, jnp.where(z < 0, 0, slope))
        dz = positive - t - jnp.sign(z) * jax.lax.logistic(-jnp.abs(z))
        return dz * dper_example[:, None]

    test = loss_tables.test_the_gradient_of_binary_cross_entropy_at_0_is_a_half_minus_the_target
    is_noticed(fnnet.SigmoidBinaryCrossEntropy, "backward", backward, test, 0.3, "float32")


def test_label_smoothing_not_in_the_gradient(is_noticed):
    right = fnnet.SoftmaxCrossEntropy.forward

    def forward(self, logits, targets):
        per_example, (p, _) = right(self, logits, targets)
        return per_example, (p, losses.one_hot(targets, logits.shape[-1], logits.dtype))

    row = gradients.Targets(fnnet.SoftmaxCrossEntropy(label_smoothing=0.1), gradients.classes)
    is_noticed(fnnet.SoftmaxCrossEntropy, "forward", forward, gradients.test_every_kind_of_target, row)


def test_a_gradient_of_binary_cross_entropy_at_0_is_exact_where_autodiff_of_the_formula_is_not():
    """Why the tables are worked out by hand: jax.grad of the textbook formula is no referee at a tie."""

    def textbook(z, t):
        return jnp.where(z > 0, z, 0.0) - z * t + jnp.log1p(jnp.exp(-jnp.abs(z)))

    ours = fnnet.SigmoidBinaryCrossEntropy().backward((jnp.zeros((1, 1)), jnp.full((1, 1), 0.25)), jnp.ones(1))
    np.testing.assert_array_equal(ours, [[0.25]])
    assert float(jax.grad(textbook)(0.0, 0.25)) != 0.25
