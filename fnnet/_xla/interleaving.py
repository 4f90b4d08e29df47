"""Gradients of windows that do not overlap, interleaved instead of added up.

Works around: the sum of one padded array per position of the window is computed at every entry of the image, for all
              positions but one in vain.
Gains:        the backward pass of `MaxPool((2, 2))` in a fifth of the time (`python -m experiments.benchmarks.tricks`).
Can go:       when XLA sees that the padded arrays do not overlap. The plain version is the sum, below.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._windows import Pair, Window


def largest(padded: Float[Array, "B P Q C"], window: Window, outputs: Pair) -> Float[Array, "B h w C"]:
    """The largest entry that every output sees, of an image with its padding."""
    if not _are_disjoint(window):
        return functools.reduce(jnp.maximum, (window.seen(padded, where, outputs) for where in window.positions()))
    (k, l), (h, w) = window.size, outputs  # noqa: E741
    return padded[:, : h * k, : w * l].reshape(-1, h, k, w, l, padded.shape[-1]).max((2, 4))


def summed(parts: Sequence[Float[Array, "B h w C"]], window: Window, image: Pair) -> Float[Array, "B H W C"]:
    """What the parts, one per position of the window, add up to where outputs see them, in an image of (H, W)."""
    if not _are_disjoint(window):
        placed = (window.placed(part, where, image) for part, where in zip(parts, window.positions(), strict=True))
        return sum(placed, jnp.zeros((), parts[0].dtype))
    (k, l), (b, h, w, c) = window.size, parts[0].shape  # noqa: E741
    rows = [jnp.stack(parts[i * l : (i + 1) * l], 3) for i in range(k)]
    whole = jnp.stack(rows, 2).reshape(b, k * h, l * w, c)
    return Window((1, 1), (1, 1), (1, 1), window.padding).placed(whole, (0, 0), image)


def _are_disjoint(window: Window) -> bool:
    return window.stride == window.size and window.dilation == (1, 1)
