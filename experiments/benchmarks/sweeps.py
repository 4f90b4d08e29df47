"""How fast is a sweep, compared with the same runs one by one?

Three questions, answered in one process, the two sides alternating: the table of networks and batch sizes from which
`fnnet.sweeps.devices` takes its rule; 32 MNIST networks for two epochs; 10,000 XOR networks for 500 steps. One by one
means a loop over the compiled `fnnet.train`, new numbers each time, nothing recompiled.

    JAX_NUM_CPU_DEVICES=2 python -m experiments.benchmarks.sweeps

with the number of cores; without it, a sweep uses one core for small networks, as a loop does.
"""

import dataclasses
import itertools
import json
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.results_file import hardware
from fnnet.sweeps import Configuration, Point, grid, sweep
from fnnet.sweeps.devices import choose

RATE = "optimizer.learning_rate"


@dataclasses.dataclass(frozen=True)
class Config:
    """Time sweeps and loops."""

    networks: tuple[str, ...] = ("784-32-16-10", "784-128-64-10", "784-800-10", "784-1024-1024-10")
    """Networks of the table."""
    batches: tuple[int, ...] = (32, 128, 512)
    """Rows of a step, in the table."""
    rows: int = 60_000
    """Images of one epoch in the table; the fixed cost of an epoch is a larger fraction of a short one."""
    alternations: int = 3
    """Rounds of loop and sweep; the fewest seconds of each are reported."""
    runs_per_device: tuple[int, ...] = ()
    """Also time sweeps with these numbers of runs side by side, for the rule in fnnet.sweeps.devices."""
    parts: tuple[str, ...] = ("table", "mnist", "xor")
    """What to measure."""
    results: Path = Path("experiments/results/sweeps.json")
    """Where the measurements are written; parts that are not measured stay as they are."""


class Seconds(NamedTuple):
    """Wall-clock time, and the CPU time of all cores."""

    wall: float
    cpu: float


def timed(f: Callable[[], Any]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    f()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def alternating(sides: dict[str, Callable[[], Any]], times: int) -> dict[str, Seconds]:
    """The fewest seconds of each side, after one call each that compiles."""
    for f in sides.values():
        f()
    rounds = [{name: timed(f) for name, f in sides.items()} for _ in range(times)]
    return {name: Seconds(*(min(r[name][clock] for r in rounds) for clock in (0, 1))) for name in sides}


def one_by_one(points: tuple[Point, ...], data: fnnet.Batch, epochs: int, shuffle: Any) -> None:
    """Every point from seed 0, one by one: the usual loop."""
    for _, c in points:
        state = fnnet.init_state(c.model, c.optimizer, jax.random.key(0))
        arguments = {"epochs": epochs, "batch_size": c.batch_size, "shuffle": shuffle}
        jax.block_until_ready(fnnet.train(c.model, c.optimizer, state, data, **arguments))


def compared(points: tuple[Point, ...], data: fnnet.Batch, epochs: int, config: Config, loop: int) -> dict[str, Any]:
    """Seconds for all points one by one (measured on `loop` of them), on one device and on all."""
    shuffle = jax.random.key(1)

    def swept(**how: Any) -> Callable[[], Any]:
        return lambda: sweep(points, data, epochs=epochs, seeds=(0,), shuffle=shuffle, progress=False, **how)

    sides = {
        "one_by_one": lambda: one_by_one(points[:loop], data, epochs, shuffle),
        "one_device": swept(devices=jax.devices()[:1]),
        "all_devices": swept(),
    } | {f"runs_per_device_{n}": swept(devices=jax.devices()[:1], runs_per_device=n) for n in config.runs_per_device}
    fewest = alternating(sides, config.alternations)
    scale = len(points) / loop
    fewest["one_by_one"] = Seconds(fewest["one_by_one"].wall * scale, fewest["one_by_one"].cpu * scale)
    measured = {f"{name}_{clock}": getattr(s, clock) for name, s in fewest.items() for clock in Seconds._fields}
    return measured | {f"{name}_ratio": fewest[name].wall / fewest["one_by_one"].wall for name in list(fewest)[1:]}


def mlp_points(network: str, batch: int, count: int) -> tuple[Point, ...]:
    model = fnnet.mlp(tuple(map(int, network.split("-"))), input_shape=(28, 28), scale=1 / 255)
    rates = np.geomspace(1e-4, 1e-2, count)
    return grid(Configuration(model, fnnet.Adam(1e-3), batch), {RATE: rates})


def xor_points(count: int) -> tuple[Point, ...]:
    loss, start = fnnet.SigmoidBinaryCrossEntropy(), fnnet.Normal(1.0)
    model = fnnet.mlp((2, 4, 1), activation=fnnet.Sigmoid(), loss=loss, weights=start)
    return grid(Configuration(model, fnnet.Sgd(0.1), 4), {RATE: np.geomspace(0.01, 10, count)})


def table(config: Config, train: fnnet.Batch) -> list[dict[str, Any]]:
    """Every network at every batch size: as many runs as there are MiB in 8, 2 at least and 32 at most."""
    rows = []
    for network in config.networks:
        sizes = tuple(map(int, network.split("-")))
        weights = 4 * sum((a + 1) * b for a, b in itertools.pairwise(sizes))
        count = min(32, max(2, 8 * 2**20 // weights))
        for batch in config.batches:
            data = jax.device_put(fnnet.Batch(*(a[: config.rows] for a in train[:2])))
            measured = compared(mlp_points(network, batch, count), data, 1, config, min(count, 8))
            together = choose(weights, count, jax.devices()[0])[0]
            rows.append(
                {"network": network, "batch_size": batch, "runs": count, "runs_per_device": together, **measured}
            )
            print(f"{network:<18} batch {batch:<4} {count} runs, {together} side by side: one device "
                  f"{measured['one_device_ratio']:.2f}, all {measured['all_devices_ratio']:.2f} of one by one "
                  + ", ".join(f"{k}: {v:.2f}" for k, v in measured.items() if re.fullmatch("runs_per.*ratio", k)),
                  flush=True)  # fmt: skip
    return rows


def say(what: str, measured: dict[str, Any]) -> None:
    seconds = [measured[f"{side}_wall"] for side in ("all_devices", "one_device", "one_by_one")]
    print("{}: {:.2f} s, on one device {:.2f} s, one by one {:.2f} s".format(what, *seconds), flush=True)


def mnist(config: Config, train: fnnet.Batch) -> dict[str, Any]:
    """32 networks, two epochs of 60,000 images, the same shuffling."""
    settings = {"network": "784-32-16-10", "batch_size": 128, "runs": 32, "epochs": 2}
    measured = compared(mlp_points("784-32-16-10", 128, 32), train, 2, config, 8)
    say("32 MNIST networks", measured)
    return settings | measured


def xor(config: Config) -> dict[str, Any]:
    """10,000 networks, 500 steps of full-batch descent; the call includes stacking the configurations."""
    data = jax.device_put(fnnet.datasets.xor())
    measured = compared(xor_points(10_000), data, 500, config, 50)
    say("10,000 XOR networks", measured)
    return {"network": "2-4-1", "runs": 10_000, "steps": 500, "one_by_one_measured_on": 50, **measured}


def main(config: Config) -> dict[str, Any]:
    train, _ = jax.device_put(fnnet.datasets.mnist()) if {"table", "mnist"} & {*config.parts} else (None, None)
    measured = json.loads(config.results.read_text()) if config.results.exists() else {}
    devices = jax.device_count()
    about = {
        "command": f"JAX_NUM_CPU_DEVICES={devices} python -m experiments.benchmarks.sweeps",
        "hardware": f"{hardware()}, {devices} devices",
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "alternations": config.alternations,
        "rows": config.rows,
    }
    parts = {"table": lambda: table(config, train), "mnist": lambda: mnist(config, train), "xor": lambda: xor(config)}
    for name in config.parts:
        measured[name] = parts[name]()
        measured.setdefault("about", {})[name] = about
        config.results.parent.mkdir(parents=True, exist_ok=True)
        config.results.write_text(json.dumps(measured, indent=2) + "\n")
    return measured


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
