"""The guided tour: one network of neurons, 784-128-64-10, with three activations, learning digits by gradient descent.

A neuron is a linear part and an activation, y = f(w . x + b); a layer is all its neurons at once. An article's guided
tour has an image in every column, Y = f(W X + b); here an image is a row, Y = f(X W + b), the same numbers turned
round. The output is softmax, the error cross-entropy, and every step goes down the gradient of 128 images, the later
the smaller (at a constant rate, the last steps decide which of five seeds looks bad).

Sigmoid, tanh and ReLU are compared over five seeds. Each has the start (He's for ReLU, Glorot's for the others) and
the rate that suit it, or one would only see which of them likes that rate. The rates were chosen at constant rates on
10,000 training images held out; the test images are opened after the training. `experiments.mnist` trains the same
network with Adam.
"""

import dataclasses
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import tyro

import fnnet
from experiments import mnist
from experiments.classification import (
    Training,
    accuracies,
    check_settings,
    say_sizes,
    seeds_stacked,
    summary,
    train_seeds,
)
from experiments.results_file import command_of, record
from experiments.run_folder import RunFolder
from fnnet import plots


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the run; the rates were chosen on validation rows."""

    seeds: int = 5
    """How many networks to train with each activation, each from a random start of its own."""
    epochs: int = 10
    """How often every training image is seen."""
    batch_size: int = 128
    """Images in one step."""
    hidden: tuple[int, ...] = (128, 64)
    """Neurons in the hidden layers."""
    rate_sigmoid: float = 2.0
    """Learning rate with sigmoid at the first step; it falls to 0 along half a cosine."""
    rate_tanh: float = 0.4
    """The same with tanh."""
    rate_relu: float = 0.2
    """The same with ReLU."""
    validation_share: float = 0.08
    """Share of the training images held out to watch the training; the picture shows them."""
    progress: bool = True
    """Show a bar for each network."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    copy_to: Path | None = None
    """A folder that gets the figures and the picture too, such as experiments/results."""


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
    steps = config.epochs * -(-rows // config.batch_size)
    return model, fnnet.Sgd(fnnet.CosineDecay(neuron.rate, steps))


def main(config: Config) -> None:
    check_settings(config)
    start = time.perf_counter()
    try:
        task = mnist.load(mnist.Config(validation_share=config.validation_share))
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    training = Training(config.epochs, config.batch_size, config.progress)
    with RunFolder("activations", config, config.runs) as run:
        print(f"the guided tour: {say_sizes(task)}")
        found = {}
        for name, neuron in neurons(config).items():
            print(f"{name}, learning rate {neuron.rate:g}")
            found[name] = train_seeds(
                *build(neuron, config, len(task.train.y)), task, training, config.seeds, run, name
            )
        for name, networks in found.items():
            print(f"test accuracy, {name:7}  {summary(networks, task.test)}")
        picture = plots.learning_curves({name: seeds_stacked(networks) for name, networks in found.items()})
        run.picture("learning_curves", picture)
        if config.copy_to is not None:
            path = record(
                "activations",
                command=command_of("activations", config),
                tutorial="the guided tour: 784-128-64-10 with sigmoid, tanh or ReLU, gradient descent, "
                f"{config.epochs} epochs",
                author="",
                ours={f"test accuracy, {name}": accuracies(networks, task.test) for name, networks in found.items()},
                seconds=time.perf_counter() - start,
                folder=config.copy_to,
                pictures={"activations.png": "Three activations, gradient descent; bands are the spread over seeds"},
            )
            shutil.copy(run.path / "learning_curves.png", path.with_name("activations.png"))
            print(f"kept: {path}")
        print(f"in {time.perf_counter() - start:.1f} s; metrics and picture: {run.path}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
