"""A folder of checkpoints, one per step: the last few, the best, and one writer at a time."""

import contextlib
import math
import os
import re
import warnings
from pathlib import Path

import numpy as np

from fnnet._spec import Number
from fnnet.checkpoints.checkpoint import contents, refusals, restore_score
from fnnet.checkpoints.files import CheckpointError, locked, make_folder, write
from fnnet.datasets import Columns, Vocabulary
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer
from fnnet.training.state import History, TrainState

_STEP = re.compile(r"step-(\d+)\.safetensors")


class CheckpointManager:
    """Saves into a run's folder, which stays locked against other writers inside the block.

        with fnnet.CheckpointManager("runs/digits", last=3) as manager:
            manager.save(model, optimizer, state, history=history, data=train, score=accuracy)

    The lock is the operating system's, on the file `.lock`: it ends with the process, however it ends.
    Entering raises CheckpointError if another process is writing to the folder. ValueError for last below 1.
    """

    def __init__(self, folder: str | os.PathLike[str], *, last: int = 3):
        if last < 1:
            raise ValueError(f"CheckpointManager: expected to keep the last 1 or more, got last={last}")
        self.folder, self.last = Path(folder), last
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> "CheckpointManager":
        busy = "another process is writing to this run; wait for it, or choose another folder"
        with refusals(self.folder, "not locked, nothing written"):
            make_folder(self.folder)
            self._lock.enter_context(locked(self.folder / ".lock", busy))
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def save(
        self,
        model: Model,
        optimizer: Optimizer,
        state: TrainState,
        *,
        history: History | None = None,
        data: Batch | str | None = None,
        columns: Columns | None = None,
        vocabulary: Vocabulary | None = None,
        score: Number = None,
    ) -> Path:
        """Write `step-0000000120.safetensors`, named after state.step, then delete all but the `last` ones.

        history, data, columns, vocabulary  as in `fnnet.save`
        score           higher is better; one above that of `best.safetensors` takes that name too. None and NaN are
                        not ranked. A best that is damaged is set aside as `best.safetensors.damaged`, with a warning

        A file is deleted only when newer ones are safely on the disk. Returns the path.
        Raises CheckpointError if the folder holds a later step, and for what `fnnet.save` raises it for.
        """
        step = int(np.max(np.asarray(state.step)))
        path = self.folder / f"step-{step:010d}.safetensors"
        with refusals(path, "not saved; earlier checkpoints are as they were"):
            later = [s for s in _steps(self.folder) if s > step]
            if later:
                raise CheckpointError(
                    f"the folder holds step {later[-1]} already; resume from that, or use another folder"
                )
            content = contents(model, optimizer, state, history, data, columns, vocabulary, score)
            if _is_best(self.folder / "best.safetensors", score):
                write(self.folder / "best.safetensors", content)
            write(path, content)
            for old in [*_steps(self.folder).values()][: -self.last]:
                old.unlink()
        return path


def latest(folder: str | os.PathLike[str]) -> Path | None:
    """The checkpoint of the highest step in a run's folder; None if there is none."""
    return max(_steps(Path(folder)).items(), default=(0, None))[1]


def _steps(folder: Path) -> dict[int, Path]:
    """Step -> path, in order."""
    files = folder.iterdir() if folder.is_dir() else ()
    return dict(sorted((int(m[1]), f) for f in files if (m := _STEP.fullmatch(f.name))))


def _is_best(best: Path, score: Number) -> bool:
    if score is None or math.isnan(score):
        return False
    if not best.exists():
        return True
    try:
        previous = restore_score(best)
    except CheckpointError as error:
        if isinstance(error.__cause__, OSError):
            raise
        _set_aside(best, error)
        return True
    return previous is None or bool(score > previous)


def _set_aside(best: Path, error: CheckpointError) -> None:
    """Rename a best checkpoint that cannot be read, so that the run can go on saving."""
    damaged = best.with_name(best.name + ".damaged")
    os.replace(best, damaged)
    warnings.warn(f"{error}; kept as {damaged.name}, the best from here on is the new one", stacklevel=4)
