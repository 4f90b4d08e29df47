"""Where the rows of a `fit` come from: validation split off, classes checked and weighed, data on the device."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from fnnet.batch import Batch
from fnnet.datasets.split import split_rows
from fnnet.losses import SoftmaxCrossEntropy
from fnnet.model import Model, forward
from fnnet.spec import at_step, parameter_dtype
from fnnet.streaming import Stream, is_mapped


class Sources(NamedTuple):
    """Where rows come from; validation and measured may be None."""

    training: Stream
    validation: Stream | None
    measured: Stream | None


def sources_of(
    data: Batch, validation: Batch | float | None, order: PRNGKeyArray | None, measure_training: int | None
) -> Sources:
    """The rows of a `fit`: what trains, what validates (drawn, where it is a share), and the rows to measure."""
    if validation is None or isinstance(validation, Batch):
        training, validating = Stream(data), None if validation is None else Stream(validation)
    else:
        training, validating = _split(data, validation, order)
    if measure_training is None:
        return Sources(training, validating, None)
    rows = np.arange(len(data.y)) if training.rows is None else training.rows
    return Sources(training, validating, Stream(data, rows[:measure_training]))


def _split(data: Batch, share: float, order: PRNGKeyArray | None) -> tuple[Stream, Stream]:
    if not isinstance(share, float) or not 0 < share < 1:
        raise ValueError(f"fit: expected validation to be a share between 0 and 1, or a Batch, got {share!r}")
    if order is None:
        raise ValueError("fit: rows to hold out are drawn with a key made from order; pass one, or a Batch to validate")
    seed = int(jax.random.bits(jax.random.fold_in(order, 2**32 - 1)))
    rows, held_out = split_rows(np.asarray(data.y), share, seed)
    if not 0 < len(held_out) < len(data.y):
        raise ValueError(f"fit: validation={share} of {len(data.y)} rows leaves a part empty")
    return Stream(data, rows), Stream(data, held_out)


def on_device(source: Stream) -> Batch | Stream:
    """Rows in memory as one Batch on the device; what lies in a file stays there."""
    if is_mapped(source.data):
        return source
    data, rows = source.data, source.rows
    if rows is None:
        return jax.tree.map(_owned, data)
    return jax.device_put(jax.tree.map(lambda a: np.asarray(a)[rows], data))


def _owned(a: Any) -> jax.Array:
    """a on the device; copied where its owner could write to it, since a CPU may use memory where it lies."""
    return jnp.array(a) if isinstance(a, np.ndarray) and a.flags.writeable else jax.device_put(a)


def with_class_weights(source: Stream, class_weights: Any) -> Stream:
    """Weights of rows times the weights of their classes."""
    w, y = np.asarray(class_weights, np.float32), np.asarray(source.data.y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"fit: class_weights need integer classes (N,), got targets of {y.dtype} {y.shape}")
    if w.ndim != 1 or not np.all(np.isfinite(w) & (w >= 0)):
        raise ValueError(f"fit: expected class_weights to be (C,) finite numbers of 0 or more, got {class_weights!r}")
    if y.size and not 0 <= y.min() <= y.max() < len(w):
        raise ValueError(f"fit: expected a class weight for classes {y.min()} to {y.max()}, got {len(w)} weights")
    weights = w[y] if source.data.weights is None else w[y] * np.asarray(source.data.weights, np.float32)
    return dataclasses.replace(source, data=source.data._replace(weights=weights))


def check_classes(caller: str, model: Model, params: Any, data: Batch, name: str) -> None:
    """Raise ValueError where a class has no output: inside the compiled program it could only become NaN."""
    y = np.asarray(data.y)
    if not isinstance(model.loss, SoftmaxCrossEntropy) or not np.issubdtype(y.dtype, np.integer) or y.size == 0:
        return
    at_zero = jnp.zeros((1, *model.input_shape), jnp.asarray(data.x[:1]).dtype)
    network = dataclasses.replace(model, loss=SoftmaxCrossEntropy(), penalty=None)
    dtype = parameter_dtype(params)
    count = jax.eval_shape(lambda: forward(at_step(network, 0, dtype), params, at_zero)).shape[-1]
    counted = y if data.weights is None else y[np.asarray(data.weights) != 0]
    if counted.size and not 0 <= counted.min() <= counted.max() < count:
        raise ValueError(
            f"{caller}: expected classes 0 to {count - 1} in {name}, for the network's {count} outputs, "
            f"got {counted.min()} to {counted.max()}"
        )
