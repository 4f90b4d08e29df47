"""Read digits of your own, photographed, scanned or painted, with a network trained on MNIST.

    python -m experiments.mnist
    python -m experiments.predict runs/mnist my_seven.jpg another.png

Each image is converted to MNIST's format (light on dark, 20 x 20 pixels, centered in 28 x 28), whatever the light,
color, size and place of the digit; the network gives the probability of each class. A figure shows each image beside
the network's input: look there first when the answer is wrong. The exit status is 1 if any image could not be read;
the others are still answered.
"""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

import fnnet
from experiments import command_line
from experiments.command_line import RunSettings
from experiments.run_folder import CHECKPOINT, RunFolder
from fnnet.datasets.handwriting import FoundDigits, find_digits
from fnnet.plots import TRAINING
from fnnet.plots.theme import empty_figure
from fnnet.protocols import Params

WRONG, OTHERS = "#c1121f", "#c5cbd6"
_PER_COLUMN = 8  # digits below each other in the figure


@dataclasses.dataclass(frozen=True)
class Config(RunSettings):
    """What is read, and with what."""

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """A network that fnnet.save wrote, or a folder: the last checkpoint.safetensors in it, by name."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")]
    """PNG, JPEG, WebP, GIF, BMP, TIFF or PPM. The paper should fill each image."""
    row: bool = False
    """Whether the images hold several digits side by side, which are read from left to right."""


class Reading(NamedTuple):
    """One digit: where it was found, the network's input and its answer."""

    name: str
    page: np.ndarray
    box: np.ndarray
    image: np.ndarray
    probabilities: np.ndarray

    @property
    def answer(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())


class Network(NamedTuple):
    """A model of 28 x 28 images and ten classes, and its parameters."""

    model: fnnet.Model
    params: Params

    def read(self, path: Path, *, row: bool = False) -> list[Reading]:
        """The digit of an image, or with `row` its digits from left to right. Raises `DataError`."""
        return self.answers(path.name, find_digits(path, several=row))

    def answers(self, name: str, found: FoundDigits) -> list[Reading]:
        """A Reading of each digit that was found."""
        x = found.images.reshape(-1, *self.model.input_shape)
        rows = zip(found.boxes, found.images, np.asarray(fnnet.predict(self.model, self.params, x)), strict=True)
        return [Reading(name, found.page, *each) for each in rows]


def load(path: Path) -> Network:
    """The network in a checkpoint, or in the last one under a folder. Raises SystemExit with one line that says why."""
    if path.is_dir():
        runs = sorted(path.rglob(CHECKPOINT))
        if not runs:
            raise SystemExit(f"{path}: no {CHECKPOINT} in this folder: train with python -m experiments.mnist")
        path = runs[-1]
    try:
        saved = fnnet.restore(path)
    except fnnet.CheckpointError as error:
        raise SystemExit(str(error)) from None
    _check(saved.model, saved.state.params, path)
    return Network(saved.model, saved.state.params)


def _check(model: fnnet.Model, params: Params, path: Path) -> None:
    if math.prod(model.input_shape) != 28 * 28:
        raise SystemExit(f"{path}: expected a network for (28, 28) images, this one is for {model.input_shape}")
    shape = fnnet.predict(model, params, np.zeros((1, *model.input_shape), np.uint8)).shape
    if shape != (1, 10):
        raise SystemExit(f"{path}: expected a network for the ten digits, this one's output is {shape[1:]}")


def table(readings: list[Reading]) -> str:
    """One line per digit: file, answer, ten probabilities in percent."""
    longest = max(4, *(len(reading.name) for reading in readings))
    lines = [f"{'file':<{longest}}  reads" + "".join(f"{digit:>6}" for digit in range(10)) + "   (percent)"]
    for reading in readings:
        cells = "".join(f"{100 * p:6.1f}" for p in reading.probabilities)
        lines.append(f"{reading.name:<{longest}}  {reading.answer:>5}{cells}")
    return "\n".join(lines)


def draw(readings: list[Reading]) -> Any:
    """A Figure: for each digit its page, framed where it was found, the network's input, and the probabilities."""
    columns = -(-len(readings) // _PER_COLUMN)
    rows = -(-len(readings) // columns)
    figure = empty_figure(5.2 * columns, 0.3 + 1.5 * rows)
    axes = figure.subplots(rows, 3 * columns, squeeze=False, width_ratios=(1.2, 1, 1.4) * columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, reading in enumerate(readings):
        column, row = divmod(number, rows)
        page, seen, bars = axes[row, 3 * column : 3 * column + 3]
        draw_page(page, reading)
        page.set_title(reading.name, fontsize=8)
        draw_seen(seen, reading)
        _bars(bars, reading.probabilities)
    return figure


def draw_page(axis: Any, reading: Reading) -> None:
    """The image in gray with a frame around the digit."""
    left, top, right, bottom = reading.box
    axis.imshow(reading.page, cmap="gray", vmin=0, vmax=1)
    frame = {"color": TRAINING, "linewidth": 0.8}
    axis.plot([left, right, right, left, left], [top, top, bottom, bottom, top], **frame)
    axis.set_axis_off()


def draw_seen(axis: Any, reading: Reading, truth: int | None = None) -> None:
    """The 28 x 28 pixels and the answer; in red if it is not the truth."""
    axis.imshow(reading.image, cmap="gray", vmin=0, vmax=255)
    right = truth is None or truth == reading.answer
    text = f"{reading.answer}  {100 * reading.probabilities.max():.0f} %"
    axis.set_title(text, fontsize=8, color="black" if right else WRONG)
    axis.set_axis_off()


def _bars(axis: Any, probabilities: np.ndarray) -> None:
    colors = [TRAINING if p == probabilities.max() else OTHERS for p in probabilities]
    axis.set_axis_on()
    axis.bar(np.arange(10), probabilities, color=colors)
    axis.set(ylim=(0, 1), yticks=[])
    axis.set_xticks(np.arange(10), [str(digit) for digit in range(10)], fontsize=7)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)


def main(config: Config) -> None:
    if not config.images:
        raise SystemExit("name at least one image: python -m experiments.predict CHECKPOINT IMAGE ...")
    network = load(config.checkpoint)
    readings, refused = [], []
    for path in config.images:
        try:
            readings += network.read(path, row=config.row)
        except fnnet.DataError as error:
            refused.append(f"refused: {error}")
    if readings:
        print(table(readings))
        with RunFolder("predict", config) as run:
            for r in readings:
                run.log(file=r.name, answer=r.answer, probabilities=r.probabilities.tolist(), box=r.box.tolist())
            run.figure("predictions", draw(readings))
            print(f"figure: {run.path / 'predictions.png'}")
    if refused:
        raise SystemExit("\n".join(refused))


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
