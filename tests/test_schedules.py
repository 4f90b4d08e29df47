"""Schedules by hand, and `at_step`, which turns every schedule in a spec into its number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._spec import as_numbers
from fnnet.schedules import (
    CosineRestarts,
    Noam,
    OneCycle,
    PolynomialDecay,
    RunningMean,
    StepDecay,
    Warmup,
    WarmupStableDecay,
)

VALUES = {  # schedule: {step: value}
    fnnet.ConstantSchedule(0.25): {0: 0.25, 1: 0.25, 1_000_000: 0.25},
    fnnet.ConstantSchedule(0): {0: 0, 7: 0},
    fnnet.ExponentialDecay(8, 0.5): {0: 8, 1: 4, 2: 2, 3: 1, 10: 2**-7},
    fnnet.ExponentialDecay(8, 0.25, 10): {0: 8, 5: 4, 10: 2, 20: 0.5, 30: 0.125},
    fnnet.ExponentialDecay(3, 1, 7): {0: 3, 4: 3, 100: 3},
    fnnet.ExponentialDecay(3, 0): {0: 3, 1: 0, 2: 0},
    fnnet.InverseTimeDecay(6, 0.5): {0: 6, 1: 4, 2: 3, 4: 2, 10: 1, 118: 0.1},
    fnnet.InverseTimeDecay(6, 0): {0: 6, 1000: 6},
    fnnet.LinearSchedule(1, 5, 8): {0: 1, 1: 1.5, 4: 3, 8: 5, 9: 5, 1_000_000: 5},
    fnnet.LinearSchedule(1, 0, 1): {0: 1, 1: 0, 2: 0},
    fnnet.LinearSchedule(0.5, 0.5, 3): {0: 0.5, 2: 0.5, 5: 0.5},
    fnnet.CosineDecay(2, 12): {0: 2, 3: 1.7071067811865475, 4: 1.5, 6: 1, 8: 0.5, 12: 0, 13: 0, 1_000_000: 0},
    fnnet.CosineDecay(2, 12, 1): {0: 2, 4: 1.75, 6: 1.5, 8: 1.25, 12: 1, 100: 1},
    fnnet.CosineDecay(1, 4, 3): {0: 1, 2: 2, 4: 3, 5: 3},
    StepDecay(8, 0.5, 10): {0: 8, 1: 8, 9: 8, 10: 4, 19: 4, 20: 2, 29: 2, 30: 1},
    StepDecay(8, 0.25, 3): {0: 8, 2: 8, 3: 2, 5: 2, 6: 0.5},
    StepDecay(3, 0, 2): {0: 3, 1: 3, 2: 0, 5: 0},
    PolynomialDecay(9, 4, 2, 1): {0: 9, 1: 5.5, 2: 3, 3: 1.5, 4: 1, 5: 1, 1_000_000: 1},
    PolynomialDecay(8, 4, 3): {0: 8, 1: 3.375, 2: 1, 3: 0.125, 4: 0, 9: 0},
    PolynomialDecay(1, 4, 0.5, 3): {0: 1, 3: 2, 4: 3},
    CosineRestarts(2, 6): {0: 2, 2: 1.5, 3: 1, 4: 0.5, 6: 2, 8: 1.5, 600: 2, 604: 0.5},
    CosineRestarts(2, 6, 1): {0: 2, 2: 1.75, 4: 1.25, 6: 2, 10: 1.25},
    CosineRestarts(2, 6, growth=1): {0: 2, 2: 1.5, 3: 1, 4: 0.5, 6: 2, 8: 1.5, 600: 2, 604: 0.5},
    # cycles of 6, 12, 24 begin at 0, 6, 18 and 42
    CosineRestarts(2, 6, growth=2): {0: 2, 3: 1, 6: 2, 12: 1, 14: 0.5, 18: 2, 26: 1.5, 30: 1, 42: 2},
    CosineRestarts(2, 6, growth=2, shrink=0.5): {0: 2, 3: 1, 6: 1, 12: 0.5, 14: 0.25, 18: 0.5, 42: 0.25, 66: 0.125},
    CosineRestarts(3, 4, 1, shrink=0.5): {0: 3, 2: 2, 4: 2, 6: 1.5, 8: 1.5, 10: 1.25},
    # cycles of 10, 30, 90, .. begin at 10 (3^n - 1) / 2
    CosineRestarts(2, 10, growth=3): {10: 2, 20: 1.5, 25: 1, 40: 2, 130: 2, 400: 2, 1210: 2, 3640: 2, 10930: 2},
    # up from 4 in 6 of 24 updates, down to 1 in 18
    OneCycle(8, 24, 0.25, 2, 4): {0: 4, 2: 5, 3: 6, 4: 7, 6: 8, 12: 6.25, 15: 4.5, 18: 2.75, 24: 1, 25: 1, 999: 1},
    OneCycle(1, 10): {0: 0.04, 3: 1, 10: 0.04e-4, 20: 0.04e-4},
    WarmupStableDecay(8, 4, 3, 5, 3): {0: 2, 1: 4, 2: 6, 3: 8, 4: 8, 6: 8, 7: 8, 8: 7, 10: 5, 12: 3, 13: 3, 99: 3},
    WarmupStableDecay(8, 1, 0, 2): {0: 8, 1: 8, 2: 4, 3: 0, 4: 0},
    Noam(4, 4): {0: 0.0625, 1: 0.125, 3: 0.25, 15: 0.125, 63: 0.0625},
    Noam(16, 100, 8): {0: 0.002, 49: 0.1, 99: 0.2, 399: 0.1},
    RunningMean(): {0: 0, 1: 0.5, 2: 2 / 3, 3: 0.75, 999: 0.999},
    RunningMean(5): {0: 0, 4: 0, 5: 0, 6: 0.5, 7: 2 / 3, 14: 0.9},
    Warmup(8, 4): {0: 2, 1: 4, 2: 6, 3: 8, 4: 8, 100: 8},
    Warmup(8, 1): {0: 8, 1: 8},
    Warmup(fnnet.LinearSchedule(8, 0, 4), 4): {0: 2, 1: 4, 2: 6, 3: 8, 4: 8, 5: 6, 6: 4, 8: 0, 9: 0},
    Warmup(StepDecay(8, 0.5, 2), 2): {0: 4, 1: 8, 2: 8, 3: 8, 4: 4, 5: 4, 6: 2},
    Warmup(Warmup(8, 2), 2): {0: 2, 1: 4, 2: 4, 3: 8, 4: 8},
    # a schedule in a schedule counts from the end of the line as well
    Warmup(fnnet.LinearSchedule(8, fnnet.ConstantSchedule(4), fnnet.LinearSchedule(2, 4, 2)), 2): {
        1: 8,
        2: 8,
        4: 6,
        6: 4,
    },
}


@pytest.mark.parametrize("schedule", VALUES, ids=str)
def test_schedules_have_these_values(schedule, dtype):
    steps, want = jnp.asarray([*VALUES[schedule]], dtype), [*VALUES[schedule].values()]
    got = schedule.value_at(steps)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=20 * float(np.finfo(dtype).eps), atol=float(np.finfo(dtype).eps) / 2)


@pytest.mark.parametrize("schedule", VALUES, ids=str)
def test_at_step_makes_a_schedule_its_number(schedule, dtype):
    for step, want in VALUES[schedule].items():
        got = fnnet.at_step(schedule, step, dtype)
        assert (got.shape, got.dtype, got.weak_type) == ((), dtype, False)
        assert float(got) == pytest.approx(
            want, rel=20 * float(np.finfo(dtype).eps), abs=float(np.finfo(dtype).eps) / 2
        )


def nested(number):
    """A model and an optimizer with the same number in every corner."""
    network = fnnet.Serial(
        (
            fnnet.Dense(2, weights=fnnet.Normal(number), biases=None),
            fnnet.Residual(fnnet.Serial((fnnet.LeakyRelu(number), fnnet.Dropout(number)))),
        )
    )
    model = fnnet.Model(network, fnnet.Huber(number), (2,), penalty=fnnet.L2(number))
    return model, fnnet.Chain((fnnet.Sgd(number, momentum=number), fnnet.Adam(number)))


def test_at_step_finds_schedules_anywhere_in_nested_specs(dtype):
    got = fnnet.at_step(nested(fnnet.LinearSchedule(0, 1, 8)), 4, dtype)
    assert jax.tree.structure(got) == jax.tree.structure(nested(0.5))
    for number, want in zip(jax.tree.leaves(got), jax.tree.leaves(nested(0.5)), strict=True):
        assert (number.shape, number.dtype, number.weak_type) == ((), dtype, False)
        assert float(number) == np.asarray(want, dtype)


def test_at_step_leaves_nones_and_shapes_alone():
    assert fnnet.at_step(None, 3, "float32") is None
    assert fnnet.at_step(fnnet.Dense(2, biases=None), 3, "float32").biases is None
    assert fnnet.at_step(fnnet.Sgd(0.5, nesterov=False), 3, "float32").nesterov is False


@pytest.mark.parametrize("step", [4, np.int32(4), np.uint8(4), jnp.int32(4), 4.0], ids=lambda step: type(step).__name__)
def test_a_step_may_be_any_integer(step):
    assert float(fnnet.at_step(fnnet.LinearSchedule(0, 1, 8), step, "float32")) == 0.5


def test_schedules_of_bfloat16_models_count_in_float32():
    # bfloat16 has 1001 as 1000, so 1000 / 1001 would be 1 and the schedule at its end
    number = fnnet.at_step(fnnet.LinearSchedule(1001, 0, 1001), 1000, jnp.bfloat16)
    assert number.dtype == jnp.bfloat16
    assert float(number) == pytest.approx(1, rel=0.01)
    # and 1 - 1 / 1024 as 1, so the number would never decay
    number = fnnet.at_step(fnnet.ExponentialDecay(1, 1 - 1 / 1024), 1000, jnp.bfloat16)
    assert float(number) == pytest.approx(0.3763926, rel=0.01)


def test_a_schedule_may_have_a_schedule_for_a_number():
    warm_up = fnnet.LinearSchedule(0, fnnet.CosineDecay(4, 8), 2)
    got = [float(fnnet.at_step(warm_up, step, "float32")) for step in (0, 1, 2, 4, 8)]
    np.testing.assert_allclose(got, [0, 1 + 0.9238795, 2 * (1 + 0.7071068), 2, 0], rtol=1e-5, atol=1e-6)


def test_a_warm_up_is_a_spec_like_any_other():
    warm_up = Warmup(fnnet.CosineDecay(3e-3, 900), 100)
    assert str(fnnet.Adam(warm_up)) == (
        "Adam(learning_rate=Warmup(schedule=CosineDecay(start=0.003, steps=900.0), steps=100.0))"
    )
    assert warm_up == Warmup(fnnet.CosineDecay(3e-3, 900), 100)
    assert warm_up != Warmup(fnnet.CosineDecay(3e-3, 901), 100)
    assert hash(warm_up) == hash(Warmup(fnnet.CosineDecay(3e-3, 900), 100))
    assert jax.tree.leaves(warm_up) == [3e-3, 900, 0, 100]
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(warm_up)]
    assert names == [".schedule.start", ".schedule.steps", ".schedule.stop", ".steps"]


def test_a_warm_up_in_another_schedule_counts_for_itself():
    line = fnnet.LinearSchedule(0, Warmup(StepDecay(8, 0.5, 2), 2), 4)
    got = [float(fnnet.at_step(line, step, "float32")) for step in range(8)]
    np.testing.assert_allclose(got, [0, 2, 4, 6, 4, 4, 2, 2], rtol=1e-6)


def test_every_cycle_begins_where_its_length_says():
    """In float32, where rounding moves logarithms over whole numbers."""
    steps = jnp.arange(20_000, dtype="float32")
    for growth, length in ((1.25, 64), (2, 1), (2, 7), (3, 10)):
        got = CosineRestarts(1, length, growth=growth)._growing(steps)[0]
        begins = np.round(length * (growth ** np.arange(1, 30) - 1) / (growth - 1))
        np.testing.assert_array_equal(np.flatnonzero(np.diff(got)) + 1, begins[begins < 20_000])
        assert np.all(np.diff(got)[np.diff(got) != 0] == 1)


def test_another_number_or_another_step_is_the_same_program():
    compilations = []

    @jax.jit
    def learning_rate(optimizer, step):
        compilations.append(1)
        return fnnet.at_step(optimizer, step, "float32").learning_rate

    got = [
        float(learning_rate(fnnet.Sgd(schedule), step))
        for schedule in (fnnet.LinearSchedule(0, 1, 8), fnnet.LinearSchedule(2, 3, 4), fnnet.LinearSchedule(5, 5.0, 1))
        for step in (0, 2, 100)
    ]
    assert got == [0, 0.25, 1, 2, 2.5, 3, 5, 5, 5]
    assert len(compilations) == 1


SWEPT = {
    fnnet.ConstantSchedule: ({"value": [1, 2, 3]}, [1, 2, 3]),
    fnnet.ExponentialDecay: ({"start": [1, 2, 4], "rate": [0.5, 0.25, 0.5], "steps": [1, 1, 2]}, [0.25, 0.125, 2]),
    fnnet.InverseTimeDecay: ({"start": [3, 6, 8], "rate": [1, 0.5, 1.5]}, [1, 3, 2]),
    fnnet.LinearSchedule: ({"start": [0, 1, 2], "stop": [1, 3, 2], "steps": [4, 2, 1]}, [0.5, 3, 2]),
    fnnet.CosineDecay: ({"start": [1, 2, 3], "steps": [4, 2, 6], "stop": [0, 1, 1]}, [0.5, 1, 2.5]),
    StepDecay: ({"start": [1, 2, 4], "rate": [0.5, 0.25, 0.5], "steps": [1, 2, 3]}, [0.25, 0.5, 4]),
    PolynomialDecay: ({"start": [1, 2, 3], "steps": [4, 4, 2], "power": [1, 2, 3], "stop": [0, 0, 1]}, [0.5, 0.5, 1]),
    CosineRestarts: (
        {"start": [1, 2, 4], "steps": [4, 2, 1], "stop": [0, 0, 0], "growth": [1, 2, 3], "shrink": [1, 0.5, 0.5]},
        [0.5, 1, 1.5],
    ),
    OneCycle: (
        {
            "peak": [1, 2, 4],
            "steps": [4, 8, 4],
            "rise": [0.5, 0.25, 0.25],
            "start_divisor": [9, 9, 4],
            "stop_divisor": [1, 1, 1],
        },
        [1, 2, 3.25],
    ),
    WarmupStableDecay: (
        {"peak": [1, 2, 4], "warmup": [4, 3, 1], "stable": [1, 1, 0], "decay": [1, 1, 2], "stop": [0, 0, 0]},
        [0.75, 2, 2],
    ),
    Noam: ({"width": [1, 4, 1], "warmup": [9, 1, 3], "scale": [9, 2, 3]}, [1, 3**-0.5, 3**0.5]),
    RunningMean: ({"start": [0, 1, 2]}, [2 / 3, 0.5, 0]),
    Warmup: ({"schedule": [1, 2, 4], "steps": [4, 3, 1]}, [0.75, 2, 4]),
}


@pytest.mark.parametrize("schedule", SWEPT, ids=lambda schedule: schedule.__name__)
def test_a_sweep_stacks_the_schedules_own_numbers(schedule, dtype):
    numbers, want = SWEPT[schedule]
    stacked = schedule(**{name: jnp.asarray(value, dtype) for name, value in numbers.items()})
    got = jax.vmap(lambda spec: fnnet.at_step(spec, 2, dtype))(stacked)
    assert (got.shape, got.dtype) == ((3,), dtype)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_sweep_in_bfloat16_gives_bfloat16():
    starts = jnp.asarray([0, 4], jnp.bfloat16)
    got = jax.vmap(lambda start: fnnet.at_step(fnnet.LinearSchedule(start, 0, 1001), 1000, jnp.bfloat16))(starts)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), [0, 4 / 1001], rtol=0.01)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fnnet.ExponentialDecay(1, -0.5), "ExponentialDecay: expected 0 <= rate, got -0.5"),
        (lambda: fnnet.ExponentialDecay(1, 0.5, 0), "ExponentialDecay: expected 0 < steps, got 0"),
        (lambda: fnnet.InverseTimeDecay(1, -0.5), "InverseTimeDecay: expected 0 <= rate, got -0.5"),
        (lambda: fnnet.LinearSchedule(1, 0, 0), "LinearSchedule: expected 0 < steps, got 0"),
        (lambda: fnnet.LinearSchedule(1, 0, np.array([1, -1])), "LinearSchedule: expected 0 < steps, got"),
        (lambda: fnnet.CosineDecay(1, -3), "CosineDecay: expected 0 < steps, got -3"),
        (lambda: fnnet.CosineDecay(1, float("nan")), "CosineDecay: expected 0 < steps, got nan"),
        (lambda: StepDecay(1, -1, 1), "StepDecay: expected 0 <= rate, got -1"),
        (lambda: StepDecay(1, 1, 0), "StepDecay: expected 0 < steps, got 0"),
        (lambda: PolynomialDecay(1, 0, 1), "PolynomialDecay: expected 0 < steps, got 0"),
        (lambda: PolynomialDecay(1, 1, 0), "PolynomialDecay: expected 0 < power, got 0"),
        (lambda: CosineRestarts(1, 0), "CosineRestarts: expected 0 < steps, got 0"),
        (lambda: CosineRestarts(1, 1, growth=0.5), "CosineRestarts: expected 1 <= growth, got 0.5"),
        (lambda: CosineRestarts(1, 1, shrink=-1), "CosineRestarts: expected 0 <= shrink, got -1"),
        (lambda: OneCycle(1, 0), "OneCycle: expected 0 < steps, got 0"),
        (lambda: OneCycle(1, 1, 0), "OneCycle: expected 0 < rise < 1, got 0"),
        (lambda: OneCycle(1, 1, 1), "OneCycle: expected 0 < rise < 1, got 1"),
        (lambda: OneCycle(1, 1, 0.5, 0), "OneCycle: expected 0 < start_divisor, got 0"),
        (lambda: OneCycle(1, 1, 0.5, 1, 0), "OneCycle: expected 0 < stop_divisor, got 0"),
        (lambda: WarmupStableDecay(1, 0, 1, 1), "WarmupStableDecay: expected 0 < warmup, got 0"),
        (lambda: WarmupStableDecay(1, 1, -1, 1), "WarmupStableDecay: expected 0 <= stable, got -1"),
        (lambda: WarmupStableDecay(1, 1, 1, 0), "WarmupStableDecay: expected 0 < decay, got 0"),
        (lambda: Noam(0, 1), "Noam: expected 0 < width, got 0"),
        (lambda: Noam(1, 0), "Noam: expected 0 < warmup, got 0"),
        (lambda: RunningMean(-1), "RunningMean: expected 0 <= start, got -1"),
        (lambda: Warmup(1, 0), "Warmup: expected 0 < steps, got 0"),
    ],
)
def test_lengths_and_rates_that_make_no_sense_are_refused(build, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build()


@pytest.mark.parametrize("number", ["0.1", True])
@pytest.mark.parametrize("schedule", SWEPT, ids=lambda schedule: schedule.__name__)
def test_strings_and_bools_are_not_numbers(schedule, number):
    names = [*SWEPT[schedule][0]]
    with pytest.raises(TypeError, match=f"^{schedule.__name__}: expected {names[0]} to be a number, got "):
        schedule(**dict.fromkeys(names, number))


def test_without_a_step_a_schedule_has_no_number():
    model, _ = nested(fnnet.LinearSchedule(0, 1, 8))
    message = r"^loss: .*LinearSchedule.* needs a step to be a number; pass fnnet\.at_step\(model, state\.step, dtype\)"
    with pytest.raises(ValueError, match=message):
        as_numbers(model, "float32", "loss")
    with pytest.raises(ValueError, match=message):
        fnnet.loss(model, (), jnp.zeros((1, 2)), jnp.zeros((1, 2)))


def test_without_schedules_numbers_take_the_dtype(dtype):
    model, _ = nested(0.25)
    for number, want in zip(jax.tree.leaves(as_numbers(model, dtype, "loss")), jax.tree.leaves(model), strict=True):
        assert (number.dtype, number.weak_type, float(number)) == (dtype, False, want)


@pytest.mark.parametrize("schedule", [fnnet.CosineDecay(1, 2, 3), fnnet.Warmup(fnnet.CosineDecay(4, 8, 1), 5)], ids=str)
def test_numbers_are_the_same_with_the_names_of_their_places(schedule):
    assert [number for _, number in jax.tree_util.tree_leaves_with_path(schedule)] == jax.tree.leaves(schedule)
    assert jax.tree_util.tree_map_with_path(lambda path, number: number, schedule) == schedule


def test_a_spec_holds_what_it_was_given():
    """Warmup reads its schedule later without putting anything in its place."""
    inner = fnnet.CosineDecay(4, 8, 1)
    assert fnnet.Warmup(inner, 5).schedule is inner
    assert fnnet.Warmup(schedule=inner, steps=5) == fnnet.Warmup(inner, 5)


def test_a_warmup_as_long_as_another_schedule_says(dtype):
    """Its length is read now, its schedule `length` updates later."""
    schedule = fnnet.Warmup(fnnet.LinearSchedule(8, 0, 4), fnnet.ConstantSchedule(4))
    assert [float(fnnet.at_step(schedule, step, dtype)) for step in (0, 3, 4, 6, 9)] == [2, 8, 8, 4, 0]
