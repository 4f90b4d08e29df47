"""Let Optuna search, and fnnet train: the search proposes many points at a time, a sweep trains them at once.

Optuna's ask-and-tell interface leaves the loop to the caller, so neither needs to know the other: ask for sixteen
points, train them as one program, tell the results. The points learn the embedded digits and are ranked by the
validation loss. Needs the extra `sweeps`.
"""

import dataclasses

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.classification import split_off
from experiments.cores import use_all_cores
from fnnet.sweeps import Configuration, Point, put, sweep

try:
    import optuna
except ImportError:
    raise SystemExit("this example searches with Optuna: pip install -e '.[sweeps]'") from None

RATE, DROPOUT, PENALTY = "optimizer.learning_rate", "model.network[4].rate", "model.penalty.weights"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the search."""

    rounds: int = 4
    """How often Optuna is asked."""
    at_once: int = 16
    """Points of one round, trained as one program."""
    epochs: int = 10
    """Epochs of every network."""
    seed: int = 0
    """Seed of the search and of the networks."""


def ask(study: "optuna.Study", base: Configuration) -> tuple["optuna.trial.Trial", Point]:
    """A trial and its point."""
    trial = study.ask()
    settings = {
        RATE: trial.suggest_float(RATE, 1e-5, 1.0, log=True),
        DROPOUT: trial.suggest_float(DROPOUT, 0.0, 0.8),
        PENALTY: trial.suggest_float(PENALTY, 1e-6, 1e-1, log=True),
    }
    for path, value in settings.items():
        base = put(base, path, value)
    return trial, Point(settings, base)


def main(config: Config) -> "optuna.Study":
    rest, _ = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    train, validation = split_off(rest, 0.2)
    model = fnnet.mlp((64, 64, 10), dropout=0.1, penalty=fnnet.L2(1e-4), input_shape=(8, 8), scale=1 / 16)
    base = Configuration(model, fnnet.Adam(1e-3), 64)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.seed))
    for number in range(1, config.rounds + 1):
        trials, points = zip(*(ask(study, base) for _ in range(config.at_once)), strict=True)
        results = sweep(points, train, epochs=config.epochs, seeds=(config.seed,), shuffle=jax.random.key(config.seed),
                      validation=validation, progress=False)  # fmt: skip
        for trial, loss, diverged in zip(trials, results.metric("validation_loss"), results.diverged, strict=True):
            failed = optuna.trial.TrialState.FAIL if diverged else None
            study.tell(trial, None if diverged else float(loss), state=failed)
        print(f"round {number}: best validation loss {study.best_value:.4f}, of this round "
              f"{np.nanmin(results.metric('validation_loss')):.4f}")  # fmt: skip
    print("best: " + ", ".join(f"{name} {value:.3g}" for name, value in study.best_params.items()))
    return study


if __name__ == "__main__":
    use_all_cores()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    command_line.run(main, Config, __doc__)
