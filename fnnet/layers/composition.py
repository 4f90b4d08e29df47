"""Layers made of layers: nets nest, and every rule for a layer is a rule for a network."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from fnnet._spec import spec
from fnnet.protocols import Layer, is_spec_of


def absorb(layer: Any, params: Any, residuals: Any) -> Any:
    """Parameters with the state that no gradient moves taken in (running statistics), if the layer has such."""
    return layer.absorb(params, residuals) if hasattr(layer, "absorb") else params


def _keys(key: PRNGKeyArray | None, count: int) -> Any:
    """One key a layer, fold_in(key, i) for layer i, all drawn at once."""
    if key is None or count == 0:
        return [None] * count
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count, dtype=jnp.uint32))


@spec
class Serial:
    """One layer after the other: y = f_n(... f_2(f_1(x))). Parameters: a tuple, one entry a layer."""

    layers: Any

    def check(self) -> None:
        """Layers come as a tuple of specs."""
        if not isinstance(self.layers, tuple):
            raise TypeError(f"Serial: expected a tuple of layers, got {self.layers!r}; write Serial((Dense(2),))")
        for i, layer in enumerate(self.layers):
            if not is_spec_of(layer, Layer):
                raise TypeError(
                    f"Serial: expected layer {i} to have init, forward and backward, got {layer!r}; "
                    f"a layer is a spec, built with its settings: Relu(), not Relu"
                )

    def init(self, key: PRNGKeyArray, in_shape: tuple[int, ...]) -> tuple[tuple, tuple[int, ...]]:
        """(one entry of parameters a layer, out_shape of the last); layer i draws from fold_in(key, i)."""
        params, shape = [], in_shape
        for layer, k in zip(self.layers, _keys(key, len(self.layers)), strict=True):
            p, shape = layer.init(k, shape)
            params.append(p)
        return tuple(params), shape

    def forward(self, params: tuple, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, tuple]:
        """(B, ...) -> (B, ...), and each layer's residuals. Raises ValueError for parameters of another depth."""
        if len(params) != len(self.layers):
            raise ValueError(
                f"Serial.forward: expected parameters of {len(self.layers)} layers, got {len(params)}; "
                f"are they from another network?"
            )
        residuals = []
        for layer, p, k in zip(self.layers, params, _keys(key, len(self.layers)), strict=True):
            x, r = layer.forward(p, x, key=k)
            residuals.append(r)
        return x, tuple(residuals)

    def backward(self, params: tuple, residuals: tuple, dy: Any) -> tuple[tuple, Any]:
        """(gradients like params, dx).

        With h_0 = x and h_i = f_i(h_(i-1)), the chain rule walks the layers backwards:

            dh_(i-1) = dh_i (dh_i / dh_(i-1)),   dh_n = dy,   dx = dh_0

        which is layer i's own backward. Once a layer returns None, its input was integer: nothing before
        it moves, and its gradients are 0.
        """
        grads = []
        for layer, p, r in zip(self.layers[::-1], params[::-1], residuals[::-1], strict=True):
            g, dy = (jax.tree.map(jnp.zeros_like, p), None) if dy is None else layer.backward(p, r, dy)
            grads.append(g)
        return tuple(grads[::-1]), dy

    def absorb(self, params: tuple, residuals: tuple) -> tuple:
        """Each layer's `absorb`, for those that have one."""
        return tuple(map(absorb, self.layers, params, residuals))


@spec
class Residual:
    """y = x + f(x): the inner layer learns a correction. Source: He, Zhang, Ren, Sun 2015, arXiv 1512.03385."""

    inner: Any

    formulas = ("y = x + f", "df = dy; dx = dy + dx_f")

    def check(self) -> None:
        """The inner layer is a spec, built with its settings."""
        if not is_spec_of(self.inner, Layer):
            raise TypeError(f"Residual: expected a layer such as Dense(3), got {self.inner!r}")

    def init(self, key: PRNGKeyArray, in_shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        """The inner layer's parameters. Raises ValueError if it changes the shape: x + f(x) has no meaning then."""
        params, out_shape = self.inner.init(key, in_shape)
        if tuple(out_shape) != tuple(in_shape):
            raise ValueError(
                f"Residual.init: expected the inner layer to keep the shape {in_shape}, got {out_shape}; "
                f"end it with a layer of {in_shape[-1]} features"
            )
        return params, out_shape

    def forward(self, params: Any, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, Any]:
        """y = x + f(x). Keeps what f keeps."""
        y, residuals = self.inner.forward(params, x, key=key)
        if y.dtype != x.dtype:
            raise TypeError(f"Residual.forward: expected f(x) to be {x.dtype} like x, got {y.dtype}; rescale before it")
        return x + y, residuals

    def backward(self, params: Any, residuals: Any, dy: Any) -> tuple[Any, Any]:
        """dx = dy + dy f'(x): x reaches y on two ways, and gradients of ways add."""
        grads, dx = self.inner.backward(params, residuals, dy)
        return grads, dy + dx

    def absorb(self, params: Any, residuals: Any) -> Any:
        """The inner layer's `absorb`."""
        return absorb(self.inner, params, residuals)
