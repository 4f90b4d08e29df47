"""How many of the digits in tests/own_digits a network trained on MNIST reads.

Fifty digits and five rows of digits, with many pens, papers and lights, that are not from MNIST: they were drawn
before the code that prepares them was written, and none was removed. Trains the network of
`python -m experiments.mnist` once for each seed, reads every image as `experiments.predict` does, and prints how many
are right and which are not. What was changed after a first look at them: tests/own_digits/README.md.
"""

import csv
import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fnnet
from experiments import command_line, mnist
from experiments.classification import accuracies, check_settings, train_seeds
from experiments.command_line import KeptSettings
from experiments.predict import Network, Reading, draw_page, draw_seen
from experiments.results_file import Result
from experiments.run_folder import RunFolder
from fnnet.datasets.handwriting import FoundDigits, find_digits
from fnnet.plots.theme import empty_figure


@dataclasses.dataclass(frozen=True)
class Config(KeptSettings):
    """Which network reads which images."""

    network: mnist.Config = dataclasses.field(default_factory=lambda: mnist.Config(seeds=5))
    """The network and its training, as experiments.mnist has them; its data stay MNIST, its runs and its search are not
    used."""
    folder: Path = Path("tests/own_digits")
    """Where the images are, with labels.csv: the columns file and digits, the digits from left to right."""


class Scan(NamedTuple):
    """One file: its true digits, and what was found in it; or why nothing was."""

    file: str
    digits: str
    found: FoundDigits | None
    refused: str = ""


def scans(folder: Path) -> list[Scan]:
    """Every file that labels.csv names, searched for digits."""
    with (folder / "labels.csv").open(newline="") as file:
        return [_look(folder, row["file"], row["digits"]) for row in csv.DictReader(file)]


def _look(folder: Path, file: str, digits: str) -> Scan:
    try:
        return Scan(file, digits, find_digits(folder / file, several=len(digits) > 1))
    except fnnet.DataError as error:
        return Scan(file, digits, None, error.fault)


def readings(network: Network, seen: list[Scan]) -> list[list[Reading]]:
    """For each image its digits from left to right; none where it was refused."""
    return [[] if p.found is None else network.answers(p.file, p.found) for p in seen]


def answers(network: Network, seen: list[Scan]) -> list[str]:
    """What the network reads in each image: `7`, `1984`; nothing where it was refused."""
    return ["".join(str(r.answer) for r in row) for row in readings(network, seen)]


def report(seen: list[Scan], read: list[list[str]]) -> dict[str, Any]:
    """The rates over seeds, single digits and rows apart, and every image that some seed got wrong."""
    wrong = {}
    for index, scan in enumerate(seen):
        given = [row[index] for row in read]
        if any(answer != scan.digits for answer in given):
            wrong[scan.file] = {"digits": scan.digits, "answers": given, "refused": scan.refused}
    return {"single": _rates(seen, read, True), "rows": _rates(seen, read, False), "wrong": wrong}


def _rates(seen: list[Scan], read: list[list[str]], single: bool) -> dict[str, Any]:
    chosen = [i for i, scan in enumerate(seen) if (len(scan.digits) == 1) == single]
    right = [sum(row[i] == seen[i].digits for i in chosen) for row in read]
    accuracy = float(np.mean(right)) / len(chosen) if chosen else None
    return {"images": len(chosen), "right": right, "mean_accuracy": accuracy}


def draw(seen: list[Scan], rows: list[list[Reading]]) -> Any:
    """A Figure: each single digit beside the network's input and answer; mistakes in red."""
    shown = [(p, row[0]) for p, row in zip(seen, rows, strict=True) if len(p.digits) == 1 and row]
    height = -(-len(shown) // 5)
    figure = empty_figure(11, 1.25 * height)
    axes = figure.subplots(height, 10, squeeze=False, width_ratios=(1.3, 1) * 5)
    for axis in axes.flat:
        axis.set_axis_off()
    for (p, reading), (page, image) in zip(shown, axes.reshape(-1, 2), strict=False):
        draw_page(page, reading)
        page.set_title(p.file, fontsize=8)
        draw_seen(image, reading, int(p.digits))
    return figure


def main(config: Config) -> None:
    settings = dataclasses.replace(config.network, data="mnist", search_rates=False)
    check_settings(settings)
    folder, task, seen = RunFolder("own_digits", config), mnist.load(settings), scans(config.folder)
    model, optimizer = mnist.build(settings, len(task.train.y))
    with folder as run:
        trained = train_seeds(model, optimizer, task, settings, run, "mnist")
        networks = [Network(model, each.state.params) for each in trained]
        result = report(seen, [answers(network, seen) for network in networks])
        result |= {"mnist_test_accuracy": str(accuracies(trained, task.test)), "hidden": settings.hidden}
        result |= {package: version(package) for package in ("jax", "numpy", "pillow")}
        run.write("own_digits_report.json", json.dumps(result, indent=2) + "\n")
        run.figure("own_digits", draw(seen, readings(networks[0], seen)), dpi=75)
        print(describe(result))
        run.record(
            "own_digits",
            network="the network of `experiments.mnist`, on 55 images of digits that are not from MNIST",
            results={
                "single digits": _shares(result["single"]),
                "rows of digits": _shares(result["rows"]),
                "MNIST's test images": accuracies(trained, task.test),
            },
            captions={"own_digits": "digits that are not from MNIST, what the network gets, and its answer"},
        )
        run.say_end()


def _shares(rates: dict[str, Any]) -> Result | str:
    """What was read correctly, in percent, for every seed."""
    if not rates["images"]:
        return "none"
    return Result([100 * right / rates["images"] for right in rates["right"]], "%", range(len(rates["right"])), 0)


def describe(result: dict[str, Any]) -> str:
    """The rates in two lines, and one line per image that some network got wrong."""
    lines = []
    for name in ("single", "rows"):
        rates = result[name]
        if rates["images"]:
            each = ", ".join(map(str, rates["right"]))
            lines.append(f"{name}: {100 * rates['mean_accuracy']:.1f} % of {rates['images']} right (by seed: {each})")
    for file, row in result["wrong"].items():
        lines.append(f"  {file}: {row['digits']} read as {' '.join(a or '-' for a in row['answers'])} {row['refused']}")
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
