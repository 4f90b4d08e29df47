"""Convolutions as sums over the positions of the kernel: what `fnnet._xla.convolutions` computes, in plain words."""

import jax.numpy as jnp

from fnnet._windows import Window


def _grouped(a, groups):
    """(..., C) as (..., groups, C / groups)."""
    return a.reshape(*a.shape[:-1], groups, -1)


def convolved(x, w, window: Window, groups):
    """y = sum over positions of what the outputs see there, times the kernel's matrix there."""
    padded, outputs = window.padded(x), window.outputs(x.shape[1:3])
    y = jnp.zeros((x.shape[0], *outputs, w.shape[3]), x.dtype)
    for i, j in window.positions():
        seen = _grouped(window.seen(padded, (i, j), outputs), groups)
        y = y + jnp.einsum("bhwgc,cgo->bhwgo", seen, _grouped(w[i, j], groups)).reshape(y.shape)
    return y


def kernel_gradient(x, dy, w, window: Window, groups):
    """dw at a position = (what the outputs see there)^T dy."""
    padded = window.padded(x)

    def at(position):
        seen = _grouped(window.seen(padded, position, dy.shape[1:3]), groups)
        return jnp.einsum("bhwgc,bhwgo->cgo", seen, _grouped(dy, groups)).reshape(w.shape[2:])

    return jnp.stack([at(position) for position in window.positions()]).reshape(w.shape)


def input_gradient(dy, w, image, window: Window, groups):
    """dx = sum over positions of dy times the kernel's matrix^T there, put where the outputs see it."""
    dx = jnp.zeros((dy.shape[0], *image, groups * w.shape[2]), dy.dtype)
    for i, j in window.positions():
        part = jnp.einsum("bhwgo,cgo->bhwgc", _grouped(dy, groups), _grouped(w[i, j], groups))
        dx = dx + window.placed(part.reshape(*dy.shape[:3], -1), (i, j), image)
    return dx
