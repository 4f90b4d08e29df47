"""What the scripts that classify images share: train over seeds, open the test set once, keep files and pictures."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.training._fit import describe


class Task(NamedTuple):
    """What is learnt: the split data and what the classes are called."""

    train: fnnet.Batch
    validation: fnnet.Batch | None
    test: fnnet.Batch
    class_names: tuple[str, ...]


class Trained(NamedTuple):
    """One network after training: its state, history, and probabilities for every test row."""

    state: fnnet.TrainState
    history: fnnet.History
    probabilities: np.ndarray
    seconds: float

    def errors(self, test: fnnet.Batch) -> int:
        """How many test rows it gets wrong."""
        return int((self.probabilities.argmax(1) != test.y).sum())


class Training(NamedTuple):
    """How long and in what portions, and whether a person watches."""

    epochs: int
    batch_size: int
    progress: bool


def train_seeds(
    model: fnnet.Model, optimizer: Any, task: Task, training: Training, seeds: int, run: RunFolder, name: str = ""
) -> list[Trained]:
    """One network a seed, each measured on the test rows once, after training; prints a line for each."""
    networks = []
    for seed in range(seeds):
        networks.append(trained := train_one(model, optimizer, task, training, seed, run, name))
        wrong, rows = trained.errors(task.test), len(task.test.y)
        run.log(data=name, seed=seed, test_accuracy=1 - wrong / rows, test_errors=wrong, seconds=trained.seconds)
        print(
            f"seed {seed}: {100 * (1 - wrong / rows):.2f} % of {rows:,} test images right, {wrong} errors "
            f"({trained.seconds:.1f} s of training)"
        )
    return networks


def train_one(
    model: fnnet.Model, optimizer: Any, task: Task, training: Training, seed: int, run: RunFolder, name: str
) -> Trained:
    """Train from one seed, with every epoch in the run's metrics."""
    init_key, order = jax.random.split(jax.random.key(seed))
    state = fnnet.init_state(model, optimizer, init_key)
    epoch = iter(range(1, training.epochs + 1))
    start = time.perf_counter()
    state, history = fnnet.fit(
        model,
        optimizer,
        state,
        task.train,
        epochs=training.epochs,
        batch_size=training.batch_size,
        shuffle=order,
        validation=task.validation,
        progress=training.progress,
        on_epoch=lambda _, part: run.log_epoch(name, seed, next(epoch), part),
    )
    seconds = time.perf_counter() - start
    if not training.progress:
        print(f"seed {seed}: epoch {training.epochs}: {describe(history)}")
    return Trained(state, history, np.asarray(fnnet.predict(model, state.params, task.test.x)), seconds)


def seeds_stacked(networks: list[Trained]) -> fnnet.History:
    """The histories of several seeds as one, (seeds, epochs): what `plots.learning_curves` draws bands of."""
    return jax.tree.map(lambda *parts: np.stack(parts), *(network.history for network in networks))


def check_settings(config: Any, *counts: str) -> None:
    """Leave with one line that says what to write, before a run folder is made; counts: further ones of 1 or more."""
    for name in ("seeds", "epochs", "batch_size", *counts):
        if getattr(config, name) < 1:
            raise SystemExit(f"--{name.replace('_', '-')}: expected a number of 1 or more, got {getattr(config, name)}")
    if not 0 <= config.validation_share < 1:
        raise SystemExit(f"--validation-share: expected a share from 0 to below 1, got {config.validation_share}")


def say_sizes(task: Task) -> str:
    """`1,293 to learn from, 144 to watch, 360 to be tested on`."""
    watched = "" if task.validation is None else f"{len(task.validation.y):,} to watch, "
    return f"{len(task.train.y):,} to learn from, {watched}{len(task.test.y):,} to be tested on"


def accuracies(networks: list[Trained], test: fnnet.Batch) -> Result:
    """Test accuracies in percent, one a seed."""
    return Result([100 * (1 - n.errors(test) / len(test.y)) for n in networks], "%", range(len(networks)))


def summary(networks: list[Trained], test: fnnet.Batch) -> str:
    """`98.12 % +- 0.10 over 5 seeds`: mean and standard deviation (n - 1) of the test accuracy."""
    values = np.array(accuracies(networks, test).values)
    spread = f" +- {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f} %{spread} over {len(values)} seed{'s' if len(values) > 1 else ''}"


def draw(network: Trained, task: Task, run: RunFolder) -> None:
    """Learning curve, confusion matrix, and test images: the first of every class and the first three mistakes."""
    guesses = network.probabilities.argmax(1)
    counts = fnnet.metrics.confusion_matrix(jax.numpy.asarray(guesses), jax.numpy.asarray(task.test.y), 10)
    run.picture("learning_curve", plots.learning_curve(network.history))
    run.picture("confusion_matrix", plots.confusion_matrix(counts, task.class_names))
    one_each = [np.flatnonzero(task.test.y == c)[0] for c in range(len(task.class_names))]
    wrong = np.flatnonzero(guesses != task.test.y)
    shown = np.r_[one_each, wrong[:3]].astype(int)
    rows = task.test.x[shown], network.probabilities[shown], task.test.y[shown]
    run.picture("predictions", plots.predictions(*rows, task.class_names))


def split_off(train: fnnet.Batch, share: float, seed: int = 0) -> tuple[fnnet.Batch, fnnet.Batch | None]:
    """(training rows, validation rows): a stratified share held out, or None for a share of 0."""
    return (train, None) if share == 0 else fnnet.datasets.stratified_split(train, test_fraction=share, seed=seed)
