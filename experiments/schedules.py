"""Constant, stepped, inverse-time and cosine learning rates: do big steps first and smaller ones later pay?

784-128-64-10 with ReLU learns by plain gradient descent, each schedule at several first rates and from several seeds,
in one sweep on the training images less 10,000, which judge. Each schedule is then represented by the first rate that
did best on these, so that no schedule suffers from a rate that suits another. The networks at these rates, and no
others, are tested: the test images are read once for each.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments.classification import TrainingSettings, check_settings, split_off
from experiments.command_line import KeptSettings, run
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.plots.theme import logarithmic
from fnnet.protocols import Schedule
from fnnet.sweeps import Configuration, Point, Results, sweep

TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the sweep."""

    data: Literal["mnist", "fashion_mnist"] = "mnist"
    """Images to learn."""
    epochs: int = 12
    """How often every training image is seen."""
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    """First learning rates that are tried with every schedule."""
    validation_fraction: float = 1 / 6
    """Fraction of the training images that judge the rates."""
    rows: int | None = None
    """Use only this many of the training images, for a quick look; None: all."""


def schedules(rate: float, steps: int) -> dict[str, Schedule]:
    """The four, from the same first rate; `stepped` is a third of it after a third of the steps, and so on."""
    return {
        "constant": fnnet.ConstantSchedule(rate),
        "stepped": fnnet.StepDecay(rate, 1 / 3, steps / 3),
        "inverse-time": fnnet.InverseTimeDecay(rate, 9 / steps),
        "cosine": fnnet.CosineDecay(rate, steps),
    }


class Best(NamedTuple):
    """A schedule at its best first rate: validation error in percent (seeds, epochs), and the test accuracies."""

    rate: float
    errors: np.ndarray
    test: Result


def points(config: Config, steps: int) -> tuple[Point, ...]:
    """Every schedule at every first rate."""
    model = fnnet.mlp((784, 128, 64, 10), input_shape=(28, 28), scale=1 / 255)
    return tuple(
        Point({"schedule": name, "rate": rate}, Configuration(model, fnnet.Sgd(schedule), config.batch_size))
        for rate in config.rates
        for name, schedule in schedules(rate, steps).items()
    )


def best(results: Results, chosen: tuple[Point, ...], test: fnnet.Batch) -> dict[str, Best]:
    """Each schedule at the first rate with the highest mean validation accuracy; only these networks are tested."""
    assert results.params is not None
    found = {}
    for number in map(int, results.ranking()):
        name, rate = str(chosen[number].settings["schedule"]), chosen[number].settings["rate"]
        if name in found:
            continue
        rows = np.flatnonzero(results.point == number)
        model = chosen[number].configuration.model
        tested = [100 * float(fnnet.evaluate(model, results.params[row], test).accuracy) for row in rows]
        errors = 100 * (1 - results.curves["validation_accuracy"][rows])
        found[name] = Best(float(str(rate)), errors, Result(tested, "%", results.seed[rows].tolist()))
    return {name: found[name] for name in ("constant", "stepped", "inverse-time", "cosine")}


def draw(found: dict[str, Best], config: Config, steps: int) -> Any:
    """A Figure: the schedules themselves, and the validation error of each, mean and spread over the seeds."""
    figure, (rates, errors) = plots.figure(11, 4, 2)
    along, epochs = np.linspace(0, steps - 1, 400), np.arange(1, config.epochs + 1)
    for color, (name, one) in zip(plots.COLORS, found.items(), strict=False):
        value = np.broadcast_to(np.asarray(schedules(one.rate, steps)[name].value_at(jnp.asarray(along))), along.shape)
        rates.plot(along * config.epochs / steps, value, color=color, label=f"{name}, from {one.rate:g}")
        mean = one.errors.mean(0)
        errors.plot(epochs, mean, color=color, label=f"{mean[-1]:.2f}  {name}")
        errors.fill_between(epochs, one.errors.min(0), one.errors.max(0), color=color, alpha=0.13, linewidth=0)
    rates.set(
        xlabel="epoch", ylabel="learning rate", title="four schedules, each at its best first rate", ylim=(0, None)
    )
    rates.legend(frameon=False)
    errors.set(xlabel="epoch", title=f"validation error in %: mean of {config.seeds} seeds, lowest to highest")
    errors.legend(frameon=False)
    logarithmic(errors)
    return figure


def main(config: Config) -> dict[str, Best]:
    check_settings(config, *(["rows"] if config.rows is not None else []))
    folder = RunFolder("schedules", config)
    train, test = getattr(fnnet.datasets, config.data)()
    train = fnnet.Batch(train.x[: config.rows], train.y[: config.rows])
    train, validation = split_off(train, config.validation_fraction)
    steps = config.steps(len(train.y))
    chosen = points(config, steps)
    with folder as run:
        results = sweep(
            chosen, train, epochs=config.epochs, seeds=config.seeds, shuffle=jax.random.key(1), validation=validation,
            rank_by="accuracy", keep_params=True, progress=config.progress,
        )  # fmt: skip
        results.to_csv(run.path / "results.csv")
        print(results)
        found = best(results, chosen, test)
        for name, one in found.items():
            print(f"{name:13} from {one.rate:<4g} test accuracy {one.test}")
        name = f"schedules_{config.data}"
        run.figure(name, draw(found, config, steps))
        run.record(
            name,
            network=f"784-128-64-10, gradient descent, {config.epochs} epochs; each schedule at the best of "
            f"{len(config.rates)} first rates on {len(validation.y) if validation else 0:,} validation images",
            results={f"test accuracy, {name}, from {one.rate:g}": one.test for name, one in found.items()},
            captions={name: f"{TITLES[config.data]}: constant and falling learning rates"},
        )
        run.say_end()
    return found


if __name__ == "__main__":
    run(main, Config, __doc__)
