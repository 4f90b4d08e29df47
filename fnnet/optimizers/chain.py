"""Links one after the other are a link."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from fnnet._spec import spec
from fnnet.protocols import Optimizer, is_spec_of


@spec
class Chain:
    """Links one after the other: each sees the updates of the one before.

    Link i draws from fold_in(key, i). What belongs to gradients stands before the optimizer, what belongs to updates
    or to the parameters they lead to behind it:

        Chain((ClipByGlobalNorm(1.0), GradientNoise(1e-3), Adam(1e-3), WeightDecay(1e-4), MaxNorm(2.0), Average(0.999)))
    """

    transformations: Sequence[Optimizer]

    def check(self) -> None:
        """Links come as a tuple of specs, one at least: without any, gradients would be added as they are."""
        parts = self.transformations if isinstance(self.transformations, tuple) else ()
        if not parts or not all(is_spec_of(part, Optimizer) for part in parts):
            raise TypeError(
                f"Chain: expected a tuple of optimizers, got {self.transformations!r}; write Chain((Adam(),))"
            )

    def init(self, params: Any) -> tuple:
        """One state a link."""
        return tuple(link.init(params) for link in self.transformations)

    def update(self, updates: Any, states: tuple, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, tuple]:
        """(updates of the last link, states)."""
        new = []
        for i, (link, state) in enumerate(zip(self.transformations, states, strict=True)):
            link_key = None if key is None else jax.random.fold_in(key, i)
            updates, state = link.update(updates, state, params, key=link_key)
            new.append(state)
        return updates, tuple(new)
