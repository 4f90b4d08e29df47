"""How many devices a sweep takes, and how many runs each computes side by side: a small table, or a measurement.

Side by side, the products of small networks become large ones, and what each step costs beside arithmetic is paid once
for all. But the weights of all these runs, their gradients and the optimizer's state pass through the cache in each
step; once they no longer fit, a network alone, whose own weights stay in the cache, is faster. So:

    device   runs side by side, on each device
    CPU      as many as have 2 MiB of weights together, at least 1
    others   all; but no more than fill half of the device's memory with 8 times their weights

The devices of a CPU are its cores by another name. A large network alone uses all cores for its products; two of them
at a time, on two devices, only take the shared cache from each other. So:

    device   how many of them
    CPU      as many as have 8 MiB a core, of the whole CPU, for 4 times a run's weights (the weights themselves, their
             gradients, the two averages of Adam), at least 1
    others   all

2 MiB is about where widths 1, 2, 4, 8, ... cross on cores with 1 MiB of second-level cache each, and 8 MiB a core is
half of the third-level cache that two such cores share. What the choice then comes to is measured for networks from 17
to 1.9 million weights and batches of 32 to 512 by `python -m experiments.benchmarks.sweeps`. The lines for other
devices are reasoned, not measured; there `measure=True` tells.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

CPU_WEIGHTS = 2 * 2**20
"""Bytes of weights that a CPU core computes on at a time."""

CPU_TRAINED = 8 * 2**20
"""Bytes of weights, gradients and averages for each core of a CPU, in all networks that are trained at a time."""


class Way(NamedTuple):
    """width: runs side by side on a device (1: one after another); why: the choice in words, for people."""

    width: int
    why: str


def choose(weights: int, share: int, device: Any) -> Way:
    """The width for `share` runs on a device, each with so many bytes of weights."""
    if device.platform == "cpu":
        width = min(share, max(1, CPU_WEIGHTS // weights))
        limit = f"up to {CPU_WEIGHTS / 2**20:g} MiB side by side stay in the cache"
    else:
        memory = (device.memory_stats() or {}).get("bytes_limit")
        width = share if memory is None else min(share, max(1, memory // 2 // (8 * weights)))
        limit = "as many as its memory takes"
    way = "one after another" if width == 1 else f"{width:,} side by side"
    return Way(width, f"{way} ({_bytes(weights)} of weights a run; {limit}){_idle_cores(weights, device)}")


def worthwhile(weights: int, devices: Sequence[Any]) -> Sequence[Any]:
    """Those of the devices that runs with so many bytes of weights should be dealt out over."""
    if devices[0].platform != "cpu":
        return devices
    return devices[: max(1, _cores() * CPU_TRAINED // (4 * weights))]


def fastest(share: int, seconds: Callable[[int], float]) -> Way:
    """The width with the fewest measured seconds, of 1, 4, 16, 64, ... and all `share` runs of a device."""
    times = {width: seconds(width) for width in sorted({min(4**k, share) for k in range(12)})}
    best = min(times, key=times.__getitem__)
    measured = ", ".join(f"{width:,}: {1e3 * t:.1f} ms" for width, t in times.items())
    return Way(best, f"{best:,} side by side, measured on a few batches ({measured})")


def _bytes(count: int) -> str:
    return (
        f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB" if count >= 2**10 else f"{count} B"
    )


def _idle_cores(weights: int, device: Any) -> str:
    """What would use more cores, where networks are too small to use them all and devices are fewer."""
    devices = len(jax.local_devices())
    if device.platform != "cpu" or devices >= _cores() or weights > CPU_WEIGHTS:
        return ""
    return f"; {devices} of {_cores()} cores in use, JAX_NUM_CPU_DEVICES={_cores()} in the environment uses all"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
