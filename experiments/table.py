"""The table of all experiments, below the course's first page, from the files that they left in experiments/results.

    python -m experiments.table

Nothing in the table is written by hand: a number changes when its experiment is run again with
--copy-to experiments/results. What stands above MARK in experiments/README.md stays as it is.
"""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import command_line
from experiments.results_file import read

HERE = Path(__file__).parent
MARK = "<!-- python -m experiments.table writes what follows -->\n"
HEAD = """
## What was measured

Each row is a command, run from the project's folder. The commands write [`results`](results) with
`--copy-to experiments/results`, and `python -m experiments.table` makes the table of them; every command explains its
settings with `--help`. Numbers from several seeds are mean ± standard deviation; differences below that are ties.
Learning rates and other settings were chosen on validation rows; a search that is a command of its own has a row of its
own. "Test accuracy" means that each network was measured on the test rows once, after everything was chosen.

| lesson | command | network | its author reports | here | time | measured on |
|---|---|---|---|---|---|---|
"""
ORDER = {
    "neuron": "01",
    "worked_example": "02",
    "xor": "03",
    "digits": "04",
    "mnist": "04",
    "activations_search": "04",
    "activations": "04",
    "schedules_mnist": "05",
    "schedules_fashion_mnist": "05",
    "five_optimizers_mnist_rates": "05",
    "five_optimizers_mnist": "05",
    "five_optimizers_mnist_search": "05",
    "five_optimizers_mnist_best": "05",
    "width_depth": "06",
    "kaggle_digits": "07",
    "bugs": "08",
    "five_optimizers_fashion_mnist_rates": "09",
    "five_optimizers_fashion_mnist": "09",
    "five_optimizers_fashion_mnist_search": "09",
    "five_optimizers_fashion_mnist_best": "09",
    "overfitting": "09",
    "toys": "10",
    "tabular_data": "11",
    "own_digits": "12",
    "saliency": "12",
    "convolutions_mnist": "14",
    "names": "15",
    "shakespeare": "15",
    "shakespeare_pytorch": "15",
}
"""Experiment -> its lesson, in the order of the course; what is not here stands below it."""
MOST = 12
"""Numbers that a row shows; more are folded away."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Make the table from the result files."""

    results: Path = HERE / "results"
    """Where the experiments left their files."""
    table: Path = HERE / "README.md"
    """The file that is written."""


def in_order(results: Path) -> list[Path]:
    """The result files of experiments, in the order of the course."""
    found = {path.stem: path for path in sorted(results.glob("*.json")) if read(path) is not None}
    return [found[name] for name in ORDER if name in found] + [found[name] for name in found if name not in ORDER]


def render(results: Path, first_page: str = MARK) -> str:
    """The first page up to MARK, then the table and the figures as Markdown; links are relative to its folder."""
    above, mark, _ = first_page.partition(MARK)
    if not mark:
        raise ValueError(f"render: expected a first page with the line {MARK!r}")
    found = [record for path in in_order(results) if (record := read(path)) is not None]
    figures = [
        f"\n![{caption}]({results.name}/{file})\n\n*{caption} (`{record['command']}`)*\n"
        for record in found
        for file, caption in record["figures"].items()
    ]
    return above + mark + HEAD + "".join(map(_row, found)) + "".join(figures)


def _row(record: dict[str, Any]) -> str:
    """One line of the table."""
    results = "<br>".join(f"{what}: {result}" for what, result in record["results"].items())
    if (count := len(record["results"])) > MOST:
        results = f"<details><summary>{count} numbers</summary>{results}</details>"
    versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    lesson = ORDER.get(record["experiment"], "")
    cells = [
        lesson,
        f"`{record['command']}`",
        record["network"],
        record["author"] or "not given",
        results,
        "not timed" if record["seconds"] is None else f"{record['seconds']:,.1f} s",
        f"{record['hardware']}; {versions}",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def main(config: Config) -> None:
    config.table.write_text(render(config.results, config.table.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written: {config.table}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
