"""What overfitting looks like, and what dropout, weight decay and early stopping do about it, on Fashion-MNIST.

784-256-256-10 learns 5,000 images by Adam, its rate falling along half a cosine: nearly all of them by heart. Fractions
of dropout and strengths of decay are tried in one sweep and judged, like the epoch at which early stopping stops, by
10,000 other training images; the test images are read once for each network of the four winners. The rate of Adam is
its usual 0.001 for all; the sizes and the number of epochs are ours, so that the network overfits.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from experiments.classification import TrainingSettings, check_settings
from experiments.command_line import KeptSettings, check_counts, run
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.plots.theme import along_epochs, logarithmic
from fnnet.sweeps import Configuration, Point, Results, sweep

NONE, DROPOUT, DECAY, STOPPING = "nothing", "dropout", "weight decay", "early stopping"


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the runs."""

    rows: int = 5000
    """Images to learn from."""
    validation_rows: int = 10_000
    """Other images, which judge."""
    hidden: tuple[int, ...] = (256, 256)
    """Neurons in the hidden layers."""
    epochs: int = 60
    """How often every training image is seen."""
    seeds: int = 3
    """Networks of each kind."""
    dropouts: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)
    """Fractions of the hidden activations that are dropped while training."""
    decays: tuple[float, ...] = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3)
    """Strengths of the L2 penalty on the weights."""


class Remedy(NamedTuple):
    """One way to train, as it did best: what it is, its curves (seeds, epochs), and the test accuracies."""

    setting: str
    loss: np.ndarray
    validation_loss: np.ndarray
    accuracy: np.ndarray
    test: Result


def points(config: Config) -> tuple[Point, ...]:
    """Without a remedy, every fraction of dropout, every strength of decay."""

    def point(name: str, value: float, **more: Any) -> Point:
        sizes = (784, *config.hidden, 10)
        model = fnnet.mlp(sizes, input_shape=(28, 28), scale=1 / 255, **more)
        adam = fnnet.Adam(fnnet.CosineDecay(1e-3, config.steps(config.rows)))
        return Point({"remedy": name, "value": value}, Configuration(model, adam, config.batch_size))

    return (
        point(NONE, 0.0),
        *(point(DROPOUT, rate, dropout=rate) for rate in config.dropouts),
        *(point(DECAY, strength, penalty=fnnet.L2(strength)) for strength in config.decays),
    )


def winners(results: Results, stopped: Results, chosen: tuple[Point, ...], test: fnnet.Batch) -> dict[str, Remedy]:
    """The best of each kind by validation accuracy, and early stopping, each tested on the test images."""
    found: dict[str, Remedy] = {}
    for number in map(int, results.ranking()):
        name = str(chosen[number].settings["remedy"])
        if name not in found:
            found[name] = remedy(results, number, chosen, test, f"{name} {chosen[number].settings['value']:g}")
    epochs = stopped.epoch.tolist()
    found[STOPPING] = remedy(stopped, 0, chosen, test, f"best epochs: {', '.join(map(str, epochs))}")
    return {name: found[name] for name in (NONE, DROPOUT, DECAY, STOPPING)}


def remedy(results: Results, number: int, chosen: tuple[Point, ...], test: fnnet.Batch, setting: str) -> Remedy:
    """The runs of one point, and how many test images each gets right."""
    assert results.params is not None
    rows, model = np.flatnonzero(results.point == number), chosen[number].configuration.model
    tested = [100 * float(fnnet.evaluate(model, results.params[row], test).accuracy) for row in rows]
    loss, other, accuracy = (results.curves[name][rows] for name in ("loss", "validation_loss", "validation_accuracy"))
    return Remedy(setting, loss, other, accuracy, Result(tested, "%", results.seed[rows].tolist()))


def draw(found: dict[str, Remedy]) -> Any:
    """A Figure: the loss without a remedy on the rows learned and on others, and the validation error of all."""
    figure, (losses, errors) = plots.figure(10.5, 3.9, 2)
    plain = found[NONE]
    epochs = np.arange(1, plain.loss.shape[1] + 1)
    train, other = plain.loss.mean(0), plain.validation_loss.mean(0)
    losses.plot(epochs, train, color=plots.TRAINING, label="on the images learned")
    losses.plot(epochs, other, color=plots.VALIDATION, label="on other images")
    turn = int(other.argmin())
    losses.axvline(epochs[turn], color="#999999", linewidth=0.8, linestyle="--", label=f"lowest: epoch {epochs[turn]}")
    losses.set_title("no remedy: cross-entropy")
    logarithmic(losses)
    for color, (name, one) in zip(plots.COLORS, found.items(), strict=False):
        if name != STOPPING:
            errors.plot(epochs, 100 * (1 - one.accuracy.mean(0)), color=color, label=name)
    errors.axvline(epochs[turn], color="#999999", linewidth=0.8, linestyle="--")
    errors.set_title("error on other images in %")
    logarithmic(errors)
    for axis in (losses, errors):
        along_epochs(axis)
        axis.legend(frameon=False, fontsize=9)
    return figure


def main(config: Config) -> dict[str, Remedy]:
    check_settings(config)
    check_counts(config, "rows", "validation_rows")
    folder = RunFolder("overfitting", config)
    images, test = fnnet.datasets.fashion_mnist()
    order = np.random.default_rng(0).permutation(len(images.y))
    train, other = (fnnet.Batch(images.x[i], images.y[i]) for i in np.split(order, [config.rows])[:2])
    validation = fnnet.Batch(other.x[: config.validation_rows], other.y[: config.validation_rows])
    chosen = points(config)
    settings: dict[str, Any] = {
        "epochs": config.epochs, "seeds": config.seeds, "shuffle": jax.random.key(1), "validation": validation,
        "rank_by": "accuracy", "keep_params": True, "progress": config.progress,
    }  # fmt: skip
    with folder as run:
        results = sweep(chosen, train, **settings)
        stopped = sweep(chosen[:1], train, early_stopping=fnnet.EarlyStopping(patience=10), **settings)
        results.to_csv(run.path / "results.csv")
        print(results)
        found = winners(results, stopped, chosen, test)
        for name, one in found.items():
            print(f"{name:15} ({one.setting}): test accuracy {one.test}")
        run.figure("overfitting", draw(found))
        words: dict[str, Result | str] = {
            f"test accuracy, {name}" + (f" ({one.setting})" if name != NONE else ""): one.test
            for name, one in found.items()
        }
        run.record(
            "overfitting",
            network=f"784-{'-'.join(map(str, config.hidden))}-10, Adam, {config.rows:,} images of Fashion-MNIST, "
            f"{config.epochs} epochs; remedies chosen on {config.validation_rows:,} others",
            results=words
            | {
                "training loss at the end, nothing": Result(
                    found[NONE].loss[:, -1].tolist(), "", range(config.seeds), 4
                ),
                "validation loss at the end, nothing": Result(
                    found[NONE].validation_loss[:, -1].tolist(), "", range(config.seeds)
                ),
                "lowest validation loss, nothing": Result(
                    found[NONE].validation_loss.min(1).tolist(), "", range(config.seeds)
                ),
            },
            captions={"overfitting": "Fashion-MNIST, 5,000 images: overfitting, and what is done about it"},
        )
        run.say_end()
    return found


if __name__ == "__main__":
    run(main, Config, __doc__)
