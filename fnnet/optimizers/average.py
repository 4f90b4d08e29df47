"""A running average of the parameters: often better than any of the parameters it averages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.dtypes import canonicalize_dtype
from jaxtyping import Array

from fnnet._spec import check_range, parameter_dtype, spec
from fnnet.protocols import Key, Number, OptState, Params


class AverageState(NamedTuple):
    """c: (), the sum of all weights so far, what the average is divided by; mean: like params."""

    c: Number
    mean: Params


@spec
class Average:
    """Keeps the average of the parameters that updates lead to, and passes the updates on unchanged. Last in a Chain.

    decay  b: how slowly the average forgets; it reaches back about 1 / (1 - b) updates

        c <- b c + (1 - b)                                     = 1 - b^t where b is constant
        a <- a + (1 - b) / c (theta + u - a)

    c starts at 0, so a is the bias-corrected average of theta_1 .. theta_t: it never contains theta_0, and after one
    update it is theta_1. Before the first, it is theta_0. Average(RunningMean(start=1000)) gives equal weights to all
    that come after 1000 updates: stochastic weight averaging. Read it with

        fnnet.evaluate(model, fnnet.averaged(state.opt_state, state.params), data)

    optax.ema(b, debias=True) over the parameters is the same. PyTorch's AveragedModel with get_ema_multi_avg_fn(b) and
    Keras's use_ema have no correction and start at theta. Parameters that a layer absorbs after the update (running
    statistics) are averaged one update late. Source: Polyak, Juditsky 1992; exponential and corrected as in Kingma,
    Ba 2014, arXiv 1412.6980, section 7.2.
    """

    decay: Number

    def check(self) -> None:
        check_range(self, "decay", required=True, low=0, high=1, high_open=True)

    def init(self, params: Params) -> AverageState:
        """Nothing averaged yet: c is 0 and the mean is params."""
        c = jnp.zeros((), canonicalize_dtype(parameter_dtype(params)))
        return AverageState(c, jax.tree.map(jnp.asarray, params))

    def update(
        self, updates: Params, state: AverageState, params: Params, *, key: Key | None = None
    ) -> tuple[Params, AverageState]:
        c = self.decay * state.c + (1 - self.decay)
        fraction = (1 - self.decay) / c
        mean = jax.tree.map(lambda a, p, u: a + fraction * (p + u - a), state.mean, params, updates)
        return updates, AverageState(c, mean)


def averaged(opt_state: OptState, params: Params) -> Params:
    """The averaged parameters that an optimizer has kept, in the structure and dtype of params: those of Average, or
    those at which ScheduleFreeAdam is to be evaluated.

    What no optimizer moves (integers, running statistics) and what none averages (the other part of a Partition) is
    taken from params. Raises ValueError where nothing is averaged, or a parameter twice.
    """
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, AverageState))
    found = [node.mean for node in nodes if isinstance(node, AverageState)]

    def one(p: Array, *means: Array | None) -> Array:
        kept = [mean for mean in means if mean is not None]
        if len(kept) > 1 or not found:
            raise ValueError(
                f"averaged: expected the state of an optimizer with one Average, got {len(kept)} of them; "
                f"write Chain((Adam(), Average(0.999))), or ScheduleFreeAdam() without an Average"
            )
        return kept[0].astype(p.dtype) if kept else p

    return jax.tree.map(one, params, *found)
