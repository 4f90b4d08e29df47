"""Seconds of an epoch compared with the floor and with everything else that runs on XLA, in separate processes.

These programs come from one compiler and run for about the same time, so that small differences count: they take turns
without a pause. (In `epochs` threads of PyTorch and NumPy spin while they wait for work, so that every call follows a
pause, and what comes after a pause is slower.)

The layout of a process's memory happens to make one of two equal programs a few percent faster, for as long as the
process lives. So every number is the median of several processes, with their minimum and maximum.

    python -m experiments.benchmarks.closest --sizes 784 128 64 10 --batches 128
"""

import dataclasses
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from experiments import command_line
from experiments.benchmarks import epochs, results, systems, task

ONE_KERNEL = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=65536"
"""Lets XLA compile a loop that touches at most this many bytes per step into one kernel; its own limit is 1024."""
NAMES = (systems.OURS, systems.GRAD_SCAN, systems.GRAD_LOOP, systems.EQUINOX)


@dataclasses.dataclass(frozen=True)
class Config:
    """Time epochs and the floor; measurements are added to the stored ones, by network and batch size."""

    sizes: tuple[int, ...] | None = None
    """Inputs, hidden layers, outputs; none: the four networks of the table, and XOR."""
    batches: tuple[int, ...] = (32, 128, 512)
    """Batch sizes."""
    processes: int = 5
    """Processes for every row, one after another."""
    rounds: int = 5
    """Epochs of each system in each process, in turn; XOR: three times as many."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Every network at every batch size, written down one by one."""
    if config.sizes is None:
        _keep("XOR 2-4-1", [apart(_xor, config.rounds, NAMES, 10_000) for _ in range(config.processes)], config)
        flags = f"{os.environ.get('XLA_FLAGS', '')} {ONE_KERNEL}"
        with mock.patch.dict(os.environ, XLA_FLAGS=flags):  # calls of 0.01 s, so that the call itself does not count
            parts = [apart(_xor, config.rounds, NAMES[:2], 100_000) for _ in range(config.processes)]
        _keep("XOR 2-4-1, loop in one kernel", parts, config)
    for sizes in epochs.SIZES if config.sizes is None else (config.sizes,):
        for batch_size in config.batches:
            parts = [apart(_mnist, sizes, batch_size, config.rounds) for _ in range(config.processes)]
            _keep(f"{'-'.join(map(str, sizes))} {batch_size}", parts, config)


def apart(f: Any, *args: Any) -> dict:
    """f(*args) in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(f, *args).result()


def _mnist(sizes: tuple[int, ...], batch_size: int, rounds: int) -> dict:
    settings = epochs.Config(rounds=rounds, only=NAMES, rest=0)
    return epochs.measure_epoch(sizes, batch_size, task.mnist(), settings, with_floor=True)


def _xor(rounds: int, names: tuple[str, ...], xor_epochs: int) -> dict:
    """Three times the rounds: a run is short, and the next one differs."""
    return epochs.measure_xor(epochs.Config(rounds=3 * rounds, only=names, xor_epochs=xor_epochs, rest=0))


def _keep(key: str, parts: list[dict], config: Config) -> None:
    measured = medians(parts) | {"processes": [part["over_fnnet"] for part in parts]}
    results.add(config.results, "closest", key, measured)
    over = ", ".join(f"{name} {ratio:.3f}" for name, ratio in measured["over_fnnet"].items())
    least, most = extremes(measured, systems.GRAD_SCAN)
    floor = f"; fnnet over the floor {measured['over_floor'][systems.OURS]:.3f}" if "floor" in measured else ""
    print(f"{key}: times our time: {over} (scan {least:.3f} to {most:.3f}){floor}", flush=True)


def medians(parts: list[Any]) -> Any:
    """Dicts of the same keys as one: the median of every number, the most common of every word."""
    if isinstance(parts[0], dict):
        return {key: medians([part[key] for part in parts]) for key in parts[0]}
    return statistics.mode(parts) if isinstance(parts[0], str) else statistics.median(parts)


def extremes(measured: dict, name: str) -> tuple[float, float]:
    """Minimum and maximum over the processes of a system's time over fnnet's."""
    each = [part[name] for part in measured["processes"]]
    return min(each), max(each)


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
