"""Which learning rates and which starts solve XOR? 10,000 networks answer in a second or two.

Each is a 2-4-1 network with sigmoids, trained on the four rows by full-batch gradient descent, with a learning rate, a
momentum and a width of its normally distributed first weights of its own, drawn at random. A network has solved XOR
when it has all four rows right at the end. Draws the share of those that did, by learning rate and first weights.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import fnnet
from experiments.cores import use_all_cores
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.sweeps import Between, Configuration, Point, Results, sample, sweep

ROWS = fnnet.Batch(
    np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)
)  # fmt: skip
RATE, MOMENTUM = "optimizer.learning_rate", "optimizer.momentum"
START = "model.network[0, 2].weights.deviation"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the sweep."""

    configurations: int = 10_000
    """How many networks, each with settings of its own."""
    steps: int = 500
    """Of gradient descent, each on all four rows."""
    learning_rates: tuple[float, float] = (0.01, 100.0)
    """From, to; drawn with equal chances for each factor of ten."""
    momenta: tuple[float, float] = (0.0, 0.95)
    """From, to; drawn evenly."""
    first_weights: tuple[float, float] = (0.05, 5.0)
    """Standard deviation of the first weights: from, to; drawn with equal chances for each factor of ten."""
    seeds: int = 1
    """Networks of each configuration. All have the same so many starts, times their own standard deviation."""
    seed: int = 0
    """Of the draws."""
    progress: bool = True
    """Show a bar."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""


def points(config: Config) -> tuple[Point, ...]:
    loss, weights = fnnet.SigmoidBinaryCrossEntropy(), fnnet.Normal(1.0)
    model = fnnet.mlp((2, 4, 1), activation=fnnet.Sigmoid(), loss=loss, weights=weights)
    space = {
        RATE: Between(*config.learning_rates, log=True),
        MOMENTUM: Between(*config.momenta),
        START: Between(*config.first_weights, log=True),
    }
    return sample(Configuration(model, fnnet.Sgd(0.1, 0.0), 4), space, count=config.configurations, seed=config.seed)


def shares(table: Results, bins: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share solved (rates, starts), NaN where nothing was drawn; edges of the rates; edges of the starts)."""
    rate, start = np.log10(table.settings[RATE]), np.log10(table.settings[START])
    drawn, rates, starts = np.histogram2d(rate, start, bins)
    solved, _, _ = np.histogram2d(rate, start, (rates, starts), weights=table.metric("accuracy") == 1)
    return np.where(drawn > 0, solved / np.maximum(drawn, 1), np.nan), 10**rates, 10**starts


def picture(table: Results) -> Any:
    """The share solved as a map."""
    share, rates, starts = shares(table)
    figure, (axis,) = plots.figure(6.4, 4.6)
    mesh = axis.pcolormesh(rates, starts, 100 * share.T, cmap="viridis", vmin=0, vmax=100)
    axis.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="standard deviation of the first weights")
    axis.set_title(f"{len(table):,} networks of 2-4-1: share that solved XOR")
    figure.colorbar(mesh, label="% solved")
    return figure


def main(config: Config) -> Results:
    chosen = points(config)
    with RunFolder("sweep_xor", config, config.runs) as run:
        begin = time.perf_counter()
        table = sweep(
            chosen, ROWS, epochs=config.steps, seeds=range(config.seeds), shuffle=None, progress=config.progress
        )
        seconds = time.perf_counter() - begin
        table.to_csv(run.path / "table.csv")
        run.picture("solved", picture(table))
        solved = int((table.metric("accuracy") == 1).sum())
        print(table)
        print(f"{solved:,} of {len(table):,} solved XOR in {config.steps:,} steps, {table.diverged.sum():,} diverged")
        print(f"in {seconds:.1f} s with the compilation; table and picture: {run.path}")
    return table


if __name__ == "__main__":
    use_all_cores()
    main(tyro.cli(Config, description=__doc__))
