"""Preprocessing as layers, so that it travels with the model: bytes to numbers, images to rows."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from fnnet._spec import Static, spec
from fnnet.protocols import Key, Number, Shape


@spec
class Rescale:
    """y = scale x; turns integers (pixels 0 to 255 with `Rescale(1 / 255)`) into numbers for a `Dense`."""

    scale: Number

    formulas = ("y = scale * x", "dx = scale * dy")

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        return (), in_shape

    def forward(
        self, params: tuple[()], x: Num[Array, "*shape"], *, key: Key | None = None
    ) -> tuple[Float[Array, "*shape"], Static]:
        """y = scale x; integers take the scale's dtype. Keeps whether x was integer."""
        is_integer = not jnp.issubdtype(x.dtype, jnp.floating)
        dtype = jnp.result_type(self.scale, float) if is_integer else x.dtype
        return x.astype(dtype) * jnp.asarray(self.scale, dtype), Static(is_integer)

    def backward(
        self, params: tuple[()], is_integer: Static, dy: Float[Array, "*shape"]
    ) -> tuple[tuple[()], Float[Array, "*shape"] | None]:
        """dx = scale dy, or None where x is integer: an integer cannot change by a little."""
        return (), None if is_integer.value else dy * jnp.asarray(self.scale, dy.dtype)


@spec
class Flatten:
    """Every row as one axis: (B, 28, 28) becomes (B, 784), in C order."""

    formulas = ("y = reshape(x)", "dx = reshape(dy)")

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        return (), (math.prod(in_shape),)

    def forward(
        self, params: tuple[()], x: Num[Array, "B ..."], *, key: Key | None = None
    ) -> tuple[Num[Array, "B I"], Static]:
        """The same numbers as (B, I). Keeps the shape."""
        return x.reshape(x.shape[0], -1), Static(x.shape)

    def backward(
        self, params: tuple[()], shape: Static, dy: Float[Array, "B I"]
    ) -> tuple[tuple[()], Float[Array, "B ..."]]:
        """dx = dy in the shape that x had: entry for entry the same number."""
        return (), dy.reshape(shape.value)
