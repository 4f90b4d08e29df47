"""Results of a sweep: a record for every run, and statistics over the seeds of every point."""

import csv
import dataclasses
import html
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fnnet.protocols import Params
from fnnet.sweeps.space import Label

METRICS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
_COLUMNS: dict[str, Any] = {"point": int, "seed": int, "diverged": bool, "trained": int, "epoch": int}
_FIELDS = {"settings": dict, **_COLUMNS, "score": str, "curves": dict}


class Summary(NamedTuple):
    """Statistics over the seeds of each point, (points,) each, in the order of the points.

    point      numbers of the points
    seeds      runs of the point
    diverged   how many of these diverged; they are in neither mean nor deviation
    mean       metric -> mean over the other seeds, NaN where there is none
    std        metric -> standard deviation (n - 1) over them, NaN for fewer than two
    """

    point: np.ndarray
    seeds: np.ndarray
    diverged: np.ndarray
    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]

    def __repr__(self) -> str:
        return _as_text(*self._table())

    def _repr_html_(self) -> str:
        return _as_html(*self._table())

    def _table(self) -> tuple[str, list[list[str]]]:
        """A title, and the first twenty points below a row of names."""
        shown = range(min(20, len(self.point)))
        rows = [[str(self.point[i]), *_metric_cells(self, i)] for i in shown]
        title = f"{self.seeds.sum():,} runs of {len(self.point):,} points, the first {len(rows)}"
        return title, [["point", *self.mean, "diverged"], *rows]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Results:
    """The runs of a sweep, each with its settings, its seed and its curves; `print` shows the best.

    settings   name -> one value per run
    point      (runs,) number of the run's point in the sweep
    seed       (runs,) of its start
    diverged   (runs,) bool: the loss, the validation loss or a parameter became NaN or infinite
    trained    (runs,) epochs before it diverged, or until it stopped early or was done
    epoch      (runs,) the epoch whose metrics count, from 1: the last, with early stopping the best; 0 where diverged
    curves     metric -> (runs, epochs) after each epoch, NaN once a run has diverged or stopped
    score      the metric that ranks: "loss" or "accuracy", of the validation data where there is some
    params     of each run at that epoch, if they were kept
    """

    settings: dict[str, tuple[Any, ...]]
    point: np.ndarray
    seed: np.ndarray
    diverged: np.ndarray
    trained: np.ndarray
    epoch: np.ndarray
    curves: dict[str, np.ndarray]
    score: str
    params: tuple[Params, ...] | None = None

    def __len__(self) -> int:
        return len(self.seed)

    def metric(self, name: str) -> np.ndarray:
        """(runs,): a metric at the epoch that counts, NaN where the run diverged."""
        rows = np.arange(len(self))
        return np.where(self.diverged, np.nan, self.curves[name][rows, np.maximum(self.epoch, 1) - 1])

    def summary(self) -> Summary:
        """Mean and standard deviation over the seeds of each point."""
        points, of = np.unique(self.point, return_inverse=True)
        seeds = np.bincount(of, minlength=len(points))
        diverged = np.bincount(of, self.diverged, len(points)).astype(int)
        mean, std = {}, {}
        for name in self.curves:
            mean[name], std[name] = _moments(self.metric(name), of, ~self.diverged, len(points))
        return Summary(points, seeds, diverged, mean, std)

    def ranking(self) -> np.ndarray:
        """Numbers of the points, best first, by the mean of the score over seeds.

        A point with diverged seeds ranks after all points without, and lower the larger their fraction: the mean of the
        others says little. NaN is last.
        """
        summary = self.summary()
        mean = summary.mean[self.score] * (-1 if self.score.endswith("accuracy") else 1)
        return summary.point[np.lexsort((mean, np.isnan(mean), summary.diverged / summary.seeds))]

    def best(self) -> int:
        """Number of the best point: `points[results.best()].configuration`.

        Raises ValueError where no run has a finite score.
        """
        if not np.isfinite(self.metric(self.score)).any():
            raise ValueError(
                f"best: none of the {len(self):,} runs has a finite {self.score}, {self.diverged.sum():,} diverged; "
                f"try smaller learning rates, and look for NaN in the data, validation data included"
            )
        return int(self.ranking()[0])

    def records(self) -> list[dict[str, Any]]:
        """One dict per run: point, settings, seed, diverged, trained, epoch, and the metrics at that epoch."""
        metrics = {name: self.metric(name).tolist() for name in self.curves}
        known = {name: getattr(self, name).tolist() for name in _COLUMNS}
        columns = {"point": known["point"], **self.settings, **known, **metrics}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """`records` as a csv file: a row of names, then one row per run; what is not finite is written nan or inf."""
        records = self.records()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, records[0])
            writer.writeheader()
            writer.writerows(records)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """One JSON object per run, whole curves included; `read` gives the results back. Files can be concatenated."""
        Path(path).write_bytes(self.lines())

    def lines(self, sweep: str | None = None, points: int | None = None) -> bytes:
        """The content of `to_jsonl`: strict JSON, every number to the last bit, what is not finite in a curve as null.

        sweep, points   written into every line where the runs are part of a sweep in files: the sweep's digest, and how
                        many points it has
        """
        about = {} if sweep is None else {"sweep": sweep, "points": points}
        curves = {name: np.where(np.isfinite(c), c, np.array(None)).tolist() for name, c in self.curves.items()}
        objects = [
            {
                **about,
                "settings": {name: _encoded_setting(values[i]) for name, values in self.settings.items()},
                **{name: getattr(self, name)[i].item() for name in _COLUMNS},
                "score": self.score,
                "curves": {name: curve[i] for name, curve in curves.items()},
            }
            for i in range(len(self))
        ]
        return "".join(json.dumps(one, allow_nan=False) + "\n" for one in objects).encode()

    def __repr__(self) -> str:
        """The ten best points: settings, mean +- standard deviation over the seeds, and how many seeds diverged."""
        return _as_text(*self._table())

    def _repr_html_(self) -> str:
        return _as_html(*self._table())

    def _table(self) -> tuple[str, list[list[str]]]:
        """A title, and the ten best points below a row of names."""
        summary, ranking = self.summary(), self.ranking()
        rows = []
        for number in ranking[:10]:
            run, at = np.flatnonzero(self.point == number)[0], int(np.searchsorted(summary.point, number))
            settings = [_shown(values[run]) for values in self.settings.values()]
            rows.append([str(number), *settings, *_metric_cells(summary, at)])
        title = f"{len(self):,} runs of {len(ranking):,} points, the best {len(rows)} by mean {self.score}"
        if self.diverged.all():
            title = f"{len(self):,} runs of {len(ranking):,} points, all of which diverged"
        return title, [["point", *self.settings, *self.curves, "diverged"], *rows]


def read(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> Results:
    """The results in one or more files of `to_jsonl` or `sweep_shard`, runs in the order of their points.

    Raises ValueError, with file and line, for a line that is not a run, for a run that is there twice, and for runs of
    different sweeps; and for files without runs.
    """
    return results_of(read_lines([paths] if isinstance(paths, str | os.PathLike) else paths))


def read_lines(paths: Iterable[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """The runs in the files as they are written, each checked by itself, with its "place": file and line."""
    return [run for path in paths for run in _lines(Path(path))]


def results_of(runs: list[dict[str, Any]]) -> Results:
    """The results of runs as `read_lines` gives them."""
    if not runs:
        raise ValueError("read: expected files with runs, got none")
    places: dict[tuple[int, int], str] = {}
    kind = _kind(runs[0])
    for run in runs:
        if _kind(run) != kind:
            raise ValueError(
                f"read: {run['place']} and {runs[0]['place']} belong to different sweeps; read the files of one sweep"
            )
        key = run["point"], run["seed"]
        if key in places:
            raise ValueError(
                f"read: expected every run once, got point {run['point']}, seed {run['seed']} in {places[key]} and in "
                f"{run['place']}"
            )
        places[key] = run["place"]
    runs = sorted(runs, key=lambda run: run["point"])
    names = dict.fromkeys(name for run in runs for name in run["settings"])
    return Results(
        settings={name: tuple(run["settings"].get(name) for run in runs) for name in names},
        **_columns({name: [run[name] for run in runs] for name in _COLUMNS}),
        curves=_joined_curves([run["curves"] for run in runs]),
        score=runs[0]["score"],
    )


def _joined_curves(runs: list[dict[str, list]]) -> dict[str, np.ndarray]:
    """Name -> (R, epochs), NaN for a run without that metric: a loss without `correct` has no accuracy."""
    missing = [None] * len(runs[0]["loss"])
    names = [name for name in METRICS if any(name in curves for curves in runs)]
    return {name: np.array([curves.get(name, missing) for curves in runs], np.float64) for name in names}


def _kind(run: dict[str, Any]) -> tuple:
    """What all runs of a sweep have in common."""
    return run.get("sweep"), run.get("points"), run["score"], len(run["curves"]["loss"])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        place = f"line {number} of {path}"
        try:
            yield {**_decoded(json.loads(line, parse_constant=_refuse)), "place": place}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"read: {place} is not a run ({error}); is the file cut off?") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _decoded(run: Any) -> dict[str, Any]:
    """A run as it is written in a line, with its floats decoded. Raises ValueError that says what is wrong with it."""
    if not isinstance(run, dict):
        raise ValueError(f"expected an object, got {str(run)[:50]}")
    for name, kind in _FIELDS.items():
        if type(run.get(name)) is not kind:
            raise ValueError(f"expected {name} to be {kind.__name__}, got {str(run.get(name))[:50]}")
    epochs = {len(c) if isinstance(c, list) and {*map(type, c)} <= {float, type(None)} else 0
              for c in run["curves"].values()}  # fmt: skip
    if not {"loss", run["score"]} <= {*run["curves"]} <= {*METRICS} or len(epochs) != 1 or 0 in epochs:
        raise ValueError(f"expected curves of equal length, loss and {run['score'][:50]} among them")
    points = run.get("points", 2**63)
    limits = {"point": points, "seed": 2**32, "trained": max(epochs) + 1, "epoch": max(epochs) + 1}
    for name, limit in limits.items():
        if not isinstance(limit, int) or not 0 <= run[name] < min(limit, 2**63):
            raise ValueError(f"expected {name} to be from 0 to {limit} - 1, got {run[name]}")
    settings = {name: _decoded_setting(value) for name, value in run["settings"].items()}
    return {**run, "settings": settings}


def _encoded_setting(value: Label) -> Any:
    """JSON has no inf and no NaN: they are written as {"float": "inf"}, which no label can be."""
    return {"float": repr(float(value))} if isinstance(value, float) and not math.isfinite(value) else value


def _decoded_setting(value: Any) -> Label:
    if isinstance(value, dict) and value.keys() == {"float"}:
        return float(value["float"])
    if not isinstance(value, Label):
        raise ValueError(f"expected settings to be numbers, strings or null, got {str(value)[:50]}")
    return value


def join(parts: Iterable[Results]) -> Results:
    """Results of different runs of one sweep as one, runs in the order of their points."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.point for part in parts]), kind="stable")
    names = dict.fromkeys(name for part in parts for name in part.settings)
    columns = {n: [v for part in parts for v in part.settings.get(n, (None,) * len(part))] for n in names}
    kept = None if parts[0].params is None else [p for part in parts for p in part.params or ()]
    metrics = [name for name in METRICS if any(name in part.curves for part in parts)]
    return Results(
        settings={n: tuple(values[i] for i in order) for n, values in columns.items()},
        **_columns({name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _COLUMNS}),
        curves={name: np.concatenate([_curve(part, name) for part in parts])[order] for name in metrics},
        score=parts[0].score,
        params=None if kept is None else tuple(kept[i] for i in order),
    )


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(values[name], kind) for name, kind in _COLUMNS.items()}


def _curve(results: Results, name: str) -> np.ndarray:
    missing = np.full_like(results.curves["loss"], np.nan)
    return results.curves.get(name, missing)


def _moments(values: np.ndarray, of: np.ndarray, counted: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of the counted values of each group."""
    of, values = of[counted], values[counted]
    n = np.bincount(of, minlength=groups)
    mean = np.where(n > 0, np.bincount(of, values, groups) / np.maximum(n, 1), np.nan)
    squares = np.bincount(of, (values - mean[of]) ** 2, groups)
    return mean, np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _metric_cells(summary: Summary, i: int) -> list[str]:
    """Mean +- standard deviation of every metric of a point, and how many of its seeds diverged."""
    spreads = [
        f"{mean[i]:.4f}" if np.isnan(summary.std[name][i]) else f"{mean[i]:.4f} +- {summary.std[name][i]:.4f}"
        for name, mean in summary.mean.items()
    ]
    return [*spreads, f"{summary.diverged[i]} of {summary.seeds[i]}"]


def _shown(value: Label) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_text(title: str, rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([title, *lines])


def _as_html(title: str, rows: list[list[str]]) -> str:
    tags = ["th"] + ["td"] * (len(rows) - 1)
    lines = [
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(tags, rows, strict=True)
    ]
    return f"<table><caption>{html.escape(title)}</caption>{''.join(lines)}</table>"
