"""Learn to read the 70,000 handwritten digits of MNIST (or to recognize the images of Fashion-MNIST).

Trains 784-128-64-10 with ReLU and softmax cross-entropy by Adam. The test images are used once, after training. The
sizes are the article's, the number of epochs is ours; the learning rate is the best of five, or a tie with it, on
10,000 training images held out:

    python -m experiments.mnist --seeds 3 --search-rates

The first network is kept in the run's folder as checkpoint.safetensors; `experiments.predict` reads digits
of your own with it. The data files are looked for in FNNET_DATA and the usual caches, and downloaded (11 MB) if they
are in none of them. Of the same network, `experiments.activations` compares activations and
`experiments.five_optimizers` optimizers.
"""

import dataclasses
from typing import Literal

import fnnet
from experiments import command_line
from experiments.classification import (
    Task,
    TrainingSettings,
    accuracies,
    check_settings,
    draw,
    same_network,
    search_rates,
    split_off,
    train_seeds,
)
from experiments.command_line import KeptSettings
from experiments.run_folder import CHECKPOINT, RunFolder


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; the learning rate is what `--seeds 3 --search-rates` found."""

    data: Literal["mnist", "fashion_mnist"] = "mnist"
    """Images to learn."""
    seeds: int = 1
    """How many networks to train, each from a random start of its own."""
    epochs: int = 5
    """How often every training image is seen."""
    hidden: tuple[int, ...] = (128, 64)
    """Neurons in the hidden layers."""
    learning_rate: float = 6e-3
    """Learning rate of Adam at the first step; it falls to 0 along half a cosine."""
    dropout: float | None = None
    """Fraction of hidden activations dropped while training; None leaves dropout out of the program."""
    search_rates: bool = False
    """Instead of opening the test images, find the best learning rate on validation images: a sixth."""
    rates: tuple[float, ...] = (7.5e-4, 1.5e-3, 3e-3, 6e-3, 0.012)
    """The learning rates that the search tries."""


def load(config: Config) -> Task:
    """Training, validation and test images."""
    if config.data == "mnist":
        (train, test), names = fnnet.datasets.mnist(), fnnet.datasets.MNIST_CLASSES
    else:
        (train, test), names = fnnet.datasets.fashion_mnist(), fnnet.datasets.FASHION_MNIST_CLASSES
    fraction = 1 / 6 if config.search_rates else config.validation_fraction
    return Task(*split_off(train, fraction), test, names)


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer, whose schedule ends with the last step."""
    model = fnnet.mlp((784, *config.hidden, 10), dropout=config.dropout, input_shape=(28, 28), scale=1 / 255)
    return model, fnnet.Adam(fnnet.CosineDecay(config.learning_rate, config.steps(rows)))


def main(config: Config) -> None:
    check_settings(config)
    folder, task = RunFolder(config.data, config), load(config)
    with folder as run:
        print(f"{config.data}: {task}")
        (search if config.search_rates else learn)(config, task, run)


def search(config: Config, task: Task, run: RunFolder) -> None:
    """The network at every rate; the test images are not used."""
    rates = {rate: build(dataclasses.replace(config, learning_rate=rate), len(task.train.y)) for rate in config.rates}
    found = search_rates({"Adam": rates}, {"Adam": config.learning_rate}, task, config, run)
    if config.data == "mnist":
        run.record("mnist_rates", network=same_network(config, task), results=found)
    run.say_end()


def learn(config: Config, task: Task, run: RunFolder) -> None:
    """Networks from every seed, tested; the first of them is kept."""
    model, optimizer = build(config, len(task.train.y))
    networks = train_seeds(model, optimizer, task, config, run, config.data)
    captions = draw(networks[0], task, run)
    first = networks[0]
    saved = fnnet.save(run.path / CHECKPOINT, model, optimizer, first.state, history=first.history)
    accuracy = accuracies(networks, task.test)
    print(f"test accuracy {accuracy}")
    if config.data == "mnist":
        run.record(
            "mnist",
            network=f"784-{'-'.join(map(str, config.hidden))}-10, ReLU, Adam, {config.epochs} epochs",
            results={"test accuracy": accuracy},
            captions=captions,
        )
    run.say_end()
    if config.data == "mnist":
        print(f"digits of your own: python -m experiments.predict {saved} IMAGE ...")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
