"""Normalization: entries of mean 0 and variance 1, over whatever a layer takes together, then a scale and a shift.

All but `RmsNorm` share one derivation. With n entries taken together, mean m, variance v and h = (x - m) / s, where
s = sqrt(v + epsilon), an entry x_i moves y = scale h + shift along three paths: directly, through m, and through v. For
dh = scale dy they give

    direct     dh_i / s
    through m  -sum_j dh_j / (n s)          since ∂m/∂x_i = 1 / n
    through v  -h_i sum_j dh_j h_j / (n s)  since ∂v/∂x_i = 2 (x_i - m) / n and ∂h_j/∂v = -h_j / (2 s^2)

    dx = (dh - mean(dh) - h mean(dh h)) / s

(v depends on m, too, but its derivative there is the sum of the deviations, which is 0.) So dx has no component along
the ones and, but for epsilon, none along h: adding a constant to x changes nothing, and scaling it almost nothing.

scale_c and shift_c act on channel c in every row (and place) b, and y_bc = scale_c h_bc + shift_c, so

    dscale_c = sum_b dy_bc h_bc      dshift_c = sum_b dy_bc

The variance is the mean of squared deviations, never E[x^2] - E[x]^2, which loses all digits where the mean is large.
Everything is computed in float32 or better. Sources: Ioffe, Szegedy 2015, arXiv 1502.03167 (batch); Ba, Kiros, Hinton
2016, arXiv 1607.06450 (layer); Wu, He 2018, arXiv 1803.08494 (group); Zhang, Sennrich 2019, arXiv 1910.07467 (RMS).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._spec import check_floating, check_range, spec, static
from fnnet._values import at_least_float32
from fnnet._xla.channel_sums import channel_sums
from fnnet.layers.dense import check_sizes
from fnnet.protocols import Key, Number, Params, Shape, Statistics

Axes = tuple[int, ...]


class NormParams(NamedTuple):
    """scale (C,), shift (C,): what y = scale * h + shift learns, one entry per channel."""

    scale: Params
    shift: Params


class RmsNormParams(NamedTuple):
    """scale (C,)."""

    scale: Params


class BatchNormParams(NamedTuple):
    """scale (C,), shift (C,), and the running statistics, which no gradient moves."""

    scale: Params
    shift: Params
    statistics: Statistics


class BatchNormResiduals(NamedTuple):
    """h, 1 / s, and the statistics of the batch (None without a key)."""

    h: Array
    inverse: Array
    batch: Statistics | Any


class _Norm:
    """What the normalizations share: an epsilon, and parameters that start as the identity."""

    epsilon: Number

    def check(self) -> None:
        check_range(self, "epsilon", low=0, low_open=True, required=True)

    def init(self, key: Key, in_shape: Shape) -> tuple[Any, Shape]:
        """(scales of 1 and shifts of 0, in_shape); in_shape (..., C)."""
        if not in_shape:
            raise ValueError(f"{type(self).__name__}.init: expected rows of at least one number, got in_shape ()")
        return NormParams(jnp.ones(in_shape[-1:]), jnp.zeros(in_shape[-1:])), in_shape


@spec
class BatchNorm(_Norm):
    """Each channel normalized to mean 0 and variance 1 over the batch and all positions, then scaled and shifted.

    decay    of the running statistics, after every update: decay * old + (1 - decay) * that of the batch
    epsilon  added to the variance

    With a key (training) the statistics are the batch's own, biased (divided by n); without, the running ones. Weights
    of rows are ignored in them: every row of a batch counts equally, padding rows (copies of rows of the data)
    included. A batch of one row without spatial axes has variance 0, and no gradient reaches the layers before it. The
    running statistics are `Statistics`: their gradients are 0, no optimizer sees them, and they stay float32 in
    bfloat16.
    """

    decay: Number = 0.9
    epsilon: Number = 1e-5

    formulas = (
        "h = (x - mean_b(x)) / sqrt(mean_b((x - mean_b(x))^2) + epsilon); y = scale * h + shift",
        "dscale = sum_b(dy * h); dshift = sum_b(dy); dh = scale * dy; "
        "dx = (dh - mean_b(dh) - h * mean_b(dh * h)) / sqrt(mean_b((x - mean_b(x))^2) + epsilon)",
    )

    def check(self) -> None:
        super().check()
        check_range(self, "decay", low=0, high=1, required=True)

    def init(self, key: Key, in_shape: Shape) -> tuple[BatchNormParams, Shape]:
        """(BatchNormParams, in_shape); in_shape (..., C); running mean 0 and variance 1."""
        (scale, shift), _ = super().init(key, in_shape)
        return BatchNormParams(scale, shift, Statistics(jnp.zeros_like(shift), jnp.ones_like(scale))), in_shape

    def forward(
        self, params: BatchNormParams, x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *size C"], BatchNormResiduals]:
        """y_bc = scale_c h_bc + shift_c, h_bc = (x_bc - m_c) / sqrt(v_c + epsilon). Keeps h, 1 / s, m and v."""
        _check_channels(self, params.scale, x)
        if key is None:
            h, inverse = _by_statistics(params.statistics, x, self.epsilon)
            return _scaled(params, h, x), BatchNormResiduals(h, inverse, None)
        batch = _batch_statistics(x)
        h, inverse = _by_statistics(batch, x, self.epsilon)
        return _scaled(params, h, x), BatchNormResiduals(h, inverse, batch)

    def backward(
        self, params: BatchNormParams, residuals: BatchNormResiduals, dy: Float[Array, "B *size C"]
    ) -> tuple[BatchNormParams, Float[Array, "B *size C"]]:
        """(BatchNormParams of gradients, dx).

            dscale_c = sum_b dy_bc h_bc,  dshift_c = sum_b dy_bc
            dx = scale (dy - dshift / n - h dscale / n) / s      with a key
            dx = scale dy / s                                    without: the running m and v do not depend on x

        The first is (dh - mean(dh) - h mean(dh h)) / s from above with dh = scale dy: over the n rows and places of a
        channel, scale is one number, so the two means are scale dshift / n and scale dscale / n. The running statistics
        get zeros: they follow the batches, by `absorb`, and are never learned.
        """
        h, inverse, batch = residuals
        dscale, dshift, dh = _scale_gradients(params.scale, h, dy)
        zeros = jax.tree.map(jnp.zeros_like, params.statistics)
        if batch is not None:
            n, scale = dy.size // dy.shape[-1], params.scale.astype(h.dtype)
            dh = dh - _per_channel(scale * dshift / n, h) - h * _per_channel(scale * dscale / n, h)
        grads = BatchNormParams(dscale.astype(params.scale.dtype), dshift.astype(params.shift.dtype), zeros)
        return grads, (inverse * dh).astype(dy.dtype)

    def absorb(self, params: BatchNormParams, residuals: BatchNormResiduals) -> BatchNormParams:
        """The running statistics one batch further: r <- decay r + (1 - decay) of the batch."""
        if residuals.batch is None:
            return params

        def moved(running: Array, now: Array) -> Array:
            decay = jnp.asarray(self.decay, running.dtype)
            return decay * running + (1 - decay) * now.astype(running.dtype)

        return params._replace(statistics=jax.tree.map(moved, params.statistics, residuals.batch))


@spec
class LayerNorm(_Norm):
    """Every row (and place) with mean 0 and variance 1 over its channels, then scaled and shifted."""

    epsilon: Number = 1e-5

    formulas = (
        "m = mean_c(x); s = sqrt(mean_c((x - m)^2) + epsilon); h = (x - m) / s; y = scale * h + shift",
        "dscale = sum_b(dy * h); dshift = sum_b(dy); dh = scale * dy; dx = (dh - mean_c(dh) - h * mean_c(dh * h)) / s",
    )

    def forward(
        self, params: NormParams, x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *size C"], tuple[Array, Array]]:
        """y_bc = scale_c h_bc + shift_c, h_bc = (x_bc - m_b) / sqrt(v_b + epsilon). Keeps h and 1 / s."""
        _check_channels(self, params.scale, x)
        h, inverse = _normalized(x, (-1,), self.epsilon)
        return _scaled(params, h, x), (h, inverse)

    def backward(
        self, params: NormParams, residuals: tuple[Array, Array], dy: Float[Array, "B *size C"]
    ) -> tuple[NormParams, Float[Array, "B *size C"]]:
        """dx = (dh - mean(dh) - h mean(dh h)) / s with dh = scale dy, means over channels; see above."""
        h, inverse = residuals
        dscale, dshift, dh = _scale_gradients(params.scale, h, dy)
        return _like(params, dscale, dshift), _input_gradient(h, inverse, dh, (-1,)).astype(dy.dtype)


@spec
class GroupNorm(_Norm):
    """Each group of channels of each row normalized over its channels and positions, then scaled and shifted.

    groups   number of equal parts that the channels are split into: 1 normalizes all together, C each on its own
    epsilon  added to the variance
    """

    groups: int = static()
    epsilon: Number = 1e-5

    formulas = (
        "s = sqrt(variance of the group + epsilon); h = (x - mean of the group) / s; y = scale * h + shift",
        "dscale = sum_b(dy * h); dshift = sum_b(dy); dh = scale * dy; "
        "dx = (dh - mean(dh) - h * mean(dh * h)) / s, means over the group",
    )

    def check(self) -> None:
        super().check()
        check_sizes(self, "groups")

    def init(self, key: Key, in_shape: Shape) -> tuple[NormParams, Shape]:
        params, _ = super().init(key, in_shape)
        if in_shape[-1] % self.groups:
            raise ValueError(f"GroupNorm.init: expected channels divisible by groups={self.groups}, got {in_shape[-1]}")
        return params, in_shape

    def forward(
        self, params: NormParams, x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *size C"], tuple[Array, Array]]:
        """y = scale h + shift; h has mean 0 and variance 1 over each group of each row. Keeps h and 1 / s."""
        _check_channels(self, params.scale, x)
        grouped, axes = self._grouped(x)
        h, inverse = _normalized(grouped, axes, self.epsilon)
        h = h.reshape(x.shape)
        return _scaled(params, h, x), (h, inverse)

    def backward(
        self, params: NormParams, residuals: tuple[Array, Array], dy: Float[Array, "B *size C"]
    ) -> tuple[NormParams, Float[Array, "B *size C"]]:
        """dx = (dh - mean(dh) - h mean(dh h)) / s with dh = scale dy, means over group and places; see above."""
        h, inverse = residuals
        dscale, dshift, dh = _scale_gradients(params.scale, h, dy)
        (h, axes), (dh, _) = self._grouped(h), self._grouped(dh)
        dx = _input_gradient(h, inverse, dh, axes).reshape(dy.shape)
        return _like(params, dscale, dshift), dx.astype(dy.dtype)

    def _grouped(self, x: Array) -> tuple[Array, Axes]:
        """(B, *size, groups, C / groups), and the axes of one group."""
        grouped = x.reshape(*x.shape[:-1], self.groups, -1)
        return grouped, (*range(1, x.ndim - 1), grouped.ndim - 1)


@spec
class RmsNorm(_Norm):
    """Every row (and place) with mean square 1 over its channels, then scaled: layer norm without the mean."""

    epsilon: Number = 1e-5

    formulas = (
        "s = sqrt(mean_c(x^2) + epsilon); h = x / s; y = scale * h",
        "dscale = sum_b(dy * h); dh = scale * dy; dx = (dh - h * mean_c(dh * h)) / s",
    )

    def init(self, key: Key, in_shape: Shape) -> tuple[RmsNormParams, Shape]:
        params, _ = super().init(key, in_shape)
        return RmsNormParams(params.scale), in_shape

    def forward(
        self, params: RmsNormParams, x: Float[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *size C"], tuple[Array, Array]]:
        """y_bc = scale_c h_bc, h_bc = x_bc / s_b, s_b = sqrt(mean_c(x_bc^2) + epsilon). Keeps h and 1 / s."""
        _check_channels(self, params.scale, x)
        wide = _wide(x)
        mean_square = (wide * wide).mean(-1, keepdims=True)
        inverse = 1 / jnp.sqrt(mean_square + jnp.asarray(self.epsilon, wide.dtype))
        h = wide * inverse
        return (_per_channel(params.scale, h) * h).astype(x.dtype), (h, inverse)

    def backward(
        self, params: RmsNormParams, residuals: tuple[Array, Array], dy: Float[Array, "B *size C"]
    ) -> tuple[RmsNormParams, Float[Array, "B *size C"]]:
        """dx = (dh - h mean(dh h)) / s with dh = scale dy: no mean is taken off, so no path goes through one."""
        h, inverse = residuals
        dscale, _, dh = _scale_gradients(params.scale, h, dy)
        dx = inverse * (dh - h * (dh * h).mean(-1, keepdims=True))
        return RmsNormParams(dscale.astype(params.scale.dtype)), dx.astype(dy.dtype)


def _normalized(x: Array, axes: Axes, epsilon: Number) -> tuple[Array, Array]:
    """(h, 1 / s), the axes kept with length 1."""
    x = _wide(x)
    centered = x - x.mean(axes, keepdims=True)
    variance = (centered * centered).mean(axes, keepdims=True)
    inverse = 1 / jnp.sqrt(variance + jnp.asarray(epsilon, x.dtype))
    return centered * inverse, inverse


def _batch_statistics(x: Array) -> Statistics:
    """Mean and biased variance of every channel, (C,)."""
    x, n = _wide(x), x.size // x.shape[-1]
    mean = channel_sums(x) / n
    centered = x - _per_channel(mean, x)
    return Statistics(mean, channel_sums(centered * centered) / n)


def _by_statistics(statistics: Statistics, x: Array, epsilon: Number) -> tuple[Array, Array]:
    """(h, 1 / s) of every channel."""
    x = _wide(x)
    mean, variance = (_per_channel(a, x) for a in statistics)
    inverse = 1 / jnp.sqrt(variance + jnp.asarray(epsilon, x.dtype))
    return (x - mean) * inverse, inverse


def _input_gradient(h: Array, inverse: Array, dh: Array, axes: Axes) -> Array:
    """dx = (dh - mean(dh) - h mean(dh h)) / s, the means over axes."""
    return inverse * (dh - dh.mean(axes, keepdims=True) - h * (dh * h).mean(axes, keepdims=True))


def _scaled(params: Any, h: Array, x: Array) -> Array:
    """y = scale h + shift in x's dtype."""
    return (_per_channel(params.scale, h) * h + _per_channel(params.shift, h)).astype(x.dtype)


def _scale_gradients(scale: Array, h: Array, dy: Array) -> tuple[Array, Array, Array]:
    """(dscale, dshift, dh) in h's dtype: sums over all axes but the channels', and scale dy."""
    d = dy.astype(h.dtype)
    return channel_sums(d * h), channel_sums(d), _per_channel(scale, h) * d


def _like(params: NormParams, dscale: Array, dshift: Array) -> NormParams:
    return NormParams(dscale.astype(params.scale.dtype), dshift.astype(params.shift.dtype))


def _per_channel(a: Array, x: Array) -> Array:
    """(C,) in x's dtype and rank."""
    return a.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def _wide(x: Array) -> Array:
    return x.astype(at_least_float32(x.dtype))


def _check_channels(layer: Any, scale: Array, x: Array) -> None:
    owner = f"{type(layer).__name__}.forward"
    check_floating(layer, x)
    if x.shape[-1:] != scale.shape:
        raise ValueError(f"{owner}: expected rows of {scale.shape[0]} channels, got x of shape {x.shape}")
