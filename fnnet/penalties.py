"""Penalties: a price on large parameters, added to the loss.

    penalty.value(params)    -> ()
    penalty.gradient(params) -> like params

A *weight* is a field named `w`, a *bias* one named `b`; biases are left alone unless asked.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fnnet._spec import Number, check_range, parameter_dtype, spec

__all__ = ["L1", "L2"]


@spec
class L1:
    """weights sum |w| + biases sum |b|: pushes small parameters to exactly 0. None leaves a part out."""

    weights: Number | None
    biases: Number = None

    def check(self) -> None:
        """A price is not negative."""
        check_range(self, "weights", low=0)
        check_range(self, "biases", low=0)

    def value(self, params: Any) -> Any:
        """sum over weights of |w| times their price, () of the parameters' dtype; and biases likewise."""
        return _total(self, params, lambda p: jnp.abs(p).sum())

    def gradient(self, params: Any) -> Any:
        """d/dw price |w| = price sign(w), at 0 the kink's 0. Like params, zeros where there is no price."""
        return _each(self, params, jnp.sign)


@spec
class L2:
    """weights sum w^2 + biases sum b^2, without a half: pulls every parameter towards 0 in proportion."""

    weights: Number | None
    biases: Number = None

    def check(self) -> None:
        """A price is not negative."""
        check_range(self, "weights", low=0)
        check_range(self, "biases", low=0)

    def value(self, params: Any) -> Any:
        """sum over weights of w^2 times their price, () of the parameters' dtype; and biases likewise."""
        return _total(self, params, lambda p: (p * p).sum())

    def gradient(self, params: Any) -> Any:
        """d/dw price w^2 = 2 price w. Like params, zeros where there is no price."""
        return _each(self, params, lambda p: 2 * p)


def _price(penalty: Any, path: tuple) -> Number:
    prices = {"w": penalty.weights, "b": penalty.biases}
    return prices.get(getattr(path[-1], "name", "")) if path else None


def _each(penalty: Any, params: Any, derivative: Callable[[Any], Any]) -> Any:
    def one(path: tuple, p: Any) -> Any:
        price = _price(penalty, path)
        return jnp.zeros_like(p) if price is None else price * derivative(p)

    return jax.tree_util.tree_map_with_path(one, params)


def _total(penalty: Any, params: Any, size: Callable[[Any], Any]) -> Any:
    total = jnp.zeros((), parameter_dtype(params))
    for path, p in jax.tree_util.tree_leaves_with_path(params):
        price = _price(penalty, path)
        total = total if price is None else total + price * size(p)
    return total
