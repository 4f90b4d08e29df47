"""A Batch as the user passes it, converted and checked. Under the user's own `jit` values are unknown, and only shapes
are checked.
"""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.dtypes import canonicalize_dtype

from fnnet._spec import at_step, parameter_dtype
from fnnet._values import as_array, at_least_float32
from fnnet.model import Model, check_inputs, check_model, forward
from fnnet.protocols import Batch, Params, check_batch


def checked_batch(caller: str, model: Model, params: Params, data: Batch, name: str = "data") -> Batch:
    """The data as arrays (see `converted_batch`), its targets and weights checked.

    Raises ValueError for targets that the loss cannot take and for weights that are not finite or below 0. Tracers
    pass.
    """
    check_model(caller, model, params)
    data = converted_batch(caller, data, name)
    if any(isinstance(part, Tracer) for part in jax.tree.leaves((data, params))):
        return data
    if data.weights is not None:
        dtype = at_least_float32(parameter_dtype(params))
        _check_weights(caller, f"{name}.weights", np.asarray(data.weights), dtype)
    counting = slice(None) if data.weights is None else np.asarray(data.weights) != 0
    check_inputs(caller, f"{name}.x", model, lambda: np.asarray(data.x)[counting])
    check_targets = getattr(model.loss, "check_targets", None)
    shape = _outputs(model, params, data.x).shape[1:]
    if check_targets is not None:
        try:
            check_targets(np.asarray(data.y)[counting], shape)
        except ValueError as error:
            raise ValueError(f"{caller}: in {name}, {error}") from None
    return data


def converted_batch(caller: str, data: Batch, name: str) -> Batch:
    """The data with lists, DataFrames and Series as arrays.

    Raises TypeError for what is not a Batch of numbers, ValueError without rows and for rows that do not fit together;
    both name the argument and say what to do.
    """
    check_batch(caller, data, name)
    x, y = as_array(caller, f"{name}.x", data.x), as_array(caller, f"{name}.y", data.y)
    data = Batch(x, y, None if data.weights is None else as_array(caller, f"{name}.weights", data.weights))
    rows = {field: np.shape(part)[:1] for field, part in data._asdict().items() if part is not None}
    if len(set(rows.values())) > 1:
        raise ValueError(f"{caller}: expected as many targets (and weights) as rows of x in {name}, got {rows}")
    if np.shape(data.x)[:1] in ((), (0,)):
        raise ValueError(f"{caller}: expected rows in {name}, got none: x has shape {np.shape(data.x)}")
    return data


def _check_weights(caller: str, name: str, weights: np.ndarray, dtype: Any) -> None:
    if weights.ndim != 1:
        raise ValueError(f"{caller}: expected {name} of shape (rows,), got {weights.shape}; write weights.ravel()")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise ValueError(
            f"{caller}: expected {name} to be finite numbers of 0 or more, got {weights[wrong[0]]} in row {wrong[0]}"
        )
    total, limits = weights.sum(dtype=np.float64), np.finfo(dtype)
    if total > 0 and not limits.tiny <= total <= limits.max:
        raise ValueError(
            f"{caller}: expected {name} with a sum that {limits.dtype} can hold, got {total:g}; "
            f"divide them by their mean"
        )


def _outputs(model: Model, params: Params, x: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the network's outputs for one row; nothing is computed."""
    row = jax.ShapeDtypeStruct((1, *model.input_shape), canonicalize_dtype(x.dtype))
    return jax.eval_shape(_forward, model, params, row)


def _forward(model: Model, params: Params, x: jax.Array) -> jax.Array:
    return forward(at_step(model, 0, parameter_dtype(params, x)), params, x)
