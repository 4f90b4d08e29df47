"""Muon: singular values against the scalar recurrence, scale by shape, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet.optimizers import Adam, Matrices, Muon, Partition, Sgd, muon

RNG = np.random.default_rng(3)


def orthogonal(rows, columns):
    return np.linalg.qr(RNG.normal(size=(rows, columns)))[0]


def with_singular_values(values, rows, columns):
    """A matrix of these singular values, of any shape, with its two factors."""
    left, right = orthogonal(rows, len(values)), orthogonal(columns, len(values))
    return left * values @ right.T, left, right


def mapped(values, steps):
    """What Newton-Schulz does to each singular value by itself."""
    s = np.asarray(values, np.float64)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


def stepped(optimizer, *gradients):
    """The last update of a weight whose gradients these are."""
    params = {"w": jnp.zeros_like(jnp.asarray(gradients[0]))}
    state = optimizer.init(params)
    for g in gradients:
        updates, state = optimizer.update({"w": jnp.asarray(g)}, state, params)
    return updates["w"]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (40, 3), (3, 40)])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_every_singular_value_is_mapped_and_no_singular_vector_moves(shape, steps, float64):
    values = np.geomspace(1, 1e-3, min(shape))
    g, left, right = with_singular_values(values, *shape)
    got = stepped(Muon(1, 0, epsilon=1e-30, steps=steps), g)
    want = left * mapped(values / np.linalg.norm(values), steps) @ right.T
    np.testing.assert_allclose(got, -want * max(1, shape[1] / shape[0]) ** 0.5, rtol=0, atol=1e-9)


def test_five_steps_take_all_but_the_smallest_to_about_one():
    """The range that the docstring names."""
    reached = mapped(np.linspace(0.002, 1, 100_000), 5)
    assert 0.68 < reached.min() < 0.69
    assert 1.20 < reached.max() < 1.21


@pytest.mark.parametrize("smallest", [1, 1e-2, 1e-4, 1e-7, 0])
def test_in_float32_it_is_the_same_to_a_thousandth(smallest):
    """However nearly singular the gradient is: rounding in G stays small in five steps."""
    values = np.geomspace(1, max(smallest, 1e-30), 32) * (smallest > 0) + (np.arange(32) < 3) * (smallest == 0)
    g, left, right = with_singular_values(values, 200, 32)
    got = stepped(Muon(1, 0), g.astype("float32"))
    want = -left * mapped(values / np.linalg.norm(values), 5) @ right.T
    np.testing.assert_allclose(np.linalg.norm(got - want, 2), 0, atol=3e-3)


def test_the_products_are_of_full_precision_wherever_they_run():
    """TF32, the default of GPUs, would make G of a singular gradient so wrong that it diverges."""
    g = {"w": jnp.ones((8, 4))}
    text = str(jax.make_jaxpr(lambda g: Muon().update(g, g, g))(g))
    assert text.count("dot_general") == text.count("Precision.HIGHEST, Precision.HIGHEST") > 10


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_direction_is_that_of_momentum(nesterov, float64):
    gradients = RNG.normal(size=(3, 4, 3))
    v = 0.25 * gradients[0] + 0.5 * gradients[1] + gradients[2]
    u = gradients[2] + 0.5 * v if nesterov else v
    left, values, right = np.linalg.svd(u, full_matrices=False)
    want = left * mapped(values / (np.linalg.norm(u) + 0.125), 5) @ right
    got = stepped(Muon(0.3, 0.5, 0.125, nesterov=nesterov), *gradients)
    np.testing.assert_allclose(got, -0.3 * want, rtol=1e-9)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 5), (5, 1), (4, 9), (9, 4)])
def test_wide_matrices_go_further(shape):
    """The largest singular value in units of the learning rate, sqrt(max(1, O / I)) apart."""
    g = with_singular_values(np.ones(min(shape)), *shape)[0]
    size = np.linalg.norm(stepped(Muon(0.5), g.astype("float32")), 2) / 0.5 / max(1, shape[1] / shape[0]) ** 0.5
    assert size == pytest.approx(mapped(min(shape) ** -0.5, 5), rel=1e-4)


def test_a_kernel_is_a_matrix_with_the_outputs_as_columns():
    g = RNG.normal(size=(3, 2, 4, 5)).astype("float32")
    np.testing.assert_array_equal(stepped(Muon(), g), stepped(Muon(), g.reshape(24, 5)).reshape(g.shape))


@pytest.mark.parametrize("size", [1e-30, 1e-14, 1.0, 1e12, 1e30])
def test_how_large_the_gradient_is_does_not_matter_unless_it_is_tiny(size):
    g = RNG.normal(size=(5, 3)).astype("float32")
    usual, got = stepped(Muon(), g), stepped(Muon(), np.float32(size) * g)
    assert np.all(np.isfinite(got))
    if size >= 1:
        np.testing.assert_allclose(got, usual, rtol=1e-3, atol=1e-6)
    else:
        assert np.abs(got).max() < 1e-2 * np.abs(usual).max()


def test_a_gradient_of_zero_moves_nothing():
    assert np.all(np.asarray(stepped(Muon(), np.zeros((4, 3), "float32"))) == 0)
    assert np.all(np.asarray(stepped(Muon(), np.zeros((3, 4), "float32"))) == 0)
    half = np.eye(4, 3, dtype="float32") * [1, 0, 1]  # a neuron that is never active
    assert np.all(np.asarray(stepped(Muon(), half.astype("float32")))[:, 1] == 0)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_a_weight_without_entries_is_one_too(shape):
    assert stepped(Muon(), np.zeros(shape, "float32")).shape == shape


def test_a_gradient_that_is_nan_is_not_hidden():
    assert np.isnan(stepped(Muon(), np.array([[np.nan, 1], [1, 1]], "float32"))).all()


def test_gradients_in_bfloat16_are_orthogonalized_in_float32():
    g = jnp.asarray(RNG.normal(size=(64, 32)), jnp.bfloat16)
    got = stepped(Muon(1, 0), g)
    assert got.dtype == jnp.bfloat16
    full = stepped(Muon(1, 0), g.astype(jnp.float32))
    np.testing.assert_array_equal(got, full.astype(jnp.bfloat16))


def test_what_is_no_matrix_is_refused_with_what_to_write():
    params = fnnet.mlp((3, 2)).network.init(jax.random.key(0), (3,))[0]
    message = (
        r"^Muon.init: expected weights of two axes or more, got params\[0\].b of shape \(2,\); "
        r"write Partition\(Matrices\(\), Muon\(...\), Adam\(...\)\), where Adam trains the rest$"
    )
    with pytest.raises(ValueError, match=message):
        Muon(0.1).init(params)
    Partition(Matrices(), Muon(0.1), Adam()).init(params)


@pytest.mark.parametrize("steps", [0, 6, 2.0, True, None])
def test_steps_are_one_to_five(steps, untyped):
    with pytest.raises(ValueError, match=f"^Muon: expected steps to be an int from 1 to 5, got {steps}"):
        Muon(steps=steps)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Muon(-1), "Muon: expected 0 <= learning_rate, got -1"),
        (lambda: Muon(momentum=1.5), "Muon: expected 0 <= momentum <= 1, got 1.5"),
        (lambda: Muon(epsilon=0), "Muon: expected 0 < epsilon, got 0"),
    ],
)
def test_numbers_that_make_no_optimizer_are_refused(build, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build()


def test_it_goes_down_where_descent_crawls(float64):
    """A bowl whose curvatures differ 1000-fold: Muon is near the bottom where plain descent has hardly begun."""
    curvature, target = jnp.diag(jnp.geomspace(1, 1e-3, 4)), jnp.asarray(orthogonal(4, 4))

    def reached(optimizer):
        def step(carry, t):
            w, state = carry
            updates, state = fnnet.at_step(optimizer, t, "float64").update(curvature @ (w - target), state, w)
            return (w + updates, state), None

        (w, _), _ = jax.lax.scan(step, (0 * target, optimizer.init(target)), jnp.arange(100))
        return float(jnp.abs(w - target).max())

    assert reached(Muon(fnnet.LinearSchedule(0.1, 0, 100), 0.5)) < 0.05
    assert reached(Sgd(fnnet.LinearSchedule(0.5, 0, 100), 0.5)) > 0.5


def test_the_coefficients_are_those_of_the_source():
    assert (muon.A, muon.B, muon.C) == (3.4445, -4.7750, 2.0315)
