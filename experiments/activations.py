"""One network of neurons, 784-128-64-10, with three activations, learning digits by gradient descent.

A neuron is a linear part and an activation, y = f(w . x + b); a layer is all its neurons at once. The article whose
guided tour this follows has an image in every column, Y = f(W X + b); here an image is a row, Y = f(X W + b), the
transpose. The output is softmax, the error cross-entropy; every step follows the gradient of 128 images, and steps
shrink (at a constant rate, chance in the last steps decides which of five seeds looks bad).

Sigmoid, tanh and ReLU are compared over five seeds. Each has the initialization (He's for ReLU, Glorot's for the
others) and the learning rate that suit it; one rate for all would only show which of them it suits. The rates are the
best of seven on 10,000 training images held out; the test images are used only after training:

    python -m experiments.activations --seeds 2 --search-rates

`experiments.mnist` trains the same network with Adam.
"""

import dataclasses
from typing import NamedTuple

import fnnet
from experiments import command_line, mnist
from experiments.classification import (
    Task,
    TrainingSettings,
    accuracies,
    check_settings,
    compare,
    curves_over_seeds,
    search_rates,
)
from experiments.command_line import KeptSettings
from experiments.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; the rates are what `--seeds 2 --search-rates` found."""

    hidden: tuple[int, ...] = (128, 64)
    """Neurons in the hidden layers."""
    rate_sigmoid: float = 6.4
    """Learning rate with sigmoid at the first step; it falls to 0 along half a cosine."""
    rate_tanh: float = 0.8
    """The same with tanh."""
    rate_relu: float = 0.4
    """The same with ReLU."""
    search_rates: bool = False
    """Instead of comparing on test images, find the best rate of each on validation images: a sixth."""
    rates: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
    """The rates that the search tries with each activation."""


class Neuron(NamedTuple):
    """An activation, how weights start with it, and the rate at which it learns."""

    activation: fnnet.Sigmoid | fnnet.Tanh | fnnet.Relu
    weights: fnnet.GlorotNormal | fnnet.HeNormal
    rate: float


def neurons(config: Config) -> dict[str, Neuron]:
    """The three that the tour introduces."""
    return {
        "sigmoid": Neuron(fnnet.Sigmoid(), fnnet.GlorotNormal(), config.rate_sigmoid),
        "tanh": Neuron(fnnet.Tanh(), fnnet.GlorotNormal(), config.rate_tanh),
        "ReLU": Neuron(fnnet.Relu(), fnnet.HeNormal(), config.rate_relu),
    }


def build(neuron: Neuron, config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Sgd]:
    """The network of such neurons, and gradient descent whose schedule ends with the last step."""
    model = fnnet.mlp(
        (784, *config.hidden, 10),
        activation=neuron.activation,
        weights=neuron.weights,
        input_shape=(28, 28),
        scale=1 / 255,
    )
    return model, fnnet.Sgd(fnnet.CosineDecay(neuron.rate, config.steps(rows)))


def main(config: Config) -> None:
    check_settings(config)
    folder = RunFolder("activations", config)
    held_out = {"search_rates": config.search_rates, "validation_fraction": config.validation_fraction}
    task = mnist.load(mnist.Config(**held_out))
    with folder as run:
        print(f"the guided tour: {task}")
        (search if config.search_rates else compare_activations)(config, task, run)
        run.say_end()


def search(config: Config, task: Task, run: RunFolder) -> None:
    """Every activation at every rate; the test images are not used."""
    networks = {
        name: {rate: build(neuron._replace(rate=rate), config, len(task.train.y)) for rate in config.rates}
        for name, neuron in neurons(config).items()
    }
    defaults = {name: neuron.rate for name, neuron in neurons(config).items()}
    rows = 0 if task.validation is None else len(task.validation.y)
    run.record(
        "activations_search",
        network=f"the same network at {len(config.rates)} first learning rates, judged by {rows:,} validation images",
        results=search_rates(networks, defaults, task, config, run),
    )


def compare_activations(config: Config, task: Task, run: RunFolder) -> None:
    """Each activation at its rate, from every seed."""
    networks = {name: build(neuron, config, len(task.train.y)) for name, neuron in neurons(config).items()}
    found = compare(networks, task, config, run)
    run.figure("activations", curves_over_seeds(found))
    run.record(
        "activations",
        network="an article's guided tour: 784-128-64-10 with sigmoid, tanh or ReLU, gradient descent, "
        f"{config.epochs} epochs",
        results={f"test accuracy, {name}": accuracies(networks, task.test) for name, networks in found.items()},
        captions={"activations": "Three activations, gradient descent; bars are the spread over five seeds"},
    )


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
