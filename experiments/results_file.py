"""What an experiment found, as a file that stays: `experiments/results/<name>.json`, a row of `experiments/README.md`.

    record(
        "xor",
        command=command_of("xor", config),
        tutorial="the XOR guide: 2-4-1, sigmoid, gradient descent",
        author="predictions near 0.01, 0.98, 0.98, 0.02",
        ours={"prediction for 0 0": Result((0.0065,), decimals=4), "seeds that learn": "20 of 20"},
        seconds=4.1,
        pictures={"xor.png": "How the boundary moves"},
        folder=config.copy_to,
    )

`python -m experiments.table` makes the table from these files.
"""

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

NOT_SETTINGS = ("runs", "copy_to", "progress")  # fields of a Config that say where to write and what to show


class Result(NamedTuple):
    """Numbers of one kind: a measurement for each seed, or just one.

    values    in `unit`, so accuracies as 97.81 with unit "%"
    seeds     which seeds they belong to, in the same order; () where there was no chance in it
    decimals  how many of them mean something
    """

    values: Sequence[float]
    unit: str = ""
    seeds: Sequence[int] = ()
    decimals: int = 2

    def __str__(self) -> str:
        """`97.81 % ± 0.13 (5 seeds)`: mean, standard deviation (n - 1), number of seeds."""
        unit, count = f" {self.unit}" if self.unit else "", len(self.values)
        mean = f"{statistics.fmean(self.values):.{self.decimals}f}{unit}"
        if count == 1:
            return f"{mean} (1 seed)" if len(self.seeds) else mean
        return f"{mean} ± {statistics.stdev(self.values):.{self.decimals}f} ({count} seeds)"


def record(
    name: str,
    *,
    command: str,
    tutorial: str,
    author: str,
    ours: Mapping[str, Result | str],
    seconds: float,
    folder: Path,
    pictures: Mapping[str, str] | None = None,
) -> Path:
    """Write `<name>.json` into folder, with hardware and versions of this run, and return its path.

    command   what a reader types to get the same numbers; `command_of` makes it from a Config
    tutorial  which network of whom this is, in a few words
    author    what its author shows; "" where there is no figure
    ours      what was measured: numbers as a Result, or words
    seconds   the whole run took
    pictures  file name in the same folder -> caption

    Raises ValueError for a Result without values or with a seed too many or too few.
    """
    for what, result in ours.items():
        if isinstance(result, Result) and (len(result.values) == 0 or len(result.seeds) not in (0, len(result.values))):
            raise ValueError(f"record: expected a value for each seed of {what!r}, got {result!r}")
    content = {
        "experiment": name,
        "command": command,
        "tutorial": tutorial,
        "author": author,
        "ours": {what: _plain(result) for what, result in ours.items()},
        "seconds": round(float(seconds), 1),
        "pictures": dict(pictures or {}),
        "hardware": hardware(),
        "versions": {p: version(p) for p in ("fnnet", "jax", "numpy")} | {"python": platform.python_version()},
    }
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any] | None:
    """What `record` wrote, its Results as such; None for a JSON file of another kind (a benchmark's)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "experiment" not in content:
        return None
    return content | {"ours": {what: r if isinstance(r, str) else Result(**r) for what, r in content["ours"].items()}}


def command_of(module: str, config: Any) -> str:
    """`python -m experiments.xor --seeds 20`: the settings that are not the defaults, as a reader types them."""
    words = ["python -m", f"experiments.{module}"]
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), field.name.replace("_", "-")
        if field.name in NOT_SETTINGS or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return " ".join(words)


def hardware() -> str:
    """`cpu, x86_64, 2 cores`, or the accelerator's own name."""
    device = jax.devices()[0]
    kind = "cpu" if device.platform == "cpu" else device.device_kind
    return f"{kind}, {platform.machine()}, {os.cpu_count()} cores"


def _plain(result: Result | str) -> Any:
    """As JSON takes it: NumPy's numbers as Python's."""
    if isinstance(result, str):
        return result
    values, seeds = [float(v) for v in result.values], [int(s) for s in result.seeds]
    return {"values": values, "unit": result.unit, "seeds": seeds, "decimals": result.decimals}
