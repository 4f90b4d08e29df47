"""Several steps forward, one step back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fnnet._contracts import update_with
from fnnet._spec import check_range, spec, static
from fnnet.protocols import Key, Number, Optimizer, OptState, Params, is_spec_of, why_not


class LookaheadState(NamedTuple):
    """t the number of updates so far, inner of the inner optimizer, slow like params."""

    t: Number
    inner: OptState
    slow: Params


@spec
class Lookahead:
    """Lets an optimizer walk `steps` updates ahead, then goes a fraction of that way, and starts from there.

    inner  an optimizer, or a Chain of one with what belongs to it
    steps  k
    rate   alpha: the fraction of the way

        theta <- theta + u                       u the update of inner
        every k-th update, after that:
            phi   <- phi + alpha (theta - phi)
            theta <- phi

    phi, the slow parameters, start at theta; rate 1 is inner alone. Evaluate after a multiple of k updates, where theta
    is phi. inner keeps its own state across, momentum included, as optax.lookahead does, which needs two sets of
    parameters for it; optax and the paper also know to reset it. PyTorch and Keras have no counterpart.
    Source: Zhang, Lucas, Hinton, Ba 2019, arXiv 1907.08610, algorithm 1.
    """

    inner: Optimizer
    steps: int = static(default=5)
    rate: Number = 0.5

    def check(self) -> None:
        if not is_spec_of(self.inner, Optimizer):
            raise TypeError(
                f"Lookahead: expected inner to be an optimizer such as Adam(), {why_not(self.inner, Optimizer)}"
            )
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 1:
            raise ValueError(f"Lookahead: expected steps to be an int of 1 or more, got {self.steps!r}")
        check_range(self, "rate", required=True, low=0, high=1)

    def init(self, params: Params) -> LookaheadState:
        """phi = theta."""
        return LookaheadState(jnp.zeros((), jnp.int32), self.inner.init(params), jax.tree.map(jnp.asarray, params))

    def update(
        self, grads: Params, state: LookaheadState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, LookaheadState]:
        updates, inner = update_with(self.inner, grads, state.inner, params, key)
        t = state.t + 1
        goes_back = t % self.steps == 0
        target = jax.tree.map(lambda s, p, u: s + self.rate * (p + u - s), state.slow, params, updates)
        slow = jax.tree.map(lambda s, new: jnp.where(goes_back, new, s), state.slow, target)
        updates = jax.tree.map(lambda u, p, new: jnp.where(goes_back, new - p, u), updates, params, target)
        return updates, LookaheadState(t, inner, slow)
