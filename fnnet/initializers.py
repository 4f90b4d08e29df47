"""How parameters start: each initializer is a spec, so its scale can be swept like any number.

`initializer(key, shape, dtype, fan_in, fan_out) -> array`. With fan_in = I inputs and fan_out = O
outputs of a layer, the variance that keeps signals at the same scale from layer to layer is

    LeCun    gain / I            gain 1   linear and SELU layers
    Glorot   gain / ((I + O)/2)  gain 1   sigmoid and tanh: a compromise between forward and backward
    He       gain / I            gain 2   ReLU: half of the signal is cut off, so twice the variance

A normal initializer draws from N(0, variance), a uniform one from [-a, a] with a = sqrt(3 variance).
This gain multiplies the variance: it is the square of PyTorch's, as of Orthogonal's, which multiply the deviation.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from fnnet._spec import check_range, spec
from fnnet._values import at_least_float32
from fnnet._xla.one_row import drawn
from fnnet.protocols import Key, Number, Shape

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Orthogonal",
    "Uniform",
    "Zeros",
]


class _DrawNormal:
    """N(0, variance), with the variance that the spec computes from the fans."""

    gain: Number
    variance: Callable[[int, int], Number]

    def check(self) -> None:
        check_range(self, "gain", low=0)

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        deviation = jnp.sqrt(jnp.asarray(self.variance(fan_in, fan_out), dtype))
        return deviation * drawn(jax.random.normal, key, shape, dtype)


class _DrawUniform(_DrawNormal):
    """Uniform on [-a, a], whose variance is a^2 / 3."""

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        bound = jnp.sqrt(3 * jnp.asarray(self.variance(fan_in, fan_out), dtype))
        return bound * drawn(jax.random.uniform, key, shape, dtype, minval=-1, maxval=1)


@spec
class HeNormal(_DrawNormal):
    """Normal of variance gain / fan_in, gain 2 for ReLU. Source: He, Zhang, Ren, Sun 2015, arXiv 1502.01852."""

    gain: Number = 2.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return self.gain / fan_in


@spec
class HeUniform(_DrawUniform):
    """Uniform of variance gain / fan_in, gain 2 for ReLU. Source: He, Zhang, Ren, Sun 2015, arXiv 1502.01852."""

    gain: Number = 2.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return self.gain / fan_in


@spec
class GlorotNormal(_DrawNormal):
    """Normal of variance 2 gain / (fan_in + fan_out), gain 1. Source: Glorot, Bengio 2010, AISTATS."""

    gain: Number = 1.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return 2 * self.gain / (fan_in + fan_out)


@spec
class GlorotUniform(_DrawUniform):
    """Uniform of variance 2 gain / (fan_in + fan_out), gain 1. Source: Glorot, Bengio 2010, AISTATS."""

    gain: Number = 1.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return 2 * self.gain / (fan_in + fan_out)


@spec
class LecunNormal(_DrawNormal):
    """Normal of variance gain / fan_in, gain 1. Source: LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp."""

    gain: Number = 1.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return self.gain / fan_in


@spec
class LecunUniform(_DrawUniform):
    """Uniform of variance gain / fan_in, gain 1. Source: LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp."""

    gain: Number = 1.0

    def variance(self, fan_in: int, fan_out: int) -> Number:
        return self.gain / fan_in


@spec
class Normal:
    """N(mean, deviation^2), whatever the fans: `Normal(0.5)` is what tutorials write as randn * 0.5."""

    deviation: Number = 1.0
    mean: Number = 0.0

    def check(self) -> None:
        check_range(self, "deviation", low=0)

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        array = drawn(jax.random.normal, key, shape, dtype)
        return jnp.asarray(self.mean, dtype) + jnp.asarray(self.deviation, dtype) * array


@spec
class Uniform:
    """Uniform on [low, high): `Uniform(0, 0.5)` is what tutorials write as rand * 0.5."""

    low: Number = 0.0
    high: Number = 1.0

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        return low + (high - low) * drawn(jax.random.uniform, key, shape, dtype)


@spec
class Orthogonal:
    """gain times a matrix with orthonormal rows or columns, whichever are fewer.

    The array is treated as a matrix whose columns are the last axis. The matrix is the Q of a Gaussian
    matrix's QR with the signs of R's diagonal moved into it, which makes it uniform among all
    orthogonal ones. Source: Saxe, McClelland, Ganguli 2013, arXiv 1312.6120; signs: Mezzadri 2007.

    Raises ValueError for arrays of fewer than two axes.
    """

    gain: Number = 1.0

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected two axes or more, got shape {shape}; use it for weights")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        wide = at_least_float32(dtype)  # QR does not support bfloat16
        # on a CPU, QR of a batch waits for threads of the pool that it occupies: on as many devices as threads, forever
        one_by_one = jax.custom_batching.sequential_vmap(lambda a: tuple(jnp.linalg.qr(a)))
        q, r = one_by_one(jax.random.normal(key, (max(rows, columns), min(rows, columns)), wide))
        q = (q * jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(wide)[None, :]).astype(dtype)
        return jnp.asarray(self.gain, dtype) * (q if rows >= columns else q.T).reshape(shape)


@spec
class Zeros:
    """All zeros, the default for biases."""

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        return jnp.zeros(shape, dtype)


@spec
class Constant:
    """Every entry the same value. Weights that start equal stay equal: for biases only."""

    value: Number

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int) -> Array:
        return jnp.broadcast_to(jnp.asarray(self.value, dtype), shape)
