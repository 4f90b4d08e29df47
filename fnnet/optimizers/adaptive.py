"""Optimizers whose steps are measured in the gradient's own size, separately for each parameter."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet._spec import check_range, spec, static
from fnnet.protocols import Key, Number, Params


@spec
class AdaGrad:
    """The more a parameter's gradients have summed up to, the smaller its steps.

    learning_rate  eta
    initial        s0, in the sum from the start, so that first steps are not all of size eta; None: 0
    epsilon        e, added to the root

        s     <- s + g^2
        theta <- theta - eta g / (sqrt(s0 + s) + e)

    s starts at 0. PyTorch computes the same (initial_accumulator_value is s0, 0 unless told). Keras and optax have e
    inside the root, s0 = 0.1 and e = 1e-7 unless told. Source: Duchi, Hazan, Singer 2011, JMLR 12, 2121-2159.
    """

    learning_rate: Number = 1e-2
    initial: Number = None
    epsilon: Number = 1e-10

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "initial", low=0)
        check_range(self, "epsilon", required=True, low=0)

    def init(self, params: Params) -> Params:
        """s: zeros like params."""
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, grads: Params, s: Params, params: Params, *, key: Key | None = None) -> tuple[Params, Params]:
        s = jax.tree.map(lambda s, g: s + g * g, s, grads)

        def step(g: Array, s: Array) -> Array:
            total = s if self.initial is None else self.initial + s
            return -self.learning_rate * g / (jnp.sqrt(total) + self.epsilon)

        return jax.tree.map(step, grads, s), s


class RmsPropState(NamedTuple):
    """Each like params: v; m, None unless centered; the velocity u, None without momentum."""

    v: Params
    m: Params | None
    u: Params | None


@spec
class RmsProp:
    """Each parameter's step is measured in its own recent gradient size.

    learning_rate  eta
    decay          b: how slowly the averages forget
    epsilon        e, added to the root
    momentum       mu; None: without a velocity in memory
    centered       measure in the gradient's standard deviation instead of its root mean square

        v     <- b v + (1 - b) g^2
        u     <- mu u + g / (sqrt(v) + e)          without momentum: u = g / (sqrt(v) + e)
        theta <- theta - eta u

    centered: v is the variance, which is the average of g^2 less the square of the average m of g:

        v     <- b (v + (1 - b) (g - m)^2)
        m     <- m + (1 - b) (g - m)

    The two say the same, but a difference of two averages can round to below 0, and this cannot. Where gradients
    hardly change, v goes to 0 and steps grow: centered needs a larger e. v, m, u start at 0.

    PyTorch computes the same (its alpha is b). optax and Keras have e inside the root (optax: unless
    eps_in_sqrt=False), b = 0.9, and eta inside of u, which differs only while eta changes.
    Sources: Tieleman, Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning; Graves 2013, arXiv 1308.0850,
    centered and with momentum.
    """

    learning_rate: Number = 1e-2
    decay: Number = 0.99
    epsilon: Number = 1e-8
    momentum: Number = None
    centered: bool = static(default=False)

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "decay", required=True, low=0, high=1, high_open=True)
        check_range(self, "epsilon", required=True, low=0)
        check_range(self, "momentum", low=0, high=1)

    def init(self, params: Params) -> RmsPropState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return RmsPropState(zeros, zeros if self.centered else None, None if self.momentum is None else zeros)

    def update(
        self, grads: Params, state: RmsPropState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, RmsPropState]:
        v, m = self._averages(grads, state)
        direction = jax.tree.map(lambda g, v: g / (jnp.sqrt(v) + self.epsilon), grads, v)
        u = None
        if self.momentum is not None:
            u = direction = jax.tree.map(lambda u, d: self.momentum * u + d, state.u, direction)
        return jax.tree.map(lambda d: -self.learning_rate * d, direction), RmsPropState(v, m, u)

    def _averages(self, grads: Params, state: RmsPropState) -> tuple[Params, Params | None]:
        """(v, m)."""
        b = self.decay
        if not self.centered:
            return jax.tree.map(lambda v, g: b * v + (1 - b) * (g * g), state.v, grads), None
        off = jax.tree.map(lambda m, g: g - m, state.m, grads)
        v = jax.tree.map(lambda v, d: b * (v + (1 - b) * (d * d)), state.v, off)
        return v, jax.tree.map(lambda m, d: m + (1 - b) * d, state.m, off)


class AdaDeltaState(NamedTuple):
    """Averages, each like params: v of the squared gradients, d of the squared steps."""

    v: Params
    d: Params


@spec
class AdaDelta:
    """Steps in the parameters' own unit: recent step size over recent gradient size, times the gradient.

    learning_rate  eta; 1: as in the paper, which has none
    decay          b: how slowly the averages forget
    epsilon        e, inside both roots; with e = 0 no step would ever be taken

        v     <- b v + (1 - b) g^2
        s      = sqrt(d + e) / sqrt(v + e) g
        d     <- b d + (1 - b) s^2
        theta <- theta - eta s

    v and d start at 0. PyTorch and optax compute the same (their rho is b). Keras too, with eta = 0.001, b = 0.95
    and e = 1e-7 unless told. Source: Zeiler 2012, arXiv 1212.5701, algorithm 1.
    """

    learning_rate: Number = 1.0
    decay: Number = 0.9
    epsilon: Number = 1e-6

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "decay", required=True, low=0, high=1, high_open=True)
        check_range(self, "epsilon", required=True, low=0, low_open=True)

    def init(self, params: Params) -> AdaDeltaState:
        return AdaDeltaState(jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params))

    def update(
        self, grads: Params, state: AdaDeltaState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AdaDeltaState]:
        b, e = self.decay, self.epsilon
        v = jax.tree.map(lambda v, g: b * v + (1 - b) * (g * g), state.v, grads)
        s = jax.tree.map(lambda d, v, g: jnp.sqrt(d + e) / jnp.sqrt(v + e) * g, state.d, v, grads)
        d = jax.tree.map(lambda d, s: b * d + (1 - b) * (s * s), state.d, s)
        return jax.tree.map(lambda s: -self.learning_rate * s, s), AdaDeltaState(v, d)
