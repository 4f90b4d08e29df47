"""Adam and its relatives: each parameter's step is divided by the size of its own recent gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.dtypes import canonicalize_dtype
from jax.typing import DTypeLike
from jaxtyping import Array

from fnnet._spec import check_range, parameter_dtype, spec
from fnnet._values import at_least_float32
from fnnet.optimizers.average import AverageState
from fnnet.optimizers.transformations import on_weights
from fnnet.protocols import Key, Number, OptState, Params


class AdamState(NamedTuple):
    """t the number of updates so far; m and v like params."""

    t: Number
    m: Params
    v: Params


class _Moments:
    """What Adam and its relatives share: their four numbers, and averages that start at 0."""

    learning_rate: Number
    beta1: Number
    beta2: Number
    epsilon: Number

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "beta1", required=True, low=0, high=1, high_open=True)
        check_range(self, "beta2", required=True, low=0, high=1, high_open=True)
        check_range(self, "epsilon", required=True, low=0)

    def init(self, params: Params) -> OptState:
        return _no_updates(params)


@spec
class Adam(_Moments):
    """Momentum, with each parameter's step divided by the root mean square of its own recent gradients.

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

    def update(
        self, grads: Params, state: AdamState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AdamState]:
        state = _averages(self, grads, state)
        return _steps(self, state), state


@spec
class AdamW(_Moments):
    """Adam with decoupled weight decay: every update shrinks every weight (named `w`) by the fraction eta lambda.

    learning_rate  eta
    beta1, beta2   b1, b2: how slowly the two averages forget
    epsilon        e, added to the root
    weight_decay   lambda

        m, v, m', v' as in Adam
        theta <- theta - eta m' / (sqrt(v') + e) - eta lambda theta      the last term for weights only

    The decay follows a schedule in eta; WeightDecay(eta * lambda) after Adam does the same at a rate of its own. It
    is not a penalty: Adam would divide a penalty's gradient by sqrt(v'), too, so that weights with large gradients
    would decay less than others.

    PyTorch and optax compute the same but decay biases too, unless parameter groups or a mask say otherwise; lambda is
    1e-2 in PyTorch, 1e-4 in optax, 4e-3 in Keras. Source: Loshchilov, Hutter 2017, arXiv 1711.05101, algorithm 2.
    """

    learning_rate: Number = 1e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8
    weight_decay: Number = 1e-2

    def check(self) -> None:
        super().check()
        check_range(self, "weight_decay", required=True, low=0)

    def acts_on(self) -> tuple[str, ...]:
        return ("w",)

    def update(
        self, grads: Params, state: AdamState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AdamState]:
        state = _averages(self, grads, state)
        rate = self.learning_rate * self.weight_decay
        return on_weights(lambda u, w: u - rate * w, _steps(self, state), params), state


class AmsGradState(NamedTuple):
    """What Adam keeps, and the largest v so far, like params."""

    adam: AdamState
    largest: Params


@spec
class AmsGrad(_Moments):
    """Adam that never forgets a large gradient: steps are divided by the root of the largest v so far.

    learning_rate  eta
    beta1, beta2   b1, b2: how slowly the two averages forget
    epsilon        e, added to the root

        m, v, m' as in Adam
        l <- max(l, v)
        theta <- theta - eta m' / (sqrt(l') + e),   l' = l / (1 - b2^t)

    l starts at 0. PyTorch's Adam(amsgrad=True) computes the same; so does Keras's, except that e is added before the
    correction. optax.amsgrad takes the largest of the corrected v', which never forgets the uncertain first ones.
    Source: Reddi, Kale, Kumar 2018, arXiv 1904.09237, algorithm 2, which has no corrections.
    """

    learning_rate: Number = 1e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8

    def init(self, params: Params) -> AmsGradState:
        return AmsGradState(_no_updates(params), jax.tree.map(jnp.zeros_like, params))

    def update(
        self, grads: Params, state: AmsGradState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AmsGradState]:
        adam = _averages(self, grads, state.adam)
        largest = jax.tree.map(jnp.maximum, state.largest, adam.v)
        return _steps(self, adam._replace(v=largest)), AmsGradState(adam, largest)


class NadamState(NamedTuple):
    """What Adam keeps, and c: (), the fraction of the momentum that is not its start."""

    adam: AdamState
    c: Number


@spec
class Nadam(_Moments):
    """Adam that looks ahead along its momentum, as Nesterov does.

    learning_rate   eta
    beta1, beta2    b1, b2: how slowly the two averages forget
    epsilon         e, added to the root
    momentum_decay  psi: lets the momentum mu_t grow from b1 / 2 to b1; None: mu_t = b1 from the start

        m, v, v' as in Adam
        mu_t = b1 (1 - 0.96^(t psi) / 2)       without psi: mu_t = b1
        c_t  = 1 - mu_1 mu_2 .. mu_t
        theta <- theta - eta n / (sqrt(v') + e),   n = (1 - mu_t) g / c_t + mu_(t+1) m / c_(t+1)

    With psi = 0.004 PyTorch's NAdam computes the same, with psi = 1 Keras's Nadam; without psi, optax.nadam does. c is
    computed as c <- mu_t c + (1 - mu_t) from 0. Source: Dozat 2016, Incorporating Nesterov momentum into Adam, ICLR
    workshop, algorithm 2.
    """

    learning_rate: Number = 1e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8
    momentum_decay: Number = None

    def check(self) -> None:
        super().check()
        check_range(self, "momentum_decay", low=0)

    def init(self, params: Params) -> NadamState:
        return NadamState(_no_updates(params), jnp.zeros((), canonicalize_dtype(parameter_dtype(params))))

    def update(
        self, grads: Params, state: NadamState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, NadamState]:
        adam = _averages(self, grads, state.adam)
        mu, mu_next = self._momentum(adam.t, state.c.dtype), self._momentum(adam.t + 1, state.c.dtype)
        c = mu * state.c + (1 - mu)
        now, ahead = (1 - mu) / c, mu_next / (mu_next * c + (1 - mu_next))
        n = jax.tree.map(lambda g, m: now * g + ahead * m, grads, adam.m)
        return _along(self, self.learning_rate, n, adam), NadamState(adam, c)

    def _momentum(self, t: Array, dtype: DTypeLike) -> Number:
        """mu_t."""
        if self.momentum_decay is None:
            return self.beta1
        return self.beta1 * (1 - 0.5 * 0.96 ** (t.astype(dtype) * self.momentum_decay))


class AdaMaxState(NamedTuple):
    """t the number of updates so far; m and u like params."""

    t: Number
    m: Params
    u: Params


@spec
class AdaMax(_Moments):
    """Adam in the maximum norm: each parameter's step is divided by its largest recent gradient.

    learning_rate  eta
    beta1, beta2   b1, b2: how slowly average and maximum forget
    epsilon        e, added to the size of every gradient

        m <- b1 m + (1 - b1) g
        u <- max(b2 u, |g| + e)
        theta <- theta - eta m / (1 - b1^t) / u

    m and u start at 0; a maximum needs no correction. PyTorch and optax compute the same; Keras adds e to u.
    Source: Kingma, Ba 2014, arXiv 1412.6980, algorithm 2, which has no e.
    """

    learning_rate: Number = 2e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8

    def init(self, params: Params) -> AdaMaxState:
        return AdaMaxState(*_no_updates(params))

    def update(
        self, grads: Params, state: AdaMaxState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AdaMaxState]:
        b1, b2, t = self.beta1, self.beta2, state.t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.m, grads)
        u = jax.tree.map(lambda u, g: jnp.maximum(b2 * u, jnp.abs(g) + self.epsilon), state.u, grads)
        rate = self.learning_rate / _forgotten(b1, t, m)
        updates = jax.tree.map(lambda m, u: -rate * m / u, m, u)
        return updates, AdaMaxState(t, m, u)


class ScheduleFreeState(NamedTuple):
    """t the number of updates so far; v and z like params; average: of every z so far, which `averaged` reads."""

    t: Number
    v: Params
    z: Params
    average: AverageState


@spec
class ScheduleFreeAdam(_Moments):
    """Adam without a schedule: an average of where it has been takes the place of a learning rate that decays.

    learning_rate  eta; a Warmup at most
    beta1          b1: how far the parameters are on the way from z to the average x
    beta2          b2: how slowly v forgets
    epsilon        e, added to the root
    weight_decay   lambda, of weights (parameters named `w`); None: no decay

        v <- b2 v + (1 - b2) g^2,   v' = v / (1 - b2^t)
        z <- z - eta (g / (sqrt(v') + e) + lambda theta)
        c <- c + eta^2
        x <- x + eta^2 / c (z - x)
        theta <- b1 x + (1 - b1) z

    v and c start at 0, z and x at theta. g is the gradient at theta (y in the paper); the network to use is x:

        fnnet.evaluate(model, fnnet.averaged(state.opt_state, state.params), data)

    So x is the mean of z_1 .. z_t, each weighted with the square of its learning rate: during a Warmup little, then all
    alike. A rate that decays afterwards would let x hardly move. theta follows from x and z, whatever else has moved
    it: decay the weights here, not by WeightDecay or MaxNorm after it. Running statistics are those of theta, not of x.

    The authors' package and optax.contrib.schedule_free_adamw compute x from theta and z, which saves memory and wants
    b1 > 0, and weigh with the square of the largest rate so far, which differs once the rate falls; both decay biases,
    too. Source: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024, arXiv 2405.15682, algorithm 1, where eta
    includes sqrt(1 - b2^t), which is left in v' here, as in the package.
    """

    learning_rate: Number = 2.5e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8
    weight_decay: Number = None

    def check(self) -> None:
        super().check()
        check_range(self, "weight_decay", low=0)

    def acts_on(self) -> tuple[str, ...]:
        return () if self.weight_decay is None else ("w",)

    def init(self, params: Params) -> ScheduleFreeState:
        """z = x = theta, without any weight."""
        start, z = _no_updates(params), jax.tree.map(jnp.asarray, params)
        c = jnp.zeros((), canonicalize_dtype(parameter_dtype(params)))
        return ScheduleFreeState(start.t, start.v, z, AverageState(c, z))

    def update(
        self, grads: Params, state: ScheduleFreeState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, ScheduleFreeState]:
        rate, b1, b2 = self.learning_rate, self.beta1, self.beta2
        t, v = state.t + 1, jax.tree.map(lambda v, g: b2 * v + (1 - b2) * (g * g), state.v, grads)
        z = jax.tree.map(jnp.add, state.z, _along(self, rate, grads, AdamState(t, None, v)))
        if self.weight_decay is not None:
            z = on_weights(lambda z, w: z - rate * self.weight_decay * w, z, params)
        c = state.average.c + rate * rate
        fraction = rate * rate / jnp.where(c == 0, 1, c)
        x = jax.tree.map(lambda x, z: x + fraction * (z - x), state.average.mean, z)
        updates = jax.tree.map(lambda x, z, p: b1 * x + (1 - b1) * z - p, x, z, params)
        return updates, ScheduleFreeState(t, v, z, AverageState(c, x))


def _no_updates(params: Params) -> AdamState:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return AdamState(jnp.zeros((), jnp.int32), zeros, zeros)


def _averages(owner: _Moments, grads: Params, state: AdamState) -> AdamState:
    """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2."""
    b1, b2 = owner.beta1, owner.beta2
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * (g * g), state.v, grads)
    return AdamState(state.t + 1, m, v)


def _steps(owner: _Moments, state: AdamState) -> Params:
    """-eta m' / (sqrt(v') + e), like params, with eta m' = eta / (1 - b1^t) m."""
    return _along(owner, owner.learning_rate / _forgotten(owner.beta1, state.t, state.m), state.m, state)


def _along(owner: _Moments, rate: Number, directions: Params, state: AdamState) -> Params:
    """-rate direction / (sqrt(v') + e), like params."""
    correction = _forgotten(owner.beta2, state.t, state.v)

    def step(direction: Array, v: Array) -> Array:
        return -rate * direction / (jnp.sqrt(v / correction) + owner.epsilon)

    return jax.tree.map(step, directions, state.v)


def _forgotten(beta: Number, t: Array, average: Params) -> Array:
    """1 - beta^t, (): the fraction of a running average that is not its start; computed in float32 or better."""
    dtype = parameter_dtype(average)
    wide = at_least_float32(dtype)
    return (1 - jnp.asarray(beta, wide) ** t.astype(wide)).astype(dtype)
