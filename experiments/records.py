"""How far the networks that people build first can go, with images distorted anew at every step.

    python -m experiments.records --recipe elastic             # 784-800-10 and elastic distortions, from five seeds
    python -m experiments.records --recipe elastic --search    # the candidates that it was chosen from

A search holds 10,000 of the 60,000 training images out and compares candidates on them; the test images stay closed.
A recipe trains the candidate that won on all 60,000, for its own number of epochs (--epochs cuts a search short), from
every seed, and opens the test images when all of them are trained. Seconds are those of the training, without loading
and compiling.
"""

import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import systems, timing
from experiments.classification import Task, Trained, accuracies, split_off
from experiments.command_line import KeptSettings, check_counts
from experiments.processor import lacks_bfloat16, processor
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import Affine, Cutout, Elastic, Mirror, plots
from fnnet.plots.theme import COLORS, figure
from fnnet.protocols import Layer, Optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.benchmarks.peers import records_torch

HELD_OUT = 1 / 6
MISTAKES = 40


def plural(count: int, thing: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{count} {thing}{'s' * (count != 1)}"


class Candidate(NamedTuple):
    """A network and how Adam trains it, its rate rising over a tenth of the steps, then falling to 0.

    hidden       sizes of the dense layers before the last, with ReLU
    distortions  layers on the images, right after Rescale
    channels     filters of each block of convolutions before them: kernel, max-pooling, ReLU
    padding      of the convolutions: "same" keeps 28 x 28, "valid" is faster
    residual     after every block, one more of two 3x3 convolutions, which is added to its input
    normalized   batch norm before every ReLU
    noise        standard deviation of the noise on the pixels and on the inputs of every ReLU
    dropout      fractions of the pixels and of the hidden activations that are dropped
    smoothing    of the labels
    max_norm     the largest norm of a neuron's weights
    products     of the dense layers: "bfloat16" rounds what they multiply

    None: not in the program.
    """

    hidden: tuple[int, ...]
    distortions: tuple[Layer, ...] = ()
    epochs: int = 100
    rate: float = 1e-3
    batch_size: int = 128
    channels: tuple[int, ...] = ()
    kernel: tuple[int, int] = (5, 5)
    padding: Literal["same", "valid"] = "same"
    residual: bool = False
    normalized: bool = False
    noise: float | None = None
    dropout: tuple[float | None, float | None] = (None, None)
    smoothing: float | None = None
    max_norm: float | None = None
    products: str | None = None

    def model(self) -> fnnet.Model:
        pixels, hidden = self.dropout
        layers: list[Layer] = [fnnet.Rescale(1 / 255), *self.distortions]
        layers += [] if self.noise is None else [fnnet.Noise(self.noise)]
        layers += [] if pixels is None else [fnnet.Dropout(pixels)]
        layers += [fnnet.Reshape((28, 28, 1))] if self.channels else []
        for filters in self.channels:
            layers += [
                fnnet.Conv(filters, self.kernel, padding=self.padding),
                fnnet.MaxPool((2, 2)),
                *self.activation(),
            ]
            layers += [self.added(filters), fnnet.Relu()] if self.residual else []
        layers += [fnnet.Flatten()]
        for size in self.hidden:
            layers += [fnnet.Dense(size, products=self.products), *self.activation()]
            layers += [] if hidden is None else [fnnet.Dropout(hidden)]
        layers += [fnnet.Dense(10, products=self.products)]
        return fnnet.Model(fnnet.Serial(layers), fnnet.SoftmaxCrossEntropy(self.smoothing), (28, 28))

    def activation(self) -> list[Layer]:
        noise = [] if self.noise is None else [fnnet.Noise(self.noise)]
        return [*([fnnet.BatchNorm()] if self.normalized else []), *noise, fnnet.Relu()]

    def added(self, filters: int) -> Layer:
        """x + f(x), f two 3x3 convolutions with batch norm, where there is some, and an activation between them."""
        inner = [fnnet.Conv(filters, (3, 3)), *self.activation(), fnnet.Conv(filters, (3, 3))]
        return fnnet.Residual(fnnet.Serial([*inner, *([fnnet.BatchNorm()] if self.normalized else [])]))

    def optimizer(self, rows: int) -> Optimizer:
        adam = fnnet.Adam(fnnet.OneCycle(self.rate, self.epochs * -(-rows // self.batch_size), rise=0.1))
        return adam if self.max_norm is None else fnnet.Chain((adam, fnnet.MaxNorm(self.max_norm)))

    def __str__(self) -> str:
        """`784-800-10, Elastic(alpha=36.0, sigma=5.0), Adam at 0.001, batches of 128, 100 epochs`."""
        convolutions = [f"{n} of {'x'.join(map(str, self.kernel))}" for n in self.channels]
        options = {
            "no padding": self.padding == "valid",
            "residual blocks": self.residual,
            "batch norm": self.normalized,
            f"noise of {self.noise}": self.noise,
            "dropout {} and {}".format(*(rate or 0 for rate in self.dropout)): any(self.dropout),
            f"labels smoothed by {self.smoothing}": self.smoothing,
            f"max-norm {self.max_norm}": self.max_norm,
            f"products in {self.products}": self.products,
        }
        parts = ["-".join(map(str, ("28x28" if self.channels else 784, *convolutions, *self.hidden, 10)))]
        parts += [*map(repr, self.distortions), *(said for said, is_on in options.items() if is_on)]
        return ", ".join(
            [*parts, f"Adam at {self.rate:g}", f"batches of {self.batch_size}", plural(self.epochs, "epoch")]
        )


class Recipe(NamedTuple):
    """What is to be reached, what was published, and what the search compares.

    published  test errors in percent, and whose
    most       the largest error on the test images, in percent, that counts as reached
    within     the most seconds of training that do; None: any
    remark     a sentence for the page
    best       the candidate that won the search, in a race to 99 % the fastest of those that are well below 1 % there;
               None: the search has not been run
    """

    title: str
    data: Literal["mnist", "fashion_mnist"]
    published: str
    most: float
    seeds: int
    candidates: tuple[Candidate, ...]
    best: Candidate | None = None
    within: float | None = None
    remark: str = ""

    def goal(self) -> str:
        """`1 % in 15 s`."""
        return f"{self.most:g} %" + (f" in {self.within:g} s" if self.within else "")

    def verdict(self, errors: Result, seconds: Result) -> str:
        """`1 % in 15 s: reached`."""
        is_reached = np.mean(errors.values) <= self.most and np.mean(seconds.values) <= (self.within or np.inf)
        return f"{self.goal()}: {'reached' if is_reached else 'missed'}"


GENTLE = Affine(rotation=7, scale=0.08, shear=0.08, shift=1)
USUAL = Affine(rotation=10, scale=0.12, shear=0.1)
BENT, BENT_LESS = Elastic(36, 5, affine=USUAL), Elastic(24, 5, affine=GENTLE)
BETWEEN = Elastic(30, 5, affine=Affine(rotation=8.5, scale=0.1, shear=0.09, shift=1))
MIRRORED = (Mirror(), Affine(shift=1))
SIMARD = Candidate((800,), (BENT,), 100, 2e-3, 256, smoothing=0.1)
LONGER = SIMARD._replace(smoothing=None, epochs=200)
BLIND = Candidate((1024,) * 2, (), 60, 2e-3, 256, normalized=True, noise=0.3, smoothing=0.1, products="bfloat16")
DROPPED = BLIND._replace(hidden=(1024,) * 3, normalized=False, noise=None, dropout=(0.2, 0.5))
WIDE = Candidate((2048, 1024), (BENT,), 80, 2e-3, 256, smoothing=0.1, products="bfloat16")
LONG = WIDE._replace(normalized=True, epochs=160)
LENET = Candidate((128,), (GENTLE,), 16, 1e-2, channels=(32, 64), padding="valid", normalized=True, smoothing=0.1)
MINUTE = LENET._replace(channels=(16, 32), epochs=8)
SMALL = Candidate((), (GENTLE,), 30, 1e-2, channels=(8, 16, 32), kernel=(3, 3), normalized=True)
FLAT = Candidate((1024,), (GENTLE,), 14, 4e-3, 256, products="bfloat16", smoothing=0.1)
SHORT = Candidate((128,), (), 2, 2e-2, channels=(12, 24), normalized=True, padding="valid", smoothing=0.1)
CLOTHED = WIDE._replace(hidden=(1024, 512), distortions=MIRRORED, dropout=(None, 0.2), epochs=60)
DEEP = LENET._replace(distortions=MIRRORED, channels=(32, 64, 128), kernel=(3, 3), padding="same", epochs=20)
DEEPER = DEEP._replace(residual=True, dropout=(None, 0.3), epochs=16)
BUSY = "Other programs ran beside it, so its seconds are longer than on a quiet machine."
RECIPES = {
    "elastic": Recipe(
        title="784-800-10, elastic distortions",
        data="mnist",
        published="0.7 (Simard 2003)",
        most=0.60,
        seeds=5,
        candidates=(
            SIMARD,
            SIMARD._replace(rate=1e-3, batch_size=128, smoothing=None),
            SIMARD._replace(distortions=(BENT_LESS,)),
            SIMARD._replace(distortions=(BENT_LESS,), smoothing=None),
            LONGER,
            LONGER._replace(distortions=(BETWEEN,)),
            LONGER._replace(distortions=(BENT_LESS,)),
            LONGER._replace(distortions=(BETWEEN,), normalized=True),
        ),
        best=LONGER._replace(distortions=(BETWEEN,)),
        remark="The test images were opened three times for this recipe: winners of earlier searches had 0.69 % ± 0.05 "
        "(distorted at least as strongly as number 0, 80 epochs) and 0.64 % ± 0.05 (number 3, 100 epochs). Other "
        "programs ran beside the second search, and beside the training, so its seconds say little.",
    ),
    "permutation": Recipe(
        title="permutation-invariant MNIST",
        data="mnist",
        published="1.06 (dropout and max-norm, Srivastava 2014), 0.64 (virtual adversarial training), "
        "0.57 (ladder network)",
        most=1.06,
        within=1800,
        seeds=3,
        candidates=(
            BLIND,
            BLIND._replace(noise=0.2),
            BLIND._replace(noise=0.1),
            BLIND._replace(noise=0.2, hidden=(1024,) * 3),
            BLIND._replace(noise=None, dropout=(0.1, 0.3)),
            DROPPED,
            DROPPED._replace(smoothing=None, max_norm=2.0),
        ),
        best=BLIND._replace(noise=0.2, hidden=(1024,) * 3),
        remark=BUSY,
    ),
    "dense": Recipe(
        title="one dense network with distortions",
        data="mnist",
        published="0.35 (Ciresan 2010, 12 million weights, 800 epochs)",
        most=0.45,
        within=1200,
        seeds=3,
        candidates=(
            WIDE,
            WIDE._replace(distortions=(BENT_LESS,)),
            WIDE._replace(distortions=(BENT_LESS,), normalized=True),
            WIDE._replace(distortions=(BENT_LESS,), rate=4e-3),
            LONG,
            LONG._replace(distortions=(BETWEEN,)),
            LONG._replace(distortions=(BENT_LESS,)),
        ),
        best=LONG._replace(distortions=(BETWEEN,)),
        remark="The test images were opened twice for this recipe: number 2 had 0.49 % ± 0.06 after 80 epochs.",
    ),
    "convolutional": Recipe(
        title="one small convolutional network",
        data="mnist",
        published="0.26 (Efficient-CapsNet, 161,000 parameters)",
        most=0.40,
        within=1200,
        seeds=3,
        candidates=(
            LENET,
            LENET._replace(rate=4e-3),
            LENET._replace(distortions=(BENT_LESS,)),
            LENET._replace(dropout=(None, 0.3)),
        ),
        best=LENET,
    ),
    "minute": Recipe(
        title="the best in a minute",
        data="mnist",
        published="none",
        most=0.50,
        within=60,
        seeds=3,
        candidates=(
            MINUTE,
            MINUTE._replace(rate=2e-2),
            MINUTE._replace(batch_size=64),
            MINUTE._replace(channels=(12, 24), epochs=11),
        ),
        best=MINUTE,
    ),
    "tiny": Recipe(
        title="fewer than 10,000 parameters",
        data="mnist",
        published="0.6 (7,070 parameters, best test epoch)",
        most=0.60,
        seeds=3,
        candidates=(
            SMALL,
            SMALL._replace(smoothing=0.1),
            SMALL._replace(channels=(8, 24), kernel=(5, 5), padding="valid"),
            SMALL._replace(channels=(8, 24), kernel=(5, 5), padding="valid", smoothing=0.1),
        ),
        best=SMALL,
        remark=BUSY,
    ),
    "quick": Recipe(
        title="time to 99 %, dense network",
        data="mnist",
        published="none",
        most=1.0,
        within=15,
        seeds=10,
        candidates=(
            FLAT,
            FLAT._replace(smoothing=None),
            FLAT._replace(distortions=(Elastic(24, 5, affine=GENTLE),)),
            FLAT._replace(distortions=(Elastic(24, 5, affine=GENTLE),), smoothing=None),
            FLAT._replace(hidden=(1536,), epochs=11),
            FLAT._replace(hidden=(1024, 512), epochs=10),
        ),
        best=FLAT,
        remark="A processor without instructions for products in bfloat16 takes about four times as long.",
    ),
    "quick_convolutional": Recipe(
        title="time to 99 %, convolutional network",
        data="mnist",
        published="none",
        most=1.0,
        within=8,
        seeds=10,
        candidates=(
            SHORT,
            SHORT._replace(rate=1e-2),
            SHORT._replace(smoothing=None),
            SHORT._replace(channels=(12, 32), hidden=(64,), rate=1e-2),
            SHORT._replace(channels=(16, 32), epochs=1, batch_size=64, rate=1e-2),
            SHORT._replace(channels=(16, 32), epochs=1, batch_size=64),
        ),
        best=SHORT._replace(channels=(16, 32), epochs=1, batch_size=64),
    ),
    "clothes": Recipe(
        title="Fashion-MNIST, dense network",
        data="fashion_mnist",
        published="about 10.5 (the best claim found)",
        most=8.5,
        seeds=3,
        candidates=(
            CLOTHED,
            CLOTHED._replace(normalized=True),
            CLOTHED._replace(normalized=True, hidden=(2048, 1024)),
            CLOTHED._replace(normalized=True, distortions=(Mirror(), Elastic(9, 3, affine=Affine(shift=1)))),
        ),
        best=CLOTHED._replace(normalized=True, hidden=(2048, 1024)),
        remark=BUSY,
    ),
    "clothes_convolutional": Recipe(
        title="Fashion-MNIST, convolutional network",
        data="fashion_mnist",
        published="5.3 (a network with shortcuts), 3.3 (WRN40-4)",
        most=6.0,
        within=900,
        seeds=3,
        candidates=(
            DEEP,
            DEEP._replace(dropout=(None, 0.3)),
            DEEP._replace(distortions=(*MIRRORED, Cutout(8))),
            DEEP._replace(channels=(32, 64), kernel=(5, 5), padding="valid", dropout=(None, 0.3)),
            DEEPER,
            DEEPER._replace(rate=5e-3),
            DEEPER._replace(distortions=(Mirror(), Affine(shift=2))),
            DEEPER._replace(distortions=(*MIRRORED, Cutout(8))),
        ),
        best=DEEPER,
        remark="The test images were opened twice for this recipe: number 1 had 6.48 % ± 0.16 after 20 epochs. The "
        "second search tries the same network with residual blocks, an epoch shorter, so errors compare within a "
        "search only; with and without the blocks were not compared at the same length.",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Which record, and whether to look for its settings."""

    recipe: Literal[
        "elastic", "permutation", "dense", "convolutional", "minute", "tiny", "quick", "quick_convolutional", "clothes",
        "clothes_convolutional",
    ]  # fmt: skip
    """What is trained."""
    search: bool = False
    """Compare the recipe's candidates on images held out of the training images; the test images stay closed."""
    only: tuple[int, ...] = ()
    """Numbers of the candidates that are compared, from 0, kept as a search of their own; none: all."""
    seeds: int | None = None
    """How many networks, each from a random start of its own; None: as many as the recipe asks for, 1 in a search."""
    epochs: int | None = None
    """Another length, for a quick look; None: the candidate's own."""
    rows: int | None = None
    """Only so many of the training images, for a quick look; None: all."""
    pytorch: bool = False
    """Train every network in PyTorch, too, each right after fnnet's (extra `benchmarks`)."""
    progress: bool = True
    """Show a bar for each network."""


class Run(NamedTuple):
    """A trained network, and the seconds that its training took.

    peer  the same in PyTorch, or None
    """

    state: fnnet.TrainState
    history: fnnet.History
    seconds: float
    peer: "records_torch.Peer | None" = None


def main(config: Config) -> None:
    """Load the images, then search or train."""
    check_counts(config, "seeds", "epochs", "rows")
    recipe = RECIPES[config.recipe]
    if recipe.best is None and not config.search:
        raise SystemExit(
            f"--recipe {config.recipe}: no candidate has won its search yet; run it with --search --copy-to "
            f"experiments/results, and name the winner as best in experiments/records.py"
        )
    if config.pytorch and recipe.best is not None and (missing := missing_in_pytorch(recipe.best)):
        raise SystemExit(f"--pytorch: PyTorch's version of {recipe.best} has no {', '.join(missing)}; leave it out")
    folder = RunFolder("records", config)
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
    """Every candidate on the images held out, in the order of their numbers."""
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
    name = f"records_{config.recipe}_search" + (f"_{config.only[0]}" if config.only else "")
    run.figure(name, errors_over_seconds(curves))
    run.record(
        name,
        network=f"{recipe.title}: candidates, {len(task.train.y):,} images to train and "
        f"{len(task.validation.y):,} held out",
        results=results,
        captions={name: f"{recipe.title}: errors on the images held out, candidates by number"},
    )


def measure(config: Config, recipe: Recipe, task: Task, run: RunFolder) -> None:
    """The candidate that won, on all training images; the test images are opened when all seeds are trained."""
    assert recipe.best is not None
    seeds, candidate = config.seeds or recipe.seeds, shortened(recipe.best, config)
    print(candidate)
    runs, model = trained(candidate, task, seeds, config, run), candidate.model()
    networks = [
        Trained(r.state, r.history, np.asarray(fnnet.predict(model, r.state.params, task.test.x))) for r in runs
    ]
    errors = Result([100 - a for a in accuracies(networks, task.test).values], "%", range(seeds))
    seconds = Result([r.seconds for r in runs], "s", range(seeds), 1)
    results: dict[str, Result | str] = {"test errors": errors, "seconds of training": seconds}
    if config.pytorch:
        peers = [r.peer for r in runs if r.peer is not None]
        results["test errors, PyTorch"] = Result([p.errors(task.test) for p in peers], "%", range(seeds))
        results["seconds of training, PyTorch"] = Result([p.seconds for p in peers], "s", range(seeds), 1)
        print(f"PyTorch: test errors {results['test errors, PyTorch']} in {results['seconds of training, PyTorch']}")
    results["goal"] = recipe.verdict(errors, seconds)
    print(f"test errors {errors} in {seconds} of training each; goal {results['goal']}")
    name = f"records_{config.recipe}"
    worst = plots.worst_mistakes(task.test.x, networks[0].probabilities, task.test.y, task.class_names, MISTAKES, 8)
    run.figure(f"{name}_mistakes", worst)
    run.figure(f"{name}_curves", errors_over_seconds({f"seed {seed}": r for seed, r in enumerate(runs)}))
    run.record(
        name,
        network=f"{recipe.title}: {candidate}",
        author=recipe.published,
        results=results,
        captions={
            f"{name}_curves": f"{recipe.title}: errors on training images during training, as the network saw them",
            f"{name}_mistakes": f"{recipe.title}: the worst mistakes of the first seed's network on test images",
        },
    )


def shortened(candidate: Candidate, config: Config) -> Candidate:
    """The candidate, at another length where the command says so."""
    return candidate if config.epochs is None else candidate._replace(epochs=config.epochs)


def trained(candidate: Candidate, task: Task, seeds: int, config: Config, run: RunFolder) -> list[Run]:
    """One network for every seed, after an epoch that only compiles; and the same in PyTorch, where it is asked for."""
    model, optimizer = candidate.model(), candidate.optimizer(len(task.train.y))
    if candidate.products is not None and jax.default_backend() == "cpu" and lacks_bfloat16():
        print(f"{processor()} has no instructions for products in {candidate.products}: training takes longer here")

    def fit(seed: int, epochs: int, peer: bool) -> Run:
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
        seconds = time.perf_counter() - start
        return Run(state, history, seconds, in_pytorch(candidate, init_key, task, seed) if peer else None)

    fit(0, 1, peer=False)
    runs = []
    for seed in range(seeds):
        runs.append(fit(seed, candidate.epochs, config.pytorch and not config.search))
        run.log(candidate=str(candidate), seed=seed, seconds=runs[-1].seconds)
    return runs


def missing_in_pytorch(candidate: Candidate) -> list[str]:
    """What of a candidate experiments/benchmarks/peers/records_torch.py does not have."""
    known = (fnnet.Affine, fnnet.Elastic)
    others = [type(d).__name__ for d in candidate.distortions if not isinstance(d, known)]
    return [name for name in ("noise", "max_norm", "residual") if getattr(candidate, name)] + others


def in_pytorch(candidate: Candidate, init_key: jax.Array, task: Task, seed: int) -> "records_torch.Peer":
    """The same network trained in PyTorch, from the same parameters."""
    try:
        from experiments.benchmarks.peers import records_torch
    except ModuleNotFoundError as error:
        raise SystemExit(systems.missing(error)) from None
    time.sleep(timing.REST)
    peer = records_torch.train(candidate, fnnet.init(candidate.model(), init_key), task.train, seed)
    time.sleep(timing.REST)  # threads of PyTorch spin for a while before they sleep
    return peer


def errors_over_seconds(runs: dict[str, Run]) -> "Figure":
    """Errors after every epoch against seconds of training, logarithmic.

    Of the images held out, where there are any, else of the training images, as they were distorted for each step.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    figure_, (axis,) = figure(7, 4)
    for color, (name, r) in zip(itertools.cycle(COLORS), runs.items(), strict=False):
        metrics = r.history.training if r.history.validation is None else r.history.validation
        errors = 100 * (1 - np.asarray(metrics.accuracy))
        axis.semilogy(
            r.seconds * np.arange(1, len(errors) + 1) / len(errors), errors, ".-", ms=3, color=color, label=name
        )
    is_closed = all(r.history.validation is None for r in runs.values())
    what = "training images, while training" if is_closed else "images held out"
    axis.set(xlabel="seconds of training", ylabel=f"errors on {what}, %")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.legend(frameon=False)
    return figure_


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
