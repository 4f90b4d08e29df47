"""The table of all experiments, experiments/README.md, from the files that they left in experiments/results.

    python -m experiments.table

Nothing in it is written by hand: a figure changes when its experiment is run again with --copy-to experiments/results.
"""

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from experiments.results_file import read

HERE = Path(__file__).parent
HEAD = """# Experiments

Each row is a command, run from the project's folder, that trains a network people learn with. The table is made by
`python -m experiments.table` from the files in [`results`](results), which the commands write with
`--copy-to experiments/results`; every command explains its settings with `--help`. Figures of several seeds are
mean ± standard deviation.

| command | network | its author shows | here | time | measured on |
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
    """The table as Markdown, and under it the pictures; links are relative to the folder above `results`."""
    found = [record for path in sorted(results.glob("*.json")) if (record := read(path)) is not None]
    pictures = [
        f"\n![{caption}]({results.name}/{file})\n\n*{caption} (`{record['command']}`)*\n"
        for record in found
        for file, caption in record["pictures"].items()
    ]
    return HEAD + "".join(map(_row, found)) + "".join(pictures)


def _row(record: dict[str, Any]) -> str:
    """One line of the table."""
    ours = "<br>".join(f"{what}: {result}" for what, result in record["ours"].items())
    versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    cells = [
        f"`{record['command']}`",
        record["tutorial"],
        record["author"] or "no figure",
        ours,
        f"{record['seconds']:,.1f} s",
        f"{record['hardware']}; {versions}",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def main(config: Config) -> None:
    config.table.write_text(render(config.results), encoding="utf-8")
    print(f"written: {config.table}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
