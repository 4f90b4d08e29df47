"""Axis (b), and the nearest rivals: the floor and everything that runs on XLA, with nobody else around.

These are programs of one compiler that run for about the same time, so that small differences count: they take turns
in a process of their own, without a rest between. (In `epochs` there are threads of PyTorch and NumPy in the process,
which look out for work while they wait, so that calls follow a rest, and what comes after a rest is slower.)

    python -m experiments.benchmarks.closest --sizes 784 128 64 10 --batches 128
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.benchmarks import epochs, results, systems, task

NAMES = (systems.OURS, systems.GRAD_SCAN, systems.GRAD_LOOP, systems.EQUINOX)


@dataclasses.dataclass(frozen=True)
class Config:
    """Time epochs beside the floor; figures are added to those that are there, by network and batch size."""

    sizes: tuple[int, ...] | None = None
    """Inputs, hidden layers, outputs; none: the four networks of the table, and XOR."""
    batches: tuple[int, ...] = (32, 128, 512)
    """Batch sizes."""
    rounds: int = 7
    """Epochs of each, in turn."""
    results: Path = results.FOLDER
    """Folder of the figures."""


def measure(config: Config) -> None:
    """Every network at every batch size, written down one by one."""
    settings = epochs.Config(rounds=config.rounds, only=NAMES, rest=0)
    if config.sizes is None:
        measure_xor(config)
    data = task.mnist()
    for sizes in epochs.SIZES if config.sizes is None else (config.sizes,):
        for batch_size in config.batches:
            figures = epochs.epoch_figures(sizes, batch_size, data, settings, with_floor=True)
            _keep(f"{'-'.join(map(str, sizes))} {batch_size}", figures, config)


def measure_xor(config: Config) -> None:
    """XOR in three times as many rounds: a run of it is over in no time, and the next one already another."""
    settings = epochs.Config(rounds=3 * config.rounds, only=NAMES, rest=0)
    _keep("XOR 2-4-1", epochs.xor_figures(settings), config)


def _keep(key: str, figures: dict, config: Config) -> None:
    results.add(config.results, "closest", key, figures)
    over = ", ".join(f"{name} {figures['over_fnnet'][name]:.3f}" for name in NAMES[1:])
    floor = f"; fnnet over the floor {figures['over_floor'][systems.OURS]:.3f}" if "floor" in figures else ""
    print(f"{key}: times our time: {over}{floor}", flush=True)


if __name__ == "__main__":
    measure(tyro.cli(Config, description=__doc__))
