"""Seconds of an MNIST epoch in every system.

Every system starts at the same weights, goes through the same rows, shuffled, with the same optimizer, and uses as
many threads as there are cores. They take turns. What the first call costs (compilation) is not counted here.
`experiments.benchmarks.closest` measures the floor, a lower bound for every system, and everything on XLA once more.

    python -m experiments.benchmarks.epochs --sizes 784 128 64 10 --batches 128
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments import command_line
from experiments.benchmarks import floor, results, systems, task
from experiments.benchmarks.timing import REST, alternate, medians, ratio

SIZES = ((784, 32, 16, 10), (784, 128, 64, 10), (784, 800, 10), (784, 1024, 1024, 10))
FLOOR = "floor"


@dataclasses.dataclass(frozen=True)
class Config:
    """Time epochs; measurements are added to the stored ones, by network and batch size."""

    sizes: tuple[int, ...] | None = None
    """Inputs, hidden layers, outputs; none: the four networks of the table, and XOR."""
    batches: tuple[int, ...] = (32, 128, 512)
    """Batch sizes."""
    rounds: int = 7
    """Epochs of every system, in turn."""
    rows: int = 60_000
    """Training rows of the two small networks."""
    rows_of_large: int = 12_000
    """Training rows of networks with more than half a million weights; their seconds are scaled to 60,000."""
    only: tuple[str, ...] = ()
    """Names of systems; none: all of them."""
    xor_epochs: int = 10_000
    """Epochs of XOR in one timed run."""
    rest: float = REST
    """Seconds before each timed call."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Every network at every batch size, written down one by one."""
    if config.sizes is None:
        _keep("XOR 2-4-1", measure_xor(config), config)
    data = task.mnist()
    for sizes in SIZES if config.sizes is None else (config.sizes,):
        for batch_size in config.batches:
            _keep(f"{'-'.join(map(str, sizes))} {batch_size}", measure_epoch(sizes, batch_size, data, config), config)


def _keep(key: str, measured: dict, config: Config) -> None:
    results.add(config.results, "epochs", key, measured)
    print(f"{key}: {', '.join(f'{n} {1e3 * s:.4g} ms' for n, s in measured['seconds'].items())}", flush=True)


def measure_epoch(
    sizes: tuple[int, ...], batch_size: int, data: tuple, config: Config, *, with_floor: bool = False
) -> dict:
    """Seconds of an epoch by system, and those of the floor, all from the same rounds."""
    weights = task.initial_weights(sizes)
    rows = config.rows if sum(w.size for w, _ in weights) < 500_000 else config.rows_of_large
    x, y = data[0][:rows], data[1][:rows]
    job = task.Task(weights, x, y, batch_size, 1e-3)
    trainers = {name: systems.mnist(name)(job) for name in config.only or systems.MODULES}
    variants = {name: (lambda t=t: t.train(1)) for name, t in trainers.items()}
    floors = floor.floors([w for w, _ in weights], x, batch_size) if with_floor else {}
    times = alternate({**variants, **{f"{FLOOR}: {name}": f for name, f in floors.items()}}, config.rounds, config.rest)
    check_trained(trainers, x, y)
    median = medians(times)
    scale = len(data[0]) / rows
    measured = {
        "seconds": {name: scale * median[name] for name in variants},
        "over_fnnet": {name: ratio(times, name, systems.OURS) for name in variants if systems.OURS in variants},
        "rows": rows,
        "rounds": config.rounds,
    }
    if not with_floor:
        return measured
    fastest = min((name for name in median if name.startswith(FLOOR)), key=lambda name: median[name])
    return measured | {
        "floor": scale * median[fastest],
        "floor_form": fastest.removeprefix(f"{FLOOR}: "),
        "floor_gflops": floor.flops(sizes, rows) / median[fastest] / 1e9,
        "over_floor": {name: ratio(times, name, fastest) for name in variants},
    }


def check_trained(trainers: dict, x: np.ndarray, y: np.ndarray) -> None:
    """Raise unless every system classifies most rows correctly by now: what does not train is not timed."""
    accuracies = {name: float((t.predict(x) == y).mean()) for name, t in trainers.items()}
    if min(accuracies.values()) < 0.6:
        raise RuntimeError(f"expected every system to get 60 % of the training rows right by now, got {accuracies}")


def measure_xor(config: Config) -> dict:
    """2-4-1 on the four rows of XOR: what an epoch costs when there is next to nothing to compute."""
    job = task.xor()
    makers = {name: systems.xor(name) for name in config.only or systems.MODULES}
    trainers = {name: make(job) for name, make in makers.items() if make is not None}
    variants = {n: (lambda t=t: t.train(config.xor_epochs)) for n, t in trainers.items()}
    times = alternate(variants, config.rounds, config.rest)
    median = medians(times)
    return {
        "seconds": {name: median[name] / config.xor_epochs for name in trainers},
        "over_fnnet": {name: ratio(times, name, systems.OURS) for name in trainers if systems.OURS in trainers},
        "rounds": config.rounds,
    }


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
