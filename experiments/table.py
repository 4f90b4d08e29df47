"""The table of all experiments, experiments/README.md, from the files that they left in experiments/results.

    python -m experiments.table

Nothing in it is written by hand: a number changes when its experiment is run again with --copy-to experiments/results.
"""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import command_line
from experiments.results_file import read

HERE = Path(__file__).parent
HEAD = """# Experiments

Each row is a command, run from the project's folder, that trains a network from a well-known tutorial or on well-known
data. The table is made by `python -m experiments.table` from the files in [`results`](results), which the commands
write with `--copy-to experiments/results`; every command explains its settings with `--help`. Numbers from several
seeds are mean ± standard deviation.

| command | network | its author reports | here | time | measured on |
|---|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """Make the table from the result files."""

    results: Path = HERE / "results"
    """Where the experiments left their files."""
    table: Path = HERE / "README.md"
    """The file that is written."""


def render(results: Path) -> str:
    """The table as Markdown, and below it the figures; links are relative to the folder above `results`."""
    found = [record for path in sorted(results.glob("*.json")) if (record := read(path)) is not None]
    figures = [
        f"\n![{caption}]({results.name}/{file})\n\n*{caption} (`{record['command']}`)*\n"
        for record in found
        for file, caption in record["figures"].items()
    ]
    return HEAD + "".join(map(_row, found)) + "".join(figures)


def _row(record: dict[str, Any]) -> str:
    """One line of the table."""
    results = "<br>".join(f"{what}: {result}" for what, result in record["results"].items())
    versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    cells = [
        f"`{record['command']}`",
        record["network"],
        record["author"] or "not given",
        results,
        "not timed" if record["seconds"] is None else f"{record['seconds']:,.1f} s",
        f"{record['hardware']}; {versions}",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def main(config: Config) -> None:
    config.table.write_text(render(config.results), encoding="utf-8")
    print(f"written: {config.table}")


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
