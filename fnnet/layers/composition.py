"""Layers made of layers: networks nest, and every rule for a layer is a rule for a network."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet._spec import spec
from fnnet.protocols import Key, Layer, Params, Residuals, Shape, is_spec_of, why_not


def absorb(layer: Layer, params: Params, residuals: Residuals) -> Params:
    """Parameters with the state that no gradient moves (running statistics) updated, if the layer has any."""
    moved: Any = layer  # a type checker cannot know of a method that is optional
    return moved.absorb(params, residuals) if hasattr(layer, "absorb") else params


def _keys(key: Key | None, count: int) -> Any:
    """One key per layer, fold_in(key, i) for layer i, all drawn at once."""
    if key is None or count == 0:
        return [None] * count
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count, dtype=jnp.uint32))


@contextlib.contextmanager
def _noting(number: int, layer: Layer, method: str, shape: Shape) -> Iterator[None]:
    """Adds a note to an error inside: which layer raised it, and at what shape."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised in layer {number} of the Serial, {type(layer).__name__}.{method}, given shape {shape}")
        raise


@spec
class Serial:
    """One layer after the other: y = f_n(... f_2(f_1(x))). Parameters: a tuple, one entry per layer."""

    layers: Sequence[Layer]

    def check(self) -> None:
        if not isinstance(self.layers, tuple):
            raise TypeError(f"Serial: expected a tuple of layers, got {self.layers!r}; write Serial((Dense(2),))")
        for i, layer in enumerate(self.layers):
            if not is_spec_of(layer, Layer):
                raise TypeError(f"Serial: expected layer {i} to be a layer such as Relu(), {why_not(layer, Layer)}")

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[Params, ...], Shape]:
        """(one entry of parameters per layer, out_shape of the last); layer i draws from fold_in(key, i)."""
        params, shape = [], in_shape
        for i, (layer, k) in enumerate(zip(self.layers, _keys(key, len(self.layers)), strict=True)):
            with _noting(i, layer, "init", shape):
                p, shape = layer.init(k, shape)
            params.append(p)
        return tuple(params), shape

    def forward(
        self, params: tuple[Params, ...], x: Array, *, key: Key | None = None
    ) -> tuple[Array, tuple[Residuals, ...]]:
        """(B, ...) -> (B, ...), and each layer's residuals. Raises ValueError for parameters of another depth."""
        if len(params) != len(self.layers):
            raise ValueError(
                f"Serial.forward: expected parameters of {len(self.layers)} layers, got {len(params)}; "
                f"are they from another network?"
            )
        residuals = []
        for i, (layer, p, k) in enumerate(zip(self.layers, params, _keys(key, len(self.layers)), strict=True)):
            with _noting(i, layer, "forward", x.shape):
                x, r = layer.forward(p, x, key=k)
            residuals.append(r)
        return x, tuple(residuals)

    def backward(
        self, params: tuple[Params, ...], residuals: tuple[Residuals, ...], dy: Array
    ) -> tuple[tuple[Params, ...], Array | None]:
        """(gradients like params, dx).

        With h_0 = x and h_i = f_i(h_(i-1)), the chain rule walks the layers backwards:

            dh_(i-1) = dh_i (dh_i / dh_(i-1)),   dh_n = dy,   dx = dh_0

        which is layer i's own backward. Once a layer returns None, its input was integer: nothing before
        it moves, and its gradients are 0.
        """
        grads, dh = [], dy
        numbered = list(zip(range(len(self.layers)), self.layers, params, residuals, strict=True))
        for i, layer, p, r in numbered[::-1]:
            if dh is None:
                grads.append(jax.tree.map(jnp.zeros_like, p))
                continue
            with _noting(i, layer, "backward", dh.shape):
                g, dh = layer.backward(p, r, dh)
            grads.append(g)
        return tuple(grads[::-1]), dh

    def absorb(self, params: tuple[Params, ...], residuals: tuple[Residuals, ...]) -> tuple[Params, ...]:
        return tuple(map(absorb, self.layers, params, residuals))


@spec
class Residual:
    """y = x + f(x): the inner layer learns a correction. Source: He, Zhang, Ren, Sun 2015, arXiv 1512.03385."""

    inner: Layer

    formulas = ("y = x + f", "df = dy; dx = dy + dx_f")

    def check(self) -> None:
        if not is_spec_of(self.inner, Layer):
            raise TypeError(f"Residual: expected a layer such as Dense(3), {why_not(self.inner, Layer)}")

    def init(self, key: Key, in_shape: Shape) -> tuple[Params, Shape]:
        """The inner layer's parameters. Raises ValueError if it changes the shape: x + f(x) has no meaning then."""
        params, out_shape = self.inner.init(key, in_shape)
        if tuple(out_shape) != tuple(in_shape):
            raise ValueError(
                f"Residual.init: expected the inner layer to keep the shape {in_shape}, got {out_shape}; "
                f"end it with a layer of {in_shape[-1]} features"
            )
        return params, out_shape

    def forward(self, params: Params, x: Array, *, key: Key | None = None) -> tuple[Array, Residuals]:
        """y = x + f(x). Keeps what f keeps."""
        y, residuals = self.inner.forward(params, x, key=key)
        if y.dtype != x.dtype:
            raise TypeError(f"Residual.forward: expected f(x) to be {x.dtype} like x, got {y.dtype}; rescale before it")
        return x + y, residuals

    def backward(self, params: Params, residuals: Residuals, dy: Array) -> tuple[Params, Array | None]:
        """dx = dy + dy f'(x): x reaches y along two paths, and the gradients of paths add up."""
        grads, dx = self.inner.backward(params, residuals, dy)
        return grads, None if dx is None else dy + dx

    def absorb(self, params: Params, residuals: Residuals) -> Params:
        return absorb(self.inner, params, residuals)
