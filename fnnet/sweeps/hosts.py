"""A sweep in chunks, each in a file of its own: over many hosts, and through any interruption."""

import dataclasses
import hashlib
import inspect
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fnnet.checkpoints import data_digest
from fnnet.checkpoints.files import write
from fnnet.protocols import Batch
from fnnet.sweeps._sweep import seeds_of, sweep
from fnnet.sweeps.results import Results, read_lines, results_of
from fnnet.sweeps.space import Point, by_structure
from fnnet.training.stopping import EarlyStopping

_PACKAGE = Path(__file__).parents[1]
_NO_EFFECT = {"runs_per_device", "measure", "devices", "progress"}  # arguments of sweep that only say how to compute
_NAME = re.compile(r"(\d{5,})-of-(\d{5,})")


def sweep_shard(
    points: Sequence[Point],
    data: Batch,
    *,
    folder: str | os.PathLike[str],
    host: int = 0,
    hosts: int = 1,
    chunk: int = 64,
    version: str = "",
    validation: Batch | float | None = None,
    **arguments: Any,
) -> Path:
    """One host's shard of a sweep, one file of results for every `chunk` points. Returns the folder of the files.

        path = sweep_shard(points, train, folder="runs/sweep", host=0, hosts=2, epochs=5, seeds=range(5), shuffle=key)
        results = collect(path)        # once all hosts are done

    host, hosts   this host takes chunks host, host + hosts, host + 2 hosts, ...
    version       what else the results depend on, such as the commit of your own layers
    arguments     of `sweep`

    The files are folder/<digest>/<chunk>-of-<chunks>.jsonl, where the digest is that of the points, the arguments, the
    data, fnnet's source and the version of jax. It is also in every line, so that runs of different sweeps cannot be
    mixed up. A file appears under its name once it is complete and safely on disk, and chunks that are there are
    skipped: a host that was killed and is started again has lost no more than the chunk it was working on. Chunks
    hold points of one structure each.

    Raises ValueError for a host that is not in 0 .. hosts - 1, and what `sweep` raises.
    """
    if not 0 <= host < hosts or chunk < 1:
        raise ValueError(f"sweep_shard: expected 0 <= host < hosts and a chunk above 0, got {host}, {hosts}, {chunk}")
    if arguments.get("keep_params"):
        raise ValueError("sweep_shard: files keep no parameters; call sweep(..., keep_params=True) on the best points")
    arguments = {"validation": validation, **arguments}
    inspect.signature(sweep).bind(points, data, **arguments)  # a TypeError now, not after hours on another chunk
    arguments["seeds"] = seeds_of(arguments["seeds"])
    chunks = _chunks(points, chunk)
    digest = _digest(points, data, chunk, version, arguments)[:16]
    for number in range(host, len(chunks), hosts):
        file = Path(folder) / digest / f"{number:05d}-of-{len(chunks):05d}.jsonl"
        if not file.exists():
            begin = time.perf_counter()
            write(file, chunk_lines(points, chunks[number], data, arguments, digest))
            said = f"chunk {number + 1} of {len(chunks)}: {time.perf_counter() - begin:.1f} s, {file}"
        else:
            said = f"chunk {number + 1} of {len(chunks)} is there: {file}"
        if arguments.get("progress", True):
            print(f"sweep, {said}", flush=True)
    return Path(folder) / digest


def chunk_lines(
    points: Sequence[Point], numbers: np.ndarray, data: Batch, arguments: dict[str, Any], digest: str
) -> bytes:
    """The content of one chunk's file, its points numbered as in the whole sweep."""
    results = sweep([points[i] for i in numbers], data, **arguments)
    return dataclasses.replace(results, point=numbers[results.point]).lines(digest, len(points))


def collect(path: str | os.PathLike[str]) -> Results:
    """The results of a sweep whose chunks are all in the folder that `sweep_shard` returned.

    Raises ValueError that names the chunks which are missing, files that are not chunks, lines that are not runs of
    this sweep, and points that lack runs because a file was cut off. (`read` takes any files, complete or not.)
    """
    path = Path(path).resolve()
    files = sorted(path.glob("*.jsonl"))
    _check_names(path, files)
    if empty := [file.name for file in files if file.stat().st_size == 0]:
        raise ValueError(f"collect: {path} holds chunks without runs: {empty}; delete them and run them again")
    runs = read_lines(files)
    expected = path.name if re.fullmatch("[0-9a-f]{16}", path.name) else runs[0].get("sweep")  # else a renamed folder
    for run in runs:
        if run.get("sweep") != expected or "points" not in run:
            raise ValueError(
                f"collect: expected runs of sweep {expected} in {path}, got one of sweep {run.get('sweep')} in "
                f"{run['place']}; remove that file and run its chunk again"
            )
    results = results_of(runs)
    points, seeds = runs[0]["points"], Counter(results.point.tolist())
    if lacking := points - sum(count == max(seeds.values()) for count in seeds.values()):
        first = next(point for point in range(points) if seeds[point] < max(seeds.values()))
        raise ValueError(
            f"collect: chunks in {path} are cut off: {lacking} points lack runs, the first is point {first}; "
            f"delete the chunks that hold them and run them again"
        )
    return results


def _check_names(path: Path, files: list[Path]) -> None:
    """Raise ValueError unless the files are all chunks of a sweep, by their names."""
    matches = {file.name: _NAME.fullmatch(file.stem) for file in files}
    names = {name: (int(match[1]), int(match[2])) for name, match in matches.items() if match}
    if odd := [name for name in matches if name not in names or not names[name][0] < names[name][1]]:
        raise ValueError(f"collect: expected files such as 00000-of-00002.jsonl in {path}, got {odd[:10]}; remove them")
    counts = {count for _, count in names.values()}
    if len(counts) != 1:
        raise ValueError(
            f"collect: expected the chunks of one sweep in {path}, got {len(files)} files "
            f"of sweeps of {sorted(counts)[:10]} chunks"
        )
    count, there = counts.pop(), {number for number, _ in names.values()}
    if lacking := count - len(there):
        first = list(itertools.islice((number for number in range(count) if number not in there), 10))
        more = ", ..." if lacking > len(first) else ""
        raise ValueError(f"collect: {path} lacks {lacking} of {count} chunks: {first}{more}; run them again")


def _chunks(points: Sequence[Point], size: int) -> list[np.ndarray]:
    """Numbers of the points of every chunk: structure by structure, in the order of the points."""
    groups = by_structure([point.configuration for point in points])
    return [numbers[i : i + size] for numbers, _ in groups for i in range(0, len(numbers), size)]


def _digest(points: Sequence[Point], data: Batch, chunk: int, version: str, arguments: dict[str, Any]) -> str:
    """SHA-256 of everything that the results depend on."""
    digest = hashlib.sha256(f"{chunk} {version!r} jax {jax.__version__}\n".encode())
    for source in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{source.relative_to(_PACKAGE).as_posix()}\n".encode() + source.read_bytes())
    for point in points:
        leaves, tree = jax.tree.flatten(point.configuration)
        digest.update(f"{point.settings!r} {tree}\n".encode())
        for leaf in map(np.asarray, leaves):
            digest.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    for name, value in sorted(arguments.items()):
        if name not in _NO_EFFECT:
            digest.update(f"{name} {_written(value)}\n".encode())
    digest.update(data_digest(data).encode())
    return digest.hexdigest()


def _written(value: Any) -> str:
    """An argument as text that is the same for the same argument, in every process."""
    if isinstance(value, Batch):
        return data_digest(value)
    if isinstance(value, jax.Array):
        return f"{jax.random.key_impl(value)} {np.asarray(jax.random.key_data(value)).tolist()}"
    plain = str | int | float | np.integer | tuple | EarlyStopping | None
    return str(value if isinstance(value, plain) else np.dtype(value))
