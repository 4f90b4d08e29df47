"""Preprocessing as layers, so that it travels with the model: bytes to numbers, any scale to one, images to rows."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from fnnet._spec import Static, check_range, spec, static
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


@spec
class Reshape:
    """Every row in another shape, in C order: `Reshape((28, 28, 1))` gives gray images their channel."""

    shape: tuple[int, ...] = static()

    formulas = ("y = reshape(x)", "dx = reshape(dy)")

    def check(self) -> None:
        if not isinstance(self.shape, tuple) or not all(type(n) is int and n > 0 for n in self.shape):
            raise ValueError(f"Reshape: expected shape to be a tuple of ints above 0, got {self.shape!r}")

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        """Raises ValueError where the shapes do not hold as many numbers as each other."""
        if math.prod(in_shape) != math.prod(self.shape):
            raise ValueError(
                f"Reshape.init: expected rows of {math.prod(self.shape)} numbers for {self.shape}, got {in_shape}"
            )
        return (), self.shape

    def forward(
        self, params: tuple[()], x: Num[Array, "B ..."], *, key: Key | None = None
    ) -> tuple[Num[Array, "B ..."], Static]:
        """The same numbers as (B, *shape). Keeps the shape of x."""
        return x.reshape(x.shape[0], *self.shape), Static(x.shape)

    def backward(
        self, params: tuple[()], shape: Static, dy: Float[Array, "B ..."]
    ) -> tuple[tuple[()], Float[Array, "B ..."]]:
        """dx = dy in the shape that x had: entry for entry the same number."""
        return (), dy.reshape(shape.value)


@spec
class LastStep:
    """The last step of every sequence, (B, T, F) to (B, F): step T - 1 of each row, even where that is padding."""

    formulas = ("y = last step of x", "dx = dy at the last step, 0 before it")

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        """Raises ValueError for rows that are no sequences of at least one step."""
        if not in_shape or in_shape[0] < 1:
            raise ValueError(f"LastStep.init: expected rows of (T, F), T above 0, got in_shape {in_shape}")
        return (), tuple(in_shape[1:])

    def forward(
        self, params: tuple[()], x: Num[Array, "B T *rest"], *, key: Key | None = None
    ) -> tuple[Num[Array, "B *rest"], Static]:
        """y_bf = x_b,T-1,f. Keeps T."""
        return x[:, -1], Static(x.shape[1])

    def backward(
        self, params: tuple[()], steps: Static, dy: Float[Array, "B *rest"]
    ) -> tuple[tuple[()], Float[Array, "B T *rest"]]:
        """dx_btf = dy_bf at t = T - 1, else 0: no other step is seen."""
        return (), jnp.pad(dy[:, None], ((0, 0), (steps.value - 1, 0), *((0, 0),) * (dy.ndim - 1)))


@spec
class Standardize:
    """y = (x - mean) / deviation: inputs of any scale get mean 0, standard deviation 1; `standardize(x)` fits it.

    mean, deviation  mean and standard deviation, each one number for all or an array of the shape of one row
    """

    mean: Number
    deviation: Number

    formulas = ("y = (x - mean) / deviation", "dx = dy / deviation")

    def check(self) -> None:
        check_range(self, "deviation", low=0, low_open=True)

    def init(self, key: Key, in_shape: tuple[int, ...]) -> tuple[tuple[()], tuple[int, ...]]:
        """Raises ValueError where mean and deviation were fitted to rows of another shape."""
        for name, value in (("mean", self.mean), ("deviation", self.deviation)):
            if jnp.shape(value) not in ((), tuple(in_shape)):
                raise ValueError(
                    f"Standardize.init: expected {name} to be a number or of the rows' shape {tuple(in_shape)}, "
                    f"got {jnp.shape(value)}; fit it to the rows that it gets: fnnet.standardize(x)"
                )
        return (), in_shape

    def forward(
        self, params: tuple[()], x: Num[Array, "B *shape"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *shape"], Static]:
        """y = (x - mean) / deviation; integers take the mean's dtype. Keeps whether x was integer."""
        is_integer = not jnp.issubdtype(x.dtype, jnp.floating)
        dtype = jnp.result_type(self.mean, float) if is_integer else x.dtype
        mean, deviation = (jnp.asarray(value, dtype)[None] for value in (self.mean, self.deviation))
        return (x.astype(dtype) - _rows(mean, x)) / _rows(deviation, x), Static(is_integer)

    def backward(
        self, params: tuple[()], is_integer: Static, dy: Float[Array, "B *shape"]
    ) -> tuple[tuple[()], Float[Array, "B *shape"] | None]:
        """dx = dy / deviation, or None where x is integer.

        y_bi = (x_bi - mean_i) / deviation_i, so ∂y_bi/∂x_bi = 1 / deviation_i, and no other entry of x moves y_bi.
        """
        return (), None if is_integer.value else dy / _rows(jnp.asarray(self.deviation, dy.dtype)[None], dy)


def _rows(number: Array, x: Array) -> Array:
    """(1, ...) of x's rank, to be broadcast over the rows."""
    return number.reshape(1, *number.shape[1:], *(1,) * (x.ndim - number.ndim))


def standardize(x: ArrayLike) -> Standardize:
    """The `Standardize` that gives every entry of the rows of x mean 0 and deviation 1 over the rows.

    x  (N, ...) real numbers: the inputs of the training set, not of the test set

    An entry that is the same in all rows becomes 0 (its deviation is set to 1). Computed in float64. Raises ValueError
    for an array without rows, and for NaN and infinite numbers; TypeError for anything but real numbers.
    """
    a = np.asarray(x)
    if a.dtype.kind not in "biuf" and not jnp.issubdtype(a.dtype, jnp.floating):
        raise TypeError(f"standardize: expected real numbers, got {a.dtype}; pass the x of a Batch")
    if a.ndim == 0 or len(a) == 0:
        raise ValueError(f"standardize: expected (N, ...) with rows, got {a.shape}")
    a = a.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(a))
    if len(wrong):
        row, *place = wrong[0].tolist()
        raise ValueError(f"standardize: x has {a[tuple(wrong[0])]} in row {row}, entry {tuple(place)}; fill it in")
    is_constant = a.min(axis=0) == a.max(axis=0)
    return Standardize(np.where(is_constant, a[0], a.mean(axis=0)), np.where(is_constant, 1.0, a.std(axis=0)))
