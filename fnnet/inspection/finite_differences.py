"""Slopes of a function by central differences: what a gradient must agree with, however it was derived.

    S(h) = (L(t + h v) - L(t - h v)) / 2h,     slope along v  =  (4 S(h / 2) - S(h)) / 3  +  O(h^4)

in float64. Richardson's combination of two steps takes the error of order h^2 out, which matters where inputs are
large. h is 1e-5 times the size of the tensor's entries (their root mean square), so that scales do not matter.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet._xla.compile_once import jit_once

STEP = 1e-5
EPS = float(np.finfo(np.float64).eps)
SMALL = 64  # entries up to which a tensor is probed entry by entry
DIRECTIONS = 32


class Slopes(NamedTuple):
    """What was measured along the probes of one tensor, (P,) each.

    mine      <gradient, direction>
    measured by finite differences
    kinked    whether the function has a kink within a step, so that no slope exists
    noise     () rounding in the norm of `measured`: 30 eps |L| / h per probe
    places    each probe in words: `[2, 1]` or `direction 5`
    """

    mine: np.ndarray
    measured: np.ndarray
    kinked: np.ndarray
    noise: float
    places: list[str]


class _Probe(NamedTuple):
    """One direction: entry `entry` of tensor `tensor`, or (entry -1) a random one from `seed`."""

    tensor: Any
    entry: Any
    seed: Any


def slopes(
    terms: Callable[[list[Array]], Array], tensors: list[Array], grads: list[Array], key: PRNGKeyArray
) -> list[Slopes]:
    """Slopes of L = terms(tensors).sum() along every entry (or 32 random directions) of every tensor.

    tensors, grads   float64, alike in shape; grads are compared to the differences. One compiled program.
    """
    plan = [
        _Probe(i, entry, seed)
        for i, value in enumerate(tensors)
        for seed, entry in enumerate(range(value.size) if value.size <= SMALL else [-1] * DIRECTIONS)
    ]
    if not plan:
        return [Slopes(np.zeros(0), np.zeros(0), np.zeros(0, bool), 0.0, []) for _ in tensors]

    steps = jnp.stack([jnp.where((t != 0).any(), STEP * jnp.sqrt((t * t).mean()), STEP) for t in tensors])

    def measure(probe: _Probe) -> tuple[Array, Array]:
        h = steps[probe.tensor]
        v = [_direction(probe, j, t, key) for j, t in enumerate(tensors)]
        moved = [terms([t + s * h * d for t, d in zip(tensors, v, strict=True)]).sum() for s in (-1, -0.5, 0, 0.5, 1)]
        along = sum(((g * d).sum() for g, d in zip(grads, v, strict=True)), start=jnp.zeros((), jnp.float64))
        return along, jnp.stack(moved)

    probes = _Probe(*(jnp.asarray(column, jnp.int32) for column in zip(*plan, strict=True)))
    (mine, values), here = jit_once(lambda: (jax.lax.map(measure, probes), jnp.abs(terms(tensors)).sum()))()
    mine, values, size = np.asarray(mine), np.asarray(values), float(here)
    found = []
    for i, value in enumerate(tensors):
        own = np.array([probe.tensor == i for probe in plan])
        h = float(steps[i])
        noise = 30 * EPS * size / h * float(np.sqrt(own.sum()))
        measured = (4 * (values[own, 3] - values[own, 1]) / h - (values[own, 4] - values[own, 0]) / (2 * h)) / 3
        places = [_place(probe, value.shape) for probe in plan if probe.tensor == i]
        found.append(Slopes(mine[own], measured, kinks(values[own], h, size), noise, places))
    return found


def kinks(values: np.ndarray, h: float, size: float) -> np.ndarray:
    """(P,) bool: which probes of a tensor see a kink within a step, or too much curvature for finite differences.

    values   (P, 5) L at -h, -h/2, 0, h/2 and h along each probe;  size  () of what L is a sum of

    Where L is smooth, slopes over h and h/2 agree and the second difference halves with the step. A kink
    within the step breaks one or the other, wherever it lies: at distance d and with a jump J of the slope,
    the second quantity is J (3d/h - 1) for d < h/2, which vanishes at h/3 only, where the slopes differ.
    """
    far, near, middle, near_, far_ = values.T
    slope, half_slope = (far_ - far) / (2 * h), (near_ - near) / h
    bend, half_bend = (far_ - 2 * middle + far) / h, (near_ - 2 * middle + near) / (h / 2)
    allowed = 1e-5 * np.abs([slope, half_slope]).max() + 100 * EPS * size / h
    return (np.abs(slope - half_slope) > allowed) | (np.abs(bend - 2 * half_bend) > allowed)


def _direction(probe: _Probe, j: int, tensor: Array, key: PRNGKeyArray) -> Array:
    """The probe's part in tensor j: a unit vector, or zeros where the probe is about another tensor."""
    entry = (jnp.arange(tensor.size, dtype=jnp.int32) == probe.entry).astype(tensor.dtype)
    if tensor.size > SMALL:
        noise = jax.random.normal(jax.random.fold_in(key, probe.seed), (tensor.size,), tensor.dtype)
        entry = noise / jnp.linalg.norm(noise)
    return jnp.where(probe.tensor == j, entry, 0).reshape(tensor.shape)


def _place(probe: _Probe, shape: tuple[int, ...]) -> str:
    if probe.entry < 0:
        return f"direction {probe.seed}"
    return str([int(n) for n in np.unravel_index(probe.entry, shape)])
