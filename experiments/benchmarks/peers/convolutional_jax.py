"""The convolutional networks as people write them in JAX: `lax.conv`, automatic differentiation, optax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x: Any, p: Any, padding: str) -> Any:
    y = lax.conv_general_dilated(x, p.w, (1, 1), padding, dimension_numbers=LAYOUT)
    return y if p.b is None else y + p.b


def lenet(params: Any, x: Any) -> Any:
    """Logits of (B, 28, 28) pixels; params as fnnet's `init` gives them."""
    convs, dense = (params[2], params[5]), (params[9], params[11])
    x = x[..., None].astype(jnp.float32) / 255
    for p in convs:
        pooled = lax.reduce_window(conv(x, p, "VALID"), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jax.nn.relu(pooled)
    x = jax.nn.relu(x.reshape(len(x), -1) @ dense[0].w + dense[0].b)
    return x @ dense[1].w + dense[1].b


def batch_norm(x: Any, p: Any) -> Any:
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p.scale + p.shift


def resnet(params: Any, x: Any) -> Any:
    """Logits of (B, 14, 14, 64), with the statistics of the batch."""
    *blocks, _, dense = params
    for first, norm, _, second, other_norm in blocks[::2]:
        y = jax.nn.relu(batch_norm(conv(x, first, "SAME"), norm))
        x = jax.nn.relu(x + batch_norm(conv(y, second, "SAME"), other_norm))
    return x.mean((1, 2)) @ dense.w + dense.b


def scan(forward: Callable, params: Any, batches: Any) -> Callable[[], Any]:
    """All batches in one compiled program."""
    one, start = step(forward, params)
    program = jax.jit(lambda carry, batches: lax.scan(one, carry, batches))
    return lambda: program(start, batches)


def loop(forward: Callable, params: Any, batches: Any) -> Callable[[], Any]:
    """One compiled step, called once per batch; the batches lie on the device."""
    one, start = step(forward, params)
    program, parts = jax.jit(one), [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(len(batches[0]))]

    def run() -> Any:
        carry = start
        for batch in parts:
            carry, _ = program(carry, batch)
        return carry

    return run


def step(forward: Callable, params: Any) -> tuple[Callable, Any]:
    optimizer = optax.adam(1e-3)

    def loss(params: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y).mean()

    def one(carry: Any, batch: Any) -> Any:
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, *batch)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    return one, (params, optimizer.init(params))
