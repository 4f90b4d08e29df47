"""How far the networks that people build first can go, with images distorted anew at every step.

    python -m experiments.records --recipe elastic             # 784-800-10 and elastic distortions, from five seeds
    python -m experiments.records --recipe elastic --search    # the candidates that it was chosen from

A search holds 10,000 of the 60,000 training images out and compares candidates on them; the test images stay closed.
A recipe trains the candidate that won on all 60,000, for as long as its search did, from every seed, and opens the test
images when all of them are trained. Seconds are those of the training, without loading and compiling.
"""

import dataclasses
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.classification import Task, Trained, accuracies, split_off
from experiments.command_line import KeptSettings, check_counts
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import Affine, Elastic, Mirror, plots
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Layer, Optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT = 1 / 6


class Candidate(NamedTuple):
    """A network of dense layers and how Adam trains it, its rate rising over a tenth of the steps, then falling to 0.

    hidden       sizes of the hidden layers
    distortions  layers between Rescale and Flatten
    dropout      fraction of the hidden activations dropped while training; None: not in the program
    smoothing    of the labels
    """

    hidden: tuple[int, ...]
    distortions: tuple[Layer, ...] = ()
    epochs: int = 100
    rate: float = 1e-3
    batch_size: int = 128
    dropout: float | None = None
    smoothing: float | None = None

    def model(self) -> fnnet.Model:
        return fnnet.mlp(
            (784, *self.hidden, 10),
            loss=fnnet.SoftmaxCrossEntropy(self.smoothing),
            dropout=self.dropout,
            input_shape=(28, 28),
            preprocessing=(fnnet.Rescale(1 / 255), *self.distortions),
        )

    def optimizer(self, rows: int) -> Optimizer:
        return fnnet.Adam(fnnet.OneCycle(self.rate, self.epochs * -(-rows // self.batch_size), rise=0.1))

    def __str__(self) -> str:
        """`784-800-10, Elastic(alpha=36.0, sigma=5.0), Adam at 0.001, batches of 128, 100 epochs`."""
        parts = ["-".join(map(str, (784, *self.hidden, 10))), *map(repr, self.distortions)]
        parts += [f"dropout {self.dropout:g}"] if self.dropout else []
        parts += [f"labels smoothed by {self.smoothing:g}"] if self.smoothing else []
        return ", ".join([*parts, f"Adam at {self.rate:g}", f"batches of {self.batch_size}", f"{self.epochs} epochs"])


class Recipe(NamedTuple):
    """What is to be reached, what was published, and what the search compares; `best` won it.

    most  the largest error on the test images, in percent, that counts as reached
    """

    title: str
    data: Literal["mnist", "fashion_mnist"]
    published: str
    most: float
    seeds: int
    candidates: tuple[Candidate, ...]
    best: Candidate


BENT = Elastic(36, 5, affine=Affine(rotation=10, scale=0.12, shear=0.1))
SIMARD = (
    Candidate((800,), (BENT,)),
    Candidate((800,), (BENT,), rate=2e-3),
    Candidate((800,), (BENT,), batch_size=256, rate=2e-3),
    Candidate((800,), (Elastic(36, 5, affine=Affine(rotation=15, scale=0.15, shear=0.15, shift=1)),)),
    Candidate((800,), (Elastic(30, 4, affine=Affine(rotation=10, scale=0.12, shear=0.1)),)),
)
SHIFTED = Affine(shift=1.0)
CLOTHES = (
    Candidate((1024, 512), (Mirror(), SHIFTED), 60, dropout=0.2),
    Candidate((1024, 512), (Mirror(), SHIFTED), 60, dropout=0.3, batch_size=256, rate=2e-3),
    Candidate((1024, 512), (Mirror(), Elastic(9, 3, affine=Affine(shift=1, scale=0.05))), 60, dropout=0.2),
    Candidate((2048, 1024), (Mirror(), SHIFTED), 60, dropout=0.4, batch_size=256, rate=1e-3),
)
GENTLE = Affine(rotation=7, scale=0.08, shear=0.08, shift=1)
QUICK = tuple(
    Candidate(hidden, (distortion,), epochs, rate, batch_size)
    for hidden, epochs, rate, batch_size in (((512,), 8, 3e-3, 128), ((800,), 8, 2e-3, 128), ((1024,), 10, 4e-3, 256))
    for distortion in (GENTLE, Elastic(24, 5, affine=GENTLE))
)
RECIPES = {
    "elastic": Recipe("784-800-10, elastic distortions", "mnist", "0.7 (Simard 2003)", 0.60, 5, SIMARD, SIMARD[0]),
    "quick": Recipe("time to 99 %, dense network", "mnist", "nobody", 1.0, 10, QUICK, QUICK[0]),
    "clothes": Recipe("Fashion-MNIST, dense network", "fashion_mnist", "about 10.5", 8.5, 3, CLOTHES, CLOTHES[0]),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Which record, and whether to look for its settings."""

    recipe: Literal["elastic", "quick", "clothes"]
    """What is trained."""
    search: bool = False
    """Compare the recipe's candidates on images held out of the training images; the test images stay closed."""
    only: tuple[int, ...] = ()
    """Numbers of the candidates that are compared, from 0; none: all."""
    seeds: int | None = None
    """How many networks, each from a random start of its own; None: as many as the recipe asks for, 1 in a search."""
    epochs: int | None = None
    """Another length, for a quick look; None: the candidate's own."""
    rows: int | None = None
    """Only so many of the training images, for a quick look; None: all."""
    progress: bool = True
    """Show a bar for each network."""


class Run(NamedTuple):
    """A trained network, and the seconds that its training took."""

    state: fnnet.TrainState
    history: fnnet.History
    seconds: float


def main(config: Config) -> None:
    """Load the images, then search or train."""
    check_counts(config, *(name for name in ("seeds", "epochs", "rows") if getattr(config, name) is not None))
    recipe, folder = RECIPES[config.recipe], RunFolder("records", config)
    train, test = getattr(fnnet.datasets, recipe.data)()
    if config.rows is not None:
        train = fnnet.Batch(train.x[: config.rows], train.y[: config.rows])
    names = fnnet.datasets.MNIST_CLASSES if recipe.data == "mnist" else fnnet.datasets.FASHION_MNIST_CLASSES
    task = Task(*split_off(train, HELD_OUT if config.search else 0), test, names)
    with folder as run:
        print(f"{recipe.title}: {task}")
        (search if config.search else measure)(config, recipe, task, run)
        run.say_end()


def search(config: Config, recipe: Recipe, task: Task, run: RunFolder) -> None:
    """Every candidate on the images held out, best last."""
    assert task.validation is not None
    seeds, results, curves = config.seeds or 1, {}, {}
    for number in config.only or range(len(recipe.candidates)):
        candidate = shortened(recipe.candidates[number], config)
        runs = trained(candidate, task, seeds, config, run)
        errors = Result([100 * (1 - r.history.validation.accuracy[-1]) for r in runs], "%", range(seeds))
        seconds = Result([r.seconds for r in runs], "s", range(seeds), 1)
        results[f"{number}: validation errors, {candidate}"] = f"{errors} in {seconds}"
        print(f"{number}: {errors} of {len(task.validation.y):,} images held out wrong, {seconds}: {candidate}")
        curves[f"{number}"] = runs[0]
    name = f"records_{config.recipe}_search"
    run.figure(name, errors_over_seconds(curves))
    run.record(
        name,
        network=f"{recipe.title}: candidates, 50,000 images to train and 10,000 held out",
        results=results,
        captions={name: f"{recipe.title}: errors on the images held out, candidates by number"},
    )


def measure(config: Config, recipe: Recipe, task: Task, run: RunFolder) -> None:
    """The candidate that won, on all training images; the test images are opened when all seeds are trained."""
    seeds, candidate = config.seeds or recipe.seeds, shortened(recipe.best, config)
    print(candidate)
    runs, model = trained(candidate, task, seeds, config, run), candidate.model()
    networks = [
        Trained(r.state, r.history, np.asarray(fnnet.predict(model, r.state.params, task.test.x))) for r in runs
    ]
    errors = Result([100 - a for a in accuracies(networks, task.test).values], "%", range(seeds))
    seconds = Result([r.seconds for r in runs], "s", range(seeds), 1)
    reached = "reached" if np.mean(errors.values) <= recipe.most else "missed"
    print(f"test errors {errors} in {seconds} of training each; goal {recipe.most:g} %: {reached}")
    name = f"records_{config.recipe}"
    worst = plots.worst_mistakes(task.test.x, networks[0].probabilities, task.test.y, task.class_names)
    run.figure(f"{name}_mistakes", worst)
    run.record(
        name,
        network=f"{recipe.title}: {candidate}",
        author=recipe.published,
        results={"test errors": errors, "seconds of training": seconds, "goal": f"{recipe.most:g} %: {reached}"},
        captions={f"{name}_mistakes": f"{recipe.title}: the worst mistakes of the first seed's network on test images"},
    )


def shortened(candidate: Candidate, config: Config) -> Candidate:
    """The candidate, at another length where the command says so."""
    return candidate if config.epochs is None else candidate._replace(epochs=config.epochs)


def trained(candidate: Candidate, task: Task, seeds: int, config: Config, run: RunFolder) -> list[Run]:
    """One network for every seed, after an epoch that only compiles."""
    model, optimizer = candidate.model(), candidate.optimizer(len(task.train.y))

    def fit(seed: int, epochs: int) -> Run:
        init_key, shuffle = jax.random.split(jax.random.key(seed))
        state, start = fnnet.init_state(model, optimizer, init_key), time.perf_counter()
        state, history = run.fit(
            model,
            optimizer,
            state,
            task.train,
            epochs=epochs,
            batch_size=candidate.batch_size,
            shuffle=shuffle,
            validation=task.validation,
            progress=config.progress,
        )
        return Run(state, history, time.perf_counter() - start)

    fit(0, 1)
    runs = []
    for seed in range(seeds):
        runs.append(fit(seed, candidate.epochs))
        run.log(candidate=str(candidate), seed=seed, seconds=runs[-1].seconds)
    return runs


def errors_over_seconds(runs: dict[str, Run]) -> "Figure":
    """Errors on the images held out against seconds of training, logarithmic."""
    figure = empty_figure(7, 4)
    axes = figure.subplots()
    for name, r in runs.items():
        errors = 100 * (1 - np.asarray(r.history.validation.accuracy))
        axes.semilogy(r.seconds * np.arange(1, len(errors) + 1) / len(errors), errors, label=name)
    axes.set(xlabel="seconds of training", ylabel="errors on images held out, %")
    axes.legend()
    return figure


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
