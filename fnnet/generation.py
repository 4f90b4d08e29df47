"""Sequences that a network writes: one token after the other, each drawn from what it predicts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int, Integer

from fnnet._contracts import forward_layer
from fnnet._jit import jit
from fnnet._spec import as_numbers, parameter_dtype
from fnnet._values import as_array, at_least_float32, check_key
from fnnet._xla.threefry import quick
from fnnet.model import Model, check_inputs, check_model
from fnnet.protocols import Key, Number, Params

__all__ = ["generate"]


def generate(
    model: Model, params: Params, tokens: Integer[Any, "*rows n"], key: Key, steps: int, temperature: Number = 1.0
) -> Int[Array, "*rows n_and_steps"]:
    """The tokens with `steps` more, each drawn from the softmax of the logits after the ones before it.

    model        its rows are (T,) tokens and its outputs (T, V) logits of the next token; step t may depend on steps
                 up to t only (causal attention, recurrence), as in `fnnet.gpt`
    tokens       (n,) or (B, n), n of 1 or more: how the sequences start. Of more than T, the last T are seen
    key          draws; the same key gives the same tokens
    temperature  logits are divided by it: below 1 likely tokens become likelier, 0 always takes the likeliest

    Compiled once per shape. Every step runs the network over all T positions. Returns int32, (n + steps,) or
    (B, n + steps). Raises ValueError for tokens that do not exist, for networks of other shapes and where a layer says
    that it is not causal.
    """
    check_model("generate", model, params)
    check_key("generate", key)
    tokens = as_array("generate", "tokens", tokens)
    if not isinstance(steps, int | np.integer) or steps < 0:
        raise ValueError(f"generate: expected steps to be an int of 0 or more, got {steps!r}")
    if tokens.ndim not in (1, 2) or 0 in tokens.shape or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(
            f"generate: expected integer tokens (n,) or (B, n), n of 1 or more, got {tokens.dtype} {tokens.shape}"
        )
    if not isinstance(tokens, Tracer):
        check_inputs("generate", "tokens", model, lambda: np.asarray(tokens))
    if not isinstance(temperature, Tracer) and not temperature >= 0:
        raise ValueError(f"generate: expected temperature to be 0 or more, got {temperature!r}")
    _check_causal(model)
    return _generate(model, params, tokens, key, int(steps), temperature)


@jit("steps")
def _generate(model: Model, params: Params, tokens: Array, key: Key, steps: int, temperature: Any) -> Array:
    """With g_v = -log(-log u_v) for uniform u, argmax_v(z_v + temperature g_v) is a draw from softmax(z / temperature).

    Source: Gumbel 1954, Statistical theory of extreme values.
    """
    dtype = parameter_dtype(params)
    network = as_numbers(model.network, dtype, "generate")
    (context,), rows = model.input_shape, jnp.atleast_2d(tokens).astype(jnp.int32)
    seen = rows[:, -context:]
    window = jnp.pad(seen, ((0, 0), (0, context - seen.shape[1])))

    def step(carry: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], Array]:
        window, length = carry
        outputs, _ = forward_layer(network, params, window)
        _check_outputs(outputs, window)
        logits = jax.lax.dynamic_index_in_dim(outputs, length - 1, 1, keepdims=False)
        logits = logits.astype(at_least_float32(logits.dtype))  # bfloat16 draws would be one of 128 numbers
        noise = jnp.asarray(temperature, logits.dtype) * jax.random.gumbel(key, logits.shape, logits.dtype)
        token = jnp.argmax(logits + noise, -1).astype(jnp.int32)
        moved = jnp.where(length == context, jnp.roll(window, -1, 1), window)
        length = jnp.minimum(length + 1, context)
        return (jax.lax.dynamic_update_index_in_dim(moved, token, length - 1, 1), length), token

    start = (window, jnp.asarray(seen.shape[1], jnp.int32))
    _, drawn = jax.lax.scan(step, start, jax.random.split(quick(key), steps))
    return jnp.concatenate([rows, drawn.T], 1).reshape(*tokens.shape[:-1], -1)


def _check_outputs(outputs: Array, window: Array) -> None:
    if outputs.ndim != 3 or outputs.shape[:2] != window.shape:
        expected = f"(B, {window.shape[1]}, V)"
        raise ValueError(
            f"generate: expected the network to give logits of shape {expected}, one set per step, got {outputs.shape}"
        )


def _check_causal(model: Model) -> None:
    if len(model.input_shape) != 1:
        raise ValueError(f"generate: expected a model of tokens, input_shape (T,), got {model.input_shape}")

    def is_seeing_ahead(node: Any) -> bool:
        return getattr(node, "causal", True) is False

    for node in jax.tree.leaves(model.network, is_leaf=is_seeing_ahead):
        if is_seeing_ahead(node):
            raise ValueError(f"generate: expected layers that see no later steps, got {node!r}; pass causal=True")
