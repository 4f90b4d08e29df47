"""Everything that is proved: one row per setting, and the reason for what is not."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from fnnet import layers, losses, optimizers, penalties, schedules
from fnnet._xla import banded
from fnnet.layers import attention

from . import formulas
from .namespace import as_exact
from .proofs import (
    Numbers,
    prove_absorb,
    prove_average,
    prove_cell,
    prove_layer,
    prove_loss,
    prove_model,
    prove_optimizer,
    prove_penalty,
    prove_schedule,
)
from .scalars import Intervals, Rationals, Symbols

S, R, I = (Symbols,), (Rationals,), (Intervals,)  # noqa: E741
KEY = jax.random.key(0)


class Subject(NamedTuple):
    """name, the spec, proofs by ring, and whether it takes longer than the default run waits."""

    name: str
    spec: Any
    prove: Callable[[Any], str]
    rings: tuple[Any, ...]
    slow: bool = False


def subject(
    prove: Any, spec: Any, *args: Any, rings: Any = S + R, slow: bool = False, note: str = "", **kw: Any
) -> Subject:
    shape = " ".join(str(a).replace(" ", "") for a in args if isinstance(a, tuple))
    name = " ".join(part for part in (repr(spec), shape, note) if part)
    return Subject(name, spec, lambda ring: prove(ring, spec, *args, **kw), rings, slow)


layer, loss = partial(subject, prove_layer), partial(subject, prove_loss)


ACTIVATIONS = [
    *(layer(f, (3,), rings=S + R) for f in (fnnet.Identity(), fnnet.HardSigmoid(), fnnet.Relu(), fnnet.LeakyRelu(0.1))),
    *(
        layer(f, (3,), rings=S + I)
        for f in (
            fnnet.Sigmoid(), fnnet.Tanh(), fnnet.Elu(1.3), fnnet.Selu(), fnnet.Gelu(approximate=True), fnnet.Silu(),
            fnnet.Softplus(), fnnet.Exp(), fnnet.Softmax(),
        )
    ),
    layer(fnnet.Gelu(), (3,), rings=S),
    layer(fnnet.Softmax(), (2, 3), rings=I),
]  # fmt: skip
RELU_NET = fnnet.Serial((fnnet.Dense(3), fnnet.Relu(), fnnet.Dense(2)))
INCEPTION = fnnet.Parallel((fnnet.Dense(2), RELU_NET, fnnet.Dense(1, biases=None)))


@fnnet.spec
class Product:
    """h' = u v + h: a cell of which back-propagation through time is rational, and so is proved exactly."""

    features: int = fnnet.static()

    gates, states = ("only",), 1

    def forward(self, u: Any, v: Any, state: Any) -> Any:
        (h,) = state
        return (u * v + h,), (u, v)

    def backward(self, residuals: Any, dstate: Any) -> Any:
        (u, v), (dh,) = residuals, dstate
        return dh * v, dh * u, (dh,)


CANONICAL = {(banded, "BANDS"): {}, (banded, "NARROW"): 0}  # the form for many channels, of whatever has few
RATIONAL_LAYERS = [
    layer(fnnet.Dense(2), (3,)),
    layer(fnnet.Dense(2, biases=None), (2, 2)),
    layer(fnnet.Conv(2, (2, 2)), (3, 3, 2), rows=1),
    layer(fnnet.Conv(2, (2,), stride=2, padding="valid"), (5, 2)),
    layer(fnnet.Conv(4, (3, 3), stride=2), (5, 4, 4), rings=R),
    layer(fnnet.Conv(2, (2, 3), dilation=2, padding=((2, 1), (0, 3))), (4, 5, 5), rings=R, rows=1),
    layer(fnnet.Conv(4, (2, 2), groups=2, biases=None), (3, 3, 4), rings=R),
    layer(fnnet.Conv(6, (2, 2), stride=(1, 2), groups=3), (3, 3, 3), rings=R),
    layer(fnnet.Conv(2, (2, 2)), (2, 5, 2), rings=R, rows=1, note="two bands"),
    layer(fnnet.Conv(1, (2, 2), stride=(2, 3), dilation=(1, 2)), (3, 25, 1), rings=R, rows=1, note="blocks"),
    layer(fnnet.Conv(2, (2, 3)), (3, 4, 1), rings=R, rows=1, note="canonical", values=CANONICAL),
    layer(
        fnnet.Conv(2, (2, 2), 2, ((1, 0), (2, 1)), 2), (4, 3, 2), rings=R, rows=1, note="canonical", values=CANONICAL
    ),
    layer(fnnet.ConvTranspose(2, (2, 2), stride=2), (2, 2, 1), rows=1),
    layer(fnnet.ConvTranspose(2, (3,), padding="valid"), (3, 4), rings=R),
    layer(fnnet.ConvTranspose(4, (3, 2), stride=2, dilation=(1, 2), groups=2), (2, 3, 4), rings=R),
    layer(fnnet.MaxPool((2, 2)), (4, 4, 2), rows=1),
    layer(fnnet.MaxPool((3, 2), stride=(1, 2), padding="same"), (4, 3, 2), rings=R),
    layer(fnnet.MaxPool((2,)), (5, 2)),
    layer(fnnet.MeanPool((2, 2)), (4, 4, 2), rows=1),
    layer(fnnet.MeanPool((3, 2), stride=1, padding="same"), (3, 3, 2)),
    layer(fnnet.GlobalMaxPool(), (3, 2, 2)),
    layer(fnnet.GlobalMeanPool(), (3, 2, 2)),
    layer(fnnet.Embedding(4, 2), (5,), tokens=4),
    layer(fnnet.Positions(), (3, 2)),
    layer(fnnet.Positions(), (5, 2), rings=R, x_shape=(3, 2), note="sequences of 3"),
    layer(fnnet.Rescale(0.3), (3,)),
    layer(fnnet.Standardize(0.3, 1.7), (3,)),
    layer(fnnet.Standardize(np.array([0.3, -0.2]), np.array([1.7, 0.9])), (2,), note="by column"),
    layer(fnnet.Flatten(), (2, 3)),
    layer(fnnet.Reshape((3, 2)), (2, 3)),
    layer(fnnet.LastStep(), (3, 2)),
    layer(fnnet.LastStep(), (3, 2, 2), rings=R),
    layer(fnnet.Dropout(0.3), (5,), key=KEY, note="with a mask"),
    layer(fnnet.Dropout(0.3), (5,), note="without a key"),
    layer(fnnet.Affine(scale=0.3, shear=0.2, shift=1.3), (3, 4), rings=R, rows=3, key=KEY),
    layer(fnnet.Affine(shift=1.3), (3, 3, 2), rings=R, key=KEY),
    layer(fnnet.Affine(shift=1.3), (3, 2), note="without a key"),
    layer(fnnet.Mirror(), (2, 3), rows=3, key=KEY),
    layer(fnnet.Cutout(2), (3, 4), key=KEY),
    layer(fnnet.Noise(0.3), (3,), key=KEY),
    layer(RELU_NET, (2,)),
    layer(fnnet.Serial((fnnet.Embedding(4, 2), fnnet.Positions(), fnnet.Dense(2))), (3,), tokens=4),
    layer(fnnet.Residual(fnnet.Dense(2)), (2,)),
    layer(fnnet.Residual(RELU_NET, fnnet.Dense(2)), (3,)),
    layer(INCEPTION, (2,)),
    layer(fnnet.Parallel((fnnet.Dense(2), fnnet.Dense(1))), (3, 2), rings=R),
    layer(fnnet.Parallel((fnnet.Dense(2), fnnet.Dropout(0.5)), join="add"), (2,), key=KEY),
]
OTHER_LAYERS = [
    layer(fnnet.Affine(rotation=30, shift=1.3), (3, 3), rings=I, key=KEY),
    layer(fnnet.Elastic(20, 2, affine=fnnet.Affine(scale=0.3)), (3, 4), rings=I, key=KEY),
    layer(fnnet.BatchNorm(), (2,), rings=S, slow=True, key=KEY, note="with a key, symbols"),
    layer(fnnet.BatchNorm(), (2,), rings=I, key=KEY, note="with a key"),
    layer(fnnet.BatchNorm(), (2,), rings=S + I, note="without"),
    layer(fnnet.BatchNorm(), (3, 2), rings=I, key=KEY, note="with a key"),
    layer(fnnet.LayerNorm(), (3,), rings=S, slow=True, rows=1),
    layer(fnnet.LayerNorm(), (2, 4), rings=I),
    layer(fnnet.GroupNorm(2), (4,), rings=S, slow=True, rows=1),
    layer(fnnet.GroupNorm(2), (2, 4), rings=I),
    layer(fnnet.RmsNorm(), (3,), rings=S + I, rows=1),
    layer(fnnet.RmsNorm(), (2, 3), rings=I),
    subject(prove_absorb, fnnet.BatchNorm(), rings=S + R, note="absorb"),
    layer(fnnet.Attention(1), (3, 2), rings=I),
    layer(fnnet.Attention(2, causal=False, biases=None), (3, 4), rings=I, rows=1),
    layer(fnnet.Attention(1, rotary=True), (3, 4), rings=I, rows=1),
    layer(fnnet.Attention(1), (5, 2), rings=I, rows=1, note="in blocks of 2", values={(attention, "BLOCK"): 2}),
    layer(fnnet.Attention(1, biases=None), (2, 1), rings=S, rows=1),
    layer(fnnet.Attention(1, causal=False, biases=None), (2, 1), rings=S, slow=True, rows=1),
    subject(prove_cell, fnnet.Rnn(1), rings=S + I),
    subject(prove_cell, fnnet.Gru(1), rings=S + I),
    subject(prove_cell, fnnet.Lstm(1), rings=S + I),
    layer(fnnet.Recurrent(Product(2)), (3, 2), rings=R),
    layer(fnnet.Recurrent(Product(1)), (3, 1), rows=1),
    layer(fnnet.Recurrent(fnnet.Rnn(1)), (2, 1), rings=S, slow=True, rows=1),
    layer(fnnet.Recurrent(fnnet.Rnn(2)), (3, 2), rings=I),
    layer(fnnet.Recurrent(fnnet.Gru(2)), (3, 2), rings=I),
    layer(fnnet.Recurrent(fnnet.Gru(2), biases=None), (3, 1), rings=I, rows=1),
    layer(fnnet.Recurrent(fnnet.Lstm(2)), (3, 2), rings=I),
]


def drawn(shape: tuple[int, ...]) -> Callable[[Numbers], Any]:
    """Targets of any value."""
    return lambda draw: draw.array("t", shape)


def classes(*of_rows: Any) -> Callable[[Numbers], Any]:
    return lambda draw: np.array(of_rows, np.int32).view(type(as_exact(0)))


def fractions(*rows: Any) -> Callable[[Numbers], Any]:
    """Targets between 0 and 1; among them 0 and 1, where there are branches."""
    return lambda draw: as_exact(np.vectorize(Fraction, otypes=[object])(np.array(rows)))


CROSS_ENTROPY = fnnet.SoftmaxCrossEntropy
LOSSES = [
    loss(CROSS_ENTROPY(), (2, 3), classes(2, 0), rings=S + I, note="classes"),
    loss(CROSS_ENTROPY(), (2, 3), drawn((2, 3)), rings=S + I, note="targets of any sum"),
    loss(CROSS_ENTROPY(label_smoothing=0.1), (1, 3), classes(1), rings=S + I, note="classes"),
    loss(CROSS_ENTROPY(no_target=-1), (2, 2, 3), classes((2, -1), (-1, 0)), rings=I, note="classes, some absent"),
    loss(fnnet.SigmoidBinaryCrossEntropy(), (2, 3), drawn((2, 3)), rings=S + I),
    loss(fnnet.SigmoidBinaryCrossEntropy(), (2, 2), fractions(("0", "1"), ("1", "3/7")), rings=I, note="0 and 1"),
    loss(fnnet.SquaredError(), (2, 3), drawn((2, 3))),
    loss(fnnet.AbsoluteError(), (2, 3), drawn((2, 3))),
    loss(fnnet.Huber(1.3), (2, 4), drawn((2, 4))),
    loss(fnnet.Poisson(), (2, 3), drawn((2, 3)), rings=S + I),
    loss(fnnet.Poisson(), (1, 3), fractions(("0", "2", "1")), rings=I, note="counts"),
]
PENALTIES = [subject(prove_penalty, p) for p in (
    penalties.L1(0.3), penalties.L1(0.3, biases=0.2), penalties.L2(0.3), penalties.L2(0.3, biases=0.2),
)]  # fmt: skip
SMALL = fnnet.Model(RELU_NET, fnnet.SquaredError(), (2,), fnnet.L2(0.1))
CLASSIFIER = fnnet.mlp((2, 3, 3), activation=fnnet.Tanh())
MODELS = [
    subject(prove_model, SMALL, 3, drawn((3, 2)), weights=[1, 0, 3], rings=R, note="rows weighted"),
    subject(prove_model, SMALL, 2, drawn((2, 2)), rings=S + R),
    subject(prove_model, CLASSIFIER, 3, classes(0, 2, 1), weights=[2, 1, 4], rings=I, note="rows weighted"),
]


def optimizer(spec: Any, formula: Any, rings: Any = I, **keywords: Any) -> Subject:
    return subject(prove_optimizer, spec, formula, rings=rings, **keywords)


OPTIMIZERS = [
    optimizer(fnnet.Sgd(0.1), formulas.sgd, S + R),
    optimizer(fnnet.Sgd(0.1, momentum=0.9), formulas.momentum, S + R),
    optimizer(fnnet.Sgd(0.1, momentum=0.9, nesterov=True), formulas.nesterov, S + R),
    optimizer(fnnet.Lion(0.1, 0.6, 0.8), formulas.lion, R, steps=8, state_expected=formulas.lion_momentum),
    optimizer(fnnet.Adam(0.1), formulas.adam),
    optimizer(fnnet.AdamW(0.1), formulas.adamw),
    optimizer(fnnet.AmsGrad(0.1), formulas.amsgrad),
    optimizer(fnnet.Nadam(0.1), formulas.nadam),
    optimizer(fnnet.Nadam(0.1, momentum_decay=0.004), formulas.nadam),
    optimizer(fnnet.AdaMax(0.1), formulas.adamax, S + R),
    optimizer(fnnet.AdaGrad(0.1), formulas.adagrad),
    optimizer(fnnet.AdaGrad(0.1, initial=0.2), formulas.adagrad),
    optimizer(fnnet.RmsProp(0.1), formulas.rmsprop),
    optimizer(fnnet.RmsProp(0.1, momentum=0.9), formulas.rmsprop),
    optimizer(fnnet.RmsProp(0.1, centered=True), formulas.rmsprop),
    optimizer(fnnet.AdaDelta(), formulas.adadelta),
    optimizer(fnnet.ClipByValue(0.9), formulas.clip_by_value, S + R),
    optimizer(fnnet.ClipByNorm(1.9), formulas.clip_by_norm),
    optimizer(fnnet.ClipByNorm(9), formulas.clip_by_norm),
    optimizer(fnnet.ClipByGlobalNorm(2.5), formulas.clip_by_global_norm),
    optimizer(fnnet.ClipByGlobalNorm(50), formulas.clip_by_global_norm),
    optimizer(fnnet.GradientNoise(0.1), formulas.noise, S + R),
    optimizer(fnnet.WeightDecay(0.1), formulas.weight_decay, S + R),
    optimizer(fnnet.MaxNorm(1.9), formulas.max_norm),
    optimizer(fnnet.MaxNorm(20), formulas.max_norm),
    subject(prove_average, fnnet.Average(0.9), formulas.exponential_weight),
    subject(prove_average, fnnet.Average(fnnet.RunningMean(1)), formulas.equal_weight, rings=R, steps=5),
    optimizer(fnnet.Muon(0.1), formulas.muon, shapes=(("w", (2, 2)),)),
    optimizer(fnnet.Muon(0.1, nesterov=False, steps=2), formulas.muon, shapes=(("tall", (5, 2)), ("wide", (2, 3)))),
    optimizer(
        fnnet.Partition(fnnet.Matrices(kernels=True), fnnet.Muon(0.1, steps=3), fnnet.Sgd(0.3, 0.6)),
        formulas.muon_and_momentum,
        shapes=(("w", (1, 2, 3)), ("b", (2,))),
    ),
    optimizer(
        fnnet.ScheduleFreeAdam(fnnet.LinearSchedule(0, 0.4, 4), weight_decay=0.2),
        formulas.schedule_free,
        state_expected=formulas.schedule_free_mean,
        read=fnnet.averaged,
    ),
    optimizer(fnnet.ScheduleFreeAdam(fnnet.LinearSchedule(0.1, 0.4, 4)), formulas.schedule_free),
    optimizer(fnnet.Lookahead(fnnet.Sgd(0.1), 3, 0.3), formulas.lookahead, S + R, steps=7),
    optimizer(
        fnnet.Chain((fnnet.GradientNoise(0.3), fnnet.Sgd(0.1), fnnet.WeightDecay(0.2))),
        formulas.noisy_decayed_sgd,
        S + R,
    ),
]


def schedule(spec: Any, formula: Any, steps: int = 12, rings: Any = S) -> Subject:
    return subject(prove_schedule, spec, formula, steps, rings=rings, note=f"{steps} steps")


SCHEDULES = [
    schedule(fnnet.ConstantSchedule(0.3), formulas.constant),
    schedule(fnnet.ExponentialDecay(0.3, 0.9, 4), formulas.exponential),
    schedule(fnnet.StepDecay(0.3, 0.9, 4), formulas.stairs),
    schedule(fnnet.InverseTimeDecay(0.3, 0.2), formulas.inverse_time),
    schedule(fnnet.LinearSchedule(0.3, 0.1, 8), formulas.line),
    schedule(fnnet.PolynomialDecay(0.3, 8, 2, stop=0.1), formulas.polynomial),
    schedule(fnnet.CosineDecay(0.3, 8, stop=0.1), formulas.cosine),
    schedule(fnnet.CosineRestarts(0.3, 4, stop=0.1, shrink=0.5), formulas.restarts, 20),
    schedule(fnnet.CosineRestarts(0.3, 4, stop=0.1, growth=1.5, shrink=0.5), formulas.restarts, 24),
    schedule(fnnet.CosineRestarts(0.3, 4, stop=0.1, growth=1), formulas.restarts, 12),
    schedule(fnnet.OneCycle(0.3, 10), formulas.one_cycle, 14),
    schedule(fnnet.WarmupStableDecay(0.3, 3, 4, 5, stop=0.1), formulas.warmup_stable_decay, 15),
    schedule(fnnet.Noam(64, 5), formulas.noam),
    schedule(fnnet.RunningMean(2), formulas.running_mean, rings=R),
    schedule(fnnet.Warmup(fnnet.LinearSchedule(0.3, 0.1, 5), 4), formulas.warmup),
]
GROUPS = {
    "Activations": ACTIVATIONS, "Layers": RATIONAL_LAYERS + OTHER_LAYERS, "Losses": LOSSES, "Penalties": PENALTIES,
    "Whole models": MODELS, "Optimizers and transformations": OPTIMIZERS, "Schedules": SCHEDULES,
}  # fmt: skip
SUBJECTS = {s.name: s for group in GROUPS.values() for s in group}
NOT_PROVED: dict[str, str] = {}
"""Public name -> why there is no proof."""


def public() -> set[str]:
    """Names of every public layer, cell, activation, loss, penalty, optimizer and schedule."""
    packages = (layers, losses, penalties, optimizers, schedules)
    methods = ("backward", "gradient", "update", "value_at")
    return {
        name for package in packages for name in package.__all__
        if any(hasattr(getattr(package, name), method) for method in methods)
    }  # fmt: skip


def specs_in(spec: Any) -> list[Any]:
    """The spec and all specs inside it."""
    parts = [value if isinstance(value, tuple) else (value,) for value in vars(spec).values()]
    inner = [part for each in parts for part in each if dataclasses.is_dataclass(part)]
    return [spec, *(each for part in inner for each in specs_in(part))]


def proved() -> set[str]:
    """Names of the specs of all subjects, and of those inside them."""
    return {type(spec).__name__ for subject in SUBJECTS.values() for spec in specs_in(subject.spec)}
