"""A folder of checkpoints, one a step: the last few, the best, and one writer at a time."""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fnnet.batch import Batch
from fnnet.checkpoints.checkpoint import contents, refusals, restore_score
from fnnet.checkpoints.files import CheckpointError, locked, make_folder, write
from fnnet.model import Model
from fnnet.spec import Number
from fnnet.training import History, TrainState

_STEP = re.compile(r"step-(\d+)\.safetensors")


@contextlib.contextmanager
def keeping(folder: str | os.PathLike[str], *, last: int = 3) -> Iterator[Callable[..., Path]]:
    """The function that saves into a run's folder, which stays locked against other writers inside the block.

        with fnnet.keeping("runs/digits", last=3) as keep:
            keep(model, optimizer, state, history=history, data=train, score=accuracy)

    Every call writes `step-0000000120.safetensors`, named after state.step, then deletes all but the `last`
    ones; if its score (higher is better; None and NaN are not ranked) is above that of `best.safetensors`
    it takes that name too. A file is deleted only when newer ones are safely on the disk. Returns the path.

    The lock is the operating system's, on the file `.lock`: it ends with the process, however it ends.
    Raises CheckpointError if another process is writing to the folder, if the folder holds a later step,
    and for what `save` raises it for. ValueError for last below 1.
    """
    if last < 1:
        raise ValueError(f"keeping: expected to keep the last 1 or more, got last={last}")
    folder = Path(folder)
    busy = "another process is writing to this run; wait for it, or choose another folder"
    with contextlib.ExitStack() as stack:
        with refusals(folder, "not locked, nothing written"):
            make_folder(folder)
            stack.enter_context(locked(folder / ".lock", busy))
        yield partial(_keep, folder, last)


def latest(folder: str | os.PathLike[str]) -> Path | None:
    """The checkpoint of the highest step in a run's folder; None if there is none."""
    return max(_steps(Path(folder)).items(), default=(0, None))[1]


def _steps(folder: Path) -> dict[int, Path]:
    """Step -> path, in order."""
    files = folder.iterdir() if folder.is_dir() else ()
    return dict(sorted((int(m[1]), f) for f in files if (m := _STEP.fullmatch(f.name))))


def _keep(
    folder: Path,
    last: int,
    model: Model,
    optimizer: Any,
    state: TrainState,
    *,
    history: History | None = None,
    data: Batch | str | None = None,
    score: Number = None,
) -> Path:
    step = int(np.max(np.asarray(state.step)))
    path = folder / f"step-{step:010d}.safetensors"
    with refusals(path, "not saved; earlier checkpoints are as they were"):
        later = [s for s in _steps(folder) if s > step]
        if later:
            raise CheckpointError(f"the folder holds step {later[-1]} already; resume from that, or use another folder")
        content = contents(model, optimizer, state, history, data, score)
        if _is_best(folder / "best.safetensors", score):
            write(folder / "best.safetensors", content)
        write(path, content)
        for old in [*_steps(folder).values()][:-last]:
            old.unlink()
    return path


def _is_best(best: Path, score: Number) -> bool:
    if score is None or math.isnan(score):
        return False
    if not best.exists():
        return True
    previous = restore_score(best)
    return previous is None or bool(score > previous)
