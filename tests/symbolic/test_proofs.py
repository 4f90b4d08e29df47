"""Every public spec is proved, or named with a reason; what the proofs stand on."""

from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import pytest

import fnnet
from fnnet import layers
from fnnet.layers import dense

from . import scalars, subjects
from .namespace import as_exact, standing_in
from .proofs import Refuted, Unproved, compare, prove_layer, prove_schedule
from .scalars import Intervals, Rationals, Scalar, Symbols, Undecided, computing_in, exact
from .subjects import SUBJECTS

TABLE = Path(__file__).parents[2] / "experiments" / "results" / "proofs.md"
CASES = [
    pytest.param(subject, ring, id=f"{subject.name}, {ring.__name__}", marks=[pytest.mark.slow] * subject.slow)
    for subject in SUBJECTS.values()
    for ring in subject.rings
]
WAYS = {Rationals: {"exact"}, Symbols: {"exact", "simplified"}, Intervals: {"50 digits"}}


@pytest.mark.parametrize(("subject", "ring"), CASES)
def test_is_proved(subject, ring):
    assert subject.prove(ring()) in WAYS[ring]


def test_every_public_spec_is_proved_or_named_with_a_reason():
    public, proved, named = subjects.public(), subjects.proved(), set(subjects.NOT_PROVED)
    assert not public - proved - named, "add a row to tests/symbolic/subjects.py, or a reason to NOT_PROVED"
    assert named <= public - proved
    assert all(subjects.NOT_PROVED.values())


def test_a_new_layer_without_a_proof_is_noticed(monkeypatch):
    monkeypatch.setattr(layers, "Spiky", type("Spiky", (layers.Dense,), {}), raising=False)
    monkeypatch.setattr(layers, "__all__", [*layers.__all__, "Spiky"])
    assert subjects.public() - subjects.proved() == {"Spiky"}


def test_the_table_has_every_subject():
    text = TABLE.read_text()
    assert not [name for name in SUBJECTS if f"`{name}`" not in text], "run python -m tests.symbolic"


def test_names_are_of_one_subject_each():
    assert len(SUBJECTS) == sum(map(len, subjects.GROUPS.values()))


@fnnet.spec
class Cube:
    """y = x^3, with a backward that is off by a factor."""

    factor: fnnet.Number

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        return x * x * x, x

    def backward(self, params, x, dy):
        return (), self.factor * x * x * dy


@pytest.mark.parametrize("ring", [Rationals, Symbols, Intervals])
@pytest.mark.parametrize("factor", [3, 3.00000000000003])
def test_a_proof_can_fail(ring, factor):
    if factor == 3 and ring is not Symbols:  # where a symbol stands for any factor
        prove_layer(ring(), Cube(factor), (2,))
    else:
        with pytest.raises((Refuted, Unproved), match="x"):
            prove_layer(ring(), Cube(factor), (2,))


def test_a_schedule_that_is_off_by_one_step_is_refuted():
    with pytest.raises(Refuted, match="step 1"):
        prove_schedule(Symbols(), fnnet.LinearSchedule(1, 0, 4), lambda s, t: s.start * (4 - max(0, t - 1)) / 4, 5)


@pytest.mark.parametrize("rounded", [1 / 3, 2**0.5, 0.1 + 0.2, 1e-5 / 3])
def test_no_rounded_number_gets_into_a_proof(rounded):
    with pytest.raises(ValueError, match="was rounded"):
        exact(rounded)


@pytest.mark.parametrize(("number", "meant"), [(0.1, "1/10"), (1e-5, "1/100000"), (0.044715, "8943/200000"), (3, "3")])
def test_a_constant_means_its_decimal_digits(number, meant):
    assert exact(number) == Fraction(meant)


def test_what_is_not_rational_is_not_computed_with_rationals():
    with computing_in(Rationals()), pytest.raises(TypeError, match="not rational"):
        Scalar(Fraction(1, 3)).exp()


def test_a_comparison_that_numbers_do_not_decide_is_an_error():
    with computing_in(Intervals()), pytest.raises(Undecided):
        _ = scalars.lifted(Fraction(1, 3)).sqrt() ** 2 > Fraction(1, 3)


def test_intervals_that_are_apart_are_different_numbers():
    ring = Intervals()
    with computing_in(ring):
        third = scalars.lifted(Fraction(1, 3))
        assert compare(ring, "thirds", 3 * third, 1) == "50 digits"
        with pytest.raises(Refuted):
            compare(ring, "thirds", 3 * third, 1 + Fraction(1, 10**45))


@pytest.mark.parametrize(
    ("name", "derivative"),
    [
        ("exp", lambda x: x.exp()),
        ("log", lambda x: 1 / x),
        ("sqrt", lambda x: 1 / (2 * x.sqrt())),
        ("cos", lambda x: -x.sin()),
        ("sin", lambda x: x.cos()),
    ],
)
def test_slopes_of_functions_are_sympys_derivatives(name, derivative):
    """What forward mode knows of them, against SymPy."""
    symbols, x = Symbols(), Fraction(3, 7)
    with computing_in(symbols):
        symbol = symbols.symbol("x", x)
        difference = getattr(Scalar(symbol), name)().value.diff(symbol) - derivative(Scalar(symbol)).value
        assert difference.simplify() == 0
    ring = Intervals()
    with computing_in(ring):
        variable = Scalar(ring.constant(x), {1: ring.constant(Fraction(1))})
        slope = Scalar(getattr(variable, name)().slope[1])
        compare(ring, name, derivative(scalars.lifted(x)), slope)


def test_fnnet_computes_with_jax_again_afterwards():
    with computing_in(Rationals()), standing_in({}):
        assert dense.jnp is not jnp
        assert as_exact(0.5)[()] == Fraction(1, 2)
    assert dense.jnp is jnp
