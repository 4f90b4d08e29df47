"""Penalties: terms of the loss that grow with the parameters and so keep them small.

    penalty.value(params)    -> ()
    penalty.gradient(params) -> like params

A *weight* is a parameter named `w`, a *bias* one named `b`: a NamedTuple's field or a dict key. Biases are left alone
unless asked. `fnnet.init_state` raises ValueError where a penalty finds nothing to act on.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._spec import check_range, parameter_dtype, spec
from fnnet.protocols import Number, Params, parameter_name

__all__ = ["L1", "L2"]


class _ByName:
    """What penalties share: a strength for weights and one for biases, and sums over the parameters of these names."""

    weights: Number | None
    biases: Number
    _size: Callable[[Array], Array]  # of one parameter, and its derivative
    _derivative: Callable[[Array], Array]

    def check(self) -> None:
        check_range(self, "weights", low=0)
        check_range(self, "biases", low=0)

    def acts_on(self) -> tuple[str, ...]:
        """Names of the parameters with a strength."""
        return tuple(name for name, strength in self._strengths().items() if strength is not None)

    def value(self, params: Params) -> Float[Array, ""]:
        total = jnp.zeros((), parameter_dtype(params))
        for path, p in jax.tree_util.tree_leaves_with_path(params):
            strength = _strength(self, path)
            total = total if strength is None else total + strength * self._size(p)
        return total

    def gradient(self, params: Params) -> Params:
        def one(path: jax.tree_util.KeyPath, p: Array) -> Array:
            strength = _strength(self, path)
            return jnp.zeros_like(p) if strength is None else strength * self._derivative(p)

        return jax.tree_util.tree_map_with_path(one, params)

    def _strengths(self) -> dict[str, Number]:
        return {"w": self.weights, "b": self.biases}


@spec
class L1(_ByName):
    """weights sum |w| + biases sum |b|: pulls every parameter toward 0 by the same amount, however small it is.

    Many end near 0, not exactly at it, since steps cross the kink. The derivative of s |w| is s sign(w), 0 at the kink.
    None leaves a part out. Acts only on parameters named `w` and `b`.
    """

    weights: Number | None
    biases: Number = None

    def _size(self, p: Array) -> Array:
        return jnp.abs(p).sum()

    def _derivative(self, p: Array) -> Array:
        return jnp.sign(p)


@spec
class L2(_ByName):
    """weights sum w^2 + biases sum b^2, without a half: pulls every parameter toward 0 in proportion to its size.

    The derivative of s w^2 is 2 s w. None leaves a part out. Acts only on parameters named `w` and `b`, as the module
    says.
    """

    weights: Number | None
    biases: Number = None

    def _size(self, p: Array) -> Array:
        return (p * p).sum()

    def _derivative(self, p: Array) -> Array:
        return 2 * p


def _strength(penalty: _ByName, path: jax.tree_util.KeyPath) -> Number:
    """The penalty's strength for the parameter at this path; None where it leaves the parameter alone."""
    return penalty._strengths().get(parameter_name(path))
