"""Convolutions of few channels as matrix products, with the kernel spread out along a band.

Works around: with few channels on one side, the vector units of a CPU compute a convolution at a fraction of their
              speed. Several outputs of a row as one product with a banded matrix do more multiplications, some of them
              by 0, and take less time.
Gains:        measured by `python -m experiments.benchmarks.convolutions --forms`, which also says where BANDS and
              NARROW come from.
Can go:       when canonical convolutions are as fast at few channels. The plain version is `canonical`, beside this.

    T[i, p, c, s, o] = w[i, j, c, o]  where p = s stride + j dilation, else 0

is the matrix of a kernel: s counts outputs of a row, p the columns of the image that they see. The gradient of w is
what a gradient of T adds up to along the band.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fnnet._windows import Pair, Window
from fnnet._xla.materialized import materialized

BANDS = {1: 4, 2: 4, 3: 2}
"""Channels of the images -> how many outputs of a row are one product; with more channels, none are."""

NARROW = 24
"""With C channels, products are taken for dx where they multiply up to min(1.5, NARROW / C) times as much as the
canonical form, or 3 times below 8 channels, which leave vector units empty."""


def outputs_at_once(w: Float[Array, "k l C O"], window: Window) -> int | None:
    """How many outputs of a row to compute as one product, or None where the canonical form is as fast."""
    is_plain = window.stride == window.dilation == (1, 1)
    return BANDS.get(w.shape[2]) if is_plain else None


def convolved(
    x: Float[Array, "B H W C"], w: Float[Array, "k l C O"], window: Window, t: int
) -> Float[Array, "B h w O"]:
    """`canonical.convolved` at stride and dilation 1, t outputs of a row in one product."""
    _, l, _, o = w.shape  # noqa: E741
    rows, (h, v, n) = _patches(x, window, t)
    y = rows @ jnp.stack(_spread(w, 1, t + l - 1, t), 3).reshape(-1, t * o)
    return y.reshape(x.shape[0], h, n * t, o)[:, :, :v]


def kernel_gradient(
    x: Float[Array, "B H W C"], dy: Float[Array, "B h w O"], window: Window, t: int
) -> Float[Array, "k l C O"]:
    """`canonical.kernel_gradient` at stride and dilation 1: dT = rows^T dy, summed along the band."""
    (k, l), c, o = window.size, x.shape[3], dy.shape[3]  # noqa: E741
    rows, (_, v, n) = _patches(x, window, t)
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, n * t - v), (0, 0))).reshape(-1, t * o)
    band = (rows.T @ dy).reshape(k, t + l - 1, c, t, o)
    return sum((band[:, s : s + l, :, s] for s in range(t)), jnp.zeros((), x.dtype))


def is_narrow(dy: Float[Array, "B h w O"], w: Float[Array, "k l C O"], image: Pair, window: Window) -> bool:
    """Whether products, with the zeros of their bands, are faster than the canonical dx, with those of its padding."""
    (_, h, v, _), (_, l, c, _) = dy.shape, w.shape  # noqa: E741
    t, n, columns = _blocks(v, l, window)
    limit = min(1.5, NARROW / c) if c >= 8 else NARROW / 8
    return h * n * t * columns <= limit * image[0] * image[1] * l


def input_gradient(
    dy: Float[Array, "B h w O"], w: Float[Array, "k l C O"], image: Pair, window: Window
) -> Float[Array, "B H W C"]:
    """`canonical.input_gradient`: what t entries of a row of dy add to k rows of dx is their product with the band.

        part_bhmipc = sum_so dy_b,h,mt+s,o T_ipcso

    for block m of a row; dx_bqrc adds up the parts with q = h stride + i dilation - top, r = m t stride + p - left.
    """
    (b, h, v, o), (k, l, c, _) = dy.shape, w.shape  # noqa: E741
    (s, stride), dilation, ((top, _), (left, _)) = window.stride, window.dilation[1], window.padding
    t, n, columns = _blocks(v, l, window)
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, n * t - v), (0, 0)))
    band = jnp.stack(_spread(w.transpose(3, 0, 1, 2), 2, columns, t, stride, dilation))
    parts = (dy.reshape(-1, t * o) @ band.reshape(t * o, -1)).reshape(b, h, n, k, columns, c)
    blocks = [window._replace(stride=(s, 1), padding=((top, 0), (left - m * t * stride, 0))) for m in range(n)]
    placed = (block.placed(parts[:, :, m, i], (i, 0), image) for m, block in enumerate(blocks) for i in range(k))
    return materialized(sum(placed, jnp.zeros((), dy.dtype)))  # else pooling adds them up for each of its positions


def _blocks(v: int, l: int, window: Window) -> tuple[int, int, int]:  # noqa: E741
    """(t, n, columns): a row of v entries as n blocks of t, each of which adds to so many columns of dx.

    Blocks of about 4 multiply by few zeros, and what they add to dx is little to write; 8 of them at most, since each
    is a sum of its own.
    """
    t = -(-v // min(8, -(-v // 4)))
    return t, -(-v // t), (t - 1) * window.stride[1] + (l - 1) * window.dilation[1] + 1


def _patches(x: Array, window: Window, t: int) -> tuple[Array, tuple[int, int, int]]:
    """((B h n, k (t + l - 1) C) what t outputs see, (h, v, n)): h rows of v outputs, in n products each."""
    (k, l), (b, _, width, c) = window.size, x.shape  # noqa: E741
    h, v = window.outputs(x.shape[1:3])
    n, more = -(-v // t), -(-(l - 1) // t)
    (top, bottom), (left, _) = window.padding
    end = (n + more) * t - left - width
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, end, 0), (0, 0, 0)))
    blocks = [x[:, :, m * t : (m + n) * t].reshape(b, -1, n, t * c) for m in range(more + 1)]
    columns = jnp.concatenate(blocks, -1)[..., : (t + l - 1) * c]
    rows = jnp.concatenate([columns[:, i : i + h] for i in range(k)], -1)
    return rows.reshape(b * h * n, -1), (h, v, n)


def _spread(w: Array, axis: int, columns: int, outputs: int, stride: int = 1, dilation: int = 1) -> list[Array]:
    """For every output of a row the kernel, put where that output sees the `columns` of an image; axis is that of l."""
    span = (w.shape[axis] - 1) * dilation + 1

    def placed(output: int) -> Array:
        first = output * stride
        edges = [(0, 0, 0)] * w.ndim
        edges[axis] = (first, columns - first - span, dilation - 1)
        return lax.pad(w, jnp.zeros((), w.dtype), edges)

    return [placed(output) for output in range(outputs)]
