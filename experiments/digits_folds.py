"""Five-fold cross-validation over all 1,797 handwritten digits, with the setting chosen inside of each fold.

Every digit is in the test rows once. Of the other four fifths, a stratified part validates each candidate setting,
which is trained twice on the rest; the best of them is trained again on all four fifths, and only then are the test
rows used. So no result depends on its test rows through any choice, not even that of a learning rate.
"""

import dataclasses
import itertools

import jax
import numpy as np
import tqdm

import fnnet
from experiments import command_line, digits
from experiments.command_line import RunSettings
from experiments.run_folder import RunFolder
from fnnet.datasets._split import split_rows


@dataclasses.dataclass(frozen=True)
class Config(RunSettings):
    """Settings of the run: what the candidates are made of, and how they are judged."""

    folds: int = 5
    """How many parts the digits are split into."""
    learning_rates: tuple[float, ...] = (2e-3, 5e-3)
    """Learning rates of Adam at the first step; it falls to 0 along half a cosine."""
    dropouts: tuple[float, ...] = (0.3, 0.5)
    """Fractions of hidden activations dropped."""
    epochs: int = 40
    """How often every training digit is seen."""
    validation_fraction: float = 0.2
    """Fraction of the training digits that the candidates are judged by."""
    seed: int = 0
    """Seed of the split into folds, the starts and the shuffling."""
    progress: bool = True
    """Show a bar."""


def main(config: Config) -> None:
    data = fnnet.datasets.digits()
    rows = folds(data.y, config.folds, config.seed)
    with RunFolder("digits_folds", config) as run:
        right = []
        for fold, test in enumerate(tqdm.tqdm(rows, unit="fold", disable=not config.progress)):
            train = np.concatenate([other for other in rows if other is not test])
            chosen = choose(config, rows_of(data, train), fold)
            state, model = trained(chosen, rows_of(data, train), key(config, fold, 99))
            probabilities = np.asarray(fnnet.predict(model, state.params, data.x[test]))
            right.append(probabilities.argmax(1) == data.y[test])
            setting = {"learning_rate": chosen.learning_rate, "dropout": chosen.dropout}
            run.log(fold=fold, test_accuracy=right[-1].mean(), test_errors=int((~right[-1]).sum()), **setting)
            tqdm.tqdm.write(f"fold {fold}: {100 * right[-1].mean():.2f} % of {len(test)} right, with {setting}")
        accuracies = 100 * np.array([r.mean() for r in right])
        print(
            f"test accuracy {accuracies.mean():.2f} % ± {accuracies.std(ddof=1):.2f} over {config.folds} folds; "
            f"{np.concatenate(right).sum():,} of {len(data.y):,} digits right"
        )
        run.say_end()


def folds(y: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold: of every class in shuffled order, the first goes to fold 0, the next to fold 1, ..."""
    order = np.random.default_rng(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    return [np.sort(by_class[fold::count]) for fold in range(count)]


def choose(config: Config, train: fnnet.Batch, fold: int) -> digits.Config:
    """The candidate with the most validation rows right, over two starts; the first of equals."""
    inner, outer = split_rows(train.y, config.validation_fraction, config.seed)
    validation = rows_of(train, outer)

    def score(candidate: digits.Config) -> float:
        networks = (trained(candidate, rows_of(train, inner), key(config, fold, start)) for start in range(2))
        return float(sum(fnnet.evaluate(model, state.params, validation).accuracy for state, model in networks))

    return max(candidates(config), key=score)


def candidates(config: Config) -> list[digits.Config]:
    """Every pair of a learning rate and a dropout; the rest as in `experiments.digits`."""
    pairs = itertools.product(config.learning_rates, config.dropouts)
    return [digits.Config(learning_rate=rate, dropout=dropout, epochs=config.epochs) for rate, dropout in pairs]


def trained(setting: digits.Config, train: fnnet.Batch, key: jax.Array) -> tuple[fnnet.TrainState, fnnet.Model]:
    """A network after a whole run in one program, and its model."""
    model, optimizer = digits.build(setting, len(train.y))
    start, shuffle = jax.random.split(key)
    state, _ = fnnet.train(
        model, optimizer, fnnet.init_state(model, optimizer, start), train,
        epochs=setting.epochs, batch_size=setting.batch_size, shuffle=shuffle,
    )  # fmt: skip
    return state, model


def key(config: Config, fold: int, start: int) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), fold), start)


def rows_of(data: fnnet.Batch, rows: np.ndarray) -> fnnet.Batch:
    return fnnet.Batch(data.x[rows], data.y[rows])


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
