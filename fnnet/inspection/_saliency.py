"""Saliency: which entries of the input an answer depends on.

    dx = fnnet.saliency(model, params, images)              # of the class that the network answers
    dx = fnnet.saliency(model, params, images, classes)     # of these classes
    dx = fnnet.saliency(model, params, images, of_loss=targets)

The backward pass does not stop at the weights: it goes on to the input. So the gradient of a logit is what the
network's `backward` gives for a cotangent of 1 at that logit and 0 elsewhere; nothing is derived a second time.
Source: Simonyan, Vedaldi, Zisserman 2013, Deep inside convolutional networks, arXiv 1312.6034.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, Num

from fnnet._contracts import backward_layer, backward_loss, forward_layer, forward_loss
from fnnet._spec import as_numbers, parameter_dtype
from fnnet.layers.composition import input_checks
from fnnet.losses import one_hot
from fnnet.model import Model, check_model, prepare
from fnnet.protocols import Batch, Params


def saliency(
    model: Model,
    params: Params,
    x: Num[ArrayLike, "B ..."],
    classes: Int[ArrayLike, "B"] | None = None,
    *,
    of_loss: Num[ArrayLike, "B ..."] | None = None,
) -> Float[Array, "B ..."]:
    """The gradient of each row's logit, or of its loss, with respect to its input: (B, ...) like x.

    classes   (B,) whose logit; None: the largest. Under jit, the row of a class that does not exist is NaN
    of_loss   (B, ...) targets: the gradient of each row's own loss, in place of a logit

    Integer inputs (pixels as bytes) are read as floating numbers, so that they have a gradient. In prediction: no
    dropout. Layers that look across rows mix the rows' gradients. Pure; jit it if you like.

    Raises ValueError for outputs that are not (B, C), for classes that do not exist or come together with of_loss, and
    for schedules, which need `fnnet.at_step`.
    """
    if classes is not None and of_loss is not None:
        raise ValueError("saliency: expected classes or of_loss, got both; a loss has targets instead of a class")
    check_model("saliency", model, params)
    dtype = parameter_dtype(params)
    model = as_numbers(model, dtype, "saliency")
    x = jnp.asarray(x) if input_checks(model.network) else jnp.asarray(x, dtype)
    batch = prepare(model, Batch(x, jnp.zeros(x.shape[:1]) if of_loss is None else of_loss), dtype)
    outputs, residuals = forward_layer(model.network, params, batch.x)
    doutputs = _one_logit(outputs, classes) if of_loss is None else _own_losses(model, outputs, batch.y)
    _, dx = backward_layer(model.network, params, residuals, doutputs)
    if dx is None:
        raise ValueError("saliency: tokens have no gradient; explain the network after its Embedding")
    return dx


def _one_logit(outputs: Array, classes: ArrayLike | None) -> Array:
    """1 at the logit of each row's class, 0 elsewhere."""
    if outputs.ndim != 2:
        raise ValueError(
            f"saliency: expected outputs of shape (B, C), one logit per class, got {outputs.shape}; "
            f"pass of_loss=targets for the gradient of the loss"
        )
    chosen = outputs.argmax(1) if classes is None else jnp.asarray(classes)
    if chosen.shape != outputs.shape[:1] or not jnp.issubdtype(chosen.dtype, jnp.integer):
        raise ValueError(
            f"saliency: expected integer classes of shape {outputs.shape[:1]}, got {chosen.dtype} {chosen.shape}"
        )
    if not isinstance(chosen, Tracer):
        wrong = np.flatnonzero((np.asarray(chosen) < 0) | (np.asarray(chosen) >= outputs.shape[1]))
        if wrong.size:
            raise ValueError(
                f"saliency: expected classes from 0 to {outputs.shape[1] - 1}, got {chosen[wrong[0]]} in row {wrong[0]}"
            )
    return one_hot(chosen, outputs.shape[1], outputs.dtype)


def _own_losses(model: Model, outputs: Array, targets: Array) -> Array:
    """Gradients of the outputs, each row's of its own loss."""
    per_example, residuals = forward_loss(model.loss, outputs, targets)
    return backward_loss(model.loss, residuals, jnp.ones_like(per_example), outputs)
