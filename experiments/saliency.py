"""What the gradient of the input says about a digit: which pixels the network's answer depends on.

The backward pass does not stop at the weights: dx is the gradient of the loss with respect to every pixel. A small
network is trained, and for several test digits the figure shows the digit, dx, dx times the digit (what the existing
ink contributes), and the digit after a small step uphill along dx, with the network's new answer. The table gives the
same as numbers, compared to a step of equal length in a random direction. The network and its training are ours,
without a search.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from experiments.worked_example import load, signed
from fnnet.plots import TRAINING
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Params

RUNNER_UP = "#ef5675"


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """What is trained and drawn; the defaults take seconds and need no download."""

    data: Literal["digits", "mnist"] = "digits"
    """8 x 8 digits that are in the package, or MNIST's 28 x 28."""
    digits: int = 6
    """How many test digits are drawn; the first one of each class, from 0."""
    hidden: tuple[int, ...] = (64,)
    """Neurons in the hidden layers."""
    epochs: int = 15
    """How often every training digit is seen."""
    step: float = 1.5
    """Length of the step along the gradient: the square root of the sum of squared changes of pixels, which go
    from 0 to 1."""


class Network(NamedTuple):
    """A trained network."""

    model: fnnet.Model
    params: Params

    def probabilities(self, x: Any) -> np.ndarray:
        """(N, 10) for images (N, H, W)."""
        return np.asarray(fnnet.predict(self.model, self.params, x))

    def saliency(self, x: Any, y: Any) -> np.ndarray:
        """(N, H, W): the gradient of each digit's own loss with respect to its pixels.

        The value of a batch is the mean of its losses, so the gradient of one loss is N times its row of dx.
        """
        dx = fnnet.backprop(self.model, self.params, fnnet.Batch(x, y)).dx
        return len(x) * np.asarray(dx)


def train(config: Config) -> tuple[Network, fnnet.Batch]:
    """(a trained network, the test digits), with pixels as floats from 0 to 1: integers have no gradient."""
    train, test, shape, largest = load(config.data)
    train, test = (b._replace(x=np.asarray(b.x, np.float32) / np.float32(largest)) for b in (train, test))
    model = fnnet.mlp((shape[0] * shape[1], *config.hidden, 10), input_shape=shape)
    optimizer = fnnet.Adam(3e-3)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    training = {"epochs": config.epochs, "batch_size": 64, "shuffle": jax.random.key(1)}
    state, _ = fnnet.train(model, optimizer, state, train, **training)
    network = Network(model, state.params)
    print(f"test accuracy {fnnet.evaluate(model, state.params, test).accuracy:.2%}")
    return network, test


def moved(x: np.ndarray, direction: np.ndarray, length: float) -> np.ndarray:
    """The images after a step of that length along the direction, clipped to pixels from 0 to 1."""
    norms = np.sqrt((direction**2).sum((1, 2), keepdims=True))
    return np.clip(x + np.float32(length) * direction / np.maximum(norms, 1e-12), 0, 1)


def describe(network: Network, x: np.ndarray, y: np.ndarray, dx: np.ndarray, step: float) -> list[str]:
    """A table: the true class's probability as it is, after a step uphill, downhill, and in a random direction."""
    rows, noise = np.arange(len(y)), np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    steps = (moved(x, dx, 0), moved(x, dx, step), moved(x, dx, -step), moved(x, noise, step))
    answers = [network.probabilities(image) for image in steps]
    lines = [f"step of length {step:g}:  probability of the true class (answer)", ""]
    lines += [f"{'digit':>5}" + "".join(f"{name:>16}" for name in ("as it is", "uphill", "downhill", "random"))]
    for row, true in zip(rows, y, strict=True):
        cells = (f"{100 * p[row, true]:.1f} % ({p[row].argmax()})" for p in answers)
        lines.append(f"{true:>5}" + "".join(f"{cell:>16}" for cell in cells))
    return lines


def draw(network: Network, x: np.ndarray, y: np.ndarray, dx: np.ndarray, step: float) -> Any:
    """A Figure with one row per digit."""
    figure = empty_figure(10.5, 0.6 + 2.0 * len(y))
    axes = figure.subplots(len(y), 5, squeeze=False, width_ratios=(1, 1, 1, 1, 1.5))
    uphill = moved(x, dx, step)
    before, after = network.probabilities(x), network.probabilities(uphill)
    for i, (digit, gradient, changed, true) in enumerate(zip(x, dx, uphill, y, strict=True)):
        first, second, third, fourth, curve = axes[i]
        _digit(first, digit, _says(before[i]), wrong=int(before[i].argmax()) != true)
        signed(second, gradient, "")
        signed(third, gradient * digit, "")
        _digit(fourth, changed, _says(after[i]), wrong=int(after[i].argmax()) != true)
        _path(curve, network, digit, gradient, int(true), step)
        first.set_ylabel(f"a {true}", fontsize=11, rotation=0, labelpad=14, va="center")
    titles = ("digit", "gradient dx", "dx * digit", f"{step:g} uphill along dx", "true class and runner-up")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11, pad=10)
    figure.suptitle("Red: more ink here raises the loss of the true class. Blue: it lowers it.", fontsize=11)
    return figure


def _says(p: np.ndarray) -> str:
    return f"says {p.argmax()}, {100 * p.max():.0f} %"


def _digit(axis: Any, image: np.ndarray, caption: str, *, wrong: bool = False) -> None:
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="#999999", linewidth=0.6)
    axis.set_xlabel(caption, fontsize=9, color="#c1121f" if wrong else "black")


def _path(axis: Any, network: Network, digit: np.ndarray, dx: np.ndarray, true: int, step: float) -> None:
    """Probability of the true class, and of the most probable other class at the dotted line, along dx."""
    lengths = np.linspace(-step, 2 * step, 61)
    images = np.concatenate([moved(digit[None], dx[None], length) for length in lengths])
    p = network.probabilities(images)
    at_step = network.probabilities(moved(digit[None], dx[None], step))[0]
    runner_up = max((c for c in range(10) if c != true), key=lambda c: at_step[c])
    for shown, color, end, offset in ((true, TRAINING, 0, (2, -11)), (runner_up, RUNNER_UP, -1, (4, -3))):
        axis.plot(lengths, p[:, shown], color=color)
        place = (lengths[end], p[end, shown])
        axis.annotate(str(shown), place, xytext=offset, textcoords="offset points", color=color, fontsize=10)
    axis.axvline(0, color="#999999", linewidth=0.6)
    axis.axvline(step, color="#999999", linewidth=0.6, linestyle=":")
    axis.set(ylim=(-0.05, 1.05), yticks=(0, 0.5, 1))
    axis.set_xlabel("step along dx", fontsize=8)
    axis.set_ylabel("probability", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def main(config: Config) -> None:
    with RunFolder("saliency", config) as run:
        network, test = train(config)
        shown = np.array([np.flatnonzero(test.y == digit)[0] for digit in range(min(config.digits, 10))])
        x, y = test.x[shown], test.y[shown]
        dx = network.saliency(x, y)
        print("\n".join(describe(network, x, y, dx, config.step)))
        name, sizes = f"saliency_{config.data}", (x[0].size, *config.hidden, 10)
        run.figure(name, draw(network, x, y, dx, config.step))
        right = 100 * float(fnnet.evaluate(network.model, network.params, test).accuracy)
        run.record(
            "saliency" if config.data == "digits" else name,
            network=f"{'-'.join(map(str, sizes))}: the gradient of the loss with respect to the pixels",
            results={"test accuracy": Result([right], "%", [0], 1)},
            captions={name: "which pixels the answer depends on, and what a step along the gradient does"},
        )
        print(f"figure: {run.path / name}.png")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
