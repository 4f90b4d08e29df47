"""The table of all experiments, below the course's first page, from the files that they left in experiments/results.

    python -m experiments.table

Nothing in the table is written by hand: a number changes when its experiment is run again with
--copy-to experiments/results. What stands above MARK in experiments/README.md stays as it is.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

from experiments import command_line
from experiments.results_file import read

HERE = Path(__file__).parent
MARK = "<!-- python -m experiments.table writes what follows -->\n"
HEAD = """
## What was measured

Each row is a command, run from the project's folder. The commands write [`results`](results) with
`--copy-to experiments/results`, and `python -m experiments.table` makes the table of them; every command explains its
settings with `--help`. Numbers from several seeds are mean ± standard deviation; differences below that are ties.
"Settings" says where they come from: from a source, from a search on validation rows (in a row of its own, or within
the command), or from us, without a search. A search keeps the default where it is a tie with the best. "Tests" counts
how often the command opened its test rows: once for each network, after everything was chosen.

| lesson | command | network | its author reports | here | tests | settings | time | measured on |
|---|---|---|---|---|---|---|---|---|
"""


class Entry(NamedTuple):
    """What an experiment's own file does not say.

    lesson    the page of the course
    settings  where they come from
    tested    what the names of those results contain that were measured on test rows
    """

    lesson: str
    settings: str
    tested: str = "test"


ABOVE, WITHIN, COMPARED, OURS = "see the row above", "chosen by the command itself", "compared here", "ours"
ORDER = {
    "neuron": Entry("01", OURS),
    "worked_example": Entry("02", OURS),
    "xor_search": Entry("03", COMPARED),
    "xor": Entry("03", f"the guide's; of the two others: {ABOVE}"),
    "digits_rates": Entry("04", COMPARED),
    "digits": Entry("04", f"rate, dropout, smoothed labels: {ABOVE}; sizes, epochs: {OURS}"),
    "mnist_rates": Entry("04", COMPARED),
    "mnist": Entry("04", f"sizes: the article's; rate: {ABOVE}; epochs: {OURS}"),
    "activations_search": Entry("04", COMPARED),
    "activations": Entry("04", f"sizes: the article's; rates: {ABOVE}; epochs: {OURS}"),
    "schedules_mnist": Entry("05", f"sizes: the article's; rates: {WITHIN}; epochs: {OURS}"),
    "schedules_fashion_mnist": Entry("05", f"sizes: the article's; rates: {WITHIN}; epochs: {OURS}"),
    "five_optimizers_mnist_rates": Entry("05", COMPARED),
    "five_optimizers_mnist": Entry("05", f"sizes: the article's; rates: {ABOVE}; epochs: {OURS}"),
    "five_optimizers_mnist_search": Entry("05", COMPARED),
    "five_optimizers_mnist_best": Entry("05", f"{ABOVE}; epochs: {OURS}"),
    "width_depth": Entry("06", f"rates: {WITHIN}; epochs: {OURS}"),
    "kaggle_digits": Entry("07", f"the notebook's, dev rows too; rates: next row; iterations: {OURS}", "submission"),
    "bugs": Entry("08", f"sizes: the notebook's; rates: {WITHIN}; iterations: {OURS}", "dev accuracy"),
    "five_optimizers_fashion_mnist_rates": Entry("09", COMPARED),
    "five_optimizers_fashion_mnist": Entry("09", f"sizes: the article's; rates: {ABOVE}; epochs: {OURS}"),
    "five_optimizers_fashion_mnist_search": Entry("09", COMPARED),
    "five_optimizers_fashion_mnist_best": Entry("09", f"{ABOVE}; epochs: {OURS}"),
    "overfitting": Entry("09", f"remedies: {WITHIN}; rate: Adam's usual 0.001; sizes, epochs: {OURS}"),
    "toys": Entry("10", OURS, "fresh points"),
    "tabular_data": Entry("11", f"size, epochs: {WITHIN}, inside of each fold; rate 0.003: {OURS}", r"accuracy|R\^2"),
    "own_digits": Entry("12", "those of `experiments.mnist`"),
    "saliency": Entry("12", OURS),
    "convolutions_mnist_rates": Entry("14", COMPARED),
    "convolutions_mnist": Entry("14", f"rate: {ABOVE}; sizes, epochs: {OURS}"),
    "names_rates": Entry("15", COMPARED),
    "names": Entry("15", f"makemore's; rates: {ABOVE}; rate, start and dropout of the transformer, epochs: {OURS}"),
    "shakespeare": Entry("15", "nanoGPT's"),
    "shakespeare_pytorch": Entry("15", "nanoGPT's"),
}
"""Experiments in the order of the course; what is not here stands below it."""
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
    """The result files of experiments, in the order of the course; records have a page of their own."""
    paths = [path for path in sorted(results.glob("*.json")) if not path.stem.startswith("records_")]
    found = {path.stem: path for path in paths if read(path) is not None}
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
    entry = ORDER.get(record["experiment"], Entry("", "see `--help`"))
    cells = [
        entry.lesson,
        f"`{record['command']}`",
        record["network"],
        record["author"] or "not given",
        results,
        f"{opened(record['results'], entry.tested) or 'none'}",
        entry.settings,
        "not timed" if record["seconds"] is None else f"{record['seconds']:,.1f} s",
        f"{record['hardware']}; {versions}",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def opened(results: dict[str, Any], tested: str) -> int:
    """How many networks were measured on test rows: the values of the results with such names."""
    return sum(len(r.values) for what, r in results.items() if re.search(tested, what) and not isinstance(r, str))


def main(config: Config) -> None:
    config.table.write_text(render(config.results, config.table.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written: {config.table}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
