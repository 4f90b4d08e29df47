"""What a run writes: `runs/<name>/<time>/` with its configuration, its metrics and its figures."""

import dataclasses
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import fnnet
from experiments.command_line import INTERRUPTED, RunSettings, command_of
from experiments.results_file import Result, record
from fnnet.protocols import Optimizer

CHECKPOINT = "checkpoint.safetensors"
"""What a run's folder calls the network that it keeps."""


class RunFolder:
    """A new folder for one run, and its clock; a context manager that makes the folder and closes its metrics file.

    with RunFolder("digits", config) as run:
        run.log(epoch=1, loss=0.3)             # one line of metrics.jsonl, on disk at once
        run.figure("learning_curve", figure)   # learning_curve.png, also in config.copy_to if there is one
    """

    def __init__(self, name: str, config: RunSettings):
        self.name, self.config, self._begun = name, config, time.perf_counter()
        self.copy_to: Path | None = getattr(config, "copy_to", None)

    def __enter__(self) -> "RunFolder":
        self.path = _new_folder(self.config.runs / self.name)
        versions = {package: version(package) for package in ("fnnet", "jax", "numpy")}
        settings = {"config": dataclasses.asdict(self.config), "versions": versions}
        (self.path / "config.json").write_text(json.dumps(settings, indent=2, default=str) + "\n")
        self._metrics: IO[str] = (self.path / "metrics.jsonl").open("w")
        return self

    def __exit__(self, *error: object) -> None:
        self._metrics.close()

    @property
    def seconds(self) -> float:
        """Since this was made, before any data were read."""
        return time.perf_counter() - self._begun

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

    def figure(self, name: str, figure: Any, **options: Any) -> None:
        """The figure as `<name>.png`."""
        for folder in self._folders():
            figure.savefig(folder / f"{name}.png", **options)

    def fit(
        self, model: fnnet.Model, optimizer: Optimizer, state: fnnet.TrainState, data: fnnet.Batch, **settings: Any
    ) -> tuple[fnnet.TrainState, fnnet.History]:
        """`fnnet.fit`; Ctrl-C leaves what was trained in the folder and ends the script with exit code 130."""
        try:
            return fnnet.fit(model, optimizer, state, data, **settings)
        except fnnet.Interrupted as stop:
            path = self.path / "interrupted.safetensors"
            fnnet.save(path, model, optimizer, stop.state, history=stop.history)
            print(f"interrupted; the network as it was after the last epoch: {path}")
            raise SystemExit(INTERRUPTED) from None

    def record(
        self,
        name: str,
        *,
        network: str,
        author: str = "",
        results: Mapping[str, Result | str],
        captions: Mapping[str, str] | None = None,
    ) -> None:
        """Where the results are to be kept, `<name>.json` beside the figures; captions: figure's name -> caption."""
        if self.copy_to is None:
            return
        path = record(
            name,
            command=command_of(self.name, self.config),
            network=network,
            author=author,
            results=results,
            seconds=self.seconds if getattr(self.config, "timed", True) else None,
            folder=self.copy_to,
            figures={f"{figure}.png": caption for figure, caption in (captions or {}).items()},
        )
        print(f"kept: {path}")

    def write(self, name: str, text: str) -> None:
        """A file beside the figures."""
        for folder in self._folders():
            (folder / name).write_text(text, encoding="utf-8")

    def say_end(self) -> None:
        """`in 4.1 s; metrics and figures: runs/xor/...`."""
        print(f"in {self.seconds:.1f} s; metrics and figures: {self.path}")

    def _folders(self) -> list[Path]:
        """The run's folder, and the one that also gets its files."""
        if self.copy_to is None:
            return [self.path]
        self.copy_to.mkdir(parents=True, exist_ok=True)
        return [self.path, self.copy_to]


def _new_folder(parent: Path) -> Path:
    """parent / the time, with a number after it where two runs start in one second."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1, 1000):
        path = parent / (stamp if attempt == 1 else f"{stamp}_{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{parent}: a thousand runs started in the second {stamp}")
