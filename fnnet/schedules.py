"""Schedules: numbers that change with the step. Any number of any spec may be one.

    schedule.value_at(step) -> the number      step: 0-d floating array, 0 at the first update

A schedule's length is its own and never comes from how many epochs are asked for, so training can be
cut and continued anywhere. The numbers of a schedule may be schedules too, read at the same step; one that says
`reads_its_own_parts`, such as Warmup, reads them at a step of its own.
"""

from typing import Any

import jax.numpy as jnp

from fnnet._spec import Number, at_step, check_range, spec

__all__ = [
    "ConstantSchedule",
    "CosineDecay",
    "CosineRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearSchedule",
    "Noam",
    "OneCycle",
    "PolynomialDecay",
    "RunningMean",
    "StepDecay",
    "Warmup",
    "WarmupStableDecay",
]


@spec
class ConstantSchedule:
    """value, at every step."""

    value: Number

    def value_at(self, step: Any) -> Any:
        return self.value + 0 * step


@spec
class ExponentialDecay:
    """start rate^(step / steps): every `steps` updates the number is `rate` times what it was."""

    start: Number
    rate: Number
    steps: Number = 1.0

    def check(self) -> None:
        check_range(self, "rate", low=0)
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """start rate^(step / steps)."""
        return self.start * self.rate ** (step / self.steps)


@spec
class StepDecay:
    """start rate^floor(step / steps): `rate` times what it was, at once, after every `steps` updates.

    PyTorch's StepLR(step_size=steps, gamma=rate); optax's and Keras's exponential decay with staircase=True.
    """

    start: Number
    rate: Number
    steps: Number

    def check(self) -> None:
        check_range(self, "rate", low=0)
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """start rate^floor(step / steps)."""
        return self.start * self.rate ** jnp.floor(step / self.steps)


@spec
class InverseTimeDecay:
    """start / (1 + rate step): big steps first, smaller ones later, never zero."""

    start: Number
    rate: Number

    def check(self) -> None:
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
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """start + (stop - start) min(step / steps, 1)."""
        return self.start + (self.stop - self.start) * jnp.minimum(step / self.steps, 1)


@spec
class PolynomialDecay:
    """From start to stop in `steps` updates along (1 - x)^power, then stop: the higher the power, the steeper at first.

    Power 1 is a straight line. optax's polynomial_schedule and Keras's PolynomialDecay; in PyTorch, PolynomialLR ends
    at 0.
    """

    start: Number
    steps: Number
    power: Number
    stop: Number = 0.0

    def check(self) -> None:
        check_range(self, "steps", low=0, low_open=True)
        check_range(self, "power", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """stop + (start - stop) (1 - min(step / steps, 1))^power."""
        return self.stop + (self.start - self.stop) * (1 - jnp.minimum(step / self.steps, 1)) ** self.power


@spec
class CosineDecay:
    """Half a cosine wave from start down to stop in `steps` updates, then stop.

    Source: Loshchilov, Hutter 2016, arXiv 1608.03983, without restarts.
    """

    start: Number
    steps: Number
    stop: Number = 0.0

    def check(self) -> None:
        check_range(self, "steps", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """stop + (start - stop) (1 + cos(pi min(step / steps, 1))) / 2."""
        return _cosine(self.start, self.stop, step / self.steps)


def _cosine(start: Any, stop: Any, x: Any) -> Any:
    """Half a cosine wave from start at x = 0 to stop at x = 1, and stop from there."""
    wave = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(x, 1)))
    return stop + (start - stop) * wave


@spec
class CosineRestarts:
    """Half a cosine wave from start down toward stop in `steps` updates, and again from the top, forever.

    growth  factor by which each cycle is longer than the one before; None: all are `steps` long
    shrink  factor on the height above stop from each cycle to the next; None: all start at `start`

    With growth a, cycle n begins at steps (1 + a + .. + a^(n-1)), rounded to a whole step (halves to the even one).
    PyTorch's CosineAnnealingWarmRestarts(T_0=steps, T_mult=a, eta_min=stop), Keras's CosineDecayRestarts(steps,
    t_mul=a, m_mul=shrink). Source: Loshchilov, Hutter 2016, arXiv 1608.03983.
    """

    start: Number
    steps: Number
    stop: Number = 0.0
    growth: Number = None
    shrink: Number = None

    def check(self) -> None:
        check_range(self, "steps", low=0, low_open=True)
        check_range(self, "growth", low=1)
        check_range(self, "shrink", low=0)

    def value_at(self, step: Any) -> Any:
        """stop + (start - stop) shrink^n (1 + cos(pi x)) / 2, at x of cycle n."""
        n, x = self._fixed(step) if self.growth is None else self._growing(step)
        top = self.start if self.shrink is None else self.stop + (self.start - self.stop) * self.shrink**n
        return _cosine(top, self.stop, x)

    def _fixed(self, step: Any) -> tuple[Any, Any]:
        """Which cycle, and how far into it (0 to 1), where all have the same length."""
        n = jnp.floor(step / self.steps)
        return n, (step - n * self.steps) / self.steps

    def _growing(self, step: Any) -> tuple[Any, Any]:
        """The same where they grow: n from the logarithm, which rounding can put one off, then where it begins."""
        a = jnp.asarray(self.growth, step.dtype)
        log = jnp.log(jnp.where(a == 1, 2, a))

        def begin(n: Any) -> Any:
            return jnp.round(self.steps * jnp.where(a == 1, n, jnp.expm1(n * log) / jnp.where(a == 1, 1, a - 1)))

        n = jnp.floor(jnp.where(a == 1, step / self.steps, jnp.log1p(step / self.steps * (a - 1)) / log))
        n = n + (step >= begin(n + 1)).astype(n.dtype) - (step < begin(n)).astype(n.dtype)
        return n, (step - begin(n)) / (begin(n + 1) - begin(n))


@spec
class OneCycle:
    """Up to peak in the fraction `rise` of `steps` updates and down again, along half cosine waves, then constant.

    start_divisor  it starts at peak / start_divisor
    stop_divisor   it ends at peak / start_divisor / stop_divisor

    optax's cosine_onecycle_schedule(steps, peak, pct_start=rise, start_divisor, stop_divisor). PyTorch's OneCycleLR is
    at its peak and its end one update earlier, and by default varies the momentum in the opposite direction, for which
    momentum here has a schedule of its own. Sources: Smith 2018, arXiv 1803.09820; Smith, Topin 2017, arXiv 1708.07120.
    """

    peak: Number
    steps: Number
    rise: Number = 0.3
    start_divisor: Number = 25.0
    stop_divisor: Number = 1e4

    def check(self) -> None:
        check_range(self, "steps", low=0, low_open=True)
        check_range(self, "rise", low=0, low_open=True, high=1, high_open=True)
        check_range(self, "start_divisor", low=0, low_open=True)
        check_range(self, "stop_divisor", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """Half a cosine wave from start to peak, then one from peak to stop."""
        start, top = self.peak / self.start_divisor, self.rise * self.steps
        up = _cosine(start, self.peak, step / top)
        down = _cosine(self.peak, start / self.stop_divisor, (step - top) / (self.steps - top))
        return jnp.where(step < top, up, down)


@spec
class WarmupStableDecay:
    """Up to peak in a straight line, `stable` updates there, down to stop in a straight line, then stop.

    The first update has peak / warmup, the last of the `warmup` updates peak, as in Warmup. How long the middle is
    need not be known beforehand: train on with a larger `stable`, from any state before the decay.
    Sources: Zhai, Kolesnikov, Houlsby, Beyer 2021, arXiv 2106.04560; Hu, Tu, Han and others 2024, arXiv 2404.06395,
    who decay exponentially.
    """

    peak: Number
    warmup: Number
    stable: Number
    decay: Number
    stop: Number = 0.0

    def check(self) -> None:
        check_range(self, "warmup", low=0, low_open=True)
        check_range(self, "stable", low=0)
        check_range(self, "decay", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """peak min((step + 1) / warmup, 1), less (peak - stop) times the fraction of the decay that is over."""
        over = jnp.clip((step - self.warmup - self.stable) / self.decay, 0, 1)
        return self.peak * jnp.minimum((step + 1) / self.warmup, 1) - (self.peak - self.stop) * over


@spec
class Noam:
    """scale width^(-1/2) min(t^(-1/2), t warmup^(-3/2)), t = step + 1: a straight line up, then down as 1 / sqrt(t).

    Highest after `warmup` updates, at scale (width warmup)^(-1/2). width is that of the model: the paper's d_model.
    Source: Vaswani, Shazeer, Parmar and others 2017, arXiv 1706.03762, section 5.3; named after Noam Shazeer.
    """

    width: Number
    warmup: Number
    scale: Number = 1.0

    def check(self) -> None:
        check_range(self, "width", low=0, low_open=True)
        check_range(self, "warmup", low=0, low_open=True)

    def value_at(self, step: Any) -> Any:
        """scale width^(-1/2) min(t^(-1/2), t warmup^(-3/2))."""
        t = step + 1
        return self.scale * self.width**-0.5 * jnp.minimum(t**-0.5, t * self.warmup**-1.5)


@spec
class RunningMean:
    """n / (n + 1), n = max(step - start, 0): the decay with which an Average is a plain mean from `start` on.

        Average(RunningMean(start=1000))

    The average is theta itself as long as decay is 0; with n / (n + 1) it moves 1 / (n + 1) of the way to each new
    theta, so that it is the mean of the parameters after update start + 1 (counted from 1) and after every later one.
    In float32, 1 - decay is rounded by up to (n + 1) 3e-8 of itself, and the weights of n parameters with it. This is
    stochastic weight averaging: let the learning rate go down to a constant, not 0, until `start`. PyTorch's
    AveragedModel is the same where it is updated in every step; optax and Keras have no counterpart.
    Source: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson 2018, arXiv 1803.05407.
    """

    start: Number = 0.0

    def check(self) -> None:
        check_range(self, "start", low=0)

    def value_at(self, step: Any) -> Any:
        """n / (n + 1)."""
        n = jnp.maximum(step - self.start, 0)
        return n / (n + 1)


@spec
class Warmup:
    """A straight line up, then schedule (any, or a number), which starts to count when the line has ended.

    The line ends at what schedule is at its step 0. The first update has 1 / steps of it and the last of the `steps`
    updates all of it, so no update is spent on 0: Noam starts in the same way, PyTorch's LinearLR(1 / steps,
    total_iters=steps - 1) too. optax's warm-up is at 0 first, and reaches the schedule one update later.
    """

    schedule: Number
    steps: Number

    reads_its_own_parts = True

    def check(self) -> None:
        check_range(self, "steps", low=0, low_open=True)
        if self.schedule is None:
            raise ValueError("Warmup: expected schedule to be a schedule or a number, got None")

    def value_at(self, step: Any) -> Any:
        """min((step + 1) / steps, 1) schedule(max(step - steps, 0))."""
        steps = at_step(self.steps, step, step.dtype)
        number = at_step(self.schedule, jnp.maximum(step - steps, 0), step.dtype)
        return number * jnp.minimum((step + 1) / steps, 1)
