"""What a small convolutional network makes of images: MNIST's digits, or Fashion-MNIST.

Trains two blocks of convolutions with batch norm, ReLU and max-pooling, and a dense layer, by Adam. The test images
are opened once, after the training. The sizes and the number of epochs are ours; the learning rate is the best of
four, or a tie with it, in two epochs and on 10,000 training images held out:

    python -m experiments.convolutions --seeds 2 --epochs 2 --search-rates

The figures show the filters of the first convolution, what every filter sees in
one image (the maps of each block), and which pixels the answers depend on (the gradient of the logit, by the same
backward pass that trains). The data files are looked for in FNNET_DATA and the usual caches, and downloaded (11 MB) if
they are in none of them.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

import fnnet
from experiments import command_line, mnist
from experiments.classification import (
    Task,
    Trained,
    TrainingSettings,
    accuracies,
    check_settings,
    same_network,
    search_rates,
    train_seeds,
)
from experiments.command_line import KeptSettings, check_counts
from experiments.run_folder import CHECKPOINT, RunFolder
from experiments.worked_example import signed
from fnnet import plots
from fnnet.plots.theme import empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings, KeptSettings):
    """Settings of the run; the learning rate is what `--seeds 2 --epochs 2 --search-rates` found."""

    data: Literal["mnist", "fashion_mnist"] = "mnist"
    """Images to learn."""
    epochs: int = 5
    """How often every training image is seen."""
    channels: tuple[int, ...] = (16, 32)
    """Filters of each block."""
    kernel: int = 5
    """Height and width of a filter."""
    padding: Literal["valid", "same"] = "valid"
    """Zeros around the image: "same" keeps its size; "valid" has none and takes half the time."""
    hidden: tuple[int, ...] = (128,)
    """Neurons in the dense layers before the last."""
    learning_rate: float = 6e-3
    """Of Adam at the first step; it falls to 0 along half a cosine."""
    dropout: float | None = None
    """Fraction of hidden activations dropped while training; None leaves dropout out of the program."""
    smoothing: float | None = 0.1
    """Part of each label's probability that is spread evenly over all classes; None leaves labels as they are."""
    search_rates: bool = False
    """Instead of opening the test images, find the best learning rate on validation images: a sixth."""
    rates: tuple[float, ...] = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
    """The learning rates that the search tries."""


def build(config: Config, rows: int) -> tuple[fnnet.Model, fnnet.Adam]:
    """The network and its optimizer, whose schedule ends with the last step."""
    model = fnnet.cnn(
        (28, 28),
        config.channels,
        (*config.hidden, 10),
        kernel=(config.kernel, config.kernel),
        padding=config.padding,
        loss=fnnet.SoftmaxCrossEntropy(config.smoothing),
        normalization=fnnet.BatchNorm(),
        dropout=config.dropout,
        scale=1 / 255,
    )
    return model, fnnet.Adam(fnnet.CosineDecay(config.learning_rate, config.steps(rows)))


def filters(params: fnnet.Params) -> "Figure":
    """The filters of the first convolution, positive weights red and negative blue."""
    w = np.asarray(next(p.w for p in params if isinstance(p, fnnet.layers.ConvParams)))[:, :, 0]
    figure = _grid([w[:, :, i] for i in range(w.shape[2])], columns=8, are_signed=True)
    figure.suptitle("filters of the first convolution (red: positive, blue: negative)", fontsize=11)
    return figure


def maps(model: fnnet.Model, params: fnnet.Params, image: np.ndarray, label: int) -> "Figure":
    """What every filter of each block makes of one image."""
    trace = fnnet.trace(model, params, image[None], np.array([label], np.int32))
    blocks = [layer.y[0] for name, layer in trace.layers.items() if name.endswith("Relu") and layer.y.ndim == 4]
    images = [image, *(np.asarray(block[:, :, i]) for block in blocks for i in range(block.shape[2]))]
    figure = _grid(images, columns=8, are_signed=False)
    sizes = ", then ".join(f"{b.shape[2]} maps of {b.shape[0]}x{b.shape[1]}" for b in blocks)
    figure.suptitle(f"the image, then {sizes}", fontsize=11)
    return figure


def saliency(model: fnnet.Model, network: Trained, task: Task) -> "Figure":
    """The first test image of every class, and the gradient of the logit of the network's answer below it."""
    shown = np.array([np.flatnonzero(task.test.y == c)[0] for c in range(10)])
    x, answers = task.test.x[shown], network.probabilities[shown].argmax(1)
    dx = np.asarray(fnnet.saliency(model, network.state.params, x))
    figure = empty_figure(11, 2.6)
    axes = figure.subplots(2, 10)
    for i in range(10):
        axes[0, i].imshow(x[i], cmap="gray_r")
        axes[0, i].set_title(task.class_names[answers[i]], fontsize=8)
        signed(axes[1, i], dx[i], "")
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    figure.suptitle("answers, and the gradient of their logits (red: more ink here raises it)", fontsize=11)
    return figure


def _grid(images: list[np.ndarray], columns: int, are_signed: bool) -> "Figure":
    rows = -(-len(images) // columns)
    figure = empty_figure(1.1 * columns, 0.4 + 1.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, image in zip(axes, images, strict=False):
        signed(axis, image, "") if are_signed else axis.imshow(image, cmap="gray_r")
        axis.set(xticks=[], yticks=[])
    for axis in axes[len(images) :]:
        axis.set_visible(False)
    return figure


def main(config: Config) -> None:
    check_settings(config)
    check_counts(config, "kernel")
    folder = RunFolder("convolutions", config)
    data = {"data": config.data, "validation_fraction": config.validation_fraction}
    task = mnist.load(mnist.Config(search_rates=config.search_rates, **data))
    with folder as run:
        print(f"{config.data}: {task}")
        (search if config.search_rates else learn)(config, task, run)
        run.say_end()


def search(config: Config, task: Task, run: RunFolder) -> None:
    """The network at every rate; the test images are not used."""
    rates = {rate: build(dataclasses.replace(config, learning_rate=rate), len(task.train.y)) for rate in config.rates}
    run.record(
        f"convolutions_{config.data}_rates",
        network=same_network(config, task),
        results=search_rates({"Adam": rates}, {"Adam": config.learning_rate}, task, config, run),
    )


def learn(config: Config, task: Task, run: RunFolder) -> None:
    """Networks from every seed, tested, and what the first of them makes of images."""
    name, (model, optimizer) = f"convolutions_{config.data}", build(config, len(task.train.y))
    networks = train_seeds(model, optimizer, task, config, run, config.data)
    first = networks[0]
    run.figure(f"{name}_filters", filters(first.state.params))
    run.figure(f"{name}_maps", maps(model, first.state.params, task.test.x[0], int(task.test.y[0])))
    run.figure(f"{name}_saliency", saliency(model, first, task))
    run.figure("learning_curve" if config.copy_to is None else f"{name}_curve", plots.learning_curve(first.history))
    fnnet.save(run.path / CHECKPOINT, model, optimizer, first.state, history=first.history)
    result = accuracies(networks, task.test)
    print(f"test accuracy {result}")
    shape = "-".join(map(str, config.channels))
    run.record(
        name,
        network=f"{config.kernel}x{config.kernel} convolutions {shape} with batch norm, {config.hidden}, 10",
        results={"test accuracy": result},
        captions={
            f"{name}_filters": "filters of the first convolution",
            f"{name}_maps": "one image and what every filter of the two blocks sees in it",
            f"{name}_saliency": "which pixels the answers depend on",
        },
    )


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
