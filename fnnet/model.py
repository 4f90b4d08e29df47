"""A model is a network, a loss and a penalty; and the one pass that everything else reads.

With L the value of a batch, w_b the weights of its rows and l_b their losses,

    L = sum_b w_b l_b / sum_b w_b + penalty(params)

`backprop` computes L and its gradient: forward through the layers, the loss, and the chain rule back.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num, PRNGKeyArray

from fnnet._jit import jit
from fnnet._spec import Number, as_numbers, at_step, parameter_dtype, spec, static
from fnnet._xla.threefry import quick
from fnnet.initializers import HeNormal, Zeros
from fnnet.layers import Dense, Dropout, Flatten, Relu, Rescale, Serial
from fnnet.losses import SoftmaxCrossEntropy
from fnnet.protocols import Batch, Initializer, Layer, Loss, Penalty, is_spec_of

__all__ = ["Model", "Pass", "backprop", "backward", "forward", "init", "loss", "mlp", "predict"]


@spec
class Model:
    """network (a layer), loss, the shape of one input, and a penalty (None: no penalty)."""

    network: Layer
    loss: Loss
    input_shape: tuple[int, ...] = static()
    penalty: Penalty | None = None

    def check(self) -> None:
        """Network and loss are specs, built with their settings; an input's shape is a tuple of whole numbers."""
        if not is_spec_of(self.network, Layer):
            raise TypeError(f"Model: expected network to be a layer such as Serial((Dense(2),)), got {self.network!r}")
        if not is_spec_of(self.loss, Loss):
            raise TypeError(f"Model: expected loss to be a loss such as SquaredError(), got {self.loss!r}")
        if self.penalty is not None and not is_spec_of(self.penalty, Penalty):
            raise TypeError(f"Model: expected penalty to be a penalty such as L2(1e-4), or None, got {self.penalty!r}")
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

    value: Any
    per_example: Any
    outputs: Any
    residuals: Any
    grads: Any
    dx: Any


def mlp(
    sizes: tuple[int, ...],
    *,
    activation: Layer | Sequence[Layer] = Relu(),  # noqa: B008  specs are immutable
    loss: Loss = SoftmaxCrossEntropy(),  # noqa: B008
    penalty: Penalty | None = None,
    output: Layer | None = None,
    dropout: Number = None,
    input_dropout: Number = None,
    weights: Initializer = HeNormal(),  # noqa: B008
    biases: Initializer | None = Zeros(),  # noqa: B008
    input_shape: tuple[int, ...] | None = None,
    scale: Number = None,
) -> Model:
    """A multi-layer perceptron as a Model: `mlp((784, 128, 64, 10))` has two hidden layers.

    sizes        inputs, hidden layers, outputs
    activation   of the hidden layers; a tuple gives each its own
    output       activation of the last layer (None: none, since losses take logits)
    dropout      rate, after every hidden activation
    input_dropout   rate, on the inputs (0.2 beside 0.5 for hidden layers is Srivastava and others' 2014 choice)
    weights, biases   initializers of every Dense
    input_shape  of one row if not (sizes[0],): `(28, 28)` puts a Flatten in front
    scale        puts a Rescale in front: 1 / 255 for pixels

    Raises ValueError where sizes, activations and input_shape do not fit together.
    """
    sizes, hidden = tuple(sizes), len(sizes) - 2
    input_shape = (sizes[0],) if input_shape is None else tuple(input_shape)
    activations = tuple(activation) if isinstance(activation, tuple | list) else (activation,) * hidden
    if hidden < 0 or math.prod(input_shape) != sizes[0]:
        raise ValueError(f"mlp: expected sizes (inputs, ..., outputs) for input_shape {input_shape}, got {sizes}")
    if len(activations) != hidden:
        raise ValueError(f"mlp: expected {hidden} activations for {hidden} hidden layers, got {len(activations)}")
    layers = [] if len(input_shape) == 1 else [Flatten()]
    layers += [] if scale is None else [Rescale(scale)]
    layers += [] if input_dropout is None else [Dropout(input_dropout)]
    for size, f in zip(sizes[1:-1], activations, strict=True):
        layers += [Dense(size, weights, biases), f, *([] if dropout is None else [Dropout(dropout)])]
    layers += [Dense(sizes[-1], weights, biases), *([] if output is None else [output])]
    return Model(Serial(tuple(layers)), loss, input_shape, penalty)


@jit("dtype")
def init(model: Model, key: PRNGKeyArray, dtype: Any = jnp.float32) -> Any:
    """Parameters of the network, drawn with key, floating ones in dtype: float32, float64 or bfloat16.

    Raises ValueError where layers do not fit, and for float64 while JAX has it switched off.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"init: expected a floating dtype, got {dtype}")
    if jnp.dtype(dtype) == jnp.float64 and jnp.result_type(float) != jnp.float64:
        raise ValueError(f"init: {dtype} is switched off; call jax.config.update('jax_enable_x64', True) first")
    params, _ = at_step(model.network, 0, jnp.result_type(float)).init(quick(key), model.input_shape)

    def strongly_typed(p: Array) -> Array:
        return jnp.asarray(p, dtype if jnp.issubdtype(p.dtype, jnp.floating) else p.dtype)

    return jax.tree.map(strongly_typed, params)


def forward(model: Model, params: Any, x: Num[ArrayLike, "B ..."], *, key: PRNGKeyArray | None = None) -> Any:
    """Outputs of the network (logits), (B, ...). A key means training: dropout is on."""
    dtype = parameter_dtype(params, x)
    network = as_numbers(model.network, dtype, "forward")
    return network.forward(params, _inputs(model, x, dtype), key=key)[0]


def predict(model: Model, params: Any, x: Num[ArrayLike, "B ..."]) -> Any:
    """What the outputs mean to a person: probabilities or values, (B, ...)."""
    return model.loss.predict(forward(model, params, x))


def loss(
    model: Model,
    params: Any,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    weights: Num[ArrayLike, "B"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Any:
    """Value of a batch, (): weighted mean loss plus penalty."""
    dtype = parameter_dtype(params, x)
    model, batch = as_numbers(model, dtype, "loss"), masked(prepare(model, Batch(x, y, weights), dtype))
    outputs, _ = model.network.forward(params, batch.x, key=key)
    per_example, _ = model.loss.forward(outputs, batch.y)
    return value_of(model, params, per_example, mean_weights(batch, dtype))


def backward(
    model: Model,
    params: Any,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    weights: Num[ArrayLike, "B"] | None = None,
    key: PRNGKeyArray | None = None,
) -> tuple[Any, Any]:
    """(value, grads): the loss and its hand-derived gradient for every parameter, like params."""
    p = backprop(model, params, Batch(x, y, weights), key=key)
    return p.value, p.grads


def backprop(model: Model, params: Any, batch: Batch, *, key: PRNGKeyArray | None = None) -> Pass:
    """Forward, loss and backward in one pass; a key means training.

    Raises ValueError for shapes that do not fit, and for schedules, which need a step (`fnnet.at_step`).
    """
    dtype = parameter_dtype(params, batch.x)
    model, batch = as_numbers(model, dtype, "backprop"), masked(prepare(model, batch, dtype))
    return one_pass(model, params, batch, key)


def one_pass(model: Model, params: Any, batch: Batch, key: PRNGKeyArray | None) -> Pass:
    """`backprop` of a model whose numbers are resolved and a batch that is prepared.

        h = network(x),  l_b = loss(h_b, y_b),  L = sum_b m_b l_b + penalty,  m_b = w_b / sum(w)

    dL/dl_b = m_b starts the way back: through the loss to dh, through the layers to the gradients and dx.
    The penalty hangs on the parameters alone, so its gradient is added.
    """
    outputs, residuals = model.network.forward(params, batch.x, key=key)
    per_example, loss_residuals = model.loss.forward(outputs, batch.y)
    m = mean_weights(batch, per_example.dtype)
    value = value_of(model, params, per_example, m)
    grads, dx = model.network.backward(params, residuals, model.loss.backward(loss_residuals, m))
    if model.penalty is not None:
        grads = jax.tree.map(jnp.add, grads, model.penalty.gradient(params))
    return Pass(value, per_example, outputs, residuals, grads, dx)


def value_of(model: Model, params: Any, per_example: Array, m: Array) -> Array:
    """L = sum_b m_b l_b + penalty; a row of weight 0 does not count even if its loss is infinite."""
    value = jnp.where(m == 0, 0, m * per_example).sum()
    return value if model.penalty is None else value + model.penalty.value(params)


def mean_weights(batch: Batch, dtype: Any) -> Array:
    """m_b = w_b / sum(w), (B,): the weights that make a sum a mean. All 0 where every weight is."""
    rows = batch.x.shape[0]
    if batch.weights is None:
        return jnp.full((rows,), 1 / rows, dtype)
    w = batch.weights.astype(dtype)
    total = w.sum()
    return w / jnp.where(total == 0, 1, total)


def prepare(model: Model, batch: Batch, dtype: Any) -> Batch:
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
        raise ValueError(f"expected weights of shape ({x.shape[0]},), one a row, got {w.shape}")
    return Batch(x, y, w)


def masked(batch: Batch) -> Batch:
    """The batch with every row of weight 0 replaced by the first row that counts.

    Any layer can digest that, as it may not zeros; a NaN in the row is gone before it can meet a 0. Its weight stays 0.
    """
    if batch.weights is None:
        return batch
    counts = batch.weights != 0
    return Batch(_stand_in(batch.x, counts), _stand_in(batch.y, counts), batch.weights)


def _inputs(model: Model, x: Any, dtype: Any) -> Array:
    x = _floating(x, dtype)
    if x.shape[1:] != model.input_shape or x.ndim == 0 or x.shape[0] == 0:
        expected = ", ".join(map(str, ("B", *model.input_shape)))
        hint = "; write x[None] for a single row" if x.shape == model.input_shape else ""
        raise ValueError(f"expected x of shape ({expected}) with B of 1 or more, got {x.shape}{hint}")
    return x


def _floating(a: Any, dtype: Any) -> Array:
    a = jnp.asarray(a)
    return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a


def _stand_in(a: Array, counts: Array) -> Array:
    row = jnp.where(counts.any(), a[jnp.argmax(counts)], jnp.zeros((), a.dtype))
    return jnp.where(counts.reshape((-1,) + (1,) * (a.ndim - 1)), a, row[None])
