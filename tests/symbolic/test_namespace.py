"""The stand-ins compute what JAX computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from .namespace import LAX, NUMPY, as_exact
from .scalars import Symbols, computing_in

RNG = np.random.default_rng(0)
A = RNG.integers(-40, 40, (4, 3)) / 16
POSITIVE = np.abs(A) + 1 / 4
IMAGES, KERNEL = RNG.integers(-40, 40, (2, 5, 4, 3)) / 16, RNG.integers(-40, 40, (3, 2, 3, 2)) / 16
NHWC = ("NHWC", "HWIO", "NHWC")


def total(carry, x):
    carry = carry * x + 1
    return carry, (carry, x)


CASES = {
    **{name: (lambda m, lax, a, f=name: getattr(m, f)(a), A) for name in ("exp", "tanh", "cos", "sin", "expm1")},
    **{name: (lambda m, lax, a, f=name: getattr(m, f)(a), POSITIVE) for name in ("log", "log1p", "sqrt", "floor")},
    **{name: (lambda m, lax, a, f=name: getattr(m, f)(a), A) for name in ("abs", "sign", "round", "zeros_like")},
    "logistic": (lambda m, lax, a: lax.logistic(a), A),
    "erfc": (lambda m, lax, a: lax.erfc(a), A),
    "clip": (lambda m, lax, a: m.clip(a, -1, 1), A),
    "where": (lambda m, lax, a: m.where(a > 0, a, 0), A),
    "maximum": (lambda m, lax, a: m.maximum(a, 0), A),
    "max": (lambda m, lax, a: m.max(m.abs(a), initial=0), A),
    "argmax": (lambda m, lax, a: m.argmax(a, 1), A),
    "mean": (lambda m, lax, a: a.mean((0,), keepdims=True), A),
    "matmul": (lambda m, lax, a: a @ a.T, A),
    "einsum": (lambda m, lax, a: m.einsum("ij,kj->ik", a, a), A),
    "concatenate": (lambda m, lax, a: m.concatenate(m.split(a, 3, -1), 0), A),
    "repeat": (lambda m, lax, a: m.repeat(a, 2, -1), A),
    "pad": (lambda m, lax, a: m.pad(a, ((1, 0), (0, 2))), A),
    "add at": (lambda m, lax, a: m.zeros_like(a).at[m.asarray([0, 2, 0, 7])].add(a, mode="drop"), A),
    "add at places": (
        lambda m, lax, a: (
            m.zeros((2, 5), a.dtype).at[m.asarray([[0], [1]]), m.asarray([[0, 0], [2, 4]])].add(a[:2, :2])
        ),
        A,
    ),
    "floor": (lambda m, lax, a: m.floor(3 * a), A),
    "floor as integers": (lambda m, lax, a: m.arange(9)[4 + m.floor(a).astype(m.int32)], A),
    "lax.pad": (lambda m, lax, a: lax.pad(a, m.zeros((), a.dtype), ((-1, 2, 1), (1, -2, 2))), A),
    "scan": (lambda m, lax, a: lax.scan(total, a[0], a, reverse=True)[1][0], A),
    "map": (lambda m, lax, a: lax.map(lambda row: row * row, a), A),
    "convolution": (
        lambda m, lax, x, w: lax.conv_general_dilated(
            x, w, (2, 1), ((1, 2), (0, 1)), (1, 2), (2, 1), dimension_numbers=NHWC
        ),
        IMAGES,
        KERNEL,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stand_in_computes_what_jax_computes(name, float64):
    function, *arrays = CASES[name]
    expected = np.asarray(function(jnp, lax, *map(jnp.asarray, arrays)))
    with computing_in(Symbols()):
        found = as_exact(function(NUMPY, LAX, *map(as_exact, arrays)))
    numbers = np.frompyfunc(lambda scalar: float(scalar.value), 1, 1)(found).astype(float)
    assert numbers.shape == expected.shape
    np.testing.assert_allclose(numbers, expected, rtol=1e-13, atol=1e-14)


def test_trees_go_through_a_scan():
    xs = {"a": as_exact([1, 2, 3]), "none": None}
    _, ys = LAX.scan(lambda carry, x: (carry, (x["a"], None)), None, xs)
    assert jax.tree.structure(ys) == jax.tree.structure((0, None))
    assert [entry.value for entry in ys[0]] == [1, 2, 3]
