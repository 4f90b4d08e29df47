"""The activation of a neuron: one function of one number, applied to every entry (Softmax: to every row).

Each has no parameters, so `init` gives `()` and `backward` gives `((), dx)` with

    dx = dy * f'(x)

written with whatever is cheapest to keep: the output y where f' is a function of y, else the input x.

Conventions. At a kink f' is the one-sided derivative from the left, so ReLU'(0) = 0 and
LeakyReLU'(0) = slope; the exception is HardSigmoid', 0 at both kinks. NaN in gives NaN out, forward and backward.
Infinities give the limit: where a formula would say 0 * inf, x is clipped first to where the tail is
exactly 0 or 1 in float64.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet import protocols
from fnnet._spec import check_range, spec, static
from fnnet.protocols import Number, Shape

Key = protocols.Key | None
Floats = Float[Array, "*shape"]
Pair = tuple[Float[Array, "*shape"], Float[Array, "*shape"]]
Gradients = tuple[tuple[()], Float[Array, "*shape"]]


class _Elementwise:
    """What all activations share: no parameters, and rows keep their shape."""

    def init(self, key: protocols.Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        return (), in_shape


@spec
class Identity(_Elementwise):
    """f(x) = x: no activation."""

    formulas = ("h = x", "dx = dh")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> tuple[Floats, None]:
        """y = x. Keeps nothing."""
        return x, None

    def backward(self, params: tuple[()], residuals: None, dy: Floats) -> Gradients:
        """f' = 1, so dx = dy."""
        return (), dy


@spec
class Sigmoid(_Elementwise):
    """f(x) = 1 / (1 + e^-x): squashes to (0, 1)."""

    formulas = ("h = 1 / (1 + exp(-x))", "dx = dh * h * (1 - h)")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = 1 / (1 + e^-x). Keeps y."""
        y = jax.lax.logistic(x)
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy y (1 - y).

        f' = e^-x / (1 + e^-x)^2 = [1 / (1 + e^-x)] [e^-x / (1 + e^-x)] = y (1 - y).
        """
        return (), dy * y * (1 - y)


@spec
class HardSigmoid(_Elementwise):
    """f(x) = x / 6 + 1/2 clipped to [0, 1]: a piecewise linear sigmoid, with kinks at -3 and 3."""

    formulas = ("h = min(max(x + 3, 0), 6) / 6", "dx = dh * (abs(x) < 3) / 6")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = min(max(x + 3, 0), 6) / 6. Keeps x."""
        return jnp.clip(x + 3, 0, 6) / 6, x

    def backward(self, params: tuple[()], x: Floats, dy: Floats) -> Gradients:
        """dx = dy / 6 where -3 < x < 3, else 0 (the kinks included): the slopes of the three straight lines."""
        return (), _keep_nan(x, jnp.where(jnp.abs(x) < 3, dy / 6, 0))


@spec
class Tanh(_Elementwise):
    """f(x) = (e^x - e^-x) / (e^x + e^-x): squashes to (-1, 1)."""

    formulas = ("h = tanh(x)", "dx = dh * (1 - h^2)")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = tanh x. Keeps y."""
        y = jnp.tanh(x)
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy (1 - y^2).

        tanh = sinh / cosh, so f' = (cosh^2 - sinh^2) / cosh^2 = 1 - tanh^2.
        """
        return (), dy * (1 - y * y)


@spec
class Relu(_Elementwise):
    """f(x) = max(x, 0)."""

    formulas = ("h = max(x, 0)", "dx = dh * (x > 0)")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = max(x, 0). Keeps y."""
        y = jnp.maximum(x, 0)
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy where y > 0, else 0; ReLU'(0) = 0.

        The other branch passes y on: it is 0 there, or NaN, and a NaN must not hide.
        """
        return (), jnp.where(y > 0, dy, y)


@spec
class LeakyRelu(_Elementwise):
    """f(x) = x where x > 0, else slope x: a ReLU that never dies. Source: Maas, Hannun, Ng 2013."""

    slope: Number = 0.01

    formulas = ("h = where(x > 0, x, slope * x)", "dx = dh * where(x > 0, 1, slope)")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = x where x > 0, else slope x. Keeps x."""
        return jnp.where(x > 0, x, self.slope * x), x

    def backward(self, params: tuple[()], x: Floats, dy: Floats) -> Gradients:
        """dx = dy where x > 0, else slope dy; at 0 the slope from the left."""
        return (), _keep_nan(x, jnp.where(x > 0, dy, self.slope * dy))


@spec
class Elu(_Elementwise):
    """f(x) = x where x > 0, else alpha (e^x - 1). Source: Clevert, Unterthiner, Hochreiter 2015, 1511.07289."""

    alpha: Number = 1.0

    formulas = ("h = where(x > 0, x, alpha * (exp(x) - 1))", "dx = dh * where(x > 0, 1, h + alpha)")

    def check(self) -> None:
        check_range(self, "alpha", low=0)  # below 0 the sign of y would no longer tell that of x

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = x where x > 0, else alpha (e^x - 1). Keeps y."""
        y = jnp.where(x > 0, x, self.alpha * jnp.expm1(jnp.minimum(x, 0)))
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy where y > 0, else dy (y + alpha).

        Left of 0, f' = alpha e^x = alpha (e^x - 1) + alpha = y + alpha. At 0 that is alpha.
        """
        return (), dy * jnp.where(y > 0, 1, y + self.alpha)


@spec
class Selu(_Elementwise):
    """f(x) = scale x where x > 0, else scale alpha (e^x - 1), with the two constants below.

    They make mean 0 and variance 1 a fixed point of a layer with LecunNormal weights.
    Source: Klambauer, Unterthiner, Mayr, Hochreiter 2017, arXiv 1706.02515.
    """

    ALPHA = 1.6732632423543772848170429916717
    SCALE = 1.0507009873554804934193349852946

    formulas = (
        "h = SCALE * where(x > 0, x, ALPHA * (exp(x) - 1))",
        "dx = dh * where(x > 0, SCALE, h + SCALE * ALPHA)",
    )

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = scale x where x > 0, else scale alpha (e^x - 1). Keeps y."""
        y = jnp.where(x > 0, self.SCALE * x, self.SCALE * self.ALPHA * jnp.expm1(jnp.minimum(x, 0)))
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy scale where y > 0, else dy (y + scale alpha); at 0 from the left.

        Left of 0, f' = scale alpha e^x = scale alpha (e^x - 1) + scale alpha = y + scale alpha.
        """
        return (), dy * jnp.where(y > 0, self.SCALE, y + self.SCALE * self.ALPHA)


@spec
class Gelu(_Elementwise):
    """f(x) = x P(x), P the distribution function of N(0, 1). Source: Hendrycks, Gimpel 2016, 1606.08415.

    approximate  False: P exact, with erf. True: the paper's P(x) = (1 + tanh u) / 2,
                 u = sqrt(2 / pi) (x + 0.044715 x^3).
    """

    approximate: bool = static(default=False)

    @property
    def formulas(self) -> tuple[str, str]:
        if self.approximate:
            p = "p = (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2"
            slope = "2 * p * (1 - p) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x^2)"
        else:
            p, slope = "p = (1 + erf(x / sqrt(2))) / 2", "exp(-x^2 / 2) / sqrt(2 * pi)"
        return f"{p}; h = x * p", f"dx = dh * (p + x * {slope})"

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = x P(x). Keeps x."""
        inner = jnp.maximum(x, -_TAIL)  # P(-40) is 0 in float64, and -inf * 0 would be NaN
        return inner * self._distribution(inner), x

    def backward(self, params: tuple[()], x: Floats, dy: Floats) -> Gradients:
        """dx = dy (P(x) + x P'(x)).

        erf form:   P'(x) = e^(-x^2 / 2) / sqrt(2 pi), the density of N(0, 1).
        tanh form:  (1 + tanh u) / 2 is the sigmoid of 2u, which keeps its digits far to the left, so
                    P'(x) = 2 P (1 - P) u', u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2).
        """
        x = jnp.clip(x, -_TAIL, _TAIL)
        return (), dy * (self._distribution(x) + x * self._density(x))

    def _distribution(self, x: Array) -> Array:
        if self.approximate:
            return jax.lax.logistic(2 * _U * (x + 0.044715 * x * x * x))
        return 0.5 * jax.lax.erfc(-x * math.sqrt(0.5))

    def _density(self, x: Array) -> Array:
        if self.approximate:
            p = self._distribution(x)
            return 2 * p * (1 - p) * _U * (1 + 3 * 0.044715 * x * x)
        return jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@spec
class Silu(_Elementwise):
    """f(x) = x s(x), s the sigmoid; also called swish. Source: Elfwing, Uchibe, Doya 2017, arXiv 1702.03118."""

    formulas = ("s = 1 / (1 + exp(-x)); h = x * s", "dx = dh * s * (1 + x * (1 - s))")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = x s(x). Keeps x."""
        inner = jnp.maximum(x, -_EXP_TAIL)  # s(-800) is 0 in float64, and -inf * 0 would be NaN
        return inner * jax.lax.logistic(inner), x

    def backward(self, params: tuple[()], x: Floats, dy: Floats) -> Gradients:
        """dx = dy (s + x s (1 - s)), s = sigmoid(x): the product rule, with s' = s (1 - s)."""
        x = jnp.clip(x, -_EXP_TAIL, _EXP_TAIL)
        s = jax.lax.logistic(x)
        return (), dy * s * (1 + x * (1 - s))


@spec
class Softplus(_Elementwise):
    """f(x) = log(1 + e^x): a smooth ReLU."""

    formulas = ("h = log(1 + exp(x))", "dx = dh / (1 + exp(-x))")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = max(x, 0) + log(1 + e^-|x|), which never overflows. Keeps x."""
        return softplus(x), x

    def backward(self, params: tuple[()], x: Floats, dy: Floats) -> Gradients:
        """dx = dy s(x): f' = e^x / (1 + e^x), the sigmoid."""
        return (), dy * jax.lax.logistic(x)


@spec
class Exp(_Elementwise):
    """f(x) = e^x. Overflows past 88 in float32 and 709 in float64, as e^x does."""

    formulas = ("h = exp(x)", "dx = dh * h")

    def forward(self, params: tuple[()], x: Floats, *, key: Key = None) -> Pair:
        """y = e^x. Keeps y."""
        y = jnp.exp(x)
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = dy y: the exponential is its own derivative."""
        return (), dy * y


@spec
class Softmax(_Elementwise):
    """Each row becomes probabilities, y_c = e^x_c / sum_k e^x_k.

    As the last layer under `SoftmaxCrossEntropy` it is one softmax too many: that loss applies its own.
    """

    formulas = ("h = exp(x) / sum_c(exp(x))", "s = sum_c(dh * h); dx = h * (dh - s)")

    def forward(self, params: tuple[()], x: Float[Array, "*rows C"], *, key: Key = None) -> Pair:
        """y_c = e^(x_c - m) / sum_k e^(x_k - m), m the row's largest, so nothing overflows. Keeps y."""
        y = softmax(x)
        return y, y

    def backward(self, params: tuple[()], y: Floats, dy: Floats) -> Gradients:
        """dx = y (dy - sum_k dy_k y_k), row by row.

        The Jacobian is full, because every x_c appears in the common denominator:

            ∂y_k/∂x_c = y_k ([k = c] - y_c)
            dx_c = sum_k dy_k ∂y_k/∂x_c = y_c dy_c - y_c sum_k dy_k y_k

        in matrices (diag(y) - y y^T) dy, which is never built.
        """
        return (), y * (dy - (dy * y).sum(-1, keepdims=True))


_TAIL = 40.0  # beyond it the normal tail is 0 in float64 (at 38.6)
_EXP_TAIL = 800.0  # beyond it e^-x is 0 in float64 (at 745.2)
_U = math.sqrt(2 / math.pi)


def softplus(x: Floats) -> Floats:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), without overflow."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def softmax(x: Float[Array, "*rows C"]) -> Float[Array, "*rows C"]:
    """Rows of probabilities e^x_c / sum_k e^x_k, shifted by the row's largest entry, which changes nothing."""
    e = jnp.exp(below_largest(x))
    return e / e.sum(-1, keepdims=True)


def below_largest(x: Float[Array, "*rows C"]) -> Float[Array, "*rows C"]:
    """x - max(x), row by row; 0 at the largest entry even if that is infinite."""
    m = x.max(-1, keepdims=True)
    return jnp.where(x == m, 0, x - m)


def _keep_nan(x: Array, dx: Array) -> Array:
    return jnp.where(jnp.isnan(x), x, dx)
