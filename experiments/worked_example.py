"""Back-propagation with every number shown: on paper for XOR, as a figure for one handwritten digit.

First a network of two inputs, two sigmoid neurons and one output: the forward pass, the chain rule back and one
update, small enough to follow with pencil and paper. Then the same quantities for an image: the input, every
layer's output, the gradient with respect to each of them, and the gradient of the weights.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.inspection import Trace, trace
from fnnet.plots import TRAINING
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Params

START = ([[0.3, -0.5], [0.8, 0.4]], [0.1, -0.2], [[0.7], [-0.6]], [0.05])
"""Weights and biases with few digits, so that the sums are easy to check."""


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """What is shown; without options, both examples on data that comes with the package."""

    show: Literal["both", "xor", "digit"] = "both"
    """The page of numbers, the figure, or both."""
    xor_rows: tuple[int, ...] = (2,)
    """Which rows of the XOR table make the batch: 0 is (0, 0), 1 is (0, 1), 2 is (1, 0), 3 is (1, 1). With
    several, gradients are sums over rows; `--xor-rows 0 1 2 3` is the whole table."""
    learning_rate: float = 0.5
    """Learning rate of the one update of the XOR network."""
    data: Literal["digits", "mnist"] = "digits"
    """Where the digit comes from: 8 x 8 pixels that are in the package, or MNIST's 28 x 28, which are looked for
    in FNNET_DATA and the usual caches and downloaded otherwise."""
    digit: int | None = None
    """Row of the test set; None takes the first one that the network is unsure about, whose gradients are largest."""
    hidden: int = 16
    """Neurons in the hidden layer of the network that reads digits."""
    epochs: int = 3
    """How long that network is trained before its pass is drawn; 0 shows an untrained one."""


def xor_network() -> tuple[fnnet.Model, Params]:
    """The 2-2-1 network and the parameters it starts from."""
    model = fnnet.mlp((2, 2, 1), activation=fnnet.Sigmoid(), loss=fnnet.SigmoidBinaryCrossEntropy())
    w0, b0, w2, b2 = (jnp.asarray(p, jnp.float32) for p in START)
    return model, (fnnet.layers.DenseParams(w0, b0), (), fnnet.layers.DenseParams(w2, b2))


def xor_page(config: Config) -> str:
    """The trace of one pass, one step of gradient descent, and what it did to the loss."""
    model, params = xor_network()
    rows = np.array(config.xor_rows)
    xor = fnnet.datasets.xor()
    x, y = xor.x[rows], xor.y[rows]
    optimizer = fnnet.Sgd(config.learning_rate)
    t = trace(model, params, x, y, optimizer=optimizer)
    updates = tuple(layer.updates for layer in t.layers.values())
    new = jax.tree.map(jnp.add, params, updates)
    lines = [str(t), "", f"UPDATE: w <- w - {config.learning_rate:g} dw, which is gradient descent"]
    for n, old, moved in ((0, params[0], new[0]), (2, params[2], new[2])):
        lines += [
            f"  w{n} = {_matrix(old.w)} -> {_matrix(moved.w)}",
            f"  b{n} = {_matrix(old.b)} -> {_matrix(moved.b)}",
        ]
    before, after = t.result.value, fnnet.loss(model, new, x, y)
    return "\n".join([*lines, f"  L = {before:.4f} -> {after:.4f}"])


def _matrix(a: Any) -> str:
    """`[0.3 -0.5; 0.8 0.4]`: rows, with a semicolon between them."""
    rows = np.atleast_2d(np.asarray(a))
    return f"[{'; '.join(' '.join(f'{v:.4g}' for v in row) for row in rows)}]"


def load(data: str) -> tuple[fnnet.Batch, fnnet.Batch, tuple[int, int], float]:
    """(training digits, test digits, shape of one, largest pixel)."""
    if data == "mnist":
        return *fnnet.datasets.mnist(), (28, 28), 255.0
    train, test = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    return train, test, (8, 8), 16.0


def digit_trace(config: Config) -> Trace:
    """The pass of a briefly trained network over one test digit; its pixels are floats, so they have a gradient."""
    train, test, shape, largest = load(config.data)
    model = fnnet.mlp((shape[0] * shape[1], config.hidden, 10), input_shape=shape)
    train, test = (b._replace(x=np.asarray(b.x, np.float32) / np.float32(largest)) for b in (train, test))
    optimizer = fnnet.Adam(3e-3)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    if config.epochs:
        training = {"epochs": config.epochs, "batch_size": 32, "shuffle": jax.random.key(1)}
        state, _ = fnnet.train(model, optimizer, state, train, **training)
    row = _unsure(fnnet.predict(model, state.params, test.x), test.y) if config.digit is None else config.digit
    return trace(model, state.params, test.x[[row]], test.y[[row]])


def _unsure(probabilities: Any, classes: Any) -> int:
    """The first row whose true class has a probability between 0.3 and 0.6, or else the least likely one."""
    p = np.asarray(probabilities)[np.arange(len(classes)), classes]
    rows = np.flatnonzero((p > 0.3) & (p < 0.6))
    return int(rows[0] if len(rows) else p.argmin())


def digit_figure(t: Trace) -> Any:
    """A Figure: forward pass from left to right, cotangents below the values, then the gradients of the weights."""
    figure = empty_figure(11, 8.2)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.06)
    grid = figure.add_gridspec(3, 5, height_ratios=(1, 1, 0.95))
    first, relu, last = (t.layers[name] for name in ("1 Dense", "2 Relu", "3 Dense"))
    true, p = int(t.batch.y[0]), np.asarray(t.model.loss.predict(t.result.outputs))[0]
    forward = [figure.add_subplot(grid[0, i]) for i in range(5)]
    backward = [figure.add_subplot(grid[1, i]) for i in range(5)]

    forward[0].imshow(t.batch.x[0], cmap="gray_r", vmin=0, vmax=1)
    _bare(forward[0], f"x: the digit, a {true}")
    signed(forward[1], tiled(first.y[0]), "a1 = x w1 + b1\npre-activations")
    signed(forward[2], tiled(relu.y[0]), "h2 = max(a1, 0)\nactivations")
    _bars(forward[3], last.y[0], "a3 = h2 w3 + b3\nlogits", true)
    _bars(forward[4], p, "p = softmax(a3)\nprobabilities", true)

    signed(backward[0], t.result.dx[0], "dx = da1 w1$^T$\nred: ink here raises the loss")
    signed(backward[1], tiled(relu.dx[0]), "da1 = dh2 * (a1 > 0)\nsilent units pass nothing on")
    signed(backward[2], tiled(relu.dy[0]), "dh2 = da3 w3$^T$\ngradient of the activations")
    _bars(backward[3], t.doutputs[0], "da3 = p - t\nwhere the chain rule starts", true)
    backward[4].set_axis_off()
    text = f"loss L = -log p[{true}]\n= -log {p[true]:.3f} = {t.result.value:.3f}\n\n"
    text += "$\\leftarrow$ backward:\nread this row from\nright to left"
    backward[4].text(0.05, 0.5, text, va="center", fontsize=10, linespacing=1.5)

    tiles = mosaic(np.asarray(first.grads.w).T.reshape(-1, *t.model.input_shape))
    neurons = figure.add_subplot(grid[2, :3])
    signed(neurons, tiles, "dw1 = x$^T$ da1: one tile per hidden neuron, the digit times its da1")
    outputs = figure.add_subplot(grid[2, 3:])
    signed(outputs, np.asarray(last.grads.w).T, "dw3 = h2$^T$ da3: one row per class", ("hidden neuron", "class"))
    outputs.set_yticks(range(10))
    outputs.tick_params(length=0, labelsize=7)
    colors = "In images red is positive, blue negative; among bars blue is the true class."
    figure.suptitle(f"One pass of back-propagation. {colors}", fontsize=12)
    return figure


def signed(axis: Any, values: Any, title: str, labels: tuple[str, str] | None = None) -> None:
    """An image of signed numbers around white; below it the number of the strongest color."""
    values = np.asarray(values)
    largest = float(np.nanmax(np.abs(values))) or 1.0
    axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)
    _bare(axis, title, framed=True)
    axis.set_xlabel((f"{labels[0]}, " if labels else "") + f"colors to ±{largest:.2g}", fontsize=8)
    axis.set_ylabel(labels[1] if labels else "", fontsize=8)


def _bare(axis: Any, title: str, *, framed: bool = False) -> None:
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)
    axis.spines[:].set(visible=framed, color="#999999", linewidth=0.6)


def _bars(axis: Any, values: Any, title: str, true: int) -> None:
    """A bar for each class, with the true one in a color of its own."""
    classes = np.arange(len(values))
    axis.barh(classes, values, color=[TRAINING if c == true else "#c5cbd6" for c in classes])
    axis.axvline(0, color="#999999", linewidth=0.6)
    axis.set_yticks(classes, classes, fontsize=8)
    axis.tick_params(length=0, labelsize=8)
    axis.set_title(title, fontsize=10)
    axis.invert_yaxis()
    axis.spines[["top", "right", "left"]].set_visible(False)


def tiled(units: Any) -> np.ndarray:
    """A vector of neurons as an image that is about square, padded with NaN."""
    units = np.asarray(units, float)
    columns = int(np.ceil(np.sqrt(len(units))))
    filled = np.full(-(-len(units) // columns) * columns, np.nan)
    filled[: len(units)] = units
    return filled.reshape(-1, columns)


def mosaic(images: Any, columns: int = 8) -> np.ndarray:
    """Images (N, H, W) side by side with a gap of one pixel, NaN where there is none."""
    count, height, width = images.shape
    framed = np.full((-(-count // columns) * columns, height + 1, width + 1), np.nan)
    framed[:count, :height, :width] = images
    rows = framed.reshape(-1, columns, height + 1, width + 1)
    return rows.transpose(0, 2, 1, 3).reshape(-1, columns * (width + 1))[:-1, :-1]


def main(config: Config) -> None:
    if config.show != "digit":
        print(xor_page(config))
    if config.show == "xor":
        return
    with RunFolder("worked_example", config) as run:
        t = digit_trace(config)
        print(f"\n{t}\n")
        name = f"worked_example_{config.data}"
        run.figure(name, digit_figure(t))
        run.record(
            "worked_example",
            network="one pass through 2-2-1 (XOR) with every number, and one through a network that reads digits",
            results={"loss of the digit shown": Result([float(t.result.value)])},
            captions={name: "one forward and one backward pass, for a handwritten digit"},
        )
        print(f"figure: {run.path / name}.png")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
