"""Layers made of layers: networks nest, and every rule for a layer is a rule for a network."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet._contracts import backward_layer, forward_layer, init_layer
from fnnet._spec import Static, spec, static
from fnnet._values import check_key
from fnnet.protocols import Key, Layer, Params, Residuals, Shape, is_spec_of, why_not


def absorb(layer: Layer, params: Params, residuals: Residuals) -> Params:
    """Parameters with the state that no gradient moves (running statistics) updated, if the layer has any."""
    method = getattr(layer, "absorb", None)
    return params if method is None else method(params, residuals)


def _keys(key: Key | None, count: int, caller: str = "forward") -> Any:
    """One key per layer, fold_in(key, i) for layer i, all drawn at once."""
    if key is None or count == 0:
        return [None] * count
    check_key(caller, key)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count, dtype=jnp.uint32))


@contextlib.contextmanager
def _noting(number: int, layer: Layer, method: str, shape: Shape, before: Layer | None = None) -> Iterator[None]:
    """Adds a note to an error inside: which layer raised it, and at what shape; before is the layer it comes from."""
    try:
        yield
    except Exception as error:
        source = "" if before is None else f", the out_shape of {type(before).__name__}.init"
        error.add_note(
            f"raised in layer {number} of the Serial, {type(layer).__name__}.{method}, given shape {shape}{source}"
        )
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
        for i, (layer, k) in enumerate(zip(self.layers, _keys(key, len(self.layers), "Serial.init"), strict=True)):
            with _noting(i, layer, "init", shape, self.layers[i - 1] if i else None):
                p, shape = init_layer(layer, k, shape)
            params.append(p)
        return tuple(params), shape

    def forward(
        self, params: tuple[Params, ...] | list[Params], x: Array, *, key: Key | None = None
    ) -> tuple[Array, tuple[Residuals, ...]]:
        """(B, ...) -> (B, ...), and each layer's residuals. Raises ValueError for parameters of another depth."""
        count = len(params) if isinstance(params, tuple | list) else type(params).__name__
        if count != len(self.layers):
            raise ValueError(
                f"Serial.forward: expected parameters of {len(self.layers)} layers, got {count}; "
                f"are they from another network?"
            )
        residuals = []
        for i, (layer, p, k) in enumerate(zip(self.layers, params, _keys(key, len(self.layers)), strict=True)):
            with _noting(i, layer, "forward", x.shape):
                x, r = forward_layer(layer, p, x, k)
            residuals.append(r)
        return x, tuple(residuals)

    def backward(
        self, params: tuple[Params, ...], residuals: tuple[Residuals, ...], dy: Array
    ) -> tuple[tuple[Params, ...], Array | None]:
        """(gradients like params, dx).

        With h_0 = x and h_i = f_i(h_(i-1)), the chain rule walks the layers backwards:

            dh_(i-1) = dh_i (∂h_i/∂h_(i-1)),   dh_n = dy,   dx = dh_0

        which is layer i's own backward. Once a layer returns None, its input was integer: nothing before
        it moves, and the gradients of the layers before it are 0.
        """
        grads, dh = [], dy
        numbered = list(zip(range(len(self.layers)), self.layers, params, residuals, strict=True))
        for i, layer, p, r in numbered[::-1]:
            if dh is None:
                grads.append(jax.tree.map(jnp.zeros_like, p))
                continue
            with _noting(i, layer, "backward", dh.shape):
                g, dh = backward_layer(layer, p, r, dh)
            grads.append(g)
        return tuple(grads[::-1]), dh

    def absorb(self, params: tuple[Params, ...], residuals: tuple[Residuals, ...]) -> tuple[Params, ...]:
        return tuple(map(absorb, self.layers, params, residuals))


class ResidualParams(NamedTuple):
    """Parameters of f and of the shortcut, of a `Residual` that has one."""

    inner: Params
    shortcut: Params


@spec
class Residual:
    """y = x + f(x): the inner layer learns a correction. Source: He, Zhang, Ren, Sun 2015, arXiv 1512.03385.

    inner     f
    shortcut  a layer g in place of x, where f changes the shape: y = g(x) + f(x), such as `Conv(64, (1, 1), stride=2)`.
              Parameters are `ResidualParams` then, else those of f
    """

    inner: Layer
    shortcut: Layer | None = None

    @property
    def formulas(self) -> tuple[str, str]:
        if self.shortcut is None:
            return "y = x + f", "df = dy; dx = dy + dx_f"
        return "y = inner(x) + shortcut(x)", "dx = dx of inner + dx of shortcut"

    def check(self) -> None:
        for layer in (self.inner,) if self.shortcut is None else (self.inner, self.shortcut):
            if not is_spec_of(layer, Layer):
                raise TypeError(f"Residual: expected a layer such as Dense(3), {why_not(layer, Layer)}")

    def init(self, key: Key, in_shape: Shape) -> tuple[Params, Shape]:
        """(parameters of f, or `ResidualParams` with a shortcut; out_shape). Raises ValueError where shapes differ."""
        if self.shortcut is None:
            params, out_shape = init_layer(self.inner, key, in_shape)
            shortcut_shape = tuple(in_shape)
        else:
            inner_key, shortcut_key = _keys(key, 2, "Residual.init")
            inner, out_shape = init_layer(self.inner, inner_key, in_shape)
            shortcut, shortcut_shape = init_layer(self.shortcut, shortcut_key, in_shape)
            params = ResidualParams(inner, shortcut)
        if tuple(out_shape) != tuple(shortcut_shape):
            raise ValueError(
                f"Residual.init: expected the inner layer to give shape {shortcut_shape}, that of what it is added to, "
                f"got {out_shape}; end it with a layer of {shortcut_shape[-1]} features, or pass a shortcut that gives "
                f"{out_shape}"
            )
        return params, out_shape

    def forward(self, params: Params, x: Array, *, key: Key | None = None) -> tuple[Array, Residuals]:
        """y = x + f(x), or g(x) + f(x). Keeps what they keep."""
        if self.shortcut is None:
            y, residuals = forward_layer(self.inner, params, x, key)
            return _sum("Residual", y, x), residuals
        inner_key, shortcut_key = _keys(key, 2)
        y, residuals = forward_layer(self.inner, params.inner, x, inner_key)
        z, shortcut_residuals = forward_layer(self.shortcut, params.shortcut, x, shortcut_key)
        return _sum("Residual", y, z), (residuals, shortcut_residuals)

    def backward(self, params: Params, residuals: Residuals, dy: Array) -> tuple[Params, Array | None]:
        """dx = dy + dy f'(x), or dy g'(x) + dy f'(x): x reaches y along two paths, and their gradients add up."""
        if self.shortcut is None:
            grads, dx = backward_layer(self.inner, params, residuals, dy)
            return grads, dy + dx
        inner, dx = backward_layer(self.inner, params.inner, residuals[0], dy)
        shortcut, other_dx = backward_layer(self.shortcut, params.shortcut, residuals[1], dy)
        return ResidualParams(inner, shortcut), _both(dx, other_dx)

    def absorb(self, params: Params, residuals: Residuals) -> Params:
        if self.shortcut is None:
            return absorb(self.inner, params, residuals)
        parts = zip((self.inner, self.shortcut), params, residuals, strict=True)
        return ResidualParams(*(absorb(*part) for part in parts))


@spec
class Parallel:
    """Several layers of the same input, side by side: y = [f_1(x), f_2(x), ...]. Parameters: a tuple, as in `Serial`.

    join  "concatenate" along the last axis (channels), or "add". Source: Szegedy and others 2015, arXiv 1409.4842
    """

    layers: Sequence[Layer]
    join: str = static(default="concatenate")

    @property
    def formulas(self) -> tuple[str, str]:
        if self.join == "add":
            return "y = f_1(x) + f_2(x) + ...", "dx = sum of the dx of all f_i, each given dy"
        return "y = f_1(x), f_2(x), ... side by side", "dx = sum of the dx of all f_i, each given its part of dy"

    def check(self) -> None:
        if not isinstance(self.layers, tuple) or not self.layers:
            raise TypeError(f"Parallel: expected a tuple of layers, got {self.layers!r}; write Parallel((Dense(2),))")
        for i, layer in enumerate(self.layers):
            if not is_spec_of(layer, Layer):
                raise TypeError(f"Parallel: expected layer {i} to be a layer such as Relu(), {why_not(layer, Layer)}")
        if self.join not in ("concatenate", "add"):
            raise ValueError(f'Parallel: expected join to be "concatenate" or "add", got {self.join!r}')

    def init(self, key: Key, in_shape: Shape) -> tuple[tuple[Params, ...], Shape]:
        """(one entry of parameters per layer, out_shape); layer i draws from fold_in(key, i).

        Raises ValueError for outputs that cannot be joined.
        """
        keys = _keys(key, len(self.layers), "Parallel.init")
        drawn = [init_layer(layer, k, in_shape) for layer, k in zip(self.layers, keys, strict=True)]
        params, shapes = tuple(p for p, _ in drawn), [tuple(shape) for _, shape in drawn]
        compared = shapes if self.join == "add" else [shape[:-1] for shape in shapes]
        if len(set(compared)) > 1 or not all(shapes):
            alike = "" if self.join == "add" else " but in their last axis"
            raise ValueError(f"Parallel.init: expected outputs of one shape{alike} to {self.join}, got {shapes}")
        last = shapes[0][-1] if self.join == "add" else sum(shape[-1] for shape in shapes)
        return params, (*shapes[0][:-1], last)

    def forward(
        self, params: tuple[Params, ...], x: Array, *, key: Key | None = None
    ) -> tuple[Array, tuple[tuple[Residuals, ...], Static]]:
        """y = [f_1(x), f_2(x), ...] or their sum. Keeps what they keep, and where one output ends."""
        keys = _keys(key, len(self.layers))
        parts = [forward_layer(f, p, x, k) for f, p, k in zip(self.layers, params, keys, strict=True)]
        ys, residuals = [y for y, _ in parts], tuple(r for _, r in parts)
        ends = Static(tuple(itertools.accumulate(y.shape[-1] for y in ys))[:-1])
        if self.join == "add":
            return functools.reduce(functools.partial(_sum, "Parallel"), ys), (residuals, ends)
        for y in ys[1:]:
            _check_dtypes("Parallel", "concatenate", ys[0], y)
        return jnp.concatenate(ys, -1), (residuals, ends)

    def backward(
        self, params: tuple[Params, ...], residuals: tuple[tuple[Residuals, ...], Static], dy: Array
    ) -> tuple[tuple[Params, ...], Array | None]:
        """Every layer gets its part of dy (all of it where outputs are added), and dx is the sum of theirs.

        x reaches y along every branch, and the gradients of paths add up.
        """
        of_layers, ends = residuals
        dys = [dy] * len(self.layers) if self.join == "add" else jnp.split(dy, ends.value, -1)
        grads, dxs = zip(*map(backward_layer, self.layers, params, of_layers, dys), strict=True)
        return tuple(grads), functools.reduce(_both, dxs)

    def absorb(self, params: tuple[Params, ...], residuals: tuple[tuple[Residuals, ...], Static]) -> tuple[Params, ...]:
        return tuple(map(absorb, self.layers, params, residuals[0]))


def _sum(owner: str, a: Array, b: Array) -> Array:
    """a + b. Raises TypeError for outputs of two dtypes, ValueError for two shapes."""
    _check_dtypes(owner, "add", a, b)
    if a.shape != b.shape:
        raise ValueError(f"{owner}.forward: expected outputs of one shape to add, got {a.shape} and {b.shape}")
    return a + b


def _check_dtypes(owner: str, join: str, a: Array, b: Array) -> None:
    if a.dtype != b.dtype:
        raise TypeError(
            f"{owner}.forward: expected outputs of one dtype to {join}, got {a.dtype} and {b.dtype}; rescale integers"
        )


def _both(dx: Any, other: Any) -> Array | None:
    """The sum of the gradients of two paths of the same x; None where it is integer."""
    return None if dx is None else dx + other


def zero_gradients(layer: Any, path: str = "params") -> dict[str, str]:
    """{tensor: why}, of the parameters whose gradient is 0 whatever the inputs, as the layers themselves say."""
    match layer:
        case Serial() | Parallel():
            parts = {f"{path}[{i}]": part for i, part in enumerate(layer.layers)}
        case Residual(shortcut=None):
            parts = {path: layer.inner}
        case Residual():
            parts = {f"{path}.inner": layer.inner, f"{path}.shortcut": layer.shortcut}
        case _:
            return {f"{path}.{name}": reason for name, reason in getattr(layer, "zero_gradients", {}).items()}
    return {name: why for where, part in parts.items() for name, why in zero_gradients(part, where).items()}


def input_checks(layer: Any) -> tuple[Callable[[Any], None], ...]:
    """`check_inputs` of every layer that is given the network's own inputs, where it has one."""
    match layer:
        case Serial():
            first = layer.layers[:1]
        case Residual():
            first = (layer.inner,) if layer.shortcut is None else (layer.inner, layer.shortcut)
        case Parallel():
            first = tuple(layer.layers)
        case _:
            return (layer.check_inputs,) if hasattr(layer, "check_inputs") else ()
    return tuple(check for part in first for check in input_checks(part))
