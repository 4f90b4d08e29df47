"""Runs in TensorBoard: event files with loss, accuracy and figures.

    with fnnet.tensorboard.Events("runs/first") as events:
        fnnet.fit(..., on_epoch=events.on_epoch)

then `tensorboard --logdir runs`. Needs the extra `tensorboard`, which is tensorboardX: a writer and nothing else, two
small packages (it and protobuf), where the viewer's own package brings a web server. The viewer is installed
separately.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsInt

import numpy as np

from fnnet.training.state import History, TrainState

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Events:
    """Writes the event files of one run; a context manager that closes them.

    folder   gets a subfolder for each of the history's `training`, `validation` and `measured` that is there;
             TensorBoard draws them in the same charts: `loss` and `accuracy`. Figures go to `training`. New events are
             added to those already in a folder.

    Raises ImportError without tensorboardX.
    """

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError("fnnet.tensorboard needs tensorboardX: pip install 'fnnet[tensorboard]'") from error
        self.folder = Path(folder)
        self._open, self._writers = SummaryWriter, {}

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def on_epoch(self, state: TrainState, history: History) -> None:
        """What `fit` calls after every epoch: `fit(..., on_epoch=events.on_epoch)`."""
        self.write(state.step, history)

    def write(self, step: SupportsInt, history: History) -> None:
        """Loss and accuracy of the last epoch of a history, at a step (or an epoch: whatever the x axis should show).

        Raises ValueError after `close`.
        """
        for part in ("training", "validation", "measured"):
            if (metrics := getattr(history, part)) is None:
                continue
            writer = self._writer(part)
            for name, values in (("loss", metrics.loss), ("accuracy", metrics.accuracy)):
                if values is not None:
                    writer.add_scalar(name, float(values[-1]), int(step))

    def figure(self, name: str, figure: "Figure", step: SupportsInt) -> None:
        """A matplotlib Figure, such as those of `fnnet.plots`, as an image at a step. Raises ValueError after `close`.

        Needs the extra `experiments`.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self._writer("training").add_image(name, pixels, int(step), dataformats="HWC")

    def close(self) -> None:
        """Everything is on disk afterwards. A second call does nothing."""
        for writer in (self._writers or {}).values():
            writer.close()
        self._writers = None

    def _writer(self, part: str) -> Any:
        if self._writers is None:
            raise ValueError(f"Events: expected to write before the files in {self.folder} were closed")
        if part not in self._writers:
            self._writers[part] = self._open(str(self.folder / part), flush_secs=5)
        return self._writers[part]
