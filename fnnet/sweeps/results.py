"""What a sweep found out: a record for every run, and what they say about every point together."""

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FIGURES = ("loss", "accuracy", "validation_loss", "validation_accuracy")
_COLUMNS: dict[str, Any] = {"point": int, "seed": int, "diverged": bool, "trained": int, "epoch": int}


class Summary(NamedTuple):
    """What the seeds of a point say together, (points,) each, in the order of the points.

    point      numbers of the points
    seeds      runs of the point
    diverged   how many of these diverged; they are in neither mean nor deviation
    mean       figure -> mean over the other seeds, NaN where there is none
    std        figure -> standard deviation (n - 1) over them, NaN for fewer than two
    """

    point: np.ndarray
    seeds: np.ndarray
    diverged: np.ndarray
    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """The runs of a sweep, each with its settings, its seed and its curves; `print` shows the best.

    settings   name -> one value a run
    point      (runs,) number of the run's point in the sweep
    seed       (runs,) of its start
    diverged   (runs,) bool: the loss or a parameter became NaN or infinite
    trained    (runs,) epochs until it diverged, stopped early or was done
    epoch      (runs,) the epoch whose figures count, from 1: the last, with early stopping the best; 0 where diverged
    curves     figure -> (runs, epochs) after each epoch, NaN once a run has diverged or stopped
    score      the figure that ranks: its `loss` or its `accuracy`, of the validation data where there is some
    params     of each run at that epoch, if they were kept
    """

    settings: dict[str, tuple]
    point: np.ndarray
    seed: np.ndarray
    diverged: np.ndarray
    trained: np.ndarray
    epoch: np.ndarray
    curves: dict[str, np.ndarray]
    score: str
    params: tuple | None = None

    def __len__(self) -> int:
        return len(self.seed)

    def figure(self, name: str) -> np.ndarray:
        """(runs,): a figure at the epoch that counts, NaN where the run diverged."""
        rows = np.arange(len(self))
        return np.where(self.diverged, np.nan, self.curves[name][rows, np.maximum(self.epoch, 1) - 1])

    def summary(self) -> Summary:
        """Mean and standard deviation over the seeds of each point."""
        points, of = np.unique(self.point, return_inverse=True)
        seeds = np.bincount(of, minlength=len(points))
        diverged = np.bincount(of, self.diverged, len(points)).astype(int)
        mean, std = {}, {}
        for name in self.curves:
            mean[name], std[name] = _moments(self.figure(name), of, ~self.diverged, len(points))
        return Summary(points, seeds, diverged, mean, std)

    def ranking(self) -> np.ndarray:
        """Numbers of the points, best first, by the mean of the score over seeds.

        A point of which a seed diverged comes behind all of which none did, the more of them the further: the mean of
        those that survived says little. NaN is last.
        """
        summary = self.summary()
        mean = summary.mean[self.score] * (-1 if self.score.endswith("accuracy") else 1)
        return summary.point[np.lexsort((mean, np.isnan(mean), summary.diverged / summary.seeds))]

    def best(self) -> int:
        """Number of the best point: `points[table.best()].configuration`."""
        return int(self.ranking()[0])

    def records(self) -> list[dict[str, Any]]:
        """A dict a run: point, settings, seed, diverged, trained, epoch, and the figures at that epoch."""
        figures = {name: self.figure(name).tolist() for name in self.curves}
        known = {name: getattr(self, name).tolist() for name in _COLUMNS}
        columns = {"point": known["point"], **self.settings, **known, **figures}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """`records`, a line each below a line of names; what is no number is written nan."""
        records = self.records()
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, records[0])
            writer.writeheader()
            writer.writerows(records)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """A JSON object a run with its whole curves; `read` gives the table back, and files may be put together."""
        Path(path).write_bytes(self.lines())

    def lines(self) -> bytes:
        """The content of `to_jsonl`: every number to the last bit, NaN as null."""
        curves = {name: _without_nan(curve) for name, curve in self.curves.items()}
        objects = [
            {
                "settings": {name: values[i] for name, values in self.settings.items()},
                **{name: getattr(self, name)[i].item() for name in _COLUMNS},
                "score": self.score,
                "curves": {name: curve[i] for name, curve in curves.items()},
            }
            for i in range(len(self))
        ]
        return "".join(json.dumps(one, allow_nan=False) + "\n" for one in objects).encode()

    def __str__(self) -> str:
        """The ten best points: settings, mean +- standard deviation over the seeds, and how many seeds diverged."""
        summary, ranking = self.summary(), self.ranking()
        first = {int(p): i for i, p in reversed(list(enumerate(self.point)))}
        rows = [["point", *self.settings, *self.curves, "diverged"]]
        for number in ranking[:10]:
            at = int(np.searchsorted(summary.point, number))
            shown = [_shown(values[first[int(number)]]) for values in self.settings.values()]
            figures = [_spread(summary.mean[n][at], summary.std[n][at]) for n in self.curves]
            rows.append([str(number), *shown, *figures, f"{summary.diverged[at]} of {summary.seeds[at]}"])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        title = f"{len(self):,} runs of {len(ranking):,} points, the best {len(rows) - 1} by mean {self.score}"
        return "\n".join([title, *lines])


def read(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> Results:
    """The table in one or more files of `to_jsonl`, runs in the order of their points.

    Raises ValueError for files without runs, for a line that is none, for one run that stands in them twice, and where
    sweeps are mixed.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    objects = [o for path in paths for o in _objects(Path(path))]
    keys = [(o["point"], o["seed"]) for o in objects]
    shapes = {(o["score"], tuple((n, len(c)) for n, c in o["curves"].items())) for o in objects}
    if not objects or len({*keys}) != len(keys) or len(shapes) != 1:
        raise ValueError(
            f"read: expected the runs of one sweep, each once, in {', '.join(map(str, paths)) or 'no files'}; "
            f"got {len(keys)} runs, {len({*keys})} different ones, of {len(shapes)} kinds"
        )
    rank = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    objects.sort(key=lambda o: (o["point"], rank[o["point"], o["seed"]]))
    names = dict.fromkeys(name for o in objects for name in o["settings"])
    return Results(
        settings={name: tuple(o["settings"].get(name) for o in objects) for name in names},
        **_columns({name: [o[name] for o in objects] for name in _COLUMNS}),
        curves={name: np.array([o["curves"][name] for o in objects], np.float64) for name in objects[0]["curves"]},
        score=objects[0]["score"],
    )


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"read: line {number} of {path} is no run ({error}); is the file cut off?") from None


def join(tables: Iterable[Results]) -> Results:
    """Tables of different runs of one sweep as one, runs in the order of their points."""
    tables = list(tables)
    if len(tables) == 1:
        return tables[0]
    order = np.argsort(np.concatenate([t.point for t in tables]), kind="stable")
    names = dict.fromkeys(name for t in tables for name in t.settings)
    columns = {n: [v for t in tables for v in t.settings.get(n, (None,) * len(t))] for n in names}
    kept = None if tables[0].params is None else [p for t in tables for p in t.params or ()]
    figures = [f for f in FIGURES if any(f in t.curves for t in tables)]
    return Results(
        settings={n: tuple(values[i] for i in order) for n, values in columns.items()},
        **_columns({name: np.concatenate([getattr(t, name) for t in tables])[order] for name in _COLUMNS}),
        curves={f: np.concatenate([_curve(t, f) for t in tables])[order] for f in figures},
        score=tables[0].score,
        params=None if kept is None else tuple(kept[i] for i in order),
    )


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(values[name], kind) for name, kind in _COLUMNS.items()}


def _curve(table: Results, name: str) -> np.ndarray:
    missing = np.full_like(table.curves["loss"], np.nan)
    return table.curves.get(name, missing)


def _moments(values: np.ndarray, of: np.ndarray, counted: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of the counted values of each group."""
    of, values = of[counted], values[counted]
    n = np.bincount(of, minlength=groups)
    mean = np.where(n > 0, np.bincount(of, values, groups) / np.maximum(n, 1), np.nan)
    squares = np.bincount(of, (values - mean[of]) ** 2, groups)
    return mean, np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def _without_nan(curve: np.ndarray) -> list:
    return np.where(np.isfinite(curve), curve, np.array(None)).tolist()


def _spread(mean: float | np.floating, std: float | np.floating) -> str:
    return f"{mean:.4f}" if np.isnan(std) else f"{mean:.4f} +- {std:.4f}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
