"""Gradient transformations in sequence are a gradient transformation."""

from collections.abc import Sequence

import jax

from fnnet._contracts import update_with
from fnnet._spec import spec
from fnnet.protocols import Key, Optimizer, OptState, Params, is_spec_of, why_not


@spec
class Chain:
    """Gradient transformations in sequence: each sees the updates of the one before.

    Transformation i draws from fold_in(key, i). What works on gradients comes before the optimizer, what works on
    updates or on the parameters they lead to comes after it:

        Chain((ClipByGlobalNorm(1.0), GradientNoise(1e-3), Adam(1e-3), WeightDecay(1e-4), MaxNorm(2.0), Average(0.999)))
    """

    transformations: Sequence[Optimizer]

    def check(self) -> None:
        if not isinstance(self.transformations, tuple) or not self.transformations:
            raise TypeError(
                f"Chain: expected a tuple of optimizers, got {self.transformations!r}; write Chain((Adam(),))"
            )
        for i, part in enumerate(self.transformations):
            if not is_spec_of(part, Optimizer):
                raise TypeError(
                    f"Chain: expected transformation {i} to be an optimizer such as Adam(), {why_not(part, Optimizer)}"
                )

    def init(self, params: Params) -> tuple[OptState, ...]:
        """One state per transformation."""
        return tuple(part.init(params) for part in self.transformations)

    def update(
        self, updates: Params, states: tuple[OptState, ...], params: Params, *, key: Key | None = None
    ) -> tuple[Params, tuple[OptState, ...]]:
        new = []
        for i, (part, state) in enumerate(zip(self.transformations, states, strict=True)):
            part_key = None if key is None else jax.random.fold_in(key, i)
            updates, state = update_with(part, updates, state, params, part_key)
            new.append(state)
        return updates, tuple(new)
