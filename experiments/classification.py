"""What the scripts that classify images have in common: train over seeds, test once, write results and figures."""

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import numpy as np

import fnnet
from experiments.command_line import RunSettings, check_counts
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import plots
from fnnet.plots.theme import along_epochs, logarithmic
from fnnet.protocols import Optimizer
from fnnet.sweeps import Configuration, Point, sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class TrainingSettings(RunSettings):
    """Settings of a script that trains classifiers from several seeds."""

    seeds: int = 5
    """How many networks of each kind to train, each from a random start of its own."""
    epochs: int = 10
    """How often every training image is seen."""
    batch_size: int = 128
    """Images in one step."""
    validation_fraction: float = 0.08
    """Fraction of the training images held out to watch the training; 0 trains on all of them."""
    progress: bool = True
    """Show a bar for each network."""

    def steps(self, rows: int) -> int:
        """How many updates a run over this many rows takes."""
        return self.epochs * -(-rows // self.batch_size)


class Task(NamedTuple):
    """What is learned: the split data and the names of the classes."""

    train: fnnet.Batch
    validation: fnnet.Batch | None
    test: fnnet.Batch
    class_names: tuple[str, ...]

    def __str__(self) -> str:
        """`1,293 training, 144 validation and 360 test images`."""
        watched = "" if self.validation is None else f", {len(self.validation.y):,} validation"
        return f"{len(self.train.y):,} training{watched} and {len(self.test.y):,} test images"


class Trained(NamedTuple):
    """One network after training: its state, history, and probabilities for every test row."""

    state: fnnet.TrainState
    history: fnnet.History
    probabilities: np.ndarray

    def errors(self, test: fnnet.Batch) -> int:
        """How many test rows it gets wrong."""
        return int((self.probabilities.argmax(1) != test.y).sum())


def train_seeds(
    model: fnnet.Model, optimizer: Optimizer, task: Task, settings: TrainingSettings, run: RunFolder, name: str = ""
) -> list[Trained]:
    """One network per seed, each measured on the test rows once, after training; prints one line per network."""
    networks = []
    for seed in range(settings.seeds):
        start = time.perf_counter()
        state, history = train_one(model, optimizer, task, settings, seed, run, name)
        seconds = time.perf_counter() - start
        trained = Trained(state, history, np.asarray(fnnet.predict(model, state.params, task.test.x)))
        wrong, rows = trained.errors(task.test), len(task.test.y)
        run.log(data=name, seed=seed, test_accuracy=1 - wrong / rows, test_errors=wrong, seconds=seconds)
        print(
            f"seed {seed}: {100 * (1 - wrong / rows):.2f} % of {rows:,} test images right, {wrong} errors "
            f"(training loss {history.training.loss[-1]:.4f}, {seconds:.1f} s)"
        )
        networks.append(trained)
    return networks


def train_one(
    model: fnnet.Model,
    optimizer: Optimizer,
    task: Task,
    settings: TrainingSettings,
    seed: int,
    run: RunFolder,
    name: str = "",
) -> tuple[fnnet.TrainState, fnnet.History]:
    """Train from one seed, with every epoch in the run's metrics."""
    init_key, shuffle = jax.random.split(jax.random.key(seed))
    epoch = iter(range(1, settings.epochs + 1))
    return run.fit(
        model,
        optimizer,
        fnnet.init_state(model, optimizer, init_key),
        task.train,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        shuffle=shuffle,
        validation=task.validation,
        progress=settings.progress,
        on_epoch=lambda _, part: run.log_epoch(name, seed, next(epoch), part),
    )


def compare(
    networks: Mapping[str, tuple[fnnet.Model, Optimizer]], task: Task, settings: TrainingSettings, run: RunFolder
) -> dict[str, list[Trained]]:
    """Networks by name, each trained from every seed on one task; prints the test accuracies side by side."""
    found = {}
    for name, (model, optimizer) in networks.items():
        print(name)
        found[name] = train_seeds(model, optimizer, task, settings, run, name)
    for name, trained in found.items():
        print(f"test accuracy, {name:17}  {accuracies(trained, task.test)}")
    return found


def search_rates(
    networks: Mapping[str, Mapping[float, tuple[fnnet.Model, Optimizer]]],
    defaults: Mapping[str, float],
    task: Task,
    settings: TrainingSettings,
    run: RunFolder,
    rank_by: Literal["accuracy", "loss"] = "accuracy",
) -> dict[str, Result]:
    """Train every network at every rate in one sweep, and choose one rate for each, on validation rows alone.

    networks   name -> learning rate -> the network and its optimizer
    defaults   name -> the rate that is kept where it ties with the best

    Returns `validation accuracy, ReLU at 0.2 (of 0.1, 0.2, 0.4; a tie with 0.4)` -> Result; metrics.jsonl has all runs.
    """
    points = tuple(
        Point({"network": name, "rate": rate}, Configuration(model, optimizer, settings.batch_size))
        for name, rates in networks.items()
        for rate, (model, optimizer) in rates.items()
    )
    results = sweep(
        points, task.train, epochs=settings.epochs, seeds=settings.seeds, shuffle=jax.random.key(1),
        validation=task.validation, rank_by=rank_by, progress=settings.progress,
    )  # fmt: skip
    for record in results.records():
        run.log(**record)
    print(results)
    scale, unit, decimals = (100, "%", 2) if rank_by == "accuracy" else (1, "", 3)
    scores, ranking, found = scale * results.metric(results.score), results.ranking().tolist(), {}
    number = {(point.settings["network"], point.settings["rate"]): i for i, point in enumerate(points)}
    for name, rates in networks.items():
        values = {rate: scores[results.point == number[name, rate]] for rate in rates}
        best = min(rates, key=lambda rate: ranking.index(number[name, rate]))
        tied = [rate for rate in rates if is_tie(values[best], values[rate])]
        rate = defaults[name] if defaults[name] in tied else best
        ties = ", ".join(f"{other:g}" for other in tied if other != rate)
        tried = ", ".join(f"{rate:g}" for rate in rates) + (f"; a tie with {ties}" if ties else "")
        what = f"validation {rank_by}, {name} at {rate:g} (of {tried})"
        found[what] = Result(values[rate].tolist(), unit, range(settings.seeds), decimals)
        print(f"{what}: {found[what]}")
    return found


def same_network(settings: TrainingSettings, task: Task) -> str:
    """What the row of a search for rates says of the network, which the row after it names."""
    rows = 0 if task.validation is None else len(task.validation.y)
    return f"the same network after {settings.epochs} epochs, judged by {rows:,} validation images"


def is_tie(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the means over seeds differ by no more than the larger of the standard deviations; (seeds,) each.

    One seed says nothing about the spread, and NaN is not a tie with anything.
    """
    return len(one) > 1 and bool(abs(one.mean() - other.mean()) <= max(one.std(ddof=1), other.std(ddof=1)))


def curves_over_seeds(found: Mapping[str, list[Trained]]) -> "Figure":
    """Error of networks by name: all epochs, and the second half enlarged, as mean and standard deviation over seeds.

    Dotted: on training rows. Without validation rows those are all there is.
    """
    figure, (whole, end) = plots.figure(10.5, 3.9, 2)
    for i, (name, networks) in enumerate(found.items()):
        color, watched = plots.COLORS[i % len(plots.COLORS)], _errors(networks, "validation")
        training = _errors(networks, "training")
        errors = training if watched is None else watched
        epochs = np.arange(1, errors.shape[1] + 1)
        if watched is not None:
            whole.plot(epochs, training.mean(0), color=color, linestyle=":", linewidth=1)
        whole.plot(epochs, errors.mean(0), color=color, label=name)
        late, beside = len(epochs) // 2, 0.1 * (i - (len(found) - 1) / 2)  # so that bars do not hide each other
        spread = errors.std(0, ddof=1) if len(errors) > 1 else 0 * errors[0]
        style = {"color": color, "marker": "o", "markersize": 3, "capsize": 2, "linewidth": 1}
        end.errorbar(epochs[late:] + beside, errors.mean(0)[late:], spread[late:], **style)
    watched_rows = "training" if watched is None else "validation"
    whole.set_title(f"{watched_rows} error in %" + ("" if watched is None else " (dotted: training)"))
    end.set_title("later epochs, ± standard deviation")
    logarithmic(whole)
    for axis in (whole, end):
        along_epochs(axis)
    whole.legend(frameon=False)
    return figure


def _errors(networks: list[Trained], rows: str) -> Any:
    """Error in percent (seeds, epochs) on `training` or `validation` rows; None where there are none."""
    parts = [getattr(network.history, rows) for network in networks]
    return None if parts[0] is None else 100 * (1 - np.stack([np.asarray(part.accuracy) for part in parts]))


def check_settings(settings: TrainingSettings, *counts: str) -> None:
    """Exit with one line that says what to write, before a run folder is made; counts: settings of 1 or more."""
    check_counts(settings, "seeds", "epochs", "batch_size", *counts)
    if not 0 <= settings.validation_fraction < 1:
        raise SystemExit(
            f"--validation-fraction: expected a number from 0 to below 1, got {settings.validation_fraction}"
        )


def accuracies(networks: list[Trained], test: fnnet.Batch) -> Result:
    """Test accuracies in percent, one per seed; printed, mean ± standard deviation."""
    return Result([100 * (1 - n.errors(test) / len(test.y)) for n in networks], "%", range(len(networks)))


def draw(network: Trained, task: Task, run: RunFolder) -> dict[str, str]:
    """Learning curve, confusion matrix and answers; returns the caption of each figure by its name."""
    figures = {
        "learning_curve": (plots.learning_curve(network.history), "loss and error, epoch by epoch"),
        "confusion_matrix": (confusion(network, task), "true and predicted classes of the test images"),
        "predictions": (answers(network, task), "the first test image of every class, and three mistakes"),
    }
    for name, (figure, _) in figures.items():
        run.figure(f"{run.name}_{name}", figure)
    return {f"{run.name}_{name}": f"{run.name}: {caption}" for name, (_, caption) in figures.items()}


def answers(network: Trained, task: Task) -> "Figure":
    """Figure of test images with the network's answers: the first of every class, and the first three mistakes."""
    wrong = np.flatnonzero(network.probabilities.argmax(1) != task.test.y)
    one_each = [np.flatnonzero(task.test.y == c)[0] for c in range(len(task.class_names)) if (task.test.y == c).any()]
    shown = np.r_[one_each, wrong[:3]].astype(int)
    rows = task.test.x[shown], network.probabilities[shown], task.test.y[shown]
    return plots.predictions(*rows, task.class_names, columns=7)


def confusion(network: Trained, task: Task) -> "Figure":
    """Figure of which class is taken for which."""
    guesses, classes = jax.numpy.asarray(network.probabilities.argmax(1)), jax.numpy.asarray(task.test.y)
    return plots.confusion_matrix(fnnet.metrics.confusion_matrix(guesses, classes, 10), task.class_names)


def split_off(train: fnnet.Batch, fraction: float, seed: int = 0) -> tuple[fnnet.Batch, fnnet.Batch | None]:
    """(training rows, validation rows): a stratified fraction held out, or None for a fraction of 0."""
    return (train, None) if fraction == 0 else fnnet.datasets.stratified_split(train, test_fraction=fraction, seed=seed)
