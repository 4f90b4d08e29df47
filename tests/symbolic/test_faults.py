"""A wrong sign, a dropped term and a factor of 1 + 1e-14 in every backward are refuted."""

import inspect
from collections import Counter

import jax
import pytest

import fnnet
from tests.mutants.mutator import swapped

from .faults import EQUIVALENT, TINY, faults_of, is_equivalent, targets, verdict

LONG = ("attention", "recurrent", "_xla", "convolution", "optimizers", "schedules")
TARGETS = targets()
CASES = [pytest.param(t, marks=[pytest.mark.slow] * any(word in t for word in LONG), id=t) for t in TARGETS]
STRUCTURE = {"Serial", "Residual", "Parallel"}  # their faults in trees end in errors


@pytest.mark.parametrize("target", CASES)
def test_faults_are_refuted(target):
    verdicts = {fault: verdict(fault, TARGETS[target]) for fault in faults_of(target)}
    unnoticed = {fault.change for fault, found in verdicts.items() if found == "unnoticed"}
    assert unnoticed == {fault.change for fault in verdicts if is_equivalent(fault)} == {*EQUIVALENT.get(target, {})}
    if target.endswith(".backward"):
        numbers = Counter(fault.operator for fault, found in verdicts.items() if found == "refuted")
        assert numbers["sign"] > 0
        assert numbers["factor"] > 0


def test_every_backward_is_among_the_targets():
    backwards = {target.partition(":")[2] for target in TARGETS if target.endswith(".backward")}
    public = [getattr(fnnet, name) for name in (*fnnet.layers.__all__, *fnnet.losses.__all__)]
    assert backwards == {inspect.unwrap(s.backward).__qualname__ for s in public if hasattr(s, "backward")}


@pytest.mark.slow
def test_floating_point_does_not_see_a_factor_of_this_size(float64):
    """The checker compares to 1e-12: the fault is in place, the proof refutes it, and the checker passes."""
    target = "fnnet.layers.dense:Dense.backward"
    dx = "product(dy, params.w, self.products, transposed='b')"
    fault = next(f for f in faults_of(target) if f.after == f"1.001 * {dx}")
    assert verdict(fault, TARGETS[target]) == "refuted"
    with swapped(target, fault.source.replace("1.001", TINY)):
        fnnet.check_gradients(fnnet.Dense(3), in_shape=(4,), key=jax.random.key(0)).raise_if_failed()
