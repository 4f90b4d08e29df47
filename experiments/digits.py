"""Learn to read 1,797 real handwritten digits of 8 x 8 pixels, in seconds and without network access.

Trains 64-256-128-10 with ReLU and dropout by Adam on four fifths of the digits, once for each seed, and reports how
many of the other fifth it reads correctly. Then the harder question: the last 360 rows held out, which mostly come from
writers whose digits hardly occur in the rest. The sizes and the number of epochs are ours; learning rate, dropout and
smoothed labels are the best, or a tie with it, on a fourth of the digits that neither question tests:

    python -m experiments.digits --search-rates
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
    same_network,
    search_rates,
    split_off,
    train_seeds,
)
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.datasets._split import split_rows

UNSEEN = 360  # rows at the end, mostly from other writers; a fifth of all, so both splits use one compiled program


@dataclasses.dataclass(frozen=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; learning rate, dropout and smoothing are what `--search-rates` found."""

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
    search_rates: bool = False
    """Instead of testing, compare learning rates, with and without dropout and smoothing, on validation digits."""
    rates: tuple[float, ...] = (1.25e-3, 2.5e-3, 5e-3, 0.01, 0.02)
    """The learning rates that the search tries."""


def tasks(config: Config) -> dict[str, Task]:
    """The two ways to hold digits out."""
    digits, names = fnnet.datasets.digits(), fnnet.datasets.DIGITS_CLASSES
    train, test = fnnet.datasets.stratified_split(digits, test_fraction=UNSEEN / len(digits.y), seed=0)
    splits = {"a fifth held out, stratified": Task(*split_off(train, config.validation_fraction), test, names)}
    if config.unseen_writers:
        known = fnnet.Batch(digits.x[:-UNSEEN], digits.y[:-UNSEEN])
        unseen = fnnet.Batch(digits.x[-UNSEEN:], digits.y[-UNSEEN:])
        name = "the last 360 held out, mostly other writers"
        splits[name] = Task(*split_off(known, config.validation_fraction), unseen, names)
    return splits


def untested() -> Task:
    """The digits that neither way holds out, a fourth of them to judge by; no test rows."""
    digits = fnnet.datasets.digits()
    rows, _ = split_rows(digits.y, UNSEEN / len(digits.y), seed=0)
    rows = rows[rows < len(digits.y) - UNSEEN]
    known, none = (fnnet.Batch(digits.x[i], digits.y[i]) for i in (rows, rows[:0]))
    return Task(*split_off(known, 1 / 4), none, fnnet.datasets.DIGITS_CLASSES)


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
    with RunFolder("digits", config) as run:
        (search if config.search_rates else learn)(config, run)
        run.say_end()


def variants(config: Config) -> dict[str, Config]:
    """The settings as they are, and without dropout, smoothed labels, or both."""
    without = {"dropout": None}, {"label_smoothing": None}, {"dropout": None, "label_smoothing": None}
    names = "smoothed labels", "dropout", "neither"
    others = (dataclasses.replace(config, **changes) for changes in without)
    return {"dropout and smoothed labels": config, **dict(zip(names, others, strict=True))}


def search(config: Config, run: RunFolder) -> None:
    """Every variant at every rate; no digit is used that is tested."""
    task = untested()
    networks = {
        name: {rate: build(dataclasses.replace(one, learning_rate=rate), len(task.train.y)) for rate in config.rates}
        for name, one in variants(config).items()
    }
    run.record(
        "digits_rates",
        network=same_network(config, task),
        results=search_rates(networks, dict.fromkeys(networks, config.learning_rate), task, config, run),
    )


def learn(config: Config, run: RunFolder) -> None:
    """Networks from every seed on both tasks, tested."""
    found: dict[str, Result | str] = {}
    captions: dict[str, str] = {}
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


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
