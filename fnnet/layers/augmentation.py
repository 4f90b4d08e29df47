"""Distortions: images moved, bent, mirrored or covered, anew for every image of every batch.

    network = Serial((Rescale(1 / 255), Elastic(36, 5, affine=Affine(rotation=10, scale=0.12)), Flatten(), ...))

With a key (training) every image gets a draw of its own; without one (prediction, evaluation) all pass unchanged.
Images are floating, (B, H, W) or (B, H, W, C), so distortions come after Rescale; Noise takes any shape. How far and
how often are numbers: they may be swept, or be schedules.

Every output pixel is a weighted sum of input pixels, and the weights do not depend on the image. So y is linear in x,
and the backward pass uses the same weights.
"""

import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Num

from fnnet._spec import check_floating, check_range, spec
from fnnet._values import at_least_float32
from fnnet._xla.materialized import materialized
from fnnet.protocols import Key, Number, Shape

SPACING = 2  # pixels from one point of Elastic's grid to the next


class _OfImages:
    """What distortions share: no parameters, floating images in, images of the same shape out."""

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        """((), in_shape); in_shape (H, W) or (H, W, C). Raises ValueError for another number of axes."""
        if len(in_shape) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}.init: expected images of shape (H, W) or (H, W, C), got {in_shape}; put it "
                f"before Flatten, or Reshape((28, 28)) before it"
            )
        return (), in_shape


class _Moved(_OfImages):
    """What distortions share that move pixels: each output pixel reads a place (r, s) of the image."""

    places: Callable[..., Float[Array, "2 B H W"]]

    formulas = (
        "y = x at its moved place, interpolated from four pixels",
        "dx = dy added to those four pixels, with the same weights",
    )

    def forward(
        self, params: tuple[()], x: Num[Array, "B H W *C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B H W *C"], Float[Array, "2 B H W"] | None]:
        """y = x read at (r, s), interpolated. Keeps the places r and s."""
        check_floating(self, x)
        if key is None:
            return x, None
        places = self.places(key, x.shape[:3], at_least_float32(x.dtype))
        return interpolate(x, places), places

    def backward(
        self, params: tuple[()], places: Float[Array, "2 B H W"] | None, dy: Float[Array, "B H W *C"]
    ) -> tuple[tuple[()], Float[Array, "B H W *C"]]:
        """dx: every dy added to the four pixels around (r, s), see `interpolate_backward`."""
        return (), dy if places is None else interpolate_backward(dy, places)


@spec
class Affine(_Moved):
    """Images turned, scaled, sheared and shifted, each by numbers of its own, uniform in the ranges given.

    rotation  degrees, to either side
    scale     a fraction: both axes, each by itself, shrink by factors from 1 - scale to 1 + scale
    shear     pixels to either side that each row moves against the one above it
    shift     pixels that the image moves along each axis, to either side

    None: 0. Pixel (i, j), counted from the center of the image, reads the place

        (r, s) = R(theta) ((1 + a) i, (1 + c) j + q i) + (t, u),        R(theta) the rotation by theta

    theta, a and c, q, t and u being uniform in the ranges of rotation, scale, shear and shift, and is interpolated
    between the four pixels around it; outside the image all is 0. torchvision's RandomAffine draws one scale for both
    axes. Sources: Simard, Steinkraus, Platt 2003; Ciresan, Meier, Gambardella, Schmidhuber 2010, arXiv 1003.0358.
    """

    rotation: Number = None
    scale: Number = None
    shear: Number = None
    shift: Number = None

    def check(self) -> None:
        if all(n is None for n in (self.rotation, self.scale, self.shear, self.shift)):
            raise ValueError("Affine: expected at least one range, such as Affine(rotation=10.0, shift=1.0), got none")
        check_range(self, "rotation", low=0, high=180)
        check_range(self, "scale", low=0, high=1, high_open=True)
        check_range(self, "shear", low=0)
        check_range(self, "shift", low=0)

    def places(self, key: Key, shape: Shape, dtype: DTypeLike) -> Float[Array, "2 B H W"]:
        """r and s: row and column that each output pixel reads."""
        b, h, w = shape
        draws = jax.random.uniform(key, (6, b, 1, 1), dtype, -1, 1)
        scale, shear, shift = (jnp.asarray(0 if n is None else n, dtype) for n in (self.scale, self.shear, self.shift))
        turn = None if self.rotation is None else math.pi / 180 * jnp.asarray(self.rotation, dtype) * draws[0]
        cos, sin = (1, 0) if turn is None else (jnp.cos(turn), jnp.sin(turn))
        i, j = _centered(h, dtype)[None, :, None], _centered(w, dtype)[None, None]
        down, right = (1 + scale * draws[1]) * i, (1 + scale * draws[2]) * j + shear * draws[3] * i
        r = cos * down - sin * right + shift * draws[4] + (h - 1) / 2
        s = sin * down + cos * right + shift * draws[5] + (w - 1) / 2
        return jnp.stack([r, s])


@spec
class Elastic(_Moved):
    """Images bent smoothly, as handwriting varies: pixels move by a random field that is smooth over sigma pixels.

    alpha   how far: displacements have a standard deviation of alpha / (sqrt(12 pi) sigma), 0.16 alpha / sigma, pixels
    sigma   of the Gaussian that smooths the field, in pixels, at least 1
    affine  an Affine that moves the image in the same step, so that it is interpolated once; None: none

    Pixel (i, j) reads the place where affine leads it, or (i, j) itself, plus its displacement

        (r, s)_ij += alpha / (2 sqrt(pi) sigma) sum_mn G_im u_mn G_jn,      G_im ~ exp(-(i - m)^2 / (2 sigma^2))

    with u uniform in -1 .. 1 for each axis, m and n on a grid of every second pixel, and the rows of G of length 1, so
    that a pixel near the border moves as far as one in the middle. On a grid of every pixel, inside the image, that is
    the field of Simard, Steinkraus, Platt 2003 (Best practices for convolutional neural networks). For digits of
    28 x 28, alpha 34 to 38 and sigma 4 to 6 are in use. Half as fine, the field costs a quarter.
    """

    alpha: Number
    sigma: Number
    affine: Affine | None = None

    def check(self) -> None:
        check_range(self, "alpha", required=True, low=0)
        check_range(self, "sigma", required=True, low=1)
        if self.affine is not None and not isinstance(self.affine, Affine):
            raise TypeError(
                f"Elastic: expected affine to be an Affine, such as Affine(rotation=10.0), got {self.affine!r}"
            )

    def places(self, key: Key, shape: Shape, dtype: DTypeLike) -> Float[Array, "2 B H W"]:
        """r and s: row and column that each output pixel reads."""
        (b, h, w), keys = shape, jax.random.split(key)
        alpha, sigma = jnp.asarray(self.alpha, dtype), jnp.asarray(self.sigma, dtype)
        rows, columns = _smoothing(h, sigma), _smoothing(w, sigma)
        u = jax.random.uniform(keys[0], (2, b, rows.shape[1], columns.shape[1]), dtype, -1, 1)
        field = alpha / (2 * math.sqrt(math.pi) * sigma) * (rows @ (u @ columns.T))
        if self.affine is not None:
            return self.affine.places(keys[1], shape, dtype) + field
        i, j = jnp.arange(h, dtype=dtype)[None, :, None], jnp.arange(w, dtype=dtype)[None, None]
        return jnp.stack([i + field[0], j + field[1]])


@spec
class Mirror(_OfImages):
    """Images flipped left to right, each with probability `rate`.

    For classes that stay the same when mirrored (clothes, animals), not for digits and letters.
    torchvision's RandomHorizontalFlip is the same.
    """

    rate: Number = 0.5

    formulas = ("y = x, or x with its columns in reverse", "dx = dy, or dy with its columns in reverse")

    def check(self) -> None:
        check_range(self, "rate", required=True, low=0, high=1)

    def forward(
        self, params: tuple[()], x: Num[Array, "B H W *C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B H W *C"], Bool[Array, "B"] | None]:
        """y_bij = x_b,i,W-1-j where image b is mirrored, else x_bij. Keeps which images are."""
        check_floating(self, x)
        if key is None:
            return x, None
        mirrored = jax.random.bernoulli(key, jnp.asarray(self.rate, at_least_float32(x.dtype)), x.shape[:1])
        return _mirrored(x, mirrored), mirrored

    def backward(
        self, params: tuple[()], mirrored: Bool[Array, "B"] | None, dy: Float[Array, "B H W *C"]
    ) -> tuple[tuple[()], Float[Array, "B H W *C"]]:
        """dx_b,i,W-1-j = dy_bij where image b was mirrored: flipping twice changes nothing."""
        return (), dy if mirrored is None else _mirrored(dy, mirrored)


@spec
class Cutout(_OfImages):
    """A square of every image is set to 0: `size` pixels high and wide, at a random place, cut off at the border.

    The center is uniform over the whole image. Source: DeVries, Taylor 2017, arXiv 1708.04552; torchvision's
    RandomErasing draws area and aspect, too.
    """

    size: Number

    formulas = ("y = m * x", "dx = m * dy")

    def check(self) -> None:
        check_range(self, "size", required=True, low=0)

    def forward(
        self, params: tuple[()], x: Num[Array, "B H W *C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B H W *C"], Float[Array, "B H W *C"] | None]:
        """y = m x, with m_bij = 0 where pixel (i, j) lies in the square of image b, else 1. Keeps m."""
        check_floating(self, x)
        if key is None:
            return x, None
        b, h, w = x.shape[:3]
        wide = at_least_float32(x.dtype)
        half = jnp.asarray(self.size, wide) / 2
        center = jax.random.uniform(key, (2, b, 1, 1), wide, -1 / 2, 1 / 2)
        in_rows = jnp.abs(_centered(h, wide)[None, :, None] - h * center[0]) < half
        in_columns = jnp.abs(_centered(w, wide)[None, None] - w * center[1]) < half
        m = jnp.broadcast_to(_spread(jnp.where(in_rows & in_columns, 0, 1), x), x.shape).astype(x.dtype)
        return m * x, m

    def backward(
        self, params: tuple[()], m: Float[Array, "B H W *C"] | None, dy: Float[Array, "B H W *C"]
    ) -> tuple[tuple[()], Float[Array, "B H W *C"]]:
        """dx = m dy: y is linear in x, with slope m."""
        return (), dy if m is None else m * dy


@spec
class Noise:
    """y = x + n, n drawn anew in every entry: normal, with mean 0 and this standard deviation. Inputs of any shape.

    A network that gives x and its noisy copies the same answer is smooth: for squared error and small noise, this adds
    a penalty on the squared gradient of the outputs with respect to x. Keras's GaussianNoise is the same. Source:
    Bishop 1995, Training with noise is equivalent to Tikhonov regularization.
    """

    deviation: Number

    formulas = ("y = x + n", "dx = dy")

    def check(self) -> None:
        check_range(self, "deviation", required=True, low=0)

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        return (), in_shape

    def forward(
        self, params: tuple[()], x: Num[Array, "*shape"], *, key: Key | None = None
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"] | None]:
        """y = x + n, n being deviation times standard normal numbers. Keeps n, to be looked at."""
        check_floating(self, x)
        if key is None:
            return x, None
        wide = at_least_float32(x.dtype)  # bfloat16 draws would be one of 128 numbers
        n = (jnp.asarray(self.deviation, wide) * jax.random.normal(key, x.shape, wide)).astype(x.dtype)
        return x + n, n

    def backward(
        self, params: tuple[()], n: Float[Array, "*shape"] | None, dy: Float[Array, "*shape"]
    ) -> tuple[tuple[()], Float[Array, "*shape"]]:
        """dx = dy: the noise does not depend on x."""
        return (), dy


def _centered(size: int, dtype: DTypeLike) -> Float[Array, "size"]:
    """Pixels counted from the middle of their axis: -1, 0, 1 for three of them."""
    return jnp.arange(size, dtype=dtype) - (size - 1) / 2


def _spread(a: Array, like: Array) -> Array:
    """a with an axis of one entry for every axis that it lacks at its end."""
    return a.reshape(*a.shape, *(1,) * (like.ndim - a.ndim))


def interpolate(x: Float[Array, "B H W *C"], places: Float[Array, "2 B H W"]) -> Float[Array, "B H W *C"]:
    """x read between its pixels; outside of the image x is 0.

        y_bijc = sum_kl max(0, 1 - |r_bij - k|) max(0, 1 - |s_bij - l|) x_bklc       with (r, s) = places

    Four terms of each sum are not 0.
    """
    pixels = materialized(x).reshape(x.shape[0], -1, *x.shape[3:])
    y = jnp.zeros_like(x)
    for at, weight in _corners(places):
        entries = jnp.take_along_axis(pixels, _spread(at.reshape(at.shape[0], -1), pixels), axis=1)
        y = y + _spread(weight.astype(x.dtype), x) * entries.reshape(x.shape)
    return y


def interpolate_backward(dy: Float[Array, "B H W *C"], places: Float[Array, "2 B H W"]) -> Float[Array, "B H W *C"]:
    """The gradient dx of `interpolate`: every output pixel adds its dy to the four that it was interpolated from.

    x_bklc reaches every y_bijc with the factor that it has in the sum above, whatever x is, so the chain rule gives

        dx_bklc = sum_ij max(0, 1 - |r_bij - k|) max(0, 1 - |s_bij - l|) dy_bijc
    """
    images = jnp.arange(dy.shape[0])[:, None, None]
    dx = jnp.zeros_like(dy).reshape(dy.shape[0], -1, *dy.shape[3:])
    for at, weight in _corners(places):
        dx = dx.at[images, at].add(_spread(weight.astype(dy.dtype), dy) * dy)
    return dx.reshape(dy.shape)


def _corners(places: Float[Array, "2 B H W"]) -> Iterator[tuple[Int[Array, "B H W"], Float[Array, "B H W"]]]:
    """The four pixels around every place, as i W + j, each with its weight: 0 where there is no such pixel.

    Between two pixels k and k + 1, f beyond the first, max(0, 1 - |r - k|) is 1 - f for the first and f for the second.
    """
    height, width = places.shape[2:]
    (top, down), (left, right) = (_floor(p, n) for p, n in zip(places, (height, width), strict=True))
    for i, vertical in ((top, 1 - down), (top + 1, down)):
        for j, horizontal in ((left, 1 - right), (left + 1, right)):
            is_pixel = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            yield jnp.where(is_pixel, i * width + j, 0), jnp.where(is_pixel, vertical * horizontal, 0)


def _floor(places: Float[Array, "B H W"], size: int) -> tuple[Int[Array, "B H W"], Float[Array, "B H W"]]:
    """The pixel before each place and how far the place is beyond it; what is far outside counts as just outside."""
    near = jnp.clip(places, -1, size)
    before = jnp.floor(near)
    return before.astype(jnp.int32), near - before


def _smoothing(size: int, sigma: Float[Array, ""]) -> Float[Array, "size points"]:
    """G: a Gaussian over the points of the grid for every pixel, as a row of length 1."""
    points = SPACING * jnp.arange(-(-size // SPACING), dtype=sigma.dtype) + (SPACING - 1) / 2
    distance = jnp.arange(size, dtype=sigma.dtype)[:, None] - points[None]
    g = jnp.exp(-(distance**2) / (2 * sigma**2))
    return g / jnp.sqrt((g * g).sum(1, keepdims=True))


def _mirrored(images: Float[Array, "B H W *C"], chosen: Bool[Array, "B"]) -> Float[Array, "B H W *C"]:
    return jnp.where(_spread(chosen, images), images[:, :, ::-1], images)
