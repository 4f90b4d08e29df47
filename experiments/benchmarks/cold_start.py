"""From the shell to 97.42 % on MNIST, the accuracy that a tutorial's video ends with.

Every system in its own process, once per seed, the systems in turn: the interpreter starts,
imports, reads the files, trains 784-128-64-10 with Adam whose rate falls linearly to 0 (scikit-learn's stays
constant), and classifies the 10,000 test images. All start from the same weights, which NumPy draws. The clock is
the parent's, and the run counts only if all five processes reach 97.42 %. The peak memory of the processes is kept
too. JAX's compilation cache is empty, and then, in a second row, warm.

    python -m experiments.benchmarks.cold_start
"""

import dataclasses
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from experiments import command_line
from experiments.benchmarks import one_run, results, systems

TARGET = 0.9742
ON_XLA = (systems.OURS, systems.GRAD_SCAN)
QUICK_COMPILATION = "--xla_cpu_use_fusion_emitters=false"
"""XLA's older code generator for CPUs, which takes a third less time."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Time processes from start to end."""

    only: tuple[str, ...] = ()
    """Names of systems; none: all but torch.compile, which compiles for longer than the others train."""
    processes: int = 5
    """Processes of every system, in turn, each with its own seed."""
    epochs: int = 3
    """Epochs of every system but scikit-learn."""
    epochs_scikit_learn: int = 7
    """Epochs of scikit-learn, whose Adam has no schedule."""
    learning_rate: float = 3e-3
    """At the first step; scikit-learn has a third of it."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Every row, in turn, written down."""
    names = config.only or tuple(n for n in systems.MODULES if n != systems.COMPILED)
    with tempfile.TemporaryDirectory() as cache:
        rows = _rows(names, cache)
        for name in names:
            if name in ON_XLA:
                _process(name, 0, config, rows[f"{name}, warm cache"][1])
        runs: dict[str, list] = {row: [] for row in rows}
        for seed in range(config.processes):
            for row in random.Random(seed).sample(list(rows), len(rows)):
                name, environment = rows[row]
                runs[row].append(_process(name, seed, config, environment))
                print(f"{row}: {runs[row][-1][0]:.2f} s", flush=True)
    for row, run in runs.items():
        seconds, mebibytes, accuracies = zip(*run, strict=True)
        measured = {
            "seconds": statistics.mean(seconds),
            "each": seconds,
            "accuracies": accuracies,
            "all_reached": min(accuracies) >= TARGET,
            "peak_mebibytes": statistics.median(mebibytes),
        }
        results.add(config.results, "cold_start", row, measured)
        print(f"{row}: {measured['seconds']:.2f} s, {100 * min(accuracies):.2f} % and more", flush=True)


def _rows(names: tuple[str, ...], cache: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Name of a row -> what runs, and its environment; fnnet and the same scan have rows for the cache and the flag."""
    warm = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    rows: dict[str, tuple[str, dict[str, str]]] = {name: (name, {}) for name in names}
    for i, name in enumerate(n for n in names if n in ON_XLA):
        rows[f"{name}, quick compilation"] = (name, {"XLA_FLAGS": QUICK_COMPILATION})
        rows[f"{name}, warm cache"] = (name, {"JAX_COMPILATION_CACHE_DIR": f"{cache}/{i}", **warm})
    if systems.OURS in names:
        rows[one_run.OWN_START] = (one_run.OWN_START, {})
    return rows


def _process(name: str, seed: int, config: Config, environment: dict) -> tuple[float, float, float]:
    """Seconds of one process, and what it printed: its peak memory in MiB and the test accuracy."""
    epochs, rate = config.epochs, config.learning_rate
    if name == systems.SKLEARN:
        epochs, rate = config.epochs_scikit_learn, rate / 3
    command = [sys.executable, "-m", "experiments.benchmarks.one_run", name, str(seed), str(epochs), str(rate)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    start = time.perf_counter()
    done = subprocess.run(command, env=inherited | environment, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, *map(float, done.stdout.split()[-2:])


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
