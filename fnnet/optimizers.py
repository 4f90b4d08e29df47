"""Optimizers: from gradients to updates. Every one is a link, and links make chains.

    optimizer.init(params)                               -> opt_state
    optimizer.update(grads, opt_state, params, key=None) -> (updates, opt_state)

Updates are *added* to the parameters, so they carry the minus sign of descent. Symbols in the docstrings:
theta the parameters, g their gradient, eta the learning rate, t the update's number from 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from fnnet.spec import Number, at_least_float32, check_range, is_built, spec, static


@spec
class Sgd:
    """Gradient descent, with momentum where asked.

    learning_rate  eta
    momentum       mu; None: plain descent, without a velocity in memory
    nesterov       look ahead along the velocity; needs momentum

        plain      theta <- theta - eta g
        momentum   v <- mu v + g;   theta <- theta - eta v
        nesterov   v <- mu v + g;   theta <- theta - eta (g + mu v)

    v starts at 0. eta is outside of v, as in PyTorch and optax; Keras has it inside, which differs only
    while eta changes. Sources: Polyak 1964; Nesterov in the form of Sutskever, Martens, Dahl, Hinton 2013.
    """

    learning_rate: Number
    momentum: Number = None
    nesterov: bool = static(default=False)

    def check(self) -> None:
        """Nesterov looks ahead along a velocity, so it needs one."""
        check_range(self, "learning_rate", required=True)
        check_range(self, "momentum", low=0, high=1)
        if self.nesterov and self.momentum is None:
            raise ValueError("Sgd: nesterov=True needs a momentum; write momentum=0.9")

    def init(self, params: Any) -> Any:
        """v: zeros like params, or None without momentum."""
        return None if self.momentum is None else jax.tree.map(jnp.zeros_like, params)

    def update(self, grads: Any, v: Any, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, Any]:
        """(updates, v)."""
        if self.momentum is None:
            return jax.tree.map(lambda g: -self.learning_rate * g, grads), None
        v = jax.tree.map(lambda v, g: self.momentum * v + g, v, grads)
        ahead = jax.tree.map(lambda v, g: g + self.momentum * v, v, grads) if self.nesterov else v
        return jax.tree.map(lambda a: -self.learning_rate * a, ahead), v


class AdamState(NamedTuple):
    """t the number of updates so far; m and v like params."""

    t: Any
    m: Any
    v: Any


@spec
class Adam:
    """Momentum, with each parameter's step measured in its own recent gradient size.

    learning_rate  eta
    beta1, beta2   b1, b2: how slowly the two averages forget
    epsilon        e, added to the root

        m <- b1 m + (1 - b1) g          the average gradient
        v <- b2 v + (1 - b2) g^2        the average squared gradient
        theta <- theta - eta m' / (sqrt(v') + e),   m' = m / (1 - b1^t),   v' = v / (1 - b2^t)

    m and v start at 0 and are too small at first; m' and v' make up for it. PyTorch and optax compute the
    same; Keras adds e before the second correction. Source: Kingma, Ba 2014, arXiv 1412.6980, algorithm 1.
    """

    learning_rate: Number = 1e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8

    def check(self) -> None:
        """An average that forgets nothing never learns anything."""
        check_range(self, "learning_rate", required=True)
        check_range(self, "beta1", required=True, low=0, high=1, high_open=True)
        check_range(self, "beta2", required=True, low=0, high=1, high_open=True)
        check_range(self, "epsilon", required=True, low=0)

    def init(self, params: Any) -> AdamState:
        """No updates yet, both averages 0."""
        return AdamState(
            jnp.zeros((), jnp.int32),
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(jnp.zeros_like, params),
        )

    def update(
        self, grads: Any, state: AdamState, params: Any, *, key: PRNGKeyArray | None = None
    ) -> tuple[Any, AdamState]:
        """(updates, AdamState)."""
        b1, b2, t = self.beta1, self.beta2, state.t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * (g * g), state.v, grads)

        def step(m: Any, v: Any) -> Any:
            root = jnp.sqrt(v / _forgotten(b2, t, v.dtype))
            return -self.learning_rate * (m / _forgotten(b1, t, m.dtype)) / (root + self.epsilon)

        return jax.tree.map(step, m, v), AdamState(t, m, v)


def _forgotten(beta: Number, t: Any, dtype: Any) -> Any:
    """1 - beta^t, the share of a running average that is not its start; in float32 or better."""
    wide = at_least_float32(dtype)
    return (1 - jnp.asarray(beta, wide) ** t.astype(wide)).astype(dtype)


@spec
class Chain:
    """Links one after the other: each sees the updates of the one before.

    Link i draws from fold_in(key, i).
    """

    links: Any

    def check(self) -> None:
        """Links come as a tuple of specs."""
        if not isinstance(self.links, tuple) or not all(is_built(link, "init", "update") for link in self.links):
            raise TypeError(f"Chain: expected a tuple of optimizers, got {self.links!r}; write Chain((Adam(),))")

    def init(self, params: Any) -> tuple:
        """One state a link."""
        return tuple(link.init(params) for link in self.links)

    def update(self, updates: Any, states: tuple, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, tuple]:
        """(updates of the last link, states)."""
        new = []
        for i, (link, state) in enumerate(zip(self.links, states, strict=True)):
            link_key = None if key is None else jax.random.fold_in(key, i)
            updates, state = link.update(updates, state, params, key=link_key)
            new.append(state)
        return updates, tuple(new)
