"""Six problems small enough to look at, and what a network with two hidden layers makes of each.

The four problems with classes are learned by one 2-32-32-3 network each, all in one compiled program (`train` under
`jax.vmap`); XOR and a noisy sine have networks of their own. The figure shows the data over what the network predicts
everywhere in the plane. Sizes, learning rate and epochs are ours, without a search.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet import datasets
from fnnet.plots import TRAINING, VALIDATION
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Params

COLORS = (TRAINING, VALIDATION, "#efb118")


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Settings of the run; the defaults take a few seconds."""

    count: int = 300
    """Points of each problem."""
    epochs: int = 300
    """How often every point is seen."""
    batch_size: int = 50
    """Points in one step."""
    learning_rate: float = 0.01
    """Learning rate of Adam at the first step; it falls to 0 along half a cosine."""
    seed: int = 0
    """Seed of the points, the weights and the shuffling."""


def classes(count: int, seed: int) -> dict[str, fnnet.Batch]:
    """Name -> points with classes."""
    makers = datasets.two_moons, datasets.circles, datasets.spirals, datasets.blobs
    return {make.__name__: make(count, seed=seed) for make in makers}


def train(model: fnnet.Model, config: Config, data: fnnet.Batch) -> Params:
    """Parameters after a whole run on data; pure, so that many data sets can be learned at once."""
    steps = config.epochs * -(-len(data.x) // config.batch_size)
    optimizer = fnnet.Adam(fnnet.CosineDecay(config.learning_rate, steps))
    key, shuffle = jax.random.split(jax.random.key(config.seed))
    state, _ = fnnet.train(
        model,
        optimizer,
        fnnet.init_state(model, optimizer, key),
        data,
        epochs=config.epochs,
        batch_size=config.batch_size,
        shuffle=shuffle,
    )
    return state.params


def plane(points: np.ndarray, steps: int = 161) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x (steps,), y (steps,), rows (steps^2, 2)): a grid a little larger than the points."""
    low, high = points.min(0) - 0.3, points.max(0) + 0.3
    x, y = (np.linspace(a, b, steps, dtype=np.float32) for a, b in zip(low, high, strict=True))
    return x, y, np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def draw_classes(axis: Any, title: str, model: fnnet.Model, params: Params, data: fnnet.Batch) -> None:
    """The most probable class everywhere, and the points in the color of their class."""
    from matplotlib.colors import ListedColormap

    x, y, grid = plane(data.x)
    answers = np.asarray(fnnet.predict(model, params, grid).argmax(1)).reshape(len(x), len(y))
    colors = ListedColormap(COLORS)
    axis.pcolormesh(x, y, answers, cmap=colors, vmin=0, vmax=2, alpha=0.25, linewidth=0, rasterized=True)
    axis.scatter(*data.x.T, c=data.y, cmap=colors, vmin=0, vmax=2, s=9)
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")


def draw_xor(axis: Any, config: Config) -> None:
    """The probability of 1 everywhere, and the four rows."""
    data = datasets.xor()
    model = fnnet.mlp((2, 8, 1), activation=fnnet.Tanh(), loss=fnnet.SigmoidBinaryCrossEntropy())
    params = train(model, config, data)
    x, y, grid = plane(data.x)
    p = np.asarray(fnnet.predict(model, params, grid)).reshape(len(x), len(y))
    axis.contourf(x, y, p, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
    axis.scatter(*data.x.T, c=data.y[:, 0], cmap="RdBu_r", vmin=0, vmax=1, edgecolors="black", s=70)
    axis.set(title="xor", xticks=[0, 1], yticks=[0, 1], aspect="equal")


def draw_sine(axis: Any, config: Config) -> None:
    """The points, the curve that the network found, and the one that the points were drawn from."""
    data = datasets.sine(config.count, seed=config.seed)
    model = fnnet.mlp((1, 32, 32, 1), activation=fnnet.Tanh(), loss=fnnet.SquaredError())
    params = train(model, config, data)
    x = np.linspace(-np.pi, np.pi, 200, dtype=np.float32)[:, None]
    axis.plot(data.x, data.y, ".", color="#999999", markersize=4)
    axis.plot(x, np.sin(x), color="#333333", linestyle=":", label="sin x")
    axis.plot(x, fnnet.predict(model, params, x), color=VALIDATION, linewidth=2, label="the network")
    axis.set(title="sine", xticks=[], yticks=[-1, 0, 1])
    axis.legend(frameon=False, fontsize=8)


def main(config: Config) -> dict[str, float]:
    with RunFolder("toys", config) as run:
        problems, fresh = (classes(config.count, seed) for seed in (config.seed, config.seed + 1))
        model = fnnet.mlp((2, 32, 32, 3))
        together = jax.tree.map(lambda *parts: jnp.stack(parts), *problems.values())
        params = jax.vmap(lambda data: train(model, config, data))(together)
        figure = empty_figure(11, 7.2)
        axes = figure.subplots(2, 3)
        draw_xor(axes[0, 0], config)
        draw_sine(axes[0, 1], config)
        right = {}
        for i, (name, data) in enumerate(problems.items()):
            own = jax.tree.map(lambda p, i=i: p[i], params)
            right[name] = float(fnnet.evaluate(model, own, fresh[name]).accuracy)
            draw_classes(axes.flat[2 + i], name, model, own, data)
            print(f"{name:<12}{100 * right[name]:.1f} % of as many fresh points right")
        for axis in axes.flat:
            axis.set_box_aspect(1)
        run.log(**right)
        run.figure("toys", figure)
        run.record(
            "toys",
            network="small data sets: 2-32-32-3, ReLU, Adam",
            results={f"{name}, fresh points": Result([100 * r], "%", [config.seed], 1) for name, r in right.items()},
            captions={"toys": "The small data sets of fnnet.datasets and what a small network makes of them"},
        )
        run.say_end()
    return right


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
