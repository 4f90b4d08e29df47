"""Tokens as vectors: a row of a table for every token, and one for every position."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from fnnet._spec import spec, static
from fnnet.initializers import Normal
from fnnet.layers.dense import check_initializers, check_sizes
from fnnet.protocols import Initializer, Key, Params, Shape


class EmbeddingParams(NamedTuple):
    """w (V, F): row v is the vector of token v."""

    w: Params


class PositionsParams(NamedTuple):
    """w (T, F): row t is added at position t."""

    w: Params


@spec
class Embedding:
    """y = w[x]: every token becomes its row of a table that is learned.

    vocabulary  V, the number of tokens; these are integers from 0 to V - 1
    features    F, the length of a row
    weights     initializer of w

    It is a `Dense` without biases on one-hot inputs, without the multiplications by 0. `fit`, `sweep`, `evaluate` and
    `predict` refuse other tokens; in compiled code they give NaN.
    """

    vocabulary: int = static()
    features: int = static()
    weights: Initializer = Normal(1.0)

    formulas = ("y = w[x]", "dw[v] = sum of dy over all places where x = v")

    def check(self) -> None:
        check_sizes(self, "vocabulary", "features")
        check_initializers(self, ("weights",))

    def check_inputs(self, x: np.ndarray) -> None:
        """Raise ValueError for tokens outside 0 .. V - 1, TypeError for what is not an integer."""
        if x.dtype.kind not in "iu":
            raise TypeError(f"Embedding: expected tokens, integers from 0 to {self.vocabulary - 1}, got {x.dtype}")
        if x.size and not 0 <= x.min() <= x.max() < self.vocabulary:
            place = np.argwhere((x < 0) | (x >= self.vocabulary))[0].tolist()
            raise ValueError(
                f"Embedding: expected tokens from 0 to {self.vocabulary - 1}, got {x[tuple(place)]} at {tuple(place)}"
            )

    def init(self, key: Key, in_shape: Shape) -> tuple[EmbeddingParams, Shape]:
        """(EmbeddingParams, out_shape); in_shape (...) without the batch axis, out_shape (..., F)."""
        shape = (self.vocabulary, self.features)
        return EmbeddingParams(self.weights(key, shape, jnp.result_type(float), *shape)), (*in_shape, self.features)

    def forward(
        self, params: EmbeddingParams, x: Integer[Array, "B *rest"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *rest F"], Integer[Array, "B *rest"]]:
        """y_btf = w_vf with v = x_bt. Keeps x."""
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError(
                f"Embedding.forward: expected tokens, which are integers, got {x.dtype}; write x.astype(int)"
            )
        if params.w.shape != (self.vocabulary, self.features):
            raise ValueError(
                f"Embedding.forward: expected w of shape ({self.vocabulary}, {self.features}), got {params.w.shape}; "
                f"are the parameters from another network?"
            )
        tokens, exists = self._existing(x, absent=0)
        return jnp.where(exists[..., None], params.w[tokens], jnp.nan), x

    def backward(
        self, params: EmbeddingParams, x: Integer[Array, "B *rest"], dy: Float[Array, "B *rest F"]
    ) -> tuple[EmbeddingParams, None]:
        """(EmbeddingParams of gradients, None): an integer cannot change by a little.

        w_vf reaches y_btf wherever x_bt = v, with factor 1, so the gradients of repeated tokens add up:

            dw_vf = sum_bt [x_bt = v] dy_btf      dw = onehot(x)^T dy
        """
        tokens, _ = self._existing(x, absent=self.vocabulary)
        return EmbeddingParams(jnp.zeros_like(params.w).at[tokens].add(dy, mode="drop")), None

    def _existing(
        self, x: Integer[Array, "B *rest"], absent: int
    ) -> tuple[Integer[Array, "B *rest"], Bool[Array, "B *rest"]]:
        """(tokens, which of them exist); `absent` replaces those that do not, since JAX counts -1 from the end."""
        tokens = x.astype(jnp.int32)
        exists = (tokens >= 0) & (tokens < self.vocabulary)
        return jnp.where(exists, tokens, absent), exists


@spec
class Positions:
    """y_t = x_t + w_t: tells a layer that takes steps in any order (attention) where each one stands.

    weights  initializer of w

    Source: learned positions as in Radford and others 2018, Improving language understanding by generative
    pre-training. Sequences may be shorter than at `init`: they take the first rows.
    """

    weights: Initializer = Normal(0.02)

    formulas = ("y = x + w", "dw = sum over b of dy; dx = dy")

    def check(self) -> None:
        check_initializers(self, ("weights",))

    def init(self, key: Key, in_shape: Shape) -> tuple[PositionsParams, Shape]:
        """(PositionsParams, in_shape); in_shape (T, F)."""
        if len(in_shape) != 2:
            raise ValueError(
                f"Positions.init: expected in_shape (T, F), got {tuple(in_shape)}; put Embedding before it"
            )
        return PositionsParams(self.weights(key, tuple(in_shape), jnp.result_type(float), *in_shape)), in_shape

    def forward(
        self, params: PositionsParams, x: Float[Array, "B T F"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B T F"], tuple[()]]:
        """y_btf = x_btf + w_tf."""
        longest, features = params.w.shape
        if x.ndim != 3 or x.shape[1] > longest or x.shape[2] != features:
            raise ValueError(f"Positions.forward: expected (B, T, {features}), T up to {longest}, got {x.shape}")
        return x + params.w[None, : x.shape[1]], ()

    def backward(
        self, params: PositionsParams, residuals: tuple[()], dy: Float[Array, "B T F"]
    ) -> tuple[PositionsParams, Float[Array, "B T F"]]:
        """dw_tf = sum_b dy_btf (0 at positions that no sequence reached), dx = dy."""
        dw = dy.sum(0)
        return PositionsParams(jnp.pad(dw, ((0, len(params.w) - len(dw)), (0, 0)))), dy
