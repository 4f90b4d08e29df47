"""What `experiments.video_digits` and `experiments.video_clothes` share: five optimizers compared, and the best net.

Both answer the questions of a video that trains one kind of network on digits and on clothes: ReLU, softmax,
categorical cross-entropy, and steps that are big first and smaller later.
"""

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

import fnnet
from experiments.classification import (
    Task,
    Trained,
    Training,
    accuracies,
    check_settings,
    say_sizes,
    seeds_stacked,
    split_off,
    summary,
    train_seeds,
)
from experiments.results_file import Result, command_of, record
from experiments.run_folder import RunFolder
from fnnet import plots

PLAIN = (128, 64)
"""Hidden layers of the network that the optimizers are compared on."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the run; the defaults were chosen on validation rows."""

    seeds: int = 5
    """How many networks of each kind to train, each from a random start of its own."""
    epochs: int = 12
    """How often every training image is seen where optimizers are compared."""
    batch_size: int = 128
    """Images in one step."""
    search: bool = False
    """Instead of optimizers, compare candidates for the best network, on validation rows alone."""
    search_epochs: int = 12
    """How long each candidate is trained."""
    best: bool = False
    """Instead of optimizers, train the candidate that won, on all training images."""
    best_epochs: int = 25
    """How long it is trained."""
    rows: int | None = None
    """Only so many of the training images, for a quick look; None: all."""
    validation_share: float = 0.08
    """Share of the training images held out to watch the training; a sixth for the search, 0 for the best."""
    progress: bool = True
    """Show a bar for each network."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    copy_to: Path | None = None
    """A folder that gets the figures and the pictures too, such as experiments/results."""


class Recipe(NamedTuple):
    """A network and how Adam trains it; no image is distorted.

    dropped    shares of the pixels and of the hidden activations left out while training; None: not in the program
    smoothing  of the labels
    max_norm   how long a neuron's weights may be
    """

    hidden: tuple[int, ...]
    dropped: tuple[float | None, float | None] = (None, None)
    smoothing: float | None = None
    max_norm: float | None = None
    learning_rate: float = 1e-3

    def model(self) -> fnnet.Model:
        """ReLU, and dropout on the pixels and after every hidden layer."""
        pixels, hidden = self.dropped
        loss = fnnet.SoftmaxCrossEntropy(self.smoothing)
        sizes = (784, *self.hidden, 10)
        return fnnet.mlp(sizes, loss=loss, input_dropout=pixels, dropout=hidden, input_shape=(28, 28), scale=1 / 255)

    def optimizer(self, steps: int) -> Any:
        """Adam, whose rate falls to 0 along half a cosine."""
        adam = fnnet.Adam(fnnet.CosineDecay(self.learning_rate, steps))
        return adam if self.max_norm is None else fnnet.Chain((adam, fnnet.MaxNorm(self.max_norm)))

    def __str__(self) -> str:
        """`784-800-800-10, dropout 0.2 and 0.5, labels smoothed by 0.1`."""
        parts = ["-".join(map(str, (784, *self.hidden, 10)))]
        parts += ["dropout {} and {}".format(*(rate or 0 for rate in self.dropped))] if any(self.dropped) else []
        parts += [f"labels smoothed by {self.smoothing:g}"] if self.smoothing else []
        parts += [f"max-norm {self.max_norm:g}"] if self.max_norm else []
        return ", ".join([*parts, f"Adam at {self.learning_rate:g}"])


class Video(NamedTuple):
    """What the two scripts differ in.

    name        of the script, and of what it leaves behind
    subject     "Digits": how captions begin
    load        (training, test) images
    class_names how the classes are called
    rates       learning rate of each of the five optimizers at the first step
    candidates  for the best network; `best` is the one that `--search` found
    author      what the video shows
    """

    name: str
    subject: str
    load: Callable[[], tuple[fnnet.Batch, fnnet.Batch]]
    class_names: tuple[str, ...]
    rates: tuple[float, float, float, float, float]
    candidates: tuple[Recipe, ...]
    best: Recipe
    author: str


def optimizers(rates: tuple[float, ...], steps: int) -> dict[str, Any]:
    """The five by name. Big steps first: all but AdaGrad, whose steps shrink by themselves, end at a tenth."""
    sgd, momentum, adagrad, rmsprop, adam = rates

    def falling(start: float) -> fnnet.InverseTimeDecay:
        return fnnet.InverseTimeDecay(start, 9 / steps)

    return {
        "SGD": fnnet.Sgd(falling(sgd)),
        "SGD with momentum": fnnet.Sgd(falling(momentum), momentum=0.9),
        "AdaGrad": fnnet.AdaGrad(adagrad),
        "RMSProp": fnnet.RmsProp(falling(rmsprop)),
        "Adam": fnnet.Adam(falling(adam)),
    }


def main(config: Config, video: Video) -> None:
    """Load, train what the settings ask for, and leave the files."""
    check_settings(config, "search_epochs", "best_epochs", *(["rows"] if config.rows is not None else []))
    if config.best and config.search:
        raise SystemExit("--best --search: expected one of them; --search shows what --best was chosen from")
    start = time.perf_counter()
    try:
        task = load(config, video)
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    part = search if config.search else best if config.best else compare
    with RunFolder(video.name, config, config.runs) as run:
        print(f"{video.name}: {say_sizes(task)}")
        part(config, video, task, run, start)
        print(f"in {time.perf_counter() - start:.1f} s; metrics and pictures: {run.path}")


def load(config: Config, video: Video) -> Task:
    """The images, split as the part of the script needs them."""
    train, test = video.load()
    if config.rows is not None:
        train = fnnet.Batch(train.x[: config.rows], train.y[: config.rows])
    share = 0 if config.best else 1 / 6 if config.search else config.validation_share
    return Task(*split_off(train, share), test, video.class_names)


def compare(config: Config, video: Video, task: Task, run: RunFolder, start: float) -> None:
    """The same plain network under five optimizers, `config.seeds` times each."""
    model = fnnet.mlp((784, *PLAIN, 10), input_shape=(28, 28), scale=1 / 255)
    training = Training(config.epochs, config.batch_size, config.progress)
    found: dict[str, list[Trained]] = {}
    for name, optimizer in optimizers(video.rates, steps(task, training)).items():
        print(name)
        found[name] = train_seeds(model, optimizer, task, training, config.seeds, run, name)
    for name, networks in found.items():
        print(f"test accuracy, {name:17}  {summary(networks, task.test)}")
    curves = {name: seeds_stacked(networks) for name, networks in found.items()}
    adam = found["Adam"][0]
    weights = plots.weight_images(adam.state.params, (28, 28))
    pictures = {
        "curves": (plots.learning_curves(curves), f"{video.subject}: five optimizers; bands are the spread over seeds"),
        **mistakes(adam, task, f"{video.subject}, a network trained with Adam"),
        "weights": (weights, f"{video.subject}: what the neurons of the first layer look for"),
    }
    tutorial = "the video's network: 784-128-64-10, ReLU, softmax, cross-entropy; five optimizers side by side"
    ours = {f"test accuracy, {name}": accuracies(networks, task.test) for name, networks in found.items()}
    keep(video.name, config, video, run, pictures, tutorial, ours, start)


def search(config: Config, video: Video, task: Task, run: RunFolder, start: float) -> None:
    """Every candidate for the best network, from every seed; the test images stay closed."""
    assert task.validation is not None
    training = Training(config.search_epochs, config.batch_size, config.progress)
    ours: dict[str, Result | str] = {}
    for recipe in video.candidates:
        seeds = tuple(range(config.seeds))
        result = Result(tuple(_validation_accuracy(recipe, task, training, seed) for seed in seeds), "%", seeds)
        for seed, accuracy in zip(seeds, result.values, strict=True):
            run.log(recipe=str(recipe), seed=seed, validation_accuracy=accuracy / 100)
        ours[f"validation accuracy, {recipe}"] = result
        print(f"{result} of {len(task.validation.y):,} validation images right: {recipe}")
    tutorial = f"candidates for the best network without distortions, {training.epochs} epochs each"
    keep(f"{video.name}_search", config, video, run, {}, tutorial, ours, start)


def _validation_accuracy(recipe: Recipe, task: Task, training: Training, seed: int) -> float:
    """Percent of the validation images that a candidate gets right in the end."""
    init_key, order = jax.random.split(jax.random.key(seed))
    model, optimizer = recipe.model(), recipe.optimizer(steps(task, training))
    _, history = fnnet.fit(
        model, optimizer, fnnet.init_state(model, optimizer, init_key), task.train, epochs=training.epochs,
        batch_size=training.batch_size, shuffle=order, validation=task.validation, progress=training.progress,
    )  # fmt: skip
    assert history.validation is not None
    return 100 * float(history.validation.accuracy[-1])


def best(config: Config, video: Video, task: Task, run: RunFolder, start: float) -> None:
    """The candidate that won on validation rows, trained longer and on all training images."""
    model, training = video.best.model(), Training(config.best_epochs, config.batch_size, config.progress)
    print(video.best)
    networks = train_seeds(
        model, video.best.optimizer(steps(task, training)), task, training, config.seeds, run, "best"
    )
    print(f"test accuracy {summary(networks, task.test)}")
    pictures = mistakes(networks[0], task, f"{video.subject}, the best network")
    tutorial = f"the best network without distortions: {video.best}, {training.epochs} epochs"
    ours = {"test accuracy": accuracies(networks, task.test)}
    keep(f"{video.name}_best", config, video, run, pictures, tutorial, ours, start)


def steps(task: Task, training: Training) -> int:
    """How many updates a run has."""
    return training.epochs * -(-len(task.train.y) // training.batch_size)


def mistakes(network: Trained, task: Task, caption: str) -> dict[str, tuple[Any, str]]:
    """Pictures of which class is taken for which, and of the answers that are most wrong, where any is."""
    classes, guesses = task.test.y, network.probabilities.argmax(1)
    count = fnnet.metrics.confusion_matrix(jax.numpy.asarray(guesses), jax.numpy.asarray(classes), 10)
    confusion = plots.confusion_matrix(count, task.class_names)
    pictures = {"confusion": (confusion, f"{caption}: which test images it takes for what")}
    if (guesses != classes).any():
        worst = plots.worst_mistakes(task.test.x, network.probabilities, classes, task.class_names)
        pictures["mistakes"] = worst, f"{caption}: its worst mistakes on test images"
    return pictures


def keep(
    name: str,
    config: Config,
    video: Video,
    run: RunFolder,
    pictures: Mapping[str, tuple[Any, str]],
    tutorial: str,
    ours: Mapping[str, Result | str],
    start: float,
) -> None:
    """Pictures into the run's folder; where asked for, they and the figures as files that stay."""
    for kind, (figure, _) in pictures.items():
        run.picture(kind, figure)
    if config.copy_to is None:
        return
    path = record(
        name,
        command=command_of(video.name, config),
        tutorial=tutorial,
        author="" if config.search else video.author,
        ours=ours,
        seconds=time.perf_counter() - start,
        folder=config.copy_to,
        pictures={f"{name}_{kind}.png": caption for kind, (_, caption) in pictures.items()},
    )
    for kind in pictures:
        shutil.copy(run.path / f"{kind}.png", config.copy_to / f"{name}_{kind}.png")
    print(f"kept: {path}")
