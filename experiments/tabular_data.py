"""Three small tables, breast cancer, wine and diabetes: fnnet compared with scikit-learn's networks over five folds.

Both train a network with one hidden layer by Adam on the same folds, from the same kind of start, standardized with the
mean and the standard deviation of the training rows. The loss on an inner split of the training rows chooses the size
and the number of epochs, for each library separately; then the network is trained again on all training rows, and only
then are the test rows used. The learning rate, 0.003 in both, is ours, without a search. What is compared is accuracy,
and R^2 where the target is a number. fnnet's seconds are mostly compilation: each fold has other shapes. Needs
scikit-learn, whose data sets come with it (extras `test` and `benchmarks`).
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
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
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
    """Learning rate of Adam, constant in both libraries."""
    seed: int = 0
    """Seed of the folds, the starts and the shuffling."""


class Table(NamedTuple):
    """Rows as they are, and what is to be predicted: classes, or numbers where `classes` is 0."""

    x: np.ndarray
    y: np.ndarray
    classes: int


class Setting(NamedTuple):
    """What the inner split chooses."""

    hidden: int
    epochs: int


class Library(NamedTuple):
    """How one library chooses a setting and predicts.

    score    (training table, validation table, config) -> {setting: minus the loss on the validation rows}
    predict  (training table, rows (N, I), setting, config) -> predictions (N,)
    """

    score: Callable[[Table, Table, Config], dict[Setting, float]]
    predict: Callable[[Table, np.ndarray, Setting, Config], np.ndarray]


def trained(table: Table, setting: Setting, config: Config, validation: Table | None = None) -> tuple:
    """The ten lines: (model, state, history) of a network on a table, measured on validation rows after each epoch."""
    outputs, loss = (table.classes, fnnet.SoftmaxCrossEntropy()) if table.classes else (1, fnnet.SquaredError())
    sizes, start = (table.x.shape[1], setting.hidden, outputs), fnnet.GlorotUniform()  # scikit-learn's start
    model = fnnet.mlp(sizes, loss=loss, weights=start, preprocessing=fnnet.standardize(table.x))
    optimizer, (init_key, shuffle) = fnnet.Adam(config.learning_rate), jax.random.split(jax.random.key(config.seed))
    return model, *fnnet.fit(
        model, optimizer, fnnet.init_state(model, optimizer, init_key), batch(table, table),
        epochs=setting.epochs, batch_size=config.batch_size, shuffle=shuffle,
        validation=None if validation is None else batch(table, validation), progress=False,
    )  # fmt: skip


def batch(table: Table, rows: Table) -> fnnet.Batch:
    """Rows as they are; targets that are numbers with the mean and the standard deviation of the table's."""
    return fnnet.Batch(rows.x, rows.y if table.classes else scaled(table, rows.y)[:, None])


def score_by_fnnet(table: Table, validation: Table, config: Config) -> dict[Setting, float]:
    """One run for each size: its validation curve has the loss after every number of epochs."""
    scores = {}
    for hidden in config.hidden:
        _, _, history = trained(table, Setting(hidden, max(config.epochs)), config, validation)
        scores |= {Setting(hidden, epochs): -float(history.validation.loss[epochs - 1]) for epochs in config.epochs}
    return scores


def predict_by_fnnet(table: Table, rows: np.ndarray, setting: Setting, config: Config) -> np.ndarray:
    model, state, _ = trained(table, setting, config)
    predicted = np.asarray(fnnet.predict(model, state.params, rows))
    return predicted.argmax(1) if table.classes else unscaled(table, predicted[:, 0])


def trained_by_sklearn(table: Table, setting: Setting, config: Config) -> Any:
    """The same network by MLPClassifier or MLPRegressor, after a StandardScaler."""
    kind: Any = neural_network.MLPClassifier if table.classes else neural_network.MLPRegressor
    network = kind(
        hidden_layer_sizes=(setting.hidden,),
        alpha=0.0,
        batch_size=min(config.batch_size, len(table.x)),
        max_iter=setting.epochs,
        learning_rate_init=config.learning_rate,
        n_iter_no_change=setting.epochs,
        random_state=config.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs were asked for
        return make_pipeline(StandardScaler(), network).fit(
            table.x, table.y if table.classes else scaled(table, table.y)
        )


def score_by_sklearn(table: Table, validation: Table, config: Config) -> dict[Setting, float]:
    """A run for each setting."""

    def validated(setting: Setting) -> float:
        network = trained_by_sklearn(table, setting, config)
        if table.classes:
            classes = np.arange(table.classes)
            return -metrics.log_loss(validation.y, network.predict_proba(validation.x), labels=classes)
        return -metrics.mean_squared_error(scaled(table, validation.y), network.predict(validation.x))

    return {s: validated(s) for s in itertools.starmap(Setting, itertools.product(config.hidden, config.epochs))}


def predict_by_sklearn(table: Table, rows: np.ndarray, setting: Setting, config: Config) -> np.ndarray:
    predicted = trained_by_sklearn(table, setting, config).predict(rows)
    return predicted if table.classes else unscaled(table, predicted)


LIBRARIES = {
    "fnnet": Library(score_by_fnnet, predict_by_fnnet),
    "scikit-learn": Library(score_by_sklearn, predict_by_sklearn),
}


def scaled(table: Table, y: np.ndarray) -> np.ndarray:
    """Targets with the mean and the standard deviation of the table's."""
    return (y - table.y.mean()) / table.y.std()


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


def choose(library: Library, train: Table, config: Config) -> Setting:
    """The setting that is best on a fifth of the training rows; the first of equals."""
    inner, held_out = split_rows(train.y, 0.2, config.seed)
    scores = library.score(rows_of(train, inner), rows_of(train, held_out), config)
    return max(scores, key=scores.__getitem__)


def cross_validated(table: Table, library: Library, config: Config) -> tuple[list[float], float]:
    """(the score of every fold, seconds of everything: choosing, training, predicting, compiling)."""
    start, scores = time.perf_counter(), []
    for train_rows, test_rows in folds(table, config):
        train, test = rows_of(table, train_rows), rows_of(table, test_rows)
        setting = choose(library, train, config)
        scores.append(score(table, test.y, library.predict(train, test.x, setting, config)))
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
            network="breast cancer, wine and diabetes: one hidden layer, Adam, five folds; compared with scikit-learn",
            results=results,
        )
        run.say_end()
    return results


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
