"""How things are timed: variants in turn, so that other load on the machine affects all of them alike."""

import importlib.metadata
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.processor import processor

REST = 0.3
"""Seconds between two timed calls."""

PACKAGES = ("numpy", "jax", "optax", "equinox", "torch", "scikit-learn")


def seconds(f: Callable[[], Any]) -> float:
    """Seconds of one call, until its result is there."""
    start = time.perf_counter()
    jax.block_until_ready(f())
    return time.perf_counter() - start


def alternate(variants: Mapping[str, Callable[[], Any]], rounds: int, rest: float = REST) -> dict[str, list[float]]:
    """Seconds of every variant in every round, after a first call that is not counted.

    Each round has its own order (the same ones every time). Before each call is a pause: threads of PyTorch and NumPy
    spin for a while before they sleep, at the cost of the next variant.
    """
    for f in variants.values():
        jax.block_until_ready(f())
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name in random.Random(number).sample(list(variants), len(variants)):
            time.sleep(rest)
            times[name].append(seconds(variants[name]))
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of every variant."""
    return {name: statistics.median(ts) for name, ts in times.items()}


def ratio(times: Mapping[str, list[float]], a: str, b: str) -> float:
    """The median over the rounds of a's time over b's in the same round."""
    return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))


def machine() -> dict[str, Any]:
    """Hardware and versions of a measurement."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    """None for what is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
