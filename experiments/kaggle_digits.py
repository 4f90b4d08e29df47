"""Kaggle's digit table, learned by 784-32-16-10 with full-batch gradient descent; and what five common bugs do to it.

The table (--csv train.csv; without it, the same table is made of MNIST's images) is shuffled, 1,000 rows are held out
as a dev set, pixels are divided by 255. Weights start as randn * 0.5, biases as rand * 0.5; ReLU, ReLU, softmax;
squared error on the probabilities, summed over the classes, mean over all rows; learning rate 1, 500 iterations, the
dev accuracy every 10. Cross-entropy is trained for comparison, from the same start: at the same rate, which is far too
high, since its gradient is so much larger, and at a smaller one; and both losses from He's initialization, which suits
ReLU. Then come networks whose backward is wrong, one bug each. Some of these learn too; their curves show the bugs.

With --test-csv test.csv the network that is best on the dev rows, among those without a bug, classifies them, and
submission.csv is what Kaggle takes. --make-csv FOLDER writes train.csv and test.csv from MNIST, in Kaggle's format and
sizes. All of it takes some minutes on a laptop; --no-losses --no-bugs, the tutorial's network alone, about one.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings, check_counts, check_multiple
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import datasets
from fnnet.layers import DenseParams
from fnnet.protocols import Initializer, Layer, Loss, Params

SQUARED = "squared error"
TEST_ROWS = 28_000


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the run; the defaults are the tutorial's."""

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
    bugs: bool = True
    """Also train the networks whose backward is wrong."""
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


# --- five bugs, each a forward that is right (or nearly) and a backward that is not ---


@fnnet.spec
class ErrorOfAnotherLoss(SquaredErrorOfClasses):
    """Squared error with the gradient A - one_hot: that is cross-entropy's, and skips the softmax."""

    def forward(self, z: Any, classes: Any) -> tuple[Any, Any]:
        """l = sum_c (softmax(z)_c - [c = class])^2, from logits."""
        return super().forward(self.predict(z), classes)

    def backward(self, r: Any, dper_example: Any) -> Any:
        """dz = p - one_hot, where 2 (diag(p) - p p^T) (p - one_hot) is right."""
        return r * dper_example[:, None]

    def predict(self, z: Any) -> Any:
        return fnnet.SoftmaxCrossEntropy().predict(z)


@fnnet.spec
class SoftmaxForRelu(fnnet.Softmax):
    """A hidden layer whose activations were mixed up: softmax forward, ReLU's derivative backward."""

    def backward(self, params: Any, y: Any, dy: Any) -> tuple[Any, Any]:
        """dx = dy where y > 0, which is everywhere."""
        return fnnet.Relu().backward(params, y, dy)


@fnnet.spec
class StopsBackward(fnnet.Relu):
    """ReLU at which the backward pass stops: the backward of a two-layer net used for a net of three layers."""

    def backward(self, params: Any, y: Any, dy: Any) -> tuple[Any, Any]:
        """dx = None: nothing before this layer learns."""
        return (), None


@fnnet.spec
class OneBiasForAll(fnnet.Dense):
    """Dense whose bias gradient is np.sum(dz) without an axis: one number for all neurons."""

    def backward(self, params: Any, x: Any, dy: Any) -> tuple[Any, Any]:
        """db_o = sum_b sum_k dy_bk, where sum_b dy_bo is right."""
        grads, dx = super().backward(params, x, dy)
        return DenseParams(grads.w, jnp.full_like(grads.b, grads.b.sum())), dx


@fnnet.spec
class OverflowingSoftmax(fnnet.Softmax):
    """Softmax as the formula is written: e^89 is inf in float32, and inf / inf is NaN."""

    def forward(self, params: Any, x: Any, *, key: Any = None) -> tuple[Any, Any]:
        """y_c = e^x_c / sum_k e^x_k, nothing subtracted."""
        e = jnp.exp(x)
        y = e / e.sum(-1, keepdims=True)
        return y, y


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


def wrong(config: Config) -> dict[str, Learner]:
    """Name of a bug -> the tutorial's network with it."""
    models = {
        "A - one_hot": build(output=fnnet.Identity(), loss=ErrorOfAnotherLoss()),
        "softmax for ReLU": build(second=SoftmaxForRelu()),
        "two-layer backward": build(first=StopsBackward()),
        "one bias gradient": build(dense=OneBiasForAll),
        "softmax overflows": build(output=OverflowingSoftmax()),  # not yet: with these weights no logit reaches 89
        "the same, from randn": build(output=OverflowingSoftmax(), start=(fnnet.Normal(1.0), fnnet.Uniform(0.0, 0.5))),
    }
    return {name: Learner(model, config.learning_rate) for name, model in models.items()}


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
    """After so many iterations: each network's parameters, dev accuracy and training loss (before the last update)."""

    iteration: int
    params: dict[str, Params]
    accuracy: dict[str, float]
    loss: dict[str, float]


def learn(learners: dict[str, Learner], train: fnnet.Batch, dev: fnnet.Batch, config: Config) -> Iterator[Round]:
    """All networks in turns of `report_every` iterations; yields after each turn, and once before the first."""
    train, dev = jax.device_put((train, dev))
    key = jax.random.key(config.seed)
    states = {name: fnnet.init_state(model, fnnet.Sgd(rate), key) for name, (model, rate) in learners.items()}
    losses = {name: float("nan") for name in learners}
    for iteration in range(0, config.iterations + 1, config.report_every):
        if iteration:
            for name, (model, rate) in learners.items():
                states[name], history = fnnet.train(
                    model, fnnet.Sgd(rate), states[name], train,
                    epochs=config.report_every, batch_size=len(train.y), shuffle=None,
                )  # fmt: skip
                losses[name] = float(history.training.loss[-1])
        params = {name: state.params for name, state in states.items()}
        accuracy = {name: float(fnnet.evaluate(learners[name].model, p, dev).accuracy) for name, p in params.items()}
        yield Round(iteration, params, accuracy, dict(losses))


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


def draw(rounds: list[Round], bugs: list[str]) -> Any:
    """A Figure: dev accuracy of the right networks, and of the bugs beside them."""
    from fnnet.plots import TRAINING, figure

    colors = ("#222222", "#ff725c", "#3ca951", "#efb118", "#a463f2", "#9c6b4e")
    others = [name for name in rounds[0].accuracy if name not in (SQUARED, *bugs)]
    drawn, axes = figure(16 if bugs else 8, 4.4, 2 if bugs else 1)
    titles = "the tutorial's network, another loss, another start", "the tutorial's network, and with one bug each"
    for axis, names, title in zip(axes, (others, bugs), titles, strict=False):
        for name, color in ((SQUARED, TRAINING), *zip(names, colors, strict=False)):
            accuracy = [100 * done.accuracy[name] for done in rounds]
            width = 3.2 if name == SQUARED else 1.4  # a bug that changes nothing is a line inside it
            label = f"{accuracy[-1]:.1f} %  {name}"
            axis.plot([done.iteration for done in rounds], accuracy, color=color, label=label, linewidth=width)
        axis.set(xlabel="iteration", ylabel="dev accuracy in %", ylim=(0, 100), title=title)
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
    bugs = wrong(config) if config.bugs else {}
    learners, rounds = right(config) | bugs, []
    print(f"{len(train.y):,} rows to learn from, {len(dev.y):,} held out; read in {folder.seconds:.1f} s\n")
    for i, (name, (_, rate)) in enumerate(learners.items(), 1):
        print(f"({i}) {name}{' (a bug)' if name in bugs else ''}, learning rate {rate:g}")
    print("\ndev accuracy in %\niteration" + "".join(f"{f'({i + 1})':>7}" for i in range(len(learners))))
    with folder as run:
        for done in learn(learners, train, dev, config):
            print(f"{done.iteration:>9}" + "".join(f"{100 * a:>7.1f}" for a in done.accuracy.values()), flush=True)
            run.log(iteration=done.iteration, dev_accuracy=done.accuracy, training_loss=done.loss)
            rounds.append(done)
        print(f"\n{gradient_sizes(learners[SQUARED].model, rounds[0].params[SQUARED], dev)}")
        run.figure("kaggle_digits", draw(rounds, list(bugs)))
        results: dict[str, Result | str] = {
            f"dev accuracy, {name}": Result([100 * a], "%", [config.seed], 1) for name, a in rounds[-1].accuracy.items()
        }
        results[f"dev accuracy, {SQUARED}"] = again(config, tables.train, rounds[-1])
        if tables.test is not None:
            results |= submit(right(config), rounds[-1], tables, config, run.path / "submission.csv")
        run.record(
            "kaggle_digits",
            network="a Kaggle notebook's network: 784-32-16-10, ReLU, softmax, squared error, full-batch gradient "
            f"descent at 1.0, {config.iterations} iterations; and the same with one bug each",
            author="accuracy every 10 iterations, none at the end",
            results=results,
            captions={"kaggle_digits": "Two losses, and the effect of each of five bugs on the dev accuracy"},
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
