"""Learn to read 1,797 real handwritten digits of 8 x 8 pixels, in seconds and without network access.

Trains 64-256-128-10 with ReLU and dropout by Adam on four fifths of the digits, once for each seed, and says
how many of the other fifth it reads. Then the harder question: the last 360 rows held out, which come from
writers that the rest hardly knows.
"""

import dataclasses
import time
from pathlib import Path

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
from experiments.run_folder import RunFolder

UNSEEN = 360  # rows at the end from other writers; a fifth of all, so both ways share one compiled program


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the run; the defaults were chosen on validation rows and give the figures in the README."""

    seeds: int = 5
    """How many networks to train, each from a random start of its own."""
    epochs: int = 40
    """How often every training digit is seen."""
    batch_size: int = 64
    """Digits in one step."""
    hidden: tuple[int, ...] = (256, 128)
    """Neurons in the hidden layers."""
    learning_rate: float = 5e-3
    """Of Adam at the first step; it falls to 0 along half a cosine."""
    dropout: float | None = 0.3
    """Share of hidden activations dropped while training; None leaves dropout out of the program."""
    label_smoothing: float | None = 0.1
    """Share of each target spread over all classes (so the loss stays above 0.5 here); None leaves it out."""
    validation_share: float = 0.1
    """Share of the training digits held out to watch the training; 0 trains on all of them."""
    unseen_writers: bool = True
    """Also train with the last 360 rows held out."""
    progress: bool = True
    """Show a bar for each network."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""


def tasks(config: Config) -> dict[str, Task]:
    """The two ways to hold digits out."""
    digits, names = fnnet.datasets.digits(), fnnet.datasets.DIGITS_CLASSES
    train, test = fnnet.datasets.stratified_split(digits, test_fraction=UNSEEN / len(digits.y), seed=0)
    ways = {"a fifth held out, stratified": Task(*split_off(train, config.validation_share), test, names)}
    if config.unseen_writers:
        known = fnnet.Batch(digits.x[:-UNSEEN], digits.y[:-UNSEEN])
        unseen = fnnet.Batch(digits.x[-UNSEEN:], digits.y[-UNSEEN:])
        ways["the last 360 held out, other writers"] = Task(*split_off(known, config.validation_share), unseen, names)
    return ways


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer, whose schedule ends with the last step."""
    model = fnnet.mlp(
        (64, *config.hidden, 10),
        loss=fnnet.SoftmaxCrossEntropy(config.label_smoothing),
        dropout=config.dropout,
        input_shape=(8, 8),
        scale=1 / 16,
    )
    steps = config.epochs * -(-rows // config.batch_size)
    return model, fnnet.Adam(fnnet.CosineDecay(config.learning_rate, steps))


def main(config: Config) -> None:
    check_settings(config)
    training, lines, start = Training(config.epochs, config.batch_size, config.progress), [], time.perf_counter()
    with RunFolder("digits", config, config.runs) as run:
        for name, task in tasks(config).items():
            print(f"\n{name}: {say_sizes(task)}")
            model, optimizer = build(config, len(task.train.y))
            networks = train_seeds(model, optimizer, task, training, config.seeds, run, name)
            lines.append(f"{name:<37}  {summary(networks, task.test)}")
            if len(lines) == 1:
                draw(networks[0], task, run)
        print("\ntest accuracy, mean +- standard deviation\n  " + "\n  ".join(lines))
        print(f"in {time.perf_counter() - start:.1f} s; metrics and pictures: {run.path}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
