"""The networks over tokens as people write them in JAX: `lax.scan` over time, automatic differentiation, optax."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.peers.convolutional_jax import loop, scan, step

__all__ = ["gpt", "loop", "lstm", "scan", "step"]
HEADS = 4


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


def gpt(params: Any, tokens: Any) -> Any:
    """Logits (B, T, V) of tokens (B, T); params as fnnet's `init` gives them."""
    embedding, positions, *blocks, norm, head = params
    h = embedding.w[tokens] + positions.w[None]
    for (norm_1, attention), (norm_2, hidden, _, out) in zip(blocks[::2], blocks[1::2], strict=True):
        h = h + _attention(attention, _norm(norm_1, h))
        h = h + _dense(out, jax.nn.gelu(_dense(hidden, _norm(norm_2, h)), approximate=False))
    return _dense(head, _norm(norm, h))


def _dense(p: Any, x: Any) -> Any:
    return x @ p.w + p.b


def _norm(p: Any, x: Any) -> Any:
    return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * p.scale + p.shift


def _attention(p: Any, x: Any) -> Any:
    rows, steps, width = x.shape
    q, k, v = (_dense(each, x).reshape(rows, steps, HEADS, -1) for each in p[:3])
    scores = jnp.einsum("bthd,buhd->bhtu", q, k) / jnp.sqrt(width / HEADS)
    seen = jnp.tril(jnp.ones((steps, steps), bool))
    p_tu = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return _dense(p.out, jnp.einsum("bhtu,buhd->bthd", p_tu, v).reshape(rows, steps, width))
