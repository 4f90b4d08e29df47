"""Links one after the other are a link."""

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from fnnet.spec import is_built, spec


@spec
class Chain:
    """Links one after the other: each sees the updates of the one before.

    Link i draws from fold_in(key, i). What belongs to gradients stands before the optimizer, what belongs to updates
    or to the parameters they lead to behind it:

        Chain((ClipByGlobalNorm(1.0), GradientNoise(1e-3), Adam(1e-3), WeightDecay(1e-4), MaxNorm(2.0), Average(0.999)))
    """

    links: Any

    def check(self) -> None:
        """Links come as a tuple of specs, one at least: without any, gradients would be added as they are."""
        links = self.links if isinstance(self.links, tuple) else ()
        if not links or not all(is_built(link, "init", "update") for link in links):
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
