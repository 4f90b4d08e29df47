"""Kaggle's digit table, learned by 784-32-16-10 with full-batch gradient descent.

The table (--csv train.csv; without it, the same table is made of MNIST's images) is shuffled, 1,000 rows are held out
as a dev set, pixels are divided by 255. Weights start as randn * 0.5, biases as rand * 0.5; ReLU, ReLU, softmax;
squared error on the probabilities, summed over the classes, mean over all rows; the accuracy on training and dev rows
every 10 iterations. All this is the tutorial's; the learning rate, 1, and the number of iterations, 500, are not in it
and are ours. Cross-entropy is trained for comparison, from the same start: at the same rate, which is far too
high, since its gradient is so much larger, and at a smaller one; and both losses from He's initialization, which suits
ReLU. What the bugs of the tutorial's backward pass do is measured by `experiments.bugs`, which also finds these two
rates, 1 and 0.3, the best of four for the two losses on validation rows.

With --test-csv test.csv the network that is best on the dev rows classifies them, and submission.csv is what Kaggle
takes. --make-csv FOLDER writes train.csv and test.csv from MNIST, in Kaggle's format and
sizes. All of it takes some minutes on a laptop; --no-losses, the tutorial's network alone, about one.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings, check_counts, check_multiple
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import datasets
from fnnet.protocols import Initializer, Layer, Loss, Params

SQUARED = "squared error"
TEST_ROWS = 28_000


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the run; all but rate and iterations are the tutorial's."""

    csv: Path | None = None
    """Kaggle's train.csv; None: a table made of MNIST."""
    test_csv: Path | None = None
    """Kaggle's test.csv, to be classified; None: with --csv nothing, else MNIST's other images."""
    submission: Path | None = None
    """Where the predicted classes go; None: submission.csv in the run's folder."""
    make_csv: Path | None = None
    """Only write train.csv and test.csv into this folder, from MNIST, with test_labels.csv beside them."""
    iterations: int = 500
    """Updates, each on all rows."""
    report_every: int = 10
    """Iterations between two lines of the table."""
    learning_rate: float = 1.0
    """Learning rate of gradient descent."""
    gentle_rate: float = 0.3
    """Learning rate of cross-entropy where it has its own."""
    dev_rows: int = 1000
    """Rows held out."""
    losses: bool = True
    """Also train with cross-entropy, and both losses from He's initialization."""
    seed: int = 0
    """Seed of the shuffling and of the weights."""
    seeds: int = 1
    """Train the tutorial's network from this many seeds, seed, seed + 1, ..., each with its own dev set."""


# --- the right network ---


@fnnet.spec
class SquaredErrorOfClasses(fnnet.SquaredError):
    """Squared error of probabilities (B, C) against integer classes (B,) as one-hot rows; accuracy is counted too.

    dp = 2 (p - one_hot) dl; the softmax layer before it has the full Jacobian.
    """

    def forward(self, p: Any, classes: Any) -> tuple[Any, Any]:
        """l = sum_c (p_c - [c = class])^2."""
        return super().forward(p, jax.nn.one_hot(classes, p.shape[1], dtype=p.dtype))

    def correct(self, p: Any, classes: Any) -> Any:
        return fnnet.SoftmaxCrossEntropy().correct(p, classes)


def build(
    dense: type[fnnet.Dense] = fnnet.Dense,
    first: Layer = fnnet.Relu(),  # noqa: B008  specs are immutable
    second: Layer = fnnet.Relu(),  # noqa: B008
    output: Layer = fnnet.Softmax(),  # noqa: B008
    loss: Loss = SquaredErrorOfClasses(),  # noqa: B008
    start: tuple[Initializer, Initializer] = (fnnet.Normal(0.5), fnnet.Uniform(0.0, 0.5)),
) -> fnnet.Model:
    """784-32-16-10; a bug replaces one part in its place, so all networks start from the same weights."""
    hidden = dense(32, *start), first, dense(16, *start), second
    return fnnet.Model(
        fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(1 / 255), *hidden, dense(10, *start), output)), loss, (28, 28)
    )


# --- what is compared ---


class Learner(NamedTuple):
    """A network and the rate at which it learns."""

    model: fnnet.Model
    rate: float


def right(config: Config) -> dict[str, Learner]:
    """Name -> network without a bug; the tutorial's first."""
    entropy: dict[str, Any] = {"output": fnnet.Identity(), "loss": fnnet.SoftmaxCrossEntropy()}
    he: dict[str, Any] = {"start": (fnnet.HeNormal(), fnnet.Zeros())}
    same, gentle = config.learning_rate, config.gentle_rate
    others = {
        "cross-entropy": Learner(build(**entropy), same),
        f"cross-entropy at {gentle:g}": Learner(build(**entropy), gentle),
        "squared error, He": Learner(build(**he), same),
        f"cross-entropy at {gentle:g}, He": Learner(build(**entropy, **he), gentle),
    }
    return {SQUARED: Learner(build(), same)} | (others if config.losses else {})


# --- the data ---


class Tables(NamedTuple):
    """What train.csv and test.csv hold; `answers` are the labels of the test rows where they are known."""

    train: fnnet.Batch
    test: np.ndarray | None
    answers: np.ndarray | None


def from_mnist() -> Tables:
    """MNIST's 70,000 images as Kaggle cut them: 42,000 with labels, 28,000 (the published test images among them) not.

    Which training image is in which table is decided by seed 0: it does not depend on the run's seed.
    """
    train, test = datasets.mnist()
    order = np.random.default_rng(0).permutation(len(train.y))
    rest, kept = order[TEST_ROWS - len(test.y) :], order[: TEST_ROWS - len(test.y)]
    images, answers = np.concatenate([train.x[kept], test.x]), np.concatenate([train.y[kept], test.y])
    return Tables(fnnet.Batch(train.x[rest], train.y[rest]), images, answers)


def load(config: Config) -> Tables:
    """The tables that the settings ask for."""
    if config.csv is None and config.test_csv is None:
        return from_mnist()
    train = from_mnist().train if config.csv is None else datasets.read_kaggle_digits(config.csv)
    test = None if config.test_csv is None else datasets.read_kaggle_images(config.test_csv)
    return Tables(train, test, None)


def write_table(path: Path, images: np.ndarray, labels: np.ndarray | None) -> None:
    """A table in Kaggle's format."""
    text = [str(number) for number in range(256)]
    pixels = images.reshape(len(images), -1)
    columns = [] if labels is None else ["label"]
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(",".join([*columns, *(f"pixel{i}" for i in range(pixels.shape[1]))]) + "\n")
        for i, row in enumerate(pixels):
            label = [] if labels is None else [str(labels[i])]
            file.write(",".join([*label, *(text[p] for p in row.tolist())]) + "\n")


def make_csv(folder: Path, tables: Tables) -> None:
    """train.csv, test.csv and the answers to the latter, as a perfect submission."""
    assert tables.test is not None
    assert tables.answers is not None
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "train.csv", *tables.train[:2])
    write_table(folder / "test.csv", tables.test, None)
    datasets.write_submission(folder / "test_labels.csv", tables.answers)
    print(f"written: train.csv, test.csv and test_labels.csv in {folder}")


def hold_out(table: fnnet.Batch, config: Config) -> tuple[fnnet.Batch, fnnet.Batch]:
    """(rows to learn from, dev rows): shuffled, the first `dev_rows` held out."""
    order = np.random.default_rng(config.seed).permutation(len(table.y))
    dev, rest = order[: config.dev_rows], order[config.dev_rows :]
    return fnnet.Batch(table.x[rest], table.y[rest]), fnnet.Batch(table.x[dev], table.y[dev])


# --- learning ---


class Round(NamedTuple):
    """After so many iterations: each network's parameters, and its accuracy on the dev rows.

    training, loss   accuracy and loss on the rows learned, before the last update
    """

    iteration: int
    params: dict[str, Params]
    accuracy: dict[str, float]
    training: dict[str, float]
    loss: dict[str, float]


def learn(learners: dict[str, Learner], train: fnnet.Batch, dev: fnnet.Batch, config: Config) -> Iterator[Round]:
    """All networks in turns of `report_every` iterations; yields after each turn, and once before the first."""
    train, dev = jax.device_put((train, dev))
    key = jax.random.key(config.seed)
    states = {name: fnnet.init_state(model, fnnet.Sgd(rate), key) for name, (model, rate) in learners.items()}
    starts = {name: fnnet.evaluate(model, states[name].params, train) for name, (model, _) in learners.items()}
    losses = {name: float(m.loss) for name, m in starts.items()}
    training = {name: float(m.accuracy) for name, m in starts.items()}
    for iteration in range(0, config.iterations + 1, config.report_every):
        if iteration:
            for name, (model, rate) in learners.items():
                states[name], history = fnnet.train(
                    model, fnnet.Sgd(rate), states[name], train,
                    epochs=config.report_every, batch_size=len(train.y), shuffle=None,
                )  # fmt: skip
                losses[name] = float(history.training.loss[-1])
                training[name] = float(history.training.accuracy[-1])
        params = {name: state.params for name, state in states.items()}
        accuracy = {name: float(fnnet.evaluate(learners[name].model, p, dev).accuracy) for name, p in params.items()}
        yield Round(iteration, params, accuracy, dict(training), dict(losses))


def gradient_sizes(model: fnnet.Model, params: Params, rows: fnnet.Batch) -> str:
    """How large the gradients of the two losses are at the logits of rows misclassified at the start."""
    p = np.asarray(fnnet.predict(model, params, rows.x))
    is_wrong = p.argmax(1) != rows.y
    r = p - np.eye(p.shape[1])[rows.y]
    squared = p * (2 * r - (2 * r * p).sum(1, keepdims=True))  # back through the softmax
    medians = [np.median(np.linalg.norm(dz[is_wrong], axis=1)) for dz in (squared, r)]
    percent = 100 * float(is_wrong.mean())
    return (
        f"randn * 0.5 makes a network that is confident and wrong: {percent:.0f} % of the dev rows at the start.\n"
        f"There the derivative of softmax is nearly 0, and squared error's gradient is multiplied by it: the median\n"
        f"of |dz| is {medians[0]:.1e}, with cross-entropy {medians[1]:.2f}. So no rate suits both."
    )


def answer(model: fnnet.Model, params: Params, images: np.ndarray) -> np.ndarray:
    """The most probable class of every image, (N,)."""
    parts = [fnnet.predict(model, params, images[i : i + 1000]) for i in range(0, len(images), 1000)]
    return np.concatenate(parts).argmax(1)


def draw(rounds: list[Round]) -> Any:
    """A Figure: accuracy on the rows learned (thin) and on the dev rows, every `report_every` iterations."""
    from fnnet.plots import COLORS, figure

    drawn, (axis,) = figure(8.5, 4.4)
    iterations = [done.iteration for done in rounds]
    for name, color in zip(rounds[0].accuracy, COLORS, strict=False):
        dev, training = ([100 * getattr(done, kind)[name] for done in rounds] for kind in ("accuracy", "training"))
        axis.plot(iterations, training, color=color, linewidth=0.8, alpha=0.6)
        axis.plot(iterations, dev, color=color, linewidth=1.8, label=f"{dev[-1]:.1f} %  {name}")
    axis.set(xlabel="iteration", ylabel="accuracy in %", ylim=(0, 100), title="dev rows (thin: the rows learned)")
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return drawn


def check(config: Config) -> None:
    """Exit with a line that says what to write, before anything is read."""
    check_multiple(config, "iterations")
    check_counts(config, "dev_rows", "seeds")
    if config.submission is not None and config.csv is not None and config.test_csv is None:
        raise SystemExit("--submission: expected --test-csv with it, the rows to be classified")
    if config.submission is not None and not config.submission.parent.is_dir():
        raise SystemExit(f"--submission: expected a folder that exists, got {config.submission.parent}")


def main(config: Config) -> list[Round]:
    check(config)
    folder, tables = RunFolder("kaggle_digits", config), load(config)
    if config.make_csv is not None:
        make_csv(config.make_csv, tables if tables.answers is not None else from_mnist())
        return []
    if len(tables.train.y) <= config.dev_rows:
        raise SystemExit(f"--dev-rows: expected fewer than the table's {len(tables.train.y)}, got {config.dev_rows}")
    train, dev = hold_out(tables.train, config)
    learners, rounds = right(config), []
    print(f"{len(train.y):,} rows to learn from, {len(dev.y):,} held out; read in {folder.seconds:.1f} s\n")
    for i, (name, (_, rate)) in enumerate(learners.items(), 1):
        print(f"({i}) {name}, learning rate {rate:g}")
    print("\naccuracy in %, training rows / dev rows")
    print("iteration" + "".join(f"{f'({i + 1})':>13}" for i in range(len(learners))))
    with folder as run:
        for done in learn(learners, train, dev, config):
            cells = (f"{100 * done.training[name]:>7.1f} /{100 * a:>4.1f}" for name, a in done.accuracy.items())
            print(f"{done.iteration:>9}" + "".join(cells), flush=True)
            run.log(
                iteration=done.iteration,
                dev_accuracy=done.accuracy,
                training_accuracy=done.training,
                training_loss=done.loss,
            )
            rounds.append(done)
        print(f"\n{gradient_sizes(learners[SQUARED].model, rounds[0].params[SQUARED], dev)}")
        run.figure("kaggle_digits", draw(rounds))
        results: dict[str, Result | str] = {
            f"dev accuracy, {name}": Result([100 * a], "%", [config.seed], 1) for name, a in rounds[-1].accuracy.items()
        }
        results[f"dev accuracy, {SQUARED}"] = again(config, tables.train, rounds[-1])
        if tables.test is not None:
            results |= submit(right(config), rounds[-1], tables, config, run.path / "submission.csv")
        run.record(
            "kaggle_digits",
            network="a Kaggle notebook's network: 784-32-16-10, ReLU, softmax, squared error, full-batch gradient "
            f"descent (rate {config.learning_rate:g} and {config.iterations} iterations are ours)",
            author="accuracy every 10 iterations, none at the end",
            results=results,
            captions={
                "kaggle_digits": "Kaggle's digits: two losses, two starts, accuracy on dev rows and on the rows learned"
            },
        )
        run.say_end()
    return rounds


def again(config: Config, table: fnnet.Batch, last: Round) -> Result:
    """The tutorial's network's dev accuracy for every seed; `last` has the first."""
    values = [100 * last.accuracy[SQUARED]]
    for seed in range(config.seed + 1, config.seed + config.seeds):
        other = dataclasses.replace(config, seed=seed, report_every=config.iterations)
        *_, done = learn({SQUARED: right(config)[SQUARED]}, *hold_out(table, other), other)
        values.append(100 * done.accuracy[SQUARED])
        print(f"seed {seed}: dev accuracy of {SQUARED} {values[-1]:.1f} %", flush=True)
    return Result(values, "%", range(config.seed, config.seed + config.seeds), 1)


def submit(
    learners: dict[str, Learner], last: Round, tables: Tables, config: Config, default: Path
) -> dict[str, Result | str]:
    """Classify the test rows by the network that is best on the dev rows; print the accuracy where it is known."""
    assert tables.test is not None
    name = max(learners, key=lambda name: last.accuracy[name])
    model, params = learners[name].model, last.params[name]
    path, labels = config.submission or default, answer(model, params, tables.test)
    datasets.write_submission(path, labels)
    print(f"{len(labels):,} answers of {name}: {path}")
    if tables.answers is None:
        return {}
    test = fnnet.Batch(tables.test, tables.answers)
    evaluated = 100 * float(fnnet.evaluate(model, params, test).accuracy)
    right = 100 * float((labels == tables.answers).mean())
    print(f"{right:.3f} % of them are right; fnnet.evaluate: {evaluated:.3f} %")
    return {f"submission of {len(labels):,} rows, {name}": Result([right], "%", [config.seed])}


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
