"""The three convolutions of a layer, each in the form that is fastest for its shape.

Works around: no form is the fastest everywhere. On a CPU `banded` is, where channels are few; `canonical` for the rest;
              and grouped convolutions are separate ones, depthwise ones sums of shifted images, since XLA's own take
              40 times as long (47 ms and 1.2 ms for nine shifts).
Gains:        `python -m experiments.benchmarks.convolutions --forms` measures what the choice comes from.
Can go:       when XLA chooses as well. The plain version, a sum over the positions of the kernel, is in
              tests/_xla/plain_convolutions.py.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._windows import Pair, Window
from fnnet._xla import banded, canonical


def convolved(
    x: Float[Array, "B H W C"], w: Float[Array, "k l I O"], window: Window, groups: int
) -> Float[Array, "B h w O"]:
    """y_bhwo = sum_ijc x_b,hs+id-p,ws+jd-p,c w_ijco; with groups, over the I = C / groups channels of o's group."""
    if groups > 1:
        return _depthwise(x, w, window, groups) if w.shape[2] == 1 else _by_group(convolved, (x, w), window, groups)
    t = banded.outputs_at_once(w, window) if _on_cpu() else None
    return canonical.convolved(x, w, window) if t is None else banded.convolved(x, w, window, t)


def kernel_gradient(
    x: Float[Array, "B H W C"], dy: Float[Array, "B h w O"], w: Float[Array, "k l I O"], window: Window, groups: int
) -> Float[Array, "k l I O"]:
    """dw_ijco = sum_bhw x_b,hs+id-p,ws+jd-p,c dy_bhwo."""
    if groups > 1 and w.shape[2] == 1:
        return _depthwise_kernel(x, dy, w, window, groups)
    if groups > 1:
        return _by_group(kernel_gradient, (x, dy, w), window, groups)
    t = banded.outputs_at_once(w, window) if _on_cpu() else None
    return canonical.kernel_gradient(x, dy, window) if t is None else banded.kernel_gradient(x, dy, window, t)


def input_gradient(
    dy: Float[Array, "B h w O"], w: Float[Array, "k l I O"], image: Pair, window: Window, groups: int
) -> Float[Array, "B H W C"]:
    """dx_bmnc = sum dy_bhwo w_ijco over hs + id - p = m and ws + jd - p = n, for images of (H, W)."""
    if groups > 1 and w.shape[2] == 1:
        return _depthwise_input(dy, w, image, window, groups)
    if groups > 1:
        return _by_group(lambda dy, w, *rest: input_gradient(dy, w, image, *rest), (dy, w), window, groups)
    form = banded if _on_cpu() and banded.is_narrow(dy, w, image, window) else canonical
    return form.input_gradient(dy, w, image, window)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _by_group(f: Callable[..., Array], arrays: tuple[Array, ...], window: Window, groups: int) -> Array:
    """f of every group's part of the arrays, side by side; the channels are their last axis."""
    parts = zip(*(jnp.split(a, groups, -1) for a in arrays), strict=True)
    return jnp.concatenate([f(*part, window, 1) for part in parts], -1)


def _depthwise(x: Array, w: Array, window: Window, groups: int) -> Array:
    """One channel per group: what all outputs see at each position of the kernel, times its weights, added up."""
    x, size = _per_output(x, w, window, groups), window.outputs(x.shape[1:3])
    seen = (window.seen(x, (i, j), size) * w[i : i + 1, j : j + 1] for i, j in window.positions())
    return sum(seen, jnp.zeros((), x.dtype))


def _depthwise_kernel(x: Array, dy: Array, w: Array, window: Window, groups: int) -> Array:
    x, size = _per_output(x, w, window, groups), dy.shape[1:3]
    sums = [(window.seen(x, position, size) * dy).sum((0, 1, 2)) for position in window.positions()]
    return jnp.stack(sums).reshape(w.shape)


def _depthwise_input(dy: Array, w: Array, image: Pair, window: Window, groups: int) -> Array:
    parts = (window.placed(dy * w[i : i + 1, j : j + 1], (i, j), image) for i, j in window.positions())
    dx = sum(parts, jnp.zeros((), dy.dtype))
    return dx.reshape(*dx.shape[:3], groups, -1).sum(-1)


def _per_output(x: Array, w: Array, window: Window, groups: int) -> Array:
    """(B, P, Q, O): the image with its padding, each channel as often as outputs look at it."""
    return jnp.repeat(window.padded(x), w.shape[3] // groups, -1)
