"""The networks over tokens as people write them in JAX: `lax.scan` over time, automatic differentiation, optax."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.peers.convolutional_jax import loop, scan, step

__all__ = ["loop", "lstm", "scan", "step"]


def lstm(params: Any, tokens: Any) -> Any:
    """Logits (B, T, V) of tokens (B, T); params as fnnet's `init` gives them. All inputs are one product."""
    embedding, ((w, b), (w_h, _)), dense = params
    u = embedding.w[tokens.T] @ w + b

    def one(state: Any, u: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(u + h @ w_h, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((len(tokens), len(w_h)))
    _, h = lax.scan(one, (zeros, zeros), u)
    return h.swapaxes(0, 1) @ dense.w + dense.b
