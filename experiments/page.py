"""Write pages to draw on, to look into and to teach: one HTML file each, which any browser opens, with no network.

Trains the network of `python -m experiments.mnist` and writes digit.html, with the first test image of each class to
pick from. playground.html is a small network that learns points in a plane while you watch; it starts untrained. With
--convolutions, digit.html is digit_convolutions.html, of a small convolutional network. --checkpoint takes a network
that was trained before. The pages keep float32 parameters, so their answers are those of `fnnet.predict`.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np

import fnnet
from experiments import command_line, mnist, predict
from experiments.classification import Task, check_settings, train_seeds
from experiments.command_line import KeptSettings
from experiments.run_folder import RunFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Which network the pages show."""

    network: mnist.Config = dataclasses.field(default_factory=mnist.Config)
    """The network and its training, as experiments.mnist has them; its data stay MNIST."""
    convolutions: bool = False
    """Two 5x5 convolutions of 8 and 16 filters and one dense layer, instead of dense layers alone."""
    checkpoint: Path | None = None
    """A network that fnnet.save wrote, or a folder with one; nothing is trained then."""


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer."""
    model, optimizer = mnist.build(config.network, rows)
    if config.convolutions:
        model = fnnet.cnn((28, 28), (8, 16), (10,), kernel=(5, 5), scale=1 / 255)
    return model, optimizer


def trained(config: Config, task: Task, run: RunFolder) -> tuple[fnnet.Model, fnnet.Params]:
    """The model and its parameters, from the checkpoint or from training."""
    if config.checkpoint is not None:
        return predict.load(config.checkpoint)
    model, optimizer = build(config, len(task.train.y))
    (network,) = train_seeds(model, optimizer, task, config.network, run, "mnist")
    return model, network.state.params


def one_of_each(test: fnnet.Batch) -> fnnet.Batch:
    """The first image of every class."""
    rows = [np.flatnonzero(test.y == c)[0] for c in range(10)]
    return fnnet.Batch(test.x[rows], test.y[rows])


def playground() -> tuple[fnnet.Model, fnnet.Params]:
    """A small network for points in a plane, not trained yet."""
    model = fnnet.mlp((2, 8, 8, 1), activation=fnnet.Tanh(), loss=fnnet.SigmoidBinaryCrossEntropy())
    return model, fnnet.init(model, jax.random.key(0))


def main(config: Config) -> None:
    settings = dataclasses.replace(config.network, data="mnist", seeds=1, search_rates=False)
    config = dataclasses.replace(config, network=settings)
    check_settings(settings)
    folder, task = RunFolder("page", config), mnist.load(settings)
    name = "digit_convolutions.html" if config.convolutions else "digit.html"
    with folder as run:
        pages = run.path if config.copy_to is None else config.copy_to
        pages.mkdir(parents=True, exist_ok=True)
        model, params = trained(config, task, run)
        digit = fnnet.export_page(
            model, params, pages / name, samples=one_of_each(task.test), title="What a network sees in your digit"
        )
        written = [digit, fnnet.export_page(*playground(), pages / "playground.html", title="A small network learns")]
        for path in written:
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; open it in a browser")
        run.say_end()


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
