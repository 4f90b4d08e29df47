"""Recurrence: the same small network at every step of a sequence, which sees the input and its own last output.

    Recurrent(Rnn(128))    Recurrent(Gru(128))    Recurrent(Lstm(128))

`Recurrent` has the two matrices and goes through time; a cell says, entry by entry, how the next state comes from the
two products. So a cell of one's own is two functions in any file (see `fnnet.protocols.Cell`), and every product of the
layer stands here once: that of all inputs before the loop, one per step inside of it, and those of the gradients of
weights after it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from fnnet._spec import spec, static
from fnnet.initializers import GlorotUniform, Orthogonal, Zeros
from fnnet.layers.dense import DenseParams
from fnnet.protocols import Cell, Initializer, Key, Number, Shape, is_spec_of, why_not

State = tuple[Array, ...]


class RecurrentParams(NamedTuple):
    """input: w (I, kH), b (kH,); recurrent: w (H, kH), b (kH,) or None; k gates side by side."""

    input: DenseParams
    recurrent: DenseParams


class RecurrentResiduals(NamedTuple):
    """Time first: x (T, B, I), the outputs h (T, B, H), and what the cell keeps of every step."""

    x: Array
    h: Array
    kept: Any


@spec
class Rnn:
    gates = ("h",)
    states = 1

    features: int = static()

    def forward(self, u, v, state):
        h = jnp.tanh(u + v)
        return (h,), h

    def backward(self, h, dstate):
        (dh,) = dstate
        da = dh * (1 - h * h)
        return da, da, (None,)


@spec
class Gru:
    gates = ("reset", "update", "new")
    states = 1
    recurrent_biases = True

    features: int = static()

    def forward(self, u, v, state):
        (h,) = state
        (ur, uz, un), (vr, vz, vn) = jnp.split(u, 3, -1), jnp.split(v, 3, -1)
        r, z = lax.logistic(ur + vr), lax.logistic(uz + vz)
        n = jnp.tanh(un + r * vn)
        return (n + z * (h - n),), (r, z, n, vn, h)

    def backward(self, kept, dstate):
        (r, z, n, vn, h), (dh,) = kept, dstate
        dn = dh * (1 - z) * (1 - n * n)
        dr = dn * vn * r * (1 - r)
        dz = dh * (h - n) * z * (1 - z)
        return jnp.concatenate([dr, dz, dn], -1), jnp.concatenate([dr, dz, dn * r], -1), (dh * z,)


@spec
class Lstm:
    gates = ("input", "forget", "cell", "output")
    states = 2

    features: int = static()
    forget_bias: Number = 1.0

    def forward(self, u, v, state):
        _, c = state
        a, f, g, o = jnp.split(u + v, 4, -1)
        i, f, g, o = lax.logistic(a), lax.logistic(f), jnp.tanh(g), lax.logistic(o)
        new = f * c + i * g
        t = jnp.tanh(new)
        return (o * t, new), (i, f, g, o, c, t)

    def backward(self, kept, dstate):
        (i, f, g, o, c, t), (dh, dc) = kept, dstate
        dc = dc + dh * o * (1 - t * t)
        da = jnp.concatenate(
            [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)], -1
        )
        return da, da, (None, dc * f)


@spec
class Recurrent:
    cell: Cell
    weights: Initializer = GlorotUniform()
    recurrent: Initializer = Orthogonal()
    biases: Initializer = Zeros()

    def init(self, key: Key, in_shape: Shape) -> tuple[RecurrentParams, Shape]:
        features, k = self.cell.features, len(self.cell.gates)
        keys = jax.random.split(key, (3, k))
        dtype = jnp.result_type(float)
        fan_in = in_shape[-1]
        w = jnp.concatenate([self.weights(q, (fan_in, features), dtype, fan_in, features) for q in keys[0]], -1)
        r = jnp.concatenate([self.recurrent(q, (features, features), dtype, features, features) for q in keys[1]], -1)
        b = jnp.concatenate([self.biases(q, (features,), dtype, fan_in, features) for q in keys[2]], -1)
        rb = jnp.zeros_like(b) if getattr(self.cell, "recurrent_biases", False) else None
        return RecurrentParams(DenseParams(w, b), DenseParams(r, rb)), (*in_shape[:-1], features)

    def forward(self, params, x, *, key=None):
        (wx, bx), (wh, bh) = params
        xs = x.swapaxes(0, 1)
        u = xs @ wx + bx.reshape(1, 1, -1)

        def step(state, u):
            v = state[0] @ wh
            v = v if bh is None else v + bh[None]
            state, kept = self.cell.forward(u, v, state)
            return state, (state[0], kept)

        zeros = jnp.zeros((x.shape[0], self.cell.features), x.dtype)
        _, (h, kept) = lax.scan(step, (zeros,) * self.cell.states, u)
        return h.swapaxes(0, 1), RecurrentResiduals(xs, h, kept)

    def backward(self, params, residuals, dy):
        (wx, _), (wh, bh) = params
        xs, h, kept = residuals

        def step(dstate, now):
            dy, kept = now
            du, dv, (direct, *rest) = self.cell.backward(kept, (dstate[0] + dy, *dstate[1:]))
            through = dv @ wh.T
            return (through if direct is None else through + direct, *rest), (dv, None if du is dv else du)

        zeros = jnp.zeros_like(h[0])
        _, (dv, du) = lax.scan(step, (zeros,) * self.cell.states, (dy.swapaxes(0, 1), kept), reverse=True)
        du = dv if du is None else du
        k = du.shape[-1]
        rows = du.reshape(-1, k)
        dwx = xs.reshape(-1, xs.shape[-1]).T @ rows
        before = jnp.concatenate([zeros[None], h[:-1]])
        dwh = before.reshape(-1, before.shape[-1]).T @ dv.reshape(-1, k)
        dx = (du @ wx.T).swapaxes(0, 1)
        dbh = None if bh is None else dv.reshape(-1, k).sum(0)
        return RecurrentParams(DenseParams(dwx, rows.sum(0)), DenseParams(dwh, dbh)), dx
