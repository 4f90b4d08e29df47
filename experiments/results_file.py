"""What an experiment found, kept in `experiments/results/<name>.json`, which is one row of `experiments/README.md`.

Scripts write it with `RunFolder.record`; `python -m experiments.table` makes the table from these files.
"""

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.processor import processor


class Result(NamedTuple):
    """Numbers of one kind: one measurement per seed or fold, or a single one.

    values    in `unit`, so accuracies as 97.81 with unit "%"
    seeds     which seeds they belong to, in the same order; () where nothing was random
    decimals  how many of them are significant
    per       what there is one value of: a seed or a fold
    """

    values: Sequence[float]
    unit: str = ""
    seeds: Sequence[int] = ()
    decimals: int = 2
    per: str = "seed"

    def __str__(self) -> str:
        """`97.81 % ± 0.13 (5 seeds)`: mean, standard deviation (n - 1), number of seeds; NaN where one has diverged."""
        unit, count = f" {self.unit}" if self.unit else "", len(self.values)
        if diverged := sum(map(math.isnan, self.values)):
            return f"NaN ({diverged} of {count} {self.per}{'s' * (count > 1)} diverged)"
        mean = f"{statistics.fmean(self.values):.{self.decimals}f}{unit}"
        if count == 1:
            return f"{mean} (1 seed)" if len(self.seeds) else mean
        return f"{mean} ± {statistics.stdev(self.values):.{self.decimals}f} ({count} {self.per}s)"


def record(
    name: str,
    *,
    command: str,
    network: str,
    author: str,
    results: Mapping[str, Result | str],
    seconds: float | None,
    folder: Path,
    figures: Mapping[str, str] | None = None,
) -> Path:
    """Write `<name>.json` into folder, with hardware and versions of this run, and return its path.

    command   what a reader types to get the same numbers
    network   which network, and whose, in a few words
    author    the number that its author reports; "" where there is none
    results   what was measured: numbers as a Result, or text
    seconds   of the whole run; None: not measured now, and those of the same command's last record stay
    figures   file name in the same folder -> caption

    Raises ValueError for a Result without values, or with more or fewer seeds than values.
    """
    for what, result in results.items():
        if isinstance(result, Result) and (len(result.values) == 0 or len(result.seeds) not in (0, len(result.values))):
            raise ValueError(f"record: expected one value per seed of {what!r}, got {result!r}")
    path = folder / f"{name}.json"
    content = {
        "experiment": name,
        "command": command,
        "network": network,
        "author": author,
        "results": {what: _plain(result) for what, result in results.items()},
        "seconds": _seconds_before(path, command) if seconds is None else round(float(seconds), 1),
        "figures": dict(figures or {}),
        "hardware": hardware(),
        "versions": {p: version(p) for p in ("fnnet", "jax", "numpy")} | {"python": platform.python_version()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any] | None:
    """What `record` wrote, its Results as such; None for a JSON file of another kind (a benchmark's)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "experiment" not in content:
        return None
    results = {what: r if isinstance(r, str) else _result(**r) for what, r in content["results"].items()}
    return content | {"results": results}


def hardware() -> str:
    """`AMD EPYC with AVX2, 2 cores`, with the accelerator's own name before it where there is one."""
    device = jax.devices()[0]
    accelerator = "" if device.platform == "cpu" else f"{device.device_kind}, "
    return f"{accelerator}{processor()}, {os.cpu_count()} cores"


def _seconds_before(path: Path, command: str) -> float | None:
    """What the file says about the same command, if it does."""
    before = read(path) if path.exists() else None
    return before["seconds"] if before is not None and before["command"] == command else None


def _result(values: list[float | None], **others: Any) -> Result:
    return Result([math.nan if v is None else v for v in values], **others)


def _plain(result: Result | str) -> Any:
    """As JSON takes it: NumPy's numbers as Python's, and null for NaN, which it does not have."""
    if isinstance(result, str):
        return result
    values = [None if math.isnan(v) else float(v) for v in result.values]
    seeds = [int(s) for s in result.seeds]
    return {"values": values, "unit": result.unit, "seeds": seeds, "decimals": result.decimals, "per": result.per}
