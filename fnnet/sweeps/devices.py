"""How many devices a sweep uses, and how many runs each computes side by side: by a rule, or by measurement.

Side by side, the products of small networks become large ones, and the overhead of a step is paid once for all runs.
But the weights of all these runs, their gradients and the optimizer's state pass through the cache in each step; once
they no longer fit, one network at a time, whose own weights stay in the cache, is faster. So:

    device   runs side by side, on each device
    CPU      as many as have 2 MiB of weights together, at least 1
             with convolutions 1: those of several runs do not combine into larger ones
    others   all; but no more than fill half of the device's memory with 8 times their weights

The devices of a CPU are its cores. One large network uses all cores for its products; two of them at a time, on two
devices, only compete for the shared cache. So:

    device   how many of them
    CPU      as many as have 8 MiB per core, of the whole CPU, for 4 times a run's weights (the weights themselves,
             their gradients, the two averages of Adam), at least 1
    others   all

2 MiB is about where 1, 2, 4, 8, ... runs side by side cross on cores with 1 MiB of second-level cache each, and 8 MiB
per core is half of the third-level cache that two such cores share. `python -m experiments.benchmarks.sweeps` measures
what these choices come to, for networks from 17 to 1.9 million weights and batches of 32 to 512. The rules for other
devices are estimates; `measure=True` measures there.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax

CPU_WEIGHTS = 2 * 2**20
"""Bytes of weights that a CPU core computes on at a time."""

CPU_TRAINED = 8 * 2**20
"""Bytes per core of a CPU for the weights, gradients and averages of all networks that are trained at a time."""


@runtime_checkable
class Device(Protocol):
    """The part of a JAX device that is used here."""

    platform: Any

    def memory_stats(self) -> Any: ...


def choose_devices(weights: int, devices: Sequence[Device]) -> Sequence[Device]:
    """Those of the devices that runs with so many bytes of weights should be split across."""
    if devices[0].platform != "cpu":
        return devices
    return devices[: max(1, _cores() * CPU_TRAINED // (4 * max(1, weights)))]


def choose(weights: int, runs: int, device: Device, has_convolutions: bool) -> tuple[int, str]:
    """How many of a device's runs, each with so many bytes of weights, to compute side by side, and why."""
    if device.platform == "cpu" and has_convolutions:
        return 1, "one after another (convolutions with weights of their own do not combine on a CPU)"
    if device.platform == "cpu":
        chosen = min(runs, max(1, CPU_WEIGHTS // max(1, weights)))
        limit = f"up to {CPU_WEIGHTS / 2**20:g} MiB side by side stay in the cache"
    else:
        memory = (device.memory_stats() or {}).get("bytes_limit")
        chosen = runs if memory is None else min(runs, max(1, memory // 2 // (8 * max(1, weights))))
        limit = "as many as fit its memory"
    words = "one after another" if chosen == 1 else f"{chosen:,} side by side"
    used, cores, hint = len(jax.local_devices()), _cores(), ""
    if device.platform == "cpu" and used < cores and weights <= CPU_WEIGHTS:
        hint = f"; {used} of {cores} cores in use, set JAX_NUM_CPU_DEVICES={cores} to use all"
    return chosen, f"{words} ({weights / 2**10:,.1f} KiB of weights per run; {limit}){hint}"


def fastest(runs: int, seconds: Callable[[int], float]) -> tuple[int, str]:
    """The number side by side with the fewest measured seconds, of 1, 4, 16, 64, ... and all runs of a device."""
    times = {number: seconds(number) for number in sorted({min(4**k, runs) for k in range(12)})}
    best = min(times, key=times.__getitem__)
    measured = ", ".join(f"{number:,}: {1e3 * t:.1f} ms" for number, t in times.items())
    return best, f"{best:,} side by side, measured on a few batches ({measured})"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
