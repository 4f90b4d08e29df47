"""XOR: the smallest problem that needs a hidden layer, learned by 2-4-1 with sigmoids.

Binary cross-entropy as a mean over the four rows, all four in every update, plain gradient descent at 0.1 for 10,000
epochs: as in most tutorials. The loss is printed every 1,000 epochs, the four predictions at the end, and a figure
shows the line between 0 and 1 as it moves. With --reference-init the weights are NumPy's randn after seed(42) and
everything is float64, so that the numbers are those of the same network written in NumPy.

With --seeds N the network starts from N random places at once: how many of the N end with all four outputs within
0.05 of the target? The tutorial's settings nearly always get there, smaller weights and a larger rate did from each of
1,000 starts, Adam needs a tenth of the epochs and gets stuck more often, with outputs of 0.5. These two settings were
chosen on 1,000 other starts:

    python -m experiments.xor --choose
"""

import contextlib
import dataclasses
import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings, check_multiple
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.layers import DenseParams
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Optimizer, Params

NEAR = 0.05  # how far from its target an output may be and still count as learned
CHOOSING_SEEDS = range(1_000_000, 1_001_000)  # none of those that are reported


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the run; the defaults are the tutorial's."""

    epochs: int = 10_000
    """Epochs, of one update on all four rows each."""
    report_every: int = 1000
    """Epochs between two lines of the table."""
    learning_rate: float = 0.1
    """Learning rate of gradient descent."""
    seed: int = 42
    """Seed of the weights."""
    reference_init: bool = False
    """Weights from NumPy's legacy generator (RandomState(seed).randn, layer by layer), and float64 throughout."""
    seeds: int = 0
    """Also train from this many random starts, seeds 0, 1, ..., and count those that learn."""
    choose: bool = False
    """Instead, compare settings on 1,000 starts of their own."""
    figure: bool = True
    """Draw how the decision boundary moved."""


class Moment(NamedTuple):
    """The network after `epoch` epochs; its loss."""

    epoch: int
    params: Params
    loss: float


def build(deviation: float = 1.0) -> fnnet.Model:
    """2-4-1, weights randn * deviation, biases 0; the output's sigmoid is in the loss."""
    weights = fnnet.Normal(deviation)
    return fnnet.mlp((2, 4, 1), activation=fnnet.Sigmoid(), loss=fnnet.SigmoidBinaryCrossEntropy(), weights=weights)


def start(config: Config, model: fnnet.Model, optimizer: fnnet.Sgd) -> fnnet.TrainState:
    """The state before the first epoch, from JAX's generator or the reference's."""
    if not config.reference_init:
        return fnnet.init_state(model, optimizer, jax.random.key(config.seed))
    state = fnnet.init_state(model, optimizer, jax.random.key(config.seed), dtype=jnp.float64)
    rng = np.random.RandomState(config.seed)  # the same numbers as np.random.seed and randn
    first, second = (DenseParams(jnp.asarray(rng.randn(i, o)), jnp.zeros(o)) for i, o in ((2, 4), (4, 1)))
    return state._replace(params=(first, (), second))


def learn(config: Config) -> list[Moment]:
    """Train, and return a Moment every `report_every` epochs, the start and the end included."""
    data, model, optimizer = fnnet.datasets.xor(), build(), fnnet.Sgd(config.learning_rate)
    state, moments = start(config, model, optimizer), []
    for epoch in range(0, config.epochs, config.report_every):
        before = state.params
        state, history = fnnet.train(
            model, optimizer, state, data, epochs=config.report_every, batch_size=len(data.x), shuffle=None
        )  # one program: compiled in the first round, used in all
        moments.append(Moment(epoch, before, float(history.training.loss[0])))
    loss = fnnet.loss(model, state.params, data.x, data.y)
    return [*moments, Moment(config.epochs, state.params, float(loss))]


@partial(jax.jit, static_argnames="epochs")
def worst_outputs(model: fnnet.Model, optimizer: Optimizer, seeds: Array, epochs: int) -> Float[Array, "seeds"]:
    """How far the worst of the four outputs is from its target at the end, for each seed, all trained at once."""
    data = fnnet.datasets.xor()

    def one(seed: Array) -> Array:
        state = fnnet.init_state(model, optimizer, jax.random.key(seed))
        state, _ = fnnet.train(model, optimizer, state, data, epochs=epochs, batch_size=len(data.x), shuffle=None)
        return jnp.abs(fnnet.predict(model, state.params, data.x) - data.y).max()

    return jax.vmap(one)(seeds)


def count_learned(deviation: float, optimizer: Optimizer, epochs: int, seeds: range) -> int:
    """How many of the seeds end with all four outputs within NEAR of the target."""
    numbers = jnp.asarray(seeds, jnp.int32)
    return int((worst_outputs(build(deviation), optimizer, numbers, epochs) < NEAR).sum())


def many_starts(config: Config) -> dict[str, str]:
    """`{"starts that learn, gradient descent ...": "20 of 20"}` for the tutorial's settings and two others."""
    tenth, plain = max(1, config.epochs // 10), config.learning_rate
    settings: dict[str, tuple[float, Optimizer, int]] = {
        f"gradient descent at {plain:g}, {config.epochs:,} epochs": (1.0, fnnet.Sgd(plain), config.epochs),
        f"half the weights, descent at 0.5, {config.epochs:,} epochs": (0.5, fnnet.Sgd(0.5), config.epochs),
        f"Adam at 0.05, {tenth:,} epochs": (1.0, fnnet.Adam(0.05), tenth),
    }
    return {
        f"starts that learn, {name}": f"{count_learned(*setting, range(config.seeds))} of {config.seeds}"
        for name, setting in settings.items()
    }


def choose(config: Config) -> None:
    """How many of 1,000 starts learn, for deviations of the weights and optimizers."""
    tenth, counts = max(1, config.epochs // 10), {}
    settings = {f"descent at {rate:g}": (fnnet.Sgd(rate), config.epochs) for rate in (0.05, 0.1, 0.2, 0.5)}
    settings |= {f"Adam at {rate:g}": (fnnet.Adam(rate), tenth) for rate in (0.03, 0.05, 0.1)}
    with RunFolder("xor", config) as run:
        for deviation, (name, setting) in itertools.product((0.5, 1.0, 2.0), settings.items()):
            what = f"starts that learn, randn * {deviation:g}, {name}"
            counts[what] = f"{count_learned(deviation, *setting, CHOOSING_SEEDS)} of {len(CHOOSING_SEEDS)}"
            print(f"{what}: {counts[what]}", flush=True)
        run.log(**counts)
        run.record(
            "xor_search",
            network=f"the same network, {config.epochs:,} epochs of descent or {tenth:,} of Adam, from other starts",
            results=counts,
        )
        run.say_end()


def draw(moments: list[Moment]) -> Any:
    """A Figure: the probability of 1 over the plane, at six moments from the start to the end, and the data."""
    data, side = fnnet.datasets.xor(), np.linspace(-0.5, 1.5, 121, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    shown = np.unique(np.linspace(0, len(moments) - 1, 6).round().astype(int))
    figure = empty_figure(2.3 * len(shown), 3.0)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    filled: Any = None
    for axis, moment in zip(axes, (moments[i] for i in shown), strict=True):
        p = np.asarray(fnnet.predict(build(), moment.params, plane)).reshape(len(side), len(side))
        filled = axis.contourf(side, side, p, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
        if p.min() < 0.5 < p.max():
            axis.contour(side, side, p, levels=[0.5], colors="black", linewidths=1.5)
        axis.scatter(*data.x.T, c=data.y[:, 0], cmap="RdBu_r", vmin=0, vmax=1, edgecolors="black", s=60, zorder=3)
        axis.set(title=f"epoch {moment.epoch:,}\nloss {moment.loss:.4f}", xticks=[0, 1], yticks=[0, 1], aspect="equal")
    figure.colorbar(filled, ax=axes, label="probability of 1", ticks=[0, 0.5, 1], shrink=0.7)
    return figure


def check(config: Config) -> None:
    """Exit with one line that says what to write, before a run folder is made."""
    check_multiple(config, "epochs")
    if config.seeds < 0:
        raise SystemExit(f"--seeds: expected 0 or more, got {config.seeds}")


def main(config: Config) -> None:
    check(config)
    (choose if config.choose else show)(config)


def show(config: Config) -> list[Moment]:
    """Train the tutorial's network, print and draw it; and count the starts that learn, if asked to."""
    with RunFolder("xor", config) as run:
        with jax.enable_x64(True) if config.reference_init else contextlib.nullcontext():
            moments = learn(config)
            data = fnnet.datasets.xor()
            predictions = np.asarray(fnnet.predict(build(), moments[-1].params, data.x))[:, 0]
            if config.figure:
                run.figure("xor", draw(moments))
        print("epoch   loss")
        for moment in moments:
            print(f"{moment.epoch:>6}  {moment.loss:.4f}")
            run.log(epoch=moment.epoch, loss=moment.loss)
        results: dict[str, Result | str] = {}
        print("\nx1 x2  target  prediction")
        for (a, b), target, p in zip(data.x, data.y[:, 0], predictions, strict=True):
            print(f"{a:>2.0f} {b:>2.0f}{target:>8.0f}{p:>12.4f}")
            results[f"{a:.0f} xor {b:.0f}"] = Result((p,), decimals=4)
        counts = many_starts(config) if config.seeds else {}
        print("".join(f"\n{name}: {count}" for name, count in counts.items()))
        run.log(predictions=predictions.tolist(), **counts)
        run.record(
            "xor",
            network="a guide to XOR: 2-4-1, sigmoid, binary cross-entropy, gradient descent at 0.1, 10,000 epochs",
            author="predictions near 0.01, 0.98, 0.98, 0.02",
            results=results | counts,
            captions={"xor": "XOR: how the decision boundary moves during training"} if config.figure else {},
        )
        run.say_end()
    return moments


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
