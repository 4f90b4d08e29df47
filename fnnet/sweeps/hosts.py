"""A sweep in chunks, each in a file of its own: over many hosts, and through any interruption."""

import dataclasses
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fnnet.checkpoints import data_digest
from fnnet.checkpoints.files import write
from fnnet.protocols import Batch
from fnnet.sweeps._sweep import sweep
from fnnet.sweeps.results import Results, read
from fnnet.sweeps.space import Point, by_structure
from fnnet.training.stopping import EarlyStopping

_PACKAGE = Path(__file__).parents[1]
_NO_RESULT = {"runs_per_device", "measure", "devices", "progress"}  # arguments of sweep that only say how to compute


def sweep_shard(
    points: Sequence[Point],
    data: Batch,
    *,
    folder: str | os.PathLike[str],
    host: int = 0,
    hosts: int = 1,
    chunk: int = 64,
    version: str = "",
    validation: Batch | None = None,
    **arguments: Any,
) -> Path:
    """One host's share of a sweep, a file of results for every `chunk` points. Returns the folder of the files.

        path = sweep_shard(points, train, folder="runs/sweep", host=0, hosts=2, epochs=5, seeds=range(5), shuffle=key)
        table = collect(path)        # once all hosts are through

    host, hosts   this one takes chunks host, host + hosts, host + 2 hosts, ...
    version       what else the results hang on, such as the commit of layers of your own
    arguments     of `sweep`

    The files are folder/<digest>/<chunk>-of-<chunks>.jsonl, where the digest is that of the points, the arguments, the
    data, fnnet's source and the version of jax: another sweep never takes them for its own. Each takes its name in one
    instant, when it is whole and safely on the disk. What is there is skipped, so a host that was killed or switched
    off is simply started again, and loses the chunk it was at. Chunks have points of one structure each.

    Raises ValueError for a host that is not in 0 .. hosts - 1, and what `sweep` raises.
    """
    if not 0 <= host < hosts or chunk < 1:
        raise ValueError(f"sweep_shard: expected 0 <= host < hosts and a chunk above 0, got {host}, {hosts}, {chunk}")
    if arguments.get("keep_params"):
        raise ValueError("sweep_shard: files keep no parameters; call sweep(..., keep_params=True) on the best points")
    arguments = {"seeds": tuple(arguments.pop("seeds")), "validation": validation, **arguments}
    chunks = _chunks(points, chunk)
    path = Path(folder) / _digest(points, data, chunk, version, arguments)[:16]
    for number in range(host, len(chunks), hosts):
        file = path / f"{number:05d}-of-{len(chunks):05d}.jsonl"
        if not file.exists():
            begin = time.perf_counter()
            write(file, chunk_lines(points, chunks[number], data, arguments))
            _say(arguments, f"chunk {number + 1} of {len(chunks)}: {time.perf_counter() - begin:.1f} s, {file}")
        else:
            _say(arguments, f"chunk {number + 1} of {len(chunks)} is there: {file}")
    return path


def chunk_lines(points: Sequence[Point], rows: np.ndarray, data: Batch, arguments: dict[str, Any]) -> bytes:
    """The content of one chunk's file, its points numbered as in the whole sweep."""
    table = sweep([points[i] for i in rows], data, **arguments)
    return dataclasses.replace(table, point=rows[table.point]).lines()


def collect(path: str | os.PathLike[str]) -> Results:
    """The table of a sweep whose chunks are all there; merging is putting the files one after the other.

    Raises ValueError that names the chunks which are missing, and where one was cut so that a point has fewer runs than
    others (`read` takes any files, complete or not).
    """
    files = sorted(Path(path).glob("*-of-*.jsonl"))
    counts = {int(f.stem.rpartition("-")[2]) for f in files}
    if len(counts) != 1:
        raise ValueError(f"collect: expected the chunks of one sweep in {path}, got {len(files)} files")
    missing = sorted({*range(*counts)} - {int(f.stem.partition("-")[0]) for f in files})
    if missing:
        raise ValueError(f"collect: {path} lacks {len(missing)} of {counts.pop()} chunks: {missing}; run them again")
    table = read(files)
    if empty := [f.name for f in files if f.stat().st_size == 0]:
        raise ValueError(f"collect: {path} holds chunks without runs: {empty}; delete them and run them again")
    seeds = np.bincount(table.point)
    if len({*seeds}) > 1:
        short = np.flatnonzero(seeds < seeds.max()).tolist()
        raise ValueError(
            f"collect: chunks in {path} are cut off: {len(short)} points lack runs, the first is point {short[0]}; "
            f"delete the chunks that hold them and run them again"
        )
    return table


def _say(arguments: dict[str, Any], text: str) -> None:
    if arguments.get("progress", True):
        print(f"sweep, {text}", flush=True)


def _chunks(points: Sequence[Point], size: int) -> list[np.ndarray]:
    """Numbers of the points of every chunk: structure by structure, in the order of the points."""
    groups = by_structure([point.configuration for point in points])
    return [group.rows[i : i + size] for group in groups for i in range(0, len(group.rows), size)]


def _digest(points: Sequence[Point], data: Batch, chunk: int, version: str, arguments: dict[str, Any]) -> str:
    """SHA-256 of everything that the results hang on."""
    digest = hashlib.sha256(f"{chunk} {version!r} jax {jax.__version__}\n".encode())
    for source in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{source.relative_to(_PACKAGE).as_posix()}\n".encode() + source.read_bytes())
    for point in points:
        leaves, tree = jax.tree.flatten(point.configuration)
        digest.update(f"{point.settings!r} {tree}\n".encode())
        for leaf in map(np.asarray, leaves):
            digest.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    for name, value in sorted(arguments.items()):
        if name not in _NO_RESULT:
            digest.update(f"{name} {_written(value)}\n".encode())
    digest.update(data_digest(data).encode())
    return digest.hexdigest()


def _written(value: Any) -> str:
    """An argument as text that is the same for the same argument, in every process."""
    if isinstance(value, Batch):
        return data_digest(value)
    if isinstance(value, jax.Array):
        return f"{jax.random.key_impl(value)} {np.asarray(jax.random.key_data(value)).tolist()}"
    return str(value if isinstance(value, str | int | tuple | EarlyStopping | None) else np.dtype(value))
