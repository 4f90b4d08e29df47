"""Five optimizers on one network, 784-128-64-10 with ReLU and softmax: SGD, momentum, AdaGrad, RMSProp and Adam.

A video trains this network on MNIST's digits (97.42 % of the test images right) and on Fashion-MNIST (about 87 %), with
categorical cross-entropy and steps that are big at first and smaller later. Here every optimizer starts from the same
five seeds, and figures show how each learns, which classes are confused, the worst mistakes, and the weights of the
first neurons. The rates are the best of five for each, on 10,000 training images held out; the test images are used
only after training:

    python -m experiments.five_optimizers --seeds 2 --search-rates

The best network found without distorted images, and what it was chosen from, on held-out images alone:

    python -m experiments.five_optimizers --seeds 3 --best
    python -m experiments.five_optimizers --seeds 3 --search
    python -m experiments.five_optimizers --data fashion_mnist --seeds 3 --batch-size 256 --best
    python -m experiments.five_optimizers --data fashion_mnist --seeds 3 --batch-size 256 --search --search-epochs 25

On Fashion-MNIST, dropout on the pixels too (0.1, and 0.3 after them) was tried for 12 epochs: 89.7 % of these images
against 90.8 % without any dropout.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np

import fnnet
from experiments import command_line
from experiments.classification import (
    Task,
    Trained,
    TrainingSettings,
    accuracies,
    answers,
    check_settings,
    compare,
    confusion,
    curves_over_seeds,
    search_rates,
    split_off,
    train_one,
    train_seeds,
)
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.protocols import Optimizer

PLAIN = (128, 64)
"""Hidden layers of the network that the optimizers are compared on."""


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; the defaults were chosen on validation rows."""

    data: Literal["mnist", "fashion_mnist"] = "mnist"
    """Images to learn."""
    epochs: int = 12
    """How often every training image is seen where optimizers are compared."""
    search: bool = False
    """Instead of optimizers, compare candidates for the best network, on validation rows alone."""
    search_rates: bool = False
    """Instead of comparing optimizers on test images, find the best rate of each, on validation rows alone."""
    search_epochs: int = 12
    """How long each candidate is trained."""
    best: bool = False
    """Instead of optimizers, train the candidate that won, on all training images."""
    best_epochs: int = 25
    """How long it is trained."""
    rows: int | None = None
    """Use only this many of the training images, for a quick look; None: all."""
    validation_fraction: float = 0.08
    """Fraction of the training images held out to watch the training; a sixth for a search, 0 for the best."""


class Recipe(NamedTuple):
    """A network and how Adam trains it; no image is distorted.

    dropout    fractions of the pixels and of the hidden activations dropped while training; None: not in the program
    smoothing  of the labels
    max_norm   the largest norm of a neuron's weights
    """

    hidden: tuple[int, ...]
    dropout: tuple[float | None, float | None] = (None, None)
    smoothing: float | None = None
    max_norm: float | None = None
    learning_rate: float = 1e-3

    def model(self) -> fnnet.Model:
        """ReLU, and dropout on the pixels and after every hidden layer."""
        pixels, hidden = self.dropout
        loss = fnnet.SoftmaxCrossEntropy(self.smoothing)
        sizes = (784, *self.hidden, 10)
        return fnnet.mlp(sizes, loss=loss, input_dropout=pixels, dropout=hidden, input_shape=(28, 28), scale=1 / 255)

    def optimizer(self, steps: int) -> Optimizer:
        """Adam, whose rate falls to 0 along half a cosine."""
        adam = fnnet.Adam(fnnet.CosineDecay(self.learning_rate, steps))
        return adam if self.max_norm is None else fnnet.Chain((adam, fnnet.MaxNorm(self.max_norm)))

    def __str__(self) -> str:
        """`784-800-800-10, dropout 0.2 and 0.5, labels smoothed by 0.1`."""
        parts = ["-".join(map(str, (784, *self.hidden, 10)))]
        parts += ["dropout {} and {}".format(*(rate or 0 for rate in self.dropout))] if any(self.dropout) else []
        parts += [f"labels smoothed by {self.smoothing:g}"] if self.smoothing else []
        parts += [f"max-norm {self.max_norm:g}"] if self.max_norm else []
        return ", ".join([*parts, f"Adam at {self.learning_rate:g}"])


class Subject(NamedTuple):
    """What differs from one data set to the other.

    title       at the beginning of captions
    class_names of the ten classes
    rates       learning rate of each of the five optimizers at the first step
    candidates  for the best network
    best        the candidate that `--search` found
    author      what the video reports
    """

    title: str
    class_names: tuple[str, ...]
    rates: tuple[float, float, float, float, float]
    candidates: tuple[Recipe, ...]
    best: Recipe
    author: str


SUBJECTS = {
    "mnist": Subject(
        title="MNIST",
        class_names=fnnet.datasets.MNIST_CLASSES,
        rates=(0.4, 0.1, 0.04, 2e-3, 4e-3),
        candidates=(
            Recipe((800, 800)),
            Recipe((800, 800), (0.2, 0.3)),
            Recipe((800, 800), (0.2, 0.5)),
            Recipe((800, 800), (0.2, 0.5), max_norm=2.0, learning_rate=2e-3),
            Recipe((800, 800), (0.2, 0.3), smoothing=0.1),
        ),
        best=Recipe((800, 800), (0.2, 0.3), smoothing=0.1),
        author="97.42 % test accuracy",
    ),
    "fashion_mnist": Subject(
        title="Fashion-MNIST",
        class_names=fnnet.datasets.FASHION_MNIST_CLASSES,
        rates=(0.4, 0.05, 0.02, 4e-3, 8e-3),
        candidates=(
            Recipe((800, 800)),
            Recipe((800, 800), (None, 0.2)),
            Recipe((800, 800), (None, 0.4)),
            Recipe((800, 800), (None, 0.2), smoothing=0.1),
        ),
        best=Recipe((800, 800)),
        author="about 87 % test accuracy",
    ),
}


TRIED = {
    "SGD": (0.1, 0.2, 0.4, 0.8, 1.6),
    "SGD with momentum": (0.025, 0.05, 0.1, 0.2, 0.4),
    "AdaGrad": (5e-3, 0.01, 0.02, 0.04, 0.08),
    "RMSProp": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
    "Adam": (1e-3, 2e-3, 4e-3, 8e-3, 0.016),
}
"""The first learning rates among which `--search-rates` chooses."""


def optimizers(rates: tuple[float, ...], steps: int) -> dict[str, Optimizer]:
    """The five by name. Big steps first: all but AdaGrad, whose steps shrink by themselves, end at a tenth."""
    sgd, momentum, adagrad, rmsprop, adam = rates

    def falling(start: float) -> fnnet.InverseTimeDecay:
        return fnnet.InverseTimeDecay(start, 9 / steps)

    return {
        "SGD": fnnet.Sgd(falling(sgd)),
        "SGD with momentum": fnnet.Sgd(falling(momentum), momentum=0.9),
        "AdaGrad": fnnet.AdaGrad(adagrad),
        "RMSProp": fnnet.RmsProp(falling(rmsprop)),
        "Adam": fnnet.Adam(falling(adam)),
    }


def main(config: Config) -> None:
    """Load, train what the settings ask for, and leave the files."""
    check_settings(config, "search_epochs", "best_epochs", *(["rows"] if config.rows is not None else []))
    wanted = {best: config.best, search: config.search, search_for_rates: config.search_rates}
    parts = [part for part, asked in wanted.items() if asked] or [compare_optimizers]
    if len(parts) > 1:
        raise SystemExit("--best --search --search-rates: expected at most one of them; each is a run of its own")
    folder, subject = RunFolder("five_optimizers", config), SUBJECTS[config.data]
    task = load(config, subject)
    with folder as run:
        print(f"{subject.title}: {task}")
        parts[0](config, subject, task, run)
        run.say_end()


def load(config: Config, subject: Subject) -> Task:
    """The images, split as the part of the script needs them."""
    train, test = getattr(fnnet.datasets, config.data)()
    if config.rows is not None:
        train = fnnet.Batch(train.x[: config.rows], train.y[: config.rows])
    searches = config.search or config.search_rates
    fraction = 0 if config.best else 1 / 6 if searches else config.validation_fraction
    return Task(*split_off(train, fraction), test, subject.class_names)


def plain() -> fnnet.Model:
    """The network that the optimizers are compared on."""
    return fnnet.mlp((784, *PLAIN, 10), input_shape=(28, 28), scale=1 / 255)


def search_for_rates(config: Config, subject: Subject, task: Task, run: RunFolder) -> None:
    """Every optimizer at every rate of TRIED; the test images are not used."""
    steps = config.steps(len(task.train.y))
    settings = [optimizers(rates, steps) for rates in zip(*TRIED.values(), strict=True)]
    networks = {
        name: {rate: (plain(), five[name]) for rate, five in zip(rates, settings, strict=True)}
        for name, rates in TRIED.items()
    }
    run.record(
        f"five_optimizers_{config.data}_rates",
        network="the same network at five first learning rates with each optimizer, judged by validation images",
        results=search_rates(networks, dict(zip(TRIED, subject.rates, strict=True)), task, config, run),
    )


def compare_optimizers(config: Config, subject: Subject, task: Task, run: RunFolder) -> None:
    """The same plain network under five optimizers, `config.seeds` times each."""
    model = plain()
    named = optimizers(subject.rates, config.steps(len(task.train.y)))
    found = compare({name: (model, optimizer) for name, optimizer in named.items()}, task, config, run)
    name, adam = f"five_optimizers_{config.data}", found["Adam"][0]
    run.figure(f"{name}_curves", curves_over_seeds(found))
    run.figure(f"{name}_answers", answers(adam, task))
    run.figure(f"{name}_weights", plots.weight_images(adam.state.params, (28, 28), names=dead(adam, task)))
    run.record(
        name,
        network="a video's network: 784-128-64-10, ReLU, softmax, cross-entropy; five optimizers side by side",
        author=subject.author,
        results={f"test accuracy, {name}": accuracies(networks, task.test) for name, networks in found.items()},
        captions={
            f"{name}_curves": f"{subject.title}: five optimizers; bars are the spread over seeds",
            **draw_mistakes(name, adam, task, run, f"{subject.title}, a network trained with Adam"),
            f"{name}_weights": f"{subject.title}: weights of the neurons of the first layer",
            f"{name}_answers": f"{subject.title}: the first test image of every class, and three mistakes",
        },
    )


def dead(network: Trained, task: Task) -> dict[int, str]:
    """Neurons of the first layer that are 0 for every training image, as names for their weights."""
    w, b = network.state.params[2]
    x = task.train.x.reshape(len(task.train.y), -1).astype(np.float32) / 255
    return {int(unit): "dead" for unit in np.flatnonzero(~(x @ np.asarray(w) + np.asarray(b) > 0).any(0))}


def search(config: Config, subject: Subject, task: Task, run: RunFolder) -> None:
    """Every candidate for the best network, from every seed; the test images are not used."""
    assert task.validation is not None
    settings = dataclasses.replace(config, epochs=config.search_epochs)
    results: dict[str, Result | str] = {}
    for recipe in subject.candidates:
        model, optimizer = recipe.model(), recipe.optimizer(settings.steps(len(task.train.y)))
        values = []
        for seed in range(config.seeds):
            _, history = train_one(model, optimizer, task, settings, seed, run, str(recipe))
            assert history.validation is not None
            values.append(100 * float(history.validation.accuracy[-1]))
            run.log(recipe=str(recipe), seed=seed, validation_accuracy=values[-1] / 100)
        result = results[f"validation accuracy, {recipe}"] = Result(values, "%", range(config.seeds))
        print(f"{result} of {len(task.validation.y):,} validation images right: {recipe}")
    run.record(
        f"five_optimizers_{config.data}_search",
        network=f"candidates for the best network without distortions, {settings.epochs} epochs each",
        results=results,
    )


def best(config: Config, subject: Subject, task: Task, run: RunFolder) -> None:
    """The candidate that won on validation rows, trained longer and on all training images."""
    recipe, settings = subject.best, dataclasses.replace(config, epochs=config.best_epochs)
    print(recipe)
    optimizer = recipe.optimizer(settings.steps(len(task.train.y)))
    networks = train_seeds(recipe.model(), optimizer, task, settings, run, "best")
    accuracy, name = accuracies(networks, task.test), f"five_optimizers_{config.data}_best"
    print(f"test accuracy {accuracy}")
    run.record(
        name,
        network=f"the best network without distortions: {recipe}, {settings.epochs} epochs",
        author=subject.author,
        results={"test accuracy": accuracy},
        captions=draw_mistakes(name, networks[0], task, run, f"{subject.title}, the best network"),
    )


def draw_mistakes(name: str, network: Trained, task: Task, run: RunFolder, caption: str) -> dict[str, str]:
    """Captions by name of the figures drawn: which class is taken for which, and the worst mistakes, if any."""
    run.figure(f"{name}_confusion", confusion(network, task))
    captions = {f"{name}_confusion": f"{caption}: true and predicted classes of the test images"}
    if network.errors(task.test):
        worst = plots.worst_mistakes(task.test.x, network.probabilities, task.test.y, task.class_names)
        run.figure(f"{name}_mistakes", worst)
        captions[f"{name}_mistakes"] = f"{caption}: its worst mistakes on test images"
    return captions


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
