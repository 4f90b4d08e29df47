"""A model is a network, a loss and a penalty; and the one pass that everything else reads.

With L the value of a batch, w_b the weights of its rows and l_b their losses,

    L = sum_b w_b l_b / sum_b w_b + penalty(params)

or, for a loss that counts the targets n_b of a row (those of a sequence), sum_b w_b l_b / sum_b w_b n_b + penalty.

`backprop` computes L and its gradient: forward through the layers, the loss, and the chain rule back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Num

from fnnet._contracts import (
    backward_layer,
    backward_loss,
    count_targets,
    forward_layer,
    forward_loss,
    init_layer,
    penalty_gradient,
    penalty_value,
)
from fnnet._jit import jit
from fnnet._spec import as_numbers, at_step, parameter_dtype, spec, static
from fnnet._values import as_array, at_least_float32
from fnnet._xla.threefry import quick
from fnnet.layers.composition import input_checks
from fnnet.protocols import (
    Batch,
    Key,
    Layer,
    Loss,
    Params,
    Penalty,
    Residuals,
    check_batch,
    is_spec_of,
    is_statistics,
    why_not,
)

__all__ = ["Model", "Pass", "backprop", "backward", "forward", "init", "loss", "predict"]


@spec
class Model:
    """network (a layer), loss, the shape of one input, and a penalty (None: no penalty)."""

    network: Layer
    loss: Loss
    input_shape: tuple[int, ...] = static()
    penalty: Penalty | None = None

    def check(self) -> None:
        network, loss, penalty = self.network, self.loss, self.penalty
        if not is_spec_of(network, Layer):
            raise TypeError(
                f"Model: expected network to be a layer such as Serial((Dense(2),)), {why_not(network, Layer)}"
            )
        if not is_spec_of(loss, Loss):
            raise TypeError(f"Model: expected loss to be a loss such as SquaredError(), {why_not(loss, Loss)}")
        if penalty is not None and not is_spec_of(penalty, Penalty):
            raise TypeError(
                f"Model: expected penalty to be a penalty such as L2(1e-4), or None, {why_not(penalty, Penalty)}"
            )
        shape = self.input_shape
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"Model: expected input_shape to be a tuple of ints above 0, got {shape!r}")


class Pass(NamedTuple):
    """Everything one forward and backward pass knows; gradients are of `value`.

    value        ()      weighted mean loss plus penalty
    per_example  (B,)    each row's loss, without penalty
    outputs      (B, ...) of the network (logits)
    residuals            what the layers kept
    grads                like params
    dx           (B, ...) gradient of the input, None where it is integer
    """

    value: Array
    per_example: Array
    outputs: Array
    residuals: Residuals
    grads: Params
    dx: Array | Any  # None where x is integer


@jit("dtype")
def init(model: Model, key: Key, dtype: DTypeLike = jnp.float32) -> Params:
    """Parameters of the network, drawn with key, floating ones in dtype: float32, float64 or bfloat16.

    Raises ValueError where layers do not fit, and for float64 while JAX has it switched off.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"init: expected a floating dtype, got {dtype}")
    if jnp.dtype(dtype) == jnp.float64 and jnp.result_type(float) != jnp.float64:
        raise ValueError(f"init: {dtype} is switched off; call jax.config.update('jax_enable_x64', True) first")
    network = at_step(model.network, 0, jnp.result_type(float))
    params, _ = init_layer(network, quick(key), model.input_shape)

    def strongly_typed(p: Any) -> Any:
        if is_statistics(p):
            return jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(dtype)), p)
        return jnp.asarray(p, dtype if jnp.issubdtype(p.dtype, jnp.floating) else p.dtype)

    return jax.tree.map(strongly_typed, params, is_leaf=is_statistics)


def forward(model: Model, params: Params, x: Num[ArrayLike, "B ..."], *, key: Key | None = None) -> Array:
    """Outputs of the network (logits), (B, ...). A key means training: dropout is on.

    Compiled once per shape of x.
    """
    return _forward(check_model("forward", model, params), params, as_array("forward", "x", x), key)


def predict(model: Model, params: Params, x: Num[ArrayLike, "B ..."]) -> Array:
    """What the outputs mean to a person: probabilities or values, (B, ...).

    Compiled once per shape of x.
    """
    check_model("predict", model, params)
    rows = as_array("predict", "x", x)
    if not isinstance(rows, Tracer):
        check_inputs("predict", "x", model, lambda: np.asarray(rows))
    return _predict(model, params, rows)


@jit()
def _forward(model: Model, params: Params, x: Array, key: Key | None) -> Array:
    return _outputs(model, params, x, key)


@jit()
def _predict(model: Model, params: Params, x: Array) -> Array:
    return model.loss.predict(_outputs(model, params, x, None))


def _outputs(model: Model, params: Params, x: Array, key: Key | None) -> Array:
    dtype = parameter_dtype(params, x)
    network = as_numbers(model.network, dtype, "forward")
    return forward_layer(network, params, _inputs(model, x, dtype), key)[0]


def check_inputs(caller: str, name: str, model: Model, x: Callable[[], np.ndarray]) -> None:
    """Raise ValueError or TypeError for inputs that the network's first layer cannot be given, if it can tell.

    x  gives them; called only where there is something to check
    """
    for check in input_checks(model.network):
        try:
            check(x())
        except (TypeError, ValueError) as error:
            raise type(error)(f"{caller}: in {name}, {error}") from None


def check_model(caller: str, model: Model, params: Params) -> Model:
    """The model. Raises TypeError for anything else, and for a TrainState in place of its parameters."""
    if not isinstance(model, Model):
        raise TypeError(f"{caller}: expected a Model first, then its parameters, got {model!r:.200}")
    if hasattr(params, "opt_state"):
        raise TypeError(f"{caller}: expected the parameters of the network, got a TrainState; pass state.params")
    return model


def loss(
    model: Model,
    params: Params,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    weights: Num[ArrayLike, "B"] | None = None,
    key: Key | None = None,
) -> Array:
    """Value of a batch, (): weighted mean loss plus penalty."""
    check_model("loss", model, params)
    dtype = parameter_dtype(params, x)
    model, batch = as_numbers(model, dtype, "loss"), masked(prepare(model, Batch(x, y, weights), dtype))
    outputs, _ = forward_layer(model.network, params, batch.x, key)
    per_example, _ = forward_loss(model.loss, outputs, batch.y)
    return value_of(model, params, per_example, mean_weights(model, batch, dtype))


def backward(
    model: Model,
    params: Params,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    weights: Num[ArrayLike, "B"] | None = None,
    key: Key | None = None,
) -> tuple[Array, Params]:
    """(value, grads): the loss and its hand-derived gradient for every parameter, like params."""
    p = backprop(model, params, Batch(x, y, weights), key=key)
    return p.value, p.grads


def backprop(model: Model, params: Params, batch: Batch, *, key: Key | None = None) -> Pass:
    """Forward, loss and backward in one pass; a key means training.

    Raises ValueError for shapes that do not fit, and for schedules, which need a step (`fnnet.at_step`).
    """
    check_model("backprop", model, params)
    check_batch("backprop", batch, "batch")
    dtype = parameter_dtype(params, batch.x)
    model, batch = as_numbers(model, dtype, "backprop"), masked(prepare(model, batch, dtype))
    return one_pass(model, params, batch, key)


def one_pass(model: Model, params: Params, batch: Batch, key: Key | None) -> Pass:
    """`backprop` of a model whose numbers are resolved and a batch that is prepared.

        h = network(x),  l_b = loss(h_b, y_b),  L = sum_b m_b l_b + penalty,  m_b = w_b / sum(w n)

    n_b is 1, or the number of targets in a row where the loss counts these.
    dL/dl_b = m_b starts the backward pass: through the loss to dh, through the layers to the gradients and dx.
    The penalty depends on the parameters alone, so its gradient is added.
    """
    outputs, residuals = forward_layer(model.network, params, batch.x, key)
    per_example, loss_residuals = forward_loss(model.loss, outputs, batch.y)
    m = mean_weights(model, batch, per_example.dtype)
    value = value_of(model, params, per_example, m)
    doutputs = backward_loss(model.loss, loss_residuals, m, outputs)
    grads, dx = backward_layer(model.network, params, residuals, doutputs)
    if model.penalty is not None:
        grads = jax.tree.map(jnp.add, grads, penalty_gradient(model.penalty, params))
    return Pass(value, per_example, outputs, residuals, grads, dx)


def value_of(model: Model, params: Params, per_example: Array, m: Array) -> Array:
    """L = sum_b m_b l_b + penalty; a row of weight 0 does not count even if its loss is infinite."""
    value = jnp.where(m == 0, 0, m * per_example).sum()
    return value if model.penalty is None else value + penalty_value(model.penalty, params)


def mean_weights(model: Model, batch: Batch, dtype: DTypeLike) -> Array:
    """m_b = w_b / sum(w n), (B,): the weights that make a sum a mean. All 0 where there is nothing to average."""
    rows, total = batch.x.shape[0], total_weight(model, batch, dtype)
    if total is None:
        return jnp.full((rows,), 1 / rows, dtype)
    w = jnp.ones(rows, dtype) if batch.weights is None else batch.weights.astype(dtype)
    return w / jnp.where(total == 0, 1, total)


def total_weight(model: Model, batch: Batch, dtype: DTypeLike) -> Array | None:
    """sum(w n), (): n_b is the number of targets of a row where the loss counts them, else 1. None: as many as rows."""
    n = count_targets(model.loss, batch.y)
    if n is None:
        return None if batch.weights is None else batch.weights.astype(dtype).sum()
    return (n.astype(dtype) if batch.weights is None else batch.weights.astype(dtype) * n.astype(dtype)).sum()


def prepare(model: Model, batch: Batch, dtype: DTypeLike) -> Batch:
    """The batch as arrays of the step's dtype.

    Raises ValueError naming what does not fit.
    """
    x, y = _inputs(model, batch.x, dtype), _floating(batch.y, dtype)
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"expected as many targets as rows, got x of shape {x.shape} and y of shape {y.shape}")
    if batch.weights is None:
        return Batch(x, y)
    w = jnp.asarray(batch.weights, dtype)
    if w.shape != x.shape[:1]:
        raise ValueError(f"expected weights of shape ({x.shape[0]},), one per row, got {w.shape}")
    return Batch(x, y, w)


def masked(batch: Batch) -> Batch:
    """The batch with every row of weight 0 replaced by the first row that counts.

    Every layer can process that, which is not so for zeros; a NaN is gone before it is multiplied by 0. The row's
    weight stays 0.
    """
    if batch.weights is None:
        return batch
    counts = batch.weights != 0
    return Batch(_stand_in(batch.x, counts), _stand_in(batch.y, counts), batch.weights)


def _inputs(model: Model, x: ArrayLike, dtype: DTypeLike) -> Array:
    x = _floating(x, dtype)
    if x.shape[1:] != model.input_shape or x.ndim == 0 or x.shape[0] == 0:
        expected = ", ".join(map(str, ("B", *model.input_shape)))
        hint = "; write x[None] for a single row" if x.shape == model.input_shape else ""
        raise ValueError(f"expected x of shape ({expected}) with B of 1 or more, got {x.shape}{hint}")
    return x


def _floating(a: ArrayLike, dtype: DTypeLike) -> Array:
    a = jnp.asarray(a)
    return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a


def _stand_in(a: Array, counts: Array) -> Array:
    row = jnp.where(counts.any(), a[jnp.argmax(counts)], jnp.zeros((), a.dtype))
    return jnp.where(counts.reshape((-1,) + (1,) * (a.ndim - 1)), a, row[None])
