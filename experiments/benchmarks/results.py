"""Measurements on disk: one JSON file per axis, filled piece by piece, each with the machine it was measured on."""

import json
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.timing import machine

FOLDER = Path("experiments/results/benchmarks")


def add(folder: Path, axis: str, key: str, measured: dict[str, Any]) -> None:
    """Put the measurements under key into `axis.json`, in place of older ones."""
    known = read(folder, axis)
    known[key] = measured | {"machine": machine(), "day": time.strftime("%Y-%m-%d")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{axis}.json").write_text(json.dumps(known, indent=1) + "\n")


def read(folder: Path, axis: str) -> dict[str, Any]:
    """All measurements of an axis; {} before the first."""
    path = folder / f"{axis}.json"
    return json.loads(path.read_text()) if path.exists() else {}
