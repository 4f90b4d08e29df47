"""Slopes of a function by central differences: what a gradient must agree with, whoever derived it.

    slope along v  =  (L(t + h v) - L(t - h v)) / 2h  +  O(h^2)

in float64 with h = 1e-5, where the error is of the order of 1e-10 for a function of ordinary size.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

STEP = 1e-5
SMALL = 64  # entries up to which a tensor is probed entry by entry
DIRECTIONS = 32


class Slopes(NamedTuple):
    """What was measured along the probes of one tensor, (P,) each.

    mine      <gradient, direction>
    measured  by differences
    kinked    whether the function has a kink within a step, so that no slope exists
    noise     () rounding in the norm of `measured`: 10 eps |L| / h a probe
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

    tensors, grads   float64, alike in shape; grads are held against the differences. One compiled program.
    """
    plan = [
        _Probe(i, entry, seed)
        for i, value in enumerate(tensors)
        for seed, entry in enumerate(range(value.size) if value.size <= SMALL else [-1] * DIRECTIONS)
    ]
    if not plan:
        return [Slopes(np.zeros(0), np.zeros(0), np.zeros(0, bool), 0.0, []) for _ in tensors]

    def measure(probe: _Probe) -> tuple[Array, Array]:
        v = [_direction(probe, j, t, key) for j, t in enumerate(tensors)]
        moved = [
            terms([t + s * STEP * d for t, d in zip(tensors, v, strict=True)]).sum() for s in (-1, -0.5, 0, 0.5, 1)
        ]
        along = sum(((g * d).sum() for g, d in zip(grads, v, strict=True)), start=jnp.zeros((), jnp.float64))
        return along, jnp.stack(moved)

    probes = _Probe(*(jnp.asarray(column, jnp.int32) for column in zip(*plan, strict=True)))
    (mine, values), here = jax.jit(lambda: (jax.lax.map(measure, probes), jnp.abs(terms(tensors)).sum()))()
    mine, values, size = np.asarray(mine), np.asarray(values), float(here)
    measured = (values[:, 4] - values[:, 0]) / (2 * STEP)
    found = []
    for i, value in enumerate(tensors):
        own = np.array([probe.tensor == i for probe in plan])
        noise = 10 * float(np.finfo(np.float64).eps) * size / STEP * float(np.sqrt(own.sum()))
        places = [_place(probe, value.shape) for probe in plan if probe.tensor == i]
        found.append(Slopes(mine[own], measured[own], kinks(values[own], size), noise, places))
    return found


def kinks(values: np.ndarray, size: float) -> np.ndarray:
    """(P,) bool: which probes of a tensor see a kink within a step.

    values   (P, 5) L at -h, -h/2, 0, h/2 and h along each probe;  size  () of what L is a sum of

    Where L is smooth, slopes over h and h/2 agree and the second difference halves with the step. A kink
    within the step breaks one or the other, wherever it lies: at distance d and with a jump J of the slope,
    the second quantity is J (3d/h - 1) for d < h/2, which vanishes at h/3 only, where the slopes differ.
    """
    far, near, middle, near_, far_ = values.T
    slope, half_slope = (far_ - far) / (2 * STEP), (near_ - near) / STEP
    bend, half_bend = (far_ - 2 * middle + far) / STEP, (near_ - 2 * middle + near) / (STEP / 2)
    rounding = 100 * float(np.finfo(np.float64).eps) * size / STEP
    allowed = 1e-7 * np.abs([slope, half_slope]).max() + rounding
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
