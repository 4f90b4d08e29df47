"""The main ratios in under a minute: does a change make fnnet slower?

    python -m experiments.benchmarks.ratios

Trains 784-128-64-10 on MNIST at batch 128 in turn with the same network in jax.grad and optax, the floor of matrix
products, PyTorch and NumPy, and prints how many times as long each takes; then compilation time and temporary memory
over those of the jax.grad version.
"""

import dataclasses
import statistics

from experiments import command_line
from experiments.benchmarks import compiling, systems, task
from experiments.benchmarks.epochs import Config as EpochConfig
from experiments.benchmarks.epochs import measure_epoch


@dataclasses.dataclass(frozen=True)
class Config:
    """Print the main ratios."""

    rounds: int = 5
    """Epochs of every system, in turn."""
    batch_size: int = 128
    """Rows of one batch."""


SHOWN = (systems.OURS, systems.GRAD_SCAN, systems.GRAD_LOOP, systems.MEMORY, systems.NUMPY)


def main(config: Config) -> None:
    sizes = (784, 128, 64, 10)
    settings = EpochConfig(rounds=config.rounds, only=SHOWN)
    measured = measure_epoch(sizes, config.batch_size, task.mnist(), settings, with_floor=True)
    ours = measured["seconds"][systems.OURS]
    print(f"fnnet {ours:.4f} s an epoch of 784-128-64-10 at batch {config.batch_size}")
    print(f"  over the floor of matrix products  {measured['over_floor'][systems.OURS]:.3f}")
    for name in SHOWN[1:]:
        print(f"  over {name:30s}{1 / measured['over_fnnet'][name]:.3f}")
    pairs = [compiling.pair(sizes, config.batch_size) for _ in range(3)]
    for what in ("seconds", "temporary_bytes"):
        print(f"compiled {what}, over jax.grad + optax: {statistics.median(a[what] / b[what] for a, b in pairs):.3f}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
