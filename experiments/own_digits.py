"""How many of the digits in tests/own_digits a network that learnt MNIST reads.

Fifty digits and five rows of digits, with many pens, papers and lights, that are not of MNIST at all: they were
drawn before the code that prepares them was written, and none was removed. Trains the network of
`python -m experiments.mnist` once for each seed, reads every picture as `experiments.predict` does, and says how many
are right and which are not. What was changed after a first look at them: tests/own_digits/README.md.
"""

import csv
import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

import fnnet
from experiments import mnist
from experiments.classification import Training, summary, train_seeds
from experiments.predict import Network, Reading, draw_page, draw_seen
from experiments.run_folder import RunFolder
from fnnet.datasets.handwriting import FoundDigits, find_digits
from fnnet.plots import figure


@dataclasses.dataclass(frozen=True)
class Config:
    """Which network reads which pictures."""

    network: mnist.Config = dataclasses.field(default_factory=lambda: mnist.Config(seeds=5))
    """The network and its training, as experiments.mnist has them; its data stay MNIST."""
    folder: Path = Path("tests/own_digits")
    """Where the pictures are, with labels.csv: the columns file and digits, the digits from left to right."""
    copy_to: Path | None = None
    """A folder that gets own_digits.json and own_digits.png, such as experiments/results."""


class Picture(NamedTuple):
    """One file: what is written there, and what was found; or why nothing was."""

    file: str
    digits: str
    found: FoundDigits | None
    refused: str = ""


def pictures(folder: Path) -> list[Picture]:
    """Every file that labels.csv names, looked at."""
    with (folder / "labels.csv").open(newline="") as file:
        return [_look(folder, row["file"], row["digits"]) for row in csv.DictReader(file)]


def _look(folder: Path, file: str, digits: str) -> Picture:
    try:
        return Picture(file, digits, find_digits(folder / file, several=len(digits) > 1))
    except fnnet.DataError as error:
        return Picture(file, digits, None, error.fault)


def readings(network: Network, seen: list[Picture]) -> list[list[Reading]]:
    """For each picture its digits from left to right; none where it was refused."""
    return [[] if p.found is None else network.answers(p.file, p.found) for p in seen]


def answers(network: Network, seen: list[Picture]) -> list[str]:
    """What the network reads in each picture: `7`, `1984`; nothing where it was refused."""
    return ["".join(str(r.answer) for r in row) for row in readings(network, seen)]


def report(seen: list[Picture], read: list[list[str]]) -> dict[str, Any]:
    """The rates over seeds, single digits and rows apart, and every picture that some seed got wrong."""
    wrong = {}
    for index, picture in enumerate(seen):
        given = [row[index] for row in read]
        if any(answer != picture.digits for answer in given):
            wrong[picture.file] = {"digits": picture.digits, "answers": given, "refused": picture.refused}
    return {"single": _rates(seen, read, True), "rows": _rates(seen, read, False), "wrong": wrong}


def _rates(seen: list[Picture], read: list[list[str]], single: bool) -> dict[str, Any]:
    chosen = [i for i, picture in enumerate(seen) if (len(picture.digits) == 1) == single]
    right = [sum(row[i] == seen[i].digits for i in chosen) for row in read]
    share = float(np.mean(right)) / len(chosen) if chosen else None
    return {"pictures": len(chosen), "right": right, "mean_share": share}


def draw(seen: list[Picture], rows: list[list[Reading]]) -> Any:
    """A Figure: each single digit beside what the network sees and says; mistakes in red."""
    shown = [(p, row[0]) for p, row in zip(seen, rows, strict=True) if len(p.digits) == 1 and row]
    height = -(-len(shown) // 5)
    picture, _ = figure(11, 1.25 * height)
    picture.clear()
    axes = picture.subplots(height, 10, squeeze=False, width_ratios=(1.3, 1) * 5)
    for axis in axes.flat:
        axis.set_axis_off()
    for (p, reading), (page, image) in zip(shown, axes.reshape(-1, 2), strict=False):
        draw_page(page, reading)
        draw_seen(image, reading, int(p.digits))
    return picture


def main(config: Config) -> None:
    settings = dataclasses.replace(config.network, data="mnist")
    mnist.check_settings(settings)
    try:
        task = mnist.load(settings)
    except fnnet.DataError as error:
        raise SystemExit(str(error)) from None
    seen = pictures(config.folder)
    model, optimizer = mnist.build(settings, len(task.train.y))
    training = Training(settings.epochs, settings.batch_size, settings.progress)
    with RunFolder("own_digits", config, settings.runs) as run:
        trained = train_seeds(model, optimizer, task, training, settings.seeds, run, "mnist")
        networks = [Network(model, each.state.params) for each in trained]
        result = report(seen, [answers(network, seen) for network in networks])
        result |= {"mnist_test_accuracy": summary(trained, task.test), "hidden": settings.hidden}
        result |= {package: version(package) for package in ("jax", "numpy", "pillow")}
        picture = draw(seen, readings(networks[0], seen))
        for folder in (run.path, config.copy_to):
            if folder is not None:
                (folder / "own_digits.json").write_text(json.dumps(result, indent=2) + "\n")
                picture.savefig(folder / "own_digits.png", dpi=75)
        print(describe(result))
        print(f"figures and picture: {run.path}")


def describe(result: dict[str, Any]) -> str:
    """The rates in two lines, and a line for each picture that some network got wrong."""
    lines = []
    for name in ("single", "rows"):
        rates = result[name]
        if rates["pictures"]:
            each = ", ".join(map(str, rates["right"]))
            lines.append(f"{name}: {100 * rates['mean_share']:.1f} % of {rates['pictures']} right (by seed: {each})")
    for file, row in result["wrong"].items():
        lines.append(f"  {file}: {row['digits']} read as {' '.join(a or '-' for a in row['answers'])} {row['refused']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
