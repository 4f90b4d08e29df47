"""What a run leaves behind: `runs/<name>/<time>/` with its configuration, its metrics and its pictures."""

import dataclasses
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import fnnet

CHECKPOINT = "checkpoint.safetensors"
"""What a run's folder calls the network that it keeps."""


class RunFolder:
    """A new folder for one run; a context manager that closes its metrics file.

    with RunFolder("digits", config) as run:
        run.log(epoch=1, loss=0.3)              # one line of metrics.jsonl, on disk at once
        run.picture("learning_curve", figure)   # learning_curve.png
    """

    def __init__(self, name: str, config: Any, root: Path = Path("runs")):
        self.path = _new_folder(root / name)
        versions = {package: version(package) for package in ("fnnet", "jax", "numpy")}
        settings = {"config": dataclasses.asdict(config), "versions": versions}
        (self.path / "config.json").write_text(json.dumps(settings, indent=2, default=str) + "\n")
        self._metrics: IO[str] = (self.path / "metrics.jsonl").open("w")

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self._metrics.close()

    def log(self, **values: Any) -> None:
        """One record of numbers as a line of JSON, flushed."""
        self._metrics.write(json.dumps(values, default=float) + "\n")
        self._metrics.flush()

    def log_epoch(self, data: str, seed: int, epoch: int, history: fnnet.History) -> None:
        """The last epoch of a history as a record."""
        record = {"data": data, "seed": seed, "epoch": epoch}
        for name, metrics in (("", history.training), ("validation_", history.validation)):
            if metrics is not None:
                record[f"{name}loss"] = metrics.loss[-1]
                record[f"{name}accuracy"] = None if metrics.accuracy is None else metrics.accuracy[-1]
        self.log(**record)

    def picture(self, name: str, figure: Any) -> None:
        """The figure as `<name>.png`."""
        figure.savefig(self.path / f"{name}.png")


def _new_folder(parent: Path) -> Path:
    """parent / the time, or with a number behind it where two runs start in one second."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1, 1000):
        path = parent / (stamp if attempt == 1 else f"{stamp}_{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{parent}: a thousand runs started in the second {stamp}")
