"""Schedules: numbers that change with the step. Any number of any spec may be one.

    schedule.value_at(step) -> the number      step: 0-d floating array, 0 at the first update

A schedule's length is its own and never comes from how many epochs are asked for, so training can be
cut and continued anywhere.
"""

from typing import Any

import jax.numpy as jnp

from fnnet.spec import Number, check_range, spec


@spec
class ConstantSchedule:
    """value, at every step."""

    value: Number

    def value_at(self, step: Any) -> Any:
        """value."""
        return self.value + 0 * step


@spec
class ExponentialDecay:
    """start rate^(step / steps): every `steps` updates the number is `rate` times what it was."""

    start: Number
    rate: Number
    steps: Number = 1.0

    def check(self) -> None:
        """A length is positive."""
        check_range(self, "rate", low=0)
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """start rate^(step / steps)."""
        return self.start * self.rate ** (step / self.steps)


@spec
class InverseTimeDecay:
    """start / (1 + rate step): big steps first, smaller ones later, never zero."""

    start: Number
    rate: Number

    def check(self) -> None:
        """A negative rate would divide by zero some day."""
        check_range(self, "rate", low=0)

    def value_at(self, step: Any) -> Any:
        """start / (1 + rate step)."""
        return self.start / (1 + self.rate * step)


@spec
class LinearSchedule:
    """A straight line from start to stop in `steps` updates, then stop."""

    start: Number
    stop: Number
    steps: Number

    def check(self) -> None:
        """A length is positive."""
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """start + (stop - start) min(step / steps, 1)."""
        return self.start + (self.stop - self.start) * jnp.minimum(step / self.steps, 1)


@spec
class CosineDecay:
    """Half a cosine wave from start down to stop in `steps` updates, then stop.

    Source: Loshchilov, Hutter 2016, arXiv 1608.03983, without restarts.
    """

    start: Number
    steps: Number
    stop: Number = 0.0

    def check(self) -> None:
        """A length is positive."""
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """stop + (start - stop) (1 + cos(pi min(step / steps, 1))) / 2."""
        wave = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / self.steps, 1)))
        return self.stop + (self.start - self.stop) * wave
