"""What every layer does, in a few numbers, while a network learns: an epoch's record is small enough to keep.

    records = []

    def on_epoch(state, history):
        records.append(fnnet.layer_statistics(model, optimizer, state, probe))

    fnnet.fit(model, optimizer, state, train, ..., on_epoch=on_epoch)
    plots.layer_statistics(fnnet.over_time(records)).savefig("layers.png")    # from fnnet import plots

`probe` is a Batch that stays the same (a few hundred rows), so that what changes is the network.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet._spec import at_step, parameter_dtype
from fnnet._values import at_least_float32
from fnnet.inspection.recording import LayerTrace, floating, norm_of_all, record
from fnnet.model import Model
from fnnet.protocols import Batch
from fnnet.training.state import TrainState, trainable


class LayerStatistics(NamedTuple):
    """One layer at one moment, () each; stacked over time, (T,) each. Rows of weight 0 do not count.

    mean, std      of all entries of the layer's output
    zeros          fraction of these entries that are exactly 0
    dead           fraction of units that are 0 in every row, for `Relu`; else None
    saturated      fraction of entries that are saturated, for sigmoid-like activations (see `LayerTrace`); else None
    gradient_norm  Euclidean norm of the gradient of all the layer's parameters together; None without parameters
    update_ratio   norm of the optimizer's update of them / norm of them (about 1e-3 is usual, inf where all are 0);
                   None without parameters
    """

    mean: Any
    std: Any
    zeros: Any
    dead: Any
    saturated: Any
    gradient_norm: Any
    update_ratio: Any


@jax.jit
def layer_statistics(
    model: Model, optimizer: Any, state: TrainState, batch: Batch, *, key: PRNGKeyArray | None = None
) -> OrderedDict[str, LayerStatistics]:
    """What the next `train_step` would see and do with this batch: name of the layer -> LayerStatistics. Pure.

    key   a key means training: dropout is on. Without one it is off; transformations that draw noise need one.

    Names are those of `fnnet.trace`, whose pass this reads. Schedules are evaluated at state.step.
    """
    dtype = parameter_dtype(state.params, batch.x)
    optimizer = at_step(optimizer, state.step, at_least_float32(dtype))
    t = record(at_step(model, state.step, dtype), state.params, batch, key, optimizer, state.opt_state)
    rows = t.batch.x.shape[0]
    counts = jnp.ones(rows, bool) if t.batch.weights is None else t.batch.weights != 0
    return OrderedDict((name, _statistics(layer, counts)) for name, layer in t.layers.items())


def over_time(records: Sequence[OrderedDict[str, LayerStatistics]]) -> OrderedDict[str, LayerStatistics]:
    """Records of one network, in the order they were taken, as one: every number becomes a NumPy array (T,).

    Raises ValueError without records.
    """
    if not records:
        raise ValueError("over_time: expected at least one record of layer_statistics, got none")
    return jax.tree.map(lambda *values: np.stack(values), *records)


def _statistics(layer: LayerTrace, counts: Array) -> LayerStatistics:
    wide = at_least_float32(layer.y.dtype)
    y = layer.y.astype(wide).reshape(layer.y.shape[0], -1)
    weights = counts.astype(wide) / counts.sum(dtype=wide)

    def mean(entries: Array) -> Array:
        return (weights * entries.mean(1)).sum()

    center = mean(y)
    learns = bool(floating(trainable(layer.params)))
    return LayerStatistics(
        mean=center,
        std=jnp.sqrt(mean((y - center) ** 2)),
        zeros=mean((y == 0).astype(wide)),
        dead=layer.dead,
        saturated=layer.saturated,
        gradient_norm=norm_of_all(layer.grads) if learns else None,
        update_ratio=layer.update_ratio,
    )
