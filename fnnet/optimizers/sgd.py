"""Descent along the gradient, along a velocity, or along the sign of one."""

import jax
import jax.numpy as jnp

from fnnet._spec import check_range, spec, static
from fnnet.protocols import Key, Number, OptState, Params


@spec
class Sgd:
    """Gradient descent, with momentum where asked.

    learning_rate  eta; below 0 after another optimizer in a Chain: its updates times -eta
    momentum       mu; None: plain descent, without a velocity in memory
    nesterov       look ahead along the velocity; needs momentum

        plain      theta <- theta - eta g
        momentum   v <- mu v + g;   theta <- theta - eta v
        nesterov   v <- mu v + g;   theta <- theta - eta (g + mu v)

    v starts at 0. eta is applied outside v, as in PyTorch and optax; Keras applies it inside, which differs
    only while eta changes. Sources: Polyak 1964; Nesterov in the form of Sutskever, Martens, Dahl, Hinton 2013.
    """

    learning_rate: Number
    momentum: Number = None
    nesterov: bool = static(default=False)

    def check(self) -> None:
        check_range(self, "learning_rate", required=True)
        check_range(self, "momentum", low=0, high=1)
        if self.nesterov and self.momentum is None:
            raise ValueError("Sgd: nesterov=True needs a momentum; write momentum=0.9")

    def init(self, params: Params) -> OptState:
        return None if self.momentum is None else jax.tree.map(jnp.zeros_like, params)

    def update(self, grads: Params, v: OptState, params: Params, *, key: Key | None = None) -> tuple[Params, OptState]:
        if self.momentum is None:
            return jax.tree.map(lambda g: -self.learning_rate * g, grads), None
        v = jax.tree.map(lambda v, g: self.momentum * v + g, v, grads)
        ahead = jax.tree.map(lambda v, g: g + self.momentum * v, v, grads) if self.nesterov else v
        return jax.tree.map(lambda a: -self.learning_rate * a, ahead), v


@spec
class Lion:
    """Every parameter moves by eta, up or down: the sign of a mixture of gradient and momentum.

    learning_rate  eta
    beta1          b1: how much of the momentum is in the mixture
    beta2          b2: how slowly the momentum forgets

        theta <- theta - eta sign(b1 m + (1 - b1) g)
        m     <- b2 m + (1 - b2) g

    m starts at 0; sign(0) = 0. eta should be 3 to 10 times smaller than Adam's. The weight decay of the paper,
    theta <- theta - eta lambda theta, is a transformation of its own: Chain((Lion(eta), WeightDecay(eta * lambda))).
    optax has it inside, 1e-3 by default; Keras computes the same as here; PyTorch has no Lion.
    Source: Chen, Liang, Huang and others 2023, arXiv 2302.06675, algorithm 2.
    """

    learning_rate: Number = 1e-4
    beta1: Number = 0.9
    beta2: Number = 0.99

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "beta1", required=True, low=0, high=1, high_open=True)
        check_range(self, "beta2", required=True, low=0, high=1, high_open=True)

    def init(self, params: Params) -> OptState:
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, grads: Params, m: Params, params: Params, *, key: Key | None = None) -> tuple[Params, Params]:
        b1, b2 = self.beta1, self.beta2
        updates = jax.tree.map(lambda m, g: -self.learning_rate * jnp.sign(b1 * m + (1 - b1) * g), m, grads)
        return updates, jax.tree.map(lambda m, g: b2 * m + (1 - b2) * g, m, grads)
