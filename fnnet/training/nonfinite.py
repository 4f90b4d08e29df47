"""The first tensor of a run that is not finite, found by replaying the epoch step by step."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet._spec import at_step, parameter_dtype
from fnnet.inspection.recording import record
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer
from fnnet.training.sources import Source
from fnnet.training.state import TrainState, all_finite, floating_leaves
from fnnet.training.steps import train_batches


class Culprit(NamedTuple):
    """The first tensor that is not finite.

    step    of the run, from 0: the value of `state.step` before the update
    tensor  its name, such as "x", "y, the output of layer 2 Exp" or "after the update, params[0].w"
    entry   where in it, the first in row-major order
    value   found there
    row     of the data set, where the tensor is the batch's x or y; else None
    """

    step: int
    tensor: str
    entry: tuple[int, ...]
    value: float
    row: int | None = None

    def __str__(self) -> str:
        found = f"the first tensor that is not finite is {self.tensor}: {self.value} at {self.entry}"
        origin = "" if self.row is None else f", from row {self.row} of the data"
        return f"in step {self.step}, {found}{origin}"


def find_culprit(
    model: Model,
    optimizer: Optimizer,
    state: TrainState,
    source: Source,
    batch_size: int,
    shuffle: PRNGKeyArray | None,
) -> Culprit | None:
    """Replay the epoch that starts in `state` and name the first tensor that is not finite; None where all are.

    Within that step the order is that of computing: batch, parameters, forward, loss, backward, update.
    """
    numbers = source.numbers(state, batch_size, shuffle)
    for stacked, rows in zip(source.batches(state, batch_size, shuffle), numbers, strict=True):
        after, metrics = train_batches(model, optimizer, state, stacked)
        if not all_finite((state.params, metrics.loss, after.params, after.opt_state)):
            batch = Batch(*jax.tree.map(lambda a: a[0], tuple(stacked)))
            named = _in_order(model, state, batch, after)
            return next((_culprit(int(state.step), *pair, rows) for pair in named if not all_finite(pair[1])), None)
        state = after
    return None


def _in_order(model: Model, state: TrainState, batch: Batch, after: TrainState) -> Iterator[tuple[str, Any]]:
    """Every tensor of a step by name, in the order in which the step computes them."""
    yield from (("x", batch.x), ("y", batch.y))
    yield from _named("params", state.params)
    dtype = parameter_dtype(state.params, batch.x)
    pass_key, _ = jax.random.split(jax.random.fold_in(state.key, state.step))
    t = record(at_step(model, state.step, dtype), state.params, batch, pass_key)
    for name, layer in t.layers.items():
        yield f"y, the output of layer {name}", layer.y
    yield from (("the loss of a row", t.result.per_example), ("the loss of the batch", t.result.value))
    yield "doutputs, the gradient of the outputs", t.doutputs
    for name, layer in reversed(t.layers.items()):
        yield from _named(f"gradient in layer {name} of params", layer.grads)
        yield f"dx, the gradient of the input of layer {name}", layer.dx
    yield from _named("opt_state after the update, ", after.opt_state)
    yield from _named("after the update, params", after.params)


def _named(prefix: str, tree: Any) -> Iterator[tuple[str, Any]]:
    return ((f"{prefix}{name}", a) for name, a in floating_leaves(tree).items())


def _culprit(step: int, name: str, tensor: Any, rows: np.ndarray) -> Culprit:
    a = np.asarray(tensor)
    entry = tuple(int(i) for i in np.argwhere(~np.isfinite(a.astype(np.float64)))[0])
    return Culprit(step, name, entry, float(a[entry]), int(rows[entry[0]]) if name in ("x", "y") else None)
