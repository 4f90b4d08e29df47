"""Three small tables, breast cancer, wine and diabetes: fnnet beside scikit-learn's own networks, over five folds.

Both train a network with one hidden layer by Adam on the same folds, standardized with the mean and the standard
deviation of the training rows. An inner split of the training rows chooses the size and the number of epochs, for each
library by itself; then the network is trained again on all training rows, and only then are the test rows opened. What
is compared is accuracy, and R^2 where the target is a number. Needs scikit-learn, whose data sets come with it (extras
`test` and `benchmarks`).
"""

import dataclasses
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.datasets._split import split_rows

try:
    from sklearn import datasets, metrics, neural_network
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import KFold, StratifiedKFold
except ImportError:
    raise SystemExit("this compares with scikit-learn: pip install -e '.[test]'") from None

LOADERS = {
    "breast cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the comparison."""

    tables: tuple[str, ...] = tuple(LOADERS)
    """Which tables."""
    folds: int = 5
    """How many parts a table is split into."""
    hidden: tuple[int, ...] = (16, 64)
    """Neurons in the hidden layer, to choose from."""
    epochs: tuple[int, ...] = (20, 60, 180)
    """How often every row is seen, to choose from."""
    batch_size: int = 32
    """Rows of one step."""
    learning_rate: float = 3e-3
    """Of Adam, constant in both libraries."""
    seed: int = 0
    """Of the folds, the starts and the shuffling."""


class Table(NamedTuple):
    """Rows as they are, and what is to be predicted: classes, or numbers where `classes` is 0."""

    x: np.ndarray
    y: np.ndarray
    classes: int


class Setting(NamedTuple):
    """What the inner split chooses."""

    hidden: int
    epochs: int


Fit = Callable[[Table, np.ndarray, Setting, Config], np.ndarray]
"""Train on a table and predict the rows (N, I)."""


def by_fnnet(table: Table, rows: np.ndarray, setting: Setting, config: Config) -> np.ndarray:
    """The ten lines."""
    train, (x,) = standardized(table, rows)
    outputs, loss = (table.classes, fnnet.SoftmaxCrossEntropy()) if table.classes else (1, fnnet.SquaredError())
    model = fnnet.mlp((x.shape[1], setting.hidden, outputs), loss=loss)
    data = fnnet.Batch(train.x, train.y if table.classes else train.y[:, None])
    optimizer, (init_key, shuffle) = fnnet.Adam(config.learning_rate), jax.random.split(jax.random.key(config.seed))
    state = fnnet.init_state(model, optimizer, init_key)
    batch_size = min(config.batch_size, len(data.x))
    state, _ = fnnet.train(model, optimizer, state, data, epochs=setting.epochs, batch_size=batch_size, shuffle=shuffle)
    predicted = np.asarray(fnnet.predict(model, state.params, x))
    return predicted.argmax(1) if table.classes else unscaled(table, predicted[:, 0])


def by_sklearn(table: Table, rows: np.ndarray, setting: Setting, config: Config) -> np.ndarray:
    """The same network by MLPClassifier or MLPRegressor."""
    train, (x,) = standardized(table, rows)
    kind: Any = neural_network.MLPClassifier if table.classes else neural_network.MLPRegressor
    network = kind(
        hidden_layer_sizes=(setting.hidden,),
        alpha=0.0,
        batch_size=min(config.batch_size, len(train.x)),
        max_iter=setting.epochs,
        learning_rate_init=config.learning_rate,
        n_iter_no_change=setting.epochs,
        random_state=config.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs were asked for
        predicted = network.fit(train.x, train.y).predict(x)
    return predicted if table.classes else unscaled(table, predicted)


LIBRARIES: dict[str, Fit] = {"fnnet": by_fnnet, "scikit-learn": by_sklearn}


def standardized(table: Table, *others: np.ndarray) -> tuple[Table, list[np.ndarray]]:
    """(the table, other rows) in float32 with the mean and the standard deviation of the table's rows."""
    mean, deviation = table.x.mean(0), table.x.std(0)
    scaled = [((x - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32) for x in (table.x, *others)]
    if table.classes:
        return Table(scaled[0], table.y.astype(np.int32), table.classes), scaled[1:]
    return Table(scaled[0], ((table.y - table.y.mean()) / table.y.std()).astype(np.float32), 0), scaled[1:]


def unscaled(table: Table, predicted: np.ndarray) -> np.ndarray:
    """Predictions in the unit of the table's targets."""
    return predicted * table.y.std() + table.y.mean()


def load(name: str) -> Table:
    """One of scikit-learn's tables."""
    x, y = LOADERS[name](return_X_y=True)
    return Table(x, y, 0 if name == "diabetes" else int(y.max()) + 1)


def rows_of(table: Table, rows: np.ndarray) -> Table:
    """Some of its rows."""
    return table._replace(x=table.x[rows], y=table.y[rows])


def folds(table: Table, config: Config) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (training, test), every row in one test part; stratified where there are classes."""
    kind = StratifiedKFold if table.classes else KFold
    return kind(config.folds, shuffle=True, random_state=config.seed).split(table.x, table.y)


def score(table: Table, y: np.ndarray, predicted: np.ndarray) -> float:
    """Accuracy in percent, or R^2."""
    return 100 * metrics.accuracy_score(y, predicted) if table.classes else metrics.r2_score(y, predicted)


def choose(fit: Fit, train: Table, config: Config) -> Setting:
    """The setting that is best on a fifth of the training rows; the first of equals."""
    inner, held_out = split_rows(train.y, 0.2, config.seed)
    table, validation = rows_of(train, inner), rows_of(train, held_out)

    def validated(setting: Setting) -> float:
        return score(train, validation.y, fit(table, validation.x, setting, config))

    return max(itertools.starmap(Setting, itertools.product(config.hidden, config.epochs)), key=validated)


def cross_validated(table: Table, fit: Fit, config: Config) -> tuple[list[float], float]:
    """(the score of every fold, seconds of everything: choosing, training, predicting, compiling)."""
    start, scores = time.perf_counter(), []
    for train_rows, test_rows in folds(table, config):
        train, test = rows_of(table, train_rows), rows_of(table, test_rows)
        scores.append(score(table, test.y, fit(train, test.x, choose(fit, train, config), config)))
    return scores, time.perf_counter() - start


def main(config: Config) -> dict[str, Result | str]:
    results: dict[str, Result | str] = {}
    with RunFolder("tabular_data", config) as run:
        for name in config.tables:
            table = load(name)
            unit, decimals = ("%", 1) if table.classes else ("", 3)
            for library, fit in LIBRARIES.items():
                scores, seconds = cross_validated(table, fit, config)
                what = f"{'accuracy' if table.classes else 'R^2'}, {name}, {library}"
                results[what] = result = Result(scores, unit, decimals=decimals, per="fold")
                results[f"seconds, {name}, {library}"] = f"{seconds:.1f} s"
                run.log(table=name, library=library, scores=scores, seconds=seconds)
                print(f"{what:<38}{result!s:<28}{seconds:>7.1f} s", flush=True)
        run.record(
            "tabular_data",
            network="breast cancer, wine and diabetes: one hidden layer, Adam, five folds; beside scikit-learn",
            results=results,
        )
        run.say_end()
    return results


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
