"""Learn to read the 70,000 handwritten digits of MNIST (or recognise the clothes of Fashion-MNIST).

Trains 784-128-64-10 with ReLU and softmax cross-entropy by Adam. The test images are opened once, after the
training. The first network is kept in the run's folder as checkpoint.safetensors; `experiments.predict` reads digits
of your own with it. The data files are looked for in FNNET_DATA and the usual caches, and downloaded (11 MB) if they
are nowhere. Of the same network, `experiments.activations` compares activations and `experiments.video_digits`
optimizers.
"""

import dataclasses
import time
from pathlib import Path
from typing import Literal

import tyro

import fnnet
from experiments.classification import (
    Task,
    Training,
    check_settings,
    draw,
    say_sizes,
    split_off,
    summary,
    train_seeds,
)
from experiments.run_folder import CHECKPOINT, RunFolder


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the run; the defaults were chosen on validation rows."""

    data: Literal["mnist", "fashion_mnist"] = "mnist"
    """Digits or clothes."""
    seeds: int = 1
    """How many networks to train, each from a random start of its own."""
    epochs: int = 5
    """How often every training image is seen."""
    batch_size: int = 128
    """Images in one step."""
    hidden: tuple[int, ...] = (128, 64)
    """Neurons in the hidden layers."""
    learning_rate: float = 3e-3
    """Of Adam at the first step; it falls to 0 along half a cosine."""
    dropout: float | None = None
    """Share of hidden activations dropped while training; None leaves dropout out of the program."""
    validation_share: float = 0.08
    """Share of the training images held out to watch the training (4,800); 0 trains on all of them."""
    progress: bool = True
    """Show a bar for each network."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""


def load(config: Config) -> Task:
    """Training, validation and test images."""
    if config.data == "mnist":
        (train, test), names = fnnet.datasets.mnist(), fnnet.datasets.MNIST_CLASSES
    else:
        (train, test), names = fnnet.datasets.fashion_mnist(), fnnet.datasets.FASHION_MNIST_CLASSES
    return Task(*split_off(train, config.validation_share), test, names)


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer, whose schedule ends with the last step."""
    model = fnnet.mlp((784, *config.hidden, 10), dropout=config.dropout, input_shape=(28, 28), scale=1 / 255)
    steps = config.epochs * -(-rows // config.batch_size)
    return model, fnnet.Adam(fnnet.CosineDecay(config.learning_rate, steps))


def main(config: Config) -> None:
    check_settings(config)
    start = time.perf_counter()
    try:
        task = load(config)
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    model, optimizer = build(config, len(task.train.y))
    training = Training(config.epochs, config.batch_size, config.progress)
    with RunFolder(config.data, config, config.runs) as run:
        print(f"{config.data}: {say_sizes(task)}")
        networks = train_seeds(model, optimizer, task, training, config.seeds, run, config.data)
        draw(networks[0], task, run)
        first = networks[0]
        saved = fnnet.save(run.path / CHECKPOINT, model, optimizer, first.state, history=first.history)
        print(f"test accuracy {summary(networks, task.test)}")
        print(f"in {time.perf_counter() - start:.1f} s; metrics and pictures: {run.path}")
        if config.data == "mnist":
            print(f"digits of your own: python -m experiments.predict {saved} IMAGE ...")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
