"""What acts between epochs: when to stop, and when to take smaller steps.

Both are specs with pure functions of a memory, which `fit` gives back in the history, so that a run can go on:

    memory = rule.start(...)
    memory = rule.after(memory, ...)
"""

import dataclasses
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from fnnet._spec import Number, check_range, spec, static
from fnnet.protocols import Loss, Optimizer
from fnnet.training.state import Metrics

Monitor = Literal["loss", "accuracy"]


class StoppingMemory(NamedTuple):
    """What EarlyStopping remembers.

    best    what the caller keeps of the best epoch so far: for `fit` the TrainState
    score   () validation loss (or minus the accuracy) of the best epoch, inf before the first
    epoch   () int32, the best epoch, from 1; 0 before the first
    waited  () int32, epochs since
    """

    best: Any
    score: Any
    epoch: Any
    waited: Any


class PlateauMemory(NamedTuple):
    """What ReduceOnPlateau remembers.

    scale    () float64, what learning rates are multiplied by
    score    () float64, validation loss (or minus the accuracy) of the best epoch, inf before the first
    waited   () int64, epochs since it was last improved, or since the last reduction
    resting  () int64, epochs of the cooldown that are left
    """

    scale: Any
    score: Any
    waited: Any
    resting: Any


@spec
class EarlyStopping:
    """Stop after `patience` epochs without a better validation metric; `fit` returns the state of the best epoch.

    patience   epochs
    min_delta  how much better counts as better
    monitor    "loss" (lower is better; with the penalty) or "accuracy" (higher is better) of the validation data

    An epoch counts as better only if it beats the best so far by more than min_delta; a tie or NaN does not. The best
    state is returned even if the epochs run out first. (Prechelt, "Early stopping - but when?", 1998.)
    """

    patience: Number = 5.0
    min_delta: Number = 0.0
    monitor: Monitor = static(default="loss")

    def check(self) -> None:
        check_range(self, "patience", low=1, required=True)
        check_range(self, "min_delta", low=0, required=True)
        _check_monitor(self)

    def start(self, kept: Any, dtype: Any) -> StoppingMemory:
        """Before the first epoch: `kept` is what is kept of the best epoch, dtype that of the metrics."""
        return StoppingMemory(kept, jnp.full((), jnp.inf, dtype), jnp.int32(0), jnp.int32(0))

    def after(self, memory: StoppingMemory, kept: Any, validation: Metrics, epoch: Any) -> StoppingMemory:
        """After an epoch (from 1) with these validation metrics, (). Pure, without a branch: vmap it over runs."""
        score = _score(self.monitor, validation)
        better = score < memory.score - jnp.asarray(self.min_delta, memory.score.dtype)
        new = StoppingMemory(kept, jnp.asarray(score), jnp.int32(epoch), jnp.int32(0))
        return jax.tree.map(partial(jnp.where, better), new, memory._replace(waited=memory.waited + 1))

    def is_over(self, memory: StoppingMemory) -> Bool[Array, ""]:
        """Whether patience has run out, ()."""
        return memory.waited.astype(memory.score.dtype) >= jnp.asarray(self.patience, memory.score.dtype)


@spec
class ReduceOnPlateau:
    """Multiply the learning rate by `factor` after `patience` epochs without a better validation metric.

    factor     of one reduction
    patience   epochs without a better score before it. PyTorch's ReduceLROnPlateau(patience=n) waits one epoch
               more; Keras waits as long as here
    cooldown   epochs after a reduction that are not counted
    lowest     the scale does not fall below this: 0.01 keeps at least a hundredth of the learning rate
    min_delta, monitor   as in EarlyStopping; absolute, where PyTorch's default is relative

    Every field `learning_rate` of the optimizer and of those inside it (`Chain`, `Partition`, `Lookahead`) is scaled,
    schedules included.
    """

    factor: Number = 0.1
    patience: Number = 5.0
    cooldown: Number = 0.0
    lowest: Number = 0.0
    min_delta: Number = 0.0
    monitor: Monitor = static(default="loss")

    def check(self) -> None:
        check_range(self, "factor", low=0, high=1, low_open=True, high_open=True, required=True)
        check_range(self, "patience", low=1, required=True)
        check_range(self, "cooldown", low=0, required=True)
        check_range(self, "lowest", low=0, high=1, required=True)
        check_range(self, "min_delta", low=0, required=True)
        _check_monitor(self)

    def start(self) -> PlateauMemory:
        """Before the first epoch."""
        return PlateauMemory(np.float64(1), np.float64(np.inf), np.int64(0), np.int64(0))

    def after(self, memory: PlateauMemory, validation: Metrics) -> PlateauMemory:
        """After an epoch with these validation metrics, ()."""
        score = np.float64(_score(self.monitor, validation))
        if score < memory.score - self.min_delta:
            return memory._replace(score=score, waited=np.int64(0), resting=np.maximum(memory.resting - 1, 0))
        if memory.resting > 0:
            return memory._replace(resting=memory.resting - 1)
        if memory.waited + 1 < self.patience:
            return memory._replace(waited=memory.waited + 1)
        scale = np.float64(max(memory.scale * self.factor, self.lowest))
        return memory._replace(scale=scale, waited=np.int64(0), resting=np.int64(self.cooldown))


@spec
class Scaled:
    """by times value, at every step; value may be a schedule."""

    value: Number
    by: Number

    def value_at(self, step: Any) -> Any:
        return self.by * self.value


def scaled(optimizer: Optimizer, by: Number) -> Optimizer:
    """The optimizer with every `learning_rate` in it, those inside a `Chain` included, times `by`: a number, so that
    nothing is compiled again.

    Raises ValueError where there is no learning rate.
    """
    found = _scaled(optimizer, by)
    if found is optimizer:
        raise ValueError(f"ReduceOnPlateau: expected an optimizer with a field learning_rate, got {optimizer!r}")
    return found


def _scaled(part: Any, by: Number) -> Any:
    """`part` itself where it holds no learning rate."""
    if isinstance(part, tuple):
        inner = tuple(_scaled(p, by) for p in part)
        return part if all(a is b for a, b in zip(inner, part, strict=True)) else inner
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    old = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    new = {name: Scaled(v, by) if name == "learning_rate" else _scaled(v, by) for name, v in old.items()}
    changed = {name: value for name, value in new.items() if value is not old[name]}
    return dataclasses.replace(part, **changed) if changed else part


def check_monitor(caller: str, rule: EarlyStopping | ReduceOnPlateau, loss: Loss) -> None:
    """Raise ValueError where the rule watches an accuracy that the loss does not have."""
    if rule.monitor == "accuracy" and not hasattr(loss, "correct"):
        raise ValueError(
            f'{caller}: {type(rule).__name__}(monitor="accuracy") watches an accuracy, and {loss!r} has no accuracy; '
            f'pass monitor="loss"'
        )


def check_memory(
    caller: str, rule: EarlyStopping | ReduceOnPlateau, memory: StoppingMemory | PlateauMemory, validation: Metrics
) -> None:
    """Raise ValueError where the best score so far is none of what the rule watches, in the metrics of all epochs."""
    best, scores = np.asarray(memory.score), np.asarray(_score(rule.monitor, validation))
    if np.isfinite(best) and not (scores == best).any():
        raise ValueError(
            f"{caller}: the history's {type(rule).__name__} did not watch the validation {rule.monitor}; go on with "
            f"the monitor that it began with"
        )


def _score(monitor: Monitor, validation: Metrics) -> Any:
    """Lower is better."""
    return validation.loss if monitor == "loss" else -validation.accuracy


def _check_monitor(rule: Any) -> None:
    if rule.monitor not in ("loss", "accuracy"):
        raise ValueError(f'{type(rule).__name__}: expected monitor to be "loss" or "accuracy", got {rule.monitor!r}')
