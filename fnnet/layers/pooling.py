"""Pooling: one number for many neighbors, channel by channel.

Output h sees, at position i of its window, entry m = h s + i - p of the image, with stride s and padding p; each letter
stands for one number per axis.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fnnet._spec import Static, check_floating, spec, static
from fnnet._windows import Pair, Window, check_padding, pair_of, window_over
from fnnet._xla.interleaving import largest, summed
from fnnet.protocols import Key, Shape


class _Pool:
    """What pooling over windows shares: no parameters, settings, and the shape of the output."""

    size: tuple[int, ...]
    stride: int | tuple[int, ...] | None
    padding: str | tuple[Pair, ...]

    def check(self) -> None:
        owner, size = type(self).__name__, self.size
        if not isinstance(size, tuple) or len(size) not in (1, 2) or not all(type(n) is int and n > 0 for n in size):
            raise ValueError(
                f"{owner}: expected size to be (height, width) for images or (length,) for sequences, got {size!r}"
            )
        if self.stride is not None:
            pair_of(owner, "stride", self.stride, 1, len(size))
        check_padding(owner, self.padding, len(size))

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        """in_shape (H, W, C) or (T, C). Raises ValueError where the window does not fit."""
        window, image = self._over(in_shape[:-1])
        return (), (*window.outputs(image)[-len(self.size) :], in_shape[-1])

    def _over(self, image: Shape) -> tuple[Window, Pair]:
        """The window, and the image's size with a height of 1 for a sequence."""
        owner, stride = type(self).__name__, self.size if self.stride is None else self.stride
        window = window_over(owner, image, self.size, stride, 1, self.padding)
        if any(low >= k or high >= k for k, (low, high) in zip(window.size, window.padding, strict=True)):
            raise ValueError(
                f"{owner}: expected padding smaller than the window {self.size}, got {self.padding!r}: some windows "
                f"would see nothing else"
            )
        height, width = (1, *image)[-2:]
        return window, (height, width)


@spec
class MaxPool(_Pool):
    """The largest entry of every window. Padding never wins, except where nothing in a window is above -inf.

    size      of the window: (2, 2) for images (B, H, W, C), (2,) for sequences (B, T, C)
    stride    how far the window moves; None: its own size
    padding   "same", "valid" or (before, after) for each axis
    """

    size: tuple[int, ...] = static()
    stride: int | tuple[int, ...] | None = static(default=None)
    padding: str | tuple[Pair, ...] = static(default="valid")

    formulas = ("y = largest x in the window", "dx = dy where x was the first largest")

    def forward(
        self, params: tuple[()], x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *out C"], tuple[Array, Static]]:
        """y_bhc = max_i x_b,hs+i-p,c. Keeps at which position of its window each largest entry stands, the first of
        equals."""
        check_floating(self, x)
        window, image = self._over(x.shape[1:-1])
        padded, out = window.padded(x.reshape(-1, *image, x.shape[-1]), -jnp.inf), window.outputs(image)
        kind = jnp.int8 if math.prod(window.size) < 128 else jnp.int32
        y, winner = largest(padded, window, out), jnp.zeros((), kind)
        for number, position in reversed([*enumerate(window.positions())]):
            winner = jnp.where(window.seen(padded, position, out) == y, jnp.asarray(number, kind), winner)
        return y.reshape(*_shape(x, out)), (winner, Static(x.shape))

    def backward(
        self, params: tuple[()], residuals: tuple[Array, Static], dy: Float[Array, "B *out C"]
    ) -> tuple[tuple[()], Float[Array, "B *size C"]]:
        """dx_bmc = sum_hi dy_bhc [i is the winner of window h, for b and c]  over hs + i - p = m.

        y_bhc equals one entry of its window, with slope 1; all others could move a little and change nothing. Of equal
        entries the first takes it all (a convention; their derivatives differ by side). Where windows overlap, an entry
        may win several times, and the gradients add up.
        """
        winner, shape = residuals
        window, image = self._over(shape.value[1:-1])
        dy = dy.reshape(winner.shape)
        numbers = jnp.arange(math.prod(window.size), dtype=winner.dtype)
        parts = [jnp.where(winner == number, dy, 0) for number in numbers]
        return (), summed(parts, window, image).reshape(shape.value)


@spec
class MeanPool(_Pool):
    """Average pooling: the mean over every window; padding does not count.

    size, stride, padding   as in `MaxPool`
    """

    size: tuple[int, ...] = static()
    stride: int | tuple[int, ...] | None = static(default=None)
    padding: str | tuple[Pair, ...] = static(default="valid")

    formulas = ("y = mean of x in the window", "dx = dy / entries of the window, from every window")

    def forward(
        self, params: tuple[()], x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *out C"], Static]:
        """y_bhc = sum_i x_b,hs+i-p,c / n_h, n_h entries of window h not being padding. Keeps the shape of x."""
        check_floating(self, x)
        window, image = self._over(x.shape[1:-1])
        padded, out = window.padded(x.reshape(-1, *image, x.shape[-1])), window.outputs(image)
        total = sum((window.seen(padded, place, out) for place in window.positions()), jnp.zeros((), x.dtype))
        return (total / _entries(window, image, x.dtype)).reshape(*_shape(x, out)), Static(x.shape)

    def backward(
        self, params: tuple[()], shape: Static, dy: Float[Array, "B *out C"]
    ) -> tuple[tuple[()], Float[Array, "B *size C"]]:
        """dx_bmc = sum_hi dy_bhc / n_h  over hs + i - p = m: every entry of a window moves its mean by 1 / n_h."""
        window, image = self._over(shape.value[1:-1])
        dy = dy.reshape(-1, *window.outputs(image), dy.shape[-1]) / _entries(window, image, dy.dtype)
        return (), summed([dy for _ in window.positions()], window, image).reshape(shape.value)


class _GlobalPool:
    """What pooling over whole images shares: (H, W, C) or (T, C) becomes (C,)."""

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        if len(in_shape) < 2:
            raise ValueError(
                f"{type(self).__name__}.init: expected rows of shape (H, W, C) or (T, C), got {in_shape}; put it after "
                f"the convolutions, before Flatten"
            )
        return (), in_shape[-1:]


@spec
class GlobalMeanPool(_GlobalPool):
    """The mean of every channel over its whole image: a network of any image size ends in (B, C)."""

    formulas = ("y = mean of x over places", "dx = dy / places")

    def forward(
        self, params: tuple[()], x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B C"], Static]:
        """y_bc = sum_m x_bmc / M, M places. Keeps the shape of x."""
        check_floating(self, x)
        return x.mean(tuple(range(1, x.ndim - 1))), Static(x.shape)

    def backward(
        self, params: tuple[()], shape: Static, dy: Float[Array, "B C"]
    ) -> tuple[tuple[()], Float[Array, "B *size C"]]:
        """dx_bmc = dy_bc / M: every one of the M places moves the mean by 1 / M."""
        rows, *size, channels = shape.value
        dy = (dy / math.prod(size)).reshape(rows, *(1 for _ in size), channels)
        return (), jnp.broadcast_to(dy, shape.value)


@spec
class GlobalMaxPool(_GlobalPool):
    """The largest entry of every channel over its whole image, wherever it stands."""

    formulas = ("y = largest x over places", "dx = dy where x was the first largest")

    def forward(
        self, params: tuple[()], x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B C"], tuple[Int[Array, "B C"], Static]]:
        """y_bc = max_m x_bmc. Keeps the place of the largest, the first of equals."""
        check_floating(self, x)
        places = x.reshape(x.shape[0], -1, x.shape[-1])
        winner = jnp.argmax(places, 1).astype(jnp.int32)
        return places.max(1), (winner, Static(x.shape))

    def backward(
        self, params: tuple[()], residuals: tuple[Int[Array, "B C"], Static], dy: Float[Array, "B C"]
    ) -> tuple[tuple[()], Float[Array, "B *size C"]]:
        """dx_bmc = dy_bc where m is the winner, else 0; see `MaxPool.backward`."""
        winner, shape = residuals
        places = jnp.arange(math.prod(shape.value[1:-1]), dtype=jnp.int32)
        dx = jnp.where(places[None, :, None] == winner[:, None], dy[:, None], 0)
        return (), dx.reshape(shape.value)


def _shape(x: Array, out: Pair) -> Shape:
    """Of what is pooled from x: without the height where x is a sequence."""
    return x.shape[0], *out[4 - x.ndim :], x.shape[-1]


def _entries(window: Window, image: Pair, dtype: jnp.dtype) -> Float[Array, "1 h w 1"]:
    """How many entries of every window are no padding."""
    ones, out = window.padded(jnp.ones((1, *image, 1), dtype)), window.outputs(image)
    return sum((window.seen(ones, place, out) for place in window.positions()), jnp.zeros((), dtype))
