"""Faults that the proofs must refute: a wrong sign, a dropped term or factor, and a factor of 1 + 1e-14.

Tests in floating point see the first two; the last is below what they can see.
"""

import inspect
from collections.abc import Iterator

from tests.mutants.mutator import Mutant, functions_of, mutants_of, swapped

from .proofs import Refuted
from .subjects import SUBJECTS, Subject, specs_in

TINY = "1.00000000000001"
METHODS = ("backward", "gradient", "_derivative", "update", "value_at")
HELPERS = {  # what backward passes call, and whose proofs are to refute it
    "fnnet.layers.attention:attend_backward": "Attention",
    "fnnet.layers.augmentation:interpolate_backward": "Affine",
    "fnnet.layers.normalization:_input_gradient": "LayerNorm",
    "fnnet.layers.normalization:_scale_gradients": "BatchNorm",
    "fnnet._xla.convolutions:kernel_gradient": "Conv",
    "fnnet._xla.convolutions:input_gradient": "Conv",
    "fnnet._xla.convolutions:_depthwise_kernel": "groups=3",
    "fnnet._xla.convolutions:_depthwise_input": "groups=3",
    "fnnet._xla.canonical:kernel_gradient": "canonical",
    "fnnet._xla.canonical:input_gradient": "canonical",
    "fnnet._xla.banded:kernel_gradient": "Conv",
    "fnnet._xla.banded:input_gradient": "Conv",
    "fnnet._xla.interleaving:summed": "Pool",
    **dict.fromkeys(
        (f"fnnet.optimizers.adam:{name}" for name in ("_averages", "_steps", "_along", "_forgotten")), "Adam"
    ),
    "fnnet.optimizers.adaptive:RmsProp._averages": "RmsProp",
    "fnnet.optimizers.muon:Muon._step": "Muon",
    "fnnet.optimizers.muon:_orthogonalized": "Muon",
    "fnnet.optimizers.muon:_factor": "Muon",
    "fnnet.schedules:_cosine": "Cosine",
}
AXIS = "the same axis, counted from the other end"
ZERO = "0 by any factor"
SHAPE = "only its shape is read"
EQUIVALENT = {
    "fnnet.layers.attention:Attention.backward": {
        "-1 -> 1": "the features of a `Dense` are not read by its backward",
        "3 * features -> 3": "the features of a `Dense` are not read by its backward",
        "3 * features -> features": "the features of a `Dense` are not read by its backward",
    },
    "fnnet.layers.augmentation:interpolate_backward": {
        "jnp.zeros_like(dy).reshape(dy.shape[0], -1, *dy.shape[3:]) -> "
        "-jnp.zeros_like(dy).reshape(dy.shape[0], -1, *dy.shape[3:])": ZERO,
        "jnp.zeros_like(dy).reshape(dy.shape[0], -1, *dy.shape[3:]) -> "
        "1.001 * jnp.zeros_like(dy).reshape(dy.shape[0], -1, *dy.shape[3:])": ZERO,
    },
    "fnnet.layers.attention:attend_backward": {
        "-2 -> 2": AXIS,
        "-2 -> 2 #2": AXIS,
        "-2 -> 2 #3": AXIS,
        "_rows(steps) -> 1.001 * _rows(steps)": "a position is compared with whole numbers",
        "jnp.zeros_like(k) -> -jnp.zeros_like(k)": ZERO,
        "jnp.zeros_like(k) -> 1.001 * jnp.zeros_like(k)": ZERO,
        "jnp.zeros_like(v) -> -jnp.zeros_like(v)": ZERO,
        "jnp.zeros_like(v) -> 1.001 * jnp.zeros_like(v)": ZERO,
    },
    "fnnet.layers.recurrent:Recurrent.backward": {
        "jnp.zeros_like(residuals.h[0]) -> -jnp.zeros_like(residuals.h[0])": ZERO,
        "jnp.zeros_like(residuals.h[0]) -> 1.001 * jnp.zeros_like(residuals.h[0])": ZERO,
    },
    "fnnet.optimizers.sgd:Lion.update": {
        "self.beta1 -> 1.001 * self.beta1": "a sign does not see so little",
    },
    "fnnet.schedules:ConstantSchedule.value_at": {
        "self.value + 0 * step -> self.value": "0 is added",
        "0 * step -> 0": "0 is added",
    },
    "fnnet._xla.convolutions:kernel_gradient": {
        "groups > 1 and w.shape[2] == 1 -> w.shape[2] == 1": "one channel in one group is depthwise, too",
        "w -> -w": SHAPE,
        "w -> 1.001 * w": SHAPE,
    },
    "fnnet._xla.convolutions:input_gradient": {
        "groups > 1 and w.shape[2] == 1 -> w.shape[2] == 1": "one channel in one group is depthwise, too",
        "_on_cpu() and banded.is_narrow(dy, w, image, window) -> _on_cpu()": "both forms give the same",
        "_on_cpu() and banded.is_narrow(dy, w, image, window) -> banded.is_narrow(dy, w, image, window)": (
            "both forms give the same"
        ),
    },
    "fnnet._xla.banded:kernel_gradient": {
        "x.shape[3] -> -x.shape[3]": "NumPy takes any length below 0 for the one to be found",
    },
}
"""Faults that are none, and why."""


def targets() -> dict[str, list[Subject]]:
    """Function -> the subjects that are to refute faults in it: the backward of everything, and what these share."""
    found: dict[str, list[Subject]] = {}
    for subject in sorted(SUBJECTS.values(), key=lambda s: len(s.name)):
        for spec in specs_in(subject.spec):
            for method in METHODS:
                function = inspect.unwrap(getattr(type(spec), method, None) or specs_in)
                if function.__module__.startswith("fnnet."):
                    found.setdefault(f"{function.__module__}:{function.__qualname__}", []).append(subject)
    for target, word in HELPERS.items():
        found[target] = [subject for subject in SUBJECTS.values() if word in subject.name]
    return found


def faults_of(target: str) -> Iterator[Mutant]:
    """All signs, terms and factors of a function, one wrong at a time."""
    for mutant in mutants_of(target, functions_of(target.partition(":")[0])[target]):
        if mutant.operator in ("sign", "drop", "factor"):
            yield mutant


def verdict(mutant: Mutant, subjects: list[Subject]) -> str:
    """ "refuted" by another number, "crashed", or "unnoticed". Symbols are left out where other numbers are at hand."""
    quick = [s for s in subjects if len(s.rings) > 1 or s.rings[0].__name__ != "Symbols"] or subjects
    with swapped(mutant.target, mutant.source.replace("1.001", TINY)):
        for subject in quick:
            try:
                subject.prove(subject.rings[-1]())
            except Refuted:
                return "refuted"
            except Exception:  # whatever a fault leads to: shapes that do not fit, division by 0, ...
                return "crashed"
    return "unnoticed"


def is_equivalent(mutant: Mutant) -> bool:
    """Whether the table says so."""
    return mutant.change in EQUIVALENT.get(mutant.target, {})
