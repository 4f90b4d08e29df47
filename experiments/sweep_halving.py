"""Successive halving: train many networks briefly, keep the better half, train these longer, and so on down to one.

Sixty-four networks with randomly sampled learning rates, dropout rates and penalties learn the embedded digits. A rung
is `fnnet.train` under `jax.vmap`; after each rung the better half by validation loss continues from where it is. The
whole search is a pure function of the points, the seed and the data. Prints what each rung keeps, and how many epochs
it would take to train all networks as long as the winner.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.classification import split_off
from fnnet.protocols import Key
from fnnet.sweeps import Between, Configuration, Point, Stacked, pick, sample, stack

BY_RUN = fnnet.TrainState(0, 0, None, 0)
"""Axes of the states: all runs are at the same step."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the search."""

    points: int = 64
    """Networks to begin with; halved after every rung."""
    epochs: int = 2
    """Epochs of the first rung; each later one has twice as many as the one before, so every rung costs the same."""
    seed: int = 0
    """Seed of the random search and the starts."""


class Rung(NamedTuple):
    """One rung: its epochs, numbers of the points that ran, and their validation losses after it."""

    epochs: int
    points: np.ndarray
    losses: np.ndarray


def halving(
    stacked: Stacked, key: Key, shuffle: Key, data: fnnet.Batch, validation: fnnet.Batch, epochs: int
) -> list[Rung]:
    """Rungs of `epochs`, twice that, four times that, ... for all points, half of them, a quarter, ... one."""
    count = jax.tree.leaves(stacked.spec.optimizer)[0].shape[0]
    alive, rungs = jnp.arange(count), []
    states = jax.vmap(fnnet.init_state, (stacked.axes.model, stacked.axes.optimizer, 0), BY_RUN)(
        stacked.spec.model, stacked.spec.optimizer, jax.random.split(key, count)
    )
    while True:
        train = partial(
            fnnet.train, epochs=epochs, batch_size=stacked.spec.batch_size, shuffle=shuffle, validation=validation
        )
        states, history = jax.vmap(
            lambda model, optimizer, state: train(model, optimizer, state, data),  # noqa: B023
            (stacked.axes.model, stacked.axes.optimizer, BY_RUN),
            (BY_RUN, 0),
        )(stacked.spec.model, stacked.spec.optimizer, states)
        losses = history.validation.loss[:, -1]
        rungs.append(Rung(epochs, np.asarray(alive), np.asarray(losses)))
        if len(alive) == 1:
            return rungs
        better = jnp.argsort(losses)[: len(alive) // 2]  # NaN sorts after every number
        stacked, alive, epochs = pick(stacked, better), alive[better], 2 * epochs
        states = states._replace(
            **{name: jax.tree.map(lambda a: a[better], getattr(states, name))  # noqa: B023
               for name in ("params", "opt_state", "key")}
        )  # fmt: skip


def sampled(config: Config) -> tuple[Point, ...]:
    model = fnnet.mlp((64, 64, 10), dropout=0.1, penalty=fnnet.L2(1e-4), input_shape=(8, 8), scale=1 / 16)
    space = {
        "optimizer.learning_rate": Between(1e-5, 1.0, log=True),
        "model.network[4].rate": Between(0.0, 0.8),
        "model.penalty.weights": Between(1e-6, 1e-1, log=True),
    }
    return sample(Configuration(model, fnnet.Adam(1e-3), 64), space, count=config.points, seed=config.seed)


def main(config: Config) -> list[Rung]:
    if config.points < 2 or config.points & (config.points - 1):
        raise SystemExit(f"--points: expected a power of two from 2 on, got {config.points}")
    rest, _ = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    train, validation = split_off(rest, 0.2)
    assert validation is not None
    points = sampled(config)
    key, shuffle = jax.random.split(jax.random.key(config.seed))
    train, validation = jax.device_put((train, validation))
    stacked = stack([point.configuration for point in points])
    rungs = halving(stacked, key, shuffle, train, validation, config.epochs)
    for rung in rungs:
        words = f"{len(rung.points):3} network{'s' * (len(rung.points) > 1)}, {rung.epochs} more epochs"
        print(f"{words}: best validation loss {np.nanmin(rung.losses):.4f}")
    winner = points[rungs[-1].points[0]]
    total = sum(len(rung.points) * rung.epochs for rung in rungs)
    longest = sum(rung.epochs for rung in rungs)
    print(f"{total:,} epochs in all; {longest * config.points:,} would train every network as long as the winner")
    print("winner: " + ", ".join(f"{name} {value:.3g}" for name, value in winner.settings.items()))
    return rungs


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
