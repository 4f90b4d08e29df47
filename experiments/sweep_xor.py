"""Which learning rates and which starts solve XOR? 10,000 networks answer in a second or two.

Each is a 2-4-1 network with sigmoids, trained on the four rows by full-batch gradient descent, with its own learning
rate, momentum and standard deviation of the normally distributed first weights, sampled at random. A network has solved
XOR when all four rows are right at the end. Draws the fraction that did, by learning rate and first weights.

All networks of a seed start from one draw of weights, times their own standard deviation: the map shows how rate and
size matter to that draw, not how lucky a start is. `experiments.xor --seeds 1000` counts starts.
"""

import dataclasses
from typing import Any

import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.cores import use_all_cores
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.sweeps import Between, Configuration, Point, Results, sample, sweep

RATE, MOMENTUM = "optimizer.learning_rate", "optimizer.momentum"
START = "model.network[0, 2].weights.deviation"


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the sweep."""

    configurations: int = 10_000
    """How many networks, each with settings of its own."""
    steps: int = 500
    """Steps of gradient descent, each on all four rows."""
    learning_rates: tuple[float, float] = (0.01, 100.0)
    """From, to; sampled uniformly on a logarithmic scale."""
    momenta: tuple[float, float] = (0.0, 0.95)
    """From, to; sampled uniformly."""
    first_weights: tuple[float, float] = (0.05, 5.0)
    """Standard deviation of the first weights: from, to; sampled uniformly on a logarithmic scale."""
    seeds: int = 1
    """Networks of each configuration. All configurations share the starts, scaled by their own standard deviation."""
    seed: int = 0
    """Seed of the random search."""
    progress: bool = True
    """Show a bar."""


def points(config: Config) -> tuple[Point, ...]:
    loss, weights = fnnet.SigmoidBinaryCrossEntropy(), fnnet.Normal(1.0)
    model = fnnet.mlp((2, 4, 1), activation=fnnet.Sigmoid(), loss=loss, weights=weights)
    space = {
        RATE: Between(*config.learning_rates, log=True),
        MOMENTUM: Between(*config.momenta),
        START: Between(*config.first_weights, log=True),
    }
    return sample(Configuration(model, fnnet.Sgd(0.1, 0.0), 4), space, count=config.configurations, seed=config.seed)


def fractions(results: Results, bins: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fraction solved (rates, starts), NaN where nothing was sampled; edges of the rates; edges of the starts)."""
    rate, start = np.log10(results.settings[RATE]), np.log10(results.settings[START])
    sampled, rates, starts = np.histogram2d(rate, start, bins)
    solved, _, _ = np.histogram2d(rate, start, (rates, starts), weights=results.metric("accuracy") == 1)
    return np.where(sampled > 0, solved / np.maximum(sampled, 1), np.nan), 10**rates, 10**starts


def draw(results: Results) -> Any:
    """The fraction solved as a map."""
    fraction, rates, starts = fractions(results)
    figure, (axis,) = plots.figure(6.4, 4.6)
    mesh = axis.pcolormesh(rates, starts, 100 * fraction.T, cmap="viridis", vmin=0, vmax=100)
    axis.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="standard deviation of the first weights")
    axis.set_title(f"{len(results):,} networks of 2-4-1, starts scaled from one draw: % that solved XOR", fontsize=10)
    figure.colorbar(mesh, label="% solved")
    return figure


def main(config: Config) -> Results:
    chosen, data = points(config), fnnet.datasets.xor()
    with RunFolder("sweep_xor", config) as run:
        results = sweep(
            chosen, data, epochs=config.steps, seeds=range(config.seeds), shuffle=None, progress=config.progress
        )
        seconds = run.seconds
        results.to_csv(run.path / "results.csv")
        run.figure("sweep_xor", draw(results))
        solved = int((results.metric("accuracy") == 1).sum())
        print(results)
        print(
            f"{solved:,} of {len(results):,} solved XOR in {config.steps:,} steps, {results.diverged.sum():,} diverged"
        )
        print(f"in {seconds:.1f} s with the compilation; table and figure: {run.path}")
    return results


if __name__ == "__main__":
    use_all_cores()
    command_line.run(main, Config, __doc__)
