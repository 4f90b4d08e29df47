"""Learn to read 1,797 real handwritten digits of 8 x 8 pixels, in seconds and without network access.

Trains 64-256-128-10 with ReLU and dropout by Adam on four fifths of the digits, once for each seed, and reports how
many of the other fifth it reads correctly. Then the harder question: the last 360 rows held out, which come from
writers whose digits hardly occur in the rest.
"""

import dataclasses

import fnnet
from experiments import command_line
from experiments.classification import (
    Task,
    TrainingSettings,
    accuracies,
    check_settings,
    draw,
    split_off,
    train_seeds,
)
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder

UNSEEN = 360  # rows at the end from other writers; a fifth of all, so both splits use one compiled program


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; the defaults were chosen on validation rows and give the numbers in the README."""

    epochs: int = 40
    """How often every training digit is seen."""
    batch_size: int = 64
    """Digits in one step."""
    validation_fraction: float = 0.1
    """Fraction of the training digits held out to watch the training; 0 trains on all of them."""
    hidden: tuple[int, ...] = (256, 128)
    """Neurons in the hidden layers."""
    learning_rate: float = 5e-3
    """Learning rate of Adam at the first step; it falls to 0 along half a cosine."""
    dropout: float | None = 0.3
    """Fraction of hidden activations dropped while training; None leaves dropout out of the program."""
    label_smoothing: float | None = 0.1
    """Fraction of each target spread over all classes (so the loss stays above 0.5 here); None: no smoothing."""
    unseen_writers: bool = True
    """Also train with the last 360 rows held out."""


def tasks(config: Config) -> dict[str, Task]:
    """The two ways to hold digits out."""
    digits, names = fnnet.datasets.digits(), fnnet.datasets.DIGITS_CLASSES
    train, test = fnnet.datasets.stratified_split(digits, test_fraction=UNSEEN / len(digits.y), seed=0)
    splits = {"a fifth held out, stratified": Task(*split_off(train, config.validation_fraction), test, names)}
    if config.unseen_writers:
        known = fnnet.Batch(digits.x[:-UNSEEN], digits.y[:-UNSEEN])
        unseen = fnnet.Batch(digits.x[-UNSEEN:], digits.y[-UNSEEN:])
        name = "the last 360 held out, other writers"
        splits[name] = Task(*split_off(known, config.validation_fraction), unseen, names)
    return splits


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer, whose schedule ends with the last step."""
    model = fnnet.mlp(
        (64, *config.hidden, 10),
        loss=fnnet.SoftmaxCrossEntropy(config.label_smoothing),
        dropout=config.dropout,
        input_shape=(8, 8),
        scale=1 / 16,
    )
    return model, fnnet.Adam(fnnet.CosineDecay(config.learning_rate, config.steps(rows)))


def main(config: Config) -> None:
    check_settings(config)
    found: dict[str, Result | str] = {}
    captions: dict[str, str] = {}
    with RunFolder("digits", config) as run:
        for name, task in tasks(config).items():
            print(f"\n{name}: {task}")
            model, optimizer = build(config, len(task.train.y))
            networks = train_seeds(model, optimizer, task, config, run, name)
            found[f"test accuracy, {name}"] = accuracies(networks, task.test)
            captions = captions or draw(networks[0], task, run)
        print("\nmean ± standard deviation\n  " + "\n  ".join(f"{name:<52} {result}" for name, result in found.items()))
        run.record(
            "digits",
            network=f"the embedded digits: 64-{'-'.join(map(str, config.hidden))}-10, ReLU, dropout, Adam",
            results=found,
            captions=captions,
        )
        run.say_end()


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
