"""Dropout: noise that keeps neurons from relying on each other."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._spec import check_floating, check_range, spec
from fnnet._values import at_least_float32
from fnnet.protocols import Key, Number, Shape


@spec
class Dropout:
    """In training, each entry is dropped (set to 0) with probability `rate`, the rest are scaled by 1 / (1 - rate).

    rate is the fraction *dropped*. Without a key (prediction, evaluation) it is the identity; the scaling keeps the
    expectation the same. Source: Srivastava et al. 2014, JMLR 15, in its inverted form.
    """

    rate: Number

    formulas = ("y = m * x", "dx = m * dy")

    def check(self) -> None:
        check_range(self, "rate", required=True, low=0, high=1, high_open=True)

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[()], Shape]:
        return (), in_shape

    def forward(
        self, params: tuple[()], x: Float[Array, "*shape"], *, key: Key | None = None
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"] | None]:
        """y = m x, every m_bi being 0 with probability rate, else 1 / (1 - rate). Keeps m."""
        check_floating(self, x)
        if key is None:
            return x, None
        keep = 1 - jnp.asarray(self.rate, at_least_float32(x.dtype))  # bfloat16 draws would be 1/128 apart
        m = jnp.where(jax.random.bernoulli(key, keep, x.shape), 1 / keep, 0).astype(x.dtype)
        return m * x, m

    def backward(
        self, params: tuple[()], m: Float[Array, "*shape"] | None, dy: Float[Array, "*shape"]
    ) -> tuple[tuple[()], Float[Array, "*shape"]]:
        """dx = m dy, with the mask of the forward pass: y is linear in x, with slope m."""
        return (), dy if m is None else m * dy
