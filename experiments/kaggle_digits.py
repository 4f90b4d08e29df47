"""Kaggle's digit table, learnt by 784-32-16-10 with full-batch gradient descent; and what five common bugs do to it.

The table (--csv train.csv; without it, the same table is made of MNIST's images) is shuffled, 1,000 rows are held out
as a dev set, pixels are divided by 255. Weights start as randn * 0.5, biases as rand * 0.5; ReLU, ReLU, softmax;
squared error on the probabilities, summed over the classes, mean over all rows; learning rate 1, 500 iterations, the
dev accuracy every 10. Cross-entropy learns beside it from the same start. So do networks whose backward is wrong, one
bug each, because the curves are how one finds such bugs: every one of them learns something.

With --test-csv test.csv the better of the two right networks (on the dev set) answers, and submission.csv is what
Kaggle takes. --make-csv FOLDER writes train.csv and test.csv from MNIST, in Kaggle's format and sizes.
"""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import fnnet
from experiments.results_file import Result, command_of, record
from experiments.run_folder import RunFolder
from fnnet import datasets
from fnnet.layers import DenseParams

SQUARED, CROSS = "squared error", "cross-entropy"
TEST_ROWS = 28_000


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the run; the defaults are the tutorial's."""

    csv: Path | None = None
    """Kaggle's train.csv; None: a table made of MNIST."""
    test_csv: Path | None = None
    """Kaggle's test.csv, to be answered; None: with --csv nothing, else MNIST's other images."""
    submission: Path | None = None
    """Where the answers go; None: submission.csv in the run's folder."""
    make_csv: Path | None = None
    """Only write train.csv and test.csv into this folder, from MNIST, with test_labels.csv beside them."""
    iterations: int = 500
    """Updates: all rows are in each."""
    report_every: int = 10
    """Iterations between two lines of the table."""
    learning_rate: float = 1.0
    """Of gradient descent."""
    dev_rows: int = 1000
    """Rows held out."""
    bugs: bool = True
    """Also train the networks whose backward is wrong."""
    seed: int = 0
    """Of the shuffling and of the weights."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    copy_to: Path | None = None
    """A folder that gets the figures and the picture too, such as experiments/results."""


# --- the right network ---


@fnnet.spec
class SquaredErrorOfClasses:
    """Squared error of probabilities (B, C) against integer classes (B,) as one-hot rows; accuracy is counted too."""

    def forward(self, p: Any, classes: Any) -> tuple[Any, Any]:
        """l = sum_c (p_c - [c = class])^2."""
        return fnnet.SquaredError().forward(p, one_hot(classes, p))

    def backward(self, r: Any, dper_example: Any) -> Any:
        """dp = 2 (p - one_hot) dl; the softmax layer before it has the full Jacobian."""
        return fnnet.SquaredError().backward(r, dper_example)

    def predict(self, p: Any) -> Any:
        """The probabilities themselves."""
        return p

    def correct(self, p: Any, classes: Any) -> Any:
        """Whether the largest probability stands at the class."""
        return fnnet.SoftmaxCrossEntropy().correct(p, classes)


def one_hot(classes: Any, like: Any) -> Any:
    """(B, C) 1 at the class, else 0, in the shape and dtype of `like`."""
    return (classes[:, None] == jnp.arange(like.shape[1], dtype=classes.dtype)[None]).astype(like.dtype)


def build(
    dense: Any = fnnet.Dense,
    first: Any = fnnet.Relu(),  # noqa: B008  specs are immutable
    second: Any = fnnet.Relu(),  # noqa: B008
    output: Any = fnnet.Softmax(),  # noqa: B008
    loss: Any = SquaredErrorOfClasses(),  # noqa: B008
) -> fnnet.Model:
    """784-32-16-10; a bug replaces one part in its place, so all networks start from the same weights."""
    start = fnnet.Normal(0.5), fnnet.Uniform(0.0, 0.5)
    hidden = dense(32, *start), first, dense(16, *start), second
    return fnnet.Model(
        fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(1 / 255), *hidden, dense(10, *start), output)), loss, (28, 28)
    )


# --- five bugs, each a forward that is right (or nearly) and a backward that is not ---


@fnnet.spec
class ErrorOfAnotherLoss(SquaredErrorOfClasses):
    """Squared error whose gradient is said to be A - one_hot: that is cross-entropy's, and skips the softmax."""

    def forward(self, z: Any, classes: Any) -> tuple[Any, Any]:
        """l = sum_c (softmax(z)_c - [c = class])^2, from logits."""
        return fnnet.SquaredError().forward(self.predict(z), one_hot(classes, z))

    def backward(self, r: Any, dper_example: Any) -> Any:
        """dz = p - one_hot, where 2 (diag(p) - p p^T) (p - one_hot) is right."""
        return r * dper_example[:, None]

    def predict(self, z: Any) -> Any:
        """Probabilities."""
        return fnnet.SoftmaxCrossEntropy().predict(z)


@fnnet.spec
class SoftmaxForRelu:
    """A hidden layer whose activations got swapped: softmax on the way there, ReLU's derivative on the way back."""

    init = fnnet.Softmax.init

    def forward(self, params: Any, x: Any, *, key: Any = None) -> tuple[Any, Any]:
        """y = softmax(x)."""
        return fnnet.Softmax().forward(params, x)

    def backward(self, params: Any, y: Any, dy: Any) -> tuple[Any, Any]:
        """dx = dy where y > 0, which is everywhere."""
        return fnnet.Relu().backward(params, y, dy)


@fnnet.spec
class EndOfTheWayBack:
    """ReLU after which the backward pass stops: the backward of a two-layer net used for a net of three layers."""

    init = fnnet.Relu.init

    def forward(self, params: Any, x: Any, *, key: Any = None) -> tuple[Any, Any]:
        """y = max(x, 0)."""
        return fnnet.Relu().forward(params, x)

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
    """Softmax as it stands in the book: e^89 is inf in float32, and inf / inf is no number."""

    def forward(self, params: Any, x: Any, *, key: Any = None) -> tuple[Any, Any]:
        """y_c = e^x_c / sum_k e^x_k, nothing subtracted."""
        e = jnp.exp(x)
        y = e / e.sum(-1, keepdims=True)
        return y, y


def networks(config: Config) -> dict[str, fnnet.Model]:
    """Name -> network: the two right ones, then a bug each."""
    right = {SQUARED: build(), CROSS: build(output=fnnet.Identity(), loss=fnnet.SoftmaxCrossEntropy())}
    wrong = {
        "A - one_hot": build(output=fnnet.Identity(), loss=ErrorOfAnotherLoss()),
        "softmax for ReLU": build(second=SoftmaxForRelu()),
        "two-layer backward": build(first=EndOfTheWayBack()),
        "one bias gradient": build(dense=OneBiasForAll),
        "softmax overflows": build(output=OverflowingSoftmax()),
    }
    return right | wrong if config.bugs else right


# --- the data ---


class Tables(NamedTuple):
    """What train.csv and test.csv hold; `answers` are the labels of the test rows where they are known."""

    train: fnnet.Batch
    test: np.ndarray | None
    answers: np.ndarray | None


def from_mnist() -> Tables:
    """MNIST's 70,000 images as Kaggle cut them: 42,000 with labels, 28,000 (the published test images among them) not.

    Which training image is in which table is drawn once for all (seed 0): it does not depend on the run's seed.
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


class Line(NamedTuple):
    """After so many iterations: each network's parameters, dev accuracy and training loss (before the last update)."""

    iteration: int
    params: dict[str, Any]
    accuracy: dict[str, float]
    loss: dict[str, float]


def learn(models: dict[str, fnnet.Model], train: fnnet.Batch, dev: fnnet.Batch, config: Config) -> Iterator[Line]:
    """All networks, `report_every` iterations each in turn; a Line after every round, and one before the first."""
    optimizer, every = fnnet.Sgd(config.learning_rate), config.report_every
    train, dev = jax.device_put((train, dev))
    states = {name: fnnet.init_state(model, optimizer, jax.random.key(config.seed)) for name, model in models.items()}
    losses = {name: float("nan") for name in models}
    for iteration in range(0, config.iterations + 1, every):
        if iteration:
            for name, model in models.items():
                states[name], history = fnnet.train(
                    model, optimizer, states[name], train, epochs=every, batch_size=len(train.y), order=None
                )
                losses[name] = float(history.training.loss[-1])
        params = {name: state.params for name, state in states.items()}
        accuracy = {name: float(fnnet.evaluate(models[name], p, dev).accuracy) for name, p in params.items()}
        yield Line(iteration, params, accuracy, dict(losses))


def pull(models: dict[str, fnnet.Model], params: Any, rows: fnnet.Batch) -> str:
    """Why cross-entropy: how hard each loss pulls at the logits of rows that are wrong at the start."""
    p = fnnet.predict(models[SQUARED], params, rows.x)
    wrong = p.argmax(1) != rows.y
    ones = jnp.ones(len(p))
    r = p - one_hot(jnp.asarray(rows.y), p)
    squared = fnnet.Softmax().backward((), p, fnnet.SquaredError().backward(r, ones))[1]
    medians = [float(jnp.median(jnp.linalg.norm(dz[wrong], axis=1))) for dz in (squared, r)]
    return (
        f"at the start {100 * float(wrong.mean()):.0f} % of the dev rows are wrong, and the median of |dz| over these "
        f"is {medians[0]:.1e} for squared error, {medians[1]:.2f} for cross-entropy:\nwhere softmax is sure of the "
        f"wrong class, its derivative is nearly 0, and squared error has to go through it"
    )


def answer(model: fnnet.Model, params: Any, images: np.ndarray) -> np.ndarray:
    """The most probable class of every image, (N,)."""
    parts = [fnnet.predict(model, params, images[i : i + 1000]).argmax(1) for i in range(0, len(images), 1000)]
    return np.concatenate(parts)


def draw(lines: list[Line]) -> Any:
    """A Figure: dev accuracy of the two losses, and of the bugs beside them."""
    from fnnet.plots import TRAINING, figure

    names, iterations = list(lines[0].accuracy), [line.iteration for line in lines]
    colors = dict(
        zip(names, (TRAINING, "#222222", "#efb118", "#3ca951", "#ff725c", "#a463f2", "#97bbf5"), strict=False)
    )
    has_bugs = len(names) > 2
    picture, axes = figure(13 if has_bugs else 6.5, 4.4, 2 if has_bugs else 1)
    for axis, shown in zip(axes, (names[:2], names[:1] + names[2:]), strict=False):
        for name in shown:
            is_bug = name not in (SQUARED, CROSS)
            accuracy = [100 * line.accuracy[name] for line in lines]
            label = f"{name}: {accuracy[-1]:.1f} %"
            axis.plot(iterations, accuracy, color=colors[name], label=label, linewidth=1.6 if is_bug else 2.4)
        axis.set(xlabel="iteration", ylabel="dev accuracy in %", ylim=(0, 100))
        axis.legend(frameon=False, fontsize=9, loc="lower right")
    axes[0].set_title("the same network under two losses")
    if has_bugs:
        axes[1].set_title("squared error, and with one bug each")
    return picture


def check(config: Config) -> None:
    """Leave with a line that says what to write, before anything is read."""
    if config.iterations < 1 or config.report_every < 1 or config.iterations % config.report_every:
        raise SystemExit(
            f"--iterations: expected a multiple of --report-every, got {config.iterations} and {config.report_every}"
        )
    if config.dev_rows < 1:
        raise SystemExit(f"--dev-rows: expected 1 or more, got {config.dev_rows}")
    if config.submission is not None and config.csv is not None and config.test_csv is None:
        raise SystemExit("--submission: expected --test-csv with it, the rows to be answered")


def main(config: Config) -> list[Line]:
    check(config)
    begun = time.perf_counter()
    try:
        tables = load(config)
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    if config.make_csv is not None:
        make_csv(config.make_csv, tables if tables.answers is not None else from_mnist())
        return []
    if len(tables.train.y) <= config.dev_rows:
        raise SystemExit(f"--dev-rows: expected fewer than the table's {len(tables.train.y)}, got {config.dev_rows}")
    train, dev = hold_out(tables.train, config)
    models, lines = networks(config), []
    print(
        f"{len(train.y):,} rows to learn from, {len(dev.y):,} held out; read in {time.perf_counter() - begun:.1f} s\n"
    )
    print("dev accuracy in %\niteration" + "".join(f"{name:>20}" for name in models))
    with RunFolder("kaggle_digits", config, config.runs) as run:
        for line in learn(models, train, dev, config):
            print(f"{line.iteration:>9}" + "".join(f"{100 * a:>20.1f}" for a in line.accuracy.values()), flush=True)
            run.log(iteration=line.iteration, dev_accuracy=line.accuracy, training_loss=line.loss)
            lines.append(line._replace(params=None) if lines else line)
            last = line
        print(f"\n{pull(models, lines[0].params[SQUARED], dev)}")
        picture = draw(lines)
        run.picture("kaggle_digits", picture)
        ours: dict[str, Result | str] = {
            f"dev accuracy, {name}": Result([100 * a], "%", [config.seed], 1) for name, a in last.accuracy.items()
        }
        if tables.test is not None:
            ours |= submit(models, last, tables, config, run.path / "submission.csv")
        seconds = time.perf_counter() - begun
        print(f"in {seconds:.1f} s; metrics and picture: {run.path}")
    if config.copy_to is not None:
        keep(config, ours, seconds, picture)
    return lines


def submit(
    models: dict[str, fnnet.Model], last: Line, tables: Tables, config: Config, default: Path
) -> dict[str, Result | str]:
    """Answer the test rows by the network that is better on the dev rows; where answers are known, say how well."""
    assert tables.test is not None
    name = max((SQUARED, CROSS), key=lambda name: last.accuracy[name])
    path, labels = config.submission or default, answer(models[name], last.params[name], tables.test)
    datasets.write_submission(path, labels)
    print(f"{len(labels):,} answers of {name}: {path}")
    if tables.answers is None:
        return {}
    test = fnnet.Batch(tables.test, tables.answers)
    evaluated = 100 * float(fnnet.evaluate(models[name], last.params[name], test).accuracy)
    right = 100 * float((labels == tables.answers).mean())
    print(f"{right:.3f} % of them are right; evaluate says {evaluated:.3f} %")
    return {f"submission of {len(labels):,} rows, {name}": Result([right], "%", [config.seed])}


def keep(config: Config, ours: dict[str, Result | str], seconds: float, picture: Any) -> None:
    """The figures and the picture in `copy_to`."""
    assert config.copy_to is not None
    path = record(
        "kaggle_digits",
        command=command_of("kaggle_digits", config),
        tutorial="Kaggle net: 784-32-16-10, ReLU, softmax, squared error, full-batch gradient descent at 1.0, "
        f"{config.iterations} iterations; and the same with one bug each",
        author="accuracy every 10 iterations, no figure at the end",
        ours=ours,
        seconds=seconds,
        folder=config.copy_to,
        pictures={"kaggle_digits.png": "Two losses, and what each of five bugs does to the dev accuracy"},
    )
    picture.savefig(path.with_name("kaggle_digits.png"))
    print(f"kept: {path}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
