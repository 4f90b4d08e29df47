"""Stand-ins for `jax.numpy`, `jax`, `jax.lax` and `math` that compute with `Scalar`s, in NumPy arrays of objects.

NumPy itself does shapes, sums, products and elementwise operations: it asks every entry for `+`, `<` or `.exp()`. What
is written here is what NumPy lacks or what would round. The dtype of exact numbers is `object`, wherever JAX would have
a floating one.
"""

import contextlib
import itertools
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from jax import lax
from jax.dtypes import canonicalize_dtype

from .scalars import Rationals, Scalar, lifted, ring

EXACT = np.dtype(object)


class Exact(np.ndarray):
    """An array of `Scalar`s, or of integers or booleans; with the methods of JAX's arrays."""

    def astype(self, dtype: Any, **_: Any) -> "Exact":
        if np.dtype(dtype) == EXACT:
            return as_exact(self)
        if self.dtype == EXACT and np.dtype(dtype).kind in "iu":
            return np.asarray(np.frompyfunc(int, 1, 1)(np.asarray(self))).astype(dtype).view(Exact)
        return super().astype(dtype)

    @property
    def at(self) -> "_At":
        return _At(self)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Exact":
        total = self.sum(axis, keepdims=keepdims)
        return total / (self.size // max(1, np.size(total)))


class _At:
    """`a.at[i].add(b, mode="drop")`, and with several arrays for i."""

    def __init__(self, array: Exact) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> "_At":
        self.index = index
        return self

    def add(self, values: Any, mode: str | None = None) -> Exact:
        """Repeated indices add up, and those that do not exist are left out."""
        new = self.array.copy()
        if isinstance(self.index, tuple):
            np.add.at(new, self.index, values)
            return new
        assert mode == "drop"
        for place in np.ndindex(self.index.shape):
            if self.index[place] < len(new):
                new[self.index[place]] = new[self.index[place]] + values[place]
        return new


_lift = np.frompyfunc(lifted, 1, 1)


def as_exact(value: Any) -> Exact:
    """An array of `Scalar`s."""
    return np.asarray(_lift(np.asarray(value)), object).view(Exact)


def _array(value: Any, dtype: Any = None) -> Exact:
    """What `jnp.asarray` gives: floating numbers become exact."""
    is_exact = np.asarray(value).dtype.kind in "fO" if dtype is None else np.dtype(dtype) == EXACT
    return as_exact(value) if is_exact else np.asarray(value, dtype).view(Exact)


def _again(result: Any) -> Any:
    """What a function of NumPy gave, as arrays of this module."""
    if isinstance(result, list | tuple):
        return type(result)(map(_again, result))
    return _array(result) if isinstance(result, np.ndarray | np.generic | Scalar) else result


def _elementwise(name: str) -> Any:
    apply = np.frompyfunc(lambda entry: getattr(entry, name)(), 1, 1)
    return lambda a: as_exact(apply(as_exact(a)))


class Numpy:
    """For `jax.numpy`: NumPy's functions, and the few that differ."""

    floating, integer, number = np.floating, np.integer, np.number
    int8, int32, uint32 = np.int8, np.int32, np.uint32
    float32 = float64 = EXACT
    inf, nan, ndarray = np.inf, np.nan, np.ndarray

    dtype, shape = staticmethod(np.dtype), staticmethod(np.shape)
    exp, log, sqrt, tanh, cos, sin, expm1, log1p = map(
        lambda name: staticmethod(_elementwise(name)),
        ("exp", "log", "sqrt", "tanh", "cos", "sin", "expm1", "log1p"),
    )
    round, floor = staticmethod(_elementwise("rint")), staticmethod(_elementwise("__floor__"))
    asarray = staticmethod(_array)

    @property
    def pi(self) -> Exact:
        return as_exact(Scalar(ring().pi))

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        return lambda *args, **kwargs: _again(function(*args, **kwargs))

    def issubdtype(self, dtype: Any, kind: Any) -> bool:
        return kind in (np.floating, np.number) if dtype == EXACT else jnp.issubdtype(dtype, kind)

    def result_type(self, *of: Any) -> np.dtype:
        dtypes = [EXACT if a is float else np.asarray(a).dtype for a in of]
        return EXACT if any(d.kind in "fO" for d in dtypes) else np.result_type(*dtypes)

    def finfo(self, dtype: Any) -> Any:
        return np.finfo(np.float64)

    def isnan(self, a: Any) -> Exact:
        return np.zeros(np.shape(a), bool).view(Exact)

    def zeros(self, shape: Any, dtype: Any = EXACT) -> Exact:
        return _array(np.zeros(shape, np.int32), dtype)

    def ones(self, shape: Any, dtype: Any = EXACT) -> Exact:
        return _array(np.ones(shape, np.int32), dtype)

    def zeros_like(self, a: Any) -> Exact:
        return self.zeros(np.shape(a), _array(a).dtype)

    def ones_like(self, a: Any) -> Exact:
        return self.ones(np.shape(a), _array(a).dtype)

    def arange(self, n: int, dtype: Any = np.int32) -> Exact:
        return _array(np.arange(n), dtype)

    def max(self, a: Any, initial: Any) -> Exact:
        return _again(np.max(a, initial=lifted(initial)))


class Lax:
    """For `jax.lax`: scan is a loop, and a convolution the sum over the positions of its kernel."""

    logistic, erfc = staticmethod(_elementwise("logistic")), staticmethod(_elementwise("erfc"))

    def cond(self, condition: Any, yes: Any, no: Any, operand: Any) -> Any:
        return yes(operand) if condition else no(operand)

    def scan(self, f: Any, carry: Any, xs: Any, reverse: bool = False) -> Any:
        steps = range(len(jax.tree.leaves(xs)[0]))
        ys = []
        for i in reversed(steps) if reverse else steps:
            carry, y = f(carry, jax.tree.map(lambda a, i=i: a[i], xs))
            ys.append(y)
        return carry, jax.tree.map(lambda *each: NUMPY.stack(each), *(reversed(ys) if reverse else ys))

    def map(self, f: Any, xs: Any) -> Any:
        return self.scan(lambda _, x: (None, f(x)), None, xs)[1]

    def pad(self, a: Any, value: Any, edges: Any) -> Exact:
        """Zeros between, zeros around, or entries cut off where an edge is negative."""
        a, value = np.asarray(a), np.asarray(value)[()]
        spread = np.full([max(0, n + (n - 1) * inner) for n, (_, _, inner) in zip(a.shape, edges, strict=True)], value)
        spread[tuple(slice(None, None, inner + 1) for _, _, inner in edges)] = a
        widths = [(max(0, low), max(0, high)) for low, high, _ in edges]
        padded = np.pad(spread, widths, constant_values=value)
        cut = tuple(
            slice(max(0, -low), n - max(0, -high)) for n, (low, high, _) in zip(padded.shape, edges, strict=True)
        )
        return _again(padded[cut])

    def conv_general_dilated(
        self, x: Any, w: Any, stride: Any, padding: Any, x_dilation: Any, w_dilation: Any, dimension_numbers: Any
    ) -> Exact:
        assert dimension_numbers == ("NHWC", "HWIO", "NHWC")
        inner = [(low, high, d - 1) for (low, high), d in zip(padding, x_dilation, strict=True)]
        x = self.pad(x, lifted(0), [(0, 0, 0), *inner, (0, 0, 0)])
        spans = [(k - 1) * d + 1 for k, d in zip(w.shape[:2], w_dilation, strict=True)]
        outputs = [(n - e) // s + 1 for n, e, s in zip(x.shape[1:3], spans, stride, strict=True)]
        y = NUMPY.zeros((len(x), *outputs, w.shape[3]))
        for position in itertools.product(*map(range, w.shape[:2])):
            rows, columns = (
                slice(i * d, i * d + (m - 1) * s + 1, s)
                for i, d, m, s in zip(position, w_dilation, outputs, stride, strict=True)
            )
            y = y + x[:, rows, columns] @ w[position]
        return y


class Random:
    """For `jax.random`: a key is anything, a mask drops every third entry, noise is the proof's or even."""

    def __init__(self) -> None:
        self.noise: Any = None

    def split(self, key: Any, count: int = 2) -> list:
        return [key] * count

    def fold_in(self, key: Any, number: Any) -> Any:
        return key

    def bernoulli(self, key: Any, p: Any, shape: Any) -> Exact:
        return (np.arange(math.prod(shape)) % 3 > 0).reshape(shape).view(Exact)

    def uniform(self, key: Any, shape: Any, dtype: Any, low: Any, high: Any) -> Exact:
        """Every seventh of 101 places between the ends, of which none is one."""
        places = [Fraction(1 + 7 * i % 101, 103) for i in range(math.prod(shape))]
        return low + (high - low) * as_exact(np.reshape(places, shape))

    def normal(self, key: Any, shape: Any, dtype: Any) -> Exact:
        return self.noise(shape) if self.noise else self.uniform(key, shape, dtype, -2, 2)


class Jax:
    """For `jax`: JAX itself, but for what computes."""

    def __init__(self) -> None:
        self.lax, self.random, self.numpy = LAX, RANDOM, NUMPY

    def __getattr__(self, name: str) -> Any:
        return getattr(jax, name)

    def vmap(self, f: Any) -> Any:
        return lambda xs: [f(x) for x in xs]


class Math:
    """For `math`: roots and pi without rounding."""

    @property
    def pi(self) -> Scalar:
        return Scalar(ring().pi)

    def sqrt(self, number: Any) -> Scalar:
        return lifted(number).sqrt()

    def __getattr__(self, name: str) -> Any:
        return getattr(math, name)


NUMPY, LAX, RANDOM, MATH = Numpy(), Lax(), Random(), Math()
JAX = Jax()
STAND_INS = {
    id(jnp): NUMPY, id(jax): JAX, id(lax): LAX, id(math): MATH, id(canonicalize_dtype): np.dtype,
}  # fmt: skip


def constants() -> dict[tuple[Any, str], Any]:
    """Constants that were rounded when their modules were imported, and what they mean."""
    from fnnet.layers import Selu, activations

    found = {
        (Selu, "ALPHA"): lifted(Fraction(str(Selu.ALPHA))),  # of both, all digits that floats keep
        (Selu, "SCALE"): lifted(Fraction(str(Selu.SCALE))),
    }
    return found if isinstance(ring(), Rationals) else found | {(activations, "_U"): MATH.sqrt(2 / MATH.pi)}


@contextlib.contextmanager
def standing_in(values: dict[tuple[Any, str], Any]) -> Iterator[None]:
    """Inside, every module of fnnet computes with this module's arrays, and the constants have these values."""
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "fnnet":
                found = {n: STAND_INS[id(v)] for n, v in vars(module).items() if id(v) in STAND_INS}
                for attribute, stand_in in found.items():
                    stack.enter_context(mock.patch.object(module, attribute, stand_in))
        for (holder, attribute), value in values.items():
            stack.enter_context(mock.patch.object(holder, attribute, value))
        stack.enter_context(_without_type_checks())
        yield


@contextlib.contextmanager
def _without_type_checks() -> Iterator[None]:
    """The tests check the shapes of JAX's arrays at every call; these are others."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
