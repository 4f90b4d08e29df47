"""Specs: numbers are leaves, shapes are static, None is not there, equal means equal by value."""

import dataclasses
from fractions import Fraction
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._spec import Number, Static, at_step, check_range, spec, static


@spec
class Knob:
    """A spec with one of everything."""

    value: Number
    width: int = static(default=3)
    option: Number = None
    inner: Any = None

    def check(self):
        check_range(self, "value", low=0, high=2, high_open=True)


SAME = [0.5, np.float32(0.5), np.float64(0.5), jnp.float32(0.5), jnp.asarray(0.5), np.asarray(0.5)]


@pytest.mark.parametrize("value", SAME, ids=lambda v: type(v).__name__)
def test_every_way_to_write_a_number_is_the_same_number(value):
    knob = Knob(value)
    assert knob == Knob(0.5)
    assert type(knob.value) is float
    assert hash(knob) == hash(Knob(0.5))


def test_an_int_is_a_float_and_a_list_is_a_tuple():
    assert type(Knob(1).value) is float
    assert Knob(1, inner=[Knob(0), Knob(1)]).inner == (Knob(0), Knob(1))
    assert fnnet.Serial([fnnet.Relu()]) == fnnet.Serial((fnnet.Relu(),))


@pytest.mark.parametrize("value", [True, np.True_, "0.5", b"1"], ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="Knob: expected value to be a number"):
        Knob(value)


def test_numbers_in_tuples_are_numbers_too():
    assert Knob((0, 1)) == Knob([np.float32(0), jnp.asarray(1)])
    assert [type(v) for v in Knob((0, 1)).value] == [float, float]


@pytest.mark.parametrize("value", [1j, Fraction(1, 10), (True, 1), jnp.asarray(True), np.array(["a"])], ids=repr)
def test_what_is_no_real_number_is_refused_in_arrays_and_tuples_too(value):
    with pytest.raises(TypeError, match="expected inner to be a number"):
        Knob(0.5, inner=value)


def test_none_belongs_only_where_it_says_something():
    with pytest.raises(TypeError, match="expected value to be a number, got None"):
        Knob(None)
    for build in (lambda: fnnet.LeakyRelu(None), lambda: fnnet.Rescale(None), lambda: fnnet.HeNormal(None)):
        with pytest.raises(TypeError, match="got None"):
            build()
    assert fnnet.L1(None, 0.1).weights is None


def test_an_array_that_somebody_may_write_to_is_copied():
    array = np.array([0.1, 0.2])
    knob = Knob(array)
    array[0] = 1.5
    assert knob == Knob(np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="read-only"):
        knob.value[0] = 1


def test_static_numpy_integers_are_integers(untyped):
    assert fnnet.Dense(np.int64(3)) == fnnet.Dense(3)
    assert type(fnnet.Dense(np.int64(3)).features) is int


def test_numbers_are_leaves_and_the_rest_is_structure():
    assert jax.tree.leaves(Knob(0.5, option=2)) == [0.5, 2.0]
    assert jax.tree.structure(Knob(0.5)) == jax.tree.structure(Knob(1.5))
    for other in (Knob(0.5, 4), Knob(0.5, option=0.0), Knob(0.5, inner=Knob(1))):
        assert jax.tree.structure(Knob(0.5)) != jax.tree.structure(other)
        assert Knob(0.5) != other


def test_specs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Knob(0.5).value = 1.0


def test_arrays_compare_and_hash_by_value():
    a, b = Knob(np.array([0.1, 0.2])), Knob(jnp.array([0.1, 0.2], jnp.float32))
    assert a == Knob(np.array([0.1, 0.2]))
    assert hash(a) == hash(Knob(np.array([0.1, 0.2])))
    assert a != b
    assert a != Knob(np.array([0.1, 0.3]))
    assert Knob(0.5) != 0.5


def test_a_printed_spec_is_the_architecture():
    assert repr(Knob(0.5)) == "Knob(value=0.5)"
    assert repr(Knob(0.5, 4, inner=Knob(1))) == "Knob(value=0.5, width=4, inner=Knob(value=1.0))"
    assert repr(fnnet.mlp((3, 2, 1), dropout=0.1).network) == (
        "Serial(layers=(Dense(features=2), Relu(), Dropout(rate=0.1), Dense(features=1)))"
    )


def test_check_runs_for_a_person_and_never_for_jax():
    with pytest.raises(ValueError, match=r"Knob: expected 0 <= value < 2, got 2"):
        Knob(2)
    with pytest.raises(ValueError, match="Knob"):
        Knob(float("nan"))
    with pytest.raises(ValueError, match="Knob"):
        Knob(np.array([0.5, 3]))
    assert jax.tree.map(lambda v: v + 10, Knob(1)).value == 11
    assert jax.tree.map(lambda v: None, Knob(1)).value is None
    assert jax.jit(lambda k: jax.tree.map(lambda v: v * 9, k))(Knob(1)).value == 9
    assert jax.jit(lambda v: Knob(v).value)(5.0) == 5
    assert Knob(fnnet.LinearSchedule(0, 5, 10)).value.stop == 5


def test_replace_works_as_for_any_dataclass():
    assert dataclasses.replace(Knob(0.5), value=1) == Knob(1.0)


def test_paths_name_the_fields():
    (path, _), *_ = jax.tree_util.tree_leaves_with_path(Knob(0.5))
    assert jax.tree_util.keystr(path) == ".value"


def test_a_sweep_is_a_stacked_spec():
    stacked = jax.tree.map(lambda *v: jnp.stack(v), *[Knob(v / 10) for v in range(4)])
    out = jax.vmap(lambda k: k.value * 2)(stacked)
    np.testing.assert_allclose(out, [0, 0.2, 0.4, 0.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (int, 3, r"S: a field of type int .*; write size: int = static\(default=3\)"),
        ("int", ..., r"write size: int = static\(\)"),
        (bool, False, r"write size: bool = static\(default=False\)"),
        (str, "same", r"write size: str = static\(default='same'\)"),
        (int | None, None, r"write size: int \| None = static\(default=None\)"),
        (tuple[int, ...], (3, 3), r"write size: tuple\[int, ...\] = static\(default=\(3, 3\)\)"),
        (Literal["same", "valid"], "same", r"write size: .*Literal\['same', 'valid'\] = static"),
    ],
    ids=str,
)
def test_a_field_of_ints_that_is_not_static_is_refused_when_the_class_is_made(annotation, default, message):
    body = {"__annotations__": {"size": annotation}, **({} if default is ... else {"size": default})}
    with pytest.raises(TypeError, match=message):
        spec(type("S", (), body))
    static_body = {**body, "size": static(default)}
    assert jax.tree.leaves(spec(type("S", (), static_body))(size=default)) == []


def test_a_field_of_numbers_needs_no_static():
    for annotation in (float, Number, "Number", Any, float | int, fnnet.Layer, None):
        spec(type("S", (), {"__annotations__": {"size": annotation}}))


def test_static_takes_its_default_by_position():
    assert spec(type("S", (), {"__annotations__": {"size": int}, "size": static(3)}))().size == 3


def test_static_facts_are_structure():
    assert jax.tree.leaves(Static((2, 3))) == []
    assert jax.jit(lambda s: s)(Static(True)).value is True


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_at_step_gives_numbers_of_the_dtype(dtype):
    knob = at_step(Knob(fnnet.LinearSchedule(0, 1, 1000), inner=(Knob(0.25),)), jnp.int32(999), dtype)
    assert knob.value.dtype == knob.inner[0].value.dtype == dtype
    np.testing.assert_allclose(float(knob.value), 0.999, rtol=float(jnp.finfo(dtype).eps))
    assert not knob.value.weak_type


def test_two_equal_specs_share_one_program():
    traces = []

    @jax.jit
    def f(knob):
        traces.append(knob)
        return knob.value

    for value in SAME:
        f(Knob(value))
    f(Knob(1))
    f(Knob(1.9))
    assert len(traces) == 1
    f(Knob(1, 4))
    assert len(traces) == 2


def test_arithmetic_with_a_schedule_asks_for_a_step():
    params = (jnp.ones(2),)
    for optimizer in (fnnet.Sgd(fnnet.CosineDecay(0.1, 9)), fnnet.Adam(fnnet.CosineDecay(0.1, 9))):
        with pytest.raises(TypeError, match=r"CosineDecay is a schedule, .*fnnet.at_step\(spec, step, dtype\)"):
            optimizer.update(params, optimizer.init(params), params)
