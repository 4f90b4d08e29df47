"""How the seconds of an epoch grow with the work, and the slope: 1 is proportional, 0 is free.

One thing grows at a time: samples, width, depth, batch size, and the number of networks that one compiled program
trains side by side. fnnet and jax.grad + optax in the same scan, in turn.

    python -m experiments.benchmarks.growth
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import results, systems, task
from experiments.benchmarks.timing import alternate, medians

ROWS = 12_000
SAMPLES = (3750, 7500, 15_000, 30_000, 60_000)


@dataclasses.dataclass(frozen=True)
class Config:
    """Time epochs while one thing grows."""

    axes: tuple[str, ...] = ("samples", "width", "depth", "batch", "networks")
    """Which things."""
    rounds: int = 5
    """Epochs of each system at each point, in turn."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Seconds of every point and the slopes, written down."""
    data = task.mnist()
    jobs: dict[str, dict[int, Callable[[], dict]]] = {
        "samples": {n: lambda n=n: _systems((784, 128, 64, 10), 128, data, n) for n in SAMPLES},
        "width": {n: lambda n=n: _systems((784, n, 10), 128, data, ROWS) for n in (32, 64, 128, 256, 512, 1024)},
        "depth": {n: lambda n=n: _systems((784, *(128,) * n, 10), 128, data, ROWS) for n in (1, 2, 4, 8, 16)},
        "batch": {n: lambda n=n: _systems((784, 128, 64, 10), n, data, ROWS) for n in (8, 32, 128, 512, 2048)},
        "networks": {n: lambda n=n: _networks(n, data) for n in (1, 2, 4, 8, 16, 32)},
    }  # fmt: skip
    for axis in config.axes:
        points = {n: medians(alternate(make(), config.rounds, rest=0)) for n, make in jobs[axis].items()}
        names = next(iter(points.values()))
        curves = {name: [at[name] for at in points.values()] for name in names}
        slopes = {name: slope(list(points), seconds) for name, seconds in curves.items()}
        results.add(config.results, "growth", axis, {"at": list(points), "seconds": curves, "slopes": slopes})
        print(f"{axis}: {', '.join(f'{name} {s:.2f}' for name, s in slopes.items())}", flush=True)


def slope(at: list[int], seconds: list[float]) -> float:
    """The straight line through log seconds over log work, in the larger half of the points (three or more)."""
    last = max(3, (len(at) + 1) // 2)
    return float(np.polyfit(np.log(at[-last:]), np.log(seconds[-last:]), 1)[0])


def _systems(sizes: tuple[int, ...], batch_size: int, data: tuple, rows: int) -> dict:
    job = task.Task(task.initial_weights(sizes), data[0][:rows], data[1][:rows], batch_size, 1e-3)
    trainers = {name: systems.mnist(name)(job) for name in (systems.OURS, systems.GRAD_SCAN)}
    return {name: lambda t=t: t.train(1) for name, t in trainers.items()}


def _networks(count: int, data: tuple) -> dict:
    """Many networks, each from its own start, on the same rows."""
    model, optimizer = fnnet.mlp((784, 32, 16, 10), scale=1 / 255), fnnet.Adam(1e-3)
    states = jax.vmap(lambda key: fnnet.init_state(model, optimizer, key))(jax.random.split(jax.random.key(0), count))
    rows = jax.device_put(fnnet.Batch(data[0][:ROWS], data[1][:ROWS]))

    @jax.jit
    def run(states, rows, shuffle):
        def one(state):
            return fnnet.train(model, optimizer, state, rows, epochs=1, batch_size=128, shuffle=shuffle)

        return jax.vmap(one)(states)

    return {systems.OURS: lambda: run(states, rows, jax.random.key(1))}


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
