"""Everything that is measured about speed, and the report; about three quarters of an hour on two idle cores.

    python -m experiments.benchmarks                       # all axes, then the report
    python -m experiments.benchmarks --axes epochs         # one axis, then the report
    python -m experiments.benchmarks --axes                # only the report, from the measurements there are

Every axis also runs by itself, with its own settings: `python -m experiments.benchmarks.epochs --help`. There is one
JSON file per axis, in experiments/results/benchmarks; the report is experiments/results/benchmarks.md.
"""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

from experiments import command_line
from experiments.benchmarks import report, results

Axis = Literal[
    "epochs", "closest", "compiling", "cold_start", "growth", "prediction", "serving", "page", "steps", "convolutions",
    "sequences", "tricks",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure, then write the report."""

    axes: tuple[Axis, ...] = get_args(Axis)
    """Which axes, each in a process of its own."""
    results: Path = results.FOLDER
    """Folder of the measurements; the report is written beside it."""


def main(config: Config) -> None:
    for axis in config.axes:
        print(f"--- {axis}", flush=True)
        command = [sys.executable, "-m", f"experiments.benchmarks.{axis}", "--results", str(config.results)]
        subprocess.run(command, check=True)
    print(report.write(config.results))


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
