"""Which learning rate for which activation? A grid of both on MNIST, each from several seeds, as a map and as curves.

Trains 784-32-16-10 by Adam. Every activation is one compiled program, in which all learning rates and seeds run side by
side. Points are ranked by the accuracy on validation rows; at the end the best point is trained once more and tested
on the test images.

With --hosts, several machines (or processes) split the work through the folder --chunks; each says when it is done,
and the last one, or any later run, makes the table and the figures. Started again after an interruption, a host
continues where it was.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.classification import split_off
from experiments.command_line import KeptSettings
from experiments.cores import use_all_cores
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.plots.theme import logarithmic
from fnnet.sweeps import Configuration, Point, Results, collect, grid, sweep, sweep_shard

RATE, ACTIVATION = "optimizer.learning_rate", "model.network[3, 5]"
ACTIVATIONS = {"relu": fnnet.Relu(), "tanh": fnnet.Tanh(), "sigmoid": fnnet.Sigmoid(), "gelu": fnnet.Gelu()}
COLORS = ("#4269d0", "#ef5675", "#3ca951", "#a463f2")


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the sweep."""

    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """Images to learn; `digits` (8 x 8, embedded) is quick."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    """Learning rates of Adam."""
    activations: tuple[Literal["relu", "tanh", "sigmoid", "gelu"], ...] = ("relu", "tanh", "sigmoid")
    """Activations of both hidden layers."""
    seeds: int = 5
    """Networks of each point."""
    epochs: int = 5
    """How often every training image is seen."""
    batch_size: int = 128
    """Images in one step."""
    hidden: tuple[int, int] = (32, 16)
    """Neurons in the two hidden layers."""
    validation_fraction: float = 0.08
    """Fraction of the training images held out to rank the points by."""
    host: int = 0
    """Number of this machine, from 0."""
    hosts: int = 1
    """How many machines split the work."""
    chunk: int = 7
    """Points in one result file."""
    chunks: Path = Path("runs/sweep_learning_rate_chunks")
    """Folder of the result files, the same for all machines."""
    progress: bool = True
    """Show bars."""


def load(config: Config) -> tuple[fnnet.Batch, fnnet.Batch, fnnet.Batch]:
    """Training, validation and test images."""
    if config.data == "digits":
        train, test = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    else:
        train, test = getattr(fnnet.datasets, config.data)()
    train, validation = split_off(train, config.validation_fraction)
    if validation is None:
        raise SystemExit("--validation-fraction: expected a number above 0: a sweep is judged by validation images")
    return train, validation, test


def points(config: Config, shape: tuple[int, ...]) -> tuple[Point, ...]:
    """Activation by activation, all learning rates."""
    scale = 1 / 16 if config.data == "digits" else 1 / 255
    model = fnnet.mlp((int(np.prod(shape)), *config.hidden, 10), input_shape=shape, scale=scale)
    space = {ACTIVATION: {name: ACTIVATIONS[name] for name in config.activations}, RATE: config.learning_rates}
    return grid(Configuration(model, fnnet.Adam(1e-3), config.batch_size), space)


def heat_map(results: Results, config: Config) -> Any:
    """Mean validation error over the seeds, by learning rate and activation."""
    summary = results.summary()
    error = 100 * (1 - summary.mean["validation_accuracy"]).reshape(len(config.activations), -1)
    figure, (axis,) = plots.figure(1.6 + 0.95 * error.shape[1], 1.5 + 0.6 * error.shape[0])
    shades = np.log10(np.maximum(error, 0.01))
    shown = axis.imshow(shades, cmap="viridis_r", aspect="auto")
    middle = np.nanmean(shown.get_clim())
    for (row, column), value in np.ndenumerate(error):
        lost = summary.diverged.reshape(error.shape)[row, column]
        words = f"{value:.1f}" + (f"\n{lost} lost" if lost else "")
        color = "white" if shades[row, column] > middle else "black"
        axis.text(column, row, words, ha="center", va="center", fontsize=9, color=color)
    axis.set_xticks(range(error.shape[1]), [f"{rate:g}" for rate in config.learning_rates])
    axis.set_yticks(range(error.shape[0]), config.activations)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set(xlabel="learning rate of Adam", title=f"validation error in %, mean of {config.seeds} seeds")
    bar = figure.colorbar(shown, format=lambda exponent, _: f"{10**exponent:.0f}", label="error in %")
    bar.outline.set_visible(False)
    return figure


def curves(results: Results, config: Config) -> Any:
    """Validation error after each epoch, at each activation's best rate (solid) and its worst (dashed)."""
    figure, (axis,) = plots.figure(6.4, 4)
    epochs = np.arange(1, config.epochs + 1)
    ranking, per = results.ranking(), len(config.learning_rates)
    for i, (name, color) in enumerate(zip(config.activations, COLORS, strict=False)):
        own = [int(point) for point in ranking if point // per == i]
        for point, style in ((own[0], "-"), (own[-1], "--")):
            runs = 100 * (1 - results.curves["validation_accuracy"][(results.point == point) & ~results.diverged])
            if not len(runs):
                continue  # all diverged
            label = f"{name}, {config.learning_rates[point % per]:g}"
            axis.plot(epochs, runs.mean(axis=0), style, color=color, marker="o", markersize=3, label=label)
            axis.fill_between(epochs, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.15, linewidth=0)
    axis.set(xlabel="epoch", title="validation error in %, best rate (dashed: the worst)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    logarithmic(axis)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def all_there(path: Path) -> bool:
    """Whether every chunk is in the folder."""
    files = list(path.glob("*-of-*.jsonl"))
    return bool(files) and len(files) == int(files[0].stem.rpartition("-")[2])


def main(config: Config) -> Results | None:
    train, validation, test = load(config)
    chosen, seeds = points(config, train.x.shape[1:]), range(config.seeds)
    settings = {"epochs": config.epochs, "shuffle": jax.random.key(0), "validation": validation, "rank_by": "accuracy"}
    how = {"folder": config.chunks, "host": config.host, "hosts": config.hosts, "chunk": config.chunk}
    path = sweep_shard(chosen, train, seeds=tuple(seeds), progress=config.progress, **how, **settings)
    if not all_there(path):
        print(f"host {config.host} is done; other hosts still work on {path}")
        return None
    results = collect(path)
    with RunFolder("sweep_learning_rate", config) as run:
        results.to_csv(run.path / "results.csv")
        run.figure("sweep_learning_rate", heat_map(results, config))
        run.figure("sweep_learning_rate_curves", curves(results, config))
        print(results)
        best = chosen[results.best()]
        again = sweep([best], train, seeds=seeds, keep_params=True, progress=False, **settings)
        tested = [fnnet.evaluate(best.configuration.model, params, test).accuracy for params in again.params or ()]
        run.log(**{str(k): v for k, v in best.settings.items()}, test_accuracies=list(map(float, tested)))
        spread = f" ± {100 * np.std(tested, ddof=1):.2f}" if len(tested) > 1 else ""
        words = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in best.settings.values())
        print(f"best by validation: {words}; test accuracy {100 * np.mean(tested):.2f} %{spread}")
        print(f"table and figures: {run.path}; result files:  {path}")
    return results


if __name__ == "__main__":
    use_all_cores()
    command_line.run(main, Config, __doc__)
